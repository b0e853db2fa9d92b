//! The table again, through the service; and the service's treatment of slow, lasting and odd clients.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use pharos::base::time::Moment;
use pharos::config::{FileUse, InputFile, TlsFiles};
use pharos::http::{Admin, BlobAsker, Handler, HttpServer, PROTOCOLS, Pull, Token};
use pharos::listen::{BeyondLimit, Clients, Common, Limits, Listeners, Terms, bind};
use pharos::live::Readiness;
use pharos::mirror::Health::{self, Up};
use pharos::process::Vital;
use pharos::registry::RouteOutcome::{BlobCanonical, BlobFromMirror, BlobMirror, BlobSteered};
use pharos::telemetry::http::Http;
use pharos::tls::{self, Tls};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::cases::{Case, Expected, HEX, all};
use crate::world::{Setup, settings, snapshot};

/// Longer than anything here takes, and shorter than a test may hang.
const PATIENCE: Duration = Duration::from_secs(20);

/// Connections at once.
const MAX_CONNECTIONS: usize = 8;

pub(crate) struct Service {
    server: Listeners,
    pub(crate) address: SocketAddr,
    pub(crate) counters: Arc<Http>,
}

fn start(setup: Setup, health: [Health; 3], tls: Option<Arc<Tls>>) -> Service {
    let (published, ..) = pharos::live::publish(snapshot(health), || Moment(0));
    let settings = Arc::new(ArcSwap::from_pointee(settings(setup)));
    let counters = Arc::new(Http::default());
    serve(Pull::new(published, settings, counters.clone(), BlobAsker::new(None)), tls, counters)
}

fn serve(handler: impl Handler, tls: Option<Arc<Tls>>, counters: Arc<Http>) -> Service {
    serve_many(MAX_CONNECTIONS, handler, tls, counters)
}

/// The same with this limit of connections.
pub(crate) fn serve_many(
    connections: usize,
    handler: impl Handler,
    tls: Option<Arc<Tls>>,
    counters: Arc<Http>,
) -> Service {
    let idle = Duration::from_secs(30);
    let limits = Limits { connections, per_client: connections, beyond: BeyondLimit::CloseIdlest, idle };
    let bound = bind(&["127.0.0.1:0".parse().unwrap()], "listen").unwrap();
    let address = bound.addresses()[0];
    let terms = Terms { kind: "registry", clients: Clients::new(limits), tls, common: Common::new(Vital::new().0) };
    Service { server: HttpServer::start(bound, terms, handler, counters.clone()).unwrap(), address, counters }
}

/// A certificate for `registry.example` in files, and itself as the root to trust.
struct Certificate {
    files: TlsFiles,
    root: CertificateDer<'static>,
    _folder: tempfile::TempDir,
}

impl Certificate {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["registry.example".to_string()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
        std::fs::write(&cert, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let root = CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap();
        Certificate {
            files: TlsFiles { cert: InputFile::at(cert, FileUse::Pem), key: InputFile::at(key, FileUse::Pem) },
            root,
            _folder: folder,
        }
    }

    fn identity(&self) -> tls::Identity {
        tls::load(&self.files, UnixTime::now()).unwrap().0
    }

    /// A client that trusts this certificate alone.
    fn client(&self, protocol: &[u8]) -> rustls::ClientConfig {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        config
    }
}

async fn connect_tls(
    address: SocketAddr,
    config: Arc<rustls::ClientConfig>,
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let name = ServerName::try_from("registry.example").unwrap();
    tokio_rustls::TlsConnector::from(config).connect(name, TcpStream::connect(address).await?).await
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Version {
    Http1,
    Http2,
}

impl Version {
    fn alpn(self) -> &'static [u8] {
        match self {
            Version::Http1 => b"http/1.1",
            Version::Http2 => b"h2",
        }
    }
}

/// Sends all requests over one connection and collects the whole replies.
async fn exchange<S>(stream: S, version: Version, requests: Vec<Request<Empty<Bytes>>>) -> Vec<Said>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(stream);
    let mut said = Vec::new();
    match version {
        Version::Http1 => {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
            tokio::spawn(connection);
            for request in requests {
                sender.ready().await.unwrap();
                said.push(Said::of(sender.send_request(request).await.unwrap()).await);
            }
        }
        Version::Http2 => {
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            for request in requests {
                sender.ready().await.unwrap();
                said.push(Said::of(sender.send_request(request).await.unwrap()).await);
            }
        }
    }
    said
}

