//! The request log of the registry listener, by the real binary: its lines, its rotation under load, and outputs that fail.

#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected is to fail")]

mod common;

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use common::needs;
use common::server::{PATIENCE, Server};
use serde_json::Value;
use tempfile::TempDir;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The keys of every line, in their order.
const KEYS: [&str; 16] = [
    "time",
    "trace",
    "method",
    "kind",
    "repository",
    "digest",
    "tag",
    "path",
    "provider",
    "region",
    "client",
    "status",
    "outcome",
    "target",
    "mirror",
    "duration_us",
];

const WRITTEN: &str = "pharos_http_log_lines_total{outcome=\"written\"}";
const DROPPED: &str = "pharos_http_log_lines_total{outcome=\"dropped\"}";
const FAILED: &str = "pharos_http_log_lines_total{outcome=\"failed\"}";

/// A folder with a configuration whose `[registry]` has these further lines.
fn folder(log: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    let feed = r#"{"prefixes": [{"ip_prefix": "198.51.100.0/24", "region": "us-east-1", "service": "EC2"}], "ipv6_prefixes": []}"#;
    fs::write(folder.path().join("aws.json"), feed).unwrap();
    write_config(folder.path(), log);
    folder
}

fn write_config(folder: &Path, log: &str) {
    let config = format!(
        "[dns]\nlisten = []\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [registry]\nlisten = \"127.0.0.1:0\"\ncanonical = \"https://registry.example.com\"\nhorizon = \"blobs\"\n\
         trusted-proxies = \"127.0.0.0/8\"\n{log}\n\
         [networks]\naws = {{ feed = \"aws\", file = \"aws.json\" }}\n\
         [mirrors]\nnear = {{ url = \"https://near.example/{{digest}}\" }}\nfar = {{ url = \"https://far.example/{{digest}}\" }}\n\
         [horizons.blobs]\nrules = [{{ provider = \"aws\", mirrors = \"near\" }}]\ndefault = \"far\"\n"
    );
    fs::write(config_of(folder), config).unwrap();
}

fn config_of(folder: &Path) -> PathBuf {
    folder.join("pharos.toml")
}

/// A client with a connection that is kept.
struct Puller(BufReader<TcpStream>);

impl Puller {
    fn new(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Puller(BufReader::new(stream))
    }

    /// The status of a request with further headers.
    fn ask(&mut self, request: &str, headers: &str) -> u16 {
        let text = format!("{request} HTTP/1.1\r\nHost: registry.example\r\n{headers}\r\n");
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
        let (mut status, mut len) = (0, 0);
        for at in 0.. {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            let line = line.trim_end().to_ascii_lowercase();
            match line.strip_prefix("content-length: ") {
                _ if at == 0 => status = line[9..12].parse().unwrap(),
                Some(value) => len = value.parse().unwrap(),
                None if line.is_empty() => break,
                None => {}
            }
        }
        if !request.starts_with("HEAD") {
            self.0.read_exact(&mut vec![0; len]).unwrap();
        }
        status
    }
}

fn registry(server: &Server) -> SocketAddr {
    server.listener("registry over", HERE)
}

/// The lines of a text, each of which must be a whole one with all keys.
fn parsed(text: &str) -> Vec<Value> {
    assert!(
        text.is_empty() || text.ends_with('\n'),
        "the last line is torn: {:?}",
        &text[text.len().saturating_sub(99)..]
    );
    let line = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let keys: HashSet<&str> = value.as_object().unwrap().keys().map(|key| &**key).collect();
        assert_eq!(keys, HashSet::from(KEYS), "{line}");
        value
    };
    text.lines().map(line).collect()
}

/// Waits until the log has this number of lines.
fn lines_of(log: &Path, count: usize) -> Vec<Value> {
    let mut text = String::new();
    until("the lines", || {
        text = fs::read_to_string(log).unwrap_or_default();
        text.lines().count() >= count
    });
    let lines = parsed(&text);
    assert_eq!(lines.len(), count, "{text}");
    lines
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come in time");
        std::thread::yield_now();
    }
}

