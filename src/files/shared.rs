//! Objects in a folder that several machines share: each is a file, written whole, and known by its digest.
//!
//! **Invariants**: a reader finds the old object or the new one, also after a loss of power; the shared folder itself is never
//! made, because an empty mount point is not the folder; a conditional write holds the lock of the folder from its comparison to
//! its rename; a write whose caller has given up takes no effect. An object is a regular file; links are not followed.
//! **Not here**: deadlines ([`super::within`] around each call), names ([`crate::stores`]).
//!
//! The lock is `flock`, because the system releases it if its process is killed; NFS (since Linux 2.6.12), CIFS and CephFS
//! carry it between machines. A file that exists as long as its lock would survive a crash, and breaking it safely takes a clock
//! that all machines share.

use std::fmt;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::state::{folder as folder_of, sync};
use super::{digest_from, open_lock, words};

/// The file of the lock, in the shared folder.
const LOCK: &str = ".lock";

/// The start and the end of the name of a file that is being written.
const PART: (&str, &str) = (".part-", ".tmp");

/// The age at which a file that is being written counts as left over. A write takes minutes at most; the clocks of machines
/// differ by less than the rest.
const LEFT_OVER: Duration = Duration::from_secs(3600);

/// The pause between two attempts to take the lock, which is held for milliseconds.
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// The deepest folder below the shared one: names of objects have few parts.
const MAX_DEPTH: usize = 8;

/// The mode of objects, of which the process' mask takes bits: other users of the folder may be other servers.
const MODE: u32 = 0o666;

/// The reason why an object cannot be used.
#[derive(Debug)]
pub(crate) enum SharedError {
    /// The shared folder does not exist.
    NoFolder(PathBuf),
    /// An object is larger than the caller accepts.
    TooLarge,
    /// There are more objects than the caller accepts.
    TooMany,
    /// The caller has given up.
    GivenUp,
    /// The system refuses.
    System(PathBuf, io::Error),
}

impl fmt::Display for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SharedError::NoFolder(path) => write!(f, "`{}` is no folder", path.display()),
            SharedError::TooLarge => f.write_str("the object is too large"),
            SharedError::TooMany => f.write_str("there are too many objects"),
            SharedError::GivenUp => f.write_str("it took too long"),
            SharedError::System(path, error) => write!(f, "`{}`: {}", path.display(), words(error)),
        }
    }
}

impl std::error::Error for SharedError {}

/// An object in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SharedObject {
    /// Its path below the shared folder.
    pub(crate) name: String,
    /// SHA-256 of its content.
    pub(crate) digest: String,
}

/// A shared folder. Its calls wait for the file system.
#[derive(Clone, Debug)]
pub(crate) struct SharedFolder {
    root: PathBuf,
}

impl SharedFolder {
    /// A folder, which is looked for by each call.
    pub(crate) fn at(root: PathBuf) -> Self {
        SharedFolder { root }
    }

    /// The path of the folder.
    pub(crate) fn path(&self) -> &Path {
        &self.root
    }

    /// Reads an object of `max_len` bytes at most; `None` if it does not exist.
    pub(crate) fn read(&self, name: &str, max_len: u64) -> Result<Option<Vec<u8>>, SharedError> {
        let Some(file) = self.open(name)? else { return Ok(None) };
        let mut bytes = Vec::new();
        let read = file.take(max_len.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|error| SharedError::System(self.root.join(name), error))?;
        if bytes.len() as u64 > max_len { Err(SharedError::TooLarge) } else { Ok(Some(bytes)) }
    }

    /// The digest of an object, which is read piece by piece; `None` if it does not exist.
    fn digest(&self, name: &str) -> Result<Option<String>, SharedError> {
        let Some(file) = self.open(name)? else { return Ok(None) };
        digest_from(file, || true).map(Some).map_err(|error| SharedError::System(self.root.join(name), error))
    }

