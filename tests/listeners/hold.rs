//! Clients that behave: each listener serves them, and the process does not grow.

use std::collections::HashSet;
use std::fs;

use pharos::base::rr::Rtype;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::common::query::Builder;
use crate::common::server;
use crate::world::{Framed, World, connect, in_time, query};
use crate::{GOOD, LISTENERS, Listener};

/// The limit of the process's growth, in KiB. A client may have 4 MiB of unsent bytes, and in this test 8 connections, at
/// 256 KiB of requests and state each; the rest is what the allocator keeps. Without budgets a client that does not read
/// takes 48 MiB here.
pub const MEMORY_KB: u64 = 24 << 10;

/// A query whose answer has some 60 KB.
pub fn big_query() -> Vec<u8> {
    let mut message = Builder::new("big.example.net.", Rtype::TXT).finish();
    message[..2].fill(0);
    message
}

/// Resident memory of the server, in KiB.
pub fn memory(world: &World) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", world.server.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The sockets on which a process accepts connections.
pub fn listening_sockets(process: u32) -> usize {
    let links =
        fs::read_dir(format!("/proc/{process}/fd")).unwrap().filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let own: HashSet<String> = links
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_string()))
        .collect();
    // proc(5): the state of a listening TCP socket is 0A; a Unix socket that accepts has the flag 0x10000.
    let count = |table: &str, is_listening: fn(&[&str]) -> bool, inode: usize| {
        let text = fs::read_to_string(format!("/proc/{process}/net/{table}")).unwrap_or_default();
        let lines = text.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
        lines.filter(|line| is_listening(line) && line.get(inode).is_some_and(|inode| own.contains(*inode))).count()
    };
    let tcp = |table| count(table, |line| line.get(3) == Some(&"0A"), 9);
    tcp("tcp") + tcp("tcp6") + count("unix", |line| line.get(3) == Some(&"00010000"), 6)
}

/// Every listener serves a new client, and UDP loses nothing.
pub async fn all_serve(world: &World) {
    let udp = world.server.address(GOOD);
    let asked = tokio::task::spawn_blocking(move || {
        (0..20).all(|_| matches!(server::ask_udp(&query(), GOOD, udp), Ok(Some(_))))
    });
    for (listener, _) in LISTENERS {
        serves(world, listener).await;
    }
    assert!(asked.await.unwrap(), "UDP loses queries");
}

pub async fn serves(world: &World, listener: Listener) {
    match listener {
        Listener::Tcp => {
            let mut stream = Framed(connect(GOOD, world.server.address(GOOD)).await.unwrap());
            assert!(in_time(stream.ask(&query())).await.unwrap().is_some());
        }
        Listener::Tls => assert!(in_time(world.tls(GOOD).await.unwrap().ask(&query())).await.unwrap().is_some()),
        Listener::Https => assert_eq!(in_time(world.https(GOOD).await.unwrap().get(&query())).await.status, 200),
        Listener::Quic => assert!(in_time(world.quic(GOOD).await.unwrap().ask(&query())).await.is_some()),
        Listener::Registry => {
            let address = world.server.listener("registry over HTTP", GOOD);
            http(connect(GOOD, address).await.unwrap(), "/v2/").await;
        }
        Listener::Admin => {
            let address = world.server.listener("health and metrics", GOOD);
            http(connect(GOOD, address).await.unwrap(), "/healthz").await;
        }
        Listener::Control => {
            // The queue of a Unix socket that is full does not let a client wait.
            let path = world.folder.path().join("control.sock");
            let stream = loop {
                match UnixStream::connect(&path).await {
                    Ok(stream) => break stream,
                    Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
                }
                tokio::task::yield_now().await;
            };
            http(stream, "/mirrors").await;
        }
    }
}

async fn http(mut stream: impl AsyncRead + AsyncWrite + Unpin, path: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = Vec::new();
    in_time(stream.read_to_end(&mut response)).await.unwrap();
    assert!(response.starts_with(b"HTTP/1.1 200"), "{}", response.escape_ascii());
}
