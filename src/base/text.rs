//! Text of others on its way to a terminal or the log: labels of feeds, names in certificates, replies of mirrors.
//!
//! **Invariants**: what [`shown`] returns moves no cursor, ends no line and reorders no text.
//! **Not here**: JSON, whose own escapes do the same.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a character is not seen but acts on what is: controls (C0, DEL, C1), line and paragraph separators, and those
/// that change the direction of text (UAX #9 §2).
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text with hidden characters written as escapes: `\n`, `\u{1b}`.
pub fn shown(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_hidden(c) {
            true => {
                let _ = write!(out, "{}", c.escape_default());
            }
            false => out.push(c),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_are_shown_and_all_others_stay() {
        assert_eq!(shown("a\u{1b}[2J\nb\r\t\u{7f}\u{9b}c"), "a\\u{1b}[2J\\nb\\r\\t\\u{7f}\\u{9b}c");
        assert_eq!(shown("x\u{202e}y\u{2028}z"), "x\\u{202e}y\\u{2028}z");
        assert!(matches!(shown("Zürich – 東京 \\ `x`"), Cow::Borrowed("Zürich – 東京 \\ `x`")));
    }
}
