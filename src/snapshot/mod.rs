//! The snapshot: everything that answers are made from, as of one moment, and how changes fold into it.
//!
//! In come compiled zones, horizons and mirrors; a reader holds one `Arc` of it and sees exactly one generation. A
//! change makes a new snapshot that shares what did not change.
//!
//! **Invariants**: immutable; for each plan and family the records to answer with are encoded ahead, so a query copies
//! them; zones name only horizons that are here.
//! **Not here**: publishing it ([`crate::live`]), building it from files ([`crate::compile`]).

mod ahead;
mod meters;
mod provenance;
mod service;
mod settings;
mod transfers;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

pub use ahead::{Inquiry, Way};
pub use meters::{METERS, Meter, Meters};
pub use provenance::{Origin, Provenance};
pub use service::{HTTPS_PORT, Hints, Service, ServiceRecord};
pub use settings::{ChaosText, CookieSecret, CookieSecrets, Identity, RateLimit, Settings};
pub use transfers::{Party, Policy, SteeredExport, Transfers};

use ahead::{FarHorizons, NEAR};

use crate::base::client::Client;
use crate::base::ids::{HorizonId, MirrorId, PlanId, ServiceId};
use crate::base::prefix::{FAMILIES, Family};
use crate::base::rr::Rtype;
use crate::base::time::{Generation, Moment, Ttl};
use crate::mirror::{AddressStanding, Health, HostAddresses, Mirror, Order, Standing};
use crate::steer::{self, Choice, Decision, Horizon, Plan, Tier};
use crate::zone::{self, DynamicRrSet, RrSet, RrSetKey, Zone, ZoneOverlays, ZoneSet};

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
    /// How each mirror stands.
    standings: Arc<[Standing]>,
    /// The orders that stand, also those about mirrors that the configuration does not have now.
    orders: Arc<Orders>,
    /// The dynamic records of zones, also of zones that the configuration does not have now.
    overlays: Arc<ZoneOverlays>,
    /// What is thought of addresses that mirrors get while we serve.
    fresh: Health,
    /// For each horizon, for each plan, the records of A and AAAA.
    answers: Arc<[Box<[[Addresses; 2]]>]>,
    /// What the HTTPS records of steered owners say; [`ServiceId`] is an index.
    services: Arc<[Service]>,
    /// For each service, for each plan of its horizon, the record.
    service_records: Arc<[Box<[ServiceRecord]>]>,
    /// The octets beyond which a table is far: in no cache of the core.
    near: usize,
    /// The horizons whose tables are.
    far_horizons: FarHorizons,
    /// How queries are to be treated.
    pub settings: Arc<Settings>,
    /// Who may have zones whole.
    pub transfers: Arc<Transfers>,
    /// Where everything was written, for `explain`.
    pub provenance: Arc<Provenance>,
    /// Where mirrors are counted.
    pub meters: Meters,
}

/// Operators' orders by the mirror's name.
pub type Orders = BTreeMap<Arc<str>, Order>;

/// The addresses to answer with, encoded.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// The mirrors and why they.
    pub choice: Choice,
    wire: Box<[u8]>,
    count: u16,
    /// The longest that this may be kept, in seconds: until the health of a mirror that has a say may change.
    max_ttl: Ttl,
}

