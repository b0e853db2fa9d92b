//! The choice of mirrors for an answer: a plan meets the current health of mirrors.
//!
//! **Invariants**: never empty if any mirror of the horizon serves the family, so a type exists for all clients or for none
//! (RFC 7871 §7.4), whatever addresses hosts get and lose; a mirror that serves something wrong is given only if every other
//! mirror of the horizon does as well.

use super::{AnswerMirrors, Horizon, Plan};
use crate::base::ids::MirrorId;
use crate::base::prefix::Family;
use crate::base::words::words;
use crate::mirror::{Health, Standing};

words! {
    /// The source of a choice.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum Tier {
        /// The rule's own mirrors.
        Preferred = "preferred",
        /// The rule's fallback.
        Fallback = "fallback",
        /// The horizon's default.
        Default = "default",
        /// No mirror of the plan is up, or serves the family: another mirror of the horizon that is up.
        Elsewhere = "elsewhere",
        /// No mirror of the plan is up or merely drained, and more than half of the horizon's mirrors do not answer. Our
        /// own network is the likely fault, so the rule's mirrors are given although probes of them fail.
        Panic = "panic",
        /// No mirror of the horizon is up: the least bad of the plan. If no mirror of the plan serves the family, or all
        /// of them serve something wrong, the least bad of the horizon.
        LastResort = "last-resort",
    }
}

/// The mirrors to answer with for one plan and family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The mirrors: the first that are up, or the first that are drained, as many as the horizon answers with. If none
    /// serves, several, at most [`AnswerMirrors::MAX`]. Empty only if no mirror of the horizon serves the family.
    pub mirrors: Vec<MirrorId>,
    /// The tier of the mirrors.
    pub tier: Tier,
}

/// The health of a horizon for one family: computed once, for the choices of all its plans.
#[derive(Clone, Debug)]
pub(crate) struct Overview {
    family: Family,
    /// The number of mirrors that the horizon answers with.
    most: usize,
    /// Its first mirrors that are up, as many as it answers with.
    up: Vec<MirrorId>,
    /// The least bad of its mirrors, the first of them.
    best: Option<(Health, MirrorId)>,
    /// True if so many mirrors do not answer that our own network is the likelier fault.
    is_panic: bool,
}

impl Overview {
    /// Looks at every mirror of a horizon; [`MirrorId`] is an index into `standings`.
    pub(crate) fn of(horizon: &Horizon, family: Family, standings: &[Standing]) -> Self {
        let most = usize::from(horizon.answer_mirrors.get());
        let healths = || horizon.mirrors().filter_map(|id| Some((standings[id.index()].health(family)?, id)));
        let silent = healths().filter(|(health, _)| *health == Health::Down).count();
        Overview {
            family,
            most,
            up: healths().filter(|(health, _)| *health == Health::Up).map(|(_, id)| id).take(most).collect(),
            best: healths().min(),
            is_panic: silent * 2 > healths().count(),
        }
    }
}

