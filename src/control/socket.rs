//! The control socket: taken so that no running server loses it, and served to the users that the system lets in.
//!
//! **Invariants**: the socket can be connected to by its owner, root and the members of its group alone, from the moment
//! that it exists; a socket
//! that a killed process left is replaced, one that somebody answers on never; who asks is who the kernel says it is.
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

/// Connections at once, and those of one user. Operators and their scripts are few. One more closes the idlest of its
/// user, as a program that leaves connections open is no reason to lock its user out.
const MAX_CONNECTIONS: [usize; 2] = [64, 16];

/// Connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 16;

/// How long a connection may last: longer than anything that is asked takes.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);

/// How long the head of a request may take, the time before its first octet included.
const HEADER_TIMEOUT: Duration = Duration::from_secs(2);

/// The longest head of a request, in octets; the least that hyper reads with.
const MAX_HEAD_LEN: usize = 8192;

/// The longest body of a request, in octets: an override is below 1 KB.
pub(super) const MAX_BODY_LEN: usize = 8192;

/// A socket that is taken; the file goes away with it.
pub(super) struct BoundSocket {
    listener: Option<blocking::UnixListener>,
    path: PathBuf,
    /// Held for longer than the file is there: fields go in this order.
    _lock: Lock,
}

impl Drop for BoundSocket {
    fn drop(&mut self) {
        // Nobody is to knock where nobody opens; if it cannot be removed, the next start replaces it.
        let _ = fs::remove_file(&self.path);
    }
}

/// Why the socket, or the state, cannot be had.
#[derive(Debug)]
pub enum OpenError {
    /// Another process has one of the two.
    Lock(LockError),
    /// Somebody answers at the socket.
    InUse(PathBuf),
    /// The state cannot be used, and must not be replaced.
    State(Useless),
    /// There is something at the path that is no socket.
    NotASocket(PathBuf),
    /// The system does not let the process give the socket to a group.
    Group {
        /// The group.
        group: String,
        /// What the system says.
        error: io::Error,
    },
    /// The system refuses.
    System {
        /// The socket.
        path: PathBuf,
        /// What the system says.
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
    /// What to do about it.
    pub fn help(&self) -> String {
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

/// Takes the socket, and lets the members of a group connect to it.
pub(super) fn bind(path: &Path, group: Option<u32>) -> Result<BoundSocket, OpenError> {
    let lock = Lock::take(path).map_err(OpenError::Lock)?;
    // From here on, whatever is there was left by one that has ended, or is not ours.
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Err(OpenError::NotASocket(path.to_path_buf())),
        Ok(_) if is_answered(path) => return Err(OpenError::InUse(path.to_path_buf())),
        _ => {}
    }
    let listener = listen(path, group)?;
    Ok(BoundSocket { listener: Some(listener), path: path.to_path_buf(), _lock: lock })
}

/// Whether somebody listens at a socket, be it one that lets everybody wait.
fn is_answered(path: &Path) -> bool {
    let connect = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(path)?)
    };
    connect().map_or_else(|error| error.kind() == ErrorKind::WouldBlock, |()| true)
}

/// Listens under another name and moves it into place, so that there is no moment without a socket, nor with an open one.
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
            // It is of no use; the first error is the one to report.
            let _ = fs::remove_file(&beside);
            Err(error)
        }
    }
}

/// Binds a socket that only its owner and root can connect to.
fn bind_beside(beside: &Path) -> io::Result<Socket> {
    // What a killed process has left; a file of another kind is not ours.
    match fs::symlink_metadata(beside) {
        Ok(found) if found.file_type().is_socket() => fs::remove_file(beside)?,
        Ok(_) => return Err(io::Error::other(format!("`{}` exists and is no socket: move it away", beside.display()))),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Linux gives the file the permissions of the socket, less the umask: nobody else can connect, not even for a moment.
    File::from(OwnedFd::from(socket.try_clone()?)).set_permissions(Permissions::from_mode(0o600))?;
    socket.bind(&SockAddr::unix(beside)?)?;
    fs::set_permissions(beside, Permissions::from_mode(0o600))?;
    Ok(socket)
}

/// Gives a socket to a group and lets its members connect. The group comes first: the members of the former one never could.
fn share(path: &Path, group: u32) -> Result<(), OpenError> {
    let is_its = fs::symlink_metadata(path).is_ok_and(|found| found.gid() == group);
    // The call may be refused to a service (seccomp) whose files have the group from the start.
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

    /// Stops at once; the file is gone when this returns.
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
        // Only a Unix socket has a user, and this is one.
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
                Err(_) => super::desk::refuse(Refusal::too_large(), &head.method),
            };
            Ok::<hyper::Response<http_body_util::Full<Bytes>>, Infallible>(response)
        }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(MAX_HEAD_LEN);
    // A client that goes away is no fault of ours.
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

        // What a killed process leaves: a socket that nobody listens on.
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