/// Something that happened to the served state.
#[derive(Clone, Debug)]
pub enum Change {
    /// A mirror, at its addresses, stands like this now. By its name: ids are those of one compilation, and whoever found
    /// this out may know an older one. Of addresses that it has no longer, nothing changes.
    Standing(Mirror, Standing),
    /// A host has these addresses, and so has every mirror that follows it.
    Addresses(Arc<str>, HostAddresses),
    /// An operator has ordered this of the mirror of this name; none: an order was taken back, or has ended.
    Force(Arc<str>, Option<Order>),
    /// A zone has another version.
    Zone(Arc<Zone>),
    /// A zone has this dynamic RRset, or with `None`, has it no longer.
    Dynamic(Box<RrSetKey>, Option<DynamicRrSet>),
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
        let standings: Arc<[Standing]> = mirrors.iter().map(Standing::unknown).collect();
        let answers = answers(&horizons, &mirrors, &standings);
        let meters = Meters::new(&mirrors);
        let far_horizons = FarHorizons::among(&horizons, NEAR);
        Snapshot {
            generation,
            zones,
            horizons,
            mirrors,
            standings,
            orders: Arc::default(),
            overlays: Arc::default(),
            fresh: Health::Up,
            answers,
            services: Arc::default(),
            service_records: Arc::default(),
            near: NEAR,
            far_horizons,
            settings,
            transfers: Arc::default(),
            provenance,
            meters,
        }
    }

    /// The same, thinking this of addresses that mirrors get from now on: up, or untried where somebody looks.
    pub fn with_fresh(self, fresh: Health) -> Self {
        Snapshot { fresh, ..self }
    }

    /// The same, with HTTPS records at steered owners.
    pub fn with_services(mut self, services: Arc<[Service]>) -> Self {
        self.services = services;
        self.encode();
        self
    }

    /// The same, with zones that may be transferred.
    pub fn with_transfers(self, transfers: Arc<Transfers>) -> Self {
        Snapshot { transfers, ..self }
    }

    /// This newly compiled snapshot as the successor of the one that is served: zones keep the memory of their changes,
    /// copies of zones that were fetched meanwhile stay, and mirrors are counted where they were.
    pub fn following(self, served: &Snapshot) -> Self {
        let is_copy = |id| !self.transfers.policy(id).primaries.is_empty();
        let meters = served.meters.following(&self.mirrors);
        let overlays = served.overlays.clone();
        Snapshot { zones: Arc::new(self.zones.following(&served.zones, &overlays, is_copy)), overlays, meters, ..self }
    }

    /// Where what grows with networks and zones is in memory.
    pub fn areas(&self) -> impl Iterator<Item = Range<*const u8>> {
        let tables =
            self.horizons.iter().flat_map(|horizon| horizon.v4().areas().into_iter().chain(horizon.v6().areas()));
        tables.chain(self.zones.iter().flat_map(|(_, zone)| zone.areas()))
    }

    /// Decides for a client.
    #[inline]
    pub fn decide(&self, horizon: HorizonId, client: &Client) -> Decision {
        self.decide_from(horizon, client, None)
    }

    /// As [`Snapshot::decide`], from where the way that this snapshot gave for the query has come.
    #[inline]
    pub fn decide_from(&self, horizon: HorizonId, client: &Client, way: Option<&Way>) -> Decision {
        let ahead = way.and_then(|way| way.in_horizon(horizon));
        steer::decide_from(&self.horizons[horizon.index()], client, ahead)
    }

    /// The plan of clients that meet no rule, where nothing is known of them.
    pub fn default_plan(&self, horizon: HorizonId) -> PlanId {
        self.horizons[horizon.index()].default_plan()
    }

    /// The addresses of a plan now.
    #[inline]
    pub fn addresses(&self, horizon: HorizonId, plan: PlanId, family: Family) -> &Addresses {
        &self.answers[horizon.index()][plan.index()][family as usize]
    }

    /// Where an answer from a plan is counted: by its first mirror; none where there is none.
    #[inline]
    pub fn meter(&self, horizon: HorizonId, plan: PlanId, family: Family) -> Option<Meter> {
        let choice = &self.addresses(horizon, plan, family).choice;
        self.meters.meter(choice.mirrors.first()?.index(), choice.tier)
    }

    /// The horizons in panic ([`Tier::Panic`]) for some plan, each with the family, in their order.
    pub fn panics(&self) -> impl Iterator<Item = (&Horizon, Family)> {
        self.horizons.iter().zip(self.plans()).flat_map(|(horizon, plans)| {
            let is_panic = |family: &Family| plans.iter().any(|plan| plan[*family as usize].choice.tier == Tier::Panic);
            FAMILIES.into_iter().filter(is_panic).map(move |family| (horizon, family)).collect::<Vec<_>>()
        })
    }

    /// For each horizon, for each plan, the addresses of both families.
    pub fn plans(&self) -> impl Iterator<Item = &[[Addresses; 2]]> {
        self.answers.iter().map(|plans| &**plans)
    }

    /// What the HTTPS record of a steered owner says.
    #[inline]
    pub fn service(&self, id: ServiceId) -> &Service {
        &self.services[id.index()]
    }

    /// The HTTPS record of a steered owner for a plan now.
    #[inline]
    pub fn service_record(&self, id: ServiceId, plan: PlanId) -> &ServiceRecord {
        &self.service_records[id.index()][plan.index()]
    }

    /// Encodes the answers from how mirrors stand.
    fn encode(&mut self) {
        self.answers = answers(&self.horizons, &self.mirrors, &self.standings);
        let of_plans = |service: &Service| {
            let plans = self.answers[service.horizon.index()].iter();
            plans.map(|addresses| service.encode(addresses)).collect()
        };
        self.service_records = self.services.iter().map(of_plans).collect();
    }

    /// How a mirror stands.
    pub fn standing(&self, mirror: MirrorId) -> &Standing {
        &self.standings[mirror.index()]
    }

    /// The orders that stand, by the mirror's name.
    pub fn orders(&self) -> &Orders {
        &self.orders
    }

    /// The order that stands for a mirror.
    pub fn order(&self, mirror: MirrorId) -> Option<&Order> {
        self.orders.get(&self.mirrors[mirror.index()].name)
    }

    /// The same, with these orders instead of those that stood.
    pub fn with_orders(mut self, orders: Orders) -> Self {
        self.orders = Arc::new(orders);
        let standings = self.standings.clone();
        let mut at = standings.iter();
        self.with_standings(|_| at.next().cloned())
    }

    /// The same, with mirrors standing as `known` says; those it does not know are up. Orders stay.
    ///
    /// A newly compiled snapshot takes over what has been found out, before it is published.
    pub fn with_standings(mut self, mut known: impl FnMut(&Mirror) -> Option<Standing>) -> Self {
        let mut of = |mirror: &Mirror| {
            let standing = known(mirror).filter(|standing| fits(standing, mirror));
            let forced = self.orders.get(&mirror.name).map(|order| order.forced);
            Standing { forced, ..standing.unwrap_or_else(|| Standing::unknown(mirror)) }
        };
        self.standings = self.mirrors.iter().map(&mut of).collect();
        self.encode();
        self
    }

    /// The same, with the orders of `before`, and with what is known of mirrors that it has as well, and of their hosts since
    /// this was compiled.
    pub fn taking_over(mut self, before: &Snapshot) -> Self {
        self.orders = before.orders.clone();
        self.fresh = before.fresh;
        let known = |mirror: &Mirror| before.mirrors.iter().position(|known| known.name == mirror.name);
        let newest = |mirror: &Mirror| {
            let served = known(mirror).map(|at| &before.mirrors[at]);
            let same_host =
                |served: &&Mirror| served.followed_host().is_some_and(|host| mirror.followed_host() == Some(host));
            match served.filter(same_host).and_then(Mirror::host_addresses) {
                Some(served) if mirror.host_addresses().is_some_and(|compiled| served.at >= compiled.at) => {
                    mirror.at(&served)
                }
                _ => mirror.clone(),
            }
        };
        self.mirrors = self.mirrors.iter().map(newest).collect();
        let fresh = fresh(self.fresh);
        self.with_standings(|mirror| {
            Some(match known(mirror) {
                Some(at) => before.standings[at].moved(&before.mirrors[at], mirror, fresh),
                None => Standing::new(mirror, fresh),
            })
        })
    }
}

