//! The records of a text that is not a zone, such as the file of a DNSKEY.
//!
//! **Invariants**: all records of the text are read, or none.
//! **Not here**: directives, which such a text has none of.

use super::rdata;
use super::reader::{read_head, resolve};
use super::reason;
use super::sources::{Sources, ZoneLine};
use super::split::{Splitter, ZoneEntry};
use crate::base::diagnostic::Diagnostic;
use crate::base::name::{Name, NameBuf};
use crate::base::rr::Rtype;

/// A record of a text.
pub(crate) struct TextRecord {
    /// The owner.
    pub(crate) owner: NameBuf,
    /// The type.
    pub(crate) rtype: Rtype,
    /// The data, in wire form.
    pub(crate) rdata: Vec<u8>,
}

/// The records of a text; relative names are below `origin`.
pub(crate) fn records_of(file: &str, text: Vec<u8>, origin: Name<'_>) -> Result<Vec<TextRecord>, Box<Diagnostic>> {
    let source = Sources::new(Vec::new()).add(file.into(), text);
    if let Some(refusal) = reason::wrong_kind_of_file(&source) {
        return Err(Box::new(refusal));
    }
    let (mut splitter, mut entry) = (Splitter::new(&source.text), ZoneEntry::new());
    let mut records = Vec::new();
    while let Some(split) = splitter.read(&mut entry) {
        split.map_err(|error| Box::new(reason::unsplittable(&source, error)))?;
        let line = ZoneLine { source: &source, entry: &entry };
        let Some((owner, fields)) = entry.tokens.split_first().filter(|_| !entry.is_indented) else {
            return Err(reason::no_owner(line));
        };
        let owner = resolve(line, owner, origin)?;
        let head = read_head(line, fields)?;
        let data = &fields[head.data..];
        let mut rdata = Vec::new();
        rdata::scan(&source.text, head.rtype, data, origin, &mut rdata)
            .map_err(|error| reason::bad_data(line, head.rtype, &fields[head.data - 1], data, error))?;
        records.push(TextRecord { owner, rtype: head.rtype, rdata });
    }
    Ok(records)
}
