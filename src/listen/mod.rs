//! Listeners: the one mechanism that takes ports, accepts connections, limits clients, shakes hands and drains.
//!
//! [`bind()`] takes ports. [`Listeners::start`] accepts on them, and [`Endpoints::start`] does the same for QUIC. A
//! [`Protocol`] speaks its protocol on each [`Connection`]. DNS over TCP and TLS, DNS over HTTPS, the registry, the admin
//! listener and the control socket are such services.
//!
//! **Invariants**: a listener cannot be made without [`Limits`]: connections in all and per client, with room made by
//! closing the idlest; a budget of unsent bytes per connection, client and group; deadlines for handshakes and writes.
//! No other module accepts connections (`tests/layers.rs`). Remote input is counted, never logged.
//! **Not here**: protocols ([`crate::dns`], [`crate::http`], [`crate::control`]), datagrams of plain DNS.

mod accept;
mod bind;
mod clients;
mod quic;
mod quic_socket;
mod stream;
mod unsent;

use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::{Method, StatusCode};
use tokio_util::sync::CancellationToken;

pub use accept::{Listeners, Terms};
pub use bind::bind;
pub(crate) use bind::{BindError, BoundListeners, BoundQuic, bind_quic};
pub use clients::{BeyondLimit, Clients, Limits};
pub(crate) use clients::{ConnectionPeer, ConnectionPlace, Groups};
pub(crate) use quic::{Endpoints, QuicConnection, QuicTerms};
pub(crate) use quic_socket::is_service_port;
pub(crate) use stream::Stream;
pub(crate) use unsent::MESSAGE;

use crate::base::ends::SocketEnds;
use crate::process::Vital;
use crate::telemetry::Gauge;
pub(crate) use crate::telemetry::dns::Closed;

/// A response of an HTTP listener or of the control socket.
pub type HttpResponse = hyper::Response<Full<Bytes>>;

/// A response to a method. The one to HEAD has the length of the body, which hyper would not send for HEAD over HTTP/2, and no
/// body.
pub(crate) fn http_response(method: &Method, status: StatusCode, kind: &'static str, body: Bytes) -> HttpResponse {
    let len = body.len();
    let mut response = HttpResponse::new(Full::new(if method == Method::HEAD { Bytes::new() } else { body }));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, len.into());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// The longest time of a handshake: several round trips around the world, with losses.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// The parts that all listeners of a process share.
#[derive(Clone, Debug)]
pub struct Common {
    /// Reports an acceptor that ends: a port would take connections into its queue and serve none.
    pub(crate) vital: Vital,
    /// The groups that close idle connections if the system has no descriptor left.
    pub(crate) groups: Groups,
}

impl Common {
    /// Listeners whose acceptors are reported here.
    pub fn new(vital: Vital) -> Self {
        Common { vital, groups: Groups::default() }
    }
}

/// A connection that has its place and has completed its handshake.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Its bytes.
    pub(crate) stream: Stream,
    /// Its other end.
    pub(crate) peer: ConnectionPeer,
    /// Its addresses; `None` for a Unix socket.
    pub(crate) ends: Option<SocketEnds>,
    /// Its place; a service touches it when a request is complete.
    pub(crate) place: Arc<ConnectionPlace>,
    /// Cancelled when the connection must not wait for new requests.
    pub(crate) stop: CancellationToken,
}

/// A protocol on connections: each a [`Connection`] or a [`QuicConnection`].
pub(crate) trait Protocol<C = Connection>: Send + Sync + 'static {
    /// Serves a connection to its end. The future is dropped if the connection is evicted.
    fn serve(self: Arc<Self>, connection: C) -> impl Future<Output = Closed> + Send;

    /// Counts an event.
    fn note(&self, event: Event);

    /// The number of connections that are open.
    fn open(&self) -> &Gauge;
}

/// An event in the life of a listener or a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A connection has got its place.
    Accepted,
    /// A connection could not be accepted.
    AcceptFailed,
    /// A connection was refused because its client has as many as the limit allows.
    OverClientLimit,
    /// A connection came to its end.
    Ended(Closed),
}
