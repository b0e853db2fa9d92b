//! Data that follows from [`Compiled`] and [`Live`]: mirrors with their current addresses, and encoded answers.
//!
//! **Invariants**: made once per publication, in time that grows with mirrors and plans, not with their product; for each
//! plan and family the records of the answer are encoded ahead, so a query copies them.
//! **Not here**: the mirrors that a plan gives ([`steer::choose`]), HTTPS records ([`super::Service`]).

use std::sync::Arc;

use super::{Compiled, Live, ServiceRecord};
use crate::base::ids::MirrorId;
use crate::base::prefix::{FAMILIES, Family};
use crate::base::rr::Rtype;
use crate::base::time::Ttl;
use crate::mirror::{AddressStanding, Health, Mirror, Standing};
use crate::steer::{self, Choice, Horizon, Overview, Plan, Tier};
use crate::zone::{self, RrSet};

/// The derived part of a snapshot: answers are copied from it.
#[derive(Clone, Debug)]
pub(crate) struct Derived {
    /// The mirrors with their current addresses.
    pub(super) mirrors: Arc<[Mirror]>,
    /// The standing of each mirror.
    pub(super) standings: Arc<[Standing]>,
    /// For each horizon, for each plan, the records of A and AAAA.
    pub(super) answers: Arc<[Box<[[Addresses; 2]]>]>,
    /// For each horizon with a redirect-only mirror, for each plan, the mirrors of redirects by family of the client. `None`
    /// if the horizon has none: redirects then follow the answers.
    pub(super) redirects: Arc<[Option<PlanRedirects>]>,
    /// For each service, for each plan of its horizon, the record.
    pub(super) service_records: Arc<[Box<[ServiceRecord]>]>,
}

impl Derived {
    /// Derives everything; `mirrors` are those of [`Compiled`] with their current addresses.
    pub(super) fn from(compiled: &Compiled, live: &Live, mirrors: Arc<[Mirror]>) -> Self {
        let standings: Arc<[Standing]> = mirrors.iter().map(|mirror| live.standing(mirror)).collect();
        let redirect_only = |at: usize| mirrors[at].is_redirect_only();
        // DNS cannot lead to a redirect-only mirror, so for an answer it has no address.
        let for_answers: Arc<[Standing]> = if (0..mirrors.len()).any(redirect_only) {
            let of = |at| if redirect_only(at) { Standing::default() } else { standings[at].clone() };
            (0..mirrors.len()).map(of).collect()
        } else {
            standings.clone()
        };
        let of_horizon = |horizon: &Horizon| AnswerGround::of(horizon, &mirrors, &for_answers).encode();
        let answers: Arc<[_]> = compiled.horizons.iter().map(of_horizon).collect();
        let redirects = redirects(compiled, live, &mirrors, &standings, &answers);
        let of_service = |service: &super::Service| {
            answers[service.horizon.index()].iter().map(|addresses| service.encode(addresses)).collect()
        };
        let service_records = compiled.services.iter().map(of_service).collect();
        Derived { mirrors, standings, answers, redirects, service_records }
    }
}

/// For each plan of a horizon, the mirrors of redirects by family.
type PlanRedirects = Box<[[Choice; 2]]>;

/// The mirrors of redirects, for horizons with a redirect-only mirror: such a mirror of the plan itself, if it is up and comes
/// first. Otherwise the mirrors of the answer. A redirect-only mirror of another rule is no choice, because the canonical
/// registry is nearer than a bucket of another region, and the transfer out of that bucket costs its owner money.
fn redirects(
    compiled: &Compiled,
    live: &Live,
    mirrors: &[Mirror],
    standings: &[Standing],
    answers: &[Box<[[Addresses; 2]]>],
) -> Arc<[Option<PlanRedirects>]> {
    let is_redirect_only = |id: MirrorId| mirrors[id.index()].is_redirect_only();
    let of = |(mirror, standing): (&Mirror, &Standing)| {
        if !mirror.is_redirect_only() {
            return standing.clone();
        }
        let merged = standing.of_either_family();
        // If mirrors are not probed, its host is not resolved here.
        if merged.v4.is_empty() && live.fresh == Health::Up {
            let one = vec![AddressStanding { health: Health::Up, stable_secs: None }];
            return Standing { v4: one.clone(), v6: one, ..merged };
        }
        merged
    };
    let mut standings_of_redirects: Option<Vec<Standing>> = None;
    let of_horizon = |(horizon, answers): (&Horizon, &[[Addresses; 2]])| {
        if !horizon.mirrors().any(is_redirect_only) {
            return None;
        }
        let standings = standings_of_redirects.get_or_insert_with(|| mirrors.iter().zip(standings).map(of).collect());
        let overviews = FAMILIES.map(|family| Overview::of(horizon, family, standings));
        let of_family = |plan: &Plan, answer: &Addresses, family: Family| {
            let choice = steer::choose(&overviews[family as usize], plan, standings);
            let is_of_plan = matches!(choice.tier, Tier::Preferred | Tier::Fallback | Tier::Default);
            let is_up = |id: &MirrorId| standings[id.index()].health(family) == Some(Health::Up);
            let first = choice.mirrors.first().filter(|id| is_of_plan && is_redirect_only(**id) && is_up(id));
            if first.is_some() { choice } else { answer.choice.clone() }
        };
        let of_plan = |(plan, answer): (&Plan, &[Addresses; 2])| {
            FAMILIES.map(|family| of_family(plan, &answer[family as usize], family))
        };
        Some(horizon.plans().iter().zip(answers).map(of_plan).collect())
    };
    compiled.horizons.iter().zip(answers.iter().map(|plans| &**plans)).map(of_horizon).collect()
}

