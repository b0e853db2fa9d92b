//! Challenges over HTTP: the requests of acme-dns and of lego's `httpreq`, with real clients, beside the token of another
//! credential.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use pharos::base::rr::Rtype;
use ring::digest::{SHA256, digest};

use super::clients::{NAMES, OTHER, Stage, assert_names, certificate, run, script};
use super::common::needs;
use super::common::server::PATIENCE;
use super::service::said;
use super::world::*;

const PASSWORD: &str = "one-password-of-40-random-characters----";

/// The credential of the mirror `one`; `more` follows in its entry.
fn one(more: &str) -> String {
    let hash = HEXLOWER.encode(digest(&SHA256, PASSWORD.as_bytes()).as_ref());
    format!("acme = [{{ user = \"one\", password-sha256 = \"{hash}\"{more} }}]")
}

fn world() -> World {
    World::start_with(&http_config([&one(""), TWO]))
}

/// A response: its status, head and body.
struct Response {
    status: u16,
    head: String,
    body: String,
}

/// Sends a request, whose headers end in line ends.
fn send(to: SocketAddr, request: &str, headers: &str, body: &str) -> Response {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let len = body.len();
    let head =
        format!("{request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len}\r\n{headers}\r\n");
    stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Response { status, head: head.to_ascii_lowercase(), body: body.to_string() }
}

fn basic(user: &str, password: &str) -> String {
    format!("Authorization: Basic {}\r\n", BASE64.encode(format!("{user}:{password}").as_bytes()))
}

fn api(user: &str, key: &str) -> String {
    format!("X-Api-User: {user}\r\nX-Api-Key: {key}\r\n")
}

/// The body of `/present` and `/cleanup`.
fn httpreq(owner: &str, number: u8) -> String {
    format!("{{\"fqdn\": \"{owner}.\", \"value\": \"{}\"}}", token(number))
}

/// The body of `/update`.
fn acme_dns(number: u8) -> String {
    format!("{{\"subdomain\": \"one\", \"txt\": \"{}\"}}", token(number))
}

#[test]
fn acme_dns_sets_a_token_at_all_owners_and_echoes_it() {
    let world = world();
    let to = world.http();
    assert_eq!(world.send("two", &[add(SHARED, OTHER)]), 0);
    for (number, kind) in [(1, ""), (2, "Content-Type: application/x-www-form-urlencoded\r\n")] {
        let response = send(to, "POST /update", &(api("one", PASSWORD) + kind), &acme_dns(number));
        assert_eq!((response.status, response.body), (200, format!("{{\"txt\":\"{}\"}}", token(number))));
        assert!(response.head.contains("content-type: application/json"), "{}", response.head);
    }
    assert_eq!((world.tokens(SHARED), world.tokens(OWN)), (vec![2, 1, OTHER], vec![2, 1]));
    assert_eq!(world.tokens("_acme-challenge.two.blob.example"), [0; 0]);
    let log = world.server.lines().join("\n");
    assert!(
        log.contains("ACME challenges at _acme-challenge.one.blob.example: 1 set by user:one from 127.0.0.1"),
        "{log}"
    );
    assert!(!log.contains(PASSWORD) && !log.contains(&token(1)), "{log}");
    let world = world.kill_and_restart();
    assert_eq!((world.tokens(SHARED), world.tokens(OWN)), (vec![2, 1, OTHER], vec![2, 1]), "they are on the disk");
}

