//! Zones over TLS (RFC 9103): we fetch them from BIND and our own server, and BIND fetches them from us.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use pharos::base::rr::Rtype;
use pharos::tls::Authority;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    SupportedProtocolVersion,
};
use tempfile::TempDir;
use time::OffsetDateTime;

use super::common::ports::free_port;
use super::common::query::Builder;
use super::common::server::{PATIENCE, Server};
use super::world::{HERE, KEY, Other, ask, reload, serial, texts, until, zone};

/// The name that primaries' certificates are for.
const NAME: &str = "ns1.example";

/// A certificate for [`NAME`], and the authority that it leads to.
struct Certificate {
    authority: String,
    chain: String,
    key: String,
}

impl Certificate {
    fn new() -> Self {
        let now = OffsetDateTime::now_utc();
        let authority = Authority::new(now).unwrap();
        let pair = authority.issue(&[NAME.to_string()], now, 7).unwrap();
        Certificate { authority: authority.own().chain.clone(), chain: pair.chain, key: pair.key }
    }

    fn write(&self, folder: &Path) {
        for (file, text) in [("ca.pem", &self.authority), ("cert.pem", &self.chain), ("key.pem", &self.key)] {
            fs::write(folder.join(file), text).unwrap();
        }
    }
}

/// Our server as a secondary of the TLS server on `port` with this name.
fn secondary(folder: &Path, port: u16, name: &str, more: &str) -> (Server, SocketAddr) {
    let config = format!(
        "{KEY}\n[dns]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[[zone]]\nname = \"example.net\"\n\
         file = \"copy\"\nprimaries = \"127.0.0.1:{port} tls:{name} key:xfer.example\"\n{more}"
    );
    fs::write(folder.join("pharos.toml"), config).unwrap();
    let server = Server::start(&folder.join("pharos.toml"));
    let address = server.address(HERE);
    (server, address)
}

fn compared(server: &Server, outcome: &str) -> u64 {
    server.metric(&format!("pharos_transfer_compared_total{{outcome=\"{outcome}\"}}"))
}

/// We have a zone from another server over TLS alone: at first, and when that server sends a NOTIFY over UDP.
fn follows(program: &str, config: impl Fn(u16, u16) -> (String, String)) {
    let (port, tls_port, certificate) = (free_port(), free_port(), Certificate::new());
    let folder = TempDir::new().unwrap();
    certificate.write(folder.path());
    let (server, address) = secondary(folder.path(), tls_port, NAME, "roots = \"ca.pem\"\n");
    let (more, config) = config(tls_port, address.port());
    let files = [("zone", &zone(1, 86_400)), ("cert.pem", &certificate.chain), ("key.pem", &certificate.key)];
    let files = files.map(|(name, text)| (name, text.as_str()));
    let Some(other) = Other::start_with(program, port, &more, &config, &files) else { return };
    other.wait_for(1);
    until("we have serial 1", || serial(address) == Some(1));
    assert_eq!(texts(address), texts(other.address));
    other.replace_zone(&zone(2, 86_400));
    other.wait_for(2);
    until("we have serial 2", || serial(address) == Some(2));
    assert_eq!(texts(address), texts(other.address));
    assert_eq!((compared(&server, "fetched"), compared(&server, "refused")), (2, 0));
}

#[test]
fn rfc9103_we_follow_bind_over_tls() {
    follows("named", |tls_port, ours| {
        (
            format!("listen-on port {tls_port} tls xot {{ 127.0.0.1; }};"),
            format!(
                "tls xot {{ cert-file \"DIR/cert.pem\"; key-file \"DIR/key.pem\"; }};\n\
                 zone \"example.net\" {{ type primary; file \"DIR/zone\"; ixfr-from-differences yes; \
                 allow-transfer port {tls_port} transport tls {{ key xfer.example; }}; \
                 also-notify {{ 127.0.0.1 port {ours} key xfer.example; }}; }};\n"
            ),
        )
    });
}

/// Our server as a primary over TLS, with its folder.
fn primary(certificate: &Certificate, transfer: &str) -> (TempDir, Server, SocketAddr) {
    let folder = TempDir::new().unwrap();
    certificate.write(folder.path());
    let config = format!(
        "{KEY}\n[admin]\nlisten = \"127.0.0.1:0\"\n[dns]\nlisten = \"127.0.0.1:0\"\ntls = {{ listen = \"127.0.0.1:0\", cert = \"cert.pem\", key = \"key.pem\" }}\n\
         [[zone]]\nname = \"example.net\"\nfile = \"zone\"\ntransfer = {transfer}\n"
    );
    fs::write(folder.path().join("pharos.toml"), config).unwrap();
    fs::write(folder.path().join("zone"), zone(1, 86_400)).unwrap();
    let server = Server::start(&folder.path().join("pharos.toml"));
    let address = server.listener("DNS over TLS", HERE);
    (folder, server, address)
}

/// Waits until no connection is open, and returns the number that clients have closed.
fn closed(server: &Server) -> u64 {
    until("no connection is open", || server.metric("pharos_dns_connections") == 0);
    server.metric("pharos_dns_connections_closed_total{reason=\"client\"}")
}

