//! Master files, feature by feature and refusal by refusal, as an operator meets them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hickory_proto::rr::{RData, RecordType};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder, NameEncoding};
use proptest::prelude::*;

use super::*;
use crate::base::diagnostic::Style;
use crate::base::ids::HorizonId;
use crate::base::name::NameBuf;
use crate::base::rr::Rtype;
use crate::base::time::Ttl;
use crate::config::{FileUse, InputFile};
use crate::zone::Found;

/// SOA and NS in one line each, so that what follows starts on line 3.
const HEAD: &str = "@ 3600 IN SOA ns.other. hostmaster.other. 1 7200 3600 1209600 300\n@ NS ns.other.\n";

fn name(text: &str) -> NameBuf {
    NameBuf::parse(text).unwrap()
}

fn place(text: &str) -> Place {
    let file: Arc<str> = "pharos.toml".into();
    Place::whole_line(&file, 9, text)
}

fn zone(apex: &str, steer: &[&str]) -> config::ZoneConfig {
    let steer = steer.iter().map(|owner| config::Steer {
        owner: name(owner),
        horizon: HorizonId(0),
        ttl: Ttl(60),
        service: None,
        place: place(&format!("steer = [{{ owner = \"{owner}\", horizon = \"blobs\" }}]")),
    });
    config::ZoneConfig {
        file: Some(InputFile::at("zones/example", FileUse::Zone)),
        steer: steer.collect(),
        ..config::ZoneConfig::named(name(apex), place("[[zone]]"))
    }
}

type Read = Result<(zone::Zone, Vec<Diagnostic>), Vec<Diagnostic>>;

/// Reads `text` as the file of zone `example.net`, with files to include by path.
fn read_with(text: &[u8], steer: &[&str], files: &[(&str, &str)]) -> Read {
    let files: HashMap<PathBuf, Vec<u8>> =
        files.iter().map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec())).collect();
    let mut read_file = |path: &Path| files.get(path).cloned().ok_or(io::ErrorKind::NotFound.into());
    read_text(&zone("example.net", steer), Path::new("zones/example"), text.to_vec(), &mut read_file)
}

fn rendered(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(|diagnostic| diagnostic.render(Style::Plain)).collect::<Vec<_>>().join("\n\n")
}

/// The records of a zone as `owner ttl type hex`, in the order of its nodes, without SOA and apex NS.
fn records(zone: &zone::Zone) -> Vec<String> {
    let mut lines = Vec::new();
    for node in zone.nodes() {
        for set in node.rrsets() {
            if node.owner() == zone.apex() && [Rtype::SOA, Rtype::NS].contains(&set.rtype) {
                continue;
            }
            for rdata in set.rdatas() {
                let hex: String = rdata.iter().map(|octet| format!("{octet:02x}")).collect();
                lines.push(format!("{} {} {} {hex}", node.owner(), set.ttl.0, set.rtype));
            }
        }
    }
    lines
}

/// The records after SOA and NS in a file without warnings.
fn clean(more: &str) -> Vec<String> {
    let (zone, warnings) = read_with(format!("{HEAD}{more}").as_bytes(), &[], &[])
        .unwrap_or_else(|errors| panic!("{}", rendered(&errors)));
    assert_eq!(rendered(&warnings), "");
    records(&zone)
}

/// The diagnostics of a file with these lines from the third on.
fn said(more: &str) -> String {
    match read_with(format!("{HEAD}{more}").as_bytes(), &[], &[]) {
        Ok((_, warnings)) => rendered(&warnings),
        Err(errors) => rendered(&errors),
    }
}

#[test]
fn owners_ttls_and_classes_may_be_left_out() {
    let read = clean(
        "www A 192.0.2.1\n  AAAA 2001:db8::1\n60 60 A 192.0.2.2\nmail.example.net. IN 1h A 192.0.2.3\n\t 2M in TXT y\n@ 5m TXT x\n",
    );
    let expected = [
        "example.net 300 TXT 0178",
        "www.example.net 3600 A c0000201",
        "www.example.net 3600 AAAA 20010db8000000000000000000000001",
        "60.example.net 60 A c0000202",
        "mail.example.net 3600 A c0000203",
        "mail.example.net 120 TXT 0179",
    ];
    assert_eq!(read, expected);
}

