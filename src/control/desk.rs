//! The desk: answers the requests of operators, of the control socket and of the admin listener.
//!
//! **Invariants**: one answer comes from one snapshot; an override is acknowledged when it is kept and served, not before;
//! the listener has authorized the client.
//! **Not here**: listening and identifying clients ([`super::socket`], the admin listener), the overrides
//! ([`super::ledger`]).

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::client::MAX_ANSWER_LEN;
use super::ledger::{LedgerAsk, LedgerEntry, OverrideDone, OverrideRefused};
use super::operator::{self, Caller};
use super::request::{self, ControlRequest, Refusal};
use super::standing::OverrideSubject;
use super::view::{self, DoneView, DrainView, RefreshView, RefusalView, ReloadOutcomeView, RetransferView};
use crate::base::diagnostic::did_you_mean;
use crate::base::ids::MirrorId;
use crate::base::name::NameBuf;
use crate::base::prefix::Prefix;
use crate::base::time::UnixTime;
use crate::inspect::Rulings;
use crate::inspect::view::{ExplainSource, ExplainSubject, OverrideView, describe, describe_redirect};
use crate::listen::HttpResponse;
use crate::live::{
    Published, Readiness, RefreshRequests, ReloadHistory, ReloadRequests, ReloadTerms, RetransferError, Retransferred,
    Retransfers, SourceStates,
};
use crate::mirror::{Forced, Override};
use crate::process::Clock;
use crate::process::state::{self, StateFiles};
use crate::process::work::{self, Lane, Lost};
use crate::snapshot::Snapshot;
use crate::telemetry::probe::Probes;
use crate::telemetry::{Collect, MetricsPage};

/// The timeout of an override: longer than the write of its state, so that the operator gets the error of that write.
const OVERRIDE_TIMEOUT: Duration = state::DEADLINE.saturating_add(Duration::from_secs(5));

/// The longest time that a request waits for its reload: shorter than the longest connection to the control socket. Databases of
/// cities take seconds.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(50);

/// Answers the requests of operators.
pub(crate) struct Desk {
    readiness: Arc<Readiness>,
    files: StateFiles,
    /// Set when the server begins to serve.
    running: OnceLock<RunningServer>,
    /// A permit for an answer with rulings. There is one, because such an answer takes as much memory as tables.
    rulings: Arc<Semaphore>,
}

/// The parts of a running server from which answers are made.
pub(super) struct RunningServer {
    pub(super) published: Arc<Published>,
    pub(super) clock: Clock,
    pub(super) ledger: mpsc::Sender<LedgerEntry>,
    pub(super) requests: OperatorRequests,
    pub(super) about: About,
}

/// The senders of operators' requests to other services.
pub(crate) struct OperatorRequests {
    /// To fetch a copy of a zone.
    pub(crate) retransfers: Retransfers,
    /// To reload.
    pub(crate) reloads: ReloadRequests,
    /// To fetch sources.
    pub(crate) refreshes: RefreshRequests,
}

/// Facts about the server that the snapshot does not have.
pub(crate) struct About {
    /// The results of probes; `None` if mirrors are not probed.
    pub(crate) probes: Option<Arc<Probes>>,
    /// The configuration and its last reload.
    pub(crate) history: Arc<ReloadHistory>,
    /// The certificates of the listeners.
    pub(crate) certificates: Box<dyn Fn() -> Vec<ListenerCertificate> + Send + Sync>,
    /// The conditions of sources.
    pub(crate) sources: SourceStates,
}

/// The certificate of a listener.
pub(crate) struct ListenerCertificate {
    /// The listener.
    pub(crate) listener: &'static str,
    /// The first end in its chain.
    pub(crate) ends: UnixTime,
    /// The time and the reason, if its changed files cannot be used; an older certificate is served.
    pub(crate) refused: Option<(UnixTime, String)>,
}

impl Desk {
    pub(super) fn new(readiness: Arc<Readiness>, files: StateFiles) -> Self {
        Desk { readiness, files, running: OnceLock::new(), rulings: Arc::new(Semaphore::new(1)) }
    }

    /// Sets the running server; until then, valid requests get 503.
    pub(super) fn open(&self, running: RunningServer) {
        // It is opened once. A second call would leave the first one in place.
        let _ = self.running.set(running);
    }

