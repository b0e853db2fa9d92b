//! A primary whose zone becomes older than our copy: the log says so once, the copy expires, and an operator can take the
//! older zone.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use super::common::server::Server;
use super::world::{HERE, KEY, ask, extended_error, reload, serial, texts, until, zone};
use pharos::base::rr::Rtype;

/// A zone that expires soon: its refresh is raised to 30 s and its retry to 5 s, and its expiry to their sum, 35 s.
fn short_lived(serial: u32) -> String {
    zone(serial, 6).replace("3600 600 6 60", "2 1 6 60")
}

fn primary(text: &str) -> (TempDir, Server, SocketAddr) {
    let folder = TempDir::new().unwrap();
    let config = format!(
        "{KEY}\n[dns]\nlisten = \"127.0.0.1:0\"\n[[zone]]\nname = \"example.net\"\nfile = \"zone\"\n\
         transfer = {{ allow = \"key:xfer.example\" }}\n"
    );
    fs::write(folder.path().join("pharos.toml"), config).unwrap();
    fs::write(folder.path().join("zone"), text).unwrap();
    let server = Server::start(&folder.path().join("pharos.toml"));
    let address = server.address(HERE);
    (folder, server, address)
}

fn secondary(folder: &Path, primary: SocketAddr) -> (Server, SocketAddr) {
    let config = format!(
        "{KEY}\n[dns]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [control]\nsocket = \"control.sock\"\nstate = \"orders.json\"\n\
         [[zone]]\nname = \"example.net\"\nfile = \"copy\"\nprimaries = \"{primary} key:xfer.example\"\n\
         [[zone]]\nname = \"kept.example\"\nfile = \"kept\"\n"
    );
    fs::write(folder.join("pharos.toml"), config).unwrap();
    fs::write(folder.join("kept"), "$TTL 60\n@ SOA ns h 7 3600 600 86400 60\n@ NS ns\nns A 192.0.2.53\n").unwrap();
    let server = Server::start(&folder.join("pharos.toml"));
    let address = server.address(HERE);
    (server, address)
}

/// The exit code of `pharos zone retransfer`, and its output: on success the result alone, without the line on stderr that
/// names the configuration.
fn retransfer(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_pharos"))
        .args(["zone", "retransfer"])
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let errors = if status.success() { String::new() } else { String::from_utf8(stderr).unwrap() };
    (status.code(), String::from_utf8(stdout).unwrap() + &errors)
}

#[test]
fn an_older_serial_is_said_once_and_an_operator_can_take_the_zone() {
    let (above, upstream, address) = primary(&zone(100, 86_400));
    let folder = TempDir::new().unwrap();
    let (server, ours) = secondary(folder.path(), address);
    until("we have serial 100", || serial(ours) == Some(100));
    // The primary comes back with a zone from long ago.
    reload(above.path(), &upstream, 5);
    server.signal("HUP");
    let lines = server.wait_for("failed to compare");
    let said = lines.last().unwrap();
    for part in ["its serial 5 is older than serial 100", "`pharos zone retransfer example.net`"] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!((serial(ours), server.metric("pharos_transfer_compared_total{outcome=\"older\"}")), (Some(100), 1));

    let (code, said) = retransfer(folder.path(), &["example.net"]);
    let expected = format!("example.net: serial 5 is served, from {address}\nbefore: serial 100\n");
    assert_eq!((code, said), (Some(0), expected));
    assert_eq!((serial(ours), texts(ours)), (Some(5), texts(address)));
    // All of it comes again, although the serial is the same.
    let (code, said) = retransfer(folder.path(), &["--json", "example.net."]);
    let view: serde_json::Value = serde_json::from_str(&said).unwrap();
    let expected =
        serde_json::json!({ "zone": "example.net", "before": 5, "serial": 5, "primary": address.to_string() });
    assert_eq!((code, view), (Some(0), expected));
    assert_eq!(server.metric("pharos_transfer_compared_total{outcome=\"fetched\"}"), 3);

    // A zone that cannot be fetched is reported with the remedy, and the served zone stays.
    let (code, said) = retransfer(folder.path(), &["kept.example"]);
    assert!(code == Some(1) && said.contains("it has no `primaries`"), "{said}");
    let (code, said) = retransfer(folder.path(), &["example.nett"]);
    assert!(code == Some(1) && said.contains("not served here") && said.contains("example.net"), "{said}");
    drop(upstream);
    let (code, said) = retransfer(folder.path(), &["example.net"]);
    assert!(code == Some(4) && said.contains("was not fetched") && said.contains("refused"), "{said}");
    assert_eq!(serial(ours), Some(5));
}

#[test]
fn a_copy_of_an_older_primary_expires_and_then_any_serial_is_taken() {
    let (above, upstream, address) = primary(&short_lived(100));
    let folder = TempDir::new().unwrap();
    let (server, ours) = secondary(folder.path(), address);
    until("we have serial 100", || serial(ours) == Some(100));
    drop(server);
    fs::write(above.path().join("zone"), short_lived(5)).unwrap();
    upstream.signal("HUP");
    upstream.wait_for("reloaded");
    // The last comparison was 25 s ago, and the copy expires after 35 s: longer than its SOA says, which leaves no time to
    // compare. In the remaining 10 s the server compares at once and after five seconds, and again if the retry is early.
    let copy = fs::File::options().append(true).open(folder.path().join("copy")).unwrap();
    copy.set_modified(SystemTime::now() - Duration::from_secs(25)).unwrap();
    let (server, ours) = secondary(folder.path(), address);
    assert_eq!(serial(ours), Some(100), "the copy is served at once");
    let lines = server.wait_for("has expired: no comparison succeeded in its time");
    let failures = lines.iter().filter(|line| line.contains("failed to compare")).count();
    assert_eq!(failures, 1, "two comparisons failed, and one is reported: {lines:?}");
    // Until the retry, five seconds after the first comparison, the server has no zone to serve.
    let reply = ask(ours, "version.example.net.", Rtype::TXT).unwrap();
    if reply.metadata.response_code == hickory_proto::op::ResponseCode::ServFail {
        assert_eq!(extended_error(ours), Some(24), "RFC 8914 §4.25: invalid data");
    }
    until("what the primary has is served", || serial(ours) == Some(5));
    assert_eq!(texts(ours), texts(address));
}
