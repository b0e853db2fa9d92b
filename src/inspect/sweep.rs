//! A check of all steered answers: a query from both ends of every range of every table, compared with the ranges and rules.
//!
//! The [`Report`] lists the violations, and how the address space is spread over the mirrors. For each steered owner, the
//! sweep asks from the lowest and the highest address of each range of each family. It asks once with a subnet of full
//! length and once with the length that resolvers send (RFC 7871 §11.1: /24 and /56). The types are A and AAAA, and HTTPS
//! if its hints are tailored.
//!
//! Each reply must have:
//! - the addresses of the mirrors of the range's plan, or of the plan that covers most of the subnet;
//! - the owner's TTL, or the TTL of a mirror's host if that is shorter;
//! - an exact scope: the decision is the same for all of it, and would not be if the scope were one bit shorter.
//!
//! A range whose clients are spread by weight has many scopes. The sweep also asks from both ends of [`owner::SAMPLES`] of
//! them, and each reply must be for the slot of its scope's block.
//!
//! **Invariants**: expected values come from the list of ranges and from the rules, never from the engine's lookup; the
//! report of a snapshot is deterministic.
//! **Not here**: text, exit codes (`cli`).

mod owner;

use super::ground::Ground;
use super::horizons_of_redirects;
use super::tally::{Rules, Tally};
use super::violation::Findings;
use crate::base::ids::HorizonId;
use crate::base::name::NameBuf;
use crate::snapshot::{Settings, Snapshot};
use crate::zone::Steered;
use owner::OwnerCheck;

pub(crate) use super::tally::{MirrorTotal, ProviderTotal, RuleTotal};
pub(crate) use super::violation::{Violation, Wrong};

/// The number of ranges between two reports of progress.
const PROGRESS_EVERY: u64 = 4096;

/// The result of a sweep.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Report {
    /// The steered owners, by horizon and then in the order of their zones.
    pub(crate) owners: Vec<OwnerReport>,
    /// The horizons of these owners, and horizons with a redirect-only mirror, by id.
    pub(crate) horizons: Vec<HorizonReport>,
    /// The replies that were checked, and the violations.
    pub(crate) findings: Findings,
}

/// One steered owner.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OwnerReport {
    /// The owner.
    pub(crate) owner: NameBuf,
    /// Its horizon.
    pub(crate) horizon: HorizonId,
    /// The number of replies that were checked.
    pub(crate) replies: u64,
    /// The number of violations.
    pub(crate) violation_count: u64,
}

/// One horizon.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HorizonReport {
    /// The horizon.
    pub(crate) horizon: HorizonId,
    /// The number of ranges, IPv4 and IPv6.
    pub(crate) ranges: [usize; 2],
    /// Each mirror's share of each family's addresses: IPv4 first, then the greatest share first.
    pub(crate) totals: Vec<MirrorTotal>,
    /// The number of addresses that each rule decides for: IPv4 first, then in the order of the rules.
    pub(crate) rules: Vec<RuleTotal>,
}

/// The progress of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SweepProgress {
    /// The number of ranges that are done.
    pub(crate) done: u64,
    /// The number of all ranges, counted once for each owner.
    pub(crate) total: u64,
}

/// Checks all steered owners of a snapshot, and calls `progress` every `PROGRESS_EVERY` ranges and at the end.
pub(crate) fn sweep(snapshot: &Snapshot, progress: &mut dyn FnMut(SweepProgress)) -> Report {
    let snapshot = &heard_by_all(snapshot);
    let owners = snapshot.zones().iter().flat_map(|(_, zone)| zone.steered_owners());
    let owners: Vec<(NameBuf, Steered)> = owners.map(|(owner, steered)| (owner.to_owned(), steered)).collect();
    let mut horizons: Vec<HorizonId> = owners.iter().map(|(_, steered)| steered.horizon).collect();
    horizons.extend(horizons_of_redirects(snapshot));
    horizons.sort_unstable();
    horizons.dedup();
    let size = |id: &HorizonId| {
        let horizon = &snapshot.horizons()[id.index()];
        (horizon.v4().len() + horizon.v6().len()) as u64
    };
    let total = owners.iter().map(|(_, steered)| size(&steered.horizon)).sum();
    let mut pace = Pace { progress: SweepProgress { done: 0, total }, report: progress };
    let rules = Rules::of(&snapshot.provenance().networks);
    let mut report = Report::default();
    for id in horizons {
        let horizon = &snapshot.horizons()[id.index()];
        let ground = Ground::of(horizon);
        let tally = Tally::of(snapshot, id, &ground, &rules, &mut report.findings);
        report.horizons.push(HorizonReport {
            horizon: id,
            ranges: [ground.v4.ranges.len(), ground.v6.ranges.len()],
            rules: tally.rules(),
            totals: tally.into_totals(snapshot, id),
        });
        for (owner, steered) in owners.iter().filter(|(_, steered)| steered.horizon == id) {
            let Findings { replies, violation_count, .. } = report.findings;
            let mut check = OwnerCheck::new(snapshot, owner, *steered, horizon, &ground, &mut report.findings);
            check.face(&ground.v4, &mut pace);
            check.face(&ground.v6, &mut pace);
            report.owners.push(OwnerReport {
                owner: owner.clone(),
                horizon: id,
                replies: report.findings.replies - replies,
                violation_count: report.findings.violation_count - violation_count,
            });
        }
    }
    report
}

/// The same snapshot without `ecs-from`, because the sweep checks the tables, not the access list.
fn heard_by_all(snapshot: &Snapshot) -> Snapshot {
    snapshot.clone().with_settings(Settings { ecs_from: None, ..snapshot.settings().clone() })
}

struct Pace<'p> {
    progress: SweepProgress,
    report: &'p mut dyn FnMut(SweepProgress),
}

impl Pace<'_> {
    fn step(&mut self) {
        self.progress.done += 1;
        let SweepProgress { done, total } = self.progress;
        if done.is_multiple_of(PROGRESS_EVERY) || done == total {
            (self.report)(self.progress);
        }
    }
}