    /// Answers a request.
    pub(crate) async fn answer(&self, caller: Caller, head: Parts, body: Bytes) -> HttpResponse {
        let answered = self.try_answer(caller, &head, &body).await;
        render(answered.unwrap_or_else(DeskAnswer::Refused), &head.method)
    }

    async fn try_answer(&self, caller: Caller, head: &Parts, body: &[u8]) -> Result<DeskAnswer, Refusal> {
        let request = request::parse(head, body, Clock::civil())?;
        let obstacle = self.readiness.obstacle();
        if request == ControlRequest::Ready {
            return Ok(DeskAnswer::Ready(obstacle));
        }
        let unavailable = |why: &str| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, why);
        let running = self.running.get().ok_or_else(|| unavailable(obstacle.as_deref().unwrap_or("starting")))?;
        let snapshot = running.published.load_full();
        let probes = running.about.probes.as_deref();
        match request {
            ControlRequest::Ready | ControlRequest::Status => {
                let now = running.clock.now();
                let age = now.0.saturating_sub(running.published.published_at().0);
                let failing = self.files.failing();
                Ok(DeskAnswer::json(&view::status(&snapshot, &self.readiness, &running.about, &failing, age, now.0)))
            }
            ControlRequest::Mirrors => Ok(DeskAnswer::json(&view::mirrors(&snapshot, probes))),
            ControlRequest::Mirror(name) => {
                Ok(DeskAnswer::json(&view::mirror(&snapshot, find(&snapshot, &name)?, probes)))
            }
            ControlRequest::Explain { client, resolver, name } => {
                let age_secs = running.clock.now().0.saturating_sub(running.published.published_at().0) / 1000;
                let probes = running.about.probes.clone();
                explain(snapshot, probes, client, resolver, name.map(|name| *name), age_secs).await
            }
            ControlRequest::Rulings => {
                let busy = |_| unavailable("another comparison is under way");
                rulings(snapshot, self.rulings.clone().try_acquire_owned().map_err(busy)?).await
            }
            ControlRequest::Reload { terms, width } => running.reload(terms, width).await,
            ControlRequest::Refresh { sources, is_previous, terms, width } => {
                running.refresh(&snapshot, sources, is_previous, terms, width).await
            }
            ControlRequest::Retransfer(zone) => {
                find_zone(&snapshot, &zone)?;
                running.retransfer(*zone).await
            }
            ControlRequest::Give { mirror, forced, reason, until, force } => {
                let id = find(&snapshot, &mirror)?;
                let is_warned = forced != Forced::Up && !force;
                let warning = is_warned.then(|| view::warning(&snapshot, id)).flatten();
                let who = operator::find(caller, &head.headers).await;
                let order = Override { forced, reason, who, since: Clock::civil(), until };
                let stands = Some(OverrideView::of(&order));
                running.order(mirror, LedgerAsk::Give(order), stands, warning).await
            }
            ControlRequest::Drain { reason, until } => {
                let who = operator::find(caller, &head.headers).await;
                let order = Override { forced: Forced::Drain, reason, who, since: Clock::civil(), until };
                running.drain(LedgerAsk::Give(order.clone()), Some(&order)).await
            }
            ControlRequest::Undrain { reason } => {
                let who = operator::find(caller, &head.headers).await;
                running.drain(LedgerAsk::TakeBack { who, reason }, None).await
            }
            ControlRequest::TakeBack { mirror, reason } => {
                // An override of a mirror that is no longer configured can be removed too.
                if !snapshot.overrides().contains_key(&mirror) {
                    find(&snapshot, &mirror)?;
                }
                let who = operator::find(caller, &head.headers).await;
                running.order(mirror, LedgerAsk::TakeBack { who, reason }, None, None).await
            }
        }
    }
}

impl RunningServer {
    async fn reload(&self, terms: ReloadTerms, width: Option<usize>) -> Result<DeskAnswer, Refusal> {
        let late = |_| {
            let message = format!("the reload is not done after {} s", RELOAD_TIMEOUT.as_secs());
            Refusal::new(StatusCode::GATEWAY_TIMEOUT, message)
                .help("it goes on, and the log tells when it is over; `pharos status` shows its outcome")
        };
        let asked = tokio::time::timeout(RELOAD_TIMEOUT, self.requests.reloads.ask(terms)).await.map_err(late)?;
        let outcome = asked.ok_or_else(|| {
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping, or serves one configuration alone")
        })?;
        let view = ReloadOutcomeView::of(&outcome, width);
        Ok(if outcome.is_refused() { DeskAnswer::not_served(&view) } else { DeskAnswer::json(&view) })
    }

