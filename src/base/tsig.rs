//! Keys that sign messages (RFC 8945): a name, an algorithm and a secret that both sides share.
//!
//! **Invariants**: only HMAC with SHA-256 and up. MD5 and SHA-1 are not implemented, because RFC 8945 §6 does not recommend
//! their use; a request that uses one of these is treated as signed by an unknown key. A key never shows its secret.
//! **Not here**: signing messages ([`crate::wire`]), reading secrets ([`crate::load`]).

use std::fmt;
use std::sync::Arc;

use ring::hmac;

use super::ids::KeyId;
use super::name::{Name, NameBuf};
use super::words::words;

/// Maximum length in bytes of a key's name, so that 512 bytes have room for it beside the longest question, an OPT with its
/// options and the longest signature.
pub(crate) const MAX_KEY_NAME_LEN: usize = 63;

/// Minimum length in bytes of a secret. RFC 8945 §8 recommends the length of the hash; a secret under 128 bits is too weak.
pub(crate) const MIN_SECRET_LEN: usize = 16;

/// Length in bytes of the longest signature, SHA-512's.
pub(crate) const MAX_MAC_LEN: usize = 64;

words! {
    /// Algorithm of a signature (RFC 8945 §6).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub enum Algorithm {
        /// `hmac-sha256`, which all implementations have.
        HmacSha256 = "hmac-sha256",
        /// `hmac-sha384`.
        HmacSha384 = "hmac-sha384",
        /// `hmac-sha512`.
        HmacSha512 = "hmac-sha512",
    }
}

impl Algorithm {
    /// The name in a message.
    pub(crate) fn name(self) -> Name<'static> {
        Name::trusted(match self {
            Algorithm::HmacSha256 => b"\x0bhmac-sha256\0",
            Algorithm::HmacSha384 => b"\x0bhmac-sha384\0",
            Algorithm::HmacSha512 => b"\x0bhmac-sha512\0",
        })
    }

    /// Length in bytes of a signature.
    pub(crate) fn mac_len(self) -> usize {
        self.hmac().digest_algorithm().output_len()
    }

    fn hmac(self) -> hmac::Algorithm {
        match self {
            Algorithm::HmacSha256 => hmac::HMAC_SHA256,
            Algorithm::HmacSha384 => hmac::HMAC_SHA384,
            Algorithm::HmacSha512 => hmac::HMAC_SHA512,
        }
    }
}

/// Algorithm that a message names, also one that no key can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SentAlgorithm {
    /// `hmac-md5`, the default of certbot and cert-manager.
    HmacMd5,
    /// `hmac-sha1`, the default of lego.
    HmacSha1,
    /// `hmac-sha224`.
    HmacSha224,
    /// One that keys can have.
    Known(Algorithm),
    /// Another one.
    Other,
}

impl SentAlgorithm {
    /// The algorithm of a name (RFC 8945 §6).
    pub(crate) fn of(name: Name<'_>) -> Self {
        const WEAK: [(&[u8], SentAlgorithm); 3] = [
            (b"\x08hmac-md5\x07sig-alg\x03reg\x03int\0", SentAlgorithm::HmacMd5),
            (b"\x09hmac-sha1\0", SentAlgorithm::HmacSha1),
            (b"\x0bhmac-sha224\0", SentAlgorithm::HmacSha224),
        ];
        let weak = WEAK.into_iter().find(|(wire, _)| Name::trusted(wire) == name).map(|(_, algorithm)| algorithm);
        let known = || Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name).map(SentAlgorithm::Known);
        weak.or_else(known).unwrap_or(SentAlgorithm::Other)
    }
}

impl fmt::Display for SentAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SentAlgorithm::HmacMd5 => "hmac-md5",
            SentAlgorithm::HmacSha1 => "hmac-sha1",
            SentAlgorithm::HmacSha224 => "hmac-sha224",
            SentAlgorithm::Known(algorithm) => algorithm.as_str(),
            SentAlgorithm::Other => "an unknown algorithm",
        })
    }
}

/// A key.
#[derive(Clone)]
pub struct Key {
    name: NameBuf,
    algorithm: Algorithm,
    secret: hmac::Key,
}

