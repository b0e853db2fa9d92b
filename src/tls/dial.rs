//! Dialling a mirror as a pull client does, but at an address of our choosing: TCP, TLS for the shared name, HTTP/1.1. A
//! registry is dialled as well, over plain HTTP if so configured.
//!
//! In: an address. Out: a [`Dialed`] connection on which requests can be made, with what its certificate said.
//!
//! **Invariants**: the address itself is dialled, never a name; every connection makes a full handshake, since a resumed
//! session shows no certificate; a connection ends with its [`Dialed`].
//! **Not here**: time-outs (the caller's), the requests, the meaning of an answer.
//!
//! RFC 6066 §3 (SNI), RFC 9525 (the names of a certificate), RFC 9112.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HOST, HeaderName, RANGE, USER_AGENT};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::client::{VerifierBuilderError, WebPkiServerVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::facts::LeafFacts;
use super::fault::{TooMuch, certificate_fault, chain_fault, connect_fault, handshake_fault, http_fault};
use super::life::{Life, Phase};
use super::recorder::Recorder;
use crate::mirror::{CertificateFault, ConnectFault, HandshakeFault, HttpFault};

/// The settings for dialling mirrors: made once, shared by every connection.
#[derive(Clone, Debug)]
pub struct Dialer {
    /// The `Host` header.
    host: Arc<str>,
    port: u16,
    /// `None` for plain HTTP.
    secure: Option<Secure>,
}

/// The requirements on a certificate.
#[derive(Clone, Debug)]
struct Secure {
    name: ServerName<'static>,
    roots: Arc<RootCertStore>,
    verifier: Arc<WebPkiServerVerifier>,
    /// The configuration without a verifier: each handshake has its own.
    config: ClientConfig,
}

/// The reason why no dialer can be made.
#[derive(Debug)]
pub enum DialerError {
    /// The name is not one of DNS.
    Name,
    /// The roots cannot be used.
    Roots(VerifierBuilderError),
    /// TLS cannot be set up.
    Tls(rustls::Error),
}

impl fmt::Display for DialerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DialerError::Name => f.write_str("the shared name is not a DNS name"),
            DialerError::Roots(_) => f.write_str("there is no usable root certificate"),
            DialerError::Tls(_) => f.write_str("TLS cannot be set up with this build"),
        }
    }
}

impl std::error::Error for DialerError {}

/// The step of a connection that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialStep {
    /// Nothing has been connected.
    Connect,
    /// The handshake is not over.
    Handshake,
    /// No HTTP response has come.
    Http,
}

/// The reason why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialError {
    /// TCP failed.
    Connect(ConnectFault),
    /// This machine has no descriptor, memory or port left for a connection, so the address was not tested.
    Own(String),
    /// Clients refuse the certificate.
    Certificate {
        /// The reason.
        fault: CertificateFault,
        /// The leaf; `None` if it was not seen, or cannot be parsed.
        facts: Option<Box<LeafFacts>>,
    },
    /// The handshake fails for another reason.
    Handshake(HandshakeFault),
    /// There is no HTTP/1.1 connection.
    Http(HttpFault),
}

/// The durations of the steps of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Took {
    /// TCP.
    pub connect: Duration,
    /// TLS.
    pub handshake: Duration,
}

impl Dialer {
    /// Dials mirrors of a name at a port, and holds their certificates to these roots.
    pub fn new(host: Arc<str>, port: u16, roots: Arc<RootCertStore>) -> Result<Self, DialerError> {
        let secure = Some(Secure::new(&host, roots)?);
        Ok(Dialer { host, port, secure })
    }

    /// Dials a registry that is reached as `authority`, which is `host` and maybe the port; without roots over plain HTTP.
    pub fn of_registry(
        authority: Arc<str>,
        host: &str,
        port: u16,
        roots: Option<Arc<RootCertStore>>,
    ) -> Result<Self, DialerError> {
        let secure = roots.map(|roots| Secure::new(host, roots)).transpose()?;
        Ok(Dialer { host: authority, port, secure })
    }
}

