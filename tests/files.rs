//! Files through the real binary: an operator's file is never moved, overwritten or waited for.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in what its cases share")]

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;

use common::server::{PATIENCE, Server};
use tempfile::TempDir;

const ZONE: &str = "\
$ORIGIN blob.example.
$TTL 300
@ SOA ns.other. hostmaster.other. 7 7200 3600 1209600 300
@ NS ns.other.
";

const BASE: &str = r#"
[dns]
listen = ["127.0.0.1:0"]
[[zone]]
name = "blob.example"
file = "zone"
steer = [{ owner = "@", horizon = "all", ttl = 60 }]
[mirrors.one]
addresses = ["192.0.2.1"]
[horizons.all]
rules = []
default = ["one"]
"#;

/// A folder with a zone and a configuration of [`BASE`] and more; a file of secrets is for its owner alone.
struct World(TempDir);

impl World {
    fn new(more: &str) -> World {
        let world = World(tempfile::tempdir().unwrap());
        world.write("zone", ZONE);
        world.write("pharos.toml", &format!("{BASE}{more}"));
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        self.set_mode(name, 0o600);
    }

    fn set_mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn pipe(&self, name: &str) {
        assert!(Command::new("mkfifo").arg(self.path(name)).status().unwrap().success());
    }

    /// The output of `check`, and its exit code.
    fn check(&self) -> (String, i32) {
        let output = self.run("check");
        (String::from_utf8(output.stdout).unwrap(), output.status.code().unwrap())
    }

    /// The output of a command that ends by itself.
    fn run(&self, command: &str) -> Output {
        let mut pharos = Command::new(env!("CARGO_BIN_EXE_pharos"));
        pharos.arg(command).arg("--config").arg(self.path("pharos.toml")).stdin(Stdio::null());
        let child = pharos.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (send, ended) = mpsc::channel();
        let id = child.id();
        std::thread::spawn(move || send.send(child.wait_with_output().unwrap()));
        ended.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            let _ = Command::new("kill").args(["-KILL", &id.to_string()]).status();
            panic!("`pharos {command}` hangs");
        })
    }

    /// The names of all that is in the folder, with inode and size.
    fn listing(&self) -> Vec<(String, u64, u64)> {
        let mut all: Vec<_> = fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        all.sort();
        let facts = |path: &PathBuf| fs::symlink_metadata(path).unwrap();
        all.iter().map(|path| (path.display().to_string(), facts(path).ino(), facts(path).size())).collect()
    }
}

const CONTROL: &str = "[control]\nsocket = \"sock\"\nstate = \"state\"\n";
const PROBE: &str = "[probe]\nname = \"blob.example\"\nstate = \"state\"\n";
const HOSTS: &str = "[resolver]\nservers = [\"192.0.2.53\"]\nstate = \"state\"\n";
const COPY: &str = "[[zone]]\nname = \"copy.example\"\nfile = \"state\"\nprimaries = [\"127.0.0.1:1\"]\n";

/// The configurations of all state files.
const STATES: [&str; 4] = [CONTROL, PROBE, HOSTS, COPY];

#[test]
fn a_state_path_that_is_not_ours_stops_check_and_start_and_stays_as_it_was() {
    for more in STATES {
        for (expected, make) in [
            (
                "it is a folder, not a regular file",
                (|world: &World| {
                    fs::create_dir(world.path("state")).unwrap();
                    fs::write(world.path("state/inside"), "precious").unwrap();
                }) as fn(&World),
            ),
            ("it is not a state file of this kind", |world| world.write("state", "dear diary\n")),
            ("it is not a state file of this kind", |world| world.write("state", "[{\"host\":\"inventory\"}]\n")),
            ("it is a named pipe, not a regular file", |world| world.pipe("state")),
            ("a newer version wrote it", |world| {
                let kind = world.kind();
                world.write("state", &format!("{kind} 2\nthings of the future\n"));
            }),
        ] {
            let world = World::new(more);
            make(&world);
            let before = world.listing();
            let (said, code) = world.check();
            assert!(code == 1 && said.contains("error[state-file]") && said.contains(expected), "{more}{said}");
            let started = world.run("serve");
            let said = String::from_utf8(started.stderr).unwrap();
            assert!(!started.status.success() && said.contains(expected), "{more}{said}");
            assert_eq!(world.listing(), before, "{more}");
        }
    }
}

