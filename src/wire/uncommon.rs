//! Replies to messages that are no plain queries: signed messages (RFC 8945), NOTIFY (RFC 1996), refused transfers, and
//! refused updates (RFC 2136).
//!
//! This is kept apart from [`super::respond`], so that plain queries pay for it with one comparison.
//!
//! **Invariants**: a reply to a signed message is signed, or has a TSIG record with the reason, unless the record is
//! malformed or its names are too long; no reply allocates.
//! **Not here**: permitted transfers ([`super::transfer`]), permitted updates ([`super::update`]), the refresh after a NOTIFY (transfer).

use super::decode::{OPCODE_NOTIFY, OPCODE_QUERY, OPCODE_UPDATE};
use super::encode::size_limit;
use super::extras::Extras;
use super::transfer;
use super::tsig::{self, TsigVerdict};
use super::{Limit, Notice, Peer, Reply, Silence, Summary, Transport, encode_in_room, limit, update};
use crate::answer::{self, Data, Need, Owner, Query, QueryProblem, Question, Response, Rr};
use crate::base::ids::{KeyId, ZoneId};
use crate::base::rr::{Class, Ede, Rcode, Rtype};
use crate::base::time::Now;
use crate::rates::Rates;
use crate::snapshot::Snapshot;

/// Tells whether a query is plain, so that [`super::respond`] answers it itself.
#[inline]
pub(super) fn is_plain(query: &Query<'_>) -> bool {
    let is_transfer = query.question.is_some_and(|question| matches!(question.qtype, Rtype::AXFR | Rtype::IXFR));
    query.tsig.is_none() && query.opcode == OPCODE_QUERY && !is_transfer
}

/// Answers a message that is no plain query.
#[cold]
pub(super) fn respond(
    message: &[u8],
    query: &mut Query<'_>,
    peer: Peer,
    snapshot: &Snapshot,
    now: Now,
    rates: Option<&Rates>,
    out: &mut [u8],
) -> Result<Reply, Silence> {
    let mut verdict = tsig::authenticate(message, query.tsig, &snapshot.transfers().keys, now.unix);
    if matches!(verdict, TsigVerdict::Malformed) {
        query.problem = Some(QueryProblem::Malformed);
    }
    // Without a credential no message can be an update, so that the opcode is unknown here.
    if query.opcode == OPCODE_UPDATE && !snapshot.challenges().has_credentials() {
        query.problem = Some(QueryProblem::Opcode);
    }
    let mut response = Response::empty();
    let notice = decide(message, query, peer, snapshot, &verdict, &mut response)?;
    let room = size_limit(query, peer.transport, snapshot.settings()).min(out.len()) - verdict.room();
    let (cookie, extras) = super::extras(query, peer, snapshot, now);
    let limit = match (rates, &snapshot.settings().rate_limit, &verdict) {
        // A valid signature identifies the sender, so the address is not spoofed.
        (Some(_), Some(_), TsigVerdict::Signed(..)) => Limit::Off,
        (Some(rates), Some(limit), _) if peer.transport == Transport::Udp => {
            limit::judge(rates, limit, query, peer.address, cookie, now.monotonic, &mut response)?
        }
        _ => Limit::Off,
    };
    let extras = if limit == Limit::Slipped { Extras { nsid: None, ..extras } } else { extras };
    let (transport, settings) = (peer.transport, snapshot.settings());
    let Reply { len, summary } =
        encode_in_room(query, &response, (cookie, extras), limit, transport, settings, &mut out[..room]);
    Ok(Reply { len: verdict.finish(out, len, now.unix), summary: Summary { notice, ..summary } })
}

