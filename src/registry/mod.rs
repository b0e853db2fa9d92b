//! The registry listener's decisions: what a pull request gets, from the same steering as the DNS answers.
//!
//! A [`Request`] comes in with who sent it, and out goes a [`RouteReply`]: the version of the API, a redirect with an
//! absolute `Location`, or a refusal with an OCI error body; each with the [`RouteBasis`] on which it was made. For a blob it may
//! depend on whether mirrors have it: then an [`Ask`] comes out, which becomes a reply with what is known of that.
//!
//! | rule | request | reply |
//! |---|---|---|
//! | 1 | OPTIONS of what is here; neither that nor GET nor HEAD | 200 with `Allow`; 405 |
//! | 2 | `/`, `/privacy…`, `/healthz`, else outside `/v2` | 307 project page, 307 policy page, 200, 404 |
//! | 3 | `/v2`, `/v2/` | 200, never 401: clients then ask for no token |
//! | 4 | `/v2/_catalog`, uploads, what breaks a grammar | 404 or 400 |
//! | 5 | manifests, `tags/list`, `referrers` | 307 canonical |
//! | 6 | a cosign tag, or what canonical lacks by digest, if there is a place for signatures | 307 there |
//! | 7 | blobs | 307 to the steered name or the mirror; canonical for a client that is a mirror, while no mirror can serve, or if it lacks the blob |
//! | 8 | a blob for a client whose trusted proxy says nonsense | 400 |
//!
//! **Invariants**: no byte of a request can change the host of a `Location`, nor end its line; the query string and a
//! trailing slash are kept as sent; a client at the address of a mirror is never sent to a mirror; a blob goes to mirrors only when one of them is up, and, where mirrors are asked, every
//! one has it that the client may end at.
//! **Not here**: HTTP itself and asking mirrors ([`crate::http`]).
//!
//! OCI distribution specification v1.1; RFC 9110 §15.4.8 (307).

mod ask;
mod beyond;
mod error;
mod forwarded;
pub mod known;
mod path;
mod shares;

use std::net::IpAddr;
use std::sync::Arc;

pub use ask::{Ask, AskedMirror, MAX_ASKED};
pub use beyond::{CanonicalAsk, CanonicalSubject, MAX_REFERRERS_LEN, beyond, holding_of_referrers, holding_of_status};
pub use error::ErrorCode;
pub use forwarded::{MalformedForwarded, client_address};
pub use path::{Digest, Path, PullTarget, Reference, is_repository, parse, plain};
pub use shares::{Budget, Shares, network_of};

use crate::base::client::Client;
use crate::base::ids::{HorizonId, MirrorId};
use crate::base::prefix::{FAMILIES, Family, PrefixSet};
use crate::base::time::Moment;
use crate::mirror::Health;
use crate::snapshot::Snapshot;
use crate::steer::{Decision, Tier};

/// What of the configuration decides here.
#[derive(Clone, Debug)]
pub struct RegistrySettings {
    /// Where manifests, tags, referrers and blobs that no mirror can serve are.
    pub canonical: Upstream,
    /// The steered name.
    pub blobs: Upstream,
    /// The horizon of the steered name; none where that name is not steered here.
    ///
    /// By name and not by id: these settings and a snapshot may be of two configurations for the moment in which one
    /// follows the other, and an id would then mean another horizon.
    pub horizon: Option<Arc<str>>,
    /// Where cosign's signatures and attestations are; none means canonical.
    pub signatures: Option<Upstream>,
    /// The project page.
    pub info: Option<Arc<str>>,
    /// The policy page.
    pub privacy: Option<Arc<str>>,
    /// Where blobs are sent.
    pub blob_target: BlobTarget,
    /// Whether a blob is asked for at its mirror before a client is sent there.
    pub asking: Asking,
    /// Peers whose `X-Forwarded-For` is believed.
    pub trusted_proxies: PrefixSet,
}

/// Whether mirrors are asked for blobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// A client is sent only to a mirror that has the blob.
    Each,
    /// Mirrors are taken to have everything, or to fetch it.
    Never,
}

/// Where a blob request is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobTarget {
    /// To the steered name; DNS picks the mirror.
    SteeredName,
    /// To the mirror's own host name (`direct = true`).
    MirrorHost,
}

/// A registry that requests are sent on to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// All of a URL that stands before the repository name, with a slash at the end.
    base: Box<str>,
    /// The length of the path at the end of `base`, with its slash.
    path_len: usize,
}

impl Upstream {
    /// The registry at `scheme://authority` whose repositories are below `path` (no slashes at its ends; may be empty).
    pub fn new(scheme: &str, authority: &str, path: &str) -> Self {
        let slash = if path.is_empty() { "" } else { "/" };
        Upstream { base: format!("{scheme}://{authority}/v2/{path}{slash}").into(), path_len: path.len() + slash.len() }
    }

