//! `docs/cli.md`: made from `--help` of each command. `PHAROS_BLESS=1` writes it anew.

use std::fs;
use std::process::{Command, Stdio};

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

/// The page as the binary has it.
fn generated() -> String {
    let mut text = HEAD.to_string();
    let mut commands: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(command) = commands.pop() {
        let help = help(&command);
        let below = subcommands(&help).into_iter().rev();
        commands.extend(below.map(|name| [command.clone(), vec![name]].concat()));
        let name = [vec!["pharos".to_string()], command].concat().join(" ");
        text += &format!("\n## `{name}`\n\n```text help\n{}\n```\n", help.trim_end());
    }
    text
}

fn help(command: &[String]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_pharos"))
        .args(command)
        .arg("--help")
        .env_remove("COLUMNS")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{command:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// The names below `Commands:`, without `help`.
fn subcommands(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").map(String::from).collect()
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
