//! Two million mutated datagrams: no datagram crashes the server, makes it keep memory, or writes a line to its log.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use crate::common::fixture;
use crate::common::generate::Dice;
use crate::common::mutate::{corpus, mutated};
use crate::common::server::{Server, is_sentinel, sentinel};

const DATAGRAMS: usize = 2_000_000;

/// Datagrams between two questions that must be answered.
const WINDOW: usize = 64;

/// Memory that may be kept beyond that after the first tenth: pages that the allocator holds.
const KEPT_KIB: u64 = 4096;

pub(crate) fn run() {
    let mut server = Server::start(&fixture::config());
    let address = server.address(Ipv4Addr::LOCALHOST.into());
    let inputs: Vec<Vec<u8>> =
        ["respond", "edns_options", "cookies", "signed_queries"].into_iter().flat_map(corpus).collect();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let (mut dice, mut room, total) = (Dice::new(8914), vec![0; 65535], crate::share(DATAGRAMS));
    let (mut sent, mut replies, mut warm) = (0, 0, None);
    while sent < total {
        for _ in 0..WINDOW {
            let datagram = mutated(&inputs, &mut dice);
            // Longer ones than a datagram can be are not sent.
            let _ = socket.send(&datagram[..datagram.len().min(60_000)]);
            sent += 1;
        }
        replies += await_sentinel(&mut server, &socket, &mut room);
        if sent >= total / 10 {
            warm.get_or_insert_with(|| server.memory_kib());
        }
    }
    let (before, after) = (warm.unwrap(), server.memory_kib());
    println!("datagrams: {sent} sent, {replies} replies, memory {before} KiB after a tenth, {after} KiB at the end");
    assert!(server.is_running(), "the server ended");
    assert!(after <= before + KEPT_KIB, "memory grew by {} KiB", after - before);
    // The examples that a server writes when it starts may come after the line for which the start waits.
    let lines: Vec<String> = server.lines().into_iter().filter(|line| !line.contains("INFO try: ")).collect();
    assert_eq!(lines, [] as [String; 0], "a datagram wrote to the log");
}

/// Waits for the answer to a sound question; the replies to mutated datagrams before it.
fn await_sentinel(server: &mut Server, socket: &UdpSocket, room: &mut [u8]) -> usize {
    let mut replies = 0;
    for _ in 0..10 {
        socket.send(&sentinel()).unwrap();
        while let Ok(len) = socket.recv(room) {
            if is_sentinel(&[], &room[..len]) {
                return replies;
            }
            replies += 1;
        }
        assert!(server.is_running(), "the server ended: {:?}", server.lines());
    }
    panic!("a sound question gets no answer");
}
