//! Trusted roots, each with its life.
//!
//! **Invariants**: a root counts only while it is valid, because clients do not accept a chain that leads to an expired root.
//! **Not here**: reading them from files ([`crate::probe`]), paths to them ([`super::path`]).
//!
//! RFC 5280 §6.1.1 (d) leaves the life of a trust anchor out; Go, OpenSSL and NSS do not.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};

use super::facts;
use super::life::{Life, Phase};
use super::pem;

/// Trusted roots.
#[derive(Debug, Default)]
pub struct Roots {
    all: Vec<Root>,
    /// The store of the last verification.
    current: ArcSwapOption<CurrentStore>,
}

/// A root.
#[derive(Debug)]
struct Root {
    certificate: CertificateDer<'static>,
    anchor: TrustAnchor<'static>,
    validity: RootLife,
}

/// The roots that are valid in a span of time.
#[derive(Debug)]
struct CurrentStore {
    from: UnixTime,
    until: UnixTime,
    store: Arc<RootCertStore>,
}

/// The error of a certificate that cannot be a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadRoot;

impl Roots {
    /// The certificates of a PEM file as roots. The error is the predicate of a sentence about the file.
    pub(crate) fn of_pem(bytes: &[u8]) -> Result<Roots, String> {
        let mut roots = Roots::default();
        let sections = pem::sections(bytes).map_err(|error| format!("cannot be used: {error}"))?;
        for certificate in pem::certificates(sections) {
            roots.add(certificate).map_err(|BadRoot| {
                "holds a certificate that cannot be a root: it is damaged, or not X.509 version 3".to_string()
            })?;
        }
        if roots.is_empty() { Err("holds no certificate".to_string()) } else { Ok(roots) }
    }

    /// Adds a root, also one that is not valid now: it may become so.
    pub fn add(&mut self, certificate: CertificateDer<'static>) -> Result<(), BadRoot> {
        let mut parsed = RootCertStore::empty();
        parsed.add(certificate.clone()).map_err(|_| BadRoot)?;
        let anchor = parsed.roots.pop().ok_or(BadRoot)?;
        let (begins, ends) = facts::validity(&certificate).ok_or(BadRoot)?;
        self.all.push(Root { certificate, anchor, validity: RootLife { begins, ends } });
        Ok(())
    }

    /// Returns whether there is no root, valid or not.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The names of the roots that are not valid at a time.
    pub(crate) fn invalid_at(&self, at: UnixTime) -> Vec<String> {
        let invalid = self.all.iter().filter(|root| !root.validity.is_valid(at));
        invalid.map(|root| facts::subject(&root.certificate)).collect()
    }

    /// The roots that are valid at a time.
    pub fn store(&self, at: UnixTime) -> Arc<RootCertStore> {
        if let Some(current) = self.current.load().as_ref().filter(|one| one.from <= at && at <= one.until) {
            return current.store.clone();
        }
        // The store stays the same until the next begin or end of a root.
        let second = Duration::from_secs(1);
        let edges = || {
            let after = |end: UnixTime| UnixTime::since_unix_epoch(Duration::from_secs(end.as_secs()) + second);
            self.all.iter().flat_map(move |root| [root.validity.begins, after(root.validity.ends)])
        };
        let before = |edge: UnixTime| UnixTime::since_unix_epoch(Duration::from_secs(edge.as_secs()) - second);
        let from = edges().filter(|edge| *edge <= at).max();
        let until = edges().filter(|edge| *edge > at).min().map(before);
        let store = self.filtered(|root| root.validity.is_valid(at));
        self.current.store(Some(Arc::new(CurrentStore {
            from: from.unwrap_or(UnixTime::since_unix_epoch(Duration::ZERO)),
            until: until.unwrap_or(UnixTime::since_unix_epoch(Duration::from_secs(u64::MAX))),
            store: store.clone(),
        })));
        store
    }

    /// The roots that are valid at a time, and not in the warning window before their end.
    pub(super) fn lasting(&self, window: Duration, at: UnixTime) -> Arc<RootCertStore> {
        self.filtered(|root| root.validity.is_valid(at) && root.validity.life(window).phase(at) == Phase::Good)
    }

    fn filtered(&self, wanted: impl Fn(&Root) -> bool) -> Arc<RootCertStore> {
        let roots = self.all.iter().filter(|root| wanted(root)).map(|root| root.anchor.clone()).collect();
        Arc::new(RootCertStore { roots })
    }

    /// Returns whether a certificate is one of the roots, byte for byte.
    pub(super) fn holds(&self, certificate: &CertificateDer<'_>) -> bool {
        self.all.iter().any(|root| root.certificate == *certificate)
    }

    /// The validity of each root with this subject.
    pub(super) fn named(&self, subject: &[u8]) -> impl Iterator<Item = RootLife> {
        let named = self.all.iter().filter(move |root| *root.anchor.subject == *subject);
        named.map(|root| root.validity)
    }
}

/// The validity of a root.
#[derive(Clone, Copy, Debug)]
pub(super) struct RootLife {
    begins: UnixTime,
    pub(super) ends: UnixTime,
}

impl RootLife {
    pub(super) fn is_valid(&self, at: UnixTime) -> bool {
        self.begins <= at && at <= self.ends
    }

    pub(super) fn life(&self, window: Duration) -> Life {
        Life::between(self.begins, self.ends, window)
    }
}
