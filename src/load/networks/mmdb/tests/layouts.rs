//! Databases of several makers, and files that break the format.
//!
//! **Not here**: the walk over a database ([`super`]).

use super::*;

/// The labels of one record, as text: AS number, country, continent, subdivision, place.
fn labels_of(record: Value) -> String {
    match read_as_mmdb(MmdbWriter::new(4).add("192.0.2.0/24", record).finish("Test")) {
        Ok(source) => words(labels_at(&source, "192.0.2.1").unwrap()),
        Err(problems) => problems[0].code.to_string(),
    }
}

fn words(labels: Labels<'_>) -> String {
    let kinds = [LabelKind::Asn, LabelKind::Country, LabelKind::Continent, LabelKind::Subdivision];
    let values = kinds.into_iter().filter_map(|kind| labels.value(kind)).map(|value| value.to_string());
    let place = labels.coordinates.map(|place| format!("{:?}", place.degrees()));
    values.chain(place).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_layouts_of_other_makers_are_read() {
    for (maker, record, expected) in [
        (
            "IPinfo Lite",
            json!({
                "as_domain": "example.com", "as_name": "Example", "asn": "AS64500", "continent": "North America",
                "continent_code": "NA", "country": "United States", "country_code": "US",
            }),
            "64500 US NA",
        ),
        (
            "IPinfo country and ASN",
            json!({ "asn": "AS64500", "continent": "EU", "country": "DE", "country_name": "Germany" }),
            "64500 DE EU",
        ),
        (
            "IPLocate country",
            json!({ "continent_code": "OC", "country_code": "AU", "country_name": "Australia" }),
            "AU OC",
        ),
        (
            "IPLocate ASN",
            json!({ "asn": { "$uint32": 64500 }, "country_code": "AU", "name": "EXAMPLE" }),
            "64500 AU OC",
        ),
        ("ip-location-db country", json!({ "country_code": "FR" }), "FR EU"),
        (
            "ip-location-db city",
            json!({
                "city": "Paris", "country_code": "FR", "latitude": { "$float": 48.85 }, "longitude": { "$float": 2.35 },
                "state1": "Île-de-France",
            }),
            "FR EU (48.85, 2.35)",
        ),
        (
            "ip-location-db ASN",
            json!({ "autonomous_system_number": { "$uint32": 64500 }, "autonomous_system_organization": "Example" }),
            "64500",
        ),
        (
            "DB-IP City Lite",
            json!({
                "city": { "names": { "en": "Berlin" } }, "continent": { "code": "EU" }, "country": { "iso_code": "DE" },
                "location": { "latitude": 52.52, "longitude": 13.4 }, "subdivisions": [{ "names": { "en": "Berlin" } }],
            }),
            "DE EU (52.52, 13.4)",
        ),
    ] {
        assert_eq!(labels_of(record), expected, "{maker}");
    }
}

#[test]
fn a_number_is_read_whatever_its_width() {
    for kind in ["$uint16", "$uint32", "$uint64", "$uint128", "$int32"] {
        for key in ["autonomous_system_number", "asn"] {
            assert_eq!(labels_of(json!({ key: { kind: 64500 } })), "64500", "{key} as {kind}");
        }
        assert_eq!(labels_of(json!({ "traits": { "autonomous_system_number": { kind: 64500 } } })), "64500", "{kind}");
        let location = json!({ "latitude": { kind: 48 }, "longitude": { "$float": -2.5 } });
        assert_eq!(labels_of(json!({ "location": location })), "(48.0, -2.5)", "{kind}");
    }
    assert_eq!(labels_of(json!({ "asn": { "$uint32": 4_200_000_000u32 } })), "4200000000");
    assert_eq!(
        labels_of(
            json!({ "asn": { "$uint16": 7 }, "location": { "latitude": -33.0, "longitude": { "$int32": 151 } } })
        ),
        "7 (-33.0, 151.0)"
    );
}

#[test]
fn an_as_number_may_be_a_text() {
    for (text, expected) in [
        ("AS64500", "64500 DE EU"),
        ("as64500", "64500 DE EU"),
        ("64500", "64500 DE EU"),
        ("AS4294967295", "4294967295 DE EU"),
        ("AS4294967296", "DE EU"),
        ("AS-1", "DE EU"),
        ("AS+7", "DE EU"),
        ("AS0", "DE EU"),
        ("AS", "DE EU"),
        ("", "DE EU"),
        ("ÄS7", "DE EU"),
        ("EXAMPLE", "DE EU"),
    ] {
        assert_eq!(labels_of(json!({ "asn": text, "country_code": "DE" })), expected, "{text}");
    }
}

#[test]
fn codes_are_folded_and_other_texts_are_no_label() {
    let at = |country: &str| json!({ "asn": "AS7", "country": { "iso_code": country }, "subdivisions": [{ "iso_code": "ca" }] });
    assert_eq!(labels_of(at("us")), "7 US NA US-CA");
    assert_eq!(labels_of(json!({ "country_code": "fr", "continent_code": "eu" })), "FR EU");
    for nothing in ["", "ZZ", "USA", "-", "1A", "Ü"] {
        assert_eq!(labels_of(at(nothing)), "7", "{nothing}");
        assert_eq!(labels_of(json!({ "asn": "AS7", "country_code": nothing, "continent_code": "" })), "7", "{nothing}");
    }
    let odd = json!([{ "iso_code": "California" }]);
    assert_eq!(labels_of(json!({ "country_code": "US", "subdivisions": odd })), "US NA");
}

#[test]
fn a_field_of_an_unexpected_type_is_no_label() {
    for odd in
        [json!(true), json!(5), json!([]), json!([[]]), json!({}), json!(1.5), json!("text"), json!({ "$int32": -7 })]
    {
        let record = json!({
            "country": odd, "continent": odd, "subdivisions": odd, "location": odd, "traits": odd, "latitude": odd,
            "asn": odd, "country_code": "DE",
        });
        let expected = if odd == json!(5) { "5 DE EU" } else { "DE EU" };
        assert_eq!(labels_of(record), expected, "{odd}");
    }
}

#[test]
fn an_empty_code_leaves_the_label_to_the_next_source() {
    assert_eq!(labels_of(json!({ "asn": "AS7", "country": { "iso_code": "" }, "continent": { "code": "" } })), "7");
}

#[test]
fn a_database_needs_no_description() {
    let file = || MmdbWriter::new(6).add("192.0.2.0/24", country("DE")).add("2001:db8::/32", country("FR"));
    for description in [Value::Null, json!({}), json!({ "en": "Test" })] {
        let source = read_as_mmdb(file().metadata("description", description.clone()).finish("Test")).unwrap();
        assert_eq!(prefixes(&source), ["192.0.2.0/24", "2001:db8::/32"], "{description}");
    }
    // The mended metadata is judged like any other.
    let broken = file().metadata("description", Value::Null).metadata("record_size", json!(25)).finish("Test");
    assert_eq!(read_as_mmdb(broken).unwrap_err()[0].code, "bad-database");
    let cut = file().metadata("description", json!({})).finish("Test");
    for end in cut.len() - 120..cut.len() {
        assert!(read_as_mmdb(cut[..end].to_vec()).is_err(), "cut at {end} of {}", cut.len());
    }
}

/// MaxMind's test databases have each size of records with trees of each version.
#[test]
fn records_of_each_size_are_read_alike() {
    let places = |ip_version| {
        let blocks = 0..=255u32;
        blocks.fold(MmdbWriter::new(ip_version), |database, at| {
            let v4 = format!("{at}.{}.0.0/16", at * 7 % 256);
            let place =
                json!({ "country": { "iso_code": "DE" }, "location": { "latitude": at % 90, "longitude": at % 180 } });
            let database = database.add(&v4, place.clone());
            if ip_version == 6 { database.add(&format!("2a{at:02x}::/24"), place) } else { database }
        })
    };
    for (ip_version, count) in [(4, 256), (6, 512)] {
        let [small, odd, large] = [24, 28, 32].map(|size| {
            let source = read_as_mmdb(places(ip_version).record_size(size).finish("Test-City")).unwrap();
            let of = |prefix: &String| words(labels_at(&source, prefix.split('/').next().unwrap()).unwrap());
            prefixes(&source).into_iter().map(|prefix| format!("{prefix} {}", of(&prefix))).collect::<Vec<_>>()
        });
        assert_eq!((small.len(), &small, &small), (count, &odd, &large));
    }
    // A record that is read with another size leads elsewhere.
    let file = places(6).record_size(28).metadata("record_size", json!(24)).finish("Test-City");
    assert!(read_as_mmdb(file).is_err());
}

/// The ways in which MaxMind's files of bad data break the format.
#[test]
fn data_that_breaks_the_format_is_refused() {
    let good = || MmdbWriter::new(4).add("198.51.100.0/24", country("DE"));
    let of = |record: &[u8]| good().add_bytes("192.0.2.0/24", record).finish("Test");
    let key = b"\xe1\x47country";
    let with = |value: &[u8]| of(&[key, value].concat());
    // The record stands behind that of the good network, which has 22 bytes.
    let itself = [0x20, 22];
    for (name, file) in [
        ("an array with more elements than bytes", with(&[0x1f, 0x04, 0xff, 0xff, 0xff])),
        ("a map with more pairs than bytes", with(&[0xff, 0xff, 0xff, 0xff])),
        ("a string longer than the data", with(&[0x5f, 0xff, 0xff, 0xff])),
        ("bytes longer than the data", with(&[0x9f, 0xff, 0xff, 0xff])),
        ("a key longer than the data", of(&[0xe1, 0x5f, 0xff, 0xff, 0xff])),
        ("a key that is not UTF-8", of(&[0xe1, 0x42, 0xc3, 0x28, 0x42, b'D', b'E'])),
        ("a text that is not UTF-8", with(&[0x42, 0xc3, 0x28])),
        ("a map that holds itself", with(&itself)),
        ("a pointer behind the data", with(&[0x38, 0xff, 0xff, 0xff, 0xff])),
        ("an unknown type", with(&[0x01, 0x20])),
        ("a number of too many bytes", with(&[0xa9, 0, 0, 0, 0, 0, 0, 0, 0, 1])),
        ("a float of three bytes", with(&[0x03, 0x08, 0, 0, 0])),
        ("a record behind the data", good().lead("192.0.2.0/24", 1000).finish("Test")),
        ("metadata that is a number", [&good().finish("Test")[..], MARKER, &[0x10, 0x03]].concat()),
        ("metadata without node count", good().metadata("node_count", Value::Null).finish("Test")),
        ("records of 0 bits", good().metadata("record_size", json!(0)).finish("Test")),
        ("more nodes than bytes", good().metadata("node_count", json!(4_000_000_000u32)).finish("Test")),
        ("IP version 5", good().metadata("ip_version", json!(5)).finish("Test")),
        ("format 3", good().metadata("binary_format_major_version", json!(3)).finish("Test")),
    ] {
        let code = read_as_mmdb(file).map_err(|problems| problems[0].code).err();
        assert!(matches!(code, Some("bad-database" | "strange-database")), "{name}: {code:?}");
    }
}
