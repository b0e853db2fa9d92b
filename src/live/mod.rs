//! The snapshot that is served now, and the one writer that replaces it.
//!
//! Services read through [`Published`]. A service that changes the served state sends a [`Change`], or a newly compiled
//! snapshot, to the [`Publisher`], which folds it in and publishes the outcome.
//!
//! **Invariants**: generations only grow, one publication at a time; a reader never waits, and never pays for freeing a
//! snapshot: the publisher keeps a replaced one until it is the last to hold it.
//! **Not here**: applying a change ([`crate::snapshot`]), compiling ([`crate::compile`]).

mod bundles;
mod changes;
mod fleet;
mod history;
mod readiness;
mod refreshes;
mod reloads;
mod requests;
mod retransfer;
mod signing;
mod sources;
mod updates;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};

pub(crate) use bundles::{BundleInbox, BundleLoad, BundleLoads, BundleOutcome, BundleRequest, KeepBundle};
pub(crate) use changes::{AppliedChange, AppliedChanges, ChangeCause};
pub(crate) use fleet::{
    Awaiting, FleetViews, ForgetError, ForgetInbox, ForgetRequests, HeardDocument, MergeInbox, OwnProbes, SharedChanges,
};
pub(crate) use history::{ReloadHistory, ServedConfig};
pub use readiness::Readiness;
pub(crate) use refreshes::{
    CandidateInbox, CandidateRequest, Candidates, FetchOutcome, FetchState, RefreshInbox, RefreshOutcome,
    RefreshRequest, RefreshRequests, SourceCandidate, SourceStates,
};
pub(crate) use reloads::{ReloadInbox, ReloadOutcome, ReloadRequest, ReloadRequests, ReloadTerms};
pub(crate) use requests::{ServiceRequest, requests};
pub(crate) use retransfer::{RetransferError, RetransferInbox, Retransferred, Retransfers};
pub(crate) use signing::SIGNATURES;
pub use signing::Signatory;
pub(crate) use sources::{CopyFault, CopyInbox, CopyOrigin, FleetSources, OwnSource, OwnSources, SourceCopy};
pub(crate) use updates::{
    PendingChanges, PendingRequest, PendingUpdate, UpdateInbox, UpdateQueue, UpdateReplySender, update_queue,
};

use crate::base::name::{Name, NameBuf};
use crate::base::prefix::Family;
use crate::base::time::{Generation, Moment};
use crate::fleet::PanicVotes;
use crate::snapshot::{Change, Next, Snapshot};
use crate::zone::Zone;

/// Updates that may wait to be folded in; senders wait beyond that. A probe round of a thousand mirrors fits.
const MAX_WAITING: usize = 1024;

/// The interval at which the publisher looks whether readers have released replaced snapshots.
///
/// Readers hold one for a batch or a message, so the first look nearly always finds it free; until then it costs memory.
const RETIRE_EVERY: Duration = Duration::from_millis(100);

/// The served snapshot, to be read by any thread.
#[derive(Debug)]
pub struct Published {
    current: ArcSwap<Snapshot>,
    at_ms: AtomicU64,
}

/// A snapshot as one reader sees it, to be let go of before waiting for anything.
pub(crate) type Loaded = Guard<Arc<Snapshot>>;

impl Published {
    /// The snapshot to answer from.
    ///
    /// Taken once per batch, this is a few nanoseconds; a cache per thread would take less, but a thread without
    /// queries would then keep an old snapshot in memory for as long as it is idle.
    #[inline]
    pub(crate) fn load(&self) -> Loaded {
        self.current.load()
    }

    /// The snapshot, to be kept for longer.
    pub fn load_full(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// The time at which it was published.
    pub(crate) fn published_at(&self) -> Moment {
        Moment(self.at_ms.load(Ordering::Relaxed))
    }

    /// Replaces the snapshot; the one that was served until now.
    fn publish(&self, next: Snapshot, now: Moment) -> Arc<Snapshot> {
        self.at_ms.store(now.0, Ordering::Relaxed);
        self.current.swap(Arc::new(next))
    }
}

/// Publishes a first snapshot; its readers' side, the way to change it, and the writer, which is still to be run.
pub fn publish<C>(first: Snapshot, clock: C) -> (Arc<Published>, Updates, Publisher<C>)
where
    C: Fn() -> Moment,
{
    let at_ms = AtomicU64::new(clock().0);
    let published = Arc::new(Published { current: ArcSwap::from_pointee(first), at_ms });
    let (sender, inbox) = mpsc::channel(MAX_WAITING);
    (
        published.clone(),
        Updates(sender),
        Publisher {
            published,
            inbox,
            clock,
            signatory: None,
            retired: Vec::new(),
            panics: BTreeSet::new(),
            free: drop,
            views: None,
        },
    )
}

/// The sender of updates to the publisher.
#[derive(Clone, Debug)]
pub struct Updates(mpsc::Sender<Update>);

#[derive(Debug)]
enum Update {
    Change(Change, Option<oneshot::Sender<Generation>>),
    Replace(Box<Snapshot>, oneshot::Sender<Generation>),
    /// Signed versions of zones, each with the zone that it was made of.
    Signed(Vec<(Arc<Zone>, Arc<Zone>)>),
}

/// The publisher has stopped; the process is about to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("nothing is published any more")
    }
}

