//! The status page of the admin listener and its data: access, address space, history, sources, and HTTPS.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Instant;

use hyper::{Method, StatusCode};
use serde_json::Value;

use crate::common::needs;
use crate::common::server::{PATIENCE, Server};
use crate::kept::{certificate, renew};
use crate::{CONFIG, TOKEN, World, ZONE};

/// The paths that read, and nothing else.
const READ: [&str; 8] = [
    "/status",
    "/mirrors",
    "/mirrors?as=html",
    "/mirrors/near",
    "/explain?client=192.0.2.1",
    "/space",
    "/history",
    "/sources",
];

/// A configuration with a list of an office, and without `[control]` and a token.
fn plain(admin: &str) -> String {
    let networks = "[guard]\nmoved = \"100%\"\n\n[networks]\noffice = { list = \"office.txt\" }\n\n[mirrors.near]";
    let rules = "[horizons.h]\nrules = [{ network = \"office\", mirrors = [\"spare\"] }]";
    let (head, rest) = CONFIG.split_once("[admin]").unwrap();
    let (_, rest) = rest.split_once("[[zone]]").unwrap();
    let config = format!("{head}[admin]\n{admin}\n\n[[zone]]{rest}");
    config.replace("[mirrors.near]", networks).replace("[horizons.h]", rules)
}

/// A server with such a configuration.
struct Plain {
    folder: tempfile::TempDir,
    server: Server,
}

impl Plain {
    fn start(admin: &str) -> Plain {
        let folder = tempfile::tempdir().unwrap();
        let files = [("zone", ZONE), ("pharos.toml", &plain(admin)), ("office.txt", "52.94.0.0/16\n")];
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let server = Server::start(&folder.path().join("pharos.toml"));
        let plain = Plain { folder, server };
        // It answers over DNS a moment before it answers here.
        let deadline = Instant::now() + PATIENCE;
        while ask(plain.at(), "GET", "/ready", "localhost").0 != 200 {
            assert!(Instant::now() < deadline, "it is not ready");
        }
        plain
    }

    fn at(&self) -> SocketAddr {
        self.server.listener("health and metrics", Ipv4Addr::LOCALHOST.into())
    }

    fn json(&self, path: &str) -> Value {
        let (status, _, body) = ask(self.at(), "GET", path, "localhost");
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }
}

/// The status, the head in lower case, and the body of a response.
fn ask(at: SocketAddr, method: &str, path: &str, host: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_lowercase(), body.to_string())
}

/// An address of this machine that is not loopback; `None` if it has none, which is counted.
fn address_of_machine() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    // Nothing is sent: the system only chooses the address.
    let chosen = socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr()).map(|address| address.ip());
    match chosen {
        Ok(IpAddr::V4(address)) if !address.is_loopback() && !address.is_unspecified() => Some(address),
        _ => {
            needs::skip("this machine has no address but loopback");
            None
        }
    }
}

#[test]
fn without_a_token_loopback_reads_and_no_client_writes() {
    let plain = Plain::start("listen = \"127.0.0.1:0\"");
    for path in READ {
        let (status, head, body) = ask(plain.at(), "GET", path, "localhost");
        assert_eq!(status, 200, "{path}: {body}");
        let kind = if path.contains("html") { "text/html" } else { "application/json" };
        for field in [
            kind,
            "x-content-type-options: nosniff",
            "cache-control: no-store",
            "cross-origin-resource-policy: same-origin",
        ] {
            assert!(head.contains(field), "{path}: {head}");
        }
        assert!(!head.contains("access-control"), "{path}: {head}");
        // A page that a foreign name led here reads nothing.
        assert_eq!(ask(plain.at(), "GET", path, "evil.example").0, 421, "{path}");
        assert_eq!(ask(plain.at(), "HEAD", path, "127.0.0.1:9153").0, 200, "{path}");
        assert!(matches!(ask(plain.at(), "POST", path, "localhost").0, 403), "{path}");
    }
    for (method, path) in [
        ("PUT", "/mirrors/near/override"),
        ("DELETE", "/mirrors/near/override"),
        ("PUT", "/server/drain"),
        ("POST", "/reload"),
    ] {
        let (status, _, said) = ask(plain.at(), method, path, "localhost");
        assert!(status == 403 && said.contains("token-file"), "{method} {path}: {status} {said}");
    }
    assert_eq!(ask(plain.at(), "GET", "/rulings", "localhost").0, 404);
    assert_eq!(plain.json("/status")["has_token"], false);
}

