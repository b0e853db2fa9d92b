//! The service: everything put together, started, reloaded and stopped.
//!
//! [`run`] compiles the configuration, binds the ports, publishes the snapshot, starts the listeners, and then handles
//! signals: SIGHUP reloads, SIGTERM and SIGINT stop.
//!
//! **Invariants**: no query is answered before everything is ready; a reload that fails changes nothing; each change of
//! state is one log line.
//! **Not here**: the services themselves ([`crate::dns`], [`crate::http`]).

mod candidates;
mod certificates;
mod control;
mod dns;
mod failure;
mod guard;
mod limits;
mod mirrors;
mod prepare;
mod reload;
mod running;
mod states;
mod tries;
mod watch;
mod web;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tracing::{debug, info, warn};

use crate::acme::{AcmeService, OpenedTokens};
use crate::base::diagnostic::Diagnostic;
use crate::base::time::Generation;
use crate::compile::Built;
use crate::config::{Config, row};
use crate::control::{About, Control, OperatorRequests};
use crate::dns::Engine;
use crate::files::{self, FileStates, Intake};
use crate::hosts;
use crate::inspect;
use crate::listen::Common;
use crate::live::{
    self, CandidateInbox, Published, Readiness, ReloadHistory, ReloadInbox, ReloadOutcome, ReloadTerms, ServedConfig,
    SourceStates, Updates,
};
use crate::load::hosts::{Purpose, ServedInputs};
use crate::probe;
use crate::process::work::{self, Lane};
use crate::process::{self, Clock, Signal, Signals, Supervisor, Vital};
use crate::refresh::RefreshService;
use crate::snapshot::{Change, Snapshot};
use crate::telemetry::Collect;
use crate::telemetry::HINTS;
use crate::transfer;
use candidates::JudgedCandidate;
use certificates::Certificates;
use dns::DnsListeners;
use failure::log_warnings;
use failure::one_line;
pub(crate) use failure::{Failure, log_failure};
use guard::{Configured, GuardedReload};
use mirrors::RunningWatcher;
use prepare::{Prepared, prepare};
use reload::{Done, ReloadMetrics, Reloads};
pub(crate) use running::RunningService;
use watch::FileWatch;
use web::{AdminListener, Web, WebPorts};

/// The time in which connections may finish their requests when the server stops; supervisors kill it after ten seconds
/// (Docker) or more.
const GRACE: Duration = Duration::from_secs(5);

/// Compiles a configuration and reads all files that it names, as a start does first.
pub(crate) fn rehearse(path: &Path) -> Result<Built, Vec<Diagnostic>> {
    prepare(path, Generation(1), &Purpose::Check, &Intake::default()).map(|prepared| prepared.built)
}

/// Serves a configuration until told to stop.
pub(crate) fn run(path: &Path) -> Result<(), Failure> {
    if let Err(error) = process::forbid_dumps() {
        warn!(%error, "failed to keep keys out of core files");
    }
    let open_files = process::raise_open_files();
    work::start().map_err(Failure::Threads)?;
    files::start().map_err(Failure::Threads)?;
    let intake = Intake::default();
    let prepared = prepare(path, Generation(1), &Purpose::Start, &intake).map_err(Failure::Config)?;
    log_warnings(&prepared.built.warnings);
    limits::warn_of_open_files(open_files, &prepared.built.config);
    let more = crate::dns::udp_threads(&prepared.built.config.dns) + work::SPARE_THREADS;
    let runtime = work::runtime(more).map_err(Failure::Threads)?;
    let done = runtime.block_on(serve(path, prepared, intake.so_far()));
    // At most a reload is still running, and its outcome is not needed.
    runtime.shutdown_background();
    done
}

