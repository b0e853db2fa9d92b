//! Sixty reloads under load: no query is lost.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pharos::base::rr::Rtype;

use crate::common::fixture;
use crate::common::query::Builder;
use crate::common::server::Server;

const RELOADS: usize = 60;

/// Queries in flight: fewer than a socket holds.
const WINDOW: usize = 32;

pub(crate) fn run() {
    let server = Server::start(&fixture::config());
    let address = server.address(Ipv4Addr::LOCALHOST.into());
    let (ended, total) = (AtomicBool::new(false), crate::share(RELOADS));
    let (answered, lost) = std::thread::scope(|scope| {
        let load = scope.spawn(|| ask_until(&ended, address));
        for _ in 0..total {
            server.signal("HUP");
            server.wait_for("reloaded");
        }
        ended.store(true, Ordering::Relaxed);
        load.join().unwrap()
    });
    println!("reloads: {total}, {answered} queries answered, {lost} lost");
    assert!(answered > total, "there was load");
    assert_eq!(lost, 0);
}

/// Asks in windows, each when the one before is answered; the answers, and the queries without one.
fn ask_until(ended: &AtomicBool, address: SocketAddr) -> (usize, usize) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut query = Builder::new("blob.k8s.io.", Rtype::A).edns(1232).finish();
    let (mut answered, mut lost, mut room) = (0, 0, [0; 4096]);
    while !ended.load(Ordering::Relaxed) {
        for id in 0..WINDOW {
            query[..2].copy_from_slice(&(id as u16).to_be_bytes());
            socket.send(&query).unwrap();
        }
        let replies = (0..WINDOW).filter(|_| socket.recv(&mut room).is_ok()).count();
        answered += replies;
        lost += WINDOW - replies;
    }
    (answered, lost)
}