/// How an address stands that a mirror has just got. Where somebody looks, that soon changes.
fn fresh(health: Health) -> AddressStanding {
    AddressStanding { health, stable_secs: (health != Health::Up).then_some(1) }
}

/// Folds a change into a snapshot.
pub fn apply(snapshot: &Snapshot, change: &Change, _now: Moment) -> Snapshot {
    let mut next = snapshot.clone();
    next.generation = Generation(snapshot.generation.0 + 1);
    let named = |name: &Arc<str>| snapshot.mirrors.iter().position(|mirror| mirror.name == *name);
    let mut standings = snapshot.standings.to_vec();
    match change {
        Change::Zone(zone) => {
            next.zones = Arc::new(snapshot.zones.with(zone.clone(), &snapshot.overlays));
            return next;
        }
        Change::Dynamic(key, set) => {
            let overlays = Arc::make_mut(&mut next.overlays);
            overlays.set((**key).clone(), set.clone());
            next.zones = Arc::new(snapshot.zones.with_overlay(key.zone(), overlays));
            return next;
        }
        Change::Standing(mirror, standing) => {
            let Some(at) = named(&mirror.name) else { return next };
            standings[at] = standings[at].updated(&snapshot.mirrors[at], mirror, standing);
        }
        Change::Force(name, order) => {
            let orders = Arc::make_mut(&mut next.orders);
            match order {
                Some(order) => orders.insert(name.clone(), order.clone()),
                None => orders.remove(name),
            };
            let Some(at) = named(name) else { return next };
            standings[at].forced = order.as_ref().map(|order| order.forced);
        }
        Change::Addresses(host, addresses) => {
            let mut mirrors = snapshot.mirrors.to_vec();
            let following = mirrors.iter_mut().zip(&mut standings);
            for (mirror, standing) in following.filter(|(mirror, _)| mirror.followed_host() == Some(host)) {
                let moved = mirror.at(addresses);
                *standing = standing.moved(mirror, &moved, fresh(snapshot.fresh));
                *mirror = moved;
            }
            next.mirrors = mirrors.into();
        }
    }
    next.standings = standings.into();
    next.encode();
    next
}

