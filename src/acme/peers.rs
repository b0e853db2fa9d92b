//! The exchange of tokens with the other servers of the zones.
//!
//! ```text
//! tokens changed ─► task of each peer ─► entries that it lacks, signed, over TCP ─► its acknowledgement
//! update made    ─► barrier: each peer is asked for the token over DNS until it answers with it
//! ```
//!
//! **Invariants**: a peer that does not answer delays a client by [`BARRIER`] at most; the log has a line when a peer begins or
//! ends to take tokens or to answer, whatever the number of attempts.
//! **Not here**: the questions for a token ([`super::barrier`]), the entries that a peer lacks ([`crate::challenge`]), the form
//! of messages ([`crate::wire::update`]).

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::barrier::{Observed, ask_over_tcp, observe};
use crate::base::ids::KeyId;
use crate::base::lock::locked;
use crate::base::name::NameBuf;
use crate::base::rr::Rcode;
use crate::base::tsig::Key;
use crate::challenge::{ChallengeEntry, ChallengeKey, ChallengeStore, ChallengeToken, PeerKnowledge};
use crate::config::Remote;
use crate::files;
use crate::live::Published;
use crate::process::datagram::random_id;
use crate::process::{Clock, Vital};
use crate::telemetry::Counter;
use crate::telemetry::acme::PeerStanding;
use crate::wire::tsig::{Exchange, VerifyError};
use crate::wire::update::{MAX_ENTRIES, entries_message};

/// The longest time that a client waits for the peers. ACME clients resend after two or three seconds.
pub(super) const BARRIER: Duration = Duration::from_millis(1400);

/// The timeout of a message with entries and of its reply.
const SEND_WAIT: Duration = Duration::from_secs(2);

/// The pauses between attempts to reach a peer that does not take entries: the first, and the longest. A change of the
/// tokens ends a pause.
const PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(8)];

/// All peers, with a task for each.
pub(super) struct Peers {
    tokens: watch::Sender<Arc<ChallengeStore>>,
    links: Arc<Mutex<Vec<Arc<PeerLink>>>>,
    tasks: JoinSet<()>,
    ground: PeerGround,
}

/// The parts of the server that the exchange needs.
#[derive(Clone)]
pub(super) struct PeerGround {
    pub(super) published: Arc<Published>,
    pub(super) clock: Clock,
    pub(super) vital: Vital,
}

/// The states of all peers, for metrics and operators.
#[derive(Clone)]
pub(super) struct PeerStandings(Arc<Mutex<Vec<Arc<PeerLink>>>>);

impl PeerStandings {
    pub(super) fn now(&self) -> Vec<PeerStanding> {
        locked(&self.0).iter().map(|link| link.standing()).collect()
    }
}

/// A peer and its state.
#[derive(Debug)]
struct PeerLink {
    address: SocketAddr,
    id: KeyId,
    key: Arc<Key>,
    knowledge: Mutex<PeerKnowledge>,
    /// True once it has acknowledged a greeting.
    is_greeted: AtomicBool,
    /// Rung when it lacks entries for another reason than a change of the tokens.
    bell: Notify,
    /// The reason why it does not take entries.
    behind: Mutex<Option<String>>,
    is_silent: AtomicBool,
    silent: Counter,
    /// True if its last answer was without a token that it has acknowledged.
    is_lacking: AtomicBool,
}

/// The reasons why a peer did not take entries.
#[derive(Debug)]
enum SendError {
    Io(io::Error),
    /// No answer in time.
    Silent,
    Signature(VerifyError),
    /// It answered with another code than NOERROR.
    Refused(Rcode),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::Io(error) => f.write_str(&files::words(error)),
            SendError::Silent => f.write_str("no answer in time"),
            SendError::Signature(error) => error.fmt(f),
            SendError::Refused(Rcode::NOTAUTH) => f.write_str("it answers NOTAUTH; does it serve this zone?"),
            SendError::Refused(rcode) => write!(f, "it answers {rcode}; is this key under its `[acme] peers`?"),
        }
    }
}

impl From<io::Error> for SendError {
    fn from(error: io::Error) -> Self {
        SendError::Io(error)
    }
}

