mod layouts;

use std::net::{IpAddr, Ipv6Addr};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::read;
use super::super::tests::{network, shared};
use super::writer::MmdbWriter;
use super::*;
use crate::base::geo::Coordinates;
use crate::base::special;
use crate::config::NetworkKind;
use crate::networks::{LabelValue, Source};

fn read_as_mmdb(octets: Vec<u8>) -> Result<Source, Vec<Diagnostic>> {
    read(&network(NetworkKind::Mmdb), octets).map(|loaded| loaded.source)
}

fn labels_at<'a>(source: &'a Source, address: &str) -> Option<Labels<'a>> {
    source.entry_at(address.parse().unwrap()).map(|entry| source.labels(entry.labels))
}

fn country(code: &str) -> Value {
    json!({ "country": { "iso_code": code } })
}

fn prefixes(source: &Source) -> Vec<String> {
    let v4 = source.v4().iter().map(|entry| entry.block.to_string());
    v4.chain(source.v6().iter().map(|entry| entry.block.to_string())).collect()
}

/// A test database of MaxMind's, its reader, and our source of it.
fn published(name: &str) -> Option<(Reader<Vec<u8>>, Source)> {
    let octets = shared(name)?;
    let source = read_as_mmdb(octets.clone()).unwrap();
    Some((Reader::from_source(octets).unwrap(), source))
}

