//! A copied response as a frame of data: its length, and a `Dnstap` of protobuf.
//!
//! **Invariants**: the fields stand in the order of their numbers, and each has the type of dnstap.proto.
//! **Not here**: taking copies ([`crate::telemetry::tap`]).

use std::net::IpAddr;

use super::facts::TapCopy;
use super::frame::LEN_LEN;
use crate::base::ends::SocketEnds;
use crate::base::logged::LoggedClients;
use crate::wire::Transport;

/// `Dnstap.Type.MESSAGE`
const TYPE_MESSAGE: u64 = 1;

/// `Message.Type.AUTH_RESPONSE`
const TYPE_AUTH_RESPONSE: u64 = 2;

/// The wire types of protobuf.
const VARINT: u64 = 0;
const LENGTH: u64 = 2;
const FIXED_32: u64 = 5;

const NS_OF_SECOND: u64 = 1_000_000_000;

/// The sender of all messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DnstapOrigin {
    /// The name of the server.
    pub(crate) identity: Box<[u8]>,
    /// Its version.
    pub(crate) version: Box<[u8]>,
}

/// Appends a frame of data. `response` is empty if it cannot be shown; `scratch` is a buffer that is kept from one copy to the next.
pub(crate) fn encode(
    out: &mut Vec<u8>,
    scratch: &mut Vec<u8>,
    origin: &DnstapOrigin,
    extra: &[u8],
    copy: &TapCopy<'_>,
    response: &[u8],
) {
    scratch.clear();
    put_message(scratch, copy, response);
    let start = out.len();
    out.extend_from_slice(&[0; LEN_LEN]);
    put_bytes(out, 1, &origin.identity);
    put_bytes(out, 2, &origin.version);
    put_bytes(out, 3, extra);
    put_bytes(out, 14, scratch);
    put_number(out, 15, TYPE_MESSAGE);
    // A response has at most 65,535 bytes, so that the length fits.
    let len = (out.len() - start - LEN_LEN) as u32;
    out[start..start + LEN_LEN].copy_from_slice(&len.to_be_bytes());
}

fn put_message(out: &mut Vec<u8>, TapCopy { facts, zone, .. }: &TapCopy<'_>, response: &[u8]) {
    let SocketEnds { peer, local } = facts.ends;
    put_number(out, 1, TYPE_AUTH_RESPONSE);
    put_number(out, 2, if local.is_ipv4() { 1 } else { 2 });
    put_number(out, 3, protocol(facts.transport));
    if let Some(address) = facts.clients.cut(peer.ip()) {
        put_address(out, 4, address);
    }
    put_address(out, 5, local.ip());
    if facts.clients == LoggedClients::Whole {
        put_number(out, 6, peer.port().into());
    }
    put_number(out, 7, local.port().into());
    put_number(out, 8, facts.received_ns / NS_OF_SECOND);
    put_fixed(out, 9, (facts.received_ns % NS_OF_SECOND) as u32);
    put_bytes(out, 11, zone);
    put_number(out, 12, facts.made_ns / NS_OF_SECOND);
    put_fixed(out, 13, (facts.made_ns % NS_OF_SECOND) as u32);
    put_bytes(out, 14, response);
    if let Some(http) = facts.http {
        put_number(out, 16, http as u64);
    }
}

/// `SocketProtocol`
fn protocol(transport: Transport) -> u64 {
    match transport {
        Transport::Udp => 1,
        Transport::Tcp => 2,
        Transport::Tls => 3,
        Transport::Https => 4,
        Transport::Quic => 7,
    }
}

fn put_address(out: &mut Vec<u8>, field: u64, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => put_bytes(out, field, &v4.octets()),
        IpAddr::V6(v6) => put_bytes(out, field, &v6.octets()),
    }
}

/// A field with bytes, which is left out if there are none.
fn put_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    if !bytes.is_empty() {
        put_varint(out, field << 3 | LENGTH);
        put_varint(out, bytes.len() as u64);
        out.extend_from_slice(bytes);
    }
}

fn put_number(out: &mut Vec<u8>, field: u64, number: u64) {
    put_varint(out, field << 3 | VARINT);
    put_varint(out, number);
}

fn put_fixed(out: &mut Vec<u8>, field: u64, number: u32) {
    put_varint(out, field << 3 | FIXED_32);
    out.extend_from_slice(&number.to_le_bytes());
}

/// Seven bits a byte, the least significant first.
fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests;
