//! Zones that are signed here, before validators and verifiers from Debian packages, and beside other signers and servers.

#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected is to fail")]
#![allow(clippy::print_stderr, reason = "what was skipped, and how much was asked")]

mod alike;
mod changes;
#[path = "../common/mod.rs"]
mod common;
mod resolvers;
mod validators;
mod world;
