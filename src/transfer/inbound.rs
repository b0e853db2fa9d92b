//! Builds a zone from the messages of a transfer (RFC 5936 §2.2, RFC 1995 §4), one message after another.
//!
//! `domain` expands names and checks data, type by type. [`ZoneBuilder`] checks the data again, and the zone, as for a zone from a file.
//!
//! **Invariants**: a transfer yields the whole zone with the serial of its first SOA, or no zone; the size of the kept records
//! is bounded, however well the messages are compressed.
//! **Not here**: streams ([`super::fetch`]), signatures ([`crate::wire`]).

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use domain::base::message::Message;
use domain::base::name::{ParsedName, ToName};
use domain::base::rdata::ComposeRecordData;
use domain::rdata::AllRecordData;

use crate::base::diagnostic::Severity;
use crate::base::name::{Name, NameBuf};
use crate::base::rr::{Class, Rcode, Rtype};
use crate::base::time::{Ttl, UnixTime};
use crate::wire::ask::question;
use crate::zone::{
    AddError, Node, Record, Records, SignedZone, Zone, ZoneBuilder, check_presigned, is_newer, soa_numbers,
};

/// The most bytes of all records of one transfer, names in full: as many as a zone's file may have.
pub(crate) const MAX_TRANSFER_LEN: usize = 1 << 30;

/// The bytes of a record beside its owner and its data: type, class, TTL, length.
const RECORD_LEN: usize = 10;

/// Takes the messages of one transfer.
#[derive(Debug)]
pub struct Inbound {
    apex: NameBuf,
    id: u16,
    /// The treatment of DNSSEC records, and the time at which those that are kept must be valid.
    signed: (SignedZone, UnixTime),
    /// Our copy, if the query asked for changes; else `None`.
    have: Option<Arc<Zone>>,
    /// Bytes of all records so far, names uncompressed.
    octets: usize,
    /// The maximum of `octets`.
    most: usize,
    /// The first SOA, which is also the last record of the transfer, and its serial.
    soa: Option<(Records, u32)>,
    content: ReceivedContent,
    added: Records,
    /// In an incremental transfer: the removed and the added records.
    changes: Changes,
}

/// The progress of a transfer, by the records received so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReceivedContent {
    /// At most the first SOA: the kind of the transfer is unknown.
    Unknown,
    /// Records of a whole zone.
    Zone,
    /// Changes: removed records of the older version.
    Removing,
    /// Changes: added records of the version with this serial.
    Adding(u32),
    /// All records of the transfer.
    Over,
}

/// Changes, each record by its [`key`].
#[derive(Debug, Default)]
struct Changes {
    removed: BTreeSet<Records>,
    added: BTreeSet<Records>,
}

/// The result after a message.
#[derive(Debug)]
pub enum TransferProgress {
    /// The transfer is not complete.
    More,
    /// Our copy is up to date.
    UpToDate,
    /// The transfer is complete: the new zone.
    Zone(Box<Zone>),
}

/// The reasons why a transfer is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransferRefusal {
    /// The primary answers with this error.
    Rcode(Rcode),
    /// A message or a record does not belong to the transfer.
    Malformed(&'static str),
    /// A record cannot be part of the zone.
    Record(Box<NameBuf>, Rtype, AddError),
    /// The zone is older than the copy (RFC 1982).
    Older {
        /// The primary's serial.
        theirs: u32,
        /// The copy's serial.
        ours: u32,
    },
    /// The changes do not fit our copy.
    DoesNotFit,
    /// The records do not make a zone that can be served.
    NotAZone(String),
    /// The transfer has more than [`MAX_TRANSFER_LEN`] bytes.
    TooLong,
}

impl fmt::Display for TransferRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TransferRefusal::Rcode(rcode) => write!(f, "the primary answers {rcode}"),
            TransferRefusal::Malformed(what) => write!(f, "malformed: {what}"),
            TransferRefusal::Record(owner, rtype, error) => write!(f, "{owner} {rtype}: {error}"),
            TransferRefusal::Older { theirs, ours } => {
                write!(f, "its serial {theirs} is older than serial {ours} of the copy")
            }
            TransferRefusal::DoesNotFit => f.write_str("the changes do not fit the copy that is held"),
            TransferRefusal::NotAZone(why) => write!(f, "it cannot be served: {why}"),
            TransferRefusal::TooLong => write!(f, "it has more than {} MiB", MAX_TRANSFER_LEN >> 20),
        }
    }
}

/// The query for a zone: IXFR with the serial of `have`, or AXFR if `have` is `None`.
pub fn query(apex: Name<'_>, have: Option<&Zone>, id: u16) -> Vec<u8> {
    let mut query = question(apex, if have.is_some() { Rtype::IXFR } else { Rtype::AXFR }, id);
    if let Some(zone) = have {
        let mut records = Records::default();
        records.push_set(apex, zone.soa());
        query.extend_from_slice(records.as_wire());
        query[9] = 1;
    }
    query
}

