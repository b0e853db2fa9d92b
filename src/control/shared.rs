//! The changes of overrides that the servers of a fleet share, as the ledger keeps these.
//!
//! **Invariants**: a change is on the disk before the exchange sees it.
//! **Not here**: the rule that merges changes ([`crate::fleet`]), the exchange with other servers (`sharing`).

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;
use tracing::warn;

use super::standing::{OverrideSubject, StandingOverrides};
use crate::base::time::UnixTime;
use crate::files::state::{StateForm, Useless, recall};
use crate::fleet::{HybridTime, OverrideAction, ServerDocument, SharedOverride, SharedOverrides};
use crate::live::{MergeInbox, SharedChanges, requests};
use crate::process::state::StateFile;

/// The kind of file: the last document of this server, without its seal.
pub static FORM: StateForm = StateForm { name: "fleet", comment: "", is_old: |_| false };

/// The shared changes, and the file that keeps these.
#[derive(Debug)]
pub(super) struct SharedLedger {
    /// The name of this server.
    server: Arc<str>,
    boot: u64,
    overrides: SharedOverrides,
    file: StateFile,
    /// The civil clock, in milliseconds since 1970.
    millis: fn() -> u64,
    known: watch::Sender<Arc<SharedOverrides>>,
    /// The changes of other servers, until the ledger runs.
    pub(super) merges: Option<MergeInbox>,
}

impl SharedLedger {
    /// Takes up the changes of the last run, and brings the overrides in force in line with these.
    pub(super) fn open(
        server: Arc<str>,
        file: StateFile,
        standing: &mut StandingOverrides,
        millis: fn() -> u64,
    ) -> Result<(Self, SharedChanges), Useless> {
        let now_ms = millis();
        let last = recall_document(file.path())?;
        let boot = now_ms.max(last.boot.saturating_add(1));
        let mut overrides = last.overrides;
        reconcile(&mut overrides, standing, &server, now_ms);
        overrides.expire(now_ms);
        let (merges, inbox) = requests();
        let known = watch::Sender::new(Arc::new(overrides.clone()));
        let changes = SharedChanges { known: known.subscribe(), merges, boot };
        Ok((SharedLedger { server, boot, overrides, file, millis, known, merges: Some(inbox) }, changes))
    }

    /// Takes a change of an operator, and keeps it.
    pub(super) async fn change(&mut self, mirror: &Arc<str>, action: OverrideAction) -> io::Result<()> {
        let now_ms = (self.millis)();
        let before = self.overrides.clone();
        self.overrides.change(mirror, action, now_ms, &self.server);
        self.overrides.expire(now_ms);
        let kept = self.keep().await;
        if kept.is_err() {
            self.overrides = before;
        } else {
            self.tell();
        }
        kept
    }

    /// Takes in the changes of another server. Returns those that are new here.
    pub(super) fn merge(&mut self, theirs: &SharedOverrides) -> Vec<(Arc<str>, SharedOverride)> {
        let before = self.overrides.clone();
        self.overrides.merge(theirs);
        self.overrides.expire((self.millis)());
        self.tell();
        let is_new = |(mirror, change): &(&Arc<str>, &SharedOverride)| before.of(mirror) != Some(*change);
        self.overrides.all().filter(is_new).map(|(mirror, change)| (mirror.clone(), change.clone())).collect()
    }

    /// Writes the changes.
    pub(super) async fn keep(&self) -> io::Result<()> {
        let document = ServerDocument {
            server: self.server.clone(),
            boot: self.boot,
            overrides: self.overrides.clone(),
            ..ServerDocument::default()
        };
        self.file.keep(document.to_json() + "\n").await
    }

    fn tell(&self) {
        self.known.send_replace(Arc::new(self.overrides.clone()));
    }
}

/// The document of the last run; an empty one if its file is lost.
fn recall_document(path: &Path) -> Result<ServerDocument, Useless> {
    match recall(path, &FORM, |text| ServerDocument::from_json(text.as_bytes())) {
        Ok(document) => Ok(document.unwrap_or_default()),
        Err(useless) if !useless.may_be_replaced() => Err(useless),
        Err(useless) => {
            warn!(
                "the changes of overrides that the fleet shares are lost here, and come from the other servers: {useless}"
            );
            Ok(ServerDocument::default())
        }
    }
}

/// Merges the overrides in force with the shared changes, as if each were a change at the time at which it was set.
///
/// Such an override is from before the fleet, or the file of shared changes is lost. It must lose against a removal that another
/// server knows, so that it does not count as a change at the start. An override that is missing in force is no removal: its
/// file may be lost, and no removal is acknowledged before both files have it.
fn reconcile(overrides: &mut SharedOverrides, standing: &mut StandingOverrides, server: &Arc<str>, now_ms: u64) {
    let now = UnixTime(now_ms / 1000);
    for (mirror, order) in &standing.mirrors {
        let at = HybridTime { ms: order.since.0.saturating_mul(1000), count: 0, server: server.clone() };
        overrides.take_in(mirror, &SharedOverride { at, action: OverrideAction::Set(order.clone()) });
    }
    for (mirror, change) in overrides.all() {
        let subject = OverrideSubject::Mirror(mirror.clone());
        standing.set(&subject, change.in_force(now).cloned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::{Forced, Override, Reason};

    fn order(since: u64) -> Override {
        let reason = Reason::parse("a test").unwrap();
        Override { forced: Forced::Drain, reason, who: "us".into(), since: UnixTime(since), until: None }
    }

    fn reconciled(shared: Option<(OverrideAction, u64)>, standing: Option<Override>) -> (SharedOverrides, bool) {
        let (mirror, server): (Arc<str>, Arc<str>) = ("m".into(), "a".into());
        let (mut overrides, mut in_force) = (SharedOverrides::default(), StandingOverrides::default());
        if let Some((action, ms)) = shared {
            overrides.change(&mirror, action, ms, &"b".into());
        }
        in_force.set(&OverrideSubject::Mirror(mirror.clone()), standing);
        reconcile(&mut overrides, &mut in_force, &server, 9_000_000);
        (overrides, in_force.mirrors.contains_key("m"))
    }

    #[test]
    fn at_a_start_the_later_of_both_files_counts_and_a_lost_one_removes_nothing() {
        let removed = OverrideAction::Removed { who: "bob".into(), reason: None };
        let set = OverrideAction::Set(order(1000));
        // From before the fleet.
        let (shared, is_in_force) = reconciled(None, Some(order(1000)));
        assert_eq!((shared.of("m").unwrap().at.ms, is_in_force), (1_000_000, true));
        // Removed since, and set again since.
        assert!(!reconciled(Some((removed.clone(), 2_000_000)), Some(order(1000))).1);
        assert!(reconciled(Some((removed, 2_000_000)), Some(order(3000))).1);
        // The file of overrides in force is lost.
        let (shared, is_in_force) = reconciled(Some((set.clone(), 1_000_123)), None);
        assert!(is_in_force && shared.of("m").unwrap().action == set);
        // Both have it.
        let (shared, is_in_force) = reconciled(Some((set, 1_000_123)), Some(order(1000)));
        assert_eq!((&*shared.of("m").unwrap().at.server, is_in_force), ("b", true));
    }
}
