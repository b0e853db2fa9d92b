//! From the config as written to the config as meant: names become ids, texts become values, and the parts fit together.
//!
//! A [`Spec`] and the config's files become a [`Config`], which may be used only if no error was added to the problems. A
//! wrong part is left out and the rest is checked all the same, so that one run finds everything. Each section has its own
//! checks; those that compare sections are here.
//!
//! **Invariants**: pure; without errors, ids index the lists of the config.
//! **Not here**: types and ranges (the rows of the sections), the values that many sections have ([`super::check`]), checks that
//! need the named files ([`crate::compile::check`]).

mod credentials;
mod deployment;
mod families;
mod listeners;
mod owners;
mod unused;
mod upstreams;
mod written;

use std::sync::Arc;

use super::check::{Check, NameIndex};
use super::differences::WrittenKeys;
use super::mirrors::MirrorsConfig;
use super::spec::Spec;
use super::{Config, FileUse, HorizonConfig, Placed, PlacedText, Probe, RegistryConfig, SourceFile, ZoneConfig};
use crate::base::diagnostic::{Diagnostic, nearest};
use crate::base::ids::MirrorId;
use crate::base::prefix::Prefix;
use crate::base::warnings;
use crate::files::Intake;

/// Makes a config of a spec; problems are added to the list.
///
/// `file` is the main file, `digest` that of all files, `included` are the others, and `named` are the files that the config
/// names, which `intake` notes once each is read.
pub(super) fn of(
    (file, digest, included, named): (&str, &str, &[SourceFile], Vec<(FileUse, PlacedText)>),
    spec: Spec,
    intake: &Intake,
    problems: &mut Vec<Diagnostic>,
) -> Config {
    let mut check = begin(&spec, intake, problems);
    let resolver = check.check_resolver(&spec.resolver);
    let (mut mirrors, horizons) = check.check_steering(&spec, &resolver.private);
    let networks = spec.networks.iter().filter_map(|network| check.check_network(network)).collect();
    let keys = spec.keys.iter().filter_map(|key| check.check_key(key)).collect();
    let (mut zones, services) = check.check_zones(&spec.zones.0);
    let acme = check.check_acme(&spec, &horizons, &mut zones);
    check.check_unused_horizons(&spec);
    check.check_deployment(&spec);
    check.check_steered_mirrors(&horizons, &mirrors, &zones);
    let dns = check.check_dns(&spec.dns);
    let mut registry = check.check_whole_registry(&spec, &zones, &horizons, &mirrors);
    let admin = spec.admin.as_ref().map(|admin| check.check_admin(admin, spec.control.as_ref()));
    let probe =
        spec.probe.as_ref().and_then(|probe| check.check_probe(probe, registry.as_ref(), &zones, &mirrors.entries));
    mirrors.except_from_redirects(&own_hosts(registry.as_ref(), probe.as_ref()));
    if spec.probe.is_none() {
        mirrors.leave_urls_unresolved();
    }
    let control = spec.control.as_ref().and_then(|control| check.check_control(control));
    if let (Some(registry), Some(spec)) = (&mut registry, &spec.registry) {
        (registry.ask, registry.ask_canonical) = check.check_ask(spec, registry, probe.as_ref());
    }
    let fleet = spec.fleet.as_ref().and_then(|fleet| check.check_fleet(fleet, &dns, control.as_ref()));
    check.check_hosts(&spec.mirrors, &mirrors.entries, &zones);
    check.check_listeners(&spec);
    Config {
        file: file.into(),
        digest: digest.into(),
        written: WrittenKeys::default(),
        files: check.check_named(file, included, named),
        allow: check.check_allow(&spec.allow),
        dns,
        signatures: spec.dnssec.as_ref().and_then(|dnssec| check.path(dnssec.state.as_ref()?)),
        dnstap: spec.dnstap.as_ref().and_then(|dnstap| check.check_dnstap(dnstap)),
        registry,
        admin,
        acme,
        control,
        fleet,
        probe,
        resolver,
        keys,
        zones,
        services,
        networks,
        mirrors: mirrors.entries,
        horizons,
        watch: spec.reload.and_then(|reload| Some(reload.watch?.value)),
        guard: spec.guard.as_ref().map(|guard| check.check_guard(guard)),
        refresh: check.check_refresh(&spec.refresh),
        written_addresses: check.written_addresses,
    }
}

