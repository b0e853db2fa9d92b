//! A connection to a mirror, on which requests are made one after the other.
//!
//! **Invariants**: a peer sends at most the bytes of a response's limit; every task of a connection ends with its [`Dialed`].
//! **Not here**: making connections ([`super`]).
//!
//! RFC 9112, RFC 9113.

use std::sync::Arc;

use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::header::{HOST, HeaderName, USER_AGENT};
use hyper::rt::Executor;
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use rustls::ProtocolVersion;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::super::facts::LeafFacts;
use super::super::fault::http_fault;
use super::Took;
use super::bounded::Allowance;
use crate::mirror::{HttpFault, HttpVersion};

/// Bytes that may come over TCP for a handshake, and for a request beside its body, which may take twice its length because
/// TLS and chunks frame it. Neither hyper nor rustls limits how many interim responses (`103`) or empty records come.
pub(super) const MAX_HEADS_LEN: u64 = 256 << 10;

/// A connection to a mirror.
#[derive(Debug)]
pub(crate) struct Dialed {
    host: Arc<str>,
    sender: Sender,
    session: Session,
    tasks: Tasks,
}

/// The result of the handshakes before HTTP.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) allowance: Allowance,
    pub(super) took: Took,
    pub(super) http: HttpVersion,
    /// `None` over plain HTTP.
    pub(super) tls: Option<ProtocolVersion>,
}

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<Empty<Bytes>>),
    Http2(http2::SendRequest<Empty<Bytes>>),
}

impl Dialed {
    /// Speaks HTTP on a stream, whose peer is addressed as `host`.
    pub(super) async fn new<S>(host: Arc<str>, stream: S, session: Session) -> Result<Self, HttpFault>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (tasks, stream) = (Tasks::default(), TokioIo::new(stream));
        let sender = match session.http {
            HttpVersion::Http1 => {
                let (sender, connection) = http1::handshake(stream).await.map_err(|error| http_fault(&error))?;
                tasks.execute(connection);
                Sender::Http1(sender)
            }
            HttpVersion::Http2 => {
                let shaken = http2::handshake(tasks.clone(), stream).await;
                let (sender, connection) = shaken.map_err(|error| http_fault(&error))?;
                tasks.execute(connection);
                Sender::Http2(sender)
            }
        };
        Ok(Dialed { host, sender, session, tasks })
    }

    /// Makes a request, and waits for the head of its response, whose body may have `max_body_len` bytes at most.
    pub(crate) async fn request_with(
        &mut self,
        method: Method,
        path: &str,
        field: Option<(HeaderName, &str)>,
        max_body_len: u64,
    ) -> Result<Response<Incoming>, HttpFault> {
        self.ready().await?;
        self.session.allowance.set(max_body_len.saturating_mul(2).saturating_add(MAX_HEADS_LEN));
        let mut request =
            Request::builder().method(method).header(USER_AGENT, concat!("pharos/", env!("CARGO_PKG_VERSION")));
        request = match self.session.http {
            HttpVersion::Http1 => request.uri(path).header(HOST, &*self.host),
            // RFC 9113 §8.3.1: scheme, authority and path are fields of their own, which hyper takes from a whole URI.
            HttpVersion::Http2 => {
                let uri = Uri::builder().scheme("https").authority(&*self.host).path_and_query(path).build();
                request.uri(uri.map_err(|_| HttpFault::Other)?)
            }
        };
        if let Some((name, value)) = field {
            request = request.header(name, value);
        }
        // No mirror can answer a path that makes no valid request.
        let request = request.body(Empty::new()).map_err(|_| HttpFault::Other)?;
        let response = match &mut self.sender {
            Sender::Http1(sender) => sender.send_request(request).await,
            Sender::Http2(sender) => sender.send_request(request).await,
        };
        response.map_err(|error| http_fault(&error))
    }

    /// Waits until another request may be made; an error if the connection ended.
    pub(crate) async fn ready(&mut self) -> Result<(), HttpFault> {
        let ready = match &mut self.sender {
            Sender::Http1(sender) => sender.ready().await,
            Sender::Http2(sender) => sender.ready().await,
        };
        ready.map_err(|error| http_fault(&error))
    }

    /// Returns whether another request may be made.
    pub(crate) fn is_open(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => !sender.is_closed(),
            Sender::Http2(sender) => !sender.is_closed(),
        }
    }

    /// The chain that was presented, leaf first; empty over plain HTTP.
    pub(super) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.session.chain
    }

    /// The leaf; `None` over plain HTTP.
    pub(crate) fn facts(&self) -> Option<LeafFacts> {
        LeafFacts::read(self.session.chain.first()?)
    }

    /// The durations of the steps of the connection.
    pub(crate) fn took(&self) -> Took {
        self.session.took
    }

    /// The protocol that both sides agreed on.
    pub(crate) fn http_version(&self) -> HttpVersion {
        self.session.http
    }

    /// The version of TLS, for people; `None` over plain HTTP.
    pub(crate) fn tls_version(&self) -> Option<&'static str> {
        match self.session.tls? {
            ProtocolVersion::TLSv1_2 => Some("TLS 1.2"),
            ProtocolVersion::TLSv1_3 => Some("TLS 1.3"),
            _ => Some("TLS"),
        }
    }
}

/// The tasks of a connection, which end with it. HTTP/2 has one for frames beside the one for requests.
///
/// hyper spawns tasks of HTTP/2 here. It keeps a copy in the connection's own task, so the end of a [`Dialed`] cannot be that
/// of the last copy.
#[derive(Clone, Debug, Default)]
struct Tasks(CancellationToken);

impl<F> Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        tokio::spawn(self.0.clone().run_until_cancelled_owned(task));
    }
}

impl Drop for Dialed {
    fn drop(&mut self) {
        self.tasks.0.cancel();
    }
}
