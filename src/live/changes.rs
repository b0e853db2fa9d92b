//! The changes of the served configuration and its sources that moved clients.
//!
//! **Invariants**: written by the service alone, when the change is published; the lists that it keeps are bounded.
//! **Not here**: counting the clients that move ([`crate::inspect`]), the limits of changes (`serve`).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use crate::base::lock::locked;
use crate::base::time::{Generation, UnixTime};
use crate::inspect::Moves;

/// The most pairs of mirrors that are kept of a horizon and family, the greatest moves first. A page shows a dozen.
const MAX_PAIRS: usize = 100;

/// The cause of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ChangeCause {
    /// A reload of the configuration.
    Reload,
    /// A content of this source that was fetched.
    Feed(Arc<str>),
}

impl fmt::Display for ChangeCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChangeCause::Reload => f.write_str("reload"),
            ChangeCause::Feed(source) => write!(f, "feed {source}"),
        }
    }
}

/// A change that is served.
#[derive(Clone, Debug)]
pub(crate) struct AppliedChange {
    /// The time at which it was published.
    pub(crate) at: UnixTime,
    /// The cause.
    pub(crate) cause: ChangeCause,
    /// The first generation that has it.
    pub(crate) generation: Generation,
    /// The share of clients that it might move, as an operator writes it; `None` if it had no limit.
    pub(crate) guard: Option<String>,
    /// The clients that it moved.
    pub(crate) moves: Moves,
}

/// The last changes. Clones share their state.
#[derive(Clone, Debug, Default)]
pub(crate) struct AppliedChanges(Arc<Mutex<ChangesState>>);

#[derive(Debug, Default)]
struct ChangesState {
    last: Option<Arc<AppliedChange>>,
    /// By source: the addresses of IPv4 that its last change moved.
    by_source: BTreeMap<Arc<str>, u128>,
}

impl AppliedChanges {
    /// Notes a change; one that moved no client does not replace the last one.
    pub(crate) fn note(&self, mut change: AppliedChange) {
        let families = change.moves.horizons.iter_mut().flat_map(|horizon| &mut horizon.families);
        let mut has_moved = false;
        for family in families {
            has_moved |= family.moved_of_all > 0;
            family.by_mirror.truncate(MAX_PAIRS);
            family.by_label = Vec::new();
        }
        change.moves.sources = Vec::new();
        if has_moved {
            locked(&self.0).last = Some(Arc::new(change));
        }
    }

    /// Notes the number of addresses of IPv4 that a new content of a source moved.
    pub(crate) fn note_source(&self, source: &Arc<str>, moved: u128) {
        locked(&self.0).by_source.insert(source.clone(), moved);
    }

    /// Forgets sources that are not configured any more.
    pub(crate) fn retain(&self, is_configured: impl Fn(&str) -> bool) {
        locked(&self.0).by_source.retain(|source, _| is_configured(source));
    }

    /// The last change that moved clients; `None` if none has since the start.
    pub(crate) fn last(&self) -> Option<Arc<AppliedChange>> {
        locked(&self.0).last.clone()
    }

    /// The number of addresses of IPv4 that the last change of each source moved.
    pub(crate) fn by_source(&self) -> BTreeMap<Arc<str>, u128> {
        locked(&self.0).by_source.clone()
    }
}
