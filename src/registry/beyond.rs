//! What canonical may lack because it is a signature: whether canonical has it is asked, and if not, it is fetched where
//! signatures are.
//!
//! cosign's tags say by their form that they are signatures. What they lead to is asked for by digest: the manifest, its
//! blobs, and the list of referrers, which clients of a registry without the API for it ask for by the tag `sha256-<hex>`.
//! Only canonical can say whether such a digest is one of its own.
//!
//! **Invariants**: pure; what canonical may have is sent to canonical; nothing is asked while there is no place for
//! signatures.
//! **Not here**: asking ([`crate::http`]), what is known already ([`super::known`]).
//!
//! OCI distribution specification v1.1, "Listing Referrers", "Referrers Tag Schema".

use super::known::{BlobKey, Holding};
use super::path::{Digest, Path, PullTarget, Reference, parse};
use super::{Answer, Asking, RegistrySettings, Request, RouteOutcome, RouteReply};

/// The most of a list of referrers that is read, in bytes. An empty one takes a hundred; what is longer is not empty.
pub const MAX_REFERRERS_LEN: usize = 16 * 1024;

/// A question to canonical, and where a request goes if it lacks what is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalAsk {
    /// What is asked for.
    pub subject: CanonicalSubject,
    /// The path at canonical, with its query if that has a say.
    pub path: String,
    /// The URL at the place of signatures.
    url: String,
    /// The algorithm and the encoded part of the digest.
    digest: (Box<str>, Box<str>),
}

/// What is asked for at canonical.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CanonicalSubject {
    /// A manifest or a blob: `HEAD` tells.
    Content,
    /// A list of referrers: the list itself tells, because one without entries counts as lacking.
    Referrers,
}

/// The question that a reply to a request depends on; `None` if canonical is not to be asked.
///
/// `reply` is what the request gets if canonical has it.
pub fn beyond(request: &Request<'_>, reply: &RouteReply, settings: &RegistrySettings) -> Option<CanonicalAsk> {
    let signatures = settings.signatures.as_ref()?;
    let mirrors_were_asked = settings.asking == Asking::Each && settings.horizon.is_some();
    match reply.basis.outcome {
        RouteOutcome::Manifest | RouteOutcome::Referrers => {}
        RouteOutcome::BlobFromMirror
        | RouteOutcome::BlobCanonical
        | RouteOutcome::BlobLacking
        | RouteOutcome::BlobUnknown => {}
        // A mirror that is sent everything unasked holds copies of what canonical has.
        RouteOutcome::BlobSteered | RouteOutcome::BlobMirror if !mirrors_were_asked => {}
        _ => return None,
    }
    let Path::Pull { target, rest } = parse(request.path) else { return None };
    let (subject, digest, query) = match target {
        PullTarget::Manifest(Reference::Digest(digest)) | PullTarget::Blob(digest) => {
            (CanonicalSubject::Content, digest, None)
        }
        PullTarget::Referrers(digest) => (CanonicalSubject::Referrers, digest, request.query),
        // An image index, which lists as the API does. cosign and oras look there if the API answers 404.
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
    /// The key under which it is known what canonical has.
    pub fn key(&self, secret: [u64; 2], authority: &str) -> BlobKey {
        let digest = Digest { algorithm: &self.digest.0, encoded: &self.digest.1 };
        // The path tells manifests from blobs and one repository from another; a mirror's repository has no slash first.
        BlobKey::new(secret, authority, &self.path, &digest)
    }

    /// The reply, with what is known of canonical.
    pub fn settle(self, holding: Holding, reply: RouteReply) -> RouteReply {
        match holding {
            Holding::Has | Holding::Unsaid => reply,
            Holding::Lacks => RouteReply {
                answer: Answer::Redirect(self.url),
                basis: super::RouteBasis { outcome: RouteOutcome::SignatureContent, ..reply.basis },
            },
        }
    }
}

/// What the status of canonical's answer says. Canonical may redirect to its storage, or want credentials that only the
/// client has: both mean that the client is to ask there.
pub fn holding_of_status(status: u16) -> Holding {
    match status {
        200..=399 => Holding::Has,
        404 | 410 => Holding::Lacks,
        _ => Holding::Unsaid,
    }
}

/// What a list of referrers says; `body` is its beginning, up to [`MAX_REFERRERS_LEN`].
pub fn holding_of_referrers(body: &[u8]) -> Holding {
    if body.len() >= MAX_REFERRERS_LEN {
        return Holding::Has;
    }
    match serde_json::from_slice::<serde_json::Value>(body) {
        Ok(index) => match index.get("manifests").and_then(serde_json::Value::as_array) {
            Some(list) if list.is_empty() => Holding::Lacks,
            Some(_) => Holding::Has,
            None => Holding::Unsaid,
        },
        Err(_) => Holding::Unsaid,
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
