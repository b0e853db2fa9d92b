//! Reloads that an operator asks for, and their answers.

use hyper::{Method, StatusCode};
use serde_json::Value;

use crate::{CONFIG, TOKEN, World, ZONE, pharos};

const CHANGED: &str = "\
zone blob.example: serial 7 to 8
network offices: added
mirror far: changed
mirror new: added
mirror spare: removed
horizon h: 65,536 of IPv4 move
`allow`: added
reloaded: generation 2 is served
";

/// The configuration with a zone, a network, mirrors and rules that differ.
fn changed() -> String {
    let list = "[networks]\noffices = { list = \"offices.txt\" }\n\n[mirrors.near]";
    let rules = "rules = [{ network = \"offices\", mirrors = [\"new\"] }]\ndefault = [\"near\", \"far\", \"new\"]";
    format!("allow = \"secrets-exposed\"\n{CONFIG}")
        .replace("[mirrors.near]", list)
        .replace("192.0.2.20", "192.0.2.21")
        .replace("[mirrors.spare]", "[mirrors.new]")
        .replace("default = [\"near\", \"far\", \"spare\"]", rules)
}

#[test]
fn a_reload_says_what_has_changed_or_why_it_was_refused() {
    let world = World::start();
    let reload = |arguments: &[&str]| {
        let mut all = vec!["reload"];
        all.extend(arguments);
        let output = world.run(&all);
        let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    };
    world.write("offices.txt", "198.51.0.0/16\n");
    world.write("zone", &ZONE.replace(" 7 ", " 8 "));
    world.write("pharos.toml", &changed());
    let (code, text, _) = reload(&[]);
    assert_eq!((code, text.as_str()), (0, CHANGED));
    let (code, text, _) = reload(&[]);
    assert_eq!((code, text.as_str()), (0, "reloaded: generation 3 is served, nothing else has changed\n"));
    // A key of another table, whose value is no part of the answers.
    let tap = format!("{}\n[dnstap]\nsocket = \"dnstap.sock\"\n", changed());
    for (text, said) in [
        (tap.clone(), "`[dnstap]`: added\nreloaded: generation 4 is served\n"),
        (format!("{tap}clients = \"none\"\n"), "`[dnstap] clients`: added\nreloaded: generation 5 is served\n"),
        (changed(), "`[dnstap]`: removed\nreloaded: generation 6 is served\n"),
    ] {
        world.write("pharos.toml", &text);
        let (code, text, _) = reload(&[]);
        assert_eq!((code, text.as_str()), (0, said));
    }
    let socket = world.path("control.sock").display().to_string();
    // A refusal has the words of `check`, and changes nothing.
    world.write("pharos.toml", &changed().replace("[\"new\"]", "[\"nwe\"]"));
    let (code, text, _) = reload(&["--socket", &socket]);
    assert_eq!(code, 1);
    assert!(text.starts_with("error[unknown-mirror]: mirror `nwe` is not defined\n  --> "), "{text}");
    assert!(text.ends_with("\nnot reloaded: generation 6 with the configuration before is served\n"), "{text}");
    let (code, text, complaint) = reload(&["--socket", &socket, "--json"]);
    assert_eq!(code, 1, "{complaint}");
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&json["refused"], &json["problems"][0]["code"]), (&true.into(), &"unknown-mirror".into()));
    // The admin listener gives the same answers to clients with the token.
    let (status, body) = world.admin(Method::POST, "/reload", Some(TOKEN), "");
    let said: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &said["generation"]), (StatusCode::UNPROCESSABLE_ENTITY, &6.into()));
    assert_eq!(said["report"], json["report"]);
    assert_eq!(world.admin(Method::GET, "/reload", Some(TOKEN), "").0, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(world.admin(Method::POST, "/reload", None, "").0, StatusCode::UNAUTHORIZED);
    world.write("pharos.toml", &changed());
    let (status, body) = world.admin(Method::POST, "/reload", Some(TOKEN), "");
    let said: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &said["refused"], &said["generation"]), (StatusCode::OK, &false.into(), &7.into()));
    // The signal gives the same words to the log.
    world.write("pharos.toml", &changed().replace("192.0.2.21", "192.0.2.22"));
    world.server.as_ref().unwrap().signal("HUP");
    let log = world.server.as_ref().unwrap().wait_for("reloaded: generation 8");
    assert!(log.iter().any(|line| line.contains("mirror far: changed")), "{log:#?}");
}

