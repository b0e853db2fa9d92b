//! Servers that send and fetch zones: ours, and NSD, Knot and BIND.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hickory_proto::op::Message;
use hickory_proto::rr::RData;
use pharos::base::rr::Rtype;
use tempfile::TempDir;

use super::common::needs;
use super::common::pipeline;
use super::common::query::Builder;
use super::common::server::{PATIENCE, Server};

pub const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub const SECRET: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
pub const KEY: &str =
    "[keys.\"xfer.example\"]\nalgorithm = \"hmac-sha256\"\nsecret = \"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\"\n";

/// A zone of a few hundred names, so that a transfer has several messages.
pub fn zone(serial: u32, expire: u32) -> String {
    let mut text = format!(
        "$ORIGIN example.net.\n$TTL 300\n@ SOA ns hostmaster {serial} 3600 600 {expire} 60\n@ NS ns\nns A 192.0.2.53\n\
         version TXT \"{serial}\"\n*.wild MX 10 ns\n_s._tcp SRV 1 2 3 ns\nodd\\.label CNAME ns\nt TYPE65280 \\# 3 abcdef\n"
    );
    for host in 0..600 {
        text.push_str(&format!(
            "host{host} A 192.0.2.{}\nhost{host} TXT \"some text that takes room, {host}\"\n",
            host % 250
        ));
    }
    text
}

/// Waits until a condition holds.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        // The delay between two attempts.
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The reply to a question, over TCP.
pub fn ask(server: SocketAddr, name: &str, rtype: Rtype) -> Option<Message> {
    let reply = pipeline::ask_tcp(server, &Builder::new(name, rtype).finish()).ok()?;
    Message::from_vec(&reply).ok()
}

/// The extended error (RFC 8914) in the reply to a question for the SOA: the only option there.
pub fn extended_error(server: SocketAddr) -> Option<u16> {
    let question = Builder::new("example.net.", Rtype::SOA).edns(1232).finish();
    let reply = pipeline::ask_tcp(server, &question).unwrap();
    let (_, option) = reply.split_last_chunk::<6>()?;
    let &[0, 15, 0, 2, high, low] = option else { return None };
    Some(u16::from_be_bytes([high, low]))
}

/// The serial that a server answers with.
pub fn serial(server: SocketAddr) -> Option<u32> {
    match &ask(server, "example.net.", Rtype::SOA)?.answers.first()?.data {
        RData::SOA(soa) => Some(soa.serial),
        _ => None,
    }
}

/// The text with the version, and the text of a name in the middle of the zone.
pub fn texts(server: SocketAddr) -> Vec<String> {
    let of = |name| {
        ask(server, name, Rtype::TXT)
            .map(|reply| reply.answers.iter().map(|one| one.data.to_string()).collect::<String>())
    };
    ["version.example.net.", "host123.example.net."].into_iter().filter_map(of).collect()
}

/// Another server, in a folder of its own.
pub struct Other {
    process: Child,
    folder: TempDir,
    pub address: SocketAddr,
}

impl Other {
    /// Starts one of `nsd`, `knotd` or `named`; `None` if it is not installed. `config` is its text, given its folder.
    pub fn start(program: &str, port: u16, config: &str, files: &[(&str, &str)]) -> Option<Other> {
        Other::start_with(program, port, "", config, files)
    }