impl World {
    /// The first words of the state file that the configuration names.
    fn kind(&self) -> &'static str {
        let text = fs::read_to_string(self.path("pharos.toml")).unwrap();
        match text {
            _ if text.contains("[control]") => "pharos state overrides",
            _ if text.contains("[probe]") => "pharos state probe",
            _ if text.contains("[resolver]") => "pharos state hosts",
            _ => "; pharos state copy",
        }
    }
}

#[test]
fn a_file_is_for_one_thing_whatever_its_names() {
    for more in STATES {
        for target in ["pharos.toml", "zone"] {
            for link in [(|from: &Path, to: &Path| fs::hard_link(from, to).unwrap()) as fn(&Path, &Path), |from, to| {
                symlink(from, to).unwrap()
            }] {
                let world = World::new(more);
                link(&world.path(target), &world.path("state"));
                let before = world.listing();
                let (said, code) = world.check();
                assert!(code == 1 && said.contains("error[same-file]"), "{more}{said}");
                assert!(!world.run("serve").status.success());
                assert_eq!(world.listing(), before);
            }
            // The same file by its name, and by other paths to it.
            for name in [target.to_string(), format!("./{target}"), format!("sub/../{target}")] {
                let world = World::new(&more.replace("\"state\"", &format!("\"{name}\"")));
                fs::create_dir(world.path("sub")).unwrap();
                let (said, code) = world.check();
                assert!(code == 1 && said.contains("error[same-file]"), "{more}{name}: {said}");
            }
        }
    }
    // Two files of state that do not exist yet.
    let other = PROBE.replace("\"state\"", "\"sub/../state\"");
    let world = World::new(&format!("{CONTROL}{other}"));
    fs::create_dir(world.path("sub")).unwrap();
    let (said, code) = world.check();
    assert!(code == 1 && said.contains("error[same-file]"), "{said}");
    // Files that are read: one file for two purposes is an error, one file twice for the same purpose is not.
    let key = |name: &str| format!("[keys.{name}]\nalgorithm = \"hmac-sha256\"\nsecret-file = \"secret\"\n");
    let token =
        "[admin]\nlisten = [\"127.0.0.1:0\"]\ntoken-file = \"secret\"\n[control]\nsocket = \"a\"\nstate = \"b\"\n";
    let world = World::new(&format!("{}{}", key("a"), key("b")));
    world.write("secret", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n");
    assert_eq!(world.check().1, 0);
    world.write("pharos.toml", &format!("{BASE}{}{token}", key("a")));
    let (said, code) = world.check();
    assert!(code == 1 && said.contains("error[same-file]"), "{said}");
}

#[test]
fn a_state_folder_that_cannot_be_used_fails_check() {
    for more in STATES {
        let world = World::new(&more.replace("\"state\"", "\"none/state\""));
        let (said, code) = world.check();
        assert!(code == 1 && said.contains("error[state-folder]") && said.contains("does not exist"), "{more}{said}");
        fs::create_dir(world.path("none")).unwrap();
        assert_eq!(world.check().1, 0, "{more}");
        world.set_mode("none", 0o500);
        // Only root may write there all the same.
        if fs::write(world.path("none/try"), "").is_err() {
            let (said, code) = world.check();
            assert!(code == 1 && said.contains("cannot write to its folder"), "{more}{said}");
        }
        fs::remove_dir_all(world.path("none")).unwrap();
        world.write("none", "a file");
        let (said, code) = world.check();
        assert!(code == 1 && said.contains("a regular file, not a folder"), "{more}{said}");
    }
}

#[test]
fn a_socket_folder_that_does_not_exist_fails_check() {
    let control = |socket: &str| format!("[control]\nsocket = \"{socket}\"\nstate = \"overrides\"\n");
    let world = World::new(&control("none/c.sock"));
    let (said, code) = world.check();
    let folder = world.path("none");
    let missing = format!("`none/c.sock` cannot be made: its folder `{}` does not exist", folder.display());
    assert!(code == 1 && said.contains(&missing) && said.contains("RuntimeDirectory="), "{said}");
    fs::create_dir(folder).unwrap();
    assert_eq!(world.check().1, 0);
}

/// Every key that names a file which is read, with the file.
const READ: [(&str, &str); 10] = [
    ("[networks]\nnet = { list = \"read\" }\n", "list"),
    ("[networks]\nnet = { feed = \"aws\", file = \"read\" }\n", "feed"),
    ("[networks]\nnet = { mmdb = \"read\" }\n", "mmdb"),
    ("[dns.tls]\ncert = \"read\"\nkey = \"key\"\nlisten = [\"127.0.0.1:0\"]\n", "cert"),
    ("[dns.tls]\ncert = \"cert\"\nkey = \"read\"\nlisten = [\"127.0.0.1:0\"]\n", "key"),
    ("[keys.a]\nalgorithm = \"hmac-sha256\"\nsecret-file = \"read\"\n", "secret"),
    (
        "[admin]\nlisten = [\"127.0.0.1:0\"]\ntoken-file = \"read\"\n[control]\nsocket = \"sock\"\nstate = \"state\"\n",
        "token",
    ),
    ("[probe]\nname = \"blob.example\"\nroots = \"read\"\n", "roots"),
    ("[[zone]]\nname = \"other.example\"\nfile = \"read\"\n", "zone"),
    ("[[zone]]\nname = \"other.example\"\nfile = \"includes\"\n", "include"),
];

#[test]
fn a_pipe_or_a_device_is_refused_and_never_waited_for() {
    let cookies = BASE.replace("[dns]\n", "[dns]\ncookie-secrets = \"read\"\n");
    let configs = READ.iter().map(|(more, what)| (format!("{BASE}{more}"), *what));
    for (config, what) in configs.chain([(cookies, "cookies")]) {
        for device in [false, true] {
            let world = World::new("");
            world.write("pharos.toml", &config);
            world.write("includes", "$INCLUDE read\n");
            if device {
                symlink("/dev/zero", world.path("read")).unwrap()
            } else {
                world.pipe("read")
            }
            let (said, code) = world.check();
            let expected = if device { "it is a device, not a regular" } else { "it is a named pipe, not a regular" };
            assert!(code == 1 && said.contains(expected), "{what}: {said}");
        }
    }
    // The config file itself.
    let world = World::new("");
    fs::remove_file(world.path("pharos.toml")).unwrap();
    world.pipe("pharos.toml");
    let (said, code) = world.check();
    assert!(code == 1 && said.contains("it is a named pipe, not a regular file"), "{said}");
}

#[test]
fn a_reload_that_meets_a_pipe_or_a_device_keeps_the_served_zone() {
    let world = World::new("");
    let server = Server::start(&world.path("pharos.toml"));
    for spoil in
        [(|world: &World| world.pipe("zone")) as fn(&World), |world| symlink("/dev/zero", world.path("zone")).unwrap()]
    {
        fs::remove_file(world.path("zone")).unwrap();
        spoil(&world);
        server.signal("HUP");
        let said = server.wait_for("reloaded: generation").join("\n");
        assert!(said.contains("not a regular file") && said.contains("keeps its served records"), "{said}");
        fs::remove_file(world.path("zone")).unwrap();
        world.write("zone", ZONE);
        server.signal("HUP");
        let said = server.wait_for("reloaded: generation").join("\n");
        assert!(!said.contains("keeps its served records"), "{said}");
    }
}

#[test]
fn secrets_that_others_may_read_are_warned_of() {
    let secret = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n";
    let certificate = rcgen::generate_simple_self_signed(["blob.example".to_string()]).unwrap();
    let inline = "[keys.a]\nalgorithm = \"hmac-sha256\"\nsecret = \"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\"\n";
    let tls = "[dns.tls]\ncert = \"cert\"\nkey = \"read\"\nlisten = [\"127.0.0.1:0\"]\n";
    let token = READ.iter().find(|(_, what)| *what == "token").unwrap().0;
    for (more, file, text) in [
        (inline, "pharos.toml", None),
        (READ[5].0, "read", Some(secret.to_string())),
        (token, "read", Some("0123456789abcdef0123\n".to_string())),
        (tls, "read", Some(certificate.signing_key.serialize_pem())),
    ] {
        let world = World::new(more);
        world.write("cert", &certificate.cert.pem());
        if let Some(text) = text {
            world.write(file, &text);
        }
        let (said, code) = world.check();
        assert!(code == 0 && !said.contains("secrets-exposed"), "{said}");
        world.set_mode(file, 0o666);
        let (said, code) = world.check();
        assert!(
            code == 0 && said.contains("warning[secrets-exposed]: every user of this machine may change"),
            "{said}"
        );
        assert!(!said.contains("MDEy") && !said.contains("0123456789abcdef"), "no secret is shown: {said}");
        let server = Server::start(&world.path("pharos.toml"));
        drop(server);
    }
    // A config without a secret may be readable by all users.
    let world = World::new("");
    world.set_mode("pharos.toml", 0o644);
    assert!(!world.check().0.contains("secrets-exposed"));
}

#[test]
fn state_of_the_version_before_is_taken_over() {
    let verdict = r#"[{"mirror":"one","address":"192.0.2.1","verdict":"unreachable","health":"down","moment":1,"hold_down_ms":60000}]"#;
    let orders = "{\n  \"version\": 1,\n  \"orders\": {}\n}\n";
    for (more, text) in [(CONTROL, orders), (PROBE, verdict), (HOSTS, "[]")] {
        let world = World::new(more);
        world.write("state", text);
        let (said, code) = world.check();
        assert!(code == 0 && !said.contains("state"), "{more}{said}");
        assert_eq!(fs::read_to_string(world.path("state")).unwrap(), text, "check changes nothing");
    }
}

/// Names of functions that read files.
const READING: [&str; 12] = [
    "fs::read(",
    "fs::read_to_string",
    "File::open",
    "File::options",
    "OpenOptions",
    "from_pem_file",
    "pem_file_iter",
    "open_readfile",
    "open_mmap",
    "load_native_certs()",
    "read_system_conf()",
    "BufReader",
];

#[test]
fn no_file_is_read_but_by_the_bounded_reader() {
    let mut wrong = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for_each_source(&root, &mut |path, text| {
        if path.starts_with(root.join("files")) {
            return;
        }
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            // A library that reads files itself runs on a thread that may be abandoned.
            // The terminal is opened to check that it exists, and not read.
            let is_bounded = line.contains("files::within(") || line.contains("File::open(\"/dev/tty\")");
            if !is_bounded && READING.iter().any(|word| line.contains(word)) {
                wrong.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    });
    assert!(wrong.is_empty(), "use `crate::files`:\n{}", wrong.join("\n"));
}

/// Every source file with its text up to the tests at its end.
fn for_each_source(folder: &Path, see: &mut dyn FnMut(&Path, &str)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            for_each_source(&path, see);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            let text = fs::read_to_string(&path).unwrap();
            see(&path, text.split("\n#[cfg(test)]\nmod ").next().unwrap());
        }
    }
}
