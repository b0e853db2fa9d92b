//! The configuration that is served: its file, its digest, and the outcomes of reloads.
//!
//! **Invariants**: written by the service alone, at its start and at each reload; a refused reload is the last one until
//! another succeeds or is refused.
//! **Not here**: reloading and the metrics (`serve`), the text of `pharos status` (`cli`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::base::lock::locked;
use crate::base::time::UnixTime;

/// The outcome of a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reloaded {
    /// The end of the reload.
    pub(crate) at: UnixTime,
    /// The first error, or the parts that are served as before; `None` if all of the new configuration is served.
    pub(crate) refused: Option<String>,
    /// True if the new configuration is served all the same, without that part.
    pub(crate) is_partial: bool,
}

/// The configuration that is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServedConfig {
    /// The time at which it was taken over, by the start or a reload.
    pub(crate) since: UnixTime,
    /// SHA-256 of its files, 64 hexadecimal digits.
    pub(crate) digest: Arc<str>,
    /// The keys that have other values than at the start, and get them by a restart alone.
    pub(crate) restart_keys: Arc<[String]>,
    /// True if the admin listener has a token.
    pub(crate) has_token: bool,
    /// The share of clients that a change of each source may move, as an operator writes it. A source without a limit is left out.
    pub(crate) guards: BTreeMap<Arc<str>, String>,
}

/// The file of the configuration, and its reloads.
#[derive(Debug)]
pub(crate) struct ReloadHistory {
    /// The path of the configuration.
    pub(crate) config: String,
    state: Mutex<HistoryState>,
}

#[derive(Debug)]
struct HistoryState {
    served: ServedConfig,
    last: Option<Reloaded>,
    refused: u64,
}

impl ReloadHistory {
    /// The history of a configuration that was not reloaded yet.
    pub(crate) fn new(config: String, served: ServedConfig) -> Self {
        ReloadHistory { config, state: Mutex::new(HistoryState { served, last: None, refused: 0 }) }
    }

    /// Notes a reload whose configuration is served. `refused` names the parts of it that are refused and served as before.
    pub(crate) fn note_served(&self, served: ServedConfig, refused: Option<String>) {
        let mut state = locked(&self.state);
        state.refused += u64::from(refused.is_some());
        state.last = Some(Reloaded { at: served.since, is_partial: refused.is_some(), refused });
        state.served = served;
    }

    /// Notes a reload that changed nothing, with its first error.
    pub(crate) fn note_refused(&self, at: UnixTime, error: String) {
        let mut state = locked(&self.state);
        state.last = Some(Reloaded { at, refused: Some(error), is_partial: false });
        state.refused += 1;
    }

    /// The last reload; `None` before the first one.
    pub(crate) fn last(&self) -> Option<Reloaded> {
        locked(&self.state).last.clone()
    }

    /// The configuration that is served.
    pub(crate) fn served(&self) -> ServedConfig {
        locked(&self.state).served.clone()
    }

    /// The number of refused reloads.
    pub(crate) fn refused(&self) -> u64 {
        locked(&self.state).refused
    }
}
