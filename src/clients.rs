//! Who is connected, and who may be: limits in all and per client, and room made by closing the idlest.
//!
//! [`Clients::admit`] gives a connection its [`Place`], which it keeps for as long as it is open.
//!
//! **Invariants**: there are never more places than the limit; a place given up is free at once; the lock is taken when
//! a connection opens and when it ends, never for a query.
//! **Not here**: what goes over a connection ([`crate::dns`], [`crate::http`]).
//!
//! RFC 7766 §6.2.2 (limits per client), §6.2.3 (idle connections under load).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config;

/// What connections may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most at once.
    pub connections: usize,
    /// The most at once of one IPv4 address or IPv6 /64, which is what one subscriber has.
    pub per_client: usize,
    /// How long one may be silent.
    pub idle: Duration,
}

impl From<&config::Dns> for Limits {
    fn from(dns: &config::Dns) -> Self {
        Limits { connections: dns.tcp_connections, per_client: dns.tcp_connections_per_client, idle: dns.tcp_idle }
    }
}

/// All that are connected.
#[derive(Debug)]
pub struct Clients {
    state: Mutex<State>,
    /// What activity is measured from.
    start: Instant,
    idle_ms: AtomicU64,
}

#[derive(Debug)]
struct State {
    limits: Limits,
    places: HashMap<u64, Arc<Seat>>,
    per_client: HashMap<IpAddr, usize>,
    next: u64,
}

/// What is known of one connection.
#[derive(Debug)]
struct Seat {
    client: IpAddr,
    /// When it was last active, in milliseconds since `Clients::start`; 0 while it has not been.
    active_ms: AtomicU64,
    evicted: CancellationToken,
}

/// The right to be connected; dropping it ends it.
#[derive(Debug)]
pub struct Place {
    clients: Arc<Clients>,
    id: u64,
    seat: Arc<Seat>,
}

/// The client has as many connections as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverClientLimit;

/// How far a connection has come when it gets its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Messages may come at once.
    Open,
    /// A handshake comes first. Until [`Place::touch`] it is idler than any that is open: clients that shake hands
    /// slowly, or never, take places from each other only.
    Handshake,
}

impl Clients {
    /// Nobody yet.
    pub fn new(limits: Limits) -> Arc<Self> {
        let state = State { limits, places: HashMap::new(), per_client: HashMap::new(), next: 0 };
        let idle_ms = AtomicU64::new(limits.idle.as_millis() as u64);
        Arc::new(Clients { state: Mutex::new(state), start: Instant::now(), idle_ms })
    }

    /// Changes the limits; connections over the new ones are not closed, but make room for others as always.
    pub fn set_limits(&self, limits: Limits) {
        self.idle_ms.store(limits.idle.as_millis() as u64, Relaxed);
        self.state().limits = limits;
    }

    /// How long a connection may be silent.
    pub fn idle(&self) -> Duration {
        Duration::from_millis(self.idle_ms.load(Relaxed))
    }

    /// Gives a new connection its place, if need be that of the one idle for longest.
    pub fn admit(self: &Arc<Self>, address: IpAddr, stage: Stage) -> Result<Place, OverClientLimit> {
        let client = client_of(address);
        let mut state = self.state();
        if state.per_client.get(&client).is_some_and(|count| *count >= state.limits.per_client) {
            return Err(OverClientLimit);
        }
        while state.places.len() >= state.limits.connections.max(1) {
            state.evict_idlest();
        }
        let id = state.next;
        state.next += 1;
        let active_ms = match stage {
            Stage::Open => self.now_ms(),
            Stage::Handshake => 0,
        };
        let seat = Arc::new(Seat { client, active_ms: active_ms.into(), evicted: CancellationToken::new() });
        state.places.insert(id, seat.clone());
        *state.per_client.entry(client).or_default() += 1;
        drop(state);
        Ok(Place { clients: self.clone(), id, seat })
    }

    /// Closes the connection that has been idle for longest, if there is any.
    pub fn evict_idlest(&self) {
        self.state().evict_idlest();
    }

