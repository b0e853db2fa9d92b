//! Two hundred kills while overrides are set: no acknowledged override is lost.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::generate::Dice;
use crate::common::server::{PATIENCE, Server};

const KILLS: usize = 200;
const MIRRORS: usize = 8;

/// An override is set in a few milliseconds, so this is the time of several.
const LONGEST_LIFE: Duration = Duration::from_millis(120);

const COMMANDS: [&str; 4] = ["drain", "down", "up", "auto"];

pub(crate) fn run() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("pharos.toml");
    configure(folder.path());
    let (mut dice, total) = (Dice::new(9), crate::share(KILLS));
    let (mut acknowledged, mut interrupted) = (0, 0);
    // The last acknowledged command about each mirror, and one that was sent later and not acknowledged.
    let mut known: BTreeMap<String, (&str, Option<&str>)> = BTreeMap::new();
    for _ in 0..total {
        let mut server = Server::start(&path);
        compare(&path, &mut known);
        let deadline = Instant::now() + LONGEST_LIFE.mul_f64(dice.below(1000) as f64 / 1000.0);
        std::thread::scope(|scope| {
            let pid = server.id();
            scope.spawn(move || {
                std::thread::sleep(deadline.saturating_duration_since(Instant::now()));
                assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
            });
            loop {
                let (mirror, command) = (format!("m{}", dice.below(MIRRORS)), *dice.pick(&COMMANDS));
                let entry = known.entry(mirror.clone()).or_insert(("auto", None));
                if pharos(&path, &["mirror", command, &mirror, "--reason", "a test"]).is_some() {
                    *entry = (command, None);
                    acknowledged += 1;
                } else {
                    entry.1 = Some(command);
                    interrupted += 1;
                    break;
                }
            }
        });
        assert_eq!(server.wait(), None, "it ended by the signal");
    }
    let _server = Server::start(&path);
    compare(&path, &mut known);
    println!("kills: {total}, {acknowledged} overrides acknowledged and none lost, {interrupted} interrupted");
}

/// Compares the server's overrides with those that it acknowledged.
fn compare(path: &Path, known: &mut BTreeMap<String, (&'static str, Option<&'static str>)>) {
    let deadline = Instant::now() + PATIENCE;
    let text = loop {
        match pharos(path, &["mirror", "list", "--json"]) {
            Some(text) => break text,
            None => assert!(Instant::now() < deadline, "the server takes no commands"),
        }
    };
    let list: serde_json::Value = serde_json::from_str(&text).unwrap();
    for mirror in list["mirrors"].as_array().unwrap() {
        let Some((last, sent)) = known.get_mut(mirror["mirror"].as_str().unwrap()) else { continue };
        let stands = mirror["order"]["order"].as_str().unwrap_or("auto");
        match sent.take() {
            Some(sent) if sent == stands => *last = sent,
            _ => assert_eq!(stands, *last, "{mirror}"),
        }
    }
}

/// The standard output of a command that succeeds.
fn pharos(config: &Path, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pharos"));
    let output = command.args(arguments).arg("--config").arg(config).output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

fn configure(folder: &Path) {
    let mut text = String::from(
        "[dns]\nlisten = \"127.0.0.1:0\"\n[control]\nsocket = \"control.sock\"\nstate = \"overrides.json\"\n[[zone]]\n\
         name = \"blob.example\"\nfile = \"zone\"\nsteer = [{ owner = \"@\", horizon = \"h\" }]\n[horizons.h]\ndefault = [\"m0\"",
    );
    (1..MIRRORS).for_each(|number| text.push_str(&format!(", \"m{number}\"")));
    text.push_str("]\n");
    (0..MIRRORS)
        .for_each(|number| text.push_str(&format!("[mirrors.m{number}]\naddresses = \"192.0.2.{}\"\n", number + 1)));
    std::fs::write(folder.join("pharos.toml"), text).unwrap();
    std::fs::write(folder.join("zone"), "@ 60 SOA ns h 1 3600 600 86400 60\n@ 60 NS ns\nns 60 A 127.0.0.1\n").unwrap();
}
