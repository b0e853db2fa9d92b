//! Text to value: addresses, prefixes, names, URLs and codes of places.
//!
//! **Invariants**: a [`Fault`] says what is wrong and how it is written right.
//! **Not here**: where a value stands ([`super::reader`]), what refers to what ([`super::check`]).

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use super::{Upstream, limits};
use crate::base::diagnostic::{Diagnostic, Place, nearest};
use crate::base::name::{NameBuf, NameError};
use crate::base::prefix::{Prefix, PrefixError};
use crate::base::special;
use crate::base::text::is_hidden;

/// Why a text is not a value of its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    code: &'static str,
    message: String,
    label: &'static str,
    help: String,
}

impl Fault {
    fn new(code: &'static str, message: String, label: &'static str, help: impl Into<String>) -> Self {
        Fault { code, message, label, help: help.into() }
    }

    /// The fault as a diagnostic.
    pub(super) fn at(self, place: &Place) -> Diagnostic {
        Diagnostic::error(self.code, self.message).at(place.clone(), self.label).help(self.help)
    }
}

/// An address and port to listen on.
pub(super) fn socket_address(text: &str) -> Result<SocketAddr, Fault> {
    text.parse().map_err(|_| {
        let help = match text.rsplit_once(':') {
            _ if text.parse::<IpAddr>().is_ok_and(|address| address.is_ipv4()) => {
                format!("add the port: `{text}:PORT`")
            }
            Some((address, port)) if address.parse::<Ipv6Addr>().is_ok() && port.parse::<u16>().is_ok() => {
                format!("did you mean `[{address}]:{port}`? an IPv6 address is in brackets before its port")
            }
            _ if text.parse::<IpAddr>().is_ok() => format!("add the port: `[{text}]:PORT`"),
            Some(("", port)) => format!("write `0.0.0.0:{port}` for all IPv4 addresses, `[::]:{port}` for all of IPv6"),
            Some(("localhost", port)) => format!("write addresses: `127.0.0.1:{port}` and `[::1]:{port}`"),
            _ => "write an address and a port, like `127.0.0.1:5300` or `[::1]:5300`".to_string(),
        };
        Fault::new("bad-address", format!("`{text}` is not an address with a port"), "not a listen address", help)
    })
}

/// An address and port to listen on for DNS that is encrypted.
pub(super) fn encrypted_address(text: &str) -> Result<SocketAddr, Fault> {
    let address = socket_address(text)?;
    // RFC 7858 §3.1, RFC 9250 §4.1.1.
    if address.port() == 53 {
        return Err(Fault::new(
            "plain-port",
            format!("`{text}` has the port of unencrypted DNS"),
            "encrypted DNS must not be here",
            "use port 853 for TLS and QUIC, 443 for HTTPS",
        ));
    }
    Ok(address)
}

/// The path of a URI template (RFC 8484 §4.1).
pub(super) fn path(text: &str) -> Result<Arc<str>, Fault> {
    let allowed = |octet: u8| octet.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:@".contains(&octet);
    if text.starts_with('/') && text.len() <= 255 && text.bytes().all(allowed) {
        return Ok(text.into());
    }
    let help = "write a path like `/dns-query`; clients add `?dns=` themselves";
    Err(Fault::new("bad-path", format!("`{text}` is not the path of a URL"), "not a path", help))
}

/// An address at which a mirror is reached.
pub(super) fn mirror_address(text: &str) -> Result<IpAddr, Fault> {
    let address: IpAddr = text.parse().map_err(|_| {
        let help = if text.parse::<SocketAddr>().is_ok() {
            "write the address without a port; clients come to the port of the blobs URL"
        } else if text.contains('/') {
            "write one address, not a prefix"
        } else if NameBuf::parse(text).is_ok() && text.contains(|letter: char| letter.is_ascii_alphabetic()) {
            "write an address, or put the name under `host` to have it resolved"
        } else {
            "write an address like `192.0.2.10` or `2001:db8::10`"
        };
        Fault::new("bad-address", format!("`{text}` is not an address"), "not an address", help)
    })?;
    let Some(why) = special::impossible(address) else { return Ok(address) };
    let help = match address {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => "write an address that clients elsewhere can reach".to_string(),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => format!("write `{v4}`"),
            None => "write the mirror's own address".to_string(),
        },
        IpAddr::V4(_) => "write the mirror's own address".to_string(),
    };
    Err(Fault::new("unusable-address", format!("`{text}` is {why}"), "no mirror can be here", help))
}

