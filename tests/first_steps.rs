//! The first steps of a new operator, through the binary: the demonstration, and the operator's own certificates.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use tempfile::TempDir;

/// The binary, with a working folder of its own and a folder for temporary files.
fn pharos(work: &Path, temporary: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pharos"));
    command.current_dir(work).env("TMPDIR", temporary).env_remove("NOTIFY_SOCKET").stdin(Stdio::null());
    command
}

fn is_empty(folder: &TempDir) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

/// Ports, times and TTLs differ from run to run, and columns with them.
fn normal(transcript: &str) -> Vec<String> {
    let line = |line: &str| {
        let mut words: Vec<String> = line.split_whitespace().map(without_port).collect();
        match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["the", "answer", "moved", "within", _, "s"] => words[4] = "#".into(),
            [_, _, "IN", "A", _] => words[1] = "#".into(),
            _ => {}
        }
        words.join(" ")
    };
    // A long command goes on after a backslash.
    let transcript = transcript.replace("\\\n", " ");
    transcript.lines().map(line).filter(|line| !line.is_empty()).collect()
}

/// A word with its port, which the system chose, as `#`.
fn without_port(word: &str) -> String {
    let is_port = |text: &str| text.parse::<u16>().is_ok_and(|port| port >= 1024);
    // The folder of a demonstration has a name of its own.
    if word.ends_with("/certs/ca.pem") {
        return "#/certs/ca.pem".into();
    }
    if is_port(word) && word != "2048" {
        return "#".into();
    }
    let Some((before, after)) = word.rsplit_once(':').filter(|(before, _)| !before.ends_with("sha256")) else {
        // The port of a URL stands before its digest.
        let Some((before, digest)) = word.split_once("sha256:") else { return word.into() };
        return format!("{}sha256:{digest}", without_port(before));
    };
    let (port, rest) = after.split_at(after.find('/').unwrap_or(after.len()));
    if is_port(port) { format!("{before}:#{rest}") } else { word.into() }
}

/// A page that shows output of the demonstration.
struct Shown {
    path: PathBuf,
    /// The page before its transcript, the transcript, and the rest of the page.
    parts: [String; 3],
}

impl Shown {
    fn open(page: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
        let text = fs::read_to_string(&path).unwrap();
        let start = text.find("```text demo\n").expect("the page has a transcript") + "```text demo\n".len();
        let end = start + text[start..].find("```").unwrap();
        Shown { path, parts: [&text[..start], &text[start..end], &text[end..]].map(String::from) }
    }

    /// Compares the transcript with the right one, except for ports and times; `PHAROS_BLESS=1` writes it anew.
    fn hold(&self, right: &str) {
        let [before, shown, behind] = &self.parts;
        if normal(shown) == normal(right) {
            return;
        }
        if std::env::var_os("PHAROS_BLESS").is_some() {
            fs::write(&self.path, format!("{before}{right}{behind}")).unwrap();
        } else {
            assert_eq!(normal(shown), normal(right), "{}", self.path.display());
        }
    }
}

