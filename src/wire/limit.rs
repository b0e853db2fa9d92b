//! Rate limiting of one response: exemptions, and the content of a response that slips.
//!
//! **Invariants**: a client with a valid cookie is never limited; a response that slips is no longer than its query, one
//! with BADCOOKIE longer by our half of the cookie at most, so that neither amplifies.
//! **Not here**: counting ([`crate::rates`]).

use std::net::IpAddr;

use super::{Cookie, Limit, Silence};
use crate::answer::{Query, Response};
use crate::base::rr::Rcode;
use crate::base::time::Moment;
use crate::rates::{RateSubject, RateVerdict, Rates};
use crate::snapshot::RateLimit;

/// Judges a response, and removes all records from one that slips.
#[inline]
pub(super) fn judge(
    rates: &Rates,
    limit: &RateLimit,
    query: &Query<'_>,
    resolver: IpAddr,
    cookie: Cookie,
    now: Moment,
    response: &mut Response<'_>,
) -> Result<Limit, Silence> {
    // RFC 7873 §5.2.5: a valid cookie shows that the address is not spoofed.
    if cookie == Cookie::Valid {
        return Ok(Limit::ExemptByCookie);
    }
    if limit.exempt.as_ref().is_some_and(|exempt| exempt.contains(resolver)) {
        return Ok(Limit::ExemptByList);
    }
    let subject = RateSubject::of(&response.basis, query.question.map(|question| question.qtype));
    match rates.judge(limit, resolver, subject, query.id, now) {
        RateVerdict::Send => Ok(Limit::Within),
        RateVerdict::Drop => Err(Silence::Limited),
        RateVerdict::Slip => {
            slip(cookie, response);
            Ok(Limit::Slipped)
        }
    }
}

/// RFC 7873 §5.2.3: a client that supports cookies retries with the cookie of this reply. Other clients retry over TCP.
#[cold]
fn slip(cookie: Cookie, response: &mut Response<'_>) {
    if cookie == Cookie::None {
        response.truncate();
    } else {
        response.keep_question_only();
        response.rcode = Rcode::BADCOOKIE;
        response.aa = false;
    }
}
