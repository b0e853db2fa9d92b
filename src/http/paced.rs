//! A stream with deadlines for clients whose requests are too slow.
//!
//! hyper limits only the time of HTTP/1.1 heads. This stream is below hyper and limits HTTP/2 requests too.
//!
//! **Invariants**: a timeout between requests ends the stream cleanly; a timeout within a request is an error of the kind
//! [`io::ErrorKind::TimedOut`]; bytes that complete no request do not extend a deadline.
//! **Not here**: clients that do not read their responses ([`crate::listen::Stream`]).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use arrayvec::ArrayVec;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::{HEADER_TIMEOUT, REQUEST_TIMEOUT};
use crate::listen::ConnectionPlace;

/// The longest wait for the client to close its side after the server has closed; nginx's `lingering_timeout` is five
/// times that.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);

/// The most bytes of a client that are discarded during that wait.
const MAX_LINGER_LEN: usize = 64 * 1024;

/// The number of requests read on a connection. Clones share the counter.
#[derive(Clone, Debug, Default)]
pub(super) struct RequestProgress(Arc<AtomicU32>);

impl RequestProgress {
    /// Counts a request that was read to its end.
    pub(super) fn request_read(&self) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// A stream with deadlines.
pub(super) struct Paced<S> {
    stream: S,
    place: Arc<ConnectionPlace>,
    progress: RequestProgress,
    /// The number of requests at the last read.
    requests: u32,
    /// True within a request, false between requests.
    has_begun: bool,
    /// The first wait within or between; `None` before it, so that a connection without a wait reads no clock.
    from: Option<Instant>,
    /// The first bytes of the connection.
    start: ArrayVec<u8, 3>,
    /// A timer that ends at the deadline or before. It is reset when it ends, because a reset for every request would
    /// cost more.
    read_by: Pin<Box<Sleep>>,
    linger: Option<Linger>,
}

/// The end of the wait after the server has closed its side, and the number of bytes discarded so far.
struct Linger {
    until: Pin<Box<Sleep>>,
    len: usize,
}

impl<S> Paced<S> {
    /// Adds deadlines to a stream. `place` gives the idle timeout.
    pub(super) fn new(stream: S, place: Arc<ConnectionPlace>, progress: RequestProgress) -> Self {
        let read_by = Box::pin(sleep_until(Instant::now() + place.idle()));
        Paced {
            stream,
            place,
            progress,
            requests: 0,
            has_begun: false,
            from: None,
            start: ArrayVec::new(),
            read_by,
            linger: None,
        }
    }

    /// Is between requests again if a request was completed since the last read.
    fn follow_progress(&mut self) {
        let requests = self.progress.0.load(Relaxed);
        if requests != self.requests {
            self.requests = requests;
            (self.has_begun, self.from) = (false, None);
        }
    }

    fn note(&mut self, octets: &[u8]) {
        let room = self.start.remaining_capacity();
        self.start.extend(octets.iter().copied().take(room));
        if !self.has_begun {
            (self.has_begun, self.from) = (true, None);
        }
    }

    /// Waits for the deadline of the present stage.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let limit = if !self.has_begun {
            self.place.idle()
        } else if self.start[..] == *b"PRI" {
            // RFC 9113 §3.4: the client's preface starts with `PRI`. No valid HTTP/1 request starts so.
            REQUEST_TIMEOUT
        } else {
            HEADER_TIMEOUT
        };
        let deadline = *self.from.get_or_insert_with(Instant::now) + limit;
        if self.read_by.deadline() > deadline {
            self.read_by.as_mut().reset(deadline);
        }
        loop {
            ready!(self.read_by.as_mut().poll(cx));
            if self.read_by.deadline() == deadline {
                return Poll::Ready(());
            }
            self.read_by.as_mut().reset(deadline);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.follow_progress();
        let before = buf.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, buf) {
            Poll::Ready(outcome) => {
                if buf.filled().len() > before {
                    this.note(&buf.filled()[before..]);
                }
                Poll::Ready(outcome)
            }
            Poll::Pending => this.poll_deadline(cx).map(|()| {
                // Between requests, this is the end of the stream.
                if this.has_begun { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
            }),
        }
    }
}

