//! Every listener of the real binary under clients that are slow, idle, many, endless, or make no sense, and that never
//! read: other clients are served on every listener, memory stays flat, UDP loses nothing.
//!
//! [`LISTENERS`] must hold every listener that the server has: a new one fails
//! [`no_listener_is_missing_here`] until it is in the table, and is then held by the rest.

#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected is to fail")]
#![allow(unreachable_pub, reason = "a module of test binaries has nobody outside to reach it")]
#![allow(clippy::print_stderr, reason = "the figures")]
#![allow(clippy::disallowed_methods, reason = "a test that gets no thread is to fail")]

#[path = "../common/mod.rs"]
mod common;
#[allow(dead_code, reason = "the transports' tests use all of it")]
#[path = "../transports/world.rs"]
mod world;

mod attack;
mod hold;

use std::net::{IpAddr, Ipv4Addr};

use common::server::PATIENCE;
use world::World;

/// Clients that behave.
const GOOD: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The client that does not.
const BAD: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 1, 1));

/// A listener of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listener {
    Tcp,
    Tls,
    Https,
    Quic,
    Registry,
    Admin,
    Control,
}

/// Every listener, with the words by which the server announces it.
const LISTENERS: [(Listener, &str); 7] = [
    (Listener::Tcp, "(DNS over UDP and TCP)"),
    (Listener::Tls, "(DNS over TLS)"),
    (Listener::Https, "(DNS over HTTPS at /dns-query)"),
    (Listener::Quic, "(DNS over QUIC)"),
    (Listener::Registry, "(registry over HTTP)"),
    (Listener::Admin, "(health and metrics over HTTP)"),
    (Listener::Control, "control.sock"),
];

/// A server with every listener, and small limits. Its connections may be silent for longer than this test takes.
fn start() -> World {
    let big: String = (0..230).map(|number| format!("big TXT \"{number:0>250}\"\n")).collect();
    let zone =
        format!("$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 192.0.2.53\nwww A 192.0.2.80\n{big}");
    let http = "listen = \"127.0.0.1:0\"\nconnections = 24\nconnections-per-client = 8\nidle = \"10m\"\n";
    let config = format!(
        "[dns]\nlisten = \"127.0.0.1:0\"\ntcp-connections = 24\ntcp-connections-per-client = 8\ntcp-idle = \"10m\"\n\
         tls = {{ listen = \"127.0.0.1:0\", cert = \"cert.pem\", key = \"key.pem\" }}\n\
         https = {{ listen = \"127.0.0.1:0\" }}\nquic = {{ listen = \"127.0.0.1:0\" }}\n\
         [registry]\n{http}canonical = \"https://registry.example.org\"\nblobs = \"https://www.example.net\"\n\
         [admin]\n{http}[control]\nsocket = \"control.sock\"\nstate = \"orders.json\"\n\
         [[zone]]\nname = \"example.net\"\nfile = \"zone\"\n"
    );
    World::start_from(&config, &[("zone", &zone)])
}

/// The process listens on the sockets of the table, and on no others, by the kernel's list.
#[test]
fn no_listener_is_missing_here() {
    let world = start();
    // The last one to say that it listens.
    world.server.listener("registry over HTTP", GOOD);
    let quic = LISTENERS.iter().filter(|(listener, _)| *listener == Listener::Quic).count();
    assert_eq!(hold::listening_sockets(world.server.id()), LISTENERS.len() - quic);
    let unknown: Vec<String> = world.server.announced();
    let unknown: Vec<_> =
        unknown.iter().filter(|said| !LISTENERS.iter().any(|(_, what)| said.contains(what))).collect();
    assert!(unknown.is_empty(), "not in the table: {unknown:?}");
    assert_eq!(world.server.announced().len(), LISTENERS.len() - 1, "the control socket has no address");
}

/// A packet that any sender can forge: the first one of a handshake, with a token that no server gave.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_first_packets_of_quic_write_no_line_and_take_no_memory() {
    const PACKETS: usize = 4000;
    let world = start();
    hold::all_serve(&world).await;
    let packet = attack::forged_initial(&world).await;
    let quic = world.server.listener("DNS over QUIC", BAD);
    let replay = async |times: usize| {
        let socket = tokio::net::UdpSocket::bind((BAD, 0)).await.unwrap();
        for _ in 0..times {
            socket.send_to(&packet, quic).await.unwrap();
        }
        // Behind all of them: the server has read them, or has dropped them with a full buffer.
        hold::serves(&world, Listener::Quic).await;
    };
    replay(PACKETS / 10).await;
    let before = hold::memory(&world);
    world.server.lines();
    replay(PACKETS).await;
    let grown = hold::memory(&world).saturating_sub(before);
    assert!(grown < 4 << 10, "{grown} KiB");
    assert_eq!(world.server.lines(), Vec::<String>::new());
}

/// One attack after the other on one listener after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_are_served_and_memory_is_flat_whatever_a_client_does() {
    let world = start();
    // Everything that a server keeps once it has served: rooms of threads, tickets, pages.
    for _ in 0..5 {
        hold::all_serve(&world).await;
    }
    let (before, mut wrong) = (hold::memory(&world), Vec::new());
    for (listener, _) in LISTENERS {
        for attack in attack::ALL {
            let begun = std::time::Instant::now();
            let held = attack::run(&world, listener, attack).await;
            let rounds = async {
                let mut most = 0;
                for _ in 0..2 {
                    hold::all_serve(&world).await;
                    most = most.max(hold::memory(&world));
                }
                most
            };
            let most = tokio::time::timeout(PATIENCE, rounds).await;
            let most = most.unwrap_or_else(|_| panic!("{attack:?} on {listener:?} keeps others from being served"));
            eprintln!(
                "{listener:?} {attack:?}: {} held, {} KiB, {:?}",
                held.len(),
                most.saturating_sub(before),
                begun.elapsed()
            );
            if most > before + hold::MEMORY_KB {
                wrong.push(format!("{attack:?} on {listener:?} takes {} KiB", most - before));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_connection_may_be_silent_for_as_long_as_configured() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let registry = "[registry]\nlisten = \"127.0.0.1:0\"\ncanonical = \"https://registry.example.org\"\n\
                    blobs = \"https://www.example.net\"\nidle = \"1s\"\n";
    let config =
        format!("[dns]\nlisten = \"127.0.0.1:0\"\n[[zone]]\nname = \"example.net\"\nfile = \"zone\"\n{registry}");
    let zone = "$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 192.0.2.53\nwww A 192.0.2.80\n";
    let world = World::start_from(&config, &[("zone", zone)]);
    let address = world.server.listener("registry over HTTP", GOOD);
    let mut stream = world::connect(GOOD, address).await.unwrap();
    stream.write_all(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let begun = std::time::Instant::now();
    let mut all = Vec::new();
    world::in_time(stream.read_to_end(&mut all)).await.unwrap();
    assert!(all.starts_with(b"HTTP/1.1 200"), "{}", all.escape_ascii());
    assert!(begun.elapsed() >= std::time::Duration::from_millis(900), "{:?}", begun.elapsed());
}
