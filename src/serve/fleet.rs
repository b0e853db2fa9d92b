//! The fleet, from the configuration to its service.
//!
//! **Not here**: the exchange ([`crate::sharing`]), the store ([`crate::stores`]).

use std::sync::Arc;
use std::time::Duration;

use crate::base::diagnostic::Diagnostic;
use crate::config::{Config, FleetConfig};
use crate::control::Control;
use crate::fleet::FleetKey;
use crate::live::{Awaiting, FleetViews, Forget, ForgetRequests, Published, ReloadHistory, requests};
use crate::load;
use crate::probe;
use crate::process::{Clock, Vital};
use crate::sharing::{FleetGround, FleetService};
use crate::stores::{Store, StoreEnvironment, StoreSettings};
use crate::telemetry::dns::DnsCounters;
use crate::tls::Roots;

/// The longest time of one request to the store. A slower one would hold up the documents of all servers.
const STORE_DEADLINE: Duration = Duration::from_secs(5);

/// The store and the key of a fleet, ready to be used.
#[derive(Debug)]
pub(super) struct PreparedFleet {
    key: FleetKey,
    store: Arc<Store>,
}

/// Reads the key and prepares the store, without a request to it. `None` for a server alone.
pub(super) fn prepare(config: &Config, problems: &mut Vec<Diagnostic>) -> Option<PreparedFleet> {
    let fleet = config.fleet.as_ref()?;
    let key = match load::fleet::read(fleet) {
        Ok((key, warning)) => {
            problems.extend(warning);
            Some(key)
        }
        Err(problem) => {
            problems.push(*problem);
            None
        }
    };
    let settings = settings(config, fleet);
    let store = settings.and_then(|settings| {
        let unusable = |error: crate::stores::StoreError| {
            let problem = Diagnostic::error("fleet-store", format!("the store of the fleet cannot be used: {error}"));
            vec![problem.at(fleet.key_place.clone(), "in this table")]
        };
        Store::open(settings).map_err(unusable)
    });
    match store {
        Ok(store) => Some(PreparedFleet { key: key?, store: Arc::new(store) }),
        Err(found) => {
            problems.extend(found);
            None
        }
    }
}

fn settings(config: &Config, fleet: &FleetConfig) -> Result<StoreSettings, Vec<Diagnostic>> {
    // A system without roots can still have a store without TLS.
    let roots = probe::roots(None).unwrap_or_else(|_| Arc::new(Roots::default()));
    Ok(StoreSettings {
        url: fleet.store.clone(),
        access: fleet.access.clone(),
        environment: StoreEnvironment::of_process(),
        roots,
        resolver: config.resolver.clone(),
        proxy: config.refresh.proxy.clone(),
        deadline: STORE_DEADLINE,
    })
}

/// The fleet before its service starts: the views that the watcher of mirrors needs.
pub(super) struct WaitingFleet {
    prepared: PreparedFleet,
    views: Arc<FleetViews>,
    awaiting: Awaiting,
    forget: (ForgetRequests, tokio::sync::mpsc::Receiver<Forget>),
}

impl WaitingFleet {
    /// A fleet whose servers are not heard yet.
    pub(super) fn new(prepared: PreparedFleet) -> Self {
        WaitingFleet { prepared, views: Arc::default(), awaiting: Awaiting::default(), forget: requests() }
    }

    /// The views of all servers.
    pub(super) fn views(&self) -> Arc<FleetViews> {
        self.views.clone()
    }

    /// The judge of mirrors by the views of all servers.
    pub(super) fn judge(&self) -> probe::FleetJudge {
        probe::FleetJudge::new(self.views.clone())
    }

    /// The counter of requests that wait for other servers.
    pub(super) fn awaiting(&self) -> Awaiting {
        self.awaiting.clone()
    }

    /// Starts the exchange.
    pub(super) fn start(
        self,
        config: &FleetConfig,
        control: &Control,
        (published, history): (&Arc<Published>, &Arc<ReloadHistory>),
        dns: Arc<DnsCounters>,
        clock: Clock,
        vital: &Vital,
    ) -> Option<(FleetService, ForgetRequests)> {
        let WaitingFleet { prepared: PreparedFleet { key, store }, views, awaiting, forget: (requests, inbox) } = self;
        let ground = FleetGround {
            name: config.name.clone(),
            key,
            store,
            every: config.every,
            stale: config.stale,
            awaiting,
            changes: control.shared_changes()?,
            views,
            published: published.clone(),
            history: history.clone(),
            dns,
            clock,
        };
        Some((FleetService::start(ground, inbox, vital), requests))
    }
}
