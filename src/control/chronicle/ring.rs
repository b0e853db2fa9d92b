//! The last 24 hours in steps of 15 minutes: the answers, and the states that each mirror had.
//!
//! **Invariants**: pure; time is an argument. A step has the states that were seen in it; a step in which nothing was seen has none.
//! The size follows from the number of configured mirrors.
//! **Not here**: observing ([`super`]), the file ([`super::keep`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::time::UnixTime;

/// The number of steps.
pub(in crate::control) const STEPS: usize = 96;

/// The length of a step, in seconds.
pub(in crate::control) const STEP_SECS: u64 = 900;

/// A state in which a mirror is seen. The number is a bit of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::control) enum SeenState {
    /// An address is up.
    Up = 1,
    /// An address is up, and a certificate ends soon.
    Expiring = 2,
    /// No address answers.
    Down = 4,
    /// No address is up, and one serves something wrong.
    Bad = 8,
    /// An override is in force.
    Overridden = 16,
}

/// The states that a mirror had in each step, the oldest step first.
pub(super) type SeenSteps = [u8; STEPS];

/// The last 24 hours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::control) struct Ring {
    /// The number of the current step: its begin, divided by its length.
    pub(super) step: u64,
    /// The answers in each step, the oldest first; `None` for steps in which nothing was observed.
    pub(in crate::control) answers: [Option<u64>; STEPS],
    /// By mirror.
    pub(super) mirrors: BTreeMap<Arc<str>, SeenSteps>,
    /// The number of answers since the start, when it was last observed.
    pub(super) total: u64,
}

impl Ring {
    /// A ring without observations.
    pub(super) fn new(now: UnixTime) -> Self {
        Ring { step: now.0 / STEP_SECS, answers: [None; STEPS], mirrors: BTreeMap::new(), total: 0 }
    }

    /// Takes an observation: the number of answers since the start, and the state of each mirror; `None` if it is not known.
    /// Mirrors that are not in the list are forgotten.
    pub(super) fn observe(
        &mut self,
        now: UnixTime,
        total: u64,
        states: impl Iterator<Item = (Arc<str>, Option<SeenState>)>,
    ) {
        self.advance(now);
        let more = total.saturating_sub(std::mem::replace(&mut self.total, total));
        *self.answers[STEPS - 1].get_or_insert(0) += more;
        let mut before = std::mem::take(&mut self.mirrors);
        for (name, state) in states {
            let mut steps = before.remove(&name).unwrap_or([0; STEPS]);
            steps[STEPS - 1] |= state.map_or(0, |state| state as u8);
            self.mirrors.insert(name, steps);
        }
    }

    /// Begins the steps until now. If the clock was set back, the steps are those before the new time.
    pub(super) fn advance(&mut self, now: UnixTime) {
        let step = now.0 / STEP_SECS;
        let passed = usize::try_from(step.saturating_sub(self.step)).unwrap_or(STEPS).min(STEPS);
        self.step = step;
        self.answers.rotate_left(passed % STEPS);
        self.answers[STEPS - passed..].fill(None);
        for steps in self.mirrors.values_mut() {
            steps.rotate_left(passed % STEPS);
            steps[STEPS - passed..].fill(0);
        }
    }

    /// The end of the current step.
    pub(in crate::control) fn ends(&self) -> UnixTime {
        UnixTime(self.step.saturating_add(1).saturating_mul(STEP_SECS))
    }

    /// Each mirror with a letter for each step, the oldest first.
    pub(in crate::control) fn letters(&self) -> impl Iterator<Item = (&Arc<str>, String)> {
        self.mirrors.iter().map(|(name, steps)| (name, steps.iter().map(|seen| letter(*seen)).collect()))
    }
}

/// The letter of the worst state in a step.
fn letter(seen: u8) -> char {
    let has = |state: SeenState| seen & state as u8 != 0;
    use SeenState::{Bad, Down, Expiring, Overridden, Up};
    match () {
        () if (has(Bad) || has(Down)) && (has(Up) || has(Expiring)) => 'h',
        () if has(Bad) => 'b',
        () if has(Down) => 'd',
        () if has(Overridden) => 'o',
        () if has(Expiring) => 'w',
        () if has(Up) => 'u',
        () => '-',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(step: u64, seconds: u64) -> UnixTime {
        UnixTime((2_000_000 + step) * STEP_SECS + seconds)
    }

    /// Observes a mirror in a state.
    fn see(ring: &mut Ring, now: UnixTime, total: u64, state: Option<SeenState>) {
        ring.observe(now, total, [("m".into(), state)].into_iter());
    }

    fn end(ring: &Ring, steps: usize) -> String {
        let (_, letters) = ring.letters().next().unwrap();
        assert_eq!(letters.len(), STEPS);
        letters[STEPS - steps..].to_string()
    }

    #[test]
    fn a_step_has_the_worst_state_and_all_answers() {
        let mut ring = Ring::new(at(0, 0));
        see(&mut ring, at(0, 0), 5, Some(SeenState::Up));
        see(&mut ring, at(0, 899), 7, Some(SeenState::Down));
        see(&mut ring, at(1, 0), 10, Some(SeenState::Down));
        see(&mut ring, at(2, 0), 10, Some(SeenState::Bad));
        see(&mut ring, at(2, 1), 10, Some(SeenState::Down));
        see(&mut ring, at(3, 0), 11, Some(SeenState::Expiring));
        see(&mut ring, at(4, 0), 11, Some(SeenState::Overridden));
        see(&mut ring, at(4, 1), 11, Some(SeenState::Up));
        see(&mut ring, at(5, 0), 11, None);
        see(&mut ring, at(7, 0), 12, Some(SeenState::Up));
        assert_eq!(end(&ring, 9), "-hdbwo--u");
        assert_eq!(
            ring.answers[STEPS - 9..],
            [None, Some(7), Some(3), Some(0), Some(1), Some(0), Some(0), None, Some(1)]
        );
        assert_eq!(ring.ends(), at(8, 0));
    }

    #[test]
    fn steps_end_after_a_day_and_a_mirror_that_goes_is_forgotten() {
        let mut ring = Ring::new(at(0, 0));
        see(&mut ring, at(0, 0), 1, Some(SeenState::Down));
        see(&mut ring, at(STEPS as u64 - 1, 0), 1, Some(SeenState::Up));
        assert!(end(&ring, STEPS).starts_with("d-") && end(&ring, 1) == "u");
        see(&mut ring, at(STEPS as u64, 0), 1, Some(SeenState::Up));
        assert!(end(&ring, STEPS).starts_with("--") && end(&ring, 2) == "uu");
        ring.observe(at(STEPS as u64, 1), 1, [("n".into(), Some(SeenState::Up))].into_iter());
        assert_eq!(ring.letters().map(|(name, _)| &**name).collect::<Vec<_>>(), ["n"]);
        // A year later, and with the clock set back.
        ring.observe(at(40_000, 0), 1, [("n".into(), None)].into_iter());
        assert_eq!(end(&ring, STEPS), "-".repeat(STEPS));
        ring.observe(at(7, 0), 1, [("n".into(), Some(SeenState::Up))].into_iter());
        assert_eq!((end(&ring, 2), ring.ends()), ("-u".into(), at(8, 0)));
    }
}
