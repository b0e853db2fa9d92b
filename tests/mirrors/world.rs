//! Real TLS mirrors on loopback addresses, right ones and every kind of wrong one.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use pharos::tls::Roots;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use ring::digest::{SHA256, digest};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use time::{Duration, OffsetDateTime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

/// The name that all mirrors serve.
pub(crate) const NAME: &str = "blob.example";
/// The repository of the canary.
pub(crate) const REPOSITORY: &str = "pause";
/// The content of the canary.
pub(crate) const CANARY: &[u8] = b"a small blob that every mirror has";

/// The digest that probes ask for because it cannot exist.
const NOWHERE: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

/// The fault of a mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    WrongName,
    Expired,
    ExpiringSoon,
    NotYetValid,
    SelfSigned,
    MissingIntermediate,
    HandshakeHangs,
    Silent,
    NoCanary,
    WrongOctets,
    WrongLength,
    NoRanges,
    AnswersEverything,
    NotTls,
    /// No listener, as far as a client can tell: the connection is reset.
    Gone,
    /// A byte now and then, and never the whole response in time.
    Dribbles,
    /// This status for everything.
    Status(u16),
    /// This status for `GET`.
    GetStatus(u16),
    /// `HEAD` without `Content-Length`.
    NoLength,
    /// A 206 from the first byte on.
    OtherRange,
    /// A 206 for the right range with more bytes than it has.
    LongRange,
    /// This status for ranges.
    RangeStatus(u16),
    /// This status for a range without an end.
    OpenRangeStatus(u16),
    /// 404 to `HEAD`, as of a mirror that pulls through and has not got the blob yet.
    HeadMissing,
    /// `Content-Encoding: gzip` for bytes that are not encoded.
    FalseGzip,
    /// A server that requires a certificate of its clients.
    ClientCertificate,
    /// The certificate of an authority as leaf.
    AuthorityAsLeaf,
    /// A certificate for clients alone.
    ForClients,
    /// The chain of another authority, with its root.
    OtherRoot,
    /// An answer that is not HTTP.
    NotHttp,
    /// The connection ends in the middle of the response.
    BreaksOff,
}

/// The blobs of a mirror beside the canary, and the requests that it got.
#[derive(Debug)]
pub(crate) struct Ledger {
    blobs: Mutex<Vec<String>>,
    asked: Mutex<Vec<String>>,
    connections: AtomicUsize,
    /// True while the mirror has its fault.
    broken: AtomicBool,
    /// A question for anything but the canary and what cannot exist takes a permit before it is answered.
    gate: Semaphore,
}

impl Default for Ledger {
    fn default() -> Self {
        Ledger {
            blobs: Mutex::default(),
            asked: Mutex::default(),
            connections: AtomicUsize::new(0),
            broken: AtomicBool::new(true),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
        }
    }
}

impl Ledger {
    /// A ledger whose mirror answers only the requests that the test lets through.
    pub(crate) fn gated() -> Self {
        Ledger { gate: Semaphore::new(0), ..Ledger::default() }
    }

    /// One whose mirror is well until it breaks.
    pub(crate) fn well() -> Self {
        Ledger { broken: AtomicBool::new(false), ..Ledger::default() }
    }

    /// From now on its fault shows.
    pub(crate) fn break_down(&self) {
        self.broken.store(true, Relaxed);
    }

    /// From now on it is well.
    pub(crate) fn heal(&self) {
        self.broken.store(false, Relaxed);
    }

    /// The mirror has the blob at this path from now on.
    pub(crate) fn add(&self, path: &str) {
        self.blobs.lock().unwrap().push(path.to_string());
    }

    /// The number of requests for a path.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| *asked == path).count()
    }

    /// The number of all requests.
    pub(crate) fn asked_in_all(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    /// The number of connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Relaxed)
    }

    /// Lets `count` requests through.
    pub(crate) fn let_through(&self, count: usize) {
        self.gate.add_permits(count);
    }
}

/// A certificate authority with an intermediate, which signs the certificates of mirrors.
pub(crate) struct Authority {
    root: CertificateDer<'static>,
    root_pem: String,
    intermediate: CertificateDer<'static>,
    intermediate_pem: String,
    issuer: Issuer<'static, KeyPair>,
    /// The root of another authority.
    stranger: (CertificateDer<'static>, Issuer<'static, KeyPair>),
}

