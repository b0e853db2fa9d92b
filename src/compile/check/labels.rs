//! Values of rules that no source knows: no client will ever meet them.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use super::unmapped::unmapped_regions;
use super::{near, rule_providers};
use crate::base::diagnostic::{Diagnostic, Place, did_you_mean, sort_by_place};
use crate::config::{Condition, Config, Horizon, Placed, Ranking, Rule};
use crate::networks::Networks;

/// Warns of values in rules that no source knows, and of regions that no rule maps.
///
/// `networks` are the sources of `config`, all of them, in its order.
pub fn check_labels(config: &Config, networks: &Networks) -> Vec<Diagnostic> {
    let known = Known::of(networks);
    let mut problems = Vec::new();
    let mut silent = BTreeSet::new();
    problems.extend(unknown_asns(config, &known, &mut silent));
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
        for (provider, regions) in &known.regions {
            problems.extend(unmapped_regions(horizon, provider, regions));
        }
    }
    sort_by_place(&mut problems);
    problems
}

/// All that the loaded sources can say.
#[derive(Default)]
struct Known<'n> {
    providers: BTreeSet<&'n str>,
    /// The regions of each provider.
    regions: BTreeMap<&'n str, BTreeSet<&'n str>>,
    asns: HashSet<u32>,
    countries: BTreeSet<&'n str>,
    continents: BTreeSet<&'n str>,
    subdivisions: BTreeSet<&'n str>,
    /// The labels of each source, in the order of the config.
    labels: Vec<BTreeSet<&'n str>>,
}

impl<'n> Known<'n> {
    fn of(networks: &'n Networks) -> Self {
        let mut known = Known::default();
        for source in &networks.sources {
            let mut own = BTreeSet::new();
            for labels in source.all_labels() {
                own.extend(labels.label.as_deref());
                known.asns.extend(labels.asn);
                if let Some(provider) = labels.provider.as_deref() {
                    known.providers.insert(provider);
                    let regions = known.regions.entry(provider).or_default();
                    regions.extend(labels.region.as_deref());
                }
                if let Some(place) = &labels.place {
                    known.countries.extend(place.country.as_deref());
                    known.continents.extend(place.continent.as_deref());
                    known.subdivisions.extend(place.subdivision.as_deref());
                }
            }
            known.labels.push(own);
        }
        known
    }
}

/// What a kind of value is called, and where it comes from.
struct Kind {
    code: &'static str,
    one: &'static str,
    several: &'static str,
    source: &'static str,
}

const PROVIDER: Kind = Kind {
    code: "unknown-provider",
    one: "provider",
    several: "providers",
    source: "a feed, or `provider = \"…\"` at a network",
};
const REGION: Kind = Kind { code: "unknown-region", one: "region", several: "regions", source: "a provider's feed" };
const ASN: Kind = Kind {
    code: "unknown-asn",
    one: "autonomous system",
    several: "autonomous systems",
    source: "an ASN database (`mmdb`)",
};
const COUNTRY: Kind = Kind {
    code: "unknown-country",
    one: "country",
    several: "countries",
    source: "a Country or City database (`mmdb`), or a geofeed",
};
const CONTINENT: Kind = Kind { code: "unknown-continent", one: "continent", several: "continents", ..COUNTRY };
const SUBDIVISION: Kind = Kind {
    code: "unknown-subdivision",
    one: "subdivision",
    several: "subdivisions",
    source: "a City database (`mmdb`), or a geofeed",
};

/// Autonomous systems that no network knows: one problem for each number, wherever it is named.
fn unknown_asns(config: &Config, known: &Known<'_>, silent: &mut BTreeSet<&'static str>) -> Vec<Diagnostic> {
    let rules = config.horizons.iter().flat_map(|horizon| &horizon.rules);
    let named = rules.flat_map(|rule| &rule.conditions).filter_map(|condition| match condition {
        Condition::Asn(values) => Some(values),
        _ => None,
    });
    let mut unknown_places: BTreeMap<u32, Vec<&Place>> = BTreeMap::new();
    for value in named.flatten().filter(|value| !known.asns.contains(&value.value)) {
        unknown_places.entry(value.value).or_default().push(&value.place);
    }
    if known.asns.is_empty() {
        // The first in the file, not the least number.
        let first = unknown_places
            .into_values()
            .flatten()
            .min_by_key(|place| (place.file.clone(), place.line, place.columns.start));
        return first.and_then(|place| unknown(&ASN, "", place, Some(silent), String::new())).into_iter().collect();
    }
    let problem = |(asn, places): (u32, Vec<&Place>)| {
        let help = format!("check the number; autonomous systems known: {}", known.asns.len());
        let problem = unknown(&ASN, &asn.to_string(), places[0], None, help)?;
        Some(match places[1..] {
            [] => problem,
            [second] => problem.related(second.clone(), "and here"),
            [second, ref more @ ..] => problem.related(second.clone(), format!("and here, and {} more", more.len())),
        })
    };
    unknown_places.into_iter().filter_map(problem).collect()
}