    async fn refresh(
        &self,
        snapshot: &Snapshot,
        sources: Vec<Arc<str>>,
        is_previous: bool,
        terms: ReloadTerms,
        width: Option<usize>,
    ) -> Result<DeskAnswer, Refusal> {
        let states = self.about.sources.all();
        let is_fetched = |name: &Arc<str>| {
            states.get(name).and_then(|state| state.fetch.as_ref()).is_some_and(|fetch| !fetch.is_pinned)
        };
        for name in &sources {
            let names = || snapshot.provenance().networks.sources.iter().map(|source| &*source.name);
            if !names().any(|known| known == &**name) {
                return Err(Refusal::new(StatusCode::NOT_FOUND, format!("network `{name}` is not defined"))
                    .help(did_you_mean(name, "networks", names())));
            }
            if !is_fetched(name) {
                return Err(Refusal::new(StatusCode::CONFLICT, format!("network `{name}` is not fetched"))
                    .help("it has no `url`, or `pin = true`: replace its file, and reload"));
            }
        }
        let late = |_| {
            let message = format!("the fetches are not done after {} s", RELOAD_TIMEOUT.as_secs());
            Refusal::new(StatusCode::GATEWAY_TIMEOUT, message)
                .help("the fetches go on; `pharos status` shows the outcome")
        };
        let asked = self.requests.refreshes.ask(sources, terms, is_previous);
        let outcomes = tokio::time::timeout(RELOAD_TIMEOUT, asked).await.map_err(late)?;
        let outcomes =
            outcomes.ok_or_else(|| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping"))?;
        if outcomes.is_empty() {
            return Err(Refusal::new(StatusCode::CONFLICT, "no network is fetched")
                .help("add `url = \"https://…\"` to a line of `[networks]`"));
        }
        let view = RefreshView::of(&outcomes, terms.is_dry, self.published.load().generation, width);
        Ok(if view.refused { DeskAnswer::not_served(&view) } else { DeskAnswer::json(&view) })
    }

    async fn retransfer(&self, zone: NameBuf) -> Result<DeskAnswer, Refusal> {
        let name = zone.to_string();
        let asked = tokio::time::timeout(OVERRIDE_TIMEOUT, self.requests.retransfers.ask(zone)).await;
        let late = |_| {
            Refusal::new(StatusCode::GATEWAY_TIMEOUT, format!("zone `{name}` is not here yet"))
                .help("the transfer goes on, and the log tells when it is over; `pharos status` shows the serial")
        };
        match asked.map_err(late)? {
            Ok(Retransferred { before, serial, primary }) => {
                Ok(DeskAnswer::json(&RetransferView { zone: name, before, serial, primary: primary.to_string() }))
            }
            Err(error @ RetransferError::NotACopy) => {
                Err(Refusal::new(StatusCode::CONFLICT, format!("zone `{name}` cannot be fetched: {error}"))
                    .help("it is read from its file: change that, and reload"))
            }
            Err(error @ RetransferError::Failed(_)) => {
                Err(Refusal::new(StatusCode::BAD_GATEWAY, format!("zone `{name}` was not fetched: {error}"))
                    .help("the zone is served as before"))
            }
            Err(error @ (RetransferError::Busy | RetransferError::Stopping)) => {
                Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, format!("zone `{name}` was not fetched: {error}"))
                    .help("ask again later"))
            }
        }
    }

    async fn order(
        &self,
        mirror: Arc<str>,
        ask: LedgerAsk,
        stands: Option<OverrideView>,
        warning: Option<String>,
    ) -> Result<DeskAnswer, Refusal> {
        let OverrideDone { before, generation } = self.enter(OverrideSubject::Mirror(mirror.clone()), ask).await?;
        Ok(DeskAnswer::json(&DoneView {
            mirror: mirror.to_string(),
            order: stands,
            before: before.as_ref().map(OverrideView::of),
            generation: generation.map(|generation| generation.0),
            warning,
            probed: self.about.probes.is_some(),
        }))
    }

    /// Takes the server out of service, or puts it back.
    async fn drain(&self, ask: LedgerAsk, stands: Option<&Override>) -> Result<DeskAnswer, Refusal> {
        let OverrideDone { before, .. } = self.enter(OverrideSubject::Server, ask).await?;
        Ok(DeskAnswer::json(&DrainView {
            drain: stands.map(OverrideView::of),
            before: before.as_ref().map(OverrideView::of),
        }))
    }

    /// Has the ledger take an override.
    async fn enter(&self, subject: OverrideSubject, ask: LedgerAsk) -> Result<OverrideDone, Refusal> {
        let (reply, outcome) = oneshot::channel();
        let stopping = || Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping");
        let asked = async {
            self.ledger.send(LedgerEntry { subject, ask, reply }).await.map_err(|_| stopping())?;
            outcome.await.map_err(|_| stopping())
        };
        let late = |_| {
            Refusal::new(StatusCode::GATEWAY_TIMEOUT, "the disk does not take the override")
                .help("it may still come into force: check `pharos mirror list`, and the disk of `[control] state`")
        };
        match tokio::time::timeout(OVERRIDE_TIMEOUT, asked).await.map_err(late)?? {
            Ok(done) => Ok(done),
            Err(OverrideRefused::Full) => {
                let error = "the number of overrides is at its limit";
                Err(Refusal::new(StatusCode::CONFLICT, error)
                    .help("remove those of mirrors that are not configured any more"))
            }
            Err(OverrideRefused::NotKept(error)) => {
                let error = format!("the override cannot be kept, and was not set: {error}");
                Err(Refusal::new(StatusCode::INSUFFICIENT_STORAGE, error)
                    .help("check the folder of `[control] state`: it must exist, be writable, and have space"))
            }
            Err(OverrideRefused::Stopping) => Err(stopping()),
        }
    }
}

