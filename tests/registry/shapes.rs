//! Shapes of requests that try to lead a client elsewhere, or to get two responses for one request.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::http::request::Parts;
use pharos::base::ends::SocketEnds;
use pharos::base::time::Moment;
use pharos::http::{BlobAsker, Body, Handler, HttpAnswer, Pull};
use pharos::mirror::Health::Up;
use pharos::telemetry::http::Http;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::cases::HEX;
use crate::service::{Service, serve_many};
use crate::world::{Setup, settings, snapshot};

/// The prefix of a further path, which takes the place of the API in shapes of targets.
const FILES: &str = "/files/deep/";

const PATIENCE: Duration = Duration::from_secs(20);

/// The listener, and every `Location` that it sends.
struct Recorder<H>(H, Arc<Mutex<Vec<String>>>);

impl<H: Handler> Handler for Recorder<H> {
    type Answer = HttpAnswer;
    const RESPONSE_LEN: usize = H::RESPONSE_LEN;

    fn respond(&self, head: &Parts, body: &Body, ends: &SocketEnds) -> HttpAnswer {
        let HttpAnswer::Now(response) = self.0.respond(head, body, ends).into() else { panic!("nothing is asked for") };
        if let Some(url) = response.headers().get("location") {
            self.1.lock().unwrap().push(url.to_str().unwrap().to_string());
        }
        HttpAnswer::Now(response)
    }
}

struct Listener {
    _server: Service,
    at: SocketAddr,
    locations: Arc<Mutex<Vec<String>>>,
}

fn start() -> Listener {
    let (published, ..) = pharos::live::publish(snapshot([Up; 3]), || Moment(0));
    let settings = Arc::new(arc_swap::ArcSwap::from_pointee(settings(Setup::Full)));
    let counters = Arc::new(Http::default());
    let pull = Pull::new(published, settings, counters.clone(), BlobAsker::new(None));
    let locations = Arc::default();
    let server = serve_many(100, Recorder(pull, Arc::clone(&locations)), None, counters);
    Listener { at: server.address, _server: server, locations }
}

impl Listener {
    /// Sends bytes, closes, and reads to the end.
    async fn send(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.at).await.unwrap();
        // The server may answer and close before it has read everything.
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let mut said = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("the server closes");
        said
    }

    /// The locations since the last time: every one is on a host of the configuration, and holds no odd byte.
    fn check_locations(&self, about: &str) -> usize {
        let sent: Vec<String> = self.locations.lock().unwrap().drain(..).collect();
        let own = [
            "https://canonical.example/v2/",
            "https://signatures.example/v2/",
            "https://blob.example:8443/v2/",
            "https://files.example/f/",
            "https://deep.example:8443/files/deep/",
        ];
        let pages = ["https://project.example/registry", "https://project.example/privacy?from=registry"];
        for url in &sent {
            assert!(own.iter().any(|own| url.starts_with(own)) || pages.contains(&&**url), "{about}: {url}");
            assert!(url.bytes().all(|byte| byte.is_ascii_graphic()), "{about}: {url:?}");
            let path = url.split('/').skip(3).collect::<Vec<_>>().join("/");
            let path = path.split('?').next().unwrap();
            assert!(!path.contains("..") && !path.contains("//") && !path.contains(['%', '@', '\\']), "{about}: {url}");
        }
        sent.len()
    }
}

/// A request with this target and these further lines, asking for the connection to be closed.
fn get(target: &str, lines: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: registry.example\r\n{lines}Connection: close\r\n\r\n").into_bytes()
}

