//! The judgement of a chain for a name: the reasons why clients would refuse it, and the remedies.
//!
//! In: the PEM files, the name, the roots, the time. Out: the contents of the leaf, and all problems at once.
//!
//! **Invariants**: a chain without an error here is accepted by a client with these roots that asks for this name, now
//! and until the warning window has passed; the verification is the one that probes make.
//! **Not here**: the chain that a mirror presents ([`crate::probe`]).
//!
//! RFC 5280 §6 (paths), RFC 8446 §4.4.2 (order of a chain), RFC 9525 §6 (names).

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};

use super::facts::{KeyKind, LeafFacts, Parties};
use super::fault::{certificate_fault, untrusted};
use super::life::{EXPIRING, Life, Phase};
use super::load::{IdentityProblem, check_time, join, read, read_chain, read_key, span};
use crate::base::diagnostic::{Diagnostic, Place, Severity, list};
use crate::mirror::Untrusted;

/// RSA keys below this are refused by clients (CA/Browser Forum Baseline Requirements §6.1.5).
pub(super) const LEAST_RSA_BITS: usize = 2048;

/// The codes of a key that is too weak, of a certificate that is refused for another reason, and of a key that cannot be used.
const WEAK_KEY: &str = "tls-weak-key";
const REFUSED: &str = "tls-refused";
pub(super) const BAD_KEY: &str = "tls-bad-key";

/// The remedy for a chain that ends at a root which is not trusted.
const TRUST: &str = "name the roots that clients trust with `--roots`, or have it issued by an authority among them";

/// The files and the name to judge.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The chain.
    pub chain: PathBuf,
    /// The key of its leaf; `None` if it is not given.
    pub key: Option<PathBuf>,
    /// The name that clients ask for.
    pub name: ServerName<'static>,
}

/// Judges a chain. Returns the contents of its leaf and the number of its certificates (`None` if the leaf cannot be read),
/// and the problems.
pub fn judge(given: &Evidence, roots: &RootCertStore, now: UnixTime) -> (Option<(LeafFacts, usize)>, Vec<Diagnostic>) {
    let mut problems = Vec::new();
    let file = given.chain.display().to_string();
    let place = Place::whole_file(&file.as_str().into());
    let chain = read(&given.chain).and_then(|pem| read_chain(&pem.bytes, &given.chain));
    let chain = match chain {
        Ok(chain) => chain,
        Err(problem) => return (None, vec![problem.diagnostic().at(place, "")]),
    };
    let order = Order::of(&chain);
    let chain = order.sorted(&chain);
    let facts = match LeafFacts::read(&chain[0]) {
        Ok(facts) => facts,
        Err(error) => {
            let problem = IdentityProblem::BadCertificate { path: file, error }.diagnostic();
            return (None, vec![problem.at(place, "")]);
        }
    };
    problems.extend(order.problem(&file));
    problems.extend(key_problem(&facts, &file));
    // A key that is too weak is one problem, not two.
    let is_weak = problems.iter().any(|problem| problem.code == WEAK_KEY);
    let unfit = given.key.as_deref().and_then(|key| mismatch(&chain, key, given));
    problems.extend(unfit.filter(|problem| !(is_weak && problem.code == BAD_KEY)));
    if let Ok(leaf) = ParsedCertificate::try_from(&chain[0]) {
        problems.extend(name_problem(&leaf, &facts, given, &file));
        let path = path_problem(&leaf, &chain, roots, &file, now);
        problems.extend(path.filter(|problem| !(is_weak && problem.code == REFUSED)));
    }
    problems.sort_by_key(|problem| problem.severity);
    for problem in &mut problems {
        problem.place = Some(place.clone());
    }
    (Some((facts, chain.len())), problems)
}

/// The order of the certificates in a file.
struct Order {
    /// The place of each in the file, from the leaf on.
    places: Vec<usize>,
}

