//! The configuration of the real binary: the choice of the file, its included files, and `pharos init`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use common::query::Builder;
use common::server::{PATIENCE, Server, ask_udp};
use pharos::base::rr::Rtype;
use tempfile::TempDir;

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A folder with files.
struct Folder(TempDir);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = Folder(tempfile::tempdir().unwrap());
        files.iter().for_each(|(name, text)| folder.write(name, text));
        folder
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Runs the binary in the folder.
    fn run(&self, arguments: &str, variable: Option<&str>) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pharos"));
        command.current_dir(self.path()).args(arguments.split_whitespace()).stdin(Stdio::null());
        command.env_remove("NOTIFY_SOCKET").env_remove("PHAROS_CONFIG");
        if let Some(variable) = variable {
            command.env("PHAROS_CONFIG", variable);
        }
        command.output().unwrap()
    }

    /// The exit code, standard output and standard error.
    fn said(&self, arguments: &str) -> (Option<i32>, String, String) {
        let Output { status, stdout, stderr } = self.run(arguments, None);
        (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
    }
}

const ZONE: &str = "$TTL 300\n@ SOA ns.other. mail.other. 7 7200 3600 1209600 300\n@ NS ns1.other.\n@ NS ns2.other.\n";

fn config(zone: &str) -> String {
    format!(
        "[dns]\nlisten = \"127.0.0.1:0\"\n[control]\nsocket = \"{zone}.sock\"\nstate = \"{zone}.state\"\n\
         [[zone]]\nname = \"{zone}\"\nfile = \"zone\"\nsteer = [{{ owner = \"@\", horizon = \"all\", ttl = 60 }}]\n\
         [mirrors.one]\naddresses = [\"192.0.2.1\"]\n[horizons.all]\nrules = []\ndefault = [\"one\"]\n"
    )
}

#[test]
fn every_command_finds_the_same_configuration_and_says_which_once() {
    let (here, other) = (config("here.example"), config("other.example"));
    let folder = Folder::new(&[("pharos.toml", &here), ("other.toml", &other), ("zone", ZONE)]);
    for command in [
        "check",
        "check --json",
        "explain 192.0.2.1",
        "explain 192.0.2.1 --server",
        "sweep",
        "sweep --json",
        "status",
        "mirror list --json",
        "certs check none.pem",
    ] {
        let said = |arguments: &str, variable| {
            let Output { stdout, stderr, .. } = folder.run(arguments, variable);
            assert!(!String::from_utf8(stdout).unwrap().contains("configuration: "), "{arguments}");
            let text = String::from_utf8(stderr).unwrap();
            text.lines().filter(|line| line.starts_with("configuration: ")).map(str::to_string).collect::<Vec<_>>()
        };
        assert_eq!(said(command, None), ["configuration: pharos.toml"], "{command}");
        assert_eq!(said(command, Some("")), ["configuration: pharos.toml"], "{command}");
        let from_variable = ["configuration: other.toml (from PHAROS_CONFIG)"];
        assert_eq!(said(command, Some("other.toml")), from_variable, "{command}");
        let named = format!("--config other.toml {command}");
        assert_eq!(said(&named, Some("pharos.toml")), [] as [&str; 0], "{command}");
    }
    let zone = |variable| String::from_utf8(folder.run("check", variable).stdout).unwrap();
    assert!(zone(None).contains("here.example") && zone(Some("other.toml")).contains("other.example"));
    // A command that needs no configuration does not name one.
    let (_, _, stderr) = folder.said("status --socket none.sock");
    assert!(!stderr.contains("configuration: "), "{stderr}");
}

#[test]
fn a_configuration_that_is_nowhere_is_an_error_with_the_places_that_were_tried() {
    if Path::new("/etc/pharos/pharos.toml").exists() {
        return;
    }
    let folder = Folder::new(&[]);
    let (code, stdout, _) = folder.said("check");
    assert_eq!(code, Some(1));
    for expected in ["pharos.toml", "pharos init", "--config FILE", "PHAROS_CONFIG", "/etc/pharos/pharos.toml"] {
        assert!(stdout.contains(expected), "{expected}: {stdout}");
    }
}

