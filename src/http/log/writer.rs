//! The thread that writes the request log, and the queue to it.
//!
//! A thread and not a task, because a disk that hangs would hold a thread of the runtime, and with it requests.
//!
//! **Invariants**: the queue is bounded, and adding to it never waits; each line is counted once, as written, dropped or failed;
//! a failure is logged once, and so is its end.
//! **Not here**: the file ([`crate::files::lines`]), the lines ([`super::line`]).

use std::io;
use std::sync::atomic::{AtomicBool, Ordering::AcqRel, Ordering::Release};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use tokio::sync::oneshot;
use tracing::{info, warn};

use crate::base::lock::locked;
use crate::files::lines::{Added, LineFile, LineTarget};
use crate::telemetry::request_log::LogCounters;

/// The most lines that wait to be written. At 50,000 requests a second the queue bridges a disk that
/// hangs for 160 ms. Most lines have 450 bytes, so the queue takes 4 MB; the longest lines have 4 KB.
const MAX_QUEUED: usize = 8192;

/// The bytes of one write. Larger writes save system calls only while the disk is slow.
const BATCH_LEN: usize = 64 << 10;

/// The sender's side of the queue.
#[derive(Debug)]
pub(super) struct LogQueue {
    jobs: SyncSender<LogJob>,
    orders: Arc<LogOrders>,
    /// The counters of lines.
    pub(super) counters: Arc<LogCounters>,
}

/// An item of the queue.
#[derive(Debug)]
enum LogJob {
    /// A line to write.
    Line(String),
    /// The place of an order between the lines. If the queue is full, it is left out, and the order is carried out after the
    /// next batch.
    Wake,
}

/// Orders to the thread: beside the queue, so that a full queue delays no order.
#[derive(Debug, Default)]
struct LogOrders {
    is_given: AtomicBool,
    waiting: Mutex<WaitingOrders>,
}

/// The orders that the thread has not carried out yet.
#[derive(Debug, Default)]
pub(super) struct WaitingOrders {
    /// Another destination; `None` inside turns the log off.
    pub(super) target: Option<Option<LineTarget>>,
    /// True to open the file again.
    pub(super) reopen: bool,
    stop: Option<oneshot::Sender<()>>,
}

impl LogOrders {
    fn lock(&self) -> MutexGuard<'_, WaitingOrders> {
        // No code panics while it is held.
        locked(&self.waiting)
    }
}

impl LogQueue {
    /// Adds a line, or drops it if the queue is full.
    pub(super) fn add(&self, line: String) {
        if self.jobs.try_send(LogJob::Line(line)).is_err() {
            self.counters.dropped.increment();
        }
    }

    /// Ends the thread after the lines that wait.
    pub(super) async fn stop(&self) {
        let (done, ended) = oneshot::channel();
        self.order(|orders| orders.stop = Some(done));
        // The sender is dropped when the thread ends.
        let _ = ended.await;
    }

    /// Gives orders to the thread.
    pub(super) fn order(&self, give: impl FnOnce(&mut WaitingOrders)) {
        give(&mut self.orders.lock());
        self.orders.is_given.store(true, Release);
        let _ = self.jobs.try_send(LogJob::Wake);
    }
}

/// The thread's side.
#[derive(Debug)]
pub(super) struct LogWriter {
    jobs: Receiver<LogJob>,
    orders: Arc<LogOrders>,
    counters: Arc<LogCounters>,
    /// The destination with its name; `None` while the log is off.
    output: Option<LogOutput>,
    batch: Vec<u8>,
    /// The number of lines in the batch.
    lines: usize,
}

#[derive(Debug)]
struct LogOutput {
    file: LineFile,
    name: String,
    /// True if the last batch was not written whole.
    is_failing: bool,
}

impl LogWriter {
    /// Starts the thread, with the log off.
    pub(super) fn start() -> io::Result<LogQueue> {
        let (sender, jobs) = sync_channel(MAX_QUEUED);
        let (orders, counters) = (Arc::<LogOrders>::default(), Arc::<LogCounters>::default());
        let (batch, lines) = (Vec::new(), 0);
        let writer = LogWriter { jobs, orders: orders.clone(), counters: counters.clone(), output: None, batch, lines };
        thread::Builder::new().name("request-log".to_string()).spawn(move || writer.run())?;
        Ok(LogQueue { jobs: sender, orders, counters })
    }

    /// Writes until it is told to stop.
    fn run(mut self) {
        let mut stop = None;
        while stop.is_none() {
            let Ok(job) = self.jobs.recv() else { return };
            self.take(job);
            self.write();
            stop = self.obey();
        }
        self.write_rest();
        drop(stop);
    }

    /// Takes an item and those behind it, up to a batch or an order.
    fn take(&mut self, first: LogJob) {
        let mut next = Some(first);
        while let Some(LogJob::Line(line)) = next {
            self.batch.extend_from_slice(line.as_bytes());
            self.lines += 1;
            next = if self.batch.len() < BATCH_LEN { self.jobs.try_recv().ok() } else { None };
        }
    }

    /// Writes all lines that wait. To be called when no request adds lines any more.
    fn write_rest(&mut self) {
        while let Ok(job) = self.jobs.try_recv() {
            self.take(job);
            self.write();
        }
    }

    /// Carries out the orders; returns the sender to drop at the end if one is to stop.
    fn obey(&mut self) -> Option<oneshot::Sender<()>> {
        if !self.orders.is_given.swap(false, AcqRel) {
            return None;
        }
        let WaitingOrders { target, reopen, stop } = std::mem::take(&mut *self.orders.lock());
        if let Some(target) = target {
            if target.is_none() {
                self.write_rest();
            }
            self.output = target.map(|target| {
                let name = match &target {
                    LineTarget::Stdout => "standard output".to_string(),
                    LineTarget::File { path, .. } => format!("`{}`", path.display()),
                };
                LogOutput { file: LineFile::new(target), name, is_failing: false }
            });
        }
        if let Some(output) = self.output.as_mut().filter(|_| reopen) {
            output.file.reopen();
            info!("the request log {} is opened again", output.name);
        }
        stop
    }

    /// Writes the batch, counts its lines, and logs changes of the state.
    fn write(&mut self) {
        let (lines, batch) = (std::mem::take(&mut self.lines), &mut self.batch);
        if lines == 0 {
            return;
        }
        let Some(LogOutput { file, name, is_failing }) = &mut self.output else {
            // The log was turned off while the lines waited.
            self.counters.dropped.add(lines as u64);
            batch.clear();
            return;
        };
        let Added { lines: written, lost, rotation } = file.add(batch);
        batch.clear();
        self.counters.written.add(written as u64);
        self.counters.failed.add((lines - written) as u64);
        match rotation {
            Some(Err(error)) => warn!("failed to rotate the request log {name}: {error}; it grows until that works"),
            Some(Ok(())) => info!("the request log {name} is rotated again"),
            None => {}
        }
        match (std::mem::replace(is_failing, lost.is_some()), lost) {
            (false, Some(error)) => {
                warn!("failed to write the request log {name}: {error}; lines are lost and counted until that works");
            }
            (true, None) => info!("the request log {name} is written again"),
            _ => {}
        }
    }
}
