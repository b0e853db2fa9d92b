//! delv validates each kind of answer, and verifiers find the export of each plan complete.

use std::fs;
use std::path::Path;

use crate::common::needs;
use crate::world::{self, APEX, MIRRORS, World};

/// Names and types with an answer.
const ANSWERS: [&str; 16] = [
    "blob.test A",
    "blob.test AAAA",
    "blob.test HTTPS",
    "blob.test DNSKEY",
    "blob.test SOA",
    "steered.blob.test A",
    "steered.blob.test NSEC",
    "www.blob.test A",
    "alias.blob.test A",
    "toblob.blob.test A",
    "x.wild.blob.test TXT",
    "x.wildalias.blob.test A",
    "y.any.blob.test AAAA",
    "q.old.blob.test TXT",
    "mail.blob.test MX",
    "secure.blob.test DS",
];

/// Names and types without one.
const DENIALS: [&str; 12] = [
    "www.blob.test AAAA",
    "blob.test MX",
    "steered.blob.test TXT",
    "steered.blob.test HTTPS",
    "ent.deep.blob.test A",
    "deep.blob.test A",
    "x.wild.blob.test A",
    "y.any.blob.test TXT",
    "insecure.blob.test DS",
    "old.blob.test A",
    "missing.blob.test A",
    "a.b.steered.blob.test A",
];

/// The output of delv for one question, with the zone's DNSKEY as its trust anchor.
pub(crate) fn delv(delv: &Path, folder: &Path, port: u16, anchor: &[String; 4], question: &str) -> String {
    let [flags, protocol, algorithm, key] = anchor;
    let text = format!("trust-anchors {{ {APEX}. static-key {flags} {protocol} {algorithm} \"{key}\"; }};\n");
    fs::write(folder.join("anchor"), text).unwrap();
    let (port, root) = (port.to_string(), format!("+root={APEX}"));
    let mut arguments = vec!["@127.0.0.1", "-p", &*port, "-a", "anchor", &*root];
    arguments.extend(question.split(' '));
    world::said(&world::run(delv, &arguments, folder))
}

#[test]
fn delv_validates_each_kind_of_answer_and_of_denial() {
    let Some(program) = needs::program("delv", "bind9-dnsutils") else { return };
    let world = World::start("");
    let (port, anchor) = (world.address().port(), world.anchor());
    for question in ANSWERS {
        let said = delv(&program, world.folder.path(), port, &anchor, question);
        assert!(said.contains("; fully validated") && !said.contains("negative"), "{question}: {said}");
    }
    for question in DENIALS {
        let said = delv(&program, world.folder.path(), port, &anchor, question);
        assert!(said.contains("negative response, fully validated"), "{question}: {said}");
    }
    // Another key: the check above can fail.
    let mut other = anchor.clone();
    other[3].replace_range(..4, "AAAA");
    let said = delv(&program, world.folder.path(), port, &other, ANSWERS[0]);
    assert!(!said.contains("fully validated"), "{said}");
}

#[test]
fn verifiers_find_the_export_of_every_plan_complete() {
    let programs =
        [("ldns-verify-zone", "ldnsutils"), ("dnssec-verify", "bind9-utils"), ("kzonecheck", "knot-dnssecutils")]
            .map(|(program, package)| needs::program(program, package));
    let [Some(ldns), Some(bind), Some(knot)] = programs else { return };
    for algorithm in ["ECDSA", "Ed25519"] {
        let world = World::start("");
        let (folder, config) = (world.folder.path(), world.config());
        if algorithm == "Ed25519" {
            world::write_ed25519(&folder.join("key.pem"));
        }
        let config = config.to_str().unwrap();
        let verify = |name: &str, plan: &[&str]| {
            let arguments = [&["--config", config, "export", APEX, "--signed"], plan].concat();
            let exported = world::run(world::pharos(), &arguments, folder);
            assert!(exported.status.success(), "{}", world::said(&exported));
            fs::write(folder.join(name), exported.stdout).unwrap();
            // The key signs all, and has the flag of a KSK: -z has dnssec-verify take it so.
            let checks: [(&Path, &[&str]); 3] =
                [(&ldns, &[name]), (&bind, &["-q", "-z", "-o", APEX, name]), (&knot, &["-o", APEX, "-d", "on", name])];
            for (program, arguments) in checks {
                let verified = world::run(program, arguments, folder);
                assert!(verified.status.success(), "{algorithm} {name} {program:?}: {}", world::said(&verified));
            }
            fs::read_to_string(folder.join(name)).unwrap()
        };
        let default = verify("default.zone", &[]);
        for (mirror, last) in MIRRORS {
            let zone = verify(&format!("{mirror}.zone"), &["--plan", mirror]);
            assert!(zone.contains(&format!("{APEX}. 60 IN A 198.51.100.{last}\n")), "{zone}");
        }
        // A record that is changed, and one that is missing: the checks can fail.
        for damaged in [default.replace("192.0.2.80", "192.0.2.81"), without_nsec(&default)] {
            fs::write(folder.join("damaged.zone"), damaged).unwrap();
            assert!(!world::run(&ldns, &["damaged.zone"], folder).status.success());
        }
        let wrong =
            world::run(world::pharos(), &["--config", config, "export", APEX, "--signed", "--plan", "x"], folder);
        assert_eq!(wrong.status.code(), Some(1));
        assert!(world::said(&wrong).contains("its plans are east, far, near, west"), "{}", world::said(&wrong));
    }
}

#[test]
fn dnsviz_finds_no_fault() {
    let Some(program) = needs::program("dnsviz", "dnsviz") else { return };
    let world = World::start("");
    let (folder, server) = (world.folder.path(), format!("{APEX}+:127.0.0.1:{}", world.address().port()));
    let names = [APEX, "www.blob.test", "toblob.blob.test", "x.wild.blob.test", "q.old.blob.test", "y.any.blob.test"];
    let probe = [&["probe", "-4", "-A", "-x", &server, "-o", "probed"], &names[..]].concat();
    let probed = world::run(&program, &probe, folder);
    assert!(probed.status.success(), "{}", world::said(&probed));
    let [flags, protocol, algorithm, key] = world.anchor();
    let judge = |key: &str| {
        fs::write(folder.join("anchor"), format!("{APEX}. 300 IN DNSKEY {flags} {protocol} {algorithm} {key}\n"))
            .unwrap();
        world::said(&world::run(&program, &["print", "-t", "anchor", "-r", "probed"], folder))
    };
    // `[.]` is secure; `E:` and `W:` begin errors and warnings.
    let text = judge(&key);
    let is_flagged = |line: &&str| {
        let line = line.trim_start();
        ["E:", "W:"].iter().any(|flag| line.starts_with(flag))
            || ["[!", "[-", "[x", "[?"].iter().any(|flag| line.contains(flag))
    };
    let flagged = |text: &str| text.lines().filter(is_flagged).count();
    assert!(text.matches("[.]").count() > 60 && flagged(&text) == 0, "{text}");
    assert!(flagged(&judge(&key.replacen(&key[..4], "AAAA", 1))) > 60, "another key is not noticed");
}

fn without_nsec(zone: &str) -> String {
    let lines = zone.lines().filter(|line| !(line.starts_with("www.") && line.contains(" TYPE47 ")));
    lines.map(|line| format!("{line}\n")).collect()
}
