//! Labels: the values that a source has for an address, and the merged values of several sources.
//!
//! **Invariants**: an empty text and the number 0 are no value; a source keeps each text once.
//! **Not here**: the kinds ([`super::kind`]).

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use super::Networks;
use super::kind::{Group, LabelKind, ValueForm};
use crate::base::geo::Coordinates;
use crate::base::ids::{LabelsId, SourceId};

/// The value of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LabelValue<T = Arc<str>> {
    /// Of a kind whose values are texts.
    Text(T),
    /// Of a kind whose values are numbers.
    Number(u32),
}

impl LabelValue {
    /// The value without its owner.
    pub(crate) fn borrowed(&self) -> LabelValue<&str> {
        match self {
            LabelValue::Text(text) => LabelValue::Text(text),
            LabelValue::Number(number) => LabelValue::Number(*number),
        }
    }
}

impl<T: fmt::Display> fmt::Display for LabelValue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LabelValue::Text(text) => text.fmt(f),
            LabelValue::Number(number) => number.fmt(f),
        }
    }
}

impl<'a, T: From<&'a str>> From<&'a str> for LabelValue<T> {
    fn from(text: &'a str) -> Self {
        LabelValue::Text(text.into())
    }
}

impl<T> From<u32> for LabelValue<T> {
    fn from(number: u32) -> Self {
        LabelValue::Number(number)
    }
}

/// The labels of an entry, or of an address: at most one value of each kind.
///
/// A set without labels is legal: the entry of a plain list without labels only means that the address is in the list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Labels<'a> {
    values: [Option<LabelValue<&'a str>>; LabelKind::COUNT],
    /// The place on earth, from a City database.
    pub(crate) coordinates: Option<Coordinates>,
}

impl<'a> Labels<'a> {
    /// One label.
    pub fn of(kind: LabelKind, value: impl Into<LabelValue<&'a str>>) -> Self {
        Labels::default().with(kind, value)
    }

    /// Adds a label. An empty text and 0 are left out, so that the value of another source is not hidden.
    #[must_use]
    pub(crate) fn with(mut self, kind: LabelKind, value: impl Into<LabelValue<&'a str>>) -> Self {
        let value = value.into();
        let is_nothing = matches!(value, LabelValue::Text("") | LabelValue::Number(0));
        self.values[kind as usize] = (!is_nothing).then_some(value);
        self
    }

    /// Adds a label, if there is one.
    #[must_use]
    pub(crate) fn with_optional<V: Into<LabelValue<&'a str>>>(self, kind: LabelKind, value: Option<V>) -> Self {
        match value {
            Some(value) => self.with(kind, value),
            None => self,
        }
    }

    /// Sets the place on earth.
    #[must_use]
    pub(crate) fn at(self, coordinates: Option<Coordinates>) -> Self {
        Labels { coordinates, ..self }
    }

    /// The value of a kind.
    pub(crate) fn value(&self, kind: LabelKind) -> Option<LabelValue<&'a str>> {
        self.values[kind as usize]
    }

    /// The value of a kind whose values are texts.
    pub fn text(&self, kind: LabelKind) -> Option<&'a str> {
        match self.value(kind) {
            Some(LabelValue::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The kinds with their values, in the order of the kinds.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (LabelKind, LabelValue<&'a str>)> {
        LabelKind::ALL.into_iter().filter_map(|kind| Some((kind, self.value(kind)?)))
    }
}

/// Sets of labels of one source, each kept once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LabelSets {
    /// The texts of all values; a set refers to a text by its position, from 1.
    texts: Vec<Arc<str>>,
    sets: Vec<PackedLabels>,
}

/// A set of labels in compact form: a million sets fit into 50 MB.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct PackedLabels {
    /// By kind: the number, or the position of the text from 1; 0 if there is no value.
    values: [u32; LabelKind::COUNT],
    coordinates: Option<Coordinates>,
}

