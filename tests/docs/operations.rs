//! `docs/operations.md`: its delegation is loaded as a part of a zone, its commands are run against a server.

use std::fs::{self, Permissions};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Instant;

use super::common::server::{PATIENCE, Server};
use super::page::{Page, root};
use super::{parts_of_sources, shell};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

const ZONE: &str = "$TTL 60\n@ SOA ns1 hostmaster 7 3600 600 86400 60\n@ NS ns1\n@ NS ns.example.\nns1 A 192.0.2.53\n";

/// A server with the mirrors that the page names.
const CONFIG: &str = r#"
[dns]
listen = "127.0.0.1:0"

[admin]
listen = "127.0.0.1:0"
token-file = "admin.token"

[control]
socket = "control.sock"
state = "overrides.state"

[[zone]]
name = "blob.k8s.io"
file = "blob.k8s.io.zone"
steer = [{ owner = "@", horizon = "blobs" }]

[mirrors.aws-use1]
addresses = ["192.0.2.10"]

[mirrors.gcp-us]
addresses = ["192.0.2.20"]

[horizons.blobs]
default = ["aws-use1", "gcp-us"]
"#;

/// The alerts by name, from the rules.
fn alerts() -> Vec<String> {
    let rules = fs::read_to_string(root().join("deploy/prometheus/pharos.rules.yml")).unwrap();
    rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).map(String::from).collect()
}

pub(crate) fn run(page: &Page) {
    parts_of_sources(page);
    let (alerts, anchors) = (alerts(), &page.anchors);
    assert!(alerts.len() > 5, "{alerts:?}");
    let missing: Vec<&String> = alerts.iter().filter(|alert| !anchors.contains(&alert.to_lowercase())).collect();
    assert!(missing.is_empty(), "{}: no runbook entry for {missing:?}", page.path.display());
    let is_alert = |anchor: &&String| anchor.starts_with("pharos");
    let former: Vec<&String> = anchors
        .iter()
        .filter(is_alert)
        .filter(|anchor| !alerts.iter().any(|alert| alert.to_lowercase() == **anchor))
        .collect();
    assert!(former.is_empty(), "{}: no alert is called {former:?}", page.path.display());
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let files = [("blob.k8s.io.zone", ZONE), ("pharos.toml", CONFIG), ("admin.token", TOKEN)];
    files.iter().for_each(|(name, text)| write(folder, name, text));
    fs::set_permissions(folder.join("admin.token"), Permissions::from_mode(0o600)).unwrap();
    delegation(page);
    let server = Server::start(&folder.join("pharos.toml"));
    let admin = server.listener("health and metrics", Ipv4Addr::LOCALHOST.into()).to_string();
    // The control socket listens a moment after the DNS listeners.
    let deadline = Instant::now() + PATIENCE;
    while !folder.join("control.sock").exists() {
        assert!(Instant::now() < deadline, "the control socket does not exist");
    }
    let stand = [("/run/pharos/control.sock", "control.sock"), ("127.0.0.1:9153", &*admin), ("$TOKEN", TOKEN)];
    for attribute in ["check", "overrides", "drain", "http"] {
        page.claim_all(attribute).iter().for_each(|fence| shell::script(page, fence, folder, &stand));
    }
}

/// The records for the parent zone are read as a part of it.
fn delegation(page: &Page) {
    let folder = tempfile::tempdir().unwrap();
    let zone = format!(
        "$ORIGIN k8s.io.\n$TTL 60\n@ SOA ns hostmaster 7 3600 600 86400 60\n@ NS ns\n@ NS ns.example.\nns A 192.0.2.1\n{}",
        page.claim("delegation").text
    );
    write(folder.path(), "k8s.io.zone", &zone);
    write(folder.path(), "pharos.toml", "[dns]\n[[zone]]\nname = \"k8s.io\"\nfile = \"k8s.io.zone\"\n");
    let check = shell::printed("pharos check --deny-warnings", folder.path());
    assert!(check.is_ok(), "{}", check.unwrap_err());
}

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).unwrap();
}
