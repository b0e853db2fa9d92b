//! A client that does not behave, on each listener.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use quinn::{Endpoint, TransportConfig, VarInt};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{UdpSocket, UnixStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::hold::big_query;
use crate::world::{NAME, World, connect, frame, query};
use crate::{BAD, Listener};

/// The kinds of attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// The start of a message, or of a handshake, and nothing more.
    SlowHead,
    /// Connections without a request, many times what a client may have.
    IdleFlood,
    /// Requests for long answers, none of which is read.
    NeverRead,
    /// A message that does not end.
    EndlessBody,
    /// Bytes at random.
    Garbage,
}

pub const ALL: [Attack; 5] =
    [Attack::SlowHead, Attack::IdleFlood, Attack::NeverRead, Attack::EndlessBody, Attack::Garbage];

/// Connections of one attack: more than all places of the server.
const FLOOD: usize = 40;

/// Connections that cost the client more: more than one client may have.
const FEW: usize = 12;

/// The time for which a client goes on writing when the server does not read its bytes.
const WRITING: Duration = Duration::from_millis(400);

/// Something that keeps a connection open.
pub type Held = Box<dyn Any + Send>;

/// Makes an attack; its connections are open until the returned are dropped.
pub async fn run(world: &World, listener: Listener, attack: Attack) -> Vec<Held> {
    if listener == Listener::Quic {
        return quic(world, attack).await;
    }
    let count = if matches!(attack, Attack::SlowHead | Attack::IdleFlood) { FLOOD } else { FEW };
    let bytes = Arc::new(bytes(listener, attack));
    let mut all = JoinSet::new();
    for _ in 0..count {
        let Some(stream) = open(world, listener, attack).await else { continue };
        let bytes = bytes.clone();
        all.spawn(async move {
            let mut stream = stream;
            // The server may end it at any time.
            let _ = timeout(WRITING, stream.write_all(&bytes)).await;
            Box::new(stream) as Held
        });
    }
    all.join_all().await
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A connection; within TLS where the attack is behind the handshake.
async fn open(world: &World, listener: Listener, attack: Attack) -> Option<Box<dyn Stream>> {
    let inside = matches!(attack, Attack::NeverRead | Attack::EndlessBody);
    let address = match listener {
        Listener::Control => {
            let path = world.folder.path().join("control.sock");
            return Some(Box::new(UnixStream::connect(path).await.ok()?));
        }
        Listener::Tls | Listener::Https if inside => {
            let (said, protocol): (_, &[u8]) = match (listener, attack) {
                (Listener::Tls, _) => ("DNS over TLS", b"dot"),
                (_, Attack::NeverRead) => ("DNS over HTTPS", b"h2"),
                _ => ("DNS over HTTPS", b"http/1.1"),
            };
            let connector = tokio_rustls::TlsConnector::from(Arc::new(world.client(protocol)));
            let stream = connect(BAD, world.server.listener(said, BAD)).await.ok()?;
            let name = rustls::pki_types::ServerName::try_from(NAME).unwrap();
            return Some(Box::new(connector.connect(name, stream).await.ok()?));
        }
        Listener::Tcp => world.server.address(BAD),
        Listener::Tls => world.server.listener("DNS over TLS", BAD),
        Listener::Https => world.server.listener("DNS over HTTPS", BAD),
        Listener::Registry => world.server.listener("registry over HTTP", BAD),
        Listener::Admin => world.server.listener("health and metrics", BAD),
        Listener::Quic => unreachable!("QUIC has no stream of its own"),
    };
    Some(Box::new(connect(BAD, address).await.ok()?))
}

/// The bytes that a client writes.
fn bytes(listener: Listener, attack: Attack) -> Vec<u8> {
    let is_dns = matches!(listener, Listener::Tcp | Listener::Tls);
    match attack {
        Attack::IdleFlood => Vec::new(),
        Attack::Garbage => garbage(64 << 10),
        // The start of a record with a ClientHello.
        Attack::SlowHead if matches!(listener, Listener::Tls | Listener::Https) => vec![22, 3, 1, 2, 0, 1],
        Attack::SlowHead if is_dns => frame(&query())[..9].to_vec(),
        Attack::SlowHead => b"GET /v2/ HT".to_vec(),
        Attack::NeverRead if is_dns => frame(&big_query()).repeat(1000),
        // A hundred requests in one go, over a protocol without streams.
        Attack::NeverRead if listener == Listener::Control => {
            b"GET /mirrors HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(1000)
        }
        Attack::NeverRead => match listener {
            Listener::Https => no_window(&format!("/dns-query?dns={}", BASE64URL_NOPAD.encode(&big_query())), 0x87),
            Listener::Registry => no_window("/v2/pause/manifests/3.9", 0x86),
            _ => no_window("/metrics", 0x86),
        },
        Attack::EndlessBody if is_dns => [&[0xff, 0xff][..], &vec![0; 1 << 20]].concat(),
        Attack::EndlessBody => {
            let path = if listener == Listener::Https { "/dns-query" } else { "/v2/pause/manifests/3.9" };
            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/dns-message\r\n\
                 Transfer-Encoding: chunked\r\n\r\n"
            );
            let chunk = [b"1000\r\n", &vec![b'x'; 0x1000][..], b"\r\n"].concat();
            [head.as_bytes(), &chunk.repeat(256)].concat()
        }
    }
}

