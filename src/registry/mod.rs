//! The registry listener's decisions: the reply to a pull request, from the same steering as the DNS answers.
//!
//! [`route`] maps a [`Request`] and its client to a [`RouteReply`]: the API version, a redirect with an absolute
//! `Location`, or a refusal with an OCI error body. Each reply has its [`RouteBasis`]. If the reply to a blob request
//! depends on whether mirrors have the blob, [`route`] returns an [`Ask`], which becomes a reply with the result.
//!
//! | rule | request | reply |
//! |---|---|---|
//! | 1 | OPTIONS of an existing path; any other method but GET and HEAD | 200 with `Allow`; 405 |
//! | 2 | `/`, `/privacy…`, `/healthz`, a path of a rule, else outside `/v2` | 307 project page, 307 policy page, 200, 307 target or mirror, 404 |
//! | 3 | `/v2`, `/v2/` | 200, never 401: clients then ask for no token |
//! | 4 | `/v2/_catalog`, uploads, a path that breaks a grammar | 404 or 400 |
//! | 5 | manifests, `tags/list`, `referrers` | 307 canonical |
//! | 6 | a cosign tag, or content that canonical lacks by digest | 307 registry of signatures, if there is one |
//! | 7 | blobs | 307 steered name or mirror; 307 canonical if the client is a mirror, its rule says so, or no mirror serves it |
//! | 8 | a blob, if a trusted proxy sends a malformed client address | 400 |
//!
//! **Invariants**: no byte of a request can change the host of a `Location`, nor end its line; the query string and a
//! trailing slash are kept as sent; a client at the address of a mirror is never sent to a mirror. If the steered name is
//! served here, a client is sent to mirrors for a blob only if its mirror is up. If mirrors are asked as well, every
//! mirror that DNS may give the client must have the blob.
//! **Not here**: HTTP itself, and the requests to mirrors ([`crate::http`]).
//!
//! OCI distribution specification v1.1; RFC 9110 §15.4.8 (307).

mod ask;
mod beyond;
mod error;
mod forwarded;
pub mod known;
mod path;
mod paths;
mod reply;
mod shares;
mod subject;

use std::net::IpAddr;
use std::sync::Arc;

pub(crate) use ask::Ask;
use ask::{AskContent, AskTarget};
pub(crate) use beyond::{CanonicalAsk, CanonicalSubject, holding_of_referrers, holding_of_status};
pub use beyond::{MAX_REFERRERS_LEN, beyond};
pub(crate) use error::ErrorCode;
pub use forwarded::{MalformedForwarded, client_address};
pub use path::plain;
pub(crate) use path::{Digest, Path, PullTarget, is_repository, parse};
pub use paths::PathRules;
pub(crate) use paths::{PathRule, is_prefix, is_reserved};
pub use reply::{Answer, RouteOutcome, RouteReply, RouteTarget, Status};
pub(crate) use reply::{RouteBasis, RouteSteering};
pub(crate) use shares::{Budget, Shares, network_of};
pub(crate) use subject::subject;

use crate::base::client::Client;
use crate::base::ids::HorizonId;
use crate::base::prefix::{Family, PrefixSet};
use crate::mirror::Health;
use crate::snapshot::Snapshot;

/// The part of the configuration that decides replies.
#[derive(Clone, Debug)]
pub struct RegistrySettings {
    /// The canonical registry: it serves manifests, tags, referrers, and blobs that no mirror can serve.
    pub canonical: Upstream,
    /// The steered name; `None` if each mirror has a URL of its own.
    pub blobs: Option<Upstream>,
    /// The horizon that decides for blobs; `None` if the steered name is not steered here.
    ///
    /// A name and not an id: during a reload, these settings and the snapshot may come from different configurations, so
    /// that an id could mean another horizon.
    pub horizon: Option<Arc<str>>,
    /// The registry of cosign's signatures and attestations; `None` means canonical.
    pub signatures: Option<Upstream>,
    /// The project page.
    pub info: Option<Arc<str>>,
    /// The policy page.
    pub privacy: Option<Arc<str>>,
    /// The rules of paths outside the API.
    pub paths: PathRules,
    /// The target of redirects for blobs.
    pub blob_target: BlobTarget,
    /// True if mirrors are asked for a blob before a client is sent to one. If not, mirrors are assumed to have every blob, or to fetch
    /// it.
    pub asks_mirrors: bool,
    /// The peers whose `X-Forwarded-For` is trusted.
    pub trusted_proxies: PrefixSet,
}

