//! Files: one bounded reader for all that are read, and one format for all that are written.
//!
//! [`read`] is the only code that opens a file for reading; `tests/files.rs` enforces it. [`state`] reads and replaces the
//! files in which something outlives the process.
//!
//! **Invariants**: only regular files are opened, and never in a way that waits for another process; a file is bounded
//! before and while it is read; a caller waits no longer than the deadline of the kind, whatever the file system does.
//! **Not here**: the formats (`load`, `tls`), the purposes of the files (`config`).

pub(crate) mod accounts;
mod facts;
mod intake;
pub(crate) mod kept;
mod layer;
pub(crate) mod lines;
mod list;
mod reader;
pub(crate) mod shared;
pub(crate) mod state;

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use ring::digest::{Context, SHA256};
use rustix::fs::{Access, AtFlags, CWD, accessat};

use crate::base::text::hex;
pub(crate) use facts::{FileFacts, Nature};
pub(crate) use intake::{FileStates, Intake, LookPermit, Stamp};
pub(crate) use layer::{Layer, LayerFile};
pub(crate) use list::{ListError, is_pattern, matching};
pub(crate) use reader::{Expired, Waiter, slowest, start, within};

/// A kind of file, with its bound in bytes and its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// The configuration: 4 MiB. A thousand mirrors with a hundred rules take a tenth of it.
    Config,
    /// A master file: 1 GiB, some 25 million records.
    Zone,
    /// A feed or list: 64 MiB. The largest published one (Azure's service tags) has some 4 MiB.
    Feed,
    /// A MaxMind DB: 1 GiB, twice the largest that MaxMind sells (Enterprise, some 500 MB).
    Database,
    /// A token or the secret of a key: 4 KiB. The longest useful secret has 172 bytes in base64.
    Secret,
    /// Secrets of cookies: 64 KiB.
    Cookies,
    /// A certificate chain or a private key: 1 MiB. A chain of ten RSA certificates is some 20 KB.
    Pem,
    /// Roots: 16 MiB. All that Mozilla trusts is some 230 KB.
    Roots,
    /// State: 1 GiB, because a copy of a zone may be as large as a master file.
    State,
    /// A table of the kernel under `/proc`: 16 MiB.
    Kernel,
}

impl FileKind {
    /// The most bytes of a file of this kind.
    pub const fn max_len(self) -> u64 {
        match self {
            FileKind::Config => 4 << 20,
            FileKind::Zone | FileKind::Database | FileKind::State => 1 << 30,
            FileKind::Feed => 64 << 20,
            FileKind::Secret => 4 << 10,
            FileKind::Cookies => 64 << 10,
            FileKind::Pem => 1 << 20,
            FileKind::Roots | FileKind::Kernel => 16 << 20,
        }
    }

    /// The longest time that a caller waits for a file of this kind.
    ///
    /// A disk that reads 10 MB/s is as slow as any that works. 20 s are below the 30 s after which a reload is reported as slow.
    const fn deadline(self) -> Duration {
        match self {
            FileKind::Zone | FileKind::Database | FileKind::State => Duration::from_secs(120),
            _ => SHORT_DEADLINE,
        }
    }
}

/// The deadline of small files, and of looking a file up.
const SHORT_DEADLINE: Duration = Duration::from_secs(20);

/// The bytes that are read between two checks whether the caller still waits.
const CHUNK: u64 = 1 << 20;

/// The contents of a file, and its facts.
#[derive(Debug)]
pub(crate) struct Contents {
    /// The bytes.
    pub(crate) bytes: Vec<u8>,
    /// The facts, of the same open file.
    pub(crate) facts: FileFacts,
}

/// The reason why a file cannot be read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// There is no file of this name.
    Missing,
    /// The process may not read it.
    Denied,
    /// It is not a regular file.
    NotRegular(Nature),
    /// It has more bytes than a file of its kind may have.
    TooLarge {
        /// The most bytes.
        max_len: u64,
    },
    /// It could not be read in time.
    Expired(Expired),
    /// It is a file of a bundle, and does not have its digest.
    OtherDigest,
    /// The system reports another error.
    System(io::Error),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Missing => f.write_str("no such file"),
            ReadError::Denied => f.write_str("permission denied"),
            ReadError::NotRegular(nature) => write!(f, "it is {nature}, not a regular file"),
            ReadError::TooLarge { max_len } => write!(f, "it is larger than {}", size(*max_len)),
            ReadError::Expired(error) => error.fmt(f),
            ReadError::OtherDigest => f.write_str("its content does not have the digest of its bundle"),
            ReadError::System(error) => f.write_str(&words(error)),
        }
    }
}

