//! The ruling on an address by the views of several servers.
//!
//! A server that alone cannot reach a mirror has a fault on its own path, and the mirror stays up for its clients. A fault of
//! the mirror itself, such as a wrong certificate, one server can see for all.
//!
//! **Invariants**: pure; without peers the ruling is one's own view; a peer counts for an address only if it probes it.
//! **Not here**: probes and the thresholds of one's own view ([`crate::mirror::Track`]); the age of a peer's view
//! ([`super::Roster`]).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::mirror::{Health, Verdict};

/// An address that a server does not see as up, after as many failures as its own settings require.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TroubledAddress {
    /// The mirror.
    pub(crate) mirror: Arc<str>,
    /// The address.
    pub(crate) address: IpAddr,
    /// The health that the server's own probes give.
    pub(crate) health: Health,
    /// The last verdict; `None` if the address was down at the start of the server, and is not probed yet.
    pub(crate) verdict: Option<Verdict>,
}

/// The addresses that a server probes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProbedAddresses {
    /// Their number.
    pub(crate) count: u32,
    /// A digest of their list, 64 hexadecimal digits. Servers with the same digest probe the same addresses.
    pub(crate) digest: Arc<str>,
    /// Those that are not up.
    pub(crate) troubled: Vec<TroubledAddress>,
    /// The number of addresses that are not up and for which the document has no room.
    pub(crate) omitted: u32,
    /// The number of addresses that do not answer, or lack content, those without room included.
    pub(crate) silent: u32,
}

impl ProbedAddresses {
    /// The addresses that a server probes, with all that are not up.
    pub(crate) fn new(count: u32, digest: Arc<str>, troubled: Vec<TroubledAddress>) -> Self {
        let silent = troubled.iter().filter(|address| is_path(address.health)).count();
        ProbedAddresses { count, digest, omitted: 0, silent: u32::try_from(silent).unwrap_or(u32::MAX), troubled }
    }

    /// True if most addresses do not answer, which the server's own connection may explain.
    pub(crate) fn is_panic(&self) -> bool {
        u64::from(self.silent) * 2 > u64::from(self.count)
    }
}

/// True for a health that the path to the mirror can explain, or its load.
pub(super) fn is_path(health: Health) -> bool {
    matches!(health, Health::Down | Health::Missing)
}

/// The view of this server on one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OwnView {
    /// The health by its own probes.
    pub(crate) health: Health,
    /// True if this server is isolated, so that its view on paths does not count.
    pub(crate) is_isolated: bool,
}

/// The ruling on one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FleetRuling {
    /// The health that counts.
    pub(crate) health: Health,
    /// The number of servers that see the address as not up, this one included.
    pub(crate) against: u16,
    /// The number of servers with a view, this one included.
    pub(crate) of: u16,
    /// True if one other server sees a fault of the mirror itself, which this server should look for at once.
    pub(crate) is_doubtful: bool,
}

/// The rulings on the addresses that some server does not see as up, by mirror and address.
pub(crate) type FleetRulings = BTreeMap<(Arc<str>, IpAddr), FleetRuling>;

/// The views of the peers that have a vote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PeerVotes {
    /// The peers that probe the same addresses as this server, and name all that are not up.
    alike: u16,
    /// By mirror and address, the health that each of the peers sees that does not see it up.
    troubled: BTreeMap<(Arc<str>, IpAddr), Vec<Health>>,
    /// As `troubled`, of peers that probe other addresses than this server, or omit some: these peers have no view on the rest.
    elsewhere: BTreeMap<(Arc<str>, IpAddr), Vec<Health>>,
}

