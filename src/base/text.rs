//! Text from other parties, before it is written to a terminal or the log: labels of feeds, names in certificates, replies
//! of mirrors.
//!
//! **Invariants**: the text that [`shown`] returns moves no cursor, ends no line and reorders no text; JSON through
//! [`json_escaped`] does not either.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// Tells whether a character is invisible but changes the text: controls (C0, DEL, C1), line and paragraph separators,
/// characters without width but joiners, which words are spelt with, and those that change the direction of text (UAX #9 §2).
pub(crate) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Bytes as hexadecimal digits, two a byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A number with commas between groups of three digits.
pub(crate) fn grouped(number: u128) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

/// A number with its noun: `1 prefix`, `2 prefixes`.
pub(crate) fn counted<N: fmt::Display + PartialEq + From<u8>>(number: N, noun: &str) -> String {
    let plural = if noun.ends_with('x') { "es" } else { "s" };
    if number == N::from(1) { format!("1 {noun}") } else { format!("{number} {noun}{plural}") }
}

/// Parses a number of digits alone, because `from_str` of a number accepts a sign too.
pub(crate) fn parse_digits<N: FromStr>(text: &str) -> Option<N> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

/// Tells whether a text is `len` hexadecimal digits in lower case.
pub(crate) fn is_hex(text: &str, len: usize) -> bool {
    text.len() == len && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The longest start of a text that has at most this many bytes.
pub(crate) fn shortened(text: &str, max_len: usize) -> &str {
    let fits = |end: &usize| text.is_char_boundary(*end);
    &text[..(0..=max_len.min(text.len())).rev().find(fits).unwrap_or(0)]
}

/// Returns the text with hidden characters written as escapes: `\n`, `\u{1b}`.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    escaped(text, is_hidden, |c| c.escape_default().to_string())
}

/// Escapes the hidden characters that JSON's own rules let pass: DEL, C1 controls and those that reorder text (RFC 8259 §7
/// escapes U+0000 to U+001F only). A terminal may take U+009B for the start of a control sequence.
pub(crate) fn json_escaped(text: &str) -> Cow<'_, str> {
    // All of them are in the first plane.
    escaped(text, |c| c >= '\u{7f}' && is_hidden(c), |c| format!("\\u{:04x}", u32::from(c)))
}

fn escaped(text: &str, is_meant: impl Fn(char) -> bool, escape: impl Fn(char) -> String) -> Cow<'_, str> {
    if !text.contains(&is_meant) {
        return Cow::Borrowed(text);
    }
    let shown = |c: char| if is_meant(c) { escape(c) } else { c.to_string() };
    Cow::Owned(text.chars().map(shown).collect())
}

/// Breaks a text between words into lines of at most `width` characters; a longer word has a line of its own. The result has
/// at least one line.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut len = 0;
    for word in text.split(' ') {
        let (line, more) = (lines.last_mut().expect("there is always a line"), word.chars().count());
        if len == 0 && line.is_empty() {
            line.push_str(word);
        } else if len + 1 + more <= width {
            line.push(' ');
            line.push_str(word);
            len += 1;
        } else {
            lines.push(word.to_string());
            len = 0;
        }
        len += more;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_stays_what_it_is_and_has_no_hidden_characters() {
        let value = serde_json::json!({ "a": "x\u{1b}[2J\n\u{7f}\u{9b}\u{202e}ü" });
        let text = value.to_string();
        let escaped = json_escaped(&text);
        assert!(!escaped.contains(is_hidden) && escaped.contains("\\u009b\\u202eü"), "{escaped}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped).unwrap(), value);
    }

    #[test]
    fn hidden_characters_are_shown_and_all_others_stay() {
        assert_eq!(shown("\u{feff}1\u{200b}.2"), "\\u{feff}1\\u{200b}.2");
        assert_eq!(shown("a\u{1b}[2J\nb\r\t\u{7f}\u{9b}c"), "a\\u{1b}[2J\\nb\\r\\t\\u{7f}\\u{9b}c");
        assert_eq!(shown("x\u{202e}y\u{2028}z"), "x\\u{202e}y\\u{2028}z");
        assert!(matches!(shown("Zürich – 東京 \\ `x`"), Cow::Borrowed("Zürich – 東京 \\ `x`")));
    }
}
