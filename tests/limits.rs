//! Limits as clients of the real binary meet them: response rate limiting, and connections over HTTP.

#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected is to fail")]

mod common;

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use common::server::{self, PATIENCE, Server};
use tempfile::TempDir;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// On the list of those that are not limited.
const FRIEND: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

const ZONE: &str = "$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 192.0.2.53\nwww A 192.0.2.80\n";

fn start(more: &str, open_files: Option<u32>) -> (TempDir, Server) {
    let folder = TempDir::new().unwrap();
    let config = format!(
        "[dns]\nlisten = \"127.0.0.1:0\"\ntcp-idle = \"2m\"\n[[zone]]\nname = \"example.net\"\nfile = \"zone\"\n\
         [admin]\nlisten = \"127.0.0.1:0\"\n{more}"
    );
    fs::write(folder.path().join("pharos.toml"), config).unwrap();
    fs::write(folder.path().join("zone"), ZONE).unwrap();
    let path = folder.path().join("pharos.toml");
    let server = match open_files {
        Some(limit) => Server::start_with_open_files(&path, limit),
        None => Server::start(&path),
    };
    (folder, server)
}

/// A question for the address of `www.example.net`, with a cookie if there is one.
fn question(id: u16, cookie: &[u8]) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend_from_slice(b"\0\0\0\x01\0\0\0\0\0\x01\x03www\x07example\x03net\0\0\x01\0\x01");
    message.extend_from_slice(b"\0\0\x29\x04\xd0\0\0\0\0");
    let option = [&[0, 10, 0, cookie.len() as u8], cookie].concat();
    let option = if cookie.is_empty() { &[][..] } else { &option };
    message.extend_from_slice(&(option.len() as u16).to_be_bytes());
    message.extend_from_slice(option);
    message
}

/// The reply that a client sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Answer,
    /// TC and nothing else.
    Truncated,
    /// BADCOOKIE.
    BadCookie,
    Nothing,
}

fn seen(reply: &[u8]) -> Seen {
    match (reply[2] & 0x02, reply[3] & 0x0f, reply[7]) {
        (0, 0, 1) => Seen::Answer,
        (2, 0, 0) => Seen::Truncated,
        // The lower half of BADCOOKIE, 23; YXRRSET, which has the same, is none of ours.
        (0, 7, 0) => Seen::BadCookie,
        other => panic!("{other:?}: {reply:02x?}"),
    }
}

/// A client with one socket.
struct Client {
    socket: UdpSocket,
    /// The ID of the last question: which of those over the limit are answered depends on it.
    id: u16,
    /// The cookie from the server: a client that sends it is never limited.
    cookie: Vec<u8>,
}

