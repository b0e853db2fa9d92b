//! The handler of the ACME listener: ACME clients set and remove their challenges by the requests of acme-dns and of lego's
//! `httpreq`.
//!
//! | request | credential | body | effect |
//! |---|---|---|---|
//! | `POST /update` | `X-Api-User`, `X-Api-Key` | `subdomain`, `txt` | sets the token at all owners of the credential |
//! | `POST /present`, `/cleanup` | Basic | `fqdn`, `value`, or `domain`, `token`, `keyAuth` | sets or removes a token |
//! | `POST /register` | – | – | 403: operators make credentials |
//! | `GET /health` | – | – | 200 |
//!
//! Any path may precede these, because a proxy or the endpoint of a client may have one.
//!
//! **Invariants**: without a right password, no body is read; a password is compared by its hash, in constant time; no password
//! and no token is logged or returned to another client; 200 means that the change is kept and served, as a reply to an update
//! over DNS does.
//! **Not here**: the decision about a change ([`crate::acme`]); connections ([`super`]).
//!
//! RFC 7617 (Basic), RFC 8555 §8.4 (the value of a challenge).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::{BASE64, BASE64URL_NOPAD};
use hyper::header::{ALLOW, AUTHORIZATION, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, StatusCode};
use ring::digest::{SHA256, digest};
use serde::Deserialize;
use serde_json::json;
use subtle::ConstantTimeEq as _;
use tokio::sync::oneshot;

use super::guesses::Guesses;
use super::token::{credentials, only};
use super::{Body, Handler, HttpAnswer, HttpResponse, PLAIN, plain_text, with};
use crate::base::ends::SocketEnds;
use crate::base::name::NameBuf;
use crate::base::rr::Rcode;
use crate::base::words::{Worded as _, words};
use crate::challenge::{ChallengeToken, Challenges, Credential, PasswordDigest, Removal, USER_PREFIX};
use crate::listen::http_response;
use crate::live::{PendingChanges, Published, UpdateQueue};
use crate::telemetry::acme::{AcmeHttpCounters, AcmeHttpOutcome};
use crate::wire::update::{TokenAction, TokenChange};

/// The longest body of a request, in bytes. Names, tokens and a key authorization have a few hundred.
pub(crate) const MAX_BODY_LEN: usize = 4096;

/// The longest time until a change is kept, served, and known to the other servers; the latter takes a second and a half. A
/// slow disk takes the rest.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The label before a name in the requests that have the name alone.
const CHALLENGE_LABEL: &str = "_acme-challenge.";

/// Passes changes of ACME clients on. Clones share their state.
#[derive(Clone)]
pub(crate) struct AcmeHandler(Arc<AcmeInner>);

struct AcmeInner {
    published: Arc<Published>,
    queue: UpdateQueue,
    guesses: Guesses,
    counters: Arc<AcmeHttpCounters>,
}

words! {
    /// The kinds of request, by the last segment of the path.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum AcmeAction {
        Update = "update",
        Present = "present",
        Cleanup = "cleanup",
        Register = "register",
        Health = "health",
    }
}

