//! `rules` of a horizon: conditions on the client's labels, and the mirrors of the clients that meet them.
//!
//! **Invariants**: rules stay in the order of the file.
//! **Not here**: evaluating rules ([`crate::steer`]); the order of mirrors ([`super::rankings`]).

use std::ops::RangeInclusive;

use super::check::Check;
use super::field::{Section, section};
use super::mirrors::MirrorsConfig;
use super::rankings::{ListSpec, WeightsSpec, mirrors, nearest, report_both, report_no_mirrors, weights};
use super::row::{KeyTable, Row, Rows, flag, numbers, texts};
use super::table::Table;
use super::{NetworkKind, Number, Placed, PlacedText, Ranking, value};
use crate::base::diagnostic::{Diagnostic, Place};
use crate::base::ids::{MirrorId, SourceId};
use crate::networks::{Group, KindRow, LabelKind, LabelValue, ValueForm};

section! {
    /// The keys of a rule, without the conditions on labels.
    pub(super) struct RuleKeys: "a rule" then report_both_of_rule {
        /// Mirrors in order of preference.
        mirrors: Option<Placed<Vec<PlacedText>>> = mirrors(),

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
        nearest: Option<Placed<Vec<PlacedText>>> = nearest(),

        /// With `true`, the registry listener sends the rule's clients to the canonical registry for blobs, without asking a
        /// mirror. DNS answers by `mirrors`, which may be left out if no owner is steered by the horizon.
        ///
        /// Clients in the cloud of the canonical registry stay in it.
        canonical: bool = flag("canonical").default(false).example("true"),

        /// Mirrors for clients while none of the rule's mirrors is usable. `default` follows them.
        fallback: Vec<PlacedText> = texts("fallback", "mirror").example("[\"fra\"]"),

        /// Condition: the client is in one of these sources of `[networks]`.
        network: Option<Vec<PlacedText>> = texts("network", "source").example("\"overrides\""),
    }
}

fn report_both_of_rule(keys: &RuleKeys, table: &Table<'_, '_>) {
    report_both(table.reader, &keys.mirrors, &keys.weights, &keys.nearest);
    report_no_mirrors(keys.canonical, table);
}

/// A rule as written.
#[derive(Debug)]
pub(super) struct RuleSpec {
    pub(super) keys: RuleKeys,
    /// The conditions on labels, in the order of the kinds.
    labels: Vec<(LabelKind, WrittenValues)>,
}

/// The values of a condition as written.
#[derive(Debug)]
enum WrittenValues {
    Texts(Vec<PlacedText>),
    Numbers(Vec<Number>),
}

impl Rows for RuleSpec {
    const PART: KeyTable = KeyTable { title: RuleKeys::PART.title, rows: &ROWS };
}

impl Section for RuleSpec {
    fn read(mut table: Table<'_, '_>) -> Self {
        let labels = LabelKind::ALL.into_iter().filter_map(|kind| {
            let value = table.value(&row(kind))?;
            let values = match kind.row().form {
                ValueForm::Number { least, greatest } => WrittenValues::Numbers(value.numbers(range(least, greatest))),
                _ => WrittenValues::Texts(value.texts()),
            };
            Some((kind, values))
        });
        let labels = labels.collect();
        RuleSpec { labels, keys: RuleKeys::read(table) }
    }
}

/// The rows of a rule: its own keys, then one for each kind of label.
const ROWS: [Row; RuleKeys::PART.rows.len() + LabelKind::COUNT] = {
    let own = RuleKeys::PART.rows;
    let mut rows = [row(LabelKind::Label); RuleKeys::PART.rows.len() + LabelKind::COUNT];
    let mut at = 0;
    while at < rows.len() {
        rows[at] = if at < own.len() { own[at] } else { row(LabelKind::ALL[at - own.len()]) };
        at += 1;
    }
    rows
};

/// The row of the condition on a kind.
const fn row(kind: LabelKind) -> Row {
    let KindRow { form, example, doc, .. } = *kind.row();
    match form {
        ValueForm::Number { least, greatest } => {
            numbers(kind.as_str(), range(least, greatest)).example(example).doc(doc).row()
        }
        form => texts(kind.as_str(), form.words()).example(example).doc(doc).row(),
    }
}

const fn range(least: u32, greatest: u32) -> RangeInclusive<u64> {
    least as u64..=greatest as u64
}

impl RuleSpec {
    /// Its mirrors and their order.
    pub(super) fn list(&self) -> ListSpec<'_> {
        ListSpec::new(&self.keys.mirrors, &self.keys.weights, &self.keys.nearest)
    }

    /// True if no condition is written. A misspelt key counts as one, because it was likely meant as such.
    pub(super) fn is_unconditional(&self) -> bool {
        self.keys.network.is_none() && self.labels.is_empty() && self.keys.table.unknown == 0
    }
}

