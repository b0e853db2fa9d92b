//! `pharos certs check`: checks a certificate for the steered name, and prints remedies.
//!
//! **Invariants**: the exit code is 0 only if clients with these roots would accept the chain; warnings do not change it.
//! **Not here**: the judgement ([`crate::tls::judge()`]); the certificate that a mirror presents (`pharos verify`).

use std::path::PathBuf;

use rustls::pki_types::{ServerName, UnixTime};
use serde_json::json;

use super::super::facts::{facts_json, minute};
use super::super::layout::Layout;
use super::super::locate::ConfigLocation;
use super::super::verify::probe_of;
use super::super::{BAD_CONFIG, CommandResult, OK, put};
use crate::base::diagnostic::Diagnostic;
use crate::base::report::{report, report_json};
use crate::base::text::counted;
use crate::base::when::span;
use crate::config::{self, FileUse, InputFile};
use crate::probe::roots;
use crate::process::Clock;
use crate::tls::{Evidence, LeafFacts, judge};

/// The file of the authority that `pharos certs` makes.
const AUTHORITY_FILE: &str = "ca.pem";

/// Arguments of `pharos certs check`.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Args {
    /// The certificate with its chain, as the mirror serves it
    #[arg(value_name = "FILE.pem")]
    chain: PathBuf,

    /// The name that clients ask for; with it no configuration is read
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// The key that is to belong to it
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,

    /// A PEM file of roots to trust instead of the configuration's, or this system's
    #[arg(long, value_name = "FILE")]
    roots: Option<PathBuf>,

    /// Print JSON, one object a line: each problem, then what the certificate is
    #[arg(long)]
    json: bool,
}

/// Checks a certificate, and returns the exit code.
pub(super) fn run(config: &ConfigLocation, args: &Args) -> CommandResult {
    let (name, configured) = match &args.name {
        Some(name) => (name.as_str().into(), None),
        None => {
            let config = config::read_file(config.path())?.config;
            let probe = probe_of(&config)?;
            (probe.name, probe.roots)
        }
    };
    let name = name.trim_end_matches('.');
    let server_name = ServerName::try_from(name.to_string()).map_err(|_| {
        let problem = Diagnostic::error("name", format!("`{name}` is neither a host name nor an address"));
        problem.help("write it as clients ask for it: `blob.k8s.io`")
    })?;
    let file = args.roots.as_ref().map(|path| InputFile::at(path, FileUse::Roots)).or(configured);
    let given = Evidence { chain: args.chain.clone(), key: args.key.clone(), name: server_name };
    let now = Clock::unix();
    let (mut facts, mut problems) = judge(&given, &*roots(file.as_ref())?, now);
    // `pharos certs` writes the authority beside the certificates that it issues.
    let authority = args.chain.with_file_name(AUTHORITY_FILE);
    let beside = (file.is_none() && leads_nowhere(&problems))
        .then(|| roots(Some(&InputFile::at(&authority, FileUse::Roots))).ok())
        .flatten();
    let mut private = None;
    if let Some(roots) = beside {
        let (found, left) = judge(&given, &roots, now);
        if !leads_nowhere(&left) {
            (facts, problems, private) = (found, left, Some(authority.display().to_string()));
        }
    }
    let serves = !problems.iter().any(Diagnostic::is_error);
    let text = if args.json {
        let facts = facts.map(|(facts, length)| {
            let mut facts = facts_json(&facts);
            facts["chain_length"] = length.into();
            facts
        });
        let summary = json!({"name": name, "serves": serves, "certificate": facts, "private_authority": private});
        let summary = json!({ "summary": summary });
        format!("{}{summary}\n", report_json(&problems))
    } else {
        let layout = Layout::of_stdout();
        let mut text = report(&problems, layout);
        if let Some((facts, length)) = facts {
            text.push_str(if problems.is_empty() { "" } else { "\n" });
            text.push_str(&facts_text(&facts, length, now, layout));
        }
        if let Some(authority) = &private {
            let words = format!("{authority}, beside the file: clients need it among their roots");
            text += &layout.sentence("root    ", 8, &words);
        }
        let word = if serves { "serves" } else { "does not serve" };
        text + &layout.sentence("", 2, &format!("`{}` {word} for `{name}`", args.chain.display()))
    };
    Ok(put(&text, if serves { OK } else { BAD_CONFIG }))
}

/// Checks whether a problem says that the chain does not lead to a trusted root.
fn leads_nowhere(problems: &[Diagnostic]) -> bool {
    problems.iter().any(|problem| matches!(problem.code, "tls-incomplete" | "tls-untrusted"))
}

fn facts_text(facts: &LeafFacts, length: usize, now: UnixTime, layout: Layout) -> String {
    let names = if facts.names.is_empty() { "none".to_string() } else { facts.names.join(", ") };
    let left = facts.not_after.as_secs().checked_sub(now.as_secs());
    let left = left.map_or(String::new(), |left| format!(" ({} left)", span(left)));
    let [from, to] = [facts.not_before, facts.not_after].map(minute);
    let rows = [
        ["names", &names],
        ["issuer", &facts.issuer],
        ["valid", &format!("{from} to {to}{left}")],
        ["key", &facts.key.to_string()],
        ["chain", &counted(length, "certificate")],
    ];
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.map(str::to_string).to_vec()).collect();
    layout.table("", 0, &rows, |_, _, _| None)
}
