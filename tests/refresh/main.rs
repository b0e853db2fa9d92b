//! Sources that are fetched by URL, through the real binary: good publishers and bad ones.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in what its cases share")]

#[path = "../common/mod.rs"]
mod common;
mod guarded;
mod origin;
mod published;
mod recovered;

use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use common::query::Builder;
use common::server::{PATIENCE, Server, ask_udp};
use flate2::Compression;
use flate2::write::GzEncoder;
use origin::{Behaviour, Origin, always, conditional, content, response};
use pharos::base::rr::Rtype;
use serde_json::Value;
use tempfile::TempDir;

const ZONE: &str = "@ 60 SOA ns.other.example. hostmaster.other.example. 1 7200 3600 1209600 300\n\
                    @ 60 NS ns1.other.example.\n@ 60 NS ns2.other.example.\n";

/// A configuration with one source. Clients of AWS get 192.0.2.1, others 192.0.2.2.
fn config(networks: &str, more: &str) -> String {
    format!(
        r#"
{more}
[dns]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[control]
socket = "control.sock"
state = "orders.json"
[[zone]]
name = "blob.example"
file = "zone"
steer = [{{ owner = "@", horizon = "all" }}]
[networks]
{networks}
[mirrors.aws]
addresses = "192.0.2.1"
[mirrors.far]
addresses = "192.0.2.2"
[horizons.all]
rules = [{{ provider = "aws", mirrors = ["aws"] }}]
default = ["far"]
"#
    )
}

/// The AWS source, fetched from a URL, and keys for it.
fn aws(url: &str, more: &str) -> String {
    format!("aws = {{ feed = \"aws\", url = \"{url}\", file = \"state/aws.json\"{more} }}")
}

/// A feed of AWS with these prefixes.
fn feed(prefixes: &[&str]) -> String {
    let entry = |prefix: &&str| {
        format!(
            r#"{{"ip_prefix": "{prefix}", "region": "us-east-1", "service": "AMAZON", "network_border_group": "us-east-1"}}"#
        )
    };
    let entries: Vec<String> = prefixes.iter().map(entry).collect();
    format!(
        "{{\"syncToken\": \"1\", \"createDate\": \"2026-11-28-00-00-00\", \"prefixes\": [{}], \"ipv6_prefixes\": []}}\n",
        entries.join(",\n")
    )
}

/// A feed whose clients are in 3.0.0.0/9; a few more prefixes make another one of it that moves hardly any client.
fn feed_with(more: &[&str]) -> String {
    feed(&[&["3.0.0.0/9"], more].concat())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A running server with its files.
struct World {
    folder: TempDir,
    server: Option<Server>,
}

impl World {
    /// The files, and no server yet.
    fn prepared(config: &str) -> World {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("state")).unwrap();
        fs::write(folder.path().join("zone"), ZONE).unwrap();
        fs::write(folder.path().join("pharos.toml"), config).unwrap();
        World { folder, server: None }
    }

    fn start(config: &str) -> World {
        let mut world = World::prepared(config);
        world.run();
        world
    }

    fn run(&mut self) {
        self.server = None;
        self.server = Some(Server::start(&self.path("pharos.toml")));
    }

    fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Runs a command on this configuration.
    fn command(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pharos"));
        command.arg("--config").arg(self.path("pharos.toml")).args(arguments).output().unwrap()
    }

    /// The exit code of `pharos refresh --json`, and the outcome of the source with its reason.
    fn refresh(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = self.command(&[&["refresh", "--json"], arguments].concat());
        let code = output.status.code().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let view: Value = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr)));
        let word = |key: &str| view["sources"][0][key].as_str().unwrap_or_default().to_string();
        (code, word("outcome"), word("reason"))
    }

    /// The first line of `pharos status` about the source, by JSON.
    fn status(&self) -> Value {
        let output = self.command(&["status", "--json"]);
        let view: Value = serde_json::from_slice(&output.stdout).unwrap();
        view["networks"][0].clone()
    }

    /// The last number of the address that a client gets.
    fn answer(&self, client: &str) -> u8 {
        let query = Builder::new("blob.example.", Rtype::A).ecs(client.parse().unwrap()).finish();
        let from = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let reply = ask_udp(&query, from, self.server().address(from)).unwrap().unwrap();
        // The OPT record with the option of the subnet stands behind the address.
        let at = reply.windows(3).rposition(|bytes| bytes == [192, 0, 2]).unwrap();
        reply[at + 3]
    }
}

/// Queries in the background, each of which must be answered.
struct Load {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<u64>,
    asked: Arc<AtomicU64>,
}

