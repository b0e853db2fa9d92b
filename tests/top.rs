//! `pharos top` as an operator sees it: a real server and real queries, on a terminal of tmux.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use common::needs;
use common::query::Builder;
use common::server::{PATIENCE, Server, ask_udp};
use pharos::base::rr::Rtype;
use serde_json::Value;

const ZONE: &str = "$TTL 60\n@ SOA ns1 hostmaster 7 3600 600 86400 60\n@ NS ns1\nns1 A 127.0.0.1\nwww A 192.0.2.80\n";

/// `far` is down by its probes, and `near` up by an override.
const CONFIG: &str = r#"
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
steer = [{ owner = "@", horizon = "blobs", ttl = 60 }]

[networks]
office = { list = "list" }

[mirrors.near]
addresses = ["127.0.0.1"]

[mirrors.far]
addresses = ["127.0.0.2"]

[horizons.blobs]
rules = [{ network = "office", mirrors = "near" }]
default = "near"
"#;

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A server with its files.
struct World {
    folder: tempfile::TempDir,
    server: Option<Server>,
}

impl World {
    fn start() -> World {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("zone", ZONE), ("list", "198.51.100.0/24\n"), ("pharos.toml", CONFIG)] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let mut world = World { folder, server: None };
        world.start_again();
        let output = world.pharos(&["mirror", "up", "near", "--reason", "no probe"]);
        assert!(output.status.success(), "{output:?}");
        world
    }

    fn start_again(&mut self) {
        self.server = Some(Server::start(&self.folder.path().join("pharos.toml")));
        let deadline = Instant::now() + PATIENCE;
        while !self.pharos(&["status"]).status.success() {
            assert!(Instant::now() < deadline, "the control socket takes no requests");
        }
    }

    fn stop(&mut self) {
        let mut server = self.server.take().unwrap();
        server.signal("TERM");
        assert_eq!(server.wait(), Some(0));
    }

    fn address(&self) -> SocketAddr {
        self.server.as_ref().unwrap().address(LOCALHOST)
    }

    fn pharos(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pharos"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command.env_remove("COLUMNS").env_remove("PHAROS_CONFIG").output().unwrap()
    }

    /// Asks with dig. `client` is the subnet of an ECS option.
    fn dig(&self, dig: &Path, name: &str, from: &str, client: Option<&str>) {
        let address = self.address();
        let mut command = Command::new(dig);
        command.args([&format!("@{}", address.ip()), "-p", &address.port().to_string(), "-b", from, "+noidnout", name]);
        command.arg(client.map_or_else(|| "+nosubnet".to_string(), |client| format!("+subnet={client}")));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

/// A terminal with a shell, in tmux.
struct Terminal {
    tmux: PathBuf,
    socket: PathBuf,
}

impl Terminal {
    /// Starts a shell in a folder. `None` if the machine lacks a program.
    fn start(folder: &Path, width: usize, height: usize) -> Option<Terminal> {
        let tmux = needs::program("tmux", "tmux")?;
        needs::program("bash", "bash")?;
        let terminal = Terminal { tmux, socket: folder.join("tmux.sock") };
        let (width, height) = (width.to_string(), height.to_string());
        let shell = "env -u COLUMNS -u NO_COLOR -u PHAROS_CONFIG PS1='$ ' bash --norc --noprofile";
        let folder = folder.to_str().unwrap();
        terminal.tmux(&["new-session", "-d", "-x", &width, "-y", &height, "-c", folder, shell]);
        terminal.run(&format!("pharos() {{ '{}' \"$@\"; }}; clear", env!("CARGO_BIN_EXE_pharos")));
        Some(terminal)
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(&self.tmux);
        command.args(["-u", "-f", "/dev/null", "-S"]).arg(&self.socket).args(arguments).env_remove("TMUX");
        let output = command.env("LC_ALL", "C.UTF-8").output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Types a command line.
    fn run(&self, line: &str) {
        self.tmux(&["send-keys", "-l", line]);
        self.press("Enter");
    }

    fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    fn resize(&self, width: usize, height: usize) {
        self.tmux(&["resize-window", "-x", &width.to_string(), "-y", &height.to_string()]);
    }

    fn screen(&self) -> Vec<String> {
        self.tmux(&["capture-pane", "-p"]).lines().map(|line| line.trim_end().to_string()).collect()
    }

    /// Waits until the screen is as wanted, and returns it. `meanwhile` is called between two looks.
    #[track_caller]
    fn wait_until(&self, is_wanted: impl Fn(&[String]) -> bool, mut meanwhile: impl FnMut()) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen();
            if is_wanted(&screen) {
                return screen;
            }
            assert!(Instant::now() < deadline, "the screen is not as wanted:\n{}", screen.join("\n"));
            meanwhile();
        }
    }

    /// Waits until the screen has all of these texts, and returns it.
    #[track_caller]
    fn wait_for(&self, texts: &[&str]) -> Vec<String> {
        let has_all = |screen: &[String]| {
            let screen = screen.join("\n");
            texts.iter().all(|text| screen.contains(text))
        };
        self.wait_until(has_all, || {})
    }

    /// The settings of the terminal, as the shell sees them; the size is not among them.
    #[track_caller]
    fn settings(&self, folder: &Path, name: &str) -> String {
        self.run(&format!("stty -a | tail -n +2 > {name}; echo written-{name} | tr a-z A-Z"));
        self.wait_for(&[&format!("WRITTEN-{}", name.to_uppercase())]);
        std::fs::read_to_string(folder.join(name)).unwrap()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let mut command = Command::new(&self.tmux);
        let _ = command.arg("-S").arg(&self.socket).arg("kill-server").output();
    }
}