#[test]
fn requests_during_a_reload_are_answered_by_one_that_began_after_them() {
    let world = World::start();
    let config = world.path("pharos.toml");
    let reload = || pharos(&config, &["reload", "--json"]);
    std::thread::scope(|scope| {
        let asked: Vec<_> = (0..8).map(|_| scope.spawn(reload)).collect();
        let generations = asked.into_iter().map(|asked| {
            let output = asked.join().unwrap();
            assert_eq!(output.status.code(), Some(0));
            let json: Value = serde_json::from_slice(&output.stdout).unwrap();
            json["generation"].as_u64().unwrap()
        });
        let generations: Vec<u64> = generations.collect();
        assert!(generations.iter().all(|generation| (2..=9).contains(generation)), "{generations:?}");
    });
}

/// A configuration with a guard: 50 blocks are steered to `near`, 50 to `far`.
fn guarded() -> String {
    let rules = "rules = [{ network = \"sites\", label = \"x\", mirrors = [\"near\"] }, \
                 { network = \"sites\", label = \"y\", mirrors = [\"far\"] }]\ndefault = [\"spare\"]";
    format!("allow = \"secrets-exposed\"\n[guard]\n[networks]\nsites = {{ list = \"sites.txt\" }}\n{CONFIG}")
        .replace("default = [\"near\", \"far\", \"spare\"]", rules)
}

/// Blocks 20.0.0.0/16 and following, with their labels.
fn sites(blocks: std::ops::Range<u8>) -> String {
    blocks.map(|at| format!("20.{at}.0.0/16 {}\n", if at % 2 == 0 { "x" } else { "y" })).collect()
}

