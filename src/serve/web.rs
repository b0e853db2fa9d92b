//! The HTTP listeners: the registry's and the admin's, from the configuration to their end.
//!
//! **Invariants**: the registry's settings and certificate change together with the snapshot they were compiled with, and
//! only when all of it was right.
//! **Not here**: HTTP itself ([`crate::http`]).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tracing::{info, warn};

use super::Failure;
use super::prepare::Prepared;
use crate::config::Config;
use crate::control::MAX_BODY_LEN;
use crate::http::{self, Admin, Asker, Bound, Desk, Pull, Server, Stopped, Token};
use crate::live::{Published, Readiness};
use crate::process::Clock;
use crate::registry::Settings;
use crate::telemetry::Collect;
use crate::telemetry::dns::Dns;
use crate::telemetry::http::Http;
use crate::telemetry::served::Served;
use crate::tls::{Identity, Tls};

/// Ports that are taken and not yet answered on.
pub(super) struct Ports {
    registry: Option<Bound>,
    admin: Option<Bound>,
}

impl Ports {
    /// Takes the ports of both listeners, where they are configured.
    pub(super) fn bind(config: &Config) -> Result<Self, Failure> {
        let bind = |listen: &[SocketAddr]| http::bind(listen).map_err(Failure::HttpBind);
        Ok(Ports {
            registry: config.registry.as_ref().map(|registry| bind(&registry.listen)).transpose()?,
            admin: config.admin.as_ref().map(|admin| bind(&admin.listen)).transpose()?,
        })
    }
}

/// The running listeners.
pub(super) struct Web {
    registry: Option<Registry>,
    admin: Option<AdminListener>,
}

/// The admin listener, which answers before anything else does: that the server is not ready yet.
pub(super) struct AdminListener {
    server: Server,
    admin: Admin,
}

impl AdminListener {
    /// Starts answering, where it is configured; the desk is for whoever has the token.
    pub(super) fn start(
        ports: &mut Ports,
        readiness: Arc<Readiness>,
        desk: Option<Desk>,
        token: Option<Token>,
    ) -> Option<Self> {
        let bound = ports.admin.take()?;
        for address in bound.addresses() {
            info!("listening on {address} (health and metrics over HTTP)");
        }
        if let Some(address) = bound.addresses().first() {
            info!("try: curl http://{}/ready", super::tries::reachable_at(*address));
        }
        let admin = Admin::new(readiness, desk, MAX_BODY_LEN);
        admin.set_token(token);
        // What the operator's own probes do is not counted among what clients do.
        let server = Server::start(bound, admin.clone(), None, Arc::new(Http::default()));
        Some(AdminListener { server, admin })
    }
}

struct Registry {
    server: Server,
    addresses: Vec<SocketAddr>,
    settings: Arc<ArcSwap<Settings>>,
    asker: Arc<Asker>,
    tls: Option<Arc<Tls>>,
}

impl Web {
    /// Starts answering.
    pub(super) fn start(
        ports: Ports,
        admin: Option<AdminListener>,
        prepared: &mut Prepared,
        published: &Arc<Published>,
        clock: Clock,
        mut counters: Vec<Arc<dyn Collect>>,
        dns: Arc<Dns>,
    ) -> Result<Self, Failure> {
        let mut pulls = None;
        let registry = match (ports.registry, prepared.settings.take()) {
            (Some(bound), Some(settings)) => {
                let http = Arc::new(Http::default());
                pulls = Some(http.clone());
                let asker = Asker::new(prepared.means.take());
                counters.extend([http.clone() as Arc<dyn Collect>, asker.clone()]);
                Some(Registry::start(bound, settings, prepared.identity.take(), published, clock, http, asker)?)
            }
            _ => None,
        };
        let served = published.clone();
        let source = move || {
            let age_ms = clock.now().0.saturating_sub(served.published_at().0);
            (served.load_full(), age_ms / 1000)
        };
        counters.insert(0, Arc::new(Served::new(source, dns, pulls)));
        if let Some(listener) = &admin {
            listener.admin.show(counters);
        }
        Ok(Web { registry, admin })
    }

    /// Where the registry listener is.
    pub(super) fn registry_addresses(&self) -> &[SocketAddr] {
        self.registry.as_ref().map_or(&[], |registry| &registry.addresses)
    }

    /// Takes over what a reload prepared.
    pub(super) fn reload(&self, prepared: &mut Prepared) {
        if let Some(listener) = &self.admin {
            listener.admin.set_token(prepared.token.take());
        }
        let Some(registry) = &self.registry else { return };
        if let Some(settings) = prepared.settings.take() {
            registry.asker.replace(prepared.means.take());
            registry.settings.store(Arc::new(settings));
        }
        if let (Some(tls), Some(identity)) = (&registry.tls, prepared.identity.take()) {
            tls.replace(identity);
        }
    }

    /// Finishes what is in flight; the admin listener goes last, so that it can tell.
    pub(super) async fn stop(self, grace: Duration) {
        if let Some(registry) = self.registry
            && let Stopped::Cut { connections } = registry.server.stop(grace).await
        {
            warn!("cut {connections} HTTP connections that did not end in time");
        }
        if let Some(admin) = self.admin {
            admin.server.stop(Duration::ZERO).await;
        }
    }
}

impl Registry {
    fn start(
        bound: Bound,
        settings: Settings,
        identity: Option<Identity>,
        published: &Arc<Published>,
        clock: Clock,
        counters: Arc<Http>,
        asker: Arc<Asker>,
    ) -> Result<Self, Failure> {
        let tls = identity.map(|identity| Tls::new(identity, &http::PROTOCOLS)).transpose().map_err(Failure::Tls)?;
        let tls = tls.map(Arc::new);
        let scheme = if tls.is_some() { "HTTPS" } else { "HTTP" };
        for address in bound.addresses() {
            info!("listening on {address} (registry over {scheme})");
        }
        if let (Some(address), None) = (bound.addresses().first(), &tls) {
            info!("try: curl -i http://{}/v2/pause/manifests/3.9", super::tries::reachable_at(*address));
        }
        let addresses = bound.addresses().to_vec();
        let settings = Arc::new(ArcSwap::from_pointee(settings));
        let pull = Pull::new(published.clone(), settings.clone(), move || clock.now(), counters.clone(), asker.clone());
        let server = Server::start(bound, pull, tls.clone(), counters);
        Ok(Registry { server, addresses, settings, asker, tls })
    }
}