#[test]
fn without_a_token_other_machines_read_nothing_but_the_page() {
    let Some(address) = address_of_machine() else { return };
    let plain = Plain::start("listen = \"0.0.0.0:0\"\nnames = [\"pharos.example\"]");
    let far = SocketAddr::new(address.into(), plain.at().port());
    for path in READ {
        let (status, _, said) = ask(far, "GET", path, &address.to_string());
        assert!(status == 403 && said.contains("only clients at loopback addresses"), "{path}: {status} {said}");
        assert_eq!(ask(plain.at(), "GET", path, "pharos.example").0, 200, "{path}");
    }
    for path in ["/", "/ready", "/metrics"] {
        assert_eq!(ask(far, "GET", path, "pharos.example").0, 200, "{path}");
    }
}

#[test]
fn with_a_token_every_path_of_data_needs_it_and_the_page_does_not() {
    let world = World::start();
    for path in READ {
        assert_eq!(world.admin(Method::GET, path, None, "").0, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(world.admin(Method::GET, path, Some("wrong"), "").0, StatusCode::UNAUTHORIZED, "{path}");
        let (status, body) = world.admin(Method::GET, path, Some(TOKEN), "");
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
    }
    let at = world.server().listener("health and metrics", Ipv4Addr::LOCALHOST.into());
    let (status, head, body) = ask(at, "GET", "/", "localhost");
    assert!(status == 200 && body.starts_with("<!doctype html>"), "{status} {body}");
    let policy = head.lines().find(|line| line.starts_with("content-security-policy: ")).unwrap();
    for part in [
        "default-src 'none'",
        "script-src 'sha256-",
        "style-src 'sha256-",
        "connect-src 'self'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(
        head.contains("x-content-type-options: nosniff") && head.contains("referrer-policy: no-referrer"),
        "{head}"
    );
    assert_eq!(ask(at, "GET", "/", "evil.example").0, 421);
    assert_eq!(ask(at, "POST", "/", "localhost").0, 405);
    let (_, status) = world.admin(Method::GET, "/status", Some(TOKEN), "");
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["has_token"], true);
    assert!(status["traffic"]["answers"].is_u64() && status["traffic"]["http_requests"].is_null(), "{status}");
    // What the command says is what the page gets.
    let (_, explained) = world.admin(Method::GET, "/explain?client=192.0.2.0/24", Some(TOKEN), "");
    let (mut explained, mut printed): (Value, Value) =
        (serde_json::from_str(&explained).unwrap(), world.json(&["explain", "192.0.2.0/24", "--server"]));
    for view in [&mut explained, &mut printed] {
        assert!(view["steered"]["range"]["first"].is_string() && view["steered"]["scope"]["why"].is_string(), "{view}");
        assert!(view["steered"]["rule"]["line"].is_u64(), "{view}");
        // The notes have the age of the snapshot in seconds.
        view["notes"] = Value::Null;
    }
    assert_eq!(explained, printed);
}

#[test]
fn a_block_that_cannot_be_shown_is_refused_with_help() {
    let plain = Plain::start("listen = \"127.0.0.1:0\"");
    for (query, help) in [
        ("family=5", "4 or 6"),
        ("family=", "4 or 6"),
        ("block=banana", "not an IPv4 or IPv6 address"),
        ("block=10.0.0.0/33", "0 to 32"),
        ("block=10.1.0.0/8", "did you mean `10.0.0.0/8`"),
        ("family=6&block=10.0.0.0/8", "block of IPv6"),
        ("name=other.example", "did you mean"),
        ("name=a..b", ""),
        ("cells=9", "family, block and name"),
        ("block=%zz", ""),
    ] {
        let (status, head, body) = ask(plain.at(), "GET", &format!("/space?{query}"), "localhost");
        assert!(status == 400 && head.contains("application/json"), "{query}: {status} {body}");
        let refusal: Value = serde_json::from_str(&body).unwrap();
        assert!(
            refusal["error"].is_string() && refusal["help"].as_str().unwrap_or_default().contains(help),
            "{query}: {body}"
        );
    }
    assert_eq!(ask(plain.at(), "GET", "/mirrors?as=xml", "localhost").0, 400);
    assert_eq!(plain.json("/space?block=2600::%2F12")["family"], "ipv6");
    assert_eq!(plain.json("/space?name=BLOB.example")["horizon"], "h");
}

