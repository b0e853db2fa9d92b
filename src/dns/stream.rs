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
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::{Engine, Sender, Session};
use crate::base::rr::{Rcode, Rtype};
use crate::listen::ConnectionPlace;
use crate::snapshot::Snapshot;
use crate::telemetry::dns::{Closed, Count, LostReply, SharedBlock, TransferEnd};
use crate::wire::transfer::{self, Transfer};
use crate::wire::{MAX_STREAM, Peer, Silence, Summary};

/// The longest duration of a message from its first byte to its last: several round trips around the world, with losses.
pub(super) const MESSAGE_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest time in which a client has to make room for its answers; as above.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest wait for the reply to an update: longer than a write to a disk may take (`process::state`), with its turn.
const UPDATE_TIMEOUT: Duration = Duration::from_secs(45);

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
    /// The client; its transport is TCP or TLS.
    pub(super) sender: Sender,
    pub(super) place: Arc<ConnectionPlace>,
    pub(super) counters: SharedBlock,
    /// Zones may be sent over this connection: over TCP, and over TLS from version 1.3 on (RFC 9103 §7.1).
    pub(super) gives_zones: bool,
    /// A zone that is being sent; messages behind its query wait.
    pub(super) transfer: Option<Transfer>,
    /// The reply to an update that waits for the disk; messages behind the update wait too.
    pub(super) update: Option<oneshot::Receiver<Vec<u8>>>,
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
        loop {
            while context.answer(&mut inbound, &mut outbound) {
                if let Err(closed) = write(&mut stream, &mut outbound, &context).await {
                    return closed;
                }
            }
            let Some(update) = context.update.take() else { break };
            if let Err(closed) = await_reply(update, &mut outbound, &context).await {
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

/// Waits for the reply to an update.
async fn await_reply(
    update: oneshot::Receiver<Vec<u8>>,
    outbound: &mut BytesMut,
    context: &StreamContext,
) -> Result<(), Closed> {
    let reply = tokio::select! {
        biased;
        reply = timeout(UPDATE_TIMEOUT, update) => reply,
        () = context.place.evicted() => return Err(Closed::Evicted),
    };
    // Without a reply the service has ended, or its disk hangs. The client learns nothing, and tries again.
    let Ok(Ok(reply)) = reply else { return Err(Closed::Stop) };
    // A reply to an update is shorter than the largest length.
    outbound.put_u16(reply.len() as u16);
    outbound.put_slice(&reply);
    Ok(())
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

/// Passes an update to its service, and returns the place of the reply.
#[cold]
fn defer(session: &Session<'_>, message: &[u8], peer: Peer, counters: &SharedBlock) -> oneshot::Receiver<Vec<u8>> {
    let (sender, receiver) = oneshot::channel();
    let mut counters = counters.clone();
    let reply = move |message: &[u8], summary: &Summary, snapshot: &Snapshot| {
        counters.reply(summary, snapshot);
        // The connection may have ended.
        let _ = sender.send(message.to_vec());
    };
    session.defer(message, peer, Box::new(reply));
    receiver
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
        let (sender, tapped) = (self.sender, session.tapped());
        let peer = sender.peer();
        ROOM.with_borrow_mut(|room| {
            while outbound.len() < FLUSH_AT && self.update.is_none() {
                if let Some(transfer) = &mut self.transfer {
                    match transfer.next(session.now.unix, room) {
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
                let begin = || transfer::begin(message, peer, &session.snapshot, session.now);
                self.transfer = self.gives_zones.then(begin).flatten();
                if let Some(transfer) = &self.transfer {
                    self.counters.reply(transfer.summary(), &session.snapshot);
                    let consumed = PREFIX + message.len();
                    inbound.advance(consumed);
                    continue;
                }
                match session.respond(message, peer, room) {
                    Ok(reply) => {
                        self.counters.reply(&reply.summary, &session.snapshot);
                        self.counters.record(&peer, message, session.now.monotonic);
                        replies += 1;
                        if is_refused_transfer(&reply.summary) {
                            self.counters.given(TransferEnd::Refused);
                        }
                        // The answer fits: the room has as many bytes as the largest length.
                        outbound.put_u16(reply.len as u16);
                        outbound.put_slice(&room[..reply.len]);
                        if let Some((terms, received_ns)) = tapped {
                            self.engine.tap.note(terms, &reply.summary, || {
                                session.copy_of(&reply, &room[..reply.len], sender, received_ns)
                            });
                        }
                    }
                    Err(Silence::Update) => self.update = Some(defer(&session, message, peer, &self.counters)),
                    Err(_) => self.counters.lost(LostReply::Unanswerable, 1),
                }
                let consumed = PREFIX + message.len();
                inbound.advance(consumed);
            }
        });
        self.counters.took(sender.transport, replies, begun.elapsed());
        !outbound.is_empty()
    }
}

#[cfg(test)]
mod tests;
