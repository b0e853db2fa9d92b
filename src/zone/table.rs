//! The table from the hash of a name to the number of its entry: open addressing, linear probing.
//!
//! In: hashes of [`crate::base::name::Suffixes`]. Out: the numbers that were inserted with them.
//! A slot keeps 32 bits of the hash beside the number: enough to place it, so that growing needs no names, and more
//! than enough that a miss hardly ever has to compare names.
//!
//! **Invariants**: at most half of the slots are taken, so every probe ends; their count is a power of two.
//! **Not here**: the names; the caller compares names.

use crate::base::memory::area;

/// From hashes to numbers.
pub(super) struct HashTable {
    slots: Vec<TableSlot>,
    taken: usize,
}

#[derive(Clone, Copy)]
struct TableSlot {
    /// The upper half of the hash; its low bits say where to start probing.
    tag: u32,
    /// The number, or [`FREE`].
    id: u32,
}

/// Marks a slot that holds nothing; as a number of an entry it is never reached (see `MAX_NODES` of [`super::build`]).
const FREE: u32 = u32::MAX;

impl HashTable {
    /// An empty table.
    pub(super) fn new() -> Self {
        HashTable { slots: vec![TableSlot { tag: 0, id: FREE }; 16], taken: 0 }
    }

    /// The number inserted with `hash` for which `is_it` holds.
    #[inline]
    pub(super) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let (tag, mask) = (tag(hash), self.slots.len() - 1);
        let mut at = tag as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot.id == FREE {
                return None;
            }
            if slot.tag == tag && is_it(slot.id) {
                return Some(slot.id);
            }
            at = (at + 1) & mask;
        }
    }

    /// The place of the slot at which [`HashTable::find`] begins.
    #[inline]
    pub(super) fn slot(&self, hash: u64) -> *const u8 {
        (&raw const self.slots[tag(hash) as usize & (self.slots.len() - 1)]).cast()
    }

    /// Adds a number that is not there yet.
    pub(super) fn insert(&mut self, hash: u64, id: u32) {
        if (self.taken + 1) * 2 > self.slots.len() {
            let grown = vec![TableSlot { tag: 0, id: FREE }; self.slots.len() * 2];
            for slot in std::mem::replace(&mut self.slots, grown) {
                if slot.id != FREE {
                    self.put(slot);
                }
            }
        }
        self.put(TableSlot { tag: tag(hash), id });
        self.taken += 1;
    }

    /// The memory area of the table.
    pub(super) fn area(&self) -> std::ops::Range<*const u8> {
        area(&self.slots)
    }

    /// Puts another number in the place of each.
    pub(super) fn renumber(&mut self, new: impl Fn(u32) -> u32) {
        for slot in self.slots.iter_mut().filter(|slot| slot.id != FREE) {
            slot.id = new(slot.id);
        }
    }

    fn put(&mut self, slot: TableSlot) {
        let mask = self.slots.len() - 1;
        let mut at = slot.tag as usize & mask;
        while self.slots[at].id != FREE {
            at = (at + 1) & mask;
        }
        self.slots[at] = slot;
    }
}

/// The half of a hash that a slot keeps.
#[inline]
fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_inserted_is_found_even_where_hashes_collide() {
        let mut table = HashTable::new();
        let hash = |id: u32| u64::from(id % 7) << 32;
        for id in 0..1000 {
            assert_eq!(table.find(hash(id), |other| other == id), None);
            table.insert(hash(id), id);
        }
        for id in 0..1000 {
            assert_eq!(table.find(hash(id), |other| other == id), Some(id));
            // The search begins at the slot that is told ahead.
            let at = (table.slot(hash(id)).addr() - table.area().start.addr()) / size_of::<TableSlot>();
            assert_eq!(at, id as usize % 7);
        }
        assert_eq!(table.find(hash(1000), |_| false), None);
    }
}
