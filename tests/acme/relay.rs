//! A line to a server that can be cut: it passes on datagrams and connections.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

use super::common::server::PATIENCE;

/// The line; its threads end with the test.
pub struct Relay {
    pub address: SocketAddr,
    passes: Arc<[AtomicBool; 2]>,
}

/// The kinds of traffic that a line passes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passes {
    Everything,
    /// The server answers questions, and takes no connections.
    Datagrams,
    Nothing,
}

impl Relay {
    pub fn to(server: SocketAddr) -> Relay {
        let (datagrams, connections) = loop {
            let connections = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            if let Ok(datagrams) = UdpSocket::bind(connections.local_addr().unwrap()) {
                break (datagrams, connections);
            }
        };
        let address = datagrams.local_addr().unwrap();
        let passes: Arc<[AtomicBool; 2]> = Arc::new([true, true].map(AtomicBool::new));
        let open = passes.clone();
        thread::spawn(move || pass_datagrams(&datagrams, server, &open[0]));
        let open = passes.clone();
        thread::spawn(move || pass_connections(&connections, server, &open[1]));
        Relay { address, passes }
    }

    pub fn set(&self, passes: Passes) {
        self.passes[0].store(passes != Passes::Nothing, SeqCst);
        self.passes[1].store(passes == Passes::Everything, SeqCst);
    }
}

fn pass_datagrams(from: &UdpSocket, to: SocketAddr, open: &AtomicBool) {
    let mut message = [0; 65_535];
    while let Ok((len, client)) = from.recv_from(&mut message) {
        if !open.load(SeqCst) {
            continue;
        }
        let (from, message) = (from.try_clone().unwrap(), message[..len].to_vec());
        thread::spawn(move || -> io::Result<usize> {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            socket.set_read_timeout(Some(PATIENCE))?;
            socket.connect(to)?;
            socket.send(&message)?;
            let mut reply = [0; 65_535];
            let len = socket.recv(&mut reply)?;
            from.send_to(&reply[..len], client)
        });
    }
}

fn pass_connections(from: &TcpListener, to: SocketAddr, open: &AtomicBool) {
    for client in from.incoming().map_while(Result::ok) {
        // A closed line drops the connection.
        let Some(server) = open.load(SeqCst).then(|| TcpStream::connect(to).ok()).flatten() else { continue };
        for (mut read, mut write) in [(client.try_clone(), server.try_clone()), (Ok(server), Ok(client))]
            .map(|(read, write)| (read.unwrap(), write.unwrap()))
        {
            thread::spawn(move || {
                let _ = io::copy(&mut read, &mut write);
                let _ = write.shutdown(Shutdown::Write);
            });
        }
    }
}
