//! Mirrors in order of their distance from the client.
//!
//! A City database has hundreds of thousands of places, and each place has its own order of the mirrors. Only the nearest
//! [`DISTINGUISHED`] are told apart, and the others follow as listed, because the order of the fifth-nearest matters only
//! while four are down. Places with the same nearest mirrors share a plan, so that ranges merge, scopes stay short and a
//! change of health affects few plans. The number of plans is limited all the same ([`MAX_ORDERS`]): if a horizon has more
//! orders, fewer of the nearest are told apart, down to the first alone.
//!
//! A client without coordinates in any source gets the listed order: the conditions of its rule hold, and the operator's
//! order is better than an arbitrary one. Distances are whole kilometres; of equally near mirrors, the one listed first is
//! nearer.
//!
//! **Invariants**: the nearest mirror of a client with coordinates is always its first.
//! **Not here**: where clients are ([`crate::networks`]), the distance itself ([`crate::base::geo`]).

use std::collections::{BTreeMap, HashSet};

use crate::base::geo::{Coordinates, Direction, Kilometres};

/// The number of nearest mirrors that are told apart.
pub(crate) const DISTINGUISHED: usize = 4;

/// The most orders by distance of one horizon: each is a plan, whose answers are made anew when the health of a mirror
/// changes, at a microsecond or two. Fifty mirrors spread over the earth have about two thousand.
pub(crate) const MAX_ORDERS: usize = 4096;

/// The directions of the mirrors of a list, in its order; a mirror is named by its place in the list.
#[derive(Clone, Debug)]
pub(super) struct Places(Vec<Direction>);

/// The places in a list of the nearest mirrors, the nearest first.
type Nearest = Vec<usize>;

impl Places {
    pub(super) fn new(list: &[Coordinates]) -> Self {
        Places(list.iter().map(|coordinates| coordinates.direction()).collect())
    }

    /// The distance of each mirror from a client, in the order of the list.
    pub(super) fn distances(&self, client: Coordinates) -> Vec<Kilometres> {
        let client = client.direction();
        self.0.iter().map(|mirror| mirror.distance(client)).collect()
    }

    /// The nearest mirrors, as many as are told apart.
    pub(super) fn nearest(&self, client: Coordinates) -> Nearest {
        let mut by_distance: Vec<(Kilometres, usize)> = self.distances(client).into_iter().zip(0..).collect();
        if by_distance.len() > DISTINGUISHED {
            by_distance.select_nth_unstable(DISTINGUISHED);
            by_distance.truncate(DISTINGUISHED);
        }
        by_distance.sort_unstable();
        by_distance.into_iter().map(|(_, at)| at).collect()
    }

    /// The whole list with the `depth` nearest in front.
    pub(super) fn order(&self, nearest: &[usize], depth: usize) -> Vec<usize> {
        let front = &nearest[..depth.min(nearest.len())];
        let rest = (0..self.0.len()).filter(|at| !front.contains(at));
        front.iter().copied().chain(rest).collect()
    }
}

/// The number of nearest mirrors that can be told apart without too many plans: one at least. `L` names the list that an
/// order is of.
pub(super) fn depth<'n, L: Ord>(orders: impl Iterator<Item = (L, &'n [usize])> + Clone) -> usize {
    let fits = |depth: &usize| {
        let mut distinct: BTreeMap<L, HashSet<&[usize]>> = BTreeMap::new();
        for (list, nearest) in orders.clone() {
            distinct.entry(list).or_default().insert(&nearest[..nearest.len().min(*depth)]);
        }
        distinct.values().map(HashSet::len).sum::<usize>() <= MAX_ORDERS
    };
    (2..=DISTINGUISHED).rev().find(fits).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place() -> impl Strategy<Value = Coordinates> {
        // Few places, so that some are the same, and many.
        let few = (-2..=2i32, -3..=3i32).prop_map(|(north, east)| (f64::from(north) * 45.0, f64::from(east) * 60.0));
        let any = (-90.0..=90.0f64, -180.0..=180.0f64);
        prop_oneof![few, any].prop_map(|(north, east)| Coordinates::from_degrees(north, east).unwrap())
    }

    /// Kilometres by the haversine formula, which the code does not use.
    fn haversine(a: Coordinates, b: Coordinates) -> f64 {
        let (a, b) = (a.degrees(), b.degrees());
        let (lat_a, lat_b) = (a.0.to_radians(), b.0.to_radians());
        let half_chord = |angle: f64| (angle / 2.0).sin().powi(2);
        let h = half_chord(lat_a - lat_b) + lat_a.cos() * lat_b.cos() * half_chord((a.1 - b.1).to_radians());
        2.0 * 6371.0088 * h.min(1.0).sqrt().asin()
    }

    proptest! {
        #[test]
        fn the_nearest_are_those_found_by_measuring_all(mirrors in prop::collection::vec(place(), 1..12), client in place()) {
            let places = Places::new(&mirrors);
            let nearest = places.nearest(client);
            let order = places.order(&nearest, DISTINGUISHED);
            let far: Vec<f64> = mirrors.iter().map(|mirror| haversine(*mirror, client)).collect();

            prop_assert_eq!(nearest.len(), mirrors.len().min(DISTINGUISHED));
            let mut all = order.clone();
            all.sort_unstable();
            prop_assert_eq!(all, (0..mirrors.len()).collect::<Vec<_>>());
            // Kilometres are whole, so within one there is no nearer.
            for pair in order[..nearest.len()].windows(2) {
                prop_assert!(far[pair[0]] <= far[pair[1]] + 1.0);
                prop_assert!(mirrors[pair[0]] != mirrors[pair[1]] || pair[0] < pair[1], "the first of two at one place");
            }
            let last = far[nearest[nearest.len() - 1]];
            let rest = &order[nearest.len()..];
            prop_assert!(rest.iter().all(|at| far[*at] + 1.0 >= last));
            prop_assert!(rest.is_sorted());
        }
    }

    #[test]
    fn too_many_orders_are_told_apart_less() {
        let orders =
            |count: usize| -> Vec<Vec<usize>> { (0..count).map(|at| vec![0, at % 70, at / 70 % 70, at % 3]).collect() };
        let depth_of = |orders: &[Vec<usize>]| depth(orders.iter().map(|order| ((), &**order)));
        assert_eq!(depth_of(&orders(10)), 4);
        assert_eq!(depth_of(&orders(4096)), 4);
        // 4900 pairs of second and third are too many; 70 seconds are not.
        assert_eq!(depth_of(&orders(4900)), 2);
    }
}
