//! A server on every transport, and clients for those that are encrypted.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap};
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use quinn::{Connection, ConnectionError, Endpoint, VarInt};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, RootCertStore};
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::common::server::Server;
use crate::common::{fixture, server};

/// The name in the certificate.
pub const NAME: &str = "ns.example.net";

/// The query of the case `www.example.net. A`.
pub fn query() -> Vec<u8> {
    let mut message = crate::common::query::Builder::new("www.example.net.", pharos::base::rr::Rtype::A).finish();
    message[..2].fill(0);
    message
}

/// The server with its files.
pub struct World {
    pub folder: TempDir,
    pub server: Server,
    /// The roots that a client trusts: every certificate that the server had so far.
    roots: RootCertStore,
}

impl World {
    /// Serves the zones of the engine's cases, with some more keys under `[dns]`.
    pub fn start(keys: &str) -> World {
        World::start_from(&configure(keys), &[])
    }

    /// Serves this configuration, whose folder has `cert.pem`, `key.pem` and these files.
    pub fn start_from(config: &str, files: &[(&str, &str)]) -> World {
        let (folder, roots, path) = prepare(config, files);
        let server = Server::start(&path);
        World { folder, server, roots }
    }

    /// As [`World::start`], with no more open files than this.
    pub fn start_with_open_files(keys: &str, limit: u32) -> World {
        let (folder, roots, path) = prepare(&configure(keys), &[]);
        let server = Server::start_with_open_files(&path, limit);
        World { folder, server, roots }
    }

    /// Replaces certificate and key, and has them read.
    pub fn renew(&mut self) -> CertificateDer<'static> {
        let certificate = certify(&self.folder);
        self.roots.add(certificate.clone()).unwrap();
        self.server.signal("HUP");
        self.server.wait_for("is served");
        certificate
    }

    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    /// A client that speaks this protocol.
    pub fn client(&self, protocol: &[u8]) -> ClientConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        config
    }

    /// A connection of DNS over TLS.
    pub async fn tls(&self, from: IpAddr) -> std::io::Result<Framed<TlsStream<TcpStream>>> {
        let address = self.server.listener("DNS over TLS", from);
        Ok(Framed(shake_hands(self.client(b"dot"), connect(from, address).await?).await?))
    }

    /// A connection of DNS over HTTPS.
    pub async fn https(&self, from: IpAddr) -> std::io::Result<Https> {
        let address = self.server.listener("DNS over HTTPS", from);
        let stream = shake_hands(self.client(b"h2"), connect(from, address).await?).await?;
        let certificates = stream.get_ref().1.peer_certificates().unwrap().to_vec();
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Ok(Https { sender, certificates })
    }

    /// A connection of DNS over QUIC.
    pub async fn quic(&self, from: IpAddr) -> Result<Quic, ConnectionError> {
        self.quic_with(from, b"doq").await
    }

    pub async fn quic_with(&self, from: IpAddr, protocol: &[u8]) -> Result<Quic, ConnectionError> {
        let mut endpoint = Endpoint::client(SocketAddr::new(from, 0)).unwrap();
        let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(self.client(protocol)).unwrap();
        endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(crypto)));
        let connection = endpoint.connect(self.server.listener("DNS over QUIC", from), NAME).unwrap().await?;
        Ok(Quic { _endpoint: endpoint, connection })
    }
}

/// Writes a new certificate and its key.
fn certify(folder: &TempDir) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(vec![NAME.to_string(), "127.0.0.1".to_string()]).unwrap();
    fs::write(folder.path().join("cert.pem"), made.cert.pem()).unwrap();
    fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap()
}

/// Writes a configuration, a certificate and further files.
fn prepare(config: &str, files: &[(&str, &str)]) -> (TempDir, RootCertStore, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certify(&folder)).unwrap();
    for (name, text) in [&[("pharos.toml", config)], files].concat() {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let path = folder.path().join("pharos.toml");
    (folder, roots, path)
}

/// The configuration of the engine's cases with every listener of DNS.
pub fn configure(keys: &str) -> String {
    let text = fs::read_to_string(fixture::config()).unwrap();
    let here = fixture::folder();
    let here = here.display();
    let listen = r#"["127.0.0.1:0", "[::1]:0"]"#;
    let dns = format!(
        "[dns]\n{keys}\ntls = {{ listen = {listen}, cert = \"cert.pem\", key = \"key.pem\" }}\n\
         https = {{ listen = {listen} }}\nquic = {{ listen = {listen} }}\n"
    );
    let text = text.replace("\"zones/", &format!("\"{here}/zones/"));
    text.replace("\"networks/", &format!("\"{here}/networks/")).replace("[dns]\n", &dns)
}