/// The plan of each cell of a block, by its first mirror.
fn cells(space: &Value) -> Vec<Value> {
    let number = |value: &Value| value.as_u64().unwrap() as usize;
    let runs = space["runs"].as_array().unwrap().chunks(3);
    runs.flat_map(|run| std::iter::repeat_n(space["plans"][number(&run[0])].clone(), number(&run[2]))).collect()
}

#[test]
fn a_reload_is_in_the_cells_at_once_and_so_is_what_it_moved() {
    let plain = Plain::start("listen = \"127.0.0.1:0\"");
    let before = plain.json("/space");
    assert_eq!(
        (cells(&before).len(), &before["changed"], &before["name"]),
        (65_536, &Value::Null, &"blob.example".into())
    );
    let first = |space: &Value, cell: usize| cells(space)[cell]["mirrors"][0].clone();
    let cell = |a: usize, b: usize| a << 8 | b;
    assert_eq!((first(&before, cell(52, 94)), first(&before, cell(52, 95))), ("spare".into(), "near".into()));
    assert_eq!(cells(&before)[cell(10, 0)]["kind"], "reserved");
    assert_eq!(plain.json("/history")["last_change"], Value::Null);
    std::fs::write(plain.folder.path().join("office.txt"), "52.94.0.0/15\n").unwrap();
    plain.server.signal("HUP");
    plain.server.wait_for("is served");
    let now = plain.json("/space");
    assert!(now["generation"].as_u64() > before["generation"].as_u64());
    assert_eq!(first(&now, cell(52, 95)), "spare");
    let moved = cell(52, 95) as u64;
    assert_eq!(now["changed"], serde_json::json!([0, moved, 1, 1, 0, 65_535 - moved]));
    let change = &plain.json("/history")["last_change"];
    assert_eq!(
        (&change["cause"], &change["guard"], &change["generation"]),
        (&"reload".into(), &"100 %".into(), &now["generation"])
    );
    let expected = serde_json::json!([{
        "horizon": "h", "from": "near", "to": "spare", "family": "ipv4", "addresses": "65536", "largest": "52.95.0.0/16", "ranges": 1
    }]);
    assert_eq!(change["moves"], expected);
    let source = &plain.json("/sources")["sources"][0];
    assert_eq!(
        (&source["source"], &source["entries"], &source["moved_addresses"]),
        (&"office".into(), &1.into(), &"65536".into())
    );
    let mirrors = plain.json("/mirrors");
    let spare = mirrors["mirrors"].as_array().unwrap().iter().find(|mirror| mirror["mirror"] == "spare").unwrap();
    assert_eq!((&spare["share"], &spare["answers"]), (&1.0.into(), &0.into()));
    // A reload that moves no client leaves the last change.
    plain.server.signal("HUP");
    plain.server.wait_for("is served");
    assert_eq!(plain.json("/history")["last_change"], *change);
}

/// Waits until the history has this letter for a mirror now.
fn wait_for_letter(world: &World, letter: char) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (_, body) = world.admin(Method::GET, "/history", Some(TOKEN), "");
        let history: Value = serde_json::from_str(&body).unwrap();
        let letters = history["mirrors"]["near"].as_str().unwrap_or_default().to_string();
        if letters.ends_with(letter) {
            return history;
        }
        assert!(Instant::now() < deadline, "{letters}");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

#[test]
fn the_history_outlives_a_restart() {
    let config = CONFIG.replace("token-file = ", "state = \"history.json\"\ntoken-file = ");
    let mut world = World::start_with(&config);
    world.ok(&["mirror", "drain", "near", "--reason", "a test"]);
    let before = wait_for_letter(&world, 'o');
    assert_eq!((&before["step_seconds"], &before["steps"]), (&900.into(), &96.into()));
    assert_eq!(before["answers"].as_array().unwrap().len(), 96);
    let mut server = world.server.take().unwrap();
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    assert!(world.read("history.json").starts_with("pharos state history 1\n"), "{}", world.read("history.json"));
    world.ok(&["check"]);
    world.start_again();
    world.ok(&["mirror", "auto", "near"]);
    // The override is no more, and its step remembers it.
    let (_, body) = world.admin(Method::GET, "/history", Some(TOKEN), "");
    let history: Value = serde_json::from_str(&body).unwrap();
    assert!(history["mirrors"]["near"].as_str().unwrap().contains('o'), "{history}");
    // A damaged file costs the history alone.
    drop(world.server.take());
    world.write("history.json", "pharos state history 1\n{");
    world.start_again();
    let (status, _) = world.admin(Method::GET, "/history", Some(TOKEN), "");
    assert_eq!(status, StatusCode::OK);
}