#[test]
fn commands_without_a_configuration_do_not_offer_one() {
    let folder = Folder::new(&[]);
    for command in ["demo", "init", "man", "completions bash"] {
        let (code, help, _) = folder.said(&format!("{command} --help"));
        assert!(code == Some(0) && !help.contains("--config"), "{help}");
        for line in [format!("{command} --config x.toml"), format!("--config x.toml {command}")] {
            let (code, _, stderr) = folder.said(&line);
            assert!(code == Some(2) && stderr.contains("reads no configuration"), "{line}: {stderr}");
        }
    }
    assert!(fs::read_dir(folder.path()).unwrap().next().is_none());
    assert!(folder.said("check --help").1.contains("--config"));
}

/// The addresses that a server answers for a steered name.
fn answered(server: &Server, name: &str) -> Vec<String> {
    let query = Builder::new(name, Rtype::A).finish();
    let reply = ask_udp(&query, LOCALHOST, server.address(LOCALHOST)).unwrap().unwrap();
    let message = hickory_proto::op::Message::from_vec(&reply).unwrap();
    message.answers.iter().map(|record| record.data.to_string()).collect()
}

#[test]
fn included_files_are_read_at_the_start_and_again_at_a_reload() {
    let main = "include = [\"mirrors.d/*.toml\", \"zones/zones.toml\"]\n[dns]\nlisten = \"127.0.0.1:0\"\n\
                [horizons.all]\nrules = []\ndefault = [\"one\"]\n";
    let zone = "[[zone]]\nname = \"blob.example\"\nfile = \"blob.zone\"\nsteer = [{ owner = \"@\", horizon = \"all\", ttl = 60 }]\n";
    let one = |address: &str| format!("[mirrors.one]\naddresses = [\"{address}\"]\n");
    let folder = Folder::new(&[
        ("pharos.toml", main),
        ("zones/zones.toml", zone),
        // Its path is relative to the file that names it.
        ("zones/blob.zone", ZONE),
        ("mirrors.d/one.toml", &one("192.0.2.1")),
    ]);
    let server = Server::start(&folder.path().join("pharos.toml"));
    assert_eq!(answered(&server, "blob.example"), ["192.0.2.1"]);
    folder.write("mirrors.d/one.toml", &one("192.0.2.7"));
    server.signal("HUP");
    server.wait_for("reloaded: ");
    assert_eq!(answered(&server, "blob.example"), ["192.0.2.7"]);
    // An added file clashes: the server keeps the configuration before it, and reports both places.
    folder.write("mirrors.d/two.toml", &one("192.0.2.8"));
    server.signal("HUP");
    let lines = server.wait_for("not reloaded").join("\n");
    assert!(lines.contains("mirrors.d/two.toml:1:10: mirror `one` is written in two files"), "{lines}");
    assert!(lines.contains("first written here: ") && lines.contains("mirrors.d/one.toml:1:10"), "{lines}");
    assert_eq!(answered(&server, "blob.example"), ["192.0.2.7"]);
}

/// The digest of files that `sha256sum` prints.
fn sha256sum(folder: &Path, files: &str) -> String {
    let command = format!("cat {files} | sha256sum");
    let output = Command::new("sh").args(["-c", &command]).current_dir(folder).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_string()
}