/// The row of a screen that has a word, from there on. `None` if no row has it.
fn row(screen: &[String], word: &str) -> Option<String> {
    screen.iter().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = words.iter().position(|other| *other == word)?;
        Some(words[at..(at + 20).min(words.len())].join(" "))
    })
}

#[test]
fn a_screen_shows_answers_mirrors_resolvers_and_names_at_each_size() {
    let Some(dig) = needs::program("dig", "bind9-dnsutils") else { return };
    let world = World::start();
    let Some(terminal) = Terminal::start(world.folder.path(), 80, 24) else { return };
    terminal.run("pharos top");
    terminal.wait_for(&["serving", "MIRROR", "RESOLVERS", "q quit"]);
    let ask = || {
        world.dig(&dig, "blob.example", "127.0.1.1", Some("198.51.100.0/24"));
        world.dig(&dig, "blob.example", "127.0.1.2", Some("203.0.113.0/24"));
        world.dig(&dig, "blob.example", "127.0.2.1", None);
        world.dig(&dig, "nowhere.blob.example", "127.0.3.1", None);
        world.dig(&dig, "elsewhere.example", "127.0.3.2", None);
    };
    // Of five queries, three are for the steered name, two of these with a subnet, and two from each of two sites.
    let is_whole = |screen: &[String]| {
        let (text, sites) =
            (screen.join("\n"), ["127.0.1.0/24", "127.0.2.0/24", "127.0.3.0/24"].map(|site| row(screen, site)));
        let names = ["blob.example", "nowhere.blob.example", "elsewhere.example"].map(|name| row(screen, name));
        let is_shown = |rows: [Option<String>; 3], shares: [&str; 3]| {
            rows.iter()
                .zip(shares)
                .all(|(row, share)| row.as_ref().is_some_and(|row| row.contains(&format!(" {share} %"))))
        };
        is_shown(sites, ["40", "20", "40"])
            && is_shown(names, ["60", "20", "20"])
            && text.contains("by subnet 67 %, by resolver 33 %")
            && ["NOERROR", "NXDOMAIN", "REFUSED"].iter().all(|code| text.contains(code))
            && row(screen, "near").is_some_and(|near| near.contains(" 100 % "))
    };
    let screen = terminal.wait_until(is_whole, ask);
    assert_eq!(screen.len(), 24);
    assert!(screen[0].starts_with("pharos ") && screen[23].starts_with("q quit  p pause"), "{screen:#?}");
    let [near, far] = ["near", "far"].map(|mirror| row(&screen, mirror).unwrap());
    assert!(near.contains(" 100 % up by override: no probe, 127.0.0.1: cannot connect"), "{near}");
    assert_eq!(far, "far 0 0 % down, 127.0.0.2: cannot connect: connection refused");

    terminal.resize(160, 50);
    let has_keys_at_the_end = |screen: &[String]| screen.last().is_some_and(|line| line.starts_with("q quit"));
    let wide = terminal.wait_until(|screen| screen.len() == 50 && has_keys_at_the_end(screen), || {});
    let title = wide.iter().find(|line| line.starts_with("RESOLVERS")).unwrap();
    assert_eq!(title.find("NAMES"), Some(81), "the second list begins in the middle: {wide:#?}");
    terminal.wait_until(is_whole, ask);
    terminal.resize(40, 12);
    let narrow = terminal.wait_for(&["…"]);
    assert!(narrow.len() == 12 && narrow.iter().all(|line| line.chars().count() <= 40), "{narrow:#?}");
    terminal.press("q");
    terminal.wait_for(&["$ "]);
}

