//! Hand-written lists, and those of providers without regions: a prefix a line, an optional label, `#` comments.
//!
//! **Invariants**: a label is one word; a list of comments alone is legal, with a warning.

use super::format::{Format, Parser};
use super::gather::Gather;
use crate::base::diagnostic::Diagnostic;
use crate::networks::LabelKind;

/// The format.
pub(super) const FORMAT: Format = Format { noun: "a list of prefixes", keys: &[], parser: Parser::Text(read) };

/// The longest line, in bytes; a longer one is no line of a list.
const MAX_LINE_OCTETS: usize = 1024;

/// Reads the list.
fn read(gather: &mut Gather<'_>) -> Result<(), Vec<Diagnostic>> {
    let text = gather.text;
    refuse_json(gather)?;
    let provider = gather.provider(None);
    for (number, line) in text.lines() {
        check_length(gather, number, line)?;
        let said = line.split_once('#').map_or(line, |(said, _comment)| said);
        let mut words = said.split_whitespace();
        let Some(prefix) = words.next() else { continue };
        let label = words.next();
        if let Some(extra) = words.next() {
            gather.refuse(|| {
                Diagnostic::error("bad-line", format!("`{extra}` stands behind prefix and label"))
                    .at(text.place_of(extra), "not expected here")
                    .help("a line is `prefix [label]`; a label is one word, and comments begin with `#`")
            });
        }
        let labels = gather.intern(provider.with_optional(LabelKind::Label, label));
        if let Some(prefix) = gather.parse(prefix, || text.place_of(prefix)) {
            gather.add(prefix, labels, number);
        }
    }
    if !gather.has_prefixes() {
        let network = gather.network;
        let warning = super::no_prefixes(network).lessened();
        gather.warn(warning.help("no client is in this network; write a prefix a line"));
    }
    Ok(())
}

/// Refuses a JSON document.
pub(super) fn refuse_json(gather: &Gather<'_>) -> Result<(), Vec<Diagnostic>> {
    if !gather.text.text.trim_start().starts_with(['{', '[']) {
        return Ok(());
    }
    let text = format!("is JSON, not {}", gather.text.noun);
    Err(vec![super::of_file(gather.network, "wrong-shape", text).help("use the file as its provider publishes it")])
}

/// Refuses a file with an overlong line.
pub(super) fn check_length(gather: &Gather<'_>, number: u32, line: &str) -> Result<(), Vec<Diagnostic>> {
    if line.len() <= MAX_LINE_OCTETS {
        return Ok(());
    }
    let message = format!("line {number} is longer than {MAX_LINE_OCTETS} bytes");
    Err(vec![
        Diagnostic::error("long-line", message)
            .at(gather.text.place_of(line), "this line")
            .help(format!("is it really {}?", gather.text.noun)),
    ])
}
