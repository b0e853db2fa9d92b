//! The views of the fleet.
//!
//! **Not here**: the exchange with the store (`sharing`).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::time::{Moment, UnixTime};
use crate::base::when::rfc3339;
use crate::fleet::{Rollout, RolloutAct, ServedBundle, ServedState, ServerDocument};
use crate::mirror::Override;
use crate::telemetry::fleet::{FleetPeer, FleetStanding, RolloutStanding};

/// The fleet as this server knows it.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct FleetView {
    /// The name of this server.
    pub(crate) name: String,
    pub(crate) store: String,
    /// The time since the store was last read and written; null before the first time.
    pub(crate) store_age_seconds: Option<u64>,
    /// The reason why the store cannot be used; null if it can.
    pub(crate) trouble: Option<String>,
    /// True if this server alone does not reach most mirrors.
    pub(crate) isolated: bool,
    /// True if another server writes the document of this one too, because both have one name.
    #[serde(default)]
    pub(crate) duplicate: bool,
    /// The other servers.
    pub(crate) servers: Vec<FleetServerView>,
    /// The bundle in force, and the rollout.
    #[serde(default)]
    pub(crate) rollout: FleetRolloutView,
}

/// The rollout as this server knows it.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct FleetRolloutView {
    /// `none`, `served`, `loading`, `waiting`, `stuck`, `halted`, `rejected`, `stopped` or `deaf`.
    pub(crate) state: String,
    /// The bundle in force; null if the local file alone is served.
    pub(crate) serves: Option<BundleView>,
    /// The last push; null before the first one.
    pub(crate) rollout: Option<PushView>,
    /// The stage of this server, from 1; null before the first push.
    pub(crate) stage: Option<u64>,
    /// The reason for which the bundle is not loaded; null if it is served or being loaded.
    pub(crate) waits: Option<String>,
    /// The reason why the rollout in the store changes nothing; null if it was accepted.
    pub(crate) fault: Option<String>,
}

/// A bundle in force.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct BundleView {
    /// SHA-256, 64 hexadecimal digits.
    pub(crate) bundle: String,
    /// The time since the process serves it by its last push.
    pub(crate) for_seconds: u64,
}

/// A push.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct PushView {
    pub(crate) bundle: String,
    /// The bundle before; null for the first one.
    pub(crate) previous: Option<String>,
    pub(crate) stages: Vec<Vec<String>>,
    pub(crate) soak_seconds: u64,
    pub(crate) by: String,
    pub(crate) at: String,
    pub(crate) reason: Option<String>,
    /// The halt; null while the rollout goes on.
    pub(crate) halted: Option<HaltView>,
}

/// The halt of a push.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct HaltView {
    pub(crate) by: String,
    pub(crate) at: String,
    pub(crate) reason: Option<String>,
}

/// Another server of the fleet.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct FleetServerView {
    pub(crate) server: String,
    /// The time since its last new document; null without an accepted document.
    pub(crate) age_seconds: Option<u64>,
    /// True if it has a vote.
    pub(crate) fresh: bool,
    /// The reason why its present document changes nothing; null if it was accepted.
    pub(crate) fault: Option<String>,
    /// The state that it serves; null if no document was accepted.
    pub(crate) served: Option<ServedState>,
    /// The mirrors of whose overrides in force here its last document has none, or another.
    #[serde(default)]
    pub(crate) lacks: Vec<String>,
    /// The bundle in force there; null if it serves its own file alone.
    pub(crate) serves: Option<BundleView>,
    /// The reason for which it has rejected the present push; null if it has not.
    pub(crate) rejects: Option<String>,
    /// True if it takes no bundles.
    #[serde(default)]
    pub(crate) deaf: bool,
}

/// The outcome of forgetting a server.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct ForgottenView {
    pub(crate) server: String,
}

/// The state of an override at another server.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct FleetToldView {
    pub(crate) server: String,
    /// `has-it`, `not-yet` or `not-heard`.
    pub(crate) state: String,
    /// The time since its last new document; null without an accepted document.
    pub(crate) age_seconds: Option<u64>,
}

impl FleetView {
    /// `orders` are the overrides in force here.
    pub(in crate::control) fn of(
        standing: &FleetStanding,
        orders: &BTreeMap<Arc<str>, Override>,
        rollout: &RolloutStanding,
        now: Moment,
    ) -> Self {
        let push = rollout.rollout.as_ref().map(|rollout| rollout.push);
        let view_of = |peer: &FleetPeer| FleetServerView::of(peer, orders, push, now);
        FleetView {
            name: standing.name.to_string(),
            store: standing.store.to_string(),
            store_age_seconds: standing.exchanged.map(|at| age_seconds(at, now)),
            trouble: standing.trouble.as_deref().map(Into::into),
            isolated: standing.is_isolated,
            duplicate: standing.has_rival,
            servers: standing.servers.iter().map(view_of).collect(),
            rollout: FleetRolloutView::of(&standing.name, rollout),
        }
    }
}

