//! The status page of the admin listener: one static document, which asks the listener for its data.
//!
//! **Invariants**: the document has no data, so every client may have it; a browser runs its one script and no other, and asks no
//! other host.
//! **Not here**: the data ([`crate::control`]), access to it ([`super::admin`]).
//!
//! Content Security Policy Level 3 (W3C).

use data_encoding::BASE64;
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::http::request::Parts;
use ring::digest::{SHA256, digest};

use super::HttpResponse;
use crate::listen::http_response;

/// The document.
const PAGE: &str = include_str!("page/status.html");

/// The header by which a browser keeps a response from pages of other origins (Fetch standard).
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// The page with its policy.
pub(super) struct StatusDocument {
    policy: HeaderValue,
}

impl StatusDocument {
    /// Computes the hashes of its script and its style.
    pub(super) fn new() -> Self {
        let [script, style] = ["script", "style"].map(|name| hash(content(PAGE, name).unwrap_or_default()));
        let policy = format!(
            "default-src 'none'; script-src '{script}'; style-src '{style}'; connect-src 'self'; img-src data:; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        );
        StatusDocument { policy: HeaderValue::try_from(policy).expect("a policy is plain ASCII") }
    }

    /// The response to a request for the page.
    pub(super) fn response(&self, head: &Parts) -> HttpResponse {
        let body = Bytes::from_static(PAGE.as_bytes());
        let mut response = http_response(&head.method, StatusCode::OK, "text/html; charset=utf-8", body);
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, self.policy.clone());
        for_own_pages(response)
    }
}

/// Keeps a response from caches and from the pages of other origins.
pub(super) fn for_own_pages(mut response: HttpResponse) -> HttpResponse {
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    response
}

/// The content of the first element of a name that has no attributes.
fn content<'p>(page: &'p str, name: &str) -> Option<&'p str> {
    let (_, rest) = page.split_once(&format!("<{name}>"))?;
    Some(rest.split_once(&format!("</{name}>"))?.0)
}

/// The hash of an element's content, as a policy has it.
fn hash(content: &str) -> String {
    format!("sha256-{}", BASE64.encode(digest(&SHA256, content.as_bytes()).as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The longest page, in bytes. A browser has it once for each tab, and a phone at 1 Mbit/s in 0.7 s; code by hand that is longer
    /// would be time to divide the page.
    const MAX_LEN: usize = 88 << 10;

    #[test]
    fn the_page_has_one_script_and_one_style_and_asks_no_other_host() {
        for name in ["script", "style"] {
            assert!(content(PAGE, name).is_some_and(|content| !content.trim().is_empty()), "{name}");
            // An element with attributes would not be run, because its hash is in no policy.
            assert_eq!(PAGE.matches(&format!("<{name}")).count(), 1, "{name}");
        }
        assert!(PAGE.len() <= MAX_LEN, "{} bytes", PAGE.len());
        // The name of a namespace is no address; a reference to another host is.
        for reference in ["src=\"http", "href=\"http", "src=\"//", "href=\"//", "url(http", "url(//", "@import"] {
            assert!(!PAGE.contains(reference), "{reference}");
        }
        // Handlers and styles in attributes would be refused by the policy.
        for attribute in [" onclick=", " onload=", " onerror=", " style=", "javascript:"] {
            assert!(!PAGE.contains(attribute), "{attribute}");
        }
    }

    #[test]
    fn the_policy_has_the_hashes_of_both() {
        // SHA-256 of the empty text, as the standard's examples write it.
        assert_eq!(hash(""), "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
        let policy = StatusDocument::new().policy.to_str().unwrap().to_string();
        let script = format!("script-src '{}';", hash(content(PAGE, "script").unwrap()));
        let style = format!("style-src '{}';", hash(content(PAGE, "style").unwrap()));
        assert!(policy.contains(&script) && policy.contains(&style), "{policy}");
        assert!(policy.starts_with("default-src 'none'; ") && policy.ends_with("frame-ancestors 'none'"), "{policy}");
    }
}
