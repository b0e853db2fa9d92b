//! `docs/metrics.md` lists the metrics that the server prints; `PHAROS_BLESS=1` writes the list anew.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use pharos::base::rr::Rtype;

use super::common::expected;
use super::common::nameserver::NameServer;
use super::common::needs;
use super::common::pipeline::ask_all;
use super::common::query::Builder;
use super::common::server::PATIENCE;
use super::world::{Authority, Fault, NAME, loopback};
use super::{QUICK, World};

/// A metric family as it is printed.
#[derive(Debug, Default, PartialEq)]
struct Family {
    help: String,
    kind: String,
    labels: BTreeSet<String>,
    has_sample: bool,
}

/// The families of a page. Every line must be one of the format's.
fn families(page: &str) -> BTreeMap<String, Family> {
    let mut found: BTreeMap<String, Family> = BTreeMap::new();
    for line in page.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            found.entry(name.to_string()).or_default().help = help.to_string();
            continue;
        }
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            found.get_mut(name).unwrap().kind = kind.to_string();
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
        let base = base.filter(|base| found.get(*base).is_some_and(|family| family.kind == "histogram"));
        let family = found.get_mut(base.unwrap_or(name)).unwrap_or_else(|| panic!("{line}"));
        family.has_sample = true;
        let keys = labels.split("\",").filter_map(|pair| pair.split_once("=\"")).map(|(key, _)| key.to_string());
        family.labels.extend(keys.filter(|key| key != "le"));
    }
    found
}

/// The document of a server of a fleet that has nothing to tell.
fn document_of(server: &str, key: &[u8]) -> String {
    let served = "\"version\":\"0\",\"generation\":1,\"config\":\"\",\"answers_per_second\":0.0,\"servfail_share\":0.0,\
                  \"mirrors\":0,\"mirrors_up\":0,\"isolated\":false";
    let probed = "{\"count\":0,\"digest\":\"\",\"troubled\":[]}";
    let document = format!(
        "{{\"form\":1,\"server\":\"{server}\",\"boot\":1,\"seq\":1,\"served\":{{{served}}},\"probed\":{probed},\"overrides\":{{}}}}"
    );
    let signed = format!("servers/{server}.json\0{document}");
    let mac = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key), signed.as_bytes());
    let mac: String = mac.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{{\"mac\":\"{mac}\",\"document\":{document}}}")
}

