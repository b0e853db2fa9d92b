//! The configuration that is served: its file, its digest, and the outcomes of reloads.
//!
//! **Invariants**: written by the service alone, at its start and at each reload; a refused reload is the last one until
//! another succeeds or is refused.
//! **Not here**: reloading and the metrics (`serve`), the text of `pharos status` (`cli`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::time::UnixTime;

/// The outcome of a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// The end of the reload.
    pub at: UnixTime,
    /// The first error, with its place; `None` if the new configuration is served.
    pub refused: Option<String>,
}

/// The configuration that is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedConfig {
    /// The time at which it was taken over, by the start or a reload.
    pub since: UnixTime,
    /// SHA-256 of its files, 64 hexadecimal digits.
    pub digest: Arc<str>,
    /// The keys that have other values than at the start, and get them by a restart alone.
    pub restart_keys: Arc<[String]>,
}

/// The file of the configuration, and its reloads.
#[derive(Debug)]
pub struct ReloadHistory {
    /// The path of the configuration.
    pub config: String,
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
    pub fn new(config: String, served: ServedConfig) -> Self {
        ReloadHistory { config, state: Mutex::new(HistoryState { served, last: None, refused: 0 }) }
    }

    /// Notes a reload whose configuration is served.
    pub fn note_served(&self, served: ServedConfig) {
        let mut state = self.state();
        state.last = Some(Reloaded { at: served.since, refused: None });
        state.served = served;
    }

    /// Notes a reload that changed nothing, with its first error.
    pub fn note_refused(&self, at: UnixTime, error: String) {
        let mut state = self.state();
        state.last = Some(Reloaded { at, refused: Some(error) });
        state.refused += 1;
    }

    /// The last reload; `None` before the first one.
    pub fn last(&self) -> Option<Reloaded> {
        self.state().last.clone()
    }

    /// The configuration that is served.
    pub fn served(&self) -> ServedConfig {
        self.state().served.clone()
    }

    /// The number of refused reloads.
    pub fn refused(&self) -> u64 {
        self.state().refused
    }

    fn state(&self) -> MutexGuard<'_, HistoryState> {
        // No code panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
