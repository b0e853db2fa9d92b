//! `pharos demo`: the demonstration on the terminal.
//!
//! **Invariants**: lines are printed as they are known; an end by Ctrl-C takes everything down as an end by itself does.
//! **Not here**: the demonstration ([`crate::demo`]).

use std::io::IsTerminal as _;

use super::locate::Without;
use super::{BAD_CONFIG, CANNOT_START, OK, complain, put, style_of_stdout};
use crate::base::diagnostic::Style;
use crate::demo::{Failure, Kind, Line, World, walk};
use crate::process::work::{SPARE_THREADS, runtime};
use crate::process::{Signal, Signals};

/// What `demo` is asked.
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

/// How the walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Walked,
    Interrupted,
}

/// Shows it, and tells the exit code: 0 where the walk came to its end.
pub(super) fn run(args: &Args) -> u8 {
    let stay = args.stay || (!args.once && std::io::stdout().is_terminal());
    let runtime = match runtime(SPARE_THREADS) {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format_args!("failed to start the runtime: {error}"), None);
            return CANNOT_START;
        }
    };
    match runtime.block_on(show(if stay { After::Stay } else { After::End })) {
        Ok(End::Walked) => OK,
        Ok(End::Interrupted) => BAD_CONFIG,
        Err(failure) => {
            let help = if let Failure::Serve(failure) = &failure { failure.help() } else { None };
            complain(&failure, help.as_deref());
            if matches!(failure, Failure::Unexpected(_)) { BAD_CONFIG } else { CANNOT_START }
        }
    }
}

/// What follows the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    End,
    Stay,
}

async fn show(after: After) -> Result<End, Failure> {
    let mut signals = Signals::listen().map_err(|error| Failure::System { what: "listen to signals", error })?;
    let style = style_of_stdout();
    let tell = move |line: Line| put(&shown(&line, style));
    let world = tokio::select! {
        world = World::start() => world?,
        () = stopped(&mut signals) => return Ok(End::Interrupted),
    };
    let walked = tokio::select! {
        walked = walk(&world, &tell) => walked.map(|()| End::Walked),
        () = stopped(&mut signals) => Ok(End::Interrupted),
    };
    if let (Ok(End::Walked), After::Stay) = (&walked, after) {
        let words = |text: String| tell(Line { kind: Kind::Words, text });
        tell(Line { kind: Kind::Blank, text: String::new() });
        tell(Line {
            kind: Kind::Heading,
            text: "It stays up for you to try; Ctrl-C ends it and leaves nothing behind".into(),
        });
        words(format!("its configuration, zones, certificates and image: {}", world.folder().display()));
        if let Some(socket) = world.socket() {
            words("its state, from another terminal:".into());
            tell(Line { kind: Kind::Command, text: format!("pharos status --socket {}", socket.display()) });
        }
        stopped(&mut signals).await;
    }
    let down = world.stop().await;
    let end = walked?;
    down.map(|()| end)
}

/// Waits until it is to end; a terminal that is closed (SIGHUP) ends it too.
async fn stopped(signals: &mut Signals) {
    let (Signal::Stop | Signal::Reload) = signals.next().await;
}

/// A line as it is printed.
fn shown(line: &Line, style: Style) -> String {
    let (colour, indent) = match line.kind {
        Kind::Heading => ("\x1b[1m", ""),
        Kind::Words | Kind::Blank => ("", "  "),
        Kind::Command => ("\x1b[36m", "  $ "),
        Kind::Request => ("\x1b[36m", "  "),
        Kind::Reply => ("\x1b[32m", "  "),
    };
    match (&*line.text, style) {
        ("", _) => "\n".to_string(),
        (text, Style::Coloured) if !colour.is_empty() => format!("{indent}{colour}{text}\x1b[0m\n"),
        (text, _) => format!("{indent}{text}\n"),
    }
}
