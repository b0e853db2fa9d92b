//! URLs of registries and pages.
//!
//! **Invariants**: each refusal shows the right form.
//! **Not here**: resolving their hosts.

use std::net::IpAddr;
use std::sync::Arc;

use super::{Fault, host_name, is_host};
use crate::base::text::parse_digits;
use crate::mirror::{BadTemplate, Template, TemplateValues, UrlTemplate};
use crate::registry::{is_prefix, is_repository, is_reserved};

/// A base URL to which request paths are appended: `https://host[:port][/some/repo]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UpstreamConfig {
    /// `https` or `http`.
    pub(crate) scheme: Arc<str>,
    /// The host, and the port if it is not the scheme's own.
    pub(crate) authority: Arc<str>,
    /// The repository prefix without slashes at its ends; empty if there is no prefix.
    pub(crate) path: Arc<str>,
}

impl UpstreamConfig {
    /// The host; an IPv6 address without brackets.
    pub(crate) fn host(&self) -> &str {
        let host = host_of(self);
        bracketed(host).unwrap_or(host)
    }

    /// The port.
    pub(crate) fn port(&self) -> u16 {
        let own = if &*self.scheme == "https" { 443 } else { 80 };
        split_port(&self.authority).1.and_then(port).unwrap_or(own)
    }
}

/// The parts of a URL.
struct Url<'a> {
    scheme: &'static str,
    /// Lower case, without the scheme's own port.
    authority: String,
    /// Path, query and fragment.
    rest: &'a str,
}

fn url(text: &str) -> Result<Url<'_>, Fault> {
    printable(text, "{}")?;
    url_with_braces(text)
}

/// The fault of a character that no URL has; `also` are refused too.
fn printable(text: &str, also: &str) -> Result<(), Fault> {
    match text.chars().find(|&c| !c.is_ascii_graphic() || "\"<>\\^`|".contains(c) || also.contains(c)) {
        Some(odd) => Err(Fault::new(
            "bad-url",
            format!("`{text}` has {odd:?} in it"),
            "not such a URL",
            "write other characters as `%` and two hex digits",
        )),
        None => Ok(()),
    }
}

/// The parts of a URL whose path may have placeholders.
fn url_with_braces(text: &str) -> Result<Url<'_>, Fault> {
    let bad = |why: &str, help: &str| Fault::new("bad-url", format!("`{text}` {why}"), "not such a URL", help);
    let form = "write it like `https://registry.example.com`";
    let (scheme, rest) = text.split_once("://").ok_or_else(|| {
        let host = text.split(['/', ':']).next().unwrap_or_default();
        if is_host(host) {
            bad("has no scheme", &format!("write `https://{text}`"))
        } else {
            bad("has no scheme", form)
        }
    })?;
    let (scheme, own_port) = match scheme.to_ascii_lowercase().as_str() {
        "https" => ("https", 443),
        "http" => ("http", 80),
        _ => return Err(bad("is neither https nor http", form)),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    if authority.contains('@') {
        return Err(bad("has a user in it", "remove user and password: all clients are sent to this URL"));
    }
    let (host, written) = split_port(authority);
    let port = written.and_then(port);
    if port.is_none() && written.is_some() {
        return Err(bad("has a bad port", "ports are numbers from 1 to 65535"));
    }
    let host = match bracketed(host) {
        Some(v6) if v6.parse::<std::net::Ipv6Addr>().is_ok() => host.to_ascii_lowercase(),
        None if is_host(host.strip_suffix('.').unwrap_or(host)) => {
            host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
        }
        _ => return Err(bad("has no valid host", form)),
    };
    let authority = match port {
        Some(port) if port != own_port => format!("{host}:{port}"),
        _ => host,
    };
    Ok(Url { scheme, authority, rest })
}

/// The URL of a source, or of its digest.
pub(in crate::config) fn fetch_url(text: &str) -> Result<Arc<str>, Fault> {
    let bad = |why: &str, help: &str| Fault::new("bad-url", format!("`{text}` {why}"), "not such a URL", help);
    if text == "azure" {
        return Err(bad("is for `feed = \"azure\"` alone", "write the URL of the file"));
    }
    if text.split_once("://").is_some_and(|(_, rest)| rest.split(['/', '?']).next().unwrap_or_default().contains('@')) {
        // The message does not repeat the password.
        let message = "the URL has a user in it".to_string();
        return Err(Fault::new("bad-url", message, "not such a URL", "write `account` and `key-file`"));
    }
    let Url { scheme, authority, rest } = url(text)?;
    if rest.contains('#') {
        return Err(bad("has a fragment", "leave it out: it is not sent"));
    }
    let fetched: Arc<str> =
        format!("{scheme}://{authority}{}{rest}", if rest.starts_with('/') { "" } else { "/" }).into();
    if scheme == "https" || is_local_url(&fetched) {
        Ok(fetched)
    } else {
        Err(bad("is not https", "write `https://…`: content that was changed on its way would move clients"))
    }
}

