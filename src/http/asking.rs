//! Asking mirrors for blobs, before clients are sent there.
//!
//! In: an [`Ask`] and the snapshot it was made from. Out: what is known of the blob, at once where it is known, else after
//! the flight that finds out, and at the latest after the set time. A flight is one `HEAD` to one address of the mirror,
//! dialled as a probe dials it; it goes on when nobody waits for it any more, so that the next request knows.
//!
//! **Invariants**: nothing here makes a request wait longer than the set time; one blob at one mirror is asked for once at
//! a time, whoever else wants to know; flights, those who wait for them, and connections have limits, and who is beyond
//! one gets [`Holding::Unsaid`] at once; memory does not depend on what is asked for.
//! **Not here**: whom to ask and what the reply is ([`crate::registry`]), how mirrors stand (probes alone say that).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use hyper::Method;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout};

use crate::base::time::Moment;
use crate::process;
use crate::registry::Ask;
use crate::registry::known::{Allowance, Budget, Holding, Key, Known};
use crate::snapshot::Snapshot;
use crate::telemetry::blobs::{Blobs, Result as Counted, Turned};
use crate::telemetry::{Collect, Page};
use crate::tls::{Dialed, Dialer, Step};

/// Flights at once to all mirrors: each is a socket and at first a handshake, some 40 KB, so these are 10 MB.
pub const MAX_FLIGHTS: usize = 256;

/// Flights at once to one mirror, so that one that hangs leaves room for others.
pub const MAX_FLIGHTS_PER_MIRROR: usize = 16;

/// Requests that wait at once. Each is some 2 KB; over HTTP/2 one client could otherwise have a hundred a connection.
pub const MAX_WAITING: usize = 1024;

/// Connections kept for the next question, one an address.
const MAX_KEPT: usize = 64;

/// How long a connection is kept: less than servers commonly do (nginx 75 s), so that it is seldom found closed; and the
/// certificate is seen again that often.
const KEPT_FOR: Duration = Duration::from_secs(30);

/// How long it is believed that a mirror could not be asked: it was up a moment ago, and is likely to be so again.
const UNSAID_FOR: Duration = Duration::from_secs(5);

/// How mirrors are asked.
#[derive(Clone, Debug)]
pub struct Means {
    /// What they are dialled with.
    pub dialer: Dialer,
    /// The longest that a request waits for an answer.
    pub wait: Duration,
    /// The longest that a flight takes.
    pub timeout: Duration,
    /// How long it is believed that a mirror has a blob.
    pub keep: Duration,
    /// How long it is believed that it lacks one.
    pub lacking: Duration,
}

/// Asks mirrors, and remembers.
#[derive(Debug)]
pub struct Asker {
    /// None while nobody is to be asked.
    means: ArcSwapOption<Means>,
    secret: [u64; 2],
    start: Instant,
    state: Mutex<State>,
    waiting: Arc<Semaphore>,
    counters: Blobs,
}

#[derive(Debug, Default)]
struct State {
    known: Known,
    flights: HashMap<Key, watch::Receiver<Option<Holding>>>,
    /// By mirror; only those that were asked within a second or are being asked.
    lines: HashMap<Arc<str>, Line>,
    kept: HashMap<IpAddr, (Dialed, Instant)>,
}

/// What is under way to one mirror.
#[derive(Debug, Default)]
struct Line {
    budget: Budget,
    flights: usize,
}

/// What is known of a blob.
pub(super) enum Found {
    /// This, now.
    Known(Holding),
    /// Nothing yet, but it is being asked for.
    Waiting(Waiting),
}

/// The flights that a request waits for.
pub(super) struct Waiting {
    asker: Arc<Asker>,
    flights: Vec<watch::Receiver<Option<Holding>>>,
    wait: Duration,
    _place: OwnedSemaphorePermit,
}

impl Asker {
    /// Asks nobody until it has the means.
    pub fn new(means: Option<Means>) -> Arc<Self> {
        Arc::new(Asker {
            means: ArcSwapOption::from_pointee(means),
            secret: [process::seed(), process::seed()],
            start: Instant::now(),
            state: Mutex::default(),
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
            counters: Blobs::default(),
        })
    }

