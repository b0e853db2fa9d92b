//! What is known of blobs at mirrors: a table of fixed size, and how long each thing may be believed.
//!
//! In come findings, each of one blob at one mirror; out comes what is still believed of it. A blob is known by mirror,
//! repository and digest: content is the digest's alone, but a registry gives a blob only in the repositories that have
//! it, so what was found in one says nothing for another.
//!
//! Keys are 128 bits of a keyed hash, so that an entry has a fixed size and nobody outside can choose two that collide.
//! What is there and what is not have tables of their own: a flood of digests that do not exist fills only the latter,
//! and what is there can be crowded out only by blobs that are there as well.
//!
//! **Invariants**: pure; memory is fixed; an entry beyond its time is as if it were not there; the one that was used
//! longest ago makes room.
//! **Not here**: asking ([`crate::http`]), what to do with an answer ([`super::route`]).

use std::hash::Hasher as _;

use siphasher::sip128::{Hasher128 as _, SipHasher24};

use super::Digest;
use crate::base::time::Moment;

/// Blobs known to be at a mirror: 1.5 MiB. A large registry has some ten thousand blobs in use at a time, and one server
/// steers most of its clients to a handful of mirrors.
pub const MAX_HELD: usize = 1 << 16;

/// Blobs known not to be there, or that could not be asked for: 192 KiB. They are of use for a minute only.
pub const MAX_LACKED: usize = 1 << 13;

/// Entries among which one is replaced.
const WAYS: usize = 8;

/// The unit of time in an entry, in milliseconds: 32 bits of it are thirteen years.
const TICK_MS: u64 = 100;

/// What a mirror said of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holding {
    /// It has it.
    Has,
    /// It does not, or would not give it.
    Lacks,
    /// It could not be asked, or did not say.
    Unsaid,
}

impl Holding {
    /// What the status of a `HEAD` says.
    ///
    /// Only a 200 counts. A mirror that redirects lacks the blob: that is what mirrors may do with what they lack, and
    /// whoever would follow might be led in a circle. Who asks for credentials lacks it too, for clients have none for it.
    pub fn of_status(status: u16) -> Self {
        match status {
            200 => Holding::Has,
            408 | 425 | 429 => Holding::Unsaid,
            300..=499 => Holding::Lacks,
            _ => Holding::Unsaid,
        }
    }
}

/// One blob at one mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlobKey([u64; 2]);

impl BlobKey {
    /// The key of a blob at a mirror; `secret` is the process's own.
    pub fn new(secret: [u64; 2], mirror: &str, repository: &str, digest: &Digest<'_>) -> Self {
        let mut hasher = SipHasher24::new_with_keys(secret[0], secret[1]);
        for part in [mirror, repository, digest.algorithm, digest.encoded] {
            // With their lengths, or two mirrors could share a key.
            hasher.write_usize(part.len());
            hasher.write(part.as_bytes());
        }
        let hash = hasher.finish128();
        BlobKey([hash.h1, hash.h2])
    }

    /// A number that differs from blob to blob, to spread them.
    pub fn spread(&self) -> usize {
        self.0[1] as usize
    }
}

/// All that is known.
#[derive(Debug)]
pub struct KnownBlobs {
    held: KnownTable,
    lacked: KnownTable,
}

impl Default for KnownBlobs {
    fn default() -> Self {
        KnownBlobs { held: KnownTable::new(MAX_HELD), lacked: KnownTable::new(MAX_LACKED) }
    }
}

impl KnownBlobs {
    /// What is believed of a blob; none where it is to be asked for.
    pub fn find(&mut self, key: BlobKey, now: Moment) -> Option<Holding> {
        let tick = tick(now);
        self.held.find(key, tick).or_else(|| self.lacked.find(key, tick))
    }

    /// Believes a finding for so long.
    pub fn learn(&mut self, key: BlobKey, holding: Holding, for_ms: u64, now: Moment) {
        let (now, until) = (tick(now), tick(Moment(now.0.saturating_add(for_ms))));
        let (table, other) = match holding {
            Holding::Has => (&mut self.held, &mut self.lacked),
            Holding::Lacks | Holding::Unsaid => (&mut self.lacked, &mut self.held),
        };
        other.forget(key);
        table.put(KnownEntry { key, until, used: now, holding: Some(holding) }, now);
    }

    /// How many blobs are believed to be at a mirror, and how many not.
    pub fn count(&self, now: Moment) -> (usize, usize) {
        (self.held.count(tick(now)), self.lacked.count(tick(now)))
    }
}

fn tick(at: Moment) -> u32 {
    u32::try_from(at.0 / TICK_MS).unwrap_or(u32::MAX)
}

#[derive(Clone, Copy, Debug)]
struct KnownEntry {
    key: BlobKey,
    /// When it ends.
    until: u32,
    /// When it was last of use.
    used: u32,
    holding: Option<Holding>,
}

impl KnownEntry {
    const EMPTY: KnownEntry = KnownEntry { key: BlobKey([0; 2]), until: 0, used: 0, holding: None };

    /// Whether it holds still; what was never written does not.
    fn is_live(&self, now: u32) -> bool {
        self.until > now
    }
}

/// Entries in groups of [`WAYS`]; a key belongs to one group.
#[derive(Debug)]
struct KnownTable {
    /// All of them, or none before the first is put: where nobody is asked, that takes no memory.
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

/// Questions a second to one mirror. A busy server meets a new blob a few times a second; a flood of digests costs a
/// mirror no more than this.
pub const ASKED_PER_SECOND: u64 = 50;

/// Whether something limited is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskGrant {
    /// There is; it is taken.
    Taken,
    /// Not now.
    Spent,
}

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
