//! Changes that fold in: mirrors that move, standings of addresses, reloads meanwhile.

use super::*;
use crate::base::time::{Ttl, UnixTime};
use crate::mirror::{AddressStanding, Addressing, Forced, HostAddresses, Reason};
use crate::networks::Networks;
use crate::steer::{Draft, Laid, Ranking, Rule, Weights};

const LB: &str = "lb.example";

fn mirror(name: &str, host: Option<&str>, v4: &[&str]) -> Mirror {
    let v4 = v4.iter().map(|text| text.parse().unwrap()).collect();
    let addressing = match host {
        Some(_) => Addressing::Resolved { at: Some(UnixTime(1)), ttl: Ttl(300) },
        None => Addressing::Written,
    };
    Mirror { host: host.map(Into::into), addressing, v4, ..Mirror::named(name) }
}

/// A horizon with one plan: the mirrors in their order.
fn snapshot(mirrors: Vec<Mirror>) -> Snapshot {
    serving(mirrors, Vec::new())
}

/// The same, with HTTPS records.
fn serving(mirrors: Vec<Mirror>, services: Vec<Service>) -> Snapshot {
    let networks = Networks::default();
    let default = (0..mirrors.len()).map(MirrorId::from_index).collect();
    let draft = Draft::new("h".into(), Vec::new(), default);
    let horizon = Horizon::build(draft, &networks, &Laid::over(&networks));
    Snapshot::new(
        Generation(1),
        ZoneSet::new(Vec::new()),
        Compiled {
            horizons: [horizon].into(),
            mirrors: mirrors.into(),
            services: services.into(),
            ..Compiled::default()
        },
    )
}

fn addresses(v4: &[&str], v6: &[&str], at: u64) -> HostAddresses {
    HostAddresses {
        v4: v4.iter().map(|text| text.parse().unwrap()).collect(),
        v6: v6.iter().map(|text| text.parse().unwrap()).collect(),
        ttl: Ttl(20),
        at: Some(UnixTime(at)),
    }
}

fn moved(snapshot: &Snapshot, v4: &[&str], v6: &[&str]) -> Snapshot {
    snapshot.after(&Change::Addresses(LB.into(), addresses(v4, v6, 2)))
}

/// The rdata, the TTL and the tier of an answer, for an owner with a TTL of a minute.
fn answered(snapshot: &Snapshot, family: Family) -> (Vec<Vec<u8>>, Option<u32>, Tier) {
    let addresses = snapshot.addresses(HorizonId(0), PlanId(0), family);
    let set = addresses.rrset(family, Ttl(60));
    let rdata = set.iter().flat_map(|set| set.rdatas()).map(<[u8]>::to_vec).collect();
    (rdata, set.map(|set| set.ttl.0), addresses.choice.tier)
}

fn v4(last: u8) -> Vec<u8> {
    vec![192, 0, 2, last]
}

/// The snapshot after a reload.
fn reloaded(served: &Snapshot, compiled: Snapshot) -> Snapshot {
    let mut next = Next::of(served);
    next.replace(compiled);
    next.derive()
}

fn standing(mirror: &Mirror, healths: &[Health]) -> Change {
    let of = |health: &Health| AddressStanding { health: *health, stable_secs: Some(30) };
    Change::standing(mirror, &Standing { v4: healths.iter().map(of).collect(), ..Standing::default() })
}

#[test]
fn every_mirror_that_follows_a_host_moves_with_it_and_no_other() {
    let written = Mirror { addressing: Addressing::Written, ..mirror("c", Some(LB), &["192.0.2.3"]) };
    let before = snapshot(vec![mirror("a", Some(LB), &["192.0.2.1"]), mirror("b", Some(LB), &["192.0.2.1"]), written]);
    assert_eq!(answered(&before, Family::V4), (vec![v4(1)], Some(60), Tier::Preferred));
    let after = moved(&before, &["192.0.2.8", "192.0.2.9"], &["2001:db8::9"]);
    let of = |id: usize| after.mirrors()[id].v4.iter().map(|v4| v4.octets()[3]).collect::<Vec<_>>();
    assert_eq!([of(0), of(1), of(2)], [vec![8, 9], vec![8, 9], vec![3]]);
    // The host's TTL of 20 s holds for the answer too.
    assert_eq!(answered(&after, Family::V4), (vec![v4(8), v4(9)], Some(20), Tier::Preferred));
    assert_eq!(answered(&after, Family::V6).0.len(), 1);
    assert_eq!(after.generation, Generation(2));
}

