//! A layer: texts and files of a bundle that stand over those of the disk, while one configuration is read.
//!
//! **Invariants**: a file of a layer is used only if its content has the digest of the bundle, at each read.
//! **Not here**: the parts of the configuration that a layer has ([`crate::config`]), bundles ([`crate::fleet`]).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Contents, FileKind, ReadError, digest_of, read};

/// Texts and files that stand over those of the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layer {
    /// The name for diagnostics, such as `bundle 0123456789ab`.
    pub(crate) name: Arc<str>,
    /// The texts of the configuration, each with the path that its file would have here.
    pub(crate) texts: Vec<(PathBuf, String)>,
    /// The files by the paths that these would have here.
    pub(crate) files: BTreeMap<PathBuf, LayerFile>,
}

/// The content of a file in a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LayerFile {
    /// The file that keeps it.
    pub(crate) path: PathBuf,
    /// SHA-256 of it, 64 hexadecimal digits.
    pub(crate) digest: String,
}

impl Layer {
    /// The name of a text in diagnostics. It is in the folder of its file, to which the paths in the text are relative.
    pub(crate) fn shown(&self, path: &Path) -> Arc<str> {
        format!("{} ({})", path.display(), self.name).into()
    }
}

impl LayerFile {
    /// Reads the content, and checks its digest.
    pub(super) fn read(&self, kind: FileKind) -> Result<Contents, ReadError> {
        let contents = read(&self.path, kind)?;
        if digest_of(&contents.bytes) == self.digest { Ok(contents) } else { Err(ReadError::OtherDigest) }
    }
}
