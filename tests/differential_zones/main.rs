//! More than two hundred generated zones in Pharos, NSD, Knot, BIND and hickory-server: all relevant names and types.
//!
//! If NSD, Knot and BIND agree, Pharos agrees with them, without exception: rcode, AA, answer, authority, and the
//! additional section. Otherwise, and for every difference from hickory-server, a class of [`CLASSES`] must fit, which has
//! a row in `docs/differences.md`; any other difference fails. A summary counts the questions and the classes.
//!
//! hickory-server runs in this process and has its zones from Pharos by AXFR, so that a transfer is compared too. NSD, Knot
//! and BIND are the Debian packages `nsd`, `knot` and `bind9`; a server that is not installed is left out and counted.

#![allow(missing_docs, reason = "a test binary has no readers from outside")]
#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected is to fail")]
#![allow(clippy::print_stderr, reason = "what was skipped, and how much was asked")]

mod classes;
#[path = "../common/mod.rs"]
mod common;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use classes::{CLASSES, Class, Difference};
use common::generate::{self, Dice, Zone};
use common::hickory::{self, Hickory};
use common::peers::{self, ZoneFile};
use common::query::Builder;
use common::sections::{Record, Sections};
use common::server::Server;
use common::{diff, pipeline, show};
use hickory_proto::rr::RecordType;
use pharos::base::name::NameBuf;
use pharos::base::rr::Rtype;
use tempfile::TempDir;

/// The number of zones.
const ZONES: usize = 220;

/// The seed of the zones and questions.
const SEED: u64 = 9499;

/// hickory-server is asked one question of this many: it looks through a whole zone for a name that does not exist, so that
/// all questions would take minutes.
const HICKORY_STEP: usize = 9;

/// The limit of failures that are shown; further ones are only counted.
const SHOWN: usize = 6;

