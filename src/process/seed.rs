//! Random numbers for hashing, so that no client can predict which keys collide. Secrets need a better source.

use std::hash::{BuildHasher, RandomState};

use crate::base::name::seed_hashes;

/// A random number.
pub(crate) fn seed() -> u64 {
    // The standard library uses the same source for the keys of its hash tables.
    RandomState::new().hash_one(())
}

/// Draws the seed of name hashes. To be called once in a process, before the first name is hashed.
pub(crate) fn seed_names() {
    // If a name was hashed before, tables of names may exist, which another seed would make useless.
    let _ = seed_hashes(seed());
}
