//! The cache of results about blobs at mirrors and at canonical: tables of fixed size, whose entries expire.
//!
//! The key of a result is the mirror, the repository and the digest. The digest alone would not do: a registry serves a
//! blob only in the repositories that have it, so a result for one repository says nothing about another.
//!
//! A key is 128 bits of a keyed hash, so that an entry has a fixed size and a remote party cannot construct collisions.
//! Present and absent blobs have separate tables. A flood of digests that do not exist fills only the table of absent
//! blobs; an entry for a present blob can be evicted only by other present blobs.
//!
//! **Invariants**: pure; memory is fixed; an expired entry is never returned; the least recently used entry of a group is
//! evicted.
//! **Not here**: the requests ([`crate::http`]), the reply for a result ([`super::route`]).

use std::hash::Hasher as _;

use siphasher::sip128::{Hasher128 as _, SipHasher24};

use super::Digest;
use crate::base::time::Moment;
use crate::base::words::words;

/// The most blobs known to be at a mirror: 2 MiB at 32 bytes each. A large registry has some ten thousand blobs in use at
/// a time, and one server steers most of its clients to a handful of mirrors.
pub(crate) const MAX_HELD: usize = 1 << 16;

/// The most blobs known to be absent, or that could not be asked for: 256 KiB. Such an entry is useful for a minute only.
pub(crate) const MAX_LACKED: usize = 1 << 13;

/// The number of entries in a group, of which a new entry replaces one.
const WAYS: usize = 8;

/// The unit of time in an entry, in milliseconds: 32 bits of it are thirteen years.
const TICK_MS: u64 = 100;

words! {
    /// The result for a blob at a mirror, or for content at canonical.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Holding {
        /// The server has it.
        Has = "has",
        /// The server lacks it, or refuses to serve it.
        Lacks = "lacks",
        /// The server could not be asked, or its answer does not say.
        Unsaid = "unsaid",
    }
}

impl Holding {
    /// The result for the status of a `HEAD` to a mirror.
    ///
    /// Only 200 means that the mirror has the blob. A redirect counts as lacking: mirrors may redirect requests for blobs
    /// that are missing, and following could lead in a circle. A request for credentials counts as lacking too, because
    /// clients have no credentials for a mirror.
    pub(crate) fn of_status(status: u16) -> Self {
        match status {
            200 => Holding::Has,
            408 | 425 | 429 => Holding::Unsaid,
            300..=499 => Holding::Lacks,
            _ => Holding::Unsaid,
        }
    }
}

/// The key of one blob at one mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlobKey([u64; 2]);

impl BlobKey {
    /// The key of a blob at a mirror; `secret` is random for each process.
    pub(crate) fn new(secret: [u64; 2], mirror: &str, repository: &str, digest: &Digest<'_>) -> Self {
        let mut hasher = SipHasher24::new_with_keys(secret[0], secret[1]);
        for part in [mirror, repository, digest.algorithm, digest.encoded] {
            // The lengths are hashed too, because otherwise two mirrors could share a key.
            hasher.write_usize(part.len());
            hasher.write(part.as_bytes());
        }
        let hash = hasher.finish128();
        BlobKey([hash.h1, hash.h2])
    }

    /// A number that differs from blob to blob, to spread requests over addresses.
    pub(crate) fn spread(&self) -> usize {
        self.0[1] as usize
    }
}

/// The cache.
#[derive(Debug)]
pub(crate) struct KnownBlobs {
    held: KnownTable,
    lacked: KnownTable,
}

impl Default for KnownBlobs {
    fn default() -> Self {
        KnownBlobs { held: KnownTable::new(MAX_HELD), lacked: KnownTable::new(MAX_LACKED) }
    }
}

impl KnownBlobs {
    /// The result for a blob; `None` if it is unknown or expired.
    pub(crate) fn find(&mut self, key: BlobKey, now: Moment) -> Option<Holding> {
        let tick = tick(now);
        self.held.find(key, tick).or_else(|| self.lacked.find(key, tick))
    }

    /// Stores a result for `for_ms` milliseconds.
    pub(crate) fn learn(&mut self, key: BlobKey, holding: Holding, for_ms: u64, now: Moment) {
        let (now, until) = (tick(now), tick(Moment(now.0.saturating_add(for_ms))));
        let (table, other) = match holding {
            Holding::Has => (&mut self.held, &mut self.lacked),
            Holding::Lacks | Holding::Unsaid => (&mut self.lacked, &mut self.held),
        };
        other.forget(key);
        table.put(KnownEntry { key, until, used: now, holding: Some(holding) }, now);
    }

    /// The number of unexpired entries: for present blobs, and for all others.
    pub(crate) fn count(&self, now: Moment) -> (usize, usize) {
        (self.held.count(tick(now)), self.lacked.count(tick(now)))
    }
}

fn tick(at: Moment) -> u32 {
    u32::try_from(at.0 / TICK_MS).unwrap_or(u32::MAX)
}

#[derive(Clone, Copy, Debug)]
struct KnownEntry {
    key: BlobKey,
    /// The tick at which it expires.
    until: u32,
    /// The tick of its last use.
    used: u32,
    holding: Option<Holding>,
}

impl KnownEntry {
    const EMPTY: KnownEntry = KnownEntry { key: BlobKey([0; 2]), until: 0, used: 0, holding: None };