    /// Asks by these means from now on; what is known stays known.
    pub fn replace(&self, means: Option<Means>) {
        self.means.store(means.map(Arc::new));
        // Whoever answered on these may not be accepted any more.
        self.state().kept.clear();
    }

    /// What is counted.
    pub fn counters(&self) -> &Blobs {
        &self.counters
    }

    /// Looks up a blob at every mirror that must have it, and has flights begin where nothing is known.
    pub(super) fn find(self: &Arc<Self>, ask: &Ask<'_>, snapshot: &Snapshot) -> Found {
        let Some(means) = &*self.means.load() else { return Found::Known(Holding::Unsaid) };
        // Neither allocates where everything is known.
        let (mut flights, mut begun) = (Vec::new(), Vec::new());
        let found = self.look(ask, snapshot, &mut flights, |key, mirror, address, sender| {
            let flight = Flight { asker: self.clone(), means: means.clone(), key, mirror: mirror.clone(), sender };
            begun.push((flight, address));
        });
        // Not before the lock is let go of: a flight that ends takes it.
        for (flight, address) in begun {
            tokio::spawn(flight.fly(address, ask.path()));
        }
        if let Some(holding) = found {
            return Found::Known(holding);
        }
        match self.waiting.clone().try_acquire_owned() {
            Ok(place) => Found::Waiting(Waiting { asker: self.clone(), flights, wait: means.wait, _place: place }),
            Err(_) => {
                self.counters.turned(Turned::Waiting);
                Found::Known(Holding::Unsaid)
            }
        }
    }

    /// What is known now; nothing, where `flights` are to be waited for.
    fn look(
        &self,
        ask: &Ask<'_>,
        snapshot: &Snapshot,
        flights: &mut Vec<watch::Receiver<Option<Holding>>>,
        mut begin: impl FnMut(Key, &Arc<str>, IpAddr, watch::Sender<Option<Holding>>),
    ) -> Option<Holding> {
        let now = self.now();
        let mut state = self.state();
        for asked in ask.mirrors(snapshot) {
            let mirror = &snapshot.mirrors[asked.mirror.index()];
            let (key, mirror) = (ask.key(self.secret, mirror), &mirror.name);
            match state.known.find(key, now) {
                Some(Holding::Has) => continue,
                Some(holding) => {
                    self.counters.known(holding);
                    return Some(holding);
                }
                None => {}
            }
            if let Some(flight) = state.flights.get(&key) {
                flights.push(flight.clone());
                continue;
            }
            let Some(address) = asked.address(snapshot, key.spread()) else { continue };
            match state.begin(key, mirror, now) {
                Ok(sender) => {
                    flights.push(sender.subscribe());
                    begin(key, mirror, address, sender);
                }
                Err(why) => {
                    self.counters.turned(why);
                    return Some(Holding::Unsaid);
                }
            }
        }
        if !flights.is_empty() {
            return None;
        }
        self.counters.known(Holding::Has);
        Some(Holding::Has)
    }

    /// How many requests wait.
    pub fn waiting(&self) -> usize {
        MAX_WAITING - self.waiting.available_permits()
    }

    /// Asks one address, over a connection that is there or a new one.
    async fn ask(&self, means: &Arc<Means>, address: IpAddr, path: &str) -> (Holding, Counted) {
        if let Some(mut kept) = self.take_kept(address)
            && let Ok(response) = kept.request(Method::HEAD, path, None, 0).await
        {
            self.keep(means, address, kept);
            return said(response.status().as_u16());
        }
        // A connection that was closed meanwhile says nothing of the mirror.
        let mut step = Step::Connect;
        let Ok(mut dialed) = means.dialer.dial(address, &mut step).await else {
            return (Holding::Unsaid, Counted::Unreached);
        };
        match dialed.request(Method::HEAD, path, None, 0).await {
            Ok(response) => {
                self.keep(means, address, dialed);
                said(response.status().as_u16())
            }
            Err(_) => (Holding::Unsaid, Counted::Unreached),
        }
    }

    fn take_kept(&self, address: IpAddr) -> Option<Dialed> {
        let (dialed, since) = self.state().kept.remove(&address)?;
        (dialed.is_open() && since.elapsed() < KEPT_FOR).then_some(dialed)
    }

