//! The monotonic clock, as [`Moment`]s since the process started.

use std::time::Instant;

use rustls::pki_types::UnixTime;

use crate::base::time::Moment;

/// A clock that never goes back; copies of it agree.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts the clock at moment 0.
    pub fn start() -> Self {
        Clock { start: Instant::now() }
    }

    /// The time of day, for what is dated outside: certificates.
    pub fn unix() -> UnixTime {
        UnixTime::now()
    }

    /// The moment it is.
    #[inline]
    pub fn now(&self) -> Moment {
        Moment(self.start.elapsed().as_millis() as u64)
    }
}
