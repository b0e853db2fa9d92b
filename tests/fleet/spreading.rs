//! Overrides at one server are in force at all, whatever happens to servers, to the store and to files of state.

use std::fs;
use std::time::{Duration, Instant};

use super::common::needs;
use super::world::*;

/// The default of `every`.
const EVERY: Duration = Duration::from_secs(5);

/// Spoils a state file behind its first line, so that it counts as damaged and not as another program's.
fn damage(member: &Member, name: &str) {
    let text = member.read(name);
    let (first, rest) = text.split_once('\n').unwrap();
    member.write(name, &format!("{first}\n{}", &rest[..rest.len() / 2]));
}

#[test]
fn a_drain_is_in_force_at_all_servers_within_two_intervals_and_logged_once_with_the_name_of_its_server() {
    let fleet = Fleet::start_with(&["a", "b", "c", "d"], "");
    let began = Instant::now();
    fleet[0].drain("near");
    assert_eq!(fleet[0].answer(), 20, "at once where it was given");
    fleet.expect(20);
    assert!(began.elapsed() < 2 * EVERY, "{:?}", began.elapsed());
    for member in &fleet.members {
        let order = member.json(&["mirror", "list", "near"])["order"].clone();
        assert_eq!((&order["order"], &order["reason"]), (&"drain".into(), &"new disks".into()), "{}", member.name);
    }

    let began = Instant::now();
    fleet[1].auto("near");
    fleet.expect(10);
    assert!(began.elapsed() < 2 * EVERY, "{:?}", began.elapsed());
    fleet.members.iter().for_each(|member| assert!(member.order("near").is_null()));

    // Every server repeats all overrides in its documents.
    fleet.members.iter().for_each(|member| member.wait_rounds(2));
    for member in &fleet.members {
        let lines = member.said("override ");
        let [set, removed] = &lines[..] else { panic!("{}: {lines:#?}", member.name) };
        let set_by =
            if member.name == "a" { "override set: mirror near is drained" } else { "override set at a: mirror near" };
        let removed_by = if member.name == "b" { "override removed by " } else { "override removed at b by " };
        assert!(set.contains(set_by) && set.contains("for \"new disks\""), "{}: {set}", member.name);
        assert!(
            removed.contains(removed_by) && removed.contains("for \"done\": mirror near"),
            "{}: {removed}",
            member.name
        );
    }
}

#[test]
fn most_drains_over_a_folder_are_answered_when_the_others_have_them() {
    let fleet = Fleet::start_with(&["a", "b", "c"], "");
    // A busy machine may be late for some.
    let said: Vec<String> = (0..6).map(|at| fleet[0].drain(["near", "far", "spare"][at % 3])).collect();
    let in_time = said.iter().filter(|said| said.contains("fleet: b, c too\n")).count();
    assert!(in_time >= 3, "{said:#?}");
}

#[test]
fn an_override_outlives_its_server_and_every_server_starts_with_it_without_the_store() {
    let mut fleet = Fleet::start(&["a", "b", "c"]);
    fleet[0].drain("near");
    fleet.expect(20);
    fleet[0].kill();
    fleet[1].wait_rounds(2);
    assert_eq!((fleet[1].answer(), fleet[2].answer()), (20, 20), "it outlives its server");
    fleet.lose_store();
    for at in 0..3 {
        fleet[at].kill();
        fleet[at].start();
        assert_eq!(fleet[at].answer(), 20, "the first answer has it");
    }
    assert!(fleet[0].fleet()["trouble"].as_str().unwrap().contains("there is no such folder"));
    // A removal while the server is away is in force there once it is back.
    fleet[0].kill();
    fleet.return_store();
    fleet[1].auto("near");
    fleet.expect(10);
    fleet[0].start();
    fleet.expect(10);
    fleet.wait_until_in_touch();
    fleet.expect(10);
}

#[test]
fn overrides_of_before_the_fleet_spread_once_their_server_belongs_to_it() {
    let mut fleet = Fleet::prepare(&["a", "b"]);
    fleet[0].write("pharos.toml", &format!("{}{MIRRORS}", alone()));
    fleet[0].start();
    fleet[0].drain("near");
    assert!(!fleet[0].path("fleet.json").exists());
    assert!(fleet[0].ok(&["fleet", "status"]).contains("this server is alone"));
    fleet[0].kill();
    let store = fleet.store();
    let fleet = fleet.running(|name| config(name, &store, QUICK, MIRRORS));
    fleet.expect(20);
    assert_eq!(fleet[1].order("near"), "drain");
    fleet[1].auto("near");
    fleet.expect(10);
}

#[test]
fn a_damaged_state_of_the_fleet_costs_nothing_that_another_server_has() {
    let mut fleet = Fleet::start(&["a", "b"]);
    fleet[0].drain("near");
    fleet.expect(20);
    // Both files of a server are lost: the override comes from the other.
    fleet[0].kill();
    damage(&fleet[0], "fleet.json");
    fs::remove_file(fleet[0].path("orders.json")).unwrap();
    fleet[0].start();
    assert!(fleet[0].path("fleet.json.bad").exists());
    fleet.expect(20);
    assert_eq!(fleet[1].answer(), 20);
    assert!(fleet[0].read("fleet.json").contains("new disks"), "it is kept again");

    // One of both is lost, and the override stands in the other: it is older than its removal.
    fleet[0].kill();
    fleet[1].auto("near");
    damage(&fleet[0], "fleet.json");
    fleet[0].start();
    fleet[0].expect(10);
    fleet[0].wait_rounds(2);
    fleet[1].wait_rounds(2);
    assert_eq!((fleet[0].answer(), fleet[1].answer()), (10, 10), "it does not come back");
}

