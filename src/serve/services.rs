//! Everything that runs: started once, changed by reloads, stopped at the end.
//!
//! **Invariants**: no query is answered before everything is ready; a reload that fails changes nothing.
//! **Not here**: signals ([`super::run`]), the work of a reload off the threads that answer ([`super::reload`]).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tracing::{info, warn};

use super::candidates::JudgedCandidate;
use super::certificates::Certificates;
use super::dns::{DnsListeners, DnsPorts};
use super::failure::{Failure, log_warnings, one_line};
use super::guard::{Configured, GuardedReload};
use super::mirrors::{RunningWatcher, WaitingWatcher};
use super::prepare::Prepared;
use super::reload::{self, ReloadMetrics};
use super::states::{self, StateMetrics};
use super::tries;
use super::web::{AdminListener, Web, WebPorts};
use crate::acme::{AcmeService, OpenedTokens};
use crate::base::diagnostic::Diagnostic;
use crate::base::time::Generation;
use crate::compile::Built;
use crate::config::{AcmeConfig, Config, needs_restart};
use crate::control::{About, Control, OperatorRequests};
use crate::dns::Engine;
use crate::hosts::HostService;
use crate::inspect;
use crate::listen::Common;
use crate::live::{
    self, CandidateInbox, Published, Readiness, ReloadHistory, ReloadInbox, ReloadOutcome, ReloadTerms, ServedConfig,
    SourceStates, Updates,
};
use crate::load::hosts::ServedInputs;
use crate::probe;
use crate::process::state::StateFiles;
use crate::process::work::{self, Lane};
use crate::process::{Clock, Vital};
use crate::refresh::RefreshService;
use crate::snapshot::{Change, Snapshot};
use crate::telemetry::{Collect, HINTS};
use crate::transfer::{Encryption, TransferService};

/// The time in which connections may finish their requests when the server stops; supervisors kill it after ten seconds
/// (Docker) or more.
const GRACE: Duration = Duration::from_secs(5);

/// Everything that runs.
pub(super) struct Services {
    /// The configuration of the start, because a reload does not bind ports or start threads again.
    started: Config,
    /// The configuration that is served.
    config: Arc<Config>,
    updates: Updates,
    published: Arc<Published>,
    pub(super) dns: DnsListeners,
    pub(super) web: Web,
    mirrors: Option<RunningWatcher>,
    hosts: HostService,
    control: Option<Control>,
    acme: Option<AcmeService>,
    readiness: Arc<Readiness>,
    transfers: TransferService,
    certificates: Arc<Certificates>,
    history: Arc<ReloadHistory>,
    /// The requests of operators to reload.
    pub(super) asked: ReloadInbox,
    refresh: RefreshService,
    /// The conditions of sources.
    sources: SourceStates,
    /// The contents of sources that were fetched.
    pub(super) candidates: CandidateInbox,
}

