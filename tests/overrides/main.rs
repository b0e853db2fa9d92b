//! Overrides about mirrors, through the real binary: given, seen in the next answer, kept over a kill, ended, refused.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod churn;
#[path = "../common/mod.rs"]
mod common;
mod compared;
mod kept;
mod operators;
mod reloads;
mod status_page;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Lines, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use common::query::Builder;
use common::server::{PATIENCE, Server, ask_udp};
use common::show;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use pharos::base::rr::Rtype;
use serde_json::Value;

const ZONE: &str = "$TTL 60\n@ SOA ns1 hostmaster 7 3600 600 86400 60\n@ NS ns1\nns1 A 127.0.0.1\n";

const CONFIG: &str = r#"
[dns]
listen = "127.0.0.1:0"

[admin]
listen = "127.0.0.1:0"
token-file = "admin.token"

[control]
socket = "control.sock"
state = "orders.json"

[[zone]]
name = "blob.example"
file = "zone"
steer = [{ owner = "@", horizon = "h", ttl = 60 }]

[mirrors.near]
addresses = ["192.0.2.10"]

[mirrors.far]
addresses = ["192.0.2.20"]

[mirrors.spare]
addresses = ["192.0.2.30"]

[horizons.h]
default = ["near", "far", "spare"]
"#;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A folder with a configuration, and the server that runs with it.
struct World {
    folder: tempfile::TempDir,
    server: Option<Server>,
}

impl World {
    fn start() -> World {
        World::start_with(CONFIG)
    }

    fn start_with(config: &str) -> World {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("zone", ZONE), ("pharos.toml", config), ("admin.token", TOKEN)] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let mut world = World { folder, server: None };
        world.start_again();
        world
    }

    fn start_again(&mut self) {
        self.server = Some(Server::start(&self.path("pharos.toml")));
        // It answers over DNS a moment before overrides are taken.
        let deadline = Instant::now() + PATIENCE;
        while pharos(&self.path("pharos.toml"), &["status"]).status.code() != Some(0) {
            assert!(Instant::now() < deadline, "it takes no orders");
        }
    }

    /// Kills the server as the kernel does when memory runs out.
    fn kill(&mut self) {
        let mut server = self.server.take().unwrap();
        server.signal("KILL");
        assert_eq!(server.wait(), None, "it ended by the signal");
    }

    fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// The addresses in an answer now.
    fn answer(&self) -> Vec<u8> {
        answer_of(self.server().address(Ipv4Addr::LOCALHOST.into()))
    }

    /// Runs a command to its end.
    fn run(&self, arguments: &[&str]) -> Output {
        pharos(&self.path("pharos.toml"), arguments)
    }

    /// Runs a command that must succeed, and returns its output.
    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let (said, complained) = texts(&output);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}{complained}");
        said
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[arguments, &["--json"]].concat())).unwrap()
    }

    /// Runs a command that must fail with this code, and returns its error output.
    #[track_caller]
    fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let (said, complained) = texts(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}{complained}");
        complained
    }

    /// Asks the admin listener.
    fn admin(&self, method: Method, path: &str, token: Option<&str>, body: &str) -> (StatusCode, String) {
        let at = self.server().listener("health and metrics", Ipv4Addr::LOCALHOST.into());
        let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        exchange(at, request.body(Full::new(Bytes::from(body.to_string()))).unwrap())
    }
}

/// The last bytes of the addresses that a server gives to clients.
fn answer_of(server: SocketAddr) -> Vec<u8> {
    let query = Builder::new("blob.example", Rtype::A).finish();
    addresses(&ask_udp(&query, Ipv4Addr::LOCALHOST.into(), server).unwrap().unwrap())
}

