//! Connected clients: limits in all and per client, and room made by closing the idlest.
//!
//! [`Clients::admit`] gives a connection its [`ConnectionPlace`], which it keeps for as long as it is open. Until its first
//! [`ConnectionPlace::touch`] a connection is idler than any that was touched, so that clients which connect and do nothing take
//! places from each other only.
//!
//! **Invariants**: there are never more places than the limit; a place given up is free at once; the lock is taken when
//! a connection opens, when it ends, and when more than [`super::unsent::FREE`] bytes of it wait, never for a query.
//! **Not here**: accepting ([`super::accept`]), the account of unsent bytes ([`super::unsent`]).
//!
//! RFC 7766 §6.2.2 (limits per client), §6.2.3 (idle connections under load).

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::base::lock::locked;
use crate::base::prefix::PrefixSet;
use crate::config;

/// Unsent bytes of one connection: four of the longest DNS messages. A client that reads gets its next answer as soon as
/// it has taken one of them.
pub(super) const PER_CONNECTION: usize = 256 << 10;

/// Limits of the connections of one listener, or of several that share them. There is no default: a new listener
/// states its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most at once.
    pub connections: usize,
    /// The most at once of one IPv4 address, IPv6 /64 (the prefix of one subscriber), or local user.
    pub per_client: usize,
    /// The consequence of one more.
    pub beyond: BeyondLimit,
    /// The longest time that one may be silent.
    pub idle: Duration,
}

/// The consequence of a connection beyond the limit of its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeyondLimit {
    /// It is refused. DNS: a resolver needs one connection, and pipelines on it (RFC 7766 §6.2.2).
    Refuse,
    /// The client's idlest connection is closed. HTTP: a whole cluster behind one address leaves connections open that
    /// it no longer needs, and opens others.
    CloseIdlest,
}

impl From<&config::DnsConfig> for Limits {
    fn from(dns: &config::DnsConfig) -> Self {
        Limits {
            connections: dns.tcp_connections,
            per_client: dns.tcp_connections_per_client,
            beyond: BeyondLimit::Refuse,
            idle: dns.tcp_idle,
        }
    }
}

/// The origin of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ConnectionPeer {
    /// An address of the network.
    Address(IpAddr),
    /// A user of this machine, over a Unix socket.
    User(u32),
}

impl ConnectionPeer {
    /// The peers whose connections count together as one client.
    fn client(self) -> Self {
        let ConnectionPeer::Address(address) = self else { return self };
        ConnectionPeer::Address(match address.to_canonical() {
            IpAddr::V4(v4) => IpAddr::V4(v4),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        })
    }
}

/// All connections under the same limits.
#[derive(Debug)]
pub struct Clients {
    state: Mutex<ClientState>,
    /// The origin of the times of activity.
    start: Instant,
    idle_ms: AtomicU64,
}

#[derive(Debug)]
pub(super) struct ClientState {
    limits: Limits,
    /// Proxies, whose connections are those of many clients.
    exempt: PrefixSet,
    pub(super) places: HashMap<u64, Arc<Seat>>,
    pub(super) shares: HashMap<ConnectionPeer, ClientShare>,
    /// The unsent bytes of all connections that count.
    pub(super) charged: usize,
    next: u64,
}

/// One client's part of the places.
#[derive(Debug, Default)]
pub(super) struct ClientShare {
    pub(super) ids: Vec<u64>,
    /// The unsent bytes of its connections that count.
    pub(super) charged: usize,
}

/// One connection as the limits see it.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) client: ConnectionPeer,
    pub(super) is_exempt: bool,
    /// The time of its last activity, in milliseconds since `Clients::start`; 0 before the first.
    active_ms: AtomicU64,
    /// Bytes that wait for the client.
    pub(super) unsent: AtomicUsize,
    /// The part of them that counts; written under the lock.
    pub(super) charged: AtomicUsize,
    /// Room for messages on a connection that has several at once.
    pub(super) room: Arc<Semaphore>,
    evicted: CancellationToken,
}

/// The right to be connected; dropping it ends it.
#[derive(Debug)]
pub(crate) struct ConnectionPlace {
    pub(super) clients: Arc<Clients>,
    pub(super) id: u64,
    pub(super) seat: Arc<Seat>,
}

/// The client has as many connections as the limit allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OverClientLimit;

impl Clients {
    /// No connections yet.
    pub fn new(limits: Limits) -> Arc<Self> {
        let state = ClientState {
            limits,
            exempt: PrefixSet::new(&[]),
            places: HashMap::new(),
            shares: HashMap::new(),
            charged: 0,
            next: 0,
        };
        let idle_ms = AtomicU64::new(limits.idle.as_millis() as u64);
        Arc::new(Clients { state: Mutex::new(state), start: Instant::now(), idle_ms })
    }

    /// Changes the limits. Connections beyond the new ones stay open until others need their places.
    pub(crate) fn set_limits(&self, limits: Limits) {
        self.idle_ms.store(limits.idle.as_millis() as u64, Relaxed);
        self.state().limits = limits;
    }

    /// Exempts new connections of these peers from the limit of one client. Such connections still count among all.
    pub(crate) fn set_exempt(&self, exempt: PrefixSet) {
        self.state().exempt = exempt;
    }

    /// The time for which a connection may be silent.
    pub(crate) fn idle(&self) -> Duration {
        Duration::from_millis(self.idle_ms.load(Relaxed))
    }

