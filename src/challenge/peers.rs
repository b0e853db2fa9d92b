//! The exchange of tokens with another server: the entries that it may lack.
//!
//! Each server sends a peer every entry that the peer has not acknowledged, entries of other peers among them, so that an
//! entry arrives by any way that is open. A server that starts greets its peers, and each of these then sends all
//! that it has: the disk of the one that starts may be lost.
//!
//! **Invariants**: an entry is sent again until it is acknowledged; after a greeting, everything is sent; an entry that the
//! peer has acknowledged is not sent again, so that two servers do not send one entry to and fro.
//! **Not here**: messages ([`crate::wire::update`]), connections (acme).

use std::collections::BTreeMap;

use super::{ChallengeEntry, ChallengeKey, ChallengeState, ChallengeStore, ChallengeVersion};
use crate::base::name::NameBuf;

/// The entries that a peer has acknowledged.
#[derive(Clone, Debug, Default)]
pub struct PeerKnowledge {
    known: BTreeMap<ChallengeKey, (ChallengeVersion, ChallengeState)>,
    /// The number of greetings by the peer.
    greetings: u64,
}

/// The entries to send to a peer.
#[derive(Clone, Debug)]
pub struct OwedEntries {
    /// The entries.
    pub entries: Vec<(ChallengeKey, ChallengeEntry)>,
    greetings: u64,
}

impl PeerKnowledge {
    /// The entries of a store at the owners for which `is_meant` is true that the peer has not acknowledged, `most` at most.
    pub fn owed(&mut self, store: &ChallengeStore, most: usize, is_meant: impl Fn(&NameBuf) -> bool) -> OwedEntries {
        // Entries that are gone here end at the peer by their own time.
        self.known.retain(|key, _| store.entry(key).is_some());
        let is_known = |key: &ChallengeKey, entry: &ChallengeEntry| {
            self.known.get(key).is_some_and(|(version, state)| (version, *state) == (&entry.version, entry.state))
        };
        let lacking = store.entries().filter(|(key, entry)| is_meant(&key.owner) && !is_known(key, entry));
        let entries = lacking.take(most).map(|(key, entry)| (key.clone(), entry.clone())).collect();
        OwedEntries { entries, greetings: self.greetings }
    }

    /// Notes that the peer has acknowledged entries. An acknowledgement from before the last greeting does not count.
    pub fn note_acknowledged(&mut self, owed: OwedEntries) {
        if owed.greetings == self.greetings {
            let known = |(key, entry): (ChallengeKey, ChallengeEntry)| (key, (entry.version, entry.state));
            self.known.extend(owed.entries.into_iter().map(known));
        }
    }

    /// Notes a greeting: the peer may have lost all entries.
    pub fn note_greeting(&mut self) {
        self.known.clear();
        self.greetings += 1;
    }
}

#[cfg(test)]
mod tests;