#[test]
fn the_terminal_is_as_before_after_each_end() {
    let world = World::start();
    let folder = world.folder.path();
    let Some(terminal) = Terminal::start(folder, 80, 24) else { return };
    let before = terminal.settings(folder, "before");
    assert!(before.contains(" echo ") && before.contains(" icanon "), "{before}");
    let ends: [(&str, &dyn Fn()); 4] = [
        ("q", &|| terminal.press("q")),
        ("ctrl-c", &|| terminal.press("C-c")),
        ("int", &|| kill(folder, "INT")),
        ("term", &|| kill(folder, "TERM")),
    ];
    for (name, end) in ends {
        terminal.run(&format!("clear; echo text-{name}; bash -c 'echo $$ > pid; exec {}'", top()));
        terminal.wait_for(&["RESOLVERS", "q quit"]);
        let during = terminal.tmux(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
        assert_eq!(during.trim(), "1 0", "a screen of its own, without a cursor");
        end();
        // The prompt is back behind the text of before.
        let screen = terminal.wait_for(&[&format!("text-{name}"), "\n$"]);
        assert!(!screen.join("\n").contains("RESOLVERS"), "{name}: {screen:#?}");
        let after = terminal.tmux(&["display-message", "-p", "#{alternate_on} #{cursor_flag} #{wrap_flag}"]);
        assert_eq!(after.trim(), "0 1 1", "{name}");
        terminal.run("echo code-$? | tr a-z A-Z");
        terminal.wait_for(&["CODE-0"]);
        assert_eq!(terminal.settings(folder, &format!("after-{name}")), before, "{name}");
    }
}

#[test]
fn ctrl_z_gives_the_terminal_back_until_the_command_goes_on() {
    let world = World::start();
    let folder = world.folder.path();
    let Some(terminal) = Terminal::start(folder, 80, 24) else { return };
    let before = terminal.settings(folder, "before");
    terminal.run("clear; pharos top");
    terminal.wait_for(&["RESOLVERS"]);
    terminal.press("C-z");
    terminal.wait_for(&["Stopped"]);
    assert_eq!(terminal.settings(folder, "stopped"), before);
    terminal.run("fg");
    terminal.wait_for(&["RESOLVERS", "q quit"]);
    terminal.press("q");
    terminal.wait_for(&["Stopped", "\n$"]);
    assert_eq!(terminal.settings(folder, "after"), before);
}

/// The command line of the command under test.
fn top() -> String {
    format!("{} top", env!("CARGO_BIN_EXE_pharos"))
}

/// Sends a signal to the command, whose process id is in a file.
fn kill(folder: &Path, signal: &str) {
    let pid = std::fs::read_to_string(folder.join("pid")).unwrap();
    assert!(Command::new("kill").args([&format!("-{signal}"), pid.trim()]).status().unwrap().success());
}

#[test]
fn keys_pause_the_screen_and_sort_the_mirrors() {
    let world = World::start();
    let Some(terminal) = Terminal::start(world.folder.path(), 80, 24) else { return };
    terminal.run("pharos top");
    terminal.wait_for(&["mirrors trouble first", "p pause"]);
    terminal.press("s");
    terminal.wait_for(&["mirrors by answers"]);
    terminal.press("s");
    let screen = terminal.wait_for(&["mirrors by name"]);
    let place = |name: &str| screen.iter().position(|line| line.starts_with(name)).unwrap();
    assert!(place("far") < place("near"), "{screen:#?}");
    terminal.press("p");
    terminal.wait_for(&["paused", "p go on"]);
    // An arrow is no key, although its sequence has letters.
    terminal.press("Up");
    terminal.press("p");
    terminal.wait_for(&["p pause"]);
    terminal.press("q");
}

#[test]
fn a_server_that_goes_away_is_told_and_found_again() {
    let mut world = World::start();
    let Some(terminal) = Terminal::start(world.folder.path(), 80, 24) else { return };
    terminal.run("pharos top");
    terminal.wait_for(&["serving", "generation"]);
    world.stop();
    let screen = terminal.wait_for(&["no answer, asking again", "no server answers at", "control.sock"]);
    assert_eq!(screen.len(), 24);
    world.start_again();
    let server = world.address();
    let query = Builder::new("www.blob.example.", Rtype::A).finish();
    let has_both = |screen: &[String]| {
        let screen = screen.join("\n");
        screen.contains("serving") && screen.contains("www.blob.example")
    };
    let screen = terminal.wait_until(has_both, || {
        ask_udp(&query, "127.0.7.1".parse().unwrap(), server).unwrap().unwrap();
    });
    assert!(!screen.join("\n").contains("no answer"), "{screen:#?}");
    terminal.press("q");
}

#[test]
fn colours_are_left_out_if_they_are_not_wanted() {
    let world = World::start();
    let Some(terminal) = Terminal::start(world.folder.path(), 80, 24) else { return };
    for (variable, is_coloured) in [("X=", true), ("NO_COLOR=1", false)] {
        terminal.run(&format!("clear; {variable} pharos top"));
        terminal.wait_for(&["RESOLVERS", "q quit"]);
        let escapes = terminal.tmux(&["capture-pane", "-p", "-e"]);
        assert_eq!(escapes.contains("\x1b[31m"), is_coloured, "{escapes}");
        terminal.press("q");
        terminal.wait_for(&["\n$"]);
    }
}

#[test]
fn without_a_terminal_one_screen_is_printed_if_that_is_asked_for() {
    let world = World::start();
    let refused = world.pharos(&["top"]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(2), 0), "{said}");
    assert!(said.contains("error: standard output is not a terminal\n  = help: `pharos top --once`"), "{said}");
    let printed = world.pharos(&["top", "--once"]);
    let text = String::from_utf8(printed.stdout).unwrap();
    assert!(printed.status.success() && text.starts_with("state         serving, pharos "), "{text}");
    assert!(text.contains("connection refused") && !text.contains('\x1b'), "{text}");
}

