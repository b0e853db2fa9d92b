//! A private certificate authority for demonstrations and tests: certificates in PEM, and their files.
//!
//! **Invariants**: other users can never read the file of a key; an existing file is replaced only on request; certificates
//! of an authority still verify after the authority was read again.
//! **Not here**: the choice of names and files ([`crate::cli`]), certificates from a public authority.
//!
//! RFC 5280 §4.2.1.6 (names), CA/Browser Forum Baseline Requirements §6.3.2 (validity).

use std::fmt;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The name of the authority. It shows an operator where a trusted root came from.
const NAME: &str = "Pharos private CA";

/// The validity of the authority's own certificate, in days: longer than any demonstration lasts.
const AUTHORITY_DAYS: i64 = 3650;

/// A certificate begins this long before now, because clocks differ.
const BACKDATED: Duration = Duration::hours(1);

/// A chain and the key of its leaf, in PEM.
#[derive(Clone)]
pub struct Pair {
    /// The chain, leaf first.
    pub chain: String,
    /// The key, as PKCS#8.
    pub key: String,
}

/// A private certificate authority.
pub struct Authority {
    own: Pair,
    issuer: Issuer<'static, KeyPair>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Leave out the key.
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

/// The reason why an authority cannot be used.
#[derive(Debug)]
pub enum AuthorityError {
    /// The certificate or the key cannot be read, or a name is not valid.
    Rcgen(rcgen::Error),
    /// The certificate is not one that this command makes with this key.
    Foreign,
}

impl fmt::Display for AuthorityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AuthorityError::Rcgen(error) => error.fmt(f),
            AuthorityError::Foreign => {
                f.write_str("the certificate is not that of an authority made here with this key")
            }
        }
    }
}

impl std::error::Error for AuthorityError {}

impl From<rcgen::Error> for AuthorityError {
    fn from(error: rcgen::Error) -> Self {
        AuthorityError::Rcgen(error)
    }
}

impl Authority {
    /// Makes an authority with a new key.
    pub fn new(now: OffsetDateTime) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate()?;
        let mut params = params()?;
        (params.not_before, params.not_after) = (now - BACKDATED, now + Duration::days(AUTHORITY_DAYS));
        let own = Pair { chain: params.self_signed(&key)?.pem(), key: key.serialize_pem() };
        Ok(Authority { own, issuer: Issuer::new(params, key) })
    }

    /// Reads an authority that was made before.
    pub(crate) fn from_pem(own: Pair) -> Result<Self, AuthorityError> {
        let key = KeyPair::from_pem(&own.key)?;
        let made = params()?.self_signed(&key)?;
        let read = CertificateDer::from_pem_slice(own.chain.as_bytes()).map_err(|_| AuthorityError::Foreign)?;
        // A certificate names its issuer and the issuer's key. If both are unchanged, certificates issued before still verify.
        if identity(&read) != identity(made.der()) || identity(&read).is_none() {
            return Err(AuthorityError::Foreign);
        }
        Ok(Authority { own, issuer: Issuer::new(params()?, key) })
    }

    /// Its own certificate, to trust, and the key.
    pub fn own(&self) -> &Pair {
        &self.own
    }

    /// Issues a certificate for names and addresses that is valid for a number of days from now, with a new key (P-256, which
    /// every client knows).
    pub fn issue(&self, names: &[String], now: OffsetDateTime, days: u16) -> Result<Pair, AuthorityError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, names.first().map_or("", |name| name));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = (now - BACKDATED, now + Duration::days(days.into()));
        Ok(Pair { chain: params.signed_by(&key, &self.issuer)?.pem(), key: key.serialize_pem() })
    }
}

fn params() -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, NAME);
    Ok(params)
}

/// The subject of a certificate, and its public key.
fn identity(certificate: &CertificateDer<'_>) -> Option<(Vec<u8>, Vec<u8>)> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some((parsed.subject().as_raw().to_vec(), parsed.public_key().raw.to_vec()))
}

/// The treatment of existing files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existing {
    /// An existing file stays, and the write fails.
    Keep,
    /// An existing file is replaced.
    Replace,
}

/// The reason why a pair was not written.
#[derive(Debug)]
pub(crate) struct WriteError {
    /// The file.
    pub(crate) path: PathBuf,
    /// The error of the system.
    pub(crate) error: io::Error,
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed to write `{}`: {}", self.path.display(), self.error)
    }
}

impl std::error::Error for WriteError {}

impl Pair {
    /// The paths of a pair with this name: `NAME.pem` and `NAME.key`.
    pub(crate) fn paths(folder: &Path, name: &str) -> [PathBuf; 2] {
        [folder.join(format!("{name}.pem")), folder.join(format!("{name}.key"))]
    }

    /// Writes both files, each whole or not at all; the key for its owner alone.
    pub(crate) fn write(&self, folder: &Path, name: &str, existing: Existing) -> Result<(), WriteError> {
        let [chain, key] = Pair::paths(folder, name);
        write(&key, &self.key, 0o600, existing)?;
        write(&chain, &self.chain, 0o644, existing)
    }
}

/// Writes a file with these permissions.
fn write(path: &Path, text: &str, mode: u32, existing: Existing) -> Result<(), WriteError> {
    use std::os::unix::fs::PermissionsExt as _;
    let failed = |error| WriteError { path: path.to_path_buf(), error };
    let folder = path.parent().unwrap_or(Path::new("."));
    // The file is created readable for its owner alone.
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(mode)).map_err(failed)?;
    let placed = match existing {
        Existing::Keep => file.persist_noclobber(path),
        Existing::Replace => file.persist(path),
    };
    placed.map(|_| ()).map_err(|error| failed(error.error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn now() -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }

    #[test]
    fn an_authority_read_again_is_the_same_one() {
        let made = Authority::new(now()).unwrap();
        let read = Authority::from_pem(made.own().clone()).unwrap();
        assert_eq!(read.own().chain, made.own().chain);
        let other = Authority::new(now()).unwrap();
        let mixed = Pair { chain: made.own().chain.clone(), key: other.own().key.clone() };
        assert!(matches!(Authority::from_pem(mixed), Err(AuthorityError::Foreign)));
        let leaf = made.issue(&["blob.example".into()], now(), 1).unwrap();
        assert!(matches!(Authority::from_pem(leaf), Err(AuthorityError::Foreign)));
    }

    #[test]
    fn keys_are_for_their_owner_and_nothing_is_replaced_unasked() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(now()).unwrap();
        let pair = authority.issue(&["blob.example".into(), "127.0.0.2".into()], now(), 1).unwrap();
        pair.write(folder.path(), "aws", Existing::Keep).unwrap();
        let [chain, key] = Pair::paths(folder.path(), "aws");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&chain), mode(&key)), (0o644, 0o600));
        let again = authority.issue(&["blob.example".into()], now(), 1).unwrap();
        let refused = again.write(folder.path(), "aws", Existing::Keep).unwrap_err();
        assert_eq!((refused.path, refused.error.kind()), (key.clone(), io::ErrorKind::AlreadyExists));
        assert_eq!(std::fs::read_to_string(&key).unwrap(), pair.key);
        again.write(folder.path(), "aws", Existing::Replace).unwrap();
        assert_eq!(std::fs::read_to_string(&key).unwrap(), again.key);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing else is left");
    }
}