fn reload(server: &Server) {
    server.signal("HUP");
    server.wait_for("reloaded: ");
}

#[test]
fn a_line_says_the_decision_and_the_cloud_of_the_client() {
    let folder = folder("log = \"access.jsonl\"");
    let log = folder.path().join("access.jsonl");
    let server = Server::start(&config_of(folder.path()));
    let mut puller = Puller::new(registry(&server));
    let digest = format!("sha256:{}", "a".repeat(64));
    let east = "X-Forwarded-For: 198.51.100.77\r\n";
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("{east}traceparent: 00-{trace}-00f067aa0ba902b7-01\r\n");
    assert_eq!(puller.ask(&format!("GET /v2/pause/blobs/{digest}"), &parent), 307);
    assert_eq!(puller.ask("HEAD /v2/pause/manifests/3.9", &format!("X-Cloud-Trace-Context: {trace}/7;o=1\r\n")), 307);
    assert_eq!(puller.ask("GET /%22%0a/x", ""), 404);
    assert_eq!(puller.ask(&format!("GET /v2/pause/blobs/{digest}"), "X-Forwarded-For: 9.9.9.9\r\n"), 307);
    let lines = lines_of(&log, 4);
    let of = |line: &Value, keys: &[&str]| -> String {
        keys.iter().map(|key| line[*key].to_string()).collect::<Vec<_>>().join(" ").replace('"', "")
    };
    let shown = [
        "method",
        "kind",
        "repository",
        "tag",
        "provider",
        "region",
        "client",
        "status",
        "outcome",
        "target",
        "mirror",
    ];
    let expected = [
        "GET blob pause null aws us-east-1 null 307 blob-mirror mirror near",
        "HEAD manifest pause 3.9 null null null 307 manifest canonical null",
        "GET path null null null null null 404 outside-api none null",
        "GET blob pause null null null null 307 blob-mirror mirror far",
    ];
    assert_eq!(lines.iter().map(|line| of(line, &shown)).collect::<Vec<_>>(), expected);
    assert_eq!(lines[0]["digest"], digest);
    assert_eq!((&lines[0]["trace"], &lines[1]["trace"]), (&trace.into(), &trace.into()));
    assert!(lines[2]["trace"].as_str().unwrap().len() == 32 && lines[2]["trace"] != lines[3]["trace"]);
    assert_eq!((&lines[0]["path"], &lines[2]["path"]), (&Value::Null, &"/\"\n/x".into()));
    assert!(lines[0]["time"].as_str().unwrap().ends_with('Z') && lines[0]["duration_us"].is_u64(), "{}", lines[0]);
    let text = fs::read_to_string(&log).unwrap();
    assert!(!text.contains("198.51") && !text.contains("127.0.0.1"), "no address by default: {text}");

    let clients = "pharos_http_clients_total{provider=\"aws\",region=\"us-east-1\",target=\"mirror\"}";
    assert_eq!([server.metric(clients), server.metric(WRITTEN)], [1, 4]);

    // A reload turns addresses on, and the log off.
    for (clients, shown) in [("24/48", "198.51.100.0/24"), ("whole", "198.51.100.77")] {
        write_config(
            folder.path(),
            &format!("log = \"{clients}.jsonl\"\nlog-clients = \"{clients}\"").replace("24/48.", "net."),
        );
        reload(&server);
        puller.ask("GET /v2/", east);
        let name = if clients == "whole" { "whole.jsonl" } else { "net.jsonl" };
        assert_eq!(lines_of(&folder.path().join(name), 1)[0]["client"], shown);
    }
    write_config(folder.path(), "");
    reload(&server);
    puller.ask("GET /v2/", east);
    assert_eq!([server.metric(WRITTEN), server.metric(DROPPED)], [6, 0]);
    // The count of requests does not depend on the log.
    assert_eq!(server.metric("pharos_http_clients_total{provider=\"aws\",region=\"us-east-1\",target=\"none\"}"), 3);
}

