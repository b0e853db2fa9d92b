//! `log…` of `[registry]`: the request log of the registry listener.
//!
//! **Invariants**: an address of a client is in the log only if the operator has written so.
//! **Not here**: the lines ([`crate::http`]), the file ([`crate::files`]).

use super::check::Check;
use super::value::{self, Fault};
use super::{FileUse, InputFile, PlacedText};
use crate::base::diagnostic::Diagnostic;
use crate::base::logged::LoggedClients;
use crate::base::share::Share;

/// The name of standard output as a log.
pub(super) const STDOUT: &str = "-";

/// The request log.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RequestLogConfig {
    /// The file. `None` for standard output.
    pub(crate) file: Option<InputFile>,
    /// The length in bytes at which the file is rotated. `None` leaves rotation to other programs.
    pub(crate) max_len: Option<u64>,
    /// The number of rotated files that are kept.
    pub(crate) keep: u16,
    /// The part of a client's address that is logged.
    pub(crate) clients: LoggedClients,
    /// The share of requests that are logged.
    pub(crate) sample: Share,
}

fn log_share(text: &str) -> Result<Share, Fault> {
    let share = value::share(text)?;
    if share.get() > 0.0 {
        return Ok(share);
    }
    let help = "write a share above 0%, like 1%, or remove `log`";
    Err(Fault::new("empty-log", "a share of 0% logs no request".to_string(), "no request", help))
}

impl Check<'_> {
    /// `size` is the length at which the file is rotated, in MiB; 0 for never.
    pub(super) fn check_request_log(
        &mut self,
        [log, clients, sample]: [&Option<PlacedText>; 3],
        size: u64,
        keep: u16,
    ) -> Option<RequestLogConfig> {
        let others = [("log-clients", clients), ("log-sample", sample)];
        let is_stdout = log.as_ref().is_some_and(|log| &*log.value == STDOUT);
        let file = log.as_ref().filter(|_| !is_stdout).and_then(|log| self.input(log, FileUse::RequestLog));
        let code = "bad-log-clients";
        let clients = clients.as_ref().and_then(|text| self.parse(text, |text| value::logged_clients(text, code)));
        let sample = sample.as_ref().and_then(|text| self.parse(text, log_share));
        for (key, written) in others.into_iter().filter(|_| log.is_none()) {
            if let Some(written) = written {
                self.report(
                    Diagnostic::error("log-without-file", format!("`{key}` is written, but requests are not logged"))
                        .at(written.place.clone(), "has no effect")
                        .help("add `log = \"access.jsonl\"`, or remove the key"),
                );
            }
        }
        (is_stdout || file.is_some()).then(|| RequestLogConfig {
            file,
            max_len: (size > 0).then_some(size << 20),
            keep,
            clients: clients.unwrap_or_default(),
            sample: sample.unwrap_or(Share::of_percent(100)),
        })
    }
}
