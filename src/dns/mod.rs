//! The DNS listeners: UDP on threads, TCP on tasks, both over the one engine.
//!
//! [`bind`] takes the ports; [`Service::start`] answers on them until [`Service::stop`].
//!
//! **Invariants**: every transport answers with [`wire::respond`]; a query sees one snapshot; remote input is counted,
//! never logged.
//! **Not here**: what to answer ([`crate::wire`]), when to start, reload and stop ([`crate::serve`]).
//!
//! RFC 1035 §4.2, RFC 7766 (TCP), RFC 9210 (TCP operation).

mod bind;
mod clients;
mod stream;
mod tcp;
mod udp;

#[cfg(test)]
mod fixture;

pub use bind::{BindError, Bound, bind};
pub use clients::Limits;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::base::time::Now;
use crate::live::{Loaded, Published};
use crate::process::Clock;
use crate::telemetry::dns::Dns as Counters;
use crate::wire::{self, Peer, Reply};

/// What answers messages: the served snapshot and the time.
#[derive(Clone, Debug)]
pub struct Engine {
    /// The snapshot.
    pub published: Arc<Published>,
    /// The time.
    pub clock: Clock,
}

/// The engine for as long as one batch lasts: one snapshot, one reading of the clocks.
struct Session {
    snapshot: Loaded,
    now: Now,
}

impl Engine {
    /// Begins a batch. It is to be over before anything is waited for: it keeps its snapshot alive.
    #[inline]
    fn begin(&self) -> Session {
        Session { snapshot: self.published.load(), now: self.clock.read() }
    }
}

impl Session {
    #[inline]
    fn respond(&self, message: &[u8], peer: Peer, out: &mut [u8]) -> Option<Reply> {
        wire::respond(message, peer, &self.snapshot, self.now, out)
    }
}

/// The listeners at work.
#[derive(Debug)]
pub struct Service {
    addresses: Vec<SocketAddr>,
    udp: udp::Threads,
    tcp: tcp::Listeners,
}

impl Service {
    /// Starts to answer on bound ports, within a tokio runtime.
    pub fn start(bound: Bound, engine: Engine, limits: Limits, counters: Arc<Counters>) -> io::Result<Self> {
        let addresses = bound.addresses();
        let tcp = tcp::Listeners::start(bound.tcp, engine.clone(), limits, counters.clone())?;
        let udp = udp::Threads::start(bound.udp, engine, &counters)?;
        Ok(Service { addresses, udp, tcp })
    }

    /// Where we listen.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Changes what connections may take, for the next ones and, as to time, for those that are open.
    pub fn set_limits(&self, limits: Limits) {
        self.tcp.set_limits(limits);
    }

    /// Answers what has been received, and stops; what is not done within `grace` is given up.
    pub async fn stop(self, grace: Duration) {
        let Service { udp, tcp, .. } = self;
        let threads = tokio::task::spawn_blocking(move || udp.stop());
        tcp.stop(grace).await;
        // The threads stop within a bounded number of batches.
        let _ = threads.await;
    }
}
