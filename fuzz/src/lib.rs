//! The fuzz targets: each function takes bytes of a remote party, and panics if the server breaks a promise.
//!
//! libFuzzer runs them from `fuzz_targets/`; `tests/fuzz_smoke.rs` runs the same functions over the kept corpora and
//! seeded mutations of them, with the stable toolchain and no C++.

mod cookies;
mod paths;
mod signed;
mod signed_answers;
mod signing_keys;
mod transfers;
mod updates;

pub use cookies::cookies;
pub use paths::paths;
pub use signed::{signed_queries, signed_replies};
pub use signed_answers::signed_answers;
pub use signing_keys::signing_keys;
pub use transfers::{change_messages, transfers_in, zone_messages};
pub use updates::updates;

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::LazyLock;

use pharos::base::diagnostic::Style;
use pharos::base::name::NameBuf;
use pharos::base::report::report;
use pharos::base::time::{Generation, Now, UnixTime};
use pharos::base::tsig::{Algorithm, Key, Keys};
use pharos::config::{self, Config};
use pharos::load;
use pharos::load::hosts::keep;
use pharos::load::zone::copy;
use pharos::snapshot::{CookieSecrets, Party, Policy, Settings, Snapshot, SteeredExport, Transfers};
use pharos::wire::{self, Peer, Summary, Transport};
use pharos::zone::{Found, Zone};

/// The served snapshot: the zones, networks and mirrors of the engine's cases, with two secrets for cookies and a key for
/// each algorithm. Every client may transfer the zones, and is a primary of all of them.
static SNAPSHOT: LazyLock<Snapshot> = LazyLock::new(|| {
    let config = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = if config.ends_with("fuzz") { config.join("..") } else { config.into() };
    let snapshot = match pharos::compile::build(&root.join("tests/engine/pharos.toml"), Generation(1)) {
        Ok(built) => built.snapshot,
        Err(problems) => panic!("{problems:#?}"),
    };
    let cookies = CookieSecrets::new(vec![[7; 16], [9; 16]]);
    let settings = Settings { cookies, ..snapshot.settings().clone() };
    let key = |algorithm| {
        let name = NameBuf::parse("key.example").expect("a name");
        Key::new(name.as_name(), algorithm, &[7; 32]).expect("a key")
    };
    let everybody = vec![Party { prefix: None, key: None }];
    let policy = Policy { allow: everybody.clone(), primaries: everybody, steered: SteeredExport::Default };
    let transfers = Transfers {
        keys: Keys::new(Algorithm::ALL.into_iter().map(key).collect()),
        zones: vec![policy; snapshot.zones().len()],
    };
    snapshot.with_settings(settings).with_transfers(transfers)
});

/// Reads the text of a state file, which may be recognised or not. If it has addresses of hosts, writing and reading them
/// again gives the same addresses.
pub fn state_files(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let forms = [&copy::FORM, &keep::FORM, &pharos::control::STATE, &pharos::probe::STATE];
    for form in forms {
        let _ = (form.is_old)(text);
    }
    if let Some(known) = keep::parse(text) {
        assert_eq!(keep::parse(&keep::text(&known)).as_ref(), Some(&known));
    }
}

/// The time of day of all targets.
const NOW: UnixTime = UnixTime(1_700_000_000);

/// A config with one zone, whose file has the fuzzed text.
static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let text = "[dns]\nlisten = [\"127.0.0.1:0\"]\n[[zone]]\nname = \"example.net\"\nfile = \"example.net.zone\"\n";
    match config::read("pharos.toml", text) {
        Ok((config, _)) => config,
        Err(problems) => panic!("{problems:#?}"),
    }
});

/// A message as it comes from the network, over UDP and over TCP.
pub fn respond(message: &[u8]) {
    for transport in [Transport::Udp, Transport::Tcp] {
        ask(message, transport);
    }
}

/// The options of an OPT record, after a valid question for a steered name.
pub fn edns_options(options: &[u8]) {
    if let Some(message) = with_options(options) {
        respond(&message);
    }
}

