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
use crate::base::words::words;

/// The bytes before the MAC, between it and the document, and after the document.
const FRAME: [&str; 3] = ["{\"mac\":\"", "\",\"document\":", "}"];

/// The length of a key in bytes.
const KEY_LEN: usize = 32;

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
        let key = from_hex(text.trim()).filter(|key| key.len() == KEY_LEN)?;
        Some(FleetKey(hmac::Key::new(hmac::HMAC_SHA256, &key)))
    }

    /// Puts JSON in a frame with its MAC.
    pub(crate) fn seal(&self, object: &str, json: &str) -> Vec<u8> {
        let mac = hex(hmac::sign(&self.0, &signed_bytes(object, json.as_bytes())).as_ref());
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
        hmac::verify(&self.0, &signed_bytes(object, json), &mac).map_err(|_| DocumentFault::Forged)?;
        Ok(json)
    }
}

words! {
    /// The reason why a document changes nothing.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub(crate) enum DocumentFault: Display {
        /// It is longer than [`MAX_DOCUMENT_LEN`].
        TooLong = "it is longer than 256 KiB",
        /// It has no frame, because it was cut or another program wrote it.
        Broken = "it is cut, or not a document of a fleet",
        /// Its MAC is not that of the fleet's key.
        Forged = "its signature is not by our `key-file`; compare the keys of both servers",
        /// Its MAC is right, but its content cannot be read. A later version may have written it.
        Unreadable = "it is not in the format of this version; compare the versions of both servers",
        /// It is the document of another server.
        OtherServer = "it is that of another server",
        /// It is older than the last document of its server.
        Replayed = "it is older than one that was read before",
        /// Its changes are further ahead of this server's clock than [`super::MAX_AHEAD_MS`].
        Ahead = "its changes are more than 10 minutes ahead of our clock; compare both clocks",
        /// The fleet has [`super::MAX_SERVERS`] servers already.
        TooMany = "there are 256 servers already; `pharos fleet forget` removes one that is gone",
        /// It was read before, and is not in the store any more.
        Gone = "it is not in the store any more",
    }
}

/// The bytes under the MAC. No name of an object has a zero byte, so that name and content cannot be taken for another pair.
fn signed_bytes(object: &str, json: &[u8]) -> Vec<u8> {
    [object.as_bytes(), &[0], json].concat()
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