#[test]
fn directives_set_origin_and_ttl_from_there_on() {
    let read = clean(
        "$ORIGIN sub\n$ttl 1h30m\na A 192.0.2.1\n$ORIGIN deeper\n@ A 192.0.2.2\n$ORIGIN .\nb.example.net 7 A 192.0.2.3\n",
    );
    let expected =
        ["a.sub.example.net 5400 A c0000201", "deeper.sub.example.net 5400 A c0000202", "b.example.net 7 A c0000203"];
    assert_eq!(read, expected);
}

#[test]
fn parentheses_quotes_comments_and_escapes_are_read() {
    let read = clean(
        "; a comment; with ( and \"\na\\.b TXT ( \"one; (two)\" ; comment )\n  three\\ four \"\\\"\\065\" \"\" \"n\u{fc}\"\n ) ; end\r\n",
    );
    let strings = [&b"one; (two)"[..], b"three four", b"\"A", b"", b"n\xc3\xbc"];
    let hex: String = strings
        .iter()
        .flat_map(|string| [&[string.len() as u8], *string].concat())
        .map(|octet| format!("{octet:02x}"))
        .collect();
    assert_eq!(read, [format!("a\\.b.example.net 3600 TXT {hex}")]);
}

#[test]
fn at_stands_for_the_origin_in_data_too() {
    let read = clean("$ORIGIN sub\na CNAME @\nb MX 10 @\nc TXT @\n@ A 192.0.2.1\n");
    let sub = "03737562076578616d706c65036e657400";
    assert_eq!(read[0], "sub.example.net 3600 A c0000201");
    assert_eq!(read[1], format!("a.sub.example.net 3600 CNAME {sub}"));
    assert_eq!(read[2], format!("b.sub.example.net 3600 MX 000a{sub}"));
    assert_eq!(read[3], "c.sub.example.net 3600 TXT 0140");
}

#[test]
fn rfc3597_s5_any_type_may_be_written_in_hex() {
    let read = clean("a TYPE65280 \\# 4 0a00 0001\nb TYPE1 \\# 4 c0000201\nc A \\# 4 C0000202\nd TYPE65281 \\# 0\n");
    let expected = [
        "a.example.net 3600 TYPE65280 0a000001",
        "b.example.net 3600 A c0000201",
        "c.example.net 3600 A c0000202",
        "d.example.net 3600 TYPE65281 ",
    ];
    assert_eq!(read, expected);
}

#[test]
fn soa_times_may_have_units() {
    let text = "@ 1h IN SOA ns.other. hostmaster.other. ( 2024010101 2h 1h 2w 5m )\n@ NS ns.other.\n";
    let (zone, warnings) = read_with(text.as_bytes(), &[], &[]).unwrap();
    assert_eq!(rendered(&warnings), "");
    assert_eq!((zone.serial(), zone.negative_soa().rrset().ttl), (2_024_010_101, Ttl(300)));
    let rdata = zone.soa().rdatas().next().unwrap();
    let numbers: Vec<u32> =
        rdata[rdata.len() - 20..].chunks(4).map(|octets| u32::from_be_bytes(octets.try_into().unwrap())).collect();
    assert_eq!(numbers, [2_024_010_101, 7200, 3600, 1_209_600, 300]);
}

#[test]
fn an_included_file_has_its_own_origin_and_leaves_that_of_the_other_alone() {
    let files = [
        ("zones/parts/hosts", "$TTL 60\na A 192.0.2.1\n$ORIGIN other\n$INCLUDE more\n"),
        ("zones/parts/more", "b A 192.0.2.2\n"),
    ];
    let text = format!("{HEAD}$INCLUDE \"parts/hosts\" sub\nc A 192.0.2.3\n$INCLUDE parts/more\n  A 192.0.2.4\n");
    let (zone, warnings) = read_with(text.as_bytes(), &[], &files).unwrap();
    assert_eq!(rendered(&warnings), "");
    let expected = [
        "a.sub.example.net 60 A c0000201",
        "b.other.sub.example.net 60 A c0000202",
        "c.example.net 3600 A c0000203",
        "c.example.net 3600 A c0000204",
        "b.example.net 3600 A c0000202",
    ];
    assert_eq!(records(&zone), expected);
}

