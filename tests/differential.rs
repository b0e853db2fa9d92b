//! The same zones in NSD, in Knot and in Pharos: each server gives the same answers for every name and type, and for
//! missing names.
//!
//! The test compares rcode, AA, answer and authority as sets, and in referrals the glue. If a server rightly answers
//! otherwise, [`DIFFERENCES`] says so with the reason; nothing else may differ. Questions that RFCs leave open are not
//! asked: ANY (RFC 8482), transfers, meta types, and NSEC3, which no question is for (RFC 5155 §7.2.8). The additional data
//! of answers is not compared, because each server may choose it (RFC 1034 §4.3.2 step 6).
//!
//! Needs the Debian packages `nsd` and `knot`; a server that is not installed is left out, and the test says so.

#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected is to fail")]
#![allow(clippy::print_stderr, reason = "what was skipped, and how much was asked")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use common::peers::{self, ZoneFile};
use common::query::Builder;
use common::server::Server;
use common::{diff, fixture, pipeline, show};
use hickory_proto::rr::{Record, RecordType};
use pharos::base::name::Name;
use pharos::base::rr::Rtype;
use tempfile::TempDir;

/// The zones: name and file. The steered one has no counterpart in other servers.
const ZONES: [(&str, &str); 2] = [("example.net", "example.net.zone"), ("child.example.net", "child.zone")];

/// Every type in the zones, a type without a record, and those of signed zones.
const TYPES: [u16; 26] =
    [1, 2, 5, 6, 12, 13, 15, 16, 17, 28, 29, 33, 35, 39, 43, 44, 46, 47, 48, 52, 64, 65, 99, 257, 65280, 65399];

/// The types that are asked of names that do not exist.
const FEW_TYPES: [u16; 7] = [1, 2, 5, 6, 16, 39, 43];

/// A case in which another server rightly differs.
struct Difference {
    server: &'static str,
    /// Returns whether a difference is this one, given the name, the type, our reply and theirs.
    is_it: fn(&str, u16, &Seen, &Seen) -> bool,
    reason: &'static str,
}

const DIFFERENCES: [Difference; 5] = [
    Difference {
        server: "nsd",
        is_it: |name, _, ours, theirs| {
            name.starts_with("link0") && ours.answer.len() == 16 && ours.answer.is_subset(&theirs.answer)
        },
        reason: "follows more than our sixteen aliases; resolvers go on by themselves either way",
    },
    Difference {
        server: "nsd",
        is_it: |name, _, ours, theirs| {
            name.ends_with(".dloop.example.net.") && theirs.answer.len() == 2 && theirs.answer.is_subset(&ours.answer)
        },
        reason: "follows a DNAME that leads below itself once, we up to our limit; it never ends (RFC 6672 §2.2)",
    },
    Difference {
        server: "knot",
        is_it: |name, _, ours, theirs| {
            name.starts_with("link") && theirs.answer.len() >= 5 && theirs.answer.is_subset(&ours.answer)
        },
        reason: "follows fewer than our sixteen aliases",
    },
    Difference {
        server: "knot",
        is_it: |name, _, ours, theirs| {
            name.ends_with(".dloop.example.net.") && theirs.answer.len() >= 5 && theirs.answer.is_subset(&ours.answer)
        },
        reason: "follows a DNAME that leads below itself less often than our limit; it never ends (RFC 6672 §2.2)",
    },
    Difference {
        server: "knot",
        is_it: |_, rtype, ours, theirs| {
            matches!(rtype, 46 | 47) && theirs.answer.is_empty() && ours.answer.iter().any(|rr| rr.contains(" cname "))
        },
        reason: "does not follow an alias for RRSIG and NSEC, which may stand beside it (RFC 4035 §2.5); it has none here",
    },
];

/// The parts of a reply that are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    rcode: String,
    aa: &'static str,
    answer: BTreeSet<String>,
    authority: BTreeSet<String>,
    glue: BTreeSet<String>,
}

#[test]
fn nsd_and_knot_answer_as_we_do() {
    let files = zone_files();
    let peers = peers::start(&["nsd", "knot"], &files);
    if peers.is_empty() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let server = Server::start(&write_zones(folder.path(), &files));
    let mut failures = Vec::new();
    let questions = questions();
    let message = |(name, rtype): &(String, u16)| Builder::new(name, Rtype(*rtype)).finish();
    let messages: Vec<Vec<u8>> = questions.iter().map(message).collect();
    let ours = pipeline::ask_all_over_tcp(server.address(Ipv4Addr::LOCALHOST.into()), &messages);
    for peer in &peers {
        let theirs = pipeline::ask_all_over_tcp(peer.address, &messages);
        let mut used = vec![0; DIFFERENCES.len()];
        for (((name, rtype), ours), theirs) in questions.iter().zip(&ours).zip(&theirs) {
            let (a, b) = (Seen::of(ours), Seen::of(theirs));
            if a == b {
                continue;
            }
            let known = |known: &Difference| known.server == peer.name && (known.is_it)(name, *rtype, &a, &b);
            match DIFFERENCES.iter().position(known) {
                Some(known) => used[known] += 1,
                None => {
                    let diff = diff::lines(&a.text(), &b.text());
                    failures.push(format!("{name} {}, ours -, {} +\n{diff}", Rtype(*rtype), peer.name));
                }
            }
        }
        eprintln!("{}: {} questions", peer.name, questions.len());
        for (difference, used) in DIFFERENCES.iter().zip(used).filter(|(known, _)| known.server == peer.name) {
            eprintln!("{}: {used} times: {}", peer.name, difference.reason);
            assert!(used > 0, "{} no longer differs: {}", peer.name, difference.reason);
        }
    }
    let shown: Vec<_> = failures.iter().take(20).map(String::as_str).collect();
    assert!(failures.is_empty(), "{} differences, the first of them:\n{}", failures.len(), shown.join("\n"));
}

