//! Compiling: from a config and the files it names to the snapshot that is served.
//!
//! [`build`] takes all steps: read the config file, load its zones and networks, check them against each other, compile. It
//! fails with every problem that it could find, and never builds a part.
//!
//! **Invariants**: compiling is deterministic: the same files, and the same addresses of hosts, give the same snapshot; nothing here touches a snapshot
//! that is being served.
//! **Not here**: publishing ([`crate::live`]), the format of any one file ([`crate::config`], [`crate::load`]).

pub(crate) mod check;
mod registry;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use registry::registry_settings;

use crate::base::diagnostic::{Diagnostic, sort_by_place};
use crate::base::prefix::{Family, Prefix, PrefixSet};
use crate::base::time::Generation;
use crate::base::tsig::Keys;
use crate::config::{self, Config, InputFile, Placed};
use crate::files::Intake;
use crate::load::hosts::Purpose;
use crate::load::{self, Inputs};
use crate::mirror::Health;
use crate::networks::Networks;
use crate::snapshot::{
    ChaosText, Compiled, CompiledSteering, CookieSecrets, Origin, Party, Policy, Provenance, ServerIdentity, Settings,
    Snapshot, Transfers,
};
use crate::steer::{Condition, Draft, Horizon, Laid, RegionTable, Rule, Won};
use crate::zone::ZoneSet;

/// The result of building from a config file and the files it names.
#[derive(Debug)]
pub struct Built {
    /// The configuration, for the services.
    pub config: Config,
    /// The snapshot to serve.
    pub snapshot: Snapshot,
    /// The warnings, in file order.
    pub(crate) warnings: Vec<Diagnostic>,
}

/// Builds a snapshot from a config file, to check it. The error has all problems.
pub fn build(path: &Path, generation: Generation) -> Result<Built, Vec<Diagnostic>> {
    build_for(&Purpose::Check, path, generation, &Intake::default(), &|_| None)
}

/// Builds a snapshot from files in memory: `path` is that of the config file among them, and no other file exists. Paths in
/// it are relative to the folder of `path`. Hosts of mirrors are looked up in the DNS; a host without addresses is a
/// warning.
///
/// # Errors
///
/// Every problem that was found, in the order of files and lines, as [`build`].
pub fn build_in_memory(
    path: impl AsRef<Path>,
    files: impl IntoIterator<Item = (impl Into<PathBuf>, impl Into<Vec<u8>>)>,
) -> Result<Built, Vec<Diagnostic>> {
    let files = files.into_iter().map(|(path, bytes)| (path.into(), bytes.into())).collect();
    build_for(&Purpose::Show, path.as_ref(), Generation(1), &Intake::of_memory(files), &|_| None)
}

/// The same for another purpose. `intake` notes the files that are read; `check_state` looks at those in which services keep
/// state.
pub(crate) fn build_for(
    purpose: &Purpose,
    path: &Path,
    generation: Generation,
    intake: &Intake,
    check_state: &dyn Fn(&InputFile) -> Option<Diagnostic>,
) -> Result<Built, Vec<Diagnostic>> {
    let config::Read { mut config, warnings: mut problems, files } = config::read_inputs(path, intake)?;
    problems.extend(load::exposed_configs(&config, &files));
    problems.extend(load::named::check(&config, purpose, check_state));
    problems.extend(load::hosts::resolve(&mut config, purpose));
    problems.extend(check::check_families(&config));
    let (inputs, found) = load::inputs(&config, purpose);
    problems.extend(found);
    let snapshot = inputs.map(|inputs| {
        let (snapshot, found) = compile(&config, inputs, generation);
        problems.extend(found);
        problems.extend(check::check_issuance(&config, snapshot.zones()));
        snapshot
    });
    config.leave_out_allowed(&mut problems);
    sort_by_place(&mut problems);
    match snapshot.filter(|_| !problems.iter().any(Diagnostic::is_error)) {
        Some(snapshot) => Ok(Built { config, snapshot, warnings: problems }),
        None => Err(problems),
    }
}

/// Compiles a checked config with its inputs; beside the snapshot come the problems of rules and sources.
pub(crate) fn compile(config: &Config, inputs: Inputs, generation: Generation) -> (Snapshot, Vec<Diagnostic>) {
    let Inputs { networks, zones, cookies, keys, signing } = inputs;
    let (zones, origins): (Vec<_>, Vec<_>) = zones.into_iter().unzip();
    let (steering, problems) = steering(config, networks);
    let compiled = Compiled {
        horizons: steering.horizons,
        mirrors: config.mirrors.iter().map(|entry| entry.mirror.clone()).collect(),
        services: config.services.as_slice().into(),
        settings: Arc::new(Settings {
            tap: config.dnstap.as_ref().map(|dnstap| dnstap.terms),
            ..settings(&config.dns, cookies)
        }),
        transfers: Arc::new(transfers(config, keys)),
        challenges: config.acme.as_ref().map(|acme| acme.challenges.clone()).unwrap_or_default(),
        regions: steering.regions,
        provenance: steering.provenance,
        signing: signing.into(),
        zones: origins.into(),
    };
    let snapshot = Snapshot::new(generation, ZoneSet::sharing(zones), compiled).with_fresh(if config.probe.is_some() {
        Health::Untried
    } else {
        Health::Up
    });
    (snapshot, problems)
}

