//! The operating system around the process: signals, the clock, limits, locks, state files, and the supervisor.
//!
//! **Invariants**: a failure here is reported and never stops the service by itself.
//! **Not here**: the reaction to a signal ([`crate::serve`]).

pub mod address;
mod clock;
mod holder;
mod lock;
mod notify;
mod seed;
mod signals;
pub mod state;
pub mod sys;
mod vital;
pub mod work;

pub use clock::Clock;
pub use holder::{Holder, SocketKind, port_holder};
pub use lock::{Lock, LockError};
pub use notify::Supervisor;
pub use seed::{seed, seed_names};
pub use signals::{Signal, Signals};
pub use sys::{forbid_dumps, raise_open_files};
pub use vital::{EndedTask, Ends, Vital};
