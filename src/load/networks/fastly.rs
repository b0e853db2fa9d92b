//! Fastly's list of public addresses: `addresses[]` and `ipv6_addresses[]`.
//!
//! **Invariants**: all entries have the same labels.
//! **Not here**: regions, which the list does not have.

use serde::Deserialize;

use super::format::{Format, Parser};
use super::gather::Gather;
use super::json::{self, WrittenJson};
use crate::base::diagnostic::Diagnostic;

/// The format.
pub(super) const FORMAT: Format =
    Format { noun: "a Fastly feed", keys: &["addresses", "ipv6_addresses"], parser: Parser::Text(read) };

#[derive(Deserialize)]
struct FastlyDocument<'a> {
    #[serde(borrow)]
    addresses: Vec<WrittenJson<'a>>,
    #[serde(borrow)]
    ipv6_addresses: Vec<WrittenJson<'a>>,
}

/// Reads the feed.
fn read(gather: &mut Gather<'_>) -> Result<(), Vec<Diagnostic>> {
    let document: FastlyDocument<'_> = json::parse(gather)?;
    let labels = gather.region("fastly", "");
    for prefix in document.addresses.into_iter().chain(document.ipv6_addresses) {
        json::add(gather, prefix, labels);
    }
    json::require_prefixes(gather, "the feed is published at https://api.fastly.com/public-ip-list")
}
