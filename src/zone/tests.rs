//! What a zone finds, and what it says is wrong: facts, and a tree of names as oracle.

use super::*;
use crate::base::name::NameBuf;

fn name(text: &str) -> NameBuf {
    NameBuf::parse(text).unwrap()
}

fn wire(text: &str) -> Vec<u8> {
    name(text).as_name().as_wire().to_vec()
}

/// Rdata from text, for the types the tests need.
fn rdata(rtype: Rtype, text: &str) -> Vec<u8> {
    match rtype {
        Rtype::A => text.parse::<std::net::Ipv4Addr>().unwrap().octets().to_vec(),
        Rtype::AAAA => text.parse::<std::net::Ipv6Addr>().unwrap().octets().to_vec(),
        Rtype::MX => [&[0, 10][..], &wire(text)].concat(),
        Rtype::SRV => [&[0, 1, 0, 1, 1, 187][..], &wire(text)].concat(),
        Rtype::TXT => [&[text.len() as u8], text.as_bytes()].concat(),
        Rtype::SOA => {
            let numbers = [7, 7200, 3600, 1_209_600, 300u32].map(u32::to_be_bytes).concat();
            [wire(text), wire("hostmaster.example"), numbers].concat()
        }
        _ => wire(text),
    }
}

/// A builder with records written as `owner type rdata`, tagged by their place in the list, and all of TTL 3600.
fn builder(apex: &str, records: &[&str]) -> ZoneBuilder {
    let mut builder = ZoneBuilder::new(name(apex));
    for (record, tag) in records.iter().zip(0..) {
        let [owner, rtype, data] = record.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let rtype: Rtype = rtype.parse().unwrap();
        builder.add(name(owner).as_name(), rtype, Ttl(3600), &rdata(rtype, data), tag).unwrap();
    }
    builder
}

/// A zone `example` with SOA and NS (tags 0 and 1) and more records.
fn example(more: &[&str]) -> ZoneBuilder {
    builder("example", &[&["example SOA ns.other", "example NS ns.other"], more].concat())
}

fn find(zone: &Zone, text: &str) -> Found {
    let name = name(text);
    zone.find(name.as_name(), &name.as_name().suffixes())
}

/// The found name and wildcard as text.
fn shown(zone: &Zone, text: &str) -> String {
    let show = |id| zone.node(id).owner().to_string();
    match find(zone, text) {
        Found::Exact(id) => show(id),
        Found::Below { encloser, wildcard: None } => format!("below {}", show(encloser)),
        Found::Below { encloser, wildcard: Some(id) } => format!("below {}, {}", show(encloser), show(id)),
    }
}

#[test]
fn an_rrset_stands_ready_for_a_message() {
    let zone = example(&["www.example A 192.0.2.1", "www.example A 192.0.2.2", "WWW.example A 192.0.2.1"]);
    let (zone, problems) = zone.finish().unwrap();
    assert_eq!(problems, []);
    let Found::Exact(id) = find(&zone, "wWw.Example") else { panic!("www exists") };
    let set = zone.node(id).rrset(Rtype::A).unwrap();
    assert_eq!((set.count, set.ttl), (2, Ttl(3600)));
    let record = |last| [0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4, 192, 0, 2, last];
    assert_eq!(set.wire, [record(1), record(2)].concat());
    assert_eq!(set.rdatas().collect::<Vec<_>>(), [[192, 0, 2, 1], [192, 0, 2, 2]]);
    assert!(zone.node(id).rrset(Rtype::AAAA).is_none());
}

#[test]
fn negative_answers_live_no_longer_than_the_minimum() {
    let (zone, _) = example(&[]).finish().unwrap();
    assert_eq!(zone.serial(), 7);
    assert_eq!(zone.soa().ttl, Ttl(3600));
    let negative = zone.negative_soa();
    assert_eq!((negative.ttl, negative.count), (Ttl(300), 1));
    assert_eq!(negative.wire[6..10], 300u32.to_be_bytes());
    assert_eq!(negative.wire[10..], zone.soa().wire[10..]);
}

#[test]
fn rfc4592_s2_2_1_the_closest_encloser_and_its_wildcard_are_found() {
    let (zone, _) = example(&[
        "*.example TXT any",
        "sub.*.example TXT odd",
        "host1.example A 192.0.2.1",
        "_ssh._tcp.host1.example SRV host1.example",
        "_ssh._tcp.host2.example SRV host1.example",
    ])
    .finish()
    .unwrap();
    for (asked, found) in [
        ("host3.example", "below example, *.example"),
        ("foo.bar.example", "below example, *.example"),
        ("host1.example", "host1.example"),
        ("sub.*.example", "sub.*.example"),
        ("_telnet._tcp.host1.example", "below _tcp.host1.example"),
        ("host2.example", "host2.example"),
        ("ghost.*.example", "below *.example"),
        ("example", "example"),
    ] {
        assert_eq!(shown(&zone, asked), found, "{asked}");
    }
    let Found::Exact(host2) = find(&zone, "host2.example") else { panic!("host2 exists") };
    assert!(zone.node(host2).is_empty());
}
