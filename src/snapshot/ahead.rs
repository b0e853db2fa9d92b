//! Hints for prefetching: the places in memory that a query will be answered from, given before it is answered.
//!
//! If tables are larger than a core's caches, a query waits for nodes and a line of the range table, and for a slot and a
//! node of a zone. Each place is known only after the one before it is read. A caller with a batch of queries prefetches the
//! places of all of them at once: for each name and address, [`Snapshot::approach`] gives the first place of both chains.
//! Once those are in the cache, [`Snapshot::advance`] gives the next.
//!
//! The path to an address is walked once: [`Snapshot::decide_from`] goes on from the node that the prefetch has reached. A hint
//! alone would be simpler, but with 1 M prefixes a second walk takes 6 % more instructions per query (`benches/README.md`).
//!
//! **Invariants**: a hint decides nothing. A wrong hint, for example for a reserved address or one that embeds another,
//! costs only time, because a hint counts only for its own horizon and address. Tables that fit the caches are skipped.
//! **Not here**: reading a query ([`crate::wire`]), asking the CPU for memory ([`crate::process`]).

use std::net::IpAddr;

use super::Snapshot;
use crate::base::ids::{HorizonId, ZoneId};
use crate::base::name::{Name, Suffixes, Tail};
use crate::steer::{Descent, Horizon};
use crate::zone::Zone;

/// The size in bytes above which tables count as far: the caches that a core has to itself, 1 to 2 MiB in servers.
///
/// Shared caches hold more and need a tenth of memory's time, but other cores fill them.
pub(super) const NEAR: usize = 2 << 20;

/// The bytes of a cache line. Nodes begin anywhere in a line, and a range may end in the next line, so two lines are
/// prefetched.
const LINE: usize = 64;

/// The name and the address that a prefetch starts from.
#[derive(Clone, Copy, Debug)]
pub struct Inquiry<'m> {
    /// The name asked for.
    pub name: Name<'m>,
    /// The position of its last labels.
    pub(crate) tail: Tail,
    /// The address of the client, or of the resolver if the client's is unknown.
    pub address: IpAddr,
}

/// The progress of a prefetch: the next step for the name, and for the address.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// The hash of the name, in its zone.
    name: Option<(ZoneId, u64)>,
    /// The node on the way to the address, in the table of a horizon.
    address: Option<(HorizonId, IpAddr, Descent)>,
}

impl Way {
    /// A prefetch without steps.
    pub(crate) const NONE: Way = Way { name: None, address: None };

    /// Returns whether there is no further step.
    #[inline]
    pub fn is_over(&self) -> bool {
        self.name.is_none() && matches!(self.address, None | Some((_, _, Descent::Line(_))))
    }

    /// The address in the table of a horizon, and the progress towards it; `None` for another horizon.
    #[inline]
    pub(super) fn in_horizon(&self, horizon: HorizonId) -> Option<(IpAddr, Descent)> {
        self.address.filter(|(of, ..)| *of == horizon).map(|(_, address, descent)| (address, descent))
    }
}

/// Horizons whose tables are far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FarHorizons {
    None,
    /// One, so that the name need not be read to know which.
    One(HorizonId),
    /// Several: the zone has to say which.
    Several,
}

impl FarHorizons {
    /// The horizons whose tables take more than `near` bytes.
    pub(super) fn among(horizons: &[Horizon], near: usize) -> Self {
        let is_far = |horizon: &Horizon| horizon.v4().memory() + horizon.v6().memory() > near;
        let mut far = (0..horizons.len()).filter(|at| is_far(&horizons[*at]));
        match (far.next(), far.next()) {
            (None, _) => FarHorizons::None,
            (Some(one), None) => FarHorizons::One(HorizonId::from_index(one)),
            _ => FarHorizons::Several,
        }
    }
}

impl Snapshot {
    /// The same snapshot, in which tables of more than `near` bytes count as far.
    pub fn with_near(self, near: usize) -> Self {
        Snapshot { far_horizons: FarHorizons::among(&self.compiled.horizons, near), near, ..self }
    }

    /// Returns whether some table is far, so that queries would wait for memory.
    #[inline]
    pub(crate) fn is_far(&self) -> bool {
        self.far_horizons != FarHorizons::None || self.zones.memory() > self.near
    }

    /// Takes the first step: calls `touch` with each place to prefetch. `suffixes` is scratch space.
    #[inline]
    pub fn approach(&self, inquiry: &Inquiry<'_>, suffixes: &mut Suffixes, touch: &mut impl FnMut(*const u8)) -> Way {
        let are_zones_far = self.zones.memory() > self.near;
        let zone = if are_zones_far || self.far_horizons == FarHorizons::Several {
            suffixes.fill_tail(inquiry.name, inquiry.tail);
            self.zones.reach(inquiry.name, suffixes);
            self.zones.find(inquiry.name, suffixes)
        } else {
            None
        };
        let name = zone.filter(|_| are_zones_far).map(|(id, zone)| {
            zone.reach(inquiry.name, suffixes);
            let (hash, slot) = zone.approach(suffixes);
            touch(slot);
            (id, hash)
        });
        let horizon = match self.far_horizons {
            FarHorizons::None => None,
            FarHorizons::One(horizon) => Some(horizon),
            FarHorizons::Several => zone.and_then(|(_, zone)| Zone::first_horizon(zone)),
        };
        let address = horizon.map(|horizon| {
            let (descent, place) = self.compiled.horizons[horizon.index()].approach(inquiry.address);
            touch(place);
            (horizon, inquiry.address, descent)
        });
        Way { name, address }
    }

    /// Takes a further step of a prefetch that this snapshot began.
    #[inline]
    pub fn advance(&self, way: &mut Way, touch: &mut impl FnMut(*const u8)) {
        if let Some((zone, hash)) = way.name.take()
            && let Some(node) = self.zones.zone(zone).arrive(hash)
        {
            touch(node);
            touch(node.wrapping_add(LINE));
        }
        if let Some((horizon, address, descent @ Descent::Node { .. })) = &mut way.address {
            let place;
            (*descent, place) = self.compiled.horizons[horizon.index()].advance(*address, *descent);
            touch(place);
            if let Descent::Line(_) = descent {
                touch(place.wrapping_add(LINE));
            }
        }
    }
}
