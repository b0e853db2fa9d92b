//! Connections to a host: its addresses by our resolver, directly or through a proxy.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use crate::config::{ProxyConfig, is_loopback};
use crate::load::hosts::ask::HostAsker;
use crate::mirror::Lookup;

type Running<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// Connects to the host of a URL.
#[derive(Clone, Debug)]
pub(super) struct OutgoingRoute {
    tcp: HttpConnector<HostAsker>,
    proxies: Arc<Matcher>,
}

impl OutgoingRoute {
    pub(super) fn new(asker: HostAsker, proxy: &ProxyConfig, timeout: Duration) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(asker);
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(timeout));
        // Requests are small writes, for which Nagle's algorithm only waits.
        tcp.set_nodelay(true);
        let proxies = match proxy {
            ProxyConfig::Environment => Matcher::from_env(),
            ProxyConfig::None => Matcher::builder().build(),
            ProxyConfig::At(url) => Matcher::builder().https(&**url).build(),
        };
        OutgoingRoute { tcp, proxies: Arc::new(proxies) }
    }

    /// The proxy for a URL; `None` for a direct connection.
    pub(super) fn proxy_of(&self, uri: &Uri) -> Option<Intercept> {
        let is_local = uri.host().is_some_and(is_loopback);
        self.proxies.intercept(uri).filter(|_| uri.scheme_str() == Some("https") && !is_local)
    }
}

impl Service<Uri> for OutgoingRoute {
    type Response = TokioIo<TcpStream>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Running<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let mut tcp = self.tcp.clone();
        match self.proxy_of(&uri) {
            None => Box::pin(async move { Ok(tcp.call(uri).await?) }),
            Some(proxy) => {
                let mut tunnel = Tunnel::new(proxy.uri().clone(), tcp);
                if let Some(auth) = proxy.basic_auth() {
                    tunnel = tunnel.with_auth(auth.clone());
                }
                Box::pin(async move { Ok(tunnel.call(uri).await?) })
            }
        }
    }
}

/// The reason why a host has no address.
#[derive(Debug)]
pub(super) struct HostError(String);

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for HostError {}

impl Service<Name> for HostAsker {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Running<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let asker = self.clone();
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
            let failed = |why: String| Err(io::Error::other(HostError(why)));
            match (found.is_empty(), trouble) {
                (false, _) => Ok(found.into_iter().map(|ip| SocketAddr::new(ip, 0)).collect::<Vec<_>>().into_iter()),
                (true, Some(why)) => failed(format!("host `{}`: {why}", name.as_str())),
                (true, None) => failed(format!("host `{}` has no address", name.as_str())),
            }
        })
    }
}
