//! The same zones in NSD, in Knot and in ours: every name and type in them, and names that are not, answered alike.
//!
//! Compared are rcode, AA, answer and authority as sets, and in referrals the glue. Where a server rightly answers
//! otherwise, [`DIFFERENCES`] says so with the reason; nothing else may differ. What RFCs leave open is not asked: ANY
//! (RFC 8482), transfers, meta types, NSEC3, which no question is for (RFC 5155 §7.2.8); additional data of answers, which is anyone's choice (RFC 1034 §4.3.2 step 6).
//!
//! Needs the Debian packages `nsd` and `knot`; a server that is not installed is left out, which is said.

#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected is to fail")]
#![allow(clippy::print_stderr, reason = "what was skipped, and how much was asked")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::query::Builder;
use common::server::{PATIENCE, Server};
use common::{diff, fixture, show};
use hickory_proto::rr::{Record, RecordType};
use pharos::base::name::Name;
use pharos::base::rr::Rtype;
use tempfile::TempDir;

/// The zones: name and file. The steered one has no counterpart in other servers.
const ZONES: [(&str, &str); 2] = [("example.net", "example.net.zone"), ("child.example.net", "child.zone")];

/// Every type in the zones, one that no one has, and those of signed zones.
const TYPES: [u16; 26] =
    [1, 2, 5, 6, 12, 13, 15, 16, 17, 28, 29, 33, 35, 39, 43, 44, 46, 47, 48, 52, 64, 65, 99, 257, 65280, 65399];

/// What is asked of names that are not there.
const FEW_TYPES: [u16; 7] = [1, 2, 5, 6, 16, 39, 43];

/// Where another server rightly differs.
struct Difference {
    server: &'static str,
    /// Whether it is this one: the name, the type, our reply and theirs.
    is_it: fn(&str, u16, &Seen, &Seen) -> bool,
    reason: &'static str,
}

