//! Checks of a config that need the loaded networks and zones and the resolved hosts: values that no source has, regions that
//! no rule maps, rules that never decide, families that some mirrors lack, records that stop a certificate authority.
//!
//! A config and its sources in, warnings out. No check makes an error: the contents of a feed change by the hour, and a
//! region that a provider takes out of it must not keep a server from loading its config.
//!
//! **Invariants**: pure; in file order within a horizon.
//! **Not here**: checks that need the config alone ([`crate::config`]), problems of the sources ([`crate::load`]).

mod families;
mod issuance;
mod labels;
mod near;
mod nearest_region;
#[cfg(test)]
mod testing;
mod unmapped;
mod unreachable;

pub(crate) use families::check_families;
pub(crate) use issuance::{caa_owner, caa_records, check_issuance, is_large};
pub(crate) use labels::{check_labels, unmet_rules};
pub(crate) use near::mirrors_near_nobody;
pub(crate) use unreachable::unreachable_rules;

use std::collections::BTreeSet;

use crate::config::{ConditionConfig, Placed, RuleConfig};
use crate::networks::{LabelKind, LabelValue};

/// The values of a kind that a rule names. `None` if it has no condition on the kind.
fn named_values(rule: &RuleConfig, wanted: LabelKind) -> Option<&[Placed<LabelValue>]> {
    rule.conditions.iter().find_map(|condition| match condition {
        ConditionConfig::Label { kind, values } if *kind == wanted => Some(&**values),
        _ => None,
    })
}

/// Texts of a set, for messages.
fn texts<'a>(values: &BTreeSet<LabelValue<&'a str>>) -> Vec<&'a str> {
    let text = |value: &LabelValue<&'a str>| match value {
        LabelValue::Text(text) => Some(*text),
        LabelValue::Number(_) => None,
    };
    values.iter().filter_map(text).collect()
}