impl LabelSets {
    /// A set.
    pub(super) fn set(&self, id: LabelsId) -> Labels<'_> {
        let packed = &self.sets[id.index()];
        let mut labels = Labels::default().at(packed.coordinates);
        for (kind, value) in LabelKind::ALL.into_iter().zip(packed.values) {
            labels.values[kind as usize] = self.unpack(kind, value);
        }
        labels
    }

    /// Every set, in the order of their ids.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = Labels<'_>> {
        (0..self.sets.len()).map(|at| self.set(LabelsId::from_index(at)))
    }

    /// The distinct values of a kind.
    pub(super) fn values(&self, kind: LabelKind) -> BTreeSet<LabelValue<&str>> {
        let packed = self.sets.iter().map(|set| set.values[kind as usize]);
        let mut packed: Vec<u32> = packed.filter(|value| *value != 0).collect();
        packed.sort_unstable();
        packed.dedup();
        packed.into_iter().filter_map(|value| self.unpack(kind, value)).collect()
    }

    fn value(&self, id: LabelsId, kind: LabelKind) -> Option<LabelValue<&str>> {
        self.unpack(kind, self.sets[id.index()].values[kind as usize])
    }

    fn unpack(&self, kind: LabelKind, value: u32) -> Option<LabelValue<&str>> {
        match (value, kind.row().form) {
            (0, _) => None,
            (number, ValueForm::Number { .. }) => Some(LabelValue::Number(number)),
            (place, _) => Some(LabelValue::Text(&self.texts[place as usize - 1])),
        }
    }
}

/// Collects sets of labels, and gives equal sets the same id.
#[derive(Debug, Default)]
pub(super) struct Interner {
    sets: LabelSets,
    ids: HashMap<PackedLabels, LabelsId>,
    places: HashMap<Arc<str>, u32>,
}

impl Interner {
    /// The id of a set.
    pub(super) fn intern(&mut self, labels: &Labels<'_>) -> LabelsId {
        let mut packed = PackedLabels { values: [0; LabelKind::COUNT], coordinates: labels.coordinates };
        for (kind, value) in labels.iter() {
            packed.values[kind as usize] = match value {
                LabelValue::Number(number) => number,
                LabelValue::Text(text) => self.place(text),
            };
        }
        if let Some(id) = self.ids.get(&packed) {
            return *id;
        }
        let id = LabelsId::from_index(self.sets.sets.len());
        self.sets.sets.push(packed.clone());
        self.ids.insert(packed, id);
        id
    }

    /// The position of a text, from 1.
    fn place(&mut self, text: &str) -> u32 {
        if let Some(place) = self.places.get(text) {
            return *place;
        }
        let text: Arc<str> = text.into();
        self.sets.texts.push(text.clone());
        let place = u32::try_from(self.sets.texts.len()).expect("a file is too short for so many texts");
        self.places.insert(text, place);
        place
    }

    /// The collected sets.
    pub(super) fn finish(mut self) -> LabelSets {
        self.sets.texts.shrink_to_fit();
        self.sets.sets.shrink_to_fit();
        self.sets
    }
}

/// The labels of all sources for an address; input of the rules.
///
/// Of the sources that have labels of a [`Group`], the one listed first gives all of that group. Coordinates are a group of
/// their own, because only City databases have coordinates. But coordinates in another country than the known one do not
/// count.
#[derive(Clone, Debug)]
pub(crate) struct AddressLabels<'a> {
    /// The labels of all sources together, without those that mean something only with the name of their source.
    pub(crate) labels: Labels<'a>,
    networks: &'a Networks,
    entries: &'a [Option<LabelsId>],
}

impl<'a> AddressLabels<'a> {
    /// Merges the labels of each source's entry, in the order of the sources.
    pub(super) fn of(networks: &'a Networks, entries: &'a [Option<LabelsId>]) -> Self {
        let mut labels = Labels::default();
        let mut first: [Option<usize>; Group::COUNT] = [None; Group::COUNT];
        let sets = || {
            let entries = networks.sources.iter().zip(entries);
            entries.filter_map(|(source, id)| Some((&source.labels, &source.labels.sets[(*id)?.index()])))
        };
        for (at, (sets, packed)) in sets().enumerate() {
            for (kind, value) in LabelKind::ALL.into_iter().zip(packed.values) {
                let group = kind.row().group;
                let known = &mut first[group as usize];
                if value != 0 && group != Group::Entry && known.is_none_or(|first| first == at) {
                    labels.values[kind as usize] = sets.unpack(kind, value);
                    *known = Some(at);
                }
            }
        }
        let country = labels.value(LabelKind::Country);
        let agrees = |other: Option<LabelValue<&str>>| country.is_none() || other.is_none() || other == country;
        labels.coordinates = sets().find_map(|(sets, packed)| {
            let coordinates = packed.coordinates?;
            let own = sets.unpack(LabelKind::Country, packed.values[LabelKind::Country as usize]);
            agrees(own).then_some(coordinates)
        });
        AddressLabels { labels, networks, entries }
    }

    /// True if the source has an entry for the address.
    pub(crate) fn is_in(&self, source: SourceId) -> bool {
        self.entries[source.index()].is_some()
    }

