//! The table of formats: a row for each kind of file, with its parser and the words of its diagnostics.
//!
//! A new feed is a name in `config::networks`, a parser in a file of its own here, and a row.
//!
//! **Invariants**: each [`NetworkKind`] has one row. If a document has outermost keys of several rows, it is of the first.
//! **Not here**: the shapes of the documents.

use std::collections::BTreeMap;

use super::gather::Gather;
use super::{LoadedSource, aws, azure, cloudflare, fastly, gcp, geofeed, list, mmdb, oci};
use crate::base::diagnostic::Diagnostic;
use crate::config::{Network, NetworkKind};

/// A kind of file.
pub(super) struct Format {
    kind: NetworkKind,
    /// Its name in messages, with its article.
    noun: &'static str,
    /// Outermost keys of its document, each of which distinguishes it from the documents of later rows. Empty if it is not JSON.
    keys: &'static [&'static str],
    pub(super) read: FormatReader,
}

/// The parser of a format.
#[derive(Clone, Copy)]
pub(super) enum FormatReader {
    /// Of a text.
    Text(fn(&mut Gather<'_>) -> Result<(), Vec<Diagnostic>>),
    /// Of a binary file.
    Database(fn(&Network, Vec<u8>) -> Result<LoadedSource, Vec<Diagnostic>>),
}

const FORMATS: &[Format] = &[
    Format { kind: NetworkKind::List, noun: "a list of prefixes", keys: &[], read: FormatReader::Text(list::read) },
    Format {
        kind: NetworkKind::Aws,
        noun: "an AWS feed",
        keys: &["ipv6_prefixes", "createDate"],
        read: FormatReader::Text(aws::read),
    },
    Format {
        kind: NetworkKind::Azure,
        noun: "an Azure feed",
        keys: &["values"],
        read: FormatReader::Text(azure::read),
    },
    Format { kind: NetworkKind::Oci, noun: "an OCI feed", keys: &["regions"], read: FormatReader::Text(oci::read) },
    Format {
        kind: NetworkKind::Fastly,
        noun: "a Fastly feed",
        keys: &["addresses", "ipv6_addresses"],
        read: FormatReader::Text(fastly::read),
    },
    Format {
        kind: NetworkKind::Cloudflare,
        noun: "a Cloudflare feed",
        keys: &["result"],
        read: FormatReader::Text(cloudflare::read),
    },
    Format { kind: NetworkKind::Gcp, noun: "a GCP feed", keys: &["prefixes"], read: FormatReader::Text(gcp::read) },
    Format { kind: NetworkKind::Geofeed, noun: "a geofeed", keys: &[], read: FormatReader::Text(geofeed::read) },
    Format { kind: NetworkKind::Mmdb, noun: "a MaxMind DB", keys: &[], read: FormatReader::Database(mmdb::read) },
];

impl Format {
    /// The row of a kind.
    pub(super) fn of(kind: NetworkKind) -> &'static Format {
        FORMATS.iter().find(|format| format.kind == kind).expect("each kind has a row")
    }

    /// The format of a JSON document by its outermost keys.
    pub(super) fn of_document<V>(document: &BTreeMap<impl AsRef<str> + Ord, V>) -> Option<NetworkKind> {
        let has = |wanted: &&str| document.keys().any(|key| key.as_ref() == *wanted);
        FORMATS.iter().find(|format| format.keys.iter().any(has)).map(|format| format.kind)
    }
}

/// A kind with its article, for messages.
pub(super) fn noun(kind: NetworkKind) -> &'static str {
    Format::of(kind).noun
}
