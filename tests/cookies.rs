//! Cookies, NSID and the names of class CHAOS, byte for byte, through the one path that every transport takes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::IpAddr;
use std::sync::LazyLock;

use pharos::base::time::{Generation, Now, UnixTime};
use pharos::compile;
use pharos::snapshot::{ChaosText, CookieSecrets, ServerIdentity, Settings, Snapshot};
use pharos::wire::{self, Cookie, Peer, Summary, Transport};

const CLIENT: [u8; 8] = *b"a client";
const RESOLVER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const NOW: u64 = 1_700_000_000;

const NOERROR: u16 = 0;
const FORMERR: u16 = 1;
const REFUSED: u16 = 5;
const BADCOOKIE: u16 = 23;

const COOKIE: u16 = 10;
const NSID: u16 = 3;
const ECS: u16 = 8;

/// The zones of the engine's cases, on a server with cookies, NSID and all names of class CHAOS.
static TALKATIVE: LazyLock<Snapshot> = LazyLock::new(|| {
    let identity = ServerIdentity {
        nsid: Some(b"fra1"[..].into()),
        host: ChaosText::new(b"ns1.example.com"),
        version: ChaosText::new(b"pharos"),
    };
    with(Settings { cookies: CookieSecrets::new(vec![*b"the first secret"]), identity, ..Settings::default() })
});

fn with(settings: Settings) -> Snapshot {
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/engine/pharos.toml");
    let mut snapshot = compile::build(config.as_ref(), Generation(17)).unwrap().snapshot;
    snapshot = snapshot.with_settings(settings);
    snapshot
}

/// A query and the options of its OPT record.
struct Ask<'a> {
    question: Option<(&'a str, u16, u16)>,
    options: &'a [(u16, &'a [u8])],
    transport: Transport,
    now: u64,
}

impl Default for Ask<'_> {
    fn default() -> Self {
        Ask { question: Some(("example.net", 6, 1)), options: &[], transport: Transport::Udp, now: NOW }
    }
}

struct Heard {
    octets: Vec<u8>,
    rcode: u16,
    summary: Summary,
    options: Vec<(u16, Vec<u8>)>,
}

impl Heard {
    fn option(&self, code: u16) -> Option<&[u8]> {
        self.options.iter().find(|option| option.0 == code).map(|option| &*option.1)
    }

    fn counts(&self) -> [u8; 4] {
        [self.octets[5], self.octets[7], self.octets[9], self.octets[11]]
    }
}

fn ask(snapshot: &Snapshot, ask: &Ask<'_>) -> Heard {
    let mut query = vec![0x12, 0x34, 0, 0, 0, u8::from(ask.question.is_some()), 0, 0, 0, 0, 0, 1];
    if let Some((name, qtype, qclass)) = ask.question {
        for label in name.split('.') {
            query.push(label.len() as u8);
            query.extend_from_slice(label.as_bytes());
        }
        query.push(0);
        query.extend_from_slice(&qtype.to_be_bytes());
        query.extend_from_slice(&qclass.to_be_bytes());
    }
    query.extend_from_slice(&[0, 0, 41, 0x10, 0, 0, 0, 0, 0]);
    let len: usize = ask.options.iter().map(|(_, data)| 4 + data.len()).sum();
    query.extend_from_slice(&(len as u16).to_be_bytes());
    for (code, data) in ask.options {
        query.extend_from_slice(&code.to_be_bytes());
        query.extend_from_slice(&(data.len() as u16).to_be_bytes());
        query.extend_from_slice(data);
    }
    let mut octets = vec![0; wire::MAX_STREAM];
    let peer = Peer { address: RESOLVER, transport: ask.transport };
    let now = Now { unix: UnixTime(ask.now), ..Now::default() };
    let reply = wire::respond(&query, peer, snapshot, now, &mut octets).unwrap();
    octets.truncate(reply.len);
    let message = hickory_proto::op::Message::from_vec(&octets).unwrap();
    let mut options = Vec::new();
    if let Some(edns) = &message.edns {
        for (code, option) in edns.options().as_ref() {
            options.push((u16::from(*code), Vec::<u8>::try_from(option).unwrap()));
        }
    }
    Heard { rcode: u16::from(message.metadata.response_code), octets, summary: reply.summary, options }
}

