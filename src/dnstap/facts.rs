//! A copied response with its facts, and these as bytes of a fixed length.
//!
//! **Invariants**: facts that are read are those that were written, in one process.
//! **Not here**: the ring that keeps these bytes ([`crate::telemetry::tap`]), protobuf ([`super::encode()`]).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::answer::Outcome;
use crate::base::client::Vantage;
use crate::base::ends::SocketEnds;
use crate::base::ids::HorizonId;
use crate::base::logged::LoggedClients;
use crate::base::time::Generation;
use crate::steer::Tier;
use crate::wire::Transport;

/// The bytes of the facts.
const FACTS_LEN: usize = 88;

/// A version of HTTP, with its number in dnstap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TapHttp {
    /// HTTP/1.
    One = 1,
    /// HTTP/2.
    Two = 2,
}

/// A copy of a response, without its message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TapCopy<'t> {
    /// Its facts.
    pub(crate) facts: TapFacts,
    /// The apex of the zone, in wire form; empty if no zone has answered.
    pub(crate) zone: &'t [u8],
    /// The name of the first mirror; empty if there is none.
    pub(crate) mirror: &'t [u8],
}

/// The facts of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TapFacts {
    /// Both ends of the conversation.
    pub(crate) ends: SocketEnds,
    /// The transport.
    pub(crate) transport: Transport,
    /// The version of HTTP; `None` for other transports.
    pub(crate) http: Option<TapHttp>,
    /// The time at which the query was received, in nanoseconds since 1970.
    pub(crate) received_ns: u64,
    /// The time at which the response was made, in nanoseconds since 1970.
    pub(crate) made_ns: u64,
    /// The part of a client's address that may leave the server.
    pub(crate) clients: LoggedClients,
    /// The snapshot that has answered.
    pub(crate) generation: Generation,
    /// The case of the response.
    pub(crate) outcome: Outcome,
    /// The steering decision; `None` if the response was not steered.
    pub(crate) steered: Option<SteeredFacts>,
}

/// The facts of a steering decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SteeredFacts {
    /// The horizon, in the snapshot that has answered.
    pub(crate) horizon: HorizonId,
    /// The address that located the client.
    pub(crate) location: IpAddr,
    /// The origin of that address.
    pub(crate) vantage: Vantage,
    /// The tier of the mirrors.
    pub(crate) tier: Tier,
}

/// The marks of IPv6 addresses, and of a decision.
const PEER_V6: u8 = 1;
const LOCAL_V6: u8 = 2;
const LOCATION_V6: u8 = 4;
const STEERED: u8 = 8;

impl TapFacts {
    /// The facts as bytes.
    pub(crate) fn to_bytes(self) -> [u8; FACTS_LEN] {
        let mut out = [0; FACTS_LEN];
        let SocketEnds { peer, local } = self.ends;
        let mut marks = mark(peer.ip(), PEER_V6) | mark(local.ip(), LOCAL_V6);
        out[0..8].copy_from_slice(&self.received_ns.to_le_bytes());
        out[8..16].copy_from_slice(&self.made_ns.to_le_bytes());
        out[16..24].copy_from_slice(&self.generation.0.to_le_bytes());
        out[24..40].copy_from_slice(&bytes_of(peer.ip()));
        out[40..56].copy_from_slice(&bytes_of(local.ip()));
        out[56..58].copy_from_slice(&peer.port().to_le_bytes());
        out[58..60].copy_from_slice(&local.port().to_le_bytes());
        out[60] = self.transport as u8;
        out[61] = self.http.map_or(0, |http| http as u8);
        out[62] = self.clients as u8;
        out[63] = self.outcome as u8;
        if let Some(SteeredFacts { horizon, location, vantage, tier }) = self.steered {
            marks |= STEERED | mark(location, LOCATION_V6);
            out[64..80].copy_from_slice(&bytes_of(location));
            out[80..82].copy_from_slice(&horizon.0.to_le_bytes());
            out[82] = vantage as u8;
            out[83] = tier as u8;
        }
        out[84] = marks;
        out
    }

    /// Reads facts. `None` if the bytes are not those of facts, which is a fault.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; FACTS_LEN] = bytes.try_into().ok()?;
        let long = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let short = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let address = |at: usize, v6: u8| address_of(bytes.get(at..at + 16)?.try_into().ok()?, bytes[84] & v6 != 0);
        let steered = match bytes[84] & STEERED {
            0 => None,
            _ => Some(SteeredFacts {
                horizon: HorizonId(short(80)),
                location: address(64, LOCATION_V6)?,
                vantage: *Vantage::ALL.get(usize::from(bytes[82]))?,
                tier: *Tier::ALL.get(usize::from(bytes[83]))?,
            }),
        };
        Some(TapFacts {
            ends: SocketEnds {
                peer: SocketAddr::new(address(24, PEER_V6)?, short(56)),
                local: SocketAddr::new(address(40, LOCAL_V6)?, short(58)),
            },
            transport: *Transport::ALL.get(usize::from(bytes[60]))?,
            http: [TapHttp::One, TapHttp::Two].into_iter().find(|http| *http as u8 == bytes[61]),
            received_ns: long(0)?,
            made_ns: long(8)?,
            clients: *LoggedClients::ALL.get(usize::from(bytes[62]))?,
            generation: Generation(long(16)?),
            outcome: *Outcome::ALL.get(usize::from(bytes[63]))?,
            steered,
        })
    }
}

fn mark(address: IpAddr, v6: u8) -> u8 {
    if address.is_ipv6() { v6 } else { 0 }
}

/// An address; IPv4 stands in the first four bytes.
fn bytes_of(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96).to_be_bytes(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

fn address_of(bytes: [u8; 16], is_v6: bool) -> Option<IpAddr> {
    let [first, ..] = bytes.as_chunks::<4>().0 else { return None };
    Some(if is_v6 { Ipv6Addr::from(bytes).into() } else { Ipv4Addr::from(*first).into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_read_as_they_were_written() {
        let ends = |peer: &str, local: &str| SocketEnds { peer: peer.parse().unwrap(), local: local.parse().unwrap() };
        let steered = SteeredFacts {
            horizon: HorizonId(513),
            location: "2001:db8::1".parse().unwrap(),
            vantage: Vantage::Subnet,
            tier: Tier::LastResort,
        };
        let facts = TapFacts {
            ends: ends("198.51.100.7:4242", "192.0.2.53:53"),
            transport: Transport::Udp,
            http: None,
            received_ns: u64::MAX,
            made_ns: 1,
            clients: LoggedClients::Network,
            generation: Generation(70_000),
            outcome: Outcome::NxDomain,
            steered: Some(steered),
        };
        assert_eq!(TapFacts::read(&facts.to_bytes()), Some(facts));
        let other = TapFacts {
            ends: ends("[2001:db8::7]:65535", "[2001:db8::53]:443"),
            transport: Transport::Https,
            http: Some(TapHttp::Two),
            clients: LoggedClients::Whole,
            steered: Some(SteeredFacts { location: "192.0.2.1".parse().unwrap(), ..steered }),
            ..facts
        };
        assert_eq!(TapFacts::read(&other.to_bytes()), Some(other));
        let unsteered = TapFacts { steered: None, ..facts };
        assert_eq!(TapFacts::read(&unsteered.to_bytes()), Some(unsteered));
        assert_eq!(TapFacts::read(&[0; 3]), None);
    }
}
