//! Mirrors that are known by a host name. The real server resolves it again and again, while the host's name server on
//! loopback changes the records, removes them, and dies.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::hickory::Hickory;
use common::nameserver::{self, NameServer};
use common::needs;
use common::peers::{self, Peer};
use common::ports::{free_address, free_port};
use common::query::Builder;
use common::server::{PATIENCE, Server, ask_udp};
use common::show;
use hickory_proto::op::{Message, ResponseCode};
use pharos::base::rr::Rtype;
use tempfile::TempDir;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const NAME: &str = "blob.example";

/// The server under test, with its files.
struct World {
    folder: TempDir,
    resolver: SocketAddr,
    /// A prefix that a host may be in, besides [`DOCUMENTATION`]; lines in the mirrors, and in the horizon.
    parts: [&'static str; 3],
}

impl World {
    fn new(resolver: SocketAddr, parts: [&'static str; 3]) -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("zone"), "$TTL 60\n@ SOA ns h 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n")
            .unwrap();
        fs::write(folder.path().join("near"), "127.0.0.0/8\n").unwrap();
        let world = World { folder, resolver, parts };
        world.configure("");
        world
    }

    fn configure(&self, more: &str) {
        let mut text = format!(
            "[dns]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[networks]\nnear = {{ list = \"near\" }}\n\
             [resolver]\nservers = \"{}\"\ntimeout = \"300ms\"\nleast-ttl = \"1s\"\nstate = \"hosts.json\"\n\
             private = [{DOCUMENTATION}, {:?}]\n",
            self.resolver, self.parts[0]
        );
        let _ = write!(
            text,
            "[[zone]]\nname = \"{NAME}\"\nfile = \"zone\"\nsteer = [{{ owner = \"@\", horizon = \"h\", ttl = 60 }}]\n\
             [mirrors.lb]\nhost = \"lb.net.test\"\n{}\n[horizons.h]\n{}\n{more}",
            self.parts[1], self.parts[2]
        );
        fs::write(self.path(), text).unwrap();
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("pharos.toml")
    }

    fn start(&self) -> Server {
        Server::start(&self.path())
    }

    /// The output of `pharos check`, and its exit code.
    fn check(&self) -> (String, Option<i32>) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pharos"));
        let output = command.arg("check").arg("--config").arg(self.path()).stdin(Stdio::null()).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (String::from_utf8_lossy(&text).into_owned(), output.status.code())
    }
}

/// The blocks of these tests' addresses, which are refused unless allowed.
const DOCUMENTATION: &str = r#""192.0.2.0/24", "198.51.100.0/24", "2001:db8::/32""#;

/// A prefix that no test uses.
const UNUSED: &str = "192.168.77.0/24";

/// Only the mirror that is known by its host.
const ALONE: [&str; 3] = [UNUSED, "", "default = \"lb\""];

fn ask(server: &Server, rtype: Rtype, from: Ipv4Addr) -> Message {
    let reply =
        ask_udp(&Builder::new(NAME, rtype).edns(1232).finish(), from.into(), server.address(HERE)).unwrap().unwrap();
    show::decode(&reply).unwrap()
}

fn addresses(server: &Server, rtype: Rtype) -> Vec<String> {
    let message = ask(server, rtype, Ipv4Addr::LOCALHOST);
    assert_eq!(message.metadata.response_code, ResponseCode::NoError);
    message.answers.iter().map(|record| record.data.to_string()).collect()
}

/// Asks until the answer is this.
#[track_caller]
fn expect(server: &Server, rtype: Rtype, expected: &[&str]) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = addresses(server, rtype);
        if found == expected {
            return;
        }
        assert!(Instant::now() < deadline, "still {found:?}, not {expected:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn an_answer_follows_its_host_and_keeps_the_last_good_addresses() {
    let authority = NameServer::start("lb A 192.0.2.1\nlb A 192.0.2.2");
    let world = World::new(authority.address(), ALONE);
    let server = world.start();
    assert_eq!(addresses(&server, Rtype::A), ["192.0.2.1", "192.0.2.2"]);
    assert_eq!(addresses(&server, Rtype::AAAA), [] as [&str; 0]);
    // The TTL is the host's, which is shorter than ours.
    assert_eq!(ask(&server, Rtype::A, Ipv4Addr::LOCALHOST).answers[0].ttl, 1);
    authority.change("lb CNAME elsewhere\nelsewhere A 192.0.2.3\nelsewhere AAAA 2001:db8::3");
    let begin = Instant::now();
    expect(&server, Rtype::A, &["192.0.2.3"]);
    assert!(begin.elapsed() < Duration::from_secs(5), "within its TTL of a second: {:?}", begin.elapsed());
    server.wait_for("host lb.net.test has moved to 192.0.2.3 2001:db8::3, from 192.0.2.1 192.0.2.2");
    expect(&server, Rtype::AAAA, &["2001:db8::3"]);
    // AAAA vanishes again. Then all addresses vanish, which counts as a mistake.
    authority.change("lb A 192.0.2.3");
    expect(&server, Rtype::AAAA, &[]);
    authority.change("other A 192.0.2.9");
    server.wait_for("host lb.net.test cannot be resolved correctly: it has no address; its known addresses stay");
    assert_eq!(addresses(&server, Rtype::A), ["192.0.2.3"]);
    authority.change("lb A 192.0.2.4");
    server.wait_for("host lb.net.test is resolved again");
    expect(&server, Rtype::A, &["192.0.2.4"]);
    // Dead.
    drop(authority);
    server.wait_for("cannot be resolved correctly");
    assert_eq!(addresses(&server, Rtype::A), ["192.0.2.4"]);
    // `explain` shows the address and the time of its resolution, from the state file.
    let mut command = Command::new(env!("CARGO_BIN_EXE_pharos"));
    let said = command.args(["explain", "8.8.8.8", "--config"]).arg(world.path()).output().unwrap();
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("192.0.2.4") && said.contains("host lb.net.test, resolved 20"), "{said}");
    // A reload with a new mirror that cannot be resolved changes nothing; a reload without it does not wait.
    world.configure("[mirrors.new]\nhost = \"new.net.test\"\n");
    server.signal("HUP");
    server.wait_for("not reloaded, the configuration before it is served");
    world.configure("[mirrors.new]\naddresses = \"192.0.2.77\"\n");
    server.signal("HUP");
    server.wait_for("reloaded");
    assert_eq!(addresses(&server, Rtype::A), ["192.0.2.4"]);
}

