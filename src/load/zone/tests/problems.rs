//! The problems of a zone, each with its place and remedy.
//!
//! **Not here**: the problems of included files ([`super::include`]) and of signed zones ([`super`]).

use super::*;

/// Cases of `refusals.txt`: lines of a master file after the head, and all of their diagnostics.
#[test]
fn what_is_wrong_is_told_with_place_and_remedy() {
    let cases = include_str!("../refusals.txt");
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
fn no_more_is_said_than_is_of_use() {
    let bad = format!("{HEAD}{}", "a A x\n".repeat(5000));
    let errors = read_with(bad.as_bytes(), &[], &[]).unwrap_err();
    assert_eq!(errors.len(), MAX_DIAGNOSTICS + 1);
    assert_eq!(errors.last().unwrap().message, "the first 100 problems are shown, and there are more");
    let odd: String = (0..5000).map(|n| format!("a{n}.example.net A 192.0.2.1\n")).collect();
    let (zone, warnings) = read_with(format!("{HEAD}{odd}").as_bytes(), &[], &[]).unwrap();
    assert_eq!((records(&zone).len(), warnings.len()), (5000, MAX_DIAGNOSTICS + 1));
}