/// The reason why a request changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
enum AcmeRefusal {
    /// The path has no meaning.
    NotFound,
    /// The method is another one than this.
    Method(&'static str),
    /// An account is asked for.
    Registration,
    /// No user or password, or a wrong one.
    Unauthorized,
    /// Too many wrong passwords; the value is the time in seconds until the next is judged.
    Limited(u64),
    /// The credential is not for this address.
    Address,
    /// The body is not a request of this kind.
    Malformed(&'static str),
    /// The body is over [`MAX_BODY_LEN`].
    TooLong,
    /// The credential may not set challenges at this name.
    Owner,
    /// The change could not be kept.
    Failed,
    /// The change is not kept here and at all other servers; it can be sent again.
    Later,
}

/// The body of `/update`.
#[derive(Deserialize)]
struct UpdateBody {
    /// acme-dns has one name for each account. Here the account itself says at which names the token is set.
    #[serde(rename = "subdomain")]
    _subdomain: String,
    txt: String,
}

/// The body of `/present` and `/cleanup`: that of lego's default mode, or of its mode `RAW`.
#[derive(Deserialize)]
struct HttpreqBody {
    fqdn: Option<String>,
    value: Option<String>,
    domain: Option<String>,
    #[serde(rename = "keyAuth")]
    key_auth: Option<String>,
}

/// A request with a right password.
struct AcmeRequest {
    credential: Arc<str>,
    changes: Vec<TokenChange>,
    /// The body of the response after success, and its type.
    done: (String, &'static str),
}

const JSON: &str = "application/json";

impl AcmeAction {
    fn of(path: &str) -> Option<Self> {
        AcmeAction::parse(path.rsplit('/').next()?)
    }

    /// True for the requests that change challenges.
    fn is_change(self) -> bool {
        matches!(self, AcmeAction::Update | AcmeAction::Present | AcmeAction::Cleanup)
    }
}

impl Handler for AcmeHandler {
    type Answer = HttpAnswer;
    const RESPONSE_LEN: usize = 1024;

    fn body_limit(&self, head: &Parts) -> Option<usize> {
        let is_change =
            head.method == Method::POST && AcmeAction::of(head.uri.path()).is_some_and(AcmeAction::is_change);
        let is_known = || recognize(self.0.published.load().challenges(), &head.headers).is_some();
        (is_change && is_known()).then_some(MAX_BODY_LEN)
    }

    fn respond(&self, head: &Parts, body: &Body, ends: &SocketEnds) -> HttpAnswer {
        let peer = ends.peer.ip();
        if AcmeAction::of(head.uri.path()) == Some(AcmeAction::Health) {
            return HttpAnswer::Now(match head.method {
                Method::GET | Method::HEAD => plain_text(&head.method, StatusCode::OK, "ok\n"),
                _ => self.0.refuse(&head.method, &AcmeRefusal::Method("GET, HEAD")),
            });
        }
        match self.0.read(head, body, peer) {
            Ok(request) => {
                let inner = self.0.clone();
                HttpAnswer::Later(Box::pin(async move { inner.pass_on(request, peer).await }))
            }
            Err(refusal) => HttpAnswer::Now(self.0.refuse(&head.method, &refusal)),
        }
    }
}

impl AcmeHandler {
    /// A handler that passes changes to the service of ACME challenges by its queue.
    pub(crate) fn new(published: Arc<Published>, queue: UpdateQueue) -> Self {
        let (guesses, counters) = (Guesses::default(), Arc::default());
        AcmeHandler(Arc::new(AcmeInner { published, queue, guesses, counters }))
    }

    /// The counters.
    pub(crate) fn counters(&self) -> Arc<AcmeHttpCounters> {
        self.0.counters.clone()
    }
}

impl AcmeInner {
    /// The request of a client whose password is right.
    fn read(&self, head: &Parts, body: &Body, peer: IpAddr) -> Result<AcmeRequest, AcmeRefusal> {
        let action = AcmeAction::of(head.uri.path()).ok_or(AcmeRefusal::NotFound)?;
        if head.method != Method::POST {
            return Err(AcmeRefusal::Method("POST"));
        }
        if !action.is_change() {
            return Err(AcmeRefusal::Registration);
        }
        let snapshot = self.published.load();
        let Some(credential) = recognize(snapshot.challenges(), &head.headers) else {
            return Err(self.guesses.count(peer).map_or(AcmeRefusal::Unauthorized, AcmeRefusal::Limited));
        };
        if !credential.admits(peer) {
            return Err(AcmeRefusal::Address);
        }
        let body = match body {
            Body::Whole(body) => body,
            Body::TooLong => return Err(AcmeRefusal::TooLong),
            Body::Broken | Body::Unread => return Err(AcmeRefusal::Malformed("the body broke off")),
        };
        match action {
            AcmeAction::Update => update(body, credential),
            AcmeAction::Cleanup => httpreq(body, credential, |token| TokenAction::Remove(Removal::One(token))),
            _ => httpreq(body, credential, TokenAction::Set),
        }
    }

    /// Passes changes on, and waits for the outcome.
    async fn pass_on(&self, request: AcmeRequest, address: IpAddr) -> HttpResponse {
        let AcmeRequest { credential, changes, done: (text, kind) } = request;
        let (sender, outcome) = oneshot::channel();
        let reply = Box::new(move |outcome| {
            // A client that has gone needs no outcome.
            let _ = sender.send(outcome);
        });
        let outcome = match self.queue.offer_changes(PendingChanges { credential, address, changes, reply }) {
            Ok(()) => tokio::time::timeout(ANSWER_TIMEOUT, outcome).await.ok().and_then(Result::ok),
            Err(_) => None,
        };
        match outcome {
            Some(Ok(())) => {
                self.counters.requests.count(AcmeHttpOutcome::Done);
                http_response(&Method::POST, StatusCode::OK, kind, text.into())
            }
            Some(Err((Rcode::SERVFAIL, None))) => self.refuse(&Method::POST, &AcmeRefusal::Failed),
            None | Some(Err((Rcode::SERVFAIL, Some(_)))) => self.refuse(&Method::POST, &AcmeRefusal::Later),
            Some(Err(_)) => self.refuse(&Method::POST, &AcmeRefusal::Owner),
        }
    }

    /// Counts a refusal, and returns its response.
    fn refuse(&self, method: &Method, refusal: &AcmeRefusal) -> HttpResponse {
        use AcmeHttpOutcome as Outcome;
        let (outcome, status, words) = match refusal {
            AcmeRefusal::NotFound => (
                Outcome::Other,
                StatusCode::NOT_FOUND,
                "this server takes /update (acme-dns), /present and /cleanup (httpreq), and /health",
            ),
            AcmeRefusal::Method(_) => (Outcome::Other, StatusCode::METHOD_NOT_ALLOWED, "another method is needed"),
            AcmeRefusal::Registration => (
                Outcome::Other,
                StatusCode::FORBIDDEN,
                "accounts are made by the operator of this server: ask for a user and a password",
            ),
            AcmeRefusal::Unauthorized => (
                Outcome::Unauthorized,
                StatusCode::UNAUTHORIZED,
                "the user or the password is wrong, or there is neither Basic authorization nor X-Api-User and X-Api-Key",
            ),
            AcmeRefusal::Limited(_) => (Outcome::Limited, StatusCode::TOO_MANY_REQUESTS, "too many wrong passwords"),
            AcmeRefusal::Address => {
                (Outcome::Refused, StatusCode::FORBIDDEN, "this user may not send requests from this address")
            }
            AcmeRefusal::Malformed(words) => (Outcome::Malformed, StatusCode::BAD_REQUEST, *words),
            AcmeRefusal::TooLong => (Outcome::Malformed, StatusCode::PAYLOAD_TOO_LARGE, "the body is too long"),
            AcmeRefusal::Owner => {
                (Outcome::Refused, StatusCode::FORBIDDEN, "this user may not set challenges at this name")
            }
            AcmeRefusal::Failed => (
                Outcome::Failed,
                StatusCode::INTERNAL_SERVER_ERROR,
                "the change could not be written to the disk; the reason is in the log of the server",
            ),
            AcmeRefusal::Later => (
                Outcome::Failed,
                StatusCode::SERVICE_UNAVAILABLE,
                "not every server of the zone has the change yet: send it again",
            ),
        };
        self.counters.requests.count(outcome);
        let response = plain_text(method, status, format!("{words}\n"));
        match refusal {
            AcmeRefusal::Method(methods) => with(response, ALLOW, HeaderValue::from_static(methods)),
            AcmeRefusal::Unauthorized => {
                with(response, WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"pharos\""))
            }
            AcmeRefusal::Limited(seconds) => with(response, RETRY_AFTER, (*seconds).into()),
            AcmeRefusal::Later => with(response, RETRY_AFTER, HeaderValue::from_static("1")),
            _ => response,
        }
    }
}

/// The credential whose user and password the headers have.
fn recognize<'c>(challenges: &'c Challenges, headers: &HeaderMap) -> Option<&'c Credential> {
    let (user, password) = presented(headers)?;
    let sent = digest(&SHA256, &password);
    let known = challenges.credential(&format!("{USER_PREFIX}{user}"));
    // An unknown user takes as long as a wrong password.
    let expected = known.and_then(Credential::password).copied().unwrap_or(PasswordDigest::NONE);
    let is_right = bool::from(sent.as_ref().ct_eq(expected.as_bytes()));
    known.filter(|credential| is_right && credential.password().is_some())
}