/// The serial in the reply to an SOA query.
pub fn serial_of(octets: &[u8], apex: Name<'_>, id: u16) -> Result<u32, TransferRefusal> {
    let mut serial = None;
    each_record(octets, id, |record| {
        if record.rtype == Rtype::SOA && record.owner == apex {
            serial = Some(soa_numbers(record.rdata)[0]);
        }
        Ok(())
    })?;
    serial.ok_or(TransferRefusal::Malformed("the reply has no SOA"))
}

impl Inbound {
    /// A transfer whose query was made by [`query`] with the same arguments. `signed` is the treatment of DNSSEC records, and the
    /// time.
    pub fn new(apex: NameBuf, have: Option<Arc<Zone>>, id: u16, signed: (SignedZone, UnixTime)) -> Self {
        Inbound {
            apex,
            id,
            signed,
            have,
            octets: 0,
            most: MAX_TRANSFER_LEN,
            soa: None,
            content: ReceivedContent::Unknown,
            added: Records::default(),
            changes: Changes::default(),
        }
    }

    /// Takes the next message.
    pub fn take(&mut self, octets: &[u8]) -> Result<TransferProgress, TransferRefusal> {
        let mut records = 0;
        each_record(octets, self.id, |record| {
            records += 1;
            self.count(record.owner.len() + RECORD_LEN + record.rdata.len())?;
            self.take_record(record)
        })?;
        // RFC 5936 §2.2: the answer section of each message has a part of the zone. Empty messages could continue for ever.
        if records == 0 {
            return Err(TransferRefusal::Malformed("a message without records"));
        }
        match (self.content, &self.soa, &self.have) {
            (ReceivedContent::Over, ..) => self.finish().map(|zone| TransferProgress::Zone(Box::new(zone))),
            // RFC 1995 §2: a single SOA says that the copy is up to date.
            (ReceivedContent::Unknown, Some((_, serial)), Some(have)) if *serial == have.serial() => {
                Ok(TransferProgress::UpToDate)
            }
            (ReceivedContent::Unknown, Some((_, serial)), Some(have)) if !is_newer(*serial, have.serial()) => {
                Err(TransferRefusal::Older { theirs: *serial, ours: have.serial() })
            }
            _ => Ok(TransferProgress::More),
        }
    }

    /// Counts bytes that are kept until the transfer is over.
    ///
    /// Names are counted with their uncompressed length, because a pointer of two bytes can stand for 255 bytes.
    fn count(&mut self, bytes: usize) -> Result<(), TransferRefusal> {
        self.octets += bytes;
        if self.octets > self.most { Err(TransferRefusal::TooLong) } else { Ok(()) }
    }

    fn take_record(&mut self, record: Record<'_>) -> Result<(), TransferRefusal> {
        let apex = self.apex.clone();
        let is_soa = record.rtype == Rtype::SOA && record.owner == apex.as_name();
        let Some((_, last)) = self.soa else {
            if !is_soa {
                return Err(TransferRefusal::Malformed("it does not begin with the zone's SOA"));
            }
            let mut soa = Records::default();
            soa.push(Record { owner: apex.as_name(), ..record });
            self.soa = Some((soa, soa_numbers(record.rdata)[0]));
            return Ok(());
        };
        if !self.signed.0.keeps(record.rtype, record.owner == apex.as_name(), record.rdata) {
            // A record after the first SOA, other than an SOA, says that the transfer is a whole zone.
            if self.content == ReceivedContent::Unknown {
                self.content = ReceivedContent::Zone;
            }
            return Ok(());
        }
        let serial = is_soa.then(|| soa_numbers(record.rdata)[0]);
        self.content = match (self.content, serial) {
            (ReceivedContent::Over, _) => return Err(TransferRefusal::Malformed("records follow the last SOA")),
            (ReceivedContent::Unknown, Some(serial))
                if self.have.as_ref().is_some_and(|have| have.serial() == serial) =>
            {
                ReceivedContent::Removing
            }
            (ReceivedContent::Unknown | ReceivedContent::Zone, Some(serial)) if serial == last => ReceivedContent::Over,
            (ReceivedContent::Unknown | ReceivedContent::Zone, Some(_)) => {
                return Err(TransferRefusal::Malformed("the SOA changes on the way"));
            }
            (ReceivedContent::Unknown | ReceivedContent::Zone, None) => {
                self.added.push(record);
                ReceivedContent::Zone
            }
            (ReceivedContent::Removing, None) => {
                let key = key(record);
                if !self.changes.added.remove(&key) && !self.changes.removed.insert(key) {
                    return Err(TransferRefusal::DoesNotFit);
                }
                ReceivedContent::Removing
            }
            (ReceivedContent::Removing, Some(serial)) => ReceivedContent::Adding(serial),
            (ReceivedContent::Adding(to), None) => {
                let key = key(record);
                if !self.changes.removed.remove(&key) && !self.changes.added.insert(key) {
                    return Err(TransferRefusal::DoesNotFit);
                }
                ReceivedContent::Adding(to)
            }
            (ReceivedContent::Adding(to), Some(serial)) if to == last && serial == last => ReceivedContent::Over,
            (ReceivedContent::Adding(to), Some(serial)) if to == serial => ReceivedContent::Removing,
            (ReceivedContent::Adding(_), Some(_)) => {
                return Err(TransferRefusal::Malformed("changes do not follow each other"));
            }
        };
        Ok(())
    }

