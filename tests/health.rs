//! Ten thousand random histories of probes, from verdicts to answers, compared with a second model of the definitions.
//!
//! As in the server, verdicts go through tracks into the standings of mirrors, and the standings go as changes into
//! snapshots.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, LazyLock};

use pharos::base::ids::{HorizonId, MirrorId, PlanId, SourceId};
use pharos::base::prefix::Family;
use pharos::base::time::{Generation, Moment, Ttl};
use pharos::mirror::{AddressStanding, Health, Mirror, Standing, Thresholds, Track, Verdict};
use pharos::networks::{LabelKind, Labels, Networks, SourceBuilder};
use pharos::snapshot::{Change, Compiled, Snapshot};
use pharos::steer::{AnswerMirrors, Condition, Draft, Horizon, Laid, Ranking, Rule, Tier};
use pharos::zone::ZoneSet;
use proptest::prelude::*;

/// IPv4 and IPv6 addresses of each mirror. The last has no IPv6, and the first has two of each.
const MIRRORS: [(u8, u8); 5] = [(2, 2), (1, 1), (1, 1), (1, 1), (1, 0)];

/// The TTL that the configuration says.
const TTL: Ttl = Ttl(60);

/// The pause between two probes of an address, which the tracks use to measure stability.
const EVERY_MS: u64 = 10_000;

/// The expected health of one address: counters in place of a state machine.
#[derive(Clone, Debug, Default)]
struct Model {
    /// `None` before the first verdict.
    health: Option<Health>,
    bad_in_a_row: u32,
    good_in_a_row: u32,
    up_since: u64,
    down_until: u64,
    hold_down_ms: u64,
}

impl Model {
    fn observe(&mut self, verdict: Verdict, now: u64, rules: &Thresholds) {
        let good = matches!(verdict, Verdict::Up | Verdict::Expiring);
        let kind = match verdict {
            Verdict::Up | Verdict::Expiring => Health::Up,
            Verdict::Unreachable | Verdict::Slow | Verdict::Overloaded | Verdict::Refused => Health::Down,
            Verdict::Missing => Health::Missing,
            Verdict::TlsBad | Verdict::ContentBad => Health::Bad,
        };
        (self.bad_in_a_row, self.good_in_a_row) =
            if good { (0, self.good_in_a_row + 1) } else { (self.bad_in_a_row + 1, 0) };
        match self.health {
            None => {
                (self.up_since, self.down_until) = (now, now);
                self.health = Some(kind);
            }
            Some(Health::Up) => {
                if !good && (self.bad_in_a_row >= rules.fall.into() || verdict == Verdict::ContentBad) {
                    let long_peace = now - self.up_since >= rules.max_hold_down_ms;
                    self.hold_down_ms = match self.hold_down_ms {
                        0 => rules.hold_down_ms,
                        _ if long_peace => rules.hold_down_ms,
                        before => (2 * before).min(rules.max_hold_down_ms),
                    };
                    self.down_until = now + self.hold_down_ms;
                    self.health = Some(kind);
                }
            }
            Some(_) => {
                if !good {
                    self.health = Some(kind);
                } else if self.good_in_a_row >= rules.rise.into() && now >= self.down_until {
                    (self.health, self.up_since) = (Some(Health::Up), now);
                }
            }
        }
    }

    fn health(&self) -> Health {
        self.health.unwrap_or(Health::Untried)
    }
}

/// Two rules with fallbacks and a default over the mirrors; an answer has at most `answer_mirrors` of them.
fn snapshot(answer_mirrors: u8) -> Snapshot {
    let mut source = SourceBuilder::new("list", "list.txt");
    for (line, (prefix, label)) in (1..).zip([("198.51.100.0/24", "east"), ("203.0.113.0/24", "west")]) {
        let labels = source.intern(Labels::of(LabelKind::Label, label));
        source.add(prefix.parse().unwrap(), labels, line);
    }
    let networks = Networks { sources: vec![Arc::new(source.finish().0)] };
    let ids = |list: &[u16]| list.iter().copied().map(MirrorId).collect::<Vec<_>>();
    let rule = |label: &str, mirrors: &[u16], fallback: &[u16]| Rule {
        conditions: vec![Condition::Network { sources: vec![SourceId(0)], labels: vec![label.into()] }],
        mirrors: ids(mirrors),
        ranking: Ranking::Listed,
        fallback: ids(fallback),
        is_canonical: false,
    };
    let rules = vec![rule("east", &[0, 1], &[3]), rule("west", &[4], &[])];
    let answer_mirrors = AnswerMirrors::new(answer_mirrors).unwrap();
    let draft = Draft { answer_mirrors, ..Draft::new("h".into(), rules, ids(&[2, 1])) };
    let mirror = |(at, (v4, v6)): (usize, &(u8, u8))| Mirror {
        v4: (0..*v4).map(|n| Ipv4Addr::new(192, 0, 2, 10 * at as u8 + n)).collect(),
        v6: (0..*v6).map(|n| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, at as u16, n.into())).collect(),
        ..Mirror::named(format!("m{at}"))
    };
    Snapshot::new(
        Generation(1),
        ZoneSet::new(Vec::new()),
        Compiled {
            horizons: Arc::new([Horizon::build(draft, &networks, &Laid::over(&networks))]),
            mirrors: MIRRORS.iter().enumerate().map(mirror).collect(),
            ..Compiled::default()
        },
    )
    .with_standings(|mirror| Some(Standing::all(mirror, Health::Untried)))
}