/// Whether a standing is about the addresses that a mirror has.
fn fits(standing: &Standing, mirror: &Mirror) -> bool {
    standing.v4.len() == mirror.v4.len() && standing.v6.len() == mirror.v6.len()
}

impl Addresses {
    /// The RRset, with the TTL to give; none where no mirror of the horizon serves the family.
    #[inline]
    pub fn rrset(&self, family: Family, ttl: Ttl) -> Option<RrSet<'_>> {
        let rtype = Rtype::of_addresses(family);
        (self.count > 0).then_some(RrSet { rtype, ttl: ttl.min(self.max_ttl), count: self.count, wire: &self.wire })
    }
}

fn answers(horizons: &[Horizon], mirrors: &[Mirror], standings: &[Standing]) -> Arc<[Box<[[Addresses; 2]]>]> {
    let of_plan = |horizon: &Horizon, plan: &Plan| {
        FAMILIES.map(|family| {
            let choice = steer::choose(horizon, plan, family, standings);
            let max_ttl = max_ttl(horizon, plan, &choice, family, mirrors, standings);
            encode(choice, max_ttl, family, mirrors, standings)
        })
    };
    let of_horizon = |horizon: &Horizon| horizon.plans().iter().map(|plan| of_plan(horizon, plan)).collect();
    horizons.iter().map(of_horizon).collect()
}

/// How long a choice holds at least: until one of its mirrors may go down, or one come back that would be given before or
/// beside them. Where none of them is up, the health of every mirror of the horizon has a say.
fn max_ttl(
    horizon: &Horizon,
    plan: &Plan,
    choice: &Choice,
    family: Family,
    mirrors: &[Mirror],
    standings: &[Standing],
) -> Ttl {
    // Nor longer than the addresses of a host may be kept.
    let kept = choice.mirrors.iter().filter_map(|id| Some(mirrors[id.index()].max_ttl()?.0));
    let of_plan = matches!(choice.tier, Tier::Preferred | Tier::Fallback | Tier::Default);
    let is_up = |id: &MirrorId| standings[id.index()].health(family) == Some(Health::Up);
    let watched: Vec<MirrorId> = match of_plan && choice.mirrors.iter().all(is_up) {
        // Probes neither bring up nor take down what is forced.
        true => say_while_up(horizon, plan, choice).filter(|id| standings[id.index()].forced.is_none()).collect(),
        false => horizon.mirrors().collect(),
    };
    let stable = watched.iter().flat_map(|id| standings[id.index()].family(family));
    let stable = stable.filter_map(|address| address.stable_secs);
    // Not 0: that would have every client ask again at once, just when something fails.
    Ttl(stable.chain(kept).min().unwrap_or(Ttl::MAX.0).max(1))
}

/// The mirrors of a plan that have a say while those that it gives are up.
fn say_while_up(horizon: &Horizon, plan: &Plan, choice: &Choice) -> impl Iterator<Item = MirrorId> {
    let most = usize::from(horizon.answer_mirrors.get());
    // Without room for another, nobody behind the last one matters; with room, the rest of its tier does.
    let rest_of_tier = match choice.tier {
        _ if choice.mirrors.len() >= most => 0,
        Tier::Preferred => plan.preferred.len(),
        Tier::Fallback => plan.preferred.len() + plan.fallback.len(),
        _ => usize::MAX,
    };
    let chosen_last = choice.mirrors.last().copied();
    let up_to_it = plan.mirrors().position(|id| Some(id) == chosen_last).map_or(0, |at| at + 1);
    plan.mirrors().take(up_to_it.max(rest_of_tier))
}

/// Encodes the addresses of the chosen mirrors in the form of [`RrSet::wire`]; the TTL is written when answering.
fn encode(choice: Choice, max_ttl: Ttl, family: Family, mirrors: &[Mirror], standings: &[Standing]) -> Addresses {
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
    for id in &choice.mirrors {
        let (mirror, standing) = (&mirrors[id.index()], &standings[id.index()]);
        let gives = |index: &usize| standing.gives(family, *index);
        match family {
            Family::V4 => (0..mirror.v4.len()).filter(gives).for_each(|at| add(Rtype::A, &mirror.v4[at].octets())),
            Family::V6 => (0..mirror.v6.len()).filter(gives).for_each(|at| add(Rtype::AAAA, &mirror.v6[at].octets())),
        }
    }
    Addresses { choice, wire: wire.into(), count, max_ttl }
}

#[cfg(test)]
mod tests;
