//! Two servers of one zone: each takes updates, and both answer with the tokens before a client is told.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::common::needs;
use super::common::ports::free_port;
use super::common::server::{PATIENCE, Server};
use super::relay::{Passes, Relay};
use super::world::*;

const NOERROR: u8 = 0;
const SERVFAIL: u8 = 2;

/// The bound that ACME clients are content with, and some room for a busy machine.
const BOUND: Duration = Duration::from_secs(2);

/// A server of the pair.
struct Member {
    folder: TempDir,
    address: SocketAddr,
    world: Option<World>,
    peer: SocketAddr,
}

/// Two servers, each of which reaches the other over a line.
struct Pair {
    members: [Member; 2],
    /// From the first to the second, and back.
    lines: [Relay; 2],
}

fn peers_key(secret_of: &str) -> String {
    format!("[keys.\"peers.example\"]\nalgorithm = \"hmac-sha256\"\nsecret = \"{}\"\n", secret(secret_of))
}

/// The configuration of a server with a peer.
fn text(address: SocketAddr, peer: SocketAddr, credentials: [&str; 2], peers_secret: &str) -> String {
    let state = format!("state = \"acme.json\"\npeers = [\"{peer} key:peers.example\"]\n{}", peers_key(peers_secret));
    config(&format!("[\"{address}\"]"), credentials)
        .replace("state = \"acme.json\"\n", &state)
        .replace("[acme]", "[admin]\nlisten = [\"127.0.0.1:0\"]\n[acme]")
}

impl Member {
    fn config(&self) -> PathBuf {
        self.folder.path().join("pharos.toml")
    }

    fn write(&self, credentials: [&str; 2], peers_secret: &str) {
        fs::write(self.folder.path().join("zone"), ZONE).unwrap();
        fs::write(self.config(), text(self.address, self.peer, credentials, peers_secret)).unwrap();
    }

    fn start(&mut self, variables: &[(&str, &Path)]) {
        let server = Server::start_with(&self.config(), variables);
        let folder = TempDir::new().unwrap();
        self.world = Some(World { address: self.address, server, folder });
    }

    fn world(&self) -> &World {
        self.world.as_ref().unwrap()
    }

    /// Ends the process as `kill -9` does.
    fn kill(&mut self) {
        self.world = None;
    }

    fn reload(&self, credentials: [&str; 2], peers_secret: &str) {
        self.write(credentials, peers_secret);
        self.world().server.signal("HUP");
        self.world().server.wait_for("reloaded");
    }

