//! The records of challenges, and the addresses of mirrors at names of their own, as dynamic records of zones.
//!
//! **Invariants**: every owner of challenges exists, with tokens or without, and has negative answers with TTL 0; the order of
//! tokens is that of [`ChallengeStore::unions`]; a token counts only while its credential may set it.
//! **Not here**: setting tokens, their end ([`crate::challenge`]).
//!
//! A resolver that has cached the absence of a token would make a certificate authority refuse; with TTL 0, RFC 2308 §5
//! leaves it nothing to cache.

use super::Snapshot;
use crate::base::rr::Rtype;
use crate::base::time::Ttl;
use crate::challenge::{ChallengeStore, Challenges, MirrorAddressOwner};
use crate::mirror::Mirror;
use crate::zone::{DynamicRrSet, RrSetKey, ZoneOverlays};

impl Snapshot {
    /// The credentials, and the owners of their challenges.
    pub fn challenges(&self) -> &Challenges {
        &self.compiled.challenges
    }

    /// All dynamic records of all zones.
    pub(super) fn overlays_now(&self) -> ZoneOverlays {
        let mut overlays = self.live.overlays.clone();
        let challenges = self.challenges();
        add_tokens(&mut overlays, challenges, &self.live.tokens);
        for name in &challenges.mirrors {
            add_addresses(&mut overlays, name, &self.derived.mirrors[name.mirror.index()]);
        }
        overlays
    }
}

fn add_tokens(overlays: &mut ZoneOverlays, challenges: &Challenges, tokens: &ChallengeStore) {
    let unions = tokens.unions(|key| challenges.permits(&key.credential, &key.owner));
    for (zone, owner, _) in challenges.owners() {
        let Ok(key) = RrSetKey::new(zone.clone(), owner.clone(), Rtype::TXT) else { continue };
        let rdatas = unions.get(owner).into_iter().flatten().map(|token| token.to_txt()).collect();
        // The number of tokens is limited so that all of them fit into an answer.
        if let Ok(set) = DynamicRrSet::new(&key, Ttl(0), rdatas) {
            overlays.set(key, Some(set));
        }
    }
}

