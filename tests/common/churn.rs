//! Reloads, probes and overrides that all change the served state at once, under query load.
//!
//! Five actors run for some time: an operator reloads, and some of these reloads are refused; mirrors go down and come back,
//! which probes find; a second operator gives overrides and takes them back; a publisher changes a feed, which the server fetches,
//! and sometimes sends an error page; resolvers ask without a pause. Each answer is
//! compared with the promises that held from before its query until after its reply:
//!
//! - an acknowledged reload is in force until the next one is asked for, and a refused one changes nothing;
//! - a content that was fetched is in force until the publisher sends another one, and a refused one changes nothing;
//! - no client is sent to a mirror that is down by an acknowledged override, until that override is to end;
//! - a mirror without failures and overrides keeps its clients;
//! - a mirror that never passes a probe gets no client, because each rule has one that does.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pharos::base::rr::Rtype;
use rustls::pki_types::{PrivateKeyDer, pem::PemObject as _};

use super::query::Builder;
use super::server::{PATIENCE, Server};
use super::show;

const NAME: &str = "blob.example";

const ZONE: &str = "$TTL 60\n@ SOA ns1 hostmaster 7 3600 600 86400 60\n@ NS ns1\nns1 A 127.0.0.1\n";

/// The last bytes of the mirrors' addresses: two that change, two that serve all the time, and one without a listener.
const CHANGING: [u8; 2] = [11, 12];
const STEADY: [u8; 2] = [13, 14];
const DEAD: u8 = 15;

/// The clients: of the mirrors that change, of a steady one, and of the steady ones that the last reload and the last content of
/// the publisher chose.
const CLIENTS: [&str; 4] = ["198.18.1.0", "198.18.2.0", "198.18.3.0", "198.18.4.0"];
const OF_CHANGING: usize = 0;
const OF_STEADY: usize = 1;
const OF_RELOAD: usize = 2;
const OF_PUBLISHER: usize = 3;

const LIST: &str = "198.18.1.0/24 changing\n198.18.2.0/24 steady\n198.18.3.0/24 chosen\n";

/// The longest time from a change of a mirror to the next one: longer than probes take to find it.
const PROBES_TAKE: Duration = Duration::from_millis(700);

/// Queries in flight: fewer than a socket holds.
const WINDOW: usize = 12;

/// The pause after each window, so that all answers of a minute fit into memory.
const PAUSE: Duration = Duration::from_millis(1);

/// The numbers of answers and changes.
#[derive(Debug, Default)]
pub struct Churned {
    pub answered: usize,
    pub lost: usize,
    pub reloads: usize,
    pub refused: usize,
    pub flips: usize,
    pub overrides: usize,
    pub fetches: usize,
}

/// An answer, with the time at which its query was sent and that at which it came.
struct Heard {
    sent: Instant,
    came: Instant,
    client: usize,
    address: u8,
}

/// A promise about the answers to a client: from a time until another one, only these addresses or not this one.
struct Promise {
    from: Instant,
    until: Instant,
    client: usize,
    kind: PromiseKind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum PromiseKind {
    Only(u8),
    Never(u8),
}

/// A folder with a configuration whose files change.
struct Place(tempfile::TempDir);

impl Place {
    fn new(ports: Ports, root: &str) -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        for (name, text) in [("zone", ZONE), ("list.txt", LIST), ("root.pem", root)] {
            place.write(name, text);
        }
        place.write("pharos.toml", &config(ports, STEADY[0]));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Replaces a file as a whole.
    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path("new"), text).unwrap();
        std::fs::rename(self.path("new"), self.path(name)).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Output {
        pharos(&self.path("pharos.toml"), arguments)
    }

    /// True if all mirrors that should be are up.
    fn is_settled(&self) -> bool {
        let output = self.run(&["status", "--json"]);
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        status["mirrors_up"] == 4 && status["orders"] == serde_json::json!([])
    }

