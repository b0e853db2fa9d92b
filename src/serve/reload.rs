//! Reloads, and contents of sources that were fetched: one at a time, off the threads that answer queries.
//!
//! **Invariants**: if a reload is requested while one is running, another one follows, so that the last state of the files
//! is always read; several such requests make one reload. A slow reload is logged. The outcome of one is published before the
//! next begins, so that neither goes back to a content that the other has replaced.
//! **Not here**: publishing ([`super`]).

mod metrics;

use std::future::pending;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{error, warn};

use super::candidates::{self, JudgedCandidate};
use super::failure::log_problems;
use super::guard::{self, Configured, GuardedReload};
use super::identities::CERTIFICATE_REFUSED;
use super::prepare::{Prepared, prepare};
use crate::base::diagnostic::Diagnostic;
use crate::base::ids::ZoneId;
use crate::base::report::summary;
use crate::base::time::Generation;
use crate::files::{self, FileStates, Intake, Layer};
use crate::live::{BundleRequest, CandidateRequest, ReloadOutcome, ReloadRequest, ReloadTerms};
use crate::load::hosts::{Purpose, ServedInputs};
use crate::load::networks::SOURCE_REFUSED;
use crate::load::zone::ZONE_REFUSED;
use crate::networks::Source;
use crate::process::work::{self, Lane, Pending};
use crate::snapshot::Snapshot;
use crate::zone::{Zone, is_newer};
pub(super) use metrics::ReloadMetrics;

type PrepareOutcome = Result<Prepared, Vec<Diagnostic>>;

/// Prepares a reload; blocks on the disk.
type Load = dyn Fn(&Path, &Purpose, &Intake) -> PrepareOutcome + Send + Sync;

/// The time after which a reload is logged as slow: databases of cities take seconds, but a disk that hangs never answers.
const SLOW: Duration = Duration::from_secs(30);

/// The most parts that `pharos status` names of those that the last reload has refused; each is a line of a terminal.
const MAX_KEPT_SHOWN: usize = 3;

/// The reloads that were asked for, and the work under way.
pub(super) struct Reloads {
    path: PathBuf,
    /// Returns the served inputs; called when a reload begins.
    served: Box<dyn Fn() -> ServedInputs + Send>,
    load: Arc<Load>,
    at_work: Option<Work>,
    /// The requests that the next reload answers.
    waiting: Vec<ReloadRequest>,
    /// True if the next reload is asked for by others than these requests too.
    is_of_others: bool,
    /// The files that the last reload has read.
    read: FileStates,
    /// True if another reload is to begin.
    is_due: bool,
    /// The bundle in force. `None` if the local file alone is served.
    layer: Option<Arc<Layer>>,
    /// The bundle that is to be loaded.
    bundle: Option<BundleRequest>,
}

/// The work under way.
enum Work {
    Reload(RunningReload),
    Judging(Pending<JudgedCandidate>),
}

/// The outcome of work.
pub(super) enum Done {
    /// A reload, with the requests that it answers.
    Reload(Box<PrepareOutcome>, Asked),
    /// A content was judged. `None` if that failed, which is a fault.
    Judged(Option<JudgedCandidate>),
}

/// The reload under way.
struct RunningReload {
    outcome: Pending<PrepareOutcome>,
    /// The files that the reload has read so far.
    intake: Intake,
    asked: Asked,
    /// The time at which the reload is logged as slow; `None` after that.
    slow_at: Option<Instant>,
}

/// The requests for one reload.
#[derive(Default)]
pub(super) struct Asked {
    requests: Vec<ReloadRequest>,
    /// True if a signal, or a changed file, asked for the reload too.
    is_of_others: bool,
    /// The bundle that is loaded; then there are no requests.
    pub(super) bundle: Option<BundleRequest>,
}

impl Asked {
    /// The terms of all requests together: a reload is dry if each of them is to compare alone.
    pub(super) fn terms(&self) -> ReloadTerms {
        let terms = || self.requests.iter().map(|asked| asked.request);
        let is_dry = !self.is_of_others && !self.requests.is_empty() && terms().all(|terms| terms.is_dry);
        // What a dry request allows is not allowed to a reload that publishes.
        let counted = terms().filter(|terms| terms.is_dry == is_dry);
        let allow_moved = counted.filter_map(|terms| terms.allow_moved).reduce(|a, b| if a < b { b } else { a });
        ReloadTerms { is_dry, allow_moved }
    }

