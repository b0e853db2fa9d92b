//! A table of the configuration, taken apart key by key; keys left over are unknown.
//!
//! serde's derive stops at the first problem and loses places where it goes through untagged enums, so the tree is read
//! by hand.
//!
//! **Invariants**: a method that returns `None` for a required key has reported the reason; the known keys of a table are
//! the rows of its section.
//! **Not here**: types and ranges of values ([`super::typed`]), the keys themselves (the sections).

use std::collections::HashMap;
use std::ops::RangeInclusive;

use toml::de::DeTable;

use super::reader::{ConfigReader, ParsedText};
use super::row::{Absent, KeyType, Row};
use super::sides::{NEEDS_OWN, SHARED, own_keys};
use super::typed::{OwnPart, Value};
use crate::base::diagnostic::{Diagnostic, Place, did_you_mean, nearest};

/// The key that names further files.
const INCLUDE: &str = "include";

/// True for a table whose entries may stand in several files, because each has a name of its own or is one of a list.
fn is_collection(reader: &ConfigReader<'_>, key: &str) -> bool {
    reader.row(key).is_some_and(|row| matches!(row.kind, KeyType::Tables { .. } | KeyType::Names(_)))
}

/// The most slips in the name of a table that is read as another: one letter too many, two swapped.
const MAX_SLIPS: usize = 2;

