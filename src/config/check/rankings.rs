//! Mirrors by weight and by distance: weights for the mirrors that are listed, and places for those that are to be near.
//!
//! **Invariants**: a ranking that comes out has a weight or a place for every mirror of its list.
//! **Not here**: what they lead to ([`crate::steer`]).

use super::Check;
use super::mirrors::Mirrors;
use crate::base::client::ScopePrefixLen;
use crate::base::diagnostic::{Diagnostic, did_you_mean, list};
use crate::base::ids::MirrorId;
use crate::config::spec::{HorizonSpec, ListSpec, Number, RankingSpec, WeightsSpec};
use crate::config::{LeastScopes, Ranking, limits};
use crate::steer::Weights;

impl Check<'_> {
    /// The order of a list; as it is listed where something is wrong.
    pub(super) fn check_ranking(&mut self, spec: &ListSpec, mirrors: &Mirrors) -> Ranking {
        let ranking = match &spec.ranking {
            RankingSpec::Listed => return Ranking::Listed,
            RankingSpec::Weighted(weights) => self.check_weights(spec, weights),
            RankingSpec::Nearest => self.check_nearest(spec, mirrors),
        };
        if let Some(over) = spec.mirrors.get(limits::MAX_RANKED) {
            let most = limits::MAX_RANKED;
            let message = format!("{} mirrors by weight or distance are more than {most}", spec.mirrors.len());
            let help = format!("keep to {most}, and name the others in `fallback`");
            self.report(Diagnostic::error("too-many", message).at(over.place.clone(), "one too many").help(help));
        }
        ranking.unwrap_or_default()
    }

    fn check_weights(&mut self, spec: &ListSpec, weights: &WeightsSpec) -> Option<Ranking> {
        let listed = || spec.mirrors.iter().map(|name| &*name.value);
        for (name, _) in &weights.list {
            if !listed().any(|known| *known == *name.value) {
                self.report(
                    Diagnostic::error("stray-weight", format!("`{}` has a weight and is not listed", name.value))
                        .at(name.place.clone(), "not one of `mirrors`")
                        .help(did_you_mean(&name.value, "mirrors listed", listed())),
                );
            }
        }
        let weight_of = |name: &str| weights.list.iter().find(|(weighted, _)| *weighted.value == *name);
        let missing: Vec<&str> = listed().filter(|name| weight_of(name).is_none()).collect();
        if !missing.is_empty() {
            let names = list(missing.iter().copied());
            self.report(
                Diagnostic::error(
                    "missing-weight",
                    format!("{names} {} no weight", if missing.len() == 1 { "has" } else { "have" }),
                )
                .at(weights.place.clone(), "a weight for each mirror")
                .help("add it; 0 keeps a mirror for when no other of the list is up"),
            );
        }
        // What is no number has been reported.
        let numbers: Option<Vec<u16>> =
            spec.mirrors.iter().map(|name| u16::try_from(weight_of(&name.value)?.1.as_ref()?.value).ok()).collect();
        let numbers = numbers.filter(|numbers| !numbers.is_empty())?;
        if numbers.iter().all(|number| *number == 0) {
            self.report(
                Diagnostic::error("no-weight", "all weights are 0")
                    .at(weights.place.clone(), "nobody is to get a client")
                    .help("give one mirror at least a weight from 1 to 1000"),
            );
            return None;
        }
        Some(Ranking::Weighted(Weights::new(listed().zip(numbers))))
    }

    fn check_nearest(&mut self, spec: &ListSpec, mirrors: &Mirrors) -> Option<Ranking> {
        let mut places = Vec::with_capacity(spec.mirrors.len());
        for name in &spec.mirrors {
            // An unknown mirror is reported with its list.
            let Ok(at) = self.mirrors.find(name) else { continue };
            match mirrors.entries[at].location {
                Some(location) => places.push(location),
                None if mirrors.broken.contains(&MirrorId::from_index(at)) => {}
                None => self.report(
                    Diagnostic::error("no-location", format!("nobody knows where mirror `{}` is", name.value))
                        .at(name.place.clone(), "to be taken where it is near")
                        .related(mirrors.entries[at].place.clone(), "has no `location`")
                        .help("add `location = [LATITUDE, LONGITUDE]` in degrees to the mirror, like `[50.11, 8.68]`"),
                ),
            }
        }
        (places.len() == spec.mirrors.len()).then_some(Ranking::Nearest(places))
    }

    /// Keeps the number of plans within its limit.
    pub(super) fn check_ranked_rules(&mut self, spec: &HorizonSpec) {
        let weighted = |ranking: &RankingSpec| matches!(ranking, RankingSpec::Weighted(_));
        let nearest = |ranking: &RankingSpec| matches!(ranking, RankingSpec::Nearest);
        self.limit_rules(spec, "weights", weighted);
        self.limit_rules(spec, "nearest", nearest);
    }

    fn limit_rules(&mut self, spec: &HorizonSpec, key: &str, is_one: impl Fn(&RankingSpec) -> bool) {
        let most = limits::MAX_RANKED_RULES;
        let over = spec.rules.iter().filter(|rule| is_one(&rule.mirrors.ranking)).nth(most);
        if let Some(over) = over {
            self.report(
                Diagnostic::error("too-many", format!("more than {most} rules of a horizon have `{key}`"))
                    .at(over.place.clone(), "one too many")
                    .help("merge rules that have the same mirrors, or list the mirrors of some in order"),
            );
        }
    }
}

/// How long the scope of answers by weight is at least; the ranges have been checked when they were read.
pub(super) fn least_scopes(spec: &HorizonSpec) -> LeastScopes {
    let written = |number: &Option<Number>| {
        number.as_ref().and_then(|number| u8::try_from(number.value).ok()).map(ScopePrefixLen)
    };
    LeastScopes {
        v4: written(&spec.weights_ipv4_scope).unwrap_or(LeastScopes::USUAL.v4),
        v6: written(&spec.weights_ipv6_scope).unwrap_or(LeastScopes::USUAL.v6),
    }
}
