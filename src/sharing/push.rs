//! The rollout in the store, as an operator's command changes it.
//!
//! **Invariants**: the pointer moves only from the one that was read, so that of two operators one gets an error; a bundle is
//! whole in the store before the pointer names it, and looked at again after that, because another push may have removed old files
//! meanwhile.
//! **Not here**: making a bundle, printing (`cli`), the decision of servers ([`crate::fleet`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use tracing::debug;

use crate::fleet::{
    Bundle, BundleFault, ContentDigest, DocumentFault, FleetKey, MAX_BUNDLE_LEN, MAX_DOCUMENT_LEN, ROLLOUT_OBJECT,
    Rollout, RolloutReport, ServerDocument,
};
use crate::stores::{ObjectName, Store, StoreError, StoreRead, StoreVersion, StoreWrite};

/// The contents of files by their digests.
pub(crate) type BundleContents = BTreeMap<ContentDigest, Vec<u8>>;

/// The reason why the rollout was not changed.
#[derive(Debug)]
pub(crate) enum PushError {
    /// The store cannot be used.
    Store(StoreError),
    /// Another operator has changed the rollout since it was read.
    Conflict(Box<Rollout>),
    /// The rollout that another operator wrote cannot be read.
    Unreadable(DocumentFault),
    /// The store does not keep an object of this length.
    Long {
        /// The file, or the bundle itself.
        what: String,
        /// Its length in bytes.
        len: u64,
        /// The most bytes.
        max_len: usize,
    },
    /// The bundle before is not in the store.
    Lost(ContentDigest, BundleFault),
}

impl fmt::Display for PushError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PushError::Store(error) => error.fmt(f),
            PushError::Conflict(other) => {
                let act = other.halted.as_ref().unwrap_or(&other.pushed);
                write!(f, "the rollout was changed meanwhile, to bundle {} by {act}", other.bundle)
            }
            PushError::Unreadable(fault) => write!(f, "the rollout in the store cannot be used: {fault}"),
            PushError::Long { what, len, max_len } => {
                write!(f, "{what} has {len} bytes, and the store keeps objects of {max_len} bytes at most")
            }
            PushError::Lost(bundle, fault) => write!(f, "bundle {bundle} cannot be served again: {fault}"),
        }
    }
}

impl PushError {
    /// The remedy.
    pub(crate) fn help(&self) -> &'static str {
        match self {
            PushError::Store(_) => {
                "the command needs the credentials and the network of the service, such as its environment file"
            }
            PushError::Conflict(_) => "look at `pharos fleet status`, and push again if yours is still meant",
            PushError::Unreadable(_) => "a push replaces it",
            PushError::Long { .. } => {
                "keep the fleet in a bucket or a folder, or have each server fetch the source by `url`"
            }
            PushError::Lost(..) => "push its configuration again",
        }
    }
}

impl From<StoreError> for PushError {
    fn from(error: StoreError) -> Self {
        PushError::Store(error)
    }
}

/// The rollout in the store, as it was read.
#[derive(Debug)]
pub(crate) struct ReadRollout {
    /// The rollout. `None` if there was no push yet, or if `fault` has the reason.
    pub(crate) rollout: Option<Rollout>,
    /// The reason why the object cannot be used.
    pub(crate) fault: Option<DocumentFault>,
    version: Option<StoreVersion>,
}

/// The number of objects, and of the bytes in these, that were sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SentObjects {
    /// The objects.
    pub(crate) objects: usize,
    /// The bytes.
    pub(crate) bytes: u64,
}

/// The store of a fleet, for an operator's command.
pub(crate) struct RolloutStore {
    /// The store.
    pub(crate) store: Arc<Store>,
    /// The key of the fleet.
    pub(crate) key: FleetKey,
}

impl RolloutStore {
    /// Reads the rollout.
    pub(crate) async fn read(&self) -> Result<ReadRollout, PushError> {
        match self.store.read_latest(&name(ROLLOUT_OBJECT), None, MAX_DOCUMENT_LEN).await {
            Ok(StoreRead::Changed { bytes, version }) => {
                let opened = Rollout::open(&bytes, &self.key);
                let fault = opened.as_ref().err().copied();
                Ok(ReadRollout { rollout: opened.ok(), fault, version: Some(version) })
            }
            Ok(StoreRead::Missing | StoreRead::Same) => Ok(ReadRollout { rollout: None, fault: None, version: None }),
            Err(error) => Err(error.into()),
        }
    }