/// The snapshots of the histories, by the number of mirrors in an answer, minus one.
static FIRST: LazyLock<[Snapshot; 3]> = LazyLock::new(|| [1, 2, 3].map(snapshot));

/// The tracks of a mirror's addresses with the expected health, IPv4 and IPv6.
#[derive(Clone, Debug)]
struct Tracked([Vec<(Track, Model)>; 2]);

impl Tracked {
    fn new((v4, v6): (u8, u8)) -> Self {
        Tracked([v4, v6].map(|count| vec![(Track::default(), Model::default()); count.into()]))
    }

    fn standing(&self, rules: &Thresholds) -> Standing {
        let of = |list: &Vec<(Track, Model)>| {
            let standing = |(track, _): &(Track, Model)| AddressStanding {
                health: track.health(),
                stable_secs: Some((track.stable_ms(EVERY_MS, rules) / 1000) as u32),
            };
            list.iter().map(standing).collect()
        };
        Standing { v4: of(&self.0[0]), v6: of(&self.0[1]), ..Standing::default() }
    }

    /// The best health of a family. `None` if it has no address.
    fn health(&self, family: Family) -> Option<Health> {
        self.0[family as usize].iter().map(|(_, model)| model.health()).min()
    }
}

/// The addresses in the answer of a plan.
fn answered(snapshot: &Snapshot, plan: PlanId, family: Family) -> (BTreeSet<IpAddr>, Option<Ttl>) {
    let Some(set) = snapshot.addresses(HorizonId(0), plan, family).rrset(family, TTL) else {
        return (BTreeSet::new(), None);
    };
    let mut found = BTreeSet::new();
    let len = set.wire().len() / usize::from(set.count());
    for record in set.wire().chunks(len) {
        found.insert(match family {
            Family::V4 => IpAddr::from(<[u8; 4]>::try_from(&record[record.len() - 4..]).unwrap()),
            Family::V6 => IpAddr::from(<[u8; 16]>::try_from(&record[record.len() - 16..]).unwrap()),
        });
    }
    assert_eq!(found.len(), usize::from(set.count()), "a record twice");
    (found, Some(set.ttl))
}

/// Compares the answers of every plan with the definitions.
fn check(snapshot: &Snapshot, all: &[Tracked], answer_mirrors: u8) -> Result<(), TestCaseError> {
    let horizon = &snapshot.horizons()[0];
    for (plan_id, plan) in (0..).map(PlanId).zip(horizon.plans()) {
        for family in Family::ALL {
            let health = |id: MirrorId| all[id.index()].health(family);
            let (addresses, ttl) = answered(snapshot, plan_id, family);
            let choice = &snapshot.addresses(HorizonId(0), plan_id, family).choice;
            let of_plan: Vec<Health> = plan.mirrors().filter_map(health).collect();
            let in_horizon: Vec<Health> = horizon.mirrors().filter_map(health).collect();
            // Never empty where any client has the family.
            prop_assert_eq!(addresses.is_empty(), in_horizon.is_empty());
            if in_horizon.is_empty() {
                continue;
            }
            prop_assert!((Ttl(1)..=TTL).contains(&ttl.unwrap()));
            // The first tier with a mirror that is up gives its first ones.
            let tiers =
                [(Tier::Preferred, &plan.preferred), (Tier::Fallback, &plan.fallback), (Tier::Default, &plan.default)];
            let of = |list: &[MirrorId], wanted: Health| -> Vec<MirrorId> {
                let such = list.iter().copied().filter(|id| health(*id) == Some(wanted));
                such.take(answer_mirrors.into()).collect()
            };
            let first_with = |wanted: Health| {
                tiers.iter().map(|(tier, list)| (*tier, of(list, wanted))).find(|(_, list)| !list.is_empty())
            };
            let silent = in_horizon.iter().filter(|health| **health == Health::Down).count();
            let most_are_silent = 2 * silent > in_horizon.len();
            // Untried mirrors are used if no mirror of the horizon is up, or if our own network is at fault.
            let stands_in = most_are_silent || !in_horizon.contains(&Health::Up);
            let first = first_with(Health::Up).or_else(|| first_with(Health::Untried).filter(|_| stands_in));
            // Panic: nothing of the plan is up, something of it is silent, and more than half of the horizon is silent.
            let panic = first.is_none() && of_plan.contains(&Health::Down) && most_are_silent;
            prop_assert_eq!(choice.tier == Tier::Panic, panic);
            match first {
                Some((tier, mirrors)) => prop_assert_eq!((choice.tier, &choice.mirrors), (tier, &mirrors)),
                None if panic => prop_assert!(choice.mirrors.iter().all(|id| health(*id) == Some(Health::Down))),
                None => {
                    // A mirror that serves wrong content is given only if every mirror of the horizon does.
                    let gives_bad = choice.mirrors.iter().any(|id| health(*id) == Some(Health::Bad));
                    prop_assert!(!gives_bad || in_horizon.iter().all(|health| *health == Health::Bad));
                    prop_assert_eq!(choice.tier == Tier::Elsewhere, in_horizon.contains(&Health::Up));
                }
            }
            // The answer has the best addresses of each mirror, and no others.
            let mut expected = BTreeSet::new();
            for id in &choice.mirrors {
                let mirror = &snapshot.mirrors()[id.index()];
                let list: Vec<IpAddr> = match family {
                    Family::V4 => mirror.v4.iter().map(|ip| (*ip).into()).collect(),
                    Family::V6 => mirror.v6.iter().map(|ip| (*ip).into()).collect(),
                };
                for (address, (_, model)) in list.into_iter().zip(&all[id.index()].0[family as usize]) {
                    if Some(model.health()) == health(*id) {
                        expected.insert(address);
                    }
                }
            }
            prop_assert_eq!(&addresses, &expected);
        }
    }
    Ok(())
}

