//! `docs/migrate-from-powerdns.md`: PowerDNS with its geoip backend and Pharos with the configurations of the page.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use pharos::base::rr::Rtype;
use tempfile::TempDir;

use super::common::needs::{self, find_program};
use super::common::ports::free_port;
use super::common::query::Builder;
use super::common::server::Server;
use super::common::{pipeline, show};
use super::migrate::{self, Old, edited, is_installed};
use super::mirror_owner::{Files, HEX, start_mirror};
use super::page::{Page, root};
use super::process::Process;
use super::shell;

/// A small City database: 40.2.0.0/16 is in the US, 40.1.0.0/16 and 40.4.0.0/16 in France, 40.3.0.0/16 in Singapore.
const DATABASE: &str = "tests/engine/networks/city.mmdb";

pub(crate) fn run(page: &Page) {
    let folder = TempDir::new().unwrap();
    let (port, path) = (free_port(), folder.path().display().to_string());
    let database = root().join(DATABASE).display().to_string();
    page.write_files(folder.path(), |file, text| match file {
        "pdns/pdns.conf" => pdns_conf(text, &path, port),
        "pharos/pharos.toml" => {
            edited(text, &[("192.0.2.53:53", "127.0.0.1:0"), ("/usr/share/GeoIP/GeoLite2-Country.mmdb", &database)])
        }
        _ => text.to_string(),
    });
    shell::run(page, page.claim("files"), folder.path(), &[]);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let arguments = [&*format!("--config-dir={path}/pdns")];
    let module = Some(("pdns", "libgeoipbackend.so"));
    let old = Old { program: "pdns_server", package: "pdns-backend-geoip", module, arguments: &arguments, address };
    migrate::both(page, folder.path(), &old);
    drop(folder);
    health(page);
}

/// The first mirror goes bad, and both servers leave it: `ifurlup` and the probe with the configurations of the page.
fn health(page: &Page) {
    let are_there = ["pdns_server", "nginx"].iter().all(|program| find_program(program).is_some());
    if !are_there || !is_installed("pdns", "libgeoipbackend.so") {
        needs::missing("nginx or PowerDNS with its geoip backend is not installed");
        return;
    }
    let (files, folder) = (Files::new(), TempDir::new().unwrap());
    files.write(&Page::open("docs/run-a-mirror.md"));
    let (port, mirrors) = (free_port(), [IpAddr::from([127, 0, 0, 2]), IpAddr::from([127, 0, 0, 3])]);
    let [first, second] = mirrors;
    let _mirrors = [start_mirror(&files, "first", first, port), start_mirror(&files, "second", second, port)];

    let theirs = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    write_health(page, &files, folder.path(), theirs.port(), (port, mirrors));
    let ours = Server::start(&folder.path().join("ifurlup/pharos.toml"));
    let ours = ours.address(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let config = format!("--config-dir={}", folder.path().join("pdns").display());
    let mut pdns = Process::start("pdns_server", &[&config], folder.path(), &[]);
    pdns.wait_for(theirs);
    pdns.wait_until(|| answer(theirs) == Some(first));
    pdns.wait_until(|| answer(ours) == Some(first));
    fs::write(files.folder.path().join(format!("first/blobs/sha256:{HEX}")), [b'x'; 34]).unwrap();
    pdns.wait_until(|| answer(ours) == Some(second));
    pdns.wait_until(|| answer(theirs) == Some(second));
}

/// Writes the page's configurations with `ifurlup` and with `[probe]`, for two mirrors at a port.
fn write_health(page: &Page, files: &Files, folder: &Path, pdns_port: u16, (port, mirrors): (u16, [IpAddr; 2])) {
    let [first, second] = mirrors.map(|mirror| mirror.to_string());
    let mirrors = [("192.0.2.30", &*first), ("198.51.100.20", &second)];
    let probe = format!("port   = {port}\nroots  = \"{}\"", files.path("ca.pem"));
    let url = format!("blob.example.com:{port}/v2");
    page.write_files(folder, |file, text| match file {
        "pdns/pdns.conf" => pdns_conf(text, &folder.display().to_string(), pdns_port),
        "ifurlup/record.yaml" => edited(&edited(text, &mirrors), &[("blob.example.com/v2", &url)]),
        "ifurlup/pharos.toml" => {
            edited(&edited(text, &mirrors), &[("192.0.2.53:53", "127.0.0.1:0"), ("port   = 443", &probe)])
        }
        _ => text.to_string(),
    });
    let read = |file: &str| fs::read_to_string(folder.join(file)).unwrap();
    // The page names the place of the record.
    let zones =
        edited(&read("pdns/zones.yaml"), &[("  records:\n", &format!("  records:\n{}", read("ifurlup/record.yaml")))]);
    fs::write(folder.join("pdns/zones.yaml"), zones).unwrap();
}

/// The one address of the name with `ifurlup`.
fn answer(server: SocketAddr) -> Option<IpAddr> {
    let reply = pipeline::ask_tcp(server, &Builder::new("eu.blob.example.com.", Rtype::A).finish()).ok()?;
    let message = show::decode(&reply).unwrap();
    let mut addresses = message.answers.iter().filter_map(|record| record.data.ip_addr());
    addresses.next().filter(|_| addresses.next().is_none())
}

fn pdns_conf(text: &str, folder: &str, port: u16) -> String {
    let database = root().join(DATABASE).display().to_string();
    let edits = [
        ("/usr/share/GeoIP/GeoLite2-Country.mmdb", database),
        ("/etc/powerdns", format!("{folder}/pdns")),
        ("192.0.2.53", format!("127.0.0.1\nsocket-dir={folder}\ndaemon=no\nguardian=no\nsetuid=\nsetgid=")),
        ("local-port=53\n", format!("local-port={port}\n")),
    ];
    edited(text, &edits.each_ref().map(|(page, test)| (*page, &**test)))
}
