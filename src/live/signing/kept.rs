//! Kept signatures, by the signed bytes, and their text in the file of `[dnssec] state`.
//!
//! The text has a line with the latest time for which signatures were made, a line for each signature, and a line with the digest of
//! these lines. A signature that the disk has changed would be served to resolvers, which take its RRset for forged.
//!
//! **Invariants**: text is taken as a whole or not at all.
//! **Not here**: the file ([`crate::files::state`]), making signatures ([`super::Signatory`]).
//!
//! Limits: the number of signatures is that of the zones, and of the contents within [`super::KEPT_ROUNDS`].

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU32, Ordering};

use data_encoding::{BASE64_NOPAD, HEXLOWER};
use ring::digest::{SHA256, digest};

use crate::base::time::UnixTime;
use crate::files::state::StateForm;
use crate::zone::SignatureOctets;

/// The form of the file.
pub(crate) static SIGNATURES: StateForm = StateForm { name: "signatures", comment: "", is_old: |_| false };

/// The prefix of the line with the digest.
const DIGEST: &str = "sha256 ";

/// A signature that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MadeSignature {
    pub(super) id: u128,
    pub(super) octets: SignatureOctets,
    pub(super) expiration: u32,
}

/// Signatures by [`crate::zone::ToSign::id`].
#[derive(Debug, Default)]
pub(super) struct KeptSignatures(HashMap<u128, KeptSignature>);

#[derive(Debug)]
struct KeptSignature {
    octets: SignatureOctets,
    expiration: u32,
    /// The last round in which it was used.
    used: AtomicU32,
}

impl KeptSignatures {
    /// The number of signatures.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The signature with an id, which is used in this round.
    pub(super) fn find(&self, id: u128, round: u32) -> Option<SignatureOctets> {
        let known = self.0.get(&id)?;
        known.used.store(round, Ordering::Relaxed);
        Some(known.octets)
    }

    /// Adds signatures that are used in this round.
    pub(super) fn add(&mut self, made: impl IntoIterator<Item = MadeSignature>, round: u32) {
        self.0.extend(made.into_iter().map(|MadeSignature { id, octets, expiration }| {
            (id, KeptSignature { octets, expiration, used: round.into() })
        }));
    }

    /// Drops signatures that have expired, and those that none of the last `rounds` before `round` has used.
    pub(super) fn drop_unused(&mut self, now: UnixTime, round: u32, rounds: u32) {
        self.0.retain(|_, signature| {
            let age = round.wrapping_sub(signature.used.load(Ordering::Relaxed));
            u64::from(signature.expiration) > now.0 && age <= rounds
        });
    }

    /// The text for the file, without its first line. `newest` is the latest time for which signatures were made.
    pub(super) fn text(&self, newest: u64) -> String {
        let mut text = format!("newest {newest}\n");
        for (id, KeptSignature { octets, expiration, .. }) in &self.0 {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{id:032x} {expiration} {}", BASE64_NOPAD.encode(octets));
        }
        let digest = HEXLOWER.encode(digest(&SHA256, text.as_bytes()).as_ref());
        let _ = writeln!(text, "{DIGEST}{digest}");
        text
    }
}

/// Reads the text of [`KeptSignatures::text`]: the latest time, and the signatures. `None` if it is damaged.
pub(super) fn read_text(text: &str) -> Option<(u64, Vec<MadeSignature>)> {
    let (lines, last) = text.strip_suffix('\n')?.rsplit_once('\n')?;
    let lines = &text[..lines.len() + 1];
    let is_whole = last.strip_prefix(DIGEST)? == HEXLOWER.encode(digest(&SHA256, lines.as_bytes()).as_ref());
    let mut lines = lines.lines();
    let newest = lines.next()?.strip_prefix("newest ")?.parse().ok()?;
    let signature = |line: &str| {
        let mut fields = line.split(' ');
        let id = u128::from_str_radix(fields.next()?, 16).ok()?;
        let expiration = fields.next()?.parse().ok()?;
        let octets = BASE64_NOPAD.decode(fields.next()?.as_bytes()).ok()?.try_into().ok()?;
        Some(MadeSignature { id, octets, expiration })
    };
    let signatures = lines.map(signature).collect::<Option<_>>()?;
    is_whole.then_some((newest, signatures))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(id: u128, expiration: u32) -> MadeSignature {
        MadeSignature { id, octets: [id as u8; 64], expiration }
    }

    #[test]
    fn text_reads_back_and_damaged_text_does_not() {
        let mut kept = KeptSignatures::default();
        kept.add([made(1, 100), made(u128::MAX, 200)], 0);
        let text = kept.text(77);
        let (newest, mut signatures) = read_text(&text).unwrap();
        signatures.sort_by_key(|made| made.id);
        assert_eq!((newest, signatures), (77, vec![made(1, 100), made(u128::MAX, 200)]));
        for at in 0..text.len() {
            let mut damaged = text.clone().into_bytes();
            damaged[at] ^= 1;
            assert_eq!(read_text(&String::from_utf8(damaged).unwrap()), None, "{at}");
            assert_eq!(read_text(&text[..at]), None, "{at}");
        }
    }

    #[test]
    fn signatures_go_when_they_expire_or_are_not_used() {
        let mut kept = KeptSignatures::default();
        kept.add([made(1, 100), made(2, 200), made(3, 200)], 0);
        assert_eq!(kept.find(3, 9), Some([3; 64]));
        kept.drop_unused(UnixTime(100), 10, 5);
        assert_eq!((kept.len(), kept.find(3, 10).is_some()), (1, true));
    }
}
