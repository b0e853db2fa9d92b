//! Loading: files in, what the layers below decide on out, or diagnostics with file, line and remedy.
//!
//! Every kind of file has a pure half, octets to meaning, which the tests read with, and a thin one that reads the file.
//! [`inputs`] loads all that a config names.
//!
//! **Invariants**: a file is taken whole or refused; nothing here changes what is served.
//! **Not here**: what the config file itself means ([`crate::config`]), building what is served (compile).

pub mod cookies;
pub mod hosts;
pub mod keys;
pub mod networks;
pub mod token;
pub mod zone;

use std::fs::Metadata;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use crate::base::diagnostic::{Diagnostic, Place};
use crate::base::tsig::Keys;
use crate::config::{self, Config};
use crate::networks::Networks;
use crate::snapshot::CookieSecrets;
use crate::zone::Zone;

/// Everything that a config names, loaded.
#[derive(Debug)]
pub struct Inputs {
    /// The sources, in the order of the config.
    pub networks: Networks,
    /// The zones, in the order of the config.
    pub zones: Vec<Zone>,
    /// What cookies are signed with.
    pub cookies: CookieSecrets,
    /// The keys, in the order of the config.
    pub keys: Keys,
}

/// Reads the text of a config file; with it comes the file's name as the operator wrote it.
pub fn config_text(path: &Path) -> Result<(String, String), Vec<Diagnostic>> {
    let file = path.display().to_string();
    let place = Place::whole_file(&Arc::from(file.as_str()));
    let problem =
        |message: String, help: &str| vec![Diagnostic::error("config-file", message).at(place.clone(), "").help(help)];
    let octets = std::fs::read(path).map_err(|error| {
        let help = match error.kind() {
            std::io::ErrorKind::NotFound => "name the file with `--config FILE`; README.md has a sample",
            _ => "check the file and who may read it",
        };
        problem(format!("failed to read the configuration: {error}"), help)
    })?;
    if octets.len() > config::limits::MAX_FILE_OCTETS {
        return Err(problem(format!("the configuration has {} octets", octets.len()), "is it the right file?"));
    }
    let text = String::from_utf8(octets)
        .map_err(|error| problem(format!("the configuration is not UTF-8 text: {error}"), "save it as UTF-8"))?;
    Ok((file, text))
}

/// Loads all networks, zones and secrets of a config; beside them come the warnings, or all problems where one is an error.
///
/// At a start a zone whose file is refused does not keep the others from being served: it answers SERVFAIL.
pub fn inputs(config: &Config, purpose: &hosts::Purpose) -> Result<(Inputs, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut problems = Vec::new();
    let mut sources = Vec::new();
    for network in &config.networks {
        match networks::load(network) {
            Ok(loaded) => {
                problems.extend(loaded.warnings);
                sources.push(Arc::new(loaded.source));
            }
            Err(found) => problems.extend(found),
        }
    }
    let mut zones = Vec::new();
    let mut refused = Vec::new();
    for zone in &config.zones {
        match zone::read(zone) {
            Ok((zone, warnings)) => {
                problems.extend(warnings);
                zones.push(zone);
            }
            Err(found) => {
                zones.push(Zone::unavailable(zone.name.clone()));
                refused.push((zone, found));
            }
        }
    }
    let may_start = matches!(purpose, hosts::Purpose::Start) && refused.len() < zones.len();
    for (zone, found) in refused {
        problems.extend(match may_start {
            true => zone::held_back(zone, found),
            false => found,
        });
    }
    let cookies = match cookies::secrets(config.dns.cookie_secrets.as_ref()) {
        Ok((secrets, warnings)) => {
            problems.extend(warnings);
            secrets
        }
        Err(found) => {
            problems.extend(found);
            CookieSecrets::default()
        }
    };
    let keys = keys::read(&config.keys).unwrap_or_else(|found| {
        problems.extend(found);
        Keys::default()
    });
    if problems.iter().any(Diagnostic::is_error) {
        return Err(problems);
    }
    Ok((Inputs { networks: Networks { sources }, zones, cookies, keys }, problems))
}

/// Whether everybody on this machine may read a file, or do worse.
fn is_exposed(metadata: &Metadata) -> bool {
    metadata.permissions().mode() & 0o007 != 0
}
