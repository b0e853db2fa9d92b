//! Certificates. [`Tls`] is made of PEM files; listeners serve with it, and its identity is replaced without dropping a
//! connection. On the client side, [`Dialer`] verifies certificates of mirrors, and [`Xot`] those of primaries.
//!
//! [`judge()`] judges a chain for a name. [`Authority`] makes certificates for demonstrations and tests.
//!
//! **Invariants**: an [`Identity`] has a chain, and a key that belongs to its leaf; the ring provider is named, so that
//! nothing depends on a default of the process; session tickets outlive a [`Tls::replace`].
//! **Not here**: handshakes with clients ([`crate::dns`], [`crate::http`]), certificates from a public authority.
//!
//! RFC 8446 §4.6.1 (tickets), RFC 7301 (ALPN), RFC 7468 (PEM).

mod authority;
mod dial;
mod dialers;
mod facts;
mod fault;
mod judge;
mod life;
mod load;
mod path;
mod pem;
mod roots;
mod verifier;
mod watch;
mod xot;

use std::sync::Arc;

use arc_swap::ArcSwap;

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ServerConfig};

pub use authority::Authority;
pub(crate) use authority::{AuthorityError, Existing, Pair, WriteError};
pub use dial::Dialer;
pub(crate) use dial::{DialError, DialStep, Dialed, DialerError, Took, client_config};
pub use dialers::MirrorDialers;
pub(crate) use facts::LeafFacts;
pub(crate) use fault::{http_fault, refusal};
pub(crate) use judge::{Evidence, judge};
pub(crate) use life::Life;
pub use load::load;
pub(crate) use path::PathEnd;
pub use roots::Roots;
pub(crate) use watch::{LookOutcome, RefusedFiles, WatchedIdentity};
pub(crate) use xot::{Xot, XotError};

/// A certificate chain with the key of its leaf.
#[derive(Clone, Debug)]
pub struct Identity(Arc<CertifiedKey>);

impl Identity {
    /// The chain, leaf first.
    fn chain(&self) -> &[CertificateDer<'static>] {
        &self.0.cert
    }

    /// Presents this certificate to servers that ask for one.
    pub(crate) fn present_to_servers(self, config: &mut ClientConfig) {
        config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(self.0));
    }
}

/// The TLS configuration of a listener, and the identity it serves.
#[derive(Debug)]
pub struct Tls {
    current: Arc<Current>,
    config: Arc<ServerConfig>,
}

impl Tls {
    /// Serves an identity, for the application protocols of this listener in order of preference.
    pub fn new(identity: Identity, protocols: &[&[u8]]) -> Result<Self, rustls::Error> {
        let current = Arc::new(Current(ArcSwap::new(identity.0)));
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        // Tickets keep no state here and, unlike a session cache, cannot be filled up by clients.
        config.ticketer = ring::Ticketer::new()?;
        Ok(Tls { current, config: Arc::new(config) })
    }

    /// Serves this identity from the next handshake on. Connections and tickets do not change.
    pub fn replace(&self, identity: Identity) {
        self.current.0.store(identity.0);
    }

    /// The configuration to accept connections with.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }
}

/// The identity that is served now.
#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    // One name, one certificate: what the client asks for (SNI) does not matter.
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// The cryptography provider of all TLS connections.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
