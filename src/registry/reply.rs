//! The reply to a request of the registry listener: its response before HTTP, and its basis for metrics and tests.
//!
//! **Invariants**: each outcome has one rule of the table in [`super`], and one stable word.
//! **Not here**: the decision ([`super::route`]), HTTP itself ([`crate::http`]).

use super::error::ErrorCode;
use crate::base::ids::{HorizonId, MirrorId};
use crate::base::prefix::Family;
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
    BadRequest,
    /// 404
    NotFound,
    /// 405; the reply names GET and HEAD in `Allow`.
    MethodNotAllowed,
}

/// The reason for a reply, for metrics and tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteBasis {
    /// The outcome.
    pub outcome: RouteOutcome,
    /// The steering decision; `None` if no steering took place.
    pub steering: Option<RouteSteering>,
}

/// The outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouteOutcome {
    /// The method is not GET, HEAD or OPTIONS.
    Method,
    /// A reply to OPTIONS with the allowed methods.
    Options,
    /// Sent to the project page.
    Info,
    /// Sent to the policy page.
    Privacy,
    /// A health check.
    Health,
    /// Outside the API, sent to the target of a rule.
    File,
    /// Outside the API, sent to a mirror that has the file.
    FileMirror,
    /// Outside the API.
    Outside,
    /// The API's version.
    Version,
    /// Inside the API, but not a pull request.
    Refused,
    /// A manifest, sent to the canonical registry.
    Manifest,
    /// A list of tags, sent to the canonical registry.
    Tags,
    /// A list of referrers, sent to the canonical registry.
    Referrers,
    /// A signature or an attestation by its tag, sent to the registry of signatures.
    Signature,
    /// Content that canonical lacks by digest, sent to the registry of signatures.
    SignatureContent,
    /// A blob, sent to the steered name.
    BlobSteered,
    /// A blob, sent to a mirror by its own host name or URL.
    BlobMirror,
    /// A blob, sent to the canonical registry because the client's rule says so.
    BlobByRule,
    /// A blob, sent to the canonical registry because the client is a mirror.
    BlobFromMirror,
    /// A blob, sent to the canonical registry because no mirror can serve it.
    BlobCanonical,
    /// A blob, sent to the canonical registry because a mirror to which the client may be led lacks it.
    BlobLacking,
    /// A blob, sent to the canonical registry because mirrors did not answer in time whether each has it.
    BlobUnknown,
    /// A blob, refused because a trusted proxy sent a malformed client address.
    Forwarded,
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
            Answer::Refuse(Status::BadRequest, _) => 400,
            Answer::Refuse(Status::NotFound, _) => 404,
            Answer::Refuse(Status::MethodNotAllowed, _) => 405,
        }
    }
}

impl RouteOutcome {
    /// Every outcome, in the order of the rules; [`RouteOutcome::index`] is the position in it.
    pub const ALL: [RouteOutcome; 23] = [
        RouteOutcome::Method,
        RouteOutcome::Options,
        RouteOutcome::Info,
        RouteOutcome::Privacy,
        RouteOutcome::Health,
        RouteOutcome::File,
        RouteOutcome::FileMirror,
        RouteOutcome::Outside,
        RouteOutcome::Version,
        RouteOutcome::Refused,
        RouteOutcome::Manifest,
        RouteOutcome::Tags,
        RouteOutcome::Referrers,
        RouteOutcome::Signature,
        RouteOutcome::SignatureContent,
        RouteOutcome::BlobSteered,
        RouteOutcome::BlobMirror,
        RouteOutcome::BlobByRule,
        RouteOutcome::BlobFromMirror,
        RouteOutcome::BlobCanonical,
        RouteOutcome::BlobLacking,
        RouteOutcome::BlobUnknown,
        RouteOutcome::Forwarded,
    ];

    /// The position in [`RouteOutcome::ALL`].
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

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

    /// Whether it is a redirect for a blob.
    pub(crate) const fn is_of_blob(self) -> bool {
        self.rule() == 7
    }

    /// A stable word for metrics and logs.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            RouteOutcome::Method => "method-not-allowed",
            RouteOutcome::Options => "options",
            RouteOutcome::Info => "info",
            RouteOutcome::Privacy => "privacy",
            RouteOutcome::Health => "health",
            RouteOutcome::File => "file",
            RouteOutcome::FileMirror => "file-mirror",
            RouteOutcome::Outside => "outside-api",
            RouteOutcome::Version => "version",
            RouteOutcome::Refused => "refused",
            RouteOutcome::Manifest => "manifest",
            RouteOutcome::Tags => "tags",
            RouteOutcome::Referrers => "referrers",
            RouteOutcome::Signature => "signature",
            RouteOutcome::SignatureContent => "signature-content",
            RouteOutcome::BlobSteered => "blob-steered",
            RouteOutcome::BlobMirror => "blob-mirror",
            RouteOutcome::BlobByRule => "blob-by-rule",
            RouteOutcome::BlobFromMirror => "blob-from-mirror",
            RouteOutcome::BlobCanonical => "blob-canonical",
            RouteOutcome::BlobLacking => "blob-lacking",
            RouteOutcome::BlobUnknown => "blob-unknown",
            RouteOutcome::Forwarded => "bad-forwarded",
        }
    }
}
