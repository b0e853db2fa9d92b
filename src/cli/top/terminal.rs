//! The terminal: raw mode, and a screen of its own that leaves the operator's text alone.
//!
//! **Invariants**: modes and screen are as before when the [`Terminal`] is dropped, and before the message of a panic.
//! **Not here**: the lines ([`super::frame`]), keys ([`super::keys`]).
//!
//! termios(3); ECMA-48 §8.3; the private modes of xterm (alternate screen 1049, cursor 25, wrapping 7), which terminals share.

use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustix::process::{Signal, getpid, kill_process};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

/// Another screen, no cursor, no wrapping.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";

/// The reverse.
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

/// The size if the system does not tell it: that of the terminals of old.
const USUAL_SIZE: (usize, usize) = (80, 24);

/// The terminal of standard input and output while it shows screens.
pub(super) struct Terminal(Arc<Modes>);

/// The state of the terminal before.
struct Modes {
    /// `None` if standard input is no terminal.
    input: Option<(OwnedFd, Termios)>,
    is_open: AtomicBool,
}

impl Terminal {
    /// Sets raw mode, and shows an empty screen.
    pub(super) fn open() -> io::Result<Self> {
        let stdin = io::stdin();
        let modes = Arc::new(Modes::of(stdin.is_terminal().then(|| stdin.as_fd()))?);
        modes.enter()?;
        let (seen, before) = (modes.clone(), panic::take_hook());
        panic::set_hook(Box::new(move |info| {
            seen.leave();
            before(info);
        }));
        Ok(Terminal(modes))
    }

    /// Columns and lines.
    pub(super) fn size(&self) -> (usize, usize) {
        let size = terminal_size::terminal_size_of(io::stdout());
        size.map_or(USUAL_SIZE, |(width, height)| (width.0.into(), height.0.into()))
    }

    /// Shows lines from the top of the screen. The caller has cut them to the size.
    pub(super) fn draw(&mut self, lines: &[String]) -> io::Result<()> {
        // Each line is erased first: after a line as wide as the screen, erasing would take its last character.
        let lines: Vec<String> = lines.iter().map(|line| format!("\x1b[2K{line}")).collect();
        let mut out = io::stdout().lock();
        out.write_all(format!("\x1b[H{}\x1b[J", lines.join("\r\n")).as_bytes())?;
        out.flush()
    }

    /// Stops the process, as Ctrl-Z does, and shows the screen again when it goes on.
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        self.0.leave();
        kill_process(getpid(), Signal::TSTP)?;
        self.0.enter()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl Modes {
    fn of(input: Option<BorrowedFd<'_>>) -> io::Result<Self> {
        let input = input.map(|input| Ok::<_, io::Error>((input.try_clone_to_owned()?, tcgetattr(input)?)));
        Ok(Modes { input: input.transpose()?, is_open: AtomicBool::new(false) })
    }

    fn enter(&self) -> io::Result<()> {
        self.is_open.store(true, Relaxed);
        if let Some((input, before)) = &self.input {
            let mut raw = before.clone();
            raw.make_raw();
            tcsetattr(input, OptionalActions::Now, &raw)?;
        }
        let mut out = io::stdout().lock();
        out.write_all(ENTER.as_bytes())?;
        out.flush()
    }

    /// Restores the terminal once. Errors are ignored, because there is nothing else to try.
    fn leave(&self) {
        if !self.is_open.swap(false, Relaxed) {
            return;
        }
        let mut out = io::stdout().lock();
        let _ = out.write_all(LEAVE.as_bytes()).and_then(|()| out.flush());
        if let Some((input, before)) = &self.input {
            let _ = tcsetattr(input, OptionalActions::Now, before);
        }
    }
}
