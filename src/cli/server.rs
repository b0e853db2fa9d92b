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
use super::{BAD_CONFIG, NO_SERVER, OK, complain, complain_of, put, warn};
use crate::base::diagnostic::{Diagnostic, Look, Place};
use crate::config::{self, Config};
use crate::control::client::{self, ControlQuestion};
use crate::control::encode;
use crate::control::view::{RefreshView, RefusalView, ReloadOutcomeView};
use crate::mirror::Reason;

/// The socket of the packages and the chart.
const INSTALLED: &str = "/run/pharos/control.sock";

/// The timeout of the answer to a change of configuration or sources: longer than the server's own, which is 50 seconds.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(55);

/// The outcome of a change of configuration or sources.
pub(super) trait ChangeOutcome: DeserializeOwned + Serialize {
    /// True if the change, or a part of it, is not served.
    fn is_refused(&self) -> bool;
}

impl ChangeOutcome for ReloadOutcomeView {
    fn is_refused(&self) -> bool {
        self.refused
    }
}

impl ChangeOutcome for RefreshView {
    fn is_refused(&self) -> bool {
        self.refused
    }
}

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
    /// The server to ask; an exit code if it cannot be determined.
    pub(super) fn server(&self, config: &ConfigLocation) -> Result<ServerTarget, u8> {
        ServerTarget::find(config, self.socket.as_deref(), "`--socket SOCKET`")
    }

    /// Has the server make a change at `path`, and prints the outcome. Returns the exit code, by which a refusal shows.
    pub(super) fn change<V: ChangeOutcome>(
        &self,
        config: &ConfigLocation,
        path: &str,
        parameters: &[(&str, &str)],
        text: impl FnOnce(&V, Layout) -> String,
    ) -> u8 {
        let layout = Layout::of_stdout();
        let width = Look::from(layout).width.map(|width| width.to_string());
        let parameters = parameters.iter().copied().chain(width.as_deref().map(|width| ("width", width)));
        let query: Vec<String> = parameters.map(|(key, value)| format!("{key}={}", encode(value))).collect();
        let target = format!("{path}?{}", query.join("&"));
        let question = ControlQuestion { method: Method::POST, target, body: String::new() };
        let refusal = Some(StatusCode::UNPROCESSABLE_ENTITY);
        let asked = self.server(config).and_then(|server| server.ask_within::<V>(question, CHANGE_TIMEOUT, refusal));
        let view = match asked {
            Ok(view) => view,
            Err(code) => return code,
        };
        let code = if view.is_refused() { BAD_CONFIG } else { OK };
        put(&self.printed(&view, || text(&view, layout)), code)
    }

    /// True with `--json`.
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// An answer as JSON or text, by `--json`.
    pub(super) fn printed(&self, view: &impl Serialize, text: impl FnOnce() -> String) -> String {
        if self.json { as_json(view) } else { text() }
    }
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
    socket: PathBuf,
    /// The configuration that names it. `None` if the socket was typed, or the configuration has errors.
    pub(super) config: Option<Config>,
}

impl ServerTarget {
    /// The server at the socket `typed`, else at the socket of the configuration, also if other parts of the configuration have
    /// errors. An exit code if neither is known.
    ///
    /// `option` is the command-line option for a socket, for remedies.
    pub(super) fn find(config: &ConfigLocation, typed: Option<&Path>, option: &str) -> Result<Self, u8> {
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
                        Diagnostic::error("no-control", "this configuration has no socket to ask the server at")
                            .at(Place::whole_file(&config.file), "")
                            .help(format!("{help}; or {remedy}"));
                    complain_of(&[problem]);
                    Err(BAD_CONFIG)
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
                    complain_of(&problems);
                    Err(BAD_CONFIG)
                }
            },
        }
    }

    /// The socket.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Asks the server; an exit code if there is no answer to print.
    pub(super) fn ask<T: DeserializeOwned>(&self, question: ControlQuestion) -> Result<T, u8> {
        self.ask_within(question, client::TIMEOUT, None)
    }

    /// The same within a time. An answer with the status `also` has the same form as one of success.
    pub(super) fn ask_within<T: DeserializeOwned>(
        &self,
        question: ControlQuestion,
        timeout: Duration,
        also: Option<StatusCode>,
    ) -> Result<T, u8> {
        let say = |error: &str, help: Option<&str>, code| {
            complain(&error, help);
            code
        };
        let (status, body) = client::ask(&self.socket, question, timeout)
            .map_err(|error| say(&error.to_string(), Some(error.help()), NO_SERVER))?;
        let odd = || say("the server's answer cannot be understood", Some("is it of the same version?"), NO_SERVER);
        if !status.is_success() && Some(status) != also {
            let RefusalView { error, help } = serde_json::from_slice(&body).map_err(|_| odd())?;
            let code = if status.is_client_error() { BAD_CONFIG } else { NO_SERVER };
            return Err(say(&error, help.as_deref(), code));
        }
        serde_json::from_slice(&body).map_err(|_| odd())
    }
}
