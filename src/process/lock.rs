//! A lock that one process holds for as long as it lives: what it guards is nobody else's, and what is left of a process
//! that was killed is nobody's.
//!
//! **Invariants**: the file of a lock is never removed, or two processes could hold locks on two files of one name.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::state::with_suffix;
use super::sys;

/// A lock that is held until this is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why a lock cannot be had.
#[derive(Debug)]
pub enum LockError {
    /// Another process holds it.
    Held {
        /// What it guards.
        path: PathBuf,
        /// The process, where it has said so.
        pid: Option<u32>,
    },
    /// The system refuses.
    System {
        /// The file of the lock.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockError::Held { path, pid: Some(pid) } => write!(f, "process {pid} uses {}", path.display()),
            LockError::Held { path, pid: None } => write!(f, "another process uses {}", path.display()),
            LockError::System { path, error } => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for LockError {}

impl Lock {
    /// Takes the lock that guards a file, in a file beside it; never waits.
    pub fn take(guarded: &Path) -> Result<Self, LockError> {
        let path = with_suffix(guarded, ".lock");
        let refused = |error| LockError::System { path: path.clone(), error };
        // For nobody else: whoever can open it can hold it.
        let mut options = OpenOptions::new();
        let open = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let mut file = open.map_err(refused)?;
        match sys::try_lock(&file) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut text = String::new();
                // Who it is only helps; that it is held is known.
                let _ = file.take(16).read_to_string(&mut text);
                return Err(LockError::Held { path: guarded.to_path_buf(), pid: text.trim().parse().ok() });
            }
            Err(error) => return Err(refused(error)),
        }
        let note = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        note.map_err(refused)?;
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
        assert!(matches!(Lock::take(&folder.path().join("no/socket")), Err(LockError::System { .. })));
    }
}
