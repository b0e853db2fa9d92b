//! The exchange of a fleet: reads the documents of the other servers, has their overrides and views take effect, and writes the
//! document of this server.
//!
//! ```text
//! store ─► Roster ─┬─► control's ledger (overrides) ─► live::Updates
//!                  └─► live::FleetViews ─► the watcher of mirrors
//! control's ledger, the watcher, live::Published ─► the document of this server ─► store
//! store, Roster ─► rollout ─► bundles on the disk ─► live::BundleLoads ─► serve, as a reload
//! refresh ─► live::FleetSources ─► copies in the store, the document of this server
//! ```
//!
//! **Invariants**: nothing on the query path waits for the store; the loss of the store changes no answer; a document that
//! changes nothing writes one line when that begins, and one when it ends.
//! **Not here**: the rules of merging and voting ([`crate::fleet`]), the engines of stores ([`crate::stores`]).

mod condition;
mod exchange;
mod fetching;
mod kept;
mod meter;
mod push;
mod refusals;
mod rollout;
mod sources;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::fleet::FleetKey;
use crate::live::{
    Awaiting, CopyInbox, FleetSources, FleetViews, ForgetInbox, Published, ReloadHistory, SharedChanges,
};
use crate::process::{Clock, Vital};
use crate::stores::Store;
use crate::telemetry::Collect;
use crate::telemetry::dns::DnsCounters;
use crate::telemetry::fleet::{FleetCounters, FleetMetrics, FleetStanding, RolloutStanding};
use exchange::DocumentExchange;
pub(crate) use kept::{KeptBundles, KeptRollout, ROLLOUT_STATE, ROLLOUT_UNKEPT};
pub(crate) use push::{BundleContents, PushError, ReadRollout, RolloutStore, SentObjects};
pub(crate) use rollout::RolloutGround;
use rollout::RolloutTask;
use sources::SourceCopies;

/// The parts of a running server that the exchange needs.
pub(crate) struct FleetGround {
    /// The name of this server.
    pub(crate) name: Arc<str>,
    /// The key of the fleet.
    pub(crate) key: FleetKey,
    /// The store.
    pub(crate) store: Arc<Store>,
    /// The interval between two looks at the store.
    pub(crate) every: Duration,
    /// The age from which a server has no vote.
    pub(crate) stale: Duration,
    /// The number of requests of operators that wait for other servers.
    pub(crate) awaiting: Awaiting,
    /// The overrides that the ledger of this server shares.
    pub(crate) changes: SharedChanges,
    /// The views on mirrors.
    pub(crate) views: Arc<FleetViews>,
    /// The sources that are fetched.
    pub(crate) sources: FleetSources,
    /// The served snapshot.
    pub(crate) published: Arc<Published>,
    /// The configuration that is served.
    pub(crate) history: Arc<ReloadHistory>,
    /// The counters of the DNS listeners.
    pub(crate) dns: Arc<DnsCounters>,
    /// The clock.
    pub(crate) clock: Clock,
}

/// The running exchange.
pub(crate) struct FleetService {
    /// The state of the fleet.
    pub(crate) standing: watch::Receiver<Arc<FleetStanding>>,
    /// The state of the rollout.
    pub(crate) rollout: watch::Receiver<Arc<RolloutStanding>>,
    counters: Arc<FleetCounters>,
    clock: Clock,
}

impl FleetService {
    /// Starts the exchange. The ledger of overrides already runs.
    pub(crate) fn start(
        ground: FleetGround,
        rollout: RolloutGround,
        (forget, takes): (ForgetInbox, CopyInbox),
        vital: &Vital,
    ) -> Self {
        let standing = FleetStanding {
            name: ground.name.clone(),
            store: ground.store.to_string().into(),
            ..FleetStanding::default()
        };
        let (sender, standing) = watch::channel(Arc::new(standing));
        let (counters, clock) = (Arc::<FleetCounters>::default(), ground.clock);
        let (shown, rollouts) = watch::channel(Arc::<RolloutStanding>::default());
        let copies = SourceCopies::new(rollout.files.clone(), ground.sources.clone());
        tokio::spawn(vital.guard("copies of sources from the store", sources::answer(rollout.files.clone(), takes)));
        tokio::spawn(vital.guard("copies of sources to the store", copies.run()));
        let task = RolloutTask::new(rollout, &ground, standing.clone(), shown);
        let exchange = DocumentExchange::new(ground, sender, rollouts.clone(), counters.clone());
        tokio::spawn(vital.guard("exchange of the fleet", exchange.run(forget)));
        tokio::spawn(vital.guard("rollout of the fleet", task.run()));
        FleetService { standing, rollout: rollouts, counters, clock }
    }

    /// The metrics.
    pub(crate) fn counters(&self) -> Arc<dyn Collect> {
        let clock = self.clock;
        let (counters, standing, rollout) = (self.counters.clone(), self.standing.clone(), self.rollout.clone());
        Arc::new(FleetMetrics { counters, standing, rollout, now: Box::new(move || clock.now()) })
    }
}
