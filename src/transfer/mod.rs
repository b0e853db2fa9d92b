//! Secondary zones, which are fetched from primaries, and NOTIFY messages to our secondaries.
//!
//! For each zone with `primaries`, a task compares, fetches and stores the zone. For each zone with `notify`, the servers
//! named there get a NOTIFY for every new serial. A fetched zone is published like any other change. The listeners send
//! zones to secondaries ([`crate::wire::transfer`]).
//!
//! **Invariants**: a transfer that fails, for whatever reason, leaves the served zone as it is; a reload restarts the tasks,
//! and keeps the copies and the times of their comparisons.
//! **Not here**: the listeners ([`crate::dns`]), which receive NOTIFY and pass it on.
//!
//! RFC 1034 §4.3.5, RFC 1995, RFC 1996, RFC 5936, RFC 8945.

mod encryption;
mod fetch;
// Public, because the fuzzers are in another crate.
pub mod inbound;
mod notify;
mod schedule;
mod secondary;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};

use crate::base::lock::locked;
use crate::base::name::{NameBuf, NameKey};
use crate::base::time::Moment;
use crate::base::tsig::Keys;
use crate::config::{self, Config, Remote};
use crate::live::{Published, RetransferError, RetransferInbox, Retransferred, ServiceRequest, Updates};
use crate::load::zone::copy;
use crate::process::state::StateFiles;
use crate::process::{Clock, Vital};
use crate::telemetry::Collect;
use crate::telemetry::transfer::{CopyAge, Counters, MAX_ZONES, ZoneStatus as Standing};
use crate::zone::{SignedZone, Zone};
pub(crate) use encryption::Encryption;
use fetch::Primary;
use notify::NotifyWord;
use secondary::Secondary;

/// The most zones that are compared or fetched at once: a transfer takes memory of twice the zone's size.
const MAX_FETCHES: usize = 8;

/// The most demands of operators that may wait for one zone.
const MAX_DEMANDS: usize = 4;

/// The consequence of a copy that cannot be written, for the log.
const UNKEPT: &str = "after a restart the zone has to be fetched anew";

/// The running tasks of transfers.
#[derive(Debug)]
pub(crate) struct TransferService {
    shared: Arc<TransferShared>,
    /// One task for each secondary zone; the tasks end when this is dropped.
    secondaries: JoinSet<()>,
    /// The tasks that pass on notices and demands.
    listeners: [AbortHandle; 2],
}

/// The state that all tasks share.
#[derive(Debug)]
struct TransferShared {
    published: Arc<Published>,
    updates: Updates,
    clock: Clock,
    slots: Semaphore,
    counters: Arc<Counters>,
    state: Mutex<TransferState>,
    vital: Vital,
    files: StateFiles,
}

/// The copy of one secondary zone, and the channels to its task.
#[derive(Debug)]
struct SecondaryState {
    /// The time at which it was last found to be up to date.
    checked: Option<Moment>,
    /// Its expiry; `None` if there is no copy.
    expires: Option<Moment>,
    /// Notified when a primary says that the zone has changed.
    bell: Arc<Notify>,
    /// Requests to fetch the zone whole.
    demands: mpsc::Sender<ReplySender>,
}

/// The channel for the outcome of a demand.
type ReplySender = oneshot::Sender<Result<Retransferred, RetransferError>>;

/// The state that a reload keeps.
#[derive(Debug, Default)]
struct TransferState {
    copies: HashMap<NameKey, SecondaryState>,
    /// The servers that get a NOTIFY, by zone.
    followers: Vec<(NameBuf, Vec<Remote>)>,
    keys: Keys,
    /// The last serial of the NOTIFY to each server, and the task that sends it.
    told: HashMap<(NameKey, SocketAddr), (u32, AbortHandle)>,
}

impl TransferService {
    /// Starts the tasks for the published snapshot, within a tokio runtime.
    pub(crate) fn start(
        config: &Config,
        encryption: &Encryption,
        published: Arc<Published>,
        updates: Updates,
        clock: Clock,
        (notices, demands): (mpsc::Receiver<NameBuf>, RetransferInbox),
        (vital, files): (Vital, StateFiles),
    ) -> Self {
        let slots = Semaphore::new(MAX_FETCHES);
        let shared = Arc::new(TransferShared {
            published,
            updates,
            clock,
            slots,
            counters: Arc::default(),
            state: Mutex::default(),
            vital,
            files,
        });
        let vital = &shared.vital;
        let listeners = [
            tokio::spawn(vital.guard("listener to NOTIFY", listen(shared.clone(), notices))).abort_handle(),
            tokio::spawn(vital.guard("listener to demands", hand_on(shared.clone(), demands))).abort_handle(),
        ];
        let mut service = TransferService { shared, secondaries: JoinSet::new(), listeners };
        service.reload(config, encryption);
        service
    }

