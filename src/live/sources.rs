//! Sources that a fleet fetches once for all: the copies of this server, those of its peers, and requests for copies in the store.
//!
//! ```text
//! refresh ── OwnSource ──► sharing: the document of this server, and the upload of a new copy
//!    ▲  └── SharedCopy ──► sharing, which reads the copy from the store
//!    └─── HeardDocument ── sharing
//! ```
//!
//! **Invariants**: the fetches alone say which copies this server has; the exchange alone says which copies the store has; each
//! request is answered, or its sender learns that the process is about to end.
//! **Not here**: the turn of each server ([`crate::fleet`]), the store (`sharing`), judging a copy (`serve`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use tokio::sync::watch;

use super::fleet::HeardDocument;
use super::requests::{RequestInbox, Requests, requests};
use crate::files::FileKind;
use crate::fleet::{ContentDigest, SharedCopy, SourceKey, SourceReport, SourceReports};

/// The sources of this server that are fetched, by name.
pub(crate) type OwnSources = BTreeMap<Arc<str>, OwnSource>;

/// A source of this server that is fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnSource {
    /// The source at all servers.
    pub(crate) key: SourceKey,
    /// The copy that is served. `None` if there is none.
    pub(crate) copy: Option<SourceCopy>,
    /// The last time at which the publisher had this copy. `None` if that is not known.
    pub(crate) checked: Option<Instant>,
    /// True if this server has asked the publisher at that time, and not another one.
    pub(crate) is_asked_here: bool,
}

/// The copy of a source on the disk of this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SourceCopy {
    /// The file.
    pub(crate) path: PathBuf,
    /// The kind of the file, which bounds its length.
    pub(crate) kind: FileKind,
    /// The digest.
    pub(crate) sha256: ContentDigest,
    /// The length, in bytes.
    pub(crate) len: u64,
    /// The contents before the last two, which the store need not keep.
    pub(crate) older: Vec<ContentDigest>,
    /// The origin.
    pub(crate) origin: CopyOrigin,
}

/// The origin of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CopyOrigin {
    /// This process has fetched it from the publisher.
    Publisher,
    /// This process has taken it from the store.
    Store,
    /// It was on the disk at the start, or an operator has taken it back.
    Disk,
}

/// The receiver of requests for copies in the store. A content has the digest and the length of its copy.
pub(crate) type CopyInbox = RequestInbox<SharedCopy, Result<Bytes, CopyFault>>;

/// The reason why a copy cannot be taken from the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CopyFault {
    /// The store does not have it.
    Missing,
    /// The object in the store has another content.
    OtherContent,
    /// The store, or the disk of this server, cannot be used, for this reason.
    Unusable(String),
    /// The process is about to end.
    Stopping,
}

impl fmt::Display for CopyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CopyFault::Missing => f.write_str("the store does not have it"),
            CopyFault::OtherContent => f.write_str("the object in the store does not have its digest and length"),
            CopyFault::Unusable(why) => f.write_str(why),
            CopyFault::Stopping => f.write_str("the server is stopping"),
        }
    }
}

/// The sources of a fleet, for the fetches and for the exchange.
#[derive(Clone, Debug)]
pub(crate) struct FleetSources {
    /// The name of this server.
    pub(crate) server: Arc<str>,
    /// The least time between the turns of two servers, in which a document has reached all.
    pub(crate) apart: Duration,
    /// The sources of this server.
    pub(crate) own: watch::Sender<Arc<OwnSources>>,
    /// The copies that the store has, as far as this server knows.
    pub(crate) stored: watch::Sender<Arc<BTreeSet<ContentDigest>>>,
    /// The documents of all peers that were heard lately. The receiver has seen no value, so that a clone of it knows whether the
    /// first round of the exchange is over.
    pub(crate) heard: watch::Receiver<Arc<[HeardDocument]>>,
    takes: Requests<SharedCopy, Result<Bytes, CopyFault>>,
}

impl FleetSources {
    /// The sources of a server, and the receiver of requests for copies.
    pub(crate) fn new(
        server: Arc<str>,
        apart: Duration,
        heard: watch::Receiver<Arc<[HeardDocument]>>,
    ) -> (Self, CopyInbox) {
        let (takes, inbox) = requests();
        let (own, stored) = (watch::Sender::new(Arc::default()), watch::Sender::new(Arc::default()));
        (FleetSources { server, apart, own, stored, heard, takes }, inbox)
    }

    /// Notes a source of this server.
    pub(crate) fn note(&self, name: &Arc<str>, source: OwnSource) {
        self.own.send_if_modified(|own| {
            let is_new = own.get(name) != Some(&source);
            if is_new {
                Arc::make_mut(own).insert(name.clone(), source);
            }
            is_new
        });
    }

    /// Forgets a source of this server.
    pub(crate) fn forget(&self, name: &str) {
        self.own.send_if_modified(|own| own.contains_key(name) && Arc::make_mut(own).remove(name).is_some());
    }

    /// A source of this server.
    pub(crate) fn source(&self, name: &str) -> Option<OwnSource> {
        self.own.borrow().get(name).cloned()
    }

    /// The part of this server's document.
    pub(crate) fn reports(&self) -> SourceReports {
        let (own, stored) = (self.own.borrow().clone(), self.stored.borrow().clone());
        SourceReports::new(own.values().map(|source| {
            let copy = source.copy.as_ref().map(|copy| {
                let SourceCopy { sha256, len, .. } = copy;
                SharedCopy { sha256: sha256.clone(), len: *len, stored: stored.contains(sha256) }
            });
            let checked = source.checked.filter(|_| source.is_asked_here);
            let checked_ms = checked.map(|at| u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX));
            (source.key.clone(), SourceReport { copy, checked_ms })
        }))
    }

    /// Reads a copy from the store.
    pub(crate) async fn take(&self, copy: SharedCopy) -> Result<Bytes, CopyFault> {
        self.takes.ask(copy).await.unwrap_or(Err(CopyFault::Stopping))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_of_another_server_is_not_told_again() {
        let heard = watch::Sender::new(Arc::default());
        let (sources, _inbox) = FleetSources::new("a".into(), Duration::ZERO, heard.subscribe());
        let (key, sha256) = (SourceKey::of("list", "https://feeds.example/"), ContentDigest::of(b"x"));
        let (path, kind, origin) = (PathBuf::new(), FileKind::Feed, CopyOrigin::Store);
        let copy = SourceCopy { path, kind, sha256: sha256.clone(), len: 1, older: Vec::new(), origin };
        let mut own =
            OwnSource { key: key.clone(), copy: Some(copy), checked: Some(Instant::now()), is_asked_here: false };
        sources.note(&"x".into(), own.clone());
        let report = |sources: &FleetSources| sources.reports().of(&key).cloned().unwrap();
        let copy = SharedCopy { sha256: sha256.clone(), len: 1, stored: false };
        assert_eq!(report(&sources), SourceReport { copy: Some(copy), checked_ms: None });
        own.is_asked_here = true;
        sources.note(&"x".into(), own);
        sources.stored.send_replace(Arc::new([sha256].into()));
        assert!(report(&sources).checked_ms.is_some() && report(&sources).copy.unwrap().stored);
        sources.forget("x");
        assert_eq!(sources.reports(), SourceReports::default());
    }
}
