//! Hybrid time: the order of changes at servers whose clocks differ.
//!
//! A change is later than every change that its server knew of, whatever the clocks say. Changes that did not know of each
//! other are ordered by the clocks of their servers.
//!
//! **Invariants**: two changes of one server never have the same time, and later changes have later times, as long as the
//! server keeps its last time over restarts.

use std::sync::Arc;

/// The time of a change. The order of the fields is that of changes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HybridTime {
    /// The civil clock of the server, in milliseconds since 1970, or the time of a change that the server knew of, if that was
    /// later.
    pub(crate) ms: u64,
    /// The number of changes with the same `ms` that the server knew of.
    pub(crate) count: u32,
    /// The name of the server, which decides between changes that are otherwise equal.
    pub(crate) server: Arc<str>,
}

impl HybridTime {
    /// The time of a change at a server that knows `last` as the latest change.
    pub(crate) fn after(last: Option<&HybridTime>, now_ms: u64, server: &Arc<str>) -> Self {
        let (ms, count) = match last {
            Some(last) if last.ms >= now_ms => match last.count.checked_add(1) {
                Some(count) => (last.ms, count),
                None => (last.ms + 1, 0),
            },
            _ => (now_ms, 0),
        };
        HybridTime { ms, count, server: server.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_later_than_those_its_server_knew_of() {
        let (here, there): (Arc<str>, Arc<str>) = ("b".into(), "a".into());
        let first = HybridTime::after(None, 5000, &here);
        // The other clock is slow.
        let second = HybridTime::after(Some(&first), 1000, &there);
        assert!(second > first);
        assert_eq!((second.ms, second.count), (5000, 1));
        let third = HybridTime::after(Some(&second), 7000, &there);
        assert_eq!((third.ms, third.count), (7000, 0));
        let full = HybridTime { count: u32::MAX, ..third };
        assert!(HybridTime::after(Some(&full), 0, &there) > full);
    }
}
