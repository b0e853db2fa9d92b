//! Copies of responses for dnstap: taken by the threads that answer, kept in rings until a task writes these.
//!
//! Each UDP thread has a ring of its own ([`Tap`]). Connections share as many rings as the machine has cores ([`SharedTap`]);
//! no more of their tasks run at once, so that one of these rings is free.
//!
//! **Invariants**: copying neither waits, allocates nor logs; a copy is complete or is dropped, which is counted; rings are
//! allocated before a snapshot asks for copies ([`Taps::prepare`]).
//! **Not here**: the bytes of dnstap ([`crate::dnstap`]), the connection to the reader ([`crate::tap`]), the responses that are
//! copied ([`TapTerms`]).

mod ring;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, TryLockError};

use ring::{PARTS, TapRing};

use super::{Collect, Counter, MetricsPage};
use crate::answer::Steering;
use crate::base::ends::SocketEnds;
use crate::base::lock::locked;
use crate::base::rr::Rcode;
pub use crate::dnstap::TapHttp;
use crate::dnstap::{SteeredFacts, TapCopy, TapFacts};
use crate::snapshot::{Snapshot, TapTerms};
use crate::wire::{Summary, Transport};

/// All rings, and the state of the reader.
#[derive(Debug)]
pub struct Taps {
    rings: Mutex<Rings>,
    state: Arc<TapState>,
    /// Frames that were written.
    pub(crate) written: Counter,
    /// Frames that could not be written.
    pub(crate) failed: Counter,
    /// Copies that were dropped because other tasks used all rings.
    crowded: Counter,
}

#[derive(Debug, Default)]
struct Rings {
    all: Vec<Arc<TapRing>>,
    /// True if new rings are allocated at once.
    is_prepared: bool,
}

/// The parts that all threads read.
#[derive(Debug)]
struct TapState {
    /// True while a reader takes frames.
    is_connected: AtomicBool,
    /// Returns the time in nanoseconds since 1970.
    clock: fn() -> u64,
}

/// A response to copy.
#[derive(Clone, Copy, Debug)]
pub struct TapReply<'r> {
    /// Its bytes.
    pub message: &'r [u8],
    /// Its summary.
    pub summary: &'r Summary,
    /// The snapshot that has answered.
    pub snapshot: &'r Snapshot,
    /// Both ends of the conversation.
    pub ends: SocketEnds,
    /// The transport.
    pub transport: Transport,
    /// The version of HTTP; `None` for other transports.
    pub http: Option<TapHttp>,
    /// The time at which the query was received, in nanoseconds since 1970.
    pub received_ns: u64,
}

/// The side of one thread.
#[derive(Debug)]
pub struct Tap {
    ring: Arc<TapRing>,
    state: Arc<TapState>,
    /// The responses until the next one of the sample.
    left: u32,
}

/// The side of many tasks.
#[derive(Clone, Debug)]
pub struct SharedTap(Arc<SharedRings>);

#[derive(Debug)]
struct SharedRings {
    all: Arc<Taps>,
    taps: Box<[Mutex<Tap>]>,
    /// The ring that is tried first.
    next: AtomicUsize,
    /// The responses so far, of those that may be copied.
    seen: AtomicU32,
}

impl Taps {
    /// No rings yet; `clock` returns the time in nanoseconds since 1970.
    pub fn new(clock: fn() -> u64) -> Arc<Self> {
        let state = Arc::new(TapState { is_connected: AtomicBool::new(false), clock });
        let (written, failed, crowded) = Default::default();
        Arc::new(Taps { rings: Mutex::default(), state, written, failed, crowded })
    }

    /// A ring for one thread.
    pub fn own(&self) -> Tap {
        let ring: Arc<TapRing> = Arc::default();
        let mut rings = locked(&self.rings);
        if rings.is_prepared {
            ring.prepare();
        }
        rings.all.push(ring.clone());
        Tap { ring, state: self.state.clone(), left: 0 }
    }

    /// Rings for tasks, of which no more than `most` run at once.
    pub fn shared(self: &Arc<Self>, most: usize) -> SharedTap {
        let taps = (0..most.max(1)).map(|_| Mutex::new(self.own())).collect();
        let (next, seen) = (AtomicUsize::new(0), AtomicU32::new(0));
        SharedTap(Arc::new(SharedRings { all: self.clone(), taps, next, seen }))
    }

    /// Allocates all rings. To be called before a snapshot that asks for copies is published.
    pub fn prepare(&self) {
        let mut rings = locked(&self.rings);
        rings.is_prepared = true;
        rings.all.iter().for_each(|ring| ring.prepare());
    }

    /// Notes whether a reader takes frames.
    pub fn set_connected(&self, is_connected: bool) {
        self.state.is_connected.store(is_connected, Relaxed);
    }
}

/// The side that takes copies. Only one may exist.
#[derive(Debug)]
pub(crate) struct TapTaker {
    taps: Arc<Taps>,
    parts: [Vec<u8>; PARTS],
    /// The ring that is looked at first.
    at: usize,
}

impl TapTaker {
    /// Takes copies of these rings.
    pub(crate) fn new(taps: Arc<Taps>) -> Self {
        TapTaker { taps, parts: Default::default(), at: 0 }
    }

