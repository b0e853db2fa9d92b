//! Chains with several paths, and roots with ends of their own.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use time::OffsetDateTime;

use super::super::fault::chain_fault;
use super::*;
use crate::mirror::{CertificateFault, Untrusted};

const WINDOW: Duration = Duration::from_secs(72 * 3600);

fn day(month: u8, day: u8) -> OffsetDateTime {
    date_time_ymd(2026, month, day)
}

fn unix(at: OffsetDateTime) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(at.unix_timestamp() as u64))
}

/// An authority, whose certificates differ in issuer and time.
struct Ca {
    name: &'static str,
    key: Vec<u8>,
}

impl Ca {
    fn new(name: &'static str) -> Self {
        Ca { name, key: KeyPair::generate().unwrap().serialize_der() }
    }

    fn key(&self) -> KeyPair {
        KeyPair::try_from(self.key.as_slice()).unwrap()
    }

    fn params(&self, ends: OffsetDateTime) -> CertificateParams {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, self.name);
        (params.not_before, params.not_after) = (day(1, 1), ends);
        params
    }

    fn root(&self, ends: OffsetDateTime) -> CertificateDer<'static> {
        self.params(ends).self_signed(&self.key()).unwrap().der().clone()
    }

    fn below(&self, issuer: &Ca, ends: OffsetDateTime) -> CertificateDer<'static> {
        self.params(ends).signed_by(&self.key(), &issuer.issuer()).unwrap().der().clone()
    }

    fn issuer(&self) -> Issuer<'static, KeyPair> {
        Issuer::new(self.params(day(12, 1)), self.key())
    }

    fn leaf(&self, begins: OffsetDateTime, ends: OffsetDateTime) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["blob.example".to_string()]).unwrap();
        (params.not_before, params.not_after) = (begins, ends);
        params.signed_by(&KeyPair::generate().unwrap(), &self.issuer()).unwrap().der().clone()
    }
}

fn roots<const N: usize>(certificates: [&CertificateDer<'static>; N]) -> Roots {
    let mut roots = Roots::default();
    certificates.into_iter().for_each(|certificate| roots.add(certificate.clone()).unwrap());
    roots
}

#[test]
fn a_certificate_of_six_days_is_good_for_the_first_four() {
    let ca = Ca::new("root");
    let roots = roots([&ca.root(day(12, 1))]);
    let chain = [ca.leaf(day(2, 1), day(2, 7))];
    let ends = |at: u8, hours: u64| {
        let now = UnixTime::since_unix_epoch(Duration::from_secs(unix(day(2, at)).as_secs() + 1));
        ending(&chain, &roots, Duration::from_secs(hours * 3600), now)
    };
    let end = Some(PathEnd { at: unix(day(2, 7)), is_leaf: true });
    assert_eq!([1, 4, 5, 6].map(|at| ends(at, 72)), [None, None, end, end]);
    // A shorter configured window applies.
    assert_eq!([5, 6].map(|at| ends(at, 24)), [None, end]);
}

#[test]
fn the_path_that_lasts_longest_counts_and_its_root_too() {
    let (old, new, issuer) = (Ca::new("old"), Ca::new("new"), Ca::new("issuer"));
    let leaf = issuer.leaf(day(6, 1), day(9, 1));
    let (short, long) = (issuer.below(&old, day(7, 2)), issuer.below(&new, day(11, 1)));
    let (old_root, new_root) = (old.root(day(7, 3)), new.root(day(12, 1)));
    let now = unix(day(7, 1));
    let ends = |chain: &[&CertificateDer<'static>], roots: &Roots| {
        let chain: Vec<_> = chain.iter().map(|one| (*one).clone()).collect();
        verify(&chain, roots, now).unwrap();
        ending(&chain, roots, WINDOW, now)
    };
    let issuer_ends = |month, at| Some(PathEnd { at: unix(day(month, at)), is_leaf: false });
    let both = roots([&old_root, &new_root]);
    assert_eq!(ends(&[&leaf, &short], &both), issuer_ends(7, 2));
    // Served, and not needed.
    assert_eq!(ends(&[&leaf, &short, &long], &both), None);
    assert_eq!(ends(&[&leaf, &long, &old.root(day(1, 2))], &both), None, "an expired certificate that is not needed");
    // Clients that have only the old root have the old path.
    assert_eq!(ends(&[&leaf, &short, &long], &roots([&old_root])), issuer_ends(7, 2));
    // The root ends first.
    let lasting = issuer.below(&old, day(11, 1));
    assert_eq!(ends(&[&leaf, &lasting], &roots([&old_root])), issuer_ends(7, 3));
    assert_eq!(ends(&[&leaf, &lasting], &roots([&old_root, &old.root(day(12, 1))])), None, "the root was renewed");
}

#[test]
fn a_root_that_is_not_valid_is_none() {
    let (ca, issuer) = (Ca::new("root"), Ca::new("issuer"));
    let chain = [issuer.leaf(day(2, 1), day(9, 1)), issuer.below(&ca, day(11, 1))];
    let roots = roots([&ca.root(day(7, 1))]);
    let fault = |at| match verify(&chain, &roots, unix(at)) {
        Ok(()) => None,
        Err(Error::InvalidCertificate(error)) => Some(chain_fault(&error, &chain, &roots, unix(at))),
        Err(error) => panic!("{error}"),
    };
    let invalid = Some(CertificateFault::Untrusted(Untrusted::InvalidRoot("root".into())));
    // Back and forth, because the store of the last time is kept.
    let found = [day(6, 30), day(7, 1), day(7, 2), day(6, 30), day(8, 1)].map(fault);
    assert_eq!(found, [None, None, invalid.clone(), None, invalid]);
    assert_eq!(roots.invalid_at(unix(day(7, 2))), ["root"]);
    assert_eq!(roots.invalid_at(unix(day(6, 30))), [""; 0]);
}

#[test]
fn a_leaf_that_is_a_root_is_accepted_in_its_time() {
    let ca = Ca::new("a registry of its own");
    let chain = [ca.root(day(7, 1))];
    let roots = roots([&chain[0], &Ca::new("other").root(day(12, 1))]);
    assert_eq!(verify(&chain, &roots, unix(day(6, 1))), Ok(()));
    assert_eq!(ending(&chain, &roots, WINDOW, unix(day(6, 1))), None);
    let end = Some(PathEnd { at: unix(day(7, 1)), is_leaf: true });
    assert_eq!(ending(&chain, &roots, WINDOW, unix(day(6, 29))), end);
    let error = verify(&chain, &roots, unix(day(7, 2)));
    let expired = matches!(error, Err(Error::InvalidCertificate(CertificateError::ExpiredContext { .. })));
    assert!(expired, "{error:?}");
    // The same key and name are not the same certificate.
    assert!(verify(&[ca.root(day(8, 1))], &roots, unix(day(6, 1))).is_err());
}