#[test]
fn files_that_include_each_other_are_refused() {
    let files = [("zones/a", "$INCLUDE b\n"), ("zones/b", "x A 192.0.2.1\n$INCLUDE a\n")];
    let errors = read_with(format!("{HEAD}$INCLUDE a\n").as_bytes(), &[], &files).unwrap_err();
    let expected = "\
error[include-loop]: `zones/a` includes itself
 --> zones/b:2:10
  |
2 | $INCLUDE a
  |          ^ being read already
  |
  = help: remove one of the `$INCLUDE`s";
    assert_eq!(rendered(&errors), expected);
}

#[test]
fn files_nest_eight_deep_and_no_deeper() {
    let names: Vec<String> = (0..10).map(|n| format!("zones/{n}")).collect();
    let texts: Vec<String> = (1..11).map(|n| format!("$INCLUDE {n}\n")).collect();
    let mut files: Vec<(&str, &str)> = names.iter().zip(&texts).map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let text = format!("{HEAD}$INCLUDE 0\n");
    let errors = read_with(text.as_bytes(), &[], &files).unwrap_err();
    assert_eq!(errors[0].code, "include-too-deep");
    assert_eq!(errors[0].position().as_deref(), Some("zones/7:1:1"));
    files[7].1 = "a A 192.0.2.1\n";
    assert!(read_with(text.as_bytes(), &[], &files).is_ok());
}

#[test]
fn a_file_that_cannot_be_included_is_told_with_its_reason() {
    let expected = "\
error[unreadable-file]: cannot read `zones/missing`: no such file
 --> zones/example:3:10
  |
3 | $INCLUDE missing
  |          ^^^^^^^ included here
  |
  = help: the path is relative to the file that includes it";
    assert_eq!(said("$INCLUDE missing\n"), expected);
}

#[test]
fn a_missing_file_is_shown_where_the_config_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut zone = zone("example.net", &[]);
    let file = folder.path().join("no.zone");
    zone.file = Some(InputFile::at(&file, FileUse::Zone));
    let errors = read(&zone).unwrap_err();
    let expected = format!(
        "\
error[unreadable-file]: cannot read zone file `{}`: no such file
 --> pharos.toml:9:1
  |
9 | [[zone]]
  | ^^^^^^^^ named here
  |
  = help: the path is relative to the config file; check that it exists and may be read",
        file.display()
    );
    assert_eq!(rendered(&errors), expected);
    std::fs::write(&file, format!("{HEAD}$INCLUDE more\n")).unwrap();
    std::fs::write(folder.path().join("more"), "a A 192.0.2.1\n").unwrap();
    let (read, _) = super::read(&zone).unwrap();
    assert_eq!(records(&read), ["a.example.net 3600 A c0000201"]);
}

/// Cases of `refusals.txt`: lines of a master file after the head, and all of their diagnostics.
#[test]
fn what_is_wrong_is_told_with_place_and_remedy() {
    let cases = include_str!("refusals.txt");
    let mut told = String::new();
    for case in cases.split("==== ").skip(1) {
        let (title, rest) = case.split_once('\n').unwrap();
        let (input, _) = rest.split_once("----\n").unwrap();
        let said = said(input);
        told.push_str(&format!("==== {title}\n{input}----\n{said}\n"));
    }
    assert_eq!(told, cases);
}

#[test]
fn a_file_that_is_no_master_file_is_refused() {
    let told = |text: &[u8]| rendered(&read_with(text, &[], &[]).unwrap_err());
    let expected = "\
error[html-file]: `zones/example` is an HTML page, not a master file
 --> zones/example:2:2
  |
2 |  <!DOCTYPE html>
  |  ^^^^^^^^^^^^^^^
  |
  = help: it may be the error page of a download that failed; fetch the zone again";
    assert_eq!(told(b"\xef\xbb\xbf\r\n <!DOCTYPE html>\r\n<p>"), expected);
    for empty in ["", "\n\n", "; nothing\n$TTL 60\n"] {
        let expected = "\
error[empty-zone]: `zones/example` has no records
 --> zones/example
  = help: a zone has at least an SOA and an NS record; the file may be empty or cut short";
        assert_eq!(told(empty.as_bytes()), expected);
    }
    let binary = read_with(b"\0\0\0\x02raw", &[], &[]).unwrap_err();
    assert_eq!((binary[0].code, binary.len()), ("binary-file", 1));
}

