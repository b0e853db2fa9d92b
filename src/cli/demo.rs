//! `pharos demo`: the demonstration on the terminal.
//!
//! **Invariants**: each line is printed when its fact is known; after Ctrl-C, the services are stopped as after the walk.
//! **Not here**: the demonstration ([`crate::demo`]).

use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::sync::Notify;

use super::layout::Layout;
use super::locate::Without;
use super::{BAD_CONFIG, CANNOT_START, OK, complain, put};
use crate::base::diagnostic::Style;
use crate::demo::{DemoFailure, WalkLine, WalkLineKind, World, walk};
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

/// The end of the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Walked,
    Interrupted,
    /// A write to standard output failed, and the error was printed.
    Unwritten,
}

/// Runs the demonstration, and returns the exit code: 0 if the walk was complete.
pub(super) fn run(args: &Args) -> u8 {
    let stay = args.stay || (!args.once && std::io::stdout().is_terminal());
    let runtime = match runtime(SPARE_THREADS) {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format_args!("failed to start the runtime: {}", crate::files::words(&error)), None);
            return CANNOT_START;
        }
    };
    match runtime.block_on(show(stay)) {
        Ok(End::Walked) => OK,
        Ok(End::Interrupted) => BAD_CONFIG,
        Ok(End::Unwritten) => CANNOT_START,
        Err(failure) => {
            let help = if let DemoFailure::Serve(failure) = &failure { failure.help() } else { None };
            complain(&failure, help.as_deref());
            if matches!(failure, DemoFailure::Unexpected(_)) { BAD_CONFIG } else { CANNOT_START }
        }
    }
}

/// Shows the walk; then serves on if the operator wants to `stay`.
async fn show(stay: bool) -> Result<End, DemoFailure> {
    let mut signals = Signals::listen().map_err(|error| DemoFailure::System { what: "listen to signals", error })?;
    let layout = Layout::of_stdout();
    // The first failed write ends the demonstration. A reader that stops early does not, because there may be others.
    let (unwritten, is_written) = (Notify::new(), AtomicBool::new(true));
    let tell = |line: WalkLine| {
        if is_written.load(Relaxed) && put(&shown(&line, layout), OK) != OK {
            is_written.store(false, Relaxed);
            unwritten.notify_one();
        }
    };
    let world = tokio::select! {
        world = World::start() => world?,
        () = stopped(&mut signals) => return Ok(End::Interrupted),
    };
    let walked = tokio::select! {
        walked = walk(&world, &tell) => walked.map(|()| End::Walked),
        () = stopped(&mut signals) => Ok(End::Interrupted),
        () = unwritten.notified() => Ok(End::Unwritten),
    };
    if stay && matches!(walked, Ok(End::Walked)) {
        let words = |text: String| tell(WalkLine { kind: WalkLineKind::Words, text });
        tell(WalkLine { kind: WalkLineKind::Blank, text: String::new() });
        tell(WalkLine {
            kind: WalkLineKind::Heading,
            text: "It stays up for you to try; Ctrl-C ends it and leaves nothing behind".into(),
        });
        words(format!("its configuration, zones, certificates and image: {}", world.folder().display()));
        if let Some(socket) = world.socket() {
            words("its state, from another terminal:".into());
            tell(WalkLine {
                kind: WalkLineKind::Command,
                text: format!("pharos status --socket {}", socket.display()),
            });
        }
        tokio::select! {
            () = stopped(&mut signals) => {}
            () = unwritten.notified() => {}
        }
    }
    let down = world.stop().await;
    let end = if is_written.load(Relaxed) { walked? } else { End::Unwritten };
    down.map(|()| end)
}

/// Waits for a signal to end; SIGHUP is one of them, because a closed terminal sends it.
async fn stopped(signals: &mut Signals) {
    while signals.next().await == Signal::Reopen {}
}

/// A line in the layout of the terminal, broken between words.
fn shown(line: &WalkLine, layout: Layout) -> String {
    let paint = |colour: &str, text: &str| match layout.style {
        Style::Coloured => format!("\x1b[{colour}m{text}\x1b[0m"),
        Style::Plain => text.to_string(),
    };
    let text = match line.kind {
        WalkLineKind::Blank => return "\n".to_string(),
        WalkLineKind::Words => return layout.paragraph("", 2, &line.text),
        WalkLineKind::Row => {
            let (head, words) = line.text.split_once('\t').unwrap_or(("", &line.text));
            let head = format!("  {head}");
            return layout.paragraph(&head, head.chars().count(), words);
        }
        WalkLineKind::Heading => {
            return layout.paragraph("", 0, &line.text).lines().map(|line| paint("1", line) + "\n").collect();
        }
        WalkLineKind::Command => return command(&line.text, layout).map(|line| paint("36", &line) + "\n").collect(),
        WalkLineKind::Request => paint("36", &line.text),
        WalkLineKind::Reply => {
            return layout.paragraph("", 2, &line.text).lines().map(|line| paint("32", line) + "\n").collect();
        }
    };
    format!("  {text}\n")
}

/// A command, broken into lines that a shell reads as one command.
fn command(text: &str, layout: Layout) -> impl Iterator<Item = String> {
    const PROMPT: &str = "  $ ";
    const FURTHER: &str = "      ";
    let lines = layout.paragraph("", FURTHER.len() + 2, text);
    let lines: Vec<String> = lines.lines().map(|line| line.trim_start().to_string()).collect();
    let last = lines.len() - 1;
    lines.into_iter().enumerate().map(move |(at, line)| {
        let (before, after) = (if at == 0 { PROMPT } else { FURTHER }, if at < last { " \\" } else { "" });
        format!("{before}{line}{after}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_at_80_columns_and_commands_stay_commands() {
        let line = |kind, text: &str| shown(&WalkLine { kind, text: text.into() }, Layout::plain(80));
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
