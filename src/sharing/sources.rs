//! Copies of sources in the store: new ones of this server go there, and those of other servers come from there.
//!
//! ```text
//! live::OwnSource ─► SourceCopies ─► sources/DIGEST ─► answer ─► refresh
//! ```
//!
//! **Invariants**: a content is used only if it has the digest and the length that a signed document names; a copy counts as
//! stored only after it was written, or while a peer says so; a copy that any recent document names is not removed; a trouble is one
//! line of the log when it begins, and one when it is over.
//! **Not here**: the turn of each server ([`crate::fleet`]), fetching and judging (`refresh`, `serve`).

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{debug, info, warn};

use crate::files;
use crate::fleet::{ContentDigest, MAX_SHARED_COPY_LEN, SharedCopy};
use crate::live::{
    CopyFault, CopyInbox, CopyOrigin, FleetSources, HeardDocument, OwnSources, ServiceRequest, SourceCopy,
};
use crate::process::work::{self, Lane};
use crate::stores::{ObjectName, Store, StoreError, StoreRead};

/// The pause after a copy could not be sent.
const RETRY: Duration = Duration::from_secs(60);

/// Reads copies from the store for the fetches, one at a time, so that memory has one.
pub(super) async fn answer(store: Arc<Store>, mut takes: CopyInbox) {
    while let Some(ServiceRequest { request: copy, reply }) = takes.recv().await {
        // A reload may have ended the fetch.
        let _ = reply.send(take(&store, copy).await);
    }
}

async fn take(store: &Store, copy: SharedCopy) -> Result<Bytes, CopyFault> {
    let max_len = usize::try_from(copy.len.min(MAX_SHARED_COPY_LEN)).unwrap_or(usize::MAX);
    let bytes = match store.read(&object(&copy.sha256), None, max_len).await {
        Ok(StoreRead::Changed { bytes, .. }) => bytes,
        Ok(StoreRead::Missing | StoreRead::Same) => return Err(CopyFault::Missing),
        Err(StoreError::TooLong { .. }) => return Err(CopyFault::OtherContent),
        Err(error) => return Err(CopyFault::Unusable(error.to_string())),
    };
    let verify = move || {
        let is_it = bytes.len() as u64 == copy.len && ContentDigest::of(&bytes) == copy.sha256;
        if is_it { Ok(bytes) } else { Err(CopyFault::OtherContent) }
    };
    work::submit(Lane::Compute, verify).await.map_err(|lost| CopyFault::Unusable(lost.to_string()))?
}

/// The copies of this server in the store.
pub(super) struct SourceCopies {
    store: Arc<Store>,
    sources: FleetSources,
    heard: watch::Receiver<Arc<[HeardDocument]>>,
    /// The sources whose copies could not be sent.
    troubled: BTreeSet<Arc<str>>,
}

impl SourceCopies {
    pub(super) fn new(store: Arc<Store>, sources: FleetSources) -> Self {
        SourceCopies { store, heard: sources.heard.clone(), sources, troubled: BTreeSet::new() }
    }

    /// Sends new copies until the process ends.
    pub(super) async fn run(mut self) {
        let mut own = self.sources.own.subscribe();
        // After the first round it is known which copies peers have stored.
        if self.heard.changed().await.is_err() {
            return pending().await;
        }
        loop {
            let now = own.borrow_and_update().clone();
            let is_done = self.settle(&now).await;
            tokio::select! {
                Ok(()) = own.changed() => {}
                () = sleep(RETRY), if !is_done => {}
            }
        }
    }

