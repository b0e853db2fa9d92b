//! The admin listener's handler: `/healthz`, `/ready`, `/metrics` and the status page for every client, and control requests for
//! clients with the token. Without a configured token, clients at loopback addresses may make those that only read.
//!
//! **Invariants**: without the right token, no request body is read and nothing is changed. A request for a host that is not
//! this listener's is refused on every path, because a foreign domain name may have led a browser here (DNS rebinding). No
//! response allows the pages of other origins to read it.
//! **Not here**: the control requests (`control`), the page ([`super::page`]).

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, ArcSwapOption};
use hyper::body::Bytes;
use hyper::header::{ALLOW, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use super::guesses::Guesses;
use super::host;
use super::page::{StatusDocument, for_own_pages};
use super::token::{Presented, Token};
use super::{Body, Handler, HttpAnswer, HttpResponse, Later, plain_text, with};
use crate::base::ends::SocketEnds;
use crate::listen::http_response;
use crate::live::Readiness;
use crate::telemetry::admin::{AdminCounters, TokenOutcome};
use crate::telemetry::{self, Collect};

/// The handler of control requests, which `serve` provides.
///
/// Its arguments are the client's address, the head of the request, and the request's body.
pub type DeskHandler = Arc<dyn Fn(IpAddr, Parts, Bytes) -> Later + Send + Sync>;

/// The paths of control requests. The paths below each of them are included. `/rulings` is not among them, because whole databases
/// of addresses are not for the network.
const DESK_PATHS: [&str; 12] = [
    "/mirrors", "/server", "/fleet", "/zones", "/reload", "/refresh", "/status", "/top", "/explain", "/space",
    "/history", "/sources",
];

/// Those of them that may be read without a token, unless one is configured, by clients at loopback addresses. The paths below each of
/// them are included.
const READ_PATHS: [&str; 6] = ["/mirrors", "/status", "/explain", "/space", "/history", "/sources"];

/// The challenge at which a browser asks for a password.
const PASSWORD_CHALLENGE: &str = "Basic realm=\"pharos: any name, and the admin token as password\", charset=\"UTF-8\"";

/// Answers health checks and metrics, and passes control requests on. Clones share their state.
#[derive(Clone)]
pub struct Admin(Arc<Inner>);

struct Inner {
    readiness: Arc<Readiness>,
    /// The collectors for `/metrics`; unset until all services have started.
    parts: OnceLock<Vec<Arc<dyn Collect>>>,
    desk: Option<DeskHandler>,
    /// The token for control requests; `None` disables them on this listener.
    token: ArcSwapOption<Token>,
    /// The names of this listener besides address literals and `localhost`, in lower case.
    names: ArcSwap<Vec<Arc<str>>>,
    guesses: Guesses,
    counters: Arc<AdminCounters>,
    max_body_len: usize,
    page: StatusDocument,
}

impl Admin {
    /// A handler without collectors, token or names. `max_body_len` is the longest body of a control request, in bytes.
    pub fn new(readiness: Arc<Readiness>, desk: Option<DeskHandler>, max_body_len: usize) -> Self {
        Admin(Arc::new(Inner {
            readiness,
            parts: OnceLock::new(),
            desk,
            token: ArcSwapOption::empty(),
            names: ArcSwap::default(),
            guesses: Guesses::default(),
            counters: Arc::default(),
            max_body_len,
            page: StatusDocument::new(),
        }))
    }

    /// Sets the collectors for `/metrics`.
    pub fn show(&self, parts: Vec<Arc<dyn Collect>>) {
        // This is called once, when all services have started; a second call has no effect.
        let _ = self.0.parts.set(parts);
    }

    /// Sets the token for control requests. `None` disables them.
    pub fn set_token(&self, token: Option<Token>) {
        self.0.token.store(token.map(Arc::new));
    }

    /// Sets the names of this listener, in lower case.
    pub fn set_names(&self, names: Vec<Arc<str>>) {
        self.0.names.store(Arc::new(names));
    }

    /// The counters.
    pub fn counters(&self) -> Arc<AdminCounters> {
        self.0.counters.clone()
    }

    /// True if a request names this listener as its host: by an address, `localhost`, or a configured name. True too for a
    /// request without a host, which HTTP/1.0 allows, because no browser sends one.
    fn is_own(&self, head: &Parts) -> bool {
        let Ok(Some(authority)) = host::authority(head) else { return true };
        let host = authority.host();
        let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let name = host.strip_suffix('.').unwrap_or(host);
        literal.parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || self.0.names.load().iter().any(|own| name.eq_ignore_ascii_case(own))
    }

    /// True if a request without a token only reads, no token is configured, and the client has a loopback address. Another
    /// address of this machine proves nothing: a container, or a proxy that forwards connections, has one too.
    fn may_read(&self, head: &Parts, peer: IpAddr) -> bool {
        is_read(head)
            && is_below(&READ_PATHS, head.uri.path())
            && self.is_own(head)
            && self.0.token.load().is_none()
            && peer.to_canonical().is_loopback()
    }

    /// The token in a control request; `None` if no token or no handler is configured.
    fn presented(&self, head: &Parts) -> Option<Presented> {
        let token = self.0.token.load();
        let token = token.as_ref().filter(|_| self.0.desk.is_some())?;
        Some(match token.recognize(&head.headers) {
            Presented::Nothing if is_plain_page(head) => token.recognize_password(&head.headers),
            presented => presented,
        })
    }
}

impl Handler for Admin {
    type Answer = HttpAnswer;
    const RESPONSE_LEN: usize = 64 << 10;

    fn body_limit(&self, head: &Parts) -> Option<usize> {
        let is_own = is_below(&DESK_PATHS, head.uri.path()) && self.is_own(head);
        (is_own && self.presented(head) == Some(Presented::Right)).then_some(self.0.max_body_len)
    }

    fn respond(&self, head: &Parts, body: &Body, ends: &SocketEnds) -> HttpAnswer {
        let peer = ends.peer.ip();
        // A body is read only for a control request with the right token: `body_limit`.
        let asked = match (body, &self.0.desk) {
            (Body::Whole(octets), Some(desk)) => {
                self.0.counters.tokens.count(TokenOutcome::Right);
                Some((desk, octets.clone()))
            }
            (Body::Unread, Some(desk)) if self.may_read(head, peer) => Some((desk, Bytes::new())),
            _ => None,
        };
        match asked {
            Some((desk, octets)) => {
                let answer = desk(peer, head.clone(), octets);
                HttpAnswer::Later(Box::pin(async { for_own_pages(answer.await) }))
            }
            None => HttpAnswer::Now(self.tell(head, body, peer)),
        }
    }
}

impl Admin {
    /// The response to any request that is not a complete control request with the right token.
    fn tell(&self, head: &Parts, body: &Body, peer: IpAddr) -> HttpResponse {
        let method = &head.method;
        match head.uri.path() {
            _ if !self.is_own(head) => {
                self.0.counters.misdirected.increment();
                plain_text(
                    method,
                    StatusCode::MISDIRECTED_REQUEST,
                    "this listener has another name: ask by its address, or list the name in `[admin] names`\n",
                )
            }
            path if is_below(&DESK_PATHS, path) => self.refuse(head, body, peer),
            _ if !is_read(head) => {
                let response = plain_text(method, StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
                with(response, ALLOW, HeaderValue::from_static("GET, HEAD"))
            }
            "/" => self.0.page.response(head),
            "/healthz" => plain_text(method, StatusCode::OK, "ok\n"),
            "/ready" => match self.0.readiness.obstacle() {
                None => plain_text(method, StatusCode::OK, "ready\n"),
                Some(obstacle) => plain_text(method, StatusCode::SERVICE_UNAVAILABLE, format!("{obstacle}\n")),
            },
            "/metrics" => match self.0.parts.get() {
                Some(parts) => {
                    let page = telemetry::render(parts.iter().map(|part| &**part));
                    http_response(method, StatusCode::OK, telemetry::CONTENT_TYPE, page.into())
                }
                None => plain_text(method, StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
            },
            _ => plain_text(method, StatusCode::NOT_FOUND, "not found\n"),
        }
    }

    /// The response to a control request that is incomplete, or lacks the right token.
    fn refuse(&self, head: &Parts, body: &Body, peer: IpAddr) -> HttpResponse {
        let method = &head.method;
        let unauthorized = |outcome, challenge| {
            self.0.counters.tokens.count(outcome);
            let response = plain_text(method, StatusCode::UNAUTHORIZED, "this needs the admin token\n");
            with(response, WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
        };
        let is_plain = is_plain_page(head);
        match self.presented(head) {
            Some(Presented::Right) if *body == Body::TooLong => {
                plain_text(method, StatusCode::PAYLOAD_TOO_LARGE, "too long\n")
            }
            Some(Presented::Right) => plain_text(method, StatusCode::BAD_REQUEST, "the body broke off\n"),
            None if is_read(head) && is_below(&READ_PATHS, head.uri.path()) => plain_text(
                method,
                StatusCode::FORBIDDEN,
                "without a token only clients at loopback addresses may read this: ask at 127.0.0.1 or ::1, or see `[admin] token-file` and `[control]`\n",
            ),
            None => plain_text(
                method,
                StatusCode::FORBIDDEN,
                "this needs the admin token, which is not configured: see `[admin] token-file` and `[control]`\n",
            ),
            Some(Presented::Nothing) if is_plain => unauthorized(TokenOutcome::Missing, PASSWORD_CHALLENGE),
            Some(Presented::Nothing) => unauthorized(TokenOutcome::Missing, "Bearer realm=\"pharos\""),
            Some(Presented::Wrong) => match self.0.guesses.count(peer) {
                None if is_plain => unauthorized(TokenOutcome::Wrong, PASSWORD_CHALLENGE),
                None => unauthorized(TokenOutcome::Wrong, "Bearer realm=\"pharos\", error=\"invalid_token\""),
                Some(seconds) => {
                    self.0.counters.tokens.count(TokenOutcome::Limited);
                    let response = plain_text(method, StatusCode::TOO_MANY_REQUESTS, "too many wrong tokens\n");
                    with(response, RETRY_AFTER, seconds.into())
                }
            },
        }
    }
}

/// True for the page that browsers without scripts show. Such a browser has no other means than its own form to give the token, and
/// goes on to send it by itself; so the page is the one path that takes it as a password, and it changes nothing.
fn is_plain_page(head: &Parts) -> bool {
    is_read(head) && head.uri.path() == "/mirrors" && head.uri.query() == Some("as=html")
}

fn is_read(head: &Parts) -> bool {
    matches!(head.method, Method::GET | Method::HEAD)
}

/// True if a path is one of a list, or below one.
fn is_below(paths: &[&str], path: &str) -> bool {
    paths.iter().any(|at| path.strip_prefix(at).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}
