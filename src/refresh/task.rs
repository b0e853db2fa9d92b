//! The task of one source: it waits for the next fetch or an operator, fetches, and has a changed content served.
//!
//! **Invariants**: one fetch at a time; a content that an operator has taken back is not taken again; a trouble is logged when
//! it begins, when it becomes another one, and when it is over.
//! **Not here**: the fetch itself ([`super::fetch`]), judging (`serve`).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit, mpsc, oneshot};
use tokio::time::Instant;
use tracing::{info, warn};

use super::client::SharedClient;
use super::fetch::{Fetch, PublisherError};
use super::peers::{PeerTurn, SourcePeers};
use super::schedule::{self, Chance};
use crate::base::diagnostic::Diagnostic;
use crate::base::time::UnixTime;
use crate::config::{FetchConfig, Network};
use crate::files::kept::{self, ContentOrigin, CopyState, Version};
use crate::files::{self, FileKind};
use crate::fleet::{PeerCopy, SourceStep};
use crate::live::{
    Candidates, CopyFault, CopyOrigin, FetchOutcome, Published, RefreshOutcome, ReloadOutcome, ReloadTerms,
    SourceCandidate, SourceStates,
};
use crate::load::networks;
use crate::process::work::{self, Lane};
use crate::process::{Clock, Lock, seed};

/// The interval of a source without content, which is of no use: its failures are tried again within minutes.
const EAGER: Duration = Duration::from_secs(60);

/// A request of an operator for one source.
#[derive(Debug)]
pub(super) struct SourceAsk {
    pub(super) terms: ReloadTerms,
    pub(super) is_previous: bool,
    pub(super) reply: oneshot::Sender<RefreshOutcome>,
}

/// The task of one source.
pub(super) struct SourceTask {
    pub(super) network: Network,
    pub(super) client: Arc<SharedClient>,
    pub(super) contents: Candidates,
    pub(super) published: Arc<Published>,
    pub(super) states: SourceStates,
    pub(super) permits: Arc<Semaphore>,
    /// The source at the other servers. `None` for a server alone.
    pub(super) peers: Option<SourcePeers>,
}

/// The lock of a copy, its state, and the digest of its file.
type BegunFetch = (Lock, CopyState, Option<String>);

/// A fetch that was tried, or the reason why it failed on this server.
type FetchTry = Result<FetchAttempt, String>;

/// A fetch that was tried.
struct FetchAttempt {
    outcome: FetchOutcome,
    judged: Option<ReloadOutcome>,
    retry_after: Option<Duration>,
    /// The age of the check of another server that was used.
    peer_age: Option<Duration>,
}

impl FetchAttempt {
    fn of(outcome: FetchOutcome) -> Self {
        FetchAttempt { outcome, judged: None, retry_after: None, peer_age: None }
    }

    fn failed(why: String) -> Self {
        FetchAttempt::of(FetchOutcome::Failed(why))
    }
}

impl SourceTask {
    /// Fetches until it is dropped.
    pub(super) async fn run(self, mut asks: mpsc::Receiver<SourceAsk>) {
        let Some(config) = self.network.fetched().cloned() else { return };
        let copy = self.recall_copy(CopyOrigin::Disk).await;
        let age = copy.map(|copy| Duration::from_secs(Clock::civil().0.saturating_sub(copy.checked)));
        let (mut failures, mut turn) = (0, PeerTurn::default());
        let mut due = self.due_after(schedule::first(config.every, age, chance()));
        loop {
            let ask = tokio::select! {
                () = tokio::time::sleep_until(due) => None,
                Some(ask) = asks.recv() => Some(ask),
            };
            let (terms, is_previous) = ask.as_ref().map_or_else(Default::default, |ask| (ask.terms, ask.is_previous));
            let tried = match &ask {
                Some(_) if is_previous => self.take_back(terms).await,
                Some(_) => self.fetch(&config, terms).await,
                None => match self.fetch_in_turn(&config, &mut turn).await {
                    Ok(tried) => tried,
                    Err(pause) => {
                        due = self.due_after(pause);
                        continue;
                    }
                },
            };
            let tried = tried.unwrap_or_else(FetchAttempt::failed);
            if !terms.is_dry {
                turn.since = None;
                self.note(&tried);
                // A retry by an operator must not lengthen the pause.
                failures = if tried.outcome.is_bad() { failures + u32::from(ask.is_none()) } else { 0 };
                let every = if self.served_digest().is_some() { config.every } else { config.every.min(EAGER) };
                due = self.due_after(match tried.peer_age {
                    Some(age) if !tried.outcome.is_bad() => schedule::after_peer(every, age),
                    _ => schedule::next(every, failures, tried.retry_after, chance()),
                });
            }
            if let Some(ask) = ask {
                let source = self.network.name.clone();
                // The operator may have stopped waiting.
                let _ = ask.reply.send(RefreshOutcome { source, outcome: tried.outcome, judged: tried.judged });
            }
        }
    }

