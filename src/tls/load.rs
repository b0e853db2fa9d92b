//! Reading an identity: the PEM files that a config names, or diagnostics with the remedy.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, Error, InconsistentKeys};

use super::Identity;
use super::facts::time_fault;
use crate::base::diagnostic::Diagnostic;
use crate::config::TlsFiles;
use crate::files::{self, Contents, Facts, Kind, ReadError};

/// How long before its end a certificate is warned about; the same 72 h as a mirror's is.
pub(super) const EXPIRING: Duration = Duration::from_secs(72 * 3600);

/// Reads the chain and the key, as of `now`; warnings come beside the identity.
///
/// A certificate out of its time is a warning: without TLS the DNS answers would be gone as well, and they are right.
pub fn load(files: &TlsFiles, now: UnixTime) -> Result<(Identity, Vec<Diagnostic>), Vec<Diagnostic>> {
    let chain = read(&files.cert).and_then(|pem| read_chain(&pem.bytes, &files.cert));
    let key = read(&files.key).and_then(|pem| Ok((read_key(&pem.bytes, &files.key)?, pem.facts)));
    let place = |problem: Problem| problem.diagnostic().at(files.place.clone(), "named here");
    match (chain, key) {
        (Ok(chain), Ok((key, facts))) => match identity(chain, key, files, now) {
            Ok((identity, warning)) => {
                let exposed = exposed(&files.key, &facts);
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
) -> Result<(Identity, Option<Problem>), Problem> {
    let path = || files.cert.display().to_string();
    let leaf = chain.first().expect("a chain has a leaf: read_chain");
    let warning = match ParsedCertificate::try_from(leaf) {
        Ok(leaf) => check_time(&leaf, &path(), now),
        Err(error) => return Err(Problem::BadCertificate { path: path(), error }),
    };
    Ok((join(chain, key, &files.cert, &files.key)?, warning))
}

/// Whether others may read or change the file of a key.
fn exposed(key: &Path, facts: &Facts) -> Option<Problem> {
    let exposure = facts.exposure().filter(|_| !files::is_credential(key))?;
    Some(Problem::Exposed { path: key.display().to_string(), exposure })
}

/// What is wrong with the files of an identity.
#[derive(Debug)]
pub(super) enum Problem {
    /// A file cannot be read.
    Unreadable { path: PathBuf, error: ReadError },
    /// Others may read or change the key.
    Exposed { path: String, exposure: &'static str },
    /// A file is not PEM.
    NotPem { path: String, error: pem::Error },
    /// There is no certificate in the file of the chain.
    NoCertificate { path: String },
    /// There is no private key in the file of the key.
    NoKey { path: String },
    /// The leaf cannot be parsed.
    BadCertificate { path: String, error: Error },
    /// The key cannot be used.
    BadKey { path: String, error: Error },
    /// The key belongs to another certificate.
    Mismatch { cert: String, key: String },
    /// The leaf's time is over.
    Expired { path: String, since: Duration },
    /// The leaf's time has not come.
    NotYetValid { path: String, until: Duration },
    /// The leaf's time is nearly over.
    Expiring { path: String, left: Duration },
}

pub(super) fn read(path: &Path) -> Result<Contents, Problem> {
    files::read(path, Kind::Pem).map_err(|error| Problem::Unreadable { path: path.to_path_buf(), error })
}

pub(super) fn read_chain(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let shown = || path.display().to_string();
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let chain = chain.map_err(|error| Problem::NotPem { path: shown(), error })?;
    if chain.is_empty() { Err(Problem::NoCertificate { path: shown() }) } else { Ok(chain) }
}

pub(super) fn read_key(pem: &[u8], path: &Path) -> Result<PrivateKeyDer<'static>, Problem> {
    let shown = || path.display().to_string();
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        pem::Error::NoItemsFound => Problem::NoKey { path: shown() },
        error => Problem::NotPem { path: shown(), error },
    })
}

/// The identity that a chain makes with its key.
pub(super) fn join(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    cert_path: &Path,
    key_path: &Path,
) -> Result<Identity, Problem> {
    let (cert, shown_key) = (cert_path.display().to_string(), key_path.display().to_string());
    match CertifiedKey::from_der(chain, key, &super::provider()) {
        Ok(identity) => Ok(Identity(identity.into())),
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Err(Problem::Mismatch { cert, key: shown_key }),
        Err(error) => Err(Problem::BadKey { path: shown_key, error }),
    }
}

/// Judges the leaf's time.
pub(super) fn check_time(leaf: &ParsedCertificate<'_>, path: &str, now: UnixTime) -> Option<Problem> {
    let apart = |from: UnixTime, to: UnixTime| Duration::from_secs(to.as_secs().saturating_sub(from.as_secs()));
    let path = path.to_string();
    match time_fault(leaf, now) {
        Some(CertificateError::ExpiredContext { not_after, .. }) => {
            return Some(Problem::Expired { path, since: apart(not_after, now) });
        }
        Some(CertificateError::NotValidYetContext { not_before, .. }) => {
            return Some(Problem::NotYetValid { path, until: apart(now, not_before) });
        }
        _ => {}
    }
    let later = UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs()) + EXPIRING);
    match time_fault(leaf, later) {
        Some(CertificateError::ExpiredContext { not_after, .. }) => {
            Some(Problem::Expiring { path, left: apart(now, not_after) })
        }
        _ => None,
    }
}

