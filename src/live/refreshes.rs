//! Fetched sources: requests of operators to fetch, contents that are to be served, and the condition of each source.
//!
//! ```text
//! control ── RefreshRequest ──► refresh ── SourceCandidate ──► serve, which judges it, keeps it and serves it
//!                                  └──────── SourceStates ──► status, metrics
//! ```
//!
//! **Invariants**: every request and every candidate is answered, or its sender learns that the process is about to end; the
//! file of a candidate is kept before it is served.
//! **Not here**: fetching (`refresh`), judging (serve), authorization (control).

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::requests::{RequestInbox, Requests, ServiceRequest};
use super::{ReloadOutcome, ReloadTerms};
use crate::base::lock::locked;
use crate::base::time::UnixTime;
use crate::base::words::words;

/// A request of an operator to fetch sources.
#[derive(Debug)]
pub(crate) struct RefreshRequest {
    /// The sources by name; empty for all.
    pub(crate) sources: Vec<Arc<str>>,
    /// The terms under which a changed content is served.
    pub(crate) terms: ReloadTerms,
    /// True to take the previous content back instead of fetching.
    pub(crate) is_previous: bool,
}

/// The receiver of requests.
pub(crate) type RefreshInbox = RequestInbox<RefreshRequest, Vec<RefreshOutcome>>;

/// The sender of requests.
pub(crate) type RefreshRequests = Requests<RefreshRequest, Vec<RefreshOutcome>>;

/// The outcome of fetching one source.
#[derive(Clone, Debug)]
pub(crate) struct RefreshOutcome {
    /// The source.
    pub(crate) source: Arc<str>,
    /// The outcome.
    pub(crate) outcome: FetchOutcome,
    /// The judgement of a changed content.
    pub(crate) judged: Option<ReloadOutcome>,
}

words! {
    /// The outcome of a fetch.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(crate) enum FetchOutcome {
        /// A changed content is served, or would be if the request were not dry.
        Taken = "taken",
        /// The publisher has the content that is served.
        Unchanged = "unchanged",
        /// The publisher has the content that an operator has taken back.
        Rejected = "rejected",
        /// The content is refused, for this reason.
        Refused(String) = "refused",
        /// There is no new content, for this reason.
        Failed(String) = "failed",
        /// The changed content of a server of the fleet is served.
        PeerTaken(Arc<str>) = "peer-taken",
        /// The publisher has told a server of the fleet that the content which is served is the present one.
        PeerUnchanged(Arc<str>) = "peer-unchanged",
    }
}

impl FetchOutcome {
    /// True if the publisher's content could not be taken.
    pub(crate) fn is_bad(&self) -> bool {
        self.reason().is_some()
    }

    /// The reason why there is no new content.
    pub(crate) fn reason(&self) -> Option<&str> {
        match self {
            FetchOutcome::Refused(reason) | FetchOutcome::Failed(reason) => Some(reason),
            _ => None,
        }
    }
}

/// Puts the file of a candidate in the place of the copy; waits for the disk.
pub(crate) type Keep = Box<dyn FnOnce() -> io::Result<()> + Send>;

/// A content that was fetched, and is to be judged and served.
pub(crate) struct SourceCandidate {
    /// The source.
    pub(crate) source: Arc<str>,
    /// The file with the content.
    pub(crate) path: PathBuf,
    /// The terms.
    pub(crate) terms: ReloadTerms,
    /// The command that lets it through if it moves too many clients.
    pub(crate) command: String,
    /// Keeps the file. Not called if the content is refused, or the terms are dry.
    pub(crate) keep: Keep,
}

/// A request to judge, keep and serve a content.
pub(crate) type CandidateRequest = ServiceRequest<SourceCandidate, ReloadOutcome>;

/// The receiver of candidates.
pub(crate) type CandidateInbox = RequestInbox<SourceCandidate, ReloadOutcome>;

/// The sender of candidates.
pub(crate) type Candidates = Requests<SourceCandidate, ReloadOutcome>;

/// The condition of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SourceState {
    /// The fetch of the source. `None` if the operator provides the file.
    pub(crate) fetch: Option<FetchState>,
    /// Contents that were refused, by a reload or after a fetch.
    pub(crate) refused: u64,
}

/// The condition of a source that is fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FetchState {
    /// The URL.
    pub(crate) url: Arc<str>,
    /// True if nothing is fetched, because the operator keeps the file as it is.
    pub(crate) is_pinned: bool,
    /// The last time at which the publisher had the content that is served.
    pub(crate) checked: Option<UnixTime>,
    /// The server of the fleet that has asked the publisher at that time. `None` if this server has.
    pub(crate) checked_by: Option<Arc<str>>,
    /// The next fetch.
    pub(crate) next: Option<UnixTime>,
    /// The last fetch, if it brought no content that is served: its time, and the outcome.
    pub(crate) trouble: Option<(UnixTime, FetchOutcome)>,
    /// True if the last content that was judged is refused.
    pub(crate) is_refused: bool,
    /// True if the publisher has the content that an operator has taken back.
    pub(crate) is_rejected: bool,
    /// Fetches by outcome, in the order of [`FetchOutcome::WORDS`].
    pub(crate) outcomes: [u64; FetchOutcome::WORDS.len()],
}

/// The conditions of sources, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct SourceStates(Arc<Mutex<BTreeMap<Arc<str>, SourceState>>>);

impl SourceStates {
    /// All conditions.
    pub(crate) fn all(&self) -> BTreeMap<Arc<str>, SourceState> {
        locked(&self.0).clone()
    }

    /// Counts a content that was refused.
    pub(crate) fn note_refused(&self, source: &str) {
        locked(&self.0).entry(source.into()).or_default().refused += 1;
    }

    /// Takes over the fetched sources of a configuration, each with its URL, and true if it is pinned.
    pub(crate) fn follow(&self, fetched: impl IntoIterator<Item = (Arc<str>, Arc<str>, bool)>) {
        let mut states = locked(&self.0);
        let mut before: BTreeMap<Arc<str>, FetchState> =
            states.iter_mut().filter_map(|(name, state)| Some((name.clone(), state.fetch.take()?))).collect();
        for (name, url, is_pinned) in fetched {
            let known = before.remove(&name).unwrap_or_default();
            states.entry(name).or_default().fetch = Some(FetchState { url, is_pinned, ..known });
        }
    }

    /// Forgets the condition of a source whose fetches begin anew; its counts stay.
    pub(crate) fn forget(&self, source: &str) {
        self.update(source, |state| {
            let FetchState { url, is_pinned, outcomes, .. } = std::mem::take(state);
            *state = FetchState { url, is_pinned, outcomes, ..FetchState::default() };
        });
    }

    /// Changes the condition of a fetched source, if it is still configured.
    pub(crate) fn update(&self, source: &str, change: impl FnOnce(&mut FetchState)) {
        if let Some(fetch) = locked(&self.0).get_mut(source).and_then(|state| state.fetch.as_mut()) {
            change(fetch);
        }
    }

    /// Counts an outcome.
    pub(crate) fn note_outcome(&self, source: &str, outcome: &FetchOutcome) {
        if matches!(outcome, FetchOutcome::Refused(_)) {
            self.note_refused(source);
        }
        self.update(source, |state| {
            let mut counts = FetchOutcome::WORDS.iter().zip(&mut state.outcomes);
            if let Some((_, count)) = counts.find(|(word, _)| **word == outcome.as_str()) {
                *count += 1;
            }
        });
    }
}
