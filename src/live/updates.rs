//! The queue of dynamic updates between the listeners and the service of ACME challenges.
//!
//! **Invariants**: a listener never waits for a place in the queue.
//! **Not here**: the decision about an update ([`crate::wire::update`]).

use tokio::sync::mpsc;

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

/// The sender of updates to the service.
#[derive(Clone, Debug)]
pub(crate) struct UpdateQueue(mpsc::Sender<Box<PendingUpdate>>);

/// The sender and the receiver of updates.
pub(crate) fn update_queue() -> (UpdateQueue, mpsc::Receiver<Box<PendingUpdate>>) {
    let (sender, receiver) = mpsc::channel(MAX_UPDATES);
    (UpdateQueue(sender), receiver)
}

impl UpdateQueue {
    /// Passes an update to the service; gives it back if the queue is full, or no service runs.
    pub(crate) fn offer(&self, pending: Box<PendingUpdate>) -> Result<(), Box<PendingUpdate>> {
        self.0.try_send(pending).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(pending) | mpsc::error::TrySendError::Closed(pending) => pending,
        })
    }
}