impl std::error::Error for ReadError {}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => ReadError::Missing,
            io::ErrorKind::PermissionDenied => ReadError::Denied,
            _ => ReadError::System(error),
        }
    }
}

impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> Self {
        let kind = match &error {
            ReadError::Missing => io::ErrorKind::NotFound,
            ReadError::Denied => io::ErrorKind::PermissionDenied,
            ReadError::NotRegular(_) => io::ErrorKind::InvalidInput,
            ReadError::TooLarge { .. } => io::ErrorKind::FileTooLarge,
            ReadError::Expired(_) => io::ErrorKind::TimedOut,
            ReadError::OtherDigest => io::ErrorKind::InvalidData,
            ReadError::System(error) => error.kind(),
        };
        io::Error::new(kind, error)
    }
}

impl ReadError {
    /// The remedy.
    pub(crate) fn help(&self, path: &Path) -> String {
        let absolute = std::path::absolute(path);
        let path = absolute.as_deref().unwrap_or(path).display();
        match self {
            ReadError::Missing => {
                format!("looked for `{path}`; a relative path in a configuration starts at the folder of that file")
            }
            ReadError::Denied => format!("the user that pharos runs as must be able to read `{path}`"),
            ReadError::NotRegular(_) => "name the file itself".to_string(),
            ReadError::TooLarge { .. } => "no file of its kind is that large; is it the right one?".to_string(),
            ReadError::OtherDigest => {
                "check the disk; `pharos fleet push` with the same configuration sends the file again".to_string()
            }
            ReadError::Expired(_) => format!("check the disk or the network file system that holds `{path}`"),
            ReadError::System(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
                format!("a symbolic link leads back to itself: `ls -l {path}` shows where to; replace it by the file")
            }
            ReadError::System(_) => format!("check `{path}`, and the limits of the process"),
        }
    }
}

/// Reads a file whole.
pub(crate) fn read(path: &Path, kind: FileKind) -> Result<Contents, ReadError> {
    read_up_to(path, kind, kind.max_len(), Rest::Refused)
}

/// Reads the first bytes of a file.
pub(crate) fn head(path: &Path, len: u64) -> Result<Contents, ReadError> {
    read_up_to(path, FileKind::Pem, len, Rest::Ignored)
}

/// The treatment of the bytes beyond the bound.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// The file is too large.
    Refused,
    /// These bytes are not read.
    Ignored,
}

fn read_up_to(path: &Path, kind: FileKind, max_len: u64, rest: Rest) -> Result<Contents, ReadError> {
    let owned = path.to_path_buf();
    within(path, kind.deadline(), move |caller| {
        let (file, facts) = open(&owned)?;
        if rest == Rest::Refused && facts.len > max_len {
            return Err(ReadError::TooLarge { max_len });
        }
        let mut bytes = Vec::new();
        let expected = usize::try_from(facts.len.min(max_len)).unwrap_or(usize::MAX);
        bytes.try_reserve_exact(expected).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        // One more than the bound: the file may have grown meanwhile, or be one of the kernel's, which have no length.
        let mut source = file.take(max_len.saturating_add(u64::from(rest == Rest::Refused)));
        // If the caller has given up, the result is dropped anyway: stop, so that the memory is free.
        while caller.waits() && (&mut source).take(CHUNK).read_to_end(&mut bytes)? > 0 {}
        if bytes.len() as u64 > max_len {
            return Err(ReadError::TooLarge { max_len });
        }
        Ok(Contents { bytes, facts })
    })
    .map_err(ReadError::Expired)?
}

/// SHA-256 of a file, which is read piece by piece: 64 hexadecimal digits.
pub(crate) fn digest(path: &Path, kind: FileKind) -> Result<String, ReadError> {
    let owned = path.to_path_buf();
    within(path, kind.deadline(), move |caller| {
        let (file, _) = open(&owned)?;
        Ok(digest_from(file.take(kind.max_len()), || caller.waits())?)
    })
    .map_err(ReadError::Expired)?
}

/// SHA-256 of the bytes of a source, which is read to its end unless the caller gives up.
fn digest_from(mut source: impl io::Read, waits: impl Fn() -> bool) -> io::Result<String> {
    let (mut hash, mut piece) = (Context::new(&SHA256), Vec::new());
    while waits() && source.by_ref().take(CHUNK).read_to_end(&mut piece)? > 0 {
        hash.update(&piece);
        piece.clear();
    }
    Ok(hex(hash.finish().as_ref()))
}

/// SHA-256 of bytes, 64 hexadecimal digits.
pub(crate) fn digest_of(bytes: &[u8]) -> String {
    hex(ring::digest::digest(&SHA256, bytes).as_ref())
}

