//! The addresses of a mirror from lookups of its host: the rules that accept, refuse and keep addresses.
//!
//! In: the results of the lookups of A and AAAA, and the addresses known before. Out: the addresses from now on with their
//! TTL, the trouble, and whether the result is complete.
//!
//! **Invariants**: pure, time is an argument; a host that had addresses keeps some: after a failure, or if it has none any
//! more, the last good addresses stay; addresses are in ascending order, each once, at most [`MAX_OF_FAMILY`] of a family;
//! no address that clients cannot reach, and none in a special-purpose block that is not allowed.
//! **Not here**: the lookup (load), its schedule (hosts).
//!
//! RFC 8767 §5 keeps stale records for a day or three at most. Deviates: there is no such limit here, because the
//! alternative is no answer at all. An address that has not changed for a week has most likely not changed since. If mirrors
//! are probed, it is left when it does not serve.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use crate::base::name::{Name, NameBuf};
use crate::base::prefix::PrefixSet;
use crate::base::special::{self, Special};
use crate::base::time::{Ttl, UnixTime};
use crate::base::words::words;

/// The most addresses of a family: all of them are one answer, see `config::limits`.
pub(crate) const MAX_OF_FAMILY: usize = 32;

/// The addresses of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostAddresses {
    /// Its A records.
    pub v4: Vec<Ipv4Addr>,
    /// Its AAAA records.
    pub v6: Vec<Ipv6Addr>,
    /// The TTL of the addresses: the least of their records, within its bounds.
    pub ttl: Ttl,
    /// The time of the last complete lookup; before the first complete one, the time of the first partial one. `None` if
    /// there was no lookup with addresses.
    pub at: Option<UnixTime>,
}

impl HostAddresses {
    /// Returns whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// The same without addresses that the rules refuse: a file may have such addresses, and the rules may have changed.
    pub(crate) fn allowed(mut self, rules: &HostRules) -> Self {
        self.v4.retain(|address| is_allowed((*address).into(), &rules.private));
        self.v6.retain(|address| is_allowed((*address).into(), &rules.private));
        self
    }

    /// Returns whether others are so different that answers are to be made anew: a TTL that a cache has counted down a little is
    /// not.
    pub(crate) fn differ_from(&self, other: &HostAddresses) -> bool {
        let far = |a: u32, b: u32| u64::from(a.abs_diff(b)) * 4 > u64::from(b);
        (&self.v4, &self.v6) != (&other.v4, &other.v6) || far(self.ttl.0, other.ttl.0)
    }
}

/// The result of a lookup of one type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// Addresses.
    Found {
        /// The addresses.
        addresses: Vec<IpAddr>,
        /// The least TTL, aliases counted.
        ttl: Ttl,
        /// The targets of aliases, in their order.
        aliases: Vec<NameBuf>,
    },
    /// No addresses: the host has none of this type.
    Nothing,
    /// No reliable result.
    Failed(Trouble),
}

words! {
    /// The problem of a host.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(crate) enum Trouble {
        /// No server answered in time.
        Timeout = "timeout",
        /// The servers answered with an error, or could not be reached.
        Server(String) = "server",
        /// It is, or leads to, a name whose addresses come from mirrors.
        Loop(String) = "loop",
        /// One of its addresses is refused.
        Refused(IpAddr) = "refused",
        /// There is no address, or none any more.
        NoAddress = "no-address",
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Timeout => f.write_str("no resolver answered in time"),
            Trouble::Server(why) => f.write_str(why),
            Trouble::Loop(name) => write!(f, "it leads to `{name}`, whose addresses come from mirrors themselves"),
            Trouble::Refused(address) if special::impossible(*address).is_some() => {
                write!(f, "{address} is not reachable over the internet")
            }
            Trouble::Refused(address) => match special::special_purpose(*address) {
                Some(Special { block, name, rfc }) => {
                    write!(f, "{address} is in {block} ({name}, {rfc}), which `[resolver] private` does not allow")
                }
                None => write!(f, "{address} is not allowed"),
            },
            Trouble::NoAddress => f.write_str("it has no address"),
        }
    }
}

/// The rules for accepting the addresses of a host.
#[derive(Clone, Debug)]
pub(crate) struct HostRules {
    /// The bounds of a TTL, in seconds.
    pub(crate) ttl: RangeInclusive<u32>,
    /// The reserved addresses that a host may have.
    pub(crate) private: PrefixSet,
    /// The names whose addresses come from mirrors.
    pub(crate) steered: Vec<NameBuf>,
}

