//! Signals as a stream of what they ask for.
//!
//! **Invariants**: a server that was started on a terminal does not outlive it, unless SIGHUP was ignored (`nohup`).
//! **Not here**: what a signal leads to ([`crate::serve`]).

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::path::Path;

use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

use crate::files::{self, FileKind};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGHUP: read the configuration again. [`Hangup`] says when it asks for a stop instead.
    Reload,
    /// SIGTERM or SIGINT: finish what is in flight, and stop.
    Stop,
}

/// The signals sent to the process from now on.
#[derive(Debug)]
pub struct Signals {
    hangup: Stream,
    hangup_asks: Hangup,
    terminate: Stream,
    interrupt: Stream,
}

impl Signals {
    /// Starts to listen; from here on the signals no longer end the process by themselves.
    pub fn listen() -> io::Result<Self> {
        let hangup_asks = Hangup::of_this_process();
        Ok(Signals {
            hangup_asks,
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next signal. Several of one kind that come in quick succession may be one.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.hangup.recv() => self.hangup_asks.signal(),
        }
    }
}

/// What SIGHUP asks for: the system sends it when a terminal closes, and operators send it for a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hangup {
    /// A reload: there is no terminal, or the process was told to ignore that it closes.
    Reload,
    /// A stop: standard input is a terminal.
    Stop,
    /// A stop if the terminal that controls the process has closed, else a reload: standard input is something else, as
    /// with `pharos </dev/null &`.
    StopWithTerminal,
}

impl Hangup {
    /// To be asked before the signal is listened to, which undoes that it is ignored.
    fn of_this_process() -> Self {
        let status =
            files::read(Path::new("/proc/self/status"), FileKind::Kernel).map(|read| read.bytes).unwrap_or_default();
        let status = String::from_utf8_lossy(&status);
        if ignores_hangup(&status) {
            Hangup::Reload
        } else if io::stdin().is_terminal() {
            Hangup::Stop
        } else if has_terminal() {
            Hangup::StopWithTerminal
        } else {
            Hangup::Reload
        }
    }

    fn signal(self) -> Signal {
        match self {
            Hangup::Reload => Signal::Reload,
            Hangup::Stop => Signal::Stop,
            Hangup::StopWithTerminal if has_terminal() => Signal::Reload,
            Hangup::StopWithTerminal => Signal::Stop,
        }
    }
}

/// Whether a terminal controls this process, and is open.
fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

/// Whether a process ignores SIGHUP, by its `/proc/PID/status`: signal 1 is the lowest bit.
fn ignores_hangup(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_hangup_is_read_from_the_status() {
        assert!(ignores_hangup("Name:\tpharos\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000000\n"));
        assert!(!ignores_hangup("SigIgn:\t0000000000001000\nSigCgt:\t0000000000000001\n"));
        assert!(!ignores_hangup(""));
    }
}