impl Client {
    /// Gets a cookie with its first question, which is within any limit.
    fn new(from: IpAddr, server: SocketAddr) -> Self {
        let socket = UdpSocket::bind((from, 0)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.connect(server).unwrap();
        let mut client = Client { socket, id: 0, cookie: b"a client".to_vec() };
        let reply = client.receive_after(&question(1, &client.cookie));
        assert_eq!(seen(&reply), Seen::Answer);
        client.cookie = reply[reply.len() - 24..].to_vec();
        client
    }

    fn receive_after(&self, question: &[u8]) -> Vec<u8> {
        self.socket.send(question).unwrap();
        self.receive()
    }

    fn receive(&self) -> Vec<u8> {
        let mut reply = vec![0; 1500];
        let len = self.socket.recv(&mut reply).unwrap();
        reply.truncate(len);
        reply
    }

    /// Asks a question, and then one with the cookie, whose answer shows that the first is not answered.
    fn ask(&mut self, cookie: &[u8]) -> (Seen, Vec<u8>) {
        self.id += 2;
        self.socket.send(&question(self.id, cookie)).unwrap();
        self.socket.send(&question(self.id + 1, &self.cookie)).unwrap();
        let first = self.receive();
        if first[1] % 2 == 1 {
            assert_eq!(seen(&first), Seen::Answer);
            return (Seen::Nothing, first);
        }
        assert_eq!(seen(&self.receive()), Seen::Answer);
        (seen(&first), first)
    }
}

#[test]
fn a_client_over_the_limit_is_answered_now_and_then_and_whoever_is_known_always() {
    let rrl =
        "[dns.rrl]\nresponses-per-second = 1\nwindow = \"1h\"\nslip = 2\nipv4-prefix = 32\nexempt = \"127.0.0.2\"\n";
    let (_folder, server) = start(rrl, None);
    let address = server.address(HERE);
    // The limit is one response a second, and each question over it delays the next response: the test need not be quick.
    let mut client = Client::new(HERE, address);
    let limited: Vec<Seen> = (0..40).map(|_| client.ask(&[]).0).collect();
    let count = |what| limited.iter().filter(|seen| **seen == what).count() as u64;
    let (truncated, silent) = (count(Seen::Truncated), count(Seen::Nothing));
    // About half slips: that of forty no more than four do, or do not, happens once in ten million times.
    assert!(truncated + silent == 40 && truncated > 4 && silent > 4, "{limited:?}");
    // A client that supports cookies gets BADCOOKIE with a server cookie, and with that cookie it is answered.
    let unproven: Vec<(Seen, Vec<u8>)> = (0..40).map(|_| client.ask(b"a client")).collect();
    let told: Vec<&Vec<u8>> =
        unproven.iter().filter(|(seen, _)| *seen == Seen::BadCookie).map(|(_, reply)| reply).collect();
    let ignored = unproven.iter().filter(|(seen, _)| *seen == Seen::Nothing).count();
    assert!(told.len() + ignored == 40 && told.len() > 4, "{unproven:?}");
    let cookie = &told[0][told[0].len() - 24..];
    assert!((0..10).all(|_| client.ask(cookie).0 == Seen::Answer));
    // TC leads to TCP, where nothing is limited. The client on the exempt list is not limited either.
    for _ in 0..10 {
        let reply = server::ask_tcp(&question(4, &[]), HERE, address).unwrap().unwrap();
        assert_eq!(seen(&reply), Seen::Answer);
    }
    let mut friend = Client::new(FRIEND, address);
    assert!((0..10).all(|_| friend.ask(&[]).0 == Seen::Answer));

    let limit = |limit| server.metric(&format!("pharos_dns_rate_limit_total{{limit=\"{limit}\"}}"));
    let seen = (truncated + told.len() as u64, silent + ignored as u64);
    assert_eq!((limit("slipped"), limit("dropped"), limit("within")), (seen.0, seen.1, 1));
    // With a cookie: one question behind each other one to end the wait, and those of the client after BADCOOKIE. Over TCP
    // each question has a sentinel.
    assert_eq!((limit("exempt-by-cookie"), limit("exempt-by-list"), limit("off")), (100 + 10, 1 + 10, 20));
}

/// The start of what an HTTP server says to a request.
fn status(stream: &mut TcpStream) -> std::io::Result<String> {
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")?;
    let mut start = [0; 12];
    stream.read_exact(&mut start)?;
    Ok(String::from_utf8_lossy(&start).into_owned())
}

#[test]
fn without_files_to_open_http_waits_and_dns_goes_on() {
    let registry = "[registry]\nlisten = \"127.0.0.1:0\"\ncanonical = \"https://registry.example.org\"\n\
                    blobs = \"https://www.example.net\"\n";
    let (_folder, server) = start(registry, Some(64));
    let (dns, http) = (server.address(HERE), server.listener("registry over HTTP", HERE));
    let waiting: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(http).unwrap()).collect();
    server.wait_for("failed to accept registry connections");
    let (begin, before) = (Instant::now(), server.cpu_time());
    let mut answered = 0;
    // Long enough to distinguish a busy process from one that waits.
    while begin.elapsed() < Duration::from_secs(1) {
        assert!(server::ask_udp(&question(5, &[]), HERE, dns).unwrap().is_some());
        answered += 1;
        std::thread::sleep(Duration::from_millis(5));
    }
    let used = server.cpu_time() - before;
    assert!(used < 40, "{used} hundredths of a second of CPU for {answered} answers");
    drop(waiting);
    let mut stream = TcpStream::connect(http).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(status(&mut stream).unwrap(), "HTTP/1.1 200");
    server.wait_for("registry connections are accepted again");
}

