//! The hashes of a name's suffixes, and the seed of all hashes.
//!
//! **Invariants**: names that differ in ASCII case only have the same hash; the seed of a process never changes after the first
//! hash.
//! **Not here**: the tables that hashes index ([`crate::zone`]).

use std::sync::atomic::{AtomicU64, Ordering};

use arrayvec::ArrayVec;

use super::{MAX_LABELS, MAX_NAME_LEN, Name, Tail};

/// Maximum number of words of eight bytes in a name.
const MAX_WORDS: usize = MAX_NAME_LEN.div_ceil(8);

/// Offsets and hashes of the suffixes of a name.
///
/// The name is read once, eight bytes at a time from its end, so that the hash of any ancestor takes one more step. Hashes
/// ignore ASCII case. A hash begins with a seed that is drawn at start ([`seed_hashes`]), because another party may choose
/// the names of a zone: the primary of a transferred zone, or the tenants in a zone of our own. With a known seed, such a
/// party could choose names that all have one hash, and a table would compare these names one by one.
///
/// The longest suffixes may have been left out ([`Suffixes::fill_tail`]). Then only their number is known.
#[derive(Debug)]
pub struct Suffixes {
    /// The offset of each suffix: the whole name first, the root last. The offset of a suffix that was left out has no
    /// meaning.
    offsets: [u8; MAX_LABELS + 1],
    /// The number of labels.
    labels: usize,
    /// The number of labels of the longest suffix that was not left out.
    known: usize,
    /// The words of the name from its end, without the case of letters, each with the hash of the words behind it. In the
    /// last word, only the upper bytes may belong to the name.
    steps: ArrayVec<(u64, u64), { MAX_WORDS + 1 }>,
    /// The bytes of the name.
    len: usize,
}

impl Suffixes {
    /// Room for the suffixes of a name, to be filled in place, because moving it costs as much as filling it.
    #[inline]
    pub fn new() -> Self {
        Suffixes { offsets: [0; MAX_LABELS + 1], labels: 0, known: 0, steps: ArrayVec::new(), len: 0 }
    }

    /// Fills in the suffixes of a name, and replaces those of another.
    pub(crate) fn fill(&mut self, name: Name<'_>) {
        self.fill_tail(name, Tail::WHOLE);
    }

    /// As [`Suffixes::fill`], without the suffixes that start before the tail that was read with the name.
    ///
    /// It loads the seed itself and is not inlined, so that the seed is not another argument of a call.
    #[inline(never)]
    pub(crate) fn fill_tail(&mut self, name: Name<'_>, tail: Tail) {
        self.fill_seeded(name, tail, seed());
    }

    #[inline(always)]
    fn fill_seeded(&mut self, name: Name<'_>, tail: Tail, seed: u64) {
        let octets = name.0;
        let (mut at, before) = (usize::from(tail.start), usize::from(tail.before));
        let mut labels = before;
        for offset in &mut self.offsets[before..] {
            *offset = at as u8;
            match octets[at] {
                0 => break,
                len => at += 1 + usize::from(len),
            }
            labels += 1;
        }
        (self.labels, self.known, self.len) = (labels, labels - before, octets.len());
        let octets = &octets[usize::from(tail.start)..];
        self.steps.clear();
        let mut hash = seed;
        let words = octets.rchunks_exact(8);
        let first = words.remainder();
        for word in words {
            let word = without_case(u64::from_le_bytes(word.try_into().expect("a chunk has eight bytes")));
            self.steps.push((word, hash));
            hash = mix(hash ^ word);
        }
        let word = match octets.first_chunk() {
            Some(_) if first.is_empty() => 0,
            Some(word) => u64::from_le_bytes(*word) << (64 - 8 * first.len()),
            None => first.iter().rev().fold(0, |word, octet| word << 8 | u64::from(*octet)) << (64 - 8 * first.len()),
        };
        self.steps.push((without_case(word), hash));
    }

    /// Tells whether the longest suffixes were left out.
    #[inline]
    pub(crate) fn is_partial(&self) -> bool {
        self.known < self.labels
    }

    /// The number of labels, the root not counted.
    #[inline]
    pub(crate) fn labels(&self) -> usize {
        self.labels
    }

    /// The number of labels of the longest suffix that can be looked up: all, or as many as the tail has.
    #[inline]
    pub(crate) fn known(&self) -> usize {
        self.known
    }

    /// The offset in the name's bytes of the suffix of `labels` labels, which must not have been left out.
    #[inline]
    pub(crate) fn start(&self, labels: usize) -> usize {
        debug_assert!(labels <= self.known, "the suffix of {labels} labels was left out");
        usize::from(self.offsets[self.labels - labels])
    }

    /// The suffix of `labels` labels; `name` is the name that was filled in.
    #[inline]
    pub(crate) fn suffix<'n>(&self, name: Name<'n>, labels: usize) -> Name<'n> {
        Name(&name.0[self.start(labels)..])
    }

    /// The hash of the suffix of `labels` labels.
    #[inline]
    pub fn hash(&self, labels: usize) -> u64 {
        let len = self.len - self.start(labels);
        let (whole, rest) = (len / 8, len % 8);
        let (word, hash) = self.steps[whole];
        let word = if rest == 0 { 0 } else { word >> (64 - 8 * rest) };
        mix(hash ^ word.rotate_left(5) ^ len as u64)
    }
}

impl Default for Suffixes {
    fn default() -> Self {
        Suffixes::new()
    }
}

/// Start value of hashes if no seed is drawn: in tests and benches, which compare counts of instructions.
const DEFAULT_SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// Start value of hashes; 0 until the first hash is made or a seed is set. It never changes after that, because tables
/// depend on it.
///
/// The process has one seed instead of one for each table, because the hashes of a query's name are made once for all
/// tables. No answer depends on it. It costs a query one load.
static SEED: AtomicU64 = AtomicU64::new(0);

/// Sets the start value of hashes of names in the whole process; `false` if another value is in use already.
pub fn seed_hashes(seed: u64) -> bool {
    // 0 means that no seed is set.
    let seed = seed.max(1);
    SEED.compare_exchange(0, seed, Ordering::Relaxed, Ordering::Relaxed).map_or_else(|kept| kept == seed, |_| true)
}

#[inline]
fn seed() -> u64 {
    match SEED.load(Ordering::Relaxed) {
        0 => keep_seed(),
        seed => seed,
    }
}

/// Sets the default seed, unless another thread has set a seed.
#[cold]
fn keep_seed() -> u64 {
    seed_hashes(DEFAULT_SEED);
    SEED.load(Ordering::Relaxed)
}

/// Mixes 64 bits so that each bit of the result depends on all.
#[inline]
fn mix(bits: u64) -> u64 {
    let product = u128::from(bits) * 0xff51_afd7_ed55_8ccd;
    (product as u64) ^ ((product >> 64) as u64)
}

/// Removes the difference between `A`–`Z` and `a`–`z` from eight bytes.
///
/// It is removed from all bytes, so some other bytes become the same, such as `@` and a backtick, or lengths that are 32
/// apart. A hash may do so: names found by a hash are compared, and names that differ in nothing else are rare.
#[inline]
fn without_case(word: u64) -> u64 {
    word | 0x2020_2020_2020_2020
}

#[cfg(test)]
mod tests;
