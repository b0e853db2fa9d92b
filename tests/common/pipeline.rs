//! Many questions to one server: over UDP, a window of them at a time, and over TCP where the reply says TC.

use std::collections::BTreeSet;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use super::server::PATIENCE;

/// The limit of in-flight questions: a socket has room for more replies than that.
const WINDOW: usize = 48;

/// The time after which a datagram counts as lost, and is sent again.
const LOST: Duration = Duration::from_secs(2);

/// The number of times that a question is sent before the server counts as gone.
const ATTEMPTS: usize = 10;

/// Returns the reply to each message. The function replaces the IDs of the messages.
pub fn ask_all(server: SocketAddr, messages: &[Vec<u8>]) -> Vec<Vec<u8>> {
    assert!(messages.len() <= 1 << 24, "few enough");
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(LOST)).unwrap();
    let mut replies = vec![Vec::new(); messages.len()];
    let mut waiting = BTreeSet::new();
    let (mut next, mut losses, mut buffer) = (0, 0, vec![0; 65535]);
    let send = |index: usize| {
        let mut message = messages[index].clone();
        message[..2].copy_from_slice(&(index as u16).to_be_bytes());
        socket.send(&message).unwrap();
    };
    while next < messages.len() || !waiting.is_empty() {
        while next < messages.len() && waiting.len() < WINDOW {
            send(next);
            waiting.insert(next);
            next += 1;
        }
        match socket.recv(&mut buffer) {
            Ok(len) => {
                let id = u16::from_be_bytes([buffer[0], buffer[1]]);
                // A second reply to a message that was sent twice is ignored.
                if let Some(&index) = waiting.iter().find(|index| **index as u16 == id) {
                    waiting.remove(&index);
                    replies[index] = buffer[..len].to_vec();
                }
            }
            Err(error) => {
                losses += 1;
                assert!(
                    losses < ATTEMPTS,
                    "{server} does not reply: {error}; {:02x?}",
                    messages[*waiting.first().unwrap()]
                );
                waiting.iter().copied().for_each(send);
            }
        }
    }
    let truncated: Vec<usize> = (0..replies.len()).filter(|index| replies[*index][2] & 2 != 0).collect();
    for some in truncated.chunks(WINDOW) {
        for (index, reply) in ask_some_over_tcp(server, some, messages).unwrap() {
            replies[index] = reply;
        }
    }
    replies
}

/// The reply to each message, over TCP from the start.
pub fn ask_all_over_tcp(server: SocketAddr, messages: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut replies = vec![Vec::new(); messages.len()];
    for some in (0..messages.len()).collect::<Vec<_>>().chunks(WINDOW) {
        for (index, reply) in ask_some_over_tcp(server, some, messages).unwrap() {
            replies[index] = reply;
        }
    }
    replies
}

fn ask_some_over_tcp(server: SocketAddr, some: &[usize], messages: &[Vec<u8>]) -> io::Result<Vec<(usize, Vec<u8>)>> {
    let mut stream = connect(server)?;
    let mut octets = Vec::new();
    for (id, index) in some.iter().enumerate() {
        let message = &messages[*index];
        octets.extend((message.len() as u16).to_be_bytes());
        octets.extend((id as u16).to_be_bytes());
        octets.extend(&message[2..]);
    }
    stream.write_all(&octets)?;
    // In any order (RFC 7766 §7).
    let mut replies = Vec::new();
    for _ in some {
        let reply = read_message(&mut stream)?;
        let id = usize::from(u16::from_be_bytes([reply[0], reply[1]]));
        replies.push((some[id], reply));
    }
    Ok(replies)
}

/// The reply to one message over a connection of its own.
pub fn ask_tcp(server: SocketAddr, message: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = connect(server)?;
    stream.write_all(&[&(message.len() as u16).to_be_bytes(), message].concat())?;
    read_message(&mut stream)
}

fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut len = [0; 2];
    stream.read_exact(&mut len)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut message)?;
    match message.len() {
        12.. => Ok(message),
        len => Err(io::Error::other(format!("a message of {len} octets"))),
    }
}
