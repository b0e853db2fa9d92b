//! Reading an identity: the PEM files that a config names, or diagnostics with the remedy.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer, UnixTime,
};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};

use super::Identity;
use super::facts::{self, KeyKind, LEAST_RSA_BITS, LeafFacts as Leaf};
use super::fault::certificate_fault;
use super::life::{Life, Phase};
use super::pem::{self, CERTIFICATE, PemError, PemSection};
use crate::base::diagnostic::{Diagnostic, list};
use crate::base::when::span;
use crate::config::{InputFile, TlsFiles};
use crate::files::{self, Contents, FileFacts, FileKind, ReadError};
use crate::mirror::CertificateFault;

/// The code of a key that cannot be used.
pub(super) const BAD_KEY: &str = "tls-bad-key";

/// The most labels of a file that a message repeats, and the longest of them in bytes.
const MAX_LABELS: usize = 3;
const MAX_LABEL: usize = 40;

/// Reads the chain and the key, as of `now`. Returns the identity and warnings, or the errors.
///
/// A certificate out of its time is only a warning, because a refused identity would stop the DNS answers too, which are
/// right.
pub fn load(files: &TlsFiles, now: UnixTime) -> Result<(Identity, Vec<Diagnostic>), Vec<Diagnostic>> {
    let read = |input: &InputFile| input.read().map_err(|error| IdentityFault::Unreadable(error).at(&input.path));
    let chain = read(&files.cert).and_then(|pem| read_chain(&pem.bytes, &files.cert.path));
    let key = read(&files.key).and_then(|pem| Ok((read_key(&pem.bytes, &files.key.path)?, pem.facts)));
    let place = |problem: IdentityProblem| {
        let input = if problem.path == files.key.path { &files.key } else { &files.cert };
        problem.diagnostic().at(input.place.clone(), "named here")
    };
    match (chain, key) {
        (Ok(chain), Ok((key, facts))) => match identity(chain, key, files, now) {
            Ok((identity, warning)) => {
                let exposed = exposed(&files.key.path, &facts);
                Ok((identity, warning.into_iter().chain(exposed).map(place).collect()))
            }
            Err(problem) => Err(vec![place(problem)]),
        },
        (chain, key) => Err([chain.err(), key.err()].into_iter().flatten().map(place).collect()),
    }
}

fn identity(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    files: &TlsFiles,
    now: UnixTime,
) -> Result<(Identity, Option<IdentityProblem>), IdentityProblem> {
    let path = &files.cert.path;
    let leaf = chain.first().expect("a chain has a leaf: read_chain");
    if let Err(error) = ParsedCertificate::try_from(leaf) {
        let fault = match &error {
            Error::InvalidCertificate(error) => certificate_fault(error, None),
            _ => CertificateFault::Damaged,
        };
        return Err(IdentityFault::BadCertificate(fault).at(path));
    }
    let warning = check_time(&chain, path, now);
    Ok((join(chain, key, path, &files.key.path)?, warning))
}

/// The problem of a key's file that others may read or change; `None` if there is none.
fn exposed(key: &Path, facts: &FileFacts) -> Option<IdentityProblem> {
    let exposure = facts.exposure().filter(|_| !files::is_credential(key))?;
    Some(IdentityFault::Exposed(exposure).at(key))
}

/// A problem with the files of an identity.
#[derive(Debug)]
pub(super) struct IdentityProblem {
    /// The file.
    path: PathBuf,
    /// The fault of the file.
    pub(super) fault: IdentityFault,
}

