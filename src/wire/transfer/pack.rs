//! Records in one message of a transfer, with owners compressed against the apex and the previous owner.
//!
//! **Invariants**: a record is written whole or not at all.
//!
//! RFC 1035 §4.1.4, RFC 5936 §2.

use super::FULL_AT;
use crate::base::name::Name;
use crate::base::rr::Rtype;
use crate::wire::encode::{pointer, rdata_names};
use crate::zone::{Record, Zone};

/// Writes records into one message.
pub(super) struct Packer<'o, 'z> {
    pub(super) out: &'o mut [u8],
    pub(super) at: usize,
    pub(super) end: usize,
    pub(super) apex: Name<'z>,
    /// Offset of the apex, written byte for byte the same; `None` if it has not been written.
    pub(super) apex_at: Option<usize>,
    /// Offset of the last owner that was written, and its length in bytes without compression; 0 if there is none.
    pub(super) owner: (usize, usize),
    pub(super) count: u16,
}

impl Packer<'_, '_> {
    fn put(&mut self, octets: &[u8]) -> Option<()> {
        let room = self.out.get_mut(self.at..self.end)?.get_mut(..octets.len())?;
        room.copy_from_slice(octets);
        self.at += octets.len();
        Some(())
    }

    pub(super) fn question(&mut self, question: &[u8]) {
        let name = &question[..question.len() - 4];
        if name == self.apex.as_wire() {
            self.apex_at = Some(self.at);
        }
        // This always fits, because the question is the first part of a message with room for every question.
        let _ = self.put(question);
    }

    pub(super) fn soa(&mut self, zone: &Zone) -> Option<()> {
        let set = zone.soa();
        let (ttl, rdata) = set.records().next()?;
        self.record(Record { owner: zone.apex(), rtype: Rtype::SOA, ttl, rdata })
    }

    /// Writes a record whole, or writes nothing.
    pub(super) fn record(&mut self, record: Record<'_>) -> Option<()> {
        let before = (self.at, self.apex_at, self.owner);
        let written = self.try_record(record);
        match written {
            Some(()) => self.count += 1,
            None => (self.at, self.apex_at, self.owner) = before,
        }
        written
    }

    fn try_record(&mut self, record: Record<'_>) -> Option<()> {
        let (owner_at, owner_len) = self.owner;
        let start = self.at;
        // The last owner may end in a pointer, so its written form is compared.
        if owner_len > 0 && self.is_same_owner(record.owner, owner_at, owner_len) {
            self.put(&pointer(owner_at as u16))?;
        } else {
            self.name(record.owner)?;
            self.owner = if start < FULL_AT { (start, record.owner.len()) } else { (0, 0) };
        }
        let mut fixed = [0, 0, 0, 1, 0, 0, 0, 0];
        fixed[..2].copy_from_slice(&record.rtype.0.to_be_bytes());
        fixed[4..].copy_from_slice(&record.ttl.0.to_be_bytes());
        self.put(&fixed)?;
        let len_at = self.at;
        self.put(&[0, 0])?;
        let mut rest = record.rdata;
        if let Some((before, names)) = rdata_names(record.rtype) {
            let (head, after) = rest.split_at_checked(before)?;
            self.put(head)?;
            rest = after;
            for _ in 0..names {
                let (name, after) = Name::split_from(rest)?;
                self.name(name)?;
                rest = after;
            }
        }
        self.put(rest)?;
        let len = (self.at - len_at - 2) as u16;
        self.out[len_at..len_at + 2].copy_from_slice(&len.to_be_bytes());
        Some(())
    }

    /// Tells whether the owner written at `at`, `len` bytes long without compression, is `owner`.
    fn is_same_owner(&self, owner: Name<'_>, at: usize, len: usize) -> bool {
        if owner.len() != len {
            return false;
        }
        match self.prefix_len(owner) {
            // The written form: labels, then a pointer to the apex or the apex itself.
            Some(prefix) => {
                let follows = self.out[at + prefix];
                self.out[at..at + prefix] == owner.as_wire()[..prefix]
                    && (follows & 0xc0 == 0xc0 || self.apex_at == Some(at + prefix))
            }
            None => self.out[at..at + len] == *owner.as_wire(),
        }
    }

    /// Number of bytes of a name before the apex; `None` if the name does not end with the apex byte for byte.
    fn prefix_len(&self, name: Name<'_>) -> Option<usize> {
        let prefix = name.len().checked_sub(self.apex.len())?;
        let is_within = name.as_wire()[prefix..] == *self.apex.as_wire() && name.ends_with(self.apex);
        // The root needs no pointer.
        (is_within && !self.apex.is_root()).then_some(prefix)
    }

    fn name(&mut self, name: Name<'_>) -> Option<()> {
        match (self.prefix_len(name), self.apex_at) {
            (Some(prefix), Some(apex_at)) => {
                self.put(&name.as_wire()[..prefix])?;
                self.put(&pointer(apex_at as u16))
            }
            (Some(prefix), None) => {
                let apex_at = self.at + prefix;
                self.put(name.as_wire())?;
                self.apex_at = (apex_at < FULL_AT).then_some(apex_at);
                Some(())
            }
            (None, _) => self.put(name.as_wire()),
        }
    }
}
