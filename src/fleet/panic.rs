//! The views of other servers on a horizon in panic.
//!
//! A server alone takes silent mirrors for a fault of its own network. Other servers that do not reach the mirrors either
//! contradict that.
//!
//! **Invariants**: pure. An isolated server counts too: if all mirrors fail, each server is isolated until the next one sees it.
//! **Not here**: panic itself ([`crate::steer`]), the ruling on an address ([`super::votes`]).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::ProbedAddresses;
use super::votes::is_path;
use crate::base::prefix::Family;
use crate::snapshot::Snapshot;
use crate::steer::Horizon;

/// The servers that see a horizon as this one does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PanicVotes {
    /// The number of other servers that do not reach most of its mirrors.
    pub(crate) agree: usize,
    /// The number of other servers that were heard lately.
    pub(crate) of: usize,
}

impl PanicVotes {
    /// Counts the servers. A mirror is silent for one if an address of the family is.
    pub(crate) fn of<'p>(
        snapshot: &Snapshot,
        horizon: &Horizon,
        family: Family,
        peers: impl IntoIterator<Item = &'p ProbedAddresses>,
    ) -> Self {
        let mirrors = horizon.mirrors().map(|id| &snapshot.mirrors()[id.index()].name);
        let mirrors: BTreeSet<&Arc<str>> = mirrors.collect();
        let mut votes = PanicVotes::default();
        for peer in peers {
            let of_family = peer.troubled.iter().filter(|address| Family::of(address.address) == family);
            let silent = of_family.filter(|address| is_path(address.health)).map(|address| &address.mirror);
            let silent: BTreeSet<&Arc<str>> = silent.filter(|mirror| mirrors.contains(mirror)).collect();
            votes.agree += usize::from(2 * silent.len() > mirrors.len());
            votes.of += 1;
        }
        votes
    }

    /// The likely cause, as the end of a sentence about mirrors that do not answer.
    pub(crate) fn cause(self) -> String {
        let PanicVotes { agree, of } = self;
        match (of, 2 * agree > of) {
            (0, _) => ", which looks like a fault of this server's network".into(),
            (_, true) => format!(", and {agree} of {of} other servers of the fleet do not reach most of these either"),
            (_, false) => {
                let reach = of - agree;
                format!(
                    ", while {reach} of {of} other servers of the fleet reach most of these: that looks like a fault of this \
                     server's network"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::TroubledAddress;
    use crate::inspect::fixture::snapshot;
    use crate::mirror::Health;

    fn peer(silent: &[(&str, &str, Health)]) -> ProbedAddresses {
        let troubled = silent.iter().map(|(mirror, address, health)| TroubledAddress {
            mirror: (*mirror).into(),
            address: address.parse().unwrap(),
            health: *health,
            verdict: None,
        });
        ProbedAddresses::new(7, "d".into(), troubled.collect())
    }

    #[test]
    fn a_server_agrees_if_most_mirrors_of_the_horizon_are_silent_for_it_too() {
        let snapshot = snapshot();
        let votes = |peers: &[ProbedAddresses]| PanicVotes::of(&snapshot, &snapshot.horizons()[0], Family::V4, peers);
        let both = peer(&[("aws-use1", "192.0.2.10", Health::Down), ("gcp-us", "198.51.100.10", Health::Missing)]);
        let twice = peer(&[("aws-use1", "192.0.2.10", Health::Down), ("aws-use1", "192.0.2.11", Health::Down)]);
        let v6 = peer(&[("aws-use1", "2001:db8:a::10", Health::Down), ("gcp-us", "2001:db8:b::10", Health::Down)]);
        let wrong = peer(&[("aws-use1", "192.0.2.10", Health::Bad), ("gcp-us", "198.51.100.10", Health::Bad)]);
        let other = peer(&[("x", "192.0.2.10", Health::Down), ("y", "198.51.100.10", Health::Down)]);
        assert_eq!(votes(&[both.clone(), twice, v6, wrong, other]), PanicVotes { agree: 1, of: 5 });
        assert_eq!(votes(&[both]).cause(), ", and 1 of 1 other servers of the fleet do not reach most of these either");
        assert_eq!(votes(&[]).cause(), ", which looks like a fault of this server's network");
        assert!(votes(&[peer(&[])]).cause().starts_with(", while 1 of 1 other servers"));
    }
}
