//! A ring of copied responses, from one thread that answers to the one that writes.
//!
//! The ring has words and not slots, so that a short response takes little of it. The words are atomic, because a ring of plain
//! memory between threads would need `unsafe`; a relaxed store costs what a plain one does.
//!
//! **Invariants**: one thread adds and one removes; adding never waits and never allocates; if there is no room, nothing is
//! added.
//! **Not here**: the parts of a copy ([`crate::dnstap`]).

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::super::Counter;

/// The words of a ring, a power of two: 512 KiB. At 100,000 responses of 250 bytes a second it lasts 20 ms, twice the interval
/// at which the writer looks at it.
pub(super) const RING_WORDS: usize = 1 << 16;

/// The parts of a copy: the facts, the apex of the zone, the name of the mirror, and the message.
pub(super) const PARTS: usize = 4;

const WORD: usize = 8;

/// A ring, and the counts of the thread that adds.
///
/// The counts are on the cache lines of the ring, so that threads do not wait for each other's.
#[repr(align(128))]
#[derive(Debug, Default)]
pub(super) struct TapRing {
    words: OnceLock<Box<[AtomicU64]>>,
    /// The words added so far; the thread that adds writes it.
    added: AtomicUsize,
    /// Copies that were dropped because the ring was full.
    pub(super) full: Counter,
    /// Copies that were not made because no reader was connected.
    pub(super) unread: Counter,
    removed: Removed,
}

/// The words removed so far; the thread that writes frames writes it. On cache lines of its own.
#[repr(align(128))]
#[derive(Debug, Default)]
struct Removed(AtomicUsize);

impl TapRing {
    /// Allocates the words, unless that is done.
    pub(super) fn prepare(&self) {
        self.words.get_or_init(|| (0..RING_WORDS).map(|_| AtomicU64::new(0)).collect());
    }

    /// True if it has no copies.
    pub(super) fn is_empty(&self) -> bool {
        self.added.load(Ordering::Acquire) == self.removed.0.load(Ordering::Relaxed)
    }

    /// Adds a copy. Only one thread may do this. Returns false if there is no room.
    pub(super) fn add(&self, parts: [&[u8]; PARTS]) -> bool {
        let Some(words) = self.words.get() else { return false };
        let need = 1 + parts.iter().map(|part| part.len().div_ceil(WORD)).sum::<usize>();
        let mut at = self.added.load(Ordering::Relaxed);
        // Acquire: the words that were removed have been read.
        if need > words.len() - at.wrapping_sub(self.removed.0.load(Ordering::Acquire)) {
            return false;
        }
        let mut put = |word: u64| {
            words[at % RING_WORDS].store(word, Ordering::Relaxed);
            at = at.wrapping_add(1);
        };
        // A part has at most 65,535 bytes: it is a message, or shorter.
        put(parts.iter().fold(0, |lens, part| lens << 16 | part.len() as u64));
        for part in parts {
            let (whole, rest) = part.as_chunks::<WORD>();
            whole.iter().for_each(|bytes| put(u64::from_le_bytes(*bytes)));
            if !rest.is_empty() {
                let mut bytes = [0; WORD];
                bytes[..rest.len()].copy_from_slice(rest);
                put(u64::from_le_bytes(bytes));
            }
        }
        // Release: a thread that sees the count sees the words.
        self.added.store(at, Ordering::Release);
        true
    }

    /// Takes the next copy in place of the bytes of `parts`. Only one thread may do this. Returns false if there is none.
    pub(super) fn take(&self, parts: &mut [Vec<u8>; PARTS]) -> bool {
        let Some(words) = self.words.get() else { return false };
        let mut at = self.removed.0.load(Ordering::Relaxed);
        if at == self.added.load(Ordering::Acquire) {
            return false;
        }
        let mut next = || {
            let word = words[at % RING_WORDS].load(Ordering::Relaxed);
            at = at.wrapping_add(1);
            word
        };
        let lens = next();
        for (part, shift) in parts.iter_mut().zip([48, 32, 16, 0]) {
            let len = usize::from((lens >> shift) as u16);
            part.clear();
            for _ in 0..len.div_ceil(WORD) {
                part.extend_from_slice(&next().to_le_bytes());
            }
            part.truncate(len);
        }
        self.removed.0.store(at, Ordering::Release);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring() -> TapRing {
        let ring = TapRing::default();
        ring.prepare();
        ring
    }

    #[test]
    fn copies_come_out_as_they_went_in_and_a_full_ring_takes_none() {
        let (ring, long) = (ring(), vec![7; 65_535]);
        let mut taken: [Vec<u8>; PARTS] = Default::default();
        // Several times around the ring.
        for round in 0..30u8 {
            let parts = [&[round; 3][..], b"", &long[..usize::from(round) * 9], &long];
            let mut count = 0;
            while ring.add(parts) {
                count += 1;
            }
            assert!((6..=7).contains(&count), "512 KiB have {count} messages of 64 KiB");
            for _ in 0..count {
                assert!(ring.take(&mut taken));
                assert_eq!(taken, parts.map(<[u8]>::to_vec));
            }
            assert!(!ring.take(&mut taken));
        }
        assert!(!TapRing::default().add([b"", b"", b"", b""]), "a ring that is not prepared takes none");
    }

    #[test]
    fn a_reader_on_another_thread_sees_whole_copies_in_order() {
        let ring = ring();
        std::thread::scope(|scope| {
            let adding = scope.spawn(|| {
                for number in 0..100_000u32 {
                    let bytes = number.to_le_bytes().repeat(number as usize % 50);
                    while !ring.add([&number.to_le_bytes(), b"zone", &bytes, &bytes]) {
                        std::thread::yield_now();
                    }
                }
            });
            let mut taken: [Vec<u8>; PARTS] = Default::default();
            for number in 0..100_000u32 {
                while !ring.take(&mut taken) {
                    std::thread::yield_now();
                }
                let bytes = number.to_le_bytes().repeat(number as usize % 50);
                assert_eq!(taken, [number.to_le_bytes().to_vec(), b"zone".to_vec(), bytes.clone(), bytes]);
            }
            adding.join().unwrap();
        });
    }
}
