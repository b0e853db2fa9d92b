//! Requests from one service to another, which answers each.
//!
//! **Invariants**: every request is answered, or its sender learns that the process is about to end.
//! **Not here**: the requests ([`super::ReloadTerms`], [`super::SourceCandidate`] and others).

use tokio::sync::{mpsc, oneshot};

/// Requests that may wait: operators are few, and few sources are fetched at once.
const MAX_WAITING: usize = 16;

/// A request, as it arrives.
#[derive(Debug)]
pub(crate) struct ServiceRequest<Q, A> {
    /// The request.
    pub(crate) request: Q,
    /// The sender of the answer.
    pub(crate) reply: oneshot::Sender<A>,
}

/// The receiver of requests.
pub(crate) type RequestInbox<Q, A> = mpsc::Receiver<ServiceRequest<Q, A>>;

/// The sender of requests.
#[derive(Debug)]
pub(crate) struct Requests<Q, A>(mpsc::Sender<ServiceRequest<Q, A>>);

impl<Q, A> Clone for Requests<Q, A> {
    fn clone(&self) -> Self {
        Requests(self.0.clone())
    }
}

/// The sender and the receiver of requests.
pub(crate) fn requests<Q, A>() -> (Requests<Q, A>, RequestInbox<Q, A>) {
    let (sender, receiver) = mpsc::channel(MAX_WAITING);
    (Requests(sender), receiver)
}

impl<Q, A> Requests<Q, A> {
    /// Makes a request, and waits for its answer. `None` if the process is about to end, or answers no such requests.
    pub(crate) async fn ask(&self, request: Q) -> Option<A> {
        let (reply, answer) = oneshot::channel();
        self.0.send(ServiceRequest { request, reply }).await.ok()?;
        answer.await.ok()
    }
}
