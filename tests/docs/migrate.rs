//! Two servers, the questions of a page, and the differences that the page admits.
//!
//! A fence with `questions` holds a question a line, as `dig -f` reads them: name, type, and `+subnet=PREFIX` or nothing.
//! The table below the heading "Differences on purpose" has a row for each answer that is not the same: question, part,
//! the other server's, ours, reason. The test fails for a difference without a row, and for a row without a difference.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use hickory_proto::op::Message;
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use pharos::base::prefix::Prefix;
use pharos::base::rr::Rtype;

use super::common::needs::{self, find_program};
use super::common::pipeline;
use super::common::query::Builder;
use super::common::server::Server;
use super::common::show;
use super::page::{Fence, Page, root};
use super::process::Process;
use super::shell;

/// The heading of the table of differences.
const HEADING: &str = "Differences on purpose";

/// A line of a fence with `questions`.
#[derive(Debug)]
struct Question {
    text: String,
    rtype: Rtype,
    subnet: Option<Prefix>,
    message: Vec<u8>,
}

/// A part of an answer that is not the same: question, part, theirs, ours.
type Difference = [String; 4];

/// The server that a page leads away from.
pub(crate) struct Old<'t> {
    pub(crate) program: &'t str,
    pub(crate) package: &'t str,
    /// A module that the package brings: folder and file, as `/usr/lib/*/` has them.
    pub(crate) module: Option<(&'t str, &'t str)>,
    pub(crate) arguments: &'t [&'t str],
    pub(crate) address: SocketAddr,
}

