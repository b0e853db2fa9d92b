//! Tests of the text formats, with small samples and with published feeds.

mod azure;
mod geofeeds;
mod refused;

use std::path::PathBuf;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::base::diagnostic::{Place, Style};
use crate::config::{FileUse, InputFile, NetworkKind};
use crate::files::FileKind;
use crate::networks::{LabelKind, Labels};

#[path = "../../../tests/common/needs.rs"]
mod needs;

/// A network of some kind, as a config would have it.
pub(super) fn network(kind: NetworkKind) -> Network {
    let config: Arc<str> = "pharos.toml".into();
    let line = "net = { feed = \"…\", file = \"feed.txt\" }";
    let place = Place::in_line(&config, 7, line, 0..3);
    let input = InputFile::new("/nonexistent/feed.txt".into(), "feed.txt".into(), FileUse::Network(kind), place);
    Network::at("net", kind, input)
}

/// A published file. `None` if this checkout has none beside it, which is counted.
pub(super) fn shared(name: &str) -> Option<Vec<u8>> {
    Some(std::fs::read(needs::data(name)?).unwrap())
}

fn read_as(kind: NetworkKind, text: &str) -> LoadedSource {
    match read(&network(kind), text.into()) {
        Ok(loaded) => loaded,
        Err(problems) => panic!("{}", render(&problems)),
    }
}

fn render(problems: &[Diagnostic]) -> String {
    problems.iter().map(|problem| problem.render(Style::Plain)).collect::<Vec<_>>().join("\n")
}

fn refusal(kind: NetworkKind, text: &str) -> String {
    render(&read(&network(kind), text.into()).expect_err("it is refused"))
}

/// Every entry as `line: prefix labels`.
fn entries(loaded: &LoadedSource) -> Vec<String> {
    let source = &loaded.source;
    let v4 = source.v4().iter().map(|entry| (entry.line, entry.block.to_string(), entry.labels));
    let v6 = source.v6().iter().map(|entry| (entry.line, entry.block.to_string(), entry.labels));
    v4.chain(v6).map(|(line, prefix, labels)| format!("{line}: {prefix}{}", words(source.labels(labels)))).collect()
}

fn words(labels: Labels<'_>) -> String {
    use LabelKind::{Continent, Country, Label, Provider, Region, Subdivision};
    let value = |kind| labels.value(kind).map(|value| format!(" {value}"));
    [Provider, Region, Label, Country, Continent, Subdivision].into_iter().filter_map(value).collect()
}

const AWS: &str = r#"{
  "syncToken": "1", "createDate": "2026-07-29-08-27-05",
  "prefixes": [
    { "ip_prefix": "15.193.0.0/19", "region": "GLOBAL", "service": "AMAZON" },
    { "ip_prefix": "15.193.10.0/24", "region": "af-south-1", "service": "AMAZON" },
    { "ip_prefix": "15.193.10.0/24", "region": "af-south-1", "service": "EC2" }
  ],
  "ipv6_prefixes": [
    { "region": "eu-west-1",
      "ipv6_prefix": "2001:db8::\/32" }
  ]
}"#;

const GCP: &str = r#"{ "syncToken": "1", "creationTime": "2026-07-29", "prefixes": [{
    "ipv4Prefix": "34.1.208.0/20", "service": "Google Cloud", "scope": "africa-south1"
  }, {
    "ipv6Prefix": "2001:db8::/32", "service": "Google Cloud", "scope": "us-west1"
  }] }"#;

const AZURE: &str = r#"{ "changeNumber": 1, "cloud": "Public", "values": [
  { "name": "Storage.westus", "properties": { "addressPrefixes": ["198.51.100.0/24"] } },
  { "name": "AzureCloud", "properties": { "region": "", "addressPrefixes": [
    "192.0.2.0/24",
    "192.0.2.64/26",
    "203.0.113.0/24"] } },
  { "name": "AzureCloud.westeurope", "properties": { "region": "westeurope", "addressPrefixes": [
    "192.0.2.0/24",
    "2001:db8::/32"] } }
] }"#;

const FASTLY: &str = r#"{"addresses":["192.0.2.0/24"],
"ipv6_addresses":["2001:db8::/32"]}"#;

const CLOUDFLARE: &str = r#"{ "result": {
  "ipv4_cidrs": [
    "192.0.2.0/24",
    "198.51.100.0/24"],
  "ipv6_cidrs": [
    "2001:db8::/32"],
  "etag": "38f79d050aa027e3be3865e495dcc9bc" },
  "success": true, "errors": [], "messages": [] }"#;