/// The user and the password of a request; `None` without these, or if a header of them comes twice, because a proxy might have
/// checked the other one.
fn presented(headers: &HeaderMap) -> Option<(String, Vec<u8>)> {
    if headers.contains_key(AUTHORIZATION) {
        let decoded = BASE64.decode(credentials(headers, b"Basic ")?).ok()?;
        let colon = decoded.iter().position(|byte| *byte == b':')?;
        return Some((String::from_utf8(decoded[..colon].to_vec()).ok()?, decoded[colon + 1..].to_vec()));
    }
    let user = String::from_utf8(only(headers, "x-api-user")?.to_vec()).ok()?;
    Some((user, only(headers, "x-api-key")?.to_vec()))
}

/// The change of acme-dns: the token at all owners.
fn update(body: &[u8], credential: &Credential) -> Result<AcmeRequest, AcmeRefusal> {
    let UpdateBody { txt, .. } = serde_json::from_slice(body)
        .map_err(|_| AcmeRefusal::Malformed("the body is not JSON with `subdomain` and `txt`"))?;
    let token = token(&txt)?;
    let change = |owner: &NameBuf| TokenChange { owner: owner.clone(), action: TokenAction::Set(token) };
    let changes = credential.owners().iter().map(change).collect();
    Ok(AcmeRequest { credential: credential.name.clone(), changes, done: (json!({ "txt": txt }).to_string(), JSON) })
}

