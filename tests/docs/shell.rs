//! Fences of the language `console`: a shell runs each command, and the page must show its output.
//!
//! A line that begins with `$ ` is a command, and goes on in the next line after a backslash. The lines up to the next
//! command are its output. The names, addresses and ports of a page are replaced in commands, and put back in their
//! output. The commands of a fence of the language `sh` have to succeed; their output is not compared.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::common::needs::{self, find_program};
use super::page::{Fence, Page};

/// A command with the output that the page shows.
#[derive(Debug, PartialEq)]
pub(crate) struct Step {
    pub(crate) command: String,
    pub(crate) output: String,
}

/// Replacements: a text of the page, and its replacement in the test.
pub(crate) type Stand<'t> = &'t [(&'t str, &'t str)];

/// The commands of a fence.
pub(crate) fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut goes_on = false;
    for line in text.lines() {
        match (line.strip_prefix("$ "), steps.last_mut()) {
            (Some(command), _) if !goes_on => steps.push(Step { command: command.into(), output: String::new() }),
            (_, Some(step)) if goes_on => step.command.push_str(&format!("\n{line}")),
            (_, Some(step)) => step.output.push_str(&format!("{line}\n")),
            (_, None) => panic!("a console begins with a command, not with `{line}`"),
        }
        goes_on = line.ends_with('\\') && steps.last().is_some_and(|step| step.output.is_empty());
    }
    steps
}

/// Runs a fence in a folder, and compares each command's output with the page. A command whose program is missing is left
/// out, and named.
pub(crate) fn run(page: &Page, fence: &Fence, folder: &Path, stand: Stand<'_>) {
    for step in steps(&fence.text) {
        let place = format!("{}:{}", page.path.display(), fence.line);
        let program = step.command.split_whitespace().next().unwrap();
        if program != "pharos" && find_program(program).is_none() {
            needs::missing(format!("{program} is not installed; {place} is not run"));
            continue;
        }
        let (command, printed) = (replace(&step.command, stand), printed(&replace(&step.command, stand), folder));
        let (Ok(printed) | Err(printed)) = printed;
        assert_eq!(put_back(&printed, stand), step.output, "{place}: $ {command}");
    }
}

/// Runs the lines of a fence of the language `sh` in a folder; every command succeeds. A fence whose commands are not
/// installed is left out, and the missing one is named.
pub(crate) fn script(page: &Page, fence: &Fence, folder: &Path, stand: Stand<'_>) {
    let place = format!("{}:{}", page.path.display(), fence.line);
    if let Some(program) = programs(&fence.text).find(|name| find_program(name).is_none()) {
        needs::missing(format!("{program} is not installed; {place} is not run"));
        return;
    }
    if let Err(printed) = printed(&format!("set -e\n{}", replace(&fence.text, stand)), folder) {
        panic!("{place}: a command fails\n{printed}");
    }
}

/// The programs that the lines of a script begin with, but `pharos`. For a line `(cd FOLDER && PROGRAM …)` it is PROGRAM.
fn programs(script: &str) -> impl Iterator<Item = &str> {
    let lines = script.lines().filter(|line| !line.starts_with(' '));
    let commands = lines.map(|line| match line.strip_prefix("(cd ").and_then(|rest| rest.split_once(" && ")) {
        Some((_folder, command)) => command,
        None => line,
    });
    commands.filter_map(|command| command.split(' ').next()).filter(|program| *program != "pharos")
}

/// The output of a command on both channels, as an error if the command fails.
pub(crate) fn printed(command: &str, folder: &Path) -> Result<String, String> {
    let output = output(command, folder);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() { Ok(printed) } else { Err(printed) }
}

fn output(command: &str, folder: &Path) -> Output {
    let own = Path::new(env!("CARGO_BIN_EXE_pharos")).parent().unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    Command::new("sh")
        .args(["-c", &format!("exec 2>&1\n{command}")])
        .current_dir(folder)
        .env("PATH", format!("{}:{path}:/usr/sbin", own.display()))
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Replaces the texts of the page with those of the test.
pub(crate) fn replace(text: &str, stand: Stand<'_>) -> String {
    stand.iter().fold(text.to_string(), |text, (page, test)| text.replace(page, test))
}

fn put_back(text: &str, stand: Stand<'_>) -> String {
    stand.iter().rev().fold(text.to_string(), |text, (page, test)| text.replace(test, page))
}

#[test]
fn a_console_is_cut_into_commands_and_their_output() {
    let found = steps("$ one \\\n  more\nout 1\nout 2\n$ two\n");
    let step = |command: &str, output: &str| Step { command: command.into(), output: output.into() };
    assert_eq!(found, [step("one \\\n  more", "out 1\nout 2\n"), step("two", "")]);
}

#[test]
fn the_programs_of_a_script_are_those_its_lines_begin_with() {
    let script =
        "pharos check\ncp a b \\\n  c\n(cd zones && dnssec-signzone -S zone)\nawk '$4 && $5' zones/signed > out\n";
    assert_eq!(programs(script).collect::<Vec<_>>(), ["cp", "dnssec-signzone", "awk"]);
}