/// Asks one question after the other until `stop` is set, and returns all answers.
fn answers_until(stop: &AtomicBool, server: SocketAddr) -> BTreeSet<Vec<u8>> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(server).unwrap();
    let (mut seen, mut room) = (BTreeSet::new(), [0; 1500]);
    for id in (0..=u16::MAX).cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let mut query = Builder::new("blob.example", Rtype::A).finish();
        query[..2].copy_from_slice(&id.to_be_bytes());
        socket.send(&query).unwrap();
        let len = socket.recv(&mut room).unwrap();
        assert_eq!(room[..2], id.to_be_bytes());
        seen.insert(addresses(&room[..len]));
    }
    seen
}

fn addresses(reply: &[u8]) -> Vec<u8> {
    let message = show::decode(reply).unwrap();
    let last = |address: IpAddr| match address {
        IpAddr::V4(v4) => v4.octets()[3],
        IpAddr::V6(_) => panic!("A has IPv4 addresses"),
    };
    message.answers.iter().filter_map(|record| record.data.ip_addr()).map(last).collect()
}

fn pharos(config: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pharos"));
    command.env_remove("NOTIFY_SOCKET").env_remove("SUDO_USER");
    command.arg("--config").arg(config).args(arguments).output().unwrap()
}

fn texts(output: &Output) -> (String, String) {
    let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

#[tokio::main(flavor = "current_thread")]
async fn exchange(at: SocketAddr, request: Request<Full<Bytes>>) -> (StatusCode, String) {
    let stream = tokio::net::TcpStream::connect(at).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let response = sender.send_request(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[test]
fn each_override_moves_the_next_answer() {
    let world = World::start();
    assert_eq!(world.answer(), [10]);
    let (stop, at) = (AtomicBool::new(false), world.server().address(Ipv4Addr::LOCALHOST.into()));
    std::thread::scope(|scope| {
        let stop = &stop;
        let asking = scope.spawn(move || answers_until(stop, at));
        // The asking thread must end when a check fails.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| give_each_override(&world)));
        stop.store(true, Ordering::Relaxed);
        assert_eq!(asking.join().unwrap(), [vec![10], vec![20], vec![30]].into(), "never empty, and never two");
        outcome.unwrap();
    });
}

fn give_each_override(world: &World) {
    let user = login();
    let said = world.ok(&["mirror", "drain", "near", "--reason", "new disks"]);
    let since = world.json(&["mirror", "list", "near"])["order"]["since"].as_str().unwrap().to_string();
    assert_eq!(said, format!("near: drained by override of {user} since {since}: new disks\n"));
    assert_eq!(world.answer(), [20]);
    world.ok(&["mirror", "down", "far", "--reason", "gone", "--until", "2h"]);
    assert_eq!(world.answer(), [30]);
    // All mirrors are drained or down: the drained one is preferred. Its override is replaced below.
    world.ok(&["mirror", "down", "spare", "--reason", "gone too"]);
    assert_eq!(world.answer(), [10]);
    let said = world.ok(&["mirror", "up", "near", "--reason", "back"]);
    assert!(
        said.starts_with("near: up by override of") && said.contains(": back\nbefore: drained by override of"),
        "{said}"
    );
    let done = world.json(&["mirror", "auto", "near", "--reason", "all is well"]);
    assert_eq!((&done["order"], &done["before"]["order"]), (&Value::Null, &"up".into()));
    assert_eq!(world.answer(), [10]);
    let said = world.ok(&["mirror", "auto", "near"]);
    assert_eq!(said, "near: no override, counts as up: mirrors are not probed without `[probe]`\n");

    let log = world.server().wait_for("override removed");
    let orders: Vec<_> = log.iter().filter_map(|line| line.split_once("override ").map(|(_, said)| said)).collect();
    assert_eq!(
        orders[0],
        format!("set: mirror near is drained by override of {user} until removed, for \"new disks\"")
    );
    let until = |line: &str| line.contains("mirror far is down by override of") && line.contains(" until 20");
    assert!(until(orders[1]), "{orders:?}");
    let replaced = format!(
        "replaced: mirror near is up by override of {user} until removed, for \"back\"; it was drained by override of {user} \
         until removed, for \"new disks\""
    );
    assert_eq!(orders[3], replaced);
    let taken = format!(
        "removed by {user}, for \"all is well\": mirror near was up by override of {user} until removed, for \"back\""
    );
    assert_eq!(orders[4], taken);
}

/// The login of the user that runs the tests, or the number of one that has none.
fn login() -> String {
    let said = |option: &str| {
        let output = Command::new("id").arg(option).output().unwrap();
        output.status.success().then(|| texts(&output).0.trim().to_string())
    };
    said("-un").unwrap_or_else(|| format!("uid {}", said("-u").unwrap()))
}

#[test]
fn overrides_outlive_a_kill_and_a_reload_that_drops_the_mirror() {
    let mut world = World::start();
    world.ok(&["mirror", "drain", "near", "--reason", "new disks"]);
    world.kill();
    world.start_again();
    // Before the first answer, not after it.
    assert_eq!(world.answer(), [20]);
    // Another address does not make it another mirror.
    world.write("pharos.toml", &CONFIG.replace("192.0.2.10", "192.0.2.11"));
    world.server().signal("HUP");
    world.server().wait_for("is served");
    assert_eq!(world.answer(), [20]);

    let without = CONFIG.replace("[mirrors.near]\naddresses = [\"192.0.2.10\"]\n", "").replace("\"near\", ", "");
    world.write("pharos.toml", &without);
    world.server().signal("HUP");
    world.server().wait_for("the override (drain) of mirror near is kept, but the configuration has no such mirror");
    let list = world.json(&["mirror", "list"]);
    assert_eq!(list["gone"][0]["mirror"], "near");
    assert_eq!(list["mirrors"].as_array().unwrap().len(), 2);
    // Overrides about others keep it in the file, also over a restart.
    world.ok(&["mirror", "drain", "far", "--reason", "too"]);
    world.kill();
    world.start_again();
    world.server().signal("HUP");
    // The start has logged the override too.
    world.server().wait_for("reloaded: ");
    world.server().wait_for("the override (drain) of mirror near is kept");
    assert_eq!(world.answer(), [30]);

    world.write("pharos.toml", CONFIG);
    world.server().signal("HUP");
    world.server().wait_for("is served");
    assert_eq!(world.answer(), [30], "it comes back with its order");
    world.ok(&["mirror", "auto", "near"]);
    assert_eq!(world.answer(), [10]);
}

#[test]
fn an_override_ends_when_it_was_to() {
    let mut world = World::start();
    world.ok(&["mirror", "down", "near", "--reason", "a moment", "--until", "1s"]);
    let deadline = Instant::now() + PATIENCE;
    while world.answer() != [10] {
        assert!(Instant::now() < deadline, "it does not end");
        std::thread::yield_now();
    }
    world.server().wait_for("override ended: mirror near was down by override of");
    assert_eq!(world.json(&["mirror", "list", "near"])["order"], Value::Null);
    assert!(!world.read("orders.json").contains("near"));

    // An override that ended while no server ran.
    world.ok(&["mirror", "down", "far", "--reason", "later", "--until", "2h"]);
    let until = world.json(&["mirror", "list", "far"])["order"]["until"].as_str().unwrap().to_string();
    world.kill();
    world.write("orders.json", &world.read("orders.json").replace(&until, "2020-01-01T00:00:00Z"));
    world.start_again();
    assert_eq!(world.json(&["mirror", "list", "far"])["order"], Value::Null);
}

#[test]
fn a_state_that_cannot_be_used_costs_only_what_was_in_it() {
    let mut world = World::start();
    world.ok(&["mirror", "drain", "near", "--reason", "new disks"]);
    let whole = world.read("orders.json");
    let (first, _) = whole.split_once('\n').unwrap();
    let damaged = |rest: &str| format!("{first}\n{rest}");
    for state in [
        &whole[..whole.len() / 2],
        &damaged(""),
        &damaged("\u{0}\u{0}\u{0}"),
        &damaged("{\"version\": 2, \"orders\": {}}"),
    ] {
        world.kill();
        world.write("orders.json", state);
        world.start_again();
        assert_eq!(world.answer(), [10], "it serves, without the order");
        assert_eq!(world.read("orders.json.bad"), state);
        world.ok(&["mirror", "drain", "near", "--reason", "again"]);
        assert_eq!(world.answer(), [20]);
        assert!(world.read("orders.json").contains("again"));
    }
}

/// A server that is known by its log alone; it is killed when dropped.
struct Starting {
    process: Child,
    log: Lines<BufReader<ChildStderr>>,
}

impl Starting {
    fn with(config: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pharos"));
        command.env_remove("NOTIFY_SOCKET").arg("--config").arg(config);
        let mut process = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(process.stderr.take().unwrap()).lines();
        Starting { process, log }
    }

    /// Returns the log lines up to the first one with this text.
    fn said_until(&mut self, text: &str) -> Vec<String> {
        let mut said = Vec::new();
        while !said.last().is_some_and(|line: &String| line.contains(text)) {
            said.push(self.log.next().unwrap_or_else(|| panic!("it ended: {said:?}")).unwrap());
        }
        said
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The warnings of a server before it serves.
fn warnings_of_start(folder: &Path) -> Vec<String> {
    let said = Starting::with(&folder.join("pharos.toml")).said_until("serving ");
    said.iter().filter_map(|line| line.split_once("WARN ").map(|(_, said)| said.to_string())).collect()
}

#[test]
fn what_was_lost_is_named_in_the_log_overrides_and_verdicts_alike() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    // The mirrors are loopback addresses without a listener: probing ends at once.
    let probe = "[probe]\nport = 1\nstate = \"verdicts.json\"\ninterval = \"100ms\"\n";
    let config = format!("{}{probe}", CONFIG.replace("192.0.2.", "127.0.0."));
    for (name, text) in [("zone", ZONE), ("pharos.toml", &config), ("admin.token", TOKEN)] {
        std::fs::write(path(name), text).unwrap();
    }
    let whole = "[{\"mirror\":\"near\",\"address\":\"127.0.0.10\",\"verdict\":\"up\"}]";
    let first = [("orders.json", "pharos state overrides 1\n"), ("verdicts.json", "pharos state probe 1\n")];
    for garbage in ["", &whole[..20], "\u{0}", "<html>"] {
        for (name, first) in first {
            std::fs::write(path(name), format!("{first}{garbage}")).unwrap();
        }
        let lost = |what: &str, name: &str| {
            let (file, why) = (path(name), "it is damaged");
            format!("{what}: `{}` cannot be used: {why}; it is kept as `{}.bad`", file.display(), file.display())
        };
        let warnings = warnings_of_start(folder.path());
        for said in [
            lost("the overrides of operators are lost", "orders.json"),
            lost("the kept health of mirrors is lost", "verdicts.json"),
        ] {
            assert!(warnings.contains(&said), "{said} is not in {warnings:#?}");
        }
        for (name, first) in first {
            let aside = std::fs::read_to_string(path(&format!("{name}.bad"))).unwrap();
            assert_eq!(aside, format!("{first}{garbage}"));
        }
    }
    std::fs::write(path("verdicts.json"), whole).unwrap();
    std::fs::remove_file(path("verdicts.json.bad")).unwrap();
    assert!(!warnings_of_start(folder.path()).iter().any(|line| line.contains("lost")));
    assert!(!path("verdicts.json.bad").exists());
}

#[test]
fn a_second_server_takes_nothing_from_the_first() {
    let mut world = World::start();
    let id = world.server().id();
    let complained = world.fails(3, &["serve"]);
    let socket = world.path("control.sock");
    let expected = format!("error: failed to open the control socket: process {id} uses {}\n", socket.display());
    assert!(complained.contains(&expected) && complained.contains("= help: stop that process"), "{complained}");
    assert!(world.ok(&["status"]).contains("serving"), "the first one still answers");

    // The same state under another socket.
    let other = world.path("other.toml");
    std::fs::write(&other, CONFIG.replace("control.sock", "other.sock")).unwrap();
    let output = pharos(&other, &["serve"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(texts(&output).1.contains("orders.json"));

    // The socket of a killed server does not hinder the next one.
    world.kill();
    assert!(socket.exists());
    assert!(world.fails(4, &["mirror", "list"]).contains("no server answers at"));
    world.start_again();
    world.ok(&["status"]);
    // A server that ends regularly removes its socket.
    let mut server = world.server.take().unwrap();
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    assert!(!socket.exists());
    assert!(world.fails(4, &["status"]).contains("is `pharos serve` running"));
}

#[test]
fn what_is_wrong_with_an_override_is_said() {
    let world = World::start();
    let complained = world.fails(1, &["mirror", "drain", "naer", "--reason", "x"]);
    assert_eq!(
        complained,
        "error: mirror `naer` is not defined\n  = help: did you mean `near`? mirrors: `near`, `far`, `spare`\n"
    );
    assert!(world.fails(1, &["mirror", "auto", "nobody"]).contains("mirror `nobody` is not defined"));
    assert!(world.fails(1, &["mirror", "list", "nobody"]).contains("mirror `nobody` is not defined"));
    assert!(world.fails(2, &["mirror", "drain", "near"]).contains("--reason"));
    assert!(world.fails(2, &["mirror", "drain", "near", "--reason", " "]).contains("say why"));
    assert!(world.fails(2, &["mirror", "drain", "near", "--reason", "x", "--until", "noon"]).contains("2h"));
    assert_eq!(world.answer(), [10]);

    // An override that cannot be kept in the file is not set.
    std::fs::create_dir(world.path("orders.json.new")).unwrap();
    let complained = world.fails(4, &["mirror", "drain", "near", "--reason", "x"]);
    assert!(complained.contains("was not set") && complained.contains("writable"), "{complained}");
    assert_eq!(world.answer(), [10]);

    world.write("pharos.toml", &CONFIG.replace("[control]", "[controll]"));
    let complained = world.fails(1, &["mirror", "list"]);
    assert!(complained.contains("did you mean `control`") && complained.contains("`--socket SOCKET`"), "{complained}");
    let socket = world.path("control.sock");
    assert!(world.ok(&["mirror", "list", "--socket", socket.to_str().unwrap()]).contains("near"));
}

#[test]
fn draining_the_last_mirror_is_done_and_warned_of() {
    let world = World::start();
    let drain = |mirror: &str, more: &[&str]| {
        let output = world.run(&[&["mirror", "drain", mirror, "--reason", "a test"], more].concat());
        assert_eq!(output.status.code(), Some(0));
        texts(&output)
    };
    assert_eq!(drain("near", &[]).1, "");
    assert_eq!(drain("far", &[]).1, "");
    assert_eq!(world.answer(), [30]);
    let expected =
        "no other mirror of horizon `h` is up: the best of those left is given, because an empty answer is worse";
    let (said, complained) = drain("spare", &["--json"]);
    assert_eq!(complained, format!("warning: spare: {expected}\n"));
    let reply: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&reply["order"]["order"], &reply["warning"]), (&"drain".into(), &expected.into()));
    // `answer-mirrors` is 1, so one of the drained mirrors is given.
    assert_eq!(world.answer(), [10]);
    let (said, complained) = drain("spare", &["--force", "--json"]);
    let reply: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&*complained, &reply["warning"]), ("", &Value::Null));
    // An override `up` takes no mirror away, so that it gets no warning.
    assert_eq!(texts(&world.run(&["mirror", "up", "spare", "--reason", "a test"])).1, "");
}

#[test]
fn the_admin_listener_takes_overrides_from_who_has_the_token() {
    let world = World::start();
    let order = "{\"override\": \"drain\", \"reason\": \"new disks\", \"until\": \"2h\"}";
    let path = "/mirrors/near/override";
    for token in [None, Some(""), Some("0123456789abcdef0123456789abcdee"), Some("0123456789abcdef0123456789abcde")] {
        let (status, said) = world.admin(Method::PUT, path, token, order);
        assert_eq!((status, &*said), (StatusCode::UNAUTHORIZED, "this needs the admin token\n"), "{token:?}");
        for path in ["/mirrors", "/status", "/top", "/explain?client=192.0.2.1"] {
            assert_eq!(world.admin(Method::GET, path, token, "").0, StatusCode::UNAUTHORIZED);
        }
    }
    assert_eq!(world.answer(), [10]);
    let (status, said) = world.admin(Method::PUT, path, Some(TOKEN), order);
    assert_eq!(status, StatusCode::OK, "{said}");
    let done: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&done["order"]["order"], &done["order"]["who"]), (&"drain".into(), &"token from 127.0.0.1".into()));
    assert_eq!(world.answer(), [20]);

    let (status, said) = world.admin(Method::PUT, "/mirrors/naer/override", Some(TOKEN), order);
    assert!(status == StatusCode::NOT_FOUND && said.contains("did you mean `near`?"), "{said}");
    let (status, said) = world.admin(Method::PUT, path, Some(TOKEN), "{\"override\": \"drain\"}");
    assert!(status == StatusCode::BAD_REQUEST && said.contains("missing field `reason`"), "{said}");
    let long = "x".repeat(9000);
    assert_eq!(world.admin(Method::PUT, path, Some(TOKEN), &long).0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(world.admin(Method::POST, "/mirrors", Some(TOKEN), "").0, StatusCode::METHOD_NOT_ALLOWED);

    let (_, metrics) = world.admin(Method::GET, "/metrics", None, "");
    for line in [
        "pharos_mirror_override{mirror=\"near\",override=\"drain\"}",
        "pharos_mirror_order{mirror=\"near\",order=\"drain\"}",
    ] {
        assert!(metrics.contains(&format!("\n{line} 1\n")), "{metrics}");
    }
    let (status, said) = world.admin(Method::DELETE, path, Some(TOKEN), "");
    assert_eq!(status, StatusCode::OK, "{said}");
    assert_eq!(world.answer(), [10]);
    // The former path and body.
    let former = "/mirrors/near/order";
    let body = "{\"order\": \"drain\", \"reason\": \"new disks\"}";
    assert_eq!(world.admin(Method::PUT, former, Some(TOKEN), body).0, StatusCode::OK);
    assert_eq!(world.answer(), [20]);
    assert_eq!(world.admin(Method::DELETE, former, Some(TOKEN), "").0, StatusCode::OK);
    assert_eq!(world.answer(), [10]);

    // A new token takes a reload.
    let new = "fedcba9876543210fedcba9876543210";
    world.write("admin.token", &format!("{new}\n"));
    world.server().signal("HUP");
    world.server().wait_for("is served");
    assert_eq!(world.admin(Method::GET, "/mirrors", Some(TOKEN), "").0, StatusCode::UNAUTHORIZED);
    assert_eq!(world.admin(Method::GET, "/mirrors", Some(new), "").0, StatusCode::OK);
}

#[test]
fn the_running_server_explains_with_its_overrides() {
    let world = World::start();
    world.ok(&["mirror", "drain", "near", "--reason", "new disks", "--until", "2h"]);
    let until = world.json(&["mirror", "list", "near"])["order"]["until"].as_str().unwrap().to_string();
    let asked = ["explain", "198.51.100.0/24", "--resolver", "198.51.100.9"];
    let (offline, live) = (world.ok(&asked), world.ok(&[&asked[..], &["--server"]].concat()));
    assert!(offline.contains("near   preferred  up  A: taken") && offline.contains("192.0.2.10"), "{offline}");
    let drained = format!("near   preferred  drained  drained by override until {until}: new disks");
    assert!(live.contains(&drained) && live.contains("192.0.2.20"), "{live}");
    assert!(live.contains("this is what the server serves: generation 2"), "{live}");
    // Without the override, both commands print the same.
    world.ok(&["mirror", "auto", "near"]);
    let socket = format!("--server={}", world.path("control.sock").display());
    let live = world.ok(&[&asked[..], &[&socket]].concat());
    let before_notes = |text: &str| text.split("\nnotes ").next().unwrap().to_string();
    assert_eq!(before_notes(&live), before_notes(&offline));
    let (mut offline, mut live) = (world.json(&asked), world.json(&[&asked[..], &["--server"]].concat()));
    assert_eq!((offline["generation"].take(), live["generation"].take()), (Value::Null, 3.into()));
    assert!(offline["notes"].take() != live["notes"].take());
    for mirror in live["steered"]["mirrors"].as_array_mut().unwrap() {
        assert_eq!(mirror["addresses"].take()[0]["health"], "up");
    }
    assert_eq!(offline, live);
}

#[test]
fn the_list_shows_what_probes_and_operators_say() {
    let world = World::start();
    world.ok(&["mirror", "down", "far", "--reason", "gone"]);
    let order = world.json(&["mirror", "list", "far"])["order"].clone();
    let (who, since) = (order["who"].as_str().unwrap(), order["since"].as_str().unwrap());
    let list = world.ok(&["mirror", "list"]);
    let expected = format!(
        "\
MIRROR  ADDRESS     HEALTH  VERDICT     SINCE  HORIZONS  OVERRIDE
near    192.0.2.10  up      not probed         h
far     192.0.2.20  up      not probed         h         down by override of {who} since {since}: gone
spare   192.0.2.30  up      not probed         h
"
    );
    assert_eq!(list, expected);
    let status = world.json(&["status"]);
    assert_eq!((&status["generation"], &status["orders"][0]["mirror"]), (&2.into(), &"far".into()));
    assert_eq!((&status["orders"][0]["order"], &status["troubles"]), (&order, &serde_json::json!([])));
    let text = world.ok(&["status"]);
    let lines = String::from(
        "mirrors       not probed, 2 of 3 count as up: probes need `[probe]`\nzones         blob.example  serial 7\n",
    );
    assert!(text.contains(&lines), "{text}");
    let line = format!("\noverride      far: down by override of {who} since {since}: gone\n");
    assert!(text.ends_with(&line), "{text}");
    let config = world.path("pharos.toml");
    assert!(text.contains(&format!("\nconfiguration {}\n", config.display())), "{text}");
    assert_eq!(status["config"], config.display().to_string());
    assert!(status["networks"].is_array() && status["reload"].is_null(), "{status}");
    assert_eq!((&status["mirrors"], &status["mirrors_up"]), (&3.into(), &2.into()));
    assert_eq!(status["zones"], serde_json::json!([{ "name": "blob.example", "serial": 7 }]));
}

/// A mirror that lets every probe wait until it is dropped.
struct Sluggish(TcpListener);

impl Sluggish {
    fn config(&self) -> String {
        let at = self.0.local_addr().unwrap();
        let probe = format!("[probe]\nport = {}\ntimeout = \"9s\"\nfall = 1\n", at.port());
        format!("{}{probe}", CONFIG.replace("192.0.2.", "127.0.0."))
    }
}

#[test]
fn who_asks_too_early_is_told_that_it_starts() {
    let mirror = Sluggish(TcpListener::bind("127.0.0.10:0").unwrap());
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("pharos.toml");
    for (name, text) in [("zone", ZONE), ("pharos.toml", &*mirror.config()), ("admin.token", TOKEN)] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let mut server = Starting::with(&config);
    let said = server.said_until("probing 3 mirrors");
    let listening = said.iter().find(|line| line.contains("health and metrics")).unwrap();
    let admin: SocketAddr =
        listening.split_once("listening on ").unwrap().1.split(' ').next().unwrap().parse().unwrap();
    let ask = |path: &str| {
        let request =
            Request::builder().uri(path).header("host", "localhost").header("authorization", format!("Bearer {TOKEN}"));
        exchange(admin, request.body(Full::new(Bytes::new())).unwrap())
    };
    let starting = "starting: the mirrors have not been looked at yet";
    assert_eq!(ask("/healthz"), (StatusCode::OK, "ok\n".into()));
    assert_eq!(ask("/ready"), (StatusCode::SERVICE_UNAVAILABLE, format!("{starting}\n")));
    assert_eq!(ask("/mirrors").0, StatusCode::SERVICE_UNAVAILABLE);
    let early = pharos(&config, &["mirror", "drain", "near", "--reason", "x"]);
    assert_eq!((early.status.code(), texts(&early).1), (Some(4), format!("error: {starting}\n")));
    // Its probe fails now, as do those of the others, which have no listener.
    drop(mirror);
    let deadline = Instant::now() + PATIENCE;
    while ask("/ready") != (StatusCode::OK, "ready\n".into()) {
        assert!(Instant::now() < deadline, "it does not become ready");
    }
    let list: Value = serde_json::from_str(&ask("/mirrors").1).unwrap();
    let found: Vec<_> = list["mirrors"].as_array().unwrap().iter().map(|mirror| &mirror["addresses"][0]).collect();
    // The first one's handshake broke off.
    let verdicts = [("bad", "tls-bad"), ("down", "unreachable"), ("down", "unreachable")];
    for (address, (health, verdict)) in found.into_iter().zip(verdicts) {
        assert_eq!((&address["health"], &address["verdict"]), (&health.into(), &verdict.into()), "{list}");
        assert!(address["since"].as_str().is_some_and(|since| since.ends_with('Z')), "{list}");
    }
}

#[test]
fn an_override_wins_over_probes() {
    // The mirrors are loopback addresses without a listener: all of them are down, and given in panic.
    let probe = "[probe]\nport = 1\ninterval = \"100ms\"\nfall = 1\n";
    let world = World::start_with(&format!("{}{probe}", CONFIG.replace("192.0.2.", "127.0.0.")));
    assert_eq!(world.answer(), [10, 20, 30]);
    world.ok(&["mirror", "up", "far", "--reason", "the probe is wrong"]);
    assert_eq!(world.answer(), [20]);
    // Verdicts go on coming, and change nothing about that.
    let probes = || world.server().metric("pharos_probes_total{verdict=\"unreachable\"}");
    let (before, deadline) = (probes(), Instant::now() + PATIENCE);
    while probes() < before + 6 {
        assert!(Instant::now() < deadline, "it does not go on probing");
    }
    assert_eq!(world.answer(), [20]);
    let list = world.json(&["mirror", "list", "near"]);
    let trouble = format!("127.0.0.10 unreachable since {}", list["addresses"][0]["since"].as_str().unwrap());
    let live = world.ok(&["explain", "198.51.100.0/24", "--server"]);
    assert!(live.contains(&format!("A: down, AAAA: no address; {trouble}\n")), "{live}");
    assert!(
        live.contains("A: taken, AAAA: no address; up by override: the probe is wrong; 127.0.0.20 unreachable"),
        "{live}"
    );
    assert!(world.ok(&["status"]).contains(&format!("\ntrouble       near: {trouble}: ")));
    world.ok(&["mirror", "auto", "far"]);
    assert_eq!(world.answer(), [10, 20, 30]);
}

#[test]
fn who_holds_connections_keeps_nobody_out() {
    let world = World::start();
    let silent: Vec<_> = (0..40).filter_map(|_| UnixStream::connect(world.path("control.sock")).ok()).collect();
    assert!(silent.len() >= 16);
    // The silent connections are cut off one after the other.
    assert!(world.ok(&["status"]).contains("serving"));
    drop(silent);
    let mut long = UnixStream::connect(world.path("control.sock")).unwrap();
    let head = "PUT /mirrors/near/order HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\nConnection: close\r\n\r\n";
    long.write_all(head.as_bytes()).unwrap();
    // It may be answered before all of it is sent.
    let _ = long.write_all(&[b'x'; 100_000]);
    let mut said = Vec::new();
    let _ = long.read_to_end(&mut said);
    assert!(said.starts_with(b"HTTP/1.1 413 "), "{}", String::from_utf8_lossy(&said));
}
