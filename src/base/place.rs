//! The place of a problem: a part of one line of a file, with the line itself.
//!
//! **Invariants**: columns are within the text; the text has no C1 controls and is no longer than an excerpt.
//! **Not here**: showing it ([`super::diagnostic`]).

use std::ops::Range;
use std::sync::Arc;

/// A part of one line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, as the operator would write it.
    pub(crate) file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
    /// The columns in bytes from 0, within `text`.
    pub(crate) columns: Range<usize>,
    /// The line itself, without its end.
    pub(crate) text: Box<str>,
}

/// Maximum length in bytes of the excerpt of a line that a place keeps; feeds may be one line of megabytes.
const MAX_EXCERPT: usize = 200;

impl Place {
    /// The place of a range of bytes in a text; a range over several lines is cut to its first.
    #[cfg(test)]
    pub(crate) fn in_text(file: &Arc<str>, text: &str, range: Range<usize>) -> Self {
        let start = floor_char(text, range.start.min(text.len()));
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let line = 1 + text[..line_start].bytes().filter(|&byte| byte == b'\n').count() as u32;
        let end = floor_char(text, range.end.clamp(start, line_end));
        Place::in_line(file, line, &text[line_start..line_end], start - line_start..end - line_start)
    }

    /// The place of a range of bytes in one line.
    pub(crate) fn in_line(file: &Arc<str>, line: u32, text: &str, columns: Range<usize>) -> Self {
        let text = text.trim_end_matches('\r');
        let start = floor_char(text, columns.start.min(text.len()));
        let end = floor_char(text, columns.end.clamp(start, text.len()));
        // Only the excerpt is searched, because a line of a long list has many places.
        let (from, to) = if text.len() <= MAX_EXCERPT {
            (0, text.len())
        } else {
            let from = floor_char(text, start.saturating_sub(MAX_EXCERPT / 4));
            (from, floor_char(text, (from + MAX_EXCERPT).min(text.len())))
        };
        // Terminals act on C1 controls, which the renderer lets through. The substitute has the same length, so the columns
        // stay.
        let excerpt = text[from..to].replace(|c| matches!(c, '\u{80}'..='\u{9f}'), "\u{b7}");
        Place { file: file.clone(), line, columns: start - from..end.min(to) - from, text: excerpt.into() }
    }

    /// A whole line.
    pub(crate) fn whole_line(file: &Arc<str>, line: u32, text: &str) -> Self {
        Place::in_line(file, line, text, 0..text.len())
    }

    /// The column of its first character, from 1; `None` for a file as a whole.
    pub(crate) fn column(&self) -> Option<usize> {
        (self.line > 0).then(|| self.text[..self.columns.start].chars().count() + 1)
    }

    /// `file:line:column`, or the file alone.
    pub(crate) fn position(&self) -> String {
        match self.column() {
            Some(column) => format!("{}:{}:{column}", self.file, self.line),
            None => self.file.to_string(),
        }
    }

    /// The place of a whole file.
    pub(crate) fn whole_file(file: &Arc<str>) -> Self {
        Place { file: file.clone(), line: 0, columns: 0..0, text: "".into() }
    }
}

/// The nearest character boundary at or before `at`.
fn floor_char(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_one_long_line_is_cut_to_an_excerpt() {
        let file: Arc<str> = "feed.json".into();
        let text = format!("{}ERR{}", "é".repeat(4000), "x".repeat(9000));
        let place = Place::in_text(&file, &text, 8000..8003);
        assert_eq!(&place.text[place.columns.clone()], "ERR");
        assert!(place.text.len() <= MAX_EXCERPT);
    }
}
