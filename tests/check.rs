//! `check` by case files: each `tests/check/NAME.toml` is read, and the output of `check` must be `NAME.expected`. A case of
//! several files is a folder `NAME` with a `pharos.toml`.
//!
//! `PHAROS_BLESS=1 cargo test --test check` writes the expected files anew; read the difference before keeping it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common/diff.rs"]
mod diff;
#[path = "common/expected.rs"]
mod expected;

use std::fs;
use std::path::{Path, PathBuf};

use pharos::base::diagnostic::Style;
use pharos::base::report::report;
use pharos::config;
use proptest::prelude::*;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check")
}

/// The case files by name, in order.
fn cases() -> Vec<PathBuf> {
    let mut cases: Vec<PathBuf> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir() || path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    cases.sort();
    cases
}

/// The report on a text.
fn output(text: &str) -> String {
    match config::read("pharos.toml", text) {
        Ok((_, warnings)) => format!("{}ok\n", report(&warnings, Style::Plain)),
        Err(problems) => report(&problems, Style::Plain),
    }
}

/// The report on a case.
fn output_of(case: &Path) -> String {
    if !case.is_dir() {
        return without_lists(&output(&fs::read_to_string(case).unwrap()));
    }
    let said = match config::read_file(&case.join("pharos.toml")) {
        Ok(read) => format!("{}ok\n", report(&read.warnings, Style::Plain)),
        Err(problems) => report(&problems, Style::Plain),
    };
    without_lists(&said.replace(&format!("{}/", case.display()), ""))
}

/// Cuts the lists of known keys, so that a new key changes no case: `an_unknown_key_gets_the_list_of_known_ones` has a whole
/// list.
fn without_lists(report: &str) -> String {
    const LIST: &str = "known keys: ";
    let cut =
        |line: &str| line.split_once(LIST).map_or_else(|| line.to_string(), |(start, _)| format!("{start}{LIST}…"));
    report.split('\n').map(cut).collect::<Vec<_>>().join("\n")
}

#[test]
fn an_unknown_key_gets_the_list_of_known_ones() {
    let problems = config::read("pharos.toml", "[dns.quic]\nlistn = '[::1]:853'\n[dns.rrl]\nrate = 1\n").unwrap_err();
    let helps: Vec<_> =
        problems.iter().filter(|problem| problem.code == "unknown-key").map(|problem| &problem.help).collect();
    let rrl = "known keys: `responses-per-second`, `window`, `slip`, `ipv4-prefix`, `ipv6-prefix`, `exempt`";
    assert_eq!(helps, [&Some("did you mean `listen`? known keys: `listen`".to_string()), &Some(rrl.to_string())]);
}

#[test]
fn every_case_says_what_is_expected() {
    let held = |case: PathBuf| {
        let name = case.file_stem().unwrap().to_str().unwrap();
        expected::held(&format!("tests/check/{name}.expected"), &output_of(&case))
    };
    let wrong: Vec<_> = cases().into_iter().filter_map(held).collect();
    assert!(wrong.is_empty(), "{}{}", wrong.join("\n"), expected::remedy("check"));
}

#[test]
fn the_default_config_is_without_fault() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("pharos.toml")).unwrap();
    assert_eq!(output(&text), "ok\n");
}

/// The codes that the sources can report, so that each has a case.
fn codes_in_sources(folder: &Path, codes: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            codes_in_sources(&path, codes);
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        let squeezed: String = code.split_whitespace().collect::<Vec<_>>().join(" ");
        for call in ["Diagnostic::error(", "Diagnostic::warning(", "Fault::new(", "Names::new(", "unusable("] {
            for (at, _) in squeezed.match_indices(call) {
                let arguments = &squeezed[at + call.len()..];
                let mut quoted = arguments.split('"').skip(1).step_by(2).take(2);
                // The name of a kind of thing comes before the code in `Names::new`.
                let word = if call == "Names::new(" { quoted.nth(1) } else { quoted.next() };
                let is_code =
                    |word: &&str| word.contains('-') && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
                codes.extend(word.filter(is_code).map(str::to_string));
            }
        }
    }
}