/// The cookie that a client gets at a time.
fn given(now: u64) -> Vec<u8> {
    let heard = ask(&TALKATIVE, &Ask { options: &[(COOKIE, &CLIENT)], now, ..Ask::default() });
    heard.option(COOKIE).unwrap().to_vec()
}

#[test]
fn rfc7873_s5_2_3_a_client_without_a_server_cookie_is_answered_and_gets_one() {
    let heard = ask(&TALKATIVE, &Ask { options: &[(COOKIE, &CLIENT)], ..Ask::default() });
    assert_eq!((heard.rcode, heard.summary.cookie, heard.counts()[1]), (NOERROR, Cookie::ClientOnly, 1));
    let cookie = heard.option(COOKIE).unwrap();
    assert_eq!((cookie.len(), &cookie[..8], &cookie[8..12]), (24, &CLIENT[..], &[1, 0, 0, 0][..]));
}

#[test]
fn rfc7873_s5_2_5_a_valid_cookie_comes_back_as_it_was() {
    let cookie = given(NOW);
    let heard = ask(&TALKATIVE, &Ask { options: &[(COOKIE, &cookie)], now: NOW + 60, ..Ask::default() });
    assert_eq!((heard.summary.cookie, heard.option(COOKIE)), (Cookie::Valid, Some(&cookie[..])));
}

#[test]
fn rfc7873_s5_2_4_an_invalid_cookie_is_replaced_and_the_query_answered() {
    let cookie = given(NOW - 7200);
    for transport in [Transport::Udp, Transport::Tcp] {
        let heard = ask(&TALKATIVE, &Ask { options: &[(COOKIE, &cookie)], transport, ..Ask::default() });
        assert_eq!((heard.rcode, heard.summary.cookie, heard.counts()[1]), (NOERROR, Cookie::Invalid, 1));
        assert_eq!(heard.option(COOKIE), Some(&given(NOW)[..]));
    }
}

#[test]
fn rfc7873_s5_2_2_cookies_of_other_lengths_are_malformed() {
    for len in (0..=50).filter(|len| *len != 8 && !(16..=40).contains(len)) {
        let heard = ask(&TALKATIVE, &Ask { options: &[(COOKIE, &vec![7; len])], ..Ask::default() });
        assert_eq!((heard.rcode, heard.counts()), (FORMERR, [1, 0, 0, 1]), "{len}");
    }
    for len in (16..=40).chain([8]) {
        let heard = ask(&TALKATIVE, &Ask { options: &[(COOKIE, &vec![7; len])], ..Ask::default() });
        assert_eq!(heard.rcode, NOERROR, "{len}");
    }
}

#[test]
fn rfc7873_s5_2_only_the_first_cookie_counts() {
    let cookie = given(NOW);
    let heard = ask(&TALKATIVE, &Ask { options: &[(COOKIE, &cookie), (COOKIE, b"?")], ..Ask::default() });
    assert_eq!((heard.rcode, heard.summary.cookie, heard.options.len()), (NOERROR, Cookie::Valid, 1));
}

#[test]
fn rfc7873_s5_4_without_a_question_there_is_a_cookie_or_an_error() {
    fn bare(options: &[(u16, &[u8])]) -> Heard {
        ask(&TALKATIVE, &Ask { question: None, options, ..Ask::default() })
    }
    let first = bare(&[(COOKIE, &CLIENT)]);
    assert_eq!((first.rcode, first.counts(), first.option(COOKIE)), (NOERROR, [0, 0, 0, 1], Some(&given(NOW)[..])));
    assert_eq!(bare(&[(COOKIE, &given(NOW))]).rcode, NOERROR);
    let stale = bare(&[(COOKIE, &given(NOW - 7200))]);
    assert_eq!((stale.rcode, stale.option(COOKIE)), (BADCOOKIE, Some(&given(NOW)[..])));
    assert_eq!((bare(&[]).rcode, bare(&[(NSID, b"")]).rcode), (FORMERR, FORMERR));
    assert_eq!(bare(&[(COOKIE, b"7 octet")]).rcode, FORMERR);
}

