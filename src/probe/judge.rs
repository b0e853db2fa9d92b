//! The rulings on addresses by the views of all servers of a fleet.
//!
//! **Invariants**: without a fleet nothing here runs; a line of the log is written when the fleet overrules this server's
//! probes, and when that ends.
//! **Not here**: the rule ([`crate::fleet::PeerVotes`]), the exchange of views (`sharing`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ring::digest::{SHA256, digest};
use tokio::sync::watch;
use tracing::{info, warn};

use super::keep::AddressKey;
use crate::base::text::hex;
use crate::fleet::{FleetRuling, FleetRulings, OwnView, PeerVotes, ProbedAddresses, TroubledAddress, is_isolated};
use crate::live::{FleetViews, OwnProbes};
use crate::mirror::{Health, Verdict};

/// Rules on addresses by the views of the fleet.
#[derive(Debug)]
pub(crate) struct FleetJudge {
    views: Arc<FleetViews>,
    peers: watch::Receiver<Arc<[ProbedAddresses]>>,
    /// The rulings that are in force.
    pub(super) rulings: Arc<FleetRulings>,
    /// The addresses that one peer sees a fault of, so that each is probed once for it.
    doubted: BTreeSet<AddressKey>,
}

impl FleetJudge {
    /// A judge that has no views of peers yet.
    pub(crate) fn new(views: Arc<FleetViews>) -> Self {
        let peers = views.peers.subscribe();
        FleetJudge { views, peers, rulings: Arc::default(), doubted: BTreeSet::new() }
    }

    /// Rules on all addresses anew. `own` has every address that is probed, with its health and last verdict by the probes of
    /// this server. Returns the addresses to probe at once.
    pub(super) fn judge(
        &mut self,
        own: &BTreeMap<AddressKey, (Health, Option<Verdict>)>,
        digest: &Arc<str>,
    ) -> Vec<AddressKey> {
        let peers = self.peers.borrow_and_update().clone();
        let probed = probed(own, digest);
        let is_isolated = is_isolated(&probed, &*peers);
        let votes = PeerVotes::of(&*peers, digest);
        let named = peers.iter().flat_map(|peer| &peer.troubled).chain(&probed.troubled);
        let mut rulings = FleetRulings::new();
        for TroubledAddress { mirror, address, .. } in named {
            let key = (mirror.clone(), *address);
            if let Some((health, _)) = own.get(&key) {
                let ruling = votes.rule(mirror, *address, OwnView { health: *health, is_isolated });
                rulings.insert(key, ruling);
            }
        }
        self.log(own, &rulings);
        let doubted: BTreeSet<AddressKey> =
            rulings.iter().filter(|(_, ruling)| ruling.is_doubtful).map(|(key, _)| key.clone()).collect();
        let due = doubted.difference(&self.doubted).cloned().collect();
        self.doubted = doubted;
        self.rulings = Arc::new(rulings);
        self.tell(OwnProbes { probed, is_isolated });
        due
    }

    /// The health of an address that counts, given that of this server's probes.
    pub(super) fn health(&self, key: &AddressKey, own: Health) -> Health {
        self.rulings.get(key).map_or(own, |ruling| ruling.health)
    }

    /// Passes the view of this server to the exchange.
    fn tell(&self, own: OwnProbes) {
        let before = self.views.own.borrow().clone();
        match (before.is_isolated, own.is_isolated) {
            (false, true) => {
                let down = own.probed.troubled.len();
                warn!(
                    "{down} of {} addresses of mirrors do not answer this server, and the other servers reach most: \
                     their view counts; look at the network of this server",
                    own.probed.count
                );
            }
            (true, false) => info!("this server reaches most mirrors again: its own view counts"),
            _ => {}
        }
        if *before != own {
            self.views.own.send_replace(Arc::new(own));
        }
    }

    fn log(&self, own: &BTreeMap<AddressKey, (Health, Option<Verdict>)>, rulings: &FleetRulings) {
        let overruled = |rulings: &FleetRulings, key: &AddressKey| {
            rulings.get(key).filter(|ruling| own.get(key).is_some_and(|(own, _)| *own != ruling.health)).copied()
        };
        for (key @ (mirror, address), FleetRuling { health, against, of, .. }) in rulings {
            let before = self.rulings.get(key).map(|before| before.health);
            // A new ruling that agrees with the own view has the line of that view.
            if before == Some(*health) || before.is_none() && overruled(rulings, key).is_none() {
                continue;
            }
            match health {
                Health::Up => {
                    let is = if before.is_none() { "stays up" } else { "is up again" };
                    info!("mirror {mirror} at {address} {is}: {against} of {of} servers see it as down");
                }
                health => {
                    warn!("mirror {mirror} at {address} is {}: {against} of {of} servers say so", health.as_str())
                }
            }
        }
        for (mirror, address) in self.rulings.keys().filter(|key| !rulings.contains_key(*key)) {
            info!("mirror {mirror} at {address} is up for all servers");
        }
    }
}

