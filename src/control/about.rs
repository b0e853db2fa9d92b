//! Facts about the server that the snapshot does not have, for the views of the desk.
//!
//! **Not here**: the views ([`super::view`]), the services that know the facts (`serve`).

use std::sync::Arc;

use tokio::sync::watch;

use super::chronicle::Chronicle;
use crate::base::time::UnixTime;
use crate::live::{AppliedChanges, Awaiting, ForgetRequests, ReloadHistory, SourceStates};
use crate::telemetry::acme::AcmeStanding;
use crate::telemetry::fleet::{FleetStanding, RolloutStanding};
use crate::telemetry::probe::Probes;
use crate::telemetry::traffic::Traffic;

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
    /// The fleet; `None` for a server alone.
    pub(crate) fleet: Option<FleetAbout>,
    /// The state of ACME challenges; `None` without `[acme]`.
    pub(crate) acme: Option<Box<dyn Fn() -> AcmeStanding + Send + Sync>>,
    /// The counters of the listeners for clients.
    pub(crate) traffic: Traffic,
    /// The changes that moved clients.
    pub(crate) changes: AppliedChanges,
    /// The last 24 hours of mirrors.
    pub(crate) chronicle: Chronicle,
    /// The name of the host; `None` if the system does not tell.
    pub(crate) host_name: Option<String>,
}

/// The fleet of this server.
pub(crate) struct FleetAbout {
    /// Its state.
    pub(crate) standing: watch::Receiver<Arc<FleetStanding>>,
    /// Has the store looked at often.
    pub(crate) awaiting: Awaiting,
    /// The state of the rollout.
    pub(crate) rollout: watch::Receiver<Arc<RolloutStanding>>,
    /// Has servers forgotten.
    pub(crate) forget: ForgetRequests,
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
