//! Sources by URL that one server fetches for all: over a folder and over etcd, with a publisher that counts its requests.

use std::cell::Cell;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::origin::{Origin, conditional, content};
use super::servers;
use super::world::*;

/// The patience with several intervals on a busy machine.
const LONG: Duration = Duration::from_secs(180);

/// The last byte of the address of clients within the feed, and of others.
const INSIDE: u8 = 20;
const OUTSIDE: u8 = 10;

/// A feed of AWS with further prefixes, which make another one of it. `has_this` is true if the test's own address is in it.
fn feed(has_this: bool, more: usize) -> String {
    let entry = |prefix: String| {
        format!(
            r#"{{"ip_prefix": "{prefix}", "region": "us-east-1", "service": "AMAZON", "network_border_group": "us-east-1"}}"#
        )
    };
    let mut entries = vec![entry("3.0.0.0/9".into())];
    entries.extend(has_this.then(|| entry("127.0.0.1/32".into())));
    entries.extend((0..more).map(|at| entry(format!("52.{}.{}.{}/32", at >> 15, at >> 7 & 255, at << 1 & 255))));
    let entries = entries.join(",\n");
    format!(
        "{{\"syncToken\": \"1\", \"createDate\": \"2026-11-28-00-00-00\", \"prefixes\": [{entries}], \"ipv6_prefixes\": []}}\n"
    )
}

/// The rest of a configuration with the feed of a publisher.
fn networks(origin: &Origin, every: &str) -> String {
    let url = origin.url("/aws.json");
    format!(
        "[networks]\naws = {{ feed = \"aws\", url = \"{url}\", file = \"aws.json\", every = \"{every}\" }}\n\
         [mirrors.near]\naddresses = \"192.0.2.10\"\n[mirrors.far]\naddresses = \"192.0.2.20\"\n\
         [horizons.h]\nrules = [{{ provider = \"aws\", mirrors = [\"far\"] }}]\ndefault = [\"near\"]\n"
    )
}

/// The fetches of a server with an outcome.
fn fetches(member: &Member, outcome: &str) -> u64 {
    member.server().metric(&format!("pharos_source_fetches_total{{source=\"aws\",outcome=\"{outcome}\"}}"))
}

/// The server that asked the publisher, as a server knows it. `None` if it asked itself, or if there is no copy.
fn checked_by(member: &Member) -> Option<String> {
    let status = member.json(&["status"]);
    status["networks"][0]["fetch"]["checked_by"].as_str().map(str::to_string)
}

/// The copies in the folder of the store.
fn stored(fleet: &Fleet) -> Vec<PathBuf> {
    let found = fs::read_dir(fleet.path("shared/sources")).map(|entries| entries.map(|entry| entry.unwrap().path()));
    found
        .map(|paths| paths.filter(|path| !path.file_name().unwrap().to_str().unwrap().starts_with('.')).collect())
        .unwrap_or_default()
}

/// The fetches of all servers with one of these outcomes.
fn total(fleet: &Fleet, outcomes: &[&str]) -> u64 {
    fleet.members.iter().flat_map(|member| outcomes.iter().map(|outcome| fetches(member, outcome))).sum()
}

/// The checks and copies that servers have from others.
fn shared(fleet: &Fleet) -> u64 {
    total(fleet, &["peer-unchanged", "peer-taken"])
}

/// Three servers that are in touch, with the feed of a publisher, which all serve.
fn start(origin: &Origin, pace: &str, every: &str) -> Fleet {
    let fleet = Fleet::prepare(&["a", "b", "c"]);
    let store = fleet.store();
    let fleet = fleet.running(|name| config(name, &store, pace, &networks(origin, every)));
    fleet.expect(INSIDE);
    fleet
}

/// The content of a round: every second one has the test's own address.
fn body(round: usize) -> String {
    feed(round.is_multiple_of(2), round)
}

/// Publishes the content of a round, and waits until all servers serve it.
fn change(fleet: &Fleet, origin: &Origin, round: usize) {
    publish(origin, round);
    fleet.expect(if round.is_multiple_of(2) { INSIDE } else { OUTSIDE });
}

