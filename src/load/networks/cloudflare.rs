//! Cloudflare's list of addresses: `result.ipv4_cidrs[]` and `result.ipv6_cidrs[]`.
//!
//! **Invariants**: all entries have the same labels.
//! **Not here**: `success` and `errors` of Cloudflare's API: a response without `result` is refused for its shape. The
//! addresses of its partners in China (`jdcloud_cidrs`) are not Cloudflare's.

use serde::Deserialize;

use super::format::{Format, Parser};
use super::gather::Gather;
use super::json::{self, WrittenJson};
use crate::base::diagnostic::Diagnostic;

/// The format.
pub(super) const FORMAT: Format = Format { noun: "a Cloudflare feed", keys: &["result"], parser: Parser::Text(read) };

#[derive(Deserialize)]
struct CloudflareDocument<'a> {
    #[serde(borrow)]
    result: Prefixes<'a>,
}

#[derive(Deserialize)]
struct Prefixes<'a> {
    #[serde(borrow)]
    ipv4_cidrs: Vec<WrittenJson<'a>>,
    #[serde(borrow)]
    ipv6_cidrs: Vec<WrittenJson<'a>>,
}

/// Reads the feed.
fn read(gather: &mut Gather<'_>) -> Result<(), Vec<Diagnostic>> {
    let document: CloudflareDocument<'_> = json::parse(gather)?;
    let labels = gather.region("cloudflare", "");
    for prefix in document.result.ipv4_cidrs.into_iter().chain(document.result.ipv6_cidrs) {
        json::add(gather, prefix, labels);
    }
    json::require_prefixes(gather, "the feed is published at https://api.cloudflare.com/client/v4/ips")
}
