//! Fields that are filled from rows: the Rust types that a key of each kind can have.
//!
//! **Invariants**: a field that cannot be read has been reported, and holds the value of a key that is left out.
//! **Not here**: the rows themselves ([`super::row`]).

use std::time::Duration;

use super::reader::ConfigReader;
use super::row::{
    Absent, Flag, KeyRow, KeyType, NamedTables, Num, Nums, PathField, Row, Rows, Str, Strs, Tables, Time,
};
use super::table::{Table, entries};
use super::typed::Value;
use super::{Number, Placed, PlacedText, limits};
use crate::base::diagnostic::{Diagnostic, Place};

/// A type that is read from a key of the kind `K`.
pub(super) trait Field<K>: Sized {
    /// Takes the value out of a table, or returns that of a key that is left out.
    fn take(table: &mut Table<'_, '_>, key: &KeyRow<K>) -> Self;
}

/// The written values of a table. `section!` implements it.
pub(super) trait Section: Rows + Sized {
    /// Takes all of its keys out of a table, and reports the others.
    fn read(table: Table<'_, '_>) -> Self;

    /// The values of a table that is left out: those of an empty table, whose problems are dropped.
    fn absent(place: Place) -> Self {
        let reader = ConfigReader::new("".into(), "", Self::PART);
        Self::read(Table::empty(&reader, place))
    }
}

/// Facts about a table as a whole.
#[derive(Clone, Debug)]
pub(super) struct Outline {
    /// The place of the table.
    pub(super) place: Place,
    /// The number of its unknown keys.
    pub(super) unknown: usize,
}