/// A prefix.
pub(super) fn prefix(text: &str) -> Result<Prefix, Fault> {
    text.parse().map_err(|error: PrefixError| match error {
        PrefixError::HostBits(meant) => Fault::new(
            "bad-prefix",
            format!("`{text}` has bits set beyond its prefix length"),
            "not the start of its block",
            format!("write `{meant}`, or `{}` for the one address", text.split('/').next().unwrap_or(text)),
        ),
        other => Fault::new(
            "bad-prefix",
            format!("`{text}` is not a prefix: {other}"),
            "not a prefix",
            "write an address and a length, like `192.0.2.0/24` or `2001:db8::/32`",
        ),
    })
}

/// A prefix, or an address as the prefix that holds it alone.
pub(super) fn address_or_prefix(text: &str) -> Result<Prefix, Fault> {
    match text.parse::<IpAddr>() {
        Ok(address) => Ok(Prefix::holding(address, if address.is_ipv4() { 32 } else { 128 })),
        Err(_) => prefix(text),
    }
}

/// The name of an application protocol, as TLS has it (RFC 7301 §3.1).
pub(super) fn protocol(text: &str) -> Result<Arc<[u8]>, Fault> {
    if (1..=limits::MAX_PROTOCOL).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_graphic()) {
        return Ok(text.as_bytes().into());
    }
    let help = "write the names that TLS has for them, like `h2`, `h3` and `http/1.1`";
    Err(Fault::new("bad-protocol", format!("`{text}` is not the name of a protocol"), "not a protocol", help))
}

/// A domain name; all text is taken as absolute.
pub(super) fn domain_name(text: &str) -> Result<NameBuf, Fault> {
    if text.contains("://") {
        let help = "write the name alone, without scheme and path";
        return Err(Fault::new("bad-name", format!("`{text}` is a URL"), "not a domain name", help));
    }
    NameBuf::parse(text).map_err(|error| {
        let help = match error {
            _ if text.is_empty() => "write a name, like `blob.example.com`",
            NameError::BadCharacter(octet) if octet >= 0x80 => {
                "write an internationalised name in its ASCII form (`xn--…`)"
            }
            _ => "labels have 1 to 63 characters, with dots between them, and 253 characters in all",
        };
        Fault::new("bad-name", format!("`{text}` is not a domain name: {error}"), "not a domain name", help)
    })
}

/// A host name (RFC 1123 §2.1: letters, digits and hyphens), in lower case without the trailing dot.
pub(super) fn host_name(text: &str) -> Result<Arc<str>, Fault> {
    let bad = |help: &str| Fault::new("bad-name", format!("`{text}` is not a host name"), "not a host name", help);
    if text.parse::<IpAddr>().is_ok() {
        return Err(bad("put addresses under `addresses`"));
    }
    domain_name(text)?;
    if text.contains(':') {
        return Err(bad("write the host name alone, without a port"));
    }
    let host = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if is_host(&host) {
        Ok(host.into())
    } else {
        Err(bad("host names are labels of letters, digits and hyphens, with dots between them"))
    }
}

/// Underscores are not in RFC 1123 but in names that people use, and do no harm.
fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// A URL in its parts, as far as we look at them.
struct Url<'a> {
    scheme: &'static str,
    /// Lower case, without the scheme's own port.
    authority: String,
    /// All behind the authority.
    rest: &'a str,
}

