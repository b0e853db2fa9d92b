//! Starting, and going on, on machines that lack something: threads, descriptors, addresses, IPv6, a terminal.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in what its cases share")]

#[path = "common/needs.rs"]
mod needs;
#[path = "common/ports.rs"]
mod ports;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

const ZONE: &str = "$ORIGIN blob.example.\n$TTL 60\n@ SOA ns hostmaster 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n";

const PLAIN: &str =
    "[dns]\nlisten = [\"127.0.0.1:0\"]\nudp-threads = 1\n[[zone]]\nname = \"blob.example\"\nfile = \"blob.zone\"\n";

const MIRROR: &str = "
[[zone]]
name  = \"blob.example\"
file  = \"blob.zone\"
steer = [{ owner = \"@\", horizon = \"blobs\", ttl = 60 }]
[horizons.blobs]
rules = []
default = [\"near\"]
";

/// A folder with a configuration that every user may read and write in.
fn folder(config: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(folder.path().join("pharos.toml"), config).unwrap();
    fs::write(folder.path().join("blob.zone"), ZONE).unwrap();
    folder
}

/// A process whose lines are read while it runs.
struct Pharos {
    child: Child,
    lines: Receiver<String>,
}

impl Pharos {
    fn spawn(command: &mut Command) -> Pharos {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (send, lines) = mpsc::channel();
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Pharos { child, lines }
    }

    /// Waits for a line; all lines until then.
    fn wait_for(&self, text: &str) -> Vec<String> {
        let (mut said, deadline) = (Vec::new(), Instant::now() + PATIENCE);
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => said.push(line),
                Err(error) => panic!("no `{text}` ({error}): {said:#?}"),
            }
            if said.last().is_some_and(|line| line.contains(text)) {
                return said;
            }
        }
    }

    /// Waits until its standard error is closed, which its end does; all lines until then.
    fn wait_for_end(&self) -> Vec<String> {
        let (mut said, deadline) = (Vec::new(), Instant::now() + PATIENCE);
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => said.push(line),
                Err(RecvTimeoutError::Disconnected) => return said,
                Err(RecvTimeoutError::Timeout) => panic!("it has not ended: {said:#?}"),
            }
        }
    }

    fn signal(&self, name: &str) {
        signal(name, self.child.id());
    }
}