/// HTTP/2 (RFC 9113): SETTINGS_INITIAL_WINDOW_SIZE is 0, then 99 requests, for which there never is a window.
fn no_window(path: &str, scheme: u8) -> Vec<u8> {
    let frame = |kind: u8, flags: u8, stream: u32, payload: &[u8]| {
        let len = (payload.len() as u32).to_be_bytes();
        [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    };
    let mut all = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    all.extend(frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]));
    // RFC 7541 §6.1, §6.2.2: `:method: GET`, the scheme, then path and authority in full.
    let text = |index: u8, text: &str| [&[index, text.len() as u8], text.as_bytes()].concat();
    let head = [&[0x82, scheme][..], &text(4, path), &text(1, "localhost")].concat();
    for request in 0..99 {
        all.extend(frame(1, 0x5, 2 * request + 1, &head));
    }
    all
}

/// Bytes without an order, the same each time.
fn garbage(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

async fn quic(world: &World, attack: Attack) -> Vec<Held> {
    let address = world.server.listener("DNS over QUIC", BAD);
    if attack == Attack::Garbage {
        let socket = UdpSocket::bind((BAD, 0)).await.unwrap();
        for packet in garbage(200 * 1200).chunks(1200) {
            let mut packet = packet.to_vec();
            // RFC 9000 §17.2: the form and version of a long header.
            packet[..5].copy_from_slice(&[0xc3, 0, 0, 0, 1]);
            let _ = socket.send_to(&packet, address).await;
        }
        return vec![Box::new(socket)];
    }
    let mut all = JoinSet::new();
    for _ in 0..FEW {
        let mut endpoint = Endpoint::client((BAD, 0).into()).unwrap();
        let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(world.client(b"doq")).unwrap();
        let mut config = quinn::ClientConfig::new(Arc::new(crypto));
        if attack == Attack::NeverRead {
            let mut transport = TransportConfig::default();
            transport.receive_window(VarInt::from_u32(1)).stream_receive_window(VarInt::from_u32(1));
            config.transport_config(Arc::new(transport));
        }
        endpoint.set_default_client_config(config);
        all.spawn(async move {
            let connection = endpoint.connect(address, NAME).unwrap().await.ok()?;
            let mut streams = Vec::new();
            let (count, bytes) = match attack {
                Attack::IdleFlood | Attack::Garbage => (0, Vec::new()),
                Attack::SlowHead => (10, frame(&query())[..9].to_vec()),
                Attack::NeverRead => (100, frame(&big_query())),
                Attack::EndlessBody => (10, vec![0xff; 1 << 16]),
            };
            for _ in 0..count {
                let Ok(Ok((mut send, receive))) = timeout(WRITING, connection.open_bi()).await else { break };
                let _ = timeout(WRITING / 4, send.write_all(&bytes)).await;
                if attack == Attack::NeverRead {
                    let _ = send.finish();
                }
                streams.push((send, receive));
            }
            Some(Box::new((endpoint, connection, streams)) as Held)
        });
    }
    all.join_all().await.into_iter().flatten().collect()
}

/// A token that no server gave.
struct Token;

impl quinn::TokenStore for Token {
    fn insert(&self, _: &str, _: bytes::Bytes) {}

    fn take(&self, _: &str) -> Option<bytes::Bytes> {
        Some(bytes::Bytes::from_static(b"x"))
    }
}

/// The first packet of a handshake with a token.
pub async fn forged_initial(world: &World) -> Vec<u8> {
    let sink = UdpSocket::bind((BAD, 0)).await.unwrap();
    let endpoint = Endpoint::client((BAD, 0).into()).unwrap();
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(world.client(b"doq")).unwrap();
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    config.token_store(Arc::new(Token));
    let _connecting = endpoint.connect_with(config, sink.local_addr().unwrap(), NAME).unwrap();
    let mut room = vec![0; 2000];
    let len = crate::world::in_time(sink.recv(&mut room)).await.unwrap();
    room.truncate(len);
    room
}
