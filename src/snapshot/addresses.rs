//! The addresses of an answer, encoded for each plan of a horizon.
//!
//! **Invariants**: a TTL ends before the health of a mirror that matters to the answer could change.
//! **Not here**: the mirrors that a plan gives ([`steer::choose`]).

use crate::base::ids::MirrorId;
use crate::base::prefix::Family;
use crate::base::rr::Rtype;
use crate::base::time::Ttl;
use crate::mirror::{Health, Mirror, Standing};
use crate::steer::{self, Choice, Horizon, Overview, Plan, Tier};
use crate::zone::{self, RrSet};

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
pub(super) struct AnswerGround<'s> {
    horizon: &'s Horizon,
    mirrors: &'s [Mirror],
    standings: &'s [Standing],
    /// By family.
    overviews: [Overview; 2],
    /// By family: the shortest time until the health of a mirror of the horizon may change, in seconds.
    stable_secs: [Option<u32>; 2],
}

impl<'s> AnswerGround<'s> {
    pub(super) fn of(horizon: &'s Horizon, mirrors: &'s [Mirror], standings: &'s [Standing]) -> Self {
        let overviews = Family::ALL.map(|family| Overview::of(horizon, family, standings));
        let stable_secs = Family::ALL.map(|family| stable_secs(horizon.mirrors(), family, standings));
        AnswerGround { horizon, mirrors, standings, overviews, stable_secs }
    }

    pub(super) fn encode(&self) -> Box<[[Addresses; 2]]> {
        let of_plan = |plan: &Plan| Family::ALL.map(|family| self.addresses(plan, family));
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