#[test]
fn slips_with_names_are_told_with_their_remedy() {
    let soa = "@ 60 SOA ns1 hostmaster@example.net. 1 2 3 4 5\n";
    let servers = "@ 60 NS 198.51.100.53\n@ 60 NS ns1.acme.net\n@ 60 NS ns9\nns1 60 A 192.0.2.1\n";
    let (_, warnings) = read_with(format!("{soa}{servers}").as_bytes(), &[], &[]).unwrap();
    let said: Vec<String> = warnings
        .iter()
        .map(|one| format!("{} {}: {}", one.place.as_ref().unwrap().line, one.code, one.help.as_deref().unwrap()))
        .collect();
    let expected = [
        "1 bad-mailbox: write a dot instead of the `@`: `hostmaster.example.com.` stands for hostmaster@example.com",
        "2 target-without-address: an NS names a host: add an A or AAAA record for the host, \
         and name it instead of 198.51.100.53",
        "3 target-without-address: is the final dot missing? write `ns1.acme.net.`; \
         else add an A or AAAA record for `ns1.acme.net.example.net`",
        "4 target-without-address: add an A or AAAA record for `ns9.example.net`",
    ];
    assert_eq!(said, expected);
    let problems = read_with(soa.as_bytes(), &[], &[]).unwrap_err();
    let no_ns = problems.iter().find(|problem| problem.code == "no-ns").unwrap();
    assert_eq!((no_ns.place.as_ref().unwrap().line, &*no_ns.label), (1, "the zone begins here"));
}

#[test]
fn a_zone_without_soa_and_name_server_is_refused() {
    let expected = "\
error[no-soa]: zone `example.net` has no SOA at its apex
 --> zones/example
  = help: add one, such as `example.net. 3600 IN SOA ns1.example.net. hostmaster.example.net. 1 7200 3600 1209600 300`

error[no-ns]: zone `example.net` has no NS at its apex
 --> zones/example
  = help: add the name servers that the parent zone delegates `example.net` to";
    assert_eq!(rendered(&read_with(b"a 60 A 192.0.2.1\n", &[], &[]).unwrap_err()), expected);
}

#[test]
fn a_last_line_without_end_is_taken_and_told() {
    let text = format!("{HEAD}a A 192.0.2.1");
    let (zone, warnings) = read_with(text.as_bytes(), &[], &[]).unwrap();
    assert_eq!(records(&zone), ["a.example.net 3600 A c0000201"]);
    let expected = "\
warning[no-line-end]: the last line of `zones/example` does not end
 --> zones/example:3:1
  |
3 | a A 192.0.2.1
  | ^^^^^^^^^^^^^ is this all of it?
  |
  = help: the file may be cut short; if it is whole, end it with a line feed";
    assert_eq!(rendered(&warnings), expected);
}

#[test]
fn without_any_ttl_the_minimum_stands_in_or_the_record_is_refused() {
    let text = HEAD.replace("3600 IN ", "IN ");
    let (zone, warnings) = read_with(text.as_bytes(), &[], &[]).unwrap();
    assert_eq!(zone.soa().ttl, Ttl(300));
    assert_eq!(zone.node(crate::base::ids::NodeId(0)).rrset(Rtype::NS).unwrap().ttl, Ttl(300));
    let expected = "\
warning[no-ttl]: no TTL is given; the MINIMUM of the SOA, 300, is taken for it and the records below
 --> zones/example:1:6
  |
1 | @ IN SOA ns.other. hostmaster.other. 1 7200 3600 1209600 300
  |      ^^^
  |
  = help: put a line like `$TTL 1h` at the start of the file";
    assert_eq!(rendered(&warnings), expected);
    let errors = read_with(b"a A 192.0.2.1\n", &[], &[]).unwrap_err();
    assert_eq!(errors[0].code, "no-ttl");
    let errors = read_with(b"  60 A 192.0.2.1\n", &[], &[]).unwrap_err();
    assert_eq!(errors[0].code, "no-owner");
}

