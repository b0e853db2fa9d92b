//! The queue of dynamic updates between the listeners and the service of ACME challenges.
//!
//! **Invariants**: a listener never waits for a place in the queue.
//! **Not here**: the decision about an update ([`crate::wire::update`]).

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::base::tsig::{Key, SentAlgorithm};
use crate::snapshot::Snapshot;
use crate::wire::Summary;
use crate::wire::transfer::Denial;
use crate::wire::update::{ReceivedUpdate, TokenChange};

/// The most updates that wait. A mirror sends one or two for a renewal, and each takes a write to the disk, some milliseconds.
const MAX_UPDATES: usize = 64;

/// The function that sends a reply to the client, with its summary and the snapshot that it belongs to.
pub(crate) type UpdateReplySender = Box<dyn FnOnce(&[u8], &Summary, &Snapshot) + Send>;

/// An update that waits for its decision.
pub(crate) struct PendingUpdate {
    /// The update.
    pub(crate) update: ReceivedUpdate,
    /// Sends the reply.
    pub(crate) reply: UpdateReplySender,
}

/// Changes by a credential whose password is right, which wait for their decision.
pub(crate) struct PendingChanges {
    /// The name of the credential.
    pub(crate) credential: Arc<str>,
    /// The address of the client.
    pub(crate) address: IpAddr,
    /// The changes, which are made all or none.
    pub(crate) changes: Vec<TokenChange>,
    /// Takes the outcome: success means that the changes are on the disk, served, and known to the other servers.
    pub(crate) reply: Box<dyn FnOnce(Result<(), Denial>) + Send>,
}

/// A request to the service.
pub(crate) enum PendingRequest {
    /// A message over DNS.
    Update(Box<PendingUpdate>),
    /// Changes over HTTP.
    Changes(PendingChanges),
}

/// The queue is full, or no service runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

/// The most notices of other algorithms that wait. Any sender can cause one, so that all but a few are dropped.
const MAX_NOTICES: usize = 4;

/// The sender of updates to the service.
#[derive(Clone, Debug)]
pub(crate) struct UpdateQueue {
    requests: mpsc::Sender<PendingRequest>,
    algorithms: mpsc::Sender<(Arc<Key>, SentAlgorithm)>,
}

/// The receiver of updates.
pub(crate) struct UpdateInbox {
    /// Changes by credentials, and messages of other servers.
    pub(crate) requests: mpsc::Receiver<PendingRequest>,
    /// Keys that messages name with another algorithm. The messages may be forged.
    pub(crate) algorithms: mpsc::Receiver<(Arc<Key>, SentAlgorithm)>,
}

/// The sender and the receiver of updates.
pub(crate) fn update_queue() -> (UpdateQueue, UpdateInbox) {
    let (requests, requests_inbox) = mpsc::channel(MAX_UPDATES);
    let (algorithms, algorithms_inbox) = mpsc::channel(MAX_NOTICES);
    (UpdateQueue { requests, algorithms }, UpdateInbox { requests: requests_inbox, algorithms: algorithms_inbox })
}

impl UpdateQueue {
    /// Says that a message names a key with another algorithm; never waits.
    pub(crate) fn tell(&self, key: &Arc<Key>, algorithm: SentAlgorithm) {
        let _ = self.algorithms.try_send((key.clone(), algorithm));
    }

    /// Passes an update to the service; gives it back if the queue is full, or no service runs.
    pub(crate) fn offer(&self, pending: Box<PendingUpdate>) -> Result<(), Box<PendingUpdate>> {
        match self.requests.try_reserve() {
            Ok(place) => {
                place.send(PendingRequest::Update(pending));
                Ok(())
            }
            Err(_) => Err(pending),
        }
    }

    /// Passes changes to the service.
    pub(crate) fn offer_changes(&self, pending: PendingChanges) -> Result<(), NoRoom> {
        self.requests.try_send(PendingRequest::Changes(pending)).map_err(|_| NoRoom)
    }
}
