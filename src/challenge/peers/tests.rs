//! Servers that take updates, exchange entries over lines that fail, stop, start and lose their disks.

use std::sync::Arc;

use proptest::prelude::*;

use super::super::{ChallengeToken, LIFE_SECS, Removal};
use super::*;
use crate::base::name::Name;
use crate::base::time::UnixTime;

const SERVERS: usize = 3;

/// The clocks of the servers, in seconds before or after the first one's.
const SKEW: [i64; SERVERS] = [0, 5, -5];

const NOW: u64 = 1_700_000_000;

fn name(text: &str) -> NameBuf {
    NameBuf::parse(text).unwrap()
}

fn token(number: u16) -> ChallengeToken {
    ChallengeToken::parse(format!("{number:043}").as_bytes()).unwrap()
}

/// A server: the tokens on its disk, and its knowledge of the peers, which ends with the process.
#[derive(Clone, Default)]
struct Node {
    name: Arc<str>,
    store: ChallengeStore,
    knowledge: [PeerKnowledge; SERVERS],
    is_greeted: [bool; SERVERS],
}

/// The servers, and the lines between these.
struct Fleet {
    nodes: [Node; SERVERS],
    is_cut: [[bool; SERVERS]; SERVERS],
    now: u64,
    /// The number of starts, for the names of servers that have lost their disk.
    starts: usize,
}

/// The fate of a message.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Arrives,
    Lost,
    /// It arrives, and its acknowledgement is lost.
    Unacknowledged,
}

#[derive(Clone, Debug)]
enum Step {
    Set {
        at: usize,
        credential: u8,
        number: u16,
    },
    Remove {
        at: usize,
        credential: u8,
        number: Option<u16>,
    },
    Send {
        from: usize,
        to: usize,
        fate: Fate,
    },
    Cut {
        from: usize,
        to: usize,
        is_cut: bool,
    },
    /// The process ends and starts again, with its disk or without.
    Restart {
        at: usize,
        keeps_disk: bool,
    },
    Pass(u64),
}

impl Fleet {
    fn new() -> Self {
        let node = |at: usize| Node { name: format!("{at}").into(), ..Node::default() };
        Fleet { nodes: std::array::from_fn(node), is_cut: Default::default(), now: NOW, starts: SERVERS }
    }

    fn clock(&self, at: usize) -> UnixTime {
        UnixTime(self.now.saturating_add_signed(SKEW[at]))
    }

    fn change(&mut self, at: usize, change: impl FnOnce(&mut ChallengeStore, Name<'_>, &Arc<str>, UnixTime)) {
        let (now, owner) = (self.clock(at), name("_acme-challenge.x"));
        let Node { name, store, .. } = &mut self.nodes[at];
        store.expire(now);
        change(store, owner.as_name(), name, now);
    }

    /// One message with a few entries, or with a greeting, as the service sends these.
    fn send(&mut self, from: usize, to: usize, fate: Fate) {
        if from == to || self.is_cut[from][to] || matches!(fate, Fate::Lost) {
            return;
        }
        let (sent, taken) = (self.clock(from), self.clock(to));
        let is_acknowledged = matches!(fate, Fate::Arrives);
        if !self.nodes[from].is_greeted[to] {
            self.nodes[to].knowledge[from].note_greeting();
            self.nodes[from].is_greeted[to] = is_acknowledged;
            return;
        }
        let Node { store, knowledge, .. } = &mut self.nodes[from];
        let owed = knowledge[to].owed(store, 3, |_| true);
        self.nodes[to].store.expire(taken);
        for (key, entry) in &owed.entries {
            let until = UnixTime(taken.0 + entry.until.0.saturating_sub(sent.0));
            self.nodes[to].store.take_in(key.clone(), ChallengeEntry { until, ..entry.clone() });
        }
        if is_acknowledged {
            self.nodes[from].knowledge[to].note_acknowledged(owed);
        }
    }

    fn restart(&mut self, at: usize, keeps_disk: bool) {
        let Node { name, store, .. } = std::mem::take(&mut self.nodes[at]);
        self.nodes[at] = if keeps_disk {
            Node { name, store, ..Node::default() }
        } else {
            self.starts += 1;
            Node { name: format!("{}", self.starts).into(), ..Node::default() }
        };
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Set { at, credential, number } => self.change(at, |store, owner, server, now| {
                store.set(&format!("{credential}").into(), owner, token(number), server, now);
            }),
            Step::Remove { at, credential, number } => self.change(at, |store, owner, server, now| {
                let which = number.map_or(Removal::All, |number| Removal::One(token(number)));
                store.remove(&format!("{credential}").into(), owner, which, server, now);
            }),
            Step::Send { from, to, fate } => self.send(from, to, fate),
            Step::Cut { from, to, is_cut } => self.is_cut[from][to] = is_cut,
            Step::Restart { at, keeps_disk } => self.restart(at, keeps_disk),
            Step::Pass(seconds) => {
                self.now += seconds;
                for at in 0..SERVERS {
                    let now = self.clock(at);
                    self.nodes[at].store.expire(now);
                }
            }
        }
    }

