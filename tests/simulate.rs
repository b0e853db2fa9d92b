//! The addresses that move between two configurations, compared with those that the steering tables of both give.

#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected is to fail")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use common::mmdb::MmdbWriter;
use common::needs;
use pharos::inspect::{MoveEnd, moves};
use pharos::snapshot::Snapshot;
use pharos::steer::Horizon;
use proptest::prelude::*;
use serde_json::json;

const ZONE: &str = "$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 192.0.2.1\n";

/// A configuration: the lists and feeds that it names are files in memory.
fn config(networks: &str, rules: &str) -> String {
    config_with_default(networks, rules, DEFAULTS[0])
}

fn config_with_default(networks: &str, rules: &str, default: &str) -> String {
    format!(
        r#"
[[zone]]
name  = "blob.example"
file  = "blob.zone"
steer = [{{ owner = "@", horizon = "blobs" }}]
[networks]
{networks}
[mirrors]
a = {{ addresses = "192.0.2.1", location = [50, 8] }}
b = {{ addresses = "192.0.2.2", location = [40, -74] }}
c = {{ addresses = "192.0.2.3", location = [-33, 151] }}
[horizons.blobs]
rules   = [{rules}]
default = {default}
"#
    )
}

fn build(config: &str, files: &[(&str, Vec<u8>)]) -> Snapshot {
    let mut all = vec![("pharos.toml", config.as_bytes().to_vec()), ("blob.zone", ZONE.as_bytes().to_vec())];
    all.extend(files.iter().cloned());
    match pharos::build_in_memory("pharos.toml", all) {
        Ok(built) => built.snapshot,
        Err(problems) => panic!("{problems:#?}"),
    }
}

/// Moves by mirror according to the steering tables: the number of addresses times 256, so that slots are whole numbers.
fn by_tables<A: Copy + Ord + Into<u128>>(
    tables: [Vec<(A, u32)>; 2],
    highest: u128,
    end: impl Fn(usize, u32, usize) -> MoveEnd,
    is_spread: impl Fn(usize, u32) -> bool,
) -> BTreeMap<(MoveEnd, MoveEnd), f64> {
    let firsts: BTreeSet<u128> = tables.iter().flatten().map(|(first, _)| (*first).into()).collect();
    let plan_at = |table: &[(A, u32)], address: u128| {
        let at = table.partition_point(|(first, _)| (*first).into() <= address) - 1;
        table[at].1
    };
    let mut moved: BTreeMap<(MoveEnd, MoveEnd), f64> = BTreeMap::new();
    let ends = firsts.iter().skip(1).map(|first| first - 1).chain([highest]);
    for (first, last) in firsts.iter().zip(ends) {
        let plans = [plan_at(&tables[0], *first), plan_at(&tables[1], *first)];
        let slots = if is_spread(0, plans[0]) || is_spread(1, plans[1]) { 256 } else { 1 };
        for slot in 0..slots {
            let (from, to) = (end(0, plans[0], slot), end(1, plans[1], slot));
            if from != to {
                *moved.entry((from, to)).or_default() += ((last - first) as f64 + 1.0) / slots as f64;
            }
        }
    }
    moved
}

/// Compares the counted moves with those of the tables. A count may be less by the fractions of addresses in slots.
fn assert_same(before: &Snapshot, now: &Snapshot) {
    let sides = [before, now];
    let horizons: [&Horizon; 2] = sides.map(|snapshot| &snapshot.horizons()[0]);
    let id = |plan: u32| pharos::base::ids::PlanId::from_index(plan as usize);
    let end = |side: usize, plan: u32, slot: usize| {
        let plan = horizons[side].slots(id(plan)).map_or(id(plan), |slots| slots[slot]);
        let first = horizons[side].plan(plan).mirrors().next();
        first.map_or(MoveEnd::Nothing, |id| MoveEnd::Mirror(sides[side].mirrors()[id.index()].name.clone()))
    };
    let is_spread = |side: usize, plan: u32| horizons[side].slots(id(plan)).is_some();
    let v4 = horizons.map(|one| one.v4().ranges().map(|range| (range.first, range.plan.index() as u32)).collect());
    let v6 = horizons.map(|one| one.v6().ranges().map(|range| (range.first, range.plan.index() as u32)).collect());
    let expected = [by_tables(v4, u32::MAX.into(), end, is_spread), by_tables(v6, u128::MAX, end, is_spread)];
    let found = moves(before, now);
    for (family, expected) in found.horizons[0].families.iter().zip(expected) {
        let counted: BTreeMap<_, _> =
            family.by_mirror.iter().map(|one| ((one.from.clone(), one.to.clone()), one.addresses as f64)).collect();
        assert!(counted.keys().all(|pair| expected.contains_key(pair)), "{counted:?} {expected:?}");
        for (pair, expected) in &expected {
            let counted = counted.get(pair).copied().unwrap_or(0.0);
            let least = expected * (1.0 - 1e-9) - 256.0 * 4096.0;
            assert!(counted <= expected * (1.0 + 1e-9) && counted >= least, "{pair:?}: {counted} of {expected}");
        }
        let sum: f64 = counted.values().sum();
        assert!((family.moved_of_all as f64 - sum).abs() <= sum * 1e-9);
        assert!(family.moved <= family.moved_of_all && family.moved <= family.decided);
    }
}