    /// Builds the zone from all records of the transfer.
    fn finish(&mut self) -> Result<Zone, TransferRefusal> {
        let mut builder = ZoneBuilder::new(self.apex.clone());
        let mut add = |record: Record<'_>| {
            let added = builder.add(record.owner, record.rtype, record.ttl, record.rdata, 0);
            added.map_err(|error| TransferRefusal::Record(Box::new(record.owner.to_owned()), record.rtype, error))
        };
        let soa = self.soa.iter().flat_map(|(soa, _)| soa.iter());
        soa.chain(self.added.iter()).try_for_each(&mut add)?;
        let is_changed = !self.changes.removed.is_empty() || !self.changes.added.is_empty() || self.added.is_empty();
        if let Some(have) = self.have.as_ref().filter(|_| is_changed) {
            let mut left = self.changes.removed.len();
            for record in have.nodes().flat_map(Node::records).filter(|record| record.rtype != Rtype::SOA) {
                if left > 0 && self.changes.removed.contains(&key(record)) {
                    left -= 1;
                } else {
                    add(record)?;
                }
            }
            // Our copy must have had each removed record.
            if left > 0 {
                return Err(TransferRefusal::DoesNotFit);
            }
        }
        self.changes.added.iter().flat_map(Records::iter).try_for_each(&mut add)?;
        match builder.finish() {
            Ok((zone, _)) => match self.signed {
                (SignedZone::Kept, now) => match check_presigned(&zone, None, now).first() {
                    Some(fault) => Err(TransferRefusal::NotAZone(format!("{fault}; {}", fault.help()))),
                    None => Ok(zone),
                },
                _ => Ok(zone),
            },
            Err(problems) => {
                let first = problems.iter().find(|problem| problem.fault.severity() == Severity::Error);
                Err(TransferRefusal::NotAZone(first.map_or_else(String::new, ToString::to_string)))
            }
        }
    }
}

/// The key by which records are compared: owner without regard to case, type, TTL, data.
fn key(record: Record<'_>) -> Records {
    let lower = record.owner.as_wire().to_ascii_lowercase();
    let mut records = Records::default();
    records.push(Record { owner: Name::trusted(&lower), ..record });
    records
}

/// Reads the answer section of a reply, record by record.
fn each_record(
    octets: &[u8],
    id: u16,
    mut take: impl FnMut(Record<'_>) -> Result<(), TransferRefusal>,
) -> Result<(), TransferRefusal> {
    let malformed = |_| TransferRefusal::Malformed("a message cannot be read");
    let message = Message::from_octets(octets).map_err(|_| TransferRefusal::Malformed("a message is too short"))?;
    let header = message.header();
    if !header.qr() || header.id() != id || header.opcode().to_int() != 0 {
        return Err(TransferRefusal::Malformed("a message is no reply to the query"));
    }
    let rcode = Rcode(header.rcode().to_int().into());
    if rcode != Rcode::NOERROR {
        return Err(TransferRefusal::Rcode(rcode));
    }
    if header.tc() {
        return Err(TransferRefusal::Malformed("a message is truncated"));
    }
    let (mut owner, mut rdata) = (Vec::new(), Vec::new());
    for record in message.answer().map_err(malformed)? {
        let record = record.map_err(malformed)?;
        if Class(record.class().to_int()) != Class::IN {
            return Err(TransferRefusal::Malformed("a record is not of class IN"));
        }
        let record = record.to_any_record::<AllRecordData<_, ParsedName<_>>>().map_err(malformed)?;
        owner.clear();
        rdata.clear();
        let composed = record.owner().compose(&mut owner).and_then(|()| record.data().compose_rdata(&mut rdata));
        composed.map_err(|never| match never {})?;
        let owner = Name::from_wire(&owner).ok_or(TransferRefusal::Malformed("a name is too long"))?;
        let rtype = Rtype(record.rtype().to_int());
        // RFC 2181 §8: a TTL with the first bit set is 0.
        let ttl = Some(Ttl(record.ttl().as_secs())).filter(|ttl| *ttl <= Ttl::MAX).unwrap_or_default();
        take(Record { owner, rtype, ttl, rdata: &rdata })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