/// Names and types to ask for.
fn questions() -> Vec<(String, u16)> {
    let snapshot = fixture::snapshot();
    let mut questions = BTreeSet::new();
    for (zone_name, _) in ZONES {
        let (_, zone) = snapshot.zones().iter().find(|(_, zone)| zone.apex().to_string() == zone_name).unwrap();
        for node in zone.nodes() {
            let owner = node.owner();
            // Of a hundred empty non-terminals in a row, a few are enough.
            if owner.labels().count() > 8 && node.is_empty() && owner.labels().count() % 16 != 0 {
                continue;
            }
            questions.extend(TYPES.map(|rtype| (text(owner), rtype)));
            for missing in missing(owner) {
                questions.extend(FEW_TYPES.map(|rtype| (missing.clone(), rtype)));
            }
        }
    }
    questions.into_iter().collect()
}

/// Names near a name: below it, by one label and by two, `*` below it, and beside it.
fn missing(owner: Name<'_>) -> Vec<String> {
    let mut names = Vec::new();
    if owner.len() < 240 {
        for below in ["zzz", "a.zzz", "*"] {
            names.push(format!("{below}.{}", text(owner)));
        }
    }
    if let Some(parent) = owner.parent()
        && owner.labels().count() > 2
    {
        names.push(format!("zzz.{}", text(parent)));
    }
    names
}

fn text(name: Name<'_>) -> String {
    format!("{name}.")
}

impl Seen {
    fn text(&self) -> String {
        let mut text = format!("{} {}\n", self.rcode, self.aa);
        let sections = [("answer", &self.answer), ("authority", &self.authority), ("glue", &self.glue)];
        for (section, records) in sections {
            text.extend(records.iter().map(|record| format!("{section:<10} {record}\n")));
        }
        text
    }

    fn of(reply: &[u8]) -> Self {
        let message = show::decode(reply).unwrap_or_else(|error| panic!("{error}: {reply:02x?}"));
        let lines = |records: &[Record], keep: fn(&Record) -> bool| -> BTreeSet<String> {
            let line = |record: &Record| {
                let rdata = show::rdata(&record.data, record.record_type());
                let rtype = show::type_name(record.record_type());
                format!("{} {} {rtype} {rdata}", record.name.to_ascii(), record.ttl).to_ascii_lowercase()
            };
            records.iter().filter(|record| keep(record)).map(line).collect()
        };
        let answer = lines(&message.answers, |_| true);
        let is_referral = message.authorities.iter().any(|record| record.record_type() == RecordType::NS)
            && !message.metadata.authoritative;
        // Some servers add the zone's name servers to a whole answer (RFC 1034 §6.2.1). Ours does not, and no server has to.
        let is_apex_ns = |record: &Record| {
            let name = record.name.to_ascii().to_ascii_lowercase();
            record.record_type() == RecordType::NS && ZONES.iter().any(|(zone, _)| name == format!("{zone}."))
        };
        let authorities: Vec<Record> = if is_referral {
            message.authorities.clone()
        } else {
            message.authorities.iter().filter(|record| !is_apex_ns(record)).cloned().collect()
        };
        Seen {
            rcode: format!("{:?}", message.metadata.response_code),
            aa: if message.metadata.authoritative { "aa" } else { "" },
            answer,
            authority: lines(&authorities, |_| true),
            glue: if is_referral { lines(&message.additionals, |_| true) } else { BTreeSet::new() },
        }
    }
}

/// The zones, without the records that other servers refuse to load.
fn zone_files() -> Vec<ZoneFile> {
    let read = |(name, file): (&str, &str)| {
        let zone = fs::read_to_string(fixture::folder().join("zones").join(file)).unwrap();
        // NSD refuses records below a DNAME, though such records are never answered.
        let lines = zone.lines().filter(|line| !line.ends_with("; occluded by a DNAME"));
        (name.to_string(), lines.map(|line| format!("{line}\n")).collect())
    };
    ZONES.map(read).into()
}

/// Writes the zones, and our configuration beside them.
fn write_zones(folder: &Path, files: &[ZoneFile]) -> PathBuf {
    let mut config = String::from("[dns]\nlisten = [\"127.0.0.1:0\"]\n");
    for (name, text) in files {
        fs::write(folder.join(format!("{name}.zone")), text).unwrap();
        config.push_str(&format!("[[zone]]\nname = \"{name}\"\nfile = \"{name}.zone\"\n"));
    }
    let path = folder.join("pharos.toml");
    fs::write(&path, config).unwrap();
    path
}
