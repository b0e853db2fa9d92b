//! The snapshot: everything that answers are made from at one moment, and the changes that fold into it.
//!
//! It has the zones and three parts: the content of the files ([`Compiled`]), the state that is learned or set while serving
//! ([`Live`]), and the data that follows from both ([`Derived`]). A reader holds one `Arc` of it and sees exactly one
//! generation. A change updates [`Live`]; a reload replaces [`Compiled`]; in either case [`Derived`] is made anew, once per
//! publication ([`Next`]).
//!
//! **Invariants**: immutable; parts that did not change are shared with the predecessor; zones name only horizons of the
//! same snapshot.
//! **Not here**: publishing it ([`crate::live`]), building it from files ([`crate::compile`]).

mod addresses;
mod ahead;
mod challenges;
mod compiled;
mod derived;
mod live;
mod meters;
mod next;
mod provenance;
mod regions;
mod service;
mod settings;
mod signed;
mod transfers;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

pub(crate) use addresses::Addresses;
pub(crate) use ahead::Inquiry;
pub use ahead::Way;
pub use compiled::{Compiled, CompiledSteering};
pub(crate) use derived::Derived;
pub use live::Change;
pub(crate) use live::{Live, Overrides};
pub(crate) use meters::{METERS, Meter, Meters};
pub use next::Next;
pub use provenance::ZoneOrigin;
pub(crate) use provenance::{Origin, Provenance};
pub(crate) use regions::{REGION_METERS, RegionMeter, Regions};
pub(crate) use service::{HTTPS_PORT, Hints, Service, ServiceRecord};
pub(crate) use settings::CookieSecret;
pub use settings::{ChaosText, CookieSecrets, RateLimit, ServerIdentity, Settings, TapKinds, TapTerms};
pub(crate) use signed::{SignedOwner, SignedSet, TailoredSigning};
pub use transfers::{Party, Policy, SteeredExport, Transfers};

use ahead::{FarHorizons, NEAR};

use crate::base::client::Client;
use crate::base::ids::{HorizonId, MirrorId, PlanId, ServiceId};
use crate::base::name::NameBuf;
use crate::base::prefix::Family;
use crate::base::time::Generation;
use crate::challenge::ChallengeStore;
use crate::mirror::{Health, Mirror, Override, Standing};
use crate::steer::{self, Choice, Decision, Horizon, Tier};
use crate::zone::{ZoneOverlays, ZoneSet};

/// The state that is served.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The number of this snapshot.
    pub generation: Generation,
    compiled: Compiled,
    /// The mirrors of [`Compiled`] by name.
    ids: Arc<HashMap<Arc<str>, MirrorId>>,
    live: Arc<Live>,
    zones: Arc<ZoneSet>,
    /// The dynamic records that are folded into the zones.
    overlays: Arc<ZoneOverlays>,
    derived: Derived,
    /// The signed answers of steered owners, by zone and node.
    signed: Arc<[SignedOwner]>,
    /// The size in bytes above which a table is far: it does not fit the caches of a core.
    near: usize,
    /// The horizons with far tables.
    far_horizons: FarHorizons,
    meters: Meters,
    regions: Regions,
}

/// Making one, and changing it.
impl Snapshot {
    /// Puts compiled parts together, all mirrors up.
    pub fn new(generation: Generation, zones: ZoneSet, compiled: Compiled) -> Self {
        let ids = (0..).zip(&*compiled.mirrors).map(|(at, mirror)| (mirror.name.clone(), MirrorId(at))).collect();
        let live = Live::default();
        let snapshot = Snapshot {
            generation,
            ids: Arc::new(ids),
            zones: Arc::new(zones),
            overlays: Arc::default(),
            derived: Derived::from(&compiled, &live, compiled.mirrors.clone()),
            live: Arc::new(live),
            signed: Arc::default(),
            near: NEAR,
            far_horizons: FarHorizons::among(&compiled.horizons, NEAR),
            meters: Meters::new(&compiled.mirrors),
            regions: Regions::new(compiled.regions.clone()),
            compiled,
        };
        snapshot.overlay()
    }

    /// The same snapshot, with this health for addresses that mirrors get from now on: up, or untried if probes run.
    pub(crate) fn with_fresh(mut self, fresh: Health) -> Self {
        Arc::make_mut(&mut self.live).fresh = fresh;
        self
    }