#[test]
fn every_problem_has_a_case() {
    let mut codes = Vec::new();
    codes_in_sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config"), &mut codes);
    codes.sort();
    codes.dedup();
    assert!(codes.len() > 30, "the sources are not read as they should be: {codes:?}");
    let said: String =
        cases().iter().map(|case| fs::read_to_string(case.with_extension("expected")).unwrap()).collect();
    // Too large or too many to be a file: these have tests of their own, here and in `config`.
    let by_size = ["too-large", "too-many"];
    let silent: Vec<_> =
        codes.iter().filter(|code| !said.contains(&format!("[{code}]")) && !by_size.contains(&code.as_str())).collect();
    assert!(silent.is_empty(), "no case for {silent:?}");
}

#[test]
fn a_file_that_is_too_large_is_refused() {
    let text = "#".repeat(config::limits::MAX_FILE_OCTETS + 1);
    let problems = config::read("pharos.toml", &text).unwrap_err();
    assert_eq!(problems[0].code, "too-large");
}

#[test]
fn too_many_of_anything_are_refused() {
    let mirrors: String = (0..=config::limits::MAX_ITEMS).map(|n| format!("m{n}.host = 'h{n}.example'\n")).collect();
    let problems = config::read("pharos.toml", &format!("[mirrors]\n{mirrors}")).unwrap_err();
    let found: Vec<_> = problems.iter().filter(|problem| problem.code == "too-many").collect();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].message, "65536 mirrors are more than 65535");

    let addresses: Vec<String> = (1..=33).map(|n| format!("'192.0.2.{n}'")).collect();
    let text = format!("[mirrors.a]\naddresses = [{}]\n", addresses.join(", "));
    let problems = config::read("pharos.toml", &text).unwrap_err();
    assert!(problems.iter().any(|problem| problem.message == "mirror `a` has 33 addresses"));
}

#[test]
fn suggestions_end_where_they_would_take_long() {
    let rules: String = (0..200).map(|n| format!("{{ asn = {}, mirrors = 'n{n}' }},\n", n + 1)).collect();
    let text = format!("mirrors.m1.addresses = '192.0.2.1'\nhorizons.h = {{ default = 'm1', rules = [\n{rules}] }}\n");
    let problems = config::read("pharos.toml", &text).unwrap_err();
    let helps: Vec<&str> = problems
        .iter()
        .filter(|problem| problem.code == "unknown-mirror")
        .map(|problem| problem.help.as_deref().unwrap())
        .collect();
    assert_eq!(helps.len(), 200);
    assert_eq!(
        helps.iter().filter(|help| help.contains("defined mirrors: `m1`")).count(),
        config::limits::MAX_COMPARED
    );
    assert_eq!(helps[199], "define it, or name another mirror");
}

/// One change to a text.
#[derive(Clone, Debug)]
enum Change {
    Remove { from: usize, len: usize },
    Insert { at: usize, text: String },
    Copy { from: usize, len: usize, to: usize },
    SwapLines { a: usize, b: usize },
}

fn change() -> impl Strategy<Value = Change> {
    let words = prop_oneof![
        Just("[".to_string()),
        Just("]]".to_string()),
        Just("{}".to_string()),
        Just("\"".to_string()),
        Just("= 1".to_string()),
        Just("\r\n".to_string()),
        Just("é\u{0}\u{202e}".to_string()),
        Just("[[zone]]\n".to_string()),
        Just("18446744073709551616".to_string()),
        any::<String>(),
    ];
    prop_oneof![
        (any::<usize>(), 1..40usize).prop_map(|(from, len)| Change::Remove { from, len }),
        (any::<usize>(), words).prop_map(|(at, text)| Change::Insert { at, text }),
        (any::<usize>(), 1..60usize, any::<usize>()).prop_map(|(from, len, to)| Change::Copy { from, len, to }),
        (any::<usize>(), any::<usize>()).prop_map(|(a, b)| Change::SwapLines { a, b }),
    ]
}

