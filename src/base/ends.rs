//! Both ends of a conversation between sockets.

use std::net::SocketAddr;

/// Both ends of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketEnds {
    /// The client.
    pub peer: SocketAddr,
    /// This server: the address that the client has asked.
    pub local: SocketAddr,
}
