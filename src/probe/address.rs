//! One probe of one address: connect, handshake, certificate, canary, and a digest that cannot exist.
//!
//! In: an address and what it is held to. Out: a [`Finding`], the verdict with its reason, within the time-out.
//!
//! **Invariants**: at most the canary's size is read of any body.
//! **Not here**: connecting ([`crate::tls`]), what a verdict leads to ([`crate::mirror`]), when to probe ([`super`]).

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_RANGE};
use hyper::{Method, Response, StatusCode};
use ring::digest::{SHA256, digest};
use rustls::{CertificateError, RootCertStore};

use crate::config::{Canary, Probe};
use crate::mirror::Verdict;
use crate::tls::{DialError, Dialed, Dialer, DialerError, Step, reason_words};

/// A digest that no content has: nobody can find what hashes to all zeros.
const NOWHERE: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What one probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The verdict.
    pub verdict: Verdict,
    /// Why, where it is not simply up.
    pub reason: Option<Reason>,
    /// The end of its certificate's time, in seconds since 1970, where it was seen.
    pub not_after: Option<u64>,
}

impl Finding {
    /// The fault of this machine that kept the probe from a verdict; `None` if the finding is about the mirror.
    pub fn own_fault(&self) -> Option<&Reason> {
        self.reason.as_ref().filter(|reason| matches!(reason, Reason::Own(_)))
    }

    fn fails(verdict: Verdict, reason: Reason) -> Self {
        Finding { verdict, reason: Some(reason), not_after: None }
    }

    fn of_dialling(error: &DialError) -> Self {
        match error {
            DialError::Own(error) => Finding::fails(Verdict::Unreachable, Reason::Own(error.clone())),
            DialError::Connect(kind) => Finding::fails(Verdict::Unreachable, Reason::Connect(*kind)),
            DialError::Handshake(error) => Finding::fails(Verdict::TlsBad, Reason::Handshake(error.clone())),
            DialError::Http(error) => Finding::fails(Verdict::Unreachable, Reason::Http(error.clone())),
            DialError::Certificate(error) => {
                let reason = Reason::Certificate(reason_words(error));
                let not_after = match error {
                    CertificateError::ExpiredContext { not_after, .. } => Some(not_after.as_secs()),
                    _ => None,
                };
                Finding { not_after, ..Finding::fails(Verdict::TlsBad, reason) }
            }
        }
    }
}

/// Why a verdict is not simply up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// This machine cannot make a connection: no verdict on the mirror.
    Own(String),
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

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Own(error) => write!(f, "this machine cannot make a connection: {error}"),
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
    /// The word for metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Reason::Own(_) => "own",
            Reason::Connect(_) => "connect",
            Reason::TimedOut(Step::Connect) => "connect-time-out",
            Reason::TimedOut(Step::Handshake) => "handshake-time-out",
            Reason::TimedOut(Step::Http) => "http-time-out",
            Reason::Handshake(_) => "handshake",
            Reason::Certificate(_) => "certificate",
            Reason::Expiring => "expiring",
            Reason::Http(_) => "http",
            Reason::CanaryStatus(_) => "canary-status",
            Reason::CanaryLength(_) => "canary-length",
            Reason::CanaryDigest => "canary-digest",
            Reason::Range(_) => "range",
            Reason::AnswersAnything(_) => "answers-anything",
        }
    }

    /// What the owner of the mirror can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Reason::Own(_) => "raise the limit on open files, or free ports and memory of this machine",
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
    dialer: Dialer,
}

impl Prober {
    /// Probes against these roots.
    pub fn new(probe: Arc<Probe>, roots: Arc<RootCertStore>) -> Result<Self, DialerError> {
        let dialer = Dialer::new(probe.name.clone(), probe.port, roots)?;
        Ok(Prober { probe, dialer })
    }

    /// What it dials with.
    pub fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// Probes one address.
    pub async fn probe(&self, address: IpAddr) -> Finding {
        let mut step = Step::Connect;
        let mut not_after = None;
        let steps = self.steps(address, &mut step, &mut not_after);
        let found = match tokio::time::timeout(self.probe.timeout, steps).await {
            Ok(Ok(finding)) => finding,
            Ok(Err(finding)) => finding,
            Err(_) => Finding::fails(Verdict::Slow, Reason::TimedOut(step)),
        };
        Finding { not_after: not_after.or(found.not_after), ..found }
    }

