//! Control: requests of operators to the running server, and overrides of mirrors.
//!
//! [`Control::open`] binds the socket and reads the overrides in force, before anything is served; [`Control::start`] opens
//! the desk once the server serves. The same [`Desk`] answers clients of the socket, and clients of the admin listener that
//! have the token. [`client::ask`] is the client, for the command line.
//!
//! ```text
//! pharos mirror … ──► socket ──┐
//!                              ├──► Desk ──► ledger ──► state file, then live::Updates, then a line of the log
//! PUT /mirrors/… ──► admin ────┘     └─────► Published: lists, status, explain
//! ```
//!
//! **Invariants**: everything that a client can make longer or larger has a limit; an override is kept on the disk and
//! served before it is acknowledged; a state file that cannot be used costs only the overrides in it.
//! **Not here**: the effect of overrides on answers ([`crate::mirror`], [`crate::steer`]), HTTP over TCP and the token
//! (`http`), layout (`cli`).

mod about;
mod answer;
mod atlas;
mod chronicle;
pub(crate) mod client;
mod desk;
mod ledger;
mod operator;
mod request;
mod running;
mod shared;
mod socket;
mod standing;
mod store;
pub(crate) mod view;

use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc;
use tracing::{info, warn};

pub(crate) use about::{About, FleetAbout, ListenerCertificate};
pub use chronicle::FORM as HISTORY;
pub(crate) use chronicle::{Chronicle, UNKEPT as HISTORY_UNKEPT};
pub(crate) use desk::Desk;
pub(crate) use operator::Caller;
pub(crate) use request::encode;
pub(crate) use running::OperatorRequests;
pub use shared::FORM as FLEET_STATE;
pub(crate) use socket::{MAX_BODY_LEN, OpenError};
pub use store::FORM as STATE;

use crate::base::time::UnixTime;
use crate::config;
use crate::files::state::{Useless, peek, recall};
use crate::listen::Common;
use crate::live::{Published, Readiness, SharedChanges, Updates};
use crate::process::state::{StateFile, StateFiles};
use crate::process::{Clock, Lock, Vital};
use crate::snapshot::{Overrides, Snapshot};
use crate::telemetry::HINTS;
use atlas::Atlas;
use ledger::Ledger;
use running::RunningServer;
use shared::SharedLedger;
use socket::Serving;
use standing::StandingOverrides;

/// The consequence of overrides that cannot be written, for the log.
const UNKEPT: &str = "new overrides are refused until it is written";

/// The same of shared overrides.
const UNSHARED: &str = "new overrides are refused, and a restart has those of the other servers from the store alone";

/// The socket with its desk, and the overrides in force.
pub(crate) struct Control {
    desk: Arc<Desk>,
    serving: Serving,
    /// The overrides to apply before the first answer.
    standing: StandingOverrides,
    readiness: Arc<Readiness>,
    state: StateFile,
    /// The changes that the fleet shares, until the ledger starts.
    shared: Option<SharedLedger>,
    /// The end of the exchange of overrides with the fleet, until it starts. `None` for a server alone.
    pub(crate) changes: Option<SharedChanges>,
    /// No other server writes the same file.
    _lock: Lock,
}

impl Control {
    /// Binds the socket and reads the state. Until [`Control::start`], requests are answered that the server is starting.
    ///
    /// `group` is the group whose members may connect, besides the server's user and root.
    pub(crate) fn open(
        config: &config::ControlConfig,
        group: Option<u32>,
        readiness: Arc<Readiness>,
        files: StateFiles,
        desk: Arc<Desk>,
        fleet: Option<&config::FleetConfig>,
        common: &Common,
    ) -> Result<Self, OpenError> {
        let bound = socket::bind(&config.socket, group)?;
        let lock = Lock::take(&config.state).map_err(OpenError::Lock)?;
        let mut standing = recall_overrides(config, Clock::civil()).map_err(OpenError::State)?;
        let share = |fleet: &config::FleetConfig| {
            let file = files.file(fleet.state.clone(), &FLEET_STATE, UNSHARED);
            SharedLedger::open(fleet.name.clone(), file, &mut standing, Clock::civil_millis).map_err(OpenError::State)
        };
        let (shared, changes) = fleet.map(share).transpose()?.unzip();
        if let Some(order) = &standing.server {
            warn!("`/ready` answers 503, as before the restart: the server is {}", ledger::told(order));
            readiness.drain(Some(order.clone()));
        }
        info!("listening at {} (control)", config.socket.display());
        info!(target: HINTS, "try: pharos mirror list --socket {}", config.socket.display());
        let system = |error| OpenError::System { path: config.socket.clone(), error };
        let serving = Serving::start(bound, desk.clone(), common).map_err(system)?;
        let state = files.file(config.state.clone(), &STATE, UNKEPT);
        Ok(Control { desk, serving, standing, readiness, state, shared, changes, _lock: lock })
    }

