//! The UDP path allocates nothing: a counting allocator around `wire::respond`, and the copies for dnstap, over the messages of
//! all cases.

mod common;
#[allow(unreachable_pub, dead_code, unused_imports, reason = "in the fuzzers it is a crate of its own")]
#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use common::{cases, fixture};
use pharos::base::ends::SocketEnds;
use pharos::base::logged::LoggedClients;
use pharos::base::name::Suffixes;
use pharos::base::prefix::PrefixSet;
use pharos::base::time::Now;
use pharos::rates::Rates;
use pharos::snapshot::{RateLimit, Settings, TapTerms};
use pharos::telemetry::tap::{TapReply, Taps};
use pharos::wire::{self, Peer, Transport};

/// The system's allocator, counting what the current thread asks of it.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// Only the two functions that allocate memory count. A thread that is ending has no counter.
#[expect(unsafe_code, reason = "an allocator cannot be written otherwise")]
// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: as the caller promises.
        unsafe { System.realloc(at, layout, new_size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn answering_allocates_nothing() {
    let mut snapshot = fixture::snapshot().with_near(0);
    let exempt = PrefixSet::new(&["198.51.100.0/24".parse().expect("a prefix")]);
    let rate_limit = RateLimit {
        responses_per_second: 5,
        window_ms: 15_000,
        slip: 2,
        ipv4_prefix: 24,
        ipv6_prefix: 56,
        exempt: Some(exempt),
    };
    let terms = TapTerms { sample: 1, only: None, clients: LoggedClients::Network };
    let settings = Settings { rate_limit: Some(rate_limit), tap: Some(terms), ..snapshot.settings().clone() };
    snapshot = snapshot.with_settings(settings);
    let rates = Rates::new([1, 2]);
    rates.prepare();
    let cases = cases::all();
    let mut out = vec![0; wire::MAX_STREAM];
    let mut allocating = Vec::new();
    let mut suffixes = Suffixes::new();
    let taps = Taps::new(now_ns);
    taps.prepare();
    taps.set_connected(true);
    for transport in [Transport::Udp, Transport::Tcp] {
        for case in &cases {
            let peer = Peer { address: case.asked.from, transport };
            // Each case has rings of its own, so that the copies have room.
            let (mut own, shared) = (taps.own(), taps.shared(2));
            let before = ALLOCATIONS.get();
            let way = wire::peek(&case.asked.message, case.asked.from).map(|inquiry| {
                let mut touch = |place| _ = std::hint::black_box(place);
                let mut way = snapshot.approach(&inquiry, &mut suffixes, &mut touch);
                while !way.is_over() {
                    snapshot.advance(&mut way, &mut touch);
                }
                way
            });
            let reply = match transport {
                Transport::Udp => wire::respond_limited(
                    &case.asked.message,
                    peer,
                    &snapshot,
                    Now::default(),
                    &rates,
                    way.as_ref(),
                    &mut out,
                )
                .ok(),
                _ => wire::respond(&case.asked.message, peer, &snapshot, Now::default(), &mut out),
            };
            if let Some(reply) = &reply {
                let copy = TapReply {
                    message: &out[..reply.len],
                    summary: &reply.summary,
                    snapshot: &snapshot,
                    ends: SocketEnds { peer: (case.asked.from, 4242).into(), local: ([192, 0, 2, 53], 53).into() },
                    transport,
                    http: None,
                    received_ns: now_ns(),
                };
                own.note(&terms, &reply.summary, || copy);
                shared.note(&terms, &reply.summary, || copy);
                assert!(own.has_copies() && shared.has_copies(), "{} was not copied", case.name);
            }
            let allocations = ALLOCATIONS.get() - before;
            std::hint::black_box(reply);
            if allocations > 0 {
                allocating.push(format!("{} ({transport:?}): {allocations}", case.name));
            }
        }
    }
    assert!(allocating.is_empty(), "{}", allocating.join("\n"));
}

/// As the server reads it.
fn now_ns() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

#[test]
fn no_message_of_the_fuzz_corpora_allocates() {
    let (snapshot, now) = targets::served();
    let mut out = vec![0; wire::MAX_UDP];
    for target in ["respond", "edns_options", "cookies", "signed_queries"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        let mut messages = 0;
        for entry in fs::read_dir(folder).expect("the corpus is there") {
            let path = entry.expect("the corpus can be listed").path();
            let input = fs::read(&path).expect("the corpus can be read");
            let Some(message) = targets::datagram(target, &input) else { continue };
            let peer = Peer { address: [192, 0, 2, 1].into(), transport: Transport::Udp };
            let before = ALLOCATIONS.get();
            let reply = wire::respond(&message, peer, snapshot, now, &mut out);
            let allocations = ALLOCATIONS.get() - before;
            std::hint::black_box(reply);
            assert_eq!(allocations, 0, "{}", path.display());
            messages += 1;
        }
        assert!(messages >= 18, "{target}: {messages} messages");
    }
}

#[test]
fn the_allocator_counts() {
    let before = ALLOCATIONS.get();
    std::hint::black_box(vec![0u8; 16]);
    assert!(ALLOCATIONS.get() > before);
}
