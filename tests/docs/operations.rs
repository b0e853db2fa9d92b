//! `docs/operations.md`: its delegation is loaded as a part of a zone, its commands are run against a server.

use std::fs::{self, Permissions};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Instant;

use serde_json::Value;

use super::common::server::{PATIENCE, Server};
use super::page::{Fence, Page, root};
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

[networks.office]
list = "office.txt"

[horizons.blobs]
rules = [{ network = "office", mirrors = ["gcp-us"] }]
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
    let files =
        [("blob.k8s.io.zone", ZONE), ("pharos.toml", CONFIG), ("admin.token", TOKEN), ("office.txt", "3.0.0.0/12\n")];
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
    while !response(&admin, "/ready").starts_with("HTTP/1.0 200") {
        assert!(Instant::now() < deadline, "the server is not ready");
    }
    page.claim_all("data").iter().for_each(|fence| data(fence, &admin));
    for attribute in ["check", "overrides", "drain", "http"] {
        page.claim_all(attribute).iter().for_each(|fence| shell::script(page, fence, folder, &stand));
    }
}

/// An example of data has the keys that the server gives, and no others; all of them, unless it is a part.
fn data(fence: &Fence, admin: &str) {
    let path = fence.info.get("data").unwrap();
    let response = response(admin, path);
    let served: Value = serde_json::from_str(response.split_once("\r\n\r\n").unwrap().1).unwrap();
    let shown: Value = serde_json::from_str(&fence.text).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut wrong = Vec::new();
    compare(path, &shown, &served, fence.info.get("part").is_some(), &mut wrong);
    assert!(wrong.is_empty(), "line {}: {wrong:#?}", fence.line);
}

/// The response to a request with the token.
fn response(admin: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(admin).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

/// Compares the keys of documents. Names of mirrors are no keys.
fn compare(at: &str, shown: &Value, served: &Value, is_part: bool, wrong: &mut Vec<String>) {
    match (shown, served) {
        (Value::Object(shown), Value::Object(served)) => {
            let is_by_name = at.ends_with(".mirrors");
            for (key, one) in shown {
                match served.get(key) {
                    Some(other) => compare(&format!("{at}.{key}"), one, other, is_part, wrong),
                    None if is_by_name => {}
                    None => wrong.push(format!("{at}.{key} is not served")),
                }
            }
            let missing = served.keys().filter(|key| !shown.contains_key(*key) && !is_part && !is_by_name);
            wrong.extend(missing.map(|key| format!("{at}.{key} is not shown")));
        }
        (Value::Array(shown), Value::Array(served)) => {
            if let (Some(one), Some(other)) = (shown.first(), served.first()) {
                compare(&format!("{at}[]"), one, other, is_part, wrong);
            }
        }
        _ => {}
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