    /// Restarts the tasks with a new configuration. Call it after the new snapshot is published.
    pub(crate) fn reload(&mut self, config: &Config, encryption: &Encryption) {
        self.secondaries = JoinSet::new();
        let snapshot = self.shared.published.load_full();
        let keys = snapshot.transfers().keys.clone();
        let is_secondary = |zone: &&crate::config::ZoneConfig| !zone.primaries.is_empty();
        let zones: Vec<_> = config.zones.iter().filter(is_secondary).collect();
        self.shared.files.retain(&copy::FORM, |path| {
            zones.iter().any(|zone| zone.file.as_ref().is_some_and(|file| file.path == path))
        });
        let mut inboxes = Vec::new();
        {
            let mut state = self.shared.state();
            let mut before = std::mem::take(&mut state.copies);
            for zone in &zones {
                let (demands, inbox) = mpsc::channel(MAX_DEMANDS);
                let bell = Arc::<Notify>::default();
                inboxes.push((bell.clone(), inbox));
                let key = zone.name.as_name().key();
                let known = before.remove(&key);
                let (checked, expires) = known.map_or((None, None), |known| (known.checked, known.expires));
                state.copies.insert(key, SecondaryState { checked, expires, bell, demands });
            }
            state.followers =
                config.zones.iter().map(|zone| (zone.name.clone(), zone.transfer.notify.clone())).collect();
            state.keys = keys.clone();
        }
        for (zone, (bell, demands)) in zones.into_iter().zip(inboxes) {
            let terms = snapshot.zones().at_apex(zone.name.as_name()).and_then(|(id, _)| snapshot.signing_terms(id));
            let signed = SignedZone::of(terms, zone.unsigned);
            let primary = |primary: &config::PrimaryConfig| Primary {
                address: primary.address,
                key: primary.key.map(|key| keys.key(key).clone()),
                xot: primary.tls.as_ref().map(|name| encryption.of(zone, name)),
                signed,
            };
            let primaries: Vec<Primary> = zone.primaries.iter().map(primary).collect();
            let file = zone.file.as_ref().map(|file| self.shared.files.file(file.path.clone(), &copy::FORM, UNKEPT));
            let secondary = Secondary::new(zone.name.clone(), primaries, file, bell, self.shared.clone());
            self.secondaries.spawn(self.shared.vital.guard("secondary of a zone", secondary.keep(demands)));
        }
        self.shared.announce();
    }

    /// The counters, and the state of each zone.
    pub(crate) fn counters(&self) -> Arc<dyn Collect> {
        let shared = self.shared.clone();
        Arc::new((shared.counters.clone(), move || shared.standings()))
    }
}

impl Drop for TransferService {
    fn drop(&mut self) {
        self.listeners.iter().for_each(AbortHandle::abort);
        for (_, (_, teller)) in self.shared.state().told.drain() {
            teller.abort();
        }
    }
}

/// Notifies the task of each zone for which a NOTIFY was received. It never ends: without DNS listeners nothing is received.
async fn listen(shared: Arc<TransferShared>, mut notices: mpsc::Receiver<NameBuf>) {
    while let Some(zone) = notices.recv().await {
        if let Some(copy) = shared.state().copies.get(&zone.as_name().key()) {
            shared.counters.heard.increment();
            copy.bell.notify_one();
        }
    }
    std::future::pending().await
}

/// Passes each demand of an operator to the task of its zone.
async fn hand_on(shared: Arc<TransferShared>, mut demands: RetransferInbox) {
    while let Some(ServiceRequest { request: zone, reply }) = demands.recv().await {
        let demands = shared.state().copies.get(&zone.as_name().key()).map(|copy| copy.demands.clone());
        let (reply, error) = match demands {
            None => (reply, RetransferError::NotACopy),
            Some(demands) => match demands.try_send(reply) {
                Ok(()) => continue,
                Err(TrySendError::Full(reply)) => (reply, RetransferError::Busy),
                Err(TrySendError::Closed(reply)) => (reply, RetransferError::Stopping),
            },
        };
        // The operator may have stopped waiting.
        let _ = reply.send(Err(error));
    }
    // Without `[control]` there are no demands. The task must not end, because its end would end the process.
    std::future::pending().await
}

impl TransferShared {
    fn state(&self) -> MutexGuard<'_, TransferState> {
        locked(&self.state)
    }

    /// Sends a NOTIFY with the served serial to each secondary that has not been sent one for this serial.
    fn announce(&self) {
        let snapshot = self.published.load_full();
        let mut state = self.state();
        let TransferState { followers, keys, told, .. } = &mut *state;
        for (apex, remotes) in followers.iter() {
            let found = snapshot.zones().at_apex(apex.as_name());
            let Some((_, zone)) = found.filter(|(_, zone)| zone.is_available()) else { continue };
            for remote in remotes {
                let place = (apex.as_name().key(), remote.address);
                if told.get(&place).is_some_and(|(serial, _)| *serial == zone.serial()) {
                    continue;
                }
                let key = remote.key.map(|key| keys.key(key).clone());
                let word = NotifyWord { apex: apex.clone(), serial: zone.serial(), to: remote.address, key };
                let teller = tokio::spawn(notify::tell(word, self.clock, self.counters.clone())).abort_handle();
                if let Some((_, before)) = told.insert(place, (zone.serial(), teller)) {
                    before.abort();
                }
            }
        }
    }

    /// The states of the served zones, in their order.
    fn standings(&self) -> Vec<Standing> {
        let snapshot = self.published.load_full();
        let now = self.clock.now();
        let state = self.state();
        let standing = |zone: &Zone| {
            let copy = state.copies.get(&zone.apex().key()).map(|copy| CopyAge {
                age: copy.checked.map(|checked| now.0.saturating_sub(checked.0) / 1000),
                left: copy.expires.map_or(0, |expires| expires.0.saturating_sub(now.0) / 1000),
            });
            Standing { name: zone.apex().to_string(), serial: zone.is_available().then(|| zone.serial()), copy }
        };
        snapshot.zones().iter().take(MAX_ZONES).map(|(_, zone)| standing(zone)).collect()
    }

    /// Changes the state of a copy, which a reload may have removed meanwhile.
    fn note(&self, apex: &NameBuf, change: impl FnOnce(&mut SecondaryState)) {
        if let Some(copy) = self.state().copies.get_mut(&apex.as_name().key()) {
            change(copy);
        }
    }

    fn checked(&self, apex: &NameBuf) -> Option<Moment> {
        self.state().copies.get(&apex.as_name().key())?.checked
    }
}
