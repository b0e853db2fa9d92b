//! Keys of the configuration as rows: one row has the name, type, range, default, documentation and restart rule of a key.
//!
//! `section!` declares the rows of a table together with the struct of its written values. From the rows
//! come the reading of the file, range checks, the lists of known keys, the restart rules ([`super::needs_restart`]) and the
//! tables of `docs/configuration.md` ([`super::page`]).
//!
//! **Invariants**: a default lies in the range of its row; the documentation of a row is a paragraph with the effect of the
//! key, and if there is a reason, a second one with it.
//! **Not here**: the rows (the files of the sections), the Rust types that fields may have ([`super::field`]).

use std::marker::PhantomData;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::{Config, FileUse};

/// A key of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// The name in the file.
    pub(crate) name: &'static str,
    /// The type, with its range.
    pub(crate) kind: KeyType,
    /// The effect of leaving the key out.
    pub(crate) absent: Absent,
    /// For a number: the key at whose value its range ends.
    pub(crate) at_most: Option<&'static str>,
    /// The effect of a reload on a changed value.
    pub(crate) restart: Restart,
    /// The documentation: the effect of the key, an empty line, the reason.
    pub(crate) doc: &'static str,
    /// A value, as TOML.
    pub(crate) example: &'static str,
    /// The key that this one replaces: a table has one of the two.
    pub(crate) instead_of: Option<&'static str>,
    /// If true, an empty list is a valid value.
    pub(crate) may_be_empty: bool,
}

impl Row {
    /// The table, or one of the tables, that the key holds.
    pub(crate) fn inner(&self) -> Option<KeyTable> {
        match self.kind {
            KeyType::Table(part) | KeyType::Tables { part, .. } | KeyType::Names(part) => Some(part),
            _ => None,
        }
    }
}

/// The type of a key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum KeyType {
    /// A whole number.
    Number {
        /// The least and the greatest.
        range: (u64, u64),
        /// The unit; empty for a plain count.
        unit: &'static str,
    },
    /// A list of whole numbers, or one.
    Numbers {
        /// The least and the greatest.
        range: (u64, u64),
    },
    /// A duration.
    Duration {
        /// The least and the greatest.
        range: (Duration, Duration),
    },
    /// `true` or `false`.
    Flag,
    /// A text of some form.
    Text {
        /// The form, as the documentation names it.
        form: &'static str,
    },
    /// A list of such texts, or one of them.
    Texts {
        /// The form of an element.
        form: &'static str,
    },
    /// A path.
    File {
        /// The purpose of the file.
        usage: FileUse,
    },
    /// A table.
    Table(KeyTable),
    /// A list of tables.
    Tables {
        /// An element.
        part: KeyTable,
        /// The most elements.
        most: usize,
    },
    /// A table of tables, whose keys are names that the operator chooses.
    Names(KeyTable),
    /// A type of its own.
    Other {
        /// The form, as the documentation names it.
        form: &'static str,
    },
}

/// The table that a key holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyTable {
    /// The operator's name for it.
    pub(crate) title: &'static str,
    /// Its keys.
    pub(crate) rows: &'static [Row],
}

/// The effect of leaving a key out.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Absent {
    /// This number.
    Number(u64),
    /// This duration.
    Duration(Duration),
    /// This flag.
    Flag(bool),
    /// This text.
    Text(&'static str),
    /// Something that is no value of the key.
    Words(&'static str),
    /// An error.
    Required {
        /// The remedy; empty for the example of the row.
        help: &'static str,
    },
    /// An error, unless one of some other keys is written.
    RequiredWithout {
        /// These keys, of the same table or the one around it.
        others: &'static [&'static str],
        /// The remedy; empty for the example of the row.
        help: &'static str,
    },
}

/// The effect of a reload on a changed value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Restart {
    /// The new value holds.
    Never,
    /// The old value holds until a restart, if this function finds the two configurations unequal.
    Unless(fn(&Config, &Config) -> bool),
    /// As [`Restart::Unless`], for a table whose keys a reload changes: only adding or removing the table takes a restart.
    UnlessKept(fn(&Config, &Config) -> bool),
    /// As the table that the key is in.
    WithTable,
}

