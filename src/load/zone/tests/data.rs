//! Record data against hickory's reader and the vectors of RFC 9460, and arbitrary text.
//!
//! **Not here**: the form of records ([`super`]).

use hickory_proto::rr::{RData, RecordType};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder, NameEncoding};
use proptest::prelude::*;

use super::*;

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
        let set = zone.node_of(owner.as_name()).unwrap().rrset(rtype.parse().unwrap()).unwrap();
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
