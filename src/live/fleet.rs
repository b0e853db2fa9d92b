//! The channels between the exchange of a fleet and the services here: views on mirrors, overrides, and requests of operators.
//!
//! **Invariants**: the watcher alone sets this server's view; the exchange alone sets the views of peers.
//! **Not here**: the ruling itself ([`crate::fleet`]).

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use super::requests::{RequestInbox, Requests};
use crate::fleet::{ProbedAddresses, ServerDocument, SharedOverrides};

/// The view of this server.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct OwnProbes {
    /// The addresses that it probes.
    pub(crate) probed: ProbedAddresses,
    /// True if it alone does not reach most of them.
    pub(crate) is_isolated: bool,
}

/// The document of a peer.
#[derive(Clone, Debug)]
pub(crate) struct HeardDocument {
    /// The document.
    pub(crate) document: Arc<ServerDocument>,
    /// The time at which this server got it.
    pub(crate) at: Instant,
}

/// The views of all servers.
#[derive(Debug)]
pub(crate) struct FleetViews {
    /// The view of this server.
    pub(crate) own: watch::Sender<Arc<OwnProbes>>,
    /// The views of the peers that have a vote.
    pub(crate) peers: watch::Sender<Arc<[ProbedAddresses]>>,
    /// The documents of all peers that were heard lately, isolated ones included.
    pub(crate) heard: watch::Sender<Arc<[HeardDocument]>>,
}

impl Default for FleetViews {
    fn default() -> Self {
        let (own, peers) = (watch::Sender::new(Arc::default()), watch::Sender::new(Arc::default()));
        FleetViews { own, peers, heard: watch::Sender::new(Arc::default()) }
    }
}

/// The receiver of changes of other servers. The answer comes once the changes are in force.
pub(crate) type MergeInbox = RequestInbox<SharedOverrides, ()>;

/// The end of the ledger that the exchange has.
#[derive(Debug)]
pub(crate) struct SharedChanges {
    /// All changes that this server knows.
    pub(crate) known: watch::Receiver<Arc<SharedOverrides>>,
    /// Takes the changes of other servers.
    pub(crate) merges: Requests<SharedOverrides, ()>,
    /// The start of this process, in milliseconds since 1970, and later than that of the last process.
    pub(crate) boot: u64,
}

/// The requests of operators that wait until other servers have an override; the exchange looks at the store often meanwhile.
#[derive(Clone, Debug, Default)]
pub(crate) struct Awaiting(pub(crate) watch::Sender<usize>);

/// A request that waits, until it is dropped.
#[derive(Debug)]
pub(crate) struct AwaitingRequest(watch::Sender<usize>);

impl Awaiting {
    /// Begins to wait.
    pub(crate) fn begin(&self) -> AwaitingRequest {
        self.0.send_modify(|count| *count += 1);
        AwaitingRequest(self.0.clone())
    }
}

impl Drop for AwaitingRequest {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// The receiver of requests to forget a server that is gone for good, by its name: its document is removed.
pub(crate) type ForgetInbox = RequestInbox<Arc<str>, Result<(), ForgetError>>;

/// The sender of such requests.
pub(crate) type ForgetRequests = Requests<Arc<str>, Result<(), ForgetError>>;

/// The reason why a server was not forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ForgetError {
    /// No document of the server is known.
    Unknown,
    /// The store failed to remove its document.
    Store(String),
    /// The process is about to end.
    Stopping,
}
