//! The tokens of all credentials, as a value that servers can exchange.
//!
//! Each token is kept by its credential, owner and value, with a version. The version counts the changes that its server knew
//! of (a Lamport clock), and the name of the server decides between equal counts. A removal is a version too. Two servers
//! that have seen the same changes in any order and any number of times have the same store.
//!
//! **Invariants**: taking in entries ([`ChallengeStore::take_in`]) is commutative, associative and idempotent; a change affects
//! the tokens of its own credential and owner alone; a credential has at most [`MAX_KEPT`] tokens at an owner, of which the
//! newest [`MAX_LIVE`] are live.
//! **Not here**: writing the store to the disk, sending it to other servers.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::{ChallengeToken, LIFE_SECS, MAX_KEPT, MAX_LIVE, MAX_UNION};
use crate::base::name::{Name, NameBuf};
use crate::base::time::UnixTime;

/// A token of a credential at an owner.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChallengeKey {
    /// The name of the credential.
    pub credential: Arc<str>,
    /// The owner.
    pub owner: NameBuf,
    /// The token.
    pub token: ChallengeToken,
}

/// The version of an entry. The order of the fields is that of versions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChallengeVersion {
    /// One more than that of every entry which the server had at the change.
    pub count: u64,
    /// The name of the server that took the change.
    pub server: Arc<str>,
}

/// The state of a token. A removal wins over a token of the same version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChallengeState {
    /// It was set.
    Set,
    /// It was removed.
    Removed,
}

/// The newest change of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChallengeEntry {
    /// The version.
    pub version: ChallengeVersion,
    /// The state.
    pub state: ChallengeState,
    /// The time at which the entry is dropped.
    pub until: UnixTime,
}

impl ChallengeEntry {
    /// The rank among entries of one token: the greatest is kept.
    ///
    /// Of two equal versions the one that ends first is kept, because the remaining time is sent in whole seconds, and no
    /// number of exchanges may make a token last longer.
    fn rank(&self) -> impl Ord {
        (&self.version, self.state, Reverse(self.until))
    }
}

/// The tokens that a removal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// One token.
    One(ChallengeToken),
    /// All tokens of the credential at the owner.
    All,
}

/// The tokens of all credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChallengeStore {
    entries: BTreeMap<ChallengeKey, ChallengeEntry>,
}

impl ChallengeStore {
    /// Sets a token. Beyond [`MAX_LIVE`], the oldest tokens of the credential at the owner are removed.
    pub fn set(
        &mut self,
        credential: &Arc<str>,
        owner: Name<'_>,
        token: ChallengeToken,
        server: &Arc<str>,
        now: UnixTime,
    ) {
        let key = ChallengeKey { credential: credential.clone(), owner: owner.to_owned(), token };
        self.note(key, ChallengeState::Set, server, now);
        let mut live = self.set_tokens(credential, owner);
        live.sort_by_key(|(_, version)| Reverse(*version));
        let displaced: Vec<_> = live.iter().skip(MAX_LIVE).map(|(token, _)| *token).collect();
        displaced.into_iter().for_each(|token| self.remove(credential, owner, Removal::One(token), server, now));
    }

    /// Removes tokens of a credential. A token that the credential has not set is left as it is.
    pub fn remove(&mut self, credential: &Arc<str>, owner: Name<'_>, which: Removal, server: &Arc<str>, now: UnixTime) {
        let is_meant = |token: &ChallengeToken| match which {
            Removal::One(one) => *token == one,
            Removal::All => true,
        };
        let meant: Vec<_> =
            self.set_tokens(credential, owner).into_iter().map(|(token, _)| token).filter(is_meant).collect();
        for token in meant {
            let key = ChallengeKey { credential: credential.clone(), owner: owner.to_owned(), token };
            self.note(key, ChallengeState::Removed, server, now);
        }
    }

