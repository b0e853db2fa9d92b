//! The requests of one probe, over as many connections as the mirror makes necessary.
//!
//! A mirror may end a connection after any response: `Connection: close`, HTTP/1.0, `keepalive_requests`, GOAWAY. Clients then
//! dial again, and so does the probe.
//!
//! **Invariants**: at most [`MAX_DIALS`] connections; a request that failed on a fresh connection is not repeated.
//! **Not here**: the requests themselves ([`super::content`]), connecting ([`crate::tls`]).

use std::net::IpAddr;

use hyper::body::Incoming;
use hyper::header::HeaderName;
use hyper::{Method, Response};

use crate::mirror::{Cause, HttpFault, HttpVersion, Verdict};
use crate::tls::{DialError, DialStep, Dialed, Dialer, LeafFacts, Took};

/// The most connections of one probe: one for each request, and one for a request that met the end of a connection.
const MAX_DIALS: u8 = 8;

/// A verdict with its cause.
pub(super) type ProbeFault = (Verdict, Cause);

/// Progress of a probe, which outlives a time-out.
#[derive(Debug, Default)]
pub(super) struct ProbeProgress {
    pub(super) step: DialStep,
    pub(super) certificate: Option<Box<LeafFacts>>,
    pub(super) took: Option<Took>,
    pub(super) spoken: Option<HttpVersion>,
    pub(super) tls: Option<&'static str>,
}

/// The requests of one probe.
#[derive(Debug)]
pub(super) struct Conversation<'p> {
    dialer: Dialer,
    address: IpAddr,
    offered: HttpVersion,
    progress: &'p mut ProbeProgress,
    dialed: Option<Dialed>,
    dials: u8,
}

impl<'p> Conversation<'p> {
    /// Begins a conversation, which is not connected yet.
    pub(super) fn new(dialer: Dialer, address: IpAddr, offered: HttpVersion, progress: &'p mut ProbeProgress) -> Self {
        Conversation { dialer, address, offered, progress, dialed: None, dials: 0 }
    }

    /// Connects, and returns the connection.
    pub(super) async fn connect(&mut self) -> Result<&Dialed, ProbeFault> {
        self.dials += 1;
        let dialed = self.dialer.dial(self.offered, self.address, &mut self.progress.step).await;
        let dialed = dialed.map_err(|error| dial_fault(error, self.progress))?;
        self.progress.took.get_or_insert(dialed.took());
        self.progress.spoken.get_or_insert(dialed.http_version());
        self.progress.tls = dialed.tls_version();
        if self.progress.certificate.is_none() {
            self.progress.certificate = dialed.facts().map(Box::new);
        }
        Ok(self.dialed.insert(dialed))
    }

    /// Makes a request, and waits for the head of its response, whose body may have `max_body_len` bytes at most.
    pub(super) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        field: Option<(HeaderName, &str)>,
        max_body_len: u64,
    ) -> Result<Response<Incoming>, ProbeFault> {
        let mut is_fresh = match &mut self.dialed {
            Some(dialed) => dialed.ready().await.is_err(),
            None => true,
        };
        if is_fresh {
            self.dial_again().await?;
        }
        loop {
            let Some(dialed) = &mut self.dialed else { return Err(unanswered(HttpFault::Closed)) };
            match dialed.request_with(method.clone(), path, field.clone(), max_body_len).await {
                Ok(response) => return Ok(response),
                // The mirror ended the connection when the request was on its way.
                Err(HttpFault::Closed) if !is_fresh => {
                    self.dial_again().await?;
                    is_fresh = true;
                }
                Err(fault) => return Err(unanswered(fault)),
            }
        }
    }

    async fn dial_again(&mut self) -> Result<(), ProbeFault> {
        if self.dials == MAX_DIALS {
            return Err(unanswered(HttpFault::Closed));
        }
        self.connect().await.map(drop)
    }
}

fn dial_fault(error: DialError, progress: &mut ProbeProgress) -> ProbeFault {
    match error {
        DialError::Own(error) => (Verdict::Unreachable, Cause::Own(error)),
        DialError::Connect(fault) => (Verdict::Unreachable, Cause::Connect(fault)),
        DialError::Handshake(fault) => (Verdict::TlsBad, Cause::Handshake(fault)),
        DialError::Http(fault) => {
            if let DialStep::Http(spoken) = progress.step {
                progress.spoken.get_or_insert(spoken);
            }
            (Verdict::Unreachable, Cause::Http(fault))
        }
        DialError::Certificate { fault, facts } => {
            progress.certificate = facts;
            (Verdict::TlsBad, Cause::Certificate(fault))
        }
    }
}

fn unanswered(fault: HttpFault) -> ProbeFault {
    (Verdict::Unreachable, Cause::Http(fault))
}
