//! State that outlives the process: each file is written whole, and known by its first bytes.
//!
//! The first line of a state file is `pharos state KIND VERSION`. The version before wrote no such line: a file without it
//! is taken over if all of it has the form of that version ([`StateForm::is_old`]), and gets the line with the next write.
//!
//! **Invariants**: a file that is not known as ours is neither written, moved nor removed, and neither is one of a newer
//! version; a reader, also after a loss of power, finds the old contents or the new ones.
//! **Not here**: the meaning of the contents; writing in the background (`process::state`).

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{FileFacts, FileKind, Nature, ReadError, head, read};

/// The version of the format that this program writes, of every kind.
const VERSION: u32 = 1;

/// The bytes that are read to recognise a file: the first line and more.
const HEAD_LEN: u64 = 512;

/// A kind of state file.
#[derive(Clone, Copy, Debug)]
pub struct StateForm {
    /// The kind, a word.
    pub(crate) name: &'static str,
    /// The prefix of the first line that makes it a comment in the format of the file; empty if the format needs none.
    pub(crate) comment: &'static str,
    /// Recognises a whole file in the form of the version before.
    pub is_old: fn(&str) -> bool,
}

impl StateForm {
    /// The first line, with its end.
    pub(crate) fn first_line(&self) -> String {
        format!("{}{VERSION}\n", self.start())
    }

    fn start(&self) -> String {
        format!("{}pharos state {} ", self.comment, self.name)
    }

