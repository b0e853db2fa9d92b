//! Ports of loopback, for servers that cannot choose one themselves.
//!
//! **Invariants**: no socket is opened to find a port; a process gives a port again only after all others.
//! **Not here**: ports that a server chooses itself (`:0`), which need no help.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};

/// The ports to choose from. The system's ephemeral ports are above, so that no other socket takes one before the server does.
const PORTS: std::ops::Range<u32> = 10_000..32_000;

/// A port that no socket of any address has, over UDP and TCP. Each process begins at another port.
///
/// The system's tables say so. A socket that tries the port would be inherited by a program that another test starts at that
/// moment, and would hold the port until that program runs.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let tables = ["tcp", "tcp6", "udp", "udp6"].map(|table| {
        // Without IPv6, its tables are not there.
        fs::read_to_string(format!("/proc/thread-self/net/{table}")).unwrap_or_default()
    });
    assert!(tables[0].contains("local_address"), "the system has a table of its sockets");
    let is_free = |port: &u16| !tables.iter().any(|table| table.lines().any(|line| local_port(line) == Some(*port)));
    let next = || {
        let offset = std::process::id().wrapping_mul(64).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        u16::try_from(PORTS.start + offset % (PORTS.end - PORTS.start)).unwrap()
    };
    std::iter::repeat_with(next).take(PORTS.len()).find(is_free).expect("a port is free")
}

/// The same, with 127.0.0.1.
pub(crate) fn free_address() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, free_port()).into()
}

/// The local port of a line like `0: 0100007F:1F90 00000000:0000 0A …` (proc_pid_net(5)).
fn local_port(line: &str) -> Option<u16> {
    let (_, port) = line.split_whitespace().nth(1)?.rsplit_once(':')?;
    u16::from_str_radix(port, 16).ok()
}
