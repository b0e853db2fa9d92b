//! The HTTP client of fetches: addresses from our resolver, a proxy if there is one, TLS with the system's roots.
//!
//! **Invariants**: a request has one connection of its own, so that nothing is kept between fetches.
//! **Not here**: connections ([`crate::outgoing`]), redirects and bodies ([`super::fetch`]).

use std::sync::Arc;
use std::time::Duration;

use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use tokio::sync::OnceCell;

use super::ReadRoots;
use crate::base::diagnostic::Diagnostic;
use crate::config::{RefreshConfig, Resolver};
use crate::outgoing::{OutgoingClient, OutgoingError, OutgoingSettings};

/// The longest time of a connection to a publisher or proxy, of all its addresses together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// The client that all sources share; it is made when the first of them is fetched.
#[derive(Clone, Debug)]
pub(super) struct SharedClient(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    refresh: RefreshConfig,
    resolver: Resolver,
    roots: ReadRoots,
    client: OnceCell<FetchClient>,
}

impl SharedClient {
    pub(super) fn new(refresh: RefreshConfig, resolver: Resolver, roots: ReadRoots) -> Self {
        SharedClient(Arc::new(Shared { refresh, resolver, roots, client: OnceCell::new() }))
    }

    /// The longest time of a fetch.
    pub(super) fn timeout(&self) -> Duration {
        self.0.refresh.timeout
    }

    /// The client. If it cannot be made, the next fetch tries again.
    pub(super) async fn get(&self) -> Result<&FetchClient, String> {
        let make = || async {
            let shared = self.0.clone();
            // It reads the system's resolvers and roots.
            super::on_disk(move || FetchClient::new(&shared.refresh, &shared.resolver, shared.roots)).await
        };
        self.0.client.get_or_try_init(make).await
    }
}

/// A client of publishers.
#[derive(Debug)]
pub(super) struct FetchClient(OutgoingClient<Empty<Bytes>>);

impl FetchClient {
    fn new(refresh: &RefreshConfig, resolver: &Resolver, roots: ReadRoots) -> Result<Self, String> {
        let first = |problems: Vec<Diagnostic>| problems.into_iter().next().map(|problem| problem.message);
        let roots = roots(None).map_err(|problems| first(problems).unwrap_or_default())?;
        let settings = OutgoingSettings {
            roots,
            identity: None,
            resolver,
            proxy: &refresh.proxy,
            connect_timeout: CONNECT_TIMEOUT,
            idle: None,
        };
        OutgoingClient::new(settings).map(FetchClient)
    }

    /// Sends a request, and returns the response with its header.
    pub(super) async fn send(&self, request: Request<Empty<Bytes>>) -> Result<Response<Incoming>, OutgoingError> {
        self.0.send(request).await
    }
}
