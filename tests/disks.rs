//! A full disk and a hung one, of real file systems: the server goes on serving, and reports each failing state file once.

#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected is to fail")]

mod common;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use common::needs;
use common::ports::free_port;
use common::query::Builder;
use common::server::{PATIENCE, Server, ask_udp};
use common::show;
use hickory_proto::op::Message;
use pharos::base::rr::Rtype;
use tempfile::TempDir;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The kinds of state, with their files below `state`.
const STATES: [(&str, &str); 4] =
    [("copy", "copy.zone"), ("hosts", "hosts.json"), ("overrides", "overrides.json"), ("probe", "probe.json")];

/// A server whose state is on a file system of its own, with the server that has its zone and its mirror's host.
struct World {
    server: Server,
    above: Server,
    folder: TempDir,
    /// The port of the mirror.
    port: u16,
    /// The serial of the zone above, and the last byte of the host's address.
    version: u8,
}

impl World {
    /// Starts the server after a script has mounted `state`.
    fn start(mount: &str) -> World {
        let folder = TempDir::new().unwrap();
        fs::write(
            folder.path().join("above.toml"),
            "[dns]\nlisten = \"127.0.0.1:0\"\n[[zone]]\nname = \"net.test\"\nfile = \"net.zone\"\n\
             transfer = { allow = \"127.0.0.1\" }\n",
        )
        .unwrap();
        write_zone(folder.path(), 1);
        fs::write(
            folder.path().join("blob.zone"),
            "$TTL 60\n@ SOA ns h 1 3600 600 86400 60\n@ NS ns\nns A 192.0.2.9\n",
        )
        .unwrap();
        let above = Server::start(&folder.path().join("above.toml"));
        let source = above.address(HERE);
        let port = free_port();
        let config = format!(
            "[dns]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [control]\nsocket = \"control.sock\"\nstate = \"state/overrides.json\"\n\
             [probe]\nname = \"blob.example\"\nport = {port}\ninterval = \"200ms\"\nretry = \"200ms\"\nstate = \"state/probe.json\"\n\
             [resolver]\nservers = \"{source}\"\nleast-ttl = \"1s\"\nstate = \"state/hosts.json\"\nprivate = [\"192.0.2.0/24\"]\n\
             [[zone]]\nname = \"net.test\"\nfile = \"state/copy.zone\"\nprimaries = \"{source}\"\n\
             [[zone]]\nname = \"blob.example\"\nfile = \"blob.zone\"\nsteer = [{{ owner = \"@\", horizon = \"h\", ttl = 60 }}]\n\
             [mirrors.near]\naddresses = \"127.0.0.1\"\n[mirrors.far]\nhost = \"lb.net.test\"\n\
             [horizons.h]\ndefault = [\"near\", \"far\"]\n"
        );
        fs::write(folder.path().join("pharos.toml"), config).unwrap();
        fs::create_dir(folder.path().join("state")).unwrap();
        let setup = format!("cd {}; {mount}", folder.path().display());
        let server = Server::start_with_mounts(&folder.path().join("pharos.toml"), &setup);
        let world = World { server, above, folder, port, version: 1 };
        world.wait_for_serial(1);
        world
    }

    /// Runs a script in the mount namespace of the server.
    fn inside(&self, script: &str) -> Output {
        let script = format!("cd {}; {script}", self.folder.path().display());
        let pid = self.server.id().to_string();
        Command::new("nsenter").args(["-t", &pid, "-m", "sh", "-c", &script]).output().unwrap()
    }

    fn pharos(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pharos"));
        command.args(words).args(["--socket"]).arg(self.folder.path().join("control.sock")).output().unwrap()
    }

    fn metric(&self, name: &str, labels: &str) -> u64 {
        self.server.metric(&format!("{name}{{{labels}}}"))
    }

    fn failed(&self, state: &str) -> u64 {
        self.metric("pharos_state_writes_total", &format!("state=\"{state}\",outcome=\"failed\""))
    }

    fn failing(&self) -> [u64; 4] {
        STATES.map(|(state, _)| self.metric("pharos_state_failing", &format!("state=\"{state}\"")))
    }

