//! Updates against the real binary: their effect on answers, and the state on the disk.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use pharos::base::rr::Rtype;
use tempfile::TempDir;

use super::common::needs;
use super::common::query::Builder;
use super::common::server::Server;
use super::world::*;

const NOERROR: u8 = 0;
const FORMERR: u8 = 1;
const SERVFAIL: u8 = 2;
const NOTIMP: u8 = 4;
const REFUSED: u8 = 5;
const NOTAUTH: u8 = 9;

#[test]
fn credentials_set_and_remove_their_own_tokens_over_udp_and_tcp() {
    let world = World::start();
    let serial = world.serial();
    assert_eq!((world.tokens(SHARED), world.tokens(OWN)), (vec![], vec![]));
    assert_eq!(world.send("one", &[add(SHARED, 1)]), NOERROR);
    assert_eq!(world.send_tcp("two", &[remove_all(SHARED, Rtype::TXT), add(SHARED, 2)]), NOERROR);
    assert_eq!(world.send("one", &[add(OWN, 3)]), NOERROR);
    assert_eq!((world.tokens(SHARED), world.tokens(OWN)), (vec![2, 1], vec![3]));
    // Each form of removal is about the tokens of its credential.
    for removal in [remove(SHARED, 2), remove_all(SHARED, Rtype::TXT), remove_all(SHARED, Rtype::ANY)] {
        assert_eq!(world.send("one", &[add(SHARED, 1)]), NOERROR);
        assert_eq!(world.send("one", &[removal]), NOERROR);
        assert!(world.tokens(SHARED).contains(&2));
    }
    assert_eq!(world.tokens(SHARED), [2]);
    // A message that is refused in one part does nothing.
    for refused in [add("_acme-challenge.two.blob.example", 5), (SHARED, Rtype::A, IN, vec![192, 0, 2, 1])] {
        assert_eq!(world.send("one", &[add(SHARED, 4), refused.clone()]), REFUSED);
        assert_eq!(world.send_tcp("one", &[refused, add(SHARED, 4)]), REFUSED);
    }
    let mut said =
        world.server.wait_for("an ACME update by key:one.mirrors.example from 127.0.0.1 is refused: REFUSED");
    assert_eq!(world.send("transfer", &[add(SHARED, 4)]), REFUSED, "a key that is no credential");
    assert_eq!(world.tokens(SHARED), [2]);
    // A repeated message, and a removal of a token that does not exist, are no faults.
    let mut signed = Signed::new("one", &[add(OWN, 6)]);
    for _ in 0..2 {
        let reply = udp(world.address, &signed.message);
        let mut again = Signed::new("one", &[add(OWN, 6)]);
        std::mem::swap(&mut signed, &mut again);
        assert_eq!(again.verified(&reply), NOERROR);
    }
    assert_eq!(world.send("one", &[remove(OWN, 9)]), NOERROR);
    assert_eq!((world.tokens(OWN), world.serial()), (vec![6, 3], serial));
    // The log has the names, and never a token.
    said.extend(world.server.lines());
    let lines = said.join("\n");
    assert!(
        lines.contains(
            "ACME challenges at _acme-challenge.blob.example: 1 set by key:one.mirrors.example from 127.0.0.1"
        )
    );
    assert!(lines.contains(": 1 removed by key:one.mirrors.example") && !lines.contains(&token(1)), "{lines}");
}

#[test]
fn messages_without_a_valid_signature_change_nothing_and_write_no_line() {
    let world = World::start();
    let update = unsigned(&[add(SHARED, 1)]);
    let mut forged = Signed::new("one", &[add(SHARED, 1)]).message;
    forged[70] ^= 1;
    let cut = Signed::new("one", &[add(SHARED, 1)]).message;
    for ask in [udp, tcp] {
        assert_eq!(ask(world.address, &update)[3] & 15, REFUSED);
        assert_eq!(ask(world.address, &forged)[3] & 15, NOTAUTH);
        assert_eq!(ask(world.address, &cut[..cut.len() - 1])[3] & 15, FORMERR);
        assert_eq!(ask(world.address, &Signed::new("three", &[add(SHARED, 1)]).message)[3] & 15, NOTAUTH);
    }
    assert!(world.tokens(SHARED).is_empty());
    // A valid update is a line, so that the log is known to have come this far.
    assert_eq!(world.send("one", &[add(SHARED, 1)]), NOERROR);
    let lines = world.server.wait_for("ACME challenges at");
    assert!(
        lines.iter().filter(|line| line.contains("ACME") || line.contains("mirrors.example")).count() == 1,
        "{lines:#?}"
    );
}

