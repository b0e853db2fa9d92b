//! Stores that several servers change and exchange.

use proptest::prelude::*;

use super::*;

const NOW: UnixTime = UnixTime(1_700_000_000);

fn name(text: &str) -> NameBuf {
    NameBuf::parse(text).unwrap()
}

fn token(number: u8) -> ChallengeToken {
    let text = format!("{number:043}");
    ChallengeToken::parse(text.as_bytes()).unwrap()
}

fn numbers(tokens: &[ChallengeToken]) -> Vec<u8> {
    tokens.iter().map(|token| token.as_str().parse().unwrap()).collect()
}

/// A server with a store, which takes changes at `NOW` unless a time is given.
struct Peer {
    name: Arc<str>,
    store: ChallengeStore,
}

impl Peer {
    fn new(name: &str) -> Self {
        Peer { name: name.into(), store: ChallengeStore::default() }
    }

    fn set(&mut self, credential: &str, owner: &str, number: u8) {
        self.store.set(&credential.into(), name(owner).as_name(), token(number), &self.name, NOW);
    }

    fn remove(&mut self, credential: &str, owner: &str, which: Removal) {
        self.store.remove(&credential.into(), name(owner).as_name(), which, &self.name, NOW);
    }

    fn union(&self, owner: &str) -> Vec<u8> {
        numbers(&union(&self.store, owner, |_| true))
    }
}

/// The live tokens at an owner of the credentials for which `counts` is true.
fn union(store: &ChallengeStore, owner: &str, counts: impl Fn(&str) -> bool) -> Vec<ChallengeToken> {
    store.unions(|key| counts(&key.credential)).get(&name(owner)).cloned().unwrap_or_default()
}

#[test]
fn credentials_change_their_own_tokens_alone_and_the_union_is_answered() {
    let mut server = Peer::new("a");
    server.set("one", "x", 1);
    server.set("two", "x", 2);
    server.set("one", "y", 3);
    assert_eq!(server.union("X"), [2, 1], "the newest first, owners in any case");
    // A removal of a token that another credential has set changes nothing.
    server.remove("one", "x", Removal::One(token(2)));
    assert_eq!(server.union("x"), [2, 1]);
    server.remove("one", "x", Removal::All);
    assert_eq!((server.union("x"), server.union("y")), (vec![2], vec![3]));
    server.remove("two", "x", Removal::One(token(2)));
    assert_eq!((server.union("x"), server.store.live()), (vec![], [("one", 1)].into()));
    // A token of two credentials is answered once, until both have removed it.
    server.set("one", "x", 7);
    server.set("two", "x", 7);
    assert_eq!(server.union("x"), [7]);
    server.remove("one", "x", Removal::All);
    assert_eq!(server.union("x"), [7]);
    assert_eq!(union(&server.store, "x", |credential| credential == "one"), []);
}

#[test]
fn the_newest_four_of_a_credential_at_an_owner_are_live() {
    let mut server = Peer::new("a");
    for number in 1..=6 {
        server.set("one", "x", number);
        server.set("two", "x", 100 + number);
        server.set("one", "y", number);
    }
    let expected = [106, 6, 105, 5, 104, 4, 103, 3];
    assert_eq!((server.union("x"), server.union("y")), (expected.to_vec(), vec![6, 5, 4, 3]));
    // A displaced token does not come back.
    server.remove("one", "x", Removal::One(token(6)));
    assert_eq!(server.union("x"), [106, 105, 5, 104, 4, 103, 3]);
    // To set a token again makes it the newest.
    server.set("one", "x", 3);
    assert_eq!(server.union("x"), [3, 106, 105, 5, 104, 4, 103]);
    for number in 0..200 {
        server.set("one", "x", number);
        server.remove("one", "x", Removal::All);
    }
    assert!(server.store.of(&"one".into(), name("x").as_name()).count() <= MAX_KEPT);
}

#[test]
fn a_token_ends_an_hour_after_it_was_set() {
    let mut server = Peer::new("a");
    server.set("one", "x", 1);
    assert_eq!(server.store.next_end(), Some(UnixTime(NOW.0 + 3600)));
    assert!(!server.store.expire(UnixTime(NOW.0 + 3599)) && server.union("x") == [1]);
    assert!(server.store.expire(UnixTime(NOW.0 + 3600)) && server.union("x").is_empty());
    assert_eq!((server.store.next_end(), server.store.entries().count()), (None, 0));
    // If the clock is set back by a day, the token ends an hour later all the same.
    server.set("one", "x", 2);
    let yesterday = UnixTime(NOW.0 - 86_400);
    server.store.expire(yesterday);
    assert_eq!(server.store.next_end(), Some(UnixTime(yesterday.0 + 3600)));
}

