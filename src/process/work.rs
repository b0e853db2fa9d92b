//! Work that waits for the disk or takes long, away from the threads that answer.
//!
//! The threads start with the process ([`start`]). Tokio's own pool for such work is not used anywhere (`clippy.toml`
//! refuses it): it starts a thread when there is work, and panics if the system has none left.
//!
//! **Invariants**: after [`start`], nothing here starts a thread; a thread never ends, a job that panics ends alone; each
//! lane has a bounded queue, and work in one lane never waits for work in another.
//! **Not here**: the threads that answer over UDP ([`crate::dns`]), those of tokio.

use std::fmt;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll};
use std::thread;

use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::base::lock::locked;

/// Jobs that may wait in one lane. Each kind of caller has few under way at once: 16 control connections, 8 transfers, one
/// write per state file.
const MAX_WAITING: usize = 256;

/// A kind of work, with threads and a queue of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Reading and compiling the configuration: seconds, or longer if a disk hangs.
    Load,
    /// Writing state files: milliseconds, or longer if a disk hangs.
    Keep,
    /// Writing contents that are fetched: milliseconds, or longer if a disk hangs.
    Fetch,
    /// Reading and writing the fleet's shared folder: milliseconds, or longer if its file system hangs.
    Store,
    /// Computing, and freeing memory: milliseconds.
    Compute,
}

/// Lanes with the number and the name of their threads. Two compute, so that one long table does not delay all transfers.
const LANES: [(Lane, usize, &str); 5] = [
    (Lane::Load, 1, "load"),
    (Lane::Keep, 1, "keep"),
    (Lane::Fetch, 1, "fetch"),
    (Lane::Store, 1, "store"),
    (Lane::Compute, 2, "compute"),
];

type Job = Box<dyn FnOnce() + Send>;

/// The queues, in the order of [`LANES`].
static QUEUES: OnceLock<[SyncSender<Job>; LANES.len()]> = OnceLock::new();

/// Starts the threads, once per process.
pub(crate) fn start() -> io::Result<()> {
    queues().map(drop)
}

fn queues() -> io::Result<&'static [SyncSender<Job>; LANES.len()]> {
    static STARTING: Mutex<()> = Mutex::new(());
    if let Some(queues) = QUEUES.get() {
        return Ok(queues);
    }
    let _alone = locked(&STARTING);
    if let Some(queues) = QUEUES.get() {
        return Ok(queues);
    }
    let [load, keep, fetch, store, compute] = LANES.map(|(_, threads, name)| start_lane(threads, name));
    let queues = [load?, keep?, fetch?, store?, compute?];
    Ok(QUEUES.get_or_init(|| queues))
}

fn start_lane(threads: usize, name: &str) -> io::Result<SyncSender<Job>> {
    let (queue, jobs) = sync_channel(MAX_WAITING);
    let jobs = Arc::new(Mutex::new(jobs));
    for _ in 0..threads {
        let jobs = jobs.clone();
        // If a later thread cannot start, the queue is dropped and this one ends.
        thread::Builder::new().name(name.to_string()).spawn(move || work(&jobs))?;
    }
    Ok(queue)
}

/// Does the jobs of a lane, one after the other.
fn work(jobs: &Mutex<Receiver<Job>>) {
    loop {
        // The lock is held only while waiting: it is a statement of its own.
        let job = locked(jobs).recv();
        let Ok(job) = job else { return };
        // The panic hook has said where; the caller gets `Lost::Panicked`.
        let _ = catch_unwind(AssertUnwindSafe(job));
    }
}