fn publish(origin: &Origin, round: usize) {
    let tag: &'static str = Box::leak(format!("\"{round}\"").into());
    origin.becomes(conditional(&body(round), "ETag", tag));
}

#[test]
fn the_publisher_is_asked_once_an_interval_and_by_each_server_without_the_store() {
    let origin = Origin::new(content(&body(0)));
    let fleet = start(&origin, QUICK, "6s");
    // Two of three servers need no request of their own. A machine that stops for seconds delays documents, so one window of time in
    // which that is so suffices; without sharing there is none, and if all servers stop asking there is none either.
    let deadline = Instant::now() + LONG;
    loop {
        let (asked, known) = (origin.requests().len(), shared(&fleet));
        until_within(LONG, "servers use the checks of others", || shared(&fleet) >= known + 4);
        let asked = origin.requests().len() - asked;
        if (1..=3).contains(&asked) {
            break;
        }
        assert!(Instant::now() < deadline, "{asked} requests for at least 4 checks of other servers");
    }
    fleet.lose_store();
    change(&fleet, &origin, 1);
    fleet.return_store();
    change(&fleet, &origin, 2);
}

#[test]
fn a_changed_content_comes_from_the_server_that_fetched_it() {
    let origin = Origin::new(conditional(&body(0), "ETag", "\"0\""));
    let fleet = start(&origin, QUICK, "6s");
    let taken = || [0, 1, 2].map(|at| fetches(&fleet[at], "peer-taken"));
    let (round, taker) = (Cell::new(0), Cell::new(0));
    until_within(LONG, "a copy comes from another server", || {
        // Each has the validators of the content before.
        fleet.members.iter().for_each(|member| drop(member.ok(&["refresh"])));
        let (before, counted) = (taken(), total(&fleet, &["taken", "peer-taken"]));
        round.set(round.get() + 1);
        change(&fleet, &origin, round.get());
        until("the fetches are counted", || total(&fleet, &["taken", "peer-taken"]) >= counted + 3);
        taker.set((0..3).find(|at| taken()[*at] > before[*at]).unwrap_or(3));
        taker.get() < 3
    });
    let (round, taker) = (round.get(), &fleet[taker.get()]);
    taker.wait_said("network aws: the new content is the copy of server ");
    until("status names the server", || {
        let said = taker.ok(&["status"]);
        checked_by(taker).is_none_or(|server| said.contains(&format!(" ago by {server}")))
    });

    // The validators of the content before did not stay with the copy: the publisher would answer that nothing has changed.
    publish(&origin, round - 1);
    taker.ok(&["refresh"]);
    assert_eq!(taker.read("aws.json"), body(round - 1));

    // The store has the last two copies, once all servers have the last one.
    (1..=3).for_each(|more| change(&fleet, &origin, round + more));
    until_within(LONG, "old copies are removed", || (1..=3).contains(&stored(&fleet).len()));

    // A content that an operator takes back at one server is not taken from the others.
    let (last, server) = (round + 3, &fleet[2]);
    let is_last = |member: &Member| member.read("aws.json") == body(last);
    until("all have the last one", || fleet.members.iter().all(is_last));
    server.ok(&["refresh", "--previous", "aws"]);
    until_within(LONG, "it is not taken", || fetches(server, "rejected") > 0);
    assert!(server.read("aws.json") == body(last - 1) && is_last(&fleet[0]) && is_last(&fleet[1]));
}

#[test]
fn another_server_asks_the_publisher_when_the_one_that_did_is_killed() {
    let origin = Origin::new(content(&body(0)));
    let mut fleet = start(&origin, "every = \"1s\"\nstale = \"8s\"\n", "6s");
    let first = Cell::new(0);
    until_within(LONG, "two servers have the check of the third", || {
        let known: Vec<_> = fleet.members.iter().map(checked_by).collect();
        let of = |at: usize| known.iter().filter(|by| by.as_deref() == Some(&*fleet[at].name)).count();
        first.set((0..3).find(|at| known[*at].is_none()).unwrap_or(0));
        of(first.get()) == 2
    });
    let gone = fleet[first.get()].name.clone();
    fleet[first.get()].kill();
    let left: Vec<&Member> = fleet.members.iter().filter(|member| member.name != gone).collect();
    let taken = || left.iter().map(|member| fetches(member, "peer-taken")).sum::<u64>();
    let (before, round) = (taken(), Cell::new(0));
    until_within(LONG, "the third server has the copy of the second", || {
        round.set(round.get() + 1);
        change(&fleet, &origin, round.get());
        taken() > before
    });
    until_within(LONG, "one has the check of the other", || {
        left.iter().filter_map(|member| checked_by(member)).any(|server| server != gone)
    });
}

