//! A typed reader of TOML: text in, values with their places out, and a diagnostic for each that is not of its type.
//!
//! serde's derive stops at the first problem and loses places where it goes through untagged enums, so the config is
//! read by hand: a table is taken apart key by key, and what is left over is unknown.
//!
//! **Invariants**: an accessor that returns none has reported why; the known keys of a table are those asked for.
//! **Not here**: which keys there are ([`super::spec`]), what values mean ([`super::check`]).

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Placed;
use crate::base::diagnostic::{Diagnostic, Place, did_you_mean};
use crate::base::geo::Coordinates;
use crate::base::when::parse_millis;

/// A text that is being read, and the problems met so far.
#[derive(Debug)]
pub(super) struct Reader<'t> {
    file: Arc<str>,
    text: &'t str,
    /// Where each line starts: places are made by the thousand, and counting lines anew for each takes quadratic time.
    line_starts: Vec<usize>,
    problems: RefCell<Vec<Diagnostic>>,
}

impl<'t> Reader<'t> {
    /// Begins to read a text.
    pub(super) fn new(file: Arc<str>, text: &'t str) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Reader { file, text, line_starts, problems: RefCell::default() }
    }

    /// The document as a tree; none when its syntax is wrong, which is one problem: the first.
    pub(super) fn parse(&self) -> Option<DeTable<'t>> {
        let (document, errors) = DeTable::parse_recoverable(self.text);
        // The parser tells of structure before it looks into values; people read from the top.
        match errors.iter().min_by_key(|error| error.span().map_or(0, |span| span.start)) {
            None => Some(document.into_inner()),
            Some(first) => {
                self.report(self.syntax(first));
                None
            }
        }
    }

    fn syntax(&self, error: &toml::de::Error) -> Diagnostic {
        let span = error.span().unwrap_or(0..0);
        if self.text.trim_start_matches('\u{feff}').trim_start().starts_with('<') {
            return Diagnostic::error("syntax", "this is a page of HTML or XML, not TOML")
                .at(self.place(span), "here")
                .help("check where the file came from; a config file begins with a `[table]` or a comment");
        }
        let help = match error.message() {
            message if message.starts_with("duplicate key") => {
                "remove one of the two, or merge them; a table has one `[header]`, a list of tables `[[header]]`"
            }
            message if message.starts_with("string values must be quoted") => "put text in quotes: `\"text\"`",
            message if message.starts_with("unclosed") => "close what was opened before this place",
            message if message.starts_with("invalid basic string") || message.starts_with("invalid literal string") => {
                "close the string with the quote it began with, on the same line"
            }
            message if message.starts_with("key with no value") => "write `key = value`, or `[table]`",
            message if message.starts_with("missing escaped value") => {
                "write a backslash twice, or put the text in single quotes"
            }
            _ => "see https://toml.io/en/v1.0.0 for how TOML is written",
        };
        Diagnostic::error("syntax", error.message()).at(self.place(span), "here").help(help)
    }

    /// The place of a range of octets.
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

    /// All problems met.
    pub(super) fn into_problems(self) -> Vec<Diagnostic> {
        self.problems.into_inner()
    }
}

/// The key that names further files.
const INCLUDE: &str = "include";

/// Tables of the document whose entries may stand in several files: each entry has a name of its own, or is one of a list.
const COLLECTIONS: [&str; 5] = ["zone", "keys", "networks", "mirrors", "horizons"];

/// The problem that a key stands in two files.
fn written_twice(what: &str, value: &Value<'_, '_>, first: &Value<'_, '_>) -> Diagnostic {
    Diagnostic::error("written-twice", format!("{what} is written in two files"))
        .at(value.key_place(), "written again")
        .related(first.key_place(), "first written here")
        .help("keep one of the two, with all of its keys in one file")
}