impl Secure {
    fn new(host: &str, roots: Arc<RootCertStore>) -> Result<Self, DialerError> {
        let name = ServerName::try_from(host.to_string()).map_err(|_| DialerError::Name)?;
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.clone(), super::provider());
        let verifier = verifier.build().map_err(DialerError::Roots)?;
        let mut config = ClientConfig::builder_with_provider(super::provider())
            .with_safe_default_protocol_versions()
            .map_err(DialerError::Tls)?
            .with_webpki_verifier(verifier.clone())
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Secure { name, roots, verifier, config })
    }

    /// Makes a handshake, and returns the chain that was presented.
    async fn handshake<S>(&self, stream: S) -> Result<(TlsStream<S>, Vec<CertificateDer<'static>>), DialError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let recorder = Recorder::new(self.verifier.clone());
        let mut config = self.config.clone();
        config.dangerous().set_certificate_verifier(recorder.clone());
        let shaken = TlsConnector::from(Arc::new(config)).connect(self.name.clone(), stream).await;
        let chain = recorder.take();
        match shaken {
            Ok(stream) => Ok((stream, chain)),
            Err(error) => Err(match refused(&error) {
                Some(reason) => DialError::Certificate {
                    fault: chain_fault(reason, &chain, &self.roots),
                    facts: chain.first().and_then(|leaf| LeafFacts::read(leaf).ok()).map(Box::new),
                },
                None => tls_error(&error),
            }),
        }
    }
}

impl Dialer {
    /// Connects to an address. `step` is kept up to date, so that a caller whose time-out ends this knows how far it got.
    pub async fn dial(&self, address: IpAddr, step: &mut DialStep) -> Result<Dialed, DialError> {
        *step = DialStep::Connect;
        let place = SocketAddr::new(address, self.port);
        let begun = Instant::now();
        let stream = TcpStream::connect(place).await;
        let stream = stream.map_err(|error| {
            if is_own_fault(&error, place) {
                DialError::Own(crate::files::words(&error))
            } else {
                DialError::Connect(connect_fault(error.kind()))
            }
        })?;
        let connect = begun.elapsed();
        // Requests are single small writes, for which Nagle's algorithm only waits.
        let _ = stream.set_nodelay(true);
        let allowance = Allowance::default();
        allowance.set(MAX_HEADS_LEN);
        let stream = Bounded { stream, allowance: allowance.clone() };
        let Some(secure) = &self.secure else {
            *step = DialStep::Http;
            return self.speak(stream, Vec::new(), allowance, Took { connect, ..Took::default() }).await;
        };
        *step = DialStep::Handshake;
        let (stream, chain) = secure.handshake(stream).await?;
        *step = DialStep::Http;
        let handshake = begun.elapsed().saturating_sub(connect);
        self.speak(stream, chain, allowance, Took { connect, handshake }).await
    }

    async fn speak<S>(
        &self,
        stream: S,
        chain: Vec<CertificateDer<'static>>,
        allowance: Allowance,
        took: Took,
    ) -> Result<Dialed, DialError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let shaken = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = shaken.map_err(|error| DialError::Http(http_fault(&error)))?;
        let connection = AbortOnDrop(tokio::spawn(connection));
        Ok(Dialed { host: self.host.clone(), sender, chain, allowance, took, _connection: connection })
    }

    /// Returns whether clients will still accept the chain of a connection after `ahead`, or after a third of the life of each
    /// of its certificates if that is shorter.
    pub fn lasts(&self, dialed: &Dialed, ahead: Duration) -> bool {
        self.lasts_from(&dialed.chain, ahead, UnixTime::now())
    }

    fn lasts_from(&self, chain: &[CertificateDer<'_>], ahead: Duration, now: UnixTime) -> bool {
        let Some(secure) = &self.secure else { return true };
        let Some((leaf, intermediates)) = chain.split_first() else { return false };
        // The chain is accepted now. If each of its certificates lasts, so does the chain. Its signatures, which cost as
        // much as the handshake, are checked again only if another path may have to be found.
        let lives = chain.iter().map(|one| Life::of_one(one, ahead));
        let ending = lives.filter(|life| life.is_none_or(|life| life.phase(now) != Phase::Good));
        let Some(window) = ending.map(|life| life.map_or(ahead, |life| life.window())).max() else { return true };
        let then = UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs()) + window);
        secure.verifier.verify_server_cert(leaf, intermediates, &secure.name, &[], then).is_ok()
    }
}

