//! The times at which a source is fetched.
//!
//! **Invariants**: pure; two servers that start together drift apart; a source that fails is asked ever less often, down to
//! once in [`MAX_BACK_OFF`] intervals.
//! **Not here**: clocks, random numbers (their values are arguments).

use std::time::Duration;

/// The longest pause after failures, in intervals.
const MAX_BACK_OFF: u32 = 6;

/// A copy that is overdue at a start is fetched within this part of the interval: a restart must not make it older by a
/// whole one.
const OVERDUE_PART: u32 = 10;

/// A random number from 0 to 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chance(f64);

impl Chance {
    /// A chance from 64 random bits.
    pub(super) fn of(bits: u64) -> Self {
        Chance((bits >> 11) as f64 / (1u64 << 53) as f64)
    }
}

/// The pause before the first fetch; `age` is the time since the copy was last checked, `None` without a copy.
pub(super) fn first(every: Duration, age: Option<Duration>, chance: Chance) -> Duration {
    match age {
        // A source without content is of no use.
        None => Duration::ZERO,
        Some(age) if age < every => every - age,
        Some(_) => (every / OVERDUE_PART).mul_f64(chance.0),
    }
}

/// The pause after a fetch: the interval, 10 % less or more. `failures` in a row lengthen it, and the publisher may ask for a
/// longer pause.
pub(super) fn next(every: Duration, failures: u32, retry_after: Option<Duration>, chance: Chance) -> Duration {
    let factor = 1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX).min(MAX_BACK_OFF);
    let pause = every.mul_f64(f64::from(factor) * (0.9 + 0.2 * chance.0));
    pause.max(retry_after.unwrap_or_default().min(every * MAX_BACK_OFF))
}

/// The pause after a check of another server, which was `age` ago: to the end of the interval, and of the time by which that server
/// may be later, so that the same server asks the publisher again.
pub(super) fn after_peer(every: Duration, age: Duration) -> Duration {
    every.mul_f64(1.1).saturating_sub(age)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn pauses_grow_with_failures_up_to_six_intervals() {
        let middle = Chance::of(u64::MAX / 2);
        let pauses: Vec<f64> =
            (0..40).map(|failures| next(HOUR, failures, None, middle).as_secs_f64() / 3600.0).collect();
        for (pause, expected) in pauses.iter().zip([1.0, 1.0, 2.0, 4.0, 6.0, 6.0]) {
            assert!((pause - expected).abs() < 0.001, "{pauses:?}");
        }
        assert!(pauses[5..].iter().all(|pause| (pause - 6.0).abs() < 0.001));
        assert_eq!(next(HOUR, 1, Some(3 * HOUR), middle), 3 * HOUR);
        assert_eq!(next(HOUR, 1, Some(300 * HOUR), middle), 6 * HOUR);
    }

    #[test]
    fn an_interval_is_a_tenth_shorter_or_longer() {
        let [least, most] = [0, u64::MAX].map(|bits| next(HOUR, 0, None, Chance::of(bits)).as_secs_f64() / 3600.0);
        assert!((least - 0.9).abs() < 1e-9 && (most - 1.1).abs() < 1e-9, "{least} {most}");
    }

    #[test]
    fn a_server_that_follows_is_due_after_the_one_that_asks() {
        let (asked, latest) = (HOUR / 4, next(HOUR, 0, None, Chance::of(u64::MAX)));
        let due = asked + after_peer(HOUR, asked);
        assert!(due >= latest && due < latest + HOUR / 100, "{due:?}");
        assert!(after_peer(HOUR, HOUR) > Duration::ZERO);
    }

    #[test]
    fn the_first_fetch_is_due_when_the_copy_is() {
        let chance = Chance::of(u64::MAX);
        assert_eq!(first(HOUR, None, chance), Duration::ZERO);
        assert_eq!(first(HOUR, Some(HOUR / 4), chance), HOUR / 4 * 3);
        assert!(first(HOUR, Some(HOUR * 9), chance) <= HOUR / 10);
        assert_eq!(first(HOUR, Some(HOUR * 9), Chance::of(0)), Duration::ZERO);
    }
}
