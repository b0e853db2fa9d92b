//! PEM files with a private key in PKCS #8 (RFC 5958), as openssl and Knot's keymgr write it.
//!
//! **Invariants**: the first private key of a file counts.
//! **Not here**: the role of such a key, which has no flags.

use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::{Error, PemObject as _};

use super::fault::KeyFault;
use super::pkcs8;
use super::private::RingKey;

/// Object identifiers of algorithms, as DER has them, with the names of keys.
const KINDS: [(&[u8], &str); 4] = [
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01], "an RSA key"),
    (&[0x2b, 0x81, 0x04, 0x00, 0x22], "a key of curve P-384"),
    (&[0x2b, 0x81, 0x04, 0x00, 0x23], "a key of curve P-521"),
    (&[0x2b, 0x65, 0x71], "an Ed448 key"),
];

/// The key of a file.
pub(super) fn key(bytes: &[u8]) -> Result<RingKey, KeyFault> {
    match PrivatePkcs8KeyDer::from_pem_slice(bytes) {
        Ok(document) => RingKey::of_pkcs8(document.secret_pkcs8_der()).ok_or_else(|| {
            let ids = pkcs8::algorithm(document.secret_pkcs8_der());
            KeyFault::Kind(KINDS.iter().find(|(id, _)| ids.contains(id)).map(|(_, name)| *name))
        }),
        Err(Error::NoItemsFound) => Err(other(bytes)),
        Err(_) => Err(KeyFault::BadPem),
    }
}

/// The fault of a file without a PKCS #8 key, by the first label in it.
fn other(bytes: &[u8]) -> KeyFault {
    let text = String::from_utf8_lossy(bytes);
    if text.starts_with("Private-key-format:") {
        return KeyFault::BindName;
    }
    let label = text.lines().find_map(|line| line.trim_end().strip_prefix("-----BEGIN ")?.strip_suffix("-----"));
    match label {
        Some("ENCRYPTED PRIVATE KEY") => KeyFault::Encrypted,
        // A label of PEM has 40 characters at most in practice; the rest of a longer one helps no reader.
        Some(label) => KeyFault::Label(Some(label.chars().filter(|c| !c.is_control()).take(40).collect())),
        None => KeyFault::Label(None),
    }
}