    /// Answers all requests.
    pub(super) fn answer(self, outcome: &ReloadOutcome) {
        for request in self.requests {
            // A client that has gone does not miss the answer.
            let _ = request.reply.send(outcome.clone());
        }
    }
}

impl Reloads {
    pub(super) fn new(
        path: &Path,
        layer: Option<Arc<Layer>>,
        served: impl Fn() -> ServedInputs + Send + 'static,
    ) -> Self {
        // The publisher sets the generation when it publishes the snapshot.
        let load =
            |path: &Path, purpose: &Purpose, intake: &Intake| prepare(path, Generation::default(), purpose, intake);
        Reloads {
            path: path.to_path_buf(),
            served: Box::new(served),
            load: Arc::new(load),
            at_work: None,
            waiting: Vec::new(),
            is_of_others: false,
            read: FileStates::default(),
            is_due: false,
            layer,
            bundle: None,
        }
    }

    /// Has a bundle loaded. To be called while no work is under way ([`Self::are_over`]).
    pub(super) fn load(&mut self, load: BundleRequest) {
        self.bundle = Some(load);
    }

    /// The bundle in force.
    pub(super) fn layer(&self) -> Option<&Layer> {
        self.layer.as_deref()
    }

    /// Notes the bundle in force.
    pub(super) fn set_layer(&mut self, layer: Arc<Layer>) {
        self.layer = Some(layer);
    }

    /// Asks for a reload, whose outcome is the answer to a request.
    pub(super) fn ask_for(&mut self, request: ReloadRequest) {
        self.waiting.push(request);
        self.is_due = true;
    }

    /// Asks for a reload.
    pub(super) fn ask(&mut self) {
        self.is_of_others = true;
        self.is_due = true;
    }

    /// Has a content judged. To be called while no work is under way ([`Self::are_over`]).
    pub(super) fn judge(&mut self, served: Configured, candidate: CandidateRequest) {
        let judging = work::submit(Lane::Load, move || candidates::judge(&served, candidate));
        self.at_work = Some(Work::Judging(judging));
    }

    /// Waits for the next outcome; forever, if there is no work. May be dropped and called again. The outcome must have been
    /// published before the next call, which begins a reload that is due.
    pub(super) async fn next(&mut self) -> Done {
        if self.at_work.is_none() && (self.is_due || self.bundle.is_some()) {
            self.start();
        }
        let running = match &mut self.at_work {
            None => return pending().await,
            Some(Work::Judging(judging)) => {
                let judged = judging.await.ok();
                self.at_work = None;
                return Done::Judged(judged);
            }
            Some(Work::Reload(running)) => running,
        };
        let outcome = loop {
            let slow_at = running.slow_at;
            tokio::select! {
                outcome = &mut running.outcome => break outcome,
                () = tokio::time::sleep_until(slow_at.unwrap_or_else(Instant::now)), if slow_at.is_some() => {
                    running.slow_at = None;
                    let at = files::slowest(Duration::from_secs(1));
                    let at = at.map(|path| format!("; it waits for `{}`", path.display())).unwrap_or_default();
                    warn!("the reload is not done after {} s, the configuration before it is served{at}", SLOW.as_secs());
                }
            }
        };
        self.read = running.intake.so_far();
        let asked = std::mem::take(&mut running.asked);
        self.at_work = None;
        let outcome = outcome.unwrap_or_else(|lost| {
            Err(vec![Diagnostic::error("internal", format!("failed to compile the configuration: {lost}"))])
        });
        Done::Reload(Box::new(outcome), asked)
    }

    /// The files that the last reload has read until it ended or failed.
    pub(super) fn take_read(&mut self) -> FileStates {
        std::mem::take(&mut self.read)
    }

    /// True if no work is under way, and no reload is due.
    pub(super) fn are_over(&self) -> bool {
        self.at_work.is_none() && !self.is_due && self.bundle.is_none()
    }

