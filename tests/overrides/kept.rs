//! Zone files and certificates that a reload cannot take: the served ones stay, and the other files take effect.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use hickory_proto::rr::RecordType;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use serde_json::Value;

use crate::common::query::Builder;
use crate::common::server::{PATIENCE, ask_udp};
use crate::common::show;
use crate::{CONFIG, World, ZONE, texts};
use pharos::base::rr::Rtype;

/// The name in all certificates.
const NAME: &str = "blob.example";

/// The zone without steered owners.
const PLAIN: &str = "plain.example";

/// The configuration with certificates, and with a second zone that this machine may fetch.
fn config() -> String {
    let dns = "listen = \"127.0.0.1:0\"\ntls = { listen = \"127.0.0.1:0\", cert = \"dns.pem\", key = \"dns.key\" }";
    let registry = "[registry]\nlisten = \"127.0.0.1:0\"\ncanonical = \"https://registry.example\"\n\
                    blobs = \"https://blob.example\"\ntls = { cert = \"registry.pem\", key = \"registry.key\" }\n\n[admin]";
    let plain = "[[zone]]\nname = \"plain.example\"\nfile = \"plain\"\ntransfer = { allow = \"127.0.0.1/32\" }\n\n[mirrors.near]";
    let config = CONFIG.replacen("listen = \"127.0.0.1:0\"", dns, 1).replace("[admin]", registry);
    format!("allow = [\"secrets-exposed\", \"single-ns\"]\n{config}").replace("[mirrors.near]", plain)
}

/// Either zone with a serial, and a text so long that its changes are shorter than the zone.
fn zone(serial: u32, more: &str) -> String {
    let text = "x".repeat(200);
    format!("{}long TXT {text}\nlonger TXT {text}\n{more}\n", ZONE.replace(" 7 ", &format!(" {serial} ")))
}

/// Writes a new certificate with its key, and returns the certificate.
pub(crate) fn renew(folder: &Path, listener: &str) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(vec![NAME.to_string()]).unwrap();
    for (suffix, text) in [("pem", made.cert.pem()), ("key", made.signing_key.serialize_pem())] {
        let path = folder.join(format!("{listener}.{suffix}"));
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap()
}

