//! Messages as bytes: decode a query, answer it, encode the response, without allocating.
//!
//! [`respond`] is the one path from a received message to the bytes of its reply; every transport, `explain` and the
//! tests go through it.
//!
//! **Invariants**: no input makes it panic, loop or allocate; a reply is never longer than the transport allows; RRsets
//! are whole or the response says TC.
//! **Not here**: sockets, framing, how responses are counted for rate limits ([`crate::rates`]).
//!
//! RFC 1035 §4 (format, compression), RFC 6891 (EDNS), RFC 7871 (ECS), RFC 8914 (EDE), RFC 7828 (keepalive), RFC 7830 and
//! RFC 8467 (padding), RFC 7873 and RFC 9018 (cookies), RFC 5001 (NSID), RFC 8945 (TSIG),
//! RFC 5936 and RFC 1995 (transfers), RFC 1996 (NOTIFY), RFC 2136 (UPDATE).

pub(crate) mod ask;
mod cookie;
mod decode;
mod encode;
mod extras;
mod freshness;
mod limit;
mod peek;
mod record;
pub mod transfer;
pub mod tsig;
mod uncommon;
pub mod update;

pub use cookie::Cookie;
pub use decode::decode;
pub(crate) use freshness::freshness;
pub use peek::peek;
pub(crate) use record::{PassedRecord, pass_record, skip_questions};

use std::net::IpAddr;

use decode::Read;
use encode::{Written, encode};
use extras::{Extras, Identified, MAX_BARE_LEN};

use crate::answer::{self, Basis, Keepalive, Outcome, Query, QueryProblem, Response};
use crate::base::client::{Client, Vantage};
use crate::base::ids::{KeyId, ZoneId};
use crate::base::rr::{Rcode, Rtype};
use crate::base::time::Now;
use crate::base::tsig::SentAlgorithm;
use crate::base::words::words;
use crate::rates::Rates;
use crate::snapshot::{Settings, Snapshot, Way};

/// Minimum length in bytes of the output buffer for a reply over UDP: the largest payload that a configuration may allow.
pub const MAX_UDP: usize = 4096;

/// Maximum length in bytes of a message over a stream (RFC 1035 §4.2.2).
pub const MAX_STREAM: usize = 65535;

words! {
    /// Transport of a message, as far as the reply depends on it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Transport {
        /// One datagram. The reply must fit the payload sizes of the client and of this server; the source address may
        /// be spoofed.
        Udp = "udp",
        /// A stream of messages with lengths.
        Tcp = "tcp",
        /// A stream of messages with lengths, within TLS (RFC 7858).
        Tls = "tls",
        /// A request over HTTPS (RFC 8484).
        Https = "https",
        /// A stream per query in a QUIC connection (RFC 9250).
        Quic = "quic",
    }
}

impl Transport {
    /// Tells whether messages are encrypted, so that an observer learns only their length.
    #[inline]
    pub(crate) fn is_encrypted(self) -> bool {
        matches!(self, Transport::Tls | Transport::Https | Transport::Quic)
    }

    /// Tells whether a reply may carry the idle timeout of the connection (keepalive).
    ///
    /// RFC 7828 §3: over TCP, with or without TLS. HTTP and QUIC have their own mechanisms, and RFC 9250 §5.5.2 forbids the
    /// option.
    #[inline]
    pub(crate) fn has_keepalive(self) -> bool {
        matches!(self, Transport::Tcp | Transport::Tls)
    }
}

/// Sender of a message, and its transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The address that the message came from.
    pub address: IpAddr,
    /// The transport that the message came over.
    pub transport: Transport,
}

/// A reply that has been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Its length in bytes.
    pub len: usize,
    /// Its summary, for counters and logs.
    pub summary: Summary,
}

/// Summary of a reply, for counters and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The type asked for; `None` if the question could not be read.
    pub qtype: Option<Rtype>,
    /// The response code.
    pub rcode: Rcode,
    /// The AA bit.
    pub(crate) aa: bool,
    /// A required RRset was left out.
    pub truncated: bool,
    /// The result of checking the query's cookie.
    pub cookie: Cookie,
    /// The effect of rate limiting.
    pub limit: Limit,
    /// The effect of ECS on the decision.
    pub ecs: EcsEffect,
    /// The zone, the node and the steering decision behind the reply.
    pub basis: Basis,
    /// A fact for a service.
    pub(crate) notice: Option<Notice>,
}

/// A fact for a service that follows from a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The zone to refresh: one of its primaries says in a NOTIFY that it has changed (RFC 1996).
    Changed(ZoneId),
    /// A message names a key of ours, and an algorithm that the key does not have. It may be forged.
    OtherAlgorithm(KeyId, SentAlgorithm),
}

words! {
    /// Effect of rate limiting on a response.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Limit {
        /// No limit is set, or none applies: the message did not come over UDP, or it is signed.
        Off = "off",
        /// The response is within the limit.
        Within = "within",
        /// The client's cookie is valid, so it is not limited.
        ExemptByCookie = "exempt-by-cookie",
        /// The configuration exempts the address.
        ExemptByList = "exempt-by-list",
        /// The response is over the limit. The reply carries only TC, or BADCOOKIE.
        Slipped = "slipped",
    }
}

/// Comparison of the decision for the client's subnet with the decision for the resolver's own address. Made for one in
/// [`COMPARED_ONE_OF`] queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EcsEffect {
    /// The subnet did not decide, or the query is not in the sample.
    NotCompared,
    /// Both lead to the same mirrors.
    Same,
    /// The mirrors differ: without ECS, this client would have been sent elsewhere.
    Different,
}

