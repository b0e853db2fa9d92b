//! The operator's view of the engine: why an answer is what it is, and whether all answers are true.
//!
//! In comes a snapshot; [`explain()`] asks it one question the way a resolver would and says what decided, with the place
//! where each part was written; [`sweep()`] asks from both ends of every range of every table and holds the replies
//! against the rules.
//!
//! **Invariants**: what is asked goes through [`crate::wire::respond`], as octets, the way it is served; what is said
//! of it is typed, so that text and JSON cannot disagree.
//! **Not here**: laying it out, exit codes (`cli`).

mod ask;
mod explain;
#[cfg(test)]
pub(crate) mod fixture;
mod ground;
mod labels;
mod reason;
mod sweep;
mod tally;
#[cfg(test)]
mod tests;
pub(crate) mod view;
pub(crate) mod words;

pub use explain::{
    Candidate, ExplainedAnswer, Explanation, Hearing, MirrorVerdict, ShownRecord, SteeredExplanation, Tried, explain,
};
pub use ground::Judged;
pub use reason::{Neighbour, PlanShare, ScopeReason, Side, SlotReason};
pub use sweep::{
    HorizonReport, MAX_VIOLATIONS, MirrorTotal, OwnerReport, ProviderTotal, RecordTypes, Report, RuleTotal,
    SweepProgress, SweepQuestion, Violation, Wrong, sweep,
};

use crate::base::ids::HorizonId;
use crate::base::name::NameBuf;
use crate::snapshot::Snapshot;

/// The first steered owner: what is meant where nobody says which name.
pub fn first_steered(snapshot: &Snapshot) -> Option<(NameBuf, HorizonId)> {
    let nodes = snapshot.zones().iter().flat_map(|(_, zone)| zone.nodes());
    let (owner, steered) = nodes.filter_map(|node| node.steered().map(|steered| (node.owner(), steered))).next()?;
    Some((owner.to_owned(), steered.horizon))
}
