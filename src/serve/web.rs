//! The HTTP listeners: the registry's, the admin's, and that of ACME clients, from the configuration to their end.
//!
//! **Invariants**: the registry's settings change together with the snapshot of the same configuration, and only if the whole
//! configuration is valid.
//! **Not here**: HTTP itself ([`crate::http`]), renewed certificates ([`super::certificates`]).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tracing::{info, warn};

use super::Failure;
use super::identities::TlsListener;
use super::prepare::Prepared;
use crate::base::prefix::PrefixSet;
use crate::config::{self, Config};
use crate::control::MAX_BODY_LEN;
use crate::http::{self, AcmeHandler, Admin, BlobAsker, DeskHandler, HttpServer, Pull, RequestLog, Token};
use crate::listen::{self, BeyondLimit, BoundListeners, Clients, Common, Limits, Listeners, Terms};
use crate::live::{Published, Readiness, UpdateQueue};
use crate::process::Clock;
use crate::registry::RegistrySettings;
use crate::telemetry::Collect;
use crate::telemetry::HINTS;
use crate::telemetry::http::Http;
use crate::telemetry::served::ServedGauges;
use crate::telemetry::traffic::Traffic;
use crate::tls::{Identity, Tls};

/// Ports that are bound but not yet answered on.
pub(super) struct WebPorts {
    registry: Option<BoundListeners>,
    admin: Option<BoundListeners>,
    acme: Option<BoundListeners>,
}

impl WebPorts {
    /// Binds the ports of the listeners that are configured.
    pub(super) fn bind(config: &Config) -> Result<Self, Failure> {
        let bind = |listen: &[SocketAddr], option| listen::bind(listen, option).map_err(Failure::Bind);
        let registry = config.registry.as_ref().map(|registry| bind(&registry.listen, "[registry] listen"));
        let admin = config.admin.as_ref().map(|admin| bind(&admin.listen, "[admin] listen"));
        let acme = config.acme.as_ref().filter(|acme| !acme.listen.is_empty());
        let acme = acme.map(|acme| bind(&acme.listen, "[acme] listen"));
        Ok(WebPorts { registry: registry.transpose()?, admin: admin.transpose()?, acme: acme.transpose()? })
    }
}

/// The running listeners.
pub(super) struct Web {
    registry: Option<RegistryService>,
    admin: Option<AdminListener>,
    acme: Option<AcmeListener>,
}

/// The most connections to the listener of ACME clients, of all clients and of one. A client sends a few requests in a renewal,
/// and mirrors behind one address (NAT) may renew at once; the numbers are the defaults of the admin listener.
pub(super) const MAX_ACME_CONNECTIONS: usize = 256;
const MAX_ACME_CONNECTIONS_PER_CLIENT: usize = 32;

/// Time after which an idle connection of an ACME client is closed, as that of the admin listener.
const ACME_IDLE: Duration = Duration::from_secs(30);

/// The listener of ACME clients.
struct AcmeListener {
    server: Listeners,
    tls: Option<Arc<Tls>>,
}

impl AcmeListener {
    fn start(
        bound: BoundListeners,
        identity: Option<&Identity>,
        (published, queue): (&Arc<Published>, UpdateQueue),
        counters: &mut Vec<Arc<dyn Collect>>,
        common: &Common,
    ) -> Result<Self, Failure> {
        // A refusal leaves the body unread, which over HTTP/2 some clients take for a broken stream.
        let tls = http_tls(identity, &[b"http/1.1"])?;
        announce(&bound, tls.is_some(), "ACME challenges");
        let handler = AcmeHandler::new(published.clone(), queue);
        counters.push(handler.counters());
        let connections = config::Connections {
            all: MAX_ACME_CONNECTIONS,
            per_client: MAX_ACME_CONNECTIONS_PER_CLIENT,
            idle: ACME_IDLE,
        };
        let clients = Clients::new(limits(&connections));
        let terms = Terms { kind: "acme", clients, tls: tls.clone(), common: common.clone() };
        // The metrics of HTTP are those of the registry listener; the handler has counters of its own.
        let server = HttpServer::start(bound, terms, handler, Arc::new(Http::default()))
            .map_err(Failure::system("start the listener of ACME clients"))?;
        Ok(AcmeListener { server, tls })
    }
}

/// The admin listener. It is the first one to answer: until the others are started, it says that the server is not ready.
pub(super) struct AdminListener {
    server: Listeners,
    clients: Arc<Clients>,
    admin: Admin,
    tls: Option<Arc<Tls>>,
}

