use std::net::IpAddr;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::base::client::{Client, SourcePrefixLen, Subnet, Vantage};
use crate::base::ids::SourceId;
use crate::networks::{LabelKind, Labels, Networks, SourceBuilder};
use crate::steer::{Condition, Draft, Laid, Ranking, Rule, Weights, decide};

const RESOLVER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 53));

/// A horizon of prefixes with labels: 0 to 2 have a rule each, that of 1 has weights, and 3 has no rule.
fn horizon(prefixes: &[(Prefix, u8)]) -> Horizon {
    let mut source = SourceBuilder::new("list", "list.txt").by_operator();
    for (prefix, label) in prefixes {
        let labels = source.intern(Labels::of(LabelKind::Label, &*label.to_string()));
        source.add(*prefix, labels, 1);
    }
    let networks = Networks { sources: vec![Arc::new(source.finish().0)] };
    let rule = |label: &str, mirrors: &[u16], ranking| Rule {
        conditions: vec![Condition::Network { sources: vec![SourceId(0)], labels: vec![label.into()] }],
        mirrors: mirrors.iter().copied().map(MirrorId).collect(),
        ranking,
        fallback: Vec::new(),
        is_canonical: false,
    };
    let weights = Ranking::Weighted(Weights::new([("one", 3), ("two", 1)]));
    let rules = vec![rule("0", &[0], Ranking::Listed), rule("1", &[1, 2], weights), rule("2", &[2], Ranking::Listed)];
    let draft = Draft::new("h".into(), rules, vec![MirrorId(3)]);
    Horizon::build(draft, &networks, &Laid::over(&networks))
}

/// The plan of an address, asked as a client; `None` if the resolver's address decides.
fn plan_at(horizon: &Horizon, address: IpAddr) -> Option<PlanId> {
    let source = SourcePrefixLen(Family::of(address).width());
    let decision = decide(horizon, &Client { resolver: RESOLVER, subnet: Some(Subnet { address, source }) }, None);
    (decision.location.vantage == Vantage::Subnet).then(|| horizon.head(decision.plan))
}

/// The first addresses of the blocks in which prefixes are, by number: ordinary ones, reserved ones, and those that embed IPv4.
const BASES: [(&str, u8); 8] = [
    ("52.94.16.0", 20),
    ("10.255.240.0", 20),
    ("172.31.255.0", 20),
    ("192.167.240.0", 20),
    ("2600:1f18::", 116),
    ("64:ff9b::a00:0", 116),
    ("64:ff9b::342e:1000", 116),
    ("fdff:ffff:ffff:ffff:ffff:ffff:ffff:f000", 116),
];

fn base(at: usize) -> Prefix {
    let (address, len) = BASES[at];
    Prefix::holding(address.parse().unwrap(), len)
}

fn at(block: Prefix, offset: u128) -> IpAddr {
    match block {
        Prefix::V4(block) => (block.first() + offset as u32).to_ip(),
        Prefix::V6(block) => (block.first() + offset).to_ip(),
    }
}

/// The cell that the addresses have, each asked alone: its plan and share.
fn cell(horizon: &Horizon, addresses: &[IpAddr]) -> (Option<PlanId>, u8) {
    let plans: Vec<_> = addresses.iter().map(|address| plan_at(horizon, *address)).collect();
    let count = |plan: &Option<PlanId>| plans.iter().filter(|other| *other == plan).count();
    let is_by_rule = |plan: &Option<PlanId>| plan.is_some_and(|plan| plan != PlanId(0));
    let mut best = plans[0];
    for plan in &plans {
        if (is_by_rule(plan), count(plan)) > (is_by_rule(&best), count(&best)) {
            best = *plan;
        }
    }
    let share = count(&best) * 15 / plans.len();
    (best, if count(&best) == plans.len() { 15 } else { share.clamp(1, 14) as u8 })
}

fn cells(space: &Space) -> Vec<(usize, u8)> {
    let runs = space.runs.iter();
    runs.flat_map(|run| std::iter::repeat_n((run.plan, run.share), run.count as usize)).collect()
}

/// The plan of a cell as [`Space::plans`] shows it.
fn shown(horizon: &Horizon, plan: Option<PlanId>) -> (SpaceKind, Vec<MirrorId>) {
    match plan {
        None => (SpaceKind::Reserved, Vec::new()),
        Some(plan) => {
            let kind = if plan == PlanId(0) { SpaceKind::Default } else { SpaceKind::Rule };
            (kind, horizon.plan(plan).mirrors().collect())
        }
    }
}

