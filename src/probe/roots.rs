//! The roots that certificates of mirrors must lead to: those of this system, or a file's.

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::base::diagnostic::{Diagnostic, Place};

/// The largest file of roots, in octets; all that Mozilla trusts is some 230 KB.
const MAX_FILE_LEN: u64 = 16 << 20;

/// Reads the roots, or says why there are none.
pub fn roots(file: Option<&Path>) -> Result<Arc<RootCertStore>, Vec<Diagnostic>> {
    let mut store = RootCertStore::empty();
    match file {
        Some(path) => {
            for certificate in read(path)? {
                store
                    .add(certificate)
                    .map_err(|error| problem(path, &format!("holds a certificate that is no root: {error}")))?;
            }
            if store.is_empty() {
                return Err(problem(path, "holds no certificate"));
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            store.add_parsable_certificates(found.certs);
            if store.is_empty() {
                return Err(vec![
                    Diagnostic::error("no-roots", "this system has no root certificates")
                        .help("install the package `ca-certificates`, or name a PEM file with `[probe] roots`"),
                ]);
            }
        }
    }
    Ok(Arc::new(store))
}

fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, Vec<Diagnostic>> {
    let length = std::fs::metadata(path).map_err(|error| problem(path, &format!("cannot be read: {error}")))?.len();
    if length > MAX_FILE_LEN {
        return Err(problem(path, "is larger than any file of roots"));
    }
    let octets = std::fs::read(path).map_err(|error| problem(path, &format!("cannot be read: {error}")))?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&octets).collect();
    all.map_err(|error| problem(path, &format!("is not PEM: {error}")))
}

fn problem(path: &Path, what: &str) -> Vec<Diagnostic> {
    let file = path.display().to_string();
    vec![
        Diagnostic::error("roots", format!("`{file}` {what}")).at(Place::whole_file(&file.as_str().into()), "").help(
            "name a PEM file of the roots that pull clients trust, or leave `[probe] roots` out for this system's",
        ),
    ]
}