impl std::error::Error for Stopped {}

impl Updates {
    /// Folds a change in, soon.
    pub(crate) async fn change(&self, change: Change) -> Result<(), Stopped> {
        self.0.send(Update::Change(change, None)).await.map_err(|_| Stopped)
    }

    /// Folds a change in, and waits until it is published. Returns its generation.
    pub async fn change_and_wait(&self, change: Change) -> Result<Generation, Stopped> {
        let (sender, published) = oneshot::channel();
        self.0.send(Update::Change(change, Some(sender))).await.map_err(|_| Stopped)?;
        published.await.map_err(|_| Stopped)
    }

    /// Publishes signed versions of zones, each with the zone that it was made of; one of a zone that has changed is left out.
    pub(crate) async fn sign(&self, zones: Vec<(Arc<Zone>, Arc<Zone>)>) -> Result<(), Stopped> {
        self.0.send(Update::Signed(zones)).await.map_err(|_| Stopped)
    }

    /// Serves a newly compiled snapshot as the successor of the snapshot that is served then. Returns its generation.
    pub async fn replace(&self, next: Snapshot) -> Result<Generation, Stopped> {
        let (sender, published) = oneshot::channel();
        self.0.send(Update::Replace(Box::new(next), sender)).await.map_err(|_| Stopped)?;
        published.await.map_err(|_| Stopped)
    }
}

/// Notices that may wait; one that finds no room is about a zone that has others waiting, or is sent again (RFC 1996 §3.6).
const MAX_NOTICES: usize = 64;

/// The sender of notices that a zone has changed at its primary. The service that keeps copies of zones receives each.
#[derive(Clone, Debug)]
pub(crate) struct Notices(mpsc::Sender<NameBuf>);

/// The sender and the receiver of notices.
pub(crate) fn notices() -> (Notices, mpsc::Receiver<NameBuf>) {
    let (sender, receiver) = mpsc::channel(MAX_NOTICES);
    (Notices(sender), receiver)
}

impl Notices {
    /// Says that a zone has changed; never waits.
    pub(crate) fn tell(&self, zone: Name<'_>) {
        let _ = self.0.try_send(zone.to_owned());
    }
}

/// The one writer.
#[derive(Debug)]
pub struct Publisher<C> {
    published: Arc<Published>,
    inbox: mpsc::Receiver<Update>,
    clock: C,
    /// Signs zones; `None` leaves them unsigned.
    pub(crate) signatory: Option<Arc<Signatory>>,
    retired: Vec<Arc<Snapshot>>,
    /// Frees replaced snapshots. At first the publisher does that itself; a thread that answers nothing is better.
    pub(crate) free: fn(Vec<Arc<Snapshot>>),
    /// The horizons in panic when it was last logged.
    panics: BTreeSet<(Arc<str>, Family)>,
    /// The views of the fleet, for the lines about panic; `None` for a server alone.
    pub(crate) views: Option<Arc<FleetViews>>,
}

impl<C: Fn() -> Moment> Publisher<C> {
    /// Folds in updates until no sender is left. Updates that wait together are published together.
    pub async fn run(mut self) {
        self.note_panics();
        let mut updates = Vec::new();
        let mut is_signed = true;
        loop {
            tokio::select! {
                count = self.inbox.recv_many(&mut updates, MAX_WAITING) => match count {
                    0 => return,
                    _ => is_signed = self.fold(updates.drain(..)),
                },
                () = std::future::ready(()), if !is_signed => is_signed = self.fold(std::iter::empty()),
                () = tokio::time::sleep(RETIRE_EVERY), if !self.retired.is_empty() => {}
            }
            self.free_retired();
        }
    }