#[test]
fn a_restart_without_a_resolver_serves_what_was_known() {
    let at = free_address();
    let authority = NameServer::start_at(&at.to_string(), "lb A 192.0.2.1");
    let world = World::new(at, ALONE);
    let mut server = world.start();
    let state = world.folder.path().join("hosts.json");
    until("the state is kept", || fs::read_to_string(&state).is_ok_and(|text| text.contains("192.0.2.1")));
    server.signal("KILL");
    server.wait();
    drop(authority);
    let (said, code) = world.check();
    assert!(
        code == Some(0) && said.contains("failed to resolve `lb.net.test`, the host of mirror `lb`"),
        "{code:?} {said}"
    );
    assert_eq!(addresses(&world.start(), Rtype::A), ["192.0.2.1"]);
    // A damaged state file loses its addresses. Without an address the reply is SERVFAIL, which resolvers cache only briefly.
    fs::write(&state, "pharos state hosts 1\n[{\"host\": \"lb.net").unwrap();
    let (said, code) = world.check();
    assert!(code == Some(1) && said.contains("error[mirror-host]"), "{code:?} {said}");
    let server = world.start();
    let message = ask(&server, Rtype::A, Ipv4Addr::LOCALHOST);
    assert_eq!((message.metadata.response_code, message.answers.len()), (ResponseCode::ServFail, 0));
    // Until the resolver is back.
    let _authority = NameServer::start_at(&at.to_string(), "lb A 192.0.2.5");
    until("it is resolved", || !ask(&server, Rtype::A, Ipv4Addr::LOCALHOST).answers.is_empty());
    assert_eq!(addresses(&server, Rtype::A), ["192.0.2.5"]);
}

