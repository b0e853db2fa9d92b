//! State files written on a thread that may wait for the disk, and the condition of each.
//!
//! Every write of a running server goes through a [`StateFile`]. It is counted by the kind of the file. The first failure
//! and the recovery are a line of the log each, because a full disk would otherwise write a line per change.
//!
//! **Invariants**: a caller waits no longer than [`DEADLINE`] and its turn; while a write in a folder is overdue, further
//! writes there fail at once, so that a hung file system holds one thread and delays no other folder; a write that its
//! caller has given up does not replace the file; the newest text given to a [`Keeper`] is the one that stays.
//! **Not here**: the files themselves ([`crate::files::state`]), the meaning of the text, metrics (`serve`).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tracing::{info, warn};

use super::clock::Clock;
use super::work::{self, Lane};
use crate::base::lock::locked;
use crate::base::time::UnixTime;
use crate::files::state::{StateForm, folder, keep_if};
use crate::files::{Expired, within};

/// The longest duration of a write. An idle disk takes milliseconds; a disk that wrote back gigabytes of other processes
/// took over ten seconds. A command waits for 30 seconds (`control::client`), so that its answer has the reason.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// The pause before a [`Keeper`] tries again: after an operator has made room, the recovery is soon in the log.
pub(crate) const RETRY: Duration = Duration::from_secs(10);

/// All state files of a server.
#[derive(Clone, Debug, Default)]
pub(crate) struct StateFiles(Arc<Mutex<Files>>);

#[derive(Debug, Default)]
struct Files {
    counts: BTreeMap<&'static str, Counts>,
    failing: BTreeMap<PathBuf, Failing>,
    /// Folders in which a write is at work.
    busy: BTreeSet<PathBuf>,
}

/// Writes of one kind of file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Writes that are on the disk.
    pub(crate) written: u64,
    /// Writes that failed.
    pub(crate) failed: u64,
}

/// A file whose last write failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failing {
    /// The kind of the file.
    pub(crate) kind: &'static str,
    /// The error of its last write.
    pub(crate) error: String,
    /// The time of the first failure since the last success.
    pub(crate) since: UnixTime,
}

