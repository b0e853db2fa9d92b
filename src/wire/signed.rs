//! Signatures in responses: RRSIGs made by hand, through the whole path of a query.

use hickory_proto::op::Message;
use hickory_proto::rr::RData;

use super::encode::encode;
use super::extras::Extras;
use super::*;
use crate::answer::{Data, Need, Owner, Rr};
use crate::base::ids::NodeId;
use crate::base::name::name;
use crate::base::time::{Generation, Ttl};
use crate::snapshot::{Change, Compiled};
use crate::zone::{Difference, DynamicRrSet, RrSet, RrSetKey, Zone, ZoneBuilder, ZoneSet, push_record};

fn wire(text: &str) -> Vec<u8> {
    name(text).as_name().as_wire().to_vec()
}

/// An RRSIG by a key: algorithm 13, and a signature of 64 times the key's byte.
fn rrsig(covered: Rtype, ttl: u32, key: u8) -> Vec<u8> {
    let mut rdata = covered.0.to_be_bytes().to_vec();
    rdata.extend_from_slice(&[13, 2]);
    for number in [ttl, 2_000_000_000, 1_900_000_000] {
        rdata.extend_from_slice(&number.to_be_bytes());
    }
    rdata.extend_from_slice(&[0, key]);
    rdata.extend_from_slice(&wire("example"));
    rdata.extend_from_slice(&[key; 64]);
    rdata
}

/// A zone in which every RRset that a signer signs has a signature; `www` has two (RFC 6781 §4.1: key rollover).
fn zone(serial: u32) -> Zone {
    let soa =
        [wire("ns.example"), wire("h.example"), [serial, 7200, 3600, 1_209_600, 60].map(u32::to_be_bytes).concat()];
    let ds = [&[0, 7, 13, 2][..], &[1; 32]].concat();
    let mut builder = ZoneBuilder::new(name("example"));
    let mut add = |owner: &str, rtype: Rtype, rdata: &[u8], keys: &[u8]| {
        let owner = name(owner);
        for key in keys {
            builder.add(owner.as_name(), Rtype::RRSIG, Ttl(300), &rrsig(rtype, 300, *key), 0).unwrap();
        }
        builder.add(owner.as_name(), rtype, Ttl(300), rdata, 0).unwrap();
    };
    add("example", Rtype::SOA, &soa.concat(), &[1]);
    add("example", Rtype::NS, &wire("ns.example"), &[1]);
    add("ns.example", Rtype::A, &[192, 0, 2, 53], &[1]);
    add("www.example", Rtype::A, &[192, 0, 2, 1], &[2, 1]);
    add("www.example", Rtype::A, &[192, 0, 2, 2], &[]);
    add("www.example", Rtype::TXT, b"\x01a", &[1]);
    add("alias.example", Rtype::CNAME, &wire("www.example"), &[1]);
    add("*.wild.example", Rtype::TXT, b"\x01w", &[1]);
    add("old.example", Rtype::DNAME, &wire("wild.example"), &[1]);
    add("mail.example", Rtype::MX, &[&[0, 10][..], &wire("www.example")].concat(), &[1]);
    add("cut.example", Rtype::NS, &wire("ns.cut.example"), &[]);
    add("cut.example", Rtype::DS, &ds, &[1]);
    add("ns.cut.example", Rtype::A, &[192, 0, 2, 54], &[]);
    add("large.example", Rtype::TXT, &[&[200][..], &[b'x'; 200]].concat(), &[1, 2, 3]);
    builder.finish().unwrap().0
}

fn snapshot(zone: Zone) -> Snapshot {
    Snapshot::new(Generation(1), ZoneSet::new(vec![zone]), Compiled::default())
}

