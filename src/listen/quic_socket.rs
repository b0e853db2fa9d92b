//! The UDP socket of a QUIC endpoint, without datagrams to ports that no client has.
//!
//! The system refuses a datagram to port 0 with the error that means to quinn that segmentation offload is broken: quinn logs
//! a line with the address, and sends one datagram per system call from then on. Any sender can forge port 0.
//!
//! **Invariants**: a datagram to a port to which no query over UDP is answered is dropped in silence, as if it were lost.
//! **Not here**: QUIC itself ([`super::quic`]).

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

/// A socket of quinn's runtime.
#[derive(Debug)]
pub(super) struct QuicSocket(pub(super) Arc<dyn AsyncUdpSocket>);

impl AsyncUdpSocket for QuicSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.0.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if is_service_port(transmit.destination.port()) {
            return Ok(());
        }
        self.0.try_send(transmit)
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        rooms: &mut [IoSliceMut<'_>],
        received: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_recv(context, rooms, received)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.0.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.0.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.0.may_fragment()
    }
}

/// Returns whether a source port is that of a service that answers any datagram, so that a reply begins a loop between the two.
///
/// No resolver asks from one. A reply to port 0 arrives nowhere: sockets cannot be bound to it (RFC 6335 §6).
#[inline]
pub(crate) fn is_service_port(port: u16) -> bool {
    // echo, daytime, qotd, chargen, time, and kpasswd, which answers errors with errors (CVE-2002-2443).
    matches!(port, 0 | 7 | 13 | 17 | 19 | 37 | 464)
}

#[cfg(test)]
mod tests {
    use quinn::{Runtime as _, TokioRuntime};

    use super::*;

    #[tokio::test]
    async fn a_datagram_to_port_0_does_not_turn_segmentation_off() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let socket = QuicSocket(TokioRuntime.wrap_udp_socket(socket).unwrap());
        let before = socket.max_transmit_segments();
        let contents = [0; 2400];
        for segment_size in [None, Some(1200)] {
            let destination = "127.0.0.1:0".parse().unwrap();
            socket
                .try_send(&Transmit { destination, ecn: None, contents: &contents, segment_size, src_ip: None })
                .unwrap();
        }
        assert_eq!(socket.max_transmit_segments(), before);
    }
}