fn add_addresses(overlays: &mut ZoneOverlays, name: &MirrorAddressOwner, mirror: &Mirror) {
    let v4 = mirror.v4.iter().map(|address| address.octets().to_vec()).collect::<Vec<_>>();
    let v6 = mirror.v6.iter().map(|address| address.octets().to_vec()).collect::<Vec<_>>();
    // An address that is not known yet may come at any time.
    let ttl = if v4.is_empty() && v6.is_empty() { Ttl(0) } else { name.ttl };
    let ttl = mirror.max_ttl().map_or(ttl, |most| ttl.min(most));
    for (rtype, rdatas) in [(Rtype::A, v4), (Rtype::AAAA, v6)] {
        let Ok(key) = RrSetKey::new(name.zone.clone(), name.owner.clone(), rtype) else { continue };
        if let Ok(set) = DynamicRrSet::new(&key, ttl, rdatas) {
            overlays.set(key, Some(set));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::ids::{KeyId, MirrorId};
    use crate::base::name::NameBuf;
    use crate::base::time::{Generation, UnixTime};
    use crate::challenge::{ChallengeToken, Removal};
    use crate::mirror::{Addressing, HostAddresses};
    use crate::snapshot::{Change, Compiled};
    use crate::zone::{Found, Zone, ZoneBuilder, ZoneSet};

    const SHARED: &str = "_acme-challenge.x";
    const OWN: &str = "_acme-challenge.one.x";

    fn name(text: &str) -> NameBuf {
        NameBuf::parse(text).unwrap()
    }

    fn zone() -> Zone {
        let soa = [&[0, 0][..], &[7u32, 3600, 600, 86400, 60].map(u32::to_be_bytes).concat()].concat();
        let mut builder = ZoneBuilder::new(name("x"));
        for (owner, rtype, rdata) in
            [("x", Rtype::SOA, soa.as_slice()), ("x", Rtype::NS, b"\x02ns\0"), (OWN, Rtype::TXT, b"\x04file")]
        {
            builder.add(name(owner).as_name(), rtype, Ttl(300), rdata, 0).unwrap();
        }
        builder.finish().unwrap().0
    }

    /// A snapshot with two mirrors, the first of which follows a host, each with a credential; `credentials` are those of the
    /// configuration.
    fn snapshot(credentials: &[&str]) -> Snapshot {
        let host = Mirror {
            host: Some("lb".into()),
            addressing: Addressing::Resolved { at: Some(UnixTime(1)), ttl: Ttl(300) },
            v4: vec!["192.0.2.1".parse().unwrap()],
            ..Mirror::named("one")
        };
        let mut challenges = Challenges::default();
        for (credential, key) in credentials.iter().zip(0..) {
            let owners = [SHARED, OWN].map(|owner| (name("x"), name(owner)));
            let number = if *credential == "one" { 2 } else { 1 };
            let mirror = MirrorId::from_index(2 - number);
            challenges.add(((*credential).into(), mirror), KeyId(key).into(), Vec::new(), &owners[..number]);
        }
        if credentials.contains(&"one") {
            let (zone, owner) = (name("x"), name("one.x"));
            challenges.mirrors.push(MirrorAddressOwner { zone, owner, mirror: MirrorId(0), ttl: Ttl(60) });
        }
        let mirrors = Arc::new([host, Mirror::named("two")]);
        let compiled = Compiled { mirrors, challenges: Arc::new(challenges), ..Compiled::default() };
        Snapshot::new(Generation(1), ZoneSet::new(vec![zone()]), compiled)
    }

    fn token(number: u8) -> ChallengeToken {
        ChallengeToken::parse(format!("{number:043}").as_bytes()).unwrap()
    }

    fn store(set: &[(&str, &str, u8)]) -> ChallengeStore {
        let mut store = ChallengeStore::default();
        for (credential, owner, number) in set {
            store.set(&(*credential).into(), name(owner).as_name(), token(*number), &"a".into(), UnixTime(1));
        }
        store
    }

    fn set(snapshot: &Snapshot, set: &[(&str, &str, u8)]) -> Snapshot {
        snapshot.after(&Change::Tokens(Arc::new(store(set))))
    }

    /// The RRsets of a node, each with its TTL and the last byte of each record, and the TTL of negative answers.
    type SeenNode = (Vec<(Rtype, u32, Vec<u8>)>, u32);

    /// Type, TTL, last byte of each record, and the TTL of negative answers at an owner; `None` if it does not exist.
    fn at(snapshot: &Snapshot, owner: &str) -> Option<SeenNode> {
        let owner = name(owner);
        let (_, zone) = snapshot.zones().find(owner.as_name(), &owner.as_name().suffixes())?;
        assert_eq!(zone.serial(), 7);
        let Found::Exact(id) = zone.find(owner.as_name(), &owner.as_name().suffixes()) else { return None };
        let last = |rdata: &[u8]| *rdata.last().unwrap();
        let sets = zone.node(id).rrsets().map(|set| (set.rtype, set.ttl.0, set.rdatas().map(last).collect()));
        Some((sets.collect(), zone.node(id).negative_soa().rrset().ttl.0))
    }

    #[test]
    fn owners_exist_without_tokens_and_have_the_union_with_them() {
        let snapshot = snapshot(&["one", "two"]);
        assert_eq!(at(&snapshot, SHARED), Some((vec![], 0)));
        assert_eq!(at(&snapshot, OWN), Some((vec![(Rtype::TXT, 300, b"e".to_vec())], 0)));
        let with = set(&snapshot, &[("one", SHARED, 1), ("two", SHARED, 2), ("one", OWN, 3)]);
        assert_eq!(at(&with, SHARED), Some((vec![(Rtype::TXT, 0, b"21".to_vec())], 0)));
        assert_eq!(at(&with, OWN), Some((vec![(Rtype::TXT, 0, b"e3".to_vec())], 0)), "beside the record of the file");
        // A token that its credential may not set does not count.
        let foreign = set(&snapshot, &[("two", OWN, 1), ("three", SHARED, 2), ("one", "other.x", 3)]);
        assert_eq!((at(&foreign, SHARED), at(&foreign, OWN).unwrap().0.len()), (Some((vec![], 0)), 1));
        assert_eq!(at(&foreign, "other.x"), None);
        let mut removed = store(&[("one", SHARED, 1)]);
        removed.remove(&"one".into(), name(SHARED).as_name(), Removal::All, &"a".into(), UnixTime(2));
        assert_eq!(at(&with.after(&Change::Tokens(Arc::new(removed))), SHARED), Some((vec![], 0)));
        // Zones that are given away have none of these records.
        let base = with.zones().base(crate::base::ids::ZoneId(0));
        assert!(matches!(base.find(name(SHARED).as_name(), &name(SHARED).as_name().suffixes()), Found::Below { .. }));
    }

    #[test]
    fn a_mirror_has_its_addresses_at_a_name_of_its_own_whatever_its_health() {
        let snapshot = snapshot(&["one"]);
        assert_eq!(at(&snapshot, "one.x"), Some((vec![(Rtype::A, 60, vec![1])], 60)));
        let moved = |v4: &[&str], ttl| {
            let v4 = v4.iter().map(|text| text.parse().unwrap()).collect();
            let addresses = HostAddresses { v4, v6: Vec::new(), ttl: Ttl(ttl), at: Some(UnixTime(2)) };
            snapshot.after(&Change::Addresses("lb".into(), addresses))
        };
        assert_eq!(at(&moved(&["192.0.2.8", "192.0.2.9"], 300), "one.x").unwrap().0, [(Rtype::A, 60, vec![8, 9])]);
        assert_eq!(at(&moved(&["192.0.2.8"], 20), "one.x"), Some((vec![(Rtype::A, 20, vec![8])], 20)));
        assert_eq!(at(&moved(&[], 20), "one.x"), Some((vec![], 0)), "the name exists without an address");
    }

    #[test]
    fn tokens_outlive_reloads_for_as_long_as_their_credential_is_there() {
        let tokens = [("one", SHARED, 1), ("two", SHARED, 2)];
        let before = set(&snapshot(&["one", "two"]), &tokens);
        let reload = |before: &Snapshot, credentials: &[&str]| {
            let mut next = crate::snapshot::Next::of(before);
            next.replace(snapshot(credentials));
            next.derive()
        };
        let same = reload(&before, &["one", "two"]);
        assert_eq!(at(&same, SHARED), at(&before, SHARED));
        let only_two = reload(&same, &["two"]);
        assert_eq!(at(&only_two, SHARED), Some((vec![(Rtype::TXT, 0, b"2".to_vec())], 0)));
        assert_eq!((at(&only_two, "one.x"), at(&reload(&only_two, &[]), SHARED)), (at(&snapshot(&[]), "one.x"), None));
        // Another version of the zone has the same owners.
        let zone = Arc::new(zone());
        assert_eq!(at(&same.after(&Change::Zone(zone)), SHARED), at(&before, SHARED));
    }
}
