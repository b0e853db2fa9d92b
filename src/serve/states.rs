//! State files of the services, and their metrics.
//!
//! **Invariants**: each kind is in [`FORMS`], so that its counters begin at 0.
//! **Not here**: writing them ([`crate::process::state`]).

use crate::files::state::StateForm;
use crate::live::SIGNATURES;
use crate::load::hosts::keep;
use crate::load::zone::copy;
use crate::process::state::StateFiles;
use crate::sharing::ROLLOUT_STATE;
use crate::telemetry::{Collect, MetricsPage};
use crate::{acme, control, probe};

/// The kinds of state files, by the names of their labels.
const FORMS: [&StateForm; 9] = [
    &copy::FORM,
    &keep::FORM,
    &control::STATE,
    &control::FLEET_STATE,
    &control::HISTORY,
    &probe::STATE,
    &acme::STATE,
    &SIGNATURES,
    &ROLLOUT_STATE,
];

/// The state files of a server.
pub(super) fn files() -> StateFiles {
    StateFiles::new(&FORMS)
}

/// Metrics of the writes of state files.
pub(super) struct StateMetrics(pub(super) StateFiles);

impl Collect for StateMetrics {
    fn collect(&self, page: &mut MetricsPage) {
        let (counts, failing) = (self.0.counts(), self.0.failing());
        let writes = counts.iter().flat_map(|(kind, of)| {
            [("written", of.written), ("failed", of.failed)].map(|(outcome, count)| ([*kind, outcome], count))
        });
        page.counter("pharos_state_writes_total", "Writes of state files by kind and outcome.")
            .samples(["state", "outcome"], writes);
        let number = |kind: &str| failing.iter().filter(|(_, failing)| failing.kind == kind).count() as u64;
        page.gauge("pharos_state_failing", "State files whose last write failed, by kind.")
            .samples(["state"], counts.iter().map(|(kind, _)| ([*kind], number(kind))));
    }
}
