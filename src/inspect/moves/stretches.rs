//! The addresses that move, as stretches of bounded number.
//!
//! **Invariants**: stretches are disjoint and in address order; every address that moves is in one. If there would be more than
//! [`MAX_STRETCHES`], all are widened to blocks, so that an address which stays may be in one too.
//! **Not here**: the number of addresses that move, which is exact ([`super::families`]).

/// The most stretches of a horizon and family: 0.5 MB. A version of a provider's feed changes some hundred prefixes; a new database
/// of countries changes more, and a picture in cells shows the same with blocks of /24.
pub(crate) const MAX_STRETCHES: usize = 16_384;

/// The bits by which blocks become shorter.
const STEP: u8 = 8;

/// The addresses of one family that move.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MovedStretches {
    stretches: Vec<(u128, u128)>,
    /// The number of address bits that blocks leave out; 0 while the stretches are exact.
    free: u8,
}

impl MovedStretches {
    /// Adds a stretch behind all others.
    pub(super) fn add(&mut self, first: u128, last: u128) {
        push(&mut self.stretches, self.free, first, last);
        // Blocks of all bits are one stretch, so that this ends.
        while self.stretches.len() > MAX_STRETCHES {
            self.free += STEP;
            let exact = std::mem::take(&mut self.stretches);
            exact.into_iter().for_each(|(first, last)| push(&mut self.stretches, self.free, first, last));
        }
    }

    /// True if an address from one to another moves, both included.
    pub(crate) fn touches(&self, first: u128, last: u128) -> bool {
        let behind = self.stretches.partition_point(|(begin, _)| *begin <= last);
        behind.checked_sub(1).is_some_and(|at| self.stretches[at].1 >= first)
    }
}

/// Adds a stretch, widened to blocks, and joins it with the last one if the two touch.
fn push(stretches: &mut Vec<(u128, u128)>, free: u8, first: u128, last: u128) {
    let mask = u128::MAX.checked_shr((128 - u32::from(free.min(128))).min(128)).unwrap_or(0);
    let (first, last) = (first & !mask, last | mask);
    match stretches.last_mut() {
        Some((_, end)) if first <= end.saturating_add(1) => *end = (*end).max(last),
        _ => stretches.push((first, last)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prefix::Family;

    #[test]
    fn few_stretches_are_exact() {
        let mut moved = MovedStretches::default();
        [(5, 9), (10, 10), (12, 15)].into_iter().for_each(|(first, last)| moved.add(first, last));
        assert_eq!(moved.stretches, [(5, 10), (12, 15)]);
        let touches = |first, last| moved.touches(first, last);
        assert!(touches(0, 5) && touches(10, 11) && touches(6, 7) && touches(0, u128::MAX));
        assert!(!touches(0, 4) && !touches(11, 11) && !touches(16, 20));
    }

    #[test]
    fn many_stretches_become_blocks_that_hold_all_of_them() {
        for family in Family::ALL {
            let mut moved = MovedStretches::default();
            let far = 1u128 << (u32::from(family.width()) - 17);
            let all: Vec<u128> = (0..40_000u128).map(|at| at * far).collect();
            all.iter().for_each(|at| moved.add(*at, *at));
            assert!(moved.stretches.len() <= MAX_STRETCHES && moved.free > 0);
            assert!(all.iter().all(|at| moved.touches(*at, *at)));
            assert!(moved.stretches.windows(2).all(|pair| pair[0].1 < pair[1].0));
        }
    }
}