/// Chooses the first mirrors of the plan that are up, or the least bad if no mirror is up.
///
/// All come from one tier. If fewer mirrors of the tier are up than the horizon answers with, the answer has fewer: a mirror
/// of a later tier is worse for these clients. Resolvers and clients shuffle the records of an RRset, so clients would use
/// it as often as a good one.
pub(crate) fn choose(overview: &Overview, plan: &Plan, standings: &[Standing]) -> Choice {
    let most = overview.most;
    let health = |id: &MirrorId| standings[id.index()].health(overview.family);
    let with = |list: &[MirrorId], wanted: Health| -> Vec<MirrorId> {
        list.iter().copied().filter(|id| health(id) == Some(wanted)).collect()
    };
    let tiers = [(Tier::Preferred, &plan.preferred), (Tier::Fallback, &plan.fallback), (Tier::Default, &plan.default)];
    let first_of = |wanted: Health| {
        tiers.iter().find_map(|(tier, list)| {
            let mut mirrors = with(list, wanted);
            mirrors.truncate(most);
            (!mirrors.is_empty()).then_some(Choice { mirrors, tier: *tier })
        })
    };
    if let Some(choice) = first_of(Health::Up) {
        return choice;
    }
    let of_plan = |wanted: Health| {
        let mut found = tiers.iter().map(|(_, list)| with(list, wanted)).find(|found| !found.is_empty())?;
        found.truncate(match wanted {
            // A drained mirror serves, so it is answered with as one that is up.
            Health::Drained => most,
            // Clients try several of which none may serve; the answer fits a message, however long the list is.
            _ => usize::from(AnswerMirrors::MAX),
        });
        Some(found)
    };
    // An untried mirror, as just after a start, is given if no mirror is known to be better.
    if (overview.up.is_empty() || overview.is_panic)
        && let Some(choice) = first_of(Health::Untried)
    {
        return choice;
    }
    // Skip panic mode if the plan has a drained mirror: it answers probes, so our network works.
    if overview.is_panic
        && of_plan(Health::Drained).is_none()
        && let Some(mirrors) = of_plan(Health::Down)
    {
        return Choice { mirrors, tier: Tier::Panic };
    }
    if !overview.up.is_empty() {
        return Choice { mirrors: overview.up.clone(), tier: Tier::Elsewhere };
    }
    // A mirror that may serve comes first, wherever it is in the horizon. A mirror that serves something wrong fails every
    // pull, so it is given only if the horizon has nothing else left.
    let of_horizon = |healths: &[Health]| {
        let (health, mirror) = overview.best?;
        healths.contains(&health).then(|| vec![mirror])
    };
    let of_either = |healths: &[Health]| healths.iter().copied().find_map(of_plan).or_else(|| of_horizon(healths));
    let steps = [&[Health::Untried, Health::Drained][..], &[Health::Down, Health::Missing], &[Health::Bad]];
    let mirrors = steps.into_iter().find_map(of_either).unwrap_or_default();
    Choice { mirrors, tier: Tier::LastResort }
}

#[cfg(test)]
mod tests {
    use super::super::{Draft, Laid, Ranking, Rule};
    use super::*;
    use crate::mirror::AddressStanding;
    use crate::networks::Networks;

    fn ids(list: &[u16]) -> Vec<MirrorId> {
        list.iter().copied().map(MirrorId).collect()
    }

    /// A horizon of one rule (mirror 0, fallback 1), default 2, and mirrors 3 and 4 of another rule.
    fn horizon(answer_mirrors: u8) -> Horizon {
        let networks = Networks::default();
        let rule = |mirrors: &[u16], fallback: &[u16]| Rule {
            conditions: Vec::new(),
            mirrors: ids(mirrors),
            ranking: Ranking::Listed,
            fallback: ids(fallback),
            is_canonical: false,
        };
        let rules = vec![rule(&[0], &[1]), rule(&[3, 4], &[])];
        let draft = Draft {
            answer_mirrors: AnswerMirrors::new(answer_mirrors).unwrap(),
            ..Draft::new("h".into(), rules, ids(&[2]))
        };
        Horizon::build(draft, &networks, &Laid::over(&networks))
    }

    fn chosen(health: [Option<Health>; 5]) -> (Vec<u16>, Tier) {
        let plan = Plan { preferred: ids(&[0]), fallback: ids(&[1]), default: ids(&[2]), ..Plan::default() };
        choice(&horizon(1), &plan, health)
    }

    fn choice(horizon: &Horizon, plan: &Plan, health: [Option<Health>; 5]) -> (Vec<u16>, Tier) {
        let standings = health.map(|health| Standing {
            v4: health.map(|health| AddressStanding { health, stable_secs: None }).into_iter().collect(),
            ..Standing::default()
        });
        let choice = choose(&Overview::of(horizon, Family::V4, &standings), plan, &standings);
        (choice.mirrors.iter().map(|id| id.0).collect(), choice.tier)
    }

