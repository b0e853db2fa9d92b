//! The control socket: bound without taking it from a running server, and served to the users that the system admits.
//!
//! **Invariants**: from the moment that the socket exists, only its owner, root and the members of its group can connect;
//! the socket of a killed process is replaced, the socket of a running one never; the kernel identifies the user of a client.
//! **Not here**: answers ([`super::desk`]), accepting connections and their limits ([`crate::listen`]).
//!
//! unix(7); RFC 9112.

use std::convert::Infallible;
use std::fmt;
use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, lchown};
use std::os::unix::net as blocking;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use hyper::Request;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, SockAddr, Socket, Type};

use super::desk::Desk;
use super::operator::Caller;
use super::request::Refusal;
use crate::files::state::{Useless, with_suffix};
use crate::files::{self, accounts};
use crate::listen::{
    self, BeyondLimit, Clients, Closed, Common, Connection, ConnectionPeer, ConnectionPlace, Event, Limits, Listeners,
    Protocol, Stream, Terms,
};
use crate::process::{Lock, LockError};
use crate::telemetry::Gauge;

/// The most connections at once, and the most of one user. Operators and their scripts are few. One more closes the
/// connection of the same user that is idle longest, so that a program with idle connections does not lock its user out.
const MAX_CONNECTIONS: [usize; 2] = [64, 16];

/// The most connections that the kernel queues before the server accepts them.
const BACKLOG: i32 = 16;

/// The longest duration of a connection: longer than any request takes.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);

/// The timeout of the head of a request, the time before its first byte included.
const HEADER_TIMEOUT: Duration = Duration::from_secs(2);

/// The longest head of a request, in bytes: the smallest limit that hyper has.
const MAX_HEAD_LEN: usize = 8192;

/// The longest body of a request, in bytes: an override is below 1 KB.
pub(crate) const MAX_BODY_LEN: usize = 8192;

/// A bound socket; its file is removed when this is dropped.
pub(super) struct BoundSocket {
    listener: Option<blocking::UnixListener>,
    path: PathBuf,
    /// Released after the file is removed: `drop` runs before the fields are dropped.
    _lock: Lock,
}

impl Drop for BoundSocket {
    fn drop(&mut self) {
        // Clients get a clear error if the file is removed. If the removal fails, the next start replaces the file.
        let _ = fs::remove_file(&self.path);
    }
}

/// The reasons why the socket or the state cannot be opened.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// Another process has locked one of the two.
    Lock(LockError),
    /// Another process listens at the socket.
    InUse(PathBuf),
    /// The state cannot be used, and must not be replaced.
    State(Useless),
    /// The file at the path is not a socket.
    NotASocket(PathBuf),
    /// The system does not let the process give the socket to a group.
    Group {
        /// The group.
        group: String,
        /// The system's error.
        error: io::Error,
    },
    /// The system refuses.
    System {
        /// The socket.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let OpenError::State(useless) = self {
            return write!(f, "failed to read `[control] state`: {useless}");
        }
        f.write_str("failed to open the control socket: ")?;
        match self {
            OpenError::State(_) => Ok(()),
            OpenError::Lock(error) => error.fmt(f),
            OpenError::InUse(path) => write!(f, "another process listens at {}", path.display()),
            OpenError::NotASocket(path) => write!(f, "{} is there and is no socket", path.display()),
            OpenError::Group { group, error } => {
                write!(f, "user {} cannot give it to the group `{group}`: {}", files::user(), files::words(error))
            }
            OpenError::System { path, error } => write!(f, "{}: {}", path.display(), files::words(error)),
        }
    }
}

impl std::error::Error for OpenError {}