impl PeerVotes {
    /// Collects the views of peers. `digest` is that of the addresses that this server probes.
    pub(crate) fn of<'p>(peers: impl IntoIterator<Item = &'p ProbedAddresses>, digest: &str) -> Self {
        let mut votes = PeerVotes::default();
        for peer in peers {
            // An address for which a document has no room is not up, or it is: its server has no view on it.
            let is_alike = *peer.digest == *digest && peer.omitted == 0;
            votes.alike += u16::from(is_alike);
            let views = if is_alike { &mut votes.troubled } else { &mut votes.elsewhere };
            for TroubledAddress { mirror, address, health, .. } in &peer.troubled {
                views.entry((mirror.clone(), *address)).or_default().push(*health);
            }
        }
        votes
    }

    /// Rules on an address.
    pub(crate) fn rule(&self, mirror: &Arc<str>, address: IpAddr, own: OwnView) -> FleetRuling {
        let key = (mirror.clone(), address);
        let of = |views: &BTreeMap<_, Vec<Health>>| views.get(&key).cloned().unwrap_or_default();
        let (alike, elsewhere) = (of(&self.troubled), of(&self.elsewhere));
        let peers = usize::from(self.alike) + elsewhere.len();
        let against: Vec<Health> = alike.into_iter().chain(elsewhere).collect();
        let is_known = own.health != Health::Untried;
        let ruling = |health, is_doubtful| FleetRuling {
            health,
            against: (against.len() + usize::from(is_known && own.health != Health::Up)) as u16,
            of: (peers + usize::from(is_known)) as u16,
            is_doubtful,
        };
        let faults = against.iter().filter(|health| **health == Health::Bad).count();
        match own.health {
            Health::Bad => return ruling(Health::Bad, false),
            _ if faults >= 2 => return ruling(Health::Bad, false),
            _ => {}
        }
        let has_vote = is_known && !own.is_isolated;
        let voters = peers + usize::from(has_vote);
        let down = against.iter().filter(|health| is_path(**health)).count();
        let down = down + usize::from(has_vote && is_path(own.health));
        let health = match (2 * down).cmp(&voters) {
            std::cmp::Ordering::Greater if is_path(own.health) => own.health,
            // The mildest view: a mirror that serves some clients ranks before one that lacks content.
            std::cmp::Ordering::Greater => {
                against.iter().copied().filter(|view| is_path(*view)).min().unwrap_or(Health::Down)
            }
            std::cmp::Ordering::Less if is_known => Health::Up,
            std::cmp::Ordering::Less | std::cmp::Ordering::Equal => own.health,
        };
        ruling(health, faults == 1)
    }
}