    fn settle(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.is_settled() {
            assert!(Instant::now() < deadline, "{:?}", self.run(&["mirror", "list"]));
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn pharos(config: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pharos"));
    command.env_remove("NOTIFY_SOCKET").env_remove("SUDO_USER");
    command.arg("--config").arg(config).args(arguments).output().unwrap()
}

/// The ports of the mirrors and of the publisher.
#[derive(Clone, Copy)]
struct Ports {
    mirrors: u16,
    publisher: u16,
}

/// The configuration in which the last reload has chosen a steady mirror.
fn config(Ports { mirrors: port, publisher }: Ports, chosen: u8) -> String {
    let mirrors: String = CHANGING
        .into_iter()
        .chain(STEADY)
        .chain([DEAD])
        .map(|last| format!("[mirrors.m{last}]\naddresses = \"127.0.0.{last}\"\n"))
        .collect();
    format!(
        r#"
[dns]
listen = "127.0.0.1:0"
[control]
socket = "control.sock"
state = "overrides.json"
[probe]
name = "{NAME}"
port = {port}
interval = "100ms"
retry = "100ms"
timeout = "2s"
fall = 2
rise = 2
hold-down = "0s"
max-hold-down = "0s"
roots = "root.pem"
[[zone]]
name = "{NAME}"
file = "zone"
steer = [{{ owner = "@", horizon = "h" }}]
[networks]
l = {{ list = "list.txt" }}
f = {{ list = "fetched.txt", url = "http://127.0.0.1:{publisher}/list", every = "1s" }}
[guard]
moved = "100%"
new = "100%"
{mirrors}
[horizons.h]
rules = [
  {{ network = "l", label = "changing", mirrors = ["m15", "m11", "m12", "m13"] }},
  {{ network = "l", label = "steady", mirrors = ["m13"] }},
  {{ network = "l", label = "chosen", mirrors = ["m{chosen}"] }},
  {{ network = "f", label = "m13", mirrors = ["m13"] }},
  {{ network = "f", label = "m14", mirrors = ["m14"] }},
]
default = ["m14"]
"#
    )
}

/// A mirror: accepts TLS, and answers each request that the blob is not there.
struct Mirror {
    address: SocketAddr,
    config: Arc<rustls::ServerConfig>,
}

impl Mirror {
    /// Serves until `ended` is set.
    fn serve_until(&self, ended: &AtomicBool) {
        let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        listener.set_reuse_address(true).unwrap();
        listener.bind(&self.address.into()).unwrap();
        listener.listen(64).unwrap();
        let listener = TcpListener::from(listener);
        listener.set_nonblocking(true).unwrap();
        std::thread::scope(|scope| {
            while !ended.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) => drop(scope.spawn(|| self.answer(stream))),
                    Err(_) => std::thread::sleep(Duration::from_millis(2)),
                }
            }
        });
    }

    fn answer(&self, stream: TcpStream) {
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let connection = rustls::ServerConnection::new(self.config.clone()).unwrap();
        let mut stream = rustls::StreamOwned::new(connection, stream);
        let mut room = [0; 2048];
        // A probe is a request or two; its connection ends by its own timeout at the latest.
        while matches!(std::io::Read::read(&mut stream, &mut room), Ok(1..)) {
            let answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
            if std::io::Write::write_all(&mut stream, answer).is_err() {
                return;
            }
        }
    }
}

/// Mirrors that serve, one certificate for all of them, and a free port.
fn mirrors() -> (Vec<Mirror>, u16, String) {
    let made = rcgen::generate_simple_self_signed(vec![NAME.to_string()]).unwrap();
    let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    // A port that none of the addresses uses: a listener on all addresses has had it.
    let port = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap().local_addr().unwrap().port();
    let address = |last: u8| SocketAddr::new(Ipv4Addr::new(127, 0, 0, last).into(), port);
    let all = CHANGING.into_iter().chain(STEADY);
    let mirrors = all.map(|last| Mirror { address: address(last), config: config.clone() }).collect();
    (mirrors, port, made.cert.pem())
}

