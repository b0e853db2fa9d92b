//! Horizons whole: clients of random networks under random rules, by weight and by distance, against the definition.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use proptest::prelude::*;

use super::spread::SLOTS;
use super::*;
use crate::base::client::{Client, ScopePrefixLen, SourcePrefixLen, Subnet};
use crate::base::geo::Coordinates;
use crate::base::ids::{MirrorId, PlanId, SourceId};
use crate::base::prefix::{Bits, Block, Family, Prefix};
use crate::networks::{LabelKind, Labels, Networks, SourceBuilder};

const RESOLVER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 53));

fn ids(list: &[u16]) -> Vec<MirrorId> {
    list.iter().copied().map(MirrorId).collect()
}

fn weighted(weights: &[u16]) -> Ranking {
    let names: Vec<String> = (0..weights.len()).map(|at| format!("mirror-{at}")).collect();
    Ranking::Weighted(Weights::new(names.iter().map(String::as_str).zip(weights.iter().copied())))
}

/// Labels 0 and 1 have weights, label 2 has not; the default has weights where it is told to.
fn spread(prefixes: &[(Prefix, u8)], default_ranking: Ranking) -> Horizon {
    let mut source = SourceBuilder::new("list", "list.txt").by_operator();
    for (prefix, label) in prefixes {
        let labels = source.intern(Labels::of(LabelKind::Label, &*label.to_string()));
        source.add(*prefix, labels, 1);
    }
    let networks = Networks { sources: vec![Arc::new(source.finish().0)] };
    let rule = |label: &str, ranking: Ranking| Rule {
        conditions: vec![Condition::Network { sources: vec![SourceId(0)], labels: vec![label.into()] }],
        mirrors: ids(&[0, 1, 2]),
        ranking,
        fallback: Vec::new(),
        is_canonical: false,
    };
    let rules = vec![rule("0", weighted(&[1, 1, 1])), rule("1", weighted(&[5, 1, 0])), rule("2", Ranking::Listed)];
    let draft = Draft { default_ranking, ..Draft::new("h".into(), rules, ids(&[2, 3])) };
    Horizon::build(draft, &networks, &Laid::over(&networks))
}

fn decided(horizon: &Horizon, address: IpAddr, source: u8) -> (PlanId, u8) {
    let subnet = Prefix::holding(address, source);
    let subnet = Some(Subnet { address: subnet.first(), source: SourcePrefixLen(source) });
    let decision = decide(horizon, &Client { resolver: RESOLVER, subnet }, None);
    (decision.plan, decision.scope.0)
}

fn prefixes() -> impl Strategy<Value = Vec<(Prefix, u8)>> {
    // Few distinct leading bits, so that prefixes nest and touch often.
    let v4 = (0u32..64, any::<u32>(), 0u8..=32)
        .prop_map(|(top, low, len)| Prefix::V4(Block::holding(top << 26 | (low & 0x00ff_ffff), len)));
    let v6 = (0u128..8, any::<u64>(), 0u8..=64)
        .prop_map(|(top, low, len)| Prefix::V6(Block::holding(top << 125 | u128::from(low) << 56, len)));
    prop::collection::vec((prop_oneof![v4, v6], 0..4u8), 0..40)
}

fn default_ranking() -> impl Strategy<Value = Ranking> {
    prop_oneof![Just(Ranking::Listed), Just(weighted(&[2, 1]))]
}

/// Addresses at which something may change, and others.
fn probes(prefixes: &[(Prefix, u8)], random: &[(u32, u128)]) -> Vec<IpAddr> {
    fn ends<A: Bits>(block: Block<A>) -> Vec<IpAddr> {
        let all = [block.first().previous(), Some(block.first()), Some(block.last()), block.last().next()];
        all.into_iter().flatten().map(A::to_ip).collect()
    }
    let edges = prefixes.iter().flat_map(|(prefix, _)| match prefix {
        Prefix::V4(block) => ends(*block),
        Prefix::V6(block) => ends(*block),
    });
    edges.chain(random.iter().flat_map(|(v4, v6)| [v4.to_ip(), v6.to_ip()])).collect()
}

fn last(prefix: Prefix) -> IpAddr {
    match prefix {
        Prefix::V4(block) => block.last().to_ip(),
        Prefix::V6(block) => block.last().to_ip(),
    }
}

