//! A small MaxMind DB writer, for databases that are not published (MaxMind DB format 2.0).
//!
//! This file uses no other file of the tests, so that unit tests can include it too.

#![allow(unreachable_pub, reason = "a module of tests is not reached from outside")]
#![allow(dead_code, reason = "each user needs its own part of this")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that meets the unexpected is to fail")]

use std::collections::HashMap;
use std::net::IpAddr;

use serde_json::{Map, Value, json};

/// The bytes before the metadata.
const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";

#[derive(Clone, Copy)]
enum WriterSlot {
    Empty,
    Node(usize),
    Data(usize),
}

/// A database in the making: a tree, and data.
pub struct MmdbWriter {
    record_size: u8,
    ip_version: u8,
    nodes: Vec<[WriterSlot; 2]>,
    data: Vec<u8>,
    offsets: HashMap<String, usize>,
    metadata: Map<String, Value>,
}

impl MmdbWriter {
    /// Begins a database for addresses of version 4 or 6.
    pub fn new(ip_version: u8) -> Self {
        MmdbWriter {
            record_size: 24,
            ip_version,
            nodes: vec![[WriterSlot::Empty; 2]],
            data: Vec::new(),
            offsets: HashMap::new(),
            metadata: Map::new(),
        }
    }

    /// Sets the size of records: 24, 28 or 32 bits.
    pub fn record_size(self, record_size: u8) -> Self {
        MmdbWriter { record_size, ..self }
    }

    /// Sets a field of the metadata; `null` leaves the field out.
    pub fn metadata(mut self, key: &str, value: Value) -> Self {
        self.metadata.insert(key.to_string(), value);
        self
    }

    /// Adds a network whose record is these bytes, which may break the format.
    pub fn add_bytes(mut self, prefix: &str, record: &[u8]) -> Self {
        let offset = self.data.len();
        self.data.extend_from_slice(record);
        self.set(prefix, WriterSlot::Data(offset));
        self
    }

    /// Leads a network to an offset of the data, which may lie behind its end.
    pub fn lead(mut self, prefix: &str, offset: usize) -> Self {
        self.set(prefix, WriterSlot::Data(offset));
        self
    }

    /// Adds a network; equal records are stored once. A network inside another comes after it.
    pub fn add(mut self, prefix: &str, record: Value) -> Self {
        let text = record.to_string();
        let offset = match self.offsets.get(&text) {
            Some(offset) => *offset,
            None => {
                let offset = self.data.len();
                encode(&record, &mut self.data);
                self.offsets.insert(text, offset);
                offset
            }
        };
        self.set(prefix, WriterSlot::Data(offset));
        self
    }

    /// Makes a prefix another name for the tree under a second one.
    pub fn alias(mut self, prefix: &str, of: &str) -> Self {
        let (bits, len) = self.path(of);
        let (node, side) = self.descend(bits, len);
        let slot = self.nodes[node][side];
        self.set(prefix, slot);
        self
    }

    /// The file.
    pub fn finish(self, database_type: &str) -> Vec<u8> {
        let count = self.nodes.len();
        let mut file = Vec::new();
        let record = |slot: WriterSlot| match slot {
            WriterSlot::Empty => count as u32,
            WriterSlot::Node(node) => node as u32,
            WriterSlot::Data(offset) => (count + 16 + offset) as u32,
        };
        for node in &self.nodes {
            let [left, right] = node.map(|slot| record(slot).to_be_bytes());
            match self.record_size {
                24 => file.extend([&left[1..], &right[1..]].concat()),
                // The highest four bits of both share a byte.
                28 => file.extend([&left[1..], &[left[0] << 4 | right[0]], &right[1..]].concat()),
                _ => file.extend([left, right].concat()),
            }
        }
        file.extend_from_slice(&[0; 16]);
        file.extend_from_slice(&self.data);
        file.extend_from_slice(MARKER);
        let mut metadata = json!({
            "binary_format_major_version": 2, "binary_format_minor_version": 0, "build_epoch": 1_700_000_000u64,
            "database_type": database_type, "description": { "en": "made by a test" }, "ip_version": self.ip_version,
            "languages": ["en"], "node_count": count, "record_size": self.record_size,
        });
        let fields = metadata.as_object_mut().unwrap();
        fields.extend(self.metadata);
        fields.retain(|_, value| !value.is_null());
        encode(&metadata, &mut file);
        file
    }