/// Runs all actors for this time, and compares the end with a fresh start.
pub fn run(time: Duration) -> Churned {
    let (mirrors, port, root) = mirrors();
    let publisher = Publisher::new(list_for(STEADY[0]));
    let ports = Ports { mirrors: port, publisher: publisher.port };
    let place = Place::new(ports, &root);
    let (ended, closed) = (AtomicBool::new(false), AtomicBool::new(false));
    let is_over = || ended.load(Ordering::Relaxed);
    std::thread::scope(|scope| {
        for mirror in &mirrors[CHANGING.len()..] {
            scope.spawn(|| mirror.serve_until(&closed));
        }
        // The mirrors that change: `downs[i]` is set while mirror i is down.
        let downs = [(); 2].map(|()| AtomicBool::new(false));
        let downs = &*Box::leak(Box::new(downs));
        for (mirror, down) in mirrors.iter().zip(downs) {
            let closed = &closed;
            scope.spawn(move || {
                while !closed.load(Ordering::Relaxed) {
                    if down.load(Ordering::Relaxed) {
                        std::thread::sleep(Duration::from_millis(5));
                    } else {
                        mirror.serve_until(down);
                    }
                }
            });
        }
        // A panic of an actor ends the mirrors too.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let server = Server::start(&place.path("pharos.toml"));
            place.settle();
            assert!(place.run(&["refresh", "f"]).status.success());
            let address = server.address(IpAddr::V4(Ipv4Addr::LOCALHOST));
            let (mut promises, mut done) = (Vec::new(), Churned::default());
            let begun = Instant::now();
            let heard = std::thread::scope(|scope| {
                let load = scope.spawn(|| ask_until(&ended, address));
                let reloads = scope.spawn(|| reload_until(&is_over, &place, ports));
                let flips = scope.spawn(|| flip_until(&is_over, downs));
                let overrides = scope.spawn(|| override_until(&is_over, &place));
                let contents = scope.spawn(|| publish_until(&is_over, &place, &publisher));
                std::thread::sleep(time);
                ended.store(true, Ordering::Relaxed);
                let (said, reloads, refused) = reloads.join().unwrap();
                promises.extend(said);
                (done.reloads, done.refused) = (reloads, refused);
                done.flips = flips.join().unwrap();
                let (said, overrides) = overrides.join().unwrap();
                promises.extend(said);
                done.overrides = overrides;
                let (said, fetches) = contents.join().unwrap();
                promises.extend(said);
                done.fetches = fetches;
                let (heard, lost) = load.join().unwrap();
                done.lost = lost;
                heard
            });
            let all = |client, kind| Promise { from: begun, until: Instant::now(), client, kind };
            promises.push(all(OF_STEADY, PromiseKind::Only(STEADY[0])));
            promises.extend((0..CLIENTS.len()).map(|client| all(client, PromiseKind::Never(DEAD))));
            done.answered = heard.len();
            assert_kept(&promises, &heard);
            place.settle();
            let end = answers(address);
            drop(server);
            std::fs::remove_file(place.path("overrides.json")).unwrap();
            let fresh = Server::start(&place.path("pharos.toml"));
            place.settle();
            assert_eq!(
                end,
                answers(fresh.address(IpAddr::V4(Ipv4Addr::LOCALHOST))),
                "the end is that of a fresh start"
            );
            assert_eq!(end[OF_CHANGING], CHANGING[0], "all mirrors are back");
            done
        }));
        ended.store(true, Ordering::Relaxed);
        closed.store(true, Ordering::Relaxed);
        downs.iter().for_each(|down| down.store(true, Ordering::Relaxed));
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Reloads, every third time a configuration that is refused. Returns the promises, and the numbers of reloads and of refused
/// ones.
fn reload_until(is_over: &dyn Fn() -> bool, place: &Place, ports: Ports) -> (Vec<Promise>, usize, usize) {
    let (mut promises, mut chosen, mut reloads, mut refused) = (Vec::new(), STEADY[0], 0, 0);
    let mut from = Instant::now();
    while !is_over() || reloads % 3 != 0 {
        reloads += 1;
        let is_refused = reloads % 3 == 1;
        let next = if chosen == STEADY[0] { STEADY[1] } else { STEADY[0] };
        let text = config(ports, if is_refused { DEAD } else { next });
        // The choice of the dead mirror would be seen, but a rule behind it has an unknown one.
        place.write("pharos.toml", &if is_refused { text.replace("[\"m14\"]", "[\"m99\"]") } else { text });
        let asked = Instant::now();
        let output = place.run(&["reload"]);
        assert_eq!(output.status.code(), Some(i32::from(is_refused)), "{output:?}");
        if is_refused {
            refused += 1;
            continue;
        }
        promises.push(Promise { from, until: asked, client: OF_RELOAD, kind: PromiseKind::Only(chosen) });
        (from, chosen) = (Instant::now(), next);
    }
    promises.push(Promise { from, until: Instant::now(), client: OF_RELOAD, kind: PromiseKind::Only(chosen) });
    (promises, reloads, refused)
}

