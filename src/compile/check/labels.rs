//! Values of rules that no source knows: no client ever meets such a condition.

use std::collections::{BTreeMap, BTreeSet};

use super::unmapped::unmapped_regions;
use super::{named_values, near, texts};
use crate::base::diagnostic::{Diagnostic, Place, did_you_mean, sort_by_place};
use crate::config::{ConditionConfig, Config, HorizonConfig, Placed, Ranking, RuleConfig};
use crate::networks::{KindRow, LabelKind, LabelValue, Networks, ValueForm};

/// Warns of values in rules that no source knows, and of regions that no rule maps.
///
/// `networks` are the sources of `config`, all of them, in its order.
pub(crate) fn check_labels(config: &Config, networks: &Networks) -> Vec<Diagnostic> {
    let known = KnownValues::of(networks);
    let mut problems = Vec::new();
    let mut silent = BTreeSet::new();
    for kind in LabelKind::ALL.into_iter().filter(|kind| matches!(kind.row().form, ValueForm::Number { .. })) {
        problems.extend(unknown_numbers(kind, config, &known, &mut silent));
    }
    for horizon in &config.horizons {
        for rule in &horizon.rules {
            check_rule(rule, &known, config, &mut silent, &mut problems);
        }
        problems.extend(by_distance(horizon).filter(|_| !near::knows_coordinates(networks)).find_map(|place| {
            let source = "a City database (`mmdb`)";
            silent
                .insert("coordinates")
                .then(|| no_source("coordinates", place, "without coordinates no mirror is near to a client", source))
        }));
        for (provider, regions) in &known.of_providers[LabelKind::Region as usize] {
            problems.extend(unmapped_regions(horizon, provider, &texts(regions)));
        }
    }
    sort_by_place(&mut problems);
    problems
}

/// All that the loaded sources can say.
#[derive(Default)]
struct KnownValues<'n> {
    /// By kind, the values of all sources.
    values: [Values<'n>; LabelKind::COUNT],
    /// By kind, the values of each provider, for the kinds that are parts of a provider.
    of_providers: [BTreeMap<&'n str, Values<'n>>; LabelKind::COUNT],
    /// The labels of each source's own entries, in the order of the configuration.
    of_sources: Vec<Values<'n>>,
}

type Values<'n> = BTreeSet<LabelValue<&'n str>>;

impl<'n> KnownValues<'n> {
    fn of(networks: &'n Networks) -> Self {
        let mut known = KnownValues::default();
        for source in &networks.sources {
            known.of_sources.push(source.values(LabelKind::Label));
            for kind in LabelKind::ALL {
                known.values[kind as usize].extend(source.values(kind));
            }
            // Databases of cities have hundreds of thousands of sets, and no provider.
            if source.values(LabelKind::Provider).is_empty() {
                continue;
            }
            for labels in source.all_labels() {
                let Some(provider) = labels.text(LabelKind::Provider) else { continue };
                for kind in LabelKind::ALL.into_iter().filter(|kind| kind.is_of_provider()) {
                    let values = known.of_providers[kind as usize].entry(provider).or_default();
                    values.extend(labels.value(kind));
                }
            }
        }
        known
    }

    fn of_kind(&self, kind: LabelKind) -> &Values<'n> {
        &self.values[kind as usize]
    }
}

