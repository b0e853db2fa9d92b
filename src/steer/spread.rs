//! Spreading the clients of a plan over its mirrors by weight.
//!
//! In: names and weights. Out: for each of [`SLOTS`] slots, the order in which its clients take the mirrors. A client's slot
//! is a hash of its *scope prefix*: the block for which its answer is said to hold. Every address of that block has the same
//! scope and so the same slot, and no resolver's cache mixes two slots. A hash of the client's address, or of the subnet as
//! the resolver sent it, would give a resolver several answers for one scope.
//!
//! The scope of an answer may be as short as the ranges of the table allow, and a plan for all clients would be one block.
//! So a plan with weights has a least scope ([`LeastScopes`]): then there are enough blocks for the weights to come true.
//!
//! A slot prefers the mirrors in the order of a weighted rendezvous hash of the slot and the mirror's name. Its first mirror
//! is the exception: first places are dealt out so that each mirror is first in as many slots as its weight says, to one in
//! 256. If a mirror goes down, only its own slots change, each to the next mirror in its order. When the mirror comes back,
//! it takes those slots and no others. Health has no part here: [`super::choose`] picks the first mirror of a slot's order
//! that is up, as it does for every plan.
//!
//! **Invariants**: the same names and weights give the same slots on every server and after every restart, whatever the
//! order of the list; no floating point, because other machines might round it differently; a mirror with a weight is first
//! in some slot, one without is last in every slot.
//! **Not here**: the plan of the slot that a client gets ([`super::decide`]).

use crate::base::client::ScopePrefixLen;
use crate::base::prefix::{Bits, Family};

/// The number of slots of a plan: a weight is true to one in 256, and no list needs more orders.
pub(crate) const SLOTS: usize = 256;

/// Names and weights of a list of mirrors.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Weights(Vec<Weighted>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Weighted {
    /// A hash of the mirror's name: ids depend on what else is configured.
    key: u64,
    weight: u16,
}

/// The least scope lengths of a plan with weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeastScopes {
    /// For IPv4 clients.
    pub(crate) v4: ScopePrefixLen,
    /// For IPv6 clients.
    pub(crate) v6: ScopePrefixLen,
}

impl LeastScopes {
    /// /16 and /32.
    ///
    /// Some 50,000 blocks of 16 bits have clients in them, so shares come true to the percent, and a resolver keeps at most
    /// as many answers for one name. With /24 it would be 14 million. In IPv6, /32 is the allocation of one provider
    /// (RIPE-738 §5.1): its clients stay together, and there are tens of thousands of such blocks.
    pub(crate) const USUAL: LeastScopes = LeastScopes { v4: ScopePrefixLen(16), v6: ScopePrefixLen(32) };

    /// That of a family.
    #[inline]
    pub(crate) fn of(self, family: Family) -> u8 {
        match family {
            Family::V4 => self.v4.0,
            Family::V6 => self.v6.0,
        }
    }
}

impl Weights {
    /// Names with their weights, in the order of the list; one weight at least is not 0.
    pub fn new<'n>(list: impl IntoIterator<Item = (&'n str, u16)>) -> Self {
        Weights(list.into_iter().map(|(name, weight)| Weighted { key: hash(name.as_bytes()), weight }).collect())
    }

    /// Each mirror's weight, in the order of the list.
    pub(crate) fn weights(&self) -> impl Iterator<Item = u16> {
        self.0.iter().map(|one| one.weight)
    }

    /// For each slot the order of the mirrors, as places in the list.
    pub(crate) fn orders(&self) -> Vec<Vec<usize>> {
        let weighted = |at: &usize| self.0[*at].weight > 0;
        let of_slot = |slot: usize| {
            let mut order: Vec<usize> = (0..self.0.len()).filter(weighted).collect();
            order.sort_by_key(|at| (self.cost(slot, *at), self.0[*at].key));
            order.extend((0..self.0.len()).filter(|at| !weighted(at)));
            order
        };
        let mut orders: Vec<Vec<usize>> = (0..SLOTS).map(of_slot).collect();
        for (order, first) in orders.iter_mut().zip(self.firsts()) {
            order.sort_by_key(|at| *at != first);
        }
        orders
    }

    /// For each slot the mirror that is first: the cheapest pairs of slot and mirror as long as the mirror is due more slots.
    fn firsts(&self) -> Vec<usize> {
        let mut due = self.quotas();
        let mut pairs: Vec<(usize, usize)> =
            (0..SLOTS).flat_map(|slot| (0..self.0.len()).map(move |at| (slot, at))).collect();
        pairs.retain(|(_, at)| due[*at] > 0);
        pairs.sort_by_cached_key(|(slot, at)| (self.cost(*slot, *at), *slot, self.0[*at].key));
        let mut firsts = vec![None; SLOTS];
        for (slot, at) in pairs {
            if firsts[slot].is_none() && due[at] > 0 {
                firsts[slot] = Some(at);
                due[at] -= 1;
            }
        }
        firsts.into_iter().map(|first| first.expect("quotas add up to the slots")).collect()
    }

    /// The number of slots in which each mirror is first: its share of them by largest remainder, at least one if it has a
    /// weight.
    fn quotas(&self) -> Vec<usize> {
        let sum: usize = self.weights().map(usize::from).sum::<usize>().max(1);
        let share = |one: &Weighted| usize::from(one.weight) * SLOTS;
        let mut quotas: Vec<usize> =
            self.0.iter().map(|one| (share(one) / sum).max(usize::from(one.weight > 0))).collect();
        let mut by_remainder: Vec<usize> = (0..self.0.len()).filter(|at| self.0[*at].weight > 0).collect();
        by_remainder.sort_by_key(|at| (std::cmp::Reverse(share(&self.0[*at]) % sum), self.0[*at].key));
        let mut given: usize = quotas.iter().sum();
        for at in by_remainder.iter().cycle().take(SLOTS.saturating_sub(given)) {
            quotas[*at] += 1;
        }
        // Many small weights have been given a slot each beyond their share: the largest give them back.
        while given > SLOTS {
            let largest =
                (0..self.0.len()).max_by_key(|at| (quotas[*at], self.0[*at].key)).expect("a list has mirrors");
            quotas[largest] -= 1;
            given -= 1;
        }
        quotas
    }

    /// The cost of a mirror for a slot: `-log2(u) / weight` of a hash u from 0 to 1. The mirror with the least cost is
    /// first, with a probability in proportion to its weight.
    fn cost(&self, slot: usize, at: usize) -> u128 {
        let Weighted { key, weight } = self.0[at];
        (u128::from(negative_log2(mix(key ^ mix(slot as u64 + 1)))) << 16) / u128::from(weight.max(1))
    }
}

