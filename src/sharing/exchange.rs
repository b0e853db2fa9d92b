//! The task of the exchange: a round of reading and writing, and the pause until the next.
//!
//! **Invariants**: rounds follow one another; a round that fails leaves everything as it was, but the condition of the store.
//! **Not here**: starting it ([`super`]), the lines about a lost store ([`super::condition`]).

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use super::FleetGround;
use super::condition::StoreCondition;
use super::refusals::Refusals;
use crate::base::time::Moment;
use crate::fleet::{
    DocumentFault, MAX_DOCUMENT_LEN, ProbedAddresses, Roster, ServedState, ServerDocument, SharedOverrides,
};
use crate::live::{ForgetError, ForgetInbox, HeardDocument, ServiceRequest};
use crate::process::Clock;
use crate::stores::{ListedObject, ObjectName, StoreError, StoreRead, StoreVersion, StoreWatch};
use crate::telemetry::fleet::{
    DocumentOutcome, FleetCounters, FleetPeer, FleetStanding, RolloutStanding, StoreOperation, StoreOutcome,
};

/// Documents that are read at once: a fleet of forty is read in five rounds of requests, and memory has eight documents.
const MAX_AT_ONCE: usize = 8;

/// The shortest time between two rounds, so that a mirror that comes and goes does not make a request of each change.
const LEAST_PAUSE: Duration = Duration::from_millis(250);

/// Intervals after which a document without a change is written all the same, so that the other servers see this one alive.
const TOLD_EVERY: u32 = 2;

/// The longest time between two looks at a store without watches while an operator waits for other servers, and always at a
/// folder, which is no service that counts requests: so most overrides have spread before the operator has to go on.
const LOOK_OFTEN: Duration = Duration::from_secs(1);

/// The most other servers with which a folder is looked at often, because each look reads all documents in it.
const MAX_OFTEN: usize = 16;

/// The exchange with the other servers.
pub(super) struct DocumentExchange {
    ground: FleetGround,
    folder: ObjectName,
    own: ObjectName,
    roster: Roster,
    /// The version of each server's document that was read last.
    versions: BTreeMap<Arc<str>, StoreVersion>,
    refusals: Refusals,
    /// The last moment at which the object of this server was another server's.
    rival: Option<Moment>,
    written: Option<WrittenDocument>,
    /// The number of documents that were written, or may have been.
    seq: u64,
    condition: StoreCondition,
    standing: watch::Sender<Arc<FleetStanding>>,
    rollout: watch::Receiver<Arc<RolloutStanding>>,
    counters: Arc<FleetCounters>,
}

/// The last document that was written.
struct WrittenDocument {
    document: ServerDocument,
    /// The version that the store gave it; `None` after a write that failed, because it may have taken effect.
    version: Option<StoreVersion>,
    at: Instant,
    /// The number of answers, and of those SERVFAIL, at that time.
    counts: (u64, u64),
}

impl DocumentExchange {
    pub(super) fn new(
        ground: FleetGround,
        standing: watch::Sender<Arc<FleetStanding>>,
        rollout: watch::Receiver<Arc<RolloutStanding>>,
        counters: Arc<FleetCounters>,
    ) -> Self {
        let name = |text: &str| text.parse().expect("a server's name is a part of an object's name: is_server_name");
        DocumentExchange {
            folder: name("servers"),
            own: name(&ServerDocument::object(&ground.name)),
            ground,
            roster: Roster::default(),
            versions: BTreeMap::new(),
            refusals: Refusals::default(),
            rival: None,
            written: None,
            seq: 0,
            condition: StoreCondition::default(),
            standing,
            rollout,
            counters,
        }
    }

