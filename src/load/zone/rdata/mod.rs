//! Record data from master file tokens to wire form.
//!
//! In: a type and the tokens after it. Out: uncompressed rdata, or an error and the token that has it.
//!
//! Data is read field by field, by the table [`rdata::fields`], or in the generic form of any type.
//!
//! **Invariants**: the rdata is valid data of its type, without compression.
//! **Not here**: owners, TTLs, directives ([`super::reader`]); wording ([`super::reason`]).
//!
//! RFC 1035 §5.1, RFC 3597 §5.

mod endpoints;
mod fields;
mod location;
mod params;
mod tokens;
mod words;

use super::split::ZoneToken;
use crate::base::name::{Name, NameError};
use crate::base::rdata;
use crate::base::rr::Rtype;
use tokens::Tokens;

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

/// Writes the data of type `rtype` to `rdata`. It is written as `tokens` of `text`, in which names are relative to `origin`.
pub(super) fn scan(
    text: &[u8],
    rtype: Rtype,
    tokens: &[ZoneToken],
    origin: Name<'_>,
    rdata: &mut Vec<u8>,
) -> Result<(), RdataError> {
    rdata.clear();
    let mut tokens = Tokens::new(text, rtype, tokens, origin);
    match rdata::fields(rtype) {
        _ if tokens.take(b"\\#") => fields::generic(tokens, rdata)?,
        Some(fields) => fields::scan(fields, tokens, rdata)?,
        None => return Err(RdataError::NoTextForm),
    }
    if rdata::is_valid(rtype, rdata) { Ok(()) } else { Err(RdataError::NotOfType) }
}