/// Requests over HTTP/1, and the most responses that each may get.
fn http1() -> Vec<(Vec<u8>, usize)> {
    const TAGS: &str = "/v2/a/tags/list";
    let blob = format!("/v2/a/blobs/sha256:{HEX}");
    let mut all = Vec::new();
    // Targets.
    for target in [
        "//evil.example",
        "//evil.example/",
        "//evil.example/v2/a/tags/list",
        "///evil.example/v2/a/tags/list",
        "/\\evil.example/v2/a/tags/list",
        "/\\\\evil.example",
        "\\evil.example",
        "/%2f/evil.example",
        "/%5cevil.example",
        "http://evil.example/v2/a/tags/list",
        "https://evil.example/",
        "ftp://evil.example/v2/a/tags/list",
        "http://registry.example@evil.example/v2/a/tags/list",
        "http://user:pass@registry.example/v2/a/tags/list",
        "evil.example:443",
        "evil.example",
        "*",
        "/@evil.example/v2/",
        "/v2/@evil.example/tags/list",
        "/v2/a@evil.example/tags/list",
        "/v2//evil.example/tags/list",
        "/v2/evil.example:443/tags/list",
        "/v2/a/tags/list\rLocation: https://evil.example",
        "/v2/a/tags/list\nLocation: https://evil.example",
        "/v2/a/tags/list%0d%0aLocation:%20https://evil.example",
        "/v2/a%0d%0aLocation:x/tags/list",
        "/v2/a/tags/list?x=%0d%0aLocation:%20https://evil.example",
        "/v2/a/tags/list?x=\rLocation:",
        "/v2/a/tags/list\0",
        "/v2/a\0/tags/list",
        "/v2/a/tags/list?\0",
        "/v2/a/tags/list\x7f",
        "/v2/a/tags/list?\x7f",
        "/v2/\u{e9}/tags/list",
        "/v2/a/tags/list?\u{e9}",
        "/v2/%c3%a9/tags/list",
        "/v2/a/tags/list?x=\t",
        "/v2/../tags/list",
        "/v2/a/../../evil.example/tags/list",
        "/../v2/a/tags/list",
        "/v2/%2e%2e/tags/list",
        "/v2/a/%2e%2e/%2e%2e/tags/list",
        "/v2/a/manifests/..",
        "/v2/a/tags/list#https://evil.example",
        "/v2/a/tags/list?//evil.example",
        "/v2/a/tags/list?x=https://evil.example",
    ] {
        all.push((get(target, ""), 1));
        let further = target.replace("/v2/", FILES);
        if further != target {
            all.push((get(&further, ""), 1));
        }
    }
    all.push((b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n".to_vec(), 1));
    for method in ["TRACE", "OPTIONS", "BREW", "get"] {
        all.push((format!("{method} {blob} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").into_bytes(), 1));
    }
    // Bodies and the headers for their length: the request that is hidden in a body is never answered.
    let hidden = "GET //evil.example HTTP/1.1\r\nHost: x\r\n\r\n";
    for lines in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding:\tchunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Content-Length: 42\r\nContent-Length: 43\r\n",
        "Content-Length: 0x2a\r\n",
        "Expect: 100-continue\r\nContent-Length: 42\r\n",
        "Upgrade: h2c\r\nConnection: upgrade\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Length: 42\r\n",
    ] {
        all.push(([get(TAGS, lines), hidden.as_bytes().to_vec()].concat(), 1));
    }
    let chunked = get(TAGS, "Transfer-Encoding: chunked\r\n");
    for body in [
        "0;x=\"\r\n\r\n\"\r\n\r\n",
        "0\r\nLocation: https://evil.example\r\n\r\n",
        "ffffffffffffffff1\r\n",
        "5\nabcde\n0\n\n",
    ] {
        all.push(([chunked.clone(), body.as_bytes().to_vec(), hidden.as_bytes().to_vec()].concat(), 1));
    }
    // Heads.
    all.push((get(TAGS, "A: b\r\n Location: https://evil.example\r\n"), 1));
    all.push((format!("GET {TAGS} HTTP/1.1\nHost: x\nConnection: close\n\n").into_bytes(), 1));
    all.push((format!("GET {TAGS} HTTP/1.1\rHost: x\r\r").into_bytes(), 1));
    all.push((get(&blob, "Range: bytes=0-0,1-1\r\nIf-Range: x\r\n"), 1));
    all.push((get(TAGS, &format!("A: {}\r\n", "a".repeat(70_000))), 1));
    all.push((get(TAGS, &"A: b\r\n".repeat(100)), 1));
    // Requests one behind another get one response each.
    let one = format!("GET {TAGS} HTTP/1.1\r\nHost: x\r\n\r\n");
    all.push((format!("{one}{one}{one}").into_bytes(), 3));
    all
}

#[tokio::test]
async fn no_shape_of_http1_leads_elsewhere_or_gets_two_responses() {
    let service = start();
    let all = http1();
    assert!(all.len() >= 76 && all.iter().collect::<BTreeSet<_>>().len() == all.len(), "{}", all.len());
    for (bytes, most) in &all {
        let about = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
        let said = String::from_utf8_lossy(&service.send(bytes).await).into_owned();
        let responses = said.matches("HTTP/1.1 ").count() + said.matches("HTTP/1.0 ").count();
        let interim = said.matches("HTTP/1.1 100 ").count();
        assert!(responses - interim <= *most, "{about:?}: {said}");
        let locations = service.check_locations(&about);
        // The wire has as many `Location` lines as the listener meant to send.
        assert_eq!(said.to_ascii_lowercase().matches("\r\nlocation: ").count(), locations, "{about:?}: {said}");
    }
    let pipelined = service.send(&all.last().unwrap().0).await;
    assert_eq!(String::from_utf8_lossy(&pipelined).matches("HTTP/1.1 307 ").count(), 3);
}

/// A field as HPACK writes it literally, without index (RFC 7541 §6.2.2).
fn field(name: &str, value: &[u8]) -> Vec<u8> {
    assert!(name.len() < 127 && value.len() < 127, "one byte holds the length");
    [&[0, name.len() as u8][..], name.as_bytes(), &[value.len() as u8], value].concat()
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

type Fields = Vec<(&'static str, Vec<u8>)>;

fn fields(path: &str) -> Fields {
    let text = |text: &str| text.as_bytes().to_vec();
    vec![
        (":method", text("GET")),
        (":scheme", text("https")),
        (":authority", text("registry.example")),
        (":path", text(path)),
    ]
}

/// Lists of fields over HTTP/2, with a body or none.
fn http2() -> Vec<(Fields, Option<&'static str>)> {
    const TAGS: &str = "/v2/a/tags/list";
    let mut all: Vec<(Fields, Option<&'static str>)> = Vec::new();
    let value = |name: &'static str, value: &[u8]| {
        let mut fields = fields(TAGS);
        match fields.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value.to_vec(),
            None => fields.push((name, value.to_vec())),
        }
        fields
    };
    // Pseudo headers: missing, twice, late, unknown.
    for at in 0..4 {
        let without: Fields =
            fields(TAGS).into_iter().enumerate().filter(|(of, _)| *of != at).map(|(_, one)| one).collect();
        let twice: Fields = fields(TAGS).into_iter().chain([fields(TAGS).swap_remove(at)]).collect();
        let mut late = fields(TAGS);
        let moved = late.remove(at);
        late.extend([("a", b"b".to_vec()), moved]);
        all.extend([without, twice, late].map(|fields| (fields, None)));
    }
    for (name, odd) in [
        (":status", "200"),
        (":protocol", "websocket"),
        (":x", "y"),
        ("A", "b"),
        ("a b", "c"),
        ("", "x"),
        ("a\r\nlocation", "x"),
    ] {
        all.push((value(name, odd.as_bytes()), None));
    }
    // Paths.
    for path in [
        "",
        "*",
        "v2/a/tags/list",
        "//evil.example",
        "//evil.example/v2/a/tags/list",
        "/\\evil.example",
        "\\evil.example",
        "https://evil.example/v2/a/tags/list",
        "@evil.example/v2/a/tags/list",
        "/v2/a/tags/list\x7f",
        "/v2/a/tags/list\0",
        "/v2/a/tags/list\r\nlocation: https://evil.example",
        "/v2/a/tags/list\n",
        "/v2/a b/tags/list",
        "/v2/\u{e9}/tags/list",
        "/v2/a/tags/list?\u{e9}",
        "/v2/../tags/list",
        "/v2/%2e%2e/tags/list",
        "/v2/a/tags/list#https://evil.example",
        "/v2/a/tags/list?x=\r\nlocation:",
    ] {
        all.push((value(":path", path.as_bytes()), None));
        let further = path.replace("/v2/", FILES);
        if further != path {
            all.push((value(":path", further.as_bytes()), None));
        }
    }
    for authority in ["", "evil.example", "a@evil.example", "evil.example/x", "evil.example\r\nx: y", "[::1"] {
        all.push((value(":authority", authority.as_bytes()), None));
    }
    for (name, odd) in [
        (":scheme", "ftp"),
        (":scheme", ""),
        (":method", "CONNECT"),
        (":method", "TRACE"),
        (":method", "GE T"),
        ("host", "evil.example"),
        ("te", "trailers, deflate"),
        ("te", "chunked"),
        ("transfer-encoding", "chunked"),
        ("connection", "close"),
        ("upgrade", "h2c"),
        ("keep-alive", "x"),
        ("a", "b\r\nlocation: https://evil.example"),
        ("a", "b\0"),
    ] {
        all.push((value(name, odd.as_bytes()), None));
    }
    all.push((value("content-length", b"5"), None));
    all.push((value("content-length", b"1"), Some("GET //evil.example HTTP/1.1\r\n\r\n")));
    all.push((value("content-length", b"-1"), Some("x")));
    all
}

#[tokio::test]
async fn no_shape_of_http2_leads_elsewhere_or_gets_two_responses() {
    let service = start();
    let all = http2();
    assert!(all.len() >= 58, "{}", all.len());
    for (fields, body) in all {
        let about = format!(
            "{:?} {body:?}",
            fields.iter().map(|(name, value)| format!("{name}: {}", value.escape_ascii())).collect::<Vec<_>>()
        );
        let block: Vec<u8> = fields.iter().flat_map(|(name, value)| field(name, value)).collect();
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend(frame(4, 0, 0, &[]));
        // END_HEADERS, and END_STREAM if there is no body.
        bytes.extend(frame(1, if body.is_some() { 4 } else { 5 }, 1, &block));
        bytes.extend(body.map(|body| frame(0, 1, 1, body.as_bytes())).unwrap_or_default());
        let said = service.send(&bytes).await;
        let (mut rest, mut heads) = (&said[..], 0);
        while let [a, b, c, kind, _, _, _, _, _, behind @ ..] = rest {
            let len = u32::from_be_bytes([0, *a, *b, *c]) as usize;
            heads += usize::from(*kind == 1);
            rest = behind.get(len..).unwrap_or_default();
        }
        assert!(heads <= 1, "{about}: {heads} responses");
        // A response to a body of another length is not sent: the stream is reset.
        assert!(service.check_locations(&about) <= 1, "{about}");
    }
}
