//! The chronicle: the last 24 hours of the mirrors, observed every few seconds, and kept in a file if the configuration names one.
//!
//! **Invariants**: observations are made off the threads that answer; a file that cannot be used costs only the hours in it.
//! **Not here**: the steps ([`ring`]), the file's text ([`keep`]), JSON ([`super::view`]).

mod keep;
mod ring;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tracing::warn;

pub use keep::FORM;
pub(super) use ring::{Ring, STEP_SECS, STEPS, SeenState};

use crate::base::ids::MirrorId;
use crate::base::lock::locked;
use crate::base::time::UnixTime;
use crate::files::state::{Useless, recall};
use crate::live::Published;
use crate::mirror::{Health, Verdict};
use crate::process::Clock;
use crate::process::state::StateFile;
use crate::process::work::{self, Lane};
use crate::snapshot::Snapshot;
use crate::telemetry::probe::Probes;
use crate::telemetry::traffic::Traffic;

/// The interval between two observations. Probes are half a minute apart, so that a shorter one would see the same.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The number of observations between two writes of the file: five minutes, which a killed process loses.
const KEEP_AFTER: u32 = 60;

/// The consequence of a file that cannot be written, for the log.
pub(crate) const UNKEPT: &str = "a restart begins with an older history of mirrors";

/// The last 24 hours. Clones share their state.
#[derive(Clone, Debug)]
pub(crate) struct Chronicle {
    ring: Arc<Mutex<Ring>>,
    file: Option<StateFile>,
}

impl Chronicle {
    /// The steps of the run before, if the file has some.
    pub(crate) fn open(file: Option<StateFile>) -> Self {
        let known = file.as_ref().and_then(|file| remember(file.path()));
        let ring = known.unwrap_or_else(|| Ring::new(Clock::civil()));
        Chronicle { ring: Arc::new(Mutex::new(ring)), file }
    }

    /// Observes at every interval. Never returns.
    pub(crate) async fn run(self, published: Arc<Published>, probes: Option<Arc<Probes>>, traffic: Traffic) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for count in 1u32.. {
            ticks.tick().await;
            let (chronicle, snapshot) = (self.clone(), published.load_full());
            let (probes, answers) = (probes.clone(), traffic.dns.answers());
            let look = move || chronicle.look(&snapshot, probes.as_deref(), answers, Clock::civil());
            // If the queue is full, this observation is left out.
            let _ = work::submit(Lane::Compute, look).await;
            if count.is_multiple_of(KEEP_AFTER) {
                self.keep().await;
            }
        }
    }

    /// Writes the file, if there is one.
    pub(crate) async fn keep(&self) {
        let Some(file) = &self.file else { return };
        let text = keep::encode(&self.ring());
        // The state file logs a failure, and the next write tries again.
        let _ = file.keep(text).await;
    }

    /// The steps until now.
    pub(super) fn until(&self, now: UnixTime) -> Ring {
        let mut ring = self.ring();
        ring.advance(now);
        ring.clone()
    }

    fn look(&self, snapshot: &Snapshot, probes: Option<&Probes>, answers: u64, now: UnixTime) {
        let ids = (0..snapshot.mirrors().len()).map(MirrorId::from_index);
        let states: Vec<_> =
            ids.map(|id| (snapshot.mirrors()[id.index()].name.clone(), state(snapshot, id, probes))).collect();
        self.ring().observe(now, answers, states.into_iter());
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        // No code panics while it is held.
        locked(&self.ring)
    }
}

/// The steps that the run before kept; `None` if there are none, or if the file cannot be used.
fn remember(path: &Path) -> Option<Ring> {
    recall(path, &FORM, keep::decode).unwrap_or_else(|useless: Useless| {
        warn!("the history of mirrors begins anew: {useless}");
        None
    })
}

/// The state of a mirror; `None` if it is not probed, or not yet.
fn state(snapshot: &Snapshot, id: MirrorId, probes: Option<&Probes>) -> Option<SeenState> {
    if snapshot.override_of(id).is_some() {
        return Some(SeenState::Overridden);
    }
    let (probes, mirror, standing) = (probes?, &snapshot.mirrors()[id.index()], snapshot.standing(id));
    let of_addresses = standing.by_address(mirror).map(|(_, standing)| standing.health);
    let of_redirects = mirror.is_redirect_only().then(|| snapshot.redirect_health(id)).flatten();
    let all: Vec<Health> = of_addresses.chain(of_redirects).collect();
    let has = |wanted: &[Health]| all.iter().any(|health| wanted.contains(health));
    if has(&[Health::Up]) {
        let is_found = |address| {
            probes.last(&mirror.name, address).is_some_and(|found| found.standing.verdict == Verdict::Expiring)
        };
        let is_expiring = mirror.addresses().any(is_found);
        return Some(if is_expiring { SeenState::Expiring } else { SeenState::Up });
    }
    match () {
        () if has(&[Health::Bad, Health::Missing]) => Some(SeenState::Bad),
        () if has(&[Health::Down]) => Some(SeenState::Down),
        () => None,
    }
}
