//! The listener before real registries: signatures in a place of their own, a mirror that pulls through the listener, and
//! paths as docker-registry reads them.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::http::request::Parts;
use pharos::base::ends::SocketEnds;
use pharos::base::prefix::PrefixSet;
use pharos::base::time::Moment;
use pharos::http::{At, BlobAsker, Body, Canonical, Handler, Means, Pull};
use pharos::mirror::Health::Up;
use pharos::registry::{BlobTarget, MAX_REFERRERS_LEN, PathRules, RegistrySettings, RouteOutcome, Upstream};
use pharos::snapshot::Snapshot;
use pharos::telemetry::blobs::Result as Asked;
use pharos::telemetry::http::Http;
use pharos::tls::Dialer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::common::ports::free_address;
use crate::needs::program;
use crate::service::{Service, serve_many};
use crate::upstreams::{DockerRegistry, call, digest, follow};
use crate::world::{snapshot, snapshot_with};

const PATIENCE: Duration = Duration::from_secs(60);

struct Front {
    _server: Service,
    at: SocketAddr,
    asker: Arc<BlobAsker>,
    counters: Arc<Http>,
}

fn upstream(at: SocketAddr, path: &str) -> Upstream {
    Upstream::new("http", &at.to_string(), path)
}

/// The listener with this canonical registry, which is the mirror too.
fn settings(canonical: SocketAddr, path: &str, signatures: Option<SocketAddr>) -> RegistrySettings {
    RegistrySettings {
        canonical: upstream(canonical, path),
        blobs: Some(upstream(canonical, path)),
        horizon: None,
        signatures: signatures.map(|at| upstream(at, "")),
        info: None,
        privacy: None,
        paths: PathRules::default(),
        blob_target: BlobTarget::SteeredName,
        asks_mirrors: false,
        trusted_proxies: PrefixSet::new(&[]),
    }
}

