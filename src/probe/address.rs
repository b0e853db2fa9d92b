//! One probe of one address: connect, handshake, certificate, canary, and a digest that cannot exist.
//!
//! In: an address and what it is held to. Out: a [`Finding`], the verdict with its reason, within the time-out.
//!
//! **Invariants**: the address itself is dialled, never a name; every probe makes a full handshake, since a resumed
//! session shows no certificate; at most the canary's size is read of any body.
//! **Not here**: what a verdict leads to ([`crate::mirror`]), when to probe ([`super`]).

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_LENGTH, CONTENT_RANGE, HOST, RANGE, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use ring::digest::{SHA256, digest};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::config::{Canary, Probe};
use crate::mirror::Verdict;

/// A digest that no content has: nobody can find what hashes to all zeros.
const NOWHERE: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What one probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The verdict.
    pub verdict: Verdict,
    /// Why, where it is not simply up.
    pub reason: Option<Reason>,
}

/// Why a verdict is not simply up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The connection cannot be made.
    Connect(io::ErrorKind),
    /// The time is up; after this step.
    TimedOut(Step),
    /// The handshake fails for another reason than the certificate.
    Handshake(String),
    /// The certificate is not one that clients accept for the name.
    Certificate(String),
    /// The certificate will not be accepted once the warning window has passed.
    Expiring,
    /// What answers does not speak HTTP/1.1, or stops in the middle.
    Http(String),
    /// The canary is not there.
    CanaryStatus(u16),
    /// The canary's length is another.
    CanaryLength(Option<u64>),
    /// The canary's octets do not hash to its digest.
    CanaryDigest,
    /// A range of the canary is not answered with exactly that range.
    Range(u16),
    /// Something is served for a digest that cannot exist.
    AnswersAnything(u16),
}

/// How far a probe got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing has been connected.
    Connect,
    /// The handshake is not over.
    Handshake,
    /// No HTTP response has come.
    Http,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Connect(kind) => write!(f, "cannot connect: {kind}"),
            Reason::TimedOut(Step::Connect) => f.write_str("no connection in time"),
            Reason::TimedOut(Step::Handshake) => f.write_str("connects, but the TLS handshake does not end in time"),
            Reason::TimedOut(Step::Http) => f.write_str("no whole HTTP response in time"),
            Reason::Handshake(error) => write!(f, "the TLS handshake fails: {error}"),
            Reason::Certificate(error) => write!(f, "clients do not accept its certificate: {error}"),
            Reason::Expiring => f.write_str("its certificate ends soon"),
            Reason::Http(error) => write!(f, "does not speak HTTP/1.1: {error}"),
            Reason::CanaryStatus(status) => write!(f, "answers {status} for the canary"),
            Reason::CanaryLength(Some(length)) => write!(f, "says that the canary has {length} octets"),
            Reason::CanaryLength(None) => f.write_str("does not say how long the canary is"),
            Reason::CanaryDigest => f.write_str("what it serves for the canary has another digest"),
            Reason::Range(status) => write!(f, "answers {status} or another range when asked for a part of the canary"),
            Reason::AnswersAnything(status) => write!(f, "answers {status} for a digest that cannot exist"),
        }
    }
}

impl Reason {
    /// What the owner of the mirror can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Reason::Connect(_) | Reason::TimedOut(Step::Connect) => {
                "check that it listens on this address and port, and that no firewall is between"
            }
            Reason::TimedOut(Step::Handshake) | Reason::Handshake(_) => {
                "check the TLS server: `openssl s_client -connect ADDRESS:443 -servername NAME`"
            }
            Reason::Certificate(_) => {
                "serve the whole chain of a certificate for the shared name, from a public CA, valid now"
            }
            Reason::Expiring => "renew the certificate, and see why it was not renewed by itself",
            Reason::TimedOut(Step::Http) | Reason::Http(_) => "check the HTTP server behind TLS",
            Reason::CanaryStatus(_) => {
                "let it pull missing blobs through, or redirect to the canonical registry's own host"
            }
            Reason::CanaryLength(_) => "answer HEAD with the Content-Length of the blob",
            Reason::CanaryDigest => "take it out of service: clients get broken blobs",
            Reason::Range(_) => "answer a range request with 206 and an exact Content-Range",
            Reason::AnswersAnything(_) => "answer 404 for blobs that do not exist",
        }
    }
}

