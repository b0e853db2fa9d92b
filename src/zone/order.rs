//! The owners of a zone in canonical order: the order of the NSEC chain.
//!
//! **Invariants**: the apex is first; each owner whose data the zone is an authority for is here once, and so is each
//! delegation; empty non-terminals and glue, which have no NSEC, are not (RFC 4035 §2.3).
//!
//! Only a zone with signatures keeps one, made when the zone is: a zone without pays nothing, and no query ever sorts.
//! It takes some 35 bytes per owner. The rejected alternative is to store the nodes in this order: then the numbers of nodes
//! would not grow from parents to children.
//!
//! RFC 4034 §6.1 (order), RFC 4035 §3.1.3 (denial).

use arrayvec::ArrayVec;

use super::{Node, Zone};
use crate::base::ids::NodeId;
use crate::base::name::{MAX_SORT_KEY_LEN, Name};

/// The owners of a zone in canonical order.
///
/// Each owner has its sort key here: a search compares bytes, where a comparison of names would split both into labels.
pub(crate) struct CanonicalOrder {
    owners: Box<[NodeId]>,
    /// The sort keys, back to back in the same order.
    keys: Box<[u8]>,
    /// The end of each key.
    ends: Box<[usize]>,
}

impl CanonicalOrder {
    /// Sorts the owners of a zone.
    pub(crate) fn of(zone: &Zone) -> Self {
        let (mut keys, mut owners) = (Vec::new(), Vec::new());
        for node in zone.nodes().filter(|node| is_in_chain(*node)) {
            let start = keys.len();
            node.owner().push_sort_key(&mut keys);
            owners.push((start..keys.len(), node.id()));
        }
        owners.sort_unstable_by(|(one, _), (other, _)| keys[one.clone()].cmp(&keys[other.clone()]));
        let (mut sorted, mut ends) = (Vec::with_capacity(keys.len()), Vec::with_capacity(owners.len()));
        for (key, _) in &owners {
            sorted.extend_from_slice(&keys[key.clone()]);
            ends.push(sorted.len());
        }
        CanonicalOrder {
            owners: owners.into_iter().map(|(_, id)| id).collect(),
            keys: sorted.into(),
            ends: ends.into(),
        }
    }

    /// The owners of the zone that this was made of, from the apex on.
    pub(crate) fn owners<'z>(&'z self, zone: &'z Zone) -> impl ExactSizeIterator<Item = Node<'z>> {
        self.owners.iter().map(|id| zone.node(*id))
    }

    /// The owner at a position, counted from the apex.
    pub(crate) fn owner<'z>(&self, position: usize, zone: &'z Zone) -> Node<'z> {
        zone.node(self.owners[position])
    }

    /// The owner behind a name of the zone; behind the last owner comes the apex.
    pub(crate) fn after<'z>(&self, name: Name<'_>, zone: &'z Zone) -> Node<'z> {
        zone.node(self.owners[self.position_after(name) % self.owners.len()])
    }

    /// The last owner at or before a name of the zone: its NSEC covers the name, or is the name's own.
    pub(crate) fn at_or_before<'z>(&self, name: Name<'_>, zone: &'z Zone) -> Node<'z> {
        zone.node(self.owners[self.position_after(name).saturating_sub(1)])
    }

    /// The number of owners at or before a name.
    fn position_after(&self, name: Name<'_>) -> usize {
        let mut key: ArrayVec<u8, MAX_SORT_KEY_LEN> = ArrayVec::new();
        name.push_sort_key(&mut key);
        let (mut low, mut high) = (0, self.owners.len());
        while low < high {
            let middle = low.midpoint(high);
            if *self.key(middle) <= *key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    fn key(&self, position: usize) -> &[u8] {
        let start = position.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.keys[start..self.ends[position]]
    }
}

fn is_in_chain(node: Node<'_>) -> bool {
    !node.is_empty() && node.dname().is_none() && node.cut().is_none_or(|cut| cut == node.id())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::name::name;
    use crate::base::rr::Rtype;
    use crate::base::time::Ttl;
    use crate::zone::ZoneBuilder;

    fn zone(owners: &[(&str, Rtype)]) -> Zone {
        let mut builder = ZoneBuilder::new(name("example"));
        let soa = [&[0, 0][..], &[7u32, 3600, 600, 86400, 60].map(u32::to_be_bytes).concat()].concat();
        builder.add(name("example").as_name(), Rtype::SOA, Ttl(60), &soa, 0).unwrap();
        builder.add(name("example").as_name(), Rtype::NS, Ttl(60), b"\x01x\0", 0).unwrap();
        for (owner, rtype) in owners {
            let rdata: &[u8] = if *rtype == Rtype::A { &[192, 0, 2, 1] } else { b"\x01x\0" };
            builder.add(name(owner).as_name(), *rtype, Ttl(60), rdata, 0).unwrap();
        }
        builder.finish().unwrap().0
    }

    const OWNERS: [(&str, Rtype); 7] = [
        ("z.example", Rtype::A),
        ("B.a.example", Rtype::A),
        ("*.z.example", Rtype::A),
        ("cut.example", Rtype::NS),
        ("glue.cut.example", Rtype::A),
        ("renamed.example", Rtype::DNAME),
        ("below.renamed.example", Rtype::A),
    ];

    #[test]
    fn owners_follow_each_other_as_in_the_nsec_chain() {
        let zone = zone(&OWNERS);
        let order = CanonicalOrder::of(&zone);
        let shown: Vec<String> = order.owners(&zone).map(|node| node.owner().to_string()).collect();
        assert_eq!(shown, ["example", "B.a.example", "cut.example", "renamed.example", "z.example", "*.z.example"]);
        for (asked, found) in [
            ("example", "example"),
            ("a.example", "example"),
            ("b.A.example", "B.a.example"),
            ("c.a.example", "B.a.example"),
            ("x.glue.cut.example", "cut.example"),
            ("d.example", "cut.example"),
            ("zz.example", "*.z.example"),
            ("a.z.example", "*.z.example"),
            ("\\001.z.example", "z.example"),
        ] {
            assert_eq!(order.at_or_before(name(asked).as_name(), &zone).owner(), name(found).as_name(), "{asked}");
        }
    }

    #[test]
    fn the_owner_before_a_name_is_found_as_by_looking_through_all() {
        let labels = ["a", "B", "\\000", "*", "aa", "z"];
        let names: Vec<String> = labels
            .iter()
            .flat_map(|one| labels.iter().map(move |other| format!("{one}.{other}.example")))
            .chain(labels.iter().map(|label| format!("{label}.example")))
            .collect();
        let owners: Vec<(&str, Rtype)> = names.iter().step_by(3).map(|owner| (owner.as_str(), Rtype::A)).collect();
        let zone = zone(&owners);
        let order = CanonicalOrder::of(&zone);
        for asked in &names {
            let asked = name(asked);
            let all = order.owners(&zone).map(Node::owner).filter(|owner| *owner <= asked.as_name());
            let found = order.at_or_before(asked.as_name(), &zone).owner();
            assert_eq!(Some(found), all.max(), "{asked}");
        }
    }
}
