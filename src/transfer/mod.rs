//! Zones that come from elsewhere, and word of changes to those that follow us.
//!
//! For each zone with `primaries` a task compares, fetches and keeps it; for each zone with `notify` those named are told
//! of every new serial. What is fetched is published like any other change; giving zones to others is the listeners' part
//! ([`crate::wire::transfer`]).
//!
//! **Invariants**: a transfer that fails, in whatever way, leaves what is served as it was; a reload starts the tasks anew,
//! and forgets neither what is held nor when it was compared.
//! **Not here**: the listeners ([`crate::dns`]), which hear NOTIFY and pass it on.
//!
//! RFC 1034 §4.3.5, RFC 1995, RFC 1996, RFC 5936, RFC 8945.

mod encryption;
mod fetch;
// The fuzzers are outside.
pub mod inbound;
mod notify;
mod schedule;
mod secondary;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};

use crate::base::name::{Name, NameBuf};
use crate::base::time::Moment;
use crate::base::tsig::Keys;
use crate::config::{self, Config, Remote};
use crate::live::{Published, RetransferError, RetransferInbox, Retransferred, Updates};
use crate::load::zone::copy;
use crate::process::state::StateFiles;
use crate::process::{Clock, Vital};
use crate::telemetry::Collect;
use crate::telemetry::transfer::{CopyAge, Counters, MAX_ZONES, ZoneStatus as Standing};
use crate::zone::Zone;
pub use encryption::Encryption;
use fetch::Primary;
use inbound::Signed;
use notify::NotifyWord;
use secondary::Secondary;

/// The most zones that are compared or fetched at once: each takes memory of twice its size while it comes.
const MAX_FETCHES: usize = 8;

/// Demands of operators that may wait for one zone.
const MAX_DEMANDS: usize = 4;

/// The consequence of a copy that cannot be written, for the log.
const UNKEPT: &str = "after a restart the zone has to be fetched anew";

/// A name as a key: its octets in lower case.
type ZoneKey = Vec<u8>;

fn name_key(name: &NameBuf) -> ZoneKey {
    name.as_name().as_wire().to_ascii_lowercase()
}

/// Transfers at work.
#[derive(Debug)]
pub struct TransferService {
    shared: Arc<TransferShared>,
    /// One for each zone that is kept elsewhere; they end with it.
    secondaries: JoinSet<()>,
    /// Pass notices and demands on.
    listeners: [AbortHandle; 2],
}

/// What all of it shares.
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

/// The ways to the task of one zone that is kept elsewhere.
#[derive(Clone, Debug)]
struct Door {
    /// Rings when a primary says that the zone has changed.
    bell: Arc<Notify>,
    /// Requests to fetch the zone whole.
    demands: mpsc::Sender<ReplySender>,
}

/// Where the outcome of a demand goes.
type ReplySender = oneshot::Sender<Result<Retransferred, RetransferError>>;

/// What outlives a reload.
#[derive(Debug, Default)]
struct TransferState {
    /// When each zone was last found to be what a primary has.
    checked: HashMap<ZoneKey, Moment>,
    /// When each copy expires; of those that there are.
    expires: HashMap<ZoneKey, Moment>,
    doors: HashMap<ZoneKey, Door>,
    /// Whom to tell of which zone.
    followers: Vec<(NameBuf, Vec<Remote>)>,
    keys: Keys,
    /// The serial that each has been told of, and who tells it.
    told: HashMap<(ZoneKey, SocketAddr), (u32, AbortHandle)>,
}

