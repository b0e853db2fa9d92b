//! One connection: messages with their length before them, over any stream.
//!
//! Messages are answered in the order of arrival. Each answer is made at once, so another order would gain nothing. Answers
//! to messages that came together leave together.
//!
//! **Invariants**: a message is answered once it is whole, however the stream was cut; buffers hold at most one message and
//! the bytes read with it, and [`FLUSH_AT`] bytes of answers and one more answer; every wait has an end.
//! **Not here**: accepting, TLS and limits ([`crate::listen`]).
//!
//! RFC 1035 §4.2.2, RFC 7766 §6.2.1.1 (pipelining), §6.2.3 (idle), §8 (one write for length and message).

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::Engine;
use crate::base::rr::{Rcode, Rtype};
use crate::listen::ConnectionPlace;
use crate::telemetry::dns::{Closed, Count, LostReply, SharedBlock, TransferEnd};
use crate::wire::transfer::Transfer;
use crate::wire::{MAX_STREAM, Peer, Summary, Transport};

/// The longest duration of a message from its first byte to its last: several round trips around the world, with losses.
pub(super) const MESSAGE_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest time in which a client has to make room for its answers; as above.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of answers that are gathered before a write, if messages keep coming.
pub(super) const FLUSH_AT: usize = 1 << 14;

/// The least room to read into, and the most that an idle connection keeps.
const READ_ROOM: usize = 1 << 10;

/// The bytes of a length.
const PREFIX: usize = 2;

thread_local! {
    /// Room for an answer while it is made: one per thread, as connections are many and answers short.
    pub(super) static ROOM: RefCell<Box<[u8]>> = RefCell::new(vec![0; MAX_STREAM].into());
}

/// The state of a connection beside its stream.
pub(super) struct StreamContext {
    pub(super) engine: Engine,
    pub(super) address: IpAddr,
    /// TCP or TLS.
    pub(super) transport: Transport,
    pub(super) place: Arc<ConnectionPlace>,
    pub(super) counters: SharedBlock,
    /// Zones may be sent over this connection: over TCP, and over TLS from version 1.3 on (RFC 9103 §7.1).
    pub(super) gives_zones: bool,
    /// A zone that is being sent; messages behind its query wait.
    pub(super) transfer: Option<Transfer>,
    /// Cancelled when the connection is to end after the messages received.
    pub(super) stop: CancellationToken,
}

/// Answers the messages of a connection until either side ends it.
pub(super) async fn serve<S>(mut stream: S, mut context: StreamContext) -> Closed
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut inbound = BytesMut::new();
    let mut outbound = BytesMut::new();
    loop {
        if let Err(closed) = read(&mut stream, &mut inbound, &context).await {
            if matches!(closed, Closed::Client | Closed::Idle | Closed::Stop) {
                // An orderly end is a courtesy to the client: a failure does not matter, and the time is limited.
                let _ = timeout(WRITE_TIMEOUT, stream.shutdown()).await;
            }
            return closed;
        }
        while context.answer(&mut inbound, &mut outbound) {
            if let Err(closed) = write(&mut stream, &mut outbound, &context).await {
                return closed;
            }
        }
        context.place.touch();
    }
}

/// Reads until there is a whole message at least.
async fn read<S>(stream: &mut S, inbound: &mut BytesMut, context: &StreamContext) -> Result<(), Closed>
where
    S: AsyncRead + Unpin,
{
    let idle_since = Instant::now();
    let mut begun = None;
    loop {
        if whole_message(inbound).is_some() {
            return Ok(());
        }
        let deadline = if inbound.is_empty() {
            idle_since + context.place.idle()
        } else {
            *begun.get_or_insert_with(Instant::now) + MESSAGE_TIMEOUT
        };
        make_room(inbound);
        let read = tokio::select! {
            biased;
            // First: a query that has arrived is answered even if an eviction, a stop or a deadline is due.
            read = stream.read_buf(inbound) => read,
            () = context.place.evicted() => return Err(Closed::Evicted),
            () = context.stop.cancelled(), if inbound.is_empty() => return Err(Closed::Stop),
            () = sleep_until(deadline) => {
                return Err(if inbound.is_empty() { Closed::Idle } else { Closed::Unfinished });
            }
        };
        if !matches!(read, Ok(octets) if octets > 0) {
            return Err(Closed::Client);
        }
    }
}

