//! Bundles of real servers: stages, rejections, halts, ways back, restarts, forgeries and two operators at once.

use std::fs;
use std::process::Output;

use serde_json::{Value, json};

use super::world::*;

/// A soak that is over before the next exchange.
const BRISK: &str = "every = \"1s\"\nstale = \"20s\"\nsoak = \"0s\"\nstages = [\"a\", \"b\"]\n";

/// The mirrors with another first one.
fn mirrors(first: &str) -> String {
    let others: Vec<&str> = ["near", "far", "spare"].into_iter().filter(|name| *name != first).collect();
    MIRRORS.replace(
        "default = [\"near\", \"far\", \"spare\"]",
        &format!("default = [\"{first}\", \"{}\", \"{}\"]", others[0], others[1]),
    )
}

impl Fleet {
    /// A fleet of three, each with a first stage of `a` and a second one of `b`.
    fn of_stages(pace: &str) -> Fleet {
        Fleet::start_with(&["a", "b", "c"], pace)
    }

    /// Pushes the configuration of `a` with other mirrors from a folder of its own, as from a pipeline.
    fn push(&self, rest: &str, arguments: &[&str]) -> Output {
        self.write_push(&config("a", &self.store(), BRISK, rest));
        self.pusher().run(&[&["fleet", "push"], arguments].concat())
    }

