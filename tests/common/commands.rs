//! The commands of the binary, from its `--help`.

use std::process::{Command, Stdio};

/// Every command with its help, in the order of `--help`; `pharos` itself is the first, with no name.
pub fn all() -> Vec<(Vec<String>, String)> {
    let (mut found, mut left) = (Vec::new(), vec![Vec::new()]);
    while let Some(command) = left.pop() {
        let help = help(&command);
        let below = subcommands(&help).into_iter().rev();
        left.extend(below.map(|name| [command.clone(), vec![name]].concat()));
        found.push((command, help));
    }
    found
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
