//! Signatures of messages (TSIG, RFC 8945): reading, verifying and signing.
//!
//! [`authenticate`] verifies the signature of a query and returns its key. A [`Signer`] signs the reply, or each message of
//! a long one. On the side that sends queries, an [`Exchange`] signs a query and verifies the messages of its reply.
//!
//! The HMAC is ring's; the record is our own code. Of the libraries at hand, `domain` signs only messages made by its own
//! builders, and hashes eight bytes of server time in a BADTIME reply where six are sent. hickory-proto cannot sign a reply
//! of several messages.
//!
//! **Invariants**: no field is trusted before the signature is verified, and the time is checked only after that (§5.2);
//! MACs are compared in constant time; authenticating allocates nothing.
//! **Not here**: reading the record ([`record`]), the permissions of keys ([`crate::snapshot`]).

mod exchange;
mod record;

use std::sync::Arc;

use arrayvec::ArrayVec;
use ring::hmac;
use subtle::ConstantTimeEq;

use super::record::HEADER_LEN;
use crate::base::ids::KeyId;
use crate::base::name::{Name, NameBuf};
use crate::base::rr::{Class, Rcode, Rtype};
use crate::base::time::UnixTime;
use crate::base::tsig::{Key, Keys, MAX_MAC_LEN, SentAlgorithm};

pub use exchange::{Exchange, VerifyError};
use record::{TsigRecord, read};

/// Maximum difference between clocks, in seconds, as RFC 8945 §10 recommends.
pub(crate) const FUDGE: u16 = 300;

/// Length in bytes of a TSIG record without its names, MAC and other data.
const FIXED_LEN: usize = 26;

/// Maximum length in bytes of both names of an unknown key that a reply repeats: as much as our names and a MAC take.
const MAX_ECHOED_NAMES: usize = 140;

/// Length in bytes of the server's time in a BADTIME reply.
const OTHER_LEN: usize = 6;

type Mac = ArrayVec<u8, MAX_MAC_LEN>;

/// Result of checking a query's signature.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "the value stays where it is made; a refusal of a stranger's message allocates nothing"
)]
pub enum TsigVerdict {
    /// The query has no signature.
    Unsigned,
    /// The signature is valid; the reply is signed too.
    Signed(KeyId, Signer),
    /// The signature is not valid: NOTAUTH, and a TSIG record with the reason.
    Refused(TsigRefusal),
    /// The TSIG record is malformed: FORMERR.
    Malformed,
}

/// Signs the replies to one query.
#[derive(Clone, Debug)]
pub struct Signer {
    key: Arc<Key>,
    /// The MAC that the next digest includes: that of the query, then that of the previous message.
    prior: Mac,
    turn: Turn,
}

/// Position of a message in a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    First,
    Later,
}

/// Reason for refusing a signature, and the fields of the reply's TSIG record.
#[derive(Debug)]
pub struct TsigRefusal {
    /// The extended error (RFC 8945 §3).
    pub(crate) error: Rcode,
    name: NameBuf,
    algorithm: NameBuf,
    time: UnixTime,
    fudge: u16,
    /// If key and MAC are valid, and the time or the length is not, the reply is signed (§5.3.2).
    signer: Option<Signer>,
}

/// Verifies the signature of a query. `start` is the offset of its TSIG record, as found by decoding; `None` if it has none.
pub fn authenticate(message: &[u8], start: Option<u16>, keys: &Keys, now: UnixTime) -> TsigVerdict {
    let Some(start) = start else { return TsigVerdict::Unsigned };
    let Some(record) = read(message, usize::from(start)) else { return TsigVerdict::Malformed };
    let refuse = |record: &TsigRecord<'_>, error, signer| {
        TsigVerdict::Refused(TsigRefusal {
            error,
            name: record.name.clone(),
            algorithm: record.algorithm.clone(),
            time: record.time,
            fudge: record.fudge,
            signer,
        })
    };
    // §5.2.1
    let Some((id, key)) = keys.find(record.name.as_name(), record.algorithm.as_name()) else {
        return refuse(&record, Rcode::BADKEY, None);
    };
    // §5.2.2.1: the length is between half of the full MAC (at least 10 bytes) and all of it.
    let full = key.algorithm().mac_len();
    if record.mac.len() > full || record.mac.len() < (full / 2).max(10) {
        return TsigVerdict::Malformed;
    }
    let digest = digest(key, message, &record, (&[], &[]), Turn::First);
    if !is_same(&digest.as_ref()[..record.mac.len()], record.mac) {
        return refuse(&record, Rcode::BADSIG, None);
    }
    let signer = Signer { key: key.clone(), prior: record.mac.iter().copied().collect(), turn: Turn::First };
    // §5.2.3, then §5.2.4. Both come after the MAC, so that a client without the key learns neither result.
    if now.0.abs_diff(record.time.0) > u64::from(record.fudge) {
        return refuse(&record, Rcode::BADTIME, Some(signer));
    }
    // Truncated signatures are refused, because no client needs to save these bytes.
    if record.mac.len() < full {
        return refuse(&record, Rcode::BADTRUNC, Some(signer));
    }
    TsigVerdict::Signed(id, signer)
}

