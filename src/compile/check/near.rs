//! Lists by distance: mirrors that are the nearest to no client, and rules whose clients have no coordinates.
//!
//! **Invariants**: only warns; the lists are served as written.
//! **Not here**: distances and orders ([`crate::steer`]).

use std::collections::BTreeSet;

use crate::base::diagnostic::{Diagnostic, Place, list};
use crate::base::ids::MirrorId;
use crate::config::{Config, HorizonConfig};
use crate::networks::Networks;
use crate::steer::{self, Won};

/// Warns of mirrors in lists by distance that are the nearest to no client. `winners` are the rules that decide for some
/// client.
pub(crate) fn mirrors_near_nobody(
    config: &Config,
    meant: &HorizonConfig,
    built: &steer::Horizon,
    winners: &BTreeSet<usize>,
    networks: &Networks,
) -> Vec<Diagnostic> {
    // If no source has coordinates, `check_labels` warns of it once for all lists.
    if !knows_coordinates(networks) {
        return Vec::new();
    }
    let of_list = |(won, near): (Won, &BTreeSet<MirrorId>)| {
        let (mirrors, place, whose) = match won {
            // A rule that never decides has its own warning.
            Won::Rule(rule) if !winners.contains(&rule) => return None,
            Won::Rule(rule) => (&meant.rules[rule].mirrors, &meant.rules[rule].place, "this rule"),
            Won::Default => (&meant.default, &meant.default_place, "the default"),
        };
        let lonely = mirrors.iter().filter(|id| !near.contains(id));
        let names: Vec<&str> = lonely.map(|id| &*config.mirrors[id.index()].mirror.name).collect();
        match (near.is_empty(), names.is_empty()) {
            (true, _) => Some(nowhere(place, whose)),
            (false, false) => Some(far_from_all(&names, place, whose)),
            (false, true) => None,
        }
    };
    built.near_somebody().filter_map(of_list).collect()
}

/// Returns whether any source says where on earth its networks are.
pub(super) fn knows_coordinates(networks: &Networks) -> bool {
    networks.sources.iter().flat_map(|source| source.all_labels()).any(|labels| labels.coordinates.is_some())
}

fn nowhere(place: &Place, whose: &str) -> Diagnostic {
    Diagnostic::warning("clients-nowhere", format!("no client of {whose} has coordinates"))
        .at(place.clone(), "every client gets the mirrors in the order of the list")
        .help("write `mirrors` instead of `nearest`, or add a City database that knows these clients")
}

fn far_from_all(names: &[&str], place: &Place, whose: &str) -> Diagnostic {
    let verb = if names.len() == 1 { "is" } else { "are" };
    let message = format!("{} {verb} the nearest to no client", list(names.iter().copied()));
    Diagnostic::warning("nearest-to-nobody", message)
        .at(place.clone(), format!("another mirror is nearer to every client of {whose}"))
        .help("check the `location`, or remove it here, or move it to `fallback`")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::geo::Coordinates;
    use crate::config;
    use crate::networks::{LabelKind, Labels, SourceBuilder};
    use crate::steer::{Draft, Laid};

    const CONFIG: &str = "\
zone = { name = 'example.com', file = 'example.zone', steer = { owner = '@', horizon = 'h' } }
mirrors.fra = { addresses = '192.0.2.1', location = [50.11, 8.68] }
mirrors.par = { addresses = '192.0.2.2', location = [48.86, 2.35] }
mirrors.twin = { addresses = '192.0.2.3', location = [48.86, 2.35] }
networks.city = { mmdb = 'city.mmdb' }
[horizons.h]
rules = [
  { country = 'DE', nearest = ['par', 'fra'] },
  { country = 'FR', nearest = ['fra', 'twin', 'par'] },
  { country = 'GB', nearest = ['fra'] },
  { country = 'US', nearest = ['fra'] },
]
default = { nearest = ['fra', 'par'] }
";

    /// Line and message of each warning, if the clients of these countries are at these places.
    fn warnings(clients: &[(&str, Option<(f64, f64)>)]) -> Vec<(u32, String)> {
        let config = config::read("pharos.toml", CONFIG).unwrap().0;
        let mut source = SourceBuilder::new("city", "city.mmdb");
        for (index, (country, at)) in clients.iter().enumerate() {
            let coordinates = at.and_then(|(north, east)| Coordinates::from_degrees(north, east));
            let labels = source.intern(Labels::of(LabelKind::Country, *country).at(coordinates));
            source.add(format!("11.{index}.0.0/16").parse().unwrap(), labels, 0);
        }
        let networks = Networks { sources: vec![Arc::new(source.finish().0)] };
        let laid = Laid::over(&networks);
        let meant = &config.horizons[0];
        let rules = meant.rules.iter().map(super::super::super::rule).collect();
        let draft = Draft {
            default_ranking: meant.default_ranking.clone(),
            ..Draft::new(meant.name.clone(), rules, meant.default.clone())
        };
        let built = steer::Horizon::build(draft, &networks, &laid);
        let winners = super::super::super::winners(&built, &networks, &laid);
        let found = mirrors_near_nobody(&config, meant, &built, &winners, &networks);
        found.iter().map(|problem| (problem.place.as_ref().unwrap().line, problem.message.clone())).collect()
    }

    #[test]
    fn mirrors_that_are_never_the_nearest_are_named() {
        let (munich, brest, rio) = ((48.14, 11.58), (48.39, -4.49), (-22.9, -43.2));
        let found =
            warnings(&[("DE", Some(munich)), ("FR", Some(brest)), ("GB", None), ("BR", Some(rio)), ("FR", None)]);
        let expected = [
            (8, "`par` is the nearest to no client"),
            // Of two mirrors at one place the one listed first is the nearest; Frankfurt is the nearest to no client in Brest.
            (9, "`fra`, `par` are the nearest to no client"),
            (10, "no client of this rule has coordinates"),
            // No client meets the rule for the US; another check warns of that. Paris is nearer to Rio.
            (13, "`fra` is the nearest to no client"),
        ];
        assert_eq!(found, expected.map(|(line, message)| (line, message.to_string())));
    }

    #[test]
    fn without_any_coordinates_nothing_is_said_here() {
        assert_eq!(warnings(&[("DE", None)]), []);
    }
}