/// The slot of a block by its first address; `seed` is that of the horizon.
///
/// The block's length is no part of it: when a feed splits a block, its lower half stays where it was.
#[inline]
pub(crate) fn slot_of<A: Bits>(seed: u64, first: A) -> usize {
    let bits = first.to_u128();
    let (high, low) = ((bits >> 64) as u64, bits as u64);
    (mix(mix(low ^ seed) ^ high) >> (u64::BITS - SLOTS.ilog2())) as usize
}

/// A hash of bytes that is the same everywhere (FNV-1a, with its bits mixed once more).
pub(crate) fn hash(octets: &[u8]) -> u64 {
    mix(octets
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, octet| (hash ^ u64::from(*octet)).wrapping_mul(0x100_0000_01b3)))
}

/// Makes every bit depend on every other (the finalizer of MurmurHash3).
#[inline]
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    bits = (bits ^ (bits >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    bits ^ (bits >> 33)
}

/// `-log2(x / 2^64)` in units of 2^-32; 0 counts as 1.
fn negative_log2(x: u64) -> u64 {
    let x = x.max(1);
    let whole = u64::from(x.leading_zeros());
    // The mantissa from 1 to 2, with 63 bits behind the point; each squaring gives one more bit of its logarithm.
    let (mut mantissa, mut fraction) = (u128::from(x << whole), 0u64);
    for _ in 0..32 {
        mantissa = (mantissa * mantissa) >> 63;
        fraction <<= 1;
        if mantissa >> 64 != 0 {
            mantissa >>= 1;
            fraction |= 1;
        }
    }
    ((whole + 1) << 32) - fraction
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn weights(list: &[(&str, u16)]) -> Weights {
        Weights::new(list.iter().copied())
    }

    /// In how many slots each mirror is the first that is up.
    fn shares(weights: &Weights, is_up: impl Fn(usize) -> bool) -> Vec<usize> {
        let mut shares = vec![0; weights.0.len()];
        for order in weights.orders() {
            shares[*order.iter().find(|at| is_up(**at)).unwrap()] += 1;
        }
        shares
    }

    #[test]
    fn logarithms_are_right() {
        for x in [1, 2, 3, 1000, 0x8000_0000_0000_0000, 0xc000_0000_0000_0001, u64::MAX] {
            let expected = 64.0 - (x as f64).log2();
            assert!((negative_log2(x) as f64 / 2f64.powi(32) - expected).abs() < 1e-8, "{x}");
        }
    }

    #[test]
    fn shares_are_what_the_weights_say() {
        assert_eq!(shares(&weights(&[("a", 3), ("b", 1)]), |_| true), [192, 64]);
        assert_eq!(shares(&weights(&[("a", 1), ("b", 1), ("c", 0)]), |_| true), [128, 128, 0]);
        assert_eq!(shares(&weights(&[("a", 1), ("b", 1), ("c", 1)]), |_| true).iter().sum::<usize>(), 256);
        // A weight that is hardly there is one slot.
        assert_eq!(shares(&weights(&[("a", 1000), ("b", 1)]), |_| true), [255, 1]);
        assert_eq!(shares(&weights(&[("a", 1), ("b", 0)]), |at| at == 1), [0, 256]);
    }

    #[test]
    fn slots_are_the_same_as_ever() {
        // What servers agree on: a change of these moves clients when a fleet is upgraded one by one.
        let order: Vec<usize> =
            weights(&[("aws-use1", 3), ("gcp-us", 1)]).orders().iter().map(|o| o[0]).take(16).collect();
        assert_eq!(order, [0, 0, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]);
        let seed = hash(b"blobs");
        let slots = (slot_of(seed, 0x0a01_0000u32), slot_of(seed, 0x2001_0db8u128 << 96));
        assert_eq!((seed, slots), (0x3a50_ff0d_9190_2db4, (200, 66)));
    }

    #[test]
    fn blocks_are_spread_evenly_over_slots() {
        for seed in [hash(b"blobs"), hash(b"other")] {
            let mut v4 = [0u32; SLOTS];
            let mut v6 = [0u32; SLOTS];
            for top in 0..65_536u32 {
                v4[slot_of(seed, top << 16)] += 1;
                v6[slot_of(seed, u128::from(0x2001_0000 | top) << 96)] += 1;
            }
            // 256 blocks to a slot, give or take what chance does (five standard deviations).
            assert!(v4.iter().chain(&v6).all(|blocks| (176..=336).contains(blocks)), "{v4:?} {v6:?}");
        }
    }

    fn lists() -> impl Strategy<Value = Vec<u16>> {
        prop::collection::vec(prop_oneof![0..=4u16, 0..=1000u16], 1..12)
            .prop_filter("one weight at least", |list| list.iter().any(|weight| *weight > 0))
    }

    fn named(list: &[u16]) -> Weights {
        let names: Vec<String> = (0..list.len()).map(|at| format!("mirror-{at}")).collect();
        Weights::new(names.iter().map(String::as_str).zip(list.iter().copied()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_share_is_true_to_a_slot_or_two(list in lists()) {
            let sum: f64 = list.iter().map(|weight| f64::from(*weight)).sum();
            let tiny = list.iter().filter(|weight| **weight > 0 && f64::from(**weight) / sum < 1.0 / 256.0).count();
            for (share, weight) in shares(&named(&list), |_| true).into_iter().zip(&list) {
                let due = f64::from(*weight) / sum * 256.0;
                prop_assert!((share as f64 - due).abs() <= 1.0 + tiny as f64, "{} of {}", share, due);
                prop_assert_eq!(share == 0, *weight == 0);
            }
        }

        #[test]
        fn when_a_mirror_goes_down_only_its_slots_move(list in lists(), down in any::<prop::sample::Index>(), before in any::<u16>()) {
            let weights = named(&list);
            let down = down.index(list.len());
            // Others may be down already.
            let is_up = |at: usize| before >> at & 1 == 0;
            for order in weights.orders() {
                let mut all = order.clone();
                all.sort_unstable();
                prop_assert_eq!(all, (0..list.len()).collect::<Vec<_>>());
                let first = |is_up: &dyn Fn(usize) -> bool| order.iter().copied().find(|at| is_up(*at));
                let (then, now) = (first(&is_up), first(&|at| at != down && is_up(at)));
                prop_assert!(then == now || then == Some(down));
            }
        }

        #[test]
        fn the_order_of_the_list_says_nothing(list in lists().prop_filter("weights", |list| !list.contains(&0))) {
            let names: Vec<String> = (0..list.len()).map(|at| format!("mirror-{at}")).collect();
            let mut pairs: Vec<(&str, u16)> = names.iter().map(String::as_str).zip(list.iter().copied()).collect();
            let by_name = |pairs: &[(&str, u16)]| {
                let orders = Weights::new(pairs.iter().copied()).orders();
                orders.iter().map(|order| order.iter().map(|at| pairs[*at].0.to_string()).collect()).collect::<Vec<Vec<_>>>()
            };
            let listed = by_name(&pairs);
            pairs.reverse();
            prop_assert_eq!(by_name(&pairs), listed);
        }

        #[test]
        fn a_mirror_that_joins_takes_little_more_than_its_share(list in lists()) {
            let before = named(&list[..list.len().max(2) - 1]);
            prop_assume!(list.len() > 1 && before.weights().any(|weight| weight > 0));
            let after = named(&list);
            let firsts = |weights: &Weights| weights.orders().iter().map(|order| order[0]).collect::<Vec<_>>();
            let moved = firsts(&before).iter().zip(firsts(&after)).filter(|(a, b)| *a != b).count();
            let share = shares(&after, |_| true)[list.len() - 1];
            prop_assert!(moved <= share + share / 2 + 2 * list.len(), "{} moved for {}", moved, share);
        }
    }
}
