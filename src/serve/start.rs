//! The start of the service: ports and listeners for operators, then the first snapshot, then everything else.
//!
//! **Invariants**: no query is answered before everything is ready.
//! **Not here**: the services themselves ([`super::services`] has all of them).

use std::path::Path;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::sync::mpsc::Receiver;
use tracing::info;

use super::dns::{DnsListeners, DnsPorts};
use super::failure::Failure;
use super::fleet::{FleetBundles, WaitingFleet};
use super::identities::TlsListener;
use super::mirrors::{RunningWatcher, WaitingWatcher};
use super::prepare::Prepared;
use super::records::ServiceRecords;
use super::services::Services;
use super::signing::Signing;
use super::states::{self, StateMetrics};
use super::tries;
use super::web::{AdminListener, Web, WebPorts};
use crate::acme::{AcmeService, OpenedTokens};
use crate::base::name::NameBuf;
use crate::config::Config;
use crate::control::{self, About, Caller, Control, Desk, OperatorRequests};
use crate::dns::Engine;
use crate::hosts::HostService;
use crate::http::DeskHandler;
use crate::listen::Common;
use crate::live::{
    self, Candidates, FleetSources, Notices, Published, Readiness, RefreshInbox, RetransferInbox, UpdateQueue, Updates,
};
use crate::probe::{self, FleetJudge};
use crate::process::state::StateFiles;
use crate::process::work::{self, Lane};
use crate::process::{Clock, Vital};
use crate::refresh::{RefreshGround, RefreshService};
use crate::sharing::KeptRollout;
use crate::snapshot::Snapshot;
use crate::tap::TapService;
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
        let config = &prepared.built.config;
        let (ground, signing) = ServiceGround::publish(snapshot, config, fleet.as_ref(), states, clock, vital).await;
        let ServiceGround { published, updates, states, .. } = &ground;
        let records = ServiceRecords::new(config, states);
        let (notices, heard) = live::notices();
        let (retransfers, demanded) = live::requests();
        let (reloads, asked) = live::requests();
        let (refreshes, refresh_inbox) = live::requests();
        let (loads, bundles) = live::requests();
        let (contents, candidates) = live::requests();
        let (queue, inbox) = live::update_queue();

        let (mirrors, hosts) = ground.watch_mirrors(config, watcher);
        let acme = tokens
            .zip(config.acme.as_ref())
            .map(|(tokens, acme)| tokens.start(acme, inbox, published.clone(), updates.clone(), clock, vital));
        let sources_of_fleet = fleet.as_ref().map(|fleet| fleet.sources.clone());
        let refresh = ground.fetch_sources(config, &records, sources_of_fleet, contents, refresh_inbox);
        let mut counters: Vec<Arc<dyn Collect>> =
            vec![hosts.counters(), Arc::new(StateMetrics(states.clone())), signing.metrics(published.clone())];
        let probes = mirrors.as_ref().map(|mirrors| mirrors.counters.clone());
        counters.extend(probes.clone().map(|probes| probes as Arc<dyn Collect>));
        counters.extend(acme.as_ref().map(AcmeService::counters));
        counters.extend(records.metrics(published));
        let (dns, tap) = ground.answer(dns_ports, &prepared, (notices, queue.clone()), &mut counters, &common)?;
        let traffic = Traffic { dns: dns.counters.clone(), http: config.registry.as_ref().map(|_| Arc::default()) };

        let of_fleet = FleetBundles { path: path.to_path_buf(), last, loads, states: states.clone() };
        let fleet = fleet.zip(config.fleet.as_ref()).zip(control.as_mut()).and_then(|((fleet, config), control)| {
            let served = (published, &records.history);
            fleet.start((config, control), of_fleet, served, dns.counters.clone(), clock, vital)
        });
        let (fleet, of_fleet) = fleet.unzip();
        counters.extend(of_fleet);
        let about = records.about(fleet, probes, acme.as_ref(), traffic.clone());
        counters.extend(control.is_some().then(|| desk.clone() as Arc<dyn Collect>));
        ground.answer_operators(&desk, control.as_mut(), OperatorRequests { retransfers, reloads, refreshes }, about);
        let transfers = ground.transfer(config, &prepared, (heard, demanded));
        counters.push(transfers.counters());
        let counters = (counters, &traffic);
        let web = Web::start(web_ports, admin, &mut prepared, published, (clock, queue), counters, &common)?;
        records.watch_certificates(&prepared, [(TlsListener::Dns, &*dns.tls)].into_iter().chain(web.tls()), vital);
        readiness.serve();
        let started = prepared.built.config;
        let ServiceGround { updates, published, .. } = ground;
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
            asked,
            bundles,
            refresh,
            signing,
            candidates,
            records,
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

