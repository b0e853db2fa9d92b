//! Sockets and identifiers of questions over UDP.
//!
//! **Invariants**: an identifier cannot be predicted; a socket takes datagrams of one address alone.
//! **Not here**: messages ([`crate::wire`]).

use std::io;
use std::net::SocketAddr;

use ring::rand::{SecureRandom, SystemRandom};
use tokio::net::UdpSocket;

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
