//! Record data by the `domain` crate.
//!
//! The crate gets one record at a time, on a line of its own, with names made absolute. So an error costs one record, and
//! the column in the crate's error leads back to a token. This module does the rest: `@` and empty labels in rdata (the
//! crate makes a label `@`, and an empty one), bytes beyond ASCII in strings, time units in an SOA.
//!
//! **Not here**: the types whose text the crate does not read, or reads otherwise than other servers ([`super::fields`]).

use std::io::Write as _;

use domain::base::iana::{Class, Rtype as DomainRtype};
use domain::base::name::ParsedName;
use domain::base::rdata::{ComposeRecordData, ParseRecordData};
use domain::dep::octseq::Parser;
use domain::rdata::ZoneRecordData;
use domain::zonefile::inplace::{Entry as ScannedEntry, Zonefile};

use super::{RdataError, is_generic};
use crate::base::name::{Name, NameBuf};
use crate::base::rr::Rtype;
use crate::load::zone::names;
use crate::load::zone::split::ZoneToken;

/// A scanner of the crate.
pub(super) struct Library {
    zonefile: Zonefile,
    /// The line for the crate.
    line: Vec<u8>,
    /// The start of each token in `line`.
    starts: Vec<usize>,
}

impl Library {
    /// A scanner.
    pub(super) fn new() -> Self {
        Library { zonefile: fresh(), line: Vec::new(), starts: Vec::new() }
    }

    /// Writes the data of type `rtype` to `rdata`.
    pub(super) fn scan(
        &mut self,
        text: &[u8],
        rtype: Rtype,
        tokens: &[ZoneToken],
        origin: Name<'_>,
        rdata: &mut Vec<u8>,
    ) -> Result<(), RdataError> {
        self.write_line(text, rtype, tokens, origin)?;
        // The crate counts lines since it was made, so the line of an error shows whether the end of this line was passed.
        self.zonefile.extend_from_slice(&self.line);
        let record = match self.zonefile.next_entry() {
            Ok(Some(ScannedEntry::Record(record))) => record,
            Ok(_) => return Err(self.fail(RdataError::TooShort)),
            Err(error) => {
                let error = self.explain(&error.to_string(), tokens);
                return Err(self.fail(error));
            }
        };
        match record.data().compose_rdata(rdata) {
            Ok(()) => {}
            Err(never) => match never {},
        }
        if round_trips(rtype, rdata) { Ok(()) } else { Err(RdataError::NotOfType) }
    }

    /// Starts over: after an error the crate's scanner is of no use.
    fn fail(&mut self, error: RdataError) -> RdataError {
        self.zonefile = fresh();
        error
    }

    /// Writes `@ TYPE token…` with names made absolute.
    fn write_line(
        &mut self,
        text: &[u8],
        rtype: Rtype,
        tokens: &[ZoneToken],
        origin: Name<'_>,
    ) -> Result<(), RdataError> {
        self.line.clear();
        self.starts.clear();
        self.line.extend_from_slice(b"@ TYPE");
        write_number(&mut self.line, rtype.0.into());
        let is_generic = is_generic(text, tokens);
        let names: &[usize] = if is_generic { &[] } else { name_positions(rtype) };
        for (index, token) in tokens.iter().enumerate() {
            if !token.is_joined || index == 0 {
                self.line.push(b' ');
            }
            self.starts.push(self.line.len());
            let written = &text[token.range.clone()];
            if names.contains(&index) {
                let name =
                    names::resolve(token.content(text), origin).map_err(|error| RdataError::BadName(index, error))?;
                write_name(&mut self.line, &name);
            } else if rtype == Rtype::SOA && !is_generic && index > 2 {
                match names::parse_time(written).and_then(|seconds| u32::try_from(seconds).ok()) {
                    Some(seconds) => write_number(&mut self.line, seconds),
                    None => self.line.extend_from_slice(written),
                }
            } else {
                write_octets(&mut self.line, written);
            }
        }
        self.line.push(b'\n');
        Ok(())
    }

