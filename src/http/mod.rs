//! HTTP: the registry listener, DNS over HTTPS, and the admin listener with health and metrics.
//!
//! [`HttpServer::start`] answers with a [`Handler`] on ports that [`crate::listen`] took, over HTTP/1.1 and HTTP/2, in the
//! clear (h2 by prior knowledge) or in TLS; [`Listeners::stop`] finishes what is in flight.
//!
//! **Invariants**: everything that a remote party can make grow or last has a limit, below or in [`crate::listen`]; a
//! request body is read only for a handler that asks for it, and only so far; no client address is logged; one request
//! sees exactly one snapshot.
//! **Not here**: what a pull request gets ([`crate::registry`]), what a DNS message gets ([`crate::wire`]), accepting
//! connections and their limits ([`crate::listen`]), certificates ([`crate::tls`]).
//!
//! RFC 9112 (HTTP/1.1), RFC 9113 (HTTP/2), RFC 7301 (ALPN), RFC 8484 (DNS over HTTPS).

mod admin;
mod asking;
mod connection;
mod doh;
mod guesses;
mod host;
mod paced;
mod pull;
mod token;

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

pub use admin::{Admin, DeskHandler};
pub use asking::{At, BlobAsker, Canonical, MAX_FLIGHTS, MAX_FLIGHTS_PER_MIRROR, MAX_WAITING, Means};
pub use doh::Doh;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::http::request::Parts;
pub use pull::Pull;
pub use token::Token;

use crate::listen::{BoundListeners, Closed, Connection, ConnectionPeer, Event, Listeners, Protocol, Terms};
use crate::telemetry::Gauge;
use crate::telemetry::http::Http;

/// The longest request line with all headers, in octets. A path is below 700; the rest is for cookies of proxies.
const MAX_HEAD_LEN: usize = 16 * 1024;

/// The most header fields in an HTTP/1.1 request.
const MAX_HEADERS: usize = 64;

/// Requests at once on one HTTP/2 connection. Nearly all are answered within the poll that reads them; what waits for a
/// mirror has a limit of its own, [`MAX_WAITING`].
const MAX_STREAMS: u32 = 100;

/// How long an HTTP/1.1 request head may take from its first octet.
const HEADER_TIMEOUT: Duration = Duration::from_secs(2);

/// How long any request may take from its first octet; for HTTP/2, whose frames may also be other than requests.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The application protocols to offer in TLS, in order of preference.
pub const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// What is said to a request.
pub type HttpResponse = hyper::Response<Full<Bytes>>;

/// A response that takes time.
pub type Later = Pin<Box<dyn Future<Output = HttpResponse> + Send>>;

/// A response, now or a little later.
pub enum HttpAnswer {
    /// Now.
    Now(HttpResponse),
    /// Once something is known, within a time of the handler's.
    Later(Later),
}

impl From<HttpResponse> for HttpAnswer {
    fn from(response: HttpResponse) -> Self {
        HttpAnswer::Now(response)
    }
}

impl HttpAnswer {
    /// The response. What there is now costs nothing more.
    pub(super) async fn wait(self) -> HttpResponse {
        match self {
            HttpAnswer::Now(response) => response,
            HttpAnswer::Later(response) => response.await,
        }
    }
}

/// What answers requests; it must not block.
pub trait Handler: Send + Sync + 'static {
    /// What it answers with: a [`HttpResponse`] where it never waits for anything.
    type Answer: Into<HttpAnswer>;

    /// The most bytes that a response usually has: as much room in the budget of its connection is taken before it is
    /// made. Requests wait while there is none.
    const RESPONSE_LEN: usize;

    /// How many octets of its body a request is to be read with; none: it is answered from its head alone.
    fn body_limit(&self, _head: &Parts) -> Option<usize> {
        None
    }

    /// Answers a request.
    fn respond(&self, head: &Parts, body: Body<'_>, peer: IpAddr) -> Self::Answer;
}

/// What was read of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'r> {
    /// Nothing: the handler did not ask for it.
    Unread,
    /// All of it.
    Whole(&'r [u8]),
    /// It is longer than the handler takes.
    TooLong,
    /// It broke off.
    Broken,
}

/// HTTP on connections.
pub struct HttpServer<H> {
    handler: H,
    counters: Arc<Http>,
}

impl<H: Handler> HttpServer<H> {
    /// Starts answering; needs a tokio runtime with time and network.
    pub fn start(bound: BoundListeners, terms: Terms, handler: H, counters: Arc<Http>) -> io::Result<Listeners> {
        Listeners::start(bound, terms, HttpServer { handler, counters })
    }
}

impl<H: Handler> Protocol for HttpServer<H> {
    async fn serve(self: Arc<Self>, connection: Connection) -> Closed {
        let Connection { stream, peer, place, stop } = connection;
        // No listener of HTTP is a Unix socket, but that of `control`, which is a service of its own.
        let ConnectionPeer::Address(address) = peer else { return Closed::Violation };
        connection::serve(stream, address, place, &self, &stop).await
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
