//! Dialling a mirror as a pull client does, but at an address of our choosing: TCP, TLS for the shared name, HTTP/1.1 or HTTP/2.
//! A registry is dialled as well, over plain HTTP if so configured.
//!
//! In: an address. Out: a [`Dialed`] connection on which requests can be made, with what its certificate said.
//!
//! **Invariants**: the address itself is dialled, never a name; every connection makes a full handshake, since a resumed
//! session shows no certificate; a connection ends with its [`Dialed`].
//! **Not here**: time-outs (the caller's), the requests ([`dialed`]), the meaning of an answer.
//!
//! RFC 6066 §3 (SNI), RFC 7301 (ALPN), RFC 9525 (the names of a certificate).

mod bounded;
mod dialed;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DEFAULT_VERSIONS, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub(crate) use dialed::Dialed;

use bounded::{Allowance, Bounded};
use dialed::{MAX_HEADS_LEN, Session};

use super::facts::LeafFacts;
use super::fault::{chain_fault, connect_fault, handshake_fault};
use super::path::{self, PathEnd};
use super::roots::Roots;
use super::verifier::Verifier;
use crate::mirror::{CertificateFault, ConnectFault, HandshakeFault, HttpFault, HttpVersion};

/// The port that requests do not name.
const HTTPS: u16 = 443;

/// The protocols in ALPN.
const HTTP1: &[u8] = b"http/1.1";
const HTTP2: &[u8] = b"h2";

/// The settings for dialling mirrors: made once, shared by every connection.
#[derive(Clone, Debug)]
pub struct Dialer {
    /// The host in requests, and the port if it is not the scheme's default.
    host: Arc<str>,
    port: u16,
    /// `None` for plain HTTP.
    secure: Option<Secure>,
}

/// The requirements on a certificate.
#[derive(Clone, Debug)]
pub(super) struct Secure {
    name: ServerName<'static>,
    roots: Arc<Roots>,
    /// The configuration. Each handshake replaces its verifier by one of its own.
    config: ClientConfig,
}

/// The reason why no dialer can be made.
#[derive(Debug)]
pub enum DialerError {
    /// The name is not one of DNS.
    Name,
    /// There are no roots.
    Roots,
    /// TLS cannot be set up.
    Tls(rustls::Error),
}

impl fmt::Display for DialerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DialerError::Name => f.write_str("the shared name is not a DNS name"),
            DialerError::Roots => f.write_str("there is no usable root certificate"),
            DialerError::Tls(_) => f.write_str("TLS cannot be set up with this build"),
        }
    }
}

impl std::error::Error for DialerError {}

/// The step of a connection that is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum DialStep {
    /// Nothing has been connected.
    #[default]
    Connect,
    /// The handshake is not over.
    Handshake,
    /// The protocol is agreed on, and no HTTP response has come.
    Http(HttpVersion),
}

/// The reason why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DialError {
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
    /// HTTP cannot be spoken.
    Http(HttpFault),
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DialError::Connect(fault) => fault.fmt(f),
            DialError::Own(error) => f.write_str(error),
            DialError::Certificate { fault, .. } => write!(f, "its certificate is refused: {fault}"),
            DialError::Handshake(fault) => write!(f, "the TLS handshake fails: {fault}"),
            DialError::Http(fault) => fault.fmt(f),
        }
    }
}

/// The durations of the steps of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Took {
    /// TCP.
    pub(crate) connect: Duration,
    /// TLS.
    pub(crate) handshake: Duration,
}

impl Dialer {
    /// Dials mirrors of a name at a port, and holds their certificates to these roots.
    pub fn new(host: Arc<str>, port: u16, roots: Arc<Roots>) -> Result<Self, DialerError> {
        let secure = Some(Secure::new(&host, roots, DEFAULT_VERSIONS)?);
        let host = if port == HTTPS { host } else { format!("{host}:{port}").into() };
        Ok(Dialer { host, port, secure })
    }

    /// Dials a registry that is reached as `authority`, which is `host` and maybe the port; without roots over plain HTTP.
    pub fn of_registry(
        authority: Arc<str>,
        host: &str,
        port: u16,
        roots: Option<Arc<Roots>>,
    ) -> Result<Self, DialerError> {
        let secure = roots.map(|roots| Secure::new(host, roots, DEFAULT_VERSIONS)).transpose()?;
        Ok(Dialer { host: authority, port, secure })
    }
}

