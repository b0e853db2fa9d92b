//! The seed of name hashes: set once, before the first hash, and no answer depends on it.
//!
//! This test is a process of its own, because the seed belongs to the process.

#![allow(missing_docs, reason = "a test binary has no readers from outside")]

mod common;

use common::{cases, fixture};
use pharos::base::name::{NameBuf, seed_hashes};

/// The hash of `www.example.net` with the seed of the test; where no seed is drawn it is `0xa241_2e7b_ca45_6af4`.
const HASH: u64 = 0x1027_e9cc_4ffb_f580;

#[test]
fn every_case_holds_with_another_seed_of_name_hashes() {
    assert!(seed_hashes(0x0123_4567_89ab_cdef), "no name has been hashed yet");
    let name = NameBuf::parse("www.example.net").unwrap_or_else(|_| panic!("a name"));
    let hash = name.as_name().suffixes().hash(3);
    assert_eq!(hash, HASH, "the seed is used");
    let snapshot = fixture::snapshot();
    for case in cases::all() {
        for &transport in &case.asked.transports {
            let (_, found) = case.ask_engine(&snapshot, transport);
            assert_eq!(found, case.expected, "{}: {}", case.place, case.name);
        }
    }
    // With another seed, a lookup would not find the compiled names.
    assert!(!seed_hashes(7) && seed_hashes(0x0123_4567_89ab_cdef));
    assert_eq!(name.as_name().suffixes().hash(3), hash);
}
