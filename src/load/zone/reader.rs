//! The records of master files into a zone builder: owners, TTLs, classes, types, and directives.
//!
//! In: the text of the zone's file, and a function that reads included files. Out: records in a
//! [`crate::zone::ZoneBuilder`], and diagnostics.
//!
//! An included file starts with the owner and TTL in force. Its own settings end with it (RFC 1035 §5.1 demands that of the
//! origin). After an error, reading goes on with the next entry, unless the start of that entry is unknown.
//!
//! **Invariants**: a record is added whole or reported; at most [`MAX_DIAGNOSTICS`] are.
//! **Not here**: record data ([`super::rdata`]), rules for the zone as a whole ([`crate::zone`]).
//!
//! RFC 1035 §5.1, RFC 2308 §4 (`$TTL`), RFC 2181 §8 (TTL range).

mod directive;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::base::iana::Class as DomainClass;

use super::rdata;
use super::reason;
use super::sources::{Sources, ZoneLine};
use super::split::{Splitter, ZoneEntry, ZoneToken};
use super::{MAX_DIAGNOSTICS, MAX_RECORDS, names};
use crate::base::diagnostic::{Diagnostic, Place};
use crate::base::name::{Name, NameBuf};
use crate::base::rr::Rtype;
use crate::base::time::Ttl;
use crate::zone::{AddError, SignedZone, ZoneBuilder, soa_numbers};

/// A way to read a file.
pub(super) type ReadFile<'a> = &'a mut dyn FnMut(&Path) -> io::Result<Vec<u8>>;

/// Reads the files of one zone.
pub(super) struct ZoneReader<'a> {
    apex: Name<'a>,
    /// The apex below itself: names that end so are most likely written without their final dot.
    doubled: Option<NameBuf>,
    read_file: ReadFile<'a>,
    /// The data of the record that is being read.
    rdata: Vec<u8>,
    /// The files that are being read, each included by the one before.
    open: Vec<PathBuf>,
    octets: usize,
    includes: usize,
    /// The records that `$GENERATE` has made.
    generated: u32,
    errors: usize,
    warnings: usize,
    /// The records read so far.
    pub(super) records: usize,
    /// The DNSSEC records that are left out.
    pub(super) left_out: LeftOut,
    /// The builder that gets the records.
    pub(super) builder: ZoneBuilder,
    /// The files of the zone.
    pub(super) sources: Sources,
    /// The errors and warnings of the zone.
    pub(super) diagnostics: Vec<Diagnostic>,
}

/// The DNSSEC records of a zone that are left out.
pub(super) struct LeftOut {
    treatment: SignedZone,
    /// Their number.
    pub(super) count: usize,
    /// The place of the first.
    pub(super) first: Option<Place>,
}

/// The settings in force at a line of a file.
#[derive(Clone)]
struct LineContext {
    origin: NameBuf,
    owner: EntryOwner,
    /// The TTL of `$TTL`.
    default_ttl: Option<Ttl>,
    /// The TTL of the last record that had one.
    last_ttl: Option<Ttl>,
}

/// The owner for an entry that starts with white space.
#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "there is one for each open file")]
enum EntryOwner {
    /// There was no record yet.
    None,
    /// The owner could not be read, which has been reported.
    Unreadable,
    Known(NameBuf),
}

/// The error of an entry.
type EntryRefusal = Box<Diagnostic>;

impl<'a> ZoneReader<'a> {
    /// A reader of the zone at `apex` that has read nothing.
    ///
    /// `treatment` is that of DNSSEC records.
    pub(super) fn new(
        apex: Name<'a>,
        treatment: SignedZone,
        builder: ZoneBuilder,
        sources: Sources,
        read_file: ReadFile<'a>,
    ) -> Self {
        let wire = apex.as_wire();
        let doubled = (apex.labels().count() > 1).then(|| NameBuf::joined(&wire[..wire.len() - 1], apex)).flatten();
        ZoneReader {
            apex,
            doubled,
            read_file,
            rdata: Vec::new(),
            open: Vec::new(),
            octets: 0,
            includes: 0,
            generated: 0,
            left_out: LeftOut { treatment, count: 0, first: None },
            errors: 0,
            warnings: 0,
            records: 0,
            builder,
            sources,
            diagnostics: Vec::new(),
        }
    }

    /// Reads the zone's own file.
    pub(super) fn read(&mut self, path: &Path, text: Vec<u8>) {
        let file: Arc<str> = path.display().to_string().into();
        let context =
            LineContext { origin: self.apex.to_owned(), owner: EntryOwner::None, default_ttl: None, last_ttl: None };
        self.read_source(path, file, text, context);
    }