/// A response to a request with this `Authorization`.
fn authorized(world: &World, method: &str, path: &str, credentials: &str) -> (u16, String) {
    let at = world.server().listener("health and metrics", Ipv4Addr::LOCALHOST.into());
    let mut stream = TcpStream::connect(at).unwrap();
    let credentials = if credentials.is_empty() { String::new() } else { format!("Authorization: {credentials}\r\n") };
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{credentials}Content-Length: 0\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    (response.split(' ').nth(1).unwrap().parse().unwrap(), response.to_lowercase())
}

#[test]
fn the_plain_table_alone_takes_the_token_as_the_password_of_a_browser() {
    let world = World::start();
    let password =
        |token: &str| format!("Basic {}", data_encoding::BASE64.encode(format!("anyone:{token}").as_bytes()));
    let ask = |method: &str, path: &str, credentials: &str| authorized(&world, method, path, credentials);
    let (status, response) = ask("GET", "/mirrors?as=html", "");
    assert!(status == 401 && response.contains("www-authenticate: basic realm="), "a browser asks: {response}");
    let (status, response) = ask("GET", "/mirrors?as=html", &password(TOKEN));
    assert!(status == 200 && response.contains("<td>near"), "{response}");
    let (status, response) = ask("GET", "/mirrors?as=html", &password("wrong"));
    assert!(status == 401 && response.contains("www-authenticate: basic realm="), "it asks again: {response}");
    // A browser sends a password by itself, also where a foreign page leads it.
    for (method, path) in [
        ("GET", "/mirrors"),
        ("GET", "/status"),
        ("POST", "/mirrors?as=html"),
        ("DELETE", "/mirrors/near/override"),
        ("POST", "/reload"),
    ] {
        let (status, response) = ask(method, path, &password(TOKEN));
        assert!(status == 401 && response.contains("www-authenticate: bearer realm="), "{method} {path}: {response}");
    }
    assert_eq!(ask("GET", "/mirrors?as=html", &format!("Bearer {TOKEN}")).0, 200);
}

#[test]
fn hostile_texts_are_texts_in_the_table() {
    let config =
        CONFIG.replace("addresses = [\"192.0.2.20\"]", "addresses = [\"192.0.2.20\"]\ncontact = \"<b>'x'&</b>\"");
    let world = World::start_with(&config);
    world.ok(&["mirror", "drain", "near", "--reason", "</td><script>alert(\"1\")</script>"]);
    let (status, page) = world.admin(Method::GET, "/mirrors?as=html", Some(TOKEN), "");
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("&lt;/td&gt;&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;"), "{page}");
    assert!(page.contains("&lt;b&gt;&#39;x&#39;&amp;&lt;/b&gt;"), "{page}");
    assert!(!page.contains("<script") && !page.contains("<b>"), "{page}");
}

#[test]
fn the_admin_listener_serves_https_with_a_renewed_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let first = renew(folder.path(), "admin");
    let config = CONFIG.replace("token-file = ", "tls = { cert = \"admin.pem\", key = \"admin.key\" }\ntoken-file = ");
    for (name, text) in [("zone", ZONE), ("pharos.toml", &config), ("admin.token", TOKEN)] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let mut world = World { folder, server: None };
    world.start_again();
    let at = world.server().listener("health and metrics over HTTPS", Ipv4Addr::LOCALHOST.into());
    assert_eq!(certificate(at, &[&first]), first);
    let listeners = |world: &World| world.json(&["status"])["certificates"].clone();
    assert_eq!(listeners(&world)[0]["listener"], "admin");
    let second = renew(world.folder.path(), "admin");
    assert_eq!(world.reload(&[]).0, 0);
    assert_eq!(certificate(at, &[&first, &second]), second);
    // A broken one is refused, and the listener keeps its own.
    world.write("admin.pem", "-----BEGIN CERTIFICATE-----\n");
    assert_eq!(world.reload(&[]).0, 1);
    assert_eq!(certificate(at, &[&first, &second]), second);
    assert!(listeners(&world)[0]["refused"].is_object(), "{}", listeners(&world));
}
