//! The desk: answers the requests of operators, of the control socket and of the admin listener.
//!
//! **Invariants**: one answer comes from one snapshot; an override is acknowledged when it is kept and served, not before;
//! the listener has authorized the client.
//! **Not here**: listening and identifying clients ([`super::socket`], the admin listener), the overrides
//! ([`super::ledger`]).

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::http::request::Parts;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer::{DeskAnswer, render};
use super::client::MAX_ANSWER_LEN;
use super::operator::{self, Caller};
use super::request::{self, ControlRequest, ListForm, Refusal};
use super::running::RunningServer;
use super::view;
use crate::base::diagnostic::did_you_mean;
use crate::base::ids::MirrorId;
use crate::base::name::NameBuf;
use crate::base::prefix::Prefix;
use crate::fleet::OverrideAction;
use crate::inspect::Rulings;
use crate::inspect::view::{ExplainSource, ExplainSubject, describe};
use crate::listen::HttpResponse;
use crate::live::Readiness;
use crate::mirror::{Forced, Override};
use crate::process::Clock;
use crate::process::state::StateFiles;
use crate::process::work::{self, Lane};
use crate::snapshot::Snapshot;
use crate::telemetry::probe::Probes;
use crate::telemetry::{Collect, MetricsPage};

/// Answers the requests of operators.
pub(crate) struct Desk {
    readiness: Arc<Readiness>,
    files: StateFiles,
    /// Set when the server begins to serve.
    running: OnceLock<RunningServer>,
    /// A permit for an answer with rulings. There is one, because such an answer takes as much memory as tables.
    rulings: Arc<Semaphore>,
}

impl Desk {
    /// A desk that is not open yet.
    pub(crate) fn new(readiness: Arc<Readiness>, files: StateFiles) -> Self {
        Desk { readiness, files, running: OnceLock::new(), rulings: Arc::new(Semaphore::new(1)) }
    }

    /// Sets the running server; until then, valid requests get 503.
    pub(super) fn open(&self, running: RunningServer) {
        // It is opened once. A second call would leave the first one in place.
        let _ = self.running.set(running);
    }

    /// Answers a request.
    pub(crate) async fn answer(&self, caller: Caller, head: Parts, body: Bytes) -> HttpResponse {
        render(self.try_answer(caller, &head, &body).await, &head.method)
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
        match request {
            ControlRequest::Ready | ControlRequest::Status => {
                let (readiness, failing, now) = (&self.readiness, self.files.failing(), running.clock.now());
                let age_ms = running.age_ms(now);
                Ok(DeskAnswer::json(&view::status(&snapshot, readiness, &running.about, failing, age_ms, now.0)))
            }
            ControlRequest::Top => {
                let now = running.clock.now();
                let age_ms = running.age_ms(now);
                Ok(DeskAnswer::json(&view::top(&snapshot, &self.readiness, &running.about, age_ms, now)))
            }
            ControlRequest::Mirrors(form) => {
                // Without a thread for it, the list lacks the clients of mirrors.
                let reaches = running.atlas.reaches(&snapshot).await.ok().flatten();
                let view = view::mirrors(&snapshot, &running.about, reaches.as_deref(), None);
                Ok(match form {
                    ListForm::Json => DeskAnswer::json(&view),
                    ListForm::Html => DeskAnswer::Html(view::mirrors_page(&view)),
                })
            }
            ControlRequest::Mirror(name) => {
                let id = find(&snapshot, &name)?;
                let reaches = running.atlas.reaches(&snapshot).await.ok().flatten();
                let view = view::mirrors(&snapshot, &running.about, reaches.as_deref(), Some(id));
                Ok(DeskAnswer::json(&view.mirrors[0]))
            }
            ControlRequest::Space { block, name } => {
                let change = running.about.changes.last();
                let document = running.atlas.space(&snapshot, change, block, name.map(|name| *name)).await?;
                Ok(DeskAnswer::Json(StatusCode::OK, document))
            }
            ControlRequest::History => {
                let (about, change) = (&running.about, running.about.changes.last());
                let ring = about.chronicle.until(Clock::civil());
                Ok(DeskAnswer::json(&view::history(&ring, change.as_deref())))
            }
            ControlRequest::Sources => Ok(DeskAnswer::json(&view::sources(&snapshot, &running.about, Clock::civil()))),
            ControlRequest::Explain { client, resolver, name } => {
                let age_secs = running.age_ms(running.clock.now()) / 1000;
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
                running.order(mirror, OverrideAction::Set(order.clone()), Some(&order), warning).await
            }
            ControlRequest::Drain { reason, until } => {
                let who = operator::find(caller, &head.headers).await;
                let order = Override { forced: Forced::Drain, reason, who, since: Clock::civil(), until };
                running.drain(OverrideAction::Set(order.clone()), Some(&order)).await
            }
            ControlRequest::Undrain { reason } => {
                let who = operator::find(caller, &head.headers).await;
                running.drain(OverrideAction::Removed { who, reason }, None).await
            }
            ControlRequest::Forget(server) => running.forget(server).await,
            ControlRequest::TakeBack { mirror, reason } => {
                // An override of a mirror that is no longer configured can be removed too.
                if !snapshot.overrides().contains_key(&mirror) {
                    find(&snapshot, &mirror)?;
                }
                let who = operator::find(caller, &head.headers).await;
                running.order(mirror, OverrideAction::Removed { who, reason }, None, None).await
            }
        }
    }
}

/// Metrics: two samples for each override in force, and one for a drained server.
impl Collect for Desk {
    fn collect(&self, page: &mut MetricsPage) {
        let Some(running) = self.running.get() else { return };
        let snapshot = running.published.load_full();
        let orders = || snapshot.overrides().iter().map(|(mirror, order)| ([&**mirror, order.forced.as_str()], 1));
        page.gauge("pharos_mirror_override", "1 for each override in force.").samples(["mirror", "override"], orders());
        let is_drained = self.readiness.drained().is_some();
        page.gauge(
            "pharos_server_drained",
            "Whether an operator has taken the server out of service: `/ready` is 503.",
        )
        .sample(&[], is_drained.into());
        page.gauge("pharos_mirror_order", "The former name of `pharos_mirror_override`.")
            .samples(["mirror", "order"], orders());
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
        let mut view = describe(&snapshot, &subject, client, resolver, known);
        for mirror in view.steered.iter_mut().flat_map(|steered| &mut steered.mirrors) {
            let id = snapshot.mirror(&mirror.mirror);
            mirror.addresses = id.map(|id| view::addresses(&snapshot, id, probes.as_deref()));
        }
        view
    });
    described.await.map(|view| DeskAnswer::json(&view)).map_err(Refusal::lost)
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
            Ok(DeskAnswer::Json(StatusCode::OK, Bytes::from_owner(HeldRulings { json, _permit: permit })))
        }
        Ok(Ok(_)) => Err(Refusal::new(StatusCode::INSUFFICIENT_STORAGE, "the rulings are longer than any answer")
            .help("compare two configurations: `pharos simulate --against OLD`")),
        Ok(Err(error)) => Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
        Err(lost) => Err(Refusal::lost(lost)),
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
    if snapshot.zones().at_apex(name).is_some() {
        return Ok(());
    }
    let zones: Vec<String> = snapshot.zones().iter().map(|(_, zone)| zone.apex().to_string()).collect();
    let help = did_you_mean(&name.to_string(), "zones", zones.iter().map(String::as_str));
    Err(Refusal::new(StatusCode::NOT_FOUND, format!("zone `{name}` is not served here")).help(help))
}
