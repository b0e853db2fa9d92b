//! The view of a block of addresses in cells.
//!
//! **Not here**: the cells ([`crate::inspect`]).

use serde::Serialize;

use crate::base::ids::{HorizonId, MirrorId};
use crate::base::name::NameBuf;
use crate::base::prefix::Prefix;
use crate::inspect::{self, Space, SpacePlan};
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
}

/// The plan of cells.
#[derive(Debug, Serialize)]
struct SpacePlanView {
    mirrors: Vec<String>,
    /// `rule`, `default` or `reserved`.
    kind: &'static str,
    /// The share of clients for which each mirror is first; null if the mirrors have no weights.
    spread: Option<Vec<f64>>,
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
pub(in crate::control) fn space(snapshot: &Snapshot, id: HorizonId, name: Option<NameBuf>, block: Prefix) -> SpaceView {
    let horizon = &snapshot.horizons()[id.index()];
    let Space { cell_bits, plans, runs, totals, size } = inspect::space(horizon, block);
    let mirror = |id: MirrorId| snapshot.mirrors()[id.index()].name.to_string();
    let plan = |SpacePlan { kind, mirrors, spread }| SpacePlanView {
        mirrors: mirrors.into_iter().map(mirror).collect(),
        kind: kind.as_str(),
        spread,
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
        ranges: inspect::range_count(horizon, block.family()),
        plans: plans.into_iter().map(plan).collect(),
        // There are at most 65,536 plans.
        runs: runs.iter().flat_map(|run| [run.plan as u32, run.share.into(), run.count]).collect(),
        totals: totals.into_iter().map(total).collect(),
    }
}