    /// Exchanges documents until the process ends.
    pub(super) async fn run(mut self, mut forget: ForgetInbox) {
        let mut watch = self.ground.store.watch(&self.folder);
        let mut own = self.ground.views.own.subscribe();
        let mut known = self.ground.changes.known.clone();
        let mut awaiting = self.ground.awaiting.0.subscribe();
        let mut rollout = self.rollout.clone();
        let sources = &self.ground.sources;
        let (mut copies, mut stored) = (sources.own.subscribe(), sources.stored.subscribe());
        loop {
            own.mark_unchanged();
            known.mark_unchanged();
            rollout.mark_unchanged();
            copies.mark_unchanged();
            stored.mark_unchanged();
            let waiting = *awaiting.borrow();
            let outcome = self.round().await;
            self.condition.note(&self.ground.store, outcome, self.ground.clock.now());
            self.vote();
            self.show();
            sleep(LEAST_PAUSE).await;
            tokio::select! {
                () = pause(watch.as_mut(), self.ground.every, self.look_every()) => {}
                () = grown(&mut awaiting, waiting) => {}
                Ok(()) = own.changed() => {}
                Ok(()) = known.changed() => {}
                Ok(()) = rollout.changed() => {}
                Ok(()) = copies.changed() => {}
                Ok(()) = stored.changed() => {}
                Some(ServiceRequest { request: server, reply }) = forget.recv() => {
                    let outcome = self.forget(&server).await;
                    // The operator may have stopped waiting.
                    let _ = reply.send(outcome);
                }
            }
        }
    }

    /// The interval between two looks at a store without watches.
    fn look_every(&self) -> Duration {
        let is_small = self.ground.store.is_folder() && self.roster.all().count() <= MAX_OFTEN;
        let is_often = is_small || *self.ground.awaiting.0.borrow() > 0;
        if is_often { self.ground.every.min(LOOK_OFTEN) } else { self.ground.every }
    }

    /// Reads the documents of the other servers, and writes that of this server.
    async fn round(&mut self) -> Result<(), StoreError> {
        let listed = self.ground.store.list(&self.folder).await;
        let listed = self.count(StoreOperation::List, listed)?;
        // A document that cannot be read must not make this server look dead.
        let read = self.read(listed).await;
        self.write().await.and(read)
    }

    /// Reads the documents that have changed.
    async fn read(&mut self, listed: Vec<ListedObject>) -> Result<(), StoreError> {
        let mut changed: Vec<(Arc<str>, ObjectName)> = Vec::new();
        let mut servers: Vec<Arc<str>> = Vec::new();
        for ListedObject { name, version } in listed {
            let Some(server) = ServerDocument::server_of(name.as_str()).map(Arc::<str>::from) else { continue };
            if name == self.own {
                self.check_own(&version);
                continue;
            }
            servers.push(server.clone());
            if self.versions.get(&server) != Some(&version) {
                changed.push((server, name));
            }
        }
        self.versions.retain(|server, _| servers.contains(server));
        self.refusals.settle(&servers, self.ground.clock.now(), self.stale_ms());
        self.forget_removed(&servers);
        let store = self.ground.store.clone();
        let read = move |(server, name): (Arc<str>, ObjectName)| {
            let store = store.clone();
            async move { (server, store.read(&name, None, MAX_DOCUMENT_LEN).await) }
        };
        let mut reads = stream::iter(changed).map(read).buffer_unordered(MAX_AT_ONCE);
        let (mut failed, mut found) = (None, Vec::new());
        while let Some((server, outcome)) = reads.next().await {
            match outcome {
                Ok(StoreRead::Changed { bytes, version }) => found.push((server, bytes, version)),
                Ok(StoreRead::Same | StoreRead::Missing) => {}
                Err(StoreError::TooLong { .. }) => {
                    // The last document that was read may be the next one too.
                    self.versions.remove(&server);
                    self.refuse(&server, DocumentFault::TooLong);
                }
                Err(error) => failed = Some(error),
            }
        }
        drop(reads);
        for (server, bytes, version) in found {
            self.hear(&server, &bytes).await;
            self.versions.insert(server, version);
        }
        self.count(StoreOperation::Read, failed.map_or(Ok(()), Err))
    }

    /// Takes in the document of a server.
    async fn hear(&mut self, server: &Arc<str>, bytes: &[u8]) {
        let (now, millis) = (self.ground.clock.now(), Clock::civil_millis());
        match self.roster.hear(server, bytes, &self.ground.key, now, millis) {
            Ok(document) => {
                let outcome = if document.is_some() { DocumentOutcome::Accepted } else { DocumentOutcome::Same };
                self.counters.documents.of(outcome).increment();
                self.refusals.accept(server);
                if let Some(document) = document.filter(|document| !self.covers(&document.overrides)) {
                    self.merge(&document.overrides).await;
                }
            }
            Err(fault) => self.refuse(server, fault),
        }
    }

