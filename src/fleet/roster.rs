//! The servers of the fleet that this one has heard, and the documents that it accepts of each.
//!
//! The age of a document runs by this server's own clock, from the moment at which the server's number last moved, so that
//! clocks need not agree and a store that replays an old document cannot make a server look alive.
//!
//! **Invariants**: of one server, documents are accepted in the order of their process and number alone; at most
//! [`MAX_SERVERS`] are known.
//! **Not here**: reading the store.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{DocumentFault, FleetKey, MAX_AHEAD_MS, MAX_SERVERS, ProbedAddresses, ServerDocument, SharedOverrides};
use crate::base::time::Moment;

/// A server of which a document was accepted.
#[derive(Clone, Debug)]
pub(crate) struct HeardServer {
    /// Its last document.
    pub(crate) document: Arc<ServerDocument>,
    /// The moment at which this server got the document.
    pub(crate) at: Moment,
}

/// The servers of the fleet but this one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roster {
    servers: BTreeMap<Arc<str>, HeardServer>,
}

impl Roster {
    /// Takes in the bytes of a server's object. Returns the document if it is a new one, and `None` for the last one again.
    pub(crate) fn hear(
        &mut self,
        server: &Arc<str>,
        bytes: &[u8],
        key: &FleetKey,
        now: Moment,
        now_ms: u64,
    ) -> Result<Option<Arc<ServerDocument>>, DocumentFault> {
        self.accept(ServerDocument::open(server, bytes, key)?, now, now_ms)
    }

    /// Takes in a document that was opened.
    pub(super) fn accept(
        &mut self,
        document: ServerDocument,
        now: Moment,
        now_ms: u64,
    ) -> Result<Option<Arc<ServerDocument>>, DocumentFault> {
        let server = document.server.clone();
        let number = |document: &ServerDocument| (document.boot, document.seq);
        if let Some(known) = self.servers.get(&server) {
            match number(&document).cmp(&number(&known.document)) {
                std::cmp::Ordering::Less => return Err(DocumentFault::Replayed),
                std::cmp::Ordering::Equal => return Ok(None),
                std::cmp::Ordering::Greater => {}
            }
        } else if self.servers.len() >= MAX_SERVERS {
            return Err(DocumentFault::TooMany);
        }
        if latest_ms(&document.overrides) > now_ms.saturating_add(MAX_AHEAD_MS) {
            return Err(DocumentFault::Ahead);
        }
        let document = Arc::new(document);
        self.servers.insert(server, HeardServer { document: document.clone(), at: now });
        Ok(Some(document))
    }

    /// All servers, by name.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Arc<str>, &HeardServer)> {
        self.servers.iter()
    }

    /// A server by its name.
    pub(crate) fn of(&self, server: &str) -> Option<&HeardServer> {
        self.servers.get(server)
    }

    /// The servers whose document is at most this old, in milliseconds.
    pub(crate) fn fresh(&self, now: Moment, stale_ms: u64) -> impl Iterator<Item = &ServerDocument> {
        let is_fresh = move |heard: &&HeardServer| now.0.saturating_sub(heard.at.0) <= stale_ms;
        self.servers.values().filter(is_fresh).map(|heard| &*heard.document)
    }

    /// The views of the servers that have a vote: fresh, and not isolated.
    pub(crate) fn voters(&self, now: Moment, stale_ms: u64) -> impl Iterator<Item = &ProbedAddresses> {
        self.fresh(now, stale_ms).filter(|document| !document.served.isolated).map(|document| &document.probed)
    }

    /// Forgets a server that is gone for good. Returns true if it was known.
    pub(crate) fn forget(&mut self, server: &str) -> bool {
        self.servers.remove(server).is_some()
    }
}

/// The time of the latest change, in milliseconds since 1970.
fn latest_ms(overrides: &SharedOverrides) -> u64 {
    overrides.all().map(|(_, change)| change.at.ms).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::OverrideAction;

    fn key() -> FleetKey {
        FleetKey::parse(&"5".repeat(64)).unwrap()
    }

    fn document(server: &str, boot: u64, seq: u64) -> ServerDocument {
        ServerDocument { server: server.into(), boot, seq, ..ServerDocument::default() }
    }

    fn hear(roster: &mut Roster, document: &ServerDocument, now: u64) -> Result<bool, DocumentFault> {
        let heard = roster.hear(&document.server, &document.seal(&key()), &key(), Moment(now), 1_000_000)?;
        Ok(heard.is_some())
    }

    #[test]
    fn a_document_counts_once_and_never_after_a_later_one() {
        let mut roster = Roster::default();
        assert_eq!(hear(&mut roster, &document("a", 5, 1), 0), Ok(true));
        assert_eq!(hear(&mut roster, &document("a", 5, 1), 900), Ok(false));
        assert_eq!(hear(&mut roster, &document("a", 5, 3), 1000), Ok(true));
        assert_eq!(hear(&mut roster, &document("a", 5, 2), 1000), Err(DocumentFault::Replayed));
        assert_eq!(hear(&mut roster, &document("a", 6, 1), 1000), Ok(true), "of a new process");
        assert_eq!(hear(&mut roster, &document("a", 5, 9), 1000), Err(DocumentFault::Replayed));
        assert_eq!(hear(&mut roster, &document("b", 1, 1), 1000), Ok(true));
    }

    #[test]
    fn a_server_is_fresh_while_its_number_moves() {
        let mut roster = Roster::default();
        hear(&mut roster, &document("a", 5, 1), 0).unwrap();
        hear(&mut roster, &document("a", 5, 1), 30_000).unwrap();
        assert_eq!(roster.fresh(Moment(30_000), 30_000).count(), 1);
        assert_eq!(roster.fresh(Moment(30_001), 30_000).count(), 0);
        hear(&mut roster, &document("a", 5, 2), 31_000).unwrap();
        assert_eq!(roster.fresh(Moment(31_000), 30_000).count(), 1);
        let mut isolated = document("a", 5, 3);
        isolated.served.isolated = true;
        hear(&mut roster, &isolated, 31_000).unwrap();
        assert_eq!(roster.fresh(Moment(31_000), 30_000).count(), 1);
        assert_eq!(roster.voters(Moment(31_000), 30_000).count(), 0);
        assert!(roster.forget("a") && !roster.forget("a"));
    }

    #[test]
    fn a_clock_that_is_far_ahead_changes_nothing() {
        let mut roster = Roster::default();
        let with = |ms: u64| {
            let mut document = document("a", 5, 1);
            let action = OverrideAction::Removed { who: "bob".into(), reason: None };
            document.overrides.change(&"m".into(), action, ms, &"a".into());
            document
        };
        assert_eq!(hear(&mut roster, &with(1_000_000 + MAX_AHEAD_MS + 1), 0), Err(DocumentFault::Ahead));
        assert_eq!(hear(&mut roster, &with(1_000_000 + MAX_AHEAD_MS), 0), Ok(true));
    }

    #[test]
    fn the_number_of_servers_has_a_limit() {
        let mut roster = Roster::default();
        for number in 0..MAX_SERVERS {
            hear(&mut roster, &document(&format!("s{number}"), 1, 1), 0).unwrap();
        }
        assert_eq!(hear(&mut roster, &document("one-more", 1, 1), 0), Err(DocumentFault::TooMany));
        assert_eq!(hear(&mut roster, &document("s0", 1, 2), 0), Ok(true));
    }
}