#[test]
fn a_listener_without_connections_takes_the_descriptor_of_another() {
    let Some(prlimit) = common::needs::program("prlimit", "util-linux") else { return };
    let registry = "[registry]\nlisten = \"127.0.0.1:0\"\ncanonical = \"https://registry.example.org\"\n\
                    blobs = \"https://www.example.net\"\n";
    let (_folder, server) = start(registry, None);
    let limit = |open_files: &str| {
        let pid = server.id().to_string();
        let limited = Command::new(&prlimit).args(["--pid", &pid, &format!("--nofile={open_files}:4096")]).status();
        assert!(limited.unwrap().success());
    };
    let mut idle = TcpStream::connect(server.address(HERE)).unwrap();
    idle.set_read_timeout(Some(PATIENCE)).unwrap();
    let question = question(5, &[]);
    idle.write_all(&[&(question.len() as u16).to_be_bytes(), &question[..]].concat()).unwrap();
    let mut len = [0; 2];
    idle.read_exact(&mut len).unwrap();
    let mut reply = vec![0; usize::from(u16::from_be_bytes(len))];
    idle.read_exact(&mut reply).unwrap();
    assert_eq!(seen(&reply), Seen::Answer);

    let http = server.listener("registry over HTTP", HERE);
    limit("3");
    let mut stream = TcpStream::connect(http).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let end = idle.read(&mut [0]);
    let is_reset = |error: &std::io::Error| error.kind() == ErrorKind::ConnectionReset;
    assert!(matches!(end, Ok(0)) || end.as_ref().is_err_and(is_reset), "the connection of DNS stays: {end:?}");
    limit("4096");
    assert_eq!(status(&mut stream).unwrap(), "HTTP/1.1 200");
}

#[test]
fn no_reply_goes_to_the_port_of_a_service_that_answers_whatever_it_gets() {
    let (_folder, server) = start("", None);
    let address = server.address(HERE);
    let bind = |port| UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 19), port));
    let mut sent = 0;
    for port in [7, 13, 17, 19, 37, 464] {
        let socket = match bind(port) {
            Ok(socket) => socket,
            Err(error) => {
                common::needs::skip(format!("port {port} cannot be bound here: {error}"));
                continue;
            }
        };
        socket.connect(address).unwrap();
        socket.send(&question(port, &[])).unwrap();
        sent += 1;
        // Counting takes the place of replying, so that no reply is on its way once it is counted.
        let deadline = Instant::now() + PATIENCE;
        while server.metric("pharos_dns_lost_total{reason=\"source-port\"}") < sent {
            assert!(Instant::now() < deadline, "port {port} was not counted");
        }
        socket.set_nonblocking(true).unwrap();
        assert!(socket.recv(&mut [0; 512]).is_err(), "port {port} got a reply");
    }
    assert_eq!(seen(&server::ask_udp(&question(1, &[]), HERE, address).unwrap().unwrap()), Seen::Answer);
}

#[test]
fn over_udp_no_error_answers_what_has_no_sane_question() {
    let (_folder, server) = start("", None);
    let address = server.address(HERE);
    // A line of chargen, and a truncated question.
    let chargen = b" !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefg\r\n";
    let cut = &question(7, &[])[..20];
    for message in [&chargen[..], cut] {
        assert_eq!(server::ask_udp(message, HERE, address).unwrap(), None);
        let reply = server::ask_tcp(message, HERE, address).unwrap().expect("an error over TCP, which nobody forges");
        assert!(matches!(reply[3] & 0x0f, 1 | 4) && reply.len() == 12, "{reply:02x?}");
    }
    assert_eq!(server.metric("pharos_dns_lost_total{reason=\"no-question\"}"), 2);
}
