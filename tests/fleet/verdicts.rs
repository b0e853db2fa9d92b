//! The vote of servers on mirrors: the view of one, the view of most, and faults of the mirror itself.

use serde_json::Value;

use super::mirrors::Fault;
use super::paths::*;
use super::world::*;

const NEAR: usize = 0;

/// Clients get this mirror.
pub(crate) const FIRST: u8 = 1;
pub(crate) const SECOND: u8 = 2;

pub(crate) const FOUR: [&str; 4] = ["a", "b", "c", "d"];

/// The health of the first mirror and the votes, as `mirror list --json` shows these.
pub(crate) fn votes(member: &Member) -> (String, Value, Value) {
    let list = member.json(&["mirror", "list", "near"]);
    let address = &list["addresses"][0];
    (address["health"].as_str().unwrap().into(), address["against"].clone(), address["servers"].clone())
}

#[track_caller]
pub(crate) fn expect_votes(member: &Member, health: &str, against: u64, servers: u64) {
    let expected = (health.to_string(), against.into(), servers.into());
    until(&format!("{} has {expected:?}: {:?}", member.name, votes(member)), || votes(member) == expected);
}

#[track_caller]
pub(crate) fn expect_no_votes(fleet: &Fleet) {
    for member in &fleet.members {
        until("it is up for all", || votes(member) == ("up".into(), Value::Null, Value::Null));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_is_down_for_all_when_most_servers_do_not_reach_it_and_for_none_when_one_does_not() {
    let mut paths = Paths::open(61, 4).await;
    let fleet = paths.fleet(&FOUR, QUICK, &[PROBES; 4]);
    fleet.expect(FIRST);

    paths.cut(0, NEAR).await;
    until("the first server does not reach it", || {
        assert_eq!(fleet[0].answer(), FIRST, "clients of a server with a broken path keep their mirror");
        votes(&fleet[0]) == ("up".into(), 1.into(), 4.into())
    });
    fleet.members.iter().for_each(|member| expect_votes(member, "up", 1, 4));
    fleet.expect(FIRST);
    for member in &fleet.members {
        let status = member.ok(&["status"]);
        assert!(
            status.contains("near: 127.0.61.1 ") && status.contains("; seen as not up by 1 of 4 servers, so it is up"),
            "{status}"
        );
    }
    fleet[0].wait_said("mirror near at 127.0.61.1 stays up: 1 of 4 servers see it as down");

    // A tie: each server by its own view.
    paths.cut(1, NEAR).await;
    (0..2).for_each(|at| expect_votes(&fleet[at], "down", 2, 4));
    (2..4).for_each(|at| expect_votes(&fleet[at], "up", 2, 4));
    (0..4).for_each(|at| fleet[at].expect(if at < 2 { SECOND } else { FIRST }));

    paths.cut(2, NEAR).await;
    fleet.members.iter().for_each(|member| expect_votes(member, "down", 3, 4));
    fleet.expect(SECOND);
    fleet[3].wait_said("mirror near at 127.0.61.1 is down: 3 of 4 servers say so");
    assert_eq!(fleet[0].said("stays up").len(), 1, "{:#?}", fleet[0].said("near"));

    for server in 0..3 {
        paths.mend(server, NEAR).await;
    }
    expect_no_votes(&fleet);
    fleet.expect(FIRST);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_reaches_no_mirror_is_isolated_and_answers_as_the_others() {
    let mut paths = Paths::open(62, 4).await;
    let fleet = paths.fleet(&FOUR, QUICK, &[PROBES; 4]);
    fleet.expect(FIRST);
    for mirror in 0..NAMES.len() {
        paths.cut(0, mirror).await;
    }
    until("it is isolated", || {
        assert_eq!(fleet[0].answer(), FIRST);
        fleet[0].fleet()["isolated"] == true
    });
    fleet[0].wait_said("of mirrors do not answer this server, and the other servers reach most: their view counts");
    assert_eq!(fleet[0].server().metric("pharos_fleet_isolated"), 1);
    assert!(fleet[0].ok(&["fleet", "status"]).contains("isolated: most mirrors do not answer this server alone"));
    (1..4).for_each(|at| until("the others know", || fleet[at].peer("a")["served"]["isolated"] == true));
    assert_eq!(fleet[1].server().metric("pharos_fleet_isolated"), 0);

    // Two of the three that have a vote.
    paths.cut(1, NEAR).await;
    paths.cut(2, NEAR).await;
    fleet.expect(SECOND);
    expect_votes(&fleet[3], "down", 2, 3);
    paths.mend(1, NEAR).await;
    paths.mend(2, NEAR).await;
    fleet.expect(FIRST);

    for mirror in 0..NAMES.len() {
        paths.mend(0, mirror).await;
    }
    fleet[0].wait_said("this server reaches most mirrors again: its own view counts");
    expect_no_votes(&fleet);
    assert_eq!(fleet[0].said("do not answer this server, and").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn panic_is_blamed_on_the_own_network_only_if_the_others_do_not_see_the_same() {
    let mut paths = Paths::open(65, 3).await;
    let fleet = paths.fleet(&["a", "b", "c"], QUICK, &[PROBES; 3]);
    fleet.expect(FIRST);
    for server in 0..3 {
        for mirror in 0..NAMES.len() {
            paths.cut(server, mirror).await;
        }
    }
    for member in &fleet.members {
        member.wait_said("horizon h is in panic for IPv4: most of its mirrors do not answer");
        until("both others see it", || member.json(&["status"])["panics"][0]["agree"] == 2);
        let status = member.ok(&["status"]).split_whitespace().collect::<Vec<_>>().join(" ");
        let expected =
            "most mirrors do not answer, and 2 of 2 other servers of the fleet do not reach most of these either";
        assert!(status.contains(expected) && !status.contains("this server's network"), "{status}");
        assert_eq!(member.said("fault of this server's network"), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_certificate_is_left_at_once_by_its_server_looked_for_by_the_others_and_by_all_once_two_see_it() {
    let mut paths = Paths::open(63, 4).await;
    // The last two probe once, unless the fleet asks for more.
    let fleet = paths.fleet(&FOUR, QUICK, &[PROBES, PROBES, SELDOM, SELDOM]);
    fleet.expect(FIRST);
    let before = [2, 3].map(|server| paths.connections(server, NEAR));
    paths.serve(0, NEAR, Fault::WrongName).await;
    fleet[0].expect(SECOND);
    expect_votes(&fleet[0], "bad", 1, 4);
    for (at, before) in [2, 3].into_iter().zip(before) {
        until("it is probed at once", || paths.connections(at, NEAR) > before);
        expect_votes(&fleet[at], "up", 1, 4);
    }
    fleet.members.iter().for_each(|member| member.wait_rounds(2));
    (1..4).for_each(|at| assert_eq!(fleet[at].answer(), FIRST));
    // One probe for one doubt, over each of both protocols at most.
    let after = [2, 3].map(|server| paths.connections(server, NEAR));
    assert!(after.iter().zip(before).all(|(after, before)| after - before <= 2), "{before:?}, {after:?}");

    paths.serve(1, NEAR, Fault::WrongName).await;
    fleet.expect(SECOND);
    (2..4).for_each(|at| expect_votes(&fleet[at], "bad", 2, 4));

    paths.mend(0, NEAR).await;
    paths.mend(1, NEAR).await;
    expect_no_votes(&fleet);
    fleet.expect(FIRST);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_loses_its_vote_and_has_it_again_when_it_goes_on() {
    let mut paths = Paths::open(64, 4).await;
    let fleet = paths.fleet(&FOUR, "every = \"1s\"\nstale = \"6s\"\n", &[PROBES; 4]);
    paths.cut(0, NEAR).await;
    paths.cut(1, NEAR).await;
    // A tie.
    (0..2).for_each(|at| expect_votes(&fleet[at], "down", 2, 4));
    (0..4).for_each(|at| fleet[at].expect(if at < 2 { SECOND } else { FIRST }));
    fleet[0].server().signal("STOP");
    (1..4).for_each(|at| expect_votes(&fleet[at], "up", 1, 3));
    (1..4).for_each(|at| fleet[at].expect(FIRST));
    assert!(fleet[1].ok(&["fleet", "status"]).contains("no vote"));
    assert!(fleet[1].server().metric("pharos_fleet_server_age_seconds{server=\"a\"}") >= 6);
    fleet[0].server().signal("CONT");
    (0..2).for_each(|at| expect_votes(&fleet[at], "down", 2, 4));
    (2..4).for_each(|at| expect_votes(&fleet[at], "up", 2, 4));
}
