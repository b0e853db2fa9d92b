//! `docs/compliance.md` against the tests: each test that it names exists, and no claim lacks a test.

#![allow(missing_docs, reason = "a test binary has no readers from outside")]

mod common;

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use common::cases;

/// A row: section, point, status and the tests named.
struct Row {
    line: usize,
    status: String,
    tests: Vec<String>,
}

#[test]
fn every_test_that_is_named_exists() {
    let functions = functions();
    let cases: HashSet<String> = cases::all().into_iter().map(|case| case.name).collect();
    let missing: Vec<String> = rows()
        .iter()
        .flat_map(|row| row.tests.iter().map(|test| (row.line, test)))
        .filter(|(_, test)| !functions.contains(*test) && !cases.contains(*test))
        .map(|(line, test)| format!("docs/compliance.md:{line}: no test is named `{test}`"))
        .collect();
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn what_is_claimed_is_tested() {
    let rows = rows();
    assert!(rows.len() > 70, "{} rows were read", rows.len());
    for row in rows {
        let (word, _) = row.status.split_once(':').unwrap_or((&row.status, ""));
        assert!(matches!(word, "yes" | "part" | "planned"), "docs/compliance.md:{}: `{word}` is no status", row.line);
        let is_claimed = word == "yes";
        assert!(!is_claimed || !row.tests.is_empty(), "docs/compliance.md:{}: nothing shows it", row.line);
    }
}

fn rows() -> Vec<Row> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/compliance.md");
    let text = fs::read_to_string(path).expect("the table is there");
    let lines = text.lines().zip(1..).filter(|(line, _)| line.starts_with("| ") && !line.starts_with("| RFC "));
    lines.map(|(line, number)| row(line, number)).collect()
}

fn row(line: &str, number: usize) -> Row {
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let [_rfc, _section, _point, status, tests] = cells[..] else {
        panic!("docs/compliance.md:{number}: {} cells, not five", cells.len());
    };
    let tests = tests.split('`').skip(1).step_by(2).map(str::to_string).collect();
    Row { line: number, status: status.to_string(), tests }
}

/// The names of all functions in the sources and tests.
fn functions() -> HashSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names = HashSet::new();
    for folder in ["src", "tests"] {
        collect(&root.join(folder), &mut names);
    }
    names
}

fn collect(folder: &Path, names: &mut HashSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder can be listed") {
        let path = entry.expect("a folder can be listed").path();
        if path.is_dir() {
            collect(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source file is text");
            let starts = text.match_indices("fn ").map(|(at, found)| &text[at + found.len()..]);
            let name = |rest: &str| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
            names.extend(starts.map(name));
        }
    }
}
