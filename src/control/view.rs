//! The views of the desk: the mirrors with their health and overrides, and the status of the server.
//!
//! **Invariants**: the keys are stable, because scripts read them; an unknown value is null, and its key is never left out.
//! **Not here**: layout (`cli`).

#![allow(clippy::missing_docs_in_private_items, reason = "a field is named for its key in the JSON document")]

mod status;

use std::collections::HashSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub(super) use status::status;

use crate::base::diagnostic::{Look, Style};
use crate::base::ids::MirrorId;
use crate::base::prefix::Family;
use crate::base::report::{report, report_json};
use crate::base::time::{Generation, UnixTime};
use crate::base::when::rfc3339;
use crate::inspect::view::{AddressView, OverrideView};
use crate::live::{RefreshOutcome, ReloadOutcome};
use crate::mirror::{AddressStanding, Health, Override};
use crate::snapshot::Snapshot;
use crate::steer::Horizon;
use crate::telemetry::probe::Probes;

/// `/mirrors`
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct MirrorsView {
    pub(crate) generation: u64,
    pub(crate) mirrors: Vec<MirrorDetailView>,
    /// Overrides of mirrors that the configuration does not have.
    pub(crate) gone: Vec<OverriddenView>,
}

/// `/mirrors/NAME`
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct MirrorDetailView {
    pub(crate) mirror: String,
    /// How to reach its operator; null if the configuration does not say.
    #[serde(default)]
    pub(crate) contact: Option<String>,
    pub(crate) order: Option<OverrideView>,
    /// The horizons that name it.
    pub(crate) horizons: Vec<String>,
    pub(crate) addresses: Vec<AddressView>,
}

/// An override and the mirror that it is about.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct OverriddenView {
    pub(crate) mirror: String,
    pub(crate) order: OverrideView,
}

/// The outcome of setting or removing an override.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct DoneView {
    pub(crate) mirror: String,
    /// The override in force now; null if there is none.
    pub(crate) order: Option<OverrideView>,
    /// The override that was in force before; null if there was none.
    pub(crate) before: Option<OverrideView>,
    /// The first snapshot with the change; null if nothing changed.
    pub(crate) generation: Option<u64>,
    /// The consequence of an override that leaves a horizon without a mirror that is up; null without such a horizon, or with
    /// `force`.
    #[serde(default)]
    pub(crate) warning: Option<String>,
    /// False without `[probe]`: a mirror without an override counts as up.
    #[serde(default = "yes")]
    pub(crate) probed: bool,
}

/// The default for the answer of an older server, which does not have the key.
fn yes() -> bool {
    true
}

/// The outcome of draining or undraining the server.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct DrainView {
    /// The override that takes the server out of service now.
    pub(crate) drain: Option<OverrideView>,
    /// The one before.
    pub(crate) before: Option<OverrideView>,
}

/// A zone that was fetched whole.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct RetransferView {
    pub(crate) zone: String,
    /// The serial that was served before; null if there was no usable copy.
    pub(crate) before: Option<u32>,
    /// The serial that is served now.
    pub(crate) serial: u32,
    /// The primary's address.
    pub(crate) primary: String,
}

/// `/reload`: the outcome of a reload.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct ReloadOutcomeView {
    /// True if the new configuration is not served, or a part of it is not; the one before it, or that part of it, is.
    pub(crate) refused: bool,
    /// True if the new configuration is served, maybe without a part of it.
    pub(crate) accepted: bool,
    /// A sentence for each part of it that is refused, and served as before.
    pub(crate) kept: Vec<String>,
    /// True if nothing new is served, because the request was to compare alone.
    pub(crate) dry_run: bool,
    /// The generation that is served.
    pub(crate) generation: u64,
    /// A sentence for each thing that differs from the configuration before.
    pub(crate) changes: Vec<String>,
    /// A sentence for each change that an operator should look at.
    pub(crate) remarks: Vec<String>,
    /// The keys whose new values take a restart.
    pub(crate) restart_keys: Vec<String>,
    /// The problems, as `check --json` has them.
    pub(crate) problems: Vec<serde_json::Value>,
    /// The problems, as `check` prints them.
    pub(crate) report: String,
}

