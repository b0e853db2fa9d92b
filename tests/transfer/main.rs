//! Zone transfers: ours sends zones to dig, NSD, Knot, BIND and hickory, and fetches them from NSD, Knot, BIND and hickory;
//! with keys, NOTIFY, changes, over TLS, a copy on disk, and the copy's expiry.
//!
//! Needs the Debian packages `bind9-dnsutils`, `nsd`, `knot` and `bind9`; a program that is not installed is left out, and
//! the test says so. No test waits for a fixed time: each wait is for an answer, and has a deadline.

#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected is to fail")]
#![allow(unreachable_pub, reason = "a module of test binaries has nobody outside to reach it")]

#[path = "../common/mod.rs"]
mod common;

mod older;
mod world;
mod xot;

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use common::hickory::{self, Hickory};
use common::ports::free_port;
use common::server::Server;
use hickory_proto::op::Message;
use hickory_proto::rr::{Record, RecordType};
use pharos::base::rr::Rtype;
use tempfile::TempDir;
use world::{
    HERE, KEY, Other, SECRET, ask, dig, extended_error, primary, reload, secondary, serial, texts, until, zone,
};

#[test]
fn dig_gets_a_zone_and_its_changes_with_the_key_and_without_none() {
    let (folder, server, address) = primary("{ allow = \"key:xfer.example\" }");
    let key = format!("hmac-sha256:xfer.example:{SECRET}");
    let Some(said) = dig(address, &["AXFR", "-y", &key]) else { return };
    assert!(said.contains("XFR size: 1209 records (messages 3, bytes "), "{said}");
    assert!(said.contains("host599.example.net.") && said.contains("TYPE65280"), "{said}");
    assert!(!said.contains("could not be validated") && !said.contains("WARNING"), "{said}");
    assert!(dig(address, &["AXFR"]).unwrap().contains("; Transfer failed."));
    let other = format!("hmac-sha256:xfer.example:{}", SECRET.replace("MDEy", "MDEz"));
    assert!(dig(address, &["AXFR", "-y", &other]).unwrap().contains("tsig indicates error"));
    let weak = format!("hmac-sha1:xfer.example:{SECRET}");
    assert!(dig(address, &["AXFR", "-y", &weak]).unwrap().contains("tsig indicates error"));

    // The query of certbot and nsupdate.
    for transport in ["+tcp", "+notcp"] {
        let said = dig(address, &["SOA", transport, "-y", &key]).unwrap();
        assert!(said.contains("status: NOERROR") && said.contains(";; TSIG PSEUDOSECTION"), "{said}");
        assert!(!said.contains("could not be validated") && !said.contains("Couldn't verify"), "{said}");
    }

    reload(folder.path(), &server, 2);
    let said = dig(address, &["IXFR=1", "-y", &key]).unwrap();
    assert!(said.contains("XFR size: 6 records (messages 1"), "{said}");
    let said = dig(address, &["IXFR=2", "-y", &key]).unwrap();
    assert!(said.contains("XFR size: 1 records"), "{said}");
    let said = dig(address, &["IXFR=0", "-y", &key]).unwrap();
    assert!(said.contains("XFR size: 1209 records"), "{said}");
    // Over UDP: the SOA alone shows that there is more.
    let said = dig(address, &["IXFR=1", "+notcp", "-y", &key]).unwrap();
    assert!(said.contains("SOA"), "{said}");
}

/// NSD or Knot follows our zone: at first, and when we notify it of a new serial.
fn followed_by(program: &str, config: impl Fn(SocketAddr) -> String) {
    let port = free_port();
    let transfer =
        format!("{{ allow = \"127.0.0.0/8 key:xfer.example\", notify = \"127.0.0.1:{port} key:xfer.example\" }}");
    let (folder, server, address) = primary(&transfer);
    let Some(other) = Other::start(program, port, &config(address), &[]) else { return };
    other.wait_for(1);
    assert_eq!(texts(other.address), texts(address));
    reload(folder.path(), &server, 2);
    other.wait_for(2);
    assert_eq!(texts(other.address), texts(address));
}

#[test]
fn nsd_follows_us() {
    followed_by("nsd", |ours| {
        format!(
            "zone:\n name: example.net\n zonefile: DIR/copy\n request-xfr: {}@{} xfer.example\n allow-notify: 127.0.0.1 xfer.example\n",
            ours.ip(),
            ours.port()
        )
    });
}