#[test]
fn httpreq_sets_and_removes_one_token_of_its_own() {
    let world = world();
    let to = world.http();
    assert_eq!(world.send("two", &[add(SHARED, OTHER)]), 0);
    let ask = |path: &str, body: &str| send(to, &format!("POST {path}"), &basic("one", PASSWORD), body).status;
    assert_eq!([ask("/present", &httpreq(SHARED, 1)), ask("/a/prefix/present", &httpreq(SHARED, 2))], [200, 200]);
    assert_eq!((world.tokens(SHARED), world.tokens(OWN)), (vec![2, 1, OTHER], vec![]));
    // The same again changes nothing.
    assert_eq!((ask("/present", &httpreq(SHARED, 1)), world.tokens(SHARED).len()), (200, 3));
    assert_eq!([ask("/cleanup", &httpreq(SHARED, 2)), ask("/cleanup", &httpreq(SHARED, OTHER))], [200, 200]);
    assert_eq!(world.tokens(SHARED), [1, OTHER], "the token of another credential stays");
    // The mode RAW sends the key authorization.
    let raw = |domain: &str| format!("{{\"domain\": \"{domain}\", \"token\": \"t\", \"keyAuth\": \"t.thumb\"}}");
    assert_eq!(ask("/present", &raw("one.blob.example")), 200);
    let expected = BASE64URL_NOPAD.encode(digest(&SHA256, b"t.thumb").as_ref());
    let found = world.ask(OWN, Rtype::TXT);
    assert_eq!(found.answers[0].data.to_string().trim_matches('"'), expected);
    // A wildcard is proved at the name without it.
    assert_eq!(ask("/present", &raw("*.wild.blob.example")), 200);
    assert_eq!(world.ask("_acme-challenge.wild.blob.example", Rtype::TXT).answers.len(), 1);
    assert_eq!((ask("/cleanup", &raw("one.blob.example")), world.tokens(OWN)), (200, vec![]));
}

#[test]
fn each_refusal_has_its_status_and_changes_nothing() {
    let text = http_config([&one(""), TWO]).replace("[acme]", "[admin]\nlisten = \"127.0.0.1:0\"\n[acme]");
    let world = World::start_with(&text);
    let to = world.http();
    let (right, wrong) = (basic("one", PASSWORD), basic("one", "another password"));
    let long = format!("{{\"fqdn\": \"{}\"}}", "x".repeat(5000));
    let foreign = httpreq("_acme-challenge.two.blob.example", 1);
    for (request, headers, body, status) in [
        ("POST /present", &*wrong, &*httpreq(SHARED, 1), 401),
        ("POST /present", "", &httpreq(SHARED, 1), 401),
        ("POST /present", &basic("two.mirrors.example", PASSWORD), &httpreq(SHARED, 1), 401),
        ("POST /update", &api("one", ""), &acme_dns(1), 401),
        ("POST /update", &api("nobody", PASSWORD), &acme_dns(1), 401),
        ("POST /present", &right, &foreign, 403),
        ("POST /cleanup", &right, &httpreq("blob.example", 1), 403),
        ("POST /register", "", "{}", 403),
        ("POST /present", &right, "{}", 400),
        ("POST /present", &right, "not JSON", 400),
        ("POST /present", &right, &format!("{{\"fqdn\": \"{SHARED}.\", \"value\": \"short\"}}"), 400),
        ("POST /update", &api("one", PASSWORD), &httpreq(SHARED, 1), 400),
        ("POST /present", &right, &long, 413),
        ("GET /present", &right, "", 405),
        ("POST /health", &right, "", 405),
        ("POST /", &right, "", 404),
        ("POST /present/more", &right, &httpreq(SHARED, 1), 404),
    ] {
        let response = send(to, request, headers, body);
        assert_eq!(response.status, status, "{request} {headers}{body}: {}", response.body);
        assert!(response.body.ends_with('\n') && !response.body.contains(&token(1)), "{}", response.body);
        assert_eq!(response.head.contains("www-authenticate: basic"), status == 401, "{}", response.head);
    }
    let health = send(to, "GET /health", "", "");
    assert_eq!((health.status, &*health.body), (200, "ok\n"));
    assert_eq!((world.tokens(SHARED), world.tokens(OWN)), (vec![], vec![]));
    let count =
        |outcome: &str| world.server.metric(&format!("pharos_acme_http_requests_total{{outcome=\"{outcome}\"}}"));
    let counts = ["unauthorized", "refused", "malformed", "other", "done"].map(count);
    assert_eq!(counts, [5, 2, 5, 5, 0]);
    // Further guesses of one client are not judged for a while; the right password is.
    let statuses: Vec<u16> = (0..20).map(|_| send(to, "POST /present", &wrong, "{}").status).collect();
    assert_eq!((statuses[0], statuses[19]), (401, 429), "{statuses:?}");
    assert_eq!(send(to, "POST /present", &right, &httpreq(SHARED, 1)).status, 200);
    let log = world.server.lines().join("\n");
    assert!(!log.contains("another password") && !log.contains(PASSWORD), "{log}");
}

