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
use super::server::{AskOptions, ServerTarget, as_json};
use super::{BAD_COMMAND, CANNOT_START, OK, complain, put};
use crate::control::client::{self, ControlQuestion};
use crate::control::view::{RefusalView, TopView};
use crate::files;
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
pub(super) fn run(config: &ConfigLocation, args: &Args) -> u8 {
    let is_once = args.once || args.asking.is_json();
    if !is_once && let Some(reason) = unfit() {
        complain(&reason, Some("`pharos top --once` prints one screen, and `--json` prints it for programs"));
        return BAD_COMMAND;
    }
    // A server that cannot be asked at all is an error of the command; one that goes away later is shown.
    let first = args.asking.server(config).and_then(|server| Ok((server.ask::<TopView>(question())?, server)));
    let (first, server) = match first {
        Ok(first) => first,
        Err(code) => return code,
    };
    let interval = Duration::from_secs(args.interval);
    if is_once { once(&server, first, interval, args) } else { live(server.socket().into(), first, interval) }
}

/// The reason why standard output cannot show a screen. `None` if it can.
fn unfit() -> Option<&'static str> {
    let term = std::env::var("TERM").unwrap_or_default();
    match io::stdout().is_terminal() {
        false => Some("standard output is not a terminal"),
        true if matches!(&*term, "" | "dumb") => Some("the terminal cannot move its cursor, as `TERM` says"),
        true => None,
    }
}

fn question() -> ControlQuestion {
    ControlQuestion { method: Method::GET, target: "/top".into(), body: String::new() }
}

/// Prints the rates of one interval.
fn once(server: &ServerTarget, first: TopView, interval: Duration, args: &Args) -> u8 {
    std::thread::sleep(interval);
    let second: TopView = match server.ask(question()) {
        Ok(view) => view,
        Err(code) => return code,
    };
    let report = TopReport::of(Some(&first), second);
    let is_json = args.asking.is_json();
    put(&if is_json { as_json(&report) } else { table::text(&report, Layout::of_stdout()) }, OK)
}

/// Shows screens until the operator or a signal ends it.
fn live(socket: PathBuf, first: TopView, interval: Duration) -> u8 {
    let failed = |error: io::Error| {
        complain(&format_args!("failed to use the terminal: {}", files::words(&error)), None);
        CANNOT_START
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(error),
    };
    // The terminal is closed before an error is printed.
    match runtime.block_on(show(socket, first, interval)) {
        Ok(()) => OK,
        Err(error) => failed(error),
    }
}

async fn show(socket: PathBuf, first: TopView, interval: Duration) -> io::Result<()> {
    let mut ends = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
    let [Ok(terminate), Ok(interrupt), Ok(hangup)] = &mut ends else {
        return Err(io::Error::other("signals cannot be received"));
    };
    let mut resized = signal(SignalKind::window_change())?;
    let mut terminal = Terminal::open()?;
    let mut keys = TopKeys::of_stdin()?;
    let mut answers = ask_again_and_again(socket, interval);
    let mut shown = Shown::new(first, interval);
    loop {
        shown.draw(&mut terminal)?;
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hangup.recv() => return Ok(()),
            _ = resized.recv() => {}
            key = keys.next() => match key {
                TopKey::Quit => return Ok(()),
                TopKey::Pause => shown.is_paused = !shown.is_paused,
                TopKey::Sort => shown.order = shown.order.next(),
                TopKey::Suspend => terminal.suspend()?,
                TopKey::Other => {}
            },
            Some(answer) = answers.recv() => shown.take(answer),
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
    match status.is_success() {
        true => serde_json::from_slice(&body).map_err(odd),
        false => Err(serde_json::from_slice::<RefusalView>(&body).map_err(odd)?.error),
    }
}

/// The state of the screen.
struct Shown {
    report: TopReport,
    history: TopHistory,
    /// The reason why the server does not answer. `None` if it does.
    gone: Option<String>,
    is_paused: bool,
    order: MirrorOrder,
    interval: Duration,
}

impl Shown {
    fn new(first: TopView, interval: Duration) -> Self {
        let report = TopReport::of(None, first.clone());
        Shown {
            report,
            history: TopHistory::new(first),
            gone: None,
            is_paused: false,
            order: MirrorOrder::Trouble,
            interval,
        }
    }

    /// Takes an answer. While paused, the screen stays, and the history goes on.
    fn take(&mut self, answer: Result<TopView, String>) {
        match answer {
            Ok(view) => {
                self.gone = None;
                let report = self.history.add(view);
                if !self.is_paused {
                    self.report = report;
                }
            }
            Err(reason) => self.gone = Some(reason),
        }
    }

    fn draw(&self, terminal: &mut Terminal) -> io::Result<()> {
        let (width, height) = terminal.size();
        let Shown { report, gone, is_paused, order, interval, .. } = self;
        let frame = Frame { report, gone: gone.as_deref(), is_paused: *is_paused, order: *order, interval: *interval };
        terminal.draw(&frame.lines(width, height, Layout::of_stdout()))
    }
}
