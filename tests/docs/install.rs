//! The page on installing: its commands run, and each script that it names is run by the tests of the packages.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use super::common::server::Server;
use super::migrate::edited;
use super::page::{Page, root};
use super::shell;

/// Runs the page's commands in a folder with the files that the commands read.
pub(crate) fn run(page: &Page) {
    let folder = tempfile::tempdir().unwrap();
    for name in ["pharos.toml", "zones", "deploy"] {
        std::os::unix::fs::symlink(root().join(name), folder.path().join(name)).unwrap();
    }
    page.write_files(folder.path(), |_, text| text.to_string());
    for fence in page.claim_all("run") {
        shell::run(page, fence, folder.path(), &[]);
    }
    sample(page, folder.path());
    for fence in page.claim_all("packages") {
        is_run_elsewhere(fence.text.trim(), |script| format!("deploy(\"{script}\""));
    }
    is_run_elsewhere(page.claim("rules").text.split("deploy/prometheus/").last().unwrap().trim(), str::to_string);
}

/// Serves the sample on ports that the system chooses, and asks it.
fn sample(page: &Page, folder: &Path) {
    let config = fs::read_to_string(root().join("pharos.toml")).unwrap();
    let ports = [("127.0.0.1:8080", "127.0.0.1:0"), ("[dns]\n", "[dns]\nlisten = \"127.0.0.1:0\"\n")];
    fs::write(folder.join("served.toml"), edited(&config, &ports)).unwrap();
    let server = Server::start(&folder.join("served.toml"));
    let here = Ipv4Addr::LOCALHOST.into();
    let (dns, http) = (format!("-p {} ", server.address(here).port()), server.listener("registry", here).to_string());
    shell::run(page, page.claim("sample"), folder, &[("-p 5300 ", &dns), ("127.0.0.1:8080", &http)]);
}

/// Looks for the call of a script in the tests of the packages, which run it with the binary under test.
fn is_run_elsewhere(command: &str, call: impl Fn(&str) -> String) {
    let call = call(command.strip_prefix("deploy/").unwrap_or(command));
    let tests = fs::read_dir(root().join(Path::new("tests/packages"))).unwrap();
    let is_run = tests.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).any(|text| text.contains(&call));
    assert!(is_run, "no test of the packages has {call}");
}