#[test]
fn knot_follows_us() {
    followed_by("knotd", |ours| {
        format!(
            "remote:\n  - id: ours\n    address: {}@{}\n    key: xfer.example\nacl:\n  - id: notify\n    address: 127.0.0.1\n    \
             key: xfer.example\n    action: notify\nzone:\n  - domain: example.net\n    storage: \"DIR\"\n    master: ours\n    acl: notify\n",
            ours.ip(),
            ours.port()
        )
    });
}

/// We follow another server: at first, when it notifies us of a new serial, after a restart without it.
fn follows(program: &str, config: impl Fn(u16) -> String) {
    let port = free_port();
    let folder = TempDir::new().unwrap();
    // Ours first: the other is told where to send NOTIFY to.
    let (server, address) = secondary(folder.path(), port);
    let before = ask(address, "version.example.net.", Rtype::TXT).unwrap();
    assert_eq!(before.metadata.response_code, hickory_proto::op::ResponseCode::ServFail);
    let files = [("zone", zone(1, 86_400))];
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let Some(other) = Other::start(program, port, &config(address.port()), &files) else { return };
    other.wait_for(1);
    until("we have serial 1", || serial(address) == Some(1));
    assert_eq!(texts(address), texts(other.address));
    other.replace_zone(&zone(2, 86_400));
    other.wait_for(2);
    until("we have serial 2", || serial(address) == Some(2));
    assert_eq!(texts(address), texts(other.address));
    let wild = ask(address, "a.wild.example.net.", Rtype::MX).unwrap();
    assert_eq!(wild.answers.len(), 1, "what came by changes is whole");
    drop((other, server));
    let (_server, address) = secondary(folder.path(), port);
    assert_eq!(serial(address), Some(2), "the copy is served at once");
}

#[test]
fn we_follow_nsd() {
    follows("nsd", |ours| {
        format!(
            "zone:\n name: example.net\n zonefile: DIR/zone\n provide-xfr: 127.0.0.1 xfer.example\n notify: 127.0.0.1@{ours} xfer.example\n"
        )
    });
}

#[test]
fn we_follow_knot_by_changes() {
    follows("knotd", |ours| {
        format!(
            "remote:\n  - id: ours\n    address: 127.0.0.1@{ours}\n    key: xfer.example\nacl:\n  - id: give\n    \
             address: 127.0.0.1\n    key: xfer.example\n    action: transfer\nzone:\n  - domain: example.net\n    storage: \"DIR\"\n    \
             file: zone\n    zonefile-load: difference\n    zonefile-sync: -1\n    journal-content: changes\n    notify: ours\n    acl: give\n"
        )
    });
}

#[test]
fn we_follow_bind() {
    follows("named", |ours| {
        format!(
            "zone \"example.net\" {{ type primary; file \"DIR/zone\"; ixfr-from-differences yes; \
             allow-transfer {{ key xfer.example; }}; also-notify {{ 127.0.0.1 port {ours} key xfer.example; }}; }};\n"
        )
    });
}

/// hickory's client takes a zone of several messages, and reads the same records in it as in the file.
#[test]
fn hickory_follows_us() {
    let (_folder, _server, address) = primary("{ allow = \"127.0.0.1\" }");
    let mut transferred = hickory::fetch(address, "example.net");
    let by_number = |record: &Record| matches!(record.record_type(), RecordType::Unknown(65280));
    assert_eq!(transferred.iter().filter(|record| by_number(record)).count(), 1, "RFC 3597");
    transferred.retain(|record| !by_number(record));
    let mut read = hickory::read("example.net", &readable_by_hickory(1)).unwrap();
    transferred.sort();
    read.sort();
    assert_eq!(transferred, read);
}

/// hickory-server answers IXFR as a question for a type that does not exist, so a change comes by AXFR.
#[test]
fn we_follow_hickory() {
    let port = free_port();
    let folder = TempDir::new().unwrap();
    let config = format!(
        "[dns]\nlisten = \"127.0.0.1:0\"\n[[zone]]\nname = \"example.net\"\nfile = \"copy\"\nprimaries = \"127.0.0.1:{port}\"\n"
    );
    fs::write(folder.path().join("pharos.toml"), config).unwrap();
    let above = Hickory::start_at(port, &[("example.net".into(), readable_by_hickory(1))]);
    let server = Server::start(&folder.path().join("pharos.toml"));
    let address = server.address(HERE);
    until("we have serial 1", || serial(address) == Some(1));
    assert_eq!(texts(address), texts(above.address));
    above.replace("example.net", &readable_by_hickory(2));
    // It sends no NOTIFY; a reload compares the serials.
    server.signal("HUP");
    until("we have serial 2", || serial(address) == Some(2));
    assert_eq!(texts(address), texts(above.address));
    drop((above, server));
    let server = Server::start(&folder.path().join("pharos.toml"));
    assert_eq!(serial(server.address(HERE)), Some(2), "the copy is served at once");
}