#[test]
fn a_sample_has_about_its_share() {
    let folder = folder("log = \"access.jsonl\"\nlog-sample = \"20%\"");
    let server = Server::start(&config_of(folder.path()));
    let mut puller = Puller::new(registry(&server));
    (0..1000).for_each(|_| assert_eq!(puller.ask("GET /v2/", ""), 200));
    let mut server = server;
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    // 200 are expected, with a standard deviation of 13.
    let count = parsed(&fs::read_to_string(folder.path().join("access.jsonl")).unwrap()).len();
    assert!((120..280).contains(&count), "{count}");
}

#[test]
fn no_line_is_torn_or_lost_by_rotations_under_load() {
    const THREADS: u64 = 4;
    const EACH: u64 = 4000;
    let folder = folder("log = \"access.jsonl\"\nlog-size = 1\nlog-keep = 100");
    let log = folder.path().join("access.jsonl");
    let mut server = Server::start(&config_of(folder.path()));
    let at = registry(&server);
    let mut renamed = 0;
    std::thread::scope(|scope| {
        let pull = |thread: u64| {
            let mut puller = Puller::new(at);
            for number in 1..=EACH {
                let trace = format!("traceparent: 00-{:032x}-00f067aa0ba902b7-01\r\n", thread << 32 | number);
                assert_eq!(puller.ask("GET /v2/some/repository/manifests/v1", &trace), 307);
            }
        };
        let pullers: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || pull(thread))).collect();
        // As logrotate does.
        while !pullers.iter().all(|puller| puller.is_finished()) {
            if fs::rename(&log, format!("{}.old{renamed}", log.display())).is_ok() {
                renamed += 1;
                server.signal("USR1");
            }
        }
    });
    let dropped = server.metric(DROPPED);
    assert_eq!(server.metric(FAILED), 0);
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    let files = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let texts: Vec<(PathBuf, String)> = files
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("access.jsonl"))
        .map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
        .collect();
    let traces: Vec<String> =
        texts.iter().flat_map(|(_, text)| parsed(text)).map(|line| line["trace"].to_string()).collect();
    let distinct: HashSet<&String> = traces.iter().collect();
    assert_eq!((distinct.len(), traces.len() as u64 + dropped), (traces.len(), THREADS * EACH));
    assert!(renamed > 3, "{renamed}");
}

#[test]
fn a_log_is_rotated_by_its_size() {
    let folder = folder("log = \"access.jsonl\"\nlog-size = 1\nlog-keep = 2");
    let mut server = Server::start(&config_of(folder.path()));
    let mut puller = Puller::new(registry(&server));
    let mut asked = 0;
    let numbered = |number: u32| folder.path().join(format!("access.jsonl.{number}"));
    while !numbered(2).exists() {
        assert_eq!(puller.ask("GET /v2/some/repository/manifests/v1", ""), 307);
        asked += 1;
        assert!(asked < 20_000);
    }
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    let of = |path: PathBuf| fs::read_to_string(path).unwrap();
    let texts = [of(numbered(2)), of(numbered(1)), of(folder.path().join("access.jsonl"))];
    assert!(texts.iter().all(|text| text.len() <= 1 << 20) && texts[0].len() > 1000 << 10);
    assert_eq!(texts.iter().map(|text| parsed(text).len()).sum::<usize>(), asked);
}

#[test]
fn a_full_device_is_said_once_and_each_line_is_counted() {
    let folder = folder("log = \"-\"");
    let mut server = Server::start_with_output(&config_of(folder.path()), Path::new("/dev/full"));
    let mut puller = Puller::new(registry(&server));
    (0..100).for_each(|_| assert_eq!(puller.ask("GET /v2/", ""), 200));
    until("the count", || server.metric(FAILED) == 100);
    assert_eq!([server.metric(WRITTEN), server.metric(DROPPED)], [0, 0]);
    let mut lines = server.lines();
    server.signal("TERM");
    lines.extend(server.wait_for("stopped"));
    server.wait();
    let said: Vec<_> = lines.iter().filter(|line| line.contains("request log")).collect();
    assert!(said.len() == 1 && said[0].contains("no space left on device"), "{said:?}");
}

