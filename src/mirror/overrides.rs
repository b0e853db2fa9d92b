//! The override of a mirror: its kind, reason, operator, begin and end.
//!
//! **Invariants**: a reason can be shown on one line; an override that has ended is not kept ([`crate::snapshot`] holds those
//! that stand).
//! **Not here**: what an override does to a mirror's health ([`super::Standing`]), clocks.

use std::fmt;
use std::sync::Arc;

use crate::base::text::is_hidden;
use crate::base::time::UnixTime;
use crate::base::words::words;

/// The longest reason, in bytes: a sentence and where to read more; it stands in a log line and in `explain`.
pub(crate) const MAX_REASON_LEN: usize = 256;

words! {
    /// The kinds of overrides, in the order in which messages list these.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum Forced {
        /// Clients are sent elsewhere; it serves those that still know it, and when nothing else is up.
        Drain = "drain",
        /// No client is sent there while anything else is left.
        Down = "down",
        /// It is up, whatever probes say.
        Up = "up",
    }
}

/// An override that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The kind; it wins over probes.
    pub(crate) forced: Forced,
    /// The reason.
    pub(crate) reason: Reason,
    /// The operator that gave it.
    pub(crate) who: Operator,
    /// The time at which it was given.
    pub(crate) since: UnixTime,
    /// Its end; `None` if it lasts until it is taken back.
    pub(crate) until: Option<UnixTime>,
}

impl Override {
    /// Returns whether it has come to its end.
    pub(crate) fn is_over(&self, now: UnixTime) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

/// The operator that gave an override.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Operator {
    /// The login; `uid 1000` if the system knows none, `token from 192.0.2.1` for a client with the token.
    pub(crate) name: Arc<str>,
    /// The source of the name; `None` for an override that an earlier version kept.
    pub(crate) via: Option<Via>,
    /// The user of the process that asked; `None` for a client with the token.
    pub(crate) uid: Option<u32>,
}

words! {
    /// The source from which the server knows an operator.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Via {
        /// The kernel names the user of the process at the control socket.
        Login = "login",
        /// A process of root names the user that ran sudo.
        Sudo = "sudo",
        /// The client has the token of the admin listener.
        Token = "token",
    }
}

impl From<&str> for Operator {
    /// An operator with a name alone.
    fn from(name: &str) -> Self {
        Operator { name: name.into(), via: None, uid: None }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if self.via == Some(Via::Sudo) { f.write_str(" (sudo)") } else { Ok(()) }
    }
}

/// The reason for an override: one line of text, not blank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reason(Arc<str>);

/// The fault of a text that cannot be a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadReason {
    /// There is nothing in it.
    Blank,
    /// It is longer than [`MAX_REASON_LEN`].
    TooLong,
    /// It has characters that cannot be shown on one line.
    Control,
}

impl Reason {
    /// A text as a reason, without the space around it.
    pub(crate) fn parse(text: &str) -> Result<Self, BadReason> {
        match text.trim() {
            "" => Err(BadReason::Blank),
            long if long.len() > MAX_REASON_LEN => Err(BadReason::TooLong),
            odd if odd.contains(is_hidden) => Err(BadReason::Control),
            reason => Ok(Reason(reason.into())),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for BadReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadReason::Blank => f.write_str("say why: the reason is shown with the override"),
            BadReason::TooLong => write!(f, "keep the reason to {MAX_REASON_LEN} bytes"),
            BadReason::Control => f.write_str("write the reason on one line, without control characters"),
        }
    }
}

impl std::error::Error for BadReason {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line_that_says_something() {
        assert_eq!(Reason::parse(" new disks ").map(|reason| reason.to_string()), Ok("new disks".into()));
        assert_eq!(Reason::parse(" \t"), Err(BadReason::Blank));
        assert_eq!(Reason::parse("a\nINFO all is well"), Err(BadReason::Control));
        assert_eq!(Reason::parse("a\u{202e}b"), Err(BadReason::Control));
        assert!(Reason::parse(&"ä".repeat(MAX_REASON_LEN / 2)).is_ok());
        assert_eq!(Reason::parse(&"ä".repeat(MAX_REASON_LEN / 2 + 1)), Err(BadReason::TooLong));
    }
}