    /// Publishes a snapshot with these updates. Returns false if some steered answers are not signed yet.
    fn fold(&mut self, updates: impl Iterator<Item = Update>) -> bool {
        let now = (self.clock)();
        let mut next = Next::of(&self.published.load());
        let mut waiting = Vec::new();
        for update in updates {
            match update {
                Update::Change(change, reply) => {
                    let generation = next.apply(&change);
                    waiting.extend(reply.map(|reply| (reply, generation)));
                }
                Update::Replace(compiled, reply) => waiting.push((reply, next.replace(*compiled))),
                Update::Signed(zones) => next.sign(zones),
            }
        }
        let (next, is_signed) = match &self.signatory {
            Some(signatory) => signatory.sign(next.derive(), Some(Instant::now() + signing::MAX_WAIT)),
            None => (next.derive(), true),
        };
        self.retired.push(self.published.publish(next, now));
        self.note_panics();
        for (reply, generation) in waiting {
            // The caller may have stopped waiting.
            let _ = reply.send(generation);
        }
        is_signed
    }

    /// Logs which horizons have come into panic, and out of it, since the last time.
    fn note_panics(&mut self) {
        let snapshot = self.published.load();
        let heard = self.views.as_ref().map(|views| views.heard.borrow().clone()).unwrap_or_default();
        let mut panics = BTreeSet::new();
        for (horizon, family) in snapshot.panics() {
            let panic = (Arc::from(&*horizon.name), family);
            if !self.panics.contains(&panic) {
                let views = heard.iter().map(|heard| &heard.document.probed);
                let (name, cause) = (&horizon.name, PanicVotes::of(&snapshot, horizon, family, views).cause());
                warn!(
                    "horizon {name} is in panic for {family}: most of its mirrors do not answer{cause}; mirrors that are down are given"
                );
            }
            panics.insert(panic);
        }
        for (horizon, family) in self.panics.difference(&panics) {
            info!("horizon {horizon} is no longer in panic for {family}");
        }
        self.panics = panics;
    }

    /// Frees the replaced snapshots that no reader holds, away from the threads that answer.
    fn free_retired(&mut self) {
        let (held, free): (Vec<_>, Vec<_>) =
            self.retired.drain(..).partition(|snapshot| Arc::strong_count(snapshot) > 1);
        self.retired = held;
        if !free.is_empty() {
            (self.free)(free);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::UnixTime;
    use crate::mirror::{Forced, Mirror, Override, Reason};
    use crate::snapshot::Compiled;
    use crate::zone::ZoneSet;

    fn snapshot() -> Snapshot {
        let mirror = Mirror::named("one");
        let compiled = Compiled { mirrors: Arc::new([mirror]), ..Compiled::default() };
        Snapshot::new(Generation(1), ZoneSet::new(Vec::new()), compiled)
    }

    #[tokio::test(start_paused = true)]
    async fn changes_and_replacements_are_published_in_order() {
        let begin = tokio::time::Instant::now();
        let (published, updates, publisher) = publish(snapshot(), move || Moment(begin.elapsed().as_millis() as u64));
        assert_eq!((published.load().generation, published.published_at()), (Generation(1), Moment(0)));
        tokio::time::advance(Duration::from_secs(3)).await;
        let running = tokio::spawn(publisher.run());
        let reason = Reason::parse("a test").unwrap();
        let order = Override { forced: Forced::Down, reason, who: "us".into(), since: UnixTime(0), until: None };
        updates.change(Change::Force("one".into(), Some(order.clone()))).await.unwrap();
        let mut another = snapshot();
        another.generation = Generation(77);
        let generation = updates.replace(another).await.unwrap();
        assert_eq!((generation, published.load().generation), (Generation(3), Generation(3)));
        assert!(published.published_at() >= Moment(3000));
        // An override outlives the configuration it was given under.
        assert_eq!(published.load().overrides().get("one"), Some(&order));
        drop(updates);
        running.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_keeps_its_snapshot_and_does_not_free_it() {
        let (published, updates, publisher) = publish(snapshot(), || Moment(0));
        tokio::spawn(publisher.run());
        let (seen, old) = (published.load(), Arc::downgrade(&published.load_full()));
        updates.replace(snapshot()).await.unwrap();
        assert_eq!((seen.generation, published.load().generation), (Generation(1), Generation(2)));
        // The publisher holds it too.
        assert!(old.strong_count() >= 2);
        drop(seen);
        while old.strong_count() > 0 {
            tokio::time::sleep(RETIRE_EVERY).await;
        }
    }

    #[tokio::test]
    async fn without_a_publisher_senders_are_told() {
        let (_, updates, publisher) = publish(snapshot(), || Moment(0));
        drop(publisher);
        assert_eq!(updates.replace(snapshot()).await, Err(Stopped));
    }
}
