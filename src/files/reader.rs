//! Work on files, on threads that may be abandoned: a read from a network file system can last for ever.
//!
//! **Invariants**: a caller waits no longer than its deadline; a thread that is stuck is never waited for and never gets
//! other work; at most [`MAX_AT_ONCE`] threads are at work, the stuck ones among them. A thread that is idle is kept, so
//! that files can be read although the system starts no more threads.
//! **Not here**: the work itself ([`super`]).

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::base::lock::locked;

/// The most threads at work at once. Few callers read at the same time; all other threads at work are stuck.
const MAX_AT_ONCE: usize = 32;

/// Idle threads that are kept: a reload, a write of state and a look at certificates may coincide.
pub(crate) const MAX_IDLE: usize = 3;

/// The reason why work on a file has no result.
#[derive(Debug)]
pub(crate) enum Expired {
    /// The deadline is over; the thread continues without a caller.
    Deadline(Duration),
    /// [`MAX_AT_ONCE`] threads are at work, most of them stuck.
    Full,
    /// The system starts no thread.
    NoThread(io::Error),
    /// The work panicked, which is a fault in Pharos.
    Panicked,
}

impl fmt::Display for Expired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expired::Deadline(deadline) => write!(f, "it was not read within {} s", deadline.as_secs_f32()),
            Expired::Full => write!(f, "{MAX_AT_ONCE} other files are being read and do not end"),
            Expired::NoThread(error) => write!(f, "the system starts no thread to read it: {error}"),
            Expired::Panicked => f.write_str("reading it failed, which is a fault in pharos"),
        }
    }
}

/// The side that waits for the work.
#[derive(Debug)]
pub(crate) struct Waiter(Arc<AtomicBool>);

impl Waiter {
    /// Returns whether the caller has not given up yet.
    pub(crate) fn waits(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

type ReadJob = Box<dyn FnOnce() + Send>;

#[derive(Debug, Default)]
struct Pool {
    idle: Vec<Sender<ReadJob>>,
    /// The files at work, each with a number of its own and since when.
    at_work: Vec<(u64, PathBuf, Instant)>,
    next: u64,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { idle: Vec::new(), at_work: Vec::new(), next: 0 });

fn pool() -> MutexGuard<'static, Pool> {
    // No code panics while it is held.
    locked(&POOL)
}

/// Does work on a file on another thread, and waits for it until the deadline.
pub(crate) fn within<T: Send + 'static>(
    path: &Path,
    deadline: Duration,
    work: impl FnOnce(&Waiter) -> T + Send + 'static,
) -> Result<T, Expired> {
    let entry = FileAtWork::new(path)?;
    let waits = Arc::new(AtomicBool::new(true));
    let caller = Waiter(waits.clone());
    let (send, result) = mpsc::sync_channel(1);
    let job: ReadJob = Box::new(move || {
        let done = work(&caller);
        // From here on the thread is not stuck.
        drop(entry);
        // The caller may have given up.
        let _ = send.send(done);
    });
    let thread = hand_over(job)?;
    match result.recv_timeout(deadline) {
        Ok(done) => {
            let mut pool = pool();
            if pool.idle.len() < MAX_IDLE {
                pool.idle.push(thread);
            }
            Ok(done)
        }
        Err(RecvTimeoutError::Timeout) => {
            waits.store(false, Ordering::Relaxed);
            Err(Expired::Deadline(deadline))
        }
        Err(RecvTimeoutError::Disconnected) => Err(Expired::Panicked),
    }
}

/// Gives a job to an idle thread, else to a new one. The thread ends when the returned sender is dropped.
fn hand_over(mut job: ReadJob) -> Result<Sender<ReadJob>, Expired> {
    loop {
        let Some(thread) = pool().idle.pop() else { break };
        match thread.send(job) {
            Ok(()) => return Ok(thread),
            // It has ended, which only a panic does to it.
            Err(mpsc::SendError(back)) => job = back,
        }
    }
    let thread = start_thread().map_err(Expired::NoThread)?;
    // It waits for the job: the receiver is alive.
    let _ = thread.send(job);
    Ok(thread)
}

fn start_thread() -> io::Result<Sender<ReadJob>> {
    let (thread, inbox) = mpsc::channel::<ReadJob>();
    let run = move || inbox.iter().for_each(|job| job());
    std::thread::Builder::new().name("files".to_string()).spawn(run)?;
    Ok(thread)
}

/// Starts the threads that are kept, so that a full system does not keep a server from reading files later.
pub(crate) fn start() -> io::Result<()> {
    while pool().idle.len() < MAX_IDLE {
        let thread = start_thread()?;
        pool().idle.push(thread);
    }
    Ok(())
}

/// The file that has been at work for longest, if it has been for this long.
pub(crate) fn slowest(least: Duration) -> Option<PathBuf> {
    let pool = pool();
    let (_, path, since) = pool.at_work.iter().min_by_key(|(_, _, since)| *since)?;
    (since.elapsed() >= least).then(|| path.clone())
}

/// A file at work, until this is dropped.
struct FileAtWork(u64);

impl FileAtWork {
    fn new(path: &Path) -> Result<Self, Expired> {
        let mut pool = pool();
        if pool.at_work.len() >= MAX_AT_ONCE {
            return Err(Expired::Full);
        }
        let number = pool.next;
        pool.next += 1;
        pool.at_work.push((number, path.to_path_buf(), Instant::now()));
        Ok(FileAtWork(number))
    }
}

impl Drop for FileAtWork {
    fn drop(&mut self) {
        pool().at_work.retain(|(number, ..)| *number != self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_never_ends_is_abandoned_and_other_work_goes_on() {
        let path = Path::new("/a/stuck/file");
        let (end, ended) = (mpsc::channel::<()>(), mpsc::channel::<bool>());
        let stuck = within(path, Duration::from_millis(1), move |caller| {
            // Blocks like a network file system whose server is gone.
            let _ = end.1.recv_timeout(Duration::from_secs(30));
            let _ = ended.0.send(caller.waits());
        });
        assert!(matches!(stuck, Err(Expired::Deadline(_))));
        assert!(slowest(Duration::ZERO).is_some() && pool().at_work.iter().any(|(_, one, _)| one == path));
        assert_eq!(within(Path::new("b"), Duration::from_secs(30), |_| 7).unwrap(), 7);
        end.0.send(()).unwrap();
        assert_eq!(ended.1.recv(), Ok(false), "it is told that its result is not needed");
    }

    #[test]
    fn a_panic_is_an_error_and_no_thread_is_lost_by_it() {
        for _ in 0..2 * MAX_AT_ONCE {
            let said = within(Path::new("b"), Duration::from_secs(30), |_| panic!("on purpose"));
            assert!(matches!(said, Err(Expired::Panicked)));
        }
        assert_eq!(within(Path::new("b"), Duration::from_secs(30), |_| 7).unwrap(), 7);
    }
}