    /// Gives the zone another serial and the mirror's host another address. The server serves both, even with a broken disk.
    fn change_above(&mut self) {
        self.version += 1;
        write_zone(self.folder.path(), self.version);
        self.above.signal("HUP");
        self.above.wait_for("reloaded");
        let fetched = self.pharos(&["zone", "retransfer", "net.test"]);
        assert!(fetched.status.success(), "{fetched:?}");
        self.wait_for_serial(self.version);
        let address = format!("192.0.2.{}", self.version);
        until("the host's new address", || {
            let list = self.pharos(&["mirror", "list"]);
            String::from_utf8_lossy(&list.stdout).contains(&address)
        });
    }

    fn wait_for_serial(&self, serial: u8) {
        let query = Builder::new("net.test", Rtype::SOA).finish();
        until("the serial", || {
            let reply = ask_udp(&query, HERE, self.server.address(HERE)).unwrap().unwrap();
            let reply: Message = show::decode(&reply).unwrap();
            reply.answers.first().is_some_and(|record| record.data.to_string().contains(&format!(" {serial} ")))
        });
    }

    /// Has the server compare the zone with its primary.
    fn notify(&self) {
        let mut message = Builder::new("net.test", Rtype::SOA).finish();
        // RFC 1996 §3.7: opcode 4 with AA.
        message[2] = 0x24;
        ask_udp(&message, HERE, self.server.address(HERE)).unwrap().unwrap();
    }

    /// Changes the mirror's verdict until the returned mirror is dropped.
    fn open_mirror(&self) -> Mirror {
        Mirror::open(self.port)
    }
}

/// A port that accepts and hangs up: the verdict is `tls-bad` and not `unreachable`.
struct Mirror {
    port: u16,
    thread: Option<std::thread::JoinHandle<()>>,
    stop: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

impl Mirror {
    fn open(port: u16) -> Self {
        let listener = TcpListener::bind((HERE, port)).unwrap();
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
                drop(listener.accept());
            }
        });
        Mirror { port, thread: Some(thread), stop }
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let _ = std::net::TcpStream::connect((HERE, self.port));
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

fn write_zone(folder: &Path, version: u8) {
    let text = format!(
        "$TTL 1\n@ SOA ns h {version} 3600 600 86400 1\n@ NS ns\nns A 127.0.0.1\nlb A 192.0.2.{version}\n{}",
        // The copy of the zone needs more than one page of a small file system.
        "pad TXT \"0123456789012345678901234567890123456789\"\n"
    );
    fs::write(folder.join("net.zone"), text).unwrap();
}

