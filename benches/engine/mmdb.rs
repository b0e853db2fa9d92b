//! A database of countries or of cities, of as many networks as are asked for (MaxMind DB format 2.0, 32-bit records).

use crate::random::Random;

const COUNTRIES: [&[u8; 2]; 8] = [b"DE", b"FR", b"US", b"JP", b"BR", b"IN", b"ZA", b"GB"];

/// A record of the tree before the offsets of data are known: its upper half is a kind.
const EMPTY: u64 = 0;
const NODE: u64 = 1 << 32;
const DATA: u64 = 2 << 32;

/// A record for each country.
pub(crate) fn countries() -> Vec<Vec<u8>> {
    let record = |code: &[u8; 2]| {
        let mut data = Vec::new();
        map(1, &mut data);
        country(code, &mut data);
        data
    };
    COUNTRIES.into_iter().map(record).collect()
}

/// A record for each of this number of cities, as City databases have them, all over the earth.
pub(crate) fn cities(number: u32) -> Vec<Vec<u8>> {
    let mut random = Random::new(3);
    let mut degrees = |most: f64| (f64::from(random.below(1 << 24)) / f64::from(1 << 23) - 1.0) * most;
    let record = |at: u32| {
        let mut data = Vec::new();
        map(2, &mut data);
        country(COUNTRIES[at as usize % COUNTRIES.len()], &mut data);
        string("location", &mut data);
        map(2, &mut data);
        for (key, degrees) in [("latitude", degrees(60.0)), ("longitude", degrees(180.0))] {
            string(key, &mut data);
            data.push(3 << 5 | 8);
            data.extend_from_slice(&degrees.to_be_bytes());
        }
        data
    };
    (0..number).map(record).collect()
}

fn country(code: &[u8; 2], data: &mut Vec<u8>) {
    string("country", data);
    map(1, data);
    string("iso_code", data);
    string(std::str::from_utf8(code).expect("country codes are ASCII"), data);
}

/// The database: IPv4 networks of 24 bits, and one in eight of 28, each with one of the records.
pub(crate) fn database(networks: u32, records: &[Vec<u8>]) -> Vec<u8> {
    let mut data = Vec::new();
    let offsets: Vec<u64> = records
        .iter()
        .map(|record| {
            let offset = data.len() as u64;
            data.extend_from_slice(record);
            offset
        })
        .collect();
    let mut nodes = vec![[EMPTY; 2]];
    let mut random = Random::new(9);
    // An odd factor visits every /24 once before any twice.
    for at in 0..networks {
        let len = if at % 8 == 0 { 28 } else { 24 };
        let address = at.wrapping_mul(0x9e37_79b1) << 8 | random.below(256);
        let value = DATA | offsets[random.below(offsets.len() as u32) as usize];
        insert(&mut nodes, address, len, value);
    }
    let count = nodes.len() as u64;
    let mut file = Vec::with_capacity(nodes.len() * 8 + data.len() + 200);
    for record in nodes.iter().flatten() {
        let value = match record >> 32 {
            0 => count,
            1 => record & 0xffff_ffff,
            _ => count + 16 + (record & 0xffff_ffff),
        };
        file.extend_from_slice(&(value as u32).to_be_bytes());
    }
    file.extend_from_slice(&[0; 16]);
    file.extend_from_slice(&data);
    file.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
    map(9, &mut file);
    let numbers = [
        ("binary_format_major_version", 2, 5),
        ("binary_format_minor_version", 0, 5),
        ("ip_version", 4, 5),
        ("record_size", 32, 5),
        ("node_count", count, 6),
        ("build_epoch", 1_700_000_000, 9),
    ];
    for (key, value, kind) in numbers {
        string(key, &mut file);
        number(kind, value, &mut file);
    }
    string("database_type", &mut file);
    string("Synthetic", &mut file);
    string("languages", &mut file);
    file.extend_from_slice(&[0x01, 0x04]);
    string("en", &mut file);
    string("description", &mut file);
    map(1, &mut file);
    string("en", &mut file);
    string("made for a benchmark", &mut file);
    file
}

/// Puts a value at a prefix; a prefix inside one that has a value already is left out.
fn insert(nodes: &mut Vec<[u64; 2]>, address: u32, len: u32, value: u64) {
    let mut node = 0;
    for depth in 0..len {
        let side = (address >> (31 - depth) & 1) as usize;
        let record = nodes[node][side];
        if depth == len - 1 {
            if record == EMPTY {
                nodes[node][side] = value;
            }
        } else if record == EMPTY {
            nodes[node][side] = NODE | nodes.len() as u64;
            node = nodes.len();
            nodes.push([EMPTY; 2]);
        } else if record & NODE != 0 {
            node = (record & 0xffff_ffff) as usize;
        } else {
            return;
        }
    }
}

fn map(pairs: u8, out: &mut Vec<u8>) {
    out.push(7 << 5 | pairs);
}

fn string(text: &str, out: &mut Vec<u8>) {
    assert!(text.len() < 285, "longer strings have another form");
    match text.len() {
        len @ 0..29 => out.push(2 << 5 | len as u8),
        len => out.extend_from_slice(&[2 << 5 | 29, (len - 29) as u8]),
    }
    out.extend_from_slice(text.as_bytes());
}

/// An unsigned number: kind 5 has 16 bits, 6 has 32, and 9, an extended kind, 64.
fn number(kind: u8, value: u64, out: &mut Vec<u8>) {
    let octets = value.to_be_bytes();
    let octets = &octets[(value.leading_zeros() / 8) as usize..];
    match kind {
        9 => out.extend_from_slice(&[octets.len() as u8, 2]),
        _ => out.push(kind << 5 | octets.len() as u8),
    }
    out.extend_from_slice(octets);
}
