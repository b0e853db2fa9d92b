//! Steered owners: with and without records of the zone.
//!
//! **Not here**: the fixture, and lookups compared with an oracle ([`super`]).

use super::*;

const STEERED: Steered = Steered { horizon: HorizonId(3), ttl: Ttl(60), service: None };

#[test]
fn a_steered_owner_exists_without_records_and_counts_as_an_address() {
    let mut builder = example(&["example MX cdn.example", "_x._tcp.example SRV any.w.example"]);
    builder.steer(name("cdn.example").as_name(), STEERED, 100).unwrap();
    builder.steer(name("*.w.example").as_name(), STEERED, 101).unwrap();
    builder.steer(name("EXAMPLE").as_name(), STEERED, 102).unwrap();
    assert_eq!(builder.steer(name("CDN.example").as_name(), STEERED, 103), Err(AddError::SteeredTwice));
    assert_eq!(builder.steer(name("other").as_name(), STEERED, 104), Err(AddError::OutOfZone));
    let (zone, problems) = builder.finish().unwrap();
    assert_eq!(problems, []);
    let Found::Exact(id) = find(&zone, "cdn.example") else { panic!("cdn exists") };
    assert_eq!(zone.node(id).steered(), Some(STEERED));
    assert!(!zone.node(id).is_empty());
    assert_eq!(zone.node(NodeId(0)).steered(), Some(STEERED));
    assert_eq!(shown(&zone, "any.w.example"), "below w.example, *.w.example");
}

#[test]
fn a_steered_owner_has_no_addresses_of_its_own_and_is_not_occluded() {
    let mut builder = example(&["a.example A 192.0.2.1", "sub.example NS ns.other", "d.example DNAME other"]);
    for (owner, tag) in
        [("a.example", 100), ("sub.example", 101), ("x.sub.example", 102), ("x.d.example", 103), ("d.example", 104)]
    {
        builder.steer(name(owner).as_name(), STEERED, tag).unwrap();
    }
    let expected = ["steered-and-static 100", "steered-occluded 101", "steered-occluded 102", "steered-occluded 103"];
    assert_eq!(codes(builder), expected);
    let mut builder = example(&["example NS cdn.example"]);
    builder.steer(name("cdn.example").as_name(), STEERED, 100).unwrap();
    assert_eq!(codes(builder), ["~steered-name-server 2"]);
}

#[test]
fn an_https_record_comes_from_the_steering_or_from_the_zone() {
    let record: &[u8] = b"\0\x01\0\0\x01\0\x03\x02h2";
    let with = |service| {
        let mut builder = example(&[]);
        builder.add(name("cdn.example").as_name(), Rtype::HTTPS, Ttl(60), record, 50).unwrap();
        builder.steer(name("cdn.example").as_name(), Steered { service, ..STEERED }, 100).unwrap();
        codes(builder)
    };
    assert_eq!(with(None), [] as [&str; 0]);
    assert_eq!(with(Some(ServiceId(0))), ["steered-and-static 100"]);
}

#[test]
fn rfc9460_s7_3_a_steered_owner_has_no_address_hints() {
    // 1 . alpn=h2, then 1 . ipv4hint=192.0.2.1, the same for another target, and ipv6hint by a wildcard.
    let alpn: &[u8] = b"\0\x01\0\0\x01\0\x03\x02h2";
    let hint: &[u8] = b"\0\x01\0\0\x01\0\x03\x02h2\0\x04\0\x04\xc0\0\x02\x01";
    let elsewhere: &[u8] = b"\0\x01\x03cdn\x07example\0\0\x06\0\x10\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01";
    let mut builder = example(&[]);
    for (owner, rdata, tag) in [("cdn.example", alpn, 50), ("cdn.example", hint, 51), ("www.example", elsewhere, 52)] {
        builder.add(name(owner).as_name(), Rtype::HTTPS, Ttl(60), rdata, tag).unwrap();
    }
    builder.add(name("plain.example").as_name(), Rtype::SVCB, Ttl(60), hint, 53).unwrap();
    builder.steer(name("cdn.example").as_name(), STEERED, 100).unwrap();
    assert_eq!(codes(builder), ["steered-hints 51", "steered-hints 52"]);
}

#[test]
fn a_reserved_name_has_no_clashing_record_and_is_not_occluded() {
    const ADDRESSES: &[Rtype] = &[Rtype::A, Rtype::AAAA];
    let mut builder = example(&[
        "a.example A 192.0.2.1",
        "c.example CNAME other",
        "m.example MX other",
        "sub.example NS ns.other",
        "d.example DNAME other",
    ]);
    for (owner, types, tag) in [
        ("A.example", ADDRESSES, 100),
        ("c.example", ADDRESSES, 101),
        ("m.example", ADDRESSES, 102),
        ("m.example", &[Rtype::MX][..], 103),
        ("x.sub.example", ADDRESSES, 104),
        ("y.x.d.example", ADDRESSES, 105),
        ("x.absent.example", ADDRESSES, 106),
    ] {
        builder.reserve(ReservedOwner { owner: name(owner), types, tag });
    }
    let of_records = ["acme-and-static 2", "acme-and-static 3", "acme-and-static 4"];
    assert_eq!(codes(builder), [&of_records[..], &["acme-occluded 104", "acme-occluded 105"]].concat());
    // A reserved name does not exist by that.
    let mut builder = example(&[]);
    builder.reserve(ReservedOwner { owner: name("a.example"), types: ADDRESSES, tag: 100 });
    let (zone, _) = builder.finish().unwrap();
    assert_eq!(shown(&zone, "a.example"), "below example");
}