    /// The URL of `rest`, which is all of a request's path behind `/v2/`.
    ///
    /// A repository name that begins with the path has come from there: `Link` of a list of tags names the next page
    /// as the upstream calls it, and clients resolve that against the URL they asked for first.
    fn url(&self, rest: &str, query: Option<&str>) -> String {
        let (root, path) = self.base.split_at(self.base.len() - self.path_len);
        let base = if !path.is_empty() && rest.starts_with(path) { root } else { &*self.base };
        location(base, rest, query)
    }

    /// The path of all that stands before the repository name, with a slash at both ends.
    fn path(&self) -> &str {
        let behind_scheme = self.base.find("://").map_or(0, |at| at + 3);
        self.base[behind_scheme..].find('/').map_or("/", |at| &self.base[behind_scheme + at..])
    }
}

/// A request, as far as it matters.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    /// The method.
    pub method: Method,
    /// The path in its [`plain`] form.
    pub path: &'r str,
    /// The query string behind the `?`, if there is a `?`.
    pub query: Option<&'r str>,
}

/// The method of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET or HEAD, which are answered alike but for the body.
    Read,
    /// OPTIONS, by which load balancers check health too.
    Options,
    /// Any other.
    Other,
}

/// What a request gets, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteReply {
    /// What it gets.
    pub answer: Answer,
    /// Why.
    pub basis: RouteBasis,
}

/// What a request gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 200: the API is spoken here.
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

/// Why a request gets what it gets: read by `explain`, metrics and tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteBasis {
    /// What happened.
    pub outcome: RouteOutcome,
    /// What steering decided, where it had a say.
    pub steering: Option<RouteSteering>,
}

/// What happened to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouteOutcome {
    /// Neither GET, HEAD nor OPTIONS.
    Method,
    /// Told which methods are allowed.
    Options,
    /// Sent to the project page.
    Info,
    /// Sent to the policy page.
    Privacy,
    /// A health check.
    Health,
    /// Outside the API.
    Outside,
    /// The API's version.
    Version,
    /// Inside the API, but nothing that can be pulled.
    Refused,
    /// A manifest, sent to the canonical registry.
    Manifest,
    /// A list of tags, sent to the canonical registry.
    Tags,
    /// A list of referrers, sent to the canonical registry.
    Referrers,
    /// A signature or an attestation by its tag, sent to where those are.
    Signature,
    /// What canonical lacks by digest, sent to where signatures are.
    SignatureContent,
    /// A blob, sent to the steered name.
    BlobSteered,
    /// A blob, sent to a mirror by its own host name.
    BlobMirror,
    /// A blob, sent to the canonical registry because the client is a mirror.
    BlobFromMirror,
    /// A blob, sent to the canonical registry because no mirror can serve it.
    BlobCanonical,
    /// A blob, sent to the canonical registry because a mirror that the client may end at lacks it.
    BlobLacking,
    /// A blob, sent to the canonical registry because it was not known in time whether a mirror has it.
    BlobUnknown,
    /// A blob, refused because the client's address cannot be told.
    Forwarded,
}

/// A steering decision and what health made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteSteering {
    /// The horizon.
    pub horizon: HorizonId,
    /// The family of the client's address.
    pub family: Family,
    /// The decision.
    pub decision: Decision,
    /// The tier the mirror comes from.
    pub tier: Tier,
    /// The first mirror chosen; none where none serves the family.
    pub mirror: Option<MirrorId>,
}

/// What a request leads to.
#[derive(Clone, Debug)]
pub enum Route<'r> {
    /// A reply.
    Reply(RouteReply),
    /// A reply that depends on whether mirrors have a blob.
    Ask(Ask<'r>),
}

/// Decides what a request gets.
///
/// `client` is whom it is for, or that the proxy in front said nonsense; it is looked at only for blobs.
pub fn route<'r>(
    request: &Request<'r>,
    client: Result<Client, MalformedForwarded>,
    settings: &'r RegistrySettings,
    snapshot: &Snapshot,
    now: Moment,
) -> Route<'r> {
    match parse(request.path) {
        Path::Pull { target: PullTarget::Blob(digest), rest }
            if request.method == Method::Read && request.query.is_none_or(fits_location) =>
        {
            route_blob(digest, rest, request.query, client, settings, snapshot, now)
        }
        path => Route::Reply(route_other(request, path, settings)),
    }
}