#[test]
fn rfc9103_a_certificate_is_verified_before_anything_is_sent() {
    let certificate = Certificate::new();
    let (above, upstream, address) = primary(&certificate, "{ allow = \"key:xfer.example\" }");
    let folder = TempDir::new().unwrap();
    certificate.write(folder.path());
    // Another name, the roots of the system, and at last the right settings.
    let start = |name, more| secondary(folder.path(), address.port(), name, more);
    for (name, more, said) in [
        ("ns2.example", "roots = \"ca.pem\"\n", "its certificate is refused"),
        (NAME, "", "its certificate is refused"),
    ] {
        let (server, ours) = start(name, more);
        let lines = server.wait_for("failed to compare");
        assert!(lines.last().unwrap().contains(said), "{lines:?}");
        assert_eq!((serial(ours), compared(&server, "tls-failed")), (None, 1));
    }
    let (server, ours) = start(NAME, "roots = \"ca.pem\"\n");
    until("we have serial 1", || serial(ours) == Some(1));
    assert_eq!(texts(ours), texts(upstream.address(HERE)));
    // As a reload asks anew: first for the SOA, then on the same connection for the changes.
    let before = closed(&upstream);
    reload(above.path(), &upstream, 2);
    server.signal("HUP");
    until("we have serial 2", || serial(ours) == Some(2));
    assert_eq!((compared(&server, "fetched"), compared(&server, "tls-failed")), (2, 0));
    assert_eq!(closed(&upstream) - before, 1, "RFC 9103 §6.3: the SOA and the changes come over one connection");
}

#[test]
fn rfc9103_a_primary_below_tls_1_3_is_not_asked() {
    let (port, tls_port, certificate) = (free_port(), free_port(), Certificate::new());
    let folder = TempDir::new().unwrap();
    certificate.write(folder.path());
    let more = format!("listen-on port {tls_port} tls xot {{ 127.0.0.1; }};");
    let config = "tls xot { cert-file \"DIR/cert.pem\"; key-file \"DIR/key.pem\"; protocols { TLSv1.2; }; };\n\
                  zone \"example.net\" { type primary; file \"DIR/zone\"; allow-transfer { any; }; };\n";
    let files = [("zone", &zone(1, 86_400)), ("cert.pem", &certificate.chain), ("key.pem", &certificate.key)];
    let files = files.map(|(name, text)| (name, text.as_str()));
    let Some(other) = Other::start_with("named", port, &more, config, &files) else { return };
    other.wait_for(1);
    let (server, address) = secondary(folder.path(), tls_port, NAME, "roots = \"ca.pem\"\n");
    let lines = server.wait_for("failed to compare");
    assert!(lines.last().unwrap().contains("the TLS handshake fails"), "{lines:?}");
    assert_eq!(serial(address), None);
}

#[test]
fn rfc9103_s7_1_a_primary_that_does_not_select_dot_is_not_asked() {
    // As NSD before 2025, which speaks TLS and knows no application protocols.
    let certificate = Certificate::new();
    let chain = CertificateDer::from_pem_slice(certificate.chain.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(certificate.key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(pharos::tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .unwrap();
    let (listener, config) = (TcpListener::bind((HERE, 0)).unwrap(), Arc::new(config));
    let port = listener.local_addr().unwrap().port();
    let asked = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
        // Nothing is sent but the end of the connection.
        stream.read(&mut [0; 512]).unwrap_or(0)
    });
    let folder = TempDir::new().unwrap();
    certificate.write(folder.path());
    let (server, _) = secondary(folder.path(), port, NAME, "roots = \"ca.pem\"\n");
    let lines = server.wait_for("failed to compare");
    assert!(lines.last().unwrap().contains("does not select the application protocol `dot`"), "{lines:?}");
    assert_eq!(asked.join().unwrap(), 0);
}

#[test]
fn rfc9103_bind_follows_us_over_tls() {
    let (port, certificate) = (free_port(), Certificate::new());
    let transfer = format!("{{ allow = \"key:xfer.example\", notify = \"127.0.0.1:{port} key:xfer.example\" }}");
    let (folder, server, address) = primary(&certificate, &transfer);
    let config = format!(
        "tls ours {{ ca-file \"DIR/ca.pem\"; remote-hostname \"{NAME}\"; protocols {{ TLSv1.3; }}; }};\n\
         zone \"example.net\" {{ type secondary; file \"DIR/copy\"; primaries {{ 127.0.0.1 port {} key xfer.example tls ours; }}; \
         allow-notify {{ key xfer.example; }}; }};\n",
        address.port()
    );
    let Some(other) = Other::start("named", port, &config, &[("ca.pem", &certificate.authority)]) else { return };
    other.wait_for(1);
    assert_eq!(texts(other.address), texts(server.address(HERE)));
    reload(folder.path(), &server, 2);
    other.wait_for(2);
    assert_eq!(texts(other.address), texts(server.address(HERE)));
}

/// The rcode of the first reply over one version of TLS.
fn rcode(
    address: SocketAddr,
    certificate: &Certificate,
    version: &'static SupportedProtocolVersion,
    rtype: Rtype,
) -> u8 {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificate.authority.as_bytes()).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(pharos::tls::provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"dot".to_vec()];
    let name = ServerName::try_from(NAME).unwrap();
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut stream = StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), stream);
    let question = Builder::new("example.net.", rtype).finish();
    stream.write_all(&[&(question.len() as u16).to_be_bytes(), &question[..]].concat()).unwrap();
    let mut head = [0; 6];
    stream.read_exact(&mut head).unwrap();
    head[5] & 0x0f
}

#[test]
fn rfc9103_s7_1_transfers_need_tls_1_3_and_other_queries_do_not() {
    let certificate = Certificate::new();
    let (_folder, server, address) = primary(&certificate, "{ allow = \"127.0.0.1\" }");
    let of = |version, rtype| rcode(address, &certificate, version, rtype);
    assert_eq!(of(&rustls::version::TLS12, Rtype::SOA), 0);
    assert_eq!(of(&rustls::version::TLS12, Rtype::AXFR), 5);
    assert_eq!(of(&rustls::version::TLS13, Rtype::AXFR), 0);
    // Without TLS, the configuration decides.
    let given = ask(server.address(HERE), "example.net.", Rtype::AXFR).unwrap();
    assert!(given.answers.len() > 100);
}
