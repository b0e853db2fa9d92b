//! One probe of one address: connect, handshake, certificate, canary, and a digest that cannot exist.
//!
//! In: an address and the probe settings. Out: a [`Finding`], the verdict with its cause, within the time-out.
//!
//! **Invariants**: at most the canary's size is read of any body.
//! **Not here**: connecting ([`crate::tls`]), the effect of a verdict ([`crate::mirror`]), the schedule ([`super`]).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderName, LOCATION};
use hyper::{Method, Response, StatusCode};
use ring::digest::{SHA256, digest};
use tokio::time::Instant;

use crate::base::time::UnixTime;
use crate::config::{Canary, Probe};
use crate::mirror::{CanaryMethod, Cause, HttpFault, RangeFault, Verdict, cut};
use crate::tls::{DialError, DialStep, Dialed, Dialer, DialerError, LeafFacts, PathEnd, Roots, Took, http_fault};

/// A digest that no content has: it is infeasible to find content whose hash is all zeros.
const NOWHERE: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The result of one probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The verdict.
    pub verdict: Verdict,
    /// The cause; `None` if the verdict is `up`.
    pub cause: Option<Cause>,
    /// The leaf that the mirror presented; `None` if it presented no certificate.
    pub certificate: Option<Box<LeafFacts>>,
    /// The durations of connection and handshake; `None` if one of them failed.
    pub took: Option<Took>,
    /// The duration of the whole probe.
    pub total: Duration,
}

impl Finding {
    /// The fault of this machine that kept the probe from a verdict; `None` if the finding is about the mirror.
    pub fn own_fault(&self) -> Option<&Cause> {
        self.cause.as_ref().filter(|cause| matches!(cause, Cause::Own(_)))
    }

    /// The end of the leaf, in seconds since 1970; `None` if no certificate was seen.
    pub fn not_after(&self) -> Option<u64> {
        Some(self.certificate.as_ref()?.not_after.as_secs())
    }
}

/// A verdict with its cause.
type ProbeFault = (Verdict, Cause);

/// Progress of a probe, which outlives a time-out.
#[derive(Debug, Default)]
struct ProbeProgress {
    certificate: Option<Box<LeafFacts>>,
    took: Option<Took>,
}

/// The settings and the dialer of probes: made once, used by every probe.
#[derive(Clone, Debug)]
pub struct Prober {
    probe: Arc<Probe>,
    dialer: Dialer,
}

impl Prober {
    /// Probes against these roots.
    pub fn new(probe: Arc<Probe>, roots: Arc<Roots>) -> Result<Self, DialerError> {
        let dialer = Dialer::new(probe.name.clone(), probe.port, roots)?;
        Ok(Prober { probe, dialer })
    }

    /// The dialer of the probes.
    pub fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// Probes one address.
    pub async fn probe(&self, address: IpAddr) -> Finding {
        let begun = Instant::now();
        let (mut step, mut progress) = (DialStep::Connect, ProbeProgress::default());
        let steps = self.steps(address, &mut step, &mut progress);
        let found = match tokio::time::timeout(self.probe.timeout, steps).await {
            Ok(found) => found,
            Err(_) => Err((Verdict::Slow, timeout_cause(step))),
        };
        let (verdict, cause) = match found {
            Ok(()) => (Verdict::Up, None),
            Err((verdict, cause)) => (verdict, Some(cause)),
        };
        let ProbeProgress { certificate, took } = progress;
        Finding { verdict, cause, certificate, took, total: begun.elapsed() }
    }

    async fn steps(
        &self,
        address: IpAddr,
        step: &mut DialStep,
        progress: &mut ProbeProgress,
    ) -> Result<(), ProbeFault> {
        let dialed = self.dialer.dial(address, step).await;
        let mut dialed = dialed.map_err(|error| dial_fault(error, progress))?;
        progress.certificate = dialed.facts().map(Box::new);
        progress.took = Some(dialed.took());
        match &self.probe.canary {
            Some(canary) => self.check_canary(canary, &mut dialed).await?,
            None => self.check_nowhere("pharos/probe", &mut dialed).await?,
        }
        match self.dialer.ending(&dialed, self.probe.expiring) {
            None => Ok(()),
            Some(PathEnd { at, is_leaf }) => {
                Err((Verdict::Expiring, Cause::Expiring { end: UnixTime(at.as_secs()), is_leaf }))
            }
        }
    }

