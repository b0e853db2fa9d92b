//! `docs/migrate-from-powerdns.md`: PowerDNS with its geoip backend and Pharos with the configurations of the page.

use std::net::{Ipv4Addr, SocketAddr};

use tempfile::TempDir;

use super::common::peers::free_port;
use super::migrate::{self, Old, edited};
use super::page::{Page, root};
use super::shell;

/// A small City database: 40.2.0.0/16 is in the US, 40.1.0.0/16 and 40.4.0.0/16 in France, 40.3.0.0/16 in Singapore.
const DATABASE: &str = "tests/engine/networks/city.mmdb";

pub(crate) fn run(page: &Page) {
    let folder = TempDir::new().unwrap();
    let (port, path) = (free_port(), folder.path().display().to_string());
    let database = root().join(DATABASE).display().to_string();
    let address = format!("127.0.0.1\nsocket-dir={path}\ndaemon=no\nguardian=no\nsetuid=\nsetgid=");
    let port_line = format!("local-port={port}\n");
    page.write_files(folder.path(), |file, text| match file {
        "pdns/pdns.conf" => edited(
            text,
            &[
                ("/usr/share/GeoIP/GeoLite2-Country.mmdb", &database),
                ("/etc/powerdns", &format!("{path}/pdns")),
                ("192.0.2.53", &address),
                ("local-port=53\n", &port_line),
            ],
        ),
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
}
