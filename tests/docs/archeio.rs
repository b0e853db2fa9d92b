//! `docs/migrate-from-archeio.md`: its configurations are loaded and served, its commands are run.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use super::common::hickory::Hickory;
use super::common::needs::{self, find_program};
use super::common::ports::free_port;
use super::common::server::{PATIENCE, Server};
use super::migrate::{assert_keys, edited};
use super::mirror_owner::{Files, HEX, start_mirror, start_nginx};
use super::page::{Page, root};
use super::process::Process;
use super::{parts_of_sources, shell};

/// The mirrors of the page, and those of the test.
const MIRRORS: [(&str, &str); 2] = [("192.0.2.10", "127.0.0.2"), ("198.51.100.20", "127.0.0.3")];

/// The example with buckets, and its hosts that serve: those of the commands.
const EXAMPLE: &str = "deploy/examples/registry.k8s.io.toml";
const BUCKETS: [&str; 2] =
    ["prod-registry-k8s-io-us-east-2.s3.dualstack.us-east-2.amazonaws.com", "d1be1w964nk82h.cloudfront.net"];

/// The address of every bucket.
const BUCKETS_AT: &str = "127.0.0.4";

/// The blob of the example's canary.
const CANARY: &str = "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4";
const CANARY_BYTES: &[u8] = b"\x1f\x8b\x08\x00\x00\x09\x6e\x88\x00\xff\x62\x18\x05\xa3\x60\x14\x8c\x58\x00\x08\x00\x00\xff\xff\x2e\xaf\xb5\xef\x00\x04\x00\x00";

/// Feeds with a prefix each, in the form of the published ones.
const FEEDS: [(&str, &str); 2] = [
    (
        "ip-ranges.json",
        r#"{"syncToken":"1","createDate":"2026-01-01-00-00-00","prefixes":[
        {"ip_prefix":"3.80.0.0/12","region":"us-east-1","service":"AMAZON","network_border_group":"us-east-1"},
        {"ip_prefix":"3.128.0.0/15","region":"us-east-2","service":"AMAZON","network_border_group":"us-east-2"}],
        "ipv6_prefixes":[]}"#,
    ),
    (
        "cloud.json",
        r#"{"syncToken":"1","creationTime":"2026-01-01T00:00:00","prefixes":[{"ipv4Prefix":"34.64.0.0/10",
        "service":"Google Cloud","scope":"us-central1"}]}"#,
    ),
];

pub(crate) fn run(page: &Page) {
    assert_keys(page);
    parts_of_sources(page);
    assert_variables(page);
    let files = Files::new();
    files.write(&Page::open("docs/run-a-mirror.md"));
    buckets(page, &files);
    one_name(page, &files);
}

/// The example as it is, with the addresses, the port and the resolver of a test.
fn buckets(page: &Page, files: &Files) {
    let (folder, port) = (files.folder.path().join("buckets"), free_port());
    let text = fs::read_to_string(root().join(EXAMPLE)).unwrap();
    let hosts: BTreeSet<&str> =
        text.split("url = \"https://").skip(1).map(|rest| rest.split('/').next().unwrap()).collect();
    let resolver = Hickory::start(&["amazonaws.com", "cloudfront.net"].map(|zone| zone_of(zone, &hosts)));
    let at = |domain: &str| (format!("{domain}/"), format!("{domain}:{port}/"));
    let (aws, cdn) = (at(".amazonaws.com"), at(".cloudfront.net"));
    let roots = format!("[probe]\nroots = \"{}\"\n", files.path("ca.pem"));
    let edits = [
        ("127.0.0.1:8080", "127.0.0.1:0"),
        ("127.0.0.1:9153", "127.0.0.1:0"),
        ("\"35.191.0.0/16\"", "\"127.0.0.0/8\""),
        ("[probe]\n", &*roots),
        (&*aws.0, &*aws.1),
        (&*cdn.0, &*cdn.1),
    ];
    let resolver_table = format!("\n[resolver]\nservers = [\"{}\"]\nprivate = [\"127.0.0.0/8\"]\n", resolver.address);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("pharos.toml"), edited(&text, &edits) + &resolver_table).unwrap();
    write_feeds(&folder);
    let stand = [(&*aws.0, &*aws.1), (&*cdn.0, &*cdn.1)];
    page.claim_all("check-buckets").iter().for_each(|fence| shell::run(page, fence, files.folder.path(), &stand));
    let commands = page.claim_all("ask-buckets");
    if find_program("nginx").is_none() {
        needs::missing("nginx is not installed (Debian package of that name), so no bucket has a blob");
        return;
    }
    let _nginx = start_bucket(files, port);
    let server = Server::start(&folder.join("pharos.toml"));
    let listener = server.listener("registry", [127, 0, 0, 1].into());
    for client in ["3.128.1.1", "198.51.100.7"] {
        await_blob(listener, client, &format!(":{port}/containers/images/"));
    }
    let stand = [("192.0.2.80:8080", &*listener.to_string()), stand[0], stand[1]];
    commands.iter().for_each(|fence| shell::run(page, fence, files.folder.path(), &stand));
}

/// A zone with the hosts below it, in the form of a master file.
fn zone_of(zone: &str, hosts: &BTreeSet<&str>) -> (String, String) {
    let head = format!("{zone}. 60 IN SOA ns.{zone}. h.{zone}. 1 3600 600 86400 60\n{zone}. 60 IN NS ns.{zone}.\n");
    let records = hosts.iter().filter(|host| host.ends_with(zone));
    (zone.into(), head + &records.map(|host| format!("{host}. 60 IN A {BUCKETS_AT}\n")).collect::<String>())
}

