//! The queue of dynamic updates between the listeners and the service of ACME challenges.
//!
//! **Invariants**: a listener never waits for a place in the queue.
//! **Not here**: the decision about an update ([`crate::wire::update`]).

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::base::tsig::{Key, SentAlgorithm};

use crate::snapshot::Snapshot;
use crate::wire::Summary;
use crate::wire::update::ReceivedUpdate;

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

/// The most notices of other algorithms that wait. Any sender can cause one, so that all but a few are dropped.
const MAX_NOTICES: usize = 4;

/// The sender of updates to the service.
#[derive(Clone, Debug)]
pub(crate) struct UpdateQueue {
    updates: mpsc::Sender<Box<PendingUpdate>>,
    algorithms: mpsc::Sender<(Arc<Key>, SentAlgorithm)>,
}

/// The receiver of updates.
pub(crate) struct UpdateInbox {
    /// Updates by credentials.
    pub(crate) updates: mpsc::Receiver<Box<PendingUpdate>>,
    /// Keys that messages name with another algorithm. The messages may be forged.
    pub(crate) algorithms: mpsc::Receiver<(Arc<Key>, SentAlgorithm)>,
}

/// The sender and the receiver of updates.
pub(crate) fn update_queue() -> (UpdateQueue, UpdateInbox) {
    let (updates, updates_inbox) = mpsc::channel(MAX_UPDATES);
    let (algorithms, algorithms_inbox) = mpsc::channel(MAX_NOTICES);
    (UpdateQueue { updates, algorithms }, UpdateInbox { updates: updates_inbox, algorithms: algorithms_inbox })
}

impl UpdateQueue {
    /// Says that a message names a key with another algorithm; never waits.
    pub(crate) fn tell(&self, key: &Arc<Key>, algorithm: SentAlgorithm) {
        let _ = self.algorithms.try_send((key.clone(), algorithm));
    }

    /// Passes an update to the service; gives it back if the queue is full, or no service runs.
    pub(crate) fn offer(&self, pending: Box<PendingUpdate>) -> Result<(), Box<PendingUpdate>> {
        self.updates.try_send(pending).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(pending) | mpsc::error::TrySendError::Closed(pending) => pending,
        })
    }
}
