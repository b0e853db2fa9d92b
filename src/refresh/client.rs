//! The HTTP client of fetches: addresses from our resolver, a proxy if there is one, TLS with the system's roots.
//!
//! **Invariants**: a request has one connection of its own, so that nothing is kept between fetches; a host on this machine is
//! never asked through a proxy.
//! **Not here**: redirects and bodies ([`super::fetch`]).

use std::error::Error;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, Uri};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioExecutor;
use rustls::ClientConfig;
use tokio::sync::OnceCell;
use tower_service::Service;

use super::ReadRoots;
use crate::base::diagnostic::Diagnostic;
use crate::config::{ProxyConfig, RefreshConfig, Resolver};
use crate::files;
use crate::load::hosts::ask::HostAsker;
use crate::mirror::Lookup;
use crate::tls;

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
pub(super) struct FetchClient {
    tls: ClientConfig,
    addresses: PublisherAddresses,
    proxies: Matcher,
}

impl FetchClient {
    fn new(refresh: &RefreshConfig, resolver: &Resolver, roots: ReadRoots) -> Result<Self, String> {
        let first = |problems: Vec<Diagnostic>| problems.into_iter().next().map(|problem| problem.message);
        let roots = roots(None).map_err(|problems| first(problems).unwrap_or_default())?;
        let tls = tls::client_config(&roots, rustls::DEFAULT_VERSIONS).map_err(|error| error.to_string())?;
        let asker = HostAsker::new(resolver).map_err(|why| format!("there is no resolver to ask: {why}"))?;
        let proxies = match &refresh.proxy {
            ProxyConfig::Environment => Matcher::from_env(),
            ProxyConfig::None => Matcher::builder().build(),
            ProxyConfig::At(url) => Matcher::builder().https(&**url).build(),
        };
        Ok(FetchClient { tls, addresses: PublisherAddresses(asker), proxies })
    }

    /// Sends a request, and returns the response with its header.
    pub(super) async fn send(&self, request: Request<Empty<Bytes>>) -> Result<Response<Incoming>, String> {
        let mut tcp = HttpConnector::new_with_resolver(self.addresses.clone());
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let uri = request.uri();
        let proxy = self.proxies.intercept(uri).filter(|_| uri.scheme_str() == Some("https"));
        match proxy {
            None => self.send_over(tcp, request).await,
            Some(proxy) => {
                let tunnel = Tunnel::new(proxy.uri().clone(), tcp);
                let tunnel = match proxy.basic_auth() {
                    Some(auth) => tunnel.with_auth(auth.clone()),
                    None => tunnel,
                };
                self.send_over(tunnel, request).await.map_err(|why| {
                    format!(
                        "through the proxy {}: {why}",
                        proxy.uri().authority().map_or("", |authority| authority.as_str())
                    )
                })
            }
        }
    }

    async fn send_over<C>(&self, connector: C, request: Request<Empty<Bytes>>) -> Result<Response<Incoming>, String>
    where
        C: Service<Uri> + Clone + Send + Sync + 'static,
        hyper_rustls::HttpsConnector<C>: Connect + Clone + Send + Sync + 'static,
    {
        let secure = HttpsConnectorBuilder::new().with_tls_config(self.tls.clone()).https_or_http().enable_http1();
        let client =
            Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(secure.wrap_connector(connector));
        client.request(request).await.map_err(|error| innermost(&error))
    }
}

/// The innermost cause of an error: the others say that a connection or a request failed.
pub(super) fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut cause: &(dyn Error + 'static) = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    match cause.downcast_ref::<io::Error>() {
        Some(error) => files::words(error),
        None => cause.to_string(),
    }
}

/// PublisherAddresses of hosts, by the resolvers of the configuration.
#[derive(Clone, Debug)]
struct PublisherAddresses(HostAsker);

impl Service<Name> for PublisherAddresses {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let asker = self.0.clone();
        Box::pin(async move {
            let mut found: Vec<IpAddr> = Vec::new();
            let mut trouble = None;
            for lookup in asker.ask(name.as_str()).await {
                match lookup {
                    Lookup::Found { addresses, .. } => found.extend(addresses),
                    Lookup::Nothing => {}
                    Lookup::Failed(why) => trouble = Some(why),
                }
            }
            match (found.is_empty(), trouble) {
                (false, _) => Ok(found.into_iter().map(|ip| SocketAddr::new(ip, 0)).collect::<Vec<_>>().into_iter()),
                (true, Some(why)) => Err(io::Error::other(format!("host `{}`: {why}", name.as_str()))),
                (true, None) => Err(io::Error::other(format!("host `{}` has no address", name.as_str()))),
            }
        })
    }
}