/// Declares a table: its title, and for each key a field and a row. The comment of a field is the documentation of the key:
/// the effect, an empty line, the reason.
///
/// `then FUNCTION` runs after the fields are filled and before unknown keys are reported.
macro_rules! section {
    ($(#[$attribute:meta])* $vis:vis struct $name:ident: $title:literal $(then $then:path)? {
        $($(#[doc = $doc:literal])* $field:ident: $type:ty = $key:expr,)*
    }) => {
        $(#[$attribute])*
        #[derive(Debug)]
        $vis struct $name {
            $($(#[doc = $doc])* $vis $field: $type,)*
            /// The table as a whole.
            #[allow(dead_code, reason = "some sections have only problems of single keys")]
            $vis table: $crate::config::field::Outline,
        }

        impl $crate::config::row::Rows for $name {
            const PART: $crate::config::row::KeyTable =
                $crate::config::row::KeyTable { title: $title, rows: &[$($key.doc(concat!($($doc, "\n"),*)).row()),*] };
        }

        impl $crate::config::field::Section for $name {
            fn read(mut table: $crate::config::table::Table<'_, '_>) -> Self {
                // Fields are filled in the order of the rows: a range may end at the number of an earlier one.
                let spec = $name {
                    $($field: $crate::config::field::Field::take(&mut table, &$key),)*
                    table: $crate::config::field::Outline { place: table.place.clone(), unknown: table.len() },
                };
                $($then(&spec, &table);)?
                table.finish();
                spec
            }
        }
    };
}
pub(in crate::config) use section;

/// A table with a name that the operator chose.
#[derive(Debug)]
pub(super) struct Named<S> {
    pub(super) name: PlacedText,
    /// Its keys. If the value is no table, which has been reported, those of an empty one.
    pub(super) keys: S,
}

/// The number that is written, or the default; kept for the ranges of other keys.
impl<T: TryFrom<u64>> Field<Num> for Option<T> {
    fn take(table: &mut Table<'_, '_>, key: &KeyRow<Num>) -> Self {
        let row = key.row();
        let range = table.range(&row);
        let default = match row.absent {
            Absent::Number(number) => Some(number.min(*range.end())),
            _ => None,
        };
        let written = table.value(&row).and_then(|value| value.number(range));
        let number = written.map(|number| number.value).or(default)?;
        table.keep(&row, number);
        number.try_into().ok()
    }
}

/// Implements [`Field`] for integers that hold the range of their rows.
macro_rules! numbers {
    ($($type:ty)*) => {$(
        impl Field<Num> for $type {
            fn take(table: &mut Table<'_, '_>, key: &KeyRow<Num>) -> Self {
                let number: Option<$type> = Field::take(table, key);
                number.unwrap_or_default()
            }
        }
    )*};
}
numbers!(u8 u16 u32 u64 usize);

impl Field<Nums> for Option<Vec<Number>> {
    fn take(table: &mut Table<'_, '_>, key: &KeyRow<Nums>) -> Self {
        let row = key.row();
        let KeyType::Numbers { range: (low, high) } = row.kind else { return None };
        Some(table.value(&row)?.numbers(low..=high))
    }
}

impl Field<Time> for Option<Placed<Duration>> {
    fn take(table: &mut Table<'_, '_>, key: &KeyRow<Time>) -> Self {
        let row = key.row();
        let KeyType::Duration { range: (least, greatest) } = row.kind else { return None };
        table.value(&row)?.duration(least..=greatest)
    }
}

impl Field<Time> for Duration {
    fn take(table: &mut Table<'_, '_>, key: &KeyRow<Time>) -> Self {
        let written: Option<Placed<Duration>> = Field::take(table, key);
        match (written, key.row().absent) {
            (Some(written), _) => written.value,
            (None, Absent::Duration(default)) => default,
            (None, _) => Duration::ZERO,
        }
    }
}

impl Field<Flag> for Option<Placed<bool>> {
    fn take(table: &mut Table<'_, '_>, key: &KeyRow<Flag>) -> Self {
        table.value(&key.row())?.flag()
    }
}

impl Field<Flag> for bool {
    fn take(table: &mut Table<'_, '_>, key: &KeyRow<Flag>) -> Self {
        let written: Option<Placed<bool>> = Field::take(table, key);
        written.map_or(matches!(key.row().absent, Absent::Flag(true)), |written| written.value)
    }
}

impl Field<Str> for Option<PlacedText> {
    fn take(table: &mut Table<'_, '_>, key: &KeyRow<Str>) -> Self {
        table.value(&key.row())?.text()
    }
}

impl Field<PathField> for Option<PlacedText> {
    fn take(table: &mut Table<'_, '_>, key: &KeyRow<PathField>) -> Self {
        let row = key.row();
        let text = table.value(&row)?.text()?;
        if let KeyType::File { usage } = row.kind {
            table.reader.name_file(usage, &text);
        }
        Some(text)
    }
}

impl Field<Strs> for Option<Placed<Vec<PlacedText>>> {
    fn take(table: &mut Table<'_, '_>, key: &KeyRow<Strs>) -> Self {
        let value = table.value(&key.row())?;
        Some(Placed { value: value.texts(), place: value.place() })
    }
}

impl Field<Strs> for Option<Vec<PlacedText>> {
    fn take(table: &mut Table<'_, '_>, key: &KeyRow<Strs>) -> Self {
        Some(table.value(&key.row())?.texts())
    }
}

impl Field<Strs> for Vec<PlacedText> {
    fn take(table: &mut Table<'_, '_>, key: &KeyRow<Strs>) -> Self {
        let written: Option<Vec<PlacedText>> = Field::take(table, key);
        written.unwrap_or_default()
    }
}

impl<S: Section> Field<S> for Option<S> {
    fn take(table: &mut Table<'_, '_>, key: &KeyRow<S>) -> Self {
        let value = table.value(&key.row())?;
        Some(S::read(table.inner(&value, format!("`{}`", S::PART.title))?))
    }
}

impl<S: Section> Field<S> for S {
    fn take(table: &mut Table<'_, '_>, key: &KeyRow<S>) -> Self {
        let written: Option<S> = Field::take(table, key);
        written.unwrap_or_else(|| S::absent(table.place.clone()))
    }
}

impl<S: Section> Field<Tables<S>> for Vec<S> {
    fn take(table: &mut Table<'_, '_>, key: &KeyRow<Tables<S>>) -> Self {
        let row = key.row();
        let elements = elements(table, &row);
        read_tables(table, &row, row.name, elements)
    }
}

/// The tables of a list, or the one.
pub(super) fn elements<'r, 't>(table: &mut Table<'r, 't>, row: &Row) -> Vec<Value<'r, 't>> {
    table.take_all(row.name).iter().flat_map(Value::elements).collect()
}

/// Reads the tables of a list, up to the limit of its row.
pub(super) fn read_tables<'r, 't, S: Section>(
    table: &Table<'r, 't>,
    row: &Row,
    title: &str,
    elements: Vec<Value<'r, 't>>,
) -> Vec<S> {
    let KeyType::Tables { most, .. } = row.kind else { return Vec::new() };
    let elements = limit(table.reader, elements, most, title);
    let title = table.title_of(S::PART.title);
    elements.iter().filter_map(|value| Some(S::read(table.inner(value, &*title)?))).collect()
}

impl<S: Section> Field<NamedTables<S>> for Vec<Named<S>> {
    fn take(table: &mut Table<'_, '_>, key: &KeyRow<NamedTables<S>>) -> Self {
        let name = key.row().name;
        let values = table.take_all(name);
        let tables = values.iter().filter_map(|value| Table::of(value, format!("`[{name}]`"))).collect();
        let values = limit(table.reader, entries(tables, S::PART.title), limits::MAX_ITEMS, name);
        let named = |value: &Value<'_, '_>| {
            let name = value.name();
            let keys = Table::of(value, format!("{} `{}`", S::PART.title, name.value)).map(S::read);
            let keys = keys.unwrap_or_else(|| S::absent(name.place.clone()));
            Named { name, keys }
        };
        values.iter().map(named).collect()
    }
}

/// Cuts a list at its limit, and reports a longer one.
pub(super) fn limit<'r, 't>(
    reader: &ConfigReader<'_>,
    mut values: Vec<Value<'r, 't>>,
    most: usize,
    title: &str,
) -> Vec<Value<'r, 't>> {
    if values.len() > most {
        reader.report(
            Diagnostic::error("too-many", format!("{} {title} are more than {most}", values.len()))
                .at(values[most].place(), "one too many")
                .help(format!("keep to {most}")),
        );
        values.truncate(most);
    }
    values
}
