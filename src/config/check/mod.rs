//! From the config as written to the config as meant: names become ids, texts become values, and the parts fit together.
//!
//! A [`Spec`] and the config's files become a [`Config`], which may be used only if no error was added to the problems. A
//! wrong part is left out and the rest is checked all the same, so that one run finds everything. Each section has its own
//! checks; those that compare sections are here.
//!
//! **Invariants**: pure; without errors, ids index the lists of the config.
//! **Not here**: types and ranges (the rows of the sections), checks that need the named files ([`crate::compile::check`]).

pub(in crate::config) mod deployment;
mod families;
mod listeners;
mod upstreams;
mod written;

use std::cell::Cell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::field::Named;
use super::mirrors::MirrorSpec;
use super::spec::{PlacedText, Spec};
use super::value::{self, Fault};
use super::{Config, FileUse, HorizonConfig, InputFile, NetworkKind, Placed, SourceFile, limits};
use crate::base::diagnostic::{Diagnostic, did_you_mean, nearest};
use crate::base::ids::MirrorId;
use crate::base::warnings;
use crate::files::Intake;

/// Makes a config of a spec; problems are added to the list.
///
/// `file` is the main file, `digest` that of all files, `included` are the others, and `named` are the files that the config
/// names, which `intake` notes once each is read.
pub(super) fn check(
    (file, digest, included, named): (&str, &str, &[SourceFile], Vec<(FileUse, PlacedText)>),
    spec: Spec,
    intake: &Intake,
    problems: &mut Vec<Diagnostic>,
) -> Config {
    let mut check = Check {
        networks: NameIndex::new("network", "unknown-network", spec.networks.iter().map(|network| &network.name)),
        kinds: spec.networks.iter().map(|network| network.keys.as_ref()?.kind()).collect(),
        mirrors: NameIndex::new("mirror", "unknown-mirror", spec.mirrors.iter().map(|mirror| &mirror.name)),
        keys: NameIndex::new("key", "unknown-key-name", spec.keys.iter().map(|key| &key.name)),
        horizons: NameIndex::new("horizon", "unknown-horizon", spec.horizons.iter().map(|horizon| &horizon.name)),
        written_addresses: Vec::new(),
        intake,
        problems,
    };
    let private = spec.resolver.iter().flat_map(|resolver| &resolver.private);
    let private: Vec<_> = private.filter_map(|text| value::prefix(&text.value).ok()).collect();
    let mut mirrors = check.check_mirrors(&spec.mirrors, &private);
    let horizons: Vec<_> = spec.horizons.iter().map(|horizon| check.check_horizon(horizon, &mirrors)).collect();
    check.check_unused_mirrors(&spec.mirrors, &horizons);
    let broken = |id: MirrorId| mirrors.broken.contains(&id);
    for horizon in &horizons {
        families::check_families(horizon, &mirrors.entries, broken, check.problems);
        check.check_answer_length(horizon, &mirrors.entries);
    }
    let networks = spec.networks.iter().filter_map(|network| check.check_network(network)).collect();
    let keys = spec.keys.iter().filter_map(|key| check.check_key(key)).collect();
    let (mut zones, services) = check.check_zones(&spec.zones.0);
    let acme = check.check_acme(&spec, &horizons, &mut zones);
    check.check_unused_horizons(&spec);
    check.check_deployment(&spec);
    check.check_steered_mirrors(&horizons, &mirrors, &zones);
    let dns = check.check_dns(&spec.dns);
    let mut registry = spec.registry.as_ref().and_then(|registry| {
        check.check_schemes(registry);
        let registry = check.check_registry(registry, &spec.zones.0, &zones, (&horizons, &mirrors))?;
        check.check_direct(&registry, &spec, &horizons, &mirrors.entries);
        check.check_loops(spec.registry.as_ref()?, &registry, &zones);
        Some(registry)
    });
    let admin = spec.admin.as_ref().map(|admin| check.check_admin(admin, &spec));
    let probe =
        spec.probe.as_ref().and_then(|probe| check.check_probe(probe, registry.as_ref(), &zones, &mirrors.entries));
    let of_registry = registry.as_ref().map(|registry| [Some(registry.canonical.host()), registry.mirror_name()]);
    let of_probe = probe.as_ref().map(|probe| &*probe.name);
    let own = of_registry.into_iter().flatten().flatten().chain(of_probe).map(|host| host.to_ascii_lowercase().into());
    mirrors.except_from_redirects(&own.collect::<Vec<_>>());
    if spec.probe.is_none() {
        mirrors.leave_urls_unresolved();
    }
    let control = spec.control.as_ref().and_then(|control| check.check_control(control));
    if let (Some(registry), Some(spec)) = (&mut registry, &spec.registry) {
        (registry.ask, registry.ask_canonical) = check.check_ask(spec, registry, probe.as_ref());
    }
    let resolver = check.check_resolver(spec.resolver.as_ref());
    check.check_hosts(&spec.mirrors, &mirrors.entries, &zones);
    check.check_listeners(&spec);
    let allow = check.check_allow(&spec.allow);
    let guard = spec.guard.as_ref().map(|guard| check.check_guard(guard));
    let refresh = spec.refresh.as_ref().map(|refresh| check.check_refresh(refresh)).unwrap_or_default();
    let watch = spec.reload.and_then(|reload| Some(reload.watch?.value));
    let files = check.check_named(file, included, named);
    let (mirrors, written_addresses) = (mirrors.entries, check.written_addresses);
    Config {
        file: file.into(),
        digest: digest.into(),
        files,
        allow,
        dns,
        registry,
        admin,
        acme,
        control,
        probe,
        resolver,
        keys,
        zones,
        services,
        networks,
        mirrors,
        horizons,
        watch,
        guard,
        refresh,
        written_addresses,
    }
}

