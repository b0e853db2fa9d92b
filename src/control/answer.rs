//! Answers of the desk as HTTP responses.
//!
//! **Invariants**: the body of every answer but that of `/ready` is a JSON document; the response to HEAD has the headers of that to
//! GET.
//! **Not here**: the documents ([`super::view`]).

use std::borrow::Cow;

use hyper::body::Bytes;
use hyper::header::{ALLOW, HeaderValue};
use hyper::{Method, StatusCode};
use serde::Serialize;

use super::request::Refusal;
use super::view::RefusalView;
use crate::listen::{HttpResponse, http_response};

/// The content of a response.
pub(super) enum DeskAnswer {
    Json(String),
    Rulings(Bytes),
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
    let (status, kind, body) = match answer {
        DeskAnswer::Json(text) => (StatusCode::OK, JSON, text.into()),
        DeskAnswer::Rulings(json) => (StatusCode::OK, JSON, json),
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
    if let Some(allow) = allow {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    }
    response
}

/// Renders a refusal.
pub(super) fn refuse(refusal: Refusal, method: &Method) -> HttpResponse {
    render(DeskAnswer::Refused(refusal), method)
}