impl Peers {
    pub(super) fn new(tokens: Arc<ChallengeStore>, ground: PeerGround) -> Self {
        Peers { tokens: watch::Sender::new(tokens), links: Arc::default(), tasks: JoinSet::new(), ground }
    }

    pub(super) fn standings(&self) -> PeerStandings {
        PeerStandings(self.links.clone())
    }

    /// Replaces the peers. All of these are greeted again, because this server may now take entries that it had dropped.
    pub(super) fn reload(&mut self, remotes: &[Remote]) {
        self.tasks = JoinSet::new();
        let keys = self.ground.published.load().transfers().keys.clone();
        let mut links = locked(&self.links);
        let before = std::mem::take(&mut *links);
        for (address, id) in remotes.iter().filter_map(|remote| Some((remote.address, remote.key?))) {
            let key = keys.key(id).clone();
            let known = before.iter().find(|link| link.address == address);
            let link = Arc::new(PeerLink::new(address, id, key, known.map(|link| &**link)));
            let task = keep_up(link.clone(), self.tokens.subscribe(), self.ground.clone());
            self.tasks.spawn(self.ground.vital.guard("exchange with a peer", task));
            links.push(link);
        }
    }

    /// Hands out the tokens after a change.
    pub(super) fn tell(&self, tokens: Arc<ChallengeStore>) {
        self.tokens.send_replace(tokens);
    }

    /// Notes the greeting of a peer with this key, which several may have.
    pub(super) fn note_greeting(&self, key: KeyId) {
        for link in locked(&self.links).iter().filter(|link| link.id == key) {
            link.knowledge().note_greeting();
            link.bell.notify_one();
        }
    }

    /// Waits until every peer answers with the tokens, until the deadline. False if a peer still answers without one of these.
    pub(super) fn barrier(
        &self,
        tokens: Vec<(NameBuf, ChallengeToken)>,
        deadline: Instant,
    ) -> impl Future<Output = bool> + use<> {
        let links = if tokens.is_empty() { Vec::new() } else { locked(&self.links).clone() };
        async move {
            let tokens = Arc::new(tokens);
            let observe = |link: Arc<PeerLink>| {
                let tokens = tokens.clone();
                async move { link.observe(&tokens, deadline).await }
            };
            let observed = links.into_iter().map(observe).collect::<JoinSet<_>>().join_all().await;
            !observed.contains(&Observed::Lacks)
        }
    }
}

impl PeerLink {
    /// A peer, with the knowledge of it from before a reload.
    fn new(address: SocketAddr, id: KeyId, key: Arc<Key>, before: Option<&PeerLink>) -> Self {
        let silent = Counter::default();
        silent.add(before.map_or(0, |before| before.silent.value()));
        PeerLink {
            address,
            id,
            key,
            knowledge: Mutex::new(before.map(|before| before.knowledge().clone()).unwrap_or_default()),
            is_greeted: AtomicBool::new(false),
            bell: Notify::new(),
            behind: Mutex::new(before.map_or(Some(STARTING.to_string()), |before| locked(&before.behind).clone())),
            is_silent: AtomicBool::new(before.is_some_and(|before| before.is_silent.load(Relaxed))),
            silent,
            is_lacking: AtomicBool::new(false),
        }
    }