/// Reason why a key cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// The name has more than [`MAX_KEY_NAME_LEN`] bytes.
    NameTooLong,
    /// The secret has less than [`MIN_SECRET_LEN`] bytes.
    SecretTooShort,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyError::NameTooLong => write!(f, "its name has more than {MAX_KEY_NAME_LEN} bytes"),
            KeyError::SecretTooShort => write!(f, "its secret has less than {MIN_SECRET_LEN} bytes"),
        }
    }
}

impl std::error::Error for KeyError {}

impl Key {
    /// Makes a key of its parts; the name is kept in lower case, as signatures need it.
    pub fn new(name: Name<'_>, algorithm: Algorithm, secret: &[u8]) -> Result<Self, KeyError> {
        if name.len() > MAX_KEY_NAME_LEN {
            return Err(KeyError::NameTooLong);
        }
        if secret.len() < MIN_SECRET_LEN {
            return Err(KeyError::SecretTooShort);
        }
        let lower = name.as_wire().to_ascii_lowercase();
        let name = Name::trusted(&lower).to_owned();
        Ok(Key { name, algorithm, secret: hmac::Key::new(algorithm.hmac(), secret) })
    }

    /// The name, in lower case.
    pub(crate) fn name(&self) -> Name<'_> {
        self.name.as_name()
    }

    /// The algorithm.
    pub(crate) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Begins a signature.
    pub(crate) fn context(&self) -> hmac::Context {
        hmac::Context::with_key(&self.secret)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, {})", self.name.as_name(), self.algorithm.as_str())
    }
}

/// The known keys; [`KeyId`] is an index.
#[derive(Clone, Debug, Default)]
pub struct Keys(Vec<Arc<Key>>);

impl Keys {
    /// Keys with distinct names.
    pub fn new(keys: Vec<Key>) -> Self {
        Keys(keys.into_iter().map(Arc::new).collect())
    }

    /// Finds a key by its name and the name of its algorithm, because a key is used only with its own algorithm (RFC 8945
    /// §5.2.1).
    pub(crate) fn find(&self, name: Name<'_>, algorithm: Name<'_>) -> Option<(KeyId, &Arc<Key>)> {
        let at = self.0.iter().position(|key| key.name() == name && key.algorithm.name() == algorithm)?;
        Some((KeyId::from_index(at), &self.0[at]))
    }

    /// Finds a key by its name alone.
    pub(crate) fn named(&self, name: Name<'_>) -> Option<KeyId> {
        self.0.iter().position(|key| key.name() == name).map(KeyId::from_index)
    }

    /// The key with an id that the config gave.
    pub fn key(&self, id: KeyId) -> &Arc<Key> {
        &self.0[id.index()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_name_and_algorithm_in_any_case() {
        let name = NameBuf::parse("Transfer.Example").unwrap();
        let keys = Keys::new(vec![Key::new(name.as_name(), Algorithm::HmacSha256, &[7; 32]).unwrap()]);
        let upper = NameBuf::parse("TRANSFER.example").unwrap();
        assert!(keys.find(upper.as_name(), Algorithm::HmacSha256.name()).is_some());
        assert!(keys.find(upper.as_name(), Algorithm::HmacSha512.name()).is_none());
        assert!(keys.find(Name::ROOT, Algorithm::HmacSha256.name()).is_none());
    }

    #[test]
    fn an_algorithm_is_known_by_the_name_in_a_message() {
        let of = |text: &str| SentAlgorithm::of(NameBuf::parse(text).unwrap().as_name());
        let texts = ["HMAC-MD5.SIG-ALG.REG.INT", "hmac-sha1", "hmac-sha224", "hmac-sha384", "hmac-sha3-256"];
        let expected = ["hmac-md5", "hmac-sha1", "hmac-sha224", "hmac-sha384", "an unknown algorithm"];
        assert_eq!(texts.map(|text| of(text).to_string()), expected);
        assert_eq!(of("hmac-sha512"), SentAlgorithm::Known(Algorithm::HmacSha512));
    }

    #[test]
    fn a_key_does_not_show_its_secret() {
        let name = NameBuf::parse("k").unwrap();
        let key = Key::new(name.as_name(), Algorithm::HmacSha512, b"0123456789abcdef").unwrap();
        assert_eq!(format!("{key:?}"), "Key(k, hmac-sha512)");
        assert_eq!(Key::new(name.as_name(), Algorithm::HmacSha512, b"short").unwrap_err(), KeyError::SecretTooShort);
    }
}
