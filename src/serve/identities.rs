//! The certificates and keys of the listeners, as a start or a reload loads them.
//!
//! **Invariants**: files that cannot be used refuse the configuration, unless a reload finds a listener that serves a certificate
//! of the same files: that listener keeps it, with a warning.
//! **Not here**: reading certificates ([`crate::tls`]), files that change between reloads ([`super::certificates`]).

use crate::base::diagnostic::Diagnostic;
use crate::base::words::words;
use crate::config::{Config, TlsFiles};
use crate::load::hosts::Purpose;
use crate::process::Clock;
use crate::tls::{self, Identity};

words! {
    /// A listener that may use TLS.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) enum TlsListener {
        /// The DNS listeners, which share `[dns.tls]`.
        Dns = "dns",
        /// The registry listener.
        Registry = "registry",
        /// The listener of ACME clients.
        Acme = "acme",
        /// The admin listener.
        Admin = "admin",
    }
}

impl TlsListener {
    /// The files of its certificate; `None` if it does not use TLS.
    pub(super) fn files(self, config: &Config) -> Option<&TlsFiles> {
        match self {
            TlsListener::Dns => config.dns.encrypted.as_ref().map(|encrypted| &encrypted.files),
            TlsListener::Registry => config.registry.as_ref()?.tls.as_ref(),
            TlsListener::Acme => config.acme.as_ref()?.tls.as_ref(),
            TlsListener::Admin => config.admin.as_ref()?.tls.as_ref(),
        }
    }
}

/// The code of the warning about a listener that keeps its served certificate.
pub(super) const CERTIFICATE_REFUSED: &str = "certificate-refused";

/// The certificates and keys of the listeners.
#[derive(Debug, Default)]
pub(super) struct Identities {
    /// By listener; `None` if it does not use TLS, or keeps the served certificate.
    loaded: [Option<Identity>; TlsListener::ALL.len()],
    /// The listeners that keep their served certificates, each with the problems of the files.
    pub(super) refused: Vec<(TlsListener, Vec<Diagnostic>)>,
}

impl Identities {
    /// Loads the files of a configuration.
    pub(super) fn load(config: &Config, purpose: &Purpose, problems: &mut Vec<Diagnostic>) -> Self {
        let mut identities = Identities::default();
        for listener in TlsListener::ALL {
            identities.loaded[listener as usize] = identities.read(listener, config, purpose, problems);
        }
        identities
    }

    /// The certificate of a listener; `None` if it does not use TLS, or keeps the served one.
    pub(super) fn of(&self, listener: TlsListener) -> Option<&Identity> {
        self.loaded[listener as usize].as_ref()
    }

    fn read(
        &mut self,
        listener: TlsListener,
        config: &Config,
        purpose: &Purpose,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<Identity> {
        let files = listener.files(config)?;
        let found = match tls::load(files, Clock::unix()) {
            Ok((identity, warnings)) => {
                problems.extend(warnings);
                return Some(identity);
            }
            Err(found) => found,
        };
        match kept(listener.as_str(), files, purpose) {
            Some(what) => {
                problems.extend(found.iter().cloned().map(Diagnostic::lessened).chain([what]));
                self.refused.push((listener, found));
            }
            None => problems.extend(found),
        }
        None
    }
}

/// The consequence, in words, of files that are refused at a reload while the listener serves a certificate that was read from
/// them. `None` if the refusal is one of the whole configuration: the listener has no certificate of these files.
fn kept(listener: &str, files: &TlsFiles, purpose: &Purpose) -> Option<Diagnostic> {
    let Purpose::Reload(served) = purpose else { return None };
    let paths = |files: &TlsFiles| [files.cert.path.clone(), files.key.path.clone()];
    served.certificates.iter().find(|(of, served)| *of == listener && paths(served) == paths(files))?;
    let message = format!("listener `{listener}` keeps its served certificate: its files are refused");
    let what = Diagnostic::warning(CERTIFICATE_REFUSED, message).at(files.cert.place.clone(), "these files");
    Some(what.help("mend the certificate or its key: both files are read again within a minute, and at a reload"))
}
