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

use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error};

use super::facts::{KeyKind, LEAST_RSA_BITS, LeafFacts, Parties};
use super::fault::{certificate_fault, untrusted};
use super::life::EXPIRING;
use super::load::{BAD_KEY, IdentityFault, IdentityProblem, check_time, join, read, read_chain, read_key};
use super::path;
use super::roots::Roots;
use crate::base::diagnostic::{Diagnostic, Place, Severity, list};
use crate::base::when::span;
use crate::mirror::{CertificateFault, Untrusted};

/// The codes of a key that is too weak, and of a certificate that is refused for another reason.
const WEAK_KEY: &str = "tls-weak-key";
const REFUSED: &str = "tls-refused";

/// The remedy for a chain that ends at a root which is not trusted.
const TRUST: &str = "name the roots that clients trust with `--roots`, or have it issued by an authority among them";

/// The files and the name to judge.
#[derive(Clone, Debug)]
pub(crate) struct Evidence {
    /// The chain.
    pub(crate) chain: PathBuf,
    /// The key of its leaf; `None` if it is not given.
    pub(crate) key: Option<PathBuf>,
    /// The name that clients ask for.
    pub(crate) name: ServerName<'static>,
}

/// Judges a chain. Returns the contents of its leaf and the number of its certificates (`None` if the leaf cannot be read),
/// and the problems.
pub(crate) fn judge(given: &Evidence, roots: &Roots, now: UnixTime) -> (Option<(LeafFacts, usize)>, Vec<Diagnostic>) {
    let mut problems = Vec::new();
    let file = given.chain.display().to_string();
    let place = Place::whole_file(&file.as_str().into());
    let refuse = |problem: IdentityProblem| (None, vec![problem.diagnostic().at(place.clone(), "")]);
    let chain = match read(&given.chain).and_then(|pem| read_chain(&pem.bytes, &given.chain)) {
        Ok(chain) => chain,
        Err(problem) => return refuse(problem),
    };
    let order = order_of(&chain);
    let chain: Vec<_> = order.iter().map(|&place| chain[place].clone()).collect();
    let Some(facts) = LeafFacts::read(&chain[0]) else {
        return refuse(IdentityFault::BadCertificate(CertificateFault::Damaged).at(&given.chain));
    };
    problems.extend(order_problem(&order, &file));
    problems.extend(key_problem(&facts, &file));
    // A key that is too weak is one problem, not two.
    let is_weak = problems.iter().any(|problem| problem.code == WEAK_KEY);
    let unfit = given.key.as_deref().and_then(|key| mismatch(&chain, key, given));
    problems.extend(unfit.filter(|problem| !(is_weak && problem.code == BAD_KEY)));
    if let Ok(leaf) = ParsedCertificate::try_from(&chain[0]) {
        problems.extend(name_problem(&leaf, &facts, given, &file));
        let path = path_problem(&chain, roots, &file, now);
        problems.extend(path.filter(|problem| !(is_weak && problem.code == REFUSED)));
    }
    problems.sort_by_key(|problem| problem.severity);
    for problem in &mut problems {
        problem.place = Some(place.clone());
    }
    (Some((facts, chain.len())), problems)
}

/// The places of certificates in their file, in the order of issuers from the certificate that issued none of the others.
fn order_of(chain: &[CertificateDer<'_>]) -> Vec<usize> {
    let parties: Vec<Option<Parties>> = chain.iter().map(Parties::read).collect();
    let issued_by = |at: usize, issuer: usize| match (&parties[at], &parties[issuer]) {
        (Some(one), Some(other)) => at != issuer && !one.is_self_issued() && one.issuer == other.subject,
        _ => false,
    };
    let all = || 0..chain.len();
    let leaf = all().find(|&at| !all().any(|other| issued_by(other, at))).unwrap_or(0);
    let mut places = vec![leaf];
    while let Some(next) = places.last().and_then(|&last| all().find(|at| !places.contains(at) && issued_by(last, *at)))
    {
        places.push(next);
    }
    // Certificates outside the chain stay in their order, behind the others.
    let rest: Vec<usize> = all().filter(|at| !places.contains(at)).collect();
    places.extend(rest);
    places
}

fn order_problem(places: &[usize], file: &str) -> Option<Diagnostic> {
    if places.is_sorted() {
        return None;
    }
    let order: Vec<String> = places.iter().map(|place| (place + 1).to_string()).collect();
    let order = order.join(", ");
    let help = format!("write the certificates of the file in the order {order}: each followed by its issuer");
    Some(
        match places[0] {
            0 => Diagnostic::warning("tls-order", format!("the certificates in `{file}` are not in order")),
            _ => Diagnostic::error("tls-order", format!("the leaf does not come first in `{file}`")),
        }
        .help(help),
    )
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
    let octets = read(key).and_then(|pem| read_key(&pem.bytes, key));
    let joined = octets.and_then(|octets| join(chain.to_vec(), octets, &given.chain, key));
    joined.err().map(|problem| problem.diagnostic())
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
fn path_problem(chain: &[CertificateDer<'_>], roots: &Roots, file: &str, now: UnixTime) -> Option<Diagnostic> {
    // Judge the leaf alone: other certificates in the file need not be part of the path to a root.
    let first = &chain[..1];
    let time = check_time(first, Path::new(file), now);
    if let Some(problem) = time.as_ref().filter(|problem| !matches!(problem.fault, IdentityFault::Expiring { .. })) {
        // An error, not a warning as in `load`: no listener depends on the certificate here.
        return Some(Diagnostic { severity: Severity::Error, ..problem.diagnostic() });
    }
    match path::verify(chain, roots, now) {
        Ok(()) => {}
        Err(Error::InvalidCertificate(error)) => return Some(refused(&error, chain, roots, file, now)),
        Err(_) => return Some(unusable(file, &CertificateFault::Rule.to_string())),
    }
    if let Some(problem) = time {
        return Some(problem.diagnostic());
    }
    let end = path::ending(chain, roots, EXPIRING, now)?;
    let left = span(end.at.as_secs().saturating_sub(now.as_secs()));
    let message = format!("an issuer of the certificate in `{file}`, or the root, expires in {left}");
    Some(Diagnostic::warning("tls-expiring", message).help(
        "get the current intermediate from the authority that issued it; renew a root of your own, and give it to clients",
    ))
}

fn refused(
    error: &CertificateError,
    chain: &[CertificateDer<'_>],
    roots: &Roots,
    file: &str,
    now: UnixTime,
) -> Diagnostic {
    let ends = |issuer, which: &str| {
        Diagnostic::error("tls-untrusted", format!("the chain in `{file}` ends at `{issuer}`, {which}")).help(TRUST)
    };
    match untrusted(error, chain, roots, now) {
        None | Some(Untrusted::Unknown) => unusable(file, &certificate_fault(error, chain.first()).to_string()),
        Some(Untrusted::SelfSigned) => {
            Diagnostic::error("tls-self-signed", format!("the certificate in `{file}` is signed by itself")).help(
                "have one issued by an authority that clients trust, or give them this one as a root with `--roots`",
            )
        }
        Some(Untrusted::Namesake(issuer)) => ends(issuer, "which is another than the root of that name"),
        Some(Untrusted::InvalidRoot(issuer)) => ends(issuer, "a root that has expired or is not valid yet"),
        Some(Untrusted::Root(issuer)) => ends(issuer, "which is no trusted root"),
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
mod tests;