/// The URL of a proxy.
pub(in crate::config) fn proxy(text: &str) -> Result<Arc<str>, Fault> {
    let bad = |why: &str| {
        let help = "write `http://HOST:PORT`: fetches over https pass through it by CONNECT";
        Fault::new("bad-url", format!("`{text}` {why}"), "not a proxy", help)
    };
    let Url { scheme, authority, rest } = url(text)?;
    if scheme == "http" && matches!(rest, "" | "/") {
        Ok(format!("http://{authority}").into())
    } else {
        Err(bad("is not the URL of a proxy"))
    }
}

/// True for a URL on this machine.
pub(in crate::config) fn is_local_url(text: &str) -> bool {
    url(text).is_ok_and(|url| is_loopback(split_port(&url.authority).0))
}

/// True for a host on this machine: `localhost` and names below it (RFC 6761 §6.3), 127.0.0.0/8, ::1.
pub(crate) fn is_loopback(host: &str) -> bool {
    let host = bracketed(host).unwrap_or(host);
    match host.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

/// A base URL to which request paths are appended.
pub(in crate::config) fn upstream(text: &str) -> Result<UpstreamConfig, Fault> {
    let Url { scheme, authority, rest } = url(text)?;
    let bad = |why: &str, help: &str| Err(Fault::new("bad-url", format!("`{text}` {why}"), "not a base URL", help));
    if rest.contains(['?', '#']) {
        return bad("has a query or fragment", "leave it out: request paths are appended to this URL");
    }
    let path = rest.trim_matches('/');
    if path.split('/').any(|segment| matches!(segment, "." | "..")) || path.contains("//") {
        return bad("has an odd path", "write the path of a repository, like `https://host/some/repo`");
    }
    // Other programs want `https://host/v2` as base of the API; here `/v2/` is put before the repository.
    if path == "v2" || path.starts_with("v2/") {
        return bad(
            "begins its path with `v2`",
            "leave `v2` out: requests go to `https://host/v2/some/repo/…` by themselves",
        );
    }
    Ok(UpstreamConfig { scheme: scheme.into(), authority: authority.into(), path: path.into() })
}

/// The URL of content at a mirror.
pub(in crate::config) fn mirror_url(text: &str) -> Result<UrlTemplate, Fault> {
    let form = "write it like `https://bucket.example.com/containers/images/{digest}`";
    let url = url_template(text, "not the URL of a mirror")?;
    if url.path.has_digest() {
        return Ok(url);
    }
    let message = format!("`{text}` is the same for all content");
    Err(Fault::new("bad-url", message, "not the URL of a mirror", form))
}

/// The target of a further path.
pub(in crate::config) fn path_target(text: &str) -> Result<UrlTemplate, Fault> {
    let bad = |why: &str, help: &str| Fault::new("bad-url", format!("`{text}` {why}"), "not such a target", help);
    let url = url_template(text, "not such a target")?;
    if url.fill(&TemplateValues { blob: None, path: "", rest: "" }).is_none() {
        return Err(bad("has a placeholder that only blobs have", "the placeholders are `{rest}` and `{path}`"));
    }
    if !url.path.has_digest() {
        return Err(bad("is the same for all paths", "write it like `https://files.example.com/binaries/{rest}`"));
    }
    Ok(url)
}

/// The beginning of further paths.
pub(in crate::config) fn path_prefix(text: &str) -> Result<Arc<str>, Fault> {
    if is_prefix(text) {
        return Ok(text.into());
    }
    let bad = |why: &str, help: &str| Fault::new("bad-path", format!("`{text}` {why}"), "not such a prefix", help);
    Err(if is_reserved(text) || is_reserved(&format!("{text}/")) {
        bad("is not for redirects", "`/`, `/v2/`, `/healthz` and `/privacy…` keep their meaning; choose another prefix")
    } else if !text.starts_with('/') || !text.ends_with('/') {
        let path = text.split_once("://").map_or(text, |(_, rest)| rest.split_once('/').map_or("", |(_, path)| path));
        bad("has no slash at both ends", &format!("write `/{}/`", path.trim_matches('/')))
    } else {
        bad("is no plain path", "write letters, digits and `-._~+,=:` between single slashes, without `.` and `..`")
    })
}

/// A URL with placeholders in its path; `label` says what the text is not.
fn url_template(text: &str, label: &'static str) -> Result<UrlTemplate, Fault> {
    let bad = |why: &str, help: &str| Fault::new("bad-url", format!("`{text}` {why}"), label, help);
    printable(text, "")?;
    let Url { scheme, authority, rest } = url_with_braces(text).map_err(|fault| match text.split_once("://") {
        Some((_, rest)) if rest.split('/').next().is_some_and(|host| host.contains(['{', '}'])) => {
            bad("has a placeholder in its host", "write placeholders in the path: no request may choose the host")
        }
        _ => fault,
    })?;
    if scheme != "https" {
        return Err(bad("is not https", "serve it over https: clients check its certificate"));
    }
    let upstream = UpstreamConfig { scheme: scheme.into(), authority: authority.into(), path: "".into() };
    let host = host_name(host_of(&upstream))
        .map_err(|_| bad("has an address as its host", "write a host name: its certificate is for it"))?;
    if rest.contains('#') {
        return Err(bad("has a fragment", "leave it out: clients do not send it"));
    }
    let path = if rest.starts_with('/') { rest.to_string() } else { format!("/{rest}") };
    let path = content_path(&path, text)?;
    Ok(UrlTemplate { host, port: upstream.port(), authority: upstream.authority, path })
}

/// The path of a blob at a mirror.
pub(in crate::config) fn mirror_path(text: &str) -> Result<Template, Fault> {
    let form = "write it like `/containers/images/{digest}`";
    let bad = |why: &str, help: &str| Fault::new("bad-path", format!("`{text}` {why}"), "not a path", help);
    if !text.starts_with('/') || text.contains(['?', '#']) {
        return Err(bad("is not the path of a URL", form));
    }
    printable(text, "").map_err(|_| bad("has characters that no path has", form))?;
    let path = content_path(text, text)?;
    if path.has_digest() { Ok(path) } else { Err(bad("is the same for all blobs", form)) }
}

/// A path with placeholders; `written` is the text that has it.
fn content_path(path: &str, written: &str) -> Result<Template, Fault> {
    let bad = |why: &str, help: &str| Fault::new("bad-path", format!("`{written}` {why}"), "not such a path", help);
    if path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(bad("has a dot segment", "write the path that the mirror serves"));
    }
    Template::parse(path).map_err(|error| match &error {
        BadTemplate::Brace => {
            bad(&error.to_string(), "write placeholders like `{digest}`, and braces as `%7B` and `%7D`")
        }
        BadTemplate::Unknown(_) => bad(
            &error.to_string(),
            "the placeholders are `{digest}`, `{algorithm}`, `{hex}`, `{name}`, `{path}` and `{rest}`",
        ),
    })
}

