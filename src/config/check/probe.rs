//! `[probe]`: what mirrors are held to.

use std::sync::Arc;
use std::time::Duration;

use super::Check;
use crate::base::diagnostic::Diagnostic;
use crate::config::spec::{CanarySpec, Number, ProbeSpec};
use crate::config::value;
use crate::config::{Canary, Placed, Probe, Registry, Zone, limits};
use crate::mirror::Thresholds;

impl Check<'_> {
    pub(super) fn check_probe(
        &mut self,
        spec: &ProbeSpec,
        registry: Option<&Registry>,
        zones: &[Zone],
    ) -> Option<Probe> {
        let name = match &spec.name {
            Some(text) => self.parse(text, value::host_name)?,
            None => self.shared_name(spec, registry, zones)?,
        };
        let time = |time: &Option<Placed<Duration>>, default| time.as_ref().map_or(default, |time| time.value);
        // Ranges have been checked when they were read: every number here fits its type.
        let count = |number: &Option<Number>, default| {
            number.as_ref().and_then(|number| u8::try_from(number.value).ok()).unwrap_or(default)
        };
        let hold_down = time(&spec.hold_down, limits::HOLD_DOWN_DEFAULT);
        let max_hold_down = time(&spec.max_hold_down, limits::MAX_HOLD_DOWN_DEFAULT.max(hold_down));
        if let Some(max) = spec.max_hold_down.as_ref().filter(|max| max.value < hold_down) {
            self.report(
                Diagnostic::error("hold-down", "`max-hold-down` is shorter than `hold-down`")
                    .at(max.place.clone(), format!("less than {hold_down:?}"))
                    .help("make it at least as long: the hold-down doubles up to it"),
            );
        }
        let default =
            Probe { port: registry.map_or(limits::MIRROR_PORT, Registry::mirror_port), ..Probe::of_name(name) };
        let interval = time(&spec.interval, default.interval);
        Some(Probe {
            port: spec.port.as_ref().and_then(|port| u16::try_from(port.value).ok()).unwrap_or(default.port),
            interval,
            retry: time(&spec.retry, default.retry.min(interval)),
            timeout: time(&spec.timeout, default.timeout),
            thresholds: Thresholds {
                fall: count(&spec.fall, limits::FALL_DEFAULT),
                rise: count(&spec.rise, limits::RISE_DEFAULT),
                hold_down_ms: hold_down.as_millis() as u64,
                max_hold_down_ms: max_hold_down.as_millis() as u64,
            },
            expiring: time(&spec.expiring, default.expiring),
            canary: spec.canary.as_ref().and_then(|canary| self.check_canary(canary)),
            roots: spec.roots.as_ref().and_then(|roots| self.path(roots)),
            state: spec.state.as_ref().and_then(|state| self.path(state)),
            name: default.name,
        })
    }

    /// The host of the registry's `blobs`, else the one steered owner.
    fn shared_name(&mut self, spec: &ProbeSpec, registry: Option<&Registry>, zones: &[Zone]) -> Option<Arc<str>> {
        if let Some(registry) = registry {
            return Some(registry.mirror_name().into());
        }
        let mut owners = zones.iter().flat_map(|zone| &zone.steer).map(|steer| steer.owner.to_string());
        match (owners.next(), owners.next()) {
            (Some(owner), None) => Some(owner.into()),
            _ => {
                self.report(
                    Diagnostic::error("probe-name", "which name mirrors serve cannot be told")
                        .at(spec.place.clone(), "`name` is missing")
                        .help("add `name = \"blob.example.com\"`: the name that clients pull from"),
                );
                None
            }
        }
    }

    fn check_canary(&mut self, spec: &CanarySpec) -> Option<Canary> {
        let (repository, digest, size) = (spec.repository.as_ref()?, spec.digest.as_ref()?, spec.size.as_ref()?);
        let canary = Canary::new(&repository.value, &digest.value, size.value);
        if canary.is_none() {
            self.report(
                Diagnostic::error("bad-digest", format!("`{}` is not a SHA-256 digest", digest.value))
                    .at(digest.place.clone(), "not a digest")
                    .help("write `sha256:` and 64 hexadecimal digits in lower case"),
            );
        }
        canary
    }
}
