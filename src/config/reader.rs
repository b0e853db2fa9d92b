//! The text of one file of the configuration: its tree, the places in it, and the problems met so far.
//!
//! **Not here**: tables ([`super::table`]) and values ([`super::typed`]) of the tree.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use toml::de::DeTable;

use super::row::{KeyTable, KeyType, Row};
use super::{FileUse, PlacedText};
use crate::base::diagnostic::{Diagnostic, Place};

/// A text with its tree.
pub(super) type ParsedText<'t> = (ConfigReader<'t>, DeTable<'t>);

/// Parses all texts. Returns the problems of those without a tree, if there are any.
pub(super) fn parse_all<'t>(
    readers: impl Iterator<Item = ConfigReader<'t>>,
) -> Result<Vec<ParsedText<'t>>, Vec<Diagnostic>> {
    let mut problems = Vec::new();
    let parsed = readers.filter_map(|reader| reader.parse().map_err(|problem| problems.push(*problem)).ok()).collect();
    if problems.is_empty() { Ok(parsed) } else { Err(problems) }
}

/// The remedies by the start of the parser's message.
const SYNTAX_HELPS: [(&str, &str); 8] = [
    (
        "duplicate key",
        "remove one of the two, or merge them; a table has one `[header]`, a list of tables `[[header]]`",
    ),
    ("string values must be quoted", "put text in quotes: `\"text\"`"),
    ("unclosed", "close the bracket or quote that was opened before this place"),
    ("invalid basic string", "close the string with the quote it began with, on the same line"),
    ("invalid literal string", "close the string with the quote it began with, on the same line"),
    ("missing comma", "put a comma behind the value before this place, which may be on an earlier line"),
    ("key with no value", "write `key = value`, or `[table]`"),
    ("missing escaped value", "write a backslash twice, or put the text in single quotes"),
];

/// A text that is being read, and the problems met so far.
#[derive(Debug)]
pub(super) struct ConfigReader<'t> {
    file: Arc<str>,
    text: &'t str,
    /// The keys at its top.
    top: KeyTable,
    /// The start of each line, because counting lines anew for each of thousands of places takes quadratic time.
    line_starts: Vec<usize>,
    problems: RefCell<Vec<Diagnostic>>,
    /// The files that the text names so far, with their purposes.
    files: RefCell<Vec<(FileUse, PlacedText)>>,
}

impl<'t> ConfigReader<'t> {
    /// Begins to read a text that has the keys of a table at its top.
    pub(super) fn new(file: Arc<str>, text: &'t str, top: KeyTable) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        ConfigReader { file, text, top, line_starts, problems: RefCell::default(), files: RefCell::default() }
    }

    /// The document as a tree. If its syntax is wrong, returns the first error.
    pub(super) fn parse(self) -> Result<ParsedText<'t>, Box<Diagnostic>> {
        let (document, errors) = DeTable::parse_recoverable(self.text);
        // The parser lists errors of structure before those of values; operators read from the top.
        match errors.iter().min_by_key(|error| error.span().map_or(0, |span| span.start)) {
            None => Ok((self, document.into_inner())),
            Some(first) => Err(Box::new(self.syntax(first))),
        }
    }

    fn syntax(&self, error: &toml::de::Error) -> Diagnostic {
        let span = error.span().unwrap_or(0..0);
        if self.text.trim_start_matches('\u{feff}').trim_start().starts_with('<') {
            return Diagnostic::error("syntax", "this is a page of HTML or XML, not TOML")
                .at(self.place(span), "here")
                .help("check where the file came from; a config file begins with a `[table]` or a comment");
        }
        if error.message().starts_with("duplicate key")
            && let Some(problem) = self.duplicate(span.clone())
        {
            return problem;
        }
        let known = SYNTAX_HELPS.iter().find(|(start, _)| error.message().starts_with(start));
        let help = known.map_or("see https://toml.io/en/v1.0.0 for how TOML is written", |(_, help)| help);
        Diagnostic::error("syntax", error.message()).at(self.place(span), "here").help(help)
    }

    /// A header that is written twice, with the place of the first; `None` if the duplicate is another key.
    fn duplicate(&self, span: Range<usize>) -> Option<Diagnostic> {
        let header = |line: usize| {
            let start = self.line_starts[line];
            let end = self.line_starts.get(line + 1).map_or(self.text.len(), |next| next - 1);
            let text = self.text[start..end].split('#').next().unwrap_or_default().trim();
            let name = text.trim_matches(['[', ']', ' ', '\t']).split_whitespace().collect::<String>();
            text.starts_with('[').then(|| (name, start..start + text.len()))
        };
        let line = self.line_starts.partition_point(|start| *start <= span.start).checked_sub(1)?;
        let (name, _) = header(line)?;
        let (_, first) = (0..line).filter_map(header).find(|(other, _)| *other == name)?;
        let row = self.row(name.split('.').next().unwrap_or_default());
        let help = match row.map(|row| row.kind) {
            Some(KeyType::Tables { .. }) if !name.contains('.') => format!("write `[[{name}]]` for each of several"),
            Some(KeyType::Names(_)) if name.matches('.').count() == 1 => {
                "give each a name of its own, or merge the two".to_string()
            }
            _ => "merge the two, or remove one".to_string(),
        };
        Some(
            Diagnostic::error("syntax", format!("the table `[{name}]` is written twice"))
                .at(self.place(span), "written again")
                .related(self.place(first), "first written here")
                .help(help),
        )
    }

    /// The keys at the top.
    pub(super) fn rows(&self) -> &'static [Row] {
        self.top.rows
    }

    /// The row of a key at the top.
    pub(super) fn row(&self, key: &str) -> Option<&'static Row> {
        self.top.rows.iter().find(|row| row.name == key)
    }

    /// The place of a range of bytes.
    pub(super) fn place(&self, span: Range<usize>) -> Place {
        let line = self.line_starts.partition_point(|start| *start <= span.start).saturating_sub(1);
        let start = self.line_starts[line];
        let end = self.line_starts.get(line + 1).map_or(self.text.len(), |next| next - 1);
        let columns = span.start - start..span.end.clamp(span.start, end.max(span.start)) - start;
        Place::in_line(&self.file, line as u32 + 1, &self.text[start..end], columns)
    }

    /// The file as a whole.
    pub(super) fn whole_file(&self) -> Place {
        Place::whole_file(&self.file)
    }

    /// Adds a problem.
    pub(super) fn report(&self, problem: Diagnostic) {
        self.problems.borrow_mut().push(problem);
    }

    /// Notes a file that the text names.
    pub(super) fn name_file(&self, usage: FileUse, text: &PlacedText) {
        self.files.borrow_mut().push((usage, text.clone()));
    }

    /// The files that the text names, in the order of the sections.
    pub(super) fn named_files(&self) -> Vec<(FileUse, PlacedText)> {
        self.files.borrow().clone()
    }

    /// All problems met.
    pub(super) fn into_problems(self) -> Vec<Diagnostic> {
        self.problems.into_inner()
    }
}
