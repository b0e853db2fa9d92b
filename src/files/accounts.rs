//! Users and groups of the system, wherever it keeps them: `/etc/passwd`, or a directory such as LDAP.
//!
//! **Invariants**: a caller waits no longer than [`DEADLINE`], because a directory may not answer.
//! **Not here**: permissions of users and groups (`control`).
//!
//! getpwuid(3), getgrnam(3).

use std::fmt;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::unistd::{Gid, Group, Uid, User};

use super::{Expired, within};

/// The longest time that a caller waits. A reachable directory answers within milliseconds; an unreachable one must not block
/// a start.
const DEADLINE: Duration = Duration::from_secs(5);

/// The number that chown(2) takes for "leave it as it is".
const NO_GROUP: u32 = u32::MAX;

/// The reason why a group is not known.
#[derive(Debug)]
pub(crate) enum GroupError {
    /// The system has no such group.
    Unknown,
    /// The system does not say.
    System(Errno),
    /// The system does not answer.
    Expired(Expired),
}

impl fmt::Display for GroupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GroupError::Unknown => f.write_str("this machine has no such group"),
            GroupError::System(error) => write!(f, "failed to look it up: {}", error.desc()),
            GroupError::Expired(error) => write!(f, "failed to look it up: {error}"),
        }
    }
}

impl std::error::Error for GroupError {}

/// The number of a group. As for chown(1), a group whose name is a number is preferred to the group of that number, and a number
/// need not have a name.
pub(crate) fn group(name: &str) -> Result<u32, GroupError> {
    let wanted = name.to_string();
    let found = ask("the groups of this machine", move || Group::from_name(&wanted));
    match (found.map_err(GroupError::Expired)?, name.parse()) {
        (Ok(Some(group)), _) => Ok(group.gid.as_raw()),
        (_, Ok(number)) if number != NO_GROUP => Ok(number),
        (Ok(None), _) => Err(GroupError::Unknown),
        (Err(error), _) => Err(GroupError::System(error)),
    }
}

/// The name of a group, or its number if no name is found.
pub(crate) fn group_name(gid: u32) -> String {
    let found = ask("the groups of this machine", move || Group::from_gid(Gid::from_raw(gid)));
    found.ok().and_then(Result::ok).flatten().map_or_else(|| gid.to_string(), |group| group.name)
}

/// The login of a user; `None` if the system knows no such user, or does not answer.
pub(crate) fn login(uid: u32) -> Option<String> {
    let found = ask("the users of this machine", move || User::from_uid(Uid::from_raw(uid)));
    found.ok()?.ok()?.map(|user| user.name)
}

fn ask<T: Send + 'static>(what: &str, question: impl FnOnce() -> T + Send + 'static) -> Result<T, Expired> {
    within(Path::new(what), DEADLINE, |_| question())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_groups_and_nothing_else_is() {
        assert_eq!((group("root").unwrap(), group("0").unwrap(), group("4000000000").unwrap()), (0, 0, 4_000_000_000));
        for wrong in ["no-such-group-here", "4294967295", "-1", "99999999999"] {
            assert!(matches!(group(wrong), Err(GroupError::Unknown)), "{wrong}");
        }
        assert_eq!((group_name(0), group_name(4_000_000_000)), ("root".into(), "4000000000".into()));
    }

    #[test]
    fn a_user_has_a_login_if_the_system_knows_it() {
        assert_eq!((login(0), login(4_000_000_000)), (Some("root".into()), None));
    }
}
