//! Chains that clients accept or refuse.

use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rcgen::{PKCS_ED25519, SignatureAlgorithm, date_time_ymd};

use super::*;

/// Midnight of 2026-02-10; leaves here are valid through February.
const NOW: u64 = 1_770_681_600;
const DAY: u64 = 86_400;

/// A root, two intermediates below each other, and a folder.
struct World {
    folder: tempfile::TempDir,
    roots: Roots,
    root: String,
    intermediates: [String; 2],
    issuer: Issuer<'static, KeyPair>,
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

impl World {
    fn new() -> Self {
        let key = || KeyPair::generate().unwrap();
        let (root_key, upper_key, lower_key) = (key(), key(), key());
        let root = authority("A Root").self_signed(&root_key).unwrap();
        let root_issuer = Issuer::new(authority("A Root"), root_key);
        let upper = authority("Upper").signed_by(&upper_key, &root_issuer).unwrap();
        let upper_issuer = Issuer::new(authority("Upper"), upper_key);
        let lower = authority("Lower").signed_by(&lower_key, &upper_issuer).unwrap();
        let mut roots = Roots::default();
        roots.add(root.der().clone()).unwrap();
        World {
            folder: tempfile::tempdir().unwrap(),
            roots,
            root: root.pem(),
            intermediates: [lower.pem(), upper.pem()],
            issuer: Issuer::new(authority("Lower"), lower_key),
        }
    }

    fn leaf(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        self.leaf_of(&KeyPair::generate().unwrap(), names, change)
    }

