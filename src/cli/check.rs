//! `pharos check`: the problems of a configuration and of the files it names, and a summary of the configuration.
//!
//! **Invariants**: errors make the exit code 1; warnings do so only when asked to.
//! **Not here**: finding problems ([`crate::serve::rehearse`]).

use std::path::Path;

use serde_json::{Value, json};

use super::layout::{Layout, Page};
use super::{BAD_CONFIG, OK, put};
use crate::base::diagnostic::Diagnostic;
use crate::base::report::{excerpts, report_json};
use crate::base::rr::Ede;
use crate::base::text::counted;
use crate::serve;
use crate::snapshot::Snapshot;
use crate::zone::Zone;

/// Arguments of `pharos check`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print JSON, one object a line: each problem, then what the configuration amounts to
    #[arg(long)]
    json: bool,

    /// Let warnings fail the check
    #[arg(long, visible_alias = "strict")]
    deny_warnings: bool,
}

/// Checks, and returns the exit code.
pub(super) fn run(config: &Path, args: &Args) -> u8 {
    let (text, code) = checked(config, args, Layout::of_stdout());
    put(&text, code)
}

/// The output, and the exit code.
fn checked(config: &Path, args: &Args, layout: Layout) -> (String, u8) {
    let built = serve::rehearse(config);
    let (problems, snapshot) = match &built {
        Ok(built) => (&built.warnings, Some(&built.snapshot)),
        Err(problems) => (problems, None),
    };
    let is_wrong = snapshot.is_none() || (args.deny_warnings && !problems.is_empty());
    let text = if args.json {
        let mut summary = snapshot.map_or_else(|| json!({}), summary_json);
        let errors = problems.iter().filter(|problem| problem.is_error()).count();
        summary["valid"] = snapshot.is_some().into();
        summary["errors"] = errors.into();
        summary["warnings"] = (problems.len() - errors).into();
        format!("{}{}\n", report_json(problems), json!({ "summary": summary }))
    } else {
        let table = snapshot.map(|snapshot| summary(snapshot, layout) + "\n").unwrap_or_default();
        format!("{}{table}{}\n", excerpts(problems, layout), verdict(problems, args.deny_warnings))
    };
    (text, if is_wrong { BAD_CONFIG } else { OK })
}

/// The last line: whether the configuration can be served, and how many problems it has.
fn verdict(problems: &[Diagnostic], deny_warnings: bool) -> String {
    let errors = problems.iter().filter(|problem| problem.is_error()).count();
    let warnings = counted(problems.len() - errors, "warning");
    match (errors, deny_warnings && !problems.is_empty()) {
        (0, false) => format!("configuration is valid, {warnings}"),
        (0, true) => format!("configuration is valid, {warnings}, and --deny-warnings is set"),
        _ => format!("configuration has {}, {warnings}", counted(errors, "error")),
    }
}

/// The summary of the configuration, for people.
fn summary(snapshot: &Snapshot, layout: Layout) -> String {
    let mut page = Page::new(layout, 10);
    let zone = |zone: &Zone| {
        if !zone.is_available() {
            let why = if zone.lack() == Some(Ede::NotReady) { "not fetched yet" } else { "no usable copy" };
            return vec![zone.apex().to_string(), why.to_string(), String::new(), String::new()];
        }
        let (records, steered) = (record_count(zone), steered_count(zone));
        vec![
            zone.apex().to_string(),
            format!("serial {}", zone.serial()),
            counted(records, "record"),
            counted(steered, "steered name"),
        ]
    };
    page.table("zones", snapshot.zones().iter().map(|(_, one)| zone(one)), |_, _, _| None);
    let sources = snapshot.provenance().networks.sources.iter();
    let network = |source: &std::sync::Arc<crate::networks::Source>| {
        vec![
            source.name.to_string(),
            counted(source.v4().len(), "IPv4 prefix"),
            counted(source.v6().len(), "IPv6 prefix"),
            source.file.to_string(),
        ]
    };
    page.table("networks", sources.map(network), |_, _, _| None);
    let horizon = |horizon: &crate::steer::Horizon| {
        vec![
            horizon.name.to_string(),
            counted(horizon.rules.len(), "rule"),
            counted(horizon.v4().len(), "IPv4 range"),
            counted(horizon.v6().len(), "IPv6 range"),
        ]
    };
    page.table("horizons", snapshot.horizons().iter().map(horizon), |_, _, _| None);
    let mirror = |mirror: &crate::mirror::Mirror| {
        let addresses: Vec<String> = mirror.addresses().map(|address| address.to_string()).collect();
        let reached = mirror.content.url.as_ref().map_or_else(|| addresses.join(" "), ToString::to_string);
        vec![mirror.name.to_string(), reached]
    };
    page.table("mirrors", snapshot.mirrors().iter().map(mirror), |_, _, _| None);
    page.text
}

fn record_count(zone: &Zone) -> usize {
    zone.nodes().flat_map(|node| node.rrsets()).map(|set| set.all_records().count()).sum()
}

fn steered_count(zone: &Zone) -> usize {
    zone.nodes().filter(|node| node.steered().is_some()).count()
}