/// Fills the response, and returns the notice for the services.
fn decide<'s>(
    message: &[u8],
    query: &Query<'_>,
    peer: Peer,
    snapshot: &'s Snapshot,
    verdict: &TsigVerdict,
    response: &mut Response<'s>,
) -> Result<Option<Notice>, Silence> {
    let key = match verdict {
        TsigVerdict::Signed(key, _) => Some(*key),
        _ => None,
    };
    let mut notice = None;
    match (verdict, &query.question) {
        // RFC 8945 §5.2: the signature is checked before the question.
        (TsigVerdict::Refused(refusal), _) => {
            let other = refusal.other_algorithm(&snapshot.transfers().keys);
            notice = other.map(|(key, algorithm)| Notice::OtherAlgorithm(key, algorithm));
            response.deny((Rcode::NOTAUTH, None));
        }
        (_, Some(question)) if query.problem.is_none() && query.opcode == OPCODE_NOTIFY => {
            notice = notify(question, peer, key, snapshot, response).map(Notice::Changed);
        }
        (_, Some(question)) if query.problem.is_none() && query.opcode == OPCODE_UPDATE => {
            match update::admit(question, peer, key, snapshot) {
                Ok(_) => return Err(Silence::Update),
                Err(denial) => response.deny(denial),
            }
        }
        (_, Some(question)) if transfer::is_asked(query, question) => {
            refuse_transfer(message, question, peer, key, snapshot, response);
        }
        _ => answer::answer(query, &super::client(query, peer.address, snapshot), snapshot, response),
    }
    Ok(notice)
}

/// Answers a request for a transfer that was not begun, because it is not permitted or because it came over UDP.
fn refuse_transfer<'s>(
    message: &[u8],
    question: &Question<'_>,
    peer: Peer,
    key: Option<KeyId>,
    snapshot: &'s Snapshot,
    response: &mut Response<'s>,
) {
    let id = match transfer::permit(question, peer, key, snapshot) {
        Ok(id) => id,
        Err(denial) => return response.deny(denial),
    };
    let is_readable = question.qtype == Rtype::AXFR || transfer::serial(message, question).is_some();
    // Transfers over QUIC (RFC 9250 §5.7) are not implemented, because no secondary asks for them yet. Over HTTP, a reply is
    // one message. Over TLS below version 1.3, no transfer begins (RFC 9103 §7.1); REFUSED tells the secondary, because it
    // may retry with 1.3.
    let is_refused = match peer.transport {
        Transport::Https | Transport::Quic => true,
        Transport::Tls => is_readable,
        Transport::Udp | Transport::Tcp => false,
    };
    if is_refused {
        return response.deny((Rcode::REFUSED, Some(Ede::NotSupported)));
    }
    // RFC 5936 §4.2: AXFR needs a stream.
    if peer.transport != Transport::Udp || question.qtype == Rtype::AXFR || !is_readable {
        return response.deny((Rcode::FORMERR, None));
    }
    // RFC 1995 §2: the SOA alone. If its serial is new to the client, the client retries over TCP.
    let zone = snapshot.zones().zone(id);
    response.aa = true;
    response.basis.zone = Some(id);
    let data = Data::Stored(zone.soa());
    response.answer.push(Rr { owner: Owner::Question, data, need: Need::Required });
}

/// Answers a NOTIFY (RFC 1996 §3). Returns the zone to refresh, if it is a copy and the message comes from one of its
/// primaries.
fn notify<'s>(
    question: &Question<'_>,
    peer: Peer,
    key: Option<KeyId>,
    snapshot: &'s Snapshot,
    response: &mut Response<'s>,
) -> Option<ZoneId> {
    let found = snapshot.zones().at_apex(question.name);
    let Some((id, _)) = found.filter(|_| question.qclass == Class::IN) else {
        response.deny((Rcode::NOTAUTH, Some(Ede::NotAuthoritative)));
        return None;
    };
    response.basis.zone = Some(id);
    // §3.10: a NOTIFY from any other sender is an error, and has no effect.
    if !snapshot.transfers().policy(id).primaries.iter().any(|party| party.is(peer.address, key)) {
        response.deny((Rcode::REFUSED, Some(Ede::Prohibited)));
        return None;
    }
    response.aa = true;
    (question.qtype == Rtype::SOA).then_some(id)
}
