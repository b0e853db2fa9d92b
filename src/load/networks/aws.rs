//! Amazon's `ip-ranges.json`: `prefixes[].ip_prefix`, `ipv6_prefixes[].ipv6_prefix`, each with its `region`, and the zone as
//! `network_border_group`.
//!
//! The zone of most entries has the name of the region. Local zones and Wavelength zones have names of their own.
//! One prefix is listed once per service; its region is the same each time. Blocks nest: `GLOBAL` ones hold regional
//! ones. `GLOBAL` is a region label like any other, but if one prefix has both, the regional one wins.
//!
//! **Not here**: `service`, by which no rule steers.

use std::borrow::Cow;

use serde::Deserialize;

use super::format::{Format, Parser};
use super::gather::Gather;
use super::json::{self, WrittenJson};
use crate::base::diagnostic::Diagnostic;
use crate::networks::LabelKind;

/// The format.
pub(super) const FORMAT: Format =
    Format { noun: "an AWS feed", keys: &["ipv6_prefixes", "createDate"], parser: Parser::Text(read) };

/// The region of prefixes that belong to no region.
const GLOBAL: &str = "GLOBAL";

#[derive(Deserialize)]
struct AwsDocument<'a> {
    #[serde(borrow, default)]
    prefixes: Vec<V4<'a>>,
    #[serde(borrow, default)]
    ipv6_prefixes: Vec<V6<'a>>,
}

#[derive(Deserialize)]
struct V4<'a> {
    #[serde(borrow)]
    ip_prefix: WrittenJson<'a>,
    #[serde(borrow)]
    region: Cow<'a, str>,
    #[serde(borrow, default)]
    network_border_group: Cow<'a, str>,
}

#[derive(Deserialize)]
struct V6<'a> {
    #[serde(borrow)]
    ipv6_prefix: WrittenJson<'a>,
    #[serde(borrow)]
    region: Cow<'a, str>,
    #[serde(borrow, default)]
    network_border_group: Cow<'a, str>,
}

/// Reads the feed.
fn read(gather: &mut Gather<'_>) -> Result<(), Vec<Diagnostic>> {
    let document: AwsDocument<'_> = json::parse(gather)?;
    let v4 = document.prefixes.iter().map(|entry| (entry.ip_prefix, &*entry.region, &*entry.network_border_group));
    let v6 =
        document.ipv6_prefixes.iter().map(|entry| (entry.ipv6_prefix, &*entry.region, &*entry.network_border_group));
    for (prefix, region, zone) in v4.chain(v6) {
        let labels = gather.provider(Some("aws")).with(LabelKind::Region, region).with(LabelKind::Zone, zone);
        let labels = gather.intern(labels);
        match region {
            GLOBAL => json::add_vague(gather, prefix, labels),
            _ => json::add(gather, prefix, labels),
        }
    }
    json::require_prefixes(gather, "the feed is published at https://ip-ranges.amazonaws.com/ip-ranges.json")
}