    /// The value of a source's own entry.
    pub(crate) fn value_in(&self, source: SourceId, kind: LabelKind) -> Option<LabelValue<&'a str>> {
        let id = self.entries[source.index()]?;
        self.networks.sources[source.index()].labels.value(id, kind)
    }
}

#[cfg(test)]
mod tests {
    use super::super::SourceBuilder;
    use super::*;
    use LabelKind::{Asn, Continent, Country, Label, Provider, Region};

    /// The merged labels of sources, each with one entry or none.
    fn merged(sources: &[Option<Labels<'_>>]) -> (Vec<String>, Option<Coordinates>) {
        let mut entries = Vec::new();
        let source = |labels: &Option<Labels<'_>>| {
            let mut source = SourceBuilder::new("test", "test.txt");
            entries.push(labels.map(|labels| source.intern(labels)));
            Arc::new(source.finish().0)
        };
        let networks = Networks { sources: sources.iter().map(source).collect() };
        let facts = networks.facts(&entries);
        let words = facts.labels.iter().map(|(kind, value)| kind.shown(value));
        (words.collect(), facts.labels.coordinates)
    }

    fn together(sources: &[Option<Labels<'_>>]) -> Vec<String> {
        merged(sources).0
    }

    #[test]
    fn the_first_source_that_knows_a_kind_of_label_wins() {
        let aws = Labels::of(Provider, "aws").with(Region, "us-east-1");
        let sources = [
            None,
            Some(Labels::of(Asn, 64496).with(Country, "DE").with(Label, "vpn")),
            Some(aws.with(Asn, 64497)),
            Some(Labels::of(Provider, "gcp").with(Region, "us-west1").with(Country, "FR")),
        ];
        assert_eq!(together(&sources), ["provider aws", "region us-east-1", "AS64496", "country DE"]);
    }

    #[test]
    fn a_region_never_comes_from_another_provider_than_its_own() {
        let sources =
            [Labels::of(Provider, "cloudflare"), Labels::of(Provider, "aws").with(Region, "us-east-1")].map(Some);
        assert_eq!(together(&sources), ["provider cloudflare"]);
    }

    #[test]
    fn a_continent_never_comes_from_another_source_than_the_country() {
        let sources = [Labels::of(Country, "US"), Labels::of(Continent, "EU")].map(Some);
        assert_eq!(together(&sources), ["country US"]);
    }

    #[test]
    fn an_empty_value_does_not_hide_that_of_another_source() {
        let sources = [Labels::of(Country, "").with(Asn, 0), Labels::of(Country, "US").with(Asn, 64496)].map(Some);
        assert_eq!(together(&sources), ["AS64496", "country US"]);
    }

    #[test]
    fn coordinates_come_from_the_first_source_that_has_them_in_the_country_that_is_known() {
        let at = |country: Option<&'static str>, north: f64| {
            Labels::default().with_optional(Country, country).at(Coordinates::from_degrees(north, 0.0))
        };
        let german = Labels::of(Country, "DE");
        let found = |sources: &[Labels<'_>]| {
            merged(&sources.iter().copied().map(Some).collect::<Vec<_>>()).1.map(|c| c.degrees().0)
        };
        assert_eq!(found(&[german, at(Some("DE"), 50.0), at(Some("DE"), 51.0)]), Some(50.0));
        assert_eq!(found(&[german, at(Some("FR"), 48.0), at(None, 51.0)]), Some(51.0));
        assert_eq!(found(&[german, at(Some("FR"), 48.0)]), None);
        assert_eq!(found(&[at(None, 1.0), german]), Some(1.0));
        assert_eq!(found(&[german]), None);
    }

    #[test]
    fn no_source_says_nothing() {
        assert_eq!(merged(&[]), (Vec::new(), None));
    }

    #[test]
    fn a_source_keeps_what_it_was_given() {
        let sets = [
            Labels::default(),
            Labels::of(Label, "a").with(Provider, "a"),
            Labels::of(Asn, u32::MAX).with(Country, "DE"),
            Labels::of(Country, "DE").at(Coordinates::from_degrees(50.0, 8.0)),
        ];
        let mut builder = SourceBuilder::new("test", "test.txt");
        let ids = sets.map(|labels| builder.intern(labels));
        let (source, _) = builder.finish();
        assert_eq!(ids.map(|id| source.labels(id)), sets);
        assert_eq!(source.values(Country), BTreeSet::from([LabelValue::Text("DE")]));
    }
}
