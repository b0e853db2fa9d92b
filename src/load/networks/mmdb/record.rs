//! The record of a network in a database: its fields in, labels out.
//!
//! The fields are found by name, whatever the type of the database, and in the layouts of several makers:
//!
//! - MaxMind, DB-IP: `country.iso_code`, `continent.code`, `subdivisions[].iso_code`, `location`, and
//!   `autonomous_system_number`, also inside `traits` (Enterprise).
//! - IPinfo, IPLocate, ip-location-db: `country_code`, `continent_code`, `asn`, `latitude` and `longitude` without maps around
//!   them. `country` and `continent` are codes in some of these databases, and names in others.
//!
//! `country` is the country of the client; `registered_country` is that in which the network is registered, and is not used
//! instead.
//!
//! **Invariants**: a number is read whatever its width; a field of an unexpected type gives no label, and does not refuse the
//! database; a code is in upper case, and a text that is not a code gives no label, because it would hide the label of
//! the source listed next.
//! **Not here**: the walk over the networks of a database (the parent module).

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer};

use crate::base::geo::Coordinates;
use crate::base::text::parse_digits;
use crate::load::networks::continents;
use crate::networks::{LabelKind, Labels};

/// The fields of a record that are used.
#[derive(Deserialize)]
#[serde(bound = "'de: 'a", default)]
#[derive(Default)]
pub(super) struct MmdbRecord<'a> {
    country: MmdbValue<'a, InnerFields<'a>>,
    country_code: MmdbValue<'a>,
    continent: MmdbValue<'a, InnerFields<'a>>,
    continent_code: MmdbValue<'a>,
    subdivisions: MmdbValue<'a, InnerFields<'a>>,
    location: MmdbValue<'a, InnerFields<'a>>,
    latitude: MmdbValue<'a>,
    longitude: MmdbValue<'a>,
    autonomous_system_number: MmdbValue<'a>,
    asn: MmdbValue<'a>,
    traits: MmdbValue<'a, InnerFields<'a>>,
}

/// The fields of the maps in a record: those of a continent, a country or a part of one, those of a location, and that of traits.
#[derive(Default, Deserialize)]
#[serde(bound = "'de: 'a", default)]
struct InnerFields<'a> {
    iso_code: MmdbValue<'a>,
    code: MmdbValue<'a>,
    latitude: MmdbValue<'a>,
    longitude: MmdbValue<'a>,
    autonomous_system_number: MmdbValue<'a>,
}

/// The labels of a record.
pub(super) struct RecordLabels<'a> {
    country: Option<Cow<'a, str>>,
    continent: Option<Cow<'a, str>>,
    subdivision: Option<String>,
    asn: Option<u32>,
    coordinates: Option<Coordinates>,
}

impl<'a> RecordLabels<'a> {
    /// Takes the labels from the fields. If a record has a label in several fields, the field of MaxMind's layout comes first.
    pub(super) fn of(record: &MmdbRecord<'a>) -> Self {
        let (country_map, continent_map) = (record.country.map(), record.continent.map());
        let country = country_map
            .and_then(|map| code(&map.iso_code))
            .or_else(|| code(&record.country_code))
            .or_else(|| code(&record.country))
            // ISO 3166-1 leaves `ZZ` to its users; databases and geofeeds have it for an unknown country.
            .filter(|country| country != "ZZ");
        let continent = continent_map
            .and_then(|map| code(&map.code))
            .or_else(|| code(&record.continent_code))
            .or_else(|| code(&record.continent))
            .or_else(|| country.as_deref().and_then(continents::of).map(Cow::Borrowed));
        let subdivision = country.as_deref().zip(record.subdivisions.map().and_then(|map| map.iso_code.text()));
        let location = record.location.map();
        let coordinates = location
            .and_then(|map| coordinates(&map.latitude, &map.longitude))
            .or_else(|| coordinates(&record.latitude, &record.longitude));
        let in_traits = record.traits.map().and_then(|map| system(&map.autonomous_system_number));
        RecordLabels {
            subdivision: subdivision.and_then(|(country, part)| subdivision_code(country, part)),
            country,
            continent,
            asn: system(&record.autonomous_system_number).or(in_traits).or_else(|| system(&record.asn)),
            coordinates,
        }
    }

