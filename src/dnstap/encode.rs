//! A copied response as a frame of data: its length, and a `Dnstap` of protobuf.
//!
//! **Invariants**: the fields stand in the order of their numbers, and each has the type of dnstap.proto.
//! **Not here**: the facts ([`crate::telemetry::tap`]).

use std::net::IpAddr;

use super::frame::LEN_LEN;
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

/// A version of HTTP, with its number in dnstap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TapHttp {
    /// HTTP/1.
    One = 1,
    /// HTTP/2.
    Two = 2,
}

/// A response and its circumstances.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DnstapMessage<'m> {
    /// The transport.
    pub(crate) transport: Transport,
    /// The version of HTTP; `None` for other transports.
    pub(crate) http: Option<TapHttp>,
    /// The address of the resolver, as far as it is kept.
    pub(crate) query_address: Option<IpAddr>,
    /// The port of the resolver, if it is kept.
    pub(crate) query_port: Option<u16>,
    /// The address of this server.
    pub(crate) response_address: IpAddr,
    /// The port of this server.
    pub(crate) response_port: u16,
    /// The time at which the query was received, in nanoseconds since 1970.
    pub(crate) query_ns: u64,
    /// The time at which the response was made, in nanoseconds since 1970.
    pub(crate) response_ns: u64,
    /// The apex of the zone that has answered, in wire form; empty if no zone has.
    pub(crate) zone: &'m [u8],
    /// The response; empty if it cannot be shown.
    pub(crate) response: &'m [u8],
}

/// Appends a frame of data. `scratch` is a buffer that is kept from one message to the next.
pub(crate) fn encode(
    out: &mut Vec<u8>,
    scratch: &mut Vec<u8>,
    origin: &DnstapOrigin,
    extra: &[u8],
    message: &DnstapMessage<'_>,
) {
    scratch.clear();
    put_message(scratch, message);
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

fn put_message(out: &mut Vec<u8>, message: &DnstapMessage<'_>) {
    put_number(out, 1, TYPE_AUTH_RESPONSE);
    put_number(out, 2, if message.response_address.is_ipv4() { 1 } else { 2 });
    put_number(out, 3, protocol(message.transport));
    if let Some(address) = message.query_address {
        put_address(out, 4, address);
    }
    put_address(out, 5, message.response_address);
    if let Some(port) = message.query_port {
        put_number(out, 6, port.into());
    }
    put_number(out, 7, message.response_port.into());
    put_number(out, 8, message.query_ns / NS_OF_SECOND);
    put_fixed(out, 9, (message.query_ns % NS_OF_SECOND) as u32);
    put_bytes(out, 11, message.zone);
    put_number(out, 12, message.response_ns / NS_OF_SECOND);
    put_fixed(out, 13, (message.response_ns % NS_OF_SECOND) as u32);
    put_bytes(out, 14, message.response);
    if let Some(http) = message.http {
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