impl Front {
    fn start(canonical: SocketAddr, settings: RegistrySettings, snapshot: Snapshot) -> Front {
        let authority: Arc<str> = canonical.to_string().into();
        let dialer = Dialer::of_registry(authority.clone(), "127.0.0.1", canonical.port(), None).unwrap();
        let hour = Duration::from_secs(3600);
        let canonical =
            Canonical { dialer, authority, line: "http://canonical".into(), at: At::Address(canonical.ip()) };
        let means = Means {
            mirrors: None,
            canonical: settings.signatures.as_ref().map(|_| canonical),
            wait: PATIENCE,
            timeout: PATIENCE,
            keep: hour,
            lacking: hour,
        };
        let asker = BlobAsker::new(Some(means));
        let (published, ..) = pharos::live::publish(snapshot, || Moment(0));
        let counters = Arc::new(Http::default());
        let settings = Arc::new(ArcSwap::from_pointee(settings));
        let pull = Pull::new(published, settings, counters.clone(), asker.clone());
        let server = serve_many(100, pull, None, counters.clone());
        Front { at: server.address, _server: server, asker, counters }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_copies_a_signature_by_tag_and_by_digest() {
    let (Some(canonical), Some(signatures)) =
        (DockerRegistry::start(None, None).await, DockerRegistry::start(None, None).await)
    else {
        return;
    };
    let [image, config, layer] = canonical.push("some/repo/demo", "1.0", "a layer").await;
    let tag = format!("{}.sig", image.replace(':', "-"));
    let [signature, _, payload] = signatures.push("demo", &tag, "a signed payload").await;
    let front = Front::start(canonical.at, settings(canonical.at, "some/repo", Some(signatures.at)), snapshot([Up; 3]));
    for (path, found) in [
        (format!("/v2/demo/manifests/{image}"), canonical.at),
        (format!("/v2/demo/blobs/{config}"), canonical.at),
        (format!("/v2/demo/blobs/{layer}"), canonical.at),
        (format!("/v2/demo/manifests/{tag}"), signatures.at),
        (format!("/v2/demo/manifests/{signature}"), signatures.at),
        (format!("/v2/demo/blobs/{payload}"), signatures.at),
        // Debian's docker-registry has no list of referrers.
        (format!("/v2/demo/referrers/{image}"), signatures.at),
    ] {
        let (status, location, _) = call(front.at, hyper::Method::GET, &path, "", "").await;
        assert_eq!(status, 307, "{path}");
        let location = location.unwrap();
        assert!(location.starts_with(&format!("http://{found}/v2/")), "{path}: {location}");
        if !path.contains("referrers") {
            assert_eq!(follow(front.at, &path).await.0, 200, "{path}");
        }
    }
    let Some(skopeo) = program("skopeo", "skopeo") else { return };
    let folder = tempfile::tempdir().unwrap();
    let all = ["1.0", &image, &tag, &signature];
    for (number, reference) in all.into_iter().enumerate() {
        let separator = if reference.contains(':') { '@' } else { ':' };
        let copied = Command::new(&skopeo)
            .args(["--insecure-policy", "copy", "--src-tls-verify=false"])
            .arg(format!("docker://{}/demo{separator}{reference}", front.at))
            .arg(format!("dir:{}", folder.path().join(number.to_string()).display()))
            .output()
            .unwrap();
        assert!(copied.status.success(), "{reference}: {}", String::from_utf8_lossy(&copied.stderr));
    }
}

/// A registry that chooses its reply to a request for referrers by the last digit of the digest, and counts requests.
#[derive(Default)]
pub(crate) struct Fake(pub(crate) Arc<AtomicUsize>);

impl Handler for Fake {
    type Answer = pharos::http::HttpResponse;
    const RESPONSE_LEN: usize = 2 * MAX_REFERRERS_LEN;

    fn respond(&self, head: &Parts, _: &Body, _: &SocketEnds) -> Self::Answer {
        self.0.fetch_add(1, Relaxed);
        let path = head.uri.path();
        let (status, body) = match path.as_bytes().last().unwrap() {
            b'0' => (200, r#"{"schemaVersion":2,"manifests":[]}"#.to_string()),
            b'1' => (200, r#"{"schemaVersion":2,"manifests":[{"digest":"sha256:0"}]}"#.to_string()),
            b'2' => (404, String::new()),
            b'3' => (500, String::new()),
            b'4' => (401, String::new()),
            b'5' => (200, "<html>".to_string()),
            b'6' => (200, format!(r#"{{"manifests":[],"x":"{}"}}"#, "x".repeat(MAX_REFERRERS_LEN))),
            _ => (307, String::new()),
        };
        let mut response = hyper::Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap();
        response
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_canonical_is_known_to_lack_goes_to_signatures() {
    let asked = Arc::new(AtomicUsize::new(0));
    let fake = serve_many(100, Fake(asked.clone()), None, Arc::default());
    let canonical = fake.address;
    let signatures: SocketAddr = "192.0.2.1:5000".parse().unwrap();
    let front = Front::start(canonical, settings(canonical, "", Some(signatures)), snapshot([Up; 3]));
    let place = async |path: &str| {
        let (status, location, _) = call(front.at, hyper::Method::GET, path, "", "").await;
        assert_eq!(status, 307, "{path}");
        let location = location.unwrap();
        let at = location.strip_prefix("http://").and_then(|rest| rest.strip_suffix(path)).unwrap();
        at.parse::<SocketAddr>().unwrap()
    };
    let path = |kind: &str, last: char| format!("/v2/demo/{kind}/sha256:{}{last}", "a".repeat(63));
    for (last, lacks) in
        [('0', true), ('1', false), ('2', true), ('3', false), ('4', false), ('5', false), ('6', false), ('7', false)]
    {
        let right = if lacks { signatures } else { canonical };
        for _ in 0..3 {
            assert_eq!(place(&path("referrers", last)).await, right, "{last}");
        }
    }
    // Each once: the answer is remembered.
    assert_eq!(asked.load(Relaxed), 8);
    // The query has a say: another filter is another list.
    assert_eq!(place(&format!("{}?artifactType=a%2Fb", path("referrers", '0'))).await, signatures);
    assert_eq!(asked.load(Relaxed), 9);
    for kind in ["manifests", "blobs"] {
        for last in ['1', '2', '3', '4', '7'] {
            let right = if last == '2' { signatures } else { canonical };
            assert_eq!(place(&path(kind, last)).await, right, "{kind} {last}");
        }
    }
    assert_eq!(asked.load(Relaxed), 19);
    // The tag that has the list of referrers where there is no API for it.
    for (last, lacks) in [('0', true), ('1', false), ('2', true)] {
        let right = if lacks { signatures } else { canonical };
        let tag = format!("/v2/demo/manifests/sha256-{}{last}", "a".repeat(63));
        assert_eq!(place(&tag).await, right, "{last}");
    }
    let asked_before = asked.swap(19, Relaxed);
    assert_eq!(asked_before, 22);
    // Other tags are not asked for, and those of cosign go to signatures at once.
    assert_eq!(place("/v2/demo/manifests/1.0").await, canonical);
    assert_eq!(place("/v2/demo/tags/list").await, canonical);
    assert_eq!(asked.load(Relaxed), 19);
    let counters = front.asker.counters();
    assert_eq!(counters.canonical_results(Asked::Lacks), 7);
    assert!(front.counters.requests(RouteOutcome::SignatureContent) > 0);
    // Twenty requests for one digest are one question.
    let one = Arc::new(format!("/v2/demo/manifests/sha256:{}2", "b".repeat(63)));
    let all = (0..20).map(|_| {
        let (at, path) = (front.at, one.clone());
        tokio::spawn(async move { call(at, hyper::Method::GET, &path, "", "").await.1.unwrap() })
    });
    for location in all.collect::<Vec<_>>() {
        assert!(location.await.unwrap().starts_with("http://192.0.2.1:5000/"));
    }
    assert_eq!(asked.load(Relaxed), 20);
}

/// Waits until a program has read all that was sent to its end of a connection (proc_pid_net(5)).
async fn until_read(reader: SocketAddr, writer: SocketAddr) {
    let ends = [reader, writer].map(|end| format!(":{:04X}", end.port()));
    let is_read = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        fields.len() > 4
            && fields[1].ends_with(&ends[0])
            && fields[2].ends_with(&ends[1])
            && fields[4].ends_with(":00000000")
    };
    let begun = Instant::now();
    while !std::fs::read_to_string("/proc/net/tcp").unwrap().lines().any(is_read) {
        assert!(begun.elapsed() < PATIENCE, "{reader} does not read");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_referrers_may_come_long_after_its_head() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let canonical = listener.local_addr().unwrap();
    let registry = tokio::spawn(async move {
        let (mut client, peer) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            client.read_buf(&mut request).await.unwrap();
        }
        let body = r#"{"schemaVersion":2,"manifests":[]}"#;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        client.write_all(head.as_bytes()).await.unwrap();
        until_read(peer, canonical).await;
        client.write_all(body.as_bytes()).await.unwrap();
    });
    let signatures: SocketAddr = "192.0.2.1:5000".parse().unwrap();
    let front = Front::start(canonical, settings(canonical, "", Some(signatures)), snapshot([Up; 3]));
    let path = format!("/v2/demo/referrers/sha256:{}", "a".repeat(64));
    let (status, location, _) = call(front.at, hyper::Method::GET, &path, "", "").await;
    assert_eq!((status, location), (307, Some(format!("http://{signatures}{path}"))));
    registry.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_pulls_through_the_listener_is_sent_to_canonical() {
    let Some(canonical) = DockerRegistry::start(None, None).await else { return };
    let mut digests = Vec::new();
    for number in 0..3 {
        digests.push(canonical.push("demo", &format!("{number}"), &format!("layer {number}")).await);
    }
    let mirror = free_address();
    // The first mirror of the horizon is the one that pulls through.
    let snapshot = snapshot_with([Up; 3], |mirrors| mirrors[0].v4 = vec![[127, 0, 0, 1].into()]);
    let settings = RegistrySettings { blobs: Some(upstream(mirror, "")), ..settings(canonical.at, "", None) };
    let front = Front::start(canonical.at, settings, snapshot);
    let _mirror = DockerRegistry::start(Some(mirror.port()), Some(front.at)).await.unwrap();
    for (number, [manifest, config, layer]) in digests.iter().enumerate() {
        for path in [
            format!("/v2/demo/manifests/{manifest}"),
            format!("/v2/demo/blobs/{config}"),
            format!("/v2/demo/blobs/{layer}"),
        ] {
            assert_eq!(follow(mirror, &path).await.0, 200, "{number}: {path}");
        }
    }
    let all: u64 = RouteOutcome::ALL.into_iter().map(|outcome| front.counters.requests(outcome)).sum();
    assert!(all <= 60, "{all} requests for three pulls");
    assert!(front.counters.requests(RouteOutcome::BlobFromMirror) >= 4);
}

/// A client gets the same replies through the listener as from docker-registry directly.
#[tokio::test(flavor = "multi_thread")]
async fn odd_paths_are_read_as_docker_registry_reads_them() {
    let Some(canonical) = DockerRegistry::start(None, None).await else { return };
    let [manifest, _, layer] = canonical.push("a/b", "1.0", "a layer").await;
    let front = Front::start(canonical.at, settings(canonical.at, "", None), snapshot([Up; 3]));
    let escaped = |digest: &str| digest.replace(':', "%3A");
    for path in [
        "/v2/".to_string(),
        "/v2".into(),
        "//v2/".into(),
        "/v2//".into(),
        "/v2%2f".into(),
        "/%76%32/".into(),
        "/v2/a/b/manifests/1.0".into(),
        "/v2/a%2Fb/manifests/1.0".into(),
        "/v2/a%2fb/manifests%2f1%2E0".into(),
        "/v2/a//b/manifests/1.0".into(),
        "//v2//a//b//manifests//1.0".into(),
        format!("/v2/a/b/manifests/{manifest}"),
        format!("/v2/a/b/manifests/{}", escaped(&manifest)),
        format!("/v2/a/b/blobs/{layer}"),
        format!("/v2/a/b/blobs/{}", escaped(&layer)),
        "/v2/a/b/tags/list".into(),
        "/v2/a/b/tags/list/".into(),
        "/v2/a/b/tags//list".into(),
        "/v2/a/b/tags/list?n=1&last=%2F".into(),
        // Refused, or unknown.
        "/v2/a/b/manifests/2.0".into(),
        format!("/v2/a/b/blobs/{}", digest("no such layer")),
        "/v2/a%252Fb/manifests/1.0".into(),
        "/v2/a%5Cb/manifests/1.0".into(),
        "/v2/a%00b/manifests/1.0".into(),
        "/nowhere".into(),
        "/v2foo".into(),
        "/v1/".into(),
    ] {
        let (theirs, ours) = (follow(canonical.at, &path).await, follow(front.at, &path).await);
        match theirs.0 {
            200 => assert_eq!(ours, theirs, "{path}"),
            // The two servers report a wrong name with different texts and codes.
            _ => assert!((400..500).contains(&theirs.0) && (400..500).contains(&ours.0), "{path}: {ours:?} {theirs:?}"),
        }
    }
    for path in ["/", "/v2/a/b/manifests/1.0", "/v2/a/b/tags/list", &format!("/v2/a/b/blobs/{layer}"), "/nowhere"] {
        let theirs = call(canonical.at, hyper::Method::OPTIONS, path, "", "").await;
        let ours = call(front.at, hyper::Method::OPTIONS, path, "", "").await;
        assert_eq!((ours.0, ours.2.is_empty()), (theirs.0, theirs.2.is_empty()), "{path}");
    }
}