/// The accepted result of a lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    /// The addresses from now on.
    pub(crate) addresses: HostAddresses,
    /// The trouble, if any; addresses may have been found all the same.
    pub(crate) trouble: Option<Trouble>,
    /// True if the last lookup had answers for both types. If not, the addresses of one type are those known before.
    pub(crate) is_whole: bool,
}

/// Accepts the results of the lookups of A and AAAA, given the addresses known before.
pub(crate) fn accept(found: [Lookup; 2], known: &HostAddresses, rules: &HostRules, now: UnixTime) -> Accepted {
    let [a, aaaa] = found;
    let v4: Vec<IpAddr> = known.v4.iter().copied().map(IpAddr::V4).collect();
    let v6: Vec<IpAddr> = known.v6.iter().copied().map(IpAddr::V6).collect();
    let (a, aaaa) = (take(a, &v4, rules), take(aaaa, &v6, rules));
    let is_whole = a.addresses.is_some() && aaaa.addresses.is_some();
    let (trouble, ttl) = (a.trouble.or(aaaa.trouble), a.ttl.into_iter().chain(aaaa.ttl).min());
    let (v4, v6) = (a.addresses.unwrap_or(v4), aaaa.addresses.unwrap_or(v6));
    if v4.is_empty() && v6.is_empty() {
        let trouble = Some(trouble.unwrap_or(Trouble::NoAddress));
        return Accepted { addresses: known.clone(), trouble, is_whole: false };
    }
    let ttl = ttl.map_or(known.ttl, |ttl| Ttl(ttl.0.clamp(*rules.ttl.start(), *rules.ttl.end())));
    let at = known.at.filter(|_| !is_whole).or(Some(now));
    let v4 = v4.into_iter().filter_map(|address| if let IpAddr::V4(v4) = address { Some(v4) } else { None }).collect();
    let v6 = v6.into_iter().filter_map(|address| if let IpAddr::V6(v6) = address { Some(v6) } else { None }).collect();
    Accepted { addresses: HostAddresses { v4, v6, ttl, at }, trouble, is_whole }
}

/// The accepted result of one lookup.
struct TakenLookup {
    /// The addresses from now on; `None` if those from before stay.
    addresses: Option<Vec<IpAddr>>,
    /// The TTL of addresses that were found.
    ttl: Option<Ttl>,
    trouble: Option<Trouble>,
}

impl TakenLookup {
    fn nothing_new(why: Trouble) -> Self {
        TakenLookup { addresses: None, ttl: None, trouble: Some(why) }
    }
}

/// Accepts the result of one lookup, given the addresses known before.
fn take(lookup: Lookup, before: &[IpAddr], rules: &HostRules) -> TakenLookup {
    let (addresses, ttl, aliases) = match lookup {
        Lookup::Failed(why) => return TakenLookup::nothing_new(why),
        Lookup::Nothing => return TakenLookup { addresses: Some(Vec::new()), ttl: None, trouble: None },
        Lookup::Found { addresses, ttl, aliases } => (addresses, ttl, aliases),
    };
    if let Some(name) = aliases.iter().find(|name| is_steered(name.as_name(), &rules.steered)) {
        return TakenLookup::nothing_new(Trouble::Loop(name.to_string()));
    }
    let (mut good, bad): (Vec<IpAddr>, Vec<IpAddr>) =
        addresses.into_iter().partition(|address| is_allowed(*address, &rules.private));
    let trouble = bad.first().map(|address| Trouble::Refused(*address));
    if good.is_empty() {
        return TakenLookup::nothing_new(trouble.unwrap_or(Trouble::NoAddress));
    }
    // If there are too many, served addresses stay, then the lowest are taken: the choice does not change by itself.
    good.sort_unstable_by_key(|address| (!before.contains(address), *address));
    good.dedup();
    good.truncate(MAX_OF_FAMILY);
    good.sort_unstable();
    TakenLookup { addresses: Some(good), ttl: Some(ttl), trouble }
}

/// Returns whether a name's addresses come from mirrors.
pub(crate) fn is_steered(name: Name<'_>, steered: &[NameBuf]) -> bool {
    steered.iter().map(NameBuf::as_name).any(|owner| match owner.parent().filter(|_| owner.is_wildcard()) {
        // Below the parent, in which case the wildcard stands for it; the zone may have that name itself, which is safe too.
        Some(parent) => name != parent && name.ends_with(parent),
        None => name == owner,
    })
}

