//! The task of the rollout: reads the pointer after each exchange, decides, and has a bundle fetched and loaded.
//!
//! **Invariants**: one bundle at a time; a pointer that is forged or older than one that was read before changes nothing; the
//! loss of the store leaves the bundle in force; each change of state is one line of the log.
//! **Not here**: the decision ([`crate::fleet::decide`]), loading (`serve`), the documents of servers ([`super::exchange`]).

use std::future::pending;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::FleetGround;
use super::fetching::fetch;
use super::kept::{BundleInForce, KeptBundles, KeptRollout};
use super::meter::{ServiceCounts, ServiceMeter};
use crate::base::share::Share;
use crate::base::text::{shortened, shown};
use crate::base::time::Moment;
use crate::fleet::{
    DocumentFault, FleetKey, MAX_DOCUMENT_LEN, MAX_REJECTION_LEN, PeerRollout, ROLLOUT_OBJECT, RejectedBundle, Rollout,
    RolloutReport, RolloutState, RolloutStep, ServedBundle, decide,
};
use crate::live::{BundleLoad, BundleLoads, BundleOutcome, ReloadTerms};
use crate::process::Clock;
use crate::process::state::StateFile;
use crate::process::work::{self, Lane};
use crate::stores::{Store, StoreRead, StoreVersion};
use crate::telemetry::fleet::{FleetStanding, RolloutStanding};

/// The pause after a bundle could not be fetched.
const RETRY: Duration = Duration::from_secs(15);

/// The parts of a running server that the rollout needs, beside those of the exchange.
pub(crate) struct RolloutGround {
    /// The store with a deadline for large objects.
    pub(crate) files: Arc<Store>,
    /// The folder of bundles.
    pub(crate) kept: KeptBundles,
    /// The file of its record.
    pub(crate) record: StateFile,
    /// The record at the start. Its bundle is in force only if it was loaded.
    pub(crate) last: KeptRollout,
    /// The configuration.
    pub(crate) config: PathBuf,
    /// True if this server takes no bundles.
    pub(crate) is_deaf: bool,
    /// To have bundles loaded.
    pub(crate) loads: BundleLoads,
}

/// The end of work on a bundle.
enum WorkEnd {
    /// It was not fetched.
    Unfetched(String),
    /// It was judged. `None` if the process is about to end.
    Judged(Option<BundleOutcome>),
}

/// Work on the bundle of a rollout.
struct BundleWork {
    /// The record of the bundle, if it is accepted.
    in_force: BundleInForce,
    end: BoxFuture<'static, WorkEnd>,
}

/// The rollout of bundles at this server.
pub(super) struct RolloutTask {
    ground: RolloutGround,
    name: Arc<str>,
    key: FleetKey,
    store: Arc<Store>,
    meter: ServiceMeter,
    clock: Clock,
    peers: watch::Receiver<Arc<FleetStanding>>,
    standing: watch::Sender<Arc<RolloutStanding>>,
    /// The record as it is to be on the disk.
    record: KeptRollout,
    version: Option<StoreVersion>,
    /// The counts at the moment from which the service of the bundle in force is judged.
    from: ServiceCounts,
    /// The reason why the pointer in the store changes nothing.
    fault: Option<DocumentFault>,
    /// The reason why the bundle was not fetched, and the moment of the next attempt.
    unfetched: Option<(String, Moment)>,
    work: Option<BundleWork>,
    state: RolloutState,
}

impl RolloutTask {
    pub(super) fn new(
        ground: RolloutGround,
        exchange: &FleetGround,
        peers: watch::Receiver<Arc<FleetStanding>>,
        standing: watch::Sender<Arc<RolloutStanding>>,
    ) -> Self {
        let meter = ServiceMeter::new(exchange.published.clone(), exchange.dns.clone(), exchange.clock);
        let task = RolloutTask {
            record: ground.last.clone(),
            ground,
            name: exchange.name.clone(),
            key: exchange.key.clone(),
            store: exchange.store.clone(),
            from: meter.now(),
            meter,
            clock: exchange.clock,
            peers,
            standing,
            version: None,
            fault: None,
            unfetched: None,
            work: None,
            state: RolloutState::None,
        };
        // The first document of this process already has the bundle.
        task.show();
        task
    }

    /// Follows rollouts until the process ends.
    pub(super) async fn run(mut self) {
        let kept = self.ground.kept.clone();
        if let Ok(Err(error)) = work::submit(Lane::Fetch, move || kept.make()).await {
            warn!("bundles of the fleet cannot be kept: {}", crate::files::words(&error));
        }
        loop {
            self.advance().await;
            self.show();
            tokio::select! {
                Ok(()) = self.peers.changed() => {
                    self.meter.count();
                    self.read().await;
                }
                end = finished(&mut self.work) => self.finish(end).await,
            }
        }
    }

