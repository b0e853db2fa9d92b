//! `pharos completions` and `pharos man`: output made from the same definition as `--help`.
//!
//! **Invariants**: the output depends on the program alone, so that two builds of one version make the same bytes; a file
//! that is not a manual page of Pharos is never replaced.
//! **Not here**: the definition itself ([`super::Cli`]).

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, roman};

use super::locate::Without;
use super::{BAD_CONFIG, Cli, CommandFailure, CommandResult, OK, put};
use crate::files::{self, FileKind};

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
pub(super) struct CompletionsArgs {
    /// The shell that reads the script
    #[arg(value_enum)]
    shell: Shell,

    #[command(flatten)]
    without: Without,
}

/// Arguments of `man`.
#[derive(Debug, clap::Args)]
pub(super) struct ManArgs {
    /// Write a page for each command into this folder, which is made if absent; without it, print pharos.1
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,

    #[command(flatten)]
    without: Without,
}

/// The title of the manual, in the middle of the first line of each page.
const MANUAL: &str = "Pharos Manual";

/// Section 1 of the manual: programs and shell commands.
const SECTION: &str = "1";

/// Prints the completion script of a shell.
pub(super) fn completions(args: &CompletionsArgs) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "pharos", &mut script);
    put(&String::from_utf8_lossy(&script), OK)
}

/// Writes all manual pages into a folder, or prints the first one.
pub(super) fn man(args: &ManArgs) -> CommandResult {
    let pages = pages();
    let Some(folder) = &args.folder else {
        return Ok(put(&pages.first().expect("the program has a page").1, OK));
    };
    write(folder, &pages).map_err(|(path, error)| {
        let help = (error.kind() == io::ErrorKind::AlreadyExists)
            .then(|| "move that file, or give another folder; nothing was written".to_string());
        let error = format!("failed to write `{}`: {}", path.display(), files::words(&error));
        CommandFailure::Error(error, help, BAD_CONFIG)
    })?;
    Ok(OK)
}

/// The pages by file name: the program's, then those of its commands in the order of `--help`.
fn pages() -> Vec<(String, String)> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    add(&mut pages, &command, &[]);
    pages
}

/// Adds the page of a command and those below it; `above` has the names of the pages above it.
fn add(pages: &mut Vec<(String, String)>, command: &Command, above: &[String]) {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_string();
    let below: Vec<&Command> = command.get_subcommands().filter(|other| !other.is_hide_set()).collect();
    let page = page(command, above).expect("writing to memory does not fail");
    pages.push((format!("{name}.{SECTION}"), page));
    let above: Vec<String> = above.iter().cloned().chain([name]).collect();
    for command in below {
        add(pages, command, &above);
    }
}

