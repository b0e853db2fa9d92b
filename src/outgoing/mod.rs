//! HTTP requests of our own, to publishers and stores: addresses from our resolver, a proxy if there is one, TLS with trusted roots.
//!
//! **Invariants**: only a request over https to another machine passes through a proxy; a redirect is never followed here; a [`OutgoingError`] has
//! the kind of the fault, so that a caller can name the remedy.
//! **Not here**: time-outs, redirects and the meaning of a response (the callers); probes, which dial addresses
//! ([`crate::tls::Dialer`]).
//!
//! RFC 9110 §9.3.6 (CONNECT).

mod route;

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::{Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::config::{ProxyConfig, Resolver};
use crate::files;
use crate::load::hosts::ask::HostAsker;
use crate::tls::{self, Identity, Roots};
use route::{HostError, OutgoingRoute};

/// The settings of a client.
#[derive(Debug)]
pub(crate) struct OutgoingSettings<'s> {
    /// The trusted roots.
    pub(crate) roots: Arc<Roots>,
    /// The certificate that the client presents; `None` for none.
    pub(crate) identity: Option<Identity>,
    /// The resolvers that are asked for addresses.
    pub(crate) resolver: &'s Resolver,
    /// The proxy.
    pub(crate) proxy: &'s ProxyConfig,
    /// The longest time of a connection, of all addresses of a host together.
    pub(crate) connect_timeout: Duration,
    /// The time for which an idle connection is kept; `None` keeps no connection.
    pub(crate) idle: Option<Duration>,
}

/// A client; its clones share connections.
#[derive(Clone, Debug)]
pub(crate) struct OutgoingClient<B> {
    client: Client<HttpsConnector<OutgoingRoute>, B>,
    route: OutgoingRoute,
}

impl<B> OutgoingClient<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    /// Makes a client. It reads the system's resolvers, so it may wait for the disk. The error is the reason in words.
    pub(crate) fn new(settings: OutgoingSettings<'_>) -> Result<Self, String> {
        let mut tls =
            tls::client_config(&settings.roots, rustls::DEFAULT_VERSIONS).map_err(|error| error.to_string())?;
        if let Some(identity) = settings.identity {
            identity.present_to_servers(&mut tls);
        }
        let asker = HostAsker::new(settings.resolver).map_err(|why| format!("there is no resolver to ask: {why}"))?;
        let route = OutgoingRoute::new(asker, settings.proxy, settings.connect_timeout);
        let secure = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        let mut client = Client::builder(TokioExecutor::new());
        match settings.idle {
            Some(idle) => client.pool_timer(TokioTimer::new()).pool_idle_timeout(idle),
            None => client.pool_max_idle_per_host(0),
        };
        Ok(OutgoingClient { client: client.build(secure.wrap_connector(route.clone())), route })
    }

    /// Sends a request, and returns the response with its header.
    pub(crate) async fn send(&self, request: Request<B>) -> Result<Response<Incoming>, OutgoingError> {
        let proxy = self.route.proxy_of(request.uri()).map(|proxy| proxy.uri().clone());
        let sent = self.client.request(request).await;
        sent.map_err(|error| OutgoingError::of(&error, error.is_connect()).through(proxy.as_ref()))
    }
}

/// The kind of a failed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendFault {
    /// No address is known for the host.
    Host,
    /// There is no connection, so the request was not sent.
    Connect,
    /// The TLS handshake failed, so the request was not sent.
    Tls,
    /// The connection ended during the request or the response.
    Broken,
    /// The response is longer than the caller accepts.
    TooLong,
}

/// The reason why a request has no response.
#[derive(Clone, Debug)]
pub(crate) struct OutgoingError {
    /// The kind.
    pub(crate) fault: SendFault,
    /// The reason in words.
    pub(crate) why: String,
}

impl fmt::Display for OutgoingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl Error for OutgoingError {}

impl OutgoingError {
    /// The error of a response whose body broke off.
    pub(crate) fn of_body(error: &(dyn Error + 'static)) -> Self {
        OutgoingError::of(error, false)
    }

    fn of(error: &(dyn Error + 'static), is_connect: bool) -> Self {
        let cause = innermost(error);
        if cause.is::<HostError>() {
            return OutgoingError { fault: SendFault::Host, why: cause.to_string() };
        }
        if let Some(error) = cause.downcast_ref::<rustls::Error>() {
            return OutgoingError { fault: SendFault::Tls, why: tls::refusal(error) };
        }
        let fault = match () {
            () if cause.is::<LengthLimitError>() => SendFault::TooLong,
            () if is_connect => SendFault::Connect,
            () => SendFault::Broken,
        };
        let why = match cause.downcast_ref::<io::Error>() {
            Some(error) => files::words(error),
            None => cause.to_string(),
        };
        OutgoingError { fault, why }
    }

    fn through(self, proxy: Option<&Uri>) -> Self {
        match proxy.and_then(Uri::authority) {
            Some(proxy) => OutgoingError { why: format!("through the proxy {proxy}: {}", self.why), ..self },
            None => self,
        }
    }
}

/// Reads a body of `max_len` bytes at most.
pub(crate) async fn collect(body: Incoming, max_len: usize) -> Result<Bytes, OutgoingError> {
    let collected = Limited::new(body, max_len).collect().await;
    Ok(collected.map_err(|error| OutgoingError::of_body(&*error))?.to_bytes())
}

/// The innermost cause of an error: the others say that a connection or a request failed. An `io::Error` is not the source of
/// the error that it wraps.
fn innermost<'e>(error: &'e (dyn Error + 'static)) -> &'e (dyn Error + 'static) {
    let mut cause = error;
    loop {
        let wrapped = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        match wrapped.map(|wrapped| wrapped as _).or_else(|| cause.source()) {
            Some(source) => cause = source,
            None => return cause,
        }
    }
}