impl AdminListener {
    /// Starts answering; `None` without `[admin]`. `desk` answers clients that send `token`.
    pub(super) fn start(
        ports: &mut WebPorts,
        config: &Config,
        readiness: Arc<Readiness>,
        desk: DeskHandler,
        (token, identity): (Option<Token>, Option<&Identity>),
        common: &Common,
    ) -> Result<Option<Self>, Failure> {
        let (Some(bound), Some(config)) = (ports.admin.take(), &config.admin) else { return Ok(None) };
        // A refusal leaves the body unread, which over HTTP/2 some clients take for a broken stream.
        let tls = http_tls(identity, &[b"http/1.1"])?;
        announce(&bound, tls.is_some(), "health and metrics");
        if let Some(address) = bound.addresses().first() {
            let scheme = if tls.is_some() { "https" } else { "http" };
            info!(target: HINTS, "try: curl {scheme}://{}/ready", super::tries::reachable_at(*address));
        }
        let admin = Admin::new(readiness, Some(desk), MAX_BODY_LEN);
        admin.set_token(token);
        admin.set_names(config.names.clone());
        // The requests of the operator's probes are not counted as requests of clients.
        let clients = Clients::new(limits(&config.connections));
        let terms = Terms { kind: "admin", clients: clients.clone(), tls: tls.clone(), common: common.clone() };
        let server = HttpServer::start(bound, terms, admin.clone(), Arc::new(Http::default()))
            .map_err(Failure::system("start the admin listener"))?;
        Ok(Some(AdminListener { server, clients, admin, tls }))
    }
}

/// Limits of an HTTP listener.
fn limits(connections: &config::Connections) -> Limits {
    let &config::Connections { all, per_client, idle } = connections;
    Limits { connections: all, per_client, beyond: BeyondLimit::CloseIdlest, idle }
}

struct RegistryService {
    server: Listeners,
    clients: Arc<Clients>,
    addresses: Vec<SocketAddr>,
    settings: Arc<ArcSwap<RegistrySettings>>,
    asker: Arc<BlobAsker>,
    log: Arc<RequestLog>,
    tls: Option<Arc<Tls>>,
}

impl Web {
    /// Starts answering.
    pub(super) fn start(
        ports: WebPorts,
        admin: Option<AdminListener>,
        prepared: &mut Prepared,
        published: &Arc<Published>,
        (clock, queue): (Clock, UpdateQueue),
        (mut counters, traffic): (Vec<Arc<dyn Collect>>, &Traffic),
        common: &Common,
    ) -> Result<Self, Failure> {
        let clients = registry_clients(&prepared.built.config);
        let registry = match (ports.registry, prepared.settings.take(), clients) {
            (Some(bound), Some(settings), Some(clients)) => {
                let http = traffic.http.clone().unwrap_or_default();
                let asker = BlobAsker::new(prepared.means.take());
                let config = prepared.built.config.registry.as_ref();
                let log = RequestLog::start(config.and_then(|config| config.log.as_ref())).map_err(Failure::Threads)?;
                counters.extend([http.clone() as Arc<dyn Collect>, asker.clone(), log.counters()]);
                let tls = http_tls(prepared.identities.of(TlsListener::Registry), &http::PROTOCOLS)?;
                let terms = Terms { kind: "registry", clients, tls, common: common.clone() };
                Some(RegistryService::start(bound, terms, settings, published, http, (asker, log))?)
            }
            _ => None,
        };
        let identity = prepared.identities.of(TlsListener::Acme);
        let start = |bound| AcmeListener::start(bound, identity, (published, queue), &mut counters, common);
        let acme = ports.acme.map(start).transpose()?;
        let served = published.clone();
        let source = move || {
            let age_ms = clock.now().0.saturating_sub(served.published_at().0);
            (served.load_full(), age_ms / 1000)
        };
        counters.insert(0, Arc::new(ServedGauges { source, traffic: traffic.clone() }));
        if let Some(listener) = &admin {
            counters.push(listener.admin.counters());
            listener.admin.show(counters);
        }
        Ok(Web { registry, admin, acme })
    }

    /// The addresses of the registry listener.
    pub(super) fn registry_addresses(&self) -> &[SocketAddr] {
        self.registry.as_ref().map_or(&[], |registry| &registry.addresses)
    }