const DIFFERENCES: [Difference; 6] = [
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
        server: "nsd",
        is_it: |name, _, ours, theirs| {
            name == "up.child.example.net." && ours.answer.len() == 1 && ours.answer.is_subset(&theirs.answer)
        },
        reason: "follows an alias into another of its zones; resolvers do not believe what lies outside of the zone asked",
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

/// What is compared of a reply.
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
    let peers: Vec<Peer> = [Peer::nsd, Peer::knot].into_iter().filter_map(|start| start()).collect();
    if peers.is_empty() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let config = write_zones(folder.path());
    let server = Server::start(&config);
    let mut ours = Connection::new(server.address(Ipv4Addr::LOCALHOST.into()));
    let mut failures = Vec::new();
    let questions = questions();
    for peer in &peers {
        let mut theirs = Connection::new(peer.address);
        let mut used = vec![0; DIFFERENCES.len()];
        for (name, rtype) in &questions {
            let message = Builder::new(name, Rtype(*rtype)).finish();
            let (a, b) = (Seen::of(&ours.ask(&message)), Seen::of(&theirs.ask(&message)));
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
        let (_, zone) = snapshot.zones.iter().find(|(_, zone)| zone.apex().to_string() == zone_name).unwrap();
        for node in zone.nodes() {
            let owner = node.owner();
            // Of a hundred empty non-terminals in a row a few will do.
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
        // Beside a whole answer some give the zone's name servers (RFC 1034 §6.2.1); we do not, nor must anyone.
        let is_apex_ns = |record: &Record| {
            let name = record.name.to_ascii().to_ascii_lowercase();
            record.record_type() == RecordType::NS && ZONES.iter().any(|(zone, _)| name == format!("{zone}."))
        };
        let authorities: Vec<Record> = match is_referral {
            true => message.authorities.clone(),
            false => message.authorities.iter().filter(|record| !is_apex_ns(record)).cloned().collect(),
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

/// Copies the zones, without what others refuse to load, and writes our configuration beside them.
fn write_zones(folder: &Path) -> PathBuf {
    let mut config = String::from("[dns]\nlisten = [\"127.0.0.1:0\"]\n");
    for (name, file) in ZONES {
        let zone = fs::read_to_string(fixture::folder().join("zones").join(file)).unwrap();
        // NSD will not have records below a DNAME, though they are never answered.
        let lines = zone.lines().filter(|line| !line.ends_with("; occluded by a DNAME"));
        fs::write(folder.join(file), lines.map(|line| format!("{line}\n")).collect::<String>()).unwrap();
        config.push_str(&format!("[[zone]]\nname = \"{name}\"\nfile = \"{file}\"\n"));
    }
    let path = folder.join("pharos.toml");
    fs::write(&path, config).unwrap();
    path
}

/// Another server; it is killed when dropped.
struct Peer {
    name: &'static str,
    address: SocketAddr,
    process: Child,
    _folder: TempDir,
}

impl Peer {
    fn nsd() -> Option<Peer> {
        Peer::start("nsd", "nsd", |folder, port| {
            let path = folder.display();
            let mut config = format!(
                "server:\n ip-address: 127.0.0.1@{port}\n username: \"\"\n chroot: \"\"\n zonesdir: \"{path}\"\n \
                 pidfile: \"{path}/nsd.pid\"\n logfile: \"{path}/nsd.log\"\n xfrdfile: \"{path}/xfrd.state\"\n \
                 zonelistfile: \"{path}/zone.list\"\n database: \"\"\n server-count: 1\n \
                 rrl-ratelimit: 0\nremote-control:\n control-enable: no\n"
            );
            for (name, file) in ZONES {
                config.push_str(&format!("zone:\n name: {name}\n zonefile: {file}\n"));
            }
            (config, &["-d", "-c"])
        })
    }

    fn knot() -> Option<Peer> {
        Peer::start("knot", "knotd", |folder, port| {
            let path = folder.display();
            let mut config = format!(
                "server:\n  rundir: \"{path}\"\n  pidfile: \"{path}/knot.pid\"\n  listen: 127.0.0.1@{port}\n  \
                 udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\nlog:\n  - target: stderr\n    any: error\n\
                 database:\n  storage: \"{path}/db\"\nzone:\n"
            );
            for (name, file) in ZONES {
                config.push_str(&format!(
                    "  - domain: {name}\n    storage: \"{path}\"\n    file: {file}\n    journal-content: none\n    \
                     zonefile-sync: -1\n    semantic-checks: off\n"
                ));
            }
            (config, &["-c"])
        })
    }

    /// Starts a server on a free port and waits until it answers for all zones; none where it is not installed.
    fn start(
        name: &'static str,
        program: &str,
        configure: fn(&Path, u16) -> (String, &'static [&'static str]),
    ) -> Option<Peer> {
        let Some(program) = find_program(program) else {
            eprintln!("skipped: {program} is not installed (Debian package `{name}`)");
            return None;
        };
        let folder = TempDir::new().unwrap();
        write_zones(folder.path());
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let (config, arguments) = configure(folder.path(), port);
        let path = folder.path().join("config");
        fs::write(&path, config).unwrap();
        let process = Command::new(program)
            .args(arguments)
            .arg(&path)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut peer = Peer { name, address, process, _folder: folder };
        let deadline = Instant::now() + PATIENCE;
        while !peer.is_ready() {
            let ended = peer.process.try_wait().unwrap();
            assert!(ended.is_none(), "{name} ended: {ended:?}");
            assert!(Instant::now() < deadline, "{name} did not start in time");
            // Between two looks; what is waited for is the answer.
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(peer)
    }

    fn is_ready(&self) -> bool {
        ZONES.iter().all(|(zone, _)| {
            let message = Builder::new(&format!("{zone}."), Rtype::SOA).finish();
            let reply = TcpStream::connect(self.address).and_then(|stream| exchange(&mut &stream, &message));
            reply.is_ok_and(|reply| Seen::of(&reply).aa == "aa")
        })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // A polite end first: NSD has children that a kill would leave behind.
        if let Ok(pid) = i32::try_from(self.process.id()) {
            let _ = Command::new("kill").arg(pid.to_string()).status();
            let deadline = Instant::now() + Duration::from_secs(5);
            while Instant::now() < deadline && matches!(self.process.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Debian keeps servers where not every user's path leads.
fn find_program(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Questions one after the other over a connection, and another one where it was closed.
struct Connection {
    server: SocketAddr,
    stream: Option<TcpStream>,
}

impl Connection {
    fn new(server: SocketAddr) -> Self {
        Connection { server, stream: None }
    }

    fn ask(&mut self, message: &[u8]) -> Vec<u8> {
        if let Some(stream) = &mut self.stream
            && let Ok(reply) = exchange(stream, message)
        {
            return reply;
        }
        let stream = self.stream.insert(TcpStream::connect(self.server).unwrap());
        stream.set_nodelay(true).unwrap();
        exchange(stream, message).unwrap()
    }
}

fn exchange(stream: &mut (impl io::Read + io::Write), message: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(&[&(message.len() as u16).to_be_bytes(), message].concat())?;
    let mut len = [0; 2];
    stream.read_exact(&mut len)?;
    let mut reply = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut reply)?;
    Ok(reply)
}
