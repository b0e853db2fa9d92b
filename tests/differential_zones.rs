//! More than two hundred generated zones in NSD, Knot, BIND and ours: all relevant names and types, answered alike.
//!
//! Where the other three agree, we agree with them, without exception: rcode, AA, answer, authority, and the additional
//! section. Where they do not, each difference to one of them belongs to a class of [`CLASSES`], which
//! `docs/differences.md` tells of; what belongs to none fails. A summary counts the questions and the classes.
//!
//! Needs the Debian packages `nsd`, `knot` and `bind9`; a server that is not installed is left out, which is said.

#![allow(missing_docs, reason = "a test binary has no readers from outside")]
#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected is to fail")]
#![allow(clippy::print_stderr, reason = "what was skipped, and how much was asked")]

mod common;

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use common::generate::{self, Dice, Zone};
use common::peers::{self, Peer, ZoneFile};
use common::query::Builder;
use common::sections::{Record, Sections};
use common::server::Server;
use common::{diff, pipeline, show};
use pharos::base::name::NameBuf;
use pharos::base::rr::Rtype;
use tempfile::TempDir;

/// The number of zones.
const ZONES: usize = 220;

/// What the zones and questions are made of.
const SEED: u64 = 9499;

/// More failures than this are only counted.
const SHOWN: usize = 6;

/// A way in which another server rightly, or at any rate harmlessly, differs.
struct Class {
    /// As in `docs/differences.md`.
    name: &'static str,
    servers: &'static [&'static str],
    is_it: fn(&Difference<'_>) -> bool,
}

/// Our reply and theirs.
struct Difference<'d> {
    rtype: u16,
    ours: &'d Sections,
    theirs: &'d Sections,
    /// All names in the zones, in lower case.
    names: &'d HashSet<Vec<u8>>,
}

const CLASSES: [Class; 9] = [
    Class {
        name: "longer-chain",
        servers: &["nsd"],
        is_it: |d| d.aliases() == 16 && d.ours.answer.is_subset(&d.theirs.answer),
    },
    Class {
        name: "shorter-chain",
        servers: &["knot"],
        is_it: |d| d.aliases() > 5 && d.theirs.answer.is_subset(&d.ours.answer) && !d.theirs.answer.is_empty(),
    },
    Class {
        name: "servfail-chain",
        servers: &["bind"],
        is_it: |d| d.theirs.rcode == 2 && d.aliases() > 0 && d.theirs.answer.is_subset(&d.ours.answer),
    },
    Class {
        name: "alias-not-followed",
        servers: &["knot", "bind"],
        is_it: |d| matches!(d.rtype, 46 | 47) && d.theirs.answer.len() < d.ours.answer.len() && d.aliases() > 0,
    },
    Class {
        name: "wildcard-glue",
        servers: &["nsd", "knot"],
        is_it: |d| d.is_only_additional() && d.more_glue().any(|record| !d.names.contains(&record.owner)),
    },
    Class {
        name: "sibling-glue",
        servers: &["bind"],
        is_it: |d| d.is_only_additional() && d.more_glue().next().is_none() && d.less_glue().all(|rr| !d.is_inside(rr)),
    },
    Class {
        name: "glue-left-out",
        servers: &["nsd", "knot", "bind"],
        is_it: |d| d.is_only_additional() && d.more_glue().all(|record| d.names.contains(&record.owner)),
    },
    Class {
        name: "names-of-another-zone",
        servers: &["nsd"],
        is_it: |d| d.ours.rcode == 3 && d.theirs.rcode == 0 && d.ours.answer == d.theirs.answer,
    },
    Class { name: "beyond-yxdomain", servers: &["knot"], is_it: |d| d.ours.rcode == 6 },
];

impl Difference<'_> {
    /// The CNAMEs in our answer.
    fn aliases(&self) -> usize {
        self.ours.answer.iter().filter(|record| record.rtype == 5).count()
    }

    /// What they have in the additional section and we do not.
    fn more_glue(&self) -> impl Iterator<Item = &Record> {
        self.theirs.additional.difference(&self.ours.additional)
    }

    /// What we have in the additional section and they do not.
    fn less_glue(&self) -> impl Iterator<Item = &Record> {
        self.ours.additional.difference(&self.theirs.additional)
    }

    /// Whether a record belongs to a name inside the delegated zone.
    fn is_inside(&self, record: &Record) -> bool {
        self.ours.authority.iter().any(|ns| record.owner.ends_with(&ns.owner))
    }

    fn is_only_additional(&self) -> bool {
        let (a, b) = (self.ours, self.theirs);
        (a.rcode, a.aa, &a.answer, &a.authority) == (b.rcode, b.aa, &b.answer, &b.authority)
    }
}