    /// The same with other settings.
    pub fn with_settings(mut self, settings: Settings) -> Self {
        self.compiled.settings = Arc::new(settings);
        self
    }

    /// The same with other zones that may be transferred.
    pub fn with_transfers(mut self, transfers: Transfers) -> Self {
        self.compiled.transfers = Arc::new(transfers);
        self
    }

    /// The same, with these overrides instead of those in force.
    pub(crate) fn with_overrides(mut self, overrides: Overrides) -> Self {
        Arc::make_mut(&mut self.live).overrides = overrides;
        self.derive()
    }

    /// The same snapshot, with the standings that `known` gives; a mirror without one is up. Overrides stay.
    pub fn with_standings(mut self, known: impl FnMut(&Mirror) -> Option<Standing>) -> Self {
        Arc::make_mut(&mut self.live).set_standings(&self.derived.mirrors, known);
        self.derive()
    }

    /// The same snapshot with other content of sources.
    pub(crate) fn with_steering(mut self, steering: &CompiledSteering) -> Self {
        self.steer(steering);
        self.derive()
    }

    fn steer(&mut self, steering: &CompiledSteering) {
        self.compiled.horizons = steering.horizons.clone();
        self.compiled.provenance = steering.provenance.clone();
        self.compiled.regions = steering.regions.clone();
        self.regions = self.regions.following(steering.regions.clone());
        self.far_horizons = FarHorizons::among(&self.compiled.horizons, self.near);
    }

    /// The same, with these tokens of ACME challenges.
    pub(crate) fn with_tokens(mut self, tokens: Arc<ChallengeStore>) -> Self {
        Arc::make_mut(&mut self.live).tokens = tokens;
        self.overlay()
    }

    /// Folds the dynamic records of now into the zones whose records differ.
    fn overlay(mut self) -> Self {
        let now = self.overlays_now();
        let differing = now.differing(&self.overlays);
        if !differing.is_empty() {
            self.zones = Arc::new(self.zones.with_overlays(differing.iter().map(NameBuf::as_name), &now));
            self.overlays = Arc::new(now);
        }
        self
    }

    fn derive(mut self) -> Self {
        self.derived = Derived::from(&self.compiled, &self.live, self.derived.mirrors);
        self
    }

    /// The successor with this change.
    pub fn after(&self, change: &Change) -> Self {
        let mut next = Next::of(self);
        next.apply(change);
        next.derive()
    }
}

/// Reading it.
impl Snapshot {
    /// The zones.
    #[inline]
    pub fn zones(&self) -> &ZoneSet {
        &self.zones
    }

    /// The horizons; [`HorizonId`] is an index.
    #[inline]
    pub fn horizons(&self) -> &[Horizon] {
        &self.compiled.horizons
    }

    /// The mirrors with their current addresses; [`MirrorId`] is an index.
    #[inline]
    pub fn mirrors(&self) -> &Arc<[Mirror]> {
        &self.derived.mirrors
    }

    /// The mirror of a name.
    pub fn mirror(&self, name: &str) -> Option<MirrorId> {
        self.ids.get(name).copied()
    }

    /// The settings for queries.
    #[inline]
    pub fn settings(&self) -> &Settings {
        &self.compiled.settings
    }

    /// The parties that may transfer zones.
    #[inline]
    pub fn transfers(&self) -> &Transfers {
        &self.compiled.transfers
    }

    /// The places where everything was written, for `explain`.
    pub(crate) fn provenance(&self) -> &Provenance {
        &self.compiled.provenance
    }

    /// The places of mirrors in tables of counters.
    #[inline]
    pub(crate) fn meters(&self) -> &Meters {
        &self.meters
    }

    /// The regions of clients, with their places in tables of counters.
    #[inline]
    pub(crate) fn regions(&self) -> &Regions {
        &self.regions
    }

    /// The origins of the zones, in the order of their ids.
    pub(crate) fn zone_origins(&self) -> &[ZoneOrigin] {
        &self.compiled.zones
    }

    /// The standing of a mirror.
    pub(crate) fn standing(&self, mirror: MirrorId) -> &Standing {
        &self.derived.standings[mirror.index()]
    }

    /// The overrides in force, by the mirror's name.
    pub(crate) fn overrides(&self) -> &Overrides {
        &self.live.overrides
    }

    /// The override in force for a mirror.
    pub(crate) fn override_of(&self, mirror: MirrorId) -> Option<&Override> {
        self.live.overrides.get(&self.compiled.mirrors[mirror.index()].name)
    }

