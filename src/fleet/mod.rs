//! A fleet: the documents by which servers share overrides, verdicts, rollouts and sources, and the rules that merge these.
//!
//! Each server writes one document into a store, and reads those of all others. There is no leader: every server reaches
//! the same conclusions from the same documents, in whatever order it has read them.
//!
//! ```text
//! other servers' documents ─► Roster ─┬─► SharedOverrides ─► overrides in force
//!                                     ├─► PeerVotes ───────► the ruling on each address
//!                                     ├─► decide ────────────► to load a bundle, or to wait
//!                                     └─► DueSource ─────────► to fetch a source, to take a copy, or to wait
//! ```
//!
//! **Invariants**: pure, time is an argument; [`SharedOverrides::merge`] is commutative, associative and idempotent; a
//! document that is forged, replayed, too long or another server's changes nothing; every table has a limit.
//! **Not here**: the store and the exchange with it, files, clocks, the effect of overrides on answers ([`crate::mirror`]).

mod bundle;
mod document;
mod hybrid;
mod key;
mod overrides;
mod panic;
mod pointer;
mod rollout;
mod roster;
mod sources;
mod votes;

pub(crate) use bundle::{Bundle, BundleFault, BundleFile, BundleText, ContentDigest, MAX_BUNDLE_LEN};
pub(crate) use document::{ServedState, ServerDocument};
pub(crate) use hybrid::HybridTime;
pub(crate) use key::{DocumentFault, FleetKey};
pub(crate) use overrides::{OverrideAction, SharedOverride, SharedOverrides};
pub(crate) use panic::PanicVotes;
pub(crate) use pointer::{ROLLOUT_OBJECT, Rollout, RolloutAct, RolloutStages};
pub(crate) use rollout::{
    MAX_REJECTION_LEN, PeerRollout, RejectedBundle, RolloutReport, RolloutState, RolloutStep, ServedBundle,
    ServiceHealth, decide,
};
pub(crate) use roster::Roster;
pub(crate) use sources::{
    DueSource, MAX_SHARED_COPY_LEN, PeerCopy, PeerSource, SharedCopy, SourceKey, SourceReport, SourceReports,
    SourceStep,
};
pub(crate) use votes::{FleetRuling, FleetRulings, OwnView, PeerVotes, ProbedAddresses, TroubledAddress, is_isolated};

/// The longest document, in bytes. One of 200 mirrors with an override each has some 80 KiB.
pub(crate) const MAX_DOCUMENT_LEN: usize = 256 << 10;

/// The most servers of a fleet. Beyond them, the documents of further servers are not read.
pub(crate) const MAX_SERVERS: usize = 256;

/// The longest time in milliseconds by which a change may be ahead of this server's clock: 10 minutes. A clock that is wrong by
/// more would make its changes win for as long as it is ahead.
pub(crate) const MAX_AHEAD_MS: u64 = 600_000;

/// The longest name of a server, in bytes: that of a label of a host name.
pub(crate) const MAX_SERVER_NAME_LEN: usize = 63;

/// True if a text can be the name of a server. It is also the name of a file and a part of a URL, so that only letters in
/// lower case, digits, `-`, `_` and `.` are allowed, and a letter or digit comes first.
pub(crate) fn is_server_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=MAX_SERVER_NAME_LEN).contains(&text.len())
        && text.bytes().next().is_some_and(is_plain)
        && text.bytes().all(|byte| is_plain(byte) || b"-_.".contains(&byte))
}

#[cfg(test)]
mod simulation;
