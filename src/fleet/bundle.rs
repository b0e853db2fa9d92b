//! A bundle: the parts of a configuration that are the same on all servers of a fleet, and the files that these parts name.
//!
//! A bundle is one object of JSON. It has the texts of the configuration, and of each file the digest and the length; the
//! contents are objects of their own, so that a file without a change is not sent again.
//!
//! **Invariants**: the digest of a bundle covers its texts and the digests of its files; a bundle that is read and encoded again
//! has the same bytes; the numbers and lengths of all parts are bounded.
//! **Not here**: the parts that a bundle has ([`crate::config`]), the pointer to a bundle ([`super::Rollout`]), the store.

use std::collections::BTreeMap;
use std::fmt;

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::base::text::{hex, is_hex};

/// The version of the format.
const FORM: u32 = 1;

/// The longest object of a bundle, in bytes: a configuration has at most 4 MiB, of which JSON makes some more.
pub(crate) const MAX_BUNDLE_LEN: usize = 16 << 20;

/// The most files of a bundle. A list of the objects of three bundles stays below [`crate::stores`]' limit.
pub(crate) const MAX_BUNDLE_FILES: usize = 2000;

/// The longest file of a bundle, in bytes: four times MaxMind's database of cities.
pub(crate) const MAX_BUNDLE_FILE_LEN: u64 = 256 << 20;

/// The most bytes of all files of a bundle: 1 GiB, as of the largest single file that a server reads.
pub(crate) const MAX_BUNDLE_FILES_LEN: u64 = 1 << 30;

/// The hexadecimal digits by which a digest is shown.
const SHOWN_DIGITS: usize = 12;

/// SHA-256 of a bundle or of a file in it, in 64 hexadecimal digits of lower case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct ContentDigest(String);

impl ContentDigest {
    /// The digest of bytes.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        ContentDigest(hex(digest(&SHA256, bytes).as_ref()))
    }

    /// All digits.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the object with the bundle of this digest.
    pub(crate) fn bundle_object(&self) -> String {
        format!("bundles/{}", self.0)
    }

    /// The name of the object with the copy of a source of this digest.
    pub(crate) fn source_object(&self) -> String {
        format!("sources/{}", self.0)
    }

    /// The name of the object with the file of this digest.
    pub(crate) fn file_object(&self) -> String {
        format!("files/{}", self.0)
    }
}

impl TryFrom<String> for ContentDigest {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        if is_hex(&text, 64) { Ok(ContentDigest(text)) } else { Err("not 64 hexadecimal digits") }
    }
}

impl From<ContentDigest> for String {
    fn from(digest: ContentDigest) -> String {
        digest.0
    }
}

/// The first digits, for people.
impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0[..SHOWN_DIGITS])
    }
}

impl fmt::Debug for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text of the configuration in a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct BundleText {
    /// The path of its file, relative to the folder of the main file.
    pub(crate) name: String,
    /// The shared parts, as TOML.
    pub(crate) text: String,
}

/// A file in a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct BundleFile {
    /// The digest of the content.
    pub(crate) sha256: ContentDigest,
    /// The length, in bytes.
    pub(crate) len: u64,
}

/// A bundle.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Bundle {
    form: u32,
    /// The texts of the configuration: that of the main file first, then the included ones in their order.
    pub(crate) config: Vec<BundleText>,
    /// The files by their paths, relative to the folder of the main file if not absolute.
    pub(crate) files: BTreeMap<String, BundleFile>,
}

/// The reason why a bundle cannot be made or used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BundleFault {
    /// It does not exist.
    Missing,
    /// The content has another digest.
    OtherDigest,
    /// The content is no bundle. A later version may have written it.
    Unreadable,
    /// It has more than [`MAX_BUNDLE_FILES`] files.
    TooManyFiles(usize),
    /// A file is longer than [`MAX_BUNDLE_FILE_LEN`].
    LongFile(String),
    /// All files have more than [`MAX_BUNDLE_FILES_LEN`] bytes.
    TooLong,
}