/// The change of lego's `httpreq`: the token at one owner.
fn httpreq(
    body: &[u8],
    credential: &Credential,
    action: impl Fn(ChallengeToken) -> TokenAction,
) -> Result<AcmeRequest, AcmeRefusal> {
    const FORM: AcmeRefusal =
        AcmeRefusal::Malformed("the body is not JSON with `fqdn` and `value`, or with `domain` and `keyAuth`");
    let body: HttpreqBody = serde_json::from_slice(body).map_err(|_| FORM)?;
    let (owner, value) = match body {
        HttpreqBody { fqdn: Some(fqdn), value: Some(value), .. } => (fqdn, value),
        HttpreqBody { domain: Some(domain), key_auth: Some(key_auth), .. } => {
            // RFC 8555 §7.1.3: the challenge for a wildcard is at the name without `*`.
            let name = domain.strip_prefix("*.").unwrap_or(&domain);
            (format!("{CHALLENGE_LABEL}{name}"), BASE64URL_NOPAD.encode(digest(&SHA256, key_auth.as_bytes()).as_ref()))
        }
        _ => return Err(FORM),
    };
    let token = token(&value)?;
    let owner = NameBuf::parse(&owner).map_err(|_| AcmeRefusal::Malformed("`fqdn` or `domain` is not a name"))?;
    let changes = vec![TokenChange { owner, action: action(token) }];
    Ok(AcmeRequest { credential: credential.name.clone(), changes, done: ("ok\n".to_string(), PLAIN) })
}

fn token(text: &str) -> Result<ChallengeToken, AcmeRefusal> {
    let bad = AcmeRefusal::Malformed("the value is not that of a challenge: 43 characters of base64url");
    ChallengeToken::parse(text.as_bytes()).ok_or(bad)
}

#[cfg(test)]
mod tests;
