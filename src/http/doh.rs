//! DNS over HTTPS: a DNS message in a request, the DNS answer in the response.
//!
//! **Invariants**: the status is 200 for every DNS answer, whatever its RCODE; other statuses mean that the request has
//! no DNS message that deserves an answer. The client is the TCP peer, because any client can write a header.
//! **Not here**: the answer ([`crate::wire`]); connections ([`super`]).
//!
//! RFC 8484: §4.1 (GET and POST), §4.2.1 (statuses), §5.1 (caches), §6 (media type).

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;

use data_encoding::BASE64URL_NOPAD;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode, Version};

use super::{Body, Handler, HttpResponse, plain_text, with};
use crate::base::ends::SocketEnds;
use crate::base::time::{Now, Ttl};
use crate::listen::{self, http_response};
use crate::live::Published;
use crate::process::Clock;
use crate::telemetry::dns::{Count as _, LostReply, SharedBlock};
use crate::telemetry::tap::{SharedTap, TapHttp, TapReply};
use crate::wire::{self, Cookie, MAX_STREAM, Peer, Transport};

/// The longest query, in bytes; the same as over UDP.
const MAX_QUERY_LEN: usize = 4096;

/// The media type of DNS messages (RFC 8484 §6).
const MESSAGE: &str = "application/dns-message";

thread_local! {
    /// A buffer for the answer.
    static ROOM: RefCell<Box<[u8]>> = RefCell::new(vec![0; MAX_STREAM].into());
}

/// Answers DNS messages; `C` reads the clocks.
pub(crate) struct Doh<C> {
    /// The snapshot that answers.
    pub(crate) published: Arc<Published>,
    /// The time.
    pub(crate) clock: C,
    /// The path of the service.
    pub(crate) path: Arc<str>,
    /// The counters.
    pub(crate) counters: SharedBlock,
    /// Takes copies of responses for dnstap.
    pub(crate) tap: SharedTap,
}

/// The reason why a request gets no DNS answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DohRefusal {
    /// The path is not that of the service.
    NotFound,
    /// The method is not GET, HEAD or POST.
    Method,
    /// The body of the POST has another media type.
    MediaType,
    /// The message is longer than [`MAX_QUERY_LEN`].
    TooLong,
    /// The GET has no parameter `dns`, or its value is not base64url.
    Parameter,
    /// The body is incomplete or not a DNS message, or the message deserves no answer.
    NoQuery,
}

impl<C: Fn() -> Now + Send + Sync + 'static> Handler for Doh<C> {
    type Answer = HttpResponse;
    const RESPONSE_LEN: usize = listen::MESSAGE;

    fn body_limit(&self, head: &Parts) -> Option<usize> {
        let takes = head.method == Method::POST && head.uri.path() == &*self.path && is_message(head);
        takes.then_some(MAX_QUERY_LEN)
    }

    fn respond(&self, head: &Parts, body: &Body, ends: &SocketEnds) -> HttpResponse {
        let answer = self.message(head, body).and_then(|message| self.answer(head, &message, ends));
        answer.unwrap_or_else(|refusal| refuse(&head.method, refusal))
    }
}

impl<C: Fn() -> Now> Doh<C> {
    /// The message of a request.
    fn message<'r>(&self, head: &Parts, body: &'r Body) -> Result<std::borrow::Cow<'r, [u8]>, DohRefusal> {
        if head.uri.path() != &*self.path {
            return Err(DohRefusal::NotFound);
        }
        match (&head.method, body) {
            (&Method::GET | &Method::HEAD, _) => from_query(head.uri.query().unwrap_or_default()).map(Into::into),
            (&Method::POST, Body::Whole(message)) => Ok(message[..].into()),
            (&Method::POST, Body::TooLong) => Err(DohRefusal::TooLong),
            (&Method::POST, Body::Broken) => Err(DohRefusal::NoQuery),
            (&Method::POST, Body::Unread) => Err(DohRefusal::MediaType),
            _ => Err(DohRefusal::Method),
        }
    }

    /// The response with the answer to a message.
    fn answer(&self, head: &Parts, message: &[u8], ends: &SocketEnds) -> Result<HttpResponse, DohRefusal> {
        let http = if head.version <= Version::HTTP_11 { TapHttp::One } else { TapHttp::Two };
        let mut counters = self.counters.clone();
        let peer = Peer { address: ends.peer.ip(), transport: Transport::Https };
        counters.query(&peer);
        let begun = Instant::now();
        let snapshot = self.published.load();
        let tapped = snapshot.settings().tap.as_ref().map(|terms| (terms, Clock::civil_nanos()));
        ROOM.with_borrow_mut(|room| {
            let now = (self.clock)();
            let Some(reply) = wire::respond(message, peer, &snapshot, now, room) else {
                counters.lost(LostReply::Unanswerable, 1);
                return Err(DohRefusal::NoQuery);
            };
            counters.reply(&reply.summary, &snapshot);
            counters.record(&peer, message, now.monotonic);
            counters.took(peer.transport, 1, begun.elapsed());
            let octets = &room[..reply.len];
            if let Some((terms, received_ns)) = tapped {
                self.tap.note(terms, &reply.summary, || TapReply {
                    message: octets,
                    summary: &reply.summary,
                    snapshot: &snapshot,
                    ends: *ends,
                    transport: peer.transport,
                    http: Some(http),
                    received_ns,
                });
            }
            // The client's address decides about a steered answer, and is not part of the URL.
            let is_private = reply.summary.basis.steering.is_some();
            // A cookie is bound to one client address and one timestamp (RFC 9018 §4), so no cache may store the response.
            let freshness = if reply.summary.cookie == Cookie::None { wire::freshness(octets) } else { None };
            let response = http_response(&head.method, StatusCode::OK, MESSAGE, Bytes::copy_from_slice(octets));
            Ok(with(response, CACHE_CONTROL, cache_control(freshness, is_private)))
        })
    }
}

