//! Everything that a start or a reload needs, prepared before anything changes.
//!
//! **Invariants**: the result is complete, or it is the list of all problems, those of the certificates among them. It lacks
//! only the certificates that listeners keep because the files are refused at a reload.
//! **Not here**: compiling ([`crate::compile`]), reading certificates ([`crate::tls`]).

use std::net::SocketAddr;
use std::path::Path;

use super::fleet::{self, PreparedFleet};
use super::identities::Identities;
use super::mirrors::{self, Watch};
use crate::base::diagnostic::{Diagnostic, sort_by_place};
use crate::base::rr::Rtype;
use crate::base::time::Generation;
use crate::compile::{self, Built};
use crate::config::{Config, FileUse, InputFile, Placed, ZoneConfig};
use crate::control;
use crate::files::{self, Intake};
use crate::http::{Means, Token};
use crate::load::{self, hosts::Purpose};
use crate::process::{address, sys};
use crate::registry::RegistrySettings;
use crate::snapshot::Snapshot;
use crate::{acme, live, probe, transfer};

/// A configuration that is ready to be served.
#[derive(Debug)]
pub(super) struct Prepared {
    /// The configuration with its snapshot.
    pub(super) built: Built,
    /// The settings of the registry listener; `None` if there is no such listener.
    pub(super) settings: Option<RegistrySettings>,
    /// The watch of mirrors; `None` if mirrors are not probed.
    pub(super) watch: Option<Watch>,
    /// The store and the key of the fleet; `None` for a server alone.
    pub(super) fleet: Option<PreparedFleet>,
    /// The bearer token for control requests on the admin listener; `None` disables these requests.
    pub(super) token: Option<Token>,
    /// The group of the control socket, if it has one.
    pub(super) group: Option<u32>,
    /// The means to ask mirrors and the canonical registry for blobs; `None` if neither is asked.
    pub(super) means: Option<Means>,
    /// The certificates of the listeners.
    pub(super) identities: Identities,
    /// The TLS settings for primaries.
    pub(super) encryption: transfer::Encryption,
}

/// The problem with a file in which a service keeps state; `None` if there is no file, or if it is the service's own.
fn check_state(named: &InputFile, purpose: &Purpose) -> Option<Diagnostic> {
    let form = match named.usage {
        FileUse::Overrides => &control::STATE,
        FileUse::History => &control::HISTORY,
        FileUse::ProbeState => &probe::STATE,
        FileUse::HostState => &load::hosts::keep::FORM,
        FileUse::Challenges => &acme::STATE,
        FileUse::Fleet => &control::FLEET_STATE,
        FileUse::Signatures => &live::SIGNATURES,
        FileUse::RequestLog => return check_request_log(named),
        // A copy of a zone is checked when it is loaded.
        _ => return None,
    };
    let problem = match files::state::inspect(&named.path, form) {
        Err(useless) => Diagnostic::error("state-file", useless.to_string()).help(useless.help()),
        // Only for `pharos check`: a start logs the loss itself, and at a reload the server has its overrides.
        Ok(()) if named.usage == FileUse::Overrides && matches!(purpose, Purpose::Check) => {
            let loss = control::loss(&named.path)?;
            Diagnostic::warning("override-state", loss)
                .help("restore the file, or set the overrides again after the start")
        }
        Ok(()) => return None,
    };
    Some(problem.at(named.place.clone(), "the server keeps state here"))
}

/// The problem with the file of the request log; `None` if lines can be added to it.
fn check_request_log(named: &InputFile) -> Option<Diagnostic> {
    let error = files::lines::inspect(&named.path).err()?;
    let problem = Diagnostic::error("log-file", format!("requests cannot be logged to `{}`: {error}", named.file));
    let help = "name a file of its own for the request log, or move this one away";
    Some(problem.at(named.place.clone(), "the request log").help(help))
}

/// Compiles the configuration and reads the certificates it names; `intake` notes all files that are read.
pub(super) fn prepare(
    path: &Path,
    generation: Generation,
    purpose: &Purpose,
    intake: &Intake,
) -> Result<Prepared, Vec<Diagnostic>> {
    let mut built = compile::build_for(purpose, path, generation, intake, &|named| check_state(named, purpose))?;
    let mut problems = Vec::new();
    let identities = Identities::load(&built.config, purpose, &mut problems);
    let watch = or_report(Watch::prepare(&built.config), &mut problems);
    let encryption = or_report(transfer::Encryption::prepare(&built.config, probe::roots), &mut problems);
    let means = or_report(mirrors::means(&built.config, watch.as_ref()), &mut problems);
    let token = read_token(&built.config, &mut problems);
    let fleet = fleet::prepare(&built.config, &mut problems);
    let group = built.config.control.as_ref().and_then(|control| control.group.as_ref());
    let group = group.and_then(|group| load::group::find(group).map_err(|problem| problems.push(*problem)).ok());
    if !matches!(purpose, Purpose::Reload(_)) {
        problems.extend(built.config.written_addresses.iter().filter_map(warn_of_absence));
    }
    if matches!(purpose, Purpose::Check) {
        problems.extend(built.config.zones.iter().filter_map(|zone| warn_of_single_server(zone, &built.snapshot)));
    }
    let failed = problems.iter().any(Diagnostic::is_error);
    built.warnings.extend(problems);
    built.config.leave_out_allowed(&mut built.warnings);
    sort_by_place(&mut built.warnings);
    if failed {
        return Err(built.warnings);
    }
    built.snapshot.areas().for_each(sys::prefer_large_pages);
    let settings = compile::registry_settings(&built.config);
    Ok(Prepared { built, settings, watch, fleet, token, group, means, identities, encryption })
}

/// The outcome of a step; its default if the step failed, with its problems added to the others.
fn or_report<T: Default>(outcome: Result<T, Vec<Diagnostic>>, problems: &mut Vec<Diagnostic>) -> T {
    outcome.unwrap_or_else(|found| {
        problems.extend(found);
        T::default()
    })
}

/// Reads the token of the admin listener.
fn read_token(config: &Config, problems: &mut Vec<Diagnostic>) -> Option<Token> {
    let read = load::token::read(config.admin.as_ref()?.token.as_ref()?);
    load::found_or_report(read, problems).map(|text| Token::new(&text))
}

/// Warns of a zone with one name server: resolvers cannot resolve it while that server is down (RFC 1034 §4.1).
fn warn_of_single_server(zone: &ZoneConfig, snapshot: &Snapshot) -> Option<Diagnostic> {
    let name = zone.name.as_name();
    let (_, served) = snapshot.zones().at_apex(name)?;
    // Without a copy, the NS record is that of the placeholder.
    if !served.is_available() {
        return None;
    }
    let servers = served.nodes().next()?.rrset(Rtype::NS)?;
    let problem = || {
        Diagnostic::warning("single-ns", format!("zone `{name}` has one name server"))
            .at(zone.place.clone(), "the zone is not resolved while that server is down")
            .help("add the NS record of a second server (RFC 1034 §4.1), or `allow = [\"single-ns\"]`")
    };
    (servers.count() == 1).then(problem)
}

/// Warns of a listen address that no interface has. The server binds it anyway, and answers once an interface has it.
fn warn_of_absence(written: &Placed<SocketAddr>) -> Option<Diagnostic> {
    let ip = written.value.ip();
    let problem = || {
        Diagnostic::warning("absent-address", format!("no network interface of this machine has `{ip}`"))
            .at(written.place.clone(), "not reachable now")
            .help("`ip address` lists the addresses; queries are answered as soon as an interface has this one")
    };
    address::is_absent(ip).then(problem)
}
