//! Files that are refused: feeds of other providers, bad prefixes, damage, and the places that the errors show.
//!
//! **Not here**: the sample feeds and files that are read ([`super`]).

use super::*;

#[test]
fn a_feed_of_another_provider_is_told_by_its_looks() {
    let feeds =
        [(NetworkKind::Aws, AWS), (NetworkKind::Gcp, GCP), (NetworkKind::Azure, AZURE), (NetworkKind::Oci, OCI)];
    for (is, text) in feeds {
        for (asked, _) in feeds.into_iter().filter(|(kind, _)| *kind != is) {
            let problems = read(&network(asked), text.into()).unwrap_err();
            assert_eq!(
                problems[0].message,
                format!("`feed.txt` is {}, not {}", format_of(is).noun, format_of(asked).noun)
            );
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
fn a_text_that_is_no_json_object_is_refused_with_the_formats_of_texts() {
    for text in ["192.0.2.0/24 office\n", "192.0.2.0/24,DE,,,\n", "[]", "é"] {
        let refused = refusal(NetworkKind::Aws, text);
        assert!(
            refused.starts_with("error[wrong-shape]: `feed.txt` is not an AWS feed: it is no JSON object\n"),
            "{refused}"
        );
        assert!(
            refused.contains("`list = …` reads a list of prefixes, `feed = \"geofeed\"` lines with commas"),
            "{refused}"
        );
        let problem = read(&network(NetworkKind::Mmdb), text.into()).unwrap_err().remove(0);
        assert_eq!((problem.code, &*problem.message), ("not-database", "`feed.txt` is text, not a MaxMind DB"));
    }
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
    assert_eq!(message(b"\xff\xab\xcd\xefMaxMind.com\xe9"), "`feed.txt` is a MaxMind DB, not a list of prefixes");
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