/// Numbers that no network knows: one problem for each number, wherever it is named.
fn unknown_numbers(kind: LabelKind, config: &Config, known: &KnownValues<'_>, silent: &mut Silent) -> Vec<Diagnostic> {
    let rules = config.horizons.iter().flat_map(|horizon| &horizon.rules);
    let named = rules.filter_map(|rule| named_values(rule, kind)).flatten();
    let known = known.of_kind(kind);
    let mut unknown_places: BTreeMap<LabelValue<&str>, Vec<&Place>> = BTreeMap::new();
    for value in named.filter(|value| !known.contains(&value.value.borrowed())) {
        unknown_places.entry(value.value.borrowed()).or_default().push(&value.place);
    }
    if known.is_empty() {
        // The first in the file, not the least number.
        let first = unknown_places
            .into_values()
            .flatten()
            .min_by_key(|place| (place.file.clone(), place.line, place.columns.start));
        return first.and_then(|place| unknown(kind, "", place, Some(silent), String::new())).into_iter().collect();
    }
    let problem = |(number, places): (LabelValue<&str>, Vec<&Place>)| {
        let help = format!("check the number; {} known: {}", kind.row().nouns[1], known.len());
        let problem = unknown(kind, &number.to_string(), places[0], None, help)?;
        Some(match places[1..] {
            [] => problem,
            [second] => problem.related(second.clone(), "and here"),
            [second, ref more @ ..] => problem.related(second.clone(), format!("and here, and {} more", more.len())),
        })
    };
    unknown_places.into_iter().filter_map(problem).collect()
}

/// The rules of each horizon that no client meets because no network knows the value of a condition.
///
/// [`check_labels`] warns of the values, so that the consequences need no warning of their own.
pub(crate) fn unmet_rules(config: &Config, networks: &Networks) -> Vec<BTreeSet<usize>> {
    let known = KnownValues::of(networks);
    let any =
        |values: &[Placed<LabelValue>], all: &Values<'_>| values.iter().any(|one| all.contains(&one.value.borrowed()));
    let can_hold = |condition: &ConditionConfig| match condition {
        ConditionConfig::Label { kind, values } => any(values, known.of_kind(*kind)),
        ConditionConfig::Network { sources, labels } => {
            labels.is_empty() || sources.iter().any(|source| any(labels, &known.of_sources[source.value.index()]))
        }
    };
    let unmet = |horizon: &HorizonConfig| {
        let rules = horizon.rules.iter().enumerate();
        rules.filter(|(_, rule)| !rule.conditions.iter().all(can_hold)).map(|(index, _)| index).collect()
    };
    config.horizons.iter().map(unmet).collect()
}

/// The nouns of the kinds that no network knows and that have been warned of.
type Silent = BTreeSet<&'static str>;

fn check_rule(
    rule: &RuleConfig,
    known: &KnownValues<'_>,
    config: &Config,
    silent: &mut Silent,
    problems: &mut Vec<Diagnostic>,
) {
    for condition in &rule.conditions {
        match condition {
            ConditionConfig::Label { kind, .. } if matches!(kind.row().form, ValueForm::Number { .. }) => {}
            ConditionConfig::Label { kind, values } if kind.is_of_provider() => {
                check_parts(*kind, rule, values, known, silent, problems);
            }
            ConditionConfig::Label { kind, values } => {
                let all = known.of_kind(*kind);
                for value in unknown_values(values, all) {
                    let help = help(*kind, &value.value.to_string(), all);
                    let nothing = all.is_empty().then_some(&mut *silent);
                    problems.extend(unknown(*kind, &value.value.to_string(), &value.place, nothing, help));
                }
            }
            ConditionConfig::Network { sources, labels } => {
                let all: Values<'_> =
                    sources.iter().flat_map(|source| &known.of_sources[source.value.index()]).copied().collect();
                let names = sources.iter().map(|source| &*config.networks[source.value.index()].name);
                let names = crate::base::diagnostic::list(names);
                for label in unknown_values(labels, &all) {
                    let message = format!("no entry of {names} has label `{}`", label.value);
                    problems.push(
                        Diagnostic::warning(LabelKind::Label.row().unknown, message)
                            .at(label.place.clone(), "met by no client")
                            .help(did_you_mean(&label.value.to_string(), "labels there", texts(&all))),
                    );
                }
            }
        }
    }
}

fn unknown_values<'v>(
    values: &'v [Placed<LabelValue>],
    all: &Values<'_>,
) -> impl Iterator<Item = &'v Placed<LabelValue>> {
    values.iter().filter(|value| !all.contains(&value.value.borrowed()))
}

fn help(kind: LabelKind, value: &str, all: &Values<'_>) -> String {
    did_you_mean(value, &format!("known {}", kind.row().nouns[1]), texts(all))
}

