//! Labels: what a source says of an address, and what several sources together say of it.

use std::sync::Arc;

use crate::base::geo::Coordinates;

/// What one entry says.
///
/// An empty label set is legal: the entry of a plain list without labels says only that it is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Labels {
    /// The cloud provider, in lower case (`aws`, `gcp`, `azure`, `oci`, or what the config sets).
    pub provider: Option<Arc<str>>,
    /// The provider's region, as the provider writes it.
    pub region: Option<Arc<str>>,
    /// The autonomous system that announces the prefix.
    pub asn: Option<u32>,
    /// Where it is.
    pub place: Option<Place>,
    /// The label behind the prefix in a hand-written list.
    pub label: Option<Arc<str>>,
}

/// A place on earth, as far as a source knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place {
    /// ISO 3166-1 alpha-2, upper case.
    pub country: Option<Arc<str>>,
    /// `AF`, `AN`, `AS`, `EU`, `NA`, `OC` or `SA`.
    pub continent: Option<Arc<str>>,
    /// ISO 3166-2, like `US-CA`.
    pub subdivision: Option<Arc<str>>,
    /// Where on earth, from a City database.
    pub coordinates: Option<Coordinates>,
}

/// What all sources together say of an address; input of the rules.
///
/// Where several sources know the same kind of label, the source listed first wins. Provider and region are one kind
/// (a region means nothing without its provider), and so are country, continent and subdivision. Coordinates are a kind of
/// their own, as only City databases have them, but those in another country than the one that is known do not count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts<'a> {
    /// The provider and its region.
    pub provider: Option<(&'a str, Option<&'a str>)>,
    /// The autonomous system.
    pub asn: Option<u32>,
    /// Where it is.
    pub place: Option<&'a Place>,
    /// Where on earth.
    pub coordinates: Option<Coordinates>,
    /// For each source, in order, its entry's labels; none where it has no entry.
    pub by_source: Vec<Option<&'a Labels>>,
}

impl<'a> Facts<'a> {
    /// Merges the labels of each source, in order.
    pub fn of(labels: impl Iterator<Item = Option<&'a Labels>>) -> Self {
        let by_source: Vec<_> = labels.collect();
        let mut facts = Facts::default();
        for labels in by_source.iter().copied().flatten() {
            let provider = labels.provider.as_deref().map(|provider| (provider, labels.region.as_deref()));
            facts.provider = facts.provider.or(provider);
            facts.asn = facts.asn.or(labels.asn);
            facts.place = facts.place.or(labels.place.as_ref());
        }
        let country = facts.place.and_then(|place| place.country.as_deref());
        let agrees =
            |place: &&Place| country.is_none_or(|known| place.country.as_deref().is_none_or(|own| own == known));
        let places = by_source.iter().copied().flatten().filter_map(|labels| labels.place.as_ref());
        facts.coordinates = places.filter(agrees).find_map(|place| place.coordinates);
        facts.by_source = by_source;
        facts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_country(country: &str) -> Labels {
        let place = Place { country: Some(country.into()), ..Place::default() };
        Labels { place: Some(place), ..Labels::default() }
    }

    fn of_provider(provider: &str, region: Option<&str>) -> Labels {
        Labels { provider: Some(provider.into()), region: region.map(Into::into), ..Labels::default() }
    }

    #[test]
    fn the_first_source_that_knows_a_kind_of_label_wins() {
        let sources = [
            None,
            Some(Labels { asn: Some(64496), ..in_country("DE") }),
            Some(Labels { asn: Some(64497), ..of_provider("aws", Some("us-east-1")) }),
            Some(Labels { place: in_country("FR").place, ..of_provider("gcp", Some("us-west1")) }),
        ];
        let facts = Facts::of(sources.iter().map(Option::as_ref));
        let expected = Facts {
            provider: Some(("aws", Some("us-east-1"))),
            asn: Some(64496),
            place: sources[1].as_ref().unwrap().place.as_ref(),
            coordinates: None,
            by_source: sources.iter().map(Option::as_ref).collect(),
        };
        assert_eq!(facts, expected);
    }

    #[test]
    fn a_region_never_comes_from_another_provider_than_its_own() {
        let sources = [of_provider("cloudflare", None), of_provider("aws", Some("us-east-1"))];
        let facts = Facts::of(sources.iter().map(Some));
        assert_eq!(facts.provider, Some(("cloudflare", None)));
    }

    #[test]
    fn a_continent_never_comes_from_another_source_than_the_country() {
        let place = Place { continent: Some("EU".into()), ..Place::default() };
        let sources = [in_country("US"), Labels { place: Some(place), ..Labels::default() }];
        let facts = Facts::of(sources.iter().map(Some));
        assert_eq!(facts.place.unwrap().country.as_deref(), Some("US"));
        assert_eq!(facts.place.unwrap().continent, None);
    }

    #[test]
    fn coordinates_come_from_the_first_source_that_has_them_in_the_country_that_is_known() {
        let at = |country: Option<&str>, north: f64| {
            let coordinates = Coordinates::from_degrees(north, 0.0);
            let place = Place { country: country.map(Into::into), coordinates, ..Place::default() };
            Labels { place: Some(place), ..Labels::default() }
        };
        let found = |sources: &[Labels]| {
            let facts = Facts::of(sources.iter().map(Some));
            facts.coordinates.map(|coordinates| coordinates.degrees().0)
        };
        assert_eq!(found(&[in_country("DE"), at(Some("DE"), 50.0), at(Some("DE"), 51.0)]), Some(50.0));
        assert_eq!(found(&[in_country("DE"), at(Some("FR"), 48.0), at(None, 51.0)]), Some(51.0));
        assert_eq!(found(&[in_country("DE"), at(Some("FR"), 48.0)]), None);
        assert_eq!(found(&[at(None, 1.0), in_country("DE")]), Some(1.0));
        assert_eq!(found(&[in_country("DE")]), None);
    }

    #[test]
    fn no_source_says_nothing() {
        assert_eq!(Facts::of(std::iter::empty()), Facts::default());
    }
}