/// The zone without the record whose presentation form hickory does not read.
fn readable_by_hickory(version: u32) -> String {
    zone(version, 86_400).replace("t TYPE65280 \\# 3 abcdef\n", "")
}

#[test]
fn a_copy_expires_and_comes_back() {
    let port = free_port();
    let folder = TempDir::new().unwrap();
    let upstream = TempDir::new().unwrap();
    let config = format!(
        "{KEY}\n[dns]\nlisten = \"127.0.0.1:{port}\"\n[[zone]]\nname = \"example.net\"\nfile = \"zone\"\n\
         transfer = {{ allow = \"key:xfer.example\" }}\n"
    );
    fs::write(upstream.path().join("pharos.toml"), config).unwrap();
    fs::write(upstream.path().join("zone"), zone(1, 4300)).unwrap();
    let above = Server::start(&upstream.path().join("pharos.toml"));
    let (server, address) = secondary(folder.path(), port);
    until("we have serial 1", || serial(address) == Some(1));
    drop((above, server));
    // The last comparison was nearly as long ago as the expire time.
    let copy = fs::File::options().append(true).open(folder.path().join("copy")).unwrap();
    copy.set_modified(SystemTime::now() - Duration::from_secs(4298)).unwrap();
    let (server, address) = secondary(folder.path(), port);
    server.wait_for("has expired");
    let reply = ask(address, "version.example.net.", Rtype::TXT).unwrap();
    assert_eq!(reply.metadata.response_code, hickory_proto::op::ResponseCode::ServFail);
    assert_eq!(extended_error(address), Some(24), "RFC 8914 §4.25: invalid data");
    let _above = Server::start(&upstream.path().join("pharos.toml"));
    // A reload asks anew, so that the test does not have to wait for the retry.
    server.signal("HUP");
    until("the zone is back", || serial(address) == Some(1));
    assert_eq!(texts(address), ["1", "some text that takes room, 123"]);
}

#[test]
fn a_bad_transfer_leaves_what_is_served() {
    let (folder, upstream, above) = primary("{ allow = \"key:xfer.example\" }");
    let here = TempDir::new().unwrap();
    let (server, address) = secondary(here.path(), above.port());
    until("we have serial 1", || serial(address) == Some(1));
    let copy = fs::read(here.path().join("copy")).unwrap();
    // The primary has another key now, so that the secondary accepts no reply.
    let config = fs::read_to_string(folder.path().join("pharos.toml")).unwrap();
    fs::write(folder.path().join("pharos.toml"), config.replace("MDEyMzQ1", "MDEyMzQ2")).unwrap();
    reload(folder.path(), &upstream, 2);
    server.signal("HUP");
    let said = server.wait_for("failed to compare");
    assert!(said.last().unwrap().contains("BADSIG"), "{said:?}");
    assert_eq!((serial(address), fs::read(here.path().join("copy")).unwrap()), (Some(1), copy));
    // The primary has the right key again.
    fs::write(folder.path().join("pharos.toml"), config).unwrap();
    reload(folder.path(), &upstream, 3);
    server.signal("HUP");
    until("we have serial 3", || serial(address) == Some(3));
}

#[test]
fn a_steered_zone_is_given_away_only_as_the_default_and_when_the_config_says_so() {
    let folder = TempDir::new().unwrap();
    let config = "[dns]\nlisten = \"127.0.0.1:0\"\n[[zone]]\nname = \"example.net\"\nfile = \"zone\"\n\
                  steer = [{ owner = \"blob\", horizon = \"h\", ttl = 7, https = { alpn = \"h2\" } }]\n\
                  transfer = { allow = \"127.0.0.1\", steered = \"default\" }\n[mirrors.near]\naddresses = \"192.0.2.10\"\n\
                  [mirrors.far]\naddresses = \"192.0.2.20\"\n[networks]\nhere = { list = \"here\" }\n[horizons.h]\n\
                  rules = [{ network = \"here\", mirrors = \"near\" }]\ndefault = \"far\"\n";
    let files = [("pharos.toml", config), ("here", "127.0.0.0/8\n")];
    files.iter().for_each(|(file, text)| fs::write(folder.path().join(file), text).unwrap());
    fs::write(folder.path().join("zone"), "$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.53\n").unwrap();
    let server = Server::start(&folder.path().join("pharos.toml"));
    let address = server.address(HERE);
    let steered = |reply: &Message| -> Vec<String> {
        let of_blob = reply.answers.iter().filter(|record| record.name.to_string().starts_with("blob."));
        of_blob.map(|record| format!("{} {}", record.ttl, record.data)).collect()
    };
    assert_eq!(steered(&ask(address, "blob.example.net.", Rtype::A).unwrap()), ["7 192.0.2.10"]);
    let given = ask(address, "example.net.", Rtype::AXFR).unwrap();
    assert_eq!(
        (given.answers.len(), steered(&given)),
        (6, vec!["7 192.0.2.20".to_string(), "7 1 . alpn=h2, ipv4hint=192.0.2.20,".to_string()])
    );
    fs::write(folder.path().join("pharos.toml"), config.replace(", steered = \"default\"", "")).unwrap();
    server.signal("HUP");
    server.wait_for("reloaded");
    let refused = ask(address, "example.net.", Rtype::AXFR).unwrap();
    assert_eq!(refused.metadata.response_code, hickory_proto::op::ResponseCode::Refused);
}

