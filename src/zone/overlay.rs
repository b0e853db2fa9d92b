//! Dynamic records: RRsets that the served state adds to a zone, such as ACME challenges (RFC 8555 §8.4).
//!
//! A zone is a *base*, compiled from a file or fetched from a primary, and an *overlay* of dynamic RRsets. A reload or a
//! transfer replaces the base and keeps the overlay. Queries read one compiled zone: the overlay is folded into the base
//! when either changes, so that a zone without an overlay costs nothing, and one with an overlay costs its second copy in
//! memory. The rejected alternative, a look into both for each query, costs every query of every zone.
//!
//! **Invariants**: a base and its overlay answer as a master file with all of their records; the overlay adds and never
//! hides: an RRset that cannot stand beside the base's records is left out; the serial is the base's.
//! **Not here**: transfers, copies on disk and histories, which have the base alone. A serial stands for one content, and
//! dynamic records come and go without a new one.
//!
//! Limits: the size of an RRset is that of [`super::rrset`]. The number of RRsets is bounded by the code that adds them:
//! their owners follow from the configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::rrset::max_rrset_len;
use super::{NegativeSoa, Node, RECORD_HEADER_LEN, Zone, ZoneBuilder};
use crate::base::ids::NodeId;
use crate::base::name::{Name, NameBuf};
use crate::base::rdata::is_valid;
use crate::base::rr::Rtype;
use crate::base::time::Ttl;
use crate::base::words::words;

/// The types of dynamic records: those that neither delegate nor rename, and name no host that would have to be checked.
const TYPES: [Rtype; 3] = [Rtype::A, Rtype::AAAA, Rtype::TXT];

/// The place of a dynamic RRset: a zone, an owner in it, and a type.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RrSetKey {
    zone: NameBuf,
    owner: NameBuf,
    rtype: Rtype,
}

impl RrSetKey {
    /// Checks that the owner is in the zone, and that the type may be dynamic.
    pub fn new(zone: NameBuf, owner: NameBuf, rtype: Rtype) -> Result<Self, DynamicError> {
        if !owner.as_name().ends_with(zone.as_name()) {
            return Err(DynamicError::OutOfZone);
        }
        if !TYPES.contains(&rtype) {
            return Err(DynamicError::Type);
        }
        Ok(RrSetKey { zone, owner, rtype })
    }
}

words! {
    /// The reason why an RRset cannot be dynamic.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum DynamicError: Display {
        /// The owner is neither the apex nor below it.
        OutOfZone = "the owner is not in the zone",
        /// Records of this type shape a zone, or name hosts.
        Type = "records of this type cannot be dynamic",
        /// The rdata is not that of its type.
        BadRdata = "the record data is not that of its type",
        /// The RRset does not fit into an answer.
        TooLong = "the RRset is too long for an answer",
    }
}

impl std::error::Error for DynamicError {}

/// The records of a dynamic RRset.
///
/// Without records, the owner exists all the same, and has no data of the type. Negative answers at an owner with dynamic
/// RRsets have at most the TTL of the least of them, because their records may come at any time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynamicRrSet {
    ttl: Ttl,
    rdatas: Vec<Vec<u8>>,
}

impl DynamicRrSet {
    /// Checks that each rdata, in wire form without compression, is one of the key's type, and that an answer has room for
    /// all of them.
    pub fn new(key: &RrSetKey, ttl: Ttl, rdatas: Vec<Vec<u8>>) -> Result<Self, DynamicError> {
        if !rdatas.iter().all(|rdata| is_valid(key.rtype, rdata)) {
            return Err(DynamicError::BadRdata);
        }
        let set = DynamicRrSet { ttl, rdatas };
        if set.len() > max_rrset_len(key.owner.as_name()) { Err(DynamicError::TooLong) } else { Ok(set) }
    }

    /// The bytes of its records, as [`super::RrSet::wire`] has them.
    fn len(&self) -> usize {
        self.rdatas.iter().map(|rdata| RECORD_HEADER_LEN + rdata.len()).sum()
    }
}

/// The dynamic RRsets of all zones, by the name of the zone: also of zones that the configuration does not have now.
#[derive(Clone, Debug, Default)]
pub(crate) struct ZoneOverlays(BTreeMap<RrSetKey, DynamicRrSet>);

impl ZoneOverlays {
    /// Puts an RRset in its place, or removes it if `set` is `None`.
    pub(crate) fn set(&mut self, key: RrSetKey, set: Option<DynamicRrSet>) {
        match set {
            Some(set) => self.0.insert(key, set),
            None => self.0.remove(&key),
        };
    }

    /// The zones whose dynamic RRsets differ from those of `other`.
    pub(crate) fn differing(&self, other: &ZoneOverlays) -> BTreeSet<NameBuf> {
        let is_new = |(key, set): &(&RrSetKey, &DynamicRrSet)| other.0.get(*key) != Some(*set);
        let new = self.0.iter().filter(is_new).map(|(key, _)| key);
        let gone = other.0.keys().filter(|key| !self.0.contains_key(*key));
        new.chain(gone).map(|key| key.zone.clone()).collect()
    }

