//! Signed zones: facts of RFC 4035, and the bytes to sign.

use std::sync::Arc;

use super::signed_bytes::INCEPTION_SECS;
use super::*;
use crate::base::name::name;
use crate::base::time::UnixTime;
use crate::zone::{KeyRole, KeyState, SignOctets};

/// A key whose signatures are all the same.
#[derive(Debug)]
struct Stamp;

impl SignOctets for Stamp {
    fn sign(&self, _: &[u8]) -> Option<SignatureOctets> {
        Some([7; 64])
    }
}

fn key(role: KeyRole, state: KeyState) -> ZoneKey {
    let flags = if role == KeyRole::Zsk { 0 } else { 1 };
    let dnskey = [&[1, flags, 3, 13][..], &[role as u8; 64]].concat();
    ZoneKey { dnskey: dnskey.into(), role, state, has_ds: false, private: Arc::new(Stamp) }
}

fn terms(keys: Vec<ZoneKey>) -> SigningTerms {
    SigningTerms { keys, validity_secs: 1_209_600, deletes_ds: false }
}

/// The zone `example` with these owners and types, TTL 300.
fn zone(records: &[(&str, Rtype)]) -> Zone {
    let mut builder = ZoneBuilder::new(name("example"));
    let soa = [&[0, 0][..], &[7u32, 3600, 600, 86400, 60].map(u32::to_be_bytes).concat()].concat();
    for (owner, rtype) in [("example", Rtype::SOA), ("example", Rtype::NS)].iter().chain(records) {
        let rdata: &[u8] = match *rtype {
            Rtype::SOA => &soa,
            Rtype::A => &[192, 0, 2, 1],
            Rtype::DS => &[
                0, 1, 13, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                0, 0,
            ],
            _ => b"\x02NS\x05other\0",
        };
        builder.add(name(owner).as_name(), *rtype, Ttl(300), rdata, 0).unwrap();
    }
    builder.finish().unwrap().0
}

fn signed(zone: &Zone, terms: &SigningTerms) -> Zone {
    let signing = ZoneSigning::new(zone, terms, UnixTime(1_800_000_000).into());
    let made: Vec<_> = (0..signing.len()).map(|at| signing.to_sign(at)).collect();
    let signatures: Vec<_> = made.iter().map(|made| made.key.private.sign(made.octets()).unwrap()).collect();
    signing.finish(&signatures).unwrap()
}

/// Each RRset of the zone with its number of signatures.
fn shown(zone: &Zone) -> Vec<String> {
    let sets = zone.nodes().flat_map(|node| node.rrsets().map(move |set| (node.owner(), set)));
    sets.map(|(owner, set)| format!("{owner} {} {}", set.rtype, set.signature_records().count())).collect()
}

#[test]
fn rfc4035_s2_all_is_signed_but_glue_and_delegations() {
    let zone = zone(&[
        ("cut.example", Rtype::NS),
        ("ns.cut.example", Rtype::A),
        ("secure.example", Rtype::NS),
        ("secure.example", Rtype::DS),
        ("a.b.example", Rtype::A),
    ]);
    let signed = signed(&zone, &terms(vec![key(KeyRole::Csk, KeyState::Active)]));
    assert_eq!(
        shown(&signed),
        [
            "example NS 1",
            "example SOA 1",
            "example NSEC 1",
            "example DNSKEY 1",
            "cut.example NS 0",
            "cut.example NSEC 1",
            "ns.cut.example A 0",
            "secure.example NS 0",
            "secure.example DS 1",
            "secure.example NSEC 1",
            "a.b.example A 1",
            "a.b.example NSEC 1",
        ]
    );
    let nsec = |owner: &str| {
        let set = signed.node_of(name(owner).as_name()).unwrap().rrset(Rtype::NSEC).unwrap();
        (set.ttl, set.rdatas().next().unwrap().to_vec())
    };
    // RFC 9077: the lesser of the SOA's TTL and its MINIMUM.
    let types = [Rtype::NS, Rtype::NSEC, Rtype::RRSIG].into_iter().collect();
    assert_eq!(nsec("cut.example"), (Ttl(60), nsec_rdata(name("secure.example").as_name(), &types)));
    assert_eq!(nsec("secure.example").1[..9], *b"\x07example\0");
    assert_eq!(signed.signatures().count, 9);
}

