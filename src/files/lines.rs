//! A file to which lines of JSON are added: the request log. It is opened again after a rename, and rotated by its length.
//!
//! **Invariants**: only whole lines stay in the file, also after a write that the disk cut short; no line is in two files;
//! only an empty file and one whose first line is of this log are opened, renamed or replaced, so that an operator's file is
//! safe; a pipe or a device is not opened.
//! **Not here**: the lines and the thread that waits for the disk (`http`).

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::state::with_suffix;
use super::{ReadError, head, words};

/// The first bytes of every line, by which the file is known.
pub(crate) const LINE_START: &str = "{\"time\":\"";

/// The pause between two attempts to open or rename a file that failed. Writes are tried with each batch.
const RETRY: Duration = Duration::from_secs(1);

/// The pause before a further write to an output that has no room now, such as a pipe that does not block.
const ROOM_PAUSE: Duration = Duration::from_millis(5);

/// The destination of lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LineTarget {
    /// Standard output.
    Stdout,
    /// A file.
    File {
        /// Its path.
        path: PathBuf,
        /// The length at which it is rotated; `None` if it is not.
        max_len: Option<u64>,
        /// The number of rotated files that are kept.
        keep: u16,
    },
}

/// The reason why lines cannot be added.
#[derive(Debug)]
pub(crate) enum LineError {
    /// The file has other contents.
    Foreign(PathBuf),
    /// The file cannot be read, or it is no regular file.
    Unreadable(ReadError),
    /// The system reports an error.
    System(io::Error),
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LineError::Foreign(path) => write!(f, "`{}` is no request log", path.display()),
            LineError::Unreadable(error) => error.fmt(f),
            LineError::System(error) => f.write_str(&words(error)),
        }
    }
}

impl std::error::Error for LineError {}

impl From<io::Error> for LineError {
    fn from(error: io::Error) -> Self {
        LineError::System(error)
    }
}

/// Checks that lines may be added to a file: it is empty, or has such lines, or does not exist.
pub(crate) fn inspect(path: &Path) -> Result<(), LineError> {
    match head(path, LINE_START.len() as u64) {
        Ok(first) if first.bytes.is_empty() || first.bytes == LINE_START.as_bytes() => Ok(()),
        Ok(_) => Err(LineError::Foreign(path.to_path_buf())),
        Err(ReadError::Missing) => Ok(()),
        Err(error) => Err(LineError::Unreadable(error)),
    }
}

/// A file or stream to which lines are added.
#[derive(Debug)]
pub(crate) struct LineFile {
    target: LineTarget,
    file: Option<File>,
    /// The length of the file, if it is one.
    len: u64,
    /// True if a stream has the beginning of a line without its end.
    is_torn: bool,
    /// True if the last rotation failed.
    is_unrotated: bool,
    /// The time before which no file is opened or renamed.
    not_before: Option<Instant>,
}

/// The result of adding lines.
#[derive(Debug)]
pub(crate) struct Added {
    /// The lines that are in the file.
    pub(crate) lines: usize,
    /// The reason why the other lines are not; `None` if all are.
    pub(crate) lost: Option<LineError>,
    /// A change of the rotation: its first failure since it last worked, or the first success after failures.
    pub(crate) rotation: Option<Result<(), LineError>>,
}

impl LineFile {
    /// A file that is opened with the first lines.
    pub(crate) fn new(target: LineTarget) -> Self {
        LineFile { target, file: None, len: 0, is_torn: false, is_unrotated: false, not_before: None }
    }

    /// Opens the file under its path again before the next lines.
    pub(crate) fn reopen(&mut self) {
        if self.target != LineTarget::Stdout {
            self.file = None;
        }
        self.not_before = None;
    }

    /// Adds whole lines. It waits for the disk or the reader of a pipe.
    pub(crate) fn add(&mut self, lines: &[u8]) -> Added {
        let opened = self.ensure_open();
        let rotation = self.rotate_before(lines.len() as u64);
        if let Err(error) = opened.and_then(|()| self.ensure_open()) {
            return Added { lines: 0, lost: Some(error), rotation };
        }
        let (written, failure) = self.write(lines);
        let whole = lines[..written].iter().filter(|byte| **byte == b'\n').count();
        if failure.is_some() {
            let behind_last = lines[..written].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            self.drop_torn((written - behind_last) as u64);
        }
        Added { lines: whole, lost: failure.map(LineError::System), rotation }
    }

