//! The text of a feed or list: bytes in, characters with line numbers out. A file of another format is refused.
//!
//! **Invariants**: a byte order mark is not part of the text; lines end in LF or CRLF and are counted from 1.
//! **Not here**: the meaning of the lines.

use std::ops::Range;
use std::sync::Arc;

use super::{DOWNLOAD_AGAIN, ERROR_PAGE, of_file};
use crate::base::diagnostic::{Diagnostic, Place};
use crate::config::{Network, NetworkKind};

/// A file's text.
pub(super) struct SourceText<'a> {
    /// The file, as the operator wrote it.
    pub(super) file: Arc<str>,
    /// All of it, without a byte order mark.
    pub(super) text: &'a str,
    /// The name of its format in messages.
    pub(super) noun: &'static str,
    /// The offset of each line feed, in ascending order.
    newlines: Vec<usize>,
}

impl<'a> SourceText<'a> {
    /// Takes the bytes of a feed or list, unless the bytes are plainly of another format.
    pub(super) fn of(network: &Network, noun: &'static str, octets: &'a [u8]) -> Result<Self, Vec<Diagnostic>> {
        let octets = octets.strip_prefix(b"\xef\xbb\xbf").unwrap_or(octets);
        let text = str::from_utf8(octets).map_err(|error| vec![not_text(network, octets, error.valid_up_to())])?;
        let start = text.trim_start();
        if start.is_empty() {
            let help = match network.kind {
                NetworkKind::List => "write a prefix a line; a list that is to stay empty needs a `#` comment",
                _ => DOWNLOAD_AGAIN,
            };
            return Err(vec![of_file(network, "empty-file", "is empty").help(help)]);
        }
        let newlines = text.bytes().enumerate().filter(|(_, octet)| *octet == b'\n').map(|(at, _)| at).collect();
        let text = SourceText { file: network.input.file.clone(), text, noun, newlines };
        if start.starts_with('<') {
            let at = text.text.len() - start.len();
            let message = format!("`{}` is an HTML or XML page, not {noun}", network.input.file);
            let problem = Diagnostic::error("html-page", message).at(text.place(at..at + 1), "a page starts here");
            return Err(vec![problem.help(ERROR_PAGE)]);
        }
        Ok(text)
    }

    /// The number of the line that holds a byte.
    pub(super) fn line_at(&self, offset: usize) -> u32 {
        let before = self.newlines.partition_point(|newline| *newline < offset);
        u32::try_from(before + 1).unwrap_or(u32::MAX)
    }

    /// A line by its number; empty beyond the end.
    pub(super) fn line(&self, number: u32) -> &'a str {
        let index = number.saturating_sub(1) as usize;
        let start = if index == 0 { 0 } else { self.newlines.get(index - 1).map_or(self.text.len(), |at| at + 1) };
        let end = self.newlines.get(index).copied().unwrap_or(self.text.len());
        self.text[start..end].trim_end_matches('\r')
    }

    /// All lines, without their ends, by number.
    pub(super) fn lines(&self) -> impl Iterator<Item = (u32, &'a str)> + use<'a> {
        (1..).zip(self.text.lines())
    }

    /// The offset of a part of the text; `part` must be a slice of it.
    pub(super) fn offset_of(&self, part: &str) -> usize {
        let offset = (part.as_ptr() as usize).wrapping_sub(self.text.as_ptr() as usize);
        offset.min(self.text.len())
    }

    /// The place of a part of the text; `part` must be a slice of it.
    pub(super) fn place_of(&self, part: &str) -> Place {
        let start = self.offset_of(part);
        self.place(start..start + part.len())
    }

    /// The place of a range of bytes; a range over several lines is cut to its first.
    pub(super) fn place(&self, range: Range<usize>) -> Place {
        let number = self.line_at(range.start);
        let line = self.line(number);
        let start = self.offset_of(line);
        Place::in_line(&self.file, number, line, range.start - start..range.end.max(range.start) - start)
    }

    /// The byte at a line and column as serde_json counts them: both from 1, in bytes.
    pub(super) fn offset_at(&self, line: usize, column: usize) -> usize {
        let line = self.line(u32::try_from(line).unwrap_or(u32::MAX));
        // Column 0 is the start of a line; one past the end means that the text ended too early.
        self.offset_of(line) + column.saturating_sub(1).min(line.len())
    }
}

/// The error of a file that is not UTF-8, with its most likely encoding.
fn not_text(network: &Network, octets: &[u8], valid: usize) -> Diagnostic {
    let problem = |is: &str, help: &str| of_file(network, "not-text", is).help(help);
    match octets {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => problem("is UTF-16", "save it as UTF-8"),
        [0x1f, 0x8b, ..] => problem("is compressed", "unpack it with gunzip"),
        _ => {
            let line = 1 + octets[..valid].iter().filter(|octet| **octet == b'\n').count();
            problem(&format!("is not UTF-8 in line {line}"), "save it as UTF-8")
        }
    }
}