fn with_options(options: &[u8]) -> Option<Vec<u8>> {
    let len = u16::try_from(options.len()).ok()?;
    let mut message =
        b"\x12\x34\x00\x00\x00\x01\x00\x00\x00\x00\x00\x01\x04blob\x03k8s\x02io\x00\x00\x01\x00\x01".to_vec();
    message.extend_from_slice(b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00");
    message.extend_from_slice(&len.to_be_bytes());
    message.extend_from_slice(options);
    Some(message)
}

/// The message that a target sends over UDP for an input; `None` if it sends none.
pub fn datagram(target: &str, input: &[u8]) -> Option<Vec<u8>> {
    match target {
        "respond" => Some(input.to_vec()),
        "edns_options" => with_options(input),
        "cookies" => Some(cookies::query(input.get(5..)?)),
        "signed_queries" => signed::request(input),
        _ => None,
    }
}

/// The served snapshot, and the time.
pub fn served() -> (&'static Snapshot, Now) {
    (&SNAPSHOT, Now { unix: NOW, ..Now::default() })
}

/// A master file; it may not include others.
pub fn zone_file(text: &[u8]) {
    let refuse = &mut |_: &Path| Err(io::Error::from(io::ErrorKind::PermissionDenied));
    match load::zone::read_text(&CONFIG.zones[0], std::path::Path::new("fuzzed.zone"), text.to_vec(), refuse) {
        Ok((zone, warnings)) => {
            let _ = report(&warnings, Style::Plain);
            check_zone(&zone);
        }
        Err(problems) => {
            assert!(!problems.is_empty(), "a zone is refused with a reason");
            let _ = report(&problems, Style::Plain);
        }
    }
}

/// Checks the invariants of every zone.
fn check_zone(zone: &Zone) {
    for node in zone.nodes() {
        let name = node.owner();
        assert_eq!(zone.find(name, &name.suffixes()), Found::Exact(node.id()), "{name}");
        for set in node.rrsets() {
            assert_eq!(set.records().count(), usize::from(set.count()), "{name} {}", set.rtype);
        }
    }
}

/// The text of a configuration; the files that it names are not read.
pub fn config(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    match config::read("pharos.toml", text) {
        Ok((_, warnings)) => drop(report(&warnings, Style::Plain)),
        Err(problems) => {
            assert!(!problems.is_empty(), "a config is refused with a reason");
            let _ = report(&problems, Style::Plain);
        }
    }
}

/// The address of every client and primary.
const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

/// Sends a message to the server, and checks the reply.
fn ask(message: &[u8], transport: Transport) {
    let _ = reply(message, transport, NOW);
}

/// The reply to a message at a time, after the checks that every reply must pass.
fn reply(message: &[u8], transport: Transport, unix: UnixTime) -> Option<(Vec<u8>, Summary)> {
    let mut out = vec![0; wire::MAX_STREAM];
    let now = Now { unix, ..Now::default() };
    let Some(reply) = wire::respond(message, Peer { address: ADDRESS, transport }, &SNAPSHOT, now, &mut out) else {
        let has_question = || wire::decode(message).is_some_and(|query| !query.has_unread_question);
        let is_owed = message.len() >= 12 && message[2] & 0x80 == 0;
        assert!(!is_owed || (transport == Transport::Udp && !has_question()), "what is a query gets a reply");
        return None;
    };
    out.truncate(reply.len);
    assert_eq!(out[..2], message[..2], "the ID comes back");
    assert_eq!(out[2] & 0xf8, 0x80 | message[2] & 0x78, "QR is set, and the opcode comes back");
    assert!(transport != Transport::Udp || out.len() <= 1232, "{} octets over UDP", out.len());
    assert!(can_be_read(&out), "the reply cannot be read: {out:02x?}");
    Some((out, reply.summary))
}

/// Returns whether the sections of a message have as many records as the header says, and nothing follows them.
fn can_be_read(message: &[u8]) -> bool {
    let count = |at: usize| u32::from(message[at]) << 8 | u32::from(message[at + 1]);
    let mut at = 12;
    let questions = (0..count(4)).all(|_| skip_name(message, &mut at) && skip(message, &mut at, 4));
    let records = (0..count(6) + count(8) + count(10)).all(|_| {
        skip_name(message, &mut at) && skip(message, &mut at, 8) && {
            let len =
                message.get(at..at + 2).map_or(usize::MAX / 2, |len| usize::from(len[0]) << 8 | usize::from(len[1]));
            skip(message, &mut at, 2 + len)
        }
    });
    questions && records && at == message.len()
}

fn skip(message: &[u8], at: &mut usize, len: usize) -> bool {
    *at += len;
    *at <= message.len()
}

/// Steps over a name; a pointer must point backwards.
fn skip_name(message: &[u8], at: &mut usize) -> bool {
    loop {
        match message.get(*at) {
            Some(0) => return skip(message, at, 1),
            Some(len @ 1..=63) => *at += 1 + usize::from(*len),
            Some(high @ 0xc0..) => {
                let target = usize::from(high & 0x3f) << 8 | usize::from(*message.get(*at + 1).unwrap_or(&0xff));
                return target < *at && skip(message, at, 2);
            }
            _ => return false,
        }
    }
}

/// Messages one after another, each with its length before it, as over a stream. The first bit of the length is a flag,
/// whose meaning depends on the target.
fn frames(mut octets: &[u8]) -> impl Iterator<Item = (bool, &[u8])> {
    std::iter::from_fn(move || {
        let (head, rest) = octets.split_first_chunk()?;
        let head = u16::from_be_bytes(*head);
        let (message, rest) = rest.split_at(usize::from(head & 0x7fff).min(rest.len()));
        octets = rest;
        Some((head & 0x8000 != 0, message))
    })
}