/// A publisher of a list.
struct Publisher {
    port: u16,
    content: Arc<Mutex<String>>,
}

impl Publisher {
    fn new(content: String) -> Publisher {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (port, content) = (listener.local_addr().unwrap().port(), Arc::new(Mutex::new(content)));
        let sent = content.clone();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut room = [0; 2048];
                // The header of a request comes in one piece on this machine.
                let _ = std::io::Read::read(&mut stream, &mut room);
                let body = sent.lock().unwrap().clone();
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                let _ = std::io::Write::write_all(&mut stream, (head + &body).as_bytes());
            }
        });
        Publisher { port, content }
    }

    fn publishes(&self, content: String) {
        *self.content.lock().unwrap() = content;
    }
}

/// The content with which a steady mirror has the client of the publisher.
fn list_for(mirror: u8) -> String {
    format!("198.18.4.0/24 m{mirror}\n")
}

/// Publishes other contents, every third time an error page, and has each fetched. Returns the promises, and the number of
/// fetches. The last content is a good one.
fn publish_until(is_over: &dyn Fn() -> bool, place: &Place, publisher: &Publisher) -> (Vec<Promise>, usize) {
    let (mut promises, mut chosen, mut fetches) = (Vec::new(), STEADY[0], 0);
    let mut from = Instant::now();
    while !is_over() || fetches % 3 == 1 {
        fetches += 1;
        let is_refused = fetches % 3 == 1;
        let next = if chosen == STEADY[0] { STEADY[1] } else { STEADY[0] };
        let asked = Instant::now();
        publisher.publishes(if is_refused { "<html>\n<h1>502</h1>\n".into() } else { list_for(next) });
        let output = place.run(&["refresh", "f"]);
        let why = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        // A reload that changes the source's line stops its fetch; none does here.
        assert_eq!(output.status.code(), Some(i32::from(is_refused)), "{why}");
        if !is_refused {
            promises.push(Promise { from, until: asked, client: OF_PUBLISHER, kind: PromiseKind::Only(chosen) });
            (from, chosen) = (Instant::now(), next);
        }
    }
    promises.push(Promise { from, until: Instant::now(), client: OF_PUBLISHER, kind: PromiseKind::Only(chosen) });
    (promises, fetches)
}

/// Lets the mirrors that change fail in turn, and returns how often. At the end all are back.
fn flip_until(is_over: &dyn Fn() -> bool, downs: &[AtomicBool; 2]) -> usize {
    let mut flips = 0;
    while !is_over() {
        let down = &downs[flips % downs.len()];
        for is_down in [true, false] {
            down.store(is_down, Ordering::Relaxed);
            std::thread::sleep(PROBES_TAKE);
        }
        flips += 1;
    }
    flips
}