/// Returns whether a client at this address is judged by it: not reserved, or named by the list, and no IPv4 in it.
fn is_plain(horizon: &Horizon, address: IpAddr) -> bool {
    use crate::base::special;
    let embedded = matches!(address, IpAddr::V6(v6) if special::embedded_v4(v6).is_some());
    !embedded && horizon.private().unlocated_len(address, Family::of(address).width()).is_none()
}

/// Returns whether all clients get the same, so that scopes are 0.
fn is_unanimous(horizon: &Horizon) -> bool {
    let v4 = horizon.v4().ranges().map(|range| range.plan);
    let mut plans: Vec<PlanId> = v4.chain(horizon.v6().ranges().map(|range| range.plan)).collect();
    plans.dedup();
    plans.len() == 1 && horizon.slots(plans[0]).is_none()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn rfc7871_s7_2_1_every_address_of_a_scope_gets_the_same_by_weight_too(
        prefixes in prefixes(),
        default_ranking in default_ranking(),
        random in prop::collection::vec((any::<u32>(), any::<u128>()), 20),
    ) {
        let horizon = spread(&prefixes, default_ranking);
        let all = probes(&prefixes, &random);
        for address in all.iter().copied().filter(|address| is_plain(&horizon, *address)) {
            let width = Family::of(address).width();
            let (plan, scope) = decided(&horizon, address, width);
            let block = Prefix::holding(address, scope);
            let inside = all.iter().copied().filter(|other| block.contains(*other));
            for other in inside.chain([block.first(), last(block)]) {
                prop_assert_eq!(decided(&horizon, other, width), (plan, scope), "{} in {}", other, block);
            }
            // A subnet that is no wider than the scope is decided by the scope.
            prop_assert_eq!(decided(&horizon, address, scope), (plan, scope));
            prop_assert_eq!(decided(&horizon, address, scope + (width - scope) / 2), (plan, scope));
            let head = horizon.head(plan);
            let least = horizon.least_scope(head, Family::of(address));
            prop_assert!(scope >= least);
            // One bit shorter would have been too short, or would cover another plan.
            if scope > least {
                let wider = Prefix::holding(address, scope - 1);
                let table = |address| match address {
                    IpAddr::V4(v4) => horizon.v4().range_at(v4.to_bits()).last.to_ip(),
                    IpAddr::V6(v6) => horizon.v6().range_at(v6.to_bits()).last.to_ip(),
                };
                prop_assert!(table(wider.first()) < last(wider), "{} of {}", scope, address);
            }
        }
    }

    #[test]
    fn rfc7871_s7_2_1_a_wide_subnet_gets_what_covers_most_of_it_with_a_longer_scope(
        prefixes in prefixes(),
        default_ranking in default_ranking(),
        address in any::<u32>(),
        source in 1..=31u8,
    ) {
        let horizon = spread(&prefixes, default_ranking);
        prop_assume!(is_plain(&horizon, address.to_ip()));
        let block = Block::holding(address, source);
        prop_assume!(horizon.private().unlocated_len(block.first().to_ip(), source).is_none());
        let (plan, scope) = decided(&horizon, address.to_ip(), source);
        let mut covered = std::collections::BTreeMap::<PlanId, u64>::new();
        for range in horizon.v4().ranges().filter(|range| range.first <= block.last() && range.last >= block.first()) {
            let (first, last) = (range.first.max(block.first()), range.last.min(block.last()));
            *covered.entry(range.plan).or_default() += u64::from(last - first) + 1;
        }
        prop_assert_eq!(covered[&horizon.head(plan)], *covered.values().max().unwrap());
        let least = horizon.least_scope(horizon.head(plan), Family::V4);
        let several = horizon.v4().range_at(block.first()).last < block.last();
        prop_assert_eq!(scope > source, several && !is_unanimous(&horizon) || least > source);
    }

    #[test]
    fn whoever_uses_another_way_to_the_same_address_gets_the_same(
        prefixes in prefixes(),
        default_ranking in default_ranking(),
        address in any::<u32>(),
    ) {
        let horizon = spread(&prefixes, default_ranking);
        let v4 = address.to_ip();
        prop_assume!(is_plain(&horizon, v4));
        let (plan, scope) = decided(&horizon, v4, 32);
        // 6to4: sixteen bits stand before the IPv4 address.
        let sixtofour = IpAddr::V6(Ipv6Addr::from_bits(0x2002 << 112 | u128::from(address) << 80));
        prop_assert_eq!(decided(&horizon, sixtofour, 48).0, plan);
        let offset = if is_unanimous(&horizon) { 0 } else { 16 };
        prop_assert_eq!(decided(&horizon, sixtofour, 48).1, scope + offset);
        // A resolver without a subnet, and with one of /0, is judged by its own address, with scope 0 (RFC 7871 §7.1.2).
        for subnet in [None, Some(Subnet { address: "0.0.0.0".parse().unwrap(), source: SourcePrefixLen(0) })] {
            let decision = decide(&horizon, &Client { resolver: v4, subnet }, None);
            prop_assert_eq!((decision.plan, decision.scope), (plan, ScopePrefixLen(0)));
        }
        // A private subnet is judged by the resolver unless the list names it, and holds for the rest of its block (RFC 7871 §10).
        let private = Subnet { address: "10.1.2.0".parse().unwrap(), source: SourcePrefixLen(24) };
        let decision = decide(&horizon, &Client { resolver: v4, subnet: Some(private) }, None);
        match horizon.private().unlocated_len(private.address, 24) {
            Some(len) => {
                prop_assert_eq!((decision.plan, decision.scope.0), (plan, if is_unanimous(&horizon) { 0 } else { len }));
            }
            None => prop_assert_eq!(decision, decide(&horizon, &Client { resolver: RESOLVER, subnet: Some(private) }, None)),
        }
    }
}