fn apply(text: &str, change: &Change) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    let within = |at: usize| at % (text.chars().count() + 1);
    match change {
        Change::Remove { from, len } => {
            let from = within(*from);
            chars.drain(from..(from + len).min(chars.len()));
        }
        Change::Insert { at, text } => {
            let at = within(*at);
            chars.splice(at..at, text.chars());
        }
        Change::Copy { from, len, to } => {
            let (from, to) = (within(*from), within(*to));
            let copy: Vec<char> = chars[from..(from + len).min(chars.len())].to_vec();
            chars.splice(to..to, copy);
        }
        Change::SwapLines { a, b } => {
            let mut lines: Vec<&str> = text.split('\n').collect();
            let count = lines.len();
            lines.swap(a % count, b % count);
            return lines.join("\n");
        }
    }
    chars.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_config_is_reported_in_file_order(
        complete in any::<bool>(),
        changes in prop::collection::vec(change(), 1..6),
    ) {
        let case = if complete { "sample-complete.toml" } else { "everything.toml" };
        let sample = fs::read_to_string(folder().join(case)).unwrap();
        let text = changes.iter().fold(sample, |text, change| apply(&text, change));
        let problems = match config::read("pharos.toml", &text) {
            Ok((config, warnings)) => {
                prop_assert!(warnings.iter().all(|problem| !problem.is_error()));
                prop_assert!(!config.zones.is_empty());
                prop_assert!(config.horizons.iter().all(|horizon| !horizon.default.is_empty()));
                warnings
            }
            Err(problems) => {
                prop_assert!(problems.iter().any(|problem| problem.is_error()));
                problems
            }
        };
        let lines: Vec<u32> = problems.iter().map(|problem| problem.place.as_ref().unwrap().line).collect();
        prop_assert!(lines.is_sorted(), "{lines:?}");
        // An excerpt of any text can be shown.
        let _ = report(&problems, Style::Plain);
    }
}

/// A warning whose code is not in the table could not be allowed.
#[test]
fn every_warning_is_in_the_table() {
    fn collect(folder: &Path, codes: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, codes);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap_or_default();
            let code: String = text.split("#[cfg(test)]").next().unwrap().split_whitespace().collect();
            for (at, call) in code.match_indices("Diagnostic::warning(\"") {
                codes.extend(code[at + call.len()..].split('"').next().map(str::to_string));
            }
        }
    }
    let mut codes = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut codes);
    assert!(codes.len() > 30, "the sources are not read as they should be: {codes:?}");
    codes.retain(|code| pharos::base::warnings::known(code).is_none());
    assert!(codes.is_empty(), "not in the table of warnings: {codes:?}");
}

#[test]
fn the_page_of_warnings_is_the_table() {
    let rows: String =
        pharos::base::warnings::WARNINGS.iter().map(|(code, meaning)| format!("| `{code}` | {meaning} |\n")).collect();
    let page = format!(
        "# Warnings\n\n`pharos check` prints the code of a warning in brackets: `warning[unused-mirror]: …`. `allow = [\"unused-mirror\"]` at the\n\
         top of the configuration leaves it out; errors cannot be allowed. `check --deny-warnings` fails on any other.\n\n\
         | code | meaning |\n|---|---|\n{rows}"
    );
    expected::hold("docs/warnings.md", &page, "check");
}

#[test]
fn the_page_of_keys_is_made_from_the_rows() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let page = fs::read_to_string(&path).unwrap();
    expected::hold("docs/configuration.md", &config::page::fill(&page).unwrap(), "check");
}
