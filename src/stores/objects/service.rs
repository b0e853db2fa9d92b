//! Requests of `object_store`, sent by our own client.
//!
//! **Invariants**: a redirect is not followed; plain HTTP is refused unless the settings allow it; the body of a response has at
//! most [`MAX_REPLY`] bytes or, for an object, its own bound. A fault becomes a [`CloudFault`] at once, because `object_store` keeps
//! only its text.
//! **Not here**: the meaning of a refusal ([`super::fault`]).

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Bytes;
use hyper::header::{HeaderValue, USER_AGENT};
use hyper::{StatusCode, Uri};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse, HttpResponseBody,
    HttpService,
};
use object_store::{ClientConfigKey, ClientOptions};

use crate::outgoing::{OutgoingClient, OutgoingError, OutgoingSettings, SendFault, collect};
use crate::stores::{StoreError, StoreSettings};

/// The longest response without an object, in bytes: a page of a list has 1,000 entries of 1 to 2 KiB.
const MAX_REPLY: usize = 4 << 20;

/// The longest refusal that is read, in bytes.
const MAX_REFUSAL: usize = 64 << 10;

/// The longest code and message of a refusal, in characters.
const MAX_WORDS: usize = 300;

/// The longest body of the response to one request, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyBound(pub(super) usize);

/// The host of the request under way, for the error of a call that does not end in time.
pub(super) type Awaited = Arc<ArcSwapOption<String>>;

/// A response that refuses a request.
#[derive(Clone, Debug)]
pub(super) struct CloudRefusal {
    /// The host.
    pub(super) host: String,
    /// The status.
    pub(super) status: StatusCode,
    /// The code of the error, as `NoSuchBucket`; empty if there is none.
    pub(super) code: String,
    /// The message; empty if there is none.
    pub(super) message: String,
}

impl fmt::Display for CloudRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} answered {}", self.host, self.status)?;
        for words in [&self.code, &self.message] {
            if !words.is_empty() {
                write!(f, ": {words}")?;
            }
        }
        Ok(())
    }
}

/// The reason why a request has no response that `object_store` can read.
#[derive(Clone, Debug)]
pub(super) enum CloudFault {
    /// The response refuses the request.
    Refused(CloudRefusal),
    /// The request was not sent, or has no response.
    Unsent {
        /// The host.
        host: String,
        /// The reason.
        error: OutgoingError,
    },
    /// Plain HTTP, where only https is allowed.
    PlainHttp,
    /// A list of this host without the element of lists. `object_store` would read any other page as an empty list.
    NoList(String),
}

impl fmt::Display for CloudFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloudFault::Refused(refusal) => refusal.fmt(f),
            CloudFault::Unsent { host, error } => write!(f, "{host}: {error}"),
            CloudFault::PlainHttp => f.write_str("the endpoint is plain http"),
            CloudFault::NoList(host) => write!(f, "{host} sends another page than a list"),
        }
    }
}

impl Error for CloudFault {}

/// Sends requests; it also makes the services for credentials, which share its connections.
#[derive(Clone, Debug)]
pub(super) struct CloudService {
    client: OutgoingClient<HttpRequestBody>,
    awaited: Awaited,
    allows_http: bool,
}

impl CloudService {
    pub(super) fn new(settings: &StoreSettings, idle: Duration, awaited: Awaited) -> Result<Self, StoreError> {
        let client = OutgoingClient::new(OutgoingSettings {
            roots: settings.roots.clone(),
            identity: None,
            resolver: &settings.resolver,
            proxy: &settings.proxy,
            connect_timeout: settings.deadline,
            idle: Some(idle),
        });
        Ok(CloudService { client: client.map_err(StoreError::Setting)?, awaited, allows_http: false })
    }