/// Connects from an address.
pub async fn connect(from: IpAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(from, 0).into())?;
    socket.set_nonblocking(true)?;
    let stream = tokio::net::TcpSocket::from_std_stream(socket.into()).connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn shake_hands(config: ClientConfig, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(NAME).unwrap(), stream).await
}

/// Fails the test instead of hanging.
pub async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(server::PATIENCE, future).await.expect("it takes too long")
}

/// Messages with their length before them.
pub struct Framed<S>(pub S);

impl<S: AsyncRead + AsyncWrite + Unpin> Framed<S> {
    pub async fn send(&mut self, message: &[u8]) -> std::io::Result<()> {
        self.0.write_all(&frame(message)).await?;
        self.0.flush().await
    }

    pub async fn receive(&mut self) -> std::io::Result<Vec<u8>> {
        let len = self.0.read_u16().await?;
        let mut reply = vec![0; usize::from(len)];
        self.0.read_exact(&mut reply).await?;
        Ok(reply)
    }

    /// The reply, if there is one to this message.
    pub async fn ask(&mut self, message: &[u8]) -> std::io::Result<Option<Vec<u8>>> {
        self.send(message).await?;
        self.send(&server::sentinel()).await?;
        let reply = self.receive().await?;
        if server::is_sentinel(message, &reply) {
            return Ok(None);
        }
        self.receive().await?;
        Ok(Some(reply))
    }

    /// Returns whether the server has closed the connection.
    pub async fn is_closed(&mut self) -> bool {
        let mut octet = [0];
        !matches!(tokio::time::timeout(server::PATIENCE, self.0.read(&mut octet)).await, Ok(Ok(1)) | Err(_))
    }
}

pub fn frame(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes(), message].concat()
}

/// A connection over HTTP/2.
pub struct Https {
    pub sender: hyper::client::conn::http2::SendRequest<Full<Bytes>>,
    pub certificates: Vec<CertificateDer<'static>>,
}

/// A whole response.
#[derive(Debug)]
pub struct Said {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Said {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Https {
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Said {
        self.sender.ready().await.unwrap();
        let (head, body) = self.sender.send_request(request).await.unwrap().into_parts();
        Said { status: head.status, headers: head.headers, body: body.collect().await.unwrap().to_bytes() }
    }

    pub async fn get(&mut self, message: &[u8]) -> Said {
        self.send(get(&format!("/dns-query?dns={}", BASE64URL_NOPAD.encode(message)))).await
    }

    pub async fn post(&mut self, message: &[u8]) -> Said {
        self.send(post("/dns-query", "application/dns-message", message)).await
    }
}

pub fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(format!("https://{NAME}{path}")).body(Full::default()).unwrap()
}

pub fn post(path: &str, kind: &str, body: &[u8]) -> Request<Full<Bytes>> {
    let request = Request::post(format!("https://{NAME}{path}")).header(CONTENT_TYPE, kind);
    request.body(Full::new(Bytes::copy_from_slice(body))).unwrap()
}

/// A connection of DNS over QUIC.
pub struct Quic {
    _endpoint: Endpoint,
    pub connection: Connection,
}

impl Quic {
    /// The bytes of the reply to some bytes, with its length taken off; `None` if the stream or connection is ended.
    pub async fn ask_octets(&self, octets: &[u8]) -> Option<Vec<u8>> {
        exchange(self.connection.clone(), octets.to_vec()).await
    }

    pub async fn ask(&self, message: &[u8]) -> Option<Vec<u8>> {
        self.ask_octets(&frame(message)).await
    }

    /// The code with which the server closed the connection.
    pub async fn closed_with(&self) -> Option<VarInt> {
        match in_time(self.connection.closed()).await {
            ConnectionError::ApplicationClosed(close) => Some(close.error_code),
            _ => None,
        }
    }
}

/// Sends bytes on a stream of their own, and reads the reply.
pub async fn exchange(connection: Connection, octets: Vec<u8>) -> Option<Vec<u8>> {
    let (mut send, mut receive) = connection.open_bi().await.ok()?;
    send.write_all(&octets).await.ok()?;
    send.finish().ok()?;
    unframe(receive.read_to_end(70_000).await.ok()?)
}

pub fn unframe(octets: Vec<u8>) -> Option<Vec<u8>> {
    let (len, message) = octets.split_first_chunk()?;
    assert_eq!(usize::from(u16::from_be_bytes(*len)), message.len(), "one message and nothing behind it");
    Some(message.to_vec())
}

/// Short, for what should not happen in between.
pub const MOMENT: Duration = Duration::from_millis(300);
