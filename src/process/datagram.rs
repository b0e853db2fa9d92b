//! Sockets, identifiers and frames of questions to other DNS servers, and the trait of a connection with TLS or without.
//!
//! **Invariants**: an identifier cannot be predicted; a socket takes datagrams of one address alone.
//! **Not here**: messages ([`crate::wire`]), timeouts (each caller has its own).

use std::io;
use std::net::SocketAddr;

use ring::rand::{SecureRandom, SystemRandom};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::UdpSocket;

/// A connection, with TLS or without.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Duplex for S {}

/// An ID that attackers cannot predict (RFC 5452 §9.2).
pub(crate) fn random_id() -> io::Result<u16> {
    let mut octets = [0; 2];
    SystemRandom::new().fill(&mut octets).map_err(|_| io::Error::other("the system has no random numbers"))?;
    Ok(u16::from_be_bytes(octets))
}

/// A UDP socket that is connected to one peer: the kernel drops datagrams from other addresses.
pub(crate) async fn connected_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = if address.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    Ok(socket)
}

/// Receives datagrams until `take` returns a value for one: replies to earlier attempts and forged ones are skipped.
pub(crate) async fn receive_until<T>(socket: &UdpSocket, mut take: impl FnMut(&[u8]) -> Option<T>) -> io::Result<T> {
    let mut datagram = [0; 4096];
    loop {
        let len = socket.recv(&mut datagram).await?;
        if let Some(taken) = take(&datagram[..len]) {
            return Ok(taken);
        }
    }
}

/// Sends a message with its length before it (RFC 1035 §4.2.2).
pub(crate) async fn send_framed(stream: &mut (impl AsyncWrite + Unpin), message: &[u8]) -> io::Result<()> {
    stream.write_all(&[&(message.len() as u16).to_be_bytes(), message].concat()).await?;
    stream.flush().await
}

/// Receives a message with its length before it, in place of the bytes of `message`.
pub(crate) async fn receive_framed(stream: &mut (impl AsyncRead + Unpin), message: &mut Vec<u8>) -> io::Result<()> {
    let len = stream.read_u16().await?;
    message.clear();
    message.resize(usize::from(len), 0);
    stream.read_exact(message).await.map(drop)
}
