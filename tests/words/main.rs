//! The words of the documentation: no sentence without an actor, no headline that is a clause, one term for one thing.
//!
//! `patterns.rs` has the forms that are not written, each with its rule and its remedy. Fences, code, quotations and RFC
//! text are exempt.

#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected is to fail")]

mod comments;
mod messages;
mod pages;
mod patterns;

use std::fs;
use std::path::{Path, PathBuf};

use pages::texts;

/// The pages beside README.md, and every page of docs/, by their paths in the repository.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let in_folder = |folder: &str| {
        let entries = fs::read_dir(root.join(folder)).unwrap();
        let paths = entries.map(|entry| Path::new(folder).join(entry.unwrap().file_name())).collect::<Vec<_>>();
        paths.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "md"))
    };
    let mut found: Vec<PathBuf> = in_folder("").chain(in_folder("docs")).collect();
    found.sort();
    found
}

/// Every pattern that a page has, as `file:line: …`.
fn problems(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let found = texts(&text).into_iter().flat_map(|text| patterns::find(&text));
    found.map(|(line, problem)| format!("{}:{line}: {problem}", path.display())).collect()
}

#[test]
fn pages_are_in_plain_technical_english() {
    let pages = pages();
    assert!(pages.len() > 20, "{pages:?}");
    let wrong: Vec<String> = pages.iter().flat_map(|path| problems(path)).collect();
    assert!(wrong.is_empty(), "{} problems\n{}", wrong.len(), wrong.join("\n"));
}

/// Every Rust source below some folders, by its path in the repository.
fn sources() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<PathBuf> =
        ["src", "tests", "benches", "fuzz/src", "fuzz/fuzz_targets", "examples"].map(Into::into).to_vec();
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder)).unwrap() {
            let path = folder.join(entry.unwrap().file_name());
            if root.join(&path).is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn comments_are_in_plain_technical_english() {
    let sources = sources();
    assert!(sources.len() > 300, "{}", sources.len());
    let in_source = |path: &PathBuf| -> Vec<String> {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
        let found = comments::comments(&text).into_iter().flat_map(|text| patterns::find(&text));
        found.map(|(line, problem)| format!("{}:{line}: {problem}", path.display())).collect()
    };
    let wrong: Vec<String> = sources.iter().flat_map(in_source).collect();
    assert!(wrong.is_empty(), "{} problems\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_rule_finds_its_pattern_and_nothing_else() {
    let found = |text: &str| -> Vec<(usize, u8, String)> {
        let found = texts(text).into_iter().flat_map(|text| patterns::matches(&text));
        found.map(|found| (found.line, found.pattern.rule, found.words)).collect()
    };
    let one = |line, rule, words: &str| vec![(line, rule, words.to_string())];
    assert_eq!(found("# What it does\n"), one(1, 1, "what"));
    assert_eq!(found("# A list\n\nWhoever\nasks"), one(3, 2, "whoever"));
    assert_eq!(found("nobody's"), one(1, 2, "nobody's"));
    assert_eq!(found("It is\nwhat\nis served."), one(2, 2, "what is"));
    assert_eq!(found("| a | b |\n|---|---|\n| x | None where no\nkey is set |\n"), one(3, 3, "none where"));
    assert_eq!(found("- All but for one"), one(1, 4, "but for"));
    assert_eq!(found("A message of 12 octets"), one(1, 6, "octets"));
    for exempt in ["`nobody`", "```\nnobody\n```", "> nobody", "it prints \"nobody listens\"", "somebodyelse"] {
        assert_eq!(found(exempt), [], "{exempt}");
    }
}
