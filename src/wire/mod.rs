//! Messages as octets: decode a query, answer it, encode the response, without allocating.
//!
//! [`respond`] is the one path from a received message to the octets of its reply; every transport, `explain` and the
//! tests go through it.
//!
//! **Invariants**: no input makes it panic, loop or allocate; a reply is never longer than the transport allows; RRsets
//! are whole or the response says TC.
//! **Not here**: sockets, framing, how responses are counted for rate limits ([`crate::rates`]).
//!
//! RFC 1035 §4 (format, compression), RFC 6891 (EDNS), RFC 7871 (ECS), RFC 8914 (EDE), RFC 7828 (keepalive), RFC 7830 and
//! RFC 8467 (padding), RFC 7873 and RFC 9018 (cookies), RFC 5001 (NSID), RFC 8945 (TSIG),
//! RFC 5936 and RFC 1995 (transfers), RFC 1996 (NOTIFY).

mod cookie;
mod decode;
mod encode;
mod extras;
mod freshness;
mod limit;
mod peek;
pub mod transfer;
pub mod tsig;
mod uncommon;

pub use cookie::Cookie;
pub use decode::decode;
pub use freshness::{freshness, skip_name};
pub use peek::peek;

use std::net::IpAddr;

use decode::Read;
use encode::{Written, encode};
use extras::{Extras, Identified};

use crate::answer::{self, Basis, Keepalive, Outcome, Query, QueryProblem, Response};
use crate::base::client::{Client, Vantage};
use crate::base::ids::ZoneId;
use crate::base::rr::{Rcode, Rtype};
use crate::base::time::Now;
use crate::rates::Rates;
use crate::snapshot::{Settings, Snapshot, Way};

/// The least room to give for a reply over UDP: the largest payload that a configuration may allow.
pub const MAX_UDP: usize = 4096;

/// The most octets in a message over a stream (RFC 1035 §4.2.2).
pub const MAX_STREAM: usize = 65535;

/// How a message arrived, as far as the reply depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// One datagram: the reply must fit what the client and we take, and the source may be spoofed.
    Udp,
    /// A stream of messages with lengths.
    Tcp,
    /// The same within TLS (RFC 7858).
    Tls,
    /// A request over HTTPS (RFC 8484).
    Https,
    /// A stream of its own in a QUIC connection (RFC 9250).
    Quic,
}

impl Transport {
    /// All of them.
    pub const ALL: [Transport; 5] = [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Https, Transport::Quic];

    /// Whether nobody on the way can read a message, and only its length tells something.
    #[inline]
    pub fn is_encrypted(self) -> bool {
        matches!(self, Transport::Tls | Transport::Https | Transport::Quic)
    }

    /// Whether the client is told for how long it may be silent.
    ///
    /// RFC 7828 §3: over TCP, with or without TLS; HTTP and QUIC have their own ways, and RFC 9250 §5.5.2 forbids it.
    #[inline]
    pub fn has_keepalive(self) -> bool {
        matches!(self, Transport::Tcp | Transport::Tls)
    }
}

/// Who sent a message, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The address it came from.
    pub address: IpAddr,
    /// How it came.
    pub transport: Transport,
}

/// A reply that has been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Its length in octets.
    pub len: usize,
    /// What there is to count.
    pub summary: Summary,
}

/// What there is to say of a reply, for counters and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The type asked for; none where the question could not be read.
    pub qtype: Option<Rtype>,
    /// The response code.
    pub rcode: Rcode,
    /// The AA bit.
    pub aa: bool,
    /// Something required was left out.
    pub truncated: bool,
    /// What the query's cookie proved.
    pub cookie: Cookie,
    /// What rate limiting said.
    pub limit: Limit,
    /// What ECS did to it.
    pub ecs: EcsEffect,
    /// What decided.
    pub basis: Basis,
    /// The zone of which a primary says that it has changed (RFC 1996).
    pub notified: Option<ZoneId>,
}

/// What rate limiting had to do with a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Nothing: there is no limit, or none for this transport.
    Off,
    /// It was within the limit.
    Within,
    /// The client's cookie freed it.
    ExemptByCookie,
    /// The configuration frees its address.
    ExemptByList,
    /// It was over the limit, and nothing but TC, or BADCOOKIE, was sent.
    Slipped,
}

/// Whether the client's subnet and the resolver's own address lead to the same mirrors. Looked at for one of
/// [`COMPARED_ONE_OF`] queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EcsEffect {
    /// The subnet did not decide, or nobody looked.
    NotCompared,
    /// They do.
    Same,
    /// They do not: without ECS this client would have been sent elsewhere.
    Different,
}

/// One of how many steered queries with a subnet is decided a second time, by the resolver's address: doing so takes a
/// tenth of the time that a query takes, and a sample tells as much.
pub const COMPARED_ONE_OF: u16 = 64;

/// Why a message gets no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// It deserves none (RFC 1035 §7.3): it is a response, or too short to have an ID.
    Undeserved,
    /// It came over UDP, and one of the questions that it announces is no name, type and class. The reply would be an
    /// error to a sender that may speak another protocol, or answer errors with errors.
    NoQuestion,
    /// Its sender, if it is that, was told as much often enough.
    Limited,
}

/// Answers one message; `None` if it deserves no reply (RFC 1035 §7.3: a response, or too short to have an ID; over UDP
/// also one whose questions cannot be read, see [`Silence::NoQuestion`]).
///
/// `out` has at least [`MAX_UDP`] octets for UDP and [`MAX_STREAM`] for streams, or what the caller can send.
#[inline]
pub fn respond(message: &[u8], peer: Peer, snapshot: &Snapshot, now: Now, out: &mut [u8]) -> Option<Reply> {
    reply(message, peer, snapshot, now, None, None, out).ok()
}