    /// Recognises contents by their first bytes. Contents of this version come with the length of their first line.
    fn recognise(&self, bytes: &[u8]) -> Recognised {
        let Some(line) = bytes.strip_prefix(self.start().as_bytes()) else {
            return if bytes.is_empty() { Recognised::Empty } else { Recognised::Headless };
        };
        let digits = line.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let version: Option<u32> = std::str::from_utf8(&line[..digits]).ok().and_then(|digits| digits.parse().ok());
        match (version, line.get(digits)) {
            (Some(VERSION), Some(b'\n')) => Recognised::Ours { first_line: self.first_line().len() },
            (Some(version), Some(b'\n')) if version > VERSION => Recognised::Newer(version),
            _ => Recognised::Headless,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recognised {
    Ours {
        first_line: usize,
    },
    /// Ours, in the format of a newer version.
    Newer(u32),
    Empty,
    Headless,
}

/// A state file that cannot be used.
#[derive(Debug)]
pub(crate) struct Useless {
    path: PathBuf,
    why: Uselessness,
}

/// The reason why a state file cannot be used.
#[derive(Debug)]
enum Uselessness {
    /// It cannot be read.
    Unreadable(ReadError),
    /// Another program, or another part of this one, wrote it.
    Foreign,
    /// A newer version of this program wrote it, in this version of the format.
    Newer(u32),
    /// It is ours and damaged; `aside` is its name now, `None` if it was not moved.
    Damaged { aside: Option<PathBuf> },
}

impl fmt::Display for Useless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` cannot be used: ", self.path.display())?;
        match &self.why {
            Uselessness::Unreadable(error) => error.fmt(f),
            Uselessness::Foreign => f.write_str("it is not a state file of this kind"),
            Uselessness::Newer(version) => {
                write!(f, "a newer version wrote it (format {version}; this version reads {VERSION})")
            }
            Uselessness::Damaged { aside: Some(aside) } => {
                write!(f, "it is damaged; it is kept as `{}`", aside.display())
            }
            Uselessness::Damaged { aside: None } => f.write_str("it is damaged, and will be written over"),
        }
    }
}

impl std::error::Error for Useless {}

impl Useless {
    fn new(path: &Path, why: Uselessness) -> Self {
        Useless { path: path.to_path_buf(), why }
    }

    /// Returns whether the file may be written over.
    pub(crate) fn may_be_replaced(&self) -> bool {
        matches!(self.why, Uselessness::Damaged { .. })
    }

    /// The remedy.
    pub(crate) fn help(&self) -> String {
        match &self.why {
            Uselessness::Unreadable(error) => error.help(&self.path),
            Uselessness::Foreign => {
                "name a file that does not exist yet, or move this one away: it is left as it is".to_string()
            }
            Uselessness::Newer(_) => {
                "run the newer version, or name another file: this one is left as it is".to_string()
            }
            Uselessness::Damaged { .. } => "nothing need be done: it is written anew".to_string(),
        }
    }
}

/// Reads a file back, and changes nothing; `None` if there is none yet, or an empty one.
pub(crate) fn peek<T>(
    path: &Path,
    form: &StateForm,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, Useless> {
    let Some((bytes, first_line)) = contents(path, form)? else { return Ok(None) };
    let text = std::str::from_utf8(&bytes[first_line..]).ok();
    match text.and_then(parse) {
        Some(found) => Ok(Some(found)),
        None => Err(Useless::new(path, Uselessness::Damaged { aside: None })),
    }
}

/// The same, but a damaged file of ours is put aside.
pub(crate) fn recall<T>(
    path: &Path,
    form: &StateForm,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, Useless> {
    let found = peek(path, form, parse);
    if !found.as_ref().is_err_and(Useless::may_be_replaced) {
        return found;
    }
    let aside = with_suffix(path, ".bad");
    let is_moved = is_free(&aside, form).is_ok_and(|is_free| is_free) && fs::rename(path, &aside).is_ok();
    Err(Useless::new(path, Uselessness::Damaged { aside: is_moved.then_some(aside) }))
}

/// Reads the bytes of a file back, its first line included; `None` if there is none yet, or an empty one.
pub(crate) fn bytes(path: &Path, form: &StateForm) -> Result<Option<Vec<u8>>, Useless> {
    Ok(contents(path, form)?.map(|(bytes, _)| bytes))
}

/// Checks that [`recall`] would take the file for ours.
pub(crate) fn inspect(path: &Path, form: &StateForm) -> Result<(), Useless> {
    contents(path, form).map(|_| ())
}

/// The bytes of a file that is ours, and the length of its first line.
fn contents(path: &Path, form: &StateForm) -> Result<Option<(Vec<u8>, usize)>, Useless> {
    let useless = |why| Err(Useless::new(path, why));
    let bytes = match read(path, FileKind::State) {
        Ok(found) => found.bytes,
        Err(ReadError::Missing) => return Ok(None),
        Err(ReadError::TooLarge { .. }) => return useless(Uselessness::Foreign),
        Err(error) => return useless(Uselessness::Unreadable(error)),
    };
    match form.recognise(&bytes) {
        Recognised::Ours { first_line } => Ok(Some((bytes, first_line))),
        Recognised::Newer(version) => useless(Uselessness::Newer(version)),
        Recognised::Empty => Ok(None),
        Recognised::Headless => match std::str::from_utf8(&bytes) {
            Ok(text) if (form.is_old)(text) => Ok(Some((bytes, 0))),
            _ => useless(Uselessness::Foreign),
        },
    }
}

/// Replaces a file of ours with its first line and a text; it is on the disk when this returns.
#[cfg(test)]
pub(crate) fn keep(path: &Path, form: &StateForm, text: &str) -> io::Result<()> {
    keep_if(path, form, text, &|| true)
}

/// The same, unless the caller has given up meanwhile.
pub(crate) fn keep_if(path: &Path, form: &StateForm, text: &str, waits: &dyn Fn() -> bool) -> io::Result<()> {
    replace(path, form, waits, |out| out.write_all(text.as_bytes()))
}

/// The same with contents that are written piece by piece.
pub(crate) fn replace(
    path: &Path,
    form: &StateForm,
    waits: &dyn Fn() -> bool,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    check_replaceable(path, form)?;
    let beside = with_suffix(path, ".new");
    remove_left_over(&beside, form)?;
    let written = write_beside(&beside, form, write).and_then(|()| {
        // If the caller does not wait, it has acted as for any failed write. It must not take effect after that.
        if waits() { fs::rename(&beside, path) } else { Err(io::ErrorKind::TimedOut.into()) }
    });
    if let Err(error) = written {
        // An incomplete file is of no use; the first error is the one to report.
        let _ = fs::remove_file(&beside);
        return Err(error);
    }
    // The name is on the disk only when its folder is.
    sync(folder(path))
}

fn write_beside(
    beside: &Path,
    form: &StateForm,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    // O_EXCL: no file of another program is opened, and no link followed.
    let file = OpenOptions::new().write(true).create_new(true).custom_flags(libc::O_NOCTTY).open(beside)?;
    let mut out = BufWriter::new(file);
    out.write_all(form.first_line().as_bytes())?;
    write(&mut out)?;
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

/// Fails unless there is no file, or one of ours.
fn check_replaceable(path: &Path, form: &StateForm) -> io::Result<()> {
    if is_free(path, form).map_err(io::Error::other)? { Ok(()) } else { inspect(path, form).map_err(io::Error::other) }
}

/// True if there is no file, or if its first bytes show that it is ours or empty.
fn is_free(path: &Path, form: &StateForm) -> Result<bool, ReadError> {
    match head(path, HEAD_LEN) {
        Ok(start) => Ok(matches!(form.recognise(&start.bytes), Recognised::Ours { .. } | Recognised::Empty)),
        Err(ReadError::Missing) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Removes a file that a killed process has left under its temporary name.
fn remove_left_over(beside: &Path, form: &StateForm) -> io::Result<()> {
    let is_left_over = |bytes: &[u8]| {
        let line = form.first_line();
        bytes.starts_with(line.as_bytes()) || line.as_bytes().starts_with(bytes)
    };
    let not_ours = || io::Error::other(format!("`{}` exists and is not ours: move it away", beside.display()));
    match fs::symlink_metadata(beside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(found) if FileFacts::of(&found).nature != Nature::File || found.is_symlink() => return Err(not_ours()),
        Ok(_) => {}
    }
    match head(beside, HEAD_LEN) {
        Ok(found) if is_left_over(&found.bytes) => fs::remove_file(beside),
        Ok(_) => Err(not_ours()),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// Sets the time of the last change of a file of ours.
pub(crate) fn touch(path: &Path, form: &StateForm, time: SystemTime) -> io::Result<()> {
    let start = head(path, HEAD_LEN)?.bytes;
    if !matches!(form.recognise(&start), Recognised::Ours { .. }) {
        return Err(io::Error::other(Useless::new(path, Uselessness::Foreign)));
    }
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?.set_modified(time)
}

/// Waits until a file, or the names in a folder, are on the disk.
pub(super) fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// The path with more at its end.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut longer = PathBuf::from(path);
    longer.as_mut_os_string().push(suffix);
    longer
}

/// The folder that a file is in.
pub(crate) fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests;
