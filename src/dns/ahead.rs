//! Prefetch of the memory that a batch of queries will read, before the first of them is answered.
//!
//! The cache misses of all queries of a batch then overlap, where each query would otherwise wait for its own. The answer
//! continues from the point that the prefetch reached, so that no table is searched twice.
//!
//! **Invariants**: there is a [`Way`] for every datagram of the batch in hand, in their order, or no [`Way`] at all.
//! **Not here**: the addresses of that memory ([`crate::snapshot::Way`]); decoding a query ([`crate::wire`]).

use arrayvec::ArrayVec;

use crate::base::name::Suffixes;
use crate::process::sys::{self, Batch, Datagram, MAX_BATCH};
use crate::snapshot::{Snapshot, Way};
use crate::wire;

/// The buffers of a thread for the prefetch.
pub(super) struct Ahead {
    ways: ArrayVec<Way, MAX_BATCH>,
    suffixes: Suffixes,
}

impl Ahead {
    pub(super) fn new() -> Self {
        Ahead { ways: ArrayVec::new(), suffixes: Suffixes::new() }
    }

    /// Searches the tables for every query of a batch, and prefetches the memory that the answers will read. Returns no [`Way`]
    /// if the tables are small enough for the cache.
    #[inline]
    pub(super) fn look(&mut self, batch: &Batch, snapshot: &Snapshot) -> &[Way] {
        self.ways.clear();
        if snapshot.is_far() {
            self.fetch(batch, snapshot);
        }
        &self.ways
    }

    #[inline(never)]
    fn fetch(&mut self, batch: &Batch, snapshot: &Snapshot) {
        let Ahead { ways, suffixes } = self;
        for datagram in batch.datagrams() {
            let inquiry = match datagram {
                Datagram::Whole { bytes, peer, .. } => wire::peek(bytes, peer.ip()),
                Datagram::TooLong | Datagram::None => None,
            };
            // A batch has no more datagrams than there is room for.
            ways.push(inquiry.map_or(Way::NONE, |inquiry| snapshot.approach(&inquiry, suffixes, &mut sys::prefetch)));
        }
        while !ways.iter().all(Way::is_over) {
            for way in &mut *ways {
                snapshot.advance(way, &mut sys::prefetch);
            }
        }
    }
}
