//! The line of the log for an address whose health changes.
//!
//! **Invariants**: one line a change; an address that is up at its first probe writes no line.
//! **Not here**: the health ([`crate::mirror`]).

use tracing::{info, warn};

use super::super::Finding;
use super::super::keep::AddressKey;
use crate::mirror::{Health, HttpVersion, ProtocolTracks, Verdict};

/// Logs the change of an address, if there is one.
pub(super) fn log_edge(
    (mirror, address): &AddressKey,
    before: &ProtocolTracks,
    after: &ProtocolTracks,
    finding: &Finding,
) {
    let reason = finding.cause.as_ref().map(|cause| format!(": {cause}; {}", cause.remedy())).unwrap_or_default();
    let verdict = finding.verdict.as_str();
    let is_expiring = |tracks: &ProtocolTracks| tracks.verdicts().any(|(_, verdict)| verdict == Verdict::Expiring);
    match (before.health(), after.health()) {
        (Health::Up, Health::Up) if is_expiring(after) && !is_expiring(before) => {
            warn!("mirror {mirror} at {address} is {verdict}{reason}");
        }
        (before, after) if before == after => {}
        (Health::Untried, Health::Up) => {}
        (_, Health::Up) => info!("mirror {mirror} at {address} is up again"),
        (_, _) => {
            // The protocol matters only if the other one serves.
            let is_good =
                |(version, verdict): (HttpVersion, Verdict)| finding.spoken != Some(version) && verdict.is_good();
            let over = finding.spoken.filter(|_| after.verdicts().any(is_good));
            let over = over.map(|version| format!(" over {}", version.title())).unwrap_or_default();
            warn!("mirror {mirror} at {address} is down{over}, {verdict}{reason}");
        }
    }
}
