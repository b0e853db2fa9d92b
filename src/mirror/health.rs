//! The health of an address from the verdicts of its probes: a state machine with hysteresis.
//!
//! In: verdicts, one per probe of one address, each with its time. Out: a [`Health`]. A healthy address goes down after
//! `fall` bad verdicts in a row, or at once if it serves wrong content. It comes back after `rise` good verdicts in a row,
//! and not before its hold-down has passed. The hold-down doubles if the address goes down again soon after.
//!
//! **Invariants**: pure, time is an argument; never up with fewer than `rise` good verdicts since it went down, never down
//! with fewer than `fall` bad ones in a row, [`Verdict::ContentBad`] excepted; the first verdict decides alone. A [`Memory`]
//! outlives the process: a restart neither brings an address back before its time nor takes one down that has failed once.
//! **Not here**: probing, operators' overrides, choosing ([`crate::steer`]).

use crate::base::time::{Moment, Now, UnixTime};
use crate::base::words::words;

words! {
    /// The result of one probe of one address.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub enum Verdict {
        /// Everything is right.
        Up = "up",
        /// Everything is right, but the certificate ends within the warning window.
        Expiring = "expiring",
        /// It cannot be connected to, or does not speak HTTP.
        Unreachable = "unreachable",
        /// It does not answer in time.
        Slow = "slow",
        /// The handshake fails, or the certificate is not one for the shared name that clients accept.
        TlsBad = "tls-bad",
        /// It serves other bytes than the digest promises, or a page for everything.
        ContentBad = "content-bad",
        /// It does not have the canary.
        Missing = "missing",
        /// It answers that it is overloaded, or fails.
        Overloaded = "overloaded",
        /// It refuses the request: for authentication, for its method, or for another reason.
        Refused = "refused",
    }
}

impl Verdict {
    /// Returns whether it speaks for steering to the address.
    pub(crate) fn is_good(self) -> bool {
        matches!(self, Verdict::Up | Verdict::Expiring)
    }

    /// The order of verdicts from good to bad, for the choice between two.
    pub fn badness(self) -> (Health, bool) {
        (self.health(), self != Verdict::Up)
    }

    /// The health of an address that is down for this reason.
    fn health(self) -> Health {
        match self {
            Verdict::Up | Verdict::Expiring => Health::Up,
            // A mirror that serves badly never ranks behind one that does not answer at all: an overloaded one serves some
            // clients, and a refusal may be meant for the probe alone.
            Verdict::Unreachable | Verdict::Slow | Verdict::Overloaded | Verdict::Refused => Health::Down,
            Verdict::Missing => Health::Missing,
            Verdict::TlsBad | Verdict::ContentBad => Health::Bad,
        }
    }
}

words! {
    /// Health of an address: permission to steer clients to it.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub enum Health {
        /// It may.
        #[default]
        Up = "up",
        /// It is not probed yet: it may be steered to if no address is known to be up.
        Untried = "untried",
        /// It may, but an operator wants clients elsewhere.
        Drained = "drained",
        /// It does not answer, or only with errors, which may be our own fault: it is steered to in panic.
        Down = "down",
        /// It answers, and lacks content that it should have: it is steered to only if nothing better is left.
        Missing = "missing",
        /// It presents or serves something wrong, and fails a pull on every retry: it is steered to only if the answer
        /// would be empty otherwise.
        Bad = "bad",
    }
}

/// The thresholds for going down and coming back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Bad verdicts in a row that take it down.
    pub fall: u8,
    /// Good verdicts in a row that bring it back.
    pub rise: u8,
    /// The least time for which it stays down, in milliseconds.
    pub hold_down_ms: u64,
    /// The longest that the hold-down grows to, in milliseconds; and for how long an address must have been up for the
    /// next hold-down to be the shortest again.
    pub max_hold_down_ms: u64,
}

/// The state of one address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Track {
    /// The last verdict; `None` before the first.
    pub(crate) last: Option<Verdict>,
    state: TrackState,
    /// The hold-down of the last time it went down, in milliseconds; 0 before the first time.
    hold_down_ms: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum TrackState {
    /// Nothing has been observed.
    #[default]
    Unknown,
    Up {
        since: Moment,
        bad: u8,
    },
    Down {
        until: Moment,
        good: u8,
        health: Health,
    },
}

/// The state of an address that is kept over a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    /// The last verdict.
    pub(crate) verdict: Verdict,
    /// The health of the address.
    pub(crate) health: Health,
    /// If it is down, the time until which it stays down at least; if it is up, the time since which it is up.
    pub(crate) moment: UnixTime,
    /// The hold-down of the last time it went down, in milliseconds; 0 before the first time.
    pub hold_down_ms: u64,
}

impl Memory {
    /// The memory of a verdict of which nothing else is known.
    pub(crate) fn of(verdict: Verdict) -> Self {
        Memory { verdict, health: verdict.health(), moment: UnixTime(0), hold_down_ms: 0 }
    }
}

