//! ACME challenges (RFC 8555 §8.4): the tokens that credentials have set, and the rules for keeping them; CAA records.
//!
//! Mirrors that serve one name each prove the control of it by a TXT record at `_acme-challenge` below the name. An ordinary
//! server of dynamic updates (RFC 2136) keeps one RRset there, and most clients replace or remove all of it, so that two
//! clients at once destroy the records of each other. Here each credential has tokens of its own, a client changes those of
//! its credential alone, and answers have the union.
//!
//! **Invariants**: no function reads a clock; a token ends an hour after it was set.
//! **Not here**: the names of credentials and owners (config), records in zones ([`crate::zone`]).

pub(crate) mod caa;
mod owners;
mod peers;
mod store;

use std::fmt;

pub use owners::{Challenges, Credential, CredentialProof, MirrorAddressOwner, MirrorNames, PasswordDigest};
pub(crate) use owners::{KEY_PREFIX, USER_PREFIX};
pub use peers::{OwedEntries, PeerKnowledge};
pub use store::{ChallengeEntry, ChallengeKey, ChallengeState, ChallengeStore, ChallengeVersion, Removal};

/// The length in bytes of a token: SHA-256 in base64url without padding (RFC 8555 §8.4).
pub(crate) const TOKEN_LEN: usize = 43;

/// The duration in seconds for which a token is answered. Certificate authorities look within minutes, and a client that
/// never cleans up leaves nothing behind.
pub const LIFE_SECS: u64 = 3600;

/// The most live tokens of a credential at an owner: a certificate for a name and its wildcard needs two, and an attempt that
/// was broken off may have left two more.
pub const MAX_LIVE: usize = 4;

/// The most tokens of a credential at an owner that are kept, removed ones among them.
///
/// A removed token is kept, so that another server which still has it learns of the removal. Four clients that renew for one
/// name within the hour fill this number.
pub const MAX_KEPT: usize = 16;

/// The most tokens in the answer for an owner: each record takes 56 bytes, and a message has 65,535. It suffices for a thousand
/// mirrors that renew for one name within the hour.
pub(crate) const MAX_UNION: usize = 1000;

/// The value of a challenge: 43 characters of base64url.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChallengeToken([u8; TOKEN_LEN]);

impl ChallengeToken {
    /// The token of a text; `None` if the text cannot be the value of a challenge.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let is_base64url = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        text.try_into().ok().filter(|token: &[u8; TOKEN_LEN]| token.iter().all(is_base64url)).map(ChallengeToken)
    }

    /// The token of the rdata of a TXT record; `None` unless the record has one character-string, which is a token.
    pub fn from_txt(rdata: &[u8]) -> Option<Self> {
        let (len, text) = rdata.split_first()?;
        (usize::from(*len) == text.len()).then(|| ChallengeToken::parse(text))?
    }

    /// The rdata of a TXT record with the token.
    pub fn to_txt(self) -> Vec<u8> {
        [&[TOKEN_LEN as u8][..], &self.0].concat()
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("base64url is ASCII: ChallengeToken::parse")
    }
}

impl fmt::Debug for ChallengeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChallengeToken({})", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_43_characters_of_base64url() {
        let text = b"abcdefghijklmnopqrstuvwxyz0123456789ABCDE-_";
        let token = ChallengeToken::parse(text).unwrap();
        assert_eq!(token.as_str().as_bytes(), text);
        assert_eq!(ChallengeToken::from_txt(&token.to_txt()), Some(token));
        assert_eq!(token.to_txt()[0], 43);
        for wrong in
            [&text[..42], &[&text[..], b"x"].concat(), &[&text[..42], b"+"].concat(), &[&text[..42], b"="].concat()]
        {
            assert_eq!(ChallengeToken::parse(wrong), None);
        }
        let two = [token.to_txt(), token.to_txt()].concat();
        for wrong in [&[][..], &[0], &two, &token.to_txt()[..43], &[&[44], &text[..], b"x"].concat()] {
            assert_eq!(ChallengeToken::from_txt(wrong), None, "{wrong:?}");
        }
    }
}
