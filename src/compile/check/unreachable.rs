//! Rules that decide for no client, and the rule above that is the reason, if the config alone shows it.

use std::collections::{BTreeSet, HashSet};

use crate::base::diagnostic::Diagnostic;
use crate::config::{ConditionConfig, HorizonConfig, Placed, RuleConfig};

/// Warns of rules that decide for no client. `winners` are the indices of the others; `unmet` are those of rules whose
/// conditions have been warned of already.
pub(crate) fn unreachable_rules(
    horizon: &HorizonConfig,
    winners: &BTreeSet<usize>,
    unmet: &BTreeSet<usize>,
) -> Vec<Diagnostic> {
    let rules = horizon.rules.iter().enumerate();
    let never = rules.filter(|(index, _)| !winners.contains(index) && !unmet.contains(index));
    let problem = |(index, rule): (usize, &RuleConfig)| {
        let message = format!("a rule of horizon `{}` decides for no client", horizon.name);
        let problem = Diagnostic::warning("unreachable-rule", message).at(rule.place.clone(), "never decides");
        match horizon.rules[..index].iter().find(|earlier| takes_all_of(earlier, rule)) {
            Some(earlier) => problem
                .related(earlier.place.clone(), "this rule comes first and takes all of its clients")
                .help("move the narrower rule up, or remove one of the two"),
            None => problem.help(
                "no address in the loaded networks meets its conditions and none of the rules above it; \
                 move it up, or correct or remove it",
            ),
        }
    };
    never.map(problem).collect()
}

/// Returns whether every client that meets `rule` also meets `earlier`, whatever the networks hold.
fn takes_all_of(earlier: &RuleConfig, rule: &RuleConfig) -> bool {
    earlier.conditions.iter().all(|wide| rule.conditions.iter().any(|narrow| implies(narrow, wide)))
}

/// Returns whether one condition holds only where the other does.
fn implies(narrow: &ConditionConfig, wide: &ConditionConfig) -> bool {
    match (narrow, wide) {
        (
            ConditionConfig::Network { sources, labels },
            ConditionConfig::Network { sources: wide_sources, labels: wide_labels },
        ) => {
            let labelled = wide_labels.is_empty() || (!labels.is_empty() && among(labels, wide_labels));
            labelled && among(sources, wide_sources)
        }
        (ConditionConfig::Label { kind, values }, ConditionConfig::Label { kind: wide_kind, values: wide_values }) => {
            kind == wide_kind && among(values, wide_values)
        }
        _ => false,
    }
}

/// Returns whether every value of one list is in the other.
fn among<T: Eq + std::hash::Hash>(narrow: &[Placed<T>], wide: &[Placed<T>]) -> bool {
    let wide: HashSet<&T> = wide.iter().map(|value| &value.value).collect();
    narrow.iter().all(|value| wide.contains(&value.value))
}

#[cfg(test)]
mod tests {
    use super::super::testing::config;
    use super::*;
    use crate::base::diagnostic::{Place, Style};
    use crate::base::report::report;

    /// For each rule that no client gets to, its line and the line of the one that takes all of its clients.
    fn unreachable(rules: &str, winners: &[usize]) -> Vec<(u32, Option<u32>)> {
        let config = config(rules);
        let problems = unreachable_rules(&config.horizons[0], &winners.iter().copied().collect(), &BTreeSet::new());
        let line = |place: &Place| place.line;
        problems
            .iter()
            .map(|problem| (line(problem.place.as_ref().unwrap()), problem.related.as_ref().map(|(p, _)| line(p))))
            .collect()
    }

    #[test]
    fn rules_that_win_are_not_mentioned() {
        let rules = "{ country = 'DE', mirrors = 'm' },\n{ country = 'DE', mirrors = 'm' },";
        assert_eq!(unreachable(rules, &[0, 1]), []);
    }

    #[test]
    fn a_wider_rule_above_is_the_reason() {
        for (earlier, later) in [
            ("country = ['DE', 'FR']", "country = 'FR'"),
            ("provider = 'aws'", "provider = 'aws', region = 'us-east-1'"),
            ("network = 'office'", "network = 'office', label = 'vpn'"),
            ("network = ['office', 'aws']", "network = 'aws', asn = 64512"),
            ("network = 'office', label = ['vpn', 'x']", "network = 'office', label = 'x'"),
        ] {
            let rules = format!("{{ {earlier}, mirrors = 'm' }},\n{{ {later}, mirrors = 'm' }},");
            assert_eq!(unreachable(&rules, &[0]), [(8, Some(7))], "{rules}");
        }
    }

    #[test]
    fn a_narrower_rule_above_is_not() {
        for (earlier, later) in [
            ("country = 'FR'", "country = ['DE', 'FR']"),
            ("country = 'DE'", "continent = 'EU'"),
            ("provider = 'aws', region = 'us-east-1'", "provider = 'aws'"),
            ("network = 'office', label = 'vpn'", "network = 'office'"),
            ("network = 'office', label = 'vpn'", "network = 'aws'"),
        ] {
            let rules = format!("{{ {earlier}, mirrors = 'm' }},\n{{ {later}, mirrors = 'm' }},");
            assert_eq!(unreachable(&rules, &[0]), [(8, None)], "{rules}");
        }
    }

    #[test]
    fn the_reason_is_shown_with_both_places() {
        let config =
            config("  { continent = 'EU', mirrors = 'm' },\n  { continent = 'EU', country = 'DE', mirrors = 'm' },");
        let expected = "\
warning[unreachable-rule]: a rule of horizon `h` decides for no client
 --> pharos.toml:8:3
  |
8 |   { continent = 'EU', country = 'DE', mirrors = 'm' },
  |   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ never decides
  |
 ::: pharos.toml:7:3
  |
7 |   { continent = 'EU', mirrors = 'm' },
  |   ----------------------------------- this rule comes first and takes all of its clients
  |
  = help: move the narrower rule up, or remove one of the two

1 warning
";
        let problems = unreachable_rules(&config.horizons[0], &BTreeSet::from([0]), &BTreeSet::new());
        assert_eq!(report(&problems, Style::Plain), expected);
    }
}
