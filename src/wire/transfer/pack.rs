//! Records in one message of a transfer, with owners compressed against the apex and the previous owner.
//!
//! **Invariants**: a record is written whole or not at all.
//!
//! RFC 1035 §4.1.4, RFC 5936 §2.

use super::FULL_AT;
use crate::base::name::Name;
use crate::base::rr::Rtype;
use crate::wire::record::{MessageWriter, pointer};
use crate::zone::{Record, Zone};

/// Writes records into one message.
pub(super) struct Packer<'o, 'z> {
    pub(super) message: MessageWriter<'o>,
    names: ApexPointers<'z>,
    /// Offset of the last owner that was written, and its length in bytes without compression; 0 if there is none.
    owner: (usize, usize),
    pub(super) count: u16,
}

impl<'o, 'z> Packer<'o, 'z> {
    pub(super) fn new(message: MessageWriter<'o>, apex: Name<'z>) -> Self {
        Packer { message, names: ApexPointers { apex, at: None }, owner: (0, 0), count: 0 }
    }

    pub(super) fn question(&mut self, question: &[u8]) {
        let name = &question[..question.len() - 4];
        if name == self.names.apex.as_wire() {
            self.names.at = Some(self.message.at);
        }
        // This always fits, because the question is the first part of a message with room for every question.
        let _ = self.message.put(question);
    }

    pub(super) fn soa(&mut self, zone: &Zone) -> Option<()> {
        let set = zone.soa();
        let (ttl, rdata) = set.records().next()?;
        self.record(Record { owner: zone.apex(), rtype: Rtype::SOA, ttl, rdata })
    }

    /// Writes a record whole, or writes nothing.
    pub(super) fn record(&mut self, record: Record<'_>) -> Option<()> {
        let before = (self.message.at, self.names.at, self.owner);
        let written = self.try_record(record);
        match written {
            Some(()) => self.count += 1,
            None => (self.message.at, self.names.at, self.owner) = before,
        }
        written
    }

    fn try_record(&mut self, Record { owner, rtype, ttl, rdata }: Record<'_>) -> Option<()> {
        let (owner_at, owner_len) = self.owner;
        let start = self.message.at;
        // The last owner may end in a pointer, so its written form is compared.
        if owner_len > 0 && self.is_same_owner(owner, owner_at, owner_len) {
            self.message.put(&pointer(owner_at as u16))?;
        } else {
            self.names.write(owner, &mut self.message)?;
            self.owner = if start < FULL_AT { (start, owner.len()) } else { (0, 0) };
        }
        self.message.record(rtype, ttl, rdata, |message, name| self.names.write(name, message))
    }

    /// Tells whether the owner written at `at`, `len` bytes long without compression, is `owner`.
    fn is_same_owner(&self, owner: Name<'_>, at: usize, len: usize) -> bool {
        if owner.len() != len {
            return false;
        }
        let out = &self.message.out[at..];
        match self.names.prefix_len(owner) {
            // The written form: labels, then a pointer to the apex or the apex itself.
            Some(prefix) => {
                out[..prefix] == owner.as_wire()[..prefix]
                    && (out[prefix] & 0xc0 == 0xc0 || self.names.at == Some(at + prefix))
            }
            None => out[..len] == *owner.as_wire(),
        }
    }
}

/// Pointers to the apex, the only name that other names are compressed against.
struct ApexPointers<'z> {
    apex: Name<'z>,
    /// Offset of the apex, written byte for byte the same; `None` if it has not been written.
    at: Option<usize>,
}

impl ApexPointers<'_> {
    /// Number of bytes of a name before the apex; `None` if the name does not end with the apex byte for byte.
    fn prefix_len(&self, name: Name<'_>) -> Option<usize> {
        let prefix = name.len().checked_sub(self.apex.len())?;
        let is_within = name.as_wire()[prefix..] == *self.apex.as_wire() && name.ends_with(self.apex);
        // The root needs no pointer.
        (is_within && !self.apex.is_root()).then_some(prefix)
    }

    fn write(&mut self, name: Name<'_>, message: &mut MessageWriter<'_>) -> Option<()> {
        match (self.prefix_len(name), self.at) {
            (Some(prefix), Some(apex_at)) => {
                message.put(&name.as_wire()[..prefix])?;
                message.put(&pointer(apex_at as u16))
            }
            (prefix, _) => {
                let apex_at = prefix.map(|prefix| message.at + prefix);
                message.put(name.as_wire())?;
                self.at = self.at.or(apex_at.filter(|at| *at < FULL_AT));
                Some(())
            }
        }
    }
}
