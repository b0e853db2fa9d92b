//! The overrides of mirrors that all servers of a fleet share.
//!
//! For each mirror the change with the latest [`HybridTime`] counts. To take an override back is a change too, which is kept
//! for [`KEPT_MS`], so that servers which still have the override learn of it. Every server tells all changes that it
//! knows, so that an override outlives the server that took it.
//!
//! **Invariants**: [`SharedOverrides::merge`] is commutative, associative and idempotent; a mirror has at most one change.
//! **Not here**: the effect of overrides, their kinds and reasons ([`crate::mirror`]); the rest of the document ([`super::document`]).

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::HybridTime;
use crate::base::time::UnixTime;
use crate::inspect::view::OverrideView;
use crate::mirror::{Operator, Override, Reason};

/// The duration in milliseconds for which the end of an override is told: 30 days. A server that was away for longer may
/// bring an override back that was removed meanwhile.
pub(crate) const KEPT_MS: u64 = 30 * 86_400_000;

/// The most changes that are kept, so that a document with all of them stays below [`super::MAX_DOCUMENT_LEN`]. Beyond it, the
/// oldest removal is told no longer, and then the oldest override, which stays in force where it is.
pub(crate) const MAX_SHARED: usize = 192;

/// A change of an override.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OverrideAction {
    /// The override was set.
    Set(Override),
    /// The override was removed by an operator.
    Removed {
        /// The operator.
        who: Operator,
        /// The reason, if the operator gave one.
        reason: Option<Reason>,
    },
}

/// The latest change of a mirror's override.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SharedOverride {
    /// Its time.
    pub(crate) at: HybridTime,
    /// The change.
    pub(crate) action: OverrideAction,
}

impl SharedOverride {
    /// The order among changes of one mirror: the greatest is kept.
    ///
    /// Times are equal only if a server has lost its state and its clock was set back. The text then decides, so that all
    /// servers keep the same change.
    fn order(&self, other: &Self) -> Ordering {
        self.at.cmp(&other.at).then_with(|| self.text().cmp(&other.text()))
    }

    /// The change as JSON: what servers send, so that servers of several versions have the same text.
    fn text(&self) -> String {
        serde_json::to_string(&OverrideForm::of(self)).expect("a form of strings and numbers is JSON")
    }

    /// The override in force; `None` if it was removed or has ended.
    pub(crate) fn in_force(&self, now: UnixTime) -> Option<&Override> {
        match &self.action {
            OverrideAction::Set(order) if !order.is_over(now) => Some(order),
            _ => None,
        }
    }

    /// The time in milliseconds since 1970 from which the change tells nothing any more; `None` if it is an override without
    /// an end.
    fn useless_from(&self) -> Option<u64> {
        let over = match &self.action {
            OverrideAction::Set(order) => order.until?.0.saturating_mul(1000),
            OverrideAction::Removed { .. } => 0,
        };
        Some(over.max(self.at.ms).saturating_add(KEPT_MS))
    }
}

/// [`SharedOverride`] as JSON.
#[derive(Deserialize, Serialize)]
pub(super) struct OverrideForm {
    at: TimeForm,
    /// The override; null if it was removed.
    pub(super) set: Option<OverrideView>,
    /// The operator that removed it; null if it is set.
    removed: Option<RemovalForm>,
}

/// [`HybridTime`] as JSON.
#[derive(Deserialize, Serialize)]
struct TimeForm {
    ms: u64,
    count: u32,
    server: String,
}

/// The removal of an override as JSON.
#[derive(Deserialize, Serialize)]
struct RemovalForm {
    who: String,
    reason: Option<String>,
}

impl OverrideForm {
    /// The form of a change.
    pub(super) fn of(SharedOverride { at, action }: &SharedOverride) -> Self {
        let (set, removed) = match action {
            OverrideAction::Set(order) => (Some(OverrideView::of(order)), None),
            OverrideAction::Removed { who, reason } => {
                let reason = reason.as_ref().map(ToString::to_string);
                (None, Some(RemovalForm { who: who.name.to_string(), reason }))
            }
        };
        let at = TimeForm { ms: at.ms, count: at.count, server: at.server.to_string() };
        OverrideForm { at, set, removed }
    }

    /// The change; `None` if the form is none that this version writes.
    pub(super) fn change(self) -> Option<SharedOverride> {
        let action = match (self.set, self.removed) {
            (Some(order), None) => OverrideAction::Set(order.order()?),
            (None, Some(RemovalForm { who, reason })) => {
                let reason = reason.map(|text| Reason::parse(&text)).transpose().ok()?;
                OverrideAction::Removed { who: Operator::from(who.as_str()), reason }
            }
            _ => return None,
        };
        let TimeForm { ms, count, server } = self.at;
        Some(SharedOverride { at: HybridTime { ms, count, server: server.into() }, action })
    }
}

/// The latest change of each mirror's override, by the name of the mirror.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SharedOverrides(BTreeMap<Arc<str>, SharedOverride>);

