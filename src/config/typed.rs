//! A value of the configuration by its type: text, number, duration, flag, coordinates, list or table.
//!
//! **Invariants**: an accessor that returns `None` has reported the reason.
//! **Not here**: which type a key has (the rows of the sections), the meaning of a text ([`super::value`]).

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Placed;
use super::reader::ConfigReader;
use super::row::{self, KeyType, Row};
use super::value::written;
use crate::base::diagnostic::{Diagnostic, Place};
use crate::base::geo::Coordinates;
use crate::base::when::{parse_millis, parse_parts, written_millis};

/// A value and its key.
#[derive(Clone, Debug)]
pub(super) struct Value<'r, 't> {
    pub(super) reader: &'r ConfigReader<'t>,
    pub(super) key: &'r str,
    key_span: Range<usize>,
    value: &'r Spanned<DeValue<'t>>,
    /// True if it stands in a list.
    is_element: bool,
    /// True if its key must be written.
    is_required: bool,
    /// The row of its key. `None` for a name that the operator chose.
    row: Option<Row>,
    /// Keys of the machine's own files that belong to this table of a bundle.
    pub(super) own: Vec<OwnPart<'r, 't>>,
}

/// A table of the machine's own files, of which some keys belong to the same table of a bundle.
#[derive(Clone, Debug)]
pub(super) struct OwnPart<'r, 't> {
    pub(super) reader: &'r ConfigReader<'t>,
    pub(super) tree: &'r DeTable<'t>,
    /// The keys, if these belong to the table itself.
    pub(super) keys: &'static [&'static str],
    /// The keys, if these belong to each table in it by name.
    pub(super) keys_of_each: &'static [&'static str],
}

impl<'r, 't> OwnPart<'r, 't> {
    /// The values that belong to the table itself.
    pub(super) fn values(&self) -> impl Iterator<Item = Value<'r, 't>> {
        let OwnPart { reader, tree, keys, .. } = *self;
        let own = tree.iter().filter(|(key, _)| keys.contains(&&**key.get_ref()));
        own.map(move |(key, value)| Value::new(reader, key.get_ref(), key.span(), value))
    }

    /// The part for a table in it. `None` if it has no table of that name.
    pub(super) fn inner(&self, name: &str) -> Option<Self> {
        match self.tree.get(name)?.get_ref() {
            DeValue::Table(tree) if !self.keys_of_each.is_empty() => {
                Some(OwnPart { reader: self.reader, tree, keys: self.keys_of_each, keys_of_each: &[] })
            }
            _ => None,
        }
    }
}

impl<'r, 't> Value<'r, 't> {
    pub(super) fn new(
        reader: &'r ConfigReader<'t>,
        key: &'r str,
        key_span: Range<usize>,
        value: &'r Spanned<DeValue<'t>>,
    ) -> Self {
        Value { reader, key, key_span, value, is_element: false, is_required: false, row: None, own: Vec::new() }
    }

    /// The value of a key that must be written.
    pub(super) fn required(self) -> Self {
        Value { is_required: true, ..self }
    }

    /// The value of the key of a row, whose example helps.
    pub(super) fn of_row(self, row: &Row) -> Self {
        Value { row: Some(*row), ..self }
    }

    /// The key, as a name that the operator chose.
    pub(super) fn name(&self) -> Placed<Arc<str>> {
        Placed { value: self.key.into(), place: self.key_place() }
    }

    /// The place of the key.
    pub(super) fn key_place(&self) -> Place {
        self.reader.place(self.key_span.clone())
    }

    /// The place of the value.
    pub(super) fn place(&self) -> Place {
        self.reader.place(self.value.span())
    }

    /// A string.
    pub(super) fn text(&self) -> Option<Placed<Arc<str>>> {
        match self.value.get_ref() {
            DeValue::String(text) => Some(self.placed(text.as_ref().into())),
            other => self.wrong_type("a string", &self.text_remedy(other)),
        }
    }