/// The name of a repository.
pub(in crate::config) fn repository(text: &str) -> Result<Arc<str>, Fault> {
    if is_repository(text) {
        return Ok(text.into());
    }
    let help = match text {
        _ if text.contains("://") => "leave the registry out: `https://registry.example.com/pause` is `pause`",
        _ if text.contains([':', '@']) => "leave tag, digest and port out: `pause:3.9` is `pause`",
        _ if text.starts_with('/') || text.ends_with('/') => "leave the slashes at its ends out",
        _ => {
            "write lower-case letters and digits, with `.`, `_`, `-` between them and `/` between parts, like `some/pause`"
        }
    };
    Err(Fault::new("bad-repository", format!("`{text}` is not the name of a repository"), "not such a name", help))
}

/// The URL of a page.
pub(in crate::config) fn page(text: &str) -> Result<Arc<str>, Fault> {
    url(text).map(|_| text.into())
}

/// The URL of an ACME account, as a parameter of a CAA record (RFC 8659 §4.2: a semicolon ends the parameter).
pub(in crate::config) fn account_page(text: &str) -> Result<Arc<str>, Fault> {
    if text.contains(';') {
        let message = format!("`{text}` has ';' in it");
        return Err(Fault::new("bad-url", message, "not the URL of an account", "write the URL that the client shows"));
    }
    page(text)
}