    /// The crate's error `line:column: reason` as ours.
    fn explain(&self, error: &str, tokens: &[ZoneToken]) -> RdataError {
        let mut parts = error.splitn(3, ':');
        let (_, column, reason) = (parts.next(), parts.next(), parts.next().unwrap_or(error).trim());
        let column = column.and_then(|column| column.trim().parse::<usize>().ok()).unwrap_or(1);
        // The column, from 1, is the position after the last byte that the crate has read. Past the line end it is 1 again.
        let read = if column <= 1 { self.line.len() } else { column - 1 };
        let last = tokens.len().saturating_sub(1);
        let begun = self.starts.iter().filter(|start| **start < read).count();
        match reason {
            "unexpected end of entry" | "short buffer" | "empty TXT record" => RdataError::TooShort,
            "unknown record type with concrete data" => RdataError::NoTextForm,
            // It has read up to the first one that is too many.
            "trailing tokens" => RdataError::TooLong(begun.min(last)),
            _ if tokens.is_empty() => RdataError::TooShort,
            _ => RdataError::Bad(begun.saturating_sub(1).min(last), reason.to_owned()),
        }
    }
}

/// A scanner of the crate for lines made by `RdataScanner::write_line`; owner and TTL in them have no meaning.
fn fresh() -> Zonefile {
    let mut zonefile = Zonefile::new();
    zonefile.set_origin(domain::base::Name::root_bytes());
    zonefile.set_default_class(Class::IN);
    zonefile
}

/// True if rdata parses as data of its type and is written the same again: no compression, no bytes left over.
fn round_trips(rtype: Rtype, rdata: &[u8]) -> bool {
    let mut parser = Parser::from_ref(rdata);
    let parsed = match ZoneRecordData::<&[u8], ParsedName<&[u8]>>::parse_rdata(rtype_of(rtype), &mut parser) {
        Ok(Some(parsed)) => parsed,
        Ok(None) => return true,
        Err(_) => return false,
    };
    let mut again = Vec::with_capacity(rdata.len());
    match parsed.compose_rdata(&mut again) {
        Ok(()) => {}
        Err(never) => match never {},
    }
    parser.remaining() == 0 && again == rdata
}

/// The crate's form of a type.
fn rtype_of(rtype: Rtype) -> DomainRtype {
    DomainRtype::from_int(rtype.0)
}

/// The tokens of a record's data that are domain names.
fn name_positions(rtype: Rtype) -> &'static [usize] {
    match rtype_of(rtype) {
        DomainRtype::NS
        | DomainRtype::CNAME
        | DomainRtype::PTR
        | DomainRtype::DNAME
        | DomainRtype::MB
        | DomainRtype::MD
        | DomainRtype::MF
        | DomainRtype::MG
        | DomainRtype::MR
        | DomainRtype::NSEC => &[0],
        DomainRtype::SOA | DomainRtype::RP | DomainRtype::MINFO => &[0, 1],
        DomainRtype::MX => &[1],
        DomainRtype::SRV => &[3],
        DomainRtype::NAPTR => &[5],
        _ => &[],
    }
}

/// Writes the name as absolute text; this is done for every name, so without formatting.
fn write_name(line: &mut Vec<u8>, name: &NameBuf) {
    if name.as_name().is_root() {
        line.push(b'.');
    }
    for label in name.as_name().labels() {
        for &octet in label {
            match octet {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'*' => line.push(octet),
                _ => escape(line, octet),
            }
        }
        line.push(b'.');
    }
}

/// Writes a token: printable ASCII as it is, other bytes as escapes.
fn write_octets(line: &mut Vec<u8>, written: &[u8]) {
    for &octet in written {
        match octet {
            0x20..=0x7e => line.push(octet),
            _ => escape(line, octet),
        }
    }
}

fn escape(line: &mut Vec<u8>, octet: u8) {
    line.extend_from_slice(&[b'\\', b'0' + octet / 100, b'0' + octet / 10 % 10, b'0' + octet % 10]);
}

fn write_number(line: &mut Vec<u8>, number: u32) {
    // Writing to memory does not fail.
    let _ = write!(line, "{number}");
}
