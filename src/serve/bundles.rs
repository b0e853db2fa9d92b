//! Bundles of the fleet as the service has them: the one in force at a start, and the gate of a new one.
//!
//! **Invariants**: a bundle that cannot be served at a start leaves the local file, and an error in the log; a bundle is served
//! whole or not at all.
//! **Not here**: the order among servers and fetching ([`crate::sharing`]), loading it as a reload ([`super::reload`]).

use std::path::Path;
use std::sync::Arc;

use tracing::{error, info};

use super::failure::one_line;
use super::prepare::{Prepared, prepare};
use crate::base::diagnostic::Diagnostic;
use crate::base::time::Generation;
use crate::config::{self, BundleUse};
use crate::files::{FileStates, Intake, Layer};
use crate::inspect;
use crate::live::{BundleOutcome, ReloadOutcome};
use crate::load::hosts::Purpose;
use crate::load::networks::SOURCE_REFUSED;
use crate::load::zone::ZONE_REFUSED;
use crate::process::work::{self, Lane};
use crate::sharing::{KeptBundles, KeptRollout};
use crate::snapshot::Snapshot;

/// The bundle of a start.
#[derive(Debug, Default)]
pub(super) struct StartBundle {
    /// Its texts and files. `None` if the local file alone is served.
    pub(super) layer: Option<Arc<Layer>>,
    /// The record on the disk, without a bundle in force if that is not served.
    pub(super) last: KeptRollout,
}

/// A start: the prepared configuration, the files that were read, and the bundle in force.
pub(super) type PreparedStart = (Prepared, FileStates, StartBundle);

/// Prepares a start, with the bundle that was in force at the end of the last run.
pub(super) fn prepare_start(path: &Path) -> Result<PreparedStart, Vec<Diagnostic>> {
    let mut bundle = recall(path);
    if let Some(layer) = bundle.layer.clone() {
        let intake = Intake::under(layer.clone());
        match prepare(path, Generation(1), &Purpose::Start, &intake) {
            Ok(prepared) => {
                info!("{} of the fleet is in force", layer.name);
                return Ok((prepared, intake.so_far(), bundle));
            }
            Err(problems) => {
                for problem in problems.iter().filter(|problem| problem.is_error()) {
                    error!("{}", one_line(problem));
                }
                let name = layer.name.clone();
                error!("{name} of the fleet cannot be served with this configuration: the local file alone is served");
                bundle.layer = None;
                bundle.last.in_force = None;
            }
        }
    }
    let intake = Intake::default();
    let prepared = prepare(path, Generation(1), &Purpose::Start, &intake)?;
    Ok((prepared, intake.so_far(), bundle))
}

/// The bundle that was in force at the end of the last run.
fn recall(path: &Path) -> StartBundle {
    // A configuration that cannot be read is reported when it is prepared.
    let Some(BundleUse { state, is_deaf }) = config::bundle_use(path, &Intake::default()) else {
        return StartBundle::default();
    };
    let kept = KeptBundles::beside(&state);
    let mut last = match kept.recall() {
        Ok(last) => last,
        Err(useless) => {
            error!("the record of the fleet's bundles is lost, so the local file alone is served: {useless}");
            return StartBundle::default();
        }
    };
    let Some(in_force) = &last.in_force else { return StartBundle { layer: None, last } };
    let bundle = in_force.bundle.clone();
    let layer = if is_deaf {
        info!("bundle {bundle} of the fleet is not loaded, as `rollout` is false");
        None
    } else {
        let layer = kept.layer(&bundle, path);
        layer
            .map_err(|fault| error!("bundle {bundle} of the fleet is lost, so the local file alone is served: {fault}"))
            .ok()
    };
    if layer.is_none() {
        last.in_force = None;
    }
    StartBundle { layer: layer.map(Arc::new), last }
}

/// The problems for which a bundle is not served although a reload would be: a part of it that is refused, and answers that are not
/// true. It waits for the sweep.
pub(super) async fn judge(snapshot: &Snapshot, warnings: &[Diagnostic]) -> Vec<Diagnostic> {
    let is_refused = |warning: &&Diagnostic| [SOURCE_REFUSED, ZONE_REFUSED].contains(&warning.code);
    let mut found: Vec<Diagnostic> =
        warnings.iter().filter(is_refused).map(|warning| warning.clone().sharpened()).collect();
    if !found.is_empty() {
        return found;
    }
    let snapshot = snapshot.clone();
    let sweep = move || inspect::sweep(&snapshot, &mut |_| {}).findings.violation_count;
    let swept = work::submit(Lane::Compute, sweep).await;
    let message = match swept {
        Ok(0) => return found,
        Ok(count) => format!("a sweep found {count} answers that are not true"),
        Err(lost) => format!("the sweep failed: {lost}"),
    };
    found.push(
        Diagnostic::error("sweep", message).help("`pharos sweep` with the configuration of the push lists these"),
    );
    found
}

/// The sentence for operators that a reload does not read the shared parts of the local file.
pub(super) fn remark(layer: &Layer) -> String {
    let name = &layer.name;
    format!(
        "zones, networks, mirrors, horizons, `[guard]`, `[probe]` and `[registry]` are those of {name} of the fleet: of the local \
         file, the machine's own parts were read"
    )
}

/// The outcome of a load, for the rollout.
pub(super) fn outcome(outcome: &ReloadOutcome) -> BundleOutcome {
    if outcome.is_accepted {
        BundleOutcome::Accepted(outcome.generation)
    } else {
        BundleOutcome::Rejected(reason(&outcome.problems))
    }
}

/// The reason of a rejection: the first error, in a line.
fn reason(problems: &[Diagnostic]) -> String {
    let mut errors = problems.iter().filter(|problem| problem.is_error());
    let Some(first) = errors.next() else { return "without a reason".into() };
    match errors.count() {
        0 => one_line(first),
        more => format!("{}; and {more} more", one_line(first)),
    }
}
