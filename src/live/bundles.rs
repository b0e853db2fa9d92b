//! Bundles of the fleet, from the rollout to the service that loads these as a reload.
//!
//! **Invariants**: each load is answered, or its sender learns that the process is about to end; a bundle is served only after the
//! record of it is kept.
//! **Not here**: loading (`serve`), the order among servers ([`crate::fleet`]), fetching (`sharing`).

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use super::reloads::ReloadTerms;
use super::requests::{RequestInbox, Requests, ServiceRequest};
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
}

/// The outcome of a load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BundleOutcome {
    /// The bundle is served with this generation.
    Accepted(Generation),
    /// It is not served, for this reason.
    Rejected(String),
}

/// A request to load a bundle.
pub(crate) type BundleRequest = ServiceRequest<BundleLoad, BundleOutcome>;

/// The receiver of bundles.
pub(crate) type BundleInbox = RequestInbox<BundleLoad, BundleOutcome>;

/// The sender of bundles.
pub(crate) type BundleLoads = Requests<BundleLoad, BundleOutcome>;
