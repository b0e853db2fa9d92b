//! Requests to the desk, parsed from method, path, query and body.
//!
//! **Invariants**: pure; a refusal says how to write the request.
//! **Not here**: the names of mirrors, answers ([`super::desk`]).
//!
//! RFC 3986 §2.1 (percent-encoding).

use std::net::IpAddr;
use std::sync::Arc;

use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::base::name::NameBuf;
use crate::base::prefix::{Block, Family, Prefix};
use crate::base::share::Share;
use crate::base::time::UnixTime;
use crate::base::when::parse_end;
use crate::base::words::Worded as _;
use crate::live::ReloadTerms;
use crate::mirror::{Forced, Reason};
use crate::process::work::Lost;

/// A request that was understood.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ControlRequest {
    /// `GET /ready`
    Ready,
    /// `GET /status`
    Status,
    /// `GET /top`: counters; queries are recorded for some seconds from then on.
    Top,
    /// `GET /mirrors?as=html`
    Mirrors(ListForm),
    /// `GET /space?family=…&block=…&name=…`
    Space { block: Prefix, name: Option<Box<NameBuf>> },
    /// `GET /sources`
    Sources,
    /// `GET /history`
    History,
    /// `GET /mirrors/NAME`
    Mirror(Arc<str>),
    /// `PUT /mirrors/NAME/override`, formerly `…/order`
    /// Without `force`, the reply warns if no other mirror of a horizon is up.
    Give { mirror: Arc<str>, forced: Forced, reason: Reason, until: Option<UnixTime>, force: bool },
    /// `DELETE /mirrors/NAME/override`, formerly `…/order`
    TakeBack { mirror: Arc<str>, reason: Option<Reason> },
    /// `PUT /server/drain`
    Drain { reason: Reason, until: Option<UnixTime> },
    /// `DELETE /server/drain`
    Undrain { reason: Option<Reason> },
    /// `POST /reload?dry-run=true&allow-moved=…&width=…`
    /// `width` is the number of columns of the report; `None` does not break lines.
    Reload { terms: ReloadTerms, width: Option<usize> },
    /// `POST /refresh?source=…&previous=true&dry-run=true&allow-moved=…&width=…`
    /// Without a source, all that are fetched.
    Refresh { sources: Vec<Arc<str>>, is_previous: bool, terms: ReloadTerms, width: Option<usize> },
    /// `DELETE /fleet/servers/NAME`: forgets a server of the fleet that is gone for good.
    Forget(Arc<str>),
    /// `GET /rulings`: the data from which clients of the socket count the moves of a new configuration.
    Rulings,
    /// `POST /zones/NAME/retransfer`
    Retransfer(Box<NameBuf>),
    /// `GET /explain?client=…&resolver=…&name=…`
    Explain { client: Prefix, resolver: Option<IpAddr>, name: Option<Box<NameBuf>> },
}

/// The form of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListForm {
    /// A JSON document, for programs.
    Json,
    /// A page without scripts, for browsers.
    Html,
}

