//! `mirrors`, `weights` and `nearest` of a rule or a `default`: the order in which a client takes mirrors.
//!
//! **Invariants**: a ranking has a weight or a position for every mirror of its list.
//! **Not here**: ranking ([`crate::steer`]).

use super::check::Check;
use super::field::Field;
use super::mirrors::MirrorsConfig;
use super::reader::ConfigReader;
use super::row::{KeyRow, Other, Strs, other, texts};
use super::table::Table;
use super::{Number, Placed, PlacedText, Ranking, limits};
use crate::base::diagnostic::{Diagnostic, Place, did_you_mean, list};
use crate::base::ids::MirrorId;
use crate::steer::Weights;

/// The row of `mirrors`.
pub(super) const fn mirrors() -> KeyRow<Strs> {
    texts("mirrors", "mirror")
        .required_without(&["nearest", "canonical"], "add `mirrors = [\"MIRROR\"]`")
        .example("[\"fra\", \"iad\"]")
}

/// The row of `weights`.
pub(super) const fn weights() -> KeyRow<Other> {
    other("weights", "table of numbers").example("{ fra = 3, iad = 1 }")
}

/// The row of `nearest`.
pub(super) const fn nearest() -> KeyRow<Strs> {
    texts("nearest", "mirror").instead_of("mirrors")
}

/// `weights` of a rule.
#[derive(Debug)]
pub(super) struct WeightsSpec {
    /// The names with their numbers. `None` for a wrong number, which has been reported.
    list: Vec<(PlacedText, Option<Number>)>,
    place: Place,
}

impl Field<Other> for Option<WeightsSpec> {
    fn take(table: &mut Table<'_, '_>, key: &KeyRow<Other>) -> Self {
        let value = table.value(&key.row())?;
        let values = Table::of(&value, "`weights`")?.into_values();
        let list = values.iter().map(|value| (value.name(), value.number(limits::WEIGHT))).collect();
        Some(WeightsSpec { list, place: value.place() })
    }
}

/// Reports `nearest` beside another order.
pub(super) fn report_both(
    reader: &ConfigReader<'_>,
    mirrors: &Option<Placed<Vec<PlacedText>>>,
    weights: &Option<WeightsSpec>,
    nearest: &Option<Placed<Vec<PlacedText>>>,
) {
    let Some(nearest) = nearest else { return };
    let mirrors = mirrors.as_ref().map(|mirrors| ("mirrors", &mirrors.place));
    let weights = weights.as_ref().map(|weights| ("weights", &weights.place));
    for (key, place) in mirrors.into_iter().chain(weights) {
        reader.report(
            Diagnostic::error("nearest-and-more", format!("`nearest` and `{key}` exclude each other"))
                .at(place.clone(), "another order")
                .related(nearest.place.clone(), "by distance")
                .help("`nearest` lists all the mirrors and puts them in order by distance; remove one of the two"),
        );
    }
}

/// Reports `canonical = false` without any mirror: the row of `mirrors` cannot see that the key has no effect.
pub(super) fn report_no_mirrors(is_canonical: bool, table: &Table<'_, '_>) {
    if !is_canonical && table.has("canonical") && !table.has("mirrors") && !table.has("nearest") {
        table.reader.report(
            Diagnostic::error("missing-key", format!("`mirrors` is missing in {}", table.title))
                .at(table.place.clone(), "no mirror, and not `canonical = true`")
                .help("add `mirrors = [\"MIRROR\"]`"),
        );
    }
}

/// Mirrors in some order, as written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ListSpec<'s> {
    pub(super) mirrors: &'s [PlacedText],
    /// `None` for another order.
    pub(super) weights: Option<&'s WeightsSpec>,
    /// True for the order by distance.
    pub(super) is_nearest: bool,
}

