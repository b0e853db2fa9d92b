//! The view of a block of addresses in cells.
//!
//! **Not here**: the cells ([`crate::inspect`]).

use serde::Serialize;

use crate::base::ids::{HorizonId, MirrorId};
use crate::base::name::NameBuf;
use crate::base::prefix::Prefix;
use crate::inspect::{self, Space, SpacePlan, SpaceSubject};
use crate::live::AppliedChange;
use crate::snapshot::Snapshot;

/// `/space`
#[derive(Debug, Serialize)]
pub(in crate::control) struct SpaceView {
    generation: u64,
    /// The steered name; null if no name is steered, and a horizon of redirects is shown.
    name: Option<String>,
    horizon: String,
    /// `ipv4` or `ipv6`.
    family: &'static str,
    block: String,
    /// The prefix length of a cell.
    cell_bits: u8,
    /// The ranges of the family in the whole table.
    ranges: usize,
    plans: Vec<SpacePlanView>,
    /// For each run of equal cells three numbers: the plan by its index, the share of a cell in fifteenths, and the number of cells.
    runs: Vec<u32>,
    totals: Vec<SpaceTotalView>,
    /// For each run of equal cells two numbers: 1 if the last change moved clients in it, else 0, and the number of cells. Null if no
    /// change of this horizon has moved clients since the start.
    changed: Option<Vec<u32>>,
}

/// The plan of cells.
#[derive(Debug, Serialize)]
struct SpacePlanView {
    mirrors: Vec<String>,
    /// `rule`, `default` or `reserved`.
    kind: &'static str,
    /// The share of clients for which each mirror is first; null if the mirrors have no weights.
    spread: Option<Vec<f64>>,
    /// True if blob requests of these clients go to the canonical registry by `canonical = true`, and `mirrors` are those that DNS
    /// gives; of a horizon of redirects it gives none.
    canonical: bool,
}

/// The addresses of a mirror.
#[derive(Debug, Serialize)]
struct SpaceTotalView {
    /// Null for plans without mirrors.
    mirror: Option<String>,
    /// A decimal number, as text because numbers of JSON have no 128 bits.
    addresses: String,
    /// The share of the block, 0 to 1.
    share: f64,
}

/// The picture of a block under a horizon.
pub(in crate::control) fn space(
    snapshot: &Snapshot,
    change: Option<&AppliedChange>,
    (id, name): (HorizonId, Option<NameBuf>),
    block: Prefix,
) -> SpaceView {
    let horizon = &snapshot.horizons()[id.index()];
    let subject = if name.is_some() { SpaceSubject::Answers } else { SpaceSubject::Redirects };
    let Space { cell_bits, plans, runs, totals, size } = inspect::space(horizon, block, subject);
    let mirror = |id: MirrorId| snapshot.mirrors()[id.index()].name.to_string();
    let plan = |SpacePlan { kind, mirrors, spread, is_canonical }| SpacePlanView {
        mirrors: mirrors.into_iter().map(mirror).collect(),
        kind: kind.as_str(),
        spread,
        canonical: is_canonical,
    };
    let total = |(of, addresses): (Option<MirrorId>, u128)| SpaceTotalView {
        mirror: of.map(mirror),
        addresses: addresses.to_string(),
        share: addresses as f64 / size as f64,
    };
    SpaceView {
        generation: snapshot.generation.0,
        name: name.map(|name| name.to_string()),
        horizon: horizon.name.to_string(),
        family: block.family().as_str(),
        block: block.to_string(),
        cell_bits,
        ranges: [horizon.v4().len(), horizon.v6().len()][block.family() as usize],
        plans: plans.into_iter().map(plan).collect(),
        // There are at most 65,536 plans.
        runs: runs.iter().flat_map(|run| [run.plan as u32, run.share.into(), run.count]).collect(),
        totals: totals.into_iter().map(total).collect(),
        changed: change.and_then(|change| changed(change, &horizon.name, block)),
    }
}

/// The cells of a block in which a change moved clients; `None` if the horizon is newer than the change.
fn changed(change: &AppliedChange, horizon: &str, block: Prefix) -> Option<Vec<u32>> {
    let moves = change.moves.horizons.iter().find(|moves| &*moves.horizon == horizon)?;
    Some(inspect::changed_cells(block, moves.families.each_ref().map(|family| &family.stretches)))
}
