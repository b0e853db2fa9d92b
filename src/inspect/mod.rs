//! The operator's view of the engine: the reasons for one answer, and a check of all answers.
//!
//! [`explain()`] asks a snapshot one question as a resolver would. It reports the entries and rules that decided the
//! answer, with the file and line of each. [`sweep()`] asks from both ends of every range of every table and checks the
//! replies against the rules.
//!
//! **Invariants**: every query goes through [`crate::wire::respond`] as bytes, so that the serving path is tested;
//! findings are typed, so that text and JSON cannot disagree.
//! **Not here**: layout, exit codes (`cli`).

mod ask;
mod changes;
mod explain;
mod export;
#[cfg(test)]
pub(crate) mod fixture;
mod ground;
mod labels;
mod moves;
mod reach;
mod reason;
mod space;
mod state;
mod sweep;
mod tally;
#[cfg(test)]
mod tests;
pub(crate) mod view;
mod violation;
pub(crate) mod words;

pub(crate) use changes::changes;
pub(crate) use explain::{
    Candidate, ExplainedAnswer, ExplainedRedirect, Explanation, Hearing, SteeredExplanation, explain, explain_redirect,
};
pub(crate) use export::{UnknownPlan, export};
pub(crate) use ground::Judged;
pub use moves::{
    FamilyMoves, HorizonMoves, KINDS, LabelMove, MirrorMove, MoveEnd, MovedStretches, Moves, RangeMove, SourceMoves,
    moves,
};
pub(crate) use moves::{Rulings, compare};
pub(crate) use reach::{MirrorReach, reach};
pub(crate) use reason::{Neighbour, PlanShare, ScopeReason, winner_at};
pub(crate) use space::{Space, SpacePlan, SpaceSubject, changed_cells, space};
pub(crate) use sweep::{
    HorizonReport, MirrorTotal, OwnerReport, ProviderTotal, Report, RuleTotal, SweepProgress, Violation, Wrong, sweep,
};

use crate::base::ids::HorizonId;
use crate::base::name::NameBuf;
use crate::snapshot::Snapshot;
use crate::steer::Horizon;

/// The horizons with a redirect-only mirror.
pub(crate) fn horizons_of_redirects(snapshot: &Snapshot) -> impl Iterator<Item = HorizonId> {
    let has_one = |horizon: &Horizon| horizon.mirrors().any(|id| snapshot.mirrors()[id.index()].is_redirect_only());
    let horizons = snapshot.horizons().iter().enumerate();
    horizons.filter(move |(_, horizon)| has_one(horizon)).map(|(at, _)| HorizonId::from_index(at))
}

/// The first steered owner: the default for requests that give no name.
pub(crate) fn first_steered(snapshot: &Snapshot) -> Option<(NameBuf, HorizonId)> {
    let (owner, steered) = snapshot.zones().iter().flat_map(|(_, zone)| zone.steered_owners()).next()?;
    Some((owner.to_owned(), steered.horizon))
}
