//! Parts of a config that no other part refers to.
//!
//! **Invariants**: after a wrong reference no part is reported, because the reference may have meant it.

use crate::base::diagnostic::Diagnostic;
use crate::config::HorizonConfig;
use crate::config::check::Check;
use crate::config::field::Named;
use crate::config::mirrors::MirrorSpec;
use crate::config::spec::Spec;

impl Check<'_> {
    pub(super) fn check_unused_mirrors(&mut self, specs: &[Named<MirrorSpec>], horizons: &[HorizonConfig]) {
        // A misspelt reference would make a mirror look unused.
        if self.has_lost_reference(self.mirrors.code) {
            return;
        }
        let mut used = vec![false; specs.len()];
        for id in horizons.iter().flat_map(HorizonConfig::mirrors) {
            used[id.index()] = true;
        }
        for (spec, _) in specs.iter().zip(used).filter(|(_, used)| !used) {
            self.report(
                Diagnostic::warning("unused-mirror", format!("mirror `{}` is in no horizon", spec.name.value))
                    .at(spec.name.place.clone(), "never steered to")
                    .help("name it in a rule or a `default` of a horizon, or remove it"),
            );
        }
    }

    pub(super) fn check_unused_horizons(&mut self, spec: &Spec) {
        // A misspelt reference would make a horizon look unused.
        if self.has_lost_reference(self.horizons.code) {
            return;
        }
        let mut used = vec![false; spec.horizons.len()];
        let steers = spec.zones.0.iter().flat_map(|zone| &zone.steer).filter_map(|steer| steer.horizon.as_ref());
        let of_registry = spec.registry.iter().filter_map(|registry| registry.horizon.as_ref());
        let of_paths =
            spec.registry.iter().flat_map(|registry| &registry.paths).filter_map(|path| path.horizon.as_ref());
        for horizon in steers.chain(of_registry).chain(of_paths) {
            if let Ok(at) = self.horizons.find(horizon) {
                used[at] = true;
            }
        }
        for (spec, _) in spec.horizons.iter().zip(used).filter(|(_, used)| !used) {
            let name = &spec.name.value;
            self.report(
                Diagnostic::warning("unused-horizon", format!("no owner is steered by horizon `{name}`"))
                    .at(spec.name.place.clone(), "never used")
                    .help(format!("add `steer = [{{ owner = \"@\", horizon = \"{name}\" }}]` to a zone, or remove it")),
            );
        }
    }
}