    fn keep(&self, means: &Arc<Means>, address: IpAddr, dialed: Dialed) {
        let is_current = self.means.load().as_ref().is_some_and(|current| Arc::ptr_eq(current, means));
        let mut state = self.state();
        state.kept.retain(|_, (dialed, since)| dialed.is_open() && since.elapsed() < KEPT_FOR);
        if is_current && dialed.is_open() && state.kept.len() < MAX_KEPT {
            state.kept.insert(address, (dialed, Instant::now()));
        }
    }

    fn now(&self) -> Moment {
        Moment(self.start.elapsed().as_millis() as u64)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves nothing half done that matters: the worst is a blob asked for once more.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn said(status: u16) -> (Holding, Counted) {
    let holding = Holding::of_status(status);
    let counted = match (status, holding) {
        (300..=399, _) => Counted::Redirected,
        (_, Holding::Has) => Counted::Has,
        (_, Holding::Lacks) => Counted::Lacks,
        (_, Holding::Unsaid) => Counted::Failed,
    };
    (holding, counted)
}

impl State {
    /// Makes room for a flight, or says why there is none.
    fn begin(&mut self, key: Key, mirror: &Arc<str>, now: Moment) -> Result<watch::Sender<Option<Holding>>, Turned> {
        if self.flights.len() >= MAX_FLIGHTS {
            return Err(Turned::Flights);
        }
        self.lines.retain(|name, line| line.flights > 0 || name == mirror || !line.budget.is_fresh(now));
        let line = self.lines.entry(mirror.clone()).or_default();
        if line.flights >= MAX_FLIGHTS_PER_MIRROR {
            return Err(Turned::Flights);
        }
        if line.budget.take(now) == Allowance::Spent {
            return Err(Turned::Rate);
        }
        line.flights += 1;
        let (sender, receiver) = watch::channel(None);
        self.flights.insert(key, receiver);
        Ok(sender)
    }
}

/// One question under way. However it ends, those who wait are told.
struct Flight {
    asker: Arc<Asker>,
    means: Arc<Means>,
    key: Key,
    mirror: Arc<str>,
    sender: watch::Sender<Option<Holding>>,
}

impl Flight {
    async fn fly(self, address: IpAddr, path: String) {
        let _flying = self.asker.counters.flights.hold();
        let asking = self.asker.ask(&self.means, address, &path);
        let (holding, counted) =
            timeout(self.means.timeout, asking).await.unwrap_or((Holding::Unsaid, Counted::TimedOut));
        self.asker.counters.asked(counted);
        self.sender.send_replace(Some(holding));
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let holding = self.sender.borrow().unwrap_or(Holding::Unsaid);
        let for_how_long = match holding {
            Holding::Has => self.means.keep,
            Holding::Lacks => self.means.lacking,
            Holding::Unsaid => self.means.lacking.min(UNSAID_FOR),
        };
        let now = self.asker.now();
        let mut state = self.asker.state();
        state.known.learn(self.key, holding, for_how_long.as_millis() as u64, now);
        state.flights.remove(&self.key);
        if let Some(line) = state.lines.get_mut(&self.mirror) {
            line.flights = line.flights.saturating_sub(1);
        }
    }
}

impl Waiting {
    /// What is found out in time.
    pub(super) async fn finish(self) -> Holding {
        let Waiting { asker, flights, wait, _place } = self;
        let all = async {
            for mut flight in flights {
                let said = flight.wait_for(Option::is_some).await.map(|holding| *holding);
                match said.ok().flatten() {
                    Some(Holding::Has) => {}
                    other => return other.unwrap_or(Holding::Unsaid),
                }
            }
            Holding::Has
        };
        match timeout(wait, all).await {
            Ok(holding) => {
                asker.counters.waited(holding);
                holding
            }
            Err(_) => {
                asker.counters.late();
                Holding::Unsaid
            }
        }
    }
}

impl Collect for Asker {
    fn collect(&self, page: &mut Page) {
        let (held, lacked) = self.state().known.count(self.now());
        self.counters.write(page, held as u64, lacked as u64);
        page.gauge("pharos_blob_waiting", "Requests that wait for a mirror's answer.")
            .sample(&[], self.waiting() as u64);
    }
}