/// A whole reply, except for its date.
#[derive(Debug, PartialEq)]
struct Said {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Said {
    async fn of(response: Response<hyper::body::Incoming>) -> Self {
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let headers = head.headers.iter().filter(|(name, _)| *name != "date");
        let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_string())).collect();
        Said { status: head.status.as_u16(), headers, body: String::from_utf8(body.to_vec()).unwrap() }
    }

    /// The reply that the table expects for a request.
    fn expected(case: &Case, method: &str) -> Self {
        let (status, body, extra) = match &case.expected {
            Expected::Version => {
                (200, "{}".to_string(), vec![("docker-distribution-api-version", "registry/2.0".to_string())])
            }
            Expected::Healthy => (200, "ok\n".to_string(), Vec::new()),
            Expected::Methods => (200, String::new(), vec![("allow", "GET, HEAD".to_string())]),
            Expected::To(url) => (307, String::new(), vec![("location", url.clone())]),
            Expected::Refused(status, code) => {
                let message = message_of(code);
                let body = format!(r#"{{"errors":[{{"code":"{code}","message":"{message}"}}]}}"#);
                let allow = (*status == 405).then(|| ("allow", "GET, HEAD".to_string()));
                (*status, body, allow.into_iter().collect())
            }
        };
        let mut headers: BTreeMap<String, String> =
            extra.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
        headers.insert("content-length".into(), body.len().to_string());
        if !body.is_empty() {
            let kind =
                if case.expected == Expected::Healthy { "text/plain; charset=utf-8" } else { "application/json" };
            headers.insert("content-type".into(), kind.into());
        }
        if [BlobSteered, BlobMirror, BlobFromMirror, BlobCanonical].contains(&case.outcome) {
            headers.insert("cache-control".into(), "private".into());
        }
        Said { status, headers, body: if method == "HEAD" { String::new() } else { body } }
    }
}

fn message_of(code: &str) -> &'static str {
    match code {
        "DIGEST_INVALID" => "the digest is not `algorithm:encoded` with the length of its algorithm",
        "MANIFEST_UNKNOWN" => "the reference is neither a tag nor a digest",
        "NOT_FOUND" => {
            "not found: the API is below `/v2/`, health is at `/healthz`; `info` and `privacy` of `[registry]` set the pages"
        }
        "NAME_INVALID" => "the repository name does not follow the grammar or is longer than 255",
        "UNSUPPORTED" => "this registry serves pulls only",
        other => panic!("{other} has no message"),
    }
}

fn request(case: &Case, method: &str, version: Version) -> Request<Empty<Bytes>> {
    let mut request = Request::builder().method(method);
    request = match version {
        Version::Http1 => request.uri(case.target.as_str()).header("host", "registry.example"),
        Version::Http2 => request.uri(format!("https://registry.example{}", case.target)),
    };
    for line in &case.forwarded {
        request = request.header("x-forwarded-for", *line);
    }
    request.body(Empty::new()).unwrap()
}

