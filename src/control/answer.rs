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
    /// A JSON document.
    Json(StatusCode, Bytes),
    /// A page without scripts.
    Html(String),
    Ready(Option<Cow<'static, str>>),
}

impl DeskAnswer {
    pub(super) fn json(view: &impl Serialize) -> Self {
        DeskAnswer::Json(StatusCode::OK, document(view))
    }

    /// The outcome of a reload or of a fetch, which may be refused in part or as a whole.
    pub(super) fn outcome(view: &impl Serialize, is_refused: bool) -> Self {
        let status = if is_refused { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
        DeskAnswer::Json(status, document(view))
    }
}

/// A view as a JSON document.
pub(super) fn document(view: &impl Serialize) -> Bytes {
    Bytes::from(serde_json::to_string(view).expect("a view is plain data") + "\n")
}

/// Renders the response to a request of a method.
pub(super) fn render(answer: Result<DeskAnswer, Refusal>, method: &Method) -> HttpResponse {
    const JSON: &str = "application/json";
    const TEXT: &str = "text/plain; charset=utf-8";
    const HTML: &str = "text/html; charset=utf-8";
    let mut header = None;
    let (status, kind, body) = match answer {
        Ok(DeskAnswer::Json(status, json)) => (status, JSON, json),
        Ok(DeskAnswer::Html(page)) => {
            header = Some((CONTENT_SECURITY_POLICY, PAGE_POLICY));
            (StatusCode::OK, HTML, page.into())
        }
        Ok(DeskAnswer::Ready(None)) => (StatusCode::OK, TEXT, Bytes::from_static(b"ready\n")),
        Ok(DeskAnswer::Ready(Some(obstacle))) => {
            (StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{obstacle}\n").into())
        }
        Err(Refusal { status, error, help, allow }) => {
            header = allow.map(|methods| (ALLOW, methods));
            (status, JSON, document(&RefusalView { error, help }))
        }
    };
    let mut response = http_response(method, status, kind, body);
    if let Some((name, value)) = header {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