#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} does not come");
        // The delay between two attempts; the condition ends the wait.
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Returns whether this machine lets a process have mounts of its own.
fn has_mounts(programs: &[(&str, &str)]) -> bool {
    let all = [("unshare", "util-linux"), ("nsenter", "util-linux"), ("mount", "mount")];
    if !all.iter().chain(programs).all(|(program, package)| needs::program(program, package).is_some()) {
        return false;
    }
    let tried = Command::new("unshare").args(["-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).output().unwrap();
    if !tried.status.success() {
        needs::skip("file systems of its own take root");
    }
    tried.status.success()
}

fn failures(lines: &[String]) -> Vec<&str> {
    lines.iter().filter_map(|line| Some(line.split_once("failed to write ")?.1)).collect()
}

#[test]
fn a_full_disk_is_said_once_counted_and_got_over() {
    if !has_mounts(&[]) {
        return;
    }
    let mut world = World::start("mount -t tmpfs -o size=256k tmpfs state");
    until("all four files", || {
        STATES[..2].iter().all(|(_, file)| world.inside(&format!("test -s state/{file}")).status.success())
    });
    assert_eq!(world.failing(), [0; 4]);
    let order = ["mirror", "drain", "near", "--reason", "disks"];
    assert!(world.pharos(&order).status.success());
    assert!(!world.inside("dd if=/dev/zero of=state/fill bs=4096").status.success(), "it fills up");
    world.server.lines();

    // Every kind of state changes, twice.
    for round in 0..2 {
        let before = STATES.map(|(state, _)| world.failed(state));
        let mirror = (round == 0).then(|| world.open_mirror());
        world.change_above();
        let refused = world.pharos(&["mirror", "auto", "near"]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains("No space left on device"), "{said}");
        until("a failure of each kind", || {
            STATES.iter().zip(before).all(|((state, _), before)| world.failed(state) > before)
        });
        drop(mirror);
    }
    assert_eq!(world.failing(), [1; 4]);
    let lines = world.server.lines();
    let mut failures: Vec<_> = failures(&lines);
    failures.sort_unstable();
    assert_eq!(failures.len(), 4, "one line for each file: {lines:#?}");
    for ((_, file), line) in STATES.iter().zip(&failures) {
        assert!(line.contains(file) && line.contains("No space left on device") && line.contains("; "), "{line}");
    }
    let status = String::from_utf8(world.pharos(&["status"]).stdout).unwrap();
    for (_, file) in STATES {
        assert!(status.lines().any(|line| line.contains(file) && line.contains("No space")), "{status}");
    }
    assert!(status.contains("drained"), "the override that stood stands: {status}");

    // The disk has room again. A primary without a newer zone confirms the served zone, and not the older copy.
    assert!(world.inside("rm state/fill").status.success());
    world.notify();
    until("the copy", || world.failing()[0] == 0);
    let copy = world.inside("cat state/copy.zone").stdout;
    assert!(String::from_utf8_lossy(&copy).contains("192.0.2.3"), "{}", String::from_utf8_lossy(&copy));
    let _mirror = world.open_mirror();
    assert!(world.pharos(&["mirror", "auto", "near"]).status.success());
    world.change_above();
    until("recovery", || world.failing() == [0; 4]);
    let lines = world.server.lines();
    for (_, file) in STATES {
        let again = lines.iter().filter(|line| line.contains(file) && line.contains("is written again")).count();
        assert_eq!(again, 1, "{file}: {lines:#?}");
    }

    // Without another change, the server tries again to write a text that was not written.
    assert!(!world.inside("dd if=/dev/zero of=state/fill bs=4096").status.success(), "it fills up again");
    world.change_above();
    until("failures of the copy and of the hosts", || world.failing()[..2] == [1; 2]);
    assert!(world.inside("rm state/fill").status.success());
    until("the next try", || world.failing()[..2] == [0; 2]);
    let copy = world.inside("cat state/copy.zone").stdout;
    let address = format!("192.0.2.{}", world.version);
    assert!(String::from_utf8_lossy(&copy).contains(&address), "{}", String::from_utf8_lossy(&copy));
}

/// Thaws the file system when dropped, because a frozen one would outlive the test.
struct Frozen<'w>(&'w World);

impl<'w> Frozen<'w> {
    fn freeze(world: &'w World) -> Self {
        let frozen = world.inside("fsfreeze -f state");
        assert!(frozen.status.success(), "{frozen:?}");
        Frozen(world)
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        let _ = self.0.inside("fsfreeze -u state");
    }
}

#[test]
fn a_hung_disk_holds_up_neither_serving_nor_overrides_elsewhere() {
    let programs = [("fsfreeze", "util-linux"), ("mke2fs", "e2fsprogs"), ("losetup", "mount")];
    if !has_mounts(&programs) {
        return;
    }
    if !Path::new("/dev/loop-control").exists() {
        return needs::skip("there are no loop devices");
    }
    let mut world = World::start(
        "dd if=/dev/zero of=disk bs=1M count=4 2>/dev/null; mke2fs -q -F -t ext4 disk; mount -o loop disk state",
    );
    if !world.inside("mountpoint -q state").status.success() {
        return needs::skip("loop devices cannot be mounted here");
    }
    until("its files", || world.inside("test -s state/copy.zone -a -s state/hosts.json").status.success());
    world.server.lines();
    let frozen = Frozen::freeze(&world);
    let refused = world.pharos(&["mirror", "drain", "near", "--reason", "disks"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("does not end a write"), "{said}");
    let status = String::from_utf8(world.pharos(&["status"]).stdout).unwrap();
    assert!(status.lines().any(|line| line.contains("overrides.json: not written since")), "{status}");
    // A reload reads, compiles and publishes.
    world.server.signal("HUP");
    world.server.wait_for("reloaded: generation");
    drop(frozen);
    // A write from the time of the frozen disk does not take effect now.
    world.change_above();
    until("recovery", || world.failing() == [0; 4]);
    let kept = world.inside("cat state/overrides.json");
    assert!(!String::from_utf8_lossy(&kept.stdout).contains("disks"), "{kept:?}");
    assert!(world.pharos(&["mirror", "drain", "near", "--reason", "new disks"]).status.success());
}
