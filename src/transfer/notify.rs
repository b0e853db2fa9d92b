//! NOTIFY messages to secondaries (RFC 1996 §3).
//!
//! **Invariants**: each secondary gets a NOTIFY for each serial, which is repeated until the secondary answers or the attempts
//! are used up; the NOTIFY for a newer serial replaces that for an older one.
//! **Not here**: the list of secondaries ([`super`]).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tracing::{debug, warn};

use crate::base::name::NameBuf;
use crate::base::rr::Rtype;
use crate::base::tsig::Key;
use crate::process::Clock;
use crate::process::datagram::{connected_udp, random_id, receive_until};
use crate::telemetry::transfer::Counters;
use crate::wire::ask::question;
use crate::wire::tsig::Exchange;

/// The timeouts of the attempts, in seconds. RFC 1996 §3.6 proposes a minute and five attempts. Shorter timeouts repair lost packets
/// sooner, and a restarted secondary queries without a NOTIFY.
const WAITS_SECS: [u64; 6] = [2, 4, 8, 16, 32, 60];

/// A NOTIFY to one secondary.
#[derive(Clone, Debug)]
pub(super) struct NotifyWord {
    pub(super) apex: NameBuf,
    pub(super) serial: u32,
    pub(super) to: SocketAddr,
    pub(super) key: Option<Arc<Key>>,
}

/// Sends a NOTIFY until the secondary answers, or the attempts are used up.
pub(super) async fn tell(word: NotifyWord, clock: Clock, counters: Arc<Counters>) {
    let NotifyWord { apex, serial, to, .. } = &word;
    for wait in WAITS_SECS.map(Duration::from_secs) {
        match timeout(wait, attempt(&word, clock)).await {
            Ok(Ok(())) => {
                counters.told.increment();
                return debug!("{to} was told of zone {apex}, serial {serial}");
            }
            // Treat a closed port like a timeout, because the secondary may be starting.
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

/// Sends a NOTIFY and waits for its answer; the content of the answer does not matter (RFC 1996 §4.8).
async fn attempt(word: &NotifyWord, clock: Clock) -> std::io::Result<()> {
    let socket = connected_udp(word.to).await?;
    let id = random_id()?;
    let mut message = question(word.apex.as_name(), Rtype::SOA, id);
    // Opcode 4, AA (RFC 1996 §3.3, §4.5).
    message[2] = 4 << 3 | 0x04;
    let mut exchange = word.key.as_ref().map(|key| Exchange::begin(key, &mut message, clock.read().unix));
    socket.send(&message).await?;
    let is_reply = |reply: &[u8]| {
        let is_reply = reply.len() >= 12 && reply.starts_with(&id.to_be_bytes()) && reply[2] & 0xf8 == 0x80 | 4 << 3;
        let holds = exchange.as_mut().is_none_or(|exchange| exchange.verify(reply, clock.read().unix).is_ok());
        (is_reply && holds).then_some(())
    };
    receive_until(&socket, is_reply).await
}