    /// Reads the pointer, if the last exchange reached the store.
    async fn read(&mut self) {
        if self.peers.borrow_and_update().trouble.is_some() {
            return;
        }
        let name = ROLLOUT_OBJECT.parse().expect("the name of the rollout is an object's name");
        // An error is that of the next exchange too, which says so.
        let Ok(read) = self.store.read(&name, self.version.as_ref(), MAX_DOCUMENT_LEN).await else { return };
        let (bytes, version) = match read {
            StoreRead::Changed { bytes, version } => (bytes, version),
            StoreRead::Same => return self.clear_fault(),
            StoreRead::Missing => return self.note_loss(),
        };
        let opened = Rollout::open(&bytes, &self.key).and_then(|rollout| {
            if rollout.serial < self.least_serial() { Err(DocumentFault::Replayed) } else { Ok(rollout) }
        });
        match opened {
            Ok(rollout) => {
                self.clear_fault();
                self.version = Some(version);
                if self.record.rollout.as_ref() != Some(&rollout) {
                    self.unfetched = None;
                    self.record.rollout = Some(rollout);
                    self.keep().await;
                }
            }
            Err(fault) => {
                if self.fault.replace(fault) != Some(fault) {
                    warn!("the rollout in the store changes nothing: {fault}");
                }
            }
        }
    }

    /// Notes that the object is not in the store any more, if it was.
    fn note_loss(&mut self) {
        if self.record.rollout.is_some() && self.fault.replace(DocumentFault::Gone) != Some(DocumentFault::Gone) {
            self.version = None;
            warn!(
                "the rollout is not in the store any more: the bundle in force stays, but a server that starts without it serves its own \
                 file; push the configuration again"
            );
        }
    }

    /// Notes that the object in the store is an accepted one.
    fn clear_fault(&mut self) {
        if self.fault.take().is_some() {
            info!("the rollout in the store is accepted again");
        }
    }

    /// The highest serial that this server, or another one, has accepted.
    fn least_serial(&self) -> u64 {
        let own = self.serial();
        let standing = self.peers.borrow();
        let heard = standing.servers.iter().filter_map(|peer| peer.heard.as_ref());
        heard.map(|(document, _)| document.rollout.serial).fold(own, u64::max)
    }

    /// Takes the next step, and begins work if that is to load.
    async fn advance(&mut self) {
        let Some(rollout) = self.record.rollout.clone() else { return };
        let (state, waits) = match self.decide(&rollout) {
            RolloutStep::Served => (RolloutState::Served, None),
            RolloutStep::Adopt => {
                self.serve(self.in_force(&rollout));
                self.keep().await;
                (RolloutState::Served, None)
            }
            RolloutStep::Wait(wait) => (wait.state(), Some(wait.to_string())),
            RolloutStep::Load => match &self.unfetched {
                Some((reason, at)) if self.clock.now() < *at => (RolloutState::Stuck, Some(reason.clone())),
                _ => {
                    if self.work.is_none() {
                        self.begin(&rollout);
                    }
                    (RolloutState::Loading, None)
                }
            },
        };
        self.note(&rollout, state, waits);
    }

    fn decide(&self, rollout: &Rollout) -> RolloutStep {
        let (standing, now) = (self.peers.borrow(), self.clock.now());
        let peers: Vec<PeerRollout<'_>> = standing
            .servers
            .iter()
            .filter_map(|peer| {
                let (document, at) = peer.heard.as_ref()?;
                let age_ms = now.0.saturating_sub(at.0);
                Some(PeerRollout { name: &peer.name, report: &document.rollout, is_fresh: peer.is_fresh, age_ms })
            })
            .collect();
        decide(rollout, &self.name, &self.report(), &peers)
    }

    /// Logs a change of state.
    fn note(&mut self, rollout: &Rollout, state: RolloutState, waits: Option<String>) {
        let is_new = std::mem::replace(&mut self.state, state) != state;
        let (bundle, reason) = (&rollout.bundle, waits.as_deref().unwrap_or_default());
        match state {
            _ if !is_new => {}
            RolloutState::Stuck | RolloutState::Stopped => warn!("bundle {bundle} of the fleet stands still: {reason}"),
            RolloutState::Waiting | RolloutState::Halted | RolloutState::Deaf => {
                info!("bundle {bundle} of the fleet is not loaded: {reason}");
            }
            RolloutState::Loading => info!("loading bundle {bundle} of the fleet, pushed by {}", rollout.pushed),
            // Logged where it happens.
            RolloutState::None | RolloutState::Served | RolloutState::Rejected => {}
        }
        self.standing.send_if_modified(|standing| {
            let waits = waits.map(Into::into);
            let is_new = standing.state != state || standing.waits != waits;
            let before = RolloutStanding::clone(standing);
            *standing = Arc::new(RolloutStanding { state, waits, ..before });
            is_new
        });
    }

