//! Documents that no server of the fleet wrote so: forged, replayed, cut, too long, another server's.

use std::fs;

use serde_json::{Value, json};

use super::world::*;

/// A change of an override, as documents have it.
fn drained(server: &str, ms: u64) -> Value {
    let set = json!({
        "order": "drain", "reason": "forged", "who": "mallory", "via": null, "uid": null,
        "since": "2026-01-01T00:00:00Z", "until": null
    });
    json!({ "at": { "ms": ms, "count": 0, "server": server }, "set": set, "removed": null })
}

/// The document in a frame.
fn opened(bytes: &[u8]) -> Value {
    serde_json::from_slice::<Value>(bytes).unwrap()["document"].clone()
}

#[test]
fn a_document_that_its_server_did_not_write_changes_nothing_and_is_one_line() {
    let mut fleet = Fleet::start_with(&["a", "b", "c"], "every = \"1s\"\nstale = \"10s\"\n");
    let old = fs::read(fleet.document("c")).unwrap();
    // Its document moves once more, so that the first one is old.
    fleet[2].drain("spare");
    until("all have it", || fleet.members.iter().all(|member| member.order("spare") == "drain"));
    (0..2).for_each(|at| fleet[at].wait_rounds(2));
    fleet[2].kill();
    (0..2).for_each(|at| fleet[at].wait_rounds(2));
    let genuine = fs::read(fleet.document("c")).unwrap();

    let mut worse = opened(&genuine);
    let (seq, boot) = (worse["seq"].as_u64().unwrap(), worse["boot"].as_u64().unwrap());
    worse["seq"] = (seq + 100).into();
    worse["overrides"]["near"] = drained("c", boot);
    let mut of_b = worse.clone();
    of_b["server"] = "b".into();
    let mut later_form = worse.clone();
    later_form["form"] = 2.into();
    let mut replayed = worse.clone();
    replayed["seq"] = (seq - 1).into();
    let mut changed = genuine.clone();
    *changed.iter_mut().rev().find(|byte| **byte == b'0').unwrap() = b'1';
    let long = [seal("c", &worse, &KEY), vec![b' '; 300 << 10]].concat();
    let (forged, cut) = ("its signature is not by our `key-file`", "it is cut, or not a document of a fleet");
    let old_one = "it is older than one that was read before";
    let cases = [
        (seal("c", &worse, &[0x11; 32]), forged),
        (genuine[..genuine.len() / 2].to_vec(), cut),
        (changed, forged),
        (seal("c", &replayed, &KEY), old_one),
        // Right, for another name.
        (seal("b", &of_b, &KEY), forged),
        (seal("c", &of_b, &KEY), "it is that of another server"),
        (old, old_one),
        (Vec::new(), cut),
        (long, "it is longer than 256 KiB"),
        (seal("c", &later_form, &KEY), "it is not in the format of this version"),
    ];
    for (bytes, fault) in cases {
        let refused = [0, 1].map(|at| fleet[at].documents("refused"));
        let lines = [0, 1].map(|at| fleet[at].said("changes nothing").len());
        fs::write(fleet.document("c"), &bytes).unwrap();
        for at in 0..2 {
            until(fault, || fleet[at].peer("c")["fault"].as_str().is_some_and(|said| said.contains(fault)));
            fleet[at].wait_rounds(3);
            assert!(fleet[at].documents("refused") > refused[at], "{fault}");
            let said = fleet[at].said("changes nothing");
            assert_eq!(said.len(), lines[at] + 1, "one line: {said:#?}");
            assert!(said.last().unwrap().contains(fault), "{said:#?}");
            assert_eq!((fleet[at].answer(), fleet[at].order("spare")), (10, "drain".into()), "{fault}");
            assert!(fleet[at].ok(&["fleet", "status"]).contains("c: its document changes nothing: "));
        }
        fs::write(fleet.document("c"), &genuine).unwrap();
        (0..2).for_each(|at| until("the right one is accepted", || fleet[at].peer("c")["fault"].is_null()));
    }
    (0..2).for_each(|at| fleet[at].wait_said("the document of server c is accepted again"));
    // What the refused documents asked for is done if it comes in the right frame.
    fs::write(fleet.document("c"), seal("c", &worse, &KEY)).unwrap();
    fleet.expect(20);
}

#[test]
fn a_server_writes_its_own_document_anew_after_a_forgery() {
    let fleet = Fleet::start(&["a", "b"]);
    let mut forged = opened(&fs::read(fleet.document("b")).unwrap());
    forged["overrides"]["near"] = drained("b", 1);
    fs::write(fleet.document("b"), seal("b", &forged, &[0x22; 32])).unwrap();
    fleet[1].wait_said("another server writes as b too");
    fleet[0].drain("spare");
    until("both go on", || fleet[1].order("spare") == "drain" && fleet[0].peer("b")["fault"].is_null());
    fleet[1].drain("near");
    fleet.expect(20);
}

#[test]
fn objects_of_other_programs_in_the_store_are_left_alone() {
    let fleet = Fleet::start(&["a", "b"]);
    let others = ["servers/.hidden", "servers/README.txt", "servers/A B.json", "servers/deep/c.json", "else.json"];
    fs::create_dir(fleet.path("shared/servers/deep")).unwrap();
    for name in others {
        fs::write(fleet.path("shared").join(name), "something else").unwrap();
    }
    fleet[0].wait_rounds(3);
    fleet[0].drain("near");
    fleet.expect(20);
    assert_eq!(fleet[0].said("WARN the document"), [] as [String; 0]);
    assert!(others.iter().all(|name| fs::read(fleet.path("shared").join(name)).unwrap() == b"something else"));
}