    use Health::{Bad, Down, Drained, Missing, Untried, Up};

    #[test]
    fn the_first_mirror_that_is_up_is_chosen_tier_by_tier() {
        let rest = [Some(Up), Some(Up)];
        let of = |a, b, c| chosen([a, b, c, rest[0], rest[1]]);
        assert_eq!(of(Some(Up), Some(Up), Some(Up)), (vec![0], Tier::Preferred));
        assert_eq!(of(None, Some(Up), Some(Up)), (vec![1], Tier::Fallback));
        assert_eq!(of(Some(Down), Some(Bad), Some(Up)), (vec![2], Tier::Default));
        assert_eq!(of(Some(Drained), Some(Up), Some(Up)), (vec![1], Tier::Fallback));
    }

    #[test]
    fn an_answer_has_the_first_mirrors_of_one_tier() {
        let plan = Plan { preferred: ids(&[0, 3]), fallback: ids(&[1, 4]), default: ids(&[2]), ..Plan::default() };
        let of = |health| choice(&horizon(2), &plan, health);
        assert_eq!(of([Some(Up); 5]), (vec![0, 3], Tier::Preferred));
        // Fewer that are up are fewer in the answer, not one of the fallback beside them.
        assert_eq!(of([Some(Down), Some(Up), Some(Up), Some(Up), Some(Up)]), (vec![3], Tier::Preferred));
        assert_eq!(of([Some(Bad), Some(Up), Some(Up), Some(Drained), Some(Up)]), (vec![1, 4], Tier::Fallback));
        assert_eq!(of([Some(Bad), None, Some(Up), Some(Bad), Some(Bad)]), (vec![2], Tier::Default));
        let narrow = Plan { preferred: ids(&[0]), fallback: ids(&[]), default: ids(&[]), ..Plan::default() };
        let elsewhere = choice(&horizon(2), &narrow, [Some(Bad), Some(Up), Some(Up), Some(Up), Some(Bad)]);
        assert_eq!(elsewhere, (vec![1, 2], Tier::Elsewhere));
    }

    #[test]
    fn panic_is_only_while_more_than_half_of_the_horizon_is_silent() {
        let of = |rest| chosen([Some(Down), Some(Bad), Some(Down), Some(rest), Some(rest)]);
        // Two of five are silent: the fault is theirs, not ours.
        assert_eq!(of(Up), (vec![3], Tier::Elsewhere));
        assert_eq!(of(Down), (vec![0], Tier::Panic));
    }

    #[test]
    fn a_mirror_that_is_drained_and_serves_comes_before_those_that_are_silent() {
        let of = |rest| chosen([Some(Down), Some(Drained), Some(Down), Some(Down), Some(rest)]);
        // Three or four of five are silent, and a mirror of the plan is known to be reached.
        assert_eq!(of(Down), (vec![1], Tier::LastResort));
        assert_eq!(of(Up), (vec![4], Tier::Elsewhere));
    }

    #[test]
    fn where_none_is_up_no_more_mirrors_are_given_than_an_answer_may_have() {
        let many: Vec<u16> = (0..40).collect();
        let networks = Networks::default();
        let draft = Draft::new("h".into(), Vec::new(), ids(&many));
        let horizon = Horizon::build(draft, &networks, &Laid::over(&networks));
        for (health, tier) in [(Down, Tier::Panic), (Missing, Tier::LastResort), (Bad, Tier::LastResort)] {
            let standing = Standing { v4: vec![AddressStanding { health, stable_secs: None }], ..Standing::default() };
            let standings = vec![standing; many.len()];
            let choice = choose(&Overview::of(&horizon, Family::V4, &standings), &horizon.plans()[0], &standings);
            assert_eq!((choice.mirrors, choice.tier), (ids(&many[..usize::from(AnswerMirrors::MAX)]), tier));
        }
    }

