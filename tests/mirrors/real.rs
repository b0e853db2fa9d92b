//! Mirrors of real servers: nginx, Caddy and Python's http.server with the settings of operators, right and wrong ones.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use pharos::base::rr::Rtype;
use pharos::mirror::HttpVersion::{Http1, Http2};
use pharos::mirror::Verdict::{ContentBad, Missing, Overloaded, Refused, TlsBad, Unreachable, Up};
use pharos::mirror::{ContentPlace, HttpVersion, Redirects, Template, UrlTemplate, Verdict};
use pharos::probe::{Aim, Finding, Follower, Prober};
use pharos::tls::Roots;
use tempfile::TempDir;

use super::common::nameserver::NameServer;
use super::common::needs;
use super::common::ports::free_port;
use super::common::server::{PATIENCE, Server};
use super::world::{Authority, CANARY, Fault, NAME, canary_sha256, loopback};
use super::{QUICK, World, asking, probe};

/// A server from a Debian package, which ends with this.
struct RealServer(Child);

impl RealServer {
    fn start(program: &str, package: &str, args: &[&str], folder: &Path) -> Option<Self> {
        let program = needs::program(program, package)?;
        let log = fs::File::create(folder.join("stderr")).unwrap();
        let mut command = Command::new(program);
        command.args(args).current_dir(folder).envs([
            ("HOME", folder),
            ("XDG_DATA_HOME", folder),
            ("XDG_CONFIG_HOME", folder),
        ]);
        Some(RealServer(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()))
    }

    /// Waits until the server accepts connections.
    fn wait_for(&mut self, at: SocketAddr, folder: &Path) {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(at).is_err() {
            let said = || fs::read_to_string(folder.join("stderr")).unwrap();
            assert!(self.0.try_wait().unwrap().is_none(), "it ended: {}", said());
            assert!(Instant::now() < deadline, "it does not listen: {}", said());
            std::thread::yield_now();
        }
    }
}

impl Drop for RealServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A folder with the canary, and the certificate of the shared name.
fn folder(authority: &Authority) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    fs::create_dir(folder.path().join("blobs")).unwrap();
    write(&format!("blobs/sha256:{}", canary_sha256()), CANARY);
    let (chain, key) = authority.chain(NAME);
    write("chain.pem", chain.as_bytes());
    write("key.pem", key.as_bytes());
    folder
}

/// nginx with these servers, the certificate of the shared name, and the canary in its root.
fn start_nginx(folder: &Path, site: &str, at: SocketAddr) -> Option<RealServer> {
    let path = folder.display().to_string();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {path}/{kind};\n"))
        .collect();
    let main = format!(
        "user root;\ndaemon off;\nmaster_process off;\npid {path}/nginx.pid;\nerror_log stderr;\nevents {{ }}\n\
         http {{\naccess_log off;\n{temporary}ssl_certificate {path}/chain.pem;\nssl_certificate_key {path}/key.pem;\n\
         root {path}/blobs;\ntypes {{ }}\ndefault_type application/octet-stream;\n{site}}}\n"
    );
    fs::write(folder.join("nginx.conf"), main).unwrap();
    let args = ["-e", "stderr", "-p", &path, "-c", &format!("{path}/nginx.conf")];
    let mut nginx = RealServer::start("nginx", "nginx", &args, folder)?;
    nginx.wait_for(at, folder);
    Some(nginx)
}

fn address(last: u8) -> IpAddr {
    IpAddr::from([127, 0, 3, last])
}

async fn find(address: IpAddr, port: u16, roots: Arc<Roots>) -> Vec<Finding> {
    let prober = Prober::new(Arc::new(pharos::config::Probe { timeout: PATIENCE, ..probe(port) }), roots).unwrap();
    prober.probe_each(Aim::at(address)).await
}

