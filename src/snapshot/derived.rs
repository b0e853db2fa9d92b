//! Data that follows from [`Compiled`] and [`Live`]: mirrors with their current addresses, and encoded answers.
//!
//! **Invariants**: made once per publication, in time that grows with mirrors and plans, not with their product; for each
//! plan and family the records of the answer are encoded ahead, so a query copies them.
//! **Not here**: the mirrors that a plan gives ([`steer::choose`]), HTTPS records ([`super::Service`]).

use std::sync::Arc;

use super::addresses::AnswerGround;
use super::{Addresses, Compiled, Live, ServiceRecord};
use crate::base::ids::MirrorId;
use crate::base::prefix::Family;
use crate::mirror::{Health, Mirror, Standing};
use crate::steer::{self, Choice, Horizon, Overview, Plan, Tier};

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
        if mirror.is_redirect_only() { standing.for_redirects(live.fresh) } else { standing.clone() }
    };
    let mut standings_of_redirects: Option<Vec<Standing>> = None;
    let of_horizon = |(horizon, answers): (&Horizon, &[[Addresses; 2]])| {
        if !horizon.mirrors().any(is_redirect_only) {
            return None;
        }
        let standings = standings_of_redirects.get_or_insert_with(|| mirrors.iter().zip(standings).map(of).collect());
        let overviews = Family::ALL.map(|family| Overview::of(horizon, family, standings));
        let of_family = |plan: &Plan, answer: &Addresses, family: Family| {
            let choice = steer::choose(&overviews[family as usize], plan, standings);
            let is_of_plan = matches!(choice.tier, Tier::Preferred | Tier::Fallback | Tier::Default);
            let is_up = |id: &MirrorId| standings[id.index()].health(family) == Some(Health::Up);
            let first = choice.mirrors.first().filter(|id| is_of_plan && is_redirect_only(**id) && is_up(id));
            if first.is_some() { choice } else { answer.choice.clone() }
        };
        let of_plan = |(plan, answer): (&Plan, &[Addresses; 2])| {
            Family::ALL.map(|family| of_family(plan, &answer[family as usize], family))
        };
        Some(horizon.plans().iter().zip(answers).map(of_plan).collect())
    };
    compiled.horizons.iter().zip(answers.iter().map(|plans| &**plans)).map(of_horizon).collect()
}
