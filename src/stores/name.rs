//! Names and versions of objects.
//!
//! **Invariants**: a name is a relative path without hidden parts, so that no store keeps it elsewhere than below its prefix,
//! and so that a file whose name starts with a dot is never an object.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest name in bytes. With a prefix of 256 bytes it stays below the 1,024 bytes of a key in S3.
pub const MAX_NAME: usize = 200;

/// The name of an object, such as `servers/fra1-a.json`, or the folder of some.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName(Arc<str>);

/// The error of a text that is no name of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadObjectName;

impl fmt::Display for BadObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "names of objects have 1 to {MAX_NAME} of `a-z0-9._-` in parts that a slash separates and no dot begins"
        )
    }
}

impl std::error::Error for BadObjectName {}

impl FromStr for ObjectName {
    type Err = BadObjectName;

    fn from_str(text: &str) -> Result<Self, BadObjectName> {
        let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
        let is_part = |part: &str| !part.is_empty() && !part.starts_with('.') && part.bytes().all(is_plain);
        if text.len() > MAX_NAME || !text.split('/').all(is_part) {
            return Err(BadObjectName);
        }
        Ok(ObjectName(text.into()))
    }
}

impl ObjectName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key of the object in a store whose keys start with a prefix.
    pub(super) fn key(&self, prefix: &str) -> String {
        if prefix.is_empty() { self.0.to_string() } else { format!("{prefix}/{}", self.0) }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name that a key has in a store; `None` if the key is another program's.
pub(super) fn name_of(key: &str, prefix: &str) -> Option<ObjectName> {
    let rest = if prefix.is_empty() { key } else { key.strip_prefix(prefix)?.strip_prefix('/')? };
    rest.parse().ok()
}

/// The version of an object. Each store has its own form; another version of an object is never equal.
#[derive(Clone, Debug)]
pub struct StoreVersion {
    /// The ETag without quotes, the revision of etcd, or the digest of the content.
    pub(super) tag: Arc<str>,
    /// The generation at Google, which alone conditions a write there; `None` elsewhere, and in lists.
    pub(super) generation: Option<Arc<str>>,
}

impl StoreVersion {
    pub(super) fn of(tag: &str) -> Self {
        StoreVersion { tag: tag.into(), generation: None }
    }
}

/// Equal if the tags are equal: a list has no generations.
impl PartialEq for StoreVersion {
    fn eq(&self, other: &Self) -> bool {
        self.tag == other.tag
    }
}

impl Eq for StoreVersion {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_below_its_prefix() {
        for text in ["a", "servers/fra1-a.json", "files/0123.x_y", "a..b"] {
            let name: ObjectName = text.parse().unwrap();
            assert_eq!(name_of(&name.key(""), ""), Some(name.clone()));
            assert_eq!(name_of(&name.key("p/q"), "p/q"), Some(name));
        }
        let long = "x".repeat(MAX_NAME + 1);
        for text in ["", "/a", "a/", "a//b", ".a", "a/.b", "..", "a/../b", "A", "a b", "a\\b", "ä", "a\0", &long] {
            assert_eq!(text.parse::<ObjectName>(), Err(BadObjectName), "{text:?}");
        }
        assert_eq!(name_of("prefix/a", "pre"), None);
        assert_eq!(name_of("prefix", "prefix"), None);
    }
}
