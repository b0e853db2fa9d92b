//! Google's `cloud.json`: `prefixes[]` with `ipv4Prefix` or `ipv6Prefix`, and the region as `scope`.
//!
//! **Not here**: `goog.json`, which has no scopes: it lists Google's own services together with the cloud's customers.

use std::borrow::Cow;

use serde::Deserialize;

use super::format::{Format, Parser};
use super::gather::Gather;
use super::json::{self, WrittenJson};
use crate::base::diagnostic::Diagnostic;

/// The format.
pub(super) const FORMAT: Format = Format { noun: "a GCP feed", keys: &["prefixes"], parser: Parser::Text(read) };

#[derive(Deserialize)]
struct GcpDocument<'a> {
    #[serde(borrow)]
    prefixes: Vec<GcpEntry<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GcpEntry<'a> {
    #[serde(borrow)]
    ipv4_prefix: Option<WrittenJson<'a>>,
    #[serde(borrow)]
    ipv6_prefix: Option<WrittenJson<'a>>,
    #[serde(borrow)]
    scope: Cow<'a, str>,
}

/// Reads the feed.
fn read(gather: &mut Gather<'_>) -> Result<(), Vec<Diagnostic>> {
    let document: GcpDocument<'_> = json::parse(gather)?;
    let mut before = None;
    for (index, entry) in document.prefixes.iter().enumerate() {
        let labels = gather.region("gcp", &entry.scope);
        for prefix in [entry.ipv4_prefix, entry.ipv6_prefix].into_iter().flatten() {
            json::add(gather, prefix, labels);
            before = Some(prefix);
        }
        if entry.ipv4_prefix.is_none() && entry.ipv6_prefix.is_none() {
            refuse_without_prefix(gather, index, before);
        }
    }
    json::require_prefixes(gather, "the feed is published at https://www.gstatic.com/ipranges/cloud.json")
}

/// Notes an entry without prefix; the nearest thing with a place is the prefix before it.
fn refuse_without_prefix(gather: &mut Gather<'_>, index: usize, before: Option<WrittenJson<'_>>) {
    let text = gather.text;
    gather.refuse(|| {
        let message = format!("entry {} of `prefixes` has neither `ipv4Prefix` nor `ipv6Prefix`", index + 1);
        let problem = Diagnostic::error("bad-prefix", message);
        match before {
            Some(before) => problem.at(text.place_of(before.get()), "the prefix before it"),
            None => problem.at(text.place(0..0), "in this file"),
        }
    });
}