/// The steps of a transcript, each with as many lines as there, from the whole output.
fn steps(shown: &str, printed: &str) -> String {
    let step = |step: &str| {
        let number = step.split_inclusive(". ").next().unwrap();
        let lines = printed.lines().skip_while(|line| !line.starts_with(number));
        lines.take(step.lines().count()).map(|line| format!("{line}\n")).collect::<String>()
    };
    shown.split("\n\n").map(step).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_demonstration_goes_as_the_pages_show_it() {
    let (work, temporary) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let output = pharos(work.path(), temporary.path()).arg("demo").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
    // The line breaks of a command depend on the length of the folder's path.
    let printed = String::from_utf8(output.stdout).unwrap().replace("\\\n      ", "");
    Shown::open("docs/concepts.md").hold(&printed);
    let readme = Shown::open("README.md");
    readme.hold(&steps(&readme.parts[1], &printed));
    assert!(is_empty(&temporary) && is_empty(&work), "nothing is left behind");
}

#[test]
fn ports_and_times_are_all_that_may_differ() {
    let one = "x 127.0.0.1:40123  y\n  307  https://a.b:41379/v2/p/blobs/sha256:12345\n the answer moved within 0.5 s";
    let other = "x  127.0.0.1:1024 y\n  307  https://a.b:5000/v2/p/blobs/sha256:12345\n the answer moved within 1.5 s";
    assert_eq!(normal(one), normal(other));
    for (right, wrong) in [("0.1:40123", "0.2:40123"), ("sha256:12345", "sha256:12346"), ("a.b", "a.c"), ("307", "302")]
    {
        assert_ne!(normal(&one.replace(right, wrong)), normal(one), "{right}");
    }
}

/// A demonstration that stays up, and its output.
fn stay(work: &TempDir, temporary: &TempDir) -> (Child, BufReader<ChildStdout>) {
    let mut command = pharos(work.path(), temporary.path());
    let mut child = command.args(["demo", "--stay"]).stdout(Stdio::piped()).spawn().unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    (child, out)
}

fn signal(child: &Child, name: &str) {
    let kill = format!("kill -{name} {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
}

#[test]
fn the_demonstration_stays_up_until_it_is_interrupted_and_leaves_nothing_behind() {
    let (work, temporary) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut child, out) = stay(&work, &temporary);
    let mut lines = out.lines().map(Result::unwrap);
    let dns = lines.by_ref().find(|line| line.contains("DNS")).unwrap();
    let dns = dns.split_whitespace().nth(1).unwrap().to_string();
    let mut verify = lines.by_ref().find(|line| line.contains("$ pharos verify")).unwrap();
    while verify.ends_with('\\') {
        verify = verify.trim_end_matches('\\').to_string() + &lines.next().unwrap();
    }
    assert!(lines.any(|line| line.contains("Ctrl-C ends it")));
    // By now the right certificate is back.
    let arguments = verify.split_whitespace().skip_while(|word| *word != "pharos").skip(1);
    let verified = pharos(work.path(), temporary.path()).args(arguments).output().unwrap();
    assert!(verified.status.success() && String::from_utf8_lossy(&verified.stdout).contains("  up: "), "{verify}");
    let command = lines.by_ref().find(|line| line.contains("pharos status")).unwrap();
    let arguments = command.split_whitespace().skip_while(|word| *word != "pharos").skip(1);
    let status = pharos(work.path(), temporary.path()).args(arguments).output().unwrap();
    assert!(status.status.success() && String::from_utf8_lossy(&status.stdout).contains("serving"), "{command}");
    let folder = temporary.path().read_dir().unwrap().next().unwrap().unwrap().path();
    assert!(folder.join("image/oci-layout").exists(), "the image is there to be looked at");
    assert!(UdpSocket::bind(&dns).is_err(), "it still listens on {dns}");
    signal(&child, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(is_empty(&temporary), "the folder is gone");
    UdpSocket::bind(&dns).unwrap();
}

#[test]
fn an_interrupted_demonstration_says_so_and_leaves_nothing_behind() {
    let (work, temporary) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // Ctrl-C, a supervisor, and a terminal that is closed.
    for name in ["INT", "TERM", "HUP"] {
        let (mut child, out) = stay(&work, &temporary);
        let first = out.lines().next().unwrap().unwrap();
        assert!(first.starts_with("Pharos and everything"), "{first}");
        // The test does not read on, which must not keep the demonstration from ending either.
        signal(&child, name);
        assert_eq!(child.wait().unwrap().code(), Some(1));
        assert!(is_empty(&temporary), "the folder is gone");
    }
}

/// Certificates in a folder.
struct Certificates {
    folder: TempDir,
}

impl Certificates {
    fn new() -> Self {
        Certificates { folder: tempfile::tempdir().unwrap() }
    }

    fn run(&self, arguments: &str) -> Output {
        let mut command = pharos(self.folder.path(), self.folder.path());
        command.arg("certs").args(arguments.split_whitespace()).output().unwrap()
    }

    /// The exit code and the text of both outputs.
    fn said(&self, arguments: &str) -> (Option<i32>, String) {
        let Output { status, stdout, stderr } = self.run(arguments);
        (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap()
    }
}

#[test]
fn certificates_are_made_for_mirrors_and_listeners_and_serve_for_their_name() {
    let certs = Certificates::new();
    let (code, said) = certs.said("--name blob.example --mirror aws --mirror gcp --listener registry.example");
    assert_eq!(code, Some(0), "{said}");
    let made: Vec<&str> = said.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(made, ["certs/ca.pem", "certs/aws.pem", "certs/gcp.pem", "certs/listener.pem", "the"]);
    for entry in fs::read_dir(certs.folder.path().join("certs")).unwrap().map(Result::unwrap) {
        let is_key = entry.file_name().to_string_lossy().ends_with(".key");
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, if is_key { 0o600 } else { 0o644 }, "{:?}", entry.file_name());
    }
    for mirror in ["aws", "gcp"] {
        let check =
            format!("check certs/{mirror}.pem --key certs/{mirror}.key --name blob.example --roots certs/ca.pem");
        let (code, said) = certs.said(&check);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.ends_with(&format!("`certs/{mirror}.pem` serves for `blob.example`\n")), "{said}");
    }
}

#[test]
fn what_is_there_stays_and_the_authority_even_then() {
    let certs = Certificates::new();
    let make = "--name blob.example --mirror aws --listener registry.example";
    assert_eq!(certs.said(make).0, Some(0));
    let before = (certs.read("certs/ca.pem"), certs.read("certs/aws.pem"), certs.read("certs/aws.key"));
    let (code, said) = certs.said("--name blob.example --mirror new --mirror aws --listener registry.example");
    assert_eq!(code, Some(1));
    assert!(said.contains("`certs/aws.pem`, `certs/aws.key`") && said.contains("--replace"), "{said}");
    assert!(!certs.folder.path().join("certs/new.pem").exists(), "nothing is made where something is wrong");
    assert_eq!(before, (certs.read("certs/ca.pem"), certs.read("certs/aws.pem"), certs.read("certs/aws.key")));
    assert_eq!(certs.said(&format!("{make} --replace")).0, Some(0));
    assert_eq!(before.0, certs.read("certs/ca.pem"));
    assert_ne!(before.1, certs.read("certs/aws.pem"));
    // A client that trusts the authority of the first run trusts the certificate of the second run.
    assert_eq!(certs.said("check certs/aws.pem --name blob.example --roots certs/ca.pem").0, Some(0));
}

#[test]
fn a_certificate_that_does_not_serve_is_told_with_its_remedy() {
    let certs = Certificates::new();
    assert_eq!(certs.said("--name blob.example --mirror aws --days 2").0, Some(0));
    let (code, said) =
        certs.said("check certs/listener.pem --name blob.example --roots certs/ca.pem --key certs/aws.key");
    assert_eq!(code, Some(1));
    for expected in ["error[tls-wrong-name]", "`localhost`, `127.0.0.1`, `::1`", "error[tls-mismatch]", "= help:"] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let (code, said) = certs.said("check certs/aws.pem --name blob.example --roots certs/ca.pem --json");
    let lines: Vec<serde_json::Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // The certificate is valid for two days, and two thirds of them are left: no warning is due.
    assert_eq!((code, lines.len()), (Some(0), 1));
    assert_eq!((&lines[0]["summary"]["serves"], &lines[0]["summary"]["name"]), (&true.into(), &"blob.example".into()));
    assert_eq!(lines[0]["summary"]["certificate"]["names"], serde_json::json!(["blob.example"]));
}

#[test]
fn the_authority_beside_a_certificate_is_its_root() {
    let certs = Certificates::new();
    assert_eq!(certs.said("--name blob.example --mirror aws").0, Some(0));
    let (code, said) = certs.said("check certs/aws.pem --name blob.example");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("root    certs/ca.pem, beside the file: clients need it among their roots\n"), "{said}");
    assert!(!said.contains("error["), "{said}");
    // Other faults stay, and another authority is no root of it.
    let (code, said) = certs.said("check certs/aws.pem --name other.example");
    assert!(code == Some(1) && said.contains("tls-wrong-name") && !said.contains("tls-incomplete"), "{said}");
    let other = Certificates::new();
    assert_eq!(other.said("--name blob.example --mirror aws").0, Some(0));
    let ca = other.folder.path().join("certs/ca.pem");
    fs::copy(ca, certs.folder.path().join("certs/ca.pem")).unwrap();
    let (code, said) = certs.said("check certs/aws.pem --name blob.example");
    assert!(code == Some(1) && !said.contains("beside the file"), "{said}");
}

