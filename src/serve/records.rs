//! The records of the running service: its reloads, its sources, its certificates, and the changes that moved clients.
//!
//! **Invariants**: the service writes to each part, and answers for operators show it, so each part is shared.
//! **Not here**: the parts themselves ([`crate::live`], [`crate::control`]), the requests of operators that show them.

use std::sync::Arc;

use super::certificates::Certificates;
use super::guard;
use super::identities::TlsListener;
use super::prepare::Prepared;
use super::reload::ReloadMetrics;
use crate::acme::AcmeService;
use crate::config::Config;
use crate::control::{self, About, Chronicle, FleetAbout};
use crate::files;
use crate::live::{AppliedChanges, Published, ReloadHistory, ServedConfig, SourceStates};
use crate::process::state::StateFiles;
use crate::process::{Clock, Vital};
use crate::telemetry::Collect;
use crate::telemetry::probe::Probes;
use crate::telemetry::traffic::Traffic;
use crate::tls::Tls;

/// The records of the running service.
pub(super) struct ServiceRecords {
    /// The served configuration and the outcomes of reloads.
    pub(super) history: Arc<ReloadHistory>,
    /// The conditions of sources.
    pub(super) sources: SourceStates,
    /// The certificates of the listeners.
    pub(super) certificates: Arc<Certificates>,
    /// The changes that moved clients.
    pub(super) changes: AppliedChanges,
    /// The last 24 hours of mirrors.
    pub(super) chronicle: Chronicle,
}

impl ServiceRecords {
    /// Those of a start, with the history of mirrors of the run before if `[admin] state` has one.
    pub(super) fn new(config: &Config, states: &StateFiles) -> Self {
        let path = std::path::absolute(&*config.file).unwrap_or_default();
        let history = config.admin.as_ref().and_then(|admin| admin.state.clone());
        ServiceRecords {
            history: Arc::new(ReloadHistory::new(path.display().to_string(), served_config(config, &[]))),
            sources: SourceStates::default(),
            certificates: Arc::default(),
            changes: AppliedChanges::default(),
            chronicle: Chronicle::open(
                history.map(|path| states.file(path, &control::HISTORY, control::HISTORY_UNKEPT)),
            ),
        }
    }

    /// Their metrics.
    pub(super) fn metrics(&self, published: &Arc<Published>) -> [Arc<dyn Collect>; 2] {
        let (history, sources) = (self.history.clone(), self.sources.clone());
        [Arc::new(ReloadMetrics { history, published: published.clone(), sources }), self.certificates.clone()]
    }

    /// Watches the certificates of the listeners, each with those that it serves.
    pub(super) fn watch_certificates<'t>(
        &self,
        prepared: &Prepared,
        served: impl Iterator<Item = (TlsListener, &'t [Arc<Tls>])>,
        vital: &Vital,
    ) {
        for (listener, served) in served {
            self.certificates.watch(listener, &prepared.built.config, &prepared.identities, served);
        }
        tokio::spawn(vital.guard("watcher of certificates", self.certificates.clone().run()));
    }

    /// The facts for operators.
    pub(super) fn about(
        &self,
        fleet: Option<FleetAbout>,
        probes: Option<Arc<Probes>>,
        acme: Option<&AcmeService>,
        traffic: Traffic,
    ) -> About {
        let certificates = self.certificates.clone();
        About {
            fleet,
            probes,
            history: self.history.clone(),
            certificates: Box::new(move || certificates.shown()),
            sources: self.sources.clone(),
            acme: acme.map(AcmeService::standing),
            traffic,
            host_name: files::host_name(),
            changes: self.changes.clone(),
            chronicle: self.chronicle.clone(),
        }
    }
}

/// A configuration that is served from now on.
pub(super) fn served_config(config: &Config, restart_keys: &[String]) -> ServedConfig {
    ServedConfig {
        since: Clock::civil(),
        digest: config.digest.clone(),
        restart_keys: restart_keys.into(),
        has_token: config.admin.as_ref().is_some_and(|admin| admin.token.is_some()),
        guards: guard::guards(config),
    }
}