/// True if this server cannot judge paths: most of its addresses do not answer, and most peers do not see that.
pub(crate) fn is_isolated<'p>(own: &ProbedAddresses, peers: impl IntoIterator<Item = &'p ProbedAddresses>) -> bool {
    let (mut all, mut calm) = (0, 0);
    for peer in peers {
        all += 1;
        calm += usize::from(!peer.is_panic());
    }
    own.is_panic() && 2 * calm > all
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    /// A peer that probes the same ten addresses, and sees this health at [`ADDRESS`].
    fn peer(health: Health) -> ProbedAddresses {
        let troubled = TroubledAddress { mirror: "m".into(), address: ADDRESS, health, verdict: None };
        let troubled = if health == Health::Up { Vec::new() } else { vec![troubled] };
        ProbedAddresses::new(10, "same".into(), troubled)
    }

    fn rule(own: Health, peers: &[Health]) -> (Health, String, bool) {
        let peers: Vec<_> = peers.iter().copied().map(peer).collect();
        let own = OwnView { health: own, is_isolated: false };
        let FleetRuling { health, against, of, is_doubtful } =
            PeerVotes::of(&peers, "same").rule(&"m".into(), ADDRESS, own);
        (health, format!("{against} of {of}"), is_doubtful)
    }

    #[test]
    fn a_path_that_one_server_alone_cannot_take_leaves_the_mirror_up() {
        use Health::{Down, Missing, Up};
        assert_eq!(rule(Down, &[Up, Up, Up]), (Up, "1 of 4".into(), false));
        assert_eq!(rule(Up, &[Down, Down, Down]), (Down, "3 of 4".into(), false));
        assert_eq!(rule(Up, &[Down, Down, Missing]), (Down, "3 of 4".into(), false));
        assert_eq!(rule(Missing, &[Down, Down, Up]), (Missing, "3 of 4".into(), false));
    }

    #[test]
    fn in_a_tie_and_alone_the_own_view_counts() {
        use Health::{Down, Untried, Up};
        assert_eq!(rule(Down, &[]).0, Down);
        assert_eq!(rule(Up, &[]).0, Up);
        assert_eq!(rule(Untried, &[]), (Untried, "0 of 0".into(), false));
        assert_eq!(rule(Down, &[Up]), (Down, "1 of 2".into(), false));
        assert_eq!(rule(Up, &[Down]), (Up, "1 of 2".into(), false));
        assert_eq!(rule(Down, &[Down, Up, Up]).0, Down);
        assert_eq!(rule(Up, &[Down, Down, Up]).0, Up);
    }

    #[test]
    fn a_fault_of_the_mirror_itself_needs_no_majority() {
        use Health::{Bad, Down, Up};
        assert_eq!(rule(Bad, &[Up, Up, Up]), (Bad, "1 of 4".into(), false));
        assert_eq!(rule(Up, &[Bad, Bad, Up]), (Bad, "2 of 4".into(), false));
        assert_eq!(rule(Up, &[Bad, Up, Up]), (Up, "1 of 4".into(), true));
        assert_eq!(rule(Down, &[Bad, Up, Up]), (Up, "2 of 4".into(), true));
    }

    #[test]
    fn a_new_server_takes_the_view_of_the_others() {
        use Health::{Down, Untried, Up};
        assert_eq!(rule(Untried, &[Down, Down, Up]), (Down, "2 of 3".into(), false));
        assert_eq!(rule(Untried, &[Up, Up, Down]), (Untried, "1 of 3".into(), false));
    }

    #[test]
    fn an_isolated_server_takes_the_view_of_the_others() {
        let votes = PeerVotes::of(&[peer(Health::Up), peer(Health::Up), peer(Health::Down)], "same");
        let own = OwnView { health: Health::Down, is_isolated: true };
        assert_eq!(votes.rule(&"m".into(), ADDRESS, own).health, Health::Up);
        let most = |count: u8| {
            let one =
                |last| TroubledAddress { address: [192, 0, 2, last].into(), ..peer(Health::Down).troubled.remove(0) };
            ProbedAddresses::new(4, "same".into(), (0..count).map(one).collect())
        };
        assert!(is_isolated(&most(3), &[most(0), most(2), most(3)]));
        assert!(!is_isolated(&most(3), &[most(0), most(3)]), "half of the peers see the same");
        assert!(!is_isolated(&most(2), &[most(0), most(0)]), "half of its addresses answer");
        assert!(!is_isolated(&most(4), &[]), "alone, nothing tells");
    }

    #[test]
    fn a_peer_with_other_addresses_counts_for_those_it_names_alone() {
        let other = |health| ProbedAddresses { digest: "other".into(), ..peer(health) };
        let votes = |peers: &[ProbedAddresses]| {
            PeerVotes::of(peers, "same").rule(
                &"m".into(),
                ADDRESS,
                OwnView { health: Health::Down, is_isolated: false },
            )
        };
        assert_eq!((votes(&[other(Health::Up)]).health, votes(&[other(Health::Up)]).of), (Health::Down, 1));
        let named = votes(&[other(Health::Down), peer(Health::Up)]);
        assert_eq!((named.health, named.against, named.of), (Health::Down, 2, 3));
    }
    #[test]
    fn a_peer_has_no_view_on_addresses_that_its_document_has_no_room_for() {
        let full = ProbedAddresses { omitted: 3, silent: 8, ..peer(Health::Up) };
        let votes = PeerVotes::of([&full, &full, &full], "same");
        let down = OwnView { health: Health::Down, is_isolated: false };
        let ruling = votes.rule(&"m".into(), ADDRESS, down);
        assert_eq!((ruling.health, ruling.of), (Health::Down, 1), "the others may see it as down too");
        assert!(full.is_panic() && !is_isolated(&full, [&full, &full]), "those without room count");
    }
}