#[test]
fn a_token_is_on_the_disk_before_its_client_gets_the_reply() {
    let mut world = World::start();
    for number in 1..=5 {
        assert_eq!(world.send("one", &[add(SHARED, number)]), NOERROR);
        // The process is killed at once.
        world = world.kill_and_restart();
        assert_eq!(world.tokens(SHARED).first(), Some(&number));
    }
    assert_eq!(world.tokens(SHARED), [5, 4, 3, 2], "the newest four");
    let text = fs::read_to_string(world.path().join("acme.json")).unwrap();
    assert!(text.starts_with("pharos state challenges 1\n"), "{text}");
    // Tokens whose hour has passed while nothing ran are not served.
    let old = text.replace("\"until\": 1", "\"until\": 0");
    fs::write(world.path().join("acme.json"), old).unwrap();
    let World { folder, server, .. } = world;
    drop(server);
    let old = fs::read_to_string(folder.path().join("acme.json")).unwrap();
    assert!(old.contains("\"until\": 0"), "{old}");
    let server = Server::start(&folder.path().join("pharos.toml"));
    let world = World { address: server.address(HERE), folder, server };
    assert!(world.tokens(SHARED).is_empty());
}

#[test]
fn a_change_that_cannot_be_kept_is_servfail_and_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let state = folder.path().join("state");
    fs::create_dir(&state).unwrap();
    let text = config("[\"127.0.0.1:0\"]", [ONE, TWO])
        .replace("\"acme.json\"", &format!("{:?}", state.join("acme.json").display().to_string()));
    let world = World::start_with(&text);
    assert_eq!(world.send("one", &[add(SHARED, 1)]), NOERROR);
    fs::remove_dir_all(&state).unwrap();
    assert_eq!((world.send("one", &[add(SHARED, 2)]), world.tokens(SHARED)), (SERVFAIL, vec![1]));
    assert_eq!(world.send_tcp("one", &[remove_all(SHARED, Rtype::TXT)]), SERVFAIL);
    assert_eq!(world.tokens(SHARED), [1]);
    world.server.wait_for("updates of ACME clients are answered SERVFAIL until it is written");
    // An update without a change needs no disk.
    assert_eq!(world.send("two", &[remove(SHARED, 9)]), NOERROR);
    fs::create_dir(&state).unwrap();
    assert_eq!((world.send("one", &[add(SHARED, 2)]), world.tokens(SHARED)), (NOERROR, vec![2, 1]));
}

#[test]
fn a_reload_keeps_tokens_but_those_of_credentials_that_it_removes() {
    let world = World::start();
    assert_eq!(world.send("one", &[add(SHARED, 1), add(OWN, 3)]), NOERROR);
    assert_eq!(world.send("two", &[add(SHARED, 2)]), NOERROR);
    fs::write(world.path().join("zone"), ZONE.replace(" 7 ", " 8 ")).unwrap();
    let both = config("[\"127.0.0.1:0\"]", [ONE, TWO]);
    world.reload_with(&both);
    assert!(world.serial().contains(" 8 "), "{}", world.serial());
    assert_eq!((world.tokens(SHARED), world.tokens(OWN)), (vec![2, 1], vec![3]));
    world.reload_with(&config("[\"127.0.0.1:0\"]", ["", TWO]));
    assert_eq!(world.tokens(SHARED), [2]);
    assert_eq!(world.ask(OWN, Rtype::TXT).metadata.response_code, hickory_proto::op::ResponseCode::NXDomain);
    assert_eq!(world.send("one", &[add(SHARED, 4)]), REFUSED);
    world
        .server
        .wait_for("2 of key:one.mirrors.example removed, because the configuration does not permit these any more");
    // It is gone from the disk too, and does not come back with its credential.
    let deadline = Instant::now() + Duration::from_secs(20);
    while fs::read_to_string(world.path().join("acme.json")).unwrap().contains("key:one") {
        assert!(Instant::now() < deadline, "the token is still on the disk");
        std::thread::sleep(Duration::from_millis(20));
    }
    world.reload_with(&both);
    assert_eq!((world.tokens(SHARED), world.tokens(OWN)), (vec![2], vec![]));
    assert_eq!(world.send("one", &[add(SHARED, 4)]), NOERROR);
}

#[test]
fn messages_of_a_connection_are_answered_in_their_order() {
    let world = World::start();
    let question = Builder::new("ns.blob.example", Rtype::A).finish();
    let mut first = Signed::new("one", &[add(SHARED, 1)]);
    let mut second = Signed::new("one", &[add(SHARED, 2)]);
    let text = Builder::new(SHARED, Rtype::TXT).finish();
    let replies = pipelined(world.address, &[&question, &first.message, &text, &second.message, &text]);
    assert_eq!((first.verified(&replies[1]), second.verified(&replies[3])), (NOERROR, NOERROR));
    assert_eq!((replies[0][7], replies[2][7], replies[4][7]), (1, 1, 2), "answers");
}

#[test]
fn a_reply_over_udp_leaves_from_the_address_asked() {
    let world = World::start_with(&config("[\"0.0.0.0:0\"]", [ONE, TWO]));
    let asked = SocketAddr::new([127, 0, 0, 9].into(), world.address.port());
    let mut signed = Signed::new("one", &[add(SHARED, 1)]);
    // The socket of the client is connected, so that it takes replies from this address alone.
    let reply = udp(asked, &signed.message);
    assert_eq!(signed.verified(&reply), NOERROR);
}