    /// Returns whether it has not expired. An empty entry has.
    fn is_live(&self, now: u32) -> bool {
        self.until > now
    }
}

/// Entries in groups of [`WAYS`]; a key belongs to one group.
#[derive(Debug)]
struct KnownTable {
    /// All entries. The list is empty until the first `put`, so that a server that asks no mirror needs no memory for it.
    entries: Vec<KnownEntry>,
    size: usize,
}

impl KnownTable {
    fn new(size: usize) -> Self {
        KnownTable { entries: Vec::new(), size }
    }

    fn group(&mut self, key: BlobKey) -> &mut [KnownEntry] {
        let at = key.0[0] as usize % (self.size / WAYS) * WAYS;
        self.entries.get_mut(at..at + WAYS).unwrap_or_default()
    }

    fn find(&mut self, key: BlobKey, now: u32) -> Option<Holding> {
        let entry = self.group(key).iter_mut().find(|entry| entry.key == key && entry.is_live(now))?;
        entry.used = now;
        entry.holding
    }

    fn forget(&mut self, key: BlobKey) {
        self.group(key).iter_mut().filter(|entry| entry.key == key).for_each(|entry| *entry = KnownEntry::EMPTY);
    }

    fn put(&mut self, new: KnownEntry, now: u32) {
        self.entries.resize(self.size, KnownEntry::EMPTY);
        let group = self.group(new.key);
        let place = |entry: &KnownEntry| (entry.key != new.key, entry.is_live(now), entry.used);
        if let Some(entry) = group.iter_mut().min_by_key(|entry| place(entry)) {
            *entry = new;
        }
    }

    fn count(&self, now: u32) -> usize {
        self.entries.iter().filter(|entry| entry.is_live(now)).count()
    }
}

/// The most requests per second to one mirror. A busy server meets a few new blobs a second; a flood of digests costs a
/// mirror no more than this.
pub const ASKED_PER_SECOND: u64 = 50;

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: u64 = 3_600_000;

    fn key(mirror: &str, repository: &str, encoded: &str) -> BlobKey {
        BlobKey::new([1, 2], mirror, repository, &Digest { algorithm: "sha256", encoded })
    }

    fn random(number: u64) -> BlobKey {
        key("m", "r", &number.to_string())
    }

    #[test]
    fn a_blob_is_known_by_mirror_repository_and_digest_until_its_time_is_over() {
        let mut known = KnownBlobs::default();
        let one = key("m", "r", "a");
        known.learn(one, Holding::Has, HOUR_MS, Moment(0));
        for other in [key("n", "r", "a"), key("m", "s", "a"), key("m", "r", "b"), key("mr", "", "a")] {
            assert_eq!(known.find(other, Moment(0)), None);
        }
        assert_eq!(known.find(one, Moment(HOUR_MS - TICK_MS)), Some(Holding::Has));
        assert_eq!(known.find(one, Moment(HOUR_MS)), None);
    }

    #[test]
    fn the_last_finding_counts() {
        let mut known = KnownBlobs::default();
        for holding in [Holding::Has, Holding::Lacks, Holding::Unsaid, Holding::Has] {
            known.learn(random(7), holding, HOUR_MS, Moment(1000));
            assert_eq!(known.find(random(7), Moment(2000)), Some(holding));
            assert_eq!(known.count(Moment(2000)), if holding == Holding::Has { (1, 0) } else { (0, 1) });
        }
    }

    #[test]
    fn a_flood_of_what_is_not_there_neither_grows_nor_crowds_out_what_is() {
        let mut known = KnownBlobs::default();
        for number in 0..20_000 {
            known.learn(random(number), Holding::Has, HOUR_MS, Moment(0));
        }
        let held = |known: &mut KnownBlobs| {
            (0..20_000).filter(|number| known.find(random(*number), Moment(5000)).is_some()).count()
        };
        let before = held(&mut known);
        // A few groups were full already.
        assert!(before > 19_950, "{before}");
        for number in 1_000_000..1_500_000 {
            known.learn(random(number), Holding::Lacks, 60_000, Moment(1000));
        }
        assert_eq!(held(&mut known), before);
        assert!(known.count(Moment(5000)).1 <= MAX_LACKED);
    }

    #[test]
    fn what_is_used_stays_when_as_many_again_are_learnt() {
        let mut known = KnownBlobs::default();
        for number in 0..1000 {
            known.learn(random(number), Holding::Has, HOUR_MS, Moment(0));
        }
        for number in 0..3 * MAX_HELD as u64 {
            let now = Moment(1000 + number);
            known.learn(random(1_000_000 + number), Holding::Has, HOUR_MS, now);
            known.find(random(number % 1000), now);
        }
        let left = (0..1000).filter(|number| known.find(random(*number), Moment(HOUR_MS / 2)).is_some()).count();
        assert!(left > 980, "{left}");
    }

    #[test]
    fn only_a_200_says_that_it_is_there() {
        let of = Holding::of_status;
        assert!((100..600).all(|status| (of(status) == Holding::Has) == (status == 200)));
        for status in [301, 302, 307, 308, 401, 403, 404, 410] {
            assert_eq!(of(status), Holding::Lacks, "{status}");
        }
        for status in [206, 408, 429, 500, 502, 503] {
            assert_eq!(of(status), Holding::Unsaid, "{status}");
        }
    }
}