/// The rows of a table. `section!` implements it.
pub(super) trait Rows {
    /// Title and rows.
    const PART: KeyTable;
}

/// The kind of a whole number.
pub(super) enum Num {}
/// The kind of a list of whole numbers.
pub(super) enum Nums {}
/// The kind of a duration.
pub(super) enum Time {}
/// The kind of `true` and `false`.
pub(super) enum Flag {}
/// The kind of a text.
pub(super) enum Str {}
/// The kind of a list of texts.
pub(super) enum Strs {}
/// The kind of a path.
pub(super) enum PathField {}
/// The kind of a list of tables.
pub(super) struct Tables<S>(PhantomData<S>);
/// The kind of a table of tables with names.
pub(super) struct NamedTables<S>(PhantomData<S>);
/// The kind of a key whose type is its own: the type of its field reads it.
pub(super) enum Other {}

/// The form of a listen address.
pub(super) const LISTEN_FORM: &str = "`ADDRESS:PORT`";

/// A row whose key has values of the kind `K`.
pub(super) struct KeyRow<K> {
    row: Row,
    kind: PhantomData<fn() -> K>,
}

impl<K> KeyRow<K> {
    const fn new(name: &'static str, kind: KeyType, absent: Absent) -> Self {
        let (restart, doc, example) = (Restart::Never, "", "");
        let row =
            Row { name, kind, absent, at_most: None, restart, doc, example, instead_of: None, may_be_empty: false };
        KeyRow { row, kind: PhantomData }
    }

    /// The row.
    pub(super) const fn row(&self) -> Row {
        self.row
    }

    /// Adds a value as TOML, for the documentation and for the remedy if a required key is missing.
    pub(super) const fn example(mut self, toml: &'static str) -> Self {
        self.row.example = toml;
        self
    }

    /// Describes the effect of leaving the key out, if that is no value of the key.
    pub(super) const fn otherwise(mut self, words: &'static str) -> Self {
        self.row.absent = Absent::Words(words);
        self
    }

    /// Makes it an error to leave the key out; the remedy is to add the example.
    pub(super) const fn required(self) -> Self {
        self.required_or("")
    }

    /// Makes it an error to leave the key out, with a remedy.
    pub(super) const fn required_or(mut self, help: &'static str) -> Self {
        self.row.absent = Absent::Required { help };
        self
    }

    /// Makes it an error to leave the key out, unless one of these keys is written.
    pub(super) const fn required_without(mut self, others: &'static [&'static str], help: &'static str) -> Self {
        self.row.absent = Absent::RequiredWithout { others, help };
        self
    }

    /// Accepts an empty list, which is not the same as leaving the key out.
    pub(super) const fn may_be_empty(mut self) -> Self {
        self.row.may_be_empty = true;
        self
    }

    /// Marks a key of which a table has either this or the other.
    pub(super) const fn instead_of(mut self, other: &'static str) -> Self {
        self.row.instead_of = Some(other);
        self
    }

    /// Keeps the old value until a restart, unless `same` holds for the configuration at the start and the new one.
    pub(super) const fn restart_unless(mut self, same: fn(&Config, &Config) -> bool) -> Self {
        self.row.restart = Restart::Unless(same);
        self
    }

    /// Keeps a table, or its absence, until a restart, unless `same` holds for the configuration at the start and the new one.
    pub(super) const fn restart_unless_kept(mut self, same: fn(&Config, &Config) -> bool) -> Self {
        self.row.restart = Restart::UnlessKept(same);
        self
    }

    /// Keeps the old value until a restart, as the row of its table says.
    pub(super) const fn restart_with_table(mut self) -> Self {
        self.row.restart = Restart::WithTable;
        self
    }

    /// Adds the documentation: `section!` takes it from the comment of the field.
    pub(super) const fn doc(mut self, doc: &'static str) -> Self {
        self.row.doc = doc;
        self
    }
}

impl KeyRow<Num> {
    /// The number of a key that is left out. If the range ends at another key, that is the default's limit too.
    pub(super) const fn default(mut self, number: u64) -> Self {
        self.row.absent = Absent::Number(number);
        self
    }

