//! The start of the service: ports and listeners for operators, then the first snapshot, then everything else.
//!
//! **Invariants**: no query is answered before everything is ready.
//! **Not here**: the services themselves ([`super::services`] has all of them).

use std::path::Path;
use std::sync::Arc;

use tokio::sync::Notify;
use tracing::info;

use super::certificates::Certificates;
use super::dns::{DnsListeners, DnsPorts};
use super::failure::Failure;
use super::fleet::{FleetBundles, WaitingFleet};
use super::identities::TlsListener;
use super::mirrors::{RunningWatcher, WaitingWatcher};
use super::prepare::Prepared;
use super::reload::ReloadMetrics;
use super::services::{Services, served_config};
use super::signing::Signing;
use super::states::{self, StateMetrics};
use super::tries;
use super::web::{AdminListener, Web, WebPorts};
use crate::acme::{AcmeService, OpenedTokens};
use crate::config::{AcmeConfig, Config, FleetConfig};
use crate::control::{self, About, Caller, Chronicle, Control, Desk, FleetAbout, OperatorRequests};
use crate::dns::Engine;
use crate::files;
use crate::hosts::HostService;
use crate::http::DeskHandler;
use crate::listen::Common;
use crate::live::{self, AppliedChanges, FleetViews, Published, Readiness, ReloadHistory, SourceStates, Updates};
use crate::probe::{self, FleetJudge};
use crate::process::state::StateFiles;
use crate::process::work::{self, Lane};
use crate::process::{Clock, Vital};
use crate::refresh::{RefreshGround, RefreshService};
use crate::sharing::{FleetService, KeptRollout};
use crate::snapshot::Snapshot;
use crate::tap::TapService;
use crate::telemetry::http::Http;
use crate::telemetry::tap::Taps;
use crate::telemetry::traffic::Traffic;
use crate::telemetry::{Collect, HINTS};
use crate::transfer::TransferService;

