//! Memory that a batch of queries will read, asked for before the first of them is answered.
//!
//! Each query then waits for what is far away while the others' is on its way, and not alone.
//!
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

    /// Asks for what the queries of a batch will read of tables that are in no cache.
    #[inline(never)]
    pub(super) fn fetch(&mut self, batch: &Batch, snapshot: &Snapshot) {
        let Ahead { ways, suffixes } = self;
        ways.clear();
        for datagram in batch.datagrams() {
            if let Datagram::Whole { bytes, peer } = datagram
                && let Some(inquiry) = wire::peek(bytes, peer.ip())
            {
                // A batch has no more datagrams than there is room for.
                ways.push(snapshot.approach(&inquiry, suffixes, &mut sys::prefetch));
            }
        }
        while !ways.iter().all(Way::is_over) {
            for way in &mut *ways {
                snapshot.advance(way, &mut sys::prefetch);
            }
        }
    }
}
