//! Everything that runs, changed by reloads and stopped at the end.
//!
//! **Invariants**: a reload that fails changes nothing.
//! **Not here**: the start ([`super::start`]), signals ([`super::run`]), the work of a reload off the threads that answer
//! ([`super::reload`]).

use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use super::bundles;
use super::candidates::JudgedCandidate;
use super::dns::DnsListeners;
use super::failure::{log_problems, one_line};
use super::guard::{Configured, GuardedReload, PUSH_COMMAND, RELOAD_COMMAND};
use super::mirrors::RunningWatcher;
use super::prepare::Prepared;
use super::records::{ServiceRecords, served_config};
use super::reload;
use super::signing::{self, Signing};
use super::tries;
use super::web::Web;
use crate::acme::AcmeService;
use crate::base::diagnostic::Diagnostic;
use crate::base::prefix::Family;
use crate::base::time::Generation;
use crate::compile::Built;
use crate::config::{Config, changed_keys, needs_restart};
use crate::control::{self, Control};
use crate::files;
use crate::hosts::HostService;
use crate::inspect::{self, Moves};
use crate::live::{
    AppliedChange, BundleInbox, CandidateInbox, ChangeCause, KeepBundle, Published, Readiness, ReloadInbox,
    ReloadOutcome, ReloadTerms, Updates,
};
use crate::load::hosts::ServedInputs;
use crate::process::Clock;
use crate::refresh::RefreshService;
use crate::snapshot::{Change, Snapshot};
use crate::tap::TapService;
use crate::transfer::{Encryption, TransferService};

/// The time in which connections may finish their requests when the server stops; supervisors kill it after ten seconds
/// (Docker) or more.
const GRACE: Duration = Duration::from_secs(5);

/// Everything that runs.
pub(super) struct Services {
    /// The configuration of the start, because a reload does not bind ports or start threads again.
    pub(super) started: Config,
    /// The configuration that is served.
    pub(super) config: Arc<Config>,
    pub(super) updates: Updates,
    pub(super) published: Arc<Published>,
    pub(super) signing: Arc<Signing>,
    pub(super) dns: DnsListeners,
    pub(super) web: Web,
    pub(super) mirrors: Option<RunningWatcher>,
    pub(super) hosts: HostService,
    pub(super) control: Option<Control>,
    pub(super) acme: Option<AcmeService>,
    pub(super) readiness: Arc<Readiness>,
    pub(super) transfers: TransferService,
    pub(super) tap: TapService,
    /// The requests of operators to reload.
    pub(super) asked: ReloadInbox,
    /// The bundles of the fleet to load.
    pub(super) bundles: BundleInbox,
    pub(super) refresh: RefreshService,
    /// The contents of sources that were fetched.
    pub(super) candidates: CandidateInbox,
    pub(super) records: ServiceRecords,
}

/// A configuration that the guard lets pass.
struct PassedReload {
    prepared: Prepared,
    /// The snapshot that is served until now.
    before: Arc<Snapshot>,
    /// The outcome if nothing new is served.
    outcome: ReloadOutcome,
    /// The clients that move, and by each changed source the addresses that it moves alone.
    moved: (Moves, Vec<(Arc<str>, u128)>),
}

impl Services {
    /// The served configuration with its snapshot.
    pub(super) fn configured(&self) -> Configured {
        Configured { config: self.config.clone(), snapshot: self.published.load_full() }
    }

    /// Returns a function for the inputs that are served when it is called.
    pub(super) fn inputs(&self) -> impl Fn() -> ServedInputs + Send + use<> {
        let (published, certificates) = (self.published.clone(), self.records.certificates.clone());
        move || ServedInputs::of(&published.load(), certificates.files())
    }

    /// Serves the content of a source that was fetched, judged and kept, and answers its sender.
    pub(super) async fn take_content(&self, judged: JudgedCandidate) {
        let JudgedCandidate { source, steering, mut outcome, reply } = judged;
        if let Some((steering, moves)) = steering.map(|judged| *judged) {
            match self.updates.change_and_wait(Change::Steering(Box::new(steering))).await {
                Ok(generation) => {
                    outcome.generation = generation;
                    self.note_feed(&source, generation, moves);
                    outcome.changes.iter().for_each(|change| info!("{change}"));
                    info!("network {source}: its new content is served with generation {}", generation.0);
                }
                Err(error) => warn!(%error, "failed to publish"),
            }
        }
        // The sender has gone if a reload has changed its source.
        let _ = reply.send(outcome);
    }

