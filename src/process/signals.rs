//! Signals as a stream of requests to the process.
//!
//! **Invariants**: a server that was started on a terminal does not outlive it, unless SIGHUP was ignored (`nohup`).
//! **Not here**: the reaction to a signal ([`crate::serve`]).

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::path::Path;

use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

use crate::files::{self, FileKind};

/// The request of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// SIGHUP: read the configuration again. [`Hangup`] says when it means a stop instead.
    Reload,
    /// SIGUSR1: open the request log again, because its file was renamed.
    Reopen,
    /// SIGTERM or SIGINT: finish the requests in flight, and stop.
    Stop,
}

/// The signals sent to the process from now on.
#[derive(Debug)]
pub(crate) struct Signals {
    hangup: Stream,
    hangup_asks: Hangup,
    user: Stream,
    terminate: Stream,
    interrupt: Stream,
}

impl Signals {
    /// Starts to listen; from here on the signals no longer end the process by themselves.
    pub(crate) fn listen() -> io::Result<Self> {
        let hangup_asks = Hangup::of_this_process();
        Ok(Signals {
            hangup_asks,
            hangup: signal(SignalKind::hangup())?,
            user: signal(SignalKind::user_defined1())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next signal. Several of one kind that come in quick succession may be one.
    pub(crate) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.hangup.recv() => self.hangup_asks.signal(),
            _ = self.user.recv() => Signal::Reopen,
        }
    }
}

/// The meaning of SIGHUP: the system sends it when a terminal closes, and operators send it for a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hangup {
    /// A reload: there is no terminal, or the process was started with SIGHUP ignored (`nohup`).
    Reload,
    /// A stop: standard input is a terminal.
    Stop,
    /// A stop if the terminal that controls the process has closed, else a reload: standard input is something else, as
    /// with `pharos </dev/null &`.
    StopWithTerminal,
}

impl Hangup {
    /// To be called before the process listens to the signal, because listening ends that the signal is ignored.
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

/// Returns whether a terminal controls this process, and is open.
fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

/// Returns whether a process ignores SIGHUP, by its `/proc/PID/status`: signal 1 is the lowest bit.
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