/// Starts both servers with the files of a page, and compares their answers. If the other server is not installed, it is
/// left out and named; ours starts all the same.
pub(crate) fn both(page: &Page, folder: &Path, old: &Old<'_>) {
    assert_keys(page);
    let ours = Server::start(&folder.join("pharos/pharos.toml"));
    let ours = ours.address(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let has_module = old.module.is_none_or(|(folder, file)| is_installed(folder, file));
    if find_program(old.program).is_none() || !has_module {
        needs::missing(format!("{} is not installed, or not all of it (Debian package {})", old.program, old.package));
        page.claim("questions");
        page.claim("compare");
        return;
    }
    let mut process = Process::start(old.program, old.arguments, folder, &[]);
    // A server that accepts connections may still load its zone.
    let message = Builder::new("blob.example.com.", Rtype::SOA).finish();
    process.wait_until(|| pipeline::ask_tcp(old.address, &message).is_ok_and(|reply| reply[2] & 4 != 0));
    compare(page, old.address, ours);
    run_dig(page, page.claim("compare"), folder, old.address, ours);
}

/// Every key in a page's column "Pharos" is one of the configuration.
pub(crate) fn assert_keys(page: &Page) {
    let text = fs::read_to_string(root().join("tests/check/everything.toml")).unwrap();
    let mut known = BTreeSet::new();
    keys_of(&toml::from_str(&text).unwrap(), &mut known);
    let table = page.tables.iter().find(|table| table.head.get(1).is_some_and(|head| head == "Pharos")).unwrap();
    let codes: Vec<&String> = table.codes.iter().flat_map(|row| &row[1]).collect();
    let keys: Vec<&str> = codes.iter().filter_map(|code| key_of(code)).collect();
    assert!(keys.len() > 5, "{}: {keys:?}", page.path.display());
    let unknown: Vec<&&str> = keys.iter().filter(|key| !known.contains(**key)).collect();
    assert!(unknown.is_empty(), "{}: not in tests/check/everything.toml: {unknown:?}", page.path.display());
}

/// The key that a code names: `[probe] fall`, `weights = { … }` or `country`.
fn key_of(code: &str) -> Option<&str> {
    let behind = code.strip_prefix('[').map_or(Some(code), |rest| rest.split_once("] ").map(|(_, behind)| behind))?;
    let key = behind.split(['=', ' ']).next()?;
    let is_key =
        !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-' || byte.is_ascii_digit());
    // Commands begin so too, and sources have names of their own.
    (is_key && !["pharos", "systemctl"].contains(&key)).then_some(key)
}

fn keys_of(table: &toml::Table, keys: &mut BTreeSet<String>) {
    for (key, value) in table {
        keys.insert(key.clone());
        let mut values = vec![value];
        while let Some(value) = values.pop() {
            match value {
                toml::Value::Table(table) => keys_of(table, keys),
                toml::Value::Array(list) => values.extend(list),
                _ => {}
            }
        }
    }
}

/// Looks for a module in the library folders of every architecture.
pub(crate) fn is_installed(folder: &str, file: &str) -> bool {
    let Ok(libraries) = fs::read_dir("/usr/lib") else { return false };
    let folders = libraries.filter_map(Result::ok).filter_map(|entry| fs::read_dir(entry.path().join(folder)).ok());
    // Knot has its modules in a folder that is named after its version.
    let mut inner = folders.flatten().filter_map(Result::ok).map(|entry| entry.path());
    inner.any(|path| path.ends_with(file) || path.join(file).exists())
}

/// Asks both servers the questions of a page, and compares the differences with the page's table.
fn compare(page: &Page, theirs: SocketAddr, ours: SocketAddr) {
    let questions: Vec<Question> = page.claim("questions").text.lines().map(Question::parse).collect();
    let messages: Vec<Vec<u8>> = questions.iter().map(|question| question.message.clone()).collect();
    let ask = |server| -> Vec<Message> {
        let replies = pipeline::ask_all(server, &messages);
        replies.iter().map(|reply| show::decode(reply).unwrap()).collect()
    };
    let (theirs, ours) = (ask(theirs), ask(ours));
    assert_worth(&questions, &ours);
    let answers = theirs.iter().zip(&ours);
    let found: BTreeSet<Difference> = questions
        .iter()
        .zip(answers)
        .flat_map(|(question, (theirs, ours))| differences(question, theirs, ours))
        .collect();
    let row = |row: &Vec<String>| -> Difference { [0, 1, 2, 3].map(|at| row[at].clone()) };
    let table = page.table(HEADING);
    assert!(table.rows.iter().all(|row| !row[4].is_empty()), "{}: each difference has a reason", page.path.display());
    let admitted: BTreeSet<Difference> = table.rows.iter().map(row).collect();
    let show = |some: Vec<&Difference>| -> String {
        let line = |[a, b, c, d]: &Difference| format!("| `{a}` | {b} | {c} | {d} | |\n");
        some.into_iter().map(line).collect()
    };
    assert!(
        found == admitted,
        "{}: the differences are not those of the table\nnot in the table:\n{}only in the table:\n{}",
        page.path.display(),
        show(found.difference(&admitted).collect()),
        show(admitted.difference(&found).collect())
    );
}

/// The questions are twenty at least, of several types, with subnets of both families and negative answers.
fn assert_worth(questions: &[Question], answers: &[Message]) {
    let types: BTreeSet<u16> = questions.iter().map(|question| question.rtype.0).collect();
    let subnets = |is_ipv4: bool| {
        let of_family = |question: &&Question| question.subnet.is_some_and(|it| it.first().is_ipv4() == is_ipv4);
        questions.iter().filter(of_family).count()
    };
    let negative = answers.iter().filter(|answer| answer.answers.is_empty()).count();
    assert!(questions.len() >= 20, "{} questions", questions.len());
    assert!(types.len() >= 5, "{types:?}");
    assert!(subnets(true) >= 3 && subnets(false) >= 2, "subnets: {}, {}", subnets(true), subnets(false));
    assert!((4..=questions.len() / 2).contains(&negative), "{negative} negative answers");
}

impl Question {
    fn parse(line: &str) -> Self {
        let mut words = line.split_whitespace();
        let (name, rtype) = (words.next().unwrap(), words.next().unwrap().parse().unwrap());
        let subnet = words.next().map(|word| word.strip_prefix("+subnet=").expect("a subnet").parse().unwrap());
        let builder = Builder::new(&format!("{name}."), rtype).edns(1232);
        let builder = if let Some(subnet) = subnet { builder.ecs(subnet) } else { builder };
        Question { text: line.into(), rtype, subnet, message: builder.finish() }
    }
}

fn differences(question: &Question, theirs: &Message, ours: &Message) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut compare = |part: &str, theirs: String, ours: String| {
        if theirs != ours {
            found.push([question.text.clone(), part.to_string(), theirs, ours]);
        }
    };
    let rcode = |message: &Message| message.metadata.response_code.to_str().to_string();
    compare("rcode", rcode(theirs), rcode(ours));
    let aa = |message: &Message| if message.metadata.authoritative { "set" } else { "not set" }.to_string();
    compare("AA", aa(theirs), aa(ours));
    // Of a positive answer, the authority section is each server's choice (RFC 1034 §6.2.1).
    let is_negative = theirs.answers.is_empty() && ours.answers.is_empty();
    let records = |message: &Message| records(if is_negative { &message.authorities } else { &message.answers });
    let (their_records, our_records) = (records(theirs), records(ours));
    let data =
        |records: &BTreeSet<(String, u32)>| records.iter().map(|(data, _)| data.clone()).collect::<BTreeSet<_>>();
    let (their_data, our_data) = (data(&their_records), data(&our_records));
    let without = |some: &BTreeSet<String>, others: &BTreeSet<String>| {
        let rest: Vec<String> = some.difference(others).cloned().collect();
        if rest.is_empty() { "none".to_string() } else { rest.join(", ") }
    };
    compare("records", without(&their_data, &our_data), without(&our_data, &their_data));
    // The line before shows a difference in records; this one is about the records that both give.
    let ttls = |records: &BTreeSet<(String, u32)>, others: &BTreeSet<String>| {
        let common = records.iter().filter(|(data, _)| others.contains(data));
        let ttls: BTreeSet<String> = common.map(|(_, ttl)| ttl.to_string()).collect();
        ttls.into_iter().collect::<Vec<_>>().join(", ")
    };
    compare("TTL", ttls(&their_records, &our_data), ttls(&our_records, &their_data));
    compare("scope", scope(theirs), scope(ours));
    found
}