/// The published state and the means to change it, which every service needs.
struct ServiceGround {
    published: Arc<Published>,
    updates: Updates,
    states: StateFiles,
    clock: Clock,
    vital: Vital,
}

impl ServiceGround {
    /// Signs and publishes the first snapshot, and starts the tasks that publish changes and renew signatures.
    async fn publish(
        snapshot: Snapshot,
        config: &Config,
        fleet: Option<&WaitingFleet>,
        states: StateFiles,
        clock: Clock,
        vital: &Vital,
    ) -> (Self, Arc<Signing>) {
        let signing = Signing::open(config, &states);
        let snapshot = signing.sign_ahead(snapshot).await;
        let (published, updates, mut publisher) = live::publish(snapshot, move || clock.now());
        publisher.signatory = Some(signing.signatory.clone());
        publisher.views = fleet.map(|fleet| fleet.views.clone());
        publisher.free = |retired| drop(work::submit(Lane::Compute, move || drop(retired)));
        tokio::spawn(vital.guard("publisher", publisher.run()));
        signing.start(published.clone(), updates.clone(), vital);
        (ServiceGround { published, updates, states, clock, vital: vital.clone() }, signing)
    }

    /// Starts the probes of mirrors and the lookups of their hosts.
    fn watch_mirrors(&self, config: &Config, watcher: Option<WaitingWatcher>) -> (Option<RunningWatcher>, HostService) {
        let ServiceGround { published, updates, states, vital, .. } = self;
        let moved = Arc::new(Notify::new());
        let start = |watcher: WaitingWatcher| watcher.start(published.clone(), updates.clone(), moved.clone(), vital);
        let mirrors = watcher.map(start);
        let hosts = HostService::start(config, published.clone(), updates.clone(), moved, vital, states.clone());
        (mirrors, hosts)
    }

    /// Starts the fetches of sources.
    fn fetch_sources(
        &self,
        config: &Config,
        records: &ServiceRecords,
        fleet: Option<FleetSources>,
        contents: Candidates,
        inbox: RefreshInbox,
    ) -> RefreshService {
        let (published, states) = (self.published.clone(), records.sources.clone());
        let ground = RefreshGround { roots: probe::roots, contents, published, states, fleet };
        RefreshService::start(config, ground, inbox, &self.vital)
    }

    /// Starts the DNS listeners, with copies of their responses for `[dnstap]`.
    fn answer(
        &self,
        ports: DnsPorts,
        prepared: &Prepared,
        (notices, updates): (Notices, UpdateQueue),
        counters: &mut Vec<Arc<dyn Collect>>,
        common: &Common,
    ) -> Result<(DnsListeners, TapService), Failure> {
        let config = &prepared.built.config;
        let taps = Taps::new(Clock::civil_nanos);
        if config.dnstap.is_some() {
            taps.prepare();
        }
        counters.push(taps.clone());
        let (published, clock, tap) = (self.published.clone(), self.clock, taps.shared(work::cores()));
        let engine = Engine { published, clock, notices, updates, tap };
        let dns = DnsListeners::start(ports, prepared, engine, counters, common)?;
        announce(&self.published.load_full(), &dns);
        Ok((dns, TapService::start(config, taps, self.published.clone(), &self.vital)))
    }

    /// Answers the requests of operators from now on, and keeps the history of mirrors.
    fn answer_operators(&self, desk: &Desk, control: Option<&mut Control>, requests: OperatorRequests, about: About) {
        let ServiceGround { published, updates, clock, vital, .. } = self;
        let (probes, traffic) = (about.probes.clone(), about.traffic.clone());
        let chronicle = about.chronicle.clone().run(published.clone(), probes, traffic);
        tokio::spawn(vital.guard("chronicle", chronicle));
        match control {
            Some(control) => control.start(published, updates.clone(), *clock, requests, about, vital),
            None => control::open_for_readers(desk, published, *clock, requests, about),
        }
    }

    /// Starts the transfers of zones.
    fn transfer(
        &self,
        config: &Config,
        prepared: &Prepared,
        inboxes: (Receiver<NameBuf>, RetransferInbox),
    ) -> TransferService {
        let ServiceGround { published, updates, states, clock, vital } = self;
        let (published, updates, own) = (published.clone(), updates.clone(), (vital.clone(), states.clone()));
        TransferService::start(config, &prepared.encryption, published, updates, *clock, inboxes, own)
    }
}

/// Logs the size of the first snapshot, and commands to try.
fn announce(snapshot: &Snapshot, dns: &DnsListeners) {
    info!("serving {}", tries::amount(snapshot));
    for line in tries::dns(snapshot, dns.addresses()) {
        info!(target: HINTS, "try: {line}");
    }
}
