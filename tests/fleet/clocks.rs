//! Clocks that differ: the later override of an operator counts, and a clock that was set back does not silence a server.

use std::path::{Path, PathBuf};

use super::common::needs;
use super::world::*;

/// The library that shifts the clock of a process; `None` if it is not installed, which is counted.
fn library() -> Option<PathBuf> {
    let folders = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"];
    let found = folders
        .map(|folder| PathBuf::from(format!("{folder}/faketime/libfaketime.so.1")))
        .into_iter()
        .find(|path| path.exists());
    if found.is_none() {
        needs::missing("libfaketime is not installed (Debian package libfaketime)");
    }
    found
}

/// Shifts the clock of a server from its next start on.
fn shift(member: &mut Member, library: &Path, offset: &str) {
    member.variables = vec![("LD_PRELOAD".into(), library.to_path_buf()), ("FAKETIME".into(), offset.into())];
}

#[test]
fn clocks_that_differ_by_ten_seconds_do_not_decide_between_overrides() {
    let Some(library) = library() else { return };
    let mut fleet = Fleet::prepare(&["slow", "fast", "right"]);
    for (member, offset) in fleet.members.iter_mut().zip(["-5s", "+5s", "+0s"]) {
        shift(member, &library, offset);
    }
    let store = fleet.store();
    let fleet = fleet.running(|name| config(name, &store, QUICK, MIRRORS));
    // Each change is made at a server that knows of the one before it.
    for (drains, removes) in [(0, 1), (1, 0), (0, 0), (1, 2)] {
        fleet[drains].drain("near");
        fleet.expect(20);
        fleet[removes].auto("near");
        fleet.expect(10);
    }
    fleet[1].drain("near");
    fleet[0].expect(20);
    fleet[0].drain("far");
    fleet.expect(30);
    fleet.members.iter().for_each(|member| member.wait_rounds(2));
    let states = fleet.members.iter().map(|member| (member.order("near"), member.order("far"), member.answer()));
    assert!(states.into_iter().all(|state| state == ("drain".into(), "drain".into(), 30)));
}

#[test]
fn a_server_whose_clock_was_set_back_is_heard_at_once() {
    let Some(library) = library() else { return };
    let mut fleet = Fleet::prepare(&["a", "b"]);
    shift(&mut fleet[0], &library, "+1h");
    let store = fleet.store();
    let mut fleet = fleet.running(|name| config(name, &store, QUICK, MIRRORS));
    fleet[0].kill();
    fleet[0].variables.clear();
    fleet[0].start();
    fleet[0].drain("near");
    fleet.expect(20);
    assert!(fleet[1].peer("a")["fault"].is_null(), "{}", fleet[1].peer("a"));
    assert_eq!(fleet[1].said("changes nothing"), [] as [String; 0]);
}

#[test]
fn overrides_of_a_clock_that_is_an_hour_ahead_change_nothing_elsewhere() {
    let Some(library) = library() else { return };
    let mut fleet = Fleet::prepare(&["a", "b"]);
    shift(&mut fleet[0], &library, "+1h");
    let store = fleet.store();
    let fleet = fleet.running(|name| config(name, &store, QUICK, MIRRORS));
    fleet[0].drain("near");
    fleet[1]
        .wait_said("the document of server a in the store changes nothing: its changes are more than 10 minutes ahead");
    fleet[1].wait_rounds(3);
    assert_eq!((fleet[0].answer(), fleet[1].answer()), (20, 10));
    assert_eq!(fleet[1].said("changes nothing").len(), 1);
}