#[test]
fn without_a_secret_a_cookie_is_an_unknown_option() {
    let silent = with(Settings::default());
    let heard = ask(&silent, &Ask { options: &[(COOKIE, &CLIENT)], ..Ask::default() });
    assert_eq!((heard.rcode, heard.summary.cookie, heard.options.len()), (NOERROR, Cookie::None, 0));
}

#[test]
fn rfc5001_s2_2_the_identity_and_generation_are_told_to_whoever_asks() {
    let heard = ask(&TALKATIVE, &Ask { options: &[(NSID, b"ignored")], ..Ask::default() });
    assert_eq!(heard.option(NSID), Some(&b"fra1/17"[..]));
    assert!(ask(&TALKATIVE, &Ask::default()).options.is_empty());
    let silent = with(Settings::default());
    assert!(ask(&silent, &Ask { options: &[(NSID, b"")], ..Ask::default() }).options.is_empty());
}

#[test]
fn all_options_fit_beside_the_longest_question_in_the_smallest_reply() {
    let label = "x".repeat(63);
    let name = [&label[..], &label, &label, &label[..61]].join(".");
    let ecs = [&[0, 2, 128, 0][..], &[0x20; 16]].concat();
    let identity = ServerIdentity { nsid: Some([b'n'; 64][..].into()), ..ServerIdentity::default() };
    let cookies = CookieSecrets::new(vec![[1; 16]]);
    let mut snapshot = with(Settings { cookies, identity, udp_payload: 512, ..Settings::default() });
    snapshot.generation = Generation(u64::MAX);
    let options: &[(u16, &[u8])] = &[(COOKIE, &CLIENT), (NSID, b""), (ECS, &ecs)];
    let heard = ask(&snapshot, &Ask { question: Some((&name, 1, 1)), options, ..Ask::default() });
    assert_eq!((heard.rcode, heard.counts()), (REFUSED, [1, 0, 0, 1]));
    // The extended error is the fourth.
    assert_eq!((heard.options.len(), heard.octets.len() <= 512), (4, true));
}

#[test]
fn rfc4892_names_of_class_chaos_say_what_is_configured() {
    fn chaos(snapshot: &Snapshot, name: &str, qtype: u16) -> Heard {
        ask(snapshot, &Ask { question: Some((name, qtype, 3)), ..Ask::default() })
    }
    for (name, text) in [
        ("id.server", "ns1.example.com"),
        ("HostName.BIND", "ns1.example.com"),
        ("version.server", "pharos"),
        ("version.bind", "pharos"),
    ] {
        for qtype in [16, 255] {
            let heard = chaos(&TALKATIVE, name, qtype);
            assert_eq!((heard.rcode, heard.counts(), heard.octets[2] & 0x04), (NOERROR, [1, 1, 0, 1], 4), "{name}");
            let record =
                [&[0xc0, 12, 0, 16, 0, 3, 0, 0, 0, 0, 0, text.len() as u8 + 1, text.len() as u8], text.as_bytes()];
            assert!(heard.octets.windows(13 + text.len()).any(|octets| octets == record.concat()), "{name}");
        }
        assert_eq!(chaos(&TALKATIVE, name, 1).rcode, REFUSED);
        assert_eq!(chaos(&with(Settings::default()), name, 16).rcode, REFUSED);
    }
    assert_eq!(chaos(&TALKATIVE, "example.net", 16).rcode, REFUSED);
    assert_eq!(ask(&TALKATIVE, &Ask { question: Some(("id.server", 16, 1)), ..Ask::default() }).rcode, REFUSED);
}

#[test]
fn rfc7871_s7_2_1_class_chaos_too_has_the_subnet_back() {
    let ecs: &[u8] = &[0, 1, 24, 0, 198, 51, 100];
    let options: &[(u16, &[u8])] = &[(ECS, ecs)];
    let heard = ask(&TALKATIVE, &Ask { question: Some(("id.server", 16, 3)), options, ..Ask::default() });
    assert_eq!(heard.option(ECS), Some(ecs));
}
