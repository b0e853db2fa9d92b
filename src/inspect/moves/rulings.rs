//! The rulings of a snapshot as plain data: for each stretch of addresses its labels, and the winning rule and mirrors of each
//! horizon. Two of them are all that a comparison needs, so that one side may come from another process.
//!
//! **Invariants**: indexes are in range, stretches begin at the lowest address and ascend within their family, and the mirrors
//! of a plan are one for all clients or one for each slot. [`Rulings::of`] keeps this, and data from outside is refused if it
//! does not.
//! **Not here**: the comparison (the parent module), the request for rulings ([`crate::control`]).

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{KINDS, MoveEnd};
use crate::base::ids::{HorizonId, MirrorId, PlanId};
use crate::base::prefix::{Bits, Family};
use crate::inspect::tally::Rules;
use crate::inspect::words;
use crate::networks::{AddressLabels, Combination, Overlay};
use crate::snapshot::Snapshot;
use crate::steer::spread::SLOTS;
use crate::steer::{Horizon, Won};

/// The rulings of one snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RulingsView")]
pub(crate) struct Rulings(RulingsView);

/// The same, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct RulingsView {
    /// The names of the mirrors.
    pub(super) mirrors: Vec<String>,
    /// The sources.
    pub(super) sources: Vec<SourceLabels>,
    /// The horizons.
    pub(super) horizons: Vec<HorizonRulings>,
    /// The classes of addresses with equal labels, sources and rulings.
    pub(super) classes: Vec<AddressClass>,
    /// The stretches of IPv4 with one class.
    pub(super) ipv4: Stretches,
    /// The stretches of IPv6 with one class.
    pub(super) ipv6: Stretches,
}

/// A source of labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SourceLabels {
    /// The name.
    pub(super) name: String,
    /// The labels of each kind of [`KINDS`].
    pub(super) labels: [Vec<String>; KINDS.len()],
}

/// The rules of a horizon, and the mirrors of its plans.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct HorizonRulings {
    /// The name.
    pub(super) name: String,
    /// The rules in words, with their places. The default is the last.
    pub(super) rules: Vec<String>,
    /// The first mirrors of plans: one for all clients, or one for each slot.
    pub(super) plans: Vec<Vec<FirstMirror>>,
}

/// The first mirror of a plan, with every mirror up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum FirstMirror {
    /// An index of [`RulingsView::mirrors`].
    Mirror(u32),
    /// The canonical registry, by a rule.
    Canonical,
    /// No mirror.
    Nothing,
}

/// Addresses with equal labels, sources and rulings.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct AddressClass {
    /// The labels, in the order of [`KINDS`].
    pub(super) labels: [Option<String>; KINDS.len()],
    /// The sources that label them, by index.
    pub(super) sources: Vec<u32>,
    /// For each horizon, the indexes of the winning rule and of the plan.
    pub(super) rulings: Vec<(u32, u32)>,
}

/// The first address of each stretch, with the index of its class.
///
/// As text, `DISTANCE:CLASS` in hexadecimal, with spaces between. The distance is that from the first address of the stretch
/// before: numbers of JSON have no 128 bits, and short ones keep a million stretches below 10 MB.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Stretches(pub(super) Vec<(u128, u32)>);

impl From<Stretches> for String {
    fn from(stretches: Stretches) -> String {
        let mut text = String::with_capacity(stretches.0.len() * 8);
        let mut before = 0;
        for (first, class) in stretches.0 {
            let space = if text.is_empty() { "" } else { " " };
            text += &format!("{space}{:x}:{class:x}", first - before);
            before = first;
        }
        text
    }
}

impl TryFrom<String> for Stretches {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const ERROR: &str = "the stretches have another form";
        let mut before = 0u128;
        let one = |part: &str| {
            let (distance, class) = part.split_once(':')?;
            before = before.checked_add(u128::from_str_radix(distance, 16).ok()?)?;
            Some((before, u32::from_str_radix(class, 16).ok()?))
        };
        let all: Option<Vec<_>> = text.split(' ').map(one).collect();
        all.map(Stretches).ok_or(ERROR)
    }
}

impl TryFrom<RulingsView> for Rulings {
    type Error = &'static str;

