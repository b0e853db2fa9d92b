//! State that outlives the process: small files, each written whole.
//!
//! [`keep`] replaces a file so that whoever reads it, also after a crash or a loss of power, finds the old text or the new
//! one; [`recall`] reads it back, and puts aside what it cannot use.
//!
//! **Invariants**: a file that cannot be used costs what was in it and nothing else, and is there to be looked at
//! afterwards, under another name; the newest text given to a [`Keeper`] is the one that stays.
//! **Not here**: what the text means.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::{info, warn};

use super::work::{self, Lane};

/// The most octets of a state file: an order or a verdict takes some 300, and there are at most 65,535 mirrors.
const MAX_OCTETS: u64 = 64 << 20;

/// Replaces a file; it is on the disk when this returns.
pub fn keep(path: &Path, text: &str) -> io::Result<()> {
    let beside = with_suffix(path, ".new");
    let write = || {
        let mut file = File::create(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        // The name is on the disk only when its folder is.
        File::open(folder(path))?.sync_all()
    };
    let written = write();
    if written.is_err() {
        // What is left of it is of no use; the first error is the one to tell.
        let _ = fs::remove_file(&beside);
    }
    written
}

/// Reads a file back; none where there is none yet. What `parse` has no use for is put aside.
pub fn recall<T>(path: &Path, parse: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, Useless> {
    let why = match read(path) {
        Ok(text) => match parse(&text) {
            Some(found) => return Ok(Some(found)),
            None => Why::Garbage,
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // Neither text nor of a size that we write.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Why::Garbage,
        Err(error) => Why::Unreadable(error),
    };
    let bad = with_suffix(path, ".bad");
    let aside = fs::rename(path, &bad).is_ok().then_some(bad);
    Err(Useless { path: path.to_path_buf(), why, aside })
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let len = File::open(path)?.take(MAX_OCTETS + 1).read_to_string(&mut text)?;
    if len as u64 > MAX_OCTETS { Err(io::ErrorKind::InvalidData.into()) } else { Ok(text) }
}

/// A state file that cannot be used.
#[derive(Debug)]
pub struct Useless {
    path: PathBuf,
    why: Why,
    /// Where it is now; none where it could not be moved.
    aside: Option<PathBuf>,
}

#[derive(Debug)]
enum Why {
    Unreadable(io::Error),
    Garbage,
}

impl fmt::Display for Useless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be used: ", self.path.display())?;
        match &self.why {
            Why::Unreadable(error) => write!(f, "{error}")?,
            Why::Garbage => f.write_str("it is not what this program writes")?,
        }
        match &self.aside {
            Some(aside) => write!(f, "; it is kept as {}", aside.display()),
            None => f.write_str("; it could not be put aside, and will be written over"),
        }
    }
}

impl std::error::Error for Useless {}

/// Writes state in the background, one text at a time: what came last is what stays.
#[derive(Clone, Debug, Default)]
pub struct Keeper(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    next: Option<(PathBuf, String)>,
    writer: Writer,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Writer {
    #[default]
    Idle,
    Busy,
    /// The last write failed, and that has been said.
    Failing,
}

impl Keeper {
    /// Keeps a text soon, on a thread that may wait for the disk; what was waiting is superseded.
    pub fn keep(&self, path: PathBuf, text: String) {
        let mut waiting = self.waiting();
        waiting.next = Some((path, text));
        if waiting.writer != Writer::Busy {
            let before = std::mem::replace(&mut waiting.writer, Writer::Busy);
            let keeper = self.clone();
            drop(work::submit(Lane::Keep, move || keeper.write_all(before)));
        }
    }

    fn write_all(&self, mut condition: Writer) {
        while let Some((path, text)) = self.next(condition) {
            condition = match (keep(&path, &text), condition) {
                (Ok(()), Writer::Failing) => {
                    info!("{} is written again", path.display());
                    Writer::Idle
                }
                (Ok(()), _) => Writer::Idle,
                (Err(_), Writer::Failing) => Writer::Failing,
                (Err(error), _) => {
                    warn!("failed to write {}: {error}", path.display());
                    Writer::Failing
                }
            };
        }
    }

    /// What to write next; where there is nothing, the writer is done, in this condition.
    fn next(&self, condition: Writer) -> Option<(PathBuf, String)> {
        let mut waiting = self.waiting();
        let next = waiting.next.take();
        if next.is_none() {
            waiting.writer = condition;
        }
        next
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The path with more at its end.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut longer = PathBuf::from(path);
    longer.as_mut_os_string().push(suffix);
    longer
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Option<u32> {
        text.strip_suffix('\n')?.parse().ok()
    }

    #[test]
    fn what_is_kept_is_recalled_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        assert!(matches!(recall(&path, number), Ok(None)));
        for text in ["1\n", "23\n"] {
            keep(&path, text).unwrap();
        }
        assert!(matches!(recall(&path, number), Ok(Some(23))));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_used_is_put_aside_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let (path, bad) = (folder.path().join("state"), folder.path().join("state.bad"));
        for octets in [&b"2"[..], b"", b"\xff\xfe", b"12\n12"] {
            fs::write(&path, octets).unwrap();
            let said = recall(&path, number).unwrap_err().to_string();
            let expected = format!(
                "{} cannot be used: it is not what this program writes; it is kept as {}",
                path.display(),
                bad.display()
            );
            assert_eq!(said, expected);
            assert_eq!(fs::read(&bad).unwrap(), octets);
            assert!(matches!(recall(&path, number), Ok(None)), "the next start finds nothing");
        }
        fs::create_dir(&path).unwrap();
        assert!(recall(&path, number).unwrap_err().to_string().contains("directory"));
    }

    #[test]
    fn a_write_that_fails_leaves_what_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        keep(&path, "1\n").unwrap();
        fs::create_dir(folder.path().join("state.new")).unwrap();
        assert!(keep(&path, "2\n").is_err());
        assert!(matches!(recall(&path, number), Ok(Some(1))));
        assert!(keep(&folder.path().join("none/state"), "1\n").is_err());
    }

    #[tokio::test]
    async fn the_newest_text_is_the_one_that_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let keeper = Keeper::default();
        for text in 0..200 {
            keeper.keep(path.clone(), format!("{text}\n"));
        }
        while keeper.waiting().writer == Writer::Busy {
            tokio::task::yield_now().await;
        }
        assert!(matches!(recall(&path, number), Ok(Some(199))));
    }
}