impl StateFiles {
    /// No files yet; these kinds are counted from 0.
    pub(crate) fn new(forms: &[&'static StateForm]) -> Self {
        let counts = forms.iter().map(|form| (form.name, Counts::default())).collect();
        StateFiles(Arc::new(Mutex::new(Files { counts, ..Files::default() })))
    }

    /// A file; the log has `consequence` if it cannot be written.
    pub(crate) fn file(&self, path: PathBuf, form: &'static StateForm, consequence: &'static str) -> StateFile {
        StateFile { files: self.clone(), path, form, consequence }
    }

    /// Forgets the condition of files of a kind that the configuration does not name any more.
    pub(crate) fn retain(&self, form: &StateForm, is_named: impl Fn(&Path) -> bool) {
        self.lock().failing.retain(|path, failing| failing.kind != form.name || is_named(path));
    }

    /// The writes of each kind.
    pub(crate) fn counts(&self) -> Vec<(&'static str, Counts)> {
        self.lock().counts.iter().map(|(kind, counts)| (*kind, *counts)).collect()
    }

    /// The files whose last write failed, by path.
    pub(crate) fn failing(&self) -> Vec<(PathBuf, Failing)> {
        self.lock().failing.iter().map(|(path, failing)| (path.clone(), failing.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Files> {
        // No code panics while it is held.
        locked(&self.0)
    }
}

/// Tells a write whether its caller still waits.
pub(crate) type Waits<'w> = &'w dyn Fn() -> bool;

/// A state file that is written.
#[derive(Clone, Debug)]
pub(crate) struct StateFile {
    files: StateFiles,
    path: PathBuf,
    form: &'static StateForm,
    consequence: &'static str,
}

impl StateFile {
    /// The path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns whether the last write failed.
    pub(crate) fn is_failing(&self) -> bool {
        self.files.lock().failing.contains_key(&self.path)
    }

    /// Replaces the file with its first line and a text; it is on the disk when this returns.
    pub(crate) async fn keep(&self, text: String) -> io::Result<()> {
        let form = self.form;
        self.write(move |path, waits| keep_if(path, form, &text, waits)).await
    }

    /// Writes the file; it is on the disk when this returns.
    pub(crate) async fn write(
        &self,
        work: impl FnOnce(&Path, Waits<'_>) -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        let file = self.clone();
        let written = work::submit(Lane::Keep, move || file.write_within(DEADLINE, work)).await;
        let written = written.unwrap_or_else(|lost| Err(lost.into()));
        self.note(&written);
        written
    }

    /// Writes the file on a thread that is abandoned if it is overdue.
    fn write_within(
        &self,
        deadline: Duration,
        work: impl FnOnce(&Path, Waits<'_>) -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        let busy = Busy::new(&self.files, folder(&self.path))?;
        let path = self.path.clone();
        let written = within(&self.path, deadline, move |caller| {
            let _busy = busy;
            work(&path, &|| caller.waits())
        });
        written.unwrap_or_else(|expired| {
            Err(match expired {
                Expired::Deadline(_) => overdue(),
                other => io::Error::other(other.to_string()),
            })
        })
    }

    fn note(&self, written: &io::Result<()>) {
        let mut files = self.files.lock();
        let counts = files.counts.entry(self.form.name).or_default();
        match written {
            Ok(()) => {
                counts.written += 1;
                if files.failing.remove(&self.path).is_some() {
                    info!("{} is written again", self.path.display());
                }
            }
            Err(error) => {
                counts.failed += 1;
                let error = error.to_string();
                match files.failing.get_mut(&self.path) {
                    Some(failing) => failing.error = error,
                    None => {
                        warn!("failed to write {}: {error}; {}", self.path.display(), self.consequence);
                        let failing = Failing { kind: self.form.name, error, since: Clock::civil() };
                        files.failing.insert(self.path.clone(), failing);
                    }
                }
            }
        }
    }
}

/// The error of a file system that does not take a write.
fn overdue() -> io::Error {
    let why = "the file system does not end a write: check the disk or the network file system";
    io::Error::new(io::ErrorKind::TimedOut, why)
}

/// A write at work in a folder, until this is dropped.
#[derive(Debug)]
struct Busy {
    files: StateFiles,
    folder: PathBuf,
}

impl Busy {
    /// An error if a write there is at work already. The lane writes one file at a time, so that one is overdue.
    fn new(files: &StateFiles, folder: &Path) -> io::Result<Self> {
        let folder = folder.to_path_buf();
        if files.lock().busy.insert(folder.clone()) {
            Ok(Busy { files: files.clone(), folder })
        } else {
            Err(overdue())
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.files.lock().busy.remove(&self.folder);
    }
}

/// Writes state in the background, one text at a time; the newest text is the one that stays.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keeper(Arc<(Mutex<WaitingText>, Notify)>);

#[derive(Debug, Default)]
struct WaitingText {
    next: Option<(StateFile, String)>,
    is_writing: bool,
}

impl Keeper {
    /// Keeps a text soon, and tries again until it is written; a text that was waiting is superseded. Needs a tokio runtime.
    pub(crate) fn keep(&self, file: StateFile, text: String) {
        let mut waiting = self.waiting();
        waiting.next = Some((file, text));
        if std::mem::replace(&mut waiting.is_writing, true) {
            self.0.1.notify_one()
        } else {
            drop(tokio::spawn(self.clone().write_all()))
        }
    }

    async fn write_all(self) {
        while let Some((file, text)) = self.next() {
            if file.keep(text.clone()).await.is_ok() {
                continue;
            }
            // A newer text is tried at once.
            let _ = tokio::time::timeout(RETRY, self.0.1.notified()).await;
            self.waiting().next.get_or_insert((file, text));
        }
    }

    /// The text to write next; if there is none, the task ends.
    fn next(&self) -> Option<(StateFile, String)> {
        let mut waiting = self.waiting();
        let next = waiting.next.take();
        waiting.is_writing = next.is_some();
        next
    }

    fn waiting(&self) -> MutexGuard<'_, WaitingText> {
        // No code panics while it is held.
        locked(&self.0.0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::files::state::recall;

    const FORM: StateForm = StateForm { name: "number", comment: "", is_old: |_| false };

    fn number(text: &str) -> Option<u32> {
        text.strip_suffix('\n')?.parse().ok()
    }

    fn files() -> StateFiles {
        StateFiles::new(&[&FORM])
    }

    #[tokio::test]
    async fn the_newest_text_is_the_one_that_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let (keeper, file) = (Keeper::default(), files().file(path.clone(), &FORM, ""));
        for text in 0..200 {
            keeper.keep(file.clone(), format!("{text}\n"));
        }
        while keeper.waiting().is_writing {
            tokio::task::yield_now().await;
        }
        assert!(matches!(recall(&path, &FORM, number), Ok(Some(199))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_write_is_counted_shown_and_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("absent/state");
        let (keeper, files) = (Keeper::default(), files());
        keeper.keep(files.file(path.clone(), &FORM, ""), "1\n".into());
        while files.failing().is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(files.failing()[0].1.kind, "number");
        assert!(files.counts()[0].1.failed >= 1 && files.counts()[0].1.written == 0);
        std::fs::create_dir(folder.path().join("absent")).unwrap();
        let begun = std::time::Instant::now();
        while !files.failing().is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(30), "it is not tried again");
            tokio::time::sleep(RETRY).await;
        }
        assert_eq!(files.counts()[0].1.written, 1);
        assert!(matches!(recall(&path, &FORM, number), Ok(Some(1))));
    }

    #[tokio::test]
    async fn an_overdue_write_delays_no_other_folder_and_replaces_nothing() {
        let (stuck, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let files = files();
        let file = files.file(stuck.path().join("state"), &FORM, "");
        file.keep("1\n".into()).await.unwrap();
        let (thaw, thawed) = mpsc::channel::<()>();
        let (end, ended) = mpsc::channel();
        let error = file
            .write_within(Duration::from_millis(1), move |path, waits| {
                let written = keep_if(path, &FORM, "2\n", &|| {
                    // As a write on a hung file system.
                    let _ = thawed.recv();
                    waits()
                });
                let _ = end.send(written.map_err(|error| error.kind()));
                Ok(())
            })
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
        let begun = std::time::Instant::now();
        assert_eq!(file.keep("3\n".into()).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() < DEADLINE, "it does not wait for the write that is overdue");
        assert!(file.is_failing());
        files.file(other.path().join("state"), &FORM, "").keep("4\n".into()).await.unwrap();
        thaw.send(()).unwrap();
        assert_eq!(ended.recv().unwrap(), Err(io::ErrorKind::TimedOut), "its caller has given up");
        assert!(matches!(recall(file.path(), &FORM, number), Ok(Some(1))));
        // The thread that was stuck takes its entry away after the last word.
        while file.keep("5\n".into()).await.is_err() {}
        assert!(!file.is_failing() && matches!(recall(file.path(), &FORM, number), Ok(Some(5))));
    }
}
