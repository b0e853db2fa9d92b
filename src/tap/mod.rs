//! The writer of dnstap: takes copies of responses out of their rings, and sends these to the reader of the operator.
//!
//! A task looks at the rings at an interval, because a thread that answers would need a system call to wake it. The task
//! connects again when the reader goes away, with a growing pause.
//!
//! **Invariants**: a query never waits for this task; each frame is counted once, as written or failed; a change of the
//! connection is logged once.
//! **Not here**: the copies ([`crate::telemetry::tap`]), their bytes ([`crate::dnstap`]).

mod frames;
mod session;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::{Config, TapAddress};
use crate::dnstap::DnstapOrigin;
use crate::files;
use crate::live::Published;
use crate::process::Vital;
use crate::process::datagram::Duplex;
use crate::telemetry::tap::{TapTaker, Taps};
use frames::Frames;
use session::SessionError;

/// The first pause before another attempt to connect, and the longest: each is twice the one before.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(10)];

/// The longest time of an attempt to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest time that a stop waits for the reader to take the copies that are left.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// The reader of a configuration, and the sender's names.
#[derive(Clone, Debug, PartialEq, Eq)]
struct TapTarget {
    reader: TapAddress,
    origin: DnstapOrigin,
}

impl TapTarget {
    /// The reader of `[dnstap]`; `None` without the table.
    fn of(config: &Config) -> Option<Arc<Self>> {
        let dnstap = config.dnstap.as_ref()?;
        let identity = dnstap.identity.as_deref().or(config.dns.nsid.as_deref()).map(str::to_string);
        let identity = identity.or_else(files::host_name).unwrap_or_default();
        let version = dnstap.version.as_deref().unwrap_or(concat!("pharos ", env!("CARGO_PKG_VERSION")));
        let origin = DnstapOrigin { identity: identity.into_bytes().into(), version: version.as_bytes().into() };
        Some(Arc::new(TapTarget { reader: dnstap.reader.clone(), origin }))
    }
}

impl fmt::Display for TapTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reader {
            TapAddress::Local(path) => write!(f, "`{}`", path.display()),
            TapAddress::Tcp(address) => write!(f, "{address}"),
        }
    }
}

/// The running writer.
#[derive(Debug)]
pub(crate) struct TapService {
    taps: Arc<Taps>,
    target: watch::Sender<Option<Arc<TapTarget>>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl TapService {
    /// Starts the task, which waits until a configuration has a reader; needs a tokio runtime with time and network.
    pub(crate) fn start(config: &Config, taps: Arc<Taps>, published: Arc<Published>, vital: &Vital) -> Self {
        let (target, targets) = watch::channel(TapTarget::of(config));
        let stop = CancellationToken::new();
        let frames = Frames::new(TapTaker::new(taps.clone()), published);
        let writer = TapWriter { frames, taps: taps.clone(), targets, stop: stop.clone() };
        let task = tokio::spawn(vital.guard_until(stop.clone(), "writer of dnstap".into(), writer.run()));
        TapService { taps, target, stop, task }
    }

    /// Allocates the rings, if a configuration has a reader. To be called before its snapshot is published.
    pub(crate) fn prepare(&self, config: &Config) {
        if config.dnstap.is_some() {
            self.taps.prepare();
        }
    }

    /// Writes to the reader of a configuration, once its snapshot is published.
    pub(crate) fn note_reload(&self, config: &Config) {
        let target = TapTarget::of(config);
        self.target.send_if_modified(|known| {
            let is_other = *known != target;
            *known = target;
            is_other
        });
    }

    /// Writes the copies that are left, tells the reader that these are all, and ends.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        let abort = self.task.abort_handle();
        if timeout(STOP_TIMEOUT, self.task).await.is_err() {
            abort.abort();
            warn!("dnstap is not written to its end: the reader does not take it in time");
        }
    }
}

/// The task.
struct TapWriter {
    frames: Frames,
    taps: Arc<Taps>,
    targets: watch::Receiver<Option<Arc<TapTarget>>>,
    stop: CancellationToken,
}

impl TapWriter {
    async fn run(mut self) {
        while !self.stop.is_cancelled() {
            let target = self.targets.borrow_and_update().clone();
            match target {
                Some(target) => self.serve(&target).await,
                None => self.asked(None).await,
            }
        }
    }

    /// Waits until the reader is not this one, or until a stop.
    async fn asked(&mut self, served: Option<&TapTarget>) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            // The sender lives until the stop.
            _ = self.targets.wait_for(|target| !is_same_reader(target.as_deref(), served)) => {}
        }
    }

    /// True if the reader is not this one, or a stop was requested.
    fn is_asked(&self, served: &TapTarget) -> bool {
        self.stop.is_cancelled() || !is_same_reader(self.targets.borrow().as_deref(), Some(served))
    }

    /// The sender's names, which a reload may change while the connection stays.
    fn origin(&self, served: &TapTarget) -> DnstapOrigin {
        let target = self.targets.borrow();
        let same = target.as_deref().filter(|target| target.reader == served.reader);
        same.unwrap_or(served).origin.clone()
    }

    /// Writes to a reader until there is another one, or a stop.
    async fn serve(&mut self, target: &TapTarget) {
        let (mut pause, mut is_known_silent) = (PAUSES[0], false);
        loop {
            let connected = tokio::select! {
                biased;
                () = self.asked(Some(target)) => return,
                connected = timeout(CONNECT_TIMEOUT, connect(&target.reader)) => connected,
            };
            match connected.unwrap_or_else(|_| Err(SessionError::Timeout)) {
                Ok(stream) => {
                    info!("dnstap: the reader at {target} is connected");
                    let since = Instant::now();
                    self.taps.set_connected(true);
                    let written = self.write(stream, target).await;
                    self.taps.set_connected(false);
                    let Err(error) = written else { return };
                    warn!("dnstap: lost the reader at {target}: {error}; copies are dropped until it is back");
                    is_known_silent = true;
                    // A reader that goes away again and again is tried less often.
                    if since.elapsed() > PAUSES[1] {
                        pause = PAUSES[0];
                    }
                }
                Err(error) if !is_known_silent => {
                    warn!("dnstap: failed to connect to {target}: {error}; copies are dropped until there is a reader");
                    is_known_silent = true;
                }
                Err(_) => {}
            }
            tokio::select! {
                biased;
                () = self.asked(Some(target)) => return,
                () = sleep(pause) => pause = PAUSES[1].min(pause * 2),
            }
        }
    }
}

fn is_same_reader(one: Option<&TapTarget>, other: Option<&TapTarget>) -> bool {
    one.map(|target| &target.reader) == other.map(|target| &target.reader)
}

/// A connection to a reader.
type TapStream = Box<dyn Duplex>;

/// Connects to a reader, which has accepted dnstap then.
async fn connect(reader: &TapAddress) -> Result<TapStream, SessionError> {
    let mut stream: TapStream = match reader {
        TapAddress::Local(path) => Box::new(UnixStream::connect(path).await?),
        TapAddress::Tcp(address) => Box::new(TcpStream::connect(address).await?),
    };
    session::open(&mut stream).await?;
    Ok(stream)
}