#[test]
fn a_mirror_has_a_name_with_its_own_addresses() {
    let world = World::start();
    assert_eq!(world.addresses("one.blob.example"), ["60 127.0.0.11", "60 ::1"]);
    assert_eq!(world.addresses("two.blob.example"), ["60 127.0.0.12", "60 2001:db8::2"]);
    assert_eq!(world.addresses("x.wild.blob.example"), ["30 127.0.0.11", "30 ::1"], "steered");
    // Of a wildcard, the challenge is at the name above; the name that a wildcard has stays as it is.
    assert!(world.tokens("_acme-challenge.wild.blob.example").is_empty());
    assert_eq!(world.addresses("one.wild.blob.example"), ["30 127.0.0.11", "30 ::1"]);
    assert_eq!(world.send("two", &[add("_acme-challenge.wild.blob.example", 7)]), NOERROR);
    assert_eq!(world.tokens("_acme-challenge.wild.blob.example"), [7]);
    assert_eq!(world.ask("one.blob.example", Rtype(257)).answers.len(), 1, "CAA of the zone file");
    let Some(dig) = needs::program("dig", "bind9-dnsutils") else { return };
    let output = Command::new(dig)
        .args(["@127.0.0.1", "-p", &world.address.port().to_string(), "blob.example", "AXFR", "-y"])
        .arg(format!("hmac-sha256:transfer.mirrors.example:{}", secret("transfer")))
        .output()
        .unwrap();
    let zone = String::from_utf8(output.stdout).unwrap();
    assert!(zone.contains("XFR size") && zone.contains("ns2.blob.example"), "{zone}");
    assert!(!zone.contains("_acme-challenge") && !zone.contains("127.0.0.12"), "{zone}");
}

#[test]
fn without_acme_updates_are_not_implemented() {
    let text = config("[\"127.0.0.1:0\"]", ["", ""]).replace("[acme]\nstate = \"acme.json\"\n", "");
    let world = World::start_with(&text);
    for message in [unsigned(&[add(SHARED, 1)]), Signed::new("one", &[add(SHARED, 1)]).message] {
        assert_eq!(udp(world.address, &message)[3] & 15, NOTIMP);
        assert_eq!(tcp(world.address, &message)[3] & 15, NOTIMP);
    }
    assert_eq!(world.ask(SHARED, Rtype::TXT).metadata.response_code, hickory_proto::op::ResponseCode::NXDomain);
}

/// The output of a command with the configuration of a world that does not run.
pub fn said(files: &[(&str, &str)], arguments: &[&str]) -> (Option<i32>, String) {
    let folder = TempDir::new().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_pharos"));
    let output = command.current_dir(folder.path()).args(["--config", "pharos.toml"]).args(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.code(), text)
}

#[test]
fn check_names_records_at_the_names_of_challenges_and_keys_without_a_service() {
    let text = config("[\"127.0.0.1:0\"]", [ONE, TWO]);
    let zone =
        format!("{ZONE}one A 192.0.2.1\n_acme-challenge CNAME elsewhere.example.\n_acme-challenge.two TXT old\n");
    let (code, report) = said(&[("pharos.toml", &text), ("zone", &zone)], &["check"]);
    assert_eq!(code, Some(1));
    for expected in [
        "`one.blob.example` is a name of a mirror with credentials, and has an A of its own",
        "`_acme-challenge.blob.example` is a name of a mirror with credentials, and has a CNAME of its own",
        "`_acme-challenge.two.blob.example` is a name of a mirror with credentials, and has a TXT of its own",
        "one A 192.0.2.1",
        "this mirror has credentials",
    ] {
        assert!(report.contains(expected), "{expected}: {report}");
    }
    let zone = format!("{ZONE}two NS ns.elsewhere.example.\n");
    let (_, report) = said(&[("pharos.toml", &text), ("zone", &zone)], &["check"]);
    let expected = "challenges at `_acme-challenge.two.blob.example` are never answered: `two.blob.example` has an NS";
    assert!(report.contains(expected), "{report}");
    let foreign = [("pharos.toml", &*text), ("zone", ZONE), ("acme.json", "a file of another program\n")];
    let (code, report) = said(&foreign, &["check"]);
    assert!(code == Some(1) && report.contains("it is not a state file of this kind"), "{report}");
}

#[test]
fn explain_names_the_credentials_of_an_owner_and_the_mirror_of_a_name() {
    let text = config("[\"127.0.0.1:0\"]", [ONE, TWO]);
    let explain = |name: &str| {
        let (code, report) = said(&[("pharos.toml", &text), ("zone", ZONE)], &["explain", "192.0.2.1", "--name", name]);
        assert_eq!(code, Some(0), "{report}");
        report.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let shared = explain(SHARED);
    let both = "the TXT records are ACME challenges, set by key:one.mirrors.example of mirror one, \
                key:two.mirrors.example of mirror two";
    assert!(shared.contains(both) && shared.contains("TXT"), "{shared}");
    assert!(shared.contains("an owner of ACME challenges in zone blob.example, without a token now"), "{shared}");
    let own = explain("two.blob.example");
    assert!(own.contains("the addresses of mirror two, whatever its health") && own.contains("127.0.0.12"), "{own}");
}