    async fn steps(&self, address: IpAddr, step: &mut Step, not_after: &mut Option<u64>) -> Result<Finding, Finding> {
        let mut dialed = self.dialer.dial(address, step).await.map_err(|error| Finding::of_dialling(&error))?;
        *not_after = dialed.not_after();
        match &self.probe.canary {
            Some(canary) => self.check_canary(canary, &mut dialed).await?,
            None => self.check_nowhere("pharos/probe", &mut dialed).await?,
        }
        Ok(match self.dialer.lasts(&dialed, self.probe.expiring) {
            true => Finding { verdict: Verdict::Up, reason: None, not_after: None },
            false => Finding::fails(Verdict::Expiring, Reason::Expiring),
        })
    }

    /// MIRRORS: `HEAD` has the exact length; the octets hash to the digest; a range is exact; what cannot exist is not.
    async fn check_canary(&self, canary: &Canary, dialed: &mut Dialed) -> Result<(), Finding> {
        let path = blob_path(&canary.repository, &canary.sha256);
        let head = ask(dialed, Method::HEAD, &path, None, 0).await?;
        check_found(head.status(), Reason::CanaryStatus)?;
        let length = head.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if length != Some(canary.size) {
            return Err(Finding::fails(Verdict::ContentBad, Reason::CanaryLength(length)));
        }
        let whole = ask(dialed, Method::GET, &path, None, canary.size).await?;
        check_found(whole.status(), Reason::CanaryStatus)?;
        let octets = self.body(whole, canary.size).await?;
        if hex(digest(&SHA256, &octets).as_ref()) != *canary.sha256 {
            return Err(Finding::fails(Verdict::ContentBad, Reason::CanaryDigest));
        }
        let last = canary.size - 1;
        let part = ask(dialed, Method::GET, &path, Some(&format!("bytes={last}-{last}")), canary.size).await?;
        let status = part.status();
        let range = part.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
        let exact = range == Some(&*format!("bytes {last}-{last}/{}", canary.size));
        let part = if status == StatusCode::PARTIAL_CONTENT { self.body(part, 1).await? } else { Bytes::new() };
        if !exact || part[..] != octets[last as usize..] {
            return Err(Finding::fails(Verdict::ContentBad, Reason::Range(status.as_u16())));
        }
        self.check_nowhere(&canary.repository, dialed).await
    }

    /// A digest that cannot exist must not be found: some servers say 200 to everything.
    async fn check_nowhere(&self, repository: &str, dialed: &mut Dialed) -> Result<(), Finding> {
        let response = ask(dialed, Method::HEAD, &blob_path(repository, NOWHERE), None, 0).await?;
        // A mirror that lacks a blob may redirect to the canonical registry instead.
        let (status, lacks) = (response.status(), response.status().is_redirection());
        if status.is_client_error() || lacks {
            return Ok(());
        }
        let verdict = if status.is_success() { Verdict::ContentBad } else { Verdict::Unreachable };
        Err(Finding::fails(verdict, Reason::AnswersAnything(status.as_u16())))
    }

    /// A whole body that may have so many octets; one that has more is not the canary.
    async fn body(&self, response: Response<Incoming>, size: u64) -> Result<Bytes, Finding> {
        let limit = usize::try_from(size).unwrap_or(usize::MAX);
        match Limited::new(response.into_body(), limit).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                Err(Finding::fails(Verdict::ContentBad, Reason::CanaryDigest))
            }
            Err(error) => Err(Finding::fails(Verdict::Unreachable, Reason::Http(error.to_string()))),
        }
    }
}

async fn ask(
    dialed: &mut Dialed,
    method: Method,
    path: &str,
    range: Option<&str>,
    max_body_len: u64,
) -> Result<Response<Incoming>, Finding> {
    let response = dialed.request(method, path, range, max_body_len).await;
    response.map_err(|error| Finding::fails(Verdict::Unreachable, Reason::Http(error)))
}

fn blob_path(repository: &str, sha256: &str) -> String {
    format!("/v2/{repository}/blobs/sha256:{sha256}")
}

fn check_found(status: StatusCode, reason: impl FnOnce(u16) -> Reason) -> Result<(), Finding> {
    if status == StatusCode::OK {
        return Ok(());
    }
    Err(Finding::fails(Verdict::Missing, reason(status.as_u16())))
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
