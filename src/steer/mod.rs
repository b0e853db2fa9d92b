//! Steering: horizons turn what is known of a client into an ordered choice of mirrors.
//!
//! In come the combinations of labels ([`crate::networks`]) and the rules of the config; out go a steering table per
//! horizon and family ([`table`]), the one place where a client meets a policy ([`decide`]), and the one where a plan
//! meets the health of mirrors ([`choose`]).
//!
//! **Invariants**: every address has a plan; scopes are exact; health never changes a scope.
//! **Not here**: DNS messages ([`crate::answer`]), probing.

mod choice;
mod horizon;
pub mod lines;
pub mod table;

pub use choice::{Choice, Tier, choose};
pub use horizon::{AnswerMirrors, Condition, Decision, Draft, Horizon, Laid, Plan, Rule, Won, decide};
