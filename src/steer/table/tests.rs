//! Lookups and scopes, compared with a brute-force computation.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

fn ip(text: &str) -> u32 {
    text.parse::<Ipv4Addr>().unwrap().to_bits()
}

/// Builds from nested prefixes by brute force: the longest that holds each edge.
fn table(prefixes: &[(&str, u8, u16)]) -> RangeTable<u32> {
    let blocks: Vec<_> = prefixes.iter().map(|(first, len, plan)| (Block::holding(ip(first), *len), *plan)).collect();
    from_blocks(&blocks)
}

fn from_blocks<A: Packed>(blocks: &[(Block<A>, u16)]) -> RangeTable<A> {
    let mut edges: Vec<A> =
        blocks.iter().flat_map(|(block, _)| [Some(block.first()), block.last().next()]).flatten().collect();
    edges.push(A::MIN);
    edges.sort_unstable();
    edges.dedup();
    RangeTable::build(edges.into_iter().map(|edge| (edge, PlanId(longest(blocks, edge)))), &[])
}

fn longest<A: Bits>(blocks: &[(Block<A>, u16)], address: A) -> u16 {
    let holding = blocks.iter().filter(|(block, _)| block.contains(address));
    holding.max_by_key(|(block, _)| block.prefix_len()).map_or(0, |(_, plan)| *plan)
}

#[track_caller]
fn assert_scopes(table: &RangeTable<u32>, expected: &[(&str, u8)]) {
    let found: Vec<_> = expected.iter().map(|(address, _)| (*address, table.find(ip(address), 32).scope)).collect();
    assert_eq!(found, expected);
}

#[test]
fn scopes_of_nested_prefixes_are_those_worked_by_hand() {
    let nested = table(&[("10.0.0.0", 8, 1), ("10.1.0.0", 16, 2), ("10.1.2.0", 24, 1)]);
    assert_scopes(
        &nested,
        &[
            ("10.2.3.4", 15),
            ("10.0.1.1", 16),
            ("10.1.2.9", 24),
            ("10.1.3.9", 24),
            ("10.1.200.1", 17),
            ("10.128.0.1", 9),
        ],
    );
}

#[test]
fn the_default_answer_has_an_exact_scope_too() {
    let one = table(&[("198.51.100.0", 24, 1)]);
    assert_scopes(&one, &[("198.51.101.1", 24), ("198.51.0.1", 18), ("8.8.8.0", 1), ("203.0.113.1", 5)]);
}

#[test]
fn rfc7871_s7_2_1_the_example_of_the_rfc_holds() {
    let example = table(&[("1.2.0.0", 20, 1), ("1.2.3.0", 24, 2)]);
    assert_scopes(&example, &[("1.2.0.1", 23), ("1.2.2.1", 24), ("1.2.4.1", 22), ("1.2.8.1", 21), ("1.2.3.1", 24)]);
}

#[test]
fn scope_is_zero_when_all_addresses_are_decided_alike() {
    assert_scopes(&table(&[]), &[("0.0.0.0", 0), ("8.8.8.8", 0), ("255.255.255.255", 0)]);
    // Prefixes with the plan of their surroundings merge with them.
    assert_scopes(&table(&[("10.0.0.0", 8, 0), ("11.0.0.0", 9, 0)]), &[("10.1.1.1", 0)]);
}

#[test]
fn a_block_over_several_ranges_gets_the_plan_of_most_of_it_with_a_longer_scope() {
    let nested = table(&[("10.0.0.0", 8, 1), ("10.0.0.0", 16, 2)]);
    assert_eq!(nested.find(ip("10.0.0.0"), 8), FoundRange { plan: PlanId(1), scope: 16 });
    assert_eq!(nested.find(ip("10.0.0.0"), 15), FoundRange { plan: PlanId(2), scope: 16 });
    assert_eq!(nested.find(ip("10.0.0.0"), 16), FoundRange { plan: PlanId(2), scope: 16 });
}

#[test]
fn boundaries_keep_equal_neighbours_apart() {
    let boundary = Block::holding(ip("10.0.0.0"), 8);
    let ranges = [(0, PlanId(0)), (ip("10.0.0.0"), PlanId(0)), (ip("11.0.0.0"), PlanId(0))];
    let table = RangeTable::build(ranges, &[boundary]);
    assert_eq!(table.len(), 3);
    assert_scopes(&table, &[("11.0.0.1", 8), ("8.8.8.8", 7), ("12.0.0.0", 6)]);
}

fn blocks() -> impl Strategy<Value = Vec<(Block<u32>, u16)>> {
    // Few distinct leading bits, so that blocks nest and touch often.
    prop::collection::vec((0u32..64, any::<u32>(), 0u8..=32, 0u16..4), 0..60).prop_map(|list| {
        let mut blocks: Vec<_> = list
            .into_iter()
            .map(|(top, low, len, plan)| (Block::holding(top << 26 | (low & 0x00ff_ffff), len), plan))
            .collect();
        blocks.sort_unstable();
        blocks.dedup_by_key(|(block, _)| *block);
        blocks
    })
}

proptest! {
    #[test]
    fn every_address_has_the_plan_of_its_longest_prefix(blocks in blocks(), probes in prop::collection::vec(any::<u32>(), 40)) {
        let table = from_blocks(&blocks);
        let edges = blocks.iter().flat_map(|(block, _)| [block.first(), block.last(), block.first().wrapping_sub(1), block.last().wrapping_add(1)]);
        for address in edges.chain(probes) {
            prop_assert_eq!(table.plan_at(address).0, longest(&blocks, address));
        }
    }

    #[test]
    fn rfc7871_s7_2_1_scope_is_uniform_and_one_bit_shorter_is_not(blocks in blocks(), probes in prop::collection::vec(any::<u32>(), 40)) {
        let table = from_blocks(&blocks);
        let uniform = |block: Block<u32>| {
            let range = table.range_at(block.first());
            block.last() <= range.last
        };
        let edges = blocks.iter().flat_map(|(block, _)| [block.first(), block.last()]);
        for address in edges.chain(probes) {
            let scope = table.find(address, 32).scope;
            prop_assert!(uniform(Block::holding(address, scope)));
            prop_assert!(scope == 0 || !uniform(Block::holding(address, scope - 1)));
        }
    }

    #[test]
    fn a_wide_block_gets_what_covers_most_of_it(blocks in blocks(), address in any::<u32>(), source in 1u8..=32) {
        let table = from_blocks(&blocks);
        let block = Block::holding(address, source);
        let mut weights: HashMap<u16, u64> = HashMap::new();
        for range in table.ranges().filter(|range| range.first <= block.last() && range.last >= block.first()) {
            let (first, last) = (range.first.max(block.first()), range.last.min(block.last()));
            *weights.entry(range.plan.0).or_default() += u64::from(last - first) + 1;
        }
        let found = table.find(block.first(), source);
        prop_assert_eq!(weights[&found.plan.0], *weights.values().max().unwrap());
        let several = table.range_at(block.first()).last < block.last();
        prop_assert_eq!(found.scope > source, several);
    }
}
