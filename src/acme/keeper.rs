//! The keeper of tokens: decides about updates one by one, and has each change on the disk and served before it is
//! acknowledged.
//!
//! **Invariants**: changes are made one after another; waiting for peers delays no other update; an entry of a peer is kept
//! and served as a change by a client is, and waits for no peer.
//! **Not here**: the exchange with peers ([`super::peers`]).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::Instant;
use tracing::{info, warn};

use super::peers::{BARRIER, Peers};
use super::store::{self, KeptTokens};
use crate::base::name::NameBuf;
use crate::base::rr::{Ede, Rcode};
use crate::base::time::UnixTime;
use crate::challenge::{ChallengeState, ChallengeStore, ChallengeToken, LIFE_SECS};
use crate::config::Remote;
use crate::live::{PendingChanges, PendingRequest, PendingUpdate, Published, Stopped, Updates};
use crate::process::Clock;
use crate::process::state::StateFile;
use crate::snapshot::{Change, Snapshot};
use crate::telemetry::acme::{UpdateCounts, UpdateOutcome};
use crate::wire::transfer::Denial;
use crate::wire::update::{ReceivedEntry, TokenAction, TokenChange, UpdateAuthor, UpdateEffect};

/// The longest time until the service notices that the civil clock was set, because tokens end by the civil clock.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The most updates that wait for peers. Each holds a message and a few sockets for [`BARRIER`] at most.
pub(super) const MAX_WAITING: usize = 64;

/// The time between two lines about refused updates of a credential.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// The reply to an update whose change cannot be kept or published.
const FAILED: Denial = (Rcode::SERVFAIL, None);

/// The reply to an update that has to be sent again later.
const NOT_READY: Denial = (Rcode::SERVFAIL, Some(Ede::NotReady));

/// The tokens, and everything that a change of these needs.
pub(super) struct TokenKeeper<C> {
    pub(super) kept: watch::Sender<KeptTokens>,
    pub(super) file: StateFile,
    pub(super) published: Arc<Published>,
    pub(super) updates: Updates,
    pub(super) clock: Clock,
    /// The civil clock.
    pub(super) civil: C,
    pub(super) peers: Peers,
    pub(super) waiting: Arc<Semaphore>,
    pub(super) counts: Arc<UpdateCounts>,
    /// The time of the last line about a refused update, by credential.
    pub(super) refused: BTreeMap<Arc<str>, Instant>,
}

impl<C: Fn() -> UnixTime> TokenKeeper<C> {
    /// Handles updates until the last sender is dropped.
    pub(super) async fn run(
        mut self,
        mut inbox: mpsc::Receiver<PendingRequest>,
        mut reloads: watch::Receiver<Arc<[Remote]>>,
    ) {
        self.peers.reload(&reloads.borrow_and_update());
        loop {
            tokio::select! {
                pending = inbox.recv() => match pending {
                    Some(PendingRequest::Update(pending)) => self.take(*pending).await,
                    Some(PendingRequest::Changes(pending)) => self.take_changes(pending).await,
                    None => return,
                },
                () = self.next_end() => self.tidy().await,
                Ok(()) = reloads.changed() => {
                    self.tidy().await;
                    self.peers.reload(&reloads.borrow_and_update());
                }
            }
        }
    }

    async fn take(&mut self, PendingUpdate { update, reply }: PendingUpdate) {
        let snapshot = self.published.load_full();
        let (author, address) = (update.author().clone(), update.address());
        let judged = update.judge(&snapshot);
        let (published, clock) = (self.published.clone(), self.clock);
        let answer = move |outcome| {
            let snapshot = published.load_full();
            let (message, summary) = update.reply(outcome, &snapshot, clock.read());
            reply(&message, &summary, &snapshot);
        };
        match (author, judged) {
            (UpdateAuthor::Credential(credential), Ok(UpdateEffect::Changes(changes))) => {
                self.change(&credential, address, &changes, answer).await;
            }
            (UpdateAuthor::Server(key), Ok(UpdateEffect::Entries(entries))) => {
                if entries.is_empty() {
                    self.peers.note_greeting(key);
                }
                answer(self.take_entries(entries, address).await);
            }
            (UpdateAuthor::Credential(credential), Err(denial)) => {
                self.note_refused(&credential, address, denial);
                answer(Err(denial));
            }
            (_, judged) => answer(judged.map(drop)),
        }
    }

    /// Makes changes that came over HTTP.
    async fn take_changes(&mut self, PendingChanges { credential, address, changes, reply }: PendingChanges) {
        match permit(&credential, &changes, &self.published.load_full()) {
            Ok(()) => self.change(&credential, address, &changes, reply).await,
            Err(denial) => {
                self.note_refused(&credential, address, denial);
                reply(Err(denial));
            }
        }
    }

