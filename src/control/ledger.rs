//! The ledger: the overrides in force, kept on the disk before the operator gets an answer, and ended when their time comes.
//!
//! One task handles the requests in their order: it writes the file, has the change published, writes a line of the
//! log, and answers.
//!
//! **Invariants**: an override that was acknowledged is on the disk and is served; one that could not be kept changes nothing;
//! each override that is set, replaced, removed or ended is one line of the log.
//! **Not here**: permissions, the names of mirrors ([`super::desk`]).

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tracing::info;

use super::shared::SharedLedger;
use super::standing::{OverrideSubject, StandingOverrides};
use super::store;
use crate::base::time::{Generation, UnixTime};
use crate::base::when::rfc3339;
use crate::fleet::{OverrideAction, SharedOverrides};
use crate::live::{MergeInbox, Readiness, ServiceRequest, Stopped, Updates};
use crate::mirror::{Forced, Override, Reason};
use crate::process::state::{RETRY, StateFile};
use crate::snapshot::Change;

/// The most overrides of mirrors in force: one for each mirror that can be configured. Those of removed mirrors count too.
const MAX_ORDERS: usize = crate::config::limits::MAX_ITEMS;

/// Requests that may wait in the queue; further callers wait for a place in it.
pub(super) const MAX_WAITING: usize = 16;

/// The longest time until the ledger notices that the civil clock was set, because overrides end by the civil clock.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// A request about a mirror or the server, with the channel for its outcome.
#[derive(Debug)]
pub(super) struct LedgerEntry {
    pub(super) subject: OverrideSubject,
    pub(super) action: OverrideAction,
    pub(super) reply: oneshot::Sender<Result<OverrideDone, OverrideRefused>>,
}

/// The outcome of a request that was done.
#[derive(Debug)]
pub(super) struct OverrideDone {
    /// The override that was in force before.
    pub(super) before: Option<Override>,
    /// The first snapshot with the change; `None` if nothing changed, or if the override is of the server.
    pub(super) generation: Option<Generation>,
}

/// The reasons why a request changed nothing.
#[derive(Debug)]
pub(super) enum OverrideRefused {
    /// There are [`MAX_ORDERS`] already.
    Full,
    /// The file cannot be written.
    NotKept(io::Error),
    /// The process is about to end.
    Stopping,
}

/// The overrides in force, and the file with a copy of all of them.
///
/// In a fleet the files are written in this order: the overrides in force, then the shared changes. If the process is killed
/// between both, the next start merges them; the change was not acknowledged, so that either outcome is right.
pub(super) struct Ledger<C> {
    pub(super) standing: StandingOverrides,
    pub(super) file: StateFile,
    pub(super) updates: Updates,
    pub(super) readiness: Arc<Readiness>,
    /// The civil clock.
    pub(super) clock: C,
    /// The changes that the servers of a fleet share; `None` for a server alone.
    pub(super) shared: Option<SharedLedger>,
}

