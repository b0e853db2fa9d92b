//! Steering: horizons turn the facts about a client into an ordered choice of mirrors.
//!
//! In: the combinations of labels ([`crate::networks`]) and the rules of the config. Out: a steering table per horizon and
//! family ([`table`]). A client meets a policy in one place ([`decide`]), and so does a plan the health of mirrors
//! ([`choose`]).
//!
//! A client takes the first mirror of its rule, or its share of the mirrors by weight ([`spread`]), or the nearest
//! ([`nearest`]). All three are plans, so that there is one answer per plan and one code path to it.
//!
//! **Invariants**: every address has a plan; scopes are exact; health never changes a scope.
//! **Not here**: DNS messages ([`crate::answer`]), probing.

mod choice;
mod horizon;
pub(crate) mod lines;
pub(crate) mod nearest;
mod plans;
mod regions;
pub(crate) mod spread;
pub(crate) mod table;
#[cfg(test)]
mod tests;

pub use choice::Tier;
pub(crate) use choice::{Choice, Overview, choose};
pub use horizon::{AnswerMirrors, Condition, Draft, Horizon, Laid, Rule};
pub(crate) use horizon::{Decision, Won, decide};
pub use lines::Descent;
pub(crate) use plans::Plan;
pub use plans::Ranking;
pub(crate) use regions::RegionName;
pub use regions::RegionTable;
pub(crate) use spread::LeastScopes;
pub use spread::Weights;
