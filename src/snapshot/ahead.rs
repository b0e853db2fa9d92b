//! Where in memory a query will be answered from, told before it is answered.
//!
//! Of tables that are larger than a core's caches, a query waits for nodes and a line of the range table, or for a slot and
//! a node of a zone, each of which is found by the one before. Whoever has several queries can ask for those of all at once:
//! in come the names and addresses of a batch; out go the places of the first of either chain ([`Snapshot::approach`]), and once
//! those are near, of the next ([`Snapshot::advance`]).
//!
//! The way to an address is gone once: whoever is answered then goes on from where it has come ([`Snapshot::decide_from`]).
//!
//! **Invariants**: a guess decides nothing: a wrong one, as for addresses that are reserved or embed others, costs time alone,
//! for a way counts for the horizon and the address that it leads to, and no other. Tables that the caches hold are not looked at.
//! **Not here**: reading a query ([`crate::wire`]), asking the CPU for memory ([`crate::process`]).

use std::net::IpAddr;

use super::Snapshot;
use crate::base::ids::{HorizonId, ZoneId};
use crate::base::name::{Name, Suffixes, Tail};
use crate::steer::{Descent, Horizon};
use crate::zone::Zone;

/// The octets of tables beyond which they count as far: what a core has of caches to itself, 1 to 2 MiB in servers.
///
/// What several cores share holds more, but takes a tenth of the way to memory, and others fill it.
pub(super) const NEAR: usize = 2 << 20;

/// The octets of a line of the cache. Nodes begin anywhere in one, and a range may end in the line behind its own, so two
/// are asked for.
const LINE: usize = 64;

/// What a guess starts from.
#[derive(Clone, Copy, Debug)]
pub struct Inquiry<'m> {
    /// The name asked for.
    pub name: Name<'m>,
    /// Where its last labels are.
    pub tail: Tail,
    /// The address of the client, or of the resolver where there is no other.
    pub address: IpAddr,
}

/// How far a guess has come, and where it goes on, if it does.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// The hash of the name, in its zone.
    name: Option<(ZoneId, u64)>,
    /// The node on the way to the address, in the table of a horizon.
    address: Option<(HorizonId, IpAddr, Descent)>,
}

impl Way {
    /// That of what is not looked at.
    pub const NONE: Way = Way { name: None, address: None };

    /// Whether there is no further step.
    #[inline]
    pub fn is_over(&self) -> bool {
        self.name.is_none() && matches!(self.address, None | Some((_, _, Descent::Line(_))))
    }

    /// To which address it goes in the table of a horizon, and how far it has come.
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
    /// Those of more than so many octets.
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
    /// The same, with tables counted as far that take more than so many octets.
    pub fn with_near(self, near: usize) -> Self {
        Snapshot { far_horizons: FarHorizons::among(&self.compiled.horizons, near), near, ..self }
    }

    /// Whether there is anything that a query would wait for.
    #[inline]
    pub fn is_far(&self) -> bool {
        self.far_horizons != FarHorizons::None || self.zones.memory() > self.near
    }

    /// Takes the first step: `touch` is told what to ask for. `suffixes` is room to work in.
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

    /// Takes a further step of a way that this snapshot gave.
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