    /// Begins to fetch and load the bundle of a rollout.
    fn begin(&mut self, rollout: &Rollout) {
        let (store, kept, config) = (self.ground.files.clone(), self.ground.kept.clone(), self.ground.config.clone());
        let (bundle, loads, record) = (rollout.bundle.clone(), self.ground.loads.clone(), self.ground.record.clone());
        let in_force = self.in_force(rollout);
        let kept_after =
            KeptRollout { rollout: Some(rollout.clone()), in_force: Some(in_force.clone()), rejects: None };
        let text = kept_after.to_json();
        let allow_moved = rollout.allow_moved.as_deref().and_then(|share| Share::parse(share).ok());
        let end = async move {
            if let Err(fault) = fetch(&store, &kept, &bundle).await {
                return WorkEnd::Unfetched(fault.to_string());
            }
            let layer = work::submit(Lane::Fetch, move || kept.layer(&bundle, &config)).await;
            let layer = match layer {
                Ok(Ok(layer)) => Arc::new(layer),
                Ok(Err(fault)) => return WorkEnd::Unfetched(fault.to_string()),
                Err(lost) => return WorkEnd::Unfetched(lost.to_string()),
            };
            let keep = Box::pin(async move { record.keep(text).await });
            let terms = ReloadTerms { is_dry: false, allow_moved };
            WorkEnd::Judged(loads.ask(BundleLoad { layer, terms, keep }).await)
        };
        self.unfetched = None;
        self.work = Some(BundleWork { in_force, end: Box::pin(end) });
    }

    /// Takes the end of the work.
    async fn finish(&mut self, (in_force, end): (BundleInForce, WorkEnd)) {
        let (bundle, push) = (in_force.bundle.clone(), in_force.push);
        match end {
            WorkEnd::Unfetched(reason) => {
                self.unfetched = Some((reason, Moment(self.clock.now().0 + RETRY.as_millis() as u64)));
            }
            // The process is about to end.
            WorkEnd::Judged(None) => {}
            WorkEnd::Judged(Some(BundleOutcome::Accepted(generation))) => {
                info!("bundle {bundle} of the fleet is served with generation {}", generation.0);
                self.record.rejects = None;
                let before = self.serve(in_force);
                self.keep().await;
                self.clean(bundle, before).await;
            }
            WorkEnd::Judged(Some(BundleOutcome::Rejected(reason))) => {
                let reason = shortened(&shown(&reason), MAX_REJECTION_LEN).to_string();
                error!("bundle {bundle} of the fleet is rejected: {reason}; the configuration before it is served");
                self.record.rejects = Some(RejectedBundle { bundle, push, reason });
                self.keep().await;
            }
        }
    }

    /// Removes all bundles but the one in force and the one before.
    async fn clean(&mut self, bundle: crate::fleet::ContentDigest, before: Option<BundleInForce>) {
        let mut named = vec![bundle];
        named.extend(before.map(|before| before.bundle));
        let kept = self.ground.kept.clone();
        if let Ok(Err(error)) = work::submit(Lane::Fetch, move || kept.retain(&named)).await {
            warn!("bundles that are not served any more were not removed: {error}");
        }
    }

    /// Keeps the record.
    async fn keep(&mut self) {
        // A failure is logged, and shown by `pharos status`.
        let _ = self.ground.record.keep(self.record.to_json()).await;
    }

    /// The record of the bundle of a rollout that is in force from now on.
    fn in_force(&self, rollout: &Rollout) -> BundleInForce {
        BundleInForce { bundle: rollout.bundle.clone(), push: rollout.push, before: self.meter.lately() }
    }

    /// Notes that a bundle is served from now on, and returns the one before.
    fn serve(&mut self, in_force: BundleInForce) -> Option<BundleInForce> {
        self.from = self.meter.now();
        self.record.in_force.replace(in_force)
    }

    /// The serial of the last rollout; 0 for none.
    fn serial(&self) -> u64 {
        self.record.rollout.as_ref().map_or(0, |rollout| rollout.serial)
    }

    /// The part of this server's document.
    fn report(&self) -> RolloutReport {
        let KeptRollout { in_force, rejects, .. } = &self.record;
        let served = |BundleInForce { bundle, push, before }: BundleInForce| {
            let (since, for_ms) = self.meter.since(self.from);
            ServedBundle { bundle, push, for_ms, before, since }
        };
        let (serves, rejects) = (in_force.clone().map(served), rejects.clone());
        RolloutReport { serial: self.serial(), deaf: self.ground.is_deaf, serves, rejects }
    }

    /// Shows the state to operators and to the exchange, which is woken if another server acts on the difference.
    fn show(&self) {
        let (report, rollout) = (self.report(), self.record.rollout.clone().map(Arc::new));
        self.standing.send_if_modified(|standing| {
            let fault = self.fault.map(|fault| fault.to_string().into());
            let is_new =
                !standing.report.tells_the_same(&report) || standing.rollout != rollout || standing.fault != fault;
            let before = RolloutStanding::clone(standing);
            *standing = Arc::new(RolloutStanding { report, rollout, fault, ..before });
            is_new
        });
    }
}

/// Waits for the end of the work, which is taken; forever, if there is none.
async fn finished(work: &mut Option<BundleWork>) -> (BundleInForce, WorkEnd) {
    let Some(running) = work else { return pending().await };
    let end = running.end.as_mut().await;
    let in_force = running.in_force.clone();
    *work = None;
    (in_force, end)
}
