//! Telling secondaries that a zone has changed (RFC 1996 §3).
//!
//! **Invariants**: a secondary is told of each serial once, until it answers or has been silent for long; word of a newer
//! serial takes the place of word of an older one.
//! **Not here**: whom to tell ([`super`]).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tracing::{debug, warn};

use super::fetch::{connected_udp, random_id};
use super::inbound;
use crate::base::name::NameBuf;
use crate::base::rr::Rtype;
use crate::base::tsig::Key;
use crate::process::Clock;
use crate::telemetry::transfer::Counters;
use crate::wire::tsig::Exchange;

/// How long each attempt waits for an answer. RFC 1996 §3.6 proposes a minute and five attempts; most losses are made up
/// for sooner, and a secondary that was started anew has asked by itself.
const WAITS: [Duration; 6] = [
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(16),
    Duration::from_secs(32),
    Duration::from_secs(60),
];

/// Whom to tell, and of what.
#[derive(Clone, Debug)]
pub(super) struct NotifyWord {
    pub(super) apex: NameBuf,
    pub(super) serial: u32,
    pub(super) to: SocketAddr,
    pub(super) key: Option<Arc<Key>>,
}

/// Tells one secondary.
pub(super) async fn tell(word: NotifyWord, clock: Clock, counters: Arc<Counters>) {
    let NotifyWord { apex, serial, to, .. } = &word;
    for wait in WAITS {
        match timeout(wait, attempt(&word, clock)).await {
            Ok(Ok(())) => {
                counters.told.increment();
                return debug!("{to} was told of zone {apex}, serial {serial}");
            }
            // A port where nobody listens yet is the same as silence.
            Ok(Err(error)) => {
                debug!(%error, "failed to tell {to} of zone {apex}");
                tokio::time::sleep(wait).await;
            }
            Err(_) => {}
        }
    }
    counters.deaf.increment();
    warn!("{to} does not answer NOTIFY: it was not told of zone {apex}, serial {serial}");
}

/// Sends a NOTIFY and waits for its answer; what the answer says does not matter (RFC 1996 §4.8).
async fn attempt(word: &NotifyWord, clock: Clock) -> std::io::Result<()> {
    let socket = connected_udp(word.to).await?;
    let id = random_id()?;
    let mut message = inbound::question(word.apex.as_name(), Rtype::SOA, id);
    // Opcode 4, AA (RFC 1996 §3.3, §4.5).
    message[2] = 4 << 3 | 0x04;
    let mut exchange = word.key.as_ref().map(|key| Exchange::begin(key, &mut message, clock.read().unix));
    socket.send(&message).await?;
    let mut reply = [0; 4096];
    loop {
        let len = socket.recv(&mut reply).await?;
        let reply = &reply[..len];
        let is_reply = reply.len() >= 12 && reply.starts_with(&id.to_be_bytes()) && reply[2] & 0xf8 == 0x80 | 4 << 3;
        let holds = exchange.as_mut().is_none_or(|exchange| exchange.verify(reply, clock.read().unix).is_ok());
        if is_reply && holds {
            return Ok(());
        }
    }
}
