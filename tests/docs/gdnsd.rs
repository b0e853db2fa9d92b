//! `docs/migrate-from-gdnsd.md`: gdnsd and Pharos with the configurations of the page.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use tempfile::TempDir;

use super::common::ports::free_port;
use super::migrate::{self, Old, edited};
use super::page::Page;
use super::shell;

pub(crate) fn run(page: &Page) {
    let folder = TempDir::new().unwrap();
    let (port, path) = (free_port(), folder.path().display().to_string());
    // The folders for run-time files are gdnsd's built-in ones; only root may write to those.
    let options = format!("listen => [ 127.0.0.1:{port} ]\n  run_dir => {path}/run\n  state_dir => {path}/state");
    page.write_files(folder.path(), |file, text| match file {
        "gdnsd/config" => edited(text, &[("listen => [ 192.0.2.53 ]", &options)]),
        "pharos/pharos.toml" => edited(text, &[("192.0.2.53:53", "127.0.0.1:0")]),
        _ => text.to_string(),
    });
    for name in ["run", "state"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    shell::run(page, page.claim("files"), folder.path(), &[]);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let arguments = ["-c", &format!("{path}/gdnsd"), "start"];
    let old = Old { program: "gdnsd", package: "gdnsd", module: None, arguments: &arguments, address };
    migrate::both(page, folder.path(), &old);
}