    /// The overrides of mirrors that were in force when the process started.
    pub(crate) fn overrides(&self) -> &Overrides {
        &self.standing.mirrors
    }

    /// Opens the desk, and starts the ledger with the overrides in force, which the published snapshot already has.
    pub(crate) fn start(
        &mut self,
        published: &Arc<Published>,
        updates: Updates,
        clock: Clock,
        requests: OperatorRequests,
        about: About,
        vital: &Vital,
    ) {
        let (ledger, inbox) = mpsc::channel(ledger::MAX_WAITING);
        let (standing, file) = (self.standing.clone(), self.state.clone());
        let (readiness, shared) = (self.readiness.clone(), self.shared.take());
        let overrides = Ledger { standing, file, updates, readiness, clock: Clock::civil, shared };
        tokio::spawn(vital.guard("ledger of overrides", overrides.run(inbox)));
        warn_of_gone(&published.load());
        let (published, atlas) = (published.clone(), Atlas::default());
        self.desk.open(RunningServer { published, clock, ledger, requests, about, atlas });
    }

    /// Stops answering; the file of the socket is removed when this returns.
    pub(crate) async fn stop(self) {
        self.serving.stop().await;
    }
}

/// Opens a desk without `[control]`. It answers requests to read. Its overrides have no ledger, and no listener lets such
/// requests in.
pub(crate) fn open_for_readers(
    desk: &Desk,
    published: &Arc<Published>,
    clock: Clock,
    requests: OperatorRequests,
    about: About,
) {
    let (ledger, _) = mpsc::channel(ledger::MAX_WAITING);
    let (published, atlas) = (published.clone(), Atlas::default());
    desk.open(RunningServer { published, clock, ledger, requests, about, atlas });
}

/// Warns of overrides whose mirrors the configuration does not have.
pub(crate) fn warn_of_gone(snapshot: &Snapshot) {
    for (name, order) in view::gone(snapshot) {
        let what = order.forced.as_str();
        warn!(
            "the override ({what}) of mirror {name} is kept, but the configuration has no such mirror; \
             `pharos mirror auto {name}` removes it"
        );
    }
}

/// A sentence on overrides that the next start will not find in their file; `None` if the file is whole or missing.
///
/// An empty file counts as a loss: the server replaces its file whole, but a full or broken file system leaves empty files.
pub(crate) fn loss(path: &Path) -> Option<String> {
    match peek(path, &STATE, store::decode) {
        Err(useless) if useless.may_be_replaced() => {
            Some(format!("`{}` is damaged: the overrides of operators in it are lost", path.display()))
        }
        Ok(None) if path.exists() => {
            Some(format!("`{}` is empty: overrides of operators that were in it are lost", path.display()))
        }
        _ => None,
    }
}

/// The overrides of the last run that have not ended since.
fn recall_overrides(config: &config::ControlConfig, now: UnixTime) -> Result<StandingOverrides, Useless> {
    let mut standing = match recall(&config.state, &STATE, store::decode) {
        Ok(Some(standing)) => standing,
        Ok(None) => {
            if let Some(loss) = loss(&config.state) {
                warn!("{loss}");
            }
            StandingOverrides::default()
        }
        Err(useless) if !useless.may_be_replaced() => return Err(useless),
        Err(useless) => {
            warn!("the overrides of operators are lost: {useless}");
            StandingOverrides::default()
        }
    };
    for (subject, order) in standing.take_over(now) {
        ledger::log_end(&subject, &order);
    }
    Ok(standing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::{Forced, Override, Reason};

    #[test]
    fn an_override_that_ended_while_nothing_ran_is_not_applied() {
        let folder = tempfile::tempdir().unwrap();
        let config = config::ControlConfig {
            socket: folder.path().join("control.sock"),
            group: None,
            state: folder.path().join("orders.json"),
        };
        let order = |until| Override {
            forced: Forced::Up,
            reason: Reason::parse("a test").unwrap(),
            who: "us".into(),
            since: UnixTime(1000),
            until,
        };
        let orders: Overrides = [
            ("over".into(), order(Some(UnixTime(2000)))),
            ("stands".into(), order(Some(UnixTime(2001)))),
            ("stays".into(), order(None)),
        ]
        .into();
        let standing = StandingOverrides {
            mirrors: orders,
            server: Some(Override { forced: Forced::Drain, ..order(Some(UnixTime(2000))) }),
        };
        std::fs::write(&config.state, store::encode(&standing)).unwrap();
        let recall = |now| recall_overrides(&config, UnixTime(now)).unwrap();
        let names = |now| recall(now).mirrors.into_keys().collect::<Vec<_>>();
        assert!(recall(1999).server.is_some() && recall(2000).server.is_none());
        assert_eq!(names(1999), ["over".into(), "stands".into(), "stays".into()] as [Arc<str>; 3]);
        assert_eq!(names(2000), ["stands".into(), "stays".into()] as [Arc<str>; 2]);
        // If the clock is set back, the override is in force again until its end.
        assert_eq!(names(1000).len(), 3);
    }
}
