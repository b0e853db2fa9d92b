//! Zones whose keys or addresses change while validators ask: no answer is ever bogus.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, ResponseCode};
use rcgen::PKCS_ECDSA_P256_SHA256;
use tempfile::TempDir;

use crate::common::nameserver::NameServer;
use crate::common::needs;
use crate::common::server::{PATIENCE, Server};
use crate::resolvers::{Unbound, addresses};
use crate::validators::delv;
use crate::world::{self, LOOPBACK, dnskey};

/// The TTL of all records in the zones of a roll-over.
const TTL: Duration = Duration::from_secs(1);

/// The parent zone `test` and the child `blob.test` in one server, each with keys of its own.
struct Delegation {
    folder: TempDir,
}

impl Delegation {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for key in ["parent.pem", "old.pem", "new.pem"] {
            world::write_key(&folder.path().join(key), &PKCS_ECDSA_P256_SHA256);
        }
        Delegation { folder }
    }

    /// Writes the configuration: the keys of the child with their states, and the DS records of the parent.
    fn write(&self, keys: &[(&str, &str)], ds: &[String]) {
        let keys: Vec<String> =
            keys.iter().map(|(file, state)| format!("{{ file = \"{file}\", state = \"{state}\" }}")).collect();
        let config = format!(
            "[dns]\nlisten = \"127.0.0.1:0\"\n[[zone]]\nname = \"test\"\nfile = \"parent.zone\"\ndnssec = {{ keys = [\"parent.pem\"] \
             }}\n[[zone]]\nname = \"blob.test\"\nfile = \"child.zone\"\nsteer = [{{ owner = \"@\", horizon = \"h\", ttl = 1 \
             }}]\ndnssec = {{ keys = [{}] }}\n[mirrors.m]\naddresses = [\"198.51.100.7\"]\n[horizons.h]\ndefault = [\"m\"]\n",
            keys.join(", ")
        );
        let head = "$TTL 1\n@ SOA ns h 1 3600 600 86400 1\n@ NS ns\nns A 127.0.0.1\n";
        let ds: String = ds.iter().map(|ds| format!("blob DS {ds}\n")).collect();
        let write = |name: &str, text: &str| fs::write(self.folder.path().join(name), text).unwrap();
        write("pharos.toml", &config);
        write("parent.zone", &format!("{head}blob NS ns\n{ds}"));
        write("child.zone", &format!("{head}www A 192.0.2.80\n"));
    }

    /// The DS record of a key of the child, as `pharos key ds` prints it.
    fn ds(&self, key: &str) -> String {
        self.write(&[(key, "active")], &[]);
        let config = self.folder.path().join("pharos.toml");
        let arguments = ["--config", config.to_str().unwrap(), "key", "ds", "blob.test"];
        let said = world::run(world::pharos(), &arguments, self.folder.path());
        let text = String::from_utf8(said.stdout.clone()).unwrap();
        let ds =
            text.lines().find_map(|line| line.split_once(" DS ")).unwrap_or_else(|| panic!("{}", world::said(&said)));
        ds.1.to_string()
    }
}

/// Asks for a steered name, a static one, and one that does not exist, until a time is over. Each reply is validated.
fn ask_for(unbound: &Unbound, time: Duration) -> usize {
    let (end, mut asked) = (Instant::now() + time, 0);
    while Instant::now() < end {
        let random = asked;
        for (question, code) in [
            ("blob.test. A".to_string(), ResponseCode::NoError),
            ("www.blob.test. A".to_string(), ResponseCode::NoError),
            (format!("n{random}.blob.test. A"), ResponseCode::NXDomain),
        ] {
            let reply = unbound.ask(&question);
            assert_eq!(reply.metadata.response_code, code, "{question} after {asked}: {reply}");
            assert!(reply.metadata.authentic_data, "{question} after {asked}: {reply}");
            asked += 1;
        }
        // So many times a second suffice.
        std::thread::sleep(Duration::from_millis(50));
    }
    asked
}

#[test]
fn a_key_that_is_rolled_by_its_states_never_fails_a_validator() {
    let delegation = Delegation::new();
    let (old, new) = (delegation.ds("old.pem"), delegation.ds("new.pem"));
    delegation.write(&[("old.pem", "active")], std::slice::from_ref(&old));
    let server = Server::start(&delegation.folder.path().join("pharos.toml"));
    let address = server.address(LOOPBACK);
    let anchor = format!("test. DNSKEY {}", dnskey(address, "test").join(" "));
    let Some(unbound) = Unbound::start(&[("test", address), ("blob.test", address)], &anchor) else { return };
    let mut asked = ask_for(&unbound, TTL);
    let both = [old.clone(), new.clone()];
    for (keys, ds) in [
        (&[("old.pem", "active"), ("new.pem", "published")][..], &both[..1]),
        (&[("old.pem", "active"), ("new.pem", "published")], &both),
        (&[("old.pem", "retired"), ("new.pem", "active")], &both),
        (&[("old.pem", "retired"), ("new.pem", "active")], &both[1..]),
        (&[("new.pem", "active")], &both[1..]),
    ] {
        delegation.write(keys, ds);
        server.signal("HUP");
        server.wait_for("reloaded");
        // Longer than the TTL of any record.
        asked += ask_for(&unbound, 2 * TTL + Duration::from_millis(500));
    }
    eprintln!("{asked} replies through unbound during the roll-over, all validated");
    // A key that is changed at once fails: the check above can. The reload says so.
    delegation.write(&[("old.pem", "active")], &both[1..]);
    server.signal("HUP");
    server.wait_for("zone blob.test has none of its keys of before");
    let deadline = Instant::now() + PATIENCE;
    while unbound.ask("www.blob.test. A").metadata.response_code != ResponseCode::ServFail {
        assert!(Instant::now() < deadline, "unbound takes a zone without its key for secure");
    }
}