    /// Serves the configuration that a reload compiled, or logs its problems.
    pub(super) async fn reload(
        &mut self,
        outcome: Result<Prepared, Vec<Diagnostic>>,
        terms: &ReloadTerms,
    ) -> ReloadOutcome {
        let passed = match self.judge(outcome, terms, RELOAD_COMMAND).await {
            Ok(passed) => passed,
            Err(refused) => return self.refuse(refused),
        };
        if terms.is_dry {
            return ReloadOutcome { problems: passed.prepared.built.warnings, ..passed.outcome };
        }
        self.take_over(passed).await
    }

    /// Serves the bundle that a reload compiled, or logs its problems. `keep` keeps the record of it.
    pub(super) async fn load(
        &mut self,
        outcome: Result<Prepared, Vec<Diagnostic>>,
        terms: &ReloadTerms,
        keep: KeepBundle,
    ) -> ReloadOutcome {
        let passed = match self.judge(outcome, terms, PUSH_COMMAND).await {
            Ok(passed) => passed,
            Err(refused) => return self.reject(refused.problems, refused.changes),
        };
        let found = bundles::judge(&passed.prepared.built.snapshot, &passed.prepared.built.warnings).await;
        if !found.is_empty() {
            return self.reject(found, passed.outcome.changes);
        }
        if let Err(error) = keep.await {
            let problem = Diagnostic::error("not-kept", format!("the bundle cannot be kept: {}", files::words(&error)));
            let help = "check the disk and the folder of `[fleet] state`, then push again";
            return self.reject(vec![problem.help(help)], passed.outcome.changes);
        }
        self.take_over(passed).await
    }

    /// Judges a configuration by the guard. `command` lets a change through. The error is the outcome of a refusal.
    async fn judge(
        &self,
        outcome: Result<Prepared, Vec<Diagnostic>>,
        terms: &ReloadTerms,
        command: &'static str,
    ) -> Result<PassedReload, ReloadOutcome> {
        let (served, before) = (self.configured(), self.published.load_full());
        let refused = |problems, changes| ReloadOutcome {
            is_dry: terms.is_dry,
            generation: before.generation,
            problems,
            changes,
            ..ReloadOutcome::default()
        };
        let mut prepared = outcome.map_err(|problems| refused(problems, Vec::new()))?;
        let new = Configured {
            config: Arc::new(prepared.built.config.clone()),
            snapshot: Arc::new(prepared.built.snapshot.clone()),
        };
        let Some(judged) = reload::judge(served, new, *terms, command).await else {
            let problem = Diagnostic::error("internal", "failed to count the clients that move");
            return Err(refused(vec![problem], Vec::new()));
        };
        let GuardedReload { snapshot, moves, warnings, errors, by_source } = judged;
        let mut changes = inspect::changes(&before, &snapshot, &moves);
        let restart_keys = needs_restart(&self.started, &prepared.built.config);
        changes.extend(changed_keys(&self.config, &prepared.built.config, &changes, &restart_keys));
        prepared.built.warnings.extend(warnings);
        if !errors.is_empty() {
            prepared.built.warnings.extend(errors);
            return Err(refused(prepared.built.warnings, changes));
        }
        let mut remarks = reload::shrunk(&before, &snapshot);
        remarks.extend(signing::unanchored(&before, &snapshot));
        let kept = reload::kept(&prepared.built.warnings);
        let outcome = ReloadOutcome { is_accepted: true, kept, remarks, restart_keys, ..refused(Vec::new(), changes) };
        prepared.built.snapshot = snapshot;
        Ok(PassedReload { prepared, before, outcome, moved: (moves, by_source) })
    }

    /// Logs the problems of a bundle that is not served. It is no reload: the local file may be right.
    fn reject(&self, problems: Vec<Diagnostic>, changes: Vec<String>) -> ReloadOutcome {
        log_problems(&problems);
        let generation = self.published.load().generation;
        ReloadOutcome { generation, problems, changes, ..ReloadOutcome::default() }
    }

    /// Notes the clients that a fetched content moved.
    fn note_feed(&self, source: &Arc<str>, generation: Generation, moves: Moves) {
        let guard = self.records.history.served().guards.get(source).cloned();
        self.records.changes.note_source(source, moves.most_moved(Family::V4));
        let (at, cause) = (Clock::civil(), ChangeCause::Feed(source.clone()));
        self.records.changes.note(AppliedChange { at, cause, generation, guard, moves });
    }

