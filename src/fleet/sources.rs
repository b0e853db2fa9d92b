//! Sources of networks that one server of a fleet fetches for all: their parts of a document, and the turn of each server.
//!
//! The servers that have a source are in an order of their own for each source, by rendezvous hashing. The first asks the
//! publisher when a fetch is due. The others use its check, and take its copy from the store. A later one asks the publisher only
//! if the ones before did not within some tenths of the interval.
//!
//! **Invariants**: pure; a check is told by the server alone that asked the publisher, because a check that is told again would
//! get younger at each hop, and no server would ask the publisher any more; ages are those of the server that checked, plus the
//! time since its document was heard, so that clocks need not agree.
//! **Not here**: the store (`sharing`), judging a copy (`serve`), the schedule (`refresh`).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::bundle::ContentDigest;

/// The most sources that a document names. Each server fetches further ones by itself.
pub(crate) const MAX_SOURCES: usize = 64;

/// The longest copy in the store, in bytes: four times MaxMind's database of cities, as for a file of a bundle. Each server
/// fetches a longer one by itself.
pub(crate) const MAX_SHARED_COPY_LEN: u64 = 256 << 20;

/// The waiting time of each further server, as a part of the interval.
const WAIT_PART: u64 = 10;

/// The most waiting times: a server waits for one interval at most.
const MAX_WAITS: u64 = 10;

/// The source at all servers, whatever its name: a digest of its kind and its URL, because a URL may have a secret in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(transparent)]
pub(crate) struct SourceKey(ContentDigest);

impl SourceKey {
    /// The key of a source.
    pub(crate) fn of(kind: &str, url: &str) -> Self {
        SourceKey(ContentDigest::of(format!("{kind}\0{url}").as_bytes()))
    }

    /// The place of a server in the order of this source.
    fn place(&self, server: &str) -> ContentDigest {
        ContentDigest::of(format!("{}\0{server}", self.0.as_str()).as_bytes())
    }
}

/// The part of a server's document about its sources with a `url`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub(crate) struct SourceReports(BTreeMap<SourceKey, SourceReport>);

/// One source of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct SourceReport {
    /// The copy that the server serves. `None` if it has none.
    pub(crate) copy: Option<SharedCopy>,
    /// The duration in milliseconds since the publisher told the server that this copy is the present one. `None` if the server
    /// knows that from another server.
    pub(crate) checked_ms: Option<u64>,
}

/// A copy, as it is on the disk of a server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct SharedCopy {
    /// The digest.
    pub(crate) sha256: ContentDigest,
    /// The length, in bytes.
    pub(crate) len: u64,
    /// True if the store has it.
    pub(crate) stored: bool,
}

impl SourceReports {
    /// The first [`MAX_SOURCES`] of these. Of two with one key, the first counts.
    pub(crate) fn new(reports: impl IntoIterator<Item = (SourceKey, SourceReport)>) -> Self {
        let mut all = BTreeMap::new();
        for (key, report) in reports {
            all.entry(key).or_insert(report);
        }
        // In the order of keys, so that all servers leave out the same ones.
        SourceReports(all.into_iter().take(MAX_SOURCES).collect())
    }

    /// The same with [`MAX_SOURCES`] at most.
    pub(crate) fn bounded(self) -> Self {
        SourceReports::new(self.0)
    }

    /// The report on a source.
    pub(crate) fn of(&self, key: &SourceKey) -> Option<&SourceReport> {
        self.0.get(key)
    }

    /// True if the copy of any source has this digest.
    pub(crate) fn names(&self, digest: &ContentDigest) -> bool {
        self.copies().any(|copy| copy.sha256 == *digest)
    }

    /// True if the server says that the store has this copy.
    pub(crate) fn stores(&self, digest: &ContentDigest) -> bool {
        self.copies().any(|copy| copy.stored && copy.sha256 == *digest)
    }

    fn copies(&self) -> impl Iterator<Item = &SharedCopy> {
        self.0.values().filter_map(|report| report.copy.as_ref())
    }

    /// True if later reports have no other copy than these, and no check since. An age that grows is no change.
    pub(crate) fn tells_the_same(&self, later: &Self) -> bool {
        let is_same = |(one, other): (&SourceReport, &SourceReport)| {
            let is_checked = match (one.checked_ms, other.checked_ms) {
                (Some(before), Some(now)) => now < before,
                (before, now) => before != now,
            };
            one.copy == other.copy && !is_checked
        };
        self.0.keys().eq(later.0.keys()) && self.0.values().zip(later.0.values()).all(is_same)
    }
}

/// A source at another server that was heard lately.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerSource<'d> {
    /// The name of the server.
    pub(crate) server: &'d str,
    /// Its report.
    pub(crate) report: &'d SourceReport,
    /// The age of its document in milliseconds.
    pub(crate) heard_ms: u64,
}

