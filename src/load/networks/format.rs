//! The type of a format: a parser, and the words of its diagnostics.
//!
//! **Invariants**: all that distinguishes one format from another in a message or in the choice of a parser is a field.
//! **Not here**: the formats, each in the file of its parser.

use super::LoadedSource;
use super::gather::Gather;
use crate::base::diagnostic::Diagnostic;
use crate::config::Network;

/// The format of a kind of file.
pub(super) struct Format {
    /// Its name in messages, with its article.
    pub(super) noun: &'static str,
    /// Outermost keys of its document, each of which distinguishes it from the documents of later kinds. Empty if it is no JSON
    /// object.
    pub(super) keys: &'static [&'static str],
    /// Its parser.
    pub(super) parser: Parser,
}

/// A parser of files.
pub(super) enum Parser {
    /// Of the text of a file, entry by entry.
    Text(fn(&mut Gather<'_>) -> Result<(), Vec<Diagnostic>>),
    /// Of the bytes of a file.
    Bytes(fn(&Network, Vec<u8>) -> Result<LoadedSource, Vec<Diagnostic>>),
}
