//! Random numbers for hashing: no party outside can tell which keys collide. Not for secrets.

use std::hash::{BuildHasher, RandomState};

use crate::base::name::seed_hashes;

/// A number that is another one each time.
pub fn seed() -> u64 {
    // The standard library keys its own hash tables with this.
    RandomState::new().hash_one(())
}

/// Draws what hashes of names begin with, once in a process and before the first name is hashed.
pub fn seed_names() {
    // If hashes have begun, tables of names may exist, which another seed would make useless.
    let _ = seed_hashes(seed());
}
