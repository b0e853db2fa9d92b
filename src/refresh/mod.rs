//! Sources that are fetched by URL: each on its schedule, and when an operator asks.
//!
//! ```text
//! schedule ─┐
//!           ├─► SourceTask ─► fetch ─► unpack ─► FILE's download ─► live::Candidates (judged, kept, served)
//! operator ─┘       ▲
//!                   └─ in a fleet: live::FleetSources (checks and copies of other servers)
//! ```
//!
//! **Invariants**: no start and no query waits for a fetch; a source has one fetch under way at most, and all sources
//! [`MAX_AT_ONCE`]; a fetch is bounded in time and bytes, and its content goes to the disk piece by piece. Each change of a
//! source's condition is one line of the log.
//! **Not here**: judging and serving a content (`serve`), the files beside a copy ([`crate::files::kept`]).
//!
//! RFC 9110 §13 (conditional requests), §15.4 (redirects).

mod client;
mod fetch;
mod page;
mod peers;
mod schedule;
mod task;
mod unpack;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures_util::future::OptionFuture;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use crate::base::diagnostic::Diagnostic;
use crate::base::lock::locked;
use crate::config::{Config, InputFile, Network};
use crate::files::{self, ReadError};
use crate::live::{
    Candidates, FetchOutcome, FleetSources, Published, RefreshInbox, RefreshOutcome, ReloadTerms, ServiceRequest,
    SourceStates,
};
use crate::process::Vital;
use crate::process::work::{self, Lane};
use crate::tls::Roots;
use client::SharedClient;
use peers::SourcePeers;
use task::{SourceAsk, SourceTask};

/// The most fetches at once: each holds a piece of its content in memory.
const MAX_AT_ONCE: usize = 4;

/// Requests that may wait for one source.
const MAX_WAITING: usize = 4;

/// Reads the trusted roots; `None` stands for those of this system.
pub(crate) type ReadRoots = fn(Option<&InputFile>) -> Result<Arc<Roots>, Vec<Diagnostic>>;

/// The parts of a running server that the fetches need.
pub(crate) struct RefreshGround {
    /// Reads the trusted roots.
    pub(crate) roots: ReadRoots,
    /// To have contents served.
    pub(crate) contents: Candidates,
    /// The served snapshot.
    pub(crate) published: Arc<Published>,
    /// The conditions of sources.
    pub(crate) states: SourceStates,
    /// The sources of the fleet. `None` for a server alone.
    pub(crate) fleet: Option<FleetSources>,
}

/// The service that fetches sources.
pub(crate) struct RefreshService {
    sources: Arc<Mutex<RunningSources>>,
    ground: RefreshGround,
    permits: Arc<Semaphore>,
    vital: Vital,
    task: AbortHandle,
}

/// The sources that are fetched.
#[derive(Debug, Default)]
struct RunningSources {
    client: Option<Arc<SharedClient>>,
    by_name: BTreeMap<Arc<str>, RunningSource>,
}

#[derive(Debug)]
struct RunningSource {
    network: Network,
    asks: mpsc::Sender<SourceAsk>,
    stop: CancellationToken,
}

impl RefreshService {
    /// Starts to fetch the sources of a configuration; it needs a tokio runtime.
    pub(crate) fn start(config: &Config, ground: RefreshGround, requests: RefreshInbox, vital: &Vital) -> Self {
        let sources: Arc<Mutex<RunningSources>> = Arc::default();
        let answering = answer(requests, sources.clone());
        let task = tokio::spawn(vital.guard("desk of refreshes", answering)).abort_handle();
        let permits = Arc::new(Semaphore::new(MAX_AT_ONCE));
        let service = RefreshService { sources, ground, permits, vital: vital.clone(), task };
        service.reload(config);
        service
    }