    /// For each owner, the live tokens for which `counts` is true, each once, the newest first, [`MAX_UNION`] at most.
    pub fn unions<'s>(&'s self, counts: impl Fn(&ChallengeKey) -> bool) -> BTreeMap<&'s NameBuf, Vec<ChallengeToken>> {
        let is_set =
            |(key, entry): &(&ChallengeKey, &ChallengeEntry)| entry.state == ChallengeState::Set && counts(key);
        let mut newest_first: Vec<_> = self.entries.iter().filter(is_set).collect();
        newest_first.sort_by_key(|(_, entry)| Reverse(&entry.version));
        let mut live: BTreeMap<(&'s Arc<str>, &'s NameBuf), usize> = BTreeMap::new();
        let mut unions: BTreeMap<&'s NameBuf, Vec<ChallengeToken>> = BTreeMap::new();
        for (key, _) in newest_first {
            let of_credential = live.entry((&key.credential, &key.owner)).or_default();
            *of_credential += 1;
            let union = unions.entry(&key.owner).or_default();
            if *of_credential <= MAX_LIVE && union.len() < MAX_UNION && !union.contains(&key.token) {
                union.push(key.token);
            }
        }
        unions
    }

    /// Takes in one entry. An entry of the same token with a newer version stays.
    pub fn take_in(&mut self, key: ChallengeKey, entry: ChallengeEntry) {
        let (credential, owner) = (key.credential.clone(), key.owner.clone());
        match self.entries.get_mut(&key) {
            Some(known) if known.rank() >= entry.rank() => return,
            Some(known) => *known = entry,
            None => drop(self.entries.insert(key, entry)),
        }
        self.trim(&credential, owner.as_name());
    }

    /// Drops the entries whose time is over. An entry that would last longer than a new one, because the clock was set back,
    /// lasts as long as a new one. Returns true if an entry was dropped.
    pub fn expire(&mut self, now: UnixTime) -> bool {
        let before = self.entries.len();
        self.entries.retain(|_, entry| entry.until > now);
        for entry in self.entries.values_mut() {
            entry.until = entry.until.min(end_of_life(now));
        }
        self.entries.len() != before
    }

    /// The next time at which an entry is dropped; `None` if there is no entry.
    pub fn next_end(&self) -> Option<UnixTime> {
        self.entries.values().map(|entry| entry.until).min()
    }

    /// Keeps the entries for which `stays` is true, and returns true if one was dropped.
    pub fn retain(&mut self, stays: impl Fn(&ChallengeKey) -> bool) -> bool {
        let before = self.entries.len();
        self.entries.retain(|key, _| stays(key));
        self.entries.len() != before
    }

    /// All entries, by credential, owner and token.
    pub fn entries(&self) -> impl Iterator<Item = (&ChallengeKey, &ChallengeEntry)> {
        self.entries.iter()
    }

    /// The entry of a token; `None` if there is none.
    pub fn entry(&self, key: &ChallengeKey) -> Option<&ChallengeEntry> {
        self.entries.get(key)
    }

    /// The tokens of a credential at an owner that are set.
    pub fn tokens_of(&self, credential: &Arc<str>, owner: Name<'_>) -> Vec<ChallengeToken> {
        self.set_tokens(credential, owner).into_iter().map(|(token, _)| token).collect()
    }

    /// The number of live tokens of each credential that has any, at all owners.
    pub fn live(&self) -> BTreeMap<&str, usize> {
        let mut live = BTreeMap::new();
        for (key, _) in self.entries.iter().filter(|(_, entry)| entry.state == ChallengeState::Set) {
            *live.entry(&*key.credential).or_default() += 1;
        }
        live
    }

    fn note(&mut self, key: ChallengeKey, state: ChallengeState, server: &Arc<str>, now: UnixTime) {
        let last = self.entries.values().map(|entry| entry.version.count).max().unwrap_or(0);
        let version = ChallengeVersion { count: last.saturating_add(1), server: server.clone() };
        self.take_in(key, ChallengeEntry { version, state, until: end_of_life(now) });
    }

    /// The tokens of a credential at an owner that are set, with their versions.
    fn set_tokens(&self, credential: &Arc<str>, owner: Name<'_>) -> Vec<(ChallengeToken, &ChallengeVersion)> {
        let of = self.of(credential, owner).filter(|(_, entry)| entry.state == ChallengeState::Set);
        of.map(|(key, entry)| (key.token, &entry.version)).collect()
    }

    /// The entries of a credential at an owner.
    fn of(&self, credential: &Arc<str>, owner: Name<'_>) -> impl Iterator<Item = (&ChallengeKey, &ChallengeEntry)> {
        let least = ChallengeToken([0; super::TOKEN_LEN]);
        let first = ChallengeKey { credential: credential.clone(), owner: owner.to_owned(), token: least };
        let (credential, owner) = (first.credential.clone(), first.owner.clone());
        let from = self.entries.range((Bound::Included(first), Bound::Unbounded));
        from.take_while(move |(key, _)| key.credential == credential && key.owner == owner)
    }

    /// Drops the oldest entries of a credential at an owner beyond [`MAX_KEPT`].
    ///
    /// The greatest versions of a set of entries do not depend on the order in which the entries came, whatever their states.
    /// The rejected alternative, dropping by state, would make the outcome of merges depend on their order.
    fn trim(&mut self, credential: &Arc<str>, owner: Name<'_>) {
        let mut known: Vec<_> =
            self.of(credential, owner).map(|(key, entry)| (entry.version.clone(), key.clone())).collect();
        if known.len() <= MAX_KEPT {
            return;
        }
        known.sort_by(|one, other| other.cmp(one));
        for (_, key) in known.drain(MAX_KEPT..) {
            self.entries.remove(&key);
        }
    }
}

/// The end of an entry that is made now.
fn end_of_life(now: UnixTime) -> UnixTime {
    UnixTime(now.0.saturating_add(LIFE_SECS))
}

#[cfg(test)]
mod tests;