impl OpenError {
    /// The remedy.
    pub(crate) fn help(&self) -> String {
        match self {
            OpenError::State(useless) => return useless.help(),
            OpenError::Lock(LockError::Held { .. }) | OpenError::InUse(_) => {
                "stop that process, or name another `socket` and `state` under `[control]`"
            }
            OpenError::Group { .. } => {
                "make the server's user a member of that group (systemd: `SupplementaryGroups=`), or name another under \
                 `[control] group`, or leave `group` out"
            }
            OpenError::NotASocket(_) => {
                "name another `socket` under `[control]`; nothing that is there is written over"
            }
            OpenError::Lock(LockError::System { .. }) | OpenError::System { .. } => {
                "the folders of `socket` and `state` under `[control]` must be there and writable for the server's user"
            }
        }
        .to_string()
    }
}

/// Binds the socket, and lets the members of a group connect to it.
pub(super) fn bind(path: &Path, group: Option<u32>) -> Result<BoundSocket, OpenError> {
    let lock = Lock::take(path).map_err(OpenError::Lock)?;
    // We have the lock: a file at the path is the socket of an ended server, or does not belong to Pharos.
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Err(OpenError::NotASocket(path.to_path_buf())),
        Ok(_) if is_answered(path) => return Err(OpenError::InUse(path.to_path_buf())),
        _ => {}
    }
    let listener = listen(path, group)?;
    Ok(BoundSocket { listener: Some(listener), path: path.to_path_buf(), _lock: lock })
}

/// Checks whether a process listens at a socket, also if its queue of connections is full.
fn is_answered(path: &Path) -> bool {
    let connect = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(path)?)
    };
    connect().map_or_else(|error| error.kind() == ErrorKind::WouldBlock, |()| true)
}

/// Listens under another name and renames the file, so that clients never find a socket without a listener, nor one with
/// wrong permissions.
fn listen(path: &Path, group: Option<u32>) -> Result<blocking::UnixListener, OpenError> {
    let system = |error| OpenError::System { path: path.to_path_buf(), error };
    let beside = with_suffix(path, ".new");
    let socket = bind_beside(&beside).map_err(system)?;
    let shared = group.map_or(Ok(()), |group| share(&beside, group));
    let listening = || {
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        fs::rename(&beside, path)
    };
    match shared.and_then(|()| listening().map_err(system)) {
        Ok(()) => Ok(OwnedFd::from(socket).into()),
        Err(error) => {
            // The file is useless now. The first error is the one to report.
            let _ = fs::remove_file(&beside);
            Err(error)
        }
    }
}

/// Binds a socket that only its owner and root can connect to.
fn bind_beside(beside: &Path) -> io::Result<Socket> {
    // Only a socket is removed, because a killed process leaves one; a file of another kind is not ours.
    match fs::symlink_metadata(beside) {
        Ok(found) if found.file_type().is_socket() => fs::remove_file(beside)?,
        Ok(_) => return Err(io::Error::other(format!("`{}` exists and is no socket: move it away", beside.display()))),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Linux gives the file the permissions of the socket, less the umask: no other user can connect, not even for a moment.
    File::from(OwnedFd::from(socket.try_clone()?)).set_permissions(Permissions::from_mode(0o600))?;
    socket.bind(&SockAddr::unix(beside)?)?;
    fs::set_permissions(beside, Permissions::from_mode(0o600))?;
    Ok(socket)
}

/// Gives a socket to a group and lets its members connect. The group is set before the permissions, so that the members of
/// the former group can never connect.
fn share(path: &Path, group: u32) -> Result<(), OpenError> {
    let is_its = fs::symlink_metadata(path).is_ok_and(|found| found.gid() == group);
    // Skip the call if the file already has the group, because a sandbox (seccomp) may forbid it.
    let given = if is_its { Ok(()) } else { lchown(path, None, Some(group)) };
    given
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o660)))
        .map_err(|error| OpenError::Group { group: accounts::group_name(group), error })
}

/// The socket while it is served.
pub(super) struct Serving {
    listeners: Listeners,
    _bound: BoundSocket,
}