    /// Waits until the answer at the shared name has these tokens.
    fn wait_for_tokens(&self, expected: &[u8]) {
        let deadline = Instant::now() + PATIENCE;
        while self.world().tokens(SHARED) != expected {
            assert!(Instant::now() < deadline, "{:?}, not {expected:?}", self.world().tokens(SHARED));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for a value of a metric.
    fn wait_for_metric(&self, line: &str, value: u64) {
        let deadline = Instant::now() + PATIENCE;
        while self.world().server.metric(line) != value {
            assert!(Instant::now() < deadline, "{line} is {}", self.world().server.metric(line));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Pair {
    /// Both servers, running and in touch.
    fn start() -> Pair {
        let mut pair = Pair::prepare();
        pair.members.iter_mut().for_each(|member| member.start(&[]));
        pair.wait_until_in_touch();
        pair
    }

    /// Both servers, not running yet.
    fn prepare() -> Pair {
        let addresses = [(); 2].map(|()| SocketAddr::new(HERE, free_port()));
        let lines = [Relay::to(addresses[1]), Relay::to(addresses[0])];
        let members = [0, 1].map(|at| {
            let folder = TempDir::new().unwrap();
            Member { folder, address: addresses[at], world: None, peer: lines[at].address }
        });
        members.iter().for_each(|member| member.write([ONE, TWO], "peers"));
        Pair { members, lines }
    }

    fn wait_until_in_touch(&self) {
        for member in &self.members {
            member.wait_for_metric(&format!("pharos_acme_peer_behind{{peer=\"{}\"}}", member.peer), 0);
        }
    }

    fn worlds(&self) -> [&World; 2] {
        [self.members[0].world(), self.members[1].world()]
    }
}

/// The code of an update, which must come within [`BOUND`].
fn timed(world: &World, by: &str, changes: &[Change<'_>]) -> u8 {
    let began = Instant::now();
    let rcode = world.send(by, changes);
    assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
    rcode
}

#[test]
fn a_token_is_at_both_servers_before_its_client_gets_the_reply() {
    let pair = Pair::start();
    let [a, b] = pair.worlds();
    for (number, (taker, other)) in [(a, b), (b, a), (a, b), (b, a)].into_iter().enumerate() {
        let number = number as u8 + 1;
        let by = if number.is_multiple_of(2) { "two" } else { "one" };
        assert_eq!(timed(taker, by, &[add(SHARED, number)]), NOERROR);
        // At once, without waiting.
        assert!(other.tokens(SHARED).contains(&number));
        assert_eq!(taker.tokens(SHARED), other.tokens(SHARED));
    }
    // Several owners in one message, over TCP.
    assert_eq!(a.send_tcp("one", &[add(SHARED, 9), add(OWN, 8)]), NOERROR);
    assert_eq!((b.tokens(OWN), b.tokens(SHARED)[0]), (vec![8], 9));
    // A removal at one is one at the other, and of the credential's tokens alone.
    assert_eq!(timed(b, "one", &[remove_all(SHARED, pharos::base::rr::Rtype::TXT)]), NOERROR);
    pair.members.iter().for_each(|member| member.wait_for_tokens(&[4, 2]));
    let lines = b.server.wait_for("1 set by key:one.mirrors.example by way of 127.0.0.1").join("\n");
    assert!(!lines.contains(&token(1)), "no token in the log: {lines}");
}

#[test]
fn a_stopped_peer_delays_an_update_and_gets_the_token_when_it_is_back() {
    let mut pair = Pair::start();
    let silent = format!("pharos_acme_peer_silent_total{{peer=\"{}\"}}", pair.members[0].peer);
    pair.members[1].kill();
    let a = pair.members[0].world();
    assert_eq!(timed(a, "one", &[add(SHARED, 1)]), NOERROR);
    a.server.wait_for("does not answer for ACME challenges: certificate authorities ask the others");
    assert_eq!(timed(a, "one", &[add(SHARED, 2)]), NOERROR);
    pair.members[0].wait_for_metric(&silent, 2);
    pair.members[1].start(&[]);
    pair.members[1].wait_for_tokens(&[2, 1]);
    let [a, b] = pair.worlds();
    assert_eq!(timed(a, "one", &[add(SHARED, 3)]), NOERROR);
    let again = a.server.wait_for("answers for ACME challenges again");
    let warned = again.iter().filter(|line| line.contains("does not answer")).count();
    assert_eq!((warned, b.tokens(SHARED)), (0, vec![3, 2, 1]), "one line a change of state: {again:#?}");
    // A process that hangs is the same.
    b.server.signal("STOP");
    assert_eq!(timed(a, "one", &[add(OWN, 4)]), NOERROR);
    b.server.signal("CONT");
    let deadline = Instant::now() + PATIENCE;
    while b.tokens(OWN) != [4] {
        assert!(Instant::now() < deadline);
    }
}

#[test]
fn a_peer_that_answers_without_the_token_is_servfail_until_it_has_it() {
    let pair = Pair::start();
    let [a, b] = pair.worlds();
    pair.lines[0].set(Passes::Datagrams);
    assert_eq!(timed(a, "one", &[add(SHARED, 1)]), SERVFAIL);
    assert_eq!((a.tokens(SHARED), b.tokens(SHARED)), (vec![1], vec![]));
    a.server.wait_for("does not take ACME challenges");
    let updates =
        |outcome| format!("pharos_acme_updates_total{{credential=\"key:one.mirrors.example\",outcome=\"{outcome}\"}}");
    assert_eq!((a.server.metric(&updates("behind")), a.server.metric(&updates("made"))), (1, 0));
    // Updates by way of the other server go on.
    assert_eq!(timed(b, "two", &[add(SHARED, 2)]), NOERROR);
    pair.lines[0].set(Passes::Everything);
    assert_eq!(timed(a, "one", &[add(SHARED, 1)]), NOERROR);
    assert_eq!((a.tokens(SHARED), b.tokens(SHARED)), (vec![1, 2], vec![1, 2]));
    a.server.wait_for("takes ACME challenges again");
    assert_eq!(a.server.metric(&updates("made")), 1);
    // A line that passes nothing is a stopped peer.
    pair.lines[0].set(Passes::Nothing);
    assert_eq!(timed(a, "one", &[add(SHARED, 5)]), NOERROR);
    pair.lines[0].set(Passes::Everything);
    pair.members[1].wait_for_tokens(&[5, 1, 2]);
}

#[test]
fn a_token_outlives_a_kill_right_after_its_reply_and_the_loss_of_a_disk() {
    let mut pair = Pair::start();
    for number in 1..=3 {
        assert_eq!(timed(pair.members[0].world(), "one", &[add(SHARED, number)]), NOERROR);
        pair.members[0].kill();
        assert_eq!(pair.members[1].world().tokens(SHARED)[0], number, "the other server has it");
        pair.members[0].start(&[]);
        assert_eq!(pair.members[0].world().tokens(SHARED)[0], number, "it is on the disk");
    }
    pair.members[0].kill();
    fs::remove_file(pair.members[0].folder.path().join("acme.json")).unwrap();
    pair.members[0].start(&[]);
    pair.members[0].wait_for_tokens(&[3, 2, 1]);
    // What the other took in the meantime comes too.
    pair.members[0].kill();
    assert_eq!(timed(pair.members[1].world(), "two", &[add(SHARED, 7)]), NOERROR);
    pair.members[0].start(&[]);
    pair.members[0].wait_for_tokens(&[7, 3, 2, 1]);
}

#[test]
fn clocks_that_differ_by_ten_seconds_do_not_matter() {
    let pattern = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"];
    let library = pattern.map(|folder| PathBuf::from(format!("{folder}/faketime/libfaketime.so.1")));
    let Some(library) = library.iter().find(|path| path.exists()) else {
        return needs::missing("libfaketime is not installed (Debian package libfaketime)");
    };
    let mut pair = Pair::prepare();
    for (member, offset) in pair.members.iter_mut().zip(["-5s", "+5s"]) {
        member.start(&[("LD_PRELOAD", library), ("FAKETIME", Path::new(offset))]);
    }
    pair.wait_until_in_touch();
    let [a, b] = pair.worlds();
    assert_eq!((timed(a, "one", &[add(SHARED, 1)]), timed(b, "two", &[add(SHARED, 2)])), (NOERROR, NOERROR));
    assert_eq!((a.tokens(SHARED), b.tokens(SHARED)), (vec![2, 1], vec![2, 1]));
    assert_eq!(timed(b, "one", &[remove(SHARED, 1)]), NOERROR);
    pair.members.iter().for_each(|member| member.wait_for_tokens(&[2]));
    // The token of the first lasts an hour by the clock of each.
    let until = |member: &Member| -> Vec<u64> {
        let text = fs::read_to_string(member.folder.path().join("acme.json")).unwrap();
        let entries =
            text.lines().filter_map(|line| line.trim().strip_prefix("\"until\": ")?.trim_end_matches(',').parse().ok());
        entries.collect()
    };
    let [early, late] = [&pair.members[0], &pair.members[1]].map(until);
    assert_eq!((early.len(), late.len()), (2, 2));
    let apart: Vec<u64> = late.iter().zip(&early).map(|(late, early)| late.abs_diff(*early)).collect();
    assert!(apart.iter().all(|apart| (9..=11).contains(apart)), "{apart:?}");
}

#[test]
fn credentials_keys_and_peers_of_a_reload_are_taken_up() {
    let pair = Pair::start();
    let [a, b] = pair.worlds();
    // The second server does not know the credential yet.
    pair.members[1].reload(["", TWO], "peers");
    assert_eq!(timed(a, "one", &[add(SHARED, 1)]), SERVFAIL);
    assert!(b.tokens(SHARED).is_empty());
    // It takes the token and does not answer with it, which is a peer behind.
    a.server.wait_for("answers without a token that it was sent: has it the same mirrors and credentials?");
    let behind = format!("pharos_acme_peer_behind{{peer=\"{}\"}}", pair.members[0].peer);
    assert_eq!(a.server.metric(&behind), 1);
    pair.members[1].reload([ONE, TWO], "peers");
    pair.members[1].wait_for_tokens(&[1]);
    assert_eq!((timed(a, "one", &[add(SHARED, 1)]), a.server.metric(&behind)), (NOERROR, 0));
    // Another secret: nothing passes, and both say so.
    pair.members[1].reload([ONE, TWO], "another");
    assert_eq!(timed(a, "one", &[add(SHARED, 2)]), SERVFAIL);
    a.server.wait_for("does not take ACME challenges: our signature is refused: BADSIG; compare both secrets");
    assert_eq!(b.tokens(SHARED), [1]);
    pair.members[1].reload([ONE, TWO], "peers");
    pair.members[1].wait_for_tokens(&[2, 1]);
    // Without peers, no other server is waited for; with these again, all that was taken is sent.
    let alone = text(a.address, pair.members[0].peer, [ONE, TWO], "peers");
    let line = format!("peers = [\"{} key:peers.example\"]\n", pair.members[0].peer);
    fs::write(pair.members[0].config(), alone.replace(&line, "")).unwrap();
    a.server.signal("HUP");
    a.server.wait_for("reloaded");
    // The service takes the peers of a reload a moment later.
    let deadline = Instant::now() + PATIENCE;
    while a.server.metrics().contains("pharos_acme_peer_behind{") {
        assert!(Instant::now() < deadline, "the peer is still there");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(timed(a, "one", &[add(SHARED, 3)]), NOERROR);
    assert_eq!(b.tokens(SHARED), [2, 1]);
    pair.members[0].reload([ONE, TWO], "peers");
    pair.members[1].wait_for_tokens(&[3, 2, 1]);
}