    /// Makes the changes of a credential, all or none, and answers its client once the peers have these.
    async fn change(
        &mut self,
        credential: &Arc<str>,
        address: IpAddr,
        changes: &[TokenChange],
        answer: impl FnOnce(Result<(), Denial>) + Send + 'static,
    ) {
        let deadline = Instant::now() + BARRIER;
        let Ok(room) = self.waiting.clone().try_acquire_owned() else {
            self.counts.count(credential, UpdateOutcome::Failed);
            return answer(Err(NOT_READY));
        };
        if let Err(denial) = self.apply(credential, address, changes).await {
            self.counts.count(credential, UpdateOutcome::Failed);
            return answer(Err(denial));
        }
        let barrier = self.peers.barrier(self.set_by(credential, changes), deadline);
        let (counts, credential) = (self.counts.clone(), credential.clone());
        tokio::spawn(async move {
            let _room = room;
            let is_everywhere = barrier.await;
            counts.count(&credential, if is_everywhere { UpdateOutcome::Made } else { UpdateOutcome::Behind });
            // A certificate authority may ask any of the servers.
            answer(if is_everywhere { Ok(()) } else { Err(NOT_READY) });
        });
    }

    async fn apply(&mut self, credential: &Arc<str>, address: IpAddr, changes: &[TokenChange]) -> Result<(), Denial> {
        let now = (self.civil)();
        let mut kept = self.kept.borrow().clone();
        kept.tokens.expire(now);
        for TokenChange { owner, action } in changes {
            match action {
                TokenAction::Set(token) => {
                    kept.tokens.set(credential, owner.as_name(), *token, &kept.server, now);
                    kept.last_set.insert(credential.clone(), now);
                }
                TokenAction::Remove(which) => {
                    kept.tokens.remove(credential, owner.as_name(), *which, &kept.server, now);
                }
            }
        }
        let owners = changes.iter().map(|change| (credential, &change.owner)).collect();
        self.keep(kept, owners, &format!("from {address}")).await
    }

    /// The tokens that changes have set, and that are live.
    fn set_by(&self, credential: &Arc<str>, changes: &[TokenChange]) -> Vec<(NameBuf, ChallengeToken)> {
        let kept = self.kept.borrow();
        let set = |change: &TokenChange| match change.action {
            TokenAction::Set(token) => Some((change.owner.clone(), token)),
            TokenAction::Remove(_) => None,
        };
        let is_live = |(owner, token): &(NameBuf, ChallengeToken)| {
            kept.tokens.tokens_of(credential, owner.as_name()).contains(token)
        };
        changes.iter().filter_map(set).filter(is_live).collect()
    }

    /// Takes in the entries of a peer. Those that no credential here may set are left out: the peer is greeted after a
    /// reload, and then sends these again.
    async fn take_entries(&mut self, entries: Vec<ReceivedEntry>, address: IpAddr) -> Result<(), Denial> {
        let (now, snapshot) = ((self.civil)(), self.published.load_full());
        let mut kept = self.kept.borrow().clone();
        kept.tokens.expire(now);
        let permitted = |entry: &ReceivedEntry| snapshot.challenges().permits(&entry.key.credential, &entry.key.owner);
        let entries: Vec<_> = entries.into_iter().filter(permitted).map(|entry| entry.at(now)).collect();
        for (key, entry) in &entries {
            let is_new = kept.tokens.entry(key).is_none_or(|known| known.version < entry.version);
            kept.tokens.take_in(key.clone(), entry.clone());
            if is_new && entry.state == ChallengeState::Set {
                // A token that arrives late was set when its hour began.
                let set = UnixTime(entry.until.0.saturating_sub(LIFE_SECS));
                let last = kept.last_set.entry(key.credential.clone()).or_insert(set);
                *last = set.max(*last);
            }
        }
        let owners = entries.iter().map(|(key, _)| (&key.credential, &key.owner)).collect();
        self.keep(kept, owners, &format!("by way of {address}")).await
    }

    /// Drops the tokens whose time is over, and those that no credential may set.
    async fn tidy(&mut self) {
        let snapshot = self.published.load_full();
        let mut kept = self.kept.borrow().clone();
        kept.tokens.expire((self.civil)());
        kept.tokens.retain(|key| snapshot.challenges().permits(&key.credential, &key.owner));
        kept.last_set.retain(|credential, _| snapshot.challenges().credential(credential).is_some());
        if kept == *self.kept.borrow() {
            return;
        }
        self.lost_by_reload(&snapshot).into_iter().for_each(|line| info!("{line}"));
        // If the write fails, the next start drops these tokens: by their end, or by the credentials that it has.
        let _ = self.write(&kept).await;
        self.take_over(kept);
        let _ = self.publish().await;
    }

