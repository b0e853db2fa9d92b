//! One secondary zone: compared, fetched, stored on disk, published, expired.
//!
//! **Invariants**: the served zone is the last one that was fetched completely, until it expires; the copy on disk is written
//! before the zone is published, so that it is older than the served zone only if the write failed; a failing primary is one
//! line of the log when it begins to fail, not one for each comparison.
//! **Not here**: the schedule ([`super::schedule`]), fetching ([`super::fetch`]).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, mpsc};
use tokio::time::sleep;
use tracing::{info, warn};

use super::fetch::{self, Demand, FetchError, Fetched, Primary};
use super::inbound::TransferRefusal;
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
    /// For each primary: true if its last comparison failed.
    failing: Vec<bool>,
    /// True if the copy has expired and no comparison has succeeded since, so that the expiry is one line of the log.
    is_expired: bool,
    /// The file of the copy; `None` if the copy is not stored.
    file: Option<StateFile>,
    /// Notified when a primary says that the zone has changed.
    bell: Arc<Notify>,
    shared: Arc<TransferShared>,
}

/// The counter for the outcome of a comparison with a primary.
fn outcome(fetched: &Result<Fetched, FetchError>) -> Compared {
    match fetched {
        Ok(Fetched::UpToDate) => Compared::UpToDate,
        Ok(Fetched::Zone(_)) => Compared::Fetched,
        Err(FetchError::Io(_)) => Compared::Unreachable,
        Err(FetchError::Silent) => Compared::Silent,
        Err(FetchError::Tls(_)) => Compared::TlsFailed,
        Err(FetchError::Signature(_)) => Compared::BadSignature,
        Err(FetchError::Refused(TransferRefusal::Older { .. })) => Compared::Older,
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
        let failing = vec![false; primaries.len()];
        Secondary { apex, failing, is_expired: false, primaries, file, bell, shared }
    }

    /// Keeps the zone up to date, and fetches it on demand. Never returns.
    pub(super) async fn keep(mut self, mut demands: mpsc::Receiver<ReplySender>) {
        let now = self.shared.clock.now();
        let held = self.served().map(|zone| (zone.timers(), self.age(now)));
        let mut schedule = CopySchedule::new(held, now, seed());
        loop {
            let now = self.shared.clock.now();
            self.shared.note(&self.apex, |copy| copy.expires = schedule.expires().or(copy.expires));
            if !self.is_expired && !schedule.is_usable(now) && self.served().is_some() {
                warn!("zone {} has expired: no comparison succeeded in its time; it answers SERVFAIL", self.apex);
                self.is_expired = true;
                self.publish(Arc::new(Zone::unavailable(self.apex.clone()))).await;
            }
            if now >= schedule.due() {
                // Each failure is in the log, once.
                let _ = self.ask(Demand::Newer, &mut schedule).await;
                continue;
            }
            let expires = schedule.expires().filter(|at| *at > now).unwrap_or(schedule.due());
            let wait = Duration::from_millis(schedule.due().min(expires).0 - now.0);
            tokio::select! {
                () = self.bell.notified() => schedule.notified(self.shared.clock.now()),
                Some(reply) = demands.recv() => {
                    let outcome = self.retransfer(&mut schedule).await;
                    // The operator may have stopped waiting; the log has the outcome.
                    let _ = reply.send(outcome);
                }
                () = sleep(RETRY), if self.is_unsaved() => self.save_again().await,
                () = sleep(wait) => {}
            }
        }
    }

    /// Fetches the zone whole, whatever its serial.
    async fn retransfer(&mut self, schedule: &mut CopySchedule) -> Result<Retransferred, RetransferError> {
        let before = self.served().map(|zone| zone.serial());
        match self.ask(Demand::Whole, schedule).await {
            Ok((serial, primary)) => Ok(Retransferred { before, serial, primary }),
            Err(failures) => Err(RetransferError::Failed(failures)),
        }
    }

    /// Asks the primaries in their order until a request succeeds. Returns the serial and the primary, or each failure.
    async fn ask(
        &mut self,
        demand: Demand,
        schedule: &mut CopySchedule,
    ) -> Result<(u32, SocketAddr), Vec<(SocketAddr, String)>> {
        let shared = self.shared.clone();
        // The semaphore is never closed. An error would only lift the limit of simultaneous fetches.
        let _slot = shared.slots.acquire().await;
        // RFC 1034 §4.3.5: an expired copy is discarded. Then a zone with any serial is accepted.
        let have = self.served();
        let mut failures = Vec::new();
        for at in 0..self.primaries.len() {
            let primary = &self.primaries[at];
            let address = primary.address;
            let fetched = fetch::fetch(primary, &self.apex, have.as_ref(), demand, shared.clock).await;
            shared.counters.compared.count(outcome(&fetched));
            match (fetched, have.clone()) {
                (Ok(Fetched::Zone(zone)), _) => {
                    self.recovered(at);
                    return Ok((self.take(Arc::from(zone), address, schedule).await, address));
                }
                (Ok(Fetched::UpToDate), Some(have)) => {
                    self.recovered(at);
                    return Ok((self.take(have, address, schedule).await, address));
                }
                // A secondary without a copy cannot be up to date: the primary sent no zone.
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

    /// Logs once that a primary fails, with the remedy.
    fn failed(&mut self, at: usize, error: &FetchError) {
        if std::mem::replace(&mut self.failing[at], true) {
            return;
        }
        let (apex, address) = (&self.apex, self.primaries[at].address);
        match error {
            FetchError::Refused(TransferRefusal::Older { .. }) => warn!(
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

    /// Stores and publishes the zone of a primary; returns its serial.
    async fn take(&mut self, zone: Arc<Zone>, primary: SocketAddr, schedule: &mut CopySchedule) -> u32 {
        let now = self.shared.clock.now();
        schedule.succeeded(zone.timers(), now);
        self.shared.note(&self.apex, |copy| copy.checked = Some(now));
        let is_served = self.served().is_some_and(|served| Arc::ptr_eq(&served, &zone));
        self.save(&zone, is_served).await;
        self.is_expired = false;
        let serial = zone.serial();
        if !is_served {
            info!("zone {} is served with serial {serial}, from {primary}", self.apex);
            self.publish(zone).await;
        }
        serial
    }

    /// Writes the copy to disk. If the write fails, the zone is served anyway.
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

    /// True if the last write of the copy failed.
    fn is_unsaved(&self) -> bool {
        self.file.as_ref().is_some_and(StateFile::is_failing)
    }

    async fn save_again(&self) {
        if let Some(zone) = self.served() {
            self.save(&zone, true).await;
        }
    }

    async fn publish(&self, zone: Arc<Zone>) {
        // If the publisher has stopped, the process is about to end.
        if self.shared.updates.change_and_wait(Change::Zone(zone)).await.is_ok() {
            self.shared.announce();
        }
    }

    /// The served zone; `None` if there is no copy, or if the copy has expired.
    fn served(&self) -> Option<Arc<Zone>> {
        let snapshot = self.shared.published.load();
        let (id, _) = snapshot.zones().at_apex(self.apex.as_name())?;
        Some(snapshot.zones().base(id).clone()).filter(|zone| zone.is_available())
    }

    /// The time since the served zone was last compared.
    fn age(&self, now: Moment) -> Duration {
        match (self.shared.checked(&self.apex), &self.file) {
            (Some(checked), _) => Duration::from_millis(now.0.saturating_sub(checked.0)),
            (None, Some(file)) => copy::age(file.path(), SystemTime::now()),
            (None, None) => Duration::ZERO,
        }
    }
}