impl<'s> ListSpec<'s> {
    pub(super) fn new(
        mirrors: &'s Option<Placed<Vec<PlacedText>>>,
        weights: &'s Option<WeightsSpec>,
        nearest: &'s Option<Placed<Vec<PlacedText>>>,
    ) -> Self {
        let mirrors = nearest.as_ref().or(mirrors.as_ref()).map(|mirrors| &*mirrors.value).unwrap_or_default();
        // `nearest` beside `weights` has been reported.
        let weights = weights.as_ref().filter(|_| nearest.is_none());
        ListSpec { mirrors, weights, is_nearest: nearest.is_some() }
    }
}

impl Check<'_> {
    /// The order of a list; as listed after an error.
    pub(super) fn check_ranking(&mut self, spec: ListSpec<'_>, mirrors: &MirrorsConfig) -> Ranking {
        let ranking = match spec.weights {
            Some(weights) => self.check_weights(spec, weights),
            None if spec.is_nearest => self.check_nearest(spec, mirrors),
            None => return Ranking::Listed,
        };
        if let Some(over) = spec.mirrors.get(limits::MAX_RANKED) {
            let most = limits::MAX_RANKED;
            let message = format!("{} mirrors by weight or distance are more than {most}", spec.mirrors.len());
            let help = format!("keep to {most}, and name the others in `fallback`");
            self.report(Diagnostic::error("too-many", message).at(over.place.clone(), "one too many").help(help));
        }
        ranking.unwrap_or_default()
    }

    fn check_weights(&mut self, spec: ListSpec<'_>, weights: &WeightsSpec) -> Option<Ranking> {
        let listed = || spec.mirrors.iter().map(|name| &*name.value);
        for (name, _) in &weights.list {
            if !listed().any(|known| *known == *name.value) {
                self.report(
                    Diagnostic::error("stray-weight", format!("`{}` has a weight and is not listed", name.value))
                        .at(name.place.clone(), "not one of `mirrors`")
                        .help(did_you_mean(&name.value, "mirrors listed", listed())),
                );
            }
        }
        let weight_of = |name: &str| weights.list.iter().find(|(weighted, _)| *weighted.value == *name);
        let missing: Vec<&str> = listed().filter(|name| weight_of(name).is_none()).collect();
        if !missing.is_empty() {
            let names = list(missing.iter().copied());
            self.report(
                Diagnostic::error(
                    "missing-weight",
                    format!("{names} {} no weight", if missing.len() == 1 { "has" } else { "have" }),
                )
                .at(weights.place.clone(), "a weight for each mirror")
                .help("add it; 0 gives a mirror clients only while no other of the list is up"),
            );
        }
        // A wrong number has been reported.
        let numbers: Option<Vec<u16>> =
            spec.mirrors.iter().map(|name| u16::try_from(weight_of(&name.value)?.1.as_ref()?.value).ok()).collect();
        let numbers = numbers.filter(|numbers| !numbers.is_empty())?;
        if numbers.iter().all(|number| *number == 0) {
            self.report(
                Diagnostic::error("no-weight", "all weights are 0")
                    .at(weights.place.clone(), "no mirror would get a client")
                    .help("give at least one mirror a weight from 1 to 1000"),
            );
            return None;
        }
        Some(Ranking::Weighted(Weights::new(listed().zip(numbers))))
    }

    fn check_nearest(&mut self, spec: ListSpec<'_>, mirrors: &MirrorsConfig) -> Option<Ranking> {
        let mut places = Vec::with_capacity(spec.mirrors.len());
        for name in spec.mirrors {
            // An unknown mirror is reported with its list.
            let Ok(at) = self.mirrors.find(name) else { continue };
            match mirrors.entries[at].location {
                Some(location) => places.push(location),
                None if mirrors.broken.contains(&MirrorId::from_index(at)) => {}
                None => self.report(
                    Diagnostic::error("no-location", format!("the location of mirror `{}` is unknown", name.value))
                        .at(name.place.clone(), "taken by distance")
                        .related(mirrors.entries[at].place.clone(), "has no `location`")
                        .help("add `location = [LATITUDE, LONGITUDE]` in degrees to the mirror, like `[50.11, 8.68]`"),
                ),
            }
        }
        (places.len() == spec.mirrors.len()).then_some(Ranking::Nearest(places))
    }
}
