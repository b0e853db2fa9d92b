//! The service of this server over some time: answers, SERVFAIL, and mirrors that are down.
//!
//! **Not here**: the comparison with the service before a bundle ([`crate::fleet::ServiceHealth`]).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::base::time::Moment;
use crate::fleet::ServiceHealth;
use crate::live::Published;
use crate::process::Clock;
use crate::telemetry::dns::DnsCounters;

/// The time over which answers are counted: long enough for the share of a quiet server.
const WINDOW: Duration = Duration::from_secs(600);

/// Answers and SERVFAIL answers up to a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServiceCounts {
    at: Moment,
    answers: u64,
    failures: u64,
}

/// The meter.
pub(super) struct ServiceMeter {
    published: Arc<Published>,
    dns: Arc<DnsCounters>,
    clock: Clock,
    /// The counts of the window, the oldest first.
    counts: VecDeque<ServiceCounts>,
}

impl ServiceMeter {
    pub(super) fn new(published: Arc<Published>, dns: Arc<DnsCounters>, clock: Clock) -> Self {
        let mut meter = ServiceMeter { published, dns, clock, counts: VecDeque::new() };
        meter.count();
        meter
    }

    /// The counts now.
    pub(super) fn now(&self) -> ServiceCounts {
        ServiceCounts { at: self.clock.now(), answers: self.dns.answers(), failures: self.dns.failures() }
    }

    /// Notes the counts, for the window.
    pub(super) fn count(&mut self) {
        let now = self.now();
        let is_old = |counts: &ServiceCounts| now.at.0.saturating_sub(counts.at.0) > WINDOW.as_millis() as u64;
        while self.counts.front().is_some_and(is_old) {
            self.counts.pop_front();
        }
        self.counts.push_back(now);
    }

    /// The service over the window.
    pub(super) fn lately(&self) -> ServiceHealth {
        let (health, _) = self.since(self.counts.front().copied().unwrap_or(self.now()));
        health
    }

    /// The service since some counts, and the milliseconds since then.
    pub(super) fn since(&self, then: ServiceCounts) -> (ServiceHealth, u64) {
        let (now, snapshot) = (self.now(), self.published.load());
        let health = ServiceHealth {
            answers: now.answers.saturating_sub(then.answers),
            failures: now.failures.saturating_sub(then.failures),
            mirrors_down: (snapshot.mirrors().len() - snapshot.mirrors_up()) as u64,
        };
        (health, now.at.0.saturating_sub(then.at.0))
    }
}