    fn start(&mut self) {
        let (path, purpose) = (self.path.clone(), Purpose::Reload((self.served)()));
        // A bundle waits for a reload that is due: its requests are for the state of the local files alone.
        let bundle = if self.is_due { None } else { self.bundle.take() };
        let layer = bundle.as_ref().map(|bundle| bundle.request.layer.clone()).or_else(|| self.layer.clone());
        let (load, intake) = (self.load.clone(), layer.map(Intake::under).unwrap_or_default());
        let noted = intake.clone();
        let outcome = work::submit(Lane::Load, move || load(&path, &purpose, &noted));
        let asked = match bundle {
            Some(_) => Asked { bundle, ..Asked::default() },
            None => {
                self.is_due = false;
                let (requests, is_of_others) =
                    (std::mem::take(&mut self.waiting), std::mem::take(&mut self.is_of_others));
                Asked { requests, is_of_others, bundle }
            }
        };
        let slow_at = Some(Instant::now() + SLOW);
        self.at_work = Some(Work::Reload(RunningReload { outcome, intake, asked, slow_at }));
    }
}

/// Logs the problems, and that the former configuration is still served.
pub(super) fn log_failure(problems: &[Diagnostic]) {
    log_problems(problems);
    error!("not reloaded, the configuration before it is served: {}", summary(problems).unwrap_or_default());
}

/// Judges a reload, off the threads of the runtime. `None` if that failed, which is a fault.
pub(super) async fn judge(
    served: Configured,
    new: Configured,
    terms: ReloadTerms,
    command: &'static str,
) -> Option<GuardedReload> {
    work::submit(Lane::Compute, move || guard::judge(&served, &new, &terms, command)).await.ok()
}

/// The sources of a snapshot whose new content is refused: the served sources stand in for these.
pub(super) fn refused(served: &Snapshot, now: &Snapshot) -> Vec<Arc<str>> {
    let before = &served.provenance().networks.sources;
    let is_kept = |source: &&Arc<Source>| before.iter().any(|known| Arc::ptr_eq(known, source));
    now.provenance().networks.sources.iter().filter(is_kept).map(|source| source.name.clone()).collect()
}

/// The names of the parts of a configuration that are refused and served as before, from its warnings.
pub(super) fn kept(warnings: &[Diagnostic]) -> Vec<String> {
    let is_kept = |warning: &&Diagnostic| [SOURCE_REFUSED, ZONE_REFUSED, CERTIFICATE_REFUSED].contains(&warning.code);
    warnings.iter().filter(is_kept).map(|warning| warning.message.clone()).collect()
}

/// The first of these parts, and the number of the others; `None` if there are none.
pub(super) fn kept_words(kept: &[String]) -> Option<String> {
    let shown = kept.chunks(MAX_KEPT_SHOWN).next()?.join("; ");
    let more = kept.len().saturating_sub(MAX_KEPT_SHOWN);
    Some(if more > 0 { format!("{shown}; and {more} more") } else { shown })
}

/// A sentence for each network that has lost more than half of its prefixes: a feed that was cut short looks like this.
pub(super) fn shrunk(served: &Snapshot, now: &Snapshot) -> Vec<String> {
    let before = &served.provenance().networks.sources;
    let lost = |source: &Arc<Source>| {
        let before = before.iter().find(|known| known.name == source.name)?.prefix_count();
        let count = source.prefix_count();
        (count < before / 2).then(|| {
            let Source { name, file, .. } = &**source;
            format!(
                "network {name}: `{file}` has {count} prefixes instead of {before}; if the file was cut short, restore it and reload"
            )
        })
    };
    now.provenance().networks.sources.iter().filter_map(lost).collect()
}

/// A sentence for each zone that secondaries may fetch and will not, because its records have changed and its serial has not risen.
pub(super) fn unraised(served: &Snapshot, now: &Snapshot) -> Vec<String> {
    let stale = |(id, zone): (ZoneId, &Zone)| {
        let policy = now.transfers().policy(id);
        if policy.allow.is_empty() || !policy.primaries.is_empty() || !zone.is_available() {
            return None;
        }
        let apex = zone.apex();
        let (before_id, before) = served.zones().at_apex(apex)?;
        let has_changed = now.zones().history(id).is_ambiguous() && !served.zones().history(before_id).is_ambiguous();
        let (serial, old) = (zone.serial(), before.serial());
        let is_lower = before.is_available() && serial != old && !is_newer(serial, old);
        let what = match () {
            () if is_lower => format!("the serial of zone {apex} went from {old} back to {serial}"),
            () if has_changed => format!("zone {apex} has changed under its serial {serial}"),
            () => return None,
        };
        Some(format!("{what}: its secondaries keep their records until the serial is above {}", serial.max(old)))
    };
    now.zones().iter().filter_map(stale).collect()
}

#[cfg(test)]
mod tests;
