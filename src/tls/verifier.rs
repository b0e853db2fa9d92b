//! Verification of a server's chain as clients do it, which keeps the chain.
//!
//! rustls hands a chain to its caller after a handshake that succeeded. The chain of a refused certificate is needed too,
//! because only the chain shows which issuer is missing.
//!
//! **Invariants**: the path, the name and the signature of the handshake are verified.
//! **Not here**: the trusted roots ([`super::roots`]), paths ([`super::path`]).

use std::sync::{Arc, Mutex};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{DigitallySignedStruct, Error, SignatureScheme};

use super::path;
use super::roots::Roots;
use crate::base::lock::locked;

/// A verifier for one handshake.
#[derive(Debug)]
pub(super) struct Verifier {
    roots: Arc<Roots>,
    algorithms: WebPkiSupportedAlgorithms,
    chain: Mutex<Vec<CertificateDer<'static>>>,
}

impl Verifier {
    pub(super) fn new(roots: Arc<Roots>) -> Arc<Self> {
        let algorithms = super::provider().signature_verification_algorithms;
        Arc::new(Verifier { roots, algorithms, chain: Mutex::default() })
    }

    /// Takes the chain that was presented, leaf first; empty if the handshake did not get so far.
    pub(super) fn take(&self) -> Vec<CertificateDer<'static>> {
        std::mem::take(&mut locked(&self.chain))
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain: Vec<_> = std::iter::once(leaf).chain(intermediates).map(|one| one.clone().into_owned()).collect();
        let path = path::verify(&chain, &self.roots, now);
        *locked(&self.chain) = chain;
        path?;
        verify_server_name(&ParsedCertificate::try_from(leaf)?, name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, leaf, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
