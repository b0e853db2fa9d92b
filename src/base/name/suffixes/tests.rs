//! Collisions of hashes under several seeds.

use super::*;
use crate::base::name::name;

#[test]
fn names_that_collide_with_one_seed_do_not_with_another() {
    let hash = |text: &str, seed| {
        let mut suffixes = Suffixes::new();
        suffixes.fill_seeded(name(text).as_name(), Tail::WHOLE, seed);
        suffixes.hash(suffixes.labels())
    };
    // The low bits of the upper half choose a slot in a table of 4096. With the first seed, these names have the same
    // slot.
    let place = |text: &str, seed| hash(text, seed) >> 32 & 0xfff;
    let meeting: Vec<String> =
        (0..200_000).map(|number| format!("n{number}.example")).filter(|text| place(text, 1) == 7).collect();
    assert!(meeting.len() > 20, "{}", meeting.len());
    for seed in [2, DEFAULT_SEED, u64::MAX] {
        let mut places: Vec<u64> = meeting.iter().map(|text| place(text, seed)).collect();
        places.sort_unstable();
        places.dedup();
        assert!(places.len() > meeting.len() - 5, "{} places for {}", places.len(), meeting.len());
    }
}