/// The verdict over each protocol, in the order of the protocols.
fn verdicts(findings: &[Finding]) -> Vec<(HttpVersion, Verdict)> {
    let mut found: Vec<_> = findings.iter().filter_map(|one| Some((one.spoken?, one.verdict))).collect();
    found.sort_by_key(|(version, _)| *version);
    found
}

/// Lines of nginx for a server, those for the location of blobs, and the verdict over HTTP/1.1 and over HTTP/2, if spoken.
type NginxCase = (&'static str, &'static str, &'static str, &'static [(HttpVersion, Verdict)]);

const NGINX: [NginxCase; 19] = [
    ("plain", "", "", &[(Http1, Up)]),
    ("HTTP/2", "http2", "", &[(Http1, Up), (Http2, Up)]),
    // The connection ends after each response, or after each second.
    ("keepalive_requests 1", "", "keepalive_requests 1;", &[(Http1, Up)]),
    ("keepalive_requests 2", "", "keepalive_requests 2;", &[(Http1, Up)]),
    ("keepalive_requests 2 over HTTP/2", "http2", "keepalive_requests 2;", &[(Http1, Up), (Http2, Up)]),
    ("keepalive_timeout 0", "http2", "keepalive_timeout 0;", &[(Http1, Up), (Http2, Up)]),
    // The port is part of the host, unless it is 443.
    ("host", "http2", "if ($http_host != NAME:PORT) { return 421; }", &[(Http1, Up), (Http2, Up)]),
    ("wrong host", "", "if ($http_host != other.example) { return 421; }", &[(Http1, Missing)]),
    // Compressed bytes decode to the digest; the others have the header alone.
    ("gzip", "http2", "gzip on; gzip_types *; gzip_min_length 1;", &[(Http1, Up), (Http2, Up)]),
    ("false gzip", "", "add_header Content-Encoding gzip;", &[(Http1, ContentBad)]),
    ("brotli", "", "add_header Content-Encoding br;", &[(Http1, ContentBad)]),
    ("no ranges", "http2", "max_ranges 0;", &[(Http1, ContentBad), (Http2, ContentBad)]),
    ("429", "", "return 429;", &[(Http1, Overloaded)]),
    ("503", "", "return 503;", &[(Http1, Overloaded)]),
    ("403", "", "return 403;", &[(Http1, Refused)]),
    ("401", "", "return 401;", &[(Http1, Refused)]),
    ("405", "", "if ($request_method = HEAD) { return 405; }", &[(Http1, Refused)]),
    (
        "404 to HEAD",
        "",
        "set $head n; if ($request_method = HEAD) { set $head h; } set $both $head$digest; if ($both = hsha256:CANARY) { return 404; }",
        &[(Http1, Up)],
    ),
    // HTTP/2 alone is wrong, or HTTP/1.1 alone.
    (
        "503 over HTTP/2",
        "http2",
        "if ($server_protocol = HTTP/2.0) { return 503; }",
        &[(Http1, Up), (Http2, Overloaded)],
    ),
];

#[tokio::test]
async fn nginx_as_operators_set_it() {
    let authority = Authority::new();
    let folder = folder(&authority);
    let port = free_port();
    let mut site = String::new();
    for (number, (_, listen, lines, _)) in (1..).zip(NGINX) {
        let lines = lines.replace("NAME", NAME).replace("PORT", &port.to_string()).replace("CANARY", &canary_sha256());
        let server_lines = lines.split_inclusive(';').filter(|line| line.trim_start().starts_with("keepalive"));
        let (of_server, rest): (String, String) = match server_lines.count() {
            0 => (String::new(), lines),
            _ => (lines, String::new()),
        };
        site += &format!(
            "server {{ listen {}:{port} ssl {listen}; server_name {NAME}; {of_server}\n\
             location ~ \"^/v2/.+/blobs/(?<digest>sha256:[0-9a-f]{{64}})$\" {{ {rest} try_files /$digest =404; }}\n\
             location / {{ return 404; }} }}\n",
            address(number)
        );
    }
    let Some(_nginx) = start_nginx(folder.path(), &site, SocketAddr::new(address(1), port)) else { return };
    for (number, (what, _, _, expected)) in (1..).zip(NGINX) {
        let findings = find(address(number), port, authority.roots()).await;
        assert_eq!(verdicts(&findings), expected, "{what}: {findings:#?}");
        // The worse one comes first.
        let worst = expected.iter().map(|(_, verdict)| *verdict).max_by_key(|verdict| verdict.badness());
        assert_eq!(Some(findings[0].verdict), worst, "{what}");
    }
}

