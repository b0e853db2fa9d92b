//! Text to value: addresses, prefixes, names, URLs and codes of places.
//!
//! **Invariants**: a [`Fault`] has the problem and its remedy.
//! **Not here**: the place of a value ([`super::typed`]), references between values ([`super::meaning`]).

mod address;
mod geography;
mod url;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

pub(super) use address::{
    address_or_prefix, encrypted_address, mirror_address, prefix, server_address, server_or_prefix, socket_address,
};
pub(super) use geography::{continent, country, subdivision};
pub(crate) use url::{UpstreamConfig, is_loopback};
pub(super) use url::{
    account_page, bracketed, fetch_url, host_of, is_local_url, mirror_path, mirror_url, page, path_prefix, path_target,
    plain_host, port, proxy, repository, split_port, upstream,
};

use super::limits;
use crate::base::diagnostic::{Diagnostic, Place};
use crate::base::logged::LoggedClients;
use crate::base::name::{NameBuf, NameError};
use crate::base::share::Share;
use crate::base::text::is_hidden;
use crate::base::when::written_millis;
use crate::base::words::Worded as _;

/// The fault of a text that is not a value of its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    code: &'static str,
    message: String,
    label: &'static str,
    help: String,
}

impl Fault {
    pub(in crate::config) fn new(
        code: &'static str,
        message: impl Into<String>,
        label: &'static str,
        help: impl Into<String>,
    ) -> Self {
        Fault { code, message: message.into(), label, help: help.into() }
    }

    /// The fault as a diagnostic.
    pub(in crate::config) fn at(self, place: &Place) -> Diagnostic {
        Diagnostic::error(self.code, self.message).at(place.clone(), self.label).help(self.help)
    }
}

/// The name of an application protocol, as TLS has it (RFC 7301 §3.1).
pub(in crate::config) fn protocol(text: &str) -> Result<Arc<[u8]>, Fault> {
    if (1..=limits::MAX_PROTOCOL).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_graphic()) {
        return Ok(text.as_bytes().into());
    }
    let help = "write the names that TLS has for them, like `h2`, `h3` and `http/1.1`";
    Err(Fault::new("bad-protocol", format!("`{text}` is not the name of a protocol"), "not a protocol", help))
}

/// A domain name; all text is taken as absolute.
pub(in crate::config) fn domain_name(text: &str) -> Result<NameBuf, Fault> {
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
pub(in crate::config) fn host_name(text: &str) -> Result<Arc<str>, Fault> {
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

/// True for a host name. Underscores are accepted, because names in use have them.
pub(super) fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// The path of a URI template (RFC 8484 §4.1).
pub(in crate::config) fn path(text: &str) -> Result<Arc<str>, Fault> {
    let allowed = |octet: u8| octet.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:@".contains(&octet);
    if text.starts_with('/') && text.len() <= 255 && text.bytes().all(allowed) {
        return Ok(text.into());
    }
    let help = "write a path like `/dns-query`; clients add `?dns=` themselves";
    Err(Fault::new("bad-path", format!("`{text}` is not the path of a URL"), "not a path", help))
}

/// A share, like `5%`.
pub(in crate::config) fn share(text: &str) -> Result<Share, Fault> {
    Share::parse(text).map_err(|help| Fault::new("bad-share", format!("`{text}` is not a share"), "not a share", help))
}

/// The part of a client's address that is logged; `code` is that of the problem.
pub(in crate::config) fn logged_clients(text: &str, code: &'static str) -> Result<LoggedClients, Fault> {
    LoggedClients::parse(text).ok_or_else(|| {
        let help = "write `none`, `24/48` or `whole`";
        Fault::new(code, format!("`{text}` is no part of an address"), "not a part of an address", help)
    })
}

/// A provider: a word in lower case.
pub(in crate::config) fn provider(text: &str) -> Result<Arc<str>, Fault> {
    let word = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || b"-_.".contains(&octet);
    if !text.is_empty() && text.bytes().all(word) {
        return Ok(text.into());
    }
    let lower = text.to_ascii_lowercase();
    let help = if !lower.is_empty() && lower.bytes().all(word) {
        format!("did you mean `{lower}`? providers are in lower case")
    } else {
        "providers are words in lower case: letters, digits, `-`, `_`, `.`".to_string()
    };
    Err(Fault::new("bad-provider", format!("`{text}` is not a provider"), "not a provider", help))
}

/// A duration as it is written: `7d`, not `168h`.
pub(in crate::config) fn written(duration: Duration) -> String {
    written_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// A label, region or file name: any text that is not blank and can be shown on one line.
pub(in crate::config) fn word(text: &str) -> Result<Arc<str>, Fault> {
    if !text.trim().is_empty() && text.trim() == text && !text.chars().any(char::is_control) {
        return Ok(text.into());
    }
    let help = "write a text of one character or more, without spaces around it and without control characters";
    Err(Fault::new("bad-text", format!("{text:?} is blank or has characters that cannot be shown"), "not usable", help))
}

/// The name of a user, as HTTP sends it (RFC 7617 §2).
pub(in crate::config) fn user(text: &str) -> Result<Arc<str>, Fault> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':') {
        return Ok(text.into());
    }
    let help = "use letters, digits and hyphens: HTTP sends it before a colon";
    Err(Fault::new("bad-user", format!("{text:?} is not the name of a user"), "not a name", help))
}

/// The name of an account, as HTTP sends it (RFC 7617 §2).
pub(in crate::config) fn account(text: &str) -> Result<Arc<str>, Fault> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':') {
        return Ok(text.into());
    }
    let help = "write the account as the publisher shows it, without spaces and colons";
    Err(Fault::new("bad-account", format!("{text:?} is not an account"), "not an account", help))
}

/// The contact of a mirror's operator: one line of text.
pub(in crate::config) fn contact(text: &str) -> Result<Arc<str>, Fault> {
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
pub(in crate::config) fn group(text: &str) -> Result<Arc<str>, Fault> {
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
    pub(super) fn fault<T: std::fmt::Debug>(result: Result<T, Fault>) -> String {
        let fault = result.unwrap_err();
        format!("{}: {}; {}", fault.code, fault.message, fault.help)
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
}
