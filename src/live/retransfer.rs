//! Requests of an operator to fetch a zone whole, from the service that takes them to the one that fetches.
//!
//! **Invariants**: every request is answered, or its sender learns that the process is about to end.
//! **Not here**: fetching (transfer), authorization (control).

use std::fmt;
use std::net::SocketAddr;

use super::requests::{RequestInbox, Requests};
use crate::base::name::NameBuf;

/// The receiver of requests to fetch a zone whole, whatever its serial, which are answered when it is served.
pub(crate) type RetransferInbox = RequestInbox<NameBuf, Result<Retransferred, RetransferError>>;

/// The sender of such requests.
pub(crate) type Retransfers = Requests<NameBuf, Result<Retransferred, RetransferError>>;

/// A zone that was fetched whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Retransferred {
    /// The serial of the copy until then; `None` if there was no usable copy.
    pub(crate) before: Option<u32>,
    /// The serial that is served now.
    pub(crate) serial: u32,
    /// The primary.
    pub(crate) primary: SocketAddr,
}

/// The reason why a zone was not fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RetransferError {
    /// It has no primaries.
    NotACopy,
    /// Too many requests for this zone wait already.
    Busy,
    /// Each primary failed, with its reason.
    Failed(Vec<(SocketAddr, String)>),
    /// The process is about to end, or the zone was taken out of the configuration.
    Stopping,
}

impl fmt::Display for RetransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RetransferError::NotACopy => f.write_str("it has no `primaries`"),
            RetransferError::Busy => f.write_str("other requests for it wait already"),
            RetransferError::Failed(primaries) => {
                let reasons: Vec<_> = primaries.iter().map(|(primary, why)| format!("{primary}: {why}")).collect();
                f.write_str(&reasons.join("; "))
            }
            RetransferError::Stopping => f.write_str("the server is stopping, or reloads"),
        }
    }
}

impl std::error::Error for RetransferError {}
