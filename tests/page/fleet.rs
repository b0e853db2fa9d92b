//! The part of the page about a fleet: its servers, and their votes in the sentences about mirrors.

use serde_json::json;

use crate::browser::Browser;
use crate::world::{TWO, World};

/// A server with the name in a fleet over a folder.
fn member(name: &str, store: &str) -> World {
    let fleet = format!(
        "[fleet]\nname = \"{name}\"\nstore = \"dir:{store}\"\nkey-file = \"fleet.key\"\nevery = \"1s\"\nstale = \"20s\"\n"
    );
    World::start_without_token(&format!("{fleet}{TWO}"), &[("fleet.key", &"5f".repeat(32))])
}

#[test]
fn each_server_of_the_fleet_has_a_row_with_its_vote_and_the_overrides_that_it_lacks() {
    let Some(mut browser) = Browser::start() else { return };
    let store = tempfile::tempdir().unwrap();
    let path = store.path().display().to_string();
    let (a, mut b) = (member("a", &path), member("b", &path));
    let done = a.run(&["mirror", "down", "near", "--reason", "wrong blobs"]);
    assert!(done.status.success(), "{done:?}");
    browser.open_with_token(&a, "/");
    browser.wait("document.querySelectorAll('#fleet tbody tr').length === 2");
    browser.wait("document.querySelector('#fleet').innerText.split('all 1').length === 3");
    let row = |browser: &mut Browser, at: usize| browser.text(&format!("#fleet tbody tr:nth-child({at})"));
    let (own, other) = (row(&mut browser, 1), row(&mut browser, 2));
    assert!(own.starts_with('a') && own.contains("this server"), "{own}");
    for text in ["has a vote", " ago", concat!(", ", env!("CARGO_PKG_VERSION")), "1 of 2"] {
        assert!(other.contains(text), "`{text}` is not in {other}");
    }
    assert!(browser.text("#tiles").contains("1 forced down"), "{}", browser.text("#tiles"));
    assert!(browser.text("#fleet-sub").starts_with("2 servers over dir:"));

    // The other server has a document from before the next override, and is gone.
    b.stop();
    let done = a.run(&["mirror", "drain", "far", "--reason", "new disks"]);
    assert!(done.status.success(), "{done:?}");
    browser.wait("document.querySelector('#fleet tbody tr:nth-child(2)').innerText.includes('not far')");
    browser.wait("document.querySelector('#fleet tbody tr:nth-child(2)').innerText.includes('no vote')");
    browser.wait("document.querySelector('#look').innerText.includes('it has no vote; pharos fleet forget b')");
    assert_eq!(browser.errors(), [""; 0]);
}

#[test]
fn sentences_have_the_number_of_servers_that_see_the_same() {
    let Some(mut browser) = Browser::start() else { return };
    let world = World::start_without_token(TWO, &[]);
    browser.open_with_token(&world, "/");
    assert_eq!(browser.eval("document.querySelector('#fleet-card').checkVisibility()"), false, "a server alone");
    let mut sentence = |health: &str, verdict: &str, against: u64| {
        let address = json!({
            "address": "192.0.2.10", "health": health, "verdict": verdict, "reason": null, "since": null, "against": against, "servers": 4
        });
        let script = format!(
            "(() => {{ state.mirrors[0].addresses = [{address}]; return el('p', ...kept(mirrorSentences()[0].what)).textContent; }})()"
        );
        browser.eval(&script).as_str().unwrap().to_string()
    };
    let up = sentence("up", "unreachable", 1);
    assert!(up.ends_with("It still counts as up, because it is not up for 1 of 4 servers of the fleet alone."), "{up}");
    let down = sentence("down", "up", 3);
    assert!(down.starts_with("It answers this server. It is not up for 3 of 4 servers of the fleet."), "{down}");
    let mut panic = |agree: u64| {
        let panic = json!([{ "horizon": "blobs", "family": "ipv4", "agree": agree, "peers": 3 }]);
        let script = format!(
            "(() => {{ state.status.panics = {panic}; return serverSentences().find(one => one.word === 'panic').what[0]; }})()"
        );
        browser.eval(&script).as_str().unwrap().to_string()
    };
    assert!(panic(3).ends_with("3 of 3 other servers do not reach most of these either, so ask their owners."));
    assert!(panic(1).ends_with("check the network of this server first."));
}
