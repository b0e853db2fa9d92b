//! HTTP: the registry listener, DNS over HTTPS, and the admin listener with health and metrics.
//!
//! [`bind`] takes the ports before anything else starts; [`Server::start`] answers on them with a [`Handler`], over
//! HTTP/1.1 and HTTP/2, in the clear (h2 by prior knowledge) or in TLS; [`Server::stop`] finishes what is in flight.
//!
//! **Invariants**: everything that a remote party can make grow or last has a limit, below; a request body is read only
//! for a handler that asks for it, and only so far; no client address is logged; one request sees exactly one snapshot.
//! **Not here**: what a pull request gets ([`crate::registry`]), what a DNS message gets ([`crate::wire`]), certificates
//! ([`crate::tls`]).
//!
//! RFC 9112 (HTTP/1.1), RFC 9113 (HTTP/2), RFC 7301 (ALPN), RFC 8484 (DNS over HTTPS).

mod admin;
mod asking;
mod connection;
mod doh;
mod listen;
mod paced;
mod pull;
mod token;

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::http::request::Parts;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use admin::{Admin, Desk};
pub use asking::{Asker, MAX_FLIGHTS, MAX_FLIGHTS_PER_MIRROR, MAX_WAITING, Means};
pub use doh::Doh;
pub use listen::{BindError, Bound, bind};
pub use pull::Pull;
pub use token::Token;

use crate::clients::Clients;
use crate::telemetry::http::Http;
use crate::tls::Tls;

/// Connections at once on all addresses of a server; others wait in the kernel's queue until one ends.
///
/// A connection without a request takes some 10 KB, so these are 40 MB, and none is idle for longer than
/// [`IDLE_TIMEOUT`]. It is well below the usual hard limit of file descriptors.
pub const MAX_CONNECTIONS: usize = 4096;

/// Connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 1024;

/// The longest request line with all headers, in octets. A path is below 700; the rest is for cookies of proxies.
const MAX_HEAD_LEN: usize = 16 * 1024;

/// The most header fields in an HTTP/1.1 request.
const MAX_HEADERS: usize = 64;

/// Requests at once on one HTTP/2 connection. Nearly all are answered within the poll that reads them; what waits for a
/// mirror has a limit of its own, [`MAX_WAITING`].
const MAX_STREAMS: u32 = 100;

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an HTTP/1.1 request head may take from its first octet.
const HEADER_TIMEOUT: Duration = Duration::from_secs(2);

/// How long any request may take from its first octet; for HTTP/2, whose frames may also be other than requests.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may be silent between requests: the requests of one pull are seconds apart.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a client may take none of what is written to it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// The application protocols to offer in TLS, in order of preference.
pub const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// What is said to a request.
pub type Response = hyper::Response<Full<Bytes>>;

/// A response that takes time.
pub type Later = Pin<Box<dyn Future<Output = Response> + Send>>;

/// A response, now or a little later.
pub enum Answer {
    /// Now.
    Now(Response),
    /// Once something is known, within a time of the handler's.
    Later(Later),
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Answer::Now(response)
    }
}

impl Answer {
    /// The response. What there is now costs nothing more.
    pub(super) async fn wait(self) -> Response {
        match self {
            Answer::Now(response) => response,
            Answer::Later(response) => response.await,
        }
    }
}

/// What answers requests; it must not block.
pub trait Handler: Send + Sync + 'static {
    /// What it answers with: a [`Response`] where it never waits for anything.
    type Answer: Into<Answer>;

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

/// A running server.
#[derive(Debug)]
pub struct Server {
    tasks: TaskTracker,
    stop: CancellationToken,
    cut: CancellationToken,
}

/// How a server came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Everything in flight was finished.
    Finished,
    /// Some connections did not end in time and were cut.
    Cut {
        /// How many.
        connections: usize,
    },
}

/// What the tasks of a server have in common.
struct Shared<H> {
    handler: H,
    tls: Option<Arc<Tls>>,
    counters: Arc<Http>,
    clients: Option<Arc<Clients>>,
    room: Arc<Semaphore>,
    tasks: TaskTracker,
    stop: CancellationToken,
    cut: CancellationToken,
}

impl Server {
    /// Starts answering; needs a tokio runtime with time and network.
    pub fn start<H: Handler>(bound: Bound, handler: H, tls: Option<Arc<Tls>>, counters: Arc<Http>) -> Self {
        Server::start_among(None, bound, handler, tls, counters)
    }

    /// The same, where connections take their places among clients with limits of their own.
    pub fn start_among<H: Handler>(
        clients: Option<Arc<Clients>>,
        bound: Bound,
        handler: H,
        tls: Option<Arc<Tls>>,
        counters: Arc<Http>,
    ) -> Self {
        let (tasks, stop, cut) = (TaskTracker::new(), CancellationToken::new(), CancellationToken::new());
        let shared = Arc::new(Shared {
            handler,
            tls,
            counters,
            clients,
            room: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            tasks: tasks.clone(),
            stop: stop.clone(),
            cut: cut.clone(),
        });
        for listener in bound.listeners {
            tasks.spawn(listen::accept(listener, shared.clone()));
        }
        Server { tasks, stop, cut }
    }

    /// Stops accepting at once, finishes what is in flight, and cuts what is left after `within`.
    pub async fn stop(self, within: Duration) -> Stopped {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(within, self.tasks.wait()).await.is_ok() {
            return Stopped::Finished;
        }
        let connections = self.tasks.len();
        self.cut.cancel();
        self.tasks.wait().await;
        Stopped::Cut { connections }
    }
}