/// A table that is being taken apart.
#[derive(Debug)]
pub(super) struct Table<'r, 't> {
    reader: &'r Reader<'t>,
    /// How the operator calls it, like `[dns]` or `a rule`.
    title: String,
    place: Place,
    left: Vec<Value<'r, 't>>,
    known: Vec<&'static str>,
}

impl<'r, 't> Table<'r, 't> {
    /// The document: the tables of the main file, which comes first, and of the files that it includes.
    ///
    /// A key that two files have is reported, unless it is one of [`COLLECTIONS`].
    pub(super) fn document(files: &[(&'r Reader<'t>, &'r DeTable<'t>)]) -> Self {
        let (main, tree) = *files.first().expect("a config has a main file");
        let mut document = Table::new(main, "the config".to_string(), main.whole_file(), tree);
        for (reader, tree) in &files[1..] {
            for value in Table::new(reader, String::new(), reader.whole_file(), tree).left {
                if value.key == INCLUDE {
                    reader.report(
                        Diagnostic::error("nested-include", "an included file cannot include others")
                            .at(value.key_place(), "not in the main file")
                            .help("move it to the top of the main file"),
                    );
                    continue;
                }
                let first = document.left.iter().find(|other| other.key == value.key);
                match first.filter(|_| !COLLECTIONS.contains(&value.key)) {
                    Some(first) => reader.report(written_twice(&format!("`{}`", value.key), &value, first)),
                    None => document.left.push(value),
                }
            }
        }
        document
    }

    fn new(reader: &'r Reader<'t>, title: String, place: Place, tree: &'r DeTable<'t>) -> Self {
        let left = tree
            .iter()
            .map(|(key, value)| Value {
                reader,
                key: key.get_ref(),
                key_span: key.span(),
                value,
                element: Element::No,
                need: Need::Optional,
            })
            .collect();
        Table { reader, title, place, left, known: Vec::new() }
    }

    /// Where it begins.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// The value of a key that may be absent.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Value<'r, 't>> {
        self.known.push(key);
        let at = self.left.iter().position(|value| value.key == key)?;
        Some(self.left.remove(at))
    }

    /// The values of one of [`COLLECTIONS`], from every file.
    pub(super) fn take_all(&mut self, key: &'static str) -> Vec<Value<'r, 't>> {
        self.known.push(key);
        let (taken, left) = std::mem::take(&mut self.left).into_iter().partition(|value| value.key == key);
        self.left = left;
        taken
    }

    /// The value of a key that must be there; `remedy` shows how it is written.
    pub(super) fn require(&mut self, key: &'static str, remedy: &str) -> Option<Value<'r, 't>> {
        self.require_with(key, &format!("add `{remedy}`"))
    }

    /// The same with a remedy that is more than a line to add.
    pub(super) fn require_with(&mut self, key: &'static str, help: &str) -> Option<Value<'r, 't>> {
        let value = self.take(key).map(|value| Value { need: Need::Required, ..value });
        if value.is_none() {
            // A misspelt key is reported as unknown already; saying that it is missing too would not help.
            let misspelt = self.left.iter().any(|left| crate::base::diagnostic::nearest(left.key, [key]).is_some());
            if !misspelt {
                self.reader.report(
                    Diagnostic::error("missing-key", format!("{} has no `{key}`", self.title))
                        .at(self.place.clone(), format!("`{key}` is missing"))
                        .help(help),
                );
            }
        }
        value
    }

    /// All values, where keys are names that the operator chooses.
    pub(super) fn into_values(self) -> Vec<Value<'r, 't>> {
        self.left
    }

    /// How many keys have not been asked for.
    pub(super) fn len(&self) -> usize {
        self.left.len()
    }

    /// Reports every key that was not asked for.
    pub(super) fn finish(self) {
        for value in self.left {
            let keys = self.known.iter().copied();
            self.reader.report(
                Diagnostic::error("unknown-key", format!("{} has no key `{}`", self.title, value.key))
                    .at(value.key_place(), "unknown key")
                    .help(did_you_mean(value.key, "known keys", keys)),
            );
        }
    }
}

