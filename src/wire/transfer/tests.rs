use std::net::IpAddr;

use super::*;
use crate::base::name::name;
use crate::base::time::{Generation, Ttl};
use crate::base::tsig::{Algorithm, Key, Keys};
use crate::snapshot::{Compiled, Party, Policy, Transfers};
use crate::wire::tsig::Exchange;
use crate::wire::{Notice, Transport, respond};
use crate::zone::{DynamicRrSet, RrSetKey, SigningTerms, ZoneBuilder, ZoneOverlays, ZoneSet};

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn zone(serial: u32, hosts: u16) -> Zone {
    let apex = name("example");
    let mut builder = ZoneBuilder::new(apex.clone());
    let numbers = [serial, 7200, 3600, 1_209_600, 300].map(u32::to_be_bytes).concat();
    let soa = [name("ns.example").as_name().as_wire(), name("h.example").as_name().as_wire(), &numbers].concat();
    builder.add(apex.as_name(), Rtype::SOA, Ttl(300), &soa, 0).unwrap();
    builder.add(apex.as_name(), Rtype::NS, Ttl(300), name("ns.example").as_name().as_wire(), 0).unwrap();
    for host in 0..hosts {
        let owner = name(&format!("host{host}.example"));
        for last in [1, 2] {
            let [high, low] = host.to_be_bytes();
            builder.add(owner.as_name(), Rtype::A, Ttl(300), &[10, high, low, last], 0).unwrap();
        }
    }
    builder.finish().unwrap().0
}

fn key() -> Arc<Key> {
    Arc::new(Key::new(name("k").as_name(), Algorithm::HmacSha256, &[5; 32]).unwrap())
}

fn snapshot(zones: ZoneSet, party: Party) -> Snapshot {
    let policy = Policy { allow: vec![party], ..Policy::default() };
    let transfers = Transfers { keys: Keys::new(vec![Key::clone(&key())]), zones: vec![policy] };
    Snapshot::new(Generation(1), zones, Compiled::default()).with_transfers(transfers)
}

fn anyone() -> Party {
    Party { prefix: None, key: None }
}

fn query(qtype: Rtype, serial: Option<u32>) -> Vec<u8> {
    let apex = name("example");
    let mut query = vec![0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, u8::from(serial.is_some()), 0, 0];
    query.extend_from_slice(apex.as_name().as_wire());
    query.extend_from_slice(&qtype.0.to_be_bytes());
    query.extend_from_slice(&[0, 1]);
    if let Some(serial) = serial {
        query.extend_from_slice(&[0xc0, 12, 0, 6, 0, 1, 0, 0, 0, 0, 0, 22, 0, 0]);
        query.extend_from_slice(&serial.to_be_bytes());
        query.extend_from_slice(&[0; 16]);
    }
    query
}

fn peer(transport: Transport) -> Peer {
    Peer { address: HERE, transport }
}

/// All messages of a transfer.
fn messages(query: &[u8], snapshot: &Snapshot) -> Option<Vec<Vec<u8>>> {
    let mut transfer = begin(query, peer(Transport::Tcp), snapshot, Now::default())?;
    let mut out = vec![0; MAX_STREAM];
    let mut messages = Vec::new();
    while let Some(len) = transfer.next(UnixTime(0), &mut out) {
        messages.push(out[..len].to_vec());
    }
    Some(messages)
}

/// The records of messages, as the text that a library makes of each.
fn records(messages: &[Vec<u8>]) -> Vec<String> {
    let parse = |message: &Vec<u8>| hickory_proto::op::Message::from_vec(message).unwrap();
    let of_one = |message| parse(message).answers.iter().map(ToString::to_string).collect::<Vec<_>>();
    messages.iter().flat_map(of_one).collect()
}

/// The response code of the reply to a message that begins no transfer.
fn refused(query: &[u8], transport: Transport, snapshot: &Snapshot) -> u16 {
    assert!(begin(query, peer(transport), snapshot, Now::default()).is_none() || transport == Transport::Udp);
    let mut out = vec![0; MAX_STREAM];
    let reply = respond(query, peer(transport), snapshot, Now::default(), &mut out).unwrap();
    assert_eq!(reply.summary.rcode.0 & 0x0f, u16::from(out[3] & 0x0f));
    reply.summary.rcode.0
}

