//! The real binary as a process, and how to ask it.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use pharos::base::rr::Rtype;
use socket2::{Domain, Socket, Type};

use super::query::Builder;

/// How long anything may take before the test fails instead of hanging.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A running server; it is killed when dropped.
pub struct Server {
    process: Child,
    addresses: Vec<SocketAddr>,
}

impl Server {
    /// Starts the binary and waits until it says that it serves.
    pub fn start(config: &Path) -> Server {
        let mut process = Command::new(env!("CARGO_BIN_EXE_pharos"))
            .arg("serve")
            .arg("--config")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(process.stderr.take().unwrap());
        let (send, lines) = mpsc::channel();
        // Goes on reading, so that the server never waits for the pipe; ends with the process.
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        let mut server = Server { process, addresses: Vec::new() };
        let (mut said, deadline) = (String::new(), Instant::now() + PATIENCE);
        loop {
            let line = match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => panic!("the server did not start in time:\n{said}"),
                Err(RecvTimeoutError::Disconnected) => panic!("the server ended:\n{said}"),
            };
            said.push_str(&format!("{line}\n"));
            if let Some((_, rest)) = line.split_once("listening on ")
                && rest.contains("DNS")
            {
                let address = rest.split(' ').next().unwrap_or_default();
                server.addresses.push(address.parse().unwrap_or_else(|_| panic!("no address: {line}")));
            }
            if line.contains("serving ") {
                assert!(!server.addresses.is_empty(), "the server says where it listens:\n{said}");
                return server;
            }
        }
    }

    /// Where it listens in the family of an address.
    pub fn address(&self, family_of: IpAddr) -> SocketAddr {
        *self.addresses.iter().find(|address| address.is_ipv4() == family_of.is_ipv4()).expect("a listener")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A query that is always answered; its reply behind another message shows that there is none to that.
fn sentinel() -> Vec<u8> {
    let mut message = Builder::new("example.net.", Rtype::SOA).finish();
    message[..2].copy_from_slice(&0xfeedu16.to_be_bytes());
    message
}

fn is_sentinel(message: &[u8], reply: &[u8]) -> bool {
    message.get(..2) != Some(&[0xfe, 0xed]) && reply.starts_with(&[0xfe, 0xed])
}

/// Sends a datagram from an address; none where it gets no reply.
pub fn ask_udp(message: &[u8], from: IpAddr, server: SocketAddr) -> io::Result<Option<Vec<u8>>> {
    let socket = UdpSocket::bind((from, 0))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(server)?;
    socket.send(message)?;
    // One socket is served by one thread, so this one's reply comes second if there is a first.
    socket.send(&sentinel())?;
    let mut reply = vec![0; 65535];
    let len = socket.recv(&mut reply)?;
    reply.truncate(len);
    Ok((!is_sentinel(message, &reply)).then_some(reply))
}

/// Sends a message over a connection from an address; none where it gets no reply.
pub fn ask_tcp(message: &[u8], from: IpAddr, server: SocketAddr) -> io::Result<Option<Vec<u8>>> {
    let domain = if server.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(from, 0).into())?;
    socket.connect(&server.into())?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut octets = Vec::new();
    for message in [message, &sentinel()] {
        octets.extend((message.len() as u16).to_be_bytes());
        octets.extend(message);
    }
    stream.write_all(&octets)?;
    let mut len = [0; 2];
    match stream.read_exact(&mut len) {
        Ok(()) => {}
        // A connection may be closed on a message that is none.
        Err(error) if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    }
    let mut reply = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut reply)?;
    Ok((!is_sentinel(message, &reply)).then_some(reply))
}
