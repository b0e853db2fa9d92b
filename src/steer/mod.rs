//! Steering: horizons turn what is known of a client into an ordered choice of mirrors.
//!
//! In come the combinations of labels ([`crate::networks`]) and the rules of the config; out go a steering table per
//! horizon and family ([`table`]), the one place where a client meets a policy ([`decide`]), and the one where a plan
//! meets the health of mirrors ([`choose`]).
//!
//! Of the mirrors of a rule a client takes the first, or its share of them by weight ([`spread`]), or the nearest
//! ([`nearest`]). All three are plans, so that there is one answer per plan and one way to it.
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
