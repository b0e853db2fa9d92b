//! Copies of responses, from the threads that answer to the taker.

use super::*;
use crate::answer::{Basis, Outcome};
use crate::base::logged::LoggedClients;
use crate::base::time::Generation;
use crate::snapshot::{Compiled, TapKinds};
use crate::telemetry::render;
use crate::wire::{Cookie, EcsEffect, Limit};
use crate::zone::ZoneSet;

fn terms(sample: u32, only: Option<TapKinds>) -> TapTerms {
    TapTerms { sample, only, clients: LoggedClients::Whole }
}

/// Notes responses with these codes, whose message is the number of the response.
fn note(terms: &TapTerms, rcodes: &[Rcode], mut to: impl FnMut(&TapTerms, &TapReply<'_>)) {
    let snapshot = Snapshot::new(Generation(7), ZoneSet::new(Vec::new()), Compiled::default());
    for (number, rcode) in (0..).zip(rcodes) {
        let summary = Summary {
            qtype: None,
            rcode: *rcode,
            aa: false,
            truncated: false,
            cookie: Cookie::None,
            limit: Limit::Off,
            ecs: EcsEffect::NotCompared,
            basis: Basis { outcome: Outcome::Refused, zone: None, node: None, steering: None },
            notice: None,
        };
        let reply = TapReply {
            message: &[number],
            summary: &summary,
            snapshot: &snapshot,
            ends: SocketEnds { peer: ([198, 51, 100, 7], 4242).into(), local: ([192, 0, 2, 53], 53).into() },
            transport: Transport::Udp,
            http: None,
            received_ns: 5,
        };
        to(terms, &reply);
    }
}

/// The numbers of all copies.
fn taken(taker: &mut TapTaker) -> Vec<u8> {
    std::iter::from_fn(|| taker.take().map(|(_, message)| message[0])).collect()
}

fn prepared() -> (Arc<Taps>, TapTaker) {
    let taps = Taps::new(|| 9);
    taps.prepare();
    taps.set_connected(true);
    let taker = TapTaker::new(taps.clone());
    (taps, taker)
}

#[test]
fn the_sample_is_every_nth_response_of_the_kinds_that_are_named() {
    let (taps, mut taker) = prepared();
    let (mut tap, shared) = (taps.own(), taps.shared(2));
    let ten = [Rcode::NOERROR; 10];
    for (sample, expected) in [(1, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9][..]), (3, &[0, 3, 6, 9]), (100, &[2])] {
        note(&terms(sample, None), &ten, |terms, reply| tap.note(terms, reply.summary, || *reply));
        assert_eq!(taken(&mut taker), expected, "one of {sample}");
    }
    note(&terms(4, None), &ten, |terms, reply| shared.note(terms, reply.summary, || *reply));
    assert_eq!(taken(&mut taker), [0, 4, 8]);
    let errors = Some(TapKinds { errors: true, steered: false });
    let rcodes = [Rcode::NOERROR, Rcode::SERVFAIL, Rcode::NXDOMAIN, Rcode::REFUSED, Rcode::FORMERR, Rcode::NOERROR];
    let mut tap = taps.own();
    note(&terms(2, errors), &rcodes, |terms, reply| tap.note(terms, reply.summary, || *reply));
    assert_eq!(taken(&mut taker), [1, 4], "every second error");
}

#[test]
fn a_copy_has_the_facts_of_its_response() {
    let (taps, mut taker) = prepared();
    let mut tap = taps.own();
    note(&terms(1, None), &[Rcode::REFUSED], |terms, reply| tap.note(terms, reply.summary, || *reply));
    let (TapCopy { facts, zone, mirror }, message) = taker.take().unwrap();
    assert_eq!((zone, mirror, &**message), (&[][..], &[][..], &[0][..]));
    assert_eq!((facts.received_ns, facts.made_ns, facts.generation), (5, 9, Generation(7)));
    assert_eq!((facts.outcome, facts.steered), (Outcome::Refused, None));
    assert_eq!(facts.ends.peer.to_string(), "198.51.100.7:4242");
}

#[test]
fn copies_without_a_reader_or_room_are_dropped_and_counted() {
    let (taps, mut taker) = prepared();
    let mut tap = taps.own();
    taps.set_connected(false);
    note(&terms(1, None), &[Rcode::NOERROR; 3], |terms, reply| tap.note(terms, reply.summary, || *reply));
    taps.set_connected(true);
    let count = 256;
    for _ in 0..count {
        note(&terms(1, None), &[Rcode::NOERROR; 50], |terms, reply| tap.note(terms, reply.summary, || *reply));
    }
    let kept = taken(&mut taker).len();
    assert!((1..count * 50).contains(&kept), "{kept}");
    let page = render([&*taps as &dyn Collect]);
    for line in [
        "pharos_dnstap_connected 1".to_string(),
        "pharos_dnstap_dropped_total{reason=\"no-reader\"} 3".to_string(),
        format!("pharos_dnstap_dropped_total{{reason=\"ring-full\"}} {}", count * 50 - kept),
    ] {
        assert!(page.lines().any(|other| other == line), "{line} is not in\n{page}");
    }
    note(&terms(1, None), &[Rcode::NOERROR], |terms, reply| tap.note(terms, reply.summary, || *reply));
    assert_eq!(taken(&mut taker), [0], "a ring that was emptied takes copies again");
}
