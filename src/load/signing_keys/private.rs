//! Private keys of both algorithms, by ring.
//!
//! **Invariants**: a key whose public half does not fit is refused; no text shows a private key.
//! **Not here**: the files that hold keys ([`super::pair`], [`super::pem`]), and the form of PKCS #8 ([`super::pkcs8`]).
//!
//! RFC 6605 §4 (ECDSA), RFC 8080 §3 and §4 (Ed25519).

use std::fmt;

use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519 as VERIFIED_ED25519, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair as _, UnparsedPublicKey,
};

use super::fault::KeyFault;
use super::pkcs8::{self, PRIVATE_LEN, UNCOMPRESSED};
use crate::zone::{ECDSA_P256, ED25519, SignOctets, SignatureOctets};

/// A private key in memory.
pub(crate) enum RingKey {
    /// Of ECDSA on curve P-256. Each signature takes random numbers.
    Ecdsa(Box<EcdsaKeyPair>, SystemRandom),
    /// Of Ed25519.
    Ed25519(Ed25519KeyPair),
}

impl RingKey {
    /// A key of its private and public bytes as BIND's files have them.
    pub(super) fn of_pair(algorithm: u8, private: &[u8], public: &[u8]) -> Result<Self, KeyFault> {
        match algorithm {
            ECDSA_P256 => {
                let (random, point) = (SystemRandom::new(), [&[UNCOMPRESSED], public].concat());
                let kind = &ECDSA_P256_SHA256_FIXED_SIGNING;
                let key = EcdsaKeyPair::from_private_key_and_public_key(kind, private, &point, &random);
                Ok(RingKey::Ecdsa(Box::new(key.map_err(|_| KeyFault::Mismatch)?), random))
            }
            ED25519 => {
                let key = Ed25519KeyPair::from_seed_and_public_key(private, public);
                Ok(RingKey::Ed25519(key.map_err(|_| KeyFault::Mismatch)?))
            }
            other => Err(KeyFault::Algorithm(other)),
        }
    }

    /// A key of a PKCS #8 document. `None` if it is of neither algorithm.
    pub(super) fn of_pkcs8(document: &[u8]) -> Option<Self> {
        if let Some((private, public)) = pkcs8::scalar_and_point(document) {
            return RingKey::of_pair(ECDSA_P256, &private, public).ok();
        }
        // Version 1, which openssl and GnuTLS write, has no public half to compare.
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(document).ok().map(RingKey::Ed25519)
    }

    /// Makes a key, and returns its private bytes beside it. `None` if the system has no random numbers, or the algorithm is unknown.
    pub(crate) fn generate(algorithm: u8) -> Option<(Self, [u8; PRIVATE_LEN])> {
        let random = SystemRandom::new();
        match algorithm {
            ECDSA_P256 => {
                let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).ok()?;
                let (private, public) = pkcs8::scalar_and_point(document.as_ref())?;
                Some((RingKey::of_pair(algorithm, &private, public).ok()?, private))
            }
            ED25519 => {
                let mut seed = [0; PRIVATE_LEN];
                random.fill(&mut seed).ok()?;
                Some((RingKey::Ed25519(Ed25519KeyPair::from_seed_unchecked(&seed).ok()?), seed))
            }
            _ => None,
        }
    }

    /// The number of its algorithm.
    pub(crate) fn algorithm(&self) -> u8 {
        match self {
            RingKey::Ecdsa(..) => ECDSA_P256,
            RingKey::Ed25519(_) => ED25519,
        }
    }

    /// The public half, as a DNSKEY record has it.
    pub(crate) fn public(&self) -> Vec<u8> {
        match self {
            RingKey::Ecdsa(key, _) => key.public_key().as_ref()[1..].to_vec(),
            RingKey::Ed25519(key) => key.public_key().as_ref().to_vec(),
        }
    }
}

/// True if a signature over these bytes is by the key of a DNSKEY record. A key of another algorithm is taken at its word.
pub(super) fn is_signed_by(dnskey: &[u8], octets: &[u8], signature: &[u8]) -> bool {
    let Some(([_, _, _, algorithm], public)) = dnskey.split_first_chunk() else { return false };
    let verified = match *algorithm {
        ECDSA_P256 => {
            let point = [&[UNCOMPRESSED], public].concat();
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(octets, signature)
        }
        ED25519 => UnparsedPublicKey::new(&VERIFIED_ED25519, public).verify(octets, signature),
        _ => return true,
    };
    verified.is_ok()
}

impl SignOctets for RingKey {
    fn sign(&self, octets: &[u8]) -> Option<SignatureOctets> {
        match self {
            RingKey::Ecdsa(key, random) => key.sign(random, octets).ok()?.as_ref().try_into().ok(),
            RingKey::Ed25519(key) => key.sign(octets).as_ref().try_into().ok(),
        }
    }
}

impl fmt::Debug for RingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RingKey({})", self.algorithm())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_with_a_longer_scalar_is_read_as_gnutls_writes_it() {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        let mut longer = document.as_ref().to_vec();
        let scalar = 36;
        longer.insert(scalar, 0);
        // The lengths of the document, of the string with the key, of the key, and of the string with the scalar.
        for length in [2, 28, 30, scalar - 1] {
            longer[length] += 1;
        }
        let [read, of_longer] =
            [document.as_ref(), &longer].map(|document| RingKey::of_pkcs8(document).unwrap().public());
        assert_eq!(read, of_longer);
    }

    #[test]
    fn a_new_key_signs_and_is_read_back_from_its_parts() {
        for algorithm in [ECDSA_P256, ED25519] {
            let (key, private) = RingKey::generate(algorithm).unwrap();
            let read = RingKey::of_pair(algorithm, &private, &key.public()).unwrap();
            let signature = read.sign(b"octets").unwrap();
            let dnskey = [&[1, 1, 3, algorithm], &key.public()[..]].concat();
            assert!(is_signed_by(&dnskey, b"octets", &signature), "{algorithm}");
            assert!(!is_signed_by(&dnskey, b"others", &signature), "{algorithm}");
            assert_eq!(format!("{key:?}"), format!("RingKey({algorithm})"));
            let (other, _) = RingKey::generate(algorithm).unwrap();
            assert!(matches!(RingKey::of_pair(algorithm, &private, &other.public()), Err(KeyFault::Mismatch)));
        }
        assert!(RingKey::generate(8).is_none());
    }
}
