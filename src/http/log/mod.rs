//! The request log of the registry listener: one line of JSON for each request.
//!
//! A request begins its line when it arrives and ends it with the reply. The line goes into a queue; a thread of its own
//! takes the lines out and waits for the disk.
//!
//! **Invariants**: a request never waits for the log; if the queue is full, the line is dropped and counted. Without a log,
//! a request costs one atomic load and no allocation. A client's address is in a line only as far as the operator wants.
//! **Not here**: the file and its rotation ([`crate::files::lines`]), requests without exactly one host, which get 400
//! before a handler sees these.

mod line;
mod trace;
mod writer;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use hyper::http::request::Parts;
pub(super) use line::LogLine;
use line::{LineHead, network_of};
use tracing::warn;
use writer::{LogQueue, LogWriter};

use crate::base::logged::LoggedClients;
use crate::config::RequestLogConfig;
use crate::files::lines::LineTarget;
use crate::process;
use crate::snapshot::Snapshot;
use crate::telemetry::request_log::LogCounters;

/// The longest time that a stop waits for the lines in the queue.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// The request log of a listener, on or off.
#[derive(Debug)]
pub struct RequestLog {
    terms: ArcSwapOption<LogTerms>,
    target: ArcSwap<Option<LineTarget>>,
    queue: LogQueue,
    /// The state of random numbers for samples and trace ids.
    draws: AtomicU64,
}

/// The settings for lines.
#[derive(Clone, Copy, Debug)]
struct LogTerms {
    clients: LoggedClients,
    /// Requests whose random number is at most this one are logged.
    sampled_up_to: u64,
}

impl RequestLog {
    /// Starts the thread that writes, and turns the log on if it is configured.
    pub(crate) fn start(config: Option<&RequestLogConfig>) -> io::Result<Arc<Self>> {
        let queue = LogWriter::start()?;
        let (terms, target) = (ArcSwapOption::empty(), ArcSwap::from_pointee(None));
        let log = RequestLog { terms, target, queue, draws: AtomicU64::new(process::seed()) };
        log.set(config);
        Ok(Arc::new(log))
    }

    /// Applies other settings. Lines in the queue go to the new file.
    pub(crate) fn set(&self, config: Option<&RequestLogConfig>) {
        let target = config.map(|config| match &config.file {
            None => LineTarget::Stdout,
            Some(file) => LineTarget::File { path: file.path.clone(), max_len: config.max_len, keep: config.keep },
        });
        if config.is_none() {
            self.terms.store(None);
        }
        if **self.target.load() != target {
            self.target.store(Arc::new(target.clone()));
            self.queue.order(|orders| orders.target = Some(target));
        }
        self.terms.store(config.map(|config| {
            // A share of 1 is the largest number, because `as` saturates.
            let sampled_up_to = (config.sample.get() * u64::MAX as f64) as u64;
            Arc::new(LogTerms { clients: config.clients, sampled_up_to })
        }));
    }

    /// Opens the file again.
    pub(crate) fn reopen(&self) {
        self.queue.order(|orders| orders.reopen = true);
    }

    /// Writes the lines that wait, and ends.
    pub(crate) async fn stop(&self) {
        if tokio::time::timeout(STOP_TIMEOUT, self.queue.stop()).await.is_err() {
            warn!(
                "the request log is not written to its end: the disk, or the reader of the pipe, does not take it in time"
            );
        }
    }

    /// The counters of lines.
    pub(crate) fn counters(&self) -> Arc<LogCounters> {
        self.queue.counters.clone()
    }

    /// Begins the line of a request; `None` if requests are not logged, or this one is not in the sample. `client` is `None`
    /// if a proxy sent no valid address.
    pub(super) fn begin(
        &self,
        head: &Parts,
        path: &str,
        client: Option<IpAddr>,
        snapshot: &Snapshot,
        since: Instant,
    ) -> Option<LogLine> {
        let terms = **self.terms.load().as_ref()?;
        if self.draw() > terms.sampled_up_to {
            return None;
        }
        let name = client.map(|address| snapshot.regions().of(address).1);
        let client = client.and_then(|address| match terms.clients {
            LoggedClients::Nothing => None,
            LoggedClients::Network => Some(network_of(address).to_string()),
            // As IPv4 if IPv6 is only its form.
            LoggedClients::Whole => Some(address.to_canonical().to_string()),
        });
        let made = u128::from(self.draw()) << 64 | u128::from(self.draw());
        let trace = trace::of(&head.headers).unwrap_or(made);
        let (method, client) = (head.method.as_str(), client.as_deref());
        Some(LogLine::begin(&LineHead { method, path, name, client, trace }, since))
    }

    /// Puts the line of a finished request into the queue.
    pub(super) fn add(&self, line: String) {
        self.queue.add(line);
    }

    /// The next random number: SplitMix64, whose state is one addition.
    fn draw(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut number = self.draws.fetch_add(STEP, Relaxed).wrapping_add(STEP);
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ (number >> 31)
    }
}
