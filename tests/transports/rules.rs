//! The rules for clients in the RFCs of each transport.

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use quinn::VarInt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use crate::common::query::Builder;
use crate::world::{MOMENT, NAME, World, connect, exchange, frame, get, in_time, post, query, unframe};
use data_encoding::BASE64URL_NOPAD;
use pharos::base::rr::Rtype;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

const PROTOCOL_ERROR: VarInt = VarInt::from_u32(2);
const EXCESSIVE_LOAD: VarInt = VarInt::from_u32(4);

/// A query for the address of a name that is steered.
fn steered() -> Vec<u8> {
    let mut message = Builder::new("blob.k8s.io.", Rtype::A).finish();
    message[..2].fill(0);
    message
}

/// A query with an EDNS option.
fn with_option(code: u8, data: &[u8]) -> Vec<u8> {
    let mut message = Builder::new("www.example.net.", Rtype::A).edns(1232).finish();
    message[..2].fill(0);
    // The message ends with the length of all options.
    message.truncate(message.len() - 2);
    let len = data.len() as u8;
    message.extend([&[0, 4 + len, 0, code, 0, len], data].concat());
    message
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc8484_s4_2_1_a_status_is_about_http_alone() {
    let world = World::start("");
    let mut https = world.https(LOCAL).await.unwrap();
    let message = query();
    let encoded = BASE64URL_NOPAD.encode(&message);
    let kind = "application/dns-message";
    let request = |method: Method, path: &str| {
        Request::builder().method(method).uri(format!("https://{NAME}{path}")).body(Full::default()).unwrap()
    };
    let response = [&message[..2], &[0x80], &message[3..]].concat();
    let cases = [
        ("another path", get(&format!("/resolve?dns={encoded}")), 404),
        ("no parameter", get("/dns-query"), 400),
        ("padding", get(&format!("/dns-query?dns={encoded}=")), 400),
        ("not base64url", get("/dns-query?dns=%2B"), 400),
        ("no message", get("/dns-query?dns=AAAA"), 400),
        ("a response", post("/dns-query", kind, &response), 400),
        ("too long a parameter", get(&format!("/dns-query?dns={}", "A".repeat(6000))), 413),
        ("another method", request(Method::PUT, "/dns-query"), 405),
        ("another type", post("/dns-query", "application/dns-json", &message), 415),
        ("too long a body", post("/dns-query", kind, &[0; 4097]), 413),
        ("an empty body", post("/dns-query", kind, &[]), 400),
        ("a type with a parameter", post("/dns-query", "Application/DNS-Message; x=y", &message), 200),
        ("another parameter first", get(&format!("/dns-query?ct=x&dns={encoded}")), 200),
        ("the head alone", request(Method::HEAD, &format!("/dns-query?dns={encoded}")), 200),
    ];
    for (what, request, status) in cases {
        let said = in_time(https.send(request)).await;
        assert_eq!(said.status, status, "{what}: {said:?}");
        let allow = if status == 405 { "GET, HEAD, POST" } else { "" };
        assert_eq!(said.header("allow"), allow, "{what}");
    }
    // A DNS error is an answer.
    let refused = https.get(&Builder::new("elsewhere.example.", Rtype::A).finish()).await;
    assert_eq!((refused.status, refused.body[3] & 0x0f), (StatusCode::OK, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc8484_s5_1_a_response_is_kept_no_longer_than_its_least_ttl() {
    let world = World::start("");
    let mut https = world.https(LOCAL).await.unwrap();
    let cases = [
        ("www.example.net.", "max-age=300"),
        ("blob.k8s.io.", "private, max-age=60"),
        ("nothing.example.net.", "max-age=300"),
        ("elsewhere.example.", "no-store"),
    ];
    for (name, expected) in cases {
        let message = Builder::new(name, Rtype::A).finish();
        let said = https.get(&message).await;
        assert_eq!(said.header("cache-control"), expected, "{name}");
        assert_eq!(https.post(&message).await.header("cache-control"), expected, "{name}");
    }
    // RFC 9018 §4: a cookie is of one address and one moment.
    assert_eq!(https.get(&with_option(10, &[1; 8])).await.header("cache-control"), "no-store");
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc8484_s5_2_http_1_1_will_do() {
    let world = World::start("");
    let stream = connect(LOCAL, world.server.listener("DNS over HTTPS", LOCAL)).await.unwrap();
    let name = ServerName::try_from(NAME).unwrap();
    let connector = TlsConnector::from(Arc::new(world.client(b"http/1.1")));
    let stream = TokioIo::new(connector.connect(name, stream).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let kind = "application/dns-message";
    let all: [Request<Full<Bytes>>; 3] = [
        post("/dns-query", kind, &query()),
        get(&format!("/dns-query?dns={}", BASE64URL_NOPAD.encode(&query()))),
        post("/dns-query", kind, &steered()),
    ];
    for mut request in all {
        request.headers_mut().insert("host", NAME.parse().unwrap());
        sender.ready().await.unwrap();
        let response = in_time(sender.send_request(request)).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!((body[3] & 0x0f, body[7] > 0), (0, true));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9250_s4_3_3_violations_end_the_connection() {
    let world = World::start("");
    let message = query();
    let with_id = [&[0, 1], &message[2..]].concat();
    let response = [&message[..2], &[0x80], &message[3..]].concat();
    let cases = [
        ("an ID", frame(&with_id)),
        ("the keepalive option", frame(&with_option(11, &[]))),
        ("two queries on a stream", [frame(&message), frame(&message)].concat()),
        ("half a query", frame(&message)[..20].to_vec()),
        ("no length", vec![0]),
        ("nothing", Vec::new()),
        ("a response", frame(&response)),
    ];
    for (what, octets) in cases {
        let quic = world.quic(LOCAL).await.unwrap();
        assert_eq!(in_time(quic.ask_octets(&octets)).await, None, "{what}");
        assert_eq!(quic.closed_with().await, Some(PROTOCOL_ERROR), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9250_s4_2_streams_are_apart() {
    let world = World::start("");
    let quic = world.quic(LOCAL).await.unwrap();
    // A stream that is not finished, one that is reset, and one that is too long; then many at once.
    let (mut unfinished, mut late) = quic.connection.open_bi().await.unwrap();
    unfinished.write_all(&frame(&query())[..9]).await.unwrap();
    let (mut cancelled, _) = quic.connection.open_bi().await.unwrap();
    cancelled.write_all(&[0]).await.unwrap();
    cancelled.reset(VarInt::from_u32(3)).unwrap();
    let (mut long, mut answer) = quic.connection.open_bi().await.unwrap();
    // The server may stop it before it is all sent.
    let _ = long.write_all(&frame(&[0; 5000])).await;
    assert_eq!(in_time(answer.read_to_end(9)).await.unwrap_err().to_string(), reset(EXCESSIVE_LOAD));
    for _ in 0..3 {
        let ask = |_| tokio::spawn(exchange(quic.connection.clone(), frame(&steered())));
        let mut all = Vec::new();
        for asked in (0..90).map(ask).collect::<Vec<_>>() {
            all.push(in_time(asked).await.unwrap());
        }
        assert!(all.iter().all(|reply| reply.as_ref().is_some_and(|reply| reply[7] == 1)), "{all:?}");
    }
    unfinished.write_all(&frame(&query())[9..]).await.unwrap();
    unfinished.finish().unwrap();
    let reply = unframe(in_time(late.read_to_end(70_000)).await.unwrap()).unwrap();
    assert_eq!(reply[7], 3);
    // RFC 9250 §4.2: no unidirectional streams.
    assert!(tokio::time::timeout(MOMENT, quic.connection.open_uni()).await.is_err());
}

fn reset(code: VarInt) -> String {
    format!("read error: stream reset by peer: error {code}")
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc7301_another_protocol_is_not_spoken() {
    let world = World::start("");
    assert!(in_time(world.quic_with(LOCAL, b"h3")).await.is_err());
    let stream = connect(LOCAL, world.server.listener("DNS over TLS", LOCAL)).await.unwrap();
    let connector = TlsConnector::from(Arc::new(world.client(b"h2")));
    assert!(connector.connect(ServerName::try_from(NAME).unwrap(), stream).await.is_err());
    // RFC 7858 asks for no ALPN at all.
    let mut config = world.client(b"");
    config.alpn_protocols.clear();
    let stream = connect(LOCAL, world.server.listener("DNS over TLS", LOCAL)).await.unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector.connect(ServerName::try_from(NAME).unwrap(), stream).await.unwrap();
    assert!(in_time(crate::world::Framed(stream).ask(&query())).await.unwrap().is_some());
}
