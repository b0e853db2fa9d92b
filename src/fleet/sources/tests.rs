//! The turn of each server, and the reports.

use super::*;

const HOUR: u64 = 3_600_000;
static NONE: BTreeSet<ContentDigest> = BTreeSet::new();
const SERVERS: [&str; 5] = ["fra1-a", "gru1-a", "iad1-a", "sin1-a", "syd1-a"];

fn key() -> SourceKey {
    SourceKey::of("feed = \"aws\"", "https://feeds.example/ip-ranges.json?key=secret")
}

fn digest(text: &str) -> ContentDigest {
    ContentDigest::of(text.as_bytes())
}

fn report(text: &str, checked_ms: Option<u64>) -> SourceReport {
    SourceReport { copy: Some(SharedCopy { sha256: digest(text), len: 9, stored: true }), checked_ms }
}

/// A due fetch of a server whose copy, if there is one, is an interval old.
fn due<'d>(key: &'d SourceKey, server: &'d str, copy: Option<&'d ContentDigest>) -> DueSource<'d> {
    let age_ms = copy.map(|_| HOUR);
    DueSource { key, server, copy, age_ms, every_ms: HOUR, apart_ms: 10_000, waited_ms: 0, unusable: &NONE }
}

fn peers<'d>(own: &str, reports: &'d [(&'d str, SourceReport)]) -> Vec<PeerSource<'d>> {
    let others = reports.iter().filter(|(server, _)| *server != own);
    others.map(|(server, report)| PeerSource { server, report, heard_ms: 500 }).collect()
}

/// The waiting times of all servers of a fleet whose copies are an interval old.
fn waits(servers: &[&str], of: &SourceKey) -> Vec<u64> {
    let reports: Vec<_> = servers.iter().map(|server| (*server, report("one", Some(HOUR)))).collect();
    let (one, mut waits) = (digest("one"), Vec::new());
    for server in servers {
        waits.push(match due(of, server, Some(&one)).step(&peers(server, &reports)) {
            SourceStep::Ask => 0,
            SourceStep::Wait(pause) => pause,
            SourceStep::Follow(_) => panic!("no check is recent"),
        });
    }
    waits
}

#[test]
fn one_server_has_the_first_turn_and_the_others_are_a_tenth_of_the_interval_apart() {
    let mut sorted = waits(&SERVERS, &key());
    sorted.sort_unstable();
    assert_eq!(sorted, [0, 1, 2, 3, 4].map(|rank| rank * HOUR / 10));
    let first_of = |number: usize| {
        let of = SourceKey::of("list", &format!("https://feeds.example/{number}"));
        waits(&SERVERS, &of).iter().position(|wait| *wait == 0).unwrap()
    };
    let firsts: std::collections::BTreeSet<usize> = (0..40).map(first_of).collect();
    assert_eq!(firsts.len(), SERVERS.len(), "sources are spread over the servers");
}

#[test]
fn a_server_that_leaves_changes_the_order_of_the_others_in_nothing() {
    let order = |servers: &[&str]| {
        let waits = waits(servers, &key());
        let mut order: Vec<_> = waits.into_iter().zip(servers.iter().map(ToString::to_string)).collect();
        order.sort();
        order.into_iter().map(|(_, server)| server).collect::<Vec<_>>()
    };
    let all = order(&SERVERS);
    for gone in SERVERS {
        let rest: Vec<&str> = SERVERS.into_iter().filter(|server| *server != gone).collect();
        let expected: Vec<_> = all.iter().filter(|server| **server != gone).cloned().collect();
        assert_eq!(order(&rest), expected, "without {gone}");
    }
}

#[test]
fn turns_are_never_closer_than_documents_spread_and_never_later_than_an_interval() {
    let (of, one) = (key(), digest("one"));
    let short = DueSource { every_ms: 2000, ..due(&of, "a", Some(&one)) };
    assert_eq!([0, 1, 2].map(|rank| short.wait_ms(rank)), [0, 10_000, 20_000]);
    assert_eq!(due(&of, "a", Some(&one)).wait_ms(200), HOUR);
    // After its waiting time a server asks.
    let reports = SERVERS.map(|server| (server, report("one", None)));
    let last = SERVERS.iter().max_by_key(|server| of.place(server)).unwrap();
    let waiting = |waited_ms| DueSource { waited_ms, ..due(&of, last, Some(&one)) }.step(&peers(last, &reports));
    assert_eq!(waiting(HOUR / 10), SourceStep::Wait(HOUR / 10 * 3));
    assert_eq!(waiting(HOUR / 10 * 4), SourceStep::Ask);
}

#[test]
fn the_last_check_of_another_server_counts_for_an_interval() {
    let (of, one) = (key(), digest("one"));
    let step = |own: DueSource<'_>, reports: &[(&str, SourceReport)]| own.step(&peers("a", reports));
    let follows = |step: SourceStep| match step {
        SourceStep::Follow(PeerCopy { server, copy, age_ms }) => Some((server, copy.sha256, age_ms)),
        _ => None,
    };
    let reports = [("b", report("two", Some(90_000))), ("c", report("one", Some(80_000)))];
    assert_eq!(follows(step(due(&of, "a", Some(&one)), &reports)), Some(("c".into(), digest("one"), 80_500)));
    let reports = [("b", report("two", Some(70_000))), ("c", report("one", Some(80_000)))];
    assert_eq!(follows(step(due(&of, "a", Some(&one)), &reports)), Some(("b".into(), digest("two"), 70_500)));
    // This server asked the publisher after them.
    assert_eq!(follows(step(DueSource { age_ms: Some(70_000), ..due(&of, "a", Some(&one)) }, &reports)), None);
    // An interval is over, by the clock of this server.
    assert_eq!(follows(step(due(&of, "a", Some(&one)), &[("b", report("two", Some(HOUR - 500)))])), None);
    assert!(follows(step(due(&of, "a", Some(&one)), &[("b", report("two", Some(HOUR - 501)))])).is_some());
    // A check that is known from another server is not told, and does not count.
    assert_eq!(follows(step(due(&of, "a", Some(&one)), &[("b", report("two", None))])), None);
}

#[test]
fn a_copy_is_followed_only_if_this_server_has_it_or_can_take_it() {
    let (of, one, two) = (key(), digest("one"), digest("two"));
    let mut unstored = report("two", Some(0));
    unstored.copy.as_mut().unwrap().stored = false;
    let reports = [("b", unstored.clone())];
    let follows = |own: DueSource<'_>, reports: &[(&str, SourceReport)]| {
        matches!(own.step(&peers("a", reports)), SourceStep::Follow(_))
    };
    assert!(!follows(due(&of, "a", Some(&one)), &reports), "the store does not have it");
    assert!(follows(due(&of, "a", Some(&two)), &reports), "it is this server's own");
    // Another server says that the store has it.
    let reports = [("b", unstored), ("c", report("two", None))];
    assert!(follows(due(&of, "a", Some(&one)), &reports));
    let unusable = BTreeSet::from([two]);
    assert!(!follows(DueSource { unusable: &unusable, ..due(&of, "a", Some(&one)) }, &reports));
}

#[test]
fn a_server_without_content_takes_any_copy_and_waits_for_no_server() {
    let of = key();
    let new = |reports: &[(&str, SourceReport)]| due(&of, "a", None).step(&peers("a", reports));
    assert_eq!(new(&[]), SourceStep::Ask);
    let all = SERVERS.map(|server| (server, SourceReport::default()));
    assert_eq!(new(&all), SourceStep::Ask);
    let reports = [("b", report("old", None)), ("c", report("new", Some(HOUR * 9)))];
    let copy = report("new", None).copy.unwrap();
    assert_eq!(new(&reports), SourceStep::Follow(PeerCopy { server: "c".into(), copy, age_ms: HOUR }));
    assert!(matches!(new(&reports[..1]), SourceStep::Follow(PeerCopy { age_ms: HOUR, .. })));
}

/// Servers take checks of others for younger than these are, by up to 20 s. In each interval the publisher is asked, and hardly more.
#[test]
fn a_fleet_asks_the_publisher_once_an_interval_and_never_stops() {
    const STEP: u64 = 1000;
    let (of, one) = (key(), digest("one"));
    let mut seed = 7u64;
    let mut chance = |most: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % most
    };
    /// A server: the last check that it knows, its own last check, when its next fetch is due.
    struct Simulated {
        known: u64,
        asked: u64,
        due: u64,
        look: u64,
    }
    let mut servers: Vec<Simulated> =
        SERVERS.iter().map(|_| Simulated { known: 0, asked: 0, due: HOUR, look: HOUR }).collect();
    let mut requests = Vec::new();
    for now in (0..100 * HOUR).step_by(STEP as usize) {
        for at in 0..SERVERS.len() {
            if now < servers[at].look {
                continue;
            }
            // The age of a document, and the time of its way, are lost.
            let mut reports = Vec::new();
            for (other, server) in SERVERS.iter().enumerate().filter(|(other, _)| *other != at) {
                let (told, way) = (now.saturating_sub(chance(15_000)), chance(5000));
                let heard = told.checked_sub(servers[other].asked).map(|age| age.saturating_sub(way));
                reports.push((*server, report("one", heard)));
            }
            let own = Simulated { ..servers[at] };
            let asked = DueSource {
                age_ms: Some(now - own.known),
                waited_ms: now - own.due,
                ..due(&of, SERVERS[at], Some(&one))
            };
            let (known, is_own, pause) = match asked.step(&peers(SERVERS[at], &reports)) {
                SourceStep::Wait(pause) => {
                    servers[at].look = now + pause;
                    continue;
                }
                SourceStep::Ask => {
                    requests.push(now);
                    (now, true, HOUR / 10 * 9 + chance(HOUR / 5))
                }
                SourceStep::Follow(found) => (now - found.age_ms, false, HOUR / 10 * 11 - found.age_ms),
            };
            let due = now + pause;
            servers[at] = Simulated { known, asked: if is_own { now } else { own.asked }, due, look: due };
        }
    }
    assert!((90..=125).contains(&requests.len()), "{} requests in 100 intervals", requests.len());
    let longest = requests.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(longest < HOUR / 2 * 3, "{longest}");
}

