//! Parts of a config that no other part refers to.
//!
//! **Invariants**: after a wrong reference no part is reported, because the reference may have meant it.

use std::collections::HashSet;

use crate::base::diagnostic::Diagnostic;
use crate::base::ids::MirrorId;
use crate::config::check::Check;
use crate::config::field::Named;
use crate::config::mirrors::MirrorSpec;
use crate::config::spec::Spec;
use crate::config::{HorizonConfig, Placed, PlacedText};

impl Check<'_> {
    pub(super) fn check_unused_mirrors(&mut self, specs: &[Named<MirrorSpec>], horizons: &[HorizonConfig]) {
        // A misspelt reference would make a mirror look unused.
        if self.has_lost_reference(self.mirrors.code) {
            return;
        }
        let used = horizons.iter().flat_map(HorizonConfig::mirrors).map(MirrorId::index);
        for name in unused(specs, used.collect()) {
            self.report(
                Diagnostic::warning("unused-mirror", format!("mirror `{}` is in no horizon", name.value))
                    .at(name.place.clone(), "never steered to")
                    .help("name it in a rule or a `default` of a horizon, or remove it"),
            );
        }
    }

    pub(super) fn check_unused_horizons(&mut self, spec: &Spec) {
        // A misspelt reference would make a horizon look unused.
        if self.has_lost_reference(self.horizons.code) {
            return;
        }
        let steers = spec.zones.0.iter().flat_map(|zone| &zone.steer).filter_map(|steer| steer.horizon.as_ref());
        let of_registry = spec.registry.iter().filter_map(|registry| registry.horizon.as_ref());
        let of_paths =
            spec.registry.iter().flat_map(|registry| &registry.paths).filter_map(|path| path.horizon.as_ref());
        let named = steers.chain(of_registry).chain(of_paths);
        let used = named.filter_map(|horizon| self.horizons.find(horizon).ok());
        for Placed { value: name, place } in unused(&spec.horizons, used.collect()) {
            self.report(
                Diagnostic::warning("unused-horizon", format!("no owner is steered by horizon `{name}`"))
                    .at(place.clone(), "never used")
                    .help(format!("add `steer = [{{ owner = \"@\", horizon = \"{name}\" }}]` to a zone, or remove it")),
            );
        }
    }
}

/// The names of the entries whose index is not among the used ones.
fn unused<S>(specs: &[Named<S>], used: HashSet<usize>) -> impl Iterator<Item = &PlacedText> {
    specs.iter().enumerate().filter(move |(at, _)| !used.contains(at)).map(|(_, spec)| &spec.name)
}