    fn ensure_open(&mut self) -> Result<(), LineError> {
        if self.file.is_some() {
            return Ok(());
        }
        if self.not_before.is_some_and(|until| Instant::now() < until) {
            return Err(LineError::System(io::Error::other("it could not be opened")));
        }
        match open(&self.target) {
            Ok((file, len)) => {
                (self.file, self.len, self.is_torn, self.not_before) = (Some(file), len, false, None);
                Ok(())
            }
            Err(error) => {
                self.not_before = Some(Instant::now() + RETRY);
                Err(error)
            }
        }
    }

    /// Rotates the file if these bytes would make it too long. If that fails, lines are added to the file as it is, because
    /// lines would be lost otherwise.
    fn rotate_before(&mut self, more: u64) -> Option<Result<(), LineError>> {
        let LineTarget::File { path, max_len: Some(max_len), keep } = &self.target else { return None };
        let file = self.file.as_ref()?;
        if self.len == 0 || self.len + more <= *max_len || self.not_before.is_some_and(|at| Instant::now() < at) {
            return None;
        }
        // If the operator has renamed the file, and not said so yet, another one is begun.
        let rotated = if is_at(file, path) { rotate(path, *keep) } else { Ok(()) };
        if rotated.is_ok() {
            self.file = None;
            self.not_before = None;
        } else {
            self.not_before = Some(Instant::now() + RETRY);
        }
        let is_failing = rotated.is_err();
        (std::mem::replace(&mut self.is_unrotated, is_failing) != is_failing).then_some(rotated)
    }

    /// Writes bytes; returns the number that the system has taken.
    fn write(&mut self, lines: &[u8]) -> (usize, Option<io::Error>) {
        let Some(file) = &mut self.file else { return (0, None) };
        if std::mem::take(&mut self.is_torn)
            && let Err(error) = file.write_all(b"\n")
        {
            self.is_torn = true;
            return (0, Some(error));
        }
        let mut written = 0;
        while written < lines.len() {
            match file.write(&lines[written..]) {
                Ok(0) => return (written, Some(io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    written += count;
                    self.len += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(ROOM_PAUSE),
                Err(error) => return (written, Some(error)),
            }
        }
        (written, None)
    }

    /// Takes the beginning of a line out of the file again. A stream gets the end of the line before its next one.
    fn drop_torn(&mut self, torn: u64) {
        let Some(file) = self.file.as_ref().filter(|_| torn > 0) else { return };
        let is_cut = match self.target {
            LineTarget::File { .. } => file.metadata().and_then(|facts| file.set_len(facts.len() - torn)).is_ok(),
            LineTarget::Stdout => false,
        };
        if is_cut { self.len -= torn } else { self.is_torn = true }
    }
}

/// Opens the destination for lines at its end; returns its length too.
fn open(target: &LineTarget) -> Result<(File, u64), LineError> {
    let LineTarget::File { path, .. } = target else {
        return Ok((File::from(io::stdout().as_fd().try_clone_to_owned()?), 0));
    };
    inspect(path)?;
    // A pipe without a reader is an error and no wait.
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new().append(true).create(true).mode(0o640).custom_flags(flags).open(path)?;
    let facts = file.metadata()?;
    if !facts.is_file() {
        return Err(io::Error::other("it is not a regular file").into());
    }
    Ok((file, facts.len()))
}

/// True if a path leads to an open file.
fn is_at(file: &File, path: &Path) -> bool {
    let identity = |facts: fs::Metadata| (facts.dev(), facts.ino());
    let identities = [file.metadata(), fs::metadata(path)].map(|facts| facts.map(identity).ok());
    identities[0].is_some() && identities[0] == identities[1]
}

/// Renames the file to `….1`, after each `….N` to the next number. The oldest is replaced.
fn rotate(path: &Path, keep: u16) -> Result<(), LineError> {
    let numbered = |number: u16| with_suffix(path, &format!(".{number}"));
    // Up to the first number without a file, so that no file is renamed without need.
    let last = (1..keep).find(|number| fs::symlink_metadata(numbered(*number)).is_err()).unwrap_or(keep);
    (1..=last).try_for_each(|number| inspect(&numbered(number)))?;
    for number in (1..last).rev() {
        fs::rename(numbered(number), numbered(number + 1))?;
    }
    Ok(fs::rename(path, numbered(1))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: u32) -> String {
        format!("{LINE_START}{number:04}\"}}\n")
    }

    fn target(folder: &Path, max_len: Option<u64>, keep: u16) -> LineTarget {
        LineTarget::File { path: folder.join("log"), max_len, keep }
    }

    fn texts(folder: &Path) -> Vec<(String, String)> {
        let mut files: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name().to_string_lossy().into_owned(), fs::read_to_string(entry.path()).unwrap()))
            .collect();
        files.sort();
        files
    }