    /// The text to write instead of another value.
    fn text_remedy(&self, found: &DeValue<'_>) -> String {
        let port = match found {
            DeValue::Integer(written) => written.as_str().parse::<u16>().ok().filter(|port| *port > 0),
            _ => None,
        };
        let form = self.row.map(|row| row.kind);
        let is_address =
            matches!(form, Some(KeyType::Texts { form } | KeyType::Text { form }) if form == row::LISTEN_FORM);
        match (port.filter(|_| is_address), self.row.map_or("", |row| row.example)) {
            (Some(port), _) => format!(
                "address and port: `\"192.0.2.1:{port}\"`; `\"0.0.0.0:{port}\"` is all IPv4 addresses, `\"[::]:{port}\"` all of IPv6"
            ),
            (None, "") => format!("`{} = \"…\"`", self.key),
            (None, example) => format!("text in quotes, like `{} = {example}`", self.key),
        }
    }

    /// An integer within a range.
    pub(super) fn number(&self, range: RangeInclusive<u64>) -> Option<Placed<u64>> {
        let DeValue::Integer(written) = self.value.get_ref() else {
            let meant = match self.value.get_ref() {
                // `AS16509`, or a number in quotes.
                DeValue::String(text) => {
                    // A TTL, which is written without its unit.
                    let counts_seconds =
                        self.row.is_some_and(|row| matches!(row.kind, KeyType::Number { unit: "seconds", .. }));
                    let seconds = || parse_millis(text).filter(|_| counts_seconds).map(|millis| millis / 1000);
                    text.trim_start_matches("AS").parse::<u64>().ok().or_else(seconds)
                }
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
    pub(super) fn coordinates(&self) -> Option<Coordinates> {
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
            let element = Value { value, is_element: true, ..self.clone() };
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
        found
    }

    /// The part of the machine's own file in this table.
    pub(super) fn own_part(
        &self,
        keys: &'static [&'static str],
        keys_of_each: &'static [&'static str],
    ) -> Option<OwnPart<'r, 't>> {
        match self.value.get_ref() {
            DeValue::Table(tree) => Some(OwnPart { reader: self.reader, tree, keys, keys_of_each }),
            _ => None,
        }
    }

    /// True for a table.
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

    /// A duration within a range, written like `"10s"`.
    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Option<Placed<Duration>> {
        let remedy = "a number with its unit (ms, s, m, h or d) in quotes, like `\"10s\"`";
        let text = match self.value.get_ref() {
            DeValue::String(text) => text,
            DeValue::Integer(seconds) => {
                let remedy =
                    format!("the unit too, in quotes: `\"{}s\"`; units are ms, s, m, h and d", seconds.as_str());
                return self.wrong_type("a duration", &remedy);
            }
            _ => return self.wrong_type("a duration", remedy),
        };
        match parse_millis(text).map(Duration::from_millis) {
            None => {
                self.reader.report(
                    Diagnostic::error("bad-duration", format!("`{text}` is not a duration"))
                        .at(self.place(), "not a duration")
                        .help(match parse_parts(text) {
                            Some(millis) => {
                                format!("write one whole number with one unit: `\"{}\"`", written_millis(millis))
                            }
                            None => format!("write {remedy}"),
                        }),
                );
                None
            }
            Some(duration) if range.contains(&duration) => Some(self.placed(duration)),
            Some(_) => {
                let help =
                    format!("write a duration from `{}` to `{}`", written(*range.start()), written(*range.end()));
                self.out_of_range(text.to_string(), help)
            }
        }
    }

    /// The elements of a list, or the value alone: one is a list of one.
    pub(super) fn elements(&self) -> Vec<Value<'r, 't>> {
        match self.value.get_ref() {
            DeValue::Array(array) => {
                array.iter().map(|value| Value { value, is_element: true, ..self.clone() }).collect()
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

    /// The keys and values of a table; `title` is the operator's name for it.
    pub(super) fn tree(&self, title: &str) -> Option<&'r DeTable<'t>> {
        match self.value.get_ref() {
            DeValue::Table(tree) => Some(tree),
            _ => self.wrong_type("a table", &format!("{title} as a table: `{{ key = value, … }}`")),
        }
    }

    /// The elements of a list, or the value alone; an empty list is a problem.
    pub(super) fn not_empty(&self) -> Vec<Value<'r, 't>> {
        let elements = self.elements();
        if elements.is_empty() && !self.row.is_some_and(|row| row.may_be_empty) {
            let help = if self.is_required {
                "write one value or more".to_string()
            } else {
                format!("write one value or more, or leave `{}` out", self.key)
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
        let subject = if self.is_element { format!("each of `{}`", self.key) } else { format!("`{}`", self.key) };
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