/// One in this many steered queries with a subnet is decided a second time, by the resolver's address. A sample is as
/// informative as all queries, and the second decision takes a tenth of the time of a query.
pub(crate) const COMPARED_ONE_OF: u16 = 64;

/// Reason for sending no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// The message deserves none (RFC 1035 §7.3): it is a response, or too short to have an ID.
    Undeserved,
    /// The message came over UDP, and one of the questions that it announces is no name, type and class. The reply would be
    /// an error to a sender that may speak another protocol, or answer errors with errors.
    NoQuestion,
    /// Rate limiting drops the reply.
    Limited,
    /// The message is an update by a credential or a peer: the reply comes once the change is on the disk ([`update::receive`]).
    Update,
}

/// Answers one message; `None` if it deserves no reply (RFC 1035 §7.3: a response, or too short to have an ID). Over UDP, a
/// message whose questions cannot be read gets none either, see [`Silence::NoQuestion`]. `None` too for an update that is signed
/// by a credential or a peer for ACME challenges, because its reply needs a disk ([`update::receive`]).
///
/// `out` has at least [`MAX_UDP`] bytes for UDP and [`MAX_STREAM`] for streams, or as many as the caller can send.
#[inline]
pub fn respond(message: &[u8], peer: Peer, snapshot: &Snapshot, now: Now, out: &mut [u8]) -> Option<Reply> {
    reply(message, peer, snapshot, now, None, None, out).ok()
}

/// As [`respond`], with the reason if there is no reply.
#[inline]
pub fn respond_or_defer(
    message: &[u8],
    peer: Peer,
    snapshot: &Snapshot,
    now: Now,
    out: &mut [u8],
) -> Result<Reply, Silence> {
    reply(message, peer, snapshot, now, None, None, out)
}

/// As [`respond`], with the snapshot's rate limit for replies over UDP. `way` is the progress of the prefetch for this
/// message in the same snapshot; `None` if there was no prefetch ([`peek()`]).
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
    // RFC 7828 §3.2.1: the option of a client has no data. On other transports the option is ignored, whatever its data.
    if peer.transport.has_keepalive() && query.edns.is_some_and(|edns| edns.keepalive == Keepalive::Malformed) {
        query.problem = query.problem.or(Some(QueryProblem::Malformed));
    }
    if !uncommon::is_plain(&query) {
        return uncommon::respond(message, &mut query, peer, snapshot, now, rates, out);
    }
    let client = client(&query, peer.address, snapshot);
    let mut response = Response::empty();
    answer::answer(&query, &client, snapshot, &mut response);
    let (cookie, extras) = extras(&query, peer, snapshot, now);
    // RFC 7873 §5.4: a query for nothing but a cookie learns whether its cookie is still valid.
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
        notice: None,
    };
    Ok(Reply { len: written.len, summary })
}

/// Encodes a response that slips through a rate limit. It has no NSID, because 4 bytes in a query would ask for an identity
/// of any length. Our cookie stays, because it lets the client prove its address.
///
/// Cold, and takes the cookie by value, because changing the options in place would keep them out of registers in every
/// query.
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

/// Encodes the response to a message that is no plain query, and fills `out` at most. Options that the client can do without
/// are left out if there is no room for every response with these.
fn encode_in_room(
    query: &Query<'_>,
    response: &Response<'_>,
    (cookie, extras): (Cookie, Extras<'_>),
    limit: Limit,
    transport: Transport,
    settings: &Settings,
    out: &mut [u8],
) -> Reply {
    let extras = if out.len() < MAX_BARE_LEN + extras.len() { Extras::default() } else { extras };
    let Written { len, truncated } = encode(query, response, &extras, transport, settings, out);
    let summary = Summary {
        qtype: query.question.map(|question| question.qtype),
        rcode: response.rcode,
        aa: response.aa,
        truncated,
        cookie,
        limit,
        ecs: EcsEffect::NotCompared,
        basis: response.basis,
        notice: None,
    };
    Reply { len, summary }
}

/// Decides a sample of the queries again, without ECS, and compares the decisions.
#[inline]
fn ecs_effect(query: &Query<'_>, response: &Response<'_>, client: &Client, snapshot: &Snapshot) -> EcsEffect {
    let Some(steering) = response.basis.steering else { return EcsEffect::NotCompared };
    // IDs are random (RFC 5452 §4.4) and so select the sample. Those of HTTPS and QUIC are 0, so all of these queries are in
    // it.
    if !query.id.is_multiple_of(COMPARED_ONE_OF) || steering.decision.location.vantage != Vantage::Subnet {
        return EcsEffect::NotCompared;
    }
    let without = snapshot.decide(steering.horizon, &Client { subnet: None, ..*client });
    if without.plan == steering.decision.plan { EcsEffect::Same } else { EcsEffect::Different }
}

/// Checks the query's cookie and collects the options that the query asks for.
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

/// The client of a query. Its subnet counts only if ECS is accepted from the resolver (RFC 7871 §11.3).
#[inline]
fn client(query: &Query<'_>, resolver: IpAddr, snapshot: &Snapshot) -> Client {
    let heard =
        |from: &Option<_>| from.as_ref().is_none_or(|from: &crate::base::prefix::PrefixSet| from.contains(resolver));
    let subnet = query.edns.and_then(|edns| edns.ecs).filter(|_| heard(&snapshot.settings().ecs_from));
    Client { resolver, subnet: subnet.and_then(|ecs| ecs.subnet) }
}

#[cfg(test)]
mod signed;
