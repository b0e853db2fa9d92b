//! Geofeeds as people write them: each case is a feed with one odd line, or a few, and the whole outcome.
//!
//! **Not here**: geofeeds without faults ([`super`]).

use super::*;

/// Lines 1 to 20, each a good entry.
fn good_lines() -> String {
    (1..=20).map(|line| format!("10.0.{line}.0/24,DE,DE-BE,Berlin,\n")).collect()
}

/// Outcome of a feed of twenty good lines with further ones behind: the entries of the further lines, then problems.
fn outcome(more: &str) -> Vec<String> {
    let text = good_lines() + more;
    match read(&network(NetworkKind::Geofeed), text.into()) {
        Ok(loaded) => {
            let entries = entries(&loaded).into_iter().filter(|entry| !entry.contains(": 10.0."));
            entries.chain(loaded.warnings.iter().map(said)).collect()
        }
        Err(problems) => problems.iter().map(said).collect(),
    }
}

fn said(problem: &Diagnostic) -> String {
    let at = problem.place.as_ref().map(|place| format!(" in line {}", place.line)).unwrap_or_default();
    format!("{}{at}: {}", problem.code, problem.message)
}

#[test]
fn an_odd_line_is_left_out_and_the_rest_is_used() {
    const SLIPS: &[(&str, &[&str])] = &[
        (
            "192.0.2.1/24,US,,,",
            &[
                "an entry is left out: `192.0.2.1/24` is not a prefix: bits are set beyond the prefix length; did you mean `192.0.2.0/24`?",
            ],
        ),
        (
            "2001:db8::1/32,US,,,",
            &[
                "an entry is left out: `2001:db8::1/32` is not a prefix: bits are set beyond the prefix length; did you mean `2001:db8::/32`?",
            ],
        ),
        (
            "192.0.02.0/24,US,,,",
            &["an entry is left out: `192.0.02.0/24` is not a prefix: `192.0.02.0` is not an IPv4 or IPv6 address"],
        ),
        (
            "192.0.2.0/024,US,,,",
            &["an entry is left out: `192.0.2.0/024` is not a prefix: its length has a leading zero"],
        ),
        ("192.0.2.0/24,USA,US-TX,,", &["an entry is left out: `USA` is not a country"]),
        ("192.0.2.0/24,Germany,,,", &["an entry is left out: `Germany` is not a country"]),
        ("192.0.2.0/24,1A,,,", &["an entry is left out: `1A` is not a country"]),
        (
            "192.0.2.0/24\tUS\tUS-TX\tAustin",
            &[
                "an entry is left out: `192.0.2.0/24\tUS\tUS-TX\tAustin` is not a prefix: `24\tUS\tUS-TX\tAustin` is not a prefix length for IPv4 (0 to 32)",
            ],
        ),
        (
            "192.0.2.0/24;US;US-TX;Austin",
            &[
                "an entry is left out: `192.0.2.0/24;US;US-TX;Austin` is not a prefix: `24;US;US-TX;Austin` is not a prefix length for IPv4 (0 to 32)",
            ],
        ),
        (
            "ip_prefix,alpha2code,region,city,postal",
            &["an entry is left out: `ip_prefix` is not a prefix: `ip_prefix` is not an IPv4 or IPv6 address"],
        ),
        (
            "192.0.2.0-192.0.2.255,US,,,",
            &[
                "an entry is left out: `192.0.2.0-192.0.2.255` is not a prefix: `192.0.2.0-192.0.2.255` is not an IPv4 or IPv6 address",
            ],
        ),
        (
            "router.example,US,,,",
            &[
                "an entry is left out: `router.example` is not a prefix: `router.example` is not an IPv4 or IPv6 address",
            ],
        ),
        (
            "<br>192.0.2.0/24,US,,,",
            &[
                "an entry is left out: `<br>192.0.2.0/24` is not a prefix: `<br>192.0.2.0` is not an IPv4 or IPv6 address",
            ],
        ),
        (
            "192.0.2.0/33,US,,,",
            &["an entry is left out: `192.0.2.0/33` is not a prefix: `33` is not a prefix length for IPv4 (0 to 32)"],
        ),
        (
            "192.0.2.0/,US,,,",
            &["an entry is left out: `192.0.2.0/` is not a prefix: `` is not a prefix length for IPv4 (0 to 32)"],
        ),
        (",US,US-TX,Austin,", &["an entry is left out: `` is not a prefix: `` is not an IPv4 or IPv6 address"]),
        (
            "fe80::1%eth0,US,,,",
            &["an entry is left out: `fe80::1%eth0` is not a prefix: `fe80::1%eth0` is not an IPv4 or IPv6 address"],
        ),
        ("US,192.0.2.0/24,,,", &["an entry is left out: `US` is not a prefix: `US` is not an IPv4 or IPv6 address"]),
    ];
    for (line, expected) in SLIPS {
        let expected: Vec<String> = expected.iter().map(|message| format!("bad-entry in line 21: {message}")).collect();
        assert_eq!(outcome(&format!("{line}\n")), expected, "{line}");
    }
}