/// Opens the file of a lock, which is made if it does not exist, for its owner alone: a process that can open it can hold it.
pub(crate) fn open_lock(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    // Opening a pipe for both directions never waits.
    let file = options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    match FileFacts::of(&file.metadata()?).nature {
        Nature::File => Ok(file),
        other => Err(ReadError::NotRegular(other).into()),
    }
}

/// Looks a file up without opening it; links are followed.
pub(crate) fn look_up(path: &Path) -> Result<FileFacts, ReadError> {
    let owned = path.to_path_buf();
    let looked_up = within(path, SHORT_DEADLINE, move |_| Ok(FileFacts::of(&std::fs::metadata(&owned)?)));
    looked_up.map_err(ReadError::Expired)?
}

/// Fails if the process may not make files in a folder.
pub(crate) fn check_writable(folder: &Path) -> Result<(), ReadError> {
    let owned = folder.to_path_buf();
    let allowed = within(folder, SHORT_DEADLINE, move |_| {
        Ok(accessat(CWD, &owned, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS).map_err(io::Error::from)?)
    });
    allowed.map_err(ReadError::Expired)?
}

/// The number of the user that the process runs as.
pub(crate) fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The name of the host (uname(2)); `None` if it has none.
pub(crate) fn host_name() -> Option<String> {
    let system = rustix::system::uname();
    Some(system.nodename().to_string_lossy().into_owned()).filter(|name| !name.is_empty() && name != "(none)")
}

/// Opens a regular file; only on a thread that may be abandoned.
fn open(path: &Path) -> Result<(File, FileFacts), ReadError> {
    let regular = |facts: FileFacts| match facts.nature {
        Nature::File => Ok(facts),
        other => Err(ReadError::NotRegular(other)),
    };
    // Opening a pipe waits for a writer, and opening a device may set it to work: the type is looked up first.
    regular(FileFacts::of(&std::fs::metadata(path)?))?;
    // Another file may have taken the name since: open it without waiting, and look again. The standard library adds
    // O_CLOEXEC.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    let facts = regular(FileFacts::of(&file.metadata()?))?;
    Ok((file, facts))
}

/// Returns whether systemd has put a file where only this service can reach it, whatever its mode (`LoadCredential=`).
pub(crate) fn is_credential(path: &Path) -> bool {
    std::env::var_os("CREDENTIALS_DIRECTORY").is_some_and(|folder| !folder.is_empty() && path.starts_with(folder))
}

/// An error of the system in our style: lower case, without its number.
pub(crate) fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => return "no such file".to_string(),
        io::ErrorKind::PermissionDenied => return "permission denied".to_string(),
        _ => {}
    }
    let text = error.to_string();
    let end = text.find(" (os error").unwrap_or(text.len());
    let mut letters = text[..end].chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

/// A number of bytes in the largest unit of which it is a whole number.
fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        _ if bytes.is_multiple_of(1 << 30) => format!("{} GiB", bytes >> 30),
        _ if bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ => format!("{} KiB", bytes >> 10),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_file_is_read_whole_up_to_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let said = || read(&path, FileKind::Secret).map(|read| read.bytes.len()).map_err(|error| error.to_string());
        assert_eq!(said(), Err("no such file".into()));
        std::fs::write(&path, "x".repeat(4096)).unwrap();
        assert_eq!(said(), Ok(4096));
        assert_eq!(head(&path, 3).unwrap().bytes, b"xxx");
        std::fs::write(&path, "x".repeat(4097)).unwrap();
        assert_eq!(said(), Err("it is larger than 4 KiB".into()));
        // The kernel's files have length 0, so the bound is checked during the read.
        let kernel = read(Path::new("/proc/self/status"), FileKind::Kernel).unwrap();
        assert!(kernel.facts.len == 0 && !kernel.bytes.is_empty());
        assert!(matches!(
            read_up_to(Path::new("/proc/self/status"), FileKind::Kernel, 9, Rest::Refused),
            Err(ReadError::TooLarge { max_len: 9 })
        ));
    }

    #[test]
    fn a_machine_has_a_name() {
        assert!(host_name().is_some());
    }

    #[test]
    fn what_is_no_regular_file_is_refused_without_opening_it() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let socket = folder.path().join("socket");
        let _held = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&pipe, &link).unwrap();
        for (path, nature) in [
            (pipe.as_path(), "a named pipe"),
            (&link, "a named pipe"),
            (&socket, "a socket"),
            (folder.path(), "a folder"),
            (Path::new("/dev/zero"), "a device"),
        ] {
            let said = read(path, FileKind::Config).unwrap_err().to_string();
            assert_eq!(said, format!("it is {nature}, not a regular file"));
        }
    }
}
