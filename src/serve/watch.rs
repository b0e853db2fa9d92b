//! Watches the files of the configuration: a change requests a reload once two checks in a row find the same state.
//!
//! **Invariants**: a check never blocks a thread that answers queries, and a disk that hangs blocks one check at most; each
//! state of the files is loaded once, also if the load is refused, so that a refused reload is not repeated.
//! **Not here**: reading the state of files ([`crate::files::FileStates`]), reloading ([`super::reload`]).

use std::future::pending;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use crate::files::{FileStates, LookPermit};
use crate::process::work::{self, Lane, Pending};

/// A watch of the files that the last load has read.
pub(super) struct FileWatch {
    /// The interval between two checks. `None` if the files are not watched.
    every: Option<Duration>,
    files: Settling,
    permit: LookPermit,
    looking: Option<Pending<Option<FileStates>>>,
    next_look: Instant,
    /// True if the last check did not end in time.
    is_stuck: bool,
}

impl FileWatch {
    /// Watches the files of the first load.
    pub(super) fn new(every: Option<Duration>, read: FileStates) -> Self {
        let files = Settling { read, ..Settling::default() };
        let next_look = Instant::now() + every.unwrap_or_default();
        FileWatch { every, files, permit: LookPermit::default(), looking: None, next_look, is_stuck: false }
    }

    /// Watches the files of a load that is served, at the interval of its configuration.
    pub(super) fn served(&mut self, every: Option<Duration>, read: FileStates) {
        self.every = every;
        self.files.read = read;
        self.files.before = None;
    }

    /// Forgets the check that requested a reload, because another reload was requested since.
    pub(super) fn asked_by_others(&mut self) {
        self.files.asked = None;
    }

    /// Watches the files of a load that was refused, and those files of the load before that it did not read.
    pub(super) fn refused(&mut self, read: FileStates) {
        let before = std::mem::replace(&mut self.files.read, read);
        self.files.read.add(before);
        self.files.before = None;
    }

    /// Waits until a reload is due; returns a file that has changed. Waits forever if the files are not watched. May be dropped
    /// and called again.
    pub(super) async fn changed(&mut self) -> PathBuf {
        loop {
            let Some(every) = self.every else { return pending().await };
            let looking = match &mut self.looking {
                Some(looking) => looking,
                None => {
                    tokio::time::sleep_until(self.next_look).await;
                    let (files, permit) = (self.files.read.clone(), self.permit.clone());
                    self.looking.insert(work::submit(Lane::Load, move || files.again(&permit)))
                }
            };
            // If the queue is full or the disk hangs, this check is skipped.
            let found = looking.await.ok().flatten();
            self.looking = None;
            self.next_look = Instant::now() + every;
            self.report(found.is_none());
            if let Some(path) = found.and_then(|now| self.files.look(now)) {
                return path;
            }
        }
    }

    /// Logs the first check that hangs, and the first one that does not hang again.
    fn report(&mut self, is_stuck: bool) {
        if std::mem::replace(&mut self.is_stuck, is_stuck) == is_stuck {
            return;
        }
        if is_stuck {
            warn!(
                "a look at the files of the configuration hangs: check the disks; changes are not noticed until it ends"
            )
        } else {
            info!("the files of the configuration are looked at again")
        }
    }
}

/// Detects settled changes: two checks in a row find the same state of the files.
#[derive(Debug, Default)]
struct Settling {
    /// The files as the last load has read them.
    read: FileStates,
    /// The last check, if it found a change.
    before: Option<FileStates>,
    /// The check that requested the last reload. Its state counts as loaded, because a refused load does not read all files, and
    /// because a file system may report an open file and its path differently. Otherwise such a file would be reloaded for ever.
    asked: Option<FileStates>,
}

