//! Faults of mirrors: each kind gets its verdict, and the real server leaves a faulty mirror and comes back to it.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod asking;
mod causes;
#[path = "../common/mod.rs"]
mod common;
mod faults;
mod load;
mod metrics;
mod real;
mod world;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::nameserver::NameServer;
use common::query::Builder;
use common::server::{PATIENCE, Server, ask_udp};
use common::show;
use pharos::base::rr::Rtype;
use pharos::config::{Canary, Probe};
use pharos::mirror::Verdict;
use pharos::probe::{Aim, Finding, Prober};
use socket2::{Domain, Socket, Type};
use world::{Authority, CANARY, Fault, Ledger, NAME, REPOSITORY, canary_sha256, loopback};

fn probe(port: u16) -> Probe {
    let canary = Canary::new(REPOSITORY, &format!("sha256:{}", canary_sha256()), CANARY.len() as u64);
    Probe { port, canary, timeout: Duration::from_millis(700), ..Probe::of_name(NAME.into()) }
}

async fn find(authority: &Authority, fault: Fault) -> Finding {
    let (address, task) = authority.mirror(SocketAddr::new(loopback(1), 0), fault).await;
    let prober = Prober::new(Arc::new(probe(address.port())), authority.roots()).unwrap();
    let finding = prober.probe(Aim::at(address.ip())).await;
    task.abort();
    finding
}

