//! The watcher: it schedules the probes of addresses, and sends changes of mirrors' standings to the publisher.

mod edge;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{info, warn};

use super::judge::{self, FleetJudge, digest_of};
use super::keep::{self, AddressKey};
use super::{Aim, Finding, Prober};
use crate::config::Probe;
use crate::files::state;
use crate::live::{Published, Updates};
use crate::mirror::{AddressStanding, Cause, ContentPlace, HttpVersion, Memory, Mirror, ProtocolTracks, Standing};
use crate::process::state::{Keeper, StateFiles};
use crate::process::{self, Clock};
use crate::snapshot::Change;
use crate::telemetry::probe::{Probed, ProbedStanding, Probes};

/// Probes under way at once: each is a socket and a handshake, and a round of a thousand addresses still fits its
/// interval.
pub(crate) const MAX_AT_ONCE: usize = 64;

/// The variation of an interval, in percent up and down, so that not all mirrors are probed in the same moment.
const JITTER_PERCENT: u64 = 20;

/// The longest that the first round may keep the server from answering.
const FIRST_ROUND: Duration = Duration::from_secs(10);

/// The consequence of verdicts that cannot be written, for the log.
const UNKEPT: &str = "a restart begins with older verdicts on mirrors";

/// Keeps probing.
#[derive(Debug)]
pub(crate) struct Watcher {
    probe: Arc<Probe>,
    prober: Prober,
    clock: Clock,
    counters: Arc<Probes>,
    mirrors: Vec<Mirror>,
    tracks: BTreeMap<AddressKey, Tracked>,
    running: JoinSet<EndedProbe>,
    keeper: Keeper,
    files: StateFiles,
    /// The last probe that failed for a fault of this machine, until probes have succeeded for an interval.
    failed_here: Option<Instant>,
    /// The rulings of the fleet; `None` for a server alone.
    judge: Option<FleetJudge>,
    /// The digest of the addresses.
    digest: Arc<str>,
    /// True if the judge knows the present view of this server.
    is_judged: bool,
}

/// A probe that ended.
struct EndedProbe {
    key: AddressKey,
    content: Arc<ContentPlace>,
    /// The protocol that it offered.
    offered: HttpVersion,
    finding: Finding,
    took: Duration,
}

/// The tracks of an address, and the time of its next probe.
#[derive(Debug)]
struct Tracked {
    /// The place of the mirror's content, which the tracks are about.
    content: Arc<ContentPlace>,
    tracks: ProtocolTracks,
    /// The cause of the last verdict of each protocol.
    causes: [Option<Cause>; 2],
    due: Instant,
    /// A probe of it is in flight.
    is_probed: bool,
}

/// The new probe settings of a reload. The mirrors are not in here: the watcher reads them from the published snapshot.
#[derive(Debug)]
pub(crate) struct Rewatch {
    /// The requirements on mirrors.
    pub(crate) probe: Arc<Probe>,
    /// The prober for these requirements.
    pub(crate) prober: Prober,
}

impl Watcher {
    /// Watches these mirrors. Their addresses begin with the health that the last run kept, if any.
    pub(crate) fn new(
        mirrors: &[Mirror],
        probe: Arc<Probe>,
        prober: Prober,
        clock: Clock,
        counters: Arc<Probes>,
        files: StateFiles,
    ) -> Self {
        let mut watcher = Watcher {
            probe,
            prober,
            clock,
            counters,
            mirrors: Vec::new(),
            tracks: BTreeMap::new(),
            running: JoinSet::new(),
            keeper: Keeper::default(),
            files,
            failed_here: None,
            judge: None,
            digest: Arc::default(),
            is_judged: false,
        };
        watcher.watch(mirrors.to_vec());
        watcher.recall();
        watcher
    }

    /// The same watcher, whose view counts as one of those of a fleet.
    pub(crate) fn judged_by(self, judge: Option<FleetJudge>) -> Self {
        Watcher { judge, ..self }
    }

    /// Probes every address once, for at most `FIRST_ROUND`.
    pub(crate) async fn first_round(&mut self) {
        let over = tokio::time::sleep(FIRST_ROUND);
        tokio::pin!(over);
        loop {
            self.start_due();
            if self.running.is_empty() {
                return;
            }
            tokio::select! {
                Some(done) = self.running.join_next() => self.finish(done),
                () = &mut over => return,
            }
        }
    }

    /// The standing of a mirror by its probes; `None` if one of its addresses is not watched.
    pub(crate) fn standing(&self, mirror: &Mirror) -> Option<Standing> {
        let of = |address: IpAddr| {
            let tracked = self.tracks.get(&(mirror.name.clone(), address))?;
            Some(self.address_standing(&(mirror.name.clone(), address), &tracked.tracks))
        };
        Some(Standing {
            v4: mirror.v4.iter().map(|address| of((*address).into())).collect::<Option<_>>()?,
            v6: mirror.v6.iter().map(|address| of((*address).into())).collect::<Option<_>>()?,
            forced: None,
        })
    }