impl Settling {
    /// Takes the result of a check; returns a changed file if the state of all files is the same as at the check before.
    fn look(&mut self, now: FileStates) -> Option<PathBuf> {
        let known = [Some(&self.read), self.asked.as_ref()];
        let Some(path) = now.unknown_to(known.into_iter().flatten()) else {
            self.before = None;
            return None;
        };
        if self.before.as_ref() != Some(&now) {
            self.before = Some(now);
            return None;
        }
        self.before = None;
        self.asked = Some(now);
        Some(path)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::files::{FileKind, Intake};

    /// A folder, and the files in it that were read.
    struct World {
        folder: tempfile::TempDir,
        watch: FileWatch,
    }

    impl World {
        fn new(names: &[&str]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            names.iter().for_each(|name| std::fs::write(folder.path().join(name), "1").unwrap());
            let watch = FileWatch::new(None, read(folder.path(), names));
            World { folder, watch }
        }

        fn write(&self, name: &str, text: &str) {
            std::fs::write(self.folder.path().join(name), text).unwrap();
        }

        /// The file for which the next check requests a reload; empty if it requests none.
        fn look(&mut self) -> String {
            let now = self.watch.files.read.again(&LookPermit::default()).unwrap();
            let path = self.watch.files.look(now);
            path.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).unwrap_or_default()
        }
    }

    fn read(folder: &Path, names: &[&str]) -> FileStates {
        let intake = Intake::default();
        for name in names {
            let _ = intake.read(&folder.join(name), FileKind::Config);
        }
        intake.so_far()
    }

    #[test]
    fn a_file_that_goes_on_changing_is_waited_for() {
        let mut world = World::new(&["a", "b"]);
        assert_eq!(world.look(), "");
        for length in 2..9 {
            world.write("b", &"x".repeat(length));
            assert_eq!(world.look(), "", "it has changed since the look before");
        }
        assert_eq!(world.look(), "b");
    }

    #[test]
    fn files_that_are_as_they_were_ask_for_nothing() {
        let mut world = World::new(&["a"]);
        let path = world.folder.path().join("a");
        std::fs::rename(&path, world.folder.path().join("away")).unwrap();
        assert_eq!(world.look(), "");
        std::fs::rename(world.folder.path().join("away"), &path).unwrap();
        // On some file systems, a rename changes a time of the file: at most one reload follows.
        let asked = [world.look(), world.look(), world.look(), world.look()];
        assert!(asked.iter().filter(|path| !path.is_empty()).count() <= 1, "{asked:?}");
    }

    #[test]
    fn a_refused_state_is_not_read_again_and_the_next_one_is() {
        let mut world = World::new(&["a", "b"]);
        world.write("a", "broken");
        world.write("b", "changed too");
        assert_eq!((world.look(), world.look()), (String::new(), "a".to_string()));
        // The load stops at the first file, and names one more that does not exist.
        world.watch.refused(read(world.folder.path(), &["a", "c"]));
        assert_eq!([world.look(), world.look(), world.look()], ["", "", ""]);
        for name in ["c", "b", "a"] {
            world.write(name, "mended");
            assert_eq!((world.look(), world.look(), world.look()), (String::new(), name.to_string(), String::new()));
        }
    }

    #[test]
    fn a_file_system_that_reports_open_files_otherwise_costs_no_loop() {
        let mut world = World::new(&["a"]);
        let otherwise = world.watch.files.read.clone();
        world.write("a", "22");
        assert_eq!((world.look(), world.look()), (String::new(), "a".to_string()));
        world.watch.served(None, otherwise.clone());
        assert_eq!([world.look(), world.look(), world.look()], ["", "", ""]);
        // A reload by a signal may have read a state of the files that no check has seen.
        world.watch.asked_by_others();
        world.watch.served(None, otherwise);
        assert_eq!((world.look(), world.look()), (String::new(), "a".to_string()));
    }

    #[test]
    fn a_served_load_is_the_new_state() {
        let mut world = World::new(&["a", "b"]);
        world.write("a", "22");
        assert_eq!((world.look(), world.look()), (String::new(), "a".to_string()));
        // The file changed again during the load.
        let seen = read(world.folder.path(), &["a"]);
        world.write("a", "333");
        world.watch.served(None, seen);
        assert_eq!((world.look(), world.look()), (String::new(), "a".to_string()));
        world.write("b", "not named any more");
        assert_eq!((world.look(), world.look()), (String::new(), String::new()));
    }
}