/// One page. The sections are the library's. Only the text after the options is rendered here, because the library joins
/// its lines into one paragraph.
fn page(command: &Command, above: &[String]) -> io::Result<String> {
    let man =
        Man::new(command.clone()).section(SECTION).manual(MANUAL).source(concat!("pharos ", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if command.get_subcommands().any(|other| !other.is_hide_set()) {
        man.render_subcommands_section(&mut text)?;
    }
    if let Some(after) = command.get_after_long_help().or_else(|| command.get_after_help()) {
        after_help(&after.to_string()).to_writer(&mut text)?;
    }
    see_also(above).to_writer(&mut text)?;
    // Each part begins with the same definition of an apostrophe, which a page needs once.
    let text = String::from_utf8_lossy(&text).into_owned();
    let preamble = preamble();
    Ok(format!("{preamble}{}", text.replace(&preamble, "")))
}

/// The text that the library writes before each part.
fn preamble() -> String {
    Roff::new().render()
}

/// The text after the options: a line that ends in a colon begins a section, the other lines are as in `--help`.
fn after_help(text: &str) -> Roff {
    let mut roff = Roff::new();
    for line in text.lines() {
        match line.strip_suffix(':').filter(|heading| !heading.starts_with(' ')) {
            Some(heading) => {
                roff.control("fi", []);
                roff.control("SH", [heading.replace('`', "").to_uppercase().as_str()]);
                roff.control("nf", []);
            }
            None if line.is_empty() => {}
            None => {
                roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
            }
        }
    }
    roff.control("fi", []);
    roff
}

fn see_also(above: &[String]) -> Roff {
    let mut roff = Roff::new();
    if !above.is_empty() {
        roff.control("SH", ["SEE ALSO"]);
        let name = |name: &String| [bold(name.clone()), roman(format!("({SECTION})"))];
        let names: Vec<Vec<Inline>> = above.iter().map(|above| name(above).to_vec()).collect();
        roff.text(names.join(&roman(", ")));
    }
    roff
}

/// Writes the pages, unless one of them would replace a file of another kind.
fn write(folder: &Path, pages: &[(String, String)]) -> Result<(), (PathBuf, io::Error)> {
    let at = |path: &Path| path.to_path_buf();
    for (name, _) in pages {
        let path = folder.join(name);
        if !is_replaceable(&path).map_err(|error| (at(&path), error))? {
            let error = io::Error::new(io::ErrorKind::AlreadyExists, "a file that is not a manual page of pharos");
            return Err((path, error));
        }
    }
    fs::create_dir_all(folder).map_err(|error| (at(folder), error))?;
    for (name, page) in pages {
        let path = folder.join(name);
        fs::File::create(&path).and_then(|mut file| file.write_all(page.as_bytes())).map_err(|error| (path, error))?;
    }
    Ok(())
}

/// Checks whether a path does not exist, or has a page that an earlier run wrote.
fn is_replaceable(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
        Ok(metadata) if !metadata.is_file() => Ok(false),
        Ok(_) => Ok(String::from_utf8_lossy(&files::read(path, FileKind::Pem)?.bytes).contains(MANUAL)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of all commands, `pharos` included, as `--help` has them.
    fn commands(command: &Command, above: &str, found: &mut Vec<String>) {
        found.push(format!("{above}{}", command.get_name()));
        let above = format!("{above}{}-", command.get_name());
        command.get_subcommands().for_each(|below| commands(below, &above, found));
    }

    #[test]
    fn every_command_has_a_page_with_its_options() {
        let mut expected = Vec::new();
        commands(&Cli::command(), "", &mut expected);
        let pages = pages();
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.strip_suffix(".1").unwrap()).collect();
        assert_eq!(names, expected);
        for (name, page) in &pages {
            let is_without =
                ["pharos-demo.1", "pharos-init.1", "pharos-completions.1", "pharos-man.1"].contains(&&**name);
            assert_eq!(page.contains(r"\-\-config"), !is_without, "{name}: {page}");
            assert_eq!(page.matches(preamble().trim_end()).count(), 1, "{name}");
            assert_eq!(page.contains("SEE ALSO"), name != "pharos.1", "{name}");
        }
    }

    #[test]
    fn exit_codes_keep_their_lines_in_the_manual() {
        let page = &pages()[0].1;
        assert!(page.contains(".SH \"EXIT CODES\"\n.nf\n0  all is well\n1  the configuration"), "{page}");
        assert!(page.contains(".SH \"SIGNALS TO PHAROS SERVE\""), "{page}");
    }

    #[test]
    fn only_pages_of_an_earlier_run_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let into = folder.path().join("a/b");
        write(&into, &pages()).unwrap();
        write(&into, &pages()).unwrap();
        fs::write(into.join("pharos-check.1"), "notes of an operator").unwrap();
        fs::remove_file(into.join("pharos.1")).unwrap();
        let (path, error) = write(&into, &pages()).unwrap_err();
        assert_eq!((path, error.kind()), (into.join("pharos-check.1"), io::ErrorKind::AlreadyExists));
        assert!(!into.join("pharos.1").exists(), "nothing is written");
        assert_eq!(fs::read_to_string(into.join("pharos-check.1")).unwrap(), "notes of an operator");
    }
}
