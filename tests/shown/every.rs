//! Properties of every command that prints. [`ROWS`] has them; a command of `--help` without a row fails a test.

use std::fs::{self, File};
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::common::commands;
use crate::common::server::{PATIENCE, Server};

/// Output that is laid out for people, and breaks between words.
const TEXT: Form = Form::Text;
/// Output for programs: lines are not broken.
const PROGRAM: Form = Form::Program;

/// The form of an output.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Text,
    Program,
}

/// Command lines with their exit codes. `{new}` is a name that does not exist yet.
const ROWS: &[(&str, i32, Form)] = &[
    ("--help", 0, TEXT),
    ("help mirror", 0, TEXT),
    ("verify -h", 0, TEXT),
    ("--version", 0, TEXT),
    ("init {new}", 0, TEXT),
    ("check", 0, TEXT),
    ("check --config broken.toml", 1, TEXT),
    ("check --config broken.toml --json", 1, PROGRAM),
    ("explain 198.51.100.0/24", 0, TEXT),
    ("explain 198.51.100.0/24 --json", 0, PROGRAM),
    ("explain 198.51.100.0/24 --server", 0, TEXT),
    ("sweep", 0, TEXT),
    ("sweep --json", 0, PROGRAM),
    ("simulate --against moved.toml", 0, TEXT),
    ("simulate pharos.toml --against moved.toml --max-moved 5%", 1, TEXT),
    ("simulate --against moved.toml --json", 0, PROGRAM),
    ("simulate moved.toml --server", 0, TEXT),
    ("simulate --server --json", 0, PROGRAM),
    ("mirror list", 0, TEXT),
    ("mirror list near", 0, TEXT),
    ("mirror list --json", 0, PROGRAM),
    ("mirror drain near --reason {reason}", 0, TEXT),
    ("mirror up near --reason {reason}", 0, TEXT),
    ("mirror down near --reason {reason} --force", 0, TEXT),
    ("mirror auto near", 0, TEXT),
    ("server drain --reason {reason}", 0, TEXT),
    ("server undrain", 0, TEXT),
    ("fleet status", 0, TEXT),
    ("zone retransfer copy.example", 0, TEXT),
    ("refresh", 1, TEXT),
    ("reload", 0, TEXT),
    ("reload --json", 0, PROGRAM),
    ("reload --dry-run", 0, TEXT),
    ("status", 0, TEXT),
    ("status --json", 0, PROGRAM),
    ("status --config half-broken.toml", 0, TEXT),
    ("top --once", 0, TEXT),
    ("top --once --json", 0, PROGRAM),
    ("verify 127.0.0.1 --name blob.example --port 1", 1, TEXT),
    ("verify 127.0.0.1 --name blob.example --port 1 --json", 1, PROGRAM),
    ("verify --all", 1, TEXT),
    ("demo --once", 0, TEXT),
    ("certs --name blob.example --folder {new}", 0, TEXT),
    ("certs check made/mirror.pem --name blob.example", 0, TEXT),
    ("certs check made/mirror.pem --name another.name.of.a.registry.example --key made/listener.key", 1, TEXT),
    ("certs check made/mirror.pem --name blob.example --json", 0, PROGRAM),
    ("certs records --config acme.toml --ca ca.example", 0, PROGRAM),
    ("credential new near --config acme.toml", 0, PROGRAM),
    ("credential new near --user --config acme.toml", 0, PROGRAM),
    ("credential list --config acme.toml", 0, TEXT),
    ("credential list --json", 0, PROGRAM),
    ("key generate blob.example --dir {new}", 0, TEXT),
    ("key ds blob.example --config signed.toml", 0, PROGRAM),
    ("key ds blob.example --check --server 127.0.0.1:1 --config signed.toml", 1, TEXT),
    ("key list blob.example --config signed.toml", 0, TEXT),
    ("export blob.example", 0, PROGRAM),
    ("export blob.example --signed --config signed.toml", 0, PROGRAM),
    ("completions bash", 0, PROGRAM),
    ("man", 0, PROGRAM),
];