impl Services {
    /// Binds all ports, then starts everything.
    ///
    /// `path` is that of the configuration, and `last` the record of the fleet's bundles.
    pub(super) async fn start(
        mut prepared: Prepared,
        path: &Path,
        last: KeptRollout,
        vital: &Vital,
    ) -> Result<Self, Failure> {
        let opened = Opened::open(&mut prepared, vital)?;
        let clock = Clock::start();
        let fleet = prepared.fleet.take().zip(prepared.built.config.fleet.as_ref());
        let fleet = fleet.map(|(fleet, config)| WaitingFleet::new(fleet, config));
        let (snapshot, watcher, tokens) = opened.first_snapshot(&mut prepared, fleet.as_ref(), clock).await?;
        let Opened { dns_ports, web_ports, readiness, states, common, desk, mut control, admin } = opened;
        let signing = Signing::open(&prepared.built.config, &states);
        let snapshot = signing.sign_ahead(snapshot).await;
        let views = fleet.as_ref().map(|fleet| fleet.views.clone());
        let (published, updates) = publish(snapshot, &signing, views, clock, vital);
        signing.start(published.clone(), updates.clone(), vital);
        let moved = Arc::new(Notify::new());
        let mirrors = watcher.map(|watcher| watcher.start(published.clone(), updates.clone(), moved.clone(), vital));
        let config = &prepared.built.config;
        let hosts = HostService::start(config, published.clone(), updates.clone(), moved, vital, states.clone());
        let mut counters: Vec<Arc<dyn Collect>> = vec![hosts.counters(), Arc::new(StateMetrics(states.clone()))];
        counters.push(signing.metrics(published.clone()));
        let (notices, heard) = live::notices();
        let (retransfers, demanded) = live::requests();
        let (reloads, asked) = live::requests();
        let (refreshes, refresh_inbox) = live::requests();
        let (loads, bundles) = live::requests();
        let (contents, candidates) = live::requests();
        let (queue, inbox) = live::update_queue();
        let start = |(tokens, acme): (OpenedTokens, &AcmeConfig)| {
            tokens.start(acme, inbox, published.clone(), updates.clone(), clock, vital)
        };
        let acme = tokens.zip(config.acme.as_ref()).map(start);
        counters.extend(acme.as_ref().map(AcmeService::counters));
        let taps = Taps::new(Clock::civil_nanos);
        if config.dnstap.is_some() {
            taps.prepare();
        }
        counters.push(taps.clone());
        let tap = taps.shared(work::cores());
        let engine = Engine { published: published.clone(), clock, notices, updates: queue.clone(), tap };
        let dns = DnsListeners::start(dns_ports, &prepared, engine, &mut counters, &common)?;
        let (history, sources) = (Arc::new(first_history(config)), SourceStates::default());
        let metrics =
            ReloadMetrics { history: history.clone(), published: published.clone(), sources: sources.clone() };
        counters.push(Arc::new(metrics));
        let ground = RefreshGround {
            roots: probe::roots,
            contents,
            published: published.clone(),
            states: sources.clone(),
            fleet: fleet.as_ref().map(|fleet| fleet.sources.clone()),
        };
        let refresh = RefreshService::start(config, ground, refresh_inbox, vital);
        let certificates = Arc::new(Certificates::default());
        counters.push(certificates.clone());
        let tap = TapService::start(config, taps, published.clone(), vital);
        announce(&published.load_full(), &dns);
        counters.extend(mirrors.as_ref().map(|mirrors| mirrors.counters.clone() as Arc<dyn Collect>));
        let changes = AppliedChanges::default();
        let chronicle = chronicle(config, &states);
        let http = config.registry.as_ref().map(|_| Arc::new(Http::default()));
        let traffic = Traffic { dns: dns.counters.clone(), http };
        let shown = certificates.clone();
        let of_fleet = FleetBundles { path: path.to_path_buf(), last, loads, states: states.clone() };
        let start = |((fleet, config), control): ((WaitingFleet, &FleetConfig), &mut Control)| {
            fleet.start((config, control), of_fleet, (&published, &history), dns.counters.clone(), clock, vital)
        };
        let awaiting = fleet.as_ref().map(|fleet| fleet.awaiting.clone()).unwrap_or_default();
        let fleet = fleet.zip(config.fleet.as_ref()).zip(control.as_mut()).and_then(start);
        counters.extend(fleet.as_ref().map(|(service, _)| service.counters()));
        let about_fleet = |(service, forget): (FleetService, _)| {
            let FleetService { standing, rollout, .. } = service;
            FleetAbout { standing, awaiting, rollout, forget }
        };
        let about = About {
            fleet: fleet.map(about_fleet),
            probes: mirrors.as_ref().map(|mirrors| mirrors.counters.clone()),
            history: history.clone(),
            certificates: Box::new(move || shown.shown()),
            sources: sources.clone(),
            acme: acme.as_ref().map(AcmeService::standing),
            traffic: traffic.clone(),
            host_name: files::host_name(),
            changes: changes.clone(),
            chronicle: chronicle.clone(),
        };
        let (watched, seen) = (published.clone(), about.probes.clone());
        tokio::spawn(vital.guard("chronicle", chronicle.clone().run(watched, seen, traffic.clone())));
        let requests = OperatorRequests { retransfers, reloads, refreshes };
        match &mut control {
            Some(control) => {
                control.start(&published, updates.clone(), clock, requests, about, vital);
                counters.push(desk);
            }
            None => control::open_for_readers(&desk, &published, clock, requests, about),
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
        let counters = (counters, &traffic);
        let web = Web::start(web_ports, admin, &mut prepared, &published, (clock, queue), counters, &common)?;
        for (listener, served) in [(TlsListener::Dns, &*dns.tls)].into_iter().chain(web.tls()) {
            certificates.watch(listener, &prepared.built.config, &prepared.identities, served);
        }
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
            tap,
            certificates,
            history,
            asked,
            bundles,
            refresh,
            signing,
            sources,
            candidates,
            changes,
            chronicle,
        })
    }
}