impl Problem {
    pub(super) fn diagnostic(&self) -> Diagnostic {
        let renew = "renew it and reload; clients refuse it until then";
        match self {
            Problem::Unreadable { path, error } => {
                let code = match error {
                    ReadError::TooLarge { .. } => "tls-too-large",
                    _ => "tls-unreadable",
                };
                let shown = path.display();
                Diagnostic::error(code, format!("failed to read `{shown}`: {error}")).help(error.help(path))
            }
            Problem::Exposed { path, exposure } => {
                Diagnostic::warning("secrets-exposed", format!("{exposure} `{path}`")).help(
                    "a server with the key can pose as this one: `chmod 600` the file, or `chown root:GROUP` and `chmod 640` it",
                )
            }
            Problem::NotPem { path, error } => {
                Diagnostic::error("tls-not-pem", format!("`{path}` is not a whole PEM file: {error}"))
                    .help("the file must consist of `-----BEGIN …-----` sections")
            }
            Problem::NoCertificate { path } => {
                Diagnostic::error("tls-no-certificate", format!("there is no certificate in `{path}`"))
                    .help("`cert` is the chain, leaf first, each in a `-----BEGIN CERTIFICATE-----` section")
            }
            Problem::NoKey { path } => Diagnostic::error("tls-no-key", format!("there is no private key in `{path}`"))
                .help("`key` is an unencrypted PKCS#8, PKCS#1 or SEC1 key in PEM"),
            Problem::BadCertificate { path, error } => {
                Diagnostic::error("tls-bad-certificate", format!("the certificate in `{path}` cannot be used: {error}"))
                    .help("the first certificate must be an X.509 version 3 leaf")
            }
            Problem::BadKey { path, error } => {
                Diagnostic::error("tls-bad-key", format!("the key in `{path}` cannot be used: {error}"))
                    .help("use RSA (2048 bits or more), ECDSA (P-256 or P-384) or Ed25519")
            }
            Problem::Mismatch { cert, key } => Diagnostic::error(
                "tls-mismatch",
                format!("the key in `{key}` does not belong to the first certificate in `{cert}`"),
            )
            .help("the leaf comes first in the chain; were both files renewed?"),
            Problem::Expired { path, since } => {
                Diagnostic::warning("tls-expired", format!("the certificate in `{path}` expired {} ago", span(*since)))
                    .help(renew)
            }
            Problem::NotYetValid { path, until } => Diagnostic::warning(
                "tls-not-yet-valid",
                format!("the certificate in `{path}` becomes valid only in {}", span(*until)),
            )
            .help("check the clock of this machine; clients refuse the certificate until then"),
            Problem::Expiring { path, left } => {
                Diagnostic::warning("tls-expiring", format!("the certificate in `{path}` expires in {}", span(*left)))
                    .help(renew)
            }
        }
    }
}