impl PeerSource<'_> {
    fn age_ms(&self) -> Option<u64> {
        Some(self.report.checked_ms?.saturating_add(self.heard_ms))
    }
}

/// A fetch of a source that is due at this server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DueSource<'d> {
    /// The source.
    pub(crate) key: &'d SourceKey,
    /// The name of this server.
    pub(crate) server: &'d str,
    /// The copy that this server serves. `None` if it has none.
    pub(crate) copy: Option<&'d ContentDigest>,
    /// The age in milliseconds of the last check that this server knows. `None` if it knows of none.
    pub(crate) age_ms: Option<u64>,
    /// The interval in milliseconds.
    pub(crate) every_ms: u64,
    /// The least time in milliseconds between the turns of two servers.
    pub(crate) apart_ms: u64,
    /// The time in milliseconds since the fetch is due.
    pub(crate) waited_ms: u64,
    /// The copies that this server could not take from the store.
    pub(crate) unusable: &'d BTreeSet<ContentDigest>,
}

/// The next step of a server whose fetch is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SourceStep {
    /// Ask the publisher.
    Ask,
    /// Look again after these milliseconds: it is the turn of another server.
    Wait(u64),
    /// Serve the copy of another server.
    Follow(PeerCopy),
}

/// The copy of another server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PeerCopy {
    /// The server.
    pub(crate) server: String,
    /// Its copy.
    pub(crate) copy: SharedCopy,
    /// The age of its check in milliseconds.
    pub(crate) age_ms: u64,
}

impl DueSource<'_> {
    /// The next step, by the servers that were heard lately and have the source.
    pub(crate) fn step(&self, peers: &[PeerSource<'_>]) -> SourceStep {
        let found = match self.copy {
            Some(copy) => self.later(copy, peers),
            None => self.first(peers),
        };
        if let Some(found) = found {
            return SourceStep::Follow(found);
        }
        let wait = match self.copy {
            Some(_) => self.wait_ms(self.rank(peers)),
            // A source without content is of no use.
            None => 0,
        };
        match wait.saturating_sub(self.waited_ms) {
            0 => SourceStep::Ask,
            rest => SourceStep::Wait(rest),
        }
    }

    /// The number of servers that come before this one.
    fn rank(&self, peers: &[PeerSource<'_>]) -> u64 {
        let own = self.key.place(self.server);
        peers.iter().filter(|peer| self.key.place(peer.server) < own).count() as u64
    }

    fn wait_ms(&self, rank: u64) -> u64 {
        (self.every_ms / WAIT_PART).max(self.apart_ms).saturating_mul(rank.min(MAX_WAITS))
    }

    /// The copy of the server that asked the publisher last, if that is less than an interval ago, and later than the check that
    /// this server knows.
    fn later(&self, own: &ContentDigest, peers: &[PeerSource<'_>]) -> Option<PeerCopy> {
        let checks = peers.iter().filter_map(|peer| Some((peer.age_ms()?, peer.server, peer.report.copy.as_ref()?)));
        let (age_ms, server, copy) = checks.min_by_key(|(age_ms, server, _)| (*age_ms, *server))?;
        let is_later = age_ms < self.every_ms && self.age_ms.is_none_or(|own| age_ms < own);
        let is_stored =
            || peers.iter().filter_map(|peer| peer.report.copy.as_ref()).any(|other| self.can_take(other, copy));
        let is_of_use = is_later && (copy.sha256 == *own || is_stored());
        is_of_use.then(|| PeerCopy { server: server.to_string(), copy: copy.clone(), age_ms })
    }

    fn can_take(&self, stored: &SharedCopy, wanted: &SharedCopy) -> bool {
        stored.stored
            && (&stored.sha256, stored.len) == (&wanted.sha256, wanted.len)
            && !self.unusable.contains(&wanted.sha256)
    }

    /// The copy of any server, for one without content. The one that was checked last comes first.
    fn first(&self, peers: &[PeerSource<'_>]) -> Option<PeerCopy> {
        let copies = peers.iter().filter_map(|peer| Some((peer, peer.report.copy.as_ref()?)));
        let stored = copies.filter(|(_, copy)| self.can_take(copy, copy));
        let (peer, copy) = stored.min_by_key(|(peer, _)| (peer.age_ms().unwrap_or(u64::MAX), peer.server))?;
        // A copy without a check of its server counts as due.
        let age_ms = peer.age_ms().unwrap_or(u64::MAX).min(self.every_ms);
        Some(PeerCopy { server: peer.server.to_string(), copy: copy.clone(), age_ms })
    }
}

#[cfg(test)]
mod tests;