#[test]
fn weights_come_true_over_the_address_space() {
    // One plan for all clients: without weights its scope would be 0.
    let horizon = spread(&[], weighted(&[3, 1]));
    let mut first = [0u32; 4];
    for top in 1..=u32::from(u16::MAX) {
        let address = (top << 16 | 0x0101).to_ip();
        if is_plain(&horizon, address) {
            let (plan, scope) = decided(&horizon, address, 24);
            assert!(scope == 16, "{address} {scope}");
            first[horizon.plan(plan).preferred[0].index()] += 1;
        }
    }
    let share = f64::from(first[2]) / f64::from(first[2] + first[3]);
    assert!((share - 0.75).abs() < 0.02, "{first:?}");
    assert_eq!(horizon.slots(PlanId(0)).unwrap().len(), SLOTS);
    // IPv6, at /32.
    let scope = |address: &str| decided(&horizon, address.parse().unwrap(), 56).1;
    assert_eq!((scope("2001:db8:1::"), scope("2a00::")), (32, 32));
}

#[test]
fn the_way_to_another_address_does_not_count() {
    // More networks than a leaf holds, neighbours with different plans.
    let address = |at: u32| IpAddr::from([11, (at >> 6) as u8, (at << 2) as u8, 0]);
    let networks: Vec<_> = (0..4096).map(|at| (Prefix::holding(address(at), 22), (at % 3) as u8)).collect();
    let horizon = spread(&networks, Ranking::Listed);
    for (at, other) in (0..4096).step_by(7).map(|at| (address(at), address(4095 - at))) {
        let (mut descent, _) = horizon.approach(other);
        while !matches!(descent, Descent::Line(_)) {
            descent = horizon.advance(other, descent).0;
        }
        for asked in [at, other] {
            let subnet = Some(Subnet { address: asked, source: SourcePrefixLen(24) });
            let client = Client { resolver: RESOLVER, subnet };
            assert_eq!(decide(&horizon, &client, Some((other, descent))), decide(&horizon, &client, None), "{asked}");
        }
    }
}

#[test]
fn without_weights_one_plan_has_scope_0() {
    assert_eq!(decided(&spread(&[], Ranking::Listed), "198.51.100.1".parse().unwrap(), 24).1, 0);
}

fn at(north: f64, east: f64) -> Coordinates {
    Coordinates::from_degrees(north, east).unwrap()
}

/// Each /16 of 11.0.0.0/8 is at one of these places, or in a country alone where there is none.
fn placed(places: &[Option<Coordinates>]) -> Networks {
    let mut source = SourceBuilder::new("city", "city.mmdb");
    for (index, coordinates) in places.iter().enumerate() {
        let labels = source.intern(Labels::of(LabelKind::Country, "DE").at(*coordinates));
        source.add(Prefix::V4(Block::holding(0x0b00_0000 | (index as u32) << 16, 16)), labels, 0);
    }
    Networks { sources: vec![Arc::new(source.finish().0)] }
}