/// One nginx as both hosts that serve: it has the canary and one blob, and answers 403 for others, as S3 does.
fn start_bucket(files: &Files, port: u16) -> Process {
    let folder = files.folder.path().join("bucket");
    let images = folder.join("containers/images");
    fs::create_dir_all(&images).unwrap();
    fs::copy(files.path(&format!("blobs/sha256:{HEX}")), images.join(format!("sha256:{HEX}"))).unwrap();
    fs::write(images.join(CANARY), CANARY_BYTES).unwrap();
    // Another certificate of the same authority.
    for file in ["ca.pem", "ca.key"] {
        fs::copy(files.path(file), folder.join(file)).unwrap();
    }
    let mut certs = Command::new(env!("CARGO_BIN_EXE_pharos"));
    certs.args(["certs", "--name", "unused.example", "--folder"]).arg(&folder);
    let made = certs.args(BUCKETS.iter().flat_map(|host| ["--listener", host])).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let site = format!(
        "server {{\n listen {BUCKETS_AT}:{port} ssl;\n ssl_certificate {0}/listener.pem;\n \
         ssl_certificate_key {0}/listener.key;\n root {0};\n default_type binary/octet-stream;\n \
         location / {{ try_files $uri =403; }}\n}}\n",
        folder.display()
    );
    let mut process = start_nginx(&folder, &site);
    process.wait_for(SocketAddr::new(BUCKETS_AT.parse().unwrap(), port));
    process
}

/// The mirrors behind one name.
fn one_name(page: &Page, files: &Files) {
    let (folder, port) = (files.folder.path(), free_port());
    let mirrors: [IpAddr; 2] = MIRRORS.map(|(_, test)| test.parse().unwrap());
    write(page, files, port);
    page.claim_all("check").iter().for_each(|fence| shell::run(page, fence, folder, &MIRRORS));
    let commands = page.claim_all("ask");
    if find_program("nginx").is_none() {
        needs::missing("nginx is not installed (Debian package of that name), so no mirror has a blob");
        return;
    }
    let _mirrors = mirrors.map(|address| start_mirror(files, &address.to_string(), address, port));
    let server = Server::start(&folder.join("pharos/pharos.toml"));
    let listener = server.listener("registry", mirrors[0]);
    await_blob(listener, "3.80.1.1", "https://blob.example.com/");
    let dns = format!("@127.0.0.1 -p {} ", server.address(mirrors[0]).port());
    let stand = [("192.0.2.80:8080", &*listener.to_string()), ("@192.0.2.53 ", &dns), MIRRORS[0], MIRRORS[1]];
    commands.iter().for_each(|fence| shell::run(page, fence, folder, &stand));
}

/// The variables of archeio in the page are those in the example.
fn assert_variables(page: &Page) {
    let variables = &page.claim("archeio").text;
    let of = |name: &str| variables.lines().find_map(|line| line.strip_prefix(&format!("{name}="))).unwrap();
    let example: toml::Table = toml::from_str(&fs::read_to_string(root().join(EXAMPLE)).unwrap()).unwrap();
    let registry = &example["registry"];
    let path = of("UPSTREAM_REGISTRY_PATH");
    let expected = |name: &str| format!("{}/{path}", of(name));
    assert_eq!(registry["canonical"].as_str().unwrap(), expected("UPSTREAM_REGISTRY_ENDPOINT"));
    assert_eq!(registry["signatures"].as_str().unwrap(), expected("SIGNATURE_UPSTREAM_ENDPOINT"));
    assert!(registry["listen"][0].as_str().unwrap().ends_with(&format!(":{}", of("PORT"))));
    let cdn = format!("{}/containers/images/{{digest}}", of("DEFAULT_AWS_BASE_URL"));
    assert_eq!(example["mirrors"]["cdn"]["url"].as_str().unwrap(), cdn);
}

fn write(page: &Page, files: &Files, port: u16) {
    let probe = format!("port   = {port}\nroots  = \"{}\"", files.path("ca.pem"));
    page.write_files(files.folder.path(), |file, text| match file {
        "pharos/pharos.toml" => {
            let edits = [
                ("192.0.2.53:53", "127.0.0.1:0"),
                ("192.0.2.80:8080", "127.0.0.1:0"),
                ("192.0.2.64/26", "127.0.0.0/8"),
                MIRRORS[0],
                MIRRORS[1],
                ("port   = 443", &probe),
            ];
            edited(text, &edits)
        }
        _ => text.to_string(),
    });
    write_feeds(&files.folder.path().join("pharos"));
}

fn write_feeds(folder: &Path) {
    FEEDS.iter().for_each(|(file, text)| fs::write(folder.join(file), text).unwrap());
}

/// Waits until a client's blob is redirected to its mirror. A busy machine may take longer than `ask-wait` for a mirror's first
/// answer, which the next request then finds.
fn await_blob(listener: SocketAddr, client: &str, url: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut stream = TcpStream::connect(listener).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET /v2/pause/blobs/sha256:{HEX} HTTP/1.0\r\nX-Forwarded-For: {client}\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        if answer.contains(url) {
            return;
        }
        assert!(Instant::now() < deadline, "{client} is not redirected to {url}: {answer}");
    }
}