#[test]
fn where_nsd_knot_and_bind_agree_so_do_we() {
    let zones = generate::zones(ZONES, SEED);
    let files: Vec<ZoneFile> =
        zones.iter().map(|zone| (zone.apex.trim_end_matches('.').to_string(), zone.text())).collect();
    let folder = TempDir::new().unwrap();
    let server = Server::start(&write_config(folder.path(), &files));
    let ours = server.address(Ipv4Addr::LOCALHOST.into());
    let peers = peers::start(&["nsd", "knot", "bind"], &files);
    let hickory = Hickory::follow(ours, files.iter().map(|(apex, _)| apex.as_str()));
    let mut oracles = vec![Oracle { name: "pharos", address: ours, step: 1 }];
    oracles.extend(peers.iter().map(|peer| Oracle { name: peer.name, address: peer.address, step: 1 }));
    oracles.push(Oracle { name: hickory::NAME, address: hickory.address, step: HICKORY_STEP });
    let mut dice = Dice::new(SEED);
    let questions: Vec<(String, u16)> = zones.iter().flat_map(|zone| zone.questions(&mut dice)).collect();
    let messages: Vec<Vec<u8>> =
        questions.iter().map(|(name, rtype)| Builder::new(name, Rtype(*rtype)).edns(1232).finish()).collect();
    let replies: Vec<Vec<Vec<u8>>> = std::thread::scope(|scope| {
        let messages = &messages;
        let ask = |oracle: &Oracle| {
            let Oracle { address, step, .. } = *oracle;
            scope.spawn(move || pipeline::ask_all(address, &messages.iter().step_by(step).cloned().collect::<Vec<_>>()))
        };
        let asked: Vec<_> = oracles.iter().map(ask).collect();
        asked.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let comparison = Comparison { oracles: &oracles, questions: &questions, replies: &replies, names: &names(&zones) };
    let halves = std::thread::scope(|scope| {
        let (first, second) = (0..questions.len() / 2, questions.len() / 2..questions.len());
        let comparison = &comparison;
        let other = scope.spawn(move || comparison.compare(second));
        [comparison.compare(first), other.join().unwrap()]
    });
    report(zones.len(), &questions, &oracles, halves);
}

/// A server that is asked.
struct Oracle {
    name: &'static str,
    address: SocketAddr,
    /// The server is asked one question of this many.
    step: usize,
}

/// The results of the comparison.
#[derive(Default)]
struct Findings {
    /// The number of differences of each server in each class.
    classes: BTreeMap<(&'static str, &'static str), usize>,
    /// Questions that all servers answer alike, hickory-server aside.
    agreed: usize,
    /// Questions to hickory-server that it answers alike.
    agreed_by_hickory: usize,
    /// Questions whose additional section differs though the rest does not; each server may choose its content.
    additional: usize,
    failures: Vec<String>,
}

struct Comparison<'c> {
    /// Pharos, then NSD, Knot and BIND if installed, then hickory-server.
    oracles: &'c [Oracle],
    questions: &'c [(String, u16)],
    /// In the order of the oracles.
    replies: &'c [Vec<Vec<u8>>],
    names: &'c HashSet<Vec<u8>>,
}

impl Comparison<'_> {
    fn compare(&self, range: std::ops::Range<usize>) -> Findings {
        let mut findings = Findings::default();
        for index in range {
            self.compare_one(index, &mut findings);
        }
        findings
    }

    fn compare_one(&self, index: usize, findings: &mut Findings) {
        let read = |(oracle, replies): (&Oracle, &Vec<Vec<u8>>)| {
            index.is_multiple_of(oracle.step).then(|| Sections::read(&replies[index / oracle.step]))
        };
        let seen = self.oracles.iter().zip(self.replies).filter_map(read);
        let Some(seen) = seen.collect::<Option<Vec<_>>>() else {
            return findings.failures.push(self.show(index, "a reply cannot be read"));
        };
        let [ours, theirs @ ..] = &seen[..] else { return };
        if ours.answers != ours.answer.len() {
            findings.failures.push(self.show(index, "we give a record twice"));
        }
        // One of the oracles is Pharos, and one is hickory-server.
        let (theirs, hickory) = theirs.split_at(self.oracles.len() - 2);
        if let [hickory] = hickory {
            self.compare_hickory(index, ours, hickory, findings);
        }
        let is_all = |a: &Sections, b: &Sections| without_apex_ns(a) == without_apex_ns(b);
        if theirs.iter().all(|their| is_all(their, ours)) {
            findings.agreed += 1;
            return;
        }
        // RFC 9460 §4.1 asks for additional records that no server here gives: the addresses of services, and the services of
        // aliases.
        let is_service = matches!(self.questions[index].1, 64 | 65) && !ours.additional.is_empty();
        if theirs.len() > 1 && theirs.iter().all(|their| is_all(their, &theirs[0])) && !is_service {
            return findings.failures.push(self.show(index, "they agree, we do not"));
        }
        let mut is_additional_alone = true;
        for (oracle, their) in self.oracles[1..].iter().zip(theirs) {
            let (mut ours, mut their) = (without_apex_ns(ours), without_apex_ns(their));
            clear_additional_beside_answers(&mut ours, &mut their);
            if ours != their {
                is_additional_alone = false;
                self.classify(index, oracle.name, &ours, &their, findings);
            }
        }
        findings.additional += usize::from(is_additional_alone);
    }

    /// Its referrals have AA, so their name servers must not be taken for those of the apex.
    fn compare_hickory(&self, index: usize, ours: &Sections, theirs: &Sections, findings: &mut Findings) {
        let (mut our, mut their) = (without_apex_ns(ours), without_apex_ns(theirs));
        clear_additional_beside_answers(&mut our, &mut their);
        if our == their {
            findings.agreed_by_hickory += 1
        } else {
            self.classify(index, hickory::NAME, ours, theirs, findings)
        }
    }

    fn classify(
        &self,
        index: usize,
        server: &'static str,
        ours: &Sections,
        theirs: &Sections,
        findings: &mut Findings,
    ) {
        let (name, rtype) = &self.questions[index];
        let qname = wire_name(name);
        let difference = Difference { qname: &qname, rtype: *rtype, ours, theirs, names: self.names };
        let is_it = |class: &&Class| class.servers.contains(&server) && (class.is_it)(&difference);
        match CLASSES.iter().find(is_it) {
            Some(class) => *findings.classes.entry((server, class.name)).or_default() += 1,
            None => findings.failures.push(self.show(index, &format!("{server} differs"))),
        }
    }

    /// The question, and the replies beside ours.
    fn show(&self, index: usize, what: &str) -> String {
        let (name, rtype) = &self.questions[index];
        let mut text = format!("{what}: {name} {}\n", Rtype(*rtype));
        let ours = show::reply(&self.replies[0][index]);
        for (oracle, replies) in self.oracles.iter().zip(self.replies).skip(1) {
            if index.is_multiple_of(oracle.step) {
                let theirs = show::reply(&replies[index / oracle.step]);
                let _ = writeln!(text, "ours -, {} +\n{}", oracle.name, diff::lines(&ours, &theirs));
            }
        }
        text
    }
}

