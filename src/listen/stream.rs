//! The stream of a connection: plain, in TLS, or local, with a deadline for writing and an account of unsent bytes.
//!
//! **Invariants**: a client that takes nothing for [`WRITE_TIMEOUT`] ends its connection with an error of the kind
//! [`io::ErrorKind::TimedOut`]; bytes that wait to be written are held against the connection's budget.
//! **Not here**: deadlines for reading, which depend on the protocol.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ProtocolVersion;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use super::clients::ConnectionPlace;
use super::unsent::HeldBytes;

/// The longest time for which a client may take no bytes that are written to it: several round trips around the world, with
/// losses.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// The bytes that TLS keeps encrypted until the client takes them: the part of unsent bytes that does not count.
pub(super) const TLS_BUFFER: usize = super::unsent::FREE;

/// A connection's stream.
pub(crate) type Stream = WatchedStream<StreamSocket>;

/// The kinds of stream: TCP in the clear, TLS over TCP, or a Unix socket.
pub(crate) type StreamSocket = Either<TcpStream, Either<Box<TlsStream<TcpStream>>, UnixStream>>;

/// A stream whose writing is watched.
#[derive(Debug)]
pub(crate) struct WatchedStream<S> {
    stream: S,
    unsent: HeldBytes,
    write_by: Option<Pin<Box<Sleep>>>,
}

impl WatchedStream<StreamSocket> {
    /// The version of TLS that was agreed on; `None` if the stream is in the clear.
    pub(crate) fn tls_version(&self) -> Option<ProtocolVersion> {
        match &self.stream {
            Either::Right(Either::Left(stream)) => stream.get_ref().1.protocol_version(),
            Either::Left(_) | Either::Right(Either::Right(_)) => None,
        }
    }
}

impl<S> WatchedStream<S> {
    /// Watches a stream for the connection that has this place.
    pub(crate) fn new(stream: S, place: &ConnectionPlace) -> Self {
        WatchedStream { stream, unsent: place.hold(0), write_by: None }
    }

    /// Passes on the outcome of writing `len` bytes, or gives up if the bytes have been waiting for too long.
    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
        len: Option<usize>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.write_by = None;
            self.unsent.set(0);
            return outcome;
        }
        if let Some(len) = len {
            self.unsent.set(len);
        }
        let write_by = self.write_by.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + WRITE_TIMEOUT)));
        write_by.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WatchedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WatchedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch(cx, outcome, Some(bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.watch(cx, outcome, Some(slices.iter().map(|slice| slice.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch(cx, outcome, None)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.watch(cx, outcome, None)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::super::clients::{BeyondLimit, Clients, ConnectionPeer, Limits};
    use super::*;

    fn clients() -> std::sync::Arc<Clients> {
        Clients::new(Limits {
            connections: 9,
            per_client: 9,
            beyond: BeyondLimit::Refuse,
            idle: Duration::from_secs(10),
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_cut() {
        let (_client, server) = duplex(1024);
        let place = clients().admit(ConnectionPeer::User(0)).unwrap();
        let mut stream = WatchedStream::new(server, &place);
        let from = Instant::now();
        let error = stream.write_all(&[0; 2000]).await.unwrap_err();
        assert_eq!((error.kind(), from.elapsed()), (io::ErrorKind::TimedOut, WRITE_TIMEOUT));
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_client_does_not_take_counts_until_it_does() {
        let (mut client, server) = duplex(1024);
        let clients = clients();
        let place = clients.admit(ConnectionPeer::User(0)).unwrap();
        let mut stream = WatchedStream::new(server, &place);
        let writing = tokio::spawn(async move { stream.write_all(&[0; 100_000]).await });
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(clients.state().charged >= 98_000);
        client.read_exact(&mut [0; 100_000]).await.unwrap();
        writing.await.unwrap().unwrap();
        assert_eq!(clients.state().charged, 0);
    }
}
