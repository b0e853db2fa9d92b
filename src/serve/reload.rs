//! Reloads, and contents of sources that were fetched: one at a time, off the threads that answer queries.
//!
//! **Invariants**: if a reload is requested while one is running, another one follows, so that the last state of the files
//! is always read; several such requests make one reload. A slow reload is logged. The outcome of one is published before the
//! next begins, so that neither goes back to a content that the other has replaced.
//! **Not here**: publishing ([`super`]).

use std::future::pending;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{error, warn};

use super::candidates::{self, JudgedCandidate};
use super::guard::{self, Configured, GuardedReload};
use super::identities::CERTIFICATE_REFUSED;
use super::one_line;
use super::prepare::{Prepared, prepare};
use crate::base::diagnostic::Diagnostic;
use crate::base::ids::ZoneId;
use crate::base::report::summary;
use crate::base::time::Generation;
use crate::files::{self, FileStates, Intake};
use crate::live::{
    OUTCOMES, Published, ReloadHistory, ReloadOutcome, ReloadRequest, ReloadTerms, ServedConfig, SourceCandidate,
    SourceStates,
};
use crate::load::hosts::{Purpose, ServedInputs};
use crate::load::networks::SOURCE_REFUSED;
use crate::load::zone::ZONE_REFUSED;
use crate::networks::Source;
use crate::process::Clock;
use crate::process::work::{self, Lane, Pending};
use crate::snapshot::Snapshot;
use crate::telemetry::{Collect, MetricsPage};
use crate::zone::{Zone, is_newer};

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
#[derive(Debug, Default)]
pub(super) struct Asked {
    requests: Vec<ReloadRequest>,
    /// True if a signal, or a changed file, asked for the reload too.
    is_of_others: bool,
}