impl Authority {
    pub(crate) fn new() -> Self {
        let ca = |name: &str| {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            params
        };
        let (root_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let root = ca("root").self_signed(&root_key).unwrap();
        let root_issuer = Issuer::new(ca("root"), root_key);
        let stranger_key = KeyPair::generate().unwrap();
        let stranger = ca("stranger").self_signed(&stranger_key).unwrap().der().clone();
        let intermediate = ca("intermediate").signed_by(&key, &root_issuer).unwrap();
        Authority {
            root: root.der().clone(),
            root_pem: root.pem(),
            intermediate: intermediate.der().clone(),
            intermediate_pem: intermediate.pem(),
            issuer: Issuer::new(ca("intermediate"), key),
            stranger: (stranger, Issuer::new(ca("stranger"), stranger_key)),
        }
    }

    /// The root as a PEM file has it.
    pub(crate) fn root_pem(&self) -> &str {
        &self.root_pem
    }

    pub(crate) fn roots(&self) -> Arc<Roots> {
        let mut roots = Roots::default();
        roots.add(self.root.clone()).unwrap();
        Arc::new(roots)
    }

    /// A chain for a name with its key, as PEM files have them.
    pub(crate) fn identity(&self, name: &str) -> (String, String) {
        let (params, key) = (CertificateParams::new(vec![name.to_string()]).unwrap(), KeyPair::generate().unwrap());
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        (leaf.pem(), key.serialize_pem())
    }

    /// A whole chain for a name with its key, as PEM files have them.
    pub(crate) fn chain(&self, name: &str) -> (String, String) {
        let (leaf, key) = self.identity(name);
        (format!("{leaf}{}", self.intermediate_pem), key)
    }

    /// Accepts TLS for the shared name, with these protocols in ALPN.
    pub(crate) fn acceptor(&self, protocols: &[&[u8]]) -> TlsAcceptor {
        let mut config = self.config(Fault::None);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }

    /// The TLS configuration of a mirror with this fault.
    fn config(&self, fault: Fault) -> ServerConfig {
        let name = if fault == Fault::WrongName { "other.example" } else { NAME };
        let mut params = CertificateParams::new(vec![name.to_string()]).unwrap();
        let now = OffsetDateTime::now_utc();
        (params.not_before, params.not_after) = match fault {
            Fault::Expired => (now - Duration::days(90), now - Duration::hours(1)),
            Fault::ExpiringSoon => (now - Duration::days(88), now + Duration::hours(48)),
            Fault::NotYetValid => (now + Duration::hours(1), now + Duration::days(90)),
            _ => (now - Duration::days(1), now + Duration::days(90)),
        };
        match fault {
            Fault::AuthorityAsLeaf => params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
            Fault::ForClients => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
            _ => {}
        }
        let key = KeyPair::generate().unwrap();
        let leaf = match fault {
            Fault::SelfSigned => params.self_signed(&key).unwrap(),
            Fault::OtherRoot => params.signed_by(&key, &self.stranger.1).unwrap(),
            _ => params.signed_by(&key, &self.issuer).unwrap(),
        };
        let mut chain = vec![leaf.der().clone()];
        match fault {
            Fault::SelfSigned | Fault::MissingIntermediate => {}
            Fault::OtherRoot => chain.push(self.stranger.0.clone()),
            _ => chain.push(self.intermediate.clone()),
        }
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
        let builder = match fault {
            Fault::ClientCertificate => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(self.roots().store(UnixTime::now()), provider)
                    .build()
                    .unwrap(),
            ),
            _ => builder.with_no_client_auth(),
        };
        builder.with_single_cert(chain, key).unwrap()
    }

    /// Serves a mirror with a fault; it goes on until the runtime ends or the task is aborted.
    pub(crate) async fn mirror(&self, at: SocketAddr, fault: Fault) -> (SocketAddr, tokio::task::JoinHandle<()>) {
        self.mirror_with(at, fault, Arc::default()).await
    }

    /// The same, with a ledger.
    pub(crate) async fn mirror_with(
        &self,
        at: SocketAddr,
        fault: Fault,
        ledger: Arc<Ledger>,
    ) -> (SocketAddr, tokio::task::JoinHandle<()>) {
        let listener = listen(at);
        let address = listener.local_addr().unwrap();
        let acceptor = |fault| TlsAcceptor::from(Arc::new(self.config(fault)));
        let (broken, well) = (acceptor(fault), acceptor(Fault::None));
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                ledger.connections.fetch_add(1, Relaxed);
                let (fault, acceptor) =
                    if ledger.broken.load(Relaxed) { (fault, broken.clone()) } else { (Fault::None, well.clone()) };
                connections.spawn(serve(stream, acceptor, fault, ledger.clone()));
            }
        });
        (address, task)
    }
}

/// A port that was used a moment ago can be used again: mirrors of a test come and go.
fn listen(at: SocketAddr) -> TcpListener {
    let socket = if at.is_ipv4() { tokio::net::TcpSocket::new_v4() } else { tokio::net::TcpSocket::new_v6() }.unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(at).unwrap();
    socket.listen(64).unwrap()
}

