//! Mirrors that each server of a fleet reaches by a path of its own.
//!
//! Every server probes another port of the same addresses, so that a test can cut or spoil the path of one server alone, without
//! rights for network namespaces. Servers compare addresses, not ports.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::task::JoinHandle;

use super::common::ports::free_port;
use super::mirrors::{Authority, CANARY, Fault, Ledger, NAME, REPOSITORY, canary_sha256};
use super::world::{Fleet, config};

/// The mirrors, in the order of the horizon. The last byte of an address is the place in here, from 1.
pub(crate) const NAMES: [&str; 3] = ["near", "far", "spare"];

/// The pace of probes at which a dead path is known after two seconds, also on a busy machine.
pub(crate) const PROBES: &str = "interval = \"1s\"\nretry = \"500ms\"\n";

/// The same with one probe at the start. All later ones are those that the fleet asks for.
pub(crate) const SELDOM: &str = "interval = \"30m\"\nretry = \"30m\"\n";

/// The paths from servers to mirrors.
pub(crate) struct Paths {
    authority: Authority,
    /// The third byte of the addresses, which is another one for each test.
    net: u8,
    ports: Vec<u16>,
    listeners: BTreeMap<(usize, usize), (JoinHandle<()>, Arc<Ledger>)>,
}

impl Paths {
    /// Opens all paths of as many servers.
    pub(crate) async fn open(net: u8, servers: usize) -> Paths {
        let ports = (0..servers).map(|_| free_port()).collect();
        let mut paths = Paths { authority: Authority::new(), net, ports, listeners: BTreeMap::new() };
        for server in 0..servers {
            for mirror in 0..NAMES.len() {
                paths.mend(server, mirror).await;
            }
        }
        paths
    }

    fn address(&self, mirror: usize) -> IpAddr {
        [127, 0, self.net, mirror as u8 + 1].into()
    }

    /// From now on nothing listens for this server at a mirror.
    pub(crate) async fn cut(&mut self, server: usize, mirror: usize) {
        if let Some((task, _)) = self.listeners.remove(&(server, mirror)) {
            task.abort();
            // Waits until the listener is gone.
            let _ = task.await;
        }
    }

    /// From now on the mirror is well for this server.
    pub(crate) async fn mend(&mut self, server: usize, mirror: usize) {
        self.serve(server, mirror, Fault::None).await;
    }

    /// From now on the mirror has this fault for this server.
    pub(crate) async fn serve(&mut self, server: usize, mirror: usize, fault: Fault) {
        self.cut(server, mirror).await;
        let (at, ledger) = (SocketAddr::new(self.address(mirror), self.ports[server]), Arc::<Ledger>::default());
        let (_, task) = self.authority.mirror_with(at, fault, ledger.clone()).await;
        self.listeners.insert((server, mirror), (task, ledger));
    }

    /// The connections of a server to a mirror since the last change of the path.
    pub(crate) fn connections(&self, server: usize, mirror: usize) -> usize {
        self.listeners[&(server, mirror)].1.connections()
    }

    /// A running fleet that probes these mirrors, with a pace for each server.
    pub(crate) fn fleet(&self, names: &[&str], pace: &str, probes: &[&str]) -> Fleet {
        let fleet = Fleet::prepare(names);
        let store = fleet.store();
        for member in &fleet.members {
            member.write("roots.pem", self.authority.root_pem());
        }
        fleet.running(|name| {
            let at = names.iter().position(|other| *other == name).unwrap();
            config(name, &store, pace, &probed(self.ports[at], probes[at], |mirror| self.address(mirror)))
        })
    }
}

/// The configuration of mirrors at a port, which are probed at a pace.
pub(crate) fn probed(port: u16, pace: &str, address: impl Fn(usize) -> IpAddr) -> String {
    let mut text = format!(
        "[probe]\nname = \"{NAME}\"\nport = {}\nroots = \"roots.pem\"\ntimeout = \"10s\"\nfall = 2\nrise = 2\n\
             hold-down = \"0s\"\n{pace}canary = {{ repository = \"{REPOSITORY}\", digest = \"sha256:{}\", size = {} }}\n",
        port,
        canary_sha256(),
        CANARY.len()
    );
    for (mirror, name) in NAMES.iter().enumerate() {
        text.push_str(&format!("[mirrors.{name}]\naddresses = \"{}\"\n", address(mirror)));
    }
    text + "[horizons.h]\ndefault = [\"near\", \"far\", \"spare\"]\n"
}
