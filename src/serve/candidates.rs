//! Contents of sources that were fetched: loaded, checked and judged as by a reload, with the served configuration.
//!
//! **Invariants**: a content is served only after its file is kept; only the source itself changes, so that a configuration
//! which is being edited is not loaded.
//! **Not here**: fetching ([`crate::refresh`]), publishing ([`super`]).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::guard::{Configured, limits_exceeded};
use crate::base::diagnostic::{Diagnostic, sort_by_place};
use crate::compile;
use crate::config::GuardConfig;
use crate::files;
use crate::inspect::{self, Moves};
use crate::live::{CandidateRequest, ReloadOutcome, ReloadTerms, SourceCandidate};
use crate::load::networks;
use crate::process::{Clock, sys};
use crate::snapshot::{CompiledSteering, Snapshot};

/// The deadline for putting a file in its place, its digest and that of the file before it included.
const KEEP_DEADLINE: Duration = Duration::from_secs(120);

/// A candidate that was judged.
pub(super) struct JudgedCandidate {
    /// The candidate's source.
    pub(super) source: Arc<str>,
    /// The content to serve, with the clients that it moves. `None` if it is refused, or the terms are dry.
    pub(super) steering: Option<Box<(CompiledSteering, Moves)>>,
    /// The outcome for the sender.
    pub(super) outcome: ReloadOutcome,
    /// The sender of the answer.
    pub(super) reply: oneshot::Sender<ReloadOutcome>,
}

/// Judges a candidate, and keeps its file if it is to be served. It waits for the disk and walks whole address spaces.
pub(super) fn judge(served: &Configured, CandidateRequest { request, reply }: CandidateRequest) -> JudgedCandidate {
    let SourceCandidate { source, path, terms, command, keep } = request;
    let (is_dry, generation) = (terms.is_dry, served.snapshot.generation);
    let mut outcome = ReloadOutcome { is_dry, generation, ..ReloadOutcome::default() };
    let steering = try_judge(served, &source, &path, (&terms, &command), &mut outcome).filter(|_| !terms.is_dry);
    let steering = steering.filter(|_| {
        let kept = files::within(&path, KEEP_DEADLINE, |_| keep());
        let error = match kept {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => files::words(&error),
            Err(expired) => expired.to_string(),
        };
        let problem =
            Diagnostic::error("not-kept", format!("the new content of network `{source}` cannot be kept: {error}"));
        outcome.problems.push(problem.help("check the disk and the folder of its file; the copy before is served"));
        outcome.is_accepted = false;
        false
    });
    JudgedCandidate { source, steering: steering.map(Box::new), outcome, reply }
}

fn try_judge(
    served: &Configured,
    source: &str,
    path: &Path,
    (terms, command): (&ReloadTerms, &str),
    outcome: &mut ReloadOutcome,
) -> Option<(CompiledSteering, Moves)> {
    let config = &*served.config;
    let found = config.networks.iter().find(|network| &*network.name == source);
    let Some((network, fetch)) = found.and_then(|network| Some((network, network.fetched()?))) else {
        let message = format!("network `{source}` is not fetched any more");
        outcome.problems.push(Diagnostic::error("internal", message));
        return None;
    };
    let loaded = match networks::load_candidate(network, path, Clock::civil()) {
        Ok(loaded) => loaded,
        Err(problems) => {
            outcome.problems = problems;
            return None;
        }
    };
    outcome.problems = loaded.warnings;
    let before = &served.snapshot.provenance().networks;
    let is_first = before.sources.iter().any(|known| *known.name == *source && known.prefix_count() == 0);
    let all = before.with(&Arc::new(loaded.source));
    let (steering, problems) = compile::steering(config, all);
    outcome.problems.extend(problems);
    config.leave_out_allowed(&mut outcome.problems);
    sort_by_place(&mut outcome.problems);
    let now = Snapshot::clone(&served.snapshot).with_steering(&steering);
    let moves = inspect::moves(&served.snapshot, &now);
    outcome.changes = inspect::changes(&served.snapshot, &now, &moves);
    if !is_first {
        let guard = config.guard.clone().unwrap_or_else(|| GuardConfig::of_fetch(fetch.place.clone()));
        let over = limits_exceeded(&guard, terms, &moves, command);
        if !over.is_empty() {
            outcome.problems.extend(over);
            return None;
        }
    }
    now.areas().for_each(sys::prefer_large_pages);
    outcome.is_accepted = true;
    Some((steering, moves))
}