impl Drop for Pharos {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(name: &str, pid: u32) {
    assert!(Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().unwrap().success());
}

fn pharos(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pharos"));
    command.arg("serve").arg("--config").arg(folder.join("pharos.toml")).env_remove("NOTIFY_SOCKET");
    // Commands to try are for a terminal.
    command.env("PHAROS_LOG", "pharos::hint=info");
    command
}

/// Runs a command as a user with no other process, if this is root. The limit counts all threads of a user, and is not
/// applied to root.
fn alone(command: &mut Command, user: u32) -> &mut Command {
    if is_root() { command.uid(user).gid(user) } else { command }
}

fn is_root() -> bool {
    fs::read_to_string("/proc/self/status").unwrap().lines().any(|line| line.starts_with("Uid:\t0\t"))
}

fn has(program: &str) -> bool {
    let package = match program {
        "ip" => "iproute2",
        "dig" => "bind9-dnsutils",
        "script" => "bsdutils",
        "systemd-analyze" => "systemd",
        _ => "util-linux",
    };
    needs::program(program, package).is_some()
}

/// The address of the first listener for DNS over UDP.
fn listening(said: &[String]) -> SocketAddr {
    let line = said.iter().find_map(|line| line.split_once("listening on ")?.1.split_once(" (DNS over UDP"));
    line.expect("a listener").0.parse().unwrap()
}

/// Asks for the SOA of the zone; whether an answer with NOERROR comes.
fn is_answered(server: SocketAddr) -> bool {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let query = b"\x12\x34\0\0\0\x01\0\0\0\0\0\0\x04blob\x07example\0\0\x06\0\x01";
    socket.send_to(query, server).unwrap();
    let mut reply = [0; 512];
    let len = socket.recv(&mut reply).unwrap();
    len > query.len() && reply[..2] == query[..2] && reply[3] & 15 == 0
}

/// Waits until a file has this text.
fn wait_for_text(path: &Path, text: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !fs::read_to_string(path).is_ok_and(|found| found.contains(text)) {
        assert!(Instant::now() < deadline, "{} does not come to hold `{text}`", path.display());
        // The delay between two attempts; the text ends the wait.
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The first work of its kind after the start: no thread of an earlier one is left to do it.
#[test]
fn the_first_reload_and_the_first_override_need_no_new_thread() {
    if !has("prlimit") {
        return;
    }
    let config = format!(
        "[dns]\nlisten = [\"127.0.0.1:0\"]\nudp-threads = 1\n{MIRROR}\n[mirrors.near]\naddresses = [\"127.0.0.1\"]\n\
         [control]\nsocket = \"control.sock\"\nstate = \"orders.json\"\n"
    );
    for (user, is_reload) in [(54_322, true), (54_323, false)] {
        let folder = folder(&config);
        let server = Pharos::spawn(alone(&mut pharos(folder.path()), user));
        let said = server.wait_for("serving ");
        server.wait_for("try: dig");
        let mut limit = Command::new("prlimit");
        limit.args(["--pid", &server.child.id().to_string(), "--nproc=1:1"]);
        assert!(alone(&mut limit, user).status().unwrap().success());
        if is_reload {
            server.signal("HUP");
            server.wait_for("reloaded: generation");
        } else {
            let order = give_override(folder.path());
            assert!(order.status.success(), "{order:?}");
        }
        assert!(is_answered(listening(&said)));
    }
}

/// Drains the mirror.
fn give_override(folder: &Path) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pharos"));
    command.args(["mirror", "drain", "near", "--reason", "disks", "--socket"]).arg(folder.join("control.sock"));
    command.output().unwrap()
}

#[test]
fn without_a_free_thread_it_reloads_probes_and_keeps_overrides() {
    if !has("prlimit") {
        return;
    }
    // A port without a listener, until the test needs another verdict.
    let mirror = ports::free_address();
    let port = mirror.port();
    let config = format!(
        "[dns]\nlisten = [\"127.0.0.1:0\"]\nudp-threads = 1\n{MIRROR}\n[mirrors.near]\naddresses = [\"127.0.0.1\"]\n\
         [probe]\nname = \"blob.example\"\nport = {port}\ninterval = \"200ms\"\nretry = \"200ms\"\nstate = \"state.json\"\n\
         [control]\nsocket = \"control.sock\"\nstate = \"orders.json\"\n"
    );
    let folder = folder(&config);
    let server = Pharos::spawn(alone(&mut pharos(folder.path()), 54_321));
    let mut said = server.wait_for("serving ");
    said.extend(server.wait_for("try: dig"));
    let address = listening(&said);
    wait_for_text(&folder.path().join("state.json"), "unreachable");

    let mut limit = Command::new("prlimit");
    limit.args(["--pid", &server.child.id().to_string(), "--nproc=1:1"]);
    assert!(alone(&mut limit, 54_321).status().unwrap().success());
    server.signal("HUP");
    server.wait_for("reloaded: generation");
    let order = give_override(folder.path());
    assert!(order.status.success(), "{order:?}");
    wait_for_text(&folder.path().join("orders.json"), "disks");
    // The kernel accepts connections, and closes them with the listener's backlog: the handshake fails.
    let mirror = TcpListener::bind(mirror).unwrap();
    let (stop, stopped) = mpsc::channel();
    let closing = std::thread::spawn(move || {
        while stopped.try_recv().is_err() {
            drop(mirror.accept());
        }
    });
    wait_for_text(&folder.path().join("state.json"), "tls-bad");
    assert!(is_answered(address));
    stop.send(()).unwrap();
    let _ = std::net::TcpStream::connect(("127.0.0.1", port));
    closing.join().unwrap();
    server.signal("TERM");
    server.wait_for("stopped");
}

#[test]
fn a_start_without_enough_threads_says_so_and_exits_with_3() {
    if !has("prlimit") {
        return;
    }
    let folder = folder(PLAIN);
    // Without root the user has other threads, so that no limit leaves room for more.
    let limits = if is_root() { 1..=7 } else { 1..=1 };
    for limit in limits {
        let mut command = Command::new("prlimit");
        command.arg(format!("--nproc={limit}:{limit}")).arg(env!("CARGO_BIN_EXE_pharos"));
        command.arg("serve").arg("--config").arg(folder.path().join("pharos.toml"));
        let mut server = Pharos::spawn(alone(&mut command, 54_330 + limit));
        let said = server.wait_for_end().join("\n");
        assert_eq!(server.child.wait().unwrap().code(), Some(3), "{limit}: {said}");
        assert!(said.contains("failed to start threads") && said.contains("TasksMax="), "{limit}: {said}");
    }
}

#[test]
fn too_low_a_limit_on_open_files_is_warned_of() {
    let folder = folder(PLAIN);
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 200; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_pharos"), "serve", "--config"]);
    let server = Pharos::spawn(command.arg(folder.path().join("pharos.toml")));
    let said = server.wait_for("serving ").join("\n");
    assert!(said.contains("this process may open 200 files") && said.contains("LimitNOFILE="), "{said}");
}

#[test]
fn a_probe_without_a_descriptor_is_no_verdict() {
    if !has("prlimit") {
        return;
    }
    let mirror = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = mirror.local_addr().unwrap().port();
    let config = format!(
        "[dns]\nlisten = [\"127.0.0.1:0\"]\nudp-threads = 1\n{MIRROR}\n[mirrors.near]\naddresses = [\"127.0.0.1\"]\n\
         [probe]\nname = \"blob.example\"\nport = {port}\ninterval = \"200ms\"\nretry = \"200ms\"\ntimeout = \"150ms\"\n"
    );
    let folder = folder(&config);
    let server = Pharos::spawn(&mut pharos(folder.path()));
    server.wait_for("serving ");
    let pid = server.child.id().to_string();
    let limit = |number: &str| {
        let limited = Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={number}")]).status();
        assert!(limited.unwrap().success());
    };
    limit("3:4096");
    let said = server.wait_for("mirrors cannot be probed");
    assert!(said.last().unwrap().contains("open files"), "{said:#?}");
    limit("4096:4096");
    let said = server.wait_for("mirrors are probed again");
    assert!(!said.iter().any(|line| line.contains("is down")), "{said:#?}");
}

#[test]
fn replies_with_a_wrong_id_write_no_line() {
    let resolver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = resolver.local_addr().unwrap();
    // Answers every query with ten replies that are not for it, then with one that is.
    let (sent, wrong_sent) = mpsc::channel();
    std::thread::spawn(move || {
        let mut room = [0; 512];
        while let Ok((len, peer)) = resolver.recv_from(&mut room) {
            room[2] |= 0x80;
            room[3] = 3;
            for _ in 0..10 {
                room[0] ^= 0x55;
                let _ = resolver.send_to(&room[..len], peer);
                room[0] ^= 0x55;
            }
            let _ = resolver.send_to(&room[..len], peer);
            if sent.send(()).is_err() {
                return;
            }
        }
    });
    let config = format!(
        "[dns]\nlisten = [\"127.0.0.1:0\"]\n[resolver]\nservers = [\"{address}\"]\n{MIRROR}\n\
         [mirrors.near]\nhost = \"near.example\"\n"
    );
    let folder = folder(&config);
    let server = Pharos::spawn(&mut pharos(folder.path()));
    let mut said = server.wait_for("serving ");
    wrong_sent.recv_timeout(PATIENCE).unwrap();
    server.signal("TERM");
    said.extend(server.wait_for("stopped"));
    assert!(said.iter().any(|line| line.contains("near.example")), "the host is asked for: {said:#?}");
    assert!(!said.iter().any(|line| line.contains("message id") || line.contains("wrong")), "{said:#?}");
    assert!(said.len() < 20, "{said:#?}");
}

/// Returns whether this machine lets a process have a network of its own.
fn has_namespaces() -> bool {
    let made = has("unshare")
        && has("nsenter")
        && has("ip")
        && Command::new("unshare").args(["-n", "ip", "link", "set", "lo", "up"]).output().unwrap().status.success();
    if !made {
        needs::skip("network namespaces take root");
    }
    made
}

/// The server in a network of its own, after a script has set that up.
fn in_namespace(config: &Path, setup: &str) -> Pharos {
    let mut command = Command::new("unshare");
    let script = format!("{setup}; exec \"$0\" serve --config \"$1\"");
    Pharos::spawn(command.args(["-n", "sh", "-c", &script, env!("CARGO_BIN_EXE_pharos")]).arg(config))
}

#[test]
fn an_address_that_comes_later_is_served_without_a_restart() {
    if !has_namespaces() || !has("dig") {
        return;
    }
    let late = ["192.0.2.77", "2001:db8::77"];
    let config = format!(
        "[dns]\nlisten = [\"127.0.0.1:5300\", \"{}:5300\", \"[{}]:5300\"]\n[[zone]]\nname = \"blob.example\"\nfile = \"blob.zone\"\n",
        late[0], late[1]
    );
    let folder = folder(&config);
    let server = in_namespace(&folder.path().join("pharos.toml"), "ip link set lo up");
    let said = server.wait_for("serving ").join("\n");
    assert!(said.contains("no network interface of this machine has `192.0.2.77`"), "{said}");
    let pid = server.child.id().to_string();
    let inside = |words: &[&str]| Command::new("nsenter").args(["-t", &pid, "-n"]).args(words).output().unwrap();
    let ask = |address: &str, how: &str| {
        let asked =
            inside(&["dig", &format!("@{address}"), "-p", "5300", how, "+time=2", "+tries=1", "blob.example", "SOA"]);
        String::from_utf8(asked.stdout).unwrap()
    };
    assert!(ask("127.0.0.1", "+notcp").contains("status: NOERROR"), "other addresses are served meanwhile");
    for address in late {
        let prefix = if address.contains(':') { "128" } else { "32" };
        let added = inside(&["ip", "address", "add", &format!("{address}/{prefix}"), "dev", "lo", "nodad"]);
        let added = if added.status.success() {
            added
        } else {
            inside(&["ip", "address", "add", &format!("{address}/{prefix}"), "dev", "lo"])
        };
        assert!(added.status.success(), "{added:?}");
        for how in ["+notcp", "+tcp"] {
            // dig takes a reply from no other address than it asked.
            let reply = ask(address, how);
            assert!(reply.contains("status: NOERROR"), "{address} {how}: {reply}");
        }
    }
}

#[test]
fn a_host_without_ipv6_serves_the_defaults_and_the_sample() {
    if !has_namespaces() {
        return;
    }
    const WITHOUT: &str = "ip link set lo up; echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6; \
                           echo 1 >/proc/sys/net/ipv6/conf/lo/disable_ipv6";
    let folder = folder("[[zone]]\nname = \"blob.example\"\nfile = \"blob.zone\"\n");
    let server = in_namespace(&folder.path().join("pharos.toml"), WITHOUT);
    let said = server.wait_for("serving ").join("\n");
    if said.contains("Read-only file system") || said.contains("Permission denied") {
        return needs::skip("IPv6 cannot be turned off here");
    }
    assert!(said.contains("not listening on [::1]:5300"), "{said}");
    assert!(said.contains("listening on 127.0.0.1:5300"), "{said}");
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("pharos.toml");
    in_namespace(&sample, WITHOUT).wait_for("serving ");
}

/// A server on a terminal of `script`, with its standard error on a pipe.
fn on_terminal(folder: &Path, input: &str) -> Pharos {
    let run = format!(
        "exec {} serve --config {} {input} 2>&3",
        env!("CARGO_BIN_EXE_pharos"),
        folder.join("pharos.toml").display()
    );
    let mut command = Command::new("sh");
    command.args(["-c", "exec 3>&2; exec env --default-signal=HUP script -q -f -c \"$0\" /dev/null </dev/null", &run]);
    Pharos::spawn(&mut command)
}

#[test]
fn a_server_on_a_terminal_ends_with_it() {
    if !has("script") {
        return;
    }
    for input in ["", "</dev/null"] {
        let folder = folder(PLAIN);
        let mut server = on_terminal(folder.path(), input);
        server.wait_for("serving ");
        // The terminal closes with the program that has its other side.
        server.child.kill().unwrap();
        let said = server.wait_for_end();
        assert!(said.iter().any(|line| line.contains("stopped")), "{input}: {said:#?}");
    }
}

#[test]
fn without_a_terminal_a_hangup_reloads() {
    let folder = folder(PLAIN);
    let server = Pharos::spawn(&mut pharos(folder.path()));
    server.wait_for("serving ");
    server.signal("HUP");
    server.wait_for("reloaded: generation");
}

#[test]
fn the_unit_is_confined() {
    if !has("systemd-analyze") {
        return;
    }
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/pharos.service");
    let analyzed =
        Command::new("systemd-analyze").args(["security", "--offline=true", "--no-pager"]).arg(unit).output();
    let analyzed = String::from_utf8(analyzed.unwrap().stdout).unwrap();
    let overall = analyzed.lines().find_map(|line| line.split_once("Overall exposure level for pharos.service: "));
    let level: f64 = overall.expect("a level").1.split(' ').next().unwrap().parse().unwrap();
    assert!(level <= 1.3, "{analyzed}");
}

#[test]
fn a_server_cannot_be_dumped() {
    let folder = folder(PLAIN);
    let server = Pharos::spawn(alone(&mut pharos(folder.path()), 54_399));
    server.wait_for("serving ");
    // The kernel gives the files in `/proc` of a process that cannot be dumped to root.
    use std::os::unix::fs::MetadataExt as _;
    let owner = fs::metadata(format!("/proc/{}/mem", server.child.id())).unwrap().uid();
    assert_eq!(owner, 0);
}