/// Python's server speaks HTTP/1.0: the connection ends after each response, and there is no ALPN.
const HTTP_1_0: &str = r#"
import http.server, os, re, ssl, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.answer(False)

    def do_GET(self):
        self.answer(True)

    def answer(self, with_body):
        file = "blobs/" + self.path.rpartition("/")[2]
        if not os.path.isfile(file):
            self.send_response(404)
            self.end_headers()
            return
        data = open(file, "rb").read()
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked:
            first, last = int(asked[1]), int(asked[2] or len(data) - 1)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
            data = data[first:last + 1]
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if with_body:
            self.wfile.write(data)

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("chain.pem", "key.pem")
server = http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"#;

#[tokio::test]
async fn a_server_of_http_1_0_serves() {
    let authority = Authority::new();
    let folder = folder(&authority);
    let at = SocketAddr::new(address(40), free_port());
    fs::write(folder.path().join("server.py"), HTTP_1_0).unwrap();
    let args = ["server.py", &at.ip().to_string(), &at.port().to_string()];
    let Some(mut python) = RealServer::start("python3", "python3", &args, folder.path()) else { return };
    python.wait_for(at, folder.path());
    let findings = find(at.ip(), at.port(), authority.roots()).await;
    assert_eq!(verdicts(&findings), [(Http1, Up)], "{findings:#?}");
}

#[tokio::test]
async fn caddy_serves_over_both_protocols() {
    let authority = Authority::new();
    let folder = folder(&authority);
    let at = SocketAddr::new(address(44), free_port());
    let config = format!(
        "{{\n\tadmin off\n\tauto_https disable_redirects\n}}\nhttps://{NAME}:{} {{\n\tbind {}\n\ttls chain.pem key.pem\n\
         \troot * blobs\n\tencode gzip\n\t@blob path_regexp digest ^/v2/.+/blobs/(sha256:[0-9a-f]{{64}})$\n\
         \thandle @blob {{\n\t\trewrite * /{{re.digest.1}}\n\t\tfile_server\n\t}}\n\thandle {{\n\t\trespond 404\n\t}}\n}}\n",
        at.port(),
        at.ip()
    );
    fs::write(folder.path().join("Caddyfile"), config).unwrap();
    let args = ["run", "--adapter", "caddyfile", "--config", "Caddyfile"];
    let Some(mut caddy) = RealServer::start("caddy", "caddy", &args, folder.path()) else { return };
    caddy.wait_for(at, folder.path());
    let findings = find(at.ip(), at.port(), authority.roots()).await;
    assert_eq!(verdicts(&findings), [(Http1, Up), (Http2, Up)], "{findings:#?}");
}

/// Go and OpenSSL let a client of HTTP/1.1 alone connect as one without ALPN. rustls refuses it, as RFC 7301 §3.2 says.
#[tokio::test]
async fn a_server_of_http_2_alone_is_judged_by_it() {
    let authority = Authority::new();
    let listener = tokio::net::TcpListener::bind((address(41), 0)).await.unwrap();
    let at = listener.local_addr().unwrap();
    let acceptor = authority.acceptor(&[b"h2"]);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let served = hyper::service::service_fn(serve_canary);
            let builder = hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
            tokio::spawn(builder.serve_connection(hyper_util::rt::TokioIo::new(stream), served));
        }
    });
    let findings = find(at.ip(), at.port(), authority.roots()).await;
    assert_eq!(verdicts(&findings), [(Http2, Up)], "{findings:#?}");
    // A round of HTTP/1.1 comes to the same result.
    let prober =
        Prober::new(Arc::new(pharos::config::Probe { timeout: PATIENCE, ..probe(at.port()) }), authority.roots());
    let finding = prober.unwrap().probe(Aim::at(at.ip()).offering(Http1)).await;
    assert_eq!((finding.spoken, finding.verdict), (Some(Http2), Up), "{finding:#?}");
}