impl Secure {
    /// Holds a server to a name, by these roots, with certain versions of TLS.
    pub(super) fn new(
        host: &str,
        roots: Arc<Roots>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Result<Self, DialerError> {
        let name = ServerName::try_from(host.to_string()).map_err(|_| DialerError::Name)?;
        let config = client_config(&roots, versions)?;
        Ok(Secure { name, roots, config })
    }

    /// Makes a handshake in which these application protocols are offered, and returns the chain that was presented.
    pub(super) async fn handshake<S>(
        &self,
        stream: S,
        protocols: &[&[u8]],
    ) -> Result<(TlsStream<S>, Vec<CertificateDer<'static>>), DialError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let verifier = Verifier::new(self.roots.clone());
        let mut config = self.config.clone();
        config.dangerous().set_certificate_verifier(verifier.clone());
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let shaken = TlsConnector::from(Arc::new(config)).connect(self.name.clone(), stream).await;
        let chain = verifier.take();
        match shaken {
            Ok(stream) => Ok((stream, chain)),
            Err(error) => Err(tls_error(&error, &chain, &self.roots)),
        }
    }
}

impl Dialer {
    /// Connects to an address. If HTTP/1.1 is offered, a server that refuses it by ALPN is spoken to in HTTP/2; if HTTP/2 is
    /// offered, a server that does not select it in HTTP/1.1. `step` is kept up to date, so that a caller whose time-out ends
    /// this knows how far it got.
    pub(crate) async fn dial(
        &self,
        offered: HttpVersion,
        address: IpAddr,
        step: &mut DialStep,
    ) -> Result<Dialed, DialError> {
        match self.dial_once(offered, address, step).await {
            Err(DialError::Handshake(HandshakeFault::Protocol)) if offered == HttpVersion::Http1 => {
                self.dial_once(HttpVersion::Http2, address, step).await
            }
            dialed => dialed,
        }
    }

    async fn dial_once(&self, offered: HttpVersion, address: IpAddr, step: &mut DialStep) -> Result<Dialed, DialError> {
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
            *step = DialStep::Http(HttpVersion::Http1);
            let took = Took { connect, ..Took::default() };
            let session = Session { chain: Vec::new(), allowance, took, http: HttpVersion::Http1, tls: None };
            return Dialed::new(self.host.clone(), stream, session).await.map_err(DialError::Http);
        };
        *step = DialStep::Handshake;
        // A client that speaks HTTP/2 offers both.
        let protocols: &[&[u8]] = match offered {
            HttpVersion::Http1 => &[HTTP1],
            HttpVersion::Http2 => &[HTTP2, HTTP1],
        };
        let (stream, chain) = secure.handshake(stream, protocols).await?;
        let agreed = stream.get_ref().1;
        let http = if agreed.alpn_protocol() == Some(HTTP2) { HttpVersion::Http2 } else { HttpVersion::Http1 };
        let tls = agreed.protocol_version();
        *step = DialStep::Http(http);
        let took = Took { connect, handshake: begun.elapsed().saturating_sub(connect) };
        let session = Session { chain, allowance, took, http, tls };
        Dialed::new(self.host.clone(), stream, session).await.map_err(DialError::Http)
    }

    /// The end of the path from the certificate of a connection to a root, if it is in its warning phase: `window` before the
    /// end, or a third of a certificate's life if that is shorter. `None` if there is time, and over plain HTTP.
    pub(crate) fn ending(&self, dialed: &Dialed, window: Duration) -> Option<PathEnd> {
        path::ending(dialed.chain(), &self.secure.as_ref()?.roots, window, UnixTime::now())
    }
}

/// The settings of a TLS client that trusts these roots, for certain versions of TLS.
pub(crate) fn client_config(
    roots: &Arc<Roots>,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<ClientConfig, DialerError> {
    if roots.is_empty() {
        return Err(DialerError::Roots);
    }
    let mut config = ClientConfig::builder_with_provider(super::provider())
        .with_protocol_versions(versions)
        .map_err(DialerError::Tls)?
        .dangerous()
        .with_custom_certificate_verifier(Verifier::new(roots.clone()))
        .with_no_client_auth();
    // A resumed session shows no certificate.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
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

/// The reason why a handshake failed; `chain` is the one that was presented.
fn tls_error(error: &io::Error, chain: &[CertificateDer<'_>], roots: &Roots) -> DialError {
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(rustls::Error::InvalidCertificate(reason)) => DialError::Certificate {
            fault: chain_fault(reason, chain, roots, UnixTime::now()),
            facts: chain.first().and_then(LeafFacts::read).map(Box::new),
        },
        Some(other) => DialError::Handshake(handshake_fault(other)),
        None => DialError::Handshake(HandshakeFault::Closed),
    }
}

#[cfg(test)]
mod tests;