impl Order {
    /// Follows the issuers from the certificate that issued none of the others.
    fn of(chain: &[CertificateDer<'_>]) -> Self {
        let parties: Vec<Option<Parties>> = chain.iter().map(Parties::read).collect();
        let issued_by = |at: usize, issuer: usize| match (&parties[at], &parties[issuer]) {
            (Some(one), Some(other)) => at != issuer && !one.is_self_issued() && one.issuer == other.subject,
            _ => false,
        };
        let all = || 0..chain.len();
        let leaf = all().find(|&at| !all().any(|other| issued_by(other, at))).unwrap_or(0);
        let mut places = vec![leaf];
        while let Some(next) =
            places.last().and_then(|&last| all().find(|at| !places.contains(at) && issued_by(last, *at)))
        {
            places.push(next);
        }
        // Certificates outside the chain stay in their order, behind the others.
        let rest: Vec<usize> = all().filter(|at| !places.contains(at)).collect();
        places.extend(rest);
        Order { places }
    }

    fn sorted<'c>(&self, chain: &[CertificateDer<'c>]) -> Vec<CertificateDer<'c>> {
        self.places.iter().map(|&place| chain[place].clone()).collect()
    }

    fn problem(&self, file: &str) -> Option<Diagnostic> {
        if self.places.is_sorted() {
            return None;
        }
        let order: Vec<String> = self.places.iter().map(|place| (place + 1).to_string()).collect();
        let order = order.join(", ");
        let help = format!("write the certificates of the file in the order {order}: each followed by its issuer");
        Some(
            match self.places[0] {
                0 => Diagnostic::warning("tls-order", format!("the certificates in `{file}` are not in order")),
                _ => Diagnostic::error("tls-order", format!("the leaf does not come first in `{file}`")),
            }
            .help(help),
        )
    }
}

fn key_problem(facts: &LeafFacts, file: &str) -> Option<Diagnostic> {
    let weak = match facts.key {
        KeyKind::Rsa(bits) => bits < LEAST_RSA_BITS,
        KeyKind::Other => true,
        // Go, OpenSSL and NSS accept it; few other clients do.
        KeyKind::P521 => true,
        KeyKind::P256 | KeyKind::P384 | KeyKind::Ed25519 => false,
    };
    weak.then(|| {
        Diagnostic::error(WEAK_KEY, format!("the key of the certificate in `{file}` is {}", facts.key))
            .help("have one issued for ECDSA (P-256 or P-384), RSA (2048 bits or more) or Ed25519")
    })
}

fn mismatch(chain: &[CertificateDer<'static>], key: &Path, given: &Evidence) -> Option<Diagnostic> {
    let key_octets = match read(key).and_then(|pem| read_key(&pem.bytes, key)) {
        Ok(octets) => octets,
        Err(problem) => return Some(problem.diagnostic()),
    };
    join(chain.to_vec(), key_octets, &given.chain, key).err().map(|problem| problem.diagnostic())
}

fn name_problem(leaf: &ParsedCertificate<'_>, facts: &LeafFacts, given: &Evidence, file: &str) -> Option<Diagnostic> {
    verify_server_name(leaf, &given.name).err()?;
    let name = given.name.to_str();
    let names = match list(facts.names.iter().map(String::as_str)) {
        none if none.is_empty() => "no name at all (a common name does not count)".to_string(),
        names => names,
    };
    Some(
        Diagnostic::error("tls-wrong-name", format!("the certificate in `{file}` is not for `{name}`"))
            .help(format!("it is for {names}; have one issued that has `{name}` among its names")),
    )
}

/// The problem with the times, or with the path to a root.
fn path_problem(
    leaf: &ParsedCertificate<'_>,
    chain: &[CertificateDer<'_>],
    roots: &RootCertStore,
    file: &str,
    now: UnixTime,
) -> Option<Diagnostic> {
    // Judge the leaf alone: other certificates in the file need not be part of the path to a root.
    let first = &chain[..1];
    let time = check_time(leaf, first, file, now);
    if let Some(problem) = time.as_ref().filter(|problem| !matches!(problem, IdentityProblem::Expiring { .. })) {
        // An error, not a warning as in `load`: no listener depends on the certificate here.
        return Some(Diagnostic { severity: Severity::Error, ..problem.diagnostic() });
    }
    match verify(leaf, chain, roots, now) {
        Ok(()) => {}
        Err(Error::InvalidCertificate(error)) => return Some(refused(&error, chain, roots, file)),
        Err(error) => return Some(unusable(file, &error.to_string())),
    }
    if let Some(problem) = time {
        return Some(problem.diagnostic());
    }
    // If an issuer ends, there may be another path.
    let ending = chain[1..].iter().filter_map(|issuer| Life::of_one(issuer, EXPIRING));
    let ending = ending.filter(|life| life.phase(now) != Phase::Good).min_by_key(|life| life.ends)?;
    let then = UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs()) + ending.window());
    verify(leaf, chain, roots, then).err().map(|_| {
        let left = span(ending.distance(now));
        Diagnostic::warning("tls-expiring", format!("an issuer of the certificate in `{file}` expires in {left}"))
            .help("get the current intermediate from the authority that issued it")
    })
}