#[test]
fn steering_goes_wrong_where_the_config_says_so() {
    let errors = read_with(format!("{HEAD}@ A 192.0.2.1\n").as_bytes(), &["example.net", "x.other"], &[]).unwrap_err();
    assert_eq!(errors.iter().map(|error| error.code).collect::<Vec<_>>(), ["cannot-steer"]);
    let errors = read_with(format!("{HEAD}@ A 192.0.2.1\n").as_bytes(), &["example.net"], &[]).unwrap_err();
    let expected = "\
error[steered-and-static]: `example.net` is steered and has an A of its own
 --> pharos.toml:9:1
  |
9 | steer = [{ owner = \"example.net\", horizon = \"blobs\" }]
  | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  |
 ::: zones/example:3:1
  |
3 | @ A 192.0.2.1
  | ------------- its own record
  |
  = help: remove the record from the master file, or the owner from the zone's `steer`";
    assert_eq!(rendered(&errors), expected);
    let (zone, warnings) = read_with(HEAD.as_bytes(), &["example.net"], &[]).unwrap();
    assert_eq!(rendered(&warnings), "");
    assert_eq!(
        zone.node(crate::base::ids::NodeId(0)).steered(),
        Some(Steered { horizon: HorizonId(0), ttl: Ttl(60), service: None })
    );
}

#[test]
fn problems_of_an_included_file_are_shown_there() {
    let files = [("zones/part", "\n\n  ; comment\na CNAME (\n b )\nb TXT x\na TXT y\n")];
    let errors = read_with(format!("{HEAD}$INCLUDE part\n").as_bytes(), &[], &files).unwrap_err();
    assert_eq!(errors.iter().filter_map(Diagnostic::position).collect::<Vec<_>>(), ["zones/part:4:1"]);
    assert_eq!(errors[0].related.as_ref().unwrap().0.line, 7);
}

#[test]
fn no_more_is_said_than_is_of_use() {
    let bad = format!("{HEAD}{}", "a A x\n".repeat(5000));
    let errors = read_with(bad.as_bytes(), &[], &[]).unwrap_err();
    assert_eq!(errors.len(), MAX_DIAGNOSTICS + 1);
    assert_eq!(errors.last().unwrap().message, "the first 100 problems are shown, and there are more");
    let odd: String = (0..5000).map(|n| format!("a{n}.example.net A 192.0.2.1\n")).collect();
    let (zone, warnings) = read_with(format!("{HEAD}{odd}").as_bytes(), &[], &[]).unwrap();
    assert_eq!((records(&zone).len(), warnings.len()), (5000, MAX_DIAGNOSTICS + 1));
}

/// Types and data that both readers know.
const KNOWN: [(&str, &str); 23] = [
    ("A", "192.0.2.1"),
    ("AAAA", "2001:db8::1"),
    ("AAAA", "::ffff:192.0.2.1"),
    ("NS", "ns1.example.org."),
    ("CNAME", "a.b.c.example.org."),
    ("PTR", "host.example.org."),
    ("MX", "10 mail.example.org."),
    ("MX", "0 ."),
    ("TXT", "\"v=spf1 -all\""),
    ("TXT", "one \"two three\" four"),
    ("HINFO", "\"cpu\" \"os\""),
    ("SRV", "1 2 443 host.example.org."),
    ("SOA", "ns.example.org. host\\.master.example.org. 2024010101 7200 3600 1209600 300"),
    ("CAA", "0 issue \"letsencrypt.org\""),
    ("CAA", "128 iodef \"mailto:security@example.org\""),
    ("NAPTR", "100 10 \"S\" \"SIP+D2U\" \"\" _sip._udp.example.org."),
    ("SSHFP", "2 1 123456789abcdef67890123456789abcdef67890"),
    ("TLSA", "3 1 1 0d6fce3d3d9b3dfe7bb7ac0b5c9d4a9e4c7fdb7d3ad9d6a1c3d1ef4fdc3a2b1c"),
    ("OPENPGPKEY", "mQCNAzIG"),
    ("SVCB", "1 svc.example.org. alpn=\"h2,h3\" port=\"8443\""),
    ("HTTPS", "1 . alpn=h2,h3 ipv4hint=192.0.2.1,192.0.2.2 ipv6hint=2001:db8::1"),
    ("HTTPS", "0 svc.example.org."),
    ("DNAME", "other.example.org."),
];

#[test]
fn rdata_is_octet_for_octet_what_hickory_makes_of_it() {
    for (rtype, data) in KNOWN {
        let expected = RData::try_from_str(rtype.parse::<RecordType>().unwrap(), data);
        // Their reader knows no DNAME and no OPENPGPKEY.
        let Ok(expected) = expected else {
            assert!(["DNAME", "OPENPGPKEY"].contains(&rtype), "{rtype} {data}: {expected:?}");
            continue;
        };
        let mut octets = Vec::new();
        let mut encoder = BinEncoder::new(&mut octets);
        encoder.set_name_encoding(NameEncoding::Uncompressed);
        expected.emit(&mut encoder).unwrap();
        let owner = if rtype == "SOA" { "@" } else { "x" };
        let head = if rtype == "SOA" { "@ 60 NS ns.other.\n" } else { HEAD };
        let text = format!("{head}{owner} 60 {rtype} {data}\n");
        let (zone, _) = read_with(text.as_bytes(), &[], &[]).unwrap_or_else(|errors| panic!("{}", rendered(&errors)));
        let owner = if rtype == "SOA" { name("example.net") } else { name("x.example.net") };
        let Found::Exact(id) = zone.find(owner.as_name(), &owner.as_name().suffixes()) else { panic!("it exists") };
        let set = zone.node(id).rrset(rtype.parse().unwrap()).unwrap();
        assert_eq!(set.rdatas().next().unwrap(), octets, "{rtype} {data}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "a", "@", "www.example.net.", " ", " ", "\n", "\n", "\t", "IN ", "A ", "TXT ", "MX ", "HTTPS ", "SVCB ", "NSEC ", "NSEC3 ",
            "RRSIG ", "CAA ", "SSHFP ", "DNSKEY ", "DS ", "IPSECKEY ", "NAPTR ", "OPENPGPKEY ", "ZONEMD ", "TYPE9 ", "\\# ", "60 ", "1 ",
            "192.0.2.1", "2001:db8::1", "\"", "\"x\"", "\"a b\" ", "(", ")", ";", "\\", "\\000", "\\.", ".", "$ORIGIN ", "$TTL ",
            "$INCLUDE ", "alpn=", "key=\"v\"", "mandatory=", "-", "0a", "=", ",", "\u{fc}", "\u{1}", "\r", "20240101000000 ",
        ]), 0..60),
    ) {
        let text = pieces.concat();
        let _ = read_with(text.as_bytes(), &[], &[("zones/a", "a A 192.0.2.1\n")]);
        let _ = read_with(format!("{HEAD}a 60 {text}\n").as_bytes(), &[], &[]);
    }

    #[test]
    fn no_change_to_a_zone_makes_the_reader_panic(at in any::<prop::sample::Index>(), octets in prop::collection::vec(any::<u8>(), 0..6), cut in 0usize..8) {
        let lines: String = KNOWN.iter().enumerate().map(|(n, (rtype, data))| format!("h{n} {rtype} {data}\n")).collect();
        let mut text = format!("{HEAD}{lines}").into_bytes();
        let at = at.index(text.len());
        let end = (at + cut).min(text.len());
        text.splice(at..end, octets);
        let _ = read_with(&text, &[], &[]);
    }
}

