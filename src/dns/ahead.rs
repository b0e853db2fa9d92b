//! Memory that a batch of queries will read, asked for before the first of them is answered.
//!
//! Each query then waits for what is far away while the others' is on its way, and not alone; and is answered from where its
//! way has come, so that none is gone twice.
//!
//! **Invariants**: there is a way for every datagram of the batch in hand, in their order, or none at all.
//! **Not here**: where that memory is ([`crate::snapshot::Way`]); what a query is ([`crate::wire`]).

use arrayvec::ArrayVec;

use crate::base::name::Suffixes;
use crate::process::sys::{self, Batch, Datagram, MAX_BATCH};
use crate::snapshot::{Snapshot, Way};
use crate::wire;

/// What a thread needs for it.
pub(super) struct Ahead {
    ways: ArrayVec<Way, MAX_BATCH>,
    suffixes: Suffixes,
}

impl Ahead {
    pub(super) fn new() -> Self {
        Ahead { ways: ArrayVec::new(), suffixes: Suffixes::new() }
    }

    /// Goes the way of every query of a batch through tables that are in no cache, and asks for what will be read there.
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
                Datagram::Whole { bytes, peer } => wire::peek(bytes, peer.ip()),
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
