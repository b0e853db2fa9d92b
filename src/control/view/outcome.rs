//! The views of the outcomes of requests: overrides, transfers, reloads, fetches.
//!
//! **Not here**: carrying out the requests ([`crate::control`]).

use serde::{Deserialize, Serialize};

use super::FleetToldView;
use crate::base::diagnostic::{Look, Style};
use crate::base::report::{report, report_json};
use crate::base::time::Generation;
use crate::inspect::view::OverrideView;
use crate::live::{RefreshOutcome, ReloadOutcome};

/// The outcome of setting or removing an override.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct DoneView {
    pub(crate) mirror: String,
    /// The override in force now; null if there is none.
    pub(crate) order: Option<OverrideView>,
    /// The override that was in force before; null if there was none.
    pub(crate) before: Option<OverrideView>,
    /// The first snapshot with the change; null if nothing changed.
    pub(crate) generation: Option<u64>,
    /// The consequence of an override that leaves a horizon without a mirror that is up; null without such a horizon, or with
    /// `force`.
    pub(crate) warning: Option<String>,
    /// False without `[probe]`: a mirror without an override counts as up.
    #[serde(default = "super::yes")]
    pub(crate) probed: bool,
    /// The other servers of the fleet, and what each has of the change; empty for a server alone.
    #[serde(default)]
    pub(crate) fleet: Vec<FleetToldView>,
    /// The reason why the change may not reach the other servers; null if there is none.
    pub(crate) fleet_fault: Option<String>,
}

/// The outcome of draining or undraining the server.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct DrainView {
    /// The override that takes the server out of service now.
    pub(crate) drain: Option<OverrideView>,
    /// The one before.
    pub(crate) before: Option<OverrideView>,
}

/// A zone that was fetched whole.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct RetransferView {
    pub(crate) zone: String,
    /// The serial that was served before; null if there was no usable copy.
    pub(crate) before: Option<u32>,
    /// The serial that is served now.
    pub(crate) serial: u32,
    /// The primary's address.
    pub(crate) primary: String,
}

/// `/reload`: the outcome of a reload.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct ReloadOutcomeView {
    /// True if the new configuration is not served, or a part of it is not; the one before it, or that part of it, is.
    pub(crate) refused: bool,
    /// True if the new configuration is served, maybe without a part of it.
    pub(crate) accepted: bool,
    /// A sentence for each part of it that is refused, and served as before.
    pub(crate) kept: Vec<String>,
    /// True if nothing new is served, because the request was to compare alone.
    pub(crate) dry_run: bool,
    /// The generation that is served.
    pub(crate) generation: u64,
    /// A sentence for each thing that differs from the configuration before.
    pub(crate) changes: Vec<String>,
    /// A sentence for each change that an operator should look at.
    pub(crate) remarks: Vec<String>,
    /// The keys whose new values take a restart.
    pub(crate) restart_keys: Vec<String>,
    /// The problems, as `check --json` has them.
    pub(crate) problems: Vec<serde_json::Value>,
    /// The problems, as `check` prints them.
    pub(crate) report: String,
}

impl ReloadOutcomeView {
    pub(in crate::control) fn of(outcome: &ReloadOutcome, width: Option<usize>) -> Self {
        let problems = report_json(&outcome.problems);
        ReloadOutcomeView {
            refused: outcome.is_refused(),
            accepted: outcome.is_accepted,
            kept: outcome.kept.clone(),
            dry_run: outcome.is_dry,
            generation: outcome.generation.0,
            changes: outcome.changes.clone(),
            remarks: outcome.remarks.clone(),
            restart_keys: outcome.restart_keys.clone(),
            problems: problems.lines().filter_map(|line| serde_json::from_str(line).ok()).collect(),
            report: report(&outcome.problems, Look { style: Style::Plain, width }),
        }
    }
}

/// `/refresh`: the outcomes of fetches.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct RefreshView {
    /// True if the content of some source could not be fetched, or is refused.
    pub(crate) refused: bool,
    /// True if nothing new is served, because the request was to compare alone.
    pub(crate) dry_run: bool,
    /// The generation that is served.
    pub(crate) generation: u64,
    /// The sources that were asked for.
    pub(crate) sources: Vec<RefreshedView>,
}

/// The outcome of fetching one source.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct RefreshedView {
    pub(crate) source: String,
    /// `taken`, `unchanged`, `rejected`, `refused` or `failed`.
    pub(crate) outcome: String,
    /// The reason of `refused` and `failed`.
    pub(crate) reason: Option<String>,
    /// A sentence for each thing that differs from the served content.
    pub(crate) changes: Vec<String>,
    /// The problems of the content, as `check --json` has them.
    pub(crate) problems: Vec<serde_json::Value>,
    /// The problems of the content, as `check` prints them.
    pub(crate) report: String,
}

impl RefreshView {
    pub(in crate::control) fn of(
        outcomes: &[RefreshOutcome],
        is_dry: bool,
        generation: Generation,
        width: Option<usize>,
    ) -> Self {
        let view = |one: &RefreshOutcome| {
            let judged = one.judged.as_ref().map(|judged| ReloadOutcomeView::of(judged, width));
            let (changes, problems, report) =
                judged.map(|judged| (judged.changes, judged.problems, judged.report)).unwrap_or_default();
            RefreshedView {
                source: one.source.to_string(),
                outcome: one.outcome.as_str().to_string(),
                reason: one.outcome.reason().map(Into::into),
                changes,
                problems,
                report,
            }
        };
        RefreshView {
            refused: outcomes.iter().any(|one| one.outcome.is_bad()),
            dry_run: is_dry,
            generation: generation.0,
            sources: outcomes.iter().map(view).collect(),
        }
    }
}