impl SharedOverrides {
    /// Takes a change at this server.
    pub(crate) fn change(&mut self, mirror: &Arc<str>, action: OverrideAction, now_ms: u64, server: &Arc<str>) {
        let last = self.0.values().map(|known| &known.at).max();
        let at = HybridTime::after(last, now_ms, server);
        self.0.insert(mirror.clone(), SharedOverride { at, action });
    }

    /// Takes in the changes of another server.
    pub(crate) fn merge(&mut self, other: &SharedOverrides) {
        other.0.iter().for_each(|(mirror, change)| self.take_in(mirror, change));
    }

    /// Takes in one change. A later change of the same mirror stays.
    pub(crate) fn take_in(&mut self, mirror: &Arc<str>, change: &SharedOverride) {
        match self.0.get_mut(mirror) {
            Some(known) if known.order(change).is_ge() => {}
            Some(known) => *known = change.clone(),
            None => drop(self.0.insert(mirror.clone(), change.clone())),
        }
    }

    /// Drops changes that tell nothing any more, and the oldest beyond [`MAX_SHARED`].
    pub(crate) fn expire(&mut self, now_ms: u64) {
        self.0.retain(|_, change| change.useless_from().is_none_or(|from| from > now_ms));
        while self.0.len() > MAX_SHARED {
            let is_set = |change: &SharedOverride| matches!(change.action, OverrideAction::Set(_));
            let oldest = self.0.iter().min_by_key(|(_, change)| (is_set(change), &change.at));
            let oldest = oldest.map(|(mirror, _)| mirror.clone());
            oldest.map(|mirror| self.0.remove(&mirror));
        }
    }

    /// All changes, by mirror.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Arc<str>, &SharedOverride)> {
        self.0.iter()
    }

    /// The change of a mirror.
    pub(crate) fn of(&self, mirror: &str) -> Option<&SharedOverride> {
        self.0.get(mirror)
    }

    /// True if this has every change of the other, or a later one.
    pub(crate) fn covers(&self, other: &SharedOverrides) -> bool {
        other.0.iter().all(|(mirror, change)| self.0.get(mirror).is_some_and(|known| known.order(change).is_ge()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::Forced;

    fn drain(until: Option<u64>) -> OverrideAction {
        OverrideAction::Set(Override {
            forced: Forced::Drain,
            reason: Reason::parse("new disks").unwrap(),
            who: "alice".into(),
            since: UnixTime(1000),
            until: until.map(UnixTime),
        })
    }

    fn removed() -> OverrideAction {
        OverrideAction::Removed { who: "bob".into(), reason: None }
    }

    #[test]
    fn the_later_change_counts_and_a_removal_is_kept_for_30_days() {
        let (mirror, a, b): (Arc<str>, Arc<str>, Arc<str>) = ("m".into(), "a".into(), "b".into());
        let (mut here, mut there) = (SharedOverrides::default(), SharedOverrides::default());
        here.change(&mirror, drain(None), 1_000_000, &a);
        there.merge(&here);
        // The clock of the other server is a second behind.
        there.change(&mirror, removed(), 999_000, &b);
        here.merge(&there);
        assert_eq!(here, there);
        assert!(here.of("m").unwrap().in_force(UnixTime(1000)).is_none());
        let at = here.of("m").unwrap().at.ms;
        here.expire(at + KEPT_MS - 1);
        assert!(here.of("m").is_some());
        here.expire(at + KEPT_MS);
        assert!(here.of("m").is_none());
    }

    #[test]
    fn an_override_without_an_end_is_kept_and_one_with_an_end_is_not() {
        let (stays, ends, a): (Arc<str>, Arc<str>, Arc<str>) = ("stays".into(), "ends".into(), "a".into());
        let mut all = SharedOverrides::default();
        all.change(&stays, drain(None), 1_000_000, &a);
        all.change(&ends, drain(Some(2000)), 1_000_000, &a);
        assert!(all.of("ends").unwrap().in_force(UnixTime(1999)).is_some());
        assert!(all.of("ends").unwrap().in_force(UnixTime(2000)).is_none());
        all.expire(2_000_000 + KEPT_MS);
        assert_eq!(all.all().map(|(mirror, _)| &**mirror).collect::<Vec<_>>(), ["stays"]);
    }

    #[test]
    fn beyond_the_limit_the_oldest_changes_go() {
        let a: Arc<str> = "a".into();
        let mut all = SharedOverrides::default();
        for number in 0..=MAX_SHARED {
            all.change(&format!("m{number}").into(), drain(None), 1000 + number as u64, &a);
        }
        all.expire(5_000_000);
        assert!(all.of("m0").is_none() && all.of("m1").is_some());
        // A removal goes first, although it is newer.
        all.change(&"m2".into(), removed(), 9000, &a);
        all.change(&"one-more".into(), drain(None), 9000, &a);
        all.expire(5_000_000);
        assert!(all.of("m2").is_none() && all.of("m1").is_some());
    }
}
