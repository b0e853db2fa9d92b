//! The clocks: the monotonic one as [`Moment`]s since the process started, the civil one as [`UnixTime`].

use std::time::{Instant, SystemTime};

use rustls::pki_types;

use crate::base::time::{Moment, Now, UnixTime};

/// A clock that never goes back; copies of it agree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts the clock at moment 0.
    pub(crate) fn start() -> Self {
        Clock { start: Instant::now() }
    }

    /// The time of day, for certificates: their dates come from other machines.
    pub(crate) fn unix() -> pki_types::UnixTime {
        pki_types::UnixTime::now()
    }

    /// The time of day, in seconds.
    pub(crate) fn civil() -> UnixTime {
        UnixTime(Self::unix().as_secs())
    }

    /// The time of day, in milliseconds since 1970.
    pub(crate) fn civil_millis() -> u64 {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
    }

    /// The time of day, in nanoseconds since 1970.
    pub(crate) fn civil_nanos() -> u64 {
        // 64 bits suffice until 2554.
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
    }

    /// The moment it is.
    #[inline]
    pub(crate) fn now(&self) -> Moment {
        Moment(self.start.elapsed().as_millis() as u64)
    }

    /// The times of both clocks.
    #[inline]
    pub(crate) fn read(&self) -> Now {
        Now { monotonic: self.now(), unix: Self::civil() }
    }
}