#[test]
fn a_new_server_takes_the_copy_of_another_one_and_never_a_forged_one() {
    let first = body(0);
    let origin = Origin::new(content(&first));
    let mut fleet = Fleet::prepare(&["a", "b", "c"]);
    let store = fleet.store();
    for member in &fleet.members {
        member.write("pharos.toml", &config(&member.name, &store, QUICK, &networks(&origin, "1h")));
    }
    (0..2).for_each(|at| fleet[at].start());
    fleet.expect(INSIDE);
    until("the store has the copy", || stored(&fleet).len() == 1);
    fleet[0].wait_rounds(2);
    let document = fs::read_to_string(fleet.document("a")).unwrap();
    assert!(document.contains("\"sources\":{") && !document.contains("aws.json"), "{document}");

    origin.becomes(content(&first));
    fleet[2].start();
    fleet[2].expect(INSIDE);
    until("the fetch is counted", || fetches(&fleet[2], "peer-taken") == 1);
    assert_eq!((origin.requests(), fleet[2].read("aws.json")), (vec![], first.clone()));
    assert!(checked_by(&fleet[2]).is_some());

    // The same length, other prefixes: without its digest it would be a good feed.
    let forged = first.replace("127.0.0.1/32", "127.0.0.2/32");
    stored(&fleet).iter().for_each(|path| fs::write(path, &forged).unwrap());
    fleet[2].kill();
    for file in ["aws.json", "aws.json.state"] {
        fs::remove_file(fleet[2].path(file)).unwrap();
    }
    fleet[2].start();
    fleet[2].wait_said("cannot be taken from the fleet: the object in the store does not have its digest and length");
    fleet[2].expect(INSIDE);
    until("the fetch is counted", || fetches(&fleet[2], "taken") == 1);
    assert_eq!((origin.requests().len(), fleet[2].read("aws.json")), (1, first.clone()));
    assert_eq!(fetches(&fleet[2], "peer-taken"), 0);
    // The good copy is in its place again.
    until("the copy is sent again", || stored(&fleet).iter().all(|path| fs::read_to_string(path).unwrap() == first));
    // A push removes old files of bundles, and no copies.
    fleet[0].ok(&["fleet", "push"]);
    assert_eq!(stored(&fleet).len(), 1);
}

#[test]
fn over_etcd_a_large_source_is_fetched_by_each_server() {
    let folder = tempfile::tempdir().unwrap();
    let Some(members) = servers::etcd(1, folder.path(), None) else { return };
    let store = format!("etcd://{}/prod", members[0].client);
    let large = 16_000;
    let origin = Origin::new(content(&feed(true, large)));
    assert!(feed(true, large).len() > 1_500_000);
    let fleet = Fleet::prepare(&["a", "b", "c"]);
    let fleet = fleet.running(|name| config(name, &store, QUICK, &networks(&origin, "6s")));
    fleet.expect(INSIDE);
    for round in 1..=2 {
        origin.becomes(content(&feed(round == 2, large + round)));
        fleet.expect(if round == 2 { INSIDE } else { OUTSIDE });
    }
    for member in &fleet.members {
        until("the fetches are counted", || fetches(member, "taken") == 3);
        assert_eq!(fetches(member, "peer-taken"), 0, "{}", member.name);
        member.wait_said("its copy is not shared with the fleet: it has ");
        assert_eq!(member.said("its copy is not shared with the fleet: it has ").len(), 1, "one line for all of them");
    }
    // A check without a change is shared all the same.
    until_within(LONG, "checks are shared", || shared(&fleet) > 0);
}