/// `hex` of the data of one record at `a`.
fn data(record: &str) -> String {
    let read = clean(&format!("a {record}\n"));
    read[0].rsplit_once(' ').unwrap().1.to_string()
}

#[test]
fn rfc9460_appendix_d_vectors_are_read() {
    let com = "03666f6f076578616d706c6503636f6d00";
    let org = "03666f6f076578616d706c65036f726700";
    for (record, priority, name, params) in [
        ("HTTPS 0 foo.example.com.", "0000", com, ""),
        ("SVCB 1 .", "0001", "00", ""),
        ("SVCB 16 foo.example.com. port=53", "0010", com, "000300020035"),
        ("SVCB 1 foo.example.com. key667=hello", "0001", com, "029b000568656c6c6f"),
        ("SVCB 1 foo.example.com. key667=\"hello\\210qoo\"", "0001", com, "029b000968656c6c6fd2716f6f"),
        (
            "SVCB 1 foo.example.com. (\n ipv6hint=\"2001:db8::1,2001:db8::53:1\"\n )",
            "0001",
            com,
            "0006002020010db800000000000000000000000120010db8000000000000000000530001",
        ),
        (
            "SVCB 1 example.com. ipv6hint=\"2001:db8:122:344::192.0.2.33\"",
            "0001",
            "076578616d706c6503636f6d00",
            "0006001020010db80122034400000000c0000221",
        ),
        (
            "SVCB 16 foo.example.org. (alpn=h2,h3-19 mandatory=ipv4hint,alpn ipv4hint=192.0.2.1)",
            "0010",
            org,
            "0000000400010004000100090268320568332d313900040004c0000201",
        ),
        ("SVCB 16 foo.example.org. alpn=\"f\\\\\\\\oo\\\\,bar,h2\"", "0010", org, "0001000c08665c6f6f2c626172026832"),
        ("SVCB 16 foo.example.org. alpn=f\\\\\\092oo\\092,bar,h2", "0010", org, "0001000c08665c6f6f2c626172026832"),
    ] {
        assert_eq!(data(record), format!("{priority}{name}{params}"), "{record}");
    }
    for params in [
        "key123=abc key123=def",
        "mandatory",
        "alpn",
        "port",
        "ipv4hint",
        "ipv6hint",
        "no-default-alpn=\"abc\"",
        "mandatory=key123",
        "mandatory=mandatory",
        "mandatory=key123,key123 key123=abc",
        "alpn=\"\"",
        "alpn=h2,,h3",
        "alpn=h2,",
    ] {
        let told = said(&format!("a SVCB 1 foo.example.com. {params}\n"));
        assert!(told.starts_with("error[bad-data]"), "{params}: {told}");
        assert!(told.contains("zones/example:3:"), "{params}: {told}");
    }
}