impl<S: AsyncRead + Unpin> Paced<S> {
    /// Reads and discards the client's bytes until the client closes, [`LINGER_TIMEOUT`] is over or [`MAX_LINGER_LEN`] is
    /// reached.
    ///
    /// RFC 9112 §9.6: a close with unread bytes resets the connection, so that the client can lose the response.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(linger) = &mut self.linger else { return Poll::Ready(Ok(())) };
        let mut octets = [0; 1024];
        while linger.len < MAX_LINGER_LEN && linger.until.as_mut().poll(cx).is_pending() {
            let mut buf = ReadBuf::new(&mut octets);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => linger.len += buf.filled().len(),
                _ => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, octets)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            // Between requests, no response can be lost.
            if this.has_begun {
                this.linger = Some(Linger { until: Box::pin(sleep_until(Instant::now() + LINGER_TIMEOUT)), len: 0 });
            }
        }
        this.poll_linger(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;
    use crate::listen::{BeyondLimit, Clients, ConnectionPeer, Limits};

    fn pair() -> (DuplexStream, Paced<DuplexStream>, RequestProgress) {
        let (client, server) = duplex(1024);
        let progress = RequestProgress::default();
        let idle = Duration::from_secs(30);
        let clients = Clients::new(Limits { connections: 9, per_client: 9, beyond: BeyondLimit::Refuse, idle });
        let place = Arc::new(clients.admit(ConnectionPeer::User(0)).unwrap());
        (client, Paced::new(server, place, progress.clone()), progress)
    }

    /// Reads until the stream ends, and returns the outcome and the seconds since `from`.
    async fn end(paced: &mut Paced<DuplexStream>, from: Instant) -> (Result<(), io::ErrorKind>, u64) {
        let mut all = Vec::new();
        let outcome = paced.read_to_end(&mut all).await;
        (outcome.map(|_| ()).map_err(|error| error.kind()), from.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_cleanly() {
        let (_client, mut paced, _) = pair();
        assert_eq!(end(&mut paced, Instant::now()).await, (Ok(()), 30));
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_trickles_is_cut_two_seconds_after_its_first_octet() {
        let (mut client, mut paced, _) = pair();
        let from = Instant::now();
        let trickle = tokio::spawn(async move {
            for octet in "GET /v2/ HTTP/1.1\r\nA: b\r\n".bytes() {
                tokio::time::sleep(std::time::Duration::from_millis(500)).await;
                if client.write_all(&[octet]).await.is_err() {
                    return;
                }
            }
        });
        // The first byte comes after half a second.
        assert_eq!(end(&mut paced, from).await, (Err(io::ErrorKind::TimedOut), 2));
        trickle.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn frames_without_a_request_are_cut_after_ten_seconds() {
        let (mut client, mut paced, _) = pair();
        let from = Instant::now();
        client.write_all(b"P").await.unwrap();
        assert_eq!(paced.read_u8().await.unwrap(), b'P');
        client.write_all(b"RI * HTTP/2.0").await.unwrap();
        assert_eq!(end(&mut paced, from).await, (Err(io::ErrorKind::TimedOut), 10));
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_request_the_connection_may_be_silent_again() {
        let (mut client, mut paced, progress) = pair();
        client.write_all(b"GET").await.unwrap();
        let mut buf = [0; 3];
        paced.read_exact(&mut buf).await.unwrap();
        progress.request_read();
        assert_eq!(end(&mut paced, Instant::now()).await, (Ok(()), 30));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_goes_on_sending_is_waited_for_no_longer_than_a_second() {
        let (mut client, mut paced, _) = pair();
        client.write_all(b"GET").await.unwrap();
        assert_eq!(paced.read_u8().await.unwrap(), b'G');
        client.write_all(b"more").await.unwrap();
        let from = Instant::now();
        paced.shutdown().await.unwrap();
        assert_eq!(from.elapsed(), LINGER_TIMEOUT);

        let (mut client, mut paced, _) = pair();
        client.write_all(b"GET").await.unwrap();
        assert_eq!(paced.read_u8().await.unwrap(), b'G');
        drop(client);
        paced.shutdown().await.unwrap();
        assert_eq!(from.elapsed(), LINGER_TIMEOUT, "no time passes where the client closes as well");
    }
}
