//! Requests of an operator to reload, from the service that takes them to the one that reloads.
//!
//! **Invariants**: every request is answered with the outcome of a reload that began after it, or its sender learns that the
//! process is about to end.
//! **Not here**: reloading (serve), authorization (control).

use super::requests::{RequestInbox, Requests, ServiceRequest};
use crate::base::diagnostic::Diagnostic;
use crate::base::share::Share;
use crate::base::time::Generation;

/// The terms of a reload that an operator asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct ReloadTerms {
    /// True to check and compare alone: nothing new is served.
    pub(crate) is_dry: bool,
    /// The share of clients that may move, instead of the limits of `[guard]`.
    pub(crate) allow_moved: Option<Share>,
}

/// A request of an operator.
pub(crate) type ReloadRequest = ServiceRequest<ReloadTerms, ReloadOutcome>;

/// The receiver of requests.
pub(crate) type ReloadInbox = RequestInbox<ReloadTerms, ReloadOutcome>;

/// The sender of requests.
pub(crate) type ReloadRequests = Requests<ReloadTerms, ReloadOutcome>;

/// The outcome of a reload. The default is a refusal without a reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReloadOutcome {
    /// True if the new configuration is served; otherwise the one before it is.
    pub(crate) is_accepted: bool,
    /// A sentence for each part of an accepted configuration that is refused, and served as before.
    pub(crate) kept: Vec<String>,
    /// True if nothing new is served, because the request was to compare alone.
    pub(crate) is_dry: bool,
    /// The generation that is served.
    pub(crate) generation: Generation,
    /// The problems: warnings, and errors if it is refused.
    pub(crate) problems: Vec<Diagnostic>,
    /// A sentence for each thing that differs from the configuration before.
    pub(crate) changes: Vec<String>,
    /// A sentence for each change that an operator should look at.
    pub(crate) remarks: Vec<String>,
    /// The keys whose new values take a restart.
    pub(crate) restart_keys: Vec<String>,
}

impl ReloadOutcome {
    /// True if the configuration, or a part of it, is not served.
    pub(crate) fn is_refused(&self) -> bool {
        !self.is_accepted || !self.kept.is_empty()
    }
}
