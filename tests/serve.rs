//! The real binary: started on ports that the system chooses, asked, reloaded, stopped.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in what its cases share")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RData, RecordType};
use tempfile::TempDir;

const CONFIG: &str = r#"
[dns]
listen = ["127.0.0.1:0", "[::1]:0"]

[[zone]]
name  = "blob.example"
file  = "blob.zone"
steer = [{ owner = "@", horizon = "blobs", ttl = 60 }]

[networks]
sites = { list = "sites.txt" }

[mirrors.near]
addresses = ["192.0.2.10"]

[mirrors.far]
addresses = ["192.0.2.20"]

[horizons.blobs]
rules = [{ network = "sites", mirrors = ["near"] }]
default = ["far"]
"#;

/// A deployment of redirects alone: no zone, and no DNS listener.
const REDIRECTS: &str = r#"
[registry]
listen    = "127.0.0.1:0"
canonical = "https://registry.example"
horizon   = "buckets"

[dns]
listen = []

[control]
socket = "control.sock"
state  = "overrides.json"

[networks]
sites = { list = "sites.txt" }

[mirrors]
near = { url = "https://near.s3.example/containers/images/{digest}" }
far  = { url = "https://cdn.example/{name}/{digest}" }

[horizons.buckets]
rules   = [{ network = "sites", label = "office", canonical = true }, { network = "sites", mirrors = ["near"] }]
default = ["far"]
"#;

const ZONE: &str = "\
$ORIGIN blob.example.
$TTL 3600
@ SOA ns.example. hostmaster.example. 1 7200 3600 1209600 300
@ NS ns.example.
";

/// A server in a folder of its own.
struct Pharos {
    folder: TempDir,
    child: Child,
    log: BufReader<ChildStderr>,
    listening: Vec<SocketAddr>,
    /// The commands that it proposes.
    tries: Vec<String>,
}

impl Pharos {
    fn start(config: &str) -> Self {
        Pharos::start_until(config, "+subnet")
    }

