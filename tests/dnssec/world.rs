//! A server with a signed zone that has every kind of answer, and the trust anchor for it.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
use tempfile::TempDir;

use crate::common::pipeline;
use crate::common::query;
use crate::common::server::Server;

pub(crate) const APEX: &str = "blob.test";

const ZONE: &str = "\
$TTL 300
@ SOA ns hostmaster 1 3600 600 86400 60
@ NS ns
@ TXT \"apex\"
ns A 127.0.0.1
www A 192.0.2.80
www TXT \"hello\"
alias CNAME www
toblob CNAME steered
*.wild TXT \"wild\"
*.wildalias CNAME www
a.ent.deep A 192.0.2.9
insecure NS ns.insecure
ns.insecure A 192.0.2.53
secure NS ns.secure
secure DS 12345 13 2 0000000000000000000000000000000000000000000000000000000000000000
ns.secure A 192.0.2.54
old DNAME wild
mail MX 10 www
";

/// Networks of clients, with the mirror that each is steered to; all others get `far`.
pub(crate) const NETWORKS: [(&str, &str); 4] =
    [("203.0.113.0/24", "near"), ("3.80.0.0/12", "east"), ("3.81.0.0/16", "west"), ("2001:db8:7::/48", "near")];

/// The mirrors with the last byte of their addresses.
pub(crate) const MIRRORS: [(&str, u8); 4] = [("near", 7), ("east", 8), ("west", 9), ("far", 10)];

pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) server: Server,
}

impl World {
    /// Starts a server whose zone is signed by an ECDSA key, with more text in its configuration.
    pub(crate) fn start(more: &str) -> World {
        let folder = tempfile::tempdir().unwrap();
        write_key(&folder.path().join("key.pem"), &PKCS_ECDSA_P256_SHA256);
        fs::write(folder.path().join("zone"), ZONE).unwrap();
        for (at, (prefix, _)) in NETWORKS.iter().enumerate() {
            fs::write(folder.path().join(format!("n{at}.txt")), format!("{prefix}\n")).unwrap();
        }
        fs::write(folder.path().join("pharos.toml"), config(more)).unwrap();
        let server = Server::start(&folder.path().join("pharos.toml"));
        World { folder, server }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address(Ipv4Addr::LOCALHOST.into())
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.path().join("pharos.toml")
    }

    /// The DNSKEY record as `flags protocol algorithm key`.
    pub(crate) fn anchor(&self) -> [String; 4] {
        dnskey(self.address(), APEX)
    }
}

/// A key as PKCS #8 in PEM.
pub(crate) fn write_key(path: &Path, algorithm: &'static rcgen::SignatureAlgorithm) {
    fs::write(path, KeyPair::generate_for(algorithm).unwrap().serialize_pem()).unwrap();
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

/// A second kind of key.
pub(crate) fn write_ed25519(path: &Path) {
    write_key(path, &PKCS_ED25519);
}

fn config(more: &str) -> String {
    let mut text = String::from("[dns]\nlisten = \"127.0.0.1:0\"\n");
    text += more;
    text += &format!(
        "\n[[zone]]\nname = \"{APEX}\"\nfile = \"zone\"\nsteer = [\n  {{ owner = \"@\", horizon = \"h\", ttl = 60, https = {{ alpn = \
         [\"h2\"] }} }},\n  {{ owner = \"steered\", horizon = \"h\", ttl = 60 }},\n  {{ owner = \"*.any\", horizon = \"h\", ttl = 60 \
         }},\n]\ndnssec = {{ keys = [\"key.pem\"] }}\n[networks]\n"
    );
    for at in 0..NETWORKS.len() {
        text += &format!("n{at} = {{ list = \"n{at}.txt\" }}\n");
    }
    for (name, last) in MIRRORS {
        text += &format!("[mirrors.{name}]\naddresses = [\"198.51.100.{last}\", \"2001:db8::{last}\"]\n");
    }
    text += "[horizons.h]\ndefault = [\"far\"]\nrules = [\n";
    // The longest prefix comes first.
    for (at, (_, mirror)) in NETWORKS.iter().enumerate().rev() {
        text += &format!("  {{ network = \"n{at}\", mirrors = [\"{mirror}\"] }},\n");
    }
    text + "]\n"
}

/// The first DNSKEY of a zone as `flags protocol algorithm key`.
pub(crate) fn dnskey(server: SocketAddr, apex: &str) -> [String; 4] {
    let message = query::parse(&[&format!("? {apex}. DNSKEY")]).unwrap().message;
    let reply = pipeline::ask_tcp(server, &message).unwrap();
    let reply = hickory_proto::op::Message::from_vec(&reply).unwrap();
    let hickory_proto::rr::RData::Unknown { rdata, .. } = &reply.answers[0].data else { panic!("no DNSKEY: {reply}") };
    let rdata = &rdata.anything;
    let key = data_encoding::BASE64.encode(&rdata[4..]);
    [u16::from_be_bytes([rdata[0], rdata[1]]).to_string(), rdata[2].to_string(), rdata[3].to_string(), key]
}

/// Runs a program to its end.
pub(crate) fn run(program: &Path, arguments: &[&str], folder: &Path) -> Output {
    Command::new(program).args(arguments).current_dir(folder).output().unwrap()
}

/// The output of a program, both streams.
pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The program under test.
pub(crate) fn pharos() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_pharos"))
}

/// The client that a query is for: an address within each network, and one in none.
pub(crate) fn clients() -> Vec<(String, u8)> {
    let of = |mirror: &str| MIRRORS.iter().find(|(name, _)| *name == mirror).unwrap().1;
    let clients = [
        ("203.0.113.9/32", "near"),
        ("203.0.113.200/32", "near"),
        ("3.80.1.1/32", "east"),
        ("3.81.1.1/32", "west"),
        ("3.82.1.1/32", "east"),
        ("8.8.8.8/32", "far"),
        ("203.0.112.1/32", "far"),
        ("2001:db8:7:1::1/128", "near"),
        ("2001:db8:8::1/128", "far"),
    ];
    clients.map(|(client, mirror)| (client.to_string(), of(mirror))).into()
}

pub(crate) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
