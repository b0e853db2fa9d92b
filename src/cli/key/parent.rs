//! The DS records of a zone at the servers of its parent.
//!
//! **Invariants**: each server is asked for itself, because one that lags behind is a fault that resolvers meet.
//! **Not here**: comparing the records with keys ([`super::ds`]).

use std::net::{IpAddr, SocketAddr};

use super::super::CommandFailure;
use crate::base::diagnostic::Diagnostic;
use crate::base::name::{Name, NameBuf};
use crate::base::rr::Rtype;
use crate::config::Resolver;
use crate::load::hosts::ask::HostAsker;
use crate::mirror::{Lookup, Trouble};

/// The port of DNS.
const PORT: u16 = 53;

/// The most servers of a parent that are asked: the root and most top-level domains have 13 at most.
const MAX_SERVERS: usize = 13;

/// The answer of one server.
pub(super) struct ParentAnswer {
    /// Its name and address.
    pub(super) server: String,
    /// The rdata of its DS records, or the reason why there is no answer.
    pub(super) records: Result<Vec<Vec<u8>>, String>,
}

/// Asks one server, or all of the parent zone, which `resolver` finds.
pub(super) fn ask(
    zone: Name<'_>,
    server: Option<SocketAddr>,
    resolver: &Resolver,
) -> Result<Vec<ParentAnswer>, CommandFailure> {
    let failed = |why: String| {
        let problem =
            Diagnostic::error("no-parent", format!("failed to find the servers of the parent of `{zone}`: {why}"));
        problem.help("`--server` names a server or resolver to ask")
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| failed(crate::files::words(&error)))?;
    runtime.block_on(async {
        let servers = match server {
            Some(address) => vec![(address.to_string(), address)],
            None => servers(zone, resolver).await.map_err(failed)?,
        };
        let mut answers = Vec::new();
        for (server, address) in servers {
            answers.push(ParentAnswer { records: ds_at(zone, address, resolver).await, server });
        }
        Ok(answers)
    })
}

/// The DS records of a zone at a server.
async fn ds_at(zone: Name<'_>, server: SocketAddr, resolver: &Resolver) -> Result<Vec<Vec<u8>>, String> {
    let asker = HostAsker::new(&Resolver { servers: vec![server], ..resolver.clone() })?;
    asker.records(&zone.to_string(), Rtype::DS).await.map_err(|trouble| trouble.to_string())
}

/// The servers of the zone above, each by its first address.
async fn servers(zone: Name<'_>, resolver: &Resolver) -> Result<Vec<(String, SocketAddr)>, String> {
    let asker = HostAsker::new(resolver)?;
    let mut above = zone.parent();
    let names = loop {
        let Some(parent) = above else { return Err("the root has no parent".to_string()) };
        let names = asker.records(&parent.to_string(), Rtype::NS).await.map_err(|error: Trouble| error.to_string())?;
        if !names.is_empty() {
            break names;
        }
        above = parent.parent();
    };
    let mut servers = Vec::new();
    for name in names.iter().take(MAX_SERVERS).filter_map(|rdata| Name::from_wire(rdata).map(Name::to_owned)) {
        if let Some(address) = address(&asker, &name).await {
            servers.push((format!("{name} ({address})"), SocketAddr::new(address, PORT)));
        }
    }
    if servers.is_empty() { Err("none of its name servers has an address".to_string()) } else { Ok(servers) }
}

async fn address(asker: &HostAsker, name: &NameBuf) -> Option<IpAddr> {
    let found = asker.ask(&name.to_string()).await;
    let mut addresses = found.into_iter().filter_map(|lookup| match lookup {
        Lookup::Found { addresses, .. } => addresses.first().copied(),
        _ => None,
    });
    addresses.next()
}
