//! Mirrors: the places that serve blobs, and what is known of their health.
//!
//! **Invariants**: addresses are distinct; a mirror has an address or a host name.
//! **Not here**: probing ([`crate::probe`] in later layers), choosing ([`crate::steer`]).

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::base::prefix::Family;

/// One place that serves blobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// The key in the config's `[mirrors]`.
    pub name: Arc<str>,
    /// The host name, where it has one of its own: for redirects straight to it.
    pub host: Option<Arc<str>>,
    /// Where it is reached over IPv4.
    pub v4: Vec<Ipv4Addr>,
    /// Where it is reached over IPv6.
    pub v6: Vec<Ipv6Addr>,
}

impl Mirror {
    /// Whether it can be reached over a family at all.
    pub fn serves(&self, family: Family) -> bool {
        match family {
            Family::V4 => !self.v4.is_empty(),
            Family::V6 => !self.v6.is_empty(),
        }
    }
}

/// Whether a mirror may be steered to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Health {
    /// It may.
    #[default]
    Up,
    /// It does not answer; it is steered to only when nothing else is left.
    Down,
    /// What it answers is wrong (certificate or content); it is never steered to.
    Bad,
}