/// Gives overrides and takes them back. Returns the promises and the number of overrides.
fn override_until(is_over: &dyn Fn() -> bool, place: &Place) -> (Vec<Promise>, usize) {
    let (mut promises, mut overrides) = (Vec::new(), 0);
    while !is_over() {
        let last = CHANGING[overrides % CHANGING.len()];
        let mirror = format!("m{last}");
        let word = ["down", "drain"][overrides / 2 % 2];
        let output = place.run(&["mirror", word, &mirror, "--reason", "a test", "--force"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let from = Instant::now();
        std::thread::sleep(Duration::from_millis(60));
        let until = Instant::now();
        let output = place.run(&["mirror", "auto", &mirror]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        promises.push(Promise { from, until, client: OF_CHANGING, kind: PromiseKind::Never(last) });
        overrides += 1;
    }
    (promises, overrides)
}

fn queries() -> Vec<Vec<u8>> {
    let query = |client: &&str| {
        let subnet = format!("{client}/24").parse().unwrap();
        Builder::new(NAME, Rtype::A).edns(1232).ecs(subnet).finish()
    };
    CLIENTS.iter().map(query).collect()
}

/// The last byte of the one address in a reply.
fn address(reply: &[u8]) -> u8 {
    let message = show::decode(reply).unwrap();
    let found: Vec<IpAddr> = message.answers.iter().filter_map(|record| record.data.ip_addr()).collect();
    match found[..] {
        [IpAddr::V4(v4)] => v4.octets()[3],
        _ => panic!("{message:?}"),
    }
}

/// Asks in windows, each when the one before is answered; the answers, and the number of queries without one.
fn ask_until(ended: &AtomicBool, server: SocketAddr) -> (Vec<Heard>, usize) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut queries = queries();
    let (mut heard, mut lost, mut room) = (Vec::new(), 0, [0; 1500]);
    while !ended.load(Ordering::Relaxed) {
        let mut sent = [None; WINDOW];
        for (id, sent) in sent.iter_mut().enumerate() {
            let query = &mut queries[id % CLIENTS.len()];
            query[..2].copy_from_slice(&(id as u16).to_be_bytes());
            *sent = Some(Instant::now());
            socket.send(query).unwrap();
        }
        for _ in 0..WINDOW {
            let Ok(len) = socket.recv(&mut room) else { break };
            let id = usize::from(u16::from_be_bytes([room[0], room[1]]));
            // A reply that came too late belongs to a window before.
            let Some(sent) = sent.get_mut(id).and_then(Option::take) else { continue };
            let (came, client) = (Instant::now(), id % CLIENTS.len());
            heard.push(Heard { sent, came, client, address: address(&room[..len]) });
        }
        lost += sent.iter().flatten().count();
        std::thread::sleep(PAUSE);
    }
    (heard, lost)
}

/// The answer to each client now.
fn answers(server: SocketAddr) -> Vec<u8> {
    let ask =
        |query: Vec<u8>| address(&super::server::ask_udp(&query, Ipv4Addr::LOCALHOST.into(), server).unwrap().unwrap());
    queries().into_iter().map(ask).collect()
}

/// Checks every answer against the promises that held for all of its way.
fn assert_kept(promises: &[Promise], heard: &[Heard]) {
    let mut checked = vec![0; promises.len()];
    for (promise, checked) in promises.iter().zip(&mut checked) {
        // Answers are in the order of their arrival.
        let first = heard.partition_point(|heard| heard.came < promise.from);
        for one in heard[first..].iter().take_while(|heard| heard.came <= promise.until) {
            if one.client != promise.client || one.sent < promise.from {
                continue;
            }
            *checked += 1;
            let is_kept = match promise.kind {
                PromiseKind::Only(address) => one.address == address,
                PromiseKind::Never(address) => one.address != address,
            };
            assert!(is_kept, "client {}: {} although {:?}", CLIENTS[one.client], one.address, promise.kind);
        }
    }
    for kind in [PromiseKind::Never(CHANGING[0]), PromiseKind::Only(STEADY[0]), PromiseKind::Only(STEADY[1])] {
        let of_kind = promises.iter().zip(&checked).filter(|(promise, _)| promise.kind == kind);
        assert!(of_kind.map(|(_, checked)| checked).sum::<usize>() > 0, "no answer was compared with {kind:?}");
    }
    // Mirrors that change have had clients, or there was nothing to keep.
    let of_changing = |last: u8| heard.iter().any(|one| one.client == OF_CHANGING && one.address == last);
    assert!(CHANGING.into_iter().all(of_changing), "both mirrors have had clients");
}
