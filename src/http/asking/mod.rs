//! Asking mirrors for blobs, and canonical for what may be a signature, before clients are sent there.
//!
//! In: an [`Ask`] and the snapshot it was made from, or a [`CanonicalAsk`]. Out: what is known of it, at once where it is known,
//! else after the flight that finds out, and at the latest after the set time. A flight is one request to one address,
//! dialled as a probe dials it; it goes on when no request waits for it any more, so that the next one knows.
//!
//! **Invariants**: nothing here makes a request wait longer than the set time; one blob at one mirror is asked for once at
//! a time; flights, requests that wait for them, and questions a second have limits that are shared out by client
//! network; a request beyond one gets [`Holding::Unsaid`] at once; memory does not depend on what is asked for.
//! **Not here**: whom to ask and what the reply is ([`crate::registry`]), how mirrors stand (probes alone say that).

mod flight;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::base::prefix::Prefix;
use crate::base::time::Moment;
use crate::process;
use crate::registry::known::{AskGrant, BlobKey, Holding, KnownBlobs};
use crate::registry::{Ask, Budget, CanonicalAsk, Shares};
use crate::snapshot::Snapshot;
use crate::telemetry::blobs::{Blobs, Turned};
use crate::telemetry::{Collect, MetricsPage};
use crate::tls::{Dialed, Dialer};
pub use flight::{At, Canonical};
use flight::{Flight, FlightQuestion};

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
    /// What mirrors are dialled with; `None` if they are not asked.
    pub mirrors: Option<Dialer>,
    /// How canonical is reached; `None` if it is not asked.
    pub canonical: Option<Canonical>,
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
pub struct BlobAsker {
    /// None while nobody is to be asked.
    means: ArcSwapOption<Means>,
    secret: [u64; 2],
    start: Instant,
    state: Mutex<AskingState>,
    counters: Blobs,
}

#[derive(Debug)]
struct AskingState {
    known: KnownBlobs,
    flights: HashMap<BlobKey, watch::Receiver<Option<Holding>>>,
    /// By mirror; only those that were asked within a second or are being asked.
    lines: HashMap<Arc<str>, MirrorLine>,
    kept: HashMap<Destination, (Dialed, Instant)>,
    flying: Shares,
    waiting: Shares,
}

/// Where a connection leads: canonical may have the address of a mirror, at another port or with another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Destination {
    Mirror(IpAddr),
    Canonical(IpAddr),
}

/// What is under way to one mirror, or to canonical.
#[derive(Debug)]
struct MirrorLine {
    budget: Budget,
    flights: Shares,
}

/// What is known of a blob.
pub(super) enum FoundBlob {
    /// This, now.
    Known(Holding),
    /// Nothing yet, but it is being asked for.
    Waiting(WaitingRequest),
}

/// The flights that a request waits for.
pub(super) struct WaitingRequest {
    asker: Arc<BlobAsker>,
    flights: Vec<watch::Receiver<Option<Holding>>>,
    network: Prefix,
    until: Instant,
}