    /// Starts a server whose last line of the start has this text.
    fn start_until(config: &str, last: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("pharos.toml"), config).unwrap();
        fs::write(folder.path().join("blob.zone"), ZONE).unwrap();
        fs::write(folder.path().join("sites.txt"), "198.51.100.0/24 office\n127.0.0.0/8\n::1/128\n").unwrap();
        let mut child = command(folder.path()).stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut pharos = Pharos { folder, child, log, listening: Vec::new(), tries: Vec::new() };
        loop {
            let line = pharos.log_line();
            if let Some((_, rest)) = line.split_once("listening on ") {
                pharos.listening.push(rest.split(' ').next().unwrap().parse().unwrap());
            }
            if let Some((_, command)) = line.split_once("try: ") {
                pharos.tries.push(command.to_string());
            }
            if line.contains(last) {
                return pharos;
            }
        }
    }

    fn log_line(&mut self) -> String {
        let mut line = String::new();
        assert_ne!(self.log.read_line(&mut line).unwrap(), 0, "the server ended");
        line.trim_end().to_string()
    }

    fn wait_for(&mut self, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.log_line();
            let found = line.contains(text);
            lines.push(line);
            if found {
                return lines;
            }
        }
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.folder.path().join(file), text).unwrap();
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("sh").args(["-c", &format!("kill -{name} {id}")]).status().unwrap().success());
    }

    /// The address and TTL that a client on this machine gets.
    fn ask(&self, server: SocketAddr) -> (String, u32) {
        let local = if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        let socket = UdpSocket::bind(local).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        socket.send_to(&query(), server).unwrap();
        let mut room = [0; 1500];
        let (len, from) = socket.recv_from(&mut room).unwrap();
        assert_eq!(from, server);
        answer(&room[..len])
    }

    fn stop(mut self) {
        self.signal("TERM");
        self.wait_for("stopped");
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Pharos {
    fn drop(&mut self) {
        // It has ended already, unless a test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pharos"));
    command.current_dir(folder).env_remove("NOTIFY_SOCKET").stdin(Stdio::null());
    // Commands to try are for a terminal.
    command.env("PHAROS_LOG", "pharos::hint=info");
    command
}

fn query() -> Vec<u8> {
    let mut message = Message::query();
    message.add_query(Query::query(Name::from_ascii("blob.example.").unwrap(), RecordType::A));
    message.to_vec().unwrap()
}

fn answer(octets: &[u8]) -> (String, u32) {
    let message = Message::from_vec(octets).unwrap();
    let [record] = message.answers.as_slice() else { panic!("{message}") };
    let RData::A(address) = &record.data else { panic!("{record}") };
    (address.to_string(), record.ttl)
}

#[test]
fn it_answers_over_every_transport_and_stops_when_told() {
    let pharos = Pharos::start(CONFIG);
    assert_eq!(pharos.listening.len(), 2);
    for server in pharos.listening.clone() {
        assert_eq!(pharos.ask(server), ("192.0.2.10".to_string(), 60));
        let mut stream = TcpStream::connect(server).unwrap();
        let query = query();
        stream.write_all(&[&(query.len() as u16).to_be_bytes(), &query[..]].concat()).unwrap();
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut reply).unwrap();
        assert_eq!(answer(&reply), ("192.0.2.10".to_string(), 60));
    }
    pharos.stop();
}

#[test]
fn it_proposes_commands_that_fit_its_configuration() {
    let pharos = Pharos::start(CONFIG);
    let dig = format!("dig @127.0.0.1 -p {} blob.example A", pharos.listening[0].port());
    assert_eq!(pharos.tries, [dig.clone(), format!("{dig} +subnet=198.51.100.0/24")]);
    pharos.stop();
}

#[test]
fn a_reload_changes_what_is_served_and_a_bad_one_does_not() {
    let mut pharos = Pharos::start(CONFIG);
    let server = pharos.listening[0];

    pharos.write("pharos.toml", &CONFIG.replace("ttl = 60", "ttl = 30").replace("[\"near\"]", "[\"far\", \"near\"]"));
    pharos.signal("HUP");
    pharos.wait_for("generation 2 is served");
    assert_eq!(pharos.ask(server), ("192.0.2.20".to_string(), 30));

    pharos.write("pharos.toml", &CONFIG.replace("[\"near\"]", "[\"nearr\"]"));
    pharos.write("blob.zone", "this is no zone");
    pharos.signal("HUP");
    let log = pharos.wait_for("the configuration before it is served");
    assert!(log.iter().any(|line| line.contains("pharos.toml:") && line.contains("did you mean `near`")), "{log:?}");
    assert_eq!(pharos.ask(server), ("192.0.2.20".to_string(), 30));

    pharos.write("pharos.toml", &CONFIG.replace("\"[::1]:0\"", "\"127.0.0.2:0\""));
    pharos.write("blob.zone", ZONE);
    pharos.signal("HUP");
    let log = pharos.wait_for("generation 3 is served");
    assert!(log.iter().any(|line| line.contains("`[dns] listen` has changed")), "{log:?}");
    assert_eq!(pharos.ask(pharos.listening[1]), ("192.0.2.10".to_string(), 60));
    pharos.stop();
}

#[test]
fn what_keeps_it_from_starting_is_said_with_a_remedy() {
    let pharos = Pharos::start(CONFIG);
    let folder = tempfile::tempdir().unwrap();
    for (file, text) in [("blob.zone", ZONE), ("sites.txt", "127.0.0.0/8\n")] {
        fs::write(folder.path().join(file), text).unwrap();
    }
    let taken = pharos.listening[0].to_string();
    fs::write(folder.path().join("pharos.toml"), CONFIG.replace("127.0.0.1:0", &taken)).unwrap();
    let output = command(folder.path()).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{text}");
    let holder =
        format!("error: failed to listen on {taken} (TCP): `pharos` (process {}) has the port", pharos.child.id());
    assert!(text.contains(&holder) && text.contains("= help: stop that process"), "{text}");

    fs::write(folder.path().join("pharos.toml"), CONFIG.replace("default = [\"far\"]", "default = [\"afar\"]"))
        .unwrap();
    let output = command(folder.path()).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("error[unknown-mirror]") && text.contains("did you mean `far`"), "{text}");

    // Programs that read the log get each of them as one of its lines.
    let taken = CONFIG.replace("127.0.0.1:0", &taken);
    let bad = CONFIG.replace("default = [\"far\"]", "default = [\"afar\"]");
    for (config, expected) in [(&taken, "failed to listen on "), (&bad, "did you mean `far`")] {
        let lines = logged(config, &[], &[], true);
        assert!(lines.iter().all(|line| line.starts_with('<')), "{lines:?}");
        assert!(lines.iter().any(|line| line.starts_with("<3>") && line.contains(expected)), "{lines:?}");
        let lines = logged(config, &["--log-format", "json"], &[], false);
        let objects: Vec<serde_json::Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let is_expected =
            |object: &serde_json::Value| object["level"] == "ERROR" && object["message"].to_string().contains(expected);
        assert!(objects.iter().any(is_expected), "{lines:?}");
    }

    assert_eq!(command(folder.path()).arg("sevre").output().unwrap().status.code(), Some(2));
    pharos.stop();
}

