use super::super::RolloutStages;
use super::super::pointer::RolloutAct;
use super::*;

fn rollout(push: u64, stages: &[&str]) -> Rollout {
    let bundle = ContentDigest::of(&push.to_be_bytes());
    let stages = RolloutStages::parse(stages.iter().copied()).unwrap();
    Rollout::new(push, (bundle, None), (stages, 60_000), None, RolloutAct::default())
}

fn pushed_again(rollout: &Rollout, serial: u64) -> Rollout {
    let terms = (rollout.stages.clone(), rollout.soak_ms);
    Rollout::new(serial, (rollout.bundle.clone(), None), terms, None, RolloutAct::default())
}

fn serving(rollout: &Rollout, for_ms: u64) -> RolloutReport {
    let health = ServiceHealth { answers: 1000, failures: 5, mirrors_down: 1 };
    let (bundle, push) = (rollout.bundle.clone(), rollout.push);
    let serves = Some(ServedBundle { bundle, push, for_ms, before: health, since: health });
    RolloutReport { serial: rollout.serial, serves, ..RolloutReport::default() }
}

fn rejecting(rollout: &Rollout) -> RolloutReport {
    let (bundle, push) = (rollout.bundle.clone(), rollout.push);
    RolloutReport { rejects: Some(RejectedBundle { bundle, push, reason: "bad".into() }), ..RolloutReport::default() }
}

/// The step of `d`, in words, among fresh peers.
fn step(rollout: &Rollout, own: &RolloutReport, peers: &[(&str, &RolloutReport)]) -> String {
    let peer = |(name, report)| PeerRollout { name, report, is_fresh: true, age_ms: 0 };
    let peers: Vec<_> = peers.iter().copied().map(peer).collect();
    words(decide(rollout, "d", own, &peers))
}