#[test]
fn a_loss_of_the_overrides_in_force_is_no_removal() {
    let mut fleet = Fleet::start(&["a", "b"]);
    fleet[1].drain("near");
    fleet.expect(20);
    for is_damaged in [true, false] {
        fleet[0].kill();
        if is_damaged {
            damage(&fleet[0], "orders.json")
        } else {
            fs::remove_file(fleet[0].path("orders.json")).unwrap()
        }
        fleet[0].start();
        assert_eq!(fleet[0].answer(), 20, "the shared state has it");
        fleet[0].wait_rounds(2);
        fleet[1].wait_rounds(2);
        assert_eq!((fleet[0].answer(), fleet[1].answer()), (20, 20));
    }
}

#[test]
fn a_server_without_a_name_has_that_of_its_host() {
    let host = std::process::Command::new("uname").arg("-n").output().unwrap().stdout;
    let host = String::from_utf8(host).unwrap().trim().to_lowercase();
    if host.starts_with("localhost") || host.is_empty() {
        return needs::skip("this machine has no name of its own");
    }
    let mut fleet = Fleet::prepare(&["a"]);
    let config = config("a", &fleet.store(), QUICK, MIRRORS).replace("name = \"a\"\n", "");
    fleet[0].write("pharos.toml", &config);
    fleet[0].start();
    assert_eq!(fleet[0].fleet()["name"], host);
    until("its document has the name", || fleet.document(&host).exists());
}

#[test]
fn two_servers_with_one_name_warn_once_each() {
    let mut fleet = Fleet::prepare(&["one", "two", "b"]);
    let store = fleet.store();
    let names = ["a", "a", "b"];
    for (member, name) in fleet.members.iter_mut().zip(names) {
        member.write("pharos.toml", &config(name, &store, QUICK, MIRRORS));
        member.start();
    }
    let warning = "another server writes as a too: give each server of the fleet another `name`";
    (0..2).for_each(|at| fleet[at].wait_said(warning));
    (0..3).for_each(|at| fleet[at].wait_rounds(8));
    for at in 0..2 {
        assert_eq!(fleet[at].said(warning).len(), 1, "{:#?}", fleet[at].said("WARN"));
    }
    let told = fleet[2].said("the document of server a");
    assert!(told.len() <= 1, "a third server is told once: {told:#?}");
    // Both hear the others all the same.
    fleet[2].drain("near");
    fleet.expect(20);
    for at in 0..2 {
        let status = fleet[at].ok(&["fleet", "status"]);
        assert!(
            status.contains("another server is called a too: give each server of the fleet another `name`"),
            "{status}"
        );
        assert_eq!(fleet[at].fleet()["duplicate"], true);
        let said = fleet[at].drain("far");
        assert!(said.contains("another server is called a too, so the others may not learn of this"), "{said}");
    }
    assert_eq!(fleet[2].fleet()["duplicate"], false);
}

#[test]
fn a_server_that_is_gone_is_forgotten_and_one_that_runs_is_heard_again() {
    let mut fleet = Fleet::start_with(&["a", "b", "gone"], "every = \"1s\"\nstale = \"5s\"\n");
    let status = fleet[0].ok(&["fleet", "status"]);
    for text in ["a at dir:/", "last exchange ", "servers", "b ", "gone ", "generation 1, 3 of 3 mirrors up"] {
        assert!(status.contains(text), "`{text}` is not in {status}");
    }
    let view = fleet[0].fleet();
    assert_eq!(
        (&view["name"], &view["trouble"], &view["isolated"]),
        (&"a".into(), &serde_json::Value::Null, &false.into())
    );
    assert_eq!(view["servers"][0]["served"]["version"], env!("CARGO_PKG_VERSION"));

    fleet[2].kill();
    (0..2).for_each(|at| until("it is not heard", || fleet[at].peer("gone")["fresh"] == false));
    let status = fleet[0].ok(&["fleet", "status"]);
    assert!(status.contains("not heard for ") && status.contains("no vote"), "{status}");
    let told = fleet[0].json(&["mirror", "drain", "near", "--reason", "new disks"])["fleet"].clone();
    let state = |name: &str| told.as_array().unwrap().iter().find(|server| server["server"] == name).unwrap().clone();
    assert!(["has-it", "not-yet"].contains(&state("b")["state"].as_str().unwrap()), "{told}");
    assert_eq!(state("gone")["state"], "not-heard", "{told}");
    let said = fleet[0].drain("far");
    assert!(said.contains("fleet: b ") && said.contains("; gone not heard for "), "{said}");

    let unknown = fleet[0].run(&["fleet", "forget", "gnoe"]);
    let complained = String::from_utf8(unknown.stderr).unwrap();
    assert!(unknown.status.code() == Some(1) && complained.contains("did you mean `gone`"), "{complained}");
    let said = fleet[0].ok(&["fleet", "forget", "gone"]);
    assert_eq!(said, "server gone is forgotten; it is heard again if it still runs\n");
    assert!(fleet[0].peer("gone").is_null() && !fleet.document("gone").exists());
    until("the other server has forgotten it too", || fleet[1].peer("gone").is_null());

    fleet[0].ok(&["fleet", "forget", "b"]);
    until("it is heard again", || fleet[0].peer("b")["fresh"] == true);
}
