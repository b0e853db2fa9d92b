//! Signatures of a snapshot: made once, made anew in time, and not for a clock that goes back.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::AtomicU64 as Count;

use super::*;
use crate::base::ids::HorizonId;
use crate::base::name::name;
use crate::base::prefix::Family;
use crate::base::rr::Rtype;
use crate::base::time::{Generation, Ttl};
use crate::mirror::Mirror;
use crate::networks::Networks;
use crate::snapshot::{Compiled, Snapshot};
use crate::steer::{Draft, Horizon, Laid};
use crate::zone::{KeyRole, KeyState, SignOctets, SigningTerms, Steered, ZoneBuilder, ZoneKey, ZoneSet};

thread_local! {
    static NOW: Cell<u64> = const { Cell::new(1_800_000_000) };
}

fn clock() -> UnixTime {
    UnixTime(NOW.get())
}

/// A key whose signatures have their number.
#[derive(Debug, Default)]
struct Numbering(Count);

impl SignOctets for Numbering {
    fn sign(&self, _: &[u8]) -> Option<SignatureOctets> {
        let number = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        Some([number.to_be_bytes(); 8].concat().try_into().unwrap())
    }
}

/// A key that makes so many signatures, and no more.
#[derive(Debug)]
struct Failing(Count);

impl SignOctets for Failing {
    fn sign(&self, _: &[u8]) -> Option<SignatureOctets> {
        let less = |left: u64| left.checked_sub(1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).ok().map(|_| [7; 64])
    }
}

/// [`snapshot_with`] a key that numbers its signatures.
fn snapshot(validity_secs: u32, mirrors: &[&str]) -> Snapshot {
    snapshot_with(Arc::<Numbering>::default(), validity_secs, mirrors)
}

/// A zone `example` with a steered owner `blob` and the mirrors of a horizon, one for each address.
fn snapshot_with(private: Arc<dyn SignOctets>, validity_secs: u32, mirrors: &[&str]) -> Snapshot {
    let mut builder = ZoneBuilder::new(name("example"));
    let soa = [&[0, 0][..], &[7u32, 3600, 600, 86400, 60].map(u32::to_be_bytes).concat()].concat();
    for (rtype, rdata) in [(Rtype::SOA, &soa[..]), (Rtype::NS, b"\x02ns\x05other\0")] {
        builder.add(name("example").as_name(), rtype, Ttl(300), rdata, 0).unwrap();
    }
    let steered = Steered { horizon: HorizonId(0), ttl: Ttl(60), service: None };
    builder.steer(name("blob.example").as_name(), steered, 0).unwrap();
    let dnskey = [&[1, 1, 3, 13][..], &[9; 64]].concat();
    let key = ZoneKey { dnskey: dnskey.into(), role: KeyRole::Csk, state: KeyState::Active, has_ds: false, private };
    let terms = SigningTerms { keys: vec![key], validity_secs, deletes_ds: false };
    let networks = Networks::default();
    let ids = (0..mirrors.len()).map(crate::base::ids::MirrorId::from_index).collect();
    let horizon = Horizon::build(Draft::new("h".into(), Vec::new(), ids), &networks, &Laid::over(&networks));
    let mirror = |address: &&str| Mirror { v4: vec![address.parse().unwrap()], ..Mirror::named(*address) };
    let compiled = Compiled {
        horizons: [horizon].into(),
        mirrors: mirrors.iter().map(mirror).collect(),
        signing: [Some(Arc::new(terms))].into(),
        ..Compiled::default()
    };
    Snapshot::new(Generation(1), ZoneSet::new(vec![builder.finish().unwrap().0]), compiled)
}

/// The records and the RRSIG of the addresses of the default plan.
fn answered(snapshot: &Snapshot) -> (Vec<u8>, Vec<u8>) {
    let (zone, _) = snapshot.zones().iter().next().unwrap();
    let node = snapshot.zones().zone(zone).node_of(name("blob.example").as_name()).unwrap().id();
    let owner = snapshot.signed_owner(zone, node).unwrap();
    let plan = snapshot.default_plan(HorizonId(0)).index();
    let set = owner.addresses(plan, Family::V4).unwrap().rrset(Ttl(60));
    assert!(owner.addresses(plan, Family::V6).is_none());
    (set.rdatas().next().unwrap().to_vec(), set.signature_records().next().unwrap().1.to_vec())
}

#[test]
fn each_signature_is_made_once() {
    let signatory = Signatory::new(clock);
    let first = signatory.sign_ahead(snapshot(86_400, &["192.0.2.1"]));
    // SOA, NS, DNSKEY, NSEC of the apex; A and NSEC of the steered owner.
    assert_eq!((signatory.figures().made, first.signatures(crate::base::ids::ZoneId(0)).count), (6, 6));
    let again = signatory.sign_ahead(snapshot(86_400, &["192.0.2.1"]));
    assert_eq!((signatory.figures().made, answered(&again)), (6, answered(&first)));
    let other = signatory.sign_ahead(snapshot(86_400, &["192.0.2.2"]));
    assert_eq!((signatory.figures().made, answered(&other).0), (7, vec![192, 0, 2, 2]));
    let restored = Signatory::new(clock);
    assert_eq!(restored.restore(&signatory.text()), Some(7));
    assert_eq!(answered(&restored.sign_ahead(snapshot(86_400, &["192.0.2.2"]))), answered(&other));
    assert_eq!(restored.figures().made, 0);
}

