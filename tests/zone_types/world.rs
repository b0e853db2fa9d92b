//! One zone of many records, read by us and by the checkers of other servers.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pharos::base::diagnostic::Diagnostic;
use pharos::config;
use pharos::load;
use tempfile::TempDir;

use crate::common::needs;

/// The type and the data of a record.
pub(crate) type Data = (u16, Vec<u8>);

const HEAD: &str = "$TTL 300\n@ IN SOA ns1 host 1 3600 600 86400 60\n@ NS ns1\nns1 A 192.0.2.53\n";

/// The lines of the zone before the first record.
const HEAD_LINES: usize = 4;

/// The master file of zone `blob.example` in which the record of index N has the owner `rN`.
pub(crate) fn zone(lines: &[String]) -> String {
    let mut text = HEAD.to_string();
    for (at, line) in lines.iter().enumerate() {
        assert!(!line.contains('\n'), "{line}");
        writeln!(text, "r{at} {line}").unwrap();
    }
    text
}

/// The data that Pharos reads from each record, each in a zone of its own.
pub(crate) fn read_ours(lines: &[String]) -> Vec<Result<Data, String>> {
    lines.iter().map(|line| read_record(line)).collect()
}

fn read_record(line: &str) -> Result<Data, String> {
    let text = zone(&[line.to_string()]);
    let told = |problems: &[Diagnostic]| {
        let errors: Vec<&str> =
            problems.iter().filter(|problem| problem.is_error()).map(|problem| problem.message.as_str()).collect();
        errors.join("; ")
    };
    let zone = config_of_zone();
    let (zone, _) = load::zone::read_text(&zone, Path::new("z"), text.into(), &mut |_| unreachable!())
        .map_err(|problems| told(&problems))?;
    // Its DNSSEC records are left out.
    let Some(node) = zone.nodes().find(|node| node.owner().to_string() == "r0.blob.example") else {
        return Ok((0, Vec::new()));
    };
    let set = node.rrsets().next().unwrap();
    Ok((set.rtype.0, set.rdatas().next().unwrap().to_vec()))
}

/// The configuration of zone `blob.example`.
pub(crate) fn config_of_zone() -> config::ZoneConfig {
    let text = "[[zone]]\nname = \"blob.example\"\nfile = \"z\"\nunsigned = true\n";
    config::read("pharos.toml", text).unwrap().0.zones.remove(0)
}

/// The records of a zone, sorted.
pub(crate) fn records_of(zone: &pharos::zone::Zone) -> Vec<Record> {
    let mut records = Vec::new();
    for node in zone.nodes() {
        let owner = node.owner().as_wire().to_ascii_lowercase();
        for set in node.rrsets() {
            records.extend(set.records().map(|(ttl, rdata)| (owner.clone(), set.rtype.0, ttl.0, rdata.to_vec())));
        }
    }
    records.sort();
    records
}

/// The records of zone `blob.example` as BIND reads them from a master file, sorted; `None` if it is not installed.
pub(crate) fn records_by_bind(text: &str) -> Option<Vec<Record>> {
    let bind = bind()?;
    let folder = tempfile::tempdir().unwrap();
    let (said, raw) = bind.read(text, &folder);
    assert!(!raw.is_empty(), "{said}");
    let mut records = records_in_raw(&raw);
    records.sort();
    Some(records)
}

/// A checker of master files.
pub(crate) struct Checker {
    pub(crate) name: &'static str,
    program: PathBuf,
    arguments: &'static [&'static str],
}

impl Checker {
    /// Those that are installed.
    pub(crate) fn all() -> Vec<Checker> {
        let known: [(&str, &str, &'static [&'static str]); 3] = [
            ("named-compilezone", "bind9-utils", BIND),
            ("nsd-checkzone", "nsd", &["blob.example"]),
            ("kzonecheck", "knot-dnssecutils", &["-o", "blob.example."]),
        ];
        let found = known.into_iter().filter_map(|(name, package, arguments)| {
            needs::program(name, package).map(|program| Checker { name, program, arguments })
        });
        found.collect()
    }

    /// The records that it refuses, with its words.
    pub(crate) fn refused(&self, lines: &[String]) -> BTreeMap<usize, String> {
        let folder = tempfile::tempdir().unwrap();
        let (said, _) = self.run(lines, &folder);
        refused_lines(&said)
    }

    fn run(&self, lines: &[String], folder: &TempDir) -> (String, Vec<u8>) {
        self.read(&zone(lines), folder)
    }

    fn read(&self, text: &str, folder: &TempDir) -> (String, Vec<u8>) {
        let (file, raw) = (folder.path().join("zone"), folder.path().join("raw"));
        fs::write(&file, text).unwrap();
        let mut command = Command::new(&self.program);
        if self.name == "named-compilezone" {
            command.arg("-o").arg(&raw);
        }
        let output = command.args(self.arguments).arg(&file).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (String::from_utf8_lossy(&said).into_owned(), fs::read(&raw).unwrap_or_default())
    }
}

