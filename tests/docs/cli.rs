//! `docs/cli.md`: made from `--help` of each command. `PHAROS_BLESS=1` writes it anew.

use std::fs;

use super::common::commands;
use super::page::{Page, root};

/// The beginning of the page.
const HEAD: &str = "\
# Command line

The text of `--help` for each command; `pharos help COMMAND` prints the same, and manual pages are made from it
([install](install.md#from-a-clone)). The test of this page makes it from the binary: `PHAROS_BLESS=1 cargo test --test docs`.

Every command finds its configuration in the same order: `--config FILE`, the environment variable `PHAROS_CONFIG`,
`./pharos.toml`, `/etc/pharos/pharos.toml`. If `--config` does not name it, its path is printed on standard error.
";

const REMEDY: &str = "`PHAROS_BLESS=1 cargo test --test docs` writes the page anew";

/// The page that the binary's help makes.
fn generated() -> String {
    let mut text = HEAD.to_string();
    for (command, help) in commands::all() {
        let name = [vec!["pharos".to_string()], command].concat().join(" ");
        text += &format!("\n## `{name}`\n\n```text help\n{}\n```\n", help.trim_end());
    }
    text
}

pub(crate) fn run(page: &Page) {
    let (found, path) = (generated(), root().join(&page.path));
    if std::env::var_os("PHAROS_BLESS").is_some() {
        fs::write(path, found).unwrap();
        page.claim_all("help");
        return;
    }
    let written = fs::read_to_string(path).unwrap();
    let lines = (1..).zip(written.lines().zip(found.lines()));
    for (line, (page, help)) in lines {
        assert!(page == help, "docs/cli.md:{line}: `{page}`, but `--help` has `{help}`; {REMEDY}");
    }
    assert!(written == found, "docs/cli.md has not as many lines as `--help`; {REMEDY}");
    page.claim_all("help");
}
