//! The addresses of mirrors with a host name: each host is resolved again when its TTL expires, and changes are published.
//!
//! The first addresses come with the snapshot ([`crate::load::hosts`]). From then on, each host is resolved when its TTL
//! expires. If that fails, the lookup is retried, and the last good addresses are kept.
//!
//! **Invariants**: at most [`MAX_AT_ONCE`] hosts are resolved concurrently; answers are encoded again only if addresses
//! changed; a reload keeps the addresses of hosts that remain; a log line is written when a host starts or stops failing,
//! and at most once a minute for a host that moves, never for every lookup; the query path never waits for this module.
//! **Not here**: the choice of addresses ([`crate::mirror`]), probes, the answers made from addresses ([`crate::snapshot`]).

mod schedule;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant as StdInstant};

use tokio::sync::{Notify, mpsc};
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::base::time::Ttl;
use crate::config::Config;
use crate::files::state;
use crate::live::{Published, Stopped, Updates};
use crate::load::hosts::ask::HostAsker;
use crate::load::hosts::{MAX_AT_ONCE, keep, known, now, rules};
use crate::mirror::{Accepted, HostAddresses, HostRules, Lookup, Trouble, accept};
use crate::process::state::StateFiles;
use crate::process::{self, Vital};
use crate::snapshot::Change;
use crate::telemetry::hosts::{Following, Hosts as Counters};
use schedule::HostSchedule;

/// The least interval between log lines about new addresses of one host, because some hosts move with every lookup.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// The interval at which the state file is written even if no address has changed, so that a start knows the age of the
/// addresses.
const KEEP_EVERY: Duration = Duration::from_secs(600);

/// The consequence of a failed write of the state file, for the log.
const UNKEPT: &str = "a restart begins with older addresses of hosts, and has to resolve them";

/// The service that keeps the addresses of hosts fresh.
#[derive(Debug)]
pub(crate) struct HostService {
    reloads: mpsc::Sender<HostSettings>,
    counters: Arc<Counters>,
    task: AbortHandle,
}

/// The settings of hosts in a configuration.
#[derive(Debug)]
struct HostSettings {
    /// The client of the resolvers, or the reason why there is none.
    asker: Result<HostAsker, String>,
    rules: HostRules,
    state: Option<PathBuf>,
}

impl HostSettings {
    fn of(config: &Config) -> Self {
        HostSettings {
            asker: HostAsker::new(&config.resolver),
            rules: rules(config),
            state: config.resolver.state.clone(),
        }
    }
}

impl HostService {
    /// Starts with the published snapshot; it needs a tokio runtime. `moved` is notified when mirrors have new addresses.
    pub(crate) fn start(
        config: &Config,
        published: Arc<Published>,
        updates: Updates,
        moved: Arc<Notify>,
        vital: &Vital,
        files: StateFiles,
    ) -> Self {
        let (reloads, inbox) = mpsc::channel(1);
        let counters = Arc::new(Counters::default());
        let mut keeper = HostKeeper {
            published,
            updates,
            moved,
            counters: counters.clone(),
            settings: HostSettings::of(config),
            hosts: BTreeMap::new(),
            running: JoinSet::new(),
            keeper: process::state::Keeper::default(),
            files,
            kept: Instant::now(),
        };
        keeper.follow();
        // A state file that the start could not use is set aside before it is overwritten.
        if let Some(Err(useless)) =
            keeper.settings.state.as_deref().map(|path| state::recall(path, &keep::FORM, keep::parse))
        {
            warn!("the kept addresses of hosts are lost: {useless}");
        }
        keeper.keep();
        let task = tokio::spawn(vital.guard("refresher of hosts", keeper.run(inbox))).abort_handle();
        HostService { reloads, counters, task }
    }

    /// The counters.
    pub(crate) fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    /// Applies another configuration. Call it after the snapshot of that configuration is published.
    pub(crate) async fn reload(&self, config: &Config) {
        // The receiver lives as long as the process.
        let _ = self.reloads.send(HostSettings::of(config)).await;
    }
}