impl Load {
    fn on(world: &World) -> Load {
        let from = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let (server, stop, asked) =
            (world.server().address(from), Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (ends, count) = (stop.clone(), asked.clone());
        let thread = std::thread::spawn(move || {
            let query = Builder::new("blob.example.", Rtype::A).ecs("3.64.0.0/16".parse().unwrap()).finish();
            let socket = UdpSocket::bind((from, 0)).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket.connect(server).unwrap();
            let (mut lost, mut room) = (0, [0; 4096]);
            while !ends.load(Ordering::Relaxed) {
                socket.send(&query).unwrap();
                lost += u64::from(socket.recv(&mut room).is_err());
                count.fetch_add(1, Ordering::Relaxed);
            }
            lost
        });
        Load { stop, thread, asked }
    }

    /// The number of queries, and of those that were lost.
    fn end(self) -> (u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        let lost = self.thread.join().unwrap();
        (self.asked.load(Ordering::Relaxed), lost)
    }
}

/// The most memory that a process ever had, in KiB.
fn peak_kib(server: &Server) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Sends a header, then the body by a function of the stream.
fn streamed(
    header: &'static str,
    body: impl Fn(&mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
) -> Behaviour {
    Box::new(move |_, stream| {
        stream.write_all(header.as_bytes())?;
        body(stream)
    })
}

const MIB: usize = 1 << 20;

/// A publisher's fault: its name, its behaviour, the outcome, and a part of the reason.
type Fault = (&'static str, Behaviour, &'static str, &'static str);

fn faults(other: &Origin) -> Vec<Fault> {
    let redirect = |target: &str| always(response("302 Found", &format!("Location: {target}\r\n"), b""));
    let second = feed_with(&["52.0.0.0/30"]);
    let half = second[..second.len() / 2].to_string();
    let len = second.len();
    vec![
        ("500", always(response("500 Internal Server Error", "Retry-After: 1\r\n", b"")), "failed", "answered 500"),
        ("404", always(response("404 Not Found", "", b"gone")), "failed", "answered 404"),
        ("304 to no condition", always(response("304 Not Modified", "", b"")), "failed", "without conditions"),
        ("HTML with 200", content("<html><body>Sign in</body></html>\n"), "refused", "HTML"),
        ("empty", content(""), "refused", "empty"),
        ("another feed", content("{\"prefixes\": [{\"ipv4Prefix\": \"3.0.0.0/9\"}]}"), "refused", ""),
        ("cut, whole by its length", content(&half), "refused", ""),
        (
            "cut in the middle",
            Box::new(move |_, stream| write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n{half}")),
            "failed",
            "broke off",
        ),
        (
            "cut between chunks",
            streamed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", |stream| {
                stream.write_all(b"5\r\n{\"pre\r\n")
            }),
            "failed",
            "broke off",
        ),
        (
            "a byte a second",
            streamed("HTTP/1.1 200 OK\r\n\r\n", |stream| {
                for byte in b"{\"prefixes\": [                                  ]}" {
                    stream.write_all(&[*byte])?;
                    std::thread::sleep(Duration::from_millis(200));
                }
                Ok(())
            }),
            "failed",
            "not done after 4 s",
        ),
        (
            "endless",
            streamed("HTTP/1.1 200 OK\r\n\r\n", |stream| {
                let piece = vec![b' '; MIB];
                loop {
                    stream.write_all(&piece)?;
                }
            }),
            "failed",
            "more than 64 MiB",
        ),
        (
            "1 GiB by its length",
            streamed("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n", |_| Ok(())),
            "failed",
            "more than 64 MiB",
        ),
        (
            "1 GiB in gzip",
            {
                // Gzip members may follow each other.
                let bomb = gzip(&vec![b' '; 64 * MIB]).repeat(16);
                always(response("200 OK", "Content-Encoding: gzip\r\n", &bomb))
            },
            "failed",
            "more than 64 MiB",
        ),
        ("brotli", always(response("200 OK", "Content-Encoding: br\r\n", b"x")), "failed", "\"br\""),
        ("cut gzip", always(response("200 OK", "", &gzip(second.as_bytes())[..60])), "failed", "cannot be unpacked"),
        ("redirect to itself", redirect("/aws.json"), "failed", "more than 5 times"),
        ("redirect without a target", always(response("302 Found", "", b"")), "failed", "without a target"),
        ("redirect to http", redirect("http://feeds.example/aws.json"), "failed", "only https"),
        ("redirect to a file", redirect("file:///etc/passwd"), "failed", "only https"),
        ("redirect to a dead host", redirect("https://127.0.0.1:1/aws.json"), "failed", "connection refused"),
        ("redirect to a fault", redirect(&other.url("/gone")), "failed", "answered 403"),
    ]
}

#[test]
fn no_fault_of_a_publisher_costs_an_answer_or_the_last_good_copy() {
    let first = feed_with(&[]);
    let origin = Origin::new(content(&first));
    let other = Origin::new(always(response("403 Forbidden", "", b"")));
    let keys = aws(&origin.url("/aws.json"), ", every = \"30d\", account = \"me\", key-file = \"key\"");
    let mut world = World::prepared(&config(&keys, "refresh = { timeout = \"4s\" }"));
    fs::write(world.path("key"), "secret\n").unwrap();
    Command::new("chmod").arg("600").arg(world.path("key")).status().unwrap();
    world.run();
    world.server().wait_for("network aws: its new content is served");
    assert_eq!((world.answer("3.64.0.0/16"), world.answer("198.51.100.0/24")), (1, 2));
    assert_eq!(world.read("state/aws.json"), first);
    let (load, before) = (Load::on(&world), peak_kib(world.server()));
    let all = faults(&other);
    let count = all.len();
    for (name, behaviour, outcome, reason) in all {
        origin.becomes(behaviour);
        let (code, found, why) = world.refresh(&["aws"]);
        assert!((code, &*found) == (1, outcome) && why.contains(reason), "{name}: {code} {found}: {why}");
        assert_eq!((world.read("state/aws.json"), world.answer("3.64.0.0/16")), (first.clone(), 1), "{name}");
        let status = world.status();
        assert_eq!(status["fetch"]["trouble"], outcome, "{name}: {status}");
        assert!(!world.path("state/.aws.json.download").exists(), "{name}");
    }
    // The key goes to the publisher, and not to another host or port.
    assert!(other.requests().iter().all(|header| !header.to_ascii_lowercase().contains("authorization")));
    assert!(!other.requests().is_empty());
    assert!(origin.requests()[0].to_ascii_lowercase().contains("authorization: basic bwu6c2vjcmv0\r\n"));
    let (asked, lost) = load.end();
    let growth = peak_kib(world.server()).saturating_sub(before) / 1024;
    assert!(lost == 0 && asked > 1000 && growth < 100, "{lost} of {asked} lost, {growth} MiB more");
    let metrics = world.server().metrics();
    let metric = |line: &str| metrics.lines().find_map(|found| found.strip_prefix(line)?.trim().parse::<u64>().ok());
    let of = |outcome: &str| metric(&format!("pharos_source_fetches_total{{source=\"aws\",outcome=\"{outcome}\"}}"));
    assert_eq!(of("taken"), Some(1), "{metrics}");
    assert_eq!(of("failed").unwrap() + of("refused").unwrap(), count as u64, "{metrics}");
    assert_eq!(metric("pharos_source_refused_total{source=\"aws\"}"), of("refused"), "{metrics}");
    // Mended.
    let second = feed_with(&["52.0.0.0/30"]);
    origin.becomes(content(&second));
    assert_eq!(world.refresh(&[]).1, "taken");
    world.server().wait_for("network aws is fetched again");
    assert_eq!((world.read("state/aws.json"), world.read("state/aws.json.previous")), (second, first));
    assert_eq!((world.answer("52.0.0.0/32"), &world.status()["fetch"]["trouble"]), (1, &Value::Null));
}

#[test]
fn an_unchanged_content_costs_one_request_and_a_new_one_is_served() {
    let origin = Origin::new(conditional(&feed_with(&[]), "ETag", "\"one\""));
    let world = World::start(&config(&aws(&origin.url("/aws.json"), ""), ""));
    world.server().wait_for("its new content is served");
    let refresh = || world.refresh(&["aws"]);
    assert_eq!(refresh(), (0, "unchanged".into(), String::new()));
    let request = origin.requests().pop().unwrap().to_ascii_lowercase();
    assert!(request.contains("if-none-match: \"one\"") && request.contains("accept-encoding: gzip"), "{request}");
    let date = "Sat, 28 Nov 2026 00:00:00 GMT";
    origin.becomes(conditional(&feed_with(&["52.0.0.0/31"]), "Last-Modified", date));
    assert_eq!((refresh().1, refresh().1), ("taken".into(), "unchanged".into()));
    // The same bytes without validators.
    origin.becomes(content(&feed_with(&["52.0.0.0/31"])));
    assert_eq!((refresh().1, refresh().1), ("unchanged".into(), "unchanged".into()));
    let wrong_type = response("200 OK", "Content-Type: text/html\r\n", feed_with(&["52.0.0.0/30"]).as_bytes());
    origin.becomes(always(wrong_type));
    assert_eq!(refresh().1, "taken");
    let packed = gzip(feed_with(&["52.0.0.0/29"]).as_bytes());
    for (at, header) in ["Content-Encoding: gzip\r\n", ""].into_iter().enumerate() {
        origin.becomes(always(response("200 OK", header, &packed)));
        assert_eq!(refresh().1, ["taken", "unchanged"][at], "{header}");
    }
    let moved = Origin::new(content(&feed_with(&["52.0.0.0/28"])));
    origin.becomes(always(response("301 Moved Permanently", &format!("Location: {}\r\n", moved.url("/b")), b"")));
    assert_eq!(refresh().1, "taken");
    assert_eq!(world.answer("52.0.0.15/32"), 1);
    // A dry one changes nothing.
    origin.becomes(content(&feed_with(&["52.0.0.0/27"])));
    let before = world.read("state/aws.json");
    assert_eq!(world.refresh(&["aws", "--dry-run"]), (0, "taken".into(), String::new()));
    assert_eq!((world.read("state/aws.json"), world.answer("52.0.0.31/32")), (before, 2));
}

#[test]
fn a_start_uses_the_copy_and_never_waits_for_the_network() {
    let origin = Origin::new(content(&feed_with(&[])));
    let mut world = World::start(&config(&aws(&origin.url("/aws.json"), ""), ""));
    world.server().wait_for("its new content is served");
    // A publisher that accepts connections and never answers.
    origin.becomes(Box::new(|_, _| {
        std::thread::sleep(PATIENCE);
        Ok(())
    }));
    world.run();
    assert_eq!(world.answer("3.64.0.0/16"), 1);
    let status = world.status();
    assert!(status["fetch"]["checked"].is_string() && status["age_seconds"].as_u64().unwrap() < 60, "{status}");
    // Without a copy, the default decides until the first fetch.
    fs::remove_file(world.path("state/aws.json")).unwrap();
    let (checked, code) = (world.command(&["check"]), 0);
    let text = String::from_utf8(checked.stdout).unwrap() + &String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.code() == Some(code) && text.contains("warning[not-fetched]"), "{text}");
    assert!(!text.contains("unknown-provider"), "{text}");
    world.run();
    assert_eq!(world.answer("3.64.0.0/16"), 2);
}

#[test]
fn a_source_is_fetched_at_its_interval_without_an_operator() {
    let origin = Origin::new(content(&feed_with(&[])));
    let world =
        World::start(&config(&aws(&origin.url("/aws.json"), ", every = \"1s\""), "reload = { watch = \"1s\" }"));
    world.server().wait_for("its new content is served");
    origin.becomes(content(&feed_with(&["52.0.0.0/30"])));
    let said = world.server().wait_for("its new content is served");
    assert_eq!(world.answer("52.0.0.1/32"), 1);
    origin.becomes(always(response("503 Service Unavailable", "", b"")));
    let said: Vec<String> = [said, world.server().wait_for("was not fetched: the server answered 503")].concat();
    // The server's own write is no change of the configuration.
    let later = world.server().wait_for_nothing_in(Duration::from_secs(3));
    assert!(later.is_empty() && !said.iter().any(|line| line.contains("reloading")), "{said:#?} {later:#?}");
    assert!(origin.requests().len() >= 2, "it goes on asking");
}

/// The text of a command's output.
fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn a_file_of_an_operator_is_neither_fetched_over_nor_lost() {
    let origin = Origin::new(content(&feed_with(&["52.0.0.0/30"])));
    let keys = |more: &str| config(&aws(&origin.url("/aws.json"), more), "");
    let mut world = World::prepared(&keys(""));
    fs::write(world.path("state/aws.json"), feed_with(&[])).unwrap();
    let checked = world.command(&["check"]);
    assert!(checked.status.code() == Some(1) && said(&checked).contains("error[foreign-copy]"), "{}", said(&checked));
    // The server serves it, because the alternative is to serve without it.
    world.run();
    let (code, outcome, why) = world.refresh(&[]);
    assert!((code, &*outcome) == (1, "failed") && why.contains("left as it is"), "{outcome}: {why}");
    assert_eq!((world.read("state/aws.json"), world.answer("3.64.0.0/16")), (feed_with(&[]), 1));
    // Pinned, it is used as it is.
    fs::write(world.path("pharos.toml"), keys(", pin = true")).unwrap();
    assert_eq!(world.command(&["check"]).status.code(), Some(0));
    assert_eq!(world.command(&["reload"]).status.code(), Some(0));
    let refreshed = world.command(&["refresh", "aws"]);
    assert!(refreshed.status.code() != Some(0) && said(&refreshed).contains("`pin = true`"), "{}", said(&refreshed));
    assert_eq!(world.status()["fetch"]["pinned"], true);
    // Unpinned, and moved away: fetched.
    fs::remove_file(world.path("state/aws.json")).unwrap();
    fs::write(world.path("pharos.toml"), keys("")).unwrap();
    assert_eq!(world.command(&["reload"]).status.code(), Some(1), "the served prefixes stay meanwhile");
    world.server().wait_for("its new content is served");
    assert_eq!(world.answer("52.0.0.1/32"), 1);
}