/// A length of time in the largest unit of which it has two.
pub fn span(duration: Duration) -> String {
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
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;
    use crate::base::diagnostic::Place;

    /// Midnight of 2026-03-01; the certificates here are valid through February.
    const MARCH: u64 = 1_772_323_200;

    struct Files {
        folder: tempfile::TempDir,
    }

    impl Files {
        fn new() -> Self {
            let files = Files { folder: tempfile::tempdir().unwrap() };
            for name in ["a", "b"] {
                let key = KeyPair::generate().unwrap();
                let mut params = CertificateParams::new(vec!["registry.example".to_string()]).unwrap();
                params.not_before = date_time_ymd(2026, 2, 1);
                params.not_after = date_time_ymd(2026, 3, 1);
                files.write(&format!("{name}.crt"), &params.self_signed(&key).unwrap().pem());
                files.write(&format!("{name}.key"), &key.serialize_pem());
            }
            files
        }

        fn write(&self, name: &str, text: &str) {
            std::fs::write(self.path(name), text).unwrap();
            std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(0o600)).unwrap();
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        /// The codes of what is said, at some seconds from 1 March.
        fn load(&self, cert: &str, key: &str, seconds: i64) -> Result<Vec<String>, Vec<String>> {
            let place = Place::in_line(&"pharos.toml".into(), 9, "tls = {}", 0..3);
            let files = TlsFiles { cert: self.path(cert), key: self.path(key), place: place.clone() };
            let now = UnixTime::since_unix_epoch(Duration::from_secs(MARCH.checked_add_signed(seconds).unwrap()));
            let codes = |all: Vec<Diagnostic>, error: bool| -> Vec<String> {
                assert!(all.iter().all(|one| one.place.as_ref() == Some(&place) && one.is_error() == error));
                let folder = self.folder.path().display().to_string();
                all.iter().map(|one| format!("{}: {}", one.code, one.message.replace(&folder, "."))).collect()
            };
            match load(&files, now) {
                Ok((_, warnings)) => Ok(codes(warnings, false)),
                Err(errors) => Err(codes(errors, true)),
            }
        }
    }

    const DAY: i64 = 86_400;

    #[test]
    fn a_chain_with_its_key_is_an_identity() {
        let files = Files::new();
        assert_eq!(files.load("a.crt", "a.key", -10 * DAY), Ok(vec![]));
        assert_eq!(files.load("b.crt", "b.key", -10 * DAY), Ok(vec![]));
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let said = Files::new().load("a.crt", "b.key", -10 * DAY).unwrap_err();
        assert_eq!(said, ["tls-mismatch: the key in `./b.key` does not belong to the first certificate in `./a.crt`"]);
    }

    #[test]
    fn both_files_are_looked_at_before_anything_is_said() {
        let files = Files::new();
        files.write("empty", "");
        files.write("cut", "-----BEGIN CERTIFICATE-----\nAAAA\n");
        files.write("junk.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        files.write("junk.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
        files.write("large", &"#".repeat(Kind::Pem.max_len() as usize + 1));
        let codes = |cert, key| -> Vec<String> {
            let said = files.load(cert, key, 0).unwrap_err();
            said.iter().map(|one| one.split(':').next().unwrap().to_string()).collect()
        };
        assert_eq!(codes("empty", "empty"), ["tls-no-certificate", "tls-no-key"]);
        assert_eq!(codes("none", "large"), ["tls-unreadable", "tls-too-large"]);
        assert_eq!(codes("cut", "a.key"), ["tls-not-pem"]);
        assert_eq!(codes("junk.crt", "a.key"), ["tls-bad-certificate"]);
        assert_eq!(codes("a.crt", "junk.key"), ["tls-bad-key"]);
        assert_eq!(codes("a.key", "a.crt"), ["tls-no-certificate", "tls-no-key"]);
    }

    #[test]
    fn a_certificate_out_of_its_time_is_served_with_a_warning() {
        let files = Files::new();
        let said = |seconds| files.load("a.crt", "a.key", seconds);
        assert_eq!(said(3 * DAY), Ok(vec!["tls-expired: the certificate in `./a.crt` expired 3 days ago".into()]));
        assert_eq!(said(-DAY), Ok(vec!["tls-expiring: the certificate in `./a.crt` expires in 24 hours".into()]));
        let early = "tls-not-yet-valid: the certificate in `./a.crt` becomes valid only in 2 days";
        assert_eq!(said(-30 * DAY), Ok(vec![early.into()]));
        assert_eq!(said(-3 * DAY - 1), Ok(vec![]));
    }
}