    /// The time after a pause, which `status` shows as that of the next fetch.
    fn due_after(&self, pause: Duration) -> Instant {
        self.states.update(&self.network.name, |state| state.next = Some(UnixTime(Clock::civil().0 + pause.as_secs())));
        Instant::now() + pause
    }

    /// The state of the copy, which `status` shows from then on; `None` if there is no copy, or no state of it.
    async fn recall_copy(&self, origin: CopyOrigin) -> Option<CopyState> {
        let path = self.path();
        let found = work::submit(Lane::Fetch, move || {
            let len = files::look_up(&path).ok()?.len;
            kept::recall(&path).ok().filter(|state| state.checked > 0).map(|copy| (copy, len))
        });
        let Some((copy, len)) = found.await.ok().flatten() else {
            self.peers.iter().for_each(SourcePeers::tell_none);
            return None;
        };
        self.note_copy(&copy, Some((len, origin)));
        Some(copy)
    }

    /// The digest of the content that is served. `None` if no content is served, or an operator has put it there.
    fn served_digest(&self) -> Option<Arc<str>> {
        let snapshot = self.published.load();
        let sources = &snapshot.provenance().networks.sources;
        sources.iter().find(|source| source.name == self.network.name)?.digest.clone()
    }

    fn path(&self) -> PathBuf {
        self.network.input.path.clone()
    }

    fn kind(&self) -> FileKind {
        self.network.input.usage.kind()
    }

    /// A permit to fetch, and the beginning of a fetch.
    async fn hold(&self) -> Result<(SemaphorePermit<'_>, BegunFetch), String> {
        let permit = self.permits.acquire().await.map_err(|_| "the server is stopping")?;
        Ok((permit, self.begin().await?))
    }

    /// The state of the copy and the digest of its file, which no other process fetches into while the lock is held.
    async fn begin(&self) -> Result<BegunFetch, String> {
        let (path, kind) = (self.path(), self.kind());
        super::on_disk(move || {
            let lock = Lock::take(&path).map_err(|error| error.to_string())?;
            let copy = kept::recall(&path).map_err(|useless| useless.to_string())?;
            let current = kept::replaceable(&path, kind, &copy).map_err(|error| files::words(&error))?;
            Ok((lock, copy, current))
        })
        .await
    }

    /// Fetches, or uses the check and the copy of another server. Fails with the time until the turn of this server.
    async fn fetch_in_turn(&self, config: &FetchConfig, turn: &mut PeerTurn) -> Result<FetchTry, Duration> {
        let terms = ReloadTerms::default();
        let Some(peers) = &self.peers else { return Ok(self.fetch(config, terms).await) };
        loop {
            let found = match peers.step(turn).await {
                SourceStep::Ask => return Ok(self.fetch(config, terms).await),
                SourceStep::Wait(pause_ms) => return Err(Duration::from_millis(pause_ms)),
                SourceStep::Follow(found) => found,
            };
            match self.follow(peers, &found).await {
                Ok(tried) => return Ok(tried),
                // It is not tried again, so that this loop ends.
                Err(fault) => peers.give_up(found, &fault, turn),
            }
        }
    }

