//! Searches in packed ranges, compared with a linear search.

use proptest::prelude::*;

use super::tree::NEAR_NODES;
use super::*;

fn assert_finds<A: Packed>(mut starts: Vec<A>, probes: &[A]) {
    starts.push(A::MIN);
    starts.sort_unstable();
    starts.dedup();
    let plans: Vec<PlanId> = (0..starts.len()).map(|at| PlanId(at as u16)).collect();
    let ranges = Ranges::pack(&starts, &plans);
    assert_eq!(ranges.lines.len(), starts.len());
    for (at, &start) in starts.iter().enumerate() {
        let place = ranges.lines.place(at);
        assert_eq!((ranges.start(place), ranges.lines.plan(place)), (start, PlanId(at as u16)));
        assert_eq!(ranges.lines.next(place), (at + 1 < starts.len()).then(|| ranges.lines.place(at + 1)));
    }
    let edges = starts.iter().flat_map(|start| [Some(*start), start.previous(), start.next()]).flatten();
    for address in edges.chain(probes.iter().copied()).chain([A::MIN, A::MAX]) {
        let expected = starts.partition_point(|start| *start <= address) - 1;
        let expected = ranges.lines.place(expected);
        assert_eq!(ranges.find(address, None), expected, "{address:?} among {starts:?}");
        // The line that was told ahead is the one in which it was found, or the bits behind the key have led back from.
        // Wherever the way has come to, the search goes on to the same.
        let ((mut descent, mut place), [lines, nodes]) = (ranges.approach(address), ranges.lines.areas());
        let line = loop {
            assert_eq!(ranges.find(address, Some(descent)), expected, "{address:?} from {descent:?}");
            if let Descent::Line(line) = descent {
                break line as usize;
            }
            assert!(nodes.contains(&place), "{address:?}");
            (descent, place) = ranges.advance(address, descent);
        };
        assert_eq!(place, lines.start.wrapping_add(line * 64), "{address:?}");
    }
}

proptest! {
    #[test]
    fn ipv4_positions_are_those_of_a_plain_search(starts in prop::collection::vec(any::<u32>(), 0..600), probes in prop::collection::vec(any::<u32>(), 20)) {
        assert_finds(starts, &probes);
    }

    #[test]
    fn ipv6_positions_are_those_of_a_plain_search_even_where_the_upper_halves_are_the_same(
        starts in prop::collection::vec((0u64..20, prop::option::of(0u64..9)), 0..300),
        probes in prop::collection::vec(any::<u128>(), 20),
    ) {
        let spread = |high: u64| high.wrapping_mul(0x0d79_4359_11bc_0000) | (high << 60);
        let starts = starts.into_iter().map(|(high, low)| u128::join(spread(high), low.unwrap_or(0) << 61)).collect();
        assert_finds(starts, &probes);
    }
}

#[test]
fn full_lines_and_levels_end_where_they_should() {
    // These have levels that are not near.
    let far = (NEAR_NODES * 16 * 10 + 1) as u32;
    assert_finds((0..far).map(|at| at * 7 + 1).collect::<Vec<u32>>(), &[]);
    assert_finds((0..far).map(|at| u128::from(at) << 70).collect::<Vec<u128>>(), &[]);
    for len in [1, 9, 10, 11, 159, 160, 161, 2559, 2560, 2561] {
        assert_finds((0..len).map(|at| at * 7 + 1).collect::<Vec<u32>>(), &[]);
        assert_finds((0..len).map(|at| u32::MAX - at).collect::<Vec<u32>>(), &[]);
        assert_finds((0..len).map(|at| u128::MAX - (u128::from(at) << 63)).collect::<Vec<u128>>(), &[]);
    }
}