    /// Checks the canary: `HEAD` has the exact length, the bytes have the digest, and a range is exact.
    async fn check_canary(&self, canary: &Canary, dialed: &mut Dialed) -> Result<(), ProbeFault> {
        let path = blob_path(&canary.repository, &canary.sha256);
        let right = canary.size;
        let head = ask(dialed, Method::HEAD, &path, None, 0).await?;
        check_status(&head, CanaryMethod::Head)?;
        let said = header(&head, CONTENT_LENGTH).and_then(|value| value.parse().ok());
        if said != Some(right) {
            return Err((Verdict::ContentBad, Cause::Length { said, right }));
        }
        let whole = ask(dialed, Method::GET, &path, None, right).await?;
        check_status(&whole, CanaryMethod::Get)?;
        let bytes = body(whole, right, Cause::TooLong).await?;
        if hex(digest(&SHA256, &bytes).as_ref()) != *canary.sha256 {
            return Err((Verdict::ContentBad, Cause::Digest));
        }
        check_range(&path, &bytes, dialed).await?;
        self.check_nowhere(&canary.repository, dialed).await
    }

    /// Checks that a digest which cannot exist is not found: some servers answer 200 to everything.
    async fn check_nowhere(&self, repository: &str, dialed: &mut Dialed) -> Result<(), ProbeFault> {
        let response = ask(dialed, Method::HEAD, &blob_path(repository, NOWHERE), None, 0).await?;
        let status = response.status();
        // A mirror that lacks a blob may redirect to the canonical registry instead.
        if status.is_client_error() || status.is_redirection() {
            return Ok(());
        }
        let verdict = if status.is_success() { Verdict::ContentBad } else { Verdict::Unreachable };
        Err((verdict, Cause::Nowhere(status.as_u16())))
    }
}

/// Checks that a request for the last byte is answered with exactly that byte.
async fn check_range(path: &str, bytes: &[u8], dialed: &mut Dialed) -> Result<(), ProbeFault> {
    let wrong = |fault| (Verdict::ContentBad, Cause::Range(fault));
    let (size, last) = (bytes.len() as u64, bytes.len().saturating_sub(1));
    let part = ask(dialed, Method::GET, path, Some(&format!("bytes={last}-{last}")), size).await?;
    if part.status() != StatusCode::PARTIAL_CONTENT {
        return Err(wrong(RangeFault::Status(part.status().as_u16())));
    }
    let said = header(&part, CONTENT_RANGE).map(cut);
    if said.as_deref() != Some(&*format!("bytes {last}-{last}/{size}")) {
        return Err(wrong(RangeFault::Header(said)));
    }
    if body(part, 1, Cause::Range(RangeFault::Bytes)).await? == bytes[last..] {
        Ok(())
    } else {
        Err(wrong(RangeFault::Bytes))
    }
}

/// A whole body of at most so many bytes; `too_long` is the cause if it has more.
async fn body(response: Response<Incoming>, size: u64, too_long: Cause) -> Result<Bytes, ProbeFault> {
    let limit = usize::try_from(size).unwrap_or(usize::MAX);
    Limited::new(response.into_body(), limit).collect().await.map(|body| body.to_bytes()).map_err(|error| {
        if error.is::<http_body_util::LengthLimitError>() {
            (Verdict::ContentBad, too_long)
        } else {
            let fault = error.downcast_ref().map_or(HttpFault::Other, http_fault);
            (Verdict::Unreachable, Cause::Http(fault))
        }
    })
}

async fn ask(
    dialed: &mut Dialed,
    method: Method,
    path: &str,
    range: Option<&str>,
    max_body_len: u64,
) -> Result<Response<Incoming>, ProbeFault> {
    let response = dialed.request(method, path, range, max_body_len).await;
    response.map_err(|fault| (Verdict::Unreachable, Cause::Http(fault)))
}

fn header(response: &Response<Incoming>, name: HeaderName) -> Option<&str> {
    response.headers().get(name)?.to_str().ok()
}

fn check_status(response: &Response<Incoming>, asked: CanaryMethod) -> Result<(), ProbeFault> {
    let status = response.status();
    if status == StatusCode::OK {
        return Ok(());
    }
    let location = header(response, LOCATION).filter(|_| status.is_redirection()).map(cut);
    Err((Verdict::Missing, Cause::Status { asked, status: status.as_u16(), location }))
}

fn dial_fault(error: DialError, progress: &mut ProbeProgress) -> ProbeFault {
    match error {
        DialError::Own(error) => (Verdict::Unreachable, Cause::Own(error)),
        DialError::Connect(fault) => (Verdict::Unreachable, Cause::Connect(fault)),
        DialError::Handshake(fault) => (Verdict::TlsBad, Cause::Handshake(fault)),
        DialError::Http(fault) => (Verdict::Unreachable, Cause::Http(fault)),
        DialError::Certificate { fault, facts } => {
            progress.certificate = facts;
            (Verdict::TlsBad, Cause::Certificate(fault))
        }
    }
}

fn timeout_cause(step: DialStep) -> Cause {
    match step {
        DialStep::Connect => Cause::ConnectTimeout,
        DialStep::Handshake => Cause::HandshakeTimeout,
        DialStep::Http => Cause::HttpTimeout,
    }
}

fn blob_path(repository: &str, sha256: &str) -> String {
    format!("/v2/{repository}/blobs/sha256:{sha256}")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