impl Drop for HostService {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The task that keeps the addresses of hosts fresh.
#[derive(Debug)]
struct HostKeeper {
    published: Arc<Published>,
    updates: Updates,
    moved: Arc<Notify>,
    counters: Arc<Counters>,
    settings: HostSettings,
    hosts: BTreeMap<Arc<str>, Host>,
    running: JoinSet<(Arc<str>, [Lookup; 2])>,
    keeper: process::state::Keeper,
    files: StateFiles,
    /// The time of the last write of the state file.
    kept: Instant,
}

/// One host.
#[derive(Debug)]
struct Host {
    known: HostAddresses,
    schedule: HostSchedule,
    /// True while a lookup is under way.
    is_asked: bool,
    trouble: Option<Trouble>,
    /// The time of the last log line about new addresses.
    said: Option<Instant>,
}

impl HostKeeper {
    /// Resolves hosts when due, until the [`HostService`] is dropped.
    async fn run(mut self, mut reloads: mpsc::Receiver<HostSettings>) {
        loop {
            self.start_due();
            let due = self.next_due();
            tokio::select! {
                Some(done) = self.running.join_next() => if self.finish(done).await.is_err() {
                    return;
                },
                () = sleep_until(due) => {}
                reload = reloads.recv() => match reload {
                    None => return,
                    Some(settings) => {
                        self.settings = settings;
                        self.follow();
                        self.keep();
                    }
                },
            }
        }
    }

    /// Takes over the hosts of the published snapshot. A host that remains keeps its schedule and the newer addresses.
    fn follow(&mut self) {
        let mut before = std::mem::take(&mut self.hosts);
        let (now, unix) = (Instant::now(), now());
        for (host, known) in known(self.published.load().mirrors().iter()) {
            let fresh = || {
                // A host is due when the TTL of its addresses expires. A host without addresses, or with expired ones, is
                // due at once.
                let age = known.at.map_or(u64::MAX, |at| unix.0.saturating_sub(at.0));
                let mut schedule = HostSchedule::at(now);
                if let Some(left) = u32::try_from(age).ok().and_then(|age| known.ttl.0.checked_sub(age)) {
                    schedule.succeeded(Ttl(left), now);
                }
                Host { known: known.clone(), schedule, is_asked: false, trouble: None, said: None }
            };
            let entry = match before.remove(&host) {
                // The published addresses date from the last change, so the entry is usually newer. Only a reload that
                // has resolved the host publishes newer addresses.
                Some(entry) if entry.known.at >= known.at => entry,
                Some(entry) => Host { known, ..entry },
                None => fresh(),
            };
            self.hosts.insert(host, entry);
        }
        self.show();
    }

    fn next_due(&self) -> Option<Instant> {
        // If all lookups are in use, the next one waits until one ends.
        let idle = self.hosts.values().filter(|host| !host.is_asked);
        idle.map(|host| host.schedule.due).min().filter(|_| self.running.len() < MAX_AT_ONCE)
    }

    fn start_due(&mut self) {
        let now = Instant::now();
        for (name, host) in &mut self.hosts {
            if self.running.len() >= MAX_AT_ONCE {
                return;
            }
            if host.is_asked || host.schedule.due > now {
                continue;
            }
            host.is_asked = true;
            let (asker, name) = (self.settings.asker.clone(), name.clone());
            self.running.spawn(async move {
                let found = match asker {
                    Ok(asker) => asker.ask(&name).await,
                    Err(why) => [(); 2].map(|()| Lookup::Failed(Trouble::Server(why.clone()))),
                };
                (name, found)
            });
        }
    }

