//! The documents of other servers that change nothing, and the lines of the log about these.
//!
//! Two servers with one name cause a refusal and a right document in turn. So a refusal ends in the log only when no further one
//! came for as long as a server keeps its vote.
//!
//! **Invariants**: as long as one server's documents are refused for one reason, at times or always, this is one line; its end is
//! another one.

use std::collections::BTreeMap;
use std::sync::Arc;

use tracing::{info, warn};

use crate::base::time::Moment;
use crate::fleet::DocumentFault;

/// The refusals, by the name of the server.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// The reason why the present document of a server changes nothing.
    present: BTreeMap<Arc<str>, DocumentFault>,
    /// The last refusal of each server that has not ended in the log.
    last: BTreeMap<Arc<str>, (DocumentFault, Moment)>,
}

impl Refusals {
    /// The servers whose present document changes nothing, and the reasons.
    pub(super) fn present(&self) -> &BTreeMap<Arc<str>, DocumentFault> {
        &self.present
    }

    /// Notes a refusal.
    pub(super) fn refuse(&mut self, server: &Arc<str>, fault: DocumentFault, now: Moment) {
        self.present.insert(server.clone(), fault);
        let last = self.last.insert(server.clone(), (fault, now));
        if last.is_none_or(|(before, _)| before != fault) {
            warn!("the document of server {server} in the store changes nothing: {fault}");
        }
    }

    /// Notes that the present document of a server is accepted.
    pub(super) fn accept(&mut self, server: &Arc<str>) {
        self.present.remove(server);
    }

    /// Drops the refusals of a server.
    pub(super) fn forget(&mut self, server: &Arc<str>) {
        self.present.remove(server);
        self.last.remove(server);
    }

    /// Drops the refusals of servers without a document, and logs the end of those whose last one is older than `stale_ms`.
    pub(super) fn settle(&mut self, listed: &[Arc<str>], now: Moment, stale_ms: u64) {
        self.present.retain(|server, _| listed.contains(server));
        self.last.retain(|server, (_, at)| {
            let is_over = !self.present.contains_key(server) && now.0.saturating_sub(at.0) > stale_ms;
            if is_over && listed.contains(server) {
                info!("the document of server {server} is accepted again");
            }
            !is_over
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_ends_only_when_no_further_one_came_for_a_while() {
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let mut refusals = Refusals::default();
        refusals.refuse(&a, DocumentFault::Replayed, Moment(0));
        refusals.accept(&a);
        refusals.refuse(&b, DocumentFault::Forged, Moment(0));
        assert_eq!(refusals.present().keys().collect::<Vec<_>>(), [&b]);
        refusals.settle(&[a.clone(), b.clone()], Moment(1000), 1000);
        assert_eq!(refusals.last.len(), 2);
        refusals.settle(&[a.clone(), b.clone()], Moment(1001), 1000);
        assert_eq!(refusals.last.keys().collect::<Vec<_>>(), [&b], "the document of the other one is still refused");
        refusals.settle(&[a], Moment(1002), 1000);
        assert!(refusals.last.is_empty() && refusals.present().is_empty());
    }
}
