//! Requests to the running server, for commands.
//!
//! **Invariants**: an error is printed with its remedy, and each kind of error has its exit code.
//! **Not here**: the socket ([`crate::control`]).

use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::layout::Layout;
use super::locate::ConfigLocation;
use super::{BAD_CONFIG, CommandFailure, CommandResult, NO_SERVER, OK, complain, put, warn};
use crate::base::diagnostic::{Diagnostic, Look, Place};
use crate::config::{self, Config};
use crate::control::client::{self, ControlQuestion};
use crate::control::encode;
use crate::control::view::RefusalView;
use crate::mirror::Reason;

/// The socket of the packages and the chart.
const INSTALLED: &str = "/run/pharos/control.sock";

/// The timeout of the answer to a change of configuration or sources: longer than the server's own, which is 50 seconds.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(55);

/// Options of commands that ask the running server.
#[derive(Debug, clap::Args)]
pub(super) struct AskOptions {
    /// The server's control socket; without this the configuration names it
    #[arg(long, global = true, value_name = "SOCKET")]
    socket: Option<PathBuf>,

    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

impl AskOptions {
    /// The server to ask.
    pub(super) fn server(&self, config: &ConfigLocation) -> Result<ServerTarget, CommandFailure> {
        ServerTarget::find(config, self.socket.as_deref(), "`--socket SOCKET`")
    }

    /// Asks the server, and prints its answer.
    pub(super) fn show<V: DeserializeOwned + Serialize>(
        &self,
        config: &ConfigLocation,
        question: ControlQuestion,
        text: impl FnOnce(&V, Layout) -> String,
    ) -> CommandResult {
        self.show_within(config, question, client::TIMEOUT, text)
    }

    /// Has the server make a change at `path`, and prints the outcome.
    pub(super) fn change<V: DeserializeOwned + Serialize>(
        &self,
        config: &ConfigLocation,
        path: &str,
        mut parameters: Vec<(&str, String)>,
        text: impl FnOnce(&V, Layout) -> String,
    ) -> CommandResult {
        parameters.extend(Look::from(Layout::of_stdout()).width.map(|width| ("width", width.to_string())));
        let question = ControlQuestion::new(Method::POST, target(path, &parameters));
        self.show_within(config, question, CHANGE_TIMEOUT, text)
    }

    fn show_within<V: DeserializeOwned + Serialize>(
        &self,
        config: &ConfigLocation,
        question: ControlQuestion,
        timeout: Duration,
        text: impl FnOnce(&V, Layout) -> String,
    ) -> CommandResult {
        let (view, code) = self.server(config)?.ask_within(question, timeout)?;
        Ok(self.print(&view, text, code))
    }

    /// True with `--json`.
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// Prints a view as JSON or text, by `--json`. Returns the exit code: `code` if the view could be written.
    #[must_use]
    pub(super) fn print<V: Serialize>(&self, view: &V, text: impl FnOnce(&V, Layout) -> String, code: u8) -> u8 {
        put(&if self.json { as_json(view) } else { text(view, Layout::of_stdout()) }, code)
    }
}

/// A path with parameters.
pub(super) fn target(path: &str, parameters: &[(&str, String)]) -> String {
    let query: Vec<String> = parameters.iter().map(|(key, value)| format!("{key}={}", encode(value))).collect();
    format!("{path}?{}", query.join("&"))
}

/// Parses the reason of an operator.
pub(super) fn parse_reason(text: &str) -> Result<String, String> {
    Reason::parse(text).map(|reason| reason.to_string()).map_err(|error| error.to_string())
}

/// A view as JSON.
pub(super) fn as_json(view: &impl Serialize) -> String {
    serde_json::to_string_pretty(view).expect("a view is plain data") + "\n"
}

/// A hint at the socket of the installed service, if that socket exists.
fn installed() -> String {
    let is_there = Path::new(INSTALLED).symlink_metadata().is_ok_and(|metadata| metadata.file_type().is_socket());
    if is_there { format!("; there is one at {INSTALLED}") } else { String::new() }
}

/// The server to ask.
pub(super) struct ServerTarget {
    pub(super) socket: PathBuf,
    /// The configuration that names it. `None` if the socket was typed, or the configuration has errors.
    pub(super) config: Option<Config>,
}

impl ServerTarget {
    /// The server at the socket `typed`, else at the socket of the configuration, also if other parts of the configuration have
    /// errors. A failure if neither is known.
    ///
    /// `option` is the command-line option for a socket, for remedies.
    pub(super) fn find(config: &ConfigLocation, typed: Option<&Path>, option: &str) -> Result<Self, CommandFailure> {
        if let Some(socket) = typed {
            return Ok(ServerTarget { socket: socket.to_path_buf(), config: None });
        }
        let path = config.path();
        // Each error offers an option without the configuration, because an override may be urgent while the file is edited.
        let remedy = format!("{option} asks the server at its socket without the configuration{}", installed());
        match config::read_file(path) {
            Ok(config::Read { config, .. }) => match &config.control {
                Some(control) => Ok(ServerTarget { socket: control.socket.clone(), config: Some(config) }),
                None => {
                    let help = "add `[control]` with `socket` and `state`, and start the server with it";
                    let problem =
                        Diagnostic::error("no-control", "this configuration has no socket to ask the server at");
                    Err(problem.at(Place::whole_file(&config.file), "").help(format!("{help}; or {remedy}")).into())
                }
            },
            Err(problems) => match config::socket_of(path) {
                Some(socket) => {
                    let socket_shown = socket.display();
                    warn(&format!(
                        "the configuration has errors: run `pharos check`; its socket `{socket_shown}` is used"
                    ));
                    Ok(ServerTarget { socket, config: None })
                }
                None => {
                    complain(&"the configuration does not tell the server's socket", Some(&remedy));
                    Err(problems.into())
                }
            },
        }
    }

    /// Asks the server.
    pub(super) fn ask<T: DeserializeOwned>(&self, question: ControlQuestion) -> Result<T, CommandFailure> {
        Ok(self.ask_within(question, client::TIMEOUT)?.0)
    }

    /// The same within a time, with the exit code: not [`OK`] if a change, or a part of it, is not served.
    pub(super) fn ask_within<T: DeserializeOwned>(
        &self,
        question: ControlQuestion,
        timeout: Duration,
    ) -> Result<(T, u8), CommandFailure> {
        let (status, body) = client::ask(&self.socket, question, timeout)
            .map_err(|error| CommandFailure::new(error.to_string(), error.help(), NO_SERVER))?;
        let odd = |_| {
            let error = "the server's answer cannot be understood";
            CommandFailure::new(error, "is it of the same version?", NO_SERVER)
        };
        let code = match status {
            StatusCode::UNPROCESSABLE_ENTITY => BAD_CONFIG,
            _ if status.is_success() => OK,
            _ => {
                let RefusalView { error, help } = serde_json::from_slice(&body).map_err(odd)?;
                let code = if status.is_client_error() { BAD_CONFIG } else { NO_SERVER };
                return Err(CommandFailure::Error(error, help, code));
            }
        };
        Ok((serde_json::from_slice(&body).map_err(odd)?, code))
    }
}