async fn serve(mut stream: TcpStream, acceptor: TlsAcceptor, fault: Fault, ledger: Arc<Ledger>) {
    match fault {
        // Holds the connection until the other side gives up.
        Fault::HandshakeHangs => drop(stream.read_to_end(&mut Vec::new()).await),
        Fault::Gone => {
            // The unread bytes of the handshake make the system reset the connection.
            let _ = stream.readable().await;
        }
        Fault::NotTls => drop(stream.write_all(b"220 mail.example ESMTP\r\n").await),
        _ => {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            while let Some((method, path, range)) = request(&mut stream).await {
                if fault == Fault::Silent {
                    drop(stream.read_to_end(&mut Vec::new()).await);
                    return;
                }
                if path != canary_path() && !path.ends_with(NOWHERE) {
                    ledger.asked.lock().unwrap().push(path.clone());
                    ledger.gate.acquire().await.unwrap().forget();
                }
                let has = path == canary_path() || ledger.blobs.lock().unwrap().contains(&path);
                let answer = answer(fault, has, &method, range.as_deref());
                let pieces = if fault == Fault::Dribbles { 1 } else { answer.len() };
                let answer = if fault == Fault::BreaksOff { &answer[..answer.len() / 2] } else { &answer[..] };
                for piece in answer.chunks(pieces) {
                    if stream.write_all(piece).await.is_err() {
                        return;
                    }
                    if fault == Fault::Dribbles {
                        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    }
                }
                if fault == Fault::BreaksOff {
                    return;
                }
            }
        }
    }
}

/// The next request: method, path and `Range`.
async fn request(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Option<(String, String, Option<String>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let mut words = head.split(' ');
    let (method, path) = (words.next()?.to_string(), words.next()?.to_string());
    let range = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("range: ").map(str::to_string));
    Some((method, path, range))
}

fn answer(fault: Fault, has: bool, method: &str, range: Option<&str>) -> Vec<u8> {
    if fault == Fault::NoCanary || !has && fault != Fault::AnswersEverything {
        return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec();
    }
    match fault {
        Fault::Status(status) => return status_only(status),
        Fault::GetStatus(status) if method == "GET" => return status_only(status),
        Fault::RangeStatus(status) if range.is_some() => return status_only(status),
        Fault::OpenRangeStatus(status) if range.is_some_and(|range| range.trim().ends_with('-')) => {
            return status_only(status);
        }
        Fault::HeadMissing if method == "HEAD" => return status_only(404),
        Fault::NotHttp => return b"+OK ready\r\n\r\n".to_vec(),
        Fault::NoLength if method == "HEAD" => {
            return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        }
        _ => {}
    }
    let mut body = CANARY.to_vec();
    match fault {
        Fault::WrongOctets => body[0] ^= 1,
        Fault::WrongLength => body.push(b'!'),
        _ => {}
    }
    let all = body.len();
    let mut head = "HTTP/1.1 200 OK\r\n".to_string();
    if let Some(range) = range.filter(|_| fault != Fault::NoRanges) {
        let (first, last) = range.trim_start_matches("bytes=").split_once('-').unwrap();
        let (mut first, last): (usize, usize) = (first.parse().unwrap(), last.trim().parse().unwrap_or(all - 1));
        if fault == Fault::OtherRange {
            first = 0;
        }
        body = body[first..=last].to_vec();
        if fault == Fault::LongRange {
            body.push(b'!');
        }
        head = format!("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {first}-{last}/{all}\r\n");
    }
    if fault == Fault::FalseGzip {
        head.push_str("Content-Encoding: gzip\r\n");
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    let mut answer = head.into_bytes();
    if method == "GET" {
        answer.extend_from_slice(&body);
    }
    answer
}

fn status_only(status: u16) -> Vec<u8> {
    let location = if status / 100 == 3 { "Location: https://elsewhere.example/blob\r\n" } else { "" };
    format!("HTTP/1.1 {status} No\r\n{location}Content-Length: 0\r\n\r\n").into_bytes()
}

/// The canary's SHA-256 in hexadecimal.
pub(crate) fn canary_sha256() -> String {
    digest(&SHA256, CANARY).as_ref().iter().map(|octet| format!("{octet:02x}")).collect()
}

fn canary_path() -> String {
    format!("/v2/{REPOSITORY}/blobs/sha256:{}", canary_sha256())
}

/// A loopback address of our own, so that mirrors can share a port.
pub(crate) fn loopback(last: u8) -> IpAddr {
    IpAddr::from([127, 0, 1, last])
}