/// Standard output is a pipe whose reader stands still, and then reads on.
#[test]
fn a_reader_that_stands_still_delays_no_request() {
    const ASKED: usize = 12_000;
    let folder = folder("log = \"-\"");
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader: File = OpenOptions::new().read(true).write(true).custom_flags(libc::O_CLOEXEC).open(&pipe).unwrap();
    let mut server = Server::start_with_output(&config_of(folder.path()), &pipe);
    let mut puller = Puller::new(registry(&server));
    (0..ASKED).for_each(|_| assert_eq!(puller.ask("GET /v2/some/repository/manifests/v1", ""), 307));
    assert!(server.metric(DROPPED) > 1000);
    let read = std::thread::spawn(move || {
        let mut text = String::new();
        let mut reader = BufReader::new(reader);
        // A line of the test ends the text, because the reader itself could write.
        while !text.ends_with("end\n") {
            reader.read_line(&mut text).unwrap();
        }
        text
    });
    until("the rest", || server.metric(WRITTEN) + server.metric(DROPPED) == ASKED as u64);
    let written = server.metric(WRITTEN);
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    OpenOptions::new().write(true).open(&pipe).unwrap().write_all(b"end\n").unwrap();
    let text = read.join().unwrap();
    assert_eq!(parsed(text.strip_suffix("end\n").unwrap()).len() as u64, written);
}

#[test]
fn a_full_disk_is_said_once_and_got_over() {
    if needs::program("unshare", "util-linux").is_none() || needs::program("nsenter", "util-linux").is_none() {
        return;
    }
    let tried = Command::new("unshare").args(["-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).output().unwrap();
    if !tried.status.success() {
        needs::skip("file systems of its own take root");
        return;
    }
    let folder = folder("log = \"logs/access.jsonl\"");
    fs::create_dir(folder.path().join("logs")).unwrap();
    let here = folder.path().display();
    let mount = format!("mount -t tmpfs -o size=64k tmpfs {here}/logs");
    let server = Server::start_with_mounts(&config_of(folder.path()), &mount);
    let pid = server.id().to_string();
    let inside = |script: &str| {
        let script = format!("cd {here}/logs; {script}");
        let output = Command::new("nsenter").args(["-t", &pid, "-m", "sh", "-c", &script]).output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), output.status.success())
    };
    let mut puller = Puller::new(registry(&server));
    let mut ask = |count: u64| (0..count).for_each(|_| assert_eq!(puller.ask("GET /v2/", ""), 200));
    ask(10);
    until("the first lines", || server.metric(WRITTEN) == 10);
    inside("dd if=/dev/zero of=fill bs=4096");
    ask(500);
    until("the count", || server.metric(WRITTEN) + server.metric(FAILED) == 510);
    let failed = server.metric(FAILED);
    assert!(failed > 100, "{failed}");
    server.wait_for("failed to write the request log");
    let lines = server.lines();
    assert!(!lines.iter().any(|line| line.contains("request log")), "{lines:?}");
    assert!(inside("rm fill").1);
    ask(5);
    server.wait_for("is written again");
    until("the count", || server.metric(WRITTEN) + server.metric(FAILED) == 515);
    let (text, _) = inside("cat access.jsonl");
    assert_eq!(parsed(&text).len() as u64, server.metric(WRITTEN));
}

#[test]
fn check_refuses_a_file_that_is_no_request_log() {
    let folder = folder("log = \"access.jsonl\"");
    let log = folder.path().join("access.jsonl");
    let check = || {
        let output = Command::new(env!("CARGO_BIN_EXE_pharos"))
            .arg("check")
            .arg("--config")
            .arg(config_of(folder.path()))
            .output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    assert!(!check().contains("error["), "{}", check());
    fs::write(&log, "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    let said = check();
    for part in ["error[log-file]", "pharos.toml:10:7", "is no request log", "help: name a file of its own"] {
        assert!(said.contains(part), "{part} is not in\n{said}");
    }
    fs::remove_file(&log).unwrap();
    fs::create_dir(&log).unwrap();
    assert!(check().contains("error[log-file]"), "{}", check());
    write_config(folder.path(), "log = \"nowhere/access.jsonl\"");
    assert!(check().contains("error[state-folder]"), "{}", check());
}
