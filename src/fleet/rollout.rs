//! The decision of a server on the bundle of the rollout: to load it, or to wait, and for what.
//!
//! Each server decides for itself, by the rollout and the documents of all servers. A server of the first stage loads at once; one
//! of a later stage once all servers of the stages before serve the bundle for the soak, and none of these serves worse than
//! before. Nothing is undone by itself: a rollout that stands still goes on once its reason is gone.
//!
//! **Invariants**: pure; no server loads a push that a server rejects; a server of an earlier stage that is silent or unknown holds
//! up all later stages; durations are those of the server that serves, so that clocks need not agree.
//! **Not here**: loading (`serve`), the exchange of documents (`sharing`).

use std::cmp::Reverse;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::bundle::ContentDigest;
use super::pointer::Rollout;
use crate::base::words::words;

/// The SERVFAIL answers below which a share says nothing: a single name of a client's own may cause some.
const MIN_FAILURES: u64 = 10;

/// The rise of the share of SERVFAIL that counts as worse, in percent points. A bundle with a fault in one zone of a hundred
/// reaches it, and the chance of some seconds does not.
const MAX_RISE: f64 = 0.01;

/// The longest reason of a rejection, in bytes, so that documents stay short.
pub(crate) const MAX_REJECTION_LEN: usize = 1000;

/// The part of a server's document that is about bundles.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct RolloutReport {
    /// The highest serial of a rollout that the server has accepted; 0 for none.
    pub(crate) serial: u64,
    /// True if the server takes no bundles.
    pub(crate) deaf: bool,
    /// The bundle in force. `None` if the server serves its own file alone.
    pub(crate) serves: Option<ServedBundle>,
    /// The last push that the server rejected, if it has accepted none since.
    pub(crate) rejects: Option<RejectedBundle>,
}

impl Rollout {
    /// True if its bundle is one to go back to: it is not halted, no server rejects it, and most servers that take bundles serve it.
    pub(crate) fn is_established<'r>(&self, reports: impl IntoIterator<Item = &'r RolloutReport>) -> bool {
        let (mut serving, mut all, mut is_rejected) = (0, 0, false);
        for report in reports.into_iter().filter(|report| !report.deaf) {
            all += 1;
            serving += usize::from(report.serves.as_ref().is_some_and(|served| served.bundle == self.bundle));
            is_rejected |= report.rejects.as_ref().is_some_and(|rejected| rejected.push == self.push);
        }
        self.halted.is_none() && !is_rejected && 2 * serving > all
    }
}

impl RolloutReport {
    /// True if two reports differ in nothing on which another server acts at once.
    pub(crate) fn tells_the_same(&self, other: &Self) -> bool {
        let acts = |report: &Self| {
            let served = report.serves.as_ref().map(|served| (served.bundle.clone(), served.push));
            (report.serial, report.deaf, served, report.rejects.clone())
        };
        acts(self) == acts(other)
    }
}

/// A bundle that a server serves.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub(crate) struct ServedBundle {
    /// The bundle.
    pub(crate) bundle: ContentDigest,
    /// The push by which it came.
    pub(crate) push: u64,
    /// The duration in milliseconds for which the process has served it since that push.
    pub(crate) for_ms: u64,
    /// The service in the minutes before.
    pub(crate) before: ServiceHealth,
    /// The service since.
    pub(crate) since: ServiceHealth,
}

/// A push that a server rejected.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct RejectedBundle {
    /// The bundle.
    pub(crate) bundle: ContentDigest,
    /// The push.
    pub(crate) push: u64,
    /// The reason.
    pub(crate) reason: String,
}

/// The service of a server over some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct ServiceHealth {
    /// The answers.
    pub(crate) answers: u64,
    /// The answers that are SERVFAIL.
    pub(crate) failures: u64,
    /// The mirrors that are not up.
    pub(crate) mirrors_down: u64,
}

impl ServiceHealth {
    fn share(&self) -> f64 {
        self.failures as f64 / self.answers.max(1) as f64
    }

