//! Regions of a provider that a horizon does not map although it maps others, most often because the feed grew.

use std::collections::BTreeSet;

use super::named_values;
use super::nearest_region::nearest_region;
use crate::base::diagnostic::Diagnostic;
use crate::config::{ConditionConfig, HorizonConfig, RuleConfig};
use crate::networks::{LabelKind, LabelValue};

/// Warns of a provider's regions that a horizon does not map, if it maps others of that provider by region.
pub(super) fn unmapped_regions(horizon: &HorizonConfig, provider: &str, regions: &[&str]) -> Option<Diagnostic> {
    let is = |value: &LabelValue, text: &str| value.borrowed() == LabelValue::Text(text);
    let of_provider = |rule: &&RuleConfig| {
        named_values(rule, LabelKind::Provider).is_none_or(|named| named.iter().any(|one| is(&one.value, provider)))
    };
    let mut mapped: BTreeSet<&str> = BTreeSet::new();
    let mut last = None;
    for rule in horizon.rules.iter().filter(of_provider) {
        if rule
            .conditions
            .iter()
            .all(|condition| matches!(condition, ConditionConfig::Label { kind: LabelKind::Provider, .. }))
        {
            // This rule is for the whole provider, and so also for the regions without a rule of their own.
            return None;
        }
        for value in named_values(rule, LabelKind::Region).unwrap_or_default() {
            if let Some(region) = regions.iter().find(|region| is(&value.value, region)) {
                mapped.insert(region);
                last = Some(value.place.clone());
            }
        }
    }
    let last = last?;
    // `GLOBAL` is a provider's name for addresses without a region; it has no nearest mirror.
    let left: Vec<&str> = regions
        .iter()
        .copied()
        .filter(|region| !mapped.contains(region) && !region.eq_ignore_ascii_case("global"))
        .collect();
    if left.is_empty() {
        return None;
    }
    let noun = if left.len() == 1 { "region" } else { "regions" };
    let message = format!("{} {noun} of `{provider}` in no rule of horizon `{}`", left.len(), horizon.name);
    Some(
        Diagnostic::warning("unmapped-region", message)
            .at(last, format!("regions of `{provider}` are mapped one by one"))
            .help(format!(
                "unmapped: {}; add them, or end with a rule for `provider = \"{provider}\"` alone",
                with_nearest(&left, &mapped)
            )),
    )
}

/// The most unmapped regions that are named in one warning: a screen of them.
const MAX_NAMED: usize = 40;

/// Regions with the nearest mapped one of each.
fn with_nearest(regions: &[&str], mapped: &BTreeSet<&str>) -> String {
    let named = |region: &&str| match nearest_region(region, mapped.iter().copied()) {
        Some(near) => format!("`{region}` (nearest: `{near}`)"),
        None => format!("`{region}`"),
    };
    let list = regions.iter().take(MAX_NAMED).map(named).collect::<Vec<_>>().join(", ");
    match regions.len().saturating_sub(MAX_NAMED) {
        0 => list,
        more => format!("{list} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check_labels;
    use super::super::testing::{config, networks};
    use crate::base::diagnostic::Style;
    use crate::base::report::report;

    #[test]
    fn unmapped_regions_come_with_the_nearest_mapped_one() {
        let config = config("  { provider = 'aws', region = ['us-east-1', 'us-west-2'], mirrors = 'm' },");
        let expected = "\
warning[unmapped-region]: 2 regions of `aws` in no rule of horizon `h`
 --> pharos.toml:7:46
  |
7 |   { provider = 'aws', region = ['us-east-1', 'us-west-2'], mirrors = 'm' },
  |                                              ^^^^^^^^^^^ regions of `aws` are mapped one by one
  |
  = help: unmapped: `sa-east-1`, `us-west-3` (nearest: `us-west-2`); add them, or end with a rule for `provider = \"aws\"` alone

1 warning
";
        assert_eq!(report(&check_labels(&config, &networks()), Style::Plain), expected);
    }

    #[test]
    fn a_rule_for_the_whole_provider_maps_the_rest() {
        let rules = "{ region = 'us-east-1', mirrors = 'm' }, { provider = ['aws', 'gcp'], mirrors = 'm' },";
        assert_eq!(check_labels(&config(rules), &networks()), []);
        // One for some of its clients does not.
        let rules = "{ region = 'us-east-1', mirrors = 'm' }, { provider = 'aws', country = 'DE', mirrors = 'm' },";
        assert_eq!(check_labels(&config(rules), &networks()).len(), 1);
        // If no rule names a region of the provider, no region is missing.
        assert_eq!(check_labels(&config("{ provider = 'aws', asn = 64512, mirrors = 'm' },"), &networks()), []);
    }
}