/// A list of prefixes with labels: few bits vary, so that prefixes nest.
fn list(labels: usize) -> impl Strategy<Value = Vec<(u8, u8, u8, usize)>> {
    prop::collection::vec((0..4u8, 0..4u8, 9..=26u8, 0..labels), 0..12)
}

/// A prefix of each family.
fn prefixes(second: u8, third: u8, len: u8) -> [String; 2] {
    let bits = u32::from_be_bytes([20, second << 6, third << 6, 0]);
    let v4 = std::net::Ipv4Addr::from(bits & (u32::MAX << (32 - len)));
    let v6 = std::net::Ipv6Addr::from(((0x2a00_u128 << 112) | (u128::from(bits) << 64)) & (u128::MAX << (96 - len)));
    [format!("{v4}/{len}"), format!("{v6}/{}", 32 + len)]
}

fn list_text(list: &[(u8, u8, u8, usize)]) -> Vec<u8> {
    let mut lines: BTreeMap<String, &str> = BTreeMap::new();
    for (second, third, len, label) in list {
        let label = ["x", "y", "z"][*label];
        lines.extend(prefixes(*second, *third, *len).map(|prefix| (prefix, label)));
    }
    lines.iter().map(|(prefix, label)| format!("{prefix} {label}\n")).collect::<String>().into_bytes()
}

/// Coordinates with their continents: near each mirror, and two of which no mirror is near.
const PLACES: [(f64, f64, &str); 5] =
    [(48.1, 11.6, "EU"), (42.4, -71.1, "NA"), (-37.8, 145.0, "OC"), (35.7, 139.7, "AS"), (-23.5, -46.6, "SA")];

/// A database with the coordinates of prefixes.
fn geo_database(list: &[(u8, u8, u8, usize)]) -> Vec<u8> {
    let place = |at: usize| {
        let (latitude, longitude, continent) = PLACES[at];
        json!({ "continent": { "code": continent }, "location": { "latitude": latitude, "longitude": longitude } })
    };
    // An address of a list may have coordinates, labels, both or none.
    let mut database = MmdbWriter::new(6).add("203.0.114.0/24", place(0)).add("203.0.115.0/24", place(1));
    let mut sorted = list.to_vec();
    // A network inside another comes after it.
    sorted.sort_by_key(|(.., len, _)| *len);
    for (second, third, len, at) in sorted {
        let [v4, v6] = prefixes(second, third, len);
        database = database.add(&v4, place(at)).add(&v6, place(at));
    }
    database.finish("Test-City")
}

/// The defaults: one mirror, by distance, and by weight.
const DEFAULTS: [&str; 3] =
    [r#"["c"]"#, r#"{ nearest = ["c", "b", "a"] }"#, r#"{ mirrors = ["c", "a"], weights = { c = 5, a = 2 } }"#];

const RULES: [&str; 8] = [
    r#"{ network = "l", label = "x", mirrors = ["a"] }, { network = "l", label = "y", mirrors = ["b", "a"] }"#,
    r#"{ network = "l", label = "y", mirrors = ["a", "b"] }, { network = "l", mirrors = ["b"] }"#,
    r#"{ network = "l", label = "x", mirrors = ["a", "b"], weights = { a = 3, b = 1 } }"#,
    r#"{ network = "l", label = ["x", "y"], mirrors = ["a", "b", "c"], weights = { a = 1, b = 1, c = 2 } }"#,
    r#"{ network = "l", label = "x", nearest = ["a", "b", "c"] }"#,
    r#"{ network = "l", label = ["x", "y"], nearest = ["c", "a"] }, { continent = "EU", mirrors = ["b"] }"#,
    r#"{ continent = ["EU", "AS"], nearest = ["a", "b"] }, { network = "l", label = "y", mirrors = ["b"] }"#,
    r#"{ network = "l", label = "z", mirrors = ["a", "b"], weights = { a = 3, b = 1 } }, { network = "l", nearest = ["b", "a"] }"#,
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]
    #[test]
    fn moves_are_the_difference_of_the_tables(
        lists in (list(3), list(3)),
        places in (list(PLACES.len()), list(PLACES.len())),
        rules in (0..RULES.len(), 0..RULES.len()),
        defaults in (0..DEFAULTS.len(), 0..DEFAULTS.len()),
    ) {
        let side = |list: &[_], places: &[_], rules: usize, default: usize| {
            // An empty list is refused.
            let text = [list_text(list), b"203.0.113.0/24 other\n203.0.114.0/25 x\n".to_vec()].concat();
            let networks = "l = { list = \"l.txt\" }\ngeo = { mmdb = \"geo.mmdb\" }";
            let config = config_with_default(networks, RULES[rules], DEFAULTS[default]);
            build(&config, &[("l.txt", text), ("geo.mmdb", geo_database(places))])
        };
        let before = side(&lists.0, &places.0, rules.0, defaults.0);
        let now = side(&lists.1, &places.1, rules.1, defaults.1);
        assert_same(&before, &now);
        let same = moves(&before, &before);
        prop_assert!(same.horizons[0].families.iter().all(|family| family.moved_of_all == 0));
    }
}

