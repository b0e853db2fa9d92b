//! A stream whose peer may send a limited number of bytes.
//!
//! **Invariants**: every byte received counts, also those of TLS records and chunk headers.
//! **Not here**: the limits themselves, which depend on the request.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::super::fault::TooMuch;

/// Bytes that a peer may still send.
#[derive(Clone, Debug, Default)]
pub(super) struct Allowance(Arc<AtomicU64>);

impl Allowance {
    pub(super) fn set(&self, len: u64) {
        self.0.store(len, Ordering::Relaxed);
    }

    /// Subtracts received bytes; an error if fewer are left.
    fn take(&self, len: u64) -> io::Result<()> {
        let left = self.0.load(Ordering::Relaxed).checked_sub(len).ok_or_else(|| io::Error::other(TooMuch))?;
        self.set(left);
        Ok(())
    }
}

/// A connection that fails once its peer has sent more than it may.
#[derive(Debug)]
pub(super) struct Bounded<S> {
    pub(super) stream: S,
    pub(super) allowance: Allowance,
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = room.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, room) {
            Poll::Ready(Ok(())) => Poll::Ready(self.allowance.take((room.filled().len() - before) as u64)),
            other => other,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
