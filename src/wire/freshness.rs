//! Lifetime of a reply in a cache that does not know DNS.
//!
//! **Invariants**: reads any bytes without panicking; a reply that cannot be read may not be cached.
//! **Not here**: HTTP ([`crate::http`]).
//!
//! RFC 8484 §5.1.

use super::record::{PassedRecord, pass_record, skip_questions};
use crate::base::rr::Rtype;
use crate::base::time::Ttl;

/// Maximum time for which a reply of ours may be cached; `None` if it should not be.
///
/// This is the least TTL of the answer section. If that section is empty, it is the least TTL of the authority section. For
/// a negative answer, that is the TTL of the SOA, which already is the least of its TTL and its MINIMUM (RFC 2308 §3).
/// Errors have records in neither section.
pub(crate) fn freshness(reply: &[u8]) -> Option<Ttl> {
    let ([answers, authorities, _], mut rest) = skip_questions(reply)?;
    match least(&mut rest, answers)? {
        Some(ttl) => Some(ttl),
        None => least(&mut rest, authorities)?,
    }
}

/// Skips `records` records and returns their least TTL; the outer `None` if the records are malformed.
fn least(rest: &mut &[u8], records: u16) -> Option<Option<Ttl>> {
    let mut least: Option<Ttl> = None;
    for _ in 0..records {
        let PassedRecord { rtype, ttl, .. } = pass_record(rest)?;
        if rtype != Rtype::OPT {
            least = Some(least.map_or(ttl, |least| least.min(ttl)));
        }
    }
    Some(least)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reply to a question for the root's addresses, with records of type A in the sections.
    fn reply(answer: &[u32], authority: &[u32]) -> Vec<u8> {
        let (answers, authorities) = (answer.len() as u8, authority.len() as u8);
        let mut reply = vec![0, 0, 0x80, 0, 0, 1, 0, answers, 0, authorities, 0, 1, 0, 0, 1, 0, 1];
        for ttl in answer.iter().chain(authority) {
            reply.extend([0xc0, 12, 0, 1, 0, 1]);
            reply.extend(ttl.to_be_bytes());
            reply.extend([0, 4, 192, 0, 2, 1]);
        }
        // An OPT record: its TTL field does not hold a TTL.
        reply.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
        reply
    }

    #[test]
    fn the_least_ttl_of_the_answer_counts() {
        assert_eq!(freshness(&reply(&[300, 60, 3600], &[5])), Some(Ttl(60)));
    }

    #[test]
    fn without_an_answer_the_authority_counts() {
        assert_eq!(freshness(&reply(&[], &[300])), Some(Ttl(300)));
        assert_eq!(freshness(&reply(&[], &[])), None);
    }

    #[test]
    fn what_cannot_be_read_is_not_kept() {
        let whole = reply(&[300], &[300]);
        for len in 0..30 {
            assert_eq!(freshness(&whole[..len]), None, "{len}");
        }
    }
}
