//! Bytes that wait for clients, and the budget of them: per connection, per client, and for all connections.
//!
//! A connection that reads slowly, or not at all, makes answers wait in memory. [`HeldBytes`] accounts for them. Beyond a
//! limit the connection with the most unsent bytes is closed: that of the same client, or that among all.
//! On a connection with several messages at once, a message first waits for [`MessageRoom`].
//!
//! **Invariants**: each group of listeners has its own budget ([`Clients`]), so that readers of one cannot starve
//! another; the sum of all is the budget of the process.
//! **Not here**: writing and its deadline ([`super::stream`]).

use std::cmp::Reverse;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use super::clients::{ClientState, Clients, ConnectionPlace, PER_CONNECTION, Seat};

/// Unsent bytes of one client: sixteen connections that are full. A resolver that is alive reads its answers.
const PER_CLIENT: usize = 4 << 20;

/// Unsent bytes of all connections of a group: eight clients that are full.
const PER_GROUP: usize = 32 << 20;

/// Up to this many unsent bytes of a connection do not count; if there are more, all of them count. Nearly all answers are
/// shorter, so that the lock is rarely taken. A thousand connections may have 16 MB that do not count.
pub(super) const FREE: usize = 16 << 10;

/// Bytes are counted in steps of this many.
const STEP: usize = 16 << 10;

/// The room that a DNS message needs before its length is known.
pub(crate) const MESSAGE: usize = 64 << 10;

/// Unsent bytes, until dropped.
#[derive(Debug)]
pub(crate) struct HeldBytes {
    clients: Arc<Clients>,
    id: u64,
    seat: Arc<Seat>,
    len: usize,
}

/// Room for one message on a connection that has several at once.
#[derive(Debug)]
pub(crate) struct MessageRoom {
    permit: OwnedSemaphorePermit,
    held: HeldBytes,
}

impl ConnectionPlace {
    /// Accounts for unsent bytes.
    pub(crate) fn hold(&self, len: usize) -> HeldBytes {
        let mut held = HeldBytes { clients: self.clients.clone(), id: self.id, seat: self.seat.clone(), len: 0 };
        held.set(len);
        held
    }

    /// Room for a message of up to `len` bytes, if there is some now.
    pub(crate) fn try_room(&self, len: usize) -> Option<MessageRoom> {
        let permit = self.seat.room.clone().try_acquire_many_owned(permits(len)).ok()?;
        Some(MessageRoom { permit, held: self.hold(0) })
    }

    /// Waits for room for a message of up to `len` bytes, in the order of asking. The `waiting` bytes of its request
    /// count meanwhile.
    pub(crate) async fn room(&self, len: usize, waiting: usize) -> MessageRoom {
        if let Some(room) = self.try_room(len) {
            return room;
        }
        let _waiting = self.hold(waiting);
        match self.seat.room.clone().acquire_many_owned(permits(len)).await {
            Ok(permit) => MessageRoom { permit, held: self.hold(0) },
            // It is never closed.
            Err(_) => pending().await,
        }
    }
}

impl MessageRoom {
    /// Keeps the room that a message of this length needs, and gives back the rest.
    ///
    /// A message that is longer than it was expected to be, such as a page of counters, counts whole against the client.
    pub(crate) fn fill(mut self, len: usize) -> Self {
        drop(self.permit.split(self.permit.num_permits().saturating_sub(len)));
        self.held.set(len);
        self
    }

    /// The message itself: its room is free when the last part of it has been sent.
    pub(crate) fn guard(self, message: Bytes) -> Bytes {
        Bytes::from_owner(Guarded { message, _room: self })
    }
}

struct Guarded {
    message: Bytes,
    _room: MessageRoom,
}

impl AsRef<[u8]> for Guarded {
    fn as_ref(&self) -> &[u8] {
        &self.message
    }
}