/// Checks of whole zones are off, because only single records are of interest.
const BIND: &[&str] = &[
    "-k",
    "ignore",
    "-i",
    "none",
    "-m",
    "ignore",
    "-n",
    "ignore",
    "-M",
    "ignore",
    "-S",
    "ignore",
    "-F",
    "raw",
    "blob.example",
];

/// BIND's checker.
fn bind() -> Option<Checker> {
    Checker::all().into_iter().find(|checker| checker.name == "named-compilezone")
}

/// `…:LINE: …` of BIND and NSD, `line LINE (…)` of Knot, by index of the record.
fn refused_lines(said: &str) -> BTreeMap<usize, String> {
    let mut refused = BTreeMap::new();
    for line in said.lines().filter(|line| !line.contains("warning") && !line.contains("old style DNSSEC")) {
        let number =
            |text: &str| text.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok());
        let place = line.split_once("/zone:").or(line.split_once("', line "));
        let number: Option<usize> = place.and_then(|(_, rest)| number(rest));
        if let Some(at) = number.and_then(|number| number.checked_sub(HEAD_LINES + 1)) {
            refused.insert(at, line.to_string());
        }
    }
    refused
}

/// The wire form of the records that BIND accepts; `None` if it is not installed.
pub(crate) fn wire_by_bind(lines: &[String]) -> Option<BTreeMap<usize, Data>> {
    let bind = bind()?;
    let folder = tempfile::tempdir().unwrap();
    let (said, raw) = bind.run(lines, &folder);
    if !raw.is_empty() {
        return Some(read_raw(&raw));
    }
    // `named-compilezone` writes no file if it refuses a record; so the test runs it again without the refused ones.
    let refused = refused_lines(&said);
    assert!(!refused.is_empty(), "{said}");
    let empty = "TXT refused".to_string();
    let rest: Vec<String> = lines
        .iter()
        .enumerate()
        .map(|(at, line)| if refused.contains_key(&at) { &empty } else { line }.clone())
        .collect();
    let (said, raw) = bind.run(&rest, &folder);
    assert!(!raw.is_empty(), "{said}");
    let mut read = read_raw(&raw);
    read.retain(|at, _| !refused.contains_key(at));
    Some(read)
}

/// The records of one name each, by the number in its name.
fn read_raw(raw: &[u8]) -> BTreeMap<usize, Data> {
    let mut read = BTreeMap::new();
    for (owner, rtype, _, rdata) in records_in_raw(raw) {
        let label = std::str::from_utf8(&owner[1..1 + usize::from(owner[0])]).unwrap_or_default();
        if let Some(index) = label.strip_prefix('r').and_then(|index| index.parse().ok()) {
            assert!(read.insert(index, (rtype, rdata)).is_none(), "{label}");
        }
    }
    read
}

/// A record: owner in lower case, type, TTL, data.
pub(crate) type Record = (Vec<u8>, u16, u32, Vec<u8>);

/// BIND's raw format, version 1: a header of 24 bytes, then RRsets with a header each.
fn records_in_raw(raw: &[u8]) -> Vec<Record> {
    let number =
        |at: usize, len: usize| raw[at..at + len].iter().fold(0usize, |all, byte| all << 8 | usize::from(*byte));
    let mut read = Vec::new();
    let mut at = 24;
    while at < raw.len() {
        // Length, class, type, type covered, TTL, number of records, length of the owner.
        let (len, rtype, ttl, records) = (number(at, 4), number(at + 6, 2), number(at + 10, 4), number(at + 14, 4));
        let owner = raw[at + 20..at + 20 + number(at + 18, 2)].to_ascii_lowercase();
        let mut data = at + 20 + owner.len();
        for _ in 0..records {
            let rdata = raw[data + 2..data + 2 + number(data, 2)].to_vec();
            data += 2 + rdata.len();
            read.push((owner.clone(), rtype as u16, ttl as u32, rdata));
        }
        at += len;
    }
    read
}
