//! The service of ACME challenges: one task that decides about updates, keeps tokens on the disk, and has these published.
//!
//! ```text
//! UDP thread ─┐ signed, by a credential                    ┌─► state file, then live::Updates, then a line of the log
//! TCP, TLS  ──┴─► live::UpdateQueue ──► judge ──► tokens ──┴─► signed reply
//! ```
//!
//! **Invariants**: a change is on the disk and served before its client gets the reply; a change that could not be kept changes
//! nothing; the log never has a token; a state file that cannot be used costs only the tokens in it.
//! **Not here**: messages ([`crate::wire::update`]), the rules for tokens ([`crate::challenge`]), the records in zones
//! ([`crate::snapshot`]).

mod store;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tracing::{info, warn};

pub use store::FORM as STATE;

use crate::base::name::NameBuf;
use crate::base::rr::Rcode;
use crate::base::time::UnixTime;
use crate::base::tsig::{Key, SentAlgorithm};
use crate::challenge::{ChallengeStore, ChallengeToken};
use crate::config::AcmeConfig;
use crate::files::state::{Useless, recall};
use crate::live::{PendingUpdate, Published, UpdateInbox, Updates};
use crate::process::state::{StateFile, StateFiles};
use crate::process::{self, Clock, Lock, LockError, Vital};
use crate::snapshot::Change;
use crate::wire::transfer::Denial;
use crate::wire::update::{ReceivedUpdate, TokenAction, TokenChange};
use store::KeptTokens;

/// The consequence of tokens that cannot be written, for the log.
const UNKEPT: &str = "updates of ACME clients are answered SERVFAIL until it is written";

/// The longest time until the service notices that the civil clock was set, because tokens end by the civil clock.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The time between two lines about a key and an algorithm.
const WARN_EVERY: Duration = Duration::from_secs(3600);

/// The time between two notices that are taken, so that a flood of forged messages costs nothing here.
const NOTICE_EVERY: Duration = Duration::from_secs(1);

/// The reply to an update whose change cannot be kept or published.
const FAILED: Denial = (Rcode::SERVFAIL, None);

/// The reasons why the tokens of the last run cannot be taken over.
#[derive(Debug)]
pub(crate) enum AcmeOpenError {
    /// Another process has locked the file.
    Lock(LockError),
    /// The file cannot be used, and must not be replaced.
    State(Useless),
}

impl fmt::Display for AcmeOpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failed to open `[acme] state`: ")?;
        match self {
            AcmeOpenError::Lock(error) => error.fmt(f),
            AcmeOpenError::State(useless) => useless.fmt(f),
        }
    }
}

impl std::error::Error for AcmeOpenError {}

impl AcmeOpenError {
    /// The remedy.
    pub(crate) fn help(&self) -> String {
        match self {
            AcmeOpenError::State(useless) => useless.help(),
            AcmeOpenError::Lock(LockError::Held { .. }) => {
                "stop that process, or name another `state` under `[acme]`".to_string()
            }
            AcmeOpenError::Lock(LockError::System { .. }) => {
                "let the user that pharos runs as write to the folder, or name another `state` under `[acme]`"
                    .to_string()
            }
        }
    }
}

/// The tokens of the last run, before the service runs.
pub(crate) struct OpenedTokens {
    kept: KeptTokens,
    file: StateFile,
    /// No other server writes the same file.
    lock: Lock,
}

impl OpenedTokens {
    /// Reads the tokens of the last run; those whose time is over are dropped.
    pub(crate) fn open(config: &AcmeConfig, files: &StateFiles) -> Result<Self, AcmeOpenError> {
        let lock = Lock::take(&config.state).map_err(AcmeOpenError::Lock)?;
        let mut kept = recall_tokens(&config.state, Clock::civil()).map_err(AcmeOpenError::State)?;
        kept.tokens.retain(|key| config.challenges.permits(&key.credential, &key.owner));
        Ok(OpenedTokens { kept, file: files.file(config.state.clone(), &STATE, UNKEPT), lock })
    }

    /// The tokens, to be served from the first answer on.
    pub(crate) fn tokens(&self) -> Arc<ChallengeStore> {
        Arc::new(self.kept.tokens.clone())
    }

    /// Starts the service. The published snapshot already has the tokens.
    pub(crate) fn start(
        self,
        inbox: UpdateInbox,
        published: Arc<Published>,
        updates: Updates,
        clock: Clock,
        vital: &Vital,
    ) -> AcmeService {
        let reloaded = Arc::new(Notify::new());
        let OpenedTokens { kept, file, lock } = self;
        let keeper = TokenKeeper { kept, file, published, updates, clock, civil: Clock::civil };
        let running = keeper.run(inbox.updates, reloaded.clone());
        tokio::spawn(vital.guard("service of ACME challenges", running));
        tokio::spawn(warn_of_algorithms(inbox.algorithms));
        AcmeService { reloaded, _lock: lock }
    }
}

/// The tokens of a file that have not ended.
fn recall_tokens(path: &Path, now: UnixTime) -> Result<KeptTokens, Useless> {
    let mut kept = match recall(path, &STATE, store::decode) {
        Ok(kept) => kept.unwrap_or_default(),
        Err(useless) if !useless.may_be_replaced() => return Err(useless),
        Err(useless) => {
            warn!("the tokens of ACME challenges are lost: {useless}");
            KeptTokens::default()
        }
    };
    kept.tokens.expire(now);
    if kept.server.is_empty() {
        kept.server = format!("{:016x}", process::seed()).into();
    }
    Ok(kept)
}

/// The running service.
#[derive(Debug)]
pub(crate) struct AcmeService {
    reloaded: Arc<Notify>,
    _lock: Lock,
}

