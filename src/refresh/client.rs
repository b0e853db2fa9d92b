//! The HTTP client of fetches: addresses from our resolver, a proxy if there is one, TLS with the system's roots.
//!
//! **Invariants**: a request has one connection of its own, so that nothing is kept between fetches.
//! **Not here**: connections ([`crate::outgoing`]), redirects and bodies ([`super::fetch`]).

use std::sync::Arc;
use std::time::Duration;

use http_body_util::Empty;
use hyper::body::Bytes;
use tokio::sync::OnceCell;

use super::ReadRoots;
use crate::base::diagnostic::Diagnostic;
use crate::config::{Config, RefreshConfig, Resolver};
use crate::outgoing::{OutgoingClient, OutgoingSettings};

/// The longest time of a connection to a publisher or proxy, of all its addresses together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// A client of publishers.
pub(super) type FetchClient = OutgoingClient<Empty<Bytes>>;

/// The client that all sources share; it is made when the first of them is fetched.
#[derive(Debug)]
pub(super) struct SharedClient {
    refresh: RefreshConfig,
    resolver: Resolver,
    roots: ReadRoots,
    client: OnceCell<FetchClient>,
}

impl SharedClient {
    pub(super) fn new(config: &Config, roots: ReadRoots) -> Self {
        let (refresh, resolver) = (config.refresh.clone(), config.resolver.clone());
        SharedClient { refresh, resolver, roots, client: OnceCell::new() }
    }

    /// True if a configuration has the same settings.
    pub(super) fn is_of(&self, config: &Config) -> bool {
        (&self.refresh, &self.resolver) == (&config.refresh, &config.resolver)
    }

    /// The longest time of a fetch.
    pub(super) fn timeout(&self) -> Duration {
        self.refresh.timeout
    }

    /// The client. If it cannot be made, the next fetch tries again.
    pub(super) async fn get(self: &Arc<Self>) -> Result<&FetchClient, String> {
        let make = || async {
            let shared = self.clone();
            // It reads the system's resolvers and roots.
            super::on_disk(move || shared.make()).await
        };
        self.client.get_or_try_init(make).await
    }

    fn make(&self) -> Result<FetchClient, String> {
        let first = |problems: Vec<Diagnostic>| problems.into_iter().next().map(|problem| problem.message);
        OutgoingClient::new(OutgoingSettings {
            roots: (self.roots)(None).map_err(|problems| first(problems).unwrap_or_default())?,
            identity: None,
            resolver: &self.resolver,
            proxy: &self.refresh.proxy,
            connect_timeout: CONNECT_TIMEOUT,
            idle: None,
        })
    }
}
