//! Loading: files in; out come values for the layers below, or diagnostics with file, line and remedy.
//!
//! Every kind of file has a pure half, bytes to meaning, which the tests use, and a thin one that reads the file.
//! [`inputs`] loads all files that a config names.
//!
//! **Invariants**: a file is taken whole or refused, except for bad lines of a geofeed; loading never changes the served
//! snapshot.
//! **Not here**: the meaning of the config file itself ([`crate::config`]), building a snapshot (compile).

pub(crate) mod cookies;
pub(crate) mod fleet;
pub(crate) mod group;
pub mod hosts;
pub(crate) mod keys;
pub(crate) mod named;
pub mod networks;
pub(crate) mod signing_keys;
pub(crate) mod token;
pub mod zone;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use crate::base::diagnostic::{Diagnostic, Place};
use crate::base::time::UnixTime;
use crate::base::tsig::Keys;
use crate::config::{Config, Secret, SourceFile};
use crate::files::{self, FileFacts};
use crate::networks::{Networks, Source};
use crate::snapshot::{CookieSecrets, ZoneOrigin};
use crate::zone::{SigningTerms, Zone};

/// Everything that a config names, loaded.
#[derive(Debug)]
pub(crate) struct Inputs {
    /// The sources, in the order of the config.
    pub(crate) networks: Networks,
    /// The zones with their origins, in the order of the config.
    pub(crate) zones: Vec<(Arc<Zone>, ZoneOrigin)>,
    /// The secrets of cookies.
    pub(crate) cookies: CookieSecrets,
    /// The keys, in the order of the config.
    pub(crate) keys: Keys,
    /// The keys that sign each zone; `None` for a zone that is not signed here.
    pub(crate) signing: Vec<Option<Arc<SigningTerms>>>,
}

/// Warns of files of the configuration that hold secrets and that other users may use.
pub(crate) fn exposed_configs<'f>(config: &'f Config, files: &'f [SourceFile]) -> impl Iterator<Item = Diagnostic> {
    let keys = config.keys.iter().map(|key| (&key.secret, &key.place));
    let token = config.admin.as_ref().and_then(|admin| admin.token.as_ref()).map(|token| (&token.secret, &token.place));
    let inline = keys.chain(token).filter(|(secret, _)| matches!(secret, Secret::Text(_)));
    let holders: HashSet<&Arc<str>> = inline.map(|(_, place)| &place.file).collect();
    files.iter().filter(move |source| holders.contains(&source.file)).filter_map(|source| {
        let reason = "it holds a token or the secret of a key; name files of their own for them";
        exposed(&source.path, &source.file, &source.facts, Place::whole_file(&source.file), reason)
    })
}

/// Loads all networks, zones and secrets of a config, and finds their problems. `None` if any of these is an error.
///
/// A source that is refused at a reload keeps its served prefixes, and at a start it has none, so that the defaults of horizons
/// decide. A zone whose file is refused at a reload keeps its served records, and at a start it answers SERVFAIL.
pub(crate) fn inputs(config: &Config, purpose: &hosts::Purpose) -> (Option<Inputs>, Vec<Diagnostic>) {
    let mut problems = Vec::new();
    let networks = Networks { sources: load_networks(config, purpose, &mut problems) };
    let signing = or_report(signing_keys::read(&config.zones), &mut problems);
    let zones = load_zones(config, &signing, purpose, &mut problems);
    let cookies = or_report(cookies::secrets(config.dns.cookie_secrets.as_ref()), &mut problems);
    let keys = or_report(keys::read(&config.keys), &mut problems);
    let is_whole = !problems.iter().any(Diagnostic::is_error);
    (is_whole.then_some(Inputs { networks, zones, cookies, keys, signing }), problems)
}

/// The content that was read, with its warnings added to the problems; the default if it is refused.
fn or_report<T: Default>(read: Result<(T, Vec<Diagnostic>), Vec<Diagnostic>>, problems: &mut Vec<Diagnostic>) -> T {
    let (content, found) = read.unwrap_or_else(|found| (T::default(), found));
    problems.extend(found);
    content
}

