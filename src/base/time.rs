//! Time for the pure layers: always an argument, never read.

/// A time to live, in seconds (RFC 2181 §8: 0 to 2^31 - 1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ttl(pub u32);

impl Ttl {
    /// Maximum TTL (RFC 2181 §8).
    pub(crate) const MAX: Ttl = Ttl(0x7fff_ffff);
}

/// The number of a published snapshot, counted from 1 since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation(pub u64);

/// A moment, in milliseconds of a monotonic clock that starts with the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

/// A timestamp of the civil clock, in seconds since 1970 (UTC), as in signatures and cookies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixTime(pub u64);

/// Readings of both clocks: the monotonic one measures durations; the civil one is shared with other hosts and may be set
/// back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// The monotonic clock.
    pub monotonic: Moment,
    /// The civil clock.
    pub unix: UnixTime,
}