/// Removes the zone's name servers beside a whole answer. Some servers add them (RFC 1034 §6.2.1); ours does not, and no
/// server has to.
fn without_apex_ns(sections: &Sections) -> Sections {
    let mut sections = Sections { answers: 0, ..sections.clone() };
    if !sections.is_referral() {
        sections.authority.retain(|record: &Record| record.rtype != 2);
    }
    sections
}

/// Beside an answer, addresses are optional (RFC 1034 §4.3.2 step 6).
fn clear_additional_beside_answers(ours: &mut Sections, theirs: &mut Sections) {
    if !ours.is_referral() && !theirs.is_referral() {
        ours.additional.clear();
        theirs.additional.clear();
    }
}

fn report(zones: usize, questions: &[(String, u16)], oracles: &[Oracle], halves: [Findings; 2]) {
    let [mut all, other] = halves;
    for (class, count) in other.classes {
        *all.classes.entry(class).or_default() += count;
    }
    all.failures.extend(other.failures);
    eprintln!("{zones} zones, {} questions", questions.len());
    eprintln!("{} answered alike by all", all.agreed + other.agreed);
    eprintln!("{} with other additional data alone", all.additional + other.additional);
    let of_hickory = questions.len().div_ceil(HICKORY_STEP);
    eprintln!("{} of {of_hickory} answered alike by hickory", all.agreed_by_hickory + other.agreed_by_hickory);
    for ((server, class), count) in &all.classes {
        eprintln!("{server:<7} {class:<24} {count}");
    }
    let shown = all.failures.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("\n");
    assert!(all.failures.is_empty(), "{} failures, the first of them:\n{shown}", all.failures.len());
    for class in &CLASSES {
        for server in class.servers.iter().filter(|server| oracles.iter().any(|oracle| oracle.name == **server)) {
            assert!(all.classes.contains_key(&(*server, class.name)), "{server} no longer differs by {}", class.name);
        }
    }
}

/// AXFR from Pharos to hickory-server has the records of the master file, as hickory-server reads that.
#[test]
fn a_transferred_zone_is_what_hickory_reads_in_the_file() {
    let zones = generate::zones(ZONES, SEED);
    let files: Vec<ZoneFile> =
        zones.iter().map(|zone| (zone.apex.trim_end_matches('.').to_string(), zone.text())).collect();
    let folder = TempDir::new().unwrap();
    let server = Server::start(&write_config(folder.path(), &files));
    // hickory-server reads some names of a file in lower case.
    let text = |record: &hickory_proto::rr::Record| match record.record_type() {
        RecordType::TXT => format!("{} TXT {}", record.name.to_lowercase(), record.data),
        _ => record.to_string().to_ascii_lowercase(),
    };
    let texts = |records: &[hickory_proto::rr::Record]| records.iter().map(text).collect::<BTreeSet<String>>();
    let mut compared = 0;
    for (apex, text) in &files {
        // It reads `\200` in a string as another character than the byte of that number (RFC 1035 §5.1).
        if text.contains("\\200") {
            continue;
        }
        let Ok(read) = hickory::read(apex, text) else { continue };
        let transferred = hickory::fetch(server.address(Ipv4Addr::LOCALHOST.into()), apex);
        assert_eq!(texts(&transferred), texts(&read), "{apex}");
        compared += 1;
    }
    eprintln!("{compared} zones");
    assert!(compared > 10, "hickory-server reads few of the files: {compared}");
}

#[test]
fn every_class_of_difference_is_explained() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/differences.md");
    let text = fs::read_to_string(path).unwrap();
    for class in &CLASSES {
        assert!(text.contains(&format!("`{}`", class.name)), "docs/differences.md does not tell of {}", class.name);
    }
}

/// All owners and the names between them and the apex.
fn names(zones: &[Zone]) -> HashSet<Vec<u8>> {
    let names = zones.iter().flat_map(Zone::names);
    names.map(|name| wire_name(&name)).collect()
}

/// A name in wire form, in lower case.
fn wire_name(name: &str) -> Vec<u8> {
    NameBuf::parse(name).unwrap().as_name().as_wire().to_ascii_lowercase()
}

fn write_config(folder: &Path, files: &[ZoneFile]) -> PathBuf {
    let mut config = String::from("[dns]\nlisten = [\"127.0.0.1:0\"]\n");
    for (name, text) in files {
        fs::write(folder.join(format!("{name}.zone")), text).unwrap();
        let _ = write!(
            config,
            "[[zone]]\nname = \"{name}\"\nfile = \"{name}.zone\"\ntransfer = {{ allow = \"127.0.0.1\" }}\n"
        );
    }
    let path = folder.join("pharos.toml");
    fs::write(&path, config).unwrap();
    path
}
