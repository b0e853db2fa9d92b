//! The rate limit for wrong tokens: the first few of a client network in a minute get 401, further ones get 429.
//!
//! **Invariants**: memory is fixed; a right token is never counted, so that a flood of wrong tokens cannot lock an
//! operator out.
//! **Not here**: the check of a token ([`super::token`]).

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::Mutex;

use tokio::time::Instant;

use crate::base::lock::locked;
use crate::registry::network_of;

/// The most wrong tokens of one client network in a minute that get 401. Typing errors of an operator are fewer.
const FREE: u32 = 20;

/// The length of a window, in seconds.
const WINDOW_SECS: u64 = 60;

/// The number of windows: 16 KiB. Two client networks may share one. The only effect is an earlier 429 for a wrong token.
const SLOTS: usize = 1024;

/// The counts of wrong tokens.
#[derive(Debug)]
pub(super) struct Guesses {
    /// Keyed with a secret of the process, so that an attacker cannot choose an address that shares a client's window.
    hasher: RandomState,
    start: Instant,
    slots: Mutex<Box<[GuessSlot]>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct GuessSlot {
    minute: u64,
    count: u32,
}

impl Default for Guesses {
    fn default() -> Self {
        let slots = Mutex::new(vec![GuessSlot::default(); SLOTS].into());
        Guesses { hasher: RandomState::new(), start: Instant::now(), slots }
    }
}

impl Guesses {
    /// Counts a wrong token of a client. If the response is 429, returns the time in seconds until the window ends.
    pub(super) fn count(&self, client: IpAddr) -> Option<u64> {
        let at = self.hasher.hash_one(network_of(client)) as usize % SLOTS;
        let seconds = self.start.elapsed().as_secs();
        let mut slots = locked(&self.slots);
        let slot = &mut slots[at];
        let minute = seconds / WINDOW_SECS + 1;
        if slot.minute != minute {
            *slot = GuessSlot { minute, count: 0 };
        }
        slot.count = slot.count.saturating_add(1);
        (slot.count > FREE).then(|| WINDOW_SECS - seconds % WINDOW_SECS)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_twenty_of_a_client_in_a_minute_are_free() {
        let guesses = Guesses::default();
        let one = "192.0.2.1".parse().unwrap();
        assert!((0..FREE).all(|_| guesses.count(one).is_none()));
        tokio::time::advance(Duration::from_secs(50)).await;
        assert_eq!(guesses.count(one), Some(10));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(guesses.count(one), None);
    }
}