    /// Takes the check of another server over, and has its content served if it is another one.
    async fn follow(&self, peers: &SourcePeers, found: &PeerCopy) -> Result<FetchTry, CopyFault> {
        let age = Duration::from_millis(found.age_ms);
        let attempt = |tried: FetchAttempt| FetchAttempt { peer_age: Some(age), ..tried };
        let (_permit, (_lock, copy, current)) = match self.hold().await {
            Ok(held) => held,
            Err(why) => return Ok(Err(why)),
        };
        let origin =
            ContentOrigin::Peer(found.server.clone(), UnixTime(Clock::civil().0.saturating_sub(age.as_secs())));
        let digest = found.copy.sha256.as_str();
        if copy.rejected.as_ref().is_some_and(|rejected| rejected.digest == digest) {
            return Ok(Ok(attempt(FetchAttempt::of(FetchOutcome::Rejected))));
        }
        if self.has_current(&copy, current.as_deref()) && copy.current.digest == digest {
            // The validators are those of this content, and stay.
            return Ok(self.unchanged(copy, None, &origin, &ReloadTerms::default()).await.map(attempt));
        }
        let late = || CopyFault::Unusable("it is not done in time (`[refresh] timeout`)".to_string());
        let taken = tokio::time::timeout(self.client.timeout(), peers.take(&found.copy)).await;
        let tried = match taken.unwrap_or_else(|_| Err(late())) {
            Ok(()) => {
                let version = Version { digest: digest.to_string(), ..Version::default() };
                Ok(self.submit(version, origin, ReloadTerms::default()).await.map(attempt))
            }
            Err(fault) => Err(fault),
        };
        self.discard_download().await;
        tried
    }

    /// True if the served content is the current one: another server may have replaced the copy, or an operator the file.
    fn has_current(&self, copy: &CopyState, current: Option<&str>) -> bool {
        self.served_digest().as_deref() == Some(&*copy.current.digest) && current == Some(&*copy.current.digest)
    }

    async fn discard_download(&self) {
        let download = kept::download_path(&self.network.input.path);
        let _ = work::submit(Lane::Fetch, move || kept::discard(&download)).await;
    }

    /// Fetches, and has a changed content served.
    async fn fetch(&self, config: &FetchConfig, terms: ReloadTerms) -> FetchTry {
        let (_permit, (_lock, copy, current)) = self.hold().await?;
        let has_current = self.has_current(&copy, current.as_deref());
        let known = copy.rejected.as_ref().or(Some(&copy.current)).filter(|_| has_current);
        let timeout = self.client.timeout();
        let fetched = tokio::time::timeout(timeout, self.try_fetch(config, known)).await;
        let late =
            || PublisherError::from(format!("it is not done after {} s (`[refresh] timeout`)", timeout.as_secs()));
        let tried = match fetched.unwrap_or_else(|_| Err(late())) {
            Err(error) => Ok(FetchAttempt { retry_after: error.retry_after, ..FetchAttempt::failed(error.why) }),
            Ok(None) => match copy.rejected {
                Some(_) => Ok(FetchAttempt::of(FetchOutcome::Rejected)),
                None => self.unchanged(copy, None, &ContentOrigin::Publisher, &terms).await,
            },
            Ok(Some(version)) => {
                let is = |known: &Version| known.digest == version.digest;
                if copy.rejected.as_ref().is_some_and(is) {
                    Ok(FetchAttempt::of(FetchOutcome::Rejected))
                } else if has_current && is(&copy.current) {
                    self.unchanged(copy, Some(version), &ContentOrigin::Publisher, &terms).await
                } else {
                    self.submit(version, ContentOrigin::Publisher, terms).await
                }
            }
        };
        self.discard_download().await;
        tried
    }

    async fn try_fetch(
        &self,
        config: &FetchConfig,
        known: Option<&Version>,
    ) -> Result<Option<Version>, PublisherError> {
        let client = self.client.get().await?;
        let network = self.network.clone();
        let key = super::on_disk(move || networks::fetch_key(&network).map_err(|problem| problem.message)).await?;
        Fetch { client, network: &self.network, config, key: key.as_deref() }.run(known).await
    }

    /// Notes that the publisher has the content that is served; a `version` has its new validators.
    async fn unchanged(
        &self,
        mut copy: CopyState,
        version: Option<Version>,
        origin: &ContentOrigin,
        terms: &ReloadTerms,
    ) -> FetchTry {
        if terms.is_dry {
            return Ok(FetchAttempt::of(FetchOutcome::Unchanged));
        }
        copy.note_check(origin, Clock::civil());
        if let Some(version) = version {
            copy.current = version;
        }
        self.note_copy(&copy, None);
        let path = self.path();
        let why = |error: std::io::Error| format!("its state cannot be written: {}", files::words(&error));
        super::on_disk(move || kept::note(&path, &copy).map_err(why)).await?;
        Ok(FetchAttempt::of(match origin {
            ContentOrigin::Peer(server, _) => FetchOutcome::PeerUnchanged(server.as_str().into()),
            _ => FetchOutcome::Unchanged,
        }))
    }

