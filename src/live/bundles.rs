//! Bundles of the fleet, from the rollout to the service that loads these as a reload.
//!
//! **Invariants**: each load is answered, or its sender learns that the process is about to end; a bundle is served only after the
//! record of it is kept.
//! **Not here**: loading (`serve`), the order among servers ([`crate::fleet`]), fetching (`sharing`).

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::reloads::ReloadTerms;
use super::requests::Requests;
use crate::base::time::Generation;
use crate::files::Layer;

/// Keeps the record that a bundle is in force.
pub(crate) type KeepBundle = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// A bundle to load.
pub(crate) struct BundleLoad {
    /// Its texts and files.
    pub(crate) layer: Arc<Layer>,
    /// The terms of the reload.
    pub(crate) terms: ReloadTerms,
    /// To be awaited once the bundle has passed, and before it is served.
    pub(crate) keep: KeepBundle,
    /// The sender of the answer.
    pub(crate) reply: oneshot::Sender<BundleOutcome>,
}

impl fmt::Debug for BundleLoad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BundleLoad").field("layer", &self.layer.name).finish_non_exhaustive()
    }
}

/// The outcome of a load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BundleOutcome {
    /// The bundle is served with this generation.
    Accepted(Generation),
    /// It is not served, for this reason.
    Rejected(String),
}

/// The receiver of bundles.
pub(crate) type BundleInbox = mpsc::Receiver<BundleLoad>;

/// The sender of bundles.
pub(crate) type BundleLoads = Requests<BundleLoad>;

impl BundleLoads {
    /// Has a bundle loaded, and waits for the outcome; `None` if the process is about to end.
    pub(crate) async fn ask(&self, layer: Arc<Layer>, terms: ReloadTerms, keep: KeepBundle) -> Option<BundleOutcome> {
        self.answer(|reply| BundleLoad { layer, terms, keep, reply }).await
    }
}