/// Makes room for a read. It is called only while the buffer has no whole message, which bounds the buffer.
fn make_room(inbound: &mut BytesMut) {
    if inbound.is_empty() {
        // Free the memory of a long message, and the front that was consumed.
        if inbound.capacity() != READ_ROOM {
            *inbound = BytesMut::with_capacity(READ_ROOM);
        }
    } else if inbound.len() == inbound.capacity() {
        // Room grows with the bytes received, never with the length that a client announces.
        inbound.reserve(inbound.len().max(READ_ROOM));
    }
}

/// The message at the front; `None` if it is not whole.
fn whole_message(inbound: &[u8]) -> Option<&[u8]> {
    let (length, rest) = inbound.split_first_chunk::<PREFIX>()?;
    rest.get(..usize::from(u16::from_be_bytes(*length)))
}

/// Sends the answers.
async fn write<S>(stream: &mut S, outbound: &mut BytesMut, context: &StreamContext) -> Result<(), Closed>
where
    S: AsyncWrite + Unpin,
{
    let all = async {
        stream.write_all(outbound).await?;
        stream.flush().await
    };
    let written = tokio::select! {
        biased;
        written = timeout(WRITE_TIMEOUT, all) => written,
        () = context.place.evicted() => return Err(Closed::Evicted),
    };
    outbound.clear();
    if outbound.capacity() > READ_ROOM {
        *outbound = BytesMut::new();
    }
    match written {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Closed::Client),
        Err(_) => Err(Closed::SlowReader),
    }
}

impl Drop for StreamContext {
    /// If the connection ends during a transfer, counts the transfer as cut.
    fn drop(&mut self) {
        if self.transfer.is_some() {
            self.counters.given(TransferEnd::Cut);
        }
    }
}

fn is_refused_transfer(summary: &Summary) -> bool {
    matches!(summary.qtype, Some(Rtype::AXFR | Rtype::IXFR)) && summary.rcode != Rcode::NOERROR
}

impl StreamContext {
    /// Answers the whole messages at the front, until there is none left or the answers have [`FLUSH_AT`] bytes. True if there are
    /// answers to be sent, and maybe more messages; false if there is no whole message.
    fn answer(&mut self, inbound: &mut BytesMut, outbound: &mut BytesMut) -> bool {
        let (session, begun, mut replies) = (self.engine.begin(), Instant::now(), 0);
        let peer = Peer { address: self.address, transport: self.transport };
        ROOM.with_borrow_mut(|room| {
            while outbound.len() < FLUSH_AT {
                if let Some(transfer) = &mut self.transfer {
                    match session.transfer_next(transfer, room) {
                        Some(len) => {
                            outbound.put_u16(len as u16);
                            outbound.put_slice(&room[..len]);
                        }
                        None => {
                            self.transfer = None;
                            self.counters.given(TransferEnd::Complete);
                        }
                    }
                    continue;
                }
                let Some(message) = whole_message(inbound) else { break };
                self.counters.query(&peer);
                self.transfer = if self.gives_zones { session.transfer(message, peer) } else { None };
                if let Some(transfer) = &self.transfer {
                    self.counters.reply(transfer.summary(), &session.snapshot);
                    let consumed = PREFIX + message.len();
                    inbound.advance(consumed);
                    continue;
                }
                match session.respond(message, peer, room) {
                    Some(reply) => {
                        self.counters.reply(&reply.summary, &session.snapshot);
                        replies += 1;
                        if is_refused_transfer(&reply.summary) {
                            self.counters.given(TransferEnd::Refused);
                        }
                        // The answer fits: the room has as many bytes as the largest length.
                        outbound.put_u16(reply.len as u16);
                        outbound.put_slice(&room[..reply.len]);
                    }
                    None => self.counters.lost(LostReply::Unanswerable, 1),
                }
                let consumed = PREFIX + message.len();
                inbound.advance(consumed);
            }
        });
        self.counters.took(self.transport, replies, begun.elapsed());
        !outbound.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};
    use tokio::task::JoinHandle;

    use super::super::fixture::{self, frame, framed_reply, query};
    use super::*;
    use crate::listen::{BeyondLimit, Clients, ConnectionPeer as Client, Limits};
    use crate::telemetry::dns::DnsCounters;

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
            address: address(),
            transport: Transport::Tcp,
            place: Arc::new(clients.admit(Client::Address(address())).unwrap()),
            counters: DnsCounters::default().shared(),
            gives_zones: true,
            transfer: None,
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
}