#[test]
fn rfc7871_s7_4_a_family_comes_and_goes_for_all_clients_at_once() {
    let authority = NameServer::start("lb A 192.0.2.1");
    let parts = [
        UNUSED,
        "[mirrors.plain]\naddresses = \"192.0.2.50\"",
        "rules = [{ network = \"near\", mirrors = \"lb\" }]\ndefault = \"plain\"",
    ];
    let world = World::new(authority.address(), parts);
    // Clients outside `near` have the mirror `plain`, which has no IPv6 address. ECS chooses the client.
    let server = world.start();
    let aaaa = |subnet: &str| {
        let query = Builder::new(NAME, Rtype::AAAA).ecs(subnet.parse().unwrap()).finish();
        let reply = ask_udp(&query, HERE, server.address(HERE)).unwrap().unwrap();
        let message = show::decode(&reply).unwrap();
        assert_eq!(message.metadata.response_code, ResponseCode::NoError);
        message.answers.iter().map(|record| record.data.to_string()).collect::<Vec<_>>()
    };
    let both = || (aaaa("127.1.0.0/16"), aaaa("198.51.100.0/24"), aaaa("8.8.8.0/24"));
    let none = || Vec::<String>::new();
    assert_eq!(both(), (none(), none(), none()));
    let one = || vec!["2001:db8::1".to_string()];
    for (records, expected) in [("lb A 192.0.2.1\nlb AAAA 2001:db8::1", one()), ("lb A 192.0.2.1", none())] {
        authority.change(records);
        until("the family is as the host has it", || aaaa("127.1.0.0/16") == expected);
        assert_eq!(both(), (expected.clone(), expected.clone(), expected));
    }
    assert_eq!(addresses(&server, Rtype::A), ["192.0.2.1"]);
}

#[test]
fn a_host_that_turns_to_our_own_network_or_to_ourselves_is_refused() {
    let authority = NameServer::start("lb A 192.0.2.1\n");
    let itself = "[[zone]]\nname = \"self.net.test\"\nfile = \"zone\"\nsteer = [{ owner = \"@\", horizon = \"h\" }]";
    let world = World::new(authority.address(), [UNUSED, itself, ALONE[2]]);
    let server = world.start();
    authority.change("lb A 10.0.0.1\nlb A 127.0.0.1");
    server.wait_for("10.0.0.1 is in 10.0.0.0/8 (private use, RFC 1918), which `[resolver] private` does not allow");
    assert_eq!(addresses(&server, Rtype::A), ["192.0.2.1"]);
    // Our server answers that name with the addresses of this host, so that its resolution would never end.
    authority.change("lb CNAME x\nx CNAME self\nself A 192.0.2.66");
    server.wait_for("it leads to `self.net.test`, whose addresses come from mirrors themselves");
    assert_eq!(addresses(&server, Rtype::A), ["192.0.2.1"]);
    authority.change("lb A 10.0.0.1\nlb A 192.0.2.8");
    expect(&server, Rtype::A, &["192.0.2.8"]);
    let records: String = (1..=60).map(|last| format!("lb A 198.51.100.{last}\n")).collect();
    authority.change(&records);
    until("the many have come", || addresses(&server, Rtype::A).len() == 32);
    let first = addresses(&server, Rtype::A);
    assert_eq!(server.metric("pharos_host_addresses{mirror=\"lb\",host=\"lb.net.test\",family=\"ipv4\"}"), 32);
    assert!(server.metric("pharos_host_age_seconds{mirror=\"lb\",host=\"lb.net.test\"}") < 30);
    assert!(server.metric("pharos_host_lookups_total{outcome=\"refused\"}") >= 1);
    drop(server);
    // A private address is allowed if the configuration says so.
    let private = World::new(authority.address(), ["10.0.0.0/8", "", ALONE[2]]);
    authority.change("lb A 10.0.0.1");
    assert_eq!(addresses(&private.start(), Rtype::A), ["10.0.0.1"]);
    assert_eq!(first.len(), 32);
}