    /// Has the previous content served again; the current one is not taken again.
    async fn take_back(&self, terms: ReloadTerms) -> FetchTry {
        let (_lock, copy, _) = self.begin().await?;
        let (path, kind) = (self.path(), self.kind());
        let digest = super::on_disk(move || {
            let why = |error: std::io::Error| format!("the previous content cannot be read: {}", files::words(&error));
            kept::fetch_previous(&path).map_err(why)?;
            files::digest(&kept::download_path(&path), kind).map_err(|error| error.to_string())
        });
        let version = Version { digest: digest.await?, ..Version::default() };
        self.submit(version, ContentOrigin::TakenBack(copy.current), terms).await
    }

    /// Has the download judged, kept and served.
    async fn submit(&self, version: Version, origin: ContentOrigin, terms: ReloadTerms) -> FetchTry {
        let (path, kind, download) = (self.path(), self.kind(), kept::download_path(&self.network.input.path));
        let digest = version.digest.clone();
        let (copy, from, now) = (path.clone(), download.clone(), Clock::civil());
        let name = &self.network.name;
        let (outcome, held, previous) = match &origin {
            ContentOrigin::Publisher => (FetchOutcome::Taken, CopyOrigin::Publisher, ""),
            ContentOrigin::Peer(server, _) => (FetchOutcome::PeerTaken(server.as_str().into()), CopyOrigin::Store, ""),
            ContentOrigin::TakenBack(_) => (FetchOutcome::Taken, CopyOrigin::Disk, "--previous "),
        };
        let command = format!("pharos refresh {previous}{name}");
        let keep = Box::new(move || kept::take(&copy, kind, &from, version, &origin, now));
        let candidate = SourceCandidate { source: name.clone(), path: download.clone(), terms, command, keep };
        let judged = self.contents.ask(candidate).await.ok_or("the server is stopping")?;
        let outcome = if judged.is_accepted {
            if !terms.is_dry {
                self.recall_copy(held).await;
            }
            outcome
        } else {
            if !terms.is_dry {
                // If it cannot be kept, the message still says why it was refused.
                let _ = work::submit(Lane::Fetch, move || kept::put_aside(&path, kind, &download, &digest)).await;
            }
            let error = judged.problems.iter().find(|problem| problem.is_error());
            FetchOutcome::Refused(error.map_or_else(String::new, |error: &Diagnostic| error.message.clone()))
        };
        Ok(FetchAttempt { judged: Some(judged), ..FetchAttempt::of(outcome) })
    }

    /// Shows the state of the copy, and tells the other servers. `new` has the length and the origin of another content.
    fn note_copy(&self, copy: &CopyState, new: Option<(u64, CopyOrigin)>) {
        self.states.update(&self.network.name, |state| {
            (state.checked, state.is_rejected) = (Some(UnixTime(copy.checked)), copy.rejected.is_some());
            state.checked_by = copy.checked_by.as_deref().map(Arc::from);
        });
        let is_served = self.served_digest().as_deref() == Some(&*copy.current.digest);
        let told = (is_served, new.map(|(len, _)| len));
        self.peers.iter().for_each(|peers| peers.tell(copy, told, new.map(|(_, origin)| origin)));
    }

    /// Notes the outcome, and logs a change of the source's condition.
    fn note(&self, tried: &FetchAttempt) {
        let (name, outcome, now) = (&self.network.name, &tried.outcome, Clock::civil());
        self.states.note_outcome(name, outcome);
        let mut before = None;
        self.states.update(name, |state| {
            before = state.trouble.take();
            // The time is that at which the trouble began.
            let since = before.as_ref().filter(|(_, known)| known == outcome).map_or(now, |(since, _)| *since);
            state.trouble = outcome.is_bad().then(|| (since, outcome.clone()));
            // A failed fetch says nothing about the content.
            if !matches!(outcome, FetchOutcome::Failed(_)) {
                state.is_refused = matches!(outcome, FetchOutcome::Refused(_));
            }
        });
        let is_known = before.as_ref().is_some_and(|(_, known)| known == outcome);
        match outcome {
            FetchOutcome::Refused(_) | FetchOutcome::Failed(_) if is_known => {}
            FetchOutcome::Refused(why) => {
                warn!("network {name}: the content that was fetched is refused: {why}; the one before is served");
            }
            FetchOutcome::Failed(why) => warn!("network {name} was not fetched: {why}"),
            _ if before.is_some() => info!("network {name} is fetched again"),
            FetchOutcome::PeerTaken(server) => info!("network {name}: the new content is the copy of server {server}"),
            _ => {}
        }
    }
}

fn chance() -> Chance {
    Chance::of(seed())
}
