//! One source at the other servers of the fleet: the turn of this server, and the copies that it takes from them.
//!
//! **Invariants**: no server waits for the fleet longer than [`FIRST_ROUND`] and its turn; a copy is on the disk only after the
//! exchange has compared it with its digest; without the store, or if the copy is not in it, the turn alone decides.
//! **Not here**: the order of servers ([`crate::fleet::DueSource`]), the store (`sharing`), judging and serving a copy
//! ([`super::task`]).

use std::collections::BTreeSet;
use std::io::Write as _;
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::unpack::disk;
use crate::config::Network;
use crate::files::FileKind;
use crate::files::kept::{self, CopyState};
use crate::fleet::{ContentDigest, DueSource, PeerCopy, PeerSource, SharedCopy, SourceKey, SourceStep};
use crate::live::{CopyFault, CopyOrigin, FleetSources, OwnSource, SourceCopy};
use crate::process::Clock;

/// The longest wait for the first documents after a start. A request to the store ends after 5 s.
const FIRST_ROUND: Duration = Duration::from_secs(10);

/// The turn of this server, from the moment at which a fetch is due.
#[derive(Debug, Default)]
pub(super) struct PeerTurn {
    /// The moment at which the fetch became due. `None` if it was not looked at yet.
    pub(super) since: Option<Instant>,
    /// The copies that this server could not take, of those that peers have.
    unusable: BTreeSet<ContentDigest>,
}

/// A source at the other servers.
#[derive(Debug)]
pub(super) struct SourcePeers {
    fleet: FleetSources,
    network: Network,
    key: SourceKey,
    every: Duration,
}

impl SourcePeers {
    /// A source at the servers of a fleet; `None` if it is not fetched.
    pub(super) fn new(fleet: FleetSources, network: &Network) -> Option<Self> {
        let config = network.fetched()?;
        let key = SourceKey::of(&network.kind.spelling(), &config.url);
        Some(SourcePeers { fleet, network: network.clone(), key, every: config.every })
    }

    /// The next step of this server, whose fetch is due.
    pub(super) async fn step(&self, turn: &mut PeerTurn) -> SourceStep {
        let since = *turn.since.get_or_insert_with(Instant::now);
        // After the first round of the exchange this returns at once.
        let _ = tokio::time::timeout(FIRST_ROUND, self.fleet.heard.clone().changed()).await;
        let heard = self.fleet.heard.borrow().clone();
        let peers: Vec<PeerSource<'_>> = heard
            .iter()
            .filter_map(|heard| {
                let report = heard.document.sources.of(&self.key)?;
                let heard_ms = millis(heard.at.elapsed());
                Some(PeerSource { server: &heard.document.server, report, heard_ms })
            })
            .collect();
        let is_named = |digest: &ContentDigest| heard.iter().any(|heard| heard.document.sources.names(digest));
        turn.unusable.retain(is_named);
        let own = self.fleet.source(&self.network.name);
        let own = own.as_ref().and_then(|own| Some((&own.copy.as_ref()?.sha256, own.checked)));
        let due = DueSource {
            key: &self.key,
            server: &self.fleet.server,
            copy: own.map(|(digest, _)| digest),
            age_ms: own.and_then(|(_, checked)| Some(millis(checked?.elapsed()))),
            every_ms: millis(self.every),
            apart_ms: millis(self.fleet.apart),
            waited_ms: millis(since.elapsed()),
            unusable: &turn.unusable,
        };
        due.step(&peers)
    }

    /// Sends a copy of another server to the file for downloads.
    pub(super) async fn take(&self, copy: &SharedCopy) -> Result<(), CopyFault> {
        if copy.len > self.kind().max_len() {
            return Err(CopyFault::OtherContent);
        }
        let bytes = self.fleet.take(copy.clone()).await?;
        let path = self.network.input.path.clone();
        let write = move || {
            let mut file = kept::begin(&path).map_err(disk)?;
            file.write_all(&bytes).map_err(disk)
        };
        super::on_disk(write).await.map_err(CopyFault::Unusable)
    }

    /// Notes that a copy cannot be taken. It is not tried again, so that this is one line of the log.
    pub(super) fn give_up(&self, found: PeerCopy, fault: &CopyFault, turn: &mut PeerTurn) {
        let (name, server, digest) = (&self.network.name, found.server, found.copy.sha256);
        warn!(
            "network {name}: the copy of server {server} cannot be taken from the fleet: {fault}; this server fetches it by itself"
        );
        turn.unusable.insert(digest);
    }

    /// Tells the other servers about the copy of this one, which is served. `origin` is that of a new copy.
    pub(super) fn tell(&self, copy: &CopyState, (is_served, len): (bool, Option<u64>), origin: Option<CopyOrigin>) {
        let before = self.fleet.source(&self.network.name);
        let digest = |text: &str| ContentDigest::try_from(text.to_string()).ok();
        let sha256 = digest(&copy.current.digest).filter(|_| is_served);
        let held = before.and_then(|before| before.copy).filter(|held| Some(&held.sha256) == sha256.as_ref());
        let copy_of = |sha256: ContentDigest| {
            let others = copy.known.iter().filter(|known| **known != copy.current.digest);
            Some(SourceCopy {
                path: self.network.input.path.clone(),
                kind: self.kind(),
                len: len.or(held.as_ref().map(|held| held.len))?,
                origin: origin.or(held.as_ref().map(|held| held.origin)).unwrap_or(CopyOrigin::Disk),
                // The one before the current one stays, because another server may be about to take it.
                older: others.skip(1).filter_map(|known| digest(known)).collect(),
                sha256,
            })
        };
        let age = Duration::from_secs(Clock::civil().0.saturating_sub(copy.checked));
        let source = OwnSource {
            key: self.key.clone(),
            copy: sha256.and_then(copy_of),
            checked: std::time::Instant::now().checked_sub(age).filter(|_| copy.checked > 0),
            is_asked_here: copy.checked_by.is_none() && copy.rejected.is_none(),
        };
        self.fleet.note(&self.network.name, source);
    }

    /// Tells the other servers that this one has no copy.
    pub(super) fn tell_none(&self) {
        self.tell(&CopyState::default(), (false, None), None);
    }

    fn kind(&self) -> FileKind {
        self.network.input.usage.kind()
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
