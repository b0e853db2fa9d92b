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
    let socket = world.path("control.sock").display().to_string();
    // A refusal has the words of `check`, and changes nothing.
    world.write("pharos.toml", &changed().replace("[\"new\"]", "[\"nwe\"]"));
    let (code, text, _) = reload(&["--socket", &socket]);
    assert_eq!(code, 1);
    assert!(text.starts_with("error[unknown-mirror]: mirror `nwe` is not defined\n  --> "), "{text}");
    assert!(text.ends_with("\nnot reloaded: generation 3 with the configuration before is served\n"), "{text}");
    let (code, text, complaint) = reload(&["--socket", &socket, "--json"]);
    assert_eq!(code, 1, "{complaint}");
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&json["refused"], &json["problems"][0]["code"]), (&true.into(), &"unknown-mirror".into()));
    // The admin listener gives the same answers to clients with the token.
    let (status, body) = world.admin(Method::POST, "/reload", Some(TOKEN), "");
    let said: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &said["generation"]), (StatusCode::UNPROCESSABLE_ENTITY, &3.into()));
    assert_eq!(said["report"], json["report"]);
    assert_eq!(world.admin(Method::GET, "/reload", Some(TOKEN), "").0, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(world.admin(Method::POST, "/reload", None, "").0, StatusCode::UNAUTHORIZED);
    world.write("pharos.toml", &changed());
    let (status, body) = world.admin(Method::POST, "/reload", Some(TOKEN), "");
    let said: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &said["refused"], &said["generation"]), (StatusCode::OK, &false.into(), &4.into()));
    // The signal gives the same words to the log.
    world.write("pharos.toml", &changed().replace("192.0.2.21", "192.0.2.22"));
    world.server.as_ref().unwrap().signal("HUP");
    let log = world.server.as_ref().unwrap().wait_for("reloaded: generation 5");
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
