//! The reply to a request of the registry listener: its response before HTTP, and its basis for metrics and tests.
//!
//! **Invariants**: each outcome has one rule of the table in [`super`], and one stable word.
//! **Not here**: the decision ([`super::route`]), HTTP itself ([`crate::http`]).

use super::error::ErrorCode;
use crate::base::ids::{HorizonId, MirrorId};
use crate::base::prefix::Family;
use crate::base::words::words;
use crate::steer::{Decision, Tier};

/// The reply to a request, and the reason for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteReply {
    /// The HTTP response, before it is rendered.
    pub answer: Answer,
    /// The reason for it.
    pub basis: RouteBasis,
}

/// A response, before it is rendered to HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 200: this server implements the API.
    Version,
    /// 200: the listener answers.
    Healthy,
    /// 200 with `Allow` and no body.
    Methods,
    /// 307 to this absolute URL.
    Redirect(String),
    /// An error status with an OCI body.
    Refuse(Status, ErrorCode),
}

/// The status of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// 400
    BadRequest = 400,
    /// 404
    NotFound = 404,
    /// 405; the reply names GET and HEAD in `Allow`.
    MethodNotAllowed = 405,
}

/// The reason for a reply, for metrics and tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteBasis {
    /// The outcome.
    pub outcome: RouteOutcome,
    /// The steering decision; `None` if no steering took place.
    pub steering: Option<RouteSteering>,
}

words! {
    /// The outcome of a request.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum RouteOutcome {
        /// The method is not GET, HEAD or OPTIONS.
        Method = "method-not-allowed",
        /// A reply to OPTIONS with the allowed methods.
        Options = "options",
        /// Sent to the project page.
        Info = "info",
        /// Sent to the policy page.
        Privacy = "privacy",
        /// A health check.
        Health = "health",
        /// Outside the API, sent to the target of a rule.
        File = "file",
        /// Outside the API, sent to a mirror that has the file.
        FileMirror = "file-mirror",
        /// Outside the API.
        Outside = "outside-api",
        /// The API's version.
        Version = "version",
        /// Inside the API, but not a pull request.
        Refused = "refused",
        /// A manifest, sent to the canonical registry.
        Manifest = "manifest",
        /// A list of tags, sent to the canonical registry.
        Tags = "tags",
        /// A list of referrers, sent to the canonical registry.
        Referrers = "referrers",
        /// A signature or an attestation by its tag, sent to the registry of signatures.
        Signature = "signature",
        /// Content that canonical lacks by digest, sent to the registry of signatures.
        SignatureContent = "signature-content",
        /// A blob, sent to the steered name.
        BlobSteered = "blob-steered",
        /// A blob, sent to a mirror by its own host name or URL.
        BlobMirror = "blob-mirror",
        /// A blob, sent to the canonical registry because the client's rule says so.
        BlobByRule = "blob-by-rule",
        /// A blob, sent to the canonical registry because the client is a mirror.
        BlobFromMirror = "blob-from-mirror",
        /// A blob, sent to the canonical registry because no mirror can serve it.
        BlobCanonical = "blob-canonical",
        /// A blob, sent to the canonical registry because a mirror to which the client may be led lacks it.
        BlobLacking = "blob-lacking",
        /// A blob, sent to the canonical registry because mirrors did not answer in time whether each has it.
        BlobUnknown = "blob-unknown",
        /// A blob, refused because a trusted proxy sent a malformed client address.
        Forwarded = "bad-forwarded",
    }
}

words! {
    /// The target of a redirect.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum RouteTarget {
        /// The steered name, at which DNS selects the mirror.
        SteeredName = "steered-name",
        /// A mirror by its own host name or URL.
        Mirror = "mirror",
        /// The canonical registry.
        Canonical = "canonical",
        /// The registry of signatures.
        Signatures = "signatures",
        /// The project page, the policy page, or the target of a further path.
        Other = "other",
        /// No redirect.
        None = "none",
    }
}

/// A steering decision, and the choice that health made from its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteSteering {
    /// The horizon.
    pub(crate) horizon: HorizonId,
    /// The family of the client's address.
    pub(crate) family: Family,
    /// The decision.
    pub(crate) decision: Decision,
    /// The tier the mirror comes from.
    pub(crate) tier: Tier,
    /// The first mirror chosen; `None` if none serves the family.
    pub(crate) mirror: Option<MirrorId>,
}

impl RouteReply {
    pub(super) fn of(answer: Answer, outcome: RouteOutcome) -> Self {
        RouteReply { answer, basis: RouteBasis { outcome, steering: None } }
    }

    pub(super) fn redirect(url: String, outcome: RouteOutcome) -> Self {
        RouteReply::of(Answer::Redirect(url), outcome)
    }

    pub(super) fn refuse(status: Status, code: ErrorCode, outcome: RouteOutcome) -> Self {
        RouteReply::of(Answer::Refuse(status, code), outcome)
    }
}

impl Answer {
    /// The HTTP status code.
    pub fn status(&self) -> u16 {
        match self {
            Answer::Version | Answer::Healthy | Answer::Methods => 200,
            Answer::Redirect(_) => 307,
            Answer::Refuse(status, _) => *status as u16,
        }
    }
}

impl RouteOutcome {
    /// The number of the rule in the table of [`super`].
    pub(crate) const fn rule(self) -> u8 {
        match self {
            RouteOutcome::Method | RouteOutcome::Options => 1,
            RouteOutcome::FileMirror => 2,
            RouteOutcome::Info
            | RouteOutcome::Privacy
            | RouteOutcome::Health
            | RouteOutcome::File
            | RouteOutcome::Outside => 2,
            RouteOutcome::Version => 3,
            RouteOutcome::Refused => 4,
            RouteOutcome::Manifest | RouteOutcome::Tags | RouteOutcome::Referrers => 5,
            RouteOutcome::Signature | RouteOutcome::SignatureContent => 6,
            RouteOutcome::BlobSteered | RouteOutcome::BlobMirror => 7,
            RouteOutcome::BlobByRule | RouteOutcome::BlobFromMirror => 7,
            RouteOutcome::BlobCanonical | RouteOutcome::BlobLacking | RouteOutcome::BlobUnknown => 7,
            RouteOutcome::Forwarded => 8,
        }
    }

    /// The target of the redirect.
    pub(crate) const fn target(self) -> RouteTarget {
        match self {
            RouteOutcome::BlobSteered => RouteTarget::SteeredName,
            RouteOutcome::BlobMirror | RouteOutcome::FileMirror => RouteTarget::Mirror,
            RouteOutcome::Manifest
            | RouteOutcome::Tags
            | RouteOutcome::Referrers
            | RouteOutcome::BlobByRule
            | RouteOutcome::BlobFromMirror
            | RouteOutcome::BlobCanonical
            | RouteOutcome::BlobLacking
            | RouteOutcome::BlobUnknown => RouteTarget::Canonical,
            RouteOutcome::Signature | RouteOutcome::SignatureContent => RouteTarget::Signatures,
            RouteOutcome::Info | RouteOutcome::Privacy | RouteOutcome::File => RouteTarget::Other,
            RouteOutcome::Method
            | RouteOutcome::Options
            | RouteOutcome::Health
            | RouteOutcome::Outside
            | RouteOutcome::Version
            | RouteOutcome::Refused
            | RouteOutcome::Forwarded => RouteTarget::None,
        }
    }

    /// Returns whether it is a redirect for a blob.
    pub(crate) const fn is_of_blob(self) -> bool {
        self.rule() == 7
    }
}
