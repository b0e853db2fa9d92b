//! Zones as other servers sign them, whole and with one thing wrong.

use super::*;
use crate::base::ids::HorizonId;
use crate::base::name::name;
use crate::base::time::Ttl;
use crate::zone::{Steered, ZoneBuilder};

const NOW: UnixTime = UnixTime(1_800_000_000);
const DAY: u32 = 86_400;

const KEY: [u8; 36] = {
    let mut key = [7; 36];
    (key[0], key[1], key[2], key[3]) = (1, 1, 3, 13);
    key
};

/// Owner, type and rdata.
type Record = (&'static str, Rtype, Vec<u8>);

/// The rdata of an RRSIG that begins an hour ago, and expires after some seconds.
fn rrsig(rtype: Rtype, expires: i64) -> Vec<u8> {
    let at = |seconds: i64| ((NOW.0 as i64 + seconds) as u32).to_be_bytes();
    let mut rdata = [&rtype.0.to_be_bytes()[..], &[13, 1], &60u32.to_be_bytes(), &at(expires), &at(-3600)].concat();
    rdata.extend_from_slice(&key_tag(&KEY).to_be_bytes());
    rdata.extend_from_slice(name("Example").as_name().as_wire());
    rdata.extend_from_slice(&[0; 64]);
    rdata
}

fn nsec(next: &str) -> Vec<u8> {
    [name(next).as_name().as_wire(), &[0, 1, 0x40]].concat()
}

fn nsec3(iterations: u16, next: u8) -> Vec<u8> {
    [&[1, 0][..], &iterations.to_be_bytes(), &[1, 0xab, 20], &[next; 20], &[0, 1, 0x40]].concat()
}

/// The records of a zone without chain.
fn records() -> Vec<Record> {
    let soa = [&[0, 0][..], &[7u32, 3600, 600, 86400, 60].map(u32::to_be_bytes).concat()].concat();
    vec![
        ("example", Rtype::SOA, soa),
        ("example", Rtype::NS, b"\x01x\0".to_vec()),
        ("example", Rtype::DNSKEY, KEY.to_vec()),
        ("a.example", Rtype::A, vec![192, 0, 2, 1]),
        ("cut.example", Rtype::NS, b"\x02ns\x03cut\x07example\0".to_vec()),
        ("cut.example", Rtype::DS, [&[0, 1, 13, 2][..], &[9; 32]].concat()),
        ("ns.cut.example", Rtype::A, vec![192, 0, 2, 2]),
        ("d.example", Rtype::DNAME, b"\x01x\0".to_vec()),
    ]
}

fn with_nsec() -> Vec<Record> {
    let chain = [
        ("example", "a.example"),
        ("a.example", "cut.example"),
        ("cut.example", "d.example"),
        ("d.example", "EXAMPLE"),
    ];
    [records(), chain.map(|(owner, next)| (owner, Rtype::NSEC, nsec(next))).to_vec()].concat()
}

fn with_nsec3(iterations: u16) -> Vec<Record> {
    let param = [&[1, 0][..], &iterations.to_be_bytes(), &[1, 0xab]].concat();
    let owner = |hash: &'static str| (hash, Rtype::NSEC3);
    // Hashes of 20 bytes 0x00, 0x55 and 0xff.
    let chain = [
        (owner("00000000000000000000000000000000.example"), 0x55),
        (owner("alalalalalalalalalalalalalalalal.example"), 0xff),
        (owner("VVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVV.example"), 0x00),
    ];
    let chain = chain.map(|((owner, rtype), next)| (owner, rtype, nsec3(iterations, next)));
    [records(), vec![("example", Rtype::NSEC3PARAM, param)], chain.to_vec()].concat()
}

/// A zone of the records, each RRset with an RRSIG but those that `is_signed` leaves out.
fn zone(records: &[Record], expires: i64, is_signed: impl Fn(&str, Rtype) -> bool) -> ZoneBuilder {
    let mut builder = ZoneBuilder::new(name("example"));
    for (owner, rtype, rdata) in records {
        builder.add(name(owner).as_name(), *rtype, Ttl(60), rdata, 0).unwrap();
        let is_glue = *owner == "ns.cut.example" || (*owner, *rtype) == ("cut.example", Rtype::NS);
        if !is_glue && is_signed(owner, *rtype) {
            builder.add(name(owner).as_name(), Rtype::RRSIG, Ttl(60), &rrsig(*rtype, expires), 0).unwrap();
        }
    }
    builder
}

fn said(builder: ZoneBuilder) -> Vec<String> {
    let faults = check_presigned(&builder.finish().unwrap().0, None, NOW);
    faults.iter().map(|fault| format!("{}: {fault}", fault.as_str())).collect()
}

fn all(_: &str, _: Rtype) -> bool {
    true
}

#[test]
fn a_zone_that_is_signed_whole_has_no_fault() {
    assert_eq!(said(zone(&with_nsec(), DAY.into(), all)), [""; 0]);
    assert_eq!(said(zone(&with_nsec3(0), DAY.into(), all)), [""; 0]);
    assert_eq!(said(zone(&with_nsec3(MAX_NSEC3_ITERATIONS), DAY.into(), all)), [""; 0]);
    let unsigned: Vec<Record> = records().into_iter().filter(|(_, rtype, _)| *rtype != Rtype::DNSKEY).collect();
    assert_eq!(said(zone(&unsigned, 0, |_, _| false)), [""; 0], "a DS of a delegation signs nothing");
}

#[test]
fn an_rrset_without_signature_is_named() {
    let expected = "half-signed: the zone is signed, but the A of `a.example` has no RRSIG of a key of the zone";
    assert_eq!(
        said(zone(&with_nsec(), DAY.into(), |owner, rtype| (owner, rtype) != ("a.example", Rtype::A))),
        [expected]
    );
    // A signature of a key that was removed.
    let other: Vec<Record> = with_nsec()
        .into_iter()
        .map(|(owner, rtype, mut rdata)| {
            if rtype == Rtype::DNSKEY {
                rdata[20] ^= 1;
            }
            (owner, rtype, rdata)
        })
        .collect();
    assert!(said(zone(&other, DAY.into(), all)).len() > 5);
    assert_eq!(
        said(zone(&with_nsec(), DAY.into(), |_, rtype| rtype != Rtype::DS)),
        ["half-signed: the zone is signed, but the DS of `cut.example` has no RRSIG of a key of the zone"]
    );
}

#[test]
fn a_zone_without_key_or_chain_is_half_signed() {
    let no_key: Vec<Record> = with_nsec().into_iter().filter(|(_, rtype, _)| *rtype != Rtype::DNSKEY).collect();
    assert_eq!(
        said(zone(&no_key, DAY.into(), all)),
        ["half-signed: the zone has DNSSEC records, but no DNSKEY at its apex"]
    );
    assert_eq!(
        said(zone(&records(), DAY.into(), all)),
        ["half-signed: the zone is signed, but has neither NSEC nor NSEC3PARAM at its apex"]
    );
    let broken = |records: Vec<Record>, without: &str| {
        let is_lost = |owner: &str, rtype| owner == without && matches!(rtype, Rtype::NSEC | Rtype::NSEC3);
        let left: Vec<Record> = records.into_iter().filter(|(owner, rtype, _)| !is_lost(owner, *rtype)).collect();
        said(zone(&left, DAY.into(), all))
    };
    assert_eq!(
        broken(with_nsec(), "cut.example"),
        ["half-signed: the zone is signed, but the chain of its names breaks off at `cut.example`"]
    );
    assert_eq!(
        broken(with_nsec3(0), "alalalalalalalalalalalalalalalal.example"),
        [
            "half-signed: the zone is signed, but the chain of its names breaks off at `00000000000000000000000000000000.example`"
        ]
    );
}

#[test]
fn signatures_outside_of_their_time_are_faults() {
    let found = said(zone(&with_nsec(), -1, all));
    assert!(
        found.contains(&"expired-signature: the RRSIG of the SOA of `example` has expired".to_string()),
        "{found:?}"
    );
    assert_eq!(said(zone(&with_nsec(), 0, all)), [""; 0], "valid up to its last second");
    let early = zone(&with_nsec(), DAY.into(), all).finish().unwrap().0;
    let fault = &check_presigned(&early, None, UnixTime(NOW.0 - 7200))[0];
    assert!(fault.to_string().ends_with("is not valid yet"), "{fault}");
    // RFC 4034 §3.1.5: times are serial numbers, and go on after 2106.
    let at_the_end = UnixTime((1 << 32) - 10);
    let times = [(at_the_end.0 as u32).wrapping_add(20), at_the_end.0 as u32 - 10];
    let mut builder = ZoneBuilder::new(name("example"));
    for (owner, rtype, rdata) in with_nsec() {
        let mut signature = rrsig(rtype, 0);
        signature[8..16].copy_from_slice(&times.map(u32::to_be_bytes).concat());
        builder.add(name(owner).as_name(), rtype, Ttl(60), &rdata, 0).unwrap();
        builder.add(name(owner).as_name(), Rtype::RRSIG, Ttl(60), &signature, 0).unwrap();
    }
    let zone = builder.finish().unwrap().0;
    assert_eq!(check_presigned(&zone, None, at_the_end), []);
    assert_eq!(check_presigned(&zone, None, UnixTime(at_the_end.0 + 15)), []);
    assert!(!check_presigned(&zone, None, UnixTime(at_the_end.0 + 25)).is_empty());
}

#[test]
fn rfc9276_s3_2_a_zone_with_many_iterations_is_refused() {
    assert_eq!(
        said(zone(&with_nsec3(MAX_NSEC3_ITERATIONS + 1), DAY.into(), all)),
        ["nsec3-iterations: the zone has NSEC3 with 51 iterations, more than 50"]
    );
}

#[test]
fn answers_that_are_made_here_need_keys_here() {
    let mut steered = zone(&with_nsec(), DAY.into(), all);
    let horizon = Steered { horizon: HorizonId(0), ttl: Ttl(60), service: None };
    steered.steer(name("b.example").as_name(), horizon, 0).unwrap();
    let found = said(steered);
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("steered-signed") && found[0].contains("`b.example`"), "{found:?}");
    let challenged = zone(&with_nsec(), DAY.into(), all).finish().unwrap().0;
    let faults = check_presigned(&challenged, Some(&name("_acme-challenge.example")), NOW);
    assert_eq!(faults.iter().map(SignedFault::as_str).collect::<Vec<_>>(), ["steered-signed"]);
}
