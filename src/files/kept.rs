//! Copies of files that are fetched: the last good one, the one before it, and one that was refused.
//!
//! Beside `FILE` stands `FILE.state`, a state file with the digests of the contents that were written, and the validators of
//! the current one. `FILE.previous` has the content before, `FILE.refused` the last content that was refused.
//!
//! **Invariants**: a file whose digest the state file does not list is an operator's: it is neither replaced nor removed. A
//! reader, also after a loss of power, finds the old content or the new one, and its digest in the state file. Validators hold
//! for the content with the digest beside them alone.
//! **Not here**: fetching (`refresh`), the formats (`load`).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::state::{self, StateForm, Useless, folder, keep_if, sync, with_suffix};
use super::{FileKind, ReadError, digest};
use crate::base::time::UnixTime;

/// The kind of the state file.
pub(crate) static FORM: StateForm = StateForm { name: "fetched", comment: "", is_old: |_| false };

/// The most digests of own contents that are remembered: those of the three files, before and after a change, and more.
const MAX_KNOWN: usize = 8;

/// The state of a fetched file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct CopyState {
    /// The content.
    pub(crate) current: Version,
    /// The last change of the content, in seconds since 1970.
    pub(crate) changed: u64,
    /// The last time at which the publisher had this content, in seconds since 1970.
    pub(crate) checked: u64,
    /// The server of the fleet that has asked the publisher at that time; `None` if this server has.
    #[serde(default)]
    pub(crate) checked_by: Option<String>,
    /// The content that an operator has taken back; it is not taken again.
    #[serde(default)]
    pub(crate) rejected: Option<Version>,
    /// The digests of contents that were written, the newest first.
    #[serde(default)]
    pub(crate) known: Vec<String>,
}

/// A content as it was fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Version {
    /// SHA-256, 64 hexadecimal digits.
    pub(crate) digest: String,
    /// The URL of its validators.
    #[serde(default)]
    pub(crate) url: String,
    /// `ETag` (RFC 9110 §8.8.3).
    #[serde(default)]
    pub(crate) etag: Option<String>,
    /// `Last-Modified` (RFC 9110 §8.8.2).
    #[serde(default)]
    pub(crate) last_modified: Option<String>,
}

/// The origin of a content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ContentOrigin {
    /// The publisher.
    Publisher,
    /// A server of the fleet, which has asked the publisher at this time.
    Peer(String, UnixTime),
    /// An operator takes it back, and this content must not be taken again.
    TakenBack(Version),
}

impl CopyState {
    /// Notes that the publisher has the current content; it is not known from an operator's word.
    pub(crate) fn note_check(&mut self, origin: &ContentOrigin, now: UnixTime) {
        (self.checked, self.checked_by, self.rejected) = match origin {
            ContentOrigin::Publisher => (now.0, None, None),
            ContentOrigin::Peer(server, at) => (at.0, Some(server.clone()), None),
            // A content that an operator goes back to is as old as before.
            ContentOrigin::TakenBack(rejected) => (self.changed, self.checked_by.take(), Some(rejected.clone())),
        };
    }

    /// True if this program has written a content with that digest.
    pub(crate) fn knows(&self, digest: &str) -> bool {
        self.known.iter().any(|known| known == digest)
    }

    fn note(&mut self, digest: &str) {
        self.known.retain(|known| known != digest);
        self.known.insert(0, digest.to_string());
        self.known.truncate(MAX_KNOWN);
    }
}

/// The state file of a copy.
pub(crate) fn state_path(path: &Path) -> PathBuf {
    with_suffix(path, ".state")
}

/// The content before the current one.
pub(crate) fn previous_path(path: &Path) -> PathBuf {
    with_suffix(path, ".previous")
}

/// The last content that was refused.
pub(crate) fn refused_path(path: &Path) -> PathBuf {
    with_suffix(path, ".refused")
}

/// The content that is being fetched. It is hidden, so that no pattern of file names matches it.
pub(crate) fn download_path(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    folder(path).join(format!(".{name}.download"))
}