    /// Closes all connections, now.
    pub fn evict_all(&self) {
        self.state().places.values().for_each(|seat| seat.evicted.cancel());
    }

    /// Counted from 1: 0 is for who has not been active yet.
    fn now_ms(&self) -> u64 {
        1 + self.start.elapsed().as_millis() as u64
    }

    /// The state is whole between any two statements that may panic, so that a poisoned lock is as good as any.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Looks at all connections; there are at most as many as the limit, and it happens once per connection over it.
    fn evict_idlest(&mut self) {
        let idlest =
            self.places.iter().min_by_key(|(id, seat)| (seat.active_ms.load(Relaxed), **id)).map(|(id, _)| *id);
        if let Some(seat) = idlest.and_then(|id| self.remove(id)) {
            seat.evicted.cancel();
        }
    }

    fn remove(&mut self, id: u64) -> Option<Arc<Seat>> {
        let seat = self.places.remove(&id)?;
        if let Some(count) = self.per_client.get_mut(&seat.client) {
            *count -= 1;
            if *count == 0 {
                self.per_client.remove(&seat.client);
            }
        }
        Some(seat)
    }
}

impl Place {
    /// Notes that the connection did something.
    pub fn touch(&self) {
        self.seat.active_ms.store(self.clients.now_ms(), Relaxed);
    }

    /// Waits until another connection needs the place.
    pub async fn evicted(&self) {
        self.seat.evicted.cancelled().await;
    }

    /// How long the connection may be silent.
    pub fn idle(&self) -> Duration {
        self.clients.idle()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // An evicted connection has none any more.
        self.clients.state().remove(self.id);
    }
}

/// Whose connections count together.
fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients(connections: usize, per_client: usize) -> Arc<Clients> {
        Clients::new(Limits { connections, per_client, idle: Duration::from_secs(10) })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_idlest_makes_room() {
        let clients = clients(2, 2);
        let first = clients.admit(ip("192.0.2.1"), Stage::Open).unwrap();
        let second = clients.admit(ip("192.0.2.2"), Stage::Open).unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        first.touch();
        let third = clients.admit(ip("192.0.2.3"), Stage::Open).unwrap();
        assert!(second.seat.evicted.is_cancelled());
        assert!(!first.seat.evicted.is_cancelled() && !third.seat.evicted.is_cancelled());
        drop(second);
        assert_eq!(clients.state().places.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_has_its_share_and_no_more() {
        let clients = clients(10, 2);
        let first = clients.admit(ip("2001:db8::1"), Stage::Open).unwrap();
        let _second = clients.admit(ip("2001:db8::ffff:2"), Stage::Open).unwrap();
        assert_eq!(clients.admit(ip("2001:db8::3"), Stage::Open).unwrap_err(), OverClientLimit);
        assert!(clients.admit(ip("2001:db8:0:1::1"), Stage::Open).is_ok());
        assert!(clients.admit(ip("192.0.2.1"), Stage::Open).is_ok());
        drop(first);
        assert!(clients.admit(ip("2001:db8::3"), Stage::Open).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_remembered_after_leaving() {
        let clients = clients(2, 1);
        for i in 0..50 {
            drop(clients.admit(IpAddr::from([192, 0, 2, i]), Stage::Open).unwrap());
        }
        assert!(clients.state().places.is_empty() && clients.state().per_client.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn handshakes_take_places_from_handshakes() {
        let clients = clients(3, 3);
        let open = clients.admit(ip("192.0.2.1"), Stage::Open).unwrap();
        tokio::time::advance(Duration::from_secs(5)).await;
        let slow = clients.admit(ip("192.0.2.2"), Stage::Handshake).unwrap();
        let done = clients.admit(ip("192.0.2.3"), Stage::Handshake).unwrap();
        done.touch();
        let _next = clients.admit(ip("192.0.2.4"), Stage::Handshake).unwrap();
        assert!(slow.seat.evicted.is_cancelled());
        assert!(!open.seat.evicted.is_cancelled() && !done.seat.evicted.is_cancelled());
    }
}
