//! A master file's text into entries and their tokens (RFC 1035 §5.1): lines, parentheses, quotes, comments.
//!
//! In: the file's bytes. Out: one entry after the other, as ranges of bytes; nothing is copied or unescaped.
//!
//! **Invariants**: a token lies on one line; a bare one has no control character and nothing beyond ASCII; an entry
//! has at least one token.
//! **Not here**: the meaning of tokens ([`super::reader`], [`super::rdata`]).

use std::ops::Range;

/// A text being split.
pub(super) struct Splitter<'t> {
    text: &'t [u8],
    at: usize,
    line: u32,
}

/// One entry: a record or directive, over one line or, in parentheses, several.
pub(super) struct ZoneEntry {
    /// The line of its first token, from 1.
    pub(super) line: u32,
    /// It starts with white space: the owner is that of the record before. Otherwise its first token is an owner or a
    /// directive.
    pub(super) is_indented: bool,
    /// Its tokens.
    pub(super) tokens: Vec<ZoneToken>,
}

/// One token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ZoneToken {
    /// Its position, quotes included.
    pub(super) range: Range<usize>,
    /// It is in quotes.
    pub(super) is_quoted: bool,
    /// It follows the token before without white space, a parenthesis or a comment, as in `key="value"`.
    pub(super) is_joined: bool,
}

impl ZoneToken {
    /// The bytes of the token in the text that it was split from, without its quotes.
    pub(super) fn content<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        let written = &text[self.range.clone()];
        if self.is_quoted { &written[1..written.len() - 1] } else { written }
    }
}

/// The reason why a text cannot be split further, with the position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SplitError {
    /// A `)` without its `(`.
    StrayParenthesis(Range<usize>),
    /// A `(` without its `)` before the end of the file.
    OpenParenthesis(Range<usize>),
    /// A `"` without another on its line.
    OpenQuote(Range<usize>),
    /// A backslash that is the last of its line.
    DanglingEscape(Range<usize>),
    /// A control character outside of quotes.
    ControlCharacter(Range<usize>),
    /// Something beyond ASCII outside of quotes.
    BeyondAscii(Range<usize>),
}

impl ZoneEntry {
    /// An entry to read into.
    pub(super) fn new() -> Self {
        ZoneEntry { line: 0, is_indented: false, tokens: Vec::new() }
    }
}

impl<'t> Splitter<'t> {
    /// A splitter at the start of a text.
    pub(super) fn new(text: &'t [u8]) -> Self {
        Splitter { text, at: 0, line: 1 }
    }

    /// A splitter at the start of a line.
    pub(super) fn at_line(text: &'t [u8], start: usize, line: u32) -> Self {
        Splitter { text, at: start, line }
    }

    /// Reads the next entry into `entry`; `None` at the end of the text.
    pub(super) fn read(&mut self, entry: &mut ZoneEntry) -> Option<Result<(), SplitError>> {
        entry.tokens.clear();
        let mut opened: Vec<usize> = Vec::new();
        let mut line_start = self.at;
        let mut is_joined = false;
        loop {
            let Some(&octet) = self.text.get(self.at) else {
                if let Some(&at) = opened.first() {
                    return Some(Err(SplitError::OpenParenthesis(at..at + 1)));
                }
                return (!entry.tokens.is_empty()).then_some(Ok(()));
            };
            match octet {
                b'\n' => {
                    self.at += 1;
                    self.line += 1;
                    is_joined = false;
                    if opened.is_empty() {
                        if !entry.tokens.is_empty() {
                            return Some(Ok(()));
                        }
                        line_start = self.at;
                    }
                    continue;
                }
                b' ' | b'\t' | b'\r' => self.at += 1,
                b';' => self.skip_comment(),
                b'(' => {
                    opened.push(self.at);
                    self.at += 1;
                }
                b')' => {
                    if opened.pop().is_none() {
                        return Some(Err(SplitError::StrayParenthesis(self.at..self.at + 1)));
                    }
                    self.at += 1;
                }
                _ => {
                    if entry.tokens.is_empty() {
                        entry.line = self.line;
                        entry.is_indented = matches!(self.text[line_start], b' ' | b'\t');
                    }
                    match self.token(octet, is_joined) {
                        Ok(token) => entry.tokens.push(token),
                        Err(error) => return Some(Err(error)),
                    }
                    is_joined = true;
                    continue;
                }
            }
            is_joined = false;
        }
    }

