//! The owners of NSEC3 records, in the order of hashes of names.
//!
//! Only a zone that comes signed with NSEC3 has one; zones that are signed here have NSEC.
//!
//! **Invariants**: hashes ascend; each is that of the first label of its owner.
//! **Not here**: the proofs made of them ([`crate::answer`]); the limit of iterations (load).
//!
//! RFC 5155 §3 (NSEC3), §4 (NSEC3PARAM), §5 (hashes).

use data_encoding::BASE32HEX_NOPAD;
use ring::digest;

use super::{Node, Zone};
use crate::base::ids::NodeId;
use crate::base::name::Name;
use crate::base::rr::Rtype;

/// The bytes of a hash by SHA-1, the only algorithm (RFC 5155 §11).
const HASH_LEN: usize = 20;

/// The number of that algorithm.
const SHA1: u8 = 1;

type NameHash = [u8; HASH_LEN];

/// The owners of NSEC3 records by hash.
pub(crate) struct HashedOrder {
    iterations: u16,
    salt: Box<[u8]>,
    owners: Box<[(NameHash, NodeId)]>,
}

impl HashedOrder {
    /// That of a zone; `None` if the zone has no NSEC3 chain.
    pub(super) fn of(zone: &Zone) -> Option<Self> {
        let params = zone.node(NodeId(0)).rrset(Rtype::NSEC3PARAM)?;
        let is_complete = |rdata: &&[u8]| matches!(rdata, [SHA1, 0, ..]);
        let &[_, _, high, low, salt_len, ref salt @ ..] = params.rdatas().find(is_complete)? else { return None };
        let salt = salt.get(..usize::from(salt_len))?;
        let hashed = zone.nodes().filter(|node| node.rrset(Rtype::NSEC3).is_some());
        let mut owners: Vec<_> = hashed.filter_map(|node| Some((label_hash(node)?, node.id()))).collect();
        owners.sort_unstable();
        let iterations = u16::from_be_bytes([high, low]);
        (!owners.is_empty()).then(|| HashedOrder { iterations, salt: salt.into(), owners: owners.into() })
    }

    fn hash(&self, name: Name<'_>) -> NameHash {
        let of = |octets: &[u8]| {
            let mut digest = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
            digest.update(octets);
            digest.update(&self.salt);
            digest.finish().as_ref().first_chunk().copied().unwrap_or_default()
        };
        let first = of(&name.as_wire().to_ascii_lowercase());
        (0..self.iterations).fold(first, |hash: NameHash, _| of(&hash))
    }

    /// The owner of the NSEC3 that stands for a name; `None` if there is none.
    pub(crate) fn matching<'z>(&self, name: Name<'_>, zone: &'z Zone) -> Option<Node<'z>> {
        let hash = self.hash(name);
        let at = self.owners.binary_search_by_key(&hash, |(owner, _)| *owner).ok()?;
        Some(zone.node(self.owners[at].1))
    }

    /// The owner of the NSEC3 that covers a name that has none: the last one before it, or the last of all.
    pub(crate) fn covering<'z>(&self, name: Name<'_>, zone: &'z Zone) -> Node<'z> {
        let hash = self.hash(name);
        let after = self.owners.partition_point(|(owner, _)| *owner < hash);
        let before = after.checked_sub(1).unwrap_or(self.owners.len() - 1);
        zone.node(self.owners[before].1)
    }
}

/// The hash that the first label of an owner spells.
fn label_hash(node: Node<'_>) -> Option<NameHash> {
    let label = node.owner().labels().next()?.to_ascii_uppercase();
    BASE32HEX_NOPAD.decode(&label).ok()?.try_into().ok()
}

impl Node<'_> {
    /// True if the name exists only as the owner of an NSEC3, so that no query finds it (RFC 5155 §7.2.8).
    pub(crate) fn is_only_hash(self) -> bool {
        self.zone.hashed.is_some() && self.rrset(Rtype::NSEC3).is_some() && self.rrsets().nth(1).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::name::name;

    #[test]
    fn rfc5155_appendix_a_names_have_their_hashes() {
        let order = HashedOrder { iterations: 12, salt: [0xaa, 0xbb, 0xcc, 0xdd].into(), owners: Box::default() };
        for (text, hash) in [
            ("example", "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom"),
            ("a.example", "35mthgpgcu1qg68fab165klnsnk3dpvl"),
            ("X.Y.W.example", "2vptu5timamqttgl4luu9kg21e0aor3s"),
            ("*.w.example", "r53bq7cc2uvmubfu5ocmm6pers9tk9en"),
        ] {
            let found = BASE32HEX_NOPAD.encode(&order.hash(name(text).as_name()));
            assert_eq!(found.to_ascii_lowercase(), hash, "{text}");
        }
    }
}
