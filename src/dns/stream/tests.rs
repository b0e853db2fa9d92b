//! Messages over a stream in memory.

use std::net::IpAddr;

use tokio::io::{DuplexStream, duplex};
use tokio::task::JoinHandle;

use super::super::fixture::{self, frame, framed_reply, query};
use super::*;
use crate::base::ends::SocketEnds;
use crate::listen::{BeyondLimit, Clients, ConnectionPeer as Client, Limits};
use crate::telemetry::dns::DnsCounters;
use crate::wire::Transport;

const IDLE: Duration = Duration::from_secs(10);

struct Server {
    client: DuplexStream,
    served: JoinHandle<Closed>,
    clients: Arc<Clients>,
    stop: CancellationToken,
}

fn address() -> IpAddr {
    IpAddr::from([192, 0, 2, 53])
}

/// A connection whose two ends hold `room` bytes in flight.
fn connect(room: usize) -> Server {
    let (client, server) = duplex(room);
    let clients = Clients::new(Limits { connections: 1, per_client: 9, beyond: BeyondLimit::Refuse, idle: IDLE });
    let stop = CancellationToken::new();
    let context = StreamContext {
        engine: fixture::engine(),
        sender: Sender {
            ends: SocketEnds { peer: (address(), 4242).into(), local: ([192, 0, 2, 1], 53).into() },
            transport: Transport::Tcp,
        },
        place: Arc::new(clients.admit(Client::Address(address())).unwrap()),
        counters: DnsCounters::default().shared(),
        gives_zones: true,
        transfer: None,
        update: None,
        stop: stop.clone(),
    };
    let served = tokio::spawn(serve(server, context));
    Server { client, served, clients, stop }
}

async fn expect_reply(client: &mut DuplexStream, query: &[u8]) {
    let expected = framed_reply(query, address());
    let mut received = vec![0; expected.len()];
    client.read_exact(&mut received).await.unwrap();
    assert_eq!(received, expected);
}

#[tokio::test(start_paused = true)]
async fn a_message_may_come_octet_by_octet() {
    let mut server = connect(1 << 16);
    for octet in frame(&query(1)) {
        server.client.write_all(&[octet]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    expect_reply(&mut server.client, &query(1)).await;
}

#[tokio::test(start_paused = true)]
async fn pipelined_messages_are_answered_in_order_and_together() {
    let mut server = connect(1 << 16);
    let all: Vec<u8> = (0..50).flat_map(|id| frame(&query(id))).collect();
    // The last one is cut in two.
    let (most, rest) = all.split_at(all.len() - 9);
    server.client.write_all(most).await.unwrap();
    let mut received = BytesMut::new();
    server.client.read_buf(&mut received).await.unwrap();
    let expected: Vec<u8> = (0..49).flat_map(|id| framed_reply(&query(id), address())).collect();
    assert_eq!(received[..], expected[..received.len()]);
    while received.len() < expected.len() {
        server.client.read_buf(&mut received).await.unwrap();
    }
    server.client.write_all(rest).await.unwrap();
    expect_reply(&mut server.client, &query(49)).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_closed_its_side_still_gets_its_answers() {
    let mut server = connect(1 << 16);
    server.client.write_all(&frame(&query(1))).await.unwrap();
    server.client.shutdown().await.unwrap();
    expect_reply(&mut server.client, &query(1)).await;
    assert_eq!(server.served.await.unwrap(), Closed::Client);
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_closed_in_its_time() {
    let mut server = connect(1 << 16);
    tokio::time::sleep(IDLE / 2).await;
    server.client.write_all(&frame(&query(1))).await.unwrap();
    expect_reply(&mut server.client, &query(1)).await;
    let begin = Instant::now();
    assert_eq!(server.served.await.unwrap(), Closed::Idle);
    assert!(begin.elapsed() >= IDLE && begin.elapsed() < IDLE + Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_trickles_in_is_not_waited_for() {
    let mut server = connect(1 << 16);
    let begin = Instant::now();
    let trickle = async {
        for octet in frame(&query(1)) {
            if server.client.write_all(&[octet]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let (closed, ()) = tokio::join!(server.served, trickle);
    assert_eq!(closed.unwrap(), Closed::Unfinished);
    assert!(begin.elapsed() < MESSAGE_TIMEOUT + Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_cut() {
    let mut server = connect(1 << 12);
    server.client.write_all(&frame(&fixture::big_query(1))).await.unwrap();
    assert_eq!(server.served.await.unwrap(), Closed::SlowReader);
}

#[tokio::test(start_paused = true)]
async fn a_long_answer_comes_whole() {
    let mut server = connect(1 << 12);
    server.client.write_all(&frame(&fixture::big_query(1))).await.unwrap();
    let mut length = [0; 2];
    server.client.read_exact(&mut length).await.unwrap();
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    server.client.read_exact(&mut answer).await.unwrap();
    assert!(answer.len() > 40_000);
    assert_eq!(frame(&answer), framed_reply(&fixture::big_query(1), address()));
}

#[tokio::test(start_paused = true)]
async fn the_longest_message_is_taken() {
    let server = connect(1 << 12);
    let mut longest = query(3);
    longest.resize(MAX_STREAM, 0);
    let (mut reading, mut writing) = tokio::io::split(server.client);
    let write = tokio::spawn(async move { writing.write_all(&[frame(&longest), frame(&query(4))].concat()).await });
    let mut length = [0; 2];
    reading.read_exact(&mut length).await.unwrap();
    let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
    reading.read_exact(&mut reply).await.unwrap();
    assert_eq!((reply[..2].to_vec(), reply[3] & 0x0f), (vec![0, 3], 1), "trailing octets are a FORMERR");
    let expected = framed_reply(&query(4), address());
    let mut received = vec![0; expected.len()];
    reading.read_exact(&mut received).await.unwrap();
    assert_eq!(received, expected);
    write.await.unwrap().unwrap();
    server.stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn the_idlest_leaves_when_told() {
    let server = connect(1 << 16);
    let _other = server.clients.admit(Client::Address(IpAddr::from([192, 0, 2, 54]))).unwrap();
    assert_eq!(server.served.await.unwrap(), Closed::Evicted);
}

#[tokio::test(start_paused = true)]
async fn stopping_waits_for_a_message_that_has_begun() {
    let mut server = connect(1 << 16);
    let message = frame(&query(1));
    server.client.write_all(&message[..5]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(10)).await;
    server.stop.cancel();
    tokio::time::sleep(Duration::from_millis(10)).await;
    server.client.write_all(&message[5..]).await.unwrap();
    expect_reply(&mut server.client, &query(1)).await;
    assert_eq!(server.served.await.unwrap(), Closed::Stop);
}
