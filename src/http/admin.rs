//! The admin listener's handler: `/healthz`, `/ready` and `/metrics`.
//!
//! **Not here**: anything that changes what is served.

use std::net::IpAddr;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use tokio_util::sync::CancellationToken;

use super::{Body, Handler, Response};
use crate::telemetry::{self, Collect};

/// Answers an operator's probes.
pub struct Admin {
    parts: Vec<Arc<dyn Collect>>,
    stopping: CancellationToken,
}

impl Admin {
    /// Shows these counters, and is ready until `stopping` is cancelled.
    ///
    /// It is started once everything else listens, so that it answers at all is the first half of being ready.
    pub fn new(parts: Vec<Arc<dyn Collect>>, stopping: CancellationToken) -> Self {
        Admin { parts, stopping }
    }
}

impl Handler for Admin {
    type Answer = Response;

    fn respond(&self, head: &Parts, _: Body<'_>, _: IpAddr) -> Response {
        const TEXT: &str = "text/plain; charset=utf-8";
        let (status, kind, body) = match (&head.method, head.uri.path()) {
            (&Method::GET | &Method::HEAD, "/healthz") => (StatusCode::OK, TEXT, "ok\n".to_string()),
            (&Method::GET | &Method::HEAD, "/ready") if self.stopping.is_cancelled() => {
                (StatusCode::SERVICE_UNAVAILABLE, TEXT, "stopping\n".to_string())
            }
            (&Method::GET | &Method::HEAD, "/ready") => (StatusCode::OK, TEXT, "ready\n".to_string()),
            (&Method::GET | &Method::HEAD, "/metrics") => {
                let page = telemetry::render(self.parts.iter().map(|part| &**part));
                (StatusCode::OK, telemetry::CONTENT_TYPE, page)
            }
            (&Method::GET | &Method::HEAD, _) => (StatusCode::NOT_FOUND, TEXT, "not found\n".to_string()),
            _ => (StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD\n".to_string()),
        };
        let len = body.len();
        let sent = if head.method == Method::HEAD { Bytes::new() } else { Bytes::from(body) };
        let mut response = Response::new(Full::new(sent));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_LENGTH, len.into());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        if status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }
}