/// The AWS feed with some of its prefixes left out.
fn aws(text: &[u8], keep: impl Fn(usize) -> bool) -> Vec<u8> {
    let mut feed: serde_json::Value = serde_json::from_slice(text).unwrap();
    for key in ["prefixes", "ipv6_prefixes"] {
        let list = feed[key].as_array_mut().unwrap();
        *list = std::mem::take(list).into_iter().enumerate().filter(|(at, _)| keep(*at)).map(|(_, one)| one).collect();
    }
    serde_json::to_vec(&feed).unwrap()
}

#[test]
fn real_feeds_move_as_their_tables_do() {
    let (Some(aws_file), Some(gcp_file)) = (needs::data("aws-ip-ranges.json"), needs::data("gcp-cloud.json")) else {
        return;
    };
    let [whole, gcp] = [aws_file, gcp_file].map(|file| std::fs::read(file).unwrap());
    let networks = "aws = { feed = \"aws\", file = \"aws.json\" }\ngcp = { feed = \"gcp\", file = \"gcp.json\" }";
    let text = config(
        networks,
        r#"{ provider = "aws", region = ["us-east-1", "us-east-2"], mirrors = ["a", "b"] },
           { provider = "aws", region = ["eu-west-1", "eu-central-1"], mirrors = ["b", "a"], weights = { a = 1, b = 7 } },
           { provider = "gcp", mirrors = ["a"] }"#,
    );
    let side = |aws: Vec<u8>| build(&text, &[("aws.json", aws), ("gcp.json", gcp.clone())]);
    let before = side(whole.clone());
    for every in [2, 7, 31, 499] {
        let now = side(aws(&whole, |at| at % every != 0));
        assert_same(&before, &now);
        assert_same(&now, &before);
        // What a source has lost is gone from one side and new on the other.
        let (there, back) = (moves(&before, &now), moves(&now, &before));
        let aws = |found: &pharos::inspect::Moves| found.sources[0].clone();
        assert_eq!((aws(&there).lost, aws(&there).new), (aws(&back).new, aws(&back).lost));
        assert!(aws(&there).lost[0] > 0);
    }
    // A typo in a region is the commoner accident.
    let typo = build(&text.replace("\"eu-central-1\"", "\"eu-centrl-1\""), &[("aws.json", whole), ("gcp.json", gcp)]);
    assert_same(&before, &typo);
    let share = moves(&before, &typo).horizons[0].families[0].share();
    assert!((0.05..0.2).contains(&share), "{share}");
}

/// Coordinates for the blocks that registries give to providers; every seed has others for some of them.
fn blocks(seed: u64) -> Vec<u8> {
    let place = |block: u64| {
        let moved = if mixed(block, seed).is_multiple_of(8) { seed } else { 0 };
        let (latitude, longitude, continent) = PLACES[(mixed(block, moved) % PLACES.len() as u64) as usize];
        json!({ "continent": { "code": continent }, "location": { "latitude": latitude, "longitude": longitude } })
    };
    let mut database = MmdbWriter::new(6);
    for block in 0..224 << 2 {
        database = database.add(&format!("{}.{}.0.0/10", block >> 2, (block & 3) << 6), place(block));
    }
    for block in 0..1024 {
        database =
            database.add(&format!("{:x}:{:x}::/26", 0x2600 + (block >> 6), (block & 63) << 10), place(block + 9999));
    }
    database.finish("Test-City")
}

