//! The engine for a folder that all servers share.
//!
//! **Invariants**: work waits in a lane of its own and on a thread that may be abandoned, so that a file system that hangs delays
//! no other work.
//! **Not here**: files ([`crate::files::shared`]).

use std::path::PathBuf;
use std::time::Duration;

use super::error::StoreError;
use super::name::{ObjectName, StoreVersion};
use super::{ListedObject, MAX_LISTED, StoreRead, StoreWrite};
use crate::files::shared::{SharedError, SharedFolder};
use crate::files::{self, Waiter};
use crate::process::work::{self, Lane};

/// The folder, and the deadline of each call.
#[derive(Clone, Debug)]
pub(super) struct FolderEngine {
    shared: SharedFolder,
    deadline: Duration,
}

impl FolderEngine {
    pub(super) fn new(path: PathBuf, deadline: Duration) -> Self {
        FolderEngine { shared: SharedFolder::at(path), deadline }
    }

    pub(super) async fn read(
        &self,
        name: &ObjectName,
        known: Option<&StoreVersion>,
        max_len: usize,
    ) -> Result<StoreRead, StoreError> {
        let of = name.to_string();
        let read = self.run(name, max_len, move |shared, _| shared.read(&of, max_len as u64)).await?;
        let Some(bytes) = read else { return Ok(StoreRead::Missing) };
        let version = StoreVersion::of(&files::digest_of(&bytes));
        if known == Some(&version) {
            Ok(StoreRead::Same)
        } else {
            Ok(StoreRead::Changed { bytes: bytes.into(), version })
        }
    }

    pub(super) async fn list(&self, folder: &ObjectName) -> Result<Vec<ListedObject>, StoreError> {
        let of = folder.to_string();
        let listed = self.run(folder, 0, move |shared, _| shared.list(&of, MAX_LISTED)).await?;
        let object = |found: files::shared::SharedObject| {
            Some(ListedObject { name: found.name.parse().ok()?, version: StoreVersion::of(&found.digest) })
        };
        Ok(listed.into_iter().filter_map(object).collect())
    }

    pub(super) async fn write(&self, name: &ObjectName, bytes: &[u8]) -> Result<StoreVersion, StoreError> {
        let (of, content) = (name.to_string(), bytes.to_vec());
        self.run(name, 0, move |shared, caller| shared.write(&of, &content, &|| caller.waits())).await?;
        Ok(StoreVersion::of(&files::digest_of(bytes)))
    }

    pub(super) async fn write_if(
        &self,
        name: &ObjectName,
        bytes: &[u8],
        expected: Option<&StoreVersion>,
    ) -> Result<StoreWrite, StoreError> {
        let (of, content) = (name.to_string(), bytes.to_vec());
        let expected = expected.map(|version| version.tag.clone());
        let write = move |shared: &SharedFolder, caller: &Waiter| {
            shared.write_if(&of, &content, expected.as_deref(), &|| caller.waits())
        };
        Ok(if self.run(name, 0, write).await? {
            StoreWrite::Done(StoreVersion::of(&files::digest_of(bytes)))
        } else {
            StoreWrite::Conflict
        })
    }

    pub(super) async fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        let of = name.to_string();
        self.run(name, 0, move |shared, _| shared.remove(&of)).await
    }

    /// Does work on an object of the folder, and waits until the deadline at most.
    async fn run<T: Send + 'static>(
        &self,
        name: &ObjectName,
        max_len: usize,
        job: impl FnOnce(&SharedFolder, &Waiter) -> Result<T, SharedError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (shared, deadline) = (self.shared.clone(), self.deadline);
        let unusable = |why: String| StoreError::Folder { path: self.shared.path().display().to_string(), why };
        let within = move || {
            let path = shared.path().to_path_buf();
            files::within(&path, deadline, move |caller| job(&shared, caller))
        };
        let done = work::submit(Lane::Store, within).await.map_err(|lost| unusable(lost.to_string()))?;
        done.map_err(|expired| unusable(expired.to_string()))?.map_err(|error| fault(error, name, max_len))
    }
}

/// The error of an object, whose name is known here.
fn fault(error: SharedError, name: &ObjectName, max_len: usize) -> StoreError {
    match error {
        SharedError::TooLarge => StoreError::TooLong { name: name.to_string(), max_len },
        SharedError::TooMany => StoreError::TooMany { folder: name.to_string(), max: MAX_LISTED },
        SharedError::NoFolder(path) => StoreError::Folder {
            path: path.display().to_string(),
            why: "there is no such folder; mount it, or correct the URL of the store".to_string(),
        },
        SharedError::GivenUp => StoreError::Folder {
            path: name.to_string(),
            why: "it was not written in time; check the file system, and that no process holds `.lock`".to_string(),
        },
        SharedError::System(path, error) => {
            StoreError::Folder { path: path.display().to_string(), why: files::words(&error) }
        }
    }
}
