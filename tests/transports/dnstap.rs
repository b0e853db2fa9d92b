//! dnstap, as `fstrm_capture` and `dnstap-ldns` read it, and a reader that stops, goes away and comes back.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Instant, SystemTime};

use pharos::base::prefix::Prefix;
use pharos::base::rr::Rtype;

use crate::common::query::Builder;
use crate::common::server::{self, PATIENCE, Server};
use crate::copies::{
    Capture, Copy, HTTP_PROTOCOL, IDENTITY, QUERY_ADDRESS, QUERY_MESSAGE, QUERY_PORT, QUERY_TIME, QUERY_ZONE,
    RESPONSE_ADDRESS, RESPONSE_MESSAGE, RESPONSE_PORT, RESPONSE_TIME, SOCKET_FAMILY, SOCKET_PROTOCOL, TYPE, TYPE_FIELD,
    VERSION,
};
use crate::world::{self, World};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const CONNECTED: &str = "pharos_dnstap_connected";
const WRITTEN: &str = "pharos_dnstap_frames_total";
const NO_READER: &str = "pharos_dnstap_dropped_total{reason=\"no-reader\"}";
const RING_FULL: &str = "pharos_dnstap_dropped_total{reason=\"ring-full\"}";

/// A configuration with `[dnstap]`, whose further keys may come as a line each.
fn config(reader: &str, keys: &str) -> String {
    let text = world::configure("udp-threads = 1\nnsid = \"fra1-a\"");
    format!("{text}\n[admin]\nlisten = \"127.0.0.1:0\"\n[dnstap]\n{reader}\n{keys}\n")
}

const SOCKET: &str = "socket = \"dnstap.sock\"";

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come in time");
        std::thread::yield_now();
    }
}

fn wait_for_reader(server: &Server) {
    until("the reader", || server.metric(CONNECTED) == 1);
}

/// A query by its ID. The sentinel, which is asked behind each, has another one.
fn query(id: u16, name: &str) -> Vec<u8> {
    let subnet = Prefix::holding("30.1.3.77".parse().unwrap(), 32);
    let mut message = Builder::new(name, Rtype::A).ecs(subnet).finish();
    message[..2].copy_from_slice(&id.to_be_bytes());
    message
}

fn ask(server: &Server, id: u16, name: &str) {
    let reply = server::ask_udp(&query(id, name), HERE, server.address(HERE)).unwrap();
    assert!(reply.is_some(), "{name} was not answered");
}

/// The copies with this ID.
fn of(copies: &[Copy], id: u16) -> Vec<&Copy> {
    copies.iter().filter(|copy| copy.bytes(RESPONSE_MESSAGE).unwrap().starts_with(&id.to_be_bytes())).collect()
}

fn reload(world: &World, keys: &str) {
    fs::write(world.folder.path().join("pharos.toml"), config(SOCKET, keys)).unwrap();
    world.server.signal("HUP");
    world.server.wait_for("reloaded: ");
}

