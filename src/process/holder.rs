//! The process that holds a port which we cannot bind, read from `/proc` for the error message. It is the error that most
//! operators meet first.
//!
//! **Not here**: binding ([`crate::dns`], [`crate::http`]).

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::base::words::words;
use crate::files::{self, FileKind};

words! {
    /// A kind of socket that listens.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum SocketKind: Display {
        /// UDP.
        Udp = "UDP",
        /// TCP.
        Tcp = "TCP",
    }
}

/// A process with a socket that keeps us from binding a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    /// Its id.
    pub(crate) pid: u32,
    /// Its short name, as `ps` shows it.
    pub(crate) command: String,
}

/// Finds a process whose socket keeps an address from being bound; `None` if no such process can be seen.
///
/// Processes of other users can be seen by root only.
pub(crate) fn port_holder(address: SocketAddr, transport: SocketKind) -> Option<Holder> {
    let tables = match transport {
        SocketKind::Udp => ["/proc/net/udp", "/proc/net/udp6"],
        SocketKind::Tcp => ["/proc/net/tcp", "/proc/net/tcp6"],
    };
    let inodes: Vec<u64> = tables
        .iter()
        .filter_map(|table| read(Path::new(table)))
        .flat_map(|table| table.lines().skip(1).filter_map(parse_line).collect::<Vec<_>>())
        .filter(|socket| transport == SocketKind::Udp || socket.state == LISTEN)
        .filter(|socket| conflicts(socket.local, address))
        .map(|socket| socket.inode)
        .collect();
    if inodes.is_empty() { None } else { owner(&inodes) }
}

/// The text of a file of the kernel.
fn read(path: &Path) -> Option<String> {
    String::from_utf8(files::read(path, FileKind::Kernel).ok()?.bytes).ok()
}

/// The state of a TCP socket that listens, as the kernel numbers it.
const LISTEN: u8 = 0x0a;

struct HeldSocket {
    local: SocketAddr,
    state: u8,
    inode: u64,
}

/// Reads one line: `sl local remote state queues timer retransmits uid timeout inode …`.
fn parse_line(line: &str) -> Option<HeldSocket> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (address, port) = fields.get(1)?.split_once(':')?;
    Some(HeldSocket {
        local: SocketAddr::new(parse_address(address)?, u16::from_str_radix(port, 16).ok()?),
        state: u8::from_str_radix(fields.get(3)?, 16).ok()?,
        inode: fields.get(9)?.parse().ok()?,
    })
}

/// Reads an address: words of 32 bits, each printed as a number of the machine's own byte order.
fn parse_address(text: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(text.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    match text.len() {
        8 => Some(IpAddr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            Some(IpAddr::from(*words.as_flattened().first_chunk::<16>()?))
        }
        _ => None,
    }
}

/// Returns whether a socket at one address keeps us from binding another. An IPv6 wildcard may include IPv4.
fn conflicts(held: SocketAddr, wanted: SocketAddr) -> bool {
    let overlap = match (held.ip(), wanted.ip()) {
        (IpAddr::V6(held), IpAddr::V4(_)) => held.is_unspecified(),
        (IpAddr::V4(_), IpAddr::V6(_)) => false,
        (held, wanted) => held == wanted || held.is_unspecified() || wanted.is_unspecified(),
    };
    overlap && held.port() == wanted.port()
}

/// The process that has one of the sockets open.
fn owner(inodes: &[u64]) -> Option<Holder> {
    let names: Vec<PathBuf> = inodes.iter().map(|inode| format!("socket:[{inode}]").into()).collect();
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let open = fs::read_dir(entry.path().join("fd")).ok()?;
        let mut targets = open.flatten().filter_map(|file| fs::read_link(file.path()).ok());
        let has = targets.any(|target| names.contains(&target));
        let command = || read(&entry.path().join("comm"));
        has.then(command)?.map(|command| Holder { pid, command: command.trim_end().to_string() })
    })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn our_own_sockets_are_found() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let udp = UdpSocket::bind(address).unwrap();
            let tcp = TcpListener::bind(address).unwrap();
            let held = [(udp.local_addr(), SocketKind::Udp), (tcp.local_addr(), SocketKind::Tcp)];
            for (address, transport) in held.map(|(address, transport)| (address.unwrap(), transport)) {
                assert_eq!(port_holder(address, transport).map(|holder| holder.pid), Some(std::process::id()));
                let wildcard =
                    SocketAddr::new(if address.is_ipv4() { [0; 4].into() } else { [0; 16].into() }, address.port());
                assert_eq!(port_holder(wildcard, transport).map(|holder| holder.pid), Some(std::process::id()));
            }
        }
    }

    #[test]
    fn another_address_is_not_in_the_way() {
        let address = |text: &str| text.parse().unwrap();
        assert!(!conflicts(address("127.0.0.53:53"), address("127.0.0.1:53")));
        assert!(!conflicts(address("127.0.0.1:53"), address("127.0.0.1:5300")));
        assert!(conflicts(address("[::]:53"), address("127.0.0.1:53")));
        assert!(!conflicts(address("0.0.0.0:53"), address("[::1]:53")));
    }
}
