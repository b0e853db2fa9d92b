//! The parts that several test binaries share: the fixture, queries from text, responses to text, servers.

#![allow(dead_code, reason = "each test binary uses its own part of this")]
#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected is to fail")]
#![allow(unreachable_pub, reason = "a module of test binaries has nobody outside to reach it")]

pub mod cases;
pub mod churn;
pub mod commands;
pub mod diff;
pub mod expected;
pub mod feeds;
pub mod fixture;
pub mod generate;
pub mod hickory;
pub mod mmdb;
pub mod mutate;
pub mod nameserver;
pub mod needs;
pub mod peers;
pub mod pipeline;
pub mod ports;
pub mod query;
pub mod sections;
pub mod server;
pub mod show;