const OCI: &str = r#"{ "last_updated_timestamp": "2026-07-29", "regions": [
  { "region": "us-phoenix-1", "cidrs": [
    { "cidr": "129.146.0.0/21", "tags": ["OCI"] },
    { "cidr": "129.146.8.0/22", "tags": ["OCI"] } ] }
] }"#;

const GEOFEED: &str = "# a comment, with a comma
192.0.2.0/24,US,US-WA,\"Seattle, the city\",
198.51.100.0/24,de,de-by,,
198.51.100.128/25,,,,

203.0.113.7,ZZ,,,
2001:db8::/32 , FR
";

#[test]
fn aws_entries_are_regions_with_the_line_of_the_prefix() {
    let loaded = read_as(NetworkKind::Aws, AWS);
    let expected =
        ["4: 15.193.0.0/19 aws GLOBAL", "5: 15.193.10.0/24 aws af-south-1", "10: 2001:db8::/32 aws eu-west-1"];
    assert_eq!(entries(&loaded), expected);
    assert_eq!(loaded.warnings, []);
}

#[test]
fn a_region_says_more_than_global() {
    let text = r#"{ "prefixes": [{ "ip_prefix": "192.0.2.0/24", "region": "GLOBAL" },
{ "ip_prefix": "192.0.2.0/24", "region": "eu-west-1" }] }"#;
    let loaded = read_as(NetworkKind::Aws, text);
    assert_eq!(entries(&loaded), ["2: 192.0.2.0/24 aws eu-west-1"]);
    assert_eq!(loaded.warnings, []);
}