/// Ends the server, which tells the reader that all is sent.
fn end(world: &mut World) {
    world.server.signal("TERM");
    assert_eq!(world.server.wait(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_transport_is_copied_with_all_of_its_facts() {
    let began = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let mut world = World::start_from(&config(SOCKET, "clients = \"whole\""), &[]);
    let Some(capture) = Capture::start(world.folder.path(), "dnstap.fstrm") else { return };
    wait_for_reader(&world.server);
    let name = "blob.k8s.io.";
    ask(&world.server, 1, name);
    server::ask_tcp(&query(2, name), HERE, world.server.address(HERE)).unwrap().unwrap();
    world.tls(HERE).await.unwrap().ask(&query(3, name)).await.unwrap().unwrap();
    let mut https = world.https(HERE).await.unwrap();
    https.post(&query(4, name)).await;
    let v6: IpAddr = "::1".parse().unwrap();
    world.quic(v6).await.unwrap().ask(&query(0, name)).await.unwrap();
    until("the frames", || world.server.metric(WRITTEN) >= 8);
    let port = |what: &str, family| world.server.listener(what, family).port();
    let plain = world.server.address(HERE).port();
    let expected = [
        (1, 1, plain),
        (2, 2, plain),
        (3, 3, port("DNS over TLS", HERE)),
        (4, 4, port("DNS over HTTPS", HERE)),
        (0, 7, port("DNS over QUIC", v6)),
    ];
    end(&mut world);
    let copies = capture.finish();
    assert_eq!(copies.len(), 8, "five replies, and three to the sentinels over UDP, TCP and TLS: {copies:#?}");
    for (id, protocol, port) in expected {
        let [copy] = of(&copies, id)[..] else { panic!("{id} is not there once: {copies:#?}") };
        let address = if id == 0 { v6 } else { HERE };
        assert_eq!(copy.text_of(IDENTITY), "fra1-a");
        assert_eq!(copy.text_of(VERSION), concat!("pharos ", env!("CARGO_PKG_VERSION")));
        let numbers =
            [TYPE_FIELD, SOCKET_FAMILY, SOCKET_PROTOCOL, RESPONSE_PORT].map(|field| copy.number(field).unwrap());
        assert_eq!(numbers, [2, if address.is_ipv4() { 1 } else { 2 }, protocol, port.into()]);
        assert_eq!([QUERY_ADDRESS, RESPONSE_ADDRESS].map(|field| copy.address(field)), [Some(address); 2]);
        assert!(copy.number(QUERY_PORT).unwrap() > 0 && copy.number(QUERY_PORT) != copy.number(RESPONSE_PORT));
        // A second of civil time, and its nanoseconds.
        let time = |field| (copy.number(field).unwrap(), copy.number(field + 1).unwrap());
        assert!(time(QUERY_TIME) <= time(RESPONSE_TIME) && time(QUERY_TIME).0 >= began, "{copy:?}");
        assert_eq!(copy.bytes(QUERY_ZONE), Some(&b"\x04blob\x03k8s\x02io\0"[..]));
        assert_eq!((copy.bytes(QUERY_MESSAGE), copy.number(HTTP_PROTOCOL)), (None, (id == 4).then_some(2)));
        assert!(copy.holds(b"\x04blob\x03k8s\x02io\0\0\x01\0\x01"), "the question: {copy:?}");
        assert!(copy.holds(&[0, 8, 0, 8, 0, 1, 32]), "the whole subnet: {copy:?}");
        let extra = copy.extra();
        assert_eq!(extra["outcome"], "steered", "{extra}");
        assert_eq!((&extra["by"], extra["generation"].as_u64()), (&"subnet".into(), Some(1)), "{extra}");
        assert_eq!((&extra["horizon"], &extra["tier"]), (&"nested".into(), &"preferred".into()), "{extra}");
        assert!(extra["mirror"].is_string() && extra["rule"].is_u64(), "{extra}");
        if protocol > 2 {
            continue;
        }
        let texts = [
            ("socket_family", "INET"),
            ("socket_protocol", if protocol == 1 { "UDP" } else { "TCP" }),
            ("query_address", "127.0.0.1"),
            ("response_port", &port.to_string()),
            ("query_zone", "blob.k8s.io."),
        ];
        for (key, value) in texts {
            assert_eq!(copy.get(key), value, "{key} of\n{}", copy.text);
        }
        assert!(copy.text.contains("type: AUTH_RESPONSE") && copy.text.contains("rcode: NOERROR"), "{}", copy.text);
    }
}

#[test]
fn a_reload_changes_the_sample_the_kinds_and_the_addresses() {
    let mut world = World::start_from(&config(SOCKET, "only = \"errors\""), &[]);
    let Some(capture) = Capture::start(world.folder.path(), "dnstap.fstrm") else { return };
    let server = &world.server;
    wait_for_reader(server);
    ask(server, 1, "blob.k8s.io.");
    ask(server, 2, "nowhere.example.com.");
    reload(&world, "only = \"steered\"\nclients = \"none\"");
    ask(server, 3, "blob.k8s.io.");
    ask(server, 4, "www.example.net.");
    reload(&world, "sample = 3\nonly = \"steered\"\nclients = \"whole\"");
    for _ in 0..9 {
        ask(server, 5, "blob.k8s.io.");
    }
    reload(&world, "only = [\"steered\", \"errors\"]");
    ask(server, 6, "blob.k8s.io.");
    ask(server, 7, "nowhere.example.com.");
    end(&mut world);
    let copies = capture.finish();
    let counts: Vec<usize> = (1..=7).map(|id| of(&copies, id).len()).collect();
    assert_eq!(counts, [0, 1, 1, 0, 3, 1, 1], "{copies:#?}");
    // The option has the code 8, its length, family 1, the bits of the subnet, those of the scope, and the subnet. An error has
    // the scope 0.
    let has = |id, len, source, subnet: &[u8]| {
        let copy = of(&copies, id)[0];
        let option = [0, 8, 0, len, 0, 1, source];
        (0..=32).any(|scope| copy.holds(&[&option[..], &[scope], subnet].concat()))
    };
    assert!(has(2, 7, 24, &[30, 1, 3]) && has(6, 7, 24, &[30, 1, 3]), "the default is the network");
    assert!(has(3, 4, 0, &[]) && has(5, 8, 32, &[30, 1, 3, 77]), "{copies:#?}");
    let four = [2, 3, 5, 6].map(|id| of(&copies, id)[0]);
    let whole = Some(HERE);
    let network = Some([127, 0, 0, 0].into());
    assert_eq!(four.map(|copy| copy.address(QUERY_ADDRESS)), [network, None, whole, network]);
    assert_eq!(four.map(|copy| copy.number(QUERY_PORT).is_some()), [false, false, true, false]);
    assert!(copies.iter().all(|copy| copy.number(RESPONSE_PORT).is_some() && !copy.text.is_empty()));
}

#[test]
fn a_reload_of_names_alone_keeps_the_connection() {
    let mut world = World::start_from(&config(SOCKET, ""), &[]);
    let Some(capture) = Capture::start(world.folder.path(), "dnstap.fstrm") else { return };
    let mut said = world.server.wait_for("is connected");
    wait_for_reader(&world.server);
    ask(&world.server, 1, "blob.k8s.io.");
    until("the frames", || world.server.metric(WRITTEN) == 2);
    fs::write(world.folder.path().join("pharos.toml"), config(SOCKET, "identity = \"other\"")).unwrap();
    world.server.signal("HUP");
    said.extend(world.server.wait_for("reloaded: "));
    assert!(said.iter().any(|line| line.contains("`[dnstap] identity`: added")), "{said:#?}");
    ask(&world.server, 2, "blob.k8s.io.");
    end(&mut world);
    said.extend(world.server.lines());
    assert_eq!(said.iter().filter(|line| line.contains("is connected")).count(), 1, "{said:#?}");
    let copies = capture.finish();
    let names = [1, 2].map(|id| of(&copies, id)[0].text_of(IDENTITY));
    assert_eq!(names, ["fra1-a", "other"], "{copies:#?}");
}

#[test]
fn a_reload_turns_it_on_and_off() {
    let off = config("", "").replace("[dnstap]\n", "");
    let mut world = World::start_from(&off, &[]);
    let Some(capture) = Capture::start(world.folder.path(), "dnstap.fstrm") else { return };
    ask(&world.server, 1, "blob.k8s.io.");
    reload(&world, "");
    wait_for_reader(&world.server);
    ask(&world.server, 2, "blob.k8s.io.");
    fs::write(world.folder.path().join("pharos.toml"), &off).unwrap();
    world.server.signal("HUP");
    world.server.wait_for("reloaded: ");
    until("the end", || world.server.metric(CONNECTED) == 0);
    ask(&world.server, 3, "blob.k8s.io.");
    assert_eq!((world.server.metric(NO_READER), world.server.metric(WRITTEN)), (0, 2));
    end(&mut world);
    let copies = capture.finish();
    assert_eq!([1, 2, 3].map(|id| of(&copies, id).len()), [0, 1, 0], "{copies:#?}");
}

#[test]
fn a_reader_that_stops_costs_copies_and_no_answer() {
    let mut world = World::start_from(&config(SOCKET, ""), &[]);
    let Some(capture) = Capture::start(world.folder.path(), "dnstap.fstrm") else { return };
    wait_for_reader(&world.server);
    capture.signal("STOP");
    let asked = fill(&world.server);
    capture.signal("CONT");
    // Each query has a sentinel behind it.
    let all = || world.server.metric(WRITTEN) + world.server.metric(RING_FULL) == 2 * asked;
    until("the frames", all);
    ask(&world.server, 2, "blob.k8s.io.");
    assert_eq!(world.server.metric(CONNECTED), 1, "the connection outlives the pause");
    until("the last frames", || world.server.metric(WRITTEN) + world.server.metric(RING_FULL) == 2 * asked + 2);
    let written = world.server.metric(WRITTEN);
    end(&mut world);
    let copies = capture.finish();
    assert_eq!((copies.len() as u64, of(&copies, 2).len()), (written, 1));
}

#[test]
fn a_reader_that_comes_back_is_connected_again() {
    let mut world = World::start_from(&config(SOCKET, ""), &[]);
    ask(&world.server, 1, "blob.k8s.io.");
    assert_eq!(world.server.metric(NO_READER), 2);
    for round in 0..2 {
        let Some(capture) = Capture::start(world.folder.path(), &format!("{round}.fstrm")) else { return };
        let said = world.server.wait_for("is connected");
        let failures = said.iter().filter(|line| line.contains("failed to connect")).count();
        assert!(failures <= usize::from(round == 0), "one line for a change: {said:#?}");
        wait_for_reader(&world.server);
        ask(&world.server, 2 + round, "blob.k8s.io.");
        until("the frames", || world.server.metric(WRITTEN) == 2 * u64::from(round) + 2);
        if round == 0 {
            drop(capture);
            world.server.wait_for("copies are dropped until it is back");
            assert_eq!(world.server.metric(CONNECTED), 0);
        } else {
            end(&mut world);
            let copies = capture.finish();
            assert_eq!([2, 3].map(|id| of(&copies, id).len()), [0, 1], "{copies:#?}");
            return;
        }
    }
}

/// Fills the buffers of a reader that is stopped.
fn fill(server: &Server) -> u64 {
    let mut asked = 0;
    while asked < 20_000 && (asked % 250 > 0 || server.metric(RING_FULL) == 0) {
        ask(server, 1, "blob.k8s.io.");
        asked += 1;
    }
    assert!(server.metric(RING_FULL) > 0, "{asked} queries fill no ring");
    asked
}

#[test]
fn a_reader_that_stops_holds_up_neither_another_reader_nor_the_end() {
    let mut world = World::start_from(&config(SOCKET, ""), &[]);
    let Some(capture) = Capture::start(world.folder.path(), "dnstap.fstrm") else { return };
    wait_for_reader(&world.server);
    capture.signal("STOP");
    fill(&world.server);
    let listener = TcpListener::bind((HERE, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let other = config(&format!("tcp = \"{address}\""), "");
    fs::write(world.folder.path().join("pharos.toml"), other).unwrap();
    world.server.signal("HUP");
    let mut stream = connection(&listener);
    assert_eq!(control_type(&mut stream), 4, "READY");
    accept(&mut stream, TYPE);
    world.server.wait_for("is connected");
    // This reader takes nothing either, and the process ends in time.
    fill(&world.server);
    end(&mut world);
}

/// The next connection.
fn connection(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).unwrap();
    let mut accepted = None;
    until("a connection", || {
        accepted = listener.accept().ok();
        accepted.is_some()
    });
    let (stream, _) = accepted.unwrap();
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Receives a control frame, and returns its type.
fn control_type(stream: &mut TcpStream) -> u32 {
    let mut head = [0; 8];
    stream.read_exact(&mut head).unwrap();
    let (escape, len) = head.split_at(4);
    assert_eq!(escape, [0; 4]);
    let mut body = vec![0; u32::from_be_bytes(len.try_into().unwrap()) as usize];
    stream.read_exact(&mut body).unwrap();
    u32::from_be_bytes(*body.first_chunk().unwrap())
}

fn accept(stream: &mut TcpStream, kind: &str) {
    let field = [&1u32.to_be_bytes()[..], &(kind.len() as u32).to_be_bytes(), kind.as_bytes()].concat();
    let body = [&1u32.to_be_bytes()[..], &field].concat();
    stream.write_all(&[&[0; 4][..], &(body.len() as u32).to_be_bytes(), &body].concat()).unwrap();
}

#[test]
fn a_reader_over_tcp_sees_the_handshake_and_the_end() {
    let listener = TcpListener::bind((HERE, 0)).unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let mut world = World::start_from(&config(&format!("tcp = \"{address}\""), ""), &[]);
    // A reader of something else is refused, and tried again.
    let mut stream = connection(&listener);
    assert_eq!(control_type(&mut stream), 4, "READY");
    accept(&mut stream, "text");
    world.server.wait_for("the reader does not accept `protobuf:dnstap.Dnstap`");
    let mut stream = connection(&listener);
    assert_eq!(control_type(&mut stream), 4, "READY");
    accept(&mut stream, TYPE);
    assert_eq!(control_type(&mut stream), 2, "START");
    wait_for_reader(&world.server);
    ask(&world.server, 1, "blob.k8s.io.");
    for _ in 0..2 {
        let mut len = [0; 4];
        stream.read_exact(&mut len).unwrap();
        let mut frame = vec![0; u32::from_be_bytes(len) as usize];
        stream.read_exact(&mut frame).unwrap();
        assert!(frame.windows(6).any(|window| window == b"fra1-a"));
    }
    world.server.signal("TERM");
    assert_eq!(control_type(&mut stream), 3, "STOP");
    stream.write_all(&[0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 5]).unwrap();
    assert_eq!(world.server.wait(), Some(0));
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "the connection is closed");
}
