//! Response rate limiting: how often one client network may get the same response over UDP.
//!
//! The reply to a spoofed query goes to the address that the query bears. So each pair of a client network and a response's
//! subject has a bucket, and [`Rates::judge`] decides whether a response is sent.
//!
//! A bucket is one number: the moment at which all responses sent are paid for, at one response per interval. It may lie one
//! second ahead, which allows one second's worth of responses at once. A response that would move it further is limited, but
//! moves it all the same, up to the window. So a client that goes on asking stays limited, and a client that stops is free
//! again after the window.
//!
//! All threads share the table, because with a table for each thread a flow could get as many times the limit as there are
//! threads. Buckets are read and written without a lock or a locked instruction. Two threads at the same bucket within
//! nanoseconds may count two responses as one, which favours the client and is negligible beside the limit. In a flood, a
//! bucket stays at its window and is written once a millisecond at most, so the threads do not compete for its cache line.
//!
//! **Invariants**: memory is fixed; no query allocates; a new bucket replaces the one with the least debt, so that a flood
//! of networks does not free the worst; a client that does not know the keys cannot choose the bucket that it fills.
//! **Not here**: exemptions, and the content of the replies sent instead ([`crate::wire`]).
//!
//! Paul Vixie and Vernon Schryver, "DNS Response Rate Limiting (DNS RRL)", 2012, and BIND's form of it.

use std::array;
use std::net::IpAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::answer::{Basis, Outcome};
use crate::base::rr::Rtype;
use crate::base::time::Moment;
use crate::snapshot::RateLimit;

/// Number of lines of the table: with 8 buckets each, 262,144 buckets in 2 MiB. BIND keeps 20,000, Knot 524,288, NSD
/// 1,000,000 by default. Only buckets with debt must be remembered, and only for seconds.
const LINES: usize = 1 << 15;

/// Number of buckets in a line. A line is one cache line, so a look-up costs one access to memory.
const WAYS: usize = 8;

/// Number of bits of a bucket that hold its moment in microseconds: twelve days, after which the moment starts anew. If a
/// bucket was not touched for exactly that long, a network with the same mark once has a debt that it does not owe.
const TIME_BITS: u32 = 40;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;

/// Duration at the limited rate whose responses may be sent at once, in microseconds.
const BURST_US: u64 = 1_000_000;

/// All buckets.
#[derive(Debug)]
pub struct Rates {
    keys: [u64; 2],
    lines: OnceLock<Box<[CacheLine]>>,
}

#[repr(align(64))]
#[derive(Debug)]
struct CacheLine([AtomicU64; WAYS]);

/// Decision about a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RateVerdict {
    /// The response is sent.
    Send,
    /// A reply without records is sent, so that the client proves its address by TCP or a cookie.
    Slip,
    /// No reply is sent.
    Drop,
}

/// Subject of a response. Responses with the same subject count together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RateSubject {
    kind: u64,
    what: u64,
}

impl RateSubject {
    /// The subject of a response.
    ///
    /// A client that asks for random names gets the same denial each time, or the same wildcard, or the same referral. These
    /// count by zone, by the owner in the zone, and by the cut. A name that exists counts by itself and its type. Errors and
    /// refusals count together.
    #[inline]
    pub(crate) fn of(basis: &Basis, qtype: Option<Rtype>) -> Self {
        let zone = basis.zone.map_or(0, |zone| zone.index() as u64);
        let node = zone << 48 | basis.node.map_or(0, |node| node.index() as u64) << 16;
        let (kind, what) = match basis.outcome {
            Outcome::Answer | Outcome::Steered | Outcome::Alias => (0, node | qtype.map_or(0, |qtype| qtype.0.into())),
            Outcome::NoData => (1, node),
            Outcome::Referral => (2, node),
            Outcome::NxDomain | Outcome::NameTooLong => (3, zone),
            Outcome::NotReady | Outcome::Refused | Outcome::Rejected => (4, 0),
            Outcome::Identity | Outcome::Cookie => (5, 0),
        };
        RateSubject { kind, what }
    }
}

impl Rates {
    /// A limiter without buckets. The keys must be random and secret.
    pub fn new(keys: [u64; 2]) -> Self {
        Rates { keys, lines: OnceLock::new() }
    }

    /// Makes the table, if there is none yet. Until then nothing is limited.
    pub fn prepare(&self) {
        self.lines.get_or_init(|| (0..LINES).map(|_| CacheLine(array::from_fn(|_| AtomicU64::new(0)))).collect());
    }