/// Owner, type and data of each record, with its TTL.
fn records(section: &[hickory_proto::rr::Record]) -> BTreeSet<(String, u32)> {
    let text = |record: &hickory_proto::rr::Record| {
        let (owner, rtype) = (record.name.to_ascii().to_lowercase(), record.record_type());
        (format!("{owner} {} {}", show::type_name(rtype), show::rdata(&record.data, rtype)), record.ttl)
    };
    section.iter().map(text).collect()
}

fn scope(message: &Message) -> String {
    let option = message.edns.as_ref().and_then(|edns| edns.option(EdnsCode::Subnet));
    match option {
        Some(EdnsOption::Subnet(subnet)) => subnet.scope_prefix().to_string(),
        _ => "no option".to_string(),
    }
}

/// Text with replacements; each replaced part must be in the text.
pub(crate) fn edited(text: &str, replacements: &[(&str, &str)]) -> String {
    replacements.iter().fold(text.to_string(), |text, (from, to)| {
        assert!(text.contains(from), "`{from}` does not stand in\n{text}");
        text.replace(from, to)
    })
}

/// Runs the commands that compare both servers: the page has the old one at 192.0.2.1, the new one at 192.0.2.53.
fn run_dig(page: &Page, fence: &Fence, folder: &Path, theirs: SocketAddr, ours: SocketAddr) {
    let at = |server: SocketAddr| format!("@{} -p {} ", server.ip(), server.port());
    shell::run(page, fence, folder, &[("@192.0.2.1 ", &at(theirs)), ("@192.0.2.53 ", &at(ours))]);
}
