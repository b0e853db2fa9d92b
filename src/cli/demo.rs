//! `pharos demo`: the demonstration on the terminal.
//!
//! **Invariants**: each line is printed when its fact is known; after Ctrl-C, the services are stopped as after the walk.
//! **Not here**: the demonstration ([`crate::demo`]).

use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::sync::Notify;

use super::layout::{Colour, Layout};
use super::locate::Without;
use super::{BAD_CONFIG, CANNOT_START, CommandFailure, CommandResult, OK, put};
use crate::demo::{DemoFailure, WalkLineKind, World, walk};
use crate::process::work::{SPARE_THREADS, runtime};
use crate::process::{Signal, Signals};

/// Arguments of `pharos demo`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// End after the walk, also on a terminal
    #[arg(long, conflicts_with = "stay")]
    once: bool,

    /// Stay up after the walk until Ctrl-C, also where output is no terminal
    #[arg(long)]
    stay: bool,

    #[command(flatten)]
    without: Without,
}

/// Runs the demonstration, and returns the exit code: 0 if the walk was complete.
pub(super) fn run(args: &Args) -> CommandResult {
    let stay = args.stay || (!args.once && std::io::stdout().is_terminal());
    let runtime = runtime(SPARE_THREADS).map_err(CommandFailure::system("start the runtime"))?;
    runtime.block_on(show(stay)).map_err(|failure| {
        let help = if let DemoFailure::Serve(failure) = &failure { failure.help() } else { None };
        let code = if matches!(failure, DemoFailure::Unexpected(_)) { BAD_CONFIG } else { CANNOT_START };
        CommandFailure::Error(failure.to_string(), help, code)
    })
}

/// The exit code of a walk that a signal ended.
const INTERRUPTED: u8 = BAD_CONFIG;

/// The exit code after a write to standard output failed, and the error was printed.
const UNWRITTEN: u8 = CANNOT_START;

/// Shows the walk; then serves on if the operator wants to `stay`. Returns the exit code.
async fn show(stay: bool) -> Result<u8, DemoFailure> {
    let mut signals = Signals::listen().map_err(DemoFailure::system("listen to signals"))?;
    let layout = Layout::of_stdout();
    // The first failed write ends the demonstration. A reader that stops early does not, because there may be others.
    let (unwritten, is_written) = (Notify::new(), AtomicBool::new(true));
    let tell = |kind: WalkLineKind, text: &str| {
        if is_written.load(Relaxed) && put(&shown(kind, text, layout), OK) != OK {
            is_written.store(false, Relaxed);
            unwritten.notify_one();
        }
    };
    let world = tokio::select! {
        world = World::start() => world?,
        () = stopped(&mut signals) => return Ok(INTERRUPTED),
    };
    let walked = tokio::select! {
        walked = walk(&world, &tell) => walked.map(|()| OK),
        () = stopped(&mut signals) => Ok(INTERRUPTED),
        () = unwritten.notified() => Ok(UNWRITTEN),
    };
    if stay && matches!(walked, Ok(OK)) {
        tell(WalkLineKind::Blank, "");
        tell(WalkLineKind::Heading, "It stays up for you to try; Ctrl-C ends it and leaves nothing behind");
        let folder = world.folder().display();
        tell(WalkLineKind::Words, &format!("its configuration, zones, certificates and image: {folder}"));
        if let Some(socket) = world.socket() {
            tell(WalkLineKind::Words, "its state, from another terminal:");
            tell(WalkLineKind::Command, &format!("pharos status --socket {}", socket.display()));
        }
        tokio::select! {
            () = stopped(&mut signals) => {}
            () = unwritten.notified() => {}
        }
    }
    let down = world.stop().await;
    let code = if is_written.load(Relaxed) { walked? } else { UNWRITTEN };
    down.map(|()| code)
}

/// Waits for a signal to end; SIGHUP is one of them, because a closed terminal sends it.
async fn stopped(signals: &mut Signals) {
    while signals.next().await == Signal::Reopen {}
}

/// A line in the layout of the terminal, broken between words.
fn shown(kind: WalkLineKind, text: &str, layout: Layout) -> String {
    let (lines, colour) = match kind {
        WalkLineKind::Blank => return "\n".to_string(),
        WalkLineKind::Words => return layout.paragraph("", 2, text),
        WalkLineKind::Row => {
            let (head, words) = text.split_once('\t').unwrap_or(("", text));
            let head = format!("  {head}");
            return layout.paragraph(&head, head.chars().count(), words);
        }
        WalkLineKind::Heading => (layout.paragraph("", 0, text), Colour::Head),
        WalkLineKind::Command => (command(text, layout), Colour::Typed),
        WalkLineKind::Request => (format!("  {text}\n"), Colour::Typed),
        WalkLineKind::Reply => (layout.paragraph("", 2, text), Colour::Good),
    };
    lines.lines().map(|line| layout.paint(line, colour) + "\n").collect()
}

/// A command, broken into lines that a shell reads as one command.
fn command(text: &str, layout: Layout) -> String {
    const PROMPT: &str = "  $ ";
    const FURTHER: &str = "      ";
    let lines = layout.paragraph("", FURTHER.len() + 2, text);
    let lines: Vec<&str> = lines.lines().map(str::trim_start).collect();
    format!("{PROMPT}{}\n", lines.join(&format!(" \\\n{FURTHER}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_at_80_columns_and_commands_stay_commands() {
        let line = |kind, text: &str| shown(kind, text, Layout::plain(80));
        let head = format!("{:<18}{:<18}", "canonical.k8s.io", "127.0.0.4:40123");
        let row =
            line(WalkLineKind::Row, &format!("{head}\tthe canonical registry, has pause:3.9 and everything else"));
        let expected = "  canonical.k8s.io  127.0.0.4:40123   the canonical registry, has pause:3.9 and\n                                      \
                        everything else\n";
        assert_eq!(row, expected);
        let typed = "pharos verify 127.0.0.2 --name blob.k8s.io --port 44311 --roots /tmp/pharos-demo-abc/certs/ca.pem";
        let command = line(WalkLineKind::Command, typed);
        assert!(command.lines().count() == 2 && command.lines().all(|line| line.len() <= 80), "{command}");
        let joined = command.replace("\\\n", "").replace("  $ ", "");
        assert_eq!(joined.split_whitespace().collect::<Vec<_>>().join(" "), typed);
    }
}
