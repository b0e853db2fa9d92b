//! The common part of the JSON feeds: a document of known shape, and the text in it with its place.
//!
//! **Invariants**: a document that is cut short, malformed or of another shape has an error of its own; every
//! [`WrittenJson`] knows its place.
//! **Not here**: the shapes themselves, the documents of other providers ([`super::read`]).

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::gather::Gather;
use super::text::SourceText;
use super::{DOWNLOAD_AGAIN, TEXT_FORMATS, of_file};
use crate::base::diagnostic::Diagnostic;
use crate::base::ids::LabelsId;
use crate::base::prefix::Prefix;
use crate::config::Network;

/// A JSON value, as written in the file.
pub(super) type WrittenJson<'a> = &'a RawValue;

/// Reads the document.
pub(super) fn parse<'a, T: Deserialize<'a>>(gather: &Gather<'a>) -> Result<T, Vec<Diagnostic>> {
    let (network, text) = (gather.network, gather.text);
    let start = text.text.trim_start();
    if !start.starts_with('{') {
        let first = &start[..start.chars().next().map_or(0, char::len_utf8)];
        let problem = of_file(network, "wrong-shape", format!("is not {}: it is no JSON object", text.noun));
        return Err(vec![problem.at(text.place_of(first), "not the `{` of one").help(TEXT_FORMATS)]);
    }
    serde_json::from_str(text.text).map_err(|error| vec![explain(network, text, &error)])
}

/// The error of a document that has the right shape and nothing in it.
pub(super) fn require_prefixes(gather: &Gather<'_>, help: &str) -> Result<(), Vec<Diagnostic>> {
    if gather.has_prefixes() {
        return Ok(());
    }
    Err(vec![super::no_prefixes(gather.network).help(help)])
}

/// Adds the prefix that a value holds.
pub(super) fn add(gather: &mut Gather<'_>, value: WrittenJson<'_>, labels: LabelsId) {
    if let Some((prefix, line)) = prefix(gather, value) {
        gather.add(prefix, labels, line);
    }
}

/// Adds the prefix that a value holds, as [`Gather::add_vague`] does.
pub(super) fn add_vague(gather: &mut Gather<'_>, value: WrittenJson<'_>, labels: LabelsId) {
    if let Some((prefix, line)) = prefix(gather, value) {
        gather.add_vague(prefix, labels, line);
    }
}

/// The prefix that a value holds, and its line; any other value becomes an error of the file.
pub(super) fn prefix(gather: &mut Gather<'_>, value: WrittenJson<'_>) -> Option<(Prefix, u32)> {
    let text = gather.text;
    let place = || text.place_of(value.get());
    let Some(written) = string(value) else {
        gather.refuse(|| Diagnostic::error("bad-prefix", "a prefix must be a JSON string").at(place(), "this is not"));
        return None;
    };
    Some((gather.parse(&written, place)?, text.line_at(text.offset_of(value.get()))))
}

/// The text of a JSON string; `None` if the value is not a string.
fn string(value: WrittenJson<'_>) -> Option<Cow<'_, str>> {
    let inner = value.get().strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        return serde_json::from_str(value.get()).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

/// Says why a document was not read.
fn explain(network: &Network, text: &SourceText<'_>, error: &serde_json::Error) -> Diagnostic {
    let at = match error.classify() {
        // The document is cut short after its last character.
        Category::Eof => text.text.trim_end().len().saturating_sub(1),
        _ => text.offset_at(error.line(), error.column()),
    };
    let place = text.place(at..at + 1);
    let full = error.to_string();
    // The place is shown by the excerpt.
    let reason = super::clip(full.rsplit_once(" at line ").map_or(full.as_str(), |(reason, _)| reason));
    match error.classify() {
        Category::Eof => Diagnostic::error("truncated-file", format!("`{}` is cut short", network.input.file))
            .at(place, "the file ends here")
            .help(DOWNLOAD_AGAIN),
        Category::Syntax | Category::Io => {
            Diagnostic::error("bad-json", format!("`{}` is not valid JSON: {reason}", network.input.file))
                .at(place, "here")
                .help(DOWNLOAD_AGAIN)
        }
        Category::Data => {
            Diagnostic::error("wrong-shape", format!("`{}` is not {}: {reason}", network.input.file, text.noun))
                .at(place, "in the value that ends here")
                .help("use the file as its provider publishes it")
        }
    }
}
