//! A small zone behind the real engine, for the tests of the listeners.

use std::net::IpAddr;
use std::sync::Arc;

use super::Engine;
use crate::base::name::{NameBuf, name};
use crate::base::rr::Rtype;
use crate::base::time::{Generation, Ttl};
use crate::config;
use crate::live;
use crate::process::Clock;
use crate::snapshot::{Compiled, Settings, Snapshot};
use crate::telemetry::tap::Taps;
use crate::wire::{self, MAX_STREAM, Peer, Transport};
use crate::zone::{ZoneBuilder, ZoneSet};

/// The configuration of listeners on these addresses, with two UDP threads each.
pub(super) fn dns(listen: &[&str]) -> config::DnsConfig {
    let (config, _) = config::read("pharos.toml", "[[zone]]\nname = \"example\"\nfile = \"zone\"\n").unwrap();
    config::DnsConfig {
        listen: listen.iter().map(|address| address.parse().unwrap()).collect(),
        listen_is_default: false,
        udp_threads: Some(2),
        tcp_connections: 100,
        tcp_connections_per_client: 10,
        ..config.dns
    }
}

/// `example.` with an address at the apex and 200 long TXT records at `big`.
fn snapshot() -> Snapshot {
    let apex = name("example.");
    let numbers = [7, 7200, 3600, 1_209_600, 300u32].map(u32::to_be_bytes).concat();
    let host = name("ns.other.");
    let soa = [host.as_name().as_wire(), name("hostmaster.example.").as_name().as_wire(), &numbers].concat();
    let mut builder = ZoneBuilder::new(apex.clone());
    let mut add =
        |owner: &NameBuf, rtype, rdata: &[u8]| builder.add(owner.as_name(), rtype, Ttl(300), rdata, 0).unwrap();
    add(&apex, Rtype::SOA, &soa);
    add(&apex, Rtype::NS, host.as_name().as_wire());
    add(&apex, Rtype::A, &[192, 0, 2, 1]);
    let big = name("big.example.");
    for i in 0..200u8 {
        let mut text = vec![b'x'; 201];
        (text[0], text[1]) = (200, i);
        add(&big, Rtype::TXT, &text);
    }
    let (zone, _) = builder.finish().unwrap();
    let settings = Settings::default();
    Snapshot::new(
        Generation(1),
        ZoneSet::new(vec![zone]),
        Compiled { settings: Arc::new(settings), ..Compiled::default() },
    )
}

/// The engine, serving it.
pub(super) fn engine() -> Engine {
    let clock = Clock::start();
    let (published, _, _) = live::publish(snapshot(), move || clock.now());
    let tap = Taps::new(Clock::civil_nanos).shared(1);
    Engine { published, clock, notices: live::notices().0, updates: live::update_queue().0, tap }
}

/// A query for the address of the apex.
pub(super) fn query(id: u16) -> Vec<u8> {
    question(id, "example.", Rtype::A)
}

/// A query whose reply is of 40,000 bytes and more.
pub(super) fn big_query(id: u16) -> Vec<u8> {
    question(id, "big.example.", Rtype::TXT)
}

fn question(id: u16, qname: &str, qtype: Rtype) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    message.extend_from_slice(name(qname).as_name().as_wire());
    message.extend_from_slice(&qtype.0.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    message
}

/// The engine's reply over UDP.
pub(super) fn reply(query: &[u8], from: IpAddr) -> Vec<u8> {
    reply_over(Transport::Udp, query, from)
}

/// The engine's reply over TCP, with its length before it.
pub(super) fn framed_reply(query: &[u8], from: IpAddr) -> Vec<u8> {
    frame(&reply_over(Transport::Tcp, query, from))
}

/// A message with its length before it.
pub(super) fn frame(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes(), message].concat()
}

fn reply_over(transport: Transport, query: &[u8], from: IpAddr) -> Vec<u8> {
    let engine = engine();
    let mut out = vec![0; MAX_STREAM];
    let peer = Peer { address: from, transport };
    let reply = wire::respond(query, peer, &engine.published.load(), engine.clock.read(), &mut out).unwrap();
    out.truncate(reply.len);
    out
}