    /// The servers of the fleet, each with its report on rollouts; the report is empty if the document cannot be read.
    pub(crate) async fn servers(&self) -> Result<BTreeMap<String, RolloutReport>, PushError> {
        let mut found = BTreeMap::new();
        for object in self.store.list(&name("servers")).await? {
            let Some(server) = ServerDocument::server_of(object.name.as_str()) else { continue };
            let read = self.store.read(&object.name, None, MAX_DOCUMENT_LEN).await;
            let document = match &read {
                Ok(StoreRead::Changed { bytes, .. }) => ServerDocument::open(server, bytes, &self.key).ok(),
                _ => None,
            };
            found.insert(server.to_string(), document.map(|document| document.rollout).unwrap_or_default());
        }
        Ok(found)
    }

    /// Fails if the store does not keep objects as long as those of a bundle.
    pub(crate) fn check_lengths(&self, bundle: &Bundle) -> Result<(), PushError> {
        let max_len = self.store.max_object_len();
        let whole = ("the configuration".to_string(), bundle.encode().len() as u64);
        let files = bundle.files.iter().map(|(path, file)| (format!("`{path}`"), file.len));
        match std::iter::once(whole).chain(files).find(|(_, len)| *len > max_len as u64) {
            Some((what, len)) => Err(PushError::Long { what, len, max_len }),
            None => Ok(()),
        }
    }

    /// Sends the objects of a bundle that the store does not have.
    pub(crate) async fn send(&self, bundle: &Bundle, contents: &BundleContents) -> Result<SentObjects, PushError> {
        let mut present = BTreeSet::new();
        for folder in ["bundles", "files"] {
            present.extend(self.store.list(&name(folder)).await?.into_iter().map(|object| object.name));
        }
        let encoded = bundle.encode();
        let whole = (ContentDigest::of(&encoded).bundle_object(), &encoded);
        let files = contents.iter().map(|(digest, bytes)| (digest.file_object(), bytes));
        let mut sent = SentObjects::default();
        // The bundle last: a server that reads it finds its files.
        for (object, bytes) in files.chain([whole]) {
            let object = name(&object);
            if !present.contains(&object) {
                self.store.write(&object, bytes).await?;
                sent.objects += 1;
                sent.bytes += bytes.len() as u64;
            }
        }
        Ok(sent)
    }

    /// The bundle of a digest in the store.
    pub(crate) async fn bundle(&self, digest: &ContentDigest) -> Result<Bundle, PushError> {
        let lost = |fault| PushError::Lost(digest.clone(), fault);
        match self.store.read(&name(&digest.bundle_object()), None, MAX_BUNDLE_LEN).await? {
            StoreRead::Changed { bytes, .. } => Bundle::decode(&bytes, digest).map_err(lost),
            StoreRead::Missing | StoreRead::Same => Err(lost(BundleFault::Missing)),
        }
    }

    /// Replaces the rollout that was read.
    pub(crate) async fn replace(&self, read: &ReadRollout, rollout: &Rollout) -> Result<(), PushError> {
        let sealed = rollout.seal(&self.key);
        match self.store.write_if(&name(ROLLOUT_OBJECT), &sealed, read.version.as_ref()).await {
            Ok(StoreWrite::Done(_)) => return Ok(()),
            Ok(StoreWrite::Conflict) => {}
            // The write may have taken effect.
            Err(error) => match self.read().await {
                Ok(now) if now.rollout.as_ref() == Some(rollout) => return Ok(()),
                _ => return Err(error.into()),
            },
        }
        let now = self.read().await?;
        match (now.rollout, now.fault) {
            (Some(other), _) if other == *rollout => Ok(()),
            (Some(other), _) => Err(PushError::Conflict(Box::new(other))),
            (None, fault) => Err(PushError::Unreadable(fault.unwrap_or(DocumentFault::Broken))),
        }
    }

    /// Removes the objects that belong to neither of two bundles. A failure leaves some, which the next push removes.
    pub(crate) async fn clean(&self, bundle: &Bundle, previous: Option<&ContentDigest>) {
        if let Err(error) = self.try_clean(bundle, previous).await {
            debug!("old bundles were not removed: {error}");
        }
    }

    async fn try_clean(&self, bundle: &Bundle, previous: Option<&ContentDigest>) -> Result<(), PushError> {
        let mut named: BTreeSet<String> = BTreeSet::from([ContentDigest::of(&bundle.encode()).bundle_object()]);
        let mut bundles = vec![bundle.clone()];
        if let Some(previous) = previous {
            named.insert(previous.bundle_object());
            bundles.push(self.bundle(previous).await?);
        }
        named.extend(bundles.iter().flat_map(|bundle| bundle.files.values()).map(|file| file.sha256.file_object()));
        for folder in ["bundles", "files"] {
            for object in self.store.list(&name(folder)).await? {
                if !named.contains(object.name.as_str()) {
                    self.store.delete(&object.name).await?;
                }
            }
        }
        Ok(())
    }
}

fn name(text: &str) -> ObjectName {
    text.parse().expect("objects of a rollout have names of letters, digits and a slash")
}
