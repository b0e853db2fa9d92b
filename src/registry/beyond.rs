//! Requests by digest that may belong to a signature: if canonical lacks the content, the client is sent to the registry
//! of signatures.
//!
//! A cosign tag shows by its form that it names a signature. The content behind it is requested by digest: the manifest,
//! its blobs and the list of referrers. For a registry without the referrers API, clients request that list by the tag
//! `sha256-<hex>`. Only canonical knows whether it has content with such a digest, so canonical is asked.
//!
//! **Invariants**: pure; a request by digest goes to the registry of signatures only if canonical has answered that it
//! lacks the content; without a registry of signatures, or if canonical is that registry, canonical is not asked.
//! **Not here**: the requests to canonical ([`crate::http`]), the cache of results ([`super::known`]).
//!
//! OCI distribution specification v1.1, "Listing Referrers", "Referrers Tag Schema".

use super::known::{BlobKey, Holding};
use super::path::{Digest, Path, PullTarget, Reference, parse};
use super::{Answer, RegistrySettings, Request, RouteOutcome, RouteReply};

/// The most bytes read of a list of referrers. An empty list has about a hundred; a longer body counts as a list with
/// entries.
pub const MAX_REFERRERS_LEN: usize = 16 * 1024;

/// A question to canonical, and the client's redirect if canonical lacks the content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalAsk {
    /// The kind of content.
    pub(crate) subject: CanonicalSubject,
    /// The path at canonical, with the query string for a list of referrers.
    pub(crate) path: String,
    /// The URL at the registry of signatures.
    url: String,
    /// The algorithm and the encoded part of the digest.
    digest: (Box<str>, Box<str>),
}

/// The kind of content that canonical is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CanonicalSubject {
    /// A manifest or a blob: the status of a `HEAD` decides.
    Content,
    /// A list of referrers: its body decides, because a list without entries counts as lacking.
    Referrers,
}

/// The question to canonical on which the reply depends; `None` if canonical is not asked.
///
/// `reply` is the reply if canonical has the content. It is not one after the answer of a mirror that has the blob, because
/// then canonical need not be asked.
pub fn beyond(request: &Request<'_>, reply: &RouteReply, settings: &RegistrySettings) -> Option<CanonicalAsk> {
    let signatures = settings.signatures.as_ref().filter(|signatures| **signatures != settings.canonical)?;
    match reply.basis.outcome {
        RouteOutcome::Manifest | RouteOutcome::Referrers => {}
        RouteOutcome::BlobByRule
        | RouteOutcome::BlobFromMirror
        | RouteOutcome::BlobCanonical
        | RouteOutcome::BlobLacking
        | RouteOutcome::BlobUnknown => {}
        // The mirror was not asked. It holds copies of canonical's blobs, so a blob that canonical lacks may be a signature's.
        RouteOutcome::BlobSteered | RouteOutcome::BlobMirror => {}
        _ => return None,
    }
    let Path::Pull { target, rest } = parse(request.path) else { return None };
    let (subject, digest, query) = match target {
        PullTarget::Manifest(Reference::Digest(digest)) | PullTarget::Blob(digest) => {
            (CanonicalSubject::Content, digest, None)
        }
        PullTarget::Referrers(digest) => (CanonicalSubject::Referrers, digest, request.query),
        // The tag of an image index with the same list. cosign and oras fetch it if the API answers 404.
        PullTarget::Manifest(reference) => (CanonicalSubject::Referrers, reference.referrers_of()?, None),
        PullTarget::Tags => return None,
    };
    let Digest { algorithm, encoded } = digest;
    let canonical = settings.canonical.url(rest.strip_suffix('/').unwrap_or(rest), query);
    let path = canonical.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| rest[at..].to_string()))?;
    Some(CanonicalAsk {
        subject,
        path,
        url: signatures.url(rest, request.query),
        digest: (algorithm.into(), encoded.into()),
    })
}

impl CanonicalAsk {
    /// The key of the cached result.
    pub(crate) fn key(&self, secret: [u64; 2], authority: &str) -> BlobKey {
        let digest = Digest { algorithm: &self.digest.0, encoded: &self.digest.1 };
        // The path distinguishes manifests, blobs and repositories. It begins with a slash, so no mirror's key can be the
        // same.
        BlobKey::new(secret, authority, &self.path, &digest)
    }

    /// The reply for canonical's result.
    pub(crate) fn settle(self, holding: Holding, reply: RouteReply) -> RouteReply {
        match holding {
            Holding::Has | Holding::Unsaid => reply,
            Holding::Lacks => RouteReply {
                answer: Answer::Redirect(self.url),
                basis: super::RouteBasis { outcome: RouteOutcome::SignatureContent, ..reply.basis },
            },
        }
    }
}

/// The result for the status of canonical's answer. Canonical may redirect to its storage, or ask for credentials that
/// only the client has. In both cases, the client is sent to canonical.
pub(crate) fn holding_of_status(status: u16) -> Holding {
    match status {
        200..=399 => Holding::Has,
        404 | 410 => Holding::Lacks,
        _ => Holding::Unsaid,
    }
}

/// The result for a list of referrers; `body` is its beginning, up to [`MAX_REFERRERS_LEN`].
pub(crate) fn holding_of_referrers(body: &[u8]) -> Holding {
    if body.len() >= MAX_REFERRERS_LEN {
        return Holding::Has;
    }
    let index: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    match index.get("manifests").and_then(serde_json::Value::as_array) {
        Some(list) if list.is_empty() => Holding::Lacks,
        Some(_) => Holding::Has,
        None => Holding::Unsaid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_without_entries_counts_as_lacking() {
        let empty = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
        assert_eq!(holding_of_referrers(empty), Holding::Lacks);
        assert_eq!(holding_of_referrers(br#"{"manifests":[{"digest":"sha256:0"}]}"#), Holding::Has);
        for odd in ["", "<html>", "{}", "[]", r#"{"manifests":null}"#, r#"{"manifests":["#] {
            assert_eq!(holding_of_referrers(odd.as_bytes()), Holding::Unsaid, "{odd}");
        }
        assert_eq!(holding_of_referrers(&[b'['; MAX_REFERRERS_LEN]), Holding::Has);
    }

    #[test]
    fn only_a_404_says_that_canonical_lacks_it() {
        for status in [200, 206, 301, 307] {
            assert_eq!(holding_of_status(status), Holding::Has, "{status}");
        }
        for status in [404, 410] {
            assert_eq!(holding_of_status(status), Holding::Lacks, "{status}");
        }
        for status in [400, 401, 403, 429, 500, 503] {
            assert_eq!(holding_of_status(status), Holding::Unsaid, "{status}");
        }
    }
}