/// Command lines that say something on standard error alone.
const COMPLAINTS: &[(&str, i32)] = &[
    ("status --socket no.sock", 4),
    ("status --config syntax.toml", 1),
    ("top --socket no.sock --once", 4),
    ("top", 2),
    ("mirror drain nobody --reason x", 1),
    ("fleet forget gone", 1),
    ("fleet push", 1),
    ("fleet halt --config broken.toml", 1),
    ("explain 198.51.100.0/24 --config broken.toml", 1),
    ("verify x --name blob.example", 1),
    ("verify nobody", 1),
    ("init .", 1),
    ("certs --config missing.toml", 1),
    ("credential new nobody", 1),
    ("credential new near --server 192.0.2.1:x", 2),
    ("certs records", 1),
    ("key ds blob.example", 1),
    ("key list nobody.example", 1),
    ("export nobody.example", 1),
    ("export blob.example --signed", 1),
    ("export blob.example --plan nobody", 1),
    ("key ds blob.example --server 127.0.0.1", 2),
    ("key generate blob.example --algorithm 8", 2),
    ("certs records --config acme.toml", 2),
    ("zone retransfer blob.example", 1),
    ("sweep --config broken.toml", 1),
    ("simulate --server --socket no.sock", 4),
    ("mirror drain near --reason x --until tomorrow", 2),
    ("explain 300.1.1.1", 2),
    ("reconfig", 2),
];

/// Commands without a row, with the reason.
const OTHERS: [(&str, &str); 5] = [
    ("serve", "it prints nothing; what it does is in its log"),
    ("fleet forget", "a fleet has several servers: tests/fleet"),
    ("fleet push", "a fleet has a store: tests/fleet"),
    ("fleet halt", "a fleet has a store: tests/fleet"),
    ("fleet resume", "a fleet has a store: tests/fleet"),
];

const REASON: &str = "the disks of all racks in the second hall are replaced by the vendor, who promised to be done by \
                      tomorrow and was wrong about that the last two times";

const ZONE: &str = "$TTL 60\n@ SOA ns1 hostmaster 7 3600 600 86400 60\n@ NS ns1\nns1 A 127.0.0.1\n";

const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
                   -----END PRIVATE KEY-----\n";

fn config(primary: &str) -> String {
    format!(
        r#"
[dns]
listen = "127.0.0.1:0"

[control]
socket = "control.sock"
state = "orders.json"

[probe]
name = "blob.example"
port = 1

[[zone]]
name = "blob.example"
file = "zone"
steer = [{{ owner = "@", horizon = "blobs", ttl = 60 }}]

[[zone]]
name = "copy.example"
file = "copy"
primaries = ["{primary}"]

[networks]
office-networks = {{ list = "list" }}
published = {{ list = "fetched", url = "http://127.0.0.1:1/prefixes" }}

[mirrors.near]
addresses = ["127.0.0.1"]
contact = "the people who run the mirror, at noc@mirror.example or +1 555 0100, day and night"

[mirrors.azure-southeastasia-2]
addresses = ["127.0.0.2"]

[horizons.blobs]
rules = [{{ network = "office-networks", mirrors = "near" }}]
default = "azure-southeastasia-2"
"#
    )
}

/// A folder with everything that the rows name, and the server that the commands ask.
struct World {
    folder: tempfile::TempDir,
    _primary: Server,
    _server: Server,
    made: AtomicUsize,
}

impl World {
    fn start() -> World {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("zone", ZONE);
        write("list", "198.51.100.0/24\n2001:db8::/32\n");
        write(
            "primary.toml",
            "[dns]\nlisten = \"127.0.0.1:0\"\n[[zone]]\nname = \"copy.example\"\nfile = \"zone\"\n\
             transfer = { allow = \"127.0.0.1\" }\n",
        );
        let primary = Server::start(&folder.path().join("primary.toml"));
        let text = config(&primary.address(IpAddr::V4(Ipv4Addr::LOCALHOST)).to_string());
        write("pharos.toml", &text);
        let wrong =
            "steer = [{ owner = \"@\", horizon = \"blobs-of-everybody\", ttl = 60, colour = \"red\", shape = 1 }]";
        write("broken.toml", &text.replace("steer = [{ owner = \"@\", horizon = \"blobs\", ttl = 60 }]", wrong));
        write("moved.toml", &text.replace("mirrors = \"near\" }", "mirrors = \"azure-southeastasia-2\" }"));
        write("half-broken.toml", &format!("{text}\ncolour = \"red\"\n"));
        let acme = text.replace(
            "[mirrors.near]\n",
            "[acme]\nstate = \"acme.json\"\n[keys.\"near.example\"]\nalgorithm = \"hmac-sha256\"\n\
             secret = \"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\"\n[mirrors.near]\n\
             acme = [{ key = \"near.example\", account = \"https://ca.example/acct/1\" }]\n",
        );
        write("acme.toml", &acme);
        write("key.pem", KEY);
        let signed = text.replace("file = \"zone\"\n", "file = \"zone\"\ndnssec = { keys = [\"key.pem\"] }\n");
        write("signed.toml", &signed);
        write("syntax.toml", &format!("{text}\n[dns\n"));
        let server = Server::start(&folder.path().join("pharos.toml"));
        let world = World { folder, _primary: primary, _server: server, made: AtomicUsize::new(0) };
        let deadline = Instant::now() + PATIENCE;
        for line in ["status", "zone retransfer copy.example", "certs --name blob.example --folder made"] {
            while world.run(line, 100).status.code() != Some(0) {
                assert!(Instant::now() < deadline, "{line}: {:?}", world.run(line, 100));
            }
        }
        world
    }

