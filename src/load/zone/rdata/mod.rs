//! Record data from master file tokens to wire form.
//!
//! In: a type and the tokens after it. Out: uncompressed rdata, or an error and the token that has it.
//!
//! The types that [`rdata::fields`] lists are read here, field by field. NLnet Labs' `domain` reads the others
//! ([`library`]), and data in the generic form of any type.
//!
//! **Invariants**: the rdata is valid data of its type, without compression.
//! **Not here**: owners, TTLs, directives ([`super::reader`]); wording ([`super::reason`]).
//!
//! RFC 1035 §5.1, RFC 3597 §5.

mod endpoints;
mod fields;
mod library;
mod location;
mod params;
mod tokens;
mod words;

use super::split::ZoneToken;
use crate::base::name::{Name, NameError};
use crate::base::rdata;
use crate::base::rr::Rtype;
use library::Library;
use tokens::Tokens;

/// Scans record data.
pub(super) struct RdataScanner {
    library: Library,
    /// The rdata.
    rdata: Vec<u8>,
}

/// The reason why tokens are not the data of a type.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RdataError {
    /// The token of this index is not a domain name.
    BadName(usize, NameError),
    /// There are too few tokens.
    TooShort,
    /// The tokens from this index on are too many.
    TooLong(usize),
    /// The type is known, but the text form of its data is not.
    NoTextForm,
    /// RFC 3597 data of a known type that is not the data of that type.
    NotOfType,
    /// The token of this index is wrong, for this reason.
    Bad(usize, String),
}

impl RdataScanner {
    /// A scanner.
    pub(super) fn new() -> Self {
        RdataScanner { library: Library::new(), rdata: Vec::new() }
    }

    /// The rdata of type `rtype` written as `tokens` of `text`, where names are relative to `origin`.
    pub(super) fn scan(
        &mut self,
        text: &[u8],
        rtype: Rtype,
        tokens: &[ZoneToken],
        origin: Name<'_>,
    ) -> Result<&[u8], RdataError> {
        self.rdata.clear();
        match rdata::fields(rtype) {
            Some(fields) if !is_generic(text, tokens) => {
                fields::scan(fields, Tokens::new(text, tokens, origin), &mut self.rdata)?;
            }
            _ => self.library.scan(text, rtype, tokens, origin, &mut self.rdata)?,
        }
        if rdata::is_valid(rtype, &self.rdata) { Ok(&self.rdata) } else { Err(RdataError::NotOfType) }
    }
}

/// Whether data starts with `\#`, which is followed by its length and hex (RFC 3597 §5).
fn is_generic(text: &[u8], tokens: &[ZoneToken]) -> bool {
    tokens.first().is_some_and(|token| &text[token.range.clone()] == b"\\#")
}

/// The token that is the host in the data of a type to which names are relative by mistake; `None` for other types.
pub(super) fn host_position(rtype: Rtype) -> Option<usize> {
    match rtype {
        Rtype::NS | Rtype::CNAME | Rtype::DNAME | Rtype::PTR => Some(0),
        Rtype::MX => Some(1),
        Rtype::SRV => Some(3),
        _ => None,
    }
}
