//! Clients that are slow or many, and those that are there when the server reloads, stops, or runs out of files.

use std::convert::Infallible;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::process::Command;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use hyper::Request;
use hyper::body::{Body, Bytes, Frame};
use hyper::header::CONTENT_TYPE;
use hyper_util::rt::{TokioExecutor, TokioIo};
use quinn::{Connection, ConnectionError, Endpoint, VarInt};
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;

use crate::common::server;
use crate::world::{Framed, NAME, World, connect, frame, in_time, query, unframe};

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Others on this machine.
fn other(number: u8) -> IpAddr {
    IpAddr::from([127, 0, 1, number])
}

/// Well below how long a handshake may take.
const SOON: Duration = Duration::from_secs(4);

/// Every encrypted transport answers a new client, soon.
async fn all_answer(world: &World) {
    let begin = Instant::now();
    assert!(in_time(world.tls(LOCAL)).await.unwrap().ask(&query()).await.unwrap().is_some());
    assert_eq!(in_time(world.https(LOCAL)).await.unwrap().get(&query()).await.status, 200);
    assert!(in_time(world.quic(LOCAL)).await.unwrap().ask(&query()).await.is_some());
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_handshakes_delay_nobody() {
    let world = World::start("");
    let mut slow = Vec::new();
    for listener in ["DNS over TLS", "DNS over HTTPS"] {
        for number in 0..30 {
            let mut stream = connect(other(number), world.server.listener(listener, LOCAL)).await.unwrap();
            // The start of a record that never comes.
            stream.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
            slow.push(stream);
        }
    }
    all_answer(&world).await;

    // Handshakes over QUIC by a client that then is silent.
    let sink = tokio::net::UdpSocket::bind((LOCAL, 0)).await.unwrap();
    let mut endpoint = Endpoint::client((LOCAL, 0).into()).unwrap();
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(world.client(b"doq")).unwrap();
    endpoint.set_default_client_config(quinn::ClientConfig::new(std::sync::Arc::new(crypto)));
    let address = world.server.listener("DNS over QUIC", LOCAL);
    let silent = tokio::net::UdpSocket::bind((LOCAL, 0)).await.unwrap();
    let mut room = [0; 2048];
    let mut begun = Vec::new();
    for _ in 0..100 {
        begun.push(endpoint.connect(sink.local_addr().unwrap(), NAME).unwrap());
        let (len, _) = in_time(sink.recv_from(&mut room)).await.unwrap();
        silent.send_to(&room[..len], address).await.unwrap();
    }
    all_answer(&world).await;
    // The server sends a Retry, so that a client proves its address: RFC 9000 §17.2.5, a Retry has type 3.
    let is_retry = |packet: &[u8]| packet[0] & 0xf0 == 0xf0;
    while !is_retry(&room) {
        in_time(silent.recv_from(&mut room)).await.unwrap();
    }
}

/// RFC 9000 §8.1: an address that is not validated gets at most three times the bytes it sent.
#[tokio::test(flavor = "multi_thread")]
async fn rfc9000_s8_1_a_forged_address_gets_no_more_than_three_times_as_much() {
    let world = World::start("");
    let sink = tokio::net::UdpSocket::bind((LOCAL, 0)).await.unwrap();
    let mut endpoint = Endpoint::client((LOCAL, 0).into()).unwrap();
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(world.client(b"doq")).unwrap();
    endpoint.set_default_client_config(quinn::ClientConfig::new(std::sync::Arc::new(crypto)));
    let _begun = endpoint.connect(sink.local_addr().unwrap(), NAME).unwrap();
    let mut room = [0; 2048];
    let (sent, _) = in_time(sink.recv_from(&mut room)).await.unwrap();
    let victim = tokio::net::UdpSocket::bind((LOCAL, 0)).await.unwrap();
    victim.send_to(&room[..sent], world.server.listener("DNS over QUIC", LOCAL)).await.unwrap();
    let mut received = 0;
    // Beyond the first probe timeouts (RFC 9002 §6.2.2), when lost packets are sent again.
    while let Ok(got) = tokio::time::timeout(Duration::from_millis(2500), victim.recv(&mut room)).await {
        received += got.unwrap();
    }
    assert!(received > 0 && received <= 3 * sent, "{received} bytes for {sent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_handshakes_take_no_place_of_those_who_ask() {
    let world = World::start("tcp-connections = 6");
    let mut tls = world.tls(LOCAL).await.unwrap();
    let mut https = world.https(LOCAL).await.unwrap();
    let quic = world.quic(LOCAL).await.unwrap();
    // A client ends its handshake before the server does. An answer shows that both have ended it.
    assert!(tls.ask(&query()).await.unwrap().is_some());
    assert_eq!(https.get(&query()).await.status, 200);
    assert!(quic.ask(&query()).await.is_some());
    let mut slow = Vec::new();
    for number in 0..40 {
        let listener = if number % 2 == 0 { "DNS over TLS" } else { "DNS over HTTPS" };
        slow.push(connect(other(number), world.server.listener(listener, LOCAL)).await.unwrap());
    }
    // The first connections are closed for the later ones.
    assert!(Framed(slow.remove(0)).is_closed().await);
    assert!(tls.ask(&query()).await.unwrap().is_some());
    assert_eq!(https.get(&query()).await.status, 200);
    assert!(quic.ask(&query()).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_client_has_its_share_over_all_transports() {
    let world = World::start("tcp-connections-per-client = 3");
    let mut tls = world.tls(LOCAL).await.unwrap();
    let mut https = world.https(LOCAL).await.unwrap();
    let quic = world.quic(LOCAL).await.unwrap();
    assert!(quic.ask(&query()).await.is_some());
    assert!(in_time(world.tls(LOCAL)).await.is_err());
    assert!(in_time(world.https(LOCAL)).await.is_err());
    // RFC 9000 §20.1: CONNECTION_REFUSED is 2.
    match in_time(world.quic(LOCAL)).await {
        Err(ConnectionError::ConnectionClosed(close)) => assert_eq!(u64::from(close.error_code), 2),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("the client has as many connections as it may"),
    }
    assert!(in_time(world.tls(other(1))).await.unwrap().ask(&query()).await.unwrap().is_some());
    assert!(tls.ask(&query()).await.unwrap().is_some() && quic.ask(&query()).await.is_some());
    assert_eq!(https.get(&query()).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_ends_a_connection() {
    let world = World::start("tcp-idle = \"1s\"");
    let mut tls = world.tls(LOCAL).await.unwrap();
    let quic = world.quic(LOCAL).await.unwrap();
    assert!(tls.ask(&query()).await.unwrap().is_some() && quic.ask(&query()).await.is_some());
    assert!(tls.is_closed().await);
    assert!(matches!(
        in_time(quic.connection.closed()).await,
        ConnectionError::TimedOut | ConnectionError::ApplicationClosed(_)
    ));
}

/// The certificate of the server at the other end.
fn certificate(connection: &Connection) -> CertificateDer<'static> {
    let chain = connection.peer_identity().unwrap().downcast::<Vec<CertificateDer<'static>>>().unwrap();
    chain[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_served_without_dropping_a_connection() {
    let mut world = World::start("");
    let mut tls = world.tls(LOCAL).await.unwrap();
    let mut https = world.https(LOCAL).await.unwrap();
    let quic = world.quic(LOCAL).await.unwrap();
    let before = https.certificates[0].clone();
    assert_eq!(certificate(&quic.connection), before);
    let renewed = world.renew();
    assert_ne!(before, renewed);
    assert!(tls.ask(&query()).await.unwrap().is_some() && quic.ask(&query()).await.is_some());
    assert_eq!(https.get(&query()).await.status, 200);
    let tls = world.tls(LOCAL).await.unwrap();
    assert_eq!(tls.0.get_ref().1.peer_certificates().unwrap()[0], renewed);
    assert_eq!(world.https(LOCAL).await.unwrap().certificates[0], renewed);
    assert_eq!(certificate(&world.quic(LOCAL).await.unwrap().connection), renewed);
}

/// A body whose parts arrive when the test sends them.
struct Parts(mpsc::Receiver<Bytes>);

impl Body for Parts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|part| part.map(|part| Ok(Frame::data(part))))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_finishes_what_has_begun() {
    let mut world = World::start("");
    let message = query();
    let (half, rest) = message.split_at(9);

    // Over TLS: a whole query and half of the next in one go, so that an answer shows that both have come.
    let mut tls = world.tls(LOCAL).await.unwrap();
    let framed = frame(&message);
    tls.0.write_all(&[&framed, &framed[..9]].concat()).await.unwrap();
    tls.receive().await.unwrap();

    // Over QUIC: half a query on a stream, and then a whole one on the next.
    let quic = world.quic(LOCAL).await.unwrap();
    let (mut send, mut receive) = quic.connection.open_bi().await.unwrap();
    send.write_all(&framed[..9]).await.unwrap();
    assert!(quic.ask(&message).await.is_some());

    // Over HTTPS: the same with requests.
    let address = world.server.listener("DNS over HTTPS", LOCAL);
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(world.client(b"h2")));
    let stream = connect(LOCAL, address).await.unwrap();
    let stream = connector.connect(ServerName::try_from(NAME).unwrap(), stream).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = |parts| {
        let kind = "application/dns-message";
        Request::post(format!("https://{NAME}/dns-query")).header(CONTENT_TYPE, kind).body(Parts(parts)).unwrap()
    };
    let (parts, received) = mpsc::channel(2);
    parts.send(Bytes::copy_from_slice(half)).await.unwrap();
    sender.ready().await.unwrap();
    let begun = sender.send_request(request(received));
    let (whole, received) = mpsc::channel(1);
    whole.send(Bytes::copy_from_slice(&message)).await.unwrap();
    drop(whole);
    sender.ready().await.unwrap();
    assert_eq!(in_time(sender.send_request(request(received))).await.unwrap().status(), 200);

    world.server.signal("TERM");
    world.server.wait_for("stopping");
    tls.0.write_all(&framed[9..]).await.unwrap();
    assert_eq!(in_time(tls.receive()).await.unwrap()[7], 3);
    assert!(tls.is_closed().await);
    send.write_all(&framed[9..]).await.unwrap();
    send.finish().unwrap();
    assert_eq!(unframe(in_time(receive.read_to_end(70_000)).await.unwrap()).unwrap()[7], 3);
    assert_eq!(quic.closed_with().await, Some(VarInt::from_u32(0)));
    parts.send(Bytes::copy_from_slice(rest)).await.unwrap();
    drop(parts);
    let response = in_time(begun).await.unwrap();
    assert_eq!((response.status().as_u16(), response.into_body().collect().await.unwrap().to_bytes()[7]), (200, 3));
    let said = world.server.wait_for("stopped");
    assert!(!said.iter().any(|line| line.contains("did not end in time")), "{said:?}");
    assert_eq!(world.server.wait(), Some(0));
}

#[test]
fn a_certificate_that_cannot_be_served_is_found_by_check() {
    let world = World::start("");
    let check = || {
        let folder = world.folder.path();
        let pharos = Command::new(env!("CARGO_BIN_EXE_pharos")).arg("check").current_dir(folder).output().unwrap();
        (pharos.status.code(), String::from_utf8(pharos.stdout).unwrap())
    };
    let (code, said) = check();
    assert_eq!(code, Some(0), "{said}");
    fs::remove_file(world.certificate()).unwrap();
    fs::write(world.folder.path().join("key.pem"), "").unwrap();
    let (code, said) = check();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("error[tls-unreadable]") && said.contains("error[tls-no-key]"), "{said}");
    world.server.signal("HUP");
    let said = world.server.wait_for("reloaded: generation").join("\n");
    assert!(said.contains("listener `dns` keeps its served certificate"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_files_to_open_nothing_spins_and_udp_goes_on() {
    let world = World::start_with_open_files("", 64);
    let address = world.server.address(LOCAL);
    let mut waiting = Vec::new();
    for number in 0..100 {
        waiting.push(connect(other(number % 5), address).await.unwrap());
    }
    world.server.wait_for("failed to accept TCP connections");
    let (begin, before) = (Instant::now(), world.server.cpu_time());
    let mut answered = 0;
    // For long enough to tell a busy process from one that waits; each question opens a socket here, not there.
    while begin.elapsed() < Duration::from_secs(1) {
        let message = query();
        let asked = pharos::process::work::submit(pharos::process::work::Lane::Compute, move || {
            server::ask_udp(&message, LOCAL, address)
        });
        assert!(asked.await.unwrap().unwrap().is_some());
        answered += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let used = world.server.cpu_time() - before;
    assert!(used < 40, "{used} hundredths of a second of CPU for {answered} answers");
    // Over TCP the newest connections are answered; the connections idle longest were closed.
    let mut stream = Framed(connect(LOCAL, address).await.unwrap());
    assert!(in_time(stream.ask(&query())).await.unwrap().is_some());
    assert!(Framed(waiting.remove(0)).is_closed().await);
    drop(waiting);
    let mut stream = Framed(connect(LOCAL, address).await.unwrap());
    assert!(in_time(stream.ask(&query())).await.unwrap().is_some());
    world.server.wait_for("accepted again");
}