impl TsigVerdict {
    /// Length in bytes to reserve for the TSIG record of the reply.
    pub fn room(&self) -> usize {
        match self {
            TsigVerdict::Unsigned | TsigVerdict::Malformed => 0,
            TsigVerdict::Signed(_, signer) => signer.room(),
            TsigVerdict::Refused(refusal) => refusal.room(),
        }
    }

    /// Appends a TSIG record to the reply of `len` bytes, if the reply needs one; returns the new length.
    pub(crate) fn finish(&mut self, out: &mut [u8], len: usize, now: UnixTime) -> usize {
        match self {
            TsigVerdict::Unsigned | TsigVerdict::Malformed => len,
            TsigVerdict::Signed(_, signer) => signer.sign(out, len, now),
            TsigVerdict::Refused(refusal) => refusal.append(out, len, now),
        }
    }
}

impl Signer {
    /// Length in bytes to reserve for the signature of a message.
    pub fn room(&self) -> usize {
        let algorithm = self.key.algorithm();
        self.key.name().len() + algorithm.name().len() + FIXED_LEN + algorithm.mac_len()
    }

    /// Signs the message of `len` bytes in `out`; returns the new length.
    ///
    /// # Panics
    /// When `out` lacks the [`Signer::room`] behind the message.
    pub fn sign(&mut self, out: &mut [u8], len: usize, now: UnixTime) -> usize {
        let key = self.key.clone();
        let fields = TsigFields {
            name: key.name(),
            algorithm: key.algorithm().name(),
            time: now,
            fudge: FUDGE,
            error: Rcode::NOERROR,
            other: &[],
        };
        let digest = fields.digest(&key, &self.prior, &[&out[..len]], self.turn);
        self.turn = Turn::Later;
        self.prior = digest.as_ref().iter().copied().collect();
        fields.append(out, len, digest.as_ref())
    }
}

impl TsigRefusal {
    /// The key of ours that the message names, and the algorithm of the message, if the key is refused for its algorithm alone.
    pub(super) fn other_algorithm(&self, keys: &Keys) -> Option<(KeyId, SentAlgorithm)> {
        let key = keys.named(self.name.as_name()).filter(|_| self.error == Rcode::BADKEY)?;
        Some((key, SentAlgorithm::of(self.algorithm.as_name())))
    }

    /// Length in bytes of the TSIG record. If the names of an unknown key are so long that 512 bytes might not hold the
    /// record beside a question, it is 0, and the reply has only the response code.
    fn room(&self) -> usize {
        let names = self.name.as_name().len() + self.algorithm.as_name().len();
        match &self.signer {
            Some(signer) => signer.room() + OTHER_LEN,
            None if names > MAX_ECHOED_NAMES => 0,
            None => names + FIXED_LEN,
        }
    }

    fn append(&mut self, out: &mut [u8], len: usize, now: UnixTime) -> usize {
        if self.room() == 0 {
            return len;
        }
        let server_time = time_octets(now);
        let other: &[u8] = if self.error == Rcode::BADTIME { &server_time } else { &[] };
        let fields = TsigFields {
            name: self.name.as_name(),
            algorithm: self.algorithm.as_name(),
            // §5.2.3: the client's own time, so that it can verify the reply.
            time: self.time,
            fudge: self.fudge,
            error: self.error,
            other,
        };
        match &self.signer {
            Some(signer) => {
                let digest = fields.digest(&signer.key, &signer.prior, &[&out[..len]], Turn::First);
                fields.append(out, len, digest.as_ref())
            }
            // §5.3.2: the reply must not be signed if the client may not have the key.
            None => fields.append(out, len, &[]),
        }
    }
}

