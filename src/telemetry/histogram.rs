//! Histograms of durations, in buckets that grow fourfold from 16 µs to 17 s.
//!
//! All histograms have the same buckets, so that an operator can compare them: a query is answered in microseconds, a probe
//! of a far mirror takes a second. A growth of four is fine enough to show that something became slow.
//!
//! **Not here**: the operations that are timed; the owner of a histogram chooses them.

use std::time::Duration;

use super::Counter;

/// The upper bounds, in microseconds.
pub(crate) const BOUNDS_US: [u64; 11] =
    [16, 64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216];

/// The buckets: one for each bound, and one for longer durations.
pub(crate) const BUCKETS: usize = BOUNDS_US.len() + 1;

/// The bucket of a duration.
#[inline]
pub(crate) fn bucket(us: u64) -> usize {
    // 4^2 = 16 is the first bound; two bits more are the next.
    if us <= BOUNDS_US[0] { 0 } else { ((((us - 1).ilog2() - 4) / 2 + 1) as usize).min(BUCKETS - 1) }
}

/// A duration in whole microseconds.
#[inline]
pub(crate) fn micros(time: Duration) -> u64 {
    time.as_micros() as u64
}

/// A histogram of durations.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    /// The count of each bucket.
    pub(super) buckets: [Counter; BUCKETS],
    /// The sum of all durations in microseconds.
    pub(super) sum_us: Counter,
}

impl Histogram {
    /// Counts a duration.
    pub(crate) fn observe(&self, time: Duration) {
        let us = micros(time);
        self.buckets[bucket(us)].increment();
        self.sum_us.add(us);
    }
}

/// The duration within which a share of all durations lies, in seconds: a bucket's durations count as spread evenly over it.
/// `None` if there is no duration, or if the bound lies in the last bucket, which has no end.
pub(crate) fn quantile(buckets: &[u64; BUCKETS], share: f64) -> Option<f64> {
    let count: u64 = buckets.iter().sum();
    let wanted = count as f64 * share;
    let (mut below, mut begin) = (0.0, 0);
    for (hits, end) in buckets.iter().zip(BOUNDS_US).filter(|_| count > 0) {
        let hits = *hits as f64;
        if hits > 0.0 && below + hits >= wanted {
            let within = (wanted - below) / hits;
            return Some((begin as f64 + within * (end - begin) as f64) / 1e6);
        }
        (below, begin) = (below + hits, end);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_lies_in_the_bucket_that_reaches_it() {
        let mut buckets = [0; BUCKETS];
        assert_eq!(quantile(&buckets, 0.99), None);
        (buckets[0], buckets[2]) = (98, 2);
        assert_eq!(quantile(&buckets, 0.49), Some(8e-6));
        assert_eq!(quantile(&buckets, 0.99), Some((64.0 + 96.0) / 1e6));
        buckets[BUCKETS - 1] = 100;
        assert_eq!(quantile(&buckets, 0.99), None);
    }

    #[test]
    fn a_time_is_in_the_first_bucket_whose_bound_it_does_not_exceed() {
        let brute = |us: u64| BOUNDS_US.iter().position(|bound| us <= *bound).unwrap_or(BUCKETS - 1);
        let near = BOUNDS_US.iter().flat_map(|bound| [bound - 1, *bound, bound + 1]);
        for us in (0..5_000).chain(near).chain([u64::MAX]) {
            assert_eq!(bucket(us), brute(us), "{us}");
        }
    }
}
