//! Oracle's `public_ip_ranges.json`: `regions[]` with `region` and `cidrs[].cidr`.
//!
//! **Not here**: `tags`, which name Oracle's own networks inside a region.

use std::borrow::Cow;

use serde::Deserialize;

use super::format::{Format, Parser};
use super::gather::Gather;
use super::json::{self, WrittenJson};
use crate::base::diagnostic::Diagnostic;

/// The format.
pub(super) const FORMAT: Format = Format { noun: "an OCI feed", keys: &["regions"], parser: Parser::Text(read) };

#[derive(Deserialize)]
struct OciDocument<'a> {
    #[serde(borrow)]
    regions: Vec<Region<'a>>,
}

#[derive(Deserialize)]
struct Region<'a> {
    #[serde(borrow)]
    region: Cow<'a, str>,
    #[serde(borrow)]
    cidrs: Vec<Cidr<'a>>,
}

#[derive(Deserialize)]
struct Cidr<'a> {
    #[serde(borrow)]
    cidr: WrittenJson<'a>,
}

/// Reads the feed.
fn read(gather: &mut Gather<'_>) -> Result<(), Vec<Diagnostic>> {
    let document: OciDocument<'_> = json::parse(gather)?;
    for region in &document.regions {
        let labels = gather.region("oci", &region.region);
        for cidr in &region.cidrs {
            json::add(gather, cidr.cidr, labels);
        }
    }
    json::require_prefixes(gather, "the feed is published at https://docs.oracle.com/iaas/tools/public_ip_ranges.json")
}
