//! Calls of etcd's JSON gateway: one member after the other, as a user if one is named.
//!
//! **Invariants**: a call ends by the deadline, of which each remaining member gets an equal part; a request that must not have
//! its effect twice goes to another member only if it was not sent. The member that answered last is asked first.
//! **Not here**: the requests ([`super`]).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::message::{AuthenticateResponse, ErrorResponse};
use crate::config::{EtcdAccess, InputFile};
use crate::outgoing::{OutgoingClient, OutgoingError, OutgoingSettings, SendFault, collect};
use crate::process::Clock;
use crate::stores::{StoreError, StoreSettings};
use crate::tls::{self, Roots};

/// The time for which an idle connection is kept: members are few, and reads frequent.
const IDLE: Duration = Duration::from_secs(60);

/// The longest error that is read, in bytes.
const MAX_ERROR: usize = 64 << 10;

/// The longest message of etcd that is shown, in characters.
const MAX_WORDS: usize = 300;

/// Codes of gRPC.
const INVALID_ARGUMENT: u32 = 3;
const PERMISSION_DENIED: u32 = 7;
const UNAVAILABLE: u32 = 14;
const UNAUTHENTICATED: u32 = 16;

/// The cases in which a request goes to a further member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// After any failure of a member: a second execution has the same effect.
    Allowed,
    /// If it was not sent.
    Unsent,
}

/// The members of one etcd.
pub(super) struct Gateway {
    scheme: &'static str,
    /// The hosts of the members, with their ports.
    members: Vec<Arc<str>>,
    /// The member that is asked first.
    preferred: AtomicUsize,
    client: OutgoingClient<Full<Bytes>>,
    account: Option<EtcdAccount>,
    deadline: Duration,
}

/// A user, and the token of the last authentication. Tokens of etcd hold for some minutes.
struct EtcdAccount {
    name: Arc<str>,
    password: String,
    token: ArcSwapOption<String>,
}

/// Shows no password and no token.
impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.members).finish()
    }
}

/// The reason why one member did not answer a request.
enum Failed {
    /// The request was not sent.
    Unsent(StoreError),
    /// It may have had its effect, and another member may answer.
    Member(StoreError),
    /// The token is not valid any more.
    Token(StoreError),
    /// Each member would answer the same.
    Refused(StoreError),
}

impl Gateway {
    pub(super) fn new(
        scheme: &'static str,
        members: &[Arc<str>],
        settings: &StoreSettings,
    ) -> Result<Self, StoreError> {
        let (roots, identity) = credentials(&settings.access, settings.roots.clone())?;
        let client = OutgoingClient::new(OutgoingSettings {
            roots,
            identity,
            resolver: &settings.resolver,
            proxy: &settings.proxy,
            connect_timeout: settings.deadline,
            idle: Some(IDLE),
        });
        let account = settings.access.account.as_ref().map(|(name, file)| {
            let password = String::from_utf8(read(file)?).map_err(|_| unusable(file, "is not text"))?;
            let password = password.trim_end_matches(['\r', '\n']).to_string();
            Ok(EtcdAccount { name: name.clone(), password, token: ArcSwapOption::empty() })
        });
        Ok(Gateway {
            scheme,
            members: members.to_vec(),
            preferred: AtomicUsize::new(0),
            client: client.map_err(StoreError::Setting)?,
            account: account.transpose()?,
            deadline: settings.deadline,
        })
    }