#[test]
fn a_user_is_bound_to_its_addresses_and_follows_reloads() {
    let elsewhere = http_config([&one(", allow = \"192.0.2.0/24\""), TWO]);
    let world = World::start_with(&elsewhere);
    let to = world.http();
    let present = || send(to, "POST /present", &basic("one", PASSWORD), &httpreq(SHARED, 1)).status;
    assert_eq!(present(), 403);
    world.reload_with(&http_config([&one(""), TWO]));
    assert_eq!((present(), world.tokens(SHARED)), (200, vec![1]));
    // A credential that is removed takes its tokens with it.
    world.reload_with(&http_config(["", TWO]));
    assert_eq!((present(), world.tokens(SHARED)), (401, vec![]));
}

#[test]
fn a_change_that_is_not_kept_or_not_everywhere_is_no_success() {
    let folder = tempfile::TempDir::new().unwrap();
    let state = folder.path().join("state");
    fs::create_dir(&state).unwrap();
    let path = format!("{:?}", state.join("acme.json").display().to_string());
    let world = World::start_with(&http_config([&one(""), TWO]).replace("\"acme.json\"", &path));
    let to = world.http();
    let present = |to, number| send(to, "POST /present", &basic("one", PASSWORD), &httpreq(SHARED, number));
    assert_eq!(present(to, 1).status, 200);
    fs::remove_dir_all(&state).unwrap();
    assert_eq!((present(to, 2).status, world.tokens(SHARED)), (500, vec![1]));
    fs::create_dir(&state).unwrap();
    assert_eq!((present(to, 2).status, world.tokens(SHARED)), (200, vec![2, 1]));
    // A peer that answers without the token: an authority could ask it.
    let without =
        World::start_with(&config("[\"127.0.0.1:0\"]", ["", ""]).replace("[acme]\nstate = \"acme.json\"\n", ""));
    let peer = format!("[acme]\npeers = [\"{} key:peers.example\"]\n", without.address);
    let key = format!("[keys.\"peers.example\"]\nalgorithm = \"hmac-sha256\"\nsecret = \"{}\"\n", secret("peers"));
    let text = http_config([&one(""), TWO]).replace("[acme]\n", &peer);
    let world = World::start_with(&format!("{text}{key}"));
    let response = present(world.http(), 1);
    assert_eq!(response.status, 503, "{}", response.body);
    assert!(response.head.contains("retry-after: 1"), "{}", response.head);
}

