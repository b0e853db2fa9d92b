//! Every case of the engine, over every transport.

use std::net::{IpAddr, Ipv4Addr};

use hyper::StatusCode;
use pharos::answer::Keepalive;
use pharos::wire::{self, Transport};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::common::cases::{self, Case, NO_REPLY};
use crate::common::query::Place;
use crate::common::{diff, server};
use crate::world::{Framed, Https, Quic, World, in_time};

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Longer messages are for TCP and TLS alone.
const MAX_QUERY_LEN: usize = 4096;

#[tokio::test(flavor = "multi_thread")]
async fn transports_agree() {
    let world = World::start("tcp-idle = \"10m\"");
    let mut connections = Connections::open(&world, LOCAL).await;
    let (mut failures, mut asked) = (Vec::new(), 0);
    let all = cases::all();
    for case in all.iter().filter(|case| case.asked.place == Place::Everywhere) {
        let (transports, sameness) = transports(case);
        let text = |text: &str| if sameness == Sameness::Exact { text.to_string() } else { stripped(text) };
        // The cases have the default idle time, we have another, so that no connection ends in between.
        let expected = text(&case.expected_without_basis()).replace("keepalive=100", "keepalive=6000");
        if connections.from != case.asked.from {
            connections = Connections::open(&world, case.asked.from).await;
        }
        for transport in transports {
            for (how, found) in in_time(connections.ask(&world, case, transport)).await {
                asked += 1;
                if text(&found) != expected {
                    let diff = diff::lines(&expected, &text(&found));
                    failures.push(format!("{}: {} ({how})\n{}{diff}", case.place, case.name, case.head));
                }
            }
        }
    }
    eprintln!("{asked} messages over {} transports", Transport::ALL.len());
    assert!(failures.is_empty(), "{} failures\n\n{}", failures.len(), failures.join("\n"));
    assert!(asked > 1000, "{asked} messages");
}

/// The parts of replies that must be equal.
#[derive(Clone, Copy, PartialEq)]
enum Sameness {
    /// The whole text.
    Exact,
    /// The text without the length and the options that only some transports have.
    ButForOptions,
}

/// The transports over which a case is to hold: all, unless it is about some.
fn transports(case: &Case) -> (Vec<Transport>, Sameness) {
    let (mut transports, sameness) = match case.asked.transports[..] {
        [Transport::Udp, Transport::Tcp] => (Transport::ALL.to_vec(), Sameness::ButForOptions),
        // TCP stands for all that have no limit of size.
        [Transport::Tcp] => (Transport::ALL[1..].to_vec(), Sameness::ButForOptions),
        _ => (case.asked.transports.clone(), Sameness::Exact),
    };
    // RFC 9250 §5.5.2: there, keepalive ends the connection.
    let edns = wire::decode(&case.asked.message).and_then(|query| query.edns);
    if edns.is_some_and(|edns| edns.keepalive != Keepalive::No) {
        transports.retain(|transport| *transport != Transport::Quic);
    }
    (transports, sameness)
}

/// The text of a reply without the parts that may differ between transports.
fn stripped(text: &str) -> String {
    let line = |line: &str| {
        let words = line.split(' ').filter(|word| !word.starts_with("keepalive=") && !word.starts_with("padding="));
        words.collect::<Vec<_>>().join(" ")
    };
    text.lines().filter(|line| !line.starts_with("octets ")).map(|text| line(text) + "\n").collect()
}

/// Connections to ask again and again.
struct Connections {
    from: IpAddr,
    tls: Framed<TlsStream<TcpStream>>,
    https: Https,
    quic: Quic,
}

impl Connections {
    async fn open(world: &World, from: IpAddr) -> Self {
        let tls = in_time(world.tls(from)).await.unwrap();
        let https = in_time(world.https(from)).await.unwrap();
        Connections { from, tls, https, quic: in_time(world.quic(from)).await.unwrap() }
    }

    /// The replies over a transport as text, with the name of each method to ask.
    async fn ask(&mut self, world: &World, case: &Case, transport: Transport) -> Vec<(&'static str, String)> {
        let (message, from) = (&case.asked.message, self.from);
        let show = |reply: Option<Vec<u8>>| reply.map_or(NO_REPLY.to_string(), |reply| case.show(&reply));
        match transport {
            Transport::Udp => {
                let reply = server::ask_udp(message, from, world.server.address(from)).unwrap();
                vec![("UDP", show(reply))]
            }
            Transport::Tcp => {
                let reply = server::ask_tcp(message, from, world.server.address(from)).unwrap();
                vec![("TCP", show(reply))]
            }
            Transport::Tls => {
                vec![("TLS", show(self.tls.ask(message).await.unwrap()))]
            }
            Transport::Https | Transport::Quic if message.len() > MAX_QUERY_LEN => Vec::new(),
            Transport::Https => {
                let [got, posted] = ask_https(&mut self.https, message).await;
                vec![("HTTPS GET", show(got)), ("HTTPS POST", show(posted))]
            }
            Transport::Quic => {
                let reply = ask_quic(&self.quic, message).await;
                if reply.is_none() {
                    // A query that gets no reply ends the connection.
                    self.quic.closed_with().await;
                    self.quic = world.quic(from).await.unwrap();
                }
                vec![("QUIC", show(reply))]
            }
        }
    }
}

async fn ask_https(https: &mut Https, message: &[u8]) -> [Option<Vec<u8>>; 2] {
    let said = [https.get(message).await, https.post(message).await];
    said.map(|said| match said.status {
        StatusCode::OK => {
            assert_eq!(said.header("content-type"), "application/dns-message");
            Some(said.body.to_vec())
        }
        StatusCode::BAD_REQUEST => None,
        other => panic!("{other}: {said:?}"),
    })
}

/// RFC 9250 §4.2.1: the ID is 0 in both directions; we give the reply that of the query for comparison.
async fn ask_quic(quic: &Quic, message: &[u8]) -> Option<Vec<u8>> {
    let mut sent = message.to_vec();
    sent.iter_mut().take(2).for_each(|octet| *octet = 0);
    let mut reply = quic.ask(&sent).await?;
    assert_eq!(reply[..2], [0, 0]);
    reply[..2].copy_from_slice(&message[..2]);
    Some(reply)
}