    /// Calls a method, and reads a response of `max_len` bytes at most. A longer one is [`StoreError::TooLong`] without a name.
    pub(super) async fn call<A: DeserializeOwned>(
        &self,
        path: &str,
        request: &Value,
        repeat: Repeat,
        max_len: usize,
    ) -> Result<A, StoreError> {
        let request = Bytes::from(request.to_string());
        let mut last = StoreError::NoQuorum { after: self.deadline };
        let ends = Instant::now() + self.deadline;
        let first = self.preferred.load(Ordering::Relaxed);
        let count = self.members.len();
        for tried in 0..count {
            let at = (first + tried) % count;
            let member = &self.members[at];
            let share = ends.saturating_duration_since(Instant::now()) / (count - tried) as u32;
            let ask = async {
                let response = self.send(member, path, &request).await?;
                collect(response.into_body(), max_len).await.map_err(|error| match error.fault {
                    SendFault::TooLong => Failed::Refused(StoreError::TooLong { name: String::new(), max_len }),
                    _ => Failed::Member(unreachable(member, &error)),
                })
            };
            let failed = match tokio::time::timeout(share, ask).await {
                Ok(Ok(body)) => {
                    self.preferred.store(at, Ordering::Relaxed);
                    return parse(member, &body);
                }
                Ok(Err(failed)) => failed,
                Err(_) => Failed::Member(StoreError::NoQuorum { after: self.deadline }),
            };
            match failed {
                Failed::Unsent(error) => last = error,
                Failed::Member(error) if repeat == Repeat::Allowed => last = error,
                Failed::Member(error) => {
                    // The next call begins with another member.
                    self.preferred.store((at + 1) % count, Ordering::Relaxed);
                    return Err(error);
                }
                Failed::Token(error) | Failed::Refused(error) => return Err(error),
            }
        }
        self.preferred.store((first + 1) % count, Ordering::Relaxed);
        Err(last)
    }

    /// Opens a stream of messages at the preferred member. After a failure the next call takes another member.
    pub(super) async fn open(&self, path: &str, request: &Value) -> Result<Incoming, StoreError> {
        let request = Bytes::from(request.to_string());
        let at = self.preferred.load(Ordering::Relaxed) % self.members.len();
        let opened = tokio::time::timeout(self.deadline, self.send(&self.members[at], path, &request)).await;
        let error = match opened {
            Ok(Ok(response)) => return Ok(response.into_body()),
            Ok(Err(Failed::Unsent(error) | Failed::Member(error) | Failed::Token(error) | Failed::Refused(error))) => {
                error
            }
            Err(_) => StoreError::NoQuorum { after: self.deadline },
        };
        self.prefer_next();
        Err(error)
    }

    /// Asks another member first from now on.
    pub(super) fn prefer_next(&self) {
        let next = (self.preferred.load(Ordering::Relaxed) + 1) % self.members.len();
        self.preferred.store(next, Ordering::Relaxed);
    }

    /// Sends a request to a member; a second time if the token has lapsed.
    async fn send(&self, member: &str, path: &str, request: &Bytes) -> Result<Response<Incoming>, Failed> {
        let token = self.token(member).await?;
        match self.send_once(member, path, request, token.as_deref()).await {
            Err(Failed::Token(_)) if token.is_some() => {
                self.account.iter().for_each(|account| account.token.store(None));
                let token = self.token(member).await?;
                self.send_once(member, path, request, token.as_deref()).await
            }
            sent => sent,
        }
    }

    /// The token of the user, which is fetched if there is none; `None` without a user.
    async fn token(&self, member: &str) -> Result<Option<Arc<String>>, Failed> {
        let Some(account) = &self.account else { return Ok(None) };
        if let Some(token) = account.token.load_full() {
            return Ok(Some(token));
        }
        let request = json!({ "name": &*account.name, "password": account.password });
        let sent = self.send_once(member, "/v3/auth/authenticate", &request.to_string().into(), None).await;
        // No request of the caller was sent yet, whatever happened.
        let response = sent.map_err(|failed| match failed {
            Failed::Member(error) => Failed::Unsent(error),
            other => other,
        })?;
        let body = collect(response.into_body(), MAX_ERROR).await;
        let body = body.map_err(|error| Failed::Unsent(unreachable(member, &error)))?;
        let answer: AuthenticateResponse = parse(member, &body).map_err(Failed::Refused)?;
        let token = Arc::new(answer.token);
        account.token.store(Some(token.clone()));
        Ok(Some(token))
    }

