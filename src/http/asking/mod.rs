//! Requests to mirrors for blobs, and to canonical for content that may be a signature's, before clients are sent there.
//!
//! The result for an [`Ask`] or a [`CanonicalAsk`] comes from the cache if it is there. Otherwise a flight is started, or
//! one in progress is joined; a client request waits for it until [`Means::wait`] is over. A flight is one in-flight
//! request to one server, dialled as a probe dials it. It continues when no client request waits any more, because its
//! result serves the next request.
//!
//! **Invariants**: no client request waits longer than [`Means::wait`]; concurrent requests for one blob at one mirror
//! share one flight; flights, waiting requests and questions per second have limits that are shared out by client
//! network; a client request beyond a limit gets [`Holding::Unsaid`] at once; memory is bounded by these limits.
//! **Not here**: the mirrors to ask and the reply ([`crate::registry`]), the health of mirrors (only probes change it).

mod flight;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::base::lock::locked;
use crate::base::prefix::Prefix;
use crate::base::time::Moment;
use crate::process;
use crate::registry::known::{BlobKey, Holding, KnownBlobs};
use crate::registry::{Ask, Budget, CanonicalAsk, Shares};
use crate::snapshot::Snapshot;
use crate::telemetry::blobs::{Blobs, Turned};
use crate::telemetry::{Collect, MetricsPage};
use crate::tls::{Dialed, MirrorDialers};
pub use flight::{At, Canonical};
use flight::{Flight, FlightQuestion};

/// The most concurrent flights to all mirrors and canonical: each has a socket and at first a handshake, some 40 KB, so
/// together 10 MB.
pub(crate) const MAX_FLIGHTS: usize = 256;

/// The most concurrent flights to one mirror, so that a mirror that hangs leaves room for others.
pub const MAX_FLIGHTS_PER_MIRROR: usize = 16;

/// The most client requests that wait. Each takes some 2 KB; over HTTP/2, one client could otherwise have a hundred on
/// each connection.
pub(crate) const MAX_WAITING: usize = 1024;

/// The most connections kept for the next question, one for each address.
const MAX_KEPT: usize = 64;

/// The longest time that a connection is kept. Servers commonly close idle connections later (nginx after 75 s), so that
/// a kept one is seldom found closed. A new connection also verifies the certificate again.
const KEPT_FOR: Duration = Duration::from_secs(30);

/// The longest lifetime of a cached [`Holding::Unsaid`]. It is short, because the mirror is up according to its probes
/// and is likely to answer soon.
const UNSAID_FOR: Duration = Duration::from_secs(5);

/// The settings for questions to mirrors and canonical.
#[derive(Clone, Debug)]
pub struct Means {
    /// The dialers for mirrors; `None` if mirrors are not asked.
    pub mirrors: Option<MirrorDialers>,
    /// The means to reach canonical; `None` if canonical is not asked.
    pub canonical: Option<Canonical>,
    /// The longest time that a client request waits for a result.
    pub wait: Duration,
    /// The longest time that a flight takes.
    pub timeout: Duration,
    /// The lifetime of a cached [`Holding::Has`].
    pub keep: Duration,
    /// The lifetime of a cached [`Holding::Lacks`].
    pub lacking: Duration,
}

/// Asks mirrors and canonical, and caches the results.
#[derive(Debug)]
pub struct BlobAsker {
    /// The settings; `None` if no server is asked.
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
    /// The limits of each mirror, by name. A mirror without a flight and without a question in the last second is removed.
    lines: HashMap<Arc<str>, MirrorLine>,
    kept: HashMap<Destination, (Dialed, Instant)>,
    flying: Shares,
    waiting: Shares,
}

/// The destination of a connection. Canonical and redirect-only mirrors may have the address of a mirror with another port or
/// another TLS name, so an address alone would not do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Destination {
    server: Server,
    address: IpAddr,
}

/// The server at an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Server {
    /// A mirror; the authority of its URL if it is redirect-only.
    Mirror(Option<Arc<str>>),
    Canonical,
}

/// The limits of one mirror, or of canonical.
#[derive(Debug)]
struct MirrorLine {
    budget: Budget,
    flights: Shares,
}

/// The result of a lookup.
pub(super) enum FoundBlob {
    /// The result is known now.
    Known(Holding),
    /// Flights are in progress that will give the result.
    Waiting(WaitingRequest),
}

/// The flights that a client request waits for.
pub(super) struct WaitingRequest {
    asker: Arc<BlobAsker>,
    flights: Vec<watch::Receiver<Option<Holding>>>,
    network: Prefix,
    until: Instant,
}