/// The target of a redirect for a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobTarget {
    /// The steered name; DNS selects the mirror.
    SteeredName,
    /// The mirror's own host name (`direct = true`).
    MirrorHost,
}

/// A registry that requests are redirected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// The part of a URL before the repository name, with a slash at the end.
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

    /// The URL of `rest`, which is a request's path after `/v2/`.
    ///
    /// If the repository name begins with the path already, the path is not added again. Such a name comes from the
    /// upstream: the `Link` of a list of tags has the upstream's path of the next page, and clients resolve it against
    /// the URL of their first request.
    fn url(&self, rest: &str, query: Option<&str>) -> String {
        let (root, path) = self.base.split_at(self.base.len() - self.path_len);
        let base = if !path.is_empty() && rest.starts_with(path) { root } else { &*self.base };
        location(base, rest, query)
    }

    /// The URL of a path, which begins with a slash, at the same authority.
    fn url_of_path(&self, path: &str) -> String {
        format!("{}{path}", &self.base[..self.authority_end()])
    }

    /// The path before the repository name, with a slash at both ends.
    fn path(&self) -> &str {
        match &self.base[self.authority_end()..] {
            "" => "/",
            path => path,
        }
    }

    /// The place in the base where the authority ends and the path begins.
    fn authority_end(&self) -> usize {
        let behind_scheme = self.base.find("://").map_or(0, |at| at + 3);
        self.base[behind_scheme..].find('/').map_or(self.base.len(), |at| behind_scheme + at)
    }
}

/// The parts of a request that decide the reply.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    /// The method.
    pub method: Method,
    /// The path in its [`plain`] form.
    pub path: &'r str,
    /// The query string after the `?`; `None` if there is no `?`.
    pub query: Option<&'r str>,
}

/// The method of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET or HEAD. Only the body of the reply differs.
    Read,
    /// OPTIONS. Some load balancers check health with it.
    Options,
    /// Any other.
    Other,
}

/// The result of [`route`].
#[derive(Clone, Debug)]
pub enum Route<'r> {
    /// A reply.
    Reply(RouteReply),
    /// A reply that depends on whether mirrors have a blob or a file.
    Ask(Ask<'r>),
}

/// Decides the reply to a request.
///
/// `client` is the client, or an error if a trusted proxy sent a malformed address. Requests for blobs and files use it.
pub fn route<'r>(
    request: &Request<'r>,
    client: Result<Client, MalformedForwarded>,
    settings: &'r RegistrySettings,
    snapshot: &Snapshot,
) -> Route<'r> {
    let path = parse(request.path);
    // Pages and the API come first, so a rule cannot shadow them.
    let rule = if path == Path::Outside { settings.paths.find(request.path) } else { None };
    let page = |url: &Option<Arc<str>>, outcome| match url {
        Some(url) => RouteReply::redirect(url.to_string(), outcome),
        None => outside(),
    };
    Route::Reply(match (request.method, path) {
        (Method::Other, _) => {
            RouteReply::refuse(Status::MethodNotAllowed, ErrorCode::Unsupported, RouteOutcome::Method)
        }
        (_, Path::Wrong(code)) => RouteReply::refuse(status_of(code), code, RouteOutcome::Refused),
        (Method::Options, Path::Outside) if rule.is_none() && request.path != "*" => outside(),
        (Method::Options, _) => RouteReply::of(Answer::Methods, RouteOutcome::Options),
        (Method::Read, Path::Root) => page(&settings.info, RouteOutcome::Info),
        (Method::Read, Path::Privacy) => page(&settings.privacy, RouteOutcome::Privacy),
        (Method::Read, Path::Health) => RouteReply::of(Answer::Healthy, RouteOutcome::Health),
        (Method::Read, Path::Version) => RouteReply::of(Answer::Version, RouteOutcome::Version),
        (Method::Read, Path::Outside) if rule.is_none() => outside(),
        (Method::Read, _) if !request.query.is_none_or(fits_location) => {
            RouteReply::refuse(Status::BadRequest, ErrorCode::Unsupported, RouteOutcome::Refused)
        }
        (Method::Read, Path::Outside) => match rule {
            Some(rule) => return route_file(rule, request, client, settings, snapshot),
            None => outside(),
        },
        (Method::Read, Path::Pull { target, rest }) => {
            let canonical = |outcome| RouteReply::redirect(settings.canonical.url(rest, request.query), outcome);
            match (target, &settings.signatures) {
                (PullTarget::Blob(digest), _) => {
                    return route_blob(digest, rest, request.query, client, settings, snapshot);
                }
                (PullTarget::Manifest(reference), Some(signatures)) if reference.is_signature() => {
                    RouteReply::redirect(signatures.url(rest, request.query), RouteOutcome::Signature)
                }
                (PullTarget::Manifest(_), _) => canonical(RouteOutcome::Manifest),
                (PullTarget::Tags, _) => canonical(RouteOutcome::Tags),
                (PullTarget::Referrers(_), _) => canonical(RouteOutcome::Referrers),
            }
        }
    })
}

