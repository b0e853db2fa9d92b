//! Other servers, from Debian packages, with zones of ours: NSD, Knot and BIND.
//!
//! Each is one process on a free port of loopback with a folder of its own, and ends when it is dropped. A server that
//! is not installed is left out, and the test says so.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pharos::base::rr::Rtype;
use tempfile::TempDir;

use super::needs;
use super::pipeline;
use super::ports::free_port;
use super::query::Builder;
use super::server::PATIENCE;

/// A zone to serve: its name without a dot at the end, and its master file.
pub type ZoneFile = (String, String);

/// Another server.
pub struct Peer {
    pub name: &'static str,
    pub address: SocketAddr,
    process: Child,
    folder: TempDir,
}

/// Those of `names` that are installed.
pub fn start(names: &[&str], zones: &[ZoneFile]) -> Vec<Peer> {
    let kinds: [(&str, &str, &str, Configure); 3] =
        [("nsd", "nsd", "nsd", nsd), ("knot", "knotd", "knot", knot), ("bind", "named", "bind9", bind)];
    let mut peers = Vec::new();
    for (name, program, package, configure) in kinds.into_iter().filter(|(name, ..)| names.contains(name)) {
        if let Some(program) = needs::program(program, package) {
            peers.push(Peer::start(name, &program, configure, zones));
        }
    }
    for peer in &mut peers {
        peer.wait(zones);
    }
    peers
}

/// The text of a config file and the arguments before its path.
type Configure = fn(&Path, u16, &[ZoneFile]) -> (String, &'static [&'static str]);

fn file_of(zone: &str) -> String {
    format!("{zone}.zone")
}

fn nsd(folder: &Path, port: u16, zones: &[ZoneFile]) -> (String, &'static [&'static str]) {
    let path = folder.display();
    let mut config = format!(
        "server:\n ip-address: 127.0.0.1@{port}\n username: \"\"\n chroot: \"\"\n zonesdir: \"{path}\"\n \
         pidfile: \"{path}/nsd.pid\"\n logfile: \"{path}/nsd.log\"\n xfrdfile: \"{path}/xfrd.state\"\n \
         zonelistfile: \"{path}/zone.list\"\n database: \"\"\n server-count: 1\n \
         rrl-ratelimit: 0\n minimal-responses: yes\n confine-to-zone: yes\nremote-control:\n control-enable: no\n"
    );
    for (name, _) in zones {
        let _ = writeln!(config, "zone:\n name: {name}\n zonefile: {}", file_of(name));
    }
    (config, &["-d", "-c"])
}

fn knot(folder: &Path, port: u16, zones: &[ZoneFile]) -> (String, &'static [&'static str]) {
    let path = folder.display();
    let mut config = format!(
        "server:\n  rundir: \"{path}\"\n  pidfile: \"{path}/knot.pid\"\n  listen: 127.0.0.1@{port}\n  \
         udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\nlog:\n  - target: stderr\n    any: error\n\
         database:\n  storage: \"{path}/db\"\nzone:\n"
    );
    for (name, _) in zones {
        let _ = writeln!(
            config,
            "  - domain: {name}\n    storage: \"{path}\"\n    file: {}\n    journal-content: none\n    \
             zonefile-sync: -1\n    semantic-checks: off",
            file_of(name)
        );
    }
    (config, &["-c"])
}

/// The config of BIND, without the checks that refuse zones which BIND could serve all the same.
fn bind(folder: &Path, port: u16, zones: &[ZoneFile]) -> (String, &'static [&'static str]) {
    let path = folder.display();
    let mut config = format!(
        "options {{ directory \"{path}\"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};\n \
         pid-file \"{path}/named.pid\"; session-keyfile \"{path}/session.key\"; lock-file none;\n \
         managed-keys-directory \"{path}\"; recursion no; notify no; dnssec-validation no; empty-zones-enable no;\n \
         minimal-responses no-auth; minimal-any no; zero-no-soa-ttl no; check-integrity no; check-names primary ignore; check-sibling no;\n \
         check-mx ignore; check-mx-cname ignore; check-srv-cname ignore; check-wildcard no; check-spf ignore; }};\n\
         controls {{ }};\n"
    );
    for (name, _) in zones {
        let _ = writeln!(config, "zone \"{name}\" {{ type primary; file \"{}\"; }};", file_of(name));
    }
    (config, &["-f", "-n", "1", "-c"])
}

impl Peer {
    fn start(name: &'static str, program: &Path, configure: Configure, zones: &[ZoneFile]) -> Peer {
        let folder = TempDir::new().unwrap();
        for (zone, text) in zones {
            fs::write(folder.path().join(file_of(zone)), text).unwrap();
        }
        let port = free_port();
        let (config, arguments) = configure(folder.path(), port, zones);
        let path = folder.path().join("config");
        fs::write(&path, config).unwrap();
        let process = Command::new(program)
            .args(arguments)
            .arg(&path)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.path().join("stderr")).unwrap())
            .spawn()
            .unwrap();
        Peer { name, address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), process, folder }
    }

    /// Waits until the server answers for all zones.
    fn wait(&mut self, zones: &[ZoneFile]) {
        let deadline = Instant::now() + PATIENCE;
        for (zone, _) in zones {
            let message = Builder::new(&format!("{zone}."), Rtype::SOA).finish();
            // AA is set, and the rcode is NOERROR.
            let is_there = |reply: Vec<u8>| reply[2] & 4 != 0 && reply[3] & 15 == 0;
            while !pipeline::ask_tcp(self.address, &message).is_ok_and(is_there) {
                let ended = self.process.try_wait().unwrap();
                assert!(ended.is_none(), "{} ended: {ended:?}\n{}", self.name, self.said());
                assert!(Instant::now() < deadline, "{} does not serve {zone}\n{}", self.name, self.said());
                // The delay between two attempts; the answer ends the wait.
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    fn said(&self) -> String {
        let logs = ["stderr", "nsd.log"].map(|name| fs::read_to_string(self.folder.path().join(name)));
        logs.into_iter().filter_map(Result::ok).collect()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // SIGTERM first: NSD has children that a SIGKILL would leave behind.
        if let Ok(pid) = i32::try_from(self.process.id()) {
            let _ = Command::new("kill").arg(pid.to_string()).status();
            let deadline = Instant::now() + Duration::from_secs(5);
            while Instant::now() < deadline && matches!(self.process.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
