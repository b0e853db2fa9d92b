//! The running server as the desk sees it: its state, and the services that carry out requests.
//!
//! **Invariants**: an override is acknowledged when it is kept and served, not before; each request has a deadline.
//! **Not here**: which request this is ([`super::desk`]), the overrides ([`super::ledger`]).

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use tokio::sync::{mpsc, oneshot};

use super::about::About;
use super::answer::DeskAnswer;
use super::atlas::Atlas;
use super::ledger::{LedgerEntry, OverrideDone, OverrideRefused};
use super::request::Refusal;
use super::standing::OverrideSubject;
use super::view::{
    self, DoneView, DrainView, FleetToldView, ForgottenView, RefreshView, ReloadOutcomeView, RetransferView,
};
use crate::base::diagnostic::did_you_mean;
use crate::base::name::NameBuf;
use crate::base::time::Moment;
use crate::fleet::OverrideAction;
use crate::inspect::view::OverrideView;
use crate::live::{
    ForgetError, Published, RefreshRequest, RefreshRequests, ReloadRequests, ReloadTerms, RetransferError,
    Retransferred, Retransfers,
};
use crate::mirror::Override;
use crate::process::Clock;
use crate::process::state;
use crate::snapshot::Snapshot;
use crate::telemetry::fleet::FleetStanding;

/// The timeout of an override: longer than the write of its state, so that the operator gets the error of that write.
const OVERRIDE_TIMEOUT: Duration = state::DEADLINE.saturating_add(Duration::from_secs(5));

/// The longest time that a request waits for its reload: shorter than the longest connection to the control socket. Databases of
/// cities take seconds.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(50);

/// The longest time that an operator waits for the other servers of the fleet to have an override.
const SPREAD_TIMEOUT: Duration = Duration::from_secs(3);

/// The parts of a running server from which answers are made.
pub(super) struct RunningServer {
    pub(super) published: Arc<Published>,
    pub(super) clock: Clock,
    pub(super) ledger: mpsc::Sender<LedgerEntry>,
    pub(super) requests: OperatorRequests,
    pub(super) about: About,
    /// The pictures of address spaces that were made last.
    pub(super) atlas: Atlas,
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

impl RunningServer {
    /// The time since the snapshot was published.
    pub(super) fn age_ms(&self, now: Moment) -> u64 {
        now.0.saturating_sub(self.published.published_at().0)
    }

    pub(super) async fn reload(&self, terms: ReloadTerms, width: Option<usize>) -> Result<DeskAnswer, Refusal> {
        let late = format!("the reload is not done after {} s", RELOAD_TIMEOUT.as_secs());
        let help = "it goes on, and the log tells when it is over; `pharos status` shows its outcome";
        let asked = within(RELOAD_TIMEOUT, self.requests.reloads.ask(terms), &late, help).await?;
        let outcome = asked.ok_or_else(|| {
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping, or serves one configuration alone")
        })?;
        let view = ReloadOutcomeView::of(&outcome, width);
        Ok(DeskAnswer::outcome(&view, view.refused))
    }

    pub(super) async fn refresh(
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
        let late = format!("the fetches are not done after {} s", RELOAD_TIMEOUT.as_secs());
        let help = "the fetches go on; `pharos status` shows the outcome";
        let asked = self.requests.refreshes.ask(RefreshRequest { sources, terms, is_previous });
        let outcomes = within(RELOAD_TIMEOUT, asked, &late, help).await?.ok_or_else(Refusal::stopping)?;
        if outcomes.is_empty() {
            return Err(Refusal::new(StatusCode::CONFLICT, "no network is fetched")
                .help("add `url = \"https://…\"` to a line of `[networks]`"));
        }
        let view = RefreshView::of(&outcomes, terms.is_dry, self.published.load().generation, width);
        Ok(DeskAnswer::outcome(&view, view.refused))
    }