/// The entries of a collection by name, from every file; a name that two files have is reported.
pub(super) fn entries<'r, 't>(tables: Vec<Table<'r, 't>>, what: &str) -> Vec<Value<'r, 't>> {
    let mut first: HashMap<&str, usize> = HashMap::new();
    let mut entries: Vec<Value<'r, 't>> = Vec::new();
    for value in tables.into_iter().flat_map(Table::into_values) {
        match first.get(value.key) {
            Some(&at) => {
                value.reader.report(written_twice(&format!("{what} `{}`", value.key), &value, &entries[at]));
            }
            None => {
                first.insert(value.key, entries.len());
                entries.push(value);
            }
        }
    }
    entries
}

/// Whether a value is itself that of its key, or one of several in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    No,
    Yes,
}

/// Whether a key may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Optional,
    Required,
}

/// A value and its key.
#[derive(Clone, Debug)]
pub(super) struct Value<'r, 't> {
    reader: &'r Reader<'t>,
    key: &'r str,
    key_span: Range<usize>,
    value: &'r Spanned<DeValue<'t>>,
    element: Element,
    need: Need,
}

impl<'r, 't> Value<'r, 't> {
    /// The key, as a name that the operator chose.
    pub(super) fn name(&self) -> Placed<Arc<str>> {
        Placed { value: self.key.into(), place: self.key_place() }
    }

    /// Where the key stands.
    fn key_place(&self) -> Place {
        self.reader.place(self.key_span.clone())
    }

    /// Where the value stands.
    pub(super) fn place(&self) -> Place {
        self.reader.place(self.value.span())
    }

    /// A string.
    pub(super) fn text(&self) -> Option<Placed<Arc<str>>> {
        match self.value.get_ref() {
            DeValue::String(text) => Some(self.placed(text.as_ref().into())),
            _ => self.wrong_type("a string", &format!("`{} = \"…\"`", self.key)),
        }
    }

    /// An integer within a range.
    pub(super) fn number(&self, range: RangeInclusive<u64>) -> Option<Placed<u64>> {
        let DeValue::Integer(written) = self.value.get_ref() else {
            let meant = match self.value.get_ref() {
                // `AS16509`, or a number in quotes.
                DeValue::String(text) => text.trim_start_matches("AS").parse::<u64>().ok(),
                _ => None,
            };
            let remedy = match meant.filter(|meant| range.contains(meant)) {
                Some(meant) => format!("the number alone, without quotes: `{meant}`"),
                None => format!("a number without quotes, from {} to {}", range.start(), range.end()),
            };
            return self.wrong_type("a whole number", &remedy);
        };
        match u64::from_str_radix(written.as_str(), written.radix()) {
            Ok(number) if range.contains(&number) => Some(self.placed(number)),
            _ => {
                let (low, high) = (range.start(), range.end());
                self.out_of_range(written.to_string(), format!("write a number from {low} to {high}"))
            }
        }
    }

