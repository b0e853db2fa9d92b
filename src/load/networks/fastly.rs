//! Fastly's list of public addresses: `addresses[]` and `ipv6_addresses[]`.
//!
//! **Invariants**: all entries have the same labels.
//! **Not here**: regions, which the list does not have.

use serde::Deserialize;

use super::gather::Gather;
use super::json::{self, WrittenJson};
use crate::base::diagnostic::Diagnostic;

#[derive(Deserialize)]
struct FastlyDocument<'a> {
    #[serde(borrow)]
    addresses: Vec<WrittenJson<'a>>,
    #[serde(borrow)]
    ipv6_addresses: Vec<WrittenJson<'a>>,
}

/// Reads the feed.
pub(super) fn read(gather: &mut Gather<'_>) -> Result<(), Vec<Diagnostic>> {
    let document: FastlyDocument<'_> = json::parse(gather)?;
    let labels = gather.region("fastly", "");
    for prefix in document.addresses.into_iter().chain(document.ipv6_addresses) {
        json::add(gather, prefix, labels);
    }
    json::require_prefixes(gather, "the feed is published at https://api.fastly.com/public-ip-list")
}