/// The canary for its path, and 404 for any other.
async fn serve_canary(
    request: hyper::Request<hyper::body::Incoming>,
) -> Result<hyper::Response<http_body_util::Full<hyper::body::Bytes>>, std::convert::Infallible> {
    let response = hyper::Response::builder();
    if !request.uri().path().ends_with(&canary_sha256()) {
        return Ok(response.status(404).body(Default::default()).unwrap());
    }
    let range = request.headers().get("range").and_then(|range| range.to_str().unwrap().strip_prefix("bytes="));
    let Some((first, last)) = range.and_then(|range| range.split_once('-')) else {
        let body = if request.method() == "HEAD" { &b""[..] } else { CANARY };
        return Ok(response.header("content-length", CANARY.len()).body(body.into()).unwrap());
    };
    let (first, last) = (first.parse::<usize>().unwrap(), last.parse::<usize>().unwrap_or(CANARY.len() - 1));
    let response = response.status(206).header("content-range", format!("bytes {first}-{last}/{}", CANARY.len()));
    Ok(response.body(CANARY[first..=last].into()).unwrap())
}

#[tokio::test]
async fn a_self_signed_certificate_that_clients_have_as_a_root_serves_for_its_name() {
    let authority = Authority::new();
    let folder = folder(&authority);
    let path = folder.path().display().to_string();
    let port = free_port();
    let mut site = String::new();
    let mut roots = Roots::default();
    for (last, name) in [(42, NAME), (43, "other.example")] {
        let key = rcgen::KeyPair::generate().unwrap();
        let made = rcgen::CertificateParams::new(vec![name.to_string()]).unwrap().self_signed(&key).unwrap();
        fs::write(folder.path().join(format!("{last}.pem")), made.pem()).unwrap();
        fs::write(folder.path().join(format!("{last}.key")), key.serialize_pem()).unwrap();
        roots.add(made.der().clone()).unwrap();
        site += &format!(
            "server {{ listen {}:{port} ssl; ssl_certificate {path}/{last}.pem; ssl_certificate_key {path}/{last}.key;\n\
             location ~ \"/(?<digest>sha256:[0-9a-f]+)$\" {{ try_files /$digest =404; }} }}\n",
            address(last)
        );
    }
    let Some(_nginx) = start_nginx(folder.path(), &site, SocketAddr::new(address(42), port)) else { return };
    let roots = Arc::new(roots);
    let right = find(address(42), port, roots.clone()).await;
    assert_eq!(right[0].verdict, Up, "{right:#?}");
    let wrong = find(address(43), port, roots).await;
    assert_eq!(wrong[0].verdict, TlsBad, "{wrong:#?}");
    let cause = wrong[0].cause.as_ref().unwrap().to_string();
    assert_eq!(cause, "clients do not accept its certificate: it is for `other.example`");
    // Clients without that root refuse it.
    assert_eq!(find(address(42), port, authority.roots()).await[0].verdict, TlsBad);
}

/// The place of content at a mirror.
fn place(url: Option<&str>, path: Option<&str>, port: u16, missing: &[u16]) -> Arc<ContentPlace> {
    let url = url.map(|path| UrlTemplate {
        host: BUCKET.into(),
        port,
        authority: format!("{BUCKET}:{port}").into(),
        path: Template::parse(path).unwrap(),
    });
    let path = path.map(|path| Template::parse(path).unwrap());
    Arc::new(ContentPlace { url, path, missing: missing.into(), redirects: Redirects::Refused })
}

/// The name of a bucket's own.
const BUCKET: &str = "bucket.example";

