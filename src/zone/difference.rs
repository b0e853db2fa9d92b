//! The difference between two versions of a zone, and a history of the last differences (RFC 1995 §5).
//!
//! In: two versions of a zone. Out: the removed and the added records. A [`History`] drops the oldest changes once all
//! together are longer than the zone, because sending the zone is then cheaper.
//!
//! **Invariants**: the changes of a history lead from one to the next, and the last to the zone as it is; each leads to a
//! serial that is newer (RFC 1982) than the one it starts from; no SOA is among the removed and added records.
//! **Not here**: messages ([`crate::wire`]).

use std::sync::Arc;

use super::rrset::push_behind_owner;
use super::{Node, RrSet, Zone};
use crate::base::name::Name;
use crate::base::rr::Rtype;
use crate::base::time::Ttl;

/// The most changes that are kept of one zone: a secondary that has missed more has been away for long.
pub(crate) const MAX_DIFFERENCES: usize = 100;

/// A record with its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'r> {
    /// The owner.
    pub owner: Name<'r>,
    /// The type.
    pub rtype: Rtype,
    /// The TTL.
    pub ttl: Ttl,
    /// The rdata, without compression.
    pub rdata: &'r [u8],
}

impl<'z> Node<'z> {
    /// All records with their signatures.
    pub(crate) fn records(self) -> impl Iterator<Item = Record<'z>> {
        let owner = self.owner();
        let records = self.rrsets().flat_map(RrSet::all_records);
        records.map(move |(rtype, ttl, rdata)| Record { owner, rtype, ttl, rdata })
    }
}

/// Records back to back, in the form of a message without compression.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Records(Vec<u8>);

impl Records {
    /// Appends a record.
    pub fn push(&mut self, record: Record<'_>) {
        let Records(wire) = self;
        wire.extend_from_slice(record.owner.as_wire());
        push_behind_owner(record.rtype, record.ttl, record.rdata, wire);
    }

    /// Appends the records of an RRset without its signatures, all with the TTL of the set.
    pub(crate) fn push_set(&mut self, owner: Name<'_>, set: RrSet<'_>) {
        set.rdatas().for_each(|rdata| self.push(Record { owner, rtype: set.rtype, ttl: set.ttl, rdata }));
    }

    /// The bytes.
    pub fn as_wire(&self) -> &[u8] {
        &self.0
    }

    /// The number of bytes.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The record that starts at an offset, and the offset of the next; `None` at the end.
    pub(crate) fn at(&self, offset: usize) -> Option<(Record<'_>, usize)> {
        let rest = self.0.get(offset..).filter(|rest| !rest.is_empty())?;
        let mut len = 0;
        while rest[len] != 0 {
            len += 1 + usize::from(rest[len]);
        }
        let (owner, rest) = rest.split_at(len + 1);
        let (fixed, rest) = rest.split_at(10);
        let rdata = &rest[..usize::from(u16::from_be_bytes([fixed[8], fixed[9]]))];
        let record = Record {
            owner: Name::trusted(owner),
            rtype: Rtype(u16::from_be_bytes([fixed[0], fixed[1]])),
            ttl: Ttl(u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]])),
            rdata,
        };
        Some((record, offset + owner.len() + fixed.len() + rdata.len()))
    }

    /// All records.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        let mut offset = 0;
        std::iter::from_fn(move || {
            let (record, next) = self.at(offset)?;
            offset = next;
            Some(record)
        })
    }
}

/// One change of a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The serial before.
    pub(crate) from: u32,
    /// The serial after.
    pub(crate) to: u32,
    /// The SOA before, alone.
    pub(crate) old_soa: Records,
    /// The removed records.
    pub(crate) removed: Records,
    /// The SOA after, alone.
    pub(crate) new_soa: Records,
    /// The added records.
    pub(crate) added: Records,
}

impl Difference {
    /// The change from one version of a zone to another.
    pub fn between(old: &Zone, new: &Zone) -> Self {
        let soa = |zone: &Zone| {
            let mut records = Records::default();
            records.push_set(zone.apex(), zone.soa());
            records
        };
        Difference {
            from: old.serial(),
            to: new.serial(),
            old_soa: soa(old),
            removed: missing(old, new),
            new_soa: soa(new),
            added: missing(new, old),
        }
    }

    /// The bytes that it takes.
    pub(crate) fn len(&self) -> usize {
        self.parts().map(Records::len).iter().sum()
    }

    /// All of its records, in the order of a transfer (RFC 1995 §4).
    pub(crate) fn parts(&self) -> [&Records; 4] {
        [&self.old_soa, &self.removed, &self.new_soa, &self.added]
    }

    /// Returns whether nothing but the SOA differs.
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.added.is_empty()
    }
}

/// The records of `of` that are not in `other`; the case of owners makes no difference (RFC 4343).
fn missing(of: &Zone, other: &Zone) -> Records {
    let mut records = Records::default();
    for node in of.nodes() {
        let there = other.node_of(node.owner());
        for set in node.rrsets() {
            push_missing(node, set, there, &mut records);
        }
    }
    records
}

/// Appends the records of an RRset and its signatures that are not `there`; an SOA is none of them, but its signatures are.
fn push_missing(node: Node<'_>, set: RrSet<'_>, there: Option<Node<'_>>, records: &mut Records) {
    let others = there.and_then(|there| there.rrset(set.rtype));
    if others.is_some_and(|others| others.wire() == set.wire() && others.signed_wire() == set.signed_wire()) {
        return;
    }
    let mut known: Vec<_> = others.into_iter().flat_map(RrSet::all_records).collect();
    known.sort_unstable();
    let is_missing = |record: &(Rtype, Ttl, &[u8])| record.0 != Rtype::SOA && known.binary_search(record).is_err();
    for (rtype, ttl, rdata) in set.all_records().filter(is_missing) {
        records.push(Record { owner: node.owner(), rtype, ttl, rdata });
    }
}