#[test]
fn rfc5936_s2_2_a_zone_begins_and_ends_with_its_soa() {
    let snapshot = snapshot(ZoneSet::new(vec![zone(7, 2000)]), anyone());
    let messages = messages(&query(Rtype::AXFR, None), &snapshot).unwrap();
    let records = records(&messages);
    assert_eq!(records.len(), 2 + 1 + 2 * 2000);
    assert_eq!(records[0], records[records.len() - 1]);
    assert!(records[0].contains("SOA ns.example. h.example. 7 "), "{}", records[0]);
    assert_eq!(records[1..].iter().filter(|record| record.contains("SOA")).count(), 1);
    assert!(messages.iter().all(|message| message.len() < FULL_AT + 64), "messages end soon after they are full");
    assert!(messages.len() < 8, "owners are compressed: {} messages", messages.len());
    assert_eq!((messages[0][5], messages[1][5]), (1, 0), "the question is in the first message alone");
}

#[test]
fn rfc1995_s2_changes_are_sent_and_nothing_where_there_are_none() {
    let (old, new) = (ZoneSet::new(vec![zone(7, 9)]), ZoneSet::new(vec![zone(8, 10)]));
    let snapshot = snapshot(new.following(&old, &ZoneOverlays::default(), |_| false), anyone());
    let told = |serial| records(&messages(&query(Rtype::IXFR, Some(serial)), &snapshot).unwrap());
    let records = told(7);
    let serials: Vec<&str> =
        records.iter().filter_map(|record| record.split("h.example. ").nth(1)?.split(' ').next()).collect();
    assert_eq!(serials, ["8", "7", "8", "8"]);
    assert_eq!(records.len(), 6, "{records:#?}");
    assert_eq!((told(8).len(), told(9).len()), (1, 1), "the SOA alone");
    assert_eq!(told(6).len(), 3 + 20, "the whole zone");
}

#[test]
fn dynamic_records_are_not_transferred_because_the_serial_is_not_of_them() {
    let mut overlays = ZoneOverlays::default();
    let key = RrSetKey::new(name("example"), name("_acme-challenge.example"), Rtype::TXT).unwrap();
    let set = DynamicRrSet::new(&key, Ttl(0), vec![b"\x05token".to_vec()]).unwrap();
    overlays.set(key, Some(set));
    let zones = ZoneSet::new(vec![zone(7, 9)]).with_overlays([name("example").as_name()].into_iter(), &overlays);
    assert_eq!(zones.zone(ZoneId(0)).nodes().count(), 1 + 9 + 1);
    let snapshot = snapshot(zones, anyone());
    let records = records(&messages(&query(Rtype::AXFR, None), &snapshot).unwrap());
    assert_eq!(records.len(), 3 + 2 * 9, "{records:#?}");
}

#[test]
fn rfc1995_s2_over_udp_the_soa_tells_to_come_back() {
    let snapshot = snapshot(ZoneSet::new(vec![zone(7, 9)]), anyone());
    let mut out = vec![0; 4096];
    let query = query(Rtype::IXFR, Some(3));
    let reply = respond(&query, peer(Transport::Udp), &snapshot, Now::default(), &mut out).unwrap();
    assert_eq!(records(&[out[..reply.len].to_vec()]).len(), 1);
}

#[test]
fn a_zone_that_is_signed_here_is_not_transferred() {
    let granted = snapshot(ZoneSet::new(vec![zone(7, 9)]), anyone());
    let terms = SigningTerms { keys: Vec::new(), validity_secs: 60, deletes_ds: false };
    let signed = granted.with_signing(vec![Some(terms.into())]);
    assert_eq!(refused(&query(Rtype::AXFR, None), Transport::Tcp, &signed), Rcode::REFUSED.0);
}

