//! The reasons why the service did not start or ended, as values and as lines of the log.
//!
//! **Not here**: the operations that fail ([`super`]), the log of a refused reload ([`super::reload`]).

use std::fmt;
use std::io;

use tracing::{error, warn};

use crate::acme::AcmeOpenError;
use crate::base::diagnostic::Diagnostic;
use crate::control::OpenError;
use crate::files;
use crate::listen::BindError;
use crate::process::EndedTask;

/// The reasons why the service did not start or ended.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The configuration, or a file it names, has errors; warnings are among them.
    Config(Vec<Diagnostic>),
    /// A port cannot be bound.
    Bind(BindError),
    /// The control socket, or the state beside it, cannot be opened.
    Control(OpenError),
    /// The tokens of ACME challenges cannot be taken over.
    Acme(AcmeOpenError),
    /// The certificate cannot be served.
    Tls(rustls::Error),
    /// The system does not let the process start its threads.
    Threads(io::Error),
    /// A task without which the service cannot go on has ended.
    Ended(EndedTask),
    /// The system refused something.
    System {
        /// The attempted operation.
        what: &'static str,
        /// The system's error.
        error: io::Error,
    },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Config(problems) => write!(f, "failed to compile the configuration: {} problems", problems.len()),
            Failure::Bind(error) => error.fmt(f),
            Failure::Control(error) => error.fmt(f),
            Failure::Acme(error) => error.fmt(f),
            Failure::Tls(error) => write!(f, "failed to serve TLS: {error}"),
            Failure::Threads(error) => write!(f, "failed to start threads: {}", files::words(error)),
            Failure::Ended(ended) => write!(f, "failed to go on: {ended}"),
            Failure::System { what, error } => write!(f, "failed to {what}: {}", files::words(error)),
        }
    }
}

impl std::error::Error for Failure {}

impl Failure {
    /// The remedy, if the error does not say it.
    pub(crate) fn help(&self) -> Option<String> {
        match self {
            Failure::Bind(error) => Some(error.help()),
            Failure::Control(error) => Some(error.help()),
            Failure::Acme(error) => Some(error.help()),
            Failure::Threads(_) => Some(
                "raise the limit on processes and threads of this user or service (`ulimit -u`; systemd: `LimitNPROC=` and \
                 `TasksMax=`; a container: `--pids-limit`), or set a smaller `[dns] udp-threads`"
                    .to_string(),
            ),
            Failure::Ended(_) => Some(
                "this is a fault in pharos, please report it with the lines above; a supervisor should start it again"
                    .to_string(),
            ),
            Failure::Config(_) | Failure::Tls(_) | Failure::System { .. } => None,
        }
    }

    pub(super) fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Failure::System { what, error }
    }
}

/// Logs the reason why the service did not start or ended, each problem as one line.
pub(crate) fn log_failure(failure: &Failure) {
    let Failure::Config(problems) = failure else {
        let help = failure.help().map(|help| format!("; {help}")).unwrap_or_default();
        return error!("{failure}{help}");
    };
    log_problems(problems);
}

/// Logs problems, each in one line.
pub(super) fn log_problems(problems: &[Diagnostic]) {
    for problem in problems {
        if problem.is_error() { error!("{}", one_line(problem)) } else { warn!("{}", one_line(problem)) }
    }
}

/// A problem as a line of the log.
pub(super) fn one_line(problem: &Diagnostic) -> String {
    let position = problem.position().map(|position| format!("{position}: ")).unwrap_or_default();
    let help = problem.help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
    let related = problem.related.as_ref().map(|(place, label)| format!("; {label}: {}", place.position()));
    format!("{position}{} [{}]{}{help}", problem.message, problem.code, related.unwrap_or_default())
}
