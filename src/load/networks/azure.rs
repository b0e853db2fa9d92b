//! Microsoft's service tags: `values[]` named `AzureCloud.<region>`, with `properties.addressPrefixes`.
//!
//! The region is the text after `AzureCloud.`, as written there. The tag `AzureCloud` repeats all prefixes without region
//! and counts only for prefixes that no regional tag covers. All other tags name services, not places.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::Deserialize;

use super::format::{Format, Parser};
use super::gather::Gather;
use super::json::{self, WrittenJson};
use crate::base::diagnostic::Diagnostic;
use crate::base::prefix::Prefix;

/// The format.
pub(super) const FORMAT: Format = Format { noun: "an Azure feed", keys: &["values"], parser: Parser::Text(read) };

/// The tag of everything, and the start of the names of the regional ones.
const TAG: &str = "AzureCloud";

#[derive(Deserialize)]
struct AzureDocument<'a> {
    #[serde(borrow)]
    values: Vec<Tag<'a>>,
}

#[derive(Deserialize)]
struct Tag<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    properties: Properties<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties<'a> {
    #[serde(borrow, default)]
    address_prefixes: Vec<WrittenJson<'a>>,
}

/// Reads the feed.
fn read(gather: &mut Gather<'_>) -> Result<(), Vec<Diagnostic>> {
    let document: AzureDocument<'_> = json::parse(gather)?;
    let mut regional: HashSet<Prefix> = HashSet::new();
    for tag in &document.values {
        let Some(rest) = tag.name.strip_prefix(TAG) else { continue };
        if let Some(region) = rest.strip_prefix('.') {
            let labels = gather.region("azure", region);
            for value in &tag.properties.address_prefixes {
                let Some((prefix, line)) = json::prefix(gather, value) else { continue };
                gather.add(prefix, labels, line);
                regional.insert(prefix);
            }
        } else if rest.is_empty() {
            let labels = gather.region("azure", "");
            for prefix in &tag.properties.address_prefixes {
                json::add_vague(gather, prefix, labels);
            }
        }
    }
    gather.drop_vague(|prefix| is_covered(&regional, prefix));
    json::require_prefixes(gather, "the file of service tags has values named `AzureCloud.<region>`")
}

/// Returns whether a prefix lies in one of a set.
fn is_covered(set: &HashSet<Prefix>, prefix: Prefix) -> bool {
    (0..=prefix.prefix_len()).any(|len| set.contains(&Prefix::holding(prefix.first(), len)))
}