    /// Sends the copies that the store lacks. Returns false if a request to the store failed.
    async fn settle(&mut self, own: &OwnSources) -> bool {
        let copies = own.iter().filter_map(|(name, source)| Some((name, source.copy.as_ref()?)));
        let copies: BTreeMap<&Arc<str>, &SourceCopy> = copies.collect();
        let is_own = |digest: &ContentDigest| copies.values().any(|copy| copy.sha256 == *digest);
        self.troubled.retain(|name| copies.contains_key(name));
        self.sources.stored.send_if_modified(|stored| {
            let count = stored.len();
            Arc::make_mut(stored).retain(is_own);
            stored.len() != count
        });
        let mut is_done = true;
        for (name, copy) in copies {
            if self.sources.stored.borrow().contains(&copy.sha256) {
                continue;
            }
            let sent = if self.is_stored_by_peer(copy) { Ok(()) } else { self.send(copy).await };
            match sent {
                Ok(()) => {
                    self.sources.stored.send_modify(|stored| {
                        Arc::make_mut(stored).insert(copy.sha256.clone());
                    });
                    if self.troubled.remove(name) {
                        info!("network {name}: its copy is shared with the fleet again");
                    }
                    self.remove_older(copy, own).await;
                }
                Err(fault) => {
                    is_done &= fault.is_lasting;
                    if self.troubled.insert(name.clone()) {
                        let why = fault.why;
                        warn!(
                            "network {name}: its copy is not shared with the fleet: {why}; each server fetches it by itself"
                        );
                    }
                }
            }
        }
        is_done
    }

    /// True if the store has a copy by the word of a peer. A content that this process has just fetched is sent all the same, because
    /// it may have been fetched for the reason that the object in the store is missing or forged.
    fn is_stored_by_peer(&self, copy: &SourceCopy) -> bool {
        let stores = |heard: &HeardDocument| heard.document.sources.stores(&copy.sha256);
        match copy.origin {
            CopyOrigin::Publisher => false,
            CopyOrigin::Store => true,
            CopyOrigin::Disk => self.heard.borrow().iter().any(stores),
        }
    }

    async fn send(&self, copy: &SourceCopy) -> Result<(), UnsentCopy> {
        let max_len = MAX_SHARED_COPY_LEN.min(self.store.max_object_len() as u64);
        if copy.len > max_len {
            let why = format!("it has {} bytes, and the store keeps copies of {max_len} bytes at most", copy.len);
            return Err(UnsentCopy { why, is_lasting: true });
        }
        let (path, kind) = (copy.path.clone(), copy.kind);
        let read = work::submit(Lane::Fetch, move || {
            let contents = files::read(&path, kind).map_err(|error| error.to_string())?;
            Ok::<_, String>((ContentDigest::of(&contents.bytes), contents.bytes))
        });
        let again = |why: String| UnsentCopy { why, is_lasting: false };
        let (digest, bytes) = read.await.map_err(|lost| again(lost.to_string()))?.map_err(again)?;
        if digest != copy.sha256 {
            let why = format!("`{}` has been changed", copy.path.display());
            return Err(UnsentCopy { why, is_lasting: true });
        }
        let written = self.store.write(&object(&copy.sha256), &bytes).await;
        written.map(drop).map_err(|error| again(error.to_string()))
    }

    /// Removes the copies before the last two that no server names. A failure leaves some, which the next copy removes.
    async fn remove_older(&self, copy: &SourceCopy, own: &OwnSources) {
        if copy.origin != CopyOrigin::Publisher {
            return;
        }
        let heard = self.heard.borrow().clone();
        let is_own = |digest: &ContentDigest| {
            own.values().filter_map(|source| source.copy.as_ref()).any(|copy| copy.sha256 == *digest)
        };
        let is_named = |digest: &ContentDigest| heard.iter().any(|heard| heard.document.sources.names(digest));
        for digest in copy.older.iter().filter(|digest| !is_own(digest) && !is_named(digest)) {
            if let Err(error) = self.store.delete(&object(digest)).await {
                debug!("an old copy was not removed: {error}");
            }
        }
    }
}

/// The reason why a copy was not sent.
struct UnsentCopy {
    why: String,
    /// True if another attempt fails too.
    is_lasting: bool,
}

fn object(digest: &ContentDigest) -> ObjectName {
    digest.source_object().parse().expect("a digest is a part of an object's name")
}