impl Track {
    /// Restores the state of the last run, until there is a new verdict.
    ///
    /// The civil clock may have been set meanwhile, so an address stays down no longer than the longest hold-down.
    pub(crate) fn remembered(memory: Memory, now: Now, thresholds: &Thresholds) -> Self {
        let Memory { verdict, health, moment, hold_down_ms } = memory;
        let longest_ms = thresholds.max_hold_down_ms;
        let (state, forgets) = match health {
            Health::Up => {
                let was_up_ms = now.unix.0.saturating_sub(moment.0).saturating_mul(1000);
                (TrackState::Up { since: now.monotonic, bad: 0 }, was_up_ms >= longest_ms)
            }
            health => {
                let left_ms = moment.0.saturating_sub(now.unix.0).saturating_mul(1000).min(longest_ms);
                let until = Moment(now.monotonic.0.saturating_add(left_ms));
                (TrackState::Down { until, good: 0, health }, false)
            }
        };
        Track { last: Some(verdict), state, hold_down_ms: if forgets { 0 } else { hold_down_ms.min(longest_ms) } }
    }

    /// The state to keep for the next run; `None` before the first verdict.
    pub(crate) fn memory(&self, now: Now) -> Option<Memory> {
        let verdict = self.last?;
        let unix = |moment: Moment| {
            let passed = now.monotonic.0.saturating_sub(moment.0) / 1000;
            // Rounded up, so that an address stays down to the end of its hold-down.
            let to_come = moment.0.saturating_sub(now.monotonic.0).div_ceil(1000);
            UnixTime(now.unix.0.saturating_sub(passed).saturating_add(to_come))
        };
        let (health, moment) = match self.state {
            TrackState::Unknown => return None,
            TrackState::Up { since, .. } => (Health::Up, unix(since)),
            TrackState::Down { until, health, .. } => (health, unix(until)),
        };
        Some(Memory { verdict, health, moment, hold_down_ms: self.hold_down_ms })
    }

    /// Returns whether the address may be steered to.
    pub fn health(&self) -> Health {
        match self.state {
            TrackState::Unknown => Health::Untried,
            TrackState::Up { .. } => Health::Up,
            TrackState::Down { health, .. } => health,
        }
    }

    /// Returns whether the next probe should come soon: it is failing, or down.
    pub(crate) fn is_in_doubt(&self) -> bool {
        !matches!(self.state, TrackState::Up { bad: 0, .. })
    }

    /// The least time for which its health stays the same, in milliseconds, given probes `every_ms` apart.
    ///
    /// The hold-down is not counted in, which only makes this shorter, and the same from one probe to the next.
    pub fn stable_ms(&self, every_ms: u64, thresholds: &Thresholds) -> u64 {
        let probes = match self.state {
            TrackState::Unknown => 1,
            TrackState::Up { bad, .. } => thresholds.fall.saturating_sub(bad),
            TrackState::Down { good, .. } => thresholds.rise.saturating_sub(good),
        };
        u64::from(probes.max(1)).saturating_mul(every_ms)
    }

    /// The same without its failures, before a verdict of its own; for a track that begins beside this one.
    pub(super) fn without_failures(self) -> Self {
        let state = match self.state {
            TrackState::Up { since, .. } => TrackState::Up { since, bad: 0 },
            state => state,
        };
        Track { last: None, state, ..self }
    }

    /// Takes in the verdict of a probe.
    pub fn observe(&mut self, verdict: Verdict, now: Moment, thresholds: &Thresholds) {
        self.last = Some(verdict);
        self.state = match (self.state, verdict.is_good()) {
            (TrackState::Unknown, true) => TrackState::Up { since: now, bad: 0 },
            // Nothing was steered there on its word yet, so there is nothing to hold down.
            (TrackState::Unknown, false) => TrackState::Down { until: now, good: 0, health: verdict.health() },
            (TrackState::Up { since, .. }, true) => TrackState::Up { since, bad: 0 },
            (TrackState::Up { since, bad }, false) => {
                let bad = bad.saturating_add(1);
                if bad >= thresholds.fall || verdict == Verdict::ContentBad {
                    self.go_down(verdict, since, now, thresholds)
                } else {
                    TrackState::Up { since, bad }
                }
            }
            (TrackState::Down { until, good, health }, true) => {
                let good = good.saturating_add(1);
                if good >= thresholds.rise && now >= until {
                    TrackState::Up { since: now, bad: 0 }
                } else {
                    TrackState::Down { until, good, health }
                }
            }
            (TrackState::Down { until, .. }, false) => TrackState::Down { until, good: 0, health: verdict.health() },
        };
    }

    fn go_down(&mut self, verdict: Verdict, up_since: Moment, now: Moment, thresholds: &Thresholds) -> TrackState {
        let was_up_ms = now.0.saturating_sub(up_since.0);
        self.hold_down_ms = if self.hold_down_ms == 0 || was_up_ms >= thresholds.max_hold_down_ms {
            thresholds.hold_down_ms
        } else {
            self.hold_down_ms.saturating_mul(2).min(thresholds.max_hold_down_ms)
        };
        TrackState::Down { until: Moment(now.0.saturating_add(self.hold_down_ms)), good: 0, health: verdict.health() }
    }
}

#[cfg(test)]
mod tests;