    fn refuse(&mut self, server: &Arc<str>, fault: DocumentFault) {
        self.counters.documents.of(DocumentOutcome::Refused).increment();
        self.refusals.refuse(server, fault, self.ground.clock.now());
    }

    /// True if a moment is not longer ago than the age from which a server has no vote.
    fn is_recent(&self, at: Moment) -> bool {
        self.ground.clock.now().0.saturating_sub(at.0) <= self.stale_ms()
    }

    /// Forgets servers whose documents were removed from the store, once these have no vote.
    fn forget_removed(&mut self, listed: &[Arc<str>]) {
        let is_removed = |name: &Arc<str>, at: Moment| !listed.contains(name) && !self.is_recent(at);
        let removed = self.roster.all().filter(|(name, heard)| is_removed(name, heard.at));
        let removed: Vec<Arc<str>> = removed.map(|(name, _)| name.clone()).collect();
        for server in removed {
            self.roster.forget(&server);
            info!("server {server} is forgotten: its document was removed from the store");
        }
    }

    fn covers(&self, theirs: &SharedOverrides) -> bool {
        self.ground.changes.known.borrow().covers(theirs)
    }

    /// Has the changes of another server take effect here.
    async fn merge(&self, overrides: &SharedOverrides) {
        // Without an answer, the process is about to end.
        let _ = self.ground.changes.merges.ask(overrides.clone()).await;
    }

    /// Writes the document of this server, if it has changed, or if it was written long ago.
    async fn write(&mut self) -> Result<(), StoreError> {
        let now = Instant::now();
        let counts = (self.ground.dns.answers(), self.ground.dns.failures());
        let document = self.document(now, counts);
        let is_due = self.written.as_ref().is_none_or(|written| {
            now.duration_since(written.at) >= self.ground.every * TOLD_EVERY
                || !written.document.tells_the_same(&document)
        });
        if !is_due {
            return Ok(());
        }
        let sealed = document.seal(&self.ground.key);
        // Also if the write fails: it may have taken effect, and a number stands for one document.
        self.seq += 1;
        self.written.iter_mut().for_each(|written| written.version = None);
        let written = self.ground.store.write(&self.own, &sealed).await;
        let version = Some(self.count(StoreOperation::Write, written)?);
        self.written = Some(WrittenDocument { document, version, at: now, counts });
        Ok(())
    }

    fn document(&self, now: Instant, (answers, servfail): (u64, u64)) -> ServerDocument {
        let snapshot = self.ground.published.load_full();
        let own = self.ground.views.own.borrow().clone();
        let (before, seconds) = self.written.as_ref().map_or(((answers, servfail), 1.0), |written| {
            (written.counts, now.duration_since(written.at).as_secs_f64().max(0.001))
        });
        let (answered, failed) = (answers.saturating_sub(before.0), servfail.saturating_sub(before.1));
        let served = ServedState {
            version: env!("CARGO_PKG_VERSION").to_string(),
            generation: snapshot.generation.0,
            config: self.ground.history.served().digest.to_string(),
            answers_per_second: answered as f64 / seconds,
            servfail_share: if answered == 0 { 0.0 } else { failed as f64 / answered as f64 },
            mirrors: snapshot.mirrors().len() as u64,
            mirrors_up: snapshot.mirrors_up() as u64,
            isolated: own.is_isolated,
        };
        ServerDocument {
            server: self.ground.name.clone(),
            boot: self.ground.changes.boot,
            seq: self.seq + 1,
            served,
            probed: own.probed.clone(),
            overrides: SharedOverrides::clone(&self.ground.changes.known.borrow()),
            rollout: self.rollout.borrow().report.clone(),
            sources: self.ground.sources.reports(),
        }
    }

