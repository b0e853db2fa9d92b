//! The fleet, from the configuration to its service.
//!
//! **Not here**: the exchange ([`crate::sharing`]), the store ([`crate::stores`]).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::base::diagnostic::Diagnostic;
use crate::config::{Config, FleetConfig};
use crate::control::{Control, FleetAbout};
use crate::fleet::FleetKey;
use crate::live::{
    Awaiting, BundleLoads, CopyInbox, FleetSources, FleetViews, ForgetInbox, ForgetRequests, Published, ReloadHistory,
    requests,
};
use crate::load;
use crate::probe;
use crate::process::state::StateFiles;
use crate::process::{Clock, Vital};
use crate::sharing::{
    FleetGround, FleetService, KeptBundles, KeptRollout, ROLLOUT_STATE, ROLLOUT_UNKEPT, RolloutGround,
};
use crate::stores::{Store, StoreEnvironment, StoreSettings};
use crate::telemetry::Collect;
use crate::telemetry::dns::DnsCounters;
use crate::tls::Roots;

/// The longest time of one request to the store. A slower one would hold up the documents of all servers.
const STORE_DEADLINE: Duration = Duration::from_secs(5);

/// The longest time of one request for a file of a bundle: 256 MiB at 2 MB/s.
const FILES_DEADLINE: Duration = Duration::from_secs(120);

/// The intervals in which a document has reached all servers: it is written at once, and read within one. The rest is for the
/// requests.
const SPREAD_IN: u32 = 2;

/// The store and the key of a fleet, ready to be used.
#[derive(Debug)]
pub(crate) struct PreparedFleet {
    /// The key.
    pub(crate) key: FleetKey,
    /// The store.
    pub(crate) store: Arc<Store>,
    /// The store with a deadline for files.
    pub(crate) files: Arc<Store>,
}

/// Reads the key and prepares the store, without a request to it. `None` for a server alone.
pub(crate) fn prepare(config: &Config, problems: &mut Vec<Diagnostic>) -> Option<PreparedFleet> {
    let fleet = config.fleet.as_ref()?;
    let key = load::found_or_report(load::fleet::read(fleet), problems);
    let open = |deadline| Store::open(settings(config, fleet, deadline)).map(Arc::new);
    match open(STORE_DEADLINE).and_then(|store| Ok((store, open(FILES_DEADLINE)?))) {
        Ok((store, files)) => Some(PreparedFleet { key: key?, store, files }),
        Err(error) => {
            let problem = Diagnostic::error("fleet-store", format!("the store of the fleet cannot be used: {error}"));
            problems.push(problem.at(fleet.key.place.clone(), "in this table"));
            None
        }
    }
}

fn settings(config: &Config, fleet: &FleetConfig, deadline: Duration) -> StoreSettings {
    // A system without roots can still have a store without TLS.
    let roots = probe::roots(None).unwrap_or_else(|_| Arc::new(Roots::default()));
    StoreSettings {
        url: fleet.store.clone(),
        access: fleet.access.clone(),
        environment: StoreEnvironment::of_process(),
        roots,
        resolver: config.resolver.clone(),
        proxy: config.refresh.proxy.clone(),
        deadline,
    }
}

/// The parts of the service that the rollout of bundles needs.
pub(super) struct FleetBundles {
    /// The path of the configuration.
    pub(super) path: PathBuf,
    /// The record of bundles at the start.
    pub(super) last: KeptRollout,
    /// To have bundles loaded.
    pub(super) loads: BundleLoads,
    /// The files of state.
    pub(super) states: StateFiles,
}

/// The fleet before its service starts: the views that the watcher of mirrors needs.
pub(super) struct WaitingFleet {
    prepared: PreparedFleet,
    /// The views of all servers.
    pub(super) views: Arc<FleetViews>,
    /// The counter of requests that wait for other servers.
    pub(super) awaiting: Awaiting,
    forget: (ForgetRequests, ForgetInbox),
    /// The sources of all servers.
    pub(super) sources: FleetSources,
    takes: CopyInbox,
}

impl WaitingFleet {
    /// A fleet whose servers are not heard yet.
    pub(super) fn new(prepared: PreparedFleet, config: &FleetConfig) -> Self {
        let views = Arc::<FleetViews>::default();
        let (sources, takes) =
            FleetSources::new(config.name.clone(), config.every * SPREAD_IN, views.heard.subscribe());
        WaitingFleet { prepared, views, awaiting: Awaiting::default(), forget: requests(), sources, takes }
    }

    /// Starts the exchange. Returns the facts for operators, and the counters.
    pub(super) fn start(
        self,
        (config, control): (&FleetConfig, &mut Control),
        bundles: FleetBundles,
        (published, history): (&Arc<Published>, &Arc<ReloadHistory>),
        dns: Arc<DnsCounters>,
        clock: Clock,
        vital: &Vital,
    ) -> Option<(FleetAbout, Arc<dyn Collect>)> {
        let WaitingFleet { prepared, views, awaiting, forget: (forget, inbox), sources, takes } = self;
        let PreparedFleet { key, store, files } = prepared;
        let FleetBundles { path, last, loads, states } = bundles;
        let kept = KeptBundles::beside(&config.state);
        let record = states.file(kept.record(), &ROLLOUT_STATE, ROLLOUT_UNKEPT);
        let is_deaf = config.is_deaf;
        let rollout = RolloutGround { files, kept, record, last, config: path, is_deaf, loads };
        let ground = FleetGround {
            name: config.name.clone(),
            key,
            store,
            every: config.every,
            stale: config.stale,
            awaiting: awaiting.clone(),
            changes: control.changes.take()?,
            views,
            sources,
            published: published.clone(),
            history: history.clone(),
            dns,
            clock,
        };
        let service = FleetService::start(ground, rollout, (inbox, takes), vital);
        let counters = service.counters();
        let FleetService { standing, rollout, .. } = service;
        Some((FleetAbout { standing, awaiting, rollout, forget }, counters))
    }
}