#[test]
fn metrics_tell_of_zones_that_come_and_go() {
    let (port, here, above) = (free_port(), TempDir::new().unwrap(), TempDir::new().unwrap());
    let admin = "[admin]\nlisten = \"127.0.0.1:0\"\n";
    let config = format!(
        "{KEY}{admin}[dns]\nlisten = \"127.0.0.1:0\"\n[[zone]]\nname = \"example.net\"\nfile = \"copy\"\n\
         primaries = \"127.0.0.1:{port} key:xfer.example\"\n"
    );
    fs::write(here.path().join("pharos.toml"), config).unwrap();
    let server = Server::start(&here.path().join("pharos.toml"));
    let address = server.address(HERE);
    let compared = |what| server.metric(&format!("pharos_transfer_compared_total{{outcome=\"{what}\"}}"));
    until("nobody is there", || compared("unreachable") > 0);
    assert_eq!(extended_error(address), Some(14), "RFC 8914 §4.15: not ready");
    assert!(!server.metrics().contains("pharos_zone_serial{"), "there is no copy yet");
    assert_eq!(server.metric("pharos_zone_expires_seconds{zone=\"example.net\"}"), 0);

    let config = format!(
        "{KEY}{admin}[dns]\nlisten = \"127.0.0.1:{port}\"\n[[zone]]\nname = \"example.net\"\nfile = \"zone\"\n\
         transfer = {{ allow = \"key:xfer.example\", notify = \"{address} key:xfer.example\" }}\n"
    );
    fs::write(above.path().join("pharos.toml"), config).unwrap();
    fs::write(above.path().join("zone"), zone(1, 86_400)).unwrap();
    // The primary sends a NOTIFY when it starts, and again when the zone changes.
    let upstream = Server::start(&above.path().join("pharos.toml"));
    until("we have serial 1", || serial(address) == Some(1));
    reload(above.path(), &upstream, 2);
    until("we have serial 2", || serial(address) == Some(2));
    let metric = |name: &str| server.metric(&format!("{name}{{zone=\"example.net\"}}"));
    assert_eq!((metric("pharos_zone_serial"), compared("fetched")), (2, 2));
    assert_eq!((compared("bad-signature"), compared("refused"), compared("silent")), (0, 0, 0));
    assert_eq!(server.metric("pharos_transfer_notifies_heard_total"), 2);
    let (age, left) = (metric("pharos_zone_age_seconds"), metric("pharos_zone_expires_seconds"));
    assert!(age < 60 && left <= 86_400 && left + 60 > 86_400, "{age} {left}");

    let given = |how| upstream.metric(&format!("pharos_dns_transfers_total{{outcome=\"{how}\"}}"));
    let told = "pharos_transfer_notifies_sent_total{outcome=\"answered\"}";
    until("both words were answered", || upstream.metric(told) == 2);
    assert_eq!(upstream.metric("pharos_zone_serial{zone=\"example.net\"}"), 2);
    assert!(!upstream.metrics().contains("pharos_zone_expires_seconds{"), "it is no copy");
    until("both were handed over", || given("complete") == 2);
    assert_eq!((given("cut"), given("refused")), (0, 0));
    let refused = ask(upstream.address(HERE), "example.net.", Rtype::AXFR).unwrap();
    assert_eq!(refused.metadata.response_code, hickory_proto::op::ResponseCode::Refused);
    assert_eq!((given("complete"), given("cut"), given("refused")), (2, 0, 1));
}