    /// Gives a new connection its place, if need be that of the one idle for longest.
    pub(crate) fn admit(self: &Arc<Self>, peer: ConnectionPeer) -> Result<ConnectionPlace, OverClientLimit> {
        let client = peer.client();
        let mut state = self.state();
        let is_exempt = matches!(client, ConnectionPeer::Address(address) if state.exempt.contains(address));
        while !is_exempt && state.shares.get(&client).is_some_and(|share| share.ids.len() >= state.limits.per_client) {
            match state.limits.beyond {
                BeyondLimit::Refuse => return Err(OverClientLimit),
                BeyondLimit::CloseIdlest => state.evict_first(Some(client), idleness),
            }
        }
        while state.places.len() >= state.limits.connections.max(1) {
            state.evict_first(None, idleness);
        }
        let id = state.next;
        state.next += 1;
        let seat = Arc::new(Seat {
            client,
            is_exempt,
            active_ms: 0.into(),
            unsent: 0.into(),
            charged: 0.into(),
            room: Arc::new(Semaphore::new(PER_CONNECTION)),
            evicted: CancellationToken::new(),
        });
        state.places.insert(id, seat.clone());
        state.shares.entry(client).or_default().ids.push(id);
        drop(state);
        Ok(ConnectionPlace { clients: self.clone(), id, seat })
    }

    /// Counted from 1: 0 means no activity yet.
    fn now_ms(&self) -> u64 {
        1 + self.start.elapsed().as_millis() as u64
    }

    /// The state is consistent between any two statements that may panic, so that a poisoned lock can be used.
    pub(super) fn state(&self) -> MutexGuard<'_, ClientState> {
        locked(&self.state)
    }
}

/// All groups of connections of the process, which share its file descriptors.
#[derive(Clone, Debug, Default)]
pub(crate) struct Groups(Arc<Mutex<Vec<Weak<Clients>>>>);

impl Groups {
    /// Adds a group, if it is not among them.
    pub(super) fn add(&self, clients: &Arc<Clients>) {
        let mut groups = locked(&self.0);
        groups.retain(|group| group.strong_count() > 0);
        let added = Arc::downgrade(clients);
        if !groups.iter().any(|group| group.ptr_eq(&added)) {
            groups.push(added);
        }
    }

    /// Closes the connection of all groups that has been idle for longest, if there is any.
    ///
    /// A listener without a connection of its own can get a descriptor only from the others.
    pub(crate) fn evict_idlest(&self) {
        let groups: Vec<_> = locked(&self.0).iter().filter_map(Weak::upgrade).collect();
        let idlest = groups.iter().filter_map(|group| {
            let state = group.state();
            let id = state.first(None, idleness)?;
            // `None`, which orders first, before the first activity.
            let active_ms = Some(state.places[&id].active_ms.load(Relaxed)).filter(|active_ms| *active_ms > 0);
            let active = active_ms.map(|active_ms| group.start + Duration::from_millis(active_ms));
            // Of connections without activity, one of the largest group: a flood takes places from itself.
            Some((active, Reverse(state.places.len()), group, id))
        });
        if let Some((.., group, id)) = idlest.min_by_key(|(active, others, ..)| (*active, *others)) {
            group.state().evict(id);
        }
    }
}

impl ClientState {
    /// The connection of a client, or of all, with the least key. This scans these connections: at most the limit, once for
    /// each connection over it.
    fn first<K: Ord>(&self, client: Option<ConnectionPeer>, key: impl Fn(u64, &Seat) -> K) -> Option<u64> {
        match client {
            Some(client) => self.shares.get(&client)?.ids.iter().copied().min_by_key(|id| key(*id, &self.places[id])),
            None => self.places.iter().min_by_key(|(id, seat)| key(**id, seat)).map(|(id, _)| *id),
        }
    }

    /// Closes that connection.
    pub(super) fn evict_first<K: Ord>(&mut self, client: Option<ConnectionPeer>, key: impl Fn(u64, &Seat) -> K) {
        if let Some(id) = self.first(client, key) {
            self.evict(id);
        }
    }

    pub(super) fn evict(&mut self, id: u64) {
        if let Some(seat) = self.remove(id) {
            seat.evicted.cancel();
        }
    }

    fn remove(&mut self, id: u64) -> Option<Arc<Seat>> {
        let seat = self.places.remove(&id)?;
        let charged = seat.charged.load(Relaxed);
        self.charged -= charged;
        if let Some(share) = self.shares.get_mut(&seat.client) {
            share.charged -= charged;
            share.ids.retain(|other| *other != id);
            if share.ids.is_empty() {
                self.shares.remove(&seat.client);
            }
        }
        Some(seat)
    }
}

/// The key that is least for the connection that is idle for longest; of several, for the oldest one.
fn idleness(id: u64, seat: &Seat) -> (u64, u64) {
    (seat.active_ms.load(Relaxed), id)
}

impl ConnectionPlace {
    /// Notes that the connection did something.
    pub(crate) fn touch(&self) {
        self.seat.active_ms.store(self.clients.now_ms(), Relaxed);
    }

    /// Waits until another connection needs the place.
    pub(crate) async fn evicted(&self) {
        self.seat.evicted.cancelled().await;
    }

    /// The time for which the connection may be silent.
    pub(crate) fn idle(&self) -> Duration {
        self.clients.idle()
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        // An evicted connection has no place any more; then this changes nothing.
        self.clients.state().remove(self.id);
    }
}

#[cfg(test)]
mod tests;
