//! Messages to a supervisor that speaks systemd's `sd_notify` protocol. Without a supervisor, nothing is sent.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use super::sys;

/// The supervisor, if there is one.
#[derive(Debug)]
pub(crate) struct Supervisor {
    socket: Option<UnixDatagram>,
}

impl Supervisor {
    /// Finds the supervisor that `NOTIFY_SOCKET` names.
    pub(crate) fn from_environment() -> io::Result<Self> {
        match std::env::var_os("NOTIFY_SOCKET") {
            None => Ok(Supervisor { socket: None }),
            Some(path) => Supervisor::at(path.as_bytes()),
        }
    }

    /// Finds the supervisor at a path, or, behind an `@`, at an abstract name.
    fn at(path: &[u8]) -> io::Result<Self> {
        let address = match path {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            path => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path))?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address)?;
        // A supervisor that does not read must not block us.
        socket.set_nonblocking(true)?;
        Ok(Supervisor { socket: Some(socket) })
    }

    /// We answer queries.
    pub(crate) fn ready(&self) -> io::Result<()> {
        self.tell("READY=1")
    }

    /// We read the configuration again; [`Supervisor::ready`] says when that is done.
    pub(crate) fn reloading(&self) -> io::Result<()> {
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", sys::monotonic_us()))
    }

    /// We stop, and finish the requests in flight.
    pub(crate) fn stopping(&self) -> io::Result<()> {
        self.tell("STOPPING=1")
    }

    fn tell(&self, state: &str) -> io::Result<()> {
        match &self.socket {
            Some(socket) => socket.send(state.as_bytes()).map(drop),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_supervisor_hears_what_we_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let listener = UnixDatagram::bind(&path).unwrap();
        let supervisor = Supervisor::at(path.as_os_str().as_bytes()).unwrap();
        supervisor.ready().unwrap();
        supervisor.stopping().unwrap();
        let mut room = [0; 64];
        for expected in ["READY=1", "STOPPING=1"] {
            let len = listener.recv(&mut room).unwrap();
            assert_eq!(&room[..len], expected.as_bytes());
        }
    }

    #[test]
    fn without_a_supervisor_nothing_is_said() {
        assert!(Supervisor { socket: None }.ready().is_ok());
    }
}