    async fn send(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let uri = request.uri().clone();
        if !self.allows_http && uri.scheme_str() != Some("https") {
            return Err(HttpError::new(HttpErrorKind::Unknown, CloudFault::PlainHttp));
        }
        let host = uri.authority().map(ToString::to_string).unwrap_or_default();
        let bound = request.extensions().get().map_or(MAX_REPLY, |BodyBound(bound)| *bound);
        let agent = HeaderValue::from_static(concat!("pharos/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().entry(USER_AGENT).or_insert(agent);
        let response = self.client.send(request).await.map_err(|error| unsent(&host, error))?;
        let (head, body) = response.into_parts();
        if head.status.is_success() && is_list(&uri) {
            let text = collect(body, MAX_REPLY).await.map_err(|error| unsent(&host, error))?;
            let has = |element: &[u8]| text.windows(element.len()).any(|part| part == element);
            return if has(b"<ListBucketResult") || has(b"<EnumerationResults") {
                Ok(HttpResponse::from_parts(head, HttpResponseBody::from(text)))
            } else {
                Err(HttpError::new(HttpErrorKind::Unknown, CloudFault::NoList(host)))
            };
        }
        if is_usable(head.status, &uri) {
            let of_body = move |error: Box<dyn Error + Send + Sync>| unsent(&host, OutgoingError::of_body(&*error));
            return Ok(HttpResponse::from_parts(
                head,
                HttpResponseBody::new(Limited::new(body, bound).map_err(of_body)),
            ));
        }
        let text = collect(body, MAX_REFUSAL).await.unwrap_or_default();
        let header = head.headers.get("x-ms-error-code").and_then(|code| code.to_str().ok());
        let refusal = refusal(&host, head.status, header, &text);
        if head.status == StatusCode::NOT_FOUND && !names_bucket(&refusal.code) {
            return Ok(HttpResponse::from_parts(head, HttpResponseBody::from(text)));
        }
        let may_pass = head.status.is_server_error()
            || matches!(head.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
        // `Interrupted` is repeated if the request has the same effect twice.
        let kind = if may_pass { HttpErrorKind::Interrupted } else { HttpErrorKind::Unknown };
        Err(HttpError::new(kind, CloudFault::Refused(refusal)))
    }
}

impl HttpService for CloudService {
    fn call<'life0, 'async_trait>(
        &'life0 self,
        request: HttpRequest,
    ) -> BoxFuture<'async_trait, Result<HttpResponse, HttpError>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            self.awaited.store(request.uri().authority().map(|host| Arc::new(host.to_string())));
            let response = self.send(request).await;
            // A call that is given up leaves its host for the error.
            self.awaited.store(None);
            response
        })
    }
}

impl HttpConnector for CloudService {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let allows_http = options.get_config_value(&ClientConfigKey::AllowHttp).is_some_and(|value| value == "true");
        Ok(HttpClient::new(CloudService { allows_http, ..self.clone() }))
    }
}

/// True for a response that `object_store` reads itself: success, the outcomes of conditions, and all of metadata services,
/// whose versions it tells apart by their status.
fn is_usable(status: StatusCode, uri: &Uri) -> bool {
    status.is_success()
        || matches!(status, StatusCode::NOT_MODIFIED | StatusCode::PRECONDITION_FAILED | StatusCode::CONFLICT)
        || uri.authority().is_some_and(|authority| is_metadata(authority.as_str()))
}

/// True for a request for a list: of S3 and Google, or of Azure.
fn is_list(uri: &Uri) -> bool {
    uri.query().is_some_and(|query| query.split('&').any(|pair| matches!(pair, "list-type=2" | "comp=list")))
}

/// True for the hosts of metadata services, which clouds have for their machines and containers alone.
pub(super) fn is_metadata(authority: &str) -> bool {
    const HOSTS: [&str; 5] =
        ["169.254.169.254", "169.254.170.2", "169.254.170.23", "[fd00:ec2::254]", "metadata.google.internal"];
    let port = authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
    HOSTS.contains(&port.map_or(authority, |(host, _)| host))
}

/// True for the codes of a bucket that does not exist.
pub(super) fn names_bucket(code: &str) -> bool {
    matches!(code, "NoSuchBucket" | "ContainerNotFound" | "ResourceNotFound")
}

fn unsent(host: &str, error: OutgoingError) -> HttpError {
    let kind = match error.fault {
        // Nothing was sent, so the request may be repeated whatever it is.
        SendFault::Connect => HttpErrorKind::Connect,
        SendFault::Broken => HttpErrorKind::Interrupted,
        SendFault::Host | SendFault::Tls | SendFault::TooLong => HttpErrorKind::Unknown,
    };
    HttpError::new(kind, CloudFault::Unsent { host: host.to_string(), error })
}

/// Reads the code and the message of a refusal: XML of storage, or JSON of services for tokens.
fn refusal(host: &str, status: StatusCode, header: Option<&str>, body: &Bytes) -> CloudRefusal {
    let text = String::from_utf8_lossy(body);
    let element = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        rest.split_once(&format!("</{name}>")).map(|(value, _)| value.to_string())
    };
    let json: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let member = |name: &str| json.get(name)?.as_str().map(str::to_string);
    let code = element("Code").or_else(|| member("error")).or_else(|| header.map(str::to_string));
    let message = element("Message").or_else(|| member("error_description")).or_else(|| member("message"));
    let words = |text: Option<String>| -> String {
        let text = text.unwrap_or_default();
        let line = text.lines().next().unwrap_or_default();
        line.chars().filter(|letter| !letter.is_control()).take(MAX_WORDS).collect()
    };
    CloudRefusal { host: host.to_string(), status, code: words(code), message: words(message) }
}
