//! Relative links of the documentation: the file exists, and the heading of the anchor.

use std::fs;
use std::path::{Path, PathBuf};

use super::page::{Page, anchor, root};

/// The pages in the root of the repository.
const BESIDE: [&str; 4] = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"];

/// The pages beside README.md, and every page of docs/, by their paths in the repository.
pub(crate) fn pages() -> Vec<PathBuf> {
    let is_page = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "md");
    let docs =
        fs::read_dir(root().join("docs")).unwrap().map(|entry| Path::new("docs").join(entry.unwrap().file_name()));
    let mut found: Vec<PathBuf> = docs.filter(is_page).chain(BESIDE.map(PathBuf::from)).collect();
    found.sort();
    found
}

/// The links of a page that lead nowhere.
fn dead(page: &Page) -> Vec<String> {
    let wrong = |link: &super::page::Link| {
        let (path, anchor) = link.target.split_once('#').unwrap_or((&link.target, ""));
        let file = match path {
            "" => page.path.clone(),
            path => page.path.parent().unwrap().join(path),
        };
        if !path.is_empty() && !root().join(&file).exists() {
            return Some(format!("no file {}", file.display()));
        }
        let is_there = || match path {
            "" => page.anchors.iter().any(|other| other == anchor),
            _ => Page::open(&file).anchors.iter().any(|other| other == anchor),
        };
        (!anchor.is_empty() && !is_there()).then(|| format!("no heading #{anchor} in {}", file.display()))
    };
    let relative = page.links.iter().filter(|link| !link.target.contains("://") && !link.target.starts_with("mailto:"));
    let place = |line| format!("{}:{line}", page.path.display());
    relative.filter_map(|link| wrong(link).map(|why| format!("{}: {why}", place(link.line)))).collect()
}

#[test]
fn every_relative_link_leads_to_a_file_and_a_heading() {
    let pages = pages();
    assert!(pages.len() > 5, "{pages:?}");
    let dead: Vec<String> = pages.iter().flat_map(|path| dead(&Page::open(path))).collect();
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let text = "# One `two`, three!\n[a](#one-two-three) [b](#one) [c](mirrors.md#a-mirror-dies-under-load) \
                [d](mirrors.md#none) [e](none.md)\n\n[f](../README.md) [g](https://none.example/#x)\n";
    let page = Page::parse(Path::new("docs/x.md"), text);
    let expected = [
        "docs/x.md:2: no heading #one in docs/x.md",
        "docs/x.md:2: no heading #none in docs/mirrors.md",
        "docs/x.md:2: no file docs/none.md",
    ];
    assert_eq!(dead(&page), expected);
    assert_eq!(anchor("`[dns.rrl]` (optional): response rate limiting"), "dnsrrl-optional-response-rate-limiting");
}
