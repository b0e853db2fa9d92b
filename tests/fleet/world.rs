//! A fleet of real servers: each has a folder of its own, and all have one store and one key.

use std::cell::RefCell;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use pharos::base::rr::Rtype;
use ring::hmac;
use serde_json::Value;
use tempfile::TempDir;

use super::common::query::Builder;
use super::common::server::{PATIENCE, Server, ask_udp};
use super::common::show;

/// The key of the fleet.
pub(crate) const KEY: [u8; 32] = [0x5f; 32];

const ZONE: &str = "$TTL 60\n@ SOA ns1 hostmaster 7 3600 600 86400 60\n@ NS ns1\nns1 A 127.0.0.1\n";

/// Three mirrors that are not probed. Clients get the first that no override takes away.
pub(crate) const MIRRORS: &str = "[mirrors.near]\naddresses = \"192.0.2.10\"\n[mirrors.far]\naddresses = \"192.0.2.20\"\n\
                                  [mirrors.spare]\naddresses = \"192.0.2.30\"\n\
                                  [horizons.h]\ndefault = [\"near\", \"far\", \"spare\"]\n";

/// Settings with which a busy machine keeps a server's vote.
pub(crate) const QUICK: &str = "every = \"1s\"\nstale = \"20s\"\n";

/// A server of the fleet.
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    /// Variables of the environment for the process.
    pub(crate) variables: Vec<(String, PathBuf)>,
    /// A process in whose network namespace the server runs; `None` for that of the test.
    pub(crate) network: Option<u32>,
    process: Option<Server>,
    said: RefCell<Vec<String>>,
}

/// The servers and the folder of everything.
pub(crate) struct Fleet {
    pub(crate) members: Vec<Member>,
    folder: TempDir,
}

/// The configuration of a server. `store` is a URL; `pace` has keys of `[fleet]`.
pub(crate) fn config(name: &str, store: &str, pace: &str, rest: &str) -> String {
    format!("{}[fleet]\nname = \"{name}\"\nstore = \"{store}\"\nkey-file = \"../fleet.key\"\n{pace}{rest}", alone())
}

/// The part of the configuration that a server without a fleet has too.
pub(crate) fn alone() -> &'static str {
    "[dns]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
     [control]\nsocket = \"control.sock\"\nstate = \"orders.json\"\n\
     [[zone]]\nname = \"blob.example\"\nfile = \"zone\"\nsteer = [{ owner = \"@\", horizon = \"h\", ttl = 60 }]\n"
}

impl Fleet {
    /// Running servers of these names over a folder, which are in touch.
    pub(crate) fn start(names: &[&str]) -> Fleet {
        Fleet::start_with(names, QUICK)
    }

    /// The same with other keys of `[fleet]`.
    pub(crate) fn start_with(names: &[&str], pace: &str) -> Fleet {
        let fleet = Fleet::prepare(names);
        let store = fleet.store();
        fleet.running(|name| config(name, &store, pace, MIRRORS))
    }

    /// Servers that do not run yet, and the folder of the store.
    pub(crate) fn prepare(names: &[&str]) -> Fleet {
        let folder = tempfile::tempdir().unwrap();
        let key = KEY.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        fs::write(folder.path().join("fleet.key"), key).unwrap();
        Command::new("chmod").arg("600").arg(folder.path().join("fleet.key")).status().unwrap();
        fs::create_dir(folder.path().join("shared")).unwrap();
        let members = names.iter().map(|name| Member::new(name, folder.path().join(name))).collect();
        Fleet { members, folder }
    }

    /// Writes the configurations, starts all servers, and waits until each has heard all.
    pub(crate) fn running(mut self, config: impl Fn(&str) -> String) -> Fleet {
        for member in &mut self.members {
            member.write("pharos.toml", &config(&member.name));
            member.start();
        }
        self.wait_until_in_touch();
        self
    }

    pub(crate) fn wait_until_in_touch(&self) {
        for member in &self.members {
            until(&format!("{} hears all", member.name), || {
                let servers = member.fleet()["servers"].as_array().unwrap().clone();
                servers.len() + 1 == self.members.len() && servers.iter().all(|server| server["fresh"] == true)
            });
        }
    }

    /// The URL of the folder that is the store.
    pub(crate) fn store(&self) -> String {
        format!("dir:{}", self.folder.path().join("shared").display())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The file with the document of a server.
    pub(crate) fn document(&self, server: &str) -> PathBuf {
        self.path(&format!("shared/servers/{server}.json"))
    }

    /// Moves the store away, as if its server could not be reached.
    pub(crate) fn lose_store(&self) {
        fs::rename(self.path("shared"), self.path("away")).unwrap();
    }

    pub(crate) fn return_store(&self) {
        fs::rename(self.path("away"), self.path("shared")).unwrap();
    }

    /// Waits until all running servers give this mirror to clients, by the last byte of its address.
    #[track_caller]
    pub(crate) fn expect(&self, expected: u8) {
        self.members.iter().filter(|member| member.process.is_some()).for_each(|member| member.expect(expected));
    }
}

impl std::ops::Index<usize> for Fleet {
    type Output = Member;

    fn index(&self, at: usize) -> &Member {
        &self.members[at]
    }
}

impl std::ops::IndexMut<usize> for Fleet {
    fn index_mut(&mut self, at: usize) -> &mut Member {
        &mut self.members[at]
    }
}

impl Member {
    fn new(name: &str, folder: PathBuf) -> Member {
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("zone"), ZONE).unwrap();
        Member {
            name: name.into(),
            folder,
            variables: Vec::new(),
            network: None,
            process: None,
            said: RefCell::default(),
        }
    }