    /// Handles a finished lookup, and publishes changed addresses.
    async fn finish(&mut self, done: Result<(Arc<str>, [Lookup; 2]), JoinError>) -> Result<(), Stopped> {
        let Ok((name, found)) = done else {
            // A lookup has panicked, and its host is unknown: every host with a lookup in progress is scheduled again.
            for host in self.hosts.values_mut().filter(|host| host.is_asked) {
                host.is_asked = false;
                host.schedule.failed(&self.settings.rules.ttl, Instant::now());
            }
            return Ok(());
        };
        // A reload may have removed the host.
        let Some(host) = self.hosts.get_mut(&name) else { return Ok(()) };
        let now_unix = now();
        let Accepted { addresses, trouble, is_whole } = accept(found, &host.known, &self.settings.rules, now_unix);
        self.counters.ended(trouble.as_ref());
        host.is_asked = false;
        if is_whole {
            host.schedule.succeeded(addresses.ttl, Instant::now());
        } else {
            host.schedule.failed(&self.settings.rules.ttl, Instant::now());
        }
        log_edge(&name, host, &addresses, trouble.as_ref());
        host.trouble = trouble;
        let has_moved = addresses.differ_from(&host.known);
        host.known = addresses.clone();
        if has_moved {
            self.counters.counters.changes.increment();
            self.updates.change_and_wait(Change::Addresses(name, addresses)).await?;
            self.moved.notify_one();
        }
        self.show();
        if has_moved || self.kept.elapsed() >= KEEP_EVERY {
            self.keep();
        }
        Ok(())
    }

    /// Writes the addresses to the state file, for the next start.
    fn keep(&mut self) {
        self.kept = Instant::now();
        let path = self.settings.state.clone();
        self.files.retain(&keep::FORM, |kept| Some(kept) == path.as_deref());
        let Some(path) = path else { return };
        let known = self.hosts.iter().map(|(name, host)| (name.clone(), host.known.clone())).collect();
        self.keeper.keep(self.files.file(path, &keep::FORM, UNKEPT), keep::text(&known));
    }

    /// Updates the metrics of each mirror's host.
    fn show(&self) {
        let unix = now();
        let age = |host: &Host| Duration::from_secs(unix.0.saturating_sub(host.known.at.map_or(unix.0, |at| at.0)));
        let published = self.published.load();
        let following = published.mirrors().iter().filter_map(|mirror| {
            let name = mirror.followed_host()?;
            let host = self.hosts.get(name)?;
            let resolved = host.known.at.and_then(|_| StdInstant::now().checked_sub(age(host)));
            let addresses = [host.known.v4.len(), host.known.v6.len()];
            Some((mirror.name.clone(), Following { host: name.clone(), addresses, resolved }))
        });
        self.counters.set(following.collect());
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Logs the start and the end of a host's trouble, and its new addresses.
fn log_edge(name: &str, host: &mut Host, addresses: &HostAddresses, trouble: Option<&Trouble>) {
    match (host.trouble.as_ref(), trouble) {
        (before, Some(now)) if before.map(Trouble::as_str) != Some(now.as_str()) => {
            if addresses.is_empty() {
                warn!("host {name} cannot be resolved, and has never been: {now}")
            } else {
                warn!("host {name} cannot be resolved correctly: {now}; its known addresses stay")
            }
        }
        (Some(_), None) => info!("host {name} is resolved again"),
        _ => {}
    }
    let has_moved = (&addresses.v4, &addresses.v6) != (&host.known.v4, &host.known.v6);
    let is_quiet = host.said.is_none_or(|said| said.elapsed() >= SAY_EVERY);
    if has_moved && is_quiet {
        host.said = Some(Instant::now());
        info!("host {name} has moved to {}, from {}", list(addresses), list(&host.known));
    }
}

fn list(addresses: &HostAddresses) -> String {
    let all = addresses.v4.iter().map(|v4| IpAddr::V4(*v4)).chain(addresses.v6.iter().map(|v6| IpAddr::V6(*v6)));
    let texts: Vec<String> = all.map(|address| address.to_string()).collect();
    if texts.is_empty() { "nowhere".to_string() } else { texts.join(" ") }
}