    /// The TLS settings of each listener; empty if it does not use TLS.
    pub(super) fn tls(&self) -> [(TlsListener, &[Arc<Tls>]); 3] {
        [
            (TlsListener::Registry, self.registry.as_ref().map_or(&[], |registry| registry.tls.as_slice())),
            (TlsListener::Acme, self.acme.as_ref().map_or(&[], |acme| acme.tls.as_slice())),
            (TlsListener::Admin, self.admin.as_ref().map_or(&[], |admin| admin.tls.as_slice())),
        ]
    }

    /// Applies the settings that a reload prepared.
    pub(super) fn reload(&self, prepared: &mut Prepared) {
        let config = &prepared.built.config;
        if let Some(listener) = &self.admin {
            listener.admin.set_token(prepared.token.take());
            if let Some(config) = &config.admin {
                listener.clients.set_limits(limits(&config.connections));
                listener.admin.set_names(config.names.clone());
            }
        }
        let Some(registry) = &self.registry else { return };
        if let Some(config) = &config.registry {
            registry.clients.set_limits(limits(&config.connections));
            registry.clients.set_exempt(PrefixSet::new(&config.trusted_proxies));
            registry.log.set(config.log.as_ref());
        }
        if let Some(settings) = prepared.settings.take() {
            registry.asker.replace(prepared.means.take());
            registry.settings.store(Arc::new(settings));
        }
    }

    /// Opens the request log again; returns false if there is no registry listener.
    pub(super) fn reopen_log(&self) -> bool {
        self.registry.as_ref().map(|registry| registry.log.reopen()).is_some()
    }

    /// Finishes the requests in flight. The registry listener stops first, so that `/ready` reports the stop until the end.
    pub(super) async fn stop(self, grace: Duration) {
        let stop = |server: Option<Listeners>| async move {
            match server {
                Some(server) => server.stop(grace).await,
                None => 0,
            }
        };
        let log = self.registry.as_ref().map(|registry| registry.log.clone());
        let ends =
            tokio::join!(stop(self.registry.map(|registry| registry.server)), stop(self.acme.map(|acme| acme.server)));
        for connections in [ends.0, ends.1].into_iter().filter(|cut| *cut > 0) {
            warn!("cut {connections} HTTP connections that did not end in time");
        }
        if let Some(log) = log {
            log.stop().await;
        }
        if let Some(admin) = self.admin {
            admin.server.stop(Duration::ZERO).await;
        }
    }
}

impl RegistryService {
    fn start(
        bound: BoundListeners,
        terms: Terms,
        settings: RegistrySettings,
        published: &Arc<Published>,
        counters: Arc<Http>,
        (asker, log): (Arc<BlobAsker>, Arc<RequestLog>),
    ) -> Result<Self, Failure> {
        let (clients, tls) = (terms.clients.clone(), terms.tls.clone());
        announce(&bound, tls.is_some(), "registry");
        if let (Some(address), None) = (bound.addresses().first(), &tls) {
            info!(target: HINTS, "try: curl -i http://{}/v2/pause/manifests/3.9", super::tries::reachable_at(*address));
        }
        let addresses = bound.addresses().to_vec();
        let settings = Arc::new(ArcSwap::from_pointee(settings));
        let pull =
            Pull::new(published.clone(), settings.clone(), counters.clone(), asker.clone()).with_log(log.clone());
        let server =
            HttpServer::start(bound, terms, pull, counters).map_err(Failure::system("start the registry listener"))?;
        Ok(RegistryService { server, clients, addresses, settings, asker, log, tls })
    }
}

/// The limits of the registry's clients. A trusted proxy is exempt from the limits of one client, because its connections carry
/// requests of many clients, and each request may be of another client. The proxy has limits of its own.
fn registry_clients(config: &Config) -> Option<Arc<Clients>> {
    let registry = config.registry.as_ref()?;
    let clients = Clients::new(limits(&registry.connections));
    clients.set_exempt(PrefixSet::new(&registry.trusted_proxies));
    Some(clients)
}

/// Logs the addresses of a listener.
fn announce(bound: &BoundListeners, uses_tls: bool, purpose: &str) {
    let scheme = if uses_tls { "HTTPS" } else { "HTTP" };
    for address in bound.addresses() {
        info!("listening on {address} ({purpose} over {scheme})");
    }
}

fn http_tls(identity: Option<&Identity>, protocols: &[&[u8]]) -> Result<Option<Arc<Tls>>, Failure> {
    let tls = identity.map(|identity| Tls::new(identity.clone(), protocols)).transpose().map_err(Failure::Tls)?;
    Ok(tls.map(Arc::new))
}
