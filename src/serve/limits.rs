//! Limits of the system that are too low for the configuration: logged at the start, so that the operator can raise them.
//!
//! **Invariants**: a low limit is a warning, and the server starts anyway.
//! **Not here**: threads, without which the start fails ([`crate::process::work`]).

use std::io;

use tracing::warn;

use super::web::MAX_ACME_CONNECTIONS;
use crate::config::Config;
use crate::http::MAX_FLIGHTS;
use crate::probe::MAX_AT_ONCE;

/// Descriptors that are no listeners or connections of clients: standard streams, tokio's own, files being read, the control
/// socket with its connections, resolvers, kept connections to mirrors.
const OTHER: usize = 256;

/// Warns if the limit on open files is below what the configuration allows to be open at once.
pub(super) fn warn_of_open_files(limit: io::Result<u64>, config: &Config) {
    match limit {
        Err(error) => warn!(%error, "failed to raise the limit on open files"),
        Ok(limit) => {
            let needed = open_files(config);
            if usize::try_from(limit).is_ok_and(|limit| limit < needed) {
                warn!(
                    "this process may open {limit} files, and the configuration allows for {needed}; raise the limit \
                     (`ulimit -n`; systemd: `LimitNOFILE=`; a container: `--ulimit nofile=`), or lower \
                     `[dns] tcp-connections` and `connections` of the HTTP listeners"
                );
            }
        }
    }
}

/// The most files that can be open at once.
fn open_files(config: &Config) -> usize {
    let registry = config.registry.as_ref().map_or(0, |registry| registry.connections.all);
    let admin = config.admin.as_ref().map_or(0, |admin| admin.connections.all);
    let acme = config.acme.as_ref().filter(|acme| !acme.listen.is_empty()).map_or(0, |_| MAX_ACME_CONNECTIONS);
    let listeners = crate::dns::udp_threads(&config.dns) + config.written_addresses.len() + 2 * config.dns.listen.len();
    let probes = if config.probe.is_some() { MAX_AT_ONCE + MAX_FLIGHTS } else { 0 };
    config.dns.tcp_connections + registry + admin + acme + listeners + probes + OTHER
}