    /// Keeps probing, and sends changes to the publisher, until the sender of `reloads` is dropped. On each reload, with or
    /// without new probe settings, and when mirrors have `moved`, it reads the mirrors from the published snapshot.
    pub(crate) async fn run(
        mut self,
        published: Arc<Published>,
        updates: Updates,
        mut reloads: mpsc::Receiver<Option<Rewatch>>,
        moved: Arc<Notify>,
    ) {
        let mut told: BTreeMap<Arc<str>, Standing> = BTreeMap::new();
        loop {
            self.rule();
            if self.tell(&updates, &mut told).await.is_err() {
                return;
            }
            self.start_due();
            let due = self.next_due();
            tokio::select! {
                Some(done) = self.running.join_next() => self.finish(done),
                () = tokio::time::sleep_until(due) => {}
                reload = reloads.recv() => match reload {
                    None => return,
                    Some(rewatch) => {
                        if let Some(rewatch) = rewatch {
                            self.begin_anew(rewatch);
                        }
                        self.watch(published.load().mirrors().to_vec());
                        told.clear();
                    }
                },
                () = judge::changed(self.judge.as_mut()) => self.is_judged = false,
                () = moved.notified() => {
                    self.watch(published.load().mirrors().to_vec());
                    told.clear();
                }
            }
        }
    }

    /// Applies new probe settings. If the settings differ, probes under way are dropped and begin again, because a probe for a
    /// canary that is gone would take its address down.
    fn begin_anew(&mut self, Rewatch { probe, prober }: Rewatch) {
        if probe != self.probe {
            self.running = JoinSet::new();
            self.tracks.values_mut().for_each(|tracked| tracked.is_probed = false);
        }
        (self.probe, self.prober) = (probe, prober);
    }

    /// Takes over a list of mirrors. Addresses that stay keep their tracks, unless the place of the content is another.
    fn watch(&mut self, mirrors: Vec<Mirror>) {
        let addresses = |mirror: &Mirror| -> Vec<(AddressKey, Arc<ContentPlace>)> {
            mirror.addresses().map(|address| ((mirror.name.clone(), address), mirror.content.clone())).collect()
        };
        let mut before = std::mem::take(&mut self.tracks);
        let now = Instant::now();
        for (key, content) in mirrors.iter().flat_map(addresses) {
            let known = before.remove(&key).filter(|known| known.content == content);
            let tracked = known.unwrap_or_else(|| {
                let tracks = ProtocolTracks::default();
                Tracked { content, tracks, causes: [None, None], due: now, is_probed: false }
            });
            self.tracks.insert(key, tracked);
        }
        let tracks = &self.tracks;
        self.counters.keep(|mirror, address| tracks.keys().any(|(name, ip)| **name == *mirror && *ip == address));
        self.digest = digest_of(self.tracks.keys());
        self.is_judged = false;
        self.mirrors = mirrors;
    }

    /// Has the judge rule on all addresses, if a view has changed.
    fn rule(&mut self) {
        let Some(judge) = self.judge.as_mut().filter(|_| !self.is_judged) else { return };
        self.is_judged = true;
        let view = |tracks: &ProtocolTracks| (tracks.health(), tracks.worst().map(|(_, verdict)| verdict));
        let own = self.tracks.iter().map(|(key, tracked)| (key.clone(), view(&tracked.tracks))).collect();
        let due = judge.judge(&own, &self.digest);
        self.counters.rule(judge.rulings.clone());
        for key in due {
            if let Some(tracked) = self.tracks.get_mut(&key) {
                tracked.due = Instant::now();
            }
        }
    }

    fn next_due(&self) -> Instant {
        let idle = self.tracks.values().filter(|tracked| !tracked.is_probed);
        let due = idle.map(|tracked| tracked.due).min();
        let later = Instant::now() + self.probe.interval;
        // If [`MAX_AT_ONCE`] probes run, the next one waits until one ends.
        if self.running.len() >= MAX_AT_ONCE { later } else { due.unwrap_or(later) }
    }

    fn start_due(&mut self) {
        let now = Instant::now();
        for (key, tracked) in &mut self.tracks {
            if self.running.len() >= MAX_AT_ONCE {
                return;
            }
            if !tracked.is_probed && tracked.due <= now {
                tracked.is_probed = true;
                let (prober, key, offered) = (self.prober.clone(), key.clone(), tracked.tracks.next());
                let content = tracked.content.clone();
                self.running.spawn(async move {
                    let begun = Instant::now();
                    let finding = prober.probe(Aim::of(key.1, content.clone()).offering(offered)).await;
                    EndedProbe { key, content, offered, finding, took: begun.elapsed() }
                });
            }
        }
    }