fn verify(
    leaf: &ParsedCertificate<'_>,
    chain: &[CertificateDer<'_>],
    roots: &RootCertStore,
    at: UnixTime,
) -> Result<(), Error> {
    let algorithms = super::provider().signature_verification_algorithms.all;
    verify_server_cert_signed_by_trust_anchor(leaf, roots, &chain[1..], at, algorithms)
}

fn refused(error: &CertificateError, chain: &[CertificateDer<'_>], roots: &RootCertStore, file: &str) -> Diagnostic {
    match untrusted(error, chain, roots) {
        None | Some(Untrusted::Unknown) => unusable(file, &certificate_fault(error).to_string()),
        Some(Untrusted::SelfSigned) => {
            Diagnostic::error("tls-self-signed", format!("the certificate in `{file}` is signed by itself")).help(
                "have one issued by an authority that clients trust, or give them this one as a root with `--roots`",
            )
        }
        Some(Untrusted::Namesake(issuer)) => {
            let message =
                format!("the chain in `{file}` ends at `{issuer}`, which is another than the root of that name");
            Diagnostic::error("tls-untrusted", message).help(TRUST)
        }
        Some(Untrusted::Root(issuer)) => {
            let message = format!("the chain in `{file}` ends at `{issuer}`, which is no trusted root");
            Diagnostic::error("tls-untrusted", message).help(TRUST)
        }
        Some(Untrusted::Incomplete(issuer)) => {
            let message = format!("the chain in `{file}` stops before `{issuer}`, which is no trusted root");
            Diagnostic::error("tls-incomplete", message).help(format!(
                "append the certificate of `{issuer}` to the file (an authority hands it out as an intermediate); \
                 or, if it is a root of your own, name it with `--roots`"
            ))
        }
    }
}

fn unusable(file: &str, why: &str) -> Diagnostic {
    Diagnostic::error(REFUSED, format!("clients refuse the certificate in `{file}`: {why}"))
        .help("have one issued for a TLS server, by an authority that clients trust")
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
    use rcgen::{PKCS_ED25519, SignatureAlgorithm, date_time_ymd};

    use super::*;

    /// Midnight of 2026-02-10; leaves here are valid through February.
    const NOW: u64 = 1_770_681_600;
    const DAY: u64 = 86_400;

    /// A root, two intermediates below each other, and a folder.
    struct World {
        folder: tempfile::TempDir,
        roots: RootCertStore,
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
            let mut roots = RootCertStore::empty();
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

        fn leaf_of(
            &self,
            key: &KeyPair,
            names: &[&str],
            change: impl FnOnce(&mut CertificateParams),
        ) -> (String, String) {
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

        fn judge(
            &self,
            sections: &[&str],
            key: Option<&str>,
            now: u64,
        ) -> (Option<(LeafFacts, usize)>, Vec<Diagnostic>) {
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
        assert_eq!((facts.not_before, facts.not_after), (Some(day(-9)), Some(day(19))));
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
        let help = "it is for `other.example`, `*.blob.k8s.example`; have one issued that has `blob.k8s.example` among its names";
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
        assert!(
            problems[0].message.ends_with("stops before `Upper`, which is no trusted root"),
            "{}",
            problems[0].message
        );
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
}
