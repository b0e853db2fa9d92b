//! A mirror is killed while queries come as fast as one client can ask.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use pharos::base::rr::Rtype;

use super::common::query::Builder;
use super::common::server::PATIENCE;
use super::world::{Authority, Fault, Ledger, NAME, loopback};
use super::{World, addresses_in};

const PACE: &str = "interval = \"1s\"\nretry = \"1s\"\ntimeout = \"500ms\"\nfall = 3\nrise = 2\nhold-down = \"0s\"\n";

/// Fall times the longest interval with the longest probe.
const WITHIN: Duration = Duration::from_millis(3 * (1200 + 500));

/// The additional time on a busy machine.
const SLACK: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_mirror_is_left_in_time_no_answer_is_lost_or_empty_and_ttls_end_with_the_next_change() {
    let authority = Authority::new();
    let (near, far) = (loopback(71), loopback(72));
    let (at, _far) = authority.mirror(SocketAddr::new(far, 0), Fault::None).await;
    let ledger = Arc::new(Ledger::well());
    let near_at = SocketAddr::new(near, at.port());
    authority.mirror_with(near_at, Fault::HandshakeHangs, ledger.clone()).await;
    let mirrors: [(&str, &[IpAddr]); 2] = [("near", &[near]), ("far", &[far])];
    let horizon = "[horizons.h]\ndefault = [\"near\", \"far\"]\n";
    let world = World::start_with(&authority, at.port(), PACE, &mirrors, &[("@", "h")], horizon);
    let over = Arc::new(AtomicBool::new(false));
    let asking = std::thread::spawn({
        let (server, over) = (world.server.address(near), over.clone());
        move || {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            socket.connect(server).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            let (mut query, mut reply) = (Builder::new(NAME, Rtype::A).finish(), [0; 512]);
            let mut seen: Vec<(Instant, Vec<IpAddr>, u32)> = Vec::new();
            while !over.load(Relaxed) {
                let id = (seen.len() as u16).to_be_bytes();
                query[..2].copy_from_slice(&id);
                socket.send(&query).unwrap();
                let len = socket.recv(&mut reply).expect("no answer is lost");
                assert_eq!(reply[..2], id);
                let (addresses, ttl) = addresses_in(&reply[..len]);
                seen.push((Instant::now(), addresses, ttl));
            }
            seen
        }
    });
    world.server.wait_for_nothing_in(Duration::from_millis(1500));
    ledger.break_down();
    let killed = Instant::now();
    world.server.wait_for("mirror near at 127.0.1.71 is down, slow");
    // The TTLs after the change are looked at as well.
    world.server.wait_for_nothing_in(Duration::from_millis(500));
    over.store(true, Relaxed);
    let seen = asking.join().unwrap();
    assert!(seen.len() > 100, "{} answers are no load", seen.len());
    let last = seen.iter().filter(|(_, addresses, _)| addresses.contains(&near)).map(|(when, ..)| *when).max().unwrap();
    assert!(last < killed + WITHIN + SLACK, "given for {:?}", last.duration_since(killed));
    let kinds: BTreeSet<(Vec<IpAddr>, u32)> = seen.into_iter().map(|(_, addresses, ttl)| (addresses, ttl)).collect();
    // Up: three bad verdicts take it down, 1 s apart; then two; then one. Down: two good ones bring it back.
    let expected = [(vec![near], 1), (vec![near], 2), (vec![near], 3), (vec![far], 2)];
    assert_eq!(kinds, BTreeSet::from(expected));
}