#[test]
fn two_regions_for_one_prefix_are_one_warning() {
    let text = "{ \"prefixes\": [\n{ \"ip_prefix\": \"192.0.2.0/24\", \"region\": \"eu-west-1\" },\n\
                { \"ip_prefix\": \"192.0.2.0/24\", \"region\": \"eu-west-2\" }] }";
    let loaded = read_as(NetworkKind::Aws, text);
    assert_eq!(entries(&loaded), ["2: 192.0.2.0/24 aws eu-west-1"]);
    let expected = "\
warning[conflicting-labels]: `192.0.2.0/24` is listed twice with different labels
 --> feed.txt:3:1
  |
3 | { \"ip_prefix\": \"192.0.2.0/24\", \"region\": \"eu-west-2\" }] }
  | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ `eu-west-2`, not used
  |
 ::: feed.txt:2:1
  |
2 | { \"ip_prefix\": \"192.0.2.0/24\", \"region\": \"eu-west-1\" },
  | ------------------------------------------------------- `eu-west-1`, used
  |
  = help: the first in the file is used; remove the other";
    assert_eq!(render(&loaded.warnings), expected);
}

#[test]
fn gcp_entries_have_their_scope_as_region() {
    let expected = ["2: 34.1.208.0/20 gcp africa-south1", "4: 2001:db8::/32 gcp us-west1"];
    assert_eq!(entries(&read_as(NetworkKind::Gcp, GCP)), expected);
}

#[test]
fn azure_regions_win_over_the_tag_of_everything() {
    let loaded = read_as(NetworkKind::Azure, AZURE);
    let expected = ["8: 192.0.2.0/24 azure westeurope", "6: 203.0.113.0/24 azure", "9: 2001:db8::/32 azure westeurope"];
    assert_eq!(entries(&loaded), expected);
    assert_eq!(loaded.warnings, []);
}

#[test]
fn oci_entries_have_the_region_around_them() {
    let expected = ["3: 129.146.0.0/21 oci us-phoenix-1", "4: 129.146.8.0/22 oci us-phoenix-1"];
    assert_eq!(entries(&read_as(NetworkKind::Oci, OCI)), expected);
}

#[test]
fn lists_of_a_provider_have_no_regions() {
    let expected = ["1: 192.0.2.0/24 fastly", "2: 2001:db8::/32 fastly"];
    assert_eq!(entries(&read_as(NetworkKind::Fastly, FASTLY)), expected);
    let expected = ["3: 192.0.2.0/24 cloudflare", "4: 198.51.100.0/24 cloudflare", "6: 2001:db8::/32 cloudflare"];
    assert_eq!(entries(&read_as(NetworkKind::Cloudflare, CLOUDFLARE)), expected);
    let refused = r#"{ "success": false, "errors": [{ "code": 10000 }], "result": null }"#;
    assert!(
        refusal(NetworkKind::Cloudflare, refused).contains("wrong-shape"),
        "{}",
        refusal(NetworkKind::Cloudflare, refused)
    );
    assert!(refusal(NetworkKind::Fastly, CLOUDFLARE).contains("write `feed = \"cloudflare\"` for this file"));
    assert!(refusal(NetworkKind::Cloudflare, FASTLY).contains("write `feed = \"fastly\"` for this file"));
}

#[test]
fn a_list_with_ipv4_in_ipv6_says_that_no_client_matches() {
    let loaded = read_as(NetworkKind::List, "2001:db8::/32\n2002:c000:0200::/40 vpn\n::ffff:192.0.2.0/120\n");
    let expected = "\
warning[embedded-prefix]: 2 prefixes have IPv4 addresses in IPv6 form, `2002:c000:200::/40` first of them
 --> feed.txt:2:1
  |
2 | 2002:c000:0200::/40 vpn
  | ^^^^^^^^^^^^^^^^^^^^^^^ a client there is known by its IPv4 address
  |
  = help: write `192.0.2.0/24`";
    assert_eq!(render(&loaded.warnings), expected);
    // Published files have such prefixes, and no operator can mend these.
    assert_eq!(read_as(NetworkKind::Geofeed, "2002:c000:0200::/40,US,,,\n").warnings, []);
}

#[test]
fn a_geofeed_says_where_or_that_it_does_not_know() {
    let loaded = read_as(NetworkKind::Geofeed, GEOFEED);
    let expected = [
        "2: 192.0.2.0/24 US NA US-WA",
        "3: 198.51.100.0/24 DE EU DE-BY",
        "4: 198.51.100.128/25",
        "6: 203.0.113.7/32",
        "7: 2001:db8::/32 FR EU",
    ];
    assert_eq!(entries(&loaded), expected);
    assert_eq!(loaded.warnings, []);
}

#[test]
fn odd_places_in_a_geofeed_are_one_warning_each() {
    let loaded =
        read_as(NetworkKind::Geofeed, "192.0.2.0/25,UK,,,\n192.0.2.128/25,US,Texas,,\n198.51.100.0/24,UK,,,\n");
    assert_eq!(entries(&loaded), ["1: 192.0.2.0/25 UK", "2: 192.0.2.128/25 US NA", "3: 198.51.100.0/24 UK"]);
    let messages: Vec<&str> = loaded.warnings.iter().map(|warning| &*warning.message).collect();
    assert_eq!(messages, ["2 lines have no known country, `UK` first of them", "`Texas` is no known region"]);
}

#[test]
fn a_list_has_prefixes_labels_and_comments() {
    let text = "# office\n203.0.113.0/24 office  # the new one\n\n2001:db8::/32\t\tlab\n192.0.2.1#home\n";
    let expected = ["5: 192.0.2.1/32", "2: 203.0.113.0/24 office", "4: 2001:db8::/32 lab"];
    assert_eq!(entries(&read_as(NetworkKind::List, text)), expected);
}

#[test]
fn a_list_of_comments_is_odd_and_legal() {
    let loaded = read_as(NetworkKind::List, "# nobody yet\n");
    assert_eq!(entries(&loaded), [""; 0]);
    assert_eq!(loaded.warnings.len(), 1);
    assert_eq!(loaded.warnings[0].message, "`feed.txt` has no prefixes in it");
}

#[test]
fn a_byte_order_mark_and_crlf_change_nothing() {
    let kinds = [
        (NetworkKind::Aws, AWS),
        (NetworkKind::Gcp, GCP),
        (NetworkKind::Azure, AZURE),
        (NetworkKind::Oci, OCI),
        (NetworkKind::Geofeed, GEOFEED),
        (NetworkKind::List, "# x\n192.0.2.0/24 a\n198.51.100.0/24\n"),
    ];
    for (kind, text) in kinds {
        let windows = format!("\u{feff}{}", text.replace('\n', "\r\n"));
        assert_eq!(entries(&read_as(kind, &windows)), entries(&read_as(kind, text)), "{kind:?}");
    }
}

#[test]
fn the_config_may_name_another_provider() {
    for (kind, text) in [(NetworkKind::Aws, AWS), (NetworkKind::Geofeed, GEOFEED), (NetworkKind::List, "192.0.2.0/24")]
    {
        let network = Network { provider: Some("acme".into()), ..network(kind) };
        let loaded = read(&network, text.into()).unwrap();
        assert!(loaded.source.all_labels().all(|labels| labels.text(LabelKind::Provider) == Some("acme")));
    }
}

#[test]
fn a_file_that_cannot_be_read_is_shown_in_the_config() {
    let expected = "\
error[unreadable-file]: failed to read `feed.txt`: no such file
 --> pharos.toml:7:1
  |
7 | net = { feed = \"…\", file = \"feed.txt\" }
  | ^^^ named here
  |
  = help: looked for `/nonexistent/feed.txt`; a relative path in a configuration starts at the folder of that file";
    assert_eq!(render(&load(&network(NetworkKind::Aws)).unwrap_err()), expected);
    let folder = tempfile::tempdir().unwrap();
    let at = |path: PathBuf| {
        let mut network = network(NetworkKind::Gcp);
        network.input.path = path;
        network
    };
    assert!(
        render(&load(&at(folder.path().into())).unwrap_err())
            .contains("`feed.txt`: it is a folder, not a regular file")
    );
    let file = folder.path().join("cloud.json");
    std::fs::write(&file, GCP).unwrap();
    assert_eq!(load(&at(file.clone())).unwrap().source.prefix_count(), 2);
    // A sparse file takes no room.
    std::fs::File::options().write(true).open(&file).unwrap().set_len(FileKind::Feed.max_len() + 1).unwrap();
    assert!(render(&load(&at(file)).unwrap_err()).contains("`feed.txt`: it is larger than 64 MiB"));
}

#[test]
fn the_published_aws_feed_nests_regions_in_global_blocks() {
    let Some(octets) = shared("aws-ip-ranges.json") else { return };
    let text = String::from_utf8(octets.clone()).unwrap();
    let loaded = read(&network(NetworkKind::Aws), octets).unwrap();
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.source.prefix_count(), 10_762);
    let found = loaded.source.entry_at("15.193.10.1".parse().unwrap()).unwrap();
    assert_eq!(found.prefix.to_string(), "15.193.10.0/24");
    assert_eq!(words(loaded.source.labels(found.labels)), " aws af-south-1");
    let around = loaded.source.entry_at("15.193.12.0".parse().unwrap()).unwrap();
    assert_eq!(words(loaded.source.labels(around.labels)), " aws GLOBAL");
    every_prefix_stands_on_its_line(&loaded.source, &text);
}

#[test]
fn the_published_gcp_feed_is_read_whole() {
    let Some(octets) = shared("gcp-cloud.json") else { return };
    let text = String::from_utf8(octets.clone()).unwrap();
    let loaded = read(&network(NetworkKind::Gcp), octets).unwrap();
    assert_eq!(loaded.source.prefix_count(), 1047);
    assert_eq!(loaded.warnings, []);
    every_prefix_stands_on_its_line(&loaded.source, &text);
}

fn every_prefix_stands_on_its_line(source: &Source, text: &str) {
    let lines: Vec<&str> = text.lines().collect();
    let v4 = source.v4().iter().map(|entry| (entry.line, entry.block.to_string()));
    let v6 = source.v6().iter().map(|entry| (entry.line, entry.block.to_string()));
    for (line, prefix) in v4.chain(v6) {
        assert!(lines[line as usize - 1].contains(&format!("\"{prefix}\"")), "{prefix} in line {line}");
    }
}

proptest! {
    #[test]
    fn any_octets_are_read_or_refused_and_never_panic(
        start in prop::sample::select(vec!["", "{", "[", "192.0.2.0/24,", "192.0.2.0/24 "]),
        octets in prop::collection::vec(any::<u8>(), 0..200),
        text in "\\PC{0,60}\\n?[é,\"\\r\\n# /.0-9a-f:]{0,60}",
    ) {
        for kind in NetworkKind::ALL {
            for octets in [[start.as_bytes(), &octets].concat(), [start.as_bytes(), text.as_bytes()].concat()] {
                if let Err(problems) = read(&network(kind), octets) {
                    prop_assert!(!render(&problems).is_empty());
                }
            }
        }
    }

    #[test]
    fn damaged_feeds_are_read_or_refused_and_never_panic(
        which in 0..7usize,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<char>()), 1..4),
    ) {
        let (kind, text) = [
            (NetworkKind::Aws, AWS), (NetworkKind::Gcp, GCP), (NetworkKind::Azure, AZURE), (NetworkKind::Oci, OCI),
            (NetworkKind::Geofeed, GEOFEED), (NetworkKind::Fastly, FASTLY), (NetworkKind::Cloudflare, CLOUDFLARE),
        ][which];
        let mut characters: Vec<char> = text.chars().collect();
        for (at, character) in damage {
            let at = at.index(characters.len());
            characters[at] = character;
        }
        let octets = String::from_iter(characters).into_bytes();
        if let Err(problems) = read(&network(kind), octets) {
            prop_assert!(!render(&problems).is_empty());
        }
    }
}