#[tokio::test]
async fn every_fault_has_its_verdict() {
    let authority = Authority::new();
    let expected = [
        (Fault::None, Verdict::Up),
        (Fault::WrongName, Verdict::TlsBad),
        (Fault::Expired, Verdict::TlsBad),
        (Fault::ExpiringSoon, Verdict::Expiring),
        (Fault::NotYetValid, Verdict::TlsBad),
        (Fault::SelfSigned, Verdict::TlsBad),
        (Fault::MissingIntermediate, Verdict::TlsBad),
        (Fault::HandshakeHangs, Verdict::Slow),
        (Fault::Silent, Verdict::Slow),
        (Fault::NoCanary, Verdict::Missing),
        (Fault::WrongOctets, Verdict::ContentBad),
        (Fault::WrongLength, Verdict::ContentBad),
        (Fault::NoRanges, Verdict::ContentBad),
        (Fault::AnswersEverything, Verdict::ContentBad),
        (Fault::OpenRangeStatus(416), Verdict::ContentBad),
        (Fault::OpenRangeStatus(503), Verdict::Overloaded),
        (Fault::FalseGzip, Verdict::ContentBad),
        (Fault::HeadMissing, Verdict::Up),
        (Fault::Status(404), Verdict::Missing),
        (Fault::Status(307), Verdict::Missing),
        (Fault::Status(421), Verdict::Missing),
        (Fault::Status(401), Verdict::Refused),
        (Fault::Status(403), Verdict::Refused),
        (Fault::Status(405), Verdict::Refused),
        (Fault::Status(501), Verdict::Refused),
        (Fault::Status(429), Verdict::Overloaded),
        (Fault::Status(500), Verdict::Overloaded),
        (Fault::Status(503), Verdict::Overloaded),
        (Fault::GetStatus(503), Verdict::Overloaded),
        (Fault::NotTls, Verdict::TlsBad),
        (Fault::Gone, Verdict::TlsBad),
        (Fault::Dribbles, Verdict::Slow),
    ];
    for (fault, verdict) in expected {
        let finding = find(&authority, fault).await;
        assert_eq!(finding.verdict, verdict, "{fault:?}: {finding:?}");
        assert_eq!(finding.cause.is_none(), verdict == Verdict::Up, "{fault:?}: {finding:?}");
    }
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_is_unreachable() {
    // Bound, so that no other program gets the port. A listener that is closed would be held for a moment by each process that
    // another test starts.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(loopback(2), 0).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let prober = Prober::new(Arc::new(probe(address.port())), Authority::new().roots()).unwrap();
    assert_eq!(prober.probe(Aim::at(address.ip())).await.verdict, Verdict::Unreachable);
}

/// Settings for quick probes.
const QUICK: &str =
    "interval = \"100ms\"\nretry = \"100ms\"\ntimeout = \"400ms\"\nfall = 2\nrise = 2\nhold-down = \"0s\"\n";

/// A server that probes mirrors at addresses of their own.
struct World {
    folder: tempfile::TempDir,
    server: Server,
    registry: SocketAddr,
}

impl World {
    fn start(authority: &Authority, port: u16, mirrors: &[(&str, &[IpAddr])], default: &str) -> World {
        let horizons = format!("[horizons.h]\ndefault = [{default}]\n");
        World::start_with(authority, port, QUICK, mirrors, &[("@", "h")], &horizons)
    }

    /// Steers owners by horizons; `rest` is the rest of the configuration.
    fn start_with(
        authority: &Authority,
        port: u16,
        pace: &str,
        mirrors: &[(&str, &[IpAddr])],
        steer: &[(&str, &str)],
        rest: &str,
    ) -> World {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("roots.pem", authority.root_pem());
        let (cert, key) = authority.identity("ns1.example");
        write("dns.pem", &cert);
        write("dns.key", &key);
        // A zone of this server, and what a secondary of another would have: see `metrics`.
        let zone = "$TTL 60\n@ SOA ns1 hostmaster 1 3600 600 86400 60\n@ NS ns1\nns1 A 127.0.0.1\n";
        write("zone", zone);
        write("copy", &format!("; pharos state copy 1\n{zone}"));
        let steer: Vec<String> = steer
            .iter()
            .map(|(owner, horizon)| format!("{{ owner = \"{owner}\", horizon = \"{horizon}\", ttl = 60 }}"))
            .collect();
        let mut text = format!(
            "[dns]\nlisten = \"127.0.0.1:0\"\n\
             [registry]\nlisten = \"127.0.0.1:0\"\ncanonical = \"https://canonical.example\"\n\
             blobs = \"https://{NAME}\"\nask-wait = \"5s\"\n\
             [admin]\nlisten = \"127.0.0.1:0\"\n\
             [probe]\nname = \"{NAME}\"\nport = {port}\nroots = \"roots.pem\"\n{pace}state = \"state.json\"\n\
             canary = {{ repository = \"{REPOSITORY}\", digest = \"sha256:{}\", size = {} }}\n\
             [[zone]]\nname = \"{NAME}\"\nfile = \"zone\"\nsteer = [{}]\n",
            canary_sha256(),
            CANARY.len(),
            steer.join(", ")
        );
        for (name, addresses) in mirrors {
            let addresses: Vec<String> = addresses.iter().map(|address| format!("\"{address}\"")).collect();
            text.push_str(&format!("[mirrors.{name}]\naddresses = [{}]\n", addresses.join(", ")));
        }
        text.push_str(rest);
        write("pharos.toml", &text);
        let server = Server::start(&folder.path().join("pharos.toml"));
        // It is the last to be started.
        let said = server.wait_for("(registry over HTTP)").pop().unwrap();
        let registry = said.split_once("listening on ").unwrap().1.split(' ').next().unwrap().parse().unwrap();
        World { folder, server, registry }
    }

    /// The host that a blob is to be fetched from.
    async fn host(&self, path: &str) -> String {
        asking::host_of(&asking::get(self.registry, path).await, path)
    }

    fn addresses(&self, rtype: Rtype) -> Vec<IpAddr> {
        self.answer(NAME, rtype).0
    }

    /// The addresses in an answer, and their TTL.
    fn answer(&self, name: &str, rtype: Rtype) -> (Vec<IpAddr>, u32) {
        answer(self.server.address(Ipv4Addr::LOCALHOST.into()), name, rtype)
    }

    /// Asks until the answer is this; every answer before it must be whole too.
    #[track_caller]
    fn expect(&self, rtype: Rtype, expected: &[IpAddr]) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.addresses(rtype);
            assert!(!found.is_empty(), "an answer is never empty");
            if found == expected {
                return;
            }
            assert!(Instant::now() < deadline, "still {found:?}, not {expected:?}");
            std::thread::yield_now();
        }
    }
}