impl<C: Fn() -> UnixTime> Ledger<C> {
    /// Handles requests until the last sender is dropped.
    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<LedgerEntry>) {
        let mut merges = self.shared.as_mut().and_then(|shared| shared.merges.take());
        if let Some(shared) = &self.shared {
            // The start of this process is kept, so that the next one has a later start although the clock is set back. If a
            // write fails, it is logged, and the next change writes the file.
            let _ = self.write(&self.standing).await;
            let _ = shared.keep().await;
        }
        loop {
            tokio::select! {
                Some(ServiceRequest { request: theirs, reply }) = next_merge(merges.as_mut()) => {
                    let outcome = self.merge(&theirs).await;
                    // The exchange may have stopped: the changes are in force anyway.
                    let _ = reply.send(());
                    if outcome.is_err() {
                        return;
                    }
                }
                entry = inbox.recv() => {
                    let Some(LedgerEntry { subject, action, reply }) = entry else { return };
                    let outcome = self.take(subject, action).await;
                    // The caller may have stopped waiting: the change is in force anyway.
                    let _ = reply.send(outcome);
                }
                () = self.next_end() => {
                    self.end_due().await;
                    self.catch_up().await;
                }
            }
        }
    }

    async fn take(
        &mut self,
        subject: OverrideSubject,
        action: OverrideAction,
    ) -> Result<OverrideDone, OverrideRefused> {
        let before = self.standing.get(&subject).cloned();
        let (order, line) = match &action {
            OverrideAction::Set(order) => {
                let is_one_more = before.is_none() && subject != OverrideSubject::Server;
                if is_one_more && self.standing.mirrors.len() >= MAX_ORDERS {
                    return Err(OverrideRefused::Full);
                }
                let line = match &before {
                    None => format!("override set: {subject} is {}", told(order)),
                    Some(before) => {
                        format!("override replaced: {subject} is {}; it was {}", told(order), told(before))
                    }
                };
                (Some(order.clone()), line)
            }
            OverrideAction::Removed { who, reason } => {
                // Another server of the fleet may have an override that this one has not heard of.
                let is_shared = self.shared.is_some() && subject != OverrideSubject::Server;
                let was = match &before {
                    Some(before) => format!("was {}", told(before)),
                    None if is_shared => "had none here".to_string(),
                    None => return Ok(OverrideDone { before: None, generation: None }),
                };
                let line = format!("override removed by {who}{}: {subject} {was}", why(reason.as_ref()));
                (None, line)
            }
        };
        let mut after = self.standing.clone();
        after.set(&subject, order.clone());
        self.write(&after).await.map_err(OverrideRefused::NotKept)?;
        if let (OverrideSubject::Mirror(mirror), Some(shared)) = (&subject, &mut self.shared)
            && let Err(error) = shared.change(mirror, action).await
        {
            // The next start must not take up an override that was refused.
            let _ = self.write(&self.standing).await;
            return Err(OverrideRefused::NotKept(error));
        }
        self.standing = after;
        let generation = self.apply(&subject, order).await.map_err(|Stopped| OverrideRefused::Stopping)?;
        info!("{line}");
        Ok(OverrideDone { before, generation })
    }

    /// Takes over the changes of other servers, and applies those that make a difference here.
    async fn merge(&mut self, theirs: &SharedOverrides) -> Result<(), Stopped> {
        let Some(shared) = &mut self.shared else { return Ok(()) };
        let now = (self.clock)();
        let changed = shared.merge(theirs);
        let mut after = self.standing.clone();
        for (mirror, change) in &changed {
            after.set(&OverrideSubject::Mirror(mirror.clone()), change.in_force(now).cloned());
        }
        // If a write fails, the other servers still have the changes, so that these apply here all the same.
        let _ = self.write(&after).await;
        if let Some(shared) = &self.shared {
            let _ = shared.keep().await;
        }
        let before = std::mem::replace(&mut self.standing, after);
        for (mirror, change) in changed {
            let subject = OverrideSubject::Mirror(mirror);
            let (was, is) = (before.get(&subject), self.standing.get(&subject));
            if was == is {
                continue;
            }
            self.apply(&subject, is.cloned()).await?;
            let server = &change.at.server;
            match (&change.action, is) {
                (OverrideAction::Set(_), Some(order)) => {
                    info!("override set at {server}: {subject} is {}", told(order))
                }
                (OverrideAction::Removed { who, reason }, _) => {
                    info!("override removed at {server} by {who}{}: {subject}", why(reason.as_ref()));
                }
                (OverrideAction::Set(order), None) => log_end(&subject, order),
            }
        }
        Ok(())
    }

    /// Ends the overrides whose time has come.
    async fn end_due(&mut self) {
        let due = self.standing.take_over((self.clock)());
        if due.is_empty() {
            return;
        }
        // If the write fails, the next start ends the override by its `until`.
        let _ = self.write(&self.standing).await;
        for (subject, order) in due {
            if self.apply(&subject, None).await.is_err() {
                return;
            }
            log_end(&subject, &order);
        }
    }

    /// Writes the overrides in force if the last write failed: a write that was overdue may have stored a refused override.
    async fn catch_up(&self) {
        if self.file.is_failing() {
            let _ = self.write(&self.standing).await;
        }
    }

    /// Waits until an override may have ended, or a failed write is to be tried again.
    async fn next_end(&self) {
        let next = self.standing.next_end();
        let left = next.map(|next| Duration::from_secs(next.0.saturating_sub((self.clock)().0)).min(LOOK_EVERY));
        let retry = self.file.is_failing().then_some(RETRY);
        let Some(pause) = left.into_iter().chain(retry).min() else { return pending().await };
        tokio::time::sleep(pause).await;
    }

    /// Puts an override into effect, or ends it. Returns the generation that has the change; `None` for the server.
    async fn apply(&self, subject: &OverrideSubject, order: Option<Override>) -> Result<Option<Generation>, Stopped> {
        match subject {
            OverrideSubject::Mirror(name) => {
                self.updates.change_and_wait(Change::Force(name.clone(), order)).await.map(Some)
            }
            OverrideSubject::Server => {
                self.readiness.drain(order);
                Ok(None)
            }
        }
    }

    async fn write(&self, standing: &StandingOverrides) -> io::Result<()> {
        self.file.keep(store::encode(standing)).await
    }
}

/// The next changes of other servers; `None` once none can come.
async fn next_merge(merges: Option<&mut MergeInbox>) -> Option<ServiceRequest<SharedOverrides, ()>> {
    merges?.recv().await
}

/// The reason for the end of an override in a log line.
fn why(reason: Option<&Reason>) -> String {
    reason.map(|reason| format!(", for \"{reason}\"")).unwrap_or_default()
}

/// Logs that an override has ended.
pub(super) fn log_end(subject: &OverrideSubject, order: &Override) {
    info!("override ended: {subject} was {}", told(order));
}

/// An override in a log line.
pub(super) fn told(order: &Override) -> String {
    let what = match order.forced {
        Forced::Drain => "drained",
        forced => forced.as_str(),
    };
    let until = order.until.map_or_else(|| "until removed".to_string(), |until| format!("until {}", rfc3339(until)));
    format!("{what} by override of {} {until}, for \"{}\"", order.who, order.reason)
}

#[cfg(test)]
mod tests;