impl ReloadOutcomeView {
    pub(super) fn of(outcome: &ReloadOutcome, width: Option<usize>) -> Self {
        let problems = report_json(&outcome.problems);
        ReloadOutcomeView {
            refused: outcome.is_refused(),
            accepted: outcome.is_accepted,
            kept: outcome.kept.clone(),
            dry_run: outcome.is_dry,
            generation: outcome.generation.0,
            changes: outcome.changes.clone(),
            remarks: outcome.remarks.clone(),
            restart_keys: outcome.restart_keys.clone(),
            problems: problems.lines().filter_map(|line| serde_json::from_str(line).ok()).collect(),
            report: report(&outcome.problems, Look { style: Style::Plain, width }),
        }
    }
}

/// `/refresh`: the outcomes of fetches.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct RefreshView {
    /// True if the content of some source could not be fetched, or is refused.
    pub(crate) refused: bool,
    /// True if nothing new is served, because the request was to compare alone.
    pub(crate) dry_run: bool,
    /// The generation that is served.
    pub(crate) generation: u64,
    /// The sources that were asked for.
    pub(crate) sources: Vec<RefreshedView>,
}

/// The outcome of fetching one source.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct RefreshedView {
    pub(crate) source: String,
    /// `taken`, `unchanged`, `rejected`, `refused` or `failed`.
    pub(crate) outcome: String,
    /// The reason of `refused` and `failed`.
    pub(crate) reason: Option<String>,
    /// A sentence for each thing that differs from the served content.
    pub(crate) changes: Vec<String>,
    /// The problems of the content, as `check --json` has them.
    pub(crate) problems: Vec<serde_json::Value>,
    /// The problems of the content, as `check` prints them.
    pub(crate) report: String,
}

impl RefreshView {
    pub(super) fn of(outcomes: &[RefreshOutcome], is_dry: bool, generation: Generation, width: Option<usize>) -> Self {
        let view = |one: &RefreshOutcome| {
            let judged = one.judged.as_ref().map(|judged| ReloadOutcomeView::of(judged, width));
            let (changes, problems, report) =
                judged.map(|judged| (judged.changes, judged.problems, judged.report)).unwrap_or_default();
            RefreshedView {
                source: one.source.to_string(),
                outcome: one.outcome.word().to_string(),
                reason: one.outcome.reason().map(Into::into),
                changes,
                problems,
                report,
            }
        };
        RefreshView {
            refused: outcomes.iter().any(|one| one.outcome.is_bad()),
            dry_run: is_dry,
            generation: generation.0,
            sources: outcomes.iter().map(view).collect(),
        }
    }
}

/// `/status`
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct StatusView {
    pub(crate) version: String,
    /// The reason why `/ready` answers 503; null if it answers 200.
    pub(crate) obstacle: Option<String>,
    /// The override that takes this server out of service; null if there is none.
    #[serde(default)]
    pub(crate) drain: Option<OverrideView>,
    pub(crate) generation: u64,
    /// The duration for which this generation has been served.
    pub(crate) generation_age_seconds: u64,
    pub(crate) uptime_seconds: u64,
    /// The number of mirrors, and of those that are up.
    pub(crate) mirrors: usize,
    pub(crate) mirrors_up: usize,
    /// False without `[probe]`: every mirror counts as up, unless an override says otherwise.
    #[serde(default = "yes")]
    pub(crate) probed: bool,
    /// The overrides in force.
    pub(crate) orders: Vec<OverriddenView>,
    /// The horizons in panic.
    #[serde(default)]
    pub(crate) panics: Vec<PanicView>,
    /// The addresses that are not up, or whose certificates end soon.
    pub(crate) troubles: Vec<TroubleView>,
    pub(crate) zones: Vec<ZoneView>,
    /// The state files whose last write failed.
    #[serde(default)]
    pub(crate) unwritten: Vec<UnwrittenView>,
    /// The file of the configuration.
    #[serde(default)]
    pub(crate) config: String,
    /// SHA-256 of the files of the configuration that is served, and the time at which it was taken over.
    #[serde(default)]
    pub(crate) config_digest: String,
    #[serde(default)]
    pub(crate) config_since: String,
    /// The keys whose new values take a restart.
    #[serde(default)]
    pub(crate) restart_keys: Vec<String>,
    /// The last reload; null before the first.
    #[serde(default)]
    pub(crate) reload: Option<ReloadView>,
    /// The sources of networks.
    #[serde(default)]
    pub(crate) networks: Vec<SourceView>,
    /// The certificates of the listeners.
    #[serde(default)]
    pub(crate) certificates: Vec<CertificateView>,
}

