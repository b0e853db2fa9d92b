//! A plan meets the health of mirrors: whom to answer with now.
//!
//! **Invariants**: never empty where any mirror of the plan serves the family; a [`Health::Bad`] mirror is chosen only
//! when there is nothing else in the whole plan.

use super::Plan;
use crate::base::ids::MirrorId;
use crate::base::prefix::Family;
use crate::mirror::{Health, Mirror};

/// Which part of a plan a choice comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tier {
    /// The rule's own mirrors.
    Preferred,
    /// The rule's fallback.
    Fallback,
    /// The horizon's default.
    Default,
    /// Nothing in the plan is up: all mirrors of the first tier that are merely down.
    Panic,
    /// Every mirror serves something wrong; their addresses are given because an empty answer is cached as well.
    LastResort,
}

/// The mirrors to answer with for one plan and family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The mirrors: one, or several in panic; none only where no mirror of the plan serves the family.
    pub mirrors: Vec<MirrorId>,
    /// Where they come from.
    pub tier: Tier,
}

/// Chooses by order of preference the first mirror that is up and serves the family.
pub fn choose(plan: &Plan, family: Family, mirrors: &[Mirror], health: &[Health]) -> Choice {
    let serving = |list: &[MirrorId], wanted: Health| -> Vec<MirrorId> {
        let fits = |id: &MirrorId| mirrors[id.index()].serves(family) && health[id.index()] == wanted;
        list.iter().copied().filter(fits).collect()
    };
    let tiers = [(Tier::Preferred, &plan.preferred), (Tier::Fallback, &plan.fallback), (Tier::Default, &plan.default)];
    for (tier, list) in tiers {
        if let Some(first) = serving(list, Health::Up).first() {
            return Choice { mirrors: vec![*first], tier };
        }
    }
    for (tier, wanted) in [(Tier::Panic, Health::Down), (Tier::LastResort, Health::Bad)] {
        for (_, list) in tiers {
            let found = serving(list, wanted);
            if !found.is_empty() {
                return Choice { mirrors: found, tier };
            }
        }
    }
    Choice { mirrors: Vec::new(), tier: Tier::LastResort }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn mirror(name: &str, v4: u8, v6: u8) -> Mirror {
        Mirror {
            name: name.into(),
            host: None,
            v4: (0..v4).map(|host| Ipv4Addr::new(192, 0, 2, host)).collect(),
            v6: (0..v6).map(|host| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host.into())).collect(),
        }
    }

    #[test]
    fn the_first_mirror_that_is_up_is_chosen_tier_by_tier() {
        let mirrors = [mirror("a", 1, 0), mirror("b", 1, 1), mirror("c", 1, 1)];
        let ids = |list: &[u16]| list.iter().copied().map(MirrorId).collect::<Vec<_>>();
        let plan = Plan { preferred: ids(&[0]), fallback: ids(&[1]), default: ids(&[2]) };
        let chosen = |family, health: [Health; 3]| {
            let choice = choose(&plan, family, &mirrors, &health);
            (choice.mirrors.iter().map(|id| id.0).collect::<Vec<_>>(), choice.tier)
        };
        use Health::{Bad, Down, Up};
        assert_eq!(chosen(Family::V4, [Up, Up, Up]), (vec![0], Tier::Preferred));
        assert_eq!(chosen(Family::V6, [Up, Up, Up]), (vec![1], Tier::Fallback));
        assert_eq!(chosen(Family::V4, [Down, Bad, Up]), (vec![2], Tier::Default));
        assert_eq!(chosen(Family::V4, [Bad, Down, Down]), (vec![1], Tier::Panic));
        assert_eq!(chosen(Family::V4, [Bad, Bad, Bad]), (vec![0], Tier::LastResort));
    }
}