#[test]
fn addresses_that_stay_keep_their_standing_and_new_ones_wait_for_their_first_probe() {
    let lb = mirror("lb", Some(LB), &["192.0.2.1", "192.0.2.2"]);
    let other = mirror("other", None, &["192.0.2.50"]);
    let before = snapshot(vec![lb.clone(), other]).with_fresh(Health::Untried);
    let before = before.after(&standing(&lb, &[Health::Up, Health::Down]));
    assert_eq!(answered(&before, Family::V4).0, [v4(1)]);
    let after = moved(&before, &["192.0.2.1", "192.0.2.2", "192.0.2.3"], &[]);
    let health: Vec<_> = after.standing(MirrorId(0)).v4.iter().map(|address| address.health).collect();
    assert_eq!(health, [Health::Up, Health::Down, Health::Untried]);
    assert_eq!(answered(&after, Family::V4).0, [v4(1)], "the new one waits");
    // If all of its addresses are new, another mirror is given, for a second at a time.
    let gone = moved(&before, &["192.0.2.7"], &[]);
    assert_eq!(answered(&gone, Family::V4), (vec![v4(50)], Some(1), Tier::Preferred));
    let probed = gone.after(&standing(&gone.mirrors()[0], &[Health::Up]));
    assert_eq!(answered(&probed, Family::V4).0, [v4(7)]);
    // Alone it is steered to at once: an unprobed address is better than none.
    let alone = moved(&snapshot(vec![lb]).with_fresh(Health::Untried), &["192.0.2.7"], &[]);
    assert_eq!(answered(&alone, Family::V4).0, [v4(7)]);
    // Without probes a new address is up at once.
    let unprobed = moved(
        &snapshot(vec![mirror("lb", Some(LB), &["192.0.2.1"]), mirror("o", None, &["192.0.2.50"])]),
        &["192.0.2.7"],
        &[],
    );
    assert_eq!(answered(&unprobed, Family::V4).0, [v4(7)]);
}

#[test]
fn what_was_found_out_of_addresses_that_are_gone_is_said_of_no_other() {
    let lb = mirror("lb", Some(LB), &["192.0.2.1", "192.0.2.2"]);
    let after = moved(&snapshot(vec![lb.clone()]), &["192.0.2.2", "192.0.2.3"], &[]);
    // The watcher does not know yet; as many addresses, in another order.
    let after = after.after(&standing(&lb, &[Health::Bad, Health::Down]));
    let health: Vec<_> = after.standing(MirrorId(0)).v4.iter().map(|address| address.health).collect();
    assert_eq!(health, [Health::Down, Health::Up]);
}

#[test]
fn a_reload_loses_neither_addresses_nor_health_nor_overrides() {
    let lb = mirror("lb", Some(LB), &["192.0.2.1"]);
    let served = moved(&snapshot(vec![lb.clone()]).with_fresh(Health::Untried), &["192.0.2.7", "192.0.2.8"], &[]);
    let served = served.after(&standing(&served.mirrors()[0], &[Health::Down, Health::Up]));
    let reason = Reason::parse("maintenance").unwrap();
    let order = Override { forced: Forced::Drain, reason, who: "me".into(), since: UnixTime(1), until: None };
    let served = served.after(&Change::Force("lb".into(), Some(order)));
    // Compiled while the host had other addresses.
    let compiled = snapshot(vec![mirror("new", None, &["192.0.2.60"]), lb.clone()]);
    let next = reloaded(&served, compiled);
    assert_eq!(next.mirrors()[1], served.mirrors()[0]);
    assert_eq!(next.standing(MirrorId(1)), served.standing(MirrorId(0)));
    let later = next.after(&Change::Addresses(LB.into(), addresses(&["192.0.2.9"], &[], 3)));
    assert_eq!(later.standing(MirrorId(1)).v4[0].health, Health::Untried, "somebody looks, still");
    // Addresses that the reload has resolved for the first time are newer than none.
    let unknown = Mirror { addressing: Addressing::Resolved { at: None, ttl: Ttl(0) }, v4: Vec::new(), ..lb.clone() };
    assert_eq!(reloaded(&snapshot(vec![unknown]), snapshot(vec![lb.clone()])).mirrors()[0], lb);
    // Another host, or addresses of its own: the configuration counts.
    for other in [mirror("lb", Some("other.example"), &["192.0.2.3"]), mirror("lb", None, &["192.0.2.3"])] {
        assert_eq!(reloaded(&served, snapshot(vec![other.clone()])).mirrors()[0], other);
    }
}