/// The names and problems that the checks of all sections share.
pub(super) struct Check<'p> {
    pub(super) networks: NameIndex,
    /// The kind of each network. `None` for a wrong one.
    pub(super) kinds: Vec<Option<NetworkKind>>,
    pub(super) mirrors: NameIndex,
    pub(super) horizons: NameIndex,
    pub(super) keys: NameIndex,
    /// The addresses of every `listen` so far.
    written_addresses: Vec<Placed<SocketAddr>>,
    intake: &'p Intake,
    pub(super) problems: &'p mut Vec<Diagnostic>,
}

impl Check<'_> {
    pub(super) fn report(&mut self, problem: Diagnostic) {
        self.problems.push(problem);
    }

    /// The value of a text; a fault is reported.
    pub(super) fn parse<T>(&mut self, text: &PlacedText, parse: impl Fn(&str) -> Result<T, Fault>) -> Option<T> {
        match parse(&text.value) {
            Ok(value) => Some(value),
            Err(fault) => {
                self.report(fault.at(&text.place));
                None
            }
        }
    }

    /// The values of a list with their places; faults are reported, repeated values dropped with a warning.
    pub(super) fn parse_all<T: Clone + Eq + std::hash::Hash>(
        &mut self,
        texts: &[PlacedText],
        parse: impl Fn(&str) -> Result<T, Fault>,
    ) -> Vec<Placed<T>> {
        let mut values = Vec::with_capacity(texts.len());
        for text in texts {
            if let Some(value) = self.parse(text, &parse) {
                values.push(Placed { value, place: text.place.clone() });
            }
        }
        self.distinct(values)
    }

    /// Drops repeated values with a warning.
    pub(super) fn distinct<T: Clone + Eq + std::hash::Hash>(&mut self, values: Vec<Placed<T>>) -> Vec<Placed<T>> {
        let mut first: HashMap<T, usize> = HashMap::new();
        let mut kept: Vec<Placed<T>> = Vec::with_capacity(values.len());
        for value in values {
            if let Some(&at) = first.get(&value.value) {
                self.report(
                    Diagnostic::warning("repeated-value", "a value is written twice in one list")
                        .at(value.place, "written again")
                        .related(kept[at].place.clone(), "first written here")
                        .help("remove one of the two"),
                );
                continue;
            }
            first.insert(value.value.clone(), kept.len());
            kept.push(value);
        }
        kept
    }

    /// A path that is relative to the file that names it.
    pub(super) fn path(&mut self, text: &PlacedText) -> Option<PathBuf> {
        self.parse(text, value::word).map(|path| folder_of(text).join(&*path))
    }

    /// A file that is read.
    pub(super) fn input(&mut self, text: &PlacedText, usage: FileUse) -> Option<InputFile> {
        let path = self.path(text)?;
        Some(InputFile::new(path, text.value.clone(), usage, text.place.clone()).noted_in(self.intake))
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

    /// True if a reference of a kind is wrong or missing, because unused things then prove nothing.
    pub(super) fn has_lost_reference(&self, code: &str) -> bool {
        let lost = [code, "wrong-type", "missing-key", "empty-list", "unknown-key"];
        self.problems.iter().any(|problem| lost.contains(&problem.code))
    }

    fn check_unused_mirrors(&mut self, specs: &[Named<MirrorSpec>], horizons: &[HorizonConfig]) {
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
}

/// The folder of the file that a text is in.
fn folder_of(text: &PlacedText) -> &Path {
    Path::new(&*text.place.file).parent().unwrap_or(Path::new(""))
}

/// The names of one kind of entry, each for its index in file order.
pub(super) struct NameIndex {
    /// The word for such an entry in messages.
    kind: &'static str,
    /// The code of the problem with an unknown name.
    pub(super) code: &'static str,
    list: Vec<Arc<str>>,
    index: HashMap<Arc<str>, usize>,
    /// The number of unknown names that have been compared with all known ones.
    compared: Cell<usize>,
}

impl NameIndex {
    fn new<'a>(kind: &'static str, code: &'static str, names: impl Iterator<Item = &'a PlacedText>) -> Self {
        let list: Vec<Arc<str>> = names.map(|name| name.value.clone()).collect();
        let index = list.iter().enumerate().map(|(at, name)| (name.clone(), at)).collect();
        NameIndex { kind, code, list, index, compared: Cell::new(0) }
    }

    /// The index of a name, or the problem of an unknown one.
    pub(super) fn find(&self, name: &PlacedText) -> Result<usize, Box<Diagnostic>> {
        self.index.get(&name.value).copied().ok_or_else(|| {
            let NameIndex { kind, code, list, .. } = self;
            let compared = self.compared.replace(self.compared.get() + 1);
            let help = if compared < limits::MAX_COMPARED {
                did_you_mean(&name.value, &format!("defined {kind}s"), list.iter().map(|name| &**name))
            } else {
                format!("define it, or name another {kind}")
            };
            let problem = Diagnostic::error(code, format!("{kind} `{}` is not defined", name.value))
                .at(name.place.clone(), "used here")
                .help(help);
            Box::new(problem)
        })
    }
}
