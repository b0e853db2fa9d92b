//! One zone that is kept elsewhere: compared, fetched, kept on disk, published, given up.
//!
//! **Invariants**: what is served is what was last fetched whole, until it expires; the copy on disk is written before
//! the zone is published, so that it is never older than what is served.
//! **Not here**: when ([`super::schedule`]), how to fetch ([`super::fetch`]).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tokio::time::sleep;
use tracing::{info, warn};

use super::Shared;
use super::fetch::{self, FetchError, Fetched, Primary};
use super::schedule::Schedule;
use crate::base::name::NameBuf;
use crate::base::time::Moment;
use crate::load::zone::copy;
use crate::process::seed;
use crate::process::work::{self, Lane};
use crate::snapshot::Change;
use crate::telemetry::transfer::Compared;
use crate::zone::Zone;

/// A secondary zone.
#[derive(Debug)]
pub(super) struct Secondary {
    pub(super) apex: NameBuf,
    pub(super) primaries: Vec<Primary>,
    /// Where the copy is kept.
    pub(super) file: Option<PathBuf>,
    /// Rings when a primary says that the zone has changed.
    pub(super) bell: Arc<Notify>,
    pub(super) shared: Arc<Shared>,
}

/// What the last comparison came to, so that each change of it is one line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
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
        Err(FetchError::Signature(_)) => Compared::BadSignature,
        Err(FetchError::Refused(_)) => Compared::Refused,
    }
}

impl Secondary {
    /// Keeps the zone, for ever.
    pub(super) async fn keep(self) {
        let now = self.shared.clock.now();
        let served = self.served();
        if let Some(zone) = &served {
            self.shared.hold(&self.apex, zone.clone());
        }
        let held = served.map(|zone| (zone.timers(), self.age(now)));
        let mut standing = Standing::Good;
        let mut schedule = Schedule::new(held, now, seed());
        loop {
            let now = self.shared.clock.now();
            self.shared.note_expiry(&self.apex, schedule.expires());
            if standing != Standing::Expired && !schedule.is_usable(now) && self.served().is_some() {
                warn!("zone {} has expired: no primary could be reached in time; it answers SERVFAIL", self.apex);
                standing = Standing::Expired;
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
                () = sleep(wait) => {}
            }
        }
    }

    /// Asks the primaries in their order until one can tell.
    async fn compare(&self, schedule: &mut Schedule, standing: &mut Standing) {
        // The semaphore is never closed; without it there would only be more at once.
        let _slot = self.shared.slots.acquire().await;
        let have = self.held();
        for primary in &self.primaries {
            let fetched = fetch::fetch(primary, &self.apex, have.as_ref(), self.shared.clock).await;
            self.shared.counters.compared(outcome(&fetched));
            match fetched {
                Ok(fetched) => return self.take(fetched, have, primary, schedule, standing).await,
                Err(error) if *standing == Standing::Good => {
                    warn!("failed to compare zone {} with {}: {error}", self.apex, primary.address);
                }
                Err(_) => {}
            }
        }
        schedule.failed(self.shared.clock.now());
        if *standing == Standing::Good {
            *standing = Standing::Failing;
        }
    }

    async fn take(
        &self,
        fetched: Fetched,
        have: Option<Arc<Zone>>,
        primary: &Primary,
        schedule: &mut Schedule,
        standing: &mut Standing,
    ) {
        let zone = match (fetched, have) {
            (Fetched::Zone(zone), _) => Arc::from(zone),
            (Fetched::UpToDate, Some(have)) => have,
            // Only whoever has something is told that it is up to date.
            (Fetched::UpToDate, None) => return schedule.failed(self.shared.clock.now()),
        };
        let now = self.shared.clock.now();
        schedule.succeeded(zone.timers(), now);
        self.shared.note_checked(&self.apex, now);
        let is_served = self.served().is_some_and(|served| Arc::ptr_eq(&served, &zone));
        self.save(&zone, is_served).await;
        if !is_served {
            self.shared.hold(&self.apex, zone.clone());
            info!("zone {} is served with serial {}, from {}", self.apex, zone.serial(), primary.address);
            self.publish_shared(zone).await;
        } else if *standing != Standing::Good {
            info!("zone {} can be compared again, with {}", self.apex, primary.address);
        }
        *standing = Standing::Good;
    }

    /// Keeps the copy on disk; that it cannot be kept is no reason not to serve it.
    async fn save(&self, zone: &Arc<Zone>, is_served: bool) {
        let Some(file) = self.file.clone() else { return };
        let zone = zone.clone();
        let saved = work::submit(Lane::Keep, move || match is_served {
            true => copy::touch(&file, SystemTime::now()).or_else(|_| copy::write(&file, &zone)),
            false => copy::write(&file, &zone),
        });
        if let Err(error) = saved.await.unwrap_or_else(|lost| Err(lost.into())) {
            warn!(%error, "failed to write the copy of zone {}; after a restart it has to be fetched anew", self.apex);
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

    /// What there is to compare: what is served, or what was until it expired.
    fn held(&self) -> Option<Arc<Zone>> {
        self.served().or_else(|| self.shared.held(&self.apex))
    }

    /// How long ago what is served was last compared.
    fn age(&self, now: Moment) -> Duration {
        match (self.shared.checked(&self.apex), &self.file) {
            (Some(checked), _) => Duration::from_millis(now.0.saturating_sub(checked.0)),
            (None, Some(file)) => copy::age(file, SystemTime::now()),
            (None, None) => Duration::ZERO,
        }
    }
}
