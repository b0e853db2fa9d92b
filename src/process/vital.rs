//! Tasks without which the service cannot go on: if one ends, the process ends too, so that a supervisor starts it again.
//!
//! The alternative, to continue without it, would serve ever older state without an error.
//!
//! **Invariants**: the first end is reported, with the name of its task; a task that is aborted, as a reload does, is none.
//! **Not here**: the reaction to an end ([`crate::serve`]).

use std::borrow::Cow;
use std::fmt;
use std::future::{Future, pending};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Reports the end of tasks.
#[derive(Clone, Debug)]
pub struct Vital(mpsc::Sender<EndedTask>);

/// Receives the report.
#[derive(Debug)]
pub struct Ends(mpsc::Receiver<EndedTask>);

/// A task that has ended, and should not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndedTask {
    /// Its name.
    pub(crate) task: Cow<'static, str>,
    /// True if it panicked, in which case the log says where; false if it returned.
    pub(crate) has_panicked: bool,
}

impl fmt::Display for EndedTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.has_panicked { "panicked" } else { "ended" };
        write!(f, "the {} {how}", self.task)
    }
}

impl Vital {
    /// The sender of reports, and their receiver.
    pub fn new() -> (Self, Ends) {
        // One report is enough: the first end is the cause of the others.
        let (sender, receiver) = mpsc::channel(1);
        (Vital(sender), Ends(receiver))
    }

    /// Wraps a task, so that its end is reported.
    pub(crate) fn guard<F: Future<Output = ()> + Send>(
        &self,
        task: &'static str,
        future: F,
    ) -> impl Future<Output = ()> + Send + use<F> {
        // This token is never cancelled.
        self.guard_until(CancellationToken::new(), task.into(), future)
    }

    /// The same for a task that may end after its stop was requested.
    pub(crate) fn guard_until<F: Future<Output = ()> + Send>(
        &self,
        stop: CancellationToken,
        task: Cow<'static, str>,
        future: F,
    ) -> impl Future<Output = ()> + Send + use<F> {
        let report = self.0.clone();
        async move {
            let mut guard = Guard { task, has_returned: false, report };
            future.await;
            guard.has_returned = !stop.is_cancelled();
        }
    }
}

impl Ends {
    /// Waits for the first end.
    pub(crate) async fn next(&mut self) -> EndedTask {
        match self.0.recv().await {
            Some(ended) => ended,
            // Nothing is guarded.
            None => pending().await,
        }
    }
}

/// Reports when it is dropped, unless its task was aborted.
struct Guard {
    task: Cow<'static, str>,
    /// False while the task runs, and if it was told to stop.
    has_returned: bool,
    report: mpsc::Sender<EndedTask>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let has_panicked = std::thread::panicking();
        if has_panicked || self.has_returned {
            let _ = self.report.try_send(EndedTask { task: std::mem::take(&mut self.task), has_panicked });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_end_is_reported_and_an_abort_or_a_stop_is_none() {
        let (vital, mut ends) = Vital::new();
        let aborted = tokio::spawn(vital.guard("aborted", pending()));
        tokio::task::yield_now().await;
        aborted.abort();
        assert!(aborted.await.unwrap_err().is_cancelled());
        let returned = vital.guard("returned", async {});
        let stop = CancellationToken::new();
        stop.cancel();
        vital.guard_until(stop, "stopped".into(), async {}).await;
        returned.await;
        assert_eq!(ends.next().await, EndedTask { task: "returned".into(), has_panicked: false });
        assert!(tokio::spawn(vital.guard("panicked", async { panic!("a test") })).await.is_err());
        let ended = ends.next().await;
        assert_eq!((ended.has_panicked, ended.to_string().as_str()), (true, "the panicked panicked"));
    }
}