/// One rule of a horizon.
#[derive(Clone, Debug)]
pub(crate) struct RuleConfig {
    /// The conditions, all of which must hold.
    pub(crate) conditions: Vec<ConditionConfig>,
    /// The mirrors, in order of preference unless `ranking` has another.
    pub(crate) mirrors: Vec<MirrorId>,
    /// The order in which a client takes them.
    pub(crate) ranking: Ranking,
    /// The mirrors for clients while none of those is usable; the horizon's default follows them.
    pub(crate) fallback: Vec<MirrorId>,
    /// If true, the registry listener sends its clients to the canonical registry.
    pub(crate) is_canonical: bool,
    /// The place of the rule.
    pub(crate) place: Place,
}

/// One condition of a rule, with each accepted value and its place.
#[derive(Clone, Debug)]
pub(crate) enum ConditionConfig {
    /// The address has an entry in one of the sources, with one of the labels if there are any.
    Network {
        /// The sources; one at least.
        sources: Vec<Placed<SourceId>>,
        /// The labels; empty accepts any entry.
        labels: Vec<Placed<LabelValue>>,
    },
    /// The label of a kind is one of these.
    Label {
        /// The kind.
        kind: LabelKind,
        /// The values.
        values: Vec<Placed<LabelValue>>,
    },
}

impl Check<'_> {
    pub(super) fn report_unconditional(&mut self, rule: &RuleSpec, next: Option<&RuleSpec>) {
        let message = "a rule without conditions decides for every client";
        self.report(match next {
            Some(next) => Diagnostic::error("unconditional-rule", message)
                .at(rule.keys.table.place.clone(), "no condition")
                .related(next.keys.table.place.clone(), "so this rule and all below it never decide")
                .help("add a condition, or move its mirrors to `default`"),
            None => Diagnostic::warning("unconditional-rule", message)
                .at(rule.keys.table.place.clone(), "no condition")
                .help("add a condition, or move its mirrors to `default`, which no client reaches now"),
        });
    }

    pub(super) fn check_rule(&mut self, spec: &RuleSpec, mirrors: &MirrorsConfig) -> RuleConfig {
        let mut conditions: Vec<ConditionConfig> = Vec::new();
        conditions.extend(self.check_network_condition(spec));
        for (kind, written) in spec.labels.iter().filter(|(kind, _)| kind.row().group != Group::Entry) {
            conditions.push(ConditionConfig::Label { kind: *kind, values: self.check_values(*kind, written) });
        }
        RuleConfig {
            conditions,
            mirrors: self.check_mirror_list(spec.list().mirrors),
            ranking: self.check_ranking(spec.list(), mirrors),
            fallback: self.check_mirror_list(&spec.keys.fallback),
            is_canonical: spec.keys.canonical,
            place: spec.keys.table.place.clone(),
        }
    }

    fn check_values(&mut self, kind: LabelKind, written: &WrittenValues) -> Vec<Placed<LabelValue>> {
        let parse = match kind.row().form {
            ValueForm::Word => value::provider,
            ValueForm::Country => value::country,
            ValueForm::Continent => value::continent,
            ValueForm::Subdivision => value::subdivision,
            ValueForm::Text | ValueForm::Number { .. } => value::word,
        };
        match written {
            WrittenValues::Texts(texts) => self.parse_all(texts, |text| parse(text).map(LabelValue::Text)),
            WrittenValues::Numbers(numbers) => {
                // The range of the row keeps numbers within 32 bits.
                let values = numbers.iter().filter_map(|number| {
                    let value = LabelValue::Number(u32::try_from(number.value).ok()?);
                    Some(Placed { value, place: number.place.clone() })
                });
                self.distinct(values.collect())
            }
        }
    }

    fn check_network_condition(&mut self, spec: &RuleSpec) -> Option<ConditionConfig> {
        let written = spec.labels.iter().find(|(kind, _)| kind.row().group == Group::Entry);
        let Some(networks) = &spec.keys.network else {
            if let Some((_, WrittenValues::Texts(labels))) = written
                && let Some(label) = labels.first()
            {
                self.report(
                    Diagnostic::error("label-without-network", "a label means nothing without its network")
                        .at(label.place.clone(), "no `network`")
                        .help("add `network = \"…\"`: the list that has the label"),
                );
            }
            return None;
        };
        let labels = written.map(|(kind, written)| self.check_values(*kind, written)).unwrap_or_default();
        let mut sources: Vec<Placed<SourceId>> = Vec::new();
        for name in networks {
            let Some(at) = self.found(self.networks.find(name)) else { continue };
            sources.push(Placed { value: SourceId::from_index(at), place: name.place.clone() });
            // A network of unknown kind has been reported at its own place.
            if written.is_some() && self.kinds[at].is_some_and(|kind| kind != NetworkKind::List) {
                self.report(label_without_list(name));
            }
        }
        Some(ConditionConfig::Network { sources: self.distinct(sources), labels })
    }
}

fn label_without_list(network: &PlacedText) -> Diagnostic {
    Diagnostic::error("label-without-list", format!("network `{}` has no labels of its own", network.value))
        .at(network.place.clone(), "not a list")
        .help("only a network made from a `list` has labels; leave `label` out, or ask for a provider or region")
}
