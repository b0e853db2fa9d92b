//! hickory-server within the test process: an authoritative server and a transfer client that share no code with Pharos.
//!
//! **Invariants**: no program has to be installed; a server ends when it is dropped.
//! **Not here**: its known differences from Pharos (`docs/differences.md`).

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use hickory_proto::rr::{LowerName, Name, Record, RecordSet, RrKey};
use hickory_proto::serialize::txt::Parser;
use hickory_server::Server;
use hickory_server::net::client::{Client, ClientHandle as _};
use hickory_server::net::runtime::TokioRuntimeProvider;
use hickory_server::net::tcp::TcpClientStream;
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneType};
use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::Runtime;

use super::peers::ZoneFile;
use super::ports::free_port;
use super::server::PATIENCE;

/// Its name among the oracles.
pub const NAME: &str = "hickory";

/// The limit of queued replies of one connection: more than a test asks at once.
const QUEUE: usize = 64;

/// A running server. Its zones can be replaced while it runs.
pub struct Hickory {
    pub address: SocketAddr,
    zones: BTreeMap<String, Arc<InMemoryZoneHandler>>,
    server: Option<Server<Catalog>>,
    runtime: Runtime,
}

impl Hickory {
    /// Serves master files, as hickory reads them.
    pub fn start(zones: &[ZoneFile]) -> Hickory {
        Hickory::start_at(free_port(), zones)
    }

    /// The same on a port that is known beforehand.
    pub fn start_at(port: u16, zones: &[ZoneFile]) -> Hickory {
        let read = |(apex, text): &ZoneFile| (apex.clone(), read(apex, text).unwrap());
        Hickory::serve(port, zones.iter().map(read).collect(), ZoneType::Primary)
    }

    /// Serves zones as their primary transfers them: the role of a secondary.
    pub fn follow<'z>(primary: SocketAddr, zones: impl Iterator<Item = &'z str>) -> Hickory {
        let fetched = |apex: &str| (apex.to_string(), fetch(primary, apex));
        Hickory::serve(free_port(), zones.map(fetched).collect(), ZoneType::Secondary)
    }

    fn serve(port: u16, zones: Vec<(String, Vec<Record>)>, role: ZoneType) -> Hickory {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut catalog = Catalog::new();
        let mut handlers = BTreeMap::new();
        for (apex, records) in zones {
            let name = Name::from_ascii(format!("{apex}.")).unwrap();
            let mut handler = InMemoryZoneHandler::empty(name.clone(), role, AxfrPolicy::AllowAll);
            for record in records {
                assert!(handler.upsert_mut(record.clone(), 0), "hickory takes {record} into {apex}");
            }
            let handler = Arc::new(handler);
            catalog.upsert(LowerName::from(name), vec![handler.clone()]);
            handlers.insert(apex, handler);
        }
        let mut server = Server::new(catalog);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        runtime.block_on(async {
            server.register_socket(UdpSocket::bind(address).await.unwrap());
            server.register_listener(TcpListener::bind(address).await.unwrap(), PATIENCE, QUEUE);
        });
        Hickory { address, zones: handlers, server: Some(server), runtime }
    }

    /// Replaces the records of a zone, at once and whole.
    pub fn replace(&self, apex: &str, text: &str) {
        let sets = sets(read(apex, text).unwrap());
        self.runtime.block_on(async {
            *self.zones[apex].records_mut().await = sets;
        });
    }
}

impl Drop for Hickory {
    fn drop(&mut self) {
        // The server's tasks end with the runtime; the sockets are closed before this function returns.
        drop(self.server.take());
        let runtime = std::mem::replace(&mut self.runtime, empty_runtime());
        runtime.shutdown_timeout(Duration::from_secs(5));
    }
}

fn empty_runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

fn sets(records: Vec<Record>) -> BTreeMap<RrKey, Arc<RecordSet>> {
    let mut sets: BTreeMap<RrKey, RecordSet> = BTreeMap::new();
    for record in records {
        let key = RrKey::new(LowerName::from(&record.name), record.record_type());
        let set = sets
            .entry(key)
            .or_insert_with(|| RecordSet::with_ttl(record.name.clone(), record.record_type(), record.ttl));
        set.insert(record, 0);
    }
    sets.into_iter().map(|(key, set)| (key, Arc::new(set))).collect()
}

/// The records of a master file as hickory reads it; an error for a type whose presentation form it lacks.
pub fn read(apex: &str, text: &str) -> Result<Vec<Record>, String> {
    let origin = Name::from_ascii(format!("{}.", apex.trim_end_matches('.'))).unwrap();
    let (_, sets) = Parser::new(text, None, Some(origin)).parse().map_err(|error| error.to_string())?;
    let records = sets.into_values().flat_map(|set| set.records_without_rrsigs().cloned().collect::<Vec<_>>());
    Ok(records.collect())
}

/// A zone by AXFR through hickory's client, the closing SOA left out.
pub fn fetch(primary: SocketAddr, apex: &str) -> Vec<Record> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let provider = TokioRuntimeProvider::default();
        let (stream, handle) = TcpClientStream::new(primary, None, Some(PATIENCE), provider);
        let (mut client, background) =
            Client::<TokioRuntimeProvider>::with_timeout(stream.await.unwrap(), handle, PATIENCE);
        tokio::spawn(background);
        let mut messages = client.zone_transfer(Name::from_ascii(format!("{apex}.")).unwrap(), None);
        let mut records = Vec::new();
        while let Some(message) = messages.next().await {
            records.extend(message.unwrap_or_else(|error| panic!("{apex}: {error}")).answers.iter().cloned());
        }
        assert_eq!(records.first(), records.last(), "{apex}: a transfer begins and ends with the SOA");
        records.pop();
        records
    })
}
