//! Histograms: how long things take, in buckets that grow fourfold from 16 µs to 17 s.
//!
//! The same buckets for all: a question is answered in microseconds, a probe of a far mirror in a second, and who compares
//! them needs no other scale. Four buckets a decade and a half suffice to see that something has become slow.
//!
//! **Not here**: what is timed, which is for whoever holds one.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The upper bounds, in microseconds.
pub const BOUNDS_US: [u64; 11] = [16, 64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216];

/// The buckets: one for each bound, and one for what is beyond.
pub const BUCKETS: usize = BOUNDS_US.len() + 1;

/// The bucket of a length of time.
#[inline]
pub fn bucket(us: u64) -> usize {
    // 4^2 = 16 is the first bound; two bits more are the next.
    if us <= BOUNDS_US[0] { 0 } else { ((((us - 1).ilog2() - 4) / 2 + 1) as usize).min(BUCKETS - 1) }
}

/// A length of time in whole microseconds.
#[inline]
pub fn micros(time: Duration) -> u64 {
    time.as_micros() as u64
}

/// How often things took how long.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum_us: AtomicU64,
}

impl Histogram {
    /// Something took so long.
    pub fn observe(&self, time: Duration) {
        let us = micros(time);
        self.buckets[bucket(us)].fetch_add(1, Relaxed);
        self.sum_us.fetch_add(us, Relaxed);
    }

    /// How often each bucket was hit, and the sum of all, in microseconds.
    pub fn read(&self) -> ([u64; BUCKETS], u64) {
        (self.buckets.each_ref().map(|bucket| bucket.load(Relaxed)), self.sum_us.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_the_first_bucket_whose_bound_it_does_not_exceed() {
        let brute = |us: u64| BOUNDS_US.iter().position(|bound| us <= *bound).unwrap_or(BUCKETS - 1);
        let near = BOUNDS_US.iter().flat_map(|bound| [bound - 1, *bound, bound + 1]);
        for us in (0..5_000).chain(near).chain([u64::MAX]) {
            assert_eq!(bucket(us), brute(us), "{us}");
        }
    }
}
