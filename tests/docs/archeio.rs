//! `docs/migrate-from-archeio.md`: its configuration is loaded and served, its commands are run.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Instant;

use super::common::needs::{self, find_program};
use super::common::peers::free_port;
use super::common::server::{PATIENCE, Server};
use super::migrate::{assert_keys, edited};
use super::mirror_owner::{Files, HEX, start_mirror};
use super::page::Page;
use super::shell;

/// The mirrors of the page, and those of the test.
const MIRRORS: [(&str, &str); 2] = [("192.0.2.10", "127.0.0.2"), ("198.51.100.20", "127.0.0.3")];

/// Feeds with a prefix each, in the form of the published ones.
const FEEDS: [(&str, &str); 2] = [
    (
        "ip-ranges.json",
        r#"{"syncToken":"1","createDate":"2026-01-01-00-00-00","prefixes":[{"ip_prefix":"3.80.0.0/12","region":"us-east-1",
        "service":"AMAZON","network_border_group":"us-east-1"}],"ipv6_prefixes":[]}"#,
    ),
    (
        "cloud.json",
        r#"{"syncToken":"1","creationTime":"2026-01-01T00:00:00","prefixes":[{"ipv4Prefix":"34.64.0.0/10",
        "service":"Google Cloud","scope":"us-central1"}]}"#,
    ),
];

pub(crate) fn run(page: &Page) {
    assert_keys(page);
    assert_variables(page);
    let files = Files::new();
    files.write(&Page::open("docs/run-a-mirror.md"));
    let (folder, port) = (files.folder.path(), free_port());
    let mirrors: [IpAddr; 2] = MIRRORS.map(|(_, test)| test.parse().unwrap());
    write(page, &files, port);
    page.claim_all("check").iter().for_each(|fence| shell::run(page, fence, folder, &MIRRORS));
    let commands = page.claim_all("ask");
    if find_program("nginx").is_none() {
        needs::missing("nginx is not installed (Debian package of that name), so no mirror has a blob");
        return;
    }
    let _mirrors = mirrors.map(|address| start_mirror(&files, &address.to_string(), address, port));
    let server = Server::start(&folder.join("pharos/pharos.toml"));
    let listener = server.listener("registry", mirrors[0]);
    // A busy machine may take longer than `ask-wait` for a mirror's first answer, which the next request then finds.
    let deadline = Instant::now() + PATIENCE;
    while !blob_is_at_the_mirror(listener) {
        assert!(Instant::now() < deadline, "the mirrors are not found to have the blob");
    }
    let dns = format!("@127.0.0.1 -p {} ", server.address(mirrors[0]).port());
    let stand = [("192.0.2.80:8080", &*listener.to_string()), ("@192.0.2.53 ", &dns), MIRRORS[0], MIRRORS[1]];
    commands.iter().for_each(|fence| shell::run(page, fence, folder, &stand));
}

/// The variables of archeio in the page are those in the example's URLs.
fn assert_variables(page: &Page) {
    let variables = &page.claim("archeio").text;
    let of = |name: &str| variables.lines().find_map(|line| line.strip_prefix(&format!("{name}="))).unwrap();
    let path = of("UPSTREAM_REGISTRY_PATH");
    for (key, variable) in [("canonical", "UPSTREAM_REGISTRY_ENDPOINT"), ("signatures", "SIGNATURE_UPSTREAM_ENDPOINT")]
    {
        let url = format!("= \"{}/{path}\"\n", of(variable));
        let config = page.fences.iter().find(|fence| fence.info.get("file") == Some("pharos/pharos.toml")).unwrap();
        let found = config.text.split(&url).next().unwrap().lines().last().unwrap_or_default();
        assert_eq!(found.trim_end(), key, "{url}");
    }
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
    for (file, text) in FEEDS {
        fs::write(files.folder.path().join("pharos").join(file), text).unwrap();
    }
}

fn blob_is_at_the_mirror(listener: SocketAddr) -> bool {
    let mut stream = TcpStream::connect(listener).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET /v2/pause/blobs/sha256:{HEX} HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.contains("https://blob.example.com/")
}