    /// The labels, as a source takes them.
    pub(super) fn labels(&self) -> Labels<'_> {
        Labels::default()
            .at(self.coordinates)
            .with_optional(LabelKind::Asn, self.asn)
            .with_optional(LabelKind::Country, self.country.as_deref())
            .with_optional(LabelKind::Continent, self.continent.as_deref())
            .with_optional(LabelKind::Subdivision, self.subdivision.as_deref())
    }
}

/// The code of a country or continent, in upper case. `None` if the field is not two letters, as a name is.
fn code<'a, M>(field: &MmdbValue<'a, M>) -> Option<Cow<'a, str>> {
    let text = field.text().filter(|text| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_alphabetic()))?;
    let is_upper = text.bytes().all(|byte| byte.is_ascii_uppercase());
    Some(if is_upper { Cow::Borrowed(text) } else { Cow::Owned(text.to_ascii_uppercase()) })
}

/// The code of a part of a country (ISO 3166-2). Of several parts the first is the largest: England before Oxfordshire.
fn subdivision_code(country: &str, part: &str) -> Option<String> {
    let is_code = (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_code.then(|| format!("{country}-{}", part.to_ascii_uppercase()))
}

/// The number of an autonomous system, from a number or a text like `AS64500`.
fn system(field: &MmdbValue<'_>) -> Option<u32> {
    match field {
        MmdbValue::Whole(number) => u32::try_from(*number).ok(),
        MmdbValue::Text(text) => {
            let has_letters = text.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("AS"));
            let digits = if has_letters { &text[2..] } else { text };
            parse_digits(digits)
        }
        _ => None,
    }
}

fn coordinates(latitude: &MmdbValue<'_>, longitude: &MmdbValue<'_>) -> Option<Coordinates> {
    Coordinates::from_degrees(latitude.degrees()?, longitude.degrees()?)
}

/// A value of any type; `M` is the form of a map. A list counts as its first element.
#[derive(Default)]
enum MmdbValue<'a, M = IgnoredAny> {
    Text(&'a str),
    Whole(i128),
    Real(f64),
    Map(M),
    /// No value, or one of a type that has no use here.
    #[default]
    Other,
}

impl<'a, M> MmdbValue<'a, M> {
    fn map(&self) -> Option<&M> {
        match self {
            MmdbValue::Map(map) => Some(map),
            _ => None,
        }
    }

    fn text(&self) -> Option<&'a str> {
        match self {
            MmdbValue::Text(text) => Some(text),
            _ => None,
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "degrees are small numbers; a larger one is out of range all the same"
    )]
    fn degrees(&self) -> Option<f64> {
        match self {
            MmdbValue::Whole(number) => Some(*number as f64),
            MmdbValue::Real(number) => Some(*number),
            _ => None,
        }
    }
}

impl<'de: 'a, 'a, M: Deserialize<'de>> Deserialize<'de> for MmdbValue<'a, M> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MmdbValueVisitor(PhantomData))
    }
}

struct MmdbValueVisitor<'a, M>(PhantomData<MmdbValue<'a, M>>);

impl<'de: 'a, 'a, M: Deserialize<'de>> Visitor<'de> for MmdbValueVisitor<'a, M> {
    type Value = MmdbValue<'a, M>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(MmdbValue::Text(text))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(MmdbValue::Whole(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(MmdbValue::Whole(number.into()))
    }

    fn visit_u128<E>(self, number: u128) -> Result<Self::Value, E> {
        Ok(i128::try_from(number).map_or(MmdbValue::Other, MmdbValue::Whole))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(MmdbValue::Real(number))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(MmdbValue::Other)
    }

    fn visit_borrowed_bytes<E>(self, _: &'de [u8]) -> Result<Self::Value, E> {
        Ok(MmdbValue::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        M::deserialize(MapAccessDeserializer::new(map)).map(MmdbValue::Map)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let first = list.next_element::<MmdbValue<'a, M>>()?;
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(first.unwrap_or_default())
    }
}