fn url(text: &str) -> Result<Url<'_>, Fault> {
    let bad = |why: &str, help: &str| Fault::new("bad-url", format!("`{text}` {why}"), "not such a URL", help);
    let form = "write it like `https://registry.example.com`";
    if let Some(odd) = text.chars().find(|&c| !c.is_ascii_graphic() || "\"<>\\^`{|}".contains(c)) {
        return Err(bad(
            &format!("has {odd:?} in it"),
            "write only what a URL may hold; others as `%` and two hex digits",
        ));
    }
    let (scheme, rest) = text.split_once("://").ok_or_else(|| bad("has no scheme", form))?;
    let (scheme, own_port) = match scheme.to_ascii_lowercase().as_str() {
        "https" => ("https", 443),
        "http" => ("http", 80),
        _ => return Err(bad("is neither https nor http", form)),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    if authority.contains('@') {
        return Err(bad("has a user in it", "leave user and password out: everybody is sent there"));
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            let digits = !port.is_empty() && port.bytes().all(|octet| octet.is_ascii_digit());
            let port = digits.then(|| port.parse::<u16>().ok()).flatten().filter(|port| *port > 0);
            (host, Some(port.ok_or_else(|| bad("has a bad port", "ports are numbers from 1 to 65535"))?))
        }
        _ => (authority, None),
    };
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = match literal {
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

/// A base URL to which request paths are appended.
pub(super) fn upstream(text: &str) -> Result<Upstream, Fault> {
    let Url { scheme, authority, rest } = url(text)?;
    let bad = |why: &str, help: &str| Err(Fault::new("bad-url", format!("`{text}` {why}"), "not a base URL", help));
    if rest.contains(['?', '#']) {
        return bad("has a query or fragment", "leave it out: request paths are appended to this URL");
    }
    let path = rest.trim_matches('/');
    if path.split('/').any(|segment| matches!(segment, "." | "..")) || path.contains("//") {
        return bad("has an odd path", "write the path of a repository, like `https://host/some/repo`");
    }
    // `https://host/v2` is what the API's base is elsewhere; here `/v2/` is put before the repository.
    if path == "v2" || path.starts_with("v2/") {
        return bad(
            "begins its path with `v2`",
            "leave `v2` out: requests go to `https://host/v2/some/repo/…` by themselves",
        );
    }
    Ok(Upstream { scheme: scheme.into(), authority: authority.into(), path: path.into() })
}

/// The URL of a page.
pub(super) fn page(text: &str) -> Result<Arc<str>, Fault> {
    url(text).map(|_| text.into())
}

/// The host of an upstream.
pub(super) fn host_of(upstream: &Upstream) -> &str {
    match upstream.authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => host,
        _ => &upstream.authority,
    }
}

/// The port of an upstream.
pub(super) fn port_of(upstream: &Upstream) -> u16 {
    let own = if &*upstream.scheme == "https" { 443 } else { 80 };
    let written = upstream.authority.strip_prefix(host_of(upstream)).and_then(|rest| rest.strip_prefix(':'));
    written.and_then(|port| port.parse().ok()).unwrap_or(own)
}

/// A provider: a word in lower case.
pub(super) fn provider(text: &str) -> Result<Arc<str>, Fault> {
    let word = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || b"-_.".contains(&octet);
    if !text.is_empty() && text.bytes().all(word) {
        return Ok(text.into());
    }
    let lower = text.to_ascii_lowercase();
    let help = match !lower.is_empty() && lower.bytes().all(word) {
        true => format!("did you mean `{lower}`? providers are in lower case"),
        false => "providers are words in lower case: letters, digits, `-`, `_`, `.`".to_string(),
    };
    Err(Fault::new("bad-provider", format!("`{text}` is not a provider"), "not a provider", help))
}

/// A country: ISO 3166-1 alpha-2.
pub(super) fn country(text: &str) -> Result<Arc<str>, Fault> {
    let help = match text {
        "UK" => "did you mean `GB`? that is the code of the United Kingdom".to_string(),
        "EU" => "the European Union is not a country; did you mean `continent = \"EU\"`?".to_string(),
        _ if is_country(text) => return Ok(text.into()),
        _ if is_country(&text.to_ascii_uppercase()) => format!("did you mean `{}`?", text.to_ascii_uppercase()),
        _ => "countries are two letters in upper case, like `DE` (ISO 3166-1)".to_string(),
    };
    Err(Fault::new("bad-country", format!("`{text}` is not a country code"), "not a country code", help))
}