/// Compiles the horizons of a config with its sources, as [`compile`] does with all inputs. Beside them come the problems of rules
/// and sources.
pub(crate) fn steering(config: &Config, networks: Networks) -> (CompiledSteering, Vec<Diagnostic>) {
    let laid = Laid::over(&networks);
    let mut problems = check::check_labels(config, &networks);
    let mut horizons = Vec::new();
    let unmet = check::unmet_rules(config, &networks);
    for (meant, unmet) in config.horizons.iter().zip(&unmet) {
        let rules = meant.rules.iter().map(rule).collect();
        let draft = Draft {
            default_ranking: meant.default_ranking.clone(),
            default_is_canonical: meant.default_is_canonical,
            least_scopes: meant.least_scopes,
            answer_mirrors: meant.answer_mirrors,
            ..Draft::new(meant.name.clone(), rules, meant.default.clone())
        };
        let horizon = Horizon::build(draft, &networks, &laid);
        let winners = winners(&horizon, &networks, &laid);
        problems.extend(check::unreachable_rules(meant, &winners, unmet));
        problems.extend(check::mirrors_near_nobody(config, meant, &horizon, &winners, &networks));
        horizons.push(horizon);
    }
    if networks.lack_prefixes() {
        // Every rule for a source that is not fetched yet would look wrong.
        problems.clear();
    }
    let regions = Arc::new(RegionTable::build(&networks, &laid));
    let provenance = Arc::new(provenance(config, networks));
    (CompiledSteering { horizons: horizons.into(), regions, provenance }, problems)
}

fn settings(dns: &config::DnsConfig, cookies: CookieSecrets) -> Settings {
    let text = |text: &Option<Arc<str>>| text.as_ref().and_then(|text| ChaosText::new(text.as_bytes()));
    Settings {
        udp_payload: dns.udp_payload,
        ecs_from: dns.ecs_from.as_deref().map(PrefixSet::new),
        // Ten minutes at most: the range of `[dns] tcp-idle`.
        keepalive: (dns.tcp_idle.as_millis() / 100) as u16,
        cookies,
        identity: ServerIdentity {
            nsid: dns.nsid.as_ref().map(|name| name.as_bytes().into()),
            host: text(&dns.identity),
            version: text(&dns.version),
        },
        rate_limit: dns.rrl.clone(),
        tap: None,
    }
}

/// The rules that win for at least one combination of labels that there is.
fn winners(horizon: &Horizon, networks: &Networks, laid: &Laid) -> BTreeSet<usize> {
    laid.combinations()
        .filter_map(|labels| match horizon.winner(&networks.facts(labels)) {
            Won::Rule(rule) => Some(rule),
            Won::Default => None,
        })
        .collect()
}

fn rule(meant: &config::RuleConfig) -> Rule {
    let conditions = meant.conditions.iter().map(condition).collect();
    Rule {
        conditions,
        mirrors: meant.mirrors.clone(),
        ranking: meant.ranking.clone(),
        fallback: meant.fallback.clone(),
        is_canonical: meant.is_canonical,
    }
}

fn condition(meant: &config::ConditionConfig) -> Condition {
    match meant {
        config::ConditionConfig::Network { sources, labels } => {
            Condition::Network { sources: values(sources), labels: values(labels) }
        }
        config::ConditionConfig::Label { kind, values: list } => Condition::Label { kind: *kind, values: values(list) },
    }
}

fn values<T: Clone>(list: &[Placed<T>]) -> Vec<T> {
    list.iter().map(|placed| placed.value.clone()).collect()
}

fn transfers(config: &Config, keys: Keys) -> Transfers {
    let primary = |remote: &config::PrimaryConfig| {
        let address = remote.address.ip();
        Party { prefix: Some(Prefix::holding(address, Family::of(address).width())), key: remote.key }
    };
    let policy = |zone: &config::ZoneConfig| Policy {
        allow: zone.transfer.allow.clone(),
        primaries: zone.primaries.iter().map(primary).collect(),
        steered: zone.transfer.steered,
    };
    Transfers { keys, zones: config.zones.iter().map(policy).collect() }
}

fn provenance(config: &Config, networks: Networks) -> Provenance {
    let origin = |place: &crate::base::diagnostic::Place| Origin { file: place.file.clone(), line: place.line };
    let of_horizon = |horizon: &config::HorizonConfig| {
        let rules = horizon.rules.iter().map(|rule| origin(&rule.place)).collect();
        (rules, origin(&horizon.default_place))
    };
    Provenance { networks, horizons: config.horizons.iter().map(of_horizon).collect() }
}
