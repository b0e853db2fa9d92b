//! The view of the sources of networks.
//!
//! **Not here**: fetching ([`crate::refresh`]), the limits of changes (`serve`).

use std::sync::Arc;

use serde::Serialize;

use crate::base::time::UnixTime;
use crate::base::when::rfc3339;
use crate::control::about::About;
use crate::live::FetchState;
use crate::networks::Source;
use crate::snapshot::Snapshot;

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
        let at = fetch.and_then(|fetch| fetch.checked).or(source.modified);
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
            age_seconds: at.map(|at| now.0.saturating_sub(at.0)),
            trouble: trouble.map(|outcome| outcome.word()),
            reason: trouble.and_then(|outcome| outcome.reason()).map(Into::into),
            guard: served.guards.get(&source.name).cloned(),
            moved_ipv4: moved.get(&source.name).map(|addresses| *addresses as f64 / 2f64.powi(32)),
            moved_addresses: moved.get(&source.name).map(u128::to_string),
        }
    };
    SourcesView { sources: snapshot.provenance().networks.sources.iter().map(one).collect() }
}