    /// Fetches the sources of another configuration. A source that is the same goes on.
    pub(crate) fn reload(&self, config: &Config) {
        let mut running = locked(&self.sources);
        let known = running.client.take().filter(|client| client.is_of(config));
        let is_same = known.is_some();
        let client = known.unwrap_or_else(|| Arc::new(SharedClient::new(config, self.ground.roots)));
        running.client = Some(client.clone());
        let fetched = config.networks.iter().filter_map(|network| Some((&network.name, network.fetch.as_ref()?)));
        self.ground.states.follow(fetched.map(|(name, fetch)| (name.clone(), fetch.url.clone(), fetch.is_pinned)));
        let mut before = std::mem::take(&mut running.by_name);
        for network in config.networks.iter().filter(|network| network.fetched().is_some()) {
            let goes_on = |source: &RunningSource| is_same && is_same_source(&source.network, network);
            let source = match before.remove(&network.name) {
                Some(source) if goes_on(&source) => source.fetch_if_missing(),
                replaced => {
                    replaced.iter().for_each(|source| source.stop.cancel());
                    self.forget(&network.name);
                    self.begin(network, client.clone())
                }
            };
            running.by_name.insert(network.name.clone(), source);
        }
        // Those that are left are stopped.
        for (name, source) in before {
            source.stop.cancel();
            self.forget(&name);
        }
    }

    fn forget(&self, source: &str) {
        self.ground.states.forget(source);
        self.ground.fleet.iter().for_each(|fleet| fleet.forget(source));
    }

    fn begin(&self, network: &Network, client: Arc<SharedClient>) -> RunningSource {
        let (asks, inbox) = mpsc::channel(MAX_WAITING);
        let stop = CancellationToken::new();
        let task = SourceTask {
            network: network.clone(),
            client,
            contents: self.ground.contents.clone(),
            published: self.ground.published.clone(),
            states: self.ground.states.clone(),
            peers: self.ground.fleet.as_ref().and_then(|fleet| SourcePeers::new(fleet.clone(), network)),
            permits: self.permits.clone(),
        };
        let ended = stop.clone();
        let run = async move {
            tokio::select! {
                () = ended.cancelled() => {}
                () = task.run(inbox) => {}
            }
        };
        tokio::spawn(self.vital.guard_until(stop.clone(), format!("fetches of {}", network.name).into(), run));
        RunningSource { network: network.clone(), asks, stop }
    }
}

impl RunningSource {
    /// Fetches the source at once if its copy is missing: an operator may have moved the file away.
    fn fetch_if_missing(self) -> Self {
        let (path, asks) = (self.network.input.path.clone(), self.asks.clone());
        tokio::spawn(async move {
            let found = work::submit(Lane::Fetch, move || files::look_up(&path)).await;
            if let Ok(Err(ReadError::Missing)) = found {
                let (reply, _) = oneshot::channel();
                let _ = asks.try_send(SourceAsk { terms: ReloadTerms::default(), is_previous: false, reply });
            }
        });
        self
    }
}

impl Drop for RefreshService {
    fn drop(&mut self) {
        self.task.abort();
        let running = locked(&self.sources);
        running.by_name.values().for_each(|source| source.stop.cancel());
    }
}

/// Does work that waits for the disk.
async fn on_disk<T: Send + 'static>(job: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, String> {
    work::submit(Lane::Fetch, job).await.map_err(|lost| lost.to_string())?
}

fn is_same_source(one: &Network, other: &Network) -> bool {
    let key = |network: &Network| (network.kind, network.input.clone(), network.fetch.clone());
    key(one) == key(other)
}

/// Answers requests of operators: each source fetches by itself, and the answer waits for all of them.
async fn answer(mut requests: RefreshInbox, sources: Arc<Mutex<RunningSources>>) {
    while let Some(ServiceRequest { request, reply: outcomes_to }) = requests.recv().await {
        let mut asked = Vec::new();
        {
            let running = locked(&sources);
            let is_named = |name: &Arc<str>| request.sources.is_empty() || request.sources.contains(name);
            for (name, source) in running.by_name.iter().filter(|(name, _)| is_named(name)) {
                let (reply, outcome) = oneshot::channel();
                let ask = SourceAsk { terms: request.terms, is_previous: request.is_previous, reply };
                let sent = source.asks.try_send(ask).is_ok();
                asked.push((name.clone(), sent.then_some(outcome)));
            }
        }
        // Another request may be answered meanwhile.
        tokio::spawn(async move {
            let mut outcomes = Vec::new();
            for (source, outcome) in asked {
                let outcome = OptionFuture::from(outcome).await.and_then(Result::ok);
                let lost = || {
                    let why = "a reload has changed this source, or too many requests wait for it; ask again";
                    RefreshOutcome { source, outcome: FetchOutcome::Failed(why.to_string()), judged: None }
                };
                outcomes.push(outcome.unwrap_or_else(lost));
            }
            // The operator may have stopped waiting.
            let _ = outcomes_to.send(outcomes);
        });
    }
    // A server without `[control]` has no operator.
    std::future::pending().await
}
