//! Intake: the files that one configuration is read from, each with its stamp, so that a change of any of them shows.
//!
//! **Invariants**: each file, and each pattern, that was asked for is noted, also one that is missing or cannot be read. The
//! stamp of a file that was read is that of the open file: a change while it is read is a change. A look at files takes one
//! thread, however many files there are, and a look that hangs is the last one until it ends.
//! **Not here**: when to look, and the consequence of a change (`serve`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::list::{self, ListError};
use super::{Contents, FileFacts, FileKind, Layer, LayerFile, ReadError, matching, read, within};
use crate::base::lock::locked;

/// The deadline of a look, and the time that each file adds. A look at files in memory takes a microsecond each, on a network
/// file system a millisecond; a reload may wait for the same thread.
const LOOK_DEADLINE: Duration = Duration::from_secs(5);
const LOOK_DEADLINE_PER_FILE: Duration = Duration::from_millis(5);

/// The state of a file by which a change of it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stamp {
    /// Device and inode, length and times of the file at the end of all links.
    Found((u64, u64), u64, [(i64, i64); 2]),
    /// There is no file.
    Missing,
    /// The file cannot be looked up.
    Unknown,
}

impl Stamp {
    fn of(facts: &FileFacts) -> Self {
        Stamp::Found(facts.identity, facts.len, facts.changed)
    }

    fn of_found(found: &Result<FileFacts, ReadError>) -> Self {
        match found {
            Ok(facts) => Stamp::of(facts),
            Err(ReadError::Missing) => Stamp::Missing,
            Err(_) => Stamp::Unknown,
        }
    }

    /// Looks a file up; links are followed.
    pub(crate) fn look(path: &Path) -> Self {
        Stamp::of_found(&super::look_up(path))
    }
}

/// The files that are read for one configuration. Clones note in one list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Intake {
    seen: Arc<Mutex<FileStates>>,
    /// `None` if files come from the disk; otherwise all files come from here.
    memory: Option<Arc<BTreeMap<PathBuf, Vec<u8>>>>,
    /// The bundle that stands over files of the disk. `None` without one.
    layer: Option<Arc<Layer>>,
    /// The contents of files that were read and noted. `None` if these are not kept.
    contents: Option<Arc<Mutex<NotedContents>>>,
}

/// The contents of files, each with its kind.
pub(crate) type NotedContents = BTreeMap<PathBuf, (FileKind, Vec<u8>)>;

/// Files and patterns, with their stamps and matches at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FileStates {
    files: BTreeMap<PathBuf, Stamp>,
    /// The files that match each pattern. `None` if its folder cannot be listed, or has more of them than the pattern may match.
    patterns: BTreeMap<PatternKey, Option<Vec<PathBuf>>>,
}

/// A pattern: its folder, its text, and the most files that it may match.
type PatternKey = (PathBuf, String, usize);

impl Intake {
    /// An intake of files in memory; no other file is there.
    pub(crate) fn of_memory(files: BTreeMap<PathBuf, Vec<u8>>) -> Self {
        Intake { memory: Some(Arc::new(files)), ..Intake::default() }
    }

    /// An intake of files on the disk, under a layer.
    pub(crate) fn under(layer: Arc<Layer>) -> Self {
        Intake { layer: Some(layer), ..Intake::default() }
    }

    /// An intake of files on the disk that keeps the contents of those that it notes.
    pub(crate) fn keeping() -> Self {
        Intake { contents: Some(Arc::default()), ..Intake::default() }
    }

    /// The contents so far, of an intake that keeps these.
    pub(crate) fn take_contents(&self) -> NotedContents {
        let contents = self.contents.as_ref();
        contents.map(|contents| std::mem::take(&mut *locked(contents))).unwrap_or_default()
    }

    /// The layer over the files.
    pub(crate) fn layer(&self) -> Option<&Layer> {
        self.layer.as_deref()
    }

    fn layered(&self, path: &Path) -> Option<&LayerFile> {
        self.layer.as_ref()?.files.get(path)
    }

