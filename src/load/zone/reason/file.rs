//! The errors and warnings about whole files: their form, their size, and files that include each other.
//!
//! **Not here**: the text of a file ([`super`]).

use std::io;
use std::path::Path;

use super::error;
use crate::base::diagnostic::{Diagnostic, Place};
use crate::files::words;
use crate::load::zone::sources::ZoneLine;
use crate::load::zone::sources::ZoneSource;
use crate::load::zone::split::ZoneToken;
use crate::load::zone::{MAX_FILE_LEN, MAX_INCLUDE_DEPTH, MAX_INCLUDES};

/// The code of errors about files that cannot be read.
pub(in crate::load::zone) const UNREADABLE: &str = "unreadable-file";

/// A file that is no master file, as its first bytes show.
pub(in crate::load::zone) fn wrong_kind_of_file(source: &ZoneSource) -> Option<Diagnostic> {
    let start = source.text.iter().position(|octet| !octet.is_ascii_whitespace()).unwrap_or(0);
    if source.text.get(start) == Some(&b'<') {
        let end =
            source.text[start..].iter().position(|octet| *octet == b'\n').map_or(source.text.len(), |at| start + at);
        return Some(
            Diagnostic::error("html-file", format!("`{}` is an HTML page, not a master file", source.file))
                .at(source.place(start..end), "")
                .help("it may be the error page of a download that failed; fetch the zone again"),
        );
    }
    let at = source.text.iter().position(|octet| *octet == 0)?;
    Some(
        Diagnostic::error("binary-file", format!("`{}` is not text", source.file))
            .at(source.place(at..at + 1), "a zero octet")
            .help(
                "a master file is text; BIND's raw and map formats are turned into it by `named-compilezone -F text`",
            ),
    )
}

/// A text that ends in the middle of a line.
pub(in crate::load::zone) fn missing_line_end(source: &ZoneSource) -> Option<Diagnostic> {
    let last = *source.text.last()?;
    let start = source.text.iter().rposition(|octet| *octet == b'\n').map_or(0, |at| at + 1);
    if last == b'\n' || source.text[start..].iter().all(u8::is_ascii_whitespace) {
        return None;
    }
    Some(
        Diagnostic::warning("no-line-end", format!("the last line of `{}` does not end", source.file))
            .at(source.place(start..source.text.len()), "is this all of it?")
            .help("the file may be cut short; if it is whole, end it with a line feed"),
    )
}

/// A text without records.
pub(in crate::load::zone) fn no_records(file: Place) -> Diagnostic {
    let message = format!("`{}` has no records", file.file);
    Diagnostic::error("empty-zone", message)
        .at(file, "")
        .help("a zone has at least an SOA and an NS record; the file may be empty or cut short")
}

/// A file that includes itself, maybe through others.
pub(in crate::load::zone) fn include_loop(line: ZoneLine<'_>, token: &ZoneToken, path: &Path) -> Box<Diagnostic> {
    let message = format!("`{}` includes itself", path.display());
    error(line, token, "include-loop", message, "being read already", "remove one of the `$INCLUDE`s")
}

/// Files in files in files.
pub(in crate::load::zone) fn include_too_deep(line: ZoneLine<'_>) -> Box<Diagnostic> {
    let message = format!("files include each other more than {MAX_INCLUDE_DEPTH} deep");
    let help = "include the files from one that lists them";
    error(line, &line.entry.tokens[0], "include-too-deep", message, "one too many", help)
}

/// Too many included files.
pub(in crate::load::zone) fn too_many_includes(line: ZoneLine<'_>) -> Box<Diagnostic> {
    let message = format!("the zone includes more than {MAX_INCLUDES} files");
    let help = "put the records into fewer files";
    error(line, &line.entry.tokens[0], "too-many-includes", message, "one too many", help)
}

/// A file that cannot be included.
pub(in crate::load::zone) fn include_failed(
    line: ZoneLine<'_>,
    token: &ZoneToken,
    path: &Path,
    why: &io::Error,
) -> Box<Diagnostic> {
    let message = format!("cannot read `{}`: {}", path.display(), words(why));
    let help = "the path is relative to the file that includes it";
    error(line, token, UNREADABLE, message, "included here", help)
}

/// A file that is too much together with those before.
pub(in crate::load::zone) fn files_too_large(line: ZoneLine<'_>, token: &ZoneToken) -> Box<Diagnostic> {
    let message = format!("the files of the zone have more than {} MiB together", MAX_FILE_LEN >> 20);
    let help = "split the zone by delegating parts of it";
    error(line, token, "file-too-large", message, "one too many", help)
}

/// The zone's own file cannot be read; `place` is where the config names it.
pub(in crate::load::zone) fn unreadable(path: &Path, place: Place, why: &io::Error) -> Diagnostic {
    Diagnostic::error(UNREADABLE, format!("cannot read zone file `{}`: {}", path.display(), words(why)))
        .at(place, "named here")
        .help("the path is relative to the config file; check that it exists and may be read")
}
