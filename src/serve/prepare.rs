//! Everything that a start or a reload needs, made ready before anything changes.
//!
//! **Invariants**: it is all there, or nothing is and the problems are told, those of the certificate among them.
//! **Not here**: compiling ([`crate::compile`]), reading certificates ([`crate::tls`]).

use std::path::Path;

use crate::base::diagnostic::Diagnostic;
use crate::base::time::Generation;
use crate::compile::{self, Built};
use crate::process::Clock;
use crate::registry::Settings;
use crate::tls::{self, Identity};

/// What is ready to be served.
#[derive(Debug)]
pub(super) struct Prepared {
    /// The configuration with its snapshot.
    pub(super) built: Built,
    /// What the registry listener goes by, where there is one.
    pub(super) settings: Option<Settings>,
    /// What the registry listener serves TLS with, where it does.
    pub(super) identity: Option<Identity>,
}

/// Compiles the configuration and reads the certificate it names.
pub(super) fn prepare(path: &Path, generation: Generation) -> Result<Prepared, Vec<Diagnostic>> {
    let mut built = compile::build(path, generation)?;
    let files = built.config.registry.as_ref().and_then(|registry| registry.tls.as_ref());
    let identity = match files.map(|files| tls::load(files, Clock::unix())) {
        Some(Ok((identity, warnings))) => {
            built.warnings.extend(warnings);
            Some(identity)
        }
        Some(Err(problems)) => return Err(built.warnings.into_iter().chain(problems).collect()),
        None => None,
    };
    let settings = compile::registry_settings(&built.config);
    Ok(Prepared { built, settings, identity })
}
