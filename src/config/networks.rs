//! `[networks]`: the sources of labels.
//!
//! **Invariants**: a source has one file of one kind.
//! **Not here**: the files themselves ([`crate::load`]).

use std::sync::Arc;

use super::check::Check;
use super::field::{Field, Named, Other, section};
use super::row::{KeyRow, other, text};
use super::spec::PlacedText;
use super::table::Table;
use super::typed::Value;
use super::{FileUse, InputFile, value};
use crate::base::diagnostic::{Diagnostic, did_you_mean};

/// The feeds by their names in `feed`.
const FEEDS: [(&str, NetworkKind); 7] = [
    ("aws", NetworkKind::Aws),
    ("gcp", NetworkKind::Gcp),
    ("azure", NetworkKind::Azure),
    ("oci", NetworkKind::Oci),
    ("fastly", NetworkKind::Fastly),
    ("cloudflare", NetworkKind::Cloudflare),
    ("geofeed", NetworkKind::Geofeed),
];

section! {
    /// A source as written.
    pub(super) struct NetworkSpec: "network" then complete {
        /// List of prefixes: one a line, with an optional label; `#` begins a comment.
        list: Option<PlacedText> = text("list", "path").example("\"overrides.txt\""),

        /// Format of the feed in `file`. `geofeed` is RFC 8805, the others are the files of the provider.
        feed: Option<FeedSpec> = other("feed", "`aws`, `gcp`, `azure`, `oci`, `fastly`, `cloudflare` or `geofeed`").instead_of("list"),

        /// Database in MaxMind's format: countries, cities or autonomous systems.
        mmdb: Option<PlacedText> = text("mmdb", "path").instead_of("list"),

        /// The feed as downloaded. Required with `feed`.
        file: Option<PlacedText> = text("file", "path").instead_of("list"),

        /// Provider with which all entries of the source are labelled.
        ///
        /// A list or a geofeed names no provider itself.
        provider: Option<PlacedText> = text("provider", "word in lower case").example("\"office\""),
    }
}

/// `feed` of a source.
#[derive(Debug)]
pub(super) struct FeedSpec {
    /// `None` if it is unknown, which has been reported.
    kind: Option<NetworkKind>,
}

impl Field<Other> for Option<FeedSpec> {
    fn take(table: &mut Table<'_, '_>, key: &KeyRow<Other>) -> Self {
        let value = table.value(&key.row())?;
        Some(FeedSpec { kind: feed(&value) })
    }

    fn absent(_: &KeyRow<Other>) -> Self {
        None
    }
}

fn feed(value: &Value<'_, '_>) -> Option<NetworkKind> {
    let feed = value.text()?;
    let kind = FEEDS.iter().find(|(name, _)| *name == &*feed.value).map(|(_, kind)| *kind);
    if kind.is_none() {
        let written = feed.value.to_ascii_lowercase();
        let of_publisher = PUBLISHERS.iter().find(|(publisher, _)| written.contains(publisher)).map(|(_, name)| *name);
        let word = of_publisher.unwrap_or(&feed.value);
        value.reader.report(
            Diagnostic::error("unknown-feed", format!("`{}` is not a feed that can be read", feed.value))
                .at(feed.place, "unknown feed")
                .help(did_you_mean(word, "feeds", FEEDS.map(|(name, _)| name))),
        );
    }
    kind
}

/// The feeds by other names of their publishers.
const PUBLISHERS: [(&str, &str); 4] = [("amazon", "aws"), ("google", "gcp"), ("microsoft", "azure"), ("oracle", "oci")];

impl NetworkSpec {
    /// The format of the file. `None` if it is unknown or ambiguous.
    pub(super) fn kind(&self) -> Option<NetworkKind> {
        match (&self.list, &self.feed, &self.mmdb) {
            (Some(_), None, None) => Some(NetworkKind::List),
            (None, None, Some(_)) => Some(NetworkKind::Mmdb),
            (None, Some(feed), None) => feed.kind,
            _ => None,
        }
    }
}

/// Reports a source without a file, or with several; names the file.
fn complete(spec: &NetworkSpec, table: &Table<'_, '_>) {
    let problem = match ["list", "feed", "mmdb", "file"].map(|key| table.has(key)) {
        [true, false, false, false] | [false, false, true, false] | [false, true, false, true] => None,
        [false, true, false, false] => Some(
            Diagnostic::error("missing-key", format!("{} has no `file`", table.title()))
                .at(table.place().clone(), "`file` is missing")
                .help("add `file = \"…\"`: the feed as downloaded"),
        ),
        _ => Some(
            Diagnostic::error("network-source", format!("{} does not have exactly one source", table.title()))
                .at(table.place().clone(), "one source is needed")
                .help("write `{ list = \"FILE\" }`, `{ mmdb = \"FILE\" }` or `{ feed = \"aws\", file = \"FILE\" }`"),
        ),
    };
    match problem {
        Some(problem) => table.reader.report(problem),
        None => {
            let file = spec.list.as_ref().or(spec.mmdb.as_ref()).or(spec.file.as_ref());
            if let Some(file) = file {
                table.reader.name_file(FileUse::Network(spec.kind().unwrap_or(NetworkKind::List)), file);
            }
        }
    }
}

/// One line of `[networks]`.
#[derive(Clone, Debug)]
pub struct Network {
    /// The key.
    pub name: Arc<str>,
    /// The format of the file.
    pub kind: NetworkKind,
    /// The file.
    pub input: InputFile,
    /// The provider with which this source's entries are labelled, if the file itself names no provider.
    pub provider: Option<Arc<str>>,
}

/// The format of a source's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkKind {
    /// `list`: a prefix a line, with an optional label.
    List,
    /// `feed = "aws"`: `ip-ranges.json`.
    Aws,
    /// `feed = "gcp"`: `cloud.json`.
    Gcp,
    /// `feed = "azure"`: service tags.
    Azure,
    /// `feed = "oci"`: `public_ip_ranges.json`.
    Oci,
    /// `feed = "fastly"`: `public-ip-list`.
    Fastly,
    /// `feed = "cloudflare"`: `client/v4/ips`.
    Cloudflare,
    /// `feed = "geofeed"`: RFC 8805.
    Geofeed,
    /// `mmdb`: a MaxMind DB of countries, cities or autonomous systems.
    Mmdb,
}

impl NetworkKind {
    /// The key and value of the kind in a configuration.
    pub(crate) fn spelling(self) -> String {
        match FEEDS.iter().find(|(_, kind)| *kind == self) {
            Some((name, _)) => format!("feed = \"{name}\""),
            None if self == NetworkKind::Mmdb => "mmdb = …".to_string(),
            None => "list = …".to_string(),
        }
    }
}

impl Check<'_> {
    pub(super) fn check_network(&mut self, spec: &Named<NetworkSpec>) -> Option<Network> {
        let name = self.parse(&spec.name, value::word);
        let keys = spec.keys.as_ref()?;
        let provider = keys.provider.as_ref().map(|provider| self.parse(provider, value::provider));
        let file = keys.list.as_ref().or(keys.mmdb.as_ref()).or(keys.file.as_ref())?;
        let input = self.input(file, FileUse::Network(keys.kind()?));
        Some(Network {
            name: name?,
            kind: keys.kind()?,
            input: input?,
            provider: match provider {
                Some(provider) => Some(provider?),
                None => None,
            },
        })
    }
}