#[test]
fn numbers_may_be_written_as_words() {
    let key = "l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=";
    for (words, numbers) in [
        (format!("DNSKEY 257 3 ED25519 {key}"), format!("DNSKEY 257 3 15 {key}")),
        (format!("DNSKEY ZONE|KSK DNSSEC ecdsap256sha256 {key}"), format!("DNSKEY 257 3 13 {key}")),
        (
            "DS 60485 RSASHA256 SHA-1 2BB183AF5F22588179A53B0A98631FAD1A292118".into(),
            "DS 60485 8 1 2BB183AF5F22588179A53B0A98631FAD1A292118".into(),
        ),
        ("CERT PKIX 65535 RSASHA256 AAAA".into(), "CERT 1 65535 8 AAAA".into()),
        ("HTTPS 1 . key9999=x key1=\\002h2".into(), "HTTPS 1 . alpn=h2 key9999=x".into()),
        ("WKS 192.0.2.1 TCP smtp domain".into(), "WKS 192.0.2.1 6 53 25".into()),
    ] {
        assert_eq!(data(&words), data(&numbers), "{words}");
    }
}

const SIGNED: &str = "\
@ DNSKEY 257 3 15 l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=
@ CDS 60485 15 200 AABB
@ NSEC3PARAM 1 0 0 -
@ RRSIG SOA 15 2 3600 20300101000000 20200101000000 1234 example.net. AAAA
a A 192.0.2.1
a RRSIG A 15 3 3600 20300101000000 20200101000000 1234 example.net. AAAA
2t7b4g4vsa5smi47k61mv5bv1a22bojr NSEC3 1 1 0 - 2t7b4g4vsa5smi47k61mv5bv1a22bojr A RRSIG
2t7b4g4vsa5smi47k61mv5bv1a22bojr RRSIG NSEC3 15 3 3600 20300101000000 20200101000000 1234 example.net. AAAA
sub NS ns.other.
sub DS 60485 15 200 AABB
";

#[test]
fn a_signed_zone_is_refused() {
    let expected = "\
error[signed-zone]: the zone is signed: it has a DNSKEY record
 --> zones/example:3:3
  |
3 | @ DNSKEY 257 3 15 l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=
  |   ^^^^^^ the first
  |
  = help: signatures are not served yet, and a resolver that expects them takes the zone for forged; \
remove its DS from the parent zone, then set `unsigned = true` on the `[[zone]]`, or use an unsigned file";
    assert_eq!(said(SIGNED), expected);
    for alone in [
        "a RRSIG A 15 3 3600 20300101000000 20200101000000 1234 example.net. AAAA\n",
        "a NSEC b A\n",
        "@ NSEC3PARAM 1 0 0 -\n",
        "b NSEC3 1 1 0 - 2t7b4g4vsa5smi47k61mv5bv1a22bojr A\n",
    ] {
        assert!(said(alone).starts_with("error[signed-zone]"), "{alone}");
    }
    // A DNSKEY or DS of another name signs nothing here.
    let other = clean("a DNSKEY 257 3 15 AAAA\nsub NS ns.other.\nsub DS 60485 15 200 AABB\n@ CDS 60485 15 200 AABB\n");
    assert_eq!(other.len(), 4);
}

