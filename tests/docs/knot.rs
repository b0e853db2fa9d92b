//! `docs/migrate-from-knot-geoip.md`: Knot with mod-geoip and Pharos with the configurations of the page.

use std::net::{Ipv4Addr, SocketAddr};

use tempfile::TempDir;

use super::common::ports::free_port;
use super::migrate::{self, Old, edited};
use super::page::Page;
use super::shell;

pub(crate) fn run(page: &Page) {
    let folder = TempDir::new().unwrap();
    let (port, path) = (free_port(), folder.path().display().to_string());
    // The folders for run-time files are Knot's built-in ones; only root may write to those.
    let listen = format!("listen: 127.0.0.1@{port}\n    rundir: {path}\ndatabase:\n    storage: {path}/db\nserver:");
    page.write_files(folder.path(), |file, text| match file {
        "knot/knot.conf" => {
            edited(text, &[("listen: 192.0.2.53@53\n", &format!("{listen}\n")), ("/etc/knot", &format!("{path}/knot"))])
        }
        "pharos/pharos.toml" => edited(text, &[("192.0.2.53:53", "127.0.0.1:0")]),
        _ => text.to_string(),
    });
    shell::run(page, page.claim("files"), folder.path(), &[]);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let arguments = ["-c", &format!("{path}/knot/knot.conf")];
    let module = Some(("knot", "geoip.so"));
    let old = Old { program: "knotd", package: "knot-module-geoip", module, arguments: &arguments, address };
    migrate::both(page, folder.path(), &old);
}