fn words(step: RolloutStep) -> String {
    match step {
        RolloutStep::Wait(wait) => wait.to_string(),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_stage_loads_once_all_before_it_have_served_for_the_soak() {
    let (rollout, none) = (rollout(7, &["a", "b,c"]), RolloutReport::default());
    let (short, long) = (serving(&rollout, 20_500), serving(&rollout, 60_000));
    let step = |peers: &[(&str, &RolloutReport)]| step(&rollout, &none, peers);
    assert_eq!(step(&[("a", &none)]), "waits for b, which was never heard");
    let all = |a, b, c| step(&[("a", a), ("b", b), ("c", c), ("e", &none)]);
    assert_eq!(all(&long, &none, &long), "waits for b, which does not serve it yet");
    assert_eq!(all(&long, &long, &short), "waits for 40 s more of c, which serves it");
    assert_eq!(all(&long, &long, &long), "Load");
    // The first stage waits for no server.
    assert_eq!(decide(&rollout, "a", &none, &[]), RolloutStep::Load);
}

#[test]
fn a_silent_server_of_a_stage_before_holds_the_rollout_up_and_a_deaf_one_does_not() {
    let (rollout, none) = (rollout(7, &["a"]), RolloutReport::default());
    let report = serving(&rollout, 60_000);
    let step = |report: &RolloutReport, is_fresh| {
        words(decide(&rollout, "d", &none, &[PeerRollout { name: "a", report, is_fresh, age_ms: 41_000 }]))
    };
    assert_eq!(step(&report, false), "waits for a, which was not heard for 41 s");
    assert_eq!(step(&report, true), "Load");
    assert_eq!(step(&RolloutReport { deaf: true, ..none.clone() }, true), "Load");
    let deaf = RolloutReport { deaf: true, ..none.clone() };
    assert_eq!(decide(&rollout, "a", &deaf, &[]), RolloutStep::Wait(RolloutWait::Deaf));
}

#[test]
fn a_rejection_by_any_server_stops_all_until_the_next_push() {
    let (first, none) = (rollout(7, &["a"]), RolloutReport::default());
    let (serves, rejects) = (serving(&first, 60_000), rejecting(&first));
    assert_eq!(step(&first, &none, &[("a", &serves), ("z", &rejects)]), "rejected by z: bad");
    assert_eq!(step(&first, &rejects, &[("a", &serves)]), "rejected here: bad");
    // A silent server may have been stopped because of its rejection.
    let silent = PeerRollout { name: "z", report: &rejects, is_fresh: false, age_ms: 90_000 };
    assert_eq!(words(decide(&first, "a", &none, &[silent])), "rejected by z: bad");
    // The same bundle, pushed again.
    let again = pushed_again(&first, 8);
    assert_eq!(words(decide(&again, "a", &rejects, &[silent])), "Load");
}

#[test]
fn a_bundle_in_force_stays_through_a_halt_and_is_adopted_by_a_further_push() {
    let first = rollout(7, &["a"]);
    let halted = first.clone().with_halt(9, Some(RolloutAct { by: "bob".into(), reason: None, at: 1 }));
    let (own, none) = (serving(&first, 5), RolloutReport::default());
    assert_eq!(step(&halted, &own, &[]), "Served");
    assert_eq!(step(&halted, &none, &[("a", &serving(&first, 60_000))]), "halted by bob");
    assert_eq!(step(&halted.clone().with_halt(10, None), &none, &[("a", &serving(&first, 60_000))]), "Load");
    let again = pushed_again(&first, 11);
    assert_eq!(step(&again, &own, &[]), "Adopt");
}

#[test]
fn a_server_that_serves_worse_holds_the_later_stages_up() {
    let (rollout, none) = (rollout(7, &["a"]), RolloutReport::default());
    let step = |answers, failures, mirrors_down| {
        let mut report = serving(&rollout, 60_000);
        if let Some(served) = &mut report.serves {
            served.since = ServiceHealth { answers, failures, mirrors_down };
        }
        step(&rollout, &none, &[("a", &report)])
    };
    assert_eq!(step(1000, 5, 0), "Load");
    // Before, 0.5 % were SERVFAIL.
    assert_eq!(step(1000, 15, 1), "Load");
    assert_eq!(step(1000, 16, 1), "waits for a, which serves worse: 1.6 % of its answers are SERVFAIL, 0.5 % before");
    // Few failures are chance.
    assert_eq!(step(20, 9, 1), "Load");
    assert_eq!(step(1000, 5, 2), "waits for a, which serves worse: 2 of its mirrors are down, 1 before");
}

/// A linear congruential generator (Knuth), because the histories must be the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// Servers that decide by the documents of the others, some of which are old.
struct FleetOfBundles {
    names: Vec<String>,
    /// The present report of each, and the one in its document.
    reports: Vec<(RolloutReport, RolloutReport)>,
    is_silent: Vec<bool>,
    rollout: Rollout,
    /// The server that rejects the present push.
    critic: Option<usize>,
}

impl FleetOfBundles {
    fn new(dice: &mut Dice) -> Self {
        let names: Vec<String> = (0..3 + dice.below(4)).map(|number| format!("s{number}")).collect();
        let count = names.len();
        let mut fleet = FleetOfBundles {
            names,
            reports: vec![Default::default(); count],
            is_silent: vec![false; count],
            rollout: rollout(1, &[]),
            critic: None,
        };
        fleet.push(1, dice);
        fleet
    }

    fn push(&mut self, serial: u64, dice: &mut Dice) {
        let cut = 1 + dice.below(self.names.len() as u64 - 1) as usize;
        let stages = [self.names[..cut.div_ceil(2)].join(","), self.names[cut.div_ceil(2)..cut].join(",")];
        let stages: Vec<&str> = stages.iter().map(String::as_str).filter(|stage| !stage.is_empty()).collect();
        self.rollout = rollout(serial, &stages);
        self.critic = (dice.below(3) == 0).then(|| dice.below(self.names.len() as u64) as usize);
    }

    fn decide(&self, at: usize) -> RolloutStep {
        let peer = |other: usize| PeerRollout {
            name: &self.names[other],
            report: &self.reports[other].1,
            is_fresh: !self.is_silent[other],
            age_ms: 0,
        };
        let peers: Vec<_> = (0..self.names.len()).filter(|other| *other != at).map(peer).collect();
        decide(&self.rollout, &self.names[at], &self.reports[at].0, &peers)
    }

    /// A server decides, and the invariants are checked if it loads.
    fn act(&mut self, at: usize) {
        if self.is_silent[at] || self.decide(at) != RolloutStep::Load {
            return;
        }
        let stage = self.rollout.stages.of(&self.names[at]);
        for earlier in self.rollout.stages.named()[..stage].iter().flatten() {
            let other = self.names.iter().position(|name| name == earlier).unwrap();
            let served = self.reports[other].0.serves.as_ref().unwrap();
            assert_eq!((served.push, served.for_ms >= 60_000), (self.rollout.push, true), "{earlier}");
        }
        assert!(
            self.reports.iter().all(|(_, told)| told.rejects.as_ref().is_none_or(|no| no.push != self.rollout.push))
        );
        let report = if self.critic == Some(at) {
            RolloutReport { serves: self.reports[at].0.serves.clone(), ..rejecting(&self.rollout) }
        } else {
            serving(&self.rollout, 0)
        };
        self.reports[at].0 = report;
    }

    fn tell(&mut self, at: usize) {
        if !self.is_silent[at] {
            self.reports[at].1 = self.reports[at].0.clone();
        }
    }

    fn pass(&mut self, ms: u64) {
        for (report, _) in &mut self.reports {
            report.serves.iter_mut().for_each(|served| served.for_ms += ms);
        }
    }
}

#[test]
fn stages_are_kept_in_any_history_and_a_sound_bundle_reaches_all() {
    let (mut stopped, mut reached) = (0, 0);
    for seed in 0..3000 {
        let mut dice = Dice(seed);
        let mut fleet = FleetOfBundles::new(&mut dice);
        for serial in 2..60 {
            let at = dice.below(fleet.names.len() as u64) as usize;
            match dice.below(12) {
                0 => fleet.push(serial, &mut dice),
                1 => fleet.is_silent[at] ^= true,
                2..=4 => fleet.pass(dice.below(70_000)),
                5..=7 => fleet.tell(at),
                _ => fleet.act(at),
            }
        }
        fleet.is_silent.fill(false);
        for _ in 0..3 * fleet.names.len() {
            (0..fleet.names.len()).for_each(|at| fleet.act(at));
            fleet.pass(60_000);
            (0..fleet.names.len()).for_each(|at| fleet.tell(at));
        }
        let serves = |report: &RolloutReport| report.serves.as_ref().is_some_and(|it| it.push == fleet.rollout.push);
        let has_it: Vec<bool> = fleet.reports.iter().map(|(report, _)| serves(report)).collect();
        match fleet.critic {
            Some(critic) => {
                assert!(!has_it[critic], "seed {seed}");
                stopped += 1;
            }
            None => {
                assert!(has_it.iter().all(|has_it| *has_it), "seed {seed}: {has_it:?}");
                reached += 1;
            }
        }
    }
    assert!(stopped > 500 && reached > 500, "{stopped} {reached}");
}

#[test]
fn a_bundle_is_one_to_go_back_to_once_most_servers_serve_it_and_none_objects() {
    let (rollout, none) = (rollout(7, &["a"]), RolloutReport::default());
    let (served, rejected) = (serving(&rollout, 0), rejecting(&rollout));
    let deaf = RolloutReport { deaf: true, ..RolloutReport::default() };
    for (reports, is_established) in [
        (vec![], false),
        (vec![&served], true),
        (vec![&served, &none], false),
        (vec![&served, &served, &none], true),
        (vec![&served, &deaf, &deaf], true),
        (vec![&served, &served, &rejected], false),
    ] {
        assert_eq!(rollout.is_established(reports.iter().copied()), is_established, "{reports:?}");
    }
    assert!(!rollout.with_halt(8, Some(RolloutAct::default())).is_established([&served]));
}
