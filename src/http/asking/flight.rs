//! One in-flight request to a mirror or to canonical: connect, ask, cache the result.
//!
//! **Invariants**: however a flight ends, the waiting client requests get its result and its units of the limits are
//! given back; at most [`MAX_REFERRERS_LEN`] bytes of a body are kept.
//! **Not here**: the choice of questions, and the limits ([`super`]).

use std::net::IpAddr;
use std::sync::Arc;

use http_body_util::BodyExt as _;
use hyper::Method;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, LOCATION};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::{BlobAsker, Destination, KEPT_FOR, MAX_KEPT, Means, Server, UNSAID_FOR};
use crate::base::prefix::Prefix;
use crate::load::hosts::ask as resolvers;
use crate::mirror::{ContentPlace, HttpVersion, Lookup};
use crate::registry::known::{BlobKey, Holding};
use crate::registry::{CanonicalSubject, MAX_REFERRERS_LEN, holding_of_referrers, holding_of_status};
use crate::telemetry::blobs::Result as Counted;
use crate::tls::{DialStep, Dialed, Dialer};

/// The most addresses of canonical that are tried, for each family.
const MAX_TRIED: usize = 2;

/// Every type of manifest. docker-registry answers 404 for a manifest whose type is not listed.
const MANIFEST_TYPES: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v1+prettyjws, */*";

/// The means to reach canonical.
#[derive(Clone, Debug)]
pub struct Canonical {
    /// The dialer for its connections.
    pub dialer: Dialer,
    /// The host, and the port if it is not the scheme's default.
    pub authority: Arc<str>,
    /// Its key among the names of mirrors. It contains `://`, which no mirror's name does.
    pub line: Arc<str>,
    /// The source of its addresses.
    pub at: At,
}

/// The source of canonical's addresses.
#[derive(Clone, Debug)]
pub enum At {
    /// A fixed address.
    Address(IpAddr),
    /// A host name, and the resolvers that are asked for its addresses.
    Host(Arc<str>, Arc<resolvers::HostAsker>),
}

/// The question of a flight.
#[derive(Debug)]
pub(super) enum FlightQuestion {
    /// A question to a mirror: has it the blob?
    Mirror { place: Destination, dialer: Box<Dialer>, path: String, content: Arc<ContentPlace> },
    /// A question to canonical: has it the content?
    Canonical { subject: CanonicalSubject, path: String },
}

/// One in-flight request.
pub(super) struct Flight {
    pub(super) asker: Arc<BlobAsker>,
    pub(super) means: Arc<Means>,
    pub(super) key: BlobKey,
    /// The mirror's name, or canonical's.
    pub(super) line: Arc<str>,
    pub(super) network: Prefix,
    pub(super) sender: watch::Sender<Option<Holding>>,
}

impl Flight {
    pub(super) async fn fly(self, question: FlightQuestion) {
        let _flying = self.asker.counters.flights.hold();
        let of_canonical = matches!(question, FlightQuestion::Canonical { .. });
        let ended = timeout(self.means.timeout, self.ask(&question)).await;
        let (holding, counted) = ended.unwrap_or((Holding::Unsaid, Counted::TimedOut));
        if of_canonical {
            self.asker.counters.canonical.count(counted)
        } else {
            self.asker.counters.results.count(counted)
        }
        self.sender.send_replace(Some(holding));
    }

    async fn ask(&self, question: &FlightQuestion) -> (Holding, Counted) {
        match question {
            FlightQuestion::Mirror { place, dialer, path, content } => {
                let Some((response, dialed)) = self.request(dialer, place, Method::HEAD, path).await else {
                    return (Holding::Unsaid, Counted::Unreached);
                };
                self.keep(place, dialed);
                let status = response.status().as_u16();
                let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
                if content.redirects.has(status, location) {
                    return (Holding::Has, Counted::Has);
                }
                said(Holding::of_status(status), status)
            }
            FlightQuestion::Canonical { subject, path } => {
                let Some(canonical) = &self.means.canonical else { return (Holding::Unsaid, Counted::Unreached) };
                let method = if *subject == CanonicalSubject::Content { Method::HEAD } else { Method::GET };
                for address in canonical.at.addresses().await {
                    let place = Destination { server: Server::Canonical, address };
                    let asked = self.request(&canonical.dialer, &place, method.clone(), path).await;
                    let Some((response, dialed)) = asked else { continue };
                    let status = response.status().as_u16();
                    let holding = match subject {
                        CanonicalSubject::Referrers if status == 200 => read_referrers(response.into_body()).await,
                        _ => holding_of_status(status),
                    };
                    // The body of a GET may not be read to its end.
                    if method == Method::HEAD {
                        self.keep(&place, dialed);
                    }
                    return said(holding, status);
                }
                (Holding::Unsaid, Counted::Unreached)
            }
        }
    }

    /// Sends a request over a kept connection, or over a new one, and returns both the response and the connection, with which
    /// the body ends. `None` if it gets no answer.
    async fn request(
        &self,
        dialer: &Dialer,
        place: &Destination,
        method: Method,
        path: &str,
    ) -> Option<(hyper::Response<Incoming>, Dialed)> {
        // Mirrors are asked for blobs only.
        let accept = || (place.server == Server::Canonical).then_some((ACCEPT, MANIFEST_TYPES));
        let max_body_len = MAX_REFERRERS_LEN as u64;
        if let Some(mut kept) = self.take_kept(place)
            && let Ok(response) = kept.request_with(method.clone(), path, accept(), max_body_len).await
        {
            return Some((response, kept));
        }
        // A kept connection that the server has closed says nothing about its health, so a new one is dialled.
        let mut dialed = dialer.dial(HttpVersion::Http1, place.address, &mut DialStep::Connect).await.ok()?;
        let response = dialed.request_with(method, path, accept(), max_body_len).await.ok()?;
        Some((response, dialed))
    }

    fn take_kept(&self, place: &Destination) -> Option<Dialed> {
        let (dialed, since) = self.asker.state().kept.remove(place)?;
        (dialed.is_open() && since.elapsed() < KEPT_FOR).then_some(dialed)
    }

    /// Keeps a connection for the next question.
    fn keep(&self, place: &Destination, dialed: Dialed) {
        let is_current = self.asker.means.load().as_ref().is_some_and(|current| Arc::ptr_eq(current, &self.means));
        let mut state = self.asker.state();
        state.kept.retain(|_, (dialed, since)| dialed.is_open() && since.elapsed() < KEPT_FOR);
        if is_current && dialed.is_open() && state.kept.len() < MAX_KEPT {
            state.kept.insert(place.clone(), (dialed, Instant::now()));
        }
    }
}

impl At {
    async fn addresses(&self) -> Vec<IpAddr> {
        match self {
            At::Address(address) => vec![*address],
            At::Host(host, resolvers) => {
                let found = resolvers.ask(host).await;
                let of = |lookup| match lookup {
                    Lookup::Found { addresses, .. } => addresses,
                    Lookup::Nothing | Lookup::Failed(_) => Vec::new(),
                };
                found.into_iter().flat_map(|lookup| of(lookup).into_iter().take(MAX_TRIED)).collect()
            }
        }
    }
}

/// Reads a list of referrers, up to [`MAX_REFERRERS_LEN`] bytes, and returns whether it has entries.
async fn read_referrers(mut body: Incoming) -> Holding {
    let mut read = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        if let Ok(data) = frame.into_data() {
            let room = MAX_REFERRERS_LEN - read.len();
            read.extend_from_slice(&data[..data.len().min(room)]);
        }
        if read.len() == MAX_REFERRERS_LEN {
            break;
        }
    }
    holding_of_referrers(&read)
}

fn said(holding: Holding, status: u16) -> (Holding, Counted) {
    let counted = match (status, holding) {
        (300..=399, _) => Counted::Redirected,
        (_, Holding::Has) => Counted::Has,
        (_, Holding::Lacks) => Counted::Lacks,
        (_, Holding::Unsaid) => Counted::Failed,
    };
    (holding, counted)
}

impl Drop for Flight {
    fn drop(&mut self) {
        let holding = self.sender.borrow().unwrap_or(Holding::Unsaid);
        let for_how_long = match holding {
            Holding::Has => self.means.keep,
            Holding::Lacks => self.means.lacking,
            Holding::Unsaid => self.means.lacking.min(UNSAID_FOR),
        };
        let now = self.asker.now();
        let mut state = self.asker.state();
        state.known.learn(self.key, holding, for_how_long.as_millis() as u64, now);
        state.flights.remove(&self.key);
        state.flying.give_back(self.network);
        if let Some(line) = state.lines.get_mut(&self.line) {
            line.flights.give_back(self.network);
        }
    }
}
