//! Counters of requests to mirrors that ask for a blob.
//!
//! **Invariants**: no label comes from a request.
//! **Not here**: asking ([`crate::http`]), the mirrors that have a blob ([`crate::registry`]).

use super::{Counter, Gauge, MetricsPage};
use crate::registry::known::Holding;

/// The result of a request to a mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Result {
    /// The mirror has the blob.
    Has,
    /// The mirror lacks the blob.
    Lacks,
    /// It redirects clients elsewhere.
    Redirected,
    /// It answered with an error.
    Failed,
    /// The connection to it failed or broke.
    Unreached,
    /// It did not answer in time.
    TimedOut,
}

/// The reason why a mirror was not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turned {
    /// The limit on concurrent requests to mirrors is reached.
    Flights,
    /// The limit on the rate of requests to the mirror is reached.
    Rate,
    /// The limit on waiting client requests is reached.
    Waiting,
}

/// The way in which a request learnt whether a mirror has the blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LookupKind {
    HitHas,
    HitLacks,
    HitUnsaid,
    WaitedHas,
    WaitedLacks,
    WaitedUnsaid,
    Late,
}

const RESULTS: [(Result, &str); 6] = [
    (Result::Has, "has"),
    (Result::Lacks, "lacks"),
    (Result::Redirected, "redirected"),
    (Result::Failed, "failed"),
    (Result::Unreached, "unreached"),
    (Result::TimedOut, "timed-out"),
];
const TURNED: [(Turned, &str); 3] =
    [(Turned::Flights, "flights"), (Turned::Rate, "rate"), (Turned::Waiting, "waiting")];
const LOOKUPS: [(LookupKind, &str, &str); 7] = [
    (LookupKind::HitHas, "hit", "has"),
    (LookupKind::HitLacks, "hit", "lacks"),
    (LookupKind::HitUnsaid, "hit", "unsaid"),
    (LookupKind::WaitedHas, "miss", "has"),
    (LookupKind::WaitedLacks, "miss", "lacks"),
    (LookupKind::WaitedUnsaid, "miss", "unsaid"),
    (LookupKind::Late, "miss", "late"),
];

/// The counters.
#[derive(Debug, Default)]
pub struct Blobs {
    lookups: [Counter; LOOKUPS.len()],
    results: [Counter; RESULTS.len()],
    canonical: [Counter; RESULTS.len()],
    turned: [Counter; TURNED.len()],
    /// Requests to mirrors in flight.
    pub flights: Gauge,
}

impl Blobs {
    /// Counts a client request that found the result known.
    pub(crate) fn known(&self, holding: Holding) {
        self.lookups[holding as usize].increment();
    }

    /// Counts a client request that waited for the result.
    pub(crate) fn waited(&self, holding: Holding) {
        self.lookups[LookupKind::WaitedHas as usize + holding as usize].increment();
    }

    /// Counts a client request that waited for the longest time allowed, and got no result.
    pub(crate) fn late(&self) {
        self.lookups[LookupKind::Late as usize].increment();
    }

    /// Counts a request to a mirror.
    pub(crate) fn asked(&self, result: Result) {
        self.results[result as usize].increment();
    }

    /// Counts a request to the canonical registry.
    pub(crate) fn asked_canonical(&self, result: Result) {
        self.canonical[result as usize].increment();
    }

    /// The number of requests to the canonical registry with this result.
    pub fn canonical_results(&self, result: Result) -> u64 {
        self.canonical[result as usize].value()
    }

    /// Counts that a mirror was not asked.
    pub(crate) fn turned(&self, why: Turned) {
        self.turned[why as usize].increment();
    }

    /// The number of requests to mirrors with this result.
    pub fn results(&self, result: Result) -> u64 {
        self.results[result as usize].value()
    }

    /// The number of times that a mirror was not asked for this reason.
    pub fn turns(&self, why: Turned) -> u64 {
        self.turned[why as usize].value()
    }

    /// Writes the families, with the number of known blobs.
    pub(crate) fn write(&self, page: &mut MetricsPage, held: u64, lacked: u64) {
        let mut family = page.counter(
            "pharos_blob_lookups_total",
            "Blob requests by the answer of the mirror, and by whether it was known already.",
        );
        for (lookup, cache, found) in LOOKUPS {
            family.sample(&[("cache", cache), ("found", found)], self.lookups[lookup as usize].value());
        }
        let mut family = page.counter("pharos_blob_asked_total", "Questions to mirrors for a blob by their result.");
        for (result, word) in RESULTS {
            family.sample(&[("result", word)], self.results(result));
        }
        let mut family = page.counter(
            "pharos_canonical_asked_total",
            "Questions to the canonical registry for signatures, by their result.",
        );
        for (result, word) in RESULTS {
            family.sample(&[("result", word)], self.canonical_results(result));
        }
        let mut family = page.counter("pharos_blob_not_asked_total", "Questions that were over a limit.");
        for (why, word) in TURNED {
            family.sample(&[("limit", word)], self.turns(why));
        }
        page.gauge("pharos_blob_flights", "Questions to mirrors under way.").sample(&[], self.flights.value());
        page.gauge("pharos_blob_known", "Blobs of which it is known whether a mirror has them.")
            .sample(&[("found", "has")], held)
            .sample(&[("found", "lacks")], lacked);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_in_the_order_of_their_kinds() {
        assert!(RESULTS.iter().enumerate().all(|(at, (result, _))| *result as usize == at));
        assert!(TURNED.iter().enumerate().all(|(at, (why, _))| *why as usize == at));
        assert!(LOOKUPS.iter().enumerate().all(|(at, (lookup, ..))| *lookup as usize == at));
        assert_eq!([Holding::Has, Holding::Lacks, Holding::Unsaid].map(|holding| holding as usize), [0, 1, 2]);
    }
}
