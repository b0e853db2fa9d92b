//! The encrypted transports, in the real binary: the same messages as over TCP, and what each does to clients that are
//! slow, many, wrong, or there when the server reloads or stops.

#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected is to fail")]
#![allow(unreachable_pub, reason = "a module of test binaries has nobody outside to reach it")]
#![allow(clippy::print_stderr, reason = "what was skipped, and how much was asked")]

#[path = "../common/mod.rs"]
mod common;

mod agree;
mod copies;
mod dnstap;
mod kdig;
mod limits;
mod rules;
mod world;