/// A connection to a mirror.
#[derive(Debug)]
pub struct Dialed {
    host: Arc<str>,
    sender: SendRequest<Empty<Bytes>>,
    chain: Vec<CertificateDer<'static>>,
    allowance: Allowance,
    took: Took,
    _connection: AbortOnDrop,
}

impl Dialed {
    /// Makes a request, and waits for the head of its response, whose body may have `max_body_len` bytes at most.
    pub async fn request(
        &mut self,
        method: Method,
        path: &str,
        range: Option<&str>,
        max_body_len: u64,
    ) -> Result<Response<Incoming>, HttpFault> {
        self.request_with(method, path, range.map(|range| (RANGE, range)), max_body_len).await
    }

    /// The same with a header field.
    pub async fn request_with(
        &mut self,
        method: Method,
        path: &str,
        field: Option<(HeaderName, &str)>,
        max_body_len: u64,
    ) -> Result<Response<Incoming>, HttpFault> {
        self.sender.ready().await.map_err(|error| http_fault(&error))?;
        self.allowance.set(max_body_len.saturating_mul(2).saturating_add(MAX_HEADS_LEN));
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &*self.host)
            .header(USER_AGENT, concat!("pharos/", env!("CARGO_PKG_VERSION")));
        if let Some((name, value)) = field {
            request = request.header(name, value);
        }
        // No mirror can answer a path that makes no valid request.
        let request = request.body(Empty::new()).map_err(|_| HttpFault::Other)?;
        self.sender.send_request(request).await.map_err(|error| http_fault(&error))
    }

    /// Returns whether another request may be made.
    pub fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// The leaf; `None` over plain HTTP.
    pub fn facts(&self) -> Option<LeafFacts> {
        LeafFacts::read(self.chain.first()?).ok()
    }

    /// The durations of the steps of the connection.
    pub fn took(&self) -> Took {
        self.took
    }
}

/// Bytes that may come over TCP for a handshake, and for a request beside its body, which may take twice its length because
/// TLS and chunks frame it. Neither hyper nor rustls limits how many interim responses (`103`) or empty records come.
const MAX_HEADS_LEN: u64 = 256 << 10;

/// Bytes that a peer may still send.
#[derive(Clone, Debug, Default)]
struct Allowance(Arc<AtomicU64>);

impl Allowance {
    fn set(&self, len: u64) {
        self.0.store(len, Ordering::Relaxed);
    }

    /// Subtracts received bytes; an error if fewer are left.
    fn take(&self, len: u64) -> io::Result<()> {
        match self.0.load(Ordering::Relaxed).checked_sub(len) {
            Some(left) => {
                self.set(left);
                Ok(())
            }
            None => Err(io::Error::other(TooMuch)),
        }
    }
}

/// A connection that fails once its peer has sent more than it may.
#[derive(Debug)]
struct Bounded<S> {
    stream: S,
    allowance: Allowance,
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = room.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, room) {
            Poll::Ready(Ok(())) => Poll::Ready(self.allowance.take((room.filled().len() - before) as u64)),
            other => other,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Returns whether a connection failed for a reason of this machine's own.
fn is_own_fault(error: &io::Error, place: SocketAddr) -> bool {
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS) => true,
        // Either no port is left, or this machine has no address of the family. In the second case a UDP socket cannot be
        // connected either. Connecting it sends no datagram.
        Some(libc::EADDRNOTAVAIL) => {
            let any: SocketAddr = if place.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() };
            std::net::UdpSocket::bind(any).is_ok_and(|socket| socket.connect(place).is_ok())
        }
        _ => false,
    }
}

