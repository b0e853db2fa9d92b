//! State written in the background, so that no task waits for the disk.
//!
//! **Invariants**: the newest text given to a [`Keeper`] is the one that stays.
//! **Not here**: the files themselves ([`crate::files::state`]), what the text means.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::{info, warn};

use super::work::{self, Lane};
use crate::files::state::{Form, keep};

/// Writes state in the background, one text at a time: what came last is what stays.
#[derive(Clone, Debug, Default)]
pub struct Keeper(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    next: Option<(PathBuf, &'static Form, String)>,
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
    pub fn keep(&self, path: PathBuf, form: &'static Form, text: String) {
        let mut waiting = self.waiting();
        waiting.next = Some((path, form, text));
        if waiting.writer != Writer::Busy {
            let before = std::mem::replace(&mut waiting.writer, Writer::Busy);
            let keeper = self.clone();
            drop(work::submit(Lane::Keep, move || keeper.write_all(before)));
        }
    }

    fn write_all(&self, mut condition: Writer) {
        while let Some((path, form, text)) = self.next(condition) {
            condition = match (keep(&path, form, &text), condition) {
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
    fn next(&self, condition: Writer) -> Option<(PathBuf, &'static Form, String)> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::state::recall;

    const FORM: Form = Form { name: "number", comment: "", is_old: |_| false };

    fn number(text: &str) -> Option<u32> {
        text.strip_suffix('\n')?.parse().ok()
    }

    #[tokio::test]
    async fn the_newest_text_is_the_one_that_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let keeper = Keeper::default();
        for text in 0..200 {
            keeper.keep(path.clone(), &FORM, format!("{text}\n"));
        }
        while keeper.waiting().writer == Writer::Busy {
            tokio::task::yield_now().await;
        }
        assert!(matches!(recall(&path, &FORM, number), Ok(Some(199))));
    }
}