    /// True if files come from memory.
    pub(crate) fn is_of_memory(&self) -> bool {
        self.memory.is_some()
    }

    /// Reads a file whole, as [`read`].
    pub(crate) fn read_unnoted(&self, path: &Path, kind: FileKind) -> Result<Contents, ReadError> {
        match (&self.memory, self.layered(path)) {
            (Some(files), _) => of_memory(files, path, kind),
            (None, Some(file)) => file.read(kind),
            (None, None) => read(path, kind),
        }
    }

    /// Reads a file whole, and notes it.
    pub(crate) fn read(&self, path: &Path, kind: FileKind) -> Result<Contents, ReadError> {
        let contents = self.read_unnoted(path, kind);
        if self.is_of_memory() {
            return contents;
        }
        let stamp = match &contents {
            Ok(contents) => Stamp::of(&contents.facts),
            Err(ReadError::Missing) => Stamp::Missing,
            // A file that hangs is not asked a second time.
            Err(ReadError::Expired(_)) => Stamp::Unknown,
            Err(_) => Stamp::look(path),
        };
        // A file of a layer is noted by the name at which a look finds it.
        let at = self.layered(path).map_or(path, |file| &file.path);
        self.seen().files.insert(at.to_path_buf(), stamp);
        if let (Some(kept), Ok(contents)) = (&self.contents, &contents) {
            let mut kept = locked(kept);
            kept.insert(path.to_path_buf(), (kind, contents.bytes.clone()));
        }
        contents
    }

    /// Lists the files of a pattern, as [`matching`], and notes the pattern.
    pub(crate) fn matching(&self, folder: &Path, pattern: &str, most: usize) -> Result<Vec<PathBuf>, ListError> {
        if let Some(files) = &self.memory {
            return list::matching_of(files.keys(), folder, pattern, most);
        }
        let paths = matching(folder, pattern, most);
        let found = paths.as_ref().ok().cloned();
        self.seen().patterns.insert((folder.to_path_buf(), pattern.to_string(), most), found);
        paths
    }

    /// The files and patterns so far.
    pub(crate) fn so_far(&self) -> FileStates {
        self.seen().clone()
    }

    fn seen(&self) -> MutexGuard<'_, FileStates> {
        // No code panics while it is held.
        locked(&self.seen)
    }
}

/// A permit for one look at a time, so that a disk that hangs costs one thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct LookPermit(Arc<tokio::sync::Mutex<()>>);

/// Reads a file in memory, within the bound that one on a disk has.
fn of_memory(files: &BTreeMap<PathBuf, Vec<u8>>, path: &Path, kind: FileKind) -> Result<Contents, ReadError> {
    let (number, (_, bytes)) = (0..).zip(files).find(|(_, (name, _))| *name == path).ok_or(ReadError::Missing)?;
    let (len, max_len) = (bytes.len() as u64, kind.max_len());
    if len > max_len {
        return Err(ReadError::TooLarge { max_len });
    }
    Ok(Contents { bytes: bytes.clone(), facts: FileFacts::of_memory(number, len) })
}

impl FileStates {
    /// Looks at the same files and patterns again; waits for the disk. `None` if the look before has not ended yet, or this one
    /// does not end in time.
    pub(crate) fn again(&self, permit: &LookPermit) -> Option<FileStates> {
        let held = permit.0.clone().try_lock_owned().ok()?;
        let FileStates { files, patterns } = self.clone();
        let at = files.keys().next()?.clone();
        let count = u32::try_from(files.len() + patterns.len()).unwrap_or(u32::MAX);
        within(&at, LOOK_DEADLINE + LOOK_DEADLINE_PER_FILE.saturating_mul(count), move |_| {
            let _held = held;
            let stamp = |path: PathBuf| {
                let found = std::fs::metadata(&path).map(|metadata| FileFacts::of(&metadata)).map_err(ReadError::from);
                (path, Stamp::of_found(&found))
            };
            let listed = |(folder, pattern, most): PatternKey| {
                let found = list::expand(&folder, &pattern, most, || true).ok();
                ((folder, pattern, most), found)
            };
            FileStates {
                files: files.into_keys().map(stamp).collect(),
                patterns: patterns.into_keys().map(listed).collect(),
            }
        })
        .ok()
    }