    async fn send_once(
        &self,
        member: &str,
        path: &str,
        request: &Bytes,
        token: Option<&String>,
    ) -> Result<Response<Incoming>, Failed> {
        let mut head = Request::post(format!("{}://{member}{path}", self.scheme))
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("pharos/", env!("CARGO_PKG_VERSION")));
        if let Some(token) = token {
            head = head.header(AUTHORIZATION, token);
        }
        let request = head.body(Full::new(request.clone()));
        let request = request.map_err(|error| Failed::Refused(StoreError::Setting(error.to_string())))?;
        let response = self.client.send(request).await.map_err(|error| match error.fault {
            SendFault::Host | SendFault::Connect => Failed::Unsent(unreachable(member, &error)),
            SendFault::Tls => Failed::Unsent(StoreError::Tls { host: member.to_string(), why: error.why }),
            SendFault::Broken | SendFault::TooLong => Failed::Member(unreachable(member, &error)),
        })?;
        if response.status() == StatusCode::OK {
            return Ok(response);
        }
        let status = response.status();
        let body = collect(response.into_body(), MAX_ERROR).await.unwrap_or_default();
        Err(refusal(member, status, &body))
    }
}

/// The meaning of a response other than 200.
fn refusal(member: &str, status: StatusCode, body: &[u8]) -> Failed {
    let Ok(answer) = serde_json::from_slice::<ErrorResponse>(body) else {
        let why = format!("{member} answered {status}");
        return if status.is_server_error() {
            Failed::Member(StoreError::Failing(why))
        } else {
            Failed::Refused(StoreError::Strange(why))
        };
    };
    let words = if answer.message.is_empty() { &answer.error } else { &answer.message };
    let shown: String = words.chars().filter(|letter| !letter.is_control()).take(MAX_WORDS).collect();
    let why = format!("{member} says: {shown}");
    // Versions differ in their codes for the same words.
    let says = |part: &str| words.contains(part);
    match answer.code {
        _ if says("invalid auth token") => Failed::Token(StoreError::Credentials(why)),
        _ if says("user name is empty") => {
            Failed::Refused(StoreError::Credentials(format!("{why}; set `user` and `password-file`")))
        }
        _ if says("authentication failed") => {
            Failed::Refused(StoreError::Credentials(format!("{why}; correct `user` or the file of the password")))
        }
        _ if says("authentication is not enabled") => Failed::Refused(StoreError::Credentials(format!(
            "{why}; enable it (`etcdctl auth enable`), or remove `user`"
        ))),
        PERMISSION_DENIED => Failed::Refused(StoreError::Denied(why)),
        UNAUTHENTICATED => Failed::Token(StoreError::Credentials(why)),
        INVALID_ARGUMENT => Failed::Refused(StoreError::Refused(why)),
        UNAVAILABLE => Failed::Member(StoreError::Failing(why)),
        _ if status.is_server_error() => Failed::Member(StoreError::Failing(why)),
        _ => Failed::Refused(StoreError::Refused(why)),
    }
}

fn unreachable(member: &str, error: &OutgoingError) -> StoreError {
    StoreError::Unreachable { host: member.to_string(), why: error.why.clone() }
}

fn parse<A: DeserializeOwned>(member: &str, body: &[u8]) -> Result<A, StoreError> {
    serde_json::from_slice(body).map_err(|_| StoreError::Strange(format!("{member} sends no JSON of etcd")))
}

/// The roots for members, and the certificate that is presented to them.
fn credentials(access: &EtcdAccess, system: Arc<Roots>) -> Result<(Arc<Roots>, Option<tls::Identity>), StoreError> {
    let roots = match &access.ca {
        None => system,
        Some(file) => Arc::new(Roots::of_pem(&read(file)?).map_err(|why| unusable(file, &why))?),
    };
    let Some(files) = &access.identity else { return Ok((roots, None)) };
    let (identity, _) = tls::load(files, Clock::unix()).map_err(|problems| {
        let first = problems.into_iter().next().map(|problem| problem.message);
        StoreError::Setting(first.unwrap_or_default())
    })?;
    Ok((roots, Some(identity)))
}

fn read(file: &InputFile) -> Result<Vec<u8>, StoreError> {
    let read = file.read().map_err(|error| unusable(file, &format!("cannot be read: {error}")))?;
    Ok(read.bytes)
}

fn unusable(file: &InputFile, why: &str) -> StoreError {
    StoreError::Setting(format!("`{}` {why}", file.file))
}