#[test]
fn an_odd_line_that_can_be_read_is_used() {
    const LEGAL: &[(&str, &[&str])] = &[
        ("192.0.2.0/24,us,us-tx,\"Austin\",78701,more,fields", &["21: 192.0.2.0/24 US NA US-TX"]),
        (" \"192.0.2.0/24\" , \"US\" , ,,  ", &["21: 192.0.2.0/24 US NA"]),
        ("192.0.2.7,US,,,", &["21: 192.0.2.7/32 US NA"]),
        ("192.0.2.0/24", &["21: 192.0.2.0/24"]),
        ("192.0.2.0/24,ZZ,,,", &["21: 192.0.2.0/24"]),
        ("2001:0DB8:0000::/32,FR,,,", &["21: 2001:db8::/32 FR EU"]),
        ("  # a comment", &[]),
        (
            "192.0.2.0/24,US,Texas,,",
            &["21: 192.0.2.0/24 US NA", "unknown-region in line 21: `Texas` is no known region"],
        ),
        ("192.0.2.0/24,US,,\"Austin\",\"78701", &["21: 192.0.2.0/24 US NA"]),
        ("10.0.1.0/24,FR,,,", &["conflicting-labels in line 21: `10.0.1.0/24` is listed twice with different labels"]),
    ];
    for (line, expected) in LEGAL {
        assert_eq!(outcome(&format!("{line}\n")), *expected, "{line}");
    }
}

#[test]
fn a_line_that_is_too_long_is_left_out() {
    let expected = "bad-entry in line 21: an entry is left out: line 21 is longer than 1024 bytes";
    assert_eq!(outcome(&format!("192.0.2.0/24,US,,{},\n", "x".repeat(2000))), [expected]);
}

#[test]
fn the_first_of_several_bad_lines_is_shown_and_the_rest_counted() {
    let loaded = read_as(NetworkKind::Geofeed, &format!("{}192.0.2.1/24,US,,,\n192.0.2.0/24,USA,,,\n", good_lines()));
    assert_eq!(loaded.source.prefix_count(), 20);
    let expected = "\
warning[bad-entry]: 2 of 22 entries are left out, the first because `192.0.2.1/24` is not a prefix: bits are set beyond the \
prefix length; did you mean `192.0.2.0/24`?
  --> feed.txt:21:1
   |
21 | 192.0.2.1/24,US,,,
   | ^^^^^^^^^^^^ this one
   |
   = help: inform the publisher; if more than a tenth of the entries cannot be read, the file is refused";
    assert_eq!(render(&loaded.warnings), expected);
}

#[test]
fn more_than_a_tenth_of_bad_lines_refuses_the_file() {
    let of = |good: usize, bad: usize| {
        let good: String = good_lines().lines().take(good).map(|line| format!("{line}\n")).collect();
        good + &"banana,DE,,,\n".repeat(bad)
    };
    assert_eq!(read_as(NetworkKind::Geofeed, &of(9, 1)).source.prefix_count(), 9);
    assert_eq!(read_as(NetworkKind::Geofeed, &of(18, 2)).source.prefix_count(), 18);
    let expected = "\
error[bad-prefix]: `banana` is not a prefix: `banana` is not an IPv4 or IPv6 address
 --> feed.txt:9:1
  |
9 | banana,DE,,,
  | ^^^^^^ this one
  |
  = help: keep the last good copy of the file, and inform its publisher
error[too-many-errors]: 1 of 9 entries of `feed.txt` cannot be read
 --> pharos.toml:7:1
  |
7 | net = { feed = \"…\", file = \"feed.txt\" }
  | ^^^ named here
  |
  = help: up to a tenth of them would be left out; is it really a geofeed?";
    assert_eq!(refusal(NetworkKind::Geofeed, &of(8, 1)), expected);
    for (good, bad) in [(0, 1), (17, 2), (20, 3)] {
        assert!(refusal(NetworkKind::Geofeed, &of(good, bad)).contains("too-many-errors"), "{good}, {bad}");
    }
    let many = refusal(NetworkKind::Geofeed, &of(20, 11));
    assert!(many.contains("11 of 31 entries of `feed.txt` cannot be read, of which the first 10 are shown"), "{many}");
}

#[test]
fn bad_lines_of_a_feed_count_no_comments() {
    let comments = "# a comment\n\n".repeat(100);
    assert!(refusal(NetworkKind::Geofeed, &format!("{comments}192.0.2.0/24,US\nbanana\n")).contains("1 of 2 entries"));
}
