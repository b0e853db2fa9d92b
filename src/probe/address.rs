//! One probe of one address: connect, handshake, certificate, content.
//!
//! In: an address and the probe settings. Out: a [`Finding`], the verdict with its cause, within the time-out.
//!
//! **Not here**: connecting ([`crate::tls`]), the checks of content ([`super::content`]), the effect of a verdict
//! ([`crate::mirror`]), the schedule ([`super`]).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::content;
use crate::base::time::UnixTime;
use crate::config::Probe;
use crate::mirror::{Cause, Verdict};
use crate::tls::{DialError, DialStep, Dialer, DialerError, LeafFacts, PathEnd, Roots, Took};

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
pub(super) type ProbeFault = (Verdict, Cause);

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
            Some(canary) => content::check_canary(canary, &mut dialed).await?,
            None => content::check_nowhere("pharos/probe", &mut dialed).await?,
        }
        match self.dialer.ending(&dialed, self.probe.expiring) {
            None => Ok(()),
            Some(PathEnd { at, is_leaf }) => {
                Err((Verdict::Expiring, Cause::Expiring { end: UnixTime(at.as_secs()), is_leaf }))
            }
        }
    }
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