#[test]
fn an_address_that_comes_back_waits_for_its_first_probe_again() {
    let lb = mirror("lb", Some(LB), &["192.0.2.1"]);
    let first = snapshot(vec![lb.clone()]).with_fresh(Health::Untried);
    let is_up = standing(&lb, &[Health::Up]);
    let gone = moved(&first.after(&is_up), &["192.0.2.7"], &[]);
    // The second result ended after the mirror had moved.
    for gone in [gone.clone(), gone.after(&is_up)] {
        let back = moved(&gone, &["192.0.2.1"], &[]);
        assert_eq!(back.standing(MirrorId(0)).v4[0].health, Health::Untried);
    }
}

#[test]
fn what_is_folded_in_together_is_what_is_folded_in_one_after_the_other() {
    let mirrors = || vec![mirror("lb", Some(LB), &["192.0.2.1"]), mirror("b", None, &["192.0.2.2"])];
    let first = snapshot(mirrors()).with_fresh(Health::Untried);
    let reason = Reason::parse("a test").unwrap();
    let order = Override { forced: Forced::Down, reason, who: "me".into(), since: UnixTime(1), until: None };
    let there = mirror("lb", Some(LB), &["192.0.2.8", "192.0.2.9"]);
    let changes = [
        standing(&mirrors()[1], &[Health::Down]),
        Change::Addresses(LB.into(), addresses(&["192.0.2.8", "192.0.2.9"], &[], 2)),
        // Of an address that is gone, and of two that have come.
        standing(&mirrors()[0], &[Health::Bad]),
        standing(&there, &[Health::Up, Health::Down]),
        Change::Force("b".into(), Some(order)),
        Change::Force("lb".into(), None),
    ];
    let one_by_one = changes.iter().fold(first.clone(), |snapshot, change| snapshot.after(change));
    let mut together = Next::of(&first);
    for change in &changes {
        together.apply(change);
    }
    let together = together.derive();
    for snapshot in [&one_by_one, &together] {
        assert_eq!(answered(snapshot, Family::V4), (vec![v4(8)], Some(20), Tier::Preferred));
        assert_eq!(snapshot.generation, Generation(7));
    }
    for id in [MirrorId(0), MirrorId(1)] {
        assert_eq!(together.standing(id), one_by_one.standing(id));
    }
    assert_eq!(together.mirrors(), one_by_one.mirrors());
}

#[test]
fn an_https_record_moves_with_the_addresses() {
    let lb = mirror("lb", Some(LB), &["192.0.2.1"]);
    let service = Service::new(HorizonId(0), &["h2"], HTTPS_PORT, Hints::Tailored);
    let after = moved(&serving(vec![lb], vec![service]), &["192.0.2.7"], &[]);
    let set = after.service_record(ServiceId(0), PlanId(0)).rrset(Ttl(60));
    assert_eq!(set.ttl, Ttl(20));
    assert!(set.rdatas().next().unwrap().ends_with(&v4(7)));
}

#[test]
fn a_mirror_that_a_reload_brings_waits_for_its_first_probe() {
    let (old, new) = (mirror("old", None, &["192.0.2.1"]), mirror("new", None, &["192.0.2.60"]));
    let served = snapshot(vec![old.clone()]).with_fresh(Health::Untried);
    let served = served.after(&standing(&old, &[Health::Up]));
    // The new mirror is preferred, but it is not probed yet.
    let next = reloaded(&served, snapshot(vec![new.clone(), old.clone()]));
    assert_eq!(answered(&next, Family::V4), (vec![v4(1)], Some(1), Tier::Preferred));
    let probed = next.after(&standing(&new, &[Health::Up]));
    assert_eq!(answered(&probed, Family::V4).0, [v4(60)]);
    // Without probes the new mirror is up at once.
    let next = reloaded(&snapshot(vec![old.clone()]), snapshot(vec![new, old]));
    assert_eq!(answered(&next, Family::V4), (vec![v4(60)], Some(60), Tier::Preferred));
}

