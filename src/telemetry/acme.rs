//! Metrics of ACME challenges: updates and live tokens by credential, and the exchange with other servers.
//!
//! **Invariants**: labels are credentials and peers of the configuration.
//! **Not here**: messages that are refused before a credential is known, which are DNS answers like others ([`super::dns`]).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use super::cells::{ByWord, counters};
use super::{Collect, MetricsPage};
use crate::base::ids::MirrorId;
use crate::base::lock::locked;
use crate::base::time::UnixTime;
use crate::base::words::words;

words! {
    /// The outcome of an update by a credential.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum UpdateOutcome {
        /// The change is on the disk and served, here and at every peer that answers.
        Made = "made",
        /// The credential may not make the change.
        Refused = "refused",
        /// The change could not be written or published.
        Failed = "failed",
        /// The change is made here, and a peer still answers without it.
        Behind = "behind",
    }
}

words! {
    /// The outcome of a request over HTTP.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum AcmeHttpOutcome {
        /// The change is made.
        Done = "done",
        /// No password, or a wrong one.
        Unauthorized = "unauthorized",
        /// A wrong password of a client that has sent too many.
        Limited = "limited",
        /// The body is not a request.
        Malformed = "malformed",
        /// The credential may not make the change, or not from this address.
        Refused = "refused",
        /// The change is not kept here, or not known to all servers.
        Failed = "failed",
        /// Another path or method.
        Other = "other",
    }
}

counters! {
    /// Counts of requests over HTTP.
    pub(crate) struct AcmeHttpCounters {
        "pharos_acme_http_requests_total" "Requests of ACME clients over HTTP by outcome; health checks are not counted." {
            pub(crate) requests: ByWord<AcmeHttpOutcome> ["outcome"],
        }
    }
}

/// The number of updates by credential and outcome.
type CredentialCounts = BTreeMap<Arc<str>, [u64; UpdateOutcome::ALL.len()]>;

/// Counts of updates.
#[derive(Debug, Default)]
pub(crate) struct UpdateCounts(Mutex<CredentialCounts>);

impl UpdateCounts {
    /// Counts an update of a credential.
    pub(crate) fn count(&self, credential: &Arc<str>, outcome: UpdateOutcome) {
        locked(&self.0).entry(credential.clone()).or_default()[outcome as usize] += 1;
    }
}

/// The state of the service.
#[derive(Clone, Debug, Default)]
pub(crate) struct AcmeStanding {
    /// By credential, in the order of the configuration.
    pub(crate) credentials: Vec<CredentialStanding>,
    /// By peer, in the order of the configuration.
    pub(crate) peers: Vec<PeerStanding>,
}

/// The state of a credential.
#[derive(Clone, Debug)]
pub(crate) struct CredentialStanding {
    /// Its name.
    pub(crate) name: Arc<str>,
    /// Its mirror.
    pub(crate) mirror: MirrorId,
    /// The number of its live tokens.
    pub(crate) live: usize,
    /// The time at which it last set a token, here or at a peer; `None` if it has set none.
    pub(crate) last_set: Option<UnixTime>,
}

/// The state of the exchange with a peer.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct PeerStanding {
    /// Its address.
    #[serde(rename = "peer")]
    pub(crate) address: SocketAddr,
    /// The reason why it does not take tokens; `None` if it has all of these.
    pub(crate) behind: Option<String>,
    /// The number of updates for which it did not answer the question for the token.
    pub(crate) silent: u64,
}

impl<F: Fn() -> AcmeStanding + Send + Sync> Collect for (Arc<UpdateCounts>, F) {
    fn collect(&self, page: &mut MetricsPage) {
        let AcmeStanding { credentials, peers } = (self.1)();
        let counts = locked(&(self.0).0).clone();
        let updates = credentials.iter().flat_map(|CredentialStanding { name, .. }| {
            let counts = UpdateOutcome::ALL.into_iter().zip(counts.get(name).copied().unwrap_or_default());
            counts.map(|(outcome, count)| ([&**name, outcome.as_str()], count))
        });
        page.counter("pharos_acme_updates_total", "Updates of ACME challenges by credential and outcome.")
            .samples(["credential", "outcome"], updates);
        page.gauge("pharos_acme_tokens", "Live tokens of ACME challenges by credential.")
            .samples(["credential"], credentials.iter().map(|one| ([&one.name], one.live as u64)));
        let help = "The time at which a credential last set a token, in seconds since 1970.";
        page.gauge("pharos_acme_last_set_timestamp_seconds", help)
            .samples(["credential"], credentials.iter().filter_map(|one| Some(([&one.name], one.last_set?.0))));
        page.gauge("pharos_acme_peer_behind", "1 if a peer has not taken all tokens, else 0.")
            .samples(["peer"], peers.iter().map(|peer| ([peer.address.to_string()], peer.behind.is_some().into())));
        let help = "Updates that were acknowledged although a peer did not answer the question for the token.";
        page.counter("pharos_acme_peer_silent_total", help)
            .samples(["peer"], peers.iter().map(|peer| ([peer.address.to_string()], peer.silent)));
    }
}