    /// The reason for which this service is worse than one before; `None` if it is not.
    pub(crate) fn worse_than(&self, before: &ServiceHealth) -> Option<String> {
        if self.failures >= MIN_FAILURES && self.share() > before.share() + MAX_RISE {
            let [now, then] = [self.share(), before.share()].map(|share| share * 100.0);
            return Some(format!("{now:.1} % of its answers are SERVFAIL, {then:.1} % before"));
        }
        let (now, then) = (self.mirrors_down, before.mirrors_down);
        (now > then).then(|| format!("{now} of its mirrors are down, {then} before"))
    }
}

/// Another server, with its report.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerRollout<'d> {
    /// Its name.
    pub(crate) name: &'d str,
    /// Its report.
    pub(crate) report: &'d RolloutReport,
    /// True if its document is recent.
    pub(crate) is_fresh: bool,
    /// The age of its document in milliseconds.
    pub(crate) age_ms: u64,
}

/// The next step of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RolloutStep {
    /// The bundle is in force by this push.
    Served,
    /// The bundle is in force by an earlier push: it stays, and its service is compared anew.
    Adopt,
    /// Load it.
    Load,
    /// Wait.
    Wait(RolloutWait),
}

/// The reason why a server does not load a bundle now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RolloutWait {
    /// This server takes no bundles.
    Deaf,
    /// This server has rejected the push.
    Rejected(String),
    /// Another server has.
    Stopped {
        /// The other server.
        server: String,
        /// Its reason.
        reason: String,
    },
    /// An operator has halted the rollout.
    Halted(String),
    /// A server of an earlier stage has no document.
    Unheard(String),
    /// A server of an earlier stage has no recent document.
    Silent {
        /// The server.
        server: String,
        /// The age of its document in seconds.
        age_secs: u64,
    },
    /// A server of an earlier stage serves worse than before.
    Worse {
        /// The server.
        server: String,
        /// The difference.
        reason: String,
    },
    /// A server of an earlier stage does not serve the bundle yet.
    NotYet(String),
    /// The servers of the stages before serve the bundle, and not long enough.
    Soaks {
        /// The server that serves it for the shortest time.
        server: String,
        /// The seconds left.
        left_secs: u64,
    },
}

words! {
    /// The state of a server in the rollout.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(crate) enum RolloutState {
        /// There is no rollout.
        #[default]
        None = "none",
        /// Its bundle is in force.
        Served = "served",
        /// Its bundle is fetched, or judged.
        Loading = "loading",
        /// The stages before are at it.
        Waiting = "waiting",
        /// It stands still: a server of a stage before is silent or serves worse, or the bundle cannot be fetched.
        Stuck = "stuck",
        /// An operator has halted it.
        Halted = "halted",
        /// This server has rejected it.
        Rejected = "rejected",
        /// Another server has rejected it.
        Stopped = "stopped",
        /// This server takes no bundles.
        Deaf = "deaf",
    }
}

impl RolloutWait {
    /// The state for metrics.
    pub(crate) fn state(&self) -> RolloutState {
        match self {
            RolloutWait::Deaf => RolloutState::Deaf,
            RolloutWait::Rejected(_) => RolloutState::Rejected,
            RolloutWait::Stopped { .. } => RolloutState::Stopped,
            RolloutWait::Halted(_) => RolloutState::Halted,
            RolloutWait::Unheard(_) | RolloutWait::Silent { .. } | RolloutWait::Worse { .. } => RolloutState::Stuck,
            RolloutWait::NotYet(_) | RolloutWait::Soaks { .. } => RolloutState::Waiting,
        }
    }

    /// The position among reasons of several servers: the one that an operator must end comes first, and the longest soak.
    fn rank(&self) -> (u8, Reverse<u64>) {
        match self {
            RolloutWait::Unheard(_) => (0, Reverse(0)),
            RolloutWait::Silent { .. } => (1, Reverse(0)),
            RolloutWait::Worse { .. } => (2, Reverse(0)),
            RolloutWait::Soaks { left_secs, .. } => (4, Reverse(*left_secs)),
            _ => (3, Reverse(0)),
        }
    }
}

