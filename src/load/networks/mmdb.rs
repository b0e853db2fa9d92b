//! MaxMind DB: a database of places or autonomous systems in, a source out.
//!
//! **Invariants**: the file is verified before it is walked, and walked once; IPv4 networks come out as IPv4 wherever
//! the tree keeps them, and once, though a tree has them under several prefixes; a record is decoded once.
//! **Not here**: the forms of records ([`record`]); databases of proxies or domains, which are refused.

mod record;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use maxminddb::{LookupResult, MaxMindDbError, Reader, WithinOptions};

use super::format::{Format, Parser};
use super::{DOWNLOAD_AGAIN, ERROR_PAGE, LoadedSource, TEXT_FORMATS, of_file};
use crate::base::diagnostic::Diagnostic;
use crate::base::ids::LabelsId;
use crate::base::prefix::Prefix;
use crate::config::Network;
use crate::networks::{LabelKind, Labels, SourceBuilder};
use record::{MmdbRecord, RecordLabels};

/// The format.
pub(super) const FORMAT: Format = Format { noun: "a MaxMind DB", keys: &[], parser: Parser::Bytes(read) };

/// The mark before the metadata, near the end of every database (MaxMind DB format 2.0, "Database Metadata").
const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";

/// Returns whether bytes have the mark of a database.
pub(super) fn is_database(octets: &[u8]) -> bool {
    start_of_metadata(octets).is_some()
}

/// The place behind the last mark. `None` if there is no mark.
fn start_of_metadata(octets: &[u8]) -> Option<usize> {
    octets.windows(MARKER.len()).rposition(|window| window == MARKER).map(|at| at + MARKER.len())
}

/// Reads the database.
fn read(network: &Network, octets: Vec<u8>) -> Result<LoadedSource, Vec<Diagnostic>> {
    refuse_other_files(network, &octets)?;
    let unsound = |error: MaxMindDbError| {
        let text = format!("is not a sound MaxMind DB: {error}");
        vec![of_file(network, "bad-database", text).help(DOWNLOAD_AGAIN)]
    };
    let strange = |error: MaxMindDbError| {
        let text = format!("has records that are not maps of fields: {error}");
        let help = "use a database with the fields of MaxMind, DB-IP, IPinfo, IPLocate or ip-location-db";
        vec![of_file(network, "strange-database", text).help(help)]
    };
    let reader = Reader::from_source(with_description(octets)).map_err(unsound)?;
    reader.verify().map_err(unsound)?;

    let mut walk = NetworkWalk {
        builder: SourceBuilder::new(&network.name, &network.input.file),
        provider: network.provider.clone(),
        by_offset: HashMap::new(),
        has_labels: false,
    };
    let options = options(&reader).map_err(unsound)?;
    for found in reader.networks(options).map_err(unsound)? {
        walk.take(&found.map_err(unsound)?).map_err(strange)?;
    }
    if !walk.has_labels {
        let kind = &reader.metadata().database_type;
        let text = format!("has neither places nor autonomous systems in it (it is of type `{kind}`)");
        let help = "use a database of type Country, City or ASN; IPv4 and IPv6 are both read from one";
        return Err(vec![of_file(network, "useless-database", text).help(help)]);
    }
    let (source, _) = walk.builder.finish();
    Ok(LoadedSource { source, warnings: Vec::new() })
}

/// The options of a walk that meets each network once.
///
/// The library takes every reference to the root of IPv4 for an alias. If all of IPv4 is one network, that root is a record;
/// then other networks with that record are no aliases, and no network would be walked twice.
fn options(reader: &Reader<Vec<u8>>) -> Result<WithinOptions, MaxMindDbError> {
    let has_v4_tree = reader.lookup(IpAddr::V4(Ipv4Addr::UNSPECIFIED))?.network()?.is_ipv4();
    let options = WithinOptions::default();
    Ok(if has_v4_tree { options } else { options.include_aliased_networks() })
}

