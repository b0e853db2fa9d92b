//! The configuration that is served: its file, and the outcome of the last reload.
//!
//! **Invariants**: written by the service alone, at each reload.
//! **Not here**: reloading (`serve`), the text of `pharos status` (`cli`).

use std::sync::{Mutex, PoisonError};

use crate::base::time::UnixTime;

/// The outcome of a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// The end of the reload.
    pub at: UnixTime,
    /// The first error, with its place; `None` if the new configuration is served.
    pub refused: Option<String>,
}

/// The file of the configuration, and the last reload.
#[derive(Debug, Default)]
pub struct History {
    /// The path of the configuration.
    pub config: String,
    last: Mutex<Option<Reloaded>>,
}

impl History {
    /// The history of a configuration that was not reloaded yet.
    pub fn new(config: String) -> Self {
        History { config, last: Mutex::default() }
    }

    /// Notes the outcome of a reload.
    pub fn note(&self, reloaded: Reloaded) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(reloaded);
    }

    /// The last reload; `None` before the first one.
    pub fn last(&self) -> Option<Reloaded> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
