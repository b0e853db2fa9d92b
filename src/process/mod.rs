//! The operating system around the process: signals, the clock, limits, locks, state files, and the supervisor.
//!
//! **Invariants**: a failure here is reported and never stops the service by itself.
//! **Not here**: the reaction to a signal ([`crate::serve`]).

pub(crate) mod address;
mod clock;
pub(crate) mod datagram;
mod holder;
mod lock;
mod notify;
mod seed;
mod signals;
pub(crate) mod state;
pub(crate) mod sys;
mod vital;
pub mod work;

pub(crate) use clock::Clock;
pub(crate) use holder::{Holder, SocketKind, port_holder};
pub(crate) use lock::{Lock, LockError};
pub(crate) use notify::Supervisor;
pub(crate) use seed::{seed, seed_names};
pub(crate) use signals::{Signal, Signals};
pub(crate) use sys::{forbid_dumps, raise_open_files};
pub use vital::Vital;
pub(crate) use vital::{EndedTask, Ends};