/// Metrics: two samples for each override in force, and one for a drained server.
impl Collect for Desk {
    fn collect(&self, page: &mut MetricsPage) {
        let Some(running) = self.running.get() else { return };
        let snapshot = running.published.load_full();
        let mut family = page.gauge("pharos_mirror_override", "1 for each override in force.");
        for (mirror, order) in snapshot.overrides() {
            family.sample(&[("mirror", mirror), ("override", order.forced.as_str())], 1);
        }
        let is_drained = self.readiness.drained().is_some();
        page.gauge(
            "pharos_server_drained",
            "Whether an operator has taken the server out of service: `/ready` is 503.",
        )
        .sample(&[], is_drained.into());
        let mut family = page.gauge("pharos_mirror_order", "The former name of `pharos_mirror_override`.");
        for (mirror, order) in snapshot.overrides() {
            family.sample(&[("mirror", mirror), ("order", order.forced.as_str())], 1);
        }
    }
}

async fn explain(
    snapshot: Arc<Snapshot>,
    probes: Option<Arc<Probes>>,
    client: Prefix,
    resolver: Option<IpAddr>,
    name: Option<NameBuf>,
    age_secs: u64,
) -> Result<DeskAnswer, Refusal> {
    let Some(subject) =
        name.map(|name| ExplainSubject::Name(name.into())).or_else(|| ExplainSubject::first_of(&snapshot))
    else {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "no name is steered").help("say which name to explain"));
    };
    let known = ExplainSource::Served { generation: snapshot.generation, age_secs };
    // It walks whole tables, which takes too long for a thread of the runtime.
    let described = work::submit(Lane::Compute, move || {
        let mut view = match subject {
            ExplainSubject::Name(name) => describe(&snapshot, name.as_name(), client, resolver, known),
            ExplainSubject::Redirects(horizon) => describe_redirect(&snapshot, horizon, client, resolver, known),
        };
        for mirror in view.steered.iter_mut().flat_map(|steered| &mut steered.mirrors) {
            let id = snapshot.mirror(&mirror.mirror);
            mirror.addresses = id.map(|id| view::addresses(&snapshot, id, probes.as_deref()));
        }
        view
    });
    match described.await {
        Ok(view) => Ok(DeskAnswer::json(&view)),
        Err(Lost::Panicked) => Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, Lost::Panicked.to_string())),
        Err(lost) => Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, lost.to_string())),
    }
}

