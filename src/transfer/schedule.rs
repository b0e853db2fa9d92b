//! The schedule of one copy of a zone: the time of the next comparison, and the expiry (RFC 1034 §4.3.5).
//!
//! Each wait is shortened by a random part of up to a tenth. Otherwise secondaries that started at the same time, or got
//! the same NOTIFY, would always query at the same time. Waits are never lengthened, so that the timers of the SOA stay
//! upper bounds (RFC 1035 §3.3.13 says when a zone should be refreshed, not to the second).
//!
//! In: moments, a seed, and the outcome of each comparison. Out: the time of the next comparison, and the expiry.
//!
//! **Invariants**: the time is an argument; there is always a next comparison; a copy does not expire before
//! a comparison is due, and after a failure another one.
//! **Not here**: comparing ([`super::fetch`]), waiting ([`super::secondary`]).

use std::time::Duration;

use crate::base::time::Moment;
use crate::zone::{REFRESH, RETRY, Timers};

/// The wait before the second attempt to fetch a first copy, in seconds; doubled with each failure up to ten minutes.
const FIRST_RETRY: u32 = 5;

/// See [`FIRST_RETRY`].
const MAX_FIRST_RETRY: u32 = 600;

/// The least time between a comparison and the next one by NOTIFY, so that a flood of NOTIFY causes at most one query a second.
const NOTIFY_PAUSE: Duration = Duration::from_secs(1);

/// The state of one copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CopySchedule {
    copy: Option<HeldCopy>,
    due: Moment,
    /// The number of failed comparisons since the last success.
    failures: u32,
    last_try: Option<Moment>,
    /// The state of the random numbers.
    dice: u64,
}

/// A copy that was fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct HeldCopy {
    timers: Timers,
    expires: Moment,
}

impl CopySchedule {
    /// Begins with a copy and the time since its last comparison, or without a copy. The first comparison is due at once.
    pub(super) fn new(copy: Option<(Timers, Duration)>, now: Moment, seed: u64) -> Self {
        let copy = copy.map(|(timers, age)| {
            let timers = timers.bounded();
            let left = (u64::from(timers.expire) * 1000).saturating_sub(age.as_millis() as u64);
            HeldCopy { timers, expires: Moment(now.0.saturating_add(left)) }
        });
        CopySchedule { copy, due: now, failures: 0, last_try: None, dice: seed }
    }

    /// The time of the next comparison.
    pub(super) fn due(&self) -> Moment {
        self.due
    }

    /// The expiry of the copy; `None` if there is no copy.
    pub(super) fn expires(&self) -> Option<Moment> {
        self.copy.map(|copy| copy.expires)
    }

    /// True if there is a copy that has not expired.
    pub(super) fn is_usable(&self, now: Moment) -> bool {
        self.copy.is_some_and(|copy| now < copy.expires)
    }

    /// Notes that a primary has the same zone as the copy, which has these timers.
    pub(super) fn succeeded(&mut self, timers: Timers, now: Moment) {
        let timers = timers.bounded();
        let expires = Moment(now.0.saturating_add(u64::from(timers.expire) * 1000));
        self.copy = Some(HeldCopy { timers, expires });
        self.due = self.soon(now, timers.refresh, *REFRESH.start());
        self.failures = 0;
        self.last_try = Some(now);
    }

    /// Notes that the comparison failed with every primary.
    pub(super) fn failed(&mut self, now: Moment) {
        self.due = match self.copy {
            Some(copy) => self.soon(now, copy.timers.retry, *RETRY.start()),
            None => {
                let wait = (FIRST_RETRY << self.failures.min(16)).min(MAX_FIRST_RETRY);
                self.soon(now, wait, FIRST_RETRY)
            }
        };
        self.failures = self.failures.saturating_add(1);
        self.last_try = Some(now);
    }