/// A horizon with a rule that no client meets, for mirror 1, and mirror 0 as the default; answers are the default's.
fn of_two_plans(of: impl Fn(&str) -> Change) -> Snapshot {
    let networks = Networks::default();
    let rule = Rule {
        conditions: Vec::new(),
        mirrors: vec![MirrorId(1)],
        ranking: Ranking::Listed,
        fallback: Vec::new(),
        is_canonical: false,
    };
    let draft = Draft::new("h".into(), vec![rule], vec![MirrorId(0)]);
    let horizon = Horizon::build(draft, &networks, &Laid::over(&networks));
    let first = Snapshot::new(
        Generation(1),
        ZoneSet::new(Vec::new()),
        Compiled {
            horizons: [horizon].into(),
            mirrors: vec![mirror("a", None, &["192.0.2.1"]), mirror("b", None, &["192.0.2.2"])].into(),
            ..Compiled::default()
        },
    );
    ["a", "b"].into_iter().fold(first, |snapshot, name| snapshot.after(&of(name)))
}

fn stable(name: &str, health: Health, secs: u32) -> Change {
    let last = if name == "a" { "192.0.2.1" } else { "192.0.2.2" };
    let v4 = vec![AddressStanding { health, stable_secs: Some(secs) }];
    Change::standing(&mirror(name, None, &[last]), &Standing { v4, ..Standing::default() })
}

#[test]
fn a_ttl_ends_when_a_mirror_outside_the_plan_may_come_back_and_help() {
    let last_resort = of_two_plans(|name| match name {
        "a" => stable("a", Health::Missing, 50),
        _ => stable("b", Health::Bad, 3),
    });
    assert_eq!(answered(&last_resort, Family::V4), (vec![v4(1)], Some(3), Tier::LastResort));
    // That would also end panic.
    let panic = of_two_plans(|name| stable(name, Health::Down, if name == "a" { 50 } else { 4 }));
    assert_eq!(answered(&panic, Family::V4), (vec![v4(1)], Some(4), Tier::Panic));
}

#[test]
fn what_an_operator_has_forced_shortens_no_ttl_for_probes_have_no_say_in_it() {
    let both = vec![mirror("a", None, &["192.0.2.1"]), mirror("b", None, &["192.0.2.2"])];
    let of = |forced: Forced| {
        let reason = Reason::parse("a test").unwrap();
        let order = Override { forced, reason, who: "me".into(), since: UnixTime(1), until: None };
        let changes =
            [stable("a", Health::Down, 3), stable("b", Health::Up, 40), Change::Force("a".into(), Some(order))];
        let snapshot = changes.iter().fold(snapshot(both.clone()), |snapshot, change| snapshot.after(change));
        answered(&snapshot, Family::V4)
    };
    for forced in [Forced::Down, Forced::Drain] {
        assert_eq!(of(forced), (vec![v4(2)], Some(40), Tier::Preferred), "{forced:?}");
    }
    assert_eq!(of(Forced::Up), (vec![v4(1)], Some(60), Tier::Preferred));
}

#[test]
fn who_has_no_client_s_address_gets_the_default_s_heaviest_mirror_not_one_that_is_not_to_have_clients() {
    let (networks, names) = (Networks::default(), ["a", "b", "c"]);
    for (weights, first) in [([0, 1, 1], [2, 3]), ([1, 9, 1], [2, 2]), ([1, 0, 9], [3, 3])] {
        let default_ranking = Ranking::Weighted(Weights::new(names.into_iter().zip(weights)));
        let ids = (0..names.len()).map(MirrorId::from_index).collect();
        let draft = Draft { default_ranking, ..Draft::new("h".into(), Vec::new(), ids) };
        let horizon = Horizon::build(draft, &networks, &Laid::over(&networks));
        let mirrors = names.iter().zip(1..).map(|(name, last)| mirror(name, None, &[&format!("192.0.2.{last}")]));
        let snapshot = Snapshot::new(
            Generation(1),
            ZoneSet::new(Vec::new()),
            Compiled { horizons: [horizon].into(), mirrors: mirrors.collect(), ..Compiled::default() },
        );
        let plan = snapshot.default_plan(HorizonId(0));
        let set = snapshot.addresses(HorizonId(0), plan, Family::V4).rrset(Family::V4, Ttl(60)).unwrap();
        let given = set.rdatas().next().unwrap()[3];
        assert!(first.contains(&given), "{weights:?}: {given}");
    }
}
