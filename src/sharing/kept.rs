//! Bundles on the local disk, beside the state of the fleet: the one in force, so that a start needs no store, and the one before.
//!
//! ```text
//! fleet.bundles/rollout.json     the record: the last rollout, and the bundle in force
//! fleet.bundles/bundles/DIGEST   bundles
//! fleet.bundles/files/DIGEST     the files in these
//! ```
//!
//! **Invariants**: an object is whole or absent, and its content is compared with its name before it is used.
//! **Not here**: the store ([`super::fetching`]), the moment at which the record changes ([`super::rollout`]).

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::files::shared::{SharedError, SharedFolder};
use crate::files::state::{StateForm, Useless, peek};
use crate::files::{self, FileKind, Layer, LayerFile, ReadError};
use crate::fleet::{Bundle, BundleFault, ContentDigest, MAX_BUNDLE_LEN, RejectedBundle, Rollout, ServiceHealth};

/// The kind of the record.
pub(crate) static ROLLOUT_STATE: StateForm = StateForm { name: "rollout", comment: "", is_old: |_| false };

/// The consequence of a record that cannot be written, for the log.
pub(crate) const ROLLOUT_UNKEPT: &str = "a start serves the bundle before";

/// The most objects of the folder that are looked at to remove old ones.
const MAX_KEPT: usize = 10_000;

/// The bundle in force, and the push by which it came.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct BundleInForce {
    /// The bundle.
    pub(crate) bundle: ContentDigest,
    /// The push.
    pub(crate) push: u64,
    /// The service in the minutes before. It is kept, because at a start no mirror is known to be down yet.
    pub(crate) before: ServiceHealth,
}

/// The record of bundles on the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct KeptRollout {
    /// The last rollout that was accepted, so that an older one is known as such.
    pub(crate) rollout: Option<Rollout>,
    /// The bundle in force. `None` if the local file alone is served.
    pub(crate) in_force: Option<BundleInForce>,
    /// The push that was rejected last. `None` once a later one is accepted.
    pub(crate) rejects: Option<RejectedBundle>,
}

impl KeptRollout {
    /// The record as JSON.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a record is plain data") + "\n"
    }
}

/// The reason why a bundle on the disk cannot be used.
#[derive(Debug)]
pub(crate) enum KeptFault {
    /// It cannot be read.
    Unread(PathBuf, ReadError),
    /// It is damaged, or of a later version.
    Damaged(PathBuf, BundleFault),
}

impl fmt::Display for KeptFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeptFault::Unread(path, error) => write!(f, "`{}`: {error}", path.display()),
            KeptFault::Damaged(path, fault) => write!(f, "`{}`: {fault}", path.display()),
        }
    }
}

/// The folder of bundles. Its calls wait for the disk.
#[derive(Clone, Debug)]
pub(crate) struct KeptBundles {
    root: PathBuf,
}

impl KeptBundles {
    /// The folder beside a file of state.
    pub(crate) fn beside(state: &Path) -> Self {
        KeptBundles { root: state.with_extension("bundles") }
    }

    /// The path of the record.
    pub(crate) fn record(&self) -> PathBuf {
        self.root.join("rollout.json")
    }

    /// Reads the record; an empty one if there is none.
    pub(crate) fn recall(&self) -> Result<KeptRollout, Useless> {
        let parse = |text: &str| serde_json::from_str(text).ok();
        peek(&self.record(), &ROLLOUT_STATE, parse).map(Option::unwrap_or_default)
    }

    /// Makes the folder, if it does not exist.
    pub(crate) fn make(&self) -> io::Result<()> {
        match fs::create_dir(&self.root) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }

    /// The bundle of a digest.
    pub(crate) fn bundle(&self, digest: &ContentDigest) -> Result<Bundle, KeptFault> {
        let path = self.root.join(digest.bundle_object());
        let contents = files::read(&path, FileKind::State).map_err(|error| KeptFault::Unread(path.clone(), error))?;
        let bytes = &contents.bytes[..contents.bytes.len().min(MAX_BUNDLE_LEN)];
        Bundle::decode(bytes, digest).map_err(|fault| KeptFault::Damaged(path, fault))
    }

