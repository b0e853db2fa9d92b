//! One zone that is kept elsewhere: compared, fetched, kept on disk, published, given up.
//!
//! **Invariants**: what is served is what was last fetched whole, until it expires; the copy on disk is written before
//! the zone is published, so that it is never older than what is served; a primary that fails is one line of the log when
//! it begins to fail, not one for each comparison.
//! **Not here**: when ([`super::schedule`]), how to fetch ([`super::fetch`]).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, mpsc};
use tokio::time::sleep;
use tracing::{info, warn};

use super::fetch::{self, Demand, FetchError, Fetched, Primary};
use super::schedule::CopySchedule;
use super::{ReplySender, TransferShared};
use crate::base::name::NameBuf;
use crate::base::time::Moment;
use crate::live::{RetransferError, Retransferred};
use crate::load::zone::copy;
use crate::process::seed;
use crate::process::state::{RETRY, StateFile};
use crate::snapshot::Change;
use crate::telemetry::transfer::Compared;
use crate::zone::Zone;

/// A secondary zone.
#[derive(Debug)]
pub(super) struct Secondary {
    apex: NameBuf,
    primaries: Vec<Primary>,
    /// Whether each primary failed when it was last asked.
    failing: Vec<bool>,
    /// The file of the copy; `None` if it is not kept.
    file: Option<StateFile>,
    /// Rings when a primary says that the zone has changed.
    bell: Arc<Notify>,
    shared: Arc<TransferShared>,
}

/// What the last comparison came to, so that each change of it is one line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CopyStanding {
    Good,
    Failing,
    Expired,
}

/// What is counted of asking a primary.
fn outcome(fetched: &Result<Fetched, FetchError>) -> Compared {
    match fetched {
        Ok(Fetched::UpToDate) => Compared::UpToDate,
        Ok(Fetched::Zone(_)) => Compared::Fetched,
        Err(FetchError::Io(_)) => Compared::Unreachable,
        Err(FetchError::Silent) => Compared::Silent,
        Err(FetchError::Tls(_)) => Compared::TlsFailed,
        Err(FetchError::Signature(_)) => Compared::BadSignature,
        Err(FetchError::Older { .. }) => Compared::Older,
        Err(FetchError::Refused(_)) => Compared::Refused,
    }
}

impl Secondary {
    /// A zone that is fetched from primaries, in their order.
    pub(super) fn new(
        apex: NameBuf,
        primaries: Vec<Primary>,
        file: Option<StateFile>,
        bell: Arc<Notify>,
        shared: Arc<TransferShared>,
    ) -> Self {
        Secondary { apex, failing: vec![false; primaries.len()], primaries, file, bell, shared }
    }

    /// Keeps the zone, for ever; meets demands for all of it.
    pub(super) async fn keep(mut self, mut demands: mpsc::Receiver<ReplySender>) {
        let now = self.shared.clock.now();
        let served = self.served();
        let held = served.map(|zone| (zone.timers(), self.age(now)));
        let mut standing = CopyStanding::Good;
        let mut schedule = CopySchedule::new(held, now, seed());
        loop {
            let now = self.shared.clock.now();
            self.shared.note_expiry(&self.apex, schedule.expires());
            if standing != CopyStanding::Expired && !schedule.is_usable(now) && self.served().is_some() {
                warn!("zone {} has expired: no comparison succeeded in its time; it answers SERVFAIL", self.apex);
                standing = CopyStanding::Expired;
                self.publish(Zone::unavailable(self.apex.clone())).await;
            }
            if now >= schedule.due() {
                self.compare(&mut schedule, &mut standing).await;
                continue;
            }
            let expires = schedule.expires().filter(|at| *at > now).unwrap_or(schedule.due());
            let wait = Duration::from_millis(schedule.due().min(expires).0 - now.0);
            tokio::select! {
                () = self.bell.notified() => schedule.notified(self.shared.clock.now()),
                Some(reply) = demands.recv() => {
                    let outcome = self.retransfer(&mut schedule, &mut standing).await;
                    // An operator who gave up waiting reads the log.
                    let _ = reply.send(outcome);
                }
                () = sleep(RETRY), if self.is_unsaved() => self.save_again().await,
                () = sleep(wait) => {}
            }
        }
    }

    /// Asks the primaries in their order until one can tell.
    async fn compare(&mut self, schedule: &mut CopySchedule, standing: &mut CopyStanding) {
        if let Err(_failures) = self.ask(Demand::Newer, schedule, standing).await
            && *standing == CopyStanding::Good
        {
            *standing = CopyStanding::Failing;
        }
    }

    /// Fetches the zone whole, whatever its serial.
    async fn retransfer(
        &mut self,
        schedule: &mut CopySchedule,
        standing: &mut CopyStanding,
    ) -> Result<Retransferred, RetransferError> {
        let before = self.served().map(|zone| zone.serial());
        match self.ask(Demand::Whole, schedule, standing).await {
            Ok((serial, primary)) => Ok(Retransferred { before, serial, primary }),
            Err(failures) => Err(RetransferError::Failed(failures)),
        }
    }