#[test]
fn a_refused_reload_is_seen_until_one_succeeds() {
    let main = "include = [\"*.d/*.toml\"]\n[dns]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
                [control]\nsocket = \"control.sock\"\nstate = \"orders.json\"\n\
                [[zone]]\nname = \"blob.example\"\nfile = \"zone\"\n";
    let mirror = "[mirrors.one]\naddresses = [\"192.0.2.1\"]\n";
    let folder = Folder::new(&[("pharos.toml", main), ("zone", ZONE), ("b.d/one.toml", mirror)]);
    let server = Server::start(&folder.path().join("pharos.toml"));
    let status = || -> serde_json::Value {
        let (code, stdout, stderr) = folder.said("status --json");
        assert_eq!(code, Some(0), "{stderr}");
        serde_json::from_str(&stdout).unwrap()
    };
    let seen = || (server.metric("pharos_reload_refused"), server.metric("pharos_reload_failures_total"));
    let digest = sha256sum(folder.path(), "pharos.toml b.d/one.toml");
    assert_eq!((seen(), server.metric(&format!("pharos_config_digest{{sha256=\"{digest}\"}}"))), ((0, 0), 1));
    let started = server.metric("pharos_reload_last_success");
    assert!(started > 1_700_000_000);

    folder.write("b.d/one.toml", &mirror.replace("192.0.2.1", "192.0.2"));
    for count in [1, 2] {
        server.signal("HUP");
        server.wait_for("not reloaded");
        assert_eq!(seen(), (1, count));
    }
    let refused = status();
    assert_eq!(
        (&refused["config_digest"], server.metric("pharos_reload_last_success")),
        (&digest.clone().into(), started)
    );
    let why = refused["reload"]["refused"].as_str().unwrap();
    assert!(why.contains("b.d/one.toml:2:") && why.contains("192.0.2"), "{why}");
    let (_, text, _) = folder.said("status");
    assert!(text.contains("last reload   failed at ") && text.contains(&digest[..16]), "{text}");

    folder.write("b.d/one.toml", &mirror.replace("192.0.2.1", "192.0.2.9"));
    server.signal("HUP");
    server.wait_for("reloaded: ");
    let digest = sha256sum(folder.path(), "pharos.toml b.d/one.toml");
    let now = status();
    assert_eq!((&now["config_digest"], &now["reload"]["refused"]), (&digest.into(), &serde_json::Value::Null));
    assert_eq!(seen(), (0, 2));

    // A key that takes a restart is named until it has its value of the start again.
    let keys = || (status()["restart_keys"].clone(), server.metric("pharos_config_restart_keys"));
    let changed = main.replacen("[dns]\n", "[dns]\nudp-batch = 8\n", 1);
    for (text, named) in [(&*changed, vec!["[dns] udp-batch"]), (main, Vec::new())] {
        folder.write("pharos.toml", text);
        server.signal("HUP");
        server.wait_for("reloaded: ");
        assert_eq!(keys(), (serde_json::json!(named), named.len() as u64));
        let (_, shown, _) = folder.said("status");
        assert_eq!(shown.contains("`[dns] udp-batch` has changed"), !named.is_empty(), "{shown}");
    }
}

#[test]
fn included_files_are_bounded_in_number_and_bytes() {
    let folder = Folder::new(&[("pharos.toml", "include = [\"many/*.toml\"]\n")]);
    for number in 0..=1000 {
        folder.write(&format!("many/{number}.toml"), "");
    }
    let (code, stdout, _) = folder.said("check");
    assert!(code == Some(1) && stdout.contains("too many files are included"), "{stdout}");
    let folder = Folder::new(&[("pharos.toml", "include = [\"*.d\"]\n")]);
    for name in ["a.d", "b.d"] {
        folder.write(name, &"#".repeat(3 << 20));
    }
    let (code, stdout, _) = folder.said("check");
    assert!(code == Some(1) && stdout.contains("`b.d` makes the configuration too large"), "{stdout}");
}

#[test]
fn a_secret_in_an_included_file_that_others_may_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt as _;

    let main = format!("include = \"secret.toml\"\n{}", config("here.example"));
    let secret = "[keys.\"k.example\"]\nalgorithm = \"hmac-sha256\"\nsecret = \"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\"\n";
    let folder = Folder::new(&[("pharos.toml", &main), ("secret.toml", secret), ("zone", ZONE)]);
    let said = |mode| {
        let path = folder.path().join("secret.toml");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        folder.said("check").1
    };
    let open = said(0o644);
    assert!(open.contains("warning[secrets-exposed]") && open.contains("--> secret.toml"), "{open}");
    assert!(!said(0o600).contains("secrets-exposed"));
}

/// A configuration on ports that the system chooses.
fn on_free_ports(folder: &Path) {
    let path = folder.join("pharos.toml");
    let text = fs::read_to_string(&path).unwrap();
    let text =
        text.replace("\n[dns]\n", "\n[dns]\nlisten = \"127.0.0.1:0\"\n").replace("127.0.0.1:8080", "127.0.0.1:0");
    fs::write(path, text).unwrap();
}

/// Starts the server of a configuration, drains a mirror through its control socket, and returns the addresses that the
/// server then answers.
fn drained(folder: &Folder, config: &str, mirror: &str, name: &str) -> Vec<String> {
    on_free_ports(folder.path().join(config).parent().unwrap());
    let server = Server::start(&folder.path().join(config));
    // It answers over DNS a moment before overrides are taken.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (code, stdout, stderr) = folder.said(&format!("status --config {config}"));
        if code == Some(0) && stdout.contains("serving") {
            break;
        }
        assert!(Instant::now() < deadline, "{stdout}{stderr}");
    }
    let (code, _, stderr) = folder.said(&format!("mirror drain {mirror} --reason test --config {config}"));
    assert_eq!(code, Some(0), "{stderr}");
    answered(&server, name)
}

