//! Record data from master file tokens to wire form, by the `domain` crate.
//!
//! In: a type and the tokens after it. Out: uncompressed rdata, or what is wrong and with which token.
//!
//! The crate gets one record at a time, on a line of its own, with names made absolute. So an error costs one record, the
//! column the crate tells leads back to a token, and what it does not do itself is done here: `@` and empty labels
//! in rdata (it makes a label `@`, and an empty one), octets beyond ASCII in strings, time units in an SOA.
//!
//! **Invariants**: what comes out parses again as what it is, and without compression.
//! **Not here**: owners, TTLs, directives ([`super::reader`]); wording ([`super::reason`]).
//!
//! RFC 1035 §5.1, RFC 3597 §5.

use std::io::Write as _;

use domain::base::iana::{Class, Rtype as DomainRtype};
use domain::base::name::ParsedName;
use domain::base::rdata::{ComposeRecordData, ParseRecordData};
use domain::dep::octseq::Parser;
use domain::rdata::ZoneRecordData;
use domain::zonefile::inplace::{Entry as ScannedEntry, Zonefile};

use super::names;
use super::split::{Form, Gap, Token};
use crate::base::name::{Name, NameBuf, NameError};
use crate::base::rr::Rtype;

/// Scans record data.
pub(super) struct RdataScanner {
    zonefile: Zonefile,
    /// The line for the crate.
    line: Vec<u8>,
    /// Where each token starts in `line`.
    starts: Vec<usize>,
    /// The rdata.
    rdata: Vec<u8>,
}

/// Why tokens are not the data of a type.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RdataError {
    /// The token of this index is not a domain name.
    BadName(usize, NameError),
    /// There are too few tokens.
    TooShort,
    /// The tokens from this index on are too many.
    TooLong(usize),
    /// The type is known, but not how its data is written.
    NoTextForm,
    /// RFC 3597 data of a known type that is not the data of that type.
    NotOfType,
    /// The token of this index is wrong, in the crate's words.
    Bad(usize, String),
}

impl RdataScanner {
    /// A scanner.
    pub(super) fn new() -> Self {
        RdataScanner { zonefile: fresh(), line: Vec::new(), starts: Vec::new(), rdata: Vec::new() }
    }

    /// The rdata of type `rtype` written as `tokens` of `text`, where names are relative to `origin`.
    pub(super) fn scan(
        &mut self,
        text: &[u8],
        rtype: Rtype,
        tokens: &[Token],
        origin: Name<'_>,
    ) -> Result<&[u8], RdataError> {
        self.write_line(text, rtype, tokens, origin)?;
        // Lines are counted by the crate since its beginning, so the error's line tells whether it was passed.
        self.zonefile.extend_from_slice(&self.line);
        let record = match self.zonefile.next_entry() {
            Ok(Some(ScannedEntry::Record(record))) => record,
            Ok(_) => return Err(self.fail(RdataError::TooShort)),
            Err(error) => {
                let error = self.explain(&error.to_string(), tokens);
                return Err(self.fail(error));
            }
        };
        self.rdata.clear();
        match record.data().compose_rdata(&mut self.rdata) {
            Ok(()) => {}
            Err(never) => match never {},
        }
        if !round_trips(rtype, &self.rdata) {
            return Err(RdataError::NotOfType);
        }
        Ok(&self.rdata)
    }

    /// Starts over: after an error the crate's scanner is of no use.
    fn fail(&mut self, error: RdataError) -> RdataError {
        self.zonefile = fresh();
        error
    }

    /// Writes `@ TYPE token…` with names made absolute.
    fn write_line(&mut self, text: &[u8], rtype: Rtype, tokens: &[Token], origin: Name<'_>) -> Result<(), RdataError> {
        self.line.clear();
        self.starts.clear();
        self.line.extend_from_slice(b"@ TYPE");
        write_number(&mut self.line, rtype.0.into());
        let is_generic = tokens.first().is_some_and(|token| &text[token.range.clone()] == b"\\#");
        let names: &[usize] = if is_generic { &[] } else { name_positions(text, rtype, tokens) };
        for (index, token) in tokens.iter().enumerate() {
            if token.gap == Gap::Apart || index == 0 {
                self.line.push(b' ');
            }
            self.starts.push(self.line.len());
            let written = &text[token.range.clone()];
            if names.contains(&index) {
                let name = names::resolve(unquoted(written, token.form), origin)
                    .map_err(|error| RdataError::BadName(index, error))?;
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
    fn explain(&self, error: &str, tokens: &[Token]) -> RdataError {
        let mut parts = error.splitn(3, ':');
        let (_, column, reason) = (parts.next(), parts.next(), parts.next().unwrap_or(error).trim());
        let column = column.and_then(|column| column.trim().parse::<usize>().ok()).unwrap_or(1);
        // The column is counted from 1 and tells how far it has read. Past the line end it is 1 again.
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

/// A scanner of the crate for lines made by [`RdataScanner::write_line`]; owner and TTL in them stand for nothing.
fn fresh() -> Zonefile {
    let mut zonefile = Zonefile::new();
    zonefile.set_origin(domain::base::Name::root_bytes());
    zonefile.set_default_class(Class::IN);
    zonefile
}

/// Whether rdata parses as what its type says, and is written the same again: no compression, nothing left over.
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

/// Which tokens of a record's data are domain names.
pub(super) fn name_positions(text: &[u8], rtype: Rtype, tokens: &[Token]) -> &'static [usize] {
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
        DomainRtype::MX | DomainRtype::SVCB | DomainRtype::HTTPS => &[1],
        DomainRtype::SRV => &[3],
        DomainRtype::NAPTR => &[5],
        DomainRtype::RRSIG => &[7],
        // RFC 4025 §2.3: the gateway is a name where its type is 3.
        DomainRtype::IPSECKEY if tokens.get(1).is_some_and(|token| &text[token.range.clone()] == b"3") => &[3],
        _ => &[],
    }
}

/// The content of a token.
fn unquoted(written: &[u8], form: Form) -> &[u8] {
    match form {
        Form::Bare => written,
        Form::Quoted => &written[1..written.len() - 1],
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

/// Writes a token as it is, but what is not printable ASCII as escapes.
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