/// The addresses to answer with, encoded.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// The mirrors, and their tier.
    pub choice: Choice,
    pub(super) wire: Box<[u8]>,
    pub(super) count: u16,
    /// The longest TTL, in seconds: the time until the health of a mirror that matters may change.
    pub(super) max_ttl: Ttl,
}

impl Addresses {
    /// The RRset, with the TTL to give; `None` if no mirror of the horizon serves the family.
    #[inline]
    pub fn rrset(&self, family: Family, ttl: Ttl) -> Option<RrSet<'_>> {
        let rtype = Rtype::of_addresses(family);
        (self.count > 0).then_some(RrSet::unsigned(rtype, ttl.min(self.max_ttl), self.count, &self.wire))
    }
}

/// The input for the answers of one horizon.
struct AnswerGround<'s> {
    horizon: &'s Horizon,
    mirrors: &'s [Mirror],
    standings: &'s [Standing],
    /// By family.
    overviews: [Overview; 2],
    /// By family: the shortest time until the health of a mirror of the horizon may change, in seconds.
    stable_secs: [Option<u32>; 2],
}

impl<'s> AnswerGround<'s> {
    fn of(horizon: &'s Horizon, mirrors: &'s [Mirror], standings: &'s [Standing]) -> Self {
        let overviews = FAMILIES.map(|family| Overview::of(horizon, family, standings));
        let stable_secs = FAMILIES.map(|family| stable_secs(horizon.mirrors(), family, standings));
        AnswerGround { horizon, mirrors, standings, overviews, stable_secs }
    }

    fn encode(&self) -> Box<[[Addresses; 2]]> {
        let of_plan = |plan: &Plan| FAMILIES.map(|family| self.addresses(plan, family));
        self.horizon.plans().iter().map(of_plan).collect()
    }

    /// Encodes the addresses of the chosen mirrors in the form of [`RrSet::wire`]; the TTL is written when answering.
    fn addresses(&self, plan: &Plan, family: Family) -> Addresses {
        let choice = steer::choose(&self.overviews[family as usize], plan, self.standings);
        let max_ttl = self.max_ttl(plan, &choice, family);
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
            let (mirror, standing) = (&self.mirrors[id.index()], &self.standings[id.index()]);
            let gives = |index: &usize| standing.gives(family, *index);
            match family {
                Family::V4 => (0..mirror.v4.len()).filter(gives).for_each(|at| add(Rtype::A, &mirror.v4[at].octets())),
                Family::V6 => {
                    (0..mirror.v6.len()).filter(gives).for_each(|at| add(Rtype::AAAA, &mirror.v6[at].octets()));
                }
            }
        }
        Addresses { choice, wire: wire.into(), count, max_ttl }
    }

    /// The time for which a choice holds at least: until one of its mirrors may go down, or until a mirror may come back
    /// that the plan would give before or beside those. If not all of its mirrors are up, the health of every mirror of the
    /// horizon matters.
    fn max_ttl(&self, plan: &Plan, choice: &Choice, family: Family) -> Ttl {
        // And no longer than the addresses of a host may be kept.
        let kept = choice.mirrors.iter().filter_map(|id| Some(self.mirrors[id.index()].max_ttl()?.0));
        let of_plan = matches!(choice.tier, Tier::Preferred | Tier::Fallback | Tier::Default);
        let is_up = |id: &MirrorId| self.standings[id.index()].health(family) == Some(Health::Up);
        let stable = if of_plan && choice.mirrors.iter().all(is_up) {
            // Probes do not change the health of a mirror with an override.
            let is_probed = |id: &MirrorId| self.standings[id.index()].forced.is_none();
            stable_secs(say_while_up(self.horizon, plan, choice).filter(is_probed), family, self.standings)
        } else {
            self.stable_secs[family as usize]
        };
        // Not 0, because every client would then ask again at once, just when something fails.
        Ttl(stable.into_iter().chain(kept).min().unwrap_or(Ttl::MAX.0).max(1))
    }
}

/// The shortest time until the health of any of these mirrors may change, in seconds; `None` without probes.
fn stable_secs(mirrors: impl Iterator<Item = MirrorId>, family: Family, standings: &[Standing]) -> Option<u32> {
    mirrors.flat_map(|id| standings[id.index()].family(family)).filter_map(|address| address.stable_secs).min()
}

/// The mirrors of a plan whose health matters while the chosen mirrors are up.
fn say_while_up(horizon: &Horizon, plan: &Plan, choice: &Choice) -> impl Iterator<Item = MirrorId> {
    let most = usize::from(horizon.answer_mirrors.get());
    // If the answer is full, mirrors behind the last chosen one do not matter; otherwise the rest of its tier does.
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
