//! The key of a fleet, and the seal that it puts on documents.
//!
//! A sealed document is JSON: `{"mac":"…","document":{…}}`. The MAC is HMAC-SHA256 by the key of the fleet over the name of
//! the object and the bytes of the document, so that no document passes for that of another server.
//!
//! **Invariants**: a key is never shown; the comparison of a MAC takes the same time wherever a wrong one differs.
//! **Not here**: the content of documents ([`super::ServerDocument`]), the file of the key (load).
//!
//! RFC 2104 (HMAC).

use std::fmt;

use data_encoding::HEXLOWER_PERMISSIVE;
use ring::hmac;

use super::MAX_DOCUMENT_LEN;
use crate::base::text::hex;

/// The bytes before the MAC, between it and the document, and after the document.
const FRAME: [&str; 3] = ["{\"mac\":\"", "\",\"document\":", "}"];

/// The length of a MAC in hexadecimal digits.
const MAC_LEN: usize = 64;

/// The key that all servers of a fleet have.
#[derive(Clone)]
pub(crate) struct FleetKey(hmac::Key);

impl fmt::Debug for FleetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FleetKey")
    }
}

impl FleetKey {
    /// Parses 64 hexadecimal digits; `None` for another text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digits = text.trim();
        if digits.len() != 64 {
            return None;
        }
        Some(FleetKey(hmac::Key::new(hmac::HMAC_SHA256, &from_hex(digits)?)))
    }

    /// Signs bytes as the content of the object of this name.
    fn sign(&self, object: &str, bytes: &[u8]) -> hmac::Tag {
        let mut context = self.context(object);
        context.update(bytes);
        context.sign()
    }

    fn context(&self, object: &str) -> hmac::Context {
        let mut context = hmac::Context::with_key(&self.0);
        // No name of an object has a zero byte, so that name and content cannot be taken for another pair.
        context.update(object.as_bytes());
        context.update(&[0]);
        context
    }

    /// Puts JSON in a frame with its MAC.
    pub(crate) fn seal(&self, object: &str, json: &str) -> Vec<u8> {
        let mac = hex(self.sign(object, json.as_bytes()).as_ref());
        [FRAME[0], &mac, FRAME[1], json, FRAME[2]].concat().into_bytes()
    }

    /// The JSON in a frame whose MAC is right.
    pub(crate) fn open<'b>(&self, object: &str, bytes: &'b [u8]) -> Result<&'b [u8], DocumentFault> {
        if bytes.len() > MAX_DOCUMENT_LEN {
            return Err(DocumentFault::TooLong);
        }
        let framed = || {
            let rest = bytes.trim_ascii_end().strip_prefix(FRAME[0].as_bytes())?;
            let (mac, rest) = rest.split_at_checked(MAC_LEN)?;
            let json = rest.strip_prefix(FRAME[1].as_bytes())?.strip_suffix(FRAME[2].as_bytes())?;
            Some((from_hex(std::str::from_utf8(mac).ok()?)?, json))
        };
        let (mac, json) = framed().ok_or(DocumentFault::Broken)?;
        let message = [object.as_bytes(), &[0], json].concat();
        hmac::verify(&self.0, &message, &mac).map_err(|_| DocumentFault::Forged)?;
        Ok(json)
    }
}

/// The reason why a document changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DocumentFault {
    /// It is longer than [`MAX_DOCUMENT_LEN`].
    TooLong,
    /// It has no frame, because it was cut or another program wrote it.
    Broken,
    /// Its MAC is not that of the fleet's key.
    Forged,
    /// Its MAC is right, but its content cannot be read. A later version may have written it.
    Unreadable,
    /// It is the document of another server.
    OtherServer,
    /// It is older than the last document of its server.
    Replayed,
    /// Its changes are further ahead of this server's clock than [`super::MAX_AHEAD_MS`].
    Ahead,
    /// The fleet has [`super::MAX_SERVERS`] servers already.
    TooMany,
    /// It was read before, and is not in the store any more.
    Gone,
}

impl fmt::Display for DocumentFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DocumentFault::TooLong => "it is longer than 256 KiB",
            DocumentFault::Broken => "it is cut, or not a document of a fleet",
            DocumentFault::Forged => "its signature is not by our `key-file`; compare the keys of both servers",
            DocumentFault::Unreadable => {
                "it is not in the format of this version; compare the versions of both servers"
            }
            DocumentFault::OtherServer => "it is that of another server",
            DocumentFault::Replayed => "it is older than one that was read before",
            DocumentFault::Ahead => "its changes are more than 10 minutes ahead of our clock; compare both clocks",
            DocumentFault::Gone => "it is not in the store any more",
            DocumentFault::TooMany => "there are 256 servers already; `pharos fleet forget` removes one that is gone",
        })
    }
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_64_hexadecimal_digits() {
        assert!(FleetKey::parse(&format!("{}\n", "0aF".repeat(21) + "0")).is_some());
        for wrong in ["", &"a".repeat(63), &"a".repeat(65), &"g".repeat(64), &"+1".repeat(32)] {
            assert!(FleetKey::parse(wrong).is_none(), "{wrong}");
        }
    }
}