/// A world in which every family has a sample.
async fn page() -> String {
    let authority = Authority::new();
    let (good, bad) = (loopback(81), loopback(82));
    let (at, _good) = authority.mirror(SocketAddr::new(good, 0), Fault::None).await;
    let (_, _bad) = authority.mirror(SocketAddr::new(bad, at.port()), Fault::WrongName).await;
    let mirrors: [(&str, &[IpAddr]); 2] = [("good", &[good]), ("bad", &[bad])];
    // A mirror by its host, and a zone of which there is a copy, of the same serial as at its primary.
    let names = NameServer::start(&format!("lb A {good}"));
    let server = names.address();
    let list = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(list.path(), "198.51.100.0/24\n").unwrap();
    // A credential that has set a token before, and a peer that is not there.
    let tokens = tempfile::NamedTempFile::new().unwrap();
    let kept = "{\"version\": 1, \"server\": \"a\", \"tokens\": [], \"last_set\": {\"key:lb.net.test\": 1700000000}}";
    std::fs::write(tokens.path(), format!("pharos state challenges 1\n{kept}\n")).unwrap();
    // A fleet with one server before, whose document the store has.
    let (store, fleet_key) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
    std::fs::write(fleet_key.path(), "0".repeat(64)).unwrap();
    std::fs::create_dir(store.path().join("servers")).unwrap();
    std::fs::write(store.path().join("servers/two.json"), document_of("two", &[0; 32])).unwrap();
    // A zone that is signed here. A temporary file is for its owner alone.
    let (zone, zone_key) = (tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap());
    std::fs::write(zone.path(), "$TTL 60\n@ SOA ns h 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n").unwrap();
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    std::fs::write(zone_key.path(), key.serialize_pem()).unwrap();
    let rest = format!(
        "[networks]\nsites = {{ list = \"{}\" }}\npublished = {{ list = \"fetched\", url = \"http://127.0.0.1:1/list\" }}\n[horizons.h]\ndefault = [\"good\", \"bad\", \"lb\"]\n\
         [resolver]\nservers = \"{server}\"\nprivate = \"127.0.0.0/8\"\n[mirrors.lb]\nhost = \"lb.net.test\"\nacme = [{{ key = \"lb.net.test\" }}]\n\
         [acme]\nstate = \"{}\"\nlisten = \"127.0.0.1:0\"\npeers = [\"127.0.0.1:1 key:peers\"]\n\
         [keys]\n\"lb.net.test\" = {{ algorithm = \"hmac-sha256\", secret = \"{}\" }}\npeers = {{ algorithm = \"hmac-sha256\", secret = \"{}\" }}\n\
         [[zone]]\nname = \"net.test\"\nfile = \"copy\"\nprimaries = \"{server}\"\n\
         [[zone]]\nname = \"signed.test\"\nfile = \"{}\"\ndnssec = {{ keys = [\"{}\"] }}\n\
         [dns.tls]\nlisten = \"127.0.0.1:0\"\ncert = \"dns.pem\"\nkey = \"dns.key\"\n\
         [dns.https]\nlisten = \"127.0.0.1:0\"\n\
         [control]\nsocket = \"control.sock\"\nstate = \"orders.json\"\n\
         [fleet]\nname = \"one\"\nstore = \"dir:{}\"\nkey-file = \"{}\"\n",
        list.path().display(),
        tokens.path().display(),
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        zone.path().display(),
        zone_key.path().display(),
        store.path().display(),
        fleet_key.path().display(),
    );
    let world = World::start_with(&authority, at.port(), QUICK, &mirrors, &[("@", "h")], &rest);
    world.expect(Rtype::A, &[good]);
    let config = world.folder.path().join("pharos.toml");
    let mut order = Command::new(env!("CARGO_BIN_EXE_pharos"));
    order.args(["mirror", "drain", "bad", "--reason", "to be counted", "--config"]).arg(config);
    assert!(order.status().unwrap().success());
    let mut push = Command::new(env!("CARGO_BIN_EXE_pharos"));
    push.args(["fleet", "push", "--config"]).arg(world.folder.path().join("pharos.toml"));
    assert!(push.status().unwrap().success());
    // One answer in 64 is attributed to a region; all of one socket are answered by one thread.
    let question = Builder::new(NAME, Rtype::A).finish();
    ask_all(world.server.address(good), &vec![question; 64]);
    let canary = format!("/v2/{}/blobs/sha256:{}", super::REPOSITORY, super::canary_sha256());
    assert_eq!(world.host(&canary).await, NAME);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let page = world.server.metrics();
        if page.contains("pharos_mirror_up{mirror=\"good\",address=\"127.0.1.81\"} 1\n")
            && page.contains("pharos_zone_age_seconds{")
            && page.contains("pharos_fleet_server_age_seconds{")
            && page.contains("pharos_fleet_store_age_seconds ")
            && page.contains("pharos_fleet_bundle{")
        {
            return page;
        }
        assert!(Instant::now() < deadline, "a sample is missing:\n{page}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_of_metrics_is_what_the_server_prints() {
    let page = page().await;
    check_with_promtool(&page);
    for line in [
        "pharos_dns_steered_total{mirror=\"good\",tier=\"preferred\"} ",
        "pharos_dns_steering_decisions_total{by=\"resolver\"} ",
        "pharos_http_steered_total{mirror=\"good\",tier=\"preferred\"} 1\n",
        "pharos_dns_clients_total{provider=\"\",region=\"\"} ",
        "pharos_http_clients_total{provider=\"\",region=\"\",target=\"steered-name\"} 1\n",
        "pharos_probe_failures_total{reason=\"certificate\"} ",
        "pharos_blob_asked_total{result=\"has\"} 1\n",
        "pharos_blob_lookups_total{cache=\"miss\",found=\"has\"} 1\n",
        "pharos_mirror_certificate_not_after_seconds{mirror=\"good\",address=\"127.0.1.81\"} ",
        "pharos_horizon_panic{horizon=\"h\",family=\"ipv4\"} 0\n",
    ] {
        assert!(page.contains(line), "{line} is not in\n{page}");
    }
    let found = families(&page);
    let mut table = String::from("| metric | type | labels | meaning |\n|---|---|---|---|\n");
    for (name, Family { help, kind, labels, has_sample }) in &found {
        assert!(has_sample, "{name} has no sample, so its labels are not known: cause one in `page` of this file");
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        table.push_str(&format!("| `{name}` | {kind} | {} | {help} |\n", labels.join(", ")));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let written = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = written.split_once("| metric |").unwrap();
    let old = rest.lines().take_while(|line| line.starts_with('|') || line.starts_with(" type"));
    let old_len: usize = old.map(|line| line.len() + 1).sum();
    let after = &rest[old_len..];
    expected::hold("docs/metrics.md", &format!("{before}{table}{after}"), "mirrors");
}

fn check_with_promtool(page: &str) {
    let Some(promtool) = needs::program("promtool", "prometheus") else { return };
    let mut tool = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    tool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let said = tool.wait_with_output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert_eq!(said, "", "promtool finds fault");
}