fn is_country(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|octet| octet.is_ascii_uppercase())
}

/// The continents by their codes.
const CONTINENTS: [(&str, &str); 7] = [
    ("AF", "Africa"),
    ("AN", "Antarctica"),
    ("AS", "Asia"),
    ("EU", "Europe"),
    ("NA", "North America"),
    ("OC", "Oceania"),
    ("SA", "South America"),
];

/// A continent's code.
pub(super) fn continent(text: &str) -> Result<Arc<str>, Fault> {
    if CONTINENTS.iter().any(|(code, _)| *code == text) {
        return Ok(text.into());
    }
    let folded = text.to_ascii_lowercase();
    let names = CONTINENTS.map(|(_, name)| name.to_ascii_lowercase());
    let by_code = CONTINENTS.iter().find(|(code, _)| code.eq_ignore_ascii_case(text));
    let near = nearest(&folded, names.iter().map(String::as_str)).and_then(|near| names.iter().position(|n| n == near));
    let meant =
        by_code.or(near.map(|at| &CONTINENTS[at])).map(|(code, name)| format!("did you mean `{code}` ({name})? "));
    let codes = CONTINENTS.map(|(code, _)| format!("`{code}`")).join(", ");
    let help = format!("{}continents: {codes}", meant.unwrap_or_default());
    Err(Fault::new("bad-continent", format!("`{text}` is not a continent code"), "not a continent code", help))
}

/// A subdivision: ISO 3166-2.
pub(super) fn subdivision(text: &str) -> Result<Arc<str>, Fault> {
    if is_subdivision(text) {
        return Ok(text.into());
    }
    let upper = text.to_ascii_uppercase().replace('_', "-");
    let help = match is_subdivision(&upper) {
        true => format!("did you mean `{upper}`?"),
        false => "subdivisions are a country, a hyphen and its code of it, like `US-CA` (ISO 3166-2)".to_string(),
    };
    Err(Fault::new("bad-subdivision", format!("`{text}` is not a subdivision code"), "not a subdivision code", help))
}

fn is_subdivision(text: &str) -> bool {
    let Some((country, code)) = text.split_once('-') else { return false };
    let code_is_good = code.bytes().all(|octet| octet.is_ascii_uppercase() || octet.is_ascii_digit());
    is_country(country) && (1..=3).contains(&code.len()) && code_is_good
}

/// A label, region or file name: any text that is not blank and can be shown on one line.
pub(super) fn word(text: &str) -> Result<Arc<str>, Fault> {
    if !text.trim().is_empty() && text.trim() == text && !text.chars().any(char::is_control) {
        return Ok(text.into());
    }
    let help = "write a text without spaces around it and without control characters";
    Err(Fault::new("bad-text", format!("{text:?} is blank or holds what cannot be shown"), "not usable", help))
}

/// The contact of a mirror's operator: one line of text.
pub(super) fn contact(text: &str) -> Result<Arc<str>, Fault> {
    let message = match text {
        _ if text.trim().is_empty() || text.trim() != text => format!("{text:?} is blank or has spaces around it"),
        _ if text.len() > limits::MAX_CONTACT => format!("this contact has {} bytes", text.len()),
        _ if text.contains(is_hidden) => format!("{text:?} has characters that cannot be shown on one line"),
        _ => return Ok(text.into()),
    };
    let help = format!(
        "write a mail address, a URL or a channel, like `mirrors@example.com`, in {} bytes at most",
        limits::MAX_CONTACT
    );
    Err(Fault::new("bad-contact", message, "not a contact", help))
}

