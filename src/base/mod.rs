//! The words everything else is written in: prefixes, names, clients, ids, time, diagnostics.
//!
//! **Invariants**: nothing here knows of zones, mirrors or sockets; every type is valid once built.
//! **Not here**: anything that decides.

pub mod client;
pub mod diagnostic;
pub mod geo;
pub mod ids;
pub mod memory;
pub mod name;
pub mod prefix;
pub mod rdata;
pub mod report;
pub mod rr;
pub mod special;
pub mod text;
pub mod time;
pub mod tsig;
pub mod warnings;
pub mod when;
