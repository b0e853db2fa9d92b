//! The client of the control socket: commands use it to ask the running server.
//!
//! **Invariants**: an answer is bounded in time and length.

use std::fmt;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

use super::operator::SUDO_USER;
use super::request::encode;
use crate::files;

/// The timeout of an answer: longer than the server's own timeout of an override, which is 25 seconds.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// The pause before the next attempt to connect if the queue of connections is full.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// The longest answer, in bytes: the list of the most mirrors that a configuration can have, with an address each, and the rulings
/// for five million stretches of addresses.
pub(super) const MAX_ANSWER_LEN: usize = 64 << 20;

/// A request to the running server.
#[derive(Clone, Debug)]
pub(crate) struct ControlQuestion {
    /// The method.
    pub(crate) method: Method,
    /// The path and query.
    pub(crate) target: String,
    /// The body; may be empty.
    pub(crate) body: String,
}

impl ControlQuestion {
    /// A request without a body.
    pub(crate) fn new(method: Method, target: impl Into<String>) -> Self {
        ControlQuestion { method, target: target.into(), body: String::new() }
    }

    /// The same request with a JSON document as its body.
    pub(crate) fn with(self, document: &Value) -> Self {
        ControlQuestion { body: document.to_string(), ..self }
    }
}

/// The reasons why a request gets no answer.
#[derive(Debug)]
pub(crate) enum AskError {
    /// The file does not exist.
    Absent(PathBuf),
    /// The file is not a socket.
    NotASocket(PathBuf),
    /// No server listens at the socket.
    NobodyThere(PathBuf),
    /// The socket is not for this user.
    Forbidden(PathBuf),
    /// The connection failed.
    Broken {
        /// The socket.
        path: PathBuf,
        /// The error.
        error: io::Error,
    },
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AskError::Absent(path) => write!(f, "no server answers at {}: no such file", path.display()),
            AskError::NotASocket(path) => write!(f, "no server answers at {}: it is not a socket", path.display()),
            AskError::NobodyThere(path) => write!(f, "no server answers at {}: it has ended", path.display()),
            AskError::Forbidden(path) => write!(f, "{} is not for this user", path.display()),
            AskError::Broken { path, error } => {
                write!(f, "failed to ask the server at {}: {}", path.display(), files::words(error))
            }
        }
    }
}

impl std::error::Error for AskError {}

impl AskError {
    /// The remedy.
    pub(crate) fn help(&self) -> &'static str {
        match self {
            AskError::Absent(_) => "is `pharos serve` running, with this `socket` under `[control]`?",
            AskError::NotASocket(_) => "name the `socket` under `[control]` of the server's configuration",
            AskError::NobodyThere(_) => {
                "start it again; `systemctl status pharos` and `journalctl -u pharos` show why the service ended"
            }
            AskError::Forbidden(_) => {
                "ask as root, as the user that the server runs as, or as a member of the group of `[control] group`"
            }
            AskError::Broken { .. } => "look at the server's log",
        }
    }
}

/// The user that became root by sudo, so that an override names a person. `None` if the process is not root or runs without sudo.
fn sudo_user() -> Option<String> {
    std::env::var("SUDO_USER").ok().filter(|_| files::user() == 0)
}

/// The operator behind this process, for changes that no server takes.
pub(crate) fn operator() -> String {
    let login = || files::accounts::login(files::user());
    sudo_user().or_else(login).unwrap_or_else(|| format!("uid {}", files::user()))
}

/// Asks the server at a socket; returns the status and the body of its answer, which has this time at most.
pub(crate) fn ask(
    socket: &Path,
    question: ControlQuestion,
    timeout: Duration,
) -> Result<(StatusCode, Bytes), AskError> {
    let broken = |error| AskError::Broken { path: socket.to_path_buf(), error };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(broken)?;
    runtime.block_on(ask_later(socket, question, timeout))
}

/// As [`ask`], within the caller's runtime.
pub(crate) async fn ask_later(
    socket: &Path,
    question: ControlQuestion,
    timeout: Duration,
) -> Result<(StatusCode, Bytes), AskError> {
    let broken = |error| AskError::Broken { path: socket.to_path_buf(), error };
    let answer = tokio::time::timeout(timeout, exchange(socket, question)).await;
    match answer.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into())) {
        Ok(answer) => Ok(answer),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(AskError::Absent(socket.to_path_buf())),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Err(match socket.metadata() {
            Ok(metadata) if !metadata.file_type().is_socket() => AskError::NotASocket(socket.to_path_buf()),
            _ => AskError::NobodyThere(socket.to_path_buf()),
        }),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(AskError::Forbidden(socket.to_path_buf())),
        Err(error) => Err(broken(error)),
    }
}

/// Connects. If the queue of connections is full, it tries again, because a nonblocking socket does not wait for a place in it.
async fn connect(socket: &Path) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(socket).await {
            Err(error) if error.kind() == ErrorKind::WouldBlock => tokio::time::sleep(RETRY_PAUSE).await,
            outcome => return outcome,
        }
    }
}

async fn exchange(socket: &Path, question: ControlQuestion) -> io::Result<(StatusCode, Bytes)> {
    let stream = connect(socket).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let ControlQuestion { method, target, body } = question;
    let mut request = Request::builder().method(method).uri(target).header(HOST, "pharos");
    if let Some(name) = sudo_user() {
        request = request.header(SUDO_USER, encode(&name));
    }
    let request = request.body(Full::new(Bytes::from(body))).map_err(io::Error::other)?;
    let asked = async {
        let response = sender.send_request(request).await.map_err(io::Error::other)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER_LEN).collect().await.map_err(io::Error::other)?;
        Ok((status, body.to_bytes()))
    };
    tokio::pin!(asked, connection);
    tokio::select! {
        biased;
        answer = &mut asked => answer,
        // The connection has ended: the response has been read whole, or fails.
        _ = &mut connection => asked.await,
    }
}
