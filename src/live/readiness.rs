//! The readiness of this server, for load balancers and operators that ask before clients are sent here.
//!
//! **Invariants**: from starting over serving to stopping, never back; an override to drain counts only while serving.
//! **Not here**: reporting it ([`crate::http`], [`crate::control`]); keeping the override to drain ([`crate::control`]).

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use arc_swap::ArcSwapOption;

use crate::base::when::rfc3339;
use crate::mirror::Override;

/// The stage of this server, from starting over serving to stopping, never back; and the override that drains it.
#[derive(Debug, Default)]
pub struct Readiness {
    stage: AtomicU8,
    /// The override that takes this server out of service.
    drain: ArcSwapOption<Override>,
}

const SERVING: u8 = 1;
const STOPPING: u8 = 2;

impl Readiness {
    /// Everything answers from now on.
    pub fn serve(&self) {
        self.stage.fetch_max(SERVING, Ordering::Relaxed);
    }

    /// From now on, no client should be sent here.
    pub fn stop(&self) {
        self.stage.fetch_max(STOPPING, Ordering::Relaxed);
    }

    /// Takes the server out of service by override of an operator, or puts it back. Answers go on.
    pub(crate) fn drain(&self, order: Option<Override>) {
        self.drain.store(order.map(Arc::new));
    }

    /// The override that takes the server out of service.
    pub(crate) fn drained(&self) -> Option<Arc<Override>> {
        self.drain.load_full()
    }

    /// The reason why no client should be sent here; `None` if the server is ready. The operator is left out, because `/ready`
    /// answers any client.
    pub(crate) fn obstacle(&self) -> Option<Cow<'static, str>> {
        match self.stage.load(Ordering::Relaxed) {
            0 => Some("starting: the mirrors have not been looked at yet".into()),
            SERVING => self.drained().map(|order| {
                let until = order.until.map(|until| format!(" until {}", rfc3339(until))).unwrap_or_default();
                format!("drained by an operator{until}: {}", order.reason).into()
            }),
            _ => Some("stopping".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::UnixTime;
    use crate::mirror::{Forced, Reason};

    #[test]
    fn it_never_goes_back() {
        let readiness = Readiness::default();
        assert!(readiness.obstacle().is_some_and(|why| why.starts_with("starting")));
        readiness.serve();
        assert_eq!(readiness.obstacle(), None);
        readiness.stop();
        readiness.serve();
        assert_eq!(readiness.obstacle().as_deref(), Some("stopping"));
    }

    #[test]
    fn a_drained_server_is_not_to_be_asked_and_does_not_name_the_operator() {
        let order = |until| Override {
            forced: Forced::Drain,
            reason: Reason::parse("new kernel").unwrap(),
            who: "alice".into(),
            since: UnixTime(0),
            until,
        };
        let readiness = Readiness::default();
        readiness.drain(Some(order(None)));
        assert!(readiness.obstacle().is_some_and(|why| why.starts_with("starting")));
        readiness.serve();
        assert_eq!(readiness.obstacle().as_deref(), Some("drained by an operator: new kernel"));
        readiness.drain(Some(order(Some(UnixTime(3600)))));
        assert_eq!(
            readiness.obstacle().as_deref(),
            Some("drained by an operator until 1970-01-01T01:00:00Z: new kernel")
        );
        readiness.drain(None);
        assert_eq!(readiness.obstacle(), None);
    }
}