    fn skip_comment(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.iter().position(|&octet| octet == b'\n').unwrap_or(rest.len());
    }

    fn token(&mut self, first: u8, is_joined: bool) -> Result<ZoneToken, SplitError> {
        let start = self.at;
        let is_quoted = first == b'"';
        let mut at = start + usize::from(is_quoted);
        loop {
            match (self.text.get(at), is_quoted) {
                (None | Some(b'\n'), true) => return Err(SplitError::OpenQuote(start..start + 1)),
                (Some(b'"'), true) => {
                    at += 1;
                    break;
                }
                (Some(b'\\'), _) => {
                    if matches!(self.text.get(at + 1), None | Some(b'\n' | b'\r')) {
                        return Err(SplitError::DanglingEscape(at..at + 1));
                    }
                    at += 1;
                    // The byte after the backslash is part of the token, unless no token may hold such a byte.
                    if !self.text[at].is_ascii_control() && self.text[at].is_ascii() {
                        at += 1;
                    }
                }
                (None | Some(b'\n' | b' ' | b'\t' | b'\r' | b';' | b'(' | b')' | b'"'), false) => break,
                (Some(octet), false) if octet.is_ascii_control() => {
                    return Err(SplitError::ControlCharacter(at..at + 1));
                }
                (Some(octet), false) if !octet.is_ascii() => {
                    let len = self.text[at..].iter().take_while(|octet| !octet.is_ascii()).count();
                    return Err(SplitError::BeyondAscii(at..at + len));
                }
                (Some(_), _) => at += 1,
            }
        }
        self.at = at;
        Ok(ZoneToken { range: start..at, is_quoted, is_joined })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The entries as text: `line:` with `_` for a blank owner, then `|` before each token, or `+` if the token is joined.
    fn split(text: &str) -> Result<Vec<String>, SplitError> {
        let (mut splitter, mut entry, mut shown) = (Splitter::new(text.as_bytes()), ZoneEntry::new(), Vec::new());
        while let Some(read) = splitter.read(&mut entry) {
            read?;
            let mut line = format!("{}:{}", entry.line, if entry.is_indented { "_" } else { "" });
            for token in &entry.tokens {
                line.push(if token.is_joined { '+' } else { '|' });
                line.push_str(&text[token.range.clone()]);
            }
            shown.push(line);
        }
        Ok(shown)
    }

    #[test]
    fn entries_span_lines_in_parentheses_only() {
        let text =
            "; head\n\n@ SOA ( a b ; serial\n  1\n) 2\n  TXT \"a;( b\" x;y\r\n\n a\\;b\\ c\\\"d key=\"v w\"\"z\"";
        let expected =
            ["3:|@|SOA|a|b|1|2", "6:_|TXT|\"a;( b\"|x", "8:_|a\\;b\\ c\\\"d|key=+\"v w\"+\"z\""].map(String::from);
        assert_eq!(split(text).unwrap(), expected);
        assert_eq!(split("").unwrap(), [""; 0]);
        assert_eq!(split(" ; only\n()").unwrap(), [""; 0]);
    }

    #[test]
    fn what_is_left_open_is_told_where_it_opens() {
        assert_eq!(split("a ( b\nc\n"), Err(SplitError::OpenParenthesis(2..3)));
        assert_eq!(split("a )"), Err(SplitError::StrayParenthesis(2..3)));
        assert_eq!(split("a \"b\nc\""), Err(SplitError::OpenQuote(2..3)));
        assert_eq!(split("a b\\\n"), Err(SplitError::DanglingEscape(3..4)));
        assert_eq!(split("a\u{1}b"), Err(SplitError::ControlCharacter(1..2)));
        assert_eq!(split("büro A"), Err(SplitError::BeyondAscii(1..3)));
        assert_eq!(split("a \\\u{1}"), Err(SplitError::ControlCharacter(3..4)));
    }
}
