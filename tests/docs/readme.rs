//! `README.md`: its configuration is loaded, its commands are run; `tests/first_steps.rs` runs the demonstration.

use std::fs;

use super::page::{Page, root};
use super::shell;

/// A feed with one prefix, in the form of the published one.
pub(crate) const AWS: &str = r#"{"syncToken":"1","createDate":"2026-01-01-00-00-00","prefixes":[{"ip_prefix":"3.80.0.0/12",
"region":"us-east-1","service":"AMAZON","network_border_group":"us-east-1"}],"ipv6_prefixes":[]}"#;

/// The longest that the page may be: a reader sees all of it.
const MOST_LINES: usize = 150;

pub(crate) fn run(page: &Page) {
    let lines = fs::read_to_string(root().join(&page.path)).unwrap().lines().count();
    assert!(lines <= MOST_LINES, "{} has {lines} lines, more than {MOST_LINES}", page.path.display());
    page.claim("picture");
    assert_eq!(
        page.claim("demo-command").text,
        "cargo run --release -- demo\n",
        "tests/first_steps.rs runs `pharos demo`"
    );
    page.claim("demo");
    assert!(root().join(page.claim("tests").text.trim()).exists(), "the command is a file of the repository");
    let folder = tempfile::tempdir().unwrap();
    page.write_files(folder.path(), |_, text| text.replace("192.0.2.53:53", "127.0.0.1:53"));
    fs::write(folder.path().join("ip-ranges.json"), AWS).unwrap();
    page.claim_all("run").iter().for_each(|fence| shell::run(page, fence, folder.path(), &[]));
}
