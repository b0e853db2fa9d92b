//! The records of a zone as one class of clients sees them: static ones, and those of a plan at steered owners.
//!
//! **Invariants**: the records of a signed export are those that are served, with the same signatures.
//! **Not here**: master files (load), making signatures (live).

use crate::base::ids::{HorizonId, NodeId, PlanId, ZoneId};
use crate::base::prefix::Family;
use crate::base::time::Ttl;
use crate::snapshot::Snapshot;
use crate::steer::Plan;
use crate::zone::{Dnssec, Node, Records, RrSet, Steered};

/// A plan of a name that does not exist; the names of those that do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnknownPlan(pub(crate) Vec<String>);

/// The name of a plan: its mirrors, joined by `+`.
pub(crate) fn plan_name(snapshot: &Snapshot, plan: &Plan) -> String {
    let name = |id: &crate::base::ids::MirrorId| &*snapshot.mirrors()[id.index()].name;
    plan.preferred.iter().map(name).collect::<Vec<_>>().join("+")
}

/// The names of the plans of a zone's horizons, each once.
pub(crate) fn plan_names(snapshot: &Snapshot, zone: ZoneId) -> Vec<String> {
    let steered = snapshot.zones().zone(zone).steered_owners();
    let horizons = steered.map(|(_, steered)| &snapshot.horizons()[steered.horizon.index()]);
    let names = horizons.flat_map(|horizon| horizon.plans()).map(|plan| plan_name(snapshot, plan));
    let names: std::collections::BTreeSet<String> = names.collect();
    names.into_iter().collect()
}

/// The records of a zone, with the addresses of the plan of this name at each steered owner whose horizon has such a plan, and
/// those of the default plan otherwise. DNSSEC records are left out unless `is_signed`.
pub(crate) fn export(
    snapshot: &Snapshot,
    id: ZoneId,
    plan: Option<&str>,
    is_signed: bool,
) -> Result<Records, UnknownPlan> {
    if let Some(plan) = plan {
        let names = plan_names(snapshot, id);
        if !names.iter().any(|name| name == plan) {
            return Err(UnknownPlan(names));
        }
    }
    let zone = if is_signed { snapshot.zones().zone(id) } else { snapshot.zones().folded(id) };
    let mut records = Records::default();
    for node in zone.nodes() {
        node.rrsets().for_each(|set| push(node, set, is_signed, &mut records));
        if let Some(steered) = node.steered() {
            let plan = plan_at(snapshot, steered.horizon, plan);
            let sets = tailored(snapshot, id, node, steered, plan, is_signed);
            sets.into_iter().for_each(|set| push(node, set, is_signed, &mut records));
        }
    }
    Ok(records)
}

fn plan_at(snapshot: &Snapshot, horizon: HorizonId, name: Option<&str>) -> PlanId {
    let plans = snapshot.horizons()[horizon.index()].plans();
    let at = name.and_then(|name| plans.iter().position(|plan| plan_name(snapshot, plan) == name));
    at.map_or_else(|| snapshot.default_plan(horizon), PlanId::from_index)
}

fn tailored<'s>(
    snapshot: &'s Snapshot,
    zone: ZoneId,
    node: Node<'_>,
    steered: Steered,
    plan: PlanId,
    is_signed: bool,
) -> Vec<RrSet<'s>> {
    let service = steered.service;
    if !is_signed {
        let of_family = |family| snapshot.addresses(steered.horizon, plan, family).rrset(family, steered.ttl);
        let service = service.map(|id| snapshot.service_record(id, plan).rrset(steered.ttl));
        return Family::ALL.into_iter().filter_map(of_family).chain(service).collect();
    }
    let Some(owner) = snapshot.signed_owner(zone, node.id()) else { return Vec::new() };
    let addresses = Family::ALL.into_iter().filter_map(|family| owner.addresses(plan.index(), family));
    let service = service.and_then(|_| owner.service(plan.index()));
    let sets = addresses.chain(service).map(|set| set.rrset(steered.ttl));
    sets.chain(owner.nsec().map(|set| set.rrset(Ttl::MAX))).collect()
}

fn push(node: Node<'_>, set: RrSet<'_>, is_signed: bool, records: &mut Records) {
    // A zone that is half-signed is of no use.
    if !is_signed && Dnssec::of(set.rtype, node.id() == NodeId(0)) != Dnssec::Apart {
        return;
    }
    let signatures = if is_signed { set.signatures() } else { None };
    for set in [Some(set), signatures].into_iter().flatten() {
        records.push_set(node.owner(), set);
    }
}