#[test]
fn init_writes_a_configuration_that_passes_serves_and_takes_overrides() {
    let folder = Folder::new(&[]);
    let (code, stdout, stderr) = folder.said("init new/place");
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    for expected in [
        "wrote new/place/pharos.toml\n",
        "pharos check --config new/place/pharos.toml\n",
        "dig @127.0.0.1 -p 5300 blob.example.com +subnet=34.76.8.0/24\n",
    ] {
        assert!(stdout.contains(expected), "{expected}: {stdout}");
    }
    let (code, stdout, stderr) = folder.said("check --deny-warnings --config new/place/pharos.toml");
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
    assert!(!stdout.contains("warning["), "{stdout}");
    let (code, stdout, _) = folder.said("explain --config new/place/pharos.toml 34.76.8.0/24");
    assert!(code == Some(0) && stdout.contains("198.51.100.10"), "{stdout}");
    assert_eq!(drained(&folder, "new/place/pharos.toml", "america", "blob.example.com"), ["198.51.100.10"]);
}

#[test]
fn init_writes_nothing_if_one_of_its_files_exists() {
    let folder = Folder::new(&[("networks.txt", "mine")]);
    std::os::unix::fs::symlink("nowhere", folder.path().join("blob.example.com.zone")).unwrap();
    let (code, stdout, stderr) = folder.said("init");
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(stderr.contains("`blob.example.com.zone`, `networks.txt` already exist in `.`"), "{stderr}");
    assert!(!folder.path().join("pharos.toml").exists() && !folder.path().join("nowhere").exists());
    assert_eq!(fs::read_to_string(folder.path().join("networks.txt")).unwrap(), "mine");
}

#[test]
fn init_names_the_remedy_if_its_folder_cannot_be_made() {
    let folder = Folder::new(&[("file", "")]);
    for place in ["file", "/proc/none"] {
        let (code, _, stderr) = folder.said(&format!("init {place}"));
        assert_eq!(code, Some(1));
        assert!(
            stderr.contains(&format!("failed to write `{place}`")) && !stderr.contains("already exist in"),
            "{stderr}"
        );
        assert!(stderr.contains("help: name a folder"), "{stderr}");
    }
}

#[test]
fn the_sample_serves_and_takes_overrides_without_root() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = ["pharos.toml", "zones/blob.k8s.io.zone", "zones/networks/overrides.txt"];
    let files = files.into_iter().chain(["zones/networks/aws.txt", "zones/networks/gcp.txt"]);
    let folder = Folder::new(&[]);
    files.for_each(|file| folder.write(file, &fs::read_to_string(root.join(file)).unwrap()));
    assert_eq!(drained(&folder, "pharos.toml", "gcp-us", "blob.k8s.io"), ["192.0.2.10", "192.0.2.11"]);
}

#[test]
fn a_reload_warns_of_a_change_that_secondaries_do_not_fetch() {
    let main = "[dns]\nlisten = \"127.0.0.1:0\"\n[[zone]]\nname = \"blob.example\"\nfile = \"zone\"\ntransfer = { allow = \"127.0.0.1\" }\n";
    let folder = Folder::new(&[("pharos.toml", main), ("zone", ZONE)]);
    let server = Server::start(&folder.path().join("pharos.toml"));
    let host = "new A 192.0.2.1\n";
    let raised = |serial: &str| ZONE.replace(" 7 7200 ", &format!(" {serial} 7200 ")) + host;
    for (zone, warning) in [
        (ZONE.to_string(), None),
        (raised("7"), Some("zone blob.example has changed under its serial 7: its secondaries keep")),
        (raised("8"), None),
        (raised("6"), Some("the serial of zone blob.example went from 8 back to 6: its secondaries keep")),
    ] {
        folder.write("zone", &zone);
        server.signal("HUP");
        let lines = server.wait_for("reloaded: ").join("\n");
        let said = lines.lines().any(|line| line.contains("secondaries keep"));
        assert_eq!(said, warning.is_some(), "{lines}");
        assert!(warning.is_none_or(|warning| lines.contains(warning)), "{lines}");
    }
}