/// The fault of a file of an identity.
#[derive(Debug)]
pub(super) enum IdentityFault {
    /// The file cannot be read.
    Unreadable(ReadError),
    /// Others may read or change the key.
    Exposed(&'static str),
    /// The file is not PEM.
    NotPem { error: PemError, object: &'static str },
    /// There is no certificate in the file of the chain, but sections of these kinds.
    NoCertificate { labels: Vec<String> },
    /// There is no private key in the file of the key, but sections of these kinds.
    NoKey { labels: Vec<String> },
    /// The key is encrypted.
    EncryptedKey,
    /// The leaf cannot be parsed.
    BadCertificate(CertificateFault),
    /// The key, of this kind if that is known, cannot be used.
    BadKey(Option<KeyKind>),
    /// The key belongs to another certificate than that in this file.
    Mismatch { cert: PathBuf },
    /// The leaf or one of its issuers has expired.
    Expired { since: Duration },
    /// The leaf is not valid yet.
    NotYetValid { until: Duration },
    /// The leaf or one of its issuers expires soon.
    Expiring { left: Duration },
}

impl IdentityFault {
    /// The problem of a file with this fault.
    pub(super) fn at(self, path: &Path) -> IdentityProblem {
        IdentityProblem { path: path.to_path_buf(), fault: self }
    }
}

pub(super) fn read(path: &Path) -> Result<Contents, IdentityProblem> {
    files::read(path, FileKind::Pem).map_err(|error| IdentityFault::Unreadable(error).at(path))
}

/// The certificates of a PEM file, one at least.
pub(super) fn read_chain(bytes: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityProblem> {
    let sections = pem::sections(bytes).map_err(|error| IdentityFault::NotPem { error, object: "x509" }.at(path))?;
    let labels = labels(&sections);
    let chain = pem::certificates(sections);
    if chain.is_empty() { Err(IdentityFault::NoCertificate { labels }.at(path)) } else { Ok(chain) }
}

/// The first private key of a PEM file.
pub(super) fn read_key(bytes: &[u8], path: &Path) -> Result<PrivateKeyDer<'static>, IdentityProblem> {
    let sections = pem::sections(bytes).map_err(|error| IdentityFault::NotPem { error, object: "pkey" }.at(path))?;
    let labels = labels(&sections);
    for PemSection { label, der } in sections {
        match (label.as_str(), der) {
            ("PRIVATE KEY", Some(der)) => return Ok(PrivatePkcs8KeyDer::from(der).into()),
            ("RSA PRIVATE KEY", Some(der)) => return Ok(PrivatePkcs1KeyDer::from(der).into()),
            ("EC PRIVATE KEY", Some(der)) => return Ok(PrivateSec1KeyDer::from(der).into()),
            ("ENCRYPTED PRIVATE KEY", _) | (_, None) => return Err(IdentityFault::EncryptedKey.at(path)),
            _ => {}
        }
    }
    Err(IdentityFault::NoKey { labels }.at(path))
}

/// The kinds of sections in a file, each once.
fn labels(sections: &[PemSection]) -> Vec<String> {
    let mut labels: Vec<String> = Vec::new();
    for section in sections.iter().filter(|section| section.label.len() <= MAX_LABEL) {
        if labels.len() < MAX_LABELS && !labels.contains(&section.label) {
            labels.push(section.label.clone());
        }
    }
    labels
}

/// The identity of a chain and its key.
pub(super) fn join(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    cert_path: &Path,
    key_path: &Path,
) -> Result<Identity, IdentityProblem> {
    let kind = chain.first().and_then(Leaf::read).map(|leaf| leaf.key);
    match CertifiedKey::from_der(chain, key, &super::provider()) {
        Ok(identity) => Ok(Identity(identity.into())),
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err(IdentityFault::Mismatch { cert: cert_path.to_path_buf() }.at(key_path))
        }
        // The library's error repeats one failed attempt for each kind of key.
        Err(_) => Err(IdentityFault::BadKey(kind).at(key_path)),
    }
}

/// Judges the time of the leaf, and the ends of the whole chain.
pub(super) fn check_time(chain: &[CertificateDer<'_>], path: &Path, now: UnixTime) -> Option<IdentityProblem> {
    let apart = |from: UnixTime, to: UnixTime| Duration::from_secs(to.as_secs().saturating_sub(from.as_secs()));
    let (not_before, not_after) = facts::validity(chain.first()?)?;
    if now > not_after {
        return Some(IdentityFault::Expired { since: apart(not_after, now) }.at(path));
    }
    if now < not_before {
        return Some(IdentityFault::NotYetValid { until: apart(now, not_before) }.at(path));
    }
    let life = Life::of(chain)?;
    match life.phase(now) {
        Phase::Good => None,
        Phase::Expiring => Some(IdentityFault::Expiring { left: life.distance(now) }.at(path)),
        // The leaf is valid: one of its issuers is not.
        Phase::Expired => Some(IdentityFault::Expired { since: life.distance(now) }.at(path)),
    }
}

impl IdentityProblem {
    pub(super) fn diagnostic(&self) -> Diagnostic {
        let path = self.path.display();
        match &self.fault {
            IdentityFault::Unreadable(error) => {
                let code = match error {
                    ReadError::TooLarge { .. } => "tls-too-large",
                    _ => "tls-unreadable",
                };
                Diagnostic::error(code, format!("failed to read `{path}`: {error}")).help(error.help(&self.path))
            }
            IdentityFault::Exposed(exposure) => {
                Diagnostic::warning("secrets-exposed", format!("{exposure} `{path}`")).help(
                    "a server with the key can pose as this one: `chmod 600` the file, or `chown root:GROUP` and `chmod 640` it",
                )
            }
            IdentityFault::NotPem { error, object } => {
                Diagnostic::error("tls-not-pem", format!("`{path}` cannot be used: {error}"))
                    .help(error.help(object, &path.to_string()))
            }
            IdentityFault::NoCertificate { labels } => {
                let message = format!("there is no certificate in `{path}`{}", found(labels));
                let help = if labels.iter().any(|label| label.ends_with("PRIVATE KEY")) { "were `cert` and `key` swapped? the certificate chain goes into `cert`" } else { "the chain, leaf first, each in a `-----BEGIN CERTIFICATE-----` section" };
                Diagnostic::error("tls-no-certificate", message).help(help)
            }
            IdentityFault::NoKey { labels } => {
                let message = format!("there is no private key in `{path}`{}", found(labels));
                let help = if labels.iter().any(|label| label == CERTIFICATE) { "were `cert` and `key` swapped? the private key goes into `key`" } else { "`key` is an unencrypted PKCS#8, PKCS#1 or SEC1 key in PEM" };
                Diagnostic::error("tls-no-key", message).help(help)
            }
            IdentityFault::EncryptedKey => {
                Diagnostic::error("tls-encrypted-key", format!("the private key in `{path}` is encrypted"))
                    .help(format!("decrypt it: `openssl pkey -in {path} -out NEW.key`, for its owner alone to read"))
            }
            IdentityFault::BadCertificate(fault) => {
                Diagnostic::error("tls-bad-certificate", format!("the certificate in `{path}` cannot be used: {fault}"))
                    .help("the first certificate must be an X.509 version 3 leaf")
            }
            IdentityFault::BadKey(kind) => {
                let why = match kind {
                    Some(KeyKind::Rsa(bits)) if *bits < LEAST_RSA_BITS => format!("it is RSA with {bits} bits"),
                    _ => "it is damaged, or of a kind that is not supported".to_string(),
                };
                Diagnostic::error(BAD_KEY, format!("the key in `{path}` cannot be used: {why}"))
                    .help("use RSA (2048 bits or more), ECDSA (P-256 or P-384) or Ed25519")
            }
            IdentityFault::Mismatch { cert } => Diagnostic::error(
                "tls-mismatch",
                format!("the key in `{path}` does not belong to the first certificate in `{}`", cert.display()),
            )
            .help("the leaf comes first in the chain; were both files renewed?"),
            IdentityFault::Expired { since } => {
                Diagnostic::warning("tls-expired", format!("the certificate in `{path}` expired {} ago", span(since.as_secs())))
                    .help("renew it and reload; clients refuse it until then")
            }
            IdentityFault::NotYetValid { until } => Diagnostic::warning(
                "tls-not-yet-valid",
                format!("the certificate in `{path}` becomes valid only in {}", span(until.as_secs())),
            )
            .help("check the clock of this machine; clients refuse the certificate until then"),
            IdentityFault::Expiring { left } => {
                Diagnostic::warning("tls-expiring", format!("the certificate in `{path}` expires in {}", span(left.as_secs())))
                    .help("renew it before then, and reload; clients refuse it from then on")
            }
        }
    }
}

/// The kinds of sections that were found instead, for a message.
fn found(labels: &[String]) -> String {
    match list(labels.iter().map(String::as_str)) {
        none if none.is_empty() => String::new(),
        labels => format!(", but {labels}"),
    }
}

#[cfg(test)]
mod tests;