#[test]
fn a_check_is_news_and_a_growing_age_is_not() {
    let reports = |text: &str, checked_ms| SourceReports::new([(key(), report(text, checked_ms))]);
    let before = reports("one", Some(5000));
    assert!(before.tells_the_same(&reports("one", Some(9000))));
    assert!(!before.tells_the_same(&reports("one", Some(10))));
    assert!(!before.tells_the_same(&reports("one", None)) && !reports("one", None).tells_the_same(&before));
    assert!(!before.tells_the_same(&reports("two", Some(9000))));
    assert!(!before.tells_the_same(&SourceReports::default()) && !SourceReports::default().tells_the_same(&before));
}

#[test]
fn reports_are_bounded_and_have_no_url() {
    let many = (0..MAX_SOURCES + 9).map(|number| (SourceKey::of("list", &number.to_string()), report("one", None)));
    let reports = SourceReports::new(many);
    assert_eq!(reports.0.len(), MAX_SOURCES);
    assert!(reports.stores(&digest("one")) && reports.names(&digest("one")) && !reports.names(&digest("two")));
    let json = serde_json::to_string(&SourceReports::new([(key(), report("one", Some(7)))])).unwrap();
    assert!(!json.contains("secret") && !json.contains("example"), "{json}");
    let read: SourceReports = serde_json::from_str(&json).unwrap();
    assert_eq!(read.of(&key()), Some(&report("one", Some(7))));
    assert_eq!(read.of(&SourceKey::of("feed = \"gcp\"", "https://feeds.example/ip-ranges.json?key=secret")), None);
}