/// A server whose mirror has the addresses of a host.
fn follow(host: SocketAddr) -> (TempDir, Server) {
    let folder = tempfile::tempdir().unwrap();
    world::write_key(&folder.path().join("key.pem"), &PKCS_ECDSA_P256_SHA256);
    let config = format!(
        "[dns]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[resolver]\nservers = \"{host}\"\ntimeout = \
         \"300ms\"\nleast-ttl = \"1s\"\nprivate = [\"192.0.2.0/24\", \"2001:db8::/32\"]\n[[zone]]\nname = \"blob.test\"\nfile = \
         \"zone\"\nsteer = [{{ owner = \"@\", horizon = \"h\", ttl = 60 }}]\ndnssec = {{ keys = [\"key.pem\"] }}\n\
         [mirrors.lb]\nhost = \"lb.net.test\"\n[horizons.h]\ndefault = [\"lb\"]\n"
    );
    fs::write(folder.path().join("zone"), "$TTL 60\n@ SOA ns h 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n")
        .unwrap();
    fs::write(folder.path().join("pharos.toml"), config).unwrap();
    let server = Server::start(&folder.path().join("pharos.toml"));
    (folder, server)
}

#[test]
fn a_family_that_goes_and_comes_back_is_denied_with_a_proof_each_time() {
    let Some(program) = needs::program("delv", "bind9-dnsutils") else { return };
    let host = NameServer::start("lb A 192.0.2.1\nlb AAAA 2001:db8::1");
    let (folder, server) = follow(host.address());
    let address = server.address(LOOPBACK);
    let anchor = dnskey(address, "blob.test");
    let validated =
        |folder: &Path, rtype: &str| delv(&program, folder, address.port(), &anchor, &format!("blob.test {rtype}"));
    let until = |rtype: &str, expected: &str| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = validated(folder.path(), rtype);
            // Before and after the change, each answer and each denial is validated.
            assert!(said.contains("fully validated"), "{rtype}: {said}");
            if said.contains(expected) {
                return;
            }
            assert!(Instant::now() < deadline, "{rtype} is not {expected}: {said}");
        }
    };
    until("AAAA", "2001:db8::1");
    for _ in 0..2 {
        host.change("lb A 192.0.2.1");
        until("AAAA", "negative response");
        until("A", "192.0.2.1");
        host.change("lb A 192.0.2.1\nlb AAAA 2001:db8::2");
        until("AAAA", "2001:db8::2");
    }
    assert!(server.metric("pharos_dnssec_signatures{zone=\"blob.test\"}") > 0);
    assert!(server.metric("pharos_dnssec_signature_expires_seconds{zone=\"blob.test\"}") > 10 * 86_400);
}

/// The reply of a validator for a key kept off line.
fn is_validated(reply: &Message) -> bool {
    reply.metadata.authentic_data && !addresses(reply).is_empty()
}

#[test]
fn with_a_key_signing_key_off_line_its_private_half_is_nowhere_near_and_answers_are_validated() {
    let Some(keygen) = needs::program("dnssec-keygen", "bind9-utils") else { return };
    let Some(signzone) = needs::program("dnssec-signzone", "bind9-utils") else { return };
    let (folder, offline) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let make = |arguments: &[&str]| {
        let made = world::run(&keygen, &[&["-q", "-a", "13"], arguments, &["blob.test"]].concat(), offline.path());
        String::from_utf8(made.stdout).unwrap().trim().to_string()
    };
    let (ksk, zsk) = (make(&["-f", "KSK"]), make(&[]));
    let zone = "$TTL 60\n@ SOA ns h 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n";
    fs::write(offline.path().join("zone"), zone).unwrap();
    let signed = world::run(&signzone, &["-q", "-S", "-x", "-o", "blob.test", "-f", "signed", "zone"], offline.path());
    assert!(signed.status.success(), "{}", world::said(&signed));
    // Of the signed zone, the server takes the DNSKEY RRset with its RRSIG.
    fs::copy(offline.path().join("signed"), folder.path().join("zone")).unwrap();
    for end in ["key", "private"] {
        fs::copy(offline.path().join(format!("{zsk}.{end}")), folder.path().join(format!("{zsk}.{end}"))).unwrap();
    }
    let config = format!(
        "[dns]\nlisten = \"127.0.0.1:0\"\n[[zone]]\nname = \"blob.test\"\nfile = \"zone\"\nsteer = [{{ owner = \"@\", horizon = \"h\" \
         }}]\ndnssec = {{ keys = [\"{zsk}\"] }}\n[mirrors.m]\naddresses = [\"198.51.100.7\"]\n[horizons.h]\ndefault = [\"m\"]\n"
    );
    fs::write(folder.path().join("pharos.toml"), config).unwrap();
    let server = Server::start(&folder.path().join("pharos.toml"));
    let key = fs::read_to_string(offline.path().join(format!("{ksk}.key"))).unwrap();
    let anchor = key.lines().find(|line| line.contains(" DNSKEY ")).unwrap().replace(" IN DNSKEY", " DNSKEY");
    let Some(unbound) = Unbound::start(&[("blob.test", server.address(LOOPBACK))], &anchor) else { return };
    let reply = unbound.ask("blob.test. A");
    assert!(is_validated(&reply), "{reply}");
    let denied = unbound.ask("missing.blob.test. A");
    assert!(denied.metadata.authentic_data, "{denied}");
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(&ksk)), "{left:?}");
}
