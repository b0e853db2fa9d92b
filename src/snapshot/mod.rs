//! The snapshot: everything that answers are made from, as of one moment, and how changes fold into it.
//!
//! In come compiled zones, horizons and mirrors; a reader holds one `Arc` of it and sees exactly one generation. A
//! change makes a new snapshot that shares what did not change.
//!
//! **Invariants**: immutable; for each plan and family the records to answer with are encoded ahead, so a query copies
//! them; zones name only horizons that are here.
//! **Not here**: publishing it ([`crate::live`]), building it from files ([`crate::compile`]).

mod provenance;
mod settings;

use std::sync::Arc;

pub use provenance::{Origin, Provenance};
pub use settings::{ChaosText, CookieSecret, CookieSecrets, Identity, RateLimit, Settings};

use crate::base::client::Client;
use crate::base::ids::{HorizonId, MirrorId, PlanId};
use crate::base::prefix::{FAMILIES, Family};
use crate::base::rr::Rtype;
use crate::base::time::{Generation, Moment, Ttl};
use crate::mirror::{Health, Mirror};
use crate::steer::{self, Choice, Decision, Horizon};
use crate::zone::{self, RrSet, ZoneSet};

/// The state that is served.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Which one this is.
    pub generation: Generation,
    /// The zones.
    pub zones: Arc<ZoneSet>,
    /// The horizons; [`HorizonId`] is an index.
    pub horizons: Arc<[Horizon]>,
    /// The mirrors; [`MirrorId`] is an index.
    pub mirrors: Arc<[Mirror]>,
    /// The health of each mirror.
    health: Arc<[Health]>,
    /// For each horizon, for each plan, the records of A and AAAA.
    answers: Arc<[Box<[[Addresses; 2]]>]>,
    /// How queries are to be treated.
    pub settings: Arc<Settings>,
    /// Where everything was written, for `explain`.
    pub provenance: Arc<Provenance>,
}

/// The addresses to answer with, encoded.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// The mirrors and why they.
    pub choice: Choice,
    wire: Box<[u8]>,
    count: u16,
}

/// Something that happened to the served state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A mirror's health is now this.
    Health(MirrorId, Health),
}

impl Snapshot {
    /// Puts compiled parts together, all mirrors up.
    pub fn new(
        generation: Generation,
        zones: Arc<ZoneSet>,
        horizons: Arc<[Horizon]>,
        mirrors: Arc<[Mirror]>,
        settings: Arc<Settings>,
        provenance: Arc<Provenance>,
    ) -> Self {
        let health: Arc<[Health]> = mirrors.iter().map(|_| Health::default()).collect();
        let answers = answers(&horizons, &mirrors, &health);
        Snapshot { generation, zones, horizons, mirrors, health, answers, settings, provenance }
    }

    /// Decides for a client.
    #[inline]
    pub fn decide(&self, horizon: HorizonId, client: &Client) -> Decision {
        steer::decide(&self.horizons[horizon.index()], client)
    }

    /// The addresses of a plan now.
    #[inline]
    pub fn addresses(&self, horizon: HorizonId, plan: PlanId, family: Family) -> &Addresses {
        &self.answers[horizon.index()][plan.index()][family as usize]
    }

    /// The health of a mirror.
    pub fn health(&self, mirror: MirrorId) -> Health {
        self.health[mirror.index()]
    }
}

/// Folds a change into a snapshot.
pub fn apply(snapshot: &Snapshot, change: &Change, _now: Moment) -> Snapshot {
    let mut next = snapshot.clone();
    next.generation = Generation(snapshot.generation.0 + 1);
    match change {
        Change::Health(mirror, health) => {
            let mut all = snapshot.health.to_vec();
            all[mirror.index()] = *health;
            next.health = all.into();
        }
    }
    next.answers = answers(&next.horizons, &next.mirrors, &next.health);
    next
}

impl Addresses {
    /// The RRset, with the TTL to give; none where no mirror of the horizon serves the family.
    #[inline]
    pub fn rrset(&self, family: Family, ttl: Ttl) -> Option<RrSet<'_>> {
        let rtype = match family {
            Family::V4 => Rtype::A,
            Family::V6 => Rtype::AAAA,
        };
        (self.count > 0).then_some(RrSet { rtype, ttl, count: self.count, wire: &self.wire })
    }
}

fn answers(horizons: &[Horizon], mirrors: &[Mirror], health: &[Health]) -> Arc<[Box<[[Addresses; 2]]>]> {
    let of_plan = |plan| FAMILIES.map(|family| encode(steer::choose(plan, family, mirrors, health), family, mirrors));
    horizons.iter().map(|horizon| horizon.plans.iter().map(of_plan).collect()).collect()
}

/// Encodes the addresses of the chosen mirrors in the form of [`RrSet::wire`]; the TTL is written when answering.
fn encode(choice: Choice, family: Family, mirrors: &[Mirror]) -> Addresses {
    let (mut wire, mut count) = (Vec::new(), 0);
    let mut add = |rtype: Rtype, address: &[u8]| {
        let mut record = Vec::new();
        zone::push_record(rtype, Ttl(0), address, &mut record);
        // Two mirrors may share an address; an RRset has each record once (RFC 2181 §5).
        if !wire.chunks(record.len()).any(|known| known == &*record) {
            wire.extend_from_slice(&record);
            count += 1;
        }
    };
    for mirror in choice.mirrors.iter().map(|id| &mirrors[id.index()]) {
        match family {
            Family::V4 => mirror.v4.iter().for_each(|address| add(Rtype::A, &address.octets())),
            Family::V6 => mirror.v6.iter().for_each(|address| add(Rtype::AAAA, &address.octets())),
        }
    }
    Addresses { choice, wire: wire.into(), count }
}
