//! The views of the desk: the mirrors with their health and overrides, the status of the server, and the outcomes of requests.
//!
//! **Invariants**: the keys are stable, because scripts read them; an unknown value is null, and its key is never left out.
//! **Not here**: layout (`cli`).

#![allow(clippy::missing_docs_in_private_items, reason = "a field is named for its key in the JSON document")]

mod fleet;
mod history;
mod html;
mod outcome;
mod sources;
mod space;
mod status;
mod top;

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub(crate) use fleet::{FleetRolloutView, FleetServerView, FleetToldView, FleetView, ForgottenView};
pub(super) use fleet::{not_spread, told};
pub(super) use history::history;
pub(super) use html::mirrors_page;
pub(crate) use outcome::{DoneView, DrainView, RefreshView, RefreshedView, ReloadOutcomeView, RetransferView};
pub(super) use sources::sources;
pub(crate) use sources::{FetchView, SourceView};
pub(super) use space::space;
pub(super) use status::status;
pub(crate) use status::{
    CertificateView, CredentialView, PanicView, RefusedView, StatusView, TroubleView, UnwrittenView, ZoneView,
};
pub(super) use top::top;
pub(crate) use top::{TopMirrorView, TopView};

use super::about::About;
use crate::base::ids::MirrorId;
use crate::base::prefix::Family;
use crate::base::time::UnixTime;
use crate::base::when::rfc3339;
use crate::inspect::MirrorReach;
use crate::inspect::view::{AddressView, OverrideView};
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
    /// The address or page of its operator; null if the configuration does not say.
    pub(crate) contact: Option<String>,
    pub(crate) order: Option<OverrideView>,
    /// The horizons that name it.
    pub(crate) horizons: Vec<String>,
    pub(crate) addresses: Vec<AddressView>,
    /// The DNS answers with it in the first place, since the start; null if it shares its count with others.
    pub(crate) answers: Option<u64>,
    /// Its share of the IPv4 addresses for which rules of the first steered horizon decide, 0 to 1; null if the horizon does not
    /// name it.
    pub(crate) share: Option<f64>,
    #[serde(default)]
    pub(crate) place: PlaceView,
}

/// The labels of the rules that lead most clients to a mirror; null if the rules do not name one label.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct PlaceView {
    pub(crate) provider: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) continent: Option<String>,
}

/// An override and the mirror that it is about.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct OverriddenView {
    pub(crate) mirror: String,
    pub(crate) order: OverrideView,
}

/// The default for the answer of an older server, which does not have the key.
fn yes() -> bool {
    true
}

/// The refusal of a request.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct RefusalView {
    pub(crate) error: String,
    pub(crate) help: Option<String>,
}

/// All mirrors, or one.
pub(super) fn mirrors(
    snapshot: &Snapshot,
    about: &About,
    reaches: Option<&BTreeMap<MirrorId, MirrorReach>>,
    only: Option<MirrorId>,
) -> MirrorsView {
    // One pass over the horizons, because there may be many mirrors and many horizons.
    let mut horizons = vec![Vec::new(); snapshot.mirrors().len()];
    for horizon in snapshot.horizons().iter() {
        horizon.mirrors().for_each(|id| horizons[id.index()].push(horizon.name.to_string()));
    }
    let answers = about.traffic.by_mirror(snapshot.meters());
    let one = |(at, horizons)| {
        let (id, mirror) = (MirrorId::from_index(at), &snapshot.mirrors()[at]);
        let reach = reaches.and_then(|reaches| reaches.get(&id));
        let labels = reach.map(|reach| reach.labels.clone()).unwrap_or_default();
        let [provider, region, continent] = labels.map(|label| label.map(|label| label.to_string()));
        MirrorDetailView {
            mirror: mirror.name.to_string(),
            contact: mirror.contact.as_deref().map(Into::into),
            order: snapshot.override_of(id).map(OverrideView::of),
            horizons,
            addresses: addresses(snapshot, id, about.probes.as_deref()),
            answers: answers.get(&*mirror.name).copied(),
            share: reach.map(|reach| reach.share),
            place: PlaceView { provider, region, continent },
        }
    };
    let wanted = horizons.into_iter().enumerate().filter(|(at, _)| only.is_none_or(|id| id.index() == *at));
    MirrorsView {
        generation: snapshot.generation.0,
        mirrors: wanted.map(one).collect(),
        gone: gone(snapshot).map(|(name, order)| OverriddenView::of(name, order)).collect(),
    }
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

/// The addresses of one mirror.
pub(super) fn addresses(snapshot: &Snapshot, id: MirrorId, probes: Option<&Probes>) -> Vec<AddressView> {
    let (mirror, standing) = (&snapshot.mirrors()[id.index()], snapshot.standing(id));
    let address = |(address, standing): (IpAddr, AddressStanding)| {
        let found = probes.and_then(|probes| probes.last(&mirror.name, address));
        let last = found.as_ref().map(|found| &found.standing);
        let cause = last.and_then(|last| last.cause.as_ref());
        let ruling = probes.and_then(|probes| probes.ruling(&mirror.name, address));
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
            against: ruling.map(|ruling| ruling.against),
            servers: ruling.map(|ruling| ruling.of),
        }
    };
    standing.by_address(mirror).map(address).collect()
}

impl OverriddenView {
    fn of(mirror: &str, order: &Override) -> Self {
        OverriddenView { mirror: mirror.into(), order: OverrideView::of(order) }
    }
}
