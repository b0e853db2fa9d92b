//! Probing every address of every mirror, again and again, for steering.
//!
//! [`Watcher::first_round`] probes all addresses once before the server is ready. [`Watcher::run`] then keeps probing, folds
//! verdicts into the tracks of [`crate::mirror`], and sends a change to the publisher when the standing of a mirror
//! changes. [`Prober::probe`] is one probe, for `pharos verify` too.
//!
//! **Invariants**: at most [`MAX_AT_ONCE`] probes run at once; a log line is written when an address goes down, comes
//! back, or is about to expire, never per probe; nothing here waits on the query path.
//! **Not here**: the effect of a verdict ([`crate::mirror`]), the choice of mirrors for an answer ([`crate::steer`]).

mod address;
mod content;
mod conversation;
mod judge;
mod keep;
mod redirect;
mod roots;
mod watch;

pub use address::{Aim, Finding, Prober};
pub(crate) use judge::FleetJudge;
pub use keep::FORM as STATE;
pub use redirect::Follower;
pub(crate) use roots::roots;
pub(crate) use watch::{MAX_AT_ONCE, Rewatch, Watcher};