#[test]
fn keys_sign_by_role_and_state() {
    let (csk, zsk, ksk) = (KeyRole::Csk, KeyRole::Zsk, KeyRole::Ksk);
    let count = |keys: Vec<ZoneKey>| {
        let signed = signed(&zone(&[]), &terms(keys));
        let apex = signed.node(NodeId(0));
        [Rtype::DNSKEY, Rtype::SOA].map(|rtype| {
            let set = apex.rrset(rtype).unwrap();
            (set.count(), set.signature_records().count())
        })
    };
    let (published, active, retired) = (KeyState::Published, KeyState::Active, KeyState::Retired);
    assert_eq!(count(vec![key(ksk, active), key(zsk, active)]), [(2, 1), (1, 1)]);
    assert_eq!(count(vec![key(ksk, active), key(zsk, published)]), [(2, 1), (1, 0)]);
    assert_eq!(count(vec![key(ksk, retired), key(csk, active)]), [(2, 2), (1, 1)]);
}

#[test]
fn cds_and_cdnskey_are_there_for_keys_with_a_ds_or_ask_for_its_removal() {
    let mut csk = key(KeyRole::Csk, KeyState::Active);
    csk.has_ds = true;
    let sets = |terms: &SigningTerms| {
        let signed = signed(&zone(&[]), terms);
        [Rtype::CDS, Rtype::CDNSKEY].map(|rtype| {
            let set = signed.node(NodeId(0)).rrset(rtype).unwrap();
            assert_eq!(set.signature_records().count(), 1);
            set.rdatas().next().unwrap().to_vec()
        })
    };
    let mut terms = terms(vec![csk.clone()]);
    assert_eq!(sets(&terms), [ds_rdata(name("example").as_name(), &csk.dnskey), csk.dnskey.to_vec()]);
    terms.deletes_ds = true;
    assert_eq!(sets(&terms), [DELETE_CDS.to_vec(), DELETE_CDNSKEY.to_vec()]);
}

#[test]
fn octets_do_not_depend_on_order_and_case_and_keep_the_wildcard() {
    let csk = key(KeyRole::Csk, KeyState::Active);
    let (apex, owner, upper) = (name("example"), name("*.w.example"), name("*.W.EXAMPLE"));
    let window = SigningWindow { inception: 1, expiration: 2 };
    let set = |owner, rdatas: Vec<&'static [u8]>| RrSetToSign {
        apex: apex.as_name(),
        owner,
        rtype: Rtype::NS,
        ttl: Ttl(9),
        rdatas,
    };
    let one = set(owner.as_name(), vec![b"\x01a\0", b"\x01b\0"]).by(&csk, window);
    let other = set(upper.as_name(), vec![b"\x01B\0", b"\x01A\0"]).by(&csk, window);
    assert_eq!(one.octets(), other.octets());
    assert_eq!(one.id(), other.id());
    let head =
        [&[0, 2, 13, 2, 0, 0, 0, 9, 0, 0, 0, 2, 0, 0, 0, 1][..], &csk.tag().to_be_bytes(), b"\x07example\0"].concat();
    assert!(one.octets().starts_with(&head));
    assert!(one.octets()[head.len()..].starts_with(b"\x01*\x01w\x07example\0\0\x02\0\x01\0\0\0\x09\0\x03\x01a\0"));
}

#[test]
fn a_signature_is_valid_for_three_quarters_of_the_validity_at_every_moment() {
    let owner = name("a.example");
    for validity in [30, 1_209_600] {
        let mut windows = std::collections::BTreeSet::new();
        for step in 0..1000 {
            let now = 1_800_000_000 + step * u64::from(validity) / 250;
            let window = SigningWindow::at(UnixTime(now).into(), validity, owner.as_name(), Rtype::A);
            let left = u64::from(window.expiration) - now;
            assert!((u64::from(validity) * 3 / 4..=u64::from(validity)).contains(&left), "{validity} {left}");
            assert!(u64::from(window.inception) + INCEPTION_SECS <= now);
            windows.insert(window.expiration);
        }
        assert!((16..=18).contains(&windows.len()), "{}", windows.len());
    }
}

#[test]
fn while_the_clock_is_in_doubt_a_signature_is_valid_at_both_times() {
    let owner = name("a.example");
    let (from, to) = (UnixTime(1_800_000_000), UnixTime(1_800_432_000));
    let window = |time: SigningTime| SigningWindow::at(time, 86_400, owner.as_name(), Rtype::A);
    let both = window(SigningTime { from, to });
    assert_eq!((both.inception, both.expiration), (window(from.into()).inception, window(to.into()).expiration));
}