/// What addresses are probed with: made once, used by every probe.
#[derive(Clone, Debug)]
pub struct Prober {
    probe: Arc<Probe>,
    verifier: Arc<WebPkiServerVerifier>,
    name: ServerName<'static>,
}

/// Why no prober can be made.
#[derive(Debug)]
pub enum ProberError {
    /// The name is not one of DNS.
    Name,
    /// The roots cannot be used.
    Roots(rustls::client::VerifierBuilderError),
}

impl fmt::Display for ProberError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProberError::Name => f.write_str("the shared name is not a DNS name"),
            ProberError::Roots(error) => write!(f, "the roots cannot be used: {error}"),
        }
    }
}

impl std::error::Error for ProberError {}

impl Prober {
    /// Probes against these roots.
    pub fn new(probe: Arc<Probe>, roots: Arc<rustls::RootCertStore>) -> Result<Self, ProberError> {
        let name = ServerName::try_from(probe.name.to_string()).map_err(|_| ProberError::Name)?;
        let provider = crate::tls::provider();
        let verifier =
            WebPkiServerVerifier::builder_with_provider(roots, provider).build().map_err(ProberError::Roots)?;
        Ok(Prober { probe, verifier, name })
    }

    /// Probes one address.
    pub async fn probe(&self, address: IpAddr) -> Finding {
        let mut step = Step::Connect;
        match tokio::time::timeout(self.probe.timeout, self.steps(address, &mut step)).await {
            Ok(Ok(finding)) => finding,
            Ok(Err(finding)) => finding,
            Err(_) => Finding { verdict: Verdict::Slow, reason: Some(Reason::TimedOut(step)) },
        }
    }

