//! `[reload] watch`: files of a running server change, and are served without a signal.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in what its cases share")]

mod common;

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use common::query::Builder;
use common::server::{Server, ask_udp};
use pharos::base::rr::Rtype;
use tempfile::TempDir;

const CONFIG: &str = r#"
include = ["mirrors.d/*.toml"]
reload = { watch = "1s" }
[dns]
listen = "127.0.0.1:0"
[[zone]]
name = "blob.example"
file = "zone"
steer = [{ owner = "@", horizon = "all" }]
[networks]
sites = { list = "sites.txt" }
[mirrors.far]
addresses = "192.0.2.20"
[horizons.all]
rules = [{ network = "sites", mirrors = ["near"] }]
default = ["far"]
"#;

const ZONE: &str = "@ 60 SOA ns.other.example. hostmaster.other.example. 1 7200 3600 1209600 300\n\
                    @ 60 NS ns1.other.example.\n@ 60 NS ns2.other.example.\n$INCLUDE more\n";

/// The client is not in the list.
const ELSEWHERE: &str = "198.51.100.0/24\n";
/// The client is in the list.
const HERE: &str = "127.0.0.0/8\n";

/// The line of a refusal.
const REFUSED: &str = "not reloaded, the configuration before it is served";

/// A part of the line about a source that is served without its file.
const KEPT: &str = "keeps its served prefixes";

/// Writes all files of a configuration; the near mirror has this address.
fn write_all(folder: &Path, list: &str, near: &str) {
    fs::create_dir_all(folder.join("mirrors.d")).unwrap();
    fs::write(folder.join("pharos.toml"), CONFIG).unwrap();
    fs::write(folder.join("zone"), ZONE).unwrap();
    fs::write(folder.join("more"), "host 60 A 192.0.2.1\n").unwrap();
    fs::write(folder.join("sites.txt"), list).unwrap();
    fs::write(folder.join("mirrors.d/near.toml"), mirror(near)).unwrap();
}

fn mirror(near: &str) -> String {
    format!("[mirrors.near]\naddresses = \"{near}\"\n")
}

/// A running server with its files.
struct World {
    folder: TempDir,
    server: Server,
}

impl World {
    fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        write_all(folder.path(), ELSEWHERE, "192.0.2.10");
        let server = Server::start(&folder.path().join("pharos.toml"));
        World { folder, server }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces a file as a careful tool does.
    fn replace(&self, name: &str, text: &str) {
        fs::write(self.path("new"), text).unwrap();
        fs::rename(self.path("new"), self.path(name)).unwrap();
    }

    /// Waits for a reload for the change of a file.
    fn wait_for_reload(&self, name: &str) {
        self.server.wait_for(&format!("{name}` has changed: reloading"));
        self.server.wait_for("reloaded: generation");
    }

    /// The address of a name.
    fn address(&self, name: &str) -> String {
        address(&self.server, name)
    }
}

fn address(server: &Server, name: &str) -> String {
    let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let query = Builder::new(name, Rtype::A).finish();
    let reply = ask_udp(&query, client, server.address(client)).unwrap().unwrap();
    // The record of an answer to a question without EDNS is the last of the message.
    let last: [u8; 4] = *reply.last_chunk().unwrap();
    match reply[6..8] {
        [0, 1] => Ipv4Addr::from(last).to_string(),
        _ => "none".to_string(),
    }
}

#[test]
fn every_kind_of_file_is_served_after_a_change_without_a_signal() {
    let world = World::new();
    assert_eq!(
        (world.address("blob.example"), world.address("host.blob.example")),
        ("192.0.2.20".into(), "192.0.2.1".into())
    );
    world.replace("sites.txt", HERE);
    world.wait_for_reload("sites.txt");
    assert_eq!(world.address("blob.example"), "192.0.2.10");
    world.replace("mirrors.d/near.toml", &mirror("192.0.2.11"));
    world.wait_for_reload("near.toml");
    assert_eq!(world.address("blob.example"), "192.0.2.11");
    world.replace("zone", &format!("{ZONE}other 60 A 192.0.2.2\n"));
    world.wait_for_reload("zone");
    assert_eq!(world.address("other.blob.example"), "192.0.2.2");
    world.replace("more", "host 60 A 192.0.2.3\n");
    world.wait_for_reload("more");
    assert_eq!(world.address("host.blob.example"), "192.0.2.3");
    // A pattern that matches one more file: the mirror moves there.
    fs::remove_file(world.path("mirrors.d/near.toml")).unwrap();
    fs::write(world.path("mirrors.d/other.toml"), mirror("192.0.2.12")).unwrap();
    world.server.wait_for("reloaded: generation");
    assert_eq!(world.address("blob.example"), "192.0.2.12");
    // The configuration itself ends the watch.
    world.replace("pharos.toml", &CONFIG.replace("reload = { watch = \"1s\" }", ""));
    world.wait_for_reload("pharos.toml");
    world.replace("more", "host 60 A 192.0.2.4\n");
    assert_eq!(world.server.wait_for_nothing_in(Duration::from_secs(3)), [""; 0]);
    assert_eq!(world.address("host.blob.example"), "192.0.2.3");
}