/// The table that a misspelt one is meant to be; `None` if no known table has a similar name and the same form.
fn meant(value: &Value<'_, '_>, known: &[&'static str]) -> Option<&'static str> {
    let is_known = known.contains(&value.key);
    let near = nearest(value.key, known.iter().copied()).filter(|_| !is_known && value.key.len() > MAX_SLIPS)?;
    let meant = known.iter().copied().find(|name| *name == near)?;
    let row = value.reader.row(meant)?;
    let has_form = match row.kind {
        KeyType::Table(_) | KeyType::Names(_) => value.is_table(),
        KeyType::Tables { .. } => value.elements().iter().all(Value::is_table),
        _ => false,
    };
    (has_form && strsim::damerau_levenshtein(value.key, meant) <= MAX_SLIPS).then_some(meant)
}

/// The problem of a key that two files have.
fn written_twice(subject: &str, value: &Value<'_, '_>, first: &Value<'_, '_>) -> Diagnostic {
    Diagnostic::error("written-twice", format!("{subject} is written in two files"))
        .at(value.key_place(), "written again")
        .related(first.key_place(), "first written here")
        .help("keep one of the two, with all of its keys in one file")
}

/// A table that is being taken apart.
#[derive(Debug)]
pub(super) struct Table<'r, 't> {
    pub(super) reader: &'r ConfigReader<'t>,
    /// The operator's name for it, like `[dns]` or `a rule`.
    pub(super) title: String,
    /// The place of its beginning.
    pub(super) place: Place,
    left: Vec<Value<'r, 't>>,
    /// The keys asked for so far.
    known: Vec<&'static str>,
    /// The keys that are written here and in the table around this one.
    written: Vec<&'r str>,
    /// The numbers read so far, because the range of one may end at another.
    numbers: Vec<(&'static str, u64)>,
}

impl<'r, 't> Table<'r, 't> {
    /// The document: the tables of the main file, which comes first, and of the files that it includes.
    ///
    /// A key that two files have is reported, unless it is a collection.
    pub(super) fn document(mut files: impl Iterator<Item = &'r ParsedText<'t>>) -> Self {
        let (main, tree) = files.next().expect("a config has a main file");
        let mut document = Table::new(main, "the config".to_string(), main.whole_file(), tree);
        for (reader, tree) in files {
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
                match first.filter(|_| !is_collection(reader, value.key)) {
                    Some(first) => reader.report(written_twice(&format!("`{}`", value.key), &value, first)),
                    None => document.left.push(value),
                }
            }
        }
        document
    }

    /// The document of the machine's own files under that of a bundle: shared tables come from the bundle, with the keys in these
    /// that are the machine's own.
    pub(super) fn layered(own: impl Iterator<Item = &'r ParsedText<'t>>, shared: Self) -> Self {
        let mut document = Table::document(own);
        let is_shared = |value: &Value<'_, '_>| SHARED.contains(&value.key);
        let (under, left): (Vec<_>, Vec<_>) = std::mem::take(&mut document.left).into_iter().partition(is_shared);
        document.left = left;
        for mut value in shared.left {
            let same = || under.iter().filter(|other| other.key == value.key);
            if value.key == NEEDS_OWN && same().next().is_none() {
                continue;
            }
            let (keys, of_each) = own_keys(value.key);
            let parts = same().filter_map(|other| other.own_part(keys, of_each)).collect();
            value.own = parts;
            document.left.push(value);
        }
        document.written = document.left.iter().map(|value| value.key).collect();
        document
    }

    /// Reports misspelt names of tables, and reads each as the one that is meant: otherwise every reference to a name in it
    /// would be an error too.
    pub(super) fn with_corrected_names(mut self) -> Self {
        let known: Vec<&'static str> = self.reader.rows().iter().map(|row| row.name).collect();
        for at in 0..self.left.len() {
            let value = &self.left[at];
            let Some(meant) = meant(value, &known) else { continue };
            if self.left.iter().any(|other| other.key == meant) && !is_collection(self.reader, meant) {
                continue;
            }
            value.reader.report(
                Diagnostic::error("unknown-key", format!("there is no table `{}`", value.key))
                    .at(value.key_place(), "unknown table")
                    .help(format!("did you mean `{meant}`?")),
            );
            self.left[at].key = meant;
        }
        self
    }

    fn new(reader: &'r ConfigReader<'t>, title: String, place: Place, tree: &'r DeTable<'t>) -> Self {
        let left: Vec<Value<'r, 't>> =
            tree.iter().map(|(key, value)| Value::new(reader, key.get_ref(), key.span(), value)).collect();
        let written = left.iter().map(|value| value.key).collect();
        Table { title, left, written, ..Table::empty(reader, place) }
    }

    /// A table without keys.
    pub(super) fn empty(reader: &'r ConfigReader<'t>, place: Place) -> Self {
        let (title, known, numbers) = (String::new(), Vec::new(), Vec::new());
        Table { reader, title, place, left: Vec::new(), known, written: Vec::new(), numbers }
    }

    /// The table of a value; `title` is the operator's name for it.
    pub(super) fn of(value: &Value<'r, 't>, title: impl Into<String>) -> Option<Self> {
        let title = title.into();
        let tree = value.tree(&title)?;
        let mut table = Table::new(value.reader, title, value.place(), tree);
        table.add_own(&value.own);
        Some(table)
    }

    /// Adds the machine's own keys to a table of a bundle, and to the tables in it.
    fn add_own(&mut self, parts: &[OwnPart<'r, 't>]) {
        for value in &mut self.left {
            value.own = parts.iter().filter_map(|part| part.inner(value.key)).collect();
        }
        for value in parts.iter().flat_map(OwnPart::values) {
            self.written.push(value.key);
            self.left.push(value);
        }
    }

    /// The table of a value, which stands in this one.
    pub(super) fn inner(&self, value: &Value<'r, 't>, title: impl Into<String>) -> Option<Table<'r, 't>> {
        let mut inner = Table::of(value, title)?;
        inner.written.extend(&self.written);
        Some(inner)
    }

    /// True if the operator wrote the key, here or in the table around this one.
    pub(super) fn has(&self, key: &str) -> bool {
        self.written.contains(&key)
    }

    /// The title of a table in this one: `a rule` becomes `a rule of …`, others are put in backticks.
    pub(super) fn title_of(&self, part: &str) -> String {
        if part.starts_with("a ") { format!("{part} of {}", self.title) } else { format!("`{part}`") }
    }

    /// The value of a row, required or not.
    pub(super) fn value(&mut self, row: &Row) -> Option<Value<'r, 't>> {
        let value = match row.absent {
            Absent::Required { help } => self.require(row, help),
            Absent::RequiredWithout { others, help } if !others.iter().any(|other| self.has(other)) => {
                self.require(row, help)
            }
            _ => self.take(row.name),
        };
        value.map(|value| value.of_row(row))
    }

    /// The value of a key that may be absent.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Value<'r, 't>> {
        self.known.push(key);
        let at = self.left.iter().position(|value| value.key == key)?;
        Some(self.left.remove(at))
    }

    /// The values of a collection, from every file.
    pub(super) fn take_all(&mut self, key: &'static str) -> Vec<Value<'r, 't>> {
        self.known.push(key);
        let (taken, left) = std::mem::take(&mut self.left).into_iter().partition(|value| value.key == key);
        self.left = left;
        taken
    }

    /// The value of a key that must be written. An empty `help` stands for the example of the row.
    fn require(&mut self, row: &Row, help: &str) -> Option<Value<'r, 't>> {
        let key = row.name;
        let value = self.take(key).map(Value::required);
        if value.is_none() {
            // A misspelt key is reported as unknown already; saying that it is missing too would not help.
            let misspelt = self.left.iter().any(|left| crate::base::diagnostic::nearest(left.key, [key]).is_some());
            if !misspelt {
                let help = match help {
                    "" => format!("add `{key} = {}`", row.example),
                    _ => help.to_string(),
                };
                self.reader.report(
                    Diagnostic::error("missing-key", format!("{} has no `{key}`", self.title))
                        .at(self.place.clone(), format!("`{key}` is missing"))
                        .help(help),
                );
            }
        }
        value
    }

    /// The range of a number. It ends at the value of another key if the row names one, otherwise at the end in the row.
    pub(super) fn range(&self, row: &Row) -> RangeInclusive<u64> {
        let KeyType::Number { range: (low, high), .. } = row.kind else { return 0..=u64::MAX };
        let other = row.at_most.and_then(|key| self.numbers.iter().find(|(name, _)| *name == key));
        low..=other.map_or(high, |(_, number)| *number)
    }

    /// Keeps a number for the ranges of others.
    pub(super) fn keep(&mut self, row: &Row, number: u64) {
        self.numbers.push((row.name, number));
    }

    /// All values, where keys are names that the operator chooses.
    pub(super) fn into_values(self) -> Vec<Value<'r, 't>> {
        self.left
    }

    /// The number of keys that have not been asked for.
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
pub(super) fn entries<'r, 't>(tables: Vec<Table<'r, 't>>, kind: &str) -> Vec<Value<'r, 't>> {
    let mut first: HashMap<&str, usize> = HashMap::new();
    let mut entries: Vec<Value<'r, 't>> = Vec::new();
    for value in tables.into_iter().flat_map(Table::into_values) {
        match first.get(value.key) {
            Some(&at) => {
                value.reader.report(written_twice(&format!("{kind} `{}`", value.key), &value, &entries[at]));
            }
            None => {
                first.insert(value.key, entries.len());
                entries.push(value);
            }
        }
    }
    entries
}

#[cfg(test)]
mod tests;