/// hickory-server as the host's name server: it shares no code with Pharos, and gives NOERROR without SOA at the end of an
/// alias.
#[test]
fn an_answer_follows_a_host_that_hickory_serves() {
    let zone = |text: &str| format!("$TTL 1\n@ SOA ns h 1 3600 600 86400 1\n@ NS ns\nns A 127.0.0.1\n{text}\n");
    let hickory =
        Hickory::start(&[("net.test".into(), zone("lb CNAME a\na CNAME b\nb A 192.0.2.1\nb AAAA 2001:db8::1"))]);
    let world = World::new(hickory.address, ALONE);
    let server = world.start();
    assert_eq!(addresses(&server, Rtype::A), ["192.0.2.1"]);
    assert_eq!(addresses(&server, Rtype::AAAA), ["2001:db8::1"]);
    hickory.replace("net.test", &zone("lb A 192.0.2.2"));
    expect(&server, Rtype::A, &["192.0.2.2"]);
    expect(&server, Rtype::AAAA, &[]);
    for without_address in ["lb CNAME nowhere", "lb TXT text", "other A 192.0.2.9"] {
        hickory.replace("net.test", &zone(without_address));
        server.wait_for("host lb.net.test cannot be resolved correctly");
        assert_eq!(addresses(&server, Rtype::A), ["192.0.2.2"]);
        hickory.replace("net.test", &zone("lb A 192.0.2.2"));
        server.wait_for("host lb.net.test is resolved again");
    }
    hickory.replace("net.test", &zone("lb A 240.0.0.1"));
    server.wait_for("240.0.0.1 is in 240.0.0.0/4 (reserved for future use, RFC 1112)");
    assert_eq!(addresses(&server, Rtype::A), ["192.0.2.2"]);
    drop(hickory);
    assert_eq!(addresses(&server, Rtype::A), ["192.0.2.2"]);
}

/// A resolver in front of an authoritative server, the usual setup, with aliases across zones and its own cache.
#[test]
fn it_resolves_through_unbound_and_nsd() {
    let zone = |text: &str| ("net.test".to_string(), format!("{}{text}\n", nameserver::HEAD));
    let Some(program) = needs::program("unbound", "unbound") else { return };
    let nsd = peers::start(&["nsd"], &[zone("lb CNAME a\na CNAME b\nb A 192.0.2.1\nb AAAA 2001:db8::1")]);
    let [nsd] = &nsd[..] else { return };
    let unbound = Unbound::start(&program, nsd);
    let world = World::new(unbound.address, ALONE);
    let server = world.start();
    assert_eq!(addresses(&server, Rtype::A), ["192.0.2.1"]);
    assert_eq!(addresses(&server, Rtype::AAAA), ["2001:db8::1"]);
}

/// A resolver with a stub zone.
struct Unbound {
    address: SocketAddr,
    process: std::process::Child,
    _folder: TempDir,
}

impl Unbound {
    fn start(program: &Path, authority: &Peer) -> Self {
        let folder = TempDir::new().unwrap();
        let port = free_port();
        let (path, at) = (folder.path().display(), authority.address);
        let config = format!(
            "server:\n interface: 127.0.0.1@{port}\n username: \"\"\n chroot: \"\"\n directory: \"{path}\"\n \
             pidfile: \"{path}/pid\"\n use-syslog: no\n logfile: \"{path}/log\"\n do-not-query-localhost: no\n \
             module-config: \"iterator\"\n local-zone: \"test.\" nodefault\n num-threads: 1\n\
             remote-control:\n control-enable: no\n\
             stub-zone:\n name: \"net.test\"\n stub-addr: {}@{}\n stub-no-cache: no\n",
            at.ip(),
            at.port()
        );
        let file = folder.path().join("unbound.conf");
        fs::write(&file, config).unwrap();
        let mut command = Command::new(program);
        let log = fs::File::create(folder.path().join("stderr")).unwrap();
        let process = command.args(["-d", "-c"]).arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let unbound = Unbound {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            process: process.spawn().unwrap(),
            _folder: folder,
        };
        let mut query = Builder::new("lb.net.test", Rtype::A).finish();
        // RD: unbound resolves only if the client asks for recursion.
        query[2] |= 1;
        until("unbound answers", || {
            common::pipeline::ask_tcp(unbound.address, &query).is_ok_and(|reply| reply[3] & 15 == 0 && reply[7] > 0)
        });
        unbound
    }
}

impl Drop for Unbound {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "in time: {what}");
        // The delay between two attempts; the outcome ends the wait.
        std::thread::sleep(Duration::from_millis(5));
    }
}