    /// The same with more in the part of its config that is about the whole server.
    pub fn start_with(program: &str, port: u16, more: &str, config: &str, files: &[(&str, &str)]) -> Option<Other> {
        let package = match program {
            "knotd" => "knot",
            "named" => "bind9",
            other => other,
        };
        let path = needs::program(program, package)?;
        let folder = TempDir::new().unwrap();
        for (file, text) in files {
            fs::write(folder.path().join(file), text).unwrap();
        }
        let head = match program {
            "nsd" => format!(
                "server:\n ip-address: 127.0.0.1@{port}\n username: \"\"\n chroot: \"\"\n zonesdir: \"DIR\"\n \
                 pidfile: \"DIR/nsd.pid\"\n logfile: \"DIR/log\"\n xfrdfile: \"DIR/xfrd.state\"\n xfrdir: \"DIR\"\n \
                 zonelistfile: \"DIR/zone.list\"\n database: \"\"\n server-count: 1\n xfrd-reload-timeout: 0\n{more}\
                 remote-control:\n control-enable: no\nkey:\n name: xfer.example\n algorithm: hmac-sha256\n secret: \"{SECRET}\"\n"
            ),
            "knotd" => format!(
                "server:\n  rundir: \"DIR\"\n  pidfile: \"DIR/knot.pid\"\n  listen: 127.0.0.1@{port}\n  udp-workers: 1\n  \
                 tcp-workers: 1\n  background-workers: 1\nlog:\n  - target: stderr\n    any: info\ndatabase:\n  \
                 storage: \"DIR\"\nkey:\n  - id: xfer.example\n    algorithm: hmac-sha256\n    secret: {SECRET}\n"
            ),
            _ => format!(
                "options {{ directory \"DIR\"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};\n \
                 pid-file \"DIR/named.pid\"; session-keyfile \"DIR/session.key\"; lock-file none; notify explicit;\n \
                 managed-keys-directory \"DIR\"; recursion no; dnssec-validation no; empty-zones-enable no; {more} }};\n\
                 controls {{ }};\nkey \"xfer.example\" {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};\n"
            ),
        };
        let text = (head + config).replace("DIR", &folder.path().display().to_string());
        fs::write(folder.path().join("config"), text).unwrap();
        let arguments: &[&str] = match program {
            "nsd" => &["-d", "-c"],
            "knotd" => &["-c"],
            _ => &["-f", "-n", "1", "-c"],
        };
        let process = Command::new(path)
            .args(arguments)
            .arg(folder.path().join("config"))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.path().join("stderr")).unwrap())
            .spawn()
            .unwrap();
        Some(Other { process, folder, address: SocketAddr::new(HERE, port) })
    }

    pub fn wait_for(&self, wanted: u32) {
        let deadline = Instant::now() + PATIENCE;
        while serial(self.address) != Some(wanted) {
            assert!(Instant::now() < deadline, "serial {wanted} is not served: {}", self.said());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn said(&self) -> String {
        ["stderr", "log"].iter().filter_map(|file| fs::read_to_string(self.folder.path().join(file)).ok()).collect()
    }

    pub fn replace_zone(&self, text: &str) {
        fs::write(self.folder.path().join("zone"), text).unwrap();
        let kill = format!("kill -HUP {}", self.process.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline && matches!(self.process.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Our server as the primary, with its folder.
pub fn primary(transfer: &str) -> (TempDir, Server, SocketAddr) {
    let folder = TempDir::new().unwrap();
    let config = format!(
        "{KEY}\n[dns]\nlisten = \"127.0.0.1:0\"\n[[zone]]\nname = \"example.net\"\nfile = \"zone\"\ntransfer = {transfer}\n"
    );
    fs::write(folder.path().join("pharos.toml"), config).unwrap();
    fs::write(folder.path().join("zone"), zone(1, 86_400)).unwrap();
    let server = Server::start(&folder.path().join("pharos.toml"));
    let address = server.address(HERE);
    (folder, server, address)
}

pub fn reload(folder: &Path, server: &Server, serial: u32) {
    fs::write(folder.join("zone"), zone(serial, 86_400)).unwrap();
    server.signal("HUP");
    server.wait_for("reloaded");
}

/// The output of dig for a transfer.
pub fn dig(server: SocketAddr, arguments: &[&str]) -> Option<String> {
    let dig = needs::program("dig", "bind9-dnsutils")?;
    let output = Command::new(dig)
        .args(["@127.0.0.1", "-p", &server.port().to_string(), "+tries=1", "+time=10", "example.net"])
        .args(arguments)
        .output()
        .unwrap();
    Some(String::from_utf8(output.stdout).unwrap())
}

/// Our server as a secondary of the server on `port`; its folder may have a copy already.
pub fn secondary(folder: &Path, port: u16) -> (Server, SocketAddr) {
    let config = format!(
        "{KEY}\n[dns]\nlisten = \"127.0.0.1:0\"\n[[zone]]\nname = \"example.net\"\nfile = \"copy\"\n\
         primaries = \"127.0.0.1:{port} key:xfer.example\"\n"
    );
    fs::write(folder.join("pharos.toml"), config).unwrap();
    let server = Server::start(&folder.join("pharos.toml"));
    let address = server.address(HERE);
    (server, address)
}