/// The walk over all networks of a database.
struct NetworkWalk {
    builder: SourceBuilder,
    provider: Option<Arc<str>>,
    by_offset: HashMap<usize, LabelsId>,
    /// True if any record has a value that rules can name.
    has_labels: bool,
}

impl NetworkWalk {
    fn take(&mut self, found: &LookupResult<'_, Vec<u8>>) -> Result<(), MaxMindDbError> {
        let Some(offset) = found.offset() else { return Ok(()) };
        let labels = match self.by_offset.entry(offset) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                let Some(record) = found.decode::<MmdbRecord<'_>>()? else { return Ok(()) };
                let of_record = RecordLabels::of(&record);
                let labels = of_record.labels();
                if labels != Labels::default() {
                    self.has_labels = true;
                }
                *new.insert(self.builder.intern(labels.with_optional(LabelKind::Provider, self.provider.as_deref())))
            }
        };
        let network = found.network()?;
        let prefix = Prefix::holding(network.ip(), network.prefix());
        // IPv4 is ::/96. A record at it, or above it, is about all of IPv4.
        if let Prefix::V6(block) = prefix
            && block.first() == 0
            && block.prefix_len() <= 96
        {
            self.builder.add(Prefix::holding(Ipv4Addr::UNSPECIFIED.into(), 0), labels, 0);
            if block.prefix_len() == 96 {
                return Ok(());
            }
        }
        self.builder.add(prefix, labels, 0);
        Ok(())
    }
}

/// The database, with a description if it has none or an empty one.
///
/// The library insists on a description, which some makers leave out, and which has no use here. The metadata is a map at the
/// end of the file, so a description is added behind it; a key that is there gets a name that the library does not know,
/// because lengthening its value would move the values behind it.
fn with_description(mut octets: Vec<u8>) -> Vec<u8> {
    /// Most pairs of a map whose count is in the low bits of its first byte.
    const MOST_PAIRS: u8 = 28;
    const MAP: u8 = 7 << 5;
    const KEY: &[u8] = b"\x4bdescription";
    const EMPTY: &[u8] = b"\x4bdescription\xe0";
    let Some(start) = start_of_metadata(&octets) else { return octets };
    let metadata = &octets[start..];
    let find = |part: &[u8]| metadata.windows(part.len()).position(|window| window == part);
    let empty = find(EMPTY);
    if find(KEY).is_some() && empty.is_none()
        || !metadata.first().is_some_and(|map| (MAP..MAP + MOST_PAIRS).contains(map))
    {
        return octets;
    }
    if let Some(at) = empty {
        octets[start + at + 1] = b'D';
    }
    octets[start] += 1;
    octets.extend_from_slice(b"\x4bdescription\xe1\x42en\x44none");
    octets
}

/// Refuses a file that is no database.
fn refuse_other_files(network: &Network, octets: &[u8]) -> Result<(), Vec<Diagnostic>> {
    // A tree may begin with any bytes, so the mark decides before the looks do.
    if is_database(octets) {
        return Ok(());
    }
    let (code, text, help) = match octets.trim_ascii_start() {
        [] => ("empty-file", "is empty", DOWNLOAD_AGAIN),
        [b'<', ..] => ("html-page", "is an HTML or XML page, not a MaxMind DB", ERROR_PAGE),
        [0x1f, 0x8b, ..] => {
            let help = "unpack it: MaxMind publishes a `.tar.gz` with the `.mmdb` in it";
            ("not-database", "is compressed, not a MaxMind DB", help)
        }
        [b'{', ..] => ("not-database", "is JSON, not a MaxMind DB", "`mmdb = …` is for `.mmdb` files"),
        _ if str::from_utf8(octets).is_ok() => ("not-database", "is text, not a MaxMind DB", TEXT_FORMATS),
        _ => {
            let help = "the metadata at the end of a database is missing; download it again";
            ("truncated-file", "is cut short, or is not a MaxMind DB", help)
        }
    };
    Err(vec![of_file(network, code, text).help(help)])
}

#[cfg(test)]
mod tests;
#[cfg(test)]
#[path = "../../../tests/common/mmdb.rs"]
mod writer;