    #[test]
    fn as_many_drained_mirrors_are_given_as_the_horizon_answers_with() {
        let plan = Plan { preferred: ids(&[0, 3]), fallback: ids(&[1]), default: ids(&[2]), ..Plan::default() };
        for (answer_mirrors, given) in [(1, vec![0]), (2, vec![0, 3])] {
            let found = choice(&horizon(answer_mirrors), &plan, [Some(Drained); 5]);
            assert_eq!(found, (given, Tier::LastResort));
        }
    }

    #[test]
    fn what_nobody_has_looked_at_yet_waits_while_something_is_known_to_be_up() {
        let of = |a, b, c, rest| chosen([a, b, c, rest, rest]);
        assert_eq!(of(Some(Untried), Some(Up), Some(Up), Some(Up)), (vec![1], Tier::Fallback));
        assert_eq!(of(Some(Untried), Some(Down), None, Some(Up)), (vec![3], Tier::Elsewhere));
        assert_eq!(of(Some(Untried), Some(Untried), None, Some(Bad)), (vec![0], Tier::Preferred));
        // It is our own network, then: the untried one is no worse than the silent.
        assert_eq!(chosen([Some(Down), Some(Untried), Some(Down), Some(Down), Some(Up)]), (vec![1], Tier::Fallback));
    }

    #[test]
    fn a_family_that_only_others_have_is_theirs_to_give() {
        assert_eq!(chosen([None, None, None, Some(Up), Some(Up)]), (vec![3], Tier::Elsewhere));
        assert_eq!(chosen([None, None, None, Some(Bad), Some(Down)]), (vec![4], Tier::LastResort));
    }

    #[test]
    fn a_mirror_that_serves_something_wrong_comes_last() {
        assert_eq!(chosen([Some(Bad), Some(Missing), Some(Drained), Some(Bad), Some(Bad)]).0, [2]);
        assert_eq!(chosen([Some(Bad), Some(Missing), Some(Bad), Some(Bad), Some(Bad)]).0, [1]);
        assert_eq!(chosen([Some(Bad), Some(Down), Some(Bad), Some(Bad), Some(Bad)]), (vec![1], Tier::LastResort));
        assert_eq!(chosen([Some(Bad), Some(Bad), Some(Bad), Some(Down), Some(Drained)]), (vec![4], Tier::LastResort));
        // One elsewhere that is only drained serves, as those of the plan do not.
        assert_eq!(
            chosen([Some(Missing), Some(Down), Some(Bad), Some(Bad), Some(Drained)]),
            (vec![4], Tier::LastResort)
        );
        assert_eq!(chosen([Some(Missing), Some(Bad), Some(Bad), Some(Down), Some(Bad)]), (vec![0], Tier::LastResort));
        assert_eq!(chosen([Some(Bad); 5]), (vec![0], Tier::LastResort));
        assert_eq!(chosen([None; 5]), (vec![], Tier::LastResort));
    }

    #[test]
    fn rfc7871_s7_4_an_answer_is_empty_only_where_the_horizon_has_no_such_family() {
        let all = [None, Some(Up), Some(Untried), Some(Drained), Some(Down), Some(Missing), Some(Bad)];
        for code in 0..7usize.pow(5) {
            let health: [_; 5] = std::array::from_fn(|at| all[code / 7usize.pow(at as u32) % 7]);
            let (mirrors, tier) = chosen(health);
            assert_eq!(mirrors.is_empty(), health.iter().all(Option::is_none), "{health:?}");
            // A mirror that is known to be up comes before all others.
            let (given, best) =
                (mirrors.first().and_then(|id| health[usize::from(*id)]), health.iter().flatten().min());
            assert!(given != Some(Bad) || best == Some(&Bad), "{health:?}");
            let up = mirrors.iter().any(|id| health[usize::from(*id)] == Some(Up));
            assert!(up || tier == Tier::Panic || !health[..3].contains(&Some(Up)), "{health:?}");
        }
    }
}