#[test]
fn the_numbers_for_programs_are_those_of_the_queries() {
    let world = World::start();
    let report = || -> Value { serde_json::from_slice(&world.pharos(&["top", "--json"]).stdout).unwrap() };
    let server = world.address();
    let ask = |name: &str, from: &str, count: usize| {
        let query = Builder::new(name, Rtype::A).finish();
        for _ in 0..count {
            ask_udp(&query, from.parse().unwrap(), server).unwrap().unwrap();
        }
    };
    let deadline = Instant::now() + PATIENCE;
    loop {
        // The command has queries recorded for some seconds after it ends. Each message comes with a sentinel of its own.
        report();
        ask("blob.example.", "127.0.5.1", 70);
        ask("Blob.Example.", "127.0.5.200", 20);
        ask("x.blob.example.", "127.0.6.1", 10);
        let report = report();
        let list = |key: &str| -> Vec<(String, u64)> {
            let rows = report[key].as_array().unwrap().iter();
            rows.map(|row| (row["what"].as_str().unwrap().into(), row["queries"].as_u64().unwrap())).collect()
        };
        let resolvers = [("127.0.5.0/24".to_string(), 180), ("127.0.6.0/24".into(), 20)];
        let names = [("example.net".to_string(), 100), ("blob.example".into(), 90), ("x.blob.example".into(), 10)];
        if report["recorded_queries"] == 200 && list("resolvers") == resolvers && list("names") == names {
            assert_eq!(report["resolvers"][0]["share"], 0.9);
            assert!(report["answers_per_second"].is_number() && report["mirrors"][0]["mirror"] == "near", "{report:#}");
            return;
        }
        // A busy machine may take longer than the time over which queries are added up.
        assert!(Instant::now() < deadline, "{report:#}");
    }
}