/// The host of a URL over plain HTTP, an IPv6 address with its brackets. `None` for https, and for a text that is no URL.
pub(in crate::config) fn plain_host(text: &str) -> Option<String> {
    let Url { scheme, authority, .. } = url(text).ok()?;
    (scheme == "http").then(|| split_port(&authority).0.to_string())
}

/// The host of an upstream.
pub(in crate::config) fn host_of(upstream: &UpstreamConfig) -> &str {
    split_port(&upstream.authority).0
}

/// A host, an IPv6 address with its brackets, and its port as written.
pub(in crate::config) fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

/// A port that can be connected to, in digits alone.
pub(in crate::config) fn port(text: &str) -> Option<u16> {
    parse_digits(text).filter(|port| *port > 0)
}

/// The text in brackets.
pub(in crate::config) fn bracketed(text: &str) -> Option<&str> {
    text.strip_prefix('[')?.strip_suffix(']')
}

#[cfg(test)]
mod tests {
    use super::super::tests::fault;
    use super::*;

    #[test]
    fn base_urls_are_taken_apart() {
        let upstream = |text| upstream(text).unwrap();
        let expect = |scheme: &str, authority: &str, path: &str| UpstreamConfig {
            scheme: scheme.into(),
            authority: authority.into(),
            path: path.into(),
        };
        assert_eq!(upstream("https://K8s.gcr.io"), expect("https", "k8s.gcr.io", ""));
        assert_eq!(upstream("https://blob.k8s.io:443/"), expect("https", "blob.k8s.io", ""));
        assert_eq!(upstream("http://[::1]:8080/some/repo/"), expect("http", "[::1]:8080", "some/repo"));
        assert_eq!(host_of(&upstream("http://[::1]")), "[::1]");
        assert_eq!(host_of(&upstream("https://blob.k8s.io:8443")), "blob.k8s.io");
    }

    #[test]
    fn urls_of_mirrors_have_placeholders_in_their_path() {
        let url = mirror_url("https://B.s3.example:8443/images/{digest}").unwrap();
        assert_eq!((&*url.host, url.port, &*url.authority), ("b.s3.example", 8443, "b.s3.example:8443"));
        assert_eq!(url.to_string(), "https://b.s3.example:8443/images/{digest}");
        assert_eq!(
            mirror_url("https://cdn.example:443/{name}/{hex}").unwrap().to_string(),
            "https://cdn.example/{name}/{hex}"
        );
        for (text, why) in [
            ("http://b.example/{digest}", "is not https"),
            ("https://{name}.example/{digest}", "placeholder in its host"),
            ("https://b.example:{hex}/{digest}", "placeholder in its host"),
            ("https://192.0.2.1/{digest}", "address as its host"),
            ("https://[2001:db8::1]/{digest}", "address as its host"),
            ("https://b.example/", "the same for all content"),
            ("https://b.example/{algorithm}", "the same for all content"),
            ("https://b.example/{tag}", "unknown placeholder `{tag}`"),
            ("https://b.example/{digest", "brace without"),
            ("https://b.example/../{digest}", "dot segment"),
            ("https://b.example/{digest}#x", "fragment"),
            ("https://b.example/ {digest}", "has ' ' in it"),
        ] {
            assert!(fault(mirror_url(text)).contains(why), "{text}: {}", fault(mirror_url(text)));
        }
        assert_eq!(mirror_path("/images/{digest}").unwrap().to_string(), "/images/{digest}");
        for text in ["images/{digest}", "/images", "/{digest}?x", "/a b/{digest}", "https://b.example/{digest}"] {
            assert!(fault(mirror_path(text)).starts_with("bad-path"), "{text}");
        }
    }

    #[test]
    fn urls_that_are_none_say_why() {
        for (text, why) in [
            ("k8s.gcr.io", "has no scheme"),
            ("ftp://k8s.gcr.io", "neither https nor http"),
            ("https://", "no valid host"),
            ("https://a b", "has ' ' in it"),
            ("https://user:pw@host", "has a user"),
            ("https://host:0", "bad port"),
            ("https://host:", "bad port"),
            ("https://host:+80", "bad port"),
            ("https://[::1", "no valid host"),
            ("https://-x.example", "no valid host"),
            ("https://host/?q", "query or fragment"),
            ("https://host/../x", "odd path"),
            ("https://host/v2/", "begins its path with `v2`"),
        ] {
            assert!(fault(upstream(text)).contains(why), "{text}: {}", fault(upstream(text)));
        }
        assert!(page("https://example.com/privacy?lang=en#top").is_ok());
    }
}
