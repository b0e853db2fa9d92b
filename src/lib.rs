//! Pharos: an authoritative split-horizon DNS server for container registries.

pub mod answer;
pub mod base;
pub mod config;
pub mod load;
pub mod mirror;
pub mod networks;
pub mod snapshot;
pub mod steer;
pub mod telemetry;
pub mod wire;
pub mod zone;