#[test]
fn a_volume_of_kubernetes_is_served_once_its_link_is_switched() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for (version, near) in [("..2026_01", "192.0.2.10"), ("..2026_02", "192.0.2.11")] {
        write_all(&path(version), HERE, near);
    }
    symlink("..2026_01", path("..data")).unwrap();
    for name in ["pharos.toml", "zone", "more", "sites.txt", "mirrors.d"] {
        symlink(format!("..data/{name}"), path(name)).unwrap();
    }
    let server = Server::start(&path("pharos.toml"));
    assert_eq!(address(&server, "blob.example"), "192.0.2.10");
    // As kubelet does: the link is replaced in one step, then the old folder goes.
    symlink("..2026_02", path("..data_tmp")).unwrap();
    fs::rename(path("..data_tmp"), path("..data")).unwrap();
    fs::remove_dir_all(path("..2026_01")).unwrap();
    let said = server.wait_for("reloaded: generation 2 ").join("\n");
    assert_eq!(said.matches("has changed: reloading").count(), 1, "{said}");
    assert_eq!(address(&server, "blob.example"), "192.0.2.11");
}

#[test]
fn a_refusal_is_reported_once_and_the_mended_file_is_served() {
    let world = World::new();
    world.replace("sites.txt", "not a prefix\n");
    world.server.wait_for(KEPT);
    world.server.wait_for("reloaded: generation");
    let later = world.server.wait_for_nothing_in(Duration::from_secs(4));
    assert_eq!(later, [""; 0], "four looks later");
    world.replace("sites.txt", HERE);
    let said = world.server.wait_for("reloaded: generation").join("\n");
    assert!(!said.contains("not reloaded"), "{said}");
    assert_eq!(world.address("blob.example"), "192.0.2.10");
    // A new file that does not exist yet is watched too.
    world.replace("pharos.toml", &CONFIG.replace("\"sites.txt\"", "\"new.txt\""));
    world.server.wait_for(REFUSED);
    fs::write(world.path("new.txt"), ELSEWHERE).unwrap();
    world.wait_for_reload("new.txt");
    assert_eq!(world.address("blob.example"), "192.0.2.20");
}

#[test]
fn a_pipe_in_place_of_a_file_is_refused_while_queries_are_answered() {
    let world = World::new();
    fs::remove_file(world.path("sites.txt")).unwrap();
    assert!(Command::new("mkfifo").arg(world.path("sites.txt")).status().unwrap().success());
    world.server.wait_for("it is a named pipe, not a regular file");
    world.server.wait_for(KEPT);
    assert_eq!(world.address("blob.example"), "192.0.2.20");
    fs::remove_file(world.path("sites.txt")).unwrap();
    world.replace("sites.txt", HERE);
    world.wait_for_reload("sites.txt");
    assert_eq!(world.address("blob.example"), "192.0.2.10");
}

#[test]
fn a_file_that_goes_on_changing_is_served_when_it_is_at_rest() {
    let world = World::new();
    let (begun, mut last, mut pause) = (Instant::now(), Instant::now(), Duration::ZERO);
    for length in 1.. {
        // In place, as a careless tool does: most of these states are whole lists all the same.
        fs::write(world.path("sites.txt"), HERE.repeat(length)).unwrap();
        pause = pause.max(last.elapsed());
        last = Instant::now();
        if begun.elapsed() > Duration::from_secs(4) {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    // If the machine halts this test for an interval, the file does not change meanwhile.
    if pause < Duration::from_millis(900) {
        assert_eq!(world.server.lines(), [""; 0]);
        assert_eq!(world.address("blob.example"), "192.0.2.20");
    }
    world.wait_for_reload("sites.txt");
    assert_eq!(world.address("blob.example"), "192.0.2.10");
}
