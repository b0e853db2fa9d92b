//! Counters of requests to mirrors that ask for a blob.
//!
//! **Invariants**: no label comes from a request.
//! **Not here**: asking ([`crate::http`]), the mirrors that have a blob ([`crate::registry`]).

use super::cells::{ByWord, counters};
use super::{Collect as _, Counter, Gauge, MetricsPage};
use crate::base::words::words;
use crate::registry::known::Holding;

words! {
    /// The result of a request to a mirror.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Result {
        /// The mirror has the blob.
        Has = "has",
        /// The mirror lacks the blob.
        Lacks = "lacks",
        /// It redirects clients elsewhere.
        Redirected = "redirected",
        /// It answered with an error.
        Failed = "failed",
        /// The connection to it failed or broke.
        Unreached = "unreached",
        /// It did not answer in time.
        TimedOut = "timed-out",
    }
}

words! {
    /// The reason why a mirror was not asked.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Turned {
        /// The limit on concurrent requests to mirrors is reached.
        Flights = "flights",
        /// The limit on the rate of requests to the mirror is reached.
        Rate = "rate",
        /// The limit on waiting client requests is reached.
        Waiting = "waiting",
    }
}

counters! {
    /// The counters.
    pub struct Blobs {
        "pharos_blob_lookups_total" "Blob requests by the answer of the mirror, and by whether it was known already." {
            pub(crate) known: ByWord<Holding> ["cache" = "hit", "found"],
            pub(crate) waited: ByWord<Holding> ["cache" = "miss", "found"],
            pub(crate) late: Counter ["cache" = "miss", "found" = "late"],
        }
        "pharos_blob_asked_total" "Questions to mirrors for a blob by their result." {
            pub(crate) results: ByWord<Result> ["result"],
        }
        "pharos_canonical_asked_total" "Questions to the canonical registry for signatures, by their result." {
            pub(crate) canonical: ByWord<Result> ["result"],
        }
        "pharos_blob_not_asked_total" "Questions that were over a limit." {
            pub(crate) turned: ByWord<Turned> ["limit"],
        }
        "pharos_blob_flights" "Questions to mirrors under way." { pub flights: Gauge [], }
    }
}

impl Blobs {
    /// The number of requests to the canonical registry with this result.
    pub fn canonical_results(&self, result: Result) -> u64 {
        self.canonical.of(result).value()
    }

    /// The number of requests to mirrors with this result.
    pub fn results(&self, result: Result) -> u64 {
        self.results.of(result).value()
    }

    /// The number of times that a mirror was not asked for this reason.
    pub fn turns(&self, why: Turned) -> u64 {
        self.turned.of(why).value()
    }

    /// Writes the families, with the number of known blobs.
    pub(crate) fn write(&self, page: &mut MetricsPage, held: u64, lacked: u64) {
        self.collect(page);
        page.gauge("pharos_blob_known", "Blobs of which it is known whether a mirror has them.")
            .sample(&[("found", "has")], held)
            .sample(&[("found", "lacks")], lacked);
    }
}