    fn try_from(view: RulingsView) -> Result<Self, Self::Error> {
        let is_whole = |horizon: &HorizonRulings| {
            let is_known = |first: &FirstMirror| match first {
                FirstMirror::Mirror(at) => (*at as usize) < view.mirrors.len(),
                FirstMirror::Canonical | FirstMirror::Nothing => true,
            };
            horizon.plans.iter().all(|plan| [1, SLOTS].contains(&plan.len()) && plan.iter().all(is_known))
        };
        let is_ruled = |class: &AddressClass| {
            class.sources.iter().all(|at| (*at as usize) < view.sources.len())
                && class.rulings.len() == view.horizons.len()
                && class.rulings.iter().zip(&view.horizons).all(|((rule, plan), horizon)| {
                    (*rule as usize) < horizon.rules.len() && (*plan as usize) < horizon.plans.len()
                })
        };
        let is_laid_out = |stretches: &Stretches, family: Family| {
            let Stretches(list) = stretches;
            list.first().is_some_and(|(first, _)| *first == 0)
                && list.is_sorted_by(|(one, _), (next, _)| one < next)
                && list.iter().all(|(first, class)| *first <= highest(family) && (*class as usize) < view.classes.len())
        };
        let is_right = view.horizons.iter().all(is_whole)
            && view.classes.iter().all(is_ruled)
            && is_laid_out(&view.ipv4, Family::V4)
            && is_laid_out(&view.ipv6, Family::V6);
        if is_right { Ok(Rulings(view)) } else { Err("the rulings do not belong together") }
    }
}

impl Rulings {
    /// The rulings of a snapshot; takes time linear in its networks.
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        let networks = &snapshot.provenance().networks;
        let rules = Rules::of(networks);
        let mut drafts: Vec<HorizonDraft<'_>> =
            (0..snapshot.horizons().len()).map(|at| HorizonDraft::of(snapshot, HorizonId::from_index(at))).collect();
        let mut known: HashMap<AddressClass, u32> = HashMap::new();
        let class = |combination: &Combination| {
            let facts = networks.facts(combination);
            let label = |kind| facts.labels.value(kind).map(|value| value.to_string());
            let labelling = (0..).zip(combination).filter(|(_, labels)| labels.is_some());
            let class = AddressClass {
                labels: KINDS.map(label),
                sources: labelling.map(|(at, _)| at).collect(),
                rulings: drafts.iter_mut().map(|draft| draft.ruling(&facts)).collect(),
            };
            let next = known.len() as u32;
            *known.entry(class).or_insert(next)
        };
        let class_of: Vec<u32> = rules.combinations.list().iter().map(class).collect();
        let mut classes: Vec<(AddressClass, u32)> = known.into_iter().collect();
        classes.sort_unstable_by_key(|(_, at)| *at);
        let labels = |source: &crate::networks::Source| SourceLabels {
            name: source.name.to_string(),
            labels: KINDS.map(|kind| source.values(kind).into_iter().map(|value| value.to_string()).collect()),
        };
        Rulings(RulingsView {
            mirrors: snapshot.mirrors().iter().map(|mirror| mirror.name.to_string()).collect(),
            sources: networks.sources.iter().map(|source| labels(source)).collect(),
            horizons: drafts.into_iter().map(|draft| draft.written).collect(),
            classes: classes.into_iter().map(|(class, _)| class).collect(),
            ipv4: stretches(&rules.v4, &class_of),
            ipv6: stretches(&rules.v6, &class_of),
        })
    }

    pub(super) fn view(&self) -> &RulingsView {
        &self.0
    }

    /// The stretches of a family.
    pub(super) fn stretches(&self, family: Family) -> &[(u128, u32)] {
        [&*self.0.ipv4.0, &*self.0.ipv6.0][family as usize]
    }
}

/// The highest address of a family.
pub(super) fn highest(family: Family) -> u128 {
    u128::MAX >> (128 - u32::from(family.width()))
}

/// The stretches of a family; neighbours of one class are one stretch.
fn stretches<A: Bits>(laid: &Overlay<A>, class_of: &[u32]) -> Stretches {
    let mut all: Vec<(u128, u32)> =
        laid.ranges.iter().map(|(first, at)| (first.to_u128(), class_of[*at as usize])).collect();
    all.dedup_by_key(|(_, class)| *class);
    all.shrink_to_fit();
    Stretches(all)
}

/// A horizon whose plans are added as rulings need them.
struct HorizonDraft<'s> {
    horizon: &'s Horizon,
    written: HorizonRulings,
    /// The place of each plan in the written ones.
    known: HashMap<PlanId, u32>,
    /// The same by content, so that plans with the same first mirrors are one.
    by_firsts: HashMap<Vec<FirstMirror>, u32>,
}