    fn set(&mut self, prefix: &str, slot: WriterSlot) {
        let (bits, len) = self.path(prefix);
        let (node, side) = self.descend(bits, len);
        self.nodes[node][side] = slot;
    }

    /// The bits of a prefix from the root on; IPv4 stands under ::/96 in a tree of IPv6.
    fn path(&self, prefix: &str) -> (u128, u8) {
        let (address, len) = prefix.split_once('/').unwrap();
        let len: u8 = len.parse().unwrap();
        match (address.parse().unwrap(), self.ip_version) {
            (IpAddr::V4(v4), 4) => (u128::from(v4.to_bits()) << 96, len),
            (IpAddr::V4(v4), _) => (u128::from(v4.to_bits()), len + 96),
            (IpAddr::V6(v6), _) => (v6.to_bits(), len),
        }
    }

    /// The node and side at which a path of at least one bit ends.
    fn descend(&mut self, bits: u128, len: u8) -> (usize, usize) {
        let side = |depth: u8| ((bits >> (127 - depth)) & 1) as usize;
        let mut node = 0;
        for depth in 0..len - 1 {
            node = match self.nodes[node][side(depth)] {
                WriterSlot::Node(next) => next,
                leaf => {
                    self.nodes.push([leaf; 2]);
                    let next = self.nodes.len() - 1;
                    self.nodes[node][side(depth)] = WriterSlot::Node(next);
                    next
                }
            };
        }
        (node, side(len - 1))
    }
}

fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::String(text) => {
            control(2, text.len(), out);
            out.extend_from_slice(text.as_bytes());
        }
        Value::Number(number) => {
            control(3, 8, out);
            out.extend_from_slice(&number.as_f64().unwrap().to_be_bytes());
        }
        Value::Object(map) if map.len() == 1 && map.keys().any(|key| key.starts_with('$')) => typed(map, out),
        Value::Object(map) => {
            control(7, map.len(), out);
            for (key, value) in map {
                encode(&Value::String(key.clone()), out);
                match (value.as_u64(), key.as_str()) {
                    (None, _) | (_, "latitude" | "longitude") => encode(value, out),
                    // Readers insist on the type that the format gives a field.
                    (Some(number), "build_epoch") => integer(9, number, out),
                    (Some(number), "node_count" | "autonomous_system_number") => integer(6, number, out),
                    (Some(number), _) => integer(5, number, out),
                }
            }
        }
        Value::Array(items) => {
            control(11, items.len(), out);
            items.iter().for_each(|item| encode(item, out));
        }
        Value::Bool(yes) => control(14, usize::from(*yes), out),
        Value::Null => unreachable!("the format has no null"),
    }
}

/// A number of the type that the key names: `{ "$int32": -7 }`.
fn typed(map: &Map<String, Value>, out: &mut Vec<u8>) {
    let (key, value) = map.iter().next().unwrap();
    let whole = || value.as_u64().unwrap();
    match &**key {
        "$uint16" => integer(5, whole(), out),
        "$uint32" => integer(6, whole(), out),
        "$uint64" => integer(9, whole(), out),
        "$uint128" => integer(10, whole(), out),
        "$int32" => {
            control(8, 4, out);
            out.extend_from_slice(&i32::try_from(value.as_i64().unwrap()).unwrap().to_be_bytes());
        }
        "$float" => {
            control(15, 4, out);
            out.extend_from_slice(&(value.as_f64().unwrap() as f32).to_be_bytes());
        }
        other => panic!("{other} is no type of the format"),
    }
}

fn integer(kind: u8, number: u64, out: &mut Vec<u8>) {
    let octets = number.to_be_bytes();
    let used = &octets[number.leading_zeros() as usize / 8..];
    control(kind, used.len(), out);
    out.extend_from_slice(used);
}

fn control(kind: u8, size: usize, out: &mut Vec<u8>) {
    let (size, more) = if size < 29 { (size as u8, None) } else { (29, Some((size - 29) as u8)) };
    match kind {
        0..=7 => out.push(kind << 5 | size),
        _ => out.extend_from_slice(&[size, kind - 7]),
    }
    out.extend(more);
}