    /// The memory areas that grow with networks and zones.
    pub(crate) fn areas(&self) -> impl Iterator<Item = Range<*const u8>> {
        let tables = self
            .compiled
            .horizons
            .iter()
            .flat_map(|horizon| horizon.v4().areas().into_iter().chain(horizon.v6().areas()));
        tables.chain(self.zones.iter().flat_map(|(_, zone)| zone.areas()))
    }

    /// Decides for a client.
    #[inline]
    pub fn decide(&self, horizon: HorizonId, client: &Client) -> Decision {
        self.decide_from(horizon, client, None)
    }

    /// As [`Snapshot::decide`], but goes on from the node that a prefetch of this snapshot has reached for the query.
    #[inline]
    pub(crate) fn decide_from(&self, horizon: HorizonId, client: &Client, way: Option<&Way>) -> Decision {
        let ahead = way.and_then(|way| way.in_horizon(horizon));
        steer::decide(&self.compiled.horizons[horizon.index()], client, ahead)
    }

    /// The plan of a client that meets no rule and of which nothing is known.
    pub(crate) fn default_plan(&self, horizon: HorizonId) -> PlanId {
        self.compiled.horizons[horizon.index()].default_plan()
    }

    /// The current addresses of a plan.
    #[inline]
    pub fn addresses(&self, horizon: HorizonId, plan: PlanId, family: Family) -> &Addresses {
        &self.derived.answers[horizon.index()][plan.index()][family as usize]
    }

    /// The current mirrors of a plan for a redirect: a redirect-only mirror that is up, else those of the answer.
    pub(crate) fn redirects(&self, horizon: HorizonId, plan: PlanId, family: Family) -> &Choice {
        match &self.derived.redirects[horizon.index()] {
            Some(of_plans) => &of_plans[plan.index()][family as usize],
            None => &self.addresses(horizon, plan, family).choice,
        }
    }

    /// The health of a redirect-only mirror; `None` if its host is not resolved.
    pub(crate) fn redirect_health(&self, mirror: MirrorId) -> Option<Health> {
        self.standing(mirror).for_redirects(self.live.fresh).health(Family::V4)
    }

    /// True if a mirror has an address that is up.
    pub(crate) fn is_up(&self, mirror: MirrorId) -> bool {
        if self.mirrors()[mirror.index()].is_redirect_only() {
            return self.redirect_health(mirror) == Some(Health::Up);
        }
        Family::ALL.into_iter().any(|family| self.standing(mirror).health(family) == Some(Health::Up))
    }

    /// The number of mirrors that are up.
    pub(crate) fn mirrors_up(&self) -> usize {
        (0..self.mirrors().len()).filter(|at| self.is_up(MirrorId::from_index(*at))).count()
    }

    /// The place of the counter for an answer from a plan: that of its first mirror; `None` if it has no mirror.
    #[inline]
    pub(crate) fn meter(&self, horizon: HorizonId, plan: PlanId, family: Family) -> Option<Meter> {
        let choice = &self.addresses(horizon, plan, family).choice;
        self.meters.meter(choice.mirrors.first()?.index(), choice.tier)
    }

    /// The horizons in panic ([`Tier::Panic`]) for some plan, each with the family, in their order.
    pub(crate) fn panics(&self) -> impl Iterator<Item = (&Horizon, Family)> {
        self.compiled.horizons.iter().zip(self.plans()).flat_map(|(horizon, plans)| {
            let is_panic = |family: &Family| plans.iter().any(|plan| plan[*family as usize].choice.tier == Tier::Panic);
            Family::ALL.into_iter().filter(is_panic).map(move |family| (horizon, family)).collect::<Vec<_>>()
        })
    }

    /// For each horizon, for each plan, the addresses of both families.
    pub(crate) fn plans(&self) -> impl Iterator<Item = &[[Addresses; 2]]> {
        self.derived.answers.iter().map(|plans| &**plans)
    }

    /// The HTTPS record of a steered owner, without its hints.
    #[inline]
    pub(crate) fn service(&self, id: ServiceId) -> &Service {
        &self.compiled.services[id.index()]
    }

    /// The current HTTPS record of a steered owner for a plan.
    #[inline]
    pub(crate) fn service_record(&self, id: ServiceId, plan: PlanId) -> &ServiceRecord {
        &self.derived.service_records[id.index()][plan.index()]
    }
}

#[cfg(test)]
mod tests;
