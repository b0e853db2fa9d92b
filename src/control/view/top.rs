//! The view for `pharos top`: counters, and the prefixes and names of the last seconds.
//!
//! The client computes rates from the counters of two views.
//!
//! **Not here**: counting ([`crate::telemetry`]), the screen (`cli`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::addresses;
use super::status::{PanicView, panics};
use crate::base::ids::MirrorId;
use crate::base::name::NameBuf;
use crate::base::prefix::Prefix;
use crate::base::time::Moment;
use crate::control::about::About;
use crate::inspect::view::{AddressView, OverrideView};
use crate::live::Readiness;
use crate::snapshot::Snapshot;
use crate::telemetry::recent::RecentTop;

/// `/top`
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct TopView {
    pub(crate) version: String,
    /// The reason why `/ready` answers 503; null if it answers 200.
    pub(crate) obstacle: Option<String>,
    pub(crate) generation: u64,
    pub(crate) generation_age_seconds: u64,
    /// The time of the counters, in milliseconds since the server started.
    pub(crate) uptime_ms: u64,
    /// Messages received.
    pub(crate) queries: u64,
    /// Messages without a reply, or whose reply was not sent.
    pub(crate) lost: u64,
    /// Responses by response code.
    pub(crate) rcodes: BTreeMap<String, u64>,
    /// Steered answers by `subnet` or `resolver`, the address that decided.
    pub(crate) steered: BTreeMap<String, u64>,
    /// The horizons in panic.
    pub(crate) panics: Vec<PanicView>,
    pub(crate) mirrors: Vec<TopMirrorView>,
    pub(crate) recent: RecentView,
}

/// One mirror.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct TopMirrorView {
    pub(crate) mirror: String,
    /// Steered answers with this mirror first. Null if the mirror has no counter of its own.
    pub(crate) answers: Option<u64>,
    /// True if an address is up. Without probes every mirror counts as up, unless an override says otherwise.
    pub(crate) up: bool,
    pub(crate) order: Option<OverrideView>,
    /// The addresses that are not up, or whose certificates end soon.
    pub(crate) troubles: Vec<AddressView>,
}

/// The queries that were recorded in the last seconds.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct RecentView {
    /// The time in which queries were recorded; 0 for the first request after a pause.
    pub(crate) seconds: f64,
    /// The number of queries recorded.
    pub(crate) queries: u64,
    /// The most frequent prefixes of resolvers.
    pub(crate) resolvers: Vec<RecentPrefixView>,
    /// The most frequent names.
    pub(crate) names: Vec<RecentNameView>,
}

/// A prefix of resolvers.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct RecentPrefixView {
    pub(crate) prefix: String,
    pub(crate) queries: u64,
}

/// A name.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct RecentNameView {
    pub(crate) name: String,
    pub(crate) queries: u64,
}

/// The counters now. `age_ms` is the time since the snapshot was published.
pub(in crate::control) fn top(
    snapshot: &Snapshot,
    readiness: &Readiness,
    about: &About,
    age_ms: u64,
    now: Moment,
) -> TopView {
    let dns = &about.traffic.dns;
    let word = |(word, count): (&str, u64)| (word.to_string(), count);
    TopView {
        version: env!("CARGO_PKG_VERSION").to_string(),
        obstacle: readiness.obstacle().map(Into::into),
        generation: snapshot.generation.0,
        generation_age_seconds: age_ms / 1000,
        uptime_ms: now.0,
        queries: dns.queries(),
        lost: dns.all_losses(),
        rcodes: dns.rcodes().map(word).collect(),
        steered: dns.vantages().map(word).collect(),
        panics: panics(snapshot, about),
        mirrors: mirrors(snapshot, about),
        recent: RecentView::of(dns.recent.read(now)),
    }
}

fn mirrors(snapshot: &Snapshot, about: &About) -> Vec<TopMirrorView> {
    let answers = about.traffic.by_mirror(snapshot.meters());
    let view = |id: MirrorId| {
        let mirror = &snapshot.mirrors()[id.index()];
        let addresses = addresses(snapshot, id, about.probes.as_deref());
        TopMirrorView {
            mirror: mirror.name.to_string(),
            answers: answers.get(&*mirror.name).copied(),
            up: snapshot.is_up(id),
            order: snapshot.override_of(id).map(OverrideView::of),
            troubles: addresses.into_iter().filter(AddressView::is_troubled).collect(),
        }
    };
    (0..snapshot.mirrors().len()).map(MirrorId::from_index).map(view).collect()
}

impl RecentView {
    fn of(top: RecentTop) -> Self {
        let prefix = |(prefix, queries): (Prefix, u64)| RecentPrefixView { prefix: prefix.to_string(), queries };
        let name = |(name, queries): (NameBuf, u64)| RecentNameView { name: name.to_string(), queries };
        RecentView {
            seconds: top.span_ms as f64 / 1000.0,
            queries: top.queries,
            resolvers: top.prefixes.into_iter().map(prefix).collect(),
            names: top.names.into_iter().map(name).collect(),
        }
    }
}
