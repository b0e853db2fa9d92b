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
pub mod lines;
pub mod nearest;
mod plans;
pub mod spread;
pub mod table;
#[cfg(test)]
mod tests;

pub use choice::{Choice, Overview, Tier, choose};
pub use horizon::{AnswerMirrors, Condition, Decision, Draft, Horizon, Laid, Rule, Won, decide, decide_from};
pub use lines::Descent;
pub use plans::{Plan, Ranking, Slots};
pub use spread::{LeastScopes, Weights};
