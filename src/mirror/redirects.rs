//! Redirects of a mirror to the place that stores its blobs, as registries on a bucket send them.
//!
//! **Invariants**: pure; only https is followed, and never to a host that leads back to mirrors or to the canonical registry.
//! **Not here**: the requests ([`crate::probe`], [`crate::http`]).
//!
//! RFC 9110 §10.2.2 (Location), §15.4 (redirections).

use std::net::IpAddr;
use std::sync::Arc;

use super::template::HttpsUrl;

/// The treatment of redirects for a blob.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Redirects {
    /// A redirect means that the mirror lacks the blob.
    #[default]
    Refused,
    /// A redirect means that the mirror has the blob, unless it leads to one of these hosts.
    Followed {
        /// The hosts of canonical and of the steered name.
        except: Box<[Arc<str>]>,
    },
}

/// The target of a redirect.
pub(crate) type RedirectTarget = HttpsUrl<String>;

/// The reason why a redirect is not followed to a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedirectFault {
    /// `Location` is no URL of https with a host name.
    NotHttps,
    /// Too many redirects, one after the other.
    TooMany,
    /// The host of the target has no address.
    NoAddress,
    /// The host of the target has this address, which is reserved.
    Refused(IpAddr),
}

impl Redirects {
    /// The target of a redirect; `None` if redirects are not followed, or not to this host.
    pub(crate) fn target(&self, location: &str) -> Option<Result<RedirectTarget, RedirectFault>> {
        let Redirects::Followed { except } = self else { return None };
        match RedirectTarget::parse(location) {
            Some(target) if except.contains(&target.host) => None,
            Some(target) => Some(Ok(target)),
            None => Some(Err(RedirectFault::NotHttps)),
        }
    }

    /// Returns whether a response with this status and `Location` says that the mirror has the blob.
    pub(crate) fn has(&self, status: u16, location: Option<&str>) -> bool {
        is_redirect(status) && location.and_then(|location| self.target(location)).is_some_and(|target| target.is_ok())
    }
}

/// Returns whether a status is that of a redirect, which clients follow.
pub(crate) fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

impl RedirectTarget {
    fn parse(location: &str) -> Option<Self> {
        if !location.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let scheme = location.get(..8).filter(|scheme| scheme.eq_ignore_ascii_case("https://"))?;
        let rest = &location[scheme.len()..];
        // A fragment is for the client (RFC 9110 §10.2.2).
        let rest = rest.split('#').next().unwrap_or(rest);
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let authority = authority.to_ascii_lowercase();
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, port.parse().ok().filter(|port| *port != 0)?),
            None => (&*authority, 443),
        };
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if host.is_empty() || !host.bytes().all(is_host) || host.parse::<IpAddr>().is_ok() {
            return None;
        }
        let path = if path.starts_with('/') { path.to_string() } else { format!("/{path}") };
        let authority = if port == 443 { host.into() } else { authority.as_str().into() };
        Some(RedirectTarget { host: host.into(), port, authority, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(location: &str) -> Option<(String, u16, String, String)> {
        let target = RedirectTarget::parse(location)?;
        Some((target.host.to_string(), target.port, target.authority.to_string(), target.path))
    }

    #[test]
    fn a_target_is_a_url_of_https_with_a_host_name() {
        let of = |host: &str, port, authority: &str, path: &str| {
            Some((host.to_string(), port, authority.to_string(), path.to_string()))
        };
        assert_eq!(
            parsed("https://B.example/x/sha256:1?X-Sig=a%2Fb#f"),
            of("b.example", 443, "b.example", "/x/sha256:1?X-Sig=a%2Fb")
        );
        assert_eq!(parsed("HTTPS://b.example:443"), of("b.example", 443, "b.example", "/"));
        assert_eq!(parsed("https://b.example:8443?q"), of("b.example", 8443, "b.example:8443", "/?q"));
        for location in [
            "http://b.example/x",
            "/x",
            "x",
            "https:///x",
            "https://192.0.2.1/x",
            "https://[::1]/x",
            "https://user@b.example/",
            "https://b.example:0/",
            "https://b.example:x/",
            "https://b.example/a b",
            "ftp://b.example/",
            "https://",
            "",
        ] {
            assert_eq!(parsed(location), None, "{location}");
        }
    }

    #[test]
    fn a_redirect_to_canonical_says_that_the_blob_is_missing() {
        let follow = Redirects::Followed { except: ["canonical.example".into()].into() };
        let has = |redirects: &Redirects, location| redirects.has(307, Some(location));
        assert!(has(&follow, "https://bucket.example/x") && !has(&Redirects::Refused, "https://bucket.example/x"));
        assert!(!has(&follow, "https://Canonical.example/x") && !has(&follow, "http://bucket.example/x"));
        assert!(!follow.has(200, Some("https://bucket.example/x")) && !follow.has(302, None));
    }
}