/// A state file whose last write failed.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct UnwrittenView {
    pub(crate) file: String,
    /// The label `state` of `pharos_state_writes_total`.
    pub(crate) state: String,
    pub(crate) error: String,
    /// The time of the first failure since the last success.
    pub(crate) since: String,
}

/// The outcome of a reload.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct ReloadView {
    pub(crate) at: String,
    /// The first error with its place, or the first part that is served as before; null if all of the new configuration is served.
    pub(crate) refused: Option<String>,
    /// True if the new configuration is served all the same, without that part.
    #[serde(default)]
    pub(crate) in_part: bool,
}

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
    #[serde(default)]
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

/// The certificate of a listener.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct CertificateView {
    pub(crate) listener: String,
    /// The first end in its chain.
    pub(crate) ends: String,
    /// Negative after the end.
    pub(crate) seconds_left: i64,
    /// The error of changed files that cannot be used; null if the certificate of the files is served.
    #[serde(default)]
    pub(crate) refused: Option<RefusedView>,
}

/// Changed files that cannot be used; the certificate read before is still served.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct RefusedView {
    pub(crate) since: String,
    pub(crate) error: String,
}

/// A horizon in panic mode: most of its mirrors do not answer, so it also steers clients to mirrors that look down.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct PanicView {
    pub(crate) horizon: String,
    /// `ipv4` or `ipv6`.
    pub(crate) family: String,
}

/// An address that is not up, or whose certificate ends soon.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct TroubleView {
    pub(crate) mirror: String,
    /// How to reach the mirror's operator; null if the configuration does not say.
    #[serde(default)]
    pub(crate) contact: Option<String>,
    pub(crate) address: AddressView,
}

/// One zone.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct ZoneView {
    pub(crate) name: String,
    /// Null if no copy has been fetched yet, or if the copy has expired.
    pub(crate) serial: Option<u32>,
}

/// The refusal of a request.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct RefusalView {
    pub(crate) error: String,
    pub(crate) help: Option<String>,
}

/// All mirrors.
pub(super) fn mirrors(snapshot: &Snapshot, probes: Option<&Probes>) -> MirrorsView {
    // One pass over the horizons, because there may be many mirrors and many horizons.
    let mut horizons = vec![Vec::new(); snapshot.mirrors().len()];
    for horizon in snapshot.horizons().iter() {
        horizon.mirrors().for_each(|id| horizons[id.index()].push(horizon.name.to_string()));
    }
    let one = |(at, horizons)| one(snapshot, MirrorId::from_index(at), horizons, probes);
    let gone = gone(snapshot).map(|(name, order)| OverriddenView::of(name, order));
    MirrorsView {
        generation: snapshot.generation.0,
        mirrors: horizons.into_iter().enumerate().map(one).collect(),
        gone: gone.collect(),
    }
}

/// One mirror.
pub(super) fn mirror(snapshot: &Snapshot, id: MirrorId, probes: Option<&Probes>) -> MirrorDetailView {
    let using = snapshot.horizons().iter().filter(|horizon| horizon.mirrors().any(|used| used == id));
    one(snapshot, id, using.map(|horizon| horizon.name.to_string()).collect(), probes)
}