#[test]
fn signatures_are_renewed_before_they_expire() {
    let signatory = Signatory::new(clock);
    let mut served = signatory.sign_ahead(snapshot(30, &["192.0.2.1"]));
    let zone = crate::base::ids::ZoneId(0);
    for _ in 0..120 {
        NOW.set(NOW.get() + 1);
        let before = signatory.figures().made;
        let renewed = signatory.renew(&served);
        let is_grown = signatory.figures().made > before;
        assert!(renewed.is_empty() || is_grown, "a zone is published that has no new signatures");
        served = signatory.sign(served.with_signed_zones(renewed), None).0;
        let left = served.signatures(zone).expires.unwrap().0 - NOW.get();
        assert!((21..=30).contains(&left), "{left}");
    }
    // Six signatures, a window every 7 s.
    assert!((96..=114).contains(&signatory.figures().made), "{}", signatory.figures().made);
    assert!(signatory.figures().kept <= 24, "{}", signatory.figures().kept);
}

/// The inception and expiration of an RRSIG's rdata.
fn times(rrsig: &[u8]) -> (u64, u64) {
    let at = |start: usize| u32::from_be_bytes(rrsig[start..start + 4].try_into().unwrap()).into();
    (at(12), at(8))
}

#[test]
fn while_the_clock_is_behind_an_earlier_one_signatures_are_valid_at_both_times() {
    let signatory = Signatory::new(clock);
    let early = NOW.get();
    signatory.sign_ahead(snapshot(86_400, &["192.0.2.1"]));
    NOW.set(early + 5 * 86_400);
    let served = signatory.sign_ahead(snapshot(86_400, &["192.0.2.1"]));
    NOW.set(early);
    assert!(signatory.is_due(&served));
    let renewed = signatory.renew(&served);
    let served = signatory.sign(served.with_signed_zones(renewed), None).0;
    let (inception, expiration) = times(&answered(&served).1);
    assert!(signatory.figures().is_clock_behind);
    assert!(inception < early && expiration > early + 5 * 86_400, "{inception} {expiration}");
    // The clock of a machine without battery.
    NOW.set(1_000_000);
    let served = signatory.sign_ahead(snapshot(86_400, &["192.0.2.1"]));
    assert!(times(&answered(&served).1).0 > early);
}

#[test]
fn a_clock_that_is_set_forward_has_all_signatures_made_anew_soon() {
    let signatory = Signatory::new(clock);
    let served = signatory.sign_ahead(snapshot(86_400, &["192.0.2.1"]));
    assert!(!signatory.is_due(&served));
    NOW.set(NOW.get() + 30 * 86_400);
    assert!(signatory.is_due(&served));
    let renewed = signatory.renew(&served);
    assert_eq!(renewed.len(), 1);
    let served = signatory.sign(served.with_signed_zones(renewed), None).0;
    assert!(served.signatures(crate::base::ids::ZoneId(0)).expires.unwrap().0 > NOW.get());
}

#[test]
fn a_plan_that_is_not_signed_in_time_gets_nothing_unsigned() {
    let signatory = Signatory::new(clock);
    let past = Instant::now().checked_sub(Duration::from_secs(1)).unwrap();
    let (late, is_in_time) = signatory.sign(snapshot(86_400, &["192.0.2.1"]), Some(past));
    assert!(!is_in_time);
    let (zone, _) = late.zones().iter().next().unwrap();
    let node = late.zones().zone(zone).node_of(name("blob.example").as_name()).unwrap().id();
    let owner = late.signed_owner(zone, node).unwrap();
    assert!(owner.addresses(0, Family::V4).is_none() && owner.nsec().is_none());
    assert!(signatory.sign(late, None).1);
}

#[test]
fn signatures_that_cannot_be_made_are_not_tried_again_at_once() {
    let later = Instant::now() + Duration::from_secs(3600);
    // None at all, and those of the zone without those of its steered owner.
    for (count, unsigned) in [(0, 1), (4, 0)] {
        let signatory = Signatory::new(clock);
        let key = Arc::new(Failing(count.into()));
        let (served, is_in_time) = signatory.sign(snapshot_with(key, 86_400, &["192.0.2.1"]), Some(later));
        assert!(is_in_time, "{count}");
        assert_eq!((served.unsigned_zones().len(), signatory.figures().made), (unsigned, count), "{count}");
        assert!(signatory.figures().failed > 0, "{count}");
    }
}
