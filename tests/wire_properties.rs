//! Properties of every message and its reply.
//!
//! Messages are random bytes, and mutated ones of the engine's cases; replies are read by hickory-proto.

#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected is to fail")]

mod common;

use std::net::IpAddr;
use std::sync::LazyLock;

use common::query::Builder;
use common::{cases, fixture, show};
use hickory_proto::op::Message;
use hickory_proto::rr::Record;
use pharos::answer::{Outcome, Query};
use pharos::base::name::Suffixes;
use pharos::base::rr::Rtype;
use pharos::base::time::Now;
use pharos::rates::Rates;
use pharos::snapshot::{Settings, Snapshot, Way};
use pharos::steer::Descent;
use pharos::wire::{self, Peer, Transport};
use proptest::prelude::*;
use proptest::sample::{Index, select};

static SNAPSHOT: LazyLock<Snapshot> = LazyLock::new(fixture::snapshot);
/// The same, treated as a snapshot outside the CPU's caches.
static FAR: LazyLock<Snapshot> = LazyLock::new(|| fixture::snapshot().with_near(0));
static MESSAGES: LazyLock<Vec<Vec<u8>>> =
    LazyLock::new(|| cases::all().into_iter().map(|case| case.asked.message).collect());

/// One byte is inserted, removed or changed, or the end is cut off.
#[derive(Clone, Debug)]
enum Mutation {
    Set(Index, u8),
    Flip(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Cut(Index),
    /// Bytes from another message replace these.
    Splice(Index, Index, Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    // Bytes that mean something: counts, label lengths, pointers, types, option codes.
    let octet = prop_oneof![any::<u8>(), select(vec![0, 1, 2, 8, 12, 41, 63, 64, 192, 255])];
    prop_oneof![
        4 => (any::<Index>(), octet.clone()).prop_map(|(at, octet)| Mutation::Set(at, octet)),
        4 => (any::<Index>(), 0..8u8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        2 => (any::<Index>(), octet).prop_map(|(at, octet)| Mutation::Insert(at, octet)),
        2 => any::<Index>().prop_map(Mutation::Remove),
        1 => any::<Index>().prop_map(Mutation::Cut),
        1 => any::<(Index, Index, Index)>().prop_map(|(at, other, from)| Mutation::Splice(at, other, from)),
    ]
}

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    (select(MESSAGES.clone()), prop::collection::vec(mutation(), 0..6)).prop_map(|(mut message, mutations)| {
        for mutation in mutations {
            mutate(&mut message, &mutation);
        }
        message
    })
}

fn mutate(message: &mut Vec<u8>, mutation: &Mutation) {
    let len = message.len();
    match mutation {
        Mutation::Insert(at, octet) => message.insert(at.index(len + 1), *octet),
        _ if len == 0 => {}
        Mutation::Set(at, octet) => message[at.index(len)] = *octet,
        Mutation::Flip(at, bit) => message[at.index(len)] ^= 1 << bit,
        Mutation::Remove(at) => drop(message.remove(at.index(len))),
        Mutation::Cut(at) => message.truncate(at.index(len)),
        Mutation::Splice(at, other, from) => {
            let other = &MESSAGES[other.index(MESSAGES.len())];
            if !other.is_empty() {
                message.truncate(at.index(len));
                message.extend_from_slice(&other[from.index(other.len())..]);
            }
        }
    }
}

fn ask(message: &[u8], transport: Transport, snapshot: &Snapshot) -> Option<(Vec<u8>, wire::Reply)> {
    let mut out = vec![0; wire::MAX_STREAM];
    let peer = Peer { address: "127.0.3.1".parse().unwrap(), transport };
    let reply = wire::respond(message, peer, snapshot, Now::default(), &mut out)?;
    out.truncate(reply.len);
    Some((out, reply))
}

/// Checks the properties of every reply.
fn check(message: &[u8], transport: Transport) -> Result<(), TestCaseError> {
    let answered = ask(message, transport, &SNAPSHOT);
    let query = wire::decode(message);
    // Over UDP an error is sent only if every question that the header announces can be read.
    let is_sane = match (message.get(4..6), query.as_ref()) {
        (Some(&[0, 0]), _) => true,
        (Some(&[0, 1]), Some(query)) => query.question.is_some(),
        (_, query) => query.is_some_and(|query| !query.has_unread_question),
    };
    let is_owed = message.len() >= 12 && message[2] & 0x80 == 0 && (is_sane || transport != Transport::Udp);
    prop_assert_eq!(answered.is_some(), is_owed);
    let (Some((reply, _)), Some(query)) = (answered, query) else { return Ok(()) };
    let limit = match (transport, query.edns) {
        (Transport::Udp, None) => 512,
        (Transport::Udp, Some(edns)) => usize::from(edns.payload.clamp(512, 1232)),
        (_, _) => 65535,
    };
    prop_assert!(reply.len() <= limit, "{} octets of {limit}", reply.len());
    prop_assert_eq!(&reply[..2], &message[..2]);
    prop_assert_eq!(reply[2] & 0xf8, 0x80 | message[2] & 0x78);
    let decoded = show::decode(&reply).map_err(TestCaseError::fail)?;
    check_echoes(message, &query, &reply, &decoded)
}

/// The addresses in memory that are prefetched for a message. `None` if `wire::peek` skips the message. After each step of
/// the prefetch, the reply must be the same as without it.
fn touched(message: &[u8], peer: IpAddr) -> Option<Vec<*const u8>> {
    let (mut touched, mut suffixes) = (Vec::new(), Suffixes::new());
    let inquiry = wire::peek(message, peer)?;
    let mut way = FAR.approach(&inquiry, &mut suffixes, &mut |place| touched.push(place));
    let rates = Rates::new([1, 2]);
    let reply = |way: Option<&Way>| {
        let mut out = vec![0; wire::MAX_UDP];
        let peer = Peer { address: peer, transport: Transport::Udp };
        let reply = wire::respond_limited(message, peer, &FAR, Now::default(), &rates, way, &mut out);
        reply.map(|reply| (reply.summary, out[..reply.len].to_vec()))
    };
    let expected = reply(None);
    assert_eq!(reply(Some(&way)), expected);
    while !way.is_over() {
        FAR.advance(&mut way, &mut |place| touched.push(place));
        assert_eq!(reply(Some(&way)), expected);
    }
    Some(touched)
}

/// Checks `wire::peek` for every message: it finds the same as decoding the message.
fn check_glance(message: &[u8]) -> Result<(), TestCaseError> {
    let peer = IpAddr::from([192, 0, 2, 77]);
    let touched = touched(message, peer);
    let Some(query) = wire::decode(message).filter(|query| query.problem.is_none()) else { return Ok(()) };
    let Some(question) = query.question.filter(|_| message[2] & 0x78 == 0 && message[6..10] == [0; 4]) else {
        prop_assert!(touched.is_none());
        return Ok(());
    };
    prop_assert!(touched.is_some());
    let inquiry = wire::peek(message, peer).unwrap();
    prop_assert_eq!(inquiry.name, question.name);
    let subnet = query.edns.and_then(|edns| edns.ecs?.subnet).filter(|subnet| subnet.source.0 > 0);
    // `wire::peek` gives up after a few options, or if OPT is not the first record.
    prop_assert!([subnet.map_or(peer, |subnet| subnet.address), peer].contains(&inquiry.address));
    Ok(())
}

#[test]
fn what_is_asked_for_ahead_is_what_answers() {
    let (mut nodes, mut lines, mut subnets) = (0, 0, 0);
    for case in cases::all() {
        let (message, peer) = (&case.asked.message, case.asked.from);
        let mut out = vec![0; wire::MAX_STREAM];
        let peer_over_udp = Peer { address: peer, transport: Transport::Udp };
        let reply = wire::respond(message, peer_over_udp, &FAR, Now::default(), &mut out);
        let (Some(reply), Some(touched)) = (reply, touched(message, peer)) else { continue };
        // If the server has both sides of a cut, DS is in the other zone.
        let basis = Some(reply.summary).filter(|summary| summary.qtype != Some(Rtype::DS)).map(|summary| summary.basis);
        let Some(basis) = basis else { continue };
        let Some(zone) = basis.zone.map(|zone| FAR.zones().zone(zone)) else { continue };
        let inquiry = wire::peek(message, peer).unwrap();
        if let Some(node) = basis.node.filter(|node| zone.node(*node).owner() == inquiry.name) {
            // The offset of a node is a multiple of four bytes.
            assert!(touched.contains(&zone.areas()[1].start.wrapping_add(node.index() * 4)), "{}", case.place);
            nodes += 1;
        }
        if let (Some(steering), Outcome::Steered) = (basis.steering, basis.outcome)
            && zone.first_horizon() == Some(steering.horizon)
            && steering.decision.location.address == inquiry.address
        {
            let horizon = &FAR.horizons()[steering.horizon.index()];
            let (mut descent, mut place) = horizon.approach(inquiry.address);
            while !matches!(descent, Descent::Line(_)) {
                (descent, place) = horizon.advance(inquiry.address, descent);
            }
            assert!(touched.contains(&place), "{}", case.place);
            lines += 1;
            subnets += u32::from(inquiry.address != peer);
        }
    }
    assert!(nodes > 40 && lines > 20 && subnets > 10, "{nodes} nodes, {lines} lines, {subnets} of subnets");
}

fn check_echoes(message: &[u8], query: &Query<'_>, reply: &[u8], decoded: &Message) -> Result<(), TestCaseError> {
    // The question, byte for byte.
    prop_assert_eq!(decoded.queries.len(), usize::from(query.question.is_some()));
    if let Some(question) = &query.question {
        prop_assert_eq!(&reply[12..12 + question.wire.len()], question.wire);
        prop_assert_eq!(question.wire, &message[12..12 + question.wire.len()]);
    }
    // OPT if there was one that could be read; ECS likewise, with all but the scope as it came.
    prop_assert_eq!(decoded.edns.is_some(), query.edns.is_some());
    let sent = query.edns.and_then(|edns| edns.ecs);
    let found = ecs_options(reply);
    prop_assert_eq!(found.len(), usize::from(sent.is_some()));
    if let (Some(sent), Some(found)) = (sent, found.first()) {
        prop_assert_eq!(&found[..3], &sent.data[..3]);
        prop_assert_eq!(&found[4..], &sent.data[4..]);
    }
    Ok(())
}

/// The data of the client subnet options in a reply of ours, whose OPT is its last record.
fn ecs_options(reply: &[u8]) -> Vec<Vec<u8>> {
    let edns = show::decode(reply).ok().and_then(|message| message.edns);
    let Some(edns) = edns else { return Vec::new() };
    let len = |(code, option): &(_, hickory_proto::rr::rdata::opt::EdnsOption)| {
        let _: &hickory_proto::rr::rdata::opt::EdnsCode = code;
        4 + usize::from(option.len())
    };
    let options_len: usize = edns.options().options.iter().map(len).sum();
    let mut rest = &reply[reply.len() - options_len..];
    let mut found = Vec::new();
    while let Some((header, after)) = rest.split_first_chunk::<4>() {
        let (data, after) = after.split_at(usize::from(u16::from_be_bytes([header[2], header[3]])));
        if header[..2] == [0, 8] {
            found.push(data.to_vec());
        }
        rest = after;
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn any_octets_get_a_sound_reply_or_none(message in prop::collection::vec(any::<u8>(), 0..600)) {
        check_glance(&message)?;
        for transport in Transport::ALL {
            check(&message, transport)?;
        }
    }

    #[test]
    fn a_mutated_query_gets_a_sound_reply_or_none(message in mutated()) {
        check_glance(&message)?;
        for transport in Transport::ALL {
            check(&message, transport)?;
        }
    }

    #[test]
    fn random_sections_behind_a_sound_question_get_a_sound_reply(
        counts in [0..3u8, 0..3, 0..3],
        behind in prop::collection::vec(prop_oneof![Just(0u8), Just(41), Just(192), Just(12), any::<u8>()], 0..80),
    ) {
        let mut message = Builder::new("www.example.net.", Rtype::A).finish();
        for (count, field) in counts.iter().zip([7, 9, 11]) {
            message[field] = *count;
        }
        message.extend(behind);
        check_glance(&message)?;
        check(&message, Transport::Udp)?;
    }
}

/// Every RRset of the static zones, and a name below each node: their questions with the whole reply.
static ANSWERS: LazyLock<Vec<(String, Rtype, Message)>> = LazyLock::new(|| {
    let mut answers = Vec::new();
    for (_, zone) in SNAPSHOT.zones().iter() {
        for node in zone.nodes() {
            let owner = format!("{}.", node.owner());
            let types = node.rrsets().map(|set| set.rtype).chain([Rtype::A, Rtype::ANY]);
            let below = node.owner().len() < 250;
            let questions = types.map(|rtype| (owner.clone(), rtype));
            let questions = questions.chain(below.then(|| (format!("x.{owner}"), Rtype::A)));
            for (name, rtype) in questions {
                let (reply, _) = ask(&Builder::new(&name, rtype).finish(), Transport::Tcp, &SNAPSHOT).unwrap();
                let message = show::decode(&reply).unwrap_or_else(|error| panic!("{name} {rtype}: {error}"));
                answers.push((name, rtype, message));
            }
        }
    }
    answers
});

/// A section's RRsets, as text.
fn rrsets(records: &[Record]) -> Vec<Vec<String>> {
    let same = |a: &Record, b: &Record| a.name == b.name && a.record_type() == b.record_type();
    let text = |record: &Record| {
        let rdata = show::rdata(&record.data, record.record_type());
        format!("{} {} {} {rdata}", record.name.to_ascii(), record.ttl, show::type_name(record.record_type()))
    };
    records.chunk_by(same).map(|set| set.iter().map(text).collect()).collect()
}

#[test]
fn rfc2181_s9_at_every_size_an_rrset_is_whole_or_the_reply_says_tc() {
    let settings = Settings { udp_payload: 4096, ..(*SNAPSHOT.settings()).clone() };
    let mut snapshot = SNAPSHOT.clone();
    snapshot = snapshot.with_settings(settings);
    for (name, rtype, whole) in ANSWERS.iter() {
        let sections = [&whole.answers, &whole.authorities, &whole.additionals].map(|section| rrsets(section));
        // A reply that fits the least size is the same at every other.
        let message = Builder::new(name, *rtype).edns(512).finish();
        let is_small = ask(&message, Transport::Tcp, &snapshot).unwrap().0.len() <= 512;
        let sizes = [512, 513, 1232, 4096].into_iter().chain((514..4096).step_by(71));
        for size in sizes.take(if is_small { 1 } else { usize::MAX }) {
            let message = Builder::new(name, *rtype).edns(size).finish();
            let (reply, summary) = ask(&message, Transport::Udp, &snapshot).unwrap();
            let place = format!("{name} {rtype} in {size} octets");
            assert!(reply.len() <= usize::from(size), "{place}: {}", reply.len());
            let decoded = show::decode(&reply).unwrap();
            assert_eq!(decoded.metadata.truncation, summary.summary.truncated, "{place}");
            let found = [&decoded.answers, &decoded.authorities, &decoded.additionals].map(|section| rrsets(section));
            for (found, whole) in found.iter().zip(&sections) {
                assert!(found.iter().all(|set| whole.contains(set)), "{place}: {found:?} is no part of {whole:?}");
            }
            // Without TC the answer and authority sections are complete; the additional section may lack optional records.
            if !decoded.metadata.truncation {
                assert_eq!(found[..2], sections[..2], "{place}");
            }
        }
    }
}

#[test]
fn rfc1035_s4_1_4_names_are_the_same_with_compression_as_without() {
    for (_, zone) in SNAPSHOT.zones().iter() {
        for node in zone.nodes() {
            // Occluded records are not answered.
            if node.cut().is_some() || node.dname().is_some() {
                continue;
            }
            for set in node.rrsets() {
                let name = format!("{}.", node.owner());
                let (reply, _) = ask(&Builder::new(&name, set.rtype).finish(), Transport::Tcp, &SNAPSHOT).unwrap();
                let decoded = show::decode(&reply).unwrap();
                let found = rrsets(&decoded.answers);
                // The same records as an uncompressed message that the test makes.
                let mut plain = vec![0, 0, 0x84, 0, 0, 0];
                plain.extend(set.count().to_be_bytes());
                plain.extend([0, 0, 0, 0]);
                for (ttl, rdata) in set.records() {
                    plain.extend(node.owner().as_wire());
                    plain.extend(set.rtype.0.to_be_bytes());
                    plain.extend([0, 1]);
                    plain.extend(ttl.0.to_be_bytes());
                    plain.extend((rdata.len() as u16).to_be_bytes());
                    plain.extend(rdata);
                }
                let expected = rrsets(&Message::from_vec(&plain).unwrap().answers);
                assert_eq!(found, expected, "{name} {}", set.rtype);
                // The uncompressed message has no question.
                if decoded.additionals.is_empty() && set.count() > 1 {
                    let question_len = node.owner().len() + 4;
                    assert!(reply.len() - question_len < plain.len(), "{name} {}: not shorter", set.rtype);
                }
            }
        }
    }
}
