//! The durations that a primary sets for copies of its zone, and the bounds that a secondary keeps to.
//!
//! **Not here**: the schedule of comparisons (transfer).
//!
//! RFC 1035 §3.3.13, RFC 1912 §2.2.

use std::ops::RangeInclusive;

use super::{Zone, soa_numbers};

/// The timers of an SOA for copies of the zone, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timers {
    /// The duration from a comparison to the next.
    pub(crate) refresh: u32,
    /// The duration from a failed comparison to the next.
    pub(crate) retry: u32,
    /// The duration for which the copy may be used after the last comparison that succeeded.
    pub(crate) expire: u32,
}

/// The bounds of the duration between comparisons of a copy, in seconds: an SOA with 0 would keep both sides busy, and one
/// with years would hide a change from a secondary that gets no NOTIFY.
pub(crate) const REFRESH: RangeInclusive<u32> = 30..=2_419_200;

/// The bounds of the duration from a failed comparison to the next, in seconds.
pub(crate) const RETRY: RangeInclusive<u32> = 5..=1_209_600;

impl Timers {
    /// The durations that a secondary keeps to: within [`REFRESH`] and [`RETRY`], and an expiry that leaves time for a
    /// comparison and for the retry.
    ///
    /// RFC 1912 §2.2: expire is longer than refresh. With refresh raised alone, a copy would expire before it is compared.
    pub(crate) fn bounded(self) -> Timers {
        let refresh = self.refresh.clamp(*REFRESH.start(), *REFRESH.end());
        let retry = self.retry.clamp(*RETRY.start(), *RETRY.end());
        Timers { refresh, retry, expire: self.expire.max(refresh + retry) }
    }
}

impl Zone {
    /// The durations after which copies of the zone are to be compared, and given up (RFC 1035 §3.3.13).
    pub(crate) fn timers(&self) -> Timers {
        let [_, refresh, retry, expire, _] = soa_numbers(self.soa().wire());
        Timers { refresh, retry, expire }
    }
}