#[test]
fn a_weak_key_is_one_error() {
    let certs = Certificates::new();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/certificates/rsa-1024.pem");
    let (code, said) = certs.said(&format!("check {} --name blob.example", file.display()));
    let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error[")).collect();
    assert_eq!(code, Some(1), "{said}");
    assert!(errors[0].starts_with("error[tls-weak-key]") && !said.contains("tls-refused"), "{said}");
}

#[test]
fn without_a_name_the_configuration_tells_it() {
    let certs = Certificates::new();
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("pharos.toml");
    let config = config.display();
    let (code, said) = certs.said(&format!("--config {config}"));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("certs/aws-use1.pem") && said.contains("for blob.k8s.io"), "{said}");
    assert_eq!(certs.said(&format!("check certs/gcp-eu.pem --roots certs/ca.pem --config {config}")).0, Some(0));
    let (code, said) = certs.said("--folder elsewhere");
    assert_eq!(code, Some(1), "{said}");
    assert!(!certs.folder.path().join("elsewhere").exists());
}

#[test]
fn names_that_cannot_be_files_or_hosts_are_refused_all_at_once() {
    let certs = Certificates::new();
    let (code, said) = certs.said("--name a_b!c --mirror ../aws --mirror ca --mirror listener");
    assert_eq!(code, Some(1));
    for expected in ["`../aws`", "`ca.pem`", "`listener.pem`", "`a_b!c`"] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    assert!(is_empty(&certs.folder));
}