/// The state of a copy; the default if there is none.
pub(crate) fn recall(path: &Path) -> Result<CopyState, Useless> {
    let found = state::peek(&state_path(path), &FORM, |text| serde_json::from_str(text).ok());
    match found {
        Ok(state) => Ok(state.unwrap_or_default()),
        Err(useless) if useless.may_be_replaced() => Ok(CopyState::default()),
        Err(useless) => Err(useless),
    }
}

/// Writes the state of a copy.
pub(crate) fn note(path: &Path, state: &CopyState) -> io::Result<()> {
    let text = serde_json::to_string(state).expect("a state is plain data");
    keep_if(&state_path(path), &FORM, &text, &|| true)
}

/// Makes the empty file for a content that is being fetched; one that a killed process has left is removed.
pub(crate) fn begin(path: &Path) -> io::Result<File> {
    let download = download_path(path);
    discard(&download)?;
    OpenOptions::new().read(true).write(true).create_new(true).custom_flags(libc::O_NOCTTY).open(download)
}

/// Removes a file of this module, if there is one.
pub(crate) fn discard(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Puts a downloaded content in the place of the copy; the copy becomes the previous one. It is on the disk when this returns.
/// Validators of another server's request do not come with its copy, so `new` has none then.
pub(crate) fn take(
    path: &Path,
    kind: FileKind,
    download: &Path,
    new: Version,
    origin: &ContentOrigin,
    now: UnixTime,
) -> io::Result<()> {
    let before = recall(path).map_err(io::Error::other)?;
    let replaced = replaceable(path, kind, &before)?;
    let previous = previous_path(path);
    let is_previous_ours = replaceable(&previous, kind, &before).is_ok();
    sync(download)?;
    let mut state = before;
    state.note_check(origin, now);
    state.changed = now.0;
    state.note(&new.digest);
    state.current = new;
    note(path, &state)?;
    if is_previous_ours && replaced.is_some_and(|replaced| replaced != state.current.digest) {
        let link = with_suffix(&previous, ".new");
        discard(&link)?;
        // Some file systems have no links.
        if fs::hard_link(path, &link).is_err() {
            fs::copy(path, &link)?;
        }
        fs::rename(&link, &previous)?;
    }
    fs::rename(download, path)?;
    sync(folder(path))
}

/// Keeps a content that was refused, for an operator to look at.
pub(crate) fn put_aside(path: &Path, kind: FileKind, download: &Path, digest: &str) -> io::Result<()> {
    let mut state = recall(path).map_err(io::Error::other)?;
    let refused = refused_path(path);
    replaceable(&refused, kind, &state)?;
    state.note(digest);
    note(path, &state)?;
    fs::rename(download, refused)
}

/// Copies the previous content to where contents are fetched to.
pub(crate) fn fetch_previous(path: &Path) -> io::Result<()> {
    let (mut source, _) = super::open(&previous_path(path)).map_err(io::Error::from)?;
    let mut download = begin(path)?;
    io::copy(&mut source, &mut download)?;
    download.flush()
}

/// The digest of a file that this program has written; `None` if there is no file, and an error if an operator has written it.
pub(crate) fn replaceable(path: &Path, kind: FileKind, state: &CopyState) -> io::Result<Option<String>> {
    match digest(path, kind) {
        Ok(digest) if state.knows(&digest) => Ok(Some(digest)),
        Ok(_) => Err(io::Error::other(foreign(path))),
        Err(ReadError::Missing) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The sentence about a file that this program has not written.
pub(crate) fn foreign(path: &Path) -> String {
    format!("`{}` is not a copy that pharos has fetched, and is left as it is", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::digest_of;

    fn version(text: &str) -> Version {
        Version { digest: digest_of(text.as_bytes()), etag: Some(format!("\"{text}\"")), ..Version::default() }
    }

    fn download(path: &Path, text: &str) -> PathBuf {
        begin(path).unwrap().write_all(text.as_bytes()).unwrap();
        download_path(path)
    }

    fn text(path: &Path) -> String {
        fs::read_to_string(path).unwrap_or_default()
    }

    fn put(path: &Path, content: &str, at: u64) -> io::Result<()> {
        take(path, FileKind::Feed, &download(path, content), version(content), &ContentOrigin::Publisher, UnixTime(at))
    }

    #[test]
    fn a_copy_is_replaced_and_the_one_before_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("aws.json");
        for (at, content) in [(1, "one"), (2, "two"), (3, "three")] {
            put(&path, content, at).unwrap();
        }
        assert_eq!((text(&path), text(&previous_path(&path))), ("three".into(), "two".into()));
        let state = recall(&path).unwrap();
        assert_eq!((state.current, state.changed, state.checked), (version("three"), 3, 3));
        fetch_previous(&path).unwrap();
        let back = ContentOrigin::TakenBack(version("three"));
        take(&path, FileKind::Feed, &download_path(&path), version("two"), &back, UnixTime(4)).unwrap();
        let state = recall(&path).unwrap();
        assert_eq!((state.checked, state.rejected), (3, Some(version("three"))));
        assert_eq!((text(&path), text(&previous_path(&path))), ("two".into(), "three".into()));
        put_aside(&path, FileKind::Feed, &download(&path, "bad"), &digest_of(b"bad")).unwrap();
        put_aside(&path, FileKind::Feed, &download(&path, "worse"), &digest_of(b"worse")).unwrap();
        assert_eq!((text(&refused_path(&path)), text(&path)), ("worse".into(), "two".into()));
        assert!(!download_path(&path).exists());
    }

    #[test]
    fn the_copy_of_a_peer_is_as_old_as_its_check_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("aws.json");
        put(&path, "one", 10).unwrap();
        let peer = ContentOrigin::Peer("fra1-a".into(), UnixTime(15));
        let new = Version { digest: digest_of(b"two"), ..Version::default() };
        take(&path, FileKind::Feed, &download(&path, "two"), new.clone(), &peer, UnixTime(20)).unwrap();
        let state = recall(&path).unwrap();
        assert_eq!((state.changed, state.checked, state.checked_by.as_deref()), (20, 15, Some("fra1-a")));
        assert_eq!(state.current, new, "without the validators of the content before");
        put(&path, "three", 30).unwrap();
        assert_eq!(recall(&path).unwrap().checked_by, None);
    }

    #[test]
    fn a_file_of_an_operator_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("aws.json");
        fs::write(&path, "mine").unwrap();
        assert!(put(&path, "one", 1).unwrap_err().to_string().contains("left as it is"));
        assert_eq!(text(&path), "mine");
        fs::remove_file(&path).unwrap();
        put(&path, "one", 1).unwrap();
        // An edit makes it the operator's.
        fs::write(&path, "edited").unwrap();
        assert!(put(&path, "two", 2).is_err());
        assert_eq!(text(&path), "edited");
        fs::write(&path, "one").unwrap();
        for aside in [previous_path(&path), refused_path(&path)] {
            fs::write(&aside, "mine").unwrap();
        }
        put(&path, "two", 2).unwrap();
        assert!(put_aside(&path, FileKind::Feed, &download(&path, "bad"), &digest_of(b"bad")).is_err());
        for aside in [previous_path(&path), refused_path(&path)] {
            assert_eq!(text(&aside), "mine");
        }
        assert_eq!(text(&path), "two");
    }

    #[test]
    fn a_process_that_is_killed_leaves_a_copy_that_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("aws.json");
        put(&path, "one", 1).unwrap();
        // Killed after the state was written, and before the content is in place.
        let mut state = recall(&path).unwrap();
        state.note(&digest_of(b"two"));
        state.current = version("two");
        note(&path, &state).unwrap();
        download(&path, "tw");
        let state = recall(&path).unwrap();
        let found = digest(&path, FileKind::Feed).unwrap();
        assert!(state.knows(&found) && state.current.digest != found);
        put(&path, "two", 2).unwrap();
        assert_eq!((text(&path), text(&previous_path(&path))), ("two".into(), "one".into()));
    }
}