#[test]
fn where_nsd_knot_and_bind_agree_so_do_we() {
    let zones = generate::zones(ZONES, SEED);
    let files: Vec<ZoneFile> =
        zones.iter().map(|zone| (zone.apex.trim_end_matches('.').to_string(), zone.text())).collect();
    let peers = peers::start(&["nsd", "knot", "bind"], &files);
    if peers.is_empty() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let server = Server::start(&write_config(folder.path(), &files));
    let mut dice = Dice::new(SEED);
    let questions: Vec<(String, u16)> = zones.iter().flat_map(|zone| zone.questions(&mut dice)).collect();
    let messages: Vec<Vec<u8>> =
        questions.iter().map(|(name, rtype)| Builder::new(name, Rtype(*rtype)).edns(1232).finish()).collect();
    let addresses =
        [server.address(Ipv4Addr::LOCALHOST.into())].into_iter().chain(peers.iter().map(|peer| peer.address));
    let replies: Vec<Vec<Vec<u8>>> = std::thread::scope(|scope| {
        let messages = &messages;
        let asked: Vec<_> =
            addresses.map(|address| scope.spawn(move || pipeline::ask_all(address, messages))).collect();
        asked.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let comparison = Comparison { peers: &peers, questions: &questions, replies: &replies, names: &names(&zones) };
    let halves = std::thread::scope(|scope| {
        let (first, second) = (0..questions.len() / 2, questions.len() / 2..questions.len());
        let comparison = &comparison;
        let other = scope.spawn(move || comparison.compare(second));
        [comparison.compare(first), other.join().unwrap()]
    });
    report(zones.len(), &questions, &peers, halves);
}

/// What was found.
#[derive(Default)]
struct Findings {
    /// How often each server differs in each class.
    classes: BTreeMap<(&'static str, &'static str), usize>,
    /// Questions that all servers answer alike.
    agreed: usize,
    /// Questions whose additional section differs though the rest does not; that is anyone's choice.
    additional: usize,
    failures: Vec<String>,
}

struct Comparison<'c> {
    peers: &'c [Peer],
    questions: &'c [(String, u16)],
    /// Ours, then those of the peers.
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
        let read = |replies: &Vec<Vec<u8>>| Sections::read(&replies[index]);
        let Some(seen) = self.replies.iter().map(read).collect::<Option<Vec<_>>>() else {
            return findings.failures.push(self.show(index, "a reply cannot be read"));
        };
        let [ours, theirs @ ..] = &seen[..] else { return };
        if ours.answers != ours.answer.len() {
            findings.failures.push(self.show(index, "we give a record twice"));
        }
        let is_all = |a: &Sections, b: &Sections| without_apex_ns(a) == without_apex_ns(b);
        if theirs.iter().all(|their| is_all(their, ours)) {
            findings.agreed += 1;
            return;
        }
        // RFC 9460 §4.1 asks for what none of them gives: the addresses of services, and the services of aliases.
        let is_service = matches!(self.questions[index].1, 64 | 65) && !ours.additional.is_empty();
        if theirs.len() > 1 && theirs.iter().all(|their| is_all(their, &theirs[0])) && !is_service {
            return findings.failures.push(self.show(index, "they agree, we do not"));
        }
        let mut is_additional_alone = true;
        for (peer, their) in self.peers.iter().zip(theirs) {
            let (mut ours, mut their) = (without_apex_ns(ours), without_apex_ns(their));
            // Beside an answer, addresses are anyone's choice (RFC 1034 §4.3.2 step 6).
            if !ours.is_referral() && !their.is_referral() {
                ours.additional.clear();
                their.additional.clear();
            }
            if ours == their {
                continue;
            }
            is_additional_alone = false;
            let rtype = self.questions[index].1;
            let difference = Difference { rtype, ours: &ours, theirs: &their, names: self.names };
            let is_it = |class: &&Class| class.servers.contains(&peer.name) && (class.is_it)(&difference);
            match CLASSES.iter().find(is_it) {
                Some(class) => *findings.classes.entry((peer.name, class.name)).or_default() += 1,
                None => findings.failures.push(self.show(index, &format!("{} differs", peer.name))),
            }
        }
        findings.additional += usize::from(is_additional_alone);
    }

    /// The question, and the replies beside ours.
    fn show(&self, index: usize, what: &str) -> String {
        let (name, rtype) = &self.questions[index];
        let mut text = format!("{what}: {name} {}\n", Rtype(*rtype));
        let ours = show::reply(&self.replies[0][index]);
        for (peer, replies) in self.peers.iter().zip(&self.replies[1..]) {
            let _ = writeln!(text, "ours -, {} +\n{}", peer.name, diff::lines(&ours, &show::reply(&replies[index])));
        }
        text
    }
}

/// Beside a whole answer some give the zone's name servers (RFC 1034 §6.2.1); we do not, nor must anyone.
fn without_apex_ns(sections: &Sections) -> Sections {
    let mut sections = Sections { answers: 0, ..sections.clone() };
    if !sections.is_referral() {
        sections.authority.retain(|record: &Record| record.rtype != 2);
    }
    sections
}

fn report(zones: usize, questions: &[(String, u16)], peers: &[Peer], halves: [Findings; 2]) {
    let [mut all, other] = halves;
    for (class, count) in other.classes {
        *all.classes.entry(class).or_default() += count;
    }
    all.failures.extend(other.failures);
    eprintln!("{zones} zones, {} questions", questions.len());
    eprintln!("{} answered alike by all", all.agreed + other.agreed);
    eprintln!("{} with other additional data alone", all.additional + other.additional);
    for ((server, class), count) in &all.classes {
        eprintln!("{server:<5} {class:<24} {count}");
    }
    let shown = all.failures.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("\n");
    assert!(all.failures.is_empty(), "{} failures, the first of them:\n{shown}", all.failures.len());
    for class in &CLASSES {
        for server in class.servers.iter().filter(|server| peers.iter().any(|peer| peer.name == **server)) {
            assert!(all.classes.contains_key(&(*server, class.name)), "{server} no longer differs by {}", class.name);
        }
    }
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
    names.map(|name| NameBuf::parse(&name).unwrap().as_name().as_wire().to_ascii_lowercase()).collect()
}

fn write_config(folder: &Path, files: &[ZoneFile]) -> PathBuf {
    let mut config = String::from("[dns]\nlisten = [\"127.0.0.1:0\"]\n");
    for (name, text) in files {
        fs::write(folder.join(format!("{name}.zone")), text).unwrap();
        let _ = write!(config, "[[zone]]\nname = \"{name}\"\nfile = \"{name}.zone\"\n");
    }
    let path = folder.join("pharos.toml");
    fs::write(&path, config).unwrap();
    path
}
