//! Whether we serve, for those who ask before they send clients here.
//!
//! **Invariants**: from starting over serving to stopping, never back.
//! **Not here**: who is told ([`crate::http`], [`crate::control`]).

use std::sync::atomic::{AtomicU8, Ordering};

/// Whether we serve; it goes from starting over serving to stopping, never back.
#[derive(Debug, Default)]
pub struct Readiness(AtomicU8);

const SERVING: u8 = 1;
const STOPPING: u8 = 2;

impl Readiness {
    /// Everything answers from now on.
    pub fn serve(&self) {
        self.0.fetch_max(SERVING, Ordering::Relaxed);
    }

    /// Nobody should be sent here any more.
    pub fn stop(&self) {
        self.0.fetch_max(STOPPING, Ordering::Relaxed);
    }

    /// Why we are not to be asked; none while we are.
    pub fn obstacle(&self) -> Option<&'static str> {
        match self.0.load(Ordering::Relaxed) {
            0 => Some("starting: the mirrors have not been looked at yet"),
            SERVING => None,
            _ => Some("stopping"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_goes_back() {
        let readiness = Readiness::default();
        assert!(readiness.obstacle().is_some_and(|why| why.starts_with("starting")));
        readiness.serve();
        assert_eq!(readiness.obstacle(), None);
        readiness.stop();
        readiness.serve();
        assert_eq!(readiness.obstacle(), Some("stopping"));
    }
}