    async fn steps(&self, address: IpAddr, step: &mut Step) -> Result<Finding, Finding> {
        let fails = |verdict, reason| Finding { verdict, reason: Some(reason) };
        let unreachable = |reason| fails(Verdict::Unreachable, reason);
        let stream = TcpStream::connect(SocketAddr::new(address, self.probe.port)).await;
        let stream = stream.map_err(|error| unreachable(Reason::Connect(error.kind())))?;
        *step = Step::Handshake;
        let watch = Arc::new(Watch::new(self));
        let connector = TlsConnector::from(Arc::new(
            self.client_config(watch.clone())
                .map_err(|error| fails(Verdict::TlsBad, Reason::Handshake(error.to_string())))?,
        ));
        let stream = connector.connect(self.name.clone(), stream).await;
        let stream = stream.map_err(|error| fails(Verdict::TlsBad, tls_reason(&error)))?;
        *step = Step::Http;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| unreachable(Reason::Http(error.to_string())))?;
        // Ends with the sender, which lives no longer than this probe.
        let connection = AbortOnDrop(tokio::spawn(connection));
        match &self.probe.canary {
            Some(canary) => self.check_canary(canary, &mut sender).await?,
            None => self.check_nowhere("pharos/probe", &mut sender).await?,
        }
        drop(connection);
        Ok(match watch.expiring.load(Ordering::Relaxed) {
            true => fails(Verdict::Expiring, Reason::Expiring),
            false => Finding { verdict: Verdict::Up, reason: None },
        })
    }

    /// MIRRORS: `HEAD` has the exact length; the octets hash to the digest; a range is exact; what cannot exist is not.
    async fn check_canary(&self, canary: &Canary, sender: &mut Sender) -> Result<(), Finding> {
        let fails = |verdict, reason| Finding { verdict, reason: Some(reason) };
        let path = blob_path(&canary.repository, &canary.sha256);
        let head = self.ask(sender, Method::HEAD, &path, None).await?;
        check_found(head.status(), Reason::CanaryStatus)?;
        let length = head.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if length != Some(canary.size) {
            return Err(fails(Verdict::ContentBad, Reason::CanaryLength(length)));
        }
        let whole = self.ask(sender, Method::GET, &path, None).await?;
        check_found(whole.status(), Reason::CanaryStatus)?;
        let octets = self.body(whole, canary.size).await?;
        if hex(digest(&SHA256, &octets).as_ref()) != *canary.sha256 {
            return Err(fails(Verdict::ContentBad, Reason::CanaryDigest));
        }
        let last = canary.size - 1;
        let part = self.ask(sender, Method::GET, &path, Some(&format!("bytes={last}-{last}"))).await?;
        let status = part.status();
        let range = part.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
        let exact = range == Some(&*format!("bytes {last}-{last}/{}", canary.size));
        let part = if status == StatusCode::PARTIAL_CONTENT { self.body(part, 1).await? } else { Bytes::new() };
        if !exact || part[..] != octets[last as usize..] {
            return Err(fails(Verdict::ContentBad, Reason::Range(status.as_u16())));
        }
        self.check_nowhere(&canary.repository, sender).await
    }

    /// A digest that cannot exist must not be found: some servers say 200 to everything.
    async fn check_nowhere(&self, repository: &str, sender: &mut Sender) -> Result<(), Finding> {
        let response = self.ask(sender, Method::HEAD, &blob_path(repository, NOWHERE), None).await?;
        // A mirror that lacks a blob may redirect to the canonical registry instead.
        let (status, lacks) = (response.status(), response.status().is_redirection());
        if status.is_client_error() || lacks {
            return Ok(());
        }
        let verdict = if status.is_success() { Verdict::ContentBad } else { Verdict::Unreachable };
        Err(Finding { verdict, reason: Some(Reason::AnswersAnything(status.as_u16())) })
    }

    async fn ask(
        &self,
        sender: &mut Sender,
        method: Method,
        path: &str,
        range: Option<&str>,
    ) -> Result<Response<hyper::body::Incoming>, Finding> {
        let broken = |error: String| Finding { verdict: Verdict::Unreachable, reason: Some(Reason::Http(error)) };
        sender.ready().await.map_err(|error| broken(error.to_string()))?;
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &*self.probe.name)
            .header(USER_AGENT, concat!("pharos/", env!("CARGO_PKG_VERSION")));
        if let Some(range) = range {
            request = request.header(RANGE, range);
        }
        let request = request.body(Empty::new()).map_err(|error| broken(error.to_string()))?;
        sender.send_request(request).await.map_err(|error| broken(error.to_string()))
    }

    /// A whole body that may have so many octets; one that has more is not the canary.
    async fn body(&self, response: Response<hyper::body::Incoming>, size: u64) -> Result<Bytes, Finding> {
        let limit = usize::try_from(size).unwrap_or(usize::MAX);
        match Limited::new(response.into_body(), limit).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                Err(Finding { verdict: Verdict::ContentBad, reason: Some(Reason::CanaryDigest) })
            }
            Err(error) => Err(Finding { verdict: Verdict::Unreachable, reason: Some(Reason::Http(error.to_string())) }),
        }
    }

    fn client_config(&self, watch: Arc<Watch>) -> Result<ClientConfig, rustls::Error> {
        let mut config = ClientConfig::builder_with_provider(crate::tls::provider())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(watch)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = rustls::client::Resumption::disabled();
        Ok(config)
    }
}

type Sender = SendRequest<Empty<Bytes>>;

fn blob_path(repository: &str, sha256: &str) -> String {
    format!("/v2/{repository}/blobs/sha256:{sha256}")
}

fn check_found(status: StatusCode, reason: impl FnOnce(u16) -> Reason) -> Result<(), Finding> {
    if status == StatusCode::OK {
        return Ok(());
    }
    Err(Finding { verdict: Verdict::Missing, reason: Some(reason(status.as_u16())) })
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// What a failed handshake means.
fn tls_reason(error: &io::Error) -> Reason {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(reason)) => Reason::Certificate(crate::tls::reason_words(reason)),
        Some(other) => Reason::Handshake(other.to_string()),
        None => Reason::Handshake(error.kind().to_string()),
    }
}

/// Verifies as clients do, and looks ahead by the warning window.
#[derive(Debug)]
struct Watch {
    inner: Arc<WebPkiServerVerifier>,
    ahead: Duration,
    expiring: AtomicBool,
}

impl Watch {
    fn new(prober: &Prober) -> Self {
        Watch { inner: prober.verifier.clone(), ahead: prober.probe.expiring, expiring: AtomicBool::new(false) }
    }
}

impl ServerCertVerifier for Watch {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.inner.verify_server_cert(end_entity, intermediates, name, ocsp, now)?;
        let then = UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs()) + self.ahead);
        if self.inner.verify_server_cert(end_entity, intermediates, name, ocsp, then).is_err() {
            self.expiring.store(true, Ordering::Relaxed);
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// A task that does not outlive its probe.
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
