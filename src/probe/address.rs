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

use super::content::ContentCheck;
use super::conversation::{Conversation, ProbeFault, ProbeProgress};
use super::redirect::Follower;
use crate::base::time::UnixTime;
use crate::config::Probe;
use crate::mirror::{Cause, ContentPlace, HttpVersion, Verdict};
use crate::tls::{DialStep, DialerError, LeafFacts, MirrorDialers, PathEnd, Roots, Took};

/// The target of a probe.
#[derive(Clone, Debug)]
pub struct Aim {
    address: IpAddr,
    content: Arc<ContentPlace>,
    offered: HttpVersion,
}

impl Aim {
    /// An address of a mirror that serves the shared name below `/v2/`, over HTTP/2 if its server speaks that.
    pub fn at(address: IpAddr) -> Self {
        Aim::of(address, Arc::default())
    }

    /// The same for a mirror with its content at this place, at whose own name and path it is probed.
    pub fn of(address: IpAddr, content: Arc<ContentPlace>) -> Self {
        Aim { address, content, offered: HttpVersion::Http2 }
    }

    /// The same over HTTP/2 if its server speaks that, or over HTTP/1.1.
    pub fn offering(self, offered: HttpVersion) -> Self {
        Aim { offered, ..self }
    }
}

/// The result of one probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The verdict.
    pub verdict: Verdict,
    /// The cause; `None` if the verdict is `up`.
    pub cause: Option<Cause>,
    /// The protocol that mirror and probe agreed on; `None` if the probe did not get so far.
    pub spoken: Option<HttpVersion>,
    /// The version of TLS; `None` if there was no handshake.
    pub(crate) tls: Option<&'static str>,
    /// The leaf that the mirror presented; `None` if it presented no certificate.
    pub certificate: Option<Box<LeafFacts>>,
    /// The durations of connection and handshake; `None` if one of them failed.
    pub(crate) took: Option<Took>,
    /// The duration of the whole probe.
    pub(crate) total: Duration,
}

impl Finding {
    /// The fault of this machine that kept the probe from a verdict; `None` if the finding is about the mirror.
    pub(crate) fn own_fault(&self) -> Option<&Cause> {
        self.cause.as_ref().filter(|cause| matches!(cause, Cause::Own(_)))
    }

    /// The end of the leaf, in seconds since 1970; `None` if no certificate was seen.
    pub(crate) fn not_after(&self) -> Option<u64> {
        Some(self.certificate.as_ref()?.not_after.as_secs())
    }
}

/// The settings and the dialers of probes: made once, used by every probe.
#[derive(Clone, Debug)]
pub struct Prober {
    probe: Arc<Probe>,
    dialers: MirrorDialers,
    follower: Option<Follower>,
}

impl Prober {
    /// Probes against these roots.
    pub fn new(probe: Arc<Probe>, roots: Arc<Roots>) -> Result<Self, DialerError> {
        let dialers = MirrorDialers::new(probe.name.clone(), probe.port, roots)?;
        Ok(Prober { probe, dialers, follower: None })
    }

    /// The same with means to follow redirects.
    pub fn following(self, follower: Option<Follower>) -> Self {
        Prober { follower, ..self }
    }

    /// The dialers of the probes.
    pub(crate) fn dialers(&self) -> &MirrorDialers {
        &self.dialers
    }

    /// Probes one address.
    pub async fn probe(&self, aim: Aim) -> Finding {
        let begun = Instant::now();
        let mut progress = ProbeProgress::default();
        let steps = self.steps(aim, &mut progress);
        let found = match tokio::time::timeout(self.probe.timeout, steps).await {
            Ok(found) => found,
            Err(_) => {
                let cause = match progress.step {
                    DialStep::Connect => Cause::ConnectTimeout,
                    DialStep::Handshake => Cause::HandshakeTimeout,
                    DialStep::Http(spoken) => {
                        progress.spoken.get_or_insert(spoken);
                        Cause::HttpTimeout
                    }
                };
                Err((Verdict::Slow, cause))
            }
        };
        let (verdict, cause) = match found {
            Ok(()) => (Verdict::Up, None),
            Err((verdict, cause)) => (verdict, Some(cause)),
        };
        let ProbeProgress { certificate, took, spoken, tls, .. } = progress;
        Finding { verdict, cause, spoken, tls, certificate, took, total: begun.elapsed() }
    }

    /// Probes one address over each protocol that its server speaks. Returns a result for each, the worse one first.
    pub async fn probe_each(&self, aim: Aim) -> Vec<Finding> {
        let first = self.probe(aim.clone().offering(HttpVersion::Http2)).await;
        if first.spoken != Some(HttpVersion::Http2) {
            return vec![first];
        }
        let second = self.probe(aim.offering(HttpVersion::Http1)).await;
        match second.spoken == first.spoken {
            // A server that refuses HTTP/1.1 has spoken HTTP/2 again.
            true => vec![first],
            false if first.verdict.badness() > second.verdict.badness() => vec![first, second],
            false => vec![second, first],
        }
    }

    async fn steps(&self, aim: Aim, progress: &mut ProbeProgress) -> Result<(), ProbeFault> {
        let dialer = self.dialers.of(&aim.content);
        // The configuration accepts only hosts with a name of DNS.
        let dialer = dialer.map_err(|error| (Verdict::Unreachable, Cause::Own(error.to_string())))?;
        let mut conversation = Conversation::new(dialer.clone(), aim.address, aim.offered, progress);
        let ending = dialer.ending(conversation.connect().await?, self.probe.expiring);
        let (canary, follower) = (self.probe.canary.as_ref(), self.follower.as_ref());
        ContentCheck { place: &aim.content, canary, follower }.run(&mut conversation).await?;
        match ending {
            None => Ok(()),
            Some(PathEnd { at, is_leaf }) => {
                Err((Verdict::Expiring, Cause::Expiring { end: UnixTime(at.as_secs()), is_leaf }))
            }
        }
    }
}