impl Asked {
    /// The terms of all requests together: a reload is dry if each of them is to compare alone.
    pub(super) fn terms(&self) -> ReloadTerms {
        let terms = || self.requests.iter().map(|request| request.terms);
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
    pub(super) fn new(path: &Path, served: impl Fn() -> ServedInputs + Send + 'static) -> Self {
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
        }
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
    pub(super) fn judge(&mut self, served: Configured, candidate: SourceCandidate) {
        let judging = work::submit(Lane::Load, move || candidates::judge(&served, candidate));
        self.at_work = Some(Work::Judging(judging));
    }

    /// Waits for the next outcome; forever, if there is no work. May be dropped and called again. The outcome must have been
    /// published before the next call, which begins a reload that is due.
    pub(super) async fn next(&mut self) -> Done {
        if self.at_work.is_none() && std::mem::take(&mut self.is_due) {
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
            let slow = async {
                match slow_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                outcome = &mut running.outcome => break outcome,
                () = slow => {
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
        self.at_work.is_none() && !self.is_due
    }

    fn start(&mut self) {
        let (path, purpose) = (self.path.clone(), Purpose::Reload((self.served)()));
        let (load, intake) = (self.load.clone(), Intake::default());
        let noted = intake.clone();
        let outcome = work::submit(Lane::Load, move || load(&path, &purpose, &noted));
        let asked =
            Asked { requests: std::mem::take(&mut self.waiting), is_of_others: std::mem::take(&mut self.is_of_others) };
        let slow_at = Some(Instant::now() + SLOW);
        self.at_work = Some(Work::Reload(RunningReload { outcome, intake, asked, slow_at }));
    }
}

/// Logs the problems, and that the former configuration is still served.
pub(super) fn log_failure(problems: &[Diagnostic]) {
    for problem in problems {
        if problem.is_error() { error!("{}", one_line(problem)) } else { warn!("{}", one_line(problem)) }
    }
    error!("not reloaded, the configuration before it is served: {}", summary(problems).unwrap_or_default());
}

/// Shows the configuration that is served with its sources, and the outcomes of reloads.
pub(super) struct ReloadMetrics {
    pub(super) history: Arc<ReloadHistory>,
    pub(super) published: Arc<Published>,
    pub(super) sources: SourceStates,
}

impl Collect for ReloadMetrics {
    fn collect(&self, page: &mut MetricsPage) {
        let ServedConfig { since, digest, restart_keys, .. } = self.history.served();
        page.gauge(
            "pharos_reload_last_success",
            "The time at which the configuration that is served was taken over, by the start or a reload, in seconds since 1970.",
        )
        .sample(&[], since.0);
        page.counter("pharos_reload_failures_total", "Reloads that were refused.").sample(&[], self.history.refused());
        let is_refused = self.history.last().is_some_and(|last| last.refused.is_some());
        page.gauge(
            "pharos_reload_refused",
            "1 if the last reload was refused as a whole or in part, until one succeeds.",
        )
        .sample(&[], is_refused.into());
        page.gauge("pharos_config_digest", "1, with the SHA-256 of the files of the configuration that is served.")
            .sample(&[("sha256", &digest)], 1);
        page.gauge("pharos_config_restart_keys", "Keys whose new values take a restart; until then the old ones stay.")
            .sample(&[], restart_keys.len() as u64);
        let snapshot = self.published.load_full();
        let sources = &snapshot.provenance().networks.sources;
        let mut family =
            page.gauge("pharos_source_prefixes", "The prefixes that are served of each source of networks.");
        for source in sources {
            family.sample(&[("source", &source.name)], source.prefix_count() as u64);
        }
        let mut family = page.gauge(
            "pharos_zone_refused",
            "1 if a zone of a file keeps its served records, because the last reload refused the file.",
        );
        let zones = snapshot.zones().iter().zip(snapshot.zone_origins());
        for ((_, zone), origin) in zones.filter(|(_, origin)| origin.file.is_some()) {
            family.sample(&[("zone", &zone.apex().to_string())], origin.is_refused.into());
        }
        self.collect_sources(sources, page);
    }
}

impl ReloadMetrics {
    fn collect_sources(&self, sources: &[Arc<Source>], page: &mut MetricsPage) {
        let (states, now) = (self.sources.all(), Clock::civil());
        let mut family = page.gauge(
            "pharos_source_age_seconds",
            "How long ago the publisher of each source of networks had the content that is served; for a file of the operator, how long ago it was last changed.",
        );
        for source in sources {
            let checked = states.get(&source.name).and_then(|state| state.fetch.as_ref()?.checked);
            if let Some(at) = checked.or(source.modified) {
                family.sample(&[("source", &source.name)], now.0.saturating_sub(at.0));
            }
        }
        let mut family = page.gauge(
            "pharos_source_changed_timestamp",
            "When the content that is served of each source of networks was last changed, in seconds since 1970.",
        );
        for source in sources {
            if let Some(modified) = source.modified {
                family.sample(&[("source", &source.name)], modified.0);
            }
        }
        let mut family = page.counter(
            "pharos_source_refused_total",
            "Contents of each source of networks that were refused, by a reload or after a fetch.",
        );
        for source in sources {
            family.sample(&[("source", &source.name)], states.get(&source.name).map_or(0, |state| state.refused));
        }
        let mut family = page.gauge(
            "pharos_source_refused",
            "1 if the last content that was fetched of a source with a `url` is refused, until one is taken.",
        );
        for (name, fetch) in states.iter().filter_map(|(name, state)| Some((name, state.fetch.as_ref()?))) {
            family.sample(&[("source", name)], fetch.is_refused.into());
        }
        let mut family =
            page.counter("pharos_source_fetches_total", "Fetches of each source of networks with a `url`, by outcome.");
        for (name, state) in &states {
            for (word, count) in OUTCOMES.iter().zip(state.fetch.iter().flat_map(|fetch| fetch.outcomes)) {
                family.sample(&[("source", name), ("outcome", word)], count);
            }
        }
    }
}

/// Judges a reload, off the threads of the runtime. `None` if that failed, which is a fault.
pub(super) async fn judge(served: Configured, new: Configured, terms: ReloadTerms) -> Option<GuardedReload> {
    work::submit(Lane::Compute, move || guard::judge(&served, &new, &terms)).await.ok()
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
        let (before_id, before) =
            served.zones().find(apex, &apex.suffixes()).filter(|(_, zone)| zone.apex() == apex)?;
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
