//! Basic types of all layers: prefixes, names, clients, ids, time, diagnostics.
//!
//! **Invariants**: no type here knows of zones, mirrors or sockets; every type is valid once built.
//! **Not here**: decisions.

pub mod client;
pub mod diagnostic;
pub mod ends;
pub mod geo;
pub mod ids;
pub(crate) mod lock;
pub mod logged;
pub(crate) mod memory;
pub mod name;
mod place;
pub mod prefix;
pub(crate) mod private;
pub(crate) mod rdata;
pub mod report;
pub mod rr;
pub(crate) mod share;
pub(crate) mod special;
pub(crate) mod text;
pub mod time;
pub mod tsig;
pub mod warnings;
pub(crate) mod when;
pub(crate) mod words;
