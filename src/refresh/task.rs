//! The task of one source: it waits for the next fetch or an operator, fetches, and has a changed content served.
//!
//! **Invariants**: one fetch at a time; a content that an operator has taken back is not taken again; a trouble is logged when
//! it begins, when it becomes another one, and when it is over.
//! **Not here**: the fetch itself ([`super::fetch`]), judging (`serve`).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use tracing::{info, warn};

use super::client::SharedClient;
use super::fetch::{Fetch, PublisherAnswer, PublisherError};
use super::schedule::{self, Chance};
use crate::base::diagnostic::Diagnostic;
use crate::base::time::UnixTime;
use crate::config::{FetchConfig, Network};
use crate::files::kept::{self, CopyState, Version};
use crate::files::{self, FileKind};
use crate::live::{Candidates, FetchOutcome, Published, RefreshOutcome, ReloadOutcome, ReloadTerms, SourceStates};
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
    pub(super) client: SharedClient,
    pub(super) contents: Candidates,
    pub(super) published: Arc<Published>,
    pub(super) states: SourceStates,
    pub(super) permits: Arc<Semaphore>,
}

/// A fetch that was tried.
struct FetchAttempt {
    outcome: FetchOutcome,
    judged: Option<ReloadOutcome>,
    retry_after: Option<Duration>,
}

impl FetchAttempt {
    fn of(outcome: FetchOutcome) -> Self {
        FetchAttempt { outcome, judged: None, retry_after: None }
    }

    fn failed(why: impl Into<String>) -> Self {
        FetchAttempt::of(FetchOutcome::Failed(why.into()))
    }
}