/// RFC 8484 §5.1: the freshness lifetime is at most the least TTL. An answer without a TTL is not cached; a private one is
/// cached by the client alone.
fn cache_control(freshness: Option<Ttl>, is_private: bool) -> HeaderValue {
    let Some(Ttl(seconds)) = freshness else { return HeaderValue::from_static("no-store") };
    let text = if is_private { format!("private, max-age={seconds}") } else { format!("max-age={seconds}") };
    HeaderValue::try_from(text).expect("digits and letters can stand in a header")
}

/// True if `Content-Type` is that of a DNS message. Parameters of the media type are ignored (RFC 8484 §6).
fn is_message(head: &Parts) -> bool {
    let kind = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(MESSAGE))
}

/// The message in a query string: the parameter `dns`, base64url without padding (RFC 8484 §4.1, §6).
fn from_query(query: &str) -> Result<Vec<u8>, DohRefusal> {
    let text = query.split('&').find_map(|pair| pair.strip_prefix("dns=")).ok_or(DohRefusal::Parameter)?;
    if text.len() > BASE64URL_NOPAD.encode_len(MAX_QUERY_LEN) {
        return Err(DohRefusal::TooLong);
    }
    BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| DohRefusal::Parameter)
}

fn refuse(method: &Method, refusal: DohRefusal) -> HttpResponse {
    let (status, text) = match refusal {
        DohRefusal::NotFound => (StatusCode::NOT_FOUND, "nothing is here\n"),
        DohRefusal::Method => (StatusCode::METHOD_NOT_ALLOWED, "only GET, HEAD and POST\n"),
        DohRefusal::MediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "only application/dns-message\n"),
        DohRefusal::TooLong => (StatusCode::PAYLOAD_TOO_LARGE, "at most 4096 octets\n"),
        DohRefusal::Parameter => (StatusCode::BAD_REQUEST, "`dns` must be a message in base64url without padding\n"),
        DohRefusal::NoQuery => (StatusCode::BAD_REQUEST, "not a DNS query\n"),
    };
    let response = plain_text(method, status, text);
    match refusal {
        DohRefusal::Method => with(response, ALLOW, HeaderValue::from_static("GET, HEAD, POST")),
        _ => response,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc8484_s4_1_1_the_example_is_read() {
        let text = "dns=AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB";
        let message = from_query(text).unwrap();
        assert_eq!((message.len(), &message[..4], &message[12..16]), (33, &[0, 0, 1, 0][..], &b"\x03www"[..]));
        assert_eq!(from_query(&format!("ct=x&{text}&y")).unwrap(), message);
    }

    #[test]
    fn only_base64url_without_padding_is_a_message() {
        for text in ["", "dn=AAAA", "dns=AA+A", "dns=AA/A", "dns=AAA=", "dns=A", "dns=AB", "dns=AA%3D", "DNS=AAAA"] {
            assert_eq!(from_query(text), Err(DohRefusal::Parameter), "{text}");
        }
        assert_eq!(from_query(&format!("dns={}", "A".repeat(5463))), Err(DohRefusal::TooLong));
        assert_eq!(from_query(&format!("dns={}", "A".repeat(5462))).map(|message| message.len()), Ok(MAX_QUERY_LEN));
    }

    #[test]
    fn rfc8484_s5_1_a_tailored_answer_is_private() {
        assert_eq!(cache_control(Some(Ttl(60)), true), "private, max-age=60");
        assert_eq!(cache_control(Some(Ttl(300)), false), "max-age=300");
        assert_eq!(cache_control(None, false), "no-store");
    }
}
