//! DNS over QUIC: every stream of a connection is one query and its answer.
//!
//! **Invariants**: a query is read only to [`MAX_QUERY_LEN`]; every wait has an end; an answer is acknowledged, or given
//! up, before its connection is closed in good order; answers that wait have room in the connection's budget.
//! **Not here**: endpoints, handshakes and limits ([`crate::listen`]), the answers ([`crate::wire`]).
//!
//! RFC 9250: §4.1 (connections), §4.2 (streams and IDs), §4.3 (errors), §5.5 (lifetime).

use std::net::SocketAddr;
use std::sync::Arc;

use quinn::{Connection, ConnectionError, ReadToEndError, RecvStream, SendStream, VarInt};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::stream::{MESSAGE_TIMEOUT, ROOM, WRITE_TIMEOUT};
use super::tcp::note;
use super::{Engine, Sender};
use crate::answer::Keepalive;
use crate::base::ends::SocketEnds;
use crate::listen::{Clients, Closed, Common, ConnectionPlace, Event, MESSAGE, Protocol, QuicConnection, QuicTerms};
use crate::telemetry::Gauge;
use crate::telemetry::dns::{Count, LostReply, SharedBlock};
use crate::tls::Tls;
use crate::wire::{self, Transport};

/// The longest query, in bytes; the same as over UDP. A hundred streams at once are 400 KB.
const MAX_QUERY_LEN: usize = 4096;

/// The bytes of a length (RFC 9250 §4.2).
const PREFIX: usize = 2;

/// DOQ_NO_ERROR and the others of RFC 9250 §4.3.
const NO_ERROR: VarInt = VarInt::from_u32(0);
const PROTOCOL_ERROR: VarInt = VarInt::from_u32(2);
const REQUEST_CANCELLED: VarInt = VarInt::from_u32(3);
const EXCESSIVE_LOAD: VarInt = VarInt::from_u32(4);
const UNSPECIFIED_ERROR: VarInt = VarInt::from_u32(5);

/// DNS over QUIC.
pub(super) struct Quic {
    pub(super) engine: Engine,
    pub(super) shared: SharedBlock,
}

/// The terms of endpoints for DNS.
pub(super) fn terms(tls: Arc<Tls>, clients: Arc<Clients>, common: Common) -> QuicTerms {
    let max_request_len = (PREFIX + MAX_QUERY_LEN) as u32;
    QuicTerms { clients, tls, max_request_len, overload: EXCESSIVE_LOAD, stopped: NO_ERROR, common }
}

impl Protocol<QuicConnection> for Quic {
    async fn serve(self: Arc<Self>, connection: QuicConnection) -> Closed {
        let QuicConnection { connection, local, place, stop } = connection;
        serve(&connection, local, &place, &self.engine, &self.shared, &stop).await
    }

    fn note(&self, event: Event) {
        note(&self.shared, event);
    }

    fn open(&self) -> &Gauge {
        self.shared.connections()
    }
}

/// Answers stream by stream, until either side ends it.
async fn serve(
    connection: &Connection,
    local: SocketAddr,
    place: &Arc<ConnectionPlace>,
    engine: &Engine,
    counters: &SharedBlock,
    stop: &CancellationToken,
) -> Closed {
    let mut exchanges = JoinSet::new();
    let mut active = Instant::now();
    let (closed, code) = loop {
        tokio::select! {
            biased;
            // First: a query that has arrived is answered even if a stop or the end of the idle time is due.
            accepted = connection.accept_bi() => match accepted {
                Ok((send, receive)) => {
                    let ends = SocketEnds { peer: connection.remote_address(), local };
                    let sender = Sender { ends, transport: Transport::Quic };
                    exchanges.spawn(exchange(send, receive, sender, engine.clone(), counters.clone(), place.clone()));
                }
                Err(ConnectionError::TimedOut) => return Closed::Idle,
                Err(_) => return Closed::Client,
            },
            Some(done) = exchanges.join_next(), if !exchanges.is_empty() => {
                if let Ok(StreamEnd::Violation) = done {
                    break (Closed::Violation, PROTOCOL_ERROR);
                }
                active = Instant::now();
                place.touch();
            }
            () = stop.cancelled(), if exchanges.is_empty() => break (Closed::Stop, NO_ERROR),
            () = sleep_until(active + place.idle()), if exchanges.is_empty() => break (Closed::Idle, NO_ERROR),
        }
    };
    connection.close(code, b"");
    closed
}

/// The end of the exchange on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StreamEnd {
    /// The client acknowledged the answer, or ended the stream before.
    Answered,
    /// The stream was reset: no whole query arrived in time, or the answer could not be sent in time.
    Abandoned,
    /// The client did what RFC 9250 §4.3.3 ends a connection for.
    Violation,
}