    /// Counts a response and decides about it. `salt` must differ from query to query.
    #[inline]
    pub(crate) fn judge(
        &self,
        limit: &RateLimit,
        resolver: IpAddr,
        subject: RateSubject,
        salt: u16,
        now: Moment,
    ) -> RateVerdict {
        let Some(lines) = self.lines.get() else { return RateVerdict::Send };
        let hash = fold(
            fold(network(limit, resolver) ^ self.keys[0], !self.keys[1]) ^ subject.what,
            self.keys[1] ^ subject.kind,
        );
        let line = &lines[hash as usize % LINES];
        let (mark, now_us) = (hash >> TIME_BITS, now.0.wrapping_mul(1000));
        let (bucket, debt_us) = line.find(mark, now_us, limit);
        let next_us = debt_us + 1_000_000 / u64::from(limit.responses_per_second);
        let kept_us = next_us.min(limit.window_us());
        if kept_us != debt_us {
            bucket.store(mark << TIME_BITS | now_us.wrapping_add(kept_us) & TIME_MASK, Relaxed);
        }
        if next_us <= BURST_US {
            return RateVerdict::Send;
        }
        // Two folds: after one, salts that are near each other, such as a client's IDs, would slip all together or not at
        // all.
        let chance = |salt| fold(fold(hash ^ salt, self.keys[0]), self.keys[1] ^ now.0);
        match limit.slip {
            0 => RateVerdict::Drop,
            slip if chance(u64::from(salt)).is_multiple_of(slip.into()) => RateVerdict::Slip,
            _ => RateVerdict::Drop,
        }
    }
}

impl CacheLine {
    /// Returns the bucket with this mark and its debt in microseconds, or the bucket with the least debt and 0.
    #[inline]
    fn find(&self, mark: u64, now_us: u64, limit: &RateLimit) -> (&AtomicU64, u64) {
        let window_us = limit.window_us();
        let (mut least, mut least_us) = (&self.0[0], u64::MAX);
        for bucket in &self.0 {
            let value = bucket.load(Relaxed);
            let ahead_us = value.wrapping_sub(now_us) & TIME_MASK;
            // No moment is further ahead than the window, so this one is in the past.
            let debt_us = if ahead_us > window_us { 0 } else { ahead_us };
            if value >> TIME_BITS == mark {
                return (bucket, debt_us);
            }
            if debt_us < least_us {
                (least, least_us) = (bucket, debt_us);
            }
        }
        (least, 0)
    }
}

/// The network that counts as one client.
#[inline]
fn network(limit: &RateLimit, resolver: IpAddr) -> u64 {
    match resolver.to_canonical() {
        // No IPv6 network in use has the highest bit set, except those in fc00::/6. These send no queries over the internet.
        IpAddr::V4(v4) => 1 << 63 | u64::from(v4.to_bits() >> (32 - limit.ipv4_prefix)),
        IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64 >> (64 - limit.ipv6_prefix),
    }
}