fn begin<'p>(spec: &Spec, intake: &'p Intake, problems: &'p mut Vec<Diagnostic>) -> Check<'p> {
    Check {
        networks: NameIndex::new("network", "unknown-network", spec.networks.iter().map(|network| &network.name)),
        kinds: spec.networks.iter().map(|network| network.keys.kind()).collect(),
        mirrors: NameIndex::new("mirror", "unknown-mirror", spec.mirrors.iter().map(|mirror| &mirror.name)),
        keys: NameIndex::new("key", "unknown-key-name", spec.keys.iter().map(|key| &key.name)),
        horizons: NameIndex::new("horizon", "unknown-horizon", spec.horizons.iter().map(|horizon| &horizon.name)),
        written_addresses: Vec::new(),
        intake,
        problems,
    }
}

/// The hosts that lead back to mirrors or to canonical.
fn own_hosts(registry: Option<&RegistryConfig>, probe: Option<&Probe>) -> Vec<Arc<str>> {
    let of_registry = registry.map(|registry| [Some(registry.canonical.host()), registry.mirror_name()]);
    let of_probe = probe.map(|probe| &*probe.name);
    let own = of_registry.into_iter().flatten().flatten().chain(of_probe);
    own.map(|host| host.to_ascii_lowercase().into()).collect()
}

impl Check<'_> {
    /// The mirrors, and the horizons that rank them. `private` are the private networks of `[resolver]`.
    fn check_steering(&mut self, spec: &Spec, private: &[Prefix]) -> (MirrorsConfig, Vec<HorizonConfig>) {
        let mirrors = self.check_mirrors(&spec.mirrors, private);
        let horizons: Vec<_> = spec.horizons.iter().map(|horizon| self.check_horizon(horizon, &mirrors)).collect();
        self.check_unused_mirrors(&spec.mirrors, &horizons);
        let broken = |id: MirrorId| mirrors.broken.contains(&id);
        for horizon in &horizons {
            families::check_families(horizon, &mirrors.entries, broken, self.problems);
            self.check_answer_length(horizon, &mirrors.entries);
        }
        (mirrors, horizons)
    }

    /// `[registry]`, by itself and with the other tables.
    fn check_whole_registry(
        &mut self,
        spec: &Spec,
        zones: &[ZoneConfig],
        horizons: &[HorizonConfig],
        mirrors: &MirrorsConfig,
    ) -> Option<RegistryConfig> {
        let written = spec.registry.as_ref()?;
        self.check_schemes(written);
        let registry = self.check_registry(written, &spec.zones.0, zones, (horizons, mirrors))?;
        self.check_direct(&registry, spec, horizons, &mirrors.entries);
        self.check_loops(written, &registry, zones);
        Some(registry)
    }

    fn check_allow(&mut self, texts: &[PlacedText]) -> Vec<&'static str> {
        let mut codes = Vec::with_capacity(texts.len());
        for text in texts {
            match warnings::known(&text.value) {
                Some(code) => codes.push(Placed { value: code, place: text.place.clone() }),
                None => {
                    let known = warnings::WARNINGS.iter().map(|(code, _)| *code);
                    let help = match nearest(&text.value, known) {
                        Some(near) => format!("did you mean `{near}`? errors cannot be allowed"),
                        None => "write the code in brackets behind `warning`; errors cannot be allowed".to_string(),
                    };
                    self.report(
                        Diagnostic::error("unknown-warning", format!("there is no warning `{}`", text.value))
                            .at(text.place.clone(), "not the code of a warning")
                            .help(help),
                    );
                }
            }
        }
        self.distinct(codes).into_iter().map(|code| code.value).collect()
    }
}