/// Has a job done in a lane. The job is done even if the result is not waited for.
pub fn submit<T: Send + 'static>(lane: Lane, job: impl FnOnce() -> T + Send + 'static) -> Pending<T> {
    let (sender, result) = oneshot::channel();
    let job: Job = Box::new(move || drop(sender.send(job())));
    let refused = match queues() {
        Ok(queues) => {
            let at = LANES.iter().position(|(of, ..)| *of == lane).unwrap_or_default();
            queues[at].try_send(job).err().map(|error| match error {
                TrySendError::Full(_) => Lost::Full,
                TrySendError::Disconnected(_) => Lost::NoThread,
            })
        }
        Err(_) => Some(Lost::NoThread),
    };
    Pending { result, refused }
}

/// The result of a job, to be waited for. It may be polled in `select!` again and again.
#[derive(Debug)]
pub struct Pending<T> {
    result: oneshot::Receiver<T>,
    refused: Option<Lost>,
}

impl<T> Future for Pending<T> {
    type Output = Result<T, Lost>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.refused {
            Some(lost) => Poll::Ready(Err(lost)),
            None => Pin::new(&mut self.result).poll(context).map_err(|_| Lost::Panicked),
        }
    }
}

/// A job without a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// [`MAX_WAITING`] jobs wait already.
    Full,
    /// The system has no thread for it.
    NoThread,
    /// It panicked.
    Panicked,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Lost::Full => "too many jobs wait for the disk or the processor",
            Lost::NoThread => "the system has no thread for it",
            Lost::Panicked => "a fault in pharos, please report it",
        })
    }
}

impl std::error::Error for Lost {}

impl From<Lost> for io::Error {
    fn from(lost: Lost) -> Self {
        io::Error::other(lost)
    }
}

/// Threads that [`runtime`] requires in addition, because other processes of this user start threads too.
pub(crate) const SPARE_THREADS: usize = 2;

/// The number of cores that the process may use; 1 if the system does not say. The runtime has as many threads.
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Starts tokio's threads. Returns an error if the system cannot start them and `more` other threads.
///
/// Tokio panics, or waits for ever, if one of its threads cannot start. So this starts and ends as many threads beforehand.
#[allow(clippy::disallowed_methods, reason = "the one place where a runtime of several threads starts")]
pub(crate) fn runtime(more: usize) -> io::Result<Runtime> {
    rehearse(cores() + more)?;
    Runtime::new()
}

/// Starts `threads` threads at once and ends them again; an error if the system does not start them all.
fn rehearse(threads: usize) -> io::Result<()> {
    let held = Arc::new(Mutex::new(()));
    let release = locked(&held);
    let start = |_| {
        let held = held.clone();
        thread::Builder::new().name("rehearse".to_string()).spawn(move || drop(held.lock()))
    };
    let started: io::Result<Vec<_>> = (0..threads).map(start).collect();
    drop(release);
    for thread in started? {
        let _ = thread.join();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[tokio::test]
    async fn a_job_that_panics_is_not_the_last_of_its_thread() {
        assert_eq!(submit(Lane::Load, || 1).await, Ok(1));
        let lost = submit(Lane::Load, || -> u32 { panic!("a test") }).await;
        assert_eq!(lost, Err(Lost::Panicked));
        assert_eq!(submit(Lane::Load, || 2).await, Ok(2));
    }

    #[tokio::test]
    async fn a_full_lane_refuses_and_holds_up_no_other() {
        let gate = Arc::new(Barrier::new(2));
        let (queue, jobs) = (start_lane(1, "a test").unwrap(), gate.clone());
        let (entered, has_entered) = sync_channel(1);
        queue
            .send(Box::new(move || {
                entered.send(()).unwrap();
                jobs.wait();
            }))
            .unwrap();
        has_entered.recv().unwrap();
        for _ in 0..MAX_WAITING {
            assert!(queue.try_send(Box::new(|| ())).is_ok());
        }
        assert!(matches!(queue.try_send(Box::new(|| ())), Err(TrySendError::Full(_))));
        assert_eq!(submit(Lane::Compute, || 3).await, Ok(3));
        gate.wait();
    }

    #[test]
    fn threads_that_the_system_has_can_be_rehearsed() {
        rehearse(8).unwrap();
    }
}