fn by_distance(networks: &Networks, mirrors: &[Coordinates]) -> Horizon {
    let all: Vec<u16> = (0..mirrors.len() as u16).collect();
    let rule = Rule {
        conditions: vec![Condition::label(LabelKind::Country, ["DE"])],
        mirrors: ids(&all),
        ranking: Ranking::Nearest(mirrors.to_vec()),
        fallback: ids(&[100]),
        is_canonical: false,
    };
    let draft = Draft::new("h".into(), vec![rule], ids(&[101, 0]));
    Horizon::build(draft, networks, &Laid::over(networks))
}

/// The mirrors of the clients of one /16.
fn mirrors_of(horizon: &Horizon, index: u32) -> Vec<u16> {
    let (plan, _) = decided(horizon, (0x0b00_0101 | index << 16).to_ip(), 24);
    horizon.plan(plan).mirrors().map(|id| id.0).collect()
}

#[test]
fn clients_get_the_nearest_mirrors_first_and_those_nowhere_the_list() {
    // Frankfurt, Ashburn, Tokyo.
    let mirrors = [at(50.11, 8.68), at(39.04, -77.49), at(35.68, 139.69)];
    // Paris, San Francisco, Singapore, nowhere, Madrid, which is decided as Paris.
    let places = [Some(at(48.86, 2.35)), Some(at(37.77, -122.42)), Some(at(1.35, 103.82)), None, Some(at(40.42, -3.7))];
    let networks = placed(&places);
    let horizon = by_distance(&networks, &mirrors);
    let found: Vec<_> = (0..5).map(|index| mirrors_of(&horizon, index)).collect();
    let expected =
        [[0, 1, 2, 100, 101], [1, 2, 0, 100, 101], [2, 0, 1, 100, 101], [0, 1, 2, 100, 101], [0, 1, 2, 100, 101]];
    assert_eq!(found, expected);
    // Neighbours that get the same are one range: 11.3.0.0/16 and 11.4.0.0/16.
    assert_eq!(horizon.v4().range_at(0x0b03_0000).last, 0x0b04_ffff);
    assert_eq!(mirrors_of(&horizon, 9), [101, 0]);
    let near: Vec<_> = horizon.near_somebody().map(|(won, near)| (won, near.iter().map(|id| id.0).collect())).collect();
    assert_eq!(near, [(Won::Rule(0), vec![0, 1, 2])]);
}

#[test]
fn plans_by_distance_are_limited_however_many_places_there_are() {
    // Mirrors and clients over all of the earth: 40 mirrors have far more orders than may be.
    let spiral = |count: usize| {
        (0..count).map(move |at_| {
            let height = 1.0 - 2.0 * (at_ as f64 + 0.5) / count as f64;
            let turn = (at_ as f64 * 222.492_235_949_962) % 360.0 - 180.0;
            at(height.asin().to_degrees(), turn)
        })
    };
    let mirrors: Vec<Coordinates> = spiral(40).collect();
    let places: Vec<Option<Coordinates>> = spiral(30_000).map(Some).collect();
    let mut source = SourceBuilder::new("city", "city.mmdb");
    for (index, coordinates) in places.iter().enumerate() {
        let labels = source.intern(Labels::of(LabelKind::Country, "DE").at(*coordinates));
        source.add(Prefix::V4(Block::holding(0x0b00_0000 + (index as u32) * 256, 24)), labels, 0);
    }
    let networks = Networks { sources: vec![Arc::new(source.finish().0)] };
    let horizon = by_distance(&networks, &mirrors);
    assert!(
        horizon.plans().len() > 40 && horizon.plans().len() <= nearest::MAX_ORDERS + 2,
        "{}",
        horizon.plans().len()
    );
    for (index, place) in places.iter().enumerate().step_by(7) {
        let (plan, _) = decided(&horizon, (0x0b00_0000 + (index as u32) * 256).to_ip(), 24);
        let far = |mirror: &Coordinates| mirror.direction().distance(place.unwrap().direction());
        let least = mirrors.iter().map(far).min().unwrap();
        let first = horizon.plan(plan).preferred[0];
        assert_eq!(far(&mirrors[first.index()]), least, "{place:?}");
    }
}
