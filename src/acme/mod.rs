//! The service of ACME challenges: one task that decides about updates, keeps tokens on the disk, and has these published
//! and known to the other servers of the zones.
//!
//! ```text
//! UDP thread ─┐ signed, by a credential                    ┌─► state file, then live::Updates, then a line of the log
//! TCP, TLS  ──┼─► live::UpdateQueue ──► judge ──► tokens ──┴─► the peers have it too, then signed reply, or a response
//! HTTP ───────┘ with the password of a credential
//! ```
//!
//! **Invariants**: a change is on the disk and served before its client gets the reply; a change that could not be kept changes
//! nothing; the log never has a token; a state file that cannot be used costs only the tokens in it.
//! **Not here**: messages ([`crate::wire::update`]), the rules for tokens ([`crate::challenge`]), the records in zones
//! ([`crate::snapshot`]).

mod barrier;
mod keeper;
mod peers;
mod store;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::Instant;
use tracing::warn;

pub use store::FORM as STATE;

use crate::base::name::NameBuf;
use crate::base::time::UnixTime;
use crate::base::tsig::{Key, SentAlgorithm};
use crate::challenge::ChallengeStore;
use crate::config::{AcmeConfig, Remote};
use crate::files::state::{Useless, recall};
use crate::live::{Published, UpdateInbox, Updates};
use crate::process::state::{StateFile, StateFiles};
use crate::process::{self, Clock, Lock, LockError, Vital};
use crate::telemetry::Collect;
use crate::telemetry::acme::{AcmeStanding, CredentialStanding, UpdateCounts};
use keeper::{MAX_WAITING, TokenKeeper};
use peers::{PeerGround, PeerStandings, Peers};
use store::KeptTokens;

/// The consequence of tokens that cannot be written, for the log.
const UNKEPT: &str = "updates of ACME clients are answered SERVFAIL until it is written";

/// The time between two lines about a key and an algorithm.
const WARN_EVERY: Duration = Duration::from_secs(3600);

/// The time between two notices that are taken, so that a flood of forged messages costs nothing here.
const NOTICE_EVERY: Duration = Duration::from_secs(1);

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
        config: &AcmeConfig,
        inbox: UpdateInbox,
        published: Arc<Published>,
        updates: Updates,
        clock: Clock,
        vital: &Vital,
    ) -> AcmeService {
        let OpenedTokens { kept, file, lock } = self;
        let ground = PeerGround { published: published.clone(), clock, vital: vital.clone() };
        let peers = Peers::new(Arc::new(kept.tokens.clone()), ground);
        let (kept, counts) = (watch::Sender::new(kept), Arc::<UpdateCounts>::default());
        let reloads = watch::Sender::new(Arc::from(&*config.peers));
        let state = AcmeState { kept: kept.subscribe(), peers: peers.standings(), published: published.clone() };
        let keeper = TokenKeeper {
            kept,
            file,
            published,
            updates,
            clock,
            civil: Clock::civil,
            peers,
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
            counts: counts.clone(),
            refused: BTreeMap::new(),
        };
        let running = keeper.run(inbox.requests, reloads.subscribe());
        tokio::spawn(vital.guard("service of ACME challenges", running));
        tokio::spawn(warn_of_algorithms(inbox.algorithms));
        AcmeService { reloads, state, counts, _lock: lock }
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
pub(crate) struct AcmeService {
    reloads: watch::Sender<Arc<[Remote]>>,
    state: AcmeState,
    counts: Arc<UpdateCounts>,
    _lock: Lock,
}

/// The parts of the service that operators see.
#[derive(Clone)]
struct AcmeState {
    kept: watch::Receiver<KeptTokens>,
    peers: PeerStandings,
    published: Arc<Published>,
}

impl AcmeService {
    /// Drops the tokens that no credential of the published configuration may set, and takes over its peers.
    pub(crate) fn note_reload(&self, config: &AcmeConfig) {
        self.reloads.send_replace(Arc::from(&*config.peers));
    }

    /// The metrics.
    pub(crate) fn counters(&self) -> Arc<dyn Collect> {
        Arc::new((self.counts.clone(), self.standing()))
    }

    /// Returns a function for the state of each credential and peer when it is called.
    pub(crate) fn standing(&self) -> Box<dyn Fn() -> AcmeStanding + Send + Sync> {
        let state = self.state.clone();
        Box::new(move || state.now())
    }
}

impl AcmeState {
    fn now(&self) -> AcmeStanding {
        let (kept, snapshot) = (self.kept.borrow(), self.published.load_full());
        let live = kept.tokens.live();
        let credentials = snapshot.challenges().credentials().iter().map(|credential| CredentialStanding {
            name: credential.name.clone(),
            mirror: credential.mirror,
            live: live.get(&*credential.name).copied().unwrap_or(0),
            last_set: kept.last_set.get(&credential.name).copied(),
        });
        AcmeStanding { credentials: credentials.collect(), peers: self.peers.now() }
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