    fn finish(&mut self, done: Result<EndedProbe, tokio::task::JoinError>) {
        let Ok(EndedProbe { key, content, offered, finding, took }) = done else {
            // If a probe panicked, its address must be probed again. The address is lost, so this is for all of them.
            self.tracks.values_mut().for_each(|tracked| tracked.is_probed = false);
            return;
        };
        let now = self.clock.now();
        // A probe of a place that a reload has changed has no say.
        let tracked = self.tracks.get_mut(&key).filter(|tracked| tracked.content == content);
        let Some(tracked) = tracked else { return };
        if let Some(fault) = finding.own_fault() {
            tracked.is_probed = false;
            tracked.due = Instant::now() + vary(self.probe.retry);
            self.counters.counters.failed_here.increment();
            if self.failed_here.replace(Instant::now()).is_none() {
                warn!("mirrors cannot be probed, and keep their health: {fault}; {}", fault.remedy());
            }
            return;
        }
        let before = tracked.tracks;
        tracked.tracks.observe(offered, finding.spoken, finding.verdict, now, &self.probe.thresholds);
        tracked.is_probed = false;
        for version in
            HttpVersion::ALL.into_iter().filter(|version| finding.spoken.is_none_or(|spoken| spoken == *version))
        {
            tracked.causes[version as usize] = finding.cause.clone();
        }
        let pause = if tracked.tracks.is_in_doubt() { self.probe.retry } else { self.probe.interval };
        // The interval counts from start to start. Otherwise an address whose probes time out would be withdrawn later than
        // after `fall` intervals.
        tracked.due = Instant::now() + vary(pause).saturating_sub(took);
        if self.failed_here.is_some_and(|last| last.elapsed() > self.probe.interval) {
            self.failed_here = None;
            info!("mirrors are probed again");
        }
        let after = tracked.tracks;
        let (worse, verdict) = after.worst().unwrap_or((offered, finding.verdict));
        let standing = ProbedStanding {
            health: after.health(),
            protocols: after.verdicts().collect(),
            verdict,
            cause: tracked.causes[worse as usize].clone(),
        };
        let (cause, now) = (finding.cause.clone(), self.clock.read().unix);
        let probed = Probed { verdict: finding.verdict, cause, took, not_after: finding.not_after(), standing, now };
        self.counters.probed(&key.0, key.1, probed);
        edge::log_edge(&key, &before, &after, &finding);
        if before.health() != after.health() || before.verdicts().ne(after.verdicts()) {
            self.is_judged = false;
            self.remember();
        }
    }

    fn address_standing(&self, key: &AddressKey, tracks: &ProtocolTracks) -> AddressStanding {
        let every = if tracks.is_in_doubt() { self.probe.retry } else { self.probe.interval };
        let stable_ms = tracks.stable_ms(every.as_millis() as u64, &self.probe.thresholds);
        let stable_secs = u32::try_from(stable_ms / 1000).unwrap_or(u32::MAX).max(1);
        let own = tracks.health();
        let health = self.judge.as_ref().map_or(own, |judge| judge.health(key, own));
        AddressStanding { health, stable_secs: Some(stable_secs) }
    }

    /// Sends the publisher the mirrors whose standing has changed since the last call.
    async fn tell(
        &self,
        updates: &Updates,
        told: &mut BTreeMap<Arc<str>, Standing>,
    ) -> Result<(), crate::live::Stopped> {
        for mirror in &self.mirrors {
            let Some(standing) = self.standing(mirror) else { continue };
            if told.get(&mirror.name) != Some(&standing) {
                updates.change(Change::standing(mirror, &standing)).await?;
                told.insert(mirror.name.clone(), standing);
            }
        }
        Ok(())
    }

    /// Loads the health that the last run kept. If the file cannot be read, its contents are lost, and nothing else.
    fn recall(&mut self) {
        let Some(path) = &self.probe.state else { return };
        match state::recall(path, &keep::FORM, keep::parse) {
            Ok(known) => {
                let now = self.clock.read();
                let mut memories: BTreeMap<AddressKey, Vec<(HttpVersion, Memory)>> = BTreeMap::new();
                for (key, version, memory) in known.into_iter().flatten() {
                    memories.entry(key).or_default().push((version, memory));
                }
                for (key, memories) in memories {
                    if let Some(tracked) = self.tracks.get_mut(&key) {
                        tracked.tracks = ProtocolTracks::remembered(memories, now, &self.probe.thresholds);
                    }
                }
            }
            Err(useless) => warn!("the kept health of mirrors is lost: {useless}"),
        }
    }

    /// Keeps the health of all addresses for the next run.
    fn remember(&self) {
        let path = self.probe.state.clone();
        self.files.retain(&keep::FORM, |kept| Some(kept) == path.as_deref());
        let Some(path) = path else { return };
        let now = self.clock.read();
        let known = self.tracks.iter().flat_map(|(key, tracked)| {
            tracked.tracks.memories(now).map(|(version, memory)| (key.clone(), version, memory))
        });
        self.keeper.keep(self.files.file(path, &keep::FORM, UNKEPT), keep::text(known));
    }
}

/// The pause, up to a fifth longer or shorter. It is random, because servers with one configuration would otherwise probe a
/// mirror at the same moments.
fn vary(pause: Duration) -> Duration {
    let percent = 100 - JITTER_PERCENT + process::seed() % (2 * JITTER_PERCENT + 1);
    pause * percent as u32 / 100
}

#[cfg(test)]
mod tests;