/// Returns whether a host may have an address: one in a special-purpose block is refused unless `private` has it, or the
/// IPv4 address that it embeds.
fn is_allowed(address: IpAddr, private: &PrefixSet) -> bool {
    let is_private = || private.contains(address) || private.contains(special::judged(address));
    special::impossible(address).is_none() && (special::special_purpose(address).is_none() || is_private())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::prefix::Prefix;

    /// Rules that allow the blocks for documentation, which all of these tests use, and those of `private`.
    fn rules(private: &[&str]) -> HostRules {
        let documentation = ["192.0.2.0/24", "2001:db8::/32"];
        let private: Vec<Prefix> = documentation.iter().chain(private).map(|text| text.parse().unwrap()).collect();
        let steered = ["blob.example", "*.wild.example"].map(|name| NameBuf::parse(name).unwrap()).to_vec();
        HostRules { ttl: 10..=3600, private: PrefixSet::new(&private), steered }
    }

    fn found(addresses: &[&str], ttl: u32, aliases: &[&str]) -> Lookup {
        Lookup::Found {
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
            ttl: Ttl(ttl),
            aliases: aliases.iter().map(|name| NameBuf::parse(name).unwrap()).collect(),
        }
    }

    fn known(v4: &[&str], v6: &[&str]) -> HostAddresses {
        HostAddresses {
            v4: v4.iter().map(|text| text.parse().unwrap()).collect(),
            v6: v6.iter().map(|text| text.parse().unwrap()).collect(),
            ttl: Ttl(60),
            at: Some(UnixTime(7)),
        }
    }

    fn accepted(v4: Lookup, v6: Lookup, before: &HostAddresses) -> Accepted {
        accept([v4, v6], before, &rules(&[]), UnixTime(9))
    }

    #[test]
    fn what_is_found_is_taken_in_order_with_its_least_ttl() {
        let both =
            accepted(found(&["192.0.2.2", "192.0.2.1"], 300, &[]), found(&["2001:db8::1"], 20, &[]), &known(&[], &[]));
        let expected = HostAddresses {
            ttl: Ttl(20),
            at: Some(UnixTime(9)),
            ..known(&["192.0.2.1", "192.0.2.2"], &["2001:db8::1"])
        };
        assert_eq!(both, Accepted { addresses: expected, trouble: None, is_whole: true });
        let ttl = |ttl| accepted(found(&["192.0.2.1"], ttl, &[]), Lookup::Nothing, &known(&[], &[])).addresses.ttl.0;
        assert_eq!([0, 10, 3600, 1 << 30].map(ttl), [10, 10, 3600, 3600]);
    }

    #[test]
    fn a_family_comes_and_goes_as_the_host_says_and_stays_when_nothing_is_said() {
        let before = known(&["192.0.2.1"], &["2001:db8::1"]);
        let one = || found(&["192.0.2.1"], 60, &[]);
        assert_eq!(accepted(one(), Lookup::Nothing, &before).addresses.v6, [] as [Ipv6Addr; 0]);
        let unsaid = accepted(one(), Lookup::Failed(Trouble::Timeout), &before);
        assert_eq!((&unsaid.addresses.v6, unsaid.addresses.at), (&before.v6, Some(UnixTime(7))));
        assert_eq!((unsaid.trouble, unsaid.is_whole), (Some(Trouble::Timeout), false));
    }

    #[test]
    fn a_host_that_has_no_address_any_more_keeps_its_last() {
        let before = known(&["192.0.2.1"], &[]);
        let gone = accepted(Lookup::Nothing, Lookup::Nothing, &before);
        assert_eq!((gone.addresses, gone.trouble), (before.clone(), Some(Trouble::NoAddress)));
        let failed = accepted(Lookup::Nothing, Lookup::Failed(Trouble::Timeout), &before);
        assert_eq!((failed.addresses, failed.trouble), (before, Some(Trouble::Timeout)));
    }

    #[test]
    fn a_public_name_is_not_bound_to_our_own_network() {
        let before = known(&["192.0.2.1"], &[]);
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "169.254.169.254",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "100.64.0.1",
            "240.0.0.1",
            "198.18.0.1",
            "192.0.0.1",
            "203.0.113.1",
        ] {
            let refused = accepted(found(&[address], 60, &[]), Lookup::Nothing, &before);
            assert_eq!(refused.addresses, before, "{address}");
            assert_eq!(refused.trouble, Some(Trouble::Refused(address.parse().unwrap())));
        }
        for address in [
            "::1",
            "fd00::1",
            "fe80::1",
            "::",
            "ff02::1",
            "::ffff:127.0.0.1",
            "64:ff9b::10.0.0.1",
            "2002:7f00:1::",
            "::127.0.0.1",
            "fec0::1",
            "64:ff9b:1::1",
            "2001::1",
            "100::1",
            "3fff::1",
        ] {
            let refused = accepted(Lookup::Nothing, found(&[address], 60, &[]), &known(&[], &[]));
            assert!(refused.addresses.is_empty(), "{address}");
        }
        // The good ones beside it are taken.
        let mixed = accepted(found(&["10.0.0.1", "192.0.2.9"], 60, &[]), Lookup::Nothing, &before);
        assert_eq!(mixed.addresses.v4, ["192.0.2.9".parse::<Ipv4Addr>().unwrap()]);
        assert_eq!((mixed.trouble.map(|trouble| trouble.as_str()), mixed.is_whole), (Some("refused"), true));
        // If `private` has a block, its addresses are allowed, except those that no client can reach.
        let meant = rules(&["10.0.0.0/8", "0.0.0.0/8"]);
        let of = |address| accept([found(&[address], 60, &[]), Lookup::Nothing], &before, &meant, UnixTime(9)).trouble;
        assert_eq!((of("10.0.0.1"), of("0.0.0.1").map(|trouble| trouble.as_str())), (None, Some("refused")));
        let of = |address| accept([Lookup::Nothing, found(&[address], 60, &[])], &before, &meant, UnixTime(9)).trouble;
        assert_eq!(
            (of("64:ff9b::10.0.0.1"), of("64:ff9b::127.0.0.1").map(|trouble| trouble.as_str())),
            (None, Some("refused"))
        );
    }

    #[test]
    fn a_host_that_leads_to_a_steered_name_is_refused() {
        let before = known(&["192.0.2.1"], &[]);
        for alias in ["BLOB.example", "x.wild.example", "x.y.wild.example"] {
            let refused = accepted(found(&["192.0.2.9"], 60, &["cdn.other", alias]), Lookup::Nothing, &before);
            assert_eq!(
                (refused.addresses.v4, refused.trouble.map(|trouble| trouble.as_str())),
                (before.v4.clone(), Some("loop"))
            );
        }
        assert_eq!(
            accepted(found(&["192.0.2.9"], 60, &["wild.example", "x.blob.example"]), Lookup::Nothing, &before).trouble,
            None
        );
    }

    #[test]
    fn a_ttl_that_a_cache_counts_down_is_no_difference() {
        let of = |ttl| HostAddresses { ttl: Ttl(ttl), ..known(&["192.0.2.1"], &[]) };
        assert!(!of(55).differ_from(&of(60)) && of(30).differ_from(&of(60)) && of(300).differ_from(&of(60)));
        assert!(of(60).differ_from(&HostAddresses { ttl: Ttl(60), ..known(&["192.0.2.2"], &[]) }));
    }

    proptest! {
        #[test]
        fn too_many_addresses_are_chosen_from_in_a_way_that_does_not_change_by_itself(
            hosts in prop::collection::vec(any::<u8>(), 1..200),
            seed in any::<u64>(),
        ) {
            let lookup = |hosts: &[u8]| Lookup::Found {
                addresses: hosts.iter().map(|last| IpAddr::from([192, 0, 2, *last])).collect(),
                ttl: Ttl(60),
                aliases: Vec::new(),
            };
            let first = accepted(lookup(&hosts), Lookup::Nothing, &known(&[], &[])).addresses;
            prop_assert!(first.v4.len() <= MAX_OF_FAMILY && first.v4.is_sorted());
            let mut shuffled = hosts.clone();
            shuffled.rotate_left((seed % hosts.len() as u64) as usize);
            // One more address, lower than all others, does not replace a served one.
            shuffled.push(0);
            let again = accepted(lookup(&shuffled), Lookup::Nothing, &first).addresses;
            prop_assert!(first.v4.iter().all(|address| again.v4.contains(address)));
            prop_assert!(again.v4.len() <= MAX_OF_FAMILY);
        }
    }
}
