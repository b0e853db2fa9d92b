//! Text of others on the terminal: control characters of a feed are shown, not sent.

use std::fs;
use std::process::Command;

const CONFIG: &str = r#"
[[zone]]
name  = "blob.example"
file  = "blob.zone"
steer = [{ owner = "@", horizon = "blobs", ttl = 60 }]
[networks]
aws = { feed = "aws", file = "aws.json" }
[mirrors.near]
addresses = ["192.0.2.10"]
[horizons.blobs]
rules = [{ provider = "aws", mirrors = ["near"] }]
default = ["near"]
"#;

const ZONE: &str = "$ORIGIN blob.example.\n$TTL 60\n@ SOA ns hostmaster 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n";

const FEED: &str = r#"{"syncToken": "1", "createDate": "2026-01-01-00-00-00", "prefixes": [
  {"ip_prefix": "198.51.100.0/24", "region": "x\u001b[2J\ny\u009bz\u202e", "service": "AMAZON", "network_border_group": "x"}
], "ipv6_prefixes": []}"#;

/// Commands that print text of files other than the configuration: no control character leaves them.
#[test]
fn no_command_sends_control_characters_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let zone = format!("{ZONE}\\027[2J TXT \"\\027[2J\\155\"\nx\\010y A 192.0.2.1\n");
    let config = format!("{CONFIG}\n[mirrors.\"m\\u001b[2J\"]\naddresses = [\"192.0.2.11\"]\n");
    for (name, text) in [("pharos.toml", &*config), ("plain.toml", CONFIG), ("blob.zone", &zone), ("aws.json", FEED)] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let wild = "\\027[2J.blob.example";
    for arguments in [
        &["sweep", "--config", "plain.toml"][..],
        &["sweep", "--json", "--config", "plain.toml"],
        &["sweep", "--config", "pharos.toml"],
        &["check", "--config", "pharos.toml"],
        &["check", "--json", "--config", "pharos.toml"],
        &["explain", "198.51.100.0/24", "--json", "--config", "plain.toml"],
        &["explain", "198.51.100.0/24", "--name", wild, "--config", "plain.toml"],
        &["verify", "m\u{1b}[2J", "--config", "pharos.toml"],
    ] {
        let said = Command::new(env!("CARGO_BIN_EXE_pharos")).args(arguments).current_dir(folder.path()).output();
        let said = said.unwrap();
        for stream in [said.stdout, said.stderr] {
            let text = String::from_utf8(stream).unwrap();
            assert!(
                !text.contains(|c: char| c.is_control() && c != '\n' || c == '\u{202e}'),
                "{arguments:?}: {text:?}"
            );
        }
    }
}

#[test]
fn control_characters_of_a_feed_are_shown_by_explain() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("pharos.toml", CONFIG), ("blob.zone", ZONE), ("aws.json", FEED)] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_pharos"));
    let said = command.args(["explain", "198.51.100.0/24", "--config"]).arg(folder.path().join("pharos.toml")).output();
    let said = said.unwrap();
    let text = String::from_utf8(said.stdout).unwrap();
    assert!(said.status.success(), "{text}{}", String::from_utf8_lossy(&said.stderr));
    assert!(text.contains(r"x\u{1b}[2J\ny\u{9b}z\u{202e}"), "{text:?}");
    assert!(!text.contains(|c: char| c.is_control() && c != '\n' || c == '\u{202e}'), "{text:?}");
    assert!(!text.lines().any(|line| line.starts_with('y')), "{text:?}");
}
