//! The schedule of a host's lookups.
//!
//! **Invariants**: after a success, the next lookup starts when the TTL has expired, at most a tenth of the TTL later;
//! after failures, the pauses grow exponentially up to a limit.
//! **Not here**: the bounds of a TTL ([`crate::mirror`]).

use std::ops::RangeInclusive;
use std::time::Duration;

use tokio::time::Instant;

use crate::base::time::Ttl;
use crate::process;

/// The longest pause after a failed lookup, in seconds, unless the least TTL is longer. A repair is noticed within half a
/// minute, and two queries in that time are no load for a resolver.
const MAX_RETRY_SECS: u32 = 30;

/// The greatest delay after the TTL, as a divisor of the TTL, so that the lookups of hosts from one start drift apart.
const JITTER_PART: u32 = 10;

/// The due time of one host.
#[derive(Clone, Debug)]
pub(super) struct HostSchedule {
    /// The time of the next lookup.
    pub(super) due: Instant,
    /// The number of consecutive failures.
    failures: u32,
}

impl HostSchedule {
    /// A schedule that is due at `due`.
    pub(super) fn at(due: Instant) -> Self {
        HostSchedule { due, failures: 0 }
    }

    /// Schedules the next lookup after a success: when the TTL expires, with jitter.
    pub(super) fn succeeded(&mut self, ttl: Ttl, now: Instant) {
        self.failures = 0;
        let ttl = Duration::from_secs(ttl.0.into());
        let part = process::seed() as f64 / u64::MAX as f64;
        self.due = now + ttl + (ttl / JITTER_PART).mul_f64(part);
    }

    /// Schedules the next lookup after a failure or a partial success. The least TTL in `ttl` is the first pause.
    pub(super) fn failed(&mut self, ttl: &RangeInclusive<u32>, now: Instant) {
        let least = *ttl.start();
        let wait = least.saturating_mul(1 << self.failures.min(16)).min(MAX_RETRY_SECS.max(least));
        self.failures = self.failures.saturating_add(1);
        self.due = now + Duration::from_secs(wait.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_host_is_due_when_its_ttl_is_over_and_never_more_than_a_tenth_later() {
        let (now, mut seen) = (Instant::now(), Vec::new());
        for _ in 0..100 {
            let mut schedule = HostSchedule::at(now);
            schedule.succeeded(Ttl(60), now);
            let wait = schedule.due - now;
            assert!((60.0..=66.0).contains(&wait.as_secs_f64()), "{wait:?}");
            seen.push(wait);
        }
        seen.dedup();
        assert!(seen.len() > 50, "they drift apart");
    }

    #[tokio::test(start_paused = true)]
    async fn after_failures_it_is_asked_for_soon_and_then_ever_more_seldom() {
        let (mut now, mut schedule) = (Instant::now(), HostSchedule::at(Instant::now()));
        let mut waits = Vec::new();
        for _ in 0..6 {
            schedule.failed(&(2..=3600), now);
            waits.push((schedule.due - now).as_secs());
            now = schedule.due;
        }
        assert_eq!(waits, [2, 4, 8, 16, 30, 30]);
        schedule.succeeded(Ttl(2), now);
        schedule.failed(&(2..=3600), now);
        assert_eq!((schedule.due - now).as_secs(), 2);
        schedule.failed(&(600..=3600), now);
        assert_eq!((schedule.due - now).as_secs(), 600, "never sooner than the least TTL");
    }
}
