//! Random numbers for hashing: nobody outside can tell which keys collide. Not for secrets.

use std::hash::{BuildHasher, RandomState};

/// A number that is another one each time.
pub fn seed() -> u64 {
    // The standard library keys its own hash tables with this.
    RandomState::new().hash_one(())
}