    /// The next copy and its message, whose buffer may be changed. `None` if all rings are empty.
    pub(crate) fn take(&mut self) -> Option<(TapCopy<'_>, &mut Vec<u8>)> {
        let TapTaker { taps, parts, at } = self;
        let is_taken = {
            let rings = locked(&taps.rings);
            let count = rings.all.len();
            // Each ring in turn, so that a busy one does not fill the others.
            (0..count).any(|_| {
                *at = (*at + 1) % count;
                rings.all[*at].take(parts)
            })
        };
        let [facts, zone, mirror, message] = parts;
        let facts = TapFacts::read(facts).filter(|_| is_taken)?;
        Some((TapCopy { facts, zone, mirror }, message))
    }
}

impl Tap {
    /// True if copies of this thread wait to be written.
    pub fn has_copies(&self) -> bool {
        !self.ring.is_empty()
    }

    /// Copies a response, if the terms ask for it. `reply` is called only then, because its parts cost more than the question.
    #[inline]
    pub fn note<'r>(&mut self, terms: &TapTerms, summary: &Summary, reply: impl FnOnce() -> TapReply<'r>) {
        if !is_meant(terms, summary) {
            return;
        }
        if self.left > 0 {
            // A reload may have made the sample larger.
            self.left = self.left.min(terms.sample) - 1;
            return;
        }
        self.left = terms.sample - 1;
        self.copy(terms, &reply());
    }

    /// Out of line, so that a response that is not in the sample costs a few instructions.
    #[cold]
    #[inline(never)]
    fn copy(&mut self, terms: &TapTerms, reply: &TapReply<'_>) {
        if !self.state.is_connected.load(Relaxed) {
            self.ring.unread.increment();
            return;
        }
        let TapReply { message, summary, snapshot, ends, transport, http, received_ns } = *reply;
        let zone = summary.basis.zone.map_or(&[][..], |zone| snapshot.zones().zone(zone).apex().as_wire());
        let choice = summary.basis.steering.map(|Steering { horizon, family, decision }| {
            let choice = &snapshot.addresses(horizon, decision.plan, family).choice;
            let (location, vantage) = (decision.location.address, decision.location.vantage);
            (SteeredFacts { horizon, location, vantage, tier: choice.tier }, choice.mirrors.first())
        });
        let mirror = choice.and_then(|(_, mirror)| mirror).map(|id| snapshot.mirrors()[id.index()].name.as_bytes());
        let facts = TapFacts {
            ends,
            transport,
            http,
            received_ns,
            made_ns: (self.state.clock)(),
            clients: terms.clients,
            generation: snapshot.generation,
            outcome: summary.basis.outcome,
            steered: choice.map(|(steered, _)| steered),
        };
        if !self.ring.add([&facts.to_bytes(), zone, mirror.unwrap_or_default(), message]) {
            self.ring.full.increment();
        }
    }
}

impl SharedTap {
    /// True if copies of these tasks wait to be written.
    pub fn has_copies(&self) -> bool {
        self.0.taps.iter().any(|tap| locked(tap).has_copies())
    }

    /// A ring for one thread.
    pub(crate) fn own(&self) -> Tap {
        self.0.all.own()
    }

    /// As [`Tap::note`].
    #[inline]
    pub fn note<'r>(&self, terms: &TapTerms, summary: &Summary, reply: impl FnOnce() -> TapReply<'r>) {
        let SharedRings { taps, next, seen, .. } = &*self.0;
        if !is_meant(terms, summary) || !seen.fetch_add(1, Relaxed).is_multiple_of(terms.sample) {
            return;
        }
        let (first, reply) = (next.fetch_add(1, Relaxed), reply());
        for at in 0..taps.len() {
            match taps[first.wrapping_add(at) % taps.len()].try_lock() {
                Ok(mut tap) => return tap.copy(terms, &reply),
                Err(TryLockError::Poisoned(tap)) => return tap.into_inner().copy(terms, &reply),
                // Another task copies into this one.
                Err(TryLockError::WouldBlock) => {}
            }
        }
        // The runtime has more threads than the machine had cores at the start.
        self.0.all.crowded.increment();
    }
}

/// True if the terms name the kind of a response.
#[inline]
fn is_meant(terms: &TapTerms, summary: &Summary) -> bool {
    let Some(only) = terms.only else { return true };
    only.steered && summary.basis.steering.is_some()
        || only.errors && !matches!(summary.rcode, Rcode::NOERROR | Rcode::NXDOMAIN)
}

impl Collect for Taps {
    fn collect(&self, page: &mut MetricsPage) {
        let rings = locked(&self.rings);
        let sum = |count: fn(&TapRing) -> &Counter| rings.all.iter().map(|ring| count(ring).value()).sum::<u64>();
        page.gauge("pharos_dnstap_connected", "1 while a reader of dnstap is connected.")
            .sample(&[], self.state.is_connected.load(Relaxed).into());
        page.counter("pharos_dnstap_frames_total", "Copies of responses that were written to the reader of dnstap.")
            .sample(&[], self.written.value());
        page.counter("pharos_dnstap_dropped_total", "Copies of responses for dnstap that were dropped, by the reason.")
            .sample(&[("reason", "ring-full")], sum(|ring| &ring.full) + self.crowded.value())
            .sample(&[("reason", "no-reader")], sum(|ring| &ring.unread))
            .sample(&[("reason", "write-failed")], self.failed.value());
    }
}

#[cfg(test)]
mod tests;
