//! A lock that one process holds until it ends. No other process may use the guarded file meanwhile. If the process is
//! killed, the system releases the lock.
//!
//! **Invariants**: the file of a lock is never removed, or two processes could hold locks on two files of one name.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use super::sys;
use crate::files::{self, state::with_suffix};

/// The most bytes read of a lock file: a process id and the end of its line fit.
const MAX_NOTE: u64 = 16;

/// A lock that is held until this is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// The reason why a lock cannot be taken.
#[derive(Debug)]
pub(crate) enum LockError {
    /// Another process holds it.
    Held {
        /// The guarded file.
        path: PathBuf,
        /// The id of the process; `None` if the file of the lock does not have it.
        pid: Option<u32>,
    },
    /// The system refuses.
    System {
        /// The file of the lock.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockError::Held { path, pid: Some(pid) } => write!(f, "process {pid} uses {}", path.display()),
            LockError::Held { path, pid: None } => write!(f, "another process uses {}", path.display()),
            LockError::System { path, error } => write!(f, "{}: {}", path.display(), files::words(error)),
        }
    }
}

impl std::error::Error for LockError {}

impl Lock {
    /// Takes the lock that guards a file, in a file beside it; never waits.
    pub(crate) fn take(guarded: &Path) -> Result<Self, LockError> {
        let path = with_suffix(guarded, ".lock");
        let refused = |error| LockError::System { path: path.clone(), error };
        let mut file = files::open_lock(&path).map_err(refused)?;
        let mut text = Vec::new();
        // The file has no process id if it is new, or if its process was killed before it wrote one.
        (&file).take(MAX_NOTE).read_to_end(&mut text).map_err(refused)?;
        let note = std::str::from_utf8(&text)
            .ok()
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'\n'));
        let Some(note) = note else {
            return Err(refused(io::Error::other("it exists and is no lock of ours: move it away")));
        };
        sys::try_lock(&file).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => LockError::Held { path: guarded.to_path_buf(), pid: note.trim().parse().ok() },
            _ => refused(error),
        })?;
        // Write at the start of the file, because the read above has moved the position.
        let write =
            file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
        write.map_err(refused)?;
        Ok(Lock { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn one_holds_it_until_it_lets_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let held = Lock::take(&path).unwrap();
        let said = Lock::take(&path).unwrap_err().to_string();
        assert_eq!(said, format!("process {} uses {}", std::process::id(), path.display()));
        let mode = std::fs::metadata(with_suffix(&path, ".lock")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "nobody else can take it");
        drop(held);
        assert!(Lock::take(&path).is_ok());
        // A file of the operator is not overwritten, and a pipe does not block.
        let beside = with_suffix(&path, ".lock");
        std::fs::write(&beside, "a letter").unwrap();
        assert!(matches!(Lock::take(&path), Err(LockError::System { .. })));
        assert_eq!(std::fs::read_to_string(&beside).unwrap(), "a letter");
        std::fs::remove_file(&beside).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&beside).status().unwrap().success());
        assert!(matches!(Lock::take(&path), Err(LockError::System { .. })));
        assert!(matches!(Lock::take(&folder.path().join("no/socket")), Err(LockError::System { .. })));
    }
}