/// A value that no source knows. If no source knows any value of the kind (`silent`), one warning says so instead.
fn unknown(
    kind: LabelKind,
    value: &str,
    place: &Place,
    silent: Option<&mut Silent>,
    help: String,
) -> Option<Diagnostic> {
    let KindRow { nouns: [one, several], unknown, source, .. } = *kind.row();
    match silent {
        None => Some(
            Diagnostic::warning(unknown, format!("no network knows {one} `{value}`"))
                .at(place.clone(), "met by no client")
                .help(help),
        ),
        Some(silent) => silent.insert(one).then(|| no_source(several, place, "met by no client", source)),
    }
}

fn no_source(several: &str, place: &Place, effect: &str, source: &str) -> Diagnostic {
    Diagnostic::warning("no-source", format!("no network knows {several} at all"))
        .at(place.clone(), effect)
        .help(format!("add a network that does: {source}"))
}

/// The places at which a horizon has mirrors by distance.
fn by_distance(horizon: &HorizonConfig) -> impl Iterator<Item = &Place> {
    let rules = horizon.rules.iter().map(|rule| (&rule.ranking, &rule.place));
    let all = rules.chain([(&horizon.default_ranking, &horizon.default_place)]);
    all.filter(|(ranking, _)| matches!(ranking, Ranking::Nearest(_))).map(|(_, place)| place)
}

