//! Policies of zone transfers: the parties that may transfer a zone, and the primaries whose NOTIFY is accepted.
//!
//! **Invariants**: a zone without a policy cannot be transferred; keys are named by ids of [`Transfers::keys`].
//! **Not here**: sending a zone ([`crate::wire`]), fetching one (transfer).

use std::net::IpAddr;

use crate::base::ids::{KeyId, ZoneId};
use crate::base::prefix::Prefix;
use crate::base::tsig::Keys;

/// The keys, and each zone's policy.
#[derive(Clone, Debug, Default)]
pub struct Transfers {
    /// The keys that messages may be signed with.
    pub keys: Keys,
    /// By [`ZoneId`]; a zone that is missing has no policy.
    pub zones: Vec<Policy>,
}

/// The policy of one zone.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// The parties that may transfer the zone: a peer must match one of them.
    pub allow: Vec<Party>,
    /// The primaries of a zone that we hold a copy of: their NOTIFY is accepted.
    pub primaries: Vec<Party>,
    /// The replacement for the addresses of steered owners.
    pub steered: SteeredExport,
}

/// The conditions of a party: a peer must meet all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Party {
    /// An address of this prefix; `None` means any.
    pub prefix: Option<Prefix>,
    /// A signature with this key; `None` means that no signature is needed.
    pub key: Option<KeyId>,
}

/// The content of a transfer in place of addresses that depend on the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SteeredExport {
    /// Nothing: a zone with steered owners is not transferred.
    #[default]
    Refused,
    /// The addresses of clients that meet no rule, as of the moment of the transfer.
    Default,
}

const NOBODY: &Policy = &Policy { allow: Vec::new(), primaries: Vec::new(), steered: SteeredExport::Refused };

impl Transfers {
    /// The policy of a zone.
    pub(crate) fn policy(&self, zone: ZoneId) -> &Policy {
        self.zones.get(zone.index()).unwrap_or(NOBODY)
    }
}

impl Party {
    /// Returns whether a peer with this address and this key meets the conditions.
    pub(crate) fn is(&self, address: IpAddr, key: Option<KeyId>) -> bool {
        self.prefix.is_none_or(|prefix| prefix.contains(address)) && (self.key.is_none() || self.key == key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_party_shows_all_that_is_asked_of_it() {
        let (here, there) = ("192.0.2.7".parse().unwrap(), "198.51.100.7".parse().unwrap());
        let prefix: Prefix = "192.0.2.0/24".parse().unwrap();
        let (key, other) = (Some(KeyId(1)), Some(KeyId(2)));
        let both = Party { prefix: Some(prefix), key };
        assert!(both.is(here, key) && !both.is(there, key) && !both.is(here, None) && !both.is(here, other));
        let near = Party { prefix: Some(prefix), key: None };
        assert!(near.is(here, None) && near.is(here, other) && !near.is(there, key));
        assert!(Transfers::default().policy(ZoneId(3)).allow.is_empty());
    }
}