    /// The RRsets of one zone.
    fn of(&self, apex: Name<'_>) -> impl Iterator<Item = (&RrSetKey, &DynamicRrSet)> {
        // The root comes before all owners, and no type before 0.
        let first = RrSetKey { zone: apex.to_owned(), owner: Name::ROOT.to_owned(), rtype: Rtype(0) };
        let apex = first.zone.clone();
        self.0.range(first..).take_while(move |(key, _)| key.zone == apex)
    }
}

/// The zone to answer from: the base with its dynamic records. Shares the base if there are none, or no copy of the zone is
/// available.
///
/// Takes time linear in the size of the zone.
pub(super) fn fold(base: &Arc<Zone>, overlays: &ZoneOverlays) -> Arc<Zone> {
    let mut sets = overlays.of(base.apex()).filter(|(key, set)| admits(base, key, set)).peekable();
    if sets.peek().is_none() || !base.is_available() {
        return base.clone();
    }
    let sets: Vec<_> = sets.collect();
    // Only a zone at its limits of names and records has no room.
    match build(base, &sets) {
        Some(zone) => Arc::new(zone),
        None => base.clone(),
    }
}

/// Returns whether an RRset can stand beside the records of the base.
fn admits(base: &Zone, key: &RrSetKey, set: &DynamicRrSet) -> bool {
    let Some(node) = base.node_of(key.owner.as_name()) else { return true };
    let is_steered = node.steered().is_some() && matches!(key.rtype, Rtype::A | Rtype::AAAA);
    let present = node.rrset(key.rtype).map_or(0, |present| present.wire().len());
    let has_room = present + set.len() <= max_rrset_len(node.owner());
    // RFC 2181 §10.1: a CNAME stands alone. An operator may send the challenges of a name elsewhere by one.
    node.rrset(Rtype::CNAME).is_none() && !is_steered && has_room
}

fn build(base: &Zone, sets: &[(&RrSetKey, &DynamicRrSet)]) -> Option<Zone> {
    let mut builder = ZoneBuilder::like(base).ok()?;
    for (key, set) in sets {
        let owner = key.owner.as_name();
        builder.add_owner(owner).ok()?;
        for rdata in &set.rdatas {
            builder.add(owner, key.rtype, set.ttl, rdata, 0).ok()?;
        }
    }
    let (mut zone, _) = builder.finish().ok()?;
    let negative = sets.chunk_by(|(one, _), (other, _)| one.owner == other.owner).filter_map(|of_owner| {
        let least = of_owner.iter().map(|(_, set)| set.ttl).min()?;
        Some((zone.node_of(of_owner[0].0.owner.as_name())?.id(), zone.negative_soa.at_most(least)))
    });
    let mut negative: Vec<(NodeId, NegativeSoa)> = negative.collect();
    negative.sort_by_key(|(id, _)| *id);
    zone.dynamic = negative;
    Some(zone)
}

impl Zone {
    /// The zone with the TTLs of negative answers that owners with dynamic records have in `other`, which has the same names.
    pub(super) fn with_dynamic_owners_of(mut self, other: &Zone) -> Zone {
        let of_owner = |(id, negative): &(NodeId, NegativeSoa)| {
            let id = self.node_of(other.node(*id).owner())?.id();
            Some((id, self.negative_soa.at_most(negative.rrset().ttl)))
        };
        let mut dynamic: Vec<_> = other.dynamic.iter().filter_map(of_owner).collect();
        dynamic.sort_by_key(|(id, _)| *id);
        self.dynamic = dynamic;
        self
    }
}

