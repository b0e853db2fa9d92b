//! The status page in a browser: real server, real browser, and the published feeds where addresses matter.
//!
//! The browser is Chromium, over the DevTools protocol; without it the tests are skipped, and counted.

#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(clippy::print_stdout, reason = "the time until all is shown is a measure, and no check")]

mod access;
mod browser;
#[path = "../common/mod.rs"]
mod common;
mod fleet;
mod look;
mod many;
mod overrides;
mod picture;
mod world;