    fn command(&self, line: &str, columns: usize) -> Command {
        let words = line.split(' ').map(|word| match word {
            "{new}" => format!("new-{}", self.made.fetch_add(1, Ordering::Relaxed)),
            "{reason}" => REASON.to_string(),
            _ => word.to_string(),
        });
        let mut command = Command::new(env!("CARGO_BIN_EXE_pharos"));
        command.args(words).current_dir(self.folder.path()).stdin(Stdio::null()).stderr(Stdio::piped());
        command.env("COLUMNS", columns.to_string()).env_remove("NOTIFY_SOCKET").env_remove("PHAROS_CONFIG");
        command
    }

    fn run(&self, line: &str, columns: usize) -> Output {
        self.command(line, columns).output().unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A line that is too long, although it has room for a break.
fn too_long(text: &str, columns: usize) -> Option<&str> {
    text.lines().find(|line| {
        // One word alone may be longer: a path, a digest, a URL, also as the argument of a command that can be copied.
        let is_one_word = line.trim_start().trim_end_matches(" \\").split(' ').count() == 1;
        line.chars().count() > columns && !is_one_word
    })
}

#[test]
fn every_command_has_a_row() {
    let all = commands::all();
    let is_group = |name: &[String]| all.iter().any(|(other, _)| other.len() > name.len() && other.starts_with(name));
    for (name, _) in all.iter().filter(|(name, _)| !is_group(name)) {
        let name = name.join(" ");
        let is_of = |line: &str| line == name || line.starts_with(&format!("{name} "));
        let is_known = ROWS.iter().any(|(line, ..)| is_of(line)) || OTHERS.iter().any(|(other, _)| *other == name);
        assert!(is_known, "`pharos {name}` has no row in `ROWS`");
    }
}

#[test]
fn every_command_keeps_to_the_width_of_the_terminal() {
    let world = World::start();
    let laid_out = ROWS.iter().filter(|(.., form)| *form == TEXT).map(|(line, code, _)| (*line, *code));
    for (line, code) in laid_out.chain(COMPLAINTS.iter().copied()) {
        for columns in [80, 120] {
            let output = world.run(line, columns);
            let said = [text(&output.stdout), text(&output.stderr)];
            assert_eq!(output.status.code(), Some(code), "{line}: {said:#?}");
            for said in said {
                if let Some(long) = too_long(&said, columns) {
                    panic!("`pharos {line}` at {columns} columns: `{long}`\n{said}");
                }
            }
        }
    }
}

#[test]
fn an_answer_that_cannot_be_written_fails_every_command() {
    let world = World::start();
    for (line, ..) in ROWS {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = world.command(line, 500).stdout(full).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{line}: {said}");
        let last = said.lines().last().unwrap_or_default();
        assert_eq!(last, "error: failed to write to standard output: no space left on device", "{line}: {said}");
        assert_eq!(said.matches("failed to write").count(), 1, "{line}: {said}");
    }
}

#[test]
fn a_reader_that_stops_early_is_no_fault_of_any_command() {
    let world = World::start();
    for (line, code, _) in ROWS {
        let mut child = world.command(line, 100).stdout(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(*code), "{line}: {said}");
        assert!(!said.contains("write") && !said.contains("ipe"), "{line}: {said}");
    }
}

#[test]
fn a_complaint_that_cannot_be_written_changes_no_exit_code() {
    let world = World::start();
    for (line, code) in COMPLAINTS {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = world.command(line, 100).stderr(full).output().unwrap();
        assert_eq!(output.status.code(), Some(*code), "{line}");
    }
}

#[test]
fn the_socket_is_found_in_a_configuration_with_errors_elsewhere() {
    let world = World::start();
    let output = world.run("status --config half-broken.toml", 200);
    let said = text(&output.stderr);
    assert!(output.status.success() && text(&output.stdout).starts_with("state         serving"), "{said}");
    let warning = "warning: the configuration has errors: run `pharos check`; its socket `control.sock` is used\n";
    assert_eq!(said, warning);
    // The remedy comes before the error, because the operator may have to act in a hurry.
    let output = world.run("mirror drain near --reason x --config syntax.toml", 200);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let lines: Vec<&str> = said.lines().take(3).collect();
    assert_eq!(lines[0], "error: the configuration does not tell the server's socket");
    assert!(lines[1].starts_with("  = help: `--socket SOCKET` asks the server"), "{said}");
    assert!(said.contains("error[syntax]"), "{said}");
}