    /// Opens an object, never in a way that waits for another process; `None` if it does not exist.
    fn open(&self, name: &str) -> Result<Option<File>, SharedError> {
        let path = self.root.join(name);
        let failed = |error| SharedError::System(path.clone(), error);
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_NOFOLLOW);
        let file = match options.open(&path) {
            Ok(file) => file,
            Err(error) if is_absent(&error) => return self.check().map(|()| None),
            Err(error) => return Err(failed(error)),
        };
        if file.metadata().map_err(failed)?.is_file() {
            Ok(Some(file))
        } else {
            Err(failed(io::Error::other("it is not a regular file")))
        }
    }

    /// The objects below a folder, `most` at most, in the order of their names. Removes left-over files there.
    pub(crate) fn list(&self, folder: &str, most: usize) -> Result<Vec<SharedObject>, SharedError> {
        self.check()?;
        let mut names = Vec::new();
        self.walk(folder, MAX_DEPTH, most, &mut names)?;
        names.sort();
        let mut found = Vec::new();
        for name in names {
            // An object may have been removed meanwhile.
            if let Some(digest) = self.digest(&name)? {
                found.push(SharedObject { name, digest });
            }
        }
        Ok(found)
    }

    fn walk(&self, folder: &str, depth: usize, most: usize, found: &mut Vec<String>) -> Result<(), SharedError> {
        let path = self.root.join(folder);
        let failed = |error| SharedError::System(path.clone(), error);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if is_absent(&error) => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let (Ok(kind), Some(name)) = (entry.file_type(), entry.file_name().to_str().map(str::to_string)) else {
                continue;
            };
            if name.starts_with('.') {
                if kind.is_file() && name.starts_with(PART.0) && name.ends_with(PART.1) {
                    remove_if_left_over(&entry.path());
                }
                continue;
            }
            let name = format!("{folder}/{name}");
            if kind.is_dir() && depth > 0 {
                self.walk(&name, depth - 1, most, found)?;
            } else if kind.is_file() {
                found.push(name);
            }
            if found.len() > most {
                return Err(SharedError::TooMany);
            }
        }
        Ok(())
    }

    /// Writes an object, whatever there is; `waits` is false once the caller has given up.
    pub(crate) fn write(&self, name: &str, bytes: &[u8], waits: &dyn Fn() -> bool) -> Result<(), SharedError> {
        self.check()?;
        let path = self.root.join(name);
        let failed = |error| SharedError::System(path.clone(), error);
        let folder = folder_of(&path);
        self.make_folder(folder)?;
        let mut part = tempfile::Builder::new()
            .prefix(PART.0)
            .suffix(PART.1)
            .permissions(Permissions::from_mode(MODE))
            .tempfile_in(folder)
            .map_err(failed)?;
        part.write_all(bytes).and_then(|()| part.as_file().sync_all()).map_err(failed)?;
        if !waits() {
            return Err(SharedError::GivenUp);
        }
        part.persist(&path).map_err(|error| failed(error.error))?;
        sync_folder(folder)
    }

    /// Writes an object if the present one has a digest, or, for `None`, if there is none. Returns whether it was written.
    pub(crate) fn write_if(
        &self,
        name: &str,
        bytes: &[u8],
        expected: Option<&str>,
        waits: &dyn Fn() -> bool,
    ) -> Result<bool, SharedError> {
        self.check()?;
        let _held = self.lock(waits)?;
        if self.digest(name)?.as_deref() != expected {
            return Ok(false);
        }
        self.write(name, bytes, waits).map(|()| true)
    }

    /// Removes an object, if it exists.
    pub(crate) fn remove(&self, name: &str) -> Result<(), SharedError> {
        let path = self.root.join(name);
        match fs::remove_file(&path) {
            Ok(()) => sync_folder(folder_of(&path)),
            Err(error) if is_absent(&error) => self.check(),
            Err(error) => Err(SharedError::System(path, error)),
        }
    }

    /// Fails unless the shared folder exists.
    fn check(&self) -> Result<(), SharedError> {
        match fs::metadata(&self.root) {
            Ok(found) if found.is_dir() => Ok(()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(SharedError::System(self.root.clone(), error)),
            _ => Err(SharedError::NoFolder(self.root.clone())),
        }
    }

    /// Makes a folder below the shared one, and keeps its name on the disk.
    fn make_folder(&self, folder: &Path) -> Result<(), SharedError> {
        if folder == self.root || folder.is_dir() {
            return Ok(());
        }
        let above = folder_of(folder);
        self.make_folder(above)?;
        match fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(SharedError::System(folder.to_path_buf(), error))
            }
            _ => sync_folder(above),
        }
    }

    fn lock(&self, waits: &dyn Fn() -> bool) -> Result<File, SharedError> {
        let path = self.root.join(LOCK);
        let failed = |error| SharedError::System(path.clone(), error);
        let file = open_lock(&path).map_err(failed)?;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(file),
                Err(Errno::WOULDBLOCK) if waits() => thread::sleep(LOCK_PAUSE),
                Err(Errno::WOULDBLOCK) => return Err(SharedError::GivenUp),
                Err(error) => return Err(failed(error.into())),
            }
        }
    }
}

