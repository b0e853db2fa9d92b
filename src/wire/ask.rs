//! Questions of this server to another one, and the replies that belong to these.
//!
//! **Invariants**: a reply is read only if it has the ID and the question that was sent.
//! **Not here**: sockets ([`crate::process::datagram`]), transfers of zones ([`crate::transfer`]).
//!
//! RFC 5452 §9.1 (the match of a reply with its question).

use super::record::HEADER_LEN;
use crate::base::name::Name;
use crate::base::rr::{Class, Rtype};

/// A query without EDNS.
pub(crate) fn question(name: Name<'_>, qtype: Rtype, id: u16) -> Vec<u8> {
    let mut query = vec![0; HEADER_LEN];
    query[..2].copy_from_slice(&id.to_be_bytes());
    query[5] = 1;
    query.extend_from_slice(name.as_wire());
    query.extend_from_slice(&qtype.0.to_be_bytes());
    query.extend_from_slice(&Class::IN.0.to_be_bytes());
    query
}

/// True if a message is a reply to a query of [`question`].
pub(super) fn is_reply_to(query: &[u8], message: &[u8]) -> bool {
    const QR: u8 = 0x80;
    message.len() >= query.len()
        && message[..2] == query[..2]
        && message[2] & 0xf8 == QR | query[2] & 0x78
        && message[4..6] == query[4..6]
        && message[HEADER_LEN..query.len()].eq_ignore_ascii_case(&query[HEADER_LEN..])
}
