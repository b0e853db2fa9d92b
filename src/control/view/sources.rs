//! The views of the sources of networks: a few facts of each for `/status`, and all for `/sources`.
//!
//! **Not here**: fetching ([`crate::refresh`]), the limits of changes (`serve`).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::time::UnixTime;
use crate::base::when::rfc3339;
use crate::control::about::About;
use crate::live::FetchState;
use crate::networks::Source;
use crate::snapshot::Snapshot;

/// One source of networks.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct SourceView {
    pub(crate) source: String,
    pub(crate) file: String,
    /// The last change of the content that is served.
    pub(crate) modified: Option<String>,
    /// The time since the publisher had this content; for a file of the operator, since its last change.
    pub(crate) age_seconds: Option<u64>,
    /// The fetch of the source; null if the operator provides the file.
    pub(crate) fetch: Option<FetchView>,
}

/// The fetch of a source.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct FetchView {
    pub(crate) url: String,
    /// True if nothing is fetched.
    pub(crate) pinned: bool,
    /// The last time at which the publisher had the content that is served.
    pub(crate) checked: Option<String>,
    /// The server of the fleet that has asked the publisher at that time; null if this server has.
    pub(crate) checked_by: Option<String>,
    /// The next fetch.
    pub(crate) next: Option<String>,
    /// True if the publisher has a content that an operator has taken back.
    #[serde(default)]
    pub(crate) held_back: bool,
    /// `refused` or `failed`, if the last fetch was; null if not.
    pub(crate) trouble: Option<String>,
    /// The time since which that is so, and the reason.
    pub(crate) since: Option<String>,
    pub(crate) reason: Option<String>,
}

/// `/sources`
#[derive(Debug, Serialize)]
pub(in crate::control) struct SourcesView {
    sources: Vec<SourceDetailView>,
}

/// One source.
#[derive(Debug, Serialize)]
struct SourceDetailView {
    source: String,
    file: String,
    /// Null if the operator provides the file.
    url: Option<String>,
    /// The number of its prefixes, both families.
    entries: usize,
    /// The last change of the content that is served.
    changed: Option<String>,
    /// The last time at which the publisher had this content.
    checked: Option<String>,
    /// The server of the fleet that has asked the publisher at that time; null if this server has.
    checked_by: Option<String>,
    next: Option<String>,
    /// The time since the publisher had this content; for a file of the operator, since its last change.
    age_seconds: Option<u64>,
    /// `refused` or `failed`, if the last fetch was.
    trouble: Option<&'static str>,
    reason: Option<String>,
    /// The largest share of clients that a change may move; null without a limit.
    guard: Option<String>,
    /// The share of IPv4 whose clients the last change of this source moved; null if it is not known.
    moved_ipv4: Option<f64>,
    /// The number of addresses of IPv4 whose clients it moved.
    moved_addresses: Option<String>,
}

/// The sources of a snapshot.
pub(in crate::control) fn sources(snapshot: &Snapshot, about: &About, now: UnixTime) -> SourcesView {
    let states = about.sources.all();
    let (served, moved) = (about.history.served(), about.changes.by_source());
    let one = |source: &Arc<Source>| {
        let fetch: Option<&FetchState> = states.get(&source.name).and_then(|state| state.fetch.as_ref());
        let trouble = fetch.and_then(|fetch| fetch.trouble.as_ref()).map(|(_, outcome)| outcome);
        SourceDetailView {
            source: source.name.to_string(),
            file: source.file.to_string(),
            url: fetch.map(|fetch| fetch.url.to_string()),
            entries: source.prefix_count(),
            changed: source.modified.map(rfc3339),
            checked: fetch.and_then(|fetch| fetch.checked).map(rfc3339),
            checked_by: fetch.and_then(|fetch| fetch.checked_by.as_ref()).map(ToString::to_string),
            next: fetch.and_then(|fetch| fetch.next).map(rfc3339),
            age_seconds: age_seconds(source, fetch, now),
            trouble: trouble.map(|outcome| outcome.as_str()),
            reason: trouble.and_then(|outcome| outcome.reason()).map(Into::into),
            guard: served.guards.get(&source.name).cloned(),
            moved_ipv4: moved.get(&source.name).map(|addresses| *addresses as f64 / 2f64.powi(32)),
            moved_addresses: moved.get(&source.name).map(u128::to_string),
        }
    };
    SourcesView { sources: snapshot.provenance().networks.sources.iter().map(one).collect() }
}

/// The sources of a snapshot, for `/status`.
pub(super) fn networks(snapshot: &Snapshot, about: &About, now: UnixTime) -> Vec<SourceView> {
    let states = about.sources.all();
    let view = |source: &Arc<Source>| {
        let fetch = states.get(&source.name).and_then(|state| state.fetch.as_ref());
        SourceView {
            source: source.name.to_string(),
            file: source.file.to_string(),
            modified: source.modified.map(rfc3339),
            age_seconds: age_seconds(source, fetch, now),
            fetch: fetch.map(fetch_view),
        }
    };
    snapshot.provenance().networks.sources.iter().map(view).collect()
}

/// The time since the publisher had the content; for a file of the operator, since its last change.
fn age_seconds(source: &Source, fetch: Option<&FetchState>, now: UnixTime) -> Option<u64> {
    let at = fetch.and_then(|fetch| fetch.checked).or(source.modified)?;
    Some(now.0.saturating_sub(at.0))
}

fn fetch_view(fetch: &FetchState) -> FetchView {
    FetchView {
        url: fetch.url.to_string(),
        pinned: fetch.is_pinned,
        held_back: fetch.is_rejected,
        checked: fetch.checked.map(rfc3339),
        checked_by: fetch.checked_by.as_ref().map(ToString::to_string),
        next: fetch.next.map(rfc3339),
        trouble: fetch.trouble.as_ref().map(|(_, outcome)| outcome.as_str().to_string()),
        since: fetch.trouble.as_ref().map(|(since, _)| rfc3339(*since)),
        reason: fetch.trouble.as_ref().and_then(|(_, outcome)| outcome.reason().map(Into::into)),
    }
}
