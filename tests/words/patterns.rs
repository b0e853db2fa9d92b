//! The forms that are not written, and a search for them in a text.

/// A form, the rule against it, and its replacement.
#[derive(Debug)]
pub(crate) struct Pattern {
    pub(crate) rule: u8,
    at: At,
    /// Words in sequence; `|` separates the alternatives of one.
    words: &'static str,
    remedy: &'static str,
}

/// The place of a pattern.
#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    /// The first words of a headline.
    Headline,
    Anywhere,
}

use At::{Anywhere, Headline};

const CLAUSE: &str = "a headline is a noun phrase or a verb phrase, with a term of docs/concepts.md";
const ACTOR: &str = "name the actor: resolver, client, operator, primary, publisher, probe, peer";
const NOUN: &str = "put the noun: the record, the file, the address, the reason";
const ABSENT: &str = "write \"`None` if …\", or the default";
const ORDER: &str = "subject, verb, object, with the condition first";
const BYTES: &str = "write bytes";

const fn of(rule: u8, at: At, words: &'static str, remedy: &'static str) -> Pattern {
    Pattern { rule, at, words, remedy }
}

/// All patterns, by rule.
pub(crate) const PATTERNS: &[Pattern] = &[
    of(1, Headline, "what|who|whom|whose|whoever|how|whether|where|when|why|which", CLAUSE),
    of(2, Anywhere, "whoever|whomever|who|whom|nobody|somebody|anybody|everybody|someone|anyone|everyone", ACTOR),
    of(2, Anywhere, "no one|ones", ACTOR),
    of(2, Anywhere, "they", ACTOR),
    of(
        2,
        Anywhere,
        "what is|are|was|were|has|have|had|does|do|can|may|must|comes|came|goes|stands|lies|remains|there",
        NOUN,
    ),
    of(2, Anywhere, "what it|they|he|we|you|one|no|nothing", NOUN),
    of(3, Anywhere, "none where|means|is|are|was|for", ABSENT),
    of(4, Anywhere, "but for", ORDER),
    of(4, Anywhere, "for want|lack of", ORDER),
    of(4, Anywhere, "as it stands", ORDER),
    of(4, Anywhere, "nor is|are|was|does|do|has|have|can|may", ORDER),
    of(6, Anywhere, "octet|octets", BYTES),
];

/// A piece of prose that is read in one go: a headline, a paragraph, a table cell, a message.
#[derive(Debug, Default)]
pub(crate) struct Text {
    pub(crate) is_headline: bool,
    /// Words in lower case, each with its line. `None` separates words that are not in one sentence.
    pub(crate) words: Vec<(usize, Option<String>)>,
}

/// A pattern in a text.
#[derive(Debug)]
pub(crate) struct Match {
    pub(crate) line: usize,
    pub(crate) words: String,
    pub(crate) pattern: &'static Pattern,
}

impl Text {
    /// Adds prose that begins in a line. Quotations, in double quotes, are left out.
    pub(crate) fn add(&mut self, prose: &str, line: usize, is_quoted: &mut bool) {
        let mut word = String::new();
        let mut line = line;
        for c in prose.chars().chain([' ']) {
            // A quotation ends with its text at the latest: see `pages`.
            if c == '"' || c == '“' || c == '”' {
                *is_quoted = !*is_quoted;
            }
            if c.is_alphanumeric() || c == '\'' || c == '-' {
                word.extend(c.to_lowercase());
                continue;
            }
            if !word.is_empty() {
                let word = std::mem::take(&mut word);
                self.words.push((line, (!*is_quoted).then_some(word)));
            }
            if !matches!(c, ' ' | '\n') {
                self.words.push((line, None));
            }
            line += usize::from(c == '\n');
        }
    }
}

/// The patterns in a text, in the order of their places.
pub(crate) fn matches(text: &Text) -> Vec<Match> {
    let mut found = Vec::new();
    for start in 0..text.words.len() {
        let is_first = start == 0;
        let fits = |pattern: &&Pattern| pattern.at == Anywhere || (text.is_headline && is_first);
        let first = PATTERNS.iter().filter(fits).find_map(|pattern| {
            let words = pattern.words.split(' ').zip(&text.words[start..]);
            let words: Vec<&str> = words
                .filter_map(|(any, (_, word))| {
                    word.as_deref().filter(|word| any.split('|').any(|one| is_form(one, word)))
                })
                .collect();
            (words.len() == pattern.words.split(' ').count()).then(|| Match {
                line: text.words[start].0,
                words: words.join(" "),
                pattern,
            })
        });
        found.extend(first);
    }
    found
}

/// Returns whether a word is this one, or its possessive.
fn is_form(of: &str, word: &str) -> bool {
    word.strip_suffix("'s").unwrap_or(word) == of
}

/// The patterns in a text, each as its line and a sentence.
pub(crate) fn find(text: &Text) -> Vec<(usize, String)> {
    let say = |found: Match| {
        let Pattern { rule, remedy, .. } = found.pattern;
        (found.line, format!("rule {rule}: `{}`: {remedy}", found.words))
    };
    matches(text).into_iter().map(say).collect()
}
