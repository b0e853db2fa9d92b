//! The key of a fleet, from its file.
//!
//! **Invariants**: a key is never shown, not even a wrong one.

use crate::base::diagnostic::Diagnostic;
use crate::config::FleetConfig;
use crate::fleet::FleetKey;

/// Reads the key; beside it is a warning if others may use its file.
pub(crate) fn read(fleet: &FleetConfig) -> Result<(FleetKey, Option<Diagnostic>), Box<Diagnostic>> {
    let (place, reason) = (&fleet.key.place, "a program with the key and the store can send all clients elsewhere");
    let (text, warning) = super::keys::text_of_file(&fleet.key, "the key of the fleet", place, reason)?;
    let bad = || {
        let problem = Diagnostic::error("bad-fleet-key", "the key of `[fleet]` is not 64 hexadecimal digits");
        Box::new(
            problem.at(place.clone(), "this file").help("`openssl rand -hex 32` makes one; all servers have the same"),
        )
    };
    Ok((FleetKey::parse(&text).ok_or_else(bad)?, warning))
}