impl AcmeService {
    /// Drops the tokens that no credential of the published configuration may set.
    pub(crate) fn note_reload(&self) {
        self.reloaded.notify_one();
    }
}

/// The tokens, and everything that a change of these needs.
struct TokenKeeper<C> {
    kept: KeptTokens,
    file: StateFile,
    published: Arc<Published>,
    updates: Updates,
    clock: Clock,
    /// The civil clock.
    civil: C,
}

impl<C: Fn() -> UnixTime> TokenKeeper<C> {
    /// Handles updates until the last sender is dropped.
    async fn run(mut self, mut inbox: mpsc::Receiver<Box<PendingUpdate>>, reloaded: Arc<Notify>) {
        loop {
            tokio::select! {
                pending = inbox.recv() => match pending {
                    Some(pending) => self.take(*pending).await,
                    None => return,
                },
                () = self.next_end() => self.tidy().await,
                () = reloaded.notified() => self.tidy().await,
            }
        }
    }

    async fn take(&mut self, PendingUpdate { update, reply }: PendingUpdate) {
        let snapshot = self.published.load_full();
        let outcome = match update.judge(&snapshot) {
            Ok(changes) => self.apply(&update, &changes).await,
            Err(denial) => Err(denial),
        };
        let (message, summary) = update.reply(outcome, &snapshot, self.clock.read());
        reply(&message, &summary, &snapshot);
    }

    /// Makes the changes of an update, all or none.
    async fn apply(&mut self, update: &ReceivedUpdate, changes: &[TokenChange]) -> Result<(), Denial> {
        let (credential, server, now) = (update.credential(), &self.kept.server, (self.civil)());
        let mut tokens = self.kept.tokens.clone();
        tokens.expire(now);
        for TokenChange { owner, action } in changes {
            match action {
                TokenAction::Set(token) => tokens.set(credential, owner.as_name(), *token, server, now),
                TokenAction::Remove(which) => tokens.remove(credential, owner.as_name(), *which, server, now),
            }
        }
        let lines = lines(&self.kept.tokens, &tokens, update, changes);
        self.keep(tokens).await?;
        lines.iter().for_each(|line| info!("{line}"));
        Ok(())
    }

    /// Drops the tokens whose time is over, and those that no credential may set.
    async fn tidy(&mut self) {
        let snapshot = self.published.load_full();
        let mut tokens = self.kept.tokens.clone();
        tokens.expire((self.civil)());
        tokens.retain(|key| snapshot.challenges().permits(&key.credential, &key.owner));
        if tokens == self.kept.tokens {
            return;
        }
        self.kept.tokens = tokens;
        // If the write fails, the next start drops these tokens: by their end, or by the credentials that it has.
        let _ = self.write(&self.kept).await;
        let _ = self.publish().await;
    }

    /// Writes tokens and has these served.
    async fn keep(&mut self, tokens: ChallengeStore) -> Result<(), Denial> {
        if tokens == self.kept.tokens {
            return Ok(());
        }
        let kept = KeptTokens { tokens, ..self.kept.clone() };
        // The reason is in the log, once (`process::state`).
        self.write(&kept).await.map_err(|_| FAILED)?;
        self.kept = kept;
        self.publish().await.map_err(|_| FAILED)
    }

    async fn write(&self, kept: &KeptTokens) -> std::io::Result<()> {
        self.file.keep(store::encode(kept)).await
    }

    async fn publish(&self) -> Result<(), crate::live::Stopped> {
        self.updates.change_and_wait(Change::Tokens(Arc::new(self.kept.tokens.clone()))).await.map(drop)
    }

    /// Waits until the next token may end; for ever if there is no token.
    async fn next_end(&self) {
        match self.kept.tokens.next_end() {
            Some(end) => {
                let left = Duration::from_secs(end.0.saturating_sub((self.civil)().0));
                tokio::time::sleep(left.clamp(Duration::from_secs(1), LOOK_EVERY)).await;
            }
            None => std::future::pending().await,
        }
    }
}

/// Warns of keys that messages name with another algorithm, each key and algorithm once in [`WARN_EVERY`].
///
/// The clients themselves show a misleading message. Any sender can cause such a line, which is why it comes for keys of
/// the configuration alone, and why this takes one notice in a second.
async fn warn_of_algorithms(mut inbox: mpsc::Receiver<(Arc<Key>, SentAlgorithm)>) {
    let mut warned: BTreeMap<(NameBuf, SentAlgorithm), Instant> = BTreeMap::new();
    while let Some((key, sent)) = inbox.recv().await {
        let now = Instant::now();
        // Keys that a reload has removed go with the others.
        warned.retain(|_, at| now.duration_since(*at) < WARN_EVERY);
        let (name, algorithm) = (key.name(), key.algorithm().as_str());
        if let Entry::Vacant(first) = warned.entry((name.to_owned(), sent)) {
            first.insert(now);
            warn!("key {name} came with {sent}, and is configured with {algorithm}; hmac-sha256 and up are accepted");
        }
        tokio::time::sleep(NOTICE_EVERY).await;
    }
}

/// A line for each owner at which the tokens of a credential differ.
fn lines(
    before: &ChallengeStore,
    after: &ChallengeStore,
    update: &ReceivedUpdate,
    changes: &[TokenChange],
) -> Vec<String> {
    let (credential, address) = (update.credential(), update.address());
    let mut owners: Vec<&NameBuf> = changes.iter().map(|change| &change.owner).collect();
    owners.dedup();
    let line = |owner: &NameBuf| {
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
        Some(format!("ACME challenges at {owner}: {what} by {credential} from {address}"))
    };
    owners.into_iter().filter_map(line).collect()
}