/// A number that two others determine and that looks random (splitmix64).
fn mixed(one: u64, other: u64) -> u64 {
    let mut bits = one.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ other.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[test]
fn real_feeds_move_as_their_tables_do_by_distance() {
    let (Some(aws_file), Some(gcp_file)) = (needs::data("aws-ip-ranges.json"), needs::data("gcp-cloud.json")) else {
        return;
    };
    let [whole, gcp] = [aws_file, gcp_file].map(|file| std::fs::read(file).unwrap());
    let networks = "aws = { feed = \"aws\", file = \"aws.json\" }\ngcp = { feed = \"gcp\", file = \"gcp.json\" }\n\
                    geo = { mmdb = \"geo.mmdb\" }";
    let rules = r#"{ provider = "aws", region = ["us-east-1", "us-east-2"], nearest = ["a", "b", "c"] },
                   { provider = "aws", region = ["eu-west-1", "eu-central-1"], mirrors = ["b", "a"], weights = { a = 1, b = 7 } },
                   { continent = ["EU", "AS"], nearest = ["b", "c"] },
                   { provider = "gcp", mirrors = ["a"] }"#;
    let side = |seed: u64, default: usize| {
        let aws = aws(&whole, |at| seed == 0 || !mixed(at as u64, seed).is_multiple_of(31));
        let text = config_with_default(networks, rules, DEFAULTS[default]);
        build(&text, &[("aws.json", aws), ("gcp.json", gcp.clone()), ("geo.mmdb", blocks(seed))])
    };
    let before = side(0, 1);
    for (seed, default) in [(7, 1), (8, 1), (9, 2)] {
        let now = side(seed, default);
        assert_same(&before, &now);
        assert_same(&now, &before);
        let [v4, v6] = &moves(&before, &now).horizons[0].families;
        assert!(v4.moved > 0 && v6.moved > 0, "both families move: {} {}", v4.moved, v6.moved);
    }
}

#[test]
fn the_command_names_what_moves_and_fails_above_a_share() {
    let folder = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &[u8]| std::fs::write(folder.path().join(file), text).unwrap();
    let networks = "l = { list = \"l.txt\" }";
    let zone = format!("{ZONE}@ NS ns2\nns2 A 192.0.2.2\n");
    write("blob.zone", zone.as_bytes());
    write("l.txt", b"20.0.0.0/16 x\n20.1.0.0/16 y\n20.2.0.0/15 y\n2a00:1:2::/47 y\n");
    write("old.toml", config(networks, RULES[0]).as_bytes());
    write("new.toml", config(networks, &RULES[0].replace("\"b\", \"a\"", "\"a\"")).as_bytes());
    let simulate = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pharos"));
        command.current_dir(folder.path()).env("COLUMNS", "80").arg("simulate").args(arguments);
        let output = command.output().unwrap();
        let text = |octets: Vec<u8>| String::from_utf8(octets).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    let expected = "\
horizon blobs: 196,608 of IPv4 move; of the 262,144 that rules decide for,
  196,608 (75.0 %)
  from  to  addresses
  b     a   196,608
  largest ranges
  20.1.0.0 to 20.3.255.255: b to a; rule 2 (old.toml:13), now rule 2
    (new.toml:13)

horizon blobs: 2 /48s of IPv6 move; of the 2 /48s that rules decide for, 2
  /48s (100.0 %)
  from  to  addresses
  b     a   2 /48s
  largest ranges
  2a00:1:2::/47: b to a; rule 2 (old.toml:13), now rule 2 (new.toml:13)
";
    let (code, text, _) = simulate(&["new.toml", "--against", "old.toml"]);
    assert_eq!((code, text.as_str()), (0, expected));
    let (code, _, complaint) = simulate(&["new.toml", "--against", "old.toml", "--max-moved", "5%"]);
    assert_eq!(code, 1);
    let complaint = complaint.split_whitespace().collect::<Vec<_>>().join(" ");
    let expected = "horizon blobs: 75.0 % of the IPv4 addresses that rules decide for move, more than 5 %";
    assert!(complaint.contains(expected), "{complaint}");
    let (code, text, _) = simulate(&["old.toml", "--against", "old.toml", "--max-moved", "0%"]);
    assert_eq!(
        (code, text.as_str()),
        (0, "horizon blobs: no IPv4 address moves\n\nhorizon blobs: no IPv6 address moves\n")
    );
    let (code, text, _) = simulate(&["new.toml", "--against", "old.toml", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &json["horizons"][0]["families"][0]["moved"]), (0, &json!(196_608)));
}
