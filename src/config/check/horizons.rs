//! `[horizons]`: rules whose conditions can hold, and mirrors that exist.

use std::collections::HashMap;

use super::Check;
use super::mirrors::Mirrors;
use super::rankings::least_scopes;
use crate::base::diagnostic::{Diagnostic, Place};
use crate::base::ids::{MirrorId, SourceId};
use crate::config::spec::{HorizonSpec, RuleSpec, Text, ZoneSpec};
use crate::config::{AnswerMirrors, Condition, Horizon, MirrorEntry, NetworkKind, Placed, Rule, limits, value};
use crate::mirror::Mirror;

impl Check<'_> {
    pub(super) fn check_horizon(&mut self, spec: &HorizonSpec, mirrors: &Mirrors) -> Horizon {
        self.parse(&spec.name, value::word);
        for (index, rule) in spec.rules.iter().enumerate() {
            if rule.conditions == 0 {
                self.report_unconditional(rule, spec.rules.get(index + 1));
            }
        }
        self.check_ranked_rules(spec);
        Horizon {
            name: spec.name.value.clone(),
            rules: spec.rules.iter().map(|rule| self.check_rule(rule, mirrors)).collect(),
            default: self.check_mirror_list(&spec.default.mirrors),
            default_ranking: self.check_ranking(&spec.default, mirrors),
            default_place: spec.default_place.clone(),
            answer_mirrors: answer_mirrors(spec),
            least_scopes: least_scopes(spec),
        }
    }

    fn report_unconditional(&mut self, rule: &RuleSpec, next: Option<&RuleSpec>) {
        let message = "a rule without conditions decides for every client";
        self.report(match next {
            Some(next) => Diagnostic::error("unconditional-rule", message)
                .at(rule.place.clone(), "no condition")
                .related(next.place.clone(), "so this rule and all below it never decide")
                .help("add a condition, or move its mirrors to `default`"),
            None => Diagnostic::warning("unconditional-rule", message)
                .at(rule.place.clone(), "no condition")
                .help("add a condition, or move its mirrors to `default`, which no client gets to as it is"),
        });
    }

    fn check_rule(&mut self, spec: &RuleSpec, mirrors: &Mirrors) -> Rule {
        let mut conditions: Vec<Condition> = Vec::new();
        conditions.extend(self.check_network_condition(spec));
        if let Some(texts) = &spec.provider {
            conditions.push(Condition::Provider(self.parse_all(texts, value::provider)));
        }
        if let Some(texts) = &spec.region {
            conditions.push(Condition::Region(self.parse_all(texts, value::word)));
        }
        if let Some(numbers) = &spec.asn {
            // The range has been checked when it was read; what does not fit 32 bits is not here.
            let asn = numbers.iter().filter_map(|number| {
                Some(Placed { value: u32::try_from(number.value).ok()?, place: number.place.clone() })
            });
            let asn = self.distinct(asn.collect());
            conditions.push(Condition::Asn(asn));
        }
        if let Some(texts) = &spec.country {
            conditions.push(Condition::Country(self.parse_all(texts, value::country)));
        }
        if let Some(texts) = &spec.continent {
            conditions.push(Condition::Continent(self.parse_all(texts, value::continent)));
        }
        if let Some(texts) = &spec.subdivision {
            conditions.push(Condition::Subdivision(self.parse_all(texts, value::subdivision)));
        }
        Rule {
            conditions,
            mirrors: self.check_mirror_list(&spec.mirrors.mirrors),
            ranking: self.check_ranking(&spec.mirrors, mirrors),
            fallback: self.check_mirror_list(&spec.fallback),
            place: spec.place.clone(),
        }
    }

    fn check_network_condition(&mut self, spec: &RuleSpec) -> Option<Condition> {
        let Some(networks) = &spec.network else {
            if let Some(label) = spec.label.as_ref().and_then(|labels| labels.first()) {
                self.report(
                    Diagnostic::error("label-without-network", "a label means nothing without its network")
                        .at(label.place.clone(), "a label of which list?")
                        .help("add `network = \"…\"`: the list that has the label"),
                );
            }
            return None;
        };
        let labels = spec.label.as_ref().map(|labels| self.parse_all(labels, value::word)).unwrap_or_default();
        let mut sources: Vec<Placed<SourceId>> = Vec::new();
        for name in networks {
            match self.networks.find(name) {
                Ok(at) => {
                    sources.push(Placed { value: SourceId::from_index(at), place: name.place.clone() });
                    // A network of unknown kind has been reported where it stands.
                    if spec.label.is_some() && self.kinds[at].is_some_and(|kind| kind != NetworkKind::List) {
                        self.report(label_without_list(name));
                    }
                }
                Err(problem) => self.report(*problem),
            }
        }
        Some(Condition::Network { sources: self.distinct(sources), labels })
    }

    /// The mirrors of a list; one written twice is an error, as the order is the preference.
    fn check_mirror_list(&mut self, names: &[Text]) -> Vec<MirrorId> {
        let mut first: HashMap<usize, &Place> = HashMap::new();
        let mut ids = Vec::with_capacity(names.len());
        for name in names {
            match self.mirrors.find(name) {
                Err(problem) => self.report(*problem),
                Ok(at) => match first.insert(at, &name.place) {
                    None => ids.push(MirrorId::from_index(at)),
                    Some(before) => self.report(
                        Diagnostic::error("repeated-mirror", format!("mirror `{}` is twice in one list", name.value))
                            .at(name.place.clone(), "named again")
                            .related(before.clone(), "first named here")
                            .help("remove one of the two; the order is the preference"),
                    ),
                },
            }
        }
        ids
    }

    /// Warns of answers that would not fit a datagram because they hold several mirrors.
    pub(super) fn check_answer_length(&mut self, horizon: &Horizon, mirrors: &[MirrorEntry]) {
        let most = usize::from(horizon.answer_mirrors.get());
        let lists = horizon.rules.iter().flat_map(|rule| [(&rule.mirrors, &rule.place), (&rule.fallback, &rule.place)]);
        let mut lists = lists.chain([(&horizon.default, &horizon.default_place)]);
        // Which mirrors of a list are up is not known yet, so those with the most addresses are.
        let longest = |list: &[MirrorId], count: fn(&Mirror) -> usize, record: usize| {
            let mut counts: Vec<usize> = list.iter().map(|id| count(&mirrors[id.index()].mirror)).collect();
            counts.sort_unstable_by(|a, b| b.cmp(a));
            counts.iter().take(most).sum::<usize>() * record
        };
        let octets = |list: &[MirrorId]| {
            longest(list, |mirror| mirror.v4.len(), 16).max(longest(list, |mirror| mirror.v6.len(), 28))
        };
        let too_long = lists.find(|(list, _)| most > 1 && octets(list) > limits::ANSWER_OCTETS);
        if let Some((list, place)) = too_long {
            let message = format!("{most} mirrors of this list have {} octets of addresses", octets(list));
            self.report(Diagnostic::warning("long-answer", message).at(place.clone(), "too long for a datagram").help(
                "clients would have to ask again over TCP: lower `answer-mirrors`, or give mirrors fewer addresses",
            ));
        }
    }

    pub(super) fn check_unused_horizons(&mut self, specs: &[HorizonSpec], zones: &[ZoneSpec]) {
        // A misspelt reference would make a horizon look unused.
        if self.has_lost_reference(self.horizons.code) {
            return;
        }
        let mut used = vec![false; specs.len()];
        for horizon in zones.iter().flat_map(|zone| &zone.steer).filter_map(|steer| steer.horizon.as_ref()) {
            if let Ok(at) = self.horizons.find(horizon) {
                used[at] = true;
            }
        }
        for (spec, _) in specs.iter().zip(used).filter(|(_, used)| !used) {
            let name = &spec.name.value;
            self.report(
                Diagnostic::warning("unused-horizon", format!("no owner is steered by horizon `{name}`"))
                    .at(spec.name.place.clone(), "never used")
                    .help(format!("add `steer = [{{ owner = \"@\", horizon = \"{name}\" }}]` to a zone, or remove it")),
            );
        }
    }
}

/// With how many mirrors to answer; the range has been checked when it was read.
fn answer_mirrors(spec: &HorizonSpec) -> AnswerMirrors {
    let written = spec.answer_mirrors.as_ref().and_then(|number| u8::try_from(number.value).ok());
    written.and_then(AnswerMirrors::new).unwrap_or(AnswerMirrors::ONE)
}

fn label_without_list(network: &Text) -> Diagnostic {
    Diagnostic::error("label-without-list", format!("network `{}` has no labels of its own", network.value))
        .at(network.place.clone(), "not a list")
        .help("only a network made from a `list` has labels; leave `label` out, or ask for a provider or region")
}