impl fmt::Display for RolloutWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RolloutWait::Deaf => f.write_str("this server takes no bundles (`rollout = false`)"),
            RolloutWait::Rejected(reason) => write!(f, "rejected here: {reason}"),
            RolloutWait::Stopped { server, reason } => write!(f, "rejected by {server}: {reason}"),
            RolloutWait::Halted(act) => write!(f, "halted by {act}"),
            RolloutWait::Unheard(server) => write!(f, "waits for {server}, which was never heard"),
            RolloutWait::Silent { server, age_secs } => {
                write!(f, "waits for {server}, which was not heard for {age_secs} s")
            }
            RolloutWait::Worse { server, reason } => write!(f, "waits for {server}, which serves worse: {reason}"),
            RolloutWait::NotYet(server) => write!(f, "waits for {server}, which does not serve it yet"),
            RolloutWait::Soaks { server, left_secs } => {
                write!(f, "waits for {left_secs} s more of {server}, which serves it")
            }
        }
    }
}

/// The next step of a server in a rollout. `own` is its own report, `peers` are the other servers.
pub(crate) fn decide(rollout: &Rollout, name: &str, own: &RolloutReport, peers: &[PeerRollout<'_>]) -> RolloutStep {
    match &own.serves {
        Some(served) if served.push == rollout.push && served.bundle == rollout.bundle => return RolloutStep::Served,
        Some(served) if served.bundle == rollout.bundle && !own.deaf => return RolloutStep::Adopt,
        _ => {}
    }
    let rejection = |report: &RolloutReport| {
        report.rejects.as_ref().filter(|rejected| rejected.push == rollout.push).map(|rejected| rejected.reason.clone())
    };
    if own.deaf {
        return RolloutStep::Wait(RolloutWait::Deaf);
    }
    if let Some(reason) = rejection(own) {
        return RolloutStep::Wait(RolloutWait::Rejected(reason));
    }
    if let Some((peer, reason)) = peers.iter().find_map(|peer| Some((peer, rejection(peer.report)?))) {
        return RolloutStep::Wait(RolloutWait::Stopped { server: peer.name.into(), reason });
    }
    if let Some(act) = &rollout.halted {
        return RolloutStep::Wait(RolloutWait::Halted(act.to_string()));
    }
    let before = &rollout.stages.named()[..rollout.stages.of(name)];
    let waits = before.iter().flatten().filter(|server| *server != name).filter_map(|server| {
        match peers.iter().find(|peer| peer.name == server) {
            None => Some(RolloutWait::Unheard(server.clone())),
            Some(peer) => wait_for(rollout, peer),
        }
    });
    match waits.min_by_key(RolloutWait::rank) {
        Some(wait) => RolloutStep::Wait(wait),
        None => RolloutStep::Load,
    }
}

/// The reason for which a server of an earlier stage holds up the later ones; `None` if it does not.
fn wait_for(rollout: &Rollout, peer: &PeerRollout<'_>) -> Option<RolloutWait> {
    let server = peer.name.to_string();
    if peer.report.deaf {
        return None;
    }
    if !peer.is_fresh {
        return Some(RolloutWait::Silent { server, age_secs: peer.age_ms / 1000 });
    }
    let is_this = |served: &&ServedBundle| served.push == rollout.push && served.bundle == rollout.bundle;
    let Some(served) = peer.report.serves.as_ref().filter(is_this) else { return Some(RolloutWait::NotYet(server)) };
    if let Some(reason) = served.since.worse_than(&served.before) {
        return Some(RolloutWait::Worse { server, reason });
    }
    // The age of the document does not count: the server may have failed since.
    let left_ms = rollout.soak_ms.saturating_sub(served.for_ms);
    (left_ms > 0).then(|| RolloutWait::Soaks { server, left_secs: left_ms.div_ceil(1000) })
}

#[cfg(test)]
mod tests;