    #[test]
    fn a_full_file_is_renamed_and_the_oldest_replaced() {
        let folder = tempfile::tempdir().unwrap();
        // Two lines fit.
        let mut log = LineFile::new(target(folder.path(), Some(32), 2));
        for number in 0..7 {
            let added = log.add(line(number).as_bytes());
            assert!(added.lines == 1 && added.lost.is_none() && added.rotation.is_none(), "{added:?}");
        }
        let two = |first| format!("{}{}", line(first), line(first + 1));
        let expected = [("log", line(6)), ("log.1", two(4)), ("log.2", two(2))];
        assert_eq!(texts(folder.path()), expected.map(|(name, text)| (name.to_string(), text)));
        // A restart goes on in the same file.
        LineFile::new(target(folder.path(), Some(32), 2)).add(line(7).as_bytes());
        assert_eq!(fs::read_to_string(folder.path().join("log")).unwrap(), two(6));
    }

    #[test]
    fn a_renamed_file_gets_lines_until_the_log_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = LineFile::new(target(folder.path(), None, 1));
        log.add(line(1).as_bytes());
        fs::rename(folder.path().join("log"), folder.path().join("old")).unwrap();
        log.add(line(2).as_bytes());
        log.reopen();
        log.add(line(3).as_bytes());
        let expected = [("log", line(3)), ("old", format!("{}{}", line(1), line(2)))];
        assert_eq!(texts(folder.path()), expected.map(|(name, text)| (name.to_string(), text)));
    }

    #[test]
    fn files_of_an_operator_are_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let foreign = folder.path().join("log");
        fs::write(&foreign, "root:x:0:0\n").unwrap();
        let mut log = LineFile::new(target(folder.path(), Some(32), 2));
        let added = log.add(line(1).as_bytes());
        assert!(added.lines == 0 && matches!(added.lost, Some(LineError::Foreign(_))), "{added:?}");
        fs::remove_file(&foreign).unwrap();
        // The same for a name that rotation would use. The lines stay in the file that is too long.
        fs::write(folder.path().join("log.1"), "mine\n").unwrap();
        log.reopen();
        let counts: Vec<_> = (0..3).map(|number| log.add(line(number).as_bytes())).collect();
        assert!(counts.iter().all(|added| added.lines == 1), "{counts:?}");
        assert!(matches!(counts[2].rotation, Some(Err(LineError::Foreign(_)))), "{counts:?}");
        assert_eq!(fs::read_to_string(folder.path().join("log.1")).unwrap(), "mine\n");
        assert_eq!(fs::read_to_string(folder.path().join("log")).unwrap().lines().count(), 3);
    }

    #[test]
    fn a_pipe_or_a_device_is_neither_opened_nor_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("log");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let added = LineFile::new(target(folder.path(), None, 1)).add(line(1).as_bytes());
        assert!(matches!(added.lost, Some(LineError::Unreadable(ReadError::NotRegular(_)))), "{added:?}");
        assert!(inspect(Path::new("/dev/full")).is_err());
    }

    #[test]
    fn the_beginning_of_a_line_is_taken_out_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = LineFile::new(target(folder.path(), None, 1));
        log.add(line(1).as_bytes());
        // As after a write that the disk cut short.
        let (written, _) = log.write(&line(2).as_bytes()[..9]);
        log.drop_torn(written as u64);
        log.add(line(3).as_bytes());
        assert_eq!(texts(folder.path())[0].1, format!("{}{}", line(1), line(3)));
    }
}
