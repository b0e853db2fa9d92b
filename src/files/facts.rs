//! The facts of a file as the system has them: type, identity, length, times, and the users that may use it.
//!
//! **Not here**: opening and looking up ([`super::look_up`]).

use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::time::{Duration, SystemTime};

use crate::base::words::words;

/// The facts of a file, as the system has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileFacts {
    /// The type of the file.
    pub(crate) nature: Nature,
    /// Device and inode: equal for two names of one file.
    pub(crate) identity: (u64, u64),
    /// Its length in bytes.
    pub(crate) len: u64,
    /// Last changes of the contents, and of contents, owner, mode or links: seconds and nanoseconds since 1970.
    pub(crate) changed: [(i64, i64); 2],
    mode: u32,
    owner: u32,
}

words! {
    /// The type of a file.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Nature: Display {
        /// A regular file.
        File = "a regular file",
        /// A folder.
        Folder = "a folder",
        /// A named pipe.
        Pipe = "a named pipe",
        /// A socket.
        Socket = "a socket",
        /// A character or block device.
        Device = "a device",
    }
}

impl FileFacts {
    /// The facts of a file in memory, which no other process can read; `number` distinguishes it from other such files.
    pub(super) fn of_memory(number: u64, len: u64) -> Self {
        FileFacts { nature: Nature::File, identity: (0, number), len, changed: [(0, 0); 2], mode: 0o600, owner: 0 }
    }

    pub(super) fn of(metadata: &Metadata) -> Self {
        let kind = metadata.file_type();
        let nature = match () {
            () if kind.is_file() => Nature::File,
            () if kind.is_dir() => Nature::Folder,
            () if kind.is_fifo() => Nature::Pipe,
            () if kind.is_socket() => Nature::Socket,
            () => Nature::Device,
        };
        FileFacts {
            nature,
            identity: (metadata.dev(), metadata.ino()),
            len: metadata.len(),
            changed: [(metadata.mtime(), metadata.mtime_nsec()), (metadata.ctime(), metadata.ctime_nsec())],
            mode: metadata.mode(),
            owner: metadata.uid(),
        }
    }

    /// The time of the last change of the contents.
    pub(crate) fn modified(&self) -> SystemTime {
        let [(seconds, nanoseconds), _] = self.changed;
        let whole = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.try_into().unwrap_or(0));
        whole + Duration::from_nanos(nanoseconds.try_into().unwrap_or(0))
    }

    /// The other users that may use a file with secrets, and the use, in words; `None` if its mode keeps it to the users that
    /// need it.
    ///
    /// A file of root's that a group may read is fine: it is how a server without root's rights is given a file.
    pub(crate) fn exposure(&self) -> Option<&'static str> {
        const ROOT: u32 = 0;
        match self.mode & 0o777 {
            mode if mode & 0o002 != 0 => Some("every user of this machine may change"),
            mode if mode & 0o005 != 0 => Some("every user of this machine may read"),
            mode if mode & 0o020 != 0 => Some("a group may change"),
            mode if mode & 0o050 != 0 && self.owner != ROOT => Some("a group may read"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::files::look_up;

    #[test]
    fn a_mode_that_lets_others_at_a_secret_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "").unwrap();
        let said = |mode, owner| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            FileFacts { owner, ..look_up(&path).unwrap() }.exposure()
        };
        assert_eq!((said(0o600, 0), said(0o400, 7), said(0o640, 0)), (None, None, None));
        assert_eq!((said(0o440, 0), said(0o640, 7)), (None, Some("a group may read")));
        assert_eq!(
            (said(0o660, 0), said(0o644, 0)),
            (Some("a group may change"), Some("every user of this machine may read"))
        );
        assert_eq!(said(0o666, 0), Some("every user of this machine may change"));
    }
}