    /// Starts the server, and waits until it takes overrides.
    pub(crate) fn start(&mut self) {
        self.said.borrow_mut().clear();
        let variables: Vec<(&str, &Path)> =
            self.variables.iter().map(|(name, value)| (name.as_str(), value.as_path())).collect();
        let config = self.path("pharos.toml");
        let server = match self.network {
            Some(process) => Server::start_in_network(&config, process),
            None => Server::start_with(&config, &variables),
        };
        self.said.borrow_mut().extend(server.start_lines.iter().cloned());
        self.process = Some(server);
        until("it takes overrides", || self.run(&["status"]).status.code() == Some(0));
    }

    /// Ends the process as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    pub(crate) fn server(&self) -> &Server {
        self.process.as_ref().unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pharos"));
        command.env_remove("NOTIFY_SOCKET").env_remove("SUDO_USER");
        command.arg("--config").arg(self.path("pharos.toml")).args(arguments).output().unwrap()
    }

    /// Runs a command that must succeed, and returns its output.
    #[track_caller]
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let (said, complained) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}{complained}");
        said
    }

    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[arguments, &["--json"]].concat())).unwrap()
    }

    /// The fleet as the server knows it.
    #[track_caller]
    pub(crate) fn fleet(&self) -> Value {
        self.json(&["fleet", "status"])
    }

    /// Another server in [`Member::fleet`]; null if it is not known.
    #[track_caller]
    pub(crate) fn peer(&self, name: &str) -> Value {
        let fleet = self.fleet();
        let servers = fleet["servers"].as_array().unwrap();
        servers.iter().find(|server| server["server"] == name).cloned().unwrap_or(Value::Null)
    }

    #[track_caller]
    pub(crate) fn drain(&self, mirror: &str) -> String {
        self.ok(&["mirror", "drain", mirror, "--reason", "new disks"])
    }

    #[track_caller]
    pub(crate) fn auto(&self, mirror: &str) -> String {
        self.ok(&["mirror", "auto", mirror, "--reason", "done"])
    }

    /// The override of a mirror: `drain`, or null.
    #[track_caller]
    pub(crate) fn order(&self, mirror: &str) -> Value {
        self.json(&["mirror", "list", mirror])["order"]["order"].clone()
    }

    /// The last byte of the address that a client gets.
    pub(crate) fn answer(&self) -> u8 {
        let query = Builder::new("blob.example", Rtype::A).finish();
        let server = self.server().address(Ipv4Addr::LOCALHOST.into());
        let from = if server.ip().is_loopback() { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
        address_in(&ask_udp(&query, from.into(), server).unwrap().unwrap())
    }

    /// Waits until clients get this mirror.
    #[track_caller]
    pub(crate) fn expect(&self, expected: u8) {
        let deadline = Instant::now() + PATIENCE;
        while self.answer() != expected {
            assert!(Instant::now() < deadline, "{} gives {}, not {expected}", self.name, self.answer());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The log lines with this text since the start.
    pub(crate) fn said(&self, text: &str) -> Vec<String> {
        let mut said = self.said.borrow_mut();
        said.extend(self.server().lines());
        said.iter().filter(|line| line.contains(text)).cloned().collect()
    }

    /// Waits for a log line.
    #[track_caller]
    pub(crate) fn wait_said(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.said(text).is_empty() {
            assert!(Instant::now() < deadline, "{} did not say `{text}`: {:#?}", self.name, self.said(""));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the server has looked at the store this many times more.
    #[track_caller]
    pub(crate) fn wait_rounds(&self, rounds: u64) {
        let looks = || self.server().metric("pharos_fleet_store_operations_total{operation=\"list\",outcome=\"done\"}");
        let first = looks();
        until("it looks at the store", || looks() >= first + rounds);
    }

    /// The documents with this outcome.
    pub(crate) fn documents(&self, outcome: &str) -> u64 {
        self.server().metric(&format!("pharos_fleet_documents_total{{outcome=\"{outcome}\"}}"))
    }
}

/// The last byte of the one address in a reply.
pub(crate) fn address_in(reply: &[u8]) -> u8 {
    let message = show::decode(reply).unwrap();
    let addresses: Vec<IpAddr> = message.answers.iter().filter_map(|record| record.data.ip_addr()).collect();
    match addresses[..] {
        [IpAddr::V4(v4)] => v4.octets()[3],
        _ => panic!("one address: {addresses:?}"),
    }
}

/// Waits for a condition.
#[track_caller]
pub(crate) fn until(what: &str, is_so: impl Fn() -> bool) {
    until_within(PATIENCE, what, is_so);
}

/// Waits for a condition, for this long at most.
#[track_caller]
pub(crate) fn until_within(limit: Duration, what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + limit;
    while !is_so() {
        assert!(Instant::now() < deadline, "not in {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A document in its frame, signed with a key as the object of a server.
pub(crate) fn seal(server: &str, document: &Value, key: &[u8]) -> Vec<u8> {
    seal_as(&format!("servers/{server}.json"), document, key)
}

/// The same as the object of any name.
pub(crate) fn seal_as(object: &str, document: &Value, key: &[u8]) -> Vec<u8> {
    let json = document.to_string();
    let message = format!("{object}\0{json}");
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message.as_bytes());
    let mac: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{{\"mac\":\"{mac}\",\"document\":{json}}}").into_bytes()
}