/// Mixes two numbers so that each bit of the result depends on all bits of both.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b | 1);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{NodeId, ZoneId};

    const LIMIT: RateLimit = RateLimit {
        responses_per_second: 10,
        window_ms: 5_000,
        slip: 0,
        ipv4_prefix: 24,
        ipv6_prefix: 56,
        exempt: None,
    };

    fn rates() -> Rates {
        let rates = Rates::new([0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210]);
        rates.prepare();
        rates
    }

    fn subject(outcome: Outcome, node: usize, qtype: u16) -> RateSubject {
        let basis = Basis { outcome, zone: Some(ZoneId(1)), node: Some(NodeId::from_index(node)), steering: None };
        RateSubject::of(&basis, Some(Rtype(qtype)))
    }

    fn sent(rates: &Rates, from: &str, subject: RateSubject, times: u16, now_ms: u64) -> usize {
        let judge = |salt: &u16| {
            rates.judge(&LIMIT, from.parse().unwrap(), subject, *salt, Moment(now_ms)) == RateVerdict::Send
        };
        (0..times).filter(judge).count()
    }

    #[test]
    fn a_second_s_worth_is_sent_at_once_and_then_at_the_rate() {
        let (rates, a) = (rates(), subject(Outcome::Answer, 1, 1));
        assert_eq!(sent(&rates, "192.0.2.1", a, 10, 1_000), 10);
        assert_eq!(sent(&rates, "192.0.2.1", a, 1, 1_000), 0);
        // Ten a second for ten seconds, none too many.
        let found: usize = (0..100).map(|step| sent(&rates, "192.0.2.1", a, 1, 1_200 + 100 * step)).sum();
        assert_eq!(found, 100);
    }

    #[test]
    fn who_floods_is_limited_until_the_window_has_passed() {
        let (rates, a) = (rates(), subject(Outcome::Answer, 1, 1));
        assert_eq!(sent(&rates, "192.0.2.1", a, 1_000, 1_000), 10);
        let found: usize = (1..=100).map(|step| sent(&rates, "192.0.2.1", a, 100, 1_000 + 100 * step)).sum();
        assert_eq!(found, 0);
        assert_eq!(sent(&rates, "192.0.2.1", a, 1, 11_000 + 3_900), 0);
        assert_eq!(sent(&rates, "192.0.2.1", a, 100, 11_000 + 6_000), 10);
    }

    #[test]
    fn a_network_counts_as_one_client() {
        let (rates, a) = (rates(), subject(Outcome::Answer, 1, 1));
        assert_eq!(sent(&rates, "192.0.2.1", a, 10, 0), 10);
        assert_eq!(sent(&rates, "192.0.2.255", a, 10, 0), 0);
        assert_eq!(sent(&rates, "::ffff:192.0.2.7", a, 10, 0), 0);
        assert_eq!(sent(&rates, "192.0.3.1", a, 10, 0), 10);
        assert_eq!(sent(&rates, "2001:db8:0:1::1", a, 10, 0), 10);
        assert_eq!(sent(&rates, "2001:db8:0:ff::1", a, 10, 0), 0);
        assert_eq!(sent(&rates, "2001:db8:0:100::1", a, 10, 0), 10);
    }

    #[test]
    fn names_and_types_count_apart_and_denials_by_zone() {
        let (rates, resolver) = (rates(), "192.0.2.1");
        for (outcome, node, qtype, expected) in [
            (Outcome::Answer, 1, 1, 10),
            (Outcome::Answer, 1, 28, 10),
            (Outcome::Answer, 2, 1, 10),
            (Outcome::Steered, 2, 1, 0),
            (Outcome::NoData, 2, 1, 10),
            (Outcome::NoData, 2, 28, 0),
            (Outcome::NxDomain, 3, 1, 10),
            (Outcome::NxDomain, 4, 28, 0),
            (Outcome::Referral, 5, 1, 10),
            (Outcome::Referral, 5, 16, 0),
            (Outcome::Refused, 0, 1, 10),
            (Outcome::Rejected, 0, 1, 0),
        ] {
            let found = sent(&rates, resolver, subject(outcome, node, qtype), 10, 50);
            assert_eq!(found, expected, "{outcome:?} {node} {qtype}");
        }
    }

    #[test]
    fn one_of_the_limited_slips_through() {
        let (rates, a) = (rates(), subject(Outcome::Answer, 1, 1));
        for (slip, range) in [(0, 0..=0), (1, 10_000..=10_000), (2, 4_000..=6_000), (10, 500..=1_500)] {
            let limit = RateLimit { slip, ..LIMIT };
            let judge =
                |salt: u16| rates.judge(&limit, [192, 0, 2, 1].into(), a, salt, Moment(u64::from(slip) * 60_000));
            (0..10).for_each(|salt| assert_eq!(judge(salt), RateVerdict::Send));
            let slipped = (0..10_000).filter(|salt| judge(*salt) == RateVerdict::Slip).count();
            assert!(range.contains(&slipped), "{slipped} with {slip}");
        }
    }

    #[test]
    fn a_client_that_counts_its_queries_slips_as_often_as_others() {
        let (a, limit) = (subject(Outcome::Answer, 1, 1), RateLimit { slip: 2, responses_per_second: 1, ..LIMIT });
        for key in 1..=500_u64 {
            let rates = Rates::new([key.wrapping_mul(0x9e37_79b9_7f4a_7c15), key.wrapping_mul(0xd1b5_4a32_d192_ed03)]);
            rates.prepare();
            let judge = |salt| rates.judge(&limit, [192, 0, 2, 1].into(), a, salt, Moment(60_000));
            assert_eq!(judge(0), RateVerdict::Send);
            let slipped = (1..=40).filter(|number| judge(2 * number) == RateVerdict::Slip).count();
            assert!((5..=35).contains(&slipped), "{slipped} of 40 with {key}");
        }
    }

    #[test]
    fn a_flood_of_networks_does_not_free_the_worst() {
        let (rates, a) = (rates(), subject(Outcome::Answer, 1, 1));
        assert_eq!(sent(&rates, "192.0.2.1", a, 1_000, 0), 10);
        for network in 0..2_000_000u32 {
            let resolver = IpAddr::from((network << 8).to_be_bytes());
            rates.judge(&LIMIT, resolver, a, 0, Moment(1));
        }
        assert_eq!(sent(&rates, "192.0.2.1", a, 1_000, 2), 0);
    }

    #[test]
    fn without_a_table_nothing_is_limited() {
        let rates = Rates::new([1, 2]);
        assert_eq!(sent(&rates, "192.0.2.1", subject(Outcome::Answer, 1, 1), 1_000, 0), 1_000);
    }
}
