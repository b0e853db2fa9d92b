//! Measures the engine alone: messages in, replies out, without sockets; and the pieces that grow with the input.
//!
//! `cargo bench --bench engine` prints all figures, `cargo bench --bench engine -- answers` a part of them. With
//! `count WORKLOAD NUMBER` it answers so many queries in one function, which callgrind can watch. `benches/instructions`
//! counts instructions per answer in this way: figures that are the same on a busy machine.

#![allow(clippy::print_stdout, reason = "a benchmark prints what it measures")]
#![allow(missing_docs, reason = "a program, not a library")]

mod mmdb;
mod queries;
mod random;
mod scale;
mod world;

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Instant, SystemTime};

use pharos::base::ends::SocketEnds;
use pharos::base::logged::LoggedClients;
use pharos::base::time::Now;
use pharos::snapshot::{Snapshot, TapTerms};
use pharos::telemetry::tap::{Tap, TapReply, Taps};
use pharos::wire::{self, MAX_UDP, Peer, Summary, Transport};
use world::World;

/// The number of times that each figure is taken; the median is printed.
const ROUNDS: usize = 7;

/// Queries answered per round.
const ANSWERS: usize = 500_000;

fn main() {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["count", workload, number] => count(workload, number.parse().expect("a number of queries")),
        ["answers"] => answers(),
        ["lookups"] => scale::lookups(),
        ["compile"] => compile(),
        ["reloads"] => scale::reloads(),
        [] => {
            answers();
            scale::lookups();
            compile();
        }
        _ => println!("usage: engine [answers|lookups|compile|reloads|count WORKLOAD NUMBER]"),
    }
}

/// Answers a number of queries for callgrind. With `-tapped` behind the name of the workload, one response in a hundred is copied
/// for dnstap; with `-signed`, the zone is signed, and queries have the DO bit.
fn count(workload: &str, number: usize) {
    let (workload, is_signed) = match workload.strip_suffix("-signed") {
        Some(name) => (name, true),
        None => (workload, false),
    };
    let world = if is_signed { World::build_signed() } else { World::build() };
    let (name, mut tapped) = match workload.strip_suffix("-tapped") {
        Some(name) => (name, Some(Tapped::new())),
        None => (workload, None),
    };
    let mut queries = queries::workload(name, &world.prefixes).expect("a known workload");
    if is_signed {
        queries.iter_mut().for_each(|query| queries::ask_for_signatures(query));
    }
    // The first round makes all values that are made on first use.
    let mut out = vec![0; MAX_UDP];
    respond_all(&world, &queries, 1000, &mut out, &mut tapped);
    measured(&world, &queries, number, &mut out, &mut tapped);
    println!("answered {number}");
}

/// Copies of one response in a hundred, as a UDP thread takes these.
struct Tapped {
    tap: Tap,
    terms: TapTerms,
}

impl Tapped {
    fn new() -> Self {
        let taps = Taps::new(now_ns);
        taps.prepare();
        taps.set_connected(true);
        let terms = TapTerms { sample: 100, only: None, clients: LoggedClients::Network };
        Tapped { tap: taps.own(), terms }
    }

    #[inline]
    fn note(&mut self, snapshot: &Snapshot, summary: &Summary, message: &[u8]) {
        self.tap.note(&self.terms, summary, || {
            let ends = SocketEnds { peer: ([203, 0, 113, 9], 4242).into(), local: ([192, 0, 2, 53], 53).into() };
            let (transport, http) = (Transport::Udp, None);
            TapReply { message, summary, snapshot, ends, transport, http, received_ns: 0 }
        });
    }
}

fn now_ns() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

/// The function that callgrind watches.
#[inline(never)]
fn measured(world: &World, queries: &[Vec<u8>], number: usize, out: &mut [u8], tapped: &mut Option<Tapped>) {
    respond_all(world, queries, number, out, tapped);
}

#[inline]
fn respond_all(world: &World, queries: &[Vec<u8>], number: usize, out: &mut [u8], tapped: &mut Option<Tapped>) {
    let peer = Peer { address: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9)), transport: Transport::Udp };
    let mut next = queries.iter().cycle();
    for _ in 0..number {
        let query = next.next().expect("a workload has queries");
        let reply = wire::respond(query, peer, &world.snapshot, Now::default(), out);
        if let (Some(tapped), Some(reply)) = (&mut *tapped, &reply) {
            tapped.note(&world.snapshot, &reply.summary, &out[..reply.len]);
        }
        black_box(reply);
    }
}

fn answers() {
    let world = World::build();
    let mut out = vec![0; MAX_UDP];
    println!("{:12} {:>10}", "workload", "ns/answer");
    for name in queries::WORKLOADS {
        let queries = queries::workload(name, &world.prefixes).expect("a known workload");
        let nanoseconds = median(|| {
            let start = Instant::now();
            respond_all(&world, &queries, ANSWERS, &mut out, &mut None);
            start.elapsed().as_secs_f64() * 1e9 / ANSWERS as f64
        });
        println!("{name:12} {nanoseconds:10.1}");
    }
}

fn compile() {
    println!("{:44} {:>10}", "compile", "ms");
    let mut last = World::build();
    let feeds = median(|| {
        last = World::build();
        last.compile_s * 1e3
    });
    println!("{:44} {feeds:10.1}", format!("{} provider prefixes, 1 k names", last.prefixes.len()));
    scale::compile();
    for horizon in last.snapshot.horizons().iter() {
        let of = |octets: usize, ranges: usize| octets as f64 / ranges as f64;
        let (v4, v6) = (horizon.v4(), horizon.v6());
        println!("octets per IPv4 range {:.2} ({} ranges)", of(v4.memory(), v4.len()), v4.len());
        println!("octets per IPv6 range {:.2} ({} ranges)", of(v6.memory(), v6.len()), v6.len());
    }
}

/// The median of several rounds.
fn median(mut round: impl FnMut() -> f64) -> f64 {
    let mut figures: Vec<f64> = (0..ROUNDS).map(|_| round()).collect();
    figures.sort_by(f64::total_cmp);
    figures[ROUNDS / 2]
}
