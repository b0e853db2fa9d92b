//! The host that a request names.
//!
//! **Invariants**: a request of HTTP/1.1 or later with no host, with two hosts, or with an invalid host is refused on
//! every listener, before its handler sees it.
//! **Not here**: the names of a listener (its handler).
//!
//! RFC 9112 §3.2 (`Host`), RFC 9113 §8.3.1 (`:authority`).

use hyper::Version;
use hyper::header::{HOST, HeaderValue};
use hyper::http::request::Parts;
use hyper::http::uri::Authority;

/// A request does not name one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MalformedHost;

/// The host that a request names, with its port; `None` if it names no host and need not.
pub(super) fn authority(head: &Parts) -> Result<Option<Authority>, MalformedHost> {
    let mut written = head.headers.get_all(HOST).iter();
    let header = match (written.next(), written.next()) {
        (_, Some(_)) => return Err(MalformedHost),
        (Some(value), None) => Some(parse(value)?),
        (None, None) => None,
    };
    let target = head.uri.authority().cloned();
    if target.as_ref().is_some_and(|target| target.as_str().contains('@')) {
        return Err(MalformedHost);
    }
    match (head.version, target, header) {
        (Version::HTTP_2, Some(target), Some(Some(host))) if target != host => Err(MalformedHost),
        (Version::HTTP_2, None, None) | (Version::HTTP_11, _, None) => Err(MalformedHost),
        // RFC 9112 §3.2.2: the absolute form wins over the header.
        (_, target, host) => Ok(target.or(host.flatten())),
    }
}

/// RFC 9110 §7.2: `uri-host [ ":" port ]`, without a user; empty if the target has no authority.
fn parse(value: &HeaderValue) -> Result<Option<Authority>, MalformedHost> {
    if value.is_empty() {
        return Ok(None);
    }
    let authority = Authority::try_from(value.as_bytes()).map_err(|_| MalformedHost)?;
    let has_user = authority.as_str().contains('@');
    let port_fits = authority.as_str().len() == authority.host().len() || authority.port().is_some();
    if has_user || !port_fits || authority.host().is_empty() { Err(MalformedHost) } else { Ok(Some(authority)) }
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn of(version: Version, target: &str, hosts: &[&str]) -> Result<Option<String>, MalformedHost> {
        let mut request = Request::builder().version(version).uri(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        authority(&head).map(|found| found.map(|authority| authority.to_string()))
    }

    fn is(host: &str) -> Result<Option<String>, MalformedHost> {
        Ok(Some(host.to_string()))
    }

    #[test]
    fn rfc9112_s3_2_http_1_1_has_one_valid_host() {
        let of = |hosts: &[&str]| of(Version::HTTP_11, "/v2/", hosts);
        for host in ["registry.example", "registry.example:8080", "192.0.2.1", "[2001:db8::1]:443"] {
            assert_eq!(of(&[host]), is(host));
        }
        assert_eq!(of(&[""]), Ok(None));
        let wrong: [&[&str]; 8] = [&[], &["a", "a"], &["a", "b"], &["a@b"], &["a:x"], &["a b"], &["a/b"], &[":80"]];
        for hosts in wrong {
            assert_eq!(of(hosts), Err(MalformedHost), "{hosts:?}");
        }
    }

    #[test]
    fn http_1_0_needs_none() {
        assert_eq!(of(Version::HTTP_10, "/", &[]), Ok(None));
        assert_eq!(of(Version::HTTP_10, "/", &["a"]), is("a"));
        assert_eq!(of(Version::HTTP_10, "/", &["a", "b"]), Err(MalformedHost));
    }

    #[test]
    fn rfc9112_s3_2_2_the_absolute_form_wins() {
        assert_eq!(of(Version::HTTP_11, "http://a.example/", &["b.example"]), is("a.example"));
        assert_eq!(of(Version::HTTP_11, "http://a.example/", &[]), Err(MalformedHost));
    }

    #[test]
    fn rfc9113_s8_3_1_authority_and_host_agree() {
        assert_eq!(of(Version::HTTP_2, "http://a.example/", &[]), is("a.example"));
        assert_eq!(of(Version::HTTP_2, "http://a.example/", &["A.example"]), is("a.example"));
        assert_eq!(of(Version::HTTP_2, "/", &["a.example"]), is("a.example"));
        assert_eq!(of(Version::HTTP_2, "http://a.example/", &["b.example"]), Err(MalformedHost));
        assert_eq!(of(Version::HTTP_2, "/", &[]), Err(MalformedHost));
    }
}
