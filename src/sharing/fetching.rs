//! Fetching a bundle from the store into the folder on the local disk.
//!
//! **Invariants**: an object that the folder has is not fetched; one whose content does not have its digest is not kept.
//! **Not here**: the folder ([`super::kept`]), loading the bundle (`serve`).

use std::fmt;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream;

use super::kept::KeptBundles;
use crate::files::shared::SharedError;
use crate::fleet::{Bundle, BundleFault, ContentDigest, MAX_BUNDLE_LEN};
use crate::process::work::{self, Lane, Lost};
use crate::stores::{ObjectName, Store, StoreError, StoreRead};

/// The files that are fetched at once: a thousand zones take minutes from a far bucket one by one, and memory has four files.
const MAX_AT_ONCE: usize = 4;

/// The reason why a bundle was not fetched.
#[derive(Debug)]
pub(super) enum FetchFault {
    /// The store lacks an object.
    Missing(String),
    /// The store cannot be used.
    Store(StoreError),
    /// An object is not the one of its name.
    Bad(String, BundleFault),
    /// The folder on the local disk cannot be written.
    Disk(SharedError),
    /// The work was not done.
    Lost(Lost),
}

impl fmt::Display for FetchFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FetchFault::Missing(object) => {
                write!(f, "the store has no `{object}`; `pharos fleet push` with the same configuration sends it again")
            }
            FetchFault::Store(error) => error.fmt(f),
            FetchFault::Bad(object, fault) => {
                write!(f, "`{object}` in the store: {fault}; remove the object, and push the same configuration again")
            }
            FetchFault::Disk(error) => write!(f, "the bundle cannot be kept: {error}"),
            FetchFault::Lost(lost) => lost.fmt(f),
        }
    }
}

/// Fetches a bundle and the files in it that are not on the disk.
pub(super) async fn fetch(store: &Arc<Store>, kept: &KeptBundles, digest: &ContentDigest) -> Result<(), FetchFault> {
    let object = digest.bundle_object();
    fetch_object(store, kept, &object, digest, MAX_BUNDLE_LEN).await?;
    let (of, wanted) = (kept.clone(), digest.clone());
    let bundle = on_disk(move || of.bundle(&wanted)).await?;
    let bundle: Bundle = bundle.map_err(|_| FetchFault::Bad(object, BundleFault::Unreadable))?;
    let fetched = stream::iter(bundle.files.into_values()).map(async |file| {
        let max_len = usize::try_from(file.len).unwrap_or(usize::MAX);
        fetch_object(store, kept, &file.sha256.file_object(), &file.sha256, max_len).await
    });
    let mut fetched = std::pin::pin!(fetched.buffer_unordered(MAX_AT_ONCE));
    while let Some(outcome) = fetched.next().await {
        outcome?;
    }
    Ok(())
}

async fn fetch_object(
    store: &Store,
    kept: &KeptBundles,
    object: &str,
    digest: &ContentDigest,
    max_len: usize,
) -> Result<(), FetchFault> {
    let (of, name, wanted) = (kept.clone(), object.to_string(), digest.clone());
    if on_disk(move || of.has(&name, &wanted)).await? {
        return Ok(());
    }
    let name: ObjectName = object.parse().expect("a digest is a part of an object's name");
    let bytes = match store.read(&name, None, max_len).await.map_err(FetchFault::Store)? {
        StoreRead::Changed { bytes, .. } => bytes,
        StoreRead::Missing | StoreRead::Same => return Err(FetchFault::Missing(object.into())),
    };
    let (kept, object, digest) = (kept.clone(), object.to_string(), digest.clone());
    on_disk(move || {
        if ContentDigest::of(&bytes) == digest {
            kept.put(&object, &bytes).map_err(FetchFault::Disk)
        } else {
            Err(FetchFault::Bad(object, BundleFault::OtherDigest))
        }
    })
    .await?
}

/// Does work that waits for the disk.
async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, FetchFault> {
    work::submit(Lane::Fetch, work).await.map_err(FetchFault::Lost)
}