/// The name of a group of users, or its number.
pub(super) fn group(text: &str) -> Result<Arc<str>, Fault> {
    // `:` and `,` separate fields and members in /etc/group.
    let odd = |c: char| is_hidden(c) || c == ':' || c == ',';
    if !text.trim().is_empty() && text.trim() == text && text.len() <= limits::MAX_GROUP && !text.contains(odd) {
        return Ok(text.into());
    }
    let help = "write the name of a group or its number, like `pharos-operators`; `getent group` lists the groups";
    Err(Fault::new("bad-group", format!("{text:?} is not the name of a group"), "not a group", help))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Code, message and help of a fault, in one line.
    fn fault<T: std::fmt::Debug>(result: Result<T, Fault>) -> String {
        let fault = result.unwrap_err();
        format!("{}: {}; {}", fault.code, fault.message, fault.help)
    }

    #[test]
    fn listen_addresses_need_a_port() {
        assert!(socket_address("[::1]:0").is_ok());
        assert!(fault(socket_address("127.0.0.1")).ends_with("add the port: `127.0.0.1:PORT`"));
        assert!(fault(socket_address("::1")).ends_with("add the port: `[::1]:PORT`"));
        assert!(fault(socket_address(":53")).contains("`0.0.0.0:53`"));
        assert!(fault(socket_address("localhost:53")).contains("`127.0.0.1:53`"));
        assert!(fault(socket_address("127.0.0.1:99999")).contains("like `127.0.0.1:5300`"));
    }

    #[test]
    fn mirror_addresses_are_those_that_clients_can_reach() {
        for text in ["192.0.2.10", "127.0.0.1", "10.0.0.1", "2001:db8::10", "::1", "fd00::1"] {
            assert!(mirror_address(text).is_ok(), "{text}");
        }
        for text in ["0.0.0.0", "0.1.2.3", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "fe80::1", "::ffff:1.2.3.4"]
        {
            assert!(fault(mirror_address(text)).starts_with("unusable-address"), "{text}");
        }
        assert!(fault(mirror_address("192.0.2.10:443")).contains("without a port"));
        assert!(fault(mirror_address("192.0.2.0/24")).contains("not a prefix"));
        assert!(fault(mirror_address("mirror.example")).contains("under `host`"));
        assert!(fault(mirror_address("192.0.2.256")).contains("an address like"));
    }

    #[test]
    fn a_prefix_with_host_bits_says_what_was_meant() {
        assert!(fault(prefix("10.1.2.3/8")).ends_with("write `10.0.0.0/8`, or `10.1.2.3` for the one address"));
        assert!(fault(prefix("10.0.0.0/33")).contains("0 to 32"));
    }

    #[test]
    fn base_urls_are_taken_apart() {
        let upstream = |text| upstream(text).unwrap();
        let expect = |scheme: &str, authority: &str, path: &str| Upstream {
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

    #[test]
    fn hosts_are_names() {
        assert_eq!(&*host_name("Mirror.Example.COM.").unwrap(), "mirror.example.com");
        assert!(fault(host_name("192.0.2.1")).contains("under `addresses`"));
        assert!(fault(host_name("https://x")).contains("without scheme"));
        assert!(fault(host_name("x:443")).contains("without a port"));
        assert!(fault(host_name("a..b")).starts_with("bad-name"));
        assert!(fault(host_name("bücher.example")).contains("xn--"));
    }

    #[test]
    fn codes_of_places_have_their_form() {
        assert!(country("DE").is_ok() && continent("AS").is_ok() && subdivision("US-CA").is_ok());
        assert!(fault(country("de")).ends_with("did you mean `DE`?"));
        assert!(fault(country("UK")).contains("`GB`"));
        assert!(fault(country("EU")).contains("continent"));
        assert!(fault(country("Germany")).contains("two letters"));
        assert!(fault(continent("asia")).contains("did you mean `AS` (Asia)?"));
        assert!(fault(continent("eu")).contains("did you mean `EU` (Europe)?"));
        assert!(fault(continent("Sout America")).contains("did you mean `SA` (South America)?"));
        assert!(fault(subdivision("us-ca")).ends_with("did you mean `US-CA`?"));
        assert!(fault(subdivision("California")).contains("ISO 3166-2"));
        assert!(fault(provider("AWS")).contains("did you mean `aws`?"));
    }
}
