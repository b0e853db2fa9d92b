//! The tokens of one record's data, taken one after the other.
//!
//! **Invariants**: a token is taken once; errors name the token at fault by its index.
//! **Not here**: the form of fields ([`super::fields`]).

use std::net::{Ipv4Addr, Ipv6Addr};

use data_encoding::Encoding;

use super::RdataError;
use crate::base::name::{Name, NameBuf};
use crate::base::rr::Rtype;
use crate::load::zone::names;
use crate::load::zone::split::ZoneToken;

/// Tokens to be taken.
pub(super) struct Tokens<'t> {
    text: &'t [u8],
    tokens: &'t [ZoneToken],
    at: usize,
    origin: Name<'t>,
    /// True if numbers and addresses may be in quotes.
    pub(super) are_quotes_taken: bool,
}

/// A token that was taken.
#[derive(Clone, Copy)]
pub(super) struct RdataWord<'t> {
    /// Its index among the tokens of the data.
    pub(super) index: usize,
    /// Its content, without quotes, escapes as written.
    pub(super) bytes: &'t [u8],
    /// It is in quotes.
    pub(super) is_quoted: bool,
}

impl<'t> Tokens<'t> {
    /// The tokens of `text` that are data of a type, names in which are relative to `origin`.
    pub(super) fn new(text: &'t [u8], rtype: Rtype, tokens: &'t [ZoneToken], origin: Name<'t>) -> Self {
        // Common types, in whose data NSD reads numbers and addresses in quotes.
        let are_quotes_taken = matches!(rtype.0, 1..=9 | 12 | 14 | 15 | 17 | 28 | 33 | 35 | 39 | 47 | 50 | 51 | 63);
        Tokens { text, tokens, at: 0, origin, are_quotes_taken }
    }

    /// Returns whether all are taken.
    pub(super) fn are_over(&self) -> bool {
        self.at == self.tokens.len()
    }

    /// Takes the next token.
    pub(super) fn next(&mut self) -> Result<RdataWord<'t>, RdataError> {
        let token = self.tokens.get(self.at).ok_or(RdataError::TooShort)?;
        let word = RdataWord { index: self.at, bytes: token.content(self.text), is_quoted: token.is_quoted };
        self.at += 1;
        Ok(word)
    }

    /// Takes the next token, which is not in quotes unless quotes are taken.
    pub(super) fn bare(&mut self) -> Result<RdataWord<'t>, RdataError> {
        let word = self.next()?;
        if word.is_quoted && !self.are_quotes_taken { Err(word.bad("quotes cannot be used here")) } else { Ok(word) }
    }

    /// Takes the next token if it follows the one before without a gap.
    pub(super) fn joined(&mut self) -> Option<RdataWord<'t>> {
        if self.tokens.get(self.at)?.is_joined { self.next().ok() } else { None }
    }

    /// Takes the next token if it is this one.
    pub(super) fn take(&mut self, written: &[u8]) -> bool {
        let is_next = self.tokens.get(self.at).is_some_and(|token| &self.text[token.range.clone()] == written);
        self.at += usize::from(is_next);
        is_next
    }

    /// The error of the token that was taken last.
    pub(super) fn bad(&self, reason: &str) -> RdataError {
        RdataError::Bad(self.at - 1, reason.into())
    }

    /// Takes a number of at most `most`.
    pub(super) fn number(&mut self, most: u32) -> Result<u32, RdataError> {
        self.bare()?.number(most)
    }

    /// Takes a domain name.
    pub(super) fn name(&mut self) -> Result<NameBuf, RdataError> {
        let word = self.next()?;
        names::resolve(word.bytes, self.origin).map_err(|error| RdataError::BadName(word.index, error))
    }

    /// Takes all tokens that are left, one at least, as one text in an encoding, and appends its bytes to `out`. The reason is
    /// that of the error.
    pub(super) fn encoded(&mut self, encoding: &Encoding, reason: &str, out: &mut Vec<u8>) -> Result<(), RdataError> {
        let mut all = self.bare()?.text().to_string();
        while !self.are_over() {
            all.push_str(self.bare()?.text());
        }
        out.extend_from_slice(&encoding.decode(all.as_bytes()).map_err(|_| self.bad(reason))?);
        Ok(())
    }

    /// An error if a token is left.
    pub(super) fn finish(self) -> Result<(), RdataError> {
        if self.are_over() { Ok(()) } else { Err(RdataError::TooLong(self.at)) }
    }
}

impl<'t> RdataWord<'t> {
    /// The error of this token.
    pub(super) fn bad(self, reason: impl Into<String>) -> RdataError {
        RdataError::Bad(self.index, reason.into())
    }

    /// The content if it is UTF-8, which all that is not in quotes is; otherwise nothing, which no field accepts.
    pub(super) fn text(self) -> &'t str {
        std::str::from_utf8(self.bytes).unwrap_or_default()
    }

    /// The number that the content is, of at most `most`.
    pub(super) fn number(self, most: u32) -> Result<u32, RdataError> {
        let is_number = !self.bytes.is_empty() && self.bytes.iter().all(u8::is_ascii_digit);
        if !is_number {
            return Err(self.bad("expected decimal number"));
        }
        let number = self.text().parse().ok().filter(|number| *number <= most);
        number.ok_or_else(|| self.bad("decimal number overflow"))
    }

    /// The IPv4 address that the content is.
    pub(super) fn v4(self) -> Result<Ipv4Addr, RdataError> {
        self.text().parse().map_err(|_| self.bad("expected IPv4 address"))
    }

    /// The IPv6 address that the content is.
    pub(super) fn v6(self) -> Result<Ipv6Addr, RdataError> {
        self.text().parse().map_err(|_| self.bad("expected IPv6 address"))
    }

    /// The content with its escapes resolved (RFC 1035 §5.1).
    pub(super) fn unescaped(self) -> Result<Vec<u8>, RdataError> {
        let mut bytes = Vec::with_capacity(self.bytes.len());
        let mut rest = self.bytes;
        while let Some((&first, after)) = rest.split_first() {
            rest = after;
            if first != b'\\' {
                bytes.push(first);
                continue;
            }
            let digits = after.first_chunk::<3>().filter(|digits| digits.iter().all(u8::is_ascii_digit));
            match (digits, after.first()) {
                (Some(digits), _) => {
                    let number = digits.iter().fold(0u32, |number, digit| number * 10 + u32::from(digit - b'0'));
                    bytes.push(u8::try_from(number).map_err(|_| self.bad("bad symbol"))?);
                    rest = &after[3..];
                }
                (None, Some(byte)) if !byte.is_ascii_digit() => {
                    bytes.push(*byte);
                    rest = &after[1..];
                }
                _ => return Err(self.bad("bad symbol")),
            }
        }
        Ok(bytes)
    }
}
