//! Case files: queries with the whole expected responses. `tests/engine.rs` describes the format.

use std::fs;
use std::path::{Path, PathBuf};

use pharos::base::prefix::PrefixSet;
use pharos::base::time::Now;
use pharos::snapshot::{Settings, Snapshot};
use pharos::wire::{self, Peer, Transport};

use super::query::{self, Asked, Size};
use super::{fixture, show};

/// The expected text if there is to be no reply.
pub const NO_REPLY: &str = "no reply\n";

/// A file of cases.
pub struct File {
    pub path: PathBuf,
    /// The text before the first case.
    pub preamble: String,
    pub cases: Vec<Case>,
}

/// A query and the expected response.
pub struct Case {
    /// The fact after `===`.
    pub name: String,
    /// The file's name and the line of the case.
    pub place: String,
    /// Comments and queries, as written.
    pub head: String,
    pub asked: Asked,
    /// The response as text.
    pub expected: String,
}

/// All case files, by name.
pub fn files() -> Vec<File> {
    let entries = fs::read_dir(fixture::folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = entries.filter(|path| path.extension().is_some_and(|end| end == "case")).collect();
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

/// All cases.
pub fn all() -> Vec<Case> {
    files().into_iter().flat_map(|file| file.cases).collect()
}

fn read(path: &Path) -> File {
    let text = fs::read_to_string(path).unwrap();
    let name = path.file_name().unwrap().to_string_lossy();
    let mut file = File { path: path.into(), preamble: String::new(), cases: Vec::new() };
    let mut begun: Option<(String, usize, Vec<&str>)> = None;
    let finish = |begun: Option<(String, usize, Vec<&str>)>, cases: &mut Vec<Case>| {
        if let Some((title, line, body)) = begun {
            cases.push(case(title, format!("{name}:{line}"), &body));
        }
    };
    for (line, number) in text.lines().zip(1..) {
        match (line.strip_prefix("=== "), &mut begun) {
            (Some(title), _) => {
                let title = title.trim().to_string();
                finish(begun.replace((title, number, Vec::new())), &mut file.cases);
            }
            (None, Some((.., body))) => body.push(line),
            (None, None) => file.preamble.push_str(&format!("{line}\n")),
        }
    }
    finish(begun, &mut file.cases);
    file
}

fn case(name: String, place: String, body: &[&str]) -> Case {
    let is_head = |line: &&&str| line.starts_with(['#', '?', 'x']);
    let head: Vec<&str> = body.iter().take_while(is_head).copied().collect();
    let queries: Vec<&str> = head.iter().filter(|line| !line.starts_with('#')).copied().collect();
    let asked = query::parse(&queries).unwrap_or_else(|problem| panic!("{place}: {problem}"));
    let rest = body[head.len()..].iter().filter(|line| !line.trim().is_empty());
    let expected = rest.map(|line| format!("{line}\n")).collect();
    let head = head.iter().map(|line| format!("{line}\n")).collect();
    Case { name, place, head, asked, expected }
}

impl File {
    /// Writes the file with other expectations, one for each case.
    pub fn bless(&self, found: &[String]) {
        let mut text = self.preamble.clone();
        for (case, found) in self.cases.iter().zip(found) {
            text.push_str(&format!("=== {}\n{}{found}\n", case.name, case.head));
        }
        fs::write(&self.path, text.trim_end().to_string() + "\n").unwrap();
    }
}

impl Case {
    /// The reply of the engine, as bytes and as text.
    pub fn ask_engine(&self, snapshot: &Snapshot, transport: Transport) -> (Option<Vec<u8>>, String) {
        let mut snapshot = fixture::with_health(snapshot, &self.asked.health);
        if let Some(prefixes) = &self.asked.ecs_from {
            let ecs_from = Some(PrefixSet::new(prefixes));
            let settings = Settings { ecs_from, ..snapshot.settings().clone() };
            snapshot = snapshot.with_settings(settings);
        }
        let mut out = vec![0; wire::MAX_STREAM];
        let peer = Peer { address: self.asked.from, transport };
        match wire::respond(&self.asked.message, peer, &snapshot, Now::default(), &mut out) {
            None => (None, NO_REPLY.into()),
            Some(reply) => {
                out.truncate(reply.len);
                let text = self.show(&out) + &show::basis(&reply.summary.basis, &snapshot);
                (Some(out), text)
            }
        }
    }

    /// A reply as text, without the reasons that only the engine knows.
    pub fn show(&self, reply: &[u8]) -> String {
        let mut text = show::reply(reply);
        if self.asked.size == Size::Shown {
            text.push_str(&format!("octets     {}\n", reply.len()));
        }
        text
    }

    /// The expected text for a server, which does not tell its reasons.
    pub fn expected_without_basis(&self) -> String {
        self.expected.lines().filter(|line| !line.starts_with("basis ")).map(|line| format!("{line}\n")).collect()
    }

    /// Checks the properties of every reply.
    pub fn check_echo(&self, reply: &[u8], transport: Transport) -> Result<(), String> {
        let query = &self.asked.message;
        if reply[..2] != query[..2] {
            return Err("the ID is another".into());
        }
        if reply[2] & 0x80 == 0 {
            return Err("QR is clear".into());
        }
        let questions = u16::from_be_bytes([reply[4], reply[5]]);
        // The question begins where the header ends, in both.
        let question_len = pharos::wire::decode(query).and_then(|query| query.question).map_or(0, |q| q.wire.len());
        let same = questions == 0 || reply.get(12..12 + question_len) == query.get(12..12 + question_len);
        if !same {
            return Err("the question is not octet for octet the one that was asked".into());
        }
        if transport == Transport::Udp && reply.len() > 1232 {
            return Err(format!("{} octets over UDP", reply.len()));
        }
        Ok(())
    }
}
