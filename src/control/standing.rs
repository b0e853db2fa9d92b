//! The overrides in force: those of mirrors, and the one of the server itself.
//!
//! **Invariants**: a mirror has at most one override, and so has the server.
//! **Not here**: keeping them ([`super::store`]), giving them ([`super::ledger`]).

use std::fmt;
use std::sync::Arc;

use crate::base::time::UnixTime;
use crate::mirror::Override;
use crate::snapshot::Overrides;

/// The subject of an override.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum OverrideSubject {
    /// The mirror of this name.
    Mirror(Arc<str>),
    /// This server, which can be drained alone.
    Server,
}

impl fmt::Display for OverrideSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OverrideSubject::Mirror(name) => write!(f, "mirror {name}"),
            OverrideSubject::Server => f.write_str("the server"),
        }
    }
}

/// The overrides in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StandingOverrides {
    pub(super) mirrors: Overrides,
    pub(super) server: Option<Override>,
}

impl StandingOverrides {
    pub(super) fn get(&self, subject: &OverrideSubject) -> Option<&Override> {
        match subject {
            OverrideSubject::Mirror(name) => self.mirrors.get(name),
            OverrideSubject::Server => self.server.as_ref(),
        }
    }

    /// Puts an override in force, or ends it.
    pub(super) fn set(&mut self, subject: &OverrideSubject, order: Option<Override>) {
        match (subject, order) {
            (OverrideSubject::Mirror(name), Some(order)) => drop(self.mirrors.insert(name.clone(), order)),
            (OverrideSubject::Mirror(name), None) => drop(self.mirrors.remove(name)),
            (OverrideSubject::Server, order) => self.server = order,
        }
    }

    /// Removes the overrides whose time is over, and returns them.
    pub(super) fn take_over(&mut self, now: UnixTime) -> Vec<(OverrideSubject, Override)> {
        let mirrors = self.mirrors.iter().map(|(name, order)| (OverrideSubject::Mirror(name.clone()), order));
        let all = mirrors.chain(self.server.iter().map(|order| (OverrideSubject::Server, order)));
        let over: Vec<_> =
            all.filter(|(_, order)| order.is_over(now)).map(|(subject, order)| (subject, order.clone())).collect();
        over.iter().for_each(|(subject, _)| self.set(subject, None));
        over
    }

    /// The next moment at which an override ends; `None` if none has an end.
    pub(super) fn next_end(&self) -> Option<UnixTime> {
        self.mirrors.values().chain(&self.server).filter_map(|order| order.until).min()
    }
}