    /// The bundle of a digest as a layer over the configuration at a path.
    pub(crate) fn layer(&self, digest: &ContentDigest, config: &Path) -> Result<Layer, KeptFault> {
        let bundle = self.bundle(digest)?;
        let folder = config.parent().unwrap_or(Path::new(""));
        let file = |(name, file): (String, crate::fleet::BundleFile)| {
            let path = self.root.join(file.sha256.file_object());
            (folder.join(name), LayerFile { path, digest: file.sha256.into() })
        };
        let texts = bundle.config.into_iter().map(|text| (folder.join(text.name), text.text)).collect();
        let name: Arc<str> = format!("bundle {digest}").into();
        Ok(Layer { name, texts, files: bundle.files.into_iter().map(file).collect() })
    }

    /// True if the folder has an object, with the content that its name says.
    pub(crate) fn has(&self, object: &str, digest: &ContentDigest) -> bool {
        let found = files::digest(&self.root.join(object), FileKind::State);
        found.is_ok_and(|found| found == digest.as_str())
    }

    /// Puts an object into the folder.
    pub(crate) fn put(&self, object: &str, bytes: &[u8]) -> Result<(), SharedError> {
        SharedFolder::at(self.root.clone()).write(object, bytes, &|| true)
    }

    /// Removes all objects but those of these bundles.
    pub(crate) fn retain(&self, bundles: &[ContentDigest]) -> Result<(), SharedError> {
        let mut named: BTreeSet<String> = bundles.iter().map(ContentDigest::bundle_object).collect();
        let files = bundles.iter().filter_map(|digest| self.bundle(digest).ok()).flat_map(|bundle| bundle.files);
        named.extend(files.map(|(_, file)| file.sha256.file_object()));
        let folder = SharedFolder::at(self.root.clone());
        for below in ["bundles", "files"] {
            for object in folder.list(below, MAX_KEPT)?.into_iter().filter(|object| !named.contains(&object.name)) {
                folder.remove(&object.name)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::fleet::{BundleFile, BundleText};

    fn put(kept: &KeptBundles, content: &str) -> ContentDigest {
        let sha256 = ContentDigest::of(content.as_bytes());
        kept.put(&sha256.file_object(), content.as_bytes()).unwrap();
        let file = BundleFile { sha256, len: content.len() as u64 };
        let text = BundleText { name: "pharos.toml".into(), text: String::new() };
        let bundle = Bundle::new(vec![text], BTreeMap::from([("zone".to_string(), file)])).unwrap();
        let digest = ContentDigest::of(&bundle.encode());
        kept.put(&digest.bundle_object(), &bundle.encode()).unwrap();
        digest
    }

    #[test]
    fn bundles_that_are_not_named_are_removed_with_their_files() {
        let folder = tempfile::tempdir().unwrap();
        let kept = KeptBundles::beside(&folder.path().join("fleet.json"));
        kept.make().unwrap();
        let [old, new] = ["old", "new"].map(|content| put(&kept, content));
        kept.retain(std::slice::from_ref(&new)).unwrap();
        assert!(matches!(kept.bundle(&old), Err(KeptFault::Unread(..))));
        let layer = kept.layer(&new, Path::new("/etc/pharos/pharos.toml")).unwrap();
        assert_eq!(layer.texts[0].0, Path::new("/etc/pharos/pharos.toml"));
        let file = &layer.files[Path::new("/etc/pharos/zone")];
        assert_eq!(fs::read_to_string(&file.path).unwrap(), "new");
        assert!(!kept.has(&ContentDigest::of(b"old").file_object(), &ContentDigest::of(b"old")));
        assert!(kept.has(&ContentDigest::of(b"new").file_object(), &ContentDigest::of(b"new")));
        fs::write(&file.path, "bad").unwrap();
        assert!(!kept.has(&ContentDigest::of(b"new").file_object(), &ContentDigest::of(b"new")));
    }
}