/// The log of a server until it serves or ends, with these arguments and variables. `journal` makes standard error the journal.
fn logged(config: &str, arguments: &[&str], variables: &[(&str, &str)], journal: bool) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pharos.toml"), config).unwrap();
    fs::write(folder.path().join("blob.zone"), ZONE).unwrap();
    fs::write(folder.path().join("sites.txt"), "127.0.0.0/8\n").unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = command(folder.path());
    command.env_remove("PHAROS_LOG").args(arguments).envs(variables.iter().copied());
    if journal {
        use std::os::unix::fs::MetadataExt as _;
        let pipe = fs::File::from(std::os::fd::OwnedFd::from(writer.try_clone().unwrap())).metadata().unwrap();
        command.env("JOURNAL_STREAM", format!("{}:{}", pipe.dev(), pipe.ino()));
    }
    let mut child = command.stderr(writer).spawn().unwrap();
    drop(command);
    let mut lines = Vec::new();
    for line in BufReader::new(reader).lines().map(Result::unwrap) {
        let is_last = line.contains("serving 1 zone");
        lines.push(line);
        if is_last {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    lines
}

#[test]
fn the_journal_gets_priorities_and_no_times() {
    let lines = logged(CONFIG, &[], &[], true);
    assert!(lines.iter().all(|line| line.starts_with("<6>") || line.starts_with("<4>")), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("<6>serving 1 zone")), "{lines:?}");
    // The variable of another stream does not apply to this one.
    let lines = logged(CONFIG, &[], &[("JOURNAL_STREAM", "1:2")], false);
    assert!(lines.iter().all(|line| line.starts_with("20") && line.contains("Z ")), "{lines:?}");
}

#[test]
fn the_log_is_json_by_option_and_by_variable() {
    for lines in [
        logged(CONFIG, &["--log-format", "json"], &[("PHAROS_LOG_FORMAT", "text")], false),
        logged(CONFIG, &[], &[("PHAROS_LOG_FORMAT", "json")], false),
    ] {
        for line in &lines {
            let object: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(["time", "level", "target", "message"].iter().all(|name| object[name].is_string()), "{line}");
        }
        assert!(lines.last().unwrap().contains(r#""message":"serving 1 zone"#), "{lines:?}");
    }
    let lines = logged(CONFIG, &[], &[("PHAROS_LOG_FORMAT", "xml")], false);
    assert!(lines[0].contains("PHAROS_LOG_FORMAT is ignored: write `text` or `json`"), "{lines:?}");
}

#[test]
fn commands_to_try_are_for_a_terminal() {
    let lines = logged(CONFIG, &[], &[], false);
    assert!(lines.iter().all(|line| !line.contains("try: ")), "{lines:?}");
}

#[test]
fn a_deployment_without_a_zone_redirects_and_explains_it() {
    let mut server = Pharos::start_until(REDIRECTS, "/v2/pause");
    let registry = *server.listening.last().unwrap();
    let digest = "sha256:7031c1b283388d2c2e09b57badb803c05ebed362dc88d84b480cc47f72a21097";
    let mut stream = TcpStream::connect(registry).unwrap();
    let request = format!("GET /v2/pause/blobs/{digest} HTTP/1.1\r\nHost: r.example\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 307 "), "{reply}");
    assert!(reply.contains(&format!("location: https://near.s3.example/containers/images/{digest}\r\n")), "{reply}");
    let explained = |arguments: &[&str]| {
        let mut explain = Command::new(env!("CARGO_BIN_EXE_pharos"));
        explain.current_dir(server.folder.path()).env("COLUMNS", "80").arg("explain").args(arguments);
        let output = explain.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let near = "\
a blob, requested by 127.0.0.1

located    at 127.0.0.1/32: the client's address, which the listener sees
networks   sites  127.0.0.0/8    sites.txt:2
together   no provider, network or place is known
rule       rule 2 (pharos.toml:22) of horizon buckets
mirrors    near  preferred  up  redirect-only
           far   default    up  redirect-only
redirect   a blob request goes to near, at
           https://near.s3.example/containers/images/{digest}, if the mirror has
           the blob
";
    // The day of the file is that of the test.
    let day = |line: &str| line.split(", of 20").next().unwrap().to_string() + "\n";
    let shown = explained(&["127.0.0.1"]);
    let shown: String = shown.split("\nnotes").next().unwrap().lines().map(day).collect();
    assert_eq!(shown, near);
    let office = explained(&["198.51.100.7", "--server"]);
    assert!(
        office.contains("redirect   a blob request goes to the canonical registry, by `canonical = true`"),
        "{office}"
    );
    let json: serde_json::Value = serde_json::from_str(&explained(&["9.9.9.9", "--json"])).unwrap();
    assert_eq!(json["name"], serde_json::Value::Null);
    assert_eq!(json["steered"]["redirect"]["mirror"], "far");
    assert_eq!(json["steered"]["mirrors"][0]["A"], "redirect-only");
    let mut sweep = Command::new(env!("CARGO_BIN_EXE_pharos"));
    let swept = sweep.current_dir(server.folder.path()).env("COLUMNS", "80").arg("sweep").output().unwrap();
    let swept = String::from_utf8(swept.stdout).unwrap();
    let v4 = "\
horizon buckets: 15 ranges of IPv4 clients
  mirror       answers   ranges  share     of which
  far          redirect  13      99.61 %
  near         redirect  1       0.39 %
  (canonical)  redirect  1       < 0.01 %
";
    assert!(swept.starts_with(v4) && swept.ends_with("no name is steered\n"), "{swept}");
    // Nothing ends because there is no DNS listener.
    server.signal("HUP");
    server.wait_for("generation 2");
    server.stop();
}