impl TransferService {
    /// Starts on what is published, within a tokio runtime.
    pub fn start(
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

    /// Goes on with another config, once what it compiled to is published.
    pub fn reload(&mut self, config: &Config, encryption: &Encryption) {
        self.secondaries = JoinSet::new();
        let keys = self.shared.published.load().transfers().keys.clone();
        let is_secondary = |zone: &&crate::config::ZoneConfig| !zone.primaries.is_empty();
        let zones: Vec<_> = config.zones.iter().filter(is_secondary).collect();
        let (mut doors, mut inboxes) = (HashMap::new(), Vec::new());
        for zone in &zones {
            let (demands, inbox) = mpsc::channel(MAX_DEMANDS);
            let door = Door { bell: Arc::default(), demands };
            inboxes.push((door.bell.clone(), inbox));
            doors.insert(name_key(&zone.name), door);
        }
        self.shared.files.retain(&copy::FORM, |path| {
            zones.iter().any(|zone| zone.file.as_ref().is_some_and(|file| file.path == path))
        });
        {
            let mut state = self.shared.state();
            state.checked.retain(|zone, _| doors.contains_key(zone));
            state.expires.retain(|zone, _| doors.contains_key(zone));
            state.doors = doors;
            state.followers =
                config.zones.iter().map(|zone| (zone.name.clone(), zone.transfer.notify.clone())).collect();
            state.keys = keys.clone();
        }
        for (zone, (bell, demands)) in zones.into_iter().zip(inboxes) {
            let signed = if zone.unsigned { Signed::Stripped } else { Signed::Refused };
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

    /// What is counted, and how the zones stand.
    pub fn counters(&self) -> Arc<dyn Collect> {
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

/// Rings the bell of each zone that a primary says has changed.
async fn listen(shared: Arc<TransferShared>, mut notices: mpsc::Receiver<NameBuf>) {
    while let Some(zone) = notices.recv().await {
        if let Some(door) = shared.state().doors.get(&name_key(&zone)) {
            shared.counters.heard.increment();
            door.bell.notify_one();
        }
    }
}

/// Hands each demand of an operator to the task of its zone.
async fn hand_on(shared: Arc<TransferShared>, mut demands: RetransferInbox) {
    while let Some((zone, reply)) = demands.recv().await {
        let door = shared.state().doors.get(&name_key(&zone)).map(|door| door.demands.clone());
        let (reply, error) = match door {
            None => (reply, RetransferError::NotACopy),
            Some(demands) => match demands.try_send(reply) {
                Ok(()) => continue,
                Err(TrySendError::Full(reply)) => (reply, RetransferError::Busy),
                Err(TrySendError::Closed(reply)) => (reply, RetransferError::Stopping),
            },
        };
        // An operator who gave up waiting need not know.
        let _ = reply.send(Err(error));
    }
    // Without `[control]` there are no demands; that is no reason to end, which would end the process.
    std::future::pending().await
}

impl TransferShared {
    fn state(&self) -> MutexGuard<'_, TransferState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells whoever follows a zone of the serial that is served, if it has not been told.
    fn announce(&self) {
        let snapshot = self.published.load_full();
        let mut state = self.state();
        let TransferState { followers, keys, told, .. } = &mut *state;
        for (apex, remotes) in followers.iter() {
            let found = snapshot.zones().find(apex.as_name(), &apex.as_name().suffixes());
            let zone = found.map(|(_, zone)| zone).filter(|zone| zone.apex() == apex.as_name() && zone.is_available());
            let Some(zone) = zone else { continue };
            for remote in remotes {
                let place = (name_key(apex), remote.address);
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

    /// What is served of a zone.
    fn served(&self, apex: &NameBuf) -> Option<Arc<Zone>> {
        let snapshot = self.published.load();
        let name: Name<'_> = apex.as_name();
        let (id, zone) = snapshot.zones().find(name, &name.suffixes())?;
        (zone.apex() == name).then(|| snapshot.zones().base(id).clone())
    }

    /// How the zones stand that are served, in their order.
    fn standings(&self) -> Vec<Standing> {
        let snapshot = self.published.load_full();
        let now = self.clock.now();
        let state = self.state();
        let standing = |zone: &Zone| {
            let key = name_key(&zone.apex().to_owned());
            let copy = state.doors.contains_key(&key).then(|| CopyAge {
                age: state.checked.get(&key).map(|checked| now.0.saturating_sub(checked.0) / 1000),
                left: state.expires.get(&key).map_or(0, |expires| expires.0.saturating_sub(now.0) / 1000),
            });
            Standing { name: zone.apex().to_string(), serial: zone.is_available().then(|| zone.serial()), copy }
        };
        snapshot.zones().iter().take(MAX_ZONES).map(|(_, zone)| standing(zone)).collect()
    }

    fn note_expiry(&self, apex: &NameBuf, expires: Option<Moment>) {
        if let Some(expires) = expires {
            self.state().expires.insert(name_key(apex), expires);
        }
    }

    fn note_checked(&self, apex: &NameBuf, now: Moment) {
        self.state().checked.insert(name_key(apex), now);
    }

    fn checked(&self, apex: &NameBuf) -> Option<Moment> {
        self.state().checked.get(&name_key(apex)).copied()
    }
}