/// A query of a client that accepts 512 bytes.
fn query(owner: &str, rtype: Rtype, dnssec_ok: bool) -> Vec<u8> {
    let mut query = vec![0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    query.extend_from_slice(&wire(owner));
    query.extend_from_slice(&rtype.0.to_be_bytes());
    query.extend_from_slice(&[0, 1, 0, 0, 41, 2, 0, 0, 0, if dnssec_ok { 0x80 } else { 0 }, 0, 0, 0]);
    query
}

/// The records of each section as `owner TTL type`, with the covered type for RRSIGs; and the TC bit.
fn shown(message: &[u8]) -> ([Vec<String>; 3], bool) {
    let read = Message::from_vec(message).unwrap();
    let sections = [&read.answers, &read.authorities, &read.additionals].map(|section| {
        let words = section.iter().map(|record| {
            let text = record.to_string();
            let words: Vec<&str> = text.split(' ').collect();
            // The library reads RRSIGs only as bytes here.
            let covered = match &record.data {
                RData::Unknown { rdata, .. } if words[3] == "RRSIG" => {
                    format!(" {}", Rtype(u16::from_be_bytes([rdata.anything[0], rdata.anything[1]])))
                }
                _ => String::new(),
            };
            format!("{} {} {}{covered}", words[0], words[1], words[3])
        });
        words.collect()
    });
    (sections, read.metadata.truncation)
}

fn ask_in(
    snapshot: &Snapshot,
    owner: &str,
    rtype: Rtype,
    transport: Transport,
    dnssec_ok: bool,
) -> ([Vec<String>; 3], bool) {
    let mut out = vec![0; MAX_STREAM];
    let peer = Peer { address: [192, 0, 2, 1].into(), transport };
    let reply = respond(&query(owner, rtype, dnssec_ok), peer, snapshot, Now::default(), &mut out).unwrap();
    shown(&out[..reply.len])
}

fn ask(owner: &str, rtype: Rtype, dnssec_ok: bool) -> [Vec<String>; 3] {
    ask_in(&snapshot(zone(1)), owner, rtype, Transport::Tcp, dnssec_ok).0
}

#[test]
fn rfc4035_s3_1_signatures_stand_behind_their_rrset_in_every_section_if_asked_for() {
    let cases: [(&str, Rtype, [&[&str]; 3]); 8] = [
        (
            "www.example.",
            Rtype::A,
            [
                &["www.example. 300 A", "www.example. 300 A", "www.example. 300 RRSIG A", "www.example. 300 RRSIG A"],
                &[],
                &[],
            ],
        ),
        (
            "alias.example.",
            Rtype::TXT,
            [
                &[
                    "alias.example. 300 CNAME",
                    "alias.example. 300 RRSIG CNAME",
                    "www.example. 300 TXT",
                    "www.example. 300 RRSIG TXT",
                ],
                &[],
                &[],
            ],
        ),
        ("a.wild.example.", Rtype::TXT, [&["a.wild.example. 300 TXT", "a.wild.example. 300 RRSIG TXT"], &[], &[]]),
        // RFC 6672 §5.3.1: the CNAME made from a DNAME has no signature.
        (
            "b.old.example.",
            Rtype::TXT,
            [
                &[
                    "old.example. 300 DNAME",
                    "old.example. 300 RRSIG DNAME",
                    "b.old.example. 300 CNAME",
                    "b.wild.example. 300 TXT",
                    "b.wild.example. 300 RRSIG TXT",
                ],
                &[],
                &[],
            ],
        ),
        (
            "mail.example.",
            Rtype::MX,
            [
                &["mail.example. 300 MX", "mail.example. 300 RRSIG MX"],
                &[],
                &["www.example. 300 A", "www.example. 300 A", "www.example. 300 RRSIG A", "www.example. 300 RRSIG A"],
            ],
        ),
        // RFC 2308 §5: the TTL of the SOA is its MINIMUM here, and so is that of its signature.
        ("www.example.", Rtype::AAAA, [&[], &["example. 60 SOA", "example. 60 RRSIG SOA"], &[]]),
        ("absent.example.", Rtype::A, [&[], &["example. 60 SOA", "example. 60 RRSIG SOA"], &[]]),
        ("cut.example.", Rtype::DS, [&["cut.example. 300 DS", "cut.example. 300 RRSIG DS"], &[], &[]]),
    ];
    for (owner, rtype, expected) in cases {
        assert_eq!(ask(owner, rtype, true), expected.map(|section| section.to_vec()), "{owner} {rtype}");
        let unsigned = expected.map(|section| section.iter().filter(|text| !text.contains("RRSIG")).copied().collect());
        let unsigned: [Vec<&str>; 3] = unsigned;
        assert_eq!(ask(owner, rtype, false), unsigned, "{owner} {rtype} without DO");
    }
}

#[test]
fn rfc4035_s3_1_4_a_referral_has_the_signed_ds_and_neither_its_ns_nor_glue_is_signed() {
    let referral = |dnssec_ok| ask("x.cut.example.", Rtype::A, dnssec_ok);
    let signed = ["cut.example. 300 NS", "cut.example. 300 DS", "cut.example. 300 RRSIG DS"];
    assert_eq!(referral(true), [&[][..], &signed, &["ns.cut.example. 300 A"]]);
    assert_eq!(referral(false), [&[][..], &signed[..1], &["ns.cut.example. 300 A"]]);
}

#[test]
fn signatures_can_be_asked_for_and_come_with_any() {
    let [answer, ..] = ask("www.example", Rtype::RRSIG, false);
    assert_eq!(answer, ["www.example. 300 RRSIG A"; 2]);
    let [answer, ..] = ask("alias.example", Rtype::ANY, true);
    assert_eq!(answer, ["alias.example. 300 CNAME", "alias.example. 300 RRSIG CNAME"]);
}

#[test]
fn rfc4035_s3_1_1_an_rrset_and_its_signatures_are_cut_together() {
    let snapshot = snapshot(zone(1));
    let ask = |owner, rtype, dnssec_ok| ask_in(&snapshot, owner, rtype, Transport::Udp, dnssec_ok);
    assert_eq!(
        ask("large.example", Rtype::TXT, false),
        ([vec!["large.example. 300 TXT".to_string()], vec![], vec![]], false)
    );
    assert_eq!(ask("large.example", Rtype::TXT, true), ([vec![], vec![], vec![]], true));
    // Optional RRsets of the additional section are left out without TC.
    let (sections, truncated) = ask("mail.example", Rtype::MX, true);
    assert_eq!((sections.map(|section| section.len()), truncated), ([2, 0, 4], false));
    let mut more = ZoneBuilder::new(name("example"));
    let base = zone(1);
    for node in base.nodes() {
        for (rtype, ttl, rdata) in node.rrsets().flat_map(RrSet::all_records) {
            more.add(node.owner(), rtype, ttl, rdata, 0).unwrap();
        }
    }
    for key in 3..6 {
        more.add(name("www.example").as_name(), Rtype::RRSIG, Ttl(300), &rrsig(Rtype::A, 300, key), 0).unwrap();
    }
    let snapshot = self::snapshot(more.finish().unwrap().0);
    let (sections, truncated) = ask_in(&snapshot, "mail.example", Rtype::MX, Transport::Udp, true);
    assert_eq!((sections.map(|section| section.len()), truncated), ([2, 0, 0], false));
}

#[test]
fn a_tailored_rrset_and_its_signatures_have_one_shortened_ttl() {
    let mut signed = Vec::new();
    push_record(Rtype::A, Ttl(300), &[192, 0, 2, 1], &mut signed);
    for key in [1, 2] {
        push_record(Rtype::RRSIG, Ttl(300), &rrsig(Rtype::A, 300, key), &mut signed);
    }
    let set = RrSet::signed(Rtype::A, Ttl(20), 1, &signed);
    let stored = name("blob.example");
    for (owner, shown_owner) in [(Owner::Question, "www.example."), (Owner::Stored(stored.as_name()), "blob.example.")]
    {
        let mut response = Response::empty();
        response.answer.push(Rr { owner, data: Data::Tailored(set), need: Need::Required });
        let message = query("www.example", Rtype::A, true);
        let query = decode(&message).unwrap();
        let mut out = vec![0; MAX_STREAM];
        let written = encode(&query, &response, &Extras::default(), Transport::Tcp, &Settings::default(), &mut out);
        let ([answer, ..], _) = shown(&out[..written.len]);
        let [address, signature] = ["A", "RRSIG A"].map(|rtype| format!("{shown_owner} 20 {rtype}"));
        assert_eq!(answer, [address, signature.clone(), signature]);
    }
}

#[test]
fn signatures_are_part_of_a_version_of_the_zone() {
    let (old, new) = (zone(1), zone(2));
    // The signature of the SOA is the same here, although a real key would make another. No other record changes.
    assert!(Difference::between(&old, &new).is_empty());
    let signatures = |zone: &Zone| {
        let all = zone.nodes().flat_map(|node| node.rrsets()).flat_map(RrSet::all_records);
        all.filter(|(rtype, ..)| *rtype == Rtype::RRSIG).count()
    };
    assert_eq!(signatures(&old), 14);
    let mut unsigned = ZoneBuilder::new(name("example"));
    for node in old.nodes() {
        for set in node.rrsets() {
            set.records().for_each(|(ttl, rdata)| unsigned.add(node.owner(), set.rtype, ttl, rdata, 0).unwrap());
        }
    }
    let unsigned = unsigned.finish().unwrap().0;
    let difference = Difference::between(&unsigned, &old);
    assert_eq!((difference.added.iter().count(), difference.removed.iter().count()), (14, 0));
    assert!(difference.added.iter().any(|record| record.owner == old.apex() && record.rdata[..2] == [0, 6]));
    assert!(unsigned.canonical_order().is_none());
    let order = old.canonical_order().unwrap();
    assert_eq!(order.at_or_before(name("nt.example").as_name(), &old).owner(), name("ns.example").as_name());
    // Dynamic records leave the records of the file signed.
    let key = RrSetKey::new(name("example"), name("_acme-challenge.example"), Rtype::TXT).unwrap();
    let set = DynamicRrSet::new(&key, Ttl(0), vec![b"\x01t".to_vec()]).unwrap();
    let snapshot = snapshot(old).after(&Change::Dynamic(Box::new(key), Some(set)));
    assert_eq!(signatures(snapshot.zones().zone(ZoneId(0))), 14);
}

#[test]
fn a_signature_of_nothing_is_left_out() {
    let mut builder = ZoneBuilder::new(name("example"));
    let base = zone(1);
    for (rtype, ttl, rdata) in base.node(NodeId(0)).rrsets().flat_map(RrSet::all_records) {
        builder.add(base.apex(), rtype, ttl, rdata, 0).unwrap();
    }
    for covered in [Rtype::MX, Rtype::RRSIG] {
        builder.add(base.apex(), Rtype::RRSIG, Ttl(300), &rrsig(covered, 300, 1), covered.0.into()).unwrap();
    }
    let (zone, problems) = builder.finish().unwrap();
    let said: Vec<String> =
        problems.iter().filter(|problem| problem.fault.as_str() == "signs-nothing").map(ToString::to_string).collect();
    assert_eq!(
        said,
        ["MX", "RRSIG"].map(|rtype| format!("an RRSIG of `example` covers {rtype}, of which the owner has no record"))
    );
    assert_eq!(zone.node(NodeId(0)).rrsets().flat_map(RrSet::signature_records).count(), 2);
}