/// The last changes of a zone, oldest first.
#[derive(Clone, Debug, Default)]
pub struct History {
    differences: Vec<Arc<Difference>>,
    /// The zone was changed under the serial that it had, so the content that secondaries have under that serial is not
    /// known.
    is_ambiguous: bool,
}

impl History {
    /// The history of a zone's new version, given the version before and that one's history.
    pub(crate) fn after(&self, old: &Zone, new: &Zone) -> Self {
        let nothing = History::default();
        if !old.is_available() || !new.is_available() {
            return nothing;
        }
        let difference = Difference::between(old, new);
        if difference.from == difference.to {
            return if difference.is_empty() && difference.old_soa == difference.new_soa {
                self.clone()
            } else {
                History { is_ambiguous: true, ..nothing }
            };
        }
        if self.is_ambiguous || !is_newer(difference.to, difference.from) {
            return nothing;
        }
        let mut differences = self.differences.clone();
        differences.push(Arc::new(difference));
        let mut octets = 0;
        let kept = differences.iter().rev().take(MAX_DIFFERENCES).take_while(|difference| {
            octets += difference.len();
            octets <= new.wire_len()
        });
        let dropped = differences.len() - kept.count();
        differences.drain(..dropped);
        History { differences, is_ambiguous: false }
    }

    /// Returns whether the zone was changed under the serial that it had. Secondaries keep their records until it rises.
    pub(crate) fn is_ambiguous(&self) -> bool {
        self.is_ambiguous
    }

    /// The changes that lead from a serial to the zone as it is; `None` if it is not among those that are kept.
    pub fn since(&self, serial: u32) -> Option<&[Arc<Difference>]> {
        let from = self.differences.iter().rposition(|difference| difference.from == serial)?;
        Some(&self.differences[from..])
    }
}

/// RFC 1982 §3.2: whether a serial comes after another; of two that are 2^31 apart neither does.
pub fn is_newer(serial: u32, than: u32) -> bool {
    (1..1 << 31).contains(&serial.wrapping_sub(than))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::name::name;
    use crate::zone::ZoneBuilder;

    /// A zone with the serial and the last bytes of addresses of `www`, and padding that does not change.
    fn zone(serial: u32, hosts: &[u8]) -> Zone {
        let apex = name("example");
        let mut builder = ZoneBuilder::new(apex.clone());
        let mut soa = b"\0\0".to_vec();
        for number in [serial, 3600, 600, 86400, 60] {
            soa.extend_from_slice(&number.to_be_bytes());
        }
        builder.add(apex.as_name(), Rtype::SOA, Ttl(60), &soa, 0).unwrap();
        builder.add(apex.as_name(), Rtype::NS, Ttl(60), b"\x02ns\0", 0).unwrap();
        builder.add(apex.as_name(), Rtype::TXT, Ttl(60), &[[200].as_slice(), &[7; 200]].concat(), 0).unwrap();
        for host in hosts {
            builder.add(name("www.example").as_name(), Rtype::A, Ttl(60), &[192, 0, 2, *host], 0).unwrap();
        }
        builder.finish().unwrap().0
    }

    fn last_octets(records: &Records) -> Vec<u8> {
        records.iter().map(|record| *record.rdata.last().unwrap()).collect()
    }

    #[test]
    fn a_difference_is_what_went_and_what_came() {
        let difference = Difference::between(&zone(1, &[1, 2]), &zone(2, &[2, 3]));
        assert_eq!((difference.from, difference.to), (1, 2));
        assert_eq!((last_octets(&difference.removed), last_octets(&difference.added)), (vec![1], vec![3]));
        let difference = Difference::between(&zone(1, &[]), &zone(2, &[9]));
        assert_eq!((last_octets(&difference.removed), last_octets(&difference.added)), (vec![], vec![9]));
    }

    #[test]
    fn a_history_leads_from_any_kept_serial_to_the_last() {
        let zones: Vec<Zone> = (0..4).map(|at| zone(at + 1, &[at as u8 + 1])).collect();
        let mut history = History::default();
        for pair in zones.windows(2) {
            history = history.after(&pair[0], &pair[1]);
        }
        let serials = |since| history.since(since).map(|all| all.iter().map(|one| one.from).collect::<Vec<_>>());
        assert_eq!(serials(3), Some(vec![3]));
        assert_eq!((serials(4), serials(9)), (None, None));
        // All three would be longer than the zone itself.
        assert_eq!(serials(1), None);
    }

    #[test]
    fn a_change_without_a_new_serial_ends_the_history() {
        let (one, changed, two, three) = (zone(1, &[1]), zone(1, &[7]), zone(2, &[8]), zone(3, &[9]));
        let history = History::default().after(&one, &changed);
        assert!(history.since(1).is_none());
        let history = history.after(&changed, &two);
        assert!(history.since(1).is_none());
        let history = history.after(&two, &three);
        assert!(history.since(2).is_some());
        assert!(history.after(&three, &two).since(3).is_none(), "serials do not go back");
    }

    #[test]
    fn serials_wrap_around() {
        assert!(is_newer(0, u32::MAX) && is_newer(2, 1) && is_newer(1 << 30, u32::MAX - 5));
        assert!(!is_newer(1, 1) && !is_newer(1, 2) && !is_newer(1 << 31, 0) && !is_newer(0, 1 << 31));
    }
}