async fn serve(path: &Path, prepared: Prepared, read: FileStates) -> Result<(), Failure> {
    let mut signals = Signals::listen().map_err(Failure::system("listen to signals"))?;
    let supervisor = Supervisor::from_environment().map_err(Failure::system("reach the supervisor"))?;
    let (vital, mut ends) = Vital::new();
    let mut watch = FileWatch::new(prepared.built.config.watch, read);
    let mut services = Services::start(prepared, &vital).await?;
    told(supervisor.ready());
    let (published, certificates) = (services.published.clone(), services.certificates.clone());
    let mut reloads = Reloads::new(path, move || ServedInputs::of(&published.load(), certificates.files()));
    loop {
        tokio::select! {
            signal = signals.next() => match signal {
                Signal::Reload => {
                    info!("reloading {}", path.display());
                    told(supervisor.reloading());
                    watch.asked_by_others();
                    reloads.ask();
                }
                Signal::Stop => break,
            },
            ended = ends.next() => return Err(Failure::Ended(ended)),
            changed = watch.changed() => {
                info!("`{}` has changed: reloading {}", changed.display(), path.display());
                told(supervisor.reloading());
                reloads.ask();
            }
            Some(request) = services.asked.recv() => {
                let what = if request.terms.is_dry { "comparing" } else { "reloading" };
                info!("{what} {}, as an operator asked", path.display());
                told(supervisor.reloading());
                if !request.terms.is_dry {
                    watch.asked_by_others();
                }
                reloads.ask_for(request);
            }
            Some(candidate) = services.candidates.recv(), if reloads.are_over() => {
                reloads.judge(services.configured(), candidate);
            }
            done = reloads.next() => match done {
                Done::Judged(judged) => if let Some(judged) = judged {
                    services.take_content(judged).await;
                },
                Done::Reload(outcome, asked) => {
                    let terms = asked.terms();
                    let read = reloads.take_read();
                    let next_watch = (*outcome).as_ref().ok().map(|prepared| prepared.built.config.watch);
                    let outcome = services.reload(*outcome, &terms).await;
                    asked.answer(&outcome);
                    match next_watch {
                        _ if terms.is_dry => {}
                        Some(next) if outcome.is_accepted => watch.served(next, read),
                        _ => watch.refused(read),
                    }
                    if reloads.are_over() {
                        told(supervisor.ready());
                    }
                }
            }
        }
    }
    info!("stopping");
    told(supervisor.stopping());
    tokio::select! {
        () = services.stop() => info!("stopped"),
        () = second_stop(&mut signals) => warn!("stopped at once, as told again"),
    }
    Ok(())
}

async fn second_stop(signals: &mut Signals) {
    while signals.next().await != Signal::Stop {}
}

/// Logs a failed message to the supervisor. The server serves anyway.
fn told(outcome: io::Result<()>) {
    if let Err(error) = outcome {
        debug!(%error, "failed to tell the supervisor");
    }
}

/// Everything that runs.
struct Services {
    /// The configuration of the start, because a reload does not bind ports or start threads again.
    started: Config,
    /// The configuration that is served.
    config: Arc<Config>,
    updates: Updates,
    published: Arc<Published>,
    dns: DnsListeners,
    web: Web,
    mirrors: Option<RunningWatcher>,
    hosts: hosts::HostService,
    control: Option<Control>,
    acme: Option<AcmeService>,
    readiness: Arc<Readiness>,
    transfers: transfer::TransferService,
    certificates: Arc<Certificates>,
    history: Arc<ReloadHistory>,
    /// The requests of operators to reload.
    asked: ReloadInbox,
    refresh: RefreshService,
    /// The conditions of sources.
    sources: SourceStates,
    /// The contents of sources that were fetched.
    candidates: CandidateInbox,
}

