//! Connections to a primary over TLS, for zone transfers (RFC 9103, "XoT").
//!
//! In: an address and the name that the primary's certificate is for. Out: a stream of DNS messages.
//!
//! **Invariants**: TLS 1.3 alone (RFC 9103 §7.1), and the application protocol `dot`, which the primary must select; every
//! connection makes a full handshake, so that a certificate is verified each time.
//! **Not here**: messages, time-outs (the caller's), a client certificate: a TSIG key authenticates us.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::dial::{DialError, DialerError, Secure};
use super::roots::Roots;
use crate::files;

/// The application protocol of DNS over TLS, which RFC 9103 §7.1 requires of transfers.
const PROTOCOL: &[u8] = b"dot";

/// The TLS settings for one primary, whose certificate is verified for its name: made once, shared by every connection.
#[derive(Clone, Debug)]
pub(crate) struct Xot(Secure);

/// The reason why there is no connection over TLS.
#[derive(Debug)]
pub(crate) enum XotError {
    /// TCP failed.
    Connect(io::Error),
    /// The handshake failed.
    Tls(DialError),
    /// The primary did not select the application protocol `dot`.
    NotDot,
}

impl fmt::Display for XotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            XotError::Connect(error) => f.write_str(&files::words(error)),
            XotError::Tls(error) => error.fmt(f),
            XotError::NotDot => f.write_str("it does not select the application protocol `dot` (RFC 9103 §7.1)"),
        }
    }
}

impl std::error::Error for XotError {}

impl Xot {
    /// Holds a primary to a name, by these roots.
    pub(crate) fn new(name: &str, roots: Arc<Roots>) -> Result<Self, DialerError> {
        Secure::new(name, roots, &[&rustls::version::TLS13]).map(Xot)
    }

    /// Connects to the primary at an address.
    pub(crate) async fn dial(&self, address: SocketAddr) -> Result<TlsStream<TcpStream>, XotError> {
        let stream = TcpStream::connect(address).await.map_err(XotError::Connect)?;
        // Queries are single small writes, for which Nagle's algorithm only waits.
        let _ = stream.set_nodelay(true);
        let (stream, _) = self.0.handshake(stream, &[PROTOCOL]).await.map_err(XotError::Tls)?;
        match stream.get_ref().1.alpn_protocol() {
            Some(PROTOCOL) => Ok(stream),
            _ => Err(XotError::NotDot),
        }
    }
}