    /// Notes the clients that a reload moved, and those that each changed source moved alone.
    fn note_reload(&self, config: &Config, generation: Generation, (moves, by_source): (Moves, Vec<(Arc<str>, u128)>)) {
        let guard = config.guard.as_ref().map(|guard| guard.moved.to_string());
        self.records.changes.retain(|name| config.networks.iter().any(|network| &*network.name == name));
        by_source.iter().for_each(|(source, moved)| self.records.changes.note_source(source, *moved));
        let (at, cause) = (Clock::civil(), ChangeCause::Reload);
        self.records.changes.note(AppliedChange { at, cause, generation, guard, moves });
    }

    /// Serves a configuration.
    async fn take_over(&mut self, passed: PassedReload) -> ReloadOutcome {
        let PassedReload { mut prepared, before, mut outcome, moved } = passed;
        self.web.reload(&mut prepared);
        self.dns.reload(&prepared.built.config.dns);
        self.tap.prepare(&prepared.built.config);
        self.records.certificates.reload(&prepared.built.config, &prepared.identities);
        let encryption = std::mem::take(&mut prepared.encryption);
        let Built { config, snapshot, warnings } = prepared.built;
        log_problems(&warnings);
        for key in &outcome.restart_keys {
            warn!("`{key}` has changed; that takes a restart, until then it stays as it was");
        }
        let amount = tries::amount(&snapshot);
        for source in reload::refused(&before, &snapshot) {
            self.records.sources.note_refused(&source);
        }
        let snapshot = self.signing.sign_ahead(snapshot).await;
        match self.updates.replace(snapshot).await {
            Ok(Generation(number)) => {
                // Before the log line, so that copies have the new names when an operator reads it.
                self.tap.note_reload(&config);
                self.note_reload(&config, Generation(number), moved);
                outcome.remarks.extend(reload::unraised(&before, &self.published.load_full()));
                outcome.remarks.iter().for_each(|remark| warn!("{remark}"));
                outcome.changes.iter().for_each(|change| info!("{change}"));
                info!("reloaded: generation {number} is served, {amount}");
                let kept = reload::kept_words(&outcome.kept);
                self.note_served(config, &encryption, &outcome.restart_keys, kept).await;
            }
            Err(error) => warn!(%error, "failed to publish"),
        }
        if let Some(running) = &self.mirrors {
            running.reload(prepared.watch).await;
        }
        ReloadOutcome { generation: self.published.load().generation, problems: warnings, ..outcome }
    }

    /// Tells the services that another configuration is served. `kept` names the parts of it that are refused.
    async fn note_served(
        &mut self,
        config: Config,
        encryption: &Encryption,
        restart_keys: &[String],
        kept: Option<String>,
    ) {
        self.records.history.note_served(served_config(&config, restart_keys), kept);
        control::warn_of_gone(&self.published.load());
        if let (Some(acme), Some(config)) = (&self.acme, &config.acme) {
            acme.note_reload(config);
        }
        self.transfers.reload(&config, encryption);
        self.hosts.reload(&config).await;
        self.refresh.reload(&config);
        self.config = Arc::new(config);
    }

    /// Logs the problems of a configuration that is not served. A dry one is the operator's alone.
    fn refuse(&self, refused: ReloadOutcome) -> ReloadOutcome {
        if !refused.is_dry {
            let problems = &refused.problems;
            let first = problems.iter().find(|problem| problem.is_error()).or(problems.first());
            self.records.history.note_refused(Clock::civil(), first.map(one_line).unwrap_or_default());
            reload::log_failure(problems);
        }
        ReloadOutcome { generation: self.published.load().generation, ..refused }
    }

    /// Opens the request log again, as a program that has renamed it asks by SIGUSR1.
    pub(super) fn reopen_log(&self) {
        if !self.web.reopen_log() {
            info!("SIGUSR1 opens the request log again, and there is no registry listener that has one");
        }
    }

    /// Finishes the requests in flight.
    pub(super) async fn stop(self) {
        self.readiness.stop();
        let keep = tokio::time::timeout(GRACE, self.records.chronicle.keep());
        // A disk that hangs costs the last minutes of the history, and does not delay the end.
        let (_, _, _) = tokio::join!(self.dns.stop(GRACE), self.web.stop(GRACE), keep);
        self.tap.stop().await;
        if let Some(control) = self.control {
            control.stop().await;
        }
    }
}
