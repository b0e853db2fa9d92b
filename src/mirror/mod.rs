//! Mirrors: the places that serve blobs, and what is known of their health.
//!
//! **Invariants**: addresses are distinct; a mirror has an address or a host name.
//! **Not here**: probing, choosing ([`crate::steer`]).

mod health;
mod order;

pub use health::{Health, Thresholds, Track, VERDICTS, Verdict};
pub use order::{BadReason, Forced, MAX_REASON_LEN, Order, Reason};

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

/// How a mirror stands: what probes say of each address, and what an operator says of all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Of each IPv4 address, in the mirror's order.
    pub v4: Vec<AddressStanding>,
    /// Of each IPv6 address, in the mirror's order.
    pub v6: Vec<AddressStanding>,
    /// What an operator has ordered; it wins over probes.
    pub forced: Option<Forced>,
}

/// How one address stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddressStanding {
    /// Whether it may be steered to.
    pub health: Health,
    /// How soon that may change, in seconds; none where nothing watches it.
    pub stable_secs: Option<u32>,
}

impl Standing {
    /// That of a mirror which nothing is known of: all of it up.
    pub fn unknown(mirror: &Mirror) -> Self {
        Standing::all(mirror, Health::Up)
    }

    /// That of a mirror all of whose addresses have one health.
    pub fn all(mirror: &Mirror, health: Health) -> Self {
        let all = |count: usize| vec![AddressStanding { health, stable_secs: None }; count];
        Standing { v4: all(mirror.v4.len()), v6: all(mirror.v6.len()), forced: None }
    }

    /// The addresses of a family.
    pub fn family(&self, family: Family) -> &[AddressStanding] {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    /// The health of the mirror over a family: that of its best address; none without one.
    pub fn health(&self, family: Family) -> Option<Health> {
        let best = self.family(family).iter().map(|address| address.health).min()?;
        Some(match self.forced {
            None => best,
            Some(Forced::Up) => Health::Up,
            Some(Forced::Down) => Health::Bad,
            Some(Forced::Drain) => Health::Drained.max(best),
        })
    }

    /// Whether the address of this index is given when the mirror is: none that is worse than its best.
    pub fn gives(&self, family: Family, index: usize) -> bool {
        let all = self.family(family);
        let best = all.iter().map(|address| address.health).min();
        self.forced == Some(Forced::Up) || all.get(index).map(|address| address.health) == best
    }
}