impl BlobAsker {
    /// An asker with these settings. With `None`, no server is asked.
    pub fn new(means: Option<Means>) -> Arc<Self> {
        Arc::new(BlobAsker {
            means: ArcSwapOption::from_pointee(means),
            secret: [process::seed(), process::seed()],
            start: Instant::now(),
            state: Mutex::new(AskingState {
                known: KnownBlobs::default(),
                flights: HashMap::new(),
                lines: HashMap::new(),
                kept: HashMap::new(),
                flying: Shares::new(MAX_FLIGHTS),
                waiting: Shares::new(MAX_WAITING),
            }),
            counters: Blobs::default(),
        })
    }

    /// Applies new settings. Cached results are kept.
    pub(crate) fn replace(&self, means: Option<Means>) {
        self.means.store(means.map(Arc::new));
        // The new settings may not accept the certificates of these connections.
        self.state().kept.clear();
    }

    /// The counters.
    pub fn counters(&self) -> &Blobs {
        &self.counters
    }

    /// The deadline of a client request that arrives now.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.means.load().as_ref().map_or(Duration::ZERO, |means| means.wait)
    }

    /// Looks up a blob at every mirror that must have it, and starts a flight for each unknown result.
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
        for asked in ask.mirrors() {
            let mirror = &snapshot.mirrors()[asked.mirror.index()];
            let key = ask.key(self.secret, mirror);
            let question = || {
                let address = asked.address(snapshot, key.spread())?;
                let dialer = means.mirrors.as_ref()?.of(&mirror.content).ok()?;
                let authority = mirror.content.url.as_ref().map(|url| url.authority.clone());
                let place = Destination { server: Server::Mirror(authority), address };
                let content = mirror.content.clone();
                Some(FlightQuestion::Mirror { place, dialer: Box::new(dialer), path: ask.path(), content })
            };
            if let Some(holding) = search.look(key, &mirror.name, question) {
                self.counters.known.count(holding);
                return search.known(holding);
            }
        }
        if search.turned.is_none() && search.flights.is_empty() {
            self.counters.known.count(Holding::Has);
        }
        search.end(until)
    }

    /// Looks up whether canonical has content that may be a signature's, and starts a flight if that is unknown.
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

    /// The number of client requests that wait.
    pub fn waiting(&self) -> usize {
        self.state().waiting.taken()
    }

    fn now(&self) -> Moment {
        Moment(self.start.elapsed().as_millis() as u64)
    }

    fn state(&self) -> MutexGuard<'_, AskingState> {
        // A poisoned lock is used all the same: the worst effect of a half-done change is a repeated question.
        locked(&self.state)
    }
}

/// A lookup in the cache, and the flights that it joins and starts.
struct BlobSearch<'a> {
    asker: &'a Arc<BlobAsker>,
    means: &'a Arc<Means>,
    network: Prefix,
    /// Locked during the whole search. A flight locks it too when it ends.
    state: MutexGuard<'a, AskingState>,
    flights: Vec<watch::Receiver<Option<Holding>>>,
    begun: Vec<(Flight, FlightQuestion)>,
    turned: Option<Turned>,
}

impl<'a> BlobSearch<'a> {
    fn new(asker: &'a Arc<BlobAsker>, means: &'a Arc<Means>, network: Prefix) -> Self {
        // Neither list allocates if every result is cached.
        let (flights, begun) = (Vec::new(), Vec::new());
        BlobSearch { asker, means, network, state: asker.state(), flights, begun, turned: None }
    }

    /// Returns a cached result other than [`Holding::Has`], which ends the search. If no result is cached, it joins or
    /// starts a flight.
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

    /// Ends the search with a known result.
    fn known(self, holding: Holding) -> FoundBlob {
        self.start();
        FoundBlob::Known(holding)
    }

    /// Ends a search in which no mirror is known to lack the blob.
    fn end(mut self, until: Instant) -> FoundBlob {
        if let Some(why) = self.turned {
            self.asker.counters.turned.count(why);
            return self.known(Holding::Unsaid);
        }
        if self.flights.is_empty() {
            return self.known(Holding::Has);
        }
        if !self.state.waiting.take(self.network) {
            self.asker.counters.turned.count(Turned::Waiting);
            return self.known(Holding::Unsaid);
        }
        let flights = std::mem::take(&mut self.flights);
        let waiting = WaitingRequest { asker: self.asker.clone(), flights, network: self.network, until };
        self.start();
        FoundBlob::Waiting(waiting)
    }

    /// Releases the lock, then starts the flights.
    fn start(self) {
        drop(self.state);
        for (flight, question) in self.begun {
            tokio::spawn(flight.fly(question));
        }
    }
}

impl AskingState {
    /// Reserves a flight, or returns the limit that prevents it.
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
        if !line.budget.take(network, now) {
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
    /// Waits for the result. It is [`Holding::Unsaid`] if the deadline passes first.
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
                self.asker.counters.waited.count(holding);
                holding
            }
            Err(_) => {
                self.asker.counters.late.increment();
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