fn prefixes() -> impl Strategy<Value = Vec<(Prefix, u8)>> {
    let one = (0..BASES.len(), 0u32..4096, 0u8..=14, 0..4u8).prop_map(|(block, offset, longer, label)| {
        let block = base(block);
        let address = at(block, offset.into());
        // Some are wider than the block.
        (Prefix::holding(address, (block.prefix_len() - 2).saturating_add(longer)), label)
    });
    // The list names IPv4 addresses alone; those in IPv6 are theirs.
    let is_usable = |(prefix, _): &(Prefix, u8)| !prefix.to_string().starts_with("64:ff9b");
    prop::collection::vec(one.prop_filter("embeds IPv4", is_usable), 0..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn cells_are_those_of_the_table_asked_address_by_address(prefixes in prefixes(), block in 0..BASES.len(), numbers in 0u8..=12) {
        let (horizon, block) = (horizon(&prefixes), base(block));
        let cell_bits = block.prefix_len() + numbers;
        let space = survey(&horizon, block, cell_bits, SpaceSubject::Answers);
        let size = 1u128 << (12 - numbers);
        let found = cells(&space);
        prop_assert_eq!(found.len(), 1 << numbers);
        for (index, (plan, share)) in found.into_iter().enumerate() {
            let first = index as u128 * size;
            let addresses: Vec<IpAddr> = (first..first + size).map(|offset| at(block, offset)).collect();
            let (expected, of) = cell(&horizon, &addresses);
            let SpacePlan { kind, mirrors, .. } = &space.plans[plan];
            prop_assert_eq!((*kind, mirrors.clone(), share), {
                let (kind, mirrors) = shown(&horizon, expected);
                (kind, mirrors, of)
            }, "cell {} of {}", index, block);
        }
        // Neighbours that are alike are one run.
        prop_assert!(space.runs.windows(2).all(|pair| (pair[0].plan, pair[0].share) != (pair[1].plan, pair[1].share)));
    }
}

#[test]
fn a_canonical_rule_has_the_mirrors_of_dns_and_none_for_redirects() {
    let prefix = |text: &str| text.parse::<Prefix>().unwrap();
    let mut source = SourceBuilder::new("list", "list.txt").by_operator();
    let labels = source.intern(Labels::of(LabelKind::Label, "x"));
    source.add(prefix("52.0.0.0/8"), labels, 1);
    let networks = Networks { sources: vec![Arc::new(source.finish().0)] };
    let rule = Rule {
        conditions: vec![Condition::Network { sources: vec![SourceId(0)], labels: vec!["x".into()] }],
        mirrors: Vec::new(),
        ranking: Ranking::Listed,
        fallback: Vec::new(),
        is_canonical: true,
    };
    let draft = Draft::new("h".into(), vec![rule], vec![MirrorId(3)]);
    let horizon = Horizon::build(draft, &networks, &Laid::over(&networks));
    let of = |subject| {
        let space = space(&horizon, prefix("52.0.0.0/8"), subject);
        let SpacePlan { mirrors, is_canonical, .. } = &space.plans[0];
        (mirrors.clone(), *is_canonical, space.totals)
    };
    let all = 1 << 24;
    assert_eq!(of(SpaceSubject::Answers), (vec![MirrorId(3)], true, vec![(Some(MirrorId(3)), all)]));
    assert_eq!(of(SpaceSubject::Redirects), (Vec::new(), true, vec![(None, all)]));
}

#[test]
fn the_whole_family_has_65536_cells_and_every_address_counts_once() {
    let prefix = |text: &str| text.parse::<Prefix>().unwrap();
    let horizon = horizon(&[(prefix("52.94.0.0/15"), 0), (prefix("34.64.0.0/10"), 1), (prefix("2600:1f18::/33"), 2)]);
    let v4 = space(&horizon, prefix("0.0.0.0/0"), SpaceSubject::Answers);
    assert_eq!((v4.cell_bits, cells(&v4).len(), v4.size), (16, 65_536, 1 << 32));
    let of = |mirror| v4.totals.iter().find(|(of, _)| *of == Some(MirrorId(mirror))).unwrap().1;
    // A quarter of the clients of 34.64.0.0/10 goes to the second mirror.
    assert_eq!((of(0), of(1), of(2)), (1 << 17, 3 << 20, 1 << 20));
    let reserved: u128 = special::reserved_v4().map(|block| 1u128 << (32 - block.prefix_len())).sum();
    assert_eq!(v4.totals.iter().map(|(_, addresses)| addresses).sum::<u128>(), (1 << 32) - reserved);
    let spread = v4.plans.iter().find_map(|plan| plan.spread.clone()).unwrap();
    assert_eq!(spread, [0.75, 0.25, 0.0]);
    // 10.0.0.0/8 is 256 cells; the addresses around it are the default's.
    let reserved = v4.plans.iter().position(|plan| plan.kind == SpaceKind::Reserved).unwrap();
    let in_ten = cells(&v4)[10 << 8..11 << 8].to_vec();
    assert!(in_ten.iter().all(|cell| *cell == (reserved, 15)));
    let v6 = space(&horizon, prefix("::/0"), SpaceSubject::Answers);
    assert_eq!((v6.cell_bits, cells(&v6).len(), v6.size), (16, 65_536, u128::MAX));
    // Half of a /32 is a little of its /16, and a cell of 6to4 has all of IPv4.
    let kind = |cell: usize| (v6.plans[cells(&v6)[cell].0].kind, cells(&v6)[cell].1);
    assert_eq!(kind(0x2600), (SpaceKind::Rule, 1));
    assert_eq!(kind(0x2002), (SpaceKind::Rule, 1));
    assert_eq!(kind(0x2001), (SpaceKind::Default, 15));
    assert_eq!(kind(0xfd00), (SpaceKind::Reserved, 15));
    let zoomed = space(&horizon, prefix("52.94.0.0/24"), SpaceSubject::Answers);
    assert_eq!((zoomed.cell_bits, cells(&zoomed).len()), (32, 256));
}