impl FleetRolloutView {
    fn of(name: &str, standing: &RolloutStanding) -> Self {
        let RolloutStanding { report, rollout, state, waits, fault } = standing;
        FleetRolloutView {
            state: state.as_str().into(),
            serves: report.serves.as_ref().map(BundleView::of),
            rollout: rollout.as_deref().map(PushView::of),
            stage: rollout.as_ref().map(|rollout| rollout.stages.of(name) as u64 + 1),
            waits: waits.as_deref().map(Into::into),
            fault: fault.as_deref().map(Into::into),
        }
    }
}

impl BundleView {
    fn of(served: &ServedBundle) -> Self {
        BundleView { bundle: served.bundle.as_str().into(), for_seconds: served.for_ms / 1000 }
    }
}

impl PushView {
    fn of(rollout: &Rollout) -> Self {
        let at = |act: &RolloutAct| rfc3339(UnixTime(act.at));
        let halted = |act: &RolloutAct| HaltView { by: act.by.clone(), at: at(act), reason: act.reason.clone() };
        let Rollout { pushed, .. } = rollout;
        PushView {
            bundle: rollout.bundle.as_str().into(),
            previous: rollout.previous.as_ref().map(|digest| digest.as_str().into()),
            stages: rollout.stages.clone().into(),
            soak_seconds: rollout.soak_ms / 1000,
            by: pushed.by.clone(),
            at: at(pushed),
            reason: pushed.reason.clone(),
            halted: rollout.halted.as_ref().map(halted),
        }
    }
}

impl FleetServerView {
    /// `push` is the present push.
    fn of(peer: &FleetPeer, orders: &BTreeMap<Arc<str>, Override>, push: Option<u64>, now: Moment) -> Self {
        let document = peer.heard.as_ref().map(|(document, _)| document);
        let is_lacking = |(mirror, order): &(&Arc<str>, &Override)| {
            document.is_some_and(|document| !has(document, mirror, Some(order)))
        };
        let report = document.map(|document| &document.rollout);
        let rejects = report.and_then(|report| report.rejects.as_ref()).filter(|rejected| Some(rejected.push) == push);
        FleetServerView {
            server: peer.name.to_string(),
            age_seconds: peer.heard.as_ref().map(|(_, at)| age_seconds(*at, now)),
            fresh: peer.is_fresh,
            fault: peer.fault.map(|fault| fault.to_string()),
            served: document.map(|document| document.served.clone()),
            lacks: orders.iter().filter(is_lacking).map(|(mirror, _)| mirror.to_string()).collect(),
            serves: report.and_then(|report| report.serves.as_ref()).map(BundleView::of),
            rejects: rejects.map(|rejected| rejected.reason.clone()),
            deaf: report.is_some_and(|report| report.deaf),
        }
    }
}

/// The state of a mirror's override at each other server. `order` is `None` if the override was removed.
pub(in crate::control) fn told(
    standing: &FleetStanding,
    mirror: &str,
    order: Option<&Override>,
    now: Moment,
) -> Vec<FleetToldView> {
    let of = |peer: &FleetPeer| {
        let state = match &peer.heard {
            // Without the store, the last document says nothing of a change that this server does not know either.
            Some((document, _)) if standing.trouble.is_none() && has(document, mirror, order) => "has-it",
            Some(_) if peer.is_fresh => "not-yet",
            _ => "not-heard",
        };
        let age_seconds = peer.heard.as_ref().map(|(_, at)| age_seconds(*at, now));
        FleetToldView { server: peer.name.to_string(), state: state.into(), age_seconds }
    };
    standing.servers.iter().map(of).collect()
}

/// True if a document has this override of a mirror in force; `None` stands for no override.
fn has(document: &ServerDocument, mirror: &str, order: Option<&Override>) -> bool {
    let change = document.overrides.of(mirror);
    change.and_then(|change| change.in_force(order.map_or(Default::default(), |order| order.since))) == order
}

/// The reason why a change here may not reach the other servers; `None` if there is none.
pub(in crate::control) fn not_spread(standing: &FleetStanding) -> Option<String> {
    let (name, store) = (&standing.name, &standing.store);
    match (standing.has_rival, &standing.trouble) {
        (true, _) => Some(format!(
            "another server is called {name} too, so the others may not learn of this: give each server another `[fleet] name`"
        )),
        (false, Some(trouble)) => Some(format!("the others learn of this when {store} can be used again: {trouble}")),
        (false, None) => None,
    }
}

fn age_seconds(at: Moment, now: Moment) -> u64 {
    now.0.saturating_sub(at.0) / 1000
}
