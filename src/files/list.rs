//! Files by pattern, as a shell expands it.
//!
//! **Invariants**: folders are listed on a thread that may be abandoned, within the deadline of small files; names are in
//! byte order; a hidden file needs a pattern that begins with a dot.
//! **Not here**: opening the files ([`super::read`]).

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern, glob_with};

use super::{Expired, SHORT_DEADLINE, within, words};

/// The reason why files cannot be listed.
#[derive(Debug)]
pub(crate) enum ListError {
    /// The pattern is not one.
    Pattern(&'static str),
    /// More files match than the caller takes.
    TooMany,
    /// A folder could not be listed in time.
    Expired(Expired),
    /// The system refuses to list a folder.
    System(PathBuf, io::Error),
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListError::Pattern(reason) => f.write_str(reason),
            ListError::TooMany => f.write_str("too many files match"),
            ListError::Expired(error) => error.fmt(f),
            ListError::System(path, error) => write!(f, "`{}`: {}", path.display(), words(error)),
        }
    }
}

impl std::error::Error for ListError {}

/// Returns whether a text is a pattern, not the name of one file.
pub(crate) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// The files whose names match a pattern, which is relative to a folder; at most `most` of them.
///
/// `**` is refused: it would walk through every folder below.
pub(crate) fn matching(folder: &Path, pattern: &str, most: usize) -> Result<Vec<PathBuf>, ListError> {
    let (owned, text) = (folder.to_path_buf(), pattern.to_string());
    let listed = within(folder, SHORT_DEADLINE, move |caller| expand(&owned, &text, most, || caller.waits()));
    listed.map_err(ListError::Expired)?
}

/// Those of some paths whose names match a pattern, as [`matching`].
pub(super) fn matching_of<'p>(
    paths: impl Iterator<Item = &'p PathBuf>,
    folder: &Path,
    pattern: &str,
    most: usize,
) -> Result<Vec<PathBuf>, ListError> {
    let whole = Pattern::new(&whole(folder, pattern)?).map_err(|error| ListError::Pattern(error.msg))?;
    let found: Vec<_> = paths.filter(|path| whole.matches_path_with(path, OPTIONS)).cloned().collect();
    if found.len() > most { Err(ListError::TooMany) } else { Ok(found) }
}

const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// The pattern of whole paths.
fn whole(folder: &Path, pattern: &str) -> Result<String, ListError> {
    if pattern.contains("**") {
        return Err(ListError::Pattern("`**` is not supported: each folder needs a pattern of its own"));
    }
    // The folder itself is no pattern, whatever characters its name has.
    let folder_text = folder.to_str().ok_or(ListError::Pattern("the path of its folder is not UTF-8 text"))?;
    Ok(if Path::new(pattern).is_absolute() || folder_text.is_empty() {
        pattern.to_string()
    } else {
        format!("{}/{pattern}", Pattern::escape(folder_text))
    })
}

/// The same on this thread, which may be abandoned; gives up when no caller `waits`.
pub(super) fn expand(
    folder: &Path,
    pattern: &str,
    most: usize,
    waits: impl Fn() -> bool,
) -> Result<Vec<PathBuf>, ListError> {
    let whole = whole(folder, pattern)?;
    let mut paths = Vec::new();
    for found in glob_with(&whole, OPTIONS).map_err(|error| ListError::Pattern(error.msg))? {
        let path = found.map_err(|error| ListError::System(error.path().to_path_buf(), error.into()))?;
        if paths.len() == most {
            return Err(ListError::TooMany);
        }
        // If the caller has given up, the result is dropped anyway.
        if !waits() {
            break;
        }
        paths.push(path);
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_order_and_hidden_ones_are_left_out() {
        let outer = tempfile::tempdir().unwrap();
        // A folder whose name would be a pattern.
        let folder = outer.path().join("a[b]*");
        std::fs::create_dir(&folder).unwrap();
        for name in ["b.toml", "a.toml", ".hidden.toml", "c.toml~", "d.txt"] {
            std::fs::write(folder.join(name), "").unwrap();
        }
        let names = |pattern: &str, most| {
            matching(&folder, pattern, most).map_err(|error| error.to_string()).map(|paths| {
                paths.iter().map(|path| path.strip_prefix(&folder).unwrap().display().to_string()).collect::<Vec<_>>()
            })
        };
        assert_eq!(names("*.toml", 9), Ok(vec!["a.toml".into(), "b.toml".into()]));
        assert_eq!(names("*.toml", 1), Err("too many files match".into()));
        assert_eq!(names("none/*.toml", 9), Ok(vec![]));
        assert!(names("**/*.toml", 9).unwrap_err().contains("is not supported"));
        assert!(names("[a.toml", 9).is_err());
    }
}
