//! Overrides that are kept, served and ended.

use tokio::time::Instant;

use super::*;
use crate::base::time::Moment;
use crate::live::{self, Published};
use crate::mirror::Mirror;
use crate::process::state::StateFiles;
use crate::snapshot::{Compiled, Overrides, Snapshot};
use crate::zone::ZoneSet;

/// A running ledger for mirrors `a` and `b`, with a civil clock that begins at 1000.
struct World {
    folder: tempfile::TempDir,
    published: Arc<Published>,
    entries: mpsc::Sender<LedgerEntry>,
    readiness: Arc<Readiness>,
}

impl World {
    fn start(orders: Overrides) -> World {
        let folder = tempfile::tempdir().unwrap();
        let snapshot = Snapshot::new(
            Generation(1),
            ZoneSet::new(Vec::new()),
            Compiled { mirrors: Arc::new([Mirror::named("a"), Mirror::named("b")]), ..Compiled::default() },
        );
        let (published, updates, publisher) = live::publish(snapshot.with_overrides(orders.clone()), || Moment(0));
        tokio::spawn(publisher.run());
        let begin = Instant::now();
        let clock = move || UnixTime(1000 + begin.elapsed().as_secs());
        let file = StateFiles::default().file(folder.path().join("orders.json"), &store::FORM, "a test");
        let (entries, inbox) = mpsc::channel(MAX_WAITING);
        let (standing, readiness) =
            (StandingOverrides { mirrors: orders, server: None }, Arc::new(Readiness::default()));
        readiness.serve();
        let ledger = Ledger { standing, file, updates, readiness: readiness.clone(), clock, shared: None };
        tokio::spawn(ledger.run(inbox));
        World { folder, published, entries, readiness }
    }

    async fn ask(&self, mirror: &str, action: OverrideAction) -> Result<OverrideDone, OverrideRefused> {
        self.ask_about(OverrideSubject::Mirror(mirror.into()), action).await
    }

    async fn ask_about(
        &self,
        subject: OverrideSubject,
        action: OverrideAction,
    ) -> Result<OverrideDone, OverrideRefused> {
        let (reply, outcome) = oneshot::channel();
        self.entries.send(LedgerEntry { subject, action, reply }).await.unwrap();
        outcome.await.unwrap()
    }

    /// The overrides that are served; asserts that the file has the same.
    fn standing(&self) -> Vec<(String, Forced)> {
        let served = self.published.load().overrides().clone();
        let text = std::fs::read_to_string(self.folder.path().join("orders.json")).unwrap();
        let text = text.strip_prefix(&store::FORM.first_line()).unwrap();
        let kept = store::decode(text).unwrap();
        assert_eq!((&kept.mirrors, kept.server.as_ref()), (&served, self.readiness.drained().as_deref()));
        served.iter().map(|(name, order)| (name.to_string(), order.forced)).collect()
    }
}

fn order(forced: Forced, until: Option<u64>) -> Override {
    let reason = Reason::parse("a test").unwrap();
    Override { forced, reason, who: "us".into(), since: UnixTime(1000), until: until.map(UnixTime) }
}

#[tokio::test(start_paused = true)]
async fn an_override_is_kept_served_and_ended() {
    let world = World::start(Overrides::new());
    let done = world.ask("a", OverrideAction::Set(order(Forced::Drain, Some(1100)))).await.unwrap();
    assert_eq!((done.before, done.generation), (None, Some(Generation(2))));
    world.ask("b", OverrideAction::Set(order(Forced::Down, None))).await.unwrap();
    assert_eq!(world.standing(), [("a".into(), Forced::Drain), ("b".into(), Forced::Down)]);

    let done = world.ask("a", OverrideAction::Set(order(Forced::Up, Some(1030)))).await.unwrap();
    assert_eq!(done.before.map(|order| order.forced), Some(Forced::Drain));
    assert_eq!(world.standing(), [("a".into(), Forced::Up), ("b".into(), Forced::Down)]);

    // A second before its end, the override is in force; after that, it is not.
    tokio::time::sleep(Duration::from_secs(29)).await;
    assert_eq!(world.standing().len(), 2);
    let generation = world.published.load().generation;
    while world.published.load().generation == generation {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(world.standing(), [("b".into(), Forced::Down)]);

    let taken = world.ask("b", OverrideAction::Removed { who: "us".into(), reason: None }).await.unwrap();
    assert_eq!(taken.before.map(|order| order.forced), Some(Forced::Down));
    assert_eq!(world.standing(), []);
    let nothing = world.ask("b", OverrideAction::Removed { who: "us".into(), reason: None }).await.unwrap();
    assert!(nothing.before.is_none() && nothing.generation.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_drain_of_the_server_is_kept_and_ended_beside_those_of_mirrors() {
    let world = World::start(Overrides::new());
    world.ask("a", OverrideAction::Set(order(Forced::Down, None))).await.unwrap();
    let done =
        world.ask_about(OverrideSubject::Server, OverrideAction::Set(order(Forced::Drain, Some(1030)))).await.unwrap();
    assert_eq!((done.before, done.generation, world.published.load().generation), (None, None, Generation(2)));
    assert!(world.readiness.obstacle().is_some() && world.standing().len() == 1);
    while world.readiness.obstacle().is_some() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(world.standing(), [("a".into(), Forced::Down)]);
    world.ask_about(OverrideSubject::Server, OverrideAction::Set(order(Forced::Drain, None))).await.unwrap();
    let back = OverrideAction::Removed { who: "us".into(), reason: None };
    let done = world.ask_about(OverrideSubject::Server, back).await.unwrap();
    assert!(done.before.is_some() && world.readiness.obstacle().is_none());
    world.standing();
}

#[tokio::test(start_paused = true)]
async fn an_override_that_was_there_at_the_start_ends_too() {
    let world = World::start([("a".into(), order(Forced::Drain, Some(90_000)))].into());
    assert!(world.published.load().overrides().contains_key("a"));
    while world.published.load().overrides().contains_key("a") {
        tokio::time::sleep(Duration::from_secs(1000)).await;
    }
    assert_eq!(world.standing(), []);
}

#[tokio::test]
async fn an_override_that_cannot_be_kept_changes_nothing() {
    let world = World::start(Overrides::new());
    std::fs::create_dir(world.folder.path().join("orders.json.new")).unwrap();
    let refused = world.ask("a", OverrideAction::Set(order(Forced::Drain, None))).await.unwrap_err();
    assert!(matches!(refused, OverrideRefused::NotKept(_)), "{refused:?}");
    assert!(world.published.load().overrides().is_empty());
    assert_eq!(world.published.load().generation, Generation(1));
}
