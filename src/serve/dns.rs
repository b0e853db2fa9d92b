//! The DNS listeners, DNS over HTTPS among them, from the configuration to their end.
//!
//! **Invariants**: all of them answer from one snapshot, and share one limit on connections and one certificate.
//! **Not here**: the protocols ([`crate::dns`], [`crate::http`]), renewed certificates ([`super::certificates`]).

use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use super::Failure;
use super::identities::TlsListener;
use super::prepare::Prepared;
use crate::config::{Config, DnsConfig};
use crate::dns::{self, Certificates, Engine, Service};
use crate::http::{self, Doh, HttpServer};
use crate::listen::{self, Clients, Common, Limits, Listeners, Terms};
use crate::telemetry::Collect;
use crate::telemetry::dns::DnsCounters;
use crate::telemetry::http::{DnsOverHttps, Http};
use crate::tls::{Identity, Tls};

const HTTPS: &str = "[dns.https] listen";

/// Ports that are bound but not yet answered on.
pub(super) struct DnsPorts {
    dns: dns::BoundPorts,
    https: Option<listen::BoundListeners>,
}

impl DnsPorts {
    /// Binds the ports of all DNS listeners.
    pub(super) fn bind(config: &Config) -> Result<Self, Failure> {
        let https = config.dns.encrypted.as_ref().and_then(|encrypted| encrypted.https.as_ref());
        Ok(DnsPorts {
            dns: dns::bind(&config.dns).map_err(Failure::Bind)?,
            https: https.map(|https| listen::bind(&https.listen, HTTPS)).transpose().map_err(Failure::Bind)?,
        })
    }
}

/// The running listeners.
pub(super) struct DnsListeners {
    service: Service,
    /// The counters of the DNS listeners.
    pub(super) counters: Arc<DnsCounters>,
    https: Option<Listeners>,
    /// The TLS settings: one for each application protocol, all with the same certificate.
    pub(super) tls: Vec<Arc<Tls>>,
}

impl DnsListeners {
    /// Starts answering; adds its counters to `counters`.
    pub(super) fn start(
        ports: DnsPorts,
        prepared: &Prepared,
        engine: Engine,
        counters: &mut Vec<Arc<dyn Collect>>,
        common: &Common,
    ) -> Result<Self, Failure> {
        let config = &prepared.built.config.dns;
        let clients = Clients::new(Limits::from(config));
        let dns_counters = Arc::new(DnsCounters::default());
        counters.push(dns_counters.clone());
        let mut tls = Vec::new();
        let identity = prepared.identities.of(TlsListener::Dns);
        let certificates = identity.map(|identity| {
            Ok(Certificates {
                tls: serve_with(identity, &dns::TLS_PROTOCOLS, &mut tls)?,
                quic: serve_with(identity, &dns::QUIC_PROTOCOLS, &mut tls)?,
            })
        });
        let shared = dns_counters.shared();
        let service = Service::start(
            ports.dns,
            certificates.transpose()?,
            engine.clone(),
            clients.clone(),
            dns_counters.clone(),
            common,
        )
        .map_err(Failure::system("start the DNS listeners"))?;
        announce(service.addresses());
        let meant = config.encrypted.as_ref().and_then(|encrypted| encrypted.https.as_ref());
        let https = match (ports.https, meant, identity) {
            (Some(bound), Some(meant), Some(identity)) => {
                for address in bound.addresses() {
                    info!("listening on {address} (DNS over HTTPS at {})", meant.path);
                }
                let http = Arc::new(Http::default());
                counters.push(Arc::new(DnsOverHttps(http.clone())));
                let Engine { published, clock, tap, .. } = engine;
                let (clock, path) = (move || clock.read(), meant.path.clone());
                let doh = Doh { published, clock, path, counters: shared, tap };
                let over_tls = serve_with(identity, &http::PROTOCOLS, &mut tls)?;
                let terms = Terms { kind: "HTTPS", clients, tls: Some(over_tls), common: common.clone() };
                Some(HttpServer::start(bound, terms, doh, http).map_err(Failure::system("start DNS over HTTPS"))?)
            }
            _ => None,
        };
        Ok(DnsListeners { service, counters: dns_counters, https, tls })
    }

    /// The addresses of the listeners.
    pub(super) fn addresses(&self) -> &dns::ListenAddresses {
        self.service.addresses()
    }

    /// Applies the settings of a reload.
    pub(super) fn reload(&self, config: &DnsConfig) {
        self.service.set_limits(Limits::from(config));
        self.service.set_payload(config);
        if config.rrl.is_some() {
            self.service.prepare_rates();
        }
    }

    /// Finishes the requests in flight.
    pub(super) async fn stop(self, grace: Duration) {
        let https = async {
            if let Some(server) = self.https
                && let connections @ 1.. = server.stop(grace).await
            {
                warn!("cut {connections} connections of DNS over HTTPS that did not end in time");
            }
        };
        tokio::join!(self.service.stop(grace), https);
    }
}

fn announce(addresses: &dns::ListenAddresses) {
    let dns::ListenAddresses { plain, tls, quic } = addresses;
    for (addresses, kind) in [(plain, "UDP and TCP"), (tls, "TLS"), (quic, "QUIC")] {
        for address in addresses {
            info!("listening on {address} (DNS over {kind})");
        }
    }
}

fn serve_with(identity: &Identity, protocols: &[&[u8]], all: &mut Vec<Arc<Tls>>) -> Result<Arc<Tls>, Failure> {
    let tls = Arc::new(Tls::new(identity.clone(), protocols).map_err(Failure::Tls)?);
    all.push(tls.clone());
    Ok(tls)
}