    fn read_source(&mut self, path: &Path, file: Arc<str>, mut text: Vec<u8>, mut context: LineContext) {
        if text.starts_with(b"\xef\xbb\xbf") {
            text.drain(..3);
        }
        self.octets += text.len();
        let source = self.sources.add(file, text);
        if let Some(refusal) = reason::wrong_kind_of_file(&source) {
            self.report(refusal);
            return;
        }
        self.open.push(path.to_owned());
        let mut splitter = Splitter::new(&source.text);
        let mut entry = ZoneEntry::new();
        while let Some(split) = splitter.read(&mut entry) {
            let line = ZoneLine { source: &source, entry: &entry };
            let read = match split {
                Ok(()) => self.read_entry(line, &mut context),
                Err(error) => {
                    self.report(reason::unsplittable(&source, error));
                    break;
                }
            };
            if let Err(refusal) = read {
                self.report(*refusal);
            }
            if self.is_over() {
                break;
            }
        }
        self.open.pop();
        if let Some(odd) = reason::missing_line_end(&source) {
            self.report(odd);
        }
    }

    /// Returns whether to read no further: enough has been said, or nothing more fits.
    fn is_over(&self) -> bool {
        self.errors > MAX_DIAGNOSTICS || self.records > MAX_RECORDS
    }

    /// Takes note of a diagnostic, if there is room for one of its kind.
    fn report(&mut self, diagnostic: Diagnostic) {
        let count = if diagnostic.is_error() { &mut self.errors } else { &mut self.warnings };
        *count += 1;
        // One more than are shown, so that the report can say that there are more.
        if *count <= MAX_DIAGNOSTICS + 1 {
            self.diagnostics.push(diagnostic);
        }
    }

    fn read_entry(&mut self, line: ZoneLine<'_>, context: &mut LineContext) -> Result<(), EntryRefusal> {
        let first = &line.entry.tokens[0];
        let is_directive = !line.entry.is_indented && !first.is_quoted && line.octets(first).starts_with(b"$");
        if is_directive { self.read_directive(line, context) } else { self.read_record(line, context) }
    }

    fn read_record(&mut self, line: ZoneLine<'_>, context: &mut LineContext) -> Result<(), EntryRefusal> {
        let fields = if line.entry.is_indented {
            &line.entry.tokens[..]
        } else {
            let (owner, fields) = line.entry.tokens.split_first().expect("an entry has a token");
            context.owner = EntryOwner::Unreadable;
            context.owner = EntryOwner::Known(self.read_owner(line, owner, context.origin.as_name())?);
            fields
        };
        let head = read_head(line, fields)?;
        if let Some(token) = head.overlong_ttl {
            self.report(reason::ttl_is_zero(line, token));
        }
        let data = &fields[head.data..];
        let origin = context.origin.as_name();
        rdata::scan(&line.source.text, head.rtype, data, origin, &mut self.rdata)
            .map_err(|error| reason::bad_data(line, head.rtype, &fields[head.data - 1], data, error))?;
        let rdata = &self.rdata[..];
        let (ttl, mut odd) = ttl_of(line, &head, context, &fields[head.data - 1], rdata)?;
        if head.ttl.is_some() || context.last_ttl.is_none() {
            context.last_ttl = Some(ttl);
        }
        let owner = match &context.owner {
            EntryOwner::Known(owner) => owner.as_name(),
            EntryOwner::Unreadable => return Ok(()),
            EntryOwner::None => return Err(reason::no_owner(line)),
        };
        let is_apex = owner.as_wire().eq_ignore_ascii_case(self.apex.as_wire());
        if !self.left_out.treatment.keeps(head.rtype, is_apex, rdata) {
            self.left_out.count += 1;
            self.left_out.first.get_or_insert_with(|| line.source.place(fields[head.data - 1].range.clone()));
            self.records += 1;
            return Ok(());
        }
        let tag = line.source.tag(line.entry.line);
        self.builder.add(owner, head.rtype, ttl, rdata, tag).map_err(|error| {
            if error == AddError::TooMany {
                self.records = MAX_RECORDS + 1;
            }
            reason::not_added(line, owner, self.apex, fields, head.data - 1, error)
        })?;
        self.records += 1;
        if self.records > MAX_RECORDS {
            return Err(reason::too_many_records(line));
        }
        if let Some(doubled) = &self.doubled
            && self.warnings <= MAX_DIAGNOSTICS
        {
            let found = data_without_dot(&line, head.rtype, data, rdata, doubled.as_name());
            odd = odd.or_else(|| found.map(|(token, name)| reason::missing_dot(line, token, name)));
        }
        if let Some(odd) = odd {
            self.report(odd);
        }
        Ok(())
    }

