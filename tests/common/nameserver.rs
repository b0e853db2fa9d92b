//! A name server for the hosts of mirrors: a Pharos with a zone of its own, `net.test`, whose records a test changes.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tempfile::TempDir;

use super::server::Server;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The start of the zone. Its records, and negative answers, have a TTL of a second.
pub const HEAD: &str = "$TTL 1\n@ SOA ns h 1 3600 600 86400 1\n@ NS ns\nns A 127.0.0.1\n";

/// The name server of the mirrors' hosts: a Pharos with a zone of its own.
pub struct NameServer {
    folder: TempDir,
    server: Server,
}

impl NameServer {
    /// Starts with these records, in the form of a master file.
    pub fn start(records: &str) -> Self {
        NameServer::start_at("127.0.0.1:0", records)
    }

    /// The same at an address that is known beforehand.
    pub fn start_at(listen: &str, records: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let config = format!("[dns]\nlisten = \"{listen}\"\n[[zone]]\nname = \"net.test\"\nfile = \"zone\"\n");
        fs::write(folder.path().join("pharos.toml"), config).unwrap();
        fs::write(folder.path().join("zone"), format!("{HEAD}{records}\n")).unwrap();
        let server = Server::start(&folder.path().join("pharos.toml"));
        NameServer { folder, server }
    }

    /// The address that it answers at.
    pub fn address(&self) -> SocketAddr {
        self.server.address(HERE)
    }

    /// Has other records from now on.
    pub fn change(&self, records: &str) {
        fs::write(self.folder.path().join("zone"), format!("{HEAD}{records}\n")).unwrap();
        self.server.signal("HUP");
        self.server.wait_for("reloaded");
    }
}