    fn leaf_of(&self, key: &KeyPair, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(2026, 2, 1);
        params.not_after = date_time_ymd(2026, 3, 1);
        change(&mut params);
        (params.signed_by(key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// The problems of these sections in this order, as `severity code`.
    fn said(&self, sections: &[&str], key: Option<&str>, now: u64) -> Vec<String> {
        let (_, problems) = self.judge(sections, key, now);
        problems.iter().map(|one| format!("{:?} {}", one.severity, one.code).to_lowercase()).collect()
    }

    fn judge(&self, sections: &[&str], key: Option<&str>, now: u64) -> (Option<(LeafFacts, usize)>, Vec<Diagnostic>) {
        let path = |name: &str| self.folder.path().join(name);
        std::fs::write(path("chain.pem"), sections.concat()).unwrap();
        let key = key.map(|key| {
            std::fs::write(path("chain.key"), key).unwrap();
            path("chain.key")
        });
        let name = ServerName::try_from("blob.k8s.example").unwrap();
        let given = Evidence { chain: path("chain.pem"), key, name };
        judge(&given, &self.roots, UnixTime::since_unix_epoch(Duration::from_secs(now)))
    }
}

const NONE: [&str; 0] = [];

#[test]
fn a_whole_chain_in_order_serves_with_and_without_its_root() {
    let world = World::new();
    let (leaf, key) = world.leaf(&["blob.k8s.example", "192.0.2.1", "::1"], |_| {});
    let [lower, upper] = &world.intermediates;
    assert_eq!(world.said(&[&leaf, lower, upper], Some(&key), NOW), NONE);
    assert_eq!(world.said(&[&leaf, lower, upper, &world.root], None, NOW), NONE);
    let (facts, _) = world.judge(&[&leaf, lower, upper], None, NOW);
    let (facts, length) = facts.unwrap();
    assert_eq!(length, 3);
    assert_eq!(facts.names, ["blob.k8s.example", "192.0.2.1", "::1"]);
    let day =
        |days: i64| UnixTime::since_unix_epoch(Duration::from_secs(NOW.checked_add_signed(days * 86_400).unwrap()));
    assert_eq!((facts.not_before, facts.not_after), (day(-9), day(19)));
    assert_eq!(facts.key, KeyKind::P256);
}

#[test]
fn names_match_as_clients_match_them() {
    let world = World::new();
    let [lower, upper] = &world.intermediates;
    let said = |names: &[&str]| world.said(&[&world.leaf(names, |_| {}).0, lower, upper], None, NOW);
    assert_eq!(said(&["*.k8s.example"]), NONE);
    assert_eq!(said(&["BLOB.k8s.example"]), NONE);
    assert_eq!(said(&["other.example", "*.blob.k8s.example"]), ["error tls-wrong-name"]);
    assert_eq!(said(&[]), ["error tls-wrong-name"]);
    let leaf = world.leaf(&["other.example", "*.blob.k8s.example"], |_| {}).0;
    let (_, problems) = world.judge(&[&leaf, lower, upper], None, NOW);
    let help =
        "it is for `other.example`, `*.blob.k8s.example`; have one issued that has `blob.k8s.example` among its names";
    assert_eq!(problems[0].help.as_deref(), Some(help));
}

#[test]
fn order_is_judged_and_looked_through() {
    let world = World::new();
    let (leaf, key) = world.leaf(&["blob.k8s.example"], |_| {});
    let [lower, upper] = &world.intermediates;
    assert_eq!(world.said(&[&leaf, upper, lower], Some(&key), NOW), ["warning tls-order"]);
    assert_eq!(world.said(&[upper, lower, &leaf], Some(&key), NOW), ["error tls-order"]);
    let (_, problems) = world.judge(&[upper, &leaf, lower], None, NOW);
    let help = "write the certificates of the file in the order 2, 3, 1: each followed by its issuer";
    assert_eq!(problems[0].help.as_deref(), Some(help));
}

#[test]
fn a_missing_link_is_named() {
    let world = World::new();
    let leaf = world.leaf(&["blob.k8s.example"], |_| {}).0;
    let [lower, upper] = &world.intermediates;
    assert_eq!(world.said(&[&leaf], None, NOW), ["error tls-incomplete"]);
    assert_eq!(world.said(&[&leaf, upper], None, NOW), ["error tls-incomplete"]);
    let (_, problems) = world.judge(&[&leaf, lower], None, NOW);
    assert!(problems[0].message.ends_with("stops before `Upper`, which is no trusted root"), "{}", problems[0].message);
    let other = World::new();
    let [other_lower, other_upper] = &other.intermediates;
    let foreign = other.leaf(&["blob.k8s.example"], |_| {}).0;
    assert_eq!(world.said(&[&foreign, other_lower, other_upper], None, NOW), ["error tls-untrusted"]);
    assert_eq!(world.said(&[&foreign, other_lower, other_upper, &other.root], None, NOW), ["error tls-untrusted"]);
    let alone = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["blob.k8s.example".to_string()]).unwrap();
    assert_eq!(world.said(&[&params.self_signed(&alone).unwrap().pem()], None, NOW), ["error tls-self-signed"]);
}

#[test]
fn times_are_judged_now_and_three_days_on() {
    let world = World::new();
    let leaf = world.leaf(&["blob.k8s.example"], |_| {}).0;
    let [lower, upper] = &world.intermediates;
    let said = |now| world.said(&[&leaf, lower, upper], None, now);
    assert_eq!(said(NOW + 16 * DAY), NONE);
    assert_eq!(said(NOW + 16 * DAY + 1), ["warning tls-expiring"]);
    assert_eq!(said(NOW + 19 * DAY + 1), ["error tls-expired"]);
    assert_eq!(said(NOW - 10 * DAY), ["error tls-not-yet-valid"]);
}

#[test]
fn keys_and_purposes_that_clients_refuse_are_told() {
    let world = World::new();
    let [lower, upper] = &world.intermediates;
    let (leaf, _) = world.leaf(&["blob.k8s.example"], |_| {});
    let (_, other) = world.leaf(&["blob.k8s.example"], |_| {});
    assert_eq!(world.said(&[&leaf, lower, upper], Some(&other), NOW), ["error tls-mismatch"]);
    assert_eq!(world.said(&[&leaf, lower, upper], Some("no key"), NOW), ["error tls-no-key"]);
    let client = |params: &mut CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    };
    let leaf = world.leaf(&["blob.k8s.example"], client).0;
    assert_eq!(world.said(&[&leaf, lower, upper], None, NOW), ["error tls-refused"]);
    let kind = |algorithm: &'static SignatureAlgorithm| {
        let leaf = world.leaf_of(&KeyPair::generate_for(algorithm).unwrap(), &["blob.k8s.example"], |_| {}).0;
        world.judge(&[&leaf, lower, upper], None, NOW).0.unwrap().0.key
    };
    assert_eq!(kind(&PKCS_ED25519), KeyKind::Ed25519);
    assert_eq!(kind(&rcgen::PKCS_ECDSA_P384_SHA384), KeyKind::P384);
}

#[test]
fn what_is_no_chain_is_said_to_be_none() {
    let world = World::new();
    assert_eq!(world.said(&[""], None, NOW), ["error tls-no-certificate"]);
    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_eq!(world.said(&[junk], None, NOW), ["error tls-bad-certificate"]);
}
