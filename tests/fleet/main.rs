//! Several real servers that share overrides, verdicts and sources: over a folder, an S3 API and etcd, with every part cut off at times.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod clocks;
#[path = "../common/mod.rs"]
mod common;
mod documents;
mod losses;
#[path = "../mirrors/world.rs"]
#[allow(dead_code, reason = "the tests of probes use the rest of it")]
mod mirrors;
mod networks;
#[path = "../refresh/origin.rs"]
#[allow(dead_code, reason = "the tests of fetches use the rest of it")]
mod origin;
mod paths;
mod rollout;
#[path = "../stores/servers.rs"]
#[allow(dead_code, reason = "the tests of stores use the rest of it")]
mod servers;
mod sources;
mod spreading;
mod stores;
mod verdicts;
mod world;
