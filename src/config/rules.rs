//! `rules` of a horizon: conditions on the client's labels, and the mirrors of the clients that meet them.
//!
//! **Invariants**: rules stay in the order of the file.
//! **Not here**: evaluating rules ([`crate::steer`]); the order of mirrors ([`super::rankings`]).

use std::sync::Arc;

use super::check::Check;
use super::field::section;
use super::mirrors::Mirrors;
use super::rankings::{ListSpec, WeightsSpec, mirrors, nearest, report_both, weights};
use super::row::{numbers, texts};
use super::spec::{Number, Text};
use super::table::Table;
use super::{NetworkKind, Placed, Ranking, limits, value};
use crate::base::diagnostic::{Diagnostic, Place};
use crate::base::ids::{MirrorId, SourceId};

section! {
    /// A rule as written.
    pub(super) struct RuleSpec: "a rule" then report_both_of_rule {
        /// Mirrors in order of preference.
        mirrors: Option<Placed<Vec<Text>>> = mirrors(),

        /// Shares of `mirrors`: a number from 0 to 1000 for each, at most 64 mirrors. 0 takes clients only while no other
        /// mirror of the list is up. All clients of one scope get the same mirror.
        ///
        /// The same client block gets the same mirror from every server and after every restart. If a mirror goes down,
        /// only its blocks move.
        weights: Option<WeightsSpec> = weights(),

        /// Mirrors to take by great-circle distance from the client, instead of `mirrors`; at most 64, each with a
        /// `location`. Only the four nearest are sorted; equal distances go to the mirror listed first. Clients without
        /// coordinates take the list as it is.
        ///
        /// The coordinates come from a City database.
        nearest: Option<Placed<Vec<Text>>> = nearest(),

        /// Mirrors for clients while none of the rule's mirrors is usable. `default` follows them.
        fallback: Vec<Text> = texts("fallback", "mirror").example("[\"fra\"]"),

        /// Condition: the client is in one of these sources of `[networks]`.
        network: Option<Vec<Text>> = texts("network", "source").example("\"overrides\""),

        /// Condition: the entry of the client in `network`, which must be a list, has one of these labels.
        label: Option<Vec<Text>> = texts("label", "label").example("\"office\""),

        /// Condition: one of these providers, as feeds name them.
        provider: Option<Vec<Text>> = texts("provider", "word in lower case").example("\"aws\""),

        /// Condition: one of these regions, as feeds name them.
        region: Option<Vec<Text>> = texts("region", "text").example("[\"us-east-1\", \"us-east-2\"]"),

        /// Condition: one of these autonomous systems.
        ///
        /// 0 is never announced (RFC 7607); numbers have 32 bits (RFC 6793).
        asn: Option<Vec<Number>> = numbers("asn", limits::ASN, "number").example("[64512, 64513]"),

        /// Condition: one of these countries (ISO 3166-1).
        country: Option<Vec<Text>> = texts("country", "two letters in upper case").example("[\"DE\", \"FR\"]"),

        /// Condition: one of these continents.
        continent: Option<Vec<Text>> = texts("continent", "`AF`, `AN`, `AS`, `EU`, `NA`, `OC` or `SA`").example("\"EU\""),

        /// Condition: one of these subdivisions (ISO 3166-2).
        subdivision: Option<Vec<Text>> = texts("subdivision", "code like `US-CA`").example("\"US-CA\""),
    }
}

fn report_both_of_rule(spec: &RuleSpec, table: &Table<'_, '_>) {
    report_both(table.reader, &spec.mirrors, &spec.weights, &spec.nearest);
}