impl SourceTask {
    /// Fetches until it is dropped.
    pub(super) async fn run(self, mut asks: mpsc::Receiver<SourceAsk>) {
        let Some(config) = self.network.fetched().cloned() else { return };
        let path = self.path();
        let found = work::submit(Lane::Fetch, move || {
            let has_copy = files::look_up(&path).is_ok();
            kept::recall(&path).ok().filter(|state| has_copy && state.checked > 0)
        });
        let copy = found.await.ok().flatten();
        let age = copy.as_ref().map(|copy| {
            self.note_copy(copy);
            Duration::from_secs(Clock::civil().0.saturating_sub(copy.checked))
        });
        let mut failures = 0;
        let mut pause = schedule::first(config.every, age, chance());
        loop {
            let due = Instant::now() + pause;
            self.states
                .update(&self.network.name, |state| state.next = Some(UnixTime(Clock::civil().0 + pause.as_secs())));
            let ask = tokio::select! {
                () = tokio::time::sleep_until(due) => None,
                Some(ask) = asks.recv() => Some(ask),
            };
            let (terms, is_previous) = ask.as_ref().map_or_else(Default::default, |ask| (ask.terms, ask.is_previous));
            let tried = match is_previous {
                true => self.take_back(terms).await,
                false => self.fetch(&config, terms).await,
            };
            if !terms.is_dry {
                self.note(&tried, is_previous);
                // A retry by an operator must not lengthen the pause.
                failures = match tried.outcome.is_bad() {
                    true => failures + u32::from(ask.is_none()),
                    false => 0,
                };
                let every = if self.served_digest().is_some() { config.every } else { config.every.min(EAGER) };
                pause = schedule::next(every, failures, tried.retry_after, chance());
            }
            if let Some(ask) = ask {
                let source = self.network.name.clone();
                // The operator may have stopped waiting.
                let _ = ask.reply.send(RefreshOutcome { source, outcome: tried.outcome, judged: tried.judged });
            }
        }
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

    /// Fetches, and has a changed content served.
    async fn fetch(&self, config: &FetchConfig, terms: ReloadTerms) -> FetchAttempt {
        let Ok(_permit) = self.permits.acquire().await else { return FetchAttempt::failed("the server is stopping") };
        let network = self.network.clone();
        let begun = work::submit(Lane::Fetch, move || {
            // Another process may fetch into the same files.
            let lock = Lock::take(&network.input.path).map_err(|error| error.to_string())?;
            let copy = kept::recall(&network.input.path).map_err(|useless| useless.to_string())?;
            let current = files::digest(&network.input.path, network.input.usage.kind()).ok();
            let key = networks::fetch_key(&network).map_err(|problem| problem.message)?;
            Ok::<_, String>((lock, copy, current, key))
        });
        let (_lock, copy, current, key) = match begun.await.map_err(|lost| lost.to_string()).and_then(|begun| begun) {
            Ok(begun) => begun,
            Err(why) => return FetchAttempt::failed(why),
        };
        if current.as_ref().is_some_and(|digest| !copy.knows(digest)) {
            return FetchAttempt::failed(kept::foreign(&self.network.input.path));
        }
        // The content that is served counts: another server may have replaced the copy, and the file may have been removed.
        let is_served = self.served_digest().as_deref() == Some(&*copy.current.digest);
        let has_current = is_served && current.as_ref() == Some(&copy.current.digest);
        let known = copy.rejected.as_ref().or(Some(&copy.current)).filter(|_| has_current);
        let timeout = self.client.timeout();
        let fetched = tokio::time::timeout(timeout, self.try_fetch(config, key.as_deref(), known)).await;
        let late =
            || PublisherError::from(format!("it is not done after {} s (`[refresh] timeout`)", timeout.as_secs()));
        let tried = match fetched.unwrap_or_else(|_| Err(late())) {
            Err(error) => FetchAttempt { retry_after: error.retry_after, ..FetchAttempt::failed(error.to_string()) },
            Ok(PublisherAnswer::NotModified) => match copy.rejected {
                Some(_) => FetchAttempt::of(FetchOutcome::Rejected),
                None => self.unchanged(copy, None, &terms).await,
            },
            Ok(PublisherAnswer::Content(version)) => {
                let is = |known: &Version| known.digest == version.digest;
                if copy.rejected.as_ref().is_some_and(is) {
                    FetchAttempt::of(FetchOutcome::Rejected)
                } else if has_current && is(&copy.current) {
                    self.unchanged(copy, Some(version), &terms).await
                } else {
                    self.submit(version, None, terms).await
                }
            }
        };
        let download = kept::download_path(&self.network.input.path);
        let _ = work::submit(Lane::Fetch, move || kept::discard(&download)).await;
        tried
    }

    async fn try_fetch(
        &self,
        config: &FetchConfig,
        key: Option<&str>,
        known: Option<&Version>,
    ) -> Result<PublisherAnswer, PublisherError> {
        let client = self.client.get().await?;
        Fetch { client, network: &self.network, config, key }.run(known).await
    }

    /// Notes that the publisher has the content that is served; a `version` has its new validators.
    async fn unchanged(&self, mut copy: CopyState, version: Option<Version>, terms: &ReloadTerms) -> FetchAttempt {
        if terms.is_dry {
            return FetchAttempt::of(FetchOutcome::Unchanged);
        }
        copy.checked = Clock::civil().0;
        copy.rejected = None;
        if let Some(version) = version {
            copy.current = version;
        }
        self.note_copy(&copy);
        let path = self.path();
        match work::submit(Lane::Fetch, move || kept::note(&path, &copy)).await {
            Ok(Ok(())) => FetchAttempt::of(FetchOutcome::Unchanged),
            Ok(Err(error)) => FetchAttempt::failed(format!("its state cannot be written: {}", files::words(&error))),
            Err(lost) => FetchAttempt::failed(lost.to_string()),
        }
    }

    /// Has the previous content served again; the current one is not taken again.
    async fn take_back(&self, terms: ReloadTerms) -> FetchAttempt {
        let (path, kind) = (self.path(), self.kind());
        let copied = work::submit(Lane::Fetch, move || {
            let copy = kept::recall(&path).map_err(|useless| useless.to_string())?;
            let why = |error: std::io::Error| format!("the previous content cannot be read: {}", files::words(&error));
            kept::fetch_previous(&path).map_err(why)?;
            let digest = files::digest(&kept::download_path(&path), kind).map_err(|error| error.to_string())?;
            Ok::<_, String>((copy, digest))
        });
        match copied.await.map_err(|lost| lost.to_string()).and_then(|copied| copied) {
            Ok((copy, digest)) => {
                self.submit(Version { digest, ..Version::default() }, Some(copy.current), terms).await
            }
            Err(why) => FetchAttempt::failed(why),
        }
    }

    /// Has the download judged, kept and served.
    async fn submit(&self, version: Version, rejected: Option<Version>, terms: ReloadTerms) -> FetchAttempt {
        let (path, kind, download) = (self.path(), self.kind(), kept::download_path(&self.network.input.path));
        let digest = version.digest.clone();
        let (copy, from, now) = (path.clone(), download.clone(), Clock::civil());
        let command = match rejected {
            None => format!("pharos refresh {}", self.network.name),
            Some(_) => format!("pharos refresh --previous {}", self.network.name),
        };
        let keep = Box::new(move || kept::take(&copy, kind, &from, version, rejected, now));
        let candidate = (self.network.name.clone(), download.clone());
        let Some(judged) = self.contents.submit(candidate, terms, command, keep).await else {
            return FetchAttempt::failed("the server is stopping");
        };
        let outcome = if judged.is_accepted {
            if !terms.is_dry {
                self.states.update(&self.network.name, |state| (state.checked, state.changed) = (Some(now), Some(now)));
            }
            FetchOutcome::Taken
        } else {
            if !terms.is_dry {
                // If it cannot be kept, the message still says why it was refused.
                let _ = work::submit(Lane::Fetch, move || kept::put_aside(&path, kind, &download, &digest)).await;
            }
            let error = judged.problems.iter().find(|problem| problem.is_error());
            FetchOutcome::Refused(error.map_or_else(String::new, |error: &Diagnostic| error.message.clone()))
        };
        FetchAttempt { outcome, judged: Some(judged), retry_after: None }
    }

    fn note_copy(&self, copy: &CopyState) {
        let (checked, changed) = (UnixTime(copy.checked), UnixTime(copy.changed));
        self.states.update(&self.network.name, |state| {
            (state.checked, state.changed) = (Some(checked), Some(changed));
            state.is_rejected = copy.rejected.is_some();
        });
    }

    /// Notes the outcome, and logs a change of the source's condition.
    fn note(&self, tried: &FetchAttempt, is_taken_back: bool) {
        let (name, outcome, now) = (&self.network.name, &tried.outcome, Clock::civil());
        self.states.note_outcome(name, outcome);
        let mut before = None;
        self.states.update(name, |state| {
            before = state.trouble.take();
            // The time is that at which the trouble began.
            let since = before.as_ref().filter(|(_, known)| known == outcome).map_or(now, |(since, _)| *since);
            state.trouble = outcome.is_bad().then(|| (since, outcome.clone()));
            state.is_rejected = match outcome {
                FetchOutcome::Rejected => true,
                FetchOutcome::Taken => is_taken_back,
                FetchOutcome::Unchanged => false,
                FetchOutcome::Refused(_) | FetchOutcome::Failed(_) => state.is_rejected,
            };
            match outcome {
                FetchOutcome::Refused(_) => state.is_refused = true,
                FetchOutcome::Failed(_) => {}
                _ => state.is_refused = false,
            }
        });
        match (outcome, before) {
            (FetchOutcome::Refused(why), before) if before.as_ref().is_none_or(|(_, known)| known != outcome) => {
                warn!("network {name}: the content that was fetched is refused: {why}; the one before is served");
            }
            (FetchOutcome::Failed(why), before) if before.as_ref().is_none_or(|(_, known)| known != outcome) => {
                warn!("network {name} was not fetched: {why}");
            }
            (FetchOutcome::Refused(_) | FetchOutcome::Failed(_), _) => {}
            (_, Some(_)) => info!("network {name} is fetched again"),
            (_, None) => {}
        }
    }
}

fn chance() -> Chance {
    Chance::of(seed())
}
