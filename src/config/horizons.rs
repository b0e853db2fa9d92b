//! `[horizons]`: rules in their order, and the mirrors of clients that match none.
//!
//! **Invariants**: ids of mirrors and sources index the lists of the config.
//! **Not here**: the rules ([`super::rules`]); weights and distances ([`super::rankings`]); families that some clients would lack
//! ([`super::meaning`]).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::check::Check;
use super::field::{Field, Named, Section, section};
use super::mirrors::{MirrorEntry, MirrorsConfig};
use super::rankings::{ListSpec, WeightsSpec, mirrors, nearest, report_both, report_no_mirrors, weights};
use super::row::{KeyRow, Other, flag, number, other, tables};
use super::rules::{RuleConfig, RuleSpec};
use super::table::Table;
use super::{AnswerMirrors, LeastScopes, Placed, PlacedText, Ranking, Steer, ZoneConfig, limits, value};
use crate::base::client::ScopePrefixLen;
use crate::base::diagnostic::{Diagnostic, Place};
use crate::base::ids::MirrorId;
use crate::mirror::Mirror;

section! {
    /// A horizon as written.
    pub(super) struct HorizonSpec: "horizon" {
        /// Rules, tried in order. The first whose every condition matches the client decides; if none does, `default`.
        rules: Vec<RuleSpec> = tables::<RuleSpec>("rules", limits::MAX_RULES).example("[{ country = \"DE\", mirrors = [\"fra\"] }]"),

        /// Mirrors of clients that match no rule: a list, or a table with `mirrors` and `weights`, or with `nearest`. The
        /// same mirrors follow those of each rule.
        ///
        /// Without them a client could get an empty answer.
        default: Option<DefaultSpec> = other("default", "list of mirrors, or table")
            .required_or("add `default = [\"MIRROR\"]`")
            .example("[\"fra\", \"iad\"]"),

        /// Mirrors in one answer: the first usable ones of the rule, or of its fallback if the rule has no usable one, never
        /// of both. Clients take the addresses of an answer in any order.
        ///
        /// One keeps clients at the nearest mirror; with more, a client can turn to another one itself.
        answer_mirrors: u8 = number("answer-mirrors", 1..=8, "mirrors").default(1).example("2"),

        /// Least scope of IPv4 answers by weight. Longer scopes share clients more evenly, and make resolvers ask more
        /// often.
        ///
        /// Under 8 bits there are too few blocks to share out; resolvers send at most 24 bits (RFC 7871 §11.1).
        weights_ipv4_scope: u8 = number("weights-ipv4-scope", 8..=24, "bits").default(LeastScopes::USUAL.v4.0 as u64).example("20"),

        /// Least scope of IPv6 answers by weight.
        ///
        /// Resolvers send at most 56 bits, and a regional registry's block has 12 to 23.
        weights_ipv6_scope: u8 = number("weights-ipv6-scope", 16..=56, "bits").default(LeastScopes::USUAL.v6.0 as u64).example("40"),
    }
}

section! {
    /// `default` of a horizon as a table. A list alone stands for a table with `mirrors`.
    pub(super) struct DefaultSpec: "default" then report_both_of_default {
        /// As in a rule.
        mirrors: Option<Placed<Vec<PlacedText>>> = mirrors(),

        /// As in a rule.
        weights: Option<WeightsSpec> = weights(),

        /// As in a rule.
        nearest: Option<Placed<Vec<PlacedText>>> = nearest(),

        /// As in a rule.
        canonical: bool = flag("canonical").default(false).example("true"),
    }
}

fn report_both_of_default(spec: &DefaultSpec, table: &Table<'_, '_>) {
    report_both(table.reader, &spec.mirrors, &spec.weights, &spec.nearest);
    report_no_mirrors(spec.canonical, table);
}

impl Field<Other> for Option<DefaultSpec> {
    fn take(table: &mut Table<'_, '_>, key: &KeyRow<Other>) -> Self {
        let value = table.value(&key.row())?;
        if value.is_table() {
            return Some(DefaultSpec::read(Table::of(&value, "`default`")?));
        }
        let mirrors = Some(Placed { value: value.texts(), place: value.place() });
        Some(DefaultSpec { mirrors, ..Section::absent(value.place()) })
    }
}

/// One `[horizons.*]`.
#[derive(Clone, Debug)]
pub struct HorizonConfig {
    /// The key.
    pub(crate) name: Arc<str>,
    /// The rules, in order.
    pub(crate) rules: Vec<RuleConfig>,
    /// The mirrors of a client that matches no rule.
    pub default: Vec<MirrorId>,
    /// The order in which such a client takes them.
    pub(crate) default_ranking: Ranking,
    /// If true, the registry listener sends such a client to the canonical registry.
    pub(crate) default_is_canonical: bool,
    /// The place of `default`.
    pub(crate) default_place: Place,
    /// The number of mirrors in one answer.
    pub(crate) answer_mirrors: AnswerMirrors,
    /// The least scopes of answers by weight.
    pub(crate) least_scopes: LeastScopes,
}

impl HorizonConfig {
    /// Every mirror of every list, repeated as often as it is listed.
    pub(crate) fn mirrors(&self) -> impl Iterator<Item = MirrorId> {
        let of_rules = self.rules.iter().flat_map(|rule| rule.mirrors.iter().chain(&rule.fallback));
        of_rules.chain(&self.default).copied()
    }
}