#[test]
fn the_listener_has_a_certificate_that_a_reload_renews() {
    let Some(curl) = needs::program("curl", "curl") else { return };
    let folder = tempfile::TempDir::new().unwrap();
    let Some(()) = certificate(folder.path()) else { return };
    let files = |name: &str| folder.path().join(name);
    fs::set_permissions(files("key.pem"), fs::Permissions::from_mode(0o600)).unwrap();
    let tls = format!("tls = {{ cert = {:?}, key = {:?} }}\n", files("cert.pem"), files("key.pem"));
    let text = http_config([&one(""), TWO]).replace("[acme]\n", &format!("[acme]\n{tls}"));
    let world = World::start_with(&text);
    let to = world.http();
    let present = |root: &Path, number: u8| {
        let mut command = Command::new(&curl);
        command.arg("-sS").arg("--cacert").arg(root).args([
            "-u",
            &format!("one:{PASSWORD}"),
            "-w",
            "%{http_code}",
            "-o",
            "/dev/null",
        ]);
        let output = run(command
            .args(["--data", &httpreq(SHARED, number)])
            .arg(format!("https://localhost:{}/present", to.port())));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let old = files("old.pem");
    fs::copy(files("cert.pem"), &old).unwrap();
    assert_eq!((present(&old, 1), world.tokens(SHARED)), ("200".to_string(), vec![1]));
    certificate(folder.path()).unwrap();
    fs::set_permissions(files("key.pem"), fs::Permissions::from_mode(0o600)).unwrap();
    world.reload_with(&text);
    assert_eq!(present(&files("cert.pem"), 2), "200");
    assert_eq!(present(&old, 3), "000", "curl does not trust the new certificate by the old one");
    assert_eq!(world.tokens(SHARED), [2, 1]);
    let open =
        http_config([&one(""), TWO]).replace("[acme]\nlisten = \"127.0.0.1:0\"", "[acme]\nlisten = \"0.0.0.0:0\"");
    let (code, report) = said(&[("pharos.toml", &open), ("zone", ZONE)], &["check"]);
    assert!(code == Some(1) && report.contains("acme-in-clear"), "{report}");
}

/// The most connections of one client.
const PER_CLIENT: usize = 32;

#[test]
fn connections_and_unfinished_bodies_end() {
    let world = world();
    let to = world.http();
    let connect = || {
        let stream = TcpStream::connect(to).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    // A request whose body never comes; only a right password makes the server wait for it.
    let mut slow = connect();
    let head =
        format!("POST /present HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n{}\r\n{{", basic("one", PASSWORD));
    slow.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    let _ = slow.read_to_string(&mut answer);
    assert!(!answer.contains(" 200 "), "{answer}");
    let mut idle: Vec<TcpStream> = (0..PER_CLIENT).map(|_| connect()).collect();
    assert_eq!(send(to, "POST /present", &basic("one", PASSWORD), &httpreq(SHARED, 1)).status, 200);
    let is_closed = |stream: &mut TcpStream| stream.read(&mut [0; 1]).is_ok_and(|len| len == 0);
    assert!(is_closed(&mut idle[0]), "the one idle longest makes room");
    let last = idle.last_mut().unwrap();
    last.set_nonblocking(true).unwrap();
    assert!(!is_closed(last), "the others stay");
}

/// A server with a user for the mirror `one`, an authority, and a token of another credential.
fn stage() -> Option<Stage> {
    let mut stage = Stage::start_in(world())?;
    stage.by = "user:one";
    Some(stage)
}

/// The command line of lego with another provider than rfc2136.
fn lego(stage: &Stage, lego: &Path, provider: &str) -> Command {
    let mut command = Command::new(lego);
    command
        .env("LEGO_CA_CERTIFICATES", stage.pebble.trusted())
        .args(["--server", &stage.pebble.directory, "--accept-tos", "--email", "a@mirrors.example"])
        .args(["--dns", provider, "--dns.disable-cp", "--dns.resolvers", &stage.world.address.to_string()])
        .args(["--domains", NAMES[0], "--domains", NAMES[1]])
        .arg("--path")
        .arg(stage.path())
        .arg("run");
    command
}

#[test]
fn lego_gets_a_certificate_by_httpreq_beside_another_token() {
    let Some(program) = needs::program("lego", "lego") else { return };
    for (mode, prefix) in [("", ""), ("RAW", "/some/prefix")] {
        let Some(stage) = stage() else { return };
        let mut command = lego(&stage, &program, "httpreq");
        command
            .env("HTTPREQ_ENDPOINT", format!("http://{}{prefix}", stage.world.http()))
            .env("HTTPREQ_USERNAME", "one")
            .env("HTTPREQ_PASSWORD", PASSWORD)
            .env("HTTPREQ_MODE", mode);
        stage.run(&mut command);
        stage.check(&stage.path().join("certificates/blob.example.crt"));
    }
}

/// Debian's lego has no provider for acme-dns. Its hook `exec` sends what that provider sends.
#[test]
fn lego_gets_a_certificate_by_the_requests_of_acme_dns_beside_another_token() {
    let Some(program) = needs::program("lego", "lego") else { return };
    if needs::program("curl", "curl").is_none() {
        return;
    }
    let Some(stage) = stage() else { return };
    let hook = format!(
        "#!/bin/sh\nset -e\n[ \"$1\" = present ] || exit 0\n\
         curl -sS --fail -H 'X-Api-User: one' -H 'X-Api-Key: {PASSWORD}' -H 'Content-Type: application/json' \
         --data \"{{\\\"subdomain\\\":\\\"one\\\",\\\"txt\\\":\\\"$3\\\"}}\" http://{}/update | grep -q \"\\\"$3\\\"\"\n",
        stage.world.http()
    );
    let hook = script(stage.path(), "hook", &hook);
    stage.run(lego(&stage, &program, "exec").env("EXEC_PATH", hook).env("EXEC_SEQUENCE_INTERVAL", "1"));
    assert_names(&stage.path().join("certificates/blob.example.crt"), &NAMES);
    stage.check_log();
    // acme-dns has no clean-up: two tokens at each owner end after an hour.
    let texts = |owner: &str| stage.world.ask(owner, Rtype::TXT).answers.len();
    assert_eq!([texts(SHARED), texts(OWN)], [3, 2]);
}
