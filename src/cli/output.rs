//! The output of commands: answers to standard output, everything else to standard error.
//!
//! **Invariants**: an answer that could not be written fails its command; a reader that stops early (`| head`) does not;
//! an error message that cannot be written is lost, and the command continues.
//! **Not here**: the text ([`super::layout`]), the log ([`super::log`]).

use std::fmt;
use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use super::layout::Layout;
use super::{BAD_COMMAND, BAD_CONFIG, CANNOT_START};
use crate::base::diagnostic::Diagnostic;
use crate::base::report::report;
use crate::base::text::{json_escaped, shown};
use crate::files;

/// Prints an answer, and returns the exit code: `code` if it could be written.
#[must_use]
pub(super) fn put(text: &str, code: u8) -> u8 {
    // Text has none of the characters that this escapes.
    let text = json_escaped(text);
    let mut out = io::stdout().lock();
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()), code)
}

/// The exit code after writing to standard output; prints an error.
#[must_use]
pub(super) fn written(done: io::Result<()>, code: u8) -> u8 {
    match done {
        Ok(()) => code,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => code,
        Err(error) => CommandFailure::system("write to standard output")(error).print(),
    }
}

/// The exit code of a command that has printed its answer, or the reason why the command failed.
pub(super) type CommandResult = Result<u8, CommandFailure>;

/// The reason why a command failed, also after its answer was printed.
#[derive(Debug)]
pub(super) enum CommandFailure {
    /// Problems of the configuration, of the files that it names, or of an argument.
    Problems(Vec<Diagnostic>),
    /// An error, its remedy, and the exit code.
    Error(String, Option<String>, u8),
}

impl CommandFailure {
    /// An error with its remedy, and the exit code.
    pub(super) fn new(error: impl Into<String>, help: impl Into<String>, code: u8) -> Self {
        CommandFailure::Error(error.into(), Some(help.into()), code)
    }

    /// The system's refusal of an operation.
    pub(super) fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| CommandFailure::Error(format!("failed to {what}: {}", files::words(&error)), None, CANNOT_START)
    }

    /// Prints the failure, and returns the exit code.
    pub(super) fn print(&self) -> u8 {
        match self {
            CommandFailure::Problems(problems) => {
                complain_of(problems);
                BAD_CONFIG
            }
            CommandFailure::Error(error, help, code) => {
                complain(error, help.as_deref());
                *code
            }
        }
    }
}

impl From<Vec<Diagnostic>> for CommandFailure {
    fn from(problems: Vec<Diagnostic>) -> Self {
        CommandFailure::Problems(problems)
    }
}

impl From<Diagnostic> for CommandFailure {
    fn from(problem: Diagnostic) -> Self {
        CommandFailure::Problems(vec![problem])
    }
}

/// Prints an error and its remedy.
pub(super) fn complain(error: &impl fmt::Display, help: Option<&str>) {
    let layout = Layout::of_stderr();
    let mut text = layout.sentence("error: ", 7, &error.to_string());
    if let Some(help) = help {
        text += &layout.sentence("  = help: ", 10, help);
    }
    say(&text);
}

/// Prints the reason why a command line is refused, and returns the exit code. The parser does not break lines, so a line
/// that is too long is broken here, at the cost of the colours.
pub(super) fn refuse(error: &clap::Error) -> u8 {
    let (layout, text) = (Layout::of_stderr(), error.render().to_string());
    let lines: Vec<String> = text.lines().map(|line| layout.sentence("", 7, line)).collect();
    if lines.iter().all(|line| line.lines().count() <= 1) {
        // If the write to standard error fails, the error is lost: there is no other output for it.
        drop(error.print());
    } else {
        say(&lines.concat());
    }
    BAD_COMMAND
}

/// Prints problems with their excerpts.
pub(super) fn complain_of(problems: &[Diagnostic]) {
    say(&report(problems, Layout::of_stderr()));
}

/// Prints a warning.
pub(super) fn warn(text: &str) {
    say(&Layout::of_stderr().sentence("warning: ", 9, text));
}

/// Prints a fact that is no part of the answer.
pub(super) fn note(text: &str) {
    say(&format!("{}\n", shown(text)));
}

/// Writes to standard error; a failed write is ignored, because there is no other output for an error.
pub(super) fn say(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// The interval between two progress lines.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// A progress line on standard error, if that is a terminal.
pub(super) struct ProgressMeter {
    /// The time of the last progress line; `None` if standard error is no terminal.
    last: Option<Instant>,
    shown: usize,
}

impl ProgressMeter {
    pub(super) fn new() -> Self {
        ProgressMeter { last: io::stderr().is_terminal().then(Instant::now), shown: 0 }
    }

    /// Shows a line of ASCII, unless the one before it is too new.
    pub(super) fn show(&mut self, line: impl FnOnce() -> String) {
        let Some(last) = self.last else { return };
        if last.elapsed() < PROGRESS_EVERY {
            return;
        }
        let line = line();
        say(&format!("\r{line:<0$}", self.shown));
        (self.last, self.shown) = (Some(Instant::now()), line.len().max(self.shown));
    }

    /// Removes the line.
    pub(super) fn clear(&self) {
        if self.shown > 0 {
            say(&format!("\r{}\r", " ".repeat(self.shown)));
        }
    }
}
