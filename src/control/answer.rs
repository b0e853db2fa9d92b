//! Answers of the desk as HTTP responses.
//!
//! **Invariants**: the body of an answer is a JSON document, except those of `/ready` and of the table of mirrors; the response to HEAD has the headers of that to
//! GET.
//! **Not here**: the documents ([`super::view`]).

use std::borrow::Cow;

use hyper::body::Bytes;
use hyper::header::{ALLOW, CONTENT_SECURITY_POLICY, HeaderValue};
use hyper::{Method, StatusCode};
use serde::Serialize;

use super::request::Refusal;
use super::view::RefusalView;
use crate::listen::{HttpResponse, http_response};

/// The policy of a page without scripts and styles: a fault in its escaping must not run anything.
const PAGE_POLICY: &str = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The content of a response.
pub(super) enum DeskAnswer {
    Json(String),
    /// A JSON document that was written already.
    Written(Bytes),
    /// A page without scripts.
    Html(String),
    /// A reload, or a fetch, that was refused in part or as a whole.
    NotServed(String),
    Ready(Option<Cow<'static, str>>),
    Refused(Refusal),
}

impl DeskAnswer {
    pub(super) fn json(view: &impl Serialize) -> Self {
        DeskAnswer::Json(serde_json::to_string(view).expect("a view is plain data") + "\n")
    }

    pub(super) fn not_served(view: &impl Serialize) -> Self {
        DeskAnswer::NotServed(serde_json::to_string(view).expect("a view is plain data") + "\n")
    }
}

/// Renders the response to a request of a method.
pub(super) fn render(answer: DeskAnswer, method: &Method) -> HttpResponse {
    const JSON: &str = "application/json";
    let mut allow = None;
    const TEXT: &str = "text/plain; charset=utf-8";
    const HTML: &str = "text/html; charset=utf-8";
    let is_page = matches!(answer, DeskAnswer::Html(_));
    let (status, kind, body) = match answer {
        DeskAnswer::Json(text) => (StatusCode::OK, JSON, text.into()),
        DeskAnswer::Written(json) => (StatusCode::OK, JSON, json),
        DeskAnswer::Html(text) => (StatusCode::OK, HTML, text.into()),
        DeskAnswer::NotServed(text) => (StatusCode::UNPROCESSABLE_ENTITY, JSON, text.into()),
        DeskAnswer::Ready(None) => (StatusCode::OK, TEXT, Bytes::from_static(b"ready\n")),
        DeskAnswer::Ready(Some(obstacle)) => (StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{obstacle}\n").into()),
        DeskAnswer::Refused(Refusal { status, error, help, allow: methods }) => {
            allow = methods;
            let text = serde_json::to_string(&RefusalView { error, help }).expect("a view is plain data");
            (status, JSON, (text + "\n").into())
        }
    };
    let mut response = http_response(method, status, kind, body);
    if is_page {
        let policy = HeaderValue::from_static(PAGE_POLICY);
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    }
    if let Some(allow) = allow {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    }
    response
}

/// Renders a refusal.
pub(super) fn refuse(refusal: Refusal, method: &Method) -> HttpResponse {
    render(DeskAnswer::Refused(refusal), method)
}