    fn write_push(&self, config: &str) {
        let folder = self.path("push");
        if !folder.exists() {
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("zone"), fs::read(self[0].path("zone")).unwrap()).unwrap();
        }
        fs::write(folder.join("pharos.toml"), config).unwrap();
    }

    /// The commands of the folder with the configuration that is pushed.
    fn pusher(&self) -> Pusher {
        Pusher(self.path("push"))
    }

    #[track_caller]
    fn pushed(&self, rest: &str, arguments: &[&str]) -> Value {
        let output = self.push(rest, &[arguments, &["--json"]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Waits until the documents of all servers say that each serves a bundle: the next push can go back to that.
    #[track_caller]
    fn expect_told(&self, pushed: &Value) {
        let tells = |name: &str| {
            let document = fs::read(self.path(&format!("shared/servers/{name}.json"))).unwrap_or_default();
            let document: Value = serde_json::from_slice(&document).unwrap_or_default();
            document["document"]["rollout"]["serves"]["bundle"] == pushed["bundle"]
        };
        until("all tell that they serve it", || ["a", "b", "c"].into_iter().all(tells));
    }

    /// The pointer, as the store has it.
    fn pointer(&self) -> Vec<u8> {
        fs::read(self.path("shared/rollout.json")).unwrap()
    }
}

/// The folder of an operator.
struct Pusher(std::path::PathBuf);

impl Pusher {
    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_pharos"));
        command
            .env_remove("SUDO_USER")
            .arg("--config")
            .arg(self.0.join("pharos.toml"))
            .args(arguments)
            .output()
            .unwrap()
    }

    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Member {
    /// The rollout as the server knows it.
    fn rollout(&self) -> Value {
        self.fleet()["rollout"].clone()
    }

    #[track_caller]
    fn wait_state(&self, state: &str) {
        until(&format!("{} is {state}", self.name), || self.rollout()["state"] == state);
    }

    #[track_caller]
    fn waits(&self) -> String {
        self.rollout()["waits"].as_str().unwrap_or_default().to_string()
    }
}

#[test]
fn a_bundle_that_passes_reaches_all_in_their_order() {
    let fleet = Fleet::of_stages(BRISK);
    fleet.expect(10);
    let done = fleet.pushed(&mirrors("far"), &["--reason", "far is better"]);
    assert_eq!(done["stages"], json!([["a"], ["b"], ["*"]]));
    fleet.expect(20);
    let at = |name: usize| {
        fleet[name].wait_state("served");
        fleet[name].said("is served with generation")[0].clone()
    };
    let lines = [0, 1, 2].map(at);
    let stamp = |line: &String| line.split(' ').next().unwrap().to_string();
    assert!(stamp(&lines[0]) < stamp(&lines[1]) && stamp(&lines[1]) < stamp(&lines[2]), "{lines:#?}");
    let status = fleet[2].ok(&["fleet", "status"]);
    assert!(status.contains("far is better") && status.contains("is in force for"), "{status}");
    assert!(fleet[2].ok(&["status"]).contains("is in force for"));
    let bundle = done["bundle"].as_str().unwrap();
    for member in &fleet.members {
        let page = member.server().metrics();
        assert!(page.contains(&format!("pharos_fleet_bundle{{bundle=\"{bundle}\"}} 1")), "{page}");
        assert!(page.contains("pharos_fleet_rollout_state{state=\"served\"} 1"), "{page}");
    }
    // The local file has other mirrors, and a reload reads its own parts alone.
    let said = fleet[0].ok(&["reload"]);
    assert!(said.contains("are those of bundle"), "{said}");
    assert_eq!(fleet[0].answer(), 20);
    let place = fleet[0].ok(&["explain", "--server", "192.0.2.1"]);
    assert!(place.contains(&format!("(bundle {})", &bundle[..12])), "{place}");
}

#[test]
fn a_bundle_that_a_server_cannot_serve_is_stopped_with_the_reason_at_every_server() {
    let fleet = Fleet::of_stages(BRISK);
    // `a` lacks the key that the zone names, so that the fault shows at the server and not at the push.
    let key = "[keys.xfer]\nalgorithm = \"hmac-sha256\"\nsecret = \"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"\n";
    let zone = "[[zone]]\nname = \"other.example\"\nfile = \"zone\"\ntransfer = { allow = [\"key:xfer\"] }\n";
    fleet.pushed(&format!("{}{key}{zone}", mirrors("far")), &[]);
    fleet[0].wait_state("rejected");
    assert!(fleet[0].waits().contains("key `xfer` is not defined"), "{}", fleet[0].waits());
    for member in &fleet.members[1..] {
        member.wait_state("stopped");
        assert!(member.waits().starts_with("rejected by a: "), "{}", member.waits());
        assert!(member.waits().contains("key `xfer` is not defined") && member.waits().contains("(bundle "));
    }
    fleet[0].wait_rounds(3);
    fleet.members.iter().for_each(|member| assert_eq!(member.answer(), 10));
    assert_eq!(fleet[0].server().metric("pharos_fleet_rollout_state{state=\"rejected\"}"), 1);
    assert_eq!(fleet[0].server().metric("pharos_reload_refused"), 0, "the local file is right");
    let store =
        fs::read_dir(fleet.path("shared/bundles")).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
    store.for_each(|bundle| assert!(!text(&bundle).contains("AAAA"), "no secret is in the store"));
    // The next push is judged anew.
    fleet.pushed(&mirrors("spare"), &[]);
    fleet.expect(30);
}

#[test]
fn a_push_that_check_refuses_reaches_no_server() {
    let fleet = Fleet::of_stages(BRISK);
    let broken = fleet.push(&MIRRORS.replace("\"near\", ", "\"neer\", "), &[]);
    assert_eq!(broken.status.code(), Some(1));
    assert!(text(&broken.stderr).contains("mirror `neer` is not defined"), "{}", text(&broken.stderr));
    let unknown = fleet.push(&mirrors("far"), &["--stage", "z"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stderr).contains("server `z` has no document"), "{}", text(&unknown.stderr));
    assert!(!fleet.path("shared/rollout.json").exists());
}

#[test]
fn the_guard_of_a_server_stops_a_bundle_and_the_operator_lets_it_through() {
    let fleet = Fleet::of_stages(BRISK);
    let ruled = |first: &str| {
        fleet.write_push("");
        fs::write(fleet.path("push/office"), "0.0.0.0/0\n").unwrap();
        let rule = format!("rules = [{{ network = \"all\", mirrors = [\"{first}\"] }}]\ndefault");
        let networks = "[networks]\nall = { list = \"office\" }\n[guard]\nmoved = \"5%\"\n";
        format!("{}{networks}", MIRRORS.replace("default", &rule))
    };
    fleet.pushed(&ruled("far"), &["--allow-moved", "100%"]);
    fleet.expect(20);
    fleet.pushed(&ruled("spare"), &[]);
    fleet[0].wait_state("rejected");
    let reason = fleet[0].waits();
    assert!(
        reason.contains("would get other mirrors") && reason.contains("`pharos fleet push --allow-moved"),
        "{reason}"
    );
    assert_eq!(fleet[0].answer(), 20);
    fleet.pushed(&ruled("spare"), &["--allow-moved", "100%"]);
    fleet.expect(30);
    // The way back moves as many.
    fleet.pusher().ok(&["fleet", "push", "--previous"]);
    fleet.expect(20);
}

#[test]
fn a_halt_stops_the_later_stages_until_the_push_goes_on() {
    let fleet = Fleet::of_stages(BRISK);
    fleet.pushed(&mirrors("far"), &["--soak", "1h"]);
    fleet[0].expect(20);
    fleet[1].wait_state("waiting");
    until("it names the server", || fleet[1].waits().contains("s more of a, which serves it"));
    let said = fleet.pusher().ok(&["fleet", "halt", "--reason", "odd graphs"]);
    assert!(said.contains("is halted by") && said.contains("odd graphs"), "{said}");
    for member in &fleet.members[1..] {
        member.wait_state("halted");
        assert!(member.waits().contains("odd graphs"));
    }
    fleet[0].wait_state("served");
    let halted = fleet[2].rollout();
    assert_eq!(halted["rollout"]["halted"]["reason"], "odd graphs");
    fleet.pusher().ok(&["fleet", "resume"]);
    fleet[1].wait_state("waiting");
    assert_eq!([1, 2].map(|at| fleet[at].answer()), [10, 10]);
    // A push of the same bundle without a soak.
    fleet.pushed(&mirrors("far"), &["--soak", "0s"]);
    fleet.expect(20);
}

#[test]
fn a_silent_server_of_an_earlier_stage_holds_the_rollout_up_and_is_named() {
    let mut fleet = Fleet::of_stages(&BRISK.replace("20s", "4s"));
    fleet[1].kill();
    fleet.pushed(&mirrors("far"), &[]);
    fleet[0].expect(20);
    fleet[2].wait_state("stuck");
    assert!(fleet[2].waits().starts_with("waits for b, which was not heard for "), "{}", fleet[2].waits());
    fleet[2].wait_said("stands still: waits for b");
    assert_eq!(fleet[2].answer(), 10);
    fleet[1].start();
    fleet.expect(20);
}

#[test]
fn a_restart_keeps_the_bundle_without_the_store_and_a_damaged_one_is_loud() {
    let mut fleet = Fleet::of_stages(BRISK);
    fleet[0].drain("spare");
    fleet.pushed(&mirrors("far"), &[]);
    fleet.expect(20);
    (0..3).for_each(|at| fleet[at].wait_state("served"));
    fleet[0].auto("spare");
    fleet[0].kill();
    fleet[0].start();
    // The service is compared with that before the bundle, and not with that of the start.
    let of_a = || -> Value { serde_json::from_slice(&fs::read(fleet.document("a")).unwrap()).unwrap() };
    until("its document is that of the new process", || of_a()["document"]["seq"].as_u64().unwrap() < 3);
    let served = of_a()["document"]["rollout"]["serves"].clone();
    assert_eq!((&served["before"]["mirrors_down"], &served["since"]["mirrors_down"]), (&1.into(), &0.into()));
    fleet.lose_store();
    fleet[0].kill();
    fleet[0].start();
    assert_eq!(fleet[0].answer(), 20);
    fleet[0].wait_said("of the fleet is in force");
    // Another content, which is a zone as well.
    fleet[0].kill();
    let file = fs::read_dir(fleet[0].path("fleet.bundles/files")).unwrap().next().unwrap().unwrap().path();
    fs::write(&file, fs::read_to_string(&file).unwrap().replace("127.0.0.1", "127.0.0.9")).unwrap();
    fleet[0].start();
    assert_eq!(fleet[0].answer(), 10, "the local file");
    fleet[0].wait_said("the local file alone is served");
    // With the store, it is fetched again.
    fleet.return_store();
    fleet[0].expect(20);
}

#[test]
fn a_deaf_server_serves_its_own_file_and_holds_no_stage_up() {
    let mut fleet = Fleet::of_stages(BRISK);
    fleet.pushed(&mirrors("far"), &[]);
    fleet.expect(20);
    fleet[0].wait_state("served");
    fleet[0].kill();
    let store = fleet.store();
    fleet[0].write("pharos.toml", &config("a", &store, &format!("{BRISK}rollout = false\n"), MIRRORS));
    fleet[0].start();
    assert_eq!(fleet[0].answer(), 10);
    until("the others know", || fleet[1].peer("a")["deaf"] == true);
    fleet.pushed(&mirrors("spare"), &[]);
    fleet[1].expect(30);
    fleet[2].expect(30);
    fleet[0].wait_state("deaf");
    assert_eq!(fleet[0].answer(), 10);
}

#[test]
fn the_bundle_before_comes_back_to_all_at_once() {
    let fleet = Fleet::of_stages(BRISK);
    assert_eq!(
        {
            fleet.write_push(&config("a", &fleet.store(), BRISK, MIRRORS));
            fleet.pusher().run(&["fleet", "push", "--previous"])
        }
        .status
        .code(),
        Some(1)
    );
    let first = fleet.pushed(&mirrors("far"), &[]);
    fleet.expect(20);
    fleet.expect_told(&first);
    let second = fleet.pushed(&mirrors("spare"), &["--soak", "1h"]);
    assert_eq!(second["previous"], first["bundle"]);
    fleet[0].expect(30);
    // A push over one that was halted on its way leads back to the same bundle.
    fleet.pusher().ok(&["fleet", "halt", "--reason", "errors"]);
    until("the halt is shown where it is served", || {
        fleet[0].ok(&["fleet", "status"]).contains("served here; halted by")
    });
    let third = fleet.pushed(&mirrors("near"), &["--soak", "1h"]);
    assert_eq!(third["previous"], first["bundle"]);
    fleet[0].expect(10);
    fleet.pusher().ok(&["fleet", "push", "--previous", "--reason", "errors"]);
    fleet[0].expect(20);
    // A second way back would lead forward again.
    let again = fleet.pusher().run(&["fleet", "push", "--previous"]);
    assert!(text(&again.stderr).contains("or a way back itself"), "{}", text(&again.stderr));
    (0..3).for_each(|at| fleet[at].wait_state("served"));
    assert_eq!(fleet[2].rollout()["serves"]["bundle"], first["bundle"]);
    fleet.expect(20);
}

#[test]
fn a_forged_or_replayed_pointer_and_a_forged_file_change_nothing() {
    let fleet = Fleet::of_stages(BRISK);
    fleet.pushed(&mirrors("far"), &[]);
    fleet.expect(20);
    let old = fleet.pointer();
    fleet.pushed(&mirrors("spare"), &[]);
    fleet.expect(30);
    let genuine = fleet.pointer();
    let document: Value = serde_json::from_slice::<Value>(&old).unwrap()["document"].clone();
    let mut newer = document.clone();
    newer["serial"] = (u64::MAX / 2).into();
    let forged = seal_as("rollout.json", &newer, &[0x11; 32]);
    let of_another_object = seal_as("servers/a.json", &newer, &KEY);
    for (bytes, fault) in [
        (old.clone(), "it is older than one that was read before"),
        (forged, "its signature is not by our `key-file`"),
        (of_another_object, "its signature is not by our `key-file`"),
        (genuine[..genuine.len() / 2].to_vec(), "it is cut, or not a document"),
    ] {
        fs::write(fleet.path("shared/rollout.json"), bytes).unwrap();
        for member in &fleet.members {
            until(fault, || member.rollout()["fault"].as_str().is_some_and(|said| said.contains(fault)));
            member.wait_rounds(2);
            assert_eq!(member.answer(), 30);
        }
        fs::write(fleet.path("shared/rollout.json"), &genuine).unwrap();
        fleet.members.iter().for_each(|member| until("it is accepted", || member.rollout()["fault"].is_null()));
    }
    fs::remove_file(fleet.path("shared/rollout.json")).unwrap();
    for member in &fleet.members {
        let fault = "it is not in the store any more";
        until(fault, || member.rollout()["fault"].as_str() == Some(fault));
        assert_eq!(member.answer(), 30);
    }
    fs::write(fleet.path("shared/rollout.json"), &genuine).unwrap();
    fleet.members.iter().for_each(|member| until("it is accepted", || member.rollout()["fault"].is_null()));
    // A file of a bundle that a program with the bucket has replaced.
    fs::write(fleet.path("push/zone"), fs::read_to_string(fleet.path("push/zone")).unwrap() + "new A 192.0.2.1\n")
        .unwrap();
    let first = fleet.pushed(&mirrors("near"), &["--stage", "a", "--soak", "1h"]);
    fleet[0].expect(10);
    let bundle = fleet.path(&format!("shared/bundles/{}", first["bundle"].as_str().unwrap()));
    let listed: Value = serde_json::from_slice(&fs::read(bundle).unwrap()).unwrap();
    let file = fleet.path(&format!("shared/files/{}", listed["files"]["zone"]["sha256"].as_str().unwrap()));
    let content = fs::read(&file).unwrap();
    fs::write(&file, text(&content).replace("192.0.2.1", "192.0.2.9")).unwrap();
    fleet.pushed(&mirrors("near"), &["--stage", "a", "--soak", "0s"]);
    fleet[1].wait_state("stuck");
    assert!(fleet[1].waits().contains("its content does not have its digest"), "{}", fleet[1].waits());
    assert_eq!([1, 2].map(|at| fleet[at].answer()), [30, 30]);
    fs::write(&file, content).unwrap();
    fleet.expect(10);
}

#[test]
fn of_two_pushes_at_once_one_is_refused_and_names_the_other() {
    let fleet = Fleet::of_stages(BRISK);
    let folders: Vec<Pusher> = (0..4)
        .map(|number| {
            let folder = fleet.path(&format!("push{number}"));
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("zone"), fs::read(fleet[0].path("zone")).unwrap()).unwrap();
            let first = ["near", "far", "spare"][number % 3];
            fs::write(folder.join("pharos.toml"), config("a", &fleet.store(), BRISK, &mirrors(first))).unwrap();
            Pusher(folder)
        })
        .collect();
    let mut refused = Vec::new();
    // Until two have met.
    for _ in 0..20 {
        let outputs: Vec<Output> = std::thread::scope(|scope| {
            let running: Vec<_> = folders.iter().map(|pusher| scope.spawn(|| pusher.run(&["fleet", "push"]))).collect();
            running.into_iter().map(|running| running.join().unwrap()).collect()
        });
        assert!(outputs.iter().any(|output| output.status.success()));
        refused.extend(outputs.iter().filter(|output| !output.status.success()).map(|output| text(&output.stderr)));
        if !refused.is_empty() {
            break;
        }
    }
    assert!(!refused.is_empty(), "no two pushes met");
    for said in refused {
        assert!(said.contains("the rollout was changed meanwhile, to bundle"), "{said}");
    }
    let last: Value = serde_json::from_slice(&fleet.pointer()).unwrap();
    let bundle = last["document"]["bundle"].clone();
    for member in &fleet.members {
        until("all serve the last one", || member.rollout()["serves"]["bundle"] == bundle);
    }
}

#[test]
fn files_without_a_change_are_not_sent_again_and_old_bundles_are_removed() {
    let fleet = Fleet::of_stages(BRISK);
    assert_eq!(fleet.pushed(&mirrors("far"), &[])["sent_objects"], 2);
    fleet.expect(20);
    for (first, expected) in [("spare", 30), ("near", 10), ("far", 20)] {
        assert_eq!(fleet.pushed(&mirrors(first), &[])["sent_objects"], 1, "the zone is in the store");
        fleet.expect(expected);
    }
    let count = |path: std::path::PathBuf| fs::read_dir(path).unwrap().count();
    assert_eq!((count(fleet.path("shared/bundles")), count(fleet.path("shared/files"))), (2, 1));
    until("servers keep two", || fleet.members.iter().all(|member| count(member.path("fleet.bundles/bundles")) == 2));
}