    /// Latitude and longitude: a list of two numbers of degrees.
    pub(super) fn coordinates(&self) -> Option<Placed<Coordinates>> {
        let DeValue::Array(array) = self.value.get_ref() else {
            return self.wrong_type("a list of two numbers", "latitude and longitude in degrees, like `[50.11, 8.68]`");
        };
        let degrees = |value: &DeValue<'_>| match value {
            DeValue::Integer(written) => written.as_str().parse().ok(),
            DeValue::Float(written) => written.as_str().parse().ok(),
            _ => None,
        };
        let is_number = |value: &DeValue<'_>| matches!(value, DeValue::Integer(_) | DeValue::Float(_));
        if let Some(value) = array.iter().find(|value| !is_number(value.get_ref())) {
            let element = Value { value, element: Element::Yes, ..self.clone() };
            return element.wrong_type("a number", "degrees without quotes, like `[50.11, 8.68]`");
        }
        let written: Vec<Option<f64>> = array.iter().map(|value| degrees(value.get_ref())).collect();
        let found = match written[..] {
            [Some(latitude), Some(longitude)] => Coordinates::from_degrees(latitude, longitude),
            _ => None,
        };
        if found.is_none() {
            self.reader.report(
                Diagnostic::error("bad-location", format!("`{}` is no place on earth", self.key))
                    .at(self.place(), "not latitude and longitude")
                    .help(
                        "write degrees north from -90 to 90, then degrees east from -180 to 180, like `[50.11, 8.68]`",
                    ),
            );
        }
        found.map(|coordinates| self.placed(coordinates))
    }

    /// Whether it is a table.
    pub(super) fn is_table(&self) -> bool {
        matches!(self.value.get_ref(), DeValue::Table(_))
    }

    /// `true` or `false`.
    pub(super) fn flag(&self) -> Option<Placed<bool>> {
        match self.value.get_ref() {
            DeValue::Boolean(flag) => Some(self.placed(*flag)),
            _ => self.wrong_type("`true` or `false`", "`true` or `false`, without quotes"),
        }
    }

    /// A length of time within a range, written like `"10s"`.
    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Option<Placed<Duration>> {
        let remedy = "a number with its unit (ms, s, m, h or d) in quotes, like `\"10s\"`";
        let DeValue::String(written) = self.value.get_ref() else {
            return self.wrong_type("a length of time", remedy);
        };
        match parse_millis(written).map(Duration::from_millis) {
            None => {
                self.reader.report(
                    Diagnostic::error("bad-duration", format!("`{written}` is not a length of time"))
                        .at(self.place(), "not a length of time")
                        .help(format!("write {remedy}")),
                );
                None
            }
            Some(duration) if range.contains(&duration) => Some(self.placed(duration)),
            Some(_) => {
                let help = format!("write a time from {:?} to {:?}", range.start(), range.end());
                self.out_of_range(written.to_string(), help)
            }
        }
    }

    /// The elements of a list, or the value alone: one is a list of one.
    pub(super) fn elements(&self) -> Vec<Value<'r, 't>> {
        match self.value.get_ref() {
            DeValue::Array(array) => {
                array.iter().map(|value| Value { value, element: Element::Yes, ..self.clone() }).collect()
            }
            _ => vec![self.clone()],
        }
    }

    /// A string or a list of strings; an empty list is a problem.
    pub(super) fn texts(&self) -> Vec<Placed<Arc<str>>> {
        self.not_empty().iter().filter_map(Value::text).collect()
    }

    /// A number or a list of numbers; an empty list is a problem.
    pub(super) fn numbers(&self, range: RangeInclusive<u64>) -> Vec<Placed<u64>> {
        self.not_empty().iter().filter_map(|value| value.number(range.clone())).collect()
    }

    /// A table; `title` is what the operator calls it.
    pub(super) fn table(&self, title: impl Into<String>) -> Option<Table<'r, 't>> {
        match self.value.get_ref() {
            DeValue::Table(tree) => Some(Table::new(self.reader, title.into(), self.place(), tree)),
            _ => self.wrong_type("a table", &format!("{} as a table: `{{ key = value, … }}`", title.into())),
        }
    }

    fn not_empty(&self) -> Vec<Value<'r, 't>> {
        let elements = self.elements();
        if elements.is_empty() {
            let help = match self.need {
                Need::Required => "write one value or more".to_string(),
                Need::Optional => format!("write one value or more, or leave `{}` out", self.key),
            };
            self.reader.report(
                Diagnostic::error("empty-list", format!("`{}` is an empty list", self.key))
                    .at(self.place(), "nothing in it")
                    .help(help),
            );
        }
        elements
    }

    fn placed<T>(&self, value: T) -> Placed<T> {
        Placed { value, place: self.place() }
    }

    fn wrong_type<T>(&self, wanted: &str, remedy: &str) -> Option<T> {
        let found = match self.value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a point",
            DeValue::Boolean(_) => "`true` or `false`",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let subject = match self.element {
            Element::No => format!("`{}`", self.key),
            Element::Yes => format!("each of `{}`", self.key),
        };
        self.reader.report(
            Diagnostic::error("wrong-type", format!("{subject} must be {wanted}, not {found}"))
                .at(self.place(), format!("this is {found}"))
                .help(format!("write {remedy}")),
        );
        None
    }

    fn out_of_range<T>(&self, written: String, help: String) -> Option<T> {
        self.reader.report(
            Diagnostic::error("out-of-range", format!("`{}` cannot be {written}", self.key))
                .at(self.place(), "out of range")
                .help(help),
        );
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::diagnostic::Style;

    /// The problems that `read` meets in a text, each as `code: message`.
    fn problems(text: &str, read: impl Fn(&mut Table<'_, '_>)) -> Vec<String> {
        let reader = Reader::new("pharos.toml".into(), text);
        if let Some(tree) = reader.parse() {
            let mut table = Table::document(&[(&reader, &tree)]);
            read(&mut table);
            table.finish();
        }
        reader.into_problems().iter().map(|problem| format!("{}: {}", problem.code, problem.message)).collect()
    }

    #[test]
    fn one_value_is_a_list_of_one() {
        let read = |text| {
            let reader = Reader::new("pharos.toml".into(), text);
            let tree = reader.parse().unwrap();
            let texts = Table::document(&[(&reader, &tree)]).take("a").unwrap().texts();
            texts.iter().map(|text| text.value.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(read("a = 'x'"), ["x"]);
        assert_eq!(read("a = ['x', 'y']"), ["x", "y"]);
    }

    #[test]
    fn values_of_another_type_are_told_apart() {
        let found = problems("a = 1\nb = ['x', 2]\nc = 'soon'\nd = []\ne = 'x'", |table| {
            table.take("a").unwrap().text();
            table.take("b").unwrap().texts();
            table.take("c").unwrap().duration(Duration::ZERO..=Duration::MAX);
            table.take("d").unwrap().texts();
            table.take("e").unwrap().table("`e`");
        });
        let expected = [
            "wrong-type: `a` must be a string, not a whole number",
            "wrong-type: each of `b` must be a string, not a whole number",
            "bad-duration: `soon` is not a length of time",
            "empty-list: `d` is an empty list",
            "wrong-type: `e` must be a table, not a string",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn numbers_have_a_range() {
        for (text, expected) in [
            ("a = 0", vec!["out-of-range: `a` cannot be 0"]),
            ("a = -1", vec!["out-of-range: `a` cannot be -1"]),
            ("a = 99999999999999999999999", vec!["out-of-range: `a` cannot be 99999999999999999999999"]),
            ("a = 0x05", vec![]),
        ] {
            let found = problems(text, |table| {
                table.take("a").unwrap().number(1..=9);
            });
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn a_place_ends_with_its_line_and_tolerates_crlf() {
        let reader = Reader::new("pharos.toml".into(), "a = 1\r\nb = \"\"\"x\r\ny\"\"\"\r\n");
        let tree = reader.parse().unwrap();
        let mut table = Table::document(&[(&reader, &tree)]);
        assert_eq!(&*table.take("b").unwrap().place().text, "b = \"\"\"x");
        assert_eq!(table.take("a").unwrap().place().columns, 4..5);
    }

    #[test]
    fn syntax_stops_at_the_first_with_place_and_remedy() {
        let reader = Reader::new("pharos.toml".into(), "[dns]\nlisten = localhost\nx = = 1\n");
        assert!(reader.parse().is_none());
        let problems = reader.into_problems();
        assert_eq!(problems.len(), 1);
        let expected = "\
error[syntax]: string values must be quoted, expected literal string
 --> pharos.toml:2:10
  |
2 | listen = localhost
  |          ^^^^^^^^^ here
  |
  = help: put text in quotes: `\"text\"`";
        assert_eq!(problems[0].render(Style::Plain), expected);
    }
}