/// The view of this server.
fn probed(own: &BTreeMap<AddressKey, (Health, Option<Verdict>)>, digest: &Arc<str>) -> ProbedAddresses {
    let troubled = own.iter().filter(|(_, (health, _))| !matches!(health, Health::Up | Health::Untried));
    let troubled = troubled.map(|((mirror, address), (health, verdict))| TroubledAddress {
        mirror: mirror.clone(),
        address: *address,
        health: *health,
        verdict: *verdict,
    });
    let count = u32::try_from(own.len()).unwrap_or(u32::MAX);
    ProbedAddresses::new(count, digest.clone(), troubled.collect())
}

/// The digest of a list of addresses, which servers with the same list have in common.
pub(super) fn digest_of<'k>(keys: impl Iterator<Item = &'k AddressKey>) -> Arc<str> {
    let list: String = keys.map(|(mirror, address)| format!("{mirror}\0{address}\n")).collect();
    hex(digest(&SHA256, list.as_bytes()).as_ref()).into()
}

/// Waits until the views of the fleet have changed; for ever without a fleet.
pub(super) async fn changed(judge: Option<&mut FleetJudge>) {
    if let Some(judge) = judge
        && judge.peers.changed().await.is_ok()
    {
        return;
    }
    // After an error, the process is about to end.
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(last: u8) -> AddressKey {
        ("m".into(), [192, 0, 2, last].into())
    }

    /// Ten addresses, of which these have this health.
    fn own(health: Health, of: &[u8]) -> BTreeMap<AddressKey, (Health, Option<Verdict>)> {
        (0..10).map(|last| (key(last), (if of.contains(&last) { health } else { Health::Up }, None))).collect()
    }

    #[test]
    fn a_view_is_overruled_by_most_servers_and_only_doubts_cause_probes() {
        let views = Arc::new(FleetViews::default());
        let mut judge = FleetJudge::new(views.clone());
        let keys = own(Health::Up, &[]);
        let digest = digest_of(keys.keys());
        assert_eq!(judge.judge(&own(Health::Down, &[1]), &digest), []);
        assert_eq!(judge.health(&key(1), Health::Down), Health::Down, "alone, the own view counts");

        let calm = probed(&keys, &digest);
        let bad = probed(&own(Health::Bad, &[3]), &digest);
        views.peers.send_replace([calm.clone(), calm.clone(), bad.clone()].into());
        assert_eq!(judge.judge(&own(Health::Down, &[1]), &digest), [key(3)]);
        assert_eq!(judge.health(&key(1), Health::Down), Health::Up);
        assert_eq!(judge.health(&key(3), Health::Up), Health::Up);
        let seen = judge.rulings[&key(1)];
        assert_eq!((seen.against, seen.of), (1, 4));
        assert_eq!(judge.judge(&own(Health::Down, &[1]), &digest), [], "it was probed for that doubt");

        views.peers.send_replace([bad.clone(), bad.clone(), calm].into());
        judge.judge(&own(Health::Up, &[]), &digest);
        assert_eq!(judge.health(&key(3), Health::Up), Health::Bad);
        assert_eq!(judge.health(&key(1), Health::Up), Health::Up);
        assert_eq!(views.own.borrow().probed.troubled, []);
    }

    #[test]
    fn a_server_that_alone_reaches_nothing_takes_the_view_of_the_others() {
        let views = Arc::new(FleetViews::default());
        let mut judge = FleetJudge::new(views.clone());
        let digest = digest_of(own(Health::Up, &[]).keys());
        let peers = [probed(&own(Health::Down, &[7]), &digest), probed(&own(Health::Down, &[7]), &digest)];
        views.peers.send_replace(peers.into());
        let all: Vec<u8> = (0..10).collect();
        judge.judge(&own(Health::Down, &all), &digest);
        assert!(views.own.borrow().is_isolated);
        let health: Vec<_> = all.iter().map(|last| judge.health(&key(*last), Health::Down)).collect();
        assert_eq!(health.iter().filter(|health| **health == Health::Down).count(), 1);
        assert_eq!(health[7], Health::Down);
        views.peers.send_replace(Arc::default());
        judge.judge(&own(Health::Down, &all), &digest);
        assert!(!views.own.borrow().is_isolated, "alone, nothing tells");
    }
}