/// The summary of the configuration, for programs.
fn summary_json(snapshot: &Snapshot) -> Value {
    let zone = |zone: &Zone| {
        json!({
            "zone": zone.apex().to_string(),
            "serial": zone.serial(),
            "records": record_count(zone),
            "steered": steered_count(zone),
        })
    };
    let sources = snapshot.provenance().networks.sources.iter();
    let network = |source: &std::sync::Arc<crate::networks::Source>| {
        json!({
            "source": &*source.name,
            "file": &*source.file,
            "prefixes": { "IPv4": source.v4().len(), "IPv6": source.v6().len() },
        })
    };
    let horizon = |horizon: &crate::steer::Horizon| {
        json!({
            "horizon": &*horizon.name,
            "rules": horizon.rules.len(),
            "ranges": { "IPv4": horizon.v4().len(), "IPv6": horizon.v6().len() },
        })
    };
    let mirror = |mirror: &crate::mirror::Mirror| {
        json!({
            "mirror": &*mirror.name,
            "host": mirror.host.as_deref(),
            "url": mirror.content.url.as_ref().map(ToString::to_string),
            "addresses": { "IPv4": mirror.v4, "IPv6": mirror.v6 },
        })
    };
    json!({
        "zones": snapshot.zones().iter().map(|(_, one)| zone(one)).collect::<Vec<_>>(),
        "networks": sources.map(network).collect::<Vec<_>>(),
        "horizons": snapshot.horizons().iter().map(horizon).collect::<Vec<_>>(),
        "mirrors": snapshot.mirrors().iter().map(mirror).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::fixture;

    #[test]
    fn the_summary_counts_what_there_is() {
        let expected = "\
zones     blob.example  serial 7  6 records  2 steered names
networks  overrides  2 IPv4 prefixes  0 IPv6 prefixes  overrides.txt
          aws        3 IPv4 prefixes  1 IPv6 prefix    ip-ranges.json
          geo        2 IPv4 prefixes  0 IPv6 prefixes  country.mmdb
horizons  blobs  4 rules  19 IPv4 ranges  15 IPv6 ranges
mirrors   aws-use1   192.0.2.10 192.0.2.11 2001:db8:a::10
          aws-apne1  192.0.2.40 2001:db8:a::40
          gcp-us     198.51.100.10 2001:db8:b::10
";
        assert_eq!(summary(&fixture::snapshot(), Layout::plain(100)), expected);
    }

    #[test]
    fn a_line_of_the_summary_is_broken_between_words() {
        for width in [80, 120] {
            let text = summary(&fixture::snapshot(), Layout::plain(width));
            assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_an_error() {
        let args = Args { json: true, deny_warnings: false };
        let (text, code) = checked(Path::new("no-such-folder/pharos.toml"), &args, Layout::plain(100));
        assert_eq!(code, BAD_CONFIG);
        let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(first["severity"], "error");
        let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!(last, json!({ "summary": { "valid": false, "errors": 1, "warnings": 0 } }));
    }

    #[test]
    fn warnings_fail_only_when_asked_to() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write(
            "zone",
            "$ORIGIN blob.example.\n$TTL 300\n@ SOA ns.other. hostmaster.other. 7 7200 3600 1209600 300\n@ NS ns.other.\n@ NS ns2.other.\n",
        );
        let config = |extra: &str| {
            format!(
                "[[zone]]\nname = \"blob.example\"\nfile = \"zone\"\nsteer = [{{ owner = \"@\", horizon = \"all\", ttl = 60 }}]\n\
                 [mirrors.one]\naddresses = [\"192.0.2.1\"]\n{extra}\
                 [horizons.all]\nrules = []\ndefault = [\"one\"]\n"
            )
        };
        let path = folder.path().join("pharos.toml");
        let code = |deny_warnings| checked(&path, &Args { json: false, deny_warnings }, Layout::plain(100));
        write("pharos.toml", &config(""));
        let (text, fine) = code(true);
        assert_eq!(fine, OK, "{text}");
        assert!(text.starts_with("zones     blob.example  serial 7  3 records  1 steered name\n"), "{text}");
        // A mirror that no rule names is a warning.
        write("pharos.toml", &config("[mirrors.two]\naddresses = [\"192.0.2.2\"]\n"));
        let (text, strict) = code(true);
        assert!(text.contains("warning[") && text.contains("`two`"), "{text}");
        assert!(text.ends_with("\nconfiguration is valid, 1 warning, and --deny-warnings is set\n"), "{text}");
        assert_eq!((strict, code(false).1), (BAD_CONFIG, OK));
        // An allowed warning does not count; other warnings do.
        let allowed = format!("allow = \"unused-mirror\"\n{}", config("[mirrors.two]\naddresses = [\"192.0.2.2\"]\n"));
        write("pharos.toml", &allowed);
        let (text, fine) = code(true);
        assert!(fine == OK && text.ends_with("\nconfiguration is valid, 0 warnings\n"), "{text}");
        write("pharos.toml", &allowed.replace("192.0.2.2", "10.0.0.2"));
        let (text, strict) = code(true);
        assert!(strict == BAD_CONFIG && text.contains("warning[private-address]"), "{text}");
        // A zone that was not fetched yet has no NS records to warn of.
        let copy = "[[zone]]\nname = \"copy.example\"\nfile = \"copy\"\nprimaries = [\"192.0.2.1\"]\n";
        write("pharos.toml", &format!("{}{copy}", config("")));
        let (text, fine) = code(true);
        assert!(fine == OK && text.contains("copy.example  not fetched yet\n"), "{text}");
        // A cause is one warning, also if it has several effects or the configuration repeats it.
        let rule = |asn| format!("{{ asn = {asn}, mirrors = \"one\" }}");
        let rules = format!("rules = [\n{}\n]", [rule(64500), rule(64500), rule(64500)].join(",\n"));
        write("pharos.toml", &config("").replace("rules = []", &rules));
        let (text, _) = code(false);
        assert!(text.ends_with("\nconfiguration is valid, 1 warning\n"), "{text}");
    }
}