/// Runs the whole table over one kind of connection, each GET also as HEAD, a service for each world in it.
async fn run_table(version: Version, certificate: Option<&Certificate>) {
    let mut worlds: Vec<(Setup, [Health; 3], Vec<Case>)> = Vec::new();
    for case in all() {
        match worlds.iter_mut().find(|(setup, health, _)| (*setup, *health) == (case.setup, case.health)) {
            Some((.., cases)) => cases.push(case),
            None => worlds.push((case.setup, case.health, vec![case])),
        }
    }
    for (setup, health, cases) in worlds {
        let tls = certificate.map(|one| Arc::new(Tls::new(one.identity(), &PROTOCOLS).unwrap()));
        let service = start(setup, health, tls);
        let asked: Vec<(&Case, &str)> = cases
            .iter()
            .flat_map(|case| [Some((case, case.method)), (case.method == "GET").then_some((case, "HEAD"))])
            .flatten()
            .collect();
        let requests = asked.iter().map(|(case, method)| request(case, method, version)).collect();
        let said = match certificate {
            Some(one) => {
                let config = Arc::new(one.client(version.alpn()));
                let stream = connect_tls(service.address, config).await.unwrap();
                assert_eq!(stream.get_ref().1.alpn_protocol(), Some(version.alpn()));
                exchange(stream, version, requests).await
            }
            None => exchange(TcpStream::connect(service.address).await.unwrap(), version, requests).await,
        };
        assert_eq!(said.len(), asked.len());
        for (said, (case, method)) in said.iter().zip(&asked) {
            let about = format!("{version:?} {setup:?} {health:?} {method} {} {:?}", case.target, case.forwarded);
            assert_eq!(*said, Said::expected(case, method), "{about}");
        }
        for outcome in pharos::registry::RouteOutcome::ALL {
            let count = asked.iter().filter(|(case, _)| case.outcome == outcome).count() as u64;
            assert_eq!(service.counters.requests(outcome), count, "{outcome:?}");
        }
        assert_eq!(service.server.stop(PATIENCE).await, 0);
    }
}

#[tokio::test]
async fn the_service_gives_what_the_table_says_over_http1() {
    run_table(Version::Http1, None).await;
}

#[tokio::test]
async fn the_service_gives_what_the_table_says_over_h2_by_prior_knowledge() {
    run_table(Version::Http2, None).await;
}

#[tokio::test]
async fn the_service_gives_what_the_table_says_over_tls() {
    let certificate = Certificate::new();
    run_table(Version::Http1, Some(&certificate)).await;
    run_table(Version::Http2, Some(&certificate)).await;
}

/// Sends bytes unchanged and reads until the server closes.
async fn raw(address: SocketAddr, octets: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(octets).await.unwrap();
    read_to_end(&mut stream).await
}

async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    // A reset is an end as well: it may follow bytes that the server never read.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut all)).await.expect("the server closes");
    String::from_utf8(all).unwrap()
}

