//! Paths from a certificate to a trusted root, as clients find them.
//!
//! **Invariants**: of several paths that verify, the one that lasts longest counts; certificates that were presented and are
//! not on it do not. A leaf that is a root byte for byte is its own path, but its name and its time count.
//! **Not here**: reasons in our own words ([`super::fault`]), names of a certificate (the caller's).
//!
//! RFC 5280 §6 (paths).

use std::time::Duration;

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};

use super::facts::{self, Parties};
use super::life::{Life, Phase};
use super::roots::Roots;

/// The end of the path that lasts longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PathEnd {
    /// The end.
    pub(crate) at: UnixTime,
    /// The certificate that ends then is the leaf, not an issuer or the root.
    pub(crate) is_leaf: bool,
}

/// Verifies that a path from the leaf of a chain leads to a root at a time.
pub(super) fn verify(chain: &[CertificateDer<'_>], roots: &Roots, at: UnixTime) -> Result<(), Error> {
    let (leaf, issuers) = chain.split_first().ok_or(Error::NoCertificatesPresented)?;
    if roots.holds(leaf) {
        let (not_before, not_after) = facts::validity(leaf).ok_or(CertificateError::BadEncoding)?;
        return match () {
            () if at > not_after => Err(CertificateError::ExpiredContext { time: at, not_after }.into()),
            () if at < not_before => Err(CertificateError::NotValidYetContext { time: at, not_before }.into()),
            () => Ok(()),
        };
    }
    verify_with(leaf, issuers, &roots.store(at), at)
}

fn verify_with(
    leaf: &CertificateDer<'_>,
    issuers: &[CertificateDer<'_>],
    roots: &RootCertStore,
    at: UnixTime,
) -> Result<(), Error> {
    let algorithms = super::provider().signature_verification_algorithms.all;
    verify_server_cert_signed_by_trust_anchor(&ParsedCertificate::try_from(leaf)?, roots, issuers, at, algorithms)
}

/// The end of the path that lasts longest, if that path is in its warning phase at a time; `None` if there is time.
///
/// The warning phase of each certificate on the path, the root included, is `window` before its end, or a third of its life if
/// that is shorter. The chain must have been accepted.
pub(super) fn ending(chain: &[CertificateDer<'_>], roots: &Roots, window: Duration, now: UnixTime) -> Option<PathEnd> {
    let (leaf, issuers) = chain.split_first()?;
    let is_good =
        |one: &CertificateDer<'_>| Life::of_one(one, window).is_some_and(|life| life.phase(now) == Phase::Good);
    let leaf_is_good = is_good(leaf);
    let anchors: Vec<_> = chain
        .iter()
        .filter_map(Parties::read)
        .flat_map(|parties| roots.named(&parties.issuer).collect::<Vec<_>>())
        .collect();
    if leaf_is_good {
        // Find a path again only if a certificate ends soon, because verified signatures cost as much as the handshake.
        let roots_are_good = anchors.iter().all(|root| root.life(window).phase(now) == Phase::Good);
        if roots_are_good && issuers.iter().all(is_good) {
            return None;
        }
        let lasting: Vec<_> = issuers.iter().filter(|issuer| is_good(issuer)).cloned().collect();
        if verify_with(leaf, &lasting, &roots.lasting(window, now), now).is_ok() {
            return None;
        }
    }
    let leaf_end = facts::validity(leaf)?.1;
    let issuers = issuers.iter().filter_map(|issuer| Some(facts::validity(issuer)?.1));
    let mut ends: Vec<UnixTime> = issuers.chain(anchors.iter().map(|root| root.ends)).collect();
    ends.retain(|end| now <= *end && *end < leaf_end);
    ends.push(leaf_end);
    ends.sort_unstable_by(|one, other| other.cmp(one));
    ends.dedup();
    let at = ends.into_iter().find(|end| verify(chain, roots, *end).is_ok())?;
    Some(PathEnd { at, is_leaf: at == leaf_end })
}

#[cfg(test)]
mod tests;
