//! The table of formats: a row for each kind of file, with the words of its diagnostics.
//!
//! **Invariants**: each [`NetworkKind`] has one row. If a document has outermost keys of several rows, it is of the first.
//! **Not here**: the parsers ([`super::read`] has the one of each kind), the shapes of the documents.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::de::IgnoredAny;

use super::of_file;
use crate::base::diagnostic::Diagnostic;
use crate::config::{Network, NetworkKind};

/// A kind of file.
struct Format {
    kind: NetworkKind,
    /// Its name in messages, with its article.
    noun: &'static str,
    /// Outermost keys of its document, each of which distinguishes it from the documents of later rows. Empty if it is no JSON object.
    keys: &'static [&'static str],
}

const FORMATS: &[Format] = &[
    Format { kind: NetworkKind::List, noun: "a list of prefixes", keys: &[] },
    Format { kind: NetworkKind::Aws, noun: "an AWS feed", keys: &["ipv6_prefixes", "createDate"] },
    Format { kind: NetworkKind::Azure, noun: "an Azure feed", keys: &["values"] },
    Format { kind: NetworkKind::Oci, noun: "an OCI feed", keys: &["regions"] },
    Format { kind: NetworkKind::Fastly, noun: "a Fastly feed", keys: &["addresses", "ipv6_addresses"] },
    Format { kind: NetworkKind::Cloudflare, noun: "a Cloudflare feed", keys: &["result"] },
    Format { kind: NetworkKind::Gcp, noun: "a GCP feed", keys: &["prefixes"] },
    Format { kind: NetworkKind::Geofeed, noun: "a geofeed", keys: &[] },
    Format { kind: NetworkKind::Mmdb, noun: "a MaxMind DB", keys: &[] },
];

/// A kind with its article, for messages.
pub(super) fn noun(kind: NetworkKind) -> &'static str {
    FORMATS.iter().find(|format| format.kind == kind).expect("each kind has a row").noun
}

/// The feed that a document looks like, by its outermost keys.
pub(super) fn likely_kind(text: &str) -> Option<NetworkKind> {
    let document: BTreeMap<Cow<'_, str>, IgnoredAny> = serde_json::from_str(text).ok()?;
    let has = |wanted: &&str| document.contains_key(*wanted);
    FORMATS.iter().find(|format| format.keys.iter().any(has)).map(|format| format.kind)
}

/// The error of a feed that is read as another's.
pub(super) fn wrong_feed(network: &Network, is: NetworkKind) -> Diagnostic {
    let text = format!("is {}, not {}", noun(is), noun(network.kind));
    of_file(network, "wrong-feed", text).help(format!("write `{}` for this file", is.spelling()))
}