impl fmt::Display for BundleFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BundleFault::Missing => f.write_str("it is not in the store any more"),
            BundleFault::OtherDigest => f.write_str("its content does not have its digest: it is cut, or forged"),
            BundleFault::Unreadable => {
                f.write_str("it is not in the format of this version; compare the versions of both servers")
            }
            BundleFault::TooManyFiles(count) => write!(f, "it has {count} files; at most {MAX_BUNDLE_FILES} are sent"),
            BundleFault::LongFile(path) => {
                write!(f, "`{path}` is longer than {} MiB, the most of one file", MAX_BUNDLE_FILE_LEN >> 20)
            }
            BundleFault::TooLong => {
                write!(f, "its files have more than {} MiB, the most of a bundle", MAX_BUNDLE_FILES_LEN >> 20)
            }
        }
    }
}

impl Bundle {
    /// A bundle of texts and files within its limits.
    pub(crate) fn new(config: Vec<BundleText>, files: BTreeMap<String, BundleFile>) -> Result<Self, BundleFault> {
        Bundle { form: FORM, config, files }.checked()
    }

    /// The bytes of its object.
    pub(crate) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a bundle is plain data")
    }

    /// The bundle of a digest from the bytes of its object.
    pub(crate) fn decode(bytes: &[u8], digest: &ContentDigest) -> Result<Self, BundleFault> {
        if ContentDigest::of(bytes) != *digest {
            return Err(BundleFault::OtherDigest);
        }
        serde_json::from_slice::<Bundle>(bytes).map_err(|_| BundleFault::Unreadable)?.checked()
    }

    fn checked(self) -> Result<Self, BundleFault> {
        if self.form != FORM || self.config.is_empty() {
            return Err(BundleFault::Unreadable);
        }
        if self.files.len() > MAX_BUNDLE_FILES {
            return Err(BundleFault::TooManyFiles(self.files.len()));
        }
        if let Some((path, _)) = self.files.iter().find(|(_, file)| file.len > MAX_BUNDLE_FILE_LEN) {
            return Err(BundleFault::LongFile(path.clone()));
        }
        if self.files.values().map(|file| file.len).sum::<u64>() > MAX_BUNDLE_FILES_LEN {
            Err(BundleFault::TooLong)
        } else {
            Ok(self)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(len: u64, count: usize) -> Result<Bundle, BundleFault> {
        let file = |number| (format!("zones/{number}"), BundleFile { sha256: ContentDigest::of(b"x"), len });
        let text = BundleText { name: "pharos.toml".into(), text: "[guard]\n".into() };
        Bundle::new(vec![text], (0..count).map(file).collect())
    }

    #[test]
    fn a_bundle_reads_back_and_has_one_digest() {
        let made = bundle(7, 2).unwrap();
        let (bytes, digest) = (made.encode(), ContentDigest::of(&made.encode()));
        assert_eq!(Bundle::decode(&bytes, &digest), Ok(made.clone()));
        assert_eq!(made.encode(), bundle(7, 2).unwrap().encode());
        assert_ne!(ContentDigest::of(&bundle(8, 2).unwrap().encode()), digest);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(Bundle::decode(&changed, &digest), Err(BundleFault::OtherDigest), "{at}");
        }
        assert_eq!(Bundle::decode(b"{}", &ContentDigest::of(b"{}")), Err(BundleFault::Unreadable));
    }

    #[test]
    fn a_bundle_has_limits() {
        assert_eq!(bundle(1, MAX_BUNDLE_FILES + 1), Err(BundleFault::TooManyFiles(MAX_BUNDLE_FILES + 1)));
        assert_eq!(bundle(MAX_BUNDLE_FILE_LEN + 1, 1), Err(BundleFault::LongFile("zones/0".into())));
        assert!(bundle(MAX_BUNDLE_FILE_LEN, 4).is_ok());
        assert_eq!(bundle(MAX_BUNDLE_FILE_LEN, 5), Err(BundleFault::TooLong));
    }

    #[test]
    fn a_digest_is_64_digits_of_lower_case() {
        assert!(ContentDigest::try_from("0f".repeat(32)).is_ok());
        for wrong in [String::new(), "0F".repeat(32), "0f".repeat(31), "../".repeat(21) + "a"] {
            assert!(ContentDigest::try_from(wrong).is_err());
        }
    }
}