    /// Warns if the object of this server is not the one that it wrote. It is written anew when the next document is due, and not
    /// at once, because two servers with one name would write in turn without a pause.
    fn check_own(&mut self, version: &StoreVersion) {
        let own = self.written.as_ref().and_then(|written| written.version.as_ref());
        let is_other = own.is_some_and(|own| own != version);
        if is_other && self.rival.replace(self.ground.clock.now()).is_none() {
            let name = &self.ground.name;
            warn!("another server writes as {name} too: give each server of the fleet another `name`");
        }
        if !is_other && self.rival.is_some_and(|at| !self.is_recent(at)) {
            self.rival = None;
        }
    }

    /// Passes the views of the servers that have a vote to the watcher of mirrors, and all documents to the publisher and the
    /// fetches of sources.
    fn vote(&self) {
        let (now, stale_ms) = (self.ground.clock.now(), self.stale_ms());
        let heard = self.roster.all().map(|(_, heard)| heard).filter(|heard| self.is_recent(heard.at));
        let here = std::time::Instant::now();
        let heard = heard.map(|heard| {
            let age = Duration::from_millis(now.0.saturating_sub(heard.at.0));
            HeardDocument { document: heard.document.clone(), at: here.checked_sub(age).unwrap_or(here) }
        });
        self.ground.views.heard.send_replace(heard.collect());
        let voters: Arc<[ProbedAddresses]> = self.roster.voters(now, stale_ms).cloned().collect();
        self.ground.views.peers.send_if_modified(|peers| {
            let is_new = *peers != voters;
            *peers = voters;
            is_new
        });
    }

    fn stale_ms(&self) -> u64 {
        self.ground.stale.as_millis() as u64
    }

    /// Shows the state to operators.
    fn show(&self) {
        let mut servers: BTreeMap<&Arc<str>, FleetPeer> = BTreeMap::new();
        for (name, heard) in self.roster.all() {
            let is_fresh = self.is_recent(heard.at);
            let heard = Some((heard.document.clone(), heard.at));
            servers.insert(name, FleetPeer { name: name.clone(), heard, is_fresh, fault: None });
        }
        for (name, fault) in self.refusals.present() {
            let unheard = || FleetPeer { name: name.clone(), heard: None, is_fresh: false, fault: None };
            servers.entry(name).or_insert_with(unheard).fault = Some(*fault);
        }
        let before = self.standing.borrow().clone();
        self.standing.send_replace(Arc::new(FleetStanding {
            name: before.name.clone(),
            store: before.store.clone(),
            exchanged: self.condition.exchanged,
            trouble: self.condition.trouble(),
            has_rival: self.rival.is_some(),
            is_isolated: self.ground.views.own.borrow().is_isolated,
            servers: servers.into_values().collect(),
        }));
    }

    /// Removes the document of a server that is gone.
    async fn forget(&mut self, server: &Arc<str>) -> Result<(), ForgetError> {
        let name = ServerDocument::object(server).parse::<ObjectName>().map_err(|_| ForgetError::Unknown)?;
        if self.roster.of(server).is_none() && !self.refusals.present().contains_key(server) {
            return Err(ForgetError::Unknown);
        }
        self.ground.store.delete(&name).await.map_err(|error| ForgetError::Store(error.to_string()))?;
        self.roster.forget(server);
        self.versions.remove(server);
        self.refusals.forget(server);
        info!("server {server} is forgotten");
        Ok(())
    }

    fn count<T>(&self, operation: StoreOperation, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        let word = if outcome.is_ok() { StoreOutcome::Done } else { StoreOutcome::Failed };
        self.counters.operations.of(operation).of(word).increment();
        outcome
    }
}

/// Waits for the next look at the store. `look_every` is for a store without watches.
async fn pause(watch: Option<&mut StoreWatch>, every: Duration, look_every: Duration) {
    match watch {
        Some(watch) => drop(watch.next(every).await),
        None => sleep_until(Instant::now() + look_every).await,
    }
}

/// Waits until more requests wait for other servers.
async fn grown(awaiting: &mut watch::Receiver<usize>, before: usize) {
    if awaiting.wait_for(|now| *now > before).await.is_err() {
        pending::<()>().await;
    }
}