    fn knowledge(&self) -> MutexGuard<'_, PeerKnowledge> {
        locked(&self.knowledge)
    }

    fn standing(&self) -> PeerStanding {
        let lacking = self.is_lacking.load(Relaxed).then(|| LACKING.to_string());
        let behind = locked(&self.behind).clone().or(lacking);
        PeerStanding { address: self.address, behind, silent: self.silent.value() }
    }

    /// Sends a greeting, unless one was acknowledged, then all entries that the peer lacks.
    async fn send_all(&self, tokens: &ChallengeStore, ground: &PeerGround) -> Result<(), SendError> {
        let snapshot = ground.published.load_full();
        let zones: BTreeSet<&NameBuf> = snapshot.challenges().owners().map(|(zone, ..)| zone).collect();
        let mut connection = None;
        for zone in zones {
            if !self.is_greeted.load(Relaxed) {
                self.send(&mut connection, zone, &[], ground.clock).await?;
                self.is_greeted.store(true, Relaxed);
            }
            loop {
                let is_here = |owner: &NameBuf| snapshot.challenges().zone_of(owner) == Some(zone);
                let owed = self.knowledge().owed(tokens, MAX_ENTRIES, is_here);
                if owed.entries.is_empty() {
                    break;
                }
                self.send(&mut connection, zone, &owed.entries, ground.clock).await?;
                self.knowledge().note_acknowledged(owed);
            }
        }
        Ok(())
    }

    /// Sends entries of a zone, or a greeting without entries, and waits until these are acknowledged.
    async fn send(
        &self,
        connection: &mut Option<TcpStream>,
        zone: &NameBuf,
        entries: &[(ChallengeKey, ChallengeEntry)],
        clock: Clock,
    ) -> Result<(), SendError> {
        let now = clock.read().unix;
        let mut message = entries_message(zone.as_name(), entries, now, random_id()?);
        let mut exchange = Exchange::begin(&self.key, &mut message, now);
        let asked = async {
            let mut stream = match connection.take() {
                Some(stream) => stream,
                None => TcpStream::connect(self.address).await?,
            };
            let reply = ask_over_tcp(&mut stream, &message).await?;
            Ok::<_, io::Error>((stream, reply))
        };
        let (stream, reply) = timeout(SEND_WAIT, asked).await.map_err(|_| SendError::Silent)??;
        exchange.verify(&reply, clock.read().unix).map_err(SendError::Signature)?;
        match Rcode(u16::from(reply.get(3).map_or(0xff, |octet| octet & 0x0f))) {
            Rcode::NOERROR => {
                *connection = Some(stream);
                Ok(())
            }
            rcode => Err(SendError::Refused(rcode)),
        }
    }

    /// Asks for tokens until the peer answers with all of these, until the deadline.
    async fn observe(&self, tokens: &[(NameBuf, ChallengeToken)], deadline: Instant) -> Observed {
        let observed = observe(self.address, tokens, deadline).await;
        let is_lacking = observed == Observed::Lacks && locked(&self.behind).is_none();
        match (self.is_lacking.swap(is_lacking, Relaxed), is_lacking) {
            (false, true) => warn!("peer {} {LACKING}", self.address),
            (true, false) if observed == Observed::Has => info!("peer {} answers with all tokens again", self.address),
            _ => {}
        }
        let is_silent = observed == Observed::Silent;
        if is_silent {
            self.silent.increment();
        }
        match (self.is_silent.swap(is_silent, Relaxed), is_silent) {
            (false, true) => warn!(
                "peer {} does not answer for ACME challenges: certificate authorities ask the others",
                self.address
            ),
            (true, false) => info!("peer {} answers for ACME challenges again", self.address),
            _ => {}
        }
        observed
    }

    /// Notes how sending went, with a line in the log if that differs from the last time.
    fn note_sent(&self, sent: &Result<(), SendError>) {
        let now = sent.as_ref().err().map(ToString::to_string);
        let before = std::mem::replace(&mut *locked(&self.behind), now.clone());
        match (before, now) {
            (before, Some(now)) if before.as_ref() != Some(&now) => {
                warn!("peer {} does not take ACME challenges: {now}; all tokens are sent once it does", self.address);
            }
            (Some(before), None) if before != STARTING => info!("peer {} takes ACME challenges again", self.address),
            _ => {}
        }
    }
}

/// The state of a peer that takes tokens and does not answer with these.
const LACKING: &str = "answers without a token that it was sent: has it the same mirrors and credentials?";

/// The state of a peer before the first attempt.
const STARTING: &str = "not reached yet";

/// Sends the entries that a peer lacks, for as long as the server runs.
async fn keep_up(link: Arc<PeerLink>, mut tokens: watch::Receiver<Arc<ChallengeStore>>, ground: PeerGround) {
    let [first, longest] = PAUSES;
    let mut pause = first;
    loop {
        let now = tokens.borrow_and_update().clone();
        let sent = link.send_all(&now, &ground).await;
        link.note_sent(&sent);
        let retry = async {
            match sent {
                Ok(()) => std::future::pending().await,
                Err(_) => sleep(pause).await,
            }
        };
        pause = tokio::select! {
            changed = tokens.changed() => match changed {
                Ok(()) => first,
                // The service has ended.
                Err(_) => return std::future::pending().await,
            },
            () = link.bell.notified() => first,
            () = retry => (pause * 2).min(longest),
        };
    }
}