/// Checks regions, and other parts of a provider. The known values are those of the rule's providers, or of all providers
/// if the rule names no provider.
fn check_parts(
    kind: LabelKind,
    rule: &RuleConfig,
    values: &[Placed<LabelValue>],
    known: &KnownValues<'_>,
    silent: &mut Silent,
    problems: &mut Vec<Diagnostic>,
) {
    let all_providers = known.of_kind(LabelKind::Provider);
    let providers: Values<'_> = match named_values(rule, LabelKind::Provider) {
        Some(named) => named.iter().map(|provider| provider.value.borrowed()).collect(),
        None => all_providers.clone(),
    };
    if providers.is_disjoint(all_providers) && !all_providers.is_empty() {
        // The regions of unknown providers cannot be checked.
        return;
    }
    let of_providers = &known.of_providers[kind as usize];
    let all: Values<'_> =
        texts(&providers).into_iter().filter_map(|provider| of_providers.get(provider)).flatten().copied().collect();
    for value in unknown_values(values, &all) {
        let elsewhere = of_providers.iter().find(|(_, values)| values.contains(&value.value.borrowed()));
        let help = match elsewhere {
            Some((provider, _)) => {
                format!("`{}` is a {} of `{provider}`, which this rule does not name", value.value, kind.row().nouns[0])
            }
            None => help(kind, &value.value.to_string(), &all),
        };
        let nothing = known.of_kind(kind).is_empty().then_some(&mut *silent);
        problems.extend(unknown(kind, &value.value.to_string(), &value.place, nothing, help));
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{config, networks, sources};
    use super::*;

    /// Line, message and help of each problem.
    fn short(problems: &[Diagnostic]) -> Vec<String> {
        let one = |problem: &Diagnostic| {
            assert!(!problem.is_error(), "{problem:?}");
            let line = problem.place.as_ref().unwrap().line;
            format!("{line} {}: {}; {}", problem.code, problem.message, problem.help.as_deref().unwrap_or(""))
        };
        problems.iter().map(one).collect()
    }

    #[test]
    fn values_that_are_known_say_nothing() {
        let config = config(
            "{ network = 'office', label = 'vpn', mirrors = 'm' },
             { provider = 'aws', region = ['us-east-1', 'us-west-2', 'us-west-3', 'sa-east-1'], mirrors = 'm' },
             { region = ['us-west1', 'europe-west4'], mirrors = 'm' },
             { asn = 64512, country = 'DE', continent = 'EU', subdivision = 'DE-BE', mirrors = 'm' },",
        );
        assert_eq!(check_labels(&config, &networks()), []);
    }

    #[test]
    fn values_that_nobody_knows_are_met_by_no_client() {
        let config = config(
            "{ network = ['office', 'gcp'], mirrors = 'm' },
             { network = 'office', label = 'vpm', mirrors = 'm' },
             { provider = 'awz', region = 'us-east-1', mirrors = 'm' },
             { provider = 'gcp', region = ['us-wst1', 'us-east-1'], mirrors = 'm' },
             { asn = 64513, mirrors = 'm' },
             { country = 'FR', continent = 'AF', subdivision = 'DE-BY', mirrors = 'm' },
             { provider = 'gcp', mirrors = 'm' },",
        );
        let expected = [
            "8 unknown-label: no entry of `office` has label `vpm`; did you mean `vpn`? labels there: `vpn`",
            "9 unknown-provider: no network knows provider `awz`; did you mean `aws`? known providers: `aws`, `gcp`",
            "10 unknown-region: no network knows region `us-wst1`; \
             did you mean `us-west1`? known regions: `europe-west4`, `us-west1`",
            "10 unknown-region: no network knows region `us-east-1`; \
             `us-east-1` is a region of `aws`, which this rule does not name",
            "11 unknown-asn: no network knows autonomous system `64513`; \
             check the number; autonomous systems known: 1",
            "12 unknown-country: no network knows country `FR`; known countries: `DE`",
            "12 unknown-continent: no network knows continent `AF`; known continents: `EU`",
            "12 unknown-subdivision: no network knows subdivision `DE-BY`; \
             did you mean `DE-BE`? known subdivisions: `DE-BE`",
        ];
        assert_eq!(short(&check_labels(&config, &networks())), expected);
    }

    #[test]
    fn an_unknown_value_is_one_warning_and_its_rules_get_no_other() {
        let config = config(
            "{ asn = 64513, mirrors = 'm' },
             { asn = [64512, 64514], country = 'DE', mirrors = 'm' },
             { provider = 'gcp', asn = 64513, mirrors = 'm' },
             { asn = 64513, country = 'DE', mirrors = 'm' },",
        );
        let found = check_labels(&config, &networks());
        let lines: Vec<_> = found.iter().map(|one| (one.code, one.place.as_ref().unwrap().line)).collect();
        assert_eq!(lines, [("unknown-asn", 7), ("unknown-asn", 8)]);
        let (second, label) = found[0].related.as_ref().unwrap();
        assert_eq!((second.line, &**label), (9, "and here, and 1 more"));
        assert_eq!(unmet_rules(&config, &networks()), [BTreeSet::from([0, 2, 3])]);
    }

    #[test]
    fn mirrors_by_distance_without_any_coordinates_are_said_once() {
        let config = config(
            "{ provider = 'gcp', nearest = 'm' },
             { provider = 'aws', nearest = 'm' },",
        );
        let expected =
            "7 no-source: no network knows coordinates at all; add a network that does: a City database (`mmdb`)";
        assert_eq!(short(&check_labels(&config, &networks())), [expected]);
    }

    #[test]
    fn a_kind_that_no_network_knows_is_said_once() {
        let config = config(
            "{ asn = [1, 2], mirrors = 'm' },
             { provider = 'aws', region = ['a', 'b'], mirrors = 'm' },
             { asn = 3, continent = 'EU', mirrors = 'm' },",
        );
        let nothing = sources(["office", "aws", "gcp", "asn", "geo"].map(|name| (name, Vec::new())));
        let found = short(&check_labels(&config, &nothing));
        let expected = [
            "7 no-source: no network knows autonomous systems at all; \
             add a network that does: an ASN database (`mmdb`)",
            "8 no-source: no network knows providers at all; \
             add a network that does: a feed, or `provider = \"…\"` at a network",
            "8 no-source: no network knows regions at all; add a network that does: a provider's feed",
            "9 no-source: no network knows continents at all; \
             add a network that does: a Country or City database (`mmdb`), or a geofeed",
        ];
        assert_eq!(found, expected);
    }
}
