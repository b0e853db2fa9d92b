//! The condition of the store, and its lines of the log.
//!
//! **Invariants**: a loss of the store is one line when it begins, one after an hour, and one when it is over.
//! **Not here**: the calls to the store ([`super::exchange`]).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use crate::base::time::Moment;
use crate::stores::{Store, StoreError};

/// The duration of a loss of the store after which a second line says so.
const REMIND_AFTER: Duration = Duration::from_secs(3600);

/// The condition of the store.
#[derive(Default)]
pub(super) struct StoreCondition {
    /// The last moment at which the store was read and written; `None` before the first.
    pub(super) exchanged: Option<Moment>,
    trouble: Option<StoreTrouble>,
}

/// The loss of the store.
struct StoreTrouble {
    error: Arc<str>,
    since: Instant,
    is_reminded: bool,
}

impl StoreCondition {
    /// The reason why the store cannot be used; `None` if the last round succeeded.
    pub(super) fn trouble(&self) -> Option<Arc<str>> {
        self.trouble.as_ref().map(|trouble| trouble.error.clone())
    }

    /// Notes the outcome of a round that ended at a moment.
    pub(super) fn note(&mut self, store: &Store, outcome: Result<(), StoreError>, now: Moment) {
        match (outcome, &mut self.trouble) {
            (Ok(()), trouble) => {
                self.exchanged = Some(now);
                if trouble.take().is_some() {
                    info!("the store {store} of the fleet is used again");
                }
            }
            (Err(error), None) => {
                warn!("the fleet shares nothing with this server: {error}; answers go on, and overrides work here");
                let error = error.to_string().into();
                self.trouble = Some(StoreTrouble { error, since: Instant::now(), is_reminded: false });
            }
            (Err(error), Some(trouble)) => {
                trouble.error = error.to_string().into();
                if !trouble.is_reminded && trouble.since.elapsed() >= REMIND_AFTER {
                    trouble.is_reminded = true;
                    warn!("the fleet has shared nothing with this server for an hour: {error}");
                }
            }
        }
    }
}