/// True if there is no file of a name.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Keeps the names in a folder on the disk.
fn sync_folder(folder: &Path) -> Result<(), SharedError> {
    sync(folder).map_err(|error| SharedError::System(folder.to_path_buf(), error))
}

/// Removes a file that a killed process was writing.
fn remove_if_left_over(path: &Path) {
    let modified = fs::symlink_metadata(path).and_then(|found| found.modified());
    let age = modified.ok().and_then(|modified| SystemTime::now().duration_since(modified).ok());
    if age.is_some_and(|age| age > LEFT_OVER) {
        // Another server may have removed it.
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::super::digest_of;
    use super::*;

    fn always() -> bool {
        true
    }

    #[test]
    fn one_of_many_conditional_writers_succeeds() {
        let folder = tempfile::tempdir().unwrap();
        let shared = SharedFolder::at(folder.path().into());
        assert!(shared.write_if("a", b"0", None, &always).unwrap());
        let before = digest_of(b"0");
        let written: usize = thread::scope(|scope| {
            let writers: Vec<_> = (1..=8)
                .map(|number: u8| {
                    let (shared, before) = (shared.clone(), before.clone());
                    scope.spawn(move || shared.write_if("a", &[number], Some(&before), &always).unwrap())
                })
                .collect();
            writers.into_iter().map(|writer| usize::from(writer.join().unwrap())).sum()
        });
        assert_eq!(written, 1);
    }

    #[test]
    fn a_write_without_its_caller_takes_no_effect() {
        let folder = tempfile::tempdir().unwrap();
        let shared = SharedFolder::at(folder.path().into());
        assert!(matches!(shared.write("a", b"0", &|| false), Err(SharedError::GivenUp)));
        assert_eq!(shared.read("a", 9).unwrap(), None);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "the part is removed");
        let _held = shared.lock(&always).unwrap();
        assert!(matches!(shared.write_if("a", b"0", None, &|| false), Err(SharedError::GivenUp)));
    }

    #[test]
    fn left_over_parts_are_removed_and_others_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let shared = SharedFolder::at(folder.path().into());
        shared.write("s/a", b"0", &always).unwrap();
        let old = SystemTime::now() - LEFT_OVER * 2;
        for name in [".part-1.tmp", ".part-2.tmp", ".hidden"] {
            let file = File::create(folder.path().join("s").join(name)).unwrap();
            if name != ".part-2.tmp" {
                file.set_modified(old).unwrap();
            }
        }
        std::os::unix::fs::symlink("a", folder.path().join("s/link")).unwrap();
        let listed = shared.list("s", 9).unwrap();
        assert_eq!(listed, [SharedObject { name: "s/a".into(), digest: digest_of(b"0") }]);
        let names = fs::read_dir(folder.path().join("s")).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, [".hidden", ".part-2.tmp", "a", "link"]);
        assert!(matches!(shared.list("s", 0), Err(SharedError::TooMany)));
    }
}