/// The reply to a path outside the API that is no page and has no rule.
fn outside() -> RouteReply {
    RouteReply::refuse(Status::NotFound, ErrorCode::NotFound, RouteOutcome::Outside)
}

/// Decides the redirect for a further path.
///
/// If the client's mirror cannot be told, the client gets the target of the rule, where every file is.
fn route_file<'r>(
    rule: &'r PathRule,
    request: &Request<'r>,
    client: Result<Client, MalformedForwarded>,
    settings: &'r RegistrySettings,
    snapshot: &Snapshot,
) -> Route<'r> {
    let client = client.ok().filter(|client| settings.asks_mirrors && !is_mirror(client, snapshot));
    let ask = client.zip(rule.horizon.as_deref()).and_then(|(client, name)| {
        let steering = steer(horizon(name, snapshot)?, &client, snapshot);
        let is_canonical = snapshot.horizons()[steering.horizon.index()].plan(steering.decision.plan).is_canonical;
        let mirror = steering.mirror.filter(|id| !is_canonical && snapshot.redirect_health(*id) == Some(Health::Up))?;
        let target = AskTarget::of_file(&snapshot.mirrors()[mirror.index()], &rule.values(request.path))?;
        let (rest, query, content) = (request.path, request.query, AskContent::File(rule));
        let mirrors = target.mirrors(&steering, settings, snapshot);
        Some(Ask { content, rest, query, steering, target, mirrors, settings })
    });
    match ask {
        Some(ask) => ask.route(),
        None => Route::Reply(RouteReply::redirect(rule.url(request.path, request.query), RouteOutcome::File)),
    }
}

/// The horizon of a name.
fn horizon(name: &str, snapshot: &Snapshot) -> Option<HorizonId> {
    snapshot.horizons().iter().position(|horizon| *horizon.name == *name).map(HorizonId::from_index)
}