/// The rules of each horizon that no client meets because no network knows what a condition asks for.
///
/// That is said by [`check_labels`]; their consequences need no warning of their own.
pub fn unmet_rules(config: &Config, networks: &Networks) -> Vec<BTreeSet<usize>> {
    let known = Known::of(networks);
    let any =
        |values: &[Placed<Arc<str>>], all: &BTreeSet<&str>| values.iter().any(|value| all.contains(&*value.value));
    let can_hold = |condition: &Condition| match condition {
        Condition::Provider(values) => any(values, &known.providers),
        Condition::Region(values) => known.regions.values().any(|regions| any(values, regions)),
        Condition::Asn(values) => values.iter().any(|value| known.asns.contains(&value.value)),
        Condition::Country(values) => any(values, &known.countries),
        Condition::Continent(values) => any(values, &known.continents),
        Condition::Subdivision(values) => any(values, &known.subdivisions),
        Condition::Network { sources, labels } => {
            labels.is_empty() || sources.iter().any(|source| any(labels, &known.labels[source.value.index()]))
        }
    };
    let unmet = |horizon: &Horizon| {
        let rules = horizon.rules.iter().enumerate();
        rules.filter(|(_, rule)| !rule.conditions.iter().all(can_hold)).map(|(index, _)| index).collect()
    };
    config.horizons.iter().map(unmet).collect()
}

fn check_rule(
    rule: &Rule,
    known: &Known<'_>,
    config: &Config,
    silent: &mut BTreeSet<&'static str>,
    problems: &mut Vec<Diagnostic>,
) {
    let mut check = |kind: &Kind, values: &[Placed<Arc<str>>], all: &BTreeSet<&str>| {
        for value in values.iter().filter(|value| !all.contains(&*value.value)) {
            let help = did_you_mean(&value.value, &format!("known {}", kind.several), all.iter().copied());
            let nothing = all.is_empty();
            problems.extend(unknown(kind, &value.value, &value.place, nothing.then_some(&mut *silent), help));
        }
    };
    for condition in &rule.conditions {
        match condition {
            Condition::Provider(values) => check(&PROVIDER, values, &known.providers),
            Condition::Country(values) => check(&COUNTRY, values, &known.countries),
            Condition::Continent(values) => check(&CONTINENT, values, &known.continents),
            Condition::Subdivision(values) => check(&SUBDIVISION, values, &known.subdivisions),
            Condition::Region(_) | Condition::Asn(_) | Condition::Network { .. } => {}
        }
    }
    for condition in &rule.conditions {
        match condition {
            Condition::Region(values) => check_regions(rule, values, known, silent, problems),
            Condition::Network { sources, labels } => {
                let all: BTreeSet<&str> =
                    sources.iter().flat_map(|source| &known.labels[source.value.index()]).copied().collect();
                let names: Vec<&str> =
                    sources.iter().map(|source| &*config.networks[source.value.index()].name).collect();
                for label in labels.iter().filter(|label| !all.contains(&*label.value)) {
                    let names = crate::base::diagnostic::list(names.iter().copied());
                    problems.push(
                        Diagnostic::warning(
                            "unknown-label",
                            format!("no entry of {names} has label `{}`", label.value),
                        )
                        .at(label.place.clone(), "met by no client")
                        .help(did_you_mean(&label.value, "labels there", all.iter().copied())),
                    );
                }
            }
            _ => {}
        }
    }
}

/// A value that no source knows. Where none knows any value of the kind (`silent`), that is said once instead.
fn unknown(
    kind: &Kind,
    value: &str,
    place: &Place,
    silent: Option<&mut BTreeSet<&'static str>>,
    help: String,
) -> Option<Diagnostic> {
    let Kind { code, one, several, source } = kind;
    match silent {
        None => Some(
            Diagnostic::warning(code, format!("no network knows {one} `{value}`"))
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

/// Where a horizon has mirrors by distance.
fn by_distance(horizon: &Horizon) -> impl Iterator<Item = &Place> {
    let rules = horizon.rules.iter().map(|rule| (&rule.ranking, &rule.place));
    let all = rules.chain([(&horizon.default_ranking, &horizon.default_place)]);
    all.filter(|(ranking, _)| matches!(ranking, Ranking::Nearest(_))).map(|(_, place)| place)
}

/// Regions are those of the rule's providers, where it names any that are known.
fn check_regions(
    rule: &Rule,
    values: &[Placed<Arc<str>>],
    known: &Known<'_>,
    silent: &mut BTreeSet<&'static str>,
    problems: &mut Vec<Diagnostic>,
) {
    let providers: Vec<&str> = rule_providers(rule)
        .map(|named| named.iter().map(|provider| &*provider.value).collect())
        .unwrap_or_else(|| known.providers.iter().copied().collect());
    if !providers.iter().any(|provider| known.providers.contains(provider)) && !known.providers.is_empty() {
        // Nothing can be said of the regions of providers that are unknown themselves.
        return;
    }
    let all: BTreeSet<&str> =
        providers.iter().filter_map(|provider| known.regions.get(provider)).flatten().copied().collect();
    let nobody_has_any = known.regions.values().all(BTreeSet::is_empty);
    for value in values.iter().filter(|value| !all.contains(&*value.value)) {
        let elsewhere = known.regions.iter().find(|(_, regions)| regions.contains(&*value.value));
        let help = match elsewhere {
            Some((provider, _)) => {
                format!("`{}` is a region of `{provider}`, which this rule does not name", value.value)
            }
            None => did_you_mean(&value.value, "known regions", all.iter().copied()),
        };
        let nothing = nobody_has_any.then_some(&mut *silent);
        problems.extend(unknown(&REGION, &value.value, &value.place, nothing, help));
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
