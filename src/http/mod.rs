//! HTTP: the registry listener, DNS over HTTPS, the listener of ACME clients, and the admin listener with health and metrics.
//!
//! [`HttpServer::start`] serves a [`Handler`] on ports that [`crate::listen`] has bound, over HTTP/1.1 and HTTP/2, in
//! cleartext (h2 by prior knowledge) or over TLS. [`Listeners::stop`] finishes the requests in flight.
//!
//! **Invariants**: every size and duration that a remote party influences has a limit, below or in [`crate::listen`]; a
//! request body is read only if the handler asks for it, and only up to the handler's limit; no client address is logged,
//! except in the request log if the operator wants it;
//! one request sees exactly one snapshot.
//! **Not here**: the reply to a pull request ([`crate::registry`]), the answer to a DNS message ([`crate::wire`]),
//! accepting connections and their limits ([`crate::listen`]), certificates ([`crate::tls`]).
//!
//! RFC 9112 (HTTP/1.1), RFC 9113 (HTTP/2), RFC 7301 (ALPN), RFC 8484 (DNS over HTTPS).

mod acme;
mod admin;
mod asking;
mod connection;
mod doh;
mod guesses;
mod host;
mod log;
mod paced;
mod page;
mod pull;
mod token;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use acme::AcmeHandler;
pub use admin::{Admin, DeskHandler};
pub(crate) use asking::MAX_FLIGHTS;
pub use asking::{At, BlobAsker, Canonical, MAX_FLIGHTS_PER_MIRROR, Means};
pub(crate) use doh::Doh;
use hyper::body::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
pub use log::RequestLog;
pub use pull::Pull;
pub use token::Token;

use crate::base::ends::SocketEnds;
pub use crate::listen::HttpResponse;
use crate::listen::{BoundListeners, Closed, Connection, Event, Listeners, Protocol, Terms, http_response};
use crate::telemetry::Gauge;
use crate::telemetry::http::Http;

/// The longest request line with all headers, in bytes. A path has fewer than 700; the rest is for cookies of proxies.
const MAX_HEAD_LEN: usize = 16 * 1024;

/// The most header fields in an HTTP/1.1 request.
const MAX_HEADERS: usize = 64;

/// The most concurrent requests on one HTTP/2 connection. Nearly every request is answered in the poll that reads it;
/// requests that wait for a mirror have their own limit, [`asking::MAX_WAITING`].
const MAX_STREAMS: u32 = 100;

/// The longest time of an HTTP/1.1 request head, from its first byte.
const HEADER_TIMEOUT: Duration = Duration::from_secs(2);

/// The longest time of a request on an HTTP/2 connection, from its first byte. It is longer than [`HEADER_TIMEOUT`],
/// because frames may be other than requests.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The application protocols to offer in TLS, in order of preference.
pub const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// A response that takes time.
pub(crate) type Later = Pin<Box<dyn Future<Output = HttpResponse> + Send>>;

/// A response, now or later.
pub enum HttpAnswer {
    /// A response that is complete.
    Now(HttpResponse),
    /// A response that takes time, which the handler limits.
    Later(Later),
}

impl From<HttpResponse> for HttpAnswer {
    fn from(response: HttpResponse) -> Self {
        HttpAnswer::Now(response)
    }
}

impl HttpAnswer {
    /// Waits for the response. [`HttpAnswer::Now`] returns at once.
    pub(super) async fn wait(self) -> HttpResponse {
        match self {
            HttpAnswer::Now(response) => response,
            HttpAnswer::Later(response) => response.await,
        }
    }
}

/// A handler of requests. It must not block.
pub trait Handler: Send + Sync + 'static {
    /// The type of its answers: [`HttpResponse`] if it never waits.
    type Answer: Into<HttpAnswer>;

    /// The usual maximum length of a response, in bytes. That many bytes of the connection's budget are reserved before a
    /// response is made; a request waits until the budget has enough.
    const RESPONSE_LEN: usize;

    /// The longest body that is read for a request, in bytes. `None` if the request is answered from its head alone.
    fn body_limit(&self, _head: &Parts) -> Option<usize> {
        None
    }

    /// Answers a request.
    fn respond(&self, head: &Parts, body: &Body, ends: &SocketEnds) -> Self::Answer;
}

/// The media type of plain text.
const PLAIN: &str = "text/plain; charset=utf-8";

/// A response in plain text.
fn plain_text(method: &Method, status: StatusCode, text: impl Into<Bytes>) -> HttpResponse {
    http_response(method, status, PLAIN, text.into())
}

/// The same response with one more header.
fn with(mut response: HttpResponse, name: HeaderName, value: HeaderValue) -> HttpResponse {
    response.headers_mut().insert(name, value);
    response
}

/// A request's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// The body was not read, because the handler did not ask for it.
    Unread,
    /// The whole body.
    Whole(Bytes),
    /// The body is longer than the handler's limit.
    TooLong,
    /// The body ended early or is malformed.
    Broken,
}

/// An HTTP server: a handler and its counters.
pub struct HttpServer<H> {
    handler: H,
    counters: Arc<Http>,
}

impl<H: Handler> HttpServer<H> {
    /// Starts serving. It needs a tokio runtime with time and I/O enabled.
    pub fn start(bound: BoundListeners, terms: Terms, handler: H, counters: Arc<Http>) -> io::Result<Listeners> {
        Listeners::start(bound, terms, HttpServer { handler, counters })
    }
}

impl<H: Handler> Protocol for HttpServer<H> {
    async fn serve(self: Arc<Self>, connection: Connection) -> Closed {
        let Connection { stream, ends, place, stop, .. } = connection;
        // No HTTP listener here is a Unix socket. The one of `control` is a service of its own.
        let Some(ends) = ends else { return Closed::Violation };
        connection::serve(stream, ends, place, &self, &stop).await
    }

    fn note(&self, event: Event) {
        match event {
            Event::Accepted => self.counters.accepted.increment(),
            Event::AcceptFailed => self.counters.accept_errors.increment(),
            Event::OverClientLimit => self.counters.refused.increment(),
            Event::Ended(Closed::Handshake) => self.counters.handshake_errors.increment(),
            Event::Ended(Closed::Evicted) => self.counters.evicted.increment(),
            Event::Ended(Closed::Violation) => self.counters.connection_errors.increment(),
            Event::Ended(_) => {}
        }
    }

    fn open(&self) -> &Gauge {
        &self.counters.connections
    }
}