/// The certificate that a listener serves, which must be one of those.
pub(crate) fn certificate(at: SocketAddr, known: &[&CertificateDer<'static>]) -> CertificateDer<'static> {
    let mut roots = rustls::RootCertStore::empty();
    known.iter().for_each(|one| roots.add((*one).clone()).unwrap());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut client = rustls::ClientConnection::new(Arc::new(config), ServerName::try_from(NAME).unwrap()).unwrap();
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    while client.is_handshaking() {
        client.complete_io(&mut stream).unwrap();
    }
    client.peer_certificates().unwrap()[0].clone().into_owned()
}

impl World {
    fn start_with_certificates() -> (World, [CertificateDer<'static>; 2]) {
        let folder = tempfile::tempdir().unwrap();
        let known = ["dns", "registry"].map(|listener| renew(folder.path(), listener));
        let files = [("zone", zone(7, "")), ("plain", zone(7, "")), ("pharos.toml", config())];
        for (name, text) in files.into_iter().chain([("admin.token", crate::TOKEN.into())]) {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let mut world = World { folder, server: None };
        world.start_again();
        (world, known)
    }

    fn tls(&self, what: &str) -> SocketAddr {
        self.server().listener(what, Ipv4Addr::LOCALHOST.into())
    }

    /// Reloads, and returns the exit code and the output.
    pub(crate) fn reload(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.run(&[&["reload"], arguments].concat());
        (output.status.code().unwrap(), texts(&output).0)
    }

    /// The number of SOA records in an answer to IXFR for the second zone: two if the zone comes whole.
    fn soas_since(&self, serial: u32) -> usize {
        let mut query = Builder::new(PLAIN, Rtype(251)).finish();
        query[8..10].copy_from_slice(&[0, 1]);
        query.extend_from_slice(&[0xc0, 12, 0, 6, 0, 1, 0, 0, 0, 0, 0, 22, 0, 0]);
        query.extend([serial, 0, 0, 0, 0].into_iter().flat_map(u32::to_be_bytes));
        let mut stream = TcpStream::connect(self.server().address(Ipv4Addr::LOCALHOST.into())).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&(query.len() as u16).to_be_bytes()).unwrap();
        stream.write_all(&query).unwrap();
        let mut len = [0; 2];
        stream.read_exact(&mut len).unwrap();
        let mut reply = vec![0; u16::from_be_bytes(len).into()];
        stream.read_exact(&mut reply).unwrap();
        let message = show::decode(&reply).unwrap();
        message.answers.iter().filter(|record| record.record_type() == RecordType::SOA).count()
    }

    fn is_known(&self, name: &str) -> bool {
        let query = Builder::new(name, Rtype::TXT).finish();
        let server = self.server().address(Ipv4Addr::LOCALHOST.into());
        let reply = ask_udp(&query, Ipv4Addr::LOCALHOST.into(), server).unwrap().unwrap();
        !show::decode(&reply).unwrap().answers.is_empty()
    }
}

#[test]
fn a_refused_zone_file_holds_back_neither_a_certificate_nor_a_rule() {
    let (mut world, [dns, registry]) = World::start_with_certificates();
    for file in ["zone", "plain"] {
        world.write(file, &zone(8, "extra TXT eight"));
    }
    assert_eq!(world.reload(&[]).0, 0);
    assert_eq!((world.answer(), world.soas_since(7)), (vec![10], 4));
    // Two zones that were cut short, a renewed certificate, and a rule that sends this client elsewhere.
    let renewed = renew(world.folder.path(), "registry");
    for file in ["zone", "plain"] {
        world.write(file, "$TTL 60\n@ SOA ns1 hostmaster 9 3600 600 86400 60\n@ NS ns1\nns1 A 127.0.0.\n");
    }
    world.write("sites.txt", "127.0.0.0/8 here\n");
    let ruled = config()
        .replace("[mirrors.near]", "[networks]\nsites = { list = \"sites.txt\" }\n\n[mirrors.near]")
        .replace("ttl = 60 }]", "ttl = 30, https = { alpn = \"h2\" } }, { owner = \"more\", horizon = \"other\" }]")
        .replace(
            "[horizons.h]",
            "[horizons.a-new-first]\ndefault = [\"spare\"]\n\n[horizons.other]\ndefault = [\"far\"]\n\n[horizons.h]",
        )
        .replace(
            "default = [\"near\",",
            "rules = [{ network = \"sites\", mirrors = [\"far\"] }]\ndefault = [\"near\",",
        );
    world.write("pharos.toml", &ruled);
    const KEPT: &str = "zone `blob.example` keeps its served records (serial 8): its file is refused; \
                        zone `plain.example` keeps its served records (serial 8): its file is refused";
    let kept = KEPT.split_once("; ").unwrap().0;
    let (code, said) = world.reload(&["--dry-run"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.ends_with(&format!("\nwould be reloaded in part: generation 2 is served; {KEPT}\n")), "{said}");
    assert_eq!(world.answer(), [10], "a comparison changes nothing");
    let (code, said) = world.reload(&[]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("warning[bad-data]") && said.contains(&format!("warning[zone-refused]: {kept}\n")), "{said}");
    assert!(said.ends_with(&format!("\nreloaded in part: generation 3 is served; {KEPT}\n")), "{said}");
    // The steering is that of the new configuration, in which the horizons have other ids.
    assert_eq!(world.answer(), [20]);
    let query = Builder::new("more.blob.example", Rtype::A).finish();
    let server = world.server().address(Ipv4Addr::LOCALHOST.into());
    let reply = ask_udp(&query, Ipv4Addr::LOCALHOST.into(), server).unwrap().unwrap();
    assert_eq!(crate::addresses(&reply), [20]);
    let https = ask_udp(&Builder::new(NAME, Rtype(65)).finish(), Ipv4Addr::LOCALHOST.into(), server).unwrap().unwrap();
    assert_eq!(show::decode(&https).unwrap().answers.len(), 1);
    assert!(world.is_known("extra.blob.example"), "the records are those of serial 8");
    let at = world.tls("registry over HTTPS");
    assert_eq!(certificate(at, &[&registry, &renewed]), renewed);
    assert_eq!(certificate(world.tls("DNS over TLS"), &[&dns]), dns);
    // It is named by each way of looking.
    let status = world.json(&["status"]);
    assert_eq!((&status["reload"]["in_part"], &status["reload"]["refused"]), (&true.into(), &KEPT.into()));
    assert_eq!(status["zones"][0]["serial"], 8);
    assert!(world.ok(&["status"]).contains("succeeded in part at "));
    assert_eq!(world.server().metric("pharos_zone_refused{zone=\"blob.example\"}"), 1);
    assert_eq!(world.server().metric("pharos_reload_refused"), 1);
    world.server().wait_for(kept);
    assert_eq!(world.soas_since(7), 4, "secondaries get the same change as before");
    // Mended, the zone goes on from the serial before; the secondaries miss nothing.
    for file in ["zone", "plain"] {
        world.write(file, &zone(9, "extra TXT nine"));
    }
    assert_eq!(world.reload(&[]).0, 0);
    assert_eq!((world.soas_since(7), world.soas_since(8)), (6, 4));
    assert_eq!(world.server().metric("pharos_zone_refused{zone=\"blob.example\"}"), 0);
    // A new owner that the served records do not admit is the configuration's own fault, as is another file.
    let taken = ruled.replace("owner = \"more\"", "owner = \"ns1\"");
    for refused in [&taken, &ruled.replace("file = \"zone\"", "file = \"zne\"")] {
        world.write("pharos.toml", refused);
        let (code, said) = world.reload(&[]);
        assert!(code == 1 && said.contains("not reloaded: generation 4"), "{code} {said}");
    }
    assert_eq!(world.answer(), [20]);
    // A start has no records to keep.
    world.write("pharos.toml", &ruled);
    world.write("zone", "not a zone");
    world.write("plain", "not a zone");
    world.kill();
    let output = world.run(&["serve"]);
    assert_eq!(output.status.code(), Some(1), "{}", texts(&output).1);
}

#[test]
fn a_refused_certificate_holds_back_no_zone() {
    let (world, [dns, registry]) = World::start_with_certificates();
    // The keys belong to other certificates, and the zone was mended.
    for listener in ["dns", "registry"] {
        let cert = std::fs::read(world.path(&format!("{listener}.pem"))).unwrap();
        renew(world.folder.path(), listener);
        std::fs::write(world.path(&format!("{listener}.pem")), cert).unwrap();
    }
    world.write("zone", &zone(8, "extra TXT eight"));
    let (code, said) = world.reload(&[]);
    assert_eq!(code, 1, "{said}");
    let kept =
        ["dns", "registry"].map(|of| format!("listener `{of}` keeps its served certificate: its files are refused"));
    assert!(said.contains("warning[tls-mismatch]") && said.contains("zone blob.example: serial 7 to 8\n"), "{said}");
    assert!(
        said.ends_with(&format!("\nreloaded in part: generation 2 is served; {}; {}\n", kept[0], kept[1])),
        "{said}"
    );
    assert!(world.is_known("extra.blob.example"));
    assert_eq!(certificate(world.tls("DNS over TLS"), &[&dns]), dns);
    assert_eq!(certificate(world.tls("registry over HTTPS"), &[&registry]), registry);
    let status = world.json(&["status"]);
    let refused = status["reload"]["refused"].as_str().unwrap();
    assert!(kept.iter().all(|kept| refused.contains(kept)), "{status}");
    let of = |status: &Value, at: usize| status["certificates"][at]["refused"]["error"].as_str().map(str::to_string);
    assert!([0, 1].iter().all(|at| of(&status, *at).is_some_and(|error| error.contains("tls-mismatch"))), "{status}");
    for listener in ["dns", "registry"] {
        let sample = format!("pharos_tls_certificate_refused{{listener=\"{listener}\"}}");
        assert_eq!(world.server().metric(&sample), 1);
    }
    world.server().wait_for(&kept[0]);
    // Another file has never been served.
    world.write("pharos.toml", &config().replace("dns.pem", "dsn.pem"));
    let (code, said) = world.reload(&[]);
    assert!(code == 1 && said.contains("not reloaded: generation 2"), "{code} {said}");
    // Renewed as a whole, both are served.
    world.write("pharos.toml", &config());
    let renewed = ["dns", "registry"].map(|listener| renew(world.folder.path(), listener));
    assert_eq!(world.reload(&[]).0, 0);
    assert_eq!(certificate(world.tls("DNS over TLS"), &[&dns, &renewed[0]]), renewed[0]);
    assert_eq!(certificate(world.tls("registry over HTTPS"), &[&registry, &renewed[1]]), renewed[1]);
    let status = world.json(&["status"]);
    assert!([0, 1].iter().all(|at| of(&status, *at).is_none()), "{status}");
    // A start has no certificate to keep.
    std::fs::write(world.path("dns.key"), "").unwrap();
    let (code, said) = (world.run(&["check"]).status.code(), ());
    assert_eq!((code, said), (Some(1), ()));
}
