//! The certificates and keys of the listeners, as a start or a reload loads them.
//!
//! **Invariants**: files that cannot be used refuse the configuration, unless a reload finds a listener that serves a certificate
//! of the same files: that listener keeps it, with a warning.
//! **Not here**: reading certificates ([`crate::tls`]), files that change between reloads ([`super::certificates`]).

use crate::base::diagnostic::Diagnostic;
use crate::config::{Config, TlsFiles};
use crate::load::hosts::Purpose;
use crate::process::Clock;
use crate::tls::{self, Identity};

/// The names of the listeners: those that share `[dns.tls]`, the registry's, that of ACME clients, and the admin listener.
pub(super) const DNS: &str = "dns";
pub(super) const REGISTRY: &str = "registry";
pub(super) const ACME: &str = "acme";
pub(super) const ADMIN: &str = "admin";

/// The code of the warning about a listener that keeps its served certificate.
pub(super) const CERTIFICATE_REFUSED: &str = "certificate-refused";

/// The certificates and keys of the listeners.
#[derive(Debug, Default)]
pub(super) struct Identities {
    /// Of the encrypted DNS listeners; `None` if there are none, or the listeners keep the served one.
    pub(super) dns: Option<Identity>,
    /// Of the registry listener; `None` if it does not use TLS, or keeps the served one.
    pub(super) registry: Option<Identity>,
    /// Of the listener of ACME clients, as of the registry's.
    pub(super) acme: Option<Identity>,
    /// Of the admin listener, as of the registry's.
    pub(super) admin: Option<Identity>,
    /// The listeners that keep their served certificates, each with the problems of the files.
    pub(super) refused: Vec<(&'static str, Vec<Diagnostic>)>,
}

impl Identities {
    /// Loads the files of a configuration.
    pub(super) fn load(config: &Config, purpose: &Purpose, problems: &mut Vec<Diagnostic>) -> Self {
        let mut identities = Identities::default();
        identities.dns = identities.of(DNS, dns_files(config), purpose, problems);
        identities.registry = identities.of(REGISTRY, registry_files(config), purpose, problems);
        identities.acme = identities.of(ACME, acme_files(config), purpose, problems);
        identities.admin = identities.of(ADMIN, admin_files(config), purpose, problems);
        identities
    }

    fn of(
        &mut self,
        listener: &'static str,
        files: Option<&TlsFiles>,
        purpose: &Purpose,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<Identity> {
        let files = files?;
        let found = match tls::load(files, Clock::unix()) {
            Ok((identity, warnings)) => {
                problems.extend(warnings);
                return Some(identity);
            }
            Err(found) => found,
        };
        match kept(listener, files, purpose) {
            Some(what) => {
                problems.extend(found.iter().cloned().map(Diagnostic::lessened).chain([what]));
                self.refused.push((listener, found));
            }
            None => problems.extend(found),
        }
        None
    }
}

/// The files of the encrypted DNS listeners.
pub(super) fn dns_files(config: &Config) -> Option<&TlsFiles> {
    config.dns.encrypted.as_ref().map(|encrypted| &encrypted.files)
}

/// The files of the registry listener.
pub(super) fn registry_files(config: &Config) -> Option<&TlsFiles> {
    config.registry.as_ref().and_then(|registry| registry.tls.as_ref())
}

/// The files of the listener of ACME clients.
pub(super) fn acme_files(config: &Config) -> Option<&TlsFiles> {
    config.acme.as_ref().and_then(|acme| acme.tls.as_ref())
}

/// The files of the admin listener.
pub(super) fn admin_files(config: &Config) -> Option<&TlsFiles> {
    config.admin.as_ref().and_then(|admin| admin.tls.as_ref())
}

/// The consequence, in words, of files that are refused at a reload while the listener serves a certificate that was read from
/// them. `None` if the refusal is one of the whole configuration: the listener has no certificate of these files.
fn kept(listener: &'static str, files: &TlsFiles, purpose: &Purpose) -> Option<Diagnostic> {
    let Purpose::Reload(served) = purpose else { return None };
    let paths = |files: &TlsFiles| [files.cert.path.clone(), files.key.path.clone()];
    served.certificates.iter().find(|(of, served)| *of == listener && paths(served) == paths(files))?;
    let message = format!("listener `{listener}` keeps its served certificate: its files are refused");
    let what = Diagnostic::warning(CERTIFICATE_REFUSED, message).at(files.cert.place.clone(), "these files");
    Some(what.help("mend the certificate or its key: both files are read again within a minute, and at a reload"))
}