/// Decides where everything but a blob is found.
fn route_other(request: &Request<'_>, path: Path<'_>, settings: &RegistrySettings) -> RouteReply {
    let is_here = !matches!(path, Path::Outside | Path::Wrong(_)) || request.path == "*";
    match request.method {
        Method::Read => {}
        Method::Options if is_here => return RouteReply::of(Answer::Methods, RouteOutcome::Options),
        Method::Options => {}
        Method::Other => {
            return RouteReply::refuse(Status::MethodNotAllowed, ErrorCode::Unsupported, RouteOutcome::Method);
        }
    }
    let page = |url: &Option<Arc<str>>, outcome| match url {
        Some(url) => RouteReply::redirect(url.to_string(), outcome),
        None => RouteReply::refuse(Status::NotFound, ErrorCode::NotFound, RouteOutcome::Outside),
    };
    match path {
        Path::Root => page(&settings.info, RouteOutcome::Info),
        Path::Privacy => page(&settings.privacy, RouteOutcome::Privacy),
        Path::Health => RouteReply::of(Answer::Healthy, RouteOutcome::Health),
        Path::Outside => RouteReply::refuse(Status::NotFound, ErrorCode::NotFound, RouteOutcome::Outside),
        Path::Version => RouteReply::of(Answer::Version, RouteOutcome::Version),
        Path::Wrong(code) => RouteReply::refuse(status_of(code), code, RouteOutcome::Refused),
        Path::Pull { .. } if !request.query.is_none_or(fits_location) => {
            RouteReply::refuse(Status::BadRequest, ErrorCode::Unsupported, RouteOutcome::Refused)
        }
        Path::Pull { target, rest } => {
            let canonical = |outcome| RouteReply::redirect(settings.canonical.url(rest, request.query), outcome);
            match (target, &settings.signatures) {
                (PullTarget::Manifest(reference), Some(signatures)) if reference.is_signature() => {
                    RouteReply::redirect(signatures.url(rest, request.query), RouteOutcome::Signature)
                }
                (PullTarget::Manifest(_), _) => canonical(RouteOutcome::Manifest),
                (PullTarget::Tags, _) => canonical(RouteOutcome::Tags),
                (PullTarget::Referrers(_), _) => canonical(RouteOutcome::Referrers),
                // What can be sent on was: this has a query that cannot be.
                (PullTarget::Blob(_), _) => {
                    RouteReply::refuse(Status::BadRequest, ErrorCode::Unsupported, RouteOutcome::Refused)
                }
            }
        }
    }
}

/// Decides where a blob is fetched.
fn route_blob<'r>(
    digest: Digest<'r>,
    rest: &'r str,
    query: Option<&'r str>,
    client: Result<Client, MalformedForwarded>,
    settings: &'r RegistrySettings,
    snapshot: &Snapshot,
    _now: Moment,
) -> Route<'r> {
    // A mirror that pulls through this listener would be sent to itself, again and again.
    if client.is_ok_and(|client| is_mirror(&client, snapshot)) {
        return Route::Reply(RouteReply::redirect(settings.canonical.url(rest, query), RouteOutcome::BlobFromMirror));
    }
    let Some(name) = &settings.horizon else {
        let url = settings.blobs.url(rest, query);
        return Route::Reply(RouteReply::redirect(url, RouteOutcome::BlobSteered));
    };
    let Ok(client) = client else {
        return Route::Reply(RouteReply::refuse(Status::BadRequest, ErrorCode::Unsupported, RouteOutcome::Forwarded));
    };
    let found = snapshot.horizons().iter().position(|horizon| horizon.name == *name).map(HorizonId::from_index);
    let steering = found.map(|horizon| steer(horizon, &client, snapshot));
    let canonical = || settings.canonical.url(rest, query);
    let reply = |url, outcome| {
        Route::Reply(RouteReply { answer: Answer::Redirect(url), basis: RouteBasis { outcome, steering } })
    };
    let Some(steering) = steering.filter(|steering| can_serve(steering, settings.blob_target, snapshot)) else {
        return reply(canonical(), RouteOutcome::BlobCanonical);
    };
    let host = match settings.blob_target {
        BlobTarget::SteeredName => None,
        BlobTarget::MirrorHost => match steering.mirror.and_then(|id| snapshot.mirrors()[id.index()].host.clone()) {
            Some(host) => Some(host),
            None => return reply(canonical(), RouteOutcome::BlobCanonical),
        },
    };
    let ask = Ask { digest, rest, query, steering, host, settings };
    match settings.asking {
        Asking::Each => Route::Ask(ask),
        Asking::Never => Route::Reply(ask.to_mirror()),
    }
}

fn steer(horizon: HorizonId, client: &Client, snapshot: &Snapshot) -> RouteSteering {
    let decision = snapshot.decide(horizon, client);
    // Not the family of the decision's location: that of a 6to4 client is IPv4, but it connects over IPv6.
    let family = Family::of(client.subnet.map_or(client.resolver, |subnet| subnet.address).to_canonical());
    let choice = &snapshot.addresses(horizon, decision.plan, family).choice;
    RouteSteering { horizon, family, decision, tier: choice.tier, mirror: choice.mirrors.first().copied() }
}

