//! The DNS answer: takes a query, a client and a snapshot; returns rcode, sections, scope and the reason.
//!
//! The algorithm is that of RFC 1034 §4.3.2 with wildcards (RFC 4592), DNAME (RFC 6672), delegations, aliases chased inside
//! the zone, negative answers with SOA (RFC 2308), minimal ANY (RFC 8482), and steered owners. The A and AAAA records of a
//! steered owner come from the horizon, and so does its HTTPS record if that has hints (RFC 9460 §7.3).
//!
//! **Invariants**: every query gets a response; whether a name or type exists never depends on the client (RFC 7871 §7.4);
//! only the answer section is tailored, so all other sections have scope 0 (§7.3.1).
//! **Not here**: bytes ([`crate::wire`]), sockets, counting, the clock.

mod additional;
mod chaos;
mod denial;
mod query;
mod response;
mod search;

pub(crate) use query::{Ecs, Edns, QueryProblem, Question};
pub use query::{Keepalive, Query};
pub use response::{Basis, Outcome};
pub(crate) use response::{Data, Glue, Need, Owner, Response, Rr, Steering};

use crate::base::client::Client;
use crate::base::name::Suffixes;
use crate::base::rr::{Class, Ede, Rcode, Rtype};
use crate::snapshot::Snapshot;
use search::Search;

/// Answers a query for a client from one generation of the served state, in an empty response.
///
/// The response is filled in place, because it has room for every alias and is too large to move for each query.
#[inline]
pub(crate) fn answer<'s>(query: &Query<'_>, client: &Client, snapshot: &'s Snapshot, response: &mut Response<'s>) {
    match (query.problem, &query.question) {
        (Some(problem), _) => reject(problem, response),
        // RFC 7873 §5.4: a query without a question is malformed unless it asks for a cookie.
        (None, None) => response.basis.outcome = Outcome::Cookie,
        (None, Some(question)) => ask(question, query, client, snapshot, response),
    }
}

fn reject(problem: QueryProblem, response: &mut Response<'_>) {
    response.basis.outcome = Outcome::Rejected;
    response.rcode = match problem {
        QueryProblem::Malformed => Rcode::FORMERR,
        QueryProblem::EdnsVersion => Rcode::BADVERS,
        QueryProblem::Opcode => Rcode::NOTIMP,
    };
}

fn refuse(ede: Ede, response: &mut Response<'_>) {
    response.deny((Rcode::REFUSED, Some(ede)));
}

/// Answers SERVFAIL: a copy that has expired, or was never fetched, answers no query (RFC 1034 §4.3.5).
#[cold]
fn fail(ede: Ede, response: &mut Response<'_>) {
    response.deny((Rcode::SERVFAIL, Some(ede)));
}

fn ask<'s>(
    question: &Question<'_>,
    query: &Query<'_>,
    client: &Client,
    snapshot: &'s Snapshot,
    response: &mut Response<'s>,
) {
    if question.qclass == Class::CH {
        return chaos::tell(question, snapshot, response);
    }
    if question.qclass != Class::IN {
        return refuse(Ede::NotSupported, response);
    }
    // RFC 6895 §3.1: OPT, TKEY and TSIG are parts of messages, and no query can ask for them.
    if matches!(question.qtype, Rtype::OPT | Rtype::TKEY | Rtype::TSIG) {
        return reject(QueryProblem::Malformed, response);
    }
    let mut suffixes = Suffixes::new();
    suffixes.fill_tail(question.name, question.tail);
    snapshot.zones().reach(question.name, &mut suffixes);
    let zone = match question.qtype {
        // RFC 4035 §3.1.4.1: the parent answers for DS, if we serve both sides of the cut.
        Rtype::DS => snapshot.zones().find_parent_side(question.name, &suffixes),
        _ => snapshot.zones().find(question.name, &suffixes),
    };
    let Some((zone_id, zone)) = zone else { return refuse(Ede::NotAuthoritative, response) };
    response.basis.zone = Some(zone_id);
    if let Some(ede) = zone.lack() {
        return fail(ede, response);
    }
    response.aa = true;
    zone.reach(question.name, &mut suffixes);
    let found = zone.find(question.name, &suffixes);
    let dnssec_ok = query.edns.as_ref().is_some_and(|edns| edns.dnssec_ok);
    if dnssec_ok && snapshot.is_awaiting_signatures(zone_id) {
        return fail(Ede::NotReady, response);
    }
    Search { question, query, client, snapshot, zone_id, zone, dnssec_ok }.follow(found, response);
}