#[tokio::test]
async fn a_bucket_is_probed_at_its_own_name_and_path() {
    let authority = Authority::new();
    let folder = folder(&authority);
    let path = folder.path().display().to_string();
    let port = free_port();
    let (chain, key) = authority.chain(BUCKET);
    fs::write(folder.path().join("bucket.pem"), chain).unwrap();
    fs::write(folder.path().join("bucket.key"), key).unwrap();
    // One address has both names, the other the shared name alone; the canary is at a path of its own, and S3 says 403 for others.
    let content = "location ~ \"^/containers/images/(?<digest>sha256:[0-9a-f]{64})$\" { error_page 404 =403 /403; try_files /$digest =404; }\n\
                   location = /plain { return 200; } location / { return 403; }";
    let site = format!(
        "server {{ listen {0}:{port} ssl http2; server_name {NAME}; {content} }}\n\
         server {{ listen {0}:{port} ssl http2; server_name {BUCKET}; ssl_certificate {path}/bucket.pem;\n\
         ssl_certificate_key {path}/bucket.key; {content} }}\n\
         server {{ listen {1}:{port} ssl http2; server_name {NAME}; {content} }}\n",
        address(51),
        address(52)
    );
    let Some(_nginx) = start_nginx(folder.path(), &site, SocketAddr::new(address(51), port)) else { return };
    let prober = Prober::new(Arc::new(pharos::config::Probe { timeout: PATIENCE, ..probe(port) }), authority.roots());
    let prober = prober.unwrap();
    let images = "/containers/images/{digest}";
    // A blob that the bucket lacks, for a canary of its own.
    let digest = format!("sha256:{:064x}", 7);
    let other = pharos::config::Canary::new("pause", &digest, 7);
    let lacking = pharos::config::Probe { timeout: PATIENCE, canary: other, ..probe(port) };
    let lacking = Prober::new(Arc::new(lacking), authority.roots()).unwrap();
    let cases = [
        ("its name and path", &prober, 51, place(Some(images), None, port, &[403]), Up),
        ("hexadecimal digits", &prober, 51, place(Some("/containers/images/sha256:{hex}"), None, port, &[403]), Up),
        ("the shared name's certificate", &prober, 52, place(Some(images), None, port, &[403]), TlsBad),
        ("a path of the shared name", &prober, 52, place(None, Some(images), port, &[403]), Up),
        ("the path of the API", &prober, 52, place(None, None, port, &[]), Refused),
        ("403 means missing", &lacking, 51, place(Some(images), None, port, &[403]), Missing),
        ("403 means refused", &lacking, 51, place(Some(images), None, port, &[]), Refused),
        // Without a digest there is no canary.
        ("one file", &lacking, 51, place(Some("/plain"), None, port, &[403]), Up),
        ("files by path", &lacking, 51, place(Some("/files/{path}"), None, port, &[403]), Up),
    ];
    for (what, prober, last, content, expected) in cases {
        let findings = prober.probe_each(Aim::of(address(last), content)).await;
        assert_eq!(findings[0].verdict, expected, "{what}: {findings:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_probes_a_bucket_at_its_url_and_sends_clients_there() {
    let authority = Authority::new();
    let folder = folder(&authority);
    let path = folder.path().display().to_string();
    let (bucket, port) = (address(61), free_port());
    let (chain, key) = authority.chain("bucket.net.test");
    fs::write(folder.path().join("bucket.pem"), chain).unwrap();
    fs::write(folder.path().join("bucket.key"), key).unwrap();
    let site = format!(
        "server {{ listen {bucket}:{port} ssl http2; ssl_certificate {path}/bucket.pem; ssl_certificate_key {path}/bucket.key;\n\
         location ~ \"^/images/(?<digest>sha256:[0-9a-f]{{64}})$\" {{ error_page 404 =403 /403; try_files /$digest =404; }}\n\
         location = /files/kops/1.30/kops {{ return 200; }}\n\
         location / {{ return 403; }} }}\n"
    );
    let Some(_nginx) = start_nginx(folder.path(), &site, SocketAddr::new(bucket, port)) else { return };
    let near = loopback(71);
    let (at, _near) = authority.mirror(SocketAddr::new(near, 0), Fault::None).await;
    let names = NameServer::start(&format!("bucket A {bucket}"));
    let rest = format!(
        "[resolver]\nservers = \"{}\"\nprivate = \"127.0.0.0/8\"\n\
         [mirrors.bucket]\nurl = \"https://bucket.net.test:{port}/images/{{digest}}\"\nmissing = [403]\n\
         [horizons.h]\ndefault = [\"bucket\", \"near\"]\n\
         [[registry.paths]]\nprefix = \"/binaries/\"\nto = \"https://origin.net.test/{{path}}\"\nhorizon = \"files\"\n\
         [mirrors.files]\nurl = \"https://bucket.net.test:{port}/files/{{rest}}\"\nmissing = [403]\n\
         [horizons.files]\ndefault = [\"files\"]\n",
        names.address()
    );
    let world = World::start_with(&authority, at.port(), QUICK, &[("near", &[near])], &[("@", "h")], &rest);
    world.expect(Rtype::A, &[near]);
    let up = format!("pharos_mirror_up{{mirror=\"bucket\",address=\"{bucket}\"}}");
    assert_eq!(world.server.metric(&up), 1);
    let blob = format!("/v2/pause/blobs/sha256:{}", canary_sha256());
    let said = asking::get(world.registry, &blob).await;
    let location = format!("location: https://bucket.net.test:{port}/images/sha256:{}", canary_sha256());
    assert!(said.lines().any(|line| line == location), "{said}");
    // A file that the bucket has, one that it lacks, and a path that leaves the directory.
    let held = format!("location: https://bucket.net.test:{port}/files/kops/1.30/kops");
    let origin = "location: https://origin.net.test/binaries/kops/1.31/kops?a=b";
    for (target, expected) in [
        ("/binaries/kops/1.30/kops?a=b", &*held),
        ("/binaries/kops/1.31/kops?a=b", origin),
        ("/binaries/kops/%2e%2e/kops", "HTTP/1.1 404 Not Found"),
    ] {
        let said = asking::get(world.registry, target).await;
        assert!(said.lines().any(|line| line == expected), "{target}: {said}");
        assert_eq!(said.contains("cache-control: private"), said.contains(" 307 "), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_to_storage_is_followed_if_the_operator_says_so() {
    let authority = Authority::new();
    let folder = folder(&authority);
    let path = folder.path().display().to_string();
    let port = free_port();
    for host in ["storage", "wrong"] {
        let (chain, key) = authority.chain(&format!("{host}.net.test"));
        fs::write(folder.path().join(format!("{host}.pem")), chain).unwrap();
        fs::write(folder.path().join(format!("{host}.key")), key).unwrap();
    }
    fs::create_dir(folder.path().join("wrong")).unwrap();
    fs::write(folder.path().join(format!("wrong/sha256:{}", canary_sha256())), CANARY.to_ascii_uppercase()).unwrap();
    let digest = "location ~ \"/(?<digest>sha256:[0-9a-f]{64})$\"";
    // Storage whose URLs are signed for GET, so that HEAD is refused.
    let storage = |host: &str, last: u8, root: &str| {
        format!(
            "server {{ listen {}:{port} ssl http2; ssl_certificate {path}/{host}.pem; ssl_certificate_key {path}/{host}.key; root {path}/{root};\n\
             {digest} {{ if ($request_method = HEAD) {{ return 403; }} if ($arg_sig != GET) {{ return 403; }} try_files /$digest =404; }} }}\n",
            address(last)
        )
    };
    let targets = [
        ("https://storage.net.test:PORT/data/$digest?sig=$request_method", Up, ""),
        (
            "https://wrong.net.test:PORT/data/$digest?sig=$request_method",
            ContentBad,
            "redirects the canary to `wrong.net.test:PORT`: the bytes",
        ),
        (
            "https://storage.net.test:PORT/data/$digest?sig=none",
            Refused,
            "redirects the canary to `storage.net.test:PORT`: answers 403",
        ),
        (
            "https://canonical.example/v2/pause/blobs/$digest",
            Missing,
            "answers 307 for the canary, and leads to `https://canonical.example/",
        ),
        ("https://no-host.net.test/$digest", Unreachable, "redirects the canary to a host that has no address"),
        (
            "https://reserved.net.test/$digest",
            Unreachable,
            "redirects the canary to a host with the reserved address 10.0.0.1",
        ),
        ("http://storage.net.test/$digest", Unreachable, "redirects the canary to no URL of https"),
    ];
    let mut site = storage("storage", 81, "blobs") + &storage("wrong", 82, "wrong");
    for (number, (target, ..)) in (90..).zip(&targets) {
        let target = target.replace("PORT", &port.to_string());
        site += &format!(
            "server {{ listen {}:{port} ssl http2; {digest} {{ if (!-f {path}/blobs/$digest) {{ return 404; }} return 307 {target}; }} }}\n",
            address(number)
        );
    }
    // It redirects for every digest.
    site += &format!(
        "server {{ listen {}:{port} ssl http2; {digest} {{ return 307 https://storage.net.test:{port}/data/$digest?sig=$request_method; }} }}\n",
        address(83)
    );
    let Some(_nginx) = start_nginx(folder.path(), &site, SocketAddr::new(address(81), port)) else { return };
    let names = NameServer::start(&format!("storage A {}\nwrong A {}\nreserved A 10.0.0.1", address(81), address(82)));
    let settings = format!("[resolver]\nservers = \"{}\"\nprivate = \"127.0.0.0/8\"\n", names.address());
    let mirror = format!("[mirrors.registry]\naddresses = \"{}\"\nredirects = \"follow\"\n", address(90));
    let text = format!(
        "{settings}{mirror}[registry]\nlisten = \"127.0.0.1:0\"\ncanonical = \"https://canonical.example\"\nblobs = \"https://{NAME}\"\n\
         [[zone]]\nname = \"{NAME}\"\nfile = \"zone\"\n"
    );
    let (config, _) = pharos::config::read("pharos.toml", &text).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let except = ["canonical.example".into(), NAME.into()].into();
    let content = Arc::new(ContentPlace { redirects: Redirects::Followed { except }, ..ContentPlace::default() });
    let follower = Follower::new(&config, authority.roots()).unwrap();
    assert!(follower.is_some());
    let prober = Prober::new(Arc::new(pharos::config::Probe { timeout: PATIENCE, ..probe(port) }), authority.roots());
    let prober = prober.unwrap().following(follower);
    for (number, (target, expected, reason)) in (90..).zip(targets) {
        let findings = prober.probe_each(Aim::of(address(number), content.clone())).await;
        assert_eq!(findings[0].verdict, expected, "{target}: {findings:#?}");
        let cause = findings[0].cause.as_ref().map(ToString::to_string).unwrap_or_default();
        assert!(cause.starts_with(&reason.replace("PORT", &port.to_string())), "{target}: {cause}");
    }
    let blind = prober.probe_each(Aim::of(address(83), content)).await;
    assert_eq!(blind[0].cause.as_ref().unwrap().to_string(), "answers 307 for a digest that cannot exist");
    // By default a redirect means that the blob is missing.
    let refused = prober.probe_each(Aim::at(address(90))).await;
    assert_eq!(refused[0].verdict, Missing, "{refused:#?}");
    assert!(refused[0].cause.as_ref().unwrap().remedy().contains("`redirects = \"follow\"`"));

    // The server probes it, asks it, and sends a client there.
    let rest = format!("{settings}{mirror}[horizons.h]\ndefault = [\"registry\"]\n");
    let world = World::start_with(&authority, port, QUICK, &[], &[("@", "h")], &rest);
    world.expect(Rtype::A, &[address(90)]);
    assert_eq!(world.host(&format!("/v2/pause/blobs/sha256:{}", canary_sha256())).await, NAME);
    assert_eq!(world.host(&format!("/v2/pause/blobs/sha256:{:064x}", 5)).await, "canonical.example");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_leaves_a_mirror_whose_http_2_alone_is_wrong_and_says_so() {
    let authority = Authority::new();
    let folder = folder(&authority);
    let (near, far, port) = (address(101), address(102), free_port());
    let digest = "location ~ \"/(?<digest>sha256:[0-9a-f]{64})$\"";
    // Broken by a file, because a probe while nginx starts anew would find both protocols unreachable.
    let broken = folder.path().join("broken");
    let switch = format!("if (-f {}/$server_protocol) {{ return 503; }}", broken.display());
    let site = format!(
        "server {{ listen {near}:{port} ssl http2; {digest} {{ {switch} try_files /$digest =404; }} }}\n\
         server {{ listen {far}:{port} ssl http2; {digest} {{ try_files /$digest =404; }} }}\n"
    );
    let Some(_nginx) = start_nginx(folder.path(), &site, SocketAddr::new(near, port)) else { return };
    let rest = "[control]\nsocket = \"control.sock\"\nstate = \"overrides.json\"\n[horizons.h]\ndefault = [\"near\", \"far\"]\n";
    let mirrors: [(&str, &[IpAddr]); 2] = [("near", &[near]), ("far", &[far])];
    let world = World::start_with(&authority, port, QUICK, &mirrors, &[("@", "h")], rest);
    world.expect(Rtype::A, &[near]);
    fs::create_dir_all(broken.join("HTTP")).unwrap();
    fs::write(broken.join("HTTP/2.0"), "").unwrap();
    world
        .server
        .wait_for(&format!("mirror near at {near} is down over HTTP/2, overloaded: answers 503 for the canary"));
    world.expect(Rtype::A, &[far]);
    let page = world.server.metrics();
    for (protocol, verdict) in [("http/1.1", "up"), ("h2", "overloaded")] {
        let labels = format!("mirror=\"near\",address=\"{near}\",protocol=\"{protocol}\",verdict=\"{verdict}\"");
        assert!(page.contains(&format!("pharos_mirror_protocol_verdict{{{labels}}} 1")), "{page}");
    }
    let mut status = Command::new(env!("CARGO_BIN_EXE_pharos"));
    let output = status.args(["status", "--config"]).arg(world.folder.path().join("pharos.toml")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(&format!("near: {near} overloaded over HTTP/2 since ")), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_root_that_has_expired_is_logged_once_and_not_trusted() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "An old root");
    let key = rcgen::KeyPair::generate().unwrap();
    let old = params.self_signed(&key).unwrap().pem();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("roots.pem", &format!("{}{old}", authority.root_pem()));
    write("zone", "$TTL 60\n@ SOA ns1 hostmaster 1 3600 600 86400 60\n@ NS ns1\nns1 A 127.0.0.1\n");
    let text = format!(
        "[dns]\nlisten = \"127.0.0.1:0\"\n[probe]\nport = {}\nroots = \"roots.pem\"\n[[zone]]\nname = \"{NAME}\"\nfile = \"zone\"\n\
         steer = [{{ owner = \"@\", horizon = \"h\" }}]\n[mirrors.m]\naddresses = \"{}\"\n[horizons.h]\ndefault = [\"m\"]\n",
        free_port(),
        address(110)
    );
    write("pharos.toml", &text);
    let server = Server::start(&folder.path().join("pharos.toml"));
    // The roots are loaded again by a reload.
    server.signal("HUP");
    let said = server.wait_for("reloaded");
    let lines = said.iter().filter(|line| line.contains("are not trusted: `An old root`")).count();
    assert_eq!(lines, 1, "{said:?}");
}