impl<'z> Node<'z> {
    /// The SOA of a negative answer about a type at this node: the zone's, or that of an owner with dynamic records.
    #[inline]
    pub(crate) fn negative_soa(self) -> &'z NegativeSoa {
        let dynamic = &self.zone.dynamic;
        match dynamic.binary_search_by_key(&self.id, |(id, _)| *id) {
            Ok(at) => &dynamic[at].1,
            Err(_) => &self.zone.negative_soa,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{HorizonId, ServiceId};
    use crate::base::name::name;
    use crate::zone::{RrSet, Steered};

    fn key(owner: &str, rtype: Rtype) -> RrSetKey {
        RrSetKey::new(name("example"), name(owner), rtype).unwrap()
    }

    fn txt(ttl: u32, texts: &[&str]) -> DynamicRrSet {
        let rdatas = texts.iter().map(|text| [&[text.len() as u8], text.as_bytes()].concat()).collect();
        DynamicRrSet::new(&key("example", Rtype::TXT), Ttl(ttl), rdatas).unwrap()
    }

    /// A zone with a static TXT at `static`, an owner `steered`, and SOA and NS with a TTL of 300.
    fn base() -> Arc<Zone> {
        let mut builder = ZoneBuilder::new(name("example"));
        let soa = [&[0, 0][..], &[7u32, 3600, 600, 86400, 60].map(u32::to_be_bytes).concat()].concat();
        for (owner, rtype, rdata) in [
            ("example", Rtype::SOA, soa.as_slice()),
            ("example", Rtype::NS, b"\x02ns\0"),
            ("static.example", Rtype::TXT, b"\x03old"),
        ] {
            builder.add(name(owner).as_name(), rtype, Ttl(300), rdata, 0).unwrap();
        }
        let steered = Steered { horizon: HorizonId(0), ttl: Ttl(60), service: Some(ServiceId(0)) };
        builder.steer(name("steered.example").as_name(), steered, 0).unwrap();
        Arc::new(builder.finish().unwrap().0)
    }

    fn folded(sets: Vec<(RrSetKey, DynamicRrSet)>) -> Arc<Zone> {
        let mut overlays = ZoneOverlays::default();
        sets.into_iter().for_each(|(key, set)| overlays.set(key, Some(set)));
        fold(&base(), &overlays)
    }

    fn node<'z>(zone: &'z Zone, owner: &str) -> Node<'z> {
        zone.node_of(name(owner).as_name()).unwrap()
    }

    #[test]
    fn records_of_the_file_and_dynamic_ones_are_one_rrset_with_the_least_ttl() {
        let zone = folded(vec![(key("static.example", Rtype::TXT), txt(0, &["new", "old"]))]);
        let set = node(&zone, "static.example").rrset(Rtype::TXT).unwrap();
        assert_eq!((set.ttl, set.rdatas().collect::<Vec<_>>()), (Ttl(0), vec![&b"\x03old"[..], b"\x03new"]));
        let negative = node(&zone, "static.example").negative_soa();
        assert_eq!((negative.rrset().ttl, zone.negative_soa().rrset().ttl), (Ttl(0), Ttl(60)));
        assert_eq!(zone.serial(), base().serial());
    }

    #[test]
    fn a_steered_owner_keeps_its_addresses_and_may_have_text() {
        let address = DynamicRrSet::new(&key("steered.example", Rtype::A), Ttl(0), vec![vec![192, 0, 2, 1]]).unwrap();
        let sets =
            vec![(key("steered.example", Rtype::A), address), (key("STEERED.example", Rtype::TXT), txt(60, &["a"]))];
        let zone = folded(sets);
        let node = node(&zone, "steered.example");
        assert!(node.steered().is_some());
        assert_eq!(node.rrsets().map(|set| set.rtype).collect::<Vec<_>>(), [Rtype::TXT]);
    }

    #[test]
    fn an_rrset_that_no_answer_has_room_for_beside_that_of_the_file_is_left_out() {
        let most = max_rrset_len(name("static.example").as_name());
        let texts: Vec<String> = (0..most / 113).map(|at| format!("{at:0100}")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let filling = "x".repeat(most % 113);
        let whole = txt(0, &[&texts[1..], &[filling.as_str()], &[&"y".repeat(100 - RECORD_HEADER_LEN - 1)]].concat());
        assert_eq!(whole.len(), most);
        let zone = folded(vec![(key("absent.example", Rtype::TXT), whole.clone())]);
        assert_eq!(node(&zone, "absent.example").rrset(Rtype::TXT).map(|set| set.wire().len()), Some(most));
        let wire = |set: RrSet<'_>| set.wire().to_vec();
        let zone = folded(vec![(key("static.example", Rtype::TXT), whole)]);
        let kept = node(&zone, "static.example").rrset(Rtype::TXT).map(wire);
        assert_eq!(kept, node(&base(), "static.example").rrset(Rtype::TXT).map(wire));
    }

    #[test]
    fn what_would_shape_the_zone_cannot_be_dynamic() {
        let new = |owner, rtype| RrSetKey::new(name("example"), name(owner), rtype).err();
        assert_eq!(new("a.example", Rtype::TXT), None);
        assert_eq!(new("a.other", Rtype::TXT), Some(DynamicError::OutOfZone));
        for rtype in [Rtype::NS, Rtype::CNAME, Rtype::DNAME, Rtype::SOA, Rtype::HTTPS, Rtype::RRSIG, Rtype::ANY] {
            assert_eq!(new("a.example", rtype), Some(DynamicError::Type), "{rtype}");
        }
        let set = |rdata: &[u8]| DynamicRrSet::new(&key("example", Rtype::A), Ttl(0), vec![rdata.to_vec()]).err();
        assert_eq!((set(&[192, 0, 2, 1]), set(&[192, 0, 2])), (None, Some(DynamicError::BadRdata)));
    }

    #[test]
    fn a_zone_without_dynamic_records_or_a_copy_is_its_base() {
        let (base, mut overlays) = (base(), ZoneOverlays::default());
        assert!(Arc::ptr_eq(&base, &fold(&base, &overlays)));
        overlays.set(key("a.example", Rtype::TXT), Some(txt(0, &["a"])));
        assert!(!Arc::ptr_eq(&base, &fold(&base, &overlays)));
        let none = Arc::new(Zone::unavailable(name("example")));
        assert!(Arc::ptr_eq(&none, &fold(&none, &overlays)));
        let other = RrSetKey::new(name("a.other"), name("a.other"), Rtype::TXT).unwrap();
        let mut overlays = ZoneOverlays::default();
        overlays.set(other, Some(txt(0, &["a"])));
        assert!(Arc::ptr_eq(&base, &fold(&base, &overlays)), "that of another zone");
    }
}
