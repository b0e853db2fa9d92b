//! The side that sends queries: signs a query and verifies the messages of its reply.
//!
//! **Invariants**: of a long reply, the first message and the last are signed, and at most [`MAX_UNSIGNED`] in a row are
//! unsigned.
//!
//! RFC 8945 §5.3.

use std::sync::Arc;

use super::record::{find, read};
use super::{Mac, Signer, Turn, digest, is_same};
use crate::base::rr::Rcode;
use crate::base::time::UnixTime;
use crate::base::tsig::Key;

/// Maximum number of unsigned messages in a row in a long reply (RFC 8945 §5.3.1).
const MAX_UNSIGNED: usize = 99;

/// Reason for rejecting a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifyError {
    /// The reply has no signature where one is required.
    Unsigned,
    /// It is signed with another key.
    OtherKey,
    /// The signature is not valid.
    BadSignature,
    /// The time of signing is too far from our clock.
    BadTime,
    /// The peer rejected our signature.
    Refused(Rcode),
}

impl std::fmt::Display for VerifyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            VerifyError::Unsigned => f.write_str("the reply is not signed"),
            VerifyError::OtherKey => f.write_str("the reply is signed with another key"),
            VerifyError::BadSignature => f.write_str("the signature of the reply does not hold"),
            VerifyError::BadTime => f.write_str("the reply was signed at another time; compare both clocks"),
            VerifyError::Refused(Rcode::BADSIG) => {
                f.write_str("our signature is refused: BADSIG; compare both secrets")
            }
            VerifyError::Refused(Rcode::BADTIME) => {
                f.write_str("our signature is refused: BADTIME; compare both clocks")
            }
            VerifyError::Refused(error) => write!(f, "our signature is refused: {error}; compare both keys"),
        }
    }
}

impl std::error::Error for VerifyError {}

/// One signed query and the messages of its reply, on the side that sent the query.
#[derive(Debug)]
pub struct Exchange {
    key: Arc<Key>,
    prior: Mac,
    turn: Turn,
    /// The unsigned messages since the last signed one.
    unsigned: Vec<u8>,
    unsigned_count: usize,
}

impl Exchange {
    /// Signs a query.
    pub fn begin(key: &Arc<Key>, query: &mut Vec<u8>, now: UnixTime) -> Self {
        let mut signer = Signer { key: key.clone(), prior: Mac::new(), turn: Turn::First };
        let len = query.len();
        query.resize(len + signer.room(), 0);
        let len = signer.sign(query, len, now);
        query.truncate(len);
        Exchange { key: key.clone(), prior: signer.prior, turn: Turn::First, unsigned: Vec::new(), unsigned_count: 0 }
    }

    /// Verifies the next message of the reply.
    pub fn verify(&mut self, message: &[u8], now: UnixTime) -> Result<(), VerifyError> {
        let Some(record) = find(message).and_then(|start| read(message, start)) else {
            // §5.3.1: the first message must be signed, and at most 99 in a row may be unsigned.
            if self.turn == Turn::First || self.unsigned_count == MAX_UNSIGNED {
                return Err(VerifyError::Unsigned);
            }
            self.unsigned_count += 1;
            self.unsigned.extend_from_slice(message);
            return Ok(());
        };
        if record.name.as_name() != self.key.name() || record.algorithm.as_name() != self.key.algorithm().name() {
            return Err(VerifyError::OtherKey);
        }
        if record.mac.is_empty() && record.error != Rcode::NOERROR {
            return Err(VerifyError::Refused(record.error));
        }
        let digest = digest(&self.key, message, &record, (&self.prior, &self.unsigned), self.turn);
        if !is_same(digest.as_ref(), record.mac) {
            return Err(VerifyError::BadSignature);
        }
        if record.error != Rcode::NOERROR {
            return Err(VerifyError::Refused(record.error));
        }
        if now.0.abs_diff(record.time.0) > u64::from(record.fudge) {
            return Err(VerifyError::BadTime);
        }
        self.prior = digest.as_ref().iter().copied().collect();
        self.turn = Turn::Later;
        self.unsigned.clear();
        self.unsigned_count = 0;
        Ok(())
    }

    /// Verifies that the last message was signed.
    pub fn finish(&self) -> Result<(), VerifyError> {
        match (self.turn, self.unsigned_count) {
            (Turn::Later, 0) => Ok(()),
            _ => Err(VerifyError::Unsigned),
        }
    }
}