/// The addresses in an answer of a server, and their TTL.
fn answer(server: SocketAddr, name: &str, rtype: Rtype) -> (Vec<IpAddr>, u32) {
    let query = Builder::new(name, rtype).finish();
    addresses_in(&ask_udp(&query, Ipv4Addr::LOCALHOST.into(), server).unwrap().unwrap())
}

fn addresses_in(reply: &[u8]) -> (Vec<IpAddr>, u32) {
    let message = show::decode(reply).unwrap();
    let ttl = message.answers.iter().map(|record| record.ttl).min().unwrap_or_default();
    (message.answers.iter().filter_map(|record| record.data.ip_addr()).collect(), ttl)
}

const A: Rtype = Rtype::A;
const AAAA: Rtype = Rtype::AAAA;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_leaves_a_broken_mirror_and_comes_back_to_it() {
    let authority = Authority::new();
    let (near, far) = (loopback(11), loopback(12));
    let (at, _far) = authority.mirror(SocketAddr::new(far, 0), Fault::None).await;
    let near_at = SocketAddr::new(near, at.port());
    let (_, mut task) = authority.mirror(near_at, Fault::None).await;
    let world = World::start(&authority, at.port(), &[("near", &[near]), ("far", &[far])], "\"near\", \"far\"");
    world.expect(A, &[near]);
    for fault in [Fault::WrongName, Fault::NoCanary, Fault::WrongOctets, Fault::HandshakeHangs] {
        task.abort();
        let _ = task.await;
        (_, task) = authority.mirror(near_at, fault).await;
        world.expect(A, &[far]);
        task.abort();
        let _ = task.await;
        (_, task) = authority.mirror(near_at, Fault::None).await;
        world.expect(A, &[near]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_gives_only_its_good_addresses_and_each_family_stands_for_itself() {
    let authority = Authority::new();
    let (good, dead, other) = (loopback(21), loopback(22), loopback(23));
    let v6 = IpAddr::from(Ipv6Addr::LOCALHOST);
    let (at, _good) = authority.mirror(SocketAddr::new(good, 0), Fault::None).await;
    let (_, _other) = authority.mirror(SocketAddr::new(other, at.port()), Fault::None).await;
    let mirrors: [(&str, &[IpAddr]); 2] = [("near", &[good, dead, v6]), ("far", &[other])];
    let world = World::start(&authority, at.port(), &mirrors, "\"near\", \"far\"");
    world.expect(A, &[good]);
    // That address has no listener, but no other one is IPv6, and an answer is never empty.
    world.expect(AAAA, &[v6]);
    let (_, _v6) = authority.mirror(SocketAddr::new(v6, at.port()), Fault::None).await;
    world.expect(AAAA, &[v6]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_with_a_wrong_certificate_is_not_answered_even_when_everything_else_is_dead() {
    let authority = Authority::new();
    let (wrong, dead) = (loopback(31), loopback(32));
    let (at, _wrong) = authority.mirror(SocketAddr::new(wrong, 0), Fault::WrongName).await;
    let world = World::start(&authority, at.port(), &[("near", &[wrong]), ("far", &[dead])], "\"near\", \"far\"");
    world.expect(A, &[dead]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_that_serves_badly_does_not_rank_behind_a_dead_one_unless_it_fails_pulls() {
    let authority = Authority::new();
    let (bad, dead) = (loopback(33), loopback(34));
    for (fault, first) in [(Fault::Status(503), bad), (Fault::Status(403), bad), (Fault::Status(404), dead)] {
        let (at, task) = authority.mirror(SocketAddr::new(bad, 0), fault).await;
        let world = World::start(&authority, at.port(), &[("bad", &[bad]), ("dead", &[dead])], "\"bad\", \"dead\"");
        // The first round of probes is over before the server answers.
        assert_eq!(world.addresses(A).first(), Some(&first), "{fault:?}");
        task.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pulls_go_to_the_mirror_that_has_the_blob_and_on_through_canonical_when_all_are_down() {
    let authority = Authority::new();
    let ledger = Arc::new(Ledger::well());
    let address = loopback(61);
    let (at, _mirror) = authority.mirror_with(SocketAddr::new(address, 0), Fault::NoCanary, ledger.clone()).await;
    let path = format!("/v2/pause/blobs/sha256:{:064x}", 1);
    ledger.add(&path);
    let world = World::start(&authority, at.port(), &[("one", &[address])], "\"one\"");
    assert_eq!(world.host(&path).await, NAME);
    assert_eq!(world.host(&format!("/v2/pause/blobs/sha256:{:064x}", 2)).await, "canonical.example");
    ledger.break_down();
    world.server.wait_for("mirror one at 127.0.1.61 is down, missing");
    let deadline = Instant::now() + PATIENCE;
    while world.host(&path).await == NAME {
        assert!(Instant::now() < deadline, "still sent to a mirror that is down");
    }
    assert_eq!(ledger.asked(&path), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn panic_is_logged_once_and_shown_by_status_and_metrics() {
    let authority = Authority::new();
    let (near, far) = (loopback(51), loopback(52));
    let (at, near_task) = authority.mirror(SocketAddr::new(near, 0), Fault::None).await;
    let (_, far_task) = authority.mirror(SocketAddr::new(far, at.port()), Fault::None).await;
    let rest = "[control]\nsocket = \"control.sock\"\nstate = \"overrides.json\"\n[horizons.h]\ndefault = [\"near\", \"far\"]\n";
    let world =
        World::start_with(&authority, at.port(), QUICK, &[("near", &[near]), ("far", &[far])], &[("@", "h")], rest);
    let panics = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_pharos"));
        let output =
            command.args(["status", "--json", "--config"]).arg(world.folder.path().join("pharos.toml")).output();
        let status: serde_json::Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
        status["panics"].to_string()
    };
    world.expect(A, &[near]);
    near_task.abort();
    far_task.abort();
    world.server.wait_for("horizon h is in panic for IPv4: most of its mirrors do not answer");
    assert_eq!(panics(), r#"[{"agree":null,"family":"ipv4","horizon":"h","peers":null}]"#);
    assert_eq!(world.server.metric("pharos_horizon_panic{horizon=\"h\",family=\"ipv4\"}"), 1);
    let _near = authority.mirror(SocketAddr::new(near, at.port()), Fault::None).await;
    let said = world.server.wait_for("horizon h is no longer in panic for IPv4");
    assert_eq!(said.iter().filter(|line| line.contains("is in panic")).count(), 0, "it is logged once: {said:?}");
    assert_eq!(panics(), "[]");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_a_host_moves_to_is_probed_before_anybody_is_sent_there() {
    let authority = Authority::new();
    let (first, wrong, right, far) = (loopback(41), loopback(42), loopback(43), loopback(44));
    let (at, _far) = authority.mirror(SocketAddr::new(far, 0), Fault::None).await;
    let (_, _first) = authority.mirror(SocketAddr::new(first, at.port()), Fault::None).await;
    let (_, _wrong) = authority.mirror(SocketAddr::new(wrong, at.port()), Fault::WrongName).await;
    let (_, _right) = authority.mirror(SocketAddr::new(right, at.port()), Fault::None).await;
    let names = NameServer::start(&format!("lb A {first}"));
    let rest = format!(
        "[resolver]\nservers = \"{}\"\nleast-ttl = \"1s\"\nprivate = \"127.0.0.0/8\"\n[mirrors.lb]\nhost = \"lb.net.test\"\n\
         [horizons.h]\ndefault = [\"lb\", \"far\"]\n",
        names.address()
    );
    let world = World::start_with(&authority, at.port(), QUICK, &[("far", &[far])], &[("@", "h")], &rest);
    world.expect(A, &[first]);
    let until = |expected: &[IpAddr]| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = world.addresses(A);
            assert!(!found.is_empty() && !found.contains(&wrong), "{found:?} with one that has a wrong certificate");
            if found == expected {
                return;
            }
            assert!(Instant::now() < deadline, "still {found:?}, not {expected:?}");
            std::thread::yield_now();
        }
    };
    // The host moves to a bad address, then to a good and a bad one at once, then to a good one again.
    names.change(&format!("lb A {wrong}"));
    until(&[far]);
    names.change(&format!("lb A {wrong}\nlb A {right}"));
    until(&[right]);
    names.change(&format!("lb A {first}"));
    until(&[first]);
}