#[test]
fn a_signed_zone_is_served_without_its_dnssec_records_where_the_operator_says_so() {
    let zone = config::ZoneConfig { unsigned: true, ..zone("example.net", &[]) };
    let text = format!("{HEAD}{SIGNED}");
    let (read, warnings) = read_text(&zone, Path::new("zones/example"), text.into(), &mut |_| unreachable!()).unwrap();
    assert_eq!(
        records(&read),
        [
            "a.example.net 3600 A c0000201",
            "sub.example.net 3600 NS 026e73056f7468657200",
            "sub.example.net 3600 DS ec450fc8aabb"
        ]
    );
    let hashed = name("2t7b4g4vsa5smi47k61mv5bv1a22bojr.example.net");
    let found = read.find(hashed.as_name(), &hashed.as_name().suffixes());
    assert!(matches!(found, Found::Below { .. }), "no owner of an NSEC3 exists");
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].code, "signed-zone");
    assert!(warnings[0].message.contains("7 are left out"), "{}", warnings[0].message);
}

#[test]
fn a_generated_record_is_refused_where_its_directive_stands() {
    let expected = "\
error[bad-data]: `192.0.2.256` is not an IPv4 address
 --> zones/example:3:1
  |
3 | $GENERATE 250-260 a$ A 192.0.2.$
  | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  |
  = help: write four numbers up to 255, like `192.0.2.1`";
    assert_eq!(said("$GENERATE 250-260 a$ A 192.0.2.$\nb A 192.0.2.1\n"), expected);
    // A warning that concerns all of the records is given once.
    let odd = said(
        "$GENERATE 1-1000 a$ A 192.0.2.1\n$GENERATE 1-1000 a$ 60 A 192.0.2.2\n$GENERATE 1-9 c$ CNAME x.example.net\n",
    );
    assert_eq!(odd.matches("warning[missing-dot]").count(), 1, "{odd}");
}

#[test]
fn what_a_directive_may_generate_is_bounded_before_it_is_made() {
    for range in ["0-4294967295", "0-2147483647", "0-65536"] {
        let told = said(&format!("$GENERATE {range} a$ A 192.0.2.1\n"));
        assert!(told.starts_with("error[bad-directive]"), "{told}");
    }
    // Each ends with its first record, and yet counts as a whole.
    let sixteen = "$GENERATE 0-65535 a$ A x\n".repeat(16);
    let told = said(&format!("{sixteen}$GENERATE 0-0 b$ TXT x\n"));
    assert_eq!(told.matches("error[bad-data]").count(), 16, "{told}");
    assert!(told.contains("at most 0 more are allowed"), "{told}");
}

#[test]
fn rfc2181_s8_a_ttl_with_the_first_bit_set_is_0() {
    let (read, warnings) = read_with(
        format!("{HEAD}a 2147483648 A 192.0.2.1\nb 2147483647 A 192.0.2.1\n$TTL 4294967295\nc A 192.0.2.1\n")
            .as_bytes(),
        &[],
        &[],
    )
    .unwrap();
    assert_eq!(
        records(&read),
        ["a.example.net 0 A c0000201", "b.example.net 2147483647 A c0000201", "c.example.net 0 A c0000201"]
    );
    let places: Vec<String> = warnings.iter().filter_map(Diagnostic::position).collect();
    assert_eq!(places, ["zones/example:3:3", "zones/example:5:6"]);
    assert!(said("a 4294967296 A 192.0.2.1\n").starts_with("error[bad-ttl]"));
}

#[test]
fn a_server_of_the_zone_below_a_dname_is_refused() {
    let expected = "\
error[server-below-dname]: the name server `ns.old.example.net` of the zone is below `old.example.net`, which has a DNAME
 --> zones/example:3:1
  |
3 | @ NS ns.old
  | ^^^^^^^^^^^
  |
 ::: zones/example:4:1
  |
4 | old DNAME new.other.
  | -------------------- it renames all names below it
  |
  = help: name a server that is not below a DNAME";
    assert_eq!(
        said("@ NS ns.old\nold DNAME new.other.\n"),
        format!(
            "{expected}\n\nwarning[target-is-alias]: the NS of `example.net` points to `ns.old.example.net`, which is an alias\n --> zones/example:3:1\n  |\n3 | @ NS ns.old\n  | ^^^^^^^^^^^\n  |\n  = help: name the host itself; many resolvers do not follow an alias here"
        )
    );
    // The server has an address, but below the DNAME it is never answered.
    assert!(said("@ NS ns.old\nold DNAME new.other.\nns.old A 192.0.2.1\n").contains("error[server-below-dname]"));
}