#[test]
fn what_may_not_be_had_is_refused_with_its_reason() {
    let granted = snapshot(ZoneSet::new(vec![zone(7, 9)]), anyone());
    let elsewhere = Party { prefix: Some("192.0.2.0/24".parse().unwrap()), key: None };
    let denied = snapshot(ZoneSet::new(vec![zone(7, 9)]), elsewhere);
    let empty = snapshot(ZoneSet::new(vec![Zone::unavailable(name("example"))]), anyone());
    let axfr = query(Rtype::AXFR, None);
    assert_eq!(refused(&axfr, Transport::Tcp, &denied), Rcode::REFUSED.0);
    assert_eq!(refused(&axfr, Transport::Tcp, &empty), Rcode::SERVFAIL.0);
    assert_eq!(refused(&axfr, Transport::Udp, &granted), Rcode::FORMERR.0, "RFC 5936 §4.2");
    assert_eq!(refused(&query(Rtype::IXFR, None), Transport::Tcp, &granted), Rcode::FORMERR.0);
    let mut below = axfr.clone();
    below.splice(12..12, *b"\x01a");
    assert_eq!(refused(&below, Transport::Tcp, &granted), Rcode::NOTAUTH.0, "RFC 5936 §2.2.1");
}

#[test]
fn rfc8945_s5_3_every_message_of_a_signed_request_is_signed() {
    let party = Party { prefix: None, key: Some(KeyId(0)) };
    let snapshot = snapshot(ZoneSet::new(vec![zone(7, 2000)]), party);
    assert_eq!(refused(&query(Rtype::AXFR, None), Transport::Tcp, &snapshot), Rcode::REFUSED.0);
    let mut axfr = query(Rtype::AXFR, None);
    let mut exchange = Exchange::begin(&key(), &mut axfr, UnixTime(0));
    let messages = messages(&axfr, &snapshot).unwrap();
    assert!(messages.len() > 2);
    for message in &messages {
        assert_eq!(exchange.verify(message, UnixTime(0)), Ok(()));
        assert_eq!(exchange.finish(), Ok(()));
    }
    let tampered = axfr.len() - 10;
    axfr[tampered] ^= 1;
    assert_eq!(refused(&axfr, Transport::Tcp, &snapshot), Rcode::NOTAUTH.0);
}

#[test]
fn a_signed_query_has_a_signed_reply_that_fits() {
    let snapshot = snapshot(ZoneSet::new(vec![zone(7, 9)]), anyone());
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut soa = query(Rtype::SOA, None);
        let mut exchange = Exchange::begin(&key(), &mut soa, UnixTime(0));
        let mut out = vec![0; MAX_STREAM];
        let reply = respond(&soa, peer(transport), &snapshot, Now::default(), &mut out).unwrap();
        assert_eq!(exchange.verify(&out[..reply.len], UnixTime(0)), Ok(()));
        assert!(reply.len <= 512 && reply.summary.aa);
    }
}

#[test]
fn rfc1996_a_notify_is_heard_from_primaries_alone() {
    let mut notify = query(Rtype::SOA, None);
    notify[2] = 4 << 3 | 4;
    let mut out = vec![0; 4096];
    let mut heard = |primaries: Vec<Party>| {
        let policy = Policy { primaries, ..Policy::default() };
        let snapshot = snapshot(ZoneSet::new(vec![zone(7, 1)]), anyone())
            .with_transfers(Transfers { keys: Keys::default(), zones: vec![policy] });
        let reply = respond(&notify, peer(Transport::Udp), &snapshot, Now::default(), &mut out).unwrap();
        assert_eq!(out[2] >> 3, 0x10 | 4, "QR, and the opcode of the query");
        (reply.summary.rcode, reply.summary.notice)
    };
    let here = Party { prefix: Some("127.0.0.1/32".parse().unwrap()), key: None };
    assert_eq!(heard(vec![here]), (Rcode::NOERROR, Some(Notice::Changed(ZoneId(0)))));
    assert_eq!(heard(vec![Party { key: Some(KeyId(0)), ..here }]), (Rcode::REFUSED, None));
    assert_eq!(heard(Vec::new()), (Rcode::REFUSED, None));
}
