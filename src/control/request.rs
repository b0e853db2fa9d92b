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
    let (path, query) = (head.uri.path(), head.uri.query().unwrap_or_default());
    let segments: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
    let name = |text: &str| -> Result<Arc<str>, Refusal> {
        decode(text).map(Into::into).ok_or_else(|| Refusal::bad(format!("`{text}` is not a name as paths have it")))
    };
    let method = if head.method == Method::HEAD { &Method::GET } else { &head.method };
    let allow = match (&segments[..], method) {
        (["ready"], &Method::GET) => return Ok(ControlRequest::Ready),
        (["status"], &Method::GET) => return Ok(ControlRequest::Status),
        (["top"], &Method::GET) => return Ok(ControlRequest::Top),
        (["history"], &Method::GET) => return Ok(ControlRequest::History),
        (["sources"], &Method::GET) => return Ok(ControlRequest::Sources),
        (["rulings"], &Method::GET) => return Ok(ControlRequest::Rulings),
        (["space"], &Method::GET) => return space(query),
        (["explain"], &Method::GET) => return explain(query),
        (["mirrors"], &Method::GET) => return mirrors(query),
        (["mirrors", mirror], &Method::GET) => return name(mirror).map(ControlRequest::Mirror),
        (["mirrors", mirror, "override" | "order"], &Method::PUT) => return give(name(mirror)?, body, now),
        (["mirrors", mirror, "override" | "order"], &Method::DELETE) => {
            return Ok(ControlRequest::TakeBack { mirror: name(mirror)?, reason: take_back(body)? });
        }
        (["server", "drain"], &Method::PUT) => return drain(body, now),
        (["server", "drain"], &Method::DELETE) => return Ok(ControlRequest::Undrain { reason: take_back(body)? }),
        (["fleet", "servers", server], &Method::DELETE) => return name(server).map(ControlRequest::Forget),
        (["reload"], &Method::POST) => return reload(query),
        (["refresh"], &Method::POST) => return refresh(query),
        (["zones", zone, "retransfer"], &Method::POST) => return zone_name(zone).map(ControlRequest::Retransfer),
        // The same paths with another method.
        (["ready" | "status" | "top" | "history" | "sources" | "rulings" | "space" | "explain"], _) => "GET, HEAD",
        (["mirrors"] | ["mirrors", _], _) => "GET, HEAD",
        (["mirrors", _, "override" | "order"] | ["server", "drain"], _) => "PUT, DELETE",
        (["fleet", "servers", _], _) => "DELETE",
        (["reload" | "refresh"] | ["zones", _, "retransfer"], _) => "POST",
        _ => {
            return Err(Refusal::new(StatusCode::NOT_FOUND, format!("there is nothing at `{path}`")).help(
                "there are /mirrors, /mirrors/NAME/override, /server/drain, /fleet/servers/NAME, /zones/NAME/retransfer, /reload, /refresh, /explain, /space, /history, /sources, /rulings, /top, /status and /ready",
            ));
        }
    };
    let error = format!("`{path}` is not for {}", head.method);
    Err(Refusal { allow: Some(allow), ..Refusal::new(StatusCode::METHOD_NOT_ALLOWED, error) })
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
    let (terms, width) = change_terms(query, "there are dry-run=true, allow-moved=5%25 and width=80", |_, _| false)?;
    Ok(ControlRequest::Reload { terms, width })
}

fn refresh(query: &str) -> Result<ControlRequest, Refusal> {
    let (mut sources, mut is_previous) = (Vec::new(), false);
    let help = "there are source=NAME, previous=true, dry-run=true, allow-moved=5%25 and width=80";
    let (terms, width) = change_terms(query, help, |key, value| {
        match (key, value) {
            ("source", name) => sources.push(name.into()),
            ("previous", "true") => is_previous = true,
            ("previous", "false") => is_previous = false,
            _ => return false,
        }
        true
    })?;
    if is_previous && sources.len() != 1 {
        return Err(Refusal::bad("the previous content of one source is taken back").help("add `source=NAME` once"));
    }
    Ok(ControlRequest::Refresh { sources, is_previous, terms, width })
}

/// The terms of a change, and the width of its report. `take` takes the other keys; `false` if it does not know one.
fn change_terms(
    query: &str,
    help: &str,
    mut take: impl FnMut(&str, &str) -> bool,
) -> Result<(ReloadTerms, Option<usize>), Refusal> {
    let (mut terms, mut width) = (ReloadTerms::default(), None);
    for (key, value) in pairs(query) {
        let bad = || unclear(key, value);
        let value = decode(value).ok_or_else(bad)?;
        match (key, &*value) {
            ("dry-run", "true") => terms.is_dry = true,
            ("dry-run", "false") => terms.is_dry = false,
            ("allow-moved", _) => terms.allow_moved = Some(Share::parse(&value).map_err(|help| bad().help(help))?),
            ("width", _) => width = Some(value.parse().map_err(|_| bad().help("width is a number of columns"))?),
            _ if take(key, &value) => {}
            _ => return Err(bad().help(help)),
        }
    }
    Ok((terms, width))
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
        let bad = || unclear(key, value);
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
