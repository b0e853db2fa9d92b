//! The subject of a request, for the request log: its kind, the repository, and the digest or tag.
//!
//! **Invariants**: repository, digest and tag are of the grammars of the API, so their lengths are bounded.
//! **Not here**: the reply ([`super::route`]).

use super::path::{Digest, Path, PullTarget, Reference, parse};
use crate::base::words::words;

words! {
    /// The kind of a request, by its path alone.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum SubjectKind {
        /// A manifest.
        Manifest = "manifest",
        /// A blob.
        Blob = "blob",
        /// The list of tags.
        Tags = "tags",
        /// The list of referrers.
        Referrers = "referrers",
        /// The version of the API.
        Version = "version",
        /// A health check.
        Health = "health",
        /// The project page or the policy page.
        Page = "page",
        /// Any other path outside the API.
        Path = "path",
        /// Below `/v2/`, but not a valid pull request.
        Invalid = "invalid",
    }
}

/// The subject of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestSubject<'p> {
    /// The kind.
    pub(crate) kind: SubjectKind,
    /// The repository of a pull request.
    pub(crate) repository: Option<&'p str>,
    /// The digest in the path, with its algorithm.
    pub(crate) digest: Option<&'p str>,
    /// The tag in the path.
    pub(crate) tag: Option<&'p str>,
}

/// The subject of a path in its [`super::plain`] form.
pub(crate) fn subject(path: &str) -> RequestSubject<'_> {
    let of = |kind| RequestSubject { kind, repository: None, digest: None, tag: None };
    let (target, rest) = match parse(path) {
        Path::Root | Path::Privacy => return of(SubjectKind::Page),
        Path::Health => return of(SubjectKind::Health),
        Path::Outside => return of(SubjectKind::Path),
        Path::Version => return of(SubjectKind::Version),
        Path::Wrong(_) => return of(SubjectKind::Invalid),
        Path::Pull { target, rest } => (target, rest),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    // A valid pull request ends with the endpoint and one more segment, and neither has a slash.
    let (before, last) = rest.rsplit_once('/').unwrap_or(("", rest));
    let repository = before.rsplit_once('/').map(|(repository, _)| repository);
    let (kind, digest, tag) = match target {
        PullTarget::Manifest(Reference::Digest(Digest { .. })) => (SubjectKind::Manifest, Some(last), None),
        PullTarget::Manifest(Reference::Tag(tag)) => (SubjectKind::Manifest, None, Some(tag)),
        PullTarget::Blob(_) => (SubjectKind::Blob, Some(last), None),
        PullTarget::Tags => (SubjectKind::Tags, None, None),
        PullTarget::Referrers(_) => (SubjectKind::Referrers, Some(last), None),
    };
    RequestSubject { kind, repository, digest, tag }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pull_request_has_its_repository_and_reference() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let shown = |path: &str| {
            let RequestSubject { kind, repository, digest, tag } = subject(path);
            let text = |text: Option<&str>| text.unwrap_or("-").to_string();
            format!("{} {} {} {}", kind.as_str(), text(repository), text(digest), text(tag))
        };
        assert_eq!(shown("/v2/pause/manifests/3.9"), "manifest pause - 3.9");
        assert_eq!(
            shown(&format!("/v2/a/blobs/manifests/manifests/{digest}/")),
            format!("manifest a/blobs/manifests {digest} -")
        );
        assert_eq!(shown(&format!("/v2/a/b/blobs/{digest}")), format!("blob a/b {digest} -"));
        assert_eq!(shown("/v2/pause/tags/list"), "tags pause - -");
        assert_eq!(shown(&format!("/v2/pause/referrers/{digest}")), format!("referrers pause {digest} -"));
        for (path, kind) in [
            ("/", "page"),
            ("/privacy", "page"),
            ("/healthz", "health"),
            ("/v2/", "version"),
            ("/v1/x", "path"),
            ("/v2/_catalog", "invalid"),
            ("/v2/A/manifests/1", "invalid"),
        ] {
            assert_eq!(shown(path), format!("{kind} - - -"), "{path}");
        }
    }
}