/// The response to a request that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) error: String,
    pub(super) help: Option<String>,
    /// The methods that the path has, if the method of the request is not one of them.
    pub(super) allow: Option<&'static str>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Refusal { status, error: error.into(), help: None, allow: None }
    }

    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Refusal { help: Some(help.into()), ..self }
    }

    /// The refusal of a request whose work was not done.
    pub(super) fn lost(lost: Lost) -> Self {
        let status = match lost {
            Lost::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
            Lost::Full | Lost::NoThread => StatusCode::SERVICE_UNAVAILABLE,
        };
        Refusal::new(status, lost.to_string())
    }

    /// The refusal of a request to a server that is about to end.
    pub(super) fn stopping() -> Self {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping")
    }

    /// The refusal of a body that is too long or broke off.
    pub(super) fn too_large() -> Self {
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "the body broke off, or is longer than any override")
    }

    fn bad(error: impl Into<String>) -> Self {
        Refusal::new(StatusCode::BAD_REQUEST, error)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GiveBody {
    #[serde(rename = "override", alias = "order")]
    word: String,
    reason: String,
    until: Option<String>,
    #[serde(default)]
    force: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DrainBody {
    reason: String,
    until: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TakeBackBody {
    reason: Option<String>,
}

/// Parses a request.
pub(super) fn parse(head: &Parts, body: &[u8], now: UnixTime) -> Result<ControlRequest, Refusal> {
    let path = head.uri.path();
    let segments: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
    let name = |text: &str| -> Result<Arc<str>, Refusal> {
        decode(text).map(Into::into).ok_or_else(|| Refusal::bad(format!("`{text}` is not a name as paths have it")))
    };
    let is_read = matches!(head.method, Method::GET | Method::HEAD);
    let (request, allow) = match segments[..] {
        ["ready"] => (is_read.then_some(Ok(ControlRequest::Ready)), "GET, HEAD"),
        ["status"] => (is_read.then_some(Ok(ControlRequest::Status)), "GET, HEAD"),
        ["top"] => (is_read.then_some(Ok(ControlRequest::Top)), "GET, HEAD"),
        ["mirrors"] => (is_read.then(|| mirrors(head.uri.query().unwrap_or_default())), "GET, HEAD"),
        ["space"] => (is_read.then(|| space(head.uri.query().unwrap_or_default())), "GET, HEAD"),
        ["history"] => (is_read.then_some(Ok(ControlRequest::History)), "GET, HEAD"),
        ["sources"] => (is_read.then_some(Ok(ControlRequest::Sources)), "GET, HEAD"),
        ["rulings"] => (is_read.then_some(Ok(ControlRequest::Rulings)), "GET, HEAD"),
        ["explain"] => (is_read.then(|| explain(head.uri.query().unwrap_or_default())), "GET, HEAD"),
        ["mirrors", mirror] => (is_read.then(|| name(mirror).map(ControlRequest::Mirror)), "GET, HEAD"),
        ["mirrors", mirror, "override" | "order"] => {
            let request = match head.method {
                Method::PUT => Some(name(mirror).and_then(|mirror| give(mirror, body, now))),
                Method::DELETE => Some(
                    name(mirror).and_then(|mirror| Ok(ControlRequest::TakeBack { mirror, reason: take_back(body)? })),
                ),
                _ => None,
            };
            (request, "PUT, DELETE")
        }
        ["fleet", "servers", server] => {
            ((head.method == Method::DELETE).then(|| name(server).map(ControlRequest::Forget)), "DELETE")
        }
        ["server", "drain"] => {
            let request = match head.method {
                Method::PUT => Some(drain(body, now)),
                Method::DELETE => Some(take_back(body).map(|reason| ControlRequest::Undrain { reason })),
                _ => None,
            };
            (request, "PUT, DELETE")
        }
        ["reload"] => {
            let reload = || reload(head.uri.query().unwrap_or_default());
            ((head.method == Method::POST).then(reload), "POST")
        }
        ["refresh"] => {
            let refresh = || refresh(head.uri.query().unwrap_or_default());
            ((head.method == Method::POST).then(refresh), "POST")
        }
        ["zones", zone, "retransfer"] => {
            ((head.method == Method::POST).then(|| zone_name(zone).map(ControlRequest::Retransfer)), "POST")
        }
        _ => {
            return Err(Refusal::new(StatusCode::NOT_FOUND, format!("there is nothing at `{path}`")).help(
                "there are /mirrors, /mirrors/NAME/override, /server/drain, /fleet/servers/NAME, /zones/NAME/retransfer, /reload, /refresh, /explain, /space, /history, /sources, /rulings, /top, /status and /ready",
            ));
        }
    };
    request.unwrap_or_else(|| {
        let error = format!("`{path}` is not for {}", head.method);
        Err(Refusal { allow: Some(allow), ..Refusal::new(StatusCode::METHOD_NOT_ALLOWED, error) })
    })
}

fn zone_name(text: &str) -> Result<Box<NameBuf>, Refusal> {
    let name = decode(text).and_then(|name| NameBuf::parse(&name).ok());
    name.map(Box::new).ok_or_else(|| Refusal::bad(format!("`{text}` is not the name of a zone")))
}

fn give(mirror: Arc<str>, body: &[u8], now: UnixTime) -> Result<ControlRequest, Refusal> {
    const HELP: &str = "send `{\"override\": \"drain\", \"reason\": \"new disks\", \"until\": \"2h\"}`; `override` is \
                        drain, down or up, and `until` may be left out";
    let GiveBody { word, reason, until, force } = json(body).map_err(|refusal| refusal.help(HELP))?;
    let unknown = || Refusal::bad(format!("`{word}` is not an override")).help(HELP);
    let forced = Forced::parse(&word).ok_or_else(unknown)?;
    let reason = parse_reason(&reason)?;
    let until = parse_until(until, now)?;
    Ok(ControlRequest::Give { mirror, forced, reason, until, force })
}

/// The reason for ending an override.
fn take_back(body: &[u8]) -> Result<Option<Reason>, Refusal> {
    let TakeBackBody { reason } = match body {
        [] => TakeBackBody::default(),
        body => json(body).map_err(|refusal| refusal.help("send nothing, or `{\"reason\": \"the disks are in\"}`"))?,
    };
    reason.map(|reason| parse_reason(&reason)).transpose()
}

fn drain(body: &[u8], now: UnixTime) -> Result<ControlRequest, Refusal> {
    const HELP: &str = "send `{\"reason\": \"new kernel\", \"until\": \"2h\"}`; `until` may be left out";
    let DrainBody { reason, until } = json(body).map_err(|refusal| refusal.help(HELP))?;
    Ok(ControlRequest::Drain { reason: parse_reason(&reason)?, until: parse_until(until, now)? })
}

fn parse_until(text: Option<String>, now: UnixTime) -> Result<Option<UnixTime>, Refusal> {
    let end = |text: String| parse_end(&text, now).map_err(|error| Refusal::bad(format!("until `{text}`: {error}")));
    text.map(end).transpose()
}

fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::bad(format!("the body is not a valid request: {error}")))
}

fn parse_reason(text: &str) -> Result<Reason, Refusal> {
    Reason::parse(text).map_err(|error| Refusal::bad(format!("the reason cannot be used: {error}")))
}

fn reload(query: &str) -> Result<ControlRequest, Refusal> {
    let (mut terms, mut width) = (ReloadTerms::default(), None);
    for (key, value) in pairs(query) {
        if !take_term(key, value, &mut terms, &mut width)? {
            return Err(unclear(key, value).help("there are dry-run=true, allow-moved=5%25 and width=80"));
        }
    }
    Ok(ControlRequest::Reload { terms, width })
}

fn refresh(query: &str) -> Result<ControlRequest, Refusal> {
    let (mut terms, mut width) = (ReloadTerms::default(), None);
    let (mut sources, mut is_previous) = (Vec::new(), false);
    for (key, value) in pairs(query) {
        match (key, value) {
            ("source", _) => sources.push(decode(value).ok_or_else(|| unclear(key, value))?.into()),
            ("previous", "true") => is_previous = true,
            ("previous", "false") => is_previous = false,
            _ if take_term(key, value, &mut terms, &mut width)? => {}
            _ => {
                let help = "there are source=NAME, previous=true, dry-run=true, allow-moved=5%25 and width=80";
                return Err(unclear(key, value).help(help));
            }
        }
    }
    if is_previous && sources.len() != 1 {
        return Err(Refusal::bad("the previous content of one source is taken back").help("add `source=NAME` once"));
    }
    Ok(ControlRequest::Refresh { sources, is_previous, terms, width })
}

/// Takes a key about the terms of a change; `false` if it is another key.
fn take_term(key: &str, value: &str, terms: &mut ReloadTerms, width: &mut Option<usize>) -> Result<bool, Refusal> {
    let bad = || unclear(key, value);
    let value = decode(value).ok_or_else(bad)?;
    match (key, &*value) {
        ("dry-run", "true") => terms.is_dry = true,
        ("dry-run", "false") => terms.is_dry = false,
        ("allow-moved", _) => terms.allow_moved = Some(Share::parse(&value).map_err(|help| bad().help(help))?),
        ("width", _) => *width = Some(value.parse().map_err(|_| bad().help("width is a number of columns"))?),
        _ => return Ok(false),
    }
    Ok(true)
}

fn unclear(key: &str, value: &str) -> Refusal {
    Refusal::bad(format!("`{key}={value}` cannot be understood"))
}

/// The keys and values of a query; a key without `=` has an empty value.
fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

fn explain(query: &str) -> Result<ControlRequest, Refusal> {
    let (mut client, mut resolver, mut name) = (None, None, None);
    for (key, value) in pairs(query) {
        let bad = || Refusal::bad(format!("`{key}={value}` cannot be understood"));
        let value = decode(value).ok_or_else(bad)?;
        match key {
            "client" => set_once(&mut client, key, value.parse().map_err(|_| bad())?)?,
            "resolver" => set_once(&mut resolver, key, value.parse().map_err(|_| bad())?)?,
            "name" => set_once(&mut name, key, Box::new(NameBuf::parse(&value).map_err(|_| bad())?))?,
            _ => return Err(bad().help("there are client, resolver and name")),
        }
    }
    let missing = || Refusal::bad("the client is missing").help("add `?client=192.0.2.0/24`");
    Ok(ControlRequest::Explain { client: client.ok_or_else(missing)?, resolver, name })
}

fn mirrors(query: &str) -> Result<ControlRequest, Refusal> {
    let mut form = ListForm::Json;
    for (key, value) in pairs(query) {
        form = match (key, value) {
            ("as", "html") => ListForm::Html,
            ("as", "json") => ListForm::Json,
            _ => return Err(unclear(key, value).help("there are as=html and as=json")),
        };
    }
    Ok(ControlRequest::Mirrors(form))
}

fn space(query: &str) -> Result<ControlRequest, Refusal> {
    let (mut family, mut block, mut name) = (None, None, None);
    for (key, value) in pairs(query) {
        let bad = || unclear(key, value);
        let value = decode(value).ok_or_else(bad)?;
        match (key, &*value) {
            ("family", "4") => set_once(&mut family, key, Family::V4)?,
            ("family", "6") => set_once(&mut family, key, Family::V6)?,
            ("family", _) => return Err(bad().help("a family is 4 or 6")),
            ("block", text) => {
                set_once(&mut block, key, text.parse::<Prefix>().map_err(|error| bad().help(error.to_string()))?)?;
            }
            ("name", text) => {
                let parsed = NameBuf::parse(text).map_err(|error| bad().help(error.to_string()))?;
                set_once(&mut name, key, Box::new(parsed))?;
            }
            _ => return Err(bad().help("there are family, block and name")),
        }
    }
    let family = family.or(block.map(Prefix::family)).unwrap_or(Family::V4);
    let block = block.unwrap_or(match family {
        Family::V4 => Prefix::V4(Block::holding(0, 0)),
        Family::V6 => Prefix::V6(Block::holding(0, 0)),
    });
    if block.family() != family {
        let help = format!("leave `family` out, or name a block of {family}");
        return Err(Refusal::bad(format!("`{block}` is no block of {family}")).help(help));
    }
    Ok(ControlRequest::Space { block, name })
}

/// Sets the value of a key that a query may have once, because either of two values would be a guess.
fn set_once<T>(slot: &mut Option<T>, key: &str, value: T) -> Result<(), Refusal> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Refusal::bad(format!("`{key}` is there twice")).help("keep one of the two")),
    }
}

/// Percent-encodes a text for a path or query.
pub(crate) fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let octet = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(octet).collect()
}

/// Decodes a part of a path or query; `None` if the percent-encoding or the UTF-8 is wrong.
pub(super) fn decode(part: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            octets.push(first);
            continue;
        }
        let digits = rest.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
        octets.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = &rest[2..];
    }
    String::from_utf8(octets).ok()
}

#[cfg(test)]
mod tests;