/// Decides the redirect for a blob.
fn route_blob<'r>(
    digest: Digest<'r>,
    rest: &'r str,
    query: Option<&'r str>,
    client: Result<Client, MalformedForwarded>,
    settings: &'r RegistrySettings,
    snapshot: &Snapshot,
) -> Route<'r> {
    // A mirror that pulls through this listener would be redirected to itself in a loop.
    if client.is_ok_and(|client| is_mirror(&client, snapshot)) {
        return Route::Reply(RouteReply::redirect(settings.canonical.url(rest, query), RouteOutcome::BlobFromMirror));
    }
    let Some(name) = &settings.horizon else {
        let (upstream, outcome) = match &settings.blobs {
            Some(blobs) => (blobs, RouteOutcome::BlobSteered),
            None => (&settings.canonical, RouteOutcome::BlobCanonical),
        };
        return Route::Reply(RouteReply::redirect(upstream.url(rest, query), outcome));
    };
    let Ok(client) = client else {
        return Route::Reply(RouteReply::refuse(Status::BadRequest, ErrorCode::Unsupported, RouteOutcome::Forwarded));
    };
    let steering = horizon(name, snapshot).map(|horizon| steer(horizon, &client, snapshot));
    let canonical = || settings.canonical.url(rest, query);
    let reply = |url, outcome| {
        Route::Reply(RouteReply { answer: Answer::Redirect(url), basis: RouteBasis { outcome, steering } })
    };
    let Some(steering) = steering else { return reply(canonical(), RouteOutcome::BlobCanonical) };
    if snapshot.horizons()[steering.horizon.index()].plan(steering.decision.plan).is_canonical {
        return reply(canonical(), RouteOutcome::BlobByRule);
    }
    let target = AskTarget::of(&steering, digest, (rest, query), settings, snapshot);
    let Some(target) = target.filter(|_| can_serve(&steering, settings.blob_target, snapshot)) else {
        return reply(canonical(), RouteOutcome::BlobCanonical);
    };
    let mirrors = target.mirrors(&steering, settings, snapshot);
    Ask { content: AskContent::Blob(digest), rest, query, steering, target, mirrors, settings }.route()
}

fn steer(horizon: HorizonId, client: &Client, snapshot: &Snapshot) -> RouteSteering {
    let decision = snapshot.decide(horizon, client);
    // Not the family of the decision's location: that of a 6to4 client is IPv4, but it connects over IPv6.
    let family = Family::of(client.subnet.map_or(client.resolver, |subnet| subnet.address).to_canonical());
    let choice = snapshot.redirects(horizon, decision.plan, family);
    RouteSteering { horizon, family, decision, tier: choice.tier, mirror: choice.mirrors.first().copied() }
}

/// Returns whether a client has the address of a mirror. The search is linear over a few addresses of each mirror, which costs a
/// fraction of an HTTP request.
fn is_mirror(client: &Client, snapshot: &Snapshot) -> bool {
    match client.subnet.map_or(client.resolver, |subnet| subnet.address).to_canonical() {
        IpAddr::V4(v4) => snapshot.mirrors().iter().any(|mirror| mirror.v4.contains(&v4)),
        IpAddr::V6(v6) => snapshot.mirrors().iter().any(|mirror| mirror.v6.contains(&v6)),
    }
}

/// Returns whether the client's mirror is up, and no mirror that DNS may give the client is bad, lacks content or is untried.
///
/// A client with both families may use the other one for the steered name. A dead address of that family costs the client
/// only seconds, but a wrong certificate or wrong content fails the pull on every retry.
fn can_serve(steering: &RouteSteering, target: BlobTarget, snapshot: &Snapshot) -> bool {
    if let Some(id) = steering.mirror.filter(|id| snapshot.mirrors()[id.index()].is_redirect_only()) {
        return snapshot.redirect_health(id) == Some(Health::Up);
    }
    // All mirrors of a choice have the same health, and so do those of the plan's other slots.
    let health = |family| {
        let choice = &snapshot.addresses(steering.horizon, steering.decision.plan, family).choice;
        choice.mirrors.first().and_then(|id| snapshot.standing(*id).health(family))
    };
    let fails = |family| matches!(health(family), Some(Health::Untried | Health::Missing | Health::Bad));
    health(steering.family) == Some(Health::Up)
        && (target == BlobTarget::MirrorHost || !Family::ALL.into_iter().any(fails))
}

fn location(base: &str, rest: &str, query: Option<&str>) -> String {
    match query {
        Some(query) => format!("{base}{rest}?{query}"),
        None => format!("{base}{rest}"),
    }
}

/// Returns whether a query string is valid in a header and in a URL without escapes (RFC 3986 §3.4, somewhat wider).
fn fits_location(query: &str) -> bool {
    query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
}

fn status_of(code: ErrorCode) -> Status {
    match code {
        ErrorCode::DigestInvalid | ErrorCode::NameInvalid => Status::BadRequest,
        ErrorCode::ManifestUnknown | ErrorCode::NotFound | ErrorCode::Unsupported => Status::NotFound,
    }
}