/// The consequence of an override for the horizons that name a mirror: those in which no other mirror is up for a family that
/// this one serves. `None` if each has another one.
pub(super) fn warning(snapshot: &Snapshot, id: MirrorId) -> Option<String> {
    let is_usable =
        |other: MirrorId, family| matches!(snapshot.standing(other).health(family), Some(Health::Up | Health::Untried));
    let is_last = |horizon: &&Horizon| {
        let mut mirrors = horizon.mirrors();
        let serves = |family: &Family| snapshot.standing(id).health(*family).is_some();
        mirrors.any(|used| used == id)
            && Family::ALL
                .iter()
                .filter(|family| serves(family))
                .any(|family| !horizon.mirrors().any(|other| other != id && is_usable(other, *family)))
    };
    let names: Vec<String> =
        snapshot.horizons().iter().filter(is_last).map(|horizon| format!("`{}`", horizon.name)).collect();
    let (word, list) = match names.len() {
        0 => return None,
        1 => ("horizon", names.join(", ")),
        _ => ("horizons", names.join(", ")),
    };
    Some(format!(
        "no other mirror of {word} {list} is up: the best of those left is given, because an empty answer is worse"
    ))
}

/// The overrides about mirrors that the configuration does not have.
pub(super) fn gone(snapshot: &Snapshot) -> impl Iterator<Item = (&str, &Override)> {
    let known: HashSet<&str> = snapshot.mirrors().iter().map(|mirror| &*mirror.name).collect();
    let orders = snapshot.overrides().iter().map(|(name, order)| (&**name, order));
    orders.filter(move |(name, _)| !known.contains(name))
}

fn one(snapshot: &Snapshot, id: MirrorId, horizons: Vec<String>, probes: Option<&Probes>) -> MirrorDetailView {
    MirrorDetailView {
        mirror: snapshot.mirrors()[id.index()].name.to_string(),
        contact: snapshot.mirrors()[id.index()].contact.as_deref().map(Into::into),
        order: snapshot.override_of(id).map(OverrideView::of),
        horizons,
        addresses: addresses(snapshot, id, probes),
    }
}

/// The addresses of one mirror.
pub(super) fn addresses(snapshot: &Snapshot, id: MirrorId, probes: Option<&Probes>) -> Vec<AddressView> {
    let (mirror, standing) = (&snapshot.mirrors()[id.index()], snapshot.standing(id));
    let v4 = mirror.v4.iter().map(|address| IpAddr::from(*address)).zip(&standing.v4);
    let v6 = mirror.v6.iter().map(|address| IpAddr::from(*address)).zip(&standing.v6);
    let address = |(address, standing): (IpAddr, &AddressStanding)| {
        let found = probes.and_then(|probes| probes.last(&mirror.name, address));
        let last = found.as_ref().map(|found| &found.standing);
        let cause = last.and_then(|last| last.cause.as_ref());
        let protocols = last.map(|last| &last.protocols).into_iter().flatten();
        AddressView {
            address: address.to_string(),
            health: standing.health.as_str().into(),
            verdict: last.map(|last| last.verdict.as_str().into()),
            protocols: protocols
                .map(|(protocol, verdict)| (protocol.as_str().into(), verdict.as_str().into()))
                .collect(),
            since: found.as_ref().map(|found| rfc3339(found.since)),
            reason: cause.map(ToString::to_string),
            remedy: cause.map(|cause| cause.remedy().to_string()),
            certificate_ends: found.as_ref().and_then(|found| found.not_after).map(|end| rfc3339(UnixTime(end))),
        }
    };
    v4.chain(v6).map(address).collect()
}

impl OverriddenView {
    fn of(mirror: &str, order: &Override) -> Self {
        OverriddenView { mirror: mirror.into(), order: OverrideView::of(order) }
    }
}