impl RuleSpec {
    /// Its mirrors and their order.
    pub(super) fn list(&self) -> ListSpec<'_> {
        ListSpec::new(&self.mirrors, &self.weights, &self.nearest)
    }

    /// True if no condition is written. A misspelt key counts as one, because it was likely meant as such.
    pub(super) fn is_unconditional(&self) -> bool {
        let texts = [&self.network, &self.label, &self.provider, &self.region, &self.country, &self.continent];
        let none = texts.iter().all(|texts| texts.is_none()) && self.subdivision.is_none() && self.asn.is_none();
        none && self.table.unknown == 0
    }
}

/// One rule of a horizon.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The conditions, all of which must hold.
    pub conditions: Vec<Condition>,
    /// The mirrors, in order of preference unless `ranking` has another.
    pub mirrors: Vec<MirrorId>,
    /// The order in which a client takes them.
    pub ranking: Ranking,
    /// The mirrors for clients while none of those is usable; the horizon's default follows them.
    pub fallback: Vec<MirrorId>,
    /// The place of the rule.
    pub place: Place,
}

/// One condition of a rule, with each accepted value and its place.
#[derive(Clone, Debug)]
pub enum Condition {
    /// The address has an entry in one of the sources, with one of the labels if there are any.
    Network {
        /// The sources; one at least.
        sources: Vec<Placed<SourceId>>,
        /// The labels; empty accepts any entry.
        labels: Vec<Placed<Arc<str>>>,
    },
    /// The provider is one of these.
    Provider(Vec<Placed<Arc<str>>>),
    /// The region is one of these.
    Region(Vec<Placed<Arc<str>>>),
    /// The autonomous system is one of these.
    Asn(Vec<Placed<u32>>),
    /// The country is one of these.
    Country(Vec<Placed<Arc<str>>>),
    /// The continent is one of these.
    Continent(Vec<Placed<Arc<str>>>),
    /// The subdivision is one of these.
    Subdivision(Vec<Placed<Arc<str>>>),
}

impl Check<'_> {
    pub(super) fn report_unconditional(&mut self, rule: &RuleSpec, next: Option<&RuleSpec>) {
        let message = "a rule without conditions decides for every client";
        self.report(match next {
            Some(next) => Diagnostic::error("unconditional-rule", message)
                .at(rule.table.place.clone(), "no condition")
                .related(next.table.place.clone(), "so this rule and all below it never decide")
                .help("add a condition, or move its mirrors to `default`"),
            None => Diagnostic::warning("unconditional-rule", message)
                .at(rule.table.place.clone(), "no condition")
                .help("add a condition, or move its mirrors to `default`, which no client reaches now"),
        });
    }

    pub(super) fn check_rule(&mut self, spec: &RuleSpec, mirrors: &Mirrors) -> Rule {
        let mut conditions: Vec<Condition> = Vec::new();
        conditions.extend(self.check_network_condition(spec));
        if let Some(texts) = &spec.provider {
            conditions.push(Condition::Provider(self.parse_all(texts, value::provider)));
        }
        if let Some(texts) = &spec.region {
            conditions.push(Condition::Region(self.parse_all(texts, value::word)));
        }
        if let Some(numbers) = &spec.asn {
            // The range of the row keeps numbers within 32 bits.
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
            mirrors: self.check_mirror_list(spec.list().mirrors),
            ranking: self.check_ranking(spec.list(), mirrors),
            fallback: self.check_mirror_list(&spec.fallback),
            place: spec.table.place.clone(),
        }
    }

    fn check_network_condition(&mut self, spec: &RuleSpec) -> Option<Condition> {
        let Some(networks) = &spec.network else {
            if let Some(label) = spec.label.as_ref().and_then(|labels| labels.first()) {
                self.report(
                    Diagnostic::error("label-without-network", "a label means nothing without its network")
                        .at(label.place.clone(), "no `network`")
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
}

fn label_without_list(network: &Text) -> Diagnostic {
    Diagnostic::error("label-without-list", format!("network `{}` has no labels of its own", network.value))
        .at(network.place.clone(), "not a list")
        .help("only a network made from a `list` has labels; leave `label` out, or ask for a provider or region")
}