impl Services {
    /// Binds all ports, then starts everything.
    pub(super) async fn start(mut prepared: Prepared, vital: &Vital) -> Result<Self, Failure> {
        let opened = Opened::open(&mut prepared, vital)?;
        let clock = Clock::start();
        let FirstSnapshot { snapshot, watcher, tokens } = opened.first_snapshot(&mut prepared, clock).await?;
        let Opened { dns_ports, web_ports, readiness, states, common, control, admin } = opened;
        let (published, updates) = publish(snapshot, clock, vital);
        let moved = Arc::new(Notify::new());
        let mirrors = watcher.map(|watcher| watcher.start(published.clone(), updates.clone(), moved.clone(), vital));
        let config = &prepared.built.config;
        let hosts = HostService::start(config, published.clone(), updates.clone(), moved, vital, states.clone());
        let mut counters: Vec<Arc<dyn Collect>> = vec![hosts.counters(), Arc::new(StateMetrics(states.clone()))];
        let (notices, heard) = live::notices();
        let (retransfers, demanded) = live::retransfers();
        let (reloads, asked) = live::reload_requests();
        let (refreshes, refresh_inbox) = live::refresh_requests();
        let (contents, candidates) = live::candidates();
        let (queue, inbox) = live::update_queue();
        let start = |(tokens, acme): (OpenedTokens, &AcmeConfig)| {
            tokens.start(acme, inbox, published.clone(), updates.clone(), clock, vital)
        };
        let acme = tokens.zip(config.acme.as_ref()).map(start);
        counters.extend(acme.as_ref().map(AcmeService::counters));
        let engine = Engine { published: published.clone(), clock, notices, updates: queue };
        let dns = DnsListeners::start(dns_ports, &prepared, engine, &mut counters, &common)?;
        let (history, sources) = (Arc::new(first_history(config)), SourceStates::default());
        let metrics =
            ReloadMetrics { history: history.clone(), published: published.clone(), sources: sources.clone() };
        counters.push(Arc::new(metrics));
        let (served, states_of) = (published.clone(), sources.clone());
        let refresh = RefreshService::start(config, probe::roots, contents, served, states_of, refresh_inbox, vital);
        let certificates = Arc::new(Certificates::default());
        certificates.watch_dns(config, &prepared.identities, dns.tls());
        counters.push(certificates.clone());
        announce(&published.load_full(), &dns);
        counters.extend(mirrors.as_ref().map(|mirrors| mirrors.counters() as Arc<dyn Collect>));
        if let Some(control) = &control {
            let probes = mirrors.as_ref().map(RunningWatcher::counters);
            let shown = certificates.clone();
            let certificates = Box::new(move || shown.shown());
            let acme = acme.as_ref().map(AcmeService::standing);
            let about = About { probes, history: history.clone(), certificates, sources: sources.clone(), acme };
            let requests = OperatorRequests { retransfers, reloads, refreshes };
            control.start(&published, updates.clone(), clock, requests, about, vital);
            counters.push(control.desk());
        }
        let transfers = TransferService::start(
            config,
            &prepared.encryption,
            published.clone(),
            updates.clone(),
            clock,
            (heard, demanded),
            (vital.clone(), states),
        );
        counters.push(transfers.counters());
        let counters = (counters, dns.counters());
        let web = Web::start(web_ports, admin, &mut prepared, &published, clock, counters, &common)?;
        certificates.watch_registry(&prepared.built.config, &prepared.identities, web.registry_tls());
        tokio::spawn(vital.guard("watcher of certificates", certificates.clone().run()));
        let started = prepared.built.config;
        readiness.serve();
        Ok(Services {
            config: Arc::new(started.clone()),
            started,
            updates,
            published,
            dns,
            web,
            mirrors,
            hosts,
            control,
            acme,
            readiness,
            transfers,
            certificates,
            history,
            asked,
            refresh,
            sources,
            candidates,
        })
    }

    /// The served configuration with its snapshot.
    pub(super) fn configured(&self) -> Configured {
        Configured { config: self.config.clone(), snapshot: self.published.load_full() }
    }

    /// Returns a function for the inputs that are served when it is called.
    pub(super) fn inputs(&self) -> impl Fn() -> ServedInputs + Send + use<> {
        let (published, certificates) = (self.published.clone(), self.certificates.clone());
        move || ServedInputs::of(&published.load(), certificates.files())
    }

