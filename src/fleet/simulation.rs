//! Random histories of a fleet: servers that restart, lose their disks, cannot reach the store, and have wrong clocks.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::base::time::{Moment, UnixTime};
use crate::mirror::{Forced, Override, Reason};

/// A linear congruential generator (Knuth), because the histories must be the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// A server of the simulation.
struct Simulated {
    name: Arc<str>,
    /// The error of its clock, in milliseconds.
    skew: i64,
    boot: u64,
    seq: u64,
    roster: Roster,
    overrides: SharedOverrides,
    /// True while it cannot reach the store.
    is_cut: bool,
}

struct FleetHistory {
    servers: Vec<Simulated>,
    /// The objects of the store, and every object there ever was.
    store: BTreeMap<Arc<str>, ServerDocument>,
    old: Vec<ServerDocument>,
    now_ms: u64,
}

impl FleetHistory {
    fn new(count: u64, dice: &mut Dice) -> Self {
        let server = |number: u64| Simulated {
            name: format!("s{number}").into(),
            skew: dice.below(10_001) as i64 - 5000,
            boot: 1,
            seq: 0,
            roster: Roster::default(),
            overrides: SharedOverrides::default(),
            is_cut: false,
        };
        let servers = (0..count).map(server).collect();
        FleetHistory { servers, store: BTreeMap::new(), old: Vec::new(), now_ms: 1_700_000_000_000 }
    }

    fn clock(&self, at: usize) -> u64 {
        self.now_ms.saturating_add_signed(self.servers[at].skew)
    }

    /// One server reads all documents, and writes its own.
    fn exchange(&mut self, at: usize) {
        let now_ms = self.clock(at);
        let server = &mut self.servers[at];
        if server.is_cut {
            return;
        }
        for (_, document) in self.store.iter().filter(|(name, _)| **name != server.name) {
            if let Ok(Some(document)) = server.roster.accept(document.clone(), Moment(now_ms), now_ms) {
                server.overrides.merge(&document.overrides);
            }
        }
        server.seq += 1;
        let document = ServerDocument {
            server: server.name.clone(),
            boot: server.boot,
            seq: server.seq,
            overrides: server.overrides.clone(),
            ..ServerDocument::default()
        };
        self.old.push(document.clone());
        self.store.insert(server.name.clone(), document);
    }

    /// One random event.
    fn step(&mut self, dice: &mut Dice) {
        self.now_ms += dice.below(3000);
        let at = dice.below(self.servers.len() as u64) as usize;
        match dice.below(12) {
            0..=2 => {
                let (mirror, now_ms) = (format!("m{}", dice.below(3)).into(), self.clock(at));
                let action = match dice.below(3) {
                    0 => OverrideAction::Removed { who: "bob".into(), reason: None },
                    kind => OverrideAction::Set(Override {
                        forced: if kind == 1 { Forced::Drain } else { Forced::Up },
                        reason: Reason::parse("a test").unwrap(),
                        who: "alice".into(),
                        since: UnixTime(now_ms / 1000),
                        until: None,
                    }),
                };
                let server = &mut self.servers[at];
                server.overrides.change(&mirror, action, now_ms, &server.name.clone());
            }
            3 => self.servers[at].is_cut ^= true,
            // A restart: the number of documents begins anew, and the merged changes are on the disk.
            4 => {
                let server = &mut self.servers[at];
                (server.boot, server.seq, server.roster) = (server.boot + 1, 0, Roster::default());
            }
            // The store brings an old object back.
            5 if !self.old.is_empty() => {
                let document = self.old[dice.below(self.old.len() as u64) as usize].clone();
                self.store.insert(document.server.clone(), document);
            }
            _ => self.exchange(at),
        }
    }

    /// All servers reach the store, often enough that each has read the last document of every other.
    fn settle(&mut self) {
        self.servers.iter_mut().for_each(|server| server.is_cut = false);
        for _ in 0..2 {
            (0..self.servers.len()).for_each(|at| self.exchange(at));
        }
    }
}

#[test]
fn servers_agree_after_any_history() {
    for seed in 0..10_000 {
        let mut dice = Dice(seed);
        let mut world = FleetHistory::new(2 + seed % 4, &mut dice);
        (0..10 + dice.below(40)).for_each(|_| world.step(&mut dice));
        world.settle();
        let first = &world.servers[0].overrides;
        for server in &world.servers {
            assert_eq!(server.overrides, *first, "seed {seed}, {}", server.name);
        }
        // At rest, a further exchange changes nothing.
        let before = first.clone();
        world.settle();
        assert_eq!(world.servers[0].overrides, before, "seed {seed}");
    }
}

#[test]
fn merging_does_not_depend_on_order_or_repetition() {
    for seed in 0..2_000 {
        let mut dice = Dice(seed);
        let mut world = FleetHistory::new(3, &mut dice);
        world.servers.iter_mut().for_each(|server| server.is_cut = true);
        (0..30).for_each(|_| world.step(&mut dice));
        let [a, b, c] = [0, 1, 2].map(|at| world.servers[at].overrides.clone());
        let merged = |parts: &[&SharedOverrides]| {
            let mut all = SharedOverrides::default();
            parts.iter().for_each(|part| all.merge(part));
            all
        };
        let expected = merged(&[&a, &b, &c]);
        assert_eq!(merged(&[&c, &b, &a]), expected);
        assert_eq!(merged(&[&b, &a, &b, &c, &c, &a]), expected);
        assert_eq!(merged(&[&merged(&[&a, &b]), &c]), merged(&[&a, &merged(&[&b, &c])]));
        assert!(expected.covers(&a) && expected.covers(&b) && expected.covers(&c));
        assert_eq!(a.covers(&expected), a == expected);
    }
}

#[test]
fn a_change_that_knew_of_another_wins_over_it_whatever_the_clocks_say() {
    for seed in 0..2_000 {
        let mut dice = Dice(seed);
        let mut world = FleetHistory::new(4, &mut dice);
        (0..30).for_each(|_| world.step(&mut dice));
        world.settle();
        let at = dice.below(4) as usize;
        let (now_ms, name) = (world.clock(at), world.servers[at].name.clone());
        let removed = OverrideAction::Removed { who: "last".into(), reason: None };
        world.servers[at].overrides.change(&"m0".into(), removed.clone(), now_ms, &name);
        world.settle();
        for server in &world.servers {
            assert_eq!(server.overrides.of("m0").unwrap().action, removed, "seed {seed}");
        }
    }
}
