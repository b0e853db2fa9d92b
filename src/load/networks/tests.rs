//! Tests of the text formats, with small samples and with published feeds.

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
    Network { name: "net".into(), kind, input, provider: None }
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
fn a_feed_of_another_provider_is_told_by_its_looks() {
    let feeds =
        [(NetworkKind::Aws, AWS), (NetworkKind::Gcp, GCP), (NetworkKind::Azure, AZURE), (NetworkKind::Oci, OCI)];
    for (is, text) in feeds {
        for (asked, _) in feeds.into_iter().filter(|(kind, _)| *kind != is) {
            let problems = read(&network(asked), text.into()).unwrap_err();
            assert_eq!(problems[0].message, format!("`feed.txt` is {}, not {}", noun(is), noun(asked)));
        }
        for asked in [NetworkKind::List, NetworkKind::Geofeed] {
            assert_eq!(read(&network(asked), text.into()).unwrap_err()[0].code, "wrong-feed");
        }
    }
    let expected = "\
error[wrong-feed]: `feed.txt` is an AWS feed, not a GCP feed
 --> pharos.toml:7:1
  |
7 | net = { feed = \"…\", file = \"feed.txt\" }
  | ^^^ named here
  |
  = help: write `feed = \"aws\"` for this file";
    assert_eq!(refusal(NetworkKind::Gcp, AWS), expected);
}

#[test]
fn every_bad_prefix_is_shown_with_what_was_meant() {
    let text = "10.1.0.0/8 office\n192.0.2.0/24\nbanana\n";
    let expected = "\
error[bad-prefix]: `10.1.0.0/8` is not a prefix: bits are set beyond the prefix length; did you mean `10.0.0.0/8`?
 --> feed.txt:1:1
  |
1 | 10.1.0.0/8 office
  | ^^^^^^^^^^ this one
  |
  = help: write `10.0.0.0/8` for the whole prefix, or `10.1.0.0` for one address
error[bad-prefix]: `banana` is not a prefix: `banana` is not an IPv4 or IPv6 address
 --> feed.txt:3:1
  |
3 | banana
  | ^^^^^^ this one
  |
  = help: a line is `prefix [label]`, like `192.0.2.0/24 office`; begin headings and comments with `#`";
    assert_eq!(refusal(NetworkKind::List, text), expected);
}

#[test]
fn a_line_that_is_no_prefix_has_a_remedy_that_fits() {
    let remedy = |line: &str| read(&network(NetworkKind::List), line.into()).unwrap_err()[0].help.clone().unwrap();
    for (line, part) in [
        ("10.0.0.0/33 a", "from 0 to 32"),
        ("2001:db8::/129", "from 0 to 128"),
        ("10.0.0.1/8", "`10.0.0.0/8` for the whole prefix, or `10.0.0.1`"),
        ("prefix,label", "a space between"),
        ("10.0.0.0/8,america", "a space between"),
        ("10.0.0.1-10.0.0.9", "a range as prefixes"),
        ("network label", "headings and comments with `#`"),
    ] {
        assert!(remedy(line).contains(part), "{line}: {}", remedy(line));
    }
}

#[test]
fn one_bad_prefix_refuses_a_feed() {
    let expected = "\
error[bad-prefix]: `15.193.10.1/24` is not a prefix: bits are set beyond the prefix length; did you mean `15.193.10.0/24`?
 --> feed.txt:5:20
  |
5 |     { \"ip_prefix\": \"15.193.10.1/24\", \"region\": \"af-south-1\", \"service\": \"AMAZON\" },
  |                    ^^^^^^^^^^^^^^^^ this one
  |
  = help: keep the last good copy of the file, and inform its publisher";
    let text = AWS.replacen("15.193.10.0/24", "15.193.10.1/24", 1);
    assert_eq!(refusal(NetworkKind::Aws, &text), expected);
}

#[test]
fn a_thousand_bad_lines_are_a_few_diagnostics() {
    let text: String = (0..1000).map(|line| format!("bad-{line}\n")).collect();
    let problems = read(&network(NetworkKind::List), text.into()).unwrap_err();
    assert_eq!(problems.len(), MAX_SHOWN + 1);
    assert_eq!(problems[MAX_SHOWN].message, "`feed.txt` has 1000 errors, of which the first 10 are shown");
}

#[test]
fn a_megabyte_in_place_of_a_prefix_is_not_repeated() {
    let text = AWS.replacen("15.193.0.0/19", &"x".repeat(1 << 20), 1);
    assert!(refusal(NetworkKind::Aws, &text).len() < 1000);
    let text = AWS.replacen("\"prefixes\": [", &format!("\"prefixes\": \"{}\", \"x\": [", "x".repeat(1 << 20)), 1);
    assert!(refusal(NetworkKind::Aws, &text).len() < 1000);
}

#[test]
fn an_html_page_is_no_feed() {
    let expected = "\
error[html-page]: `feed.txt` is an HTML or XML page, not an AWS feed
 --> feed.txt:2:2
  |
2 |  <!DOCTYPE html>
  |  ^ a page starts here
  |
  = help: servers send such a page instead of the file when something is wrong; download it again";
    assert_eq!(refusal(NetworkKind::Aws, "\u{feff}\n <!DOCTYPE html>\n<p>503"), expected);
}

#[test]
fn a_truncated_feed_is_refused_where_it_ends() {
    let expected = "\
error[truncated-file]: `feed.txt` is cut short
 --> feed.txt:4:61
  |
4 |     { \"ip_prefix\": \"15.193.0.0/19\", \"region\": \"GLOBAL\", \"serv
  |                                                             ^ the file ends here
  |
  = help: download it again; keep the last good copy until then";
    let end = AWS.find("serv").unwrap() + 4;
    assert_eq!(refusal(NetworkKind::Aws, &AWS[..end]), expected);
}

#[test]
fn no_cut_of_a_feed_is_taken_for_the_whole() {
    for (kind, text) in
        [(NetworkKind::Aws, AWS), (NetworkKind::Gcp, GCP), (NetworkKind::Azure, AZURE), (NetworkKind::Oci, OCI)]
    {
        for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
            assert!(read(&network(kind), text[..end].into()).is_err(), "{kind:?} cut at {end}");
        }
    }
}

#[test]
fn malformed_json_is_shown_where_it_is() {
    let expected = "\
error[bad-json]: `feed.txt` is not valid JSON: expected `,` or `]`
 --> feed.txt:5:5
  |
5 |     { \"ip_prefix\": \"15.193.10.0/24\", \"region\": \"af-south-1\", \"service\": \"AMAZON\" },
  |     ^ here
  |
  = help: download it again; keep the last good copy until then";
    let text = AWS.replacen("\"AMAZON\" },", "\"AMAZON\" }", 1);
    assert_eq!(refusal(NetworkKind::Aws, &text), expected);
}

#[test]
fn an_entry_without_its_prefix_is_shown_where_it_is() {
    let expected = "\
error[wrong-shape]: `feed.txt` is not an AWS feed: missing field `ip_prefix`
 --> feed.txt:2:25
  |
2 | { \"region\": \"eu-west-1\" }], \"ipv6_prefixes\": [] }
  |                         ^ in the value that ends here
  |
  = help: use the file as its provider publishes it";
    let text = "{ \"prefixes\": [\n{ \"region\": \"eu-west-1\" }], \"ipv6_prefixes\": [] }";
    assert_eq!(refusal(NetworkKind::Aws, text), expected);
    let text =
        "{ \"prefixes\": [{ \"ipv4Prefix\": \"192.0.2.0/24\", \"scope\": \"a\" },\n{ \"scope\": \"us-west1\" }] }";
    assert!(refusal(NetworkKind::Gcp, text).contains("entry 2 of `prefixes` has neither"));
}

#[test]
fn a_prefix_that_is_no_string_is_refused() {
    let text = "{ \"regions\": [{ \"region\": \"r\", \"cidrs\": [{ \"cidr\": 10 }] }] }";
    let expected = "\
error[bad-prefix]: a prefix must be a JSON string
 --> feed.txt:1:52
  |
1 | { \"regions\": [{ \"region\": \"r\", \"cidrs\": [{ \"cidr\": 10 }] }] }
  |                                                    ^^ this is not";
    assert_eq!(refusal(NetworkKind::Oci, text), expected);
}

#[test]
fn files_with_nothing_in_them_are_refused() {
    let code = |kind, octets: &[u8]| read(&network(kind), octets.to_vec()).unwrap_err()[0].code;
    for kind in [NetworkKind::Aws, NetworkKind::Geofeed, NetworkKind::List] {
        assert_eq!(code(kind, b""), "empty-file");
        assert_eq!(code(kind, b"\xef\xbb\xbf \r\n"), "empty-file");
    }
    assert_eq!(code(NetworkKind::Aws, b"{ \"prefixes\": [], \"ipv6_prefixes\": [] }"), "no-prefixes");
    assert_eq!(code(NetworkKind::Gcp, b"{ \"prefixes\": [] }"), "no-prefixes");
    assert_eq!(code(NetworkKind::Azure, b"{ \"values\": [] }"), "no-prefixes");
    assert_eq!(code(NetworkKind::Oci, b"{ \"regions\": [] }"), "no-prefixes");
    assert_eq!(code(NetworkKind::Fastly, b"{ \"addresses\": [], \"ipv6_addresses\": [] }"), "no-prefixes");
    assert_eq!(
        code(NetworkKind::Cloudflare, b"{ \"result\": { \"ipv4_cidrs\": [], \"ipv6_cidrs\": [] } }"),
        "no-prefixes"
    );
    assert_eq!(code(NetworkKind::Geofeed, b"# nothing\n"), "no-prefixes");
}

#[test]
fn octets_that_are_no_text_are_told_apart() {
    let message = |octets: &[u8]| read(&network(NetworkKind::List), octets.to_vec()).unwrap_err()[0].message.clone();
    assert_eq!(message(b"\xff\xfe1\0"), "`feed.txt` is UTF-16");
    assert_eq!(message(b"\x1f\x8b\x08"), "`feed.txt` is compressed");
    assert_eq!(message(b"\xff\xab\xcd\xefMaxMind.com\xe9"), "`feed.txt` is a MaxMind DB");
    assert_eq!(message(b"192.0.2.1\n\n# caf\xe9\n"), "`feed.txt` is not UTF-8 in line 3");
}

#[test]
fn lines_that_are_no_lines_of_a_list_or_geofeed_are_refused() {
    let long = format!("é{}", "x".repeat(2000));
    assert!(refusal(NetworkKind::List, &long).contains("line 1 is longer than 1024 bytes"));
    assert!(refusal(NetworkKind::Geofeed, &long).contains("is it really a geofeed?"));
    let expected = "\
error[bad-line]: `office` stands behind prefix and label
 --> feed.txt:1:18
  |
1 | 192.0.2.0/24 the office
  |                  ^^^^^^ not expected here
  |
  = help: a line is `prefix [label]`; a label is one word, and comments begin with `#`";
    assert_eq!(refusal(NetworkKind::List, "192.0.2.0/24 the office"), expected);
    assert!(refusal(NetworkKind::Geofeed, "192.0.2.0/24,Germany,,,").contains("`Germany` is not a country"));
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
        use crate::config::NetworkKind::*;
        for kind in [List, Aws, Gcp, Azure, Oci, Fastly, Cloudflare, Geofeed, Mmdb] {
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