/// Checks that every entry equals a lookup of its first address, and that lookups of other addresses agree.
fn compare<T: PartialEq + std::fmt::Debug>(
    reader: &Reader<Vec<u8>>,
    source: &Source,
    by_lookup: impl Fn(&LookupResult<'_, Vec<u8>>) -> T,
    ours: impl Fn(Option<Labels<'_>>) -> T,
) {
    let v4 = source.v4().iter().map(|entry| Prefix::V4(entry.block));
    let all: Vec<Prefix> = v4.chain(source.v6().iter().map(|entry| Prefix::V6(entry.block))).collect();
    for prefix in &all {
        let found = reader.lookup(prefix.first()).unwrap();
        assert_eq!(found.network().unwrap().prefix(), prefix.prefix_len(), "{prefix}");
        let labels = source.entry_at(prefix.first()).map(|entry| source.labels(entry.labels));
        assert_eq!(ours(labels), by_lookup(&found), "{prefix}");
    }
    for address in (0..=255u32).map(|top| IpAddr::V4((top << 24 | 0x0042_0042).into())) {
        let labels = source.entry_at(address).map(|entry| source.labels(entry.labels));
        assert_eq!(ours(labels), by_lookup(&reader.lookup(address).unwrap()), "{address}");
    }
}

#[test]
fn countries_are_those_that_a_lookup_finds() {
    let Some((reader, source)) = published("GeoLite2-Country-Test.mmdb") else { return };
    let field = |found: &LookupResult<'_, Vec<u8>>, path: [&str; 2]| {
        found.decode_path::<String>(&path.map(Into::into)).unwrap()
    };
    compare(
        &reader,
        &source,
        |found| (field(found, ["country", "iso_code"]), field(found, ["continent", "code"])),
        |labels| {
            let text = |kind| labels.and_then(|labels| labels.text(kind)).map(String::from);
            (text(LabelKind::Country), text(LabelKind::Continent))
        },
    );
}

#[test]
fn systems_are_those_that_a_lookup_finds() {
    let Some((reader, source)) = published("GeoLite2-ASN-Test.mmdb") else { return };
    compare(
        &reader,
        &source,
        |found| found.decode_path::<u32>(&["autonomous_system_number".into()]).unwrap(),
        |labels| match labels.and_then(|labels| labels.value(LabelKind::Asn)) {
            Some(LabelValue::Number(number)) => Some(number),
            _ => None,
        },
    );
    assert_eq!(labels_at(&source, "1.128.0.1"), Some(Labels::of(LabelKind::Asn, 1221)));
}

/// The database of the engine's cases (`tests/engine`), which a writer of tests alone can write.
#[test]
fn the_city_database_of_the_engine_is_what_it_says() {
    let at = |country: &str, latitude: f64, longitude: f64| json!({ "country": { "iso_code": country }, "location": { "latitude": latitude, "longitude": longitude } });
    let written = MmdbWriter::new(6)
        .add("40.1.0.0/16", at("FR", 48.86, 2.35))
        .add("40.1.128.0/17", at("ES", 40.42, -3.7))
        .add("40.2.0.0/16", at("US", 37.77, -122.42))
        .add("40.3.0.0/16", at("SG", 1.35, 103.82))
        .add("40.4.0.0/16", country("FR"))
        .add("40.5.0.0/16", at("BR", -23.55, -46.63))
        .add("2a00:1450::/32", at("FR", 48.86, 2.35))
        .finish("Synthetic-City");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/engine/networks/city.mmdb");
    if std::env::var_os("PHAROS_BLESS").is_some() {
        std::fs::write(path, &written).unwrap();
    }
    assert_eq!(std::fs::read(path).unwrap(), written);
}

#[test]
fn a_city_has_its_subdivision_and_coordinates() {
    let Some((_, source)) = published("GeoLite2-City-Test.mmdb") else { return };
    let place = |address| labels_at(&source, address).unwrap();
    let milton =
        Labels::of(LabelKind::Country, "US").with(LabelKind::Continent, "NA").with(LabelKind::Subdivision, "US-WA");
    assert_eq!(place("216.160.83.56"), milton.at(Coordinates::from_degrees(47.251, -122.315)));
    // England comes before West Berkshire.
    assert_eq!(place("2.125.160.216").text(LabelKind::Subdivision), Some("GB-ENG"));
}

#[test]
fn published_databases_are_walked_whole_without_v4_in_v6() {
    // Leaves with data, counted by another program; the trees have three aliases of IPv4 each.
    let counts = [
        ("GeoLite2-Country-Test.mmdb", 14, 230),
        ("GeoLite2-City-Test.mmdb", 12, 230),
        ("GeoLite2-ASN-Test.mmdb", 182, 230),
    ];
    for (name, v4, v6) in counts {
        let Some((_, source)) = published(name) else { return };
        assert_eq!((source.v4().len(), source.v6().len()), (v4, v6), "{name}");
        for entry in source.v6() {
            let is_alias = special::embedding_v6().any(|block| block.covers(entry.block));
            assert!(!is_alias && entry.block.first() >> 32 != 0, "{name}: {}", entry.block);
        }
    }
}

#[test]
fn v4_is_v4_in_a_tree_of_either_version() {
    for version in [4, 6] {
        let file = MmdbWriter::new(version).add("192.0.2.0/24", country("DE")).add("198.51.100.7/32", country("FR"));
        let source = read_as_mmdb(file.finish("Test-Country")).unwrap();
        assert_eq!(prefixes(&source), ["192.0.2.0/24", "198.51.100.7/32"]);
        let labels = labels_at(&source, "192.0.2.9");
        // A database without continents still steers by continent.
        assert_eq!(labels, Some(Labels::of(LabelKind::Country, "DE").with(LabelKind::Continent, "EU")));
    }
}

#[test]
fn aliases_of_v4_are_not_walked() {
    let file = MmdbWriter::new(6)
        .add("192.0.2.0/24", country("DE"))
        .add("2001:db8::/32", country("FR"))
        .alias("::ffff:0:0/96", "::/96")
        .alias("2002::/16", "::/96")
        .alias("64:ff9b::/96", "::/96");
    let source = read_as_mmdb(file.finish("Test-Country")).unwrap();
    assert_eq!(prefixes(&source), ["192.0.2.0/24", "2001:db8::/32"]);
}

#[test]
fn a_record_for_all_of_v4_is_no_alias_of_itself() {
    let file = MmdbWriter::new(6).add("::/96", country("DE")).add("2001:db8::/32", country("DE"));
    let source = read_as_mmdb(file.finish("Test-Country")).unwrap();
    assert_eq!(prefixes(&source), ["0.0.0.0/0", "2001:db8::/32"]);
}

#[test]
fn a_record_above_v4_holds_for_both_families() {
    let file = MmdbWriter::new(6).add("::/8", country("DE")).add("2001:db8::/32", country("DE"));
    let source = read_as_mmdb(file.finish("Test-Country")).unwrap();
    assert_eq!(prefixes(&source), ["0.0.0.0/0", "::/8", "2001:db8::/32"]);
    assert_eq!(labels_at(&source, "192.0.2.1"), labels_at(&source, "::2"));
}

#[test]
fn registered_country_is_not_where_a_client_is() {
    let file = MmdbWriter::new(4)
        .add("192.0.2.0/24", json!({ "registered_country": { "iso_code": "US" }, "continent": { "code": "EU" } }))
        .add("198.51.100.0/24", json!({ "registered_country": { "iso_code": "US" } }));
    let source = read_as_mmdb(file.finish("Test-Country")).unwrap();
    assert_eq!(labels_at(&source, "192.0.2.1"), Some(Labels::of(LabelKind::Continent, "EU")));
    assert_eq!(labels_at(&source, "198.51.100.1"), Some(Labels::default()));
}

#[test]
fn fields_are_found_whatever_the_type_of_the_database() {
    let record = json!({
        "country": { "iso_code": "US", "names": { "en": "United States" } },
        "location": { "latitude": 95.5, "longitude": 10.0 },
        "traits": { "autonomous_system_number": 64496, "is_anycast": true },
    });
    let source = read_as_mmdb(MmdbWriter::new(4).add("192.0.2.0/24", record).finish("Acme-Enterprise")).unwrap();
    let labels = labels_at(&source, "192.0.2.1").unwrap();
    assert_eq!(labels.value(LabelKind::Asn), Some(LabelValue::Number(64496)));
    // A latitude beyond the pole is none.
    assert_eq!(labels.coordinates, None);
}

#[test]
fn the_config_may_name_a_provider() {
    let network = Network { provider: Some("acme".into()), ..network(NetworkKind::Mmdb) };
    let loaded = read(&network, MmdbWriter::new(4).add("192.0.2.0/24", country("DE")).finish("Test")).unwrap();
    assert_eq!(labels_at(&loaded.source, "192.0.2.1").unwrap().text(LabelKind::Provider), Some("acme"));
}

#[test]
fn what_is_no_sound_database_is_refused() {
    let refused = |octets: &[u8]| {
        let problem = read_as_mmdb(octets.to_vec()).unwrap_err().remove(0);
        (problem.code, problem.message)
    };
    let good = MmdbWriter::new(4).add("192.0.2.0/24", country("DE")).finish("Test-Country");
    let is = |code, message: &str| (code, message.to_string());
    assert_eq!(refused(b""), is("empty-file", "`feed.txt` is empty"));
    assert_eq!(refused(b"\n<!doctype html>"), is("html-page", "`feed.txt` is an HTML or XML page, not a MaxMind DB"));
    assert_eq!(refused(b"\x1f\x8b\x08"), is("not-database", "`feed.txt` is compressed, not a MaxMind DB"));
    assert_eq!(refused(b"{\"values\": []}"), is("wrong-feed", "`feed.txt` is an Azure feed, not a MaxMind DB"));
    assert_eq!(
        refused(&good[..good.len() / 2]),
        is("truncated-file", "`feed.txt` is cut short, or is not a MaxMind DB")
    );
    assert_eq!(refused(&good[100..]).0, "bad-database");

    let proxies = MmdbWriter::new(4).add("192.0.2.0/24", json!({ "is_anonymous": true })).finish("Acme-Anonymous-IP");
    let message = "`feed.txt` has neither places nor autonomous systems in it (it is of type `Acme-Anonymous-IP`)";
    assert_eq!(refused(&proxies), is("useless-database", message));
    let bare = MmdbWriter::new(4).add("192.0.2.0/24", json!("DE")).finish("Bare");
    assert_eq!(refused(&bare).0, "strange-database");
}

#[test]
fn a_tree_that_leads_back_to_itself_is_refused() {
    let mut file = MmdbWriter::new(4).add("192.0.2.0/24", country("DE")).finish("Test-Country");
    // The right record of the root now is the root.
    file[3..6].copy_from_slice(&[0, 0, 0]);
    assert_eq!(read_as_mmdb(file).unwrap_err()[0].code, "bad-database");
}

#[test]
fn damage_that_no_lookup_would_meet_is_found() {
    let mut file = MmdbWriter::new(4).add("192.0.2.0/24", country("DE")).finish("Test-Country");
    // 24 nodes of six bytes, then the separator, which is all zeros.
    file[24 * 6 + 3] = 1;
    assert_eq!(read_as_mmdb(file).unwrap_err()[0].code, "bad-database");
}

#[test]
fn entries_of_the_lowest_and_highest_address_are_kept() {
    let low = Ipv6Addr::from_bits(1 << 32);
    let file = MmdbWriter::new(6).add("255.255.255.255/32", country("DE")).add(&format!("{low}/128"), country("FR"));
    let source = read_as_mmdb(file.add("ffff::/16", country("US")).finish("Test")).unwrap();
    assert_eq!(prefixes(&source), ["255.255.255.255/32", "::1:0:0/128", "ffff::/16"]);
}

proptest! {
    #[test]
    fn damaged_databases_are_read_or_refused_and_never_panic(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut file = MmdbWriter::new(6)
            .add("192.0.2.0/24", country("DE"))
            .add("198.51.100.0/24", json!({ "location": { "latitude": 1.5, "longitude": 2.5 } }))
            .add("2001:db8::/32", json!({ "subdivisions": [{ "iso_code": "CA" }], "country": { "iso_code": "US" } }))
            .alias("2002::/16", "::/96")
            .finish("Test-City");
        for (at, octet) in damage {
            let at = at.index(file.len());
            file[at] = octet;
        }
        let _ = read_as_mmdb(file);
    }
}
