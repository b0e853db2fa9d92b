//! Fair shares of a limited capacity, by client network.
//!
//! A network may take one more unit while it holds fewer units than are free. One network alone gets half, two networks
//! get a third each, and so on; a share is always left for the next network. Equal fixed shares were rejected, because
//! the number of networks must be known in advance and most of the capacity stays unused.
//!
//! **Invariants**: pure; memory is bounded by the capacity, because a network that holds no unit has no entry.
//! **Not here**: the limited resources ([`super::known`], [`crate::http`]).

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use super::known::ASKED_PER_SECOND;
use crate::base::prefix::Prefix;
use crate::base::time::Moment;

/// The network whose share a client uses: an IPv4 /24 or an IPv6 /56, because one site has at least that much.
pub(crate) fn network_of(client: IpAddr) -> Prefix {
    let client = client.to_canonical();
    Prefix::holding(client, if client.is_ipv4() { 24 } else { 56 })
}

/// A capacity, and the number of units that each network holds.
#[derive(Clone, Debug)]
pub(crate) struct Shares {
    capacity: usize,
    taken: usize,
    by_network: HashMap<Prefix, usize>,
}

impl Shares {
    /// A capacity of which every unit is free.
    pub(crate) fn new(capacity: usize) -> Self {
        Shares { capacity, taken: 0, by_network: HashMap::new() }
    }

    /// The number of units taken.
    pub(crate) fn taken(&self) -> usize {
        self.taken
    }

    /// Returns whether a network may take one more unit.
    pub(crate) fn allows(&self, network: Prefix) -> bool {
        self.by_network.get(&network).copied().unwrap_or(0) < self.capacity - self.taken
    }

    /// Takes one unit for a network if its share allows it; true if it was taken.
    pub(crate) fn take(&mut self, network: Prefix) -> bool {
        if !self.allows(network) {
            return false;
        }
        *self.by_network.entry(network).or_default() += 1;
        self.taken += 1;
        true
    }

    /// Gives one unit back.
    pub(crate) fn give_back(&mut self, network: Prefix) {
        let Some(held) = self.by_network.get_mut(&network) else { return };
        *held -= 1;
        self.taken -= 1;
        if *held == 0 {
            self.by_network.remove(&network);
        }
    }
}

/// The rate limit of one mirror: [`ASKED_PER_SECOND`] requests in any second, shared out by client network.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    /// The requests of the last second, oldest first.
    asked: VecDeque<(Moment, Prefix)>,
    shares: Shares,
}

impl Default for Budget {
    fn default() -> Self {
        Budget { asked: VecDeque::new(), shares: Shares::new(ASKED_PER_SECOND as usize) }
    }
}

impl Budget {
    /// Takes one request for a network if its share allows it; true if it was taken.
    pub(crate) fn take(&mut self, network: Prefix, now: Moment) -> bool {
        while let Some(&(at, of)) = self.asked.front()
            && at.0 + 1000 <= now.0
        {
            self.asked.pop_front();
            self.shares.give_back(of);
        }
        let is_taken = self.shares.take(network);
        if is_taken {
            self.asked.push_back((now, network));
        }
        is_taken
    }

    /// Returns whether there was no request in the last second, so that the budget equals a new one.
    pub(crate) fn is_fresh(&self, now: Moment) -> bool {
        self.asked.back().is_none_or(|(at, _)| at.0 + 1000 <= now.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn network(number: u8) -> Prefix {
        network_of([10, 0, number, 7].into())
    }

    #[test]
    fn a_network_is_what_a_site_has() {
        assert_eq!(network_of("192.0.2.9".parse().unwrap()), network_of("::ffff:192.0.2.200".parse().unwrap()));
        assert_ne!(network_of("192.0.2.9".parse().unwrap()), network_of("192.0.3.9".parse().unwrap()));
        assert_eq!(network_of("2001:db8::1".parse().unwrap()), network_of("2001:db8:0:ff::1".parse().unwrap()));
        assert_ne!(network_of("2001:db8::1".parse().unwrap()), network_of("2001:db8:0:100::1".parse().unwrap()));
    }

    #[test]
    fn one_network_gets_half_and_leaves_a_share_to_each_other() {
        let mut shares = Shares::new(16);
        let mut fill = |number| (0..100).filter(|_| shares.take(network(number))).count();
        assert_eq!((fill(1), fill(2), fill(3), fill(4)), (8, 4, 2, 1));
        shares.give_back(network(1));
        assert_eq!(shares.taken(), 14);
    }

    #[test]
    fn a_flood_of_one_network_takes_no_question_from_others() {
        let mut budget = Budget::default();
        let (mut flooded, mut refused) = (0, 0);
        for now in 0..10_000 {
            if now % 11 == 0 {
                flooded += u64::from(budget.take(network(1), Moment(now)));
            }
            // Ten requests a second from several networks, which is more than the new blobs of a busy server.
            if now % 100 == 0 {
                refused += u64::from(!budget.take(network(2 + (now / 100 % 4) as u8), Moment(now)));
            }
        }
        assert_eq!(refused, 0);
        // The flood gets the part that the others leave: neither all of the budget nor none.
        assert!((10 * ASKED_PER_SECOND / 4..=10 * ASKED_PER_SECOND / 2).contains(&flooded), "{flooded}");
    }

    #[test]
    fn a_mirror_is_asked_no_more_than_its_rate_in_any_second() {
        let mut budget = Budget::default();
        let mut times = Vec::new();
        for step in 0..5000_u64 {
            for of in 0..40 {
                if budget.take(network(of), Moment(step)) {
                    times.push(step);
                }
            }
        }
        let most = times.iter().map(|from| times.iter().filter(|at| (*from..from + 1000).contains(at)).count()).max();
        assert!(most.unwrap() as u64 <= ASKED_PER_SECOND, "{most:?}");
        assert!(times.len() as u64 > 4 * ASKED_PER_SECOND, "{}", times.len());
        assert!(Budget::default().is_fresh(Moment(0)) && !budget.is_fresh(Moment(5000)));
        assert!(budget.is_fresh(Moment(6000)));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_held_adds_up_and_something_is_always_free(steps in proptest::collection::vec((0..6_u8, any::<bool>()), 0..300)) {
            let mut shares = Shares::new(16);
            let mut held = [0_usize; 6];
            for (of, takes) in steps {
                match takes {
                    true if shares.take(network(of)) => held[usize::from(of)] += 1,
                    true => prop_assert!(held[usize::from(of)] >= 16 - held.iter().sum::<usize>()),
                    false if held[usize::from(of)] > 0 => {
                        shares.give_back(network(of));
                        held[usize::from(of)] -= 1;
                    }
                    false => shares.give_back(network(of)),
                }
                let all: usize = held.iter().sum();
                prop_assert_eq!(shares.taken(), all);
                prop_assert!(all <= 16);
                prop_assert_eq!(shares.by_network.len(), held.iter().filter(|count| **count > 0).count());
            }
        }
    }
}
