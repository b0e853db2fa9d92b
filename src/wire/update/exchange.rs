//! Updates between the servers of a zone, which carry the tokens of challenges, and the question for these tokens.
//!
//! An entry of a token is one TXT record at its owner, of several character-strings: the token, the count and the server of
//! its version, its state, and the name of its credential, which takes the rest. The TTL is the time in seconds that the entry
//! has left, so that no clock is compared with that of another server. An update without records is a greeting.
//!
//! **Invariants**: reading returns the entries that were written; a record of another form is no entry.
//! **Not here**: the sockets (acme), the rules for merging entries ([`crate::challenge`]).

use super::super::ask::{is_reply_to, question};
use super::super::decode::OPCODE_UPDATE;
use super::super::record::HEADER_LEN;
use super::{UpdateRecord, record};
use crate::base::name::Name;
use crate::base::rr::{Class, Rcode, Rtype};
use crate::base::time::{Ttl, UnixTime};
use crate::challenge::{ChallengeEntry, ChallengeKey, ChallengeState, ChallengeToken, ChallengeVersion, LIFE_SECS};
use crate::zone::{Record, Records};

/// The most entries of a message. Each takes up to 700 bytes, and a message has 65,535.
pub(crate) const MAX_ENTRIES: usize = 64;

/// The longest character-string (RFC 1035 §3.3).
const MAX_STRING: usize = 255;

/// The words of the states.
const STATES: [(ChallengeState, &[u8]); 2] = [(ChallengeState::Set, b"set"), (ChallengeState::Removed, b"removed")];

/// An entry by another server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedEntry {
    /// The credential, owner and token.
    pub key: ChallengeKey,
    /// The version.
    pub version: ChallengeVersion,
    /// The state.
    pub state: ChallengeState,
    /// The time in seconds until the entry ends.
    pub left: u64,
}

impl ReceivedEntry {
    /// The entry by the clock of this server.
    pub fn at(self, now: UnixTime) -> (ChallengeKey, ChallengeEntry) {
        let until = UnixTime(now.0.saturating_add(self.left));
        (self.key, ChallengeEntry { version: self.version, state: self.state, until })
    }
}

/// An unsigned update with entries of one zone, [`MAX_ENTRIES`] at most. Without entries it is a greeting.
pub(crate) fn entries_message(
    apex: Name<'_>,
    entries: &[(ChallengeKey, ChallengeEntry)],
    now: UnixTime,
    id: u16,
) -> Vec<u8> {
    let mut message = question(apex, Rtype::SOA, id);
    message[2] = OPCODE_UPDATE << 3;
    message[8..10].copy_from_slice(&(entries.len() as u16).to_be_bytes());
    let mut records = Records::default();
    for (key, entry) in entries {
        let ttl = Ttl(entry.until.0.saturating_sub(now.0).min(LIFE_SECS) as u32);
        records.push(Record { owner: key.owner.as_name(), rtype: Rtype::TXT, ttl, rdata: &rdata(key, entry) });
    }
    message.extend_from_slice(records.as_wire());
    message
}

fn rdata(key: &ChallengeKey, entry: &ChallengeEntry) -> Vec<u8> {
    let (_, state) = STATES[usize::from(entry.state == ChallengeState::Removed)];
    let count = entry.version.count.to_string();
    let mut rdata = Vec::new();
    let strings = [key.token.as_str().as_bytes(), count.as_bytes(), entry.version.server.as_bytes(), state];
    for string in strings.into_iter().chain(key.credential.as_bytes().chunks(MAX_STRING)) {
        rdata.push(string.len() as u8);
        rdata.extend_from_slice(string);
    }
    rdata
}

/// The entry of a record; `None` if it is none.
pub(super) fn entry(record: &UpdateRecord<'_>) -> Option<ReceivedEntry> {
    if (record.class, record.rtype) != (Class::IN, Rtype::TXT) {
        return None;
    }
    let mut rest = record.rdata;
    let mut string = || {
        let (len, after) = rest.split_first()?;
        let (string, after) = after.split_at_checked(usize::from(*len))?;
        rest = after;
        Some(string)
    };
    let token = ChallengeToken::parse(string()?)?;
    let count = std::str::from_utf8(string()?).ok()?.parse().ok()?;
    let server = std::str::from_utf8(string()?).ok().filter(|server| !server.is_empty())?;
    let state = string()?;
    let (state, _) = *STATES.iter().find(|(_, word)| *word == state)?;
    let mut credential = Vec::new();
    while let Some(more) = string() {
        credential.extend_from_slice(more);
    }
    if !rest.is_empty() || credential.is_empty() {
        return None;
    }
    let credential = String::from_utf8(credential).ok()?;
    Some(ReceivedEntry {
        key: ChallengeKey { credential: credential.into(), owner: record.owner.clone(), token },
        version: ChallengeVersion { count, server: server.into() },
        state,
        left: u64::from(record.ttl).min(LIFE_SECS),
    })
}

/// The answer of a server to the question for tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AnsweredTokens {
    /// All tokens at the owner.
    All(Vec<ChallengeToken>),
    /// The tokens do not fit into a datagram.
    Truncated,
    /// The server has no answer for this name, so that resolvers ask another one.
    NoAnswer(Rcode),
}

/// The tokens in the reply to a question of [`question`]; `None` if the message is no reply to it.
pub(crate) fn answered_tokens(question: &[u8], message: &[u8]) -> Option<AnsweredTokens> {
    const TC: u8 = 0x02;
    if !is_reply_to(question, message) {
        return None;
    }
    match Rcode(u16::from(message[3] & 0x0f)) {
        // A name that does not exist has no tokens.
        Rcode::NOERROR | Rcode::NXDOMAIN => {}
        rcode => return Some(AnsweredTokens::NoAnswer(rcode)),
    }
    if message[2] & TC != 0 {
        return Some(AnsweredTokens::Truncated);
    }
    let header: &[u8; HEADER_LEN] = message.first_chunk()?;
    let mut at = question.len();
    let mut tokens = Vec::new();
    for _ in 0..u16::from_be_bytes([header[6], header[7]]) {
        let record = record(message, &mut at)?;
        tokens.extend((record.rtype == Rtype::TXT).then(|| ChallengeToken::from_txt(record.rdata)).flatten());
    }
    Some(AnsweredTokens::All(tokens))
}

#[cfg(test)]
mod tests;