#[tokio::test]
async fn odd_octets_never_reach_a_location() {
    let service = start(Setup::Full, [Up; 3], None);
    for target in [
        "/v2/\\evil.example/manifests/1",
        "/v2/a/manifests/1\rX:y",
        "/v2/a/tags/list?x=\u{e9}",
        "/v2/\u{e9}/tags/list",
        "http://evil.example/v2/Bad/tags/list",
        "/v2/a b/tags/list",
        "/v2/a/tags/list\0",
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let said = raw(service.address, request.as_bytes()).await;
        assert!(said.starts_with("HTTP/1.1 4"), "{target}: {said}");
        assert!(!said.to_ascii_lowercase().contains("location"), "{target}: {said}");
    }
    // The absolute form has a path like any other; the host in it is not used.
    let said = raw(
        service.address,
        b"GET http://evil.example/v2/a/tags/list HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    );
    assert!(said.await.contains("location: https://canonical.example/v2/some/repo/a/tags/list\r\n"));
}

#[tokio::test]
async fn a_request_body_is_not_read_and_ends_the_connection() {
    let service = start(Setup::Full, [Up; 3], None);
    let smuggled = "GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n";
    let request = format!("GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{smuggled}", smuggled.len());
    let said = raw(service.address, request.as_bytes()).await;
    assert_eq!(said.matches("HTTP/1.1 ").count(), 1, "{said}");
    assert!(said.contains("connection: close\r\n"), "{said}");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let service = start(Setup::Full, [Up; 3], None);
    let request = format!("GET /v2/ HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "a".repeat(32 * 1024));
    let said = raw(service.address, request.as_bytes()).await;
    assert!(said.starts_with("HTTP/1.1 431"), "{said}");
}

#[tokio::test]
async fn a_paused_head_is_cut_and_other_clients_are_not_held_up() {
    let service = start(Setup::Full, [Up; 3], None);
    let begun = Instant::now();
    let mut slow = TcpStream::connect(service.address).await.unwrap();
    slow.write_all(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nA: ").await.unwrap();
    let said = raw(service.address, b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    read_to_end(&mut slow).await;
    let took = begun.elapsed();
    assert!((2..10).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test]
async fn stopping_finishes_what_is_in_flight_and_frees_the_port() {
    let service = start(Setup::Full, [Up; 3], None);
    let mut idle = TcpStream::connect(service.address).await.unwrap();
    let mut busy = TcpStream::connect(service.address).await.unwrap();
    // One whole request shows that the connection was accepted; of the next, half is sent.
    let mut first = [0; 12];
    idle.write_all(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    idle.read_exact(&mut first).await.unwrap();
    busy.write_all(b"GET /v2/ HTTP/1.1\r\n").await.unwrap();
    while service.counters.connections.value() < 2 {
        tokio::task::yield_now().await;
    }
    // The answer to a request that was sent after that half shows that the half was read as well.
    raw(service.address, b"GET /v2/ HTTP/1.0\r\n\r\n").await;
    let mut stop = tokio::spawn(service.server.stop(PATIENCE));
    // The silent connection is closed at once, and no client can connect any more.
    read_to_end(&mut idle).await;
    while TcpStream::connect(service.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    tokio::select! {
        biased;
        ended = &mut stop => panic!("stopped with a request in flight: {ended:?}"),
        () = tokio::task::yield_now() => {}
    }
    busy.write_all(b"Host: x\r\n\r\n").await.unwrap();
    let said = read_to_end(&mut busy).await;
    assert!(said.starts_with("HTTP/1.1 200") && said.contains("connection: close"), "{said}");
    assert_eq!(stop.await.unwrap(), 0);
    assert_eq!(service.counters.connections.value(), 0);
    bind(&[service.address], "listen").unwrap();
}

#[tokio::test]
async fn stopping_cuts_what_does_not_end_in_time() {
    let service = start(Setup::Full, [Up; 3], None);
    let mut slow = TcpStream::connect(service.address).await.unwrap();
    slow.write_all(b"GET /v2/ HTTP/1.1\r\n").await.unwrap();
    while service.counters.connections.value() < 1 {
        tokio::task::yield_now().await;
    }
    raw(service.address, b"GET /v2/ HTTP/1.0\r\n\r\n").await;
    assert_eq!(service.server.stop(Duration::from_millis(10)).await, 1);
    assert_eq!(read_to_end(&mut slow).await, "");
}

#[tokio::test]
async fn replacing_a_certificate_drops_no_connection_and_no_ticket() {
    let (old, new) = (Certificate::new(), Certificate::new());
    let tls = Arc::new(Tls::new(old.identity(), &PROTOCOLS).unwrap());
    let service = start(Setup::Full, [Up; 3], Some(tls.clone()));
    let client = Arc::new(old.client(b"http/1.1"));
    let ask = b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut status = [0; 15];

    let mut before = connect_tls(service.address, client.clone()).await.unwrap();
    before.write_all(ask).await.unwrap();
    before.read_exact(&mut status).await.unwrap();
    tls.replace(new.identity());

    before.write_all(ask).await.unwrap();
    before.read_exact(&mut status).await.unwrap();
    // A fresh client must trust the new certificate; one with a ticket resumes without seeing it.
    assert!(connect_tls(service.address, Arc::new(old.client(b"http/1.1"))).await.is_err());
    connect_tls(service.address, Arc::new(new.client(b"http/1.1"))).await.unwrap();
    let mut resumed = connect_tls(service.address, client).await.unwrap();
    resumed.write_all(ask).await.unwrap();
    resumed.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200 OK");
    assert_eq!(resumed.get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Resumed));
}

#[tokio::test]
async fn a_failed_handshake_is_counted_and_harms_nobody() {
    let certificate = Certificate::new();
    let tls = Arc::new(Tls::new(certificate.identity(), &PROTOCOLS).unwrap());
    let service = start(Setup::Full, [Up; 3], Some(tls));
    raw(service.address, b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let stream = connect_tls(service.address, Arc::new(certificate.client(b"h2"))).await;
    assert!(stream.is_ok());
    assert_eq!(service.counters.handshake_errors.value(), 1);
}

#[tokio::test]
async fn the_admin_listener_tells_health_readiness_and_metrics() {
    let counted = start(Setup::Full, [Up; 3], None);
    let blob = format!("GET /v2/a/blobs/sha256:{HEX} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    raw(counted.address, blob.as_bytes()).await;
    let readiness = Arc::new(Readiness::default());
    let admin = Admin::new(readiness.clone(), None, 0);
    let service = serve(admin.clone(), None, Arc::new(Http::default()));
    let ask = async |line: &str| raw(service.address, format!("{line} HTTP/1.0\r\n\r\n").as_bytes()).await;

    assert!(ask("GET /healthz").await.starts_with("HTTP/1.0 200"));
    let early = ask("GET /ready").await;
    assert!(early.starts_with("HTTP/1.0 503") && early.contains("\r\n\r\nstarting: "), "{early}");
    assert!(ask("GET /metrics").await.starts_with("HTTP/1.0 503"));
    admin.show(vec![counted.counters.clone()]);
    readiness.serve();
    assert!(ask("GET /ready").await.starts_with("HTTP/1.0 200"));
    for path in ["/mirrors", "/mirrors/a/order", "/status", "/explain?client=192.0.2.1"] {
        assert!(ask(&format!("GET {path}")).await.starts_with("HTTP/1.0 403"), "without a token nobody has one");
    }
    assert!(ask("GET /mirrorss").await.starts_with("HTTP/1.0 404"));
    let document = ask("GET /").await;
    assert!(document.starts_with("HTTP/1.0 200") && document.contains("content-security-policy: default-src 'none'"));
    assert!(ask("POST /metrics").await.starts_with("HTTP/1.0 405"));
    let page = ask("GET /metrics").await;
    assert!(page.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{page}");
    for sample in [
        "pharos_http_requests_total{rule=\"7\",outcome=\"blob-steered\"} 1\n",
        "pharos_http_responses_total{status=\"307\"} 1\n",
        "pharos_http_accepted_total 1\n",
    ] {
        assert!(page.contains(sample), "{sample} is not in\n{page}");
    }
    readiness.stop();
    assert!(ask("GET /ready").await.starts_with("HTTP/1.0 503"));
    assert!(ask("GET /healthz").await.starts_with("HTTP/1.0 200"));
}

#[tokio::test]
async fn every_listener_wants_one_host() {
    let registry = start(Setup::Full, [Up; 3], None);
    let admin = serve(Admin::new(Arc::default(), None, 0), None, Arc::default());
    for (service, path) in [(&registry, "/v2/"), (&admin, "/healthz")] {
        for hosts in ["", "Host: 127.0.0.1\r\nHost: 127.0.0.1\r\n", "Host: a@b\r\n", "Host: a b\r\n"] {
            let request = format!("GET {path} HTTP/1.1\r\n{hosts}\r\n");
            let said = raw(service.address, format!("{request}{request}").as_bytes()).await;
            assert!(said.starts_with("HTTP/1.1 400"), "{hosts}: {said}");
            assert_eq!(said.matches("HTTP/1.1 ").count(), 1, "{hosts}: {said}");
        }
        assert_eq!(service.counters.host_errors.value(), 4);
        let said = raw(service.address, format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await;
        assert!(said.starts_with("HTTP/1.0 200"), "{said}");
    }
}

#[tokio::test]
async fn the_admin_listener_answers_for_its_own_names_alone() {
    let admin = Admin::new(Arc::default(), None, 0);
    admin.set_names(vec!["pharos.example".into()]);
    let service = serve(admin.clone(), None, Arc::default());
    let ask = async |host: &str, path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        raw(service.address, request.as_bytes()).await
    };
    for host in ["127.0.0.1", "192.0.2.7:9153", "[::1]:9153", "LocalHost:9153", "Pharos.Example", "pharos.example.:80"]
    {
        let said = ask(host, "/healthz").await;
        assert!(said.starts_with("HTTP/1.1 200"), "{host}: {said}");
    }
    for path in ["/", "/healthz", "/ready", "/metrics", "/status", "/mirrors/a/order"] {
        for host in
            ["rebound.example", "localhost.rebound.example", "127.0.0.1.rebound.example:9153", "xpharos.example"]
        {
            let said = ask(host, path).await;
            assert!(said.starts_with("HTTP/1.1 421"), "{host} {path}: {said}");
        }
    }
    assert_eq!(admin.counters().misdirected.value(), 24);
}

#[tokio::test]
async fn wrong_tokens_are_seen_and_slowed_and_the_right_one_is_never_refused() {
    let desk: pharos::http::DeskHandler =
        Arc::new(|_, _, _| Box::pin(async { hyper::Response::new(http_body_util::Full::default()) }));
    let admin = Admin::new(Arc::default(), Some(desk), 100);
    admin.set_token(Some(Token::new("0123456789abcdef0123")));
    let service = serve(admin.clone(), None, Arc::default());
    let ask = async |token: &str| {
        let header = if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
        let request = format!("GET /status HTTP/1.1\r\nHost: localhost\r\n{header}Connection: close\r\n\r\n");
        raw(service.address, request.as_bytes()).await
    };
    for _ in 0..20 {
        let said = ask("0123456789abcdef0124").await;
        assert!(said.starts_with("HTTP/1.1 401") && said.contains("invalid_token"), "{said}");
    }
    // A minute may end between any two of these.
    let mut limited = 0;
    for _ in 0..30 {
        let said = ask("0123456789abcdef0124").await;
        limited += u64::from(said.starts_with("HTTP/1.1 429") && said.contains("retry-after: "));
        assert!(ask("0123456789abcdef0123").await.starts_with("HTTP/1.1 200"));
        assert!(ask("").await.starts_with("HTTP/1.1 401"));
    }
    assert!(limited >= 10, "{limited}");
    let counters = admin.counters();
    use pharos::telemetry::admin::TokenOutcome::{Limited, Missing, Right, Wrong};
    let counted = [Right, Missing, Limited].map(|what| counters.tokens(what));
    assert_eq!((counted, counters.tokens(Wrong)), ([30, 30, limited], 50 - limited));
    // A request that needs no token is answered all the same.
    let said = raw(service.address, b"GET /healthz HTTP/1.0\r\n\r\n").await;
    assert!(said.starts_with("HTTP/1.0 200"), "{said}");
}

#[tokio::test]
async fn connections_over_the_limit_close_the_idlest() {
    let service = start(Setup::Full, [Up; 3], None);
    let ask = async |stream: &mut TcpStream| {
        stream.write_all(b"HEAD /v2/ HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(tokio::time::timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 200"), "{}", head.escape_ascii());
    };
    let mut active = TcpStream::connect(service.address).await.unwrap();
    ask(&mut active).await;
    let mut silent = Vec::new();
    for _ in 0..3 * MAX_CONNECTIONS {
        silent.push(TcpStream::connect(service.address).await.unwrap());
    }
    let mut next = TcpStream::connect(service.address).await.unwrap();
    ask(&mut next).await;
    // Those that asked keep their places; of the silent ones the oldest went.
    ask(&mut active).await;
    let ended = tokio::time::timeout(PATIENCE, silent[0].read(&mut [0; 1])).await.unwrap();
    assert_eq!(ended.unwrap_or(0), 0);
    // The tasks of closed connections end a little after the connections have lost their places.
    while service.counters.connections.value() > MAX_CONNECTIONS as u64 {
        tokio::task::yield_now().await;
    }
    assert_eq!(service.counters.evicted.value(), service.counters.accepted.value() - MAX_CONNECTIONS as u64);
}

#[tokio::test]
async fn an_address_that_is_taken_is_named_with_the_remedy() {
    let service = start(Setup::Full, [Up; 3], None);
    let error = bind(&[service.address], "listen").unwrap_err();
    // The process has the port itself.
    let ours = "another key of the configuration has the port";
    assert_eq!(error.to_string(), format!("failed to listen on {} (TCP): {ours}", service.address));
    assert!(error.help().starts_with("choose another address or port in `listen`"));
}