impl HeldBytes {
    /// Changes the number of bytes.
    pub(crate) fn set(&mut self, len: usize) {
        if len == self.len {
            return;
        }
        // `SeqCst` here, in `charge` and in between: either this thread sees the charge that another sets, or the other
        // sees these bytes.
        let unsent = match len.checked_sub(self.len) {
            Some(more) => self.seat.unsent.fetch_add(more, SeqCst) + more,
            None => self.seat.unsent.fetch_sub(self.len - len, SeqCst) - (self.len - len),
        };
        self.len = len;
        if due(unsent) != self.seat.charged.load(SeqCst) {
            self.clients.state().charge(self.id);
        }
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// A message longer than the budget of its connection has it alone.
fn permits(len: usize) -> u32 {
    len.min(PER_CONNECTION) as u32
}

/// The part of a connection's unsent bytes that counts.
fn due(unsent: usize) -> usize {
    if unsent <= FREE { 0 } else { unsent.next_multiple_of(STEP) }
}

impl ClientState {
    /// Counts a connection's unsent bytes; nothing if it has lost its place.
    fn charge(&mut self, id: u64) {
        let Some(seat) = self.places.get(&id).cloned() else { return };
        loop {
            let (before, now) = (seat.charged.load(SeqCst), due(seat.unsent.load(SeqCst)));
            if before == now {
                break;
            }
            seat.charged.store(now, SeqCst);
            self.charged = self.charged - before + now;
            if let Some(share) = self.shares.get_mut(&seat.client) {
                share.charged = share.charged - before + now;
            }
        }
        let fullness = |id: u64, seat: &Seat| Reverse((seat.charged.load(SeqCst), id));
        while !seat.is_exempt && self.shares.get(&seat.client).is_some_and(|share| share.charged > PER_CLIENT) {
            self.evict_first(Some(seat.client), fullness);
        }
        while self.charged > PER_GROUP {
            self.evict_first(None, fullness);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::clients::{BeyondLimit, ConnectionPeer, Limits};
    use super::*;

    fn clients() -> Arc<Clients> {
        let idle = Duration::from_secs(10);
        Clients::new(Limits { connections: 10_000, per_client: 1000, beyond: BeyondLimit::Refuse, idle })
    }

    fn place(clients: &Arc<Clients>, client: u32) -> ConnectionPlace {
        clients.admit(ConnectionPeer::User(client)).unwrap()
    }

    fn charged(clients: &Clients) -> (usize, usize) {
        let state = clients.state();
        assert_eq!(state.charged, state.shares.values().map(|share| share.charged).sum::<usize>());
        (state.charged, state.places.len())
    }

    #[tokio::test]
    async fn what_is_held_counts_until_it_is_dropped() {
        let clients = clients();
        let place = place(&clients, 1);
        let mut held = place.hold(FREE);
        assert_eq!(charged(&clients), (0, 1));
        let other = place.hold(1);
        assert_eq!(charged(&clients), (FREE + STEP, 1));
        held.set(100_000);
        drop(other);
        assert_eq!(charged(&clients), (100_000_usize.next_multiple_of(STEP), 1));
        drop(place);
        assert_eq!(charged(&clients), (0, 0));
        drop(held);
        assert_eq!(charged(&clients), (0, 0));
    }

    #[tokio::test]
    async fn a_client_beyond_its_budget_loses_its_fullest_connection() {
        let clients = clients();
        let (mine, other) = (place(&clients, 1), place(&clients, 2));
        let (_little, _others) = (mine.hold(PER_CLIENT / 4), other.hold(PER_CLIENT));
        let full = place(&clients, 1);
        let _much = full.hold(PER_CLIENT / 2);
        let next = place(&clients, 1);
        let _more = next.hold(PER_CLIENT / 2 - STEP);
        tokio::time::timeout(Duration::from_secs(9), full.evicted()).await.unwrap();
        assert_eq!(charged(&clients), (PER_CLIENT / 4 + PER_CLIENT / 2 - STEP + PER_CLIENT, 3));
    }

    #[tokio::test]
    async fn all_together_keep_within_the_budget() {
        let clients = clients();
        let all: Vec<(ConnectionPlace, HeldBytes)> = (0..100)
            .map(|client| {
                let place = place(&clients, client);
                let held = place.hold(PER_CLIENT - client as usize * STEP);
                (place, held)
            })
            .collect();
        let (unsent, places) = charged(&clients);
        assert!(unsent <= PER_GROUP && unsent > PER_GROUP - PER_CLIENT, "{unsent}");
        assert!(places < 100);
        // The first had the most.
        tokio::time::timeout(Duration::from_secs(9), all[0].0.evicted()).await.unwrap();
    }

    #[tokio::test]
    async fn messages_wait_for_those_that_were_not_taken() {
        let clients = clients();
        let place = place(&clients, 1);
        let mut sent: Vec<Bytes> = Vec::new();
        for _ in 0..PER_CONNECTION / MESSAGE {
            let room = place.try_room(MESSAGE).unwrap();
            sent.push(room.fill(MESSAGE).guard(Bytes::from(vec![1; MESSAGE])));
        }
        assert!(place.try_room(MESSAGE).is_none());
        let part = sent.pop().map(|message| message.slice(10..20)).unwrap();
        assert!(place.try_room(MESSAGE).is_none(), "a part of the message is still there");
        let waiting = place.room(MESSAGE, 5);
        drop(part);
        let small = waiting.await.fill(100).guard(Bytes::from(vec![1; 100]));
        drop(sent);
        assert!(charged(&clients).0 == 0 && small.len() == 100);
        // Short messages leave room for others.
        let many: Vec<MessageRoom> = (0..1000).map(|_| place.try_room(MESSAGE).unwrap().fill(100)).collect();
        drop(many);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn no_charge_is_left_when_threads_hold_and_release_at_once() {
        let clients = clients();
        let place = Arc::new(place(&clients, 1));
        let threads: Vec<_> = (0..4)
            .map(|seed: usize| {
                let place = place.clone();
                std::thread::spawn(move || {
                    for round in 0..2000 {
                        let mut held = place.hold((round * 7919 + seed) % 60_000);
                        held.set((round * 104_729 + seed) % 60_000);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(charged(&clients), (0, 1));
    }
}
