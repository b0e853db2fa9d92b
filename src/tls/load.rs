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
use super::pem::{self, PemError, PemSection};
use crate::base::diagnostic::{Diagnostic, list};
use crate::config::{InputFile, TlsFiles};
use crate::files::{self, Contents, FileFacts, FileKind, ReadError};
use crate::mirror::CertificateFault;

/// The code of a key that cannot be used.
pub(super) const BAD_KEY: &str = "tls-bad-key";

/// The label of a certificate in PEM.
const CERTIFICATE: &str = "CERTIFICATE";

/// The most labels of a file that a message repeats, and the longest of them in bytes.
const MAX_LABELS: usize = 3;
const MAX_LABEL: usize = 40;

/// Reads the chain and the key, as of `now`. Returns the identity and warnings, or the errors.
///
/// A certificate out of its time is only a warning, because a refused identity would stop the DNS answers too, which are
/// right.
pub fn load(files: &TlsFiles, now: UnixTime) -> Result<(Identity, Vec<Diagnostic>), Vec<Diagnostic>> {
    let read = |input: &InputFile| {
        input.read().map_err(|error| IdentityProblem::Unreadable { path: input.path.clone(), error })
    };
    let chain = read(&files.cert).and_then(|pem| read_chain(&pem.bytes, &files.cert.path));
    let key = read(&files.key).and_then(|pem| Ok((read_key(&pem.bytes, &files.key.path)?, pem.facts)));
    let place = |problem: IdentityProblem| {
        let input = if problem.is_about(&files.key.path) { &files.key } else { &files.cert };
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
    let path = || files.cert.path.display().to_string();
    let leaf = chain.first().expect("a chain has a leaf: read_chain");
    let warning = match ParsedCertificate::try_from(leaf) {
        Ok(_) => check_time(&chain, &path(), now),
        Err(error) => {
            let fault = match &error {
                Error::InvalidCertificate(error) => certificate_fault(error, None),
                _ => CertificateFault::Damaged,
            };
            return Err(IdentityProblem::BadCertificate { path: path(), fault });
        }
    };
    Ok((join(chain, key, &files.cert.path, &files.key.path)?, warning))
}

/// The problem of a key's file that others may read or change; `None` if there is none.
fn exposed(key: &Path, facts: &FileFacts) -> Option<IdentityProblem> {
    let exposure = facts.exposure().filter(|_| !files::is_credential(key))?;
    Some(IdentityProblem::Exposed { path: key.display().to_string(), exposure })
}

/// A problem with the files of an identity.
#[derive(Debug)]
pub(super) enum IdentityProblem {
    /// A file cannot be read.
    Unreadable { path: PathBuf, error: ReadError },
    /// Others may read or change the key.
    Exposed { path: String, exposure: &'static str },
    /// A file is not PEM.
    NotPem { path: String, error: PemError, object: &'static str },
    /// There is no certificate in the file of the chain, but sections of these kinds.
    NoCertificate { path: String, labels: Vec<String> },
    /// There is no private key in the file of the key, but sections of these kinds.
    NoKey { path: String, labels: Vec<String> },
    /// The key is encrypted.
    EncryptedKey { path: String },
    /// The leaf cannot be parsed.
    BadCertificate { path: String, fault: CertificateFault },
    /// The key cannot be used.
    BadKey { path: String, kind: Option<KeyKind> },
    /// The key belongs to another certificate.
    Mismatch { cert: String, key: String },
    /// The leaf or one of its issuers has expired.
    Expired { path: String, since: Duration },
    /// The leaf is not valid yet.
    NotYetValid { path: String, until: Duration },
    /// The leaf or one of its issuers expires soon.
    Expiring { path: String, left: Duration },
}

pub(super) fn read(path: &Path) -> Result<Contents, IdentityProblem> {
    files::read(path, FileKind::Pem).map_err(|error| IdentityProblem::Unreadable { path: path.to_path_buf(), error })
}

/// The certificates of a PEM file, one at least.
pub(super) fn read_chain(bytes: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityProblem> {
    let shown = path.display().to_string();
    let sections =
        pem::sections(bytes).map_err(|error| IdentityProblem::NotPem { path: shown.clone(), error, object: "x509" })?;
    let labels = labels(&sections);
    let certificates = sections.into_iter().filter(|section| section.label == CERTIFICATE);
    let chain: Vec<_> = certificates.filter_map(|section| section.der.map(CertificateDer::from)).collect();
    if chain.is_empty() { Err(IdentityProblem::NoCertificate { path: shown, labels }) } else { Ok(chain) }
}

/// The certificates of a PEM file, or why it is not one.
pub(crate) fn certificates(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let sections = pem::sections(bytes).map_err(|error| error.to_string())?;
    let certificates = sections.into_iter().filter(|section| section.label == CERTIFICATE);
    Ok(certificates.filter_map(|section| section.der.map(CertificateDer::from)).collect())
}

/// The first private key of a PEM file.
pub(super) fn read_key(bytes: &[u8], path: &Path) -> Result<PrivateKeyDer<'static>, IdentityProblem> {
    let shown = path.display().to_string();
    let sections =
        pem::sections(bytes).map_err(|error| IdentityProblem::NotPem { path: shown.clone(), error, object: "pkey" })?;
    let labels = labels(&sections);
    for section in sections {
        let PemSection { label, der, .. } = section;
        match (label.as_str(), der) {
            ("PRIVATE KEY", Some(der)) => return Ok(PrivatePkcs8KeyDer::from(der).into()),
            ("RSA PRIVATE KEY", Some(der)) => return Ok(PrivatePkcs1KeyDer::from(der).into()),
            ("EC PRIVATE KEY", Some(der)) => return Ok(PrivateSec1KeyDer::from(der).into()),
            ("ENCRYPTED PRIVATE KEY", _) | (_, None) => return Err(IdentityProblem::EncryptedKey { path: shown }),
            _ => {}
        }
    }
    Err(IdentityProblem::NoKey { path: shown, labels })
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
    let (cert, shown_key) = (cert_path.display().to_string(), key_path.display().to_string());
    let kind = chain.first().and_then(Leaf::read).map(|leaf| leaf.key);
    match CertifiedKey::from_der(chain, key, &super::provider()) {
        Ok(identity) => Ok(Identity(identity.into())),
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err(IdentityProblem::Mismatch { cert, key: shown_key })
        }
        // The library's error repeats one failed attempt for each kind of key.
        Err(_) => Err(IdentityProblem::BadKey { path: shown_key, kind }),
    }
}

/// Judges the time of the leaf, and the ends of the whole chain.
pub(super) fn check_time(chain: &[CertificateDer<'_>], path: &str, now: UnixTime) -> Option<IdentityProblem> {
    let apart = |from: UnixTime, to: UnixTime| Duration::from_secs(to.as_secs().saturating_sub(from.as_secs()));
    let path = path.to_string();
    let (not_before, not_after) = facts::validity(chain.first()?)?;
    if now > not_after {
        return Some(IdentityProblem::Expired { path, since: apart(not_after, now) });
    }
    if now < not_before {
        return Some(IdentityProblem::NotYetValid { path, until: apart(now, not_before) });
    }
    let life = Life::of(chain)?;
    match life.phase(now) {
        Phase::Good => None,
        Phase::Expiring => Some(IdentityProblem::Expiring { path, left: life.distance(now) }),
        // The leaf is valid: one of its issuers is not.
        Phase::Expired => Some(IdentityProblem::Expired { path, since: life.distance(now) }),
    }
}

impl IdentityProblem {
    /// Returns whether the problem is in the file at a path.
    fn is_about(&self, file: &Path) -> bool {
        match self {
            IdentityProblem::Unreadable { path, .. } => path == file,
            IdentityProblem::Exposed { path, .. }
            | IdentityProblem::NotPem { path, .. }
            | IdentityProblem::NoCertificate { path, .. }
            | IdentityProblem::NoKey { path, .. }
            | IdentityProblem::EncryptedKey { path }
            | IdentityProblem::BadCertificate { path, .. }
            | IdentityProblem::BadKey { path, .. }
            | IdentityProblem::Mismatch { key: path, .. }
            | IdentityProblem::Expired { path, .. }
            | IdentityProblem::NotYetValid { path, .. }
            | IdentityProblem::Expiring { path, .. } => Path::new(path) == file,
        }
    }

    pub(super) fn diagnostic(&self) -> Diagnostic {
        let renew = "renew it and reload; clients refuse it until then";
        match self {
            IdentityProblem::Unreadable { path, error } => {
                let code = match error {
                    ReadError::TooLarge { .. } => "tls-too-large",
                    _ => "tls-unreadable",
                };
                let shown = path.display();
                Diagnostic::error(code, format!("failed to read `{shown}`: {error}")).help(error.help(path))
            }
            IdentityProblem::Exposed { path, exposure } => {
                Diagnostic::warning("secrets-exposed", format!("{exposure} `{path}`")).help(
                    "a server with the key can pose as this one: `chmod 600` the file, or `chown root:GROUP` and `chmod 640` it",
                )
            }
            IdentityProblem::NotPem { path, error, object } => {
                Diagnostic::error("tls-not-pem", format!("`{path}` cannot be used: {error}"))
                    .help(error.help(object, path))
            }
            IdentityProblem::NoCertificate { path, labels } => {
                let message = format!("there is no certificate in `{path}`{}", found(labels));
                let help = if labels.iter().any(|label| label.ends_with("PRIVATE KEY")) { "were `cert` and `key` swapped? the certificate chain goes into `cert`" } else { "the chain, leaf first, each in a `-----BEGIN CERTIFICATE-----` section" };
                Diagnostic::error("tls-no-certificate", message).help(help)
            }
            IdentityProblem::NoKey { path, labels } => {
                let message = format!("there is no private key in `{path}`{}", found(labels));
                let help = if labels.iter().any(|label| label == CERTIFICATE) { "were `cert` and `key` swapped? the private key goes into `key`" } else { "`key` is an unencrypted PKCS#8, PKCS#1 or SEC1 key in PEM" };
                Diagnostic::error("tls-no-key", message).help(help)
            }
            IdentityProblem::EncryptedKey { path } => {
                Diagnostic::error("tls-encrypted-key", format!("the private key in `{path}` is encrypted"))
                    .help(format!("decrypt it: `openssl pkey -in {path} -out NEW.key`, for its owner alone to read"))
            }
            IdentityProblem::BadCertificate { path, fault } => {
                Diagnostic::error("tls-bad-certificate", format!("the certificate in `{path}` cannot be used: {fault}"))
                    .help("the first certificate must be an X.509 version 3 leaf")
            }
            IdentityProblem::BadKey { path, kind } => {
                let why = match kind {
                    Some(KeyKind::Rsa(bits)) if *bits < LEAST_RSA_BITS => format!("it is RSA with {bits} bits"),
                    _ => "it is damaged, or of a kind that is not supported".to_string(),
                };
                Diagnostic::error(BAD_KEY, format!("the key in `{path}` cannot be used: {why}"))
                    .help("use RSA (2048 bits or more), ECDSA (P-256 or P-384) or Ed25519")
            }
            IdentityProblem::Mismatch { cert, key } => Diagnostic::error(
                "tls-mismatch",
                format!("the key in `{key}` does not belong to the first certificate in `{cert}`"),
            )
            .help("the leaf comes first in the chain; were both files renewed?"),
            IdentityProblem::Expired { path, since } => {
                Diagnostic::warning("tls-expired", format!("the certificate in `{path}` expired {} ago", span(*since)))
                    .help(renew)
            }
            IdentityProblem::NotYetValid { path, until } => Diagnostic::warning(
                "tls-not-yet-valid",
                format!("the certificate in `{path}` becomes valid only in {}", span(*until)),
            )
            .help("check the clock of this machine; clients refuse the certificate until then"),
            IdentityProblem::Expiring { path, left } => {
                Diagnostic::warning("tls-expiring", format!("the certificate in `{path}` expires in {}", span(*left)))
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

/// A duration in the largest unit of which it has two.
pub(crate) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7_200 => (seconds / 60, "minute"),
        7_200..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests;