#[test]
fn a_guard_refuses_what_moves_too_many_clients() {
    let world = World::start_with(&CONFIG.replace("[dns]", "allow = \"secrets-exposed\"\n[dns]"));
    world.write("sites.txt", &sites(0..100));
    world.write("pharos.toml", &guarded());
    // Nothing was decided by rules before.
    world.ok(&["reload"]);
    let reload = |arguments: &[&str]| {
        let output = world.run(&[&["reload"], arguments].concat());
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    let change = |file: &str, text: &str| {
        world.write("sites.txt", &sites(0..100));
        world.write("pharos.toml", &guarded());
        world.write(file, text);
    };
    let swapped =
        guarded().replace("[\"near\"]", "[\"-\"]").replace("[\"far\"]", "[\"near\"]").replace("[\"-\"]", "[\"far\"]");
    let refused = [
        ("pharos.toml", guarded().replace("\"y\"", "\"z\""), "50.0 % of the IPv4 addresses"),
        ("pharos.toml", swapped.clone(), "100.0 % of the IPv4 addresses"),
    ];
    for (file, text, expected) in refused {
        change(file, &text);
        let before = world.json(&["status"]);
        let (code, said) = reload(&["--dry-run"]);
        assert!(code == 1 && said.contains(expected), "{expected}: {code} {said}");
        assert!(said.ends_with("\nwould be refused: generation 2 is served\n"), "{said}");
        assert_eq!(world.json(&["status"])["reload"], before["reload"], "a comparison leaves nothing behind");
        let (code, said) = reload(&[]);
        assert!(code == 1 && said.contains(expected), "{expected}: {code} {said}");
        assert!(said.contains("`pharos reload --allow-moved "), "{said}");
        let status = world.json(&["status"]);
        assert_eq!(status["generation"], 2);
        assert!(status["reload"]["refused"].as_str().unwrap().contains(expected), "{status}");
    }
    // A source alone holds back nothing else.
    let kept = [
        (sites(0..60), "40.0 % of the IPv4 addresses that rules decide for in horizon `h` would get other mirrors"),
        (format!("{}0.0.0.0/1 x\n", sites(0..100)), "99.7 % of the IPv4 addresses that network `sites` labels are new"),
    ];
    for (generation, (text, why)) in (3..).zip(kept) {
        change("sites.txt", &text);
        let expected = format!("network `sites` keeps its served prefixes (100): {why}");
        let (code, said) = reload(&["--dry-run"]);
        let last = format!("\nwould be reloaded in part: generation {} is served; {expected}\n", generation - 1);
        assert!(code == 1 && said.ends_with(&last) && said.contains("`pharos reload --allow-moved "), "{code} {said}");
        let (code, said) = reload(&[]);
        assert!(
            code == 1
                && said.ends_with(
                    &last.replace("would be ", "").replace(&(generation - 1).to_string(), &generation.to_string())
                ),
            "{code} {said}"
        );
        let status = world.json(&["status"]);
        assert_eq!(status["reload"]["refused"], expected, "{status}");
    }
    // A region that is added moves few clients.
    change("sites.txt", &sites(0..103));
    let (code, said) = reload(&["--dry-run"]);
    assert_eq!((code, said.lines().last()), (0, Some("would be reloaded: generation 4 is served")), "{said}");
    let (code, said) = reload(&[]);
    assert_eq!((code, said.lines().last()), (0, Some("reloaded: generation 5 is served")), "{said}");
    // If the move is meant, the operator gives the share that may move in this reload.
    change("pharos.toml", &swapped);
    assert_eq!(reload(&["--allow-moved", "50%"]).0, 1);
    assert_eq!(reload(&["--allow-moved", "100%"]).0, 0);
    change("pharos.toml", &guarded());
    assert_eq!(reload(&[]).0, 1, "the way back is guarded too");
}

#[test]
fn a_refused_source_holds_back_nothing_else() {
    let mut world = World::start_with(&CONFIG.replace("[dns]", "allow = \"secrets-exposed\"\n[dns]"));
    world.write("sites.txt", "127.0.0.0/8 y\n");
    world.write("pharos.toml", &guarded());
    world.ok(&["reload"]);
    assert_eq!(world.answer(), [20]);
    // The publisher's error page, and a zone that was mended.
    world.write("sites.txt", "<html>\n<h1>502 Bad Gateway</h1>\n");
    world.write("zone", &ZONE.replace(" 7 ", " 8 "));
    let output = world.run(&["reload"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("warning[source-refused]: network `sites` keeps its served prefixes (1): its file is refused\n"),
        "{said}"
    );
    assert!(said.contains("zone blob.example: serial 7 to 8\n"), "{said}");
    assert!(
        said.contains("\nreloaded in part: generation 3 is served; network `sites` keeps its served prefixes (1)"),
        "{said}"
    );
    assert_eq!(world.answer(), [20]);
    let status = world.json(&["status"]);
    assert_eq!((&status["reload"]["in_part"], &status["zones"][0]["serial"]), (&true.into(), &8.into()));
    let shown = world.ok(&["status"]);
    assert!(shown.contains("succeeded in part at "), "{shown}");
    let (code, body) = world.admin(Method::POST, "/reload", Some(TOKEN), "");
    let said: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((code, &said["accepted"]), (StatusCode::UNPROCESSABLE_ENTITY, &true.into()));
    // `check` fails, and a start is never an outage because of a publisher.
    world.fails(1, &["check"]);
    world.kill();
    world.start_again();
    assert_eq!(world.answer(), [30], "the default decides");
    // A misspelt path is the configuration's own fault.
    world.write("pharos.toml", &guarded().replace("sites.txt", "stes.txt"));
    let (said, _) = crate::texts(&world.run(&["reload"]));
    assert!(said.contains("not reloaded: generation 1 with the configuration before is served"), "{said}");
    // A good file ends it.
    world.write("pharos.toml", &guarded());
    world.write("sites.txt", "127.0.0.0/8 y\n");
    world.ok(&["reload"]);
    assert_eq!(world.answer(), [20]);
}