    /// A random moment in the last tenth of a wait of `seconds`, but not before `least` seconds are over.
    fn soon(&mut self, now: Moment, seconds: u32, least: u32) -> Moment {
        // SplitMix64 is enough, because the numbers need only differ between servers.
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let bits = (self.dice ^ (self.dice >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let (wait, least) = (u64::from(seconds) * 1000, u64::from(least) * 1000);
        let earlier = (wait / 10 * (bits >> 32)) >> 32;
        Moment(now.0.saturating_add((wait - earlier).max(least)))
    }

    /// Notes a NOTIFY (RFC 1996 §4.3): acts as if the refresh were due.
    pub(super) fn notified(&mut self, now: Moment) {
        let earliest = self.last_try.map_or(now, |last| Moment(last.0 + NOTIFY_PAUSE.as_millis() as u64));
        self.due = self.due.min(now.max(earliest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMERS: Timers = Timers { refresh: 3600, retry: 600, expire: 86_400 };

    const SEED: u64 = 7;

    /// Asserts that a moment is in the last tenth of a wait, and returns the moment.
    #[track_caller]
    fn assert_soon(due: Moment, from: u64, wait: u64) -> u64 {
        let range = (from + wait) * 1000 - wait * 100..=(from + wait) * 1000;
        assert!(range.contains(&due.0), "{due:?} is not in {range:?}");
        due.0
    }

    fn seconds(seconds: u64) -> Moment {
        Moment(seconds * 1000)
    }

    #[test]
    fn a_copy_is_refreshed_retried_and_expires() {
        let mut schedule = CopySchedule::new(Some((TIMERS, Duration::ZERO)), seconds(0), SEED);
        assert_eq!((schedule.due(), schedule.is_usable(seconds(0))), (seconds(0), true));
        schedule.succeeded(TIMERS, seconds(10));
        assert_soon(schedule.due(), 10, 3600);
        assert_eq!(schedule.expires(), Some(seconds(86_410)));
        schedule.failed(seconds(3610));
        assert_soon(schedule.due(), 3610, 600);
        schedule.failed(seconds(4210));
        assert_soon(schedule.due(), 4210, 600);
        assert_eq!(schedule.expires(), Some(seconds(86_410)));
        assert!(schedule.is_usable(seconds(86_409)) && !schedule.is_usable(seconds(86_410)));
        schedule.succeeded(TIMERS, seconds(90_000));
        assert!(schedule.is_usable(seconds(90_000)), "an expired copy comes back");
    }

    #[test]
    fn the_age_of_a_copy_counts_from_before_the_start() {
        let schedule = CopySchedule::new(Some((TIMERS, Duration::from_secs(86_000))), seconds(5), SEED);
        assert_eq!(schedule.expires(), Some(seconds(405)));
        let schedule = CopySchedule::new(Some((TIMERS, Duration::from_secs(90_000))), seconds(5), SEED);
        assert!(!schedule.is_usable(seconds(5)));
    }

    #[test]
    fn without_a_copy_tries_get_rarer() {
        let mut schedule = CopySchedule::new(None, seconds(0), SEED);
        let mut waits = Vec::new();
        for _ in 0..9 {
            let now = schedule.due();
            schedule.failed(now);
            waits.push((schedule.due().0 - now.0) as f64 / 1000.0);
        }
        for (wait, most) in waits.iter().zip([5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 600.0, 600.0]) {
            assert!((most * 0.9..=most).contains(wait), "{waits:?}");
        }
        assert_eq!(schedule.expires(), None);
    }

    #[test]
    fn a_notice_brings_the_comparison_forward_but_not_more_than_once_a_second() {
        let mut schedule = CopySchedule::new(None, seconds(0), SEED);
        schedule.succeeded(TIMERS, seconds(0));
        schedule.notified(seconds(100));
        assert_eq!(schedule.due(), seconds(100));
        schedule.succeeded(TIMERS, seconds(100));
        schedule.notified(seconds(100));
        assert_eq!(schedule.due(), seconds(101));
    }

    #[test]
    fn what_an_soa_says_has_bounds() {
        let mut schedule = CopySchedule::new(None, seconds(0), SEED);
        let timers = Timers { refresh: 0, retry: 0, expire: u32::MAX };
        schedule.succeeded(timers, seconds(0));
        assert_eq!(schedule.due(), seconds(30));
        schedule.failed(seconds(30));
        assert_eq!(schedule.due(), seconds(35), "what is drawn does not go below the bounds");
        let timers = Timers { refresh: u32::MAX, retry: u32::MAX, expire: 0 };
        schedule.succeeded(timers, seconds(0));
        assert_soon(schedule.due(), 0, 2_419_200);
        assert!(schedule.is_usable(seconds(0)));
    }

    #[test]
    fn a_copy_does_not_expire_before_it_is_compared_and_tried_again() {
        let timers = Timers { refresh: 2, retry: 1, expire: 6 };
        let mut schedule = CopySchedule::new(None, seconds(0), SEED);
        schedule.succeeded(timers, seconds(0));
        assert_soon(schedule.due(), 0, 30);
        assert_eq!(schedule.expires(), Some(seconds(35)), "refresh is raised to 30, retry to 5");
        let now = schedule.due();
        assert!(schedule.is_usable(now));
        schedule.failed(now);
        assert!(Some(schedule.due()) <= schedule.expires(), "it is tried again no later than at the end");
        // A copy from before the start has the same limits.
        let schedule = CopySchedule::new(Some((timers, Duration::from_secs(34))), seconds(0), SEED);
        assert_eq!(schedule.expires(), Some(seconds(1)));
        // Reasonable timers are not changed.
        assert_eq!(TIMERS.bounded(), TIMERS);
        let most = Timers { refresh: u32::MAX, retry: u32::MAX, expire: u32::MAX };
        assert_eq!(most.bounded(), Timers { refresh: 2_419_200, retry: 1_209_600, expire: u32::MAX });
    }

    #[test]
    fn servers_that_begin_together_do_not_go_on_together() {
        let due = |seed| {
            let mut schedule = CopySchedule::new(None, seconds(0), seed);
            schedule.succeeded(TIMERS, seconds(0));
            schedule.due().0
        };
        let mut dues: Vec<u64> = (0..1000).map(due).collect();
        dues.sort_unstable();
        // The comparisons are due within 360 seconds. No minute of these has more than twice its share.
        for sixty in 54..60u64 {
            let within = dues.iter().filter(|due| **due / 60_000 == sixty).count();
            assert!((80..330).contains(&within), "{within} of 1000 in minute {sixty}");
        }
        assert!(dues[0] >= 3_240_000 && dues[999] <= 3_600_000);
    }
}
