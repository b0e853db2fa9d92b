//! The watcher of mirrors, from the configuration to its end.
//!
//! **Not here**: probing ([`crate::probe`]), the consequences of probes ([`crate::mirror`], [`crate::steer`]).

use std::sync::Arc;

use tokio::sync::{Notify, mpsc};
use tracing::info;

use crate::base::diagnostic::Diagnostic;
use crate::config::{self, Config};
use crate::http::{At, Canonical, Means};
use crate::live::{Published, Updates};
use crate::load::hosts::ask::HostAsker;
use crate::mirror::Mirror;
use crate::probe::{self, FleetJudge, Follower, Prober, Rewatch, Watcher};
use crate::process::state::StateFiles;
use crate::process::{Clock, Vital};
use crate::snapshot::Snapshot;
use crate::telemetry::probe::Probes;
use crate::tls::{Dialer, DialerError, MirrorDialers, Roots};

/// The probe settings and a prober that is ready to begin.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    probe: Arc<config::Probe>,
    prober: Prober,
    roots: Arc<Roots>,
}

impl Watch {
    /// Reads the roots; `None` if mirrors are not probed.
    pub(super) fn prepare(config: &Config) -> Result<Option<Self>, Vec<Diagnostic>> {
        let Some(probe) = &config.probe else { return Ok(None) };
        let probe = Arc::new(probe.clone());
        let roots = probe::roots(probe.roots.as_ref()).map_err(|problems| match &probe.roots {
            Some(named) => problems.into_iter().map(|problem| problem.at(named.place.clone(), "named here")).collect(),
            None => problems,
        })?;
        let unusable = |error: String| vec![Diagnostic::error("probe", format!("mirrors cannot be probed: {error}"))];
        let follower = Follower::new(config, roots.clone()).map_err(unusable)?;
        let prober = Prober::new(probe.clone(), roots.clone()).map_err(|error| unusable(error.to_string()))?;
        let prober = prober.following(follower);
        Ok(Some(Watch { probe, prober, roots }))
    }

    /// The dialers that ask mirrors for blobs: those of the prober.
    fn dialers(&self, config: &Config) -> Result<MirrorDialers, DialerError> {
        let dialers = self.prober.dialers();
        // Each is made here, so that an unusable URL refuses the configuration.
        config.mirrors.iter().try_for_each(|entry| dialers.of(&entry.mirror.content).map(drop))?;
        Ok(dialers.clone())
    }
}

/// The means to ask mirrors and the canonical registry for blobs before clients are sent there; `None` if neither is asked.
pub(super) fn means(config: &Config, watch: Option<&Watch>) -> Result<Option<Means>, Vec<Diagnostic>> {
    let Some(registry) = &config.registry else { return Ok(None) };
    let unusable = |error| vec![Diagnostic::error("probe", format!("mirrors cannot be asked: {error}"))];
    let mirrors = registry.ask.and(watch).map(|watch| watch.dialers(config)).transpose().map_err(unusable)?;
    let canonical = registry.ask_canonical.map(|_| canonical(config, watch, &registry.canonical)).transpose()?;
    let Some(config::AskConfig { wait, keep, lacking }) = registry.ask.or(registry.ask_canonical) else {
        return Ok(None);
    };
    let timeout = config.probe.as_ref().map_or(config::PROBE_TIMEOUT_DEFAULT, |probe| probe.timeout);
    Ok(Some(Means { mirrors, canonical, wait, timeout, keep, lacking }))
}

fn canonical(
    config: &Config,
    watch: Option<&Watch>,
    upstream: &config::UpstreamConfig,
) -> Result<Canonical, Vec<Diagnostic>> {
    let problem = |why: String| vec![Diagnostic::error("canonical", format!("canonical cannot be asked: {why}"))];
    let roots = match &*upstream.scheme {
        // Those of `[probe]`, or of the system.
        "https" => Some(watch.map_or_else(|| probe::roots(None), |watch| Ok(watch.roots.clone()))?),
        _ => None,
    };
    let host = upstream.host();
    let dialer = Dialer::of_registry(upstream.authority.clone(), host, upstream.port(), roots);
    let at = match host.parse() {
        Ok(address) => At::Address(address),
        Err(_) => At::Host(host.into(), Arc::new(HostAsker::new(&config.resolver).map_err(problem)?)),
    };
    let line = format!("{}://{}", upstream.scheme, upstream.authority).into();
    let dialer = dialer.map_err(|error| problem(error.to_string()))?;
    Ok(Canonical { dialer, authority: upstream.authority.clone(), line, at })
}

/// The running watcher; it ends when this is dropped.
pub(super) struct RunningWatcher {
    reloads: mpsc::Sender<Option<Rewatch>>,
    /// The results and counters of probes.
    pub(super) counters: Arc<Probes>,
}

impl RunningWatcher {
    /// Probes every mirror once. Returns the snapshot with the results, and the watcher, which is to be started.
    pub(super) async fn first_round(
        watch: Watch,
        snapshot: Snapshot,
        judge: Option<FleetJudge>,
        clock: Clock,
        files: StateFiles,
    ) -> (Snapshot, WaitingWatcher) {
        let mirrors = snapshot.mirrors().len();
        info!("probing {mirrors} mirrors; clients are answered once each address has a first result");
        let counters = Arc::new(Probes::default());
        let Watch { probe, prober, .. } = watch;
        let watcher = Watcher::new(snapshot.mirrors(), probe, prober, clock, counters.clone(), files);
        let mut watcher = watcher.judged_by(judge);
        watcher.first_round().await;
        let snapshot = snapshot.with_standings(|mirror: &Mirror| watcher.standing(mirror));
        (snapshot, WaitingWatcher { watcher, counters })
    }

    /// Watches the mirrors of a reload with its probe settings; without `[probe]`, the former settings stay.
    pub(super) async fn reload(&self, watch: Option<Watch>) {
        // Sending fails only if the process is about to end.
        let _ = self.reloads.send(watch.map(|Watch { probe, prober, .. }| Rewatch { probe, prober })).await;
    }
}

/// A watcher that has had its first round.
pub(super) struct WaitingWatcher {
    watcher: Watcher,
    counters: Arc<Probes>,
}

impl WaitingWatcher {
    /// Starts the task that probes at intervals.
    pub(super) fn start(
        self,
        published: Arc<Published>,
        updates: Updates,
        moved: Arc<Notify>,
        vital: &Vital,
    ) -> RunningWatcher {
        let (reloads, inbox) = mpsc::channel(1);
        tokio::spawn(vital.guard("watcher of mirrors", self.watcher.run(published, updates, inbox, moved)));
        RunningWatcher { reloads, counters: self.counters }
    }
}
