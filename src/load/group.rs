//! The group of the control socket, as this machine knows it.
//!
//! **Invariants**: the number that is found can be given to chown(2).
//! **Not here**: giving the socket to it (`control`).

use std::sync::Arc;

use crate::base::diagnostic::Diagnostic;
use crate::config::Placed;
use crate::files::accounts::{self, GroupError};

/// The number of the group of `[control] group`.
pub(crate) fn find(group: &Placed<Arc<str>>) -> Result<u32, Box<Diagnostic>> {
    accounts::group(&group.value).map_err(|error| {
        let help = match error {
            GroupError::Unknown => format!(
                "`getent group` lists the groups, and `groupadd --system {}` makes this one; name another, or leave `group` out",
                group.value
            ),
            GroupError::System(_) | GroupError::Expired(_) => {
                "write the number of the group, which need not be looked up; `getent group` lists both".to_string()
            }
        };
        let problem = Diagnostic::error("unknown-group", format!("group `{}` cannot be used: {error}", group.value));
        Box::new(problem.at(group.place.clone(), "the group of the control socket").help(help))
    })
}