/// As [`respond`], within the rate limit that the snapshot sets for what comes over UDP, and from where the way that the
/// snapshot gave for the message has come, if anybody went ([`peek()`]).
#[inline]
pub fn respond_limited(
    message: &[u8],
    peer: Peer,
    snapshot: &Snapshot,
    now: Now,
    rates: &Rates,
    way: Option<&Way>,
    out: &mut [u8],
) -> Result<Reply, Silence> {
    reply(message, peer, snapshot, now, Some(rates), way, out)
}

#[inline]
fn reply(
    message: &[u8],
    peer: Peer,
    snapshot: &Snapshot,
    now: Now,
    rates: Option<&Rates>,
    way: Option<&Way>,
    out: &mut [u8],
) -> Result<Reply, Silence> {
    let mut query = Query { way, ..Query::EMPTY };
    match decode::decode_into(message, &mut query) {
        Read::Undeserved => return Err(Silence::Undeserved),
        Read::NoQuestion if peer.transport == Transport::Udp => return Err(Silence::NoQuestion),
        Read::NoQuestion | Read::Query => {}
    }
    // RFC 7828 §3.2.1: a client says nothing with the option. Where it has no meaning, it is ignored whatever it says.
    if peer.transport.has_keepalive() && query.edns.is_some_and(|edns| edns.keepalive == Keepalive::Malformed) {
        query.problem = query.problem.or(Some(QueryProblem::Malformed));
    }
    if !uncommon::is_plain(&query) {
        return uncommon::respond(message, &mut query, peer, snapshot, now, rates, out);
    }
    let client = client(&query, peer.address, snapshot);
    let mut response = Response::empty();
    answer::answer_into(&query, &client, snapshot, now.monotonic, &mut response);
    let (cookie, extras) = extras(&query, peer, snapshot, now);
    // RFC 7873 §5.4: whoever asks for nothing else is told whether its cookie still holds.
    if response.basis.outcome == Outcome::Cookie && cookie == Cookie::Invalid {
        response.rcode = Rcode::BADCOOKIE;
    }
    let limit = match (rates, &snapshot.settings().rate_limit) {
        (Some(rates), Some(limit)) if peer.transport == Transport::Udp => {
            limit::judge(rates, limit, &query, peer.address, cookie, now.monotonic, &mut response)?
        }
        _ => Limit::Off,
    };
    let written = match limit {
        Limit::Slipped => encode_slipped(&query, &response, extras.cookie, peer.transport, snapshot.settings(), out),
        _ => encode(&query, &response, &extras, peer.transport, snapshot.settings(), out),
    };
    let summary = Summary {
        qtype: query.question.map(|question| question.qtype),
        rcode: response.rcode,
        aa: response.aa,
        truncated: written.truncated,
        cookie,
        limit,
        ecs: ecs_effect(&query, &response, &client, snapshot),
        basis: response.basis,
        notified: None,
    };
    Ok(Reply { len: written.len, summary })
}

/// Encodes a response that slips through a rate limit. The query asks with 4 bytes for as many of NSID as the operator likes,
/// so it has none; our cookie, which proves the address, stays.
///
/// Cold, and with the cookie by value: to change the options in place would keep them out of registers in every query.
#[cold]
fn encode_slipped(
    query: &Query<'_>,
    response: &Response<'_>,
    cookie: Option<cookie::Octets>,
    transport: Transport,
    settings: &Settings,
    out: &mut [u8],
) -> Written {
    encode(query, response, &Extras { cookie, nsid: None }, transport, settings, out)
}

/// Decides again as if there were no ECS, for one of many.
#[inline]
fn ecs_effect(query: &Query<'_>, response: &Response<'_>, client: &Client, snapshot: &Snapshot) -> EcsEffect {
    let Some(steering) = response.basis.steering else { return EcsEffect::NotCompared };
    // IDs are random (RFC 5452 §4.4), but those of HTTPS and QUIC, which are 0, and so always among those looked at.
    if !query.id.is_multiple_of(COMPARED_ONE_OF) || steering.decision.location.vantage != Vantage::Subnet {
        return EcsEffect::NotCompared;
    }
    let without = snapshot.decide(steering.horizon, &Client { subnet: None, ..*client });
    if without.plan == steering.decision.plan { EcsEffect::Same } else { EcsEffect::Different }
}

/// What the query's cookie proves, and what its options ask of the reply.
#[inline]
fn extras<'s>(query: &Query<'_>, peer: Peer, snapshot: &'s Snapshot, now: Now) -> (Cookie, Extras<'s>) {
    let Some(edns) = &query.edns else { return (Cookie::None, Extras::default()) };
    let settings = &snapshot.settings();
    let (proof, cookie) = match edns.cookie {
        Some(cookie) => cookie::judge(cookie, peer.address, &settings.cookies, now.unix),
        None => (Cookie::None, None),
    };
    let nsid = match (edns.nsid, &settings.identity.nsid) {
        (true, Some(name)) => Some(Identified { name, generation: snapshot.generation }),
        _ => None,
    };
    (proof, Extras { cookie, nsid })
}

/// For whom a query is: the subnet counts only from resolvers that we listen to (RFC 7871 §11.3).
#[inline]
fn client(query: &Query<'_>, resolver: IpAddr, snapshot: &Snapshot) -> Client {
    let heard =
        |from: &Option<_>| from.as_ref().is_none_or(|from: &crate::base::prefix::PrefixSet| from.contains(resolver));
    let subnet = query.edns.and_then(|edns| edns.ecs).filter(|_| heard(&snapshot.settings().ecs_from));
    Client { resolver, subnet: subnet.and_then(|ecs| ecs.subnet) }
}

#[cfg(test)]
mod signed;