/// The parts of a start that come before the first snapshot: bound ports, and the listeners for operators.
struct Opened {
    dns_ports: DnsPorts,
    web_ports: WebPorts,
    readiness: Arc<Readiness>,
    states: StateFiles,
    common: Common,
    desk: Arc<Desk>,
    control: Option<Control>,
    admin: Option<AdminListener>,
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
        let desk = Arc::new(Desk::new(readiness.clone(), states.clone()));
        let open = |control| {
            let (readiness, states, desk) = (readiness.clone(), states.clone(), desk.clone());
            Control::open(control, prepared.group, readiness, states, desk, config.fleet.as_ref(), &common)
        };
        let control = config.control.as_ref().map(open).transpose().map_err(Failure::Control)?;
        let handler = handler(desk.clone());
        let token = (prepared.token.take(), prepared.identities.of(TlsListener::Admin));
        let admin = AdminListener::start(&mut web_ports, config, readiness.clone(), handler, token, &common)?;
        Ok(Opened { dns_ports, web_ports, readiness, states, common, desk, control, admin })
    }

    /// Adds the results of the first probes, the overrides in force, and the tokens of ACME challenges to the compiled snapshot.
    /// Returns it with the services that have added to it.
    async fn first_snapshot(
        &self,
        prepared: &mut Prepared,
        fleet: Option<&WaitingFleet>,
        clock: Clock,
    ) -> Result<(Snapshot, Option<WaitingWatcher>, Option<OpenedTokens>), Failure> {
        let mut snapshot = prepared.built.snapshot.clone();
        let mut watcher = None;
        let judge = fleet.map(|fleet| FleetJudge::new(fleet.views.clone()));
        if let Some(watch) = prepared.watch.take() {
            let (found, waiting) =
                RunningWatcher::first_round(watch, snapshot, judge, clock, self.states.clone()).await;
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
        Ok((snapshot, watcher, tokens))
    }
}

/// The desk as a handler of the admin listener.
fn handler(desk: Arc<Desk>) -> DeskHandler {
    Arc::new(move |address, head, body| {
        let desk = desk.clone();
        Box::pin(async move { desk.answer(Caller::Token(address), head, body).await })
    })
}

/// Publishes the first snapshot, and starts the task that publishes changes.
fn publish(
    snapshot: Snapshot,
    signing: &Signing,
    views: Option<Arc<FleetViews>>,
    clock: Clock,
    vital: &Vital,
) -> (Arc<Published>, Updates) {
    let (published, updates, mut publisher) = live::publish(snapshot, move || clock.now());
    publisher.signatory = Some(signing.signatory.clone());
    publisher.views = views;
    publisher.free = |retired| drop(work::submit(Lane::Compute, move || drop(retired)));
    tokio::spawn(vital.guard("publisher", publisher.run()));
    (published, updates)
}

/// The history of mirrors, with that of the run before if `[admin] state` has one.
fn chronicle(config: &Config, states: &StateFiles) -> Chronicle {
    let path = config.admin.as_ref().and_then(|admin| admin.state.clone());
    Chronicle::open(path.map(|path| states.file(path, &control::HISTORY, control::HISTORY_UNKEPT)))
}

fn first_history(config: &Config) -> ReloadHistory {
    let path = std::path::absolute(&*config.file).unwrap_or_default();
    ReloadHistory::new(path.display().to_string(), served_config(config, &[]))
}

/// Logs the size of the first snapshot, and commands to try.
fn announce(snapshot: &Snapshot, dns: &DnsListeners) {
    info!("serving {}", tries::amount(snapshot));
    for line in tries::dns(snapshot, dns.addresses()) {
        info!(target: HINTS, "try: {line}");
    }
}
