use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::base::name::name;
use crate::base::time::{Generation, Now, UnixTime};
use crate::snapshot::{Compiled, Party, Policy, Snapshot, Transfers};
use crate::wire::transfer;
use crate::wire::{MAX_STREAM, Peer, Transport};
use crate::zone::{Difference, ZoneOverlays, ZoneSet, key_tag};

const ID: u16 = 0x1234;

/// The time of the tests.
const NOW: UnixTime = UnixTime(1_800_000_000);

/// The treatment of a zone with all of its signatures.
const KEPT: (SignedZone, UnixTime) = (SignedZone::Kept, NOW);

/// An owner, a type, a TTL and data.
type Made = (NameBuf, Rtype, u32, Vec<u8>);

fn zone(serial: u32, records: &[Made]) -> Zone {
    let apex = name("Example.net");
    let mut builder = ZoneBuilder::new(apex.clone());
    let numbers = [serial, 7200, 3600, 1_209_600, 300].map(u32::to_be_bytes).concat();
    let soa = [name("ns.example.net").as_name().as_wire(), name("h").as_name().as_wire(), &numbers].concat();
    builder.add(apex.as_name(), Rtype::SOA, Ttl(300), &soa, 0).unwrap();
    builder.add(apex.as_name(), Rtype::NS, Ttl(300), name("ns.Example.net").as_name().as_wire(), 0).unwrap();
    // A large record, because the primary sends changes only if that is shorter than sending the zone.
    builder.add(apex.as_name(), Rtype(65_301), Ttl(300), &[7; 12_000], 0).unwrap();
    for (owner, rtype, ttl, rdata) in records {
        builder.add(owner.as_name(), *rtype, Ttl(*ttl), rdata, 0).unwrap();
    }
    builder.finish().unwrap().0
}

fn host(label: &str, last: u8) -> Made {
    (name(&format!("{label}.example.net")), Rtype::A, 60, vec![192, 0, 2, last])
}

/// All messages of the answer to a query for the first zone.
fn sent(query: &[u8], zones: ZoneSet) -> Vec<Vec<u8>> {
    let policy = Policy { allow: vec![Party { prefix: None, key: None }], ..Policy::default() };
    let transfers = Transfers { zones: vec![policy], ..Transfers::default() };
    let snapshot = Snapshot::new(Generation(1), zones, Compiled::default()).with_transfers(transfers);
    let peer = Peer { address: IpAddr::from([127, 0, 0, 1]), transport: Transport::Tcp };
    let mut transfer = transfer::begin(query, peer, &snapshot, Now::default()).unwrap();
    let (mut out, mut messages) = (vec![0; MAX_STREAM], Vec::new());
    while let Some(len) = transfer.next(UnixTime(0), &mut out) {
        messages.push(out[..len].to_vec());
    }
    messages
}

/// The zone that the messages make; `None` if the copy is up to date.
fn received(messages: &[Vec<u8>], have: Option<Arc<Zone>>) -> Result<Option<Zone>, TransferRefusal> {
    let mut inbound = Inbound::new(name("Example.net"), have, ID, KEPT);
    for (at, message) in messages.iter().enumerate() {
        match inbound.take(message)? {
            TransferProgress::More => {}
            TransferProgress::UpToDate => return Ok(None),
            TransferProgress::Zone(zone) => {
                assert_eq!(at + 1, messages.len(), "the last message ends it");
                return Ok(Some(*zone));
            }
        }
    }
    Err(TransferRefusal::Malformed("it does not end"))
}

fn is_same(one: &Zone, other: &Zone) -> bool {
    let difference = Difference::between(one, other);
    difference.is_empty() && difference.old_soa == difference.new_soa
}

fn whole(zone_sent: Zone) -> Vec<Vec<u8>> {
    sent(&query(name("example.net").as_name(), None, ID), ZoneSet::new(vec![zone_sent]))
}

fn changed(old: Zone, new: Zone) -> Vec<Vec<u8>> {
    let asked = query(name("example.net").as_name(), Some(&old), ID);
    sent(&asked, ZoneSet::new(vec![new]).following(&ZoneSet::new(vec![old]), &ZoneOverlays::default(), |_| false))
}