    /// A line for each credential whose live tokens go because the configuration does not have it any more.
    fn lost_by_reload(&self, snapshot: &Snapshot) -> Vec<String> {
        let kept = self.kept.borrow();
        let mut lost: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
        for (key, entry) in kept.tokens.entries() {
            if entry.state == ChallengeState::Set && !snapshot.challenges().permits(&key.credential, &key.owner) {
                *lost.entry(&key.credential).or_default() += 1;
            }
        }
        let line = |(credential, count)| {
            format!(
                "ACME challenges: {count} of {credential} removed, because the configuration does not permit these any more"
            )
        };
        lost.into_iter().map(line).collect()
    }

    /// Counts a refused update, with a line in the log once in [`WARN_EVERY`] for each credential: the signature is valid, so
    /// that the key may be in other hands.
    fn note_refused(&mut self, credential: &Arc<str>, address: IpAddr, (rcode, _): Denial) {
        self.counts.count(credential, UpdateOutcome::Refused);
        let now = Instant::now();
        self.refused.retain(|_, at| now.duration_since(*at) < WARN_EVERY);
        if !self.refused.contains_key(credential) {
            self.refused.insert(credential.clone(), now);
            warn!("an ACME update by {credential} from {address} is refused: {rcode}");
        }
    }

    /// Writes tokens, has these served, and logs the changes at each of `owners`; `from` is the origin of the changes.
    async fn keep(
        &mut self,
        kept: KeptTokens,
        owners: BTreeSet<(&Arc<str>, &NameBuf)>,
        from: &str,
    ) -> Result<(), Denial> {
        if kept.tokens == self.kept.borrow().tokens {
            return Ok(());
        }
        let lines = lines(&self.kept.borrow().tokens, &kept.tokens, owners, from);
        // The reason is in the log, once (`process::state`).
        self.write(&kept).await.map_err(|_| FAILED)?;
        self.take_over(kept);
        self.publish().await.map_err(|_| FAILED)?;
        lines.iter().for_each(|line| info!("{line}"));
        Ok(())
    }

    fn take_over(&mut self, kept: KeptTokens) {
        self.peers.tell(Arc::new(kept.tokens.clone()));
        self.kept.send_replace(kept);
    }

    async fn write(&self, kept: &KeptTokens) -> std::io::Result<()> {
        self.file.keep(store::encode(kept)).await
    }

    async fn publish(&self) -> Result<(), Stopped> {
        let tokens = Arc::new(self.kept.borrow().tokens.clone());
        self.updates.change_and_wait(Change::Tokens(tokens)).await.map(drop)
    }

    /// Waits until the next token may end; for ever if there is no token.
    async fn next_end(&self) {
        let end = self.kept.borrow().tokens.next_end();
        match end {
            Some(end) => {
                let left = Duration::from_secs(end.0.saturating_sub((self.civil)().0));
                tokio::time::sleep(left.clamp(Duration::from_secs(1), LOOK_EVERY)).await;
            }
            None => std::future::pending().await,
        }
    }
}

/// Checks whether a credential may make changes, all of these, and whether the zones are served.
fn permit(credential: &str, changes: &[TokenChange], snapshot: &Snapshot) -> Result<(), Denial> {
    for TokenChange { owner, .. } in changes {
        if !snapshot.challenges().permits(credential, owner) {
            return Err((Rcode::REFUSED, Some(Ede::Prohibited)));
        }
        let (_, zone) = snapshot.zones().find(owner.as_name(), &owner.as_name().suffixes()).ok_or(NOT_READY)?;
        if let Some(ede) = zone.lack() {
            return Err((Rcode::SERVFAIL, Some(ede)));
        }
    }
    Ok(())
}

/// A line for each credential and owner at which the tokens differ, never with a token.
fn lines(
    before: &ChallengeStore,
    after: &ChallengeStore,
    owners: BTreeSet<(&Arc<str>, &NameBuf)>,
    from: &str,
) -> Vec<String> {
    let line = |(credential, owner): (&Arc<str>, &NameBuf)| {
        let of = |store: &ChallengeStore| store.tokens_of(credential, owner.as_name());
        let (old, new) = (of(before), of(after));
        let only = |some: &[ChallengeToken], others: &[ChallengeToken]| {
            some.iter().filter(|token| !others.contains(token)).count()
        };
        let what = match (only(&new, &old), only(&old, &new)) {
            (0, 0) => return None,
            (set, 0) => format!("{set} set"),
            (0, removed) => format!("{removed} removed"),
            (set, removed) => format!("{set} set, {removed} removed"),
        };
        Some(format!("ACME challenges at {owner}: {what} by {credential} {from}"))
    };
    owners.into_iter().filter_map(line).collect()
}
