//! Updates over TLS.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;

use super::common::server::{PATIENCE, Server};
use super::world::*;

#[test]
fn a_credential_sets_tokens_over_tls() {
    let folder = TempDir::new().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_string()]).unwrap();
    fs::write(folder.path().join("cert.pem"), made.cert.pem()).unwrap();
    fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let tls = "[dns.tls]\nlisten = \"127.0.0.1:0\"\ncert = \"cert.pem\"\nkey = \"key.pem\"\n";
    fs::write(folder.path().join("zone"), ZONE).unwrap();
    let text = config("[\"127.0.0.1:0\"]", [ONE, TWO]).replace("[acme]", &format!("{tls}[acme]"));
    fs::write(folder.path().join("pharos.toml"), text).unwrap();
    let server = Server::start(&folder.path().join("pharos.toml"));
    let encrypted = server.listener("DNS over TLS", HERE);
    let world = World { address: server.address(HERE), server, folder };

    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"dot".to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let tcp = TcpStream::connect(encrypted).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut stream = StreamOwned::new(connection, tcp);
    let mut send = |by, changes: &[Change<'_>]| {
        let mut signed = Signed::new(by, changes);
        stream.write_all(&[&(signed.message.len() as u16).to_be_bytes(), &*signed.message].concat()).unwrap();
        let mut len = [0; 2];
        stream.read_exact(&mut len).unwrap();
        let mut reply = vec![0; usize::from(u16::from_be_bytes(len))];
        stream.read_exact(&mut reply).unwrap();
        signed.verified(&reply)
    };
    assert_eq!(send("one", &[add(SHARED, 1), add(OWN, 2)]), 0);
    assert_eq!((world.tokens(SHARED), world.tokens(OWN)), (vec![1], vec![2]));
    assert_eq!(send("two", &[add(OWN, 3)]), 5, "another mirror's owner");
    assert_eq!(send("one", &[remove(SHARED, 1)]), 0);
    assert_eq!((world.tokens(SHARED), world.tokens(OWN)), (vec![], vec![2]));
}