impl Serving {
    /// Serves the socket.
    pub(super) fn start(mut bound: BoundSocket, desk: Arc<Desk>, common: &Common) -> io::Result<Self> {
        let socket = bound.listener.take().map_or_else(listen::BoundListeners::default, listen::BoundListeners::local);
        let [connections, per_client] = MAX_CONNECTIONS;
        let limits = Limits { connections, per_client, beyond: BeyondLimit::CloseIdlest, idle: CONNECTION_TIMEOUT };
        let terms = Terms { kind: "control", clients: Clients::new(limits), tls: None, common: common.clone() };
        let listeners = Listeners::start(socket, terms, OverrideService { desk, open: Gauge::default() })?;
        Ok(Serving { listeners, _bound: bound })
    }

    /// Stops at once; the file is removed when this returns.
    pub(super) async fn stop(self) {
        let _ = self.listeners.stop(Duration::ZERO).await;
    }
}

/// HTTP for operators.
struct OverrideService {
    desk: Arc<Desk>,
    open: Gauge,
}

impl Protocol for OverrideService {
    async fn serve(self: Arc<Self>, connection: Connection) -> Closed {
        let Connection { stream, peer, place, .. } = connection;
        // A peer of a Unix socket always has a user, and this is one.
        let ConnectionPeer::User(uid) = peer else { return Closed::Violation };
        let serving = serve_one(stream, uid, place, self.desk.clone());
        match tokio::time::timeout(CONNECTION_TIMEOUT, serving).await {
            Ok(()) => Closed::Client,
            Err(_) => Closed::Idle,
        }
    }

    /// The operators' own connections are not counted among those of clients.
    fn note(&self, _event: Event) {}

    fn open(&self) -> &Gauge {
        &self.open
    }
}

async fn serve_one(stream: Stream, uid: u32, place: Arc<ConnectionPlace>, desk: Arc<Desk>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (desk, place) = (desk.clone(), place.clone());
        async move {
            let (head, body) = request.into_parts();
            let body = Limited::new(body, MAX_BODY_LEN).collect().await;
            place.touch();
            let response = match body {
                Ok(whole) => desk.answer(Caller::User(uid), head, whole.to_bytes()).await,
                Err(_) => super::answer::render(Err(Refusal::too_large()), &head.method),
            };
            Ok::<hyper::Response<http_body_util::Full<Bytes>>, Infallible>(response)
        }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(MAX_HEAD_LEN);
    // Ignore errors of the connection: the client may close it at any time.
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_for_the_members_of_its_group_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        // Any user may give a file to the group that made it; root may give it to any.
        let own = fs::metadata(folder.path()).unwrap().gid();
        let group = if files::user() == 0 { 4_000_000_000 } else { own };
        let bound = bind(&path, Some(group)).unwrap();
        let found = fs::metadata(&path).unwrap();
        assert_eq!((found.mode() & 0o777, found.gid()), (0o660, group));
        drop(bound);
        if files::user() != 0 {
            let error = bind(&path, Some(4_000_000_000)).err().unwrap();
            assert!(error.to_string().contains("cannot give it to the group `4000000000`"), "{error}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "the lock alone is left");
        }
    }

    #[test]
    fn a_socket_is_for_its_owner_and_replaces_only_what_is_dead() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let first = bind(&path, None).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(bind(&path, None), Err(OpenError::Lock(LockError::Held { .. }))));
        assert!(blocking::UnixStream::connect(&path).is_ok(), "it is still the first one's");
        drop(first);
        assert!(!path.exists());

        // A killed process leaves a socket without a listener.
        drop(blocking::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        drop(bind(&path, None).unwrap());

        let alive = blocking::UnixListener::bind(&path).unwrap();
        assert!(matches!(bind(&path, None), Err(OpenError::InUse(_))));
        drop(alive);
        fs::remove_file(&path).unwrap();
        let beside = with_suffix(&path, ".new");
        fs::write(&beside, "a letter").unwrap();
        assert!(matches!(bind(&path, None), Err(OpenError::System { .. })));
        assert_eq!(fs::read_to_string(&beside).unwrap(), "a letter");
        fs::remove_file(&beside).unwrap();
        fs::write(&path, "a letter").unwrap();
        assert!(matches!(bind(&path, None), Err(OpenError::NotASocket(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "a letter");
    }
}