/// A secret that was read; `None` with its problem added to the others.
pub(crate) fn found_or_report<T>(
    read: Result<(T, Option<Diagnostic>), Box<Diagnostic>>,
    problems: &mut Vec<Diagnostic>,
) -> Option<T> {
    let (found, problem) = match read {
        Ok((found, warning)) => (Some(found), warning),
        Err(problem) => (None, Some(*problem)),
    };
    problems.extend(problem);
    found
}

fn load_networks(config: &Config, purpose: &hosts::Purpose, problems: &mut Vec<Diagnostic>) -> Vec<Arc<Source>> {
    let mut sources = Vec::new();
    for network in &config.networks {
        // A server goes on with the copy that it has.
        let weigh = |problem: Diagnostic| match purpose {
            hosts::Purpose::Check => problem,
            _ => problem.lessened(),
        };
        problems.extend(networks::check_key(network).map(weigh));
        match networks::load(network) {
            Ok(loaded) => {
                problems.extend(loaded.warnings.into_iter().map(weigh));
                let is_empty = loaded.source.prefix_count() == 0;
                match is_empty.then(|| networks::served_instead(network, purpose)).flatten() {
                    Some((source, what)) => {
                        problems.push(what);
                        sources.push(source);
                    }
                    None => sources.push(Arc::new(loaded.source)),
                }
            }
            Err(found) => match networks::stand_in(network, purpose) {
                Some((source, what)) => {
                    problems.extend(found.into_iter().map(Diagnostic::lessened).chain([what]));
                    sources.push(source);
                }
                None => problems.extend(found),
            },
        }
    }
    sources
}

fn load_zones(
    config: &Config,
    signing: &[Option<Arc<SigningTerms>>],
    purpose: &hosts::Purpose,
    problems: &mut Vec<Diagnostic>,
) -> Vec<(Arc<Zone>, ZoneOrigin)> {
    let mut zones = Vec::new();
    let mut refused = Vec::new();
    for (at, zone) in config.zones.iter().enumerate() {
        let terms = signing.get(at).and_then(Option::as_deref);
        let file = zone.file.as_ref().filter(|_| zone.primaries.is_empty()).map(|input| input.file.clone());
        let origin = ZoneOrigin { file, is_refused: false };
        match zone::read(zone, terms) {
            Ok((read, warnings)) => {
                problems.extend(warnings);
                if let (Some(signing), Some(terms)) = (&zone.signing, terms) {
                    problems.extend(signing_keys::check_zone(signing, terms, &read, hosts::now()));
                    problems.extend(signing_keys::check_validity(signing, terms, zone, &read));
                }
                zones.push((Arc::new(read), origin));
            }
            Err(found) => match zone::stand_in(zone, purpose) {
                Some((served, what)) => {
                    problems.extend(found.into_iter().map(Diagnostic::lessened).chain([what]));
                    zones.push((served, ZoneOrigin { is_refused: true, ..origin }));
                }
                None => {
                    zones.push((Zone::unavailable(zone.name.clone()).into(), origin));
                    refused.push((zone, found));
                }
            },
        }
    }
    let may_start = matches!(purpose, hosts::Purpose::Start | hosts::Purpose::Show) && refused.len() < zones.len();
    for (zone, found) in refused {
        problems.extend(if may_start { zone::held_back(zone, found) } else { found });
    }
    zones
}

/// Seconds since 1970; 0 for a clock before that.
fn unix(time: SystemTime) -> UnixTime {
    UnixTime(time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

/// Warns of a file with secrets that others may use. `shown` is the path in the message; `reason` is the harm.
fn exposed(path: &Path, shown: &str, facts: &FileFacts, place: Place, reason: &str) -> Option<Diagnostic> {
    if files::is_credential(path) {
        return None;
    }
    let exposure = facts.exposure()?;
    Some(
        Diagnostic::warning("secrets-exposed", format!("{exposure} `{shown}`"))
            .at(place, "named here")
            .help(format!("{reason}: `chmod 600` the file, or `chown root:GROUP` and `chmod 640` it")),
    )
}