    /// Ends the range at the number of another key, which has to stand in an earlier row.
    pub(super) const fn at_most(mut self, key: &'static str) -> Self {
        self.row.at_most = Some(key);
        self
    }
}

impl KeyRow<Time> {
    /// The duration of a key that is left out.
    pub(super) const fn default(mut self, duration: Duration) -> Self {
        self.row.absent = Absent::Duration(duration);
        self
    }
}

impl KeyRow<Flag> {
    /// The flag of a key that is left out.
    pub(super) const fn default(mut self, flag: bool) -> Self {
        self.row.absent = Absent::Flag(flag);
        self
    }
}

impl KeyRow<Str> {
    /// The text of a key that is left out.
    pub(super) const fn default(mut self, text: &'static str) -> Self {
        self.row.absent = Absent::Text(text);
        self
    }
}

/// The comparison of two configurations by a value of each, for a row's `restart_unless` or `restart_unless_kept`.
macro_rules! same {
    ($config:ident => $value:expr) => {
        |started, now| {
            let $config: &$crate::config::Config = started;
            let before = $value;
            let $config: &$crate::config::Config = now;
            before == $value
        }
    };
}
pub(in crate::config) use same;

const NONE: Absent = Absent::Words("none");

/// A whole number with its unit, which is empty for a plain count.
pub(super) const fn number(name: &'static str, range: RangeInclusive<u64>, unit: &'static str) -> KeyRow<Num> {
    KeyRow::new(name, KeyType::Number { range: (*range.start(), *range.end()), unit }, NONE)
}

/// A list of whole numbers, or one.
pub(super) const fn numbers(name: &'static str, range: RangeInclusive<u64>) -> KeyRow<Nums> {
    KeyRow::new(name, KeyType::Numbers { range: (*range.start(), *range.end()) }, NONE)
}

/// A duration.
pub(super) const fn duration(name: &'static str, range: RangeInclusive<Duration>) -> KeyRow<Time> {
    KeyRow::new(name, KeyType::Duration { range: (*range.start(), *range.end()) }, NONE)
}

/// `true` or `false`.
pub(super) const fn flag(name: &'static str) -> KeyRow<Flag> {
    KeyRow::new(name, KeyType::Flag, NONE)
}

/// A text; `form` names its form in the documentation.
pub(super) const fn text(name: &'static str, form: &'static str) -> KeyRow<Str> {
    KeyRow::new(name, KeyType::Text { form }, NONE)
}

/// A list of texts, or one; `form` names the form of an element in the documentation.
pub(super) const fn texts(name: &'static str, form: &'static str) -> KeyRow<Strs> {
    KeyRow::new(name, KeyType::Texts { form }, NONE)
}

/// A path.
pub(super) const fn file(name: &'static str, usage: FileUse) -> KeyRow<PathField> {
    KeyRow::new(name, KeyType::File { usage }, NONE)
}

/// A table.
pub(super) const fn table<S: Rows>(name: &'static str) -> KeyRow<S> {
    KeyRow::new(name, KeyType::Table(S::PART), NONE)
}

/// A list of tables, or one.
pub(super) const fn tables<S: Rows>(name: &'static str, most: usize) -> KeyRow<Tables<S>> {
    KeyRow::new(name, KeyType::Tables { part: S::PART, most }, NONE)
}

/// A table of tables, whose keys are names that the operator chooses.
pub(super) const fn names<S: Rows>(name: &'static str) -> KeyRow<NamedTables<S>> {
    KeyRow::new(name, KeyType::Names(S::PART), NONE)
}

/// A type of its own; `form` names it in the documentation.
pub(super) const fn other(name: &'static str, form: &'static str) -> KeyRow<Other> {
    KeyRow::new(name, KeyType::Other { form }, NONE)
}

/// Milliseconds.
pub(super) const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Seconds.
pub(super) const fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Minutes.
pub(super) const fn mins(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

/// Hours.
pub(super) const fn hours(count: u64) -> Duration {
    Duration::from_secs(3600 * count)
}

/// Days.
pub(super) const fn days(count: u64) -> Duration {
    Duration::from_secs(86_400 * count)
}