/// An answer with rulings, which holds the permit until it is sent.
struct HeldRulings {
    json: Vec<u8>,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for HeldRulings {
    fn as_ref(&self) -> &[u8] {
        &self.json
    }
}

/// The rulings of a snapshot, for a comparison with a configuration that the client reads.
async fn rulings(snapshot: Arc<Snapshot>, permit: OwnedSemaphorePermit) -> Result<DeskAnswer, Refusal> {
    let made = work::submit(Lane::Compute, move || serde_json::to_vec(&Rulings::of(&snapshot)));
    match made.await {
        Ok(Ok(json)) if json.len() <= MAX_ANSWER_LEN => {
            Ok(DeskAnswer::Rulings(Bytes::from_owner(HeldRulings { json, _permit: permit })))
        }
        Ok(Ok(_)) => Err(Refusal::new(StatusCode::INSUFFICIENT_STORAGE, "the rulings are longer than any answer")
            .help("compare two configurations: `pharos simulate --against OLD`")),
        Ok(Err(error)) => Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
        Err(Lost::Panicked) => Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, Lost::Panicked.to_string())),
        Err(lost) => Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, lost.to_string())),
    }
}

fn find(snapshot: &Snapshot, name: &str) -> Result<MirrorId, Refusal> {
    snapshot.mirror(name).ok_or_else(|| {
        let help = did_you_mean(name, "mirrors", snapshot.mirrors().iter().map(|mirror| &*mirror.name));
        Refusal::new(StatusCode::NOT_FOUND, format!("mirror `{name}` is not defined")).help(help)
    })
}

/// Checks that a zone is served here.
fn find_zone(snapshot: &Snapshot, name: &NameBuf) -> Result<(), Refusal> {
    let name = name.as_name();
    let found = snapshot.zones().find(name, &name.suffixes());
    if found.is_some_and(|(_, zone)| zone.apex() == name) {
        return Ok(());
    }
    let zones: Vec<String> = snapshot.zones().iter().map(|(_, zone)| zone.apex().to_string()).collect();
    let help = did_you_mean(&name.to_string(), "zones", zones.iter().map(String::as_str));
    Err(Refusal::new(StatusCode::NOT_FOUND, format!("zone `{name}` is not served here")).help(help))
}

/// Renders a refusal.
pub(super) fn refuse(refusal: Refusal, method: &Method) -> HttpResponse {
    render(DeskAnswer::Refused(refusal), method)
}

/// The content of a response.
enum DeskAnswer {
    Json(String),
    Rulings(Bytes),
    /// A reload, or a fetch, that was refused in part or as a whole.
    NotServed(String),
    Ready(Option<Cow<'static, str>>),
    Refused(Refusal),
}

impl DeskAnswer {
    fn json(view: &impl Serialize) -> Self {
        DeskAnswer::Json(serde_json::to_string(view).expect("a view is plain data") + "\n")
    }

    fn not_served(view: &impl Serialize) -> Self {
        DeskAnswer::NotServed(serde_json::to_string(view).expect("a view is plain data") + "\n")
    }
}

fn render(answer: DeskAnswer, method: &Method) -> HttpResponse {
    const JSON: &str = "application/json";
    let mut allow = None;
    const TEXT: &str = "text/plain; charset=utf-8";
    let (status, kind, body) = match answer {
        DeskAnswer::Json(text) => (StatusCode::OK, JSON, text.into()),
        DeskAnswer::Rulings(json) => (StatusCode::OK, JSON, json),
        DeskAnswer::NotServed(text) => (StatusCode::UNPROCESSABLE_ENTITY, JSON, text.into()),
        DeskAnswer::Ready(None) => (StatusCode::OK, TEXT, Bytes::from_static(b"ready\n")),
        DeskAnswer::Ready(Some(obstacle)) => (StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{obstacle}\n").into()),
        DeskAnswer::Refused(Refusal { status, error, help, allow: methods }) => {
            allow = methods;
            let text = serde_json::to_string(&RefusalView { error, help }).expect("a view is plain data");
            (status, JSON, (text + "\n").into())
        }
    };
    let len = body.len();
    let sent = if method == Method::HEAD { Bytes::new() } else { body };
    let mut response = HttpResponse::new(Full::new(sent));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, len.into());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Some(allow) = allow {
        headers.insert(ALLOW, HeaderValue::from_static(allow));
    }
    response
}
