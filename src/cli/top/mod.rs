//! `pharos top`: shows the load of the running server, its mirrors, resolvers and names, again and again.
//!
//! **Invariants**: the terminal is as before when the command ends, also by a signal or a panic; if the server goes away, the
//! command says so and asks again.
//! **Not here**: counting ([`crate::telemetry`]), the answer of the server ([`crate::control`]).

mod frame;
mod keys;
mod report;
mod table;
mod terminal;

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::Method;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::layout::Layout;
use super::locate::ConfigLocation;
use super::server::AskOptions;
use super::{BAD_COMMAND, CommandFailure, CommandResult, OK};
use crate::control::client::{self, ControlQuestion};
use crate::control::view::{RefusalView, TopView};
use frame::{Frame, MirrorOrder};
use keys::{TopKey, TopKeys};
use report::{TopHistory, TopReport};
use terminal::Terminal;

/// The timeout of an answer: a server that takes longer is shown as not answering.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Arguments of `pharos top`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Seconds between two requests to the server, from 1 to 10
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10))]
    interval: u64,

    /// Print one screen after one interval, and end; `--json` does that too
    #[arg(long)]
    once: bool,

    #[command(flatten)]
    asking: AskOptions,
}

/// Asks the server until the operator ends it, and returns the exit code.
pub(super) fn run(config: &ConfigLocation, args: &Args) -> CommandResult {
    let is_once = args.once || args.asking.is_json();
    if !is_once && let Some(reason) = unfit() {
        let help = "`pharos top --once` prints one screen, and `--json` prints it for programs";
        return Err(CommandFailure::new(reason, help, BAD_COMMAND));
    }
    // A server that cannot be asked at all is an error of the command; one that goes away later is shown.
    let server = args.asking.server(config)?;
    let first: TopView = server.ask(question())?;
    let interval = Duration::from_secs(args.interval);
    if is_once {
        std::thread::sleep(interval);
        let report = TopReport::of(Some(&first), server.ask(question())?);
        return Ok(args.asking.print(&report, table::text, OK));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    // The terminal is closed before an error is printed.
    let shown = runtime.and_then(|runtime| runtime.block_on(show(server.socket, first, interval)));
    shown.map_err(CommandFailure::system("use the terminal"))?;
    Ok(OK)
}

/// The reason why standard output cannot show a screen. `None` if it can.
fn unfit() -> Option<&'static str> {
    if !io::stdout().is_terminal() {
        return Some("standard output is not a terminal");
    }
    let term = std::env::var("TERM").unwrap_or_default();
    matches!(&*term, "" | "dumb").then_some("the terminal cannot move its cursor, as `TERM` says")
}

fn question() -> ControlQuestion {
    ControlQuestion::new(Method::GET, "/top")
}

/// Shows screens until the operator or a signal ends it.
async fn show(socket: PathBuf, first: TopView, interval: Duration) -> io::Result<()> {
    let mut ends = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
    let [Ok(terminate), Ok(interrupt), Ok(hangup)] = &mut ends else {
        return Err(io::Error::other("signals cannot be received"));
    };
    let mut resized = signal(SignalKind::window_change())?;
    let mut terminal = Terminal::open()?;
    let mut keys = TopKeys::of_stdin()?;
    let mut answers = ask_again_and_again(socket, interval);
    let report = TopReport::of(None, first.clone());
    let mut frame = Frame { report, gone: None, is_paused: false, order: MirrorOrder::Trouble, interval };
    let mut history = TopHistory::new(first);
    loop {
        let (width, height) = terminal.size();
        terminal.draw(&frame.lines(width, height, Layout::of_stdout()))?;
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hangup.recv() => return Ok(()),
            _ = resized.recv() => {}
            key = keys.next() => match key {
                TopKey::Quit => return Ok(()),
                TopKey::Pause => frame.is_paused = !frame.is_paused,
                TopKey::Sort => frame.order = frame.order.next(),
                TopKey::Suspend => terminal.suspend()?,
                TopKey::Other => {}
            },
            Some(answer) = answers.recv() => frame.take(answer.map(|view| history.add(view))),
        }
    }
}

/// Asks the server in a task, until the receiver is dropped.
fn ask_again_and_again(socket: PathBuf, interval: Duration) -> mpsc::Receiver<Result<TopView, String>> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut ticks = interval_at(Instant::now() + interval, interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if sender.send(ask(&socket).await).await.is_err() {
                return;
            }
        }
    });
    receiver
}

/// The view, or the reason why there is none.
async fn ask(socket: &Path) -> Result<TopView, String> {
    let asked = client::ask_later(socket, question(), ANSWER_TIMEOUT).await;
    let (status, body) = asked.map_err(|error| error.to_string())?;
    let odd = |_| "the server's answer cannot be understood".to_string();
    if status.is_success() {
        serde_json::from_slice(&body).map_err(odd)
    } else {
        Err(serde_json::from_slice::<RefusalView>(&body).map_err(odd)?.error)
    }
}
