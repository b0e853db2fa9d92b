//! Control: what an operator asks the running server, and what is ordered of mirrors.
//!
//! [`Control::open`] takes the socket and reads the overrides that stand, before anything is served; [`Control::start`] opens
//! the desk once the server serves. Whoever comes over the socket, or over the admin listener with the token, meets the
//! same [`Desk`]. [`client::ask`] is the other side, for the command line.
//!
//! ```text
//! pharos mirror … ──► socket ──┐
//!                              ├──► Desk ──► ledger ──► state file, then live::Updates, then a line of the log
//! PUT /mirrors/… ──► admin ────┘     └─────► Published: lists, status, explain
//! ```
//!
//! **Invariants**: everything that can be made to grow or last has a limit; an override is kept on the disk and served before
//! it is acknowledged; a state file that cannot be used costs only the overrides in it.
//! **Not here**: what an override does to answers ([`crate::mirror`], [`crate::steer`]), HTTP over TCP and the token
//! (`http`), layout (`cli`).

pub mod client;
mod desk;
mod ledger;
mod operator;
mod request;
mod socket;
mod standing;
mod store;
pub(crate) mod view;

use std::path::Path;
use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc;
use tracing::{info, warn};

pub use desk::{About, Desk, DeskResponse, ListenerCertificate};
pub use operator::Caller;
pub(crate) use request::encode;
pub use socket::OpenError;
pub use store::FORM as STATE;

use crate::base::time::UnixTime;
use crate::config;
use crate::files::state::{Useless, peek, recall};
use crate::listen::Common;
use crate::live::{Published, Readiness, Retransfers, Updates};
use crate::process::state::{StateFile, StateFiles};
use crate::process::{Clock, Lock, Vital};
use crate::snapshot::{Overrides, Snapshot};
use crate::telemetry::HINTS;
use desk::RunningServer;
use ledger::Ledger;
use socket::Serving;
use standing::StandingOverrides;

/// The longest body of a request, in octets.
pub const MAX_BODY_LEN: usize = socket::MAX_BODY_LEN;

/// The consequence of overrides that cannot be written, for the log.
const UNKEPT: &str = "new overrides are refused until it is written";

/// The socket with its desk, and the overrides that stand.
pub struct Control {
    desk: Arc<Desk>,
    serving: Serving,
    /// What is to be applied before the first answer.
    standing: StandingOverrides,
    readiness: Arc<Readiness>,
    state: StateFile,
    /// There once the server serves.
    published: OnceLock<Arc<Published>>,
    /// No other server writes the same file.
    _lock: Lock,
}

impl Control {
    /// Takes the socket and the state; until [`Control::start`] it is only told that the server starts.
    ///
    /// `group` is the group whose members may connect, besides the server's user and root.
    pub fn open(
        config: &config::ControlConfig,
        group: Option<u32>,
        readiness: Arc<Readiness>,
        files: StateFiles,
        common: &Common,
    ) -> Result<Self, OpenError> {
        let bound = socket::bind(&config.socket, group)?;
        let lock = Lock::take(&config.state).map_err(OpenError::Lock)?;
        let standing = recall_overrides(config, Clock::civil()).map_err(OpenError::State)?;
        if let Some(order) = &standing.server {
            warn!("`/ready` answers 503, as before the restart: the server is {}", ledger::told(order));
            readiness.drain(Some(order.clone()));
        }
        let desk = Arc::new(Desk::new(readiness.clone(), files.clone()));
        info!("listening at {} (control)", config.socket.display());
        info!(target: HINTS, "try: pharos mirror list --socket {}", config.socket.display());
        let system = |error| OpenError::System { path: config.socket.clone(), error };
        let serving = Serving::start(bound, desk.clone(), common).map_err(system)?;
        let (state, published) = (files.file(config.state.clone(), &STATE, UNKEPT), OnceLock::new());
        Ok(Control { desk, serving, standing, readiness, state, published, _lock: lock })
    }

    /// What answers whoever was let in.
    pub fn desk(&self) -> Arc<Desk> {
        self.desk.clone()
    }

    /// The overrides about mirrors that stood when the process started.
    pub fn overrides(&self) -> &Overrides {
        &self.standing.mirrors
    }

    /// Opens the desk, and goes on with the overrides that stand; they are in what is published.
    pub fn start(
        &self,
        published: &Arc<Published>,
        updates: Updates,
        clock: Clock,
        retransfers: Retransfers,
        about: About,
        vital: &Vital,
    ) {
        let (ledger, inbox) = mpsc::channel(ledger::MAX_WAITING);
        let (standing, file) = (self.standing.clone(), self.state.clone());
        let ledger_task =
            Ledger { standing, file, updates, readiness: self.readiness.clone(), clock: Clock::civil }.run(inbox);
        tokio::spawn(vital.guard("ledger of overrides", ledger_task));
        self.desk.open(RunningServer { published: published.clone(), clock, ledger, retransfers, about });
        let _ = self.published.set(published.clone());
        warn_of_gone(&published.load());
    }

    /// Looks at what a reload has brought.
    pub fn note_reload(&self) {
        if let Some(published) = self.published.get() {
            warn_of_gone(&published.load());
        }
    }

    /// Stops answering; the socket is gone when this returns.
    pub async fn stop(self) {
        self.serving.stop().await;
    }
}

/// Says which overrides are about mirrors that the configuration does not have.
fn warn_of_gone(snapshot: &Snapshot) {
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
/// An empty file is not ours: a file of ours is replaced whole. A file system that was full or broke down leaves such files.
pub fn loss(path: &Path) -> Option<String> {
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

/// The overrides of the last run that have not ended meanwhile.
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
        // Who set the clock back has the override again, as its end says.
        assert_eq!(names(1000).len(), 3);
    }
}
