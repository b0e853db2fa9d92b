//! The state of the fleet for operators: metrics, and what the views show.
//!
//! **Invariants**: labels are names of servers, of which there are at most [`crate::fleet::MAX_SERVERS`], and fixed words.
//! **Not here**: the exchange with the store (`sharing`).

use std::sync::Arc;

use tokio::sync::watch;

use super::cells::{ByWord, counters};
use super::{Collect, MetricsPage};
use crate::base::time::Moment;
use crate::base::words::words;
use crate::fleet::{DocumentFault, ProbedAddresses, Rollout, RolloutReport, RolloutState, ServerDocument};

words! {
    /// An operation on the store.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum StoreOperation {
        /// Listing the documents.
        List = "list",
        /// Reading a document.
        Read = "read",
        /// Writing the document of this server.
        Write = "write",
    }
}

words! {
    /// The outcome of an operation on the store.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum StoreOutcome {
        /// It is done.
        Done = "done",
        /// It failed.
        Failed = "failed",
    }
}

counters! {
    /// Counts of the exchange.
    pub(crate) struct FleetCounters {
        "pharos_fleet_store_operations_total" "Operations on the store of the fleet by outcome." {
            pub(crate) operations: ByWord<StoreOperation, ByWord<StoreOutcome>> ["operation", "outcome"],
        }
        "pharos_fleet_documents_total" "Documents of other servers that were read, by what became of them." {
            pub(crate) documents: ByWord<DocumentOutcome> ["outcome"],
        }
    }
}

words! {
    /// The effect of a document of another server.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum DocumentOutcome {
        /// It was taken in.
        Accepted = "accepted",
        /// It is the last one again.
        Same = "same",
        /// It is broken, forged, replayed or too long, and changes nothing.
        Refused = "refused",
    }
}

/// The state of the fleet as this server knows it.
#[derive(Clone, Debug, Default)]
pub(crate) struct FleetStanding {
    /// The name of this server.
    pub(crate) name: Arc<str>,
    /// The store.
    pub(crate) store: Arc<str>,
    /// The last moment at which the store was read and written; `None` before the first.
    pub(crate) exchanged: Option<Moment>,
    /// The reason why the store cannot be used; `None` if the last exchange succeeded.
    pub(crate) trouble: Option<Arc<str>>,
    /// True if this server alone does not reach most mirrors.
    pub(crate) is_isolated: bool,
    /// True if another server writes the document of this one too.
    pub(crate) has_rival: bool,
    /// The other servers, by name.
    pub(crate) servers: Vec<FleetPeer>,
}

impl FleetStanding {
    /// The views of the servers that were heard lately, isolated ones included.
    pub(crate) fn views(&self) -> impl Iterator<Item = &ProbedAddresses> {
        let fresh = self.servers.iter().filter(|peer| peer.is_fresh);
        fresh.filter_map(|peer| peer.heard.as_ref()).map(|(document, _)| &document.probed)
    }
}

/// Another server of the fleet.
#[derive(Clone, Debug)]
pub(crate) struct FleetPeer {
    /// Its name.
    pub(crate) name: Arc<str>,
    /// Its last document, and the moment at which this server got it; `None` if no document was accepted.
    pub(crate) heard: Option<(Arc<ServerDocument>, Moment)>,
    /// True if it has a vote.
    pub(crate) is_fresh: bool,
    /// The reason why its present document changes nothing; `None` if it was accepted.
    pub(crate) fault: Option<DocumentFault>,
}

/// The state of the rollout at this server.
#[derive(Clone, Debug, Default)]
pub(crate) struct RolloutStanding {
    /// The part of this server's document.
    pub(crate) report: RolloutReport,
    /// The rollout; `None` if there was no push yet.
    pub(crate) rollout: Option<Arc<Rollout>>,
    /// The state.
    pub(crate) state: RolloutState,
    /// The reason for which the bundle is not loaded; `None` if it is served or being loaded.
    pub(crate) waits: Option<Arc<str>>,
    /// The reason why the rollout in the store changes nothing; `None` if it was accepted.
    pub(crate) fault: Option<Arc<str>>,
}

/// The metrics of the fleet.
pub(crate) struct FleetMetrics {
    /// The counts.
    pub(crate) counters: Arc<FleetCounters>,
    /// The state.
    pub(crate) standing: watch::Receiver<Arc<FleetStanding>>,
    /// The state of the rollout.
    pub(crate) rollout: watch::Receiver<Arc<RolloutStanding>>,
    /// The clock.
    pub(crate) now: Box<dyn Fn() -> Moment + Send + Sync>,
}

impl Collect for FleetMetrics {
    fn collect(&self, page: &mut MetricsPage) {
        self.counters.collect(page);
        let (standing, now) = (self.standing.borrow().clone(), (self.now)());
        let age_secs = |at: Moment| now.0.saturating_sub(at.0) / 1000;
        page.gauge("pharos_fleet_store_age_seconds", "Time since the store of the fleet was last read and written.")
            .samples::<0, &str>([], standing.exchanged.map(|at| ([], age_secs(at))));
        let heard = standing.servers.iter().filter_map(|peer| Some(([&peer.name], age_secs(peer.heard.as_ref()?.1))));
        page.gauge("pharos_fleet_server_age_seconds", "Time since the last new document of each other server.")
            .samples(["server"], heard);
        page.gauge("pharos_fleet_isolated", "1 while this server alone does not reach most mirrors.")
            .sample(&[], standing.is_isolated.into());
        let rollout = self.rollout.borrow().clone();
        let served = rollout.report.serves.as_ref();
        page.gauge("pharos_fleet_bundle", "1, with the bundle of the fleet that is in force here.")
            .samples(["bundle"], served.map(|served| ([served.bundle.as_str()], 1)));
        let help = "1 for the state of this server in the rollout of the fleet, 0 for the others.";
        page.gauge("pharos_fleet_rollout_state", help)
            .samples(["state"], RolloutState::ALL.map(|state| ([state.as_str()], (state == rollout.state).into())));
    }
}