    pub(super) async fn retransfer(&self, zone: NameBuf) -> Result<DeskAnswer, Refusal> {
        let name = zone.to_string();
        let late = format!("zone `{name}` is not here yet");
        let help = "the transfer goes on, and the log tells when it is over; `pharos status` shows the serial";
        let asked = within(OVERRIDE_TIMEOUT, self.requests.retransfers.ask(zone), &late, help).await?;
        match asked.unwrap_or(Err(RetransferError::Stopping)) {
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

    pub(super) async fn order(
        &self,
        mirror: Arc<str>,
        action: OverrideAction,
        stands: Option<&Override>,
        warning: Option<String>,
    ) -> Result<DeskAnswer, Refusal> {
        let OverrideDone { before, generation } = self.enter(OverrideSubject::Mirror(mirror.clone()), action).await?;
        let fleet = self.spread(&mirror, stands).await;
        let standing = self.about.fleet.as_ref().map(|fleet| fleet.standing.borrow().clone());
        Ok(DeskAnswer::json(&DoneView {
            mirror: mirror.to_string(),
            order: stands.map(OverrideView::of),
            before: before.as_ref().map(OverrideView::of),
            generation: generation.map(|generation| generation.0),
            warning,
            probed: self.about.probes.is_some(),
            fleet,
            fleet_fault: standing.and_then(|standing| view::not_spread(&standing)),
        }))
    }

    /// Waits until each server that was heard lately has the change of a mirror's override, for some seconds at most.
    async fn spread(&self, mirror: &str, stands: Option<&Override>) -> Vec<FleetToldView> {
        let Some(fleet) = &self.about.fleet else { return Vec::new() };
        let mut standing = fleet.standing.clone();
        let told = |standing: &FleetStanding| view::told(standing, mirror, stands, self.clock.now());
        let is_spread = |standing: &Arc<FleetStanding>| told(standing).iter().all(|server| server.state != "not-yet");
        let _awaiting = fleet.awaiting.begin();
        let _ = tokio::time::timeout(SPREAD_TIMEOUT, standing.wait_for(is_spread)).await;
        let now = fleet.standing.borrow().clone();
        told(&now)
    }

    /// Has a server of the fleet forgotten.
    pub(super) async fn forget(&self, server: Arc<str>) -> Result<DeskAnswer, Refusal> {
        let alone =
            || Refusal::new(StatusCode::CONFLICT, "this server belongs to no fleet").help("there is no `[fleet]`");
        let fleet = self.about.fleet.as_ref().ok_or_else(alone)?;
        if fleet.standing.borrow().name == server {
            return Err(Refusal::new(StatusCode::CONFLICT, format!("`{server}` is this server"))
                .help("ask another server of the fleet to forget it, once it has stopped"));
        }
        match fleet.forget.ask(server.clone()).await.unwrap_or(Err(ForgetError::Stopping)) {
            Ok(()) => Ok(DeskAnswer::json(&ForgottenView { server: server.to_string() })),
            Err(ForgetError::Unknown) => {
                let names = fleet.standing.borrow().servers.iter().map(|peer| peer.name.clone()).collect::<Vec<_>>();
                let help = did_you_mean(&server, "servers", names.iter().map(|name| &**name));
                Err(Refusal::new(StatusCode::NOT_FOUND, format!("server `{server}` is not known")).help(help))
            }
            Err(ForgetError::Store(error)) => {
                let error = format!("the document of server `{server}` was not removed: {error}");
                Err(Refusal::new(StatusCode::BAD_GATEWAY, error).help("ask again when the store can be used"))
            }
            Err(ForgetError::Stopping) => Err(Refusal::stopping()),
        }
    }

    /// Takes the server out of service, or puts it back.
    pub(super) async fn drain(&self, action: OverrideAction, stands: Option<&Override>) -> Result<DeskAnswer, Refusal> {
        let OverrideDone { before, .. } = self.enter(OverrideSubject::Server, action).await?;
        Ok(DeskAnswer::json(&DrainView {
            drain: stands.map(OverrideView::of),
            before: before.as_ref().map(OverrideView::of),
        }))
    }

    /// Has the ledger take an override.
    async fn enter(&self, subject: OverrideSubject, action: OverrideAction) -> Result<OverrideDone, Refusal> {
        let (reply, outcome) = oneshot::channel();
        let asked = async {
            self.ledger.send(LedgerEntry { subject, action, reply }).await.ok()?;
            outcome.await.ok()
        };
        let late = "the disk does not take the override";
        let help = "it may still come into force: check `pharos mirror list`, and the disk of `[control] state`";
        match within(OVERRIDE_TIMEOUT, asked, late, help).await?.ok_or_else(Refusal::stopping)? {
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
            Err(OverrideRefused::Stopping) => Err(Refusal::stopping()),
        }
    }
}

/// Waits for the outcome of a request; the refusal has the error `late` if it takes longer than `limit`.
async fn within<T>(limit: Duration, asked: impl Future<Output = T>, late: &str, help: &str) -> Result<T, Refusal> {
    let late = |_| Refusal::new(StatusCode::GATEWAY_TIMEOUT, late).help(help);
    tokio::time::timeout(limit, asked).await.map_err(late)
}
