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
        let counts = self.0.counts();
        let help = "Writes of state files by kind and outcome.";
        let mut family = page.counter("pharos_state_writes_total", help);
        for (kind, counts) in &counts {
            family.sample(&[("state", kind), ("outcome", "written")], counts.written);
            family.sample(&[("state", kind), ("outcome", "failed")], counts.failed);
        }
        let failing = self.0.failing();
        let mut family = page.gauge("pharos_state_failing", "State files whose last write failed, by kind.");
        for (kind, _) in &counts {
            let number = failing.iter().filter(|(_, failing)| failing.kind == *kind).count();
            family.sample(&[("state", kind)], number as u64);
        }
    }
}
