//! `docs/cli.md`: made from `--help` of each command. `PHAROS_BLESS=1` writes it anew.

use super::common::{commands, expected};
use super::page::Page;

/// The beginning of the page.
const HEAD: &str = "\
# Command line

The text of `--help` for each command; `pharos help COMMAND` prints the same, and manual pages are made from it
([install](install.md#from-a-clone)). The test of this page makes it from the binary: `PHAROS_BLESS=1 cargo test --locked --test docs`.

Every command finds its configuration in the same order: `--config FILE`, the environment variable `PHAROS_CONFIG`,
`./pharos.toml`, `/etc/pharos/pharos.toml`. If `--config` does not name it, its path is printed on standard error.
";

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
    expected::hold("docs/cli.md", &generated(), "docs");
    page.claim_all("help");
}