/// The reason why a handshake failed.
pub(super) fn tls_error(error: &io::Error) -> DialError {
    match (refused(error), inner(error)) {
        (Some(reason), _) => DialError::Certificate { fault: certificate_fault(reason), facts: None },
        (None, Some(other)) => DialError::Handshake(handshake_fault(other)),
        (None, None) => DialError::Handshake(HandshakeFault::Closed),
    }
}

/// The reason why the certificate was refused; `None` if it was not.
fn refused(error: &io::Error) -> Option<&CertificateError> {
    match inner(error)? {
        rustls::Error::InvalidCertificate(reason) => Some(reason),
        _ => None,
    }
}

fn inner(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// A task that does not outlive its connection.
#[derive(Debug)]
struct AbortOnDrop(tokio::task::JoinHandle<hyper::Result<()>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[test]
    fn the_end_of_an_intermediate_is_read_like_that_of_a_leaf() {
        for is_ca in [IsCa::NoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
            let mut params = CertificateParams::new(vec!["blob.example".to_string()]).unwrap();
            params.is_ca = is_ca;
            params.not_after = date_time_ymd(2026, 3, 1);
            let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
            assert_eq!(super::super::facts::validity(made.der()).map(|(_, end)| end), Some(1_772_323_200));
        }
    }

    #[test]
    fn a_lack_of_this_machine_is_its_own_fault_and_a_refusal_is_not() {
        let loopback: SocketAddr = "127.0.0.1:9".parse().unwrap();
        for number in [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::ENOBUFS, libc::EADDRNOTAVAIL] {
            assert!(is_own_fault(&io::Error::from_raw_os_error(number), loopback), "{number}");
        }
        for number in [libc::ECONNREFUSED, libc::ETIMEDOUT, libc::EHOSTUNREACH, libc::ENETUNREACH] {
            assert!(!is_own_fault(&io::Error::from_raw_os_error(number), loopback), "{number}");
        }
    }

    #[tokio::test]
    async fn interim_responses_without_end_break_the_connection() {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        let allowance = Allowance::default();
        allowance.set(MAX_HEADS_LEN);
        let flood = tokio::spawn(async move {
            // Wait for the request: a response that comes before it is refused for another reason.
            theirs.read_exact(&mut [0; 4]).await.unwrap();
            let mut sent = 0;
            while theirs.write_all(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n").await.is_ok() {
                sent += 1;
            }
            sent
        });
        let stream = Bounded { stream: ours, allowance };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let request = Request::builder().uri("/").body(Empty::<Bytes>::new()).unwrap();
        // hyper passes the error of the connection to the request that waits.
        let error = sender.send_request(request).await.unwrap_err();
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        assert_eq!(cause.as_deref(), Some("sends more than it was asked for"), "{error:?}");
        let _ = connection.await.unwrap();
        let sent: u64 = flood.await.unwrap();
        assert!(sent < 3 * MAX_HEADS_LEN / 40, "{sent} interim responses were read");
    }

    #[test]
    fn a_certificate_of_six_days_is_good_for_the_first_four() {
        let authority = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&authority).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(root.der().clone()).unwrap();
        let dialer = Dialer::new("blob.example".into(), 443, Arc::new(roots)).unwrap();
        let mut leaf = CertificateParams::new(vec!["blob.example".to_string()]).unwrap();
        (leaf.not_before, leaf.not_after) = (date_time_ymd(2026, 2, 1), date_time_ymd(2026, 2, 7));
        let issuer = rcgen::Issuer::new(params, authority);
        let chain = [leaf.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap().der().clone()];
        let lasts = |day: u8, ahead: u64| {
            let now = date_time_ymd(2026, 2, day).unix_timestamp() as u64;
            let now = UnixTime::since_unix_epoch(Duration::from_secs(now + 1));
            dialer.lasts_from(&chain, Duration::from_secs(ahead * 3600), now)
        };
        assert_eq!([1, 4, 5, 6].map(|day| lasts(day, 72)), [true, true, false, false]);
        // A shorter configured window applies.
        assert_eq!([5, 6].map(|day| lasts(day, 24)), [true, false]);
    }
}
