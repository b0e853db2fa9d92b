//! Identities read from files, and the diagnostics of bad ones.

use std::os::unix::fs::PermissionsExt as _;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject as _;

use super::*;
use crate::base::diagnostic::Place;
use crate::config::FileUse;

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

    /// The codes and messages of the diagnostics, at some seconds from 1 March.
    fn load(&self, cert: &str, key: &str, seconds: i64) -> Result<Vec<String>, Vec<String>> {
        let place = Place::in_line(&"pharos.toml".into(), 9, "tls = {}", 0..3);
        let key_place = Place::in_line(&"pharos.toml".into(), 10, "key = ''", 6..8);
        let input = |name: &str, place| InputFile::new(self.path(name), name.into(), FileUse::Pem, place);
        let files = TlsFiles { cert: input(cert, place), key: input(key, key_place) };
        let now = UnixTime::since_unix_epoch(Duration::from_secs(MARCH.checked_add_signed(seconds).unwrap()));
        let codes = |all: Vec<Diagnostic>, error: bool| -> Vec<String> {
            let key = files.key.path.display().to_string();
            for one in &all {
                let place = if one.message.contains(&key) { &files.key.place } else { &files.cert.place };
                assert_eq!((one.place.as_ref(), one.is_error()), (Some(place), error), "{}", one.message);
            }
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
    files.write("large", &"#".repeat(FileKind::Pem.max_len() as usize + 1));
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
    let help = |problem: IdentityProblem| problem.diagnostic().help.unwrap();
    let (path, time) = (Path::new("a.crt"), Duration::from_secs(DAY as u64));
    let expiring = help(IdentityFault::Expiring { left: time }.at(path));
    assert_eq!(expiring, "renew it before then, and reload; clients refuse it from then on");
    let expired = help(IdentityFault::Expired { since: time }.at(path));
    assert_eq!(expired, "renew it and reload; clients refuse it until then");
}

#[test]
fn each_wrong_file_is_named_for_what_it_is() {
    let files = Files::new();
    let text = |name: &str| std::fs::read_to_string(files.path(name)).unwrap();
    let (cert, key) = (text("a.crt"), text("a.key"));
    let der = CertificateDer::from_pem_slice(cert.as_bytes()).unwrap().to_vec();
    std::fs::write(files.path("der"), &der).unwrap();
    files.write("joined", &format!("{}{}", cert.trim_end(), text("b.crt")));
    files.write("cut", &cert[..cert.len() / 2]);
    files.write("encrypted", &key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"));
    files.write("junk.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    files.write("junk.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    files.write("request", &cert.replace("CERTIFICATE", "CERTIFICATE REQUEST"));
    for (cert, key, expected) in [
        ("der", "a.key", "tls-not-pem: `./der` cannot be used: it is DER, not PEM"),
        ("a.crt", "der", "tls-not-pem: `./der` cannot be used: it is DER, not PEM"),
        (
            "cut",
            "a.key",
            "tls-not-pem: `./cut` cannot be used: the section `CERTIFICATE` that begins in line 1 has no end",
        ),
        ("a.crt", "encrypted", "tls-encrypted-key: the private key in `./encrypted` is encrypted"),
        (
            "junk.crt",
            "a.key",
            "tls-bad-certificate: the certificate in `./junk.crt` cannot be used: it is damaged, or not an X.509 version 3 certificate",
        ),
        (
            "a.crt",
            "junk.key",
            "tls-bad-key: the key in `./junk.key` cannot be used: it is damaged, or of a kind that is not supported",
        ),
        ("request", "a.key", "tls-no-certificate: there is no certificate in `./request`, but `CERTIFICATE REQUEST`"),
    ] {
        assert_eq!(files.load(cert, key, -10 * DAY), Err(vec![expected.to_string()]));
    }
    let said = files.load("joined", "a.key", -10 * DAY).unwrap_err();
    assert!(said[0].starts_with("tls-not-pem") && said[0].contains("beside other text"), "{said:?}");
    files.write("rsa.crt", include_str!("../../../tests/certificates/rsa-1024.pem"));
    files.write("rsa.key", include_str!("../../../tests/certificates/rsa-1024.key"));
    let weak = "tls-bad-key: the key in `./rsa.key` cannot be used: it is RSA with 1024 bits";
    assert_eq!(files.load("rsa.crt", "rsa.key", -10 * DAY), Err(vec![weak.to_string()]));
    let swapped = files.load("a.key", "a.crt", -10 * DAY).unwrap_err();
    assert_eq!(
        swapped,
        [
            "tls-no-certificate: there is no certificate in `./a.key`, but `PRIVATE KEY`",
            "tls-no-key: there is no private key in `./a.crt`, but `CERTIFICATE`",
        ]
    );
}