/// Reads a query to the end of its stream, and answers it.
async fn exchange(
    mut send: SendStream,
    mut receive: RecvStream,
    sender: Sender,
    engine: Engine,
    mut counters: SharedBlock,
    place: Arc<ConnectionPlace>,
) -> StreamEnd {
    let give_up = |send: &mut SendStream, code| {
        // It may be over already.
        let _ = send.reset(code);
        StreamEnd::Abandoned
    };
    let octets = match timeout(MESSAGE_TIMEOUT, receive.read_to_end(PREFIX + MAX_QUERY_LEN)).await {
        Ok(Ok(octets)) => octets,
        Ok(Err(ReadToEndError::TooLong)) => {
            counters.lost(LostReply::TooLong, 1);
            let _ = receive.stop(EXCESSIVE_LOAD);
            return give_up(&mut send, EXCESSIVE_LOAD);
        }
        Ok(Err(ReadToEndError::Read(_))) => return give_up(&mut send, REQUEST_CANCELLED),
        Err(_) => {
            let _ = receive.stop(UNSPECIFIED_ERROR);
            return give_up(&mut send, UNSPECIFIED_ERROR);
        }
    };
    let Some(message) = only_message(&octets) else { return StreamEnd::Violation };
    // The deadline for sending an answer also limits the wait for room behind other answers of the connection.
    let Ok(room) = timeout(WRITE_TIMEOUT, place.room(MESSAGE, octets.len())).await else {
        return give_up(&mut send, EXCESSIVE_LOAD);
    };
    counters.query(&sender.peer());
    let Some(answer) = answer(message, sender, &engine, &mut counters) else {
        counters.lost(LostReply::Unanswerable, 1);
        return StreamEnd::Violation;
    };
    let _unsent = room.fill(answer.len());
    let sent = async {
        send.write_all(&answer).await.ok()?;
        send.finish().ok()?;
        // Wait for the acknowledgement, because closing the connection discards unacknowledged bytes.
        send.stopped().await.ok()
    };
    match timeout(WRITE_TIMEOUT, sent).await {
        Ok(_) => StreamEnd::Answered,
        Err(_) => give_up(&mut send, UNSPECIFIED_ERROR),
    }
}

/// RFC 9250 §4.2, §4.3.3: one message with its length, all of it there, and nothing behind it.
fn only_message(octets: &[u8]) -> Option<&[u8]> {
    let (length, message) = octets.split_first_chunk::<PREFIX>()?;
    (message.len() == usize::from(u16::from_be_bytes(*length))).then_some(message)
}

/// The answer with its length before it; `None` if the message is none that a client may send over QUIC.
fn answer(message: &[u8], sender: Sender, engine: &Engine, counters: &mut SharedBlock) -> Option<Vec<u8>> {
    let query = wire::decode(message)?;
    // RFC 9250 §4.2.1: the ID is 0. §5.5.2: no keepalive option.
    if query.id != 0 || query.edns.is_some_and(|edns| edns.keepalive != Keepalive::No) {
        return None;
    }
    let (session, begun) = (engine.begin(), Instant::now());
    let tapped = session.tapped();
    ROOM.with_borrow_mut(|room| {
        // Updates are refused over QUIC, so that every other message has its reply at once.
        let reply = session.respond(message, sender.peer(), room).ok()?;
        counters.reply(&reply.summary, &session.snapshot);
        counters.record(&sender.peer(), message, session.now.monotonic);
        counters.took(sender.transport, 1, begun.elapsed());
        if let Some((terms, received_ns)) = tapped {
            engine.tap.note(terms, &reply.summary, || session.copy_of(&reply, &room[..reply.len], sender, received_ns));
        }
        // The answer fits: the room has as many bytes as the largest length.
        Some([&(reply.len as u16).to_be_bytes(), &room[..reply.len]].concat())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9250_s4_2_a_stream_is_one_message() {
        assert_eq!(only_message(&[0, 3, 1, 2, 3]), Some(&[1, 2, 3][..]));
        for octets in [&[][..], &[0], &[0, 3, 1, 2], &[0, 3, 1, 2, 3, 4], &[0, 1, 1, 0, 1, 1]] {
            assert_eq!(only_message(octets), None, "{octets:?}");
        }
    }

    #[test]
    fn rfc9000_s10_1_ten_minutes_of_silence_can_be_told() {
        assert!(quinn::IdleTimeout::try_from(crate::config::limits::MAX_TCP_IDLE).is_ok());
    }
}