impl<'s> HorizonDraft<'s> {
    fn of(snapshot: &'s Snapshot, id: HorizonId) -> Self {
        let horizon = &snapshot.horizons()[id.index()];
        let winners = (0..horizon.rules.len()).map(Won::Rule).chain([Won::Default]);
        let rules = winners.map(|won| words::rule(snapshot, id, won)).collect();
        let written = HorizonRulings { name: horizon.name.to_string(), rules, plans: Vec::new() };
        HorizonDraft { horizon, written, known: HashMap::new(), by_firsts: HashMap::new() }
    }

    fn ruling(&mut self, facts: &AddressLabels<'_>) -> (u32, u32) {
        let won = self.horizon.winner(facts);
        let rule = match won {
            Won::Rule(at) => at,
            Won::Default => self.written.rules.len() - 1,
        };
        let plan = self.horizon.plan_for(won, facts);
        let at = match self.known.get(&plan) {
            Some(at) => *at,
            None => {
                let firsts = self.firsts(plan);
                let next = self.written.plans.len() as u32;
                let at = *self.by_firsts.entry(firsts.clone()).or_insert(next);
                if at == next {
                    self.written.plans.push(firsts);
                }
                self.known.insert(plan, at);
                at
            }
        };
        // A horizon has far fewer than 4 Gi rules.
        (rule as u32, at)
    }

    /// The first mirror of a plan, for all clients or for each slot.
    fn firsts(&self, plan: PlanId) -> Vec<FirstMirror> {
        let first = |plan: &PlanId| {
            let plan = self.horizon.plan(*plan);
            match plan.mirrors().next() {
                _ if plan.is_canonical => FirstMirror::Canonical,
                Some(MirrorId(id)) => FirstMirror::Mirror(id.into()),
                None => FirstMirror::Nothing,
            }
        };
        self.horizon.slots(plan).map_or_else(|| vec![first(&plan)], |slots| slots.iter().map(first).collect())
    }
}

impl RulingsView {
    /// The end of a move.
    pub(super) fn end(&self, first: FirstMirror) -> MoveEnd {
        match first {
            FirstMirror::Mirror(at) => MoveEnd::Mirror(self.mirrors[at as usize].as_str().into()),
            FirstMirror::Canonical => MoveEnd::Canonical,
            FirstMirror::Nothing => MoveEnd::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> RulingsView {
        let class = AddressClass { labels: Default::default(), sources: vec![0], rulings: vec![(1, 0)] };
        RulingsView {
            mirrors: vec!["a".into()],
            sources: vec![SourceLabels { name: "s".into(), labels: Default::default() }],
            horizons: vec![HorizonRulings {
                name: "h".into(),
                rules: vec!["rule 1".into(), "the default".into()],
                plans: vec![vec![FirstMirror::Mirror(0)], vec![FirstMirror::Canonical; SLOTS]],
            }],
            classes: vec![class],
            ipv4: Stretches(vec![(0, 0), (u128::from(u32::MAX), 0)]),
            ipv6: Stretches(vec![(0, 0), (1, 0), (u128::MAX, 0)]),
        }
    }

    #[test]
    fn rulings_survive_json_and_are_refused_if_they_do_not_belong_together() {
        let parsed = |view: &RulingsView| serde_json::from_slice::<Rulings>(&serde_json::to_vec(view).unwrap());
        assert_eq!(parsed(&view()).unwrap(), Rulings(view()));
        let text = serde_json::to_string(&view()).unwrap();
        assert!(
            text.contains(r#""ipv4":"0:0 ffffffff:0","ipv6":"0:0 1:0 fffffffffffffffffffffffffffffffe:0""#),
            "{text}"
        );
        let breaks: [fn(&mut RulingsView); 12] = [
            |view| view.mirrors.clear(),
            |view| view.sources.clear(),
            |view| view.classes.clear(),
            |view| view.horizons.clear(),
            |view| view.horizons[0].rules.truncate(1),
            |view| view.horizons[0].plans.clear(),
            |view| view.horizons[0].plans[1].truncate(2),
            |view| view.ipv4.0.clear(),
            |view| view.ipv4.0[1].0 = 1 << 32,
            |view| view.ipv6.0[0].0 = 1,
            |view| view.ipv6.0[1].0 = 0,
            |view| view.ipv6.0[1].1 = 1,
        ];
        for (at, change) in breaks.into_iter().enumerate() {
            let mut broken = view();
            change(&mut broken);
            assert!(parsed(&broken).is_err(), "{at}");
        }
        for text in ["0:0 1", "0:0  1:0", "0:0 -1:0", "x:0", "0:0 ffffffffffffffffffffffffffffffff:0 1:0"] {
            assert!(Stretches::try_from(text.to_string()).is_err(), "{text}");
        }
    }
}