/// Whether a client has the address of a mirror. All mirrors are looked at, a few addresses each: that costs a fraction
/// of what the rest of an HTTP request does.
fn is_mirror(client: &Client, snapshot: &Snapshot) -> bool {
    match client.subnet.map_or(client.resolver, |subnet| subnet.address).to_canonical() {
        IpAddr::V4(v4) => snapshot.mirrors().iter().any(|mirror| mirror.v4.contains(&v4)),
        IpAddr::V6(v6) => snapshot.mirrors().iter().any(|mirror| mirror.v6.contains(&v6)),
    }
}

/// Whether the client's mirror is up, and the client cannot end at one that serves something wrong, or may.
///
/// A client with both families may use the other one for the steered name. A dead address there only costs it
/// seconds, but a wrong certificate or wrong content fails the pull on every retry.
fn can_serve(steering: &RouteSteering, target: BlobTarget, snapshot: &Snapshot) -> bool {
    // All mirrors of a choice stand alike, and so do those of a plan's other shares.
    let health = |family| {
        let choice = &snapshot.addresses(steering.horizon, steering.decision.plan, family).choice;
        choice.mirrors.first().and_then(|id| snapshot.standing(*id).health(family))
    };
    let fails = |family| matches!(health(family), Some(Health::Untried | Health::Missing | Health::Bad));
    health(steering.family) == Some(Health::Up)
        && (target == BlobTarget::MirrorHost || !FAMILIES.into_iter().any(fails))
}

fn location(base: &str, rest: &str, query: Option<&str>) -> String {
    match query {
        Some(query) => format!("{base}{rest}?{query}"),
        None => format!("{base}{rest}"),
    }
}

/// Whether a query string can stand in a header and in a URL as it is (RFC 3986 §3.4, somewhat wider).
fn fits_location(query: &str) -> bool {
    query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
}

fn status_of(code: ErrorCode) -> Status {
    match code {
        ErrorCode::DigestInvalid | ErrorCode::NameInvalid => Status::BadRequest,
        ErrorCode::ManifestUnknown | ErrorCode::NotFound | ErrorCode::Unsupported => Status::NotFound,
    }
}

impl RouteReply {
    fn of(answer: Answer, outcome: RouteOutcome) -> Self {
        RouteReply { answer, basis: RouteBasis { outcome, steering: None } }
    }

    fn redirect(url: String, outcome: RouteOutcome) -> Self {
        RouteReply::of(Answer::Redirect(url), outcome)
    }

    fn refuse(status: Status, code: ErrorCode, outcome: RouteOutcome) -> Self {
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
    /// Every outcome, in the order of the rules; [`RouteOutcome::index`] is the place in it.
    pub const ALL: [RouteOutcome; 20] = [
        RouteOutcome::Method,
        RouteOutcome::Options,
        RouteOutcome::Info,
        RouteOutcome::Privacy,
        RouteOutcome::Health,
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
        RouteOutcome::BlobFromMirror,
        RouteOutcome::BlobCanonical,
        RouteOutcome::BlobLacking,
        RouteOutcome::BlobUnknown,
        RouteOutcome::Forwarded,
    ];

    /// The place in [`RouteOutcome::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The rule of this module's table that was followed.
    pub const fn rule(self) -> u8 {
        match self {
            RouteOutcome::Method | RouteOutcome::Options => 1,
            RouteOutcome::Info | RouteOutcome::Privacy | RouteOutcome::Health | RouteOutcome::Outside => 2,
            RouteOutcome::Version => 3,
            RouteOutcome::Refused => 4,
            RouteOutcome::Manifest | RouteOutcome::Tags | RouteOutcome::Referrers => 5,
            RouteOutcome::Signature | RouteOutcome::SignatureContent => 6,
            RouteOutcome::BlobSteered | RouteOutcome::BlobMirror | RouteOutcome::BlobFromMirror => 7,
            RouteOutcome::BlobCanonical | RouteOutcome::BlobLacking | RouteOutcome::BlobUnknown => 7,
            RouteOutcome::Forwarded => 8,
        }
    }

    /// Whether it is about where a blob is fetched.
    pub const fn is_of_blob(self) -> bool {
        self.rule() == 7
    }

    /// A stable word for metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            RouteOutcome::Method => "method-not-allowed",
            RouteOutcome::Options => "options",
            RouteOutcome::Info => "info",
            RouteOutcome::Privacy => "privacy",
            RouteOutcome::Health => "health",
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
            RouteOutcome::BlobFromMirror => "blob-from-mirror",
            RouteOutcome::BlobCanonical => "blob-canonical",
            RouteOutcome::BlobLacking => "blob-lacking",
            RouteOutcome::BlobUnknown => "blob-unknown",
            RouteOutcome::Forwarded => "bad-forwarded",
        }
    }
}