    fn read_owner(&mut self, line: ZoneLine<'_>, token: &ZoneToken, origin: Name<'_>) -> Result<NameBuf, EntryRefusal> {
        let written = line.octets(token);
        if token.is_quoted {
            return Err(reason::quoted_owner(line, token));
        }
        let owner = resolve(line, token, origin)?;
        if let Some(doubled) = &self.doubled
            && self.warnings <= MAX_DIAGNOSTICS
            && owner.as_name().ends_with(doubled.as_name())
            && !names::is_absolute(written)
            && written != b"@"
        {
            self.report(reason::missing_dot(line, token, owner.as_name()));
        }
        Ok(owner)
    }
}

/// The name that a token means where `origin` is in force.
pub(super) fn resolve(line: ZoneLine<'_>, token: &ZoneToken, origin: Name<'_>) -> Result<NameBuf, EntryRefusal> {
    names::resolve(line.octets(token), origin).map_err(|error| reason::bad_name(line, token, error))
}

/// The TTL of a record: its own, that of `$TTL`, or that of the record before; with a warning if it is none of these.
fn ttl_of(
    line: ZoneLine<'_>,
    head: &Head<'_>,
    context: &LineContext,
    rtype: &ZoneToken,
    rdata: &[u8],
) -> Result<(Ttl, Option<Diagnostic>), EntryRefusal> {
    match head.ttl.or(context.default_ttl).or(context.last_ttl) {
        Some(ttl) => Ok((ttl, None)),
        // RFC 2308 §4 took this meaning away from MINIMUM, and BIND still reads it so.
        None if head.rtype == Rtype::SOA => {
            let [.., minimum] = soa_numbers(rdata);
            Ok((Ttl(minimum).min(Ttl::MAX), Some(reason::ttl_is_minimum(line, rtype, minimum))))
        }
        None => Err(reason::no_ttl(line)),
    }
}

/// The fields between a record's owner and its data.
pub(super) struct Head<'t> {
    ttl: Option<Ttl>,
    /// The TTL's token, if it is too long and stands for 0.
    overlong_ttl: Option<&'t ZoneToken>,
    /// The type.
    pub(super) rtype: Rtype,
    /// The first token after the type.
    pub(super) data: usize,
}

/// RFC 1035 §5.1: `[TTL] [class] type` or `[class] [TTL] type`.
pub(super) fn read_head<'t>(line: ZoneLine<'_>, fields: &'t [ZoneToken]) -> Result<Head<'t>, EntryRefusal> {
    let (mut ttl, mut overlong_ttl, mut class) = (None, None, None);
    for (index, token) in fields.iter().enumerate() {
        let written = line.octets(token);
        let text = std::str::from_utf8(written).unwrap_or_default();
        if ttl.is_none() && names::parse_time(written).is_some() {
            let (read, is_overlong) = read_ttl(line, token)?;
            (ttl, overlong_ttl) = (Some(read), is_overlong.then_some(token));
        } else if let Ok(rtype) = text.parse::<Rtype>() {
            return if rtype.is_meta() {
                Err(reason::meta_type(line, token))
            } else {
                Ok(Head { ttl, overlong_ttl, rtype, data: index + 1 })
            };
        } else if class.is_none()
            && let Ok(found) = text.parse::<DomainClass>()
        {
            if found != DomainClass::IN {
                return Err(reason::other_class(line, token));
            }
            class = Some(found);
        } else {
            return Err(reason::unknown_type(line, token, index));
        }
    }
    Err(reason::no_type(line))
}

/// A TTL of 32 bits. RFC 2181 §8: one with the first bit set stands for 0; then the second value is true.
fn read_ttl(line: ZoneLine<'_>, token: &ZoneToken) -> Result<(Ttl, bool), EntryRefusal> {
    let seconds = names::parse_time(line.octets(token)).ok_or_else(|| reason::bad_ttl(line, token))?;
    match u32::try_from(seconds).map(Ttl) {
        Ok(ttl) if ttl <= Ttl::MAX => Ok((ttl, false)),
        Ok(_) => Ok((Ttl(0), true)),
        Err(_) => Err(reason::ttl_out_of_range(line, token)),
    }
}

/// The token and name in a record's data that end with the apex twice because the final dot is missing.
fn data_without_dot<'d>(
    line: &ZoneLine<'_>,
    rtype: Rtype,
    data: &'d [ZoneToken],
    rdata: &'d [u8],
    doubled: Name<'_>,
) -> Option<(&'d ZoneToken, Name<'d>)> {
    // In such data only numbers of 16 bits precede the name.
    let position = match rtype {
        Rtype::NS | Rtype::CNAME | Rtype::DNAME | Rtype::PTR => 0,
        Rtype::MX => 1,
        Rtype::SRV => 3,
        _ => return None,
    };
    let token = data.get(position)?;
    let name = Name::from_wire(rdata.get(2 * position..)?)?;
    let written = line.content(token);
    (name.ends_with(doubled) && !names::is_absolute(written) && written != b"@").then_some((token, name))
}