    /// All lines work, and each server sends until it owes nothing.
    fn settle(&mut self) -> usize {
        self.is_cut = Default::default();
        for round in 0..200 {
            let mut is_quiet = true;
            for (from, to) in (0..SERVERS * SERVERS).map(|pair| (pair / SERVERS, pair % SERVERS)) {
                if from != to {
                    let Node { store, knowledge, is_greeted, .. } = &mut self.nodes[from];
                    is_quiet &= is_greeted[to] && knowledge[to].owed(store, 3, |_| true).entries.is_empty();
                    self.send(from, to, Fate::Arrives);
                }
            }
            if is_quiet {
                return round;
            }
        }
        panic!("the servers do not come to rest");
    }

    /// The live tokens of each server, in the order of its answer.
    fn answers(&self) -> [Vec<ChallengeToken>; SERVERS] {
        let of = |node: &Node| node.store.unions(|_| true).into_values().next().unwrap_or_default();
        std::array::from_fn(|at| of(&self.nodes[at]))
    }
}

fn step() -> impl Strategy<Value = Step> {
    let pair = || (0..SERVERS, 0..SERVERS);
    let fate = prop_oneof![6 => Just(Fate::Arrives), 1 => Just(Fate::Lost), 2 => Just(Fate::Unacknowledged)];
    prop_oneof![
        5 => (0..SERVERS, 0..2u8, 0..12u16).prop_map(|(at, credential, number)| Step::Set { at, credential, number }),
        3 => (0..SERVERS, 0..2u8, prop::option::of(0..12u16))
            .prop_map(|(at, credential, number)| Step::Remove { at, credential, number }),
        12 => (pair(), fate).prop_map(|((from, to), fate)| Step::Send { from, to, fate }),
        2 => (pair(), any::<bool>()).prop_map(|((from, to), is_cut)| Step::Cut { from, to, is_cut }),
        1 => (0..SERVERS, prop::bool::weighted(0.8)).prop_map(|(at, keeps_disk)| Step::Restart { at, keeps_disk }),
        1 => (0..900u64).prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn servers_agree_after_any_history(steps in prop::collection::vec(step(), 1..120)) {
        let mut fleet = Fleet::new();
        steps.iter().for_each(|step| fleet.take(step));
        fleet.settle();
        let [a, b, c] = fleet.answers();
        prop_assert_eq!(&a, &b);
        prop_assert_eq!(&a, &c);
        // Once at rest, the servers stay so.
        prop_assert_eq!(fleet.settle(), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, failure_persistence: None, ..ProptestConfig::default() })]

    /// An acknowledged token is on the disk. A removal by its credential, or time, ends it; nothing else does.
    #[test]
    fn no_token_is_lost_but_by_its_credential_or_by_time(
        steps in prop::collection::vec(step(), 0..120),
        (at, number) in (0..SERVERS, 100..103u16),
        later in prop::collection::vec(step(), 0..120),
    ) {
        let mut fleet = Fleet::new();
        steps.iter().for_each(|step| fleet.take(step));
        fleet.take(&Step::Set { at, credential: 7, number });
        let set = fleet.now;
        // The others change their own tokens, and the disk of this server is kept.
        for step in &later {
            if !matches!(step, Step::Restart { keeps_disk: false, .. }) {
                fleet.take(step);
            }
        }
        fleet.settle();
        let is_expected = fleet.now < set + LIFE_SECS - 20;
        let is_over = fleet.now > set + LIFE_SECS + 20;
        for answer in fleet.answers() {
            let is_live = answer.contains(&token(number));
            prop_assert!(is_live || !is_expected, "{answer:?}");
            prop_assert!(!is_live || !is_over, "{answer:?}");
        }
    }

    /// A removal reaches all servers, whatever these have missed, and no exchange brings the token back.
    #[test]
    fn a_removal_holds_everywhere(
        (at, other) in (0..SERVERS, 0..SERVERS),
        between in prop::collection::vec(step(), 0..60),
        later in prop::collection::vec(step(), 0..60),
    ) {
        let mut fleet = Fleet::new();
        fleet.take(&Step::Set { at, credential: 7, number: 100 });
        fleet.settle();
        let keeps = |step: &&Step| !matches!(step, Step::Restart { keeps_disk: false, .. });
        between.iter().filter(keeps).for_each(|step| fleet.take(step));
        fleet.take(&Step::Remove { at: other, credential: 7, number: None });
        later.iter().filter(keeps).for_each(|step| fleet.take(step));
        fleet.settle();
        prop_assert!(fleet.answers().iter().all(|answer| !answer.contains(&token(100))));
    }
}

#[test]
fn an_acknowledgement_from_before_a_greeting_does_not_count() {
    let mut store = ChallengeStore::default();
    store.set(&"one".into(), name("x").as_name(), token(1), &"a".into(), UnixTime(NOW));
    let mut knowledge = PeerKnowledge::default();
    let owed = knowledge.owed(&store, 9, |_| true);
    assert_eq!(owed.entries.len(), 1);
    knowledge.note_greeting();
    knowledge.note_acknowledged(owed);
    let again = knowledge.owed(&store, 9, |_| true);
    assert_eq!(again.entries.len(), 1);
    knowledge.note_acknowledged(again);
    assert!(knowledge.owed(&store, 9, |_| true).entries.is_empty());
    assert!(knowledge.owed(&store, 9, |_| false).entries.is_empty());
    store.set(&"one".into(), name("x").as_name(), token(2), &"a".into(), UnixTime(NOW));
    store.set(&"one".into(), name("x").as_name(), token(3), &"a".into(), UnixTime(NOW));
    assert_eq!(knowledge.owed(&store, 1, |_| true).entries.len(), 1, "a few at a time");
}