impl Check<'_> {
    pub(super) fn check_horizon(&mut self, named: &Named<HorizonSpec>, mirrors: &MirrorsConfig) -> HorizonConfig {
        self.parse(&named.name, value::word);
        let spec = &named.keys;
        for (index, rule) in spec.rules.iter().enumerate() {
            if rule.is_unconditional() {
                self.report_unconditional(rule, spec.rules.get(index + 1));
            }
        }
        self.limit_rules(&spec.rules, "weights", |list| list.weights.is_some());
        self.limit_rules(&spec.rules, "nearest", |list| list.is_nearest);
        let default = spec.default.as_ref();
        let list = default.map(|default| ListSpec::new(&default.mirrors, &default.weights, &default.nearest));
        let list = list.unwrap_or_default();
        HorizonConfig {
            name: named.name.value.clone(),
            rules: spec.rules.iter().map(|rule| self.check_rule(rule, mirrors)).collect(),
            default: self.check_mirror_list(list.mirrors),
            default_ranking: self.check_ranking(list, mirrors),
            default_is_canonical: default.is_some_and(|default| default.canonical),
            default_place: default.map_or(&spec.table, |default| &default.table).place.clone(),
            answer_mirrors: AnswerMirrors::new(spec.answer_mirrors).unwrap_or(AnswerMirrors::ONE),
            least_scopes: LeastScopes {
                v4: ScopePrefixLen(spec.weights_ipv4_scope),
                v6: ScopePrefixLen(spec.weights_ipv6_scope),
            },
        }
    }

    /// Keeps the number of plans within its limit.
    fn limit_rules(&mut self, rules: &[RuleSpec], key: &str, is_one: impl Fn(&ListSpec<'_>) -> bool) {
        let most = limits::MAX_RANKED_RULES;
        if let Some(over) = rules.iter().filter(|rule| is_one(&rule.list())).nth(most) {
            self.report(
                Diagnostic::error("too-many", format!("more than {most} rules of a horizon have `{key}`"))
                    .at(over.keys.table.place.clone(), "one too many")
                    .help("merge rules that have the same mirrors, or list the mirrors of some in order"),
            );
        }
    }

    /// Reports plans of a steered owner from which DNS could answer nothing: DNS never leads to a redirect-only mirror.
    pub(super) fn check_steered_mirrors(
        &mut self,
        horizons: &[HorizonConfig],
        mirrors: &MirrorsConfig,
        zones: &[ZoneConfig],
    ) {
        let mut seen = HashSet::new();
        let steers = zones.iter().flat_map(|zone| &zone.steer);
        for steer in steers.filter(|steer| seen.insert(steer.horizon)) {
            let horizon = &horizons[steer.horizon.index()];
            if let Some(problem) = default_without_address(horizon, mirrors, steer) {
                self.report(problem);
            }
            for rule in horizon.rules.iter().filter(|rule| rule.is_canonical && rule.mirrors.is_empty()) {
                let message =
                    format!("a rule of horizon `{}` has no `mirrors`, and an owner is steered by it", horizon.name);
                self.report(
                    Diagnostic::error("missing-key", message)
                        .at(rule.place.clone(), "DNS has no answer for its clients")
                        .related(steer.place.clone(), "steered here")
                        .help("add `mirrors = [\"MIRROR\"]`: `canonical` decides on the registry listener alone"),
                );
            }
        }
    }

    /// The mirrors of a list; one written twice is an error, as the order is the preference.
    pub(super) fn check_mirror_list(&mut self, names: &[PlacedText]) -> Vec<MirrorId> {
        let mut first: HashMap<usize, &Place> = HashMap::new();
        let mut ids = Vec::with_capacity(names.len());
        for name in names {
            let Some(at) = self.found(self.mirrors.find(name)) else { continue };
            match first.insert(at, &name.place) {
                None => ids.push(MirrorId::from_index(at)),
                Some(before) => self.report(
                    Diagnostic::error("repeated-mirror", format!("mirror `{}` is twice in one list", name.value))
                        .at(name.place.clone(), "named again")
                        .related(before.clone(), "first named here")
                        .help("remove one of the two; the order is the preference"),
                ),
            }
        }
        ids
    }

    /// Warns of answers with several mirrors that would not fit a datagram.
    pub(super) fn check_answer_length(&mut self, horizon: &HorizonConfig, mirrors: &[MirrorEntry]) {
        let most = usize::from(horizon.answer_mirrors.get());
        let lists = horizon.rules.iter().flat_map(|rule| [(&rule.mirrors, &rule.place), (&rule.fallback, &rule.place)]);
        let mut lists = lists.chain([(&horizon.default, &horizon.default_place)]);
        // Health is unknown here, so the mirrors with the most addresses are taken to be up.
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
            let message = format!("{most} mirrors of this list have {} bytes of addresses", octets(list));
            self.report(Diagnostic::warning("long-answer", message).at(place.clone(), "too long for a datagram").help(
                "clients would have to ask again over TCP: lower `answer-mirrors`, or give mirrors fewer addresses",
            ));
        }
    }
}

/// The problem of a default from which DNS could answer nothing.
fn default_without_address(horizon: &HorizonConfig, mirrors: &MirrorsConfig, steer: &Steer) -> Option<Diagnostic> {
    let default = &horizon.default;
    let is_redirect_only = |id: &MirrorId| mirrors.entries[id.index()].mirror.is_redirect_only();
    // Another empty default, and a broken mirror, have been reported.
    let is_known = horizon.default_is_canonical || !default.is_empty();
    if !is_known || !default.iter().all(is_redirect_only) || default.iter().any(|id| mirrors.broken.contains(id)) {
        return None;
    }
    let message = format!("the default of horizon `{}` has no mirror that DNS could answer with", horizon.name);
    Some(
        Diagnostic::error("no-address", message)
            .at(horizon.default_place.clone(), "redirect-only mirrors alone")
            .related(steer.place.clone(), "steered here")
            .help("add a mirror with `addresses` or `host` at the end of `default`, or steer no owner by this horizon"),
    )
}