    /// Serves the content of a source that was fetched, judged and kept, and answers its sender.
    pub(super) async fn take_content(&self, judged: JudgedCandidate) {
        let JudgedCandidate { source, steering, mut outcome, reply } = judged;
        if let Some(steering) = steering {
            match self.updates.change_and_wait(Change::Steering(Box::new(steering))).await {
                Ok(generation) => {
                    outcome.generation = generation;
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
        let mut prepared = match outcome {
            Ok(prepared) => prepared,
            Err(problems) => return self.refuse(problems, Vec::new(), terms),
        };
        let before = self.published.load_full();
        let new = Configured {
            config: Arc::new(prepared.built.config.clone()),
            snapshot: Arc::new(prepared.built.snapshot.clone()),
        };
        let Some(judged) = reload::judge(self.configured(), new, *terms).await else {
            let problem = Diagnostic::error("internal", "failed to count the clients that move");
            return self.refuse(vec![problem], Vec::new(), terms);
        };
        let GuardedReload { snapshot, moves, warnings, errors } = judged;
        prepared.built.snapshot = snapshot;
        prepared.built.warnings.extend(warnings);
        let changes = inspect::changes(&before, &prepared.built.snapshot, &moves);
        if !errors.is_empty() {
            let mut problems = prepared.built.warnings;
            problems.extend(errors);
            return self.refuse(problems, changes, terms);
        }
        if terms.is_dry {
            let restart_keys = needs_restart(&self.started, &prepared.built.config);
            let (generation, problems) = (before.generation, prepared.built.warnings);
            let remarks = reload::shrunk(&before, &prepared.built.snapshot);
            return ReloadOutcome {
                is_accepted: true,
                kept: reload::kept(&problems),
                is_dry: true,
                generation,
                problems,
                changes,
                remarks,
                restart_keys,
            };
        }
        self.take_over(prepared, &before, changes).await
    }

    /// Serves a configuration. `before` is the snapshot that it replaces, and `changes` are the differences in words.
    async fn take_over(&mut self, mut prepared: Prepared, before: &Snapshot, changes: Vec<String>) -> ReloadOutcome {
        self.web.reload(&mut prepared);
        self.dns.reload(&prepared.built.config.dns);
        self.certificates.reload(&prepared.built.config, &prepared.identities);
        let encryption = std::mem::take(&mut prepared.encryption);
        let Built { config, snapshot, warnings } = prepared.built;
        log_warnings(&warnings);
        let restart_keys = needs_restart(&self.started, &config);
        for key in &restart_keys {
            warn!("`{key}` has changed; that takes a restart, until then it stays as it was");
        }
        let mut remarks = reload::shrunk(before, &snapshot);
        let amount = tries::amount(&snapshot);
        for source in reload::refused(before, &snapshot) {
            self.sources.note_refused(&source);
        }
        match self.updates.replace(snapshot).await {
            Ok(Generation(number)) => {
                remarks.extend(reload::unraised(before, &self.published.load_full()));
                remarks.iter().for_each(|remark| warn!("{remark}"));
                changes.iter().for_each(|change| info!("{change}"));
                info!("reloaded: generation {number} is served, {amount}");
                let kept = reload::kept_words(&reload::kept(&warnings));
                self.note_served(config, &encryption, &restart_keys, kept).await;
            }
            Err(error) => warn!(%error, "failed to publish"),
        }
        if let Some(running) = &self.mirrors {
            running.reload(prepared.watch).await;
        }
        let generation = self.published.load().generation;
        ReloadOutcome {
            is_accepted: true,
            kept: reload::kept(&warnings),
            is_dry: false,
            generation,
            problems: warnings,
            changes,
            remarks,
            restart_keys,
        }
    }

    /// Tells the services that another configuration is served. `kept` names the parts of it that are refused.
    async fn note_served(
        &mut self,
        config: Config,
        encryption: &Encryption,
        restart_keys: &[String],
        kept: Option<String>,
    ) {
        self.history.note_served(served_config(&config, restart_keys), kept);
        if let Some(control) = &self.control {
            control.note_reload();
        }
        if let (Some(acme), Some(config)) = (&self.acme, &config.acme) {
            acme.note_reload(config);
        }
        self.transfers.reload(&config, encryption);
        self.hosts.reload(&config).await;
        self.refresh.reload(&config);
        self.config = Arc::new(config);
    }

    /// Logs the problems of a configuration that is not served. A dry one is the operator's alone.
    fn refuse(&self, problems: Vec<Diagnostic>, changes: Vec<String>, terms: &ReloadTerms) -> ReloadOutcome {
        if !terms.is_dry {
            let first = problems.iter().find(|problem| problem.is_error()).or(problems.first());
            let refused = first.map(one_line).unwrap_or_default();
            self.history.note_refused(Clock::civil(), refused);
            reload::log_failure(&problems);
        }
        let generation = self.published.load().generation;
        ReloadOutcome { is_dry: terms.is_dry, generation, problems, changes, ..ReloadOutcome::default() }
    }

    /// Finishes the requests in flight.
    pub(super) async fn stop(self) {
        self.readiness.stop();
        tokio::join!(self.dns.stop(GRACE), self.web.stop(GRACE));
        if let Some(control) = self.control {
            control.stop().await;
        }
    }
}

/// The parts of a start that come before the first snapshot: bound ports, and the listeners for operators.
struct Opened {
    dns_ports: DnsPorts,
    web_ports: WebPorts,
    readiness: Arc<Readiness>,
    states: StateFiles,
    common: Common,
    control: Option<Control>,
    admin: Option<AdminListener>,
}

/// The snapshot to publish first, and the services that have added to it.
struct FirstSnapshot {
    snapshot: Snapshot,
    watcher: Option<WaitingWatcher>,
    tokens: Option<OpenedTokens>,
}

impl Opened {
    /// Binds all ports. The control socket and the admin listener answer from now on.
    fn open(prepared: &mut Prepared, vital: &Vital) -> Result<Self, Failure> {
        let config = &prepared.built.config;
        let dns_ports = DnsPorts::bind(config)?;
        let mut web_ports = WebPorts::bind(config)?;
        let readiness = Arc::new(Readiness::default());
        let states = states::files();
        let common = Common::new(vital.clone());
        let control = super::control::open(config, prepared.group, &readiness, &states, &common)?;
        let desk = control.as_ref().map(super::control::desk);
        let token = prepared.token.take();
        let admin = AdminListener::start(&mut web_ports, config, readiness.clone(), desk, token, &common)?;
        Ok(Opened { dns_ports, web_ports, readiness, states, common, control, admin })
    }

    /// Adds the results of the first probes, the overrides in force, and the tokens of ACME challenges to the compiled snapshot.
    async fn first_snapshot(&self, prepared: &mut Prepared, clock: Clock) -> Result<FirstSnapshot, Failure> {
        let mut snapshot = prepared.built.snapshot.clone();
        let mut watcher = None;
        if let Some(watch) = prepared.watch.take() {
            let (found, waiting) = RunningWatcher::first_round(watch, snapshot, clock, self.states.clone()).await;
            (snapshot, watcher) = (found, Some(waiting));
        }
        if let Some(control) = &self.control {
            snapshot = snapshot.with_overrides(control.overrides().clone());
        }
        let open = |acme| OpenedTokens::open(acme, &self.states).map_err(Failure::Acme);
        let tokens = prepared.built.config.acme.as_ref().map(open).transpose()?;
        if let Some(tokens) = &tokens {
            snapshot = snapshot.with_tokens(tokens.tokens());
        }
        Ok(FirstSnapshot { snapshot, watcher, tokens })
    }
}

/// Publishes the first snapshot, and starts the task that publishes changes.
fn publish(snapshot: Snapshot, clock: Clock, vital: &Vital) -> (Arc<Published>, Updates) {
    let (published, updates, publisher) = live::publish(snapshot, move || clock.now());
    let publisher = publisher.free_by(|retired| drop(work::submit(Lane::Compute, move || drop(retired))));
    tokio::spawn(vital.guard("publisher", publisher.run()));
    (published, updates)
}

fn first_history(config: &Config) -> ReloadHistory {
    let path = std::path::absolute(&*config.file).unwrap_or_default();
    ReloadHistory::new(path.display().to_string(), served_config(config, &[]))
}

/// A configuration that is served from now on.
fn served_config(config: &Config, restart_keys: &[String]) -> ServedConfig {
    ServedConfig { since: Clock::civil(), digest: config.digest.clone(), restart_keys: restart_keys.into() }
}

/// Logs the size of the first snapshot, and commands to try.
fn announce(snapshot: &Snapshot, dns: &DnsListeners) {
    info!("serving {}", tries::amount(snapshot));
    for line in tries::dns(snapshot, dns.addresses()) {
        info!(target: HINTS, "try: {line}");
    }
}
