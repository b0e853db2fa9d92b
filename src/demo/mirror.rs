//! The registries of the demonstration: a mirror has blobs, the canonical one has everything.
//!
//! **Invariants**: GET, HEAD and ranges are answered as the distribution specification says; an unknown path is
//! 404.
//! **Not here**: listening and limits ([`crate::http`]), certificates ([`crate::tls`]).
//!
//! OCI distribution specification v1.1 §pull; RFC 9110 §14 (ranges).

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, HeaderName, HeaderValue, RANGE};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use super::image::{Blob, Image, MANIFEST_TYPE, REPOSITORY, TAG};
use crate::base::ends::SocketEnds;
use crate::http::{Body, Handler, HttpResponse};
use crate::listen::http_response;

const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// Serves the image.
#[derive(Debug)]
pub(super) struct DemoRegistry {
    pub(super) image: Image,
    /// True if it has manifests beside blobs.
    pub(super) has_manifests: bool,
}

impl DemoRegistry {
    fn find(&self, path: &str) -> Option<(&Blob, &'static str)> {
        let Image { manifest, config, layer } = &self.image;
        let (kind, reference) =
            path.strip_prefix("/v2/")?.strip_prefix(REPOSITORY)?.strip_prefix('/')?.split_once('/')?;
        match kind {
            "blobs" => {
                let blob = [config, layer].into_iter().find(|blob| blob.digest == reference)?;
                Some((blob, "application/octet-stream"))
            }
            "manifests" if self.has_manifests && (reference == TAG || reference == manifest.digest) => {
                Some((manifest, MANIFEST_TYPE))
            }
            _ => None,
        }
    }
}

impl Handler for DemoRegistry {
    type Answer = HttpResponse;
    const RESPONSE_LEN: usize = 64 << 10;

    fn respond(&self, head: &Parts, _: &Body, _: &SocketEnds) -> HttpResponse {
        if !matches!(head.method, Method::GET | Method::HEAD) {
            return plain(StatusCode::METHOD_NOT_ALLOWED);
        }
        let Some((blob, kind)) = self.find(head.uri.path()) else { return plain(StatusCode::NOT_FOUND) };
        let size = blob.octets.len();
        let range = head.headers.get(RANGE).and_then(|range| range.to_str().ok()).and_then(|range| parse(range, size));
        let (status, part) = match range {
            Some(Some((first, last))) => (StatusCode::PARTIAL_CONTENT, blob.octets.slice(first..=last)),
            Some(None) => (StatusCode::RANGE_NOT_SATISFIABLE, Bytes::new()),
            None => (StatusCode::OK, blob.octets.clone()),
        };
        let mut response = http_response(&head.method, status, kind, part);
        let headers = response.headers_mut();
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(DIGEST, HeaderValue::try_from(&blob.digest).expect("a digest is printable: digest_of"));
        let shown = match range {
            Some(Some((first, last))) => format!("bytes {first}-{last}/{size}"),
            Some(None) => format!("bytes */{size}"),
            None => return response,
        };
        headers.insert(CONTENT_RANGE, HeaderValue::try_from(shown).expect("digits are printable"));
        response
    }
}

fn plain(status: StatusCode) -> HttpResponse {
    let mut response = HttpResponse::new(Full::new(Bytes::new()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_LENGTH, 0.into());
    response
}

/// The first and last byte of the requested range; `Some(None)` if the range is empty; `None` if the header is to be ignored,
/// as servers may do with several ranges and with other units (RFC 9110 §14.2).
fn parse(range: &str, size: usize) -> Option<Option<(usize, usize)>> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last) = match (first, last) {
        ("", suffix) => (size.saturating_sub(suffix.parse().ok()?), size.checked_sub(1)?),
        (first, "") => (first.parse().ok()?, size.checked_sub(1)?),
        (first, last) => (first.parse().ok()?, last.parse::<usize>().ok()?.min(size.checked_sub(1)?)),
    };
    Some((first <= last && first < size).then_some((first, last)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_exact() {
        assert_eq!(parse("bytes=0-0", 10), Some(Some((0, 0))));
        assert_eq!(parse("bytes=3-", 10), Some(Some((3, 9))));
        assert_eq!(parse("bytes=3-99", 10), Some(Some((3, 9))));
        assert_eq!(parse("bytes=-4", 10), Some(Some((6, 9))));
        assert_eq!(parse("bytes=-40", 10), Some(Some((0, 9))));
        assert_eq!(parse("bytes=10-", 10), Some(None));
        assert_eq!(parse("bytes=-0", 10), Some(None));
        assert_eq!(parse("bytes=0-1,4-5", 10), None);
        assert_eq!(parse("lines=0-1", 10), None);
    }
}