    /// Asks the primaries in their order until one gives what is asked; the serial and the primary, or each failure.
    async fn ask(
        &mut self,
        demand: Demand,
        schedule: &mut CopySchedule,
        standing: &mut CopyStanding,
    ) -> Result<(u32, SocketAddr), Vec<(SocketAddr, String)>> {
        let shared = self.shared.clone();
        // The semaphore is never closed; without it there would only be more at once.
        let _slot = shared.slots.acquire().await;
        // RFC 1034 §4.3.5: an expired copy is discarded, so that then any zone is taken, whatever its serial.
        let have = self.served();
        let mut failures = Vec::new();
        for at in 0..self.primaries.len() {
            let primary = &self.primaries[at];
            let address = primary.address;
            let fetched = fetch::fetch(primary, &self.apex, have.as_ref(), demand, shared.clock).await;
            shared.counters.compared(outcome(&fetched));
            match (fetched, have.clone()) {
                (Ok(Fetched::Zone(zone)), _) => {
                    self.recovered(at);
                    return Ok((self.take(Arc::from(zone), address, schedule, standing).await, address));
                }
                (Ok(Fetched::UpToDate), Some(have)) => {
                    self.recovered(at);
                    return Ok((self.take(have, address, schedule, standing).await, address));
                }
                // Only a secondary that has something is told that it is up to date.
                (Ok(Fetched::UpToDate), None) => failures.push((address, "it sends no zone".to_string())),
                (Err(error), _) => {
                    self.failed(at, &error);
                    failures.push((address, error.to_string()));
                }
            }
        }
        schedule.failed(shared.clock.now());
        Err(failures)
    }

    /// Says once that a primary fails, and what can be done.
    fn failed(&mut self, at: usize, error: &FetchError) {
        if std::mem::replace(&mut self.failing[at], true) {
            return;
        }
        let (apex, address) = (&self.apex, self.primaries[at].address);
        match error {
            FetchError::Older { .. } => warn!(
                "failed to compare zone {apex} with {address}: {error}, which is served until it expires; \
                 `pharos zone retransfer {apex}` takes the primary's"
            ),
            error => warn!("failed to compare zone {apex} with {address}: {error}"),
        }
    }

    fn recovered(&mut self, at: usize) {
        if std::mem::replace(&mut self.failing[at], false) {
            info!("zone {} can be compared again, with {}", self.apex, self.primaries[at].address);
        }
    }

    /// Serves what a primary has; its serial.
    async fn take(
        &self,
        zone: Arc<Zone>,
        primary: SocketAddr,
        schedule: &mut CopySchedule,
        standing: &mut CopyStanding,
    ) -> u32 {
        let now = self.shared.clock.now();
        schedule.succeeded(zone.timers(), now);
        self.shared.note_checked(&self.apex, now);
        let is_served = self.served().is_some_and(|served| Arc::ptr_eq(&served, &zone));
        self.save(&zone, is_served).await;
        *standing = CopyStanding::Good;
        let serial = zone.serial();
        if !is_served {
            info!("zone {} is served with serial {serial}, from {primary}", self.apex);
            self.publish_shared(zone).await;
        }
        serial
    }

    /// Keeps the copy on disk; that it cannot be kept is no reason not to serve it.
    async fn save(&self, zone: &Arc<Zone>, is_served: bool) {
        let Some(file) = &self.file else { return };
        // If the last write failed, the file has an older zone, which must not count as confirmed.
        let (zone, is_kept) = (zone.clone(), is_served && !self.is_unsaved());
        let saved = file.write(move |path, waits| {
            if is_kept {
                copy::touch(path, SystemTime::now()).or_else(|_| copy::write(path, &zone, waits))
            } else {
                copy::write(path, &zone, waits)
            }
        });
        // The failure is logged and counted.
        let _ = saved.await;
    }

    /// Whether the last write of the copy failed.
    fn is_unsaved(&self) -> bool {
        self.file.as_ref().is_some_and(StateFile::is_failing)
    }

    async fn save_again(&self) {
        if let Some(zone) = self.served() {
            self.save(&zone, true).await;
        }
    }

    async fn publish(&self, zone: Zone) {
        self.publish_shared(Arc::new(zone)).await;
    }

    async fn publish_shared(&self, zone: Arc<Zone>) {
        // Where nothing is published any more, the process is about to end.
        if self.shared.updates.change_and_wait(Change::Zone(zone)).await.is_ok() {
            self.shared.announce();
        }
    }

    /// What is served, if it may be.
    fn served(&self) -> Option<Arc<Zone>> {
        self.shared.served(&self.apex).filter(|zone| zone.is_available())
    }

    /// How long ago what is served was last compared.
    fn age(&self, now: Moment) -> Duration {
        match (self.shared.checked(&self.apex), &self.file) {
            (Some(checked), _) => Duration::from_millis(now.0.saturating_sub(checked.0)),
            (None, Some(file)) => copy::age(file.path(), SystemTime::now()),
            (None, None) => Duration::ZERO,
        }
    }
}