impl Services {
    /// Binds all ports, then starts everything.
    async fn start(mut prepared: Prepared, vital: &Vital) -> Result<Self, Failure> {
        let dns_ports = dns::DnsPorts::bind(&prepared.built.config)?;
        let mut ports = WebPorts::bind(&prepared.built.config)?;
        let readiness = Arc::new(Readiness::default());
        let states = states::files();
        let common = Common::new(vital.clone());
        let control = control::open(&prepared.built.config, prepared.group, &readiness, &states, &common)?;
        let desk = control.as_ref().map(control::desk);
        let token = prepared.token.take();
        let admin = AdminListener::start(&mut ports, &prepared.built.config, readiness.clone(), desk, token, &common)?;
        let clock = Clock::start();
        let mut snapshot = prepared.built.snapshot.clone();
        let mut waiting = None;
        if let Some(watch) = prepared.watch.take() {
            let (found, watcher) = RunningWatcher::first_round(watch, snapshot, clock, states.clone()).await;
            (snapshot, waiting) = (found, Some(watcher));
        }
        if let Some(control) = &control {
            snapshot = snapshot.with_overrides(control.overrides().clone());
        }
        let open = |acme| OpenedTokens::open(acme, &states).map_err(Failure::Acme);
        let tokens = prepared.built.config.acme.as_ref().map(open).transpose()?;
        if let Some(tokens) = &tokens {
            snapshot = snapshot.with_tokens(tokens.tokens());
        }
        let (published, updates, publisher) = live::publish(snapshot, move || clock.now());
        let publisher = publisher.free_by(|retired| drop(work::submit(Lane::Compute, move || drop(retired))));
        tokio::spawn(vital.guard("publisher", publisher.run()));
        let moved = Arc::new(Notify::new());
        let mirrors = waiting.map(|waiting| waiting.start(published.clone(), updates.clone(), moved.clone(), vital));
        let config = &prepared.built.config;
        let hosts = hosts::HostService::start(config, published.clone(), updates.clone(), moved, vital, states.clone());
        let mut counters: Vec<Arc<dyn Collect>> =
            vec![hosts.counters(), Arc::new(states::StateMetrics(states.clone()))];
        let (notices, heard) = live::notices();
        let (retransfers, demanded) = live::retransfers();
        let (reloads, asked) = live::reload_requests();
        let (refreshes, refresh_inbox) = live::refresh_requests();
        let (contents, candidates) = live::candidates();
        let sources = SourceStates::default();
        let (queue, inbox) = live::update_queue();
        let acme = tokens.map(|tokens| tokens.start(inbox, published.clone(), updates.clone(), clock, vital));
        let engine = Engine { published: published.clone(), clock, notices, updates: queue };
        let dns = DnsListeners::start(dns_ports, &mut prepared, engine, &mut counters, &common)?;
        let path = std::path::absolute(&*prepared.built.config.file).unwrap_or_default();
        let served = ServedConfig {
            since: Clock::civil(),
            digest: prepared.built.config.digest.clone(),
            restart_keys: Arc::default(),
        };
        let history = Arc::new(ReloadHistory::new(path.display().to_string(), served));
        let metrics =
            ReloadMetrics { history: history.clone(), published: published.clone(), sources: sources.clone() };
        counters.push(Arc::new(metrics));
        let refresh = RefreshService::start(
            &prepared.built.config,
            probe::roots,
            contents,
            published.clone(),
            sources.clone(),
            refresh_inbox,
            vital,
        );
        let certificates = Arc::new(Certificates::default());
        certificates.watch_dns(&prepared, dns.tls());
        counters.push(certificates.clone());
        let snapshot = published.load_full();
        info!("serving {}", tries::amount(&snapshot));
        for line in tries::dns(&snapshot, dns.addresses()) {
            info!(target: HINTS, "try: {line}");
        }
        counters.extend(mirrors.as_ref().map(|mirrors| mirrors.counters() as Arc<dyn Collect>));
        if let Some(control) = &control {
            let probes = mirrors.as_ref().map(RunningWatcher::counters);
            let shown = certificates.clone();
            let certificates = Box::new(move || shown.shown());
            let about = About { probes, history: history.clone(), certificates, sources: sources.clone() };
            let requests = OperatorRequests { retransfers, reloads, refreshes };
            control.start(&published, updates.clone(), clock, requests, about, vital);
            counters.push(control.desk());
        }
        let config = &prepared.built.config;
        let transfers = transfer::TransferService::start(
            config,
            &prepared.encryption,
            published.clone(),
            updates.clone(),
            clock,
            (heard, demanded),
            (vital.clone(), states),
        );
        counters.push(transfers.counters());
        let web = Web::start(ports, admin, &mut prepared, &published, clock, (counters, dns.counters()), &common)?;
        certificates.watch_registry(&prepared, web.registry_tls());
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
    fn configured(&self) -> Configured {
        Configured { config: self.config.clone(), snapshot: self.published.load_full() }
    }

    /// Serves the content of a source that was fetched, judged and kept, and answers its sender.
    async fn take_content(&self, judged: JudgedCandidate) {
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
    async fn reload(&mut self, outcome: Result<Prepared, Vec<Diagnostic>>, terms: &ReloadTerms) -> ReloadOutcome {
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
            let restart_keys = row::needs_restart(&self.started, &prepared.built.config);
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
        self.dns.reload(&mut prepared);
        self.certificates.reload(&prepared);
        let encryption = std::mem::take(&mut prepared.encryption);
        let Built { config, snapshot, warnings } = prepared.built;
        log_warnings(&warnings);
        let restart_keys = row::needs_restart(&self.started, &config);
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
                let served = ServedConfig {
                    since: Clock::civil(),
                    digest: config.digest.clone(),
                    restart_keys: restart_keys.as_slice().into(),
                };
                self.history.note_served(served, reload::kept_words(&reload::kept(&warnings)));
                if let Some(control) = &self.control {
                    control.note_reload();
                }
                if let Some(acme) = &self.acme {
                    acme.note_reload();
                }
                self.transfers.reload(&config, &encryption);
                self.hosts.reload(&config).await;
                self.refresh.reload(&config);
                self.config = Arc::new(config);
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
    async fn stop(self) {
        self.readiness.stop();
        tokio::join!(self.dns.stop(GRACE), self.web.stop(GRACE));
        if let Some(control) = self.control {
            control.stop().await;
        }
    }
}