/// Fields of a TSIG record except the MAC.
struct TsigFields<'f> {
    name: Name<'f>,
    algorithm: Name<'f>,
    time: UnixTime,
    fudge: u16,
    error: Rcode,
    other: &'f [u8],
}

impl TsigFields<'_> {
    /// Computes the MAC (§4.3) over the prior MAC, the message and the variables; for later messages, only the time
    /// variables.
    fn digest(&self, key: &Key, prior: &[u8], message: &[&[u8]], turn: Turn) -> hmac::Tag {
        let mut context = key.context();
        if !prior.is_empty() {
            context.update(&(prior.len() as u16).to_be_bytes());
            context.update(prior);
        }
        message.iter().for_each(|part| context.update(part));
        if turn == Turn::First {
            // §4.3.3 requires the key's name in lower case; it is stored so.
            context.update(key.name().as_wire());
            context.update(&Class::ANY.0.to_be_bytes());
            context.update(&0u32.to_be_bytes());
            context.update(key.algorithm().name().as_wire());
        }
        context.update(&time_octets(self.time));
        context.update(&self.fudge.to_be_bytes());
        if turn == Turn::First {
            context.update(&self.error.0.to_be_bytes());
            context.update(&(self.other.len() as u16).to_be_bytes());
            context.update(self.other);
        }
        context.sign()
    }

    /// Appends the record to a message of `len` bytes, whose ID is the original one.
    fn append(&self, out: &mut [u8], len: usize, mac: &[u8]) -> usize {
        let id = [out[0], out[1]];
        let rdata_len = self.algorithm.len() + 16 + mac.len() + self.other.len();
        let mut at = len;
        let mut put = |octets: &[u8]| {
            out[at..at + octets.len()].copy_from_slice(octets);
            at += octets.len();
        };
        put(self.name.as_wire());
        put(&Rtype::TSIG.0.to_be_bytes());
        put(&Class::ANY.0.to_be_bytes());
        put(&0u32.to_be_bytes());
        put(&(rdata_len as u16).to_be_bytes());
        put(self.algorithm.as_wire());
        put(&time_octets(self.time));
        put(&self.fudge.to_be_bytes());
        put(&(mac.len() as u16).to_be_bytes());
        put(mac);
        put(&id);
        put(&self.error.0.to_be_bytes());
        put(&(self.other.len() as u16).to_be_bytes());
        put(self.other);
        let records = u16::from_be_bytes([out[10], out[11]]) + 1;
        out[10..HEADER_LEN].copy_from_slice(&records.to_be_bytes());
        at
    }
}

/// Computes the MAC that a record should have, after a prior MAC and unsigned messages.
fn digest(
    key: &Key,
    message: &[u8],
    record: &TsigRecord<'_>,
    (prior, unsigned): (&[u8], &[u8]),
    turn: Turn,
) -> hmac::Tag {
    let mut header = [0; HEADER_LEN];
    header.copy_from_slice(&message[..HEADER_LEN]);
    // §4.3.2: the message without the TSIG record.
    header[..2].copy_from_slice(&record.original_id.to_be_bytes());
    let records = u16::from_be_bytes([header[10], header[11]]).wrapping_sub(1);
    header[10..].copy_from_slice(&records.to_be_bytes());
    let fields = TsigFields {
        name: record.name.as_name(),
        algorithm: record.algorithm.as_name(),
        time: record.time,
        fudge: record.fudge,
        error: record.error,
        other: record.other,
    };
    fields.digest(key, prior, &[unsigned, &header, &message[HEADER_LEN..record.start]], turn)
}

/// Compares MACs in constant time (RFC 8945 §5.2.2).
fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

/// The low 48 bits of a timestamp.
fn time_octets(time: UnixTime) -> [u8; 6] {
    let [_, _, a, b, c, d, e, f] = time.0.to_be_bytes();
    [a, b, c, d, e, f]
}

#[cfg(test)]
mod tests;