    /// Adds files and patterns of another list that this one lacks.
    pub(crate) fn add(&mut self, mut other: FileStates) {
        other.files.append(&mut self.files);
        other.patterns.append(&mut self.patterns);
        *self = other;
    }

    /// The first file, or pattern, whose state is in none of some other lists.
    pub(crate) fn unknown_to<'s>(&self, others: impl Iterator<Item = &'s FileStates> + Clone) -> Option<PathBuf> {
        let is_known = |path: &PathBuf, stamp: &Stamp| others.clone().any(|other| other.files.get(path) == Some(stamp));
        if let Some((path, _)) = self.files.iter().find(|(path, stamp)| !is_known(path, stamp)) {
            return Some(path.clone());
        }
        let is_known =
            |wanted: &PatternKey, found: &_| others.clone().any(|other| other.patterns.get(wanted) == Some(found));
        let ((folder, pattern, _), _) = self.patterns.iter().find(|(wanted, found)| !is_known(wanted, found))?;
        Some(folder.join(pattern))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// The name of the file that a change shows at; empty if there is no file.
    fn changed(seen: &FileStates) -> String {
        let again = seen.again(&LookPermit::default()).unwrap();
        let difference = again.unknown_to(std::iter::once(seen));
        assert_eq!(difference.is_none(), *seen == again);
        difference.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).unwrap_or_default()
    }

    #[test]
    fn every_kind_of_change_shows() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("a"), "1").unwrap();
        // As kubelet mounts a ConfigMap.
        for version in ["..1", "..2"] {
            std::fs::create_dir(path(version)).unwrap();
            std::fs::write(path(version).join("b"), "1").unwrap();
        }
        symlink("..1", path("..data")).unwrap();
        symlink("..data/b", path("b")).unwrap();
        std::fs::create_dir(path("d")).unwrap();
        let take = || {
            let intake = Intake::default();
            for name in ["a", "b", "none"] {
                let _ = intake.read(&path(name), FileKind::Config);
            }
            intake.matching(folder.path(), "d/*.toml", 9).unwrap();
            intake.so_far()
        };
        assert_eq!(changed(&take()), "");
        let seen = take();
        std::fs::write(path("a"), "22").unwrap();
        assert_eq!(changed(&seen), "a");
        let seen = take();
        symlink("..2", path("..new")).unwrap();
        std::fs::rename(path("..new"), path("..data")).unwrap();
        assert_eq!(changed(&seen), "b");
        let seen = take();
        std::fs::write(path("none"), "").unwrap();
        assert_eq!(changed(&seen), "none");
        let seen = take();
        std::fs::write(path("d").join("c.toml"), "").unwrap();
        assert_eq!(changed(&seen), "*.toml");
        let seen = take();
        std::fs::write(path("d").join(".c.toml.swp"), "").unwrap();
        assert_eq!(changed(&seen), "", "a file that no pattern matches is no change");
        std::fs::remove_file(path("a")).unwrap();
        assert_eq!(changed(&seen), "a");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_no_change_until_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let intake = Intake::default();
        assert!(matches!(intake.read(&path, FileKind::Config), Err(ReadError::NotRegular(_))));
        assert_eq!(changed(&intake.so_far()), "");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(changed(&intake.so_far()), "pipe");
    }

    #[test]
    fn a_look_waits_for_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let intake = Intake::default();
        let _ = intake.read(&folder.path().join("a"), FileKind::Config);
        let permit = LookPermit::default();
        let held = permit.0.clone().try_lock_owned().unwrap();
        assert_eq!(intake.so_far().again(&permit), None);
        drop(held);
        assert_eq!(intake.so_far().again(&permit), Some(intake.so_far()));
        assert_eq!(intake.so_far().again(&permit), Some(intake.so_far()));
    }
}