/// An address, more often one of the first two, so that some flap.
fn address() -> impl Strategy<Value = usize> {
    prop_oneof![0usize..2, 0usize..11]
}

/// A verdict, with some kinds more often than others, so that runs of one kind occur.
fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![4 => Just(Verdict::Up), 3 => Just(Verdict::Unreachable), 4 => (0..Verdict::ALL.len()).prop_map(|at| Verdict::ALL[at])]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn answers_follow_from_histories_as_defined(
        // The address, its verdict, the number of such verdicts in a row, and the time since the step before.
        history in prop::collection::vec((address(), verdict(), 1usize..12, 1u64..20_000), 1..30),
        everywhere in prop::option::weighted(0.3, verdict()),
        fall in 1u8..5,
        rise in 1u8..5,
        answer_mirrors in 1u8..4,
    ) {
        let rules = Thresholds { fall, rise, hold_down_ms: 60_000, max_hold_down_ms: 300_000 };
        let addresses: Vec<(usize, Family, usize)> = (0..MIRRORS.len())
            .flat_map(|at| {
                let (v4, v6) = MIRRORS[at];
                let v4 = (0..v4).map(move |n| (at, Family::V4, n.into()));
                v4.chain((0..v6).map(move |n| (at, Family::V6, n.into())))
            })
            .collect();
        prop_assert_eq!(addresses.len(), 11);
        let mut all: Vec<Tracked> = MIRRORS.map(Tracked::new).to_vec();
        let (mut served, mut now) = (FIRST[usize::from(answer_mirrors) - 1].clone(), 0);
        let mut told: Vec<Option<Standing>> = vec![None; MIRRORS.len()];
        // Our own network fails in some histories: then all addresses first get the same verdict.
        let first = everywhere.into_iter().flat_map(|verdict| (0..11).map(move |at| (at, verdict, 1, 1)));
        for (at, verdict, times, pause) in first.chain(history) {
            let (mirror, family, nth) = addresses[at];
            for _ in 0..times {
                now += pause;
                let (track, model) = &mut all[mirror].0[family as usize][nth];
                track.observe(verdict, Moment(now), &rules);
                model.observe(verdict, now, &rules);
                prop_assert_eq!(track.health(), model.health(), "{:?}", model);
            }
            let standing = all[mirror].standing(&rules);
            let health = |standing: &Standing| -> Vec<Health> {
                let all = Family::ALL.into_iter().flat_map(|family| standing.family(family));
                all.map(|address| address.health).collect()
            };
            // Else only the TTLs may have changed.
            if told[mirror].as_ref().is_none_or(|told| health(told) != health(&standing)) {
                let next = served.after(&Change::standing(&served.mirrors()[mirror], &standing));
                prop_assert_eq!(next.generation.0, served.generation.0 + 1);
                (served, told[mirror]) = (next, Some(standing));
                check(&served, &all, answer_mirrors)?;
            }
        }
    }
}