#[test]
fn entries_of_a_credential_that_is_gone_are_dropped() {
    let mut server = Peer::new("a");
    server.set("one", "x", 1);
    server.set("two", "x", 2);
    assert!(!server.store.retain(|_| true));
    assert!(server.store.retain(|key| &*key.credential != "two"));
    assert_eq!(server.union("x"), [1]);
}

/// A step of a history: a change at one of three servers, or an exchange between two.
#[derive(Clone, Debug)]
enum Step {
    Set {
        at: usize,
        credential: u8,
        owner: bool,
        number: u8,
    },
    Remove {
        at: usize,
        credential: u8,
        owner: bool,
        number: Option<u8>,
    },
    Send {
        from: usize,
        to: usize,
    },
    /// Time passes at all servers, a little less at one.
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let place = || (0..3usize, 0..2u8, any::<bool>());
    prop_oneof![
        4 => (place(), 0..24u8).prop_map(|((at, credential, owner), number)| Step::Set { at, credential, owner, number }),
        3 => (place(), prop::option::of(0..24u8))
            .prop_map(|((at, credential, owner), number)| Step::Remove { at, credential, owner, number }),
        2 => (0..3usize, 0..3usize).prop_map(|(from, to)| Step::Send { from, to }),
        1 => (0..1500u64).prop_map(Step::Pass),
    ]
}

/// The stores of three servers after a history.
fn after(steps: &[Step]) -> [ChallengeStore; 3] {
    let mut stores: [ChallengeStore; 3] = Default::default();
    let names: [Arc<str>; 3] = ["a".into(), "b".into(), "c".into()];
    let owners = [name("x"), name("y")];
    let mut now = NOW;
    for step in steps {
        match *step {
            Step::Set { at, credential, owner, number } => {
                let owner = owners[usize::from(owner)].as_name();
                stores[at].set(&format!("{credential}").into(), owner, token(number), &names[at], now);
            }
            Step::Remove { at, credential, owner, number } => {
                let which = number.map_or(Removal::All, |number| Removal::One(token(number)));
                let owner = owners[usize::from(owner)].as_name();
                stores[at].remove(&format!("{credential}").into(), owner, which, &names[at], now);
            }
            Step::Send { from, to } => {
                let sent = stores[from].clone();
                merge(&mut stores[to], &sent);
            }
            Step::Pass(seconds) => {
                now.0 += seconds;
                stores.iter_mut().for_each(|store| {
                    store.expire(now);
                });
            }
        }
    }
    stores
}

fn merge(store: &mut ChallengeStore, other: &ChallengeStore) {
    other.entries().for_each(|(key, entry)| store.take_in(key.clone(), entry.clone()));
}

fn merged(stores: &[&ChallengeStore]) -> ChallengeStore {
    let mut all = ChallengeStore::default();
    stores.iter().for_each(|store| merge(&mut all, store));
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn merging_is_commutative_associative_and_idempotent(steps in prop::collection::vec(step(), 1..80)) {
        let [a, b, c] = &after(&steps);
        prop_assert_eq!(merged(&[a, b]), merged(&[b, a]));
        prop_assert_eq!(&merged(&[a, a]), a);
        prop_assert_eq!(merged(&[&merged(&[a, b]), c]), merged(&[a, &merged(&[b, c])]));
        let whole = merged(&[a, b, c]);
        prop_assert_eq!(&merged(&[&whole, b, &whole, a]), &whole, "a state that is merged again changes nothing");
    }

    /// A token is lost only by its own credential, by four newer ones of that credential, or by time.
    #[test]
    fn a_token_outlives_all_that_other_credentials_do(
        before in prop::collection::vec(step(), 0..40),
        after_it in prop::collection::vec(step(), 0..60),
    ) {
        let others = |step: &Step| match *step {
            Step::Set { at, owner, number, .. } => Step::Set { at, credential: 1, owner, number },
            Step::Remove { at, owner, number, .. } => Step::Remove { at, credential: 1, owner, number },
            Step::Pass(_) => Step::Pass(1),
            ref step => step.clone(),
        };
        let mut steps: Vec<Step> = before.iter().map(others).collect();
        steps.push(Step::Set { at: 0, credential: 0, owner: true, number: 99 });
        steps.extend(after_it.iter().map(others));
        let [a, ..] = &after(&steps);
        prop_assert_eq!(union(a, "y", |credential| credential == "0"), [token(99)]);
        prop_assert!(union(a, "y", |_| true).contains(&token(99)));
    }
}
