//! Requests from one service to another, which answers each.
//!
//! **Invariants**: every request is answered, or its sender learns that the process is about to end.
//! **Not here**: the requests ([`super::ReloadRequest`], [`super::SourceCandidate`] and others).

use tokio::sync::{mpsc, oneshot};

/// Requests that may wait: operators are few, and few sources are fetched at once.
const MAX_WAITING: usize = 16;

/// The sender of requests.
#[derive(Debug)]
pub(crate) struct Requests<Q>(mpsc::Sender<Q>);

impl<Q> Clone for Requests<Q> {
    fn clone(&self) -> Self {
        Requests(self.0.clone())
    }
}

/// The sender and the receiver of requests.
pub(crate) fn requests<Q>() -> (Requests<Q>, mpsc::Receiver<Q>) {
    let (sender, receiver) = mpsc::channel(MAX_WAITING);
    (Requests(sender), receiver)
}

impl<Q> Requests<Q> {
    /// Makes a request with the sender of its answer, and waits for the answer. `None` if the process is about to end.
    pub(super) async fn answer<R>(&self, request: impl FnOnce(oneshot::Sender<R>) -> Q) -> Option<R> {
        let (reply, answer) = oneshot::channel();
        self.0.send(request(reply)).await.ok()?;
        answer.await.ok()
    }
}