/// Records with owners from a small set of labels, so that owners share ancestors, and data of types with and without names.
fn records() -> impl Strategy<Value = Vec<Made>> {
    let label = prop::sample::select(vec!["a", "B", "b", "*", "x\\.y", "_tcp", "long-label-that-takes-room"]);
    let owner = prop::collection::vec(label, 0..3).prop_map(|labels| {
        name(&labels.iter().fold("Example.net".to_string(), |name, label| format!("{label}.{name}")))
    });
    let data = prop_oneof![
        any::<[u8; 4]>().prop_map(|octets| (Rtype::A, octets.to_vec())),
        any::<[u8; 16]>().prop_map(|octets| (Rtype::AAAA, octets.to_vec())),
        (any::<u16>(), owner.clone()).prop_map(|(preference, name)| {
            (Rtype::MX, [&preference.to_be_bytes(), name.as_name().as_wire()].concat())
        }),
        (any::<[u8; 6]>(), owner.clone())
            .prop_map(|(numbers, name)| (Rtype::SRV, [&numbers, name.as_name().as_wire()].concat())),
        prop::collection::vec(any::<u8>(), 0..200)
            .prop_map(|text| (Rtype::TXT, [&[text.len() as u8][..], &text].concat())),
        prop::collection::vec(any::<u8>(), 0..400).prop_map(|octets| (Rtype(65_300), octets)),
    ];
    prop::collection::vec((owner, data), 0..120)
        .prop_map(|all| all.into_iter().map(|(owner, (rtype, rdata))| (owner, rtype, 60, rdata)).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_zone_comes_out_as_it_went_in(records in records()) {
        let original = zone(7, &records);
        let received = received(&whole(zone(7, &records)), None).unwrap().unwrap();
        prop_assert!(is_same(&original, &received));
    }

    #[test]
    fn changes_make_the_new_zone_of_the_old(old in records(), new in records(), common in records()) {
        let make = |serial, own: &[Made]| zone(serial, &[&common[..], own].concat());
        let received = received(&changed(make(7, &old), make(8, &new)), Some(Arc::new(make(7, &old)))).unwrap();
        prop_assert!(is_same(&make(8, &new), &received.unwrap()));
    }

    #[test]
    fn damaged_messages_are_refused_and_never_panic(at in any::<prop::sample::Index>(), octet in any::<u8>()) {
        let mut messages = whole(zone(7, &[host("a", 1), host("b", 2)]));
        let at = at.index(messages[0].len());
        messages[0][at] = octet;
        let _ = received(&messages, None);
        messages[0].truncate(at);
        prop_assert!(received(&messages, None).is_err());
    }
}

#[test]
fn several_changes_follow_each_other() {
    let zones: Vec<_> = (0..4).map(|at| vec![host("a", at), host("b", 1), host(&format!("c{at}"), 1)]).collect();
    let version = |serial: u32| zone(serial, &zones[serial as usize]);
    let first = ZoneSet::new(vec![version(0)]);
    let second = ZoneSet::new(vec![version(1)]).following(&first, &ZoneOverlays::default(), |_| false);
    let third = ZoneSet::new(vec![version(2)]).following(&second, &ZoneOverlays::default(), |_| false);
    let messages = sent(&query(name("example.net").as_name(), Some(&version(0)), ID), third);
    let count = u16::from_be_bytes([messages[0][6], messages[0][7]]);
    assert_eq!(count, 2 + 2 * (2 + 2 + 2), "two changes, each of two records that go and two that come");
    let received = received(&messages, Some(Arc::new(version(0)))).unwrap().unwrap();
    assert!(is_same(&received, &version(2)));
}

#[test]
fn what_is_not_newer_is_up_to_date() {
    let have = Arc::new(zone(8, &[]));
    let messages = sent(&query(name("example.net").as_name(), Some(&have), ID), ZoneSet::new(vec![zone(8, &[])]));
    assert!(received(&messages, Some(have)).unwrap().is_none());
}

#[test]
fn changes_that_do_not_fit_are_refused() {
    let messages = changed(zone(7, &[host("a", 1)]), zone(8, &[host("a", 2)]));
    let other = Arc::new(zone(7, &[host("a", 3)]));
    assert_eq!(received(&messages, Some(other)).unwrap_err(), TransferRefusal::DoesNotFit);
}

#[test]
fn malformed_transfers_are_refused_with_their_reason() {
    let good = || whole(zone(7, &[host("a", 1)])).remove(0);
    let refusal = |message: Vec<u8>| received(&[message], None).unwrap_err();
    let set_count = |mut message: Vec<u8>, count: u16| {
        message[6..8].copy_from_slice(&count.to_be_bytes());
        message
    };
    let records = u16::from_be_bytes([good()[6], good()[7]]);
    assert_eq!(refusal(set_count(good(), 0)), TransferRefusal::Malformed("a message without records"));
    assert_eq!(refusal(set_count(good(), records - 1)), TransferRefusal::Malformed("it does not end"));
    assert_eq!(refusal(set_count(good(), records + 1)), TransferRefusal::Malformed("a message cannot be read"));
    let mut rcode = good();
    rcode[3] = 5;
    assert_eq!(refusal(rcode), TransferRefusal::Rcode(Rcode::REFUSED));
    let mut other_id = good();
    other_id[0] ^= 1;
    assert_eq!(refusal(other_id), TransferRefusal::Malformed("a message is no reply to the query"));
    let mut truncated = good();
    truncated[2] |= 2;
    assert_eq!(refusal(truncated), TransferRefusal::Malformed("a message is truncated"));
    // Another zone's transfer.
    let mut inbound = Inbound::new(name("example.com"), None, ID, KEPT);
    let refused = inbound.take(&good()).unwrap_err();
    assert_eq!(refused, TransferRefusal::Malformed("it does not begin with the zone's SOA"));
}

#[test]
fn a_zone_that_could_not_be_served_is_refused() {
    let (text, other): (Made, Made) = (
        (name("a.example.net"), Rtype::TXT, 60, b"\x00".to_vec()),
        (name("a.example.net"), Rtype(65_300), 60, vec![1]),
    );
    let mut message = whole(zone(7, &[text, other])).remove(0);
    let at = message.windows(4).position(|octets| octets == [0, 16, 0, 1]).unwrap();
    // The TXT of one empty string becomes a CNAME to the root, beside the other record.
    message[at + 1] = 5;
    let refusal = received(&[message.clone()], None).unwrap_err();
    assert!(matches!(&refusal, TransferRefusal::NotAZone(why) if why.contains("CNAME")), "{refusal}");
    // Then a record whose name has no end.
    let end = message.windows(5).position(|octets| octets == [0, 5, 0, 1, 0]).unwrap();
    message[end + 10] = 63;
    assert_eq!(received(&[message], None).unwrap_err(), TransferRefusal::Malformed("a message cannot be read"));
}

/// The zone that the messages make with this treatment of signed zones.
fn received_as(
    signed: (SignedZone, UnixTime),
    messages: &[Vec<u8>],
    have: Option<Arc<Zone>>,
) -> Result<Zone, TransferRefusal> {
    let mut inbound = Inbound::new(name("Example.net"), have, ID, signed);
    for message in messages {
        if let TransferProgress::Zone(zone) = inbound.take(message)? {
            return Ok(*zone);
        }
    }
    Err(TransferRefusal::Malformed("it does not end"))
}

/// The records by which a zone is signed, some of which differ from one version to the next.
fn signatures(serial: u8) -> Vec<Made> {
    let signature = [&[0, 6, 15, 2, 0, 0, 1, 44, 0, 0, 0, 2, 0, 0, 0, 1, 0, 7, 0][..], &[serial; 64]].concat();
    vec![
        (name("example.net"), Rtype::DNSKEY, 300, [&[1, 1, 3, 15][..], &[7; 32]].concat()),
        (name("example.net"), Rtype::RRSIG, 300, signature.clone()),
        (name("hash.example.net"), Rtype::NSEC3, 300, vec![1, 0, 0, 0, 0, 1, 7, 0, 1, 0x40]),
        (name("hash.example.net"), Rtype::RRSIG, 300, signature),
    ]
}

#[test]
fn a_half_signed_zone_is_refused_or_taken_without_its_dnssec_records() {
    let plain = vec![host("a", 1)];
    let messages = whole(zone(2, &[signatures(2), plain.clone()].concat()));
    let refusal = received_as(KEPT, &messages, None).unwrap_err();
    assert!(matches!(&refusal, TransferRefusal::NotAZone(why) if why.contains("has no RRSIG")), "{refusal}");
    let taken = received_as((SignedZone::Stripped, NOW), &messages, None).unwrap();
    assert!(is_same(&taken, &zone(2, &plain)));
    assert!(!taken.nodes().any(|node| node.owner() == name("hash.example.net").as_name()));
}

/// The RRSIG of an RRset at the apex by the key of [`signed_whole`].
fn rrsig(rtype: Rtype, expires: u64) -> Made {
    let times = [expires, NOW.0 - 60].map(|time| (time as u32).to_be_bytes()).concat();
    let head = [&rtype.0.to_be_bytes()[..], &[15, 2, 0, 0, 1, 44], &times, &key_tag(&KEY).to_be_bytes()].concat();
    let rdata = [&head[..], name("example.net").as_name().as_wire(), &[7; 64]].concat();
    (name("example.net"), Rtype::RRSIG, 300, rdata)
}

const KEY: [u8; 36] = {
    let mut key = [7; 36];
    (key[0], key[1], key[2], key[3]) = (1, 1, 3, 15);
    key
};

/// A zone with one owner that is signed whole.
fn signed_whole(expires: u64) -> Zone {
    let next = [name("example.net").as_name().as_wire(), &[0, 1, 0x40]].concat();
    let mut records =
        vec![(name("example.net"), Rtype::DNSKEY, 300, KEY.to_vec()), (name("example.net"), Rtype::NSEC, 300, next)];
    let types = [Rtype::SOA, Rtype::NS, Rtype(65_301), Rtype::DNSKEY, Rtype::NSEC];
    records.extend(types.map(|rtype| rrsig(rtype, expires)));
    zone(2, &records)
}

#[test]
fn a_zone_that_is_signed_whole_is_taken_with_its_signatures_until_these_expire() {
    let valid = signed_whole(NOW.0 + 60);
    let taken = received_as(KEPT, &whole(signed_whole(NOW.0 + 60)), None).unwrap();
    assert!(is_same(&taken, &valid));
    assert_eq!(taken.nodes().flat_map(|node| node.rrsets()).filter(|set| set.is_signed()).count(), 5);
    let refusal = received_as(KEPT, &whole(signed_whole(NOW.0 - 1)), None).unwrap_err();
    assert!(matches!(&refusal, TransferRefusal::NotAZone(why) if why.contains("has expired")), "{refusal}");
    let keys = received_as((SignedZone::SignedHere, NOW), &whole(valid), None).unwrap();
    let types: Vec<_> = keys.nodes().flat_map(|node| node.rrsets().map(|set| (set.rtype, set.is_signed()))).collect();
    let left = [Rtype::NS, Rtype::SOA, Rtype::DNSKEY, Rtype(65_301)].map(|rtype| (rtype, false));
    assert_eq!(types, left, "the keys of a zone that is signed here stay");
}

#[test]
fn changes_of_signatures_are_left_out_of_a_zone_without_them() {
    let (old, new) = (vec![host("a", 1)], vec![host("a", 2)]);
    let versions = [(1, &old), (2, &new)]
        .map(|(serial, hosts)| zone(serial.into(), &[signatures(serial), hosts.clone()].concat()));
    let [before, after] = versions;
    let have = Arc::new(zone(1, &old));
    let set = ZoneSet::new(vec![after]).following(&ZoneSet::new(vec![before]), &ZoneOverlays::default(), |_| false);
    let changes = sent(&query(name("example.net").as_name(), Some(&have), ID), set);
    let taken = received_as((SignedZone::Stripped, NOW), &changes, Some(have)).unwrap();
    let difference = Difference::between(&zone(2, &new), &taken);
    assert!(is_same(&taken, &zone(2, &new)), "{difference:?}");
}

/// A message with the question of a transfer and these answers, each already encoded.
fn message(answers: &[Vec<u8>]) -> Vec<u8> {
    let mut message = question(name("Example.net").as_name(), Rtype::AXFR, ID);
    message[2] = 0x80;
    message[7] = answers.len() as u8;
    answers.iter().for_each(|answer| message.extend_from_slice(answer));
    message
}

fn soa(serial: u32) -> Vec<u8> {
    // The owner and both names are that of the question.
    let numbers = [serial, 7200, 3600, 1_209_600, 300].map(u32::to_be_bytes).concat();
    [&[0xc0, 12, 0, 6, 0, 1, 0, 0, 0, 60, 0, 24, 0xc0, 12, 0xc0, 12][..], &numbers].concat()
}

#[test]
fn rfc1982_an_older_serial_is_no_sign_that_all_is_well() {
    let have = || Some(Arc::new(zone(100, &[])));
    assert!(matches!(received(&[message(&[soa(100)])], have()), Ok(None)));
    let refused = received(&[message(&[soa(5)])], have()).unwrap_err();
    assert_eq!(refused, TransferRefusal::Older { theirs: 5, ours: 100 });
}

#[test]
fn rfc5936_s2_2_messages_without_records_do_not_go_on_for_ever() {
    let mut inbound = Inbound::new(name("Example.net"), None, ID, KEPT);
    assert!(matches!(inbound.take(&message(&[soa(1)])), Ok(TransferProgress::More)));
    assert_eq!(inbound.take(&message(&[])).unwrap_err(), TransferRefusal::Malformed("a message without records"));
}

#[test]
fn names_count_as_long_as_they_are_however_well_they_are_compressed() {
    // One owner of 255 bytes, and pointers to it.
    let long =
        [&[63; 1][..], &[b'a'; 63], &[63], &[b'b'; 63], &[63], &[b'c'; 63], &[49], &[b'd'; 49], &[0xc0, 12]].concat();
    let a = |owner: &[u8]| [owner, &[0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]].concat();
    let at = 12 + 13 + 4 + soa(1).len();
    let pointer = [0xc0 | (at >> 8) as u8, at as u8];
    let mut answers = vec![soa(1), a(&long)];
    answers.resize(200, a(&pointer));
    let message = message(&answers);
    let mut inbound = Inbound { most: 50_000, ..Inbound::new(name("Example.net"), None, ID, KEPT) };
    assert!(message.len() < 5_000, "{} bytes on the way", message.len());
    assert_eq!(inbound.take(&message).unwrap_err(), TransferRefusal::TooLong);
}