impl BlobAsker {
    /// Asks nobody until it has the means.
    pub fn new(means: Option<Means>) -> Arc<Self> {
        Arc::new(BlobAsker {
            means: ArcSwapOption::from_pointee(means),
            secret: [process::seed(), process::seed()],
            start: Instant::now(),
            state: Mutex::new(AskingState::new()),
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

    /// The latest that a request which comes now waits until.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.means.load().as_ref().map_or(Duration::ZERO, |means| means.wait)
    }

    /// Looks up a blob at every mirror that must have it, and starts flights if nothing is known.
    pub(super) fn find(
        self: &Arc<Self>,
        ask: &Ask<'_>,
        snapshot: &Snapshot,
        network: Prefix,
        until: Instant,
    ) -> FoundBlob {
        let means = self.means.load();
        let Some(means) = means.as_ref().filter(|means| means.mirrors.is_some()) else {
            return FoundBlob::Known(Holding::Unsaid);
        };
        let mut search = BlobSearch::new(self, means, network);
        for asked in ask.mirrors(snapshot) {
            let mirror = &snapshot.mirrors()[asked.mirror.index()];
            let key = ask.key(self.secret, mirror);
            let question = || {
                let address = asked.address(snapshot, key.spread())?;
                Some(FlightQuestion::Mirror { address, path: ask.path() })
            };
            if let Some(holding) = search.look(key, &mirror.name, question) {
                self.counters.known(holding);
                return search.known(holding);
            }
        }
        if search.turned.is_none() && search.flights.is_empty() {
            self.counters.known(Holding::Has);
        }
        search.end(until)
    }

    /// Looks up whether canonical has what may be a signature, and starts a flight if nothing is known.
    pub(super) fn find_beyond(self: &Arc<Self>, beyond: &CanonicalAsk, network: Prefix, until: Instant) -> FoundBlob {
        let means = self.means.load();
        let Some((means, canonical)) = means.as_ref().and_then(|means| Some((means, means.canonical.as_ref()?))) else {
            return FoundBlob::Known(Holding::Unsaid);
        };
        let mut search = BlobSearch::new(self, means, network);
        let key = beyond.key(self.secret, &canonical.authority);
        let question = || Some(FlightQuestion::Canonical { subject: beyond.subject, path: beyond.path.clone() });
        match search.look(key, &canonical.line, question) {
            Some(holding) => search.known(holding),
            None => search.end(until),
        }
    }

    /// How many requests wait.
    pub fn waiting(&self) -> usize {
        self.state().waiting.taken()
    }

    fn now(&self) -> Moment {
        Moment(self.start.elapsed().as_millis() as u64)
    }

    fn state(&self) -> MutexGuard<'_, AskingState> {
        // A panic elsewhere leaves nothing half done that matters: the worst is a blob asked for once more.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A look at what is known, and the flights that it starts.
struct BlobSearch<'a> {
    asker: &'a Arc<BlobAsker>,
    means: &'a Arc<Means>,
    network: Prefix,
    /// Locked for all of the search; a flight that ends takes it too.
    state: MutexGuard<'a, AskingState>,
    flights: Vec<watch::Receiver<Option<Holding>>>,
    begun: Vec<(Flight, FlightQuestion)>,
    turned: Option<Turned>,
}

impl<'a> BlobSearch<'a> {
    fn new(asker: &'a Arc<BlobAsker>, means: &'a Arc<Means>, network: Prefix) -> Self {
        // Neither list allocates if everything is known.
        let (flights, begun) = (Vec::new(), Vec::new());
        BlobSearch { asker, means, network, state: asker.state(), flights, begun, turned: None }
    }

    /// What ends the search: one that does not have it. Else a flight is joined or started, if nothing is known.
    fn look(
        &mut self,
        key: BlobKey,
        line: &Arc<str>,
        question: impl FnOnce() -> Option<FlightQuestion>,
    ) -> Option<Holding> {
        let now = self.asker.now();
        match self.state.known.find(key, now) {
            Some(Holding::Has) => return None,
            Some(holding) => return Some(holding),
            None if self.turned.is_some() => return None,
            None => {}
        }
        if let Some(flight) = self.state.flights.get(&key) {
            self.flights.push(flight.clone());
            return None;
        }
        let question = question()?;
        match self.state.begin(key, line, self.network, now) {
            Ok(sender) => {
                self.flights.push(sender.subscribe());
                let (asker, means, line) = (self.asker.clone(), self.means.clone(), line.clone());
                self.begun.push((Flight { asker, means, key, line, network: self.network, sender }, question));
            }
            Err(why) => self.turned = Some(why),
        }
        None
    }

    /// The end of a search that has found one that does not have it.
    fn known(self, holding: Holding) -> FoundBlob {
        self.start();
        FoundBlob::Known(holding)
    }

    /// The end of a search that has found nobody without it.
    fn end(mut self, until: Instant) -> FoundBlob {
        if let Some(why) = self.turned {
            self.asker.counters.turned(why);
            return self.known(Holding::Unsaid);
        }
        if self.flights.is_empty() {
            return self.known(Holding::Has);
        }
        if self.state.waiting.take(self.network) == AskGrant::Spent {
            self.asker.counters.turned(Turned::Waiting);
            return self.known(Holding::Unsaid);
        }
        let flights = std::mem::take(&mut self.flights);
        let waiting = WaitingRequest { asker: self.asker.clone(), flights, network: self.network, until };
        self.start();
        FoundBlob::Waiting(waiting)
    }

    /// Starts the flights, once the lock is let go of.
    fn start(self) {
        drop(self.state);
        for (flight, question) in self.begun {
            tokio::spawn(flight.fly(question));
        }
    }
}

impl AskingState {
    fn new() -> Self {
        AskingState {
            known: KnownBlobs::default(),
            flights: HashMap::new(),
            lines: HashMap::new(),
            kept: HashMap::new(),
            flying: Shares::new(MAX_FLIGHTS),
            waiting: Shares::new(MAX_WAITING),
        }
    }

    /// Makes room for a flight, or says why there is none.
    fn begin(
        &mut self,
        key: BlobKey,
        name: &Arc<str>,
        network: Prefix,
        now: Moment,
    ) -> Result<watch::Sender<Option<Holding>>, Turned> {
        self.lines.retain(|of, line| line.flights.taken() > 0 || of == name || !line.budget.is_fresh(now));
        let new = || MirrorLine { budget: Budget::default(), flights: Shares::new(MAX_FLIGHTS_PER_MIRROR) };
        let line = self.lines.entry(name.clone()).or_insert_with(new);
        if !self.flying.allows(network) || !line.flights.allows(network) {
            return Err(Turned::Flights);
        }
        if line.budget.take(network, now) == AskGrant::Spent {
            return Err(Turned::Rate);
        }
        self.flying.take(network);
        line.flights.take(network);
        let (sender, receiver) = watch::channel(None);
        self.flights.insert(key, receiver);
        Ok(sender)
    }
}

impl WaitingRequest {
    /// What is found out in time.
    pub(super) async fn finish(mut self) -> Holding {
        let all = async {
            for flight in &mut self.flights {
                let said = flight.wait_for(Option::is_some).await.map(|holding| *holding);
                match said.ok().flatten() {
                    Some(Holding::Has) => {}
                    other => return other.unwrap_or(Holding::Unsaid),
                }
            }
            Holding::Has
        };
        match timeout_at(self.until, all).await {
            Ok(holding) => {
                self.asker.counters.waited(holding);
                holding
            }
            Err(_) => {
                self.asker.counters.late();
                Holding::Unsaid
            }
        }
    }
}

impl Drop for WaitingRequest {
    fn drop(&mut self) {
        self.asker.state().waiting.give_back(self.network);
    }
}

impl Collect for BlobAsker {
    fn collect(&self, page: &mut MetricsPage) {
        let (held, lacked) = self.state().known.count(self.now());
        self.counters.write(page, held as u64, lacked as u64);
        page.gauge("pharos_blob_waiting", "Requests that wait for a mirror's answer.")
            .sample(&[], self.waiting() as u64);
    }
}
